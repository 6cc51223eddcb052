"""From a check that ended to what is said of it: its docstring, its outcome, its cause, its evidence."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from netchecks import seen
from netchecks.cause import CAUSES
from netchecks.diagnose import Judged
from netchecks.errors import Blind, Lacks, NotSeen, Wrong
from netchecks.facts import Facts
from netchecks.models.subjects import Flow, Node, Waiver
from netchecks.observe import OBSERVATIONS
from netchecks.world import Subject, complete, end_of, place_of

_SECTION = re.compile(r"^\s*(Why|Remedy|Source):\s*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Doc:
    """What a check's docstring says. ``owner`` is what stands before the remedy's first colon."""

    claim: str = ""
    why: str = ""
    owner: str = ""
    remedy: str = ""
    source: str = ""


@cache
def doc_of(function: Callable[..., Any]) -> Doc:
    """Read a check's docstring: the claim, then ``Why:``, ``Remedy: owner: command`` and ``Source:``."""
    text = function.__doc__ or ""
    pieces = _SECTION.split(text)
    named = {name: " ".join(body.split()) for name, body in zip(pieces[1::2], pieces[2::2], strict=True)}
    owner, _, remedy = named.get("Remedy", "").partition(": ")
    claim = " ".join(pieces[0].split())
    return Doc(claim, named.get("Why", ""), owner, remedy, named.get("Source", ""))


@dataclass(frozen=True, slots=True)
class CheckInfo:
    """What is known of a check before it runs. ``hop``: name and layer from its mark."""

    nodeid: str
    check: str
    row: Mapping[str, Subject]
    doc: Doc
    hop: tuple[str, str] = ("", "")
    verdict: bool = False

    @property
    def subjects(self) -> tuple[tuple[str, str], ...]:
        """(kind, name) of each of its own subjects."""
        return tuple((kind, subject.name) for kind, subject in self.row.items())

    @property
    def place(self) -> str:
        """Where a failure of this check is, unless it says otherwise: the VM, else the node."""
        full = complete(self.row) if self.row else {}
        for kind in ("vm", "node"):
            if kind in full:
                return full[kind].name
        return next((name for _, name in self.subjects), "")


def passed(info: CheckInfo) -> Judged:
    """Say of a check that its claim holds."""
    return Judged(
        info.nodeid, info.check, "passed", info.subjects, info.verdict, place=info.place, notes=tuple(seen.notes),
    )


def failed(info: CheckInfo, error: AssertionError) -> Judged:
    """Say of a check that its claim does not hold."""
    wrong = error if isinstance(error, Wrong) else None
    message = _said(wrong or error)
    hop, layer = info.hop
    doc = info.doc
    base = Judged(
        info.nodeid, info.check, "failed", info.subjects, info.verdict, doc.claim, message, info.check, info.place,
        doc.owner, _filled(doc.remedy, info.row), doc.why, doc.source, frozenset(), hop, layer,
        readings=_readings(), notes=tuple(seen.notes),
    )
    return _with(base, wrong) if wrong else base


def _said(error: AssertionError) -> str:
    """Give the message of an assertion, without the expression that pytest adds to it; the expression where it has none."""
    text = str(error)
    return text.partition("\nassert ")[0] or "the claim does not hold"


def _with(base: Judged, wrong: Wrong) -> Judged:
    return replace(
        base, code=wrong.code, place=wrong.place or base.place, owner=wrong.owner or base.owner,
        remedy=wrong.remedy or base.remedy, breaks=wrong.breaks, certain=wrong.certain,
        hop=wrong.hop or base.hop, layer=wrong.layer or base.layer,
    )


def refine(info: CheckInfo, facts: Facts) -> None:
    """Ask the causes that know this check better; what they cannot see leaves the check's own cause.

    Raises Wrong with a more precise cause, Harmless where it is no failure after all, or Blind where that cannot be told.
    """
    full = complete(info.row) if info.row else {}
    for rule in CAUSES.get(info.check, ()):
        if not set(rule.subjects) <= set(full):
            continue
        arguments = {name: full[name] for name in rule.subjects} | {need: facts.by(need) for need in rule.needs}
        try:
            rule.tell(**arguments)
        except Blind:
            raise
        except (NotSeen, Lacks):
            continue


def unknown(info: CheckInfo, reason: NotSeen) -> Judged:
    """Say of a check that it could not be judged, and why."""
    doc = info.doc
    return Judged(
        info.nodeid, info.check, "unknown", info.subjects, info.verdict, doc.claim, str(reason), reason.cause,
        _node_of(info), "node administrator", "", doc.why, doc.source, hop=info.hop[0], layer=info.hop[1],
        readings=_readings(), notes=tuple(seen.notes),
    )


def _node_of(info: CheckInfo) -> str:
    """What could not be looked at is at the node that was last read from, not at the VM."""
    full = complete(info.row) if info.row else {}
    if seen.readings and "flow" in info.row:
        flow = info.row["flow"]
        assert isinstance(flow, Flow)
        elsewhere = _other_end(flow, *seen.readings[-1])
        if elsewhere:
            return elsewhere
        return end_of(flow).name if seen.readings[-1][1] == end_of(flow).name else flow.source.name
    node = full.get("node") or next(iter(full.values()), None)
    place = place_of(node) if node is not None else None
    return place.name if place else info.place


def _other_end(flow: Flow, fact: str, name: str) -> str:
    """Name the node of a fact of a flow that says itself where it is looked at; empty for the others."""
    observation = OBSERVATIONS.get(fact)
    if name != flow.name or observation is None or observation.at is None:
        return ""
    place = next(iter(observation.at(flow)), None)
    return place.name if isinstance(place, Node) else end_of(flow).name


def broken(info: CheckInfo, text: str) -> Judged:
    """Say of a check that it is itself at fault."""
    return Judged(info.nodeid, info.check, "broken", info.subjects, info.verdict, info.doc.claim, text, place=info.place)


def not_judged(info: CheckInfo) -> Judged:
    """Say of a check that it was selected and that the run ended before its turn."""
    return Judged(
        info.nodeid, info.check, "unknown", info.subjects, info.verdict, info.doc.claim,
        "not judged: the run ended before", "run.interrupted", info.place, hop=info.hop[0], layer=info.hop[1],
    )


def accepted(info: CheckInfo, reason: str) -> Judged:
    """Say of a check that somebody decided to leave it out: pytest's skip and xfail."""
    return Judged(info.nodeid, info.check, "waived", info.subjects, info.verdict, info.doc.claim, reason, place=info.place)


def waiver_for(info: CheckInfo, waivers: Sequence[Waiver], today: dt.date) -> Waiver | None:
    """Find a waiver that is still good for this check and one of its subjects."""
    names = [name for _, name in info.subjects] or [""]
    for waiver in waivers:
        good = not waiver.until or dt.date.fromisoformat(waiver.until) >= today
        if good and fnmatchcase(info.check, waiver.check) and any(fnmatchcase(name, waiver.subject) for name in names):
            return waiver
    return None


def _readings() -> tuple[tuple[str, str], ...]:
    return tuple(dict.fromkeys(seen.readings))[:12]


def _filled(text: str, row: Mapping[str, Subject]) -> str:
    try:
        return text.format(**complete(row)) if row else text
    except (KeyError, AttributeError, IndexError, ValueError):
        return text


def to_plain(judged: Judged) -> dict[str, Any]:
    """Give plain data that survives xdist's serialisation, without what is empty."""
    plain: dict[str, Any] = {name: value for name in Judged.__slots__ if (value := getattr(judged, name))}
    if judged.breaks:
        plain["breaks"] = sorted(judged.breaks)
    return plain


def from_plain(plain: Mapping[str, Any]) -> Judged:
    """Read it back."""
    pairs = ("subjects", "readings", "notes")
    fixed = {name: tuple((a, b) for a, b in plain[name]) for name in pairs if name in plain}
    return Judged(**{**plain, **fixed, "breaks": frozenset(plain.get("breaks", ()))})
