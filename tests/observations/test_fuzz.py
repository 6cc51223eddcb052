"""Every parser, on anything: it reads it or raises Unreadable, and takes bounded time."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import netchecks.observations  # noqa: F401 - fills OBSERVATIONS
from netchecks.errors import Unreadable
from netchecks.observe import OBSERVATIONS

HERE = Path(__file__).parent
PARSERS = [
    (name, number, parse)
    for name, fact in sorted(OBSERVATIONS.items())
    for number, (_, parse) in enumerate([*fact.ways(), *fact.windows])
]
IDS = [f"{name}-{number}" for name, number, _ in PARSERS]
GARBAGE = [
    "\x1b[1;31m", "\x1b[0m", "\x1b", "\x00", "\udcff", "\udc80\udc81", "\u2028", "\r\n", "\t", '"', "'", "\\", "{", "}", "[", "]", ",", ":",
    "@", "@4", "@6", "@end", "@unit ", "9" * 25, "-1", "null", "NaN", "1e999", "true", "<!DOCTYPE a [<!ENTITY b 'c'>]>", "&b;", "</domain>",
    "0x", "/33", "%", "=", "\n", "\n\n", "Операция не позволена", "デバイス", "Command terminated by signal 15", "\ufeff",
]


def recorded(name: str) -> list[str]:
    return [path.read_bytes().decode(errors="surrogateescape") for path in sorted((HERE / name).glob("*.out"))] or [""]


def attempt(parse, text: str) -> None:
    with suppress(Unreadable):
        parse(text)


@st.composite
def broken(draw, texts: list[str]) -> str:
    """Take a recorded output: cut it off, flip characters, put garbage in, double or drop a part."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 200)))
        how = draw(st.sampled_from(["cut", "insert", "replace", "drop", "double", "words"]))
        junk = draw(st.sampled_from(GARBAGE) | st.text(max_size=8))
        text = {
            "cut": text[:start], "insert": text[:start] + junk + text[start:], "replace": text[:start] + junk + text[start + len(junk):],
            "drop": text[:start] + text[end:], "double": text[:end] + text[start:],
            "words": text[:start] + text[start:end].replace(" ", junk) + text[end:],
        }[how]
    return text


@pytest.mark.parametrize(("name", "_number", "parse"), PARSERS, ids=IDS)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_broken_output_is_read_or_unreadable(name, _number, parse, data):
    attempt(parse, data.draw(broken(recorded(name))))


@pytest.mark.parametrize(("_name", "_number", "parse"), PARSERS, ids=IDS)
@given(text=st.text() | st.lists(st.sampled_from(GARBAGE) | st.text(max_size=5), max_size=40).map("".join))
@settings(max_examples=60, deadline=None)
def test_any_text_is_read_or_unreadable(_name, _number, parse, text):
    attempt(parse, text)


@pytest.mark.parametrize(("name", "number", "parse"), PARSERS, ids=IDS)
def test_colour_codes_change_nothing(name, number, parse):
    """``ip -c`` and its like put codes around words; outside JSON they may also be Unreadable, never another value."""
    for path in sorted((HERE / name).glob("*.fallback.out" if number else "*.out")):
        text = path.read_bytes().decode(errors="surrogateescape")
        try:
            plain, coloured = parse(text), parse("\x1b[36m" + text.replace("\n", "\x1b[0m\n\x1b[36m") + "\x1b[0m")
        except Unreadable:
            continue
        assert coloured == plain


DEEP = ["[" * 200_000, '{"a":' * 200_000, "<a>" * 200_000, "(" * 200_000, "@domain:running\n<domain>" + "<a>" * 100_000 + "\n</domain>\n@end\n"]


@pytest.mark.parametrize(("_name", "_number", "parse"), PARSERS, ids=IDS)
@pytest.mark.parametrize("text", DEEP, ids=["arrays", "objects", "elements", "brackets", "domain"])
def test_endless_nesting_is_read_or_unreadable(_name, _number, parse, text):
    attempt(parse, text)


MANY = 2 * 1024 * 1024
SLOW_SHAPES = {
    "one line": "a" * MANY, "spaces": " " * MANY, "empty lines": "\n" * MANY, "slashes": "a/" * (MANY // 2), "colons": ":" * MANY,
    "marks": "@" * MANY, "mark lines": "@a\n" * (MANY // 4), "digits": "9" * MANY, "quotes": "ID='" + "a" * MANY, "a domain's spaces": "@domain:" + " " * MANY,
    "denials": "avc:" + " " * MANY, "equals": "a=" * (MANY // 2), "commas": "1,6 0 0 2," * (MANY // 10),
}


@pytest.mark.parametrize(("_name", "_number", "parse"), PARSERS, ids=IDS)
@pytest.mark.parametrize("text", SLOW_SHAPES.values(), ids=SLOW_SHAPES.keys())
def test_no_shape_of_text_takes_more_than_linear_time(_name, _number, parse, text):
    start = time.process_time()
    attempt(parse, text)
    assert time.process_time() - start < 30  # quadratic would be minutes; coverage and a busy machine slow the linear ones down


@pytest.mark.slow
@pytest.mark.parametrize(("name", "_number", "parse"), PARSERS, ids=IDS)
def test_fifty_megabytes_take_bounded_time(name, _number, parse):
    text = max(recorded(name), key=len)
    start = time.process_time()
    attempt(parse, text * (50 * 1024 * 1024 // max(len(text), 1) + 1) if text else "x" * 50 * 1024 * 1024)
    assert time.process_time() - start < 30
