"""The command ``netchecks``. Each subcommand is imported when it is asked for: ``--version`` has to be quick."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module, metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from netchecks import __version__
from netchecks.errors import InventoryError, NetchecksError

if TYPE_CHECKING:
    from netchecks.models.subjects import Inventory

#: As pytest's usage errors (pytest.ExitCode.USAGE_ERROR).
EXIT_USAGE = 4
#: 128 + SIGINT, as shells say it.
EXIT_INTERRUPTED = 130

#: Subcommand -> the module with add_arguments(parser) and run(args) -> int, and one line of help.
_MODULES = {
    "commands": ("netchecks.commands", "print every command that a selection would run on each node, with the sudoers lines"),
    "trace": ("netchecks.trace_command", "follow one packet to a VM, hop by hop"),
    "checks": ("netchecks.catalogue", "list the checks"),
    "report": ("netchecks.report", "make reports of a run again"),
    "lab": ("netchecks.lab.command", "build networks to break"),
}
_INVENTORY_HELP = "check inventory files, show their resolved form, print the JSON Schema, derive one from OpenStack"
_OPENSTACK_HELP = "print the networks and VMs that OpenStack's API knows, as an inventory"
_OPENSTACK = "netchecks.openstack.command"
_RUN_HELP = "run the suites: takes pytest's arguments and --inventory-file, --host, --vm ..."


class _Command(Protocol):
    """What a subcommand's module has."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Say what the subcommand takes."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it. Gives the exit status; raises NetchecksError for what the user has to put right."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and give its exit status: 4 for every mistake of the user's, with its text and no traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _dispatch(arguments)
        sys.stdout.flush()
    except NetchecksError as error:
        # The mistakes of an inventory begin with their places, which editors and terminals turn into links.
        print(error if isinstance(error, InventoryError) else f"netchecks: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return _quiet()
    return status


def _quiet() -> int:
    """End without a word where the reader of our output has gone (``| head``): Python would complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] == ["run"]:
        # pytest's arguments are pytest's to read, --help too.
        return _run(arguments[1:])
    args = _parser(arguments).parse_args(arguments)
    if args.command == "inventory":
        return _inventory(args)
    return _module(args.command).run(args)


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Give the parser; only the subcommand that is asked for is imported to say what it takes."""
    parser = _Parser(prog="netchecks", description="Why a VM, pod or node is unreachable, where, and who has to act.")
    parser.add_argument("--version", action="version", version=f"netchecks {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    commands.add_parser("run", help=_RUN_HELP)
    _add_inventory(commands.add_parser("inventory", help=_INVENTORY_HELP, description=_INVENTORY_HELP), arguments)
    for name, (_, help_text) in _MODULES.items():
        one = commands.add_parser(name, help=help_text, description=help_text)
        if arguments[:1] == [name]:
            _module(name).add_arguments(one)
    return parser


class _Parser(argparse.ArgumentParser):
    """Raises instead of ending the process: a wrong argument is exit status 4, as pytest's."""

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse never returns from it, nor does this
        """Say what is wrong and how it is used."""
        raise NetchecksError(f"{message}\n{self.format_usage().rstrip()}")


def _module(name: str) -> _Command:
    """Import a subcommand. Raises NetchecksError where this installation does not have it."""
    module = _OPENSTACK if name == "inventory openstack" else _MODULES[name][0]
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        raise NetchecksError(f"'netchecks {name}' is not part of this installation: {error}") from error
    if not hasattr(found, "add_arguments"):
        raise NetchecksError(f"'netchecks {name}' is not part of this installation: {module} is no command")
    return cast("_Command", found)


def _add_inventory(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=_Parser)
    check, show = "tell every mistake, exit status 4 if there is one", "print the resolved form as YAML"
    for name, help_text in (("check", check), ("show", show)):
        one = actions.add_parser(name, help=help_text, description=help_text)
        one.add_argument("--inventory-file", action="append", type=Path, metavar="FILE", help="file or folder; may be repeated")
    actions.add_parser("schema", help="print the JSON Schema, for editors")
    derived = actions.add_parser("openstack", help=_OPENSTACK_HELP, description=_OPENSTACK_HELP)
    if list(arguments[:2]) == ["inventory", "openstack"]:
        _module("inventory openstack").add_arguments(derived)


def _inventory(args: argparse.Namespace) -> int:
    from netchecks import inventory

    if args.action == "openstack":
        return _module("inventory openstack").run(args)
    if args.action == "schema":
        print(json.dumps(inventory.schema(), indent=2, ensure_ascii=False))
        return 0
    found = inventory.load(args.inventory_file or [inventory.default_path()])
    if args.action == "show":
        print(inventory.show(found), end="")
        return 0
    print(f"{', '.join(found.files)}: {_counted(found)}")
    return 0


def _counted(inventory: Inventory) -> str:
    """Count what an inventory has, so that a typo in a range is seen."""
    counts: dict[str, Sequence[object]] = {"node": inventory.nodes, "network": inventory.networks, "VM": inventory.vms}
    counts |= {"declared flow": inventory.flows, "waiver": inventory.waivers}
    return ", ".join(f"{len(things)} {what}{'' if len(things) == 1 else 's'}" for what, things in counts.items())


def suites_path() -> Path:
    """Give the folder of the suites: of the wheel where they are in it, else of the checkout."""
    packaged = Path(str(resources.files("netchecks"))) / "suites"
    found = packaged if packaged.is_dir() else Path(__file__).parents[1] / "suites"
    if not found.is_dir():
        raise NetchecksError(f"there are no suites at {found}: this installation is not complete")
    return found


def _run(arguments: Sequence[str]) -> int:
    """Run pytest on the suites. Check ids are the same as those of ``pytest suites/`` in a checkout."""
    import pytest

    return int(pytest.main(pytest_arguments(arguments)))


def pytest_arguments(arguments: Sequence[str]) -> list[str]:
    """Give pytest's arguments for a run of the packaged suites.

    An argument below ``suites/`` (a file, or an id as reports give it) is taken from there instead of all of them.
    """
    from netchecks.inventory import default_path

    suites = suites_path()
    placed = [str(suites.parent / one) if one.startswith("suites/") else one for one in arguments]
    return [
        "--import-mode=importlib",
        # testinfra's own plugin has a fixture 'host' and options that collide with pytest-ansible's.
        *("-p", "no:pytest11.testinfra"),
        *_plugin(),
        # This command has imported netchecks before pytest could rewrite it; only the suites' assertions need that.
        *("-W", "ignore:Module already imported so cannot be rewritten:pytest.PytestAssertRewriteWarning"),
        # Ids begin with suites/ wherever the suites are; nothing is written there.
        f"--rootdir={suites.parent}",
        *("-o", f"cache_dir={Path.cwd() / '.pytest_cache'}"),
        *("-o", f"netchecks_inventory={default_path()}"),
        *([] if placed != list(arguments) else [str(suites)]),
        *placed,
    ]


def _plugin() -> list[str]:
    """Name the plugin where pytest does not find it by itself: in a checkout, or without autoloading."""
    found = any(entry.value == "netchecks.plugin" for entry in metadata.entry_points(group="pytest11"))
    return [] if found and not os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD") else ["-p", "netchecks.plugin"]
