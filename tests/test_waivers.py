"""Waivers, from the inventory to the exit status: what is accepted shows as that everywhere, and for as long as it says."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

CONFTEST = '''
pytest_plugins = ["netchecks.plugin"]
from netchecks.models.subjects import Node
from netchecks.observe import observation

@observation("no-such-tool-here --version", of=Node)
def site_missing(text: str) -> str:
    """Never there."""
    return text
'''
CHECKS = '''
from netchecks.errors import Wrong
from netchecks.models.subjects import Node
from netchecks.seen import By

def test_cable_is_in(node: Node) -> None:
    """The cable is in."""
    raise Wrong("cable.out", f"{node}: the cable is out", place=node.name)

def test_tool_says(node: Node, site_missing: By[Node, str]) -> None:
    """The tool says yes."""
    assert site_missing[node]

def test_is_fine(node: Node) -> None:
    """Nothing is wrong."""

def test_has_a_bug(node: Node) -> None:
    """A check of ours is wrong."""
    {}["site bug"]
'''
INVENTORY = 'version: 1\ndefaults: {node: {connection: local, roles: [host]}}\nnodes: {"n[1-2]": {}}\nwaivers:\n'


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run left: its exit status, what it printed, and its reports."""

    status: int
    output: str
    folder: Path

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "run/report.json").read_text(encoding="utf-8"))
        return found

    @property
    def outcomes(self) -> dict[str, str]:
        return {f"{check['check'].split('.')[-1]} {_subject(check)}": check["outcome"] for check in self.report["checks"]}

    @property
    def cases(self) -> dict[str, ET.Element]:
        return {case.get("name", ""): case for case in ET.parse(self.folder / "junit.xml").iter("testcase")}


def _subject(check: dict[str, Any]) -> str:
    subjects = check["subjects"]
    return str(next(iter(subjects.values()))) if isinstance(subjects, dict) else str(subjects[0][-1])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Give a function that runs the site's checks with these waivers, once for all tests that ask for the same."""

    @cache
    def run(*waivers: str, only: str = "cable", more: tuple[str, ...] = ()) -> Ran:
        tmp_path = tmp_path_factory.mktemp("site")
        (tmp_path / "suites/site").mkdir(parents=True)
        (tmp_path / "conftest.py").write_text(CONFTEST)
        (tmp_path / "suites/site/test_site.py").write_text(CHECKS)
        lines = "".join(f"- {waiver}\n" for waiver in waivers)
        (tmp_path / "inventory.yaml").write_text(INVENTORY + lines if waivers else INVENTORY.removesuffix("waivers:\n"))
        command = [
            sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:pytest11.testinfra", "--import-mode=importlib",
            f"--rootdir={tmp_path}", f"--netchecks-run-dir={tmp_path / 'run'}", f"--junitxml={tmp_path / 'junit.xml'}",
            "--inventory-file=inventory.yaml", "-k", only, *more, "suites",
        ]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        return Ran(done.returncode, done.stdout + done.stderr, tmp_path)

    return run


WAIVER = '{check: "site.cable_is_in", subject: "*", reason: "ticket 7"}'


def test_without_a_waiver_the_check_fails(run):
    ran = run()
    assert ran.status == 1
    assert ran.outcomes == {"cable_is_in n1": "failed", "cable_is_in n2": "failed"}
    assert {item["code"] for item in ran.report["diagnoses"]} == {"cable.out"}


def test_a_waived_failure_is_shown_and_does_not_count(run):
    ran = run(WAIVER)
    assert ran.status == 0, ran.output
    assert ran.outcomes == {"cable_is_in n1": "waived", "cable_is_in n2": "waived"}
    assert ran.report["diagnoses"] == []
    assert "WW" in ran.output
    assert "2 waived" in ran.output
    messages = {check["message"] for check in ran.report["checks"]}
    assert messages == {f"ticket 7 ({node}: the cable is out)" for node in ("n1", "n2")}


def test_junit_says_skipped_and_why(run):
    cases = run(WAIVER).cases
    assert len(cases) == 2
    for case in cases.values():
        skipped = case.find("skipped")
        assert skipped is not None
        assert "ticket 7" in (skipped.get("message") or "") + (skipped.text or "")
        assert case.find("failure") is None
        assert case.find("error") is None


def test_verbose_says_waived(run):
    assert run(WAIVER, more=("-v",)).output.count("WAIVED") >= 2


def test_the_report_for_people_tells_them(run):
    text = (run(WAIVER).folder / "run/report.md").read_text()
    assert "ticket 7" in text


def test_a_waiver_is_for_its_subject_alone(run):
    ran = run('{check: "*", subject: n1, reason: "ticket 7"}')
    assert ran.status == 1
    assert ran.outcomes == {"cable_is_in n1": "waived", "cable_is_in n2": "failed"}
    assert [item["places"] for item in ran.report["diagnoses"]] == [["n2"]]


def test_a_waiver_is_for_its_check_alone(run):
    assert run('{check: "site.tool_says", subject: "*", reason: "ticket 7"}').status == 1


def test_a_range_of_subjects(run):
    assert run('{check: "site.*", subject: "n[1-2]", reason: "ticket 7"}').status == 0


@pytest.mark.parametrize(("until", "status"), [("2001-01-31", 1), ("2999-12-31", 0)])
def test_an_expired_waiver_is_none(run, until, status):
    ran = run(f'{{check: "site.cable_is_in", subject: "*", reason: "ticket 7", until: {until}}}')
    assert ran.status == status, ran.output
    assert set(ran.outcomes.values()) == {"failed" if status else "waived"}


def test_a_replay_judges_by_the_day_of_its_run(run):
    """What was waived then is waived in the replay: the record keeps the inventory and the day."""
    ran = run(WAIVER)
    again = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:pytest11.testinfra", "--import-mode=importlib",
            f"--rootdir={ran.folder}", f"--netchecks-run-dir={ran.folder / 'again'}", f"--replay-run={ran.folder / 'run'}", "-k", "cable", "suites",
        ],
        cwd=ran.folder, capture_output=True, text=True, timeout=120, check=False,
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert "2 waived" in again.stdout


def test_an_unknown_can_be_waived(run):
    assert run(only="tool").status == 6
    ran = run('{check: "site.tool_says", subject: "*", reason: "not bought yet"}', only="tool")
    assert ran.status == 0, ran.output
    assert set(ran.outcomes.values()) == {"waived"}
    assert all("not installed" in check["message"] for check in ran.report["checks"])
    assert all(case.find("skipped") is not None and case.find("error") is None for case in ran.cases.values())


def test_what_passes_is_not_waived(run):
    ran = run('{check: "*", subject: "*", reason: "all of it"}', only="fine")
    assert (ran.status, set(ran.outcomes.values())) == (0, {"passed"})


def test_a_bug_of_a_check_cannot_be_waived(run):
    ran = run('{check: "*", subject: "*", reason: "all of it"}', only="bug")
    assert ran.status == 1
    assert set(ran.outcomes.values()) == {"broken"}


def test_workers_waive_alike(run):
    pytest.importorskip("xdist")
    ran = run(WAIVER, more=("-n", "2"))
    assert ran.status == 0, ran.output
    assert set(ran.outcomes.values()) == {"waived"}
