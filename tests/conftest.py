"""What holds for all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest

#: Where the machine was made for the tests (.ci/run), a test that cannot run there is a failure: nobody reads skips.
NO_SKIPS = bool(os.environ.get("NETCHECKS_NO_SKIPS"))
#: Reasons that no installation changes: for root nothing is forbidden; a container may give ping no right of its own.
ALLOWED = ("root reads everything", "ping has no right of its own here")


def pytest_configure() -> None:
    """Let what the tests start hear the signals that they send it: a shell in the background has us ignore them, and all that we start."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail instead of skipping, where that is asked for."""
    report = yield
    reason = str(call.excinfo.value) if call.excinfo else ""
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail") and not reason.endswith(ALLOWED):
        report.outcome, report.longrepr = "failed", f"{item.nodeid} was skipped: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail instead of skipping a whole module."""
    report = yield
    if NO_SKIPS and report.skipped:
        report.outcome, report.longrepr = "failed", f"{collector.nodeid} was skipped: {report.longrepr}"
    return report
