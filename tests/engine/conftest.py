"""For tests of the engine: the shells a node may have, sites that run in processes of their own, namespaces to send in."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from netchecks import script
from netchecks.lab.testing import rooted_lab, unprivileged

__all__ = ["rooted_lab", "unprivileged"]

#: Made as a channel makes it: that no command can see it is tested.
NONCE = "NETCHECKS" + secrets.token_hex(12)

#: Name -> argv[0] and the program. bash is tested as a node has it: as its sh.
SHELLS = {"dash": ("sh", "dash"), "bash": ("sh", "bash"), "busybox": ("busybox", "busybox")}


def wait(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until something is true; give what it was at last."""
    until = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(0.05)
    return found


def commands_with(text: str) -> list[str]:
    """Give the command lines of all processes that have this text in them, but our own."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if text in line and int(entry.name) != os.getpid():
            found.append(line)
    return found


@dataclass(frozen=True, slots=True)
class Shell:
    """A shell that runs netchecks' script, with a folder for temporary files of its own."""

    name: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def argv(self) -> list[str]:
        return [SHELLS[self.name][0], *(["sh"] if self.name == "busybox" else []), "-s"]

    def start(self, **keywords: Any) -> subprocess.Popen[bytes]:
        """Start it, waiting for its script."""
        program = shutil.which(SHELLS[self.name][1])
        assert program
        keywords = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "start_new_session": True} | keywords
        environment = {**os.environ, "TMPDIR": str(self.folder), **self.environment}
        return subprocess.Popen(self.argv, executable=program, env=environment, **keywords)

    def feed(self, text: str) -> tuple[bytes, bytes]:
        """Give the shell a text as its script, and what it wrote."""
        with self.start() as process:
            return process.communicate(text.encode("utf-8", "surrogateescape"), timeout=60)

    def stream(self, jobs: list[script.Job]) -> bytes:
        """Run one trip; give what it sends."""
        stdout, _ = self.feed(script.start(NONCE) + script.trip(jobs, NONCE, sudo=False))
        hello = f"{NONCE} hello\n".encode()
        assert stdout.startswith(hello), stdout[:200]
        return stdout.removeprefix(hello)

    def run(self, *jobs: script.Job) -> dict[str, script.Ran]:
        """Run one trip; give what ran by key."""
        ran = script.read(self.stream(list(jobs)), jobs, NONCE)
        assert self.left() == []
        return {one.key: one for one in ran}

    def left(self) -> list[str]:
        """Give what is left in the folder for temporary files."""
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    """Each of the shells that nodes have."""
    if shutil.which(SHELLS[request.param][1]) is None:
        pytest.skip(f"no {request.param} here")
    (tmp_path / "tmp").mkdir()
    return Shell(request.param, tmp_path / "tmp")


def job(key: str, *argv: str, **more: Any) -> script.Job:
    """Make a job of one command."""
    return script.Job(key, (script.Alternative(argv),), **more)


def sh(key: str, text: str, **more: Any) -> script.Job:
    """Make a job of a shell's line."""
    return job(key, "sh", "-c", text, **more)
