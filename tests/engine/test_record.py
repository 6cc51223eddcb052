"""A record gives back what was seen, to the byte; one that is damaged is one clear error."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netchecks import record
from netchecks.errors import NotSeen, RecordError, Why
from netchecks.record import Entry, PlaceRecord, Record

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBER = st.floats(0, 1e9)
ENTRIES = st.builds(
    Entry, TEXT, st.sampled_from(["before", "main", "after"]), st.integers(0, 3), st.lists(TEXT, max_size=4).map(tuple), st.none() | st.integers(0, 255),
    NUMBER, NUMBER, NUMBER, st.binary(max_size=60), st.binary(max_size=60),
    st.lists(st.tuples(TEXT, st.lists(TEXT, max_size=3).map(tuple), TEXT), max_size=2).map(tuple),
)
MISSED = st.builds(lambda why, detail, cause: NotSeen(why, detail, cause=cause), st.sampled_from(list(Why)), TEXT, TEXT)


def plain(place: PlaceRecord) -> object:
    missed = {what: (one.why, one.detail, one.cause) for what, one in place.missed.items()}
    return place.place, place.entries, missed, place.trips, place.seconds, place.booted


@given(st.lists(ENTRIES, max_size=4), st.dictionaries(TEXT, MISSED, max_size=3), TEXT.filter(bool), st.none() | st.tuples(NUMBER, NUMBER))
@settings(max_examples=60, deadline=None)
def test_what_was_seen_comes_back(
    tmp_path_factory: pytest.TempPathFactory, entries: list[Entry], missed: dict[str, NotSeen], name: str, booted: tuple[float, float] | None,
) -> None:
    folder = tmp_path_factory.mktemp("record")
    place = PlaceRecord(name, missed=missed, trips=2, seconds=1.5, booted=booted)
    place.add(entries)
    record.write_place(folder, place)
    record.write_manifest(folder, {"netchecks": "1"}, "version: 1\n")
    found = record.read(folder)
    assert [plain(one) for one in found.places.values()] == [plain(place)]
    assert found.manifest["netchecks"] == "1"


BINARY = bytes(range(256)) * 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A record of two places."""
    for name in ("n1", "ä@n2"):
        place = PlaceRecord(name, missed={"probes": NotSeen(Why.TIMED_OUT, "too slow", cause="node.hangs")})
        place.add(Entry(f"k{number}", "main", 0, ("echo", "x"), 0, 1.0, 2.0, 5.0, BINARY, b"e") for number in range(3))
        record.write_place(tmp_path, place)
    record.write_manifest(tmp_path, {"netchecks": "9.9", "started": "2026-01-02T03:04:05+00:00"}, "version: 1\n")
    return tmp_path


def test_binary_output_survives(folder: Path) -> None:
    found = record.read(folder)
    assert sorted(found.places) == ["n1", "ä@n2"]
    assert {entry.stdout for place in found.places.values() for entry in place.entries.values()} == {BINARY}
    assert all(line.isascii() for path in (folder / "places").iterdir() for line in path.read_text(encoding="utf-8").splitlines())


def test_it_says_when_it_started(folder: Path) -> None:
    assert record.started(record.read(folder)).isoformat() == "2026-01-02T03:04:05+00:00"
    for manifest in ({}, {"started": "soon"}, {"started": 7}, {"started": None}):
        with pytest.raises(RecordError, match="when the run started"):
            record.started(Record(manifest))


def edited(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return edit


def line(number: int, text: bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        lines[number] = text + b"\n"
        return b"".join(lines)

    return change


def entry(**values: object) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        row = json.loads(lines[2]) | values
        lines[2] = json.dumps({key: value for key, value in row.items() if value != "-"}).encode() + b"\n"
        return b"".join(lines)

    return change


N1 = "places/n1.jsonl"
DAMAGES = {
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "no record there"),
    "empty manifest": (edited("manifest.json", lambda _: b""), "not a manifest"),
    "cut manifest": (edited("manifest.json", lambda data: data[:20]), "not a manifest"),
    "binary manifest": (edited("manifest.json", lambda _: b"\xff\xfe\0"), "not a manifest"),
    "a list for a manifest": (edited("manifest.json", lambda _: b"[1]"), "not a manifest"),
    "no version": (edited("manifest.json", lambda _: b"{}"), "not a manifest"),
    "a word for a version": (edited("manifest.json", lambda _: b'{"version": "x"}'), "not a manifest"),
    "a number for places": (edited("manifest.json", lambda _: b'{"version": 2, "places": 7}'), "not a manifest"),
    "a newer version": (edited("manifest.json", lambda data: data.replace(b'"version": 2', b'"version": 3')), r"record version 3, .* use netchecks 9\.9 or newer"),
    "an older version": (edited("manifest.json", lambda data: data.replace(b'"version": 2', b'"version": 1')), r"record version 1, .* use netchecks 9\.9 of that time"),
    "a place is missing": (lambda folder: (folder / N1).unlink(), r"not whole: n1\.jsonl"),
    "no places": (lambda folder: shutil.rmtree(folder / "places"), r"not whole: .*n1\.jsonl"),
    "an empty place": (edited(N1, lambda _: b""), r"n1\.jsonl:0: damaged: cut off"),
    "a cut line": (edited(N1, lambda data: data[:-9]), r"n1\.jsonl:5: damaged"),
    "a line less": (edited(N1, lambda data: data[:data[:-1].rindex(b"\n") + 1]), r"n1\.jsonl:4: damaged: cut off"),
    "one line": (edited(N1, lambda data: data[:data.index(b"\n") + 1]), r"n1\.jsonl:1: damaged: cut off"),
    "no first line": (edited(N1, lambda data: data[data.index(b"\n") + 1:]), r"n1\.jsonl:4: damaged"),
    "an empty line": (edited(N1, line(2, b"")), r"n1\.jsonl:3: damaged"),
    "a bad byte": (edited(N1, lambda data: data.replace(b'"e"', b'"\xff"')), r"n1\.jsonl:3: damaged"),
    "other bytes": (edited(N1, lambda _: bytes(range(256))), r"n1\.jsonl:\d: damaged"),
    "a number": (edited(N1, line(1, b"7")), r"n1\.jsonl:2: damaged"),
    "a string": (edited(N1, line(1, b'"words"')), r"n1\.jsonl:2: damaged"),
    "a list": (edited(N1, line(1, b"[1, 2]")), r"n1\.jsonl:2: damaged"),
    "null": (edited(N1, line(1, b"null")), r"n1\.jsonl:2: damaged"),
    "a reason nobody knows": (edited(N1, line(1, b'{"missed": "all", "why": "BORED", "detail": "", "cause": ""}')), r"n1\.jsonl:2: damaged"),
    "no status": (edited(N1, entry(status="-")), r"n1\.jsonl:3: damaged"),
    "a field nobody knows": (edited(N1, entry(colour="red")), r"n1\.jsonl:3: damaged"),
    "a word for a status": (edited(N1, entry(status="fine")), r"n1\.jsonl:3: damaged"),
    "a word for a time": (edited(N1, entry(started="soon")), r"n1\.jsonl:3: damaged"),
    "a word for a way": (edited(N1, entry(way="one")), r"n1\.jsonl:3: damaged"),
    "output that is no base64": (edited(N1, entry(stdout={"base64": "!"})), r"n1\.jsonl:3: damaged"),
    "output of another kind": (edited(N1, entry(stdout=7)), r"n1\.jsonl:3: damaged"),
    "no argv": (edited(N1, entry(argv=None)), r"n1\.jsonl:3: damaged"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_record_is_one_clear_error(folder: Path, name: str) -> None:
    damage, says = DAMAGES[name]
    damage(folder)
    with pytest.raises(RecordError, match=says) as told:
        record.read(folder)
    assert str(folder) in str(told.value)
    assert "\n" not in str(told.value)


def test_a_record_of_an_older_netchecks_is_read(folder: Path) -> None:
    """Before the manifest named its places, and places their number of lines."""
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["places"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    edited(N1, lambda data: data.replace(b', "lines": 4', b""))(folder)
    assert len(record.read(folder).places["n1"].entries) == 3


def test_a_folder_that_is_not_there_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"give a folder reports/<run>"):
        record.read(tmp_path / "nowhere")


@given(st.binary(max_size=80), st.integers(0, 400))
@settings(max_examples=150, deadline=None)
def test_any_damage_is_a_record_or_one_clear_error(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed-record"
    place = PlaceRecord("n1", missed={"probes": NotSeen(Why.TIMED_OUT, "too slow", cause="node.hangs")})
    place.add([Entry("k", "main", 0, ("echo",), 0, 1.0, 2.0, 5.0, b"out", b"")])
    record.write_place(folder, place)
    record.write_manifest(folder, {}, "")
    data = (folder / N1).read_bytes()
    (folder / N1).write_bytes(data[:at] + noise + data[at + len(noise):])
    try:
        found = record.read(folder)
    except RecordError:
        return
    assert all(isinstance(one.stdout, bytes) for place in found.places.values() for one in place.entries.values())
