"""Whether some packets of a row are lost: pings, and connections asked for from many ports (members of a bond, of ECMP)."""

from __future__ import annotations

import json
import secrets

from netchecks.errors import NotSeen, Why
from netchecks.models.answers import Row
from netchecks.models.subjects import Flow
from netchecks.probe import Ask, Got, Series, probe
from netchecks.send import check

#: Pings in little more than a second: a fifth lost shows in 97 of a hundred rows (netchecks.models.rows says as what).
PINGS = 40
#: SYNs from so many ports, each asked three times: whether a port's packets pass is told from chance (RFC 2992, hashing).
PORTS, TRIES = 16, 3
GAP = 0.03
#: Ports that no system hands out by itself: below Linux' ephemeral ones, above the registered ones in use (RFC 6335).
_FIRST, _SPAN = 20000, 12000


def _is_ping(flow: Flow) -> bool:
    return flow.sampled and flow.protocol == "icmp"


def _is_tcp(flow: Flow) -> bool:
    return flow.sampled and flow.protocol == "tcp"


def _read(flow: Flow, got: tuple[Got, ...]) -> Row:
    (item,) = check(got)
    if item.outcome != "sent" or not item.packets:
        raise NotSeen(Why.FAILED, f"the row of packets to {flow.target} did not end: {item.error or item.outcome}")
    try:
        answered, ports = json.loads(item.packets[0][3])
        return Row(tuple(bool(int(value)) for value in answered), tuple(int(port) for port in ports))
    except (ValueError, TypeError, RecursionError) as error:
        raise NotSeen(Why.UNREADABLE, f"the agent's row of packets to {flow.target}: {error}") from error


@probe("rows", where=_is_ping, read=_read)
def pings(flow: Flow) -> Ask:
    """Send 40 small pings within 1.2 seconds. Which were answered says what no single ping can."""
    return Ask((Series(flow.target, PINGS, GAP, at=_start(), namespace=flow.namespace),), 0.0)


@probe("rows", where=_is_tcp, read=_read)
def connections(flow: Flow) -> Ask:
    """Ask a declared port three times from each of 16 ports, and reset what answers; no connection comes about.

    Without root, one connection is made from each port and closed at once.
    """
    first = _FIRST + secrets.randbelow(_SPAN)
    ports = tuple(first + 61 * number for number in range(PORTS))
    return Ask((Series(flow.target, PORTS * TRIES, GAP, flow.port or 0, ports, _start(), flow.namespace),), 0.0)


def _start() -> float:
    """Give when to begin: not all rows of a place at the same moment."""
    return secrets.randbelow(int(GAP * 1000)) / 1000
