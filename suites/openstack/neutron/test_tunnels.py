"""Tenant networks in tunnels (VXLAN, GRE): the tunnel bridge, a tunnel to each other node, the key both ways, the size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.answers import Answer
from netchecks.models.links import Link as Device
from netchecks.models.neutron import AgentConfig, Namespace, NeutronNetwork, RouterState
from netchecks.models.neutron_sides import local_vlan, peer_of
from netchecks.models.openflow import FlowTable, OpenFlow
from netchecks.models.openvswitch import OvsBridge, OvsDaemon, OvsPort, PortCounts
from netchecks.models.ovs_traces import OvsWay
from netchecks.models.routes import InterfaceAddress
from netchecks.models.subjects import Flow, Interface, Inventory, Network, Node, VirtualRouter
from netchecks.models.table import Table
from netchecks.platforms.neutron import macs_of, seen_side, seen_tables
from netchecks.platforms.neutron.agents import restart
from netchecks.platforms.neutron.ends import Seen, answering, has_ports, reached, working
from netchecks.seen import By, Pair

Bridges = By[Node, Table[OvsBridge]]
Configs = By[Node, AgentConfig]
Flows = By[Node, Table[FlowTable]]
Counts = By[Node, Pair[Table[Table[PortCounts]]]]
States = By[VirtualRouter, RouterState]
Spaces = By[VirtualRouter, Namespace]
_BREAKS = frozenset({"switched"})
#: Bytes that a tunnel adds to a packet over IPv4: Ethernet 14, IPv4 20, UDP 8 and VXLAN 8 (RFC 7348); or GRE with a key 8 (RFC 2890).
_ADDS = {"vxlan": 50, "gre": 42}
#: An IPv6 header is so much longer than one of IPv4 (RFC 8200 section 3, RFC 791 section 3.1).
_IPV6_ADDS = 20


def _known(network: Network) -> NeutronNetwork:
    assert network.neutron is not None
    return network.neutron


@pytest.mark.kind("neutron")
@pytest.mark.declares("tunnelled")
@pytest.mark.hop("tunnel", "exists")
@pytest.mark.peers("neutron_configs")
def test_tunnel_is_up(
    network: Network, node: Node, inventory: Inventory, ovs_bridges: Bridges, neutron_configs: Configs, router_states: States,
    snat_namespaces: Spaces,
) -> None:
    """The tunnel bridge is there, joined with the integration bridge, and has a tunnel to each other node of the network.

    Nodes with guests, DHCP agents and routers of it are meant; with l2population, of several agents' router the primary's.
    Why: what leaves the node for an instance on another one goes through a tunnel to that node alone.
    Remedy: node administrator: compare local_ip of both nodes; restart the OVS agent, which makes the tunnels
    Source: Neutron administration guide, Open vSwitch: self-service networks; RFC 7348
    """
    known = _known(network)
    if not has_ports(network, node, inventory, ovs_bridges):
        return
    name, bridges = known.tunnel_bridge, ovs_bridges[node]
    if name not in bridges:
        raise Wrong(
            "tunnel.bridge_missing", f"{node}: there is no bridge {name} of Open vSwitch; there are {sorted(bridges)}", place=node.name,
            breaks=_BREAKS,
        )
    inner = bridges.get(known.integration_bridge)
    if inner is not None and not any(peer_of(port) in inner.ports for port in bridges[name].ports.values() if port.kind == "patch"):
        raise Wrong(
            "patch.missing", f"{node}: {known.integration_bridge} and {name} are not joined by patch ports", place=node.name,
            breaks=_BREAKS, remedy=restart("openvswitch"), layer="member",
        )
    ends = {_option(port, "remote_ip"): port for port in bridges[name].ports.values() if port.kind == known.type}
    peers = reached(network, node, inventory, working(network, router_states, snat_namespaces), neutron_configs)
    known_ends = {peer: config.local_ip for peer, config in neutron_configs.seen().items() if peer in peers}
    missing = [f"{address} ({peer})" for peer, address in known_ends.items() if address and address not in ends]
    if missing:
        shown = ", ".join(sorted(ends)) or "none"
        raise Wrong(
            "tunnel.remote_missing", f"{node}: {name} has {known.type} tunnels to {shown}, expected one to {', '.join(missing)} too",
            place=node.name, breaks=_BREAKS, layer="member",
        )
    _local(node, known, ends.values(), neutron_configs[node].local_ip)
    _all_told(peers, neutron_configs)


def _all_told(peers: Iterable[Node], configs: Configs) -> None:
    """Raise NotSeen where it is not known which end a peer's tunnels have: a tunnel to it may be missing."""
    for peer in peers:
        if not configs[peer].local_ip:
            raise NotSeen(Why.NOT_POSSIBLE, f"{peer}: its agent's configuration ({', '.join(configs[peer].files)}) names no local_ip")


def _option(port: OvsPort, name: str) -> str:
    return port.first.options.get(name, "") if port.first else ""


def _local(node: Node, known: NeutronNetwork, ports: Iterable[OvsPort], local_ip: str) -> None:
    wrong = [port for port in ports if local_ip and _option(port, "local_ip") not in {"", local_ip}]
    if wrong:
        raise Wrong(
            "tunnel.wrong_local", f"{node}: {wrong[0].name} of {known.tunnel_bridge} is sent from {_option(wrong[0], 'local_ip')}, "
            f"expected from {local_ip}, the agent's local_ip", place=node.name, breaks=_BREAKS, layer="address",
        )


@pytest.mark.kind("neutron")
@pytest.mark.declares("tunnelled")
@pytest.mark.hop("tunnel", "forwards")
def test_tunnel_key_is_right(
    network: Network, node: Node, inventory: Inventory, ovs_bridges: Bridges, neutron_configs: Configs, openflow_tables: Flows,
    ovs_daemons: By[Node, OvsDaemon], router_states: States, snat_namespaces: Spaces,
) -> None:
    """The tunnel bridge gives what leaves the network's key, and takes what comes with that key into the local VLAN.

    Where no other node has a port of the network, nothing has to leave.
    Why: with another key a packet is dropped at the other end, or given to another network.
    Remedy: node administrator: restart the OVS agent, which writes the flows anew
    Source: Neutron administration guide, Open vSwitch: self-service networks; RFC 7348
    """
    known = _known(network)
    bridge = ovs_bridges[node].get(known.tunnel_bridge)
    if bridge is None or not has_ports(network, node, inventory, ovs_bridges) or not ovs_daemons[node].answers:
        return
    side = seen_side(network, node, ovs_bridges, neutron_configs)
    tables = seen_tables(node, side, openflow_tables, ovs_daemons)
    if not tables.tunnel.flows:
        raise Wrong("ovs.flows_gone", f"{node}: {bridge.name} has no flows at all, and drops everything", place=node.name, breaks=_BREAKS)
    vlan = local_vlan(side, tables, macs_of(network, node, inventory))
    fixed = [port for port in bridge.ports.values() if port.kind == known.type and _fixed_key(port) not in {None, known.segment}]
    if fixed:
        has = f"{fixed[0].name} of {bridge.name} has the key {_fixed_key(fixed[0])}"
        _wrong(node, "tunnel.wrong_key", f"{has}, expected {known.segment} or flow")
    _comes_in(network, node, tables.tunnel.flows, vlan)
    peers = reached(network, node, inventory, working(network, router_states, snat_namespaces), neutron_configs)
    if vlan is not None:
        _goes_out(network, node, [flow for flow in tables.tunnel.flows if flow.vlan == vlan], bridge, needed=bool(peers))


@pytest.mark.kind("neutron")
@pytest.mark.declares("tunnelled")
@pytest.mark.hop("tunnel", "passes")
def test_tunnel_passes(
    network: Network, node: Node, answers: By[Flow, Answer], ovs_ways: By[Interface, OvsWay], neutron_configs: Configs,
    tunnel_pings: By[Node, Table[bool]], openflow_tables: Flows, ovs_bridges: Bridges, openflow_port_counts: Counts,
) -> None:
    """What goes through the tunnels between a DHCP agent's node and this one arrives.

    It is judged where guests answer at their taps and none of them from there (an ARP request that the bridge there answers itself is no
    answer), and where by Open vSwitch's own word what they send
    leaves in tunnels: then only the way between the nodes is left. Where packets come out at both ends, by what the ports of the
    tunnels count, they are not lost there.
    Why: a firewall on the underlay that lets ping through, and not the tunnels, shows in no state of either node.
    Remedy: network engineer: let UDP port 4789 (VXLAN), IP protocol 47 (GRE) through between the nodes, and look at their firewalls
    Source: RFC 7348 section 4; RFC 2784
    """
    known, seen, told_ways = _known(network), answers.seen(), ovs_ways.seen()
    alive = {one.interface for one, got in seen.items() if got.came_back and _is_at_tap(one, network, node) and _tunnelled(one, told_ways)}
    asked = {one: got for one, got in seen.items() if one.namespace and one.source != node and one.interface in alive}
    sides = Seen(ovs_bridges, neutron_configs, openflow_tables)
    for source in dict.fromkeys(one.source for one in asked):
        back = [one for one, got in asked.items() if one.source == source and got.came_back]
        if any(one.protocol != "arp" or not answering(network, source, one.target, sides) for one in back):
            continue
        ends = neutron_configs[source].local_ip, neutron_configs[node].local_ip
        if not _takes(openflow_tables[node], known) or not _takes(openflow_tables[source], known):
            return  # other checks say so
        there, here = (source, ends[0]), (node, ends[1])
        carried = [_carried(known, ways, ovs_bridges, openflow_port_counts) for ways in ((there, here), (here, there))]
        if any(one is None or (one.put and not one.came) for one in carried):
            told = "".join(f"; {one}" for one in carried if one is not None and one.put)
            _lost_between(network, source, node, ends, pings=tunnel_pings[source].get(ends[1]), told=told)


@dataclass(frozen=True, slots=True)
class _Carried:
    """What a tunnel carried from one node to the other while the probes ran: packets put in, and come out."""

    way: str
    put: int
    came: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.put} packets were put into the tunnel {self.way} in {self.seconds:.1f} s, and {self.came} came out"


def _carried(known: NeutronNetwork, ways: tuple[tuple[Node, str], tuple[Node, str]], bridges: Bridges, counts: Counts) -> _Carried | None:
    """Give what a tunnel carried from the first node to the second, each with its end of the tunnel; None where it was not seen."""
    (begin, local), (end, remote) = ways
    try:
        put = _counted(known, remote, bridges[begin], counts[begin])
        came = _counted(known, local, bridges[end], counts[end])
    except NotSeen:
        return None
    if put is None or came is None:
        return None
    return _Carried(f"from {begin} to {end}", put[0], came[1], counts[begin].seconds)


def _counted(
    known: NeutronNetwork, remote: str, bridges: Table[OvsBridge], pair: Pair[Table[Table[PortCounts]]],
) -> tuple[int, int] | None:
    """Give what the port of a tunnel to that address has sent and received meanwhile; None where there is none, or it does not count."""
    bridge = bridges.get(known.tunnel_bridge)
    ports = [one for one in bridge.ports.values() if one.kind == known.type and _option(one, "remote_ip") == remote] if bridge else []
    port = next(iter(ports), None)
    if port is None or known.tunnel_bridge not in pair.before or known.tunnel_bridge not in pair.after:
        return None
    before, after = (reading[known.tunnel_bridge].get(str(port.number)) for reading in (pair.before, pair.after))
    if before is None or after is None or None in {before.sent, before.received, after.sent, after.received}:
        return None
    return (after.sent or 0) - (before.sent or 0), (after.received or 0) - (before.received or 0)


def _is_at_tap(flow: Flow, network: Network, node: Node) -> bool:
    return flow.network == network and flow.interface is not None and flow.source == node and not flow.namespace


def _tunnelled(flow: Flow, ways: dict[Interface, OvsWay]) -> bool:
    """Tell whether what a guest asks all leaves in tunnels, or gets to the tunnel bridge and is answered there (arp_responder)."""
    way, known = ways.get(flow.interface) if flow.interface else None, _known(flow.network)
    if way is None or way.out is None:
        return False
    return bool(way.out.tunnels()) or any(step.bridge == known.tunnel_bridge and "IN_PORT" in step.actions for step in way.out.steps)


def _takes(tables: Table[FlowTable], known: NeutronNetwork) -> bool:
    """Tell whether a tunnel bridge takes what comes with the network's key."""
    table = tables.get(known.tunnel_bridge)
    return table is not None and any(flow.tunnel == known.segment and flow.sets for flow in table.flows)


def _lost_between(network: Network, source: Node, node: Node, ends: tuple[str, str], *, pings: bool | None, told: str) -> None:
    if pings is None:
        return  # there is no tunnel: another check says so
    kind = _known(network).type
    what = "UDP port 4789" if kind == "vxlan" else "IP protocol 47 (GRE)"
    between = f"{kind} packets of {network} between {source} ({ends[0]}) and {node} ({ends[1]}) are lost on the way{told}"
    ping = "ping between these two addresses"
    if pings:
        raise Wrong(
            "tunnel.filtered", f"{between}, and {ping} passes: {what} is filtered", place=node.name, breaks=_BREAKS,
            owner="network engineer",
            remedy=f"let {what} through between {ends[0]} and {ends[1]}: both nodes' firewalls (iptables -S INPUT), and those on the way",
        )
    raise Wrong(
        "tunnel.underlay_lost", f"{between}, and {ping} is not answered either", place=node.name, breaks=_BREAKS, owner="network engineer",
        remedy=f"on {source}: ip route get {ends[1]}; ping -I {ends[0]} {ends[1]}; look at the underlay's switch ports",
    )


def _fixed_key(port: OvsPort) -> int | None:
    key = _option(port, "out_key") or _option(port, "key")
    return int(key) if key.isdigit() else None


def _comes_in(network: Network, node: Node, flows: tuple[OpenFlow, ...], vlan: int | None) -> None:
    segment, bridge = _known(network).segment, _known(network).tunnel_bridge
    own = [flow for flow in flows if flow.tunnel == segment and flow.sets]
    if not own:
        _wrong(node, "tunnel.inbound_missing", f"{bridge} has no flow that takes {network}'s key {segment} into a local VLAN")
    if vlan is not None and all(flow.sets != vlan for flow in own):
        takes = f"{bridge} takes {network}'s key {segment} into VLAN {own[0].sets}"
        _wrong(node, "tunnel.inbound_wrong_vlan", f"{takes}, expected {vlan}: {own[0]}")


def _goes_out(network: Network, node: Node, flows: list[OpenFlow], bridge: OvsBridge, *, needed: bool) -> None:
    """Judge the flow that floods: it is for all that is not learned, and for all broadcasts. ``flows``: those for the local VLAN.

    ``needed``: another node has a port of the network. Which of those are left out, others judge.
    """
    segment = _known(network).segment
    floods = [flow for flow in flows if flow.sets_tunnel is not None and "dl_dst" not in flow.match]
    if not floods and needed:
        _wrong(node, "tunnel.outbound_missing", f"{bridge.name} has no flow that gives what leaves {network} the key {segment}")
    other = next((flow for flow in floods if flow.sets_tunnel != segment), None)
    if other is not None:
        gives = f"{bridge.name} gives {network}'s VLAN {other.vlan} the key {other.sets_tunnel}"
        _wrong(node, "tunnel.wrong_key", f"{gives}, expected {segment}: {other}")
    ports = {name: port for name, port in bridge.ports.items() if port.kind == _known(network).type}
    reached_ports = {word for flow in floods for word in flow.outputs}
    left_out = sorted(name for name, port in ports.items() if not {name, str(port.number)} & reached_ports)
    if needed and left_out and len(left_out) == len(ports):
        _wrong(node, "tunnel.flood_missing", f"{bridge.name} floods {network} to none of its tunnels ({', '.join(left_out)})")


def _wrong(node: Node, code: str, message: str) -> None:
    raise Wrong(code, f"{node}: {message}", place=node.name, breaks=_BREAKS, remedy=restart("openvswitch"))


@pytest.mark.kind("neutron")
@pytest.mark.declares("tunnelled")
@pytest.mark.hop("tunnel", "size")
def test_tunnel_mtu_fits(
    network: Network, node: Node, neutron_configs: Configs, addresses: By[Node, Table[tuple[InterfaceAddress, ...]]],
    links: By[Node, Table[Device]],
) -> None:
    """The device of the tunnels' own address carries the network's MTU and what a tunnel adds.

    Why: a packet that is too long for the underlay is dropped there without a word to the instance: logins work, transfers hang.
    Remedy: network engineer: raise the MTU of the underlay, or lower that of the network (openstack network set --mtu)
    Source: Neutron administration guide, MTU considerations; RFC 7348 section 4.3
    """
    known = _known(network)
    local_ip = neutron_configs[node].local_ip
    device = next((name for name, some in addresses[node].items() if any(str(one.address.ip) == local_ip for one in some)), "")
    if local_ip and not device:
        raise Wrong(
            "tunnel.local_ip_missing", f"{node}: no device has the agent's local_ip {local_ip}", place=node.name, breaks=_BREAKS,
            layer="address", owner="node administrator", remedy="give it back, or correct local_ip in openvswitch_agent.ini",
        )
    if device not in links[node]:
        return
    adds = _ADDS[known.type] + (_IPV6_ADDS if ":" in local_ip else 0)
    needed, has = network.mtu + adds, links[node][device].mtu
    if has is not None and has < needed:
        raise Wrong(
            "tunnel.mtu_too_small", f"{node}: {device}, which {known.type} tunnels leave by, has MTU {has}, expected at least {needed} for "
            f"{network}'s {network.mtu}", place=node.name, breaks=frozenset({"full_size", "switched"}),
            remedy=f"ip link set dev {device} mtu {needed}, and the same of the switch; or openstack network set --mtu "
            f"{has - adds}",
        )
