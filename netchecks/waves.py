"""Looking: every place at the same time, facts in one trip, probes and counters in one more.

Each place goes on as soon as its own needs are there; one that hangs costs its own deadline and delays nobody. What has to be
alone comes when all of that is done, one subject after the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from netchecks import facts as facts_of
from netchecks import send
from netchecks.errors import NotSeen, Why
from netchecks.models.subjects import Flow, Guest, Node, Place
from netchecks.observe import OBSERVATIONS, Observation
from netchecks.plan import Plan, by_place, job_for, places, places_for, probe_for
from netchecks.probe import Ask, Probe
from netchecks.record import Entry, Layout, PlaceRecord, Record
from netchecks.script import Alternative, Job, Phase, Ran, command_line
from netchecks.trip import HELLO_SECONDS, Channel
from netchecks.world import Subject, World

#: A place with probes waits so long for the others on their way, so that all send and listen at the same time.
RENDEZVOUS_SECONDS = 8.0
#: A guest waits so long for those who send to it, before it sends itself.
AFTERWARDS_SECONDS = 10.0
#: Growth is read over at least this time where no probe runs between the two readings.
COUNTER_SECONDS = 1.0
#: sshd's default MaxStartups begins to refuse at 10 unauthenticated connections; a jump host has them all.
JUMP_CONNECTIONS = 8


#: Stands between two readings of a counter where no probe does.
_PAUSE = Job("pause", (Alternative(("sleep", f"{COUNTER_SECONDS:g}")),))


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the looking. Seconds for one node's trip, for the whole; connections at a time."""

    node_seconds: float = 60.0
    run_seconds: float = 600.0
    connections: int = 64
    hello_seconds: float = HELLO_SECONDS


@dataclass(slots=True, repr=False)
class Look:
    """One run's looking. ``tell`` hears of each place: its name and ``looking``, ``probing``, ``seen`` or a reason.

    ``turns``: what has to be alone and was not yet, by subject; ``measuring`` and ``measured`` tell of it.
    """

    world: World
    plan: Plan
    record: Record
    limits: Limits
    tell: Callable[[str, str], None]
    keep: Callable[[PlaceRecord], None]
    ready: dict[str, asyncio.Event] = field(default_factory=dict)
    left: dict[str, asyncio.Event] = field(default_factory=dict)
    armed: dict[str, asyncio.Event] = field(default_factory=dict)
    wanted: dict[str, list[tuple[str, Subject]]] = field(default_factory=dict)
    turns: dict[str, list[tuple[Place, Job]]] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    async def all(self) -> None:
        """Look at every place."""
        nodes = places(self.plan)
        self.ready, self.armed, self.left = ({name: asyncio.Event() for name in nodes} for _ in range(3))
        self.wanted = by_place(self.plan)
        gate = asyncio.Semaphore(self.limits.connections)
        jumps = {node.connection.jump: asyncio.Semaphore(JUMP_CONNECTIONS) for node in nodes.values()}
        self.turns = self._turns(nodes)
        try:
            async with asyncio.timeout(self.limits.run_seconds):
                async with asyncio.TaskGroup() as group:
                    for node in sorted(nodes.values(), key=lambda place: isinstance(place, Guest)):  # these wait for the others
                        group.create_task(self._place(node, [gate, *([jumps[node.connection.jump]] if node.connection.jump else [])]))
                await self._alone()
        except TimeoutError:
            for name in sorted(nodes.keys() - self.done):
                self._too_late(self.record.place(name))
        finally:
            for turn in self.turns.values():
                self._no_turn(turn)

    def _too_late(self, place: PlaceRecord) -> None:
        """Say why a place, or what was to come there, was not seen."""
        detail = f"{place.place}: the run's {self.limits.run_seconds:g} s were over"
        place.missed["probes" if place.entries else "all"] = NotSeen(Why.TIMED_OUT, detail, cause="node.not_reached_in_time")
        self.keep(place)

    async def _place(self, node: Place, gates: list[asyncio.Semaphore]) -> None:
        for gate in gates:
            await gate.acquire()
        place, channel, started = PlaceRecord(node.name), Channel(node, self.limits.hello_seconds), time.monotonic()
        try:
            self.tell(node.name, "looking")
            await self._trips(node, place, channel)
            self.done.add(node.name)
            self.tell(node.name, next((str(reason) for key, reason in place.missed.items() if key == "all"), "seen"))
        finally:
            self.ready[node.name].set()
            self.left[node.name].set()
            self.armed[node.name].set()
            await channel.close()
            place.trips, place.seconds = channel.trips, round(time.monotonic() - started, 3)
            self.record.places[node.name] = place
            self.keep(place)
            for gate in gates:
                gate.release()

    async def _trips(self, node: Place, place: PlaceRecord, channel: Channel) -> None:
        probes = self._probes(node)
        self.record.places[node.name] = place
        inside = isinstance(node, Guest)
        jobs = self._jobs(node, counters=not probes and not inside)
        if not await self._trip(channel, place, jobs, "all"):
            return
        self.ready[node.name].set()
        if probes:
            await self._together(node, place, channel, probes)
        elif inside:
            await self._afterwards(node, place, channel)

    async def _together(self, node: Place, place: PlaceRecord, channel: Channel, probes: list[tuple[str, Probe, Subject]]) -> None:
        """Send and listen at the same time as the other places on the way of these probes; what is read after them comes behind.

        Inside a guest that is what it begins itself: its own probes take longer than theirs who ask it.
        """
        others = self._others(node, probes)
        await _all_set(self.ready[name] for name in others)
        self.tell(node.name, "probing")
        asks = self._asks(probes, place)
        layout: Layout = ()
        between = _PAUSE
        if asks:
            between, layout = send.job(asks), send.layout(asks)
        self.armed[node.name].set()
        if isinstance(node, Guest) and not asks:
            await self._afterwards(node, place, channel)
            return
        await _all_set(self.armed[name] for name in others)
        jobs = [between, *self._around(node)]
        await self._trip(channel, place, jobs, "probes", layout=layout)

    async def _afterwards(self, guest: Place, place: PlaceRecord, channel: Channel) -> None:
        """Run what a guest begins itself when those who ask it have done so: it would remind them of its MAC."""
        jobs = self._around(guest)
        if not jobs:
            return
        asking = {flow.source.name for _, subject in self.wanted[guest.name] for flow in self.world.related(subject, Flow)}
        await _all_set((self.left[name] for name in asking if name in self.left), AFTERWARDS_SECONDS)
        await self._trip(channel, place, jobs, "probes")

    def _turns(self, nodes: Mapping[str, Place]) -> dict[str, list[tuple[Place, Job]]]:
        """Give what has to be alone: by subject, all that runs at the same time, each with its place."""
        turns: dict[str, list[tuple[Place, Job]]] = {}
        for name, wanted in self.wanted.items():
            for fact, subject in wanted:
                if fact in OBSERVATIONS and OBSERVATIONS[fact].alone:
                    job = _in_phase(job_for(OBSERVATIONS[fact], subject), "alone")
                    turns.setdefault(subject.name, []).append((nodes[name], job))
        return turns

    async def _alone(self) -> None:
        """Let one subject after the other have its turn."""
        for name, turn in list(self.turns.items()):
            for place, _ in turn:
                self.tell(place.name, "measuring")
            await self._turn(turn)
            for place, _ in turn:
                self.tell(place.name, "measured")
                self.keep(self.record.place(place.name))
            del self.turns[name]

    def _no_turn(self, turn: list[tuple[Place, Job]]) -> None:
        """Say of what has to be alone that the run ended before."""
        for place, job in turn:
            missed = NotSeen(Why.TIMED_OUT, f"{place}: the run ended before its turn", cause="node.not_reached_in_time")
            self.record.place(place.name).missed.setdefault(job.key, missed)
            self.keep(self.record.place(place.name))

    async def _turn(self, turn: list[tuple[Place, Job]]) -> None:
        """Run the jobs of one turn together, none where one of their places cannot be entered: it would wait for nobody."""
        reasons = (self.record.place(place.name).missed.get("all") for place, _ in turn)
        reason = next(filter(None, reasons), None)
        if reason is not None:
            for place, job in turn:
                self.record.place(place.name).missed[job.key] = NotSeen(reason.why, reason.detail, cause=reason.cause)
            return
        async with asyncio.TaskGroup() as group:
            for place, job in turn:
                group.create_task(self._by_itself(place, job))

    async def _by_itself(self, node: Place, job: Job) -> None:
        place, channel = self.record.place(node.name), Channel(node, self.limits.hello_seconds)
        try:
            await self._trip(channel, place, [job], job.key)
        finally:
            await channel.close()
            place.trips += channel.trips

    async def _trip(
        self, channel: Channel, place: PlaceRecord, jobs: list[Job], what: str, *, layout: Layout = ()
    ) -> bool:
        began = time.time()
        try:
            ran = await channel.run(jobs, self.limits.node_seconds)
        except NotSeen as reason:
            place.missed[what] = NotSeen(reason.why, f"{place.place}: {reason.detail}", cause=reason.cause)
            return False
        if ran:  # nothing ran before the trip began, or after it was back: so the second trip tells it better than the first
            first, last = min(item.started for item in ran), max(item.ended for item in ran)
            earliest, latest = place.booted or (float("-inf"), float("inf"))
            place.booted = (max(earliest, began - first), min(latest, time.time() - last))
        by_key = {(job.key, job.phase): job for job in jobs}
        sudo = channel.node.connection.sudo
        place.add(_entry(by_key[item.key, item.phase], item, layout, sudo=sudo) for item in ran)
        return True

    def _jobs(self, node: Place, *, counters: bool) -> list[Job]:
        found: dict[tuple[str, str], Job] = {}
        for observation, subject in self._observations(node):
            job = job_for(observation, subject)
            if observation.phases == ("main",):
                found.setdefault((job.key, job.phase), job)
        jobs = list(found.values())
        extra = self._around(node) if counters else []
        if any(job.phase == "before" for job in extra):
            # First, so that the other commands run meanwhile.
            jobs = [_PAUSE, *jobs]
        return [*jobs, *extra]

    def _around(self, node: Place) -> list[Job]:
        """Give what is read before or after the probes."""
        found: dict[tuple[str, str], Job] = {}
        for observation, subject in self._observations(node):
            for phase in observation.phases:
                if phase not in {"main", "alone"}:
                    found.setdefault((job_for(observation, subject).key, phase), _in_phase(job_for(observation, subject), phase))
        return list(found.values())

    def _observations(self, node: Place) -> list[tuple[Observation, Subject]]:
        return [(OBSERVATIONS[fact], subject) for fact, subject in self.wanted[node.name] if fact in OBSERVATIONS]

    def _probes(self, node: Place) -> list[tuple[str, Probe, Subject]]:
        found = [(fact, probe_for(fact, subject), subject) for fact, subject in self.wanted[node.name]]
        return [(fact, probe, subject) for fact, probe, subject in found if probe]

    def _others(self, node: Place, probes: list[tuple[str, Probe, Subject]]) -> list[str]:
        """Give the other places on the way of these probes: all send and listen at the same time."""
        names: dict[str, None] = {}
        for fact, _, subject in probes:
            together = (*places_for(fact, subject), *self.world.related(subject, Node))
            names.update({str(other): None for other in together if str(other) != node.name and str(other) in self.ready})
        return list(names)

    def _asks(self, probes: list[tuple[str, Probe, Subject]], place: PlaceRecord) -> dict[str, Ask]:
        facts = facts_of.make(self.record, self.plan)
        asks: dict[str, Ask] = {}
        for fact, probe, subject in probes:
            key = facts_of.ask_key(fact, subject)
            try:
                asked = facts_of.ask(probe, subject, facts, place.place)
                if asked is not None:
                    asks[key] = asked
            except NotSeen as reason:
                needs = ", ".join(probe.needs)
                place.missed[key] = NotSeen(reason.why, f"needs {needs}: {reason.detail}", cause=reason.cause)
            except AssertionError as error:
                place.missed[key] = NotSeen(Why.NOT_POSSIBLE, str(error))
        return asks


async def _all_set(events: Iterable[asyncio.Event], seconds: float = RENDEZVOUS_SECONDS) -> None:
    """Wait until all of them are set, for so many seconds at most."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    if waits:
        _, late = await asyncio.wait(waits, timeout=seconds)
        for wait in late:
            wait.cancel()


def _in_phase(job: Job, phase: Phase) -> Job:
    return replace(job, phase=phase)


def _entry(job: Job, ran: Ran, layout: Layout, *, sudo: bool) -> Entry:
    argv = tuple(command_line(job, job.ways[ran.way], sudo=sudo))
    return Entry(
        job.key, ran.phase, ran.way, argv, ran.status, ran.started, ran.ended, job.seconds, ran.stdout, ran.stderr,
        layout if job.key == send.KEY else (),
    )


def look(look: Look) -> None:
    """Run the looking to its end."""
    asyncio.run(look.all())
