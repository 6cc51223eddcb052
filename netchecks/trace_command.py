"""``netchecks trace``: follow one packet to a VM, hop by hop, and draw its way."""

from __future__ import annotations

import argparse
import shutil
import sys
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
    what.add_argument("--tcp", type=_port, metavar="PORT", help="TCP SYNs to this port")
    what.add_argument("--udp", type=_port, metavar="PORT", help="UDP to this port, which the inventory has to declare")
    parser.add_argument("--pcap", type=Path, metavar="DIR", help="keep the captured frames here, as pcapng files")


def _port(text: str) -> int:
    """Read a port. Raises ArgumentTypeError."""
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"{text}: a port is a number from 1 to 65535")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Trace and draw. Gives 0 where every flow was answered, 1 where one was not, 6 where that could not be seen."""
    known = inventory.load(args.inventory_file or [inventory.default_path()])
    chosen = world.build(_narrowed(known, _vm(known, args), args))
    flows = [flow for flow in chosen.flows if _asked_for(flow, args)]
    if not flows:
        raise NetchecksError(f"nothing to trace: {_why_nothing(chosen, args)}")
    seen = record.Record()
    wanted = _planned(flows, chosen)
    board = Board(sys.stdout, flows, facts.make(seen, wanted))
    waves.look(waves.Look(chosen, wanted, seen, waves.Limits(), board.hear, lambda _place: None))  # nothing is kept on this machine
    traces = {flow: _trace(facts.make(seen, wanted), flow) for flow in flows}
    board.end(traces)
    if args.pcap:
        _keep(args.pcap, seen)
    return _status(traces.values())


def _planned(flows: Sequence[Flow], chosen: world.World) -> plan.Plan:
    """Plan these flows alone: a check would also want to know what else comes through, and nothing is sent that nobody asked for."""
    wanted = plan.make([plan.Wanted("", {"flow": flow}, frozenset({"traces"})) for flow in flows], chosen)
    for subjects in wanted.facts.values():
        for name in [name for name, subject in subjects.items() if isinstance(subject, Flow) and subject not in flows]:
            del subjects[name]
    return wanted


def _keep(folder: Path, seen: record.Record) -> None:
    """Write the captured frames, and say where. Raises NetchecksError."""
    try:
        for place in seen.places.values():
            for path in pcap.write(folder, place):
                sys.stdout.write(f"frames: {path}\n")
    except OSError as error:
        raise NetchecksError(f"--pcap {folder}: {error.strerror}") from error


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
    if not all(vm.runs for vm in chosen.inventory.vms):
        return f"the inventory says that {args.vm} does not run"
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
    if any(trace.lost is not None or (trace.errors and not trace.answered) for trace in seen):
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
    asking = _asking_from(trace)
    ways = [(_FORTH, _BACK) if number >= asking else (_FORTH[:1], _BACK[:2]) for number in range(len(trace.points))]
    forth = [_half("->", seen, there) for seen, (there, _) in zip(trace.points, ways, strict=True)]
    width, column = max(map(len, names)), max(map(len, forth))
    for name, there, seen, (_, back) in zip(names, forth, trace.points, ways, strict=True):
        yield f"  {name.ljust(width)}  {there.ljust(column)}  {_half('<-', seen, back)}"
        if seen.unseen and not seen.sightings:
            yield f"  {' ' * width}  could not look: {seen.unseen}"
    yield f"  {trace.said}"
    yield ""


def _asking_from(trace: Trace) -> int:
    """Give the number of the first point where questions for the MAC stand in for the packet: a router asks before it sends on.

    Where the packet came to a place, those that are seen there are of others.
    """
    last = max((number for number, seen in enumerate(trace.points) if seen.of("request")), default=-1)
    ends = [seen.point for seen in trace.points[max(last, 0):last + 2]]
    bridged = len({point.place for point in ends}) == 1 and not ends[-1].asks
    return len(trace.points) if last >= 0 and bridged else last + 1


def _half(arrow: str, seen: Seen, kinds: tuple[Kind, ...]) -> str:
    """Say what was seen one way: how many of the packets, and what tags and tunnels they had; else the nearest that was."""
    for kind in kinds:
        found = seen.of(kind)
        if found:
            count = len({one.turn for one in found if one.turn is not None}) or len(found)
            extra = ", ".join(dict.fromkeys([*(f"VLAN {tag}" for tag in found[0].vlans), *found[0].through]))
            return f"{arrow} {count} {_WORDS[kind][count > 1]}{_after(seen, kind)}{f' ({extra})' if extra else ''}"
    return f"{arrow} {'?' if seen.unseen else 'nothing'}"


def _after(seen: Seen, kind: Kind) -> str:
    """Say how long after its packet an answer passed the same point: by one clock, as those of two nodes are not the same."""
    went = {one.turn: one.seconds for one in reversed(seen.of("request")) if one.turn is not None}
    took = [one.seconds - went[one.turn] for one in seen.of(kind) if one.turn in went] if kind in {"reply", "error"} else []
    return f" after {min(took) * 1000:.2f} ms" if took and min(took) >= 0 else ""
