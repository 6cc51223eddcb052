"""What the building of an inventory shares: the objects by name, and the mistakes found in their references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from netchecks.inventory.entries import NetworkEntry, NodeEntry, VmEntry, Written
from netchecks.inventory.gathering import Stanza
from netchecks.inventory.problems import Problems, listed
from netchecks.inventory.ranges import RangeError, is_range, names
from netchecks.inventory.tree import Place, Scalar, Tree, existing, find
from netchecks.inventory.validating import valid
from netchecks.models.subjects import Interface, Network, Node, Vm

T = TypeVar("T")
W = TypeVar("W", bound=Written)


@dataclass(frozen=True, slots=True)
class Object(Generic[W]):
    """One object: what is right of what was written, where, and which of its fields are damaged."""

    name: str
    key: Scalar
    tree: Tree
    written: W
    own: frozenset[str] = frozenset()
    damaged: frozenset[str] = frozenset()

    def place(self, *loc: str | int) -> Place:
        """Give where a field is, or the object's key where the field is not written."""
        return find(self.tree, loc).value.place if existing(self.tree, loc) else self.key.place


def objects(model: type[W], stanzas: list[Stanza], problems: Problems) -> dict[str, Object[W]]:
    """Give the objects whose fields can be read, by name."""
    found: dict[str, Object[W]] = {}
    for stanza in stanzas:
        written, tree, damaged = valid(model, stanza.tree, stanza.key, problems)
        if written is not None:
            found[stanza.name] = Object(stanza.name, stanza.key, tree, written, stanza.own, damaged)
    return found


@dataclass(slots=True)
class Site:
    """The inventory while it is built. A name whose object cannot be used stands for None."""

    problems: Problems
    #: False where a file could not be read: then nothing that is not there is a mistake.
    complete: bool = True
    written_nodes: dict[str, Object[NodeEntry]] = field(default_factory=dict)
    written_networks: dict[str, Object[NetworkEntry]] = field(default_factory=dict)
    written_vms: dict[str, Object[VmEntry]] = field(default_factory=dict)
    nodes: dict[str, Node | None] = field(default_factory=dict)
    networks: dict[str, Network | None] = field(default_factory=dict)
    vms: dict[str, Vm | None] = field(default_factory=dict)
    #: Each interface with its VM's place and what was written of it.
    interfaces: list[tuple[Interface, Object[VmEntry], int]] = field(default_factory=list)
    #: The names of the nodes that a network is on.
    members: dict[str, frozenset[str]] = field(default_factory=dict)
    #: Networks of which that is not known: a node of theirs is misspelt, or the roles of some node are.
    unsure: set[str] = field(default_factory=set)

    def look_up(self, known: Mapping[str, T | None], name: str, what: str, place: Place) -> T | None:
        """Give the object of a name; note it where there is none. None too where the object cannot be used."""
        if name in known or not self.complete:
            return known.get(name)
        there = f"expected one of {listed(known)}" if known else f"but there is no {what} at all"
        hint = self.problems.near(name, known.keys())
        self.problems.add(place, f"found the {what} {name!r}, {there}{hint}", f"unknown {what}")
        return None

    def note_lack(self, one: Object[W], name: str) -> None:
        """Note that a required field is missing, unless it was there and wrong."""
        if self.complete and name not in one.damaged:
            self.problems.add(one.key.place, f"the field {name!r} is missing", f"missing {name}")

    def names(self, text: str, place: Place) -> list[str]:
        """Give the names that a name or a range stands for; note a range that cannot be read."""
        if not is_range(text):
            return [text]
        try:
            return [name for name, _ in names(text)]
        except RangeError as error:
            self.problems.add(place, f"the range {text!r} cannot be read: {error}")
            return []

    def look_up_nodes(self, text: str, place: Place) -> list[Node | None]:
        """Give the nodes of a name or a range; None for each that there is not, and for a range that cannot be read."""
        return [self.look_up(self.nodes, name, "node", place) for name in self.names(text, place)] or [None]
