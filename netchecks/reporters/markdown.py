"""``report.md``: the diagnosis for a ticket, made from report.json."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

_TITLES = {"cause": "Cause", "finding": "Finding", "unseen": "Not looked at", "note": "Note"}


def render(document: Mapping[str, Any]) -> str:
    """Give the report as Markdown."""
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"# Network diagnosis {document['run']}"
    yield ""
    yield f"netchecks {document['netchecks']}, {document['started']}, inventory {', '.join(document['inventory'])}"
    yield ""
    yield "| outcome | checks |"
    yield "|---|---|"
    for outcome, count in document["outcomes"].items():
        yield f"| {outcome} | {count} |"
    yield ""
    if not document["diagnoses"]:
        yield "Nothing is wrong."
    for number, item in enumerate(document["diagnoses"], 1):
        yield from _diagnosis(number, item)
    if document["not_looked_at"]:
        yield from ("## Not looked at", "")
        for row in document["not_looked_at"]:
            yield f"- **{row['place']}** ({row['what']}): {row['reason']}: {row['detail']}"
        yield ""


def _diagnosis(number: int, item: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {number}. {_TITLES[item['severity']]}: `{item['code']}` at {', '.join(item['places']) or '?'}"
    yield ""
    yield from (f"- {message}" for message in item["messages"])
    yield ""
    for label in ("why", "remedy", "owner", "confidence", "source"):
        if item[label]:
            text = f"`{item[label]}`" if label == "remedy" else item[label]
            yield f"**{label.capitalize()}:** {text}  "
    yield ""
    for evidence in item["evidence"][:6]:
        yield from _evidence(evidence)
    if item["explains"]:
        yield from (f"Explains {len(item['explains'])} checks:", "")
        yield from (f"- `{nodeid}`" for nodeid in item["explains"])
        yield ""


def _evidence(evidence: Mapping[str, Any]) -> Iterator[str]:
    text = (evidence["stdout"] + evidence["stderr"]).rstrip()
    fence = "`" * max(3, max((len(run) + 1 for run in text.split() if set(run) == {"`"}), default=3))
    command = shlex.join(evidence["command"])
    yield f"`{command[:200]}` ({evidence['fact']} of {evidence['subject']}, exit status {evidence['exit_status']}):"
    yield from ("", fence, text[:2000], fence, "")
