"""The checks that a selection leaves, by pytest's own collection, without running or looking at anything."""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from netchecks import cli
from netchecks.errors import NetchecksError
from netchecks.plugin import SESSION
from netchecks.session import Session

#: Options that let a run do more than look (the mark ``allowed``).
ALLOWED = ("--allow-leases", "--load-tests")


@dataclass(slots=True)
class Collected:
    """pytest's items, and the run that would have looked; None where no inventory is in force.

    ``bare``: put the inventory out of force, so that each check is one item, whatever it applies to.
    """

    bare: bool = False
    items: list[pytest.Item] = field(default_factory=list)
    session: Session | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Forget the run that was just made ready."""
        if self.bare and SESSION in config.stash:
            del config.stash[SESSION]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keep what pytest collected."""
        self.items = list(session.items)
        self.session = session.config.stash.get(SESSION, None)


def collect(arguments: Sequence[str], *, bare: bool = False) -> Collected:
    """Collect with pytest's arguments; see Collected for ``bare``. Raises NetchecksError with what pytest said where it could not."""
    found, said, complained = Collected(bare), io.StringIO(), io.StringIO()
    bare_pytest = ["-p", "no:cacheprovider", "-W", "ignore::pytest.PytestConfigWarning"]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        status = pytest.main([*cli.pytest_arguments([*bare_pytest, *arguments]), "--collect-only", "-q", "--color=no"], plugins=[found])
    if status not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        raise NetchecksError(complained.getvalue().strip() or said.getvalue().strip() or f"pytest ended with {status}")
    return found


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Say what selects checks: the same words as for a run."""
    parser.add_argument("--inventory-file", action="append", metavar="FILE", help="inventory file or folder; may be repeated")
    parser.add_argument("--host", action="append", metavar="NODE", help="only this node; may be repeated")
    parser.add_argument("--vm", action="append", metavar="VM", help="only this VM and its node; may be repeated")
    for option in ALLOWED:
        parser.add_argument(option, action="store_true", help="also what a run does with this option")
    for option, name in (("--compare", "NODE"), ("--compare-network", "NETWORK"), ("--compare-vm", "VM")):
        parser.add_argument(option, action="append", metavar=name, help="what failures are compared with is looked at too")
    add_suites(parser)


def add_suites(parser: argparse.ArgumentParser) -> None:
    """Say what selects checks by name."""
    parser.add_argument("-k", dest="keyword", metavar="EXPRESSION", help="as pytest's -k")
    parser.add_argument("-m", dest="mark", metavar="EXPRESSION", help="as pytest's -m")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="folder, file or id; all suites where none is given")


def arguments(args: argparse.Namespace) -> Iterator[str]:
    """Give pytest's arguments for what was selected."""
    for option in ("inventory_file", "host", "vm", "compare", "compare_network", "compare_vm"):
        for value in getattr(args, option, None) or ():
            yield f"--{option.replace('_', '-')}={value}"
    yield from (option for option in ALLOWED if getattr(args, option.strip("-").replace("-", "_"), False))
    if args.keyword:
        yield from ("-k", args.keyword)
    if args.mark:
        yield from ("-m", args.mark)
    yield from args.suites
