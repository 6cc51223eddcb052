"""Rates as tc prints them, and what its filters police."""

from __future__ import annotations

import re

from netchecks.errors import Unreadable
from netchecks.models.bridges import TrafficFilter
from netchecks.models.throughput import RateLimit

_RATE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([KMGT]?)(i?)(bit|bps)")


def rate(text: str) -> float:
    """Read a rate as tc prints it, in bit/s.

    >>> rate("10Mbit"), rate("1500Kbit"), rate("1Mibit"), rate("125bps")
    (10000000.0, 1500000.0, 1048576.0, 1000.0)
    """
    match = _RATE.fullmatch(text)
    if not match:
        raise Unreadable("a rate such as 10Mbit", text)
    factor = (1024 if match[3] else 1000) ** " KMGT".index(match[2] or " ")
    return float(match[1]) * float(factor) * (8 if match[4] == "bps" else 1)


_POLICE = re.compile(rf"\bpolice \S+ rate ({_RATE.pattern})(?!\S)")


def policed(filters: tuple[TrafficFilter, ...]) -> tuple[RateLimit, ...]:
    """Give what filters police, as libvirt has it for what its guests send. Source: iproute2's tc/m_police.c."""
    return tuple(
        RateLimit(one.device, "ingress" if one.direction == "ingress" else "egress", f"police ({one.kind})", rate(found[1]), whole=False)
        for one in filters if (found := _POLICE.search(one.raw))
    )
