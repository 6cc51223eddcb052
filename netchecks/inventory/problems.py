"""The mistakes found so far, each at its place, told once."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from netchecks.errors import InventoryError, Problem
from netchecks.inventory.tree import Mapping, Place, Scalar, Sequence

#: Above this many words a near miss is not searched for: difflib would take seconds.
_MOST_WORDS = 20_000
#: So many near misses are searched for in one load; a file that is all wrong would take minutes.
_MOST_HINTS = 200
#: Longer than this, what was found is cut in messages.
_LONGEST_FOUND = 60


class Problems:
    """Gathers mistakes; one line that serves many objects (a range, a default, an alias) is told once."""

    __slots__ = ("_closed", "_found", "_hints")

    def __init__(self) -> None:
        """Start without any."""
        self._found: dict[tuple[Place, str], list[str | int]] = {}
        self._closed: set[Place] = set()
        self._hints = 0

    def add(self, place: Place, message: str, kind: str = "", *, last: bool = False) -> None:
        """Note a mistake. Those of one ``kind`` at one place are one: the first message stands, the rest are counted.

        ``last``: whatever else is found wrong with what stands there follows from this.
        """
        if place in self._closed and not last:
            return
        if last:
            self._closed.add(place)
        known = self._found.setdefault((place, kind or message), [message, 0])
        known[1] = int(known[1]) + 1

    def near(self, word: str, candidates: Collection[str]) -> str:
        """Give ``; did you mean 'node1'?`` where a candidate is near, else nothing."""
        self._hints += 1
        if self._hints > _MOST_HINTS or len(candidates) > _MOST_WORDS:
            return ""
        return did_you_mean(word, candidates)

    def __len__(self) -> int:
        """Count the places with a mistake."""
        return len(self._found)

    def raise_if_any(self, files: Iterable[str] = ()) -> None:
        """Raise InventoryError with all of them, in the order of the files and of the lines."""
        if not self._found:
            return
        order = {file: index for index, file in enumerate(files)}
        places = sorted(self._found.items(), key=lambda item: (order.get(item[0][0].file, -1), item[0][0][1:]))
        raise InventoryError(tuple(Problem(*place, _told(*said)) for (place, _), said in places))


def _told(message: str | int, count: str | int) -> str:
    """Give the message, with how often it applies where one line serves several objects."""
    return f"{message} (and {int(count) - 1} more from the same line)" if int(count) > 1 else str(message)


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """Give the near miss as the end of a message.

    >>> did_you_mean("nod1", ["node1", "bastion"])
    "; did you mean 'node1'?"
    >>> did_you_mean("x", ["node1"])
    ''
    """
    close = difflib.get_close_matches(word[:200], candidates, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def shown(found: object) -> str:
    """Say what was found: a value in quotes and never longer than a line, else what kind of thing it is.

    >>> shown("x" * 100)[-5:], shown(["a"]), shown(None)
    ("xxx…'", 'a list', 'nothing')
    """
    if isinstance(found, Scalar):
        found = None if found.is_null else found.text
    if isinstance(found, str):
        return repr(found if len(found) <= _LONGEST_FOUND else found[:_LONGEST_FOUND] + "…")
    if isinstance(found, (list, Sequence)):
        return "a list"
    return "a mapping" if isinstance(found, (dict, Mapping)) else "nothing"


def listed(words: Iterable[str], most: int = 12) -> str:
    """Give the words with commas; of many only the first ones and how many there are.

    >>> listed(["a", "b", "c"], most=2)
    'a, b, … (3 in all)'
    """
    everything = list(words)
    text = ", ".join(everything[:most])
    return text if len(everything) <= most else f"{text}, … ({len(everything)} in all)"
