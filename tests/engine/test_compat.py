"""Beside the plugins that people have: each alone and all together, from the package index, in an environment of their own."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.engine.sites import Site

pytestmark = pytest.mark.slow

PLUGINS = {
    "pytest-ansible": "ansible", "pytest-replay": "replay", "pytest-rerunfailures": "rerunfailures", "pytest-testinfra": "testinfra",
    "pytest-xdist": "xdist", "allure-pytest": "allure",
}
EXPECTED = {
    "test_good[n1]": "passed", "test_good[n2]": "passed", "test_bad[n1]": "failed", "test_bad[n2]": "failed",
    "test_unseen[n1]": "unknown", "test_unseen[n2]": "unknown",
}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with everything that this one has, and with these plugins."""
    folder = tmp_path_factory.mktemp("compat") / "venv"
    venv.create(folder, with_pip=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "here.pth").write_text("\n".join([str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]) + "\n")
    done = subprocess.run(
        [folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *sorted(PLUGINS.keys() - {"pytest-testinfra", "pytest-xdist", "allure-pytest"})],
        capture_output=True, text=True, check=False, timeout=400,
    )
    if done.returncode:
        pytest.skip(f"cannot be installed here: {done.stderr.strip()[-200:]}")
    return folder / "bin/python"


@pytest.fixture
def site(environment: Path, tmp_path: Path) -> Site:
    return Site(tmp_path, python=str(environment), options=("-p", "no:cacheprovider"), environment={"PYTHONNOUSERSITE": "1"}).checks()


#: testinfra and pytest-ansible cannot be loaded together: both have --connection.
APART = {
    "ansible": ("-p", "no:pytest11.testinfra"), "testinfra": ("-p", "no:pytest-ansible"),
}


def test_the_plugins_are_here(site: Site) -> None:
    site.options = (*site.options, *APART["ansible"])
    ran = site.run("--version", "--version", inventory=False)
    assert all(name in ran.output for name in ("pytest-ansible", "pytest-replay", "pytest-rerunfailures", "pytest-xdist", "allure-pytest", "netchecks")), ran.output


@pytest.mark.parametrize("apart", APART)
@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["plain", "xdist"])
def test_all_together(site: Site, apart: str, arguments: tuple[str, ...]) -> None:
    site.options = (*site.options, *APART[apart])
    ran = site.run(*arguments)
    assert (ran.status, ran.outcomes, ran.counts) == (1, EXPECTED, ["n1", "n2"]), ran.output


@pytest.mark.parametrize("apart", APART)
def test_all_together_without_an_inventory(site: Site, apart: str) -> None:
    site.options = (*site.options, *APART[apart])
    site.write("test_site.py", "import pytest\n@pytest.fixture\ndef node(): return 1\n@pytest.fixture\ndef host(node): return 2\ndef test_theirs(host, node): assert (host, node) == (2, 1)\n")
    ran = site.run(inventory=False)
    assert (ran.status, "1 passed" in ran.last) == (0, True), ran.output
    assert not ran.folder.exists()


def test_hosts_are_ours_beside_testinfra_s_plugin(site: Site) -> None:
    """Its fixture ``host`` cannot be unregistered."""
    site.options = (*site.options, *APART["testinfra"])
    site.write("test_site.py", "def test_host(host, node):\n    assert host.run('echo 7').stdout == '7\\n'\n    assert host.backend.NAME == 'local'\n")
    ran = site.run()
    assert (ran.status, set(ran.outcomes)) == (0, {"test_host[n1]", "test_host[n2]"}), ran.output


def test_ansible_s_options_stay_its_own(site: Site) -> None:
    site.options = (*site.options, *APART["ansible"])
    (site.path / "hosts").write_text("localhost ansible_connection=local\n")
    ran = site.run("--inventory", str(site.path / "hosts"), "--host-pattern", "localhost", "-k", "good")
    assert (ran.status, len(ran.outcomes)) == (0, 2), ran.output


def test_a_rerun_counts_once(site: Site) -> None:
    """A check is a pure function of what was seen: it ends the same again."""
    site.options = (*site.options, *APART["ansible"])
    ran = site.run("--reruns", "2")
    assert (ran.status, ran.outcomes, ran.counts) == (1, EXPECTED, ["n1", "n2"]), ran.output
    assert site.run("--reruns", "1", "-k", "unseen").status == 6


def test_replay_s_option_stays_its_own(site: Site) -> None:
    site.options = (*site.options, *APART["ansible"])
    records = site.path / "order"
    first = site.run("--replay-record-dir", str(records))
    assert first.outcomes == EXPECTED, first.output
    (order,) = records.glob("*.txt")
    again = site.run("--replay", str(order))
    assert (again.status, again.outcomes) == (1, EXPECTED), again.output


def test_allure_gets_its_results(site: Site) -> None:
    site.options = (*site.options, *APART["ansible"])
    ran = site.run("--alluredir", str(site.path / "allure"))
    assert ran.outcomes == EXPECTED
    assert len(list((site.path / "allure").glob("*-result.json"))) == 6


def test_checks_of_the_lab_s_suites_are_collected(site: Site) -> None:
    site.options = (*site.options, *APART["ansible"])
    ran = site.run("--collect-only", "-q", str(ROOT / "suites" / "node"))
    assert ran.status == 0, ran.output
    assert "test_node_answers[n1]" in ran.output
