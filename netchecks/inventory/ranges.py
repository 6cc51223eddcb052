"""Ranges: ``node[2-50]`` stands for 49 names, and ``{n+10}`` in a value for a number of each."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from functools import lru_cache

from netchecks.inventory.tree import Entry, Scalar, Sequence, Tree, mapping_of, size_of

#: A network beyond this is not one inventory any more; it also bounds what one short line can ask for.
MOST_OBJECTS = 100_000

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_PART = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_EXPRESSION = re.compile(r"[n0-9+\-*/%() ]{1,60}")
_FORMAT = re.compile(r"(?:0?[1-9][0-9]?)?[dxX]?")
_LOOKS_LIKE_PLACEHOLDER = re.compile(r"\{[n0-9+\-*/%() ]*n[n0-9+\-*/%() ]*(?::[0-9dxX]*)?\}")
_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.floordiv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
#: Far above any address or port, far below what would take time.
_LARGEST = 10**40


class RangeError(ValueError):
    """A range or a placeholder cannot be read; its text says why."""


def is_range(text: str) -> bool:
    """Tell whether a name stands for several.

    >>> is_range("node[2-50]"), is_range("node2")
    (True, False)
    """
    return "[" in text or "]" in text


def names(text: str, most: int = MOST_OBJECTS) -> list[tuple[str, int]]:
    """Give each name of a range with its number. Raises RangeError.

    >>> names("a[1,3,7-9]")
    [('a1', 1), ('a3', 3), ('a7', 7), ('a8', 8), ('a9', 9)]
    >>> [name for name, _ in names("node[08-10]")]
    ['node08', 'node09', 'node10']
    """
    brackets = list(_BRACKETS.finditer(text))
    if len(brackets) != 1 or text.count("[") + text.count("]") != 2:  # noqa: PLR2004 - one bracket of each kind
        raise RangeError("expected one range such as node[2-50] or node[1,3,7-9]")
    before, after = text[: brackets[0].start()], text[brackets[0].end() :]
    return [(f"{before}{number:0{width}}{after}", number) for number, width in _numbers(brackets[0].group(1), most)]


def _numbers(inside: str, most: int) -> list[tuple[int, int]]:
    """Give the numbers between the brackets with the width each is padded to."""
    spans = [_span(part.strip()) for part in inside.split(",")]
    count = sum(last - first + 1 for first, last, _ in spans)
    if count > most:
        raise RangeError(f"stands for {count} names, expected at most {most}")
    numbers = [(number, width) for first, last, width in spans for number in range(first, last + 1)]
    if len(set(numbers)) != len(numbers):
        raise RangeError("names a number twice")
    return numbers


def _span(part: str) -> tuple[int, int, int]:
    """Give first, last and width of one part of a range."""
    match = _PART.fullmatch(part)
    if not match:
        raise RangeError(f"has the part {part[:40]!r}, expected a number or two with '-' between them")
    first, last = match[1], match[2] or match[1]
    if int(last) < int(first):
        raise RangeError(f"goes from {first} down to {last}, expected the smaller number first")
    padded = [text for text in (first, last) if text.startswith("0") and len(text) > 1]
    if padded and len(first) != len(last):
        raise RangeError(f"pads {first} and {last} differently, expected the same number of digits")
    return int(first), int(last), len(first) if padded else 0


def filled(tree: Tree, number: int) -> Tree:
    """Give the tree with ``{n}`` filled in everywhere, keys too. Raises BadPlaceholder."""
    if isinstance(tree, Scalar):
        return _filled_scalar(tree, number)
    if isinstance(tree, Sequence):
        items = tuple(filled(item, number) for item in tree.items)
        return tree if all(map(operator.is_, items, tree.items)) else Sequence(items, tree.place, size_of(items))
    entries: dict[str, Entry] = {}
    for entry in tree.entries.values():
        key = _filled_scalar(entry.key, number)
        entries[key.text] = Entry(key, filled(entry.value, number))
    return mapping_of(entries, tree.place)


class BadPlaceholder(RangeError):
    """A placeholder cannot be filled in: which scalar, and why."""

    def __init__(self, scalar: Scalar, message: str) -> None:
        """Keep the scalar for its place."""
        self.scalar = scalar
        super().__init__(message)


def _filled_scalar(scalar: Scalar, number: int) -> Scalar:
    if "{" not in scalar.text and "}" not in scalar.text:
        return scalar
    try:
        text = _PLACEHOLDER.sub(lambda match: _piece(match, number), scalar.text)
    except RangeError as error:
        raise BadPlaceholder(scalar, str(error)) from None
    return Scalar(text, scalar.place)


def _piece(match: re.Match[str], number: int) -> str:
    """Give what one placeholder or doubled brace stands for."""
    whole = match.group()
    if whole in ("{{", "}}"):
        return whole[0]
    if match[1] is None:
        raise RangeError(f"found a single {whole!r}, expected {{n}} with + - * / % or a doubled {whole * 2!r}")
    expression, _, form = match[1].partition(":")
    return _formatted(_compiled(expression)(number), form, whole)


def _formatted(value: int, form: str, whole: str) -> str:
    if not _FORMAT.fullmatch(form):
        raise RangeError(f"found the placeholder {whole!r}, expected a format such as :02 :02x :x :X")
    if value < 0:
        raise RangeError(f"the placeholder {whole!r} gives {value}, expected 0 or more")
    return format(value, form or "d")


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> Callable[[int], int]:
    """Give the function of n that an expression states: no more of Python than whole numbers and their operators."""
    found = f"found the placeholder '{{{expression[:40]}}}'"
    wrong = RangeError(f"{found}, expected {{n}}, {{n+10}}, {{(n-1)*2}}, {{n/256:02x}} or {{n%256:02x}}")
    if not _EXPRESSION.fullmatch(expression):
        raise wrong
    try:
        return _function(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, KeyError, ValueError, RecursionError, MemoryError):  # all that ast.parse raises, and KeyError
        raise wrong from None


def _function(node: ast.expr) -> Callable[[int], int]:
    """Build the function of one part of an expression. Raises KeyError for what is none."""
    if isinstance(node, ast.Name) and node.id == "n":
        return lambda n: n
    if isinstance(node, ast.Constant) and type(node.value) is int:
        constant = node.value
        return lambda _: constant
    if not isinstance(node, ast.BinOp):
        raise KeyError(type(node))
    apply, left, right = _OPERATORS[type(node.op)], _function(node.left), _function(node.right)
    return lambda n: _bounded(apply, left(n), right(n))


def _bounded(apply: Callable[[int, int], int], left: int, right: int) -> int:
    try:
        value = apply(left, right)
    except ZeroDivisionError:
        raise RangeError("a placeholder divides by 0") from None
    if abs(value) > _LARGEST:
        raise RangeError("a placeholder gives a number that is too large")
    return value


def placeholder_in(text: str) -> str:
    """Give the first thing in a text that looks like ``{n+1}``, or nothing."""
    match = _LOOKS_LIKE_PLACEHOLDER.search(text)
    return match.group() if match else ""
