"""OpenStack Neutron with Open vSwitch: the flows that a network implies, and the way each takes through the bridges of its nodes.

Of provider networks (VLAN, flat): NIC, provider bridge, patch ports, integration bridge, tap; of tenant networks the tunnel bridge in
place of the first two. A compute node has no address of its own there: who asks is the DHCP agent's namespace, which has one, a
controller by the gateway, and each node out of its NIC with the network's tag (ARP alone).
Source: "openstack虚拟机网络不通场景和排查思路" (Neutron and Open vSwitch); Neutron administration guide, Open vSwitch: provider networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_interface

from netchecks.errors import NotSeen, Why
from netchecks.flowing import attached, make_flow, make_hop, to_floating, with_samples
from netchecks.models.domains import Domain
from netchecks.models.hops import Hop
from netchecks.models.links import Link
from netchecks.models.neutron import AgentConfig, Namespace
from netchecks.models.neutron_sides import Side, Tables, side_of, tables_of
from netchecks.models.openflow import FlowTable
from netchecks.models.openvswitch import OvsBridge, OvsDaemon
from netchecks.models.routes import Lookup
from netchecks.models.subjects import Address, DhcpServer, Flow, Interface, Inventory, Network, Node, Place, VirtualRouter
from netchecks.models.table import Table
from netchecks.models.traces import OTHER_UPLINK, Point
from netchecks.platform import Flows, Platform, register
from netchecks.points import guest_point, tap_point, trace_places, uplink_point
from netchecks.probe import Action
from netchecks.seen import By
from netchecks.taps import uplink_devices
from netchecks.trace import sending, traced
from netchecks.trace.marks import mark_of

_IPV4 = 4
#: Whom a client without an address asks: RFC 2131 section 4.4.1.
_ALL_SERVERS = ip_address("255.255.255.255")
About = tuple[tuple[str, str], ...]


def flows(network: Network, inventory: Inventory) -> tuple[Flow, ...]:
    """Give what shall work: each VM at its tap, from the DHCP agents and from outside; each gateway from agents and nodes; DHCP."""
    found: list[Flow] = []
    for interface in inventory.interfaces:
        if interface.network == network and interface.vm.runs:
            for address in interface.addresses:
                found.extend(_to_interface(interface, address))
            found.extend(_to_floating(interface, inventory))
    found.extend(_from_agents_to_gateway(network))
    if network.neutron is not None and not network.neutron.is_tunnel:
        for end in network.attachments:
            found.extend(_in_vlan(end.node, network))
    return tuple(with_samples(found))


def _to_interface(interface: Interface, address: Address) -> Iterator[Flow]:
    network = interface.network
    at_tap = make_flow(interface.node, network, "arp" if address.version == _IPV4 else "ndp", address, interface)
    yield replace(at_tap, needs=at_tap.needs - {"uplink"})
    for node, namespace in agents(network):
        if address.version == _IPV4:
            yield from (_from_agent(flow, namespace) for flow in _asking(node, interface, address))
            yield _from_agent(make_flow(node, network, "arp", address, interface), namespace)
    if network.neutron is not None and not network.neutron.is_tunnel and not network.neutron.router:  # behind a router it is translated
        for source in network.probe_from:
            if not attached(source, network):
                yield from (_switched(flow) for flow in _asking(source, interface, address))


def _to_floating(interface: Interface, inventory: Inventory) -> Iterator[Flow]:
    """Give what asks for floating addresses: in by the network that they are of, and through the router."""
    needs = {"switched"} | (set() if interface.node in _router_nodes(interface.network) else {"uplink"})
    for flow in to_floating(interface, needs):
        prefixes = {network: [subnet.prefix for subnet in network.subnets] for network in inventory.networks if network != flow.network}
        yield replace(flow, external=next((one for one, own in prefixes.items() if any(flow.target in prefix for prefix in own)), None))


def _router_nodes(network: Network) -> tuple[Node, ...]:
    known = network.neutron
    return tuple(end.node for end in network.attachments if known is not None and end.node.name in known.router_nodes)


def _asking(source: Node, interface: Interface, address: Address) -> Iterator[Flow]:
    network, headers = interface.network, 28 if address.version == _IPV4 else 48
    if interface.vm.answers_ping:
        yield make_flow(source, network, "icmp", address, interface)
        yield make_flow(source, network, "icmp", address, interface, size=network.mtu - headers)
    yield from (make_flow(source, network, "tcp", address, interface, port=port) for port in interface.vm.tcp)
    yield from (make_flow(source, network, "udp", address, interface, port=port) for port in interface.vm.udp)


def agents(network: Network) -> tuple[tuple[Node, str], ...]:
    """Give the DHCP agents that can be looked at: node and namespace."""
    servers = network.dhcp.servers if network.dhcp else ()
    return tuple((one.node, f"qdhcp-{network.neutron.id}") for one in servers if one.node is not None and network.neutron is not None)


def _switched(flow: Flow) -> Flow:
    """Say that a flow goes through the bridges, which the question at a tap does not."""
    return replace(flow, needs=flow.needs | {"switched"})


def _from_agent(flow: Flow, namespace: str) -> Flow:
    """Give a flow as one that begins in a DHCP agent's namespace: there it is on the segment itself."""
    local = flow.interface is not None and flow.interface.node == flow.source
    needs = (flow.needs | {"switched", "from_agent"}) - {"routed", "own_bridge"} - ({"uplink"} if local else set())
    return replace(flow, name=flow.name.replace("-to-", "-dhcp-to-", 1), namespace=namespace, needs=frozenset(needs))


def _from_agents_to_gateway(network: Network) -> Iterator[Flow]:
    for node, namespace in agents(network):
        for subnet in network.subnets:
            if subnet.gateway is not None and subnet.family == _IPV4:
                yield _from_agent(make_flow(node, network, "arp", subnet.gateway, None), namespace)
                if subnet.gateway_answers_ping:
                    yield _from_agent(make_flow(node, network, "icmp", subnet.gateway, None), namespace)


def _in_vlan(node: Node, network: Network) -> Iterator[Flow]:
    """Give what is asked out of a node's NIC with the network's tag."""
    for subnet in network.subnets:
        if subnet.gateway is not None and subnet.family == _IPV4:
            yield make_flow(node, network, "arp", subnet.gateway, None)
    served = network.dhcp.servers if network.dhcp else ()
    if network.dhcp and network.dhcp.addresses(_IPV4) and all(server.node != node for server in served):
        needs = frozenset({"ipv4", "dhcp", "uplink", "switched"})
        yield Flow(f"{node}-to-{network}-dhcp-ipv4", node, network, "dhcp", _ALL_SERVERS, needs=needs)


# -- what checks share -----------------------------------------------------------------------------------------------


def seen_side(network: Network, node: Node, bridges: By[Node, Table[OvsBridge]], configs: By[Node, AgentConfig]) -> Side:
    """Give the node's side of a network; where the agent's configuration could not be seen, by what is there."""
    assert network.neutron is not None
    try:
        config = configs[node]
    except NotSeen:
        config = None
    uplink = next((end.uplink for end in network.attachments if end.node == node), "")
    return side_of(network.neutron, uplink, config, bridges[node])


def macs_of(network: Network, node: Node, inventory: Inventory, *, without: Interface | None = None) -> list[str]:
    """Give the MACs of the network's guests on a node; ``without`` the one whose port is in question."""
    return [one.mac for one in inventory.interfaces if one.network == network and one.node == node and one != without]


def seen_tables(node: Node, side: Side, flows: By[Node, Table[FlowTable]], daemons: By[Node, OvsDaemon]) -> Tables:
    """Give the flows of a side; none where the daemon that would tell them is dead: another check says so."""
    return tables_of(side, flows[node] if daemons[node].answers else Table("bridge", {}))


# -- hops ------------------------------------------------------------------------------------------------------------


def hops(flow: Flow, flows_of: Flows) -> tuple[Hop, ...]:
    """Give the way of a flow, in the order of its packet."""
    source, interface = flow.source, flow.interface
    sender = make_hop("sender", source.name, flow, ("node", source.name), *_from_source(flow, flows_of))
    if flow.protocol == "dhcp":
        return (sender, *_dhcp(flow, flows_of))
    if interface is None and not flow.namespace:
        return (sender, _uplink(source, flow, flows_of), _fabric(flow), _gateway(flow, flows_of))
    if interface is not None and flow.protocol in {"arp", "ndp"} and not flow.namespace:
        return (sender, *_guest(interface, flow, flows_of))
    if flow.translated is not None:
        return (sender, *_outside(flow, flows_of), *_routers(flow), *_behind_router(flow, flows_of))
    return (sender, *_through(flow, flows_of))


def _outside(flow: Flow, flows_of: Flows) -> Iterator[Hop]:
    """Give the way to the router by the network of the floating address, where the inventory knows that: its states are of that network."""
    nodes = _router_nodes(flow.network)
    if flow.external is None:
        yield _fabric(flow)
        return
    outer = _outer(flow)
    yield _gateway(outer, flows_of)
    yield _fabric(outer)
    for node in nodes if len(nodes) == 1 else ():  # those of several come later
        yield from _inside_outer(node, outer, flows_of)


def _outer(flow: Flow) -> Flow:
    """Give the flow as it is in the network of its floating address."""
    assert flow.external is not None
    gateway = next((subnet.gateway for subnet in flow.external.subnets if subnet.gateway and subnet.family == flow.family), flow.target)
    return replace(flow, network=flow.external, interface=None, target=gateway)


def _inside_outer(node: Node, outer: Flow, flows_of: Flows) -> Iterator[Hop]:
    """Give what a packet passes that comes into a router's node by the external network."""
    own = frozenset({("flow", outer.name)})  # what is judged of the flow itself by a hop's name is judged at the VM's node
    inside = _inside(node, outer, flows_of) if attached(node, outer.network) else ()
    yield from (replace(hop, about=hop.about - own) for hop in inside)


def _routers(flow: Flow) -> tuple[Hop, ...]:
    """Give the router of the network, wherever it is: of several the others wait."""
    nodes = _router_nodes(flow.network)
    interface = [("interface", flow.interface.name)] if flow.interface else []
    about = [("virtual_router", f"{flow.network}@{node}") for node in nodes]
    return (make_hop("router", nodes[0].name, flow, *about, *interface),) if nodes else ()


def _behind_router(flow: Flow, flows_of: Flows) -> Iterator[Hop]:
    """Give the way from the router to the VM: out of its node, unless that is the VM's own."""
    interface, nodes = flow.interface, _router_nodes(flow.network)
    assert interface is not None
    about = (("interface", interface.name), ("vm", interface.vm.name))
    for node in nodes if len(nodes) == 1 else ():
        yield from _out_of(node, flow, flows_of)
    yield from _inside(interface.node, flow, flows_of, about)
    *tap, guest = _guest(interface, flow, flows_of)
    yield from tap
    for node in nodes if len(nodes) > 1 else ():  # which of them works is not known here: what every packet passes comes first
        yield from _inside_outer(node, _outer(flow), flows_of) if flow.external else ()
        yield from _out_of(node, flow, flows_of)
    yield guest


def _out_of(node: Node, flow: Flow, flows_of: Flows) -> Iterator[Hop]:
    """Give what a packet passes on its way from a router's node, where that is not the VM's own."""
    own = frozenset({("flow", flow.name)})
    if flow.interface is not None and node != flow.interface.node:
        yield from (replace(hop, about=hop.about - own) for hop in _inside(node, flow, flows_of)[::-1])
        yield _fabric(flow)


def _through(flow: Flow, flows_of: Flows) -> Iterator[Hop]:
    """Give the way through the bridges: out of the node of a namespace, into that of the VM."""
    source, interface = flow.source, flow.interface
    local = flow.namespace and interface is not None and interface.node == source
    if flow.namespace:
        yield make_hop("namespace", source.name, flow, ("node", source.name), ("dhcp_server", f"{flow.network}@{source}"))
        # what is judged of the flow itself by a hop's name is judged at the VM's node, not here
        own = frozenset({("flow", flow.name)})
        inside = (replace(hop, about=hop.about - own) for hop in _inside(source, flow, flows_of)[::-1])
        yield from inside if not local else ()
    else:
        yield _gateway(flow, flows_of)
    if not local:
        yield _fabric(flow)
    if interface is None:
        yield from _routers(flow)
        yield _gateway(flow, flows_of)
        return
    about = (("interface", interface.name), ("vm", interface.vm.name))
    if local:
        yield make_hop("switch", source.name, flow, ("node", source.name))
        yield make_hop("integration", source.name, flow, ("node", source.name), *about)
    else:
        yield from _inside(interface.node, flow, flows_of, about)
    yield from _guest(interface, flow, flows_of)


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


def _gateway(flow: Flow, flows_of: Flows) -> Hop:
    asked: set[tuple[str, str]] = set()
    for subnet in flow.network.subnets:
        if subnet.gateway is not None and subnet.family == flow.family:
            asked |= flows_of.to_gateway(flow, subnet.gateway)
    return make_hop("gateway", flow.network.name, flow, *asked)


def _guest(interface: Interface, flow: Flow, flows_of: Flows) -> tuple[Hop, Hop]:
    about = (("interface", interface.name), ("vm", interface.vm.name), ("node", interface.node.name))
    tap = make_hop("tap", interface.node.name, flow, *about)
    return (tap, make_hop("guest", interface.vm.name, flow, *about, *flows_of.like(flow)))


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


# -- traces ------------------------------------------------------------------------------------------------------------


def points(
    flow: Flow, links: By[Node, Table[Link]], domains: By[Node, Table[Domain]], route_lookups: By[Flow, Lookup],
    ovs_bridges: By[Node, Table[OvsBridge]],
) -> tuple[Point, ...]:
    """Give where a packet is looked for: the sender's device, the NIC of the VM's node, the tap, the guest; of ARP the tap alone."""
    if flow.protocol in {"arp", "ndp"}:
        assert flow.interface is not None
        tap = tap_point(flow.interface, domains)
        return (replace(tap, hop="sender"), tap, *guest_point(flow.interface))
    device = _device(flow, route_lookups)
    return (Point(flow.source.name, "sender", device, leaves=True), *_at_vm(flow, links, domains, ovs_bridges, local=False))


def points_by_router(  # noqa: PLR0913, PLR0917 - a fact for each stretch of the way
    flow: Flow, links: By[Node, Table[Link]], domains: By[Node, Table[Domain]], route_lookups: By[Flow, Lookup],
    ovs_bridges: By[Node, Table[OvsBridge]], router_namespaces: By[VirtualRouter, Namespace],
) -> tuple[Point, ...]:
    """Give where a packet for a floating address is looked for: sender, NIC and leg of the router, then as from an agent."""
    interface = flow.interface
    assert interface is not None
    way = [Point(flow.source.name, "sender", _device(flow, route_lookups), leaves=True)]
    for router in router_namespaces:
        if router.network == flow.network and (leg := _leg(flow, router, router_namespaces)):
            if flow.external is not None and attached(router.node, flow.external):
                way += _nic_points(router.node, replace(flow, network=flow.external), links, ovs_bridges, leaves=False)
            way.append(Point(router.node.name, "router", leg, leaves=True, namespace=router.namespace, asks=True))
            if router.node != interface.node:
                way += _nic_points(router.node, flow, links, ovs_bridges, leaves=True)
            return (*way, *_at_vm(flow, links, domains, ovs_bridges, local=router.node == interface.node))
    return (*way, *_at_vm(flow, links, domains, ovs_bridges, local=False))


def _leg(flow: Flow, router: VirtualRouter, router_namespaces: By[VirtualRouter, Namespace]) -> str:
    """Give the device of a router by which it reaches a translated address; empty where it has none there, or was not seen."""
    try:
        inside = router_namespaces[router]
    except NotSeen:
        return ""
    return next((device for device, text in inside.addresses if flow.translated in ip_interface(text).network), "")


def _device(flow: Flow, route_lookups: By[Flow, Lookup]) -> str:
    try:
        return route_lookups[flow].device
    except NotSeen:
        return ""


def points_from_agent(
    flow: Flow, links: By[Node, Table[Link]], domains: By[Node, Table[Domain]], dhcp_namespaces: By[DhcpServer, Namespace],
    ovs_bridges: By[Node, Table[OvsBridge]],
) -> tuple[Point, ...]:
    """Give where a packet of a DHCP agent's namespace is looked for: there, the NICs of both nodes, the tap, the guest."""
    source, interface = flow.source, flow.interface
    assert interface is not None
    try:
        device, why = _own(flow, dhcp_namespaces)[0], ""
    except NotSeen as reason:
        device, why = "", str(reason)
    way = [Point(source.name, "sender", device, leaves=True, namespace=flow.namespace, why=why)]
    local = source == interface.node
    if not local:
        way += _nic_points(source, flow, links, ovs_bridges, leaves=True)
    return (*way, *_at_vm(flow, links, domains, ovs_bridges, local=local))


def _at_vm(
    flow: Flow, links: By[Node, Table[Link]], domains: By[Node, Table[Domain]], ovs_bridges: By[Node, Table[OvsBridge]], *, local: bool,
) -> Iterator[Point]:
    interface = flow.interface
    assert interface is not None
    if not local:
        yield from _nic_points(interface.node, flow, links, ovs_bridges, leaves=False)
    yield tap_point(interface, domains)
    yield from guest_point(interface)


def _nic_points(
    node: Node, flow: Flow, links: By[Node, Table[Link]], ovs_bridges: By[Node, Table[OvsBridge]], *, leaves: bool,
) -> Iterator[Point]:
    """Give the NIC; of a tenant network it is that of the underlay, where a question for a MAC has nothing that it is known by.

    Of a bond of Open vSwitch the member in use, and each other one as another way: what a switch floods comes by all of them.
    """
    (device, *others), known = uplink_devices(flow.network, node, ovs_bridges), flow.network.neutron
    if not device:
        yield Point(node.name, "uplink", "", leaves, why=f"{node}: the inventory names no uplink for {flow.network}")
        return
    point = uplink_point(node, device, links, leaves=leaves)
    if known is not None and known.is_tunnel and not point.blind:
        point = replace(point, blind="questions for a MAC cannot be told there from those of others: a tunnel carries them")
    elif others and not point.blind:
        point = replace(point, blind=f"{device} is one member of a bond with {', '.join(others)}")
    yield point
    for other in others:
        yield Point(node.name, OTHER_UPLINK, other, leaves, blind="another member of the bond")


def _own(flow: Flow, dhcp_namespaces: By[DhcpServer, Namespace]) -> tuple[str, str]:
    """Give the device and the address by which a namespace asks. Raises NotSeen where it has none there."""
    server = next((one for one in dhcp_namespaces if one.namespace == flow.namespace and one.node == flow.source), None)
    held = dhcp_namespaces[server].addresses if server else ()
    for device, text in held:
        if flow.target in ip_interface(text).network:
            return device, str(ip_interface(text).ip)
    raise NotSeen(Why.NOT_POSSIBLE, f"{flow.source}: {flow.namespace} has no address of the subnet of {flow.target}")


def _sends_in_namespace(
    flow: Flow, links: By[Node, Table[Link]], domains: By[Node, Table[Domain]], dhcp_namespaces: By[DhcpServer, Namespace],  # noqa: ARG001 - the same facts as the points
    ovs_bridges: By[Node, Table[OvsBridge]],  # noqa: ARG001 - the same
) -> tuple[Action, ...]:
    device, address = _own(flow, dhcp_namespaces)
    if flow.protocol == "arp":
        macs = {name: mac for one in dhcp_namespaces if one.namespace == flow.namespace for name, mac in dhcp_namespaces[one].macs}
        return sending.asking(flow, device, macs[device], [ip_interface(address).ip])
    return (sending.packets(flow, mark_of(flow.name), Lookup("unicast", device, "", address)),)


def _traced(flow: Flow) -> bool:
    return flow.network.kind == "neutron" and flow.interface is not None and flow.size is None


def _traced_from_outside(flow: Flow) -> bool:
    return _traced(flow) and not flow.namespace and flow.translated is None


def _traced_by_router(flow: Flow) -> bool:
    return _traced(flow) and flow.translated is not None


def _places_by_router(flow: Flow) -> tuple[Place, ...]:
    source, *others = trace_places(flow)
    return tuple(dict.fromkeys((source, *_router_nodes(flow.network), *others)))


def _traced_from_agent(flow: Flow) -> bool:
    return _traced(flow) and bool(flow.namespace)


traced(where=_traced_from_outside, at=trace_places, points=points)
traced(where=_traced_by_router, at=_places_by_router, points=points_by_router)
traced(where=_traced_from_agent, at=trace_places, points=points_from_agent, sends=_sends_in_namespace)

PLATFORM = register(Platform("neutron", frozenset({"neutron"}), flows, hops))
