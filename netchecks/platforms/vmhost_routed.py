"""libvirt/KVM hosts that route to their VMs: the flows that such a network implies, and the way each takes.

Source: VMmanager knowledge base, "Маршрутизация" (taps on a bridge without uplink, routes to it), "IP fabric" (no bridge,
host routes to the taps, announced by FRR).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from netchecks.errors import NotSeen
from netchecks.flowing import attached, make_hop, to_interface, with_samples
from netchecks.models.domains import Domain
from netchecks.models.hops import Hop
from netchecks.models.links import Link
from netchecks.models.routes import InterfaceAddress, Lookup
from netchecks.models.subjects import Flow, Interface, Inventory, Network, Node
from netchecks.models.table import Table
from netchecks.models.traces import OTHER_UPLINK, Point
from netchecks.platform import Flows, Platform, register
from netchecks.points import guest_point, tap_point, trace_places, uplink_point
from netchecks.seen import By
from netchecks.trace import traced


def flows(network: Network, inventory: Inventory) -> tuple[Flow, ...]:
    """Give what shall work on a network: each VM by ARP or NDP, ping and its ports, from its node and from outside.

    Its gateway is an address of the node itself, and so nobody to be asked.
    """
    found: list[Flow] = []
    for interface in inventory.interfaces:
        if interface.network == network and interface.vm.runs:
            for address in interface.addresses:
                found.extend(map(_routed, to_interface(interface, address, senders(network, interface.node))))
    return tuple(with_samples(found))


def senders(network: Network, node: Node) -> tuple[Node, ...]:
    """Give who may ask: the VM's node, which has a route to it, and the network's ``probe_from``."""
    return (node, *(source for source in network.probe_from if source != node))


def _routed(flow: Flow) -> Flow:
    """Say what the way of a routed flow has to carry: its node sends it itself, or forwards it."""
    inside = flow.interface is not None and flow.source == flow.interface.node
    return replace(flow, needs=flow.needs - {"own_bridge", "routed"} | ({"own_bridge"} if inside else {"routed"}))


def hops(flow: Flow, flows_of: Flows) -> tuple[Hop, ...]:
    """Give the way of a flow, in the order of its packet; before the routers stands who tells them the way."""
    source, network, interface = flow.source, flow.network, flow.interface
    way = [make_hop("sender", source.name, flow, ("node", source.name), *flows_of.from_source(flow))]
    if flow.peer is not None:
        return (*way, make_hop("fabric", network.name, flow), make_hop("node", flow.peer.name, flow, ("node", flow.peer.name)))
    if interface is None:
        return (*way, make_hop("fabric", network.name, flow), make_hop("gateway", network.name, flow))
    node, about = interface.node, _about(interface)
    if network.kind == "ip-fabric":  # what the kernel and FRR do not have, no router learns
        way.append(make_hop("announcer", node.name, flow, *about))
    if source != node:
        way += [_uplink(source, flow)] if attached(source, network) else []
        way += [make_hop("router", one.name, flow, ("node", one.name), *about) for one in network.routers if one != source]
        way += [make_hop("fabric", network.name, flow), _uplink(node, flow, *about)]
    way.append(make_hop("node", node.name, flow, *about))
    if interface.bridge:
        way.append(make_hop("bridge", node.name, flow, *about, ("link", f"{node}:{interface.bridge}")))
    way.append(make_hop("tap", node.name, flow, *about))
    return (*way, make_hop("guest", interface.vm.name, flow, *about, *flows_of.like(flow)))


def _about(interface: Interface) -> tuple[tuple[str, str], ...]:
    return (("interface", interface.name), ("vm", interface.vm.name), ("node", interface.node.name))


def _uplink(node: Node, flow: Flow, *about: tuple[str, str]) -> Hop:
    return make_hop("uplink", node.name, flow, ("node", node.name), ("link", f"{node}:{flow.network.at(node).uplink}"), *about)


Addresses: TypeAlias = Table[tuple[InterfaceAddress, ...]]
#: Devices of a node beside its uplink that packets are looked for at: a few are enough, and a capture costs.
MOST_UPLINKS = 4


def points(
    flow: Flow, links: By[Node, Table[Link]], domains: By[Node, Table[Domain]], route_lookups: By[Flow, Lookup],
    addresses: By[Node, Addresses],
) -> tuple[Point, ...]:
    """Give where a packet is looked for: the sender's device, the node's uplink, its bridge where it has one, the tap, the guest."""
    source, interface = flow.source, flow.interface
    assert interface is not None
    node, tap = interface.node, tap_point(interface, domains)
    way = [Point(source.name, "sender", _sender_device(flow, tap, route_lookups), leaves=True)]
    if source != node:
        way += _into(node, flow, links, addresses)
        way += [Point(node.name, "bridge", interface.bridge, leaves=True, asks=True)] if interface.bridge else []
        tap = replace(tap, asks=True)
    return (*way, tap, *guest_point(interface))


def _sender_device(flow: Flow, tap: Point, route_lookups: By[Flow, Lookup]) -> str:
    """ARP and NDP ask on the VM's own link: the bridge, or the tap; everything else goes where the sender's routes lead."""
    if flow.protocol in {"arp", "ndp"} and flow.interface is not None:
        return flow.interface.bridge or tap.device
    try:
        return route_lookups[flow].device
    except NotSeen:
        return ""


def _into(node: Node, flow: Flow, links: By[Node, Table[Link]], addresses: By[Node, Addresses]) -> list[Point]:
    """Give the uplink, and the node's other devices with addresses of their own: what is routed may come in by any of them."""
    end = flow.network.at(node)
    way = [uplink_point(node, end.uplink, links, leaves=False)]
    try:
        known, own = links[node], addresses[node]
    except NotSeen:
        return way
    others = [name for name in own if name != end.uplink and name in known and _leads_outside(known[name], own[name])]
    return [*way, *(Point(node.name, OTHER_UPLINK, name, leaves=False, blind="another way in") for name in others[:MOST_UPLINKS])]


def _leads_outside(link: Link, own: tuple[InterfaceAddress, ...]) -> bool:
    with_address = any(not (one.address.ip.is_link_local or one.address.ip.is_loopback) for one in own)
    return with_address and link.up and link.kind != "bridge" and not link.master


def _traced(flow: Flow) -> bool:
    return flow.network.kind in {"routing", "ip-fabric"} and flow.interface is not None and flow.size is None and not flow.throughput


traced(where=_traced, at=trace_places, points=points)

PLATFORM = register(Platform("vmhost-routed", frozenset({"routing", "ip-fabric"}), flows, hops))
