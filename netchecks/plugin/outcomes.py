"""From what pytest says of a check to its outcome, and back: reports that show it as what it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from netchecks import evidence, judge
from netchecks.diagnose import Judged
from netchecks.errors import NotSeen
from netchecks.plugin.items import info_of, is_imperative
from netchecks.reporters import junit
from netchecks.session import Session


def without_traceback(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Keep pytest from writing a traceback where ``shape`` puts a message: it takes 20 ms, of 500 nodes minutes."""
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, (NotSeen, AssertionError)) and not is_imperative(item):
        item.repr_failure = _message  # type: ignore[method-assign]  # pytest asks the item, and this item alone


def _message(excinfo: pytest.ExceptionInfo[BaseException], style: object = None) -> str:  # noqa: ARG001 - pytest names it
    return str(excinfo.value)


def judged_of(item: pytest.Item, call: pytest.CallInfo[None], report: Any) -> Judged:
    """Give the outcome of a check by how its test ended."""
    info = info_of(item)
    if report.skipped:
        return judge.accepted(info, getattr(report, "wasxfail", "") or str(getattr(call.excinfo, "value", "")))
    if call.excinfo is None:
        return judge.passed(info)
    error = call.excinfo.value
    if isinstance(error, NotSeen):
        return judge.unknown(info, error)
    if isinstance(error, AssertionError):
        return judge.failed(info, error)
    return judge.broken(info, str(report.longrepr)[-2000:])


def cleaned(judged: Judged) -> Judged:
    """Take secrets and what cannot be written out of what was said: from here on it goes to every report."""
    notes = tuple((code, evidence.clean(message)) for code, message in judged.notes)
    if judged.outcome == "passed" and not notes:
        return judged
    return replace(judged, message=evidence.clean(judged.message), remedy=evidence.clean(judged.remedy), notes=notes)


def waived(item: pytest.Item, judged: Judged, run: Session) -> Judged:
    """Take a failure for waived where the inventory says so."""
    if judged.outcome not in {"failed", "unknown"}:
        return judged
    waiver = judge.waiver_for(info_of(item), run.world.inventory.waivers, run.today())
    return replace(judged, outcome="waived", message=f"{waiver.reason} ({judged.message})") if waiver else judged


def shape(report: Any, judged: Judged, item: pytest.Item) -> None:
    """Make pytest and everything that reads its reports see the outcome as what it is."""
    if judged.outcome == "waived" and not report.skipped:
        report.outcome, report.wasxfail = "skipped", f"waived: {judged.message}"
        report.longrepr = judged.message
    elif judged.outcome == "unknown":
        report.outcome, report.when = "failed", "setup"
        report.longrepr = f"unknown: {judged.message}"
    elif judged.outcome == "failed" and not is_imperative(item):
        report.longrepr = judged.message


def prove(report: Any, judged: Judged, item: pytest.Item, run: Session) -> None:
    """Hang on a report what JUnit shows of it. pytest reads the properties of an item when it is torn down."""
    own = [pair for pair in junit.properties(judged) if pair not in item.user_properties]
    item.user_properties += own
    report.user_properties += own
    if judged.outcome not in {"passed", "broken"} and item.config.getoption("xmlpath", None):
        report.sections += [(junit.SECTION, evidence.text(one)) for one in run.evidence(judged)]


def is_told(report: Any) -> bool:
    """Tell whether the diagnosis says all that a report of a failure says."""
    return getattr(report, "netchecks", {}).get("outcome") == "failed" and isinstance(report.longrepr, str)
