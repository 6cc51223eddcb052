"""Looking at many places at the same time: real shells of this machine, each place bounded by itself."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from netchecks import facts as facts_of
from netchecks import record, waves, world
from netchecks.errors import NotSeen, Unreadable, Why
from netchecks.models.subjects import Connection, Guest, Inventory, Node, Vm
from netchecks.observe import OBSERVATIONS, Observation, command
from netchecks.plan import Plan
from netchecks.probe import PROBES, Ask, Connect, Got, Probe
from netchecks.seen import By
from netchecks.send import read_socket
from tests.engine.conftest import commands_with, wait

LOCAL = Connection("local")


@dataclass(slots=True)
class Looked:
    """What a look brought."""

    record: record.Record
    facts: facts_of.Facts
    told: list[tuple[str, str]]
    seconds: float
    kept: list[str] = field(default_factory=list)

    def value(self, fact: str, node: Node) -> Any:
        return self.facts.value(fact, node)

    def reason(self, fact: str, node: Node) -> NotSeen:
        with pytest.raises(NotSeen) as told:
            self.facts.value(fact, node)
        return told.value


Look = Callable[..., Looked]


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Look]:
    """Look for facts at nodes; nothing may be left behind."""
    tmp = tmp_path / "tmp"
    tmp.mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp))

    def go(wanted: dict[str, list[Any]], **limits: Any) -> Looked:
        nodes = {node.name: node for some in wanted.values() for one in some for node in [getattr(one, "node", one)]}
        plan = Plan()
        for fact, some in wanted.items():
            plan.add(fact, some)
        seen, told = record.Record(), []
        folder = tmp_path / "record"
        began = time.monotonic()
        waves.look(waves.Look(
            world.build(Inventory(nodes=tuple(nodes.values()))), plan, seen, waves.Limits(**limits),
            lambda name, what: told.append((name, what)), lambda place: record.write_place(folder, place),
        ))
        seconds = time.monotonic() - began
        record.write_manifest(folder, {}, "")
        again = record.read(folder)
        assert again.places == seen.places or _told(again) == _told(seen), "what is kept is what was seen"
        return Looked(again, facts_of.make(again, plan), told, seconds, sorted(again.places))

    yield go
    assert wait(lambda: not list(tmp.iterdir()), 30), list(tmp.iterdir())


def _told(seen: record.Record) -> Any:
    return {name: (place.entries, {key: str(why) for key, why in place.missed.items()}) for name, place in seen.places.items()}


@pytest.fixture
def observe(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Declare an observation for one test."""

    def declare(name: str, shell: str, *words: str, parse: Callable[[str], Any] = str, **more: Any) -> None:
        one = command(" ".join(words), shell=shell)
        monkeypatch.setitem(OBSERVATIONS, name, Observation(name, Node, one, parse, **more))

    return declare


def local(name: str, **more: Any) -> Node:
    return Node(name, Connection("local", **more))


# -- at the same time ------------------------------------------------------------------------------------------------


def test_nodes_are_looked_at_at_the_same_time(look: Look, observe: Callable[..., None], tmp_path: Path) -> None:
    """Each waits until all six have begun: one after the other, they would time out."""
    observe("meets", f'touch {tmp_path}/met.$1; for n in 0 1 2 3 4 5; do while [ ! -e {tmp_path}/met.n$n ]; do sleep 0.02; done; done; echo "$1"',
            "{node.name}", seconds=40)
    nodes = [local(f"n{number}") for number in range(6)]
    looked = look({"meets": nodes})
    assert [looked.value("meets", node) for node in nodes] == [f"n{number}\n" for number in range(6)]
    assert {place.trips for place in looked.record.places.values()} == {1}
    assert {name for name, what in looked.told if what == "seen"} == {node.name for node in nodes}


def test_the_inside_of_a_guest_is_a_place_of_its_own(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is seen inside stands beside what its node says; a VM that nobody can enter is not seen."""
    entered = Vm("vm1", local("n1"), "vm1", guest=Guest("guest:vm1", LOCAL))
    closed = Vm("vm2", local("n1"), "vm2")
    for name, inside in (("seen_inside", True), ("seen_outside", False)):
        one = command("{vm.name}", shell='echo "$1"')
        monkeypatch.setitem(OBSERVATIONS, name, Observation(name, Vm, one, str, inside=inside))
    looked = look({"seen_inside": [entered, closed], "seen_outside": [entered]})
    assert looked.kept == ["guest:vm1", "n1"]
    assert (looked.value("seen_inside", entered), looked.value("seen_outside", entered)) == ("vm1\n", "vm1\n")
    assert looked.reason("seen_inside", closed).cause == "guest.not_entered"


def _beside(looked: Looked) -> int:
    """Give how many places' commands ran at the same time at most."""
    spans = [(entry.started, entry.ended) for place in looked.record.places.values() for entry in place.entries.values()]
    return max(sum(start <= at < end for start, end in spans) for at, _ in spans)


def test_connections_at_a_time_are_bounded(look: Look, observe: Callable[..., None]) -> None:
    observe("naps", "sleep 0.3; echo $1", "{node.name}")
    looked = look({"naps": [local(f"n{number}") for number in range(5)]}, connections=2)
    assert _beside(looked) <= 2
    assert len(looked.record.places) == 5


def test_connections_through_one_jump_host_are_bounded(look: Look, observe: Callable[..., None]) -> None:
    observe("naps", "sleep 0.5; echo $1", "{node.name}")
    looked = look({"naps": [local(f"n{number}", jump="bastion") for number in range(12)]})
    assert _beside(looked) <= waves.JUMP_CONNECTIONS
    assert len(looked.record.places) == 12


def test_the_same_command_runs_once(look: Look, observe: Callable[..., None], tmp_path: Path) -> None:
    for name in ("first", "second"):
        observe(name, f"echo x >>{tmp_path}/count; echo {{}}")
    node = local("n")
    looked = look({"first": [node], "second": [node]})
    assert (looked.value("first", node), looked.value("second", node)) == ("{}\n", "{}\n")
    assert (tmp_path / "count").read_text() == "x\n"


def test_a_thousand_commands_are_one_trip(look: Look, observe: Callable[..., None]) -> None:
    node = local("n")
    for number in range(1000):
        observe(f"fact{number}", f"echo {number}", seconds=60)
    looked = look({f"fact{number}": [node] for number in range(1000)}, node_seconds=120)
    assert [looked.value(f"fact{number}", node) for number in range(1000)] == [f"{number}\n" for number in range(1000)]
    assert looked.record.places["n"].trips == 1


# -- counters and probes ---------------------------------------------------------------------------------------------


def test_a_counter_is_read_twice_with_time_between(look: Look, observe: Callable[..., None]) -> None:
    observe("ticks", "cut -d' ' -f1 /proc/uptime", parse=float, counter=True)
    node = local("n")
    looked = look({"ticks": [node]})
    pair = looked.value("ticks", node)
    assert pair.after - pair.before >= waves.COUNTER_SECONDS
    assert pair.seconds == pytest.approx(pair.after - pair.before, abs=0.5)
    assert looked.record.places["n"].trips == 1, "no probe, so no second trip"


def _probe(monkeypatch: pytest.MonkeyPatch, ask: Callable[..., Ask], *needs: str) -> None:
    def read(node: Node, got: tuple[Got, ...]) -> str:
        return read_socket(node, got).outcome  # type: ignore[arg-type]  # the subject is not looked at

    monkeypatch.setitem(PROBES, "knocks", [Probe("knocks", Node, lambda _: True, ask, read, needs, root=False, doc="")])


def test_a_probe_says_what_to_send_by_what_was_seen(look: Look, observe: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        observe("port", f"echo {server.getsockname()[1]}", parse=int)
        observe("late", "date +%s.%N", parse=float, late=True)
        _probe(monkeypatch, lambda node, port: Ask((Connect(IPv4Address("127.0.0.1"), port[node], 2.0),), 0.0), "port")
        node = local("n")
        looked = look({"port": [node], "late": [node], "knocks": [node]})
        assert looked.value("knocks", node) == "answered"
    place = looked.record.places["n"]
    assert place.trips == 2, "one for facts, one for probes"
    assert place.entries["agent", "main"].ended <= next(entry for (_, phase), entry in place.entries.items() if phase == "after").started
    assert ("n", "probing") in looked.told


def test_a_probe_whose_fact_was_not_seen_says_so(look: Look, observe: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    observe("port", "exit 3", parse=int)
    observe("other", "echo 7", parse=int)
    _probe(monkeypatch, lambda node, port: Ask((Connect(IPv4Address("127.0.0.1"), port[node], 2.0),), 0.0), "port")
    node = local("n")
    looked = look({"port": [node], "knocks": [node], "other": [node]})
    assert str(looked.reason("knocks", node)).startswith("failed: needs port: n: port:")
    assert looked.value("other", node) == 7


def test_without_python_only_the_probes_are_missing(look: Look, observe: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a minimal host."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "timeout", "mktemp", "cat", "rm", "sleep", "setsid", "echo"):
        (tools / tool).symlink_to(f"/usr/bin/{tool}")
    monkeypatch.setenv("PATH", str(tools))
    observe("port", "echo 9", parse=int)
    _probe(monkeypatch, lambda node, port: Ask((Connect(IPv4Address("127.0.0.1"), port[node], 2.0),), 0.0), "port")
    node = local("n")
    looked = look({"port": [node], "knocks": [node]})
    reason = looked.reason("knocks", node)
    assert (reason.why, reason.cause) == (Why.NOT_INSTALLED, "node.tool_missing")
    assert looked.value("port", node) == 9


# -- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_node_that_hangs_delays_nobody(look: Look, observe: Callable[..., None]) -> None:
    number = f"43.{secrets.randbelow(10**9):09}"
    observe("naps", f'[ "$1" != slow ] || sleep {number}; echo "$1"', "{node.name}", seconds=50)
    slow, quick = local("slow"), [local(f"n{number}") for number in range(4)]
    looked = look({"naps": [slow, *quick]}, node_seconds=3.0)
    assert looked.seconds < 40
    assert (looked.reason("naps", slow).why, looked.reason("naps", slow).cause) == (Why.TIMED_OUT, "node.hangs")
    assert [looked.value("naps", node) for node in quick] == [f"{node}\n" for node in quick]
    assert wait(lambda: not commands_with(number), 30)


def test_the_run_s_deadline_leaves_a_reason_for_each_node(look: Look, observe: Callable[..., None]) -> None:
    number = f"44.{secrets.randbelow(10**9):09}"
    observe("naps", f"sleep {number}", "{node.name}", seconds=50)
    nodes = [local(f"n{number}") for number in range(4)]
    looked = look({"naps": nodes}, run_seconds=1.5, connections=2)
    assert looked.seconds < 40
    assert looked.kept == ["n0", "n1", "n2", "n3"], "also those whose turn never came"
    for node in nodes:
        reason = looked.reason("naps", node)
        assert (reason.why, reason.cause) == (Why.TIMED_OUT, "node.not_reached_in_time")
        assert "the run's 1.5 s were over" in reason.detail
    assert wait(lambda: not commands_with(number), 30)


def test_the_run_s_deadline_keeps_what_was_seen(look: Look, observe: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts are there; the probes' trip was cut off."""
    observe("port", "echo 9", parse=int)
    observe("late", "sleep 60", seconds=50, late=True)
    _probe(monkeypatch, lambda node, port: Ask((Connect(IPv4Address("127.0.0.1"), port[node], 1.0),), 0.0), "port")
    node = local("n")
    looked = look({"port": [node], "late": [node], "knocks": [node]}, run_seconds=6.0)
    assert looked.value("port", node) == 9
    for fact in ("knocks", "late"):
        assert looked.reason(fact, node).cause == "node.not_reached_in_time"


def test_a_program_that_is_not_here_costs_its_nodes_only(look: Look, observe: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    observe("says", "echo 7")
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "timeout", "mktemp", "cat", "rm", "sleep", "setsid"):
        (tmp_path / "bin" / tool).symlink_to(f"/usr/bin/{tool}")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    away = [Node("far", Connection("ssh", "192.0.2.1")), Node("inner", Connection("netns", "nowhere"))]
    here = local("here")
    looked = look({"says": [*away, here]})
    for node in away:
        reason = looked.reason("says", node)
        assert (reason.why, reason.cause) == (Why.UNREACHABLE, "node.unreachable")
        assert "No such file" in reason.detail
    assert looked.value("says", here) == "7\n"


def test_a_namespace_that_is_not_there_is_unreachable(look: Look, observe: Callable[..., None]) -> None:
    observe("says", "echo 7")
    node = Node("inner", Connection("netns", "no-such-namespace"))
    reason = look({"says": [node]}).reason("says", node)
    assert reason.why is Why.UNREACHABLE
    assert "no-such-namespace" in reason.detail or "namespace" in reason.detail


LIES = {
    "nothing": "",
    "end": "sed -n 's/^echo \"\\(.*\\) hello\"$/\\1 end/p'",
    "garbage": "head -c 100000 /dev/urandom",
    "hello only": "sed -n 's/^echo \"\\(.*\\) hello\"$/\\1 hello/p; /^echo/q'",
    "wrong lines": 'exec python3 -c "$LIAR"',
}
#: Answers each trip with lines that no script sends.
LIAR = r"""
import re, sys
text = ""
for line in iter(sys.stdin.readline, ""):
    text += line
    nonce = re.search(r"NETCHECKS[0-9a-f]{24}", text)
    if nonce and "hello" in line:
        print(nonce[0] + " hello", flush=True)
    if nonce and line == ")\n":
        for number in ("0", "99", "-1", "x"):
            print("\n%s %s 7 0 nan inf\nout\n%s err\n" % (nonce[0], number, nonce[0]))
        print("\n%s end" % nonce[0], flush=True)
"""


@pytest.mark.parametrize("lie", LIES)
def test_a_node_that_lies_costs_itself_only(look: Look, observe: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lie: str) -> None:
    """Its shell is not what it seems: here, ``ip netns exec`` gives another one."""
    (tmp_path / "ip").write_text(f"#!/bin/sh\n{LIES[lie]}\n")
    (tmp_path / "ip").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("LIAR", LIAR)
    observe("says", "echo 7")
    liar, honest = Node("liar", Connection("netns", "x")), local("honest")
    looked = look({"says": [liar, honest]}, hello_seconds=3.0, node_seconds=3.0)
    assert looked.reason("says", liar).why in {Why.UNREACHABLE, Why.FAILED, Why.TIMED_OUT}
    assert looked.value("says", honest) == "7\n"


def test_a_node_that_sends_without_end_is_cut_off(look: Look, observe: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("netchecks.trip.MAX_STREAM", 1 << 22)
    (tmp_path / "ip").write_text("#!/bin/sh\nexec cat /dev/zero\n")
    (tmp_path / "ip").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    observe("says", "echo 7")
    liar, honest = Node("liar", Connection("netns", "x")), local("honest")
    looked = look({"says": [liar, honest]})
    assert (looked.reason("says", liar).why, looked.reason("says", liar).cause) == (Why.TRUNCATED, "node.floods")
    assert looked.value("says", honest) == "7\n"


def test_a_parser_s_error_is_its_fact_s_only(look: Look, observe: Callable[..., None]) -> None:
    def bad(text: str) -> Any:
        raise Unreadable("a number", text)

    observe("bad", "echo words", parse=bad)
    observe("good", "echo 7")
    node = local("n")
    looked = look({"bad": [node], "good": [node]})
    assert (looked.reason("bad", node).why, looked.reason("bad", node).cause) == (Why.UNREADABLE, "node.tool_unreadable")
    assert looked.value("good", node) == "7\n"


# -- other backends of testinfra -------------------------------------------------------------------------------------

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")


@needs_root
def test_a_backend_of_testinfra_serves(look: Look, observe: Callable[..., None]) -> None:
    observe("says", 'printf "%s" "$1"; echo err >&2', "{node.name}")
    observe("ticks", "cut -d' ' -f1 /proc/uptime", parse=float, counter=True)
    node = Node("it's $(me)", Connection("chroot", "/proc/self/root"))
    looked = look({"says": [node], "ticks": [node]})
    assert looked.value("says", node) == "it's $(me)"
    assert looked.value("ticks", node).seconds >= 1


@needs_root
@pytest.mark.slow
def test_a_hanging_backend_of_testinfra_delays_nobody(look: Look, observe: Callable[..., None]) -> None:
    number = f"45.{secrets.randbelow(10**9):09}"
    observe("naps", f'[ "$1" != slow ] || sleep {number}; echo "$1"', "{node.name}", seconds=10)
    slow, quick = Node("slow", Connection("chroot", "/proc/self/root")), local("quick")
    looked = look({"naps": [slow, quick]}, node_seconds=1.0, hello_seconds=1.0)
    assert commands_with(number), "its thread cannot be interrupted, and nobody waits for it"
    assert looked.reason("naps", slow).cause == "node.hangs"
    assert looked.value("naps", quick) == "quick\n"
    assert wait(lambda: not commands_with(number), 30)


def test_a_backend_that_is_not_here_is_unreachable(look: Look, observe: Callable[..., None]) -> None:
    observe("says", "echo 7")
    away = [Node(name, Connection(name, "no-such-thing")) for name in ("docker", "podman", "kubectl", "lxc", "openshift")]
    looked = look({"says": [*away, local("here")]})
    for node in away:
        assert looked.reason("says", node).why is Why.UNREACHABLE
    assert looked.value("says", local("here")) == "7\n"


def test_the_program_ends_beside_a_hanging_backend() -> None:
    """asyncio waits at its end for threads that it started itself."""
    code = """
import asyncio, time
from netchecks import trip
from netchecks.errors import NotSeen
from netchecks.models.subjects import Connection, Node
trip.Channel._through_testinfra = lambda self, backend, jobs: time.sleep(600)
try:
    asyncio.run(trip.Channel(Node("n", Connection("docker", "x")), 0.1).run([], 0.2))
except NotSeen as reason:
    print(reason.cause)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "node.hangs\n"), done.stderr


def test_an_interrupted_look_leaves_nothing(tmp_path: Path) -> None:
    """Also where the loop is cancelled from within, as ^C does it."""
    number = f"46.{secrets.randbelow(10**9):09}"

    async def both() -> None:
        from netchecks.script import Alternative, Job
        from netchecks.trip import Channel

        channel = Channel(local("n"))
        job = Job("a", (Alternative(("sleep", number)),), seconds=50)
        running = asyncio.ensure_future(channel.run([job], 60))
        for _ in range(400):
            await asyncio.sleep(0.05)
            if [line for line in commands_with(number) if line.startswith("sleep")]:
                break
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await channel.close()
        assert channel.process is not None
        assert channel.process.returncode is not None

    environment = {"TMPDIR": str(tmp_path)}
    old = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        asyncio.run(both())
    finally:
        for name, value in old.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    assert wait(lambda: not commands_with(number) and not list(tmp_path.iterdir()), 30)


def test_a_fact_nobody_asked_for_is_not_planned() -> None:
    with pytest.raises(NotSeen) as told:
        By("links", {}, lambda name: name)[local("n")]
    assert told.value.why is Why.NOT_PLANNED
