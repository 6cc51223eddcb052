"""One run: its inventory, its folder, its looking, and what its checks said. Knows no pytest."""

from __future__ import annotations

import datetime as dt
import difflib
import fcntl
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netchecks import __version__, inventory, plan, record, waves
from netchecks.diagnose import Diagnosis, Judged, diagnose
from netchecks.errors import NetchecksError, NotSeen, Why
from netchecks.facts import Facts, make
from netchecks.judge import CheckInfo, from_plain
from netchecks.models.subjects import Inventory, Node
from netchecks.report import Report, write
from netchecks.reporters import terminal
from netchecks.world import Selection, World, build

#: Bytes of one command's output that a failure's evidence quotes.
EVIDENCE_BYTES = 4000


@dataclass(slots=True)
class Session:
    """A run of the suite, on the controller or on a worker of xdist."""

    settings: Mapping[str, Any]
    world: World
    selection: Selection
    folder: Path
    replay: Path | None
    started: dt.datetime
    selected: dict[str, CheckInfo] = field(default_factory=dict)
    collected: dict[str, None] = field(default_factory=dict)
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
        manifest = record.read_manifest(replay) if replay else {}
        world = build(inventory.load(files))
        selection = _selection(world.inventory, settings["hosts"], settings["vms"])
        now = dt.datetime.fromisoformat(manifest["started"]) if replay else dt.datetime.now(dt.UTC)
        return cls(settings, world, selection, _folder(settings), replay, now)

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

    # -- looking -----------------------------------------------------------------------------------------------------

    def look(self, wanted: Iterable[plan.Wanted], say: Callable[[str], None]) -> None:
        """Look once, whatever the number of workers: the first that gets the lock looks, the others read its record."""
        self.plan = plan.make(wanted, self.world)
        if self.replay:
            self.seen = record.read(self.replay)
            return
        folder = self.folder / "record"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (folder / "manifest.json").exists():
                self.seen = record.read(folder)
            else:
                self._look(folder, say)

    def _look(self, folder: Path, say: Callable[[str], None]) -> None:
        self.seen = record.Record()
        started = time.monotonic()
        progress = terminal.Progress(plan.places(self.plan), say)
        limits = waves.Limits(self.settings["node_seconds"], self.settings["run_seconds"], self.settings["connections"])
        try:
            waves.look(waves.Look(
                self.world, self.plan, self.seen, limits, progress.tell, lambda place: record.write_place(folder, place),
            ))
        finally:
            self.looking_seconds = time.monotonic() - started
            progress.end(self.looking_seconds)
            record.write_manifest(folder, self._manifest(), inventory.show(self.world.inventory))

    def _manifest(self) -> dict[str, Any]:
        return {
            "netchecks": __version__, "python": sys.version.split()[0], "argv": list(self.settings["argv"]),
            "hosts": sorted(self.selection.hosts), "vms": sorted(self.selection.vms),
            "started": self.started.isoformat(), "ended": dt.datetime.now(dt.UTC).isoformat(),
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

    def evidence_texts(self, judged: Judged) -> list[str]:
        """Give what the failing check read: each command with its place, status and output."""
        return [text for fact, subject in judged.readings if (text := self._evidence(fact, subject))]

    def _evidence(self, fact: str, name: str) -> str:
        subject = self.plan.facts.get(fact, {}).get(name)
        entry = self.facts.evidence(fact, subject) if subject is not None else None
        if entry is None:
            return ""
        out, error = (data[:EVIDENCE_BYTES].decode("utf-8", "replace") for data in (entry.stdout, entry.stderr))
        return f"{fact} of {name}: {_short(entry.argv)} (exit status {entry.status})\n{out}{error}"

    # -- the end -----------------------------------------------------------------------------------------------------

    def finish(self, exitstatus: int) -> None:
        """Account for what did not run, diagnose, and write the reports."""
        if self.seen is None and (self.folder / "record" / "manifest.json").exists():
            self.seen = record.read(self.folder / "record")  # under xdist a worker looked
        self._account()
        diagnoses = diagnose(list(self.judged.values()), self.world)
        self.report = self._report(diagnoses, exitstatus)
        write(self.folder, self.report)

    def _account(self) -> None:
        for nodeid in {**self.selected, **self.collected}:
            if nodeid not in self.judged and (nodeid in self.selected or "suites/" in nodeid):
                info = self.selected.get(nodeid)
                self.judged[nodeid] = Judged(
                    nodeid, info.check if info else nodeid, "unknown", info.subjects if info else (),
                    message="not judged: the run ended before", code="run.interrupted", place=info.place if info else "",
                )

    def _report(self, diagnoses: tuple[Diagnosis, ...], exitstatus: int) -> Report:
        return Report(
            run=self.folder.name, version=__version__, started=self.started.isoformat(),
            ended=dt.datetime.now(dt.UTC).isoformat(), argv=tuple(self.settings["argv"]), exit_status=exitstatus,
            inventory=self.world.inventory.files, replay_of=str(self.replay) if self.replay else "",
            hosts=tuple(sorted(self.selection.hosts)), vms=tuple(sorted(self.selection.vms)),
            not_applicable=self.not_applicable, diagnoses=diagnoses, checks=tuple(self.judged.values()),
            seen=self.seen or record.Record(), evidence=self._evidence_of(diagnoses), looking_seconds=self.looking_seconds,
        )

    def _evidence_of(self, diagnoses: Iterable[Diagnosis]) -> dict[tuple[str, str], record.Entry]:
        found: dict[tuple[str, str], record.Entry] = {}
        if not self.plan.facts and self.seen is not None and self.selected:
            self.plan = plan.make([plan.Wanted(i.check, i.row, frozenset()) for i in self.selected.values()], self.world)
        for diagnosis in diagnoses:
            for fact, name in diagnosis.readings:
                subject = self.plan.facts.get(fact, {}).get(name) or self._subject(name)
                entry = self.facts.evidence(fact, subject) if subject is not None else None
                if entry is not None:
                    found[fact, name] = entry
        return found

    def _subject(self, name: str) -> Any:
        every = (*self.world.inventory.nodes, *self.world.flows, *self.world.inventory.interfaces, *self.world.links)
        return next((subject for subject in every if subject.name == name), None)

    def tell(self, writer: Any) -> None:
        """Write the diagnosis to the terminal."""
        if self.report is not None and self.judged:
            terminal.write(self.report, writer, self.folder)


def record_folder(path: Path) -> Path:
    """Find the record in a run's folder, or take the folder itself."""
    return path / "record" if (path / "record").is_dir() else path


def _short(argv: Iterable[str]) -> str:
    text = shlex.join(argv)
    return text if len(text) <= 200 else text[:197] + "..."  # noqa: PLR2004 - one screen line or two


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


def _unknown(option: str, name: str, known: list[str]) -> str:
    if name in known:
        return ""
    close = difflib.get_close_matches(name, known, 1)
    shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")  # noqa: PLR2004 - one line
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{option} {name}: the inventory has no such name.{hint} There are: {shown or 'none'}."
