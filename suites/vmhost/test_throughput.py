"""How much a way carries: measured by iperf3, only when that is asked for."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.rows import bad_stretch
from netchecks.models.subjects import Flow
from netchecks.models.throughput import Serving, Transfer, shown
from netchecks.seen import By


@pytest.mark.flow("throughput")
@pytest.mark.allowed("load_tests")
@pytest.mark.verdict
def test_throughput_is_enough(
    flow: Flow, throughput_servers: By[Flow, Serving], throughputs: By[Flow, tuple[Transfer, ...]],
) -> None:
    """Between two places, TCP carries the declared rate. Only with --load-tests: it loads the network for seconds.

    Why: a way that answers every ping may still carry a hundredth of what it should: a forgotten limit, a port at 100 Mbit/s, loss.
    Remedy: node administrator: measure each part of the way with iperf3, and look at tc -s qdisc, ethtool and the ports' error counters
    Source: iperf3(1); VMmanager knowledge base, the tools to install
    """
    server, transfers = throughput_servers[flow], throughputs[flow]
    for transfer in transfers:
        _is_measured(flow, transfer, server)
    slow = [transfer for transfer in transfers if _is_slow(flow, transfer)]
    if not slow:
        return
    if any(transfer.busy for transfer in slow):
        raise NotSeen(
            Why.NOT_POSSIBLE, f"{_said(flow, slow)}; but one of the two ends has no CPU left, so that the network may carry more",
            cause="throughput.cpu_exhausted",
        )
    place, where = _place(flow, throughputs)
    raise Wrong("throughput.too_low", f"{_said(flow, slow)}, {where}", place=place)


def _is_measured(flow: Flow, transfer: Transfer, server: Serving) -> None:
    if transfer.rate is not None:
        return
    way, reason = f"{flow.source} to {flow.end_name}, TCP port {flow.port} of {flow.target}", transfer.error
    if server.error:
        reason = f"iperf3 does not listen there: {server.error}"
    elif not transfer.connected:
        reason = f"iperf3 listens there and is not reached ({transfer.error}); let this port through, or declare another one"
    raise NotSeen(Why.FAILED, f"{way}: {reason}", cause="throughput.not_measured")


def _is_slow(flow: Flow, transfer: Transfer) -> bool:
    wanted = flow.wanted(transfer.direction)
    return wanted is not None and transfer.rate is not None and transfer.rate < wanted


def _said(flow: Flow, slow: Iterable[Transfer]) -> str:
    return "; ".join(_one(flow, transfer) for transfer in slow)


def _one(flow: Flow, transfer: Transfer) -> str:
    ends = (str(flow.source), flow.end_name) if transfer.direction == "out" else (flow.end_name, str(flow.source))
    again = f", {transfer.retransmits} retransmits" if transfer.retransmits is not None else ""
    cpu = f", the sender's CPU at {transfer.sender_cpu:.0f} %" if transfer.sender_cpu is not None else ""
    wanted = flow.wanted(transfer.direction) or 0
    return f"{ends[0]} to {ends[1]} ({flow.target}): {shown(transfer.rate or 0)} at the receiver, expected {shown(wanted)}{again}{cpu}"


def _place(flow: Flow, throughputs: By[Flow, tuple[Transfer, ...]]) -> tuple[str, str]:
    """Say where it is slow, by what other flows show."""
    if flow.interface is None:
        return flow.network.name, f"between {flow.source} and {flow.end_name}"
    measured = {one: found for one, found in throughputs.seen().items() if all(transfer.rate is not None for transfer in found)}
    return bad_stretch(flow, {one: any(_is_slow(one, transfer) for transfer in found) for one, found in measured.items()})
