"""What checks of Neutron are called with: subjects of the lab's inventory, and what real tools said of its node1, then changed.

Recorded: Open vSwitch 3.1 on node1 of the lab neutron-vlan, where vm42 (net-a, VLAN 3933, local VLAN 1) and vm43 (net-b) are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import netchecks.observations
import netchecks.platforms
from netchecks.models.openflow import FlowTable
from netchecks.models.openvswitch import OvsBridge, OvsInterface, OvsPort
from netchecks.models.subjects import Flow, Network, Node
from netchecks.models.table import Table
from netchecks.observe import OBSERVATIONS
from netchecks.seen import By
from tests.suites.vmhost.given import UNSEEN, _by, answered, answers, harmless, is_unknown, notes_of, silent, world_of, wrong

assert netchecks.observations.__doc__  # importing them registers facts and platforms
assert netchecks.platforms.__doc__
__all__ = ["UNSEEN", "answered", "answers", "harmless", "is_unknown", "notes_of", "silent", "wrong"]

RECORDED = Path(__file__).parents[3] / "observations"
A, B = "0879fde8-02d6-443a-b370-a5168d81d415", "51c3a1d0-7e0f-4f6e-9a55-2b9d5c1f0b34"
TAP, MAC = "tap4242c9d1-7a", "fa:16:3e:00:00:42"
INVENTORY = f"""
version: 1
defaults: {{network: {{kind: neutron, uplink: eth1, nodes: [net1, node1, node2]}}}}
nodes:
  controller: {{connection: local, roles: [controller]}}
  net1: {{roles: [network]}}
  node[1-2]: {{}}
networks:
  net-a:
    neutron: {{id: {A}, physical_network: physnet1, segmentation_id: 3933}}
    subnets: [{{cidr: 10.19.43.0/24, gateway: 10.19.43.1}}]
    dhcp: {{servers: [{{node: net1, addresses: [10.19.43.2]}}], known_only: true}}
  net-b:
    neutron: {{id: {B}, physical_network: physnet1, segmentation_id: 3934, bridge: br-provider}}
    subnets: [{{cidr: 10.19.44.0/24, gateway: 10.19.44.1}}]
  tenant: {{neutron: {{id: 7d3c1a52-11aa-4c5e-9c41-6d2f0a9be111, type: vxlan, segmentation_id: 70001}}, subnets: [{{cidr: 10.0.0.0/24}}]}}
vms:
  vm42: {{node: node1, tcp: [22], interfaces: [{{network: net-a, mac: "{MAC}", addresses: [10.19.43.142], tap: {TAP}}}]}}
  vm43: {{node: node1, tcp: [22], interfaces: [{{network: net-b, mac: "fa:16:3e:00:00:43", addresses: [10.19.44.143], tap: tap4343d8e2-6b}}]}}
  vm44: {{node: node2, tcp: [22], interfaces: [{{network: net-a, mac: "fa:16:3e:00:00:44", addresses: [10.19.43.144]}}]}}
"""
WORLD = world_of(INVENTORY)
SITE = WORLD.inventory
CONTROLLER, NET1, NODE1, NODE2 = SITE.nodes
NET_A, NET_B, TENANT = SITE.networks
VM42, VM43, VM44 = SITE.interfaces
(SERVER,) = WORLD.dhcp_servers


def flow_of(name: str) -> Flow:
    """Give an implied flow by its name."""
    return next(flow for flow in WORLD.flows if flow.name == name)


def recorded(fact: str, where: str) -> Any:
    return OBSERVATIONS[fact].parse((RECORDED / fact / f"{where}.out").read_text())


def of_node(fact: str, value: Any, node: Node = NODE1) -> By[Any, Any]:
    """Give a fact of a node: a value, a tool's output, or not seen."""
    read = OBSERVATIONS[fact].parse(value) if isinstance(value, str) else value
    return _by(fact, {node.name: (node, read.at(node.name) if isinstance(read, Table) else read)})


def of(fact: str, subject: Any, value: Any) -> By[Any, Any]:
    """Give a fact of any other subject."""
    return _by(fact, {subject.name: (subject, OBSERVATIONS[fact].parse(value) if isinstance(value, str) else value)})


# -- the bridges -----------------------------------------------------------------------------------------------------

Change = Callable[[dict[str, dict[str, OvsPort]]], None]


def bridges(change: Change | None = None) -> Table[OvsBridge]:
    """Give the bridges of node1, after a change of their ports by bridge and name."""
    found: Table[OvsBridge] = recorded("ovs_bridges", "ovs-3.1-neutron")
    ports = {name: dict(bridge.ports) for name, bridge in found.items()}
    if change:
        change(ports)
    made = {name: replace(found.get(name, OvsBridge(name, Table("port", {}))), ports=Table("port", some)) for name, some in ports.items()}
    return Table("bridge of Open vSwitch", made)


def port(name: str, bridge: str = "br-int", **fields: Any) -> Change:
    """Change a port."""
    def change(ports: dict[str, dict[str, OvsPort]]) -> None:
        ports[bridge][name] = replace(ports[bridge][name], **fields)

    return change


def gone(*names: str) -> Change:
    """Take ports, or whole bridges, away."""
    def change(ports: dict[str, dict[str, OvsPort]]) -> None:
        for name in names:
            ports.pop(name, None)
            for some in ports.values():
                some.pop(name, None)

    return change


def added(bridge: str, name: str, kind: str = "", tag: int | None = None, **fields: Any) -> Change:
    """Add a port to a bridge, which is made where it is not there."""
    def change(ports: dict[str, dict[str, OvsPort]]) -> None:
        ports.setdefault(bridge, {})[name] = OvsPort(name, tag, interfaces=(OvsInterface(name, kind, 40 + len(ports), **fields),))

    return change


def both(*changes: Change) -> Change:
    def change(ports: dict[str, dict[str, OvsPort]]) -> None:
        for one in changes:
            one(ports)

    return change


# -- the flows -------------------------------------------------------------------------------------------------------

CURRENT = (RECORDED / "openflow_tables" / "ovs-3.1-current.out").read_text()


def flows(*replaced: tuple[str, str], add: str = "", to: str = "br-int", cookie: str = "0x47776f45af88c3") -> Table[FlowTable]:
    """Give the flows of node1 after texts of them were replaced, and flows added to a bridge."""
    text = CURRENT
    for old, new in replaced:
        assert old in text, old
        text = text.replace(old, new)
    if add:
        text = text.replace(f"@bridge {to}\n", f"@bridge {to}\n cookie={cookie}, duration=1.0s, table=0, n_packets=0, n_bytes=0, {add}\n")
    made: Table[FlowTable] = OBSERVATIONS["openflow_tables"].parse(text)
    return made


ALIVE = of_node("ovs_daemons", "@answers\novs-vswitchd (Open vSwitch) 3.1.0\n")
DEAD = of_node("ovs_daemons", "@silent\novs-appctl: cannot connect (Connection refused)\n")
CONFIG = of_node("neutron_configs", "@file /etc/neutron/plugins/ml2/openvswitch_agent.ini\nbridge_mappings = physnet1:br-provider\n@end\n")


def network_of(name: str) -> Network:
    return next(network for network in SITE.networks if network.name == name)
