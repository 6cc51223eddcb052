"""Whole runs in the lab of nova-network: nothing is changed, no secret is kept, a replay needs no database, an unread one is unknown."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from netchecks.lab.making import up, why_not_rooted
from netchecks.lab.snapshot import difference, snapshot
from netchecks.lab.topology import load
from tests.lab.test_nova_faults import COMES_AND_GOES

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SECRETS = (b"n0va-secret", b"guest-secret", b"l00k-only")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    reason = why_not_rooted(load("nova-flatdhcp").programs)
    if reason:
        pytest.skip(reason)
    with up("nova-flatdhcp", rooted=True, state_dir=tmp_path_factory.mktemp("labs")) as made:
        yield made


def run(lab, folder, *arguments):
    argv = [sys.executable, "-m", "pytest", str(ROOT / "suites"), f"--netchecks-run-dir={folder}", "-q", "-p", "no:cacheprovider", "--tb=no",
            *(arguments or (f"--inventory-file={lab.inventory}",))]
    done = lab.exec("controller", argv, capture_output=True, text=True, cwd=ROOT) if not arguments else subprocess.run(
        argv, capture_output=True, text=True, check=False, cwd=ROOT)
    return done.returncode, json.loads((folder / "report.json").read_text()), done.stdout


def named(report):
    return [(one["code"], one["severity"]) for one in report["diagnoses"]]


@pytest.fixture(scope="module")
def stale(lab, tmp_path_factory):
    """A run while a floating address is stale: the state before and after it, its folder, its outcome."""
    folder = tmp_path_factory.mktemp("run")
    with lab.fault("stale-floating-ip"):
        before = snapshot(lab)
        outcome = run(lab, folder)
        after = snapshot(lab)
    return before, after, folder, outcome


def test_a_run_changes_nothing(stale):
    before, after, _, _ = stale
    changed = [line for line in difference(before, after) if " listeners: " not in line or not COMES_AND_GOES.search(line)]
    assert [line for line in changed if "dbus" not in line] == [], "systemctl starts the bus where it does not run"


def test_the_document_s_case_is_named_with_its_statements(stale):
    *_, (status, report, output) = stale
    assert status == 1
    assert named(report) == [("nova.stale_floating_ip", "finding")], output
    assert "update floating_ips set fixed_ip_id = NULL, host = NULL where fixed_ip_id = '29';" in report["diagnoses"][0]["remedy"]


def test_no_secret_is_in_anything_that_a_run_leaves(stale):
    folder = stale[2]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(b"floating_ips" in path.read_bytes() for path in files), "the rows themselves are there"
    assert [(str(path), secret) for path in files for secret in SECRETS if secret in path.read_bytes()] == []


def test_a_replay_outside_of_the_lab_says_the_same_without_the_database(lab, stale, tmp_path):
    status, report, output = run(lab, tmp_path / "replay", f"--replay-run={stale[2]}")
    assert (status, named(report)) == (1, [("nova.stale_floating_ip", "finding")]), output


def test_a_database_that_cannot_be_reached_makes_its_checks_unknown_and_no_others(lab, tmp_path):
    lab.exec("cloud1", ["systemctl", "stop", "mariadb"], check=True)
    try:
        _, report, output = run(lab, tmp_path / "run")
    finally:
        lab.exec("cloud1", ["systemctl", "restart", "mariadb"], check=True)
    unknown = [one for one in report["checks"] if one["outcome"] == "unknown"]
    assert unknown, output
    assert {one["check"] for one in unknown} == {
        f"openstack.nova_network.{name}" for name in (
            "floating_ips_are_of_living_instances", "addresses_are_bound_once", "instance_has_fixed_ip", "floating_ip_is_bound",
            "database_matches_iptables",
        )
    }
    assert all("10.99.0.10 port 3306" in one["message"] for one in unknown), unknown[0]["message"]
