"""Which frames belong to a trace, and as what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from netchecks.models.subjects import Flow
from netchecks.models.traces import Kind, Point, Sighting
from netchecks.trace.dissecting import ICMP, ICMPV6, TCP, UDP, Asking, Frame, Inner, dissect
from netchecks.trace.marks import TURNS, Mark

_ECHO, _ECHO_REPLY = {8, 128}, {0, 129}  # RFC 792, RFC 4443
_ICMPS = frozenset({ICMP, ICMPV6})
#: What goes the way of the request; the others go the way of its answer.
_FORTH = frozenset({"request", "asked"})


@dataclass(frozen=True, slots=True)
class Known:
    """Where a flow's packets go to at a point, where NAT may have translated them: by (port they come from, address) the turn.

    What answers them, or is about them, without bearing the mark is known by that. Echoes have port 0.
    """

    ends: Mapping[tuple[int, str], int | None]

    def goes_to(self, address: str) -> bool:
        """Tell whether the packets go to an address."""
        return any(address == one for _, one in self.ends)


def known(flow: Flow, mark: Mark, frames: Iterable[bytes]) -> Known:
    """Give where the packets of a flow go to at a point, by the frames that were seen there."""
    ends: dict[tuple[int, str], int | None] = {(0, str(flow.target)): None}
    ends |= {(mark.port + turn, str(flow.target)): turn for turn in range(TURNS)}
    for data in frames:
        for inner in dissect(data).packets:
            turn = None if inner.error else _request(flow, mark, inner)
            if turn is not None:
                ends[inner.source_port, inner.destination] = turn
    return Known(ends)


def sighting(flow: Flow, mark: Mark, data: bytes, seen: Known) -> Sighting | None:
    """Say what a frame is to a trace, None where it has nothing to do with it. When and where it was seen is not known here."""
    frame = dissect(data)
    return _asking(flow, frame.asking, frame) or _packet(flow, mark, frame, seen)


def placed(found: Sighting, point: Point, seconds: float, *, outgoing: bool, finished: bool) -> Sighting:
    """Give a sighting its time and place. ``outgoing``: the frame left the place. ``finished``: its checksums are as they will stay."""
    right_way = (outgoing == point.leaves) == (found.kind in _FORTH)
    return replace(found, seconds=seconds, right_way=right_way, miscounted=found.miscounted and finished)


def _asking(flow: Flow, asking: Asking | None, frame: Frame) -> Sighting | None:
    """Take a question for the target's MAC, or its answer, whoever asks: before a router's first packet stands its own question."""
    if asking is None or asking.target not in {str(flow.target), str(flow.translated)}:
        return None
    kind: Kind = "told" if asking.answer else "asked"
    said = asking.mac if asking.answer else ""
    return Sighting(kind, 0.0, frame.source, frame.destination, None, asking.asker, frame.vlans, (), said)


def _packet(flow: Flow, mark: Mark, frame: Frame, seen: Known) -> Sighting | None:
    for inner in frame.packets:
        known = _kind(flow, mark, inner, seen)
        if known is not None:
            kind, turn = known
            said = inner.said if kind == "error" else inner.flags
            return Sighting(
                kind, 0.0, frame.source, frame.destination, turn, "", frame.vlans, inner.through, said, miscounted=inner.miscounted,
            )
    return None


def _kind(flow: Flow, mark: Mark, inner: Inner, seen: Known) -> tuple[Kind, int | None] | None:
    """Tell a flow's marked packet, its answer, and an error about it from all others; addresses may have been translated."""
    if inner.error:
        return _about(flow, mark, inner, seen)
    turn = _request(flow, mark, inner)
    return _answer(flow, mark, inner, seen) if turn is None else ("request", turn)


def _request(flow: Flow, mark: Mark, inner: Inner) -> int | None:
    """Give the turn of a marked packet, None of any other."""
    if flow.protocol in {"tcp", "udp"} and inner.destination_port != flow.port:
        return None
    if flow.protocol == "tcp" and inner.protocol == TCP and "S" in inner.flags and "A" not in inner.flags:
        # the port is another's where NAT changes it too: two floating addresses of one guest, asked from the same port
        ours = mark.is_from(inner.source_port) or inner.destination in {str(flow.target), str(flow.translated)}
        return mark.turn_in(inner.sequence) if ours else None
    if flow.protocol == "udp" and inner.protocol == UDP:
        return mark.turn_of(inner.payload)
    return mark.turn_of(inner.payload) if flow.protocol == "icmp" and inner.protocol in _ICMPS and inner.kind in _ECHO else None


def _answer(flow: Flow, mark: Mark, inner: Inner, seen: Known) -> tuple[Kind, int | None] | None:
    if flow.protocol == "icmp" and inner.protocol in _ICMPS and inner.kind in _ECHO_REPLY:
        turn = mark.turn_of(inner.payload)
        return None if turn is None else ("reply", turn)
    end = (inner.destination_port, inner.source)
    if inner.source_port != flow.port or end not in seen.ends:
        return None
    if flow.protocol == "tcp" and inner.protocol == TCP and "A" in inner.flags:
        turn = mark.turn_in(inner.acknowledges - 1)
        return None if turn is None else ("reply", turn)
    return ("reply", seen.ends[end]) if flow.protocol == "udp" and inner.protocol == UDP else None


def _about(flow: Flow, mark: Mark, inner: Inner, seen: Known) -> tuple[Kind, int | None] | None:
    """Tell whether an error is about one of the packets; a router may quote no more than eight bytes behind the IP header (RFC 792)."""
    turn: int | None = None
    if flow.protocol == "icmp" and inner.protocol in _ICMPS and inner.kind in _ECHO:
        turn = mark.turn_of(inner.payload)
        if turn is None and inner.identifier == mark.identifier and seen.goes_to(inner.destination):
            turn = inner.sequence - 1 if 0 < inner.sequence <= TURNS else None
    elif inner.destination_port == flow.port and flow.protocol == "tcp" and inner.protocol == TCP:
        turn = mark.turn_in(inner.sequence)
    elif inner.destination_port == flow.port and flow.protocol == "udp" and inner.protocol == UDP:
        turn = seen.ends.get((inner.source_port, inner.destination))
    return None if turn is None else ("error", turn)
