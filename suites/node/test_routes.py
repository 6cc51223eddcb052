"""The routes of a node: those that the inventory declares, and the way out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from netchecks.errors import Wrong
from netchecks.models.links import Link as Device
from netchecks.models.routes import Neighbour, NextHop, Route
from netchecks.models.subjects import Address, DeclaredRoute, Inventory, Node
from netchecks.models.table import Table
from netchecks.seen import By, note

Routes = By[Node, tuple[Route, ...]]
Links = By[Node, Table[Device]]

#: Routes that end here. Normal as such (Calico, aggregates), not where a way is declared.
ENDS = frozenset({"blackhole", "unreachable", "prohibit", "throw"})
DEAD = frozenset({"dead", "linkdown"})


@pytest.mark.hop("sender", "route")
def test_route_is_present(node: Node, inventory: Inventory, routes: Routes, links: Links) -> None:
    """Each declared route is there, is the one that is used, and leads where it shall.

    Why: without it, packets to that subnet go another way or nowhere.
    Remedy: node administrator: ip route add the declared route, and put it into the boot configuration
    Source: VMmanager knowledge base, "Маршрутизация"; ip-route(8)
    """
    for declared in node.routes:
        try:
            _is_right(node, declared, routes, links)
        except Wrong as wrong:
            if not _of_vms(node, declared, inventory):
                raise
            raise Wrong(
                wrong.code, str(wrong), place=node.name, hop="tap", breaks=frozenset({"own route"}), remedy=wrong.remedy,
            ) from None


def _of_vms(node: Node, declared: DeclaredRoute, inventory: Inventory) -> bool:
    """Tell whether it is the way to VMs that the node routes to: that their flows break is said by their own checks."""
    ends = [(network, end) for network in inventory.networks for end in network.attachments if end.node == node]
    return any(network.kind != "switching" and end.bridge == declared.dev for network, end in ends if declared.dev)


def _is_right(node: Node, declared: DeclaredRoute, routes: Routes, links: Links) -> None:
    used = _used(declared, routes[node])
    if used is None:
        raise _wrong(node, declared, "route.missing", f"there is no route to {_shown(declared)}", links)
    if used.kind in ENDS:
        raise _wrong(node, declared, "route.blackhole", f"the route to {declared.to} is {used.kind}", links)
    if used.ways and not any(_leads(way, declared) for way in used.ways):
        raise _wrong(node, declared, "route.wrong_way", f"{declared.to} goes {_ways(used.ways)}, expected {_way(declared)}", links)
    fitting = [way for way in used.ways if _leads(way, declared)]
    if fitting and all(way.flags & DEAD for way in fitting):
        raise _wrong(node, declared, "route.dead", f"the route to {_shown(declared)} is {_flags(fitting)}", links)


def _used(declared: DeclaredRoute, routes: Sequence[Route]) -> Route | None:
    """Find the route of that prefix which the kernel prefers; of another table (a VRF's) where main has none."""
    same = [route for route in routes if route.destination == declared.to and route.origin is None and not route.tos]
    fitting = [route for route in same if route.table == "main"] or [route for route in same if route.table != "local"]
    return min(fitting, key=lambda route: route.metric, default=None)


def _leads(way: NextHop, declared: DeclaredRoute) -> bool:
    return declared.via in {None, way.gateway} and declared.dev in {"", way.device}


def _flags(ways: Sequence[NextHop]) -> str:
    return " ".join(sorted({flag for way in ways for flag in way.flags & DEAD}))


def _ways(ways: Sequence[NextHop]) -> str:
    return " and ".join(" ".join(filter(None, (f"via {way.gateway}" if way.gateway else "", f"dev {way.device}"))) for way in ways)


def _way(declared: DeclaredRoute) -> str:
    return " ".join(filter(None, (f"via {declared.via}" if declared.via else "", f"dev {declared.dev}" if declared.dev else "")))


def _shown(declared: DeclaredRoute) -> str:
    return f"{declared.to} {_way(declared)}"


def _wrong(node: Node, declared: DeclaredRoute, code: str, message: str, links: Links) -> Wrong:
    """Say what is wrong with a route; where it went with its link it is what follows, never the cause."""
    remedy = f"ip route replace {_shown(declared)}"
    if _without_link(node, declared.dev, declared.via, links):
        return _follows(node, code, message)
    breaks = frozenset({f"ipv{declared.to.version}", "routed"})
    return Wrong(code, f"{node}: {message}", place=node.name, breaks=breaks, remedy=remedy)


def _follows(node: Node, code: str, message: str) -> Wrong:
    return Wrong(
        code, f"{node}: {message}, as its link is missing, down or without carrier", place=node.name, hop="uplink",
        breaks=frozenset({"own route"}), remedy="put the link right first",
    )


def _without_link(node: Node, device: str, via: Address | None, links: Links) -> bool:
    """Tell whether the device by which a route leaves, or the one whose subnet has its gateway, does not work."""
    names = {device} if device else {
        link.name for link in node.links for address in link.addresses if via is not None and via in address.network
    }
    known = links[node]
    return any(name not in known or not known[name].up or not known[name].carrier for name in names)


@pytest.mark.hop("sender", "route")
def test_route_default_is_present(
    node: Node, inventory: Inventory, routes: Routes, neighbours: By[Node, tuple[Neighbour, ...]], links: Links,
) -> None:
    """A node with an address in a subnet that has a gateway has a default route of that family.

    Why: without one, everything beyond the node's own subnets is unreachable.
    Remedy: node administrator: ip route add default via the gateway
    Source: VMmanager knowledge base, "Маршрутизация"
    """
    for gateway in _expected(node, inventory):
        found = [
            route for route in routes[node]
            if route.family == gateway.version and not route.destination.prefixlen and route.kind == "unicast" and route.table != "local"
        ]
        alive = [way for route in found for way in route.ways or (NextHop(),) if not way.flags & DEAD]
        if not alive:
            code, what = ("route.default_dead", "only a dead") if found else ("route.default_missing", "no")
            raise _no_default(node, gateway, code, f"there is {what} IPv{gateway.version} default route", links)
        _note_silent(node, alive, neighbours)


def _no_default(node: Node, gateway: Address, code: str, message: str, links: Links) -> Wrong:
    if _without_link(node, "", gateway, links):
        return _follows(node, code, message)
    breaks = frozenset({f"ipv{gateway.version}", "routed"})
    return Wrong(code, f"{node}: {message}", place=node.name, breaks=breaks, remedy=f"ip route add default via {gateway}")


def _expected(node: Node, inventory: Inventory) -> tuple[Address, ...]:
    """Give a gateway for each family that needs a default route; any default route will do."""
    found: dict[int, Address] = {}
    for network in inventory.networks:
        if any(end.node == node for end in network.attachments):
            for subnet in network.subnets:
                own = [address.ip for link in node.links for address in link.addresses]
                if subnet.gateway is not None and subnet.gateway not in own and any(address in subnet.prefix for address in own):
                    found.setdefault(subnet.family, subnet.gateway)
    for route in node.routes:
        if not route.to.prefixlen and route.via is not None:
            found.setdefault(route.to.version, route.via)
    return tuple(found.values())


def _note_silent(node: Node, ways: Sequence[NextHop], neighbours: By[Node, tuple[Neighbour, ...]]) -> None:
    """Note a gateway that did not answer the kernel's last question; asking it now is gateway_answers' part."""
    failed = {(item.address, item.device) for item in neighbours[node] if item.failed}
    for way in ways:
        if (way.gateway, way.device) in failed:
            note("route.gateway_unresolved", f"{node}: the default gateway {way.gateway} on {way.device} did not answer lately")
