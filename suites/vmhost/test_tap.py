"""The VM and its tap, a port of the bridge."""

from __future__ import annotations

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.answers import Answer
from netchecks.models.bridges import Bridge, BridgePort, BridgeVlan, FdbEntry, TrafficFilter
from netchecks.models.domains import Domain
from netchecks.models.links import Link as Device
from netchecks.models.subjects import Flow, Interface, Node
from netchecks.models.table import Table
from netchecks.seen import By, note
from netchecks.taps import is_vhost_user, tap_of

#: A bridge hands on frames that are longer than a port's MTU by the length of a VLAN tag (TRAPS, "MTU").
VLAN_TAG = 4
#: What a filter of tc's protocol stops: what flows call it; empty: all. One of another protocol stops no flow.
_STOPS = {"": "", "all": "", "ip": "ipv4", "ipv6": "ipv6", "arp": "arp"}
_STOPPED = {"shut off": "domain.shut_off", "paused": "domain.paused", "crashed": "domain.crashed"}


@pytest.mark.hop("tap", "exists")
def test_vm_is_running(interface: Interface, domains: By[Node, Table[Domain]]) -> None:
    """The VM's domain runs on its node, and has this NIC, plugged in.

    Why: a domain that does not run answers nothing.
    Remedy: platform: virsh start the domain, or correct the inventory where the VM is meant to be elsewhere
    Source: VMmanager knowledge base, "Диагностика сетевых проблем на сервере узла"; virsh(1), domstate, domif-setlink
    """
    vm, node = interface.vm, interface.node
    if not vm.runs:
        return
    if vm.domain not in domains[node]:
        raise Wrong("domain.missing", f"{node}: libvirt has no domain {vm.domain!r}; there are {sorted(domains[node])}")
    domain = domains[node][vm.domain]
    if not domain.runs:
        code = _STOPPED.get(domain.state, "domain.not_running")
        verb = "resume" if domain.state == "paused" else "start"
        raise Wrong(code, f"{node}: domain {vm.domain} is {domain.state}, expected running", remedy=f"virsh {verb} {vm.domain}")
    nic = next((nic for nic in domain.interfaces if nic.mac == interface.mac), None)
    if nic is None:
        macs = sorted(nic.mac for nic in domain.interfaces)
        message = f"{node}: domain {vm.domain} has NICs {macs}, expected {interface.mac}"
        raise Wrong("domain.interface_missing", message, certain=True)  # who answers with another MAC answers all the same
    if nic.link == "down":
        raise Wrong(
            "domain.link_unplugged", f"{node}: the link of {vm.domain}'s NIC {interface.mac} is set down, expected up",
            layer="up", remedy=f"virsh domif-setlink {vm.domain} {interface.mac} up",
        )


@pytest.mark.hop("tap", "up")
def test_tap_is_up(interface: Interface, domains: By[Node, Table[Domain]], links: By[Node, Table[Device]]) -> None:
    """The VM's tap is there, is up, and somebody holds its other end.

    Why: the tap is the only wire between the bridge and the guest.
    Remedy: node administrator: ip link set dev the tap up
    Source: VMmanager knowledge base, "Диагностика сетевых проблем на сервере узла", virsh domiflist
    """
    node, tap = interface.node, tap_of(interface, domains)
    if not tap:
        return
    if tap not in links[node] and is_vhost_user(interface, domains):
        if interface.network.kind == "neutron":
            return  # its own check asks Open vSwitch
        raise NotSeen(Why.NOT_POSSIBLE, f"{node}: {interface}'s NIC is a vhost-user socket ({tap}), which is no device of the node")
    if tap not in links[node]:
        raise Wrong("tap.missing", f"{node}: {interface}'s tap {tap} is not there; there are {sorted(links[node])}", layer="exists")
    device = links[node][tap]
    if not device.up:
        message = f"{node}: {interface}'s tap {tap} is down, expected up"
        raise Wrong("tap.down", message, place=node.name, remedy=f"ip link set dev {tap} up")
    if not device.carrier:
        raise Wrong(
            "guest.interface_down", f"{node}: {interface}'s tap {tap} is up but has no carrier: the guest's end is down",
            hop="guest", owner="guest owner", remedy="set the NIC up inside the guest (ip link set dev eth0 up); see virsh console",
        )


@pytest.mark.kind("switching", "routing", "nova-network")
@pytest.mark.hop("tap", "member")
def test_bridge_has_vm(
    interface: Interface,
    domains: By[Node, Table[Domain]],
    links: By[Node, Table[Device]],
    bridges: By[Node, Table[Bridge]],
    bridge_vlans: By[Node, tuple[BridgeVlan, ...]],
) -> None:
    """The VM's tap is a forwarding port of its network's bridge, in the right VLAN.

    Why: a tap outside the bridge is a wire that ends nowhere.
    Remedy: node administrator: ip link set dev the tap master the bridge
    Source: VMmanager knowledge base, "Коммутация"; OpenStack operations guide, chapter 13, brctl show
    """
    node, tap = interface.node, tap_of(interface, domains)
    bridge = interface.network.at(node).bridge
    if not tap or tap not in links[node] or bridge not in bridges[node]:
        return  # other checks say so
    master, remedy = links[node][tap].master, f"ip link set dev {tap} master {bridge}"
    if master and master != bridge:
        message = f"{node}: {interface}'s tap {tap} is in {master}, expected in {bridge}"
        raise Wrong("tap.in_another_bridge", message, place=node.name, remedy=remedy)
    if tap not in bridges[node][bridge].ports:
        message = f"{node}: {interface}'s tap {tap} is in no bridge, expected in {bridge}"
        raise Wrong("tap.not_in_bridge", message, place=node.name, remedy=remedy)
    port = bridges[node][bridge].ports[tap]
    if port.state != "forwarding" and links[node][tap].up and links[node][tap].carrier:
        message = f"{node}: port {tap} of {bridge} is {port.state}, expected forwarding"
        raise Wrong("tap.not_forwarding", message, place=node.name, layer="forwards", remedy=f"bridge link set dev {tap} state 3")
    uplink = links[node].get(interface.network.at(node).uplink)
    tagged = uplink is not None and uplink.vlan_id == interface.network.vlan  # frames have no tag in the bridge
    if bridges[node][bridge].vlan_filtering and interface.network.vlan and not tagged:
        _has_vlan(interface, tap, bridge_vlans[node])


def _has_vlan(interface: Interface, tap: str, vlans: tuple[BridgeVlan, ...]) -> None:
    wanted = interface.network.vlan or 0
    own = [vlan for vlan in vlans if vlan.device == tap and vlan.first <= wanted <= vlan.last]
    if not any("PVID" in vlan.flags for vlan in own):
        has = sorted({f"{vlan.first}{' PVID' if 'PVID' in vlan.flags else ''}" for vlan in vlans if vlan.device == tap})
        message = f"{interface.node}: {tap} has VLANs {has}, expected {wanted} as PVID"
        raise Wrong("tap.wrong_vlan", message, place=interface.node.name, remedy=f"bridge vlan add vid {wanted} dev {tap} pvid untagged")


@pytest.mark.kind("switching", "nova-network")
@pytest.mark.hop("tap", "forwards")
def test_port_is_not_isolated(interface: Interface, domains: By[Node, Table[Domain]], bridges: By[Node, Table[Bridge]]) -> None:
    """The VM's port and the uplink may exchange frames: not both are isolated.

    Why: a bridge hands nothing from one isolated port to another.
    Remedy: node administrator: bridge link set dev the uplink isolated off
    Source: bridge(8), isolated
    """
    node, end = interface.node, interface.network.at(interface.node)
    port, uplink = (_port(bridges[node], end.bridge, name) for name in (tap_of(interface, domains), end.uplink))
    if port and uplink and port.isolated and uplink.isolated:
        raise Wrong(
            "port.isolated", f"{node}: {port.name} and the uplink {uplink.name} are both isolated ports of {end.bridge}",
            place=node.name, breaks=frozenset({"uplink"}), remedy=f"bridge link set dev {uplink.name} isolated off",
        )


def _port(bridges: Table[Bridge], bridge: str, name: str) -> BridgePort | None:
    return bridges[bridge].ports.get(name) if bridge in bridges else None


@pytest.mark.kind("switching", "nova-network")
@pytest.mark.hop("tap", "forwards")
def test_port_takes_unicast(
    interface: Interface,
    domains: By[Node, Table[Domain]],
    links: By[Node, Table[Device]],
    bridges: By[Node, Table[Bridge]],
    fdb: By[Node, tuple[FdbEntry, ...]],
) -> None:
    """The bridge has a way to hand unicast frames to the VM: it learns, floods, or was told the MAC.

    Why: without any of the three ARP works (broadcast) and nothing else does.
    Remedy: node administrator: bridge link set dev the tap learning on flood on
    Source: bridge(8), learning, flood; libvirt's macTableManager='libvirt' sets both off and the FDB entry itself
    """
    node, bridge = interface.node, interface.network.at(interface.node).bridge
    port = _port(bridges[node], bridge, tap_of(interface, domains))
    if port is None or port.learning is not False or port.flood is not False or not links[node][port.name].carrier:
        return
    if not any(entry.mac == interface.mac and entry.device == port.name for entry in fdb[node]):
        raise Wrong(
            "port.no_unicast", f"{node}: port {port.name} of {bridge} neither learns nor floods, and has no FDB entry for "
            f"{interface.mac}", place=node.name, breaks=frozenset({"unicast"}),
            remedy=f"bridge link set dev {port.name} learning on flood on, or bridge fdb add {interface.mac} dev {port.name} master",
        )


@pytest.mark.kind("switching")
@pytest.mark.flow("icmp", "tcp", "udp", to="vm")
@pytest.mark.hop("tap", "forwards")
def test_port_takes_multicast(
    flow: Flow, answers: By[Flow, Answer], domains: By[Node, Table[Domain]], bridges: By[Node, Table[Bridge]]
) -> None:
    """A VM with IPv6 is on a port that multicast is flooded to; where it is reached from outside all the same, that is a note.

    Why: IPv6 asks for a neighbour by multicast; what the node itself sends is flooded whatever the port's setting.
    Remedy: node administrator: bridge link set dev the tap mcast_flood on
    Source: bridge(8), mcast_flood; Linux net/bridge/br_forward.c, br_flood; RFC 4861 section 7.2
    """
    interface = flow.interface
    assert interface is not None
    node, bridge = interface.node, interface.network.at(interface.node).bridge
    if "ndp" not in flow.needs or flow.source == node:
        return
    came_back = answers[flow].came_back
    port = _port(bridges[node], bridge, tap_of(interface, domains))
    if port and port.mcast_flood is False:
        message = f"{node}: port {port.name} of {bridge} does not get flooded multicast, expected mcast_flood on"
        if came_back:  # the guest has sent something itself, so that its neighbours know its MAC without asking
            note("port.no_multicast_flood", f"{message}; IPv6 works as long as the neighbours remember the VM")
            return
        raise Wrong(
            "port.no_multicast_flood", message, place=node.name, breaks=frozenset({"ndp", "uplink"}),
            remedy=f"bridge link set dev {port.name} mcast_flood on",
        )


@pytest.mark.hop("tap", "policy")
def test_tap_has_no_dropping_filter(
    interface: Interface,
    domains: By[Node, Table[Domain]],
    links: By[Node, Table[Device]],
    traffic_filters: By[Node, tuple[TrafficFilter, ...]],
) -> None:
    """No tc filter or eBPF program at the VM's tap drops everything.

    Why: it acts before the bridge and the firewall, and no firewall tool shows it.
    Remedy: node administrator: tc filter show dev the tap ingress; tc qdisc del dev the tap clsact
    Source: tc(8), tc-bpf(8)
    """
    node, tap = interface.node, tap_of(interface, domains)
    if not tap or tap not in links[node]:
        return
    own = [item for item in traffic_filters[node] if item.device == tap]
    bad = [item for item in own if item.always_drops and item.protocol in _STOPS and not _may_pass_before(item, own)]
    if bad:
        code = "tap.ebpf_drops" if any(item.kind == "bpf" for item in bad) else "tap.filter_drops"
        what = " and ".join(sorted({_STOPS[item.protocol] or "everything" for item in bad}))
        stops = {_STOPS[item.protocol] for item in bad}
        raise Wrong(
            code, f"{node}: {tap} has a filter that drops {what}: {'; '.join(item.raw or item.kind for item in bad)[:200]}",
            place=node.name, breaks=frozenset() if len(stops) > 1 else frozenset(stops - {""}),
            remedy=f"tc filter del dev {tap} {bad[0].direction}, after finding who put it there",
        )


def _may_pass_before(dropping: TrafficFilter, own: list[TrafficFilter]) -> bool:
    """Tell whether a filter that comes first lets some packets through: then the other one ends a list of what is allowed."""
    before = own[:own.index(dropping)]
    return any(item.direction == dropping.direction and not item.always_drops for item in before)


#: What a hybrid plug of Neutron has between the tap and Open vSwitch, by the beginning of the names.
_HYBRID = ("tap", "qvb", "qvo")


@pytest.mark.kind("switching", "nova-network", "neutron")
@pytest.mark.hop("tap", "size")
def test_tap_mtu_fits(interface: Interface, domains: By[Node, Table[Domain]], links: By[Node, Table[Device]]) -> None:
    """The VM's tap carries the network's MTU, and so do the devices of a hybrid plug behind it.

    Why: a bridge drops a frame that is too long for its port without a word to anybody; 4 bytes more still pass one of Linux.
    Remedy: node administrator: ip link set dev the tap mtu the network's
    Source: ip-link(8); Linux net/bridge/br_forward.c, is_skb_forwardable; net/openvswitch/vport.c, ovs_vport_send
    """
    node, tap, wanted = interface.node, tap_of(interface, domains), interface.network.mtu
    by_ovs = interface.network.kind == "neutron"
    hybrid = [f"{begin}{tap[len(_HYBRID[0]):]}" for begin in _HYBRID] if by_ovs and tap.startswith(_HYBRID[0]) else [tap]
    for device in (links[node][name] for name in hybrid if name and name in links[node]):
        if device.mtu is not None and device.mtu + (0 if by_ovs else VLAN_TAG) < wanted:
            raise Wrong(
                "tap.mtu_too_small", f"{node}: {interface}'s tap {device.name} has MTU {device.mtu}, expected {wanted}", place=node.name,
                breaks=frozenset({"full_size"}), remedy=f"ip link set dev {device.name} mtu {wanted}",
            )


@pytest.mark.kind("switching", "routing", "nova-network")
@pytest.mark.hop("tap", "forwards")
def test_bridge_knows_mac(
    interface: Interface,
    domains: By[Node, Table[Domain]],
    links: By[Node, Table[Device]],
    bridges: By[Node, Table[Bridge]],
    fdb: By[Node, tuple[FdbEntry, ...]],
) -> None:
    """The bridge has not learned the VM's MAC at any other port than the VM's own.

    Why: frames for the VM follow the MAC table; a MAC at the wrong port takes them away. An idle MAC ages out: that is fine.
    Remedy: network engineer: find who else sends with this MAC behind that port
    Source: VMmanager knowledge base, "Коммутация"; bridge(8), fdb
    """
    node, tap, bridge = interface.node, tap_of(interface, domains), interface.network.at(interface.node).bridge
    port = _port(bridges[node], bridge, tap)
    if port is None or not bridges[node][bridge].ageing_seconds or port.learning is False or not links[node][tap].carrier:
        return
    entries = [entry for entry in fdb[node] if entry.mac == interface.mac and entry.bridge == bridge and entry.device != tap]
    fixed = next((entry.device for entry in entries if not entry.learned), None)
    if fixed:
        message = f"{node}: a static entry of {bridge} leads {interface}'s MAC {interface.mac} to {fixed}, expected to {tap}"
        remedy = f"bridge fdb del {interface.mac} dev {fixed} master"
        raise Wrong("fdb.static_at_another_port", message, place=node.name, certain=True, owner="node administrator", remedy=remedy)
    elsewhere = sorted({entry.device for entry in entries})
    if elsewhere:
        message = f"{node}: {bridge} has {interface}'s MAC {interface.mac} at {', '.join(elsewhere)}, expected at {tap}"
        raise Wrong("mac.behind_another_port", message, place=node.name, certain=True)
