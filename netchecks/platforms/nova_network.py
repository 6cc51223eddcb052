"""OpenStack with nova-network: the flows that such a network implies, and the way each takes.

A compute node's bridge joins its instances' taps and the flat interface. The gate (with multi-host each node, else the network host)
routes, translates floating addresses in nova's iptables chains, and runs dnsmasq.
Source: OpenStack operations guide, chapter 13; nova/network/manager.py, linux_net.py.
"""

from __future__ import annotations

from dataclasses import replace

from netchecks.errors import NotSeen
from netchecks.flowing import attached, make_hop, to_floating, to_interface, with_samples
from netchecks.models.domains import Domain
from netchecks.models.hops import Hop
from netchecks.models.links import Link
from netchecks.models.routes import Lookup
from netchecks.models.subjects import Flow, Interface, Inventory, Network, Node, Place
from netchecks.models.table import Table
from netchecks.models.traces import Point
from netchecks.platform import Flows, Platform, register
from netchecks.points import guest_point, tap_point, trace_places, uplink_point
from netchecks.seen import By
from netchecks.trace import traced, traced_outbound

KIND = "nova-network"
_IPV4 = 4


def flows(network: Network, inventory: Inventory) -> tuple[Flow, ...]:
    """Give what shall work: each instance at its fixed address from its gate and another node, at its floating ones from outside."""
    found: list[Flow] = []
    for interface in inventory.interfaces:
        if interface.network == network and interface.vm.runs:
            for address in interface.addresses:
                if address.version == _IPV4:  # nova's IPv6 has no DHCP, no translation and no chains of these
                    found.extend(to_interface(interface, address, _neighbours(interface)))
            found.extend(to_floating(interface, {"uplink"} if interface.gate != interface.node else ()))
    return tuple(with_samples(found))


def _neighbours(interface: Interface) -> tuple[Node, ...]:
    """Give who asks on the flat network: the gate, and the next node that has an address there; the node itself where nobody has."""
    network = interface.network
    nodes = [end.node for end in network.attachments]
    at = nodes.index(interface.node) if interface.node in nodes else 0
    others = [node for node in (*nodes[at + 1:], *nodes[:at]) if node != interface.gate and _has_address(node, network)]
    own = (interface.gate,) if _has_address(interface.gate, network) else ()
    return (*own, *others[:1]) or (interface.node,)


def _has_address(node: Node, network: Network) -> bool:
    prefixes = [subnet.prefix for subnet in network.subnets]
    return any(own.ip in prefix for link in node.links for own in link.addresses for prefix in prefixes)


# -- the way -----------------------------------------------------------------------------------------------------------


def hops(flow: Flow, flows_of: Flows) -> tuple[Hop, ...]:
    """Give the way of a flow, in the order of its packet.

    Before the translation stands what nova has written down of it; before the guest who gives it the address that it answers for.
    """
    source, network, interface = flow.source, flow.network, flow.interface
    way = [make_hop("sender", source.name, flow, ("node", source.name), *flows_of.from_source(flow))]
    if interface is None:
        return (*way, make_hop("fabric", network.name, flow), make_hop("gateway", network.name, flow))
    node, gate, about = interface.node, interface.gate, _about(interface)
    entrance = source
    if flow.translated is not None:
        way += [make_hop("fabric", network.name, flow), _public(gate, flow)]
        entrance = gate
    way.append(make_hop("database", network.name, flow, ("database", f"nova@{network}"), *about))
    if flow.translated is not None:
        way.append(make_hop("translation", gate.name, flow, ("node", gate.name), *about))
    if entrance != node:
        way += [_side(entrance, flow, "bridge"), _side(entrance, flow, "uplink")] if attached(entrance, network) else []
        way += [make_hop("fabric", network.name, flow), _side(node, flow, "uplink")]
    way += [make_hop("node", node.name, flow, *about), _side(node, flow, "bridge")]
    server = ("dhcp_server", f"{network}@{gate}")
    way += [make_hop("tap", node.name, flow, *about), make_hop("dhcp", gate.name, flow, server, *about)]
    return (*way, make_hop("guest", interface.vm.name, flow, *about, *flows_of.like(flow)))


def _about(interface: Interface) -> tuple[tuple[str, str], ...]:
    return (("interface", interface.name), ("vm", interface.vm.name), ("node", interface.node.name))


def _public(gate: Node, flow: Flow) -> Hop:
    """The device with the floating addresses. States of a whole node are none of its own: they are of the flat network."""
    device = flow.network.nova.public_interface if flow.network.nova else ""
    assert flow.interface is not None
    return make_hop("public", gate.name, flow, ("link", f"{gate}:{device}"), ("interface", flow.interface.name))


def _side(node: Node, flow: Flow, name: str) -> Hop:
    end = flow.network.at(node)
    device = {"uplink": end.uplink, "bridge": end.bridge}[name]
    return make_hop(name, node.name, flow, ("node", node.name), ("link", f"{node}:{device}"))


# -- where a packet is looked for --------------------------------------------------------------------------------------


def points(
    flow: Flow, links: By[Node, Table[Link]], domains: By[Node, Table[Domain]], route_lookups: By[Flow, Lookup],
) -> tuple[Point, ...]:
    """Give where a packet is looked for: external host, the gate's public interface and bridge, flat network, tap, guest.

    On the compute node both its bridge and its NIC see it: twice is right.
    """
    source, interface = flow.source, flow.interface
    assert interface is not None
    node, gate, network = interface.node, interface.gate, flow.network
    way, entrance = [Point(source.name, "sender", _sender_device(flow, route_lookups), leaves=True)], source
    tap = tap_point(interface, domains)
    if flow.translated is not None:
        public = network.nova.public_interface if network.nova else ""
        way.append(replace(uplink_point(gate, public, links, leaves=False), hop="public"))
        way.append(Point(gate.name, "bridge", network.at(gate).bridge, leaves=True, asks=True))
        entrance = gate
    if entrance != node:
        if attached(entrance, network):
            way.append(uplink_point(entrance, network.at(entrance).uplink, links, leaves=True))
        way.append(uplink_point(node, network.at(node).uplink, links, leaves=False))
    return (*way, tap, *guest_point(interface))


def _sender_device(flow: Flow, route_lookups: By[Flow, Lookup]) -> str:
    """ARP asks on the bridge itself; everything else goes where the sender's routes lead."""
    if flow.protocol == "arp":
        return flow.network.at(flow.source).bridge
    try:
        return route_lookups[flow].device
    except NotSeen:
        return ""


def _places(flow: Flow) -> tuple[Place, ...]:
    assert flow.interface is not None
    source, *others = trace_places(flow)
    return tuple(dict.fromkeys((source, *([flow.interface.gate] if flow.translated else []), *others)))


def _traced(flow: Flow) -> bool:
    return flow.network.kind == KIND and flow.interface is not None and flow.size is None and flow.family == _IPV4


def outbound_points(interface: Interface, links: By[Node, Table[Link]], domains: By[Node, Table[Domain]]) -> tuple[Point, ...]:
    """Give where a packet of the instance is looked for: its own NIC, its tap, the flat network, the gate's public interface."""
    node, gate, network = interface.node, interface.gate, interface.network
    way = [replace(point, hop="guest", leaves=True) for point in guest_point(interface)]
    way.append(replace(tap_point(interface, domains), leaves=False))
    if gate != node:
        way.append(uplink_point(node, network.at(node).uplink, links, leaves=True))
        way.append(uplink_point(gate, network.at(gate).uplink, links, leaves=False))
    public = network.nova.public_interface if network.nova else ""
    return (*way, replace(uplink_point(gate, public, links, leaves=True), hop="public"))


def _sends_outside(interface: Interface) -> bool:
    """Only one that can be entered: the broadcasts of others stay on the flat network."""
    nova, vm = interface.network.nova, interface.vm
    return nova is not None and bool(nova.public_interface and interface.outside) and vm.runs and vm.sender is not None


traced_outbound(where=_sends_outside, points=outbound_points)
traced(where=_traced, at=_places, points=points)

PLATFORM = register(Platform("nova-network", frozenset({KIND}), flows, hops))
