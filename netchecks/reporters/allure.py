"""Allure, written by allure-pytest's ``--alluredir``: what it shows of a check, told while the check's test is open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import allure
from allure_commons.model2 import Status, StatusDetails
from allure_commons.types import AttachmentType, LabelType, Severity

from netchecks.diagnose import Judged
from netchecks.evidence import Evidence, clean, text
from netchecks.judge import CheckInfo, Doc
from netchecks.world import complete

#: Unknown is broken and waived is skipped: Allure has no words of its own for them.
_STATUS = {"failed": Status.FAILED, "unknown": Status.BROKEN, "waived": Status.SKIPPED, "broken": Status.BROKEN}


def tell(listener: Any, info: CheckInfo, judged: Judged | None, evidence: Iterable[Evidence], *, traceback: bool) -> None:
    """Describe the check that is about to end. ``listener`` is allure-pytest's, ``judged`` is None where nothing was said.

    ``traceback``: its own traceback says more than we do. The parameters (names of subjects), and with them the
    history's id, are allure-pytest's own.
    """
    names = ", ".join(name for _, name in info.subjects)
    if info.doc.claim:
        allure.dynamic.title(info.doc.claim.removesuffix(".") + (f" [{names}]" if names else ""))
        allure.dynamic.description("\n\n".join(_description(info.doc)))
    for label, value in _labels(info, judged):
        allure.dynamic.label(label, value)
    allure.dynamic.severity(_severity(info))
    if judged is None or judged.outcome == "passed":
        return
    _details(listener.allure_logger.get_test(None), judged, traceback=traceback)
    for one in evidence:
        allure.attach(text(one), name=f"{one.fact} of {one.subject}", attachment_type=AttachmentType.TEXT)


def _description(doc: Doc) -> Iterator[str]:
    yield doc.claim
    if doc.why:
        yield f"**Why:** {doc.why}"
    if doc.remedy:
        yield f"**Remedy:** {doc.owner}: `{doc.remedy}`"
    if doc.source:
        yield f"**Source:** {doc.source}"


def _labels(info: CheckInfo, judged: Judged | None) -> Iterator[tuple[str, str]]:
    suite, _, check = info.check.rpartition(".")
    yield LabelType.PARENT_SUITE, suite
    yield LabelType.SUITE, check
    yield "layer", suite
    yield LabelType.FEATURE, suite
    yield LabelType.STORY, info.doc.claim or check
    owner = judged.owner if judged and judged.owner else info.doc.owner
    if owner:
        yield "owner", owner
    node = complete(info.row).get("node") if info.row else None
    if node is not None:
        yield LabelType.HOST, node.name
    if judged and judged.code and judged.outcome != "passed":
        yield LabelType.TAG, judged.code


def _severity(info: CheckInfo) -> Severity:
    """A flow that shall work is critical, the state of a hop is normal, the rest is minor."""
    if info.verdict:
        return Severity.CRITICAL
    return Severity.NORMAL if info.hop[0] else Severity.MINOR


def _details(result: Any, judged: Judged, *, traceback: bool) -> None:
    """Say what happened in our words: allure-pytest has the exception's class and none of what has to be done."""
    if result is None:
        return
    result.status = _STATUS[judged.outcome]
    said = [(name, getattr(judged, name)) for name in ("code", "place", "owner", "remedy", "why")]
    trace = "\n".join(f"{name}: {value}" for name, value in said if value)
    if traceback and result.statusDetails is not None:
        trace = f"{trace}\n\n{result.statusDetails.trace or ''}"
    lines = judged.message.strip().splitlines() or [""]
    message = lines[-1] if judged.outcome == "broken" else "\n".join(lines)
    result.statusDetails = StatusDetails(message=message, trace=clean(trace.strip()))
