"""What the gate of an instance does to its packets: floating addresses, translation, forwarding, the security group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, ip_address

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.answers import Answer
from netchecks.models.conntrack import TranslatedConnection
from netchecks.models.domains import Domain
from netchecks.models.netfilter.path import BridgeCalls, Firewall, Verdict, flow_verdict
from netchecks.models.netfilter.rules import Ruleset
from netchecks.models.netfilter.translations import Translation, translations
from netchecks.models.packets import Packet, ping, tcp_syn, udp_datagram
from netchecks.models.routes import InterfaceAddress, Lookup
from netchecks.models.subjects import Address, Flow, Interface, Inventory, Node
from netchecks.models.table import Table
from netchecks.seen import By
from netchecks.taps import tap_of

_FLOATING = frozenset({"floating"})
#: States of TCP in which nothing more is sent (the kernel's nf_conntrack_tcp.h).
_OVER = frozenset({"TIME_WAIT", "CLOSE", "LAST_ACK", "CLOSE_WAIT", "FIN_WAIT"})
#: What only packets that the instance begins itself need: no flow to it.
_OUTBOUND = frozenset({"outbound"})
#: nova's own chains of one instance, and what ends them (nova/virt/firewall.py).
_GROUP = ("-inst-", "-sg-fallback", "-provider")


def _again(interface: Interface, floating: Address) -> str:
    return (
        f"through OpenStack, never by hand (nova-network rewrites its rules when it restarts): nova floating-ip-disassociate "
        f"{interface.vm} {floating}, nova floating-ip-associate {interface.vm} {floating}; or restart nova-network on {interface.gate}"
    )


def _fixed(interface: Interface) -> Address | None:
    return next((address for address in interface.addresses if isinstance(address, IPv4Address)), None)


@pytest.mark.kind("nova-network")
@pytest.mark.hop("public", "address")
def test_floating_address_is_present(interface: Interface, addresses: By[Node, Table[tuple[InterfaceAddress, ...]]]) -> None:
    """Each floating address is on the public interface of the instance's gate.

    Why: only who has an address answers for it on the public segment; without it no packet comes to be translated.
    Remedy: node administrator: restart nova-network on the gate, which adds the addresses of its floating IPs
    Source: nova/network/linux_net.py, bind_floating_ip; OpenStack operations guide, chapter 13, ip a
    """
    device = interface.network.nova.public_interface if interface.network.nova else ""
    gate = interface.gate
    for floating in interface.floating:
        held = [name for name, some in addresses[gate].items() if any(one.address.ip == floating for one in some)]
        if device not in held:
            where = f"on {held[0]}" if held else "on no interface"
            raise Wrong(
                "nova.floating_address_missing",
                f"{gate}: {floating}, the floating address of {interface}, is {where}, expected on {device}", place=gate.name,
                breaks=_FLOATING, remedy=_again(interface, floating),
            )


@pytest.mark.kind("nova-network")
@pytest.mark.hop("translation", "policy")
def test_nat_rules_match(interface: Interface, iptables: By[Node, Ruleset], inventory: Inventory) -> None:
    """The chains of nova translate each floating address to the instance's fixed address, and that back to it.

    Why: an instance knows nothing of its floating address; without DNAT the compute node itself answers in its place, and without
    SNAT the instance leaves under the node's address.
    Remedy: node administrator: nova floating-ip-disassociate and -associate; or restart nova-network: it writes its rules anew
    Source: OpenStack operations guide, chapter 13, iptables-save; nova/network/linux_net.py, floating_forward_rules
    """
    fixed, gate = _fixed(interface), interface.gate
    if not interface.floating or fixed is None:
        return
    there, back = translations(iptables[gate], "DNAT"), translations(iptables[gate], "SNAT")
    for floating in interface.floating:
        _to_fixed(interface, floating, fixed, there, inventory)
    device = interface.network.nova.public_interface if interface.network.nova else ""
    rule = next((one for one in back if one.takes(fixed) and one.leaves(device)), None)
    if rule is None or not rule.whole:
        other = next((one for one in back if one.takes(fixed) and one.device and not one.some), None)
        instead = f"; it leaves as {rule.to}" if rule else f"; what leaves by {other.device} is, as {other.to}" if other else ""
        raise Wrong(
            "nova.snat_missing", f"{gate}: no rule translates {fixed} of {interface} to {interface.floating[0]}{instead}", place=gate.name,
            breaks=_OUTBOUND, remedy=_again(interface, interface.floating[0]),
        )
    if rule.to not in map(str, interface.floating):
        raise Wrong(
            "nova.snat_wrong", f"{gate}: {fixed} of {interface} is translated to {rule.to}, expected {interface.floating[0]} "
            f"({rule.chain}: {rule.text})", place=gate.name, breaks=_OUTBOUND, remedy=_again(interface, interface.floating[0]),
        )


def _to_fixed(interface: Interface, floating: Address, fixed: Address, rules: tuple[Translation, ...], inventory: Inventory) -> None:
    gate, rule = interface.gate, next((one for one in rules if one.takes(floating)), None)
    if rule is None:
        raise Wrong(
            "nova.dnat_missing", f"{gate}: no rule translates {floating} to {fixed} of {interface}: the node answers for it itself",
            place=gate.name, breaks=_FLOATING, certain=True, remedy=_again(interface, floating),
        )
    if rule.to != str(fixed):
        owner = next((str(one) for one in inventory.interfaces if rule.to in map(str, one.addresses)), "nobody that the inventory knows")
        raise Wrong(
            "nova.dnat_to_another", f"{gate}: {floating} of {interface} is translated to {rule.to} ({owner}), expected {fixed} "
            f"({rule.chain}: {rule.text})", place=gate.name, breaks=_FLOATING, certain=True, remedy=_again(interface, floating),
        )


@pytest.mark.kind("nova-network")
def test_connections_follow_the_rules(
    interface: Interface, iptables: By[Node, Ruleset], translated_connections: By[Node, tuple[TranslatedConnection, ...]],
) -> None:
    """No tracked connection to a floating address leads to another address than the rules do now.

    Why: a rule is asked for the first packet alone; a connection from before a floating address was moved goes on to its old instance.
    Remedy: node administrator: conntrack -D -d the floating address on the gate; clients connect anew
    Source: conntrack(8); netfilter: the nat table is consulted when a new connection is created (iptables(8), TABLES)
    """
    gate, fixed = interface.gate, _fixed(interface)
    rules = translations(iptables[gate], "DNAT") if interface.floating else ()
    for floating in interface.floating:
        rule = next((one for one in rules if one.takes(floating)), None)
        if rule is None or rule.to != str(fixed):
            continue  # another check says so
        own = (one for one in translated_connections[gate] if one.target == floating and one.owner != fixed)
        old = [one for one in own if one.state not in _OVER]
        if old:
            first = old[0]
            port = f" port {first.port}" if first.port else ""
            raise Wrong(
                "nova.stale_connection",
                f"{gate}: {len(old)} tracked connections to {floating} of {interface} go to another address, such as "
                f"{first.source} {first.protocol.upper()}{port} to {first.owner}; the rules say {fixed}", place=gate.name,
                remedy=f"conntrack -D -d {floating} on {gate}",
            )


@pytest.mark.kind("nova-network")
@pytest.mark.hop("translation", "forwards")
def test_gate_forwards(interface: Interface, sysctls: By[Node, Table[str]]) -> None:
    """The gate of an instance forwards packets.

    Why: it is the instance's router; without forwarding neither its floating address nor its way out works.
    Remedy: node administrator: sysctl -w net.ipv4.ip_forward=1 on the gate, and put it into /etc/sysctl.d
    Source: nova/network/linux_net.py, _enable_ipv4_forwarding
    """
    gate = interface.gate
    if sysctls[gate].get("net.ipv4.ip_forward") == "0":
        raise Wrong(
            "forwarding.off", f"{gate}: net.ipv4.ip_forward is 0, expected 1: it is the router of {interface}", place=gate.name,
            breaks=_FLOATING, remedy="sysctl -w net.ipv4.ip_forward=1",
        )


# -- the security group ------------------------------------------------------------------------------------------------


@pytest.mark.kind("nova-network")
@pytest.mark.flow("icmp", "tcp", "udp", to="vm")
@pytest.mark.hop("tap", "policy")
def test_security_group_allows(
    flow: Flow, answers: By[Flow, Answer], domains: By[Node, Table[Domain]], sysctls: By[Node, Table[str]], iptables: By[Node, Ruleset],
    nftables: By[Node, Ruleset], ebtables: By[Node, Ruleset], addresses: By[Node, Table[tuple[InterfaceAddress, ...]]],
    route_lookups: By[Flow, Lookup],
) -> None:
    """The instance's security group, and every other rule of its node, accepts a flow that gets no answer.

    Why: nova writes the groups into chains of iptables, and what no rule accepts falls into nova-compute-sg-fallback.
    Remedy: platform: nova secgroup-add-rule GROUP PROTOCOL FROM TO CIDR; a rule of iptables by hand is gone at the next restart
    Source: OpenStack operations guide, chapter 13, iptables; nova/virt/firewall.py
    """
    interface = flow.interface
    if answers[flow].came_back or interface is None:
        return
    tap = tap_of(interface, domains)
    if not tap:
        return  # another check says so
    packet = _packet(flow, _source(flow, route_lookups), flow.translated or flow.target)
    for node, passing in _passages(flow, tap, packet):
        on = sysctls[node].get("net.bridge.bridge-nf-call-iptables") == "1"
        held = frozenset(one.address.ip for some in addresses[node].values() for one in some)
        calls = BridgeCalls(ipv4=on, ipv6=False, arp=False)
        firewall = Firewall(iptables[node], Ruleset(), nftables[node], ebtables[node], bridge_calls=calls, own=held)
        verdict = flow_verdict(passing, firewall)
        if verdict.outcome == "dropped":
            _raise(flow, node, verdict)
        if verdict.outcome == "unknown":
            raise NotSeen(Why.NOT_POSSIBLE, f"{node}: {verdict}")


def _source(flow: Flow, route_lookups: By[Flow, Lookup]) -> Address | None:
    """Give the address that the sender sends from; None where that is not known."""
    try:
        source = route_lookups[flow].source
    except NotSeen:
        return None
    return ip_address(source) if source else None


def _packet(flow: Flow, source: Address | None, fixed: Address) -> Packet:
    if flow.protocol == "tcp":
        return tcp_syn(source, fixed, flow.port or 0)
    return udp_datagram(source, fixed, flow.port or 0) if flow.protocol == "udp" else ping(source, fixed)


def _passages(flow: Flow, tap: str, packet: Packet) -> Iterator[tuple[Node, Packet]]:
    """Give the nodes that a packet passes: the gate that translated it, the instance's own, with the devices of each."""
    interface = flow.interface
    assert interface is not None
    node, gate, end = interface.node, interface.gate, flow.network.at(interface.node)
    bridged = replace(packet, in_device=end.bridge, out_device=end.bridge, in_port=end.uplink, out_port=tap)
    if flow.translated is not None:
        device, at = flow.network.nova.public_interface if flow.network.nova else "", flow.network.at(gate)
        # its destination was translated, which conntrack shows to the rules behind
        routed = replace(packet, in_device=device, out_device=at.bridge, translated=frozenset({"destination"}))
        yield gate, replace(routed, out_port=tap if gate == node else at.uplink)
        if gate != node:
            yield node, bridged
    else:
        yield node, replace(packet, out_device=end.bridge, out_port=tap) if flow.source == node else bridged


def _raise(flow: Flow, node: Node, verdict: Verdict) -> None:
    what = f"{flow.protocol.upper()}{f' port {flow.port}' if flow.port else ''} to {flow.target}"
    breaks = frozenset({f"{flow.protocol}{flow.port or ''}"})
    if any(part in verdict.chain for part in _GROUP):
        ports = f"{flow.port} {flow.port}" if flow.port else "-1 -1"
        raise Wrong(
            "nova.security_group_blocks",
            f"{node}: the security group of {flow.interface} does not accept {what}: {verdict}", place=node.name, breaks=breaks,
            remedy=f"nova secgroup-add-rule GROUP {flow.protocol} {ports} 0.0.0.0/0, where it is meant to be reached",
        )
    raise Wrong(
        f"firewall.{verdict.tool}_drops", f"{node}: {what}: {verdict}", place=node.name, breaks=breaks, owner="node administrator",
        hop="tap" if flow.interface and node == flow.interface.node else "translation",
        remedy=f"remove or narrow the rule ({verdict.chain}: {verdict.rule}) on {node}",
    )
