"""Declaring a probe: from facts to *what to send*, and from what came back to a value. Nothing here sends."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from netchecks.models.subjects import Address, Flow

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Frames:
    """Frames to send out of a device. ``at``: seconds after the start. ``gap``: seconds between frames.

    ``unless``: (offset, bytes) ...: nothing is sent when one frame captured so far has all these bytes there.
    """

    device: str
    frames: tuple[bytes, ...]
    at: float = 0.0
    gap: float = 0.0
    unless: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Capture:
    """Frames to keep: those of a device whose ethertype is one of these (ICMPv6 only of 0x86dd)."""

    device: str
    ethertypes: tuple[int, ...]


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


@dataclass(frozen=True, slots=True)
class Connect:
    """A TCP connection that is closed at once. Seconds until it counts as silent."""

    target: Address
    port: int
    seconds: float = 3.0


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP datagram, repeated once after half the time. Seconds until it counts as silent."""

    target: Address
    port: int
    payload: bytes
    seconds: float = 3.0


Action = Frames | Capture | Echo | Connect | Datagram


@dataclass(frozen=True, slots=True)
class Ask:
    """All that one probe wants done at one place, in one go. ``seconds``: how long its captures stay open."""

    actions: tuple[Action, ...]
    seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Got:
    """What the agent says of one action, in the action's order.

    ``packets``: (seconds, device, outgoing, data). ``outcome`` and ``error`` are the agent's words for sockets, and
    ``target`` whom a socket talked to.
    """

    outcome: str = ""
    error: str = ""
    seconds: float = 0.0
    sent: int = 0
    packets: tuple[tuple[float, str, bool, bytes], ...] = ()
    dropped: int = 0
    target: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """One way to a fact that needs packets: for subjects of type ``of`` for which ``where`` holds."""

    name: str
    of: type
    where: Callable[[Any], bool]
    ask: Callable[..., Ask]
    read: Callable[[Any, tuple[Got, ...]], Any]
    needs: tuple[str, ...]
    root: bool
    doc: str


#: Every probe by the fact that it gives; filled by importing netchecks.probes.
PROBES: dict[str, list[Probe]] = {}


def _always(_subject: object) -> bool:
    return True


def probe(
    fact: str,
    *,
    read: Callable[[Any, tuple[Got, ...]], Any],
    of: type = Flow,
    where: Callable[[Any], bool] = _always,
    root: bool = True,
) -> Callable[[F], F]:
    """Declare the decorated function as a way to ``fact``.

    Its first parameter is the subject, the others are the facts it needs; it returns an Ask, or raises NotSeen where
    nothing can be sent. ``read`` gets the subject and one Got for each action, and gives the value.
    """

    def declare(ask: F) -> F:
        needs = tuple(inspect.signature(ask).parameters)[1:]
        PROBES.setdefault(fact, []).append(Probe(fact, of, where, ask, read, needs, root, ask.__doc__ or ""))
        return ask

    return declare
