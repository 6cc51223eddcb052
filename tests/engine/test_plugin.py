"""The plugin beside everything else that pytest does: other projects' tests, selections, xdist, replays."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from netchecks import __version__
from tests.engine.sites import CHECKS, Ran, Site

EXPECTED = {
    "test_good[n1]": "passed", "test_good[n2]": "passed", "test_bad[n1]": "failed", "test_bad[n2]": "failed",
    "test_unseen[n1]": "unknown", "test_unseen[n2]": "unknown",
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def no_traceback(ran: Ran) -> bool:
    return "Traceback" not in ran.output and "INTERNALERROR" not in ran.output


# -- other projects --------------------------------------------------------------------------------------------------

THEIRS = """
import pytest

@pytest.fixture
def node(): return "a node of theirs"

@pytest.fixture(params=["a", "b"])
def vm(request): return request.param

@pytest.fixture
def host(node): return f"a host at {node}"

@pytest.fixture
def links(): return {"eth0": 1}

def test_node(node): assert node == "a node of theirs"
def test_host(host): assert host == "a host at a node of theirs"
def test_links(links): assert links == {"eth0": 1}
def test_vm(vm): assert vm in "ab"

@pytest.mark.parametrize("network", ["x", "y"])
def test_network(network): assert network in "xy"

@pytest.mark.parametrize(("flow", "interface"), [(1, 2)])
def test_flow(flow, interface, node): assert (flow, interface, node) == (1, 2, "a node of theirs")

@pytest.mark.parametrize("link, node", [("l", "n")])
def test_link(link, node): assert (link, node) == ("l", "n")

def test_fails(links): assert links == {"eth0": 2}
"""


@pytest.mark.parametrize("inventory", [False, True], ids=["without an inventory", "with an inventory in force"])
def test_other_projects_tests_are_untouched(site: Site, inventory: bool) -> None:
    """Their fixtures and parameters win over ours of the same names, and their failures look as ever."""
    site.write("inventory.yaml", "version: 1\nnodes: {n1: {connection: local, roles: [host]}}\n")
    site.write("test_theirs.py", THEIRS)
    ran = site.run("-p", "netchecks.plugin", inventory=inventory)
    assert ran.status == 1
    assert "1 failed, 9 passed" in ran.last
    assert "def test_fails(links): assert links" in ran.output, "with its traceback"
    assert (f"netchecks {__version__}: inventory" in ran.output) is inventory
    if inventory:
        assert ran.report["checks"] == []
    else:
        assert not ran.folder.exists(), "nothing is written"


def test_without_an_inventory_our_names_do_not_exist(site: Site) -> None:
    site.write("test_theirs.py", "def test_a(links): pass\ndef test_b(node): pass\ndef test_c(host): pass\n")
    ran = site.run("-p", "netchecks.plugin", inventory=False)
    assert ran.status == 1
    for name in ("links", "node", "host"):
        assert f"fixture '{name}' not found" in ran.output


def test_a_sites_own_fixture_overrides_ours(site: Site) -> None:
    site.checks("""
        import pytest

        @pytest.fixture
        def site_missing(): return "theirs"

        def test_overridden(site_missing): assert site_missing == "theirs"
        def test_uses_ours(node, doubled): assert doubled[node] == f"{node}\\n" * 2
        def test_host(node, host): assert host == f"theirs {node}"
    """.replace("\n        ", "\n"))
    site.write("conftest.py", (site.path / "conftest.py").read_text() + """
import pytest

@pytest.fixture
def doubled(site_looks): return {node: site_looks[node] * 2 for node in site_looks}

@pytest.fixture
def host(node): return f"theirs {node}"
""")
    ran = site.run()
    assert (ran.status, "5 passed" in ran.last) == (0, True), ran.output


@pytest.mark.parametrize(("option", "expected"), [
    *((f"--{name}={value}", "a number of seconds above 0") for name in ("node-timeout", "run-timeout") for value in ("0", "-1", "nan", "inf", "x")),
    *((f"--connections={value}", "a whole number from 1") for value in ("0", "-3", "1.5", "x")),
])
def test_a_bound_that_is_none_is_a_usage_error(site: Site, option: str, expected: str) -> None:
    ran = site.run(option)
    assert ran.status == 4
    name, _, value = option.partition("=")
    assert f"argument {name}: found '{value}', expected {expected}" in ran.output


def test_a_folder_that_is_used_again_keeps_what_is_not_ours(site: Site) -> None:
    site.checks()
    folder = site.path / "again"
    (folder / "record" / "places").mkdir(parents=True)
    (folder / "record" / "own.txt").write_text("mine")
    (folder / "record" / "places" / "own.txt").write_text("mine")
    (folder / "record" / "places" / "gone.jsonl").write_text("an earlier run's")
    for _ in range(2):
        assert site.run(f"--netchecks-run-dir={folder}").status == 1
    left = {str(path.relative_to(folder / "record")) for path in (folder / "record").rglob("*") if path.is_file()}
    assert left >= {"own.txt", "places/own.txt", "places/n1.jsonl"}
    assert "places/gone.jsonl" not in left


def test_testinfras_option_points_to_ours(site: Site) -> None:
    site.checks()
    for options in (("-p", "no:cacheprovider"), ("-p", "no:cacheprovider", "-p", "no:pytest11.testinfra")):
        site.options = options
        for arguments in (("--hosts=ssh://x",), ("--hosts", "local://")):
            ran = site.run(*arguments)
            assert ran.status == 4, ran.output
            assert "--host NODE" in ran.output
            assert no_traceback(ran)


def test_testinfra_itself_works_where_no_inventory_is_in_force(site: Site) -> None:
    site.options = ("-p", "no:cacheprovider")
    site.write("test_theirs.py", "def test_host(host): assert host.run('echo 7').stdout == '7\\n'\n")
    ran = site.run("--hosts=local://", inventory=False)
    assert (ran.status, "1 passed" in ran.last) == (0, True), ran.output


# -- selecting -------------------------------------------------------------------------------------------------------


def test_all_outcomes(site: Site) -> None:
    ran = site.checks().run()
    assert (ran.status, ran.outcomes) == (1, EXPECTED)
    assert ran.counts == ["n1", "n2"]
    assert {place["round_trips"] for place in ran.report["places"]} == {1}


@pytest.mark.parametrize(("arguments", "status", "names", "looked"), [
    (("-k", "good"), 0, {"test_good[n1]", "test_good[n2]"}, ["n1", "n2"]),
    (("-k", "n2 and good"), 0, {"test_good[n2]"}, ["n2"]),
    (("--host", "n2"), 1, {"test_good[n2]", "test_bad[n2]", "test_unseen[n2]"}, ["n2"]),
    (("--host", "n1", "--host", "n2", "-k", "unseen"), 6, {"test_unseen[n1]", "test_unseen[n2]"}, []),
    (("test_site.py::test_bad[n1]",), 1, {"test_bad[n1]"}, ["n1"]),
    (("--deselect", "test_site.py::test_bad", "-k", "not unseen"), 0, {"test_good[n1]", "test_good[n2]"}, ["n1", "n2"]),
    (("-m", "slow"), 5, set(), []),
    (("-k", "nothing_of_this_name"), 5, set(), []),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_only_what_is_selected_is_looked_at_and_told(
    site: Site, arguments: tuple[str, ...], status: int, names: set[str], looked: list[str],
) -> None:
    ran = site.checks().run(*arguments)
    assert (ran.status, set(ran.outcomes), ran.counts) == (status, names, looked), ran.output
    assert {name: EXPECTED[name] for name in names} == ran.outcomes


def test_an_unknown_host_is_a_usage_error(site: Site) -> None:
    ran = site.checks().run("--host", "n3")
    assert ran.status == 4
    assert "--host n3: the inventory has no such name. There are: n1, n2." in ran.output
    assert no_traceback(ran)


def test_x_ends_at_the_first_failure_or_unknown(site: Site) -> None:
    ran = site.checks().run("-x")
    assert ran.status == 1
    assert list(ran.outcomes.values()).count("failed") == 1
    assert not ran.report["complete"]
    ran = site.run("-x", "-k", "unseen or (good and n2)")
    assert ran.status == 6
    assert ran.outcomes == {"test_good[n2]": "passed", "test_unseen[n1]": "unknown", "test_unseen[n2]": "unknown"}


def test_lf_runs_failures_and_unknowns_again(site: Site) -> None:
    site.options = ("-p", "no:pytest11.testinfra")
    site.checks().run()
    ran = site.run("--lf")
    assert set(ran.outcomes) == {name for name, outcome in EXPECTED.items() if outcome != "passed"}
    assert site.run("--lf", "-k", "unseen").status == 6


@pytest.mark.parametrize("arguments", [(), ("-n", "2"), ("-q",)], ids=["plain", "xdist", "quiet"])
def test_collect_only_touches_no_host_and_writes_nothing(site: Site, arguments: tuple[str, ...]) -> None:
    ran = site.checks().run("--collect-only", *arguments)
    assert (ran.status, ran.counts) == (0, [])
    if not arguments:
        assert "test_good[n1]" in ran.output
    assert not ran.folder.exists()


def test_a_mistake_in_the_inventory_is_a_usage_error(site: Site) -> None:
    site.checks()
    site.write("inventory.yaml", "version: 1\nnodes: {n1: {connection: locl}}\n")
    ran = site.run()
    assert (ran.status, ran.counts) == (4, [])
    assert "inventory.yaml:2:" in ran.output
    assert no_traceback(ran)


# -- xdist -----------------------------------------------------------------------------------------------------------

MODES = ["load", "loadscope", "loadfile", "loadgroup", "each", "worksteal"]


@pytest.mark.parametrize("mode", [pytest.param(mode, marks=() if mode in {"load", "each"} else pytest.mark.slow) for mode in MODES])
def test_xdist_looks_once_and_tells_the_same(site: Site, mode: str) -> None:
    site.checks()
    ran = site.run("-n", "2", f"--dist={mode}")
    assert (ran.status, ran.outcomes, ran.counts) == (1, EXPECTED, ["n1", "n2"]), ran.output
    assert {place["round_trips"] for place in ran.report["places"]} == {1}
    only = site.run("-n", "2", f"--dist={mode}", "-k", "unseen or good")
    assert only.status == 6, only.output
    good = site.run("-n", "2", f"--dist={mode}", "-k", "good")
    assert (good.status, good.outcomes) == (0, {"test_good[n1]": "passed", "test_good[n2]": "passed"})
    assert site.run("-n", "2", f"--dist={mode}", "-k", "nothing_of_this_name").status == 5


def test_xdist_and_a_site_s_own_failing_test(site: Site) -> None:
    """A run whose checks are only unknown, and whose other tests fail, has failed."""
    site.checks(CHECKS + "\ndef test_theirs() -> None:\n    assert False\n")
    for arguments in ((), ("-n", "2"), ("-n", "2", "--dist=each")):
        assert site.run("-k", "unseen or theirs", *arguments).status == 1


def test_a_worker_that_dies_while_looking_is_no_success(site: Site) -> None:
    site.checks()
    site.write("conftest.py", (site.path / "conftest.py").read_text() + """
import os, pathlib, signal
from netchecks import waves

whole = waves.look

def look(what):
    mark = pathlib.Path(os.environ["SITE_COUNT"] + ".died")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    whole(what)

waves.look = look
""")
    ran = site.run("-n", "2")
    assert ran.status != 0
    assert set(ran.outcomes) <= set(EXPECTED)
    assert ran.counts == ["n1", "n2"], "another worker looked"


# -- replays ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(site: Site) -> tuple[Site, Ran]:
    ran = site.checks().run()
    assert ran.status == 1
    return site, ran


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["plain", "xdist"])
def test_a_replay_touches_no_host_and_tells_the_same(recorded: tuple[Site, Ran], arguments: tuple[str, ...]) -> None:
    site, live = recorded
    (site.path / "inventory.yaml").unlink()
    again = site.run("--replay-run", str(live.folder), *arguments, inventory=False)
    assert (again.status, again.outcomes, again.counts) == (1, EXPECTED, [])
    strip = [{key: value for key, value in one.items() if key != "evidence"} for one in live.report["diagnoses"]]
    assert [{key: value for key, value in one.items() if key != "evidence"} for one in again.report["diagnoses"]] == strip
    assert again.report["places"] == live.report["places"]
    assert not (again.folder / "record").exists(), "a replay sees nothing new"


def test_a_replay_of_a_part(recorded: tuple[Site, Ran]) -> None:
    site, live = recorded
    again = site.run("--replay-run", str(live.folder), "--host", "n2", inventory=False)
    assert again.outcomes == {name: outcome for name, outcome in EXPECTED.items() if "n2" in name}


def test_a_replay_of_a_check_that_the_record_knows_nothing_of_is_unknown(recorded: tuple[Site, Ran]) -> None:
    site, live = recorded
    site.write("test_site.py", CHECKS + '''
def test_new(node: Node, links) -> None:
    """There is a link."""
    assert links[node]
''')
    again = site.run("--replay-run", str(live.folder), "-k", "new", inventory=False)
    assert again.status == 6
    assert all("not recorded" in check["message"] for check in again.report["checks"])


DAMAGES = {
    "damaged line": (lambda folder: (folder / "record/places/n1.jsonl").write_text('{"place": "n1", '), "n1.jsonl:1: damaged"),
    "no manifest": (lambda folder: (folder / "record/manifest.json").unlink(), "no record there"),
    "newer": (lambda folder: (folder / "record/manifest.json").write_text('{"version": 99, "netchecks": "7.1"}'), "use netchecks 7.1 or newer"),
    "no place": (lambda folder: (folder / "record/places/n1.jsonl").unlink(), "n1.jsonl not there"),
    "no inventory": (lambda folder: (folder / "record/inventory.yaml").unlink(), "inventory.yaml"),
    "nothing": (shutil.rmtree, "no record there"),
}


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["plain", "xdist"])
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_record_is_a_usage_error(recorded: tuple[Site, Ran], name: str, arguments: tuple[str, ...]) -> None:
    site, live = recorded
    damage, says = DAMAGES[name]
    damage(live.folder)
    ran = site.run("--replay-run", str(live.folder), *arguments, inventory=False)
    assert ran.status == 4, ran.output
    assert says in ran.output.replace("\n", " ")
    assert no_traceback(ran)


# -- what a run writes -----------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_a_usage_error(site: Site) -> None:
    site.checks()
    site.write("run1", "a file")
    for arguments in ((), ("-n", "2")):
        site.runs = 0
        ran = site.run(*arguments)
        assert ran.status == 4, ran.output
        assert "run1: File exists; name another folder with --netchecks-run-dir" in ran.output
        assert no_traceback(ran)
        assert ran.counts == []
