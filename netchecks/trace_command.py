"""``netchecks trace``: follow one packet to a VM, hop by hop, and draw its way."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

import netchecks.observations
import netchecks.platforms
import netchecks.probes  # noqa: F401 - the catalogues fill themselves when imported
from netchecks import facts, inventory, pcap, plan, record, waves, world
from netchecks.errors import NetchecksError, NotSeen
from netchecks.models.subjects import Flow, Inventory, Vm
from netchecks.models.traces import Kind, Seen, Trace

#: As of a run of the suites: nothing failed, and something is unknown.
EXIT_UNKNOWN = 6
_FORTH: tuple[Kind, ...] = ("request", "asked")
_BACK: tuple[Kind, ...] = ("reply", "error", "told")
_WORDS = {
    "request": ("packet", "packets"), "asked": ("question for its MAC", "questions for its MAC"), "reply": ("answer", "answers"),
    "error": ("ICMP error", "ICMP errors"), "told": ("answer with its MAC", "answers with its MAC"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``netchecks trace`` takes."""
    parser.add_argument("--inventory-file", action="append", type=Path, metavar="FILE", help="inventory file or folder; may be repeated")
    parser.add_argument("--vm", required=True, metavar="VM", help="the VM that packets are sent to")
    parser.add_argument("--host", metavar="NODE", help="the node that it has to be on")
    parser.add_argument("--from", dest="sender", metavar="NODE", help="only from this node (default: all that may ask)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--icmp", action="store_true", help="ping (the default)")
    what.add_argument("--arp", action="store_true", help="ARP requests")
    what.add_argument("--ndp", action="store_true", help="neighbour solicitations")
    what.add_argument("--tcp", type=int, metavar="PORT", help="TCP SYNs to this port")
    what.add_argument("--udp", type=int, metavar="PORT", help="UDP to this port, which the inventory has to declare")
    parser.add_argument("--pcap", type=Path, metavar="DIR", help="keep the captured frames here, as pcapng files")


def run(args: argparse.Namespace) -> int:
    """Trace and draw. Gives 0 where every flow was answered, 1 where one was not, 6 where that could not be seen."""
    known = inventory.load(args.inventory_file or [inventory.default_path()])
    chosen = world.build(_narrowed(known, _vm(known, args), args))
    flows = [flow for flow in chosen.flows if _asked_for(flow, args)]
    if not flows:
        raise NetchecksError(f"nothing to trace: {_why_nothing(chosen, args)}")
    seen = record.Record()
    wanted = plan.make([plan.Wanted("", {"flow": flow}, frozenset({"traces"})) for flow in flows], chosen)
    board = Board(sys.stdout, flows, facts.make(seen, wanted))
    with tempfile.TemporaryDirectory(prefix="netchecks-") as scratch:
        folder = Path(scratch)
        waves.look(waves.Look(chosen, wanted, seen, waves.Limits(), board.hear, lambda place: record.write_place(folder, place)))
    traces = {flow: _trace(facts.make(seen, wanted), flow) for flow in flows}
    board.end(traces)
    for place in seen.places.values() if args.pcap else ():
        for path in pcap.write(args.pcap, place):
            sys.stdout.write(f"frames: {path}\n")
    return _status(traces.values())


def _vm(known: Inventory, args: argparse.Namespace) -> Vm:
    found = next((vm for vm in known.vms if vm.name == args.vm), None)
    if found is None:
        there = ", ".join(vm.name for vm in known.vms[:20]) or "none"
        raise NetchecksError(f"--vm {args.vm}: the inventory has no such VM; there are: {there}")
    if args.host and found.node.name != args.host:
        raise NetchecksError(f"--host {args.host}: {found} is on the node {found.node}")
    if args.udp is not None and args.udp not in found.udp:
        declared = ", ".join(map(str, found.udp)) or "none"
        raise NetchecksError(f"--udp {args.udp}: a datagram reaches an application; the inventory declares the UDP ports: {declared}")
    return found


def _narrowed(known: Inventory, vm: Vm, args: argparse.Namespace) -> Inventory:
    """Give the inventory with this VM alone, and with the port that is asked for alone."""
    alone = replace(vm, tcp=(args.tcp,) if args.tcp else (), udp=(args.udp,) if args.udp else (), answers_ping=True)
    interfaces = tuple(replace(one, vm=alone) for one in known.interfaces if one.vm == vm)
    return replace(known, vms=(alone,), interfaces=interfaces, flows=())


def _asked_for(flow: Flow, args: argparse.Namespace) -> bool:
    named = {"arp": args.arp, "ndp": args.ndp, "tcp": args.tcp, "udp": args.udp}
    protocol = next((name for name, given in named.items() if given), "icmp")
    sender = args.sender in {None, flow.source.name}
    return flow.protocol == protocol and sender and plan.probe_for("traces", flow) is not None


def _why_nothing(chosen: world.World, args: argparse.Namespace) -> str:
    kinds = sorted({interface.network.kind for interface in chosen.inventory.interfaces})
    senders = sorted({flow.source.name for flow in chosen.flows if flow.interface})
    if args.sender and args.sender not in senders:
        return f"{args.sender} is none of those that may ask ({', '.join(senders) or 'none'}); see probe_from in the inventory"
    return f"{args.vm} has no address for it, or its network ({', '.join(kinds) or 'none'}) cannot be traced"


def _trace(known: facts.Facts, flow: Flow) -> Trace | NotSeen:
    try:
        found: Trace = known.value("traces", flow)
    except NotSeen as reason:
        return reason
    return found


def _status(traces: Collection[Trace | NotSeen]) -> int:
    seen = [trace for trace in traces if isinstance(trace, Trace)]
    if any(trace.lost is not None for trace in seen):
        return 1
    return 0 if len(seen) == len(traces) and all(trace.answered for trace in seen) else EXIT_UNKNOWN


# -- drawing ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Board:
    """The drawing. On a terminal it says while it waits which places are done; elsewhere it is drawn once."""

    out: TextIO
    flows: Sequence[Flow]
    known: facts.Facts
    states: dict[str, str] = field(default_factory=dict)

    def hear(self, place: str, state: str) -> None:
        """Hear of one place, and say it where somebody watches."""
        self.states[place] = state
        if self.out.isatty():
            line = "  ".join(f"{name}: {said.partition(':')[0]}" for name, said in self.states.items())
            width = shutil.get_terminal_size().columns - 1
            self.out.write(f"\r{line[:width].ljust(width)}")
            self.out.flush()

    def end(self, traces: dict[Flow, Trace | NotSeen]) -> None:
        """Draw every flow."""
        if self.out.isatty():
            self.out.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
        self.out.write("\n".join(line for flow, trace in traces.items() for line in drawn(flow, trace)) + "\n")


def drawn(flow: Flow, trace: Trace | NotSeen) -> Iterator[str]:
    """Draw one flow's way: a line for each hop, with what was seen there on the way forth and back."""
    port = f" port {flow.port}" if flow.port else ""
    yield f"{flow.source} to {flow.interface} {flow.target}, {flow.protocol.upper()}{port}"
    if isinstance(trace, NotSeen):
        yield f"  could not look: {trace}"
        return
    if trace.unsent:
        yield f"  could not send: {trace.unsent}"
    names = [f"{seen.point.place}  {seen.point.hop} {seen.point.device}".rstrip() for seen in trace.points]
    width = max(map(len, names))
    for name, seen in zip(names, trace.points, strict=True):
        yield f"  {name.ljust(width)}  {_half('->', seen, _FORTH, trace)}  {_half('<-', seen, _BACK, trace)}".rstrip()
        if seen.unseen and not seen.sightings:
            yield f"  {' ' * width}  could not look: {seen.unseen}"
    yield f"  {trace.said}"
    yield ""


def _half(arrow: str, seen: Seen, kinds: tuple[Kind, ...], trace: Trace) -> str:
    """Say what was seen one way: how many of the packets, and after how long the first; else the nearest that was."""
    for kind in kinds:
        found = seen.of(kind)
        if found:
            timed = trace.sent and kind in {"request", "reply"}
            after = f" after {max(0.0, found[0].seconds - trace.sent[0]) * 1000:.1f} ms" if timed else ""
            count = len({one.turn for one in found if one.turn is not None}) or len(found)
            extra = ", ".join(dict.fromkeys([*(f"VLAN {tag}" for tag in found[0].vlans), *found[0].through]))
            return f"{arrow} {count} {_WORDS[kind][count > 1]}{after}{f' ({extra})' if extra else ''}".ljust(34)
    return f"{arrow} {'?' if seen.unseen else 'nothing'}".ljust(34)
