"""From a file to a tree with places: YAML read event by event, so that no input can exhaust stack or memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from netchecks.inventory.problems import Problems, did_you_mean, shown
from netchecks.inventory.tree import Entry, Mapping, Place, Scalar, Sequence, Tree, mapping_of, size_of

#: More is no inventory written by people; 2000 VMs written out are below 1 MB.
MOST_BYTES = 16 * 1024 * 1024
#: Values of one file with aliases expanded: bounds what a "billion laughs" can grow to.
MOST_VALUES = 2_000_000
#: The format needs six levels.
DEEPEST = 50

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: What YAML 1.1 §5.1 allows no file to contain, less what Python cannot hold in UTF-8 anyway.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ufffe\uffff]")
_CONTROL_IN_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u2028\u2029]")
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TEXT_TAGS = frozenset({"!", "tag:yaml.org,2002:str"})
_TAGS = _TEXT_TAGS | {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null", "timestamp", "map", "seq")}
_HINTS = (
    ("mapping values are not allowed", "; a value that has ': ' in it or ends with ':' (an IPv6 prefix) needs quotes"),
    ("unexpected ':'", "; inside { } and [ ] a value that ends with ':' or has a '{' in it needs quotes"),
    ("did not find expected node content", "; inside { } and [ ] a value that begins with ':' (as ::1 does) needs quotes"),
    ("cannot start any token", "; indent with spaces, not with tabs, and put such a value in quotes"),
)


class Unusable(Exception):
    """Nothing more can be read from this file. It never leaves this module: the problem is noted already."""


def read(path: Path, problems: Problems) -> Mapping | None:
    """Give the mapping that the file holds, or None where it holds none; every mistake of YAML is noted."""
    reader = _Reader(str(path), problems)
    try:
        return reader.read(_bytes(path))
    except OSError as error:
        problems.add(Place(str(path), 1, 1), f"cannot be read: {error.strerror or error}{_neighbour(path)}")
    except Unusable:
        pass
    return None


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _neighbour(path: Path) -> str:
    """Suggest a file of the same folder whose name is near."""
    try:
        return "" if path.exists() else did_you_mean(path.name, sorted(other.name for other in path.parent.iterdir()))
    except OSError:
        return ""


class _Reader:
    """Reads one file."""

    def __init__(self, file: str, problems: Problems) -> None:
        self.file = file
        self.problems = problems

    def stop(self, place: Place, message: str) -> NoReturn:
        self.problems.add(place, message)
        raise Unusable

    def at(self, line: int, column: int) -> Place:
        return Place(self.file, line + 1, column + 1)

    def read(self, data: bytes) -> Mapping:
        text = self._decoded(data)
        tree = self._tree(text)
        if tree is None or (isinstance(tree, Scalar) and tree.is_null):
            self.stop(self.at(0, 0), "the file is empty, expected at least 'nodes:' with one node")
        if not isinstance(tree, Mapping):
            self.stop(tree.place, f"found {shown(tree)}, expected a mapping with the fields nodes, networks, vms ...")
        return tree

    def _decoded(self, data: bytes) -> str:
        if len(data) > MOST_BYTES:
            megabytes = MOST_BYTES // 1024 // 1024
            self.stop(self.at(0, 0), f"the file is larger than {megabytes} MB, expected an inventory (ranges keep it small)")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = data[: error.start].decode("utf-8", "replace")
            self._not_text(data, before, f"the byte 0x{data[error.start]:02x}, which is not UTF-8")
        control = _CONTROL.search(text)
        if control:
            self._not_text(data, text[: control.start()], f"the control character U+{ord(control.group()):04X}")
        return text

    def _not_text(self, data: bytes, before: str, what: str) -> NoReturn:
        line, column = _line_and_column(before)
        self.stop(self.at(line, column), f"found {'a binary file' if 0 in data else what}, expected YAML in UTF-8")

    def _tree(self, text: str) -> Tree | None:
        builder = _Builder(self)
        try:
            for event in _events(text):
                builder.take(event)
        except yaml.MarkedYAMLError as error:
            self._not_yaml(error)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            # ValueError: PyYAML lets chr() and int() of a broken escape or %YAML line through.
            self.stop(self.at(0, 0), f"is not YAML: {str(error).splitlines()[0]}")
        return builder.tree

    def _not_yaml(self, error: yaml.MarkedYAMLError) -> NoReturn:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(filter(None, (error.context, error.problem)))
        hint = next((hint for sign, hint in _HINTS if sign in problem), "")
        self.stop(self.at(mark.line, mark.column) if mark else self.at(0, 0), f"is not YAML: {problem}{hint}")


def _line_and_column(before: str) -> tuple[int, int]:
    """Count lines and columns from 0 in the text before something."""
    lines = re.split("\r\n|\r|\n", before)
    return len(lines) - 1, len(lines[-1])


def _events(text: str) -> Iterator[yaml.Event]:
    """Go through the file without composing it: PyYAML's composer recurses, and in C nothing would stop it."""
    loader = _LOADER(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


class _Open:
    """A mapping or list whose end was not read yet."""

    __slots__ = ("anchor", "children", "is_mapping", "place")

    def __init__(self, place: Place, anchor: str | None, *, is_mapping: bool) -> None:
        self.place = place
        self.anchor = anchor
        self.is_mapping = is_mapping
        self.children: list[Tree] = []


class _Builder:
    """Puts events together."""

    def __init__(self, reader: _Reader) -> None:
        self.reader = reader
        self.problems = reader.problems
        self.tree: Tree | None = None
        self._stack: list[_Open] = []
        self._anchors: dict[str, Tree] = {}
        self._documents = 0
        self._values = 0
        self._takers: dict[type[yaml.Event], Callable[[Any, Place], None]] = {
            yaml.DocumentStartEvent: self._document,
            yaml.ScalarEvent: self._scalar,
            yaml.AliasEvent: self._alias,
            yaml.MappingStartEvent: self._start,
            yaml.SequenceStartEvent: self._start,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
        }

    def take(self, event: yaml.Event) -> None:
        taker, mark = self._takers.get(type(event)), event.start_mark
        if taker and mark:
            taker(event, Place(self.reader.file, mark.line + 1, mark.column + 1))

    def _document(self, _: yaml.Event, place: Place) -> None:
        self._documents += 1
        if self._documents > 1:
            self.reader.stop(place, "found a second document ('---'), expected one per file")

    def _tagged(self, tag: str | None, place: Place) -> None:
        if tag is not None and tag not in _TAGS:
            self.problems.add(place, f"found the tag {shown(tag)}, expected a value without a tag")

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> None:
        self._tagged(event.tag, place)
        self._count(1, place)
        control = _CONTROL_IN_TEXT.search(event.value)
        if control:
            self.problems.add(place, f"found the control character U+{ord(control.group()):04X}, expected printable text")
        is_null = event.implicit[0] and event.value in _NULLS and event.tag not in _TEXT_TAGS
        self._add(Scalar(event.value, place, is_null), event.anchor)

    def _alias(self, event: yaml.AliasEvent, place: Place) -> None:
        name = str(event.anchor)
        if any(part.anchor == name for part in self._stack):
            self.reader.stop(place, f"the alias *{name} stands inside its own anchor &{name}: it would have no end")
        if name not in self._anchors:
            hint = did_you_mean(name, self._anchors)
            self.reader.stop(place, f"found the alias *{name}, but no anchor &{name} before it{hint}")
        self._count(self._anchors[name].size, place)
        self._add(self._anchors[name], None)

    def _count(self, values: int, place: Place) -> None:
        self._values += values
        if self._values > MOST_VALUES:
            self.reader.stop(place, f"grows to more than {MOST_VALUES} values (aliases of aliases?), expected an inventory")

    def _start(self, event: yaml.CollectionStartEvent, place: Place) -> None:
        self._tagged(event.tag, place)
        self._count(1, place)
        if len(self._stack) >= DEEPEST:
            self.reader.stop(place, f"is nested more than {DEEPEST} levels deep, expected at most 8")
        self._stack.append(_Open(place, event.anchor, is_mapping=isinstance(event, yaml.MappingStartEvent)))

    def _end(self, _: yaml.Event, __: Place) -> None:
        part = self._stack.pop()
        if part.is_mapping:
            self._add(self._mapping(part), part.anchor)
        else:
            self._add(Sequence(tuple(part.children), part.place, size_of(part.children)), part.anchor)

    def _add(self, tree: Tree, anchor: str | None) -> None:
        if anchor:
            self._anchors[anchor] = tree
        if self._stack:
            self._stack[-1].children.append(tree)
        else:
            self.tree = tree

    def _mapping(self, part: _Open) -> Mapping:
        entries: dict[str, Entry] = {}
        below: list[Mapping] = []
        for key, value in zip(part.children[::2], part.children[1::2], strict=True):
            if not isinstance(key, Scalar):
                self.problems.add(key.place, f"found {shown(key)} as a key, expected a name")
            elif key.text == "<<":
                below.extend(self._merge_key(value))
            elif key.text in entries:
                self._twice(entries[key.text].key, key)
            else:
                entries[key.text] = Entry(key, value)
        return _over(below, mapping_of(entries, part.place))

    def _twice(self, first: Scalar, key: Scalar) -> None:
        self.problems.add(key.place, f"found the key {shown(key)} again, it is already at {first.place}")

    def _merge_key(self, value: Tree) -> list[Mapping]:
        """Give what ``<<:`` brings in, the weakest first."""
        parts = list(value.items) if isinstance(value, Sequence) else [value]
        wrong = [part for part in parts if not isinstance(part, Mapping)]
        for part in wrong:
            self.problems.add(part.place, f"found {shown(part)} behind '<<', expected an alias of a mapping")
        return [part for part in reversed(parts) if isinstance(part, Mapping)]


def _over(below: list[Mapping], own: Mapping) -> Mapping:
    """Put the keys of a mapping over those merged in: not deep, as YAML's merge key is defined."""
    if not below:
        return own
    entries: dict[str, Entry] = {}
    for part in (*below, own):
        entries.update(part.entries)
    return mapping_of(entries, own.place)


