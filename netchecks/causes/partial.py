"""What rows of packets show of a flow that failed: by chance, on a way that loses some."""

from __future__ import annotations

from netchecks.cause import cause
from netchecks.errors import Harmless, Wrong
from netchecks.models.answers import Answer, Row
from netchecks.models.rows import dead_ports, is_clean, is_limited, is_lossy, stretch
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


@cause("vmhost.tcp_port_answers")
def guest_limits_connections(flow: Flow, answers: By[Flow, Answer], rows: By[Flow, Row]) -> None:
    """The VM takes only so many connections at a time, and a row of ours used them up: that this one got none says nothing."""
    if answers[flow].outcome != "silent":
        return
    seen = rows.seen()
    for one, row in seen.items():
        if one.interface == flow.interface and one.protocol == "tcp" and is_lossy(row) and is_limited(one, seen):
            raise Harmless(
                "guest.limits_rate", f"{flow.source} to {flow.interface} ({flow.target}): no answer at port {flow.port}, while {row.lost} "
                f"of {len(row.answered)} connections from {one.source} got none either; a limit of the guest's firewall, as others pass",
            )
