"""What Open vSwitch does with the packets of a flow that gets no answer: by its own word, and by what its flows have counted meanwhile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.answers import Answer
from netchecks.models.domains import Domain
from netchecks.models.neutron import AgentConfig
from netchecks.models.neutron_sides import Side, behind_trunk, comes_by, is_ovn
from netchecks.models.openflow import FlowTable, OpenFlow, counted
from netchecks.models.openvswitch import OvsBridge, OvsDaemon, plugged
from netchecks.models.ovs_traces import OvsTrace, OvsWay, Step
from netchecks.models.routes import Lookup
from netchecks.models.subjects import Flow, Interface, Node
from netchecks.models.table import Table
from netchecks.models.traces import OTHER_UPLINK, Kind, Stretch, Trace
from netchecks.platforms.neutron import seen_side
from netchecks.seen import By, Pair
from netchecks.taps import tap_of, uplink_devices
from netchecks.world import end_of

_BREAKS = frozenset({"switched"})
#: Neutron's tables for what comes to an instance: the base ones, and the rules of its security groups.
_GROUPS = frozenset({81, 82})
_LEAVING = frozenset({71, 72, 73})
_IPV4 = 4
#: Where a rule names its sender, by family.
_FROM = {4: "nw_src", 6: "ipv6_src"}
_SENT: tuple[Kind, ...] = ("request",)
_BACK: tuple[Kind, ...] = ("reply", "error")


@pytest.mark.kind("neutron")
@pytest.mark.flow("icmp", "tcp", "udp", to="vm")
@pytest.mark.hop("tap", "policy")
def test_security_group_lets_in(
    flow: Flow, answers: By[Flow, Answer], ovs_ways: By[Interface, OvsWay], ovs_daemons: By[Node, OvsDaemon],
    ovs_bridges: By[Node, Table[OvsBridge]], openflow_tables: By[Node, Table[FlowTable]], route_lookups: By[Flow, Lookup],
) -> None:
    """By Open vSwitch's own word, a packet of a flow that gets no answer reaches the instance's port.

    Why: flows tell protocols, ports and senders apart: what is asked for a MAC may pass, and what follows may not.
    Remedy: node administrator: ovs-appctl ofproto/trace as shown here; restart the OVS agent, which writes the flows anew
    Source: neutron, Open vSwitch firewall driver; ovs-vswitchd(8), ofproto/trace
    """
    interface, node = flow.interface, end_of(flow)
    assert interface is not None
    assert flow.network.neutron is not None
    integration = ovs_bridges[node].get(flow.network.neutron.integration_bridge)
    if answers[flow].came_back or not ovs_daemons[node].answers or is_ovn(integration):
        return  # OVN has other tables
    if not _is_asked(flow):
        _is_unfiltered(flow, openflow_tables[node].get(flow.network.neutron.integration_bridge))
        return
    way, asked = ovs_ways[interface], _asked(flow)
    trace = _drop(flow, way)
    if trace is None:
        return
    step = trace.decided
    if step is not None and asked.endswith(" elsewhere"):
        _same_for_the_sender(flow, route_lookups, openflow_tables[node].get(step.bridge or way.bridge), step)
    what = f"{flow.protocol.upper()}{f' to port {flow.port}' if flow.port else ''}"
    if step is None or step.table not in _GROUPS:
        if flow.source == node:
            return  # it does not come by the NIC, as what was asked did: only what is decided at the instance's port is the same
        by, tag = " or ".join(uplink_devices(interface.network, node, ovs_bridges)), interface.segment
        raise Wrong(
            "ovs.drops_inbound", f"{node}: {what} for {interface} that comes by {by}{f' in VLAN {tag}' if tag else ''} does not reach "
            f"{way.port}: the last look-up is {trace.last or 'none'}", place=node.name, breaks=_BREAKS, hop="tap", layer="service",
        )
    port = f" --dst-port {flow.port}" if flow.port else ""
    raise Wrong(
        "port.security_group_drops", f"{node}: the security group of {interface} lets no {what} in from "
        f"{_sender(flow, route_lookups) or flow.source}: {step}", place=node.name, owner="platform",
        remedy=f"openstack security group rule create --ingress --protocol {flow.protocol}{port} GROUP, that of its port (openstack port "
        f"list --mac-address {interface.mac}); if there is such a rule, restart the OVS agent",
    )


def _is_asked(flow: Flow) -> bool:
    """Tell whether it is one of those that Open vSwitch is asked about: for the first address of its family."""
    assert flow.interface is not None
    own = flow.interface.first_address if flow.family == _IPV4 else flow.interface.first_ipv6
    return str(flow.translated or flow.target) == own


def _is_unfiltered(flow: Flow, table: FlowTable | None) -> None:
    """Raise NotSeen where flows are a security group: of a further address Open vSwitch was not asked."""
    if table is not None and any(flows for number, flows in table.tables.items() if number in _GROUPS):
        what = f"{flow.protocol.upper()} to {flow.translated or flow.target}"
        raise NotSeen(Why.NOT_POSSIBLE, f"{end_of(flow)}: Open vSwitch was not asked what it does with {what}")


def _drop(flow: Flow, way: OvsWay) -> OvsTrace | None:
    """Give what Open vSwitch says of a flow that it does not let pass; None where it does, or where another check says that nothing does.

    Raises NotSeen where it says nothing of it, or not all.
    """
    asked, node, interface = _asked(flow), end_of(flow), flow.interface
    if asked in way.failed:
        raise NotSeen(Why.NOT_POSSIBLE, f"{node}: Open vSwitch does not say what becomes of {asked} to {interface}")
    trace = way.asked.get(asked)
    if trace is None or trace.leaves(way.port):
        return None
    if way.back is not None and interface is not None and not interface.tunnel and not way.back.leaves(way.port):
        return None
    if any(action.startswith("ct(") and "table=" in action for action in (trace.last.actions if trace.last else ())):
        raise NotSeen(Why.NOT_POSSIBLE, f"{node}: this Open vSwitch does not say what follows after connection tracking")
    return trace


def _asked(flow: Flow) -> str:
    """Give the name of what Open vSwitch was asked that is this flow."""
    protocol = flow.protocol if flow.family == _IPV4 else f"{flow.protocol}6"
    question = f"{protocol}/{flow.port}" if flow.port else protocol
    return f"{question} from {_agent_address(flow) or 'elsewhere'}"


def _agent_address(flow: Flow) -> str:
    """Give the address that a DHCP agent's namespace asks from, the one in the target's subnet; empty where another asks."""
    servers = flow.network.dhcp.servers if flow.network.dhcp and flow.namespace else ()
    prefixes = [subnet.prefix for subnet in flow.network.subnets if flow.target in subnet.prefix]
    own = (address for server in servers if server.node == flow.source for address in server.addresses)
    return str(next((address for address in own if any(address in prefix for prefix in prefixes)), ""))


def _sender(flow: Flow, route_lookups: By[Flow, Lookup]) -> str:
    """Give the address that a flow comes from; empty where it is not known."""
    try:
        return _agent_address(flow) or route_lookups[flow].source
    except NotSeen:
        return ""


def _same_for_the_sender(flow: Flow, route_lookups: By[Flow, Lookup], table: FlowTable | None, step: Step) -> None:
    """Raise NotSeen where a rule for the flow's own sender may let it in: Open vSwitch was asked as if somebody else sent it."""
    sender, register = _sender(flow, route_lookups), _REGISTER.search(step.flow)
    for rule in table.tables.get(step.table, ()) if table else ():
        if not rule.drops and _FROM[flow.family] in rule.match and _may_be_for(rule, flow, sender, register[1] if register else ""):
            who = sender or flow.source
            raise NotSeen(Why.NOT_POSSIBLE, f"{end_of(flow)}: whether {who} may ask depends on more than its address: {rule}")


_REGISTER = re.compile(r"\breg5=(0x[0-9a-f]{1,8}|[0-9]{1,10})\b")


def _may_be_for(rule: OpenFlow, flow: Flow, sender: str, register: str) -> bool:
    """Tell whether a rule may be for a flow from an address (empty: any) to the port of a register."""
    protocols = rule.match.keys() & {f"{name}{family}" for name in ("icmp", "tcp", "udp") for family in ("", "6")}
    own = flow.protocol if flow.family == _IPV4 else f"{flow.protocol}6"
    if (protocols and own not in protocols) or (register and rule.match.get("reg5", register) != register):
        return False
    port, _, mask = rule.match.get("tp_dst", "").partition("/")
    if port and flow.port is not None and int(port, 0) != flow.port & int(mask or "0xffff", 0):
        return False
    return not sender or ip_address(sender) in ip_network(rule.match[_FROM[flow.family]], strict=False)


@pytest.mark.kind("neutron")
@pytest.mark.flow("icmp", "tcp", "udp", to="vm", full=False)
@pytest.mark.hop("integration", "passes")
def test_flows_carry_traffic(
    flow: Flow, answers: By[Flow, Answer], traces: By[Flow, Trace], ovs_bridges: By[Node, Table[OvsBridge]],
    neutron_configs: By[Node, AgentConfig], ovs_daemons: By[Node, OvsDaemon], domains: By[Node, Table[Domain]],
    ovs_ways: By[Interface, OvsWay], openflow_counts: By[Node, Pair[Table[FlowTable]]],
) -> None:
    """Where packets are lost between NIC and tap, the flows that translate their VLAN count meanwhile, and none that drops does.

    A network that nobody asks anything of may be idle: only what was seen to come, and did not arrive, is judged.
    Why: between two bridges there is no device to look at; what a flow has counted shows whether packets came to it.
    Remedy: node administrator: ovs-ofctl dump-flows of both bridges, twice; ovs-appctl ofproto/trace
    Source: Neutron document, scenario 3, step 4 (n_packets, idle_age); ovs-ofctl(8), dump-flows
    """
    interface, node = flow.interface, end_of(flow)
    assert interface is not None
    if answers[flow].came_back or not ovs_daemons[node].answers:
        return
    lost = traces[flow].lost
    if lost is None or not _in_bridges(lost, node):
        return
    side = seen_side(flow.network, node, ovs_bridges, neutron_configs)
    if is_ovn(side.integration) or _is_told(flow, ovs_ways[interface]):
        return
    pair = openflow_counts[node]
    if not interface.tunnel:
        _translated(node, lost, side, pair)
    plug = plugged(interface.mac, tap_of(interface, domains), ovs_bridges[node])
    outer = behind_trunk(plug[0], side.integration) if plug and side.integration else None
    _none_drops(interface, lost, pair, (outer or plug[1]).number if plug else None)


def _is_told(flow: Flow, way: OvsWay) -> bool:
    """Tell whether Open vSwitch itself says where it drops a flow."""
    asked = way.asked.get(_asked(flow))
    return asked is not None and not asked.leaves(way.port)


def _none_drops(interface: Interface, lost: Stretch, pair: Pair[Table[FlowTable]], number: int | None) -> None:
    """No flow for the instance at a port of that number has dropped as many packets as are lost."""
    at_least = len(lost.before.of(*_SENT if lost.forth else _BACK)) if lost.before else 0
    for name in pair.after:
        for one, count in _counted(pair, name):
            if count >= max(at_least, 1) and one.drops and _names(one, interface, number) and _is_of_way(one, forth=lost.forth):
                what = f"{lost}; {one} of {name} has dropped {count} packets in {pair.seconds:.1f} s"
                _dropped(interface.node, interface, what, one)


def _translated(node: Node, lost: Stretch, side: Side, pair: Pair[Table[FlowTable]]) -> None:
    """The flows that translate what is lost have counted something; where there are none, other checks say so."""
    segment, (bridge, port) = side.known.segment, (side.integration, side.inner) if lost.forth else (side.provider, side.outer)
    if bridge is None or bridge.name not in pair.after:
        return
    own = [
        (one, count) for one, count in _counted(pair, bridge.name)
        if comes_by(one, port) and (one.vlan == segment if lost.forth else _gives(one) == segment)
    ]
    if own and not any(count for _, count in own):
        raise Wrong(
            "flow.counts_nothing", f"{node}: {lost}; {own[0][0]} of {bridge.name}, which translates them, has counted none in "
            f"{pair.seconds:.1f} s: they do not come to {bridge.name}", place=node.name, breaks=_BREAKS,
            hop="" if lost.forth else "tap", layer="" if lost.forth else "service",  # an answer meets what is wrong at the tap first
        )


def _in_bridges(lost: Stretch, node: Node) -> bool:
    hops = {point.point.hop for point in (lost.before, lost.after) if point is not None}
    return lost.place == node.name and lost.before is not None and lost.after is not None and hops <= {"uplink", OTHER_UPLINK, "tap"}


def _counted(pair: Pair[Table[FlowTable]], bridge: str) -> Iterator[tuple[OpenFlow, int]]:
    return counted(pair.before.get(bridge, FlowTable({})), pair.after[bridge])


def _gives(flow: OpenFlow) -> int | None:
    return 0 if flow.strips and flow.sets is None else flow.sets


#: Fields that may name an instance: its MAC or one of its addresses.
_OWN = ("dl_src", "dl_dst", "nw_src", "nw_dst", "ipv6_src", "ipv6_dst", "arp_spa", "arp_tpa")


def _names(flow: OpenFlow, interface: Interface, number: int | None) -> bool:
    """Tell whether a flow is for packets of one instance; what connection tracking takes for invalid has no port."""
    own, register = {interface.mac, *map(str, interface.addresses)}, flow.match.get("reg5", "")
    by_port = number is not None and register.isalnum() and int(register, 0) == number
    return by_port or flow.is_invalid or any(flow.match.get(key, "").lower() in own for key in _OWN)


def _is_of_way(flow: OpenFlow, *, forth: bool) -> bool:
    """Tell whether a flow is for that direction: what is invalid is dropped in the tables of what comes in, and of what leaves."""
    return not flow.is_invalid or flow.table in (_GROUPS if forth else _LEAVING)


def _dropped(node: Node, interface: Interface, what: str, flow: OpenFlow) -> None:
    if flow.is_invalid:
        raise Wrong(
            "ovs.conntrack_invalid", f"{node}: {what}: connection tracking takes them for invalid, as where it is full or sees one "
            "direction alone", place=node.name, hop="tap", layer="service",
            remedy="compare ovs-appctl dpctl/ct-get-nconns with ct-get-maxconns (of the kernel's datapath nf_conntrack_count with "
            "nf_conntrack_max); raise the limit, or find who opens so many",
        )
    raise Wrong("ovs.flow_drops", f"{node}: {what}, which is for {interface}", place=node.name, hop="tap", layer="service")
