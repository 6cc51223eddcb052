"""The bridge of a nova-network on each of its nodes, as nova.conf has it."""

from __future__ import annotations

import pytest

from netchecks.errors import Wrong
from netchecks.models.links import Link as Device
from netchecks.models.nova_network import CLASSES, NovaConfig, NovaRows
from netchecks.models.subjects import Database, Inventory, Network, Node
from netchecks.models.table import Table
from netchecks.seen import By, note

#: What stands in the network's row of ``networks``, and counts where nova.conf does not set the option (linux_net.py, plug).
_ROW = {"flat_network_bridge": "bridge", "flat_interface": "bridge_interface", "vlan_interface": "bridge_interface"}


@pytest.mark.kind("nova-network")
def test_bridge_is_configured(
    network: Network, node: Node, inventory: Inventory, nova_config: By[Node, NovaConfig], nova_rows: By[Database, NovaRows],
) -> None:
    """nova.conf of each node names the network's manager, bridge, flat interface and public interface as they are meant.

    What it does not set is nova's default, or what the network's row in the database has, where that may be looked into. The bridge of
    one network alone stands in nova.conf: of the others on the node only their rows tell theirs.

    Why: nova-network builds the bridge by these when it starts; a node with others has its instances on another wire.
    Remedy: node administrator: correct the option in nova.conf of {node.name}; then restart nova-network there
    Source: OpenStack operations guide, chapter 13; nova/network/manager.py, linux_net.py (options)
    """
    config, nova = nova_config[node], network.nova
    assert nova is not None
    wanted = {name: value for name, value in _wanted(network, node).items() if value}
    given = {name: config.get(name) or _of_row(network, name, nova_rows) for name in wanted}
    if given.get("flat_network_bridge") in _bridges_of_others(network, node, inventory):
        given["flat_network_bridge"] = _of_row(network, "flat_network_bridge", nova_rows)
    wrong = [_differs(config, name, given[name], value) for name, value in wanted.items() if given[name] not in {"", value}]
    if config.manager != nova.manager_class:
        wrong.insert(0, f"network_manager is {config.manager}, expected {nova.manager_class}")
    if wrong:
        raise Wrong("nova.config_differs", f"{node}: in {config.file} {'; '.join(wrong)}", place=node.name)
    if config.multi_host != nova.multi_host:
        note("nova.multi_host_differs", f"{node}: multi_host is {config.multi_host} in {config.file}: networks made from now on differ")


def _bridges_of_others(network: Network, node: Node, inventory: Inventory) -> set[str]:
    """Give the bridges that other networks of nova's have on a node."""
    others = [other for other in inventory.networks if other != network and other.nova is not None]
    return {end.bridge for other in others for end in other.attachments if end.node == node and end.bridge}


def _of_row(network: Network, name: str, nova_rows: By[Database, NovaRows]) -> str:
    """Give what the network's row has for an option; empty where no database is declared or it has no such network."""
    if name not in _ROW or network.database is None:
        return ""
    database = next(database for database in nova_rows if database.network == network)
    prefixes = {str(subnet.prefix) for subnet in network.subnets}
    row = next((row for row in nova_rows[database].networks if row.cidr in prefixes), None)
    return str(getattr(row, _ROW[name])) if row else ""


def _differs(config: NovaConfig, name: str, given: str, wanted: str) -> str:
    if config.set(name) == given:
        return f"{name} is {given}, expected {wanted}"
    whence = f"{_ROW[name]} of the network's row in the database" if name in _ROW else "nova's default"
    has = f"is {config.set(name)}, another network's" if config.set(name) else "is not set"
    return f"{name} {has}, and {whence} is {given}, expected {wanted}"


def _wanted(network: Network, node: Node) -> dict[str, str]:
    """Give what nova.conf has to say; VlanManager's bridges are not in it, but are named by the network's row in the database."""
    end, nova = network.at(node), network.nova
    assert nova is not None
    public = nova.public_interface if nova.multi_host or nova.host == node.name else ""
    if nova.manager == "vlan":
        return {"public_interface": public, "vlan_interface": _parent(end.uplink)}
    device = end.uplink if nova.manager == "flat-dhcp" else ""
    return {"flat_network_bridge": end.bridge, "flat_interface": device, "public_interface": public}


def _parent(uplink: str) -> str:
    """Give the interface that VLAN devices are made on: ``eth1`` of ``eth1.101``; nova names them vlan101, which does not tell."""
    return uplink.partition(".")[0] if "." in uplink else ""


@pytest.mark.kind("nova-network")
@pytest.mark.hop("uplink", "exists")
def test_vlan_has_its_bridge(network: Network, node: Node, links: By[Node, Table[Device]]) -> None:
    """With VlanManager the network's VLAN device is there, has its VLAN and is a port of the network's bridge.

    Why: each project has its bridge and its VLAN; a VLAN device in the bridge of another project mixes the two.
    Remedy: node administrator: restart nova-network on {node.name}, which makes both (ensure_vlan_bridge)
    Source: OpenStack operations guide, chapter 13: a bridge for each VLAN; nova/network/linux_net.py, ensure_vlan_bridge
    """
    end, nova = network.at(node), network.nova
    if nova is None or nova.manager_class != CLASSES["vlan"] or network.vlan is None:
        return
    device = end.uplink or f"vlan{network.vlan}"
    if device not in links[node]:
        raise Wrong("nova.vlan_missing", f"{node}: there is no {device} for VLAN {network.vlan} of {network}", place=node.name)
    found = links[node][device]
    if found.vlan_id != network.vlan:
        has = f"VLAN {found.vlan_id}" if found.vlan_id is not None else "no VLAN"
        raise Wrong("nova.vlan_wrong", f"{node}: {device} has {has}, expected {network.vlan} of {network}", place=node.name)
    if found.master != end.bridge:
        where = f"in {found.master}" if found.master else "in no bridge"
        message = f"{node}: {device} is {where}, expected in {end.bridge} of {network}"
        raise Wrong("nova.vlan_not_in_bridge", message, place=node.name, layer="member")
