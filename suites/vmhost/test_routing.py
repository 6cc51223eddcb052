"""Whether a node that routes to its VMs has the way to them, and the way back."""

from __future__ import annotations

import pytest

from netchecks.errors import NotSeen, Undecided, Why, Wrong
from netchecks.models.answers import Answer
from netchecks.models.domains import Domain
from netchecks.models.fib import chosen
from netchecks.models.forwarding import answers_for_others, closed, reverse_filter
from netchecks.models.links import Link as Device
from netchecks.models.routes import InterfaceAddress, Lookup, Route, Rule, VmWay
from netchecks.models.subjects import Address, Flow, Interface, Node, Prefix
from netchecks.models.table import Table
from netchecks.seen import By
from netchecks.taps import tap_of

Routes = By[Node, tuple[Route, ...]]
Rules = By[Node, tuple[Rule, ...]]
Sysctls = By[Node, Table[str]]
Lookups = By[Flow, Lookup]
Links = By[Node, Table[Device]]
Domains = By[Node, Table[Domain]]

#: What ``ip route add`` and its like want to hear.
_FLAG = {4: "ip", 6: "ip -6"}
#: Routes that end a packet's way.
ENDS = frozenset({"blackhole", "unreachable", "prohibit"})


def device_of(interface: Interface, domains: Domains, links: Links) -> str:
    """Give the device that routes to the VM shall lead to: its network's bridge, else its tap.

    Empty where that is not there or down: its routes are gone with it, and other checks say so.
    """
    name = interface.bridge or tap_of(interface, domains)
    known = links[interface.node]
    return name if name in known and known[name].up else ""


@pytest.mark.kind("routing")
@pytest.mark.hop("node", "route")
def test_subnet_route_is_present(interface: Interface, routes: Routes, links: Links) -> None:
    """A subnet for which the inventory declares a route to the VM's bridge has it on the VM's node.

    Why: without it the node sends packets for these VMs back to where they came from.
    Remedy: node administrator: ip route add the subnet dev the bridge, and put it into the boot configuration
    Source: VMmanager knowledge base, "Маршрутизация"
    """
    node, bridge = interface.node, interface.bridge
    if bridge not in links[node] or not links[node][bridge].up:
        return  # its routes are gone with it: other checks say so
    missing = [prefix for prefix in _declared(interface) if not _leads(prefix, bridge, routes[node])]
    if missing:
        shown = ", ".join(map(str, missing))
        raise Wrong(
            "route.subnet_missing", f"{node}: no route to {shown} leads to {bridge}", place=node.name,
            breaks=frozenset({f"ipv{prefix.version}" for prefix in missing} if len(missing) == 1 else ()) | {"unicast"},
            remedy="; ".join(f"{_FLAG[prefix.version]} route add {prefix} dev {bridge}" for prefix in missing),
        )


def _declared(interface: Interface) -> list[Prefix]:
    """Give the subnets of the VM's addresses that the inventory routes to its bridge, as a whole."""
    return [
        route.to for route in interface.node.routes
        if route.dev == interface.bridge and route.to.prefixlen < route.to.max_prefixlen
        and any(address in route.to for address in interface.addresses)
    ]


def _leads(prefix: Prefix, device: str, routes: tuple[Route, ...]) -> bool:
    same = [route for route in routes if route.destination == prefix and route.table != "local"]
    return any(way.device == device for route in same for way in route.ways)


@pytest.mark.kind("routing", "ip-fabric")
@pytest.mark.hop("node", "route")
def test_host_route_is_present(
    interface: Interface, vm_routes: By[Interface, Table[VmWay]], routes: Routes, rules: Rules, sysctls: Sysctls,
    domains: Domains, links: Links,
) -> None:
    """Packets for each address of a running VM leave the node by the VM's bridge or tap, its own and those from outside.

    The kernel itself is asked. A stopped VM needs no route; where a wider route leads there too, no host route is needed.

    Why: the node has no other way to tell where an address is than its routes.
    Remedy: node administrator: ip route add the address dev the bridge or the tap; see what shadows it with ip route get, ip rule
    Source: VMmanager knowledge base, "Маршрутизация", "IP fabric"; ip-route(8), get
    """
    device = device_of(interface, domains, links)
    if not interface.vm.runs or not device:
        return
    known = links[interface.node]
    in_vrf = known[device].master in known and known[known[device].master].kind == "vrf"  # its tables are not the node's own
    for address in interface.addresses:
        way = vm_routes[interface][str(address)]
        if not _is_right(way.own, device) and not in_vrf:
            try:
                _raise_own(interface, address, device, way.own, routes, rules)
            except Wrong as wrong:
                wrong.hop = "announcer" if interface.network.kind == "ip-fabric" else ""
                if way.forwarded is not None and _is_right(way.forwarded, device):
                    wrong.breaks |= {"own_bridge"}  # of what it forwards the kernel says that it goes right
                raise
        outside = way.forwarded
        if outside is not None and not _is_right(outside, device) and not _kept_back(interface, address, outside, sysctls):
            raise _shadowed(interface, address, f"packets from outside go {_to(outside)}, its own to {device}", rules, outside=True)


def _is_right(lookup: Lookup, device: str) -> bool:
    return lookup.device == device and not lookup.gateway


def _to(lookup: Lookup) -> str:
    if not lookup.device:
        return f"nowhere ({lookup.kind})"
    return f"by {lookup.device}{f' via {lookup.gateway}' if lookup.gateway else ''}"


def _kept_back(interface: Interface, address: Address, lookup: Lookup, sysctls: Sysctls) -> bool:
    """Tell whether the kernel may refuse for another reason than its routes: other checks are about these.

    Without forwarding, and where the filter of the reverse path drops what comes from anywhere, IPv4 gives no route.
    """
    if address.version != 4 or lookup.device:
        return False
    settings = sysctls[interface.node]
    return bool(closed(settings, [interface.uplink], {4}) or reverse_filter(settings, interface.uplink))


def _raise_own(interface: Interface, address: Address, device: str, lookup: Lookup, routes: Routes, rules: Rules) -> None:
    node = interface.node
    whole = [route for route in routes[node] if route.destination.prefixlen == address.max_prefixlen and address in route.destination]
    own = [route for route in whole if route.table == "main"]
    if any(way.device == device for route in own for way in route.ways):
        raise _shadowed(interface, address, f"it sends packets {_to(lookup)}, expected by {device}", rules)
    elsewhere = [way.device for route in own if route.kind not in ENDS for way in route.ways]
    flag, breaks = _FLAG[address.version], frozenset({f"ipv{address.version}", "unicast"})
    if elsewhere:
        raise Wrong(
            "route.wrong_device", f"{node}: the host route of {interface} {address} leads to {', '.join(elsewhere)}, expected to {device}",
            place=node.name, breaks=breaks, remedy=f"{flag} route replace {address} dev {device}",
        )
    if _is_of_subnet(interface, address):
        return  # the check of the subnet's route says so
    raise Wrong(
        "route.host_missing", f"{node}: there is no route to {interface} {address} by {device}; packets go {_to(lookup)}",
        place=node.name, breaks=breaks, remedy=f"{flag} route add {address} dev {device}",
    )


def _is_of_subnet(interface: Interface, address: Address) -> bool:
    """Tell whether the inventory has a route of the whole subnet on the node, instead of one for each VM."""
    return bool(interface.bridge) and any(address in prefix for prefix in _declared(interface))


def _shadowed(interface: Interface, address: Address, what: str, rules: Rules, *, outside: bool = False) -> Wrong:
    node, flag = interface.node, _FLAG[address.version]
    plain = {("local", False), ("main", False), ("default", False)}
    special = [
        f"{rule.priority} {rule.action} {rule.table}".strip() for rule in rules[node]
        if rule.family == address.version and (rule.table, bool(rule.conditions)) not in plain
    ]
    why = f"; rules of the routing policy: {', '.join(special)}" if special else ""
    return Wrong(
        "route.shadowed", f"{node} has a route to {interface} {address}, but another one wins: {what}{why}", place=node.name,
        breaks=frozenset({f"ipv{address.version}", "unicast", *({"routed"} if outside else ())}),
        remedy=f"{flag} rule show; {flag} route show table all {address}; take away what wins over the host route",
    )


@pytest.mark.kind("routing", "ip-fabric")
@pytest.mark.hop("node", "forwards")
def test_node_forwards(interface: Interface, sysctls: Sysctls, domains: Domains, links: Links) -> None:
    """The VM's node forwards packets between its uplink and the VM, by each family that the VM has.

    Why: one 0 in /proc/sys, and the node drops what it should pass on without a word.
    Remedy: node administrator: sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1, and put it into /etc/sysctl.d
    Source: VMmanager knowledge base, "Маршрутизация"; Linux Documentation/networking/ip-sysctl.rst
    """
    node, device = interface.node, device_of(interface, domains, links)
    off = closed(sysctls[node], filter(None, (interface.uplink, device)), {address.version for address in interface.addresses})
    if off:
        raise _no_forwarding(node, off)


@pytest.mark.kind("routing", "ip-fabric")
@pytest.mark.hop("router", "forwards")
def test_router_forwards(interface: Interface, sysctls: Sysctls) -> None:
    """Each router of the VM's network forwards packets of the VM's families.

    Why: one 0 in /proc/sys, and the router drops what it should pass on without a word.
    Remedy: network engineer: sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1, and put it into /etc/sysctl.d
    Source: Linux Documentation/networking/ip-sysctl.rst
    """
    for router in interface.network.routers:
        off = closed(sysctls[router], [], {address.version for address in interface.addresses})
        if off:
            raise _no_forwarding(router, off)


def _no_forwarding(node: Node, off: dict[str, int]) -> Wrong:
    families = set(off.values())
    return Wrong(
        "forwarding.off", f"{node} does not forward: {', '.join(f'{key} is 0' for key in off)}, expected 1", place=node.name,
        breaks=frozenset({"routed"} | ({f"ipv{family}" for family in families} if len(families) == 1 else set())),
        remedy="; ".join(f"sysctl -w {key}=1" for key in off) + "; and in /etc/sysctl.d",
    )


@pytest.mark.kind("routing", "ip-fabric")
@pytest.mark.flow("icmp", "tcp", "udp", to="vm")
@pytest.mark.hop("node", "policy")
def test_rp_filter_lets_through(
    flow: Flow, answers: By[Flow, Answer], route_lookups: Lookups, routes: Routes, rules: Rules, sysctls: Sysctls,
) -> None:
    """The VM's node does not drop a flow because its answers would leave by another way than it came.

    Only a flow that does not come back is judged. Strict: the way back leads to the uplink; loose: there is one.

    Why: with two uplinks the ways there and back may differ, and the kernel drops such packets and counts them nowhere visible.
    Remedy: node administrator: sysctl -w net.ipv4.conf.all.rp_filter=2 and that of the uplink, or make both ways one
    Source: RFC 3704; Linux Documentation/networking/ip-sysctl.rst, rp_filter
    """
    interface, asker = flow.interface, _asker(flow, answers, route_lookups)
    if interface is None or asker is None or flow.family != 4:
        return
    node, uplink = interface.node, interface.uplink
    mode = reverse_filter(sysctls[node], uplink)
    back = _way_back(node, asker, flow.target, routes, rules) if mode else None
    if not mode or back is None:
        return  # without any way back another check says so
    if mode == 1 and back.ways and uplink not in {way.device for way in back.ways}:
        by = " and ".join(sorted({way.device for way in back.ways}))
        raise Wrong(
            "rpfilter.drops", f"{node} drops what comes from {asker} by {uplink}: the way back leads by {by}, and rp_filter is strict",
            place=node.name, breaks=frozenset({"ipv4", "routed"}),
            remedy=f"sysctl -w net.ipv4.conf.{uplink}.rp_filter=2, or let answers to {asker} leave by {uplink}",
        )


def _asker(flow: Flow, answers: By[Flow, Answer], route_lookups: Lookups) -> Address | None:
    """Give the address that a flow from outside was sent from, by its sender's own kernel; None where it came back."""
    if flow.interface is None or flow.source == flow.interface.node or answers[flow].came_back:
        return None
    return route_lookups[flow].address


def _way_back(node: Node, asker: Address, target: Address, routes: Routes, rules: Rules) -> Route | None:
    try:
        return chosen(asker, routes[node], rules[node], target)
    except Undecided as error:
        raise NotSeen(Why.NOT_POSSIBLE, f"{node}: the way back to {asker} depends on {error}") from error


@pytest.mark.kind("routing", "ip-fabric")
@pytest.mark.flow("icmp", "tcp", "udp", to="vm")
@pytest.mark.hop("node", "route")
def test_node_has_way_back(
    flow: Flow, answers: By[Flow, Answer], route_lookups: Lookups, routes: Routes, rules: Rules, links: Links,
) -> None:
    """The VM's node has a route to whoever asks the VM from outside. Only a flow that does not come back is judged.

    Why: answers take the node's routes, not the way that the question came.
    Remedy: node administrator: ip route add default via the router, and put it into the boot configuration
    Source: VMmanager knowledge base, "Маршрутизация"
    """
    interface, asker = flow.interface, _asker(flow, answers, route_lookups)
    if interface is None or asker is None:
        return
    node, uplink = interface.node, interface.uplink
    if uplink not in links[node] or not links[node][uplink].up or not links[node][uplink].carrier:
        return  # its routes are gone with it: other checks say so
    back = _way_back(node, asker, flow.target, routes, rules)
    if back is None or back.kind in ENDS:
        shown = f"is {back.kind}" if back else "there is none"
        raise Wrong(
            "route.no_way_back", f"{node}: answers to {asker} have no route: {shown}", place=node.name,
            breaks=frozenset({f"ipv{flow.family}", "routed"}),
            remedy=f"{_FLAG[flow.family]} route add default via the router dev {uplink}",
        )


@pytest.mark.kind("routing", "ip-fabric")
@pytest.mark.flow("icmp", "tcp", "udp", to="vm")
@pytest.mark.hop("tap", "address")
def test_vm_gateway_is_on_node(
    flow: Flow, answers: By[Flow, Answer], addresses: By[Node, Table[tuple[InterfaceAddress, ...]]], sysctls: Sysctls,
    domains: Domains, links: Links,
) -> None:
    """The gateway that a VM without answers uses is an address of its node, or the node answers for it (proxy ARP, NDP).

    Why: a VM that cannot resolve its gateway hears every question and answers none.
    Remedy: node administrator: ip addr add the gateway dev the bridge or the tap
    Source: VMmanager knowledge base, "Маршрутизация"; RFC 1027
    """
    interface = flow.interface
    if interface is None or answers[flow].came_back:
        return
    node, device = interface.node, device_of(interface, domains, links)
    subnet = next((subnet for subnet in interface.network.subnets if flow.target in subnet.prefix), None)
    if subnet is None or subnet.gateway is None or not device:
        return
    gateway = subnet.gateway
    own = addresses[node]
    where = [device] if gateway.is_link_local and gateway.version == 6 else list(own)
    present = any(item.address.ip == gateway for name in where for item in own.get(name, ()))
    if present or answers_for_others(sysctls[node], device, gateway.version):
        return
    declared = any(address.ip == gateway for link in node.links for address in link.addresses)
    raise Wrong(
        "address.missing" if declared else "gateway.not_on_node",
        f"{node}: {interface}'s gateway {gateway} is no address of the node, and it does not answer for others on {device}",
        place=node.name, breaks=frozenset({f"ipv{gateway.version}", "unicast"}),
        remedy=f"ip addr add {gateway}/{32 if gateway.version == 4 else 64} dev {device}",
    )
