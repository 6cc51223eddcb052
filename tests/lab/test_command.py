"""netchecks lab, as a user types it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from netchecks.lab import why_not_rooted

ROOT = Path(__file__).parents[2]
PROGRAM = """
import argparse, sys
from netchecks.errors import NetchecksError
from netchecks.lab import command
parser = argparse.ArgumentParser()
command.add_arguments(parser)
try:
    sys.exit(command.run(parser.parse_args()))
except NetchecksError as error:
    sys.exit(str(error))
"""


def lab(folder, action, *arguments):
    return subprocess.run([sys.executable, "-c", PROGRAM, action, "--state-dir", str(folder), *arguments], capture_output=True, text=True,
                          check=False, stdin=subprocess.DEVNULL, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_list_names_the_topologies(tmp_path):
    assert "vmhost-switching" in lab(tmp_path, "list").stdout


def test_fault_without_a_name_lists_them(tmp_path):
    done = lab(tmp_path, "fault")
    assert "tap-down" in done.stdout
    assert "(tap.down at node1)" in done.stdout
    assert "nothing to name" in done.stdout


@pytest.mark.parametrize(("arguments", "message"), [
    (("up", "nosuch"), "no topology 'nosuch'"),
    (("exec", "controller", "true"), "which lab? there are []"),
    (("exec", "--lab", "x", "controller", "true"), "no lab 'x'"),
    (("down", "x"), "no lab x; there are []"),
    (("status", "--lab", "x"), "no lab 'x'"),
])
def test_a_mistake_is_one_line(tmp_path, arguments, message):
    done = lab(tmp_path, *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(bool(why_not_rooted()), reason=why_not_rooted() or "-")
def test_up_status_fault_exec_down(tmp_path):
    made = lab(tmp_path, "up", "--name", "t1", "--rootless")
    assert made.returncode == 0, made.stderr
    try:
        assert "pytest suites/ --inventory-file=" in made.stdout
        assert "t1" in lab(tmp_path, "list").stdout
        status = lab(tmp_path, "status", "--json")
        assert (status.returncode, json.loads(status.stdout)[0]["healthy"]) == (0, True)
        assert lab(tmp_path, "exec", "vm42", "--", "sh", "-c", "exit 5").returncode == 5
        assert lab(tmp_path, "fault", "tap-down").returncode == 0
        status = lab(tmp_path, "status")
        assert status.returncode == 1
        assert "broken: tap-down" in status.stdout
        assert "undone" in lab(tmp_path, "fault", "--undo").stdout
        assert lab(tmp_path, "status").returncode == 0
        assert "needs a rooted lab" in lab(tmp_path, "fault", "ssh-refused").stderr
    finally:
        assert lab(tmp_path, "down", "--all").returncode == 0
    assert list(tmp_path.iterdir()) == []
