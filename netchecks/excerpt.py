"""The few lines of a command's output that matter for a failure: those that its message speaks of.

Nothing here knows a tool. A word of the message counts the more, the fewer lines of the output have it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from netchecks.evidence import Evidence

#: Lines of one command that are quoted.
LINES = 3
#: Characters of a JSON object that stays in one piece; a longer one shows its scalar members.
_WHOLE = 160
#: Characters of a longer one that are shown: as many as a terminal has beside the margin.
_WIDE = 68
#: Records of an output that are looked at.
_RECORDS = 5000
#: Words of messages that name nothing; by accident an output may have one of them once.
_EMPTY = frozenset({
    "an", "and", "are", "as", "at", "be", "but", "by", "did", "do", "expected", "for", "from", "had", "has", "have",
    "in", "instead", "into", "is", "it", "its", "no", "not", "of", "off", "on", "or", "so", "than", "that", "the",
    "their", "there", "they", "this", "to", "was", "were", "which", "with", "without",
})
_TOKEN = re.compile(r"[A-Za-z0-9](?:[\w.:/%-]*\w)?")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Lines in the order of the output. ``weight``: how much they have to do with the message; 0: nothing known."""

    lines: tuple[str, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class _Line:
    """One record of an output: its text, or its members as text, and where in the document they stand."""

    text: str = ""
    members: tuple[tuple[str, str], ...] = ()
    inside: str = ""

    @property
    def words(self) -> frozenset[str]:
        joined = self.text or " ".join(f"{name} {value}" for name, value in self.members)
        return _words(f"{self.inside} {joined}")


def excerpt(evidence: Evidence, messages: Iterable[str], most: int = LINES) -> Excerpt:
    """Choose the lines of one command's output that the messages speak of; of a failed command what it complained of."""
    about = _words(" ".join([*messages, evidence.subject.rpartition(":")[2]]))
    if evidence.status not in {0, None} and evidence.stderr.strip():
        complaint = [line for line in evidence.stderr.splitlines() if line.strip()]
        return Excerpt(tuple(complaint[-most:]), 1.0)
    lines = list(_lines(evidence.stdout))
    if not lines:
        return Excerpt((), 0.0)
    return _chosen(lines, about, most)


def _chosen(lines: Sequence[_Line], about: frozenset[str], most: int) -> Excerpt:
    known = [line.words & about for line in lines]
    spread = Counter(word for words in known for word in words)
    weights = [sum(1 / spread[word] for word in words) for words in known]
    best = max(weights)
    if best == 0:
        few = tuple(_shown(line, about) for line in lines) if len(lines) <= most else ()
        return Excerpt(few, 0.0)
    good = sorted((number for number, weight in enumerate(weights) if weight >= best / 2), key=lambda number: -weights[number])
    return Excerpt(tuple(_shown(lines[number], about) for number in sorted(good[:most])), best)


def _words(text: str) -> frozenset[str]:
    """Give the words of a text that can name something; a MAC and an address are one word."""
    return frozenset(word.lower() for word in _TOKEN.findall(text) if len(word) > 1 or word.isdigit()) - _EMPTY


def _lines(output: str) -> Iterator[_Line]:
    text = output.strip()
    if text[:1] in {"[", "{"}:
        try:
            document = json.loads(text)
        except ValueError:
            text = re.sub(r"(?<=\}),\s*(?=\{)", ",\n", text)
        else:
            yield from list(_records(document, ""))[:_RECORDS]
            return
    yield from (_Line(line.strip()) for line in text.splitlines()[:_RECORDS] if line.strip())


def _records(value: Any, inside: str) -> Iterator[_Line]:
    if isinstance(value, list):
        for item in value:
            yield from _records(item, inside)
    elif isinstance(value, dict) and value:
        members = {name: _scalar(item) for name, item in value.items()}
        flat = tuple((name, text) for name, text in members.items() if text is not None)
        whole = json.dumps(value, ensure_ascii=False)
        if len(whole) <= _WHOLE and len(flat) < len(value):
            yield _Line(whole, (), inside)
            return
        if flat:
            yield _Line("", flat, inside)
        name = next((text for _, text in flat if text), inside)
        for key, item in value.items():
            if members[key] is None:
                yield from _records(item, f"{name} {key}:")


def _scalar(value: Any) -> str | None:
    """Give the text of what has no members of its own, None of what has."""
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value)):
        return None
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _shown(line: _Line, about: frozenset[str]) -> str:
    """Give a record in one line: of a long one its name, and the members that the message speaks of before the others."""
    if line.text:
        return line.text if len(line.text) <= _WHOLE else line.text[: _WHOLE - 3] + "..."
    chosen: list[int] = []
    for number in sorted(range(len(line.members)), key=lambda number: _rank(line, number, about)):
        size = sum(len(name) + len(text) + 2 for name, text in (line.members[one] for one in [*chosen, number]))
        if not chosen or size <= _WIDE:
            chosen.append(number)
    shown = " ".join("=".join(line.members[number]) for number in sorted(chosen))
    more = " ..." if len(chosen) < len(line.members) else ""
    return f"{line.inside} {shown}{more}".strip()


def _rank(line: _Line, number: int, about: frozenset[str]) -> tuple[int, int]:
    name, text = line.members[number]
    if _words(f"{name} {text}") & about:
        return (0, number)
    named = next((at for at, (_, value) in enumerate(line.members) if not _is_number(value)), 0)
    return (1 if number == named else 3 if _is_number(text) else 2, number)


def _is_number(text: str) -> bool:
    return text.replace(".", "").replace("-", "").isdigit() or text in {"true", "false", "null"}
