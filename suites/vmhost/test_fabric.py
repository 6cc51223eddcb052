"""An IP fabric: no bridge, and FRR on the node tells the fabric's routers which VMs it has."""

from __future__ import annotations

import pytest

from netchecks.errors import Wrong
from netchecks.models.domains import Domain
from netchecks.models.fib import best
from netchecks.models.frr import PROTOCOLS, BgpNeighbour, FrrDaemons, FrrRoute, Ospf, OspfNeighbour
from netchecks.models.links import Link as Device
from netchecks.models.routes import InterfaceAddress, Route, VmWay
from netchecks.models.subjects import Address, Interface, Network, Node
from netchecks.models.table import Table
from netchecks.seen import By, note
from netchecks.taps import tap_of

Daemons = By[Node, FrrDaemons]
Neighbours = By[Node, Table[BgpNeighbour]]
Links = By[Node, Table[Device]]
Domains = By[Node, Table[Domain]]
Routes = By[Node, tuple[Route, ...]]
Addresses = By[Node, Table[tuple[InterfaceAddress, ...]]]

#: What no flow needs: a failure that breaks it is a finding, never a cause.
NOTHING = frozenset({"another way"})
#: States of an OSPF neighbour that is as it shall be: two that are neither designated router nor its backup stay at 2-Way.
_SETTLED = frozenset({"Full", "2-Way"})


@pytest.mark.kind("ip-fabric")
@pytest.mark.hop("tap", "member")
def test_bridge_is_absent(interface: Interface, domains: Domains, links: Links) -> None:
    """The VM's tap is a port of no bridge.

    Why: a bridge takes what the guest sends; the node's routes lead to the tap itself, and nobody answers there.
    Remedy: node administrator: ip link set dev the tap nomaster, and find what put it there
    Source: VMmanager knowledge base, "IP fabric"
    """
    node, tap = interface.node, tap_of(interface, domains)
    master = links[node][tap].master if tap in links[node] else ""
    if master:
        raise Wrong(
            "bridge.holds_tap", f"{node}: {interface}'s tap {tap} is a port of {master}, expected of no bridge",
            place=node.name, breaks=frozenset({"unicast"}),  # what is asked at the tap itself is answered there
            remedy=f"ip link set dev {tap} nomaster",
        )


@pytest.mark.kind("ip-fabric")
@pytest.mark.hop("announcer", "up")
def test_frr_is_active(network: Network, node: Node, frr_daemons: Daemons) -> None:
    """FRR runs on the node, with each daemon that /etc/frr/daemons switches on.

    Why: who tells the fabric of no VM gets no packet for one.
    Remedy: node administrator: systemctl status frr; journalctl -u frr; systemctl restart frr
    Source: VMmanager knowledge base, "IP fabric"; FRR user guide, "Basic setup"
    """
    _all_run(node, frr_daemons[node], {subnet.family for subnet in network.subnets} or {4, 6})


def _all_run(node: Node, daemons: FrrDaemons, families: set[int]) -> None:
    if not daemons.running:
        raise Wrong(
            "frr.stopped", f"{node}: FRR does not run; {_names(daemons.meant) or 'bgpd or ospfd'} shall", place=node.name,
            breaks=frozenset({"routed"}), remedy="systemctl start frr, after a look at journalctl -u frr",
        )
    dead = daemons.meant - daemons.running
    if dead:
        spoken = [PROTOCOLS.get(name, {4, 6}) & families for name in dead]
        lost = set().union(*spoken)
        raise Wrong(
            "frr.daemon_dead", f"{node}: of FRR {_names(dead)} does not run; {_names(daemons.running)} does", place=node.name,
            breaks=frozenset({"routed"} | ({f"ipv{family}" for family in lost} if len(lost) == 1 else set())),
            remedy=f"journalctl -u frr shows why {_names(dead)} ended; systemctl restart frr",
        )


def _names(daemons: frozenset[str]) -> str:
    return ", ".join(sorted(daemons))


@pytest.mark.kind("ip-fabric")
@pytest.mark.hop("announcer", "exists")
def test_router_frr_is_active(interface: Interface, frr_daemons: Daemons) -> None:
    """FRR runs on each router of the VM's network that can be asked and has it, with each daemon that is switched on.

    Why: a router whose daemon is dead learns no VM, and forgets those it knew.
    Remedy: network engineer: systemctl status frr; journalctl -u frr; systemctl restart frr
    Source: FRR user guide, "Basic setup"
    """
    known = frr_daemons.seen()
    users = [router for router in interface.network.routers if router in known and (known[router].running or known[router].meant)]
    for router in users:
        try:
            _all_run(router, known[router], {address.version for address in interface.addresses})
        except Wrong as wrong:
            wrong.breaks = wrong.breaks if len(interface.network.routers) == 1 else NOTHING  # another one may take its part
            raise


@pytest.mark.kind("ip-fabric")
@pytest.mark.hop("announcer", "service")
def test_frr_has_neighbours(
    network: Network, node: Node, frr_daemons: Daemons, bgp_neighbours: Neighbours, ospf: By[Node, Ospf], links: Links,
) -> None:
    """Each BGP neighbour of the node that is not shut down on purpose is established, and OSPF has a full one.

    One that is down breaks nothing where another of its family is established: then it is a finding.

    Why: routes are told to neighbours; without one nobody hears of the VMs.
    Remedy: network engineer: vtysh -c 'show bgp neighbors'; compare the AS numbers, and let TCP port 179 through
    Source: RFC 4271 section 8; RFC 2328 section 10; FRR user guide, BGP, OSPF
    """
    families: set[int] = {subnet.family for subnet in network.subnets}
    speaks, uplink = frr_daemons[node].speaks, network.at(node).uplink
    if uplink and not (uplink in links[node] and links[node][uplink].up and links[node][uplink].carrier):
        return  # its neighbours are gone with it: other checks say so
    known = list(bgp_neighbours[node].values()) if "bgpd" in speaks else []
    down = [one for one in known if not one.established and not one.shut_down]
    if down:
        alone = [one for one in down if not any(other.established and other.families & one.families for other in known)]
        raise _down(node, alone or down, families, only=bool(alone))
    for family in sorted(families & (ospf[node].families if speaks & {"ospfd", "ospf6d"} else frozenset())):
        _has_full(node, family, [one for one in ospf[node].neighbours if one.family == family])


def _down(node: Node, down: list[BgpNeighbour], families: set[int], *, only: bool) -> Wrong:
    lost = set().union(*(one.families for one in down)) & families
    breaks = frozenset({"routed"} | ({f"ipv{family}" for family in lost} if len(lost) == 1 else set()))
    return Wrong(
        "frr.neighbour_down", f"{node}: {'; '.join(map(_told, down))}, expected Established", place=node.name,
        breaks=breaks if only else NOTHING,
        remedy=f"vtysh -c 'show bgp neighbors {down[0].name}'; compare the AS numbers; nc -vz {down[0].name} 179",
    )


def _told(one: BgpNeighbour) -> str:
    """Tell the state, and why the session ended last where the neighbours themselves said it."""
    reason = one.notification if "otification" in one.reset else one.reset
    return f"BGP neighbour {one.name} (AS {one.remote_as}) is {one.state}{f', last reset: {reason}' if reason else ''}"


def _has_full(node: Node, family: int, neighbours: list[OspfNeighbour]) -> None:
    """Say where OSPF has nobody to tell; one that is stuck beside others is another matter."""
    stuck = [one for one in neighbours if one.state not in _SETTLED]
    shown = "; ".join(f"{one.router_id} at {one.device} is {one.state}" for one in stuck)
    version = "OSPF" if family == 4 else "OSPFv3"
    if not any(one.state == "Full" for one in neighbours):
        raise Wrong(
            "frr.neighbour_down", f"{node}: {version} has no full neighbour: {shown or 'none is heard'}", place=node.name,
            breaks=frozenset({"routed", f"ipv{family}"}),
            remedy="vtysh -c 'show ip ospf interface' at both ends: area, timers, network type, MTU; let IP protocol 89 through",
        )
    if stuck:
        note("frr.neighbour_stuck", f"{node}: {version}: {shown}")


@pytest.mark.kind("ip-fabric")
@pytest.mark.hop("announcer", "service")
def test_frr_announces_vm(
    interface: Interface, frr_daemons: Daemons, frr_routes: By[Interface, Table[FrrRoute]], bgp_neighbours: Neighbours,
    ospf: By[Node, Ospf], vm_routes: By[Interface, Table[VmWay]], routes: Routes, addresses: Addresses, domains: Domains, links: Links,
) -> None:
    """FRR announces each address of a running VM: to every established BGP neighbour of that family, or by OSPF.

    Not judged where the kernel has no route to it, or nobody to tell is there: other checks say so. A wider route to the
    node that every router has will do (an aggregate).

    Why: a VM that nobody hears of gets no packets.
    Remedy: node administrator: vtysh -c 'show running-config': redistribute kernel, its route-map and prefix lists
    Source: VMmanager knowledge base, "IP fabric"; FRR user guide, "Redistribution"
    """
    node, tap = interface.node, tap_of(interface, domains)
    if not interface.vm.runs or not tap or tap not in links[node] or not links[node][tap].up or not links[node][tap].carrier:
        return
    speaks = frr_daemons[node].speaks
    for address in interface.addresses:
        if vm_routes[interface][str(address)].own.device != tap or _heard(interface, address, routes, addresses):
            continue
        own = frr_routes[interface].get(str(address), FrrRoute(address))
        by_ospf = any(address in prefix and prefix.prefixlen == address.max_prefixlen for prefix in ospf[node].announced)
        if by_ospf or not any(address.version in PROTOCOLS[name] for name in speaks):
            continue
        if not own.in_bgp:
            raise _not_told(interface, address, own, "bgpd" if "bgpd" in speaks else "OSPF")
        if "bgpd" in speaks:
            _to_all(interface, address, own, bgp_neighbours[node])


def _heard(interface: Interface, address: Address, routes: Routes, addresses: Addresses) -> bool:
    """Tell whether every router that is declared, and could be asked, has a way to the address by an address of the node."""
    known, routers = routes.seen(), interface.network.routers
    own = {item.address.ip for items in addresses[interface.node].values() for item in items}
    found = [best(address, known[router]) if router in known else None for router in routers]
    return bool(routers) and all(route is not None and any(way.gateway in own for way in route.ways) for route in found)


def _not_told(interface: Interface, address: Address, own: FrrRoute, daemon: str) -> Wrong:
    node = interface.node
    has = f"zebra has it from {own.protocol}" if own.protocol else "zebra does not have it either"
    return Wrong(
        "frr.not_redistributed", f"{node}: {daemon} does not have the route of {interface} {address}; the kernel does, and {has}",
        place=node.name, breaks=frozenset({"routed", f"ipv{address.version}"}),
    )


def _to_all(interface: Interface, address: Address, own: FrrRoute, neighbours: Table[BgpNeighbour]) -> None:
    established = {one.name for one in neighbours.values() if one.established and address.version in one.families}
    missing = sorted(established - own.announced_to)
    if not missing:
        return
    node, told = interface.node, sorted(own.announced_to)
    if not own.best:
        note("frr.another_is_better", f"{node}: BGP prefers another way to {interface} {address} than the node's own")
        return
    raise Wrong(
        "frr.not_announced", f"{node}: {interface} {address} is not announced to {', '.join(missing)}"
        f"{f', only to {chr(44).join(told)}' if told else ''}, expected to every established neighbour", place=node.name,
        breaks=NOTHING if told else frozenset({"routed", f"ipv{address.version}"}),
        remedy=f"vtysh -c 'show bgp neighbors {missing[0]} advertised-routes'; look at its route-map out, its prefix and filter lists",
    )
