"""Where tunnel bridges send a network's packets by what they were told (l2population) or have learned, and what they answer themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netchecks.errors import NotSeen, Wrong
from netchecks.models.answers import Answer
from netchecks.models.neutron import AgentConfig, Namespace, RouterState
from netchecks.models.neutron_sending import Sender
from netchecks.models.openflow import FlowTable, OpenFlow
from netchecks.models.openvswitch import OvsBridge
from netchecks.models.subjects import Flow, Interface, Inventory, Network, Node, VirtualRouter
from netchecks.models.table import Table
from netchecks.platforms.neutron.agents import restart
from netchecks.platforms.neutron.ends import Seen, answering, has_ports, reached, working
from netchecks.platforms.neutron.flows import is_central, router_nodes, routers_of
from netchecks.seen import By, note

Bridges = By[Node, Table[OvsBridge]]
Configs = By[Node, AgentConfig]
Flows = By[Node, Table[FlowTable]]
States = By[VirtualRouter, RouterState]
Spaces = By[VirtualRouter, Namespace]
#: What no flow needs: it is no cause of any, and follows from what is one at the same hop.
_OTHERS = frozenset({"other_senders"})


@pytest.mark.kind("neutron")
@pytest.mark.declares("tunnelled")
@pytest.mark.flow("arp")
@pytest.mark.verdict
def test_arp_answer_comes_from_afar(
    flow: Flow, answers: By[Flow, Answer], openflow_tables: Flows, ovs_bridges: Bridges, neutron_configs: Configs,
) -> None:
    """What answers an ARP request that has to go through a tunnel is at the other end of it, not the tunnel bridge at this one.

    With arp_responder, which kolla-ansible sets and distributed routers need, the bridge answers. That is right, and proves neither the
    way nor the instance: it is a note, and acquits nothing.
    Why: what is answered at once at the sender's own node says nothing of tunnels, and looks as if all of them worked.
    Remedy: node administrator: nothing is wrong; look at what ping, TCP and UDP say
    Source: Neutron configuration reference, openvswitch_agent.ini: arp_responder
    """
    if not flow.namespace or not answers[flow].came_back or not _is_afar(flow):
        return
    said = answering(flow.network, flow.source, flow.target, Seen(ovs_bridges, neutron_configs, openflow_tables))
    if said:
        # the same words for each of them: many instances are one note
        note("neutron.arp_responder", f"{said}: that an instance or gateway on another node is answered for there shows nothing of the way")


def _is_afar(flow: Flow) -> bool:
    """Tell whether what is asked for is on another node."""
    return flow.interface.node != flow.source if flow.interface is not None else flow.source not in router_nodes(flow.network)


@pytest.mark.kind("neutron")
@pytest.mark.declares("tunnelled")
@pytest.mark.flow(to="vm")
@pytest.mark.hop("tunnel", "forwards")
@pytest.mark.peers("ovs_bridges", "neutron_configs", "openflow_tables")
def test_tunnel_leads_to_instance(
    flow: Flow, answers: By[Flow, Answer], openflow_tables: Flows, ovs_bridges: Bridges, neutron_configs: Configs, router_states: States,
) -> None:
    """What goes to an instance that does not answer is sent into the tunnel to its node, by those who ask and by its router.

    Why: after a live migration an agent that missed the message sends to the node where the instance was; the others find it.
    Remedy: node administrator: on the node that sends: restart the OVS agent, which writes the flows anew
    Source: Neutron developer guide, L2 population; neutron, br_tun.py: install_unicast_to_tun, install_flood_to_tun
    """
    interface, answer = flow.interface, answers[flow]
    if interface is None or (answer.came_back and (flow.protocol != "arp" or answer.macs == (interface.mac,))):
        return
    seen = Seen(ovs_bridges, neutron_configs, openflow_tables)
    for node in _senders(flow, router_states):
        sender = seen.sender(flow.network, node) if node != interface.node else None
        if sender is not None:
            _misanswers(seen, sender, [interface], breaks=frozenset({"switched"}))
        if sender is not None and not answer.came_back:
            _sends_elsewhere(flow, interface, seen, sender)


def _sends_elsewhere(flow: Flow, interface: Interface, seen: Seen, sender: Sender) -> None:
    found = seen.stale(sender, interface) if flow.protocol != "arp" else None
    if found is not None:
        _stale(seen, sender, [(interface, *found)], breaks=frozenset({"switched", "unicast"}))
    left_out = sender.left_out({seen.end(interface.node): interface.node})
    known = sender.entry(interface.mac) and sender.answers(flow.target)
    if left_out and not known:
        _left_out(sender, left_out, breaks=frozenset({"switched"}))


def _misanswers(seen: Seen, sender: Sender, interfaces: list[Interface], *, breaks: frozenset[str]) -> None:
    """Judge what the bridge itself answers ARP requests with (arp_responder)."""
    told = [
        f"with {mac} for {one}, expected {one.mac}: {str(flow).partition(' ')[0]}"
        for one in interfaces for flow, mac in seen.misanswered(sender, one)
    ]
    if told:
        raise Wrong(
            "tunnel.stale_entry", f"{sender.node}: {sender.bridge.name} itself answers ARP requests (arp_responder) {'; '.join(told)}",
            place=sender.node, breaks=breaks, remedy=f"on {sender.node}: {restart('openvswitch')}",
        )


def _senders(flow: Flow, states: States) -> Iterator[Node]:
    """Give the nodes that send a flow's packets into tunnels: of who asks from a namespace; of a router in one piece, or the primary."""
    if flow.namespace:
        yield flow.source
    elif flow.translated is not None and not is_central(flow):
        nodes = routers_of(flow)
        primary = {one.node for one, state in states.seen().items() if one.network == flow.network and state.role == "primary"}
        yield from nodes if len(nodes) == 1 else (node for node in nodes if node in primary)


@pytest.mark.kind("neutron")
@pytest.mark.declares("tunnelled")
@pytest.mark.hop("tunnel", "forwards")
@pytest.mark.peers("ovs_bridges", "neutron_configs")
def test_tunnels_lead_to_all(
    network: Network, node: Node, inventory: Inventory, ovs_bridges: Bridges, neutron_configs: Configs, openflow_tables: Flows,
    router_states: States, snat_namespaces: Spaces,
) -> None:
    """The tunnel bridge floods the network to each node that has to hear it, and sends what is for an instance to its node.

    Nodes with guests, DHCP agents and routers of the network have to; where there is none but this one, nothing has to be flooded. What
    it answers ARP requests with itself is the instance's MAC.
    Why: without the flood instances do not get DHCP or find each other; with an old entry what is for one goes where it was.
    Remedy: node administrator: on {node.name}: restart the OVS agent, which writes the flows anew
    Source: Neutron developer guide, L2 population; neutron, br_tun.py: install_unicast_to_tun, install_flood_to_tun
    """
    if not has_ports(network, node, inventory, ovs_bridges):
        return
    seen = Seen(ovs_bridges, neutron_configs, openflow_tables)
    sender = seen.sender(network, node)
    if sender is None:
        return
    peers = reached(network, node, inventory, working(network, router_states, snat_namespaces), neutron_configs)
    ends = {config.local_ip: peer for peer, config in neutron_configs.seen().items() if peer in peers and config.local_ip}
    left_out = sender.left_out(ends)
    if left_out:
        _left_out(sender, left_out, breaks=_OTHERS)
    own = [one for one in inventory.interfaces if one.network == network]
    _misanswers(seen, sender, own, breaks=_OTHERS)
    _fresh(seen, sender, own)
    for peer in peers:
        seen.end(peer)  # a flood to one whose end is not known cannot be told from one that is left out


def _fresh(seen: Seen, sender: Sender, interfaces: list[Interface]) -> None:
    stale, unseen = [], None
    for interface in interfaces:
        try:
            found = seen.stale(sender, interface)
        except NotSeen as reason:
            unseen = reason
            continue
        if found is not None:
            stale.append((interface, *found))
    if stale:
        _stale(seen, sender, stale, breaks=_OTHERS)
    if unseen is not None:
        raise unseen


def _left_out(sender: Sender, left_out: dict[str, Node], *, breaks: frozenset[str]) -> None:
    to = ", ".join(f"{end} ({node})" for end, node in left_out.items())
    raise Wrong(
        "tunnel.flood_missing", f"{sender.node}: {sender.bridge.name} does not flood key {sender.known.segment} to {to}, "
        f"which has ports of the network: {sender.floods[0]}", place=sender.node, breaks=breaks,
        remedy=f"on {sender.node}: {restart('openvswitch')}",
    )


def _stale(seen: Seen, sender: Sender, stale: list[tuple[Interface, OpenFlow, str]], *, breaks: frozenset[str]) -> None:
    told = (
        f"what is for {one.mac} of {one} to {seen.named(end)}, expected to {seen.named(seen.end(one.node))}, where it is: {flow}"
        for one, flow, end in stale
    )
    interface, first, _ = stale[0]
    learned = "hard_timeout=" in first.raw
    forget = f"on {sender.node}: ovs-ofctl del-flows {sender.bridge.name} table={first.table},dl_dst={interface.mac}"
    raise Wrong(
        "tunnel.stale_entry", f"{sender.node}: {sender.bridge.name} sends {'; '.join(told)}", place=sender.node, breaks=breaks,
        remedy=f"{forget}; it was learned, and goes by itself within 300 s" if learned else f"on {sender.node}: {restart('openvswitch')}",
    )
