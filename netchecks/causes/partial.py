"""What rows of packets show of a flow that failed: by chance, on a way that loses some."""

from __future__ import annotations

from netchecks.cause import cause
from netchecks.errors import Wrong
from netchecks.models.answers import Answer, Row
from netchecks.models.rows import dead_ports, is_clean, is_lossy, stretch
from netchecks.models.subjects import Flow
from netchecks.seen import By


@cause("vmhost.vm_answers_ping", "vmhost.tcp_port_answers", "vmhost.mtu_is_consistent", "vmhost.udp_port_answers")
def packets_are_lost_now_and_then(flow: Flow, answers: By[Flow, Answer], rows: By[Flow, Row]) -> None:
    """Some of a row of packets to the same VM from the same place are lost: so were those of this flow, by chance."""
    if answers[flow].outcome != "silent" or any(answer.reflected for answer in answers.seen().values()):
        return  # a switch that reflects frames loses some too, and that is told
    seen = rows.seen()
    same = {one: row for one, row in seen.items() if one.interface == flow.interface and one.source == flow.source}
    dead = {one: row for one, row in same.items() if row.ports and dead_ports(row)}
    for one in dead if flow.protocol in {"tcp", "udp"} else ():
        place, where = stretch(one, seen)
        raise Wrong(
            "path.partial_by_port", f"{flow.source} to {flow.interface}: some source ports never get through and others always do, {where}",
            place=place, breaks=frozenset({f"ipv{flow.family}"}), certain=True, owner="network engineer",
            remedy="find the bad member of the bond, LAG or ECMP group there; take it out until it is repaired",
        )
    unclean = not any(is_clean(row) for row in same.values())
    if unclean and any(is_lossy(row) for row in same.values()) and not dead:
        place, where = stretch(next(iter(same)), seen)
        raise Wrong(
            "path.loss", f"{flow.source} to {flow.interface}: packets are lost now and then, {where}", place=place, certain=True,
            owner="network engineer", remedy="mtr along the way, and the error counters of every port on it",
        )
