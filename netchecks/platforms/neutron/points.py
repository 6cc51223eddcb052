"""Where packets of a flow of Neutron are looked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_interface

from netchecks.errors import NotSeen, Why
from netchecks.flowing import attached
from netchecks.models.domains import Domain
from netchecks.models.links import Link
from netchecks.models.neutron import Namespace
from netchecks.models.openvswitch import OvsBridge
from netchecks.models.routes import Lookup
from netchecks.models.subjects import DhcpServer, Flow, Node, Place, VirtualRouter
from netchecks.models.table import Table
from netchecks.models.traces import OTHER_UPLINK, Point
from netchecks.platforms.neutron.flows import is_central, routers_of
from netchecks.points import guest_point, tap_point, trace_places, uplink_point
from netchecks.probe import Action
from netchecks.seen import By
from netchecks.taps import uplink_devices
from netchecks.trace import sending, traced
from netchecks.trace.marks import mark_of


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
    interface, routers = flow.interface, routers_of(flow)
    assert interface is not None
    way = [Point(flow.source.name, "sender", _device(flow, route_lookups), leaves=True)]
    for router in router_namespaces if not is_central(flow) else ():
        if router.network == flow.network and router.node in routers and (leg := _leg(flow, router, router_namespaces)):
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
    return tuple(dict.fromkeys((source, *routers_of(flow), *others)))


def _traced_from_agent(flow: Flow) -> bool:
    return _traced(flow) and bool(flow.namespace)


traced(where=_traced_from_outside, at=trace_places, points=points)
traced(where=_traced_by_router, at=_places_by_router, points=points_by_router)
traced(where=_traced_from_agent, at=trace_places, points=points_from_agent, sends=_sends_in_namespace)
