"""``report.md``: the diagnosis for a ticket, made from report.json."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_TITLES = {"cause": "Cause", "finding": "Finding", "unseen": "Not looked at", "note": "Note"}
#: Places, messages and explained checks of one diagnosis that are listed; report.json has all.
_LISTED = 50
#: Characters of one output and pieces of evidence of one diagnosis: tickets have limits.
_OUTPUT = 2000
_EVIDENCE = 6
#: What Markdown or the HTML in it would take for its own.
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")


def render(document: Mapping[str, Any]) -> str:
    """Give the report as Markdown."""
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield from _head(document)
    for number, item in enumerate(document["diagnoses"], 1):
        yield from _diagnosis(number, item)
    if document["not_looked_at"]:
        yield from ("## Not looked at", "")
        rows = (f"{row['place']} ({row['what']}): {row['reason']}: {row['detail']}" for row in document["not_looked_at"])
        yield from _bullets([_plain(row) for row in rows])
    waived = [check for check in document["checks"] if check["outcome"] == "waived"]
    if waived:
        yield from ("## Waived", "")
        yield from _bullets([f"{_code(check['check'])} of {_subjects(check)}: {_plain(check['message'])}" for check in waived])
    broken = [check for check in document["checks"] if check["outcome"] == "broken"]
    for check in broken[:_EVIDENCE]:
        yield from (f"## Broken check: {_code(check['check'])} of {_subjects(check)}", "", "No fault of the network.", "")
        yield from _fenced(check["message"])


def _head(document: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"# Network diagnosis {_plain(document['run'])}", "")
    seconds = f"looked for {document['looking_seconds']:.1f} s at {_counted(len(document['places']), 'place')}"
    again = f", a replay of {_code(document['replay_of'])}" if document["replay_of"] else ""
    yield f"netchecks {document['netchecks']}, {document['started']}{again}, {seconds}  "
    yield f"{_code(shlex.join(['pytest', *document['argv']]))}  "
    yield f"inventory {', '.join(map(_code, document['inventory']))}"
    yield ""
    counts = ", ".join(f"{count} {outcome}" for outcome, count in document["outcomes"].items() if count)
    yield f"{_counted(sum(document['outcomes'].values()), 'check')}: {counts or 'none'}; {document['not_applicable']} more do not apply"
    yield ""
    if not document["complete"]:
        yield from ("**The run was interrupted: not every check was judged.**", "")
    told = [item for item in document["diagnoses"] if item["severity"] != "note"]
    if not told:
        yield from ("Nothing is wrong." if document["outcomes"]["passed"] else "Nothing was checked.", "")
    if len(told) > 1:
        yield from _table(document["diagnoses"])


def _table(diagnoses: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from ("| | | what | where | who |", "|---|---|---|---|---|")
    for number, item in enumerate(diagnoses, 1):
        where = _plain(", ".join(item["places"][:3])) + (f" and {len(item['places']) - 3} more" if len(item["places"]) > 3 else "")  # noqa: PLR2004
        yield f"| {number} | {_TITLES[item['severity']]} | {_code(item['code'])} | {where} | {_plain(item['owner'])} |"
    yield ""


def _diagnosis(number: int, item: Mapping[str, Any]) -> Iterator[str]:
    places = _plain(", ".join(item["places"][:3])) + (f" and {len(item['places']) - 3} more places" if len(item["places"]) > 3 else "")  # noqa: PLR2004
    yield from (f"## {number}. {_TITLES[item['severity']]}: {_code(item['code'])} at {places or '?'}", "")
    yield from _bullets([_plain(" ".join(message.split())) for message in item["messages"]])
    for label in ("why", "owner", "confidence", "source"):
        if item[label]:
            yield f"**{label.capitalize()}:** {_plain(item[label])}  "  # two spaces: a new line
    if item["remedy"]:
        yield from ("**Remedy:**", "", *_fenced(item["remedy"]))
    else:
        yield ""
    if len(item["places"]) > 3:  # noqa: PLR2004 - as many as its title has
        yield from ("Places:", "", *_bullets([_plain(place) for place in item["places"]]))
    yield from _evidence(item)
    if "lately" in item:
        yield from ("Changed lately:", "")
        yield from _bullets([f"{_plain(place)}: {_plain('; '.join(changes))}" for place, changes in item["lately"].items()])
    if "compared" in item:
        yield from _beside(item["compared"])
    if item["explains"] and item["severity"] != "finding":
        yield from (f"{'Explains' if item['severity'] == 'cause' else 'Concerns'} {_counted(len(item['explains']), 'check')}:", "")
        yield from _bullets([_code(nodeid) for nodeid in item["explains"]])


def _evidence(item: Mapping[str, Any]) -> Iterator[str]:
    for one in item["evidence"][:_EVIDENCE]:
        command = " ".join(shlex.join(one["command"]).split())
        status = "its kernel module is not loaded" if one["exit_status"] is None else f"exit status {one['exit_status']}"
        where = f"{one['fact']} of {_plain(one['subject'])}, at {_plain(one['place'])}"
        yield from (f"Evidence, {where}: {_code(command[:200])} ({status}):", "")
        output = one["stdout"].rstrip() + ("\n" + one["stderr"].rstrip() if one["stderr"].strip() else "")
        cut = output if len(output) <= _OUTPUT else output[:_OUTPUT].rstrip() + "\n..."
        matter = one["excerpt"] if len(output) > 5 * sum(map(len, one["excerpt"])) else []
        yield from _fenced("\n".join(matter)) if matter else ()
        if matter:
            yield from ("of:", "")
        yield from _fenced(cut or "(no output)")
    left = len(item["evidence"][_EVIDENCE:]) + item["evidence_left_out"]
    if left:
        yield from (f"{left} more pieces of evidence are in report.json and in the record.", "")


def _beside(item: Mapping[str, Any]) -> Iterator[str]:
    """Tell how a sibling differs, as a diff: what is here alone, what is there alone."""
    yield f"Beside {_plain(item['sibling'])} ({item['sibling_outcome'] or 'not judged'}), {_plain(item['subject'])} differs:"
    yield ""
    told = [line for one in item["differing"] for line in (f"  {one['fact']}", *_signed("- ", one["here"]), *_signed("+ ", one["there"]))]
    told = [f"--- {item['subject']}", f"+++ {item['sibling']}", *told[:_LISTED], *(["  ..."] if len(told) > _LISTED else [])]
    yield from _fenced("\n".join(told)) if item["differing"] else ("in nothing that the check read.", "")
    if item["same"]:
        yield from (f"Alike in {', '.join(item['same'])}.", "")
    yield from _bullets([f"Not compared: {_plain(reason)}" for reason in item["unseen"]])


def _signed(sign: str, rows: Sequence[str]) -> list[str]:
    return [sign + row for row in rows]


def _fenced(text: str) -> tuple[str, ...]:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return (fence, text, fence, "")


def _bullets(rows: Sequence[str]) -> Iterator[str]:
    yield from (f"- {row}" for row in rows[:_LISTED])
    if len(rows) > _LISTED:
        yield f"- ... and {len(rows) - _LISTED} more"
    if rows:
        yield ""


def _plain(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    text = " ".join(text.split())
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"`{text}`"


def _subjects(check: Mapping[str, Any]) -> str:
    return _plain(", ".join(check["subjects"].values())) or "nothing"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
