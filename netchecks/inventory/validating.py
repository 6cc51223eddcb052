"""From a tree to models, object by object: what is wrong is noted at its place, what is right is kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from netchecks.inventory.entries import fields, model_at
from netchecks.inventory.problems import Problems, listed, shown
from netchecks.inventory.tree import Loc, Mapping, Place, Scalar, Tree, existing, find, plain, without

M = TypeVar("M", bound=BaseModel)

_EXPECTED = {
    "model_type": "a mapping of fields",
    "dict_type": "a mapping",
    "tuple_type": "a list ('[a, b]', or lines that begin with '- ')",
}
#: Taking out what is wrong shows no new mistakes after a few rounds; this only bounds it.
_ROUNDS = 8


def valid(model: type[M], tree: Tree, key: Scalar, problems: Problems) -> tuple[M | None, Tree, frozenset[str]]:
    """Give the model of one object, what of its tree is right, and which of its fields are damaged.

    What is wrong is noted and left out, so that everything else is still checked against the rest of the inventory.
    The model is None where a field that it cannot do without is missing or wrong. ``key`` is where the object has its name.
    """
    damaged: set[str] = set()
    for _ in range(_ROUNDS):
        try:
            return model.model_validate(plain(tree)), tree, frozenset(damaged)
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
        for detail in details:
            if not (detail["type"] == "missing" and _is_in(detail["loc"], damaged)):
                _note(model, tree, key, detail, problems)
        if any(_fatal(detail) for detail in details):
            break
        damaged.update(str(detail["loc"][0]) for detail in details)
        tree = without(tree, _removable(tree, details))
    return None, tree, frozenset(damaged)


def _is_in(loc: Loc, damaged: Iterable[str]) -> bool:
    """Tell whether a field is missing only because it was wrong and taken out."""
    return str(loc[0]) in damaged


def _fatal(detail: ErrorDetails) -> bool:
    """Tell whether the object itself, not a part of it, cannot be used."""
    return not detail["loc"] or (detail["type"] == "missing" and len(detail["loc"]) == 1)


def _removable(tree: Tree, details: Iterable[ErrorDetails]) -> list[Loc]:
    """Give the places to leave out: of a missing field, the part that lacks it."""
    locs = [detail["loc"][:-1] if detail["type"] == "missing" else existing(tree, detail["loc"]) for detail in details]
    return [loc for loc in locs if loc]


def _note(model: type[BaseModel], tree: Tree, key: Scalar, detail: ErrorDetails, problems: Problems) -> None:
    """Put one of pydantic's errors into words, at its place."""
    loc, kind = detail["loc"], detail["type"]
    if loc and loc[-1] == "[key]":
        loc = loc[:-1]
        problems.add(find(tree, loc).key.place, detail["msg"], kind)
    elif kind == "extra_forbidden":
        _note_unknown(model, tree, loc, problems)
    elif kind == "missing":
        place = find(tree, loc[:-1]).key.place if len(loc) > 1 else key.place
        problems.add(place, f"the field {str(loc[-1])!r} is missing", f"missing {loc[-1]}")
    else:
        found = find(tree, loc).value
        expected = _EXPECTED.get(kind)
        problems.add(found.place, f"found {shown(found)}, expected {expected}" if expected else detail["msg"], kind)


def _note_unknown(model: type[BaseModel], tree: Tree, loc: Loc, problems: Problems) -> None:
    known = list(fields(model_at(model, loc[:-1]) or model))
    note_unknown_field(find(tree, loc).key, known, problems)


def note_unknown_field(key: Scalar, known: list[str], problems: Problems) -> None:
    """Note a field that there is not, with those there are."""
    hint = problems.near(key.text, known)
    problems.add(key.place, f"found the field {shown(key)}, expected one of {listed(known, most=20)}{hint}", "unknown field")


def check_shape(model: type[BaseModel], tree: Mapping, problems: Problems) -> None:
    """Note the fields of a mapping that its model does not have."""
    known = list(fields(model))
    for name, entry in tree.entries.items():
        if name not in known:
            note_unknown_field(entry.key, known, problems)


def mapping_in(tree: Mapping, name: str, problems: Problems) -> Mapping:
    """Give a field that has to be a mapping; an empty one where it is not there."""
    entry = tree.entries.get(name)
    if entry and isinstance(entry.value, Mapping):
        return entry.value
    if entry and not (isinstance(entry.value, Scalar) and entry.value.is_null):
        problems.add(entry.value.place, f"found {shown(entry.value)}, expected a mapping under {name!r}")
    return Mapping({}, Place(tree.place.file, 1, 1))
