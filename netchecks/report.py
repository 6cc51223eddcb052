"""The report of a run: ``report.json`` is the source, the other forms are made from it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netchecks.diagnose import Diagnosis, Judged
from netchecks.record import Entry, Record

#: The version of report.json; docs/report.schema.json describes it.
SCHEMA_VERSION = 1
#: Characters of one command's output that a report quotes; the record has all of it.
QUOTED = 4000


@dataclass(frozen=True, slots=True)
class Report:
    """All that is told of a run."""

    run: str
    version: str
    started: str
    ended: str
    argv: tuple[str, ...]
    exit_status: int
    inventory: tuple[str, ...]
    replay_of: str
    hosts: tuple[str, ...]
    vms: tuple[str, ...]
    not_applicable: int
    diagnoses: tuple[Diagnosis, ...]
    checks: tuple[Judged, ...]
    seen: Record
    evidence: dict[tuple[str, str], Entry] = field(default_factory=dict)
    looking_seconds: float = 0.0

    @property
    def outcomes(self) -> dict[str, int]:
        """How many checks ended how; together they are all that were selected."""
        counts = Counter(check.outcome for check in self.checks)
        return {outcome: counts.get(outcome, 0) for outcome in ("passed", "failed", "unknown", "waived", "broken")}


def to_json(report: Report) -> dict[str, Any]:
    """Give the report as plain data."""
    return {
        "schema_version": SCHEMA_VERSION, "netchecks": report.version, "run": report.run,
        "started": report.started, "ended": report.ended, "looking_seconds": round(report.looking_seconds, 3),
        "argv": list(report.argv), "exit_status": report.exit_status, "inventory": list(report.inventory),
        "replay_of": report.replay_of, "selection": {"hosts": list(report.hosts), "vms": list(report.vms)},
        "outcomes": report.outcomes, "not_applicable": report.not_applicable,
        "diagnoses": [_diagnosis(item, report) for item in report.diagnoses],
        "not_looked_at": list(_not_looked_at(report)),
        "checks": [_check(item) for item in report.checks],
        "places": [_place(report, name) for name in report.seen.places],
    }


def _diagnosis(item: Diagnosis, report: Report) -> dict[str, Any]:
    evidence = [_evidence(fact, name, report.evidence[fact, name]) for fact, name in item.readings if (fact, name) in report.evidence]
    return {
        "code": item.code, "severity": item.severity, "sentence": item.sentence,
        "place": item.places[0] if item.places else "", "places": list(item.places), "owner": item.owner,
        "remedy": item.remedy, "confidence": item.confidence, "why": item.why, "source": item.source,
        "messages": list(item.messages), "explains": list(item.explains), "evidence": evidence,
    }


def _evidence(fact: str, name: str, entry: Entry) -> dict[str, Any]:
    return {
        "fact": fact, "subject": name, "command": list(entry.argv), "exit_status": entry.status,
        "seconds": round(entry.ended - entry.started, 3),
        "stdout": entry.stdout[:QUOTED].decode("utf-8", "replace"), "stderr": entry.stderr[:QUOTED].decode("utf-8", "replace"),
    }


def _check(item: Judged) -> dict[str, Any]:
    row: dict[str, Any] = {"check": item.check, "id": item.nodeid, "outcome": item.outcome, "subjects": dict(item.subjects)}
    if item.outcome != "passed":
        row |= {"message": item.message, "code": item.code, "place": item.place, "owner": item.owner, "remedy": item.remedy}
    return row


def _not_looked_at(report: Report) -> Iterator[dict[str, Any]]:
    for place in report.seen.places.values():
        for what, reason in place.missed.items():
            yield {"place": place.place, "what": what, "reason": str(reason.why), "detail": reason.detail, "code": reason.cause}


def _place(report: Report, name: str) -> dict[str, Any]:
    place = report.seen.places[name]
    return {"place": name, "round_trips": place.trips, "seconds": place.seconds, "commands": len(place.entries)}


def write(folder: Path, report: Report) -> None:
    """Write the run's folder, each file whole or not at all."""
    from netchecks.reporters import markdown

    folder.mkdir(parents=True, exist_ok=True)
    document = to_json(report)
    _whole(folder / "report.json", json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    _whole(folder / "report.md", markdown.render(document))


def _whole(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8", errors="surrogateescape")
    part.rename(path)
