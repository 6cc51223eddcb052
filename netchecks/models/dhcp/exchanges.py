"""What was heard of DHCP at several points of the way, and where an exchange breaks off. Knows no platform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from netchecks.models.dhcp.messages import Advertisement, Message

#: What a client says, and what a server answers, in the order of an exchange (RFC 2131 section 3.1, RFC 8415 section 5).
EXCHANGES = {4: (("DISCOVER", ("OFFER",)), ("REQUEST", ("ACK", "NAK"))), 6: (("SOLICIT", ("ADVERTISE", "REPLY")), ("REQUEST", ("REPLY",)))}

#: Places begin to listen within so many seconds of each other: what was said before proves nothing.
SETTLED = 1.0
#: What was said so shortly before the end may not have been handed on yet; a server thinks longer, as it pings an address first.
HANDED_ON, SERVER_THINKS = 0.5, 3.3


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the way: a device at a place. ``messages``: None where it could not be listened there."""

    place: str
    device: str
    messages: tuple[Message, ...] | None

    def __str__(self) -> str:
        """Give it as in messages."""
        return f"{self.device} of {self.place}"

    def said(self, of: Exchange, kinds: Sequence[str], since: float = 0.0, until: float = inf) -> bool:
        """Tell whether such a message of an exchange was heard in that time."""
        return any(of.has(one) and one.kind in kinds and since <= one.seconds <= until for one in self.messages or ())


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was heard of one client, point by point from the client to its uplink, and at the servers. ``seconds``: how long.

    ``identifier``: the transaction, where only one is meant: several nodes ask as the same test client.
    """

    client: str
    family: int
    points: tuple[Point, ...]
    servers: tuple[Point, ...] = ()
    seconds: float = 0.0
    identifier: int | None = None

    def has(self, message: Message) -> bool:
        """Tell whether a message belongs to it."""
        own = self.identifier is None or message.identifier == self.identifier
        return own and message.client == self.client and message.family == self.family

    @property
    def answers(self) -> tuple[Message, ...]:
        """What servers said to the client, where the client is: one for each server and kind, the first."""
        found: dict[tuple[object, ...], Message] = {}
        for message in self.points[0].messages or () if self.points else ():
            if self.has(message) and message.from_server:
                found.setdefault((message.kind, message.server, message.mac), message)
        return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Loss:
    """Where an exchange breaks off: ``kind`` was heard at ``after`` and not at ``before``.

    No ``before``: beyond the last point nobody listened. No ``after``: the answer should have come from the server itself.
    """

    kind: str
    after: Point | None
    before: Point | None

    @property
    def answer(self) -> bool:
        """Whether it is an answer that is missing, not a question."""
        return self.kind in {"OFFER", "ACK", "ADVERTISE", "REPLY"}


def follow(exchange: Exchange) -> Loss | None:
    """Find where a client's exchange breaks off; None where it was answered, or where the client asked nothing.

    Several servers: one that heard the question, or said the answer, is enough.
    """
    near = [point for point in exchange.points if point.messages is not None]
    for ask, answers in reversed(EXCHANGES[exchange.family]) if near else ():
        if near[0].said(exchange, (ask,), SETTLED, exchange.seconds - HANDED_ON):
            if near[0].said(exchange, answers):
                return None
            return _ask_lost(exchange, near, ask) or _answer_lost(exchange, near, ask, answers)
    return None


def _ask_lost(exchange: Exchange, near: list[Point], ask: str) -> Loss | None:
    for after, before in pairwise(near):
        if not before.said(exchange, (ask,)):
            return Loss(ask, after, before)
    far = [point for point in exchange.servers if point.messages is not None]
    if far and len(far) == len(exchange.servers) and not any(point.said(exchange, (ask,)) for point in far):
        return Loss(ask, near[-1], far[0])
    return None


def _answer_lost(exchange: Exchange, near: list[Point], ask: str, answers: tuple[str, ...]) -> Loss | None:
    until = exchange.seconds - HANDED_ON
    far = [point for point in exchange.servers if point.said(exchange, (ask,))]
    way = [*near, *[point for point in far if point.said(exchange, answers, SETTLED, until)][:1]]
    for before, after in reversed(list(pairwise(way))):
        if after.said(exchange, answers, SETTLED, until) and not before.said(exchange, answers):
            return Loss(answers[0], after, before)
    if near[0].said(exchange, (ask,), SETTLED, exchange.seconds - SERVER_THINKS):
        return Loss(answers[0], None, far[0] if far else None)
    return None


@dataclass(frozen=True, slots=True)
class Handshake:
    """A whole handshake that was made. ``outcome``: answered (an ACK), refused (a NAK), silent. ``sent``: 1 at a DISCOVER alone.

    ``offer``: what was offered; ``end``: the ACK or NAK.
    """

    client: str
    outcome: str
    sent: int
    offer: Message | None = None
    end: Message | None = None


@dataclass(frozen=True, slots=True)
class Advertisements:
    """The router advertisements of a segment. ``asked``: a solicitation was sent, so silence says that there is no router."""

    asked: bool
    heard: tuple[Advertisement, ...]
