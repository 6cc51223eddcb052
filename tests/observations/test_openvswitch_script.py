"""The script of ovs_daemons: a daemon that is out of its tools' sight is not dead. ovs-appctl is a stand-in, the process is real."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import netchecks.observations  # noqa: F401 - fills OBSERVATIONS
from netchecks.observe import OBSERVATIONS

SCRIPT = OBSERVATIONS["ovs_daemons"].command.shell
NO_PID_FILE = 'ovs-appctl: cannot read pidfile "/var/run/openvswitch/ovs-vswitchd.pid" (No such file or directory)'
REFUSED = 'ovs-appctl: cannot connect to "/var/run/openvswitch/ovs-vswitchd.7.ctl" (Connection refused)'
#: A namespace of processes, so that those of a lab beside this test are not seen.
ALONE = ["unshare", "--user", "--map-root-user", "--fork", "--pid", "--mount-proc"]


@pytest.fixture
def daemon(tmp_path: Path) -> Path:
    """A program of the daemon's name, which sleeps."""
    program = tmp_path / "ovs-vswitchd"
    shutil.copy(shutil.which("sleep") or "/bin/sleep", program)
    return program


def asked(folder: Path, said: str, before: str = "") -> subprocess.CompletedProcess[str]:
    tool = folder / "ovs-appctl"
    tool.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    tool.chmod(0o755)
    script = f'{before}\nPATH="{folder}:$PATH"\n{SCRIPT}'
    return subprocess.run([*ALONE, "sh", "-c", script], capture_output=True, text=True, check=False, timeout=60)


def test_a_daemon_that_runs_elsewhere_was_not_seen(daemon: Path) -> None:
    done = asked(daemon.parent, NO_PID_FILE, f'"{daemon}" 60 & while ! grep -qx ovs-vswitchd /proc/$!/comm; do :; done')
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ovs-vswitchd runs, as in a container, and not where ovs-appctl looks for it: cannot read pidfile")


@pytest.mark.parametrize("said", [NO_PID_FILE, REFUSED])
def test_one_that_does_not_run_is_silent(daemon: Path, said: str) -> None:
    done = asked(daemon.parent, said)
    assert (done.returncode, done.stdout) == (0, f"@silent\n{said}\n")


def test_one_that_runs_and_does_not_answer_is_silent(daemon: Path) -> None:
    assert asked(daemon.parent, REFUSED, f'"{daemon}" 60 &').stdout == f"@silent\n{REFUSED}\n"
