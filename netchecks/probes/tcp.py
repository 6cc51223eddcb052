"""Whether a TCP port accepts (RFC 9293): open, refused, silent and unreachable are told apart."""

from __future__ import annotations

from netchecks.models.subjects import Flow
from netchecks.probe import Ask, Connect, probe
from netchecks.send import read_socket


def _is_tcp(flow: Flow) -> bool:
    return flow.protocol == "tcp"


@probe("answers", where=_is_tcp, read=read_socket)
def connection(flow: Flow) -> Ask:
    """Connect and close at once, without a byte of data."""
    return Ask((Connect(flow.target, flow.port or 0, namespace=flow.namespace),), 0.0)
