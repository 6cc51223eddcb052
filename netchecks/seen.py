"""What was seen: facts by subject, where reading one notes that it was read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from netchecks.errors import Lacks, NotSeen, Why

S = TypeVar("S")
V = TypeVar("V")

#: (fact, subject) of everything that the running check has read: its evidence. Emptied before each check.
readings: list[tuple[str, str]] = []

#: What the running check notes without failing: (code, message). Emptied before each check.
notes: list[tuple[str, str]] = []


def note(code: str, message: str) -> None:
    """Say something worth knowing that is no failure; it becomes a diagnosis of its own at the end of the list."""
    notes.append((code, message))


def forget() -> None:
    """Start a new check: nothing was read or noted."""
    readings.clear()
    notes.clear()


@dataclass(frozen=True, slots=True)
class Pair(Generic[V]):
    """A counter read twice, before and after the probes. Seconds between the two."""

    before: V
    after: V
    seconds: float


class By(Mapping[S, V], Generic[S, V]):
    """A fact of every place or subject that it was looked at for.

    ``fact[subject]`` gives the value, raises NotSeen where it could not be looked at, and notes the reading.
    """

    __slots__ = ("_keys", "_look", "_seen", "fact")

    def __init__(self, fact: str, keys: Mapping[str, S], look: Callable[[str], V]) -> None:
        """Take the fact's name, its subjects by name, and a function that gives the value or raises NotSeen."""
        self.fact = fact
        self._keys = keys
        self._look = look
        self._seen: dict[S, V] | None = None

    def __getitem__(self, subject: S) -> V:
        """Give the value. Raises NotSeen with the reason where there is none."""
        name = str(subject)
        readings.append((self.fact, name))
        if name not in self._keys:
            raise NotSeen(Why.NOT_PLANNED, f"{self.fact} of {name}")
        return self._look(name)

    def seen(self) -> dict[S, V]:
        """Give those that could be looked at; note a reading of each. Never use it to prove an absence."""
        if self._seen is None:
            self._seen = self._visible()
        readings.extend((self.fact, str(subject)) for subject in self._seen)
        return dict(self._seen)

    def _visible(self) -> dict[S, V]:
        found: dict[S, V] = {}
        for name, subject in self._keys.items():
            try:
                found[subject] = self._look(name)
            except NotSeen:
                continue
        return found

    def __contains__(self, subject: object) -> bool:
        """Tell whether it was planned, not whether it was seen."""
        return str(subject) in self._keys

    def __iter__(self) -> Iterator[S]:
        """Go through the subjects in the order of the inventory."""
        return iter(self._keys.values())

    def __len__(self) -> int:
        """Count the subjects."""
        return len(self._keys)


__all__ = ["By", "Lacks", "Pair", "forget", "note", "notes", "readings"]
