"""What limits the rate on a flow's way, where tc tells it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from netchecks.cause import cause
from netchecks.errors import NotSeen, Wrong
from netchecks.models.bridges import TrafficFilter
from netchecks.models.domains import Domain
from netchecks.models.routes import Lookup
from netchecks.models.subjects import Flow, Node
from netchecks.models.table import Table
from netchecks.models.throughput import Direction, RateLimit, Transfer, shown
from netchecks.reading.rates import policed
from netchecks.seen import By
from netchecks.taps import tap_of

#: A node, a device, and which of tc's two directions there a packet takes.
_Step = tuple[Node, str, str]


@cause("vmhost.throughput_is_enough")
def rate_is_limited(  # noqa: PLR0913, PLR0917 - its facts
    flow: Flow, throughputs: By[Flow, tuple[Transfer, ...]], rate_limits: By[Node, tuple[RateLimit, ...]],
    traffic_filters: By[Node, tuple[TrafficFilter, ...]], domains: By[Node, Table[Domain]], route_lookups: By[Flow, Lookup],
) -> None:
    """A shaper or policer on the way lets no more through than came."""
    steps = tuple(_way(flow, domains, route_lookups))
    for transfer in throughputs[flow]:
        wanted, rate = flow.wanted(transfer.direction), transfer.rate
        if rate is None or wanted is None or rate >= wanted:
            continue
        way = _directed(steps, transfer.direction)
        limits = [found for found in _limits(rate_limits, traffic_filters) if (found[0], found[1].device, found[1].direction) in way]
        fitting = [(node, one) for node, one in limits if one.explains(rate, wanted)]
        if fitting:
            raise _wrong(flow, transfer, *min(fitting, key=lambda found: found[1].rate))


def _way(flow: Flow, domains: By[Node, Table[Domain]], route_lookups: By[Flow, Lookup]) -> Iterator[_Step]:
    """Give the devices that a packet to the flow's target passes, as far as the inventory and the routes tell them."""
    source, interface, network = flow.source, flow.interface, flow.network
    end = interface.node if interface else flow.peer
    with suppress(NotSeen):
        yield source, route_lookups[flow].device, "egress"
    ends = {attachment.node: attachment for attachment in network.attachments}
    if source in ends and source != end:
        yield source, ends[source].uplink, "egress"
    if end in ends and source != end:
        yield ends[end].node, ends[end].uplink, "ingress"
    if interface is not None:
        if network.kind != "switching":
            yield interface.node, interface.bridge, "egress"
        with suppress(NotSeen):
            yield interface.node, tap_of(interface, domains), "egress"


def _directed(steps: tuple[_Step, ...], direction: Direction) -> set[_Step]:
    other = {"egress": "ingress", "ingress": "egress"}
    return {(node, device, side if direction == "out" else other[side]) for node, device, side in steps if device}


def _limits(
    rate_limits: By[Node, tuple[RateLimit, ...]], traffic_filters: By[Node, tuple[TrafficFilter, ...]],
) -> Iterator[tuple[Node, RateLimit]]:
    for node, limits in rate_limits.seen().items():
        yield from ((node, one) for one in limits)
    for node, filters in traffic_filters.seen().items():
        yield from ((node, one) for one in policed(filters))


def _wrong(flow: Flow, transfer: Transfer, node: Node, limit: RateLimit) -> Wrong:
    wanted, side = flow.wanted(transfer.direction) or 0, "out of" if limit.direction == "egress" else "in by"
    ends = (flow.source, flow.end_name) if transfer.direction == "out" else (flow.end_name, flow.source)
    return Wrong(
        "throughput.limited",
        f"{ends[0]} to {ends[1]} ({flow.target}): {shown(transfer.rate or 0)} at the receiver, expected {shown(wanted)}: "
        f"{node} lets {shown(limit.rate)} {side} {limit.device} ({limit.kind})", place=node.name, certain=True,
        remedy=f"look who has set it, and raise or remove it there: tc -s qdisc show dev {limit.device}, tc class show dev {limit.device}; "
               "where libvirt has: virsh domiftune",
    )
