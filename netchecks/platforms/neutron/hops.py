"""The way of a flow of Neutron, in the order of its packet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from netchecks.flowing import attached, gateway_hop, guest_hops, make_hop
from netchecks.models.hops import Hop
from netchecks.models.subjects import Flow, Node
from netchecks.platform import Flows
from netchecks.platforms.neutron.flows import agents, routers_of

About = tuple[tuple[str, str], ...]


def hops(flow: Flow, flows_of: Flows) -> tuple[Hop, ...]:
    """Give the way of a flow, in the order of its packet."""
    source, interface = flow.source, flow.interface
    sender = make_hop("sender", source.name, flow, ("node", source.name), *_from_source(flow, flows_of))
    if flow.protocol == "dhcp":
        return (sender, *_dhcp(flow, flows_of))
    if interface is None and not flow.namespace:
        return (sender, _uplink(source, flow, flows_of), _fabric(flow), gateway_hop(flow, flows_of))
    if interface is not None and flow.protocol in {"arp", "ndp"} and not flow.namespace:
        return (sender, *guest_hops(interface, flow, flows_of))
    if flow.translated is not None:
        return (sender, *_outside(flow, flows_of), *_routers(flow), *_behind_router(flow, flows_of))
    return (sender, *_through(flow, flows_of))


def _outside(flow: Flow, flows_of: Flows) -> Iterator[Hop]:
    """Give the way to the router by the network of the floating address, where the inventory knows that: its states are of that network."""
    nodes = routers_of(flow)
    if flow.external is None:
        yield _fabric(flow)
        return
    outer = _outer(flow)
    yield gateway_hop(outer, flows_of)
    yield _fabric(outer)
    if flow.interface is not None:  # who answers for the floating address there
        yield make_hop("floating", flow.external.name, outer, ("interface", flow.interface.name))
    for node in nodes if len(nodes) == 1 else ():  # those of several come later
        yield from _inside_outer(node, outer, flows_of, flow.interface.node if flow.interface else None)


def _outer(flow: Flow) -> Flow:
    """Give the flow as it is in the network of its floating address."""
    assert flow.external is not None
    gateway = next((subnet.gateway for subnet in flow.external.subnets if subnet.gateway and subnet.family == flow.family), flow.target)
    return replace(flow, network=flow.external, interface=None, target=gateway)


def _inside_outer(node: Node, outer: Flow, flows_of: Flows, at: Node | None = None) -> Iterator[Hop]:
    """Give what a packet passes that comes into a router's node by the external network."""
    # what is judged of the flow itself by a hop's name is judged at the VM's node
    own = frozenset({("flow", outer.name)} if node != at else ())
    inside = _inside(node, outer, flows_of) if attached(node, outer.network) else ()
    yield from (replace(hop, about=hop.about - own) for hop in inside)


def _routers(flow: Flow) -> tuple[Hop, ...]:
    """Give the router of the network, wherever it is: of several the others wait; of a distributed one the node's part."""
    nodes = routers_of(flow)
    interface = [("interface", flow.interface.name)] if flow.interface else []
    about = [("virtual_router", f"{flow.network}@{node}") for node in nodes]
    return (make_hop("router", nodes[0].name, flow, *about, *interface),) if nodes else ()


def _behind_router(flow: Flow, flows_of: Flows) -> Iterator[Hop]:
    """Give the way from the router to the VM: out of its node, unless that is the VM's own."""
    interface, nodes = flow.interface, routers_of(flow)
    assert interface is not None
    about = (("interface", interface.name), ("vm", interface.vm.name))
    for node in nodes if len(nodes) == 1 else ():
        yield from _out_of(node, flow, flows_of)
    yield from _at_once(interface.node, flow, about) if nodes == (interface.node,) else _inside(interface.node, flow, flows_of, about)
    *tap, guest = guest_hops(interface, flow, flows_of)
    yield from tap
    for node in nodes if len(nodes) > 1 else ():  # which of them works is not known here: what every packet passes comes first
        yield from _inside_outer(node, _outer(flow), flows_of) if flow.external else ()
        yield from _out_of(node, flow, flows_of)
    yield guest


def _out_of(node: Node, flow: Flow, flows_of: Flows) -> Iterator[Hop]:
    """Give what a packet passes on its way from a router's node, where that is not the VM's own."""
    if flow.interface is not None and node != flow.interface.node:
        yield from _sending(node, flow, flows_of)
        yield _fabric(flow)


def _sending(node: Node, flow: Flow, flows_of: Flows) -> Iterator[Hop]:
    """Give what a packet passes on its way out of a node.

    What is judged of the flow itself by a hop's name is judged at the VM's node, not here; but which tunnel it goes into is here.
    """
    own = frozenset({("flow", flow.name)})
    for hop in _inside(node, flow, flows_of)[::-1]:
        yield hop if hop.name == "tunnel" else replace(hop, about=hop.about - own)


def _through(flow: Flow, flows_of: Flows) -> Iterator[Hop]:
    """Give the way through the bridges: out of the node of a namespace, into that of the VM."""
    source, interface = flow.source, flow.interface
    local = flow.namespace and (interface.node == source if interface is not None else routers_of(flow) == (source,))
    if flow.namespace:
        yield make_hop("namespace", source.name, flow, ("node", source.name), ("dhcp_server", f"{flow.network}@{source}"))
        yield from _sending(source, flow, flows_of) if not local else ()
    else:
        yield gateway_hop(flow, flows_of)
    if not local:
        yield _fabric(flow)
    if interface is None:
        yield from (*_at_once(source, flow), *_routers(flow)) if local else _to_router(flow, flows_of)
        yield gateway_hop(flow, flows_of)
        return
    about = (("interface", interface.name), ("vm", interface.vm.name))
    if local:
        yield from _at_once(source, flow, about)
    else:
        yield from _inside(interface.node, flow, flows_of, about)
    yield from guest_hops(interface, flow, flows_of)


def _to_router(flow: Flow, flows_of: Flows) -> Iterator[Hop]:
    """Give the router that is the gateway and what a packet passes into its node; that of several comes last: which works is not known."""
    own, nodes = frozenset({("flow", flow.name)}), routers_of(flow)
    inside = [replace(hop, about=hop.about - own) for node in nodes if node != flow.source for hop in _inside(node, flow, flows_of)]
    yield from (*inside, *_routers(flow)) if len(nodes) == 1 else (*_routers(flow), *inside)


def _at_once(node: Node, flow: Flow, about: About = ()) -> Iterator[Hop]:
    """Give what a packet passes between two ports of a node's integration bridge."""
    yield make_hop("switch", node.name, flow, ("node", node.name))
    yield make_hop("integration", node.name, flow, ("node", node.name), *about)


def _inside(node: Node, flow: Flow, flows_of: Flows, about: About = ()) -> tuple[Hop, ...]:
    """Give what a packet passes that comes into a node: its NIC, the daemon, then bridge by bridge."""
    own = (("node", node.name), *about)
    switch = make_hop("switch", node.name, flow, *own)
    integration = make_hop("integration", node.name, flow, *own)
    tunnel = flow.network.neutron is not None and flow.network.neutron.is_tunnel
    bridges = (make_hop(name, node.name, flow, *own) for name in (("tunnel",) if tunnel else ("provider", "patch")))
    nic = (_uplink(node, flow, flows_of, *about),) if flow.network.at(node).uplink else ()
    return (*nic, switch, *bridges, integration)


def _uplink(node: Node, flow: Flow, flows_of: Flows, *about: tuple[str, str]) -> Hop:
    """Give the NIC, with the port of the switch that it is at: what is asked out of it shows whether that lets the VLAN through."""
    device = flow.network.at(node).uplink
    asked = (
        ("flow", other.name) for subnet in flow.network.subnets if subnet.gateway is not None
        for other in flows_of.known.get((f"network {flow.network}", subnet.gateway), ()) if other.source == node and other.at_uplink
    )
    return make_hop("uplink", node.name, flow, ("node", node.name), ("link", f"{node}:{device}"), *asked, *about)


def _fabric(flow: Flow) -> Hop:
    return make_hop("fabric", flow.network.name, flow)


def _from_source(flow: Flow, flows_of: Flows) -> Iterator[tuple[str, str]]:
    same = flows_of.known.get((f"interface {flow.interface}" if flow.interface else f"network {flow.network}", flow.target), ())
    yield from (("flow", other.name) for other in same if (other.source, other.namespace) == (flow.source, flow.namespace))


def _dhcp(flow: Flow, flows_of: Flows) -> Iterator[Hop]:
    """Give the way to the servers of the network, by the first of them: the others are as far."""
    nic = _uplink(flow.source, flow, flows_of)  # asked out of the NIC itself: it says nothing of the bridge that the NIC is in
    yield replace(nic, about=nic.about - {("node", flow.source.name)})
    yield _fabric(flow)
    servers = agents(flow.network)
    for node, _ in servers[:1]:
        yield from _inside(node, flow, flows_of)
    about = tuple(("dhcp_server", f"{flow.network}@{node}") for node, _ in servers)
    yield make_hop("namespace", flow.network.name, flow, *about)
    yield make_hop("dhcp", flow.network.name, flow, *about)
