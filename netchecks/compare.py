"""A failing subject beside a sibling: what differs in the facts that its failed check read, without the noise.

The method of operators who have one VM, node or network that works and one that does not. Source: Neutron notes (seeds/001),
"compare with another node, with another network"; CHECKS.md, "Across all".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, is_dataclass
from itertools import groupby
from typing import Any

from netchecks.diagnose import Diagnosis, Judged
from netchecks.errors import NotSeen
from netchecks.facts import Facts, make
from netchecks.models.subjects import Interface, Inventory, Network, Node, Vm
from netchecks.observe import OBSERVATIONS
from netchecks.plan import Plan
from netchecks.record import Record
from netchecks.seen import Pair
from netchecks.siblings import Beside, sibling_of
from netchecks.taps import tap_of
from netchecks.world import Subject, World, complete

#: Fields that differ between any two that are alike: counters, times, numbers that a kernel or daemon deals out.
_NOISE = re.compile(
    r"^(?:.*_)?(?:packets|bytes|errors|dropped|drops|count|counts|hits|age|idle|hard|duration|seconds|since|started|expires|left|pid"
    r"|index|ifindex|cookie|xid|id|uuid|uptime|time|timestamp|lifetime|bridge_id|port_id|designated\w*|number|ofport|promiscuity)$",
)
#: Within texts: counters of rules, ports of OpenFlow's own numbering, then what is somebody's without being known whose.
_TEXT_NOISE = (
    (re.compile(r"\[\d+:\d+\]|\b(?:packets|bytes|n_packets|n_bytes|duration|idle_age|hard_age|cookie)[ =][\w.]+s?,? ?"), ""),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<an id>"),
    (re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b"), "<a MAC>"),
    (re.compile(r"(?!(?:0\.0\.0\.0|127\.0\.0\.1)\b)\b(?:\d{1,3}\.){3}\d{1,3}\b"), "<an address>"),
    (re.compile(r"(?<![\w:])(?:(?:[0-9a-f]{1,4}:){2,7}(?::|[0-9a-f]{1,4}|(?::[0-9a-f]{1,4})+)|[0-9a-f]{1,4}::[0-9a-f:]*)"), "<an address>"),
)
#: What is said of a sibling by the outcome of its check.
VERDICTS = {
    "passed": "which passes this check", "failed": "which fails this check too", "unknown": "of which this check could not be judged",
    "waived": "of which this check is waived", "broken": "of which this check is broken", "": "which was not judged",
}
#: Lines of one fact that are shown on each side, and facts.
LINES, FACTS = 6, 6


@dataclass(frozen=True, slots=True)
class Difference:
    """What one fact says here and not there, and the other way round; each a line without noise, in the words of its fields."""

    fact: str
    here: tuple[str, ...] = ()
    there: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """A failed check beside the same check of a sibling.

    ``outcome``: of the sibling's check, empty where it was not selected. ``same``: facts in which nothing differs.
    ``unseen``: why a fact is not known of both.
    """

    check: str
    subject: str
    sibling: str
    outcome: str
    differing: tuple[Difference, ...] = ()
    same: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


#: Comparisons by the code and the places of their diagnosis.
Comparisons = Mapping[tuple[str, tuple[str, ...]], Comparison]
Row = Mapping[str, Subject]


def compare(
    diagnoses: Iterable[Diagnosis], judged: Sequence[Judged], beside: Sequence[Beside], world: World, seen: Record,
) -> Comparisons:
    """Give for each diagnosis its first failed check that has a sibling, beside that; nothing where none has."""
    if not beside:
        return {}
    outcomes = {(item.check, item.subjects): item.outcome for item in judged}
    failed = [item for item in judged if item.outcome == "failed" and item.subjects]
    facts = _facts(failed, world, seen)
    found: dict[tuple[str, tuple[str, ...]], Comparison] = {}
    for item in diagnoses:
        for check in failed:
            rows = _rows(check, beside, world) if check.code == item.code and check.place in item.places else None
            if rows is not None:
                found[item.code, item.places] = _compared(check, rows, outcomes, world.inventory, facts)
                break
    return found


def _facts(failed: Iterable[Judged], world: World, seen: Record) -> Facts:
    """Give what was recorded, whoever planned it: under xdist the controller plans nothing. Taps are known by libvirt's domains."""
    everything = Plan()
    for fact in {"domains", *(fact for check in failed for fact, _ in check.readings)} & set(OBSERVATIONS):
        everything.add(fact, world.all(OBSERVATIONS[fact].of))
    return make(seen, everything)


def _rows(check: Judged, beside: Sequence[Beside], world: World) -> tuple[Row, Row] | None:
    """Give all subjects of a check, and those of its first sibling."""
    own = {kind: world.named(kind, name) for kind, name in check.subjects}
    for one in beside:
        found = sibling_of(own, one, world)
        if found is not None:
            return complete(own), complete(found)
    return None


def _compared(check: Judged, rows: tuple[Row, Row], outcomes: Mapping[Any, str], inventory: Inventory, facts: Facts) -> Comparison:
    own, other = rows
    beside = tuple((kind, other[kind].name) for kind, _ in check.subjects)
    here, there = (_Words(row, inventory, facts) for row in rows)
    differing: list[Difference] = []
    same: list[str] = []
    unseen: list[str] = []
    for fact, name in check.readings:
        if fact not in OBSERVATIONS:
            continue  # of a probe the outcome counts, and that is the check's own
        counterpart = next((other[kind].name for kind, subject in own.items() if subject.name == name and kind in other), name)
        try:
            values = [facts.by(fact)[facts.plan.facts[fact][one]] for one in (name, counterpart)]
        except (NotSeen, KeyError) as reason:
            unseen.append(str(reason) if isinstance(reason, NotSeen) else f"{fact} of {counterpart} was not looked at")
            continue
        one = difference(fact, here.lines(values[0]), there.lines(values[1]))
        if one.here or one.there:
            differing.append(one)
        else:
            same.append(fact)
    differing.sort(key=lambda one: len(one.here) + len(one.there))
    first = next(kind for kind, _ in check.subjects if own[kind] is not other[kind])
    return Comparison(
        check.check, own[first].name, other[first].name, outcomes.get((check.check, beside), ""),
        tuple(dict.fromkeys(differing)), tuple(dict.fromkeys(same)), tuple(dict.fromkeys(unseen)),
    )


def difference(fact: str, here: Iterable[str], there: Iterable[str]) -> Difference:
    """Give the lines that only one side has, each once, in their order; fields of one thing in one line.

    >>> difference("links", ["[eth0].up = True", "[eth0].mtu = 1500"], ["[eth0].up = True", "[eth0].mtu = 9000", "[eth0].master = br0"])
    Difference(fact='links', here=('[eth0]: mtu = 1500',), there=('[eth0]: mtu = 9000, master = br0',))
    """
    mine, others = dict.fromkeys(here), dict.fromkeys(there)
    left = [line for line in mine if line not in others]
    right = [line for line in others if line not in mine]
    shared = _shared([*left, *right]) if left and right else frozenset()
    return Difference(fact, tuple(_short(left, shared)), tuple(_short(right, shared)))


def _shared(lines: Sequence[str]) -> frozenset[str]:
    """Give the parts that all these lines have: they tell nothing."""
    return frozenset.intersection(*(frozenset(line.split(", ")[1:]) for line in lines))


def _short(lines: Sequence[str], shared: AbstractSet[str]) -> Iterator[str]:
    """Put fields of one thing into one line, without what all lines have."""
    for thing, some in groupby(lines, key=lambda line: line.partition(" = ")[0].rpartition(".")[0]):
        parts = [", ".join(part for part in line.split(", ") if part not in shared) for line in some]
        if not thing or ": " in thing:
            yield from parts
        else:
            yield f"{thing}: {', '.join(part.removeprefix(f'{thing}.') for part in parts)}"


# -- a value as lines that can be compared -----------------------------------------------------------------------------


class _Words:
    """How one side's facts are put into lines: what is its own gets a word that the other side's has too."""

    def __init__(self, row: Row, inventory: Inventory, facts: Facts) -> None:
        own: dict[str, str] = {}
        for subject in row.values():
            own |= {name: f"<its {word}>" for name, word in _known_as(subject, facts) if name}
        others = {name: f"<a {word}>" for subject in _others(inventory) for name, word in _known_as(subject, facts) if name}
        self._words = {**others, **own}
        names = sorted(self._words, key=len, reverse=True)
        self._known = re.compile("|".join(rf"(?<![\w.:-]){re.escape(name)}(?![\w:-]|\.\w)" for name in names)) if names else None

    def lines(self, value: Any) -> list[str]:
        """Give a fact's value as lines: its fields, without noise."""
        return [self._told(line) for line in flat(value)]

    def _told(self, line: str) -> str:
        told = self._known.sub(lambda found: self._words[found[0]], line) if self._known else line
        for pattern, word in _TEXT_NOISE:
            told = pattern.sub(word, told)
        return told


def _others(inventory: Inventory) -> Iterator[Subject]:
    yield from inventory.nodes
    yield from inventory.vms
    yield from inventory.interfaces


def _known_as(subject: Subject, facts: Facts) -> Iterator[tuple[str, str]]:
    """Give the names and addresses by which a subject turns up in facts, with what each is."""
    if isinstance(subject, Node):
        yield from ((subject.name, "node"), (str(subject.connection.address or ""), "address"))
        yield from ((str(address.ip), "address") for link in subject.links for address in link.addresses)
    elif isinstance(subject, Vm):
        yield from ((subject.name, "VM"), (subject.domain, "VM"))
    elif isinstance(subject, Interface):
        yield from ((subject.mac, "MAC"), *((str(address), "address") for address in subject.addresses), (_tap(subject, facts), "tap"))
    elif isinstance(subject, Network):
        yield from ((subject.name, "network"), *((str(subnet.prefix), "subnet") for subnet in subject.subnets))
        yield from ((str(subnet.gateway), "gateway") for subnet in subject.subnets if subnet.gateway)


def _tap(interface: Interface, facts: Facts) -> str:
    try:
        return tap_of(interface, facts.by("domains")) or interface.tap
    except NotSeen:
        return interface.tap


def flat(value: Any, path: str = "") -> Iterator[str]:
    """Give a value as lines: ``field = value``, ``field: one of several``. Leaves out noise, and what no text can tell.

    >>> list(flat({"br0": ("eth0", "vnet1")}, "ports"))
    ['ports[br0]: eth0', 'ports[br0]: vnet1']
    """
    if isinstance(value, (float, bytes, Pair)):
        return
    if is_dataclass(value) and not isinstance(value, type):
        for name in (field.name for field in fields(value) if not _NOISE.match(field.name)):
            yield from flat(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from flat(item, f"{path}[{key}]")
    elif isinstance(value, (Sequence, AbstractSet)) and not isinstance(value, str):
        yield from _several(value, path)
    elif value not in (None, "", False):  # what is not set is told by the side that has it
        yield f"{path} = {value}".removeprefix(" = ")


def _several(items: Iterable[Any], path: str) -> Iterator[str]:
    """Give the members of a sequence or set, each in one line."""
    for item in items:
        parts = list(flat(item))
        if parts:
            yield f"{path}: {', '.join(parts)}".removeprefix(": ")
