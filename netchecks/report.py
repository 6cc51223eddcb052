"""The report of a run: ``report.json`` is the source, the other forms are made from it.

``docs/report.schema.json`` describes it. Everything in it went through :func:`netchecks.evidence.clean`: it holds
no secrets that a command printed, as far as they can be known by their names.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netchecks.compare import Comparison, Comparisons
from netchecks.diagnose import Diagnosis, Judged
from netchecks.errors import RecordError
from netchecks.evidence import QUOTED, Evidence, clean
from netchecks.excerpt import excerpt
from netchecks.record import Record

#: The version of report.json, raised when a field goes or changes its meaning; new fields do not raise it.
SCHEMA_VERSION = 1
#: Pieces of evidence of one diagnosis that a report quotes: one mistake at 300 places needs no 300 proofs.
QUOTED_EVIDENCE = 16
OUTCOMES = ("passed", "failed", "unknown", "waived", "broken")
#: The code of what was selected and never judged.
INTERRUPTED = "run.interrupted"


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """All that is told of a run. ``evidence``: (fact, subject) -> the command behind it."""

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
    evidence: dict[tuple[str, str], Evidence] = field(default_factory=dict)
    looking_seconds: float = 0.0
    compared: Comparisons = field(default_factory=dict)
    lately: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def outcomes(self) -> dict[str, int]:
        """How many checks ended how; together they are all that were selected."""
        counts = Counter[str](check.outcome for check in self.checks)
        return {outcome: counts[outcome] for outcome in OUTCOMES}

    @property
    def complete(self) -> bool:
        """Whether every selected check was judged."""
        return not any(check.code == INTERRUPTED for check in self.checks)

    def behind(self, item: Diagnosis) -> list[Evidence]:
        """Give what proves a diagnosis, of one mistake at 300 places not all of it."""
        return [self.evidence[reading] for reading in item.readings if reading in self.evidence][:QUOTED_EVIDENCE]

    def beside(self, item: Diagnosis) -> Comparison | None:
        """Give a diagnosis beside a sibling, where the run was told to compare and there is one."""
        return self.compared.get((item.code, item.places))

    def changed(self, item: Diagnosis) -> dict[str, tuple[str, ...]]:
        """Give what was changed lately at the nodes that a diagnosis is at, by node."""
        told = {place: self.lately[place] for place in item.places if place in self.lately}
        return told if item.severity in {"cause", "finding"} else {}


def to_json(report: Report) -> dict[str, Any]:
    """Give the report as plain data."""
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION, "netchecks": report.version, "run": report.run,
        "started": report.started, "ended": report.ended, "looking_seconds": round(report.looking_seconds, 3),
        "argv": list(report.argv), "exit_status": report.exit_status, "complete": report.complete,
        "inventory": list(report.inventory), "replay_of": report.replay_of,
        "selection": {"hosts": list(report.hosts), "vms": list(report.vms)},
        "outcomes": report.outcomes, "not_applicable": report.not_applicable,
        "diagnoses": [_diagnosis(item, report) for item in report.diagnoses],
        "not_looked_at": list(not_looked_at(report.seen)),
    }
    cleaned: dict[str, Any] = _clean(document)
    return cleaned | {
        # Names of the inventory and of checks, of which there may be 50,000: only what was said of a failure is cleaned.
        "checks": [_check(item) for item in report.checks],
        "places": [_place(report, name) for name in sorted(report.seen.places)],
    }


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {name: _clean(item) for name, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list) else value


def _diagnosis(item: Diagnosis, report: Report) -> dict[str, Any]:
    behind = report.behind(item)
    return {
        "code": item.code, "severity": item.severity, "sentence": item.sentence,
        "place": item.places[0] if item.places else "", "places": list(item.places), "owner": item.owner,
        "remedy": item.remedy, "confidence": item.confidence, "why": item.why, "source": item.source,
        "messages": list(item.messages), "explains": list(item.explains),
        "evidence": [_evidence(one, item) for one in behind],
        "evidence_left_out": len(item.readings) - len(behind),
        **({"lately": {place: list(told) for place, told in changed.items()}} if (changed := report.changed(item)) else {}),
        **({"compared": _comparison(beside)} if (beside := report.beside(item)) else {}),
    }


def _comparison(item: Comparison) -> dict[str, Any]:
    return {
        "check": item.check, "subject": item.subject, "sibling": item.sibling, "sibling_outcome": item.outcome,
        "differing": [{"fact": one.fact, "here": list(one.here), "there": list(one.there)} for one in item.differing],
        "same": list(item.same), "unseen": list(item.unseen),
    }


def _evidence(item: Evidence, proves: Diagnosis) -> dict[str, Any]:
    return {
        "fact": item.fact, "subject": item.subject, "place": item.place, "command": list(item.command),
        "exit_status": item.status, "uptime": item.uptime, "seconds": item.seconds,
        "excerpt": list(excerpt(item, proves.messages).lines),
        "stdout": item.stdout[:QUOTED], "stderr": item.stderr[:QUOTED], "cut": item.cut,
    }


def _check(item: Judged) -> dict[str, Any]:
    row: dict[str, Any] = {"check": item.check, "id": item.nodeid, "outcome": item.outcome, "subjects": dict(item.subjects)}
    if item.outcome != "passed":
        row |= {"claim": item.claim, "message": clean(item.message), "code": item.code, "place": item.place}
        row |= {"owner": item.owner, "remedy": clean(item.remedy)}
    return row


def not_looked_at(seen: Record) -> Iterator[dict[str, Any]]:
    """Give each place, or probe of it, that has nothing, with the reason. ``what``: ``all``, ``probes`` or a probe."""
    for place in seen.places.values():
        for what, reason in place.missed.items():
            yield {"place": place.place, "what": what, "reason": str(reason.why), "detail": reason.detail, "code": reason.cause}


def _place(report: Report, name: str) -> dict[str, Any]:
    place = report.seen.places[name]
    return {"place": name, "round_trips": place.trips, "seconds": place.seconds, "commands": len(place.entries)}


def write(folder: Path, report: Report) -> None:
    """Write the run's folder, each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    document = to_json(report)
    _whole(folder / "report.json", dumps(document))
    _write_others(folder, document)


def dumps(document: dict[str, Any]) -> str:
    """Give the document as JSON: checks and places one a line, which is quick to write and to grep."""
    rows = []
    for name, value in document.items():
        if name in {"checks", "places"}:
            lines = ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in value)
            rows.append(f' "{name}": [\n{lines}\n ]')
        else:
            text = json.dumps(value, indent=1, ensure_ascii=False)
            rows.append(f' "{name}": ' + text.replace("\n", "\n "))
    return "{\n" + ",\n".join(rows) + "\n}\n"


def _write_others(folder: Path, document: dict[str, Any]) -> None:
    from netchecks.reporters import markdown

    _whole(folder / "report.md", markdown.render(document))


def _whole(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.rename(path)


def read(folder: Path) -> dict[str, Any]:
    """Read a run's report.json. Raises RecordError where there is none, or one of a newer version."""
    path = folder / "report.json" if folder.is_dir() else folder
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = int(document["schema_version"])
    except FileNotFoundError:
        raise RecordError(f"{path}: no report there (give a folder reports/<run>)") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}: not a report of netchecks: {error}") from error
    if version > SCHEMA_VERSION:
        raise RecordError(f"{path}: report version {version}, this netchecks reads up to {SCHEMA_VERSION}")
    return document


# -- netchecks report ------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``netchecks report`` takes."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a run: reports/<run>")


def run(args: argparse.Namespace) -> int:
    """Write a run's report.md again from its report.json."""
    folder: Path = args.run_folder
    document = read(folder)
    folder = folder if folder.is_dir() else folder.parent
    _write_others(folder, document)
    print(folder / "report.md")  # noqa: T201 - what the command was asked for
    return 0
