"""One marked packet at the external host, on the compute node and at the instance, across the translation of floating addresses."""

from __future__ import annotations

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.answers import Answer
from netchecks.models.subjects import Flow, Interface
from netchecks.models.traces import Outbound, Seen, Stretch, Trace
from netchecks.seen import By, note


@pytest.mark.kind("nova-network")
@pytest.mark.flow("arp", "icmp", "tcp", "udp", to="vm", full=False)
@pytest.mark.verdict
@pytest.mark.hop("guest", "passes")
def test_three_point_trace(flow: Flow, answers: By[Flow, Answer], traces: By[Flow, Trace]) -> None:
    """What is sent to an instance comes to its tap, and its answer comes back; where either is lost, the stretch is named.

    On the compute node the packet is seen twice, on its NIC and on its bridge: that is right. An answer to a packet that never came
    to the instance is somebody else's: the node itself answers for a floating address that it does not translate.

    Why: one packet followed at every point shows where it is lost, whatever the rules and tables say.
    Remedy: node administrator: tcpdump -i any -n 'icmp[icmptype] = icmp-echoreply or icmp[icmptype] = icmp-echo' at both ends
    Source: OpenStack operations guide, chapter 13, tcpdump: the external server, the compute node, the instance
    """
    came_back, trace = answers[flow].came_back, traces[flow]
    tap = next((seen for seen in trace.points if seen.point.hop == "tap"), None)
    if tap is None:
        raise NotSeen(Why.NOT_POSSIBLE, f"the way of {flow} has no tap")
    if came_back:
        _is_its_own(flow, trace, tap)
        return
    if trace.unsent is not None:
        raise NotSeen(trace.unsent.why, trace.unsent.detail, cause=trace.unsent.cause)
    lost = trace.lost
    if lost is None:
        unseen = next((seen.unseen for seen in trace.points if seen.unseen is not None), None)
        if trace.answered or flow.protocol == "udp":
            return
        raise unseen or NotSeen(Why.NOT_POSSIBLE, f"{flow}: {trace.said}")
    _named(flow, lost, answers)


@pytest.mark.kind("nova-network")
@pytest.mark.inside
@pytest.mark.hop("translation", "passes")
def test_outbound_leaves_gate(interface: Interface, outbound_traces: By[Interface, Outbound]) -> None:
    """What an instance sends outside and comes to its tap leaves its gate by the public interface.

    Why: the answers to a floating address may come back while what the instance begins itself is dropped on its gate.
    Remedy: node administrator: follow it from the tap to the public interface: iptables-save -c (FORWARD, POSTROUTING), ip route get
    Source: OpenStack operations guide, chapter 13: an instance's ping of an external host, NIC by NIC
    """
    if not interface.vm.runs or not interface.outside:
        return
    for trace in outbound_traces[interface].traces:
        lost = trace.lost
        if lost is not None and lost.forth and lost.after is not None and lost.before is not None and lost.before.point.hop != "guest":
            raise Wrong(
                "node.drops_outbound" if lost.place else "upstream.request_lost", f"{interface}'s pings of {interface.outside[0]}: {lost}",
                place=lost.place or interface.network.name, owner=lost.owner, breaks=frozenset({"outbound"}),
            )
        public = trace.at("public", interface.gate.name)
        if public is not None and public.unseen is not None and not trace.answered:
            raise public.unseen


def _is_its_own(flow: Flow, trace: Trace, tap: Seen) -> None:
    """An answer came: was it the instance's? Only packets to a floating address may be answered by the node in between."""
    if flow.translated is None or tap.unseen is not None or tap.of("request", "reply") or not trace.answered:
        return
    passed = [str(seen.point) for seen in trace.points if seen.of("request")]
    raise Wrong(
        "nova.answered_by_another", f"{flow.target} answers {flow.source}, but nothing of it comes to {flow.interface}'s tap "
        f"{tap.point.device}: another machine or the node itself answers (seen at {', '.join(passed)})", hop="translation", certain=True,
        place=_gate(flow), breaks=frozenset({"floating"}),
    )


def _gate(flow: Flow) -> str:
    return flow.interface.gate.name if flow.interface else flow.source.name


def _named(flow: Flow, lost: Stretch, answers: By[Flow, Answer]) -> None:
    """Say where it is lost: before the node, on it, inside the instance, or on the way back."""
    interface = flow.interface
    assert interface is not None
    what = f"{flow.protocol.upper()}{f' port {flow.port}' if flow.port else ''} from {flow.source} to {flow.target}"
    if lost.after is None:
        if flow.protocol == "icmp" and _port_answers(flow, answers):
            message = f"{interface} answers at {flow.target} port {_port_answers(flow, answers)}, but not ping: it drops ICMP"
            note("guest.drops_icmp", message)
            return
        raise Wrong("guest.does_not_answer", f"{what}: {lost}", place=interface.vm.name, owner="guest owner")
    if lost.before is None:
        raise Wrong("sender.drops_request", f"{what}: {lost}", place=flow.source.name, hop=_first_hop(flow, interface))
    place = lost.place or interface.network.name
    side = "reply" if not lost.forth else "request"
    code = f"node.drops_{side}" if lost.place else f"upstream.{side}_lost"
    raise Wrong(code, f"{what}: {lost}", place=place, hop=_hop(lost, interface.node.name), owner=lost.owner)


def _first_hop(flow: Flow, interface: Interface) -> str:
    """Give the last hop by which a packet leaves its sender: a bridge without a port that has carrier takes nothing."""
    if not any(end.node == flow.source for end in flow.network.attachments):
        return "sender"
    return "bridge" if flow.source == interface.node else "uplink"


def _hop(lost: Stretch, node: str) -> str:
    """Give the hop of the way that stands for a stretch: that of the end which the packet does not pass.

    What is lost within a node is lost by its translation, its rules or its bridge: the last of them there stands for all, so that
    whatever is known to be wrong before comes first.
    """
    assert lost.after is not None
    assert lost.before is not None
    places = {lost.before.point.place, lost.after.point.place}
    if len(places) == 1:
        return "tap" if node in places else "uplink"
    end = lost.after if lost.forth else lost.before
    return end.point.hop if end.point.hop in {"sender", "public", "uplink", "guest"} else "fabric"


def _port_answers(flow: Flow, answers: By[Flow, Answer]) -> int | None:
    """Give a port of the same address that answers the same sender."""
    same = (one for one, answer in answers.seen().items() if one.protocol == "tcp" and answer.came_back)
    return next((one.port for one in same if (one.target, one.source) == (flow.target, flow.source)), None)
