"""Throughput in the lab, over SSH: measured only when asked for, alone, and nothing of it stays, whatever ends the run."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from netchecks.lab.accuracy import default_suites
from netchecks.lab.labs import Lab
from netchecks.lab.making import up, why_not_rooted
from netchecks.lab.snapshot import difference, snapshot
from netchecks.observations.throughput import DEADLINE
from tests.engine.conftest import wait
from tests.engine.test_trip import clean, left, on


def argv(lab: Lab, folder: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "pytest", *default_suites(), f"--inventory-file={lab.inventory}", f"--netchecks-run-dir={folder}", "-q",
        "-p", "no:cacheprovider", "-k", "throughput", *more,
    ]


def run(lab: Lab, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return lab.exec("controller", argv(lab, folder, *more), capture_output=True, text=True, check=False, timeout=200)


def measuring(lab: Lab) -> list[str]:
    """Give every iperf3 that runs anywhere in the lab: its places are namespaces of one holder, which sees all processes."""
    return [line for line in on(lab, "lab", "ps -ww -eo args=").splitlines() if line.startswith("iperf3 ")]


def test_without_the_option_nothing_is_measured(rooted_lab: Lab, tmp_path: Path) -> None:
    with rooted_lab.fault("throughput-limited-at-tap"):
        done = run(rooted_lab, tmp_path / "run")
    assert done.returncode == 5, done.stdout
    assert not (tmp_path / "run" / "report.json").exists() or json.loads((tmp_path / "run" / "report.json").read_text())["checks"] == []


def test_a_limit_is_named_and_nothing_stays(rooted_lab: Lab, tmp_path: Path) -> None:
    before = snapshot(rooted_lab)
    with rooted_lab.fault("throughput-limited-at-tap"):
        done = run(rooted_lab, tmp_path / "run", "--load-tests", "--vm=vm42")
        assert measuring(rooted_lab) == []
    assert done.returncode == 1, done.stdout
    said = " ".join(done.stdout.split())
    assert "CAUSE throughput.limited at node1" in said
    assert "node1 lets 10 Mbit/s out of vm42_net0 (tbf)" in said
    assert difference(before, snapshot(rooted_lab)) == []
    _one_after_the_other(tmp_path / "run")


def _one_after_the_other(folder: Path) -> None:
    """No two flows are measured at the same time; both ends of one are."""
    rows: list[dict[str, Any]] = []
    for path in (folder / "record" / "places").glob("*.jsonl"):
        rows += [row for row in map(json.loads, path.read_text().splitlines()) if row.get("phase") == "alone"]
    clients = sorted((row["started"], row["ended"]) for row in rows if "-c" in row["argv"] and "@transfer" in row["stdout"])
    servers = sorted((row["started"], row["ended"]) for row in rows if "@serves" in row["stdout"])
    assert len(clients) == len(servers) == 3, "two to vm42, one of its node"
    assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(clients))
    assert all(abs(client[0] - server[0]) < 3 for client, server in zip(clients, servers, strict=True))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)], ids=lambda one: one.name)
def test_a_run_that_is_killed_while_it_measures_leaves_no_iperf3(rooted_lab: Lab, tmp_path: Path, number: signal.Signals) -> None:
    """After SIGKILL, ssh lives on until its node is done, which the deadline of both ends bounds."""
    folder, tmp = tmp_path / "run", tmp_path / "tmp"
    tmp.mkdir()  # of the controller and the guests, which have the machine's own
    with rooted_lab.fault("healthy-carries-what-is-declared"):
        process = subprocess.Popen(
            rooted_lab.wrap("controller", ["env", f"TMPDIR={tmp}", *argv(rooted_lab, folder, "--load-tests")]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, stdin=subprocess.DEVNULL,
        )
        try:
            assert wait(lambda: len(measuring(rooted_lab)) >= 2, 40), "both ends run"
            on(rooted_lab, "lab", f"kill -{number.value} $(pgrep -of -- --netchecks-run-dir={folder})")
            output, _ = process.communicate(timeout=30)
        finally:
            process.kill()
            process.communicate()
        patience = 4 if number is not signal.SIGKILL else DEADLINE + 5
        assert wait(lambda: not measuring(rooted_lab), patience), measuring(rooted_lab)
        for node in ("node1", "node2"):
            assert clean(rooted_lab, node, "iperf3 ", patience), left(rooted_lab, node, "iperf3 ")
        assert wait(lambda: not list(tmp.glob("netchecks.*")), patience)
        if number is not signal.SIGKILL:
            assert process.returncode == 2, output
            report = json.loads((folder / "report.json").read_text())
            assert {check["code"] for check in report["checks"]} == {"run.interrupted"}


#: A lab that routes to its VMs: the flow's VM, its address, and the tap of it on node1.
ROUTED = [("vmhost-routing", "10.40.0.142"), ("vmhost-fabric", "10.60.0.142")]


@pytest.mark.slow
@pytest.mark.parametrize(("topology", "address"), ROUTED, ids=[name for name, _ in ROUTED])
def test_in_every_kind_of_network_it_is_measured(tmp_path: Path, topology: str, address: str) -> None:
    reason = why_not_rooted()
    if reason:
        pytest.skip(reason)
    with up(topology, rooted=True, state_dir=tmp_path / "labs") as lab:
        file = _declared(lab, tmp_path, address)
        healthy = _routed(lab, file, tmp_path / "healthy")
        assert healthy.returncode == 0, healthy.stdout
        assert "2 passed" in healthy.stdout
        on(lab, "node1", "tc qdisc add dev vm42_net0 root tbf rate 10mbit burst 16kb latency 50ms")
        limited = _routed(lab, file, tmp_path / "limited")
        assert "CAUSE throughput.limited at node1" in limited.stdout, limited.stdout
        assert "node1 lets 10 Mbit/s out of vm42_net0 (tbf)" in " ".join(limited.stdout.split())


def _declared(lab: Lab, folder: Path, address: str) -> Path:
    """Give the lab's inventory with a way into vm42, and what it shall carry."""
    written = yaml.safe_load(lab.inventory.read_text(encoding="utf-8"))
    netns = lab.wrap("vm42", ["true"])
    name = next(word for word in netns if word.startswith("nc-") and word.endswith("vm42"))
    written["vms"]["vm42"]["guest"] = {"connection": "netns", "address": name}
    written["flows"] = [{"from": source, "to": address, "throughput": {"rate": "50 Mbit/s", "back": "50 Mbit/s"}} for source in ("node1", "controller")]
    file = folder / "inventory.yaml"
    file.write_text(yaml.safe_dump(written, sort_keys=False), encoding="utf-8")
    return file


def _routed(lab: Lab, file: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    line = [word if not word.startswith("--inventory-file=") else f"--inventory-file={file}" for word in argv(lab, folder, "--load-tests")]
    return lab.exec("controller", line, capture_output=True, text=True, check=False, timeout=200)
