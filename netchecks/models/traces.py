"""One marked packet on its way: where it was looked for, and where it was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netchecks.errors import NotSeen

#: ``request``: the marked packet; ``reply``: its answer; ``error``: an ICMP error about it; ``asked``: a question for the target's
#: MAC (ARP, NDP); ``told``: the answer to such a question.
Kind = Literal["request", "reply", "error", "asked", "told"]


@dataclass(frozen=True, slots=True)
class Point:
    """One place where a packet is looked for. ``hop``: the platform's name of what it passes there (``uplink``, ``tap`` ...).

    ``device``: its name, ``mac:`` and a MAC, or empty where it is not known, and then ``why``. ``namespace``: of the place, by name.
    ``leaves``: the request goes out of the place by this device; else it comes in by it.
    ``blind``: why the kernel does not see all that passes there; empty where it does.
    """

    place: str
    hop: str
    device: str
    leaves: bool
    namespace: str = ""
    why: str = ""
    blind: str = ""

    def __str__(self) -> str:
        """Give it as a person names it."""
        return f"{self.place}: {self.hop} {self.device}".rstrip()


@dataclass(frozen=True, slots=True)
class Sighting:
    """One frame at a point that belongs to the trace. Seconds by the controller's clock, as exactly as that is known.

    ``turn``: which of the marked packets it is or answers, None where that does not show (ARP, NDP, an answer without a mark).
    ``source``, ``destination``: MACs. ``asker``: who asks for the target's MAC. ``vlans``: tags, the outer first.
    ``through``: what carries it, the outer first (``VXLAN 7``, ``MPLSoUDP 16`` ...). ``said``: what an answer or error says.
    ``right_way``: it goes the way that a packet of its kind goes there; one that a switch reflects does not.
    """

    kind: Kind
    seconds: float
    source: str
    destination: str
    turn: int | None = None
    asker: str = ""
    vlans: tuple[int, ...] = ()
    through: tuple[str, ...] = ()
    said: str = ""
    right_way: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen at one point. ``unseen``: why it could not be looked there, or not well enough to say that nothing came."""

    point: Point
    sightings: tuple[Sighting, ...] = ()
    unseen: NotSeen | None = None

    def of(self, *kinds: Kind) -> tuple[Sighting, ...]:
        """Give the sightings of these kinds that go the right way."""
        return tuple(one for one in self.sightings if one.kind in kinds and one.right_way)


@dataclass(frozen=True, slots=True)
class Trace:
    """One flow's packets at all points of its way, in the order of the request. ``sent``: seconds, by the controller's clock.

    ``unsent``: why nothing was sent.
    """

    flow: str
    points: tuple[Seen, ...]
    sent: tuple[float, ...] = ()
    unsent: NotSeen | None = None

    def at(self, hop: str, place: str) -> Seen | None:
        """Give what was seen at a hop of a place; None where the way has no such point."""
        return next((seen for seen in self.points if (seen.point.hop, seen.point.place) == (hop, place)), None)

    @property
    def answered(self) -> bool:
        """Whether an answer came to the sender."""
        return bool(self.points and self.points[0].of("reply", "told"))

    @property
    def lost(self) -> Stretch | None:
        """The stretch on which the packet, or its answer, is lost; None where nothing is, or where that could not be seen."""
        if self.answered or self.unsent or not self.points:
            return None
        further = _reached(self.points, "asked") > _reached(self.points, "request")  # a router asks before it sends
        return _stretch(self.points, ("asked" if further else "request",), forth=True) or self._back()

    def _back(self) -> Stretch | None:
        """The last point has the packet; its answers are followed the other way."""
        last = self.points[-1]
        kinds: tuple[Kind, ...] = ("reply", "error") if last.of("request") else ("told",)
        if not last.of(*kinds):
            return None if last.unseen else Stretch(last, None, forth=True)
        return _stretch(self.points[::-1], kinds, forth=False)

    @property
    def said(self) -> str:
        """What it comes to, in a sentence."""
        errors = {one.said for seen in self.points[:1] for one in seen.of("error")}
        if self.answered:
            return "answered: every hop passes the packet and its answer"
        if errors:
            return f"an ICMP error comes back: {', '.join(sorted(errors))}"
        if self.lost is None:
            return "no answer; where it is lost could not be seen"
        return str(self.lost)


@dataclass(frozen=True, slots=True)
class Outbound:
    """What a guest sends. ``traces``: of its own marked pings, where it can be entered.

    Else ``watched`` broadcasts of its own came to its tap meanwhile, and ``lost`` are those that did not leave its node, each in a line.
    """

    traces: tuple[Trace, ...] = ()
    watched: int = 0
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stretch:
    """Where something is lost: seen at the one point, and not at the next. ``after`` is None: inside the guest, or beyond the last."""

    before: Seen
    after: Seen | None
    forth: bool

    @property
    def owner(self) -> str:
        """Who has to act: on one node its administrator, between nodes the network engineer, behind the tap the guest's owner."""
        if self.after is None:
            return "guest owner"
        return "node administrator" if self.before.point.place == self.after.point.place else "network engineer"

    def __str__(self) -> str:
        """Give it as a sentence."""
        what = "the packet" if self.forth else "the answer"
        if self.after is None:
            return f"{self.before.point} has {what}, and nothing answers: {self.owner}"
        return f"{what} is lost between {self.before.point} and {self.after.point}: {self.owner}"


def _reached(points: tuple[Seen, ...], kind: Kind) -> int:
    return max((number for number, seen in enumerate(points) if seen.of(kind)), default=-1)


def _stretch(points: tuple[Seen, ...], kinds: tuple[Kind, ...], *, forth: bool) -> Stretch | None:
    """Find the last point where one of the kinds was seen, and the next where it could be looked and was not."""
    last = next((number for number in reversed(range(len(points))) if points[number].of(*kinds)), None)
    if last is None or last + 1 == len(points):
        return None
    after = next((seen for seen in points[last + 1:] if seen.unseen is None), None)
    return Stretch(points[last], after, forth) if after else None
