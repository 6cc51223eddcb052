"""What stands on the screen: readable in 80 columns, without colour, with one failure and with hundreds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from netchecks.diagnose import Diagnosis, Judged
from netchecks.errors import NotSeen, Why
from netchecks.evidence import Evidence
from netchecks.record import PlaceRecord, Record
from netchecks.report import Report
from netchecks.reporters import terminal
from netchecks.reporters.progress import Progress, Screen

if TYPE_CHECKING:
    from tests.reporters.conftest import Site


@dataclass
class Writer:
    """Stands for pytest's terminal reporter."""

    fullwidth: int = 80
    lines: list[str] = field(default_factory=list)

    def section(self, title: str, sep: str = "=") -> None:
        self.lines.append(title.center(self.fullwidth, sep))

    def line(self, text: str, **_markup: bool) -> None:
        assert "\n" not in text
        self.lines.append(text)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def diagnosis(number: int = 1, severity: Any = "cause", **changes: Any) -> Diagnosis:
    base = Diagnosis(
        f"uplink.wrong_{number}", severity, "eth0 is in no bridge", ("node1",), "node administrator", "ip link set dev eth0 master br0",
        "shown by state, and packets do not pass", (f"node1: eth0 is in no bridge; br0 has ports [], expected eth0 ({number})",),
        tuple(f"suites/vmhost/test_x.py::test_vm_answers_ping[vm{vm}]" for vm in range(12)), (("links", "node1"),),
        "frames from outside enter the bridge through it; without it the VMs are an island.", "a book",
    )
    return replace(base, **changes)


def report(*diagnoses: Diagnosis, checks: tuple[Judged, ...] = (), seen: Record | None = None, **changes: Any) -> Report:
    evidence = {("links", "node1"): Evidence(
        "links", "node1", "node1", ("timeout", "-k", "1", "5", "ip", "-d", "-j", "link", "show"), 0, 1.0, 0.1,
        '[{"ifname": "lo", "mtu": 65536}, {"ifname": "eth0", "operstate": "UP", "mtu": 1500}]', "",
    )}
    base = Report(
        "run1", "0.1.0", "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:01+00:00", (), 1, ("i.yaml",), "", (), (), 3, diagnoses,
        checks or (Judged("a", "s.a", "failed"), Judged("b", "s.b", "passed")), seen or Record(), evidence,
    )
    return replace(base, **changes)


def shown(told: Report, width: int = 80) -> Writer:
    writer = Writer(width)
    terminal.write(told, writer, Path("reports/run1"))
    return writer


def test_a_cause_says_what_where_why_proof_remedy_owner_and_consequences() -> None:
    text = shown(report(diagnosis())).text
    for part in (
        "1. CAUSE uplink.wrong_1 at node1", "   node1: eth0 is in no bridge;", "   Why:    frames from outside",
        "   Proof:  shown by state, and packets do not pass", "     node1$ ip -d -j link show", "       ifname=eth0 operstate=UP mtu=1500",
        "   Remedy: node administrator: ip link set dev eth0 master br0", "   Explains 12 checks: vm_answers_ping (12)",
        "2 checks: 1 passed, 1 failed; 3 more do not apply here", "report: reports/run1/report.md", "--replay-run reports/run1",
    ):
        assert part in text


def test_what_changed_lately_stands_with_the_cause_and_with_no_note() -> None:
    told = report(diagnosis(), diagnosis(2, "note"), lately={"node1": ("frr started 10 min ago", "the node started 2 h ago"), "node2": ("x",)})
    text = " ".join(shown(told).text.split())
    assert "Lately: node1: frr started 10 min ago; the node started 2 h ago Remedy:" in text
    assert text.count("Lately:") == 1


def test_eighty_columns_are_enough() -> None:
    long = diagnosis(2, places=tuple(f"hypervisor-with-a-long-name-{n}" for n in range(300)), messages=("node1: " + "word " * 60,) * 300)
    notes = [diagnosis(n, "note", messages=("something " * 30,)) for n in range(30)]
    writer = shown(report(diagnosis(), long, diagnosis(3, "finding"), diagnosis(4, "unseen"), *notes))
    assert [line for line in writer.lines if len(line) > 80] == []


def test_three_hundred_places_are_eight_and_a_count() -> None:
    many = diagnosis(places=tuple(f"n{n}" for n in range(300)), messages=tuple(f"n{n}: no" for n in range(300)))
    text = shown(report(many)).text
    assert "n6, n7 and 292 more" in text
    assert "n8" not in text.replace("n80", "")
    assert "... and 296 more like it" in text


def test_a_command_to_type_stays_in_one_line() -> None:
    command = "virsh -c qemu:///system domif-setlink --domain customer-17 --interface 52:54:00:00:00:01 --state up"
    lines = shown(report(diagnosis(remedy=command))).lines
    assert " " * 11 + command in lines


def test_fifty_findings_fit_on_two_screens_and_the_cause_is_said_again_at_the_end() -> None:
    findings = [diagnosis(number, "finding", places=(f"n{number}",)) for number in range(2, 52)]
    writer = shown(report(diagnosis(), *findings))
    assert len(writer.lines) < 130
    assert "  ... and 20 more in the report" in writer.lines
    tail = "\n".join(writer.lines[-8:])
    assert "Begin with 1. uplink.wrong_1 at node1" in tail
    assert "ip link set dev eth0 master br0" in tail


def test_what_was_not_looked_at_is_told_even_where_no_check_asked() -> None:
    seen = Record(places={"n9": PlaceRecord("n9", missed={"all": NotSeen(Why.UNREACHABLE, "n9: refused", cause="node.ssh_refused")})})
    assert "n9 (all): unreachable: n9: refused" in shown(report(diagnosis(), seen=seen)).text
    told = diagnosis(2, "unseen", code="node.ssh_refused", places=("n9",))
    assert "n9 (all)" not in shown(report(diagnosis(), told, seen=seen)).text


def test_all_well_and_nothing_at_all() -> None:
    passed = (Judged("a", "s.a", "passed"),)
    assert "Nothing is wrong: 1 of 1 checks passed." in shown(report(checks=passed)).text
    waived = (Judged("a", "s.a", "waived", message="known"),)
    text = shown(report(checks=waived)).text
    assert "Nothing was checked." in text
    assert "WAIVED s.a: known" in text


def test_an_interrupted_run_never_says_that_nothing_is_wrong() -> None:
    checks = (Judged("a", "s.a", "passed"), Judged("b", "s.b", "unknown", code="run.interrupted"))
    text = shown(report(diagnosis(1, "unseen", code="run.interrupted"), checks=checks)).text
    assert "Nothing is wrong" not in text
    assert "INTERRUPTED: 1 of 2 checks were not judged" in text


def test_what_a_node_printed_cannot_move_the_cursor() -> None:
    assert "\x1b" not in shown(report(diagnosis(messages=("node1: \x1b[2Jgone",)))).text


# -- what pytest itself prints ---------------------------------------------------------------------------------------


def test_failing_checks_make_no_noise_and_other_failures_keep_their_traceback(site: Site) -> None:
    ran = site.run()
    assert "test_link_is_up[n1] ____" not in ran.output
    assert "FAILED suites/little/test_links.py::test_link_is_up" not in ran.output
    assert 'assert host.run("echo 7").stdout == "8\\n"' in ran.output
    assert "KeyError: 'site bug'" in ran.output
    assert "BROKEN suites/little/test_links.py::test_has_a_bug[n1]" in ran.output
    assert "6 failed, 4 passed, 2 skipped, 2 unknown, 2 waived" in ran.output.splitlines()[-1]


def test_two_vs_show_what_pytest_shows(site: Site) -> None:
    ran = site.run("-vv", "-k", "link_is_up")
    assert "test_link_is_up[n1] ____" in ran.output
    assert "test_link_is_up[n1] FAILED" in ran.output


def test_only_checks_fail_and_no_failures_section_is_left(site: Site) -> None:
    ran = site.run("-k", "link_is_up or tool_says")
    assert "= FAILURES =" not in ran.output
    assert "short test summary" not in ran.output
    assert [line for line in ran.output.splitlines() if len(line) > 80 and str(site.path) not in line and "plugins:" not in line] == []


# -- progress --------------------------------------------------------------------------------------------------------


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def told() -> list[str]:
    return []


def test_off_a_terminal_few_lines_name_who_is_waited_for(told: list[str]) -> None:
    clock = Clock()
    progress = Progress([f"n{n}" for n in range(500)], Screen(told.append), every=1000, clock=clock)
    for number in range(500):
        progress.tell(f"n{number}", "looking")
    for number in range(2, 500):
        progress.tell(f"n{number}", "seen")
    progress.refresh()
    assert told[1:] == []
    clock.now += 12
    progress.refresh()
    progress.tell("n0", "timed out: n0: connected, but its commands did not answer within 60 s")
    progress.tell("n1", "seen")
    progress.end(60.0)
    assert told == [
        "looking at 500 places: n0, n1, n2, n3, n4, n5 and 494 more",
        "  looked at 498 of 500, waiting for n0 (12 s), n1 (12 s)",
        "  n0: timed out: n0: connected, but its commands did not answer within 60 s",
        "looked at 500 of 500 in 60.0 s, 1 could not be looked at",
    ]


def test_of_many_that_cannot_be_looked_at_the_first_are_named(told: list[str]) -> None:
    progress = Progress([f"n{n}" for n in range(50)], Screen(told.append), every=1000)
    for number in range(50):
        progress.tell(f"n{number}", "unreachable: refused")
    progress.end(1.0)
    assert len(told) == 13
    assert told[11] == "  and more that cannot be looked at"


def test_on_a_terminal_one_line_is_rewritten(told: list[str]) -> None:
    clock = Clock()
    written: list[str] = []
    progress = Progress(["n0", "n1"], Screen(told.append, written.append, 40), every=1000, clock=clock)
    progress.tell("n0", "looking")
    clock.now += 5
    progress.tell("n1", "seen")
    progress.end(5.0)
    assert written[0] == "looked at 1 of 2, waiting for n0 (5 s)".ljust(39)
    assert {len(line) for line in written} == {39, 0}
    assert written[-1] == ""
    assert told[-1] == "looked at 1 of 2 in 5.0 s"


def test_it_speaks_by_itself_while_nothing_happens(told: list[str]) -> None:
    clock = Clock()
    progress = Progress(["n0"], Screen(told.append), every=0.01, clock=clock)
    progress.tell("n0", "looking")
    clock.now += 7
    for _ in range(500):
        if len(told) > 1:
            break
        progress._stop.wait(0.01)
    progress.end(7.0)
    assert told[1] == "  looked at 0 of 1, waiting for n0 (7 s)"
