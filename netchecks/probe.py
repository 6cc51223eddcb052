"""Declaring a probe: from facts to *what to send*, and from what came back to a value. Nothing here sends."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from netchecks.models.subjects import Address, Flow, Place

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames to send out of a device. ``at``: seconds after the start. ``gap``: seconds between frames.

    ``unless``: (offset, bytes) ...: nothing is sent when one frame captured so far has all these bytes there.
    ``namespace``: a network namespace of the place, by its name; empty: the place's own.
    """

    device: str
    frames: tuple[bytes, ...]
    at: float = 0.0
    gap: float = 0.0
    unless: tuple[tuple[int, bytes], ...] = ()
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """DHCP's whole handshake out of a device that is captured: DISCOVER, REQUEST of what is offered, RELEASE of what was given.

    The frames are whole; the offered address and the server's identifier are put where ``request_at`` and ``release_at`` say.
    Only of ``servers`` (their IPv4 addresses) something is taken. ``identifier``: the transaction's four bytes.
    """

    device: str
    discover: bytes
    request: bytes
    release: bytes
    identifier: bytes
    servers: tuple[str, ...]
    request_at: tuple[int, int]
    release_at: tuple[int, int]
    at: float = 0.0
    seconds: float = 4.5
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Packets:
    """IP packets for an address, with their headers, sent by the way that the place's routes take. Seconds and namespace as in Frames."""

    target: Address
    packets: tuple[bytes, ...]
    at: float = 0.0
    gap: float = 0.0
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Capture:
    """Frames to keep of a device: what any of the fields names. Tags are in the data, wherever the kernel had them.

    ``device``: its name, or ``mac:`` and its MAC. ``ethertypes``: whole ones (ICMPv6 only of 0x86dd). ``udp_ports``: UDP from or to
    these ports. ``prefix``: packets with a mark that begins with these four bytes (netchecks.packet_filter.marked).
    ``tunnels``: of packets that carry others, those in which the prefix' first two bytes stand where a mark may. ``senders``:
    broadcasts from these MACs.
    """

    device: str
    ethertypes: tuple[int, ...] = ()
    udp_ports: tuple[int, ...] = ()
    prefix: bytes = b""
    tunnels: bool = False
    senders: tuple[str, ...] = ()
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Echo:
    """ICMP messages (without IP header) for an address, sent ``count`` times a second apart until one is answered.

    ``fragment``: false sets DF. The answer is known by ``cookie``.
    """

    target: Address
    message: bytes
    cookie: bytes
    count: int = 3
    fragment: bool = True
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Connect:
    """A TCP connection that is closed at once. Seconds until it counts as silent."""

    target: Address
    port: int
    seconds: float = 3.0
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP datagram, repeated once after half the time. Seconds until it counts as silent."""

    target: Address
    port: int
    payload: bytes
    seconds: float = 3.0
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """A row of ``count`` small packets, ``gap`` seconds apart: echoes, or with a ``port`` SYNs from ``ports`` in turn.

    What came back is JSON: for each packet 0 or 1, and the port that it was sent from. No connection comes about: the sender's
    kernel resets what answers.
    """

    target: Address
    count: int
    gap: float
    port: int = 0
    ports: tuple[int, ...] = ()
    at: float = 0.0
    namespace: str = ""


Action = Frames | Lease | Packets | Capture | Echo | Connect | Datagram | Series


@dataclass(frozen=True, slots=True)
class Ask:
    """All that one probe wants done at one place, in one go. ``seconds``: how long its captures stay open.

    ``note``: what the reading has to know of how it was asked; it stands in the record.
    """

    actions: tuple[Action, ...]
    seconds: float = 2.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Got:
    """What the agent says of one action, in the action's order. Seconds count from the agent's beginning.

    ``packets``: (seconds, device, outgoing, data). ``dropped``: frames of this capture that were lost. ``opened``: when a capture
    began to listen, None where it did not. ``times``: when each frame or packet was sent. ``unfinished``: which of the packets, as
    (seconds, data), have checksums that the kernel, or a NIC, is still to compute; None where that is not known.
    ``outcome`` and ``error`` are the agent's words for sockets, and ``target`` whom a socket talked to.
    """

    outcome: str = ""
    error: str = ""
    seconds: float = 0.0
    sent: int = 0
    packets: tuple[tuple[float, str, bool, bytes], ...] = ()
    dropped: int = 0
    target: str = ""
    opened: float | None = None
    times: tuple[float, ...] = ()
    unfinished: frozenset[tuple[float, bytes]] | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What came of an ask at one place. The agent ``began`` in seconds of the place's uptime, and ``ended`` so many seconds later.

    ``booted``: the earliest and the latest time, by the controller's clock, at which that uptime was 0.
    """

    place: str
    got: tuple[Got, ...]
    note: str = ""
    began: float = 0.0
    ended: float = 0.0
    booted: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """One way to a fact that needs packets: for subjects of type ``of`` for which ``where`` holds.

    ``at``: the places that it is asked at together, None: at the subject's own. Then ``ask`` gives an Ask for each place by
    name, and ``read`` gets a Part, or the NotSeen of why there is none, for each place by name.
    """

    name: str
    of: type
    where: Callable[[Any], bool]
    ask: Callable[..., Any]
    read: Callable[[Any, Any], Any]
    needs: tuple[str, ...]
    root: bool
    doc: str
    at: Callable[[Any], tuple[Place, ...]] | None = None


#: Every probe by the fact that it gives; filled by importing netchecks.probes.
PROBES: dict[str, list[Probe]] = {}


def _always(_subject: object) -> bool:
    return True


def probe(  # noqa: PLR0913 - one keyword for each property of a probe
    fact: str,
    *,
    read: Callable[[Any, Any], Any],
    of: type = Flow,
    where: Callable[[Any], bool] = _always,
    root: bool = True,
    at: Callable[[Any], tuple[Place, ...]] | None = None,
) -> Callable[[F], F]:
    """Declare the decorated function as a way to ``fact``.

    Its first parameter is the subject, the others are the facts it needs; it returns an Ask, or raises NotSeen where
    nothing can be sent. ``read`` gets the subject and one Got for each action, and gives the value.
    ``at``: a probe of several places, which all send and listen at the same time (see Probe).
    """

    def declare(ask: F) -> F:
        needs = tuple(inspect.signature(ask).parameters)[1:]
        PROBES.setdefault(fact, []).append(Probe(fact, of, where, ask, read, needs, root, ask.__doc__ or "", at))
        return ask

    return declare
