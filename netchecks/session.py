"""One run: its inventory, its folder, its looking, and what its checks said. Knows no pytest."""

from __future__ import annotations

import contextlib
import datetime as dt
import difflib
import errno
import fcntl
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netchecks import __version__, evidence, inventory, pcap, plan, record, waves
from netchecks.compare import compare
from netchecks.diagnose import Diagnosis, Judged, diagnose
from netchecks.errors import NetchecksError, NotSeen, Why
from netchecks.evidence import Evidence
from netchecks.excerpt import excerpt
from netchecks.facts import Facts, make
from netchecks.judge import CheckInfo, from_plain, not_judged, to_plain
from netchecks.lately import lately
from netchecks.models.subjects import Inventory, Node
from netchecks.observe import OBSERVATIONS
from netchecks.plan import Wanted
from netchecks.probe import PROBES
from netchecks.report import INTERRUPTED, QUOTED_EVIDENCE, Report, write
from netchecks.reporters import terminal
from netchecks.reporters.progress import Progress, Screen
from netchecks.siblings import Beside
from netchecks.world import Selection, World, build

#: Where a worker of xdist leaves what was selected, until the controller has read it.
_SELECTED = "selected.json"


@dataclass(slots=True, repr=False)
class Session:
    """A run of the suite, on the controller or on a worker of xdist."""

    settings: Mapping[str, Any]
    world: World
    selection: Selection
    folder: Path
    replay: Path | None
    started: dt.datetime
    beside: tuple[Beside, ...] = ()
    selected: dict[str, CheckInfo] = field(default_factory=dict)
    judged: dict[str, Judged] = field(default_factory=dict)
    not_applicable: int = 0
    seen: record.Record | None = None
    plan: plan.Plan = field(default_factory=plan.Plan)
    _facts: Facts | None = None
    report: Report | None = None
    looking_seconds: float = 0.0

    @classmethod
    def start(cls, settings: Mapping[str, Any]) -> Session | None:
        """Begin a run; None where no inventory is in force. Raises NetchecksError for what the user has to put right."""
        replay = record_folder(settings["replay"]) if settings["replay"] else None
        files = settings["files"] or ([replay / "inventory.yaml"] if replay else settings["default"])
        if not files:
            if settings["hosts"] or settings["vms"]:
                raise NetchecksError("--host and --vm need an inventory: add --inventory-file FILE")
            return None
        seen = record.read(replay) if replay else None
        world = build(inventory.load(files))
        selection = _selection(world.inventory, settings["hosts"], settings["vms"])
        now = record.started(seen) if seen else dt.datetime.now(dt.UTC)
        folder = _folder(settings)
        if not settings["worker"] and replay is None:
            _clear(folder / "record")
        return cls(settings, world, selection, folder, replay, now, _beside(world.inventory, settings["beside"]), seen=seen)

    @property
    def facts(self) -> Facts:
        """What was seen, for the checks."""
        if self._facts is None:
            self._facts = make(self.seen or record.Record(), self.plan)
        return self._facts

    def today(self) -> dt.date:
        """Give the day of the run, the recorded one in a replay."""
        return self.started.date()

    def header(self) -> str:
        """Say what is in force, in one line."""
        files = ", ".join(self.world.inventory.files)
        return f"netchecks {__version__}: " + (f"replay of {self.replay}" if self.replay else f"inventory {files}")

    def must_be_live(self, node: Node) -> None:
        """Raise NotSeen where a node cannot be asked any more: in a replay, or when it was unreachable."""
        if self.replay:
            raise NotSeen(Why.NOT_POSSIBLE, "a replay touches no host")
        missed = self.seen.places[node.name].missed.get("all") if self.seen and node.name in self.seen.places else None
        if missed is not None:
            raise missed

    def make_folder(self) -> None:
        """Make the folder of the reports. Raises NetchecksError where that cannot be, before anything is looked at."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self.folder, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise NetchecksError(f"{self.folder}: {error.strerror}; name another folder with --netchecks-run-dir") from error

    # -- looking -----------------------------------------------------------------------------------------------------

    def look(self, wanted: Iterable[Wanted], screen: Screen) -> None:
        """Look once, whatever the number of workers: the first that gets the lock looks, the others read its record."""
        self.plan = plan.make(wanted, self.world)
        if self.replay:
            return
        folder = self.folder / "record"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # raw outputs: reports leave secrets out, a record does not
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (folder / "manifest.json").exists():
                self.seen = record.read(folder)
            else:
                self._look(folder, screen)

    def _look(self, folder: Path, screen: Screen) -> None:
        self.seen = record.Record()
        started = time.monotonic()
        progress = Progress(plan.places(self.plan), screen)
        limits = waves.Limits(self.settings["node_seconds"], self.settings["run_seconds"], self.settings["connections"])
        try:
            waves.look(waves.Look(
                self.world, self.plan, self.seen, limits, progress.tell, lambda place: record.write_place(folder, place),
            ))
        finally:
            self.looking_seconds = time.monotonic() - started
            progress.end(self.looking_seconds)
            record.write_manifest(folder, self._manifest(), inventory.show(self.world.inventory))
            for place in self.seen.places.values():
                pcap.write(folder / "pcaps", place)

    def _manifest(self) -> dict[str, Any]:
        return {
            "netchecks": __version__, "python": sys.version.split()[0], "argv": list(self.settings["argv"]),
            "hosts": sorted(self.selection.hosts), "vms": sorted(self.selection.vms),
            "started": self.started.isoformat(), "ended": dt.datetime.now(dt.UTC).isoformat(),
            "looking_seconds": round(self.looking_seconds, 3),
        }

    # -- judging -----------------------------------------------------------------------------------------------------

    def take(self, plain: Mapping[str, Any]) -> None:
        """Take one check's outcome; a later failure of the same check (its teardown) outweighs."""
        judged = from_plain(plain)
        if self.judged.get(judged.nodeid) is None or judged.outcome != "passed":
            self.judged[judged.nodeid] = judged

    def counts(self) -> Counter[str]:
        """Count the outcomes; together they are the selected checks."""
        return Counter(judged.outcome for judged in self.judged.values())

    def evidence(self, judged: Judged) -> list[Evidence]:
        """Give what the failing check read, each command with its place, status and output; what proves it first."""
        found = [one for reading in judged.readings if (one := self._evidence(*reading, (judged.place,))) is not None]
        return sorted(found, key=lambda one: -excerpt(one, [judged.message]).weight)

    def _evidence(self, fact: str, name: str, near: Collection[str]) -> Evidence | None:
        subject = self.plan.facts.get(fact, {}).get(name) or self._subject(fact, name)
        found = self.facts.evidence(fact, subject, near) if subject is not None else None
        return evidence.quote(fact, subject, *found) if subject is not None and found is not None else None

    # -- the end -----------------------------------------------------------------------------------------------------

    def finish(self, exitstatus: int) -> None:
        """Account for what did not run, diagnose, and write the reports."""
        folder = self.folder / "record"
        if self.seen is None and (folder / "manifest.json").exists():  # under xdist a worker looked
            self.seen = record.read(folder)
            self.looking_seconds = self.seen.manifest.get("looking_seconds", 0.0)
        elif self.replay:
            self.looking_seconds = record.read_manifest(self.replay).get("looking_seconds", 0.0)
        self._account()
        diagnoses = diagnose(list(self.judged.values()), self.world)
        self.report = self._report(diagnoses, exitstatus)
        write(self.folder, self.report)

    def write_selected(self) -> None:
        """Leave for xdist's controller, which collects nothing, what was selected."""
        rows = {nodeid: to_plain(not_judged(info)) for nodeid, info in self.selected.items()}
        part = self.folder / f"selected.{os.getpid()}.part"
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps({"not_applicable": self.not_applicable, "checks": rows}), encoding="utf-8")
        part.rename(self.folder / _SELECTED)

    def _account(self) -> None:
        """Every check that was selected and not judged is unknown; all in the order in which they were selected."""
        selected = {nodeid: self.judged.get(nodeid) or not_judged(info) for nodeid, info in self.selected.items()}
        path = self.folder / _SELECTED
        if path.exists():
            left = json.loads(path.read_text(encoding="utf-8"))
            self.not_applicable = left["not_applicable"]
            selected |= {nodeid: self.judged.get(nodeid) or from_plain(plain) for nodeid, plain in left["checks"].items()}
            path.unlink()
        self.judged = {**selected, **self.judged}

    @property
    def interrupted(self) -> int:
        """How many checks were selected and not judged."""
        return sum(judged.code == INTERRUPTED for judged in self.judged.values())

    def _report(self, diagnoses: tuple[Diagnosis, ...], exitstatus: int) -> Report:
        return Report(
            run=self.folder.name, version=__version__, started=self.started.isoformat(),
            ended=dt.datetime.now(dt.UTC).isoformat(), argv=tuple(self.settings["argv"]), exit_status=exitstatus,
            inventory=self.world.inventory.files, replay_of=str(self.replay) if self.replay else "",
            hosts=tuple(sorted(self.selection.hosts)), vms=tuple(sorted(self.selection.vms)),
            not_applicable=self.not_applicable, diagnoses=diagnoses, checks=tuple(self.judged.values()),
            seen=self.seen or record.Record(), evidence=self._evidence_of(diagnoses), looking_seconds=self.looking_seconds,
            lately=lately(diagnoses, self.world, self.seen or record.Record()),
            compared=compare(diagnoses, tuple(self.judged.values()), self.beside, self.world, self.seen or record.Record()),
        )

    def _evidence_of(self, diagnoses: Iterable[Diagnosis]) -> dict[tuple[str, str], Evidence]:
        wanted: dict[tuple[str, str], tuple[str, ...]] = {}
        for diagnosis in diagnoses:
            for reading in diagnosis.readings[:2 * QUOTED_EVIDENCE]:
                wanted.setdefault(reading, diagnosis.places)
        return {reading: one for reading, near in wanted.items() if (one := self._evidence(*reading, near)) is not None}

    def _subject(self, fact: str, name: str) -> Any:
        """Find a subject where there is no plan: on xdist's controller."""
        kinds = {OBSERVATIONS[fact].of} if fact in OBSERVATIONS else {probe.of for probe in PROBES.get(fact, ())}
        return next((subject for kind in kinds for subject in self.world.all(kind) if subject.name == name), None)

    def tell(self, writer: Any) -> None:
        """Write the diagnosis to the terminal."""
        if self.report is not None and self.judged:
            terminal.write(self.report, writer, self.folder)


def _clear(folder: Path) -> None:
    """Forget an earlier run in a folder that is used again: its record would be taken for this run's. What is not ours stays."""
    ours = ("manifest.json", "manifest.part", "inventory.yaml", ".lock", "places/*.jsonl", "places/*.part", "pcaps/*/*.pcapng")
    for path in (path for pattern in ours for path in folder.glob(pattern)):
        path.unlink(missing_ok=True)
    for path in (*folder.glob("pcaps/*"), folder / "pcaps", folder / "places"):
        with contextlib.suppress(OSError):  # not there, or not empty
            path.rmdir()


def record_folder(path: Path) -> Path:
    """Find the record in a run's folder, or take the folder itself."""
    return path / "record" if (path / "record").is_dir() else path


def _folder(settings: Mapping[str, Any]) -> Path:
    if settings["folder"]:
        return Path(settings["folder"])
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    base = settings["root"] / "reports" if (settings["root"] / "reports").is_dir() else Path.cwd() / "reports"
    return Path(base) / f"{stamp}-{os.getpid()}"


def _selection(inventory_: Inventory, hosts: Iterable[str], vms: Iterable[str]) -> Selection:
    problems = [
        *(_unknown("--host", name, [node.name for node in inventory_.nodes]) for name in hosts),
        *(_unknown("--vm", name, [vm.name for vm in inventory_.vms]) for name in vms),
    ]
    if any(problems):
        raise NetchecksError("\n".join(problem for problem in problems if problem))
    return Selection(frozenset(hosts), frozenset(vms))


def _beside(inventory_: Inventory, named: Mapping[str, Iterable[str]]) -> tuple[Beside, ...]:
    """Give what to compare with. Raises NetchecksError for names that the inventory has not."""
    every: dict[str, Sequence[Beside]] = {
        "--compare": inventory_.nodes, "--compare-network": inventory_.networks, "--compare-vm": inventory_.vms,
    }
    known = {(option, subject.name): subject for option, subjects in every.items() for subject in subjects}
    problems = [_unknown(option, name, [one.name for one in every[option]]) for option, names in named.items() for name in names]
    if any(problems):
        raise NetchecksError("\n".join(problem for problem in problems if problem))
    return tuple(known[option, name] for option, names in named.items() for name in names)


def _unknown(option: str, name: str, known: list[str]) -> str:
    if name in known:
        return ""
    close = difflib.get_close_matches(name, known, 1)
    shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")  # noqa: PLR2004 - one line
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{option} {name}: the inventory has no such name.{hint} There are: {shown or 'none'}."
