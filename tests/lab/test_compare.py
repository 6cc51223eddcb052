"""--compare: a failing subject beside one that is whole, live over SSH and replayed, with xdist too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from netchecks.lab.labs import Lab

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8"))
SUITES, CHANGES = "suites/vmhost/test_bridge.py", "suites/node/test_changes.py"


def run(lab: Lab, folder: Path, *more: str) -> tuple[subprocess.CompletedProcess[str], dict]:
    argv = [sys.executable, "-m", "pytest", *more, "-q", "-p", "no:cacheprovider", f"--netchecks-run-dir={folder}"]
    done = lab.exec("controller", argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    Draft202012Validator(SCHEMA).validate(report)
    return done, report


def test_a_vm_beside_a_healthy_one(rooted_lab: Lab, tmp_path: Path) -> None:
    live, replayed = tmp_path / "live", tmp_path / "replayed"
    chosen = ("suites/vmhost", "--vm=vm42", "--compare-vm=vm44")
    with rooted_lab.fault("tap-not-in-bridge"):
        done, report = run(rooted_lab, live, *chosen, f"--inventory-file={rooted_lab.inventory}")
    assert done.returncode == 1, done.stdout + done.stderr
    [cause] = report["diagnoses"]
    beside = cause["compared"]
    assert (beside["subject"], beside["sibling"], beside["sibling_outcome"], beside["same"]) == ("vm42", "vm44", "passed", ["domains"])
    told = {one["fact"]: one for one in beside["differing"]}
    assert told["links"]["here"] == []
    assert told["links"]["there"] == ["[<its tap>]: port_kind = bridge, master = br0"]
    assert "[br0].ports[<its tap>]: name = <its tap>, state = forwarding" in told["bridges"]["there"][0]
    assert "Beside: vm44, which passes this check; vm42 and it differ in" in " ".join(done.stdout.split())
    assert "+++ vm44" in (live / "report.md").read_text(encoding="utf-8")
    vms = {check["subjects"].get("vm") for check in report["checks"]}
    assert vms >= {"vm42", "vm44"}
    assert "vm43" not in vms

    done, again = run(rooted_lab, replayed, *chosen, f"--replay-run={live}", "-n2")
    assert done.returncode == 1, done.stdout + done.stderr
    assert [one["compared"] for one in again["diagnoses"]] == [beside]


def test_a_node_beside_another(rooted_lab: Lab, tmp_path: Path) -> None:
    with rooted_lab.fault("uplink-not-in-bridge"):
        done, report = run(rooted_lab, tmp_path / "run", SUITES, CHANGES, "--host=node1", "--compare=node2", f"--inventory-file={rooted_lab.inventory}")
    beside = next(one["compared"] for one in report["diagnoses"] if one["code"] == "uplink.not_in_bridge")
    assert (beside["subject"], beside["sibling"], beside["sibling_outcome"]) == ("node1", "node2", "passed")
    assert any(line.startswith("[br0].ports[eth0]:") for one in beside["differing"] for line in one["there"])
    (lately,) = [one["lately"]["node1"] for one in report["diagnoses"] if one["code"] == "uplink.not_in_bridge"]
    assert any(line.startswith("the node started ") for line in lately), "as the lab's systemd knows"
    assert "Lately: node1: " in done.stdout
    assert "Changed lately:" in (tmp_path / "run" / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("option", "known"), [("--compare=nod2", "node2"), ("--compare-vm=nobody", "vm42"), ("--compare-network=x", "lan")])
def test_a_name_that_the_inventory_has_not(rooted_lab: Lab, tmp_path: Path, option: str, known: str) -> None:
    argv = [sys.executable, "-m", "pytest", SUITES, f"--inventory-file={rooted_lab.inventory}", option, "-q", f"--netchecks-run-dir={tmp_path}"]
    done = rooted_lab.exec("controller", argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 4
    assert f"{option.replace('=', ' ')}: the inventory has no such name" in done.stderr
    assert known in done.stderr
