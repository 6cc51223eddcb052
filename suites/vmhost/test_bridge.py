"""The bridge and the uplink of a switched network on each of its nodes."""

from __future__ import annotations

import pytest

from netchecks.errors import Wrong
from netchecks.models.bridges import Bridge
from netchecks.models.links import Link as Device
from netchecks.models.subjects import Network, Node
from netchecks.models.table import Table
from netchecks.seen import By, note

#: A bridge hands on frames that are longer than a port's MTU by the length of a VLAN tag (TRAPS, "MTU").
VLAN_TAG = 4
#: Kinds of devices (rtnetlink) that lead out of a node: hardware has none.
_WIRES = frozenset({"", "bond", "team", "vlan"})


@pytest.mark.kind("switching", "routing", "nova-network")
@pytest.mark.hop("bridge", "exists")
def test_bridge_exists(network: Network, node: Node, links: By[Node, Table[Device]]) -> None:
    """The network's bridge is there, and is a bridge.

    Why: the VMs' taps are joined with the outside in it; without it they are not connected to anything.
    Remedy: node administrator: ip link add the bridge and its ports as the boot configuration has them, or restart networking
    Source: VMmanager knowledge base, "Коммутация"; OpenStack operations guide, chapter 13, brctl show
    """
    name = network.at(node).bridge
    if not name:
        return  # where VMs are routed they may have their taps to themselves
    if name not in links[node]:
        raise Wrong(
            "bridge.missing", f"{node}: there is no bridge {name} for network {network}; there are {sorted(links[node])}",
            place=node.name, remedy=f"ip link add name {name} type bridge && ip link set dev {name} up, then put back its ports",
        )
    kind = links[node][name].kind
    if kind != "bridge":
        raise Wrong("bridge.not_a_bridge", f"{node}: {name} is a {kind or 'plain'} device, expected a bridge", place=node.name)


@pytest.mark.kind("switching", "nova-network")
@pytest.mark.hop("uplink", "member")
def test_bridge_has_uplink(network: Network, node: Node, links: By[Node, Table[Device]], bridges: By[Node, Table[Bridge]]) -> None:
    """The network's uplink is a forwarding port of its bridge.

    Why: frames from outside enter the bridge through it; without it the VMs are an island.
    Remedy: node administrator: ip link set dev the uplink master the bridge
    Source: VMmanager knowledge base, "Коммутация"
    """
    end = network.at(node)
    if end.bridge not in bridges[node] or end.uplink not in links[node] or not bridges[node][end.bridge].up:
        return  # other checks say so
    ports = bridges[node][end.bridge].ports
    if end.uplink not in ports:
        other = links[node][end.uplink].master
        where = f"in {other}" if other else "in no bridge"
        raise Wrong(
            "uplink.not_in_bridge", f"{node}: {end.uplink} is {where}; {end.bridge} has ports {sorted(ports)}, expected {end.uplink}",
            place=node.name, remedy=f"ip link set dev {end.uplink} master {end.bridge}",
        )
    state, device = ports[end.uplink].state, links[node][end.uplink]
    if state != "forwarding" and device.up and device.carrier:
        instead = _spare(bridges[node][end.bridge], end.uplink, links[node])
        if instead:
            note("uplink.blocked_by_spanning_tree", f"{node}: {end.bridge} uses {instead}; spanning tree keeps {end.uplink} in reserve")
            return
        raise Wrong(
            "uplink.not_forwarding", f"{node}: port {end.uplink} of {end.bridge} is {state}, expected forwarding",
            place=node.name, layer="forwards",
            remedy=f"bridge link set dev {end.uplink} state 3, after finding who set it (STP? bridge -d link show dev {end.uplink})",
        )


def _spare(bridge: Bridge, uplink: str, links: Table[Device]) -> str:
    """Give the other way out that spanning tree chose: hardware, a bond or a VLAN of one. Empty where there is none."""
    if not bridge.stp or bridge.ports[uplink].state != "blocking":
        return ""
    others = (name for name, port in bridge.ports.items() if port.state == "forwarding" and links[name].kind in _WIRES)
    return next((name for name in others if links[name].carrier), "")


@pytest.mark.kind("switching", "nova-network", "neutron")
@pytest.mark.hop("uplink", "size")
def test_uplink_mtu_fits(network: Network, node: Node, links: By[Node, Table[Device]]) -> None:
    """The uplink carries the network's MTU; what tunnels of a network need of it is judged elsewhere.

    Why: a bridge drops a frame that is too long for its port without a word to anybody; 4 bytes more still pass one of Linux.
    Remedy: node administrator: ip link set dev the uplink mtu the network's
    Source: ip-link(8); Linux net/bridge/br_forward.c, is_skb_forwardable; net/openvswitch/vport.c, ovs_vport_send
    """
    uplink = network.at(node).uplink
    if network.neutron is not None and network.neutron.is_tunnel:
        return
    if uplink in links[node] and _small(links[node][uplink], network):
        raise Wrong(
            "uplink.mtu_too_small", f"{node}: {uplink} has MTU {links[node][uplink].mtu}, expected {network.mtu}", place=node.name,
            breaks=frozenset({"full_size"}), remedy=f"ip link set dev {uplink} mtu {network.mtu}",
        )


@pytest.mark.kind("switching", "nova-network")
@pytest.mark.hop("bridge", "size")
def test_bridge_mtu_fits(network: Network, node: Node, links: By[Node, Table[Device]]) -> None:
    """The bridge carries the network's MTU; unless somebody set it, it has that of its smallest port.

    Why: what the node itself sends by the bridge is cut to this size, and packets for others that are longer are lost.
    Remedy: node administrator: ip link set dev the smallest port mtu the network's
    Source: Linux net/bridge/br_if.c, br_mtu_auto_adjust
    """
    bridge = network.at(node).bridge
    if bridge not in links[node] or not _small(links[node][bridge], network):
        return
    mtu = links[node][bridge].mtu
    ports = [device.name for device in links[node].values() if device.master == bridge and device.mtu == mtu]
    taps = [port for port in ports if port != network.at(node).uplink]
    device = next(iter(taps or ports), bridge)
    code = "tap.mtu_too_small" if taps else "uplink.mtu_too_small" if ports else "bridge.mtu_too_small"
    because = f", the MTU of its port {', '.join(ports)}" if ports else ""
    raise Wrong(
        code, f"{node}: {bridge} has MTU {mtu}{because}, expected {network.mtu}", place=node.name,
        breaks=frozenset({"full_size", "own_bridge"}), remedy=f"ip link set dev {device} mtu {network.mtu}",
    )


def _small(device: Device, network: Network) -> bool:
    return device.mtu is not None and device.mtu + (0 if network.kind == "neutron" else VLAN_TAG) < network.mtu
