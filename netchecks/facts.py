"""From a record to facts: which command is a fact's, what its end means, and its parser. The same live and replayed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from netchecks import plan, send
from netchecks.errors import NotSeen, Unreadable, Why
from netchecks.models.subjects import Interface, Vm
from netchecks.models.system import Timed
from netchecks.models.table import Table
from netchecks.observe import OBSERVATIONS, Observation, Way
from netchecks.probe import Ask, Part, Probe
from netchecks.record import Entry, PlaceRecord, Record
from netchecks.seen import By, Pair
from netchecks.world import Subject

#: timeout(1) exits 124, 137 after -k; busybox's 143. The shell reports SIGXFSZ (the output limit) as 153.
_TIMED_OUT, _TOO_LONG, _NOT_FOUND, _NOT_EXECUTABLE = (124, 137, 143), 153, 127, 126
_DENIED = ("permission denied", "operation not permitted", "must be root", "you must be root", "are you root", "only root")
_SUDO = ("a password is required", "is not in the sudoers", "not allowed to execute", "may not run sudo", "a terminal is required")


@dataclass(slots=True, repr=False)  # a traceback shows arguments: this is the whole record
class Facts:
    """Every fact of a run, parsed when first read and kept."""

    record: Record
    plan: plan.Plan
    _kept: dict[tuple[str, str], Any] = field(default_factory=dict)
    _by: dict[str, By[Any, Any]] = field(default_factory=dict)
    _said: dict[str, send.Answers] = field(default_factory=dict)

    def by(self, fact: str) -> By[Any, Any]:
        """Give a fact as checks take it."""
        if fact not in self._by:
            subjects = self.plan.facts.get(fact, {})
            self._by[fact] = By(fact, subjects, lambda name: self.value(fact, subjects[name]))
        return self._by[fact]

    def value(self, fact: str, subject: Subject) -> Any:
        """Give one value. Raises NotSeen with the reason where there is none."""
        key = (fact, subject.name)
        if key not in self._kept:
            try:
                self._kept[key] = self._look(fact, subject)
            except NotSeen as reason:
                self._kept[key] = reason
        value = self._kept[key]
        if isinstance(value, NotSeen):
            raise NotSeen(value.why, value.detail, cause=value.cause)
        return value

    def _look(self, fact: str, subject: Subject) -> Any:
        where = plan.place_for(fact, subject)
        if where is None and fact in OBSERVATIONS and OBSERVATIONS[fact].inside:
            raise _not_inside(fact, subject)
        if where is None or where.name not in self.record.places:
            raise NotSeen(Why.NOT_RECORDED, f"{fact} of {subject}")
        place = self.record.places[where.name]
        if fact in OBSERVATIONS:
            return _observed(OBSERVATIONS[fact], subject, place)
        probe = plan.probe_for(fact, subject)
        if probe is None:
            raise NotSeen(Why.NOT_POSSIBLE, f"nothing gives {fact} of {subject}")
        if probe.at is not None:
            return probe.read(subject, {where.name: self._try_part(fact, subject, where.name) for where in probe.at(subject)})
        return probe.read(subject, self._part(fact, subject, place).got)

    def _try_part(self, fact: str, subject: Subject, name: str) -> Part | NotSeen:
        """Give what came of a probe at one of its places, or why there is nothing: the others may tell enough."""
        place = self.record.places.get(name)
        if place is None:
            return NotSeen(Why.NOT_RECORDED, f"{fact} of {subject} at {name}")
        try:
            return self._part(fact, subject, place)
        except NotSeen as reason:
            return reason

    def _part(self, fact: str, subject: Subject, place: PlaceRecord) -> Part:
        key = ask_key(fact, subject)
        for what in ("all", "probes", key):
            if what in place.missed:
                raise place.missed[what]
        answers, notes = self._answers(place), {row[0]: row[2] for row in _agent_entry(place).layout}
        if key not in answers.got:
            raise NotSeen(Why.NOT_RECORDED, f"{key} at {place.place}")
        return Part(place.place, answers.got[key], notes.get(key, ""), answers.began, answers.ended, place.booted)

    def _answers(self, place: PlaceRecord) -> send.Answers:
        """Give what the agent at a place said, by ask: one document for all of them, so it is split up once."""
        if place.place not in self._said:
            self._said[place.place] = _answers(place)
        return self._said[place.place]

    def evidence(self, fact: str, subject: Subject, near: Collection[str] = ()) -> tuple[str, Entry] | None:
        """Give the command behind a fact and its place, if one ran; of several places, one of those that are ``near``."""
        names = sorted((place.name for place in plan.places_for(fact, subject)), key=lambda name: name not in near)
        place = self.record.places.get(names[0]) if names else None
        entry = self._entry_of(fact, subject, place) if place else None
        return (names[0], entry) if entry else None

    def _entry_of(self, fact: str, subject: Subject, place: PlaceRecord) -> Entry | None:
        key = plan.job_for(OBSERVATIONS[fact], subject).key if fact in OBSERVATIONS else send.KEY
        return next((entry for phase in ("after", "main", "alone") if (entry := place.entries.get((key, phase)))), None)


def make(record: Record, wanted: plan.Plan) -> Facts:
    """Give the facts of a record."""
    return Facts(record, wanted)


def _not_inside(fact: str, subject: Subject) -> NotSeen:
    vm = subject.vm if isinstance(subject, Interface) else subject
    if isinstance(vm, Vm) and vm.guest is not None:
        return NotSeen(Why.NOT_POSSIBLE, f"{subject}: {fact} cannot be seen inside {vm.guest.connection.os}")
    return NotSeen(Why.NOT_POSSIBLE, f"{subject}: the inventory does not say how to enter it", cause="guest.not_entered")


def _observed(observation: Observation, subject: Subject, place: PlaceRecord) -> Any:
    if "all" in place.missed:
        raise place.missed["all"]
    key, ways = plan.job_for(observation, subject).key, plan.ways_of(observation, subject)
    if not observation.counter:
        return _parsed(observation, ways, place, _entry(place, key, observation.phases[-1], observation.name))
    before, after = (_entry(place, key, phase, observation.name) for phase in ("before", "after"))
    earlier, later = (_parsed(observation, ways, place, entry) for entry in (before, after))
    return Pair(earlier, later, after.ended - before.ended)


def _entry(place: PlaceRecord, key: str, phase: str, what: str) -> Entry:
    entry = place.entries.get((key, phase))
    if entry is None:
        raise place.missed.get(key) or place.missed.get("probes") or NotSeen(Why.NOT_RECORDED, f"{what} of {place.place}")
    return entry


def _parsed(observation: Observation, ways: tuple[Way, ...], place: PlaceRecord, entry: Entry) -> Any:
    if entry.way not in range(len(ways)):
        raise NotSeen(Why.NOT_RECORDED, f"{observation.name} of {place.place}: the record has it by another way")
    command, parse = ways[entry.way]
    reason = unseen(entry, command.tool, command.accept, observation.limit)
    if reason:
        raise NotSeen(reason.why, f"{place.place}: {observation.name}: {reason.detail}", cause=reason.cause)
    try:
        value = parse(entry.stdout.decode("utf-8", "surrogateescape"))
    except Unreadable as error:
        detail = f"{place.place}: {observation.name}: {command.tool or 'the command'} printed something else: {error}"
        raise NotSeen(Why.UNREADABLE, detail, cause="node.tool_unreadable") from error
    if isinstance(value, Timed) and place.booted:
        return value.read_between(place.booted[0] + entry.started, place.booted[1] + entry.ended)
    return value.at(place.place) if isinstance(value, Table) else value


def unseen(entry: Entry, tool: str, accept: tuple[int, ...], limit: int) -> NotSeen | None:
    """Say what the end of a command means, None where its output counts."""
    return next(_reasons(entry, tool or (entry.argv[0] if entry.argv else "the command"), accept, limit), None)


def _reasons(entry: Entry, ran: str, accept: tuple[int, ...], limit: int) -> Iterator[NotSeen]:
    """Give the reasons that fit, the most telling first."""
    status, stderr = entry.status, entry.stderr.decode("utf-8", "replace").strip()
    said = stderr.splitlines()[-1][:160] if stderr else f"exit status {status}"
    low = stderr.lower()
    if status == _TOO_LONG or len(entry.stdout) >= limit:
        yield NotSeen(Why.TRUNCATED, f"{ran} printed more than {limit >> 10} KiB", cause="node.tool_floods")
    if status is None or status in accept:
        return
    if status in _TIMED_OUT and entry.ended - entry.started >= entry.seconds * 0.8:
        yield NotSeen(Why.TIMED_OUT, f"{ran} did not end within {entry.seconds:g} s", cause="node.command_hangs")
    if any(text in low for text in _SUDO):
        yield NotSeen(Why.NO_PERMISSION, f"sudo: {said}", cause="node.sudo_refused")
    if status == _NOT_FOUND or "command not found" in low:
        yield NotSeen(Why.NOT_INSTALLED, f"{ran} is not installed", cause="node.tool_missing")
    if status == _NOT_EXECUTABLE or any(text in low for text in _DENIED):
        yield NotSeen(Why.NO_PERMISSION, f"{ran}: {said}", cause="node.needs_root")
    yield NotSeen(Why.FAILED, f"{ran}: {said}", cause="node.command_fails")


def ask_key(fact: str, subject: Subject) -> str:
    """Give the name of one ask in a record."""
    return f"{fact}[{subject.name}]"


def _agent_entry(place: PlaceRecord) -> Entry:
    return _entry(place, send.KEY, "main", "the agent's answer")


def _answers(place: PlaceRecord) -> send.Answers:
    entry = _agent_entry(place)
    reason = unseen(entry, "python3", (0,), send.LIMIT)
    if reason:
        raise NotSeen(reason.why, f"{place.place}: the agent: {reason.detail}", cause=reason.cause)
    try:
        return send.split(entry.layout, entry.stdout)
    except Unreadable as error:
        raise NotSeen(Why.UNREADABLE, f"{place.place}: the agent: {error}", cause="node.tool_unreadable") from error


def ask(probe: Probe, subject: Subject, facts: Facts, place: str) -> Ask | None:
    """Let a probe say what to do at a place, None where that is nothing. Raises NotSeen, with the fact it needs, where it cannot."""
    asked: Ask | Mapping[str, Ask] = probe.ask(subject, *(facts.by(need) for need in probe.needs))
    return asked.get(place) if isinstance(asked, Mapping) else asked
