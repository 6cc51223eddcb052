"""One connection to one node: the lab's real ssh, sshd and sudo, whole and broken, and nothing that stays."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from netchecks.lab.labs import Lab
from tests.engine.conftest import wait

CLIENT = Path(__file__).with_name("client.py")
ROOT = Path(__file__).parents[2]


def start(lab: Lab, node: str, *trips: list[Any], **more: Any) -> subprocess.Popen[str]:
    """Begin trips from the controller to a node."""
    what = json.dumps({"trips": trips, **more})
    line = lab.wrap("controller", [sys.executable, str(CLIENT), str(lab.inventory), node, what])
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def trips(lab: Lab, node: str, *jobs: list[Any], **more: Any) -> dict[str, Any]:
    """Make trips; give what became of them."""
    with start(lab, node, *jobs, **more) as process:
        stdout, stderr = process.communicate(timeout=90)
    assert process.returncode == 0, stderr
    found: dict[str, Any] = json.loads(stdout.splitlines()[-1])
    assert found["closed"], "the connection was not closed"
    return found


def on(lab: Lab, node: str, script: str) -> str:
    """Look at a node from outside."""
    done = lab.exec(node, ["sh", "-c", script], capture_output=True, text=True, check=False, cwd="/")
    return str(done.stdout)


def left(lab: Lab, node: str, number: str = "netchecks") -> list[str]:
    """Give what is left at a node: processes of the looking, files of it."""
    processes = [line.strip() for line in on(lab, node, "ps -ww -eo args=").splitlines()]
    files = on(lab, node, "find /tmp /var/tmp /dev/shm /home /root -name 'netchecks.*'").splitlines()
    return [*(line for line in processes if (number in line or line.endswith("sh -s")) and "find /tmp" not in line), *files]


def clean(lab: Lab, node: str, number: str = "netchecks", seconds: float = 20.0) -> bool:
    """Tell whether within these seconds nothing is left."""
    return bool(wait(lambda: not left(lab, node, number), seconds))


@pytest.fixture
def number() -> str:
    """A number that the command lines of one test have."""
    return f"77.{secrets.randbelow(10**9):09}"


def controllers(lab: Lab, text: str) -> list[str]:
    """Give the commands of the controller that have this text."""
    return [line for line in on(lab, "lab", "ps -ww -eo args=").splitlines() if text in line and "ps -ww" not in line]


# -- it goes ---------------------------------------------------------------------------------------------------------


def test_two_trips_take_one_login(rooted_lab: Lab) -> None:
    before = logins(rooted_lab, "node1")
    said = trips(rooted_lab, "node1", [["a", ["id", "-un"], {}], ["b", ["id", "-un"], {"root": True}]], [["c", ["hostname"], {}]])
    assert said["missed"] is None
    (first, second) = said["ran"]
    assert sorted((key, status, stdout) for key, _, status, stdout, _ in first) == [("a", 0, "lab\n"), ("b", 0, "root\n")]
    assert second[0][3] == "node1\n"
    assert logins(rooted_lab, "node1") == before + 1
    assert clean(rooted_lab, "node1")


def logins(lab: Lab, node: str) -> int:
    """Count the logins that a node's sshd tells of."""
    return int(on(lab, node, "journalctl --no-pager -q _COMM=sshd | grep -c 'Accepted publickey'"))


def test_hostile_arguments_reach_the_node_as_one_argument(rooted_lab: Lab) -> None:
    hostile = ["; rm -rf /", "$(reboot)", "`reboot`", "a'b\"c", "line\nline", "", "é漢🦊", "-n", "*"]
    said = trips(rooted_lab, "node1", [[root, ["printf", "%s\\0", *hostile], {"root": root == "root"}] for root in ("user", "root")])
    for _, _, status, stdout, _ in said["ran"][0]:
        assert (status, stdout.encode("latin-1").decode().split("\0")[:-1]) == (0, hostile)


def test_five_megabytes_of_any_bytes_arrive(rooted_lab: Lab) -> None:
    said = trips(rooted_lab, "node1", [["a", ["head", "-c", "5000000", "/dev/urandom"], {"limit": 1 << 23}], ["b", ["echo", "7"], {}]])
    assert sorted(len(stdout) for _, _, _, stdout, _ in said["ran"][0]) == [2, 5000000]


# -- it does not go --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "cause"), [
    ("ssh-refused", "node.ssh_refused"), ("ssh-no-route", "node.ssh_no_route"), ("ssh-host-key-changed", "node.ssh_host_key_changed"),
    ("ssh-login-refused", "node.ssh_login_refused"),
])
def test_a_connection_that_fails_says_why(rooted_lab: Lab, fault: str, cause: str) -> None:
    with rooted_lab.fault(fault):
        said = trips(rooted_lab, "node1", [["a", ["true"], {}]])
    assert (said["missed"][0], said["missed"][2]) == ("UNREACHABLE", cause)
    assert said["ran"] == []
    assert said["seconds"] < 30
    assert clean(rooted_lab, "node1")


def test_without_sudo_only_what_needs_root_fails(rooted_lab: Lab) -> None:
    with rooted_lab.fault("sudo-refused"):
        said = trips(rooted_lab, "node1", [["a", ["id", "-un"], {}], ["b", ["id", "-un"], {"root": True}]])
    (ran,) = said["ran"]
    assert {key: status for key, _, status, _, _ in ran} == {"a": 0, "b": 1}
    assert "sudo: a password is required" in next(stderr for key, *_, stderr in ran if key == "b")


def test_a_node_that_says_nothing_after_the_login_is_a_hanging_node(rooted_lab: Lab) -> None:
    with rooted_lab.fault("node-hangs"):
        said = trips(rooted_lab, "node1", [["a", ["true"], {}]], hello=2.0)
        assert said["missed"][::2] == ["TIMED_OUT", "node.hangs"]
        assert said["seconds"] < 30
        assert not controllers(rooted_lab, "10.99.0.11"), "no ssh stays on the controller"


def test_commands_that_do_not_end_cost_the_trip_s_deadline(rooted_lab: Lab, number: str) -> None:
    """Only where all the bounds of single commands together are longer."""
    said = trips(rooted_lab, "node1", [["a", ["sleep", number], {"seconds": 50}]], seconds=2.0)
    assert said["missed"][::2] == ["TIMED_OUT", "node.hangs"]
    assert said["seconds"] < 30
    assert clean(rooted_lab, "node1", number), left(rooted_lab, "node1", number)
    assert not controllers(rooted_lab, "10.99.0.11")


def test_a_read_only_temporary_folder_is_a_clear_reason(rooted_lab: Lab) -> None:
    on(rooted_lab, "node1", "mount -o remount,ro /tmp")
    try:
        said = trips(rooted_lab, "node1", [["a", ["true"], {}]])
    finally:
        on(rooted_lab, "node1", "mount -o remount,rw /tmp")
    assert said["missed"][::2] == ["FAILED", "node.no_temporary_folder"]
    assert "no temporary folder could be made" in said["missed"][1]
    assert trips(rooted_lab, "node1", [["a", ["true"], {}]])["missed"] is None


# -- it breaks in the middle -----------------------------------------------------------------------------------------


@pytest.fixture
def looking(rooted_lab: Lab, number: str) -> Iterator[Callable[..., tuple[subprocess.Popen[str], int]]]:
    """A trip in the middle of its commands, one of which needs root: the process, and the PID of its ssh in the lab."""
    processes = []

    def begin() -> tuple[subprocess.Popen[str], int]:
        jobs = [["a", ["sleep", number], {"seconds": 30}], ["b", ["sh", "-c", f"sleep {number}; true"], {"seconds": 30}],
                ["c", ["sleep", number], {"seconds": 30, "root": True}], ["d", ["true"], {}]]
        processes.append(start(rooted_lab, "node1", jobs))
        assert processes[-1].stdout is not None
        pid = int(processes[-1].stdout.readline())
        assert wait(lambda: on(rooted_lab, "node1", "ps -ww -eo args=").splitlines().count(f"sleep {number}") == 3)
        return processes[-1], pid

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def test_a_killed_ssh_leaves_nothing_on_the_node(
    rooted_lab: Lab, number: str, looking: Callable[[], tuple[subprocess.Popen[str], int]],
) -> None:
    process, ssh = looking()
    on(rooted_lab, "lab", f"kill -9 {ssh}")
    assert clean(rooted_lab, "node1", number), left(rooted_lab, "node1", number)
    said = json.loads(process.communicate(timeout=60)[0])
    assert said["missed"][0] == "UNREACHABLE"


def test_a_killed_controller_leaves_nothing_on_the_node(
    rooted_lab: Lab, number: str, looking: Callable[[], tuple[subprocess.Popen[str], int]],
) -> None:
    """SIGKILL: nobody can close the connection in order. ssh goes on until its node is done: kill that one as the OOM killer would."""
    process, ssh = looking()
    on(rooted_lab, "lab", f"kill -9 $(ps -o ppid= -p {ssh}) {ssh}")
    assert clean(rooted_lab, "node1", number), left(rooted_lab, "node1", number)
    process.communicate(timeout=60)


def test_a_killed_sshd_leaves_nothing_on_the_node(
    rooted_lab: Lab, number: str, looking: Callable[[], tuple[subprocess.Popen[str], int]],
) -> None:
    process, _ = looking()
    on(rooted_lab, "node1", "pkill -9 -f '^sshd: lab'")
    assert clean(rooted_lab, "node1", number), left(rooted_lab, "node1", number)
    said = json.loads(process.communicate(timeout=60)[0])
    assert said["missed"][0] == "UNREACHABLE"


@pytest.mark.slow
def test_a_cut_cable_leaves_nothing_on_the_node(
    rooted_lab: Lab, number: str, looking: Callable[[], tuple[subprocess.Popen[str], int]],
) -> None:
    """Nobody tells sshd: what bounds it is each command's own deadline. ssh notices by its keep-alives."""
    process, _ = looking()
    began = time.monotonic()
    on(rooted_lab, "controller", "ip link set m-node1 down")
    try:
        said = json.loads(process.communicate(timeout=60)[0])
        assert said["missed"][0] == "UNREACHABLE"
        assert time.monotonic() - began < 30, "ServerAliveInterval x ServerAliveCountMax"
    finally:
        on(rooted_lab, "controller", "ip link set m-node1 up; sleep 1")
    assert clean(rooted_lab, "node1", number, 40), left(rooted_lab, "node1", number)
