"""From the trees of all files to one object each: files merged, ranges expanded, defaults below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from netchecks.inventory import fields
from netchecks.inventory.entries import DefaultsEntry, FileEntry, NetworkEntry, NodeEntry, VmEntry, Written
from netchecks.inventory.problems import Problems, shown
from netchecks.inventory.ranges import MOST_OBJECTS, BadPlaceholder, RangeError, filled, is_range, names, placeholder_in
from netchecks.inventory.tree import Entry, Mapping, Place, Scalar, Sequence, Tree, mapping_of, merged, plain
from netchecks.inventory.validating import check_shape, mapping_in, valid

#: Values of all objects together, ranges expanded: some ten seconds of work and half a gigabyte.
MOST_EXPANDED = 2_000_000
_DEFAULTS: dict[str, type[Written]] = {"node": NodeEntry, "network": NetworkEntry, "vm": VmEntry}


@dataclass(frozen=True, slots=True)
class Stanza:
    """One object as it is written: its name, where that is, its fields with the defaults, and which are its own."""

    name: str
    key: Scalar
    tree: Tree
    own: frozenset[str] = frozenset()


@dataclass(slots=True)
class Gathered:
    """All that is written in all files."""

    nodes: list[Stanza] = field(default_factory=list)
    networks: list[Stanza] = field(default_factory=list)
    vms: list[Stanza] = field(default_factory=list)
    flows: list[Tree] = field(default_factory=list)
    waivers: list[Tree] = field(default_factory=list)


def gathered(roots: list[Mapping], problems: Problems) -> Gathered:
    """Give the objects of all files, in the order of the files."""
    for root in roots:
        check_shape(FileEntry, root, problems)
        _check_version(root, problems)
    defaults = _defaults(roots, problems)
    budget = _Budget(problems)
    sections = {
        one: list(_stanzas([mapping_in(root, many, problems) for root in roots], defaults.get(one), budget))
        for one, many in (("node", "nodes"), ("network", "networks"), ("vm", "vms"))
    }
    lists = {name: [item for root in roots for item in _items(root, name, problems)] for name in ("flows", "waivers")}
    return Gathered(sections["node"], sections["network"], sections["vm"], lists["flows"], lists["waivers"])


def _check_version(root: Mapping, problems: Problems) -> None:
    entry = root.entries.get("version")
    if entry and plain(entry.value) != "1":
        newer = "; a newer netchecks may read it" if isinstance(entry.value, Scalar) and entry.value.text.isdigit() else ""
        problems.add(entry.value.place, f"found {shown(entry.value)}, expected version 1{newer}")


def _items(root: Mapping, name: str, problems: Problems) -> tuple[Tree, ...]:
    """Give the items of a section that is a list."""
    entry = root.entries.get(name)
    if entry is None or (isinstance(entry.value, Scalar) and entry.value.is_null):
        return ()
    if not isinstance(entry.value, Sequence):
        message = f"found {shown(entry.value)}, expected a list under {name!r} (lines that begin with '- ')"
        problems.add(entry.value.place, message)
        return ()
    return entry.value.items


def _defaults(roots: list[Mapping], problems: Problems) -> dict[str, Mapping]:
    """Give the defaults of all files: they hold for the objects of all files, so two files must not contradict."""
    below: dict[str, Mapping] = {}
    for root in roots:
        written = mapping_in(root, "defaults", problems)
        check_shape(DefaultsEntry, written, problems)
        for one in _DEFAULTS:
            own = mapping_in(written, one, problems)
            before = below.get(one)
            if before:
                _contradictions(before, own, problems)
            below[one] = _mapping(merged(before, own)) if before else own
    for one, model in _DEFAULTS.items():
        # What holds a placeholder is looked at in each object.
        valid(model, _constant(below[one]), Scalar(one, below[one].place), problems)
    return below


def _mapping(tree: Tree) -> Mapping:
    """Narrow the type of what is a mapping by construction."""
    return tree if isinstance(tree, Mapping) else mapping_of({}, tree.place)


def _contradictions(before: Mapping, own: Mapping, problems: Problems) -> None:
    for name, entry in own.entries.items():
        first = before.entries.get(name)
        if first is None or plain(first.value) == plain(entry.value):
            continue
        if isinstance(first.value, Mapping) and isinstance(entry.value, Mapping):
            _contradictions(first.value, entry.value, problems)
        else:
            problems.add(entry.key.place, f"found another default for {name!r}, the first is at {first.key.place}")


def _constant(tree: Mapping) -> Mapping:
    """Give the fields without a placeholder."""
    return mapping_of({name: entry for name, entry in tree.entries.items() if not _placeholder(entry.value)}, tree.place)


def _placeholder(tree: Tree) -> Scalar | None:
    """Give the first scalar with something that looks like ``{n}``."""
    if isinstance(tree, Scalar):
        return tree if "{" in tree.text and placeholder_in(tree.text) else None
    parts = tree.items if isinstance(tree, Sequence) else [part for entry in tree.entries.values() for part in entry]
    return next(filter(None, map(_placeholder, parts)), None)


class _Budget:
    """Bounds what ranges can grow to."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.objects = 0
        self.values = 0

    def allows(self, key: Scalar, count: int, size: int) -> bool:
        """Take so many objects of a size, or note that they are too many."""
        self.objects += count
        self.values += count * size
        if self.objects > MOST_OBJECTS or self.values > MOST_EXPANDED:
            self.objects -= count
            self.values -= count * size
            message = f"{shown(key)} makes more than {MOST_OBJECTS} objects or {MOST_EXPANDED} values in all, expected fewer"
            self.problems.add(key.place, message)
            return False
        return True


def _stanzas(sections: Iterable[Mapping], default: Mapping | None, budget: _Budget) -> Iterator[Stanza]:
    """Give every object of a section of all files, each name once."""
    seen: dict[str, Place] = {}
    for section in sections:
        for entry in section.entries.values():
            for stanza in _expanded(entry, default, budget):
                if stanza.name in seen:
                    message = f"found {stanza.name!r} again, it is already at {seen[stanza.name]}"
                    budget.problems.add(stanza.key.place, message, "again")
                else:
                    seen[stanza.name] = stanza.key.place
                    yield stanza


def _expanded(entry: Entry, default: Mapping | None, budget: _Budget) -> Iterator[Stanza]:
    """Give the objects that one key stands for."""
    key, value = entry
    own = mapping_of({}, key.place) if isinstance(value, Scalar) and value.is_null else value
    if not isinstance(own, Mapping):
        budget.problems.add(own.place, f"found {shown(own)}, expected the fields of {key.text!r}")
        own = mapping_of({}, key.place)
    tree = merged(default, own) if default else own
    numbers = _numbers(key, budget)
    if not budget.allows(key, len(numbers), tree.size):
        return
    for name, number in numbers:
        if _is_name(name, key, budget.problems):
            yield Stanza(name, key, _filled(tree, name, number, budget.problems), frozenset(own.entries))


def _numbers(key: Scalar, budget: _Budget) -> list[tuple[str, int | None]]:
    """Give the names that a key stands for, each with its number in the range."""
    if not is_range(key.text):
        return [(key.text, None)]
    try:
        return list(names(key.text))
    except RangeError as error:
        budget.problems.add(key.place, f"the range {shown(key)} {_clause(error)}")
        return []


def _clause(error: RangeError) -> str:
    """Make the error's text the end of a sentence about the range."""
    text = str(error)
    return f"cannot be read, {text}" if text.startswith("expected") else text


def _is_name(name: str, key: Scalar, problems: Problems) -> bool:
    """Tell whether a name can be used, or note that it cannot."""
    try:
        fields.name(name)
    except ValueError as error:
        problems.add(key.place, str(error), "name")
        return False
    return True


def _filled(tree: Tree, name: str, number: int | None, problems: Problems) -> Tree:
    """Give the object's fields with its number, or note what cannot be filled in."""
    if number is None:
        scalar = _placeholder(tree)
        if scalar:
            message = f"found the placeholder {placeholder_in(scalar.text)!r}, but {name!r} is no range such as {name}[1-9]"
            problems.add(scalar.place, message, "no range", last=True)
        return tree
    try:
        return filled(tree, number)
    except BadPlaceholder as error:
        problems.add(error.scalar.place, str(error), "placeholder", last=True)
        return tree


