"""Which frames belong to a trace, and as what."""

from __future__ import annotations

from dataclasses import replace

from netchecks.models.subjects import Flow
from netchecks.models.traces import Kind, Point, Sighting
from netchecks.trace.dissecting import ICMP, ICMPV6, TCP, UDP, Asking, Frame, Inner, dissect
from netchecks.trace.marks import Mark

_ECHO, _ECHO_REPLY = {8, 128}, {0, 129}  # RFC 792, RFC 4443
#: What goes the way of the request; the others go the way of its answer.
_FORTH = frozenset({"request", "asked"})


def sighting(flow: Flow, mark: Mark, data: bytes) -> Sighting | None:
    """Say what a frame is to a trace, None where it has nothing to do with it. When and where it was seen is not known here."""
    frame = dissect(data)
    return _asking(flow, frame.asking, frame) or _packet(flow, mark, frame)


def placed(found: Sighting, point: Point, seconds: float, *, outgoing: bool) -> Sighting:
    """Give a sighting its time and place. ``outgoing``: the frame left the place."""
    right_way = (outgoing == point.leaves) == (found.kind in _FORTH)
    return replace(found, seconds=seconds, right_way=right_way)


def _asking(flow: Flow, asking: Asking | None, frame: Frame) -> Sighting | None:
    """Take a question for the target's MAC, or its answer, whoever asks: before a router's first packet stands its own question."""
    if asking is None or asking.target != flow.target.compressed:
        return None
    kind: Kind = "told" if asking.answer else "asked"
    said = asking.mac if asking.answer else ""
    return Sighting(kind, 0.0, frame.source, frame.destination, None, asking.asker, frame.vlans, (), said)


def _packet(flow: Flow, mark: Mark, frame: Frame) -> Sighting | None:
    for inner in frame.packets:
        known = _kind(flow, mark, inner)
        if known is not None:
            kind, turn, said = known
            return Sighting(kind, 0.0, frame.source, frame.destination, turn, "", frame.vlans, inner.through, said)
    return None


def _kind(flow: Flow, mark: Mark, inner: Inner) -> tuple[Kind, int | None, str] | None:
    """Tell a flow's marked packet, its answer, and an error about it from all others; addresses may have been translated."""
    if flow.protocol == "tcp":
        found = _tcp(flow, mark, inner)
    elif flow.protocol == "udp":
        found = _udp(flow, mark, inner)
    else:
        found = _echo(mark, inner)
    if found is None or not inner.error:
        return found
    return ("error", found[1], f"{inner.said}".strip()) if found[0] == "request" else None


def _tcp(flow: Flow, mark: Mark, inner: Inner) -> tuple[Kind, int | None, str] | None:
    if inner.protocol != TCP:
        return None
    if inner.destination_port == flow.port and mark.is_from(inner.source_port):
        turn = mark.turn_in(inner.sequence)
        return None if turn is None else ("request", turn, inner.flags)
    known = inner.source_port == flow.port and mark.is_from(inner.destination_port)
    turn = mark.turn_in(inner.acknowledges - 1) if known else None
    return None if turn is None else ("reply", turn, inner.flags)


def _udp(flow: Flow, mark: Mark, inner: Inner) -> tuple[Kind, int | None, str] | None:
    if inner.protocol != UDP:
        return None
    if inner.destination_port == flow.port and mark.is_from(inner.source_port):
        turn = mark.turn_of(inner.payload)
        return ("request", turn, "") if turn is not None or inner.error else None
    known = inner.source_port == flow.port and mark.is_from(inner.destination_port)
    return ("reply", inner.destination_port - mark.port, "") if known else None


def _echo(mark: Mark, inner: Inner) -> tuple[Kind, int | None, str] | None:
    if inner.protocol not in {ICMP, ICMPV6} or (turn := mark.turn_of(inner.payload)) is None:
        return None
    return ("request", turn, "") if inner.kind in _ECHO else ("reply", turn, "") if inner.kind in _ECHO_REPLY else None
