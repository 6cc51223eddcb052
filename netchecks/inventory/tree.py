"""YAML as it was written: text with places, before anything is known about its meaning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias


class Place(NamedTuple):
    """Where something is written. Lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """Give the form that editors and terminals turn into a link."""
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value as text: YAML 1.1 would read 52:54:00:00:00:42 as a number and ``no`` as false; nothing is guessed here."""

    text: str
    place: Place
    is_null: bool = False
    size: int = 1


class Entry(NamedTuple):
    """A key with its value."""

    key: Scalar
    value: Tree


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys in the order of the file. ``size`` counts all values in it, aliases expanded."""

    entries: dict[str, Entry]
    place: Place
    size: int = 1


@dataclass(frozen=True, slots=True)
class Sequence:
    """Items in the order of the file. ``size`` as in Mapping."""

    items: tuple[Tree, ...]
    place: Place
    size: int = 1


Tree: TypeAlias = Scalar | Mapping | Sequence
Loc: TypeAlias = tuple[str | int, ...]


def size_of(parts: Iterable[Tree]) -> int:
    """Count the values in several trees and what holds them."""
    return 1 + sum(part.size for part in parts)


def mapping_of(entries: dict[str, Entry], place: Place) -> Mapping:
    """Give a mapping that knows its size."""
    return Mapping(entries, place, size_of(entry.value for entry in entries.values()) + len(entries))


def merged(below: Tree, own: Tree) -> Tree:
    """Give ``own`` with what only ``below`` has. Deep for mappings; a list, a value or null of ``own`` wins whole."""
    if not (isinstance(below, Mapping) and isinstance(own, Mapping)):
        return own
    entries = dict(below.entries)
    for name, entry in own.entries.items():
        under = entries.get(name)
        entries[name] = Entry(entry.key, merged(under.value, entry.value)) if under else entry
    return mapping_of(entries, own.place)


def plain(tree: Tree) -> object:
    """Give the tree as str, None, list and dict."""
    if isinstance(tree, Scalar):
        return None if tree.is_null else tree.text
    if isinstance(tree, Sequence):
        return [plain(item) for item in tree.items]
    return {name: plain(entry.value) for name, entry in tree.entries.items()}


def child(tree: Tree, step: str | int) -> Entry | None:
    """Give what is one step further in, or None. An item of a list has no key of its own."""
    if isinstance(tree, Mapping):
        return tree.entries.get(str(step))
    if isinstance(tree, Sequence) and isinstance(step, int) and step < len(tree.items):
        item = tree.items[step]
        return Entry(Scalar("", item.place), item)
    return None


def find(tree: Tree, loc: Loc) -> Entry:
    """Give the entry at ``loc``, or the deepest there is on the way to it."""
    found = Entry(Scalar("", tree.place), tree)
    for step in loc:
        entry = child(found.value, step)
        if entry is None:
            break
        found = entry
    return found


def existing(tree: Tree, loc: Loc) -> Loc:
    """Give the part of a place that the tree has: pydantic goes on into a value that stands for a list of one."""
    here = tree
    for depth, step in enumerate(loc):
        entry = child(here, step)
        if entry is None:
            return loc[:depth]
        here = entry.value
    return loc


def without(tree: Tree, locs: Iterable[Loc]) -> Tree:
    """Give the tree without what stands at the places. Indices are those before anything is taken out."""
    gone: dict[str | int, list[Loc]] = {}
    for loc in locs:
        gone.setdefault(loc[0], []).append(loc[1:])
    if isinstance(tree, Sequence):
        kept = tuple(without(item, gone.get(index, ())) for index, item in enumerate(tree.items) if () not in gone.get(index, ()))
        return Sequence(kept, tree.place, size_of(kept))
    if isinstance(tree, Scalar):
        return tree
    entries = {
        name: Entry(entry.key, without(entry.value, gone.get(name, ())))
        for name, entry in tree.entries.items()
        if () not in gone.get(name, ())
    }
    return mapping_of(entries, tree.place)
