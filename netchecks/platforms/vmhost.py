"""libvirt/KVM hosts: the flows that a switched network implies, and the way each takes.

Source: VMmanager knowledge base, "Коммутация": the uplink and the VMs' taps are ports of one bridge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

from netchecks.errors import NotSeen
from netchecks.flowing import attached, gateway_hop, guest_hops, make_flow, make_hop, to_interface, with_samples
from netchecks.models.domains import Domain
from netchecks.models.hops import Hop
from netchecks.models.links import Link
from netchecks.models.routes import Lookup
from netchecks.models.subjects import Address, Flow, Interface, Inventory, Network, Node, Subnet
from netchecks.models.table import Table
from netchecks.models.traces import Point
from netchecks.platform import Flows, Platform, register
from netchecks.points import guest_point, tap_point, trace_places, uplink_point
from netchecks.seen import By
from netchecks.taps import tap_of
from netchecks.trace import traced, traced_outbound

__all__ = ["PLATFORM", "flows", "has_address", "hops", "senders", "tap_of"]

#: Whom a client without an address asks: RFC 2131 section 4.4.1, RFC 8415 section 7.1 (all servers and relays).
_ALL_SERVERS = {4: ip_address("255.255.255.255"), 6: ip_address("ff02::1:2")}
#: RFC 4291 section 2.7.1: all routers.
_ALL_ROUTERS = ip_address("ff02::2")


def flows(network: Network, inventory: Inventory) -> tuple[Flow, ...]:
    """Give what shall work on a network: each VM by ARP or NDP, ping and its ports; each node's gateway."""
    found: list[Flow] = []
    for interface in inventory.interfaces:
        if interface.network == network and interface.vm.runs:
            for address in interface.addresses:
                found.extend(to_interface(interface, address, senders(network, interface.node, address)))
    for end in network.attachments:
        for subnet in network.subnets:
            found.extend(_to_gateway(end.node, network, subnet))
        found.extend(_to_segment(end.node, network))
    return tuple(with_samples(found))


def _to_segment(node: Node, network: Network) -> Iterator[Flow]:
    """Give what a client asks of whoever is there: DHCP by each family that is served, and who the routers are."""
    for family, target in _ALL_SERVERS.items():
        # what a node sends out of its own bridge does not come to a server on that bridge
        if network.dhcp and network.dhcp.addresses(family) and all(server.node != node for server in network.dhcp.servers):
            needs = {f"ipv{family}", "dhcp", "own_bridge", "uplink"}
            yield Flow(f"{node}-to-{network}-dhcp-ipv{family}", node, network, "dhcp", target, needs=frozenset(needs))
    if network.advertised:
        needs = {"ipv6", "ra", "own_bridge", "uplink"}
        yield Flow(f"{node}-to-{network}-ra-ipv6", node, network, "ra", _ALL_ROUTERS, needs=frozenset(needs))


def _to_gateway(node: Node, network: Network, subnet: Subnet) -> Iterator[Flow]:
    if subnet.gateway is not None:
        yield make_flow(node, network, "arp" if subnet.family == 4 else "ndp", subnet.gateway, None)  # noqa: PLR2004
        if subnet.gateway_answers_ping and has_address(node, network, subnet.gateway):
            yield make_flow(node, network, "icmp", subnet.gateway, None)


def senders(network: Network, node: Node, address: Address) -> tuple[Node, ...]:
    """Give who may ask: the network's ``probe_from``, and the VM's node where it has an address in the subnet.

    Where that is nobody, the VM's node asks by whatever route it has.
    """
    own = (node,) if has_address(node, network, address) else ()
    others = tuple(source for source in network.probe_from if source not in own)
    return own + others or (node,)


def has_address(node: Node, network: Network, address: Address) -> bool:
    """Tell whether the inventory gives the node an address in the same subnet."""
    prefixes = [subnet.prefix for subnet in network.subnets if address in subnet.prefix]
    return any(own.ip in prefix for link in node.links for own in link.addresses for prefix in prefixes)


def hops(flow: Flow, flows_of: Flows) -> tuple[Hop, ...]:
    """Give the way of a flow, in the order of its packet."""
    source, network, interface = flow.source, flow.network, flow.interface
    if flow.protocol in {"dhcp", "ra"}:
        return _segment(flow)
    end = interface.node if interface else flow.peer
    way = [make_hop("sender", source.name, flow, ("node", source.name), *flows_of.from_source(flow))]
    if attached(source, network):
        way += _side(source, flow, *(("bridge",) if source == end else ("bridge", "uplink")))
    elif end:
        way.append(gateway_hop(flow, flows_of))
    if source != end:
        way.append(make_hop("fabric", network.name, flow))
    if flow.peer is not None:
        return (*way, make_hop("node", flow.peer.name, flow, ("node", flow.peer.name)), *_peer_side(flow.peer, flow))
    if interface is None:
        return (*way, gateway_hop(flow, flows_of))
    way.append(make_hop("node", interface.node.name, flow, ("node", interface.node.name)))
    if source != end:
        way += _side(interface.node, flow, "uplink", "bridge")
    return (*way, *guest_hops(interface, flow, flows_of))


def _segment(flow: Flow) -> tuple[Hop, ...]:
    """Give the way to whoever is on the segment: a server, or a router."""
    servers = flow.network.dhcp.servers if flow.network.dhcp and flow.protocol == "dhcp" else ()
    about = [("dhcp_server", f"{flow.network}@{server.node}") for server in servers]
    way = [make_hop("sender", flow.source.name, flow, ("node", flow.source.name)), *_side(flow.source, flow, "bridge", "uplink")]
    last = make_hop("dhcp" if flow.protocol == "dhcp" else "router", flow.network.name, flow, *about)
    return (*way, make_hop("fabric", flow.network.name, flow), last)


def _side(node: Node, flow: Flow, *names: str) -> list[Hop]:
    end = flow.network.at(node)
    devices = {"uplink": end.uplink, "bridge": end.bridge}
    return [make_hop(name, node.name, flow, ("node", node.name), ("link", f"{node}:{devices[name]}")) for name in names]


def _peer_side(peer: Node, flow: Flow) -> list[Hop]:
    return _side(peer, flow, "uplink", "bridge") if attached(peer, flow.network) else []


def points(
    flow: Flow, links: By[Node, Table[Link]], domains: By[Node, Table[Domain]], route_lookups: By[Flow, Lookup],
) -> tuple[Point, ...]:
    """Give where a packet is looked for on its way to a VM, in the order of the request: the sender's device, uplink, tap, guest."""
    source, interface = flow.source, flow.interface
    assert interface is not None
    node, end = interface.node, flow.network.at(interface.node)
    way = [Point(source.name, "sender", _sender_device(flow, route_lookups), leaves=True)]
    if source != node:
        if attached(source, flow.network):
            way.append(uplink_point(source, flow.network.at(source).uplink, links, leaves=True))
        way.append(uplink_point(node, end.uplink, links, leaves=False))
    return (*way, tap_point(interface, domains), *guest_point(interface))


def _sender_device(flow: Flow, route_lookups: By[Flow, Lookup]) -> str:
    """ARP and NDP ask on the bridge itself; everything else goes where the sender's routes lead."""
    if flow.protocol in {"arp", "ndp"}:
        return flow.network.at(flow.source).bridge
    try:
        return route_lookups[flow].device
    except NotSeen:
        return ""


def _traced(flow: Flow) -> bool:
    return flow.network.kind == "switching" and flow.interface is not None and flow.size is None and not flow.throughput


def outbound_points(interface: Interface, links: By[Node, Table[Link]], domains: By[Node, Table[Domain]]) -> tuple[Point, ...]:
    """Give where a packet of the guest is looked for: its own NIC where it can be entered, tap, uplink."""
    node = interface.node
    own = tuple(replace(point, hop="guest", leaves=True) for point in guest_point(interface))
    tap = replace(tap_point(interface, domains), leaves=False)
    return (*own, tap, uplink_point(node, interface.network.at(node).uplink, links, leaves=True))


def _sends_by_bridge(interface: Interface) -> bool:
    return interface.network.kind == "switching" and bool(interface.network.at(interface.node).uplink) and interface.vm.runs


traced_outbound(where=_sends_by_bridge, points=outbound_points)
traced(where=_traced, at=trace_places, points=points)

PLATFORM = register(Platform("vmhost", frozenset({"switching"}), flows, hops))
