"""From the checks that are left to what has to be looked at: nothing here knows a fact, a tool or a platform."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from netchecks.cause import CAUSES, CauseRule
from netchecks.models.subjects import Flow, Interface, Link, Network, Node, Place, Vm
from netchecks.observe import OBSERVATIONS, Command, Observation, Way
from netchecks.probe import PROBES, Probe
from netchecks.script import Alternative, Job
from netchecks.world import KINDS, Subject, World, place_of

#: A cause that looks at a network's other nodes does so on networks of up to this many.
MAX_PEERS = 16

_WHOLE = re.compile(r"\{(\w+)\.(\w+)\}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One selected check on its subjects: its id, the names of all its parameters, and those of facts that it wants of peers too."""

    check: str
    row: Mapping[str, Subject]
    names: frozenset[str]
    peers: frozenset[str] = frozenset()


@dataclass(slots=True, repr=False)
class Plan:
    """What to look at: by fact the subjects by name, in the order of the inventory."""

    facts: dict[str, dict[str, Subject]] = field(default_factory=dict)

    def add(self, fact: str, subjects: Iterable[Subject]) -> None:
        """Want a fact of these subjects."""
        known = self.facts.setdefault(fact, {})
        for subject in subjects:
            known.setdefault(subject.name, subject)


def is_fact(name: str) -> bool:
    """Tell whether a parameter's name is one of ours."""
    return name in OBSERVATIONS or name in PROBES


def make(wanted: Iterable[Wanted], world: World) -> Plan:
    """Give the facts that the checks, their causes and their probes need."""
    plan = Plan()
    for want in wanted:
        for fact in want.names:
            if is_fact(fact):
                _want(plan, world, fact, want.row, peers=fact in want.peers)
        for cause in _causes(want):
            for fact in cause.needs:
                _want(plan, world, fact, want.row, peers=cause.peers)
    return plan


def _causes(want: Wanted) -> list[CauseRule]:
    kinds = {network.kind for subject in want.row.values() if (network := _network(subject)) is not None}
    kinds |= {kind for subject in want.row.values() if isinstance(subject, Link) for kind in subject.kinds}
    return [cause for cause in CAUSES.get(want.check, ()) if not cause.kinds or kinds & set(cause.kinds)]


def _network(subject: Subject) -> Network | None:
    return subject if isinstance(subject, Network) else getattr(subject, "network", None)


def _want(plan: Plan, world: World, fact: str, row: Mapping[str, Subject], *, peers: bool = False) -> None:
    subjects = _subjects(world, fact, row)
    if peers:
        subjects = [*subjects, *(_asked(world, fact, row) if fact in PROBES else _peers(world, row))]
    fresh = [subject for subject in subjects if subject.name not in plan.facts.get(fact, {})]
    plan.add(fact, subjects)
    for subject in fresh:
        found = probe_for(fact, subject)
        for need in found.needs if found else ():
            _want(plan, world, need, {"subject": subject})


def _subjects(world: World, fact: str, row: Mapping[str, Subject]) -> list[Subject]:
    kind = OBSERVATIONS[fact].of if fact in OBSERVATIONS else PROBES[fact][0].of
    own: list[Subject] = [subject for subject in row.values() if not isinstance(subject, Network)] or list(row.values())
    exact: list[Subject] = [subject for subject in own if type(subject) is kind]
    found: list[Subject] = exact or [other for subject in own for other in world.related(subject, kind)]
    if kind is Flow and fact in PROBES:
        found = [*found, *(other for subject in exact for other in _siblings(world, subject))]
        found = [subject for subject in found if probe_for(fact, subject)]
    return found


def _siblings(world: World, flow: Any) -> list[Flow]:
    """Give the other flows to the same interface (or gateways): what else goes there tells silence from a fault."""
    if flow.interface:
        return list(world.related(flow.interface, Flow))
    return [other for other in world.related(flow.source, Flow) if other.interface is None and other.network == flow.network]


def _peers(world: World, row: Mapping[str, Subject]) -> list[Subject]:
    found: dict[str, Subject] = {}
    for subject in row.values():
        for network in world.related(subject, Network):
            nodes = world.related(network, Node)
            if len(nodes) <= MAX_PEERS:
                found.update({node.name: node for node in nodes})
    return list(found.values())


def _asked(world: World, fact: str, row: Mapping[str, Subject]) -> list[Subject]:
    """Give the flows that the hops of a flow are about: what others ask there tells what is wrong with this one."""
    flows = [subject for subject in row.values() if isinstance(subject, Flow)]
    names = dict.fromkeys(name for flow in flows for hop in world.hops(flow) for kind, name in sorted(hop.about) if kind == "flow")
    found = [flow for flow in (world.named("flow", name) for name in names) if probe_for(fact, flow)]
    return found[:MAX_PEERS]


def probe_for(fact: str, subject: Subject) -> Probe | None:
    """Find the probe that gives this fact for this subject."""
    return next((probe for probe in PROBES.get(fact, ()) if type(subject) is probe.of and probe.where(subject)), None)


def job_for(observation: Observation, subject: Subject) -> Job:
    """Make an observation's job for one subject. Its key is the command, so equal commands run once."""
    commands = tuple(command for command, _ in ways_of(observation, subject))
    lines = tuple(_argv(command, subject) for command in commands)
    if _system(observation, subject) != "windows":
        return _job(observation, commands, lines)
    return replace(_job(observation, commands, tuple((" ".join(words),) for words in lines)), bare=True)


def ways_of(observation: Observation, subject: Subject) -> tuple[Way, ...]:
    """Give how an observation sees this subject: inside a guest, by what is there."""
    return observation.ways(_system(observation, subject))


def _system(observation: Observation, subject: Subject) -> str:
    place = place_for(observation.name, subject) if observation.inside else None
    return place.connection.os if place else ""


@cache
def _job(observation: Observation, commands: tuple[Command, ...], lines: tuple[tuple[str, ...], ...]) -> Job:
    """Make it once for all subjects whose commands are the same: most commands are every node's."""
    ways = tuple(Alternative(argv, command.accept) for argv, command in zip(lines, commands, strict=True))
    text = json.dumps([observation.root, lines])
    key = f"{commands[0].tool or 'sh'}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return Job(key, ways, observation.root, observation.modules, observation.seconds, observation.limit)


def _argv(command: Command, subject: Subject) -> tuple[str, ...]:
    words = tuple(word for token in command.argv for word in _fill(token, subject))
    return ("sh", "-c", command.shell, "sh", *words) if command.shell else words


def _fill(token: str, subject: Subject) -> tuple[str, ...]:
    if "{" not in token:
        return (token,)
    name = next(kind for kind, type_ in KINDS.items() if type(subject) is type_)
    whole = _WHOLE.fullmatch(token)
    if whole and whole[1] in {name, "subject"}:
        value = getattr(subject, whole[2])
        if isinstance(value, tuple):
            return tuple(str(item) for item in value)
    return (token.format(**{name: subject, "subject": subject}),)


def places_for(fact: str, subject: Subject) -> tuple[Place, ...]:
    """Give where a fact of a subject is looked at: at its node, inside its VM, at all places of a probe; empty where nowhere."""
    if fact in OBSERVATIONS and OBSERVATIONS[fact].inside:
        vm = subject.vm if isinstance(subject, Interface) else subject
        guest = vm.guest if isinstance(vm, Vm) else None
        return (guest,) if guest and OBSERVATIONS[fact].ways(guest.connection.os) else ()
    declared = OBSERVATIONS.get(fact) or probe_for(fact, subject)
    if declared is not None and declared.at is not None:
        return declared.at(subject)
    node = place_of(subject)
    return (node,) if node else ()


def place_for(fact: str, subject: Subject) -> Place | None:
    """Give the first of the places where a fact of a subject is looked at."""
    return next(iter(places_for(fact, subject)), None)


def places(plan: Plan) -> dict[str, Place]:
    """Give every place that has to be reached, by name."""
    found: dict[str, Place] = {}
    for fact, subjects in plan.facts.items():
        for subject in subjects.values():
            for place in places_for(fact, subject):
                found.setdefault(place.name, place)
    return found


def by_place(plan: Plan) -> dict[str, list[tuple[str, Subject]]]:
    """Give what to look at from each place, by its name: (fact, subject) in the order of the plan."""
    found: dict[str, list[tuple[str, Subject]]] = {}
    for fact, subjects in plan.facts.items():
        for subject in subjects.values():
            for place in places_for(fact, subject):
                found.setdefault(place.name, []).append((fact, subject))
    return found
