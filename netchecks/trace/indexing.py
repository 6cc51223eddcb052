"""Frames by what they may belong to: hundreds of traces share the captures of an uplink, and each looks at its own frames alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from netchecks.models.subjects import Flow
from netchecks.trace.dissecting import TCP, UDP, Frame, Inner, dissect
from netchecks.trace.marks import COOKIE, Mark

#: A row of a capture: seconds, device, whether it left, the frame.
Row: TypeAlias = tuple[float, str, bool, bytes]
_Key: TypeAlias = tuple[str, object]

#: Errors quote of a packet what they like: they may be anybody's.
_ANYBODY: _Key = ("error", None)
#: Captures that are remembered; a run has a few for each of its places.
_MOST = 1024
_TURN_BITS = 3  # a mark's sequence number leaves them to the turn


@dataclass(frozen=True, slots=True)
class Index:
    """The frames of one capture. ``rows`` is kept, so that nothing else takes its place in memory."""

    rows: tuple[Row, ...]
    numbers: dict[_Key, list[int]] = field(default_factory=dict)

    def of(self, flow: Flow, mark: Mark) -> Iterator[Row]:
        """Give the frames that may belong to a flow's trace, in their order."""
        keys = [_ANYBODY, ("mark", mark.cookie), ("sequence", mark.sequence >> _TURN_BITS), ("asks", flow.target.compressed)]
        keys += [("asks", flow.translated.compressed)] if flow.translated else []
        keys += [("port", flow.port)] if flow.protocol == "udp" else []
        found = {number for key in keys for number in self.numbers.get(key, ())}
        return (self.rows[number] for number in sorted(found))


_KNOWN: dict[int, Index] = {}


def index(rows: tuple[Row, ...]) -> Index:
    """Give the index of a capture's frames, made once for all the traces that share it."""
    known = _KNOWN.get(id(rows))
    if known is None or known.rows is not rows:
        if len(_KNOWN) >= _MOST:
            _KNOWN.clear()
        known = _KNOWN[id(rows)] = _made(rows)
    return known


def _made(rows: tuple[Row, ...]) -> Index:
    made = Index(rows)
    for number, (_, _, _, data) in enumerate(rows):
        for key in _keys(dissect(data)):
            made.numbers.setdefault(key, []).append(number)
    return made


def _keys(frame: Frame) -> Iterator[_Key]:
    if frame.asking is not None:
        yield "asks", frame.asking.target
    for inner in frame.packets:
        yield from (_ANYBODY,) if inner.error else _marks(inner)


def _marks(inner: Inner) -> Iterator[_Key]:
    """Say by what a packet may be known: its payload, TCP's numbers, and the port of who answers a datagram without repeating it."""
    if inner.protocol == TCP:
        yield "sequence", inner.sequence >> _TURN_BITS
        yield "sequence", inner.acknowledges - 1 >> _TURN_BITS
    else:
        yield "mark", inner.payload[:COOKIE - 1]
    if inner.protocol == UDP:
        yield "port", inner.source_port
