"""Everything that was seen in a run, raw, so that the judgement can be repeated without touching a host.

A folder: ``manifest.json`` (versions, argv, selection, times), ``inventory.yaml`` (as it was resolved) and
``places/<name>.jsonl``: one line a command with its argv, status, times, stdout and stderr.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from netchecks.errors import NotSeen, RecordError, Why

#: Raised by one when the form changes; before the first release a reader takes its own alone.
VERSION = 2

#: For an agent's run: key of each ask, what each of its actions was (``Capture:br0``, ``Echo:`` ...), and its note.
Layout = tuple[tuple[str, tuple[str, ...], str], ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One command that ran. Times in seconds of the node's uptime; ``seconds``: its deadline; status None: absent."""

    key: str
    phase: str
    way: int
    argv: tuple[str, ...]
    status: int | None
    started: float
    ended: float
    seconds: float
    stdout: bytes
    stderr: bytes
    layout: Layout = ()


@dataclass(slots=True, repr=False)
class PlaceRecord:
    """One place: what ran there, and why a whole trip or a single ask has nothing.

    ``booted``: the earliest and the latest time, by the controller's clock, at which the place's uptime was 0.
    """

    place: str
    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    missed: dict[str, NotSeen] = field(default_factory=dict)
    trips: int = 0
    seconds: float = 0.0
    booted: tuple[float, float] | None = None

    def add(self, entries: Iterable[Entry]) -> None:
        """Keep what a trip brought."""
        for entry in entries:
            self.entries[entry.key, entry.phase] = entry


@dataclass(slots=True, repr=False)
class Record:
    """All places of a run."""

    manifest: dict[str, Any] = field(default_factory=dict)
    places: dict[str, PlaceRecord] = field(default_factory=dict)

    def place(self, name: str) -> PlaceRecord:
        """Give a place's record, a new one at first."""
        return self.places.setdefault(name, PlaceRecord(name))


def _pack(data: bytes) -> str | dict[str, str]:
    """Text stays readable; what is not UTF-8 goes as base64."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _unpack(value: str | Mapping[str, str]) -> bytes:
    return value.encode("utf-8") if isinstance(value, str) else base64.b64decode(value["base64"], validate=True)


def _lines(place: PlaceRecord) -> Iterator[dict[str, Any]]:
    count = len(place.missed) + len(place.entries)
    yield {"place": place.place, "trips": place.trips, "seconds": place.seconds, "booted": place.booted, "lines": count}
    for what, missed in place.missed.items():
        yield {"missed": what, "why": missed.why.name, "detail": missed.detail, "cause": missed.cause}
    for entry in place.entries.values():
        row: dict[str, Any] = {
            "key": entry.key, "phase": entry.phase, "way": entry.way, "argv": entry.argv, "status": entry.status,
            "started": entry.started, "ended": entry.ended, "seconds": entry.seconds,
            "stdout": _pack(entry.stdout), "stderr": _pack(entry.stderr),
        }
        yield row | ({"layout": entry.layout} if entry.layout else {})


def write_place(folder: Path, place: PlaceRecord) -> None:
    """Write one place, whole or not at all."""
    path = folder / "places" / (quote(place.place, safe="") + ".jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text("".join(json.dumps(row) + "\n" for row in _lines(place)), encoding="utf-8")
    part.rename(path)


def write_manifest(folder: Path, manifest: dict[str, Any], inventory: str) -> None:
    """Write what the record is about, when all its places are written."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "inventory.yaml").write_text(inventory, encoding="utf-8")
    part = folder / "manifest.part"
    places = {"places": sorted(path.name for path in (folder / "places").glob("*.jsonl"))}
    part.write_text(json.dumps({"version": VERSION} | manifest | places, indent=1) + "\n", encoding="utf-8")
    part.rename(folder / "manifest.json")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a record's manifest. Raises RecordError where there is none, or one of a newer version."""
    path = folder / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = int(manifest["version"])
        manifest["places"] = [str(name) for name in manifest.get("places", [])]
    except FileNotFoundError:
        raise RecordError(f"{folder}: no record there (expected {path.name}; give a folder reports/<run>)") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{path}: not a manifest of netchecks: {error!r}") from error
    if version != VERSION:
        made, which = manifest.get("netchecks", "?"), "or newer" if version > VERSION else "of that time"
        raise RecordError(f"{path}: record version {version}, this netchecks reads {VERSION}; use netchecks {made} {which}")
    return manifest


def read(folder: Path) -> Record:
    """Read a whole record. Raises RecordError naming the file and line that cannot be read."""
    record = Record(read_manifest(folder))
    paths = sorted((folder / "places").glob("*.jsonl"))
    missing = sorted(set(record.manifest["places"]) - {path.name for path in paths})
    if missing:
        raise RecordError(f"{folder / 'places'}: not whole: {', '.join(missing[:5])} not there")
    for path in paths:
        place = _read_place(path)
        record.places[place.place] = place
    return record


def started(record: Record) -> dt.datetime:
    """Give the time that a run took for now. Raises RecordError where its manifest does not tell."""
    try:
        found = dt.datetime.fromisoformat(record.manifest["started"])
    except (KeyError, ValueError, TypeError) as error:
        raise RecordError(f"the record's manifest does not tell when the run started: {error!r}") from error
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def _read_place(path: Path) -> PlaceRecord:
    place, number, expected = PlaceRecord(""), 0, 0
    try:
        # What is written is ASCII: any other byte is damage, and does not pass for text.
        with path.open(encoding="ascii", errors="surrogateescape") as lines:
            for number, line in enumerate(lines, 1):  # noqa: B007 - which line it was
                row = json.loads(line)
                expected += row.get("lines", 0)
                _take(place, row)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{path}:{number}: damaged: {error!r}") from error
    if not place.place or len(place.missed) + len(place.entries) < expected:
        raise RecordError(f"{path}:{number}: damaged: cut off after this line")
    return place


def _take(place: PlaceRecord, row: dict[str, Any]) -> None:
    if "place" in row:
        place.place, place.trips, place.seconds = row["place"], row["trips"], row["seconds"]
        booted = row.get("booted")
        place.booted = (float(booted[0]), float(booted[1])) if booted else None
    elif "missed" in row:
        place.missed[row["missed"]] = NotSeen(Why[row["why"]], row["detail"], cause=row["cause"])
    else:
        layout = tuple((key, tuple(actions), note) for key, actions, note in row.pop("layout", ()))
        row |= {"stdout": _unpack(row["stdout"]), "stderr": _unpack(row["stderr"]), "argv": tuple(row["argv"])}
        entry = Entry(**row, layout=layout)
        times = (entry.started, entry.ended, entry.seconds)
        if not (isinstance(entry.way, int) and isinstance(entry.status, int | None) and all(isinstance(at, int | float) for at in times)):
            raise TypeError("way, status or times")
        place.add([entry])
