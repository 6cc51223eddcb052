"""The pytest hooks: the only module of the engine that knows pytest."""

from __future__ import annotations

import argparse
import contextlib
import gc
import math
import signal
import sys
import types
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from _pytest.junitxml import xml_key  # the only way to a test case's name

import netchecks.causes
import netchecks.observations
import netchecks.platforms
import netchecks.probes  # the catalogues fill themselves when imported
from netchecks import judge, seen
from netchecks.diagnose import Judged
from netchecks.errors import Harmless, NetchecksError, Wrong
from netchecks.models.subjects import Flow, Network, Vm
from netchecks.observe import OBSERVATIONS
from netchecks.plugin.items import INFO, SESSION, check_id, common_of, info_of, is_imperative, is_ours, params_of, want_of, wanted_of
from netchecks.plugin.outcomes import cleaned, is_told, judged_of, prove, shape, waived, without_traceback
from netchecks.probe import PROBES
from netchecks.reporters import junit, progress
from netchecks.session import Session
from netchecks.siblings import with_siblings
from netchecks.world import KINDS, Subject, combinations

#: The outcome of an item, for what hears of it later.
JUDGED = pytest.StashKey[Judged]()
EXIT_ONLY_UNKNOWN = 6
#: Stands for "this check applies to nothing here"; its item is dropped before pytest counts it.
_NOTHING = object()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add our options."""
    group = parser.getgroup("netchecks", "netchecks: network diagnosis")
    group.addoption("--inventory-file", action="append", metavar="FILE", help="inventory file or folder; may be repeated")
    group.addoption("--host", action="append", metavar="NODE", help="only this node of the inventory; may be repeated")
    group.addoption("--vm", action="append", metavar="VM", help="only this VM (and its node); may be repeated")
    group.addoption("--compare", action="append", metavar="NODE", help="judge this node too, and show beside a failure what differs there")
    group.addoption("--compare-network", action="append", metavar="NETWORK", help="the same with another network")
    group.addoption("--compare-vm", action="append", metavar="VM", help="the same with another VM")
    group.addoption("--replay-run", metavar="DIR", help="judge what a run saw (reports/<run>) again, touching no host")
    group.addoption("--allow-leases", action="store_true", help="take DHCP leases for test MACs, and release them at once")
    group.addoption(
        "--load-tests", action="store_true",
        help="measure each declared throughput with iperf3: one after the other, each loads the network for some 5 s in each direction",
    )
    group.addoption("--netchecks-run-dir", metavar="DIR", help="folder of this run's reports and record (default: reports/<time>)")
    group.addoption("--node-timeout", type=_seconds, default=60.0, metavar="S", help="seconds for one trip to one node (default 60)")
    group.addoption("--run-timeout", type=_seconds, default=600.0, metavar="S", help="seconds for all the looking (default 600)")
    group.addoption("--connections", type=_count, default=64, metavar="N", help="connections at a time (default 64)")
    if pluginmanager.is_blocked("pytest11.testinfra"):  # else it has the option itself
        group.addoption("--hosts", dest="netchecks_hosts", help=argparse.SUPPRESS)
    parser.addini("netchecks_inventory", "inventory that is in force without --inventory-file", default="")


def _seconds(text: str) -> float:
    """Read a deadline."""
    with contextlib.suppress(ValueError):
        if 0 < (seconds := float(text)) < math.inf:
            return seconds
    raise argparse.ArgumentTypeError(f"found {text!r}, expected a number of seconds above 0")


def _count(text: str) -> int:
    """Read how many there may be."""
    if text.isdecimal() and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number from 1")


def pytest_configure(config: pytest.Config) -> None:
    """Load the inventory, if one is in force; all its mistakes are one usage error."""
    for mark in (
        "kind(name, ...): the kinds of network that a check is about",
        "flow(protocol, ..., to=, full=, sampled=, family=): the flows that a check is about",
        "allowed(option): a check that does more than look; it applies where the option (allow_leases, load_tests) is given",
        "declares(field): a check of networks of which the inventory tells this (dhcp, advertised)",
        "hop(name, layer): the hop of a flow's way whose state a check judges",
        "peers(fact, ...): facts that a check wants of the other nodes of its network too",
        "verdict: a check whose outcome is its flow's",
        "inside: a check of the inside of VMs; it applies to those that the inventory says how to enter",
    ):
        config.addinivalue_line("markers", mark)
    try:
        session = Session.start(_settings(config))
    except NetchecksError as error:
        raise pytest.UsageError(str(error)) from error
    hosts = getattr(config.option, "netchecks_hosts", None) or (session is not None and getattr(config.option, "hosts", None))
    if hosts:
        raise pytest.UsageError("--hosts is testinfra's; netchecks takes its nodes from the inventory: use --host NODE")
    if session is not None:
        config.stash[SESSION] = session
        gc.unfreeze()  # what an earlier run in this process left; at the end of a process there is no need to
        config.pluginmanager.register(_fixtures(), "netchecks.fixtures")


def _settings(config: pytest.Config) -> dict[str, Any]:
    option, ini = config.option, config.getini("netchecks_inventory")
    files = [Path(file) for file in option.inventory_file or ()]
    default = [config.rootpath / ini] if ini else []
    worker = getattr(config, "workerinput", None)
    return {
        "files": files, "default": default, "hosts": option.host or (), "vms": option.vm or (),
        "beside": {f"--{name.replace('_', '-')}": getattr(option, name) or () for name in ("compare", "compare_network", "compare_vm")},
        "replay": Path(option.replay_run) if option.replay_run else None,
        "folder": Path(worker["netchecks_run"]) if worker and worker.get("netchecks_run") else option.netchecks_run_dir,
        "root": config.rootpath, "worker": worker is not None, "argv": list(config.invocation_params.args),
        "node_seconds": option.node_timeout, "run_seconds": option.run_timeout, "connections": option.connections,
    }


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker where the run's folder is; only text travels."""
    session = node.config.stash.get(SESSION, None)
    if session is not None:
        node.workerinput["netchecks_run"] = str(session.folder)


def _fixtures() -> types.ModuleType:
    """Give our fixtures, to be registered where an inventory is in force, and only there.

    After every plugin: testinfra's own ``host`` cannot be unregistered, only overridden. Before any conftest: a site's wins.
    """
    module = types.ModuleType("netchecks.fixtures")
    for name in {**OBSERVATIONS, **PROBES}:
        setattr(module, name, _fact_fixture(name))

    @pytest.fixture(scope="session")
    def inventory(request: pytest.FixtureRequest) -> Any:
        """Give the inventory in force."""
        return request.config.stash[SESSION].world.inventory

    @pytest.fixture(scope="module")
    def host(node: Any, request: pytest.FixtureRequest) -> Any:
        """Give testinfra's host for a node of the inventory."""
        from netchecks import connect

        request.config.stash[SESSION].must_be_live(node)
        return connect.host(node)

    module.inventory, module.host = inventory, host  # type: ignore[attr-defined]  # a module made here
    return module


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Gather what the checks say, on the process that the user started."""
    run = session.config.stash.get(SESSION, None)
    if run is None:
        return
    if not run.settings["worker"] and not session.config.option.collectonly:
        try:
            run.make_folder()
        except NetchecksError as error:
            raise pytest.UsageError(str(error)) from error
    if not run.settings["worker"]:
        # Not in pytest_collection: xdist's own ends that hook on its controller.
        session.config.pluginmanager.register(Controller(session.config, run), "netchecks.controller")
    if not run.settings["worker"] and sys.platform != "win32":
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_number: int, _frame: object) -> None:
    """End as by ^C: while it looks, asyncio's own handler closes every connection in order."""
    if callable(signal.getsignal(signal.SIGINT)):
        signal.raise_signal(signal.SIGINT)
    else:  # a job in the background of a script: its SIGINT is ignored
        raise KeyboardInterrupt("terminated")


def _fact_fixture(name: str) -> Any:
    @pytest.fixture(scope="session", name=name)
    def fact(request: pytest.FixtureRequest) -> Any:
        return request.config.stash[SESSION].facts.by(name)

    return fact


# -- collection ------------------------------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Fill the subjects of a check from the inventory, in the order of its files."""
    run = metafunc.config.stash.get(SESSION, None)
    own = [kind for kind in KINDS if kind in metafunc.fixturenames and not _is_theirs(metafunc, kind)]
    if "host" in metafunc.fixturenames and "node" not in own and not _is_theirs(metafunc, "node"):
        own.append("node")
    if run is None or not own:
        return
    kind, flow, inside, declares, hop = map(metafunc.definition.get_closest_marker, ("kind", "flow", "inside", "declares", "hop"))
    rows = [
        row for row in combinations(run.world, frozenset(own))
        if _applies(kind, flow, row) and (inside is None or _entered(row)) and _declared(declares, row) and _allowed(metafunc)
    ]
    chosen = with_siblings([row for row in rows if _selected(run, hop, row)], rows, run.beside, run.world)
    values: list[tuple[object, ...]] = [tuple(row[kind] for kind in own) for row in chosen] or [(_NOTHING,) * len(own)]
    ids = ["-".join(str(row[kind]) for kind in own) for row in chosen] or ["nothing"]
    scope = "module" if "host" in metafunc.fixturenames else None
    metafunc.parametrize(own, values, ids=ids, scope=scope)  # type: ignore[arg-type]  # None is its own default


def _selected(run: Session, hop: pytest.Mark | None, row: dict[str, Subject]) -> bool:
    selection = run.selection
    return selection.keeps(row, run.world) or (hop is not None and selection.crosses(row, hop.args[0], run.world))


def _is_theirs(metafunc: pytest.Metafunc, name: str) -> bool:
    """A site's own fixture of the same name wins, and so does a test's own parametrization."""
    names = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize") if mark.args]
    split = {word.strip() for given in names for word in (given.split(",") if isinstance(given, str) else given)}
    return name in split or any(d.argname == name for d in metafunc._arg2fixturedefs.get(name, ()))  # noqa: SLF001 - no public way


def _applies(kind: pytest.Mark | None, flow: pytest.Mark | None, row: dict[str, Subject]) -> bool:
    if kind is not None:
        networks = [s if isinstance(s, Network) else getattr(s, "network", None) for s in row.values()]
        if not any(network is not None and network.kind in kind.args for network in networks):
            return False
    subject = row.get("flow")
    return flow is None or (isinstance(subject, Flow) and _wanted(flow, subject))


def _allowed(metafunc: pytest.Metafunc) -> bool:
    """Tell whether the user allows what a check does beyond looking."""
    mark = metafunc.definition.get_closest_marker("allowed")
    return mark is None or all(metafunc.config.getoption(name) for name in mark.args)


def _declared(mark: pytest.Mark | None, row: dict[str, Subject]) -> bool:
    networks = [s if isinstance(s, Network) else getattr(s, "network", None) for s in row.values()] if mark else []
    return mark is None or any(getattr(network, name, None) is not None for network in networks for name in mark.args)


def _entered(row: dict[str, Subject]) -> bool:
    """Tell whether the inventory says how to enter the VM that a check is about."""
    vms = [subject if isinstance(subject, Vm) else getattr(getattr(subject, "interface", subject), "vm", None) for subject in row.values()]
    return any(vm is not None and vm.guest is not None for vm in vms)


def _wanted(mark: pytest.Mark, flow: Flow) -> bool:
    to = "gateway" if flow.interface is None else "vm"
    if mark.args and flow.protocol not in mark.args:
        return False
    own = {"to": to, "full": bool(flow.size), "sampled": flow.sampled, "family": flow.family}
    return all(own[name] == wanted for name, wanted in mark.kwargs.items())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Drop what applies to nothing, before anybody counts it."""
    run = config.stash.get(SESSION, None)
    if run is None:
        return
    kept = [item for item in items if _NOTHING not in params_of(item).values()]
    run.not_applicable += len(items) - len(kept)
    items[:] = kept


# -- looking ---------------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Look at everything that the selected checks need, once for all workers."""
    run = session.config.stash.get(SESSION, None)
    ours = [item for item in session.items if is_ours(item)] if run else []
    if run is not None:
        run.selected.update({item.nodeid: info_of(item) for item in ours})
        if ours and not session.config.option.collectonly and not session.testsfailed:
            if run.settings["worker"]:
                run.write_selected()
            try:
                run.look([want_of(item) for item in ours], _screen(session.config))
            except NetchecksError as error:
                raise pytest.UsageError(str(error)) from error
    if ours:
        gc.freeze()  # items and what was seen live to the end: the collector need not go through them again and again
    return (yield)


def _screen(config: pytest.Config) -> progress.Screen:
    """Give where progress is shown; a worker of xdist has no terminal."""
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if terminal is None or config.get_verbosity() < 0:
        return progress.silent()

    def rewrite(line: str) -> None:
        terminal.rewrite(line)
        terminal.flush()

    return progress.Screen(terminal.write_line, rewrite if terminal.isatty else None, terminal._tw.fullwidth)  # noqa: SLF001 - no public way


# -- judging ---------------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Begin a check with nothing read, and put its subjects and facts in place."""
    seen.forget()
    if INFO in item.stash and isinstance(item, pytest.Function):
        facts, known = item.config.stash[SESSION].facts, common_of(item)
        item.funcargs.update({name: item.callspec.params[name] for name in known.subjects})
        item.funcargs.update({name: facts.by(name) for name in known.facts})
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Let the causes make a failure more precise, or say that it is none."""
    try:
        return (yield)
    except AssertionError as error:
        run = pyfuncitem.config.stash.get(SESSION, None)
        if run is None or not is_ours(pyfuncitem):
            raise
        try:
            judge.refine(info_of(pyfuncitem), run.facts)
        except Wrong as better:
            raise better from error
        except Harmless as harmless:
            seen.note(harmless.code, str(harmless))
            return True
        raise


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Give the report of one of our checks its outcome, as plain data."""
    if INFO in item.stash:
        without_traceback(item, call)
    report = yield
    if INFO in item.stash and (call.when == "call" or not report.passed):
        run = item.config.stash[SESSION]
        judged = waived(item, cleaned(judged_of(item, call, report)), run)
        report.netchecks = judge.to_plain(judged)
        shape(report, judged, item)
        prove(report, judged, item, run)
        item.stash[JUDGED] = judged
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Tell Allure, if it listens, while the test is open and its outcome is known."""
    run = item.config.stash.get(SESSION, None)
    listener = item.config.pluginmanager.getplugin("allure_listener")
    if run is None or listener is None or not is_ours(item):
        return
    from netchecks.reporters import allure

    judged = item.stash.get(JUDGED, None)
    proofs = run.evidence(judged) if judged and judged.outcome not in {"passed", "broken"} else []
    traceback = judged is not None and (judged.outcome == "broken" or is_imperative(item))
    allure.tell(listener, info_of(item), judged, proofs, traceback=traceback)


def pytest_report_teststatus(report: Any) -> tuple[str, str, Any] | None:
    """Show unknown and waived as what they are."""
    outcome = getattr(report, "netchecks", {}).get("outcome")
    if outcome == "unknown" and report.failed:
        return "unknown", "U", ("UNKNOWN", {"yellow": True})
    if outcome == "waived" and getattr(report, "wasxfail", "").startswith("waived: "):
        return "waived", "W", ("WAIVED", {"yellow": True})
    if outcome == "broken" and report.failed:
        return "failed", "B", ("BROKEN", {"red": True})
    return None


# -- the end ---------------------------------------------------------------------------------------------------------


class Controller:
    """Gathers what the checks say, on the process that the user started."""

    def __init__(self, config: pytest.Config, run: Session) -> None:
        self.config, self.run, self.unknown = config, run, 0

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        """Take one check's outcome, after JUnit's own part took the report."""
        plain = getattr(report, "netchecks", None)
        if plain:
            self.run.take(plain)
            self.unknown += plain["outcome"] == "unknown" and report.failed
            xml = self.config.stash.get(xml_key, None)
            if xml is not None and report.when != "teardown":
                junit.tell(xml, report)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> Generator[None, object, object]:
        """Write the diagnosis below everything else that pytest says, which leaves out what the diagnosis says better.

        Tests of a site's own and broken checks keep their tracebacks; ``-vv`` shows all.
        """
        stats: dict[str, list[Any]] = terminalreporter.stats
        every = stats.get("failed", [])
        if every and self.config.get_verbosity() < 2:  # noqa: PLR2004 - -vv
            stats["failed"] = [report for report in every if not is_told(report)]
        try:
            result = yield
        finally:
            if every:
                stats["failed"] = every  # pytest counts them in its last line
        self.run.tell(terminalreporter)
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the reports; only unknowns have an exit status of their own."""
        if session.config.option.collectonly:
            return
        self.run.finish(int(exitstatus))
        # Reports, not checks: with xdist's --dist=each there are several of one check.
        if exitstatus == pytest.ExitCode.TESTS_FAILED and self.unknown == session.testsfailed > 0:
            session.exitstatus = EXIT_ONLY_UNKNOWN


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which inventory is in force."""
    run = config.stash.get(SESSION, None)
    return [run.header()] if run is not None else []


__all__ = ["EXIT_ONLY_UNKNOWN", "SESSION", "check_id", "info_of", "netchecks", "wanted_of"]
