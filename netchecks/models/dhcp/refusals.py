"""Why a server does not serve a client, by its own log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from netchecks.models.dhcp.servers import DhcpEvent, DhcpLog

#: Lines that are older than this say nothing about now: clients ask again within minutes (RFC 2131 section 4.1 and what they do).
LATELY = 900.0
#: The longest that a question of netchecks itself lies back when the log is read.
JUST_NOW = 20.0

#: What dnsmasq (rfc2131.c) and ISC's dhcpd write where they have nothing to give, and where they do not want to.
_NO_ADDRESS = ("no address available", "no addresses available", "no free leases", "no leases left", "no address in range")
_IGNORED = ("ignored", "booting disallowed", "not authoritative")


@dataclass(frozen=True, slots=True)
class Refusal:
    """``no_address``: it has none for the client. ``no_range``: none of its ranges fits. ``refused``: NAK. ``ignored``: on purpose.

    ``said``: the server's own words.
    """

    code: Literal["no_address", "no_range", "refused", "ignored"]
    said: str


def refusal(log: DhcpLog, client: str, family: int, seconds: float = LATELY) -> Refusal | None:
    """Tell why the client was not served the last time it asked, if that was lately; None where the log does not say that.

    A NAK counts from the second one on: the first is how a client that moved learns it, and asks anew.
    """
    recent = [event for event in log.events if event.family == family and (event.seconds is None or log.now - event.seconds <= seconds)]
    found, naks = None, 0
    for event in (event for event in recent if event.client == client):
        if event.kind in {"ACK", "REPLY"} and event.address is not None:
            found, naks = None, 0
        elif event.kind == "NAK":
            naks += 1
            found = Refusal("refused", event.detail) if naks > 1 else found
        elif event.kind in {"DISCOVER", "SOLICIT", "ADVERTISE", "REQUEST"} and _reason(event):
            found = _reason(event)
    return found


def no_range(log: DhcpLog, link: str, seconds: float = JUST_NOW) -> Refusal | None:
    """Tell whether a request just came by an interface for which the server has no range; it does not say whose.

    ``link``: the network's interface at the server: one log may be of the servers of many networks. Empty: any.
    """
    events: Iterable[DhcpEvent] = (event for event in log.events if event.kind == "NO-RANGE" and (not link or event.link in {"", link}))
    said = [event.detail for event in events if event.seconds is None or log.now - event.seconds <= seconds]
    return Refusal("no_range", said[-1]) if said else None


def _reason(event: DhcpEvent) -> Refusal | None:
    if any(words in event.detail for words in _NO_ADDRESS):
        return Refusal("no_address", event.detail)
    return Refusal("ignored", event.detail) if any(words in event.detail for words in _IGNORED) else None
