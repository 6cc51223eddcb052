"""What a trace shows of an instance of nova-network that does not answer ping."""

from __future__ import annotations

from netchecks.cause import cause
from netchecks.errors import Harmless
from netchecks.models.answers import Answer
from netchecks.models.subjects import Flow
from netchecks.models.traces import Trace
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
