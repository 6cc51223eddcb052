"""Which nodes a tenant network's packets have to get to, and what a tunnel bridge does with them: floods, known MACs, answers to ARP.

With l2population the server tells each agent where ports are, and the agent writes that as flows: whom to flood to (table 22), which
tunnel leads to a MAC (table 20), and, with arp_responder, answers to ARP requests (table 21). Without, and beside it, table 20 is learned.
Source: neutron/plugins/ml2/drivers/openvswitch/agent/openflow/native/br_tun.py; neutron/plugins/ml2/drivers/l2pop/mech_driver.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from netchecks.errors import NotSeen, Why
from netchecks.models.neutron import AgentConfig, Namespace, NeutronNetwork, RouterState
from netchecks.models.openflow import VID, FlowTable, OpenFlow
from netchecks.models.openvswitch import OvsBridge, OvsPort, plugged
from netchecks.models.subjects import Address, Interface, Inventory, Network, Node, VirtualRouter
from netchecks.models.table import Table
from netchecks.platforms.neutron.flows import router_nodes
from netchecks.seen import By

Bridges = By[Node, Table[OvsBridge]]


def serves(network: Network, node: Node, inventory: Inventory) -> bool:
    """Tell whether a node has a guest or a DHCP agent of the network."""
    served = network.dhcp is not None and any(server.node == node for server in network.dhcp.servers)
    return served or any(one.network == network and one.node == node and one.vm.runs for one in inventory.interfaces)


def has_ports(network: Network, node: Node, inventory: Inventory, bridges: Bridges) -> bool:
    """Tell whether a node has a port of the network: without one the agent makes no flows and, with l2population, no tunnels.

    A router's node has one where the agent noted the network at a port: of a distributed router a part may be there, or not yet.
    """
    if serves(network, node, inventory):
        return True
    known = network.neutron
    if known is None or node not in router_nodes(network) or known.integration_bridge not in bridges[node]:
        return False
    ports = bridges[node][known.integration_bridge].ports.values()
    return any(port.other_config.get("net_uuid") == known.id for port in ports)


def working(network: Network, states: By[VirtualRouter, RouterState], snat: By[VirtualRouter, Namespace]) -> frozenset[Node]:
    """Give the nodes whose routers others surely send to: of several agents the primary's, of a distributed one snat's."""
    if not router_nodes(network):
        return frozenset()
    primary = (one.node for one, state in states.seen().items() if one.network == network and state.role == "primary")
    central = (one.node for one, space in snat.seen().items() if one.network == network and space.exists)
    return frozenset((*primary, *central))


def reached(network: Network, node: Node, inventory: Inventory, works: frozenset[Node], configs: By[Node, AgentConfig]) -> list[Node]:
    """Give the other nodes that a node has to send the network's broadcasts to: of guests, DHCP agents and routers.

    Without l2population it sends to all. With it, whether those get them whose router only stands by depends on the release; the parts
    of a distributed router ask nobody on another node to send to them. ``works``: nodes whose routers do the work.
    """
    routers, known = router_nodes(network), network.neutron
    alone = len(routers) == 1 and known is not None and not known.distributed
    all_routers = bool(routers) and (alone or not _may_be_told(node, configs))
    needed = works | (frozenset(routers) if all_routers else frozenset())
    return [end.node for end in network.attachments if end.node != node and (end.node in needed or serves(network, end.node, inventory))]


def _may_be_told(node: Node, configs: By[Node, AgentConfig]) -> bool:
    """Tell whether a node's agent may work with l2population: it does, or that is not seen."""
    try:
        return configs[node].l2_population
    except NotSeen:
        return True


@dataclass(frozen=True)
class Sender:
    """What a node's tunnel bridge does with a network's packets, by its flows."""

    known: NeutronNetwork
    node: Node
    bridge: OvsBridge
    flows: tuple[OpenFlow, ...]

    @cached_property
    def vlans(self) -> frozenset[int]:
        """The local VLAN of the network, as each flow that has its key says it."""
        said = [flow.sets for flow in self.flows if flow.tunnel == self.known.segment]
        said += [_vlan(flow) for flow in self.flows if flow.sets_tunnel == self.known.segment]
        return frozenset(vlan for vlan in said if vlan)

    @cached_property
    def floods(self) -> tuple[OpenFlow, ...]:
        """The flows for what is for all, and for MACs that are not known."""
        sending = (flow for flow in self.flows if flow.sets_tunnel is not None and "dl_dst" not in flow.match)
        return tuple(flow for flow in sending if _vlan(flow) in self.vlans)

    @cached_property
    def entries(self) -> dict[str, OpenFlow]:
        """The flow that wins for each MAC that it is known where to send."""
        found: dict[str, OpenFlow] = {}
        for flow in self.flows:  # in a table those of high priority come first
            if flow.sets_tunnel is not None and "dl_dst" in flow.match and _vlan(flow) in self.vlans:
                found.setdefault(flow.match["dl_dst"].lower(), flow)
        return found

    def answers(self, target: Address) -> OpenFlow | None:
        """Give the flow by which the bridge itself answers ARP requests for an address; None where it does not."""
        for flow in self.flows:
            asks = "arp" in flow.match and flow.match.get("arp_tpa") == str(target)
            if asks and "IN_PORT" in flow.actions and (not self.vlans or _vlan(flow) in self.vlans):
                return flow
        return None

    def tunnels(self) -> dict[str, OvsPort]:
        """Give the ports of tunnels of the network's type, by the other end."""
        ports = (port for port in self.bridge.ports.values() if port.kind == self.known.type and port.first)
        return {port.first.options.get("remote_ip", ""): port for port in ports if port.first}

    def leads_to(self, flow: OpenFlow) -> dict[str, OvsPort]:
        """Give the tunnels that a flow sends into, by the other end."""
        return {end: port for end, port in self.tunnels().items() if flow.outputs & {port.name, str(port.number)}}

    def left_out(self, ends: dict[str, Node]) -> dict[str, Node]:
        """Give those of other ends that nothing is flooded to although there is a tunnel, each with its node."""
        reached = {end for flow in self.floods for end in self.leads_to(flow)}
        return {end: node for end, node in ends.items() if self.floods and end in self.tunnels() and end not in reached}


def _vlan(flow: OpenFlow) -> int | None:
    """Give the VLAN that a flow is for; a learned one does not ask whether there is a tag: vlan_tci=0x0001/0x0fff."""
    tci, _, mask = flow.match.get("vlan_tci", "").partition("/")
    return int(tci, 16) & VID if mask == "0x0fff" else flow.vlan


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of nodes that have tunnels."""

    bridges: Bridges
    configs: By[Node, AgentConfig]
    tables: By[Node, Table[FlowTable]]

    def sender(self, network: Network, node: Node) -> Sender | None:
        """Give what a node does with the network's packets; None where it has no tunnel bridge, or that has no flows."""
        known = network.neutron
        assert known is not None
        bridge, table = self.bridges[node].get(known.tunnel_bridge), self.tables[node].get(known.tunnel_bridge)
        return Sender(known, node, bridge, table.flows) if bridge is not None and table is not None and table.flows else None

    def end(self, node: Node) -> str:
        """Give a node's own end of tunnels. Raises NotSeen where its agent's configuration does not say."""
        config = self.configs[node]
        if not config.local_ip:
            raise NotSeen(Why.NOT_POSSIBLE, f"{node}: its agent's configuration ({', '.join(config.files)}) names no local_ip")
        return config.local_ip

    def stale(self, sender: Sender, interface: Interface) -> tuple[OpenFlow, str] | None:
        """Give the flow that sends what is for an instance to another node than its own, and where to; None where there is none.

        Nothing is stale where the instance is not plugged in at its node, or at another one too: it may have been migrated just now.
        """
        flow = sender.entries.get(interface.mac)
        ends = sender.leads_to(flow) if flow is not None else {}
        if flow is None or not ends or not interface.vm.runs or interface.node == sender.node:
            return None
        if self.end(interface.node) in ends or not self._is_only_at(interface):
            return None
        return flow, next(iter(ends))

    def _is_only_at(self, interface: Interface) -> bool:
        if plugged(interface.mac, interface.tap, self.bridges[interface.node]) is None:
            return False
        others = (found for node, found in self.bridges.seen().items() if node != interface.node)
        return all(plugged(interface.mac, "", found) is None for found in others)

    def named(self, end: str) -> str:
        """Give an end of tunnels with its node's name, where that is known."""
        node = next((node for node, config in self.configs.seen().items() if config.local_ip == end), None)
        return f"{end} ({node})" if node else end


def answering(network: Network, node: Node, target: Address, seen: Seen) -> str:
    """Tell by what a node's tunnel bridge itself answers ARP requests for an address; empty where it does not.

    Where its flows cannot be read, its agent's configuration says whether it may.
    """
    known = network.neutron
    assert known is not None
    try:
        table = seen.tables[node].get(known.tunnel_bridge)
    except NotSeen:
        may = seen.configs[node].l2_population and seen.configs[node].arp_responder
        return f"{known.tunnel_bridge} of {node} may itself answer ARP requests for {target} (arp_responder)" if may else ""
    bridge = OvsBridge(known.tunnel_bridge, Table("port", {}))
    flow = Sender(known, node, bridge, table.flows).answers(target) if table is not None else None
    return f"{known.tunnel_bridge} of {node} itself answers ARP requests for {target} (table {flow.table}, arp_responder)" if flow else ""
