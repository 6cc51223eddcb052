"""The terminal: progress while looking, then the diagnosis, worst first."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netchecks.diagnose import Diagnosis
from netchecks.models.subjects import Node
from netchecks.report import Report

#: Places and messages of a folded diagnosis that are listed; the report has all.
LISTED = 8
_TITLES = {"cause": "CAUSE", "finding": "FINDING", "unseen": "NOT LOOKED AT", "note": "NOTE"}
_COLOURS: dict[str, dict[str, bool]] = {
    "cause": {"red": True, "bold": True}, "finding": {"yellow": True, "bold": True},
    "unseen": {"yellow": True}, "note": {"cyan": True},
}


@dataclass(slots=True)
class Progress:
    """Says a line when the looking begins, one for each place that cannot be looked at, and one at its end."""

    nodes: Mapping[str, Node]
    say: Callable[[str], None]
    done: int = 0
    bad: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin."""
        names = ", ".join(list(self.nodes)[:LISTED]) + (", ..." if len(self.nodes) > LISTED else "")
        self.say(f"looking at {len(self.nodes)} place{'s' * (len(self.nodes) != 1)}: {names}")

    def tell(self, place: str, state: str) -> None:
        """Hear of one place."""
        if state in {"looking", "probing"}:
            return
        self.done += 1
        if state != "seen":
            self.bad.append(place)
            self.say(f"  {place}: {state}")

    def end(self, seconds: float) -> None:
        """Sum up."""
        bad = f", {len(self.bad)} could not be looked at" if self.bad else ""
        self.say(f"looked at {self.done} of {len(self.nodes)} in {seconds:.1f} s{bad}")


def write(report: Report, writer: Any, folder: Path) -> None:
    """Write the diagnosis with pytest's terminal writer."""
    writer.section("diagnosis", sep="=")
    causes = [item for item in report.diagnoses if item.severity != "note"]
    if not causes:
        writer.line(_all_well(report), green=not report.outcomes["unknown"])
    for number, item in enumerate(report.diagnoses, 1):
        writer.line("")
        writer.line(f"{number}. {_TITLES[item.severity]} {item.code} at {_listed(item.places)}", **_COLOURS[item.severity])
        for line in lines(item):
            writer.line(line)
    writer.line("")
    counts = ", ".join(f"{count} {outcome}" for outcome, count in report.outcomes.items() if count)
    writer.line(f"{sum(report.outcomes.values())} checks: {counts}; {report.not_applicable} more do not apply here")
    writer.line(f"report: {folder / 'report.md'} (report.json, record/); judge it again: --replay-run {folder}")


def _all_well(report: Report) -> str:
    passed = report.outcomes["passed"]
    return f"Nothing is wrong: {passed} of {sum(report.outcomes.values())} checks passed." if passed else "Nothing was checked."


def lines(item: Diagnosis) -> Iterator[str]:
    """Give the body of one diagnosis: what, why, remedy, proof."""
    for message in item.messages[:LISTED]:
        yield from _wrapped("", message)
    if len(item.messages) > LISTED:
        yield f"   ... and {len(item.messages) - LISTED} more"
    if item.why:
        yield from _wrapped("Why:    ", item.why)
    if item.remedy:
        yield from _wrapped("Remedy: ", f"{item.owner}: {item.remedy}" if item.owner else item.remedy)
    if item.severity in {"cause", "finding"}:
        yield from _wrapped("Proof:  ", f"{item.confidence}; read: {_read(item)}" if item.readings else item.confidence)
    if len(item.explains) > 1:
        checks = ", ".join(dict.fromkeys(nodeid.rpartition("::")[2] for nodeid in item.explains[:LISTED]))
        more = f" and {len(item.explains) - LISTED} more" if len(item.explains) > LISTED else ""
        yield from _wrapped("Explains:", f"{len(item.explains)} checks: {checks}{more}")


def _read(item: Diagnosis) -> str:
    return ", ".join(f"{fact} of {name}" for fact, name in item.readings[:LISTED])


def _listed(places: tuple[str, ...]) -> str:
    shown = ", ".join(places[:LISTED])
    return shown + (f" and {len(places) - LISTED} more" if len(places) > LISTED else "") if places else "?"


def _wrapped(label: str, text: str) -> Iterator[str]:
    first = f"   {label}"
    yield from textwrap.wrap(text, 116, initial_indent=first, subsequent_indent=" " * len(first), break_long_words=False)
