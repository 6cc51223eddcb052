"""The DHCP agent's namespace of a network: that it is there, has its address, and hangs on the integration bridge."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.answers import Answer
from netchecks.models.netfilter.path import Firewall, flow_verdict
from netchecks.models.netfilter.rules import Ruleset
from netchecks.models.neutron import AgentConfig, Namespace
from netchecks.models.neutron_sides import local_vlan
from netchecks.models.openflow import FlowTable
from netchecks.models.openvswitch import DEAD_VLAN, OvsBridge, OvsDaemon, OvsPort, plugged
from netchecks.models.packets import ping, tcp_syn
from netchecks.models.subjects import DhcpServer, Flow, Inventory, Node
from netchecks.models.table import Table
from netchecks.platforms.neutron import macs_of, seen_side, seen_tables
from netchecks.platforms.neutron.agents import restart
from netchecks.seen import By

_BREAKS = frozenset({"switched"})
#: What is sent from inside; what others ask of the server comes to its device all the same.
_FROM_INSIDE = frozenset({"from_agent"})


@pytest.mark.kind("neutron")
@pytest.mark.hop("namespace", "exists")
def test_dhcp_namespace_exists(dhcp_server: DhcpServer, dhcp_namespaces: By[DhcpServer, Namespace]) -> None:
    """The network namespace of the network's DHCP service is there.

    Why: dnsmasq runs inside; without it nobody on the network is given an address.
    Remedy: node administrator: restart the DHCP agent, which makes it; openstack network agent list --network the network
    Source: Neutron document, scenario 2, step 3
    """
    found = dhcp_namespaces[dhcp_server]
    if not found.exists:
        others = ", ".join(found.others[:8]) or "none"
        raise Wrong(
            "dhcp.namespace_missing", f"{dhcp_server.node}: there is no namespace {dhcp_server.namespace} for {dhcp_server.network}; there "
            f"are {others}", place=dhcp_server.node.name, remedy=f"on {dhcp_server.node}: {restart('dhcp')}",
        )


@pytest.mark.kind("neutron")
@pytest.mark.hop("namespace", "address")
def test_dhcp_namespace_has_address(dhcp_server: DhcpServer, dhcp_namespaces: By[DhcpServer, Namespace]) -> None:
    """The namespace has, on a device that is up, each address that the inventory says its DHCP server has.

    Why: dnsmasq answers from it, and only for subnets that it has an address of.
    Remedy: node administrator: restart the DHCP agent; ip netns exec the namespace ip address show
    Source: Neutron document, scenario 2, step 3
    """
    found, node = dhcp_namespaces[dhcp_server], dhcp_server.node
    if not found.exists:
        return
    wanted = {address for address in dhcp_server.addresses if address.version == 4}
    held = {ip_interface(text).ip: device for device, text in found.addresses}
    if wanted - held.keys():
        shown = ", ".join(f"{text} on {device}" for device, text in found.addresses) or "none"
        raise Wrong(
            "dhcp.namespace_without_address", f"{node}: {dhcp_server.namespace} of {dhcp_server.network} has the addresses {shown}, "
            f"expected {' and '.join(sorted(map(str, wanted)))}", place=node.name, breaks=_FROM_INSIDE,
            remedy=f"on {node}: {restart('dhcp')}",
        )
    down = sorted({held[address] for address in wanted} - found.up)
    if down:
        raise Wrong(
            "dhcp.namespace_device_down", f"{node}: {', '.join(down)} in {dhcp_server.namespace} is down, expected up", place=node.name,
            layer="up", remedy=f"on {node}: ip netns exec {dhcp_server.namespace} ip link set {down[0]} up",
        )


@pytest.mark.kind("neutron")
@pytest.mark.hop("namespace", "member")
def test_dhcp_port_is_tagged(
    dhcp_server: DhcpServer, inventory: Inventory, dhcp_namespaces: By[DhcpServer, Namespace], ovs_bridges: By[Node, Table[OvsBridge]],
    neutron_configs: By[Node, AgentConfig], openflow_tables: By[Node, Table[FlowTable]], ovs_daemons: By[Node, OvsDaemon],
) -> None:
    """The namespace's device is a port of the integration bridge, with the network's local VLAN.

    Why: DHCP and metadata of the network go through it.
    Remedy: node administrator: restart the OVS agent, then the DHCP agent
    Source: Neutron document, scenario 2; Neutron administration guide, Open vSwitch: provider networks
    """
    node, network, found = dhcp_server.node, dhcp_server.network, dhcp_namespaces[dhcp_server]
    known = network.neutron
    if known is None or not found.macs or known.integration_bridge not in ovs_bridges[node]:
        return  # other checks say so
    port = _port(found, known.integration_bridge, ovs_bridges[node])
    shown = ", ".join(device for device, _ in found.macs)
    if port is None:
        raise Wrong(
            "dhcp.port_not_in_bridge", f"{node}: {shown} of {dhcp_server.namespace} is no port of {known.integration_bridge}",
            place=node.name,
        )
    side = seen_side(network, node, ovs_bridges, neutron_configs)
    tables = seen_tables(node, side, openflow_tables, ovs_daemons)
    wanted = local_vlan(side, tables, macs_of(network, node, inventory))
    if port.tag is None or port.tag == DEAD_VLAN or (wanted is not None and port.tag != wanted):
        code = "dhcp.port_untagged" if port.tag is None else "dhcp.port_dead_vlan" if port.tag == DEAD_VLAN else "dhcp.port_wrong_tag"
        raise Wrong(
            code, f"{node}: {port.name} of {dhcp_server.namespace} has the tag {port.tag or 'none'}, expected {wanted or 'the local VLAN'} "
            f"of {network}", place=node.name, breaks=_BREAKS,
            remedy=f"on {node}: {restart('openvswitch', 'dhcp')}",
        )


@pytest.mark.kind("neutron")
@pytest.mark.flow("icmp", "tcp")
@pytest.mark.hop("namespace", "policy")
def test_namespace_firewall_lets_through(
    flow: Flow, answers: By[Flow, Answer], dhcp_namespaces: By[DhcpServer, Namespace], namespace_iptables: By[DhcpServer, Ruleset],
    namespace_nftables: By[DhcpServer, Ruleset],
) -> None:
    """No rule in the DHCP agent's namespace drops what is sent from there and gets no answer.

    Why: rules in a namespace are shown by no tool that looks at the node.
    Remedy: node administrator: ip netns exec the namespace iptables -S; restart the DHCP agent
    Source: Neutron document, scenario 2, step 3
    """
    server = next((one for one in dhcp_namespaces if one.namespace == flow.namespace and one.node == flow.source), None)
    if server is None or answers[flow].came_back:
        return
    inside = dhcp_namespaces[server]
    held = ((device, ip_interface(text)) for device, text in inside.addresses)
    device, own = next(((device, one) for device, one in held if flow.target in one.network), ("", None))
    if not device or own is None:
        return  # another check says so
    firewall = Firewall(iptables=namespace_iptables[server], nftables=namespace_nftables[server])
    first = tcp_syn(own.ip, flow.target, flow.port or 0) if flow.protocol == "tcp" else ping(own.ip, flow.target)
    verdict = flow_verdict(replace(first, out_device=device), firewall)
    if verdict.outcome == "dropped":
        tool = verdict.tool
        raise Wrong(
            f"firewall.{tool}_drops", f"{flow.source}: in {flow.namespace}, {flow.protocol.upper()} to {flow.target}: {verdict}",
            place=flow.source.name, breaks=_FROM_INSIDE,
            remedy=f"on {flow.source}: ip netns exec {flow.namespace}: remove the rule ({verdict.chain}: {verdict.rule}), or restart the "
            "DHCP agent",
        )
    if verdict.outcome == "unknown":
        raise NotSeen(Why.NOT_POSSIBLE, f"{flow.source}: in {flow.namespace}: {verdict}")


def _port(found: Namespace, bridge: str, bridges: Table[OvsBridge]) -> OvsPort | None:
    """Give the port of the integration bridge that leads into the namespace: the device itself, or the tap before its veth."""
    for device, mac in found.macs:
        for name in (device, device.replace("ns-", "tap", 1)):
            known = plugged(mac, name, bridges)
            if known is not None and known[0].name == bridge:
                return known[1]
    return None
