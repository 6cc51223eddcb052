"""Every run accounts for each selected check exactly once, however it ends, and leaves a valid report."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from tests.reporters.conftest import Ran, Site

SCHEMA = Path(__file__).parents[2] / "docs" / "report.schema.json"

#: What the checks of the little suite end as on two nodes.
EXPECTED = {"passed": 4, "failed": 4, "unknown": 2, "waived": 4, "broken": 2}

SLOW = '''
from netchecks.models.subjects import Node
from netchecks.observe import observation

@observation("{node.name}", shell='[ "$1" != n2 ] || exec sleep 47', of=Node, seconds=50)
def site_slow(text: str) -> str:
    """Takes long on one node."""
    return text
'''

SLOW_CHECKS = '''
import pytest
from netchecks.models.subjects import Node
from netchecks.seen import By

@pytest.mark.parametrize("number", range(3))
def test_slow(node: Node, number: int, site_slow: By[Node, str]) -> None:
    """It is there."""
    site_slow[node]
'''


def validate(report: dict[str, Any]) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(report)


def accounted(ran: Ran, selected: int) -> dict[str, Any]:
    """Every selected check is in the report once, and the sums agree."""
    report = ran.report
    validate(report)
    ids = [check["id"] for check in report["checks"]]
    assert len(ids) == len(set(ids)) == selected, ran.output
    counted = Counter(check["outcome"] for check in report["checks"])
    assert {name: count for name, count in report["outcomes"].items() if count} == dict(counted)
    assert (ran.folder / "report.md").is_file()
    assert not list(ran.folder.glob("*.part"))
    return report


def test_plain_run(site: Site) -> None:
    ran = site.run()
    report = accounted(ran, 16)
    assert report["outcomes"] == EXPECTED
    assert report["not_applicable"] == 1
    assert report["complete"]
    assert ran.status == report["exit_status"] == 1


def test_x_leaves_the_rest_unknown(site: Site) -> None:
    ran = site.run("-x")
    report = accounted(ran, 16)
    assert report["outcomes"] == {"passed": 2, "failed": 1, "unknown": 13, "waived": 0, "broken": 0}
    assert not report["complete"]
    left = [check for check in report["checks"] if check["outcome"] == "unknown"]
    assert {check["code"] for check in left} == {"run.interrupted"}
    assert "13 of 16 checks were not judged" in ran.output


def test_xdist_accounts_for_all_and_finds_the_same(site: Site) -> None:
    plain, spread = site.run(), site.run("-n", "2")
    one, two = accounted(plain, 16), accounted(spread, 16)
    assert two["outcomes"] == EXPECTED
    assert two["not_applicable"] == 1
    assert two["looking_seconds"] > 0
    assert [_without_times(item) for item in one["diagnoses"]] == [_without_times(item) for item in two["diagnoses"]]
    assert {place["round_trips"] for place in two["places"]} == {1}
    assert not (spread.folder / "selected.json").exists()


def test_xdist_with_x_accounts_for_what_no_worker_reached(site: Site) -> None:
    report = accounted(site.run("-n", "2", "-x"), 16)
    assert report["outcomes"]["failed"] >= 1
    assert not report["complete"]
    assert {check["check"].partition(".")[0] for check in report["checks"]} == {"little"}


def _without_times(item: dict[str, Any]) -> dict[str, Any]:
    quoted = [{name: one[name] for name in one.keys() - {"uptime", "seconds"}} for one in item["evidence"]]
    return {**item, "evidence": quoted}


def test_replay_gives_the_same_outcomes_and_diagnoses(site: Site) -> None:
    live = site.run("-k", "not host_says")
    again = site.run("-k", "not host_says", "--replay-run", str(live.folder))
    one, two = accounted(live, 14), accounted(again, 14)
    assert one["outcomes"] == two["outcomes"]
    assert one["diagnoses"] == two["diagnoses"]
    assert two["replay_of"].endswith("record")
    assert two["started"] == one["started"]


def test_a_host_test_is_unknown_in_a_replay(site: Site) -> None:
    live = site.run()
    report = accounted(site.run("--replay-run", str(live.folder)), 16)
    hosts = [check for check in report["checks"] if check["check"] == "little.host_says"]
    assert {check["outcome"] for check in hosts} == {"unknown"}


def test_only_unknowns_have_an_exit_status_of_their_own(site: Site) -> None:
    assert site.run("-k", "tool_says or notes").status == 6
    assert site.run("-k", "tool_says or notes", "-x").status == 6
    assert site.run("-k", "tool_says or link_is_up").status == 1
    assert site.run("-k", "notes").status == 0


@pytest.fixture
def slow_site(empty_site: Site) -> Site:
    empty_site.write("conftest.py", 'pytest_plugins = ["netchecks.plugin"]\n' + SLOW)
    empty_site.write("suites/little/test_slow.py", SLOW_CHECKS)
    return empty_site


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["plain", "xdist"])
def test_killed_while_looking(slow_site: Site, number: signal.Signals, arguments: tuple[str, ...]) -> None:
    ran = slow_site.kill(number, "sleep 47", *arguments)
    report = accounted(ran, 6)
    assert report["outcomes"]["unknown"] == 6, ran.output
    assert {check["code"] for check in report["checks"]} == {"run.interrupted"}
    assert {check["check"] for check in report["checks"]} == {"little.slow"}
    assert not report["complete"]
    assert ran.status == 2
    assert "6 of 6 checks were not judged" in ran.output
    assert _left_over(slow_site) == []


def _left_over(site: Site) -> list[str]:
    """Give what is left of the looking: processes in the site's folder, and files. The watcher looks once a second."""
    deadline, found = time.monotonic() + 5, [""]
    while found and time.monotonic() < deadline:
        time.sleep(0.2)
        found = [*map(str, (site.path / "tmp").glob("netchecks.*")), *_processes(site.path)]
    return found


def _processes(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == folder:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def test_nothing_left_to_run_is_no_success(site: Site) -> None:
    ran = site.run("-k", "applies_to_nothing")
    assert ran.status == 5
    assert accounted(ran, 0)["not_applicable"] == 1


def test_a_suite_that_cannot_be_collected_looks_at_nothing(site: Site) -> None:
    site.write("suites/little/test_wrong.py", "import no_such_module\n")
    ran = site.run()
    assert ran.status == 2
    assert "looking at" not in ran.output
    accounted(ran, 16)
