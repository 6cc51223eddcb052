"""The instance's port on the integration bridge, and what the bridges would do with its packets."""

from __future__ import annotations

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.domains import Domain
from netchecks.models.links import Link as Device
from netchecks.models.neutron import AgentConfig, NeutronNetwork
from netchecks.models.neutron_sides import behind_trunk, is_ovn, is_trunk, local_vlan, trunk_of
from netchecks.models.openflow import FlowTable
from netchecks.models.openvswitch import DEAD_VLAN, OvsBridge, OvsDaemon, OvsPort, plugged
from netchecks.models.ovs_traces import OvsTrace, OvsWay, Step
from netchecks.models.subjects import Interface, Inventory, Node
from netchecks.models.table import Table
from netchecks.platforms.neutron import macs_of, seen_side, seen_tables
from netchecks.platforms.neutron.agents import restart
from netchecks.seen import By
from netchecks.taps import tap_of, uplink_devices

_BREAKS, _IPV6 = frozenset({"switched"}), frozenset({"switched", "ipv6"})
#: Tables of the integration bridge in which what a guest may send is decided: ARP and MAC spoofing, and the Open vSwitch firewall's
#: base table of what leaves (neutron, plugins/ml2/drivers/openvswitch/agent/common/constants.py).
_SPOOFING = frozenset({24, 25, 71})


def _known(interface: Interface) -> NeutronNetwork:
    assert interface.network.neutron is not None
    return interface.network.neutron


@pytest.mark.kind("neutron")
@pytest.mark.hop("tap", "member")
def test_instance_port_is_tagged(
    interface: Interface, inventory: Inventory, domains: By[Node, Table[Domain]], links: By[Node, Table[Device]],
    ovs_bridges: By[Node, Table[OvsBridge]], neutron_configs: By[Node, AgentConfig], openflow_tables: By[Node, Table[FlowTable]],
    ovs_daemons: By[Node, OvsDaemon],
) -> None:
    """The instance's tap, or what stands for it in a hybrid plug, is a port of the integration bridge with its network's local VLAN.

    Why: a port without the tag, or with another, is in another network than it should be; in VLAN 4095 it is in none.
    Remedy: node administrator: restart the OVS agent, which binds its ports again, and look into its log for why it did not
    Source: Neutron document, summary 4 and 5 (tap device, add-port); neutron, agent/common/ovs_lib.py (DEAD_VLAN_TAG)
    """
    node, known = interface.node, _known(interface)
    tap = tap_of(interface, domains)
    if not interface.vm.runs or not tap or known.integration_bridge not in ovs_bridges[node]:
        return  # other checks say so
    integration = ovs_bridges[node][known.integration_bridge]
    if is_ovn(integration):
        return
    found = _at_integration(interface, integration, plugged(interface.mac, tap, ovs_bridges[node]))
    if found is None and links[node].get(tap) is not None and links[node][tap].master:
        return  # a hybrid plug whose Open vSwitch side does not tell the MAC
    if found is None or found[0].name != known.integration_bridge:
        where = f"a port of {found[0].name}" if found else "no port of Open vSwitch"
        bridge = trunk_of(interface.mac, ovs_bridges[node]) or integration
        raise Wrong(
            "tap.not_in_bridge", f"{node}: {interface}'s tap {tap} is {where}, expected one of {bridge.name}", place=node.name,
            breaks=_BREAKS, remedy=f"ovs-vsctl add-port {bridge.name} {tap} with the external_ids of its Neutron port, or "
            "hard-reboot the instance",
        )
    port = found[1]
    side = seen_side(interface.network, node, ovs_bridges, neutron_configs)
    tables = seen_tables(node, side, openflow_tables, ovs_daemons)
    _has_tag(interface, port, local_vlan(side, tables, macs_of(interface.network, node, inventory, without=interface)))


def _at_integration(
    interface: Interface, integration: OvsBridge, found: tuple[OvsBridge, OvsPort] | None,
) -> tuple[OvsBridge, OvsPort] | None:
    """Give the port that stands for the guest's: of a trunk's parent it is the patch port behind which the trunk's bridge is."""
    if found is None or not is_trunk(found[0]):
        return found
    outer = behind_trunk(found[0], integration)
    if outer is None:
        raise Wrong(
            "patch.missing", f"{interface.node}: {interface} is the parent of a trunk, and no pair of patch ports (tpt-..., tpi-...) joins "
            f"its bridge {found[0].name} with {integration.name}", place=interface.node.name, breaks=_BREAKS,
            remedy=f"{restart('openvswitch')}, which wires its trunks anew",
        )
    return integration, outer


def _has_tag(interface: Interface, port: OvsPort, wanted: int | None) -> None:
    node, name = interface.node, port.name
    expected = f"expected {wanted}, {interface.network}'s local VLAN there" if wanted else f"expected the local VLAN of {interface.network}"
    set_it = f"; ovs-vsctl set port {name} tag={wanted}" if wanted else ""
    remedy = f"{restart('openvswitch')}{set_it}"
    if port.tag == DEAD_VLAN:
        raise Wrong(
            "tap.dead_vlan", f"{node}: {interface}'s port {name} has the tag {DEAD_VLAN}: the agent knows nothing of it, and it is in no "
            f"network; {expected}", place=node.name, breaks=_BREAKS,
            remedy=f"openstack port show the port (binding_host_id, status); {remedy}",
        )
    if port.tag is None and not port.trunks:
        raise Wrong(
            "tap.untagged", f"{node}: {interface}'s port {name} has no tag, {expected}", place=node.name, breaks=_BREAKS, remedy=remedy,
        )
    if port.tag is not None and wanted is not None and port.tag != wanted:
        raise Wrong(
            "tap.wrong_tag", f"{node}: {interface}'s port {name} has the tag {port.tag}, {expected}", place=node.name, breaks=_BREAKS,
            remedy=remedy,
        )


@pytest.mark.kind("neutron")
@pytest.mark.hop("tap", "policy")
def test_port_security_lets_instance_send(
    interface: Interface, ovs_ways: By[Interface, OvsWay], ovs_daemons: By[Node, OvsDaemon],
) -> None:
    """No flow against spoofing drops what the instance sends from its own address.

    Why: an address that Neutron does not know of the port is dropped without a word: the instance can neither ask nor answer.
    Remedy: platform: openstack port set the port --fixed-ip or --allowed-address with the instance's address
    Source: Neutron administration guide, port security and allowed address pairs; ovs-vswitchd(8), ofproto/trace
    """
    if not interface.vm.runs or not ovs_daemons[interface.node].answers:
        return
    way, integration = _way(interface, ovs_ways), _known(interface).integration_bridge  # a trunk's parent is on a bridge of its own
    first, second = interface.first_address or interface.first_ipv6, interface.first_ipv6
    for trace, address, breaks in ((way.out, first, _BREAKS), (way.out6, second, _IPV6)):
        step = _dropped(trace) if trace else None
        if step is not None and step.bridge in {"", way.bridge, integration} and step.table in _SPOOFING:
            raise Wrong(
                "port.security_drops", f"{interface.node}: {integration} drops what {interface} sends as {address} ({interface.mac}): "
                f"{step}", place=interface.node.name, breaks=breaks,
            )
    if "out6" in way.failed:
        raise NotSeen(Why.NOT_POSSIBLE, f"{interface.node}: Open vSwitch does not say what becomes of what {interface} sends as {second}")


@pytest.mark.kind("neutron")
@pytest.mark.hop("tap", "service")
def test_bridges_pass_instance(
    interface: Interface, ovs_ways: By[Interface, OvsWay], ovs_daemons: By[Node, OvsDaemon], ovs_bridges: By[Node, Table[OvsBridge]],
) -> None:
    """By Open vSwitch's own word, what the instance sends leaves by the NIC in the network's segment, and what comes there reaches it.

    It comes after everything that has a name: what is wrong here and nowhere else no check knows.
    Why: whatever flows there are, this is what they do.
    Remedy: node administrator: ovs-appctl ofproto/trace as shown here; restart the OVS agent, which writes the flows anew
    Source: ovs-vswitchd(8), ofproto/trace; TRAPS, "Neutron"
    """
    if not interface.vm.runs or not ovs_daemons[interface.node].answers:
        return
    if _known(interface).is_tunnel:
        _leaves_in_tunnel(interface, _way(interface, ovs_ways))
        return
    way, node = _way(interface, ovs_ways), interface.node
    nics = uplink_devices(interface.network, node, ovs_bridges)
    nic = " or ".join(nics)
    if way.out is not None and not way.out.leaves(*nics, vlan=interface.segment):
        raise Wrong(
            "ovs.drops_outbound", f"{node}: an ARP request of {interface} does not leave by {nic} in VLAN {interface.segment or 'none'}: "
            f"{_end(way.out)}", place=node.name, breaks=_BREAKS,
        )
    if way.back is not None and not way.back.leaves(way.port):
        raise Wrong(
            "ovs.drops_inbound", f"{node}: an ARP request for {interface} that comes by {nic} in VLAN {interface.segment or 'none'} does "
            f"not reach {way.port}: {_end(way.back)}", place=node.name, breaks=_BREAKS,
        )


def _way(interface: Interface, ovs_ways: By[Interface, OvsWay]) -> OvsWay:
    """Give what Open vSwitch was asked. Raises NotSeen where there was nothing to ask of: then nothing was judged."""
    way = ovs_ways[interface]
    if way.why:
        raise NotSeen(Why.NOT_POSSIBLE, f"{interface.node}: the way of {interface} cannot be asked for: {way.why}")
    return way


def _leaves_in_tunnel(interface: Interface, way: OvsWay) -> None:
    """Where other nodes have the network, what the instance floods leaves in tunnels; where it has none, other checks say so."""
    key, step = _known(interface).segment, _dropped(way.out) if way.out else None
    others = sorted({str(one.key) for one in (way.out.tunnels() if way.out else ()) if one.key != key})
    if step is not None or others:
        raise Wrong(
            "ovs.drops_outbound", f"{interface.node}: an ARP request of {interface} does not leave in a tunnel with the key {key}: "
            f"{f'it has the key {others[0]}' if others else step}", place=interface.node.name, breaks=_BREAKS,
        )


def _dropped(trace: OvsTrace) -> Step | None:
    """Give the look-up that drops a packet; None where it leaves anywhere."""
    return None if trace.outputs else trace.decided


def _end(trace: OvsTrace) -> str:
    out = ", ".join(f"{one.device or 'a port'}{f' in VLAN {one.vlan}' if one.vlan else ''}" for one in trace.outputs) or "nowhere"
    return f"it leaves by {out}; the last look-up is {trace.last or 'none'}"
