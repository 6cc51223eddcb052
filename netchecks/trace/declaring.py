"""Declaring the traces of a platform: it knows the points of a flow's way, everything else is the same for all."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from typing import Any

from netchecks.errors import NotSeen, Why
from netchecks.models.subjects import Flow, Place
from netchecks.models.traces import Point, Seen, Sighting, Trace
from netchecks.probe import PROBES, Action, Ask, Capture, Got, Part, Probe
from netchecks.seen import By
from netchecks.send import UNABLE, unable_to
from netchecks.trace import sending
from netchecks.trace.indexing import index
from netchecks.trace.marks import RUN, mark_of
from netchecks.trace.recognising import known, placed, sighting

_ARP, _IPV6 = 0x0806, 0x86DD
#: Seconds that captures stay open: the last packet is sent at 1.7, a proxy may take 0.8 for its answer (ip-sysctl, proxy_delay).
WINDOW = 2.6
#: Facts that sending needs, whatever the platform.
_NEEDS = ("links", "addresses", "route_lookups")
#: Seconds in which a packet is at its next point.
SLACK = 0.2
_REFUSED = "[Errno 1]"


def traced(
    *, where: Callable[[Flow], bool], at: Callable[[Flow], tuple[Place, ...]], points: Callable[..., tuple[Point, ...]],
    sends: Callable[..., tuple[Action, ...]] | None = None,
) -> Probe:
    """Declare that flows for which ``where`` holds can be traced.

    ``at``: the places of a flow's way. ``points``: takes the flow and the facts that it names, and gives the points in the order of
    the request. The first one is the sender's device. ``sends``: takes the flow and the same facts, and gives what is sent where
    that is not by the routes of the sender itself; it may raise NotSeen.
    """
    own = tuple(inspect.signature(points).parameters)[1:]
    needs = tuple(dict.fromkeys((*_NEEDS, *own) if sends is None else own))

    def ask(flow: Flow, *facts: By[Any, Any]) -> dict[str, Ask]:
        given = dict(zip(needs, facts, strict=True))
        named = {name: given[name] for name in own}
        way = points(flow, **named)
        return asks_of(flow.source.name, at(flow), way, lambda: sends(flow, **named) if sends else _sends(flow, way[0], given))

    def read(flow: Flow, parts: Mapping[str, Part | NotSeen]) -> Trace:
        return trace_of(flow, flow.source.name, parts)

    doc = "Send three marked packets and look for them, and for their answers, at every hop of the way."
    made = Probe("traces", Flow, where, ask, read, needs, root=True, doc=doc, at=at)
    PROBES.setdefault("traces", []).append(made)
    return made


def asks_of(
    sender: str, places: tuple[Place, ...], points: tuple[Point, ...], sends: Callable[[], tuple[Action, ...]], window: float = WINDOW,
) -> dict[str, Ask]:
    """Give what is asked of each place: to listen at its points, and of the sender to send. ``sends`` may raise NotSeen."""
    plain: dict[str, Any] = {"run": RUN.hex(), "points": [astuple(point) for point in points]}
    asks = {}
    for place in places:
        actions: list[Action] = [one for point in points if point.place == place.name and point.device for one in _captures(point)]
        note = dict(plain)
        if place.name == sender:
            try:
                actions += sends()
            except NotSeen as reason:
                note["unsent"] = [reason.why.name, reason.detail, reason.cause]
        if actions or "unsent" in note:
            asks[place.name] = Ask(tuple(actions), window if actions else 0.0, json.dumps(note))
    return asks


def _captures(point: Point) -> tuple[Capture, ...]:
    """Listen for questions, for the mark, and for the mark in what carries other packets."""
    device, namespace = point.device, point.namespace
    return (
        Capture(device, (_ARP, _IPV6), namespace=namespace), Capture(device, prefix=RUN, namespace=namespace),
        Capture(device, prefix=RUN, tunnels=True, namespace=namespace),
    )


def _sends(flow: Flow, first: Point, facts: Mapping[str, By[Any, Any]]) -> tuple[Action, ...]:
    source = flow.source
    if flow.protocol in {"arp", "ndp"}:
        return sending.questions(flow, first.device, facts["links"][source], facts["addresses"][source])
    return (sending.packets(flow, mark_of(flow.name), facts["route_lookups"][flow]),)


# -- reading ---------------------------------------------------------------------------------------------------------


def trace_of(flow: Flow, sender: str, parts: Mapping[str, Part | NotSeen]) -> Trace:
    """Join what was seen at all places. Raises NotSeen where there is nothing from any of them."""
    notes = {name: json.loads(part.note) for name, part in parts.items() if isinstance(part, Part) and part.note}
    if not notes:
        raise next((part for part in parts.values() if isinstance(part, NotSeen)), NotSeen(Why.NOT_RECORDED, f"traces of {flow}"))
    some = next(iter(notes.values()))
    points = [_point(row, notes) for row in some["points"]]
    sent, unsent = _sent(flow, sender, parts[sender], notes)
    said = _Said(parts, notes, sender, sent)
    return Trace(flow.name, tuple(_seen(flow, point, said) for point in points), sent, unsent, flow.protocol)


@dataclass(frozen=True, slots=True)
class _Said:
    """What all places said: by their names, with the notes of how they were asked."""

    parts: Mapping[str, Part | NotSeen]
    notes: Mapping[str, Any]
    sender: str
    sent: tuple[float, ...]

    def slack(self, place: str) -> float:
        """Give by how many seconds a packet's time at the sender and one at this place may be apart where they are told as the same."""
        two = [self.parts[name] for name in (place, self.sender)] if place != self.sender else []
        return SLACK + sum((part.booted[1] - part.booted[0]) / 2 for part in two if isinstance(part, Part) and part.booted)


def _point(row: list[Any], notes: Mapping[str, Any]) -> Point:
    """Give a point as its own place knew it: that had its facts first."""
    point = Point(*row)
    own = notes.get(point.place, {}).get("points", ())
    return next((Point(*one) for one in own if tuple(one[:2]) == (point.place, point.hop)), point)


def _clock(part: Part) -> float:
    """Give the controller's time at which the agent began, as exactly as it is known."""
    earliest, latest = part.booted or (0.0, 0.0)
    return (earliest + latest) / 2 + part.began


def _sent(flow: Flow, sender: str, part: Part | NotSeen, notes: Mapping[str, Any]) -> tuple[tuple[float, ...], NotSeen | None]:
    if isinstance(part, NotSeen):
        return (), part
    why = notes.get(sender, {}).get("unsent")
    if why:
        return (), NotSeen(Why[why[0]], why[1], cause=why[2])
    sends = [got for got in part.got if got.times and got.target in {"", str(flow.target)}]
    failed = next((got.error for got in sends if got.outcome == "failed"), "")
    times = tuple(_clock(part) + at for got in sends for at in got.times[:got.sent])
    if times:
        return times, None
    unable = next((got for got in part.got if got.outcome in UNABLE and got.outcome != "failed"), None)
    if unable is not None:
        return (), unable_to(unable)
    # the kernel says EPERM to a packet that the node's own rules drop
    cause = "sender.drops_request" if _REFUSED in failed else ""
    return (), NotSeen(Why.FAILED, f"{part.place}: {failed or 'no packet was sent'}", cause=cause)


def _seen(flow: Flow, point: Point, said: _Said) -> Seen:
    part = said.parts.get(point.place, NotSeen(Why.NOT_RECORDED, f"{point}"))
    asked = not isinstance(part, NotSeen) or part.why is Why.NOT_RECORDED  # a place without any device has nothing to do
    if not point.device and asked:
        return Seen(point, (), NotSeen(Why.NOT_POSSIBLE, point.why or f"{point}: the device is not known"))
    if isinstance(part, NotSeen):
        return Seen(point, (), part)
    mark = mark_of(flow.name, bytes.fromhex(said.notes[point.place]["run"]))
    heard = _heard(point, part, said.notes[point.place])
    frames = [(at, outgoing, data, got) for got in heard for at, _, outgoing, data in index(got.packets).of(flow, mark)]
    ends = known(flow, mark, (data for _, _, data, _ in frames))
    sightings = []
    for at, outgoing, data, got in frames:
        found = sighting(flow, mark, data, ends)
        if found is not None:
            finished = got.unfinished is not None and (at, data) not in got.unfinished
            sightings.append(placed(found, point, _clock(part) + at, outgoing=outgoing, finished=finished))
    return Seen(point, _ordered(sightings), _unseen(point, part, heard, said))


def _heard(point: Point, part: Part, note: Mapping[str, Any]) -> tuple[Got, ...]:
    """Give the captures of a point: three for each point of the place that has a device, in their order."""
    here = [row for row in note["points"] if row[0] == part.place and row[2]]
    index = next((number for number, row in enumerate(here) if tuple(row[:2]) == (point.place, point.hop)), None)
    return () if index is None else part.got[index * 3:index * 3 + 3]


def _ordered(sightings: list[Sighting]) -> tuple[Sighting, ...]:
    """Give each once, by time: a packet may be in two captures of one device."""
    return tuple(sorted(dict.fromkeys(sightings), key=lambda one: one.seconds))


def _unseen(point: Point, part: Part, heard: tuple[Got, ...], said: _Said) -> NotSeen | None:
    """Say why silence at a point proves nothing, None where it does."""
    for got in heard:
        if got.opened is None:
            cause = "node.tool_missing" if got.outcome == "missing" else ""
            return NotSeen(UNABLE.get(got.outcome, Why.FAILED), f"{point}: cannot capture: {got.error}", cause=cause)
    if not heard:
        return NotSeen(Why.NOT_RECORDED, f"{point}")
    if point.blind:
        return NotSeen(Why.NOT_POSSIBLE, f"{point}: {point.blind}")
    dropped = sum(got.dropped for got in heard)
    if dropped:
        return NotSeen(Why.TRUNCATED, f"{point}: {dropped} frames came too fast to be kept")
    opened = max(got.opened or 0.0 for got in heard)
    slack = said.slack(point.place)
    early, late = _clock(part) + opened + slack, _clock(part) + part.ended - slack
    if said.sent and not any(early <= at <= late for at in said.sent):
        return NotSeen(Why.TIMED_OUT, f"{point}: it was listened there at another time than the packets were sent")
    return None
