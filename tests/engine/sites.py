"""A site: a folder with an inventory and tests of its own, run by pytest in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INVENTORY = """
version: 1
defaults: {node: {connection: local, roles: [host]}}
nodes:
  n[1-2]: {}
"""

#: Facts of the site's own. ``site_looks`` counts how often each node is looked at.
FACTS = '''
from netchecks.models.subjects import Node
from netchecks.observe import observation

@observation("{node.name}", shell='echo "$1" >>"$SITE_COUNT"; echo "$1"', of=Node)
def site_looks(text: str) -> str:
    """The node's name, by the node."""
    return text

@observation("no-such-tool-here --version", of=Node)
def site_missing(text: str) -> str:
    """Never there."""
    return text
'''

#: Two pass, two fail, two are unknown.
CHECKS = '''
from netchecks.models.subjects import Node
from netchecks.seen import By

def test_good(node: Node, site_looks: By[Node, str]) -> None:
    """It says its name."""
    assert site_looks[node] == f"{node}\\n"

def test_bad(node: Node, site_looks: By[Node, str]) -> None:
    """It says another name."""
    assert site_looks[node] == "x", f"{node}: not x"

def test_unseen(node: Node, site_missing: By[Node, str]) -> None:
    """It says something."""
    assert site_missing[node]
'''


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run left."""

    status: int
    output: str
    folder: Path
    counts: list[str] = field(default_factory=list)

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        return found

    @property
    def outcomes(self) -> dict[str, str]:
        """Give each check's outcome, which stands in the report once, by its id within its file."""
        checks = self.report["checks"]
        found = {check["id"].rpartition("::")[2]: check["outcome"] for check in checks}
        assert len(found) == len(checks)
        assert {name: count for name, count in self.report["outcomes"].items() if count} == dict(Counter(found.values()))
        return found

    @property
    def last(self) -> str:
        return self.output.strip().splitlines()[-1]


@dataclass(slots=True)
class Site:
    """A folder with tests."""

    path: Path
    python: str = sys.executable
    options: tuple[str, ...] = ("-p", "no:cacheprovider", "-p", "no:pytest11.testinfra")
    environment: dict[str, str] = field(default_factory=dict)
    runs: int = 0

    def write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def checks(self, text: str = CHECKS) -> Site:
        """Have the facts and the checks above, and an inventory."""
        self.write("conftest.py", 'pytest_plugins = ["netchecks.plugin"]\n' + FACTS)
        self.write("inventory.yaml", INVENTORY)
        self.write("test_site.py", text)
        return self

    def run(self, *arguments: str, inventory: bool = True, prefix: tuple[str, ...] = (), seconds: float = 120) -> Ran:
        """Run pytest here; with the inventory here in force, unless told otherwise."""
        self.runs += 1
        folder, count = self.path / f"run{self.runs}", self.path / f"count{self.runs}"
        argv = [*prefix, self.python, "-m", "pytest", "--import-mode=importlib", f"--rootdir={self.path}", *self.options]
        argv += [f"--inventory-file={self.path / 'inventory.yaml'}"] if inventory else []
        # this process may be a worker of xdist; what it starts is none
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST_")}
        environment = {**inherited, "COLUMNS": "100", "PY_COLORS": "0", "SITE_COUNT": str(count), **self.environment}
        done = subprocess.run(
            [*argv, f"--netchecks-run-dir={folder}", *arguments], cwd=self.path, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", timeout=seconds, check=False,
        )
        return Ran(done.returncode, done.stdout + done.stderr, folder, sorted(count.read_text().split()) if count.exists() else [])
