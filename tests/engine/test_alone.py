"""What has to be alone runs when everything else is done: all that a subject has of it together, one subject after the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from netchecks.errors import Why
from netchecks.models.subjects import Connection, Guest, Node, Vm
from netchecks.observe import OBSERVATIONS, Observation, command
from tests.engine.test_waves import Look, Looked, local, look, observe

assert look
assert observe  # fixtures

NODES = [local(f"n{number}") for number in range(3)]


def inside(vm: Any) -> tuple[Guest, ...]:
    return (vm.guest,) if vm.guest else ()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Declare an observation of a VM that has to be alone: at its node, or inside it."""

    def declare(name: str, shell: str, **more: Any) -> None:
        one = command("{vm.name}", shell=shell)
        monkeypatch.setitem(OBSERVATIONS, name, Observation(name, Vm, one, str, alone=True, **more))

    return declare


def vms(*nodes: Node, guest: Connection | None = None) -> list[Vm]:
    return [Vm(f"vm-{node}", node, "d", guest=Guest(f"guest:vm-{node}", guest or Connection("local"))) for node in nodes]


def spans(looked: Looked, phase: str = "alone") -> list[tuple[float, float]]:
    return sorted(
        (entry.started, entry.ended) for place in looked.record.places.values() for entry in place.entries.values() if entry.phase == phase
    )


def test_it_runs_when_all_else_is_done_and_one_after_the_other(look: Look, observe: Callable[..., None], alone: Callable[..., None]) -> None:
    observe("naps", 'case $1 in n0) sleep 1 ;; esac; echo "$1"', "{node.name}")
    alone("loads", "sleep 0.2; echo $1")
    some = vms(*NODES)
    looked = look({"naps": NODES, "loads": some})
    assert [looked.value("loads", vm) for vm in some] == ["vm-n0\n", "vm-n1\n", "vm-n2\n"]
    turns = spans(looked)
    assert turns[0][0] >= max(end for _, end in spans(looked, "main"))
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(turns))
    assert [what for name, what in looked.told if name == "n1"] == ["looking", "seen", "measuring", "measured"]


def test_two_facts_of_one_subject_run_at_the_same_time_at_their_places(look: Look, alone: Callable[..., None], tmp_path: Any) -> None:
    """Each waits for the other; the one runs at the node, the other inside the VM."""
    meet = "touch {0}/$1.{1}; n=0; while [ ! -e {0}/$1.{2} ] && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done; echo $n"
    alone("clients", meet.format(tmp_path, "client", "server"), seconds=20)
    alone("servers", meet.format(tmp_path, "server", "client"), seconds=20, at=inside)
    some = vms(*NODES[:2])
    looked = look({"clients": some, "servers": some})
    assert all(int(looked.value(fact, vm)) < 90 for fact in ("clients", "servers") for vm in some)
    assert set(looked.kept) == {"n0", "n1", "guest:vm-n0", "guest:vm-n1"}
    assert [entry.phase for entry in looked.record.places["guest:vm-n0"].entries.values()] == ["alone"]


def test_where_one_of_its_places_cannot_be_entered_nothing_runs(look: Look, alone: Callable[..., None], tmp_path: Any) -> None:
    alone("clients", f"touch {tmp_path}/ran.$1; echo ran")
    alone("servers", "echo ran", at=inside)
    bad, good = vms(NODES[0], guest=Connection("netns", "no-such-namespace"))[0], vms(NODES[1])[0]
    looked = look({"clients": [bad, good], "servers": [bad, good]})
    for fact in ("clients", "servers"):
        reason = looked.reason(fact, bad)
        assert (reason.why, "guest:vm-n0" in reason.detail) == (Why.UNREACHABLE, True)
        assert looked.value(fact, good) == "ran\n"
    assert sorted(path.name for path in tmp_path.glob("ran.*")) == ["ran.vm-n1"]


def test_where_it_has_no_place_it_is_not_seen(look: Look, alone: Callable[..., None]) -> None:
    alone("servers", "echo ran", at=inside)
    closed = Vm("vm9", NODES[0], "d")
    assert look({"servers": [closed]}).reason("servers", closed).why is Why.NOT_RECORDED


def test_a_run_that_ends_before_its_turn_says_so(look: Look, observe: Callable[..., None], alone: Callable[..., None]) -> None:
    observe("says", "echo 7")
    alone("loads", "sleep 30", seconds=40)
    some = vms(*NODES[:2])
    looked = look({"says": NODES, "loads": some}, run_seconds=3.0)
    assert looked.seconds < 25
    for vm in some:
        reason = looked.reason("loads", vm)
        assert (reason.why, reason.cause) == (Why.TIMED_OUT, "node.not_reached_in_time")
        assert "before its turn" in reason.detail
    assert looked.value("says", NODES[0]) == "7\n"


def test_a_node_that_hangs_costs_its_turn_only(look: Look, alone: Callable[..., None]) -> None:
    alone("loads", 'case $1 in *n0) sleep 30 ;; esac; echo "$1"', seconds=40)
    first, second = vms(*NODES[:2])
    looked = look({"loads": [first, second]}, node_seconds=2.0)
    assert looked.reason("loads", first).cause == "node.hangs"
    assert looked.value("loads", second) == "vm-n1\n"
