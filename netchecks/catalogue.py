"""``netchecks checks``: the catalogue of checks, read from the suites themselves."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from netchecks.cause import CAUSES
from netchecks.collecting import add_suites, arguments, collect
from netchecks.judge import Doc, doc_of
from netchecks.plan import is_fact
from netchecks.plugin import check_id
from netchecks.world import KINDS

#: Errors whose first argument is a stable code, and the function that notes one.
_TELL = frozenset({"Wrong", "Harmless", "note"})


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``codes``: what its failures, its causes and its notes are called; without one it is its own id."""

    name: str
    doc: Doc
    subjects: tuple[str, ...]
    facts: tuple[str, ...]
    codes: tuple[str, ...]
    kinds: tuple[str, ...]
    flows: tuple[str, ...]
    hop: tuple[str, ...]
    verdict: bool
    imperative: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what ``netchecks checks`` takes."""
    parser.add_argument("--markdown", action="store_true", help="print them as docs/checks.md has them")
    add_suites(parser)


def run(args: argparse.Namespace) -> int:
    """Print the catalogue."""
    found = checks(list(arguments(args)))
    sys.stdout.write(markdown(found) if args.markdown else "".join(f"{line}\n" for line in _lines(found)))
    return 0


def checks(selection: Sequence[str] = ()) -> list[Check]:
    """Give every check of the suites, without any inventory: also those that would apply to nothing here."""
    found: dict[str, Check] = {}
    for item in collect(["-o", "netchecks_inventory=", *selection]).items:
        if isinstance(item, pytest.Function):
            found.setdefault(check_id(item), _check(item))
    return list(found.values())


def _check(item: pytest.Function) -> Check:
    names = tuple(inspect.signature(item.function).parameters)
    name = check_id(item)
    tells: list[Callable[..., Any]] = [item.function, *(rule.tell for rule in CAUSES.get(name, ()))]
    kind, flow, hop = (item.get_closest_marker(mark) for mark in ("kind", "flow", "hop"))
    return Check(
        name, doc_of(item.function), tuple(one for one in names if one in KINDS), tuple(one for one in names if is_fact(one)),
        tuple(dict.fromkeys(code for tell in tells for code in codes(tell))), kind.args if kind else (), _flows(flow),
        hop.args if hop else (), item.get_closest_marker("verdict") is not None, "host" in names,
    )


def _flows(mark: pytest.Mark | None) -> tuple[str, ...]:
    if mark is None:
        return ()
    to = f"to the {mark.kwargs['to']}" if "to" in mark.kwargs else ""
    full = {True: "full size", False: "", None: ""}[mark.kwargs.get("full")]
    return tuple(word for word in (" or ".join(mark.args), to, full) if word)


# -- codes -----------------------------------------------------------------------------------------------------------


@cache
def codes(function: Callable[..., Any]) -> tuple[str, ...]:
    """Give the codes that stand in a function and in the functions of its module that it calls, in their order."""
    found: list[str] = []
    _add_codes(function, found, set())
    return tuple(dict.fromkeys(found))


def _add_codes(function: Callable[..., Any], found: list[str], visited: set[Callable[..., Any]]) -> None:
    function = inspect.unwrap(function)
    if function in visited or not inspect.isfunction(function):
        return
    visited.add(function)
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name in _TELL and call.args:
            found.extend(_constants(call.args[0]))
    for name in dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)):
        other = function.__globals__.get(name)
        if inspect.isfunction(other) and other.__module__ == function.__module__:
            _add_codes(other, found, visited)


def _constants(node: ast.expr) -> Iterator[str]:
    """Give the strings that a code may be: a constant, both sides of a choice, a pattern of what is only known when it runs."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from (*_constants(node.body), *_constants(node.orelse))
    elif isinstance(node, ast.BoolOp):
        yield from (text for value in node.values for text in _constants(value))
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)


# -- as text ---------------------------------------------------------------------------------------------------------


def _lines(found: Iterable[Check]) -> Iterator[str]:
    suite = ""
    for check in found:
        own = check.name.rpartition(".")[0]
        if own != suite:
            yield from (("",) if suite else ())
            yield f"{own}:"
            suite = own
        yield f"  {check.name}"
        yield from textwrap.wrap(check.doc.claim or "(no claim)", 100, initial_indent="      ", subsequent_indent="      ")


def markdown(found: Sequence[Check]) -> str:
    """Give the catalogue as docs/checks.md has it."""
    suites: dict[str, list[Check]] = {}
    for check in found:
        suites.setdefault(check.name.rpartition(".")[0], []).append(check)
    lines = ["# Checks", "", "Made by `netchecks checks --markdown` from the suites: change it there.", ""]
    for suite, mine in suites.items():
        lines += [f"## {suite}", "", "| check | claim |", "|---|---|"]
        lines += [f"| [{_short(check)}](#{_anchor(check.name)}) | {_cell(check.doc.claim)} |" for check in mine]
        lines.append("")
        for check in mine:
            lines += _section(check)
    return "\n".join(lines).rstrip() + "\n"


def _section(check: Check) -> Iterator[str]:
    yield from (f"### {check.name}", "", _text(check.doc.claim), "")
    rows = {
        "Why": _text(check.doc.why),
        "Remedy": f"{check.doc.owner}: {_code(check.doc.remedy)}" if check.doc.remedy else "",
        "Source": _text(check.doc.source),
        "About": _about(check),
        "Reads": ", ".join(map(_code, check.facts)) + (", what the test itself asks the host" if check.imperative else ""),
        "Codes": ", ".join(map(_code, check.codes or (check.name,))),
    }
    yield from (f"- **{name}:** {value}" for name, value in rows.items() if value)
    yield ""


def _about(check: Check) -> str:
    words = [", ".join(f"each {name}" for name in check.subjects)]
    if check.kinds:
        words.append(f"networks of kind {' or '.join(check.kinds)}")
    if check.flows:
        words.append(f"flows: {', '.join(check.flows)}")
    if check.hop:
        words.append(f"a state of the hop {check.hop[0]}" + (f", {check.hop[1]}" if len(check.hop) > 1 else ""))
    if check.verdict:
        words.append("the verdict of its flow")
    return "; ".join(word for word in words if word)


def _short(check: Check) -> str:
    return check.name.rpartition(".")[2]


def _anchor(heading: str) -> str:
    """Give the anchor that GitHub and GitLab make of a heading."""
    return re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-"))


def _text(text: str) -> str:
    return re.sub(r"([<>*`|])", r"\\\1", text)


def _cell(text: str) -> str:
    return _text(text)


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"
