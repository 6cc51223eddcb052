"""What a trace shows of an instance of nova-network that does not answer ping."""

from __future__ import annotations

from netchecks.cause import cause
from netchecks.errors import Harmless, Wrong
from netchecks.models.answers import Answer
from netchecks.models.subjects import Flow, Interface
from netchecks.models.traces import Outbound, Trace
from netchecks.seen import By


@cause("vmhost.vm_answers_ping")
def instance_drops_icmp(flow: Flow, answers: By[Flow, Answer], traces: By[Flow, Trace]) -> None:
    """The ping comes to the instance, which does not answer it, but a declared port: it drops ICMP. A security group shows before."""
    if flow.translated is None or answers[flow].came_back:
        return
    tap = next((seen for seen in traces[flow].points if seen.point.hop == "tap"), None)
    ports = [one for one, answer in answers.seen().items() if one.protocol == "tcp" and answer.came_back and one.target == flow.target]
    if tap is not None and tap.of("request") and not tap.of("reply", "error") and ports:
        raise Harmless("guest.drops_icmp", f"{flow.interface} answers at {flow.target} port {ports[0].port}, but not ping: it drops ICMP")


@cause("vmhost.guest_reaches_outside")
def gate_keeps_what_the_instance_begins(interface: Interface, outbound_traces: By[Interface, Outbound]) -> None:
    """The instance's pings of the outside come to its tap, and are lost before they leave its gate."""
    if interface.network.nova is None:
        return
    for trace in outbound_traces[interface].traces:
        lost = trace.lost
        if lost is not None and lost.forth and lost.after is not None and lost.before is not None and lost.before.point.hop != "guest":
            raise Wrong(
                "node.drops_outbound" if lost.place else "upstream.request_lost", f"{interface}'s pings of {interface.outside[0]}: {lost}",
                place=lost.place or interface.network.name, owner=lost.owner, breaks=frozenset({"outbound"}), hop="translation",
                layer="passes", remedy="follow it from the tap to the public interface: iptables-save -c (FORWARD, POSTROUTING)",
            )
