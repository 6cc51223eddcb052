"""The flows of a provider network on its nodes: local VLAN to segment and back, on the right ports, and nothing above them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.neutron import AgentConfig, NeutronNetwork
from netchecks.models.neutron_sides import Side, Tables, is_ovn, local_vlan, packet
from netchecks.models.openflow import Decision, FlowTable, OpenFlow, translating
from netchecks.models.openvswitch import OvsBridge, OvsDaemon, OvsPort
from netchecks.models.ovs_traces import OvsWay
from netchecks.models.subjects import Interface, Inventory, Network, Node
from netchecks.models.table import Table
from netchecks.platforms.neutron import macs_of, seen_side, seen_tables
from netchecks.seen import By
from netchecks.taps import uplink_devices

Bridges = By[Node, Table[OvsBridge]]
Configs = By[Node, AgentConfig]
Flows = By[Node, Table[FlowTable]]
_BREAKS = frozenset({"switched"})


@dataclass(frozen=True, slots=True)
class _Ground:
    """What a translation is judged by. ``vlan``: the network's inside the node."""

    side: Side
    tables: Tables
    vlan: int | None


def _known(network: Network) -> NeutronNetwork:
    assert network.neutron is not None
    return network.neutron


def _ground(
    network: Network, node: Node, inventory: Inventory, bridges: Bridges, configs: Configs, flows: Flows, daemons: By[Node, OvsDaemon],
) -> _Ground | None:
    """Give what the translations are judged by; None where other checks say what is wrong, and where a node has no port of the network."""
    if not daemons[node].answers:
        return None
    side = seen_side(network, node, bridges, configs)
    macs = macs_of(network, node, inventory)
    if is_ovn(side.integration) or side.outer is None or side.inner is None or not (side.local_ports(macs) or _serves(network, node)):
        return None
    tables = seen_tables(node, side, flows, daemons)
    return _Ground(side, tables, local_vlan(side, tables, macs))


def _serves(network: Network, node: Node) -> bool:
    return network.dhcp is not None and any(server.node == node for server in network.dhcp.servers)


@pytest.mark.kind("neutron")
@pytest.mark.declares("provided")
@pytest.mark.hop("integration", "up")
def test_flows_are_there(
    network: Network, node: Node, inventory: Inventory, ovs_bridges: Bridges, neutron_configs: Configs, openflow_tables: Flows,
    ovs_daemons: By[Node, OvsDaemon],
) -> None:
    """The bridges that forward by flows alone have some.

    Why: Open vSwitch forgets its flows when it restarts; in the mode "secure" it then forwards nothing until the agent puts them back.
    Remedy: node administrator: systemctl restart neutron-openvswitch-agent
    Source: Neutron document, scenario 3; ovs-vswitchd.conf.db(5), fail_mode
    """
    ground = _ground(network, node, inventory, ovs_bridges, neutron_configs, openflow_tables, ovs_daemons)
    if ground is None:
        return
    side = ground.side
    pairs = ((side.integration, ground.tables.integration), (side.provider, ground.tables.provider))
    empty = [bridge.name for bridge, table in pairs if bridge is not None and bridge.fail_mode == "secure" and not table.flows]
    if empty:
        raise Wrong(
            "ovs.flows_gone", f"{node}: {' and '.join(empty)} have no flows at all, and drop everything (fail_mode secure)",
            place=node.name, breaks=_BREAKS,
        )


@pytest.mark.kind("neutron")
@pytest.mark.declares("provided")
@pytest.mark.hop("provider", "forwards")
def test_vlan_is_translated_outbound(
    network: Network, node: Node, inventory: Inventory, ovs_bridges: Bridges, neutron_configs: Configs, openflow_tables: Flows,
    ovs_daemons: By[Node, OvsDaemon], ovs_ways: By[Interface, OvsWay],
) -> None:
    """The bridge of the physical network turns the network's local VLAN into its segment, on the patch port.

    Why: without it what instances send leaves the node in a VLAN that the switch does not know, or not at all.
    Remedy: node administrator: restart the OVS agent; or ovs-ofctl add-flow the bridge, the flow named here
    Source: Neutron document, scenario 3, step 4 (1 => 3933)
    """
    ground = _ground(network, node, inventory, ovs_bridges, neutron_configs, openflow_tables, ovs_daemons)
    nics = uplink_devices(network, node, ovs_bridges)
    if ground is None or ground.vlan is None or not ground.tables.provider.flows or _goes_out(network, node, nics, ovs_ways):
        return
    side, segment = ground.side, _known(network).segment
    assert side.outer is not None
    match = f"priority=4,in_port={side.outer.number},dl_vlan={ground.vlan}"
    add = f'ovs-ofctl add-flow {side.provider_name} "{match},actions={_translation(segment)},NORMAL"'
    way = _Way("outbound", side.provider_name, side.outer, ground.vlan, segment, add)
    _judge(node, way, ground.tables.provider)


@pytest.mark.kind("neutron")
@pytest.mark.declares("provided")
@pytest.mark.hop("integration", "forwards")
def test_vlan_is_translated_inbound(
    network: Network, node: Node, inventory: Inventory, ovs_bridges: Bridges, neutron_configs: Configs, openflow_tables: Flows,
    ovs_daemons: By[Node, OvsDaemon], ovs_ways: By[Interface, OvsWay],
) -> None:
    """The integration bridge turns the network's segment into its local VLAN, on the patch port.

    Why: without it what comes for the instances is dropped, or given to those of another network.
    Remedy: node administrator: restart the OVS agent; or ovs-ofctl add-flow the bridge, the flow named here
    Source: Neutron document, scenario 3, step 4 (3933 => 1)
    """
    ground = _ground(network, node, inventory, ovs_bridges, neutron_configs, openflow_tables, ovs_daemons)
    if ground is None or ground.vlan is None or not ground.tables.integration.flows or _comes_in(network, node, ovs_ways):
        return
    side, segment = ground.side, _known(network).segment
    assert side.inner is not None
    match = f"priority=3,in_port={side.inner.number}," + (f"dl_vlan={segment}" if segment else "vlan_tci=0x0000/0x1fff")
    add = f'ovs-ofctl add-flow {_known(network).integration_bridge} "table=0,{match},actions=mod_vlan_vid:{ground.vlan},NORMAL"'
    way = _Way("inbound", _known(network).integration_bridge, side.inner, segment, ground.vlan, add)
    _judge(node, way, ground.tables.integration)


def _translation(segment: int) -> str:
    return f"mod_vlan_vid:{segment}" if segment else "strip_vlan"


def _goes_out(network: Network, node: Node, nics: tuple[str, ...], ovs_ways: By[Interface, OvsWay]) -> bool:
    """Tell whether Open vSwitch itself says that an instance's packets leave by a NIC in the segment: its word counts."""
    return any(way.out is not None and way.out.leaves(*nics, vlan=_known(network).segment) for way in _ways(network, node, ovs_ways))


def _comes_in(network: Network, node: Node, ovs_ways: By[Interface, OvsWay]) -> bool:
    return any(way.back is not None and way.back.leaves(way.port) for way in _ways(network, node, ovs_ways))


def _ways(network: Network, node: Node, ovs_ways: By[Interface, OvsWay]) -> list[OvsWay]:
    return [way for interface, way in ovs_ways.seen().items() if interface.network == network and interface.node == node]


@dataclass(frozen=True, slots=True)
class _Way:
    """A translation that has to be: on which bridge and port, from which VLAN to which, and what would add it."""

    name: str
    bridge: str
    port: OvsPort
    vlan: int
    to: int
    add: str

    def __str__(self) -> str:
        """Give it as a person names it."""
        return f"{self.vlan or 'untagged'} => {self.to or 'untagged'} on port {self.port.number} ({self.port.name}) of {self.bridge}"


def _decide(way: _Way, table: FlowTable) -> Decision:
    """Give what becomes of a packet; where that depends on its MACs, of one whose MACs no flow names, if that is translated."""
    decision = table.decide(packet(way.port, way.vlan))
    if decision.kind != "unsure":
        return decision
    general = FlowTable.of(flow for flow in table.flows if not flow.match.keys() & {"dl_src", "dl_dst"})  # DVR has flows for its own MACs
    of_others = general.decide(packet(way.port, way.vlan))
    return of_others if of_others.kind == "out" and of_others.vlan == way.to else decision


def _judge(node: Node, way: _Way, table: FlowTable) -> None:
    """Say why a packet of the network is not translated as it has to be. Raises NotSeen where that depends on more than is known of it."""
    decision = _decide(way, table)
    if decision.kind == "unsure":
        told = f" ({decision.last})" if decision.last else ""
        raise NotSeen(Why.NOT_POSSIBLE, f"{node}: {way.name} translation {way}: it depends on more than a packet's port and VLAN{told}")
    if decision.kind == "out" and decision.vlan == way.to:
        return
    winner = decision.translated_by or decision.last
    right = list(translating(table.flows, way.vlan, way.to))
    own = [flow for flow in right if flow.port in {"", way.port.name, str(way.port.number)}]
    if decision.kind == "out" and winner is not None and winner.cookie not in {0, table.cookie}:
        _wrong(
            node, way, "flow.stale", f"a flow of an older agent (cookie {winner.cookie:#x}; most have {table.cookie:#x}) comes first and "
            f"gives VLAN {decision.vlan}: {winner}",
            f'ovs-ofctl --strict del-flows {way.bridge} "{_strict(winner)}"; restart the OVS agent',
        )
    if own:
        above = decision.last
        assert above is not None
        _wrong(node, way, "flow.shadowed", f"its flow ({own[0]}) never gets a packet: {above} comes first",
               f'ovs-ofctl --strict del-flows {way.bridge} "{_strict(above)}"')
    if decision.kind == "out" and decision.vlan != way.vlan:
        _wrong(node, way, f"flow.{way.name}_wrong_vlan", f"packets get VLAN {decision.vlan}, expected {way.to}: {winner}", way.add)
    if right:
        _wrong(node, way, "flow.wrong_port", f"the flow is there for another port: {right[0]}, expected in_port={way.port.number}", way.add)
    last = f"; {decision.last} is what they meet" if decision.last else ""
    _wrong(node, way, f"flow.{way.name}_missing", f"there is no such flow{last}", way.add)


def _strict(flow: OpenFlow) -> str:
    match = ",".join(f"{key}={value}" if value else key for key, value in flow.match.items())
    return ",".join(filter(None, (f"table={flow.table}", f"priority={flow.priority}", match)))


def _wrong(node: Node, way: _Way, code: str, message: str, remedy: str) -> None:
    raise Wrong(code, f"{node}: {way.name} translation {way}: {message}", place=node.name, breaks=_BREAKS, remedy=remedy)
