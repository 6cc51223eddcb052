"""What rows of packets show: chance, a limit of the answering side, a part of the way that is bad."""

from __future__ import annotations

from collections.abc import Mapping

from netchecks.models.answers import Row
from netchecks.models.subjects import Flow, Node

#: So many of a row have to be lost: of 40 with one in a hundred lost, four are lost once in 3000 rows; of a fifth, nearly always.
LOST = 4
#: So many may be lost of a row that is to show that a way is good.
SPARE = 1
#: Ports of 16 that have to be dead, and alive, before it is no chance: a fifth lost kills all three tries of a port once in 125.
PORTS = 3
#: From the first loss on, a limit of the answering side ("5 a second") loses at least this share; a bad hop hardly.
LIMITED = 0.45


def is_clean(row: Row) -> bool:
    """Tell whether as good as nothing is lost: of a way that loses a fifth, once in 700 rows of 40."""
    return row.lost <= SPARE


def is_lossy(row: Row) -> bool:
    """Tell whether some are lost and some are not, by more than chance."""
    return LOST <= row.lost < len(row.answered)


def dead_ports(row: Row) -> tuple[int, ...]:
    """Give the ports from which nothing passes, where from others everything does; empty where that may be chance."""
    tried = row.by_port
    dead = tuple(port for port, answered in tried.items() if not any(answered))
    alive = [port for port, answered in tried.items() if all(answered)]
    mixed = len(tried) - len(dead) - len(alive)
    return dead if len(dead) >= PORTS and len(alive) >= PORTS and mixed <= 1 else ()


def looks_limited(row: Row) -> bool:
    """Tell whether the first come back and most later ones do not: as a firewall's rate limit has it."""
    if all(row.answered) or not row.answered[0]:
        return False
    tail = row.answered[row.answered.index(False):]
    return tail.count(False) >= LIMITED * len(tail)


def is_limited(flow: Flow, rows: Mapping[Flow, Row]) -> bool:
    """Tell whether the answering side takes only so many packets of a lossy row's protocol: those of another one all pass."""
    same = (row for one, row in rows.items() if one.interface == flow.interface and one.source == flow.source and one != flow)
    other = next(same, None)
    return is_clean(other) if other is not None else looks_limited(rows[flow])


def stretch(flow: Flow, rows: Mapping[Flow, Row]) -> tuple[str, str]:
    """Say where on a bad flow's way packets are lost, by what other rows of its protocol show: the place, and words for it."""
    return bad_stretch(flow, {one: not is_clean(row) for one, row in rows.items()})


def bad_stretch(flow: Flow, bad_ones: Mapping[Flow, bool]) -> tuple[str, str]:
    """Say where on a bad flow's way it is bad, by whether other flows of its protocol are: the place, and words for it."""
    interface = flow.interface
    assert interface is not None
    node, kin = interface.node, {one: bad for one, bad in bad_ones.items() if one.protocol == flow.protocol and one.interface}
    inside = [bad for one, bad in kin.items() if one.source == node and one.interface == interface]
    beside = [bad for one, bad in kin.items() if one.source == flow.source and _node_of(one) == node and one.interface != interface]
    away = [bad for one, bad in kin.items() if one.source == flow.source and _node_of(one) != node]
    if flow.source == node or any(inside):
        if beside and all(beside):
            return node.name, f"between {node} and its VMs"
        return interface.vm.name, f"between {node} and the guest"
    if beside and not any(beside):
        return interface.vm.name, f"on the way of this VM alone; other VMs of {node} are reached"
    if away and all(away):
        return flow.network.name, f"on the way from {flow.source} into {flow.network}, before its nodes"
    return node.name, f"between the fabric and {node}'s bridge: at its uplink, or the switch port of that"


def _node_of(flow: Flow) -> Node | None:
    return flow.interface.node if flow.interface else None
