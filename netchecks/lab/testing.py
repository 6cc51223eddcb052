"""Labs for tests: pytest fixtures, to be imported by a conftest.py; and the way to run something without any privilege."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from netchecks.lab.labs import Lab
from netchecks.lab.making import up, why_not_rooted

#: nobody, as in /etc/passwd of every distribution; the kernel's overflow id too.
NOBODY = 65534


@pytest.fixture(scope="session")
def rooted_lab() -> Iterator[Lab]:
    """One rooted lab vmhost-switching for the whole session; who breaks it puts it right (``with rooted_lab.fault(...)``)."""
    reason = why_not_rooted()
    if reason:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="netchecks-test-") as folder, up("vmhost-switching", rooted=True, state_dir=folder) as lab:
        yield lab


@dataclass(frozen=True, slots=True)
class Unprivileged:
    """A user without privileges: how to run a Python that has netchecks, and a folder of their own."""

    prefix: tuple[str, ...]
    python: str
    folder: Path
    environment: tuple[tuple[str, str], ...]

    def run(self, arguments: Sequence[str], seconds: float = 900) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments as that user."""
        return subprocess.run(
            [*self.prefix, self.python, *arguments], env=dict(self.environment), cwd=self.folder, text=True, capture_output=True,
            check=False, stdin=subprocess.DEVNULL, timeout=seconds,
        )


@pytest.fixture(scope="session")
def unprivileged() -> Iterator[Unprivileged]:
    """Give a user without privileges: the own one, or ``nobody`` with no_new_privs when the tests run as root."""
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        # What setpriv itself executes is still opened with root's rights; what env executes then is not.
        prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs", "env")
    folder = Path(tempfile.mkdtemp(prefix="netchecks-test-"))
    try:
        if prefix:
            os.chown(folder, NOBODY, NOBODY)
        found = _python(prefix, folder)
        if found is None:
            pytest.skip("no Python that an unprivileged user can run with netchecks' dependencies")
        yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _python(prefix: tuple[str, ...], folder: Path) -> Unprivileged | None:
    """Find an interpreter that may be run and finds the packages: one below root's home is closed to others."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), *(entry for entry in sys.path if entry.endswith("-packages"))])
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        user = Unprivileged(prefix, python, folder, tuple(environment.items()))
        try:
            if user.run(["-c", "import netchecks.lab.inside"]).returncode == 0:
                return user
        except OSError:
            continue
    return None
