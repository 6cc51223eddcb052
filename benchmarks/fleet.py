"""Fifty nodes behind real sshd: netchecks, the same claims with plain testinfra, and the floor, side by side in one lab."""

from __future__ import annotations

import ast
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measure import BenchError, Cost, Row, in_turn, run
from netchecks.lab import Lab, up, why_not_rooted

HERE = Path(__file__).parent
ROOT = HERE.parent
SUITE = ROOT / "suites" / "node"
CLAIMS = HERE / "testinfra_claims"
#: Left out on both sides: what is configured for the next start. Testinfra has nothing that reads those files.
LEFT_OUT = "test_boot.py"
#: At a time, for all alike: the nodes have this machine's CPUs, and 50 shells on 2 of them would time each other out.
CONNECTIONS = 25
#: The plugins that a user has; hypothesis is for netchecks' own tests and costs half a second at the end of each run.
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")

OURS, TESTINFRA, SHARED, FLOOR = "netchecks", "testinfra -n 4", "testinfra -n 4, connections shared", "bare ssh, same scripts"


@dataclass(frozen=True, slots=True)
class Fleet:
    """What was measured. ``trips``: the most that one node took."""

    rows: tuple[Row, ...]
    trips: int
    checks: int

    def ratio(self, above: str, below: str) -> float:
        """Give how many times longer one took than another, by the medians."""
        seconds = {row.name: row.seconds for row in self.rows}
        return seconds[above] / seconds[below]


def functions(folder: Path) -> set[str]:
    """Give the names of the tests in the modules of a folder that are measured."""
    measured = (path for path in folder.glob("test_*.py") if path.name != LEFT_OUT)
    return {
        node.name for path in measured for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def same_claims() -> None:
    """See that both sides say the same. Raises BenchError naming what only one of them has."""
    ours, theirs = functions(SUITE), functions(CLAIMS)
    if ours != theirs:
        raise BenchError(f"{SUITE} and {CLAIMS} differ in {sorted(ours ^ theirs)}: the figures would compare different things")


@dataclass(frozen=True, slots=True)
class Bench:
    """A lab to measure in, and a folder for what the runs write."""

    lab: Lab
    work: Path
    inventory: Path
    addresses: tuple[str, ...]

    def netchecks(self, *more: str, env: dict[str, str] | None = None) -> Cost:
        """Run all node checks on all nodes with netchecks."""
        report = self.work / "run"
        shutil.rmtree(report, ignore_errors=True)
        return self._run([
            *PYTEST, str(SUITE), f"--ignore={SUITE / LEFT_OUT}", f"--inventory-file={self.inventory}", f"--netchecks-run-dir={report}",
            f"--connections={CONNECTIONS}",
            *more,
        ], env)

    def testinfra(self, config: Path) -> Cost:
        """Run the same claims on all nodes with testinfra, in the way of its documentation."""
        hosts = ",".join(f"ssh://{address}" for address in self.addresses)
        return self._run([
            *PYTEST, "-c", str(CLAIMS / "pytest.ini"), str(CLAIMS), "-n", "4", f"--hosts={hosts}", f"--ssh-config={config}",
        ])

    def floor(self) -> Cost:
        """Send the same scripts by ssh alone."""
        return self._run([sys.executable, "-I", str(HERE / "floor.py"), str(self.sent), str(CONNECTIONS)])

    @property
    def sent(self) -> Path:
        """Where it is written down what netchecks sends."""
        return self.work / "sent.json"

    @property
    def config(self) -> Path:
        """The lab's ssh configuration."""
        return self.lab.state.folder / "ssh_config"

    def sharing(self) -> Path:
        """Give an ssh configuration with a ControlPath: without one, testinfra's ControlPersist shares no connection."""
        folder = Path(tempfile.mkdtemp(dir=self.work))  # one a run: no run finds the connections of the one before
        path = folder / "ssh_config"
        path.write_text(self.config.read_text(encoding="utf-8") + f"  ControlPath {folder}/%C\n", encoding="utf-8")
        return path

    def trips(self) -> int:
        """Give the most round trips that a node took in the last run of netchecks."""
        report: dict[str, Any] = json.loads((self.work / "run" / "report.json").read_text(encoding="utf-8"))
        return max(int(place["round_trips"]) for place in report["places"])

    def _run(self, argv: list[str], env: dict[str, str] | None = None) -> Cost:
        """Run it in the controller; its CPU time is also that of the nodes, which are in the lab's cgroup."""
        before = self._nodes_cpu()
        cost = run(self.lab.wrap("controller", argv), ROOT, env)
        return replace(cost, cpu=cost.cpu + self._nodes_cpu() - before)

    def _nodes_cpu(self) -> float:
        told = dict(line.split() for line in Path(self.lab.state.cgroup, "cpu.stat").read_text(encoding="ascii").splitlines())
        return int(told["usage_usec"]) / 1e6


def inventory_of(lab: Lab, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Write the inventory of the measured nodes; give it and their addresses. It declares what test_claims.py expects."""
    data = yaml.safe_load(lab.inventory.read_text(encoding="utf-8"))
    data["nodes"] = {name: node for name, node in data["nodes"].items() if node.get("connection") != "local"}
    for node in data["nodes"].values():
        node["links"]["mgmt0"]["speed"] = 10000
        node["routes"] = [{"to": "10.99.0.0/16", "dev": "mgmt0"}]
        node["sysctl"] = {"net.ipv4.ip_forward": "0"}
    path = folder / "inventory.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path, tuple(node["address"] for node in data["nodes"].values())


def measure(nodes: int, runs: int, slow_runs: int, folder: Path, say: Callable[[str], None]) -> Fleet:
    """Measure, the programs in turn; testinfra ``slow_runs`` times. Raises BenchError, LabError."""
    reason = why_not_rooted()
    if reason:
        raise BenchError(reason)
    same_claims()
    say(f"building {nodes} nodes with systemd and sshd")
    with up(f"nodes-{nodes}", rooted=True) as lab:
        return _in(Bench(lab, folder, *inventory_of(lab, folder)), runs, slow_runs, say)


def _in(bench: Bench, runs: int, slow_runs: int, say: Callable[[str], None]) -> Fleet:
    bench.netchecks("-p", "benchmarks.capture", env={"CAPTURE_TO": str(bench.sent), "PYTHONPATH": str(ROOT)})
    programs: dict[str, tuple[int, Callable[[], Cost]]] = {
        OURS: (runs, bench.netchecks),
        FLOOR: (runs, bench.floor),
        TESTINFRA: (slow_runs, lambda: bench.testinfra(bench.config)),
        SHARED: (slow_runs, lambda: bench.testinfra(bench.sharing())),
    }
    costs = in_turn(programs, say)
    rows = tuple(Row(name, found) for name, found in costs.items())
    return Fleet(rows, bench.trips(), len(functions(SUITE)) * len(bench.addresses))
