"""What was changed lately where something is wrong: without an earlier run it says where to look first. It is no verdict.

Source: TRAPS, "Neutron": what was changed, rebooted, broken, upgraded lately?
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from netchecks.diagnose import Diagnosis
from netchecks.errors import NotSeen
from netchecks.facts import make
from netchecks.models.subjects import Node
from netchecks.plan import Plan
from netchecks.record import Record
from netchecks.world import World

_FACT = "recent_changes"
#: Seconds: a change of before the weekend may have its first effect on Monday.
WINDOW = 3 * 86400.0
#: Changes of one node that are told.
_TOLD = 6
#: Backends whose nodes have no files and no services of their own: what was changed there was changed on another machine.
_OF_ANOTHER = frozenset({"netns"})


def lately(diagnoses: Iterable[Diagnosis], world: World, seen: Record) -> Mapping[str, tuple[str, ...]]:
    """Give by node what was changed on it, of those that causes and findings are at; nothing where it was not looked at."""
    places = {place for item in diagnoses if item.severity in {"cause", "finding"} for place in item.places}
    nodes = [node for node in world.all(Node) if node.name in places and node.connection.backend not in _OF_ANOTHER]
    wanted = Plan()
    wanted.add(_FACT, nodes)
    known = make(seen, wanted).by(_FACT)
    found = {}
    for node in nodes:
        try:
            changes = tuple(known[node].lately(WINDOW))
        except NotSeen:
            continue
        if changes:
            left = len(changes) - _TOLD
            found[node.name] = (*changes[:_TOLD], *([f"and {left} more"] if left > 0 else []))
    return found
