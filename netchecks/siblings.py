"""Who stands beside a check's subjects for comparison: the same check of another node, another network, another VM."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netchecks.models.subjects import Access, Database, DhcpServer, Flow, Interface, Link, Network, Node, VirtualRouter, Vm
from netchecks.world import KINDS, Subject, World, complete

#: What a user names to compare with.
Beside = Node | Network | Vm


def sibling_of(row: Mapping[str, Subject], beside: Beside, world: World) -> dict[str, Subject] | None:
    """Give the subjects of the same check beside another node, network or VM; None where there are none, or they are the same."""
    found = {kind: _counterpart(subject, beside, world) for kind, subject in row.items()}
    known = {kind: subject for kind, subject in found.items() if subject is not None}
    same = all(known.get(kind) is subject for kind, subject in row.items())
    return None if same or len(known) < len(row) or not _fits(known) else known


def with_siblings(
    chosen: list[dict[str, Subject]], rows: list[dict[str, Subject]], beside: Sequence[Beside], world: World,
) -> list[dict[str, Subject]]:
    """Add to the rows of a check that are chosen those that they shall be compared with, of all that it has, in their order."""
    wanted = [found for row in chosen for one in beside if (found := sibling_of(row, one, world)) is not None]
    return [row for row in rows if row in chosen or row in wanted] if wanted else chosen


def _fits(row: Mapping[str, Subject]) -> bool:
    """Tell whether the subjects have to do with each other, as those of a check do."""
    finest = next(kind for kind in KINDS if kind in row)
    if finest == "network":
        node, network = row.get("node"), row["network"]
        assert isinstance(network, Network)
        return node is None or any(end.node is node for end in network.attachments)
    full = complete({finest: row[finest]})
    return all(full.get(kind) is subject for kind, subject in row.items())


def _counterpart(subject: Subject, beside: Beside, world: World) -> Subject | None:
    if isinstance(subject, Node):
        return _node(subject, beside)
    if isinstance(subject, Network):
        return beside if isinstance(beside, Network) else subject
    if isinstance(subject, Vm):
        return next((one.vm for one in _interfaces(subject, None, beside, world)), None)
    if isinstance(subject, Interface):
        return next(iter(_interfaces(subject.vm, subject.network, beside, world)), None)
    return _first(subject, beside, world)


def _node(node: Node, beside: Beside) -> Node | None:
    if isinstance(beside, Node):
        return beside
    return beside.node if isinstance(beside, Vm) else node


def _interfaces(vm: Vm, network: Network | None, beside: Beside, world: World) -> list[Interface]:
    """Give the interfaces beside one of a VM: of another VM that runs, on its network (any of its own where None), or the named one."""
    own = {network} if network else {one.network for one in world.inventory.interfaces if one.vm is vm}
    wanted = {beside} if isinstance(beside, Network) else own
    found = [one for one in world.inventory.interfaces if one.network in wanted and one.vm.runs]
    if isinstance(beside, Network):  # best the same VM's other interface, else another one of its node, else any
        return sorted(found, key=lambda one: (one.vm is not vm, one.node is not vm.node))
    others = [one for one in found if one.vm is not vm]
    return [one for one in others if one.vm is beside or one.node is beside]


def _first(subject: Flow | Link | Access | DhcpServer | VirtualRouter | Database, beside: Beside, world: World) -> Subject | None:
    """Give the first subject of the same type that is what this one is, but beside."""
    wanted = _like(subject, beside, world)
    if wanted is None or wanted == _traits(subject):
        return None
    found = [one for one in world.all(type(subject)) if _traits(one) == wanted]
    return next((one for one in found if getattr(one, "device", "") == getattr(subject, "device", "")), next(iter(found), None))


def _traits(subject: Any) -> tuple[Any, ...]:
    if isinstance(subject, Flow):
        asked = subject.interface or subject.network
        return (subject.protocol, subject.family, subject.port, subject.size, subject.source, asked)
    if isinstance(subject, Link):
        return (subject.node, subject.role, subject.device if subject.role == "declared" else "")
    if isinstance(subject, Database):
        return (subject.network,)  # it is asked from this machine: no node of the inventory is its own
    return (subject.source, subject.node) if isinstance(subject, Access) else (subject.network, subject.node)


def _like(subject: Flow | Link | Access | DhcpServer | VirtualRouter | Database, beside: Beside, world: World) -> tuple[Any, ...] | None:
    if isinstance(subject, Flow):
        return _flow_like(subject, beside, world)
    found = tuple(one if _stays(subject, one) else _counterpart(one, beside, world) for one in _traits(subject))
    return None if None in found else found


def _stays(subject: Any, trait: Any) -> bool:
    """Tell what a counterpart has too: who asks, and what is no subject."""
    return not isinstance(trait, (Node, Network)) or (isinstance(subject, Access) and trait is subject.source)


def _flow_like(flow: Flow, beside: Beside, world: World) -> tuple[Any, ...] | None:
    """Who asks stays the same, unless it is the VM's own node, or is what a flow to a gateway is about."""
    asked = _counterpart(flow.interface or flow.network, beside, world)
    if asked is None:
        return None
    source: Subject | None = flow.source
    if flow.interface is None:
        source = _node(flow.source, beside)
    elif flow.source is flow.interface.node and isinstance(asked, Interface):
        source = asked.node
    return (flow.protocol, flow.family, flow.port, flow.size, source, asked)
