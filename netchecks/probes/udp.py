"""Whether a UDP port is refused (RFC 768, RFC 792 code 3). Silence may be an application that does not answer."""

from __future__ import annotations

from netchecks.models.subjects import Flow
from netchecks.probe import Ask, Datagram, probe
from netchecks.send import read_socket


def _is_udp(flow: Flow) -> bool:
    return flow.protocol == "udp"


@probe("answers", where=_is_udp, read=read_socket)
def datagram(flow: Flow) -> Ask:
    """Send one marked datagram to a declared port."""
    return Ask((Datagram(flow.target, flow.port or 0, b"netchecks\n", namespace=flow.namespace),), 0.0)
