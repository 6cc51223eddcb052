"""What the documents say holds: examples run, links lead somewhere, the transcript is what is printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import netchecks
from netchecks import inventory
from netchecks.plugin import EXIT_ONLY_UNKNOWN

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted(path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")))
LOCAL = str(ROOT / "inventories" / "local.yaml")


def run(*argv: str, folder: Path = ROOT, columns: int = 100) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *argv], cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False,
        env={**os.environ, "COLUMNS": str(columns), "PY_COLORS": "0"},
    )


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", path.read_text(encoding="utf-8"))


def rows(heading: str) -> Iterator[list[str]]:
    """The rows of the table below a heading of the README."""
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| `") or re.match(r"\| \d", line):
            yield [cell.strip() for cell in line.strip("|").split("|")]


# ---- examples --------------------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As little of a checkout as ``pytest suites/site/`` needs."""
    for name in ("pyproject.toml", "conftest.py", "suites/conftest.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    ("document", "judged"),
    [
        ("README.md", {"site.loopback_is_up": "passed", "site.hosts_file_knows_localhost": "passed"}),
        ("CONTRIBUTING.md", {"site.pid_limit_is_high_enough": "passed"}),
    ],
)
def test_example_of_a_check_runs(checkout, document, judged):
    for text in blocks(ROOT / document, "python"):
        path = checkout / text.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    done = run("pytest", "-p", "no:cacheprovider", "suites/site/", "--netchecks-run-dir", "run", folder=checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((checkout / "run" / "report.json").read_text(encoding="utf-8"))
    assert {check["check"]: check["outcome"] for check in report["checks"]} == judged


def test_example_of_a_cause_is_named(checkout):
    facts, check = blocks(ROOT / "CONTRIBUTING.md", "python")
    (checkout / "suites" / "site").mkdir()
    (checkout / "suites" / "site" / "conftest.py").write_text(facts, encoding="utf-8")
    (checkout / "suites" / "site" / "test_pids.py").write_text(check.replace("ENOUGH = 4096", "ENOUGH = 1 << 40"), encoding="utf-8")
    done = run("pytest", "-p", "no:cacheprovider", "suites/site/", "--netchecks-run-dir", "run", folder=checkout)
    assert done.returncode == 1, done.stdout + done.stderr
    (named,) = json.loads((checkout / "run" / "report.json").read_text(encoding="utf-8"))["diagnoses"]
    assert (named["code"], named["places"], named["owner"]) == ("node.too_few_pids", ["local"], "node administrator")


def test_example_of_an_inventory_is_right(tmp_path):
    (text,) = blocks(ROOT / "README.md", "yaml")
    (tmp_path / "prod.yaml").write_text(text, encoding="utf-8")
    found = inventory.load([tmp_path / "prod.yaml"])
    assert [vm.name for vm in found.vms] == ["vm42"]


@pytest.mark.parametrize("path", sorted((ROOT / "inventories" / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_inventories_that_are_examples_are_right(path):
    assert inventory.load([path]).nodes


def test_a_run_of_the_repositorys_own_tests_has_no_inventory_in_force():
    done = run("pytest", "-p", "no:cacheprovider", "--collect-only", "-q", "tests/test_docs.py")
    assert "inventory" not in done.stdout.partition("tests/test_docs.py")[0], done.stdout


def test_this_machine_is_looked_at_where_nothing_is_named(tmp_path):
    done = run("pytest", "-p", "no:cacheprovider", "suites/node/test_login.py", "--netchecks-run-dir", str(tmp_path / "run"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert LOCAL in done.stdout.replace("\n", "")


# ---- the demo --------------------------------------------------------------------------------------------------------


def diagnosis(text: str) -> str:
    """The part of what is printed that says what is wrong."""
    return re.split(r"\n\d+ checks: ", re.split(r"\n=+ diagnosis =+\n", text)[1])[0]


def test_the_recorded_demo_names_its_cause_and_the_readme_shows_it(tmp_path):
    done = run("pytest", "-p", "no:cacheprovider", "suites/", "--replay-run", "docs/demo", "--vm", "vm42", "--netchecks-run-dir", str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert (report["diagnoses"][0]["code"], report["diagnoses"][0]["places"]) == ("tap.not_in_bridge", ["node1"])
    assert report["outcomes"]["unknown"] == report["outcomes"]["broken"] == 0, "record it again: make demo-record"
    assert diagnosis(README) == diagnosis(done.stdout), "write the transcript again: make demo-record"


def test_the_recorded_demo_is_small_and_says_nothing_of_the_machine():
    files = [path for path in (ROOT / "docs" / "demo").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 500_000
    said = b"".join(path.read_bytes() for path in files)  # captures are no text
    assert b"/home/" not in said
    assert b"/root" not in said


# ---- what is named exists --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document):
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"(?ms)^```.*?^```$", "", document.read_text(encoding="utf-8")))
    missing = [link for link in links if "://" not in link and not (document.parent / link.partition("#")[0]).exists()]
    assert missing == []


def test_index_names_every_document():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert [path.name for path in (ROOT / "docs").iterdir() if path.name != "index.md" and f"]({path.name})" not in index] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_exist(document):
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))
    code = re.findall(r"`(make [^`]+)`|^    (make .*?)(?:  |$)", document.read_text(encoding="utf-8"), re.MULTILINE)
    named = {word for pair in code for word in "".join(pair).split()[1:] if re.fullmatch(r"[a-z-]+", word)}
    named -= {"inventory"}  # of ARGS="-k inventory"
    assert named <= targets


def test_options_of_the_readme_exist():
    help_text = run("pytest", "suites/", "--help").stdout
    options = {option for row in rows("Options") for option in re.findall(r"`(-[-\w]+)", row[0])}
    assert {"--inventory-file", "--replay-run", "-k"} <= options
    assert [option for option in sorted(options) if not re.search(rf"(^|[\s,]){option}\b", help_text)] == []
    ours = set(re.findall(r"(?m)^  (--[\w-]+)", help_text.partition("netchecks: network diagnosis")[2].partition("\n\n")[0]))
    assert ours <= options


def test_subcommands_of_the_readme_exist():
    help_text = run("netchecks", "--help").stdout
    named = set(re.findall(r"`netchecks ([a-z]+)", README)) | set(re.findall(r"(?m)^    (?:\S*/)?netchecks ([a-z]+)", README))
    assert {"run", "inventory", "commands", "checks", "report", "lab"} <= named
    assert [name for name in sorted(named) if not re.search(rf"(?m)^    {name}\b", help_text)] == []


def test_exit_statuses_of_the_readme_are_pytests_and_ours():
    told = {int(row[0]) for row in rows("Read the outcome") if row[0].isdigit()}
    pytests = {int(getattr(pytest.ExitCode, name)) for name in ("OK", "TESTS_FAILED", "INTERRUPTED", "USAGE_ERROR", "NO_TESTS_COLLECTED")}
    assert told == pytests | {EXIT_ONLY_UNKNOWN}


def test_changelog_has_this_version():
    assert f"[Unreleased] {netchecks.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


# ---- what is generated, and what may not be there --------------------------------------------------------------------


def test_generated_documents_are_as_generated():
    schema = json.loads((ROOT / "docs" / "inventory.schema.json").read_text(encoding="utf-8"))
    assert schema == inventory.schema(), "make docs"
    checks = run("netchecks", "checks", "--markdown")
    assert (ROOT / "docs" / "checks.md").read_text(encoding="utf-8") == checks.stdout, f"make docs\n{checks.stderr}"


def test_no_file_names_a_package_registry():
    hosts = [".".join(words) for words in (("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("deb", "debian", "org"))]
    tops = ("Makefile", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml", "constraints.txt", "conftest.py")
    folders = ("netchecks", "suites", "tests", "docs", "scripts", "inventories", "benchmarks", ".ci")
    files = [ROOT / name for name in tops] + [path for name in folders for path in (ROOT / name).rglob("*")]
    found = [
        f"{path.relative_to(ROOT)}: {host}" for path in files if path.is_file() and "__pycache__" not in path.parts
        for host in hosts if host.encode() in path.read_bytes()
    ]
    assert found == []


def test_constraints_are_versions_alone():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#") and not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)] == []
