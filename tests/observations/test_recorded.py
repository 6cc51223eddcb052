"""Recorded outputs: tests/observations/<fact>/<where>.out, and beside it what the parser has to make of it, as JSON.

``<where>.fallback.out`` goes to the parser of the first ``or_else``, ``.windows.out`` to the first of Windows. SOURCES.md says where each came from. To add one,
put the output there and run this: the failure prints the JSON, to be read and saved.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import netchecks.observations
from netchecks.observe import OBSERVATIONS

HERE = Path(__file__).parent
#: ``.fallback.out`` is of the first ``or_else``, ``.fallback2.out`` of the second; ``.windows.out`` and so on likewise.
WAY = re.compile(r"\.(fallback|windows)([2-9]?)\.out$")
RECORDED = sorted(HERE.glob("*/*.out"))


def plain(value: Any) -> Any:
    """Turn a parsed value into what JSON can hold, always the same way."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=json.dumps)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def read(path: Path) -> str:
    return path.read_bytes().decode(errors="surrogateescape")


def parse(path: Path) -> Any:
    fact = OBSERVATIONS[path.parent.name]
    way = WAY.search(path.name)
    if way is None:
        return fact.parse(read(path))
    return (fact.or_else if way[1] == "fallback" else fact.windows)[int(way[2] or 1) - 1][1](read(path))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_recorded_output_is_read_as_expected(path):
    got = json.dumps(plain(parse(path)), indent=1, sort_keys=True)
    expected = path.with_suffix(".json")
    assert expected.exists(), f"read this and save it as {expected}:\n{got}"
    assert json.loads(got) == json.loads(expected.read_text())


@pytest.mark.parametrize("fact", sorted(OBSERVATIONS))
def test_every_fact_has_a_recorded_output(fact):
    assert list((HERE / fact).glob("*.out")), f"no recorded output of {fact}"


@pytest.mark.parametrize("fact", [name for name, fact in sorted(OBSERVATIONS.items()) if fact.or_else or fact.windows])
def test_every_other_way_has_a_recorded_output(fact):
    known = OBSERVATIONS[fact]
    wanted = {("fallback", number) for number, _ in enumerate(known.or_else, 1)} | {("windows", number) for number, _ in enumerate(known.windows, 1)}
    found = {(way[1], int(way[2] or 1)) for path in (HERE / fact).glob("*.out") if (way := WAY.search(path.name))}
    assert found == wanted


def test_every_expectation_has_its_output():
    assert [path for path in sorted(HERE.glob("*/*.json")) if not path.with_suffix(".out").exists()] == []


def test_importing_again_registers_nothing_twice():
    assert netchecks.observations.__doc__
    assert all(name == fact.name == fact.parse.__name__ for name, fact in OBSERVATIONS.items())
