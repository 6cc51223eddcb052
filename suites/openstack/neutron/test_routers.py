"""Routers of Neutron's L3 agent: namespace, legs, floating addresses and their translation, forwarding, rules, the agent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_interface

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.answers import Answer
from netchecks.models.netfilter.rules import Ruleset
from netchecks.models.netfilter.translations import Translation, translations
from netchecks.models.neutron import AgentConfig, Namespace, RouterState
from netchecks.models.openflow import FlowTable
from netchecks.models.openvswitch import OvsBridge, OvsDaemon
from netchecks.models.subjects import Address, Flow, Interface, Inventory, Node, VirtualRouter
from netchecks.models.table import Table
from netchecks.platforms.neutron.agents import restart
from netchecks.platforms.neutron.routers import RESTART, first_packet, held, judged, must_pass, not_central, shown, working
from netchecks.platforms.neutron.sides import Plugs
from netchecks.seen import By

Namespaces = By[VirtualRouter, Namespace]
States = By[VirtualRouter, RouterState]
_FLOATING = frozenset({"floating"})
_ROUTED = frozenset({"routed"})
#: What only packets that the instance begins itself need: no flow to it.
_OUTBOUND = frozenset({"outbound"})
_IPV4 = 4


def _named(router: VirtualRouter) -> str:
    return f"{router.namespace} of {router.network}"


@pytest.mark.kind("neutron")
@pytest.mark.hop("router", "exists")
def test_router_namespace_exists(virtual_router: VirtualRouter, inventory: Inventory, router_namespaces: Namespaces) -> None:
    """The network namespace of the router is there; of a distributed one where there is somebody for whom it routes.

    Why: the gateway of the network and its floating addresses are in it.
    Remedy: node administrator: restart the L3 agent, which makes it; openstack network agent list --router the router
    Source: Neutron administration guide, Open vSwitch: self-service networks
    """
    found, node = router_namespaces[virtual_router], virtual_router.node
    if not found.exists and virtual_router.distributed and not _routes_for_vms(virtual_router, inventory):
        if _has_dhcp(virtual_router):
            told = "a DHCP server is there, and no instance: an L3 agent makes its part then, where there is one"
            raise NotSeen(Why.NOT_POSSIBLE, f"{node}: there is no namespace {virtual_router.namespace}; {told}")
        return
    if not found.exists:
        others = ", ".join(found.others[:8]) or "none"
        raise Wrong(
            "router.namespace_missing", f"{node}: there is no namespace {virtual_router.namespace} for {virtual_router.network}; there are "
            f"{others}", place=node.name, remedy=f"on {node}: {RESTART}",
        )


def _routes_for_vms(router: VirtualRouter, inventory: Inventory) -> bool:
    return any(one.network == router.network and one.node == router.node and one.vm.runs for one in inventory.interfaces)


def _has_dhcp(router: VirtualRouter) -> bool:
    return router.network.dhcp is not None and any(server.node == router.node for server in router.network.dhcp.servers)


@pytest.mark.kind("neutron")
@pytest.mark.hop("router", "up")
def test_router_devices_are_up(virtual_router: VirtualRouter, router_namespaces: Namespaces, router_states: States) -> None:
    """The devices of the router are up; of several of the same router those of the one that works: Neutron itself sets others down.

    Why: a leg that is down neither takes nor gives anything.
    Remedy: node administrator: ip netns exec the namespace ip link set the device up; restart the L3 agent
    Source: Neutron administration guide, Open vSwitch: self-service networks
    """
    found, node = router_namespaces[virtual_router], virtual_router.node
    if not found.exists or not judged(virtual_router, router_states):
        return
    down = sorted({device for device, _ in found.macs if device.startswith(("qr-", "qg-", "rfp-"))} - found.up)
    if down:
        raise Wrong(
            "router.device_down", f"{node}: {' and '.join(down)} in {_named(virtual_router)} is down, expected up",
            place=node.name, breaks=_breaks(down),
            remedy=f"on {node}: ip netns exec {virtual_router.namespace} ip link set {down[0]} up",
        )


def _breaks(down: Sequence[str]) -> frozenset[str]:
    """Give what devices that are down break: the leg in the network itself breaks all."""
    if any(one.startswith("qr-") for one in down):
        return frozenset()
    return _ROUTED if any(one.startswith("qg-") for one in down) else _FLOATING


@pytest.mark.kind("neutron")
@pytest.mark.hop("router", "address")
def test_router_has_gateway_address(virtual_router: VirtualRouter, router_namespaces: Namespaces, router_states: States) -> None:
    """The router has the gateway addresses of the network's subnets; of several of the same router the one that works.

    Why: instances send to this address all that is for others.
    Remedy: node administrator: ip netns exec the namespace ip address show; restart the L3 agent
    Source: Neutron administration guide, Open vSwitch: self-service networks
    """
    found, node, network = router_namespaces[virtual_router], virtual_router.node, virtual_router.network
    if not found.exists or not judged(virtual_router, router_states):
        return
    own = held(found)
    wanted = {subnet.gateway: subnet.prefix for subnet in network.subnets if isinstance(subnet.gateway, IPv4Address)}
    # a subnet in which it has no leg may have another router, or none; of a network in which it has none at all every one is missed
    legs = {gateway for gateway, prefix in wanted.items() if any(address in prefix for address in own)}
    missing = sorted(map(str, (legs or wanted.keys()) - own.keys()))
    if missing:
        raise Wrong(
            "router.address_missing", f"{node}: {_named(virtual_router)} has not the gateway's address {' and '.join(missing)}; it has "
            f"{shown(found)}", place=node.name, remedy=f"on {node}: {RESTART}",
        )


@pytest.mark.kind("neutron")
@pytest.mark.hop("router", "member")
def test_router_port_is_tagged(
    virtual_router: VirtualRouter, inventory: Inventory, router_namespaces: Namespaces, router_states: States,
    ovs_bridges: By[Node, Table[OvsBridge]], neutron_configs: By[Node, AgentConfig], openflow_tables: By[Node, Table[FlowTable]],
    ovs_daemons: By[Node, OvsDaemon],
) -> None:
    """The router's leg in the network is a port of the integration bridge, with the network's local VLAN.

    Why: without the tag the gateway is in another network, or in none.
    Remedy: node administrator: restart the OVS agent, then the L3 agent
    Source: Neutron administration guide, Open vSwitch: self-service networks
    """
    node, network, found = virtual_router.node, virtual_router.network, router_namespaces[virtual_router]
    known, prefixes = network.neutron, [subnet.prefix for subnet in network.subnets]
    if known is None or not found.exists or not judged(virtual_router, router_states):
        return
    legs = {device for device, text in found.addresses if any(ip_interface(text).ip in prefix for prefix in prefixes)}
    plugs = Plugs(inventory, ovs_bridges, neutron_configs, openflow_tables, ovs_daemons)
    for device in found.macs:
        told = plugs.wrong(node, device, network) if device[0] in legs else None
        if told is not None:
            raise Wrong(
                told[0], f"{node}: {device[0]} of {virtual_router.namespace} {told[1]}", place=node.name,
                remedy=f"on {node}: {restart('openvswitch', 'l3')}",
            )


@pytest.mark.kind("neutron")
@pytest.mark.hop("router", "forwards")
def test_router_forwards(virtual_router: VirtualRouter, router_namespaces: Namespaces, router_states: States) -> None:
    """The router forwards, and has a way to others.

    Why: a namespace without forwarding answers for its own addresses alone; without a default route no answer finds back.
    Remedy: node administrator: restart the L3 agent; openstack router show: its external gateway
    Source: Linux Documentation/networking/ip-sysctl; Neutron administration guide, Open vSwitch: self-service networks
    """
    node, state = virtual_router.node, router_states[virtual_router]
    if not judged(virtual_router, router_states):
        return
    if not state.forwards:
        raise Wrong(
            "router.forwarding_off", f"{node}: net.ipv4.ip_forward is 0 in {_named(virtual_router)}, expected 1",
            place=node.name, breaks=_ROUTED, remedy=f"on {node}: ip netns exec {virtual_router.namespace} sysctl -w net.ipv4.ip_forward=1",
        )
    outer = [text for device, text in router_namespaces[virtual_router].addresses if device.startswith("qg-")]
    if not state.default and any(ip_interface(text).version == _IPV4 for text in outer):  # without an outer leg it needs none
        raise Wrong(
            "router.route_missing", f"{node}: {_named(virtual_router)} has no default route", place=node.name,
            breaks=_ROUTED, certain=True, remedy=f"on {node}: {RESTART}; openstack router show {virtual_router.id}: external_gateway_info",
        )


def _with_role(parts: Sequence[VirtualRouter], states: States) -> dict[VirtualRouter, RouterState]:
    """Give those parts that could translate for all; most nodes have none. Raises NotSeen where one that was not seen may be the one."""
    seen = {router: state for router, state in states.seen().items() if router in parts}
    unseen = sorted(str(router.node) for router in parts if router not in seen)
    found = {router: state for router, state in seen.items() if state.exists}
    if unseen and found and all(state.role != "primary" for state in found.values()) and any(state.role for state in found.values()):
        raise NotSeen(Why.NOT_POSSIBLE, f"whether {parts[0].snat_namespace} works on {', '.join(unseen)} was not seen")
    return found


@pytest.mark.kind("neutron")
@pytest.mark.hop("router", "member")
def test_one_router_works(virtual_router: VirtualRouter, router_states: States, snat_states: States) -> None:
    """Of several L3 agents with the same router (HA) exactly one works, and keepalived runs on each.

    Why: with none nobody has the gateway's address; with two both answer for it; where keepalived is gone nothing is taken over.
    Remedy: node administrator: the agents' keepalived, and whether VRRP passes between their nodes in the HA network
    Source: Neutron administration guide, Open vSwitch: high availability using VRRP
    """
    states = snat_states if virtual_router.distributed else router_states  # of a distributed one each part works
    parts = [router for router in states if router.id == virtual_router.id]
    same = {router: states[router] for router in parts} if not virtual_router.distributed else _with_role(parts, states)
    roles = {str(router.node): state.role for router, state in same.items() if state.exists and state.role}
    working = sorted(node for node, role in roles.items() if role == "primary")
    if not roles or len(working) == 1:
        own, node = states[virtual_router], virtual_router.node
        if own.role in {"primary", "standby"} and not own.keepalived:
            raise Wrong(
                "router.keepalived_dead", f"{node}: no keepalived runs in {_named(virtual_router)}, which is {own.role}: it takes nothing "
                "over, and hands nothing over", place=node.name, remedy=f"on {node}: {RESTART}",
            )
        return
    blind = sorted({str(router.node) for router in same} - {node for node, role in roles.items() if role in {"primary", "standby"}})
    if blind:
        raise NotSeen(Why.NOT_POSSIBLE, f"{_named(virtual_router)}: whether it works on {', '.join(blind)} cannot be told")
    shown = ", ".join(f"{node} {role}" for node, role in sorted(roles.items()))
    dead = sorted({str(router.node) for router, state in same.items() if state.role and not state.keepalived})
    why = f"; no keepalived runs in it on {' and '.join(dead)}" if dead else ""
    raise Wrong(
        "router.two_primaries" if working else "router.no_primary", f"{_named(virtual_router)}: {shown}; expected one primary{why}",
        place=working[0] if working else virtual_router.node.name,
    )


# -- floating addresses ------------------------------------------------------------------------------------------------


@pytest.mark.kind("neutron")
@pytest.mark.hop("router", "address")
def test_floating_address_is_held(interface: Interface, router_namespaces: Namespaces, router_states: States) -> None:
    """The router has the instance's floating addresses; of a distributed one other checks look at the way to them.

    Why: only who has an address answers for it outside.
    Remedy: node administrator: restart the L3 agent; openstack floating ip show: its router and its status
    Source: Neutron administration guide, Open vSwitch: self-service networks
    """
    for router in working(interface, router_states) if interface.floating else ():
        node, found = router.node, router_namespaces[router]
        if router.distributed:
            continue
        missing = [str(address) for address in interface.floating if address not in held(found)]
        if missing:
            raise Wrong(
                "router.floating_missing", f"{node}: {router.namespace} has not {interface}'s floating {' and '.join(missing)}; it has "
                f"{shown(found)}", place=node.name, breaks=_FLOATING, remedy=f"on {node}: {RESTART}",
            )


@pytest.mark.kind("neutron")
@pytest.mark.hop("router", "policy")
def test_floating_address_is_translated(
    interface: Interface, inventory: Inventory, router_iptables: By[VirtualRouter, Ruleset], router_states: States,
    snat_namespaces: Namespaces,
) -> None:
    """The rules of the router translate each floating address to the instance's fixed one, and that back to it.

    Why: without the one the router itself answers; without the other the instance is known outside under the router's own address.
    Remedy: node administrator: restart the L3 agent; openstack floating ip unset and set its port
    Source: Neutron administration guide, Open vSwitch: self-service networks; neutron, agent/l3/router_info.py
    """
    for router in working(interface, router_states) if interface.floating and interface.first_address else ():
        not_central(interface, router, inventory, snat_namespaces)
        rules = router_iptables[router]
        if rules.unread or not any(table.name == "nat" for table in rules.tables):
            why = ", ".join(rules.unread) or "there is no table nat"
            raise NotSeen(Why.NOT_POSSIBLE, f"{router.node}: what {router.namespace} translates could not be read: {why}")
        for floating in interface.floating:
            own = _to_fixed(router, interface, floating, translations(rules, "DNAT"), inventory)
            _back(router, interface, own, translations(rules, "SNAT"))


def _to_fixed(
    router: VirtualRouter, interface: Interface, floating: Address, rules: tuple[Translation, ...], inventory: Inventory,
) -> Address:
    """Give the fixed address that a floating one is translated to: any of the instance's own, as Neutron binds it to one of its port."""
    fixed = interface.first_address
    rule = next((one for one in rules if one.takes(floating)), None)
    if rule is None:
        instead = "nobody answers for it" if router.distributed else "the router answers for it itself"
        raise Wrong(
            "router.dnat_missing", f"{router.node}: no rule in {router.namespace} translates {floating} to {fixed} of {interface}: "
            f"{instead}", place=router.node.name, breaks=_FLOATING, certain=True, remedy=f"on {router.node}: {RESTART}",
        )
    if rule.to not in map(str, interface.addresses):
        owner = next((str(one) for one in inventory.interfaces if rule.to in map(str, one.addresses)), "nobody that the inventory knows")
        raise Wrong(
            "router.dnat_wrong", f"{router.node}: {floating} of {interface} is translated to {rule.to} ({owner}), expected {fixed} "
            f"({rule.chain}: {rule.text})", place=router.node.name, breaks=_FLOATING, certain=True,
            remedy=f"openstack floating ip show {floating}: its port and fixed address; on {router.node}: {RESTART}",
        )
    return ip_address(rule.to)


def _back(router: VirtualRouter, interface: Interface, fixed: Address, rules: tuple[Translation, ...]) -> None:
    rule = next((one for one in rules if one.takes(fixed) and not one.some), None)
    if rule is None or rule.to not in map(str, interface.floating):
        instead = f"leaves as {rule.to}" if rule else "is not translated"
        raise Wrong(
            "router.snat_missing", f"{router.node}: what {interface} begins {instead}, expected as {interface.floating[0]}: no rule in "
            f"{router.namespace} translates {fixed} to it", place=router.node.name, breaks=_OUTBOUND,
            remedy=f"on {router.node}: {RESTART}",
        )


@pytest.mark.kind("neutron")
@pytest.mark.flow("icmp", "tcp", to="vm", full=False)
@pytest.mark.hop("router", "policy")
def test_router_lets_through(
    flow: Flow, inventory: Inventory, answers: By[Flow, Answer], router_namespaces: Namespaces, router_states: States,
    router_iptables: By[VirtualRouter, Ruleset], router_nftables: By[VirtualRouter, Ruleset], snat_namespaces: Namespaces,
) -> None:
    """No rule in the router's namespace drops what is forwarded to an instance and gets no answer.

    Why: rules in a namespace are shown by no tool that looks at the node.
    Remedy: node administrator: ip netns exec the namespace iptables -S; restart the L3 agent
    Source: Neutron administration guide, Open vSwitch: self-service networks
    """
    if flow.translated is None or answers[flow].came_back or flow.interface is None:
        return
    for router in working(flow.interface, router_states):
        not_central(flow.interface, router, inventory, snat_namespaces)
        known = [(device, ip_interface(text)) for device, text in router_namespaces[router].addresses]
        inner = next((device for device, own in known if flow.translated in own.network), "")
        outer = next((device for device, own in known if flow.target in own.network or device.startswith("rfp-")), "")
        if not inner or not outer:
            continue  # another check says so
        first = replace(first_packet(flow, flow.translated), in_device=outer, out_device=inner)
        must_pass(router, router.namespace, first, router_iptables[router], router_nftables[router])
