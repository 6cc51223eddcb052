"""What is said while nodes are looked at: one line that is refreshed on a terminal, a few lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

#: Names that are listed.
_LISTED = 6
#: Seconds after which a node that is being looked at is named as one that is waited for.
_SLOW = 3.0
#: Places that cannot be looked at and get a line of their own; the diagnosis has all.
_TOLD = 10


@dataclass(frozen=True, slots=True)
class Screen:
    """Where progress goes. ``line`` writes a line; ``rewrite`` replaces the line that it wrote last, where that is possible."""

    line: Callable[[str], None]
    rewrite: Callable[[str], None] | None = None
    width: int = 80


def silent() -> Screen:
    """Give a screen that nobody looks at."""
    return Screen(lambda _line: None)


@dataclass(slots=True)
class Progress:
    """Hears of each place: ``looking``, ``probing``, ``seen``, or the reason why it cannot be looked at; then ``measuring``, ``measured``.

    ``every``: seconds between two words about who is waited for. Times are of ``time.monotonic``.
    """

    places: Collection[str]
    screen: Screen
    every: float = 0.0
    clock: Callable[[], float] = time.monotonic
    begun: dict[str, float] = field(default_factory=dict)
    done: int = 0
    bad: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None
    _said: float = 0.0

    def __post_init__(self) -> None:
        """Begin, and go on saying who is waited for until the end."""
        self._said = self.clock()
        count = len(self.places)
        self.screen.line(f"looking at {count} place{'' if count == 1 else 's'}: {_listed(list(self.places))}")
        self.every = self.every or (0.5 if self.screen.rewrite else 10.0)
        self._thread = threading.Thread(target=self._tick, name="netchecks-progress", daemon=True)
        self._thread.start()

    def _tick(self) -> None:
        while not self._stop.wait(self.every):
            with self._lock:
                self.refresh()

    def tell(self, place: str, state: str) -> None:
        """Hear of one place."""
        with self._lock:
            if state in {"looking", "probing", "measuring"}:
                self.begun.setdefault(place, self.clock())
                return
            self.begun.pop(place, None)
            if state == "measured":
                return  # it was counted when it was seen
            self.done += 1
            if state != "seen":
                self.bad += 1
                self._complain(state if state.startswith(place) else f"{place}: {state}")
            if self.screen.rewrite and self.clock() - self._said > 0.1:  # noqa: PLR2004 - eyes are not quicker
                self.refresh()

    def _complain(self, text: str) -> None:
        self._clear()
        if self.bad <= _TOLD:
            self.screen.line(f"  {text[:500]}")
        elif self.bad == _TOLD + 1:
            self.screen.line("  and more that cannot be looked at")

    def refresh(self) -> None:
        """Say how far it is and who is waited for."""
        now = self.clock()
        slow = sorted((since, place) for place, since in self.begun.items() if now - since >= _SLOW)
        names = [f"{place} ({now - since:.0f} s)" for since, place in slow]
        line = f"looked at {self.done} of {len(self.places)}"
        line += f", {self.bad} cannot be" if self.bad else ""
        line += f", waiting for {_listed(names)}" if names else ""
        self._said = now
        if self.screen.rewrite:
            room = self.screen.width - 1
            self.screen.rewrite((line if len(line) <= room else line[: room - 3] + "...").ljust(room))
        elif names:
            self.screen.line(f"  {line}")

    def _clear(self) -> None:
        if self.screen.rewrite:
            self.screen.rewrite(" " * (self.screen.width - 1))
            self.screen.rewrite("")

    def end(self, seconds: float) -> None:
        """Sum up; nothing is said after that."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)
        self._clear()
        bad = f", {self.bad} could not be looked at" if self.bad else ""
        self.screen.line(f"looked at {self.done} of {len(self.places)} in {seconds:.1f} s{bad}")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
