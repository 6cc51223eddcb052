"""What checks of Neutron share: a node's side of a network, and its flows."""

from __future__ import annotations

from dataclasses import dataclass

from netchecks.errors import NotSeen
from netchecks.models.neutron import AgentConfig
from netchecks.models.neutron_sides import Side, Tables, local_vlan, side_of, tables_of
from netchecks.models.openflow import FlowTable
from netchecks.models.openvswitch import DEAD_VLAN, OvsBridge, OvsDaemon, plugged
from netchecks.models.subjects import Interface, Inventory, Network, Node
from netchecks.models.table import Table
from netchecks.seen import By


def seen_side(network: Network, node: Node, bridges: By[Node, Table[OvsBridge]], configs: By[Node, AgentConfig]) -> Side:
    """Give the node's side of a network; where the agent's configuration could not be seen, by what is there."""
    assert network.neutron is not None
    try:
        config = configs[node]
    except NotSeen:
        config = None
    uplink = next((end.uplink for end in network.attachments if end.node == node), "")
    return side_of(network.neutron, uplink, config, bridges[node])


def macs_of(network: Network, node: Node, inventory: Inventory, *, without: Interface | None = None) -> list[str]:
    """Give the MACs of the network's guests on a node; ``without`` the one whose port is in question."""
    return [one.mac for one in inventory.interfaces if one.network == network and one.node == node and one != without]


def seen_tables(node: Node, side: Side, flows: By[Node, Table[FlowTable]], daemons: By[Node, OvsDaemon]) -> Tables:
    """Give the flows of a side; none where the daemon that would tell them is dead: another check says so."""
    return tables_of(side, flows[node] if daemons[node].answers else Table("bridge", {}))


@dataclass(frozen=True, slots=True)
class Plugs:
    """What tells whether a port of a namespace is where it has to be."""

    inventory: Inventory
    bridges: By[Node, Table[OvsBridge]]
    configs: By[Node, AgentConfig]
    tables: By[Node, Table[FlowTable]]
    daemons: By[Node, OvsDaemon]

    def wrong(self, node: Node, device: tuple[str, str], network: Network | None, *, outer: bool = False) -> tuple[str, str] | None:
        """Give the code and the words of what is wrong with a port (its name and MAC) of a network; None: nothing is.

        Of a network that the inventory does not have any tag is right. ``outer``: it is of an external network, which the agent may have
        in a bridge of its own (external_network_bridge, before Pike).
        """
        name, mac = device
        plug = plugged(mac, name, self.bridges[node])
        known = network.neutron if network is not None else None
        bridge = known.integration_bridge if known is not None else "br-int"
        if plug is not None and outer and plug[0].name != bridge:
            return None
        if plug is None or plug[0].name != bridge:
            return "router.port_not_in_bridge", f"is no port of {bridge}"
        wanted = self._local(node, network) if network is not None and known is not None else None
        tag = plug[1].tag
        if tag is not None and tag != DEAD_VLAN and tag == (wanted or tag):
            return None
        code = "router.port_untagged" if tag is None else "router.port_dead_vlan" if tag == DEAD_VLAN else "router.port_wrong_tag"
        return code, f"has the tag {tag or 'none'}, expected {wanted or 'the local VLAN'} of {network or 'the external network'}"

    def _local(self, node: Node, network: Network) -> int | None:
        side = seen_side(network, node, self.bridges, self.configs)
        return local_vlan(side, seen_tables(node, side, self.tables, self.daemons), macs_of(network, node, self.inventory))
