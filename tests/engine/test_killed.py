"""A run that is killed while it looks leaves a valid partial report, and nothing on any node."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from netchecks.lab.labs import Lab
from tests.engine.conftest import wait
from tests.engine.test_trip import clean, controllers, left, on

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_text(encoding="utf-8"))
#: What the fault command-hangs puts in place of bridge, on node1.
HANGS = "sleep 1004"


@dataclass(slots=True)
class Running:
    """A run of the suites in the lab's controller, in the middle of looking."""

    lab: Lab
    folder: Path
    process: subprocess.Popen[str]
    output: str = ""

    def signal(self, number: signal.Signals) -> None:
        """Send it to pytest, and to nothing else."""
        on(self.lab, "lab", f"kill -{number.value} $(pgrep -of {self.folder}$)")

    def end(self, seconds: float = 30) -> int:
        """Wait for its end; give its status."""
        self.output, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode

    def report(self) -> dict[str, Any]:
        """Give its report, which has to be valid, and to account for each selected check once."""
        found: dict[str, Any] = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        Draft202012Validator(SCHEMA).validate(found)
        ids = [check["id"] for check in found["checks"]]
        assert len(ids) == len(set(ids)) == sum(found["outcomes"].values())
        return found

    def leaves_nothing(self) -> None:
        for node in ("node1", "node2"):
            assert clean(self.lab, node, HANGS), left(self.lab, node, HANGS)
        assert wait(lambda: not controllers(self.lab, "10.99.0.1"), 30), "an ssh stays on the controller"
        assert not list((self.folder / "record").rglob("*.part"))


@pytest.fixture
def running(rooted_lab: Lab, tmp_path: Path) -> Iterator[Running]:
    """A run whose node1 hangs in a command."""
    folder = tmp_path / "run"
    argv = [sys.executable, "-m", "pytest", "suites", f"--inventory-file={rooted_lab.inventory}", "-p", "no:cacheprovider",
            "--netchecks-run-dir", str(folder)]
    with rooted_lab.fault("command-hangs"):
        process = subprocess.Popen(
            rooted_lab.wrap("controller", argv), cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )
        try:
            assert wait(lambda: HANGS in on(rooted_lab, "node1", "ps -ww -eo args=").splitlines())
            yield Running(rooted_lab, folder, process)
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_while_looking(running: Running, number: signal.Signals) -> None:
    running.signal(number)
    assert running.end() == 2, running.output
    running.leaves_nothing()
    report = running.report()
    assert not report["complete"]
    assert report["outcomes"]["unknown"] == len(report["checks"]) > 300
    assert {check["code"] for check in report["checks"]} == {"run.interrupted"}
    assert "Traceback" not in running.output
    assert "INTERNALERROR" not in running.output


def test_an_impatient_second_signal(running: Running) -> None:
    running.signal(signal.SIGINT)
    time.sleep(0.1)
    running.signal(signal.SIGINT)
    assert running.end() == 2, running.output
    running.leaves_nothing()
    assert running.report()["outcomes"]["unknown"] > 300


@pytest.mark.slow
def test_a_run_that_cannot_say_goodbye(running: Running) -> None:
    """SIGKILL: ssh lives on until its node is done, which each command's own deadline bounds."""
    running.signal(signal.SIGKILL)
    running.end()
    for node in ("node1", "node2"):
        assert clean(running.lab, node, HANGS, 20), left(running.lab, node, HANGS)
    assert wait(lambda: not controllers(running.lab, "10.99.0.1"), 30)
