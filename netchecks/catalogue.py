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

from netchecks import connect, facts, trip, waves
from netchecks.cause import CAUSES
from netchecks.collecting import add_suites, arguments, collect
from netchecks.errors import Why
from netchecks.judge import Doc, doc_of
from netchecks.plan import is_fact
from netchecks.plugin import check_id
from netchecks.world import KINDS

#: Errors whose first argument is a stable code, and the function that notes one.
_TELL = frozenset({"Wrong", "Harmless", "note"})
_CODE = re.compile(r"[a-z]+\.[a-z][a-z0-9_]+")


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
    inside: bool = False


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
    for item in collect(selection, bare=True).items:
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
        item.get_closest_marker("inside") is not None,
    )


def _flows(mark: pytest.Mark | None) -> tuple[str, ...]:
    if mark is None:
        return ()
    to = f"to the {mark.kwargs['to']}" if "to" in mark.kwargs else ""
    family = f"IPv{mark.kwargs['family']}" if "family" in mark.kwargs else ""
    full = {True: "full size", False: "", None: ""}[mark.kwargs.get("full")]
    return tuple(word for word in (" or ".join(mark.args), to, full, family) if word)


# -- codes -----------------------------------------------------------------------------------------------------------


@cache
def codes(function: Callable[..., Any]) -> tuple[str, ...]:
    """Give the codes that stand in a function and in the functions of its module that it calls, in their order.

    Where a code is handed on in a variable, every string there that has the form of one counts.
    """
    told, formed, dynamic = [], [], False
    for one in _with_called(function, {}):
        tree = ast.parse(textwrap.dedent(inspect.getsource(one)))
        for call in _calls(tree):
            constants = list(_constants(call.args[0]))
            dynamic = dynamic or not constants
            told += constants
        formed += [text for text in _strings(tree, one.__globals__) if _CODE.fullmatch(text)]
    return tuple(dict.fromkeys([*told, *(formed if dynamic else [])]))


def _with_called(function: Callable[..., Any], visited: dict[Any, None]) -> list[Any]:
    function = inspect.unwrap(function)
    if function not in visited and inspect.isfunction(function):
        visited[function] = None
        for name in function.__code__.co_names:
            other = function.__globals__.get(name)
            if inspect.isfunction(other) and other.__module__ == function.__module__:
                _with_called(other, visited)
    return list(visited)


def _calls(tree: ast.AST) -> list[ast.Call]:
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    named = [node for node in found if getattr(node.func, "attr", getattr(node.func, "id", "")) in _TELL]
    return sorted(named, key=lambda node: (node.lineno, node.col_offset))


def _strings(tree: ast.AST, module: dict[str, Any]) -> Iterator[str]:
    """Give the strings of a function and of its module's tables that it names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Name) and isinstance(module.get(node.id), dict):
            yield from (value for value in module[node.id].values() if isinstance(value, str))


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


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is not seen: the code, the kind of reason, and what is said, ``*`` for what depends on the case."""

    code: str
    why: str
    detail: str


def reasons() -> list[Reason]:
    """Give every reason that has a code, from where the engine raises it."""
    found = {code: Reason(code, Why.UNREACHABLE, meaning) for _, code, meaning in reversed(connect.SSH_SAYS)}
    for module in (connect, trip, facts, waves):
        for call in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "NotSeen":
                found |= {one.code: one for one in _reason(call) if one.code not in found}
    return sorted(found.values(), key=lambda one: one.code)


def _reason(call: ast.Call) -> Iterator[Reason]:
    cause = next((word.value for word in call.keywords if word.arg == "cause"), None)
    why = call.args[0].attr if call.args and isinstance(call.args[0], ast.Attribute) else ""
    detail = next(_constants(call.args[1]), "") if len(call.args) > 1 else ""
    for code in _constants(cause) if cause is not None else ():
        if why in Why.__members__:
            yield Reason(code, Why[why], detail)


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
    lines += ["Each code of a diagnosis is stable, and stands in the [index](#codes) at the end.", ""]
    for suite, mine in suites.items():
        lines += [f"## {suite}", "", "| check | claim |", "|---|---|"]
        lines += [f"| [{_short(check)}](#{_anchor(check.name)}) | {_cell(check.doc.claim)} |" for check in mine]
        lines.append("")
        for check in mine:
            lines += _section(check)
    lines += [*_index(found), *_unseen()]
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


def _index(found: Iterable[Check]) -> Iterator[str]:
    by_code: dict[str, list[str]] = {}
    for check in found:
        for code in check.codes or (check.name,):
            by_code.setdefault(code, []).append(check.name)
    yield from ("## Codes", "", "| code | told by |", "|---|---|")
    for code, names in sorted(by_code.items()):
        yield f"| {_code(code)} | {', '.join(f'[{name}](#{_anchor(name)})' for name in names)} |"
    yield ""


def _unseen() -> Iterator[str]:
    yield from ("## Not looked at", "", "Why something could not be seen; what needs it is unknown then.", "")
    yield from ("| code | reason | what is said |", "|---|---|---|")
    yield from (f"| {_code(one.code)} | {one.why} | {_text(one.detail)} |" for one in reasons())
    yield ""


def _about(check: Check) -> str:
    words = [", ".join(f"each {name}" for name in check.subjects)]
    if check.kinds:
        words.append(f"networks of kind {' or '.join(check.kinds)}")
    if check.flows:
        words.append(f"flows: {', '.join(check.flows)}")
    if check.hop:
        words.append(f"a state of the hop {check.hop[0]}" + (f", {check.hop[1]}" if len(check.hop) > 1 else ""))
    if check.inside:
        words.append("VMs that can be entered")
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
