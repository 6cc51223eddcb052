"""Who answers an echo request (RFC 792, RFC 4443), asked by the way that the node's own routes take."""

from __future__ import annotations

import hashlib
import secrets

from netchecks.models.subjects import Flow
from netchecks.probe import Ask, Echo, probe
from netchecks.send import read_socket

_COOKIE = 16


def _is_icmp(flow: Flow) -> bool:
    return flow.protocol == "icmp"


@probe("answers", where=_is_icmp, read=read_socket)
def echo(flow: Flow) -> Ask:
    """Send up to three echo requests a second apart; a full-sized one with DF."""
    cookie = hashlib.sha256(flow.name.encode() + secrets.token_bytes(8)).digest()[:_COOKIE]
    payload = cookie + bytes(max(0, (flow.size or 56) - _COOKIE))
    return Ask((Echo(flow.target, _message(flow.family, payload), cookie, 3, flow.size is None, flow.namespace),), 0.0)


def _message(family: int, payload: bytes) -> bytes:
    from scapy.layers.inet import ICMP
    from scapy.layers.inet6 import ICMPv6EchoRequest

    identifier = secrets.randbelow(0xFFFF)
    if family == 4:  # noqa: PLR2004
        return bytes(ICMP(type=8, id=identifier, seq=1) / payload)
    return bytes(ICMPv6EchoRequest(id=identifier, seq=1, data=payload, cksum=0))
