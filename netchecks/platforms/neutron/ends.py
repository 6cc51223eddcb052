"""Which nodes a tenant network's packets have to get to, and what was seen of where tunnel bridges send them.

Source: neutron/plugins/ml2/drivers/l2pop/mech_driver.py, which tells agents where ports are.
"""

from __future__ import annotations

from dataclasses import dataclass

from netchecks.errors import NotSeen, Why
from netchecks.models.neutron import AgentConfig, Namespace, RouterState
from netchecks.models.neutron_sending import Sender
from netchecks.models.openflow import FlowTable, OpenFlow
from netchecks.models.openvswitch import OvsBridge, plugged
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
        return Sender(known, table.flows, bridge, str(node)) if bridge is not None and table is not None and table.flows else None

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
        flow = sender.entry(interface.mac)
        ends = sender.leads_to(flow) if flow is not None else {}
        if flow is None or not ends or not interface.vm.runs or interface.node.name == sender.node:
            return None
        if self.end(interface.node) in ends or not self._is_only_at(interface):
            return None
        return flow, next(iter(ends))

    def misanswered(self, sender: Sender, interface: Interface) -> list[tuple[OpenFlow, str]]:
        """Give the flows that answer ARP requests for an instance's addresses with the MAC of another, each with that MAC."""
        if not interface.vm.runs or interface.node.name == sender.node:
            return []
        told = ((sender.answers(address), sender.answers_with(address)) for address in interface.addresses)
        return [(flow, mac) for flow, mac in told if flow is not None and mac not in {"", interface.mac}]

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
        return f"{known.tunnel_bridge} of {node} may itself answer ARP requests (arp_responder)" if may else ""
    flow = Sender(known, table.flows).answers(target) if table is not None else None
    return f"{known.tunnel_bridge} of {node} itself answers ARP requests (table {flow.table}, arp_responder)" if flow else ""
