"""A trace that is killed in the middle leaves nothing on any node: no process, no file, no capture."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from netchecks.lab.labs import Lab
from tests.engine.conftest import wait
from tests.engine.test_trip import clean, controllers, left, on

ROOT = Path(__file__).parents[2]
#: How the agent is started on a node.
AGENT = "python3 -"
PLACES = ("controller", "node1", "vm42")
#: Seconds: all of it is gone in two or three, on a machine that has nothing else to do.
PATIENCE = 30.0


@dataclass(slots=True)
class Tracing:
    """netchecks trace in the lab's controller, while its agents listen."""

    lab: Lab
    process: subprocess.Popen[str]
    folder: Path

    def listening(self, place: str) -> int:
        """Count the captures of a place."""
        return len(on(self.lab, place, "cat /proc/net/packet").splitlines()) - 1

    def ssh(self) -> str:
        """Give the PIDs of the connections to the node."""
        lines = on(self.lab, "lab", "ps -ww -eo pid=,args=").splitlines()
        pids = [line.split()[0] for line in lines if " ssh " in line and "10.99.0.11" in line]
        assert pids
        return " ".join(pids)

    def leaves_nothing(self) -> None:
        assert clean(self.lab, "node1", AGENT, PATIENCE), left(self.lab, "node1", AGENT)
        assert wait(lambda: not any(map(self.listening, PLACES)), PATIENCE), {place: self.listening(place) for place in PLACES}
        assert wait(lambda: not controllers(self.lab, "10.99.0.1"), PATIENCE), "an ssh stays on the controller"
        assert wait(lambda: not controllers(self.lab, AGENT), PATIENCE), "an agent stays on the controller or in a guest"
        assert wait(lambda: not self.files(), PATIENCE), self.files()
        self.process.communicate(timeout=60)

    def files(self) -> list[str]:
        """Give what the scripts of the places on this machine have in their folder for temporary files."""
        return [path.name for path in self.folder.glob("netchecks.*")]


@pytest.fixture
def tracing(rooted_lab: Lab, tmp_path: Path) -> Iterator[Tracing]:
    argv = [sys.executable, "-m", "netchecks", "trace", "--inventory-file", str(rooted_lab.inventory), "--vm", "vm42", "--from", "controller"]
    process = subprocess.Popen(
        rooted_lab.wrap("controller", argv), cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    found = Tracing(rooted_lab, process, tmp_path)
    try:
        assert wait(lambda: all(map(found.listening, PLACES)), 30), "nobody listens"
        assert len(found.files()) == 2, "of the controller and of the guest"
        yield found
    finally:
        process.kill()
        process.communicate()
        wait(lambda: not found.files(), PATIENCE)  # the lab may be taken down next, and nobody would remove them


def test_a_killed_ssh_ends_its_agent_and_the_trace_goes_on(tracing: Tracing) -> None:
    on(tracing.lab, "lab", f"kill -9 {tracing.ssh()}")
    assert clean(tracing.lab, "node1", AGENT, PATIENCE), left(tracing.lab, "node1", AGENT)
    assert wait(lambda: not tracing.listening("node1"), PATIENCE)
    output, errors = tracing.process.communicate(timeout=60)
    assert errors == ""
    assert "node1  uplink eth0" in output
    assert "could not look: unreachable: node1:" in output
    tracing.leaves_nothing()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_all_of_it(tracing: Tracing, number: signal.Signals) -> None:
    on(tracing.lab, "lab", f"kill -{number.value} $(pgrep -of 'netchecks trace')")
    tracing.leaves_nothing()
    assert tracing.process.returncode not in {0, 1, 6}


def test_a_controller_that_cannot_say_goodbye(tracing: Tracing) -> None:
    """SIGKILL of netchecks alone: what it started goes on to its end, which the agent's window bounds."""
    on(tracing.lab, "lab", "kill -9 $(pgrep -of 'netchecks trace')")
    tracing.leaves_nothing()


def test_a_controller_that_is_killed_with_its_connections(tracing: Tracing) -> None:
    """As when its machine goes down but the node's sshd hears of it."""
    on(tracing.lab, "lab", f"kill -9 $(pgrep -of 'netchecks trace') {tracing.ssh()}")
    tracing.leaves_nothing()
