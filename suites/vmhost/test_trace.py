"""Where on its way a marked packet is lost: looked for at the uplink, at the tap and at the sender at the same time.

What came back went every hop of its way: these checks judge flows without an answer. Before a router sends the packet itself, it
asks for the VM's MAC; where only that question is seen, it is followed instead. Each claims one stretch alone: what does not come
to its beginning breaks nothing on it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.answers import Answer
from netchecks.models.links import Link as Device
from netchecks.models.subjects import Flow, Network, Node
from netchecks.models.table import Table
from netchecks.models.traces import OTHER_UPLINK, Kind, Seen, Sighting, Trace
from netchecks.seen import By
from netchecks.world import end_of

_DROPS = "sender.drops_request"
#: Kinds of network whose VMs are on one segment with their gateway; the nodes of the others route.
_SEGMENTS = frozenset({"switching", "neutron"})
_BACK: tuple[Kind, ...] = ("reply", "error", "told")


@pytest.mark.kind("switching", "routing", "ip-fabric", "neutron")
@pytest.mark.flow("arp", "ndp", "icmp", "tcp", "udp", to="vm", full=False)
@pytest.mark.hop("uplink", "passes")
def test_request_reaches_uplink(
    flow: Flow, answers: By[Flow, Answer], traces: By[Flow, Trace], links: By[Node, Table[Device]],
) -> None:
    """A packet for the VM, or at least the question for its MAC, comes to the uplink of the VM's node.

    Why: what does not come to the uplink is lost before this node, whatever the node does.
    Remedy: network engineer: look at the switch port, the VLAN and the routes towards the VM's node
    Source: VMmanager knowledge base, "Диагностика сетевых проблем на сервере узла", the first of the two results
    """
    node = end_of(flow)
    if answers[flow].came_back or flow.source == node:
        return
    trace = traces[flow]
    if _is_withdrawn(flow, trace, links):
        return
    _left(flow, trace)
    uplink = _entrance(trace, node)
    came = uplink.of("request", "asked")
    if not came:
        _must_have_looked(uplink)
        message = f"{len(trace.sent)} {_named(flow)} left {flow.source}, and none came to {node}'s uplink {uplink.point.device}"
        raise Wrong("upstream.request_lost", message, place=node.name)
    network = _network_at(flow, trace, uplink)
    _is_in_vlan(flow, came, uplink, _tag(network, node, links))
    if network == flow.network:  # outside a router, frames are for the router
        _is_for_the_vm(flow, came, uplink)


def _network_at(flow: Flow, trace: Trace, uplink: Seen) -> Network:
    """Give the network whose frames come by the uplink: before a router that translates it is the one outside."""
    hops = [seen.point.hop for seen in trace.points]
    before = "router" in hops and trace.points.index(uplink) < hops.index("router")
    return flow.external if flow.external is not None and before else flow.network


def _tag(network: Network, node: Node, links: By[Node, Table[Device]]) -> tuple[int, ...]:
    """Give the tag that frames of the network have at the uplink: none where that is the VLAN's own device, which takes it off."""
    vlan = network.segment
    if not vlan:
        return ()
    uplink = links[node].get(network.at(node).uplink)
    return () if uplink is not None and uplink.vlan_id == vlan else (vlan,)


def _is_in_vlan(flow: Flow, came: Sequence[Sighting], uplink: Seen, wanted: tuple[int, ...]) -> None:
    """What comes has the VLAN that is meant."""
    node = end_of(flow)
    tags = {tuple(tag for tag in sighting.vlans if tag) for sighting in came}  # VLAN 0 is a priority alone (IEEE 802.1Q)
    if wanted not in tags:
        where = f"{_named(flow)} come to {node}'s uplink {uplink.point.device}"
        found = ", ".join(sorted(" in ".join(map(str, reversed(tag))) or "without a tag" for tag in tags))
        message = f"{where} in VLAN {found}, expected {wanted[0] if wanted else 'no tag'}"
        raise Wrong("uplink.wrong_vlan", message, place=node.name, certain=True)


def _is_for_the_vm(flow: Flow, came: Sequence[Sighting], uplink: Seen) -> None:
    """What comes has the VM's MAC, where it is for one machine."""
    node, interface = end_of(flow), flow.interface
    assert interface is not None
    where = f"{_named(flow)} come to {node}'s uplink {uplink.point.device}"
    senders = {one.destination: one.source for one in came if one.kind == "request" and not one.through}  # of a tunnel, its ends' MACs
    if flow.network.kind in _SEGMENTS and senders and interface.mac not in senders:
        mac, router = next(iter(senders.items()))
        message = f"{where} for the MAC {mac}, expected for {interface.mac}: their sender {router} remembers another"
        remedy = f"at the one with MAC {router}: clear its neighbour entry of {flow.target} (ip neigh del, clear arp)"
        raise Wrong("gateway.stale_neighbour", message, place=_router(flow), certain=True, remedy=remedy)


def _entrance(trace: Trace, node: Node) -> Seen:
    """Give the uplink, or the other device of a node with several ways in by which the packet came."""
    others = [seen for seen in trace.points if (seen.point.hop, seen.point.place) == (OTHER_UPLINK, node.name) and seen.of("request")]
    uplink = _at(trace, "uplink", node)
    return uplink if uplink.of("request") or not others else others[0]


def _router(flow: Flow) -> str:
    """Name who sends to the VM's MAC: the gateway, or the sender itself where that is on the same network."""
    if any(end.node == flow.source for end in flow.network.attachments):
        return flow.source.name
    found = next((subnet.gateway for subnet in flow.network.subnets if flow.target in subnet.prefix and subnet.gateway), None)
    return str(found) if found else flow.source.name


@pytest.mark.kind("switching", "routing", "ip-fabric", "neutron")
@pytest.mark.flow("arp", "ndp", "icmp", "tcp", "udp", to="vm", full=False)
@pytest.mark.hop("tap", "passes")
def test_request_reaches_tap(
    flow: Flow, answers: By[Flow, Answer], traces: By[Flow, Trace], links: By[Node, Table[Device]],
) -> None:
    """A packet that came to the VM's node, or began there, comes to the VM's tap.

    Why: what is at the uplink and not at the tap is lost on this node: by its bridge, a filter or a program.
    Remedy: node administrator: follow it from the uplink to the tap: bridge fdb show, nft list ruleset, tc filter show
    Source: VMmanager knowledge base, "Диагностика сетевых проблем на сервере узла", tcpdump on the VM's interface
    """
    if answers[flow].came_back:
        return
    node, trace = end_of(flow), traces[flow]
    if _is_withdrawn(flow, trace, links):
        return
    before = _before_tap(flow, trace)
    tap = _at(trace, "tap", node)
    if not before.of(*_forth(flow)) or _passed(flow, before, tap) or not _open(tap, links[node]):
        return
    _must_have_looked(tap)
    kind = "request" if before.of("request") else "asked"
    what = _named(flow) if kind == "request" else f"questions for {flow.target}'s MAC"
    message = f"{node}: {what} are at {before.point.hop} {before.point.device}, and none comes to {flow.interface}'s tap {tap.point.device}"
    raise Wrong("node.drops_request", message, place=node.name)


def _is_withdrawn(flow: Flow, trace: Trace, links: By[Node, Table[Device]]) -> bool:
    """Tell whether nobody is told of the VM: in an IP fabric the route to a tap that does not work goes, and other checks say so."""
    if flow.network.kind != "ip-fabric":
        return False
    tap = _at(trace, "tap", end_of(flow)).point.device
    device = links[end_of(flow)].get(tap)
    return device is None or not (device.up and device.carrier)


def _open(tap: Seen, links: Table[Device]) -> bool:
    """Tell whether the tap has somebody at its other end: a bridge gives nothing to a port without carrier, and other checks say so."""
    device = links.get(tap.point.device)
    return device is None or device.carrier


def _before_tap(flow: Flow, trace: Trace) -> Seen:
    """Give the last point before the tap. Raises NotSeen where nothing was seen there, and it could not be looked."""
    node = end_of(flow)
    if flow.source == node:
        _left(flow, trace)
    before = _at(trace, "sender", node) if flow.source == node else _entrance(trace, node)
    if not before.of(*_forth(flow)):
        _must_have_looked(before)
    return before


def _forth(flow: Flow) -> tuple[Kind, ...]:
    """A question for the VM's MAC that comes to the uplink of a node that routes is the node's to answer."""
    routed = flow.network.kind not in _SEGMENTS and flow.source != end_of(flow)
    return ("request",) if routed else ("request", "asked")


def _passed(flow: Flow, before: Seen, tap: Seen) -> bool:
    """Tell whether what was seen before comes to the tap: the packet, else a question of the same asker.

    A node that routes asks for the VM's MAC itself, and holds the packet until it is told.
    """
    if tap.of("request") or (tap.of("asked") and "asked" not in _forth(flow)):
        return True
    askers = {one.asker for one in before.of("asked")}
    return not before.of("request") and any(one.asker in askers for one in tap.of("asked"))


@pytest.mark.kind("switching", "routing", "ip-fabric", "neutron")
@pytest.mark.flow("arp", "ndp", "icmp", "tcp", to="vm", full=False)
@pytest.mark.hop("guest", "passes")
def test_reply_leaves_tap(flow: Flow, answers: By[Flow, Answer], traces: By[Flow, Trace]) -> None:
    """A guest that the packet was given to answers it.

    Why: what came to the tap and is not answered there is lost inside the guest.
    Remedy: guest owner: look at the guest's firewall, addresses and routes
    Source: VMmanager knowledge base, "Диагностика сетевых проблем на сервере узла", the last of its results
    """
    if answers[flow].came_back:
        return
    trace = traces[flow]
    tap = _at(trace, "tap", end_of(flow))
    if not _answered(tap):
        _must_have_looked(tap)
    if tap.of("request", "asked") and not _answered(tap):
        message = f"{_named(flow)} come to {flow.interface}'s tap {tap.point.device}, and the guest does not answer"
        raise Wrong("guest.does_not_answer", message)


def _answered(tap: Seen) -> bool:
    """A question for the MAC is answered before any packet can be."""
    return bool(tap.of("reply", "error") if tap.of("request") else tap.of("told"))


@pytest.mark.kind("switching", "routing", "ip-fabric", "neutron")
@pytest.mark.flow("arp", "ndp", "icmp", "tcp", to="vm", full=False)
@pytest.mark.hop("tap", "passes")
def test_reply_leaves_node(flow: Flow, answers: By[Flow, Answer], traces: By[Flow, Trace]) -> None:
    """The guest's answer leaves its node by the uplink, or comes to the node itself where that asks.

    Why: an answer that is at the tap and not at the uplink is lost on this node.
    Remedy: node administrator: follow it from the tap to the uplink: bridge fdb show, nft list ruleset, tc filter show
    Source: VMmanager knowledge base, the guest's diagnosis, step 3: lost between the two interfaces
    """
    if answers[flow].came_back:
        return
    node, trace = end_of(flow), traces[flow]
    tap, out = _at(trace, "tap", node), _at(trace, "sender" if flow.source == node else "uplink", node)
    if any(seen.point.hop == OTHER_UPLINK and seen.of("reply", "error") for seen in trace.points):
        return
    came = _BACK[:2] if tap.of(*_BACK[:2]) else _BACK[2:]  # that its MAC was told says nothing of an answer to the packet itself
    # others, such as the node itself, are told by another way
    askers = {one.asker for one in out.of("asked")} if "asked" in _forth(flow) else set()
    back = [one for one in tap.of(*came) if one.kind != "told" or one.asker in askers]
    if not back:
        _must_have_looked(tap)
    if not back or out.of(*{one.kind for one in back}):
        return
    _must_have_looked(out)
    macs = ", ".join(sorted({one.source for one in back}))
    where = f"{out.point.hop} {out.point.device}"
    _has_its_mac(flow, back)
    message = f"{node}: {flow.interface}'s answers are at its tap {tap.point.device} (from {macs}), and none comes to the {where}"
    raise Wrong("node.drops_reply", message, place=node.name)


def _has_its_mac(flow: Flow, answers: Sequence[Sighting]) -> None:
    """What a guest sends with another MAC than it was given is dropped by rules against spoofing, and rightly."""
    interface, macs = flow.interface, sorted({one.source for one in answers})
    assert interface is not None
    if macs and interface.mac not in macs:
        message = f"{interface} answers with the MAC {', '.join(macs)}, expected {interface.mac}; {interface.node} does not let that out"
        remedy = f"set the MAC {interface.mac} inside the guest"
        raise Wrong("guest.wrong_mac", message, place=interface.vm.name, owner="guest owner", remedy=remedy)


@pytest.mark.kind("switching", "routing", "ip-fabric", "neutron")
@pytest.mark.flow("tcp", "udp", to="vm", full=False)
@pytest.mark.hop("tap", "service")
def test_answers_have_right_checksums(flow: Flow, answers: By[Flow, Answer], traces: By[Flow, Trace]) -> None:
    """What a guest answers has the checksum of its TCP or UDP when it leaves, unless the kernel there or a NIC is still to compute it.

    Why: a guest leaves checksums to its NIC; where what stands for that hands packets on as they are, ping works and TCP dies.
    Remedy: node administrator: let the guest compute them itself: ethtool -K its NIC tx off, or no checksum offload for its port
    Source: ethtool(8), --offload; Linux packet(7), TP_STATUS_CSUMNOTREADY; RFC 9293 section 3.1
    """
    if answers[flow].came_back:
        return
    wrong = [seen for seen in traces[flow].points[::-1] if any(one.miscounted for one in seen.of("reply"))]
    if not wrong or flow.interface is None:
        return
    first, vm = wrong[0].point, flow.interface.vm
    what = f"{flow.protocol.upper()} answers of {flow.interface} are at {first.hop} {first.device} with wrong checksums, which nobody takes"
    code, place, owner = "node.checksums_unfinished", first.place, "node administrator"
    if first.hop in {"tap", "guest"}:
        code, place, owner = "guest.checksums_wrong", vm.name, "guest owner"
    raise Wrong(
        code, f"{first.place}: {what}", place=place, owner=owner, breaks=frozenset({flow.protocol}), certain=True,
        remedy=f"inside {vm}: ethtool -K the NIC tx off (checksum offload); on {flow.interface.node}: the offloads of its port and bridge",
    )


@pytest.mark.kind("switching", "routing", "ip-fabric", "neutron")
@pytest.mark.flow("icmp", "tcp", to="vm", full=False)
@pytest.mark.hop("uplink", "passes")
def test_reply_returns(flow: Flow, answers: By[Flow, Answer], traces: By[Flow, Trace]) -> None:
    """An answer that left the VM's node comes to who asked.

    Why: what left the uplink and does not arrive is lost beyond this node.
    Remedy: network engineer: look at the way from the VM's node to the sender, and at its filters
    Source: VMmanager knowledge base, the guest's diagnosis, step 3: visible at both interfaces
    """
    node = end_of(flow)
    if answers[flow].came_back or flow.source == node:
        return
    trace = traces[flow]
    uplink, sender = _at(trace, "uplink", node), _at(trace, "sender", flow.source)
    kinds = tuple(kind for kind in _BACK if kind != "told" and uplink.of(kind))
    if not kinds:
        _must_have_looked(uplink)
    if not kinds or sender.of(*kinds):
        return
    _must_have_looked(sender)
    message = f"{flow.interface}'s answers leave {node} by {uplink.point.device}, and none comes to {flow.source}"
    raise Wrong("upstream.reply_lost", message, place=node.name)


# -- what they share -------------------------------------------------------------------------------------------------


def _named(flow: Flow) -> str:
    """Name a flow's packets."""
    names = {"arp": "ARP requests", "ndp": "neighbour solicitations", "icmp": "pings"}
    named = {"tcp": f"TCP SYNs to port {flow.port}", "udp": f"UDP packets to port {flow.port}"} | names
    return f"{named[flow.protocol]} for {flow.target}"


def _at(trace: Trace, hop: str, node: Node) -> Seen:
    seen = trace.at(hop, node.name)
    if seen is None:
        raise NotSeen(Why.NOT_POSSIBLE, f"the way has no {hop} at {node}")
    return seen


def _must_have_looked(seen: Seen) -> None:
    """That nothing was seen proves nothing where it could not be looked."""
    if seen.unseen is not None:
        raise NotSeen(seen.unseen.why, seen.unseen.detail, cause=seen.unseen.cause)


def _left(flow: Flow, trace: Trace) -> None:
    """The packets really left the sender. Raises NotSeen where none could be sent, Wrong where its own host dropped them."""
    if trace.unsent is not None and trace.unsent.cause != _DROPS:
        raise NotSeen(trace.unsent.why, trace.unsent.detail, cause=trace.unsent.cause)
    sender = _at(trace, "sender", flow.source)
    if not sender.of("request", "asked"):
        _must_have_looked(sender)
        why = f": {trace.unsent.detail}" if trace.unsent else ""
        raise Wrong(
            _DROPS, f"{flow.source}: {_named(flow)} do not leave it by {sender.point.device}{why}", place=flow.source.name,
            hop="sender", owner="node administrator", remedy="look at the sender's own firewall (OUTPUT) and neighbour table",
        )
