"""A mapping whose missing key is a readable failure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from netchecks.errors import Lacks

V = TypeVar("V")


class Table(Mapping[str, V], Generic[V]):
    """Things of one kind by name, at one place.

    >>> Table("bridge", {"virbr0": 1}, "node1")["br0"]
    Traceback (most recent call last):
    netchecks.errors.Lacks: node1: no bridge 'br0'; there are ['virbr0']
    """

    __slots__ = ("_items", "what", "where")

    def __init__(self, what: str, items: Mapping[str, V], where: str = "") -> None:
        """Take the singular noun of what it holds, the items, and the place (the engine adds it)."""
        self.what = what
        self.where = where
        self._items = dict(items)

    def at(self, where: str) -> Table[V]:
        """Give the same table with the place that its messages name."""
        return Table(self.what, self._items, where)

    def __getitem__(self, key: str) -> V:
        """Give the item, or fail with what there is instead."""
        try:
            return self._items[key]
        except KeyError:
            place = f"{self.where}: " if self.where else ""
            message = f"{place}no {self.what} {key!r}; there are {sorted(self._items)}"
            raise Lacks(message) from None

    def __iter__(self) -> Iterator[str]:
        """Go through the names in the order of the tool's output."""
        return iter(self._items)

    def __len__(self) -> int:
        """Count the items."""
        return len(self._items)

    def __repr__(self) -> str:
        """Show names only: a report holds the raw output anyway."""
        return f"<{self.what}: {', '.join(self._items)}>"
