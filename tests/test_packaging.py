"""The wheel: what is in it, and that it works in an empty environment as the checkout does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

import netchecks

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: The statuses of a run that came to its end: all is well, something failed, something could not be judged.
JUDGED = {0, 1, 6}


def run(argv: list[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "PYTEST"))}
    return subprocess.run(
        argv, cwd=folder, env=environment | more, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300, check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as it would be published: made from the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    done = run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment with the wheel in it; its dependencies are those of this environment, behind everything of its own."""
    folder = tmp_path_factory.mktemp("installed") / "env"
    made = run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder.parent)
    assert made.returncode == 0, made.stderr
    python = folder / "bin" / "python"
    installed = run([sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)], folder)
    assert installed.returncode == 0, installed.stderr
    (packages,) = (folder / "lib").glob("python*/site-packages")
    (packages / "zz-dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


def checks(folder: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads((folder / "report.json").read_text(encoding="utf-8"))["checks"]
    return found


def files(folder: str) -> set[str]:
    found = (path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file())
    return {str(path) for path in found if not any(part == "__pycache__" or part.startswith(".") for part in path.parts)}


def test_wheel_has_all_files_and_no_others(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    suites = {f"netchecks/{name}" for name in files("suites")}
    assert names == files("netchecks") | suites | {"netchecks/inventories/local.yaml"}
    assert {Path(name).suffix for name in names} >= {".py", ".yaml", ".sh"}


def test_wheel_has_licence_entry_points_and_version(wheel):
    packed = zipfile.ZipFile(wheel)
    stem = f"pytest_netchecks-{netchecks.__version__}"
    assert wheel.name == f"{stem}-py3-none-any.whl"
    points = packed.read(f"{stem}.dist-info/entry_points.txt").decode()
    assert "[console_scripts]\nnetchecks = netchecks.cli:main" in points
    assert "[pytest11]\nnetchecks.plugin = netchecks.plugin" in points
    assert packed.read(f"{stem}.dist-info/licenses/LICENSE").decode().startswith("MIT License")
    metadata = packed.read(f"{stem}.dist-info/METADATA").decode()
    assert "Requires-Python: >=3.11" in metadata
    needed = {line for line in metadata.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line}
    assert needed == {f"Requires-Dist: {one}" for one in PROJECT["dependencies"]}


def test_installed_wheel_is_what_runs(python, tmp_path):
    done = run([str(python), "-c", "import netchecks; print(netchecks.__file__)"], tmp_path)
    assert done.stdout.startswith(str(python.parents[1])), done.stdout + done.stderr


def test_installed_wheel_runs_the_same_checks_as_the_checkout(python, tmp_path):
    installed = run([str(python.with_name("netchecks")), "run", "--netchecks-run-dir", "here"], tmp_path)
    assert installed.returncode in JUDGED, installed.stdout + installed.stderr
    checkout = run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "suites/", "--netchecks-run-dir", str(tmp_path / "there")], ROOT)
    assert checkout.returncode in JUDGED, checkout.stdout + checkout.stderr
    ours, theirs = checks(tmp_path / "here"), checks(tmp_path / "there")
    assert [(check["check"], check["id"]) for check in ours] == [(check["check"], check["id"]) for check in theirs]
    assert "node.node_answers" in {check["check"] for check in ours}
    assert "broken" not in {check["outcome"] for check in ours}


def test_installed_wheel_takes_one_suite_and_a_test_of_the_users_own(python, tmp_path):
    own = tmp_path / "test_own.py"
    own.write_text("def test_root_is_there(host):\n    assert host.file('/').is_directory\n", encoding="utf-8")
    command = str(python.with_name("netchecks"))
    one = run([command, "run", "suites/node/test_login.py", "--netchecks-run-dir", "one"], tmp_path)
    assert one.returncode == 0, one.stdout + one.stderr
    assert [check["id"] for check in checks(tmp_path / "one")] == ["suites/node/test_login.py::test_node_answers[local]"]
    mine = run([command, "run", str(own), "--netchecks-run-dir", "mine"], tmp_path)
    assert mine.returncode == 0, mine.stdout + mine.stderr
    judged = {check["check"]: check["outcome"] for check in checks(tmp_path / "mine")}
    assert judged["own.root_is_there"] == "passed"
    assert "node.node_answers" in judged  # in one run with the suites


def test_installed_wheel_has_its_labs(python, tmp_path):
    done = run([str(python.with_name("netchecks")), "lab", "list"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "vmhost-switching" in done.stdout
    faults = run([str(python.with_name("netchecks")), "lab", "fault"], tmp_path)
    assert "tap-not-in-bridge" in faults.stdout, faults.stderr
