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
    def last(self) -> Seen | None:
        """The last point that the request, or a question for the target's MAC, was seen at."""
        return next((seen for seen in reversed(self.points) if seen.of("request", "asked")), None)
