"""Whether the node itself reaches its VMs by the network's bridge."""

from __future__ import annotations

import pytest

from netchecks.errors import Wrong
from netchecks.models.links import Link as Device
from netchecks.models.routes import InterfaceAddress, Lookup, Route
from netchecks.models.subjects import Flow, Node
from netchecks.models.table import Table
from netchecks.seen import By


@pytest.mark.kind("switching")
@pytest.mark.flow("icmp", to="vm", full=False)
@pytest.mark.hop("sender", "route")
def test_route_leads_to_bridge(
    flow: Flow,
    route_lookups: By[Flow, Lookup],
    routes: By[Node, tuple[Route, ...]],
    addresses: By[Node, Table[tuple[InterfaceAddress, ...]]],
    links: By[Node, Table[Device]],
) -> None:
    """A node with an address in the VM's subnet sends to the VM by the network's bridge.

    Why: a more specific route that somebody added (Docker, a VPN) takes the packets elsewhere, and only those.
    Remedy: node administrator: ip route del the route that leads elsewhere
    Source: TRAPS "Routes"; ip-route(8), get
    """
    source, network = flow.source, flow.network
    if source not in {end.node for end in network.attachments}:
        return
    bridge = network.at(source).bridge
    own = addresses[source].get(bridge, ())
    if not any(flow.target in address.address.network for address in own) or not links[source][bridge].up:
        return
    lookup = route_lookups[flow]
    if lookup.device == bridge and not lookup.gateway:
        return
    specific = _most_specific(flow, routes[source], bridge)
    because = f" because of the route {specific.destination} dev {specific.device or specific.kind}" if specific else ""
    to = f"by {lookup.device}{f' via {lookup.gateway}' if lookup.gateway else ''}" if lookup.device else f"nowhere ({lookup.kind})"
    raise Wrong(
        "route.overlapping", f"{source} sends to {flow.target} {to}{because}, expected by {bridge}", place=source.name,
        breaks=frozenset({f"ipv{flow.family}", "unicast"}), owner="node administrator",
        remedy=f"ip route del {specific.destination}" if specific else f"ip route get {flow.target}; ip rule show",
    )


def _most_specific(flow: Flow, routes: tuple[Route, ...], bridge: str) -> Route | None:
    """Give the route that wins, unless it leads to the bridge: then a rule of the routing policy passes it over."""
    fitting = [route for route in routes if route.table == "main" and flow.target in route.destination]
    best = max(fitting, key=lambda route: (route.destination.prefixlen, -route.metric), default=None)
    return None if best and best.device == bridge and best.gateway is None else best
