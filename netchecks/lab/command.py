"""``netchecks lab``: list, up, down, exec, fault, status, accuracy."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from netchecks.errors import LabError
from netchecks.lab import faults, labs, making, state, topology


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of ``netchecks lab``."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add(commands, "list", "topologies, and the labs that stand")
    up = _add(commands, "up", "make a lab; it stands until 'down'")
    up.add_argument("topology", nargs="?", default="vmhost-switching", help="a name, a path, or nodes-N (default: %(default)s)")
    up.add_argument("--name", default="", help="name of the lab (default: drawn)")
    up.add_argument("--count", type=int, help="how often a repeated place is made")
    flavour = up.add_mutually_exclusive_group()
    flavour.add_argument("--rooted", action="store_true", default=None, help="nodes with systemd and sshd; needs root")
    flavour.add_argument("--rootless", dest="rooted", action="store_false", help="nodes are network namespaces")
    down = _add(commands, "down", "take labs down, and clean up after those that crashed")
    down.add_argument("names", nargs="*", metavar="LAB")
    down.add_argument("--all", action="store_true", help="every lab of this user")
    execute = _add(commands, "exec", "run a command in a place of a lab")
    _lab_option(execute)
    execute.add_argument("place", help="controller, node1, vm42 ...; 'lab' sees all network namespaces")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="COMMAND")
    fault = _add(commands, "fault", "break a lab, or undo it; without a name: list the faults")
    _lab_option(fault)
    fault.add_argument("fault", nargs="?", metavar="NAME")
    fault.add_argument("--undo", action="store_true", help="undo it; without a name: all that there are")
    status = _add(commands, "status", "what stands, whether it is healthy, which faults it has")
    _lab_option(status)
    status.add_argument("--json", action="store_true")
    _add_accuracy(commands)


def _add(commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str) -> argparse.ArgumentParser:
    """Add one subcommand."""
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--state-dir", help="folder of the labs (default: below $XDG_RUNTIME_DIR or the temporary folder)")
    return parser


def _lab_option(parser: argparse.ArgumentParser) -> None:
    """Add the choice of a lab."""
    parser.add_argument("--lab", default="", help="name of the lab (default: the only one)")


def _add_accuracy(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand whose options stand in the module that does it."""
    from netchecks.lab import accuracy

    accuracy.add_arguments(_add(commands, "accuracy", "apply every fault, run the suites, say what was named"))


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say; give the exit status. Raises LabError."""
    previous = signal.signal(signal.SIGTERM, _terminated)
    try:
        return _ACTIONS[args.action](args)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _terminated(number: int, _frame: object) -> NoReturn:
    """Turn SIGTERM into an orderly end: what was half made is removed."""
    raise SystemExit(128 + number)


def _list(args: argparse.Namespace) -> int:
    """Print topologies and standing labs."""
    for name in topology.names():
        print(f"{name:20} {topology.load(name).title}")
    for lab in state.every(args.state_dir):
        print(f"lab {lab.id:16} {_line(lab)}")
    return 0


def _line(lab: state.State) -> str:
    """Say what a lab is in one line."""
    if not lab.alive():
        return "crashed: netchecks lab down --all"
    return f"{lab.topology}, {'rooted' if lab.rooted else 'rootless'}, in {lab.folder}"


def _up(args: argparse.Namespace) -> int:
    """Make a lab and say how to use it."""
    lab = making.up(args.topology, rooted=args.rooted, state_dir=args.state_dir, name=args.name, count=args.count, keep=True)
    print(f"lab {lab.id}: {_line(lab.state)}")
    print(f"places: {' '.join(lab.places)}")
    print(f"netchecks lab exec --lab {lab.id} controller -- pytest suites/ --inventory-file={lab.inventory}")
    return 0


def _down(args: argparse.Namespace) -> int:
    """Take labs down: those named, all, or the only one."""
    known = {lab.id: lab for lab in state.every(args.state_dir)}
    unknown = sorted(set(args.names) - set(known))
    if unknown:
        raise LabError(f"no lab {', '.join(unknown)}; there are {sorted(known)}")
    if not args.names and not args.all and len(known) > 1:
        raise LabError(f"which lab? there are {sorted(known)}; or --all")
    for name in args.names or known:
        labs.take_down(known[name])
        print(f"lab {name} is down")
    return 0


def _exec(args: argparse.Namespace) -> int:
    """Become the command in that place: its signals, its exit status."""
    argv = args.argv[1:] if args.argv[:1] == ["--"] else args.argv
    line = labs.attach(args.lab, args.state_dir).wrap(args.place, argv or ["sh"])
    sys.stdout.flush()
    os.execvp(line[0], line)


def _fault(args: argparse.Namespace) -> int:
    """Break, undo, or list what can be broken."""
    if not args.fault and not args.undo:
        return _faults()
    lab = labs.attach(args.lab, args.state_dir)
    for name in [args.fault] if args.fault else lab.broken:
        fault = faults.find(lab.topology.name, name)
        (lab.revert if args.undo else lab.apply)(fault)
        print(f"lab {lab.id}: {'undone' if args.undo else 'broken'}: {fault.title}")
    return 0


def _faults() -> int:
    """Print every fault of every topology."""
    for name in topology.names():
        for fault in faults.load(name):
            expected = ", ".join(f"{one.code} at {one.place}" for one in fault.expected) or "nothing to name"
            print(f"{fault.name:34} {fault.title} ({expected}{'; rooted' if fault.needs else ''})")
    return 0


def _status(args: argparse.Namespace) -> int:
    """Print what stands; exit 1 when one of them is broken or not healthy."""
    found = [one for one in state.every(args.state_dir) if not args.lab or one.id == args.lab]
    if args.lab and not found:
        raise LabError(f"no lab {args.lab!r}")
    rows = [_state_of(lab) for lab in found]
    if args.json:
        print(json.dumps(rows, indent=1))
    else:
        for lab, row in zip(found, rows, strict=True):
            print(f"lab {lab.id}: {_line(lab)}: {'healthy' if row['healthy'] else row['trouble']}")
    return int(not all(row["healthy"] for row in rows))


def _state_of(lab: state.State) -> dict[str, object]:
    """Give the state of a lab as plain data."""
    row: dict[str, object] = {"lab": lab.id, "topology": lab.topology, "rooted": lab.rooted, "folder": str(lab.folder),
                              "stands": lab.alive(), "faults": [], "healthy": False, "trouble": "crashed"}
    if lab.alive():
        standing = labs.attach(lab.id, lab.folder.parent)
        trouble = f"broken: {', '.join(standing.broken)}" if standing.broken else _trouble(standing)
        row |= {"faults": standing.broken, "healthy": not trouble, "trouble": trouble, "inventory": str(standing.inventory)}
    return row


def _trouble(lab: labs.Lab) -> str:
    """Say what does not answer; empty where all does."""
    try:
        lab.await_healthy(0)
    except LabError as error:
        return str(error)
    return ""


def _accuracy(args: argparse.Namespace) -> int:
    """Measure how often the right cause is named."""
    from netchecks.lab import accuracy

    return accuracy.run(args)


_ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "list": _list, "up": _up, "down": _down, "exec": _exec, "fault": _fault, "status": _status, "accuracy": _accuracy,
}
