"""One marked packet on its way: where it was looked for, and where it was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netchecks.errors import NotSeen
from netchecks.models.subjects import Protocol

#: ``request``: the marked packet; ``reply``: its answer; ``error``: an ICMP error about it; ``asked``: a question for the target's
#: MAC (ARP, NDP); ``told``: the answer to such a question.
Kind = Literal["request", "reply", "error", "asked", "told"]

#: The hop of a device that packets may come in by instead of the uplink.
OTHER_UPLINK = "other uplink"


@dataclass(frozen=True, slots=True)
class Point:
    """One place where a packet is looked for. ``hop``: the platform's name of what it passes there (``uplink``, ``tap`` ...).

    ``device``: its name, ``mac:`` and a MAC, or empty where it is not known, and then ``why``. ``namespace``: of the place, by name.
    ``leaves``: the request goes out of the place by this device; else it comes in by it.
    ``blind``: why the kernel does not see all that passes there; empty where it does.
    ``asks``: the place routes the packet there, and asks for the target's MAC itself before it does.
    """

    place: str
    hop: str
    device: str
    leaves: bool
    namespace: str = ""
    why: str = ""
    blind: str = ""
    asks: bool = False

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
    ``miscounted``: the checksum of its TCP or UDP is wrong, and neither the kernel nor a NIC is still to compute it.
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
    miscounted: bool = False


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

    ``unsent``: why nothing was sent. ``protocol``: of ARP and NDP the question for the MAC is the packet itself.
    """

    flow: str
    points: tuple[Seen, ...]
    sent: tuple[float, ...] = ()
    unsent: NotSeen | None = None
    protocol: Protocol = "icmp"

    def at(self, hop: str, place: str) -> Seen | None:
        """Give what was seen at a hop of a place; None where the way has no such point."""
        return next((seen for seen in self.points if (seen.point.hop, seen.point.place) == (hop, place)), None)

    @property
    def answered(self) -> bool:
        """Whether an answer came to the sender."""
        return bool(self.points and self.points[0].of(self._answer))

    @property
    def errors(self) -> tuple[str, ...]:
        """What ICMP errors about the packets said that came to the sender, each once."""
        return tuple(dict.fromkeys(one.said for seen in self.points[:1] for one in seen.of("error")))

    @property
    def lost(self) -> Stretch | None:
        """The stretch on which the packet, or its answer, is lost; None where nothing is, or where that could not be seen."""
        if self.answered or self.unsent or not self.points:
            return None
        way = self._way
        last = -1 if self._answer == "told" else _last(way, "request")
        if last < 0:
            return self._question(way, frozenset(one.asker for one in way[0].of("asked")))
        if last + 1 == len(way):
            return self._back(("reply", "error"), None, way)
        return self._before_router(way, last)

    @property
    def _answer(self) -> Kind:
        return "told" if self.protocol in {"arp", "ndp"} else "reply"

    @property
    def _way(self) -> tuple[Seen, ...]:
        """The points; a guest that could not be looked into is as if nobody could enter it: what its tap shows counts."""
        last = self.points[-1]
        blind = last.point.hop == "guest" and last.unseen is not None and not last.sightings
        return self.points[:-1] if blind and len(self.points) > 1 else self.points

    def _before_router(self, way: tuple[Seen, ...], last: int) -> Stretch | None:
        """The packet goes no further than this. A router on the way asks for the MAC first: then its question is followed."""
        here, after = way[last], _looked(way[last + 1:])
        if after is None:
            return None
        askers = frozenset(one.asker for one in after.of("asked")) - {one.asker for one in here.of("asked")}
        bridged = here.point.place == after.point.place and not after.point.asks
        if bridged or not askers or any(one.asker in askers for one in after.of("told")):
            return Stretch(here, after, forth=True)
        return self._question(way[way.index(after):], askers)

    def _question(self, way: tuple[Seen, ...], askers: frozenset[str]) -> Stretch | None:
        """Follow the question of these askers for the MAC from the first of these points on, and its answer back to there."""
        if not askers:
            return None if way[0].unseen else Stretch(None, way[0], forth=True)
        last = _last(way, "asked", askers)
        if last + 1 < len(way):
            after = _looked(way[last + 1:])
            return Stretch(way[last], after, forth=True) if after else None
        return self._back(("told",), askers, way)

    def _back(self, kinds: tuple[Kind, ...], askers: frozenset[str] | None, way: tuple[Seen, ...]) -> Stretch | None:
        """The last point has it; its answers are followed the other way. Silence to a datagram says nothing."""
        back = way[::-1]
        last = max(_last(back, kind, askers) for kind in kinds)
        if last < 0:
            return None if back[0].unseen or self.protocol == "udp" else Stretch(back[0], None, forth=True)
        after = _looked(back[last + 1:])
        return Stretch(back[last], after, forth=False) if after else None

    @property
    def said(self) -> str:
        """What it comes to, in a sentence."""
        if self.answered:
            return self._answered()
        errors = f"an ICMP error comes back: {', '.join(sorted(self.errors))}" if self.errors else ""
        lost = str(self.lost or "")
        if errors or lost:
            return "; ".join(filter(None, (lost, errors)))
        if self.protocol == "udp" and self.points and self.points[-1].of("request"):
            return f"{self.points[-1].point} has the packet; no answer, which a datagram need not have"
        return "no answer; where it is lost could not be seen"

    def _answered(self) -> str:
        """Say by which hops it did not come where it could be looked: somebody else may answer, or it may go another way."""
        past = [str(seen.point) for seen in self.points if not seen.sightings and seen.unseen is None]
        if past:
            return f"answered, and nothing was seen at {', '.join(past)}"
        unseen = any(not seen.sightings for seen in self.points)
        return "answered" if unseen else "answered: every hop passes the packet and its answer"


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
    """Where something is lost: seen at the one point, and not at the next.

    ``before`` is None: it does not leave the sender. ``after`` is None: inside the guest, or beyond the last.
    """

    before: Seen | None
    after: Seen | None
    forth: bool

    @property
    def owner(self) -> str:
        """Who has to act: on one node its administrator, beyond it the network engineer, behind the tap the guest's owner."""
        if self.after is None:
            return "network engineer" if self.before is not None and self.before.point.hop == "uplink" else "guest owner"
        return "node administrator" if self.place else "network engineer"

    @property
    def place(self) -> str:
        """The place that loses it; empty where that is between two. A guest's NIC is behind its tap, on the tap's node."""
        if self.after is None:
            return self.before.point.place if self.before else ""
        before, after = (self.before or self.after).point, self.after.point
        if after.hop == "guest":
            return before.place
        return after.place if before.place == after.place or before.hop == "guest" else ""

    def __str__(self) -> str:
        """Give it as a sentence."""
        what = "the packet" if self.forth else "the answer"
        if self.before is None:
            return f"{what} does not leave {self.after.point if self.after else 'its sender'}: {self.owner}"
        if self.after is None:
            return f"{self.before.point} has {what}, and nothing answers: {self.owner}"
        return f"{what} is lost between {self.before.point} and {self.after.point}: {self.owner}"


def _last(points: tuple[Seen, ...], kind: Kind, askers: frozenset[str] | None = None) -> int:
    """Give the number of the last point that something of this kind, of or to one of the askers, was seen at; -1: at none."""
    found = (number for number, seen in enumerate(points) if any(askers is None or one.asker in askers for one in seen.of(kind)))
    return max(found, default=-1)


def _looked(points: tuple[Seen, ...]) -> Seen | None:
    """Give the first point where silence proves something."""
    return next((seen for seen in points if seen.unseen is None), None)
