"""Distributed routers (DVR): the way of floating addresses on the instance's node, and what leaves by the node that translates for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_interface

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.answers import Answer
from netchecks.models.netfilter.rules import Ruleset
from netchecks.models.netfilter.translations import translations
from netchecks.models.neutron import AgentConfig, FloatingNamespace, Namespace, RouterState
from netchecks.models.openflow import FlowTable
from netchecks.models.openvswitch import OvsBridge, OvsDaemon, plugged
from netchecks.models.routes import Lookup, RouterWay
from netchecks.models.subjects import Flow, Interface, Inventory, Node, VirtualRouter
from netchecks.models.table import Table
from netchecks.platforms.neutron.agents import restart
from netchecks.platforms.neutron.routers import RESTART, first_packet, held, must_pass, not_central, shown, working
from netchecks.platforms.neutron.sides import Plugs
from netchecks.seen import By

States = By[VirtualRouter, RouterState]
Ways = By[Interface, RouterWay]
Spaces = By[VirtualRouter, Namespace]
Floating = By[VirtualRouter, FloatingNamespace]
_FLOATING = frozenset({"floating"})
#: What only packets that the instance begins itself need: no flow to it.
_OUTBOUND = frozenset({"outbound"})
_IPV4 = 4


def _parts(interface: Interface, inventory: Inventory, states: States, snats: Spaces) -> Iterator[VirtualRouter]:
    """Give the part of a distributed router that an interface's floating addresses come by: that of its node, where it is there."""
    known = interface.network.neutron
    for router in working(interface, states) if interface.floating and known is not None and known.distributed else ():
        not_central(interface, router, inventory, snats)
        yield router


@pytest.mark.kind("neutron")
@pytest.mark.hop("router", "exists")
def test_floating_namespace_exists(
    interface: Interface, inventory: Inventory, router_states: States, snat_namespaces: Spaces, floating_namespaces: Floating,
) -> None:
    """On the instance's node a namespace of the external network (fip-...) is joined to the part of the distributed router.

    Why: floating addresses of a distributed router are in it, on each node those of its own instances.
    Remedy: node administrator: restart the L3 agent, which makes it; openstack network agent list: the agent of this node is alive
    Source: Neutron administration guide, Open vSwitch: high availability using DVR
    """
    for router in _parts(interface, inventory, router_states, snat_namespaces):
        found, node = floating_namespaces[router], router.node
        if not found.name:
            others = f"; others that there are: {', '.join(found.inside.others)}" if found.inside.others else ""
            what = f"no namespace fip-... is joined to {router.namespace}, by which {_floats(interface)} of {interface} would come"
            raise Wrong(
                "router.fip_namespace_missing", f"{node}: {what}{others}", place=node.name, breaks=_FLOATING,
                remedy=f"on {node}: {RESTART}",
            )


def _floats(interface: Interface) -> str:
    return " and ".join(map(str, interface.floating))


@pytest.mark.kind("neutron")
@pytest.mark.hop("router", "up")
def test_floating_devices_are_up(
    interface: Interface, inventory: Inventory, router_states: States, snat_namespaces: Spaces, floating_namespaces: Floating,
) -> None:
    """The devices of the floating addresses' namespace are there and up: towards the external network, and towards the router.

    Why: a leg that is down, or not there, neither takes nor gives anything.
    Remedy: node administrator: ip netns exec the namespace ip link set the device up; restart the L3 agent
    Source: Neutron administration guide, Open vSwitch: high availability using DVR
    """
    for router in _parts(interface, inventory, router_states, snat_namespaces):
        found, node = floating_namespaces[router], router.node
        devices = [device for device, _ in found.inside.macs]
        outer = [device for device in devices if device.startswith("fg-")]
        down = [device for device in (*outer, f"fpr-{router.id[:10]}") if device not in found.inside.up]
        if found.name and (down or not outer):
            what = f"{' and '.join(down)} in {found.name} is down, expected up" if down else f"{found.name} has no device fg-..."
            remedy = f"ip netns exec {found.name} ip link set {down[0]} up" if down else RESTART
            raise Wrong(
                "router.device_down" if down else "router.fip_device_missing", f"{node}: {what}", place=node.name, breaks=_FLOATING,
                remedy=f"on {node}: {remedy}",
            )


@pytest.mark.kind("neutron")
@pytest.mark.hop("router", "member")
def test_floating_port_is_tagged(
    interface: Interface, inventory: Inventory, router_states: States, snat_namespaces: Spaces, floating_namespaces: Floating,
    ovs_bridges: By[Node, Table[OvsBridge]], neutron_configs: By[Node, AgentConfig], openflow_tables: By[Node, Table[FlowTable]],
    ovs_daemons: By[Node, OvsDaemon],
) -> None:
    """The outer device of the floating addresses' namespace is a port of the integration bridge, with the external network's local VLAN.

    Why: without the tag it is in another network, or in none.
    Remedy: node administrator: restart the OVS agent, then the L3 agent
    Source: Neutron administration guide, Open vSwitch: high availability using DVR
    """
    for router in _parts(interface, inventory, router_states, snat_namespaces):
        node, found = router.node, floating_namespaces[router]
        outer = next((one for one in inventory.networks if one.neutron is not None and found.name == f"fip-{one.neutron.id}"), None)
        plugs = Plugs(inventory, ovs_bridges, neutron_configs, openflow_tables, ovs_daemons)
        for device in found.inside.macs:
            told = plugs.wrong(node, device, outer, outer=True) if device[0].startswith("fg-") else None
            if told is not None:
                raise Wrong(
                    told[0], f"{node}: {device[0]} of {found.name} {told[1]}", place=node.name, breaks=_FLOATING,
                    remedy=f"on {node}: {restart('openvswitch', 'l3')}",
                )


@pytest.mark.kind("neutron")
@pytest.mark.hop("router", "address")
def test_floating_address_is_answered_for(
    interface: Interface, inventory: Inventory, router_states: States, snat_namespaces: Spaces, floating_namespaces: Floating,
    router_ways: Ways,
) -> None:
    """The namespace of the external network answers ARP for the floating addresses, and sends what comes for them to the router.

    Why: no device has them; proxy ARP answers for what a route leads to, and both have to be there.
    Remedy: node administrator: restart the L3 agent; openstack floating ip show: its router, its port and its status
    Source: neutron, agent/l3/dvr_fip_ns.py; Linux Documentation/networking/ip-sysctl, proxy_arp
    """
    for router in _parts(interface, inventory, router_states, snat_namespaces):
        node, found = router.node, floating_namespaces[router]
        outer = next((device for device, _ in found.inside.macs if device.startswith("fg-")), "")
        if not outer:
            continue  # another check says so
        if not found.proxy_arp & {outer, "all"}:
            raise Wrong(
                "router.proxy_arp_off", f"{node}: net.ipv4.conf.{outer}.proxy_arp is not 1 in {found.name}: nobody answers ARP for "
                f"{_floats(interface)} of {interface}", place=node.name, breaks=_FLOATING,
                remedy=f"on {node}: ip netns exec {found.name} sysctl -w net.ipv4.conf.{outer}.proxy_arp=1",
            )
        for floating, way in router_ways[interface].floating if found.forwards and outer in found.inside.up else ():
            if not way.into.device.startswith("fpr-"):
                raise Wrong(
                    "router.floating_missing", f"{node}: what comes for {floating} of {interface} into {found.name} {_told(way.into)}, "
                    f"expected to {router.namespace}", place=node.name, breaks=_FLOATING, certain=True, remedy=f"on {node}: {RESTART}",
                )


@pytest.mark.kind("neutron")
@pytest.mark.hop("floating", "address")
def test_floating_address_is_at_one_node(
    interface: Interface, inventory: Inventory, router_states: States, snat_namespaces: Spaces, floating_namespaces: Floating,
    ovs_bridges: By[Node, Table[OvsBridge]],
) -> None:
    """No other node's part of the distributed router answers ARP for a floating address that the instance's own part leads to it.

    Where the instance's port is plugged in on the other node as well it is being migrated, and its address is made ready there.
    Why: where two nodes answer for one address, as after a migration, who asks believes one of them: for some the instance is lost.
    Remedy: node administrator: restart the L3 agent of the other node; ip netns exec the namespace ip route del the address
    Source: neutron, agent/l3/dvr_local_router.py, floating_ip_removed_dist; Linux Documentation/networking/ip-sysctl, proxy_arp
    """
    for router in _parts(interface, inventory, router_states, snat_namespaces):
        own = floating_namespaces[router]
        others = [one for one in floating_namespaces if (one.id, one.network) == (router.id, router.network) and one != router]
        for other, found in ((one, floating_namespaces[one]) for one in others):
            twice = sorted({str(address) for address in interface.floating} & own.leads & found.leads)
            answers = twice and any(device == "all" or device.startswith("fg-") for device in found.proxy_arp)
            if answers and plugged(interface.mac, "", ovs_bridges[other.node]) is None:
                raise Wrong(
                    "router.floating_address_twice", f"{other.node}: {found.name} leads {' and '.join(twice)} to {router.namespace}, and "
                    f"answers ARP for it, as that of {router.node} does, where {interface} is; expected {router.node} alone",
                    place=other.node.name, breaks=_FLOATING,
                    remedy=f"on {other.node}: {RESTART}; if it stays, ip netns exec {found.name} ip route del {twice[0]}",
                )


@pytest.mark.kind("neutron")
@pytest.mark.hop("router", "forwards")
def test_floating_answers_find_back(
    interface: Interface, inventory: Inventory, router_states: States, snat_namespaces: Spaces, floating_namespaces: Floating,
    router_ways: Ways,
) -> None:
    """What the instance sends outside leaves its part of the router by the floating addresses' namespace, and that by the external network.

    Why: a rule chooses the table of this way by the instance's address; without it answers go to the node that translates for all.
    Remedy: node administrator: restart the L3 agent; ip netns exec the router's namespace ip rule
    Source: neutron, agent/l3/dvr_local_router.py, dvr_fip_ns.py; ip-rule(8)
    """
    for router in _parts(interface, inventory, router_states, snat_namespaces):
        node, found, own = router.node, floating_namespaces[router], router_ways[interface]
        if not found.name:
            continue
        if not found.forwards:
            raise Wrong(
                "router.forwarding_off", f"{node}: net.ipv4.ip_forward is 0 in {found.name}, expected 1", place=node.name,
                breaks=_FLOATING, remedy=f"on {node}: ip netns exec {found.name} sysctl -w net.ipv4.ip_forward=1",
            )
        # a floating address may be of any of the instance's own
        if own.back and router_states[router].forwards and not any(way.device.startswith("rfp-") for _, way in own.back):
            what = f"what {interface} sends outside {_told(own.back[0][1])} in {router.namespace}, expected by rfp-... to {found.name}"
            raise Wrong(
                "router.rule_missing", f"{node}: {what}: no rule (from {own.back[0][0]} lookup 16), or no route in its table",
                place=node.name, breaks=_FLOATING, certain=True, remedy=f"on {node}: {RESTART}; ip netns exec {router.namespace} ip rule",
            )
        for floating, way in own.floating:
            if not way.out.device.startswith("fg-"):
                what = f"what comes from {floating} of {interface} {_told(way.out)} in {found.name}"
                raise Wrong(
                    "router.route_missing", f"{node}: {what}, expected by fg-... to the gateway of the external network", place=node.name,
                    breaks=_FLOATING, certain=True,
                    remedy=f"on {node}: {RESTART}; ip netns exec {found.name} ip route show table all",
                )


@pytest.mark.kind("neutron")
@pytest.mark.flow("icmp", "tcp", to="vm", full=False)
@pytest.mark.hop("router", "policy")
def test_floating_namespace_lets_through(
    flow: Flow, inventory: Inventory, answers: By[Flow, Answer], router_states: States, snat_namespaces: Spaces,
    floating_namespaces: Floating, floating_iptables: By[VirtualRouter, Ruleset],
    floating_nftables: By[VirtualRouter, Ruleset],
) -> None:
    """No rule in the floating addresses' namespace drops what is forwarded to an instance and gets no answer.

    Why: rules in a namespace are shown by no tool that looks at the node.
    Remedy: node administrator: ip netns exec the namespace iptables -S; restart the L3 agent
    Source: neutron, agent/l3/dvr_fip_ns.py
    """
    if flow.translated is None or answers[flow].came_back or flow.interface is None:
        return
    for router in _parts(flow.interface, inventory, router_states, snat_namespaces):
        found = floating_namespaces[router]
        outer = next((device for device, _ in found.inside.macs if device.startswith("fg-")), "")
        if outer:
            first = replace(first_packet(flow, flow.target), in_device=outer, out_device=f"fpr-{router.id[:10]}")
            must_pass(router, found.name, first, floating_iptables[router], floating_nftables[router])


def _told(way: Lookup) -> str:
    return f"goes by {way.device} to {way.gateway or 'the link'}" if way.device else f"has no way ({way.kind})"


# -- what has no floating address ----------------------------------------------------------------------------------------


@pytest.mark.kind("neutron")
@pytest.mark.hop("router", "forwards")
def test_instance_leaves_by_snat(
    interface: Interface, router_states: States, router_ways: Ways, snat_namespaces: Spaces,
) -> None:
    """What an instance without a floating address sends outside goes to the namespace that translates for all (snat-...), on its node.

    Why: each part of a distributed router sends it there by a rule and a table of the subnet; nothing that is asked from outside shows it.
    Remedy: node administrator: restart the L3 agent; openstack router show: external_gateway_info
    Source: neutron, agent/l3/dvr_local_router.py, dvr_edge_router.py
    """
    known = interface.network.neutron
    if known is None or not known.distributed or interface.floating or not interface.first_address:
        return
    for router in working(interface, router_states):
        own, state = router_ways[interface], router_states[router]
        back = own.back[0][1] if own.back else None
        if back is None or not state.forwards or back.device.startswith("rfp-"):
            continue  # the last: between networks of one address scope nothing is translated
        if any(f"via {back.gateway} " in f"{route} " for route in state.default if back.gateway):
            continue  # a route that somebody has given the router comes before the rule
        same = [one for one in snat_namespaces if one.id == router.id]
        seen = {one: space for one, space in snat_namespaces.seen().items() if one in same}
        if back.gateway not in {str(address) for space in seen.values() for address in held(space)}:
            unseen = sorted(str(one.node) for one in same if one not in seen)
            if unseen:
                raise NotSeen(Why.NOT_POSSIBLE, f"whether {router.snat_namespace} is on {', '.join(unseen)} was not seen")
            _leads_nowhere(router, interface, back, seen)


def _leads_nowhere(router: VirtualRouter, interface: Interface, back: Lookup, spaces: dict[VirtualRouter, Namespace]) -> None:
    """Say what is missing: the namespace, or the way to it. Of a router without a device outside neither is."""
    node, there = router.node, {one: space for one, space in spaces.items() if _outside(space)}
    prefixes = [subnet.prefix for subnet in router.network.subnets]
    if back.device and not there:
        end = _network_node(router, spaces)
        places = ", ".join(sorted(str(one.node) for one in spaces))
        raise Wrong(
            "router.snat_namespace_missing", f"{node}: what {interface} sends outside goes to {back.gateway}, which would be in "
            f"{router.snat_namespace}: none of {places} has that with a device outside", place=end, breaks=_OUTBOUND,
            remedy=f"on {end}: {RESTART}; openstack network agent list --router {router.id} --long",
        )
    # of several that wait, or with nobody's address there, other checks say so
    works = sorted(str(one.node) for one, space in there.items() if any(own in prefix for own in held(space) for prefix in prefixes))
    if works:
        what = f"what {interface} sends outside {_told(back)} in {router.namespace}"
        raise Wrong(
            "router.snat_rule_missing", f"{node}: {what}, expected to {router.snat_namespace} on {' or '.join(works)}", place=node.name,
            breaks=_OUTBOUND, remedy=f"on {node}: {RESTART}; ip netns exec {router.namespace} ip rule",
        )


def _outside(space: Namespace) -> bool:
    """Tell whether a namespace has a device of the external network: one that only keepalived uses has none."""
    return any(device.startswith("qg-") for device, _ in space.macs)


def _network_node(router: VirtualRouter, spaces: Iterable[VirtualRouter]) -> str:
    """Give the node that should have had it: one of the role network, where there is such a one."""
    return next((one.node.name for one in spaces if "network" in one.node.roles), router.node.name)


@pytest.mark.kind("neutron")
@pytest.mark.hop("router", "policy")
def test_snat_translates(
    virtual_router: VirtualRouter, snat_namespaces: Spaces, snat_states: States,
    snat_iptables: By[VirtualRouter, Ruleset],
) -> None:
    """The namespace that translates for all instances without a floating address forwards, has a way out, and translates.

    Why: it is on one node, and all others send there; nothing that is asked from outside shows it.
    Remedy: node administrator: restart the L3 agent of that node; openstack router show: external_gateway_info
    Source: neutron, agent/l3/dvr_edge_router.py, dvr_snat_ns.py
    """
    if not virtual_router.distributed:
        return
    node, space, found, state = (
        virtual_router.node, virtual_router.snat_namespace, snat_namespaces[virtual_router], snat_states[virtual_router],
    )
    if not found.exists or state.role == "standby" or not _outside(found):
        return
    if state.role not in {"", "primary"}:
        raise NotSeen(Why.NOT_POSSIBLE, f"{node}: {space} is one of several, and whether it works cannot be told there ({state.role})")

    code, message, remedy = _untranslated(virtual_router, found, state, snat_iptables) or ("", "", "")
    if code:
        raise Wrong(code, f"{node}: {message}", place=node.name, breaks=_OUTBOUND, remedy=f"on {node}: {remedy}")


def _untranslated(
    router: VirtualRouter, found: Namespace, state: RouterState, tables: By[VirtualRouter, Ruleset],
) -> tuple[str, str, str] | None:
    """Give code, words and remedy of the first thing that keeps the namespace from translating for all; None: nothing does."""
    space, prefixes = router.snat_namespace, [subnet.prefix for subnet in router.network.subnets]
    down = sorted({device for device, _ in found.macs if device.startswith(("sg-", "qg-"))} - found.up)
    outer = [ip_interface(text).ip for device, text in found.addresses if device.startswith("qg-") and ip_interface(text).version == _IPV4]
    inner = any(address in prefix for address in held(found) for prefix in prefixes)
    switch = f"ip netns exec {space} sysctl -w net.ipv4.ip_forward=1"
    if down:
        up = f"ip netns exec {space} ip link set {down[0]} up"
        return "router.device_down", f"{' and '.join(down)} in {space} is down, expected up", up
    if not inner or not outer:
        lacks = f"{space} has not an address of {router.network} and one outside; it has {shown(found)}"
        return "router.address_missing", lacks, RESTART
    if not state.forwards:
        return "router.forwarding_off", f"net.ipv4.ip_forward is 0 in {space}, expected 1", switch
    if not state.default:
        return "router.route_missing", f"{space} has no default route", RESTART
    rules = tables[router]
    if rules.unread or not any(table.name == "nat" for table in rules.tables):
        told = ", ".join(rules.unread) or "there is no table nat"
        raise NotSeen(Why.NOT_POSSIBLE, f"{router.node}: what {space} translates could not be read: {told}")
    own = [rule for rule in translations(rules, "SNAT") if rule.to in map(str, outer)]
    if not own:
        return "router.snat_missing", f"no rule in {space} translates what leaves to {' or '.join(map(str, outer))}", RESTART
    if all(rule.matches or "--ctstate DNAT" in rule.text for rule in own):  # which it has with translation switched off too
        told = f"{space} translates nothing but what comes back to itself: its rule is missing, or the router is one without enable_snat"
        raise NotSeen(Why.NOT_POSSIBLE, f"{router.node}: {told}")
    return None
