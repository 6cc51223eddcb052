"""What lies before the uplink of a node that routes to its VMs: the routers, and who answers ARP and NDP there."""

from __future__ import annotations

from typing import TypeGuard

import pytest

from netchecks.errors import Wrong
from netchecks.models.answers import Answer
from netchecks.models.domains import Domain
from netchecks.models.fib import best
from netchecks.models.forwarding import answers_for_others
from netchecks.models.links import Link as Device
from netchecks.models.routes import InterfaceAddress, Neighbour, Route
from netchecks.models.subjects import Address, Flow, Interface, Node
from netchecks.models.table import Table
from netchecks.seen import By, note
from netchecks.taps import tap_of

Addresses = By[Node, Table[tuple[InterfaceAddress, ...]]]
Routes = By[Node, tuple[Route, ...]]
Sysctls = By[Node, Table[str]]


@pytest.mark.kind("routing", "ip-fabric")
@pytest.mark.hop("router", "route")
def test_neighbour_router_knows_vm(
    interface: Interface, routes: Routes, addresses: Addresses, answers: By[Flow, Answer], domains: By[Node, Table[Domain]],
    links: By[Node, Table[Device]],
) -> None:
    """Each router of the VM's network has a route to each address of the VM, to its node and to no other.

    A default route is none: it leads away from the nodes. A router that is in the VM's subnet itself asks by ARP or NDP.
    Where the VM is reached from outside all the same, and no other router has a route, these are not on its way: a note.

    Why: what the router does not know, no packet from outside reaches.
    Remedy: network engineer: ip route add the address via the VM's node, or look why the routing protocol does not bring it
    Source: VMmanager knowledge base, "IP fabric"
    """
    if not interface.vm.runs or (interface.network.kind == "ip-fabric" and not _is_plugged_in(interface, domains, links)):
        return  # the route of a tap without its guest is told to nobody, and none by an uplink that is down: other checks say so
    for router in interface.network.routers:
        for address in interface.addresses:
            route = best(address, routes[router])
            if _leads(route):
                _to_its_node(router, interface, address, route, addresses)
            else:
                needed = _another(interface, address, routes) or not _is_reached(interface, address, answers)
                _lacks(router, interface, address, route, needed=needed)


def _is_plugged_in(interface: Interface, domains: By[Node, Table[Domain]], links: By[Node, Table[Device]]) -> bool:
    known, tap, uplink = links[interface.node], tap_of(interface, domains), interface.uplink
    return all(name in known and known[name].up and known[name].carrier for name in (tap, *((uplink,) if uplink else ())))


def _leads(route: Route | None) -> TypeGuard[Route]:
    return route is not None and route.kind == "unicast" and route.destination.prefixlen > 0


def _is_reached(interface: Interface, address: Address, answers: By[Flow, Answer]) -> bool:
    found = [a.came_back for flow, a in answers.seen().items() if flow.target == address and flow.source != interface.node]
    return bool(found) and all(found)


def _another(interface: Interface, address: Address, routes: Routes) -> bool:
    known = routes.seen()
    return any(_leads(best(address, known[router])) for router in interface.network.routers if router in known)


def _lacks(router: Node, interface: Interface, address: Address, route: Route | None, *, needed: bool) -> None:
    has = f"only {route.kind if route.kind != 'unicast' else 'default'} {route.destination}" if route else "none"
    message = f"{router}: no route to {interface} {address} on {interface.node}: {has}"
    if not needed:
        note("router.not_on_the_way", message)
        return
    raise Wrong(
        "router.route_missing", message, place=router.name, breaks=frozenset({f"ipv{address.version}", "routed"}), owner="network engineer",
        remedy=f"on {router}: ip route add {address} via {interface.node}; where a protocol shall bring it, look at {interface.node}",
    )


def _to_its_node(router: Node, interface: Interface, address: Address, route: Route, addresses: Addresses) -> None:
    node, gateways = interface.node, [way.gateway for way in route.ways if way.gateway is not None]
    others = {owner for gateway in gateways if (owner := _owner(gateway, interface, addresses)) is not None}
    if others and node not in others:
        raise Wrong(
            "router.route_elsewhere",
            f"{router}: the route to {interface} {address} leads to {', '.join(map(str, others))}, expected to {node}",
            place=router.name, breaks=frozenset({f"ipv{address.version}", "routed"}), owner="network engineer",
            remedy=f"on {router}: ip route replace {address} via {node}",
        )


def _owner(gateway: Address, interface: Interface, addresses: Addresses) -> Node | None:
    """Give the node of the network that has an address; None where it is another router's."""
    known = addresses.seen()
    for end in interface.network.attachments:
        declared = {address.ip for link in end.node.links for address in link.addresses}
        seen = {item.address.ip for items in known[end.node].values() for item in items} if end.node in known else set()
        if gateway in declared | seen:
            return end.node
    return None


@pytest.mark.kind("routing", "ip-fabric")
@pytest.mark.flow("icmp", "tcp", "udp", to="vm")
@pytest.mark.hop("uplink", "neighbour")
def test_uplink_answers_for_vm(
    flow: Flow, answers: By[Flow, Answer], addresses: Addresses, sysctls: Sysctls, routes: Routes, links: By[Node, Table[Device]],
    proxy_neighbours: By[Node, tuple[Neighbour, ...]],
) -> None:
    """Where a VM without answers has an address of the uplink's own subnet, its node answers ARP or NDP for it there.

    Not where each router has a route by a gateway: then it asks for that one.

    Why: the router takes such a VM for a neighbour, and asks the segment for it; nobody but its node can answer.
    Remedy: node administrator: sysctl -w net.ipv4.conf.UPLINK.proxy_arp=1; of IPv6 proxy_ndp=1 and ip neigh add proxy
    Source: RFC 1027; Linux Documentation/networking/ip-sysctl.rst, proxy_arp, proxy_ndp; ip-neighbour(8)
    """
    interface = flow.interface
    if interface is None or flow.source == interface.node or answers[flow].came_back:
        return
    node, uplink, target = interface.node, interface.uplink, flow.target
    if uplink not in links[node] or not _is_in_segment(target, addresses[node].get(uplink, ())) or _by_gateway(interface, target, routes):
        return
    alone = f"{node}: {interface}'s {target} is of {uplink}'s own subnet, and nobody answers for it there"
    may = answers_for_others(sysctls[node], uplink, flow.family)
    listed = any(item.address == target and item.device == uplink for item in proxy_neighbours[node])
    if flow.family == 4 and not may and not listed:
        raise Wrong(
            "proxy.arp_missing", f"{alone}: proxy_arp is 0",
            place=node.name, breaks=frozenset({"ipv4", "routed"}), remedy=f"sysctl -w net.ipv4.conf.{uplink}.proxy_arp=1",
        )
    if flow.family == 6 and not (may and listed):
        lacks = " and ".join(filter(None, ("" if may else "proxy_ndp is 0", "" if listed else "it is no proxy entry")))
        raise Wrong(
            "proxy.ndp_missing", f"{alone}: {lacks}",
            place=node.name, breaks=frozenset({"ipv6", "routed"}),
            remedy=f"sysctl -w net.ipv6.conf.{uplink}.proxy_ndp=1; ip neigh add proxy {target} dev {uplink}",
        )


def _is_in_segment(target: Address, own: tuple[InterfaceAddress, ...]) -> bool:
    return any(target in item.address.network and not item.address.ip.is_link_local for item in own)


def _by_gateway(interface: Interface, target: Address, routes: Routes) -> bool:
    """Tell whether the routers whose routes could be seen send to a gateway instead of asking for the VM itself."""
    known = routes.seen()
    found = [best(target, known[router]) for router in interface.network.routers if router in known]
    return bool(found) and all(route is not None and any(way.gateway for way in route.ways) for route in found)
