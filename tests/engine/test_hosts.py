"""Imperative tests of a site's own, by ssh, on this machine and in a namespace of it, in one run with checks; and xdist over ssh."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from netchecks.lab.labs import Lab
from tests.engine.sites import Ran
from tests.engine.test_trip import clean, left, logins

ROOT = Path(__file__).parents[2]

TESTS = '''
import pytest
from netchecks.models.subjects import Node

HOSTILE = ["; rm -rf /", "$(reboot)", "`reboot`", "a'b", 'a"b', "line\\nline", "", "*", "é"]

def test_interface(host):
    assert host.interface("lo").exists
    assert "127.0.0.1" in host.interface("lo").addresses
    assert not host.interface("nowhere0").exists

def test_sysctl(host):
    assert host.sysctl("net.ipv4.ip_forward") in (0, 1)

def test_run(host):
    done = host.run("printf '%%s\\\\n' " + "%s " * len(HOSTILE), *HOSTILE)
    assert (done.rc, done.stdout) == (0, "".join(text + "\\n" for text in HOSTILE))
    assert host.run("exit 7").rc == 7

def test_file(host):
    assert host.file("/etc/passwd").contains("root")
    assert not host.file("/nowhere").exists

def test_user(host, node):
    assert host.user().name == ("root" if node.connection.sudo or node.connection.backend != "ssh" else "lab")

def test_name(host, node):
    """Each host is the one that its id says."""
    if node.name in {"node1", "node2"}:
        assert host.run("hostname").stdout.strip() == node.name
        assert host.service("ssh").is_running
        assert host.socket("tcp://0.0.0.0:22").is_listening
    if node.name == "inner":
        assert "10.20.0.142" in host.interface("eth0").addresses
    if node.name == "controller":
        assert host.interface("mg0").exists

def test_beside_a_check(node, host, links):
    """Facts and hosts tell the same."""
    assert set(links[node]) == set(host.run("ls /sys/class/net").stdout.split()) or node.connection.backend != "ssh"

def test_fails(host, node):
    assert node.name != "inner", "this one fails"
'''

NODES = ("controller", "node1", "node2", "inner")
NAMES = ("interface", "sysctl", "run", "file", "user", "name", "beside_a_check", "fails")


def run(lab: Lab, folder: Path, *arguments: str, suite: str = "test_hosts.py") -> Ran:
    """Run tests in the lab's controller, with a namespace of the lab as a node more."""
    (folder / "test_hosts.py").write_text(TESTS)
    (folder / "conftest.py").write_text('pytest_plugins = ["netchecks.plugin"]\n')
    (folder / "more.yaml").write_text(f"version: 1\nnodes: {{inner: {{connection: netns, address: {lab.state.netns('vm42')}, sudo: false}}}}\n")
    out = folder / f"run{len(list(folder.glob('run*')))}"
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:pytest11.testinfra", "--import-mode=importlib",
            f"--inventory-file={lab.inventory}", f"--inventory-file={folder / 'more.yaml'}", f"--netchecks-run-dir={out}", *arguments, suite]
    done = lab.exec(
        "controller", argv, cwd=ROOT if suite.startswith("suites") else folder, capture_output=True, text=True, timeout=200,
        stdin=subprocess.DEVNULL, check=False,
    )
    return Ran(done.returncode, done.stdout + done.stderr, out)


def test_testinfra_works_for_every_kind_of_node_in_one_run(rooted_lab: Lab, tmp_path: Path) -> None:
    ran = run(rooted_lab, tmp_path)
    expected = {f"test_{name}[{node}]": "failed" if (name, node) == ("fails", "inner") else "passed" for name in NAMES for node in NODES}
    assert ran.outcomes == expected, ran.output
    assert ran.status == 1
    assert "this one fails" in ran.output
    assert all(clean(rooted_lab, node) for node in ("node1", "node2")), left(rooted_lab, "node1")


def test_a_host_that_cannot_be_reached_is_unknown(rooted_lab: Lab, tmp_path: Path) -> None:
    with rooted_lab.fault("ssh-refused"):
        ran = run(rooted_lab, tmp_path, "-k", "sysctl")
    assert ran.outcomes == {f"test_sysctl[{node}]": "unknown" if node == "node1" else "passed" for node in NODES}
    assert ran.status == 6
    assert "no sshd listens there" in ran.output


def test_a_host_test_is_unknown_in_a_replay(rooted_lab: Lab, tmp_path: Path) -> None:
    live = run(rooted_lab, tmp_path, "-k", "sysctl")
    before = logins(rooted_lab, "node1")
    again = run(rooted_lab, tmp_path, "-k", "sysctl", f"--replay-run={live.folder}")
    assert set(again.outcomes.values()) == {"unknown"}
    assert "a replay touches no host" in json.dumps(again.report["checks"])
    assert logins(rooted_lab, "node1") == before


@pytest.mark.parametrize("mode", ["load", *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("loadscope", "loadfile", "each", "worksteal"))])
def test_xdist_logs_in_once(rooted_lab: Lab, tmp_path: Path, mode: str) -> None:
    """One connection to each node, whatever the number of workers; the same outcomes as without."""
    plain = run(rooted_lab, tmp_path, "-k", "bridge or login", suite="suites")
    before = {node: logins(rooted_lab, node) for node in ("node1", "node2")}
    spread = run(rooted_lab, tmp_path, "-k", "bridge or login", "-n", "2", f"--dist={mode}", suite="suites")
    assert {node: logins(rooted_lab, node) - count for node, count in before.items()} == {"node1": 1, "node2": 1}
    assert (spread.status, spread.outcomes) == (plain.status, plain.outcomes) == (0, plain.outcomes), spread.output
    assert len(plain.outcomes) > 10
