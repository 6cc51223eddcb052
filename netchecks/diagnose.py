"""From the failures of a whole run to causes: nothing here knows a fact, a tool or a platform.

For each flow that fails, its hops are walked in the order of the packet. The first failed state that breaks what this
flow needs is the cause; a packet seen beyond a hop acquits it (DESIGN section 5).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from netchecks.models.hops import FOLLOWED, LAYERS, Hop
from netchecks.models.subjects import Flow
from netchecks.world import KINDS, World

Outcome = Literal["passed", "failed", "unknown", "waived", "broken"]
Severity = Literal["cause", "finding", "unseen", "note"]


@dataclass(frozen=True, slots=True)
class Judged:
    """One check on its subjects, and all that its failure or its reason says."""

    nodeid: str
    check: str
    outcome: Outcome
    subjects: tuple[tuple[str, str], ...] = ()
    verdict: bool = False
    claim: str = ""
    message: str = ""
    code: str = ""
    place: str = ""
    owner: str = ""
    remedy: str = ""
    why: str = ""
    source: str = ""
    breaks: frozenset[str] = frozenset()
    hop: str = ""
    layer: str = ""
    certain: bool = False
    readings: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()

    @property
    def packet(self) -> bool:
        """Whether it says what became of packets, not how something is set."""
        return self.verdict or self.layer == FOLLOWED

    @property
    def rank(self) -> int:
        """The place of its layer in the order in which layers are asked for."""
        return LAYERS.index(self.layer) if self.layer in LAYERS else len(LAYERS)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One cause: what it is, where, who acts, and what it explains. Equal causes at many places are one."""

    code: str
    severity: Severity
    sentence: str
    places: tuple[str, ...]
    owner: str
    remedy: str
    confidence: str
    messages: tuple[str, ...]
    explains: tuple[str, ...] = ()
    readings: tuple[tuple[str, str], ...] = ()
    why: str = ""
    source: str = ""


@dataclass(slots=True)
class _Case:
    """One run's failures, and what has been found out about them."""

    world: World
    failed: list[Judged]
    flows: dict[str, Flow]
    verdicts: dict[str, list[Judged]] = field(default_factory=dict)
    passed: list[Flow] = field(default_factory=list)
    causes: dict[str, Judged | None] = field(default_factory=dict)
    consequences: dict[str, set[str]] = field(default_factory=dict)
    states: dict[str, list[Judged]] = field(default_factory=dict)
    acquitted: dict[str, bool] = field(default_factory=dict)


def diagnose(judged: Sequence[Judged], world: World) -> tuple[Diagnosis, ...]:
    """Give the diagnoses of a run, the causes first, those that explain most foremost."""
    case = _case(judged, world)
    explained: dict[str, list[str]] = {}
    lost: list[Diagnosis] = []
    for name, own in case.verdicts.items():
        failures = [verdict for verdict in own if verdict.outcome == "failed"]
        unknown = [verdict for verdict in own if verdict.outcome == "unknown"]
        if not failures and not unknown:
            continue
        cause = _cause_of(case, case.flows[name], (failures or unknown)[0])
        if not failures:
            if cause is not None and cause.outcome == "failed":
                explained.setdefault(cause.nodeid, []).extend(item.nodeid for item in unknown)
            continue
        if cause is None:
            lost.append(_lost(case, case.flows[name], failures[0]))
            cause = failures[0]
            case.consequences.setdefault(cause.nodeid, set())
        explained.setdefault(cause.nodeid, []).extend(failure.nodeid for failure in failures)
    _explain_unknowns(judged, explained)
    lost_ids = {nodeid for diagnosis in lost for nodeid in diagnosis.explains}
    found = [*_causes(case, explained, lost_ids), *lost, *_findings(case, explained), *_unseen(judged, explained), *_notes(judged)]
    return _ordered(_fold(found))


def _explain_unknowns(judged: Sequence[Judged], explained: dict[str, list[str]]) -> None:
    """What could not be judged of a flow whose cause is known follows from that cause."""
    verdicts = {item.nodeid: dict(item.subjects).get("flow") for item in judged if item.verdict}
    cause_of = {verdicts[nodeid]: cause for cause, nodeids in explained.items() for nodeid in nodeids if nodeid in verdicts}
    for item in judged:
        cause = cause_of.get(dict(item.subjects).get("flow", ""))
        if item.outcome == "unknown" and not item.verdict and cause is not None:
            explained[cause].append(item.nodeid)


def _case(judged: Sequence[Judged], world: World) -> _Case:
    case = _Case(world, [item for item in judged if item.outcome == "failed"], {flow.name: flow for flow in world.flows})
    for item in judged:
        name = dict(item.subjects).get("flow")
        if item.verdict and name in case.flows:
            case.verdicts.setdefault(name, []).append(item)
    case.passed = [
        case.flows[name] for name, items in case.verdicts.items()
        if all(item.outcome == "passed" and not item.notes for item in items)  # a note excuses, it proves nothing
    ]
    for item in case.failed:
        if item.hop:
            case.states.setdefault(item.hop, []).append(item)
    return case


def _cause_of(case: _Case, flow: Flow, own: Judged) -> Judged | None:
    """Walk the way; remember what comes after the cause as its consequences."""
    if flow.name in case.causes:
        return case.causes[flow.name]
    case.causes[flow.name] = own  # a flow that is being explained explains itself: no way round in circles
    found: Judged | None = None
    for hop in case.world.hops(flow):
        before: list[Judged] = []
        # what is known of a hop explains more than that a packet did not pass it
        for state in sorted((s for s in case.states.get(hop.name, ()) if _is_at(s, hop)), key=lambda s: (s.packet, s.rank)):
            if found is not None:
                case.consequences.setdefault(found.nodeid, set()).add(state.nodeid)
                continue
            found = _breaks(case, state, flow, own)
            if found is None:
                before.append(state)
            else:
                case.consequences.setdefault(found.nodeid, set()).update(s.nodeid for s in before if s.rank > state.rank)
    if found is None and not own.hop:
        found = own
    case.causes[flow.name] = found
    return found


def _is_at(state: Judged, hop: Hop) -> bool:
    return state.hop == hop.name and set(state.subjects) <= hop.about


def _breaks(case: _Case, state: Judged, flow: Flow, own: Judged) -> Judged | None:
    """Give the cause that a state is or stands for, None where it does not break this flow.

    Another flow's failure counts by its own cause: that of one to the same guest may be this flow's too.
    """
    if not state.breaks <= flow.needs:
        return None
    other = case.flows.get(dict(state.subjects).get("flow", "")) if state.verdict else None
    if other is not None and other != flow and state.hop == own.hop and state.rank >= own.rank:
        return None  # only what comes before on the same hop explains: no two failures explain each other
    if other is not None and other != flow and other.source == flow.source and other.interface == flow.interface is not None:
        return _also(_cause_of(case, other, state), flow, other)  # the same way: what stops the one stops the other
    if _acquitted(case, state):
        return None
    if other is None or other == flow:
        return state
    cause = _cause_of(case, other, state)
    same_guest = flow.interface is not None and other.interface == flow.interface
    return state if cause is state else _also(cause, flow, other) if same_guest else None


def _also(cause: Judged | None, flow: Flow, other: Flow) -> Judged | None:
    """Give another flow's cause if it is this one's too.

    One that was judged for the other's packets alone is, where this flow needs all that the other does: a full-sized ping.
    """
    if cause is None or not cause.breaks <= flow.needs:
        return None
    alone = not cause.verdict and "flow" in dict(cause.subjects)
    return cause if not alone or other.needs <= flow.needs else None


def _acquitted(case: _Case, state: Judged) -> bool:
    """Tell whether a flow that this state would break went through it all the same."""
    if state.certain:
        return False
    if state.nodeid not in case.acquitted:
        case.acquitted[state.nodeid] = any(
            state.breaks <= flow.needs and any(_is_at(state, hop) for hop in case.world.hops(flow))
            for flow in _passing(case, state)
        )
    return case.acquitted[state.nodeid]


def _passing(case: _Case, state: Judged) -> Iterable[Flow]:
    """Only flows that have to do with the state's subjects can have passed it: few of many."""
    passed = {flow.name for flow in case.passed}
    for kind, name in state.subjects:
        if kind == "flow":
            flow = case.flows[name]
            yield from (f for f in case.passed if f.target == flow.target and f.network == flow.network)
            return
        subject = next((s for s in case.world.all(KINDS[kind]) if s.name == name), None)
        if subject is not None:
            yield from (flow for flow in case.world.related(subject, Flow) if flow.name in passed)
    if dict(state.subjects).keys() & {"link"}:
        yield from case.passed


def _lost(case: _Case, flow: Flow, own: Judged) -> Diagnosis:
    """No known state explains it: say between which hops, as far as other flows show it."""
    gone_through = {(hop.name, hop.place) for other in case.passed for hop in case.world.hops(other)}
    way = [hop for hop in case.world.hops(flow) if hop.name not in {"node", "announcer"}]  # places, but no devices on the way
    good = [f"{hop.name} {hop.place}" for hop in way if (hop.name, hop.place) in gone_through]
    bad = [f"{hop.name} {hop.place}" for hop in way if (hop.name, hop.place) not in gone_through]
    where = f"{' and '.join(good[-1:])} and {bad[0]}" if good and bad else " and ".join(f"{h.name} {h.place}" for h in (way[0], way[-1]))
    sentence = f"Packets are lost between {where}; no known state explains it."
    remedy = f"Follow one packet there: {own.remedy}" if own.remedy else "Follow one packet with tcpdump at both."
    return Diagnosis(
        "path.lost", "cause", sentence, (own.place or flow.target.compressed,), own.owner, remedy, "inferred from other flows",
        (own.message,), (own.nodeid,), own.readings, own.why, own.source,
    )


def _causes(case: _Case, explained: dict[str, list[str]], lost: set[str]) -> list[Diagnosis]:
    by_id = {item.nodeid: item for item in case.failed}
    found = []
    for nodeid, flows in explained.items():
        if nodeid in lost:
            continue
        item = by_id[nodeid]
        confidence = _proof(item, "shown by state, and packets do not pass")
        others = sorted(case.consequences.get(nodeid, set()) - set(flows))
        found.append(_diagnosis(item, "cause", confidence, (*flows, *others)))
    return found


def _findings(case: _Case, explained: dict[str, list[str]]) -> list[Diagnosis]:
    """Failures that are no cause and no consequence of one: they stand on their own, below the causes."""
    told = set(explained) | {nodeid for flows in explained.values() for nodeid in flows}
    for nodeid in explained:
        told |= case.consequences.get(nodeid, set())
    rest = sorted((item for item in case.failed if item.nodeid not in told), key=lambda item: (not item.hop, item.rank))
    return [_diagnosis(item, "finding", _proof(item, "shown by state"), (item.nodeid,)) for item in rest]


def _proof(item: Judged, otherwise: str) -> str:
    return "proven by packet" if item.packet else otherwise


def _diagnosis(item: Judged, severity: Severity, confidence: str, explains: tuple[str, ...]) -> Diagnosis:
    return Diagnosis(
        item.code or item.check, severity, item.message, (item.place,) if item.place else (), item.owner, item.remedy,
        confidence, (item.message,), tuple(dict.fromkeys(explains)), item.readings, item.why, item.source,
    )


def _unseen(judged: Sequence[Judged], explained: dict[str, list[str]]) -> list[Diagnosis]:
    """What could not be looked at, by its reason: it explains what could not be judged."""
    told = {nodeid for nodeids in explained.values() for nodeid in nodeids}
    return [
        Diagnosis(
            item.code or "unseen", "unseen", f"Could not look: {item.message}", (item.place,) if item.place else (),
            item.owner, item.remedy, "not looked at", (item.message,), (item.nodeid,), item.readings,
        )
        for item in judged if item.outcome == "unknown" and item.nodeid not in told
    ]


def _notes(judged: Sequence[Judged]) -> list[Diagnosis]:
    return [
        Diagnosis(code, "note", message, (item.place,) if item.place else (), "", "", "seen", (message,), (item.nodeid,))
        for item in judged for code, message in item.notes
    ]


def _fold(found: list[Diagnosis]) -> list[Diagnosis]:
    """One mistake at 300 places is one entry; what could not be seen folds into the failure that says why."""
    folded: dict[tuple[str, str], Diagnosis] = {}
    for item in found:
        key: tuple[str, str] = (item.code, item.severity)
        told = next((k for k, known in folded.items() if k[0] == item.code and set(item.places) <= set(known.places)), None)
        if item.severity == "unseen" and told is not None:
            key = told
        folded[key] = _joined(folded[key], item) if key in folded else item
    return list(folded.values())


def _joined(first: Diagnosis, other: Diagnosis) -> Diagnosis:
    return replace(
        first,
        places=tuple(dict.fromkeys((*first.places, *other.places))),
        messages=tuple(dict.fromkeys((*first.messages, *other.messages))),
        explains=tuple(dict.fromkeys((*first.explains, *other.explains))),
        readings=tuple(dict.fromkeys((*first.readings, *other.readings))),
    )


def _ordered(found: list[Diagnosis]) -> tuple[Diagnosis, ...]:
    order = ("cause", "finding", "unseen", "note")
    return tuple(sorted(found, key=lambda item: (order.index(item.severity), -len(item.explains) if item.severity == "cause" else 0)))
