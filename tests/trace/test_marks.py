"""Marks: the same in one run, another for each flow and run, and always within their fields."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st

from netchecks.trace.marks import COOKIE, RUN, TURNS, mark_of
from tests.trace.given import OTHER_RUN
from tests.trace.given import RUN as ONE_RUN

RUNS = st.builds(lambda first, rest: bytes([first]) + rest, st.integers(0xC0, 0xEF), st.binary(min_size=3, max_size=3))


def test_a_mark_is_the_same_in_one_run_and_process():
    assert mark_of("a-flow") == mark_of("a-flow", RUN)
    assert mark_of("a-flow") != mark_of("b-flow")
    assert mark_of("a-flow", ONE_RUN) != mark_of("a-flow", OTHER_RUN)
    code = f"from netchecks.trace.marks import mark_of; print(mark_of('a-flow', {ONE_RUN!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(mark_of("a-flow", ONE_RUN)), "a replay in another process knows it again"


def test_each_process_is_a_run_of_its_own():
    code = "from netchecks.trace.marks import RUN; print(RUN.hex())"
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() for _ in range(2)}
    assert len(runs | {RUN.hex()}) == 3
    assert all(0xC0 <= int(run[:2], 16) <= 0xEF for run in runs)


@given(st.text(max_size=40), RUNS)
@settings(max_examples=500, deadline=None)
def test_no_field_of_a_mark_overflows(flow, run):
    """A client's port: 49152 to 61439. What the kernel's filter knows the run by stays as it is in every turn."""
    mark = mark_of(flow, run)
    for turn in range(TURNS):
        assert 49152 <= mark.port + turn <= 61439
        assert (mark.port + turn) >> 8 == run[0]
        assert mark.sequence + turn + 1 < 1 << 32
        assert {(mark.sequence + turn) >> 16, (mark.sequence + turn + 1) >> 16} == {int.from_bytes(run[:2], "big")}
        assert len(mark.payload(turn)) == COOKIE
        assert mark.payload(turn)[:4] == run
    assert 0 < mark.identifier < 1 << 16


@given(st.text(max_size=10), RUNS)
@settings(max_examples=100, deadline=None)
def test_a_turn_is_known_by_every_field_and_no_other_number_is(flow, run):
    mark = mark_of(flow, run)
    for turn in range(TURNS):
        assert mark.turn_of(mark.payload(turn) + b"padding") == turn
        assert mark.turn_in(mark.sequence + turn) == turn
        assert mark.is_from(mark.port + turn)
    for beside in (-1, TURNS):
        assert mark.turn_in(mark.sequence + beside) is None
        assert not mark.is_from(mark.port + beside)
    assert mark.turn_of(mark.cookie + bytes([TURNS])) is None


@given(st.binary(max_size=40))
def test_other_payloads_have_no_turn(payload):
    mark = mark_of("a-flow", ONE_RUN)
    assert mark.turn_of(payload) is None
    assert mark.turn_of(mark.payload(1)[:-1]) is None, "cut off"


def test_a_thousand_flows_have_a_thousand_cookies():
    assert len({mark_of(f"flow-{number}", ONE_RUN).cookie for number in range(1000)}) == 1000
