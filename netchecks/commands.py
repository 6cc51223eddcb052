"""``netchecks commands``: every command that a selection would run on each node, and what sudo has to allow for it."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from netchecks import connect, plan, send, sudoers
from netchecks.collecting import Collected, add_selection, arguments, collect
from netchecks.database import reading
from netchecks.errors import NetchecksError, NotSeen
from netchecks.facts import ask, ask_key, make
from netchecks.models.subjects import Database, Place
from netchecks.observe import OBSERVATIONS
from netchecks.plugin import wanted_of
from netchecks.probe import Action, Probe
from netchecks.record import Record
from netchecks.script import Alternative, Job, command_line
from netchecks.shell_agent.building import TOOLS
from netchecks.world import Subject, World

#: What the shell script itself runs beside the commands (netchecks.script).
SCRIPT_RUNS = "sh, mktemp, timeout, sleep, kill, cat, rm, renice, ionice, uname, grep"


@dataclass(frozen=True, slots=True)
class Planned:
    """One command of a node: its job, and the facts that it is for."""

    job: Job
    facts: tuple[str, ...]
    phases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sending:
    """One probe of a node: its fact and subject, and what it would send, as far as that does not hang on what is seen."""

    fact: str
    subject: Subject
    probe: Probe
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class NodeCommands:
    """All that would happen at one node."""

    node: Place
    commands: tuple[Planned, ...]
    sendings: tuple[Sending, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``netchecks commands`` takes."""
    add_selection(parser)
    parser.add_argument("--sudoers", action="store_true", help="print the sudoers lines that the nodes need instead")


def run(args: argparse.Namespace) -> int:
    """Print them."""
    found = collect(list(arguments(args)))
    nodes = of(found)
    if args.sudoers:
        text = sudoers.render([(one.node, list(_as_root(one))) for one in nodes])
    else:
        text = "\n".join(_lines(nodes, sum("host" in getattr(item, "fixturenames", ()) for item in found.items)))
    sys.stdout.write(text + "\n")
    return 0


def of(found: Collected) -> list[NodeCommands]:
    """Give each node of a selection with its commands, in the order of the inventory."""
    if found.session is None:
        raise NetchecksError("no inventory is in force: add --inventory-file FILE")
    world = found.session.world
    planned = plan.make(wanted_of(found.items), world)
    where = plan.by_place(planned)
    return [_of(node, planned, where.get(node.name, ())) for node in _places(planned, world)]


def _of(node: Place, planned: plan.Plan, looked_at: Sequence[tuple[str, Subject]]) -> NodeCommands:
    return NodeCommands(node, tuple(_commands(node, planned, looked_at)), tuple(_sendings(node, planned, looked_at)))


def _places(planned: plan.Plan, world: World) -> list[Place]:
    names = plan.places(planned)
    everywhere: list[Place] = [*world.inventory.nodes, *(vm.guest for vm in world.inventory.vms if vm.guest)]
    others = names.keys() - {place.name for place in everywhere}
    credentials = {database.declared.node for database in _databases(planned)}
    return [
        *(place for place in everywhere if place.name in names or place.name in credentials),
        *(place for name, place in names.items() if name in others),  # what is asked from this machine
    ]


def _databases(planned: plan.Plan) -> Iterator[Database]:
    yield from {one.name: one for some in planned.facts.values() for one in some.values() if isinstance(one, Database)}.values()


def _commands(node: Place, planned: plan.Plan, looked_at: Sequence[tuple[str, Subject]]) -> Iterator[Planned]:
    jobs: dict[str, tuple[Job, list[str], tuple[str, ...]]] = {}
    for fact, subject in looked_at:
        observation = OBSERVATIONS.get(fact)
        if observation is not None and plan.place_for(fact, subject) == node:
            job = plan.job_for(observation, subject)
            jobs.setdefault(job.key, (job, [], observation.phases))[1].append(fact)
    for job, facts, phases in jobs.values():
        yield Planned(job, tuple(dict.fromkeys(facts)), phases)
    for database in _databases(planned):
        if database.declared.node == node.name:
            yield Planned(reading(database.declared.value), (f"the credentials for {database}; not kept",), ("main",))


def _sendings(node: Place, planned: plan.Plan, looked_at: Sequence[tuple[str, Subject]]) -> Iterator[Sending]:
    nothing = make(Record(), planned)
    for fact, subject in looked_at:
        probe = plan.probe_for(fact, subject)
        if probe is None:
            continue
        try:
            asked = ask(probe, subject, nothing, node.name)
        except (NotSeen, AssertionError):
            asked = None
        yield Sending(fact, subject, probe, asked.actions if asked else ())


def _as_root(one: NodeCommands) -> Iterator[Job]:
    """Give the jobs that go through sudo, the agent among them; its deadline hangs on what it sends."""
    yield from (planned.job for planned in one.commands if planned.job.root)
    if one.sendings:
        yield Job(send.KEY, (Alternative(send.PYTHON), Alternative(send.SHELL)), root=True)


# -- as text ---------------------------------------------------------------------------------------------------------


def _lines(nodes: Iterable[NodeCommands], host_tests: int) -> Iterator[str]:
    yield f"# The script on each node runs these, and for itself: {SCRIPT_RUNS}"
    if host_tests:
        yield f"# {host_tests} tests of the site's own take 'host': what they run stands in them"
    for one in nodes:
        yield ""
        bare = one.node.connection.os == "windows"
        trips = "each by a connection of its own" if bare else f"in one round trip{', one more for probes' if one.sendings else ''}"
        yield f"# {one.node}: {len(one.commands)} commands {trips}"
        if one.node.connection.backend in connect.STREAMED:
            way = connect.command_line(one.node, "COMMAND") if bare else connect.shell(one.node)
            yield f"# connected by: {shlex.join(way)}"
        for planned in one.commands:
            yield from _command(planned, sudo=one.node.connection.sudo)
        if one.sendings:
            yield from _agent(one)


def _command(planned: Planned, *, sudo: bool) -> Iterator[str]:
    remarks = [", ".join(planned.facts)]
    if planned.job.root:
        remarks.append("root")
    if planned.phases == ("alone",):
        remarks.append("alone, when everything else is done")
    elif planned.phases != ("main",):
        remarks.append(" and ".join(f"{phase} the probes" for phase in planned.phases))
    if planned.job.modules:
        remarks.append(f"only where the kernel has {', '.join(planned.job.modules)}")
    yield f"# {'; '.join(remarks)}"
    for number, way in enumerate(planned.job.ways):
        if number:
            yield "# or, where that fails:"
        line = command_line(planned.job, way, sudo=sudo)
        yield " ".join(line) if planned.job.bare else shlex.join(line)


def _agent(one: NodeCommands) -> Iterator[str]:
    sudo = ["sudo", "-n"] if one.node.connection.sudo else []
    yield f"# the probes' agent, netchecks/agent.py, on its standard input; root; {len(one.sendings)} probes:"
    for sending in one.sendings:
        yield f"#   {ask_key(sending.fact, sending.subject)}: {_told(sending)}"
    yield shlex.join([*sudo, "timeout", "-k", "1", "SECONDS", *send.PYTHON])
    yield "# or, without python3, netchecks/shell_agent/agent.sh, which runs of these what the node has:"
    yield from (f"#   {line}" for line in TOOLS)
    yield shlex.join([*sudo, "timeout", "-k", "1", "SECONDS", *send.SHELL])


def _told(sending: Sending) -> str:
    about = " ".join(sending.probe.doc.split("\n\n")[0].split()).rstrip(".") or sending.probe.name
    if sending.actions:
        return f"{about}: {', '.join(map(_action, sending.actions))}"
    needs = f" (frames made from {', '.join(sending.probe.needs)})" if sending.probe.needs else ""
    return f"{about}{needs}"


def _action(action: Action) -> str:
    name = type(action).__name__.lower()
    where = getattr(action, "target", None) or getattr(action, "device", "")
    port = getattr(action, "port", None)
    size = getattr(action, "message", None) or getattr(action, "payload", None)
    words = [name, str(where) + (f" port {port}" if port is not None else ""), f"{len(size)} bytes" if size else ""]
    return " ".join(word for word in words if word)
