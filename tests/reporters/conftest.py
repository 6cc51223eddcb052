"""A small site with checks that end in every way, run by pytest in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

#: Facts of the site's own: what a node says stands in the check's suite, so no check here hangs on this machine.
FACTS = '''
import json
from netchecks.errors import Unreadable
from netchecks.models.subjects import Node
from netchecks.observe import observation

LINKS = [{"ifname": "eth0", "operstate": "UP", "mtu": 1500},
         {"ifname": "vnet0", "operstate": "DOWN", "mtu": 1496, "psk": "hunter2"}]

@observation(shell=f"echo '{json.dumps(LINKS)}'", of=Node)
def site_links(text: str) -> str:
    """The links."""
    return text

@observation(shell="printf 'password=hunter2 x\\033[31mred\\033[0m\\n'", of=Node)
def site_words(text: str) -> str:
    """Words with a secret and an escape sequence."""
    return text

@observation("no-such-tool-here --version", of=Node)
def site_missing(text: str) -> str:
    """Never there."""
    return text
'''

CHECKS = '''
import pytest
from netchecks.errors import Wrong
from netchecks.models.subjects import Node
from netchecks.seen import By, note

def test_link_is_there(node: Node, site_links: By[Node, str]) -> None:
    """A link is there.

    Why: without it nothing goes.
    Remedy: node administrator: ip link add {node.name}
    Source: nowhere
    """
    assert "eth0" in site_links[node]

@pytest.mark.hop("tap", "up")
def test_link_is_up(node: Node, site_links: By[Node, str], site_words: By[Node, str]) -> None:
    """Every link is up.

    Why: frames leave by it.
    Remedy: node administrator: ip link set dev vnet0 up
    Source: nowhere
    """
    site_words[node]
    site_links[node]
    raise Wrong("link.down", f"{node}: vnet0 is DOWN, expected UP", place=node.name)

def test_tool_says(node: Node, site_missing: By[Node, str]) -> None:
    """The tool says yes."""
    assert site_missing[node]

def test_is_accepted(node: Node, site_links: By[Node, str]) -> None:
    """Somebody accepted that this fails."""
    assert "wlan0" in site_links[node], f"{node}: no wlan0"

def test_has_a_bug(node: Node, site_links: By[Node, str]) -> None:
    """A check of ours is wrong."""
    {}["site bug"]

def test_notes(node: Node, site_links: By[Node, str]) -> None:
    """Something is worth knowing."""
    note("link.small", f"{node}: vnet0 has an MTU of 1496")

def test_host_says(host) -> None:
    assert host.run("echo 7").stdout == "8\\n"

@pytest.mark.skip(reason="not today")
def test_is_skipped(node: Node) -> None:
    """Left out."""

@pytest.mark.kind("routing")
def test_applies_to_nothing(network) -> None:
    """No network here is routed."""
'''

INVENTORY = """
version: 1
defaults: {node: {connection: local, roles: [host]}}
nodes:
  n[1-2]: {}
waivers:
- {check: "*.is_accepted", subject: "*", reason: "known, ticket 7"}
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run left."""

    status: int
    output: str
    folder: Path

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        return found


@dataclass(slots=True)
class Site:
    """A folder with an inventory and a suite."""

    path: Path
    runs: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def command(self, *arguments: str) -> tuple[list[str], Path]:
        self.runs += 1
        folder = self.path / f"run{self.runs}"
        base = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:pytest11.testinfra", "--import-mode=importlib"]
        where = [f"--rootdir={self.path}", f"--netchecks-run-dir={folder}"]
        inventory = [] if "--replay-run" in arguments else [f"--inventory-file={self.path / 'inventory.yaml'}"]
        return [*base, *where, *inventory, *arguments, "suites"], folder

    def environ(self) -> dict[str, str]:
        return {**os.environ, "COLUMNS": "80", "PY_COLORS": "0", **self.environment}

    def run(self, *arguments: str) -> Ran:
        command, folder = self.command(*arguments)
        done = subprocess.run(
            command, cwd=self.path, env=self.environ(), capture_output=True, text=True, timeout=120, check=False,
        )
        return Ran(done.returncode, done.stdout + done.stderr, folder)

    def kill(self, number: int, doing: str, *arguments: str) -> Ran:
        """Send a signal to a run as soon as one of its processes runs this command."""
        command, folder = self.command(*arguments)
        (self.path / "tmp").mkdir()
        process = subprocess.Popen(
            command, cwd=self.path, env=self.environ() | {"TMPDIR": str(self.path / "tmp")}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )
        deadline = time.monotonic() + 30
        while not _does(process.pid, doing) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(process.pid, number)
        try:
            output, _ = process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return Ran(process.returncode, output, folder)


def _does(parent: int, command: str) -> bool:
    """Tell whether a descendant of this process runs a command."""
    rows = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout.splitlines()
    family, known = {parent}, [row.split(None, 2) for row in rows]
    for _ in range(8):
        family |= {int(pid) for pid, ppid, _ in known if int(ppid) in family}
    return any(arguments == command and int(pid) in family for pid, _, arguments in known)


@pytest.fixture
def empty_site(tmp_path: Path) -> Site:
    """A site with facts and an inventory; the suite is the test's own."""
    site = Site(tmp_path)
    site.write("conftest.py", 'pytest_plugins = ["netchecks.plugin"]\n' + FACTS)
    site.write("inventory.yaml", INVENTORY)
    return site


@pytest.fixture
def site(empty_site: Site) -> Site:
    """A site whose checks end in every way."""
    empty_site.write("suites/little/test_links.py", CHECKS)
    return empty_site
