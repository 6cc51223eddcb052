"""What came back for the packets that a flow sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netchecks.models.subjects import Address

#: ``answered``: the target's answer came. ``refused``: a reset or port unreachable came from the target, so packets
#: go both ways. ``unreachable``: an ICMP error or the sender's own kernel said no. ``too_big``: the size did not fit and
#: somebody said so. ``silent``: nothing came.
Outcome = Literal["answered", "refused", "unreachable", "too_big", "silent"]


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. ``mac`` is the one the payload claims (ARP sender, NDP option), ``source`` the frame's own.

    ``seconds`` since the first request.
    """

    seconds: float
    address: Address | None = None
    mac: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one flow. ``sent``: packets sent. ``error``: what the kernel or an ICMP message said.

    ``others``: what the target's MAC answered for addresses that are not the flow's (asked only when it was silent).
    ``wants``: addresses that the target itself asked for meanwhile. ``reflected``: the asker's own frame came back in. ``heard``: MACs
    of others who asked for the same meanwhile, so that what they send comes here.
    """

    outcome: Outcome
    sent: int = 0
    replies: tuple[Reply, ...] = ()
    error: str = ""
    others: tuple[Reply, ...] = ()
    wants: tuple[Address, ...] = ()
    reflected: bool = False
    heard: tuple[str, ...] = ()

    @property
    def macs(self) -> tuple[str, ...]:
        """Who answered, each once, in the order of their first answers."""
        return tuple(dict.fromkeys(reply.mac for reply in self.replies))

    @property
    def came_back(self) -> bool:
        """Whether packets go both ways, even if the answer is no."""
        return self.outcome in {"answered", "refused"}


@dataclass(frozen=True, slots=True)
class Row:
    """Which of a row of packets were answered, in the order in which they were sent. ``ports``: whence each was sent, empty: ping."""

    answered: tuple[bool, ...]
    ports: tuple[int, ...] = ()

    @property
    def lost(self) -> int:
        """How many were not answered."""
        return self.answered.count(False)

    @property
    def by_port(self) -> dict[int, tuple[bool, ...]]:
        """What came of each port's packets."""
        found: dict[int, tuple[bool, ...]] = {}
        for port, answered in zip(self.ports, self.answered, strict=True):
            found[port] = (*found.get(port, ()), answered)
        return found


#: The rcode of a name that did not resolve, where it is not told whether its resolver said so, or said nothing.
UNTOLD = -2


@dataclass(frozen=True, slots=True)
class NameAnswer:
    """One resolver's answer to one name. ``rcode`` is -1 where nothing came, UNTOLD; ``seconds`` until the answer."""

    server: Address
    name: str
    rcode: int
    addresses: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Overheard:
    """Whether one question and its answer were seen at a device of a place; both None where it could not be listened there."""

    place: str
    device: str
    asked: bool | None
    answered: bool | None

    def __str__(self) -> str:
        """Give it as in messages."""
        if self.asked is None:
            return f"{self.device} of {self.place} could not be listened at"
        seen = " and ".join(filter(None, ("the question" * self.asked, "the answer" * bool(self.answered)))) or "nothing"
        return f"{seen} at {self.device} of {self.place}"


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured frame, as scapy decoded it at need. ``outgoing``: sent by this machine. Seconds since the start."""

    seconds: float
    device: str
    outgoing: bool
    data: bytes
