"""The diagnosis in the terminal: worst first, readable in 80 columns and without colour.

A cause is told in full: what, where, what proves it, who does what, what it explains. The rest is told the shorter, the
more of it there is; ``report.md`` has all.
"""

from __future__ import annotations

import os
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from netchecks.compare import FACTS, LINES, VERDICTS, Comparison
from netchecks.diagnose import Diagnosis, Judged
from netchecks.evidence import Evidence, clean
from netchecks.excerpt import excerpt
from netchecks.report import INTERRUPTED, Report, not_looked_at

#: Places and messages of a folded diagnosis that are listed.
LISTED = 8
_MESSAGES = 4
#: Nodes of a diagnosis of which it is told what changed.
_PLACES = 3
#: Diagnoses of each severity that are told in full, then those that get a line.
_FULL: Mapping[str, int] = {"cause": 10, "finding": 5, "unseen": 5, "note": 0}
_BRIEF = 25
#: Lines of proof of one diagnosis: commands with what they printed.
_PROOF = 6
#: A summary longer than this says again at its end what to begin with.
_SCREEN = 30
_WIDTH = 100
_TITLES = {"cause": "CAUSE", "finding": "FINDING", "unseen": "NOT LOOKED AT", "note": "NOTE"}
_PLURALS = {"cause": "causes", "finding": "findings", "unseen": "reasons", "note": "notes"}
_COLOURS: dict[str, dict[str, bool]] = {
    "cause": {"red": True, "bold": True}, "finding": {"yellow": True, "bold": True},
    "unseen": {"yellow": True}, "note": {"cyan": True},
}
Line = tuple[str, dict[str, bool]]


def write(report: Report, writer: Any, folder: Path) -> None:
    """Write the diagnosis with pytest's terminal writer."""
    width = min(_WIDTH, max(40, int(getattr(writer, "_tw", writer).fullwidth)))
    writer.section("diagnosis", sep="=")
    body = list(_body(report, width))
    for text, markup in [*body, *_end(report, folder, width, long=len(body) > _SCREEN)]:
        writer.line(clean(text), **markup)


def _body(report: Report, width: int) -> Iterator[Line]:
    numbered = list(enumerate((item for item in report.diagnoses if item.code != INTERRUPTED), 1))
    if not any(item.severity != "note" for _, item in numbered) and report.complete:
        yield _all_well(report)
    for severity in _TITLES:
        mine = [(number, item) for number, item in numbered if item.severity == severity]
        full = mine[: _FULL[severity]]
        for number, item in full:
            yield from _in_full(number, item, report, width)
        yield from _in_brief(severity, mine[len(full):], width, more=bool(full))
    yield from _not_looked_at(report, width)
    for outcome, title in (("waived", "WAIVED"), ("broken", "BROKEN CHECK (no fault of the network)")):
        yield from _checks(title, [check for check in report.checks if check.outcome == outcome], width)


def _all_well(report: Report) -> Line:
    passed, total = report.outcomes["passed"], sum(report.outcomes.values())
    if not passed:
        return "Nothing was checked.", {"yellow": True}
    return f"Nothing is wrong: {passed} of {total} checks passed.", {"green": passed == total}


# -- one diagnosis ---------------------------------------------------------------------------------------------------


def _in_full(number: int, item: Diagnosis, report: Report, width: int) -> Iterator[Line]:
    yield "", {}
    head = f"{number}. {_TITLES[item.severity]} {item.code} at {listed(item.places)}"
    for line in textwrap.wrap(head, width, subsequent_indent="   ", break_long_words=False, break_on_hyphens=False):
        yield line, _COLOURS[item.severity]
    for line in lines(item, report.behind(item), width, report.beside(item), report.changed(item)):
        yield line, {}


def lines(
    item: Diagnosis, behind: Sequence[Evidence] = (), width: int = 80, beside: Comparison | None = None,
    lately: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Iterator[str]:
    """Give the body of one diagnosis: what, why, what proves it, how a sibling differs, what changed, who does what, what it explains."""
    for number, message in enumerate(item.messages[:_MESSAGES]):
        yield from _wrapped("", message, width) if number == 0 else (_cut(f"   {' '.join(message.split())}", width),)
    if len(item.messages) > _MESSAGES:
        yield f"   ... and {len(item.messages) - _MESSAGES} more like it"
    if item.why:
        yield from _wrapped("Why:    ", item.why, width)
    if item.severity in {"cause", "finding"}:
        yield from _wrapped("Proof:  ", item.confidence, width)
    yield from _proof(item, behind, width)
    yield from _beside(beside, width) if beside is not None else ()
    changed = [f"{place}: {'; '.join(told)}" for place, told in lately.items()][:_PLACES]
    yield from (line for text in changed for line in _wrapped("Lately: ", text, width))
    if item.remedy or item.owner:
        yield from _remedy(item, width)
    if len(item.explains) > 1 and item.severity in {"cause", "unseen"}:
        yield from _wrapped("Explains " if item.severity == "cause" else "Leaves ", _explains(item), width)


def _proof(item: Diagnosis, behind: Sequence[Evidence], width: int) -> Iterator[str]:
    """Quote the commands whose output has most to do with the message, each with the lines that matter."""
    rated = [(excerpt(one, item.messages), one) for one in behind]
    best = max((found.weight for found, _ in rated), default=0.0)
    chosen = [(found, one) for found, one in rated if found.weight >= best / 3 and (found.lines or not best)]
    room, quoted = _PROOF, set()
    for found, one in sorted(chosen, key=lambda pair: -pair[0].weight):
        if room < 2 or one.command in quoted:  # noqa: PLR2004 - a command and a line of its output
            continue
        quoted.add(one.command)  # at the next place it said the like
        kept = found.lines if len(found.lines) < room else excerpt(one, item.messages, room - 1).lines
        shown = [*kept] or ["(no output)" if not one.stdout.strip() else f"({len(one.stdout)} characters)"]
        room -= 1 + len(shown)
        end = "" if one.status in {0, None} else f" [exit {one.status}]"
        yield _cut(f"     {one.short}", width - len(end)) + end
        yield from (_cut(f"       {line}", width) for line in shown)


def _beside(item: Comparison, width: int) -> Iterator[str]:
    """Tell what is so here and not at the sibling, and the other way round; first the facts with the fewest differences."""
    yield from _wrapped("Beside: ", f"{item.sibling}, {VERDICTS[item.outcome]}; {item.subject} and it {_same(item)}", width)
    for one in item.differing[:FACTS]:
        for name, told in ((item.subject, one.here), (item.sibling, one.there)):
            yield from (text for line in told[:LINES] for text in _folded(f"     {one.fact}, only {name}: ", line, width))
            if len(told) > LINES:
                yield f"     {one.fact}, only {name}: ... and {len(told) - LINES} more (report.json has all)"
    yield from (_cut(f"     not compared: {reason}", width) for reason in item.unseen[:LINES])


def _folded(label: str, text: str, width: int) -> Iterator[str]:
    """Give a line of a fact in at most two lines."""
    first, *more = textwrap.wrap(label + text, width, subsequent_indent=" " * 7, break_on_hyphens=False) or [label]
    yield first
    if more:
        yield more[0] if len(more) == 1 else _cut(f"{more[0]} ...", width)


def _same(item: Comparison) -> str:
    facts = [one.fact for one in item.differing]
    shown = f"differ in {', '.join(facts[:FACTS])}" + (f" and {len(facts) - FACTS} more" if len(facts) > FACTS else "")
    alike = f"are alike in {', '.join(item.same)}" if item.same else ""
    return " and ".join(filter(None, (shown if facts else "", alike))) or "have nothing that could be compared"


def _remedy(item: Diagnosis, width: int) -> Iterator[str]:
    """A command stays in one line, so that it can be taken from the screen."""
    label = "Remedy: "
    if not item.remedy:
        yield from _wrapped("Owner:  ", item.owner, width)
        return
    owner = f"{item.owner}: " if item.owner else ""
    yield from _wrapped(label, f"{owner}{item.remedy}", width, command=item.remedy)
    if len(item.places) > 1 and item.places[0] in item.remedy:
        yield from _wrapped(" " * len(label), f"(for {item.places[0]}; the others likewise, see report.md)", width)


def _explains(item: Diagnosis) -> str:
    names = Counter(nodeid.rpartition("::")[2].partition("[")[0].removeprefix("test_") for nodeid in item.explains)
    shown = [f"{name} ({count})" if count > 1 else name for name, count in names.most_common(LISTED)]
    more = f" and {len(names) - LISTED} others" if len(names) > LISTED else ""
    what = "checks" if item.severity == "cause" else "checks unknown"
    return f"{len(item.explains)} {what}: {', '.join(shown)}{more}"


def listed(places: Sequence[str]) -> str:
    """List the first places, and count the rest."""
    more = f" and {len(places) - LISTED} more" if len(places) > LISTED else ""
    return (", ".join(places[:LISTED]) + more) or "?"


def _wrapped(label: str, text: str, width: int, *, command: str = "") -> Iterator[str]:
    first = f"   {label}"
    if command and len(first) + len(text) > width:
        yield f"{first}{text.removesuffix(command)}".rstrip()
        first, text = " " * len(first), command
        if len(first) + len(text) > width and len(text) <= 2 * width and ", " not in text:  # prose has commas
            yield first + text
            return
    yield from textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=" " * len(first), break_long_words=False, break_on_hyphens=False,
    )


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 3] + "..."


# -- the rest --------------------------------------------------------------------------------------------------------


def _in_brief(severity: str, items: Sequence[tuple[int, Diagnosis]], width: int, *, more: bool) -> Iterator[Line]:
    if not items:
        return
    yield "", {}
    yield f"{'More ' if more else ''}{_PLURALS[severity]}:".capitalize(), _COLOURS[severity]
    for number, item in items[:_BRIEF]:
        where = f"{item.code} at {listed(item.places[:2])}" + (f" and {len(item.places) - 2} more" if len(item.places) > 2 else "")  # noqa: PLR2004
        message = item.messages[0] if item.messages else item.sentence
        text = textwrap.wrap(f"{number}. {where}: {message}", width - 3, subsequent_indent="   ", break_on_hyphens=False)
        yield from (("  " + line, {}) for line in text[:2])
    if len(items) > _BRIEF:
        yield f"  ... and {len(items) - _BRIEF} more in the report", {}


def _not_looked_at(report: Report, width: int) -> Iterator[Line]:
    """Places that were not looked at and that no diagnosis speaks of, and checks that were never judged."""
    told = {(item.code, place) for item in report.diagnoses for place in item.places}
    rows = [row for row in not_looked_at(report.seen) if row["what"] in {"all", "probes"} and (row["code"], row["place"]) not in told]
    if rows:
        yield "", {}
        yield "Not looked at:", _COLOURS["unseen"]
    for row in rows[:LISTED]:
        yield _cut(f"  {row['place']} ({row['what']}): {row['reason']}: {row['detail']}", width), {}
    if len(rows) > LISTED:
        yield f"  ... and {len(rows) - LISTED} more in the report", {}
    left = sum(check.code == INTERRUPTED for check in report.checks)
    if left:
        yield "", {}
        yield f"INTERRUPTED: {left} of {len(report.checks)} checks were not judged; the run ended before.", _COLOURS["unseen"]


def _checks(title: str, checks: Sequence[Judged], width: int) -> Iterator[Line]:
    """Tell of checks that are no part of any diagnosis, those of one name in one line."""
    by_name: dict[str, list[Judged]] = {}
    for check in checks:
        by_name.setdefault(check.check, []).append(check)
    if by_name:
        yield "", {}
    for name, same in list(by_name.items())[:LISTED]:
        said = [line for line in same[0].message.splitlines() if line.strip()] or [""]
        text = said[-1] if same[0].outcome == "broken" else said[0]
        subjects = listed([", ".join(name for _, name in check.subjects) for check in same]) if same[0].subjects else ""
        yield _cut(f"{title} {name}{f' of {subjects}' if subjects else ''}: {text}", width), {"purple": True}
    if len(by_name) > LISTED:
        yield f"... and {len(by_name) - LISTED} more", {}


def _end(report: Report, folder: Path, width: int, *, long: bool) -> Iterator[Line]:
    yield "", {}
    first = next((item for item in report.diagnoses if item.severity in {"cause", "finding"}), None)
    if long and first is not None:
        yield f"Begin with 1. {first.code} at {listed(first.places)}", _COLOURS[first.severity]
        for line in _remedy(first, width):
            yield line, {}
        yield "", {}
    counts = ", ".join(f"{count} {outcome}" for outcome, count in report.outcomes.items() if count)
    yield f"{sum(report.outcomes.values())} checks: {counts or 'none'}; {report.not_applicable} more do not apply here", {}
    path = _near(folder)
    yield f"report: {path}/report.md (report.json, record/)", {}
    if not report.replay_of:
        yield f"judge it again, touching no host: pytest ... --replay-run {path}", {}


def _near(folder: Path) -> str:
    """Give a path as short as it can be typed from here."""
    relative = os.path.relpath(folder)
    return relative if not relative.startswith("..") else str(folder)
