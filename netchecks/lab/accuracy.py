"""How often the right cause is named: every fault of a lab, one after the other, and the healthy lab.

``netchecks lab accuracy``: one row per fault (expected, named first, named at all, seconds), then the line
``top-1 N/N  top-3 N/N  false alarms N``. Exit status 1 unless all, all, 0.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from netchecks.errors import LabError
from netchecks.lab import faults
from netchecks.lab.labs import Lab
from netchecks.lab.making import missing_tools, up, why_not_rooted
from netchecks.lab.topology import controller, load

#: Severities that say something is wrong; a note does not.
ALARMS = frozenset({"cause", "finding", "unseen"})

#: Seconds for one run of the suites: a node that hangs costs its own deadline.
PATIENCE = 240.0

HEALTHY = faults.Fault.model_validate({"name": "healthy", "title": "nothing is broken", "break": [], "undo": [], "healthy": True})


@dataclass(frozen=True, slots=True)
class Named:
    """One diagnosis of a run, in its rank."""

    code: str
    places: tuple[str, ...]
    severity: str

    def __str__(self) -> str:
        """Give it as it stands in a row."""
        mark = "" if self.severity == "cause" else f" ({self.severity})"
        return f"{self.code} at {','.join(self.places) or '-'}{mark}"


@dataclass(frozen=True, slots=True)
class Row:
    """What was named for one fault. ``trouble``: why there is no answer."""

    fault: faults.Fault
    named: tuple[Named, ...]
    seconds: float
    trouble: str = ""

    def within(self, rank: int) -> bool:
        """Tell whether every expected cause is among the first ``rank`` diagnoses, with room for as many as are expected."""
        first = self.named[: max(rank, len(self.fault.expected))]
        return not self.trouble and all(any(want.named_by(one.code, one.places) for one in first) for want in self.fault.expected)

    @property
    def false_alarms(self) -> int:
        """How many diagnoses a healthy state got, or one that deserves only a note."""
        return sum(one.severity in ALARMS for one in self.named) if self.fault.healthy or self.fault.note else 0

    @property
    def right(self) -> bool:
        """Whether all is as it should be."""
        return self.within(1) and not self.false_alarms

    def __str__(self) -> str:
        """Give the row: verdict, fault, expected, named first, all named, seconds."""
        expected = " + ".join(f"{one.code} at {one.place}" for one in self.fault.expected) or "nothing"
        first = self.trouble or (str(self.named[0]) if self.named else "nothing")
        others = "; ".join(map(str, self.named[1:6])) or "-"
        return f"{'ok  ' if self.right else 'MISS'} {self.fault.name:34} {expected:46} | {first:46} | {self.seconds:5.1f} s | {others}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--topology", action="append", default=[], metavar="NAME", help="only this lab; may be repeated (default: all)")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME", help="only this fault; may be repeated")
    parser.add_argument("--suites", action="append", default=[], metavar="DIR", help="suites to run (default: those of netchecks)")
    parser.add_argument("--rootless", action="store_true", help="in a lab without root (default: rooted where that can be)")
    parser.add_argument("--keep", metavar="DIR", help="keep the runs' folders here")


def run(args: argparse.Namespace) -> int:
    """Measure; give 0 when every fault was named first and nothing else was said."""
    rows: list[Row] = []
    for topology in with_faults(args.topology or faults.topologies(), args.fault):
        print(f"{topology}:", flush=True)
        reason = unfit(topology, rootless=args.rootless)
        if reason:
            print(f"skip {topology}: {reason}")
            continue
        rows += _measured(topology, args)
    print(summary(rows))
    return int(not all(row.right for row in rows))


def unfit(topology: str, *, rootless: bool) -> str:
    """Say why this lab cannot be made here, or not without root; empty where it can."""
    plan = load(topology)
    if plan.needs != "rooted":
        return missing_tools(plan.programs)
    return "needs a rooted lab" if rootless else why_not_rooted(plan.programs)


def with_faults(topologies: Sequence[str], names: Sequence[str]) -> list[str]:
    """Give the topologies that have one of these faults, or all where none is named. Raises LabError for one that nobody has."""
    known = {topology: {HEALTHY.name, *(fault.name for fault in faults.load(topology))} for topology in topologies}
    unknown = sorted(set(names).difference(*known.values()))
    if unknown:
        raise LabError(f"no fault {', '.join(unknown)}; there are {', '.join(name for some in known.values() for name in sorted(some))}")
    return [topology for topology, some in known.items() if not names or some & set(names)]


def _measured(topology: str, args: argparse.Namespace) -> list[Row]:
    """Measure the chosen faults of one lab, and print each row when it is known."""
    suites, rows = args.suites or default_suites(), []
    with up(topology, rooted=False if args.rootless else None, state_dir=args.state_dir) as lab, \
            tempfile.TemporaryDirectory(prefix="netchecks-accuracy-") as scratch:
        for fault in chosen(lab, args.fault):
            rows.append(measure(lab, fault, suites, Path(args.keep or scratch, topology, fault.name)))
            print(rows[-1], flush=True)
    return rows


def chosen(lab: Lab, names: Sequence[str]) -> Iterator[faults.Fault]:
    """Give the faults asked for, in the order of the file, the healthy lab first; say which this lab cannot show."""
    known = {fault.name: fault for fault in (HEALTHY, *faults.load(lab.topology.name))}
    for name, fault in known.items():
        if names and name not in names:
            continue
        reason = fault.unfit(rooted=lab.rooted)
        if reason:
            print(f"skip {name}: {reason}")
        else:
            yield fault


def default_suites() -> list[str]:
    """Give the folders of netchecks' own suites: in the checkout, or in the installed package."""
    spec = find_spec("netchecks")
    assert spec is not None
    package = Path(spec.origin or "").parent
    for folder in (package / "suites", package.parent / "suites"):
        if folder.is_dir():
            return [str(folder)]
    raise LabError("no suites found; name them with --suites")


def measure(lab: Lab, fault: faults.Fault, suites: Sequence[str], folder: Path) -> Row:
    """Apply a fault, run the suites in the controller, read what they say, undo. The seconds are those of the run."""
    try:
        lab.apply(fault)
    except LabError as error:
        return Row(fault, (), 0.0, f"cannot be applied: {error}")
    (folder / "report.json").unlink(missing_ok=True)  # of an earlier measurement with the same --keep: this run may end without one
    started = time.monotonic()
    try:
        output = _run(lab, suites, folder, fault.options)
    finally:
        seconds = time.monotonic() - started
        lab.revert(fault)
    named, trouble = read_report(folder)
    return Row(fault, named, seconds, f"{trouble} {output[-300:]}".strip() if trouble else "")


def _run(lab: Lab, suites: Sequence[str], folder: Path, options: Sequence[str] = ()) -> str:
    """Run pytest as a user would; give the end of its output."""
    argv = [sys.executable, "-m", "pytest", *suites, f"--inventory-file={lab.inventory}", f"--netchecks-run-dir={folder}",
            "-q", "-p", "no:cacheprovider", "--tb=no", *options]
    try:
        done = lab.exec(controller(lab.topology), argv, capture_output=True, text=True, errors="replace", timeout=PATIENCE,
                        stdin=subprocess.DEVNULL, check=False)
    except subprocess.TimeoutExpired:
        return f"did not end within {PATIENCE:.0f} s"
    return f"exit {done.returncode}: {(done.stdout + done.stderr).strip()}"


def read_report(folder: Path) -> tuple[tuple[Named, ...], str]:
    """Give the diagnoses of a run in their rank, or the reason why there are none."""
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        return tuple(_named(one) for one in report["diagnoses"]), ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        return (), f"no report: {error}"


def _named(diagnosis: dict[str, Any]) -> Named:
    """Read one diagnosis."""
    places = diagnosis.get("places") or [diagnosis["place"]]
    return Named(diagnosis["code"], tuple(places), diagnosis["severity"])


def summary(rows: Sequence[Row]) -> str:
    """Give the last line."""
    faulty = [row for row in rows if row.fault.expected]
    first, third = (sum(row.within(rank) for row in faulty) for rank in (1, 3))
    alarms = sum(row.false_alarms for row in rows)
    return f"top-1 {first}/{len(faulty)}  top-3 {third}/{len(faulty)}  false alarms {alarms}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state-dir")
    add_arguments(parser)
    try:
        sys.exit(run(parser.parse_args()))
    except LabError as error:
        sys.exit(str(error))
