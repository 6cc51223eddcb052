"""What several facts together show of OpenStack Neutron: a switch that does not let a VLAN through, an agent that never started."""

from __future__ import annotations

from netchecks.cause import cause
from netchecks.errors import Blind, Harmless, NotSeen, Why, Wrong
from netchecks.models.answers import Answer, Row
from netchecks.models.neutron_sending import Sender
from netchecks.models.openflow import FlowTable, invalid
from netchecks.models.openvswitch import OvsBridge, bridge_of
from netchecks.models.rows import stretch
from netchecks.models.services import Service
from netchecks.models.subjects import Flow, Link, Network, Node
from netchecks.models.table import Table
from netchecks.seen import By, Pair
from netchecks.taps import uplink_devices

_AGENT = "neutron-openvswitch-agent"


@cause("vmhost.gateway_answers", peers=True, kinds=("neutron",))
def switch_blocks_vlan(flow: Flow, answers: By[Flow, Answer], ovs_bridges: By[Node, Table[OvsBridge]]) -> None:
    """A node's tagged question is not answered, and what others on the same VLAN show says that it is not the gateway.

    Either another node's is answered; or no node hears another's question, which are broadcasts of that VLAN, and a DHCP agent's packets
    to VMs on other nodes are lost too. Not to hear alone says nothing: nodes that are looked at one after the other never hear each other.
    """
    if not flow.at_uplink:
        return
    seen, target = answers.seen(), (flow.network, flow.target)
    same = {other: answer for other, answer in seen.items() if other.at_uplink and (other.network, other.target) == target}
    others = [other for other in same if other != flow]
    answered = sorted(str(other.source) for other in others if same[other].came_back)
    if same[flow].heard or (not answered and (not others or not _is_cut(flow.network, seen, same))):
        return
    node, segment, nic = flow.source, flow.network.neutron, uplink_devices(flow.network, flow.source, ovs_bridges)[0]
    vlan = f"VLAN {segment.segment}" if segment and segment.segment else "untagged frames"
    why = f"the same of {', '.join(answered)} is answered" if answered else "no node hears another's"
    raise Wrong(
        "switch.vlan_not_allowed", f"{node}: ARP requests for the gateway {flow.target} that leave {nic} in {vlan} are not answered, and "
        f"{why}: the switch does not let {vlan} through at the port of {nic}", place=node.name, hop="uplink", layer="neighbour",
        owner="network engineer", breaks=frozenset({"uplink"}), certain=True,
        remedy=f"at the switch port of {node}'s {nic}: allow {vlan} on the trunk (show interfaces trunk, show vlan)",
    )


@cause("vmhost.gateway_answers_ping", kinds=("neutron",))
def router_drops_icmp(flow: Flow, answers: By[Flow, Answer], openflow_tables: By[Node, Table[FlowTable]]) -> None:
    """The gateway of a tenant network resolves, and keeps silent to ping; it is not the asker's own bridge that answers for it."""
    known = flow.network.tunnelled
    if not flow.namespace or known is None:
        return
    same = (flow.source, flow.namespace, flow.target, "arp")
    asked = (got for one, got in answers.seen().items() if (one.source, one.namespace, one.target, one.protocol) == same)
    if not any(answer.came_back for answer in asked):
        return
    try:
        table = openflow_tables[flow.source].get(known.tunnel_bridge, FlowTable({}))
    except NotSeen as reason:
        raise Blind(reason.why, f"{flow.source}: whether its own bridge answers for {flow.target}: {reason.detail}") from reason
    if Sender(known, table.flows).answers(flow.target) is None:
        raise Harmless("gateway.drops_icmp", f"the gateway {flow.target} of {flow.network} resolves, but does not answer ping")


def _is_cut(network: Network, seen: dict[Flow, Answer], same: dict[Flow, Answer]) -> bool:
    """Tell whether what was sent from one node to another of the network was lost, all of it: else the gateway is gone, not the VLAN."""
    if any(answer.heard or answer.came_back for answer in same.values()):
        return False
    between = [
        answer for other, answer in seen.items()
        if other.network == network and other.namespace and other.interface is not None and other.interface.node != other.source
    ]
    return bool(between) and not any(answer.came_back for answer in between)


@cause(
    "openstack.neutron.flows_are_there", "openstack.neutron.vlan_is_translated_inbound", "openstack.neutron.vlan_is_translated_outbound",
    "openstack.neutron.instance_port_is_tagged", "openstack.neutron.patch_ports_are_joined", "openstack.neutron.integration_bridge_exists",
    "openstack.neutron.dhcp_port_is_tagged", "openstack.neutron.tunnel_is_up", "openstack.neutron.ovs_agent_is_active",
)
def agent_never_started(node: Node, neutron_services: By[Node, Table[Service]]) -> None:
    """What the agent writes at its start is not there, and it has not been started since the node booted."""
    service = neutron_services[node][_AGENT]
    if service.load in {"loaded", "masked"} and service.active not in {"active", "activating", "reloading"} and service.started is None:
        how = f", the unit is {service.enabled}" if service.enabled else ""
        raise Wrong(
            "neutron.ovs_agent_not_started", f"{node}: {_AGENT} has not been started since the node booted{how}: ports are not bound, and "
            "there are no flows", place=node.name, breaks=frozenset({"switched"}),
            remedy=f"systemctl enable --now {_AGENT}; look into its log and journalctl -b -u {_AGENT} for why it did not start",
        )


@cause("node.link_is_up", kinds=("neutron",))
def uplink_is_bond(link: Link, ovs_bridges: By[Node, Table[OvsBridge]]) -> None:
    """What the inventory names as the uplink is a bond of Open vSwitch, which is no device of the node."""
    bridge = bridge_of(link.device, ovs_bridges[link.node])
    port = bridge.port_of(link.device) if bridge else None
    if bridge is not None and port is not None and port.name == link.device and len(port.interfaces) > 1:
        raise Wrong(
            "uplink.is_bond", f"{link.node}: {link.device} is a bond of Open vSwitch with {' and '.join(port.devices)}, on {bridge.name}, "
            "and no device of its own that could be looked at", place=link.node.name, hop="uplink", layer="exists",
            remedy=f"name one of its members in the inventory (uplink: {port.devices[0]}); the others follow from Open vSwitch",
        )


@cause("node.link_is_up", kinds=("neutron",))
def uplink_is_of_dpdk(link: Link, ovs_bridges: By[Node, Table[OvsBridge]]) -> None:
    """The uplink is a port of DPDK, which takes the NIC away from the kernel: only Open vSwitch can tell whether it has a link."""
    bridge, node, name = bridge_of(link.device, ovs_bridges[link.node]), link.node, link.device
    port = bridge.port_of(name) if bridge else None
    own = next((one for one in port.interfaces if one.name == name and one.kind.startswith("dpdk")), None) if port else None
    if bridge is None or own is None:
        return
    what = f"{node}: {name} is a port of {bridge.name} of the type {own.kind}, and no device of the node"
    if own.error or not own.link_state:
        raise Blind(Why.NOT_POSSIBLE, f"{what}; Open vSwitch does not tell its link{f': {own.error}' if own.error else ''}")
    if own.admin_state == "down":
        raise Wrong(
            "uplink.down", f"{what}; by Open vSwitch it is switched off", place=node.name, hop="uplink", layer="up",
            remedy=f"ovs-ofctl mod-port {bridge.name} {name} up",
        )
    if own.link_state != "up":
        raise Wrong(
            "uplink.no_carrier", f"{what}; by Open vSwitch its link is {own.link_state}", place=node.name, hop="uplink", layer="up",
            owner="network engineer", remedy=f"look at the cable, the optics and the switch port of {node}'s {name}; ovs-vsctl get "
            f"Interface {name} status statistics",
        )
    raise Harmless("uplink.is_dpdk", f"{what}; by Open vSwitch its link is up; what passes it cannot be captured")


@cause("vmhost.packets_are_not_lost", kinds=("neutron",))
def conntrack_loses_connections(flow: Flow, rows: By[Flow, Row], openflow_counts: By[Node, Pair[Table[FlowTable]]]) -> None:
    """On the way of this VM alone most connections are lost, and flows of its node drop at least as many packets as invalid."""
    interface, row = flow.interface, rows[flow]
    if interface is None or stretch(flow, rows.seen())[0] != interface.vm.name:
        return
    pair = openflow_counts[interface.node]
    for name, one, count in invalid(pair.before, pair.after):
        if count >= row.lost and row.lost * 2 >= len(row.answered):
            raise Wrong(
                "ovs.conntrack_invalid", f"{interface.node}: {row.lost} of {len(row.answered)} {flow.protocol.upper()} packets from "
                f"{flow.source} to {interface} are lost, and {one} of {name} has dropped {count} as invalid", place=interface.node.name,
                hop="tap", layer="service",
            )
