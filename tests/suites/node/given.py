"""What node checks are called with: nodes, and facts that the real parsers read from text."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest

import netchecks.observations
from netchecks import seen
from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.subjects import Connection, DeclaredLink, Inventory, Node
from netchecks.models.table import Table
from netchecks.observe import OBSERVATIONS
from netchecks.seen import By, Pair

assert netchecks.observations.__doc__  # importing it registers the facts

UNSEEN = NotSeen(Why.NO_PERMISSION, "a test says so")


def node(name: str = "node1", **fields: Any) -> Node:
    return Node(name, Connection("local"), **fields)


def link(name: str, *addresses: str, **fields: Any) -> DeclaredLink:
    from netchecks.parsing import on_link

    return DeclaredLink(name, tuple(map(on_link, addresses)), **fields)


def inventory(*nodes: Node, **fields: Any) -> Inventory:
    return Inventory(nodes=nodes, **fields)


def by(fact: str, **texts: Any) -> By[Any, Any]:
    """Give a fact of nodes by name: from text by its parser, from two texts as a pair, or not seen."""
    values = {name: _value(fact, name, text) for name, text in texts.items()}
    return By(fact, {name: node(name) for name in texts}, _looking(values))


def _looking(values: dict[str, Any]) -> Callable[[str], Any]:
    def look(name: str) -> Any:
        if isinstance(values[name], NotSeen):
            raise values[name]
        return values[name]

    return look


def _value(fact: str, name: str, text: Any) -> Any:
    if isinstance(text, tuple) and all(isinstance(part, str) for part in text) and text:
        before, after = (_value(fact, name, part) for part in text)
        return Pair(before, after, 1.0)
    value = OBSERVATIONS[fact].parse(text) if isinstance(text, str) else text
    return value.at(name) if isinstance(value, Table) else value


@contextmanager
def wrong(code: str, *words: str, place: str = "node1"):
    """Expect a failure with that code, at that place, whose message has these words."""
    with pytest.raises(Wrong) as caught:
        yield caught
    assert (caught.value.code, caught.value.place) == (code, place)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def notes_of(check: Callable[..., None], *arguments: Any) -> list[str]:
    """Run a check that passes and give the codes of its notes."""
    seen.forget()
    check(*arguments)
    return [code for code, _ in seen.notes]
