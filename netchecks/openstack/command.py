"""``netchecks inventory openstack``: what OpenStack's API says is meant, as an inventory file."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from netchecks import inventory
from netchecks.errors import InventoryError, NetchecksError
from netchecks.inventory.problems import did_you_mean, listed
from netchecks.models.subjects import Inventory, Node
from netchecks.openstack.asking import Way, ask
from netchecks.openstack.deriving import Choice, Derived, derive
from netchecks.openstack.writing import document

#: Seconds for a whole run.
_SECONDS = 900.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``netchecks inventory openstack`` takes."""
    _add_where(parser)
    parser.add_argument("--network", action="append", default=[], metavar="NAME", help="only this one, by name or id; may be repeated")
    parser.add_argument(
        "--uplink", action="append", default=[], type=_pair, metavar="[PHYSNET=]NIC",
        help="the NIC of a physical network, which the API does not know; may be repeated",
    )
    parser.add_argument(
        "--node", action="append", default=[], type=_pair, metavar="HOST=NODE",
        help="the node that is a host of the API, where its name and address do not tell; may be repeated",
    )
    parser.add_argument("--skip-unknown", action="store_true", help="leave out what is on hosts that are no nodes of the inventory")
    parser.add_argument("--timeout", type=_seconds, default=_SECONDS, metavar="SECONDS", help=f"for all of it (default: {_SECONDS:g})")
    parser.epilog = "Prints an inventory of networks and VMs, to be used together with the given files; what is doubtful goes to stderr."


def _add_where(parser: argparse.ArgumentParser) -> None:
    """Say where the client is, and where its credentials are."""
    files = "inventory file or folder with the nodes; may be repeated"
    parser.add_argument("--inventory-file", action="append", type=Path, required=True, metavar="FILE", help=files)
    parser.add_argument("--host", required=True, metavar="NODE", help="the node that has the client 'openstack' and credentials for it")
    parser.add_argument("--command", dest="client", default="openstack", metavar="WORDS", help="how the client is called there")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--rc-file", type=_path, metavar="PATH", help="a file there that sets OS_AUTH_URL ..., sourced there")
    where.add_argument("--os-cloud", default="", metavar="NAME", help="a cloud of the clouds.yaml there")


def run(args: argparse.Namespace) -> int:
    """Ask, derive, check, print. Gives 0; raises NetchecksError with everything that is wrong at a step."""
    known = inventory.load(args.inventory_file)
    node, choice = _node(known, args.host), _choice(known, args)
    way = Way(_words(args.client), args.rc_file or "", args.os_cloud)
    cloud = ask(node, way, args.network, args.timeout, _progress)
    derived = derive(cloud, known.nodes, choice)
    text = document(derived, _head(args))
    _check(args.inventory_file, text, derived)
    for doubt in derived.doubts:
        _progress(doubt)
    sys.stdout.write(text)
    return 0


def _path(text: str) -> str:
    """Read an absolute path: the shell looks for another one in its PATH. Raises ArgumentTypeError."""
    if not text.startswith("/"):
        raise argparse.ArgumentTypeError(f"{text}: expected an absolute path on the node")
    return text


def _pair(text: str) -> tuple[str, str]:
    """Read ``NAME=VALUE``; a value alone is for every name. Raises ArgumentTypeError."""
    name, _, value = text.rpartition("=")
    if not value:
        raise argparse.ArgumentTypeError(f"{text}: expected NAME=VALUE")
    return name, value


def _seconds(text: str) -> float:
    """Read a time limit. Raises ArgumentTypeError."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text}: expected a number of seconds")
    return float(text)


def _words(text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise NetchecksError(f"--command {text}: {error}") from None
    if not words:
        raise NetchecksError("--command: expected the words that the client is called with")
    return words


def _node(known: Inventory, name: str) -> Node:
    found = next((node for node in known.nodes if node.name == name), None)
    if found is None:
        names = [node.name for node in known.nodes]
        raise NetchecksError(f"--host {name}: the inventory has no such node{did_you_mean(name, names)}; there are: {listed(names)}")
    return found


def _choice(known: Inventory, args: argparse.Namespace) -> Choice:
    """Give what the user says instead of the API. Raises NetchecksError with every node that there is not."""
    names = [node.name for node in known.nodes]
    wrong = [text for host, node in args.node if (text := _wrong_node(host, node, names))]
    if wrong:
        raise NetchecksError("\n".join(wrong))
    return Choice(dict(args.uplink), dict(args.node), args.skip_unknown)


def _wrong_node(host: str, node: str, names: Sequence[str]) -> str:
    """Say what is wrong with a pair of --node; empty where nothing is."""
    if not host:
        return f"--node {node}: expected HOST=NODE"
    return "" if node in names else f"--node {host}={node}: the inventory has no such node{did_you_mean(node, names)}"


def _progress(text: str) -> None:
    sys.stderr.write(f"netchecks: {text}\n")


def _head(args: argparse.Namespace) -> list[str]:
    files = " ".join(f"--inventory-file {shlex.quote(str(path))}" for path in args.inventory_file)
    return [
        f"Derived from OpenStack's API on {args.host} by 'netchecks inventory openstack'. Use it together with: {files}",
        "On which ports VMs shall answer is not the API's to tell: tcp and udp may stand in the defaults.",
    ]


def _check(files: Sequence[Path], text: str, derived: Derived) -> None:
    """See that the text and the given files are one inventory. Raises NetchecksError with every mistake."""
    with tempfile.TemporaryDirectory(prefix="netchecks-") as folder:
        path = Path(folder) / "derived.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            inventory.load([*files, path])
        except InventoryError as error:
            told = str(error).replace(str(path), "what was derived")
            first = "what was derived is no inventory together with the given files:"
            raise NetchecksError("\n".join((first, *_hints(derived), told))) from error


def _hints(derived: Derived) -> list[str]:
    """Say what the user has to add: the NICs that the API does not know."""
    known = [one.fields["neutron"] for one in derived.networks if "uplink" not in one.fields]
    names = sorted({one["physical_network"] for one in known if "physical_network" in one})
    return [f"the API does not know NICs: say --uplink {name}=NIC, or 'uplink' in the inventory's defaults of networks" for name in names]
