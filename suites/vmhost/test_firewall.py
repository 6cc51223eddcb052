"""Whether the node's own rules let a flow through that does not come back."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.answers import Answer
from netchecks.models.bridges import Bridge
from netchecks.models.domains import Domain
from netchecks.models.netfilter.path import BridgeCalls, Firewall, Verdict, flow_verdict
from netchecks.models.netfilter.rules import Ruleset
from netchecks.models.packets import Packet, arp_request, neighbour_solicitation, ping, tcp_syn, udp_datagram
from netchecks.models.subjects import Flow, Node
from netchecks.models.table import Table
from netchecks.seen import By
from netchecks.taps import tap_of
from netchecks.world import end_of

#: Neutron's own chains of one port in a hybrid plug: s against spoofing, i and o what its security groups let in and out
#: (neutron, agent/linux/iptables_firewall.py; names in agent/linux/iptables_manager.py). The agent writes them, and nobody else.
_SPOOFING = re.compile(r"neutron-(openvswi|linuxbri)-s(?!g-)")
_GROUP = re.compile(r"neutron-(openvswi|linuxbri)-(i|o|sg-)")


@pytest.mark.kind("switching", "routing", "ip-fabric", "neutron")
@pytest.mark.flow("arp", "ndp", "icmp", "tcp", "udp")
@pytest.mark.hop("tap", "policy")
def test_firewall_lets_through(
    flow: Flow,
    answers: By[Flow, Answer],
    domains: By[Node, Table[Domain]],
    bridges: By[Node, Table[Bridge]],
    sysctls: By[Node, Table[str]],
    iptables: By[Node, Ruleset],
    ip6tables: By[Node, Ruleset],
    nftables: By[Node, Ruleset],
    ebtables: By[Node, Ruleset],
    arptables: By[Node, Ruleset],
) -> None:
    """No rule of the node drops or rejects a flow that gets no answer; one that comes back shows so by itself.

    Why: the bridge hands frames to three firewalls, and none of them says what it dropped.
    Remedy: node administrator: look at the rule named here, and at who put it there
    Source: VMmanager knowledge base, last section; ebtables, iptables and nftables wikis: the bridge's hooks
    """
    if answers[flow].came_back:
        return
    node = end_of(flow)
    tap = tap_of(flow.interface, domains) if flow.interface else flow.network.at(node).uplink
    if not tap or (flow.network.kind == "neutron" and _hybrid(tap, bridges[node]) is None):
        return  # what goes through Open vSwitch alone meets no rules of the node
    firewall = Firewall(
        iptables[node], ip6tables[node], nftables[node], ebtables[node], arptables[node],
        bridge_calls=_calls(flow, node, bridges, sysctls),
    )
    verdicts = [flow_verdict(_on_its_way(flow, node, tap, packet, bridges[node]), firewall) for packet in _packets(flow)]
    for verdict in verdicts:
        if verdict.outcome == "dropped":
            _raise(flow, node, verdict)
    for verdict in verdicts:
        if verdict.outcome == "unknown":
            raise NotSeen(Why.NOT_POSSIBLE, f"{node}: {verdict}")


def _raise(flow: Flow, node: Node, verdict: Verdict) -> None:
    if flow.interface is not None:
        _by_neutron(flow, node, verdict)
    tool = "iptables" if verdict.tool == "ip6tables" else verdict.tool
    raise Wrong(
        f"firewall.{tool}_drops", f"{node}: {flow.protocol.upper()} to {flow.target}: {verdict}", place=node.name,
        hop="tap" if flow.interface else "uplink", remedy=f"remove or narrow the rule ({verdict.chain}: {verdict.rule}) on {node}",
    )


def _by_neutron(flow: Flow, node: Node, verdict: Verdict) -> None:
    """Say whose rule it is where it is one of Neutron's: to remove it by hand opens every instance of the node, until the agent is back."""
    port = f"that of its port (openstack port list --mac-address {flow.interface.mac if flow.interface else ''})"
    what = f"{flow.protocol.upper()}{f' to port {flow.port}' if flow.port else ''}"
    if _SPOOFING.match(verdict.chain):
        raise Wrong(
            "port.security_drops", f"{node}: port security drops what {flow.interface} sends from its own address: {verdict}",
            place=node.name, owner="platform", hop="tap",
            remedy=f"openstack port set --fixed-ip or --allowed-address with the instance's address, {port}",
        )
    if _GROUP.match(verdict.chain):
        asked = f" --dst-port {flow.port}" if flow.port else ""
        raise Wrong(
            "port.security_group_drops", f"{node}: the security group of {flow.interface} does not let {what} through: {verdict}",
            place=node.name, owner="platform", hop="tap",
            remedy=f"openstack security group rule create --ingress --protocol {flow.protocol}{asked} GROUP, {port}; if there is such a "
            "rule, restart the OVS agent",
        )


def _calls(flow: Flow, node: Node, bridges: By[Node, Table[Bridge]], sysctls: By[Node, Table[str]]) -> BridgeCalls:
    tap = flow.interface.tap if flow.interface else ""
    own = _hybrid(tap, bridges[node]) if flow.network.kind == "neutron" else bridges[node].get(flow.network.at(node).bridge)
    on = [sysctls[node].get(f"net.bridge.bridge-nf-call-{which}", "0") == "1" for which in ("iptables", "ip6tables", "arptables")]
    also = [own.nf_call_iptables, own.nf_call_ip6tables, own.nf_call_arptables] if own else [False] * 3
    return BridgeCalls(*(bool(one or other) for one, other in zip(on, also, strict=True)))


def _hybrid(tap: str, bridges: Table[Bridge]) -> Bridge | None:
    """Give the bridge that Neutron puts between a tap and Open vSwitch for the sake of iptables; None where there is none."""
    return next((bridge for bridge in bridges.values() if tap in bridge.ports and bridge.name.startswith("qbr")), None)


def _on_its_way(flow: Flow, node: Node, port: str, packet: Packet, bridges: Table[Bridge]) -> Packet:
    """Give a packet of the flow with the devices by which it passes the node."""
    hybrid = _hybrid(port, bridges) if flow.network.kind == "neutron" else None
    if hybrid is not None:
        outer = next((name for name in hybrid.ports if name != port), "")
        return replace(packet, in_device=hybrid.name, out_device=hybrid.name, in_port=outer, out_port=port)
    if flow.network.kind != "switching":
        return _routed(flow, node, port, packet)
    bridge = flow.network.at(node).bridge
    if flow.source == node:
        return replace(packet, out_device=bridge, out_port=port)
    uplink = flow.network.at(node).uplink
    return replace(packet, in_device=bridge, out_device=bridge, in_port=uplink, out_port=port)


def _routed(flow: Flow, node: Node, tap: str, packet: Packet) -> Packet:
    """The node sends it, or forwards it from its uplink: out by the bridge and its port, or by the tap alone."""
    bridge = flow.interface.bridge if flow.interface else ""
    out = replace(packet, out_device=bridge or tap, out_port=tap if bridge else "")
    return out if flow.source == node else replace(out, in_device=flow.network.at(node).uplink)


def _packets(flow: Flow) -> list[Packet]:
    """Give the first packets of a flow: before anything else somebody on the segment asks for the target's MAC."""
    target, mac = flow.translated or flow.target, flow.interface.mac if flow.interface else ""
    if flow.network.kind not in {"switching", "neutron"} and flow.protocol not in {"arp", "ndp"}:
        return _unicast(flow, mac)  # the node itself asks for the MAC, of what it sends and of what it forwards
    asks = arp_request(None, target, target_mac=mac) if isinstance(target, IPv4Address) else neighbour_solicitation(None, target, "", mac)
    return [asks, *_unicast(flow, mac)]


def _unicast(flow: Flow, mac: str) -> list[Packet]:
    target = flow.translated or flow.target
    if flow.protocol == "tcp":
        return [tcp_syn(None, target, flow.port or 0, destination_mac=mac)]
    if flow.protocol == "udp":
        return [udp_datagram(None, target, flow.port or 0, destination_mac=mac)]
    return [] if flow.protocol in {"arp", "ndp"} else [ping(None, target, "", mac)]
