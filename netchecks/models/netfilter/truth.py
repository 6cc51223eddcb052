"""Three-valued logic: what cannot be evaluated stays a doubt and is never guessed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Doubt:
    """Neither true nor false: ``reason`` says what could not be evaluated, ``where`` in which rule.

    ``partial``: it is decided anew for each packet or connection (statistic, numgen), so a part passes.
    """

    reason: str
    partial: bool = False
    where: str = ""

    def __str__(self) -> str:
        """Give the reason with its place."""
        return f"{self.reason} in {self.where}" if self.where else self.reason


Truth: TypeAlias = bool | Doubt


def negated(truth: Truth, *, flip: bool = True) -> Truth:
    """Turn true into false and the other way round; a doubt stays one."""
    return truth if isinstance(truth, Doubt) or not flip else not truth


def every(truths: Iterable[Truth]) -> Truth:
    """All hold: one that is false decides, whatever the doubts.

    >>> every([Doubt("mark"), False])
    False
    """
    doubt: Doubt | None = None
    for truth in truths:
        if truth is False:
            return False
        if isinstance(truth, Doubt):
            doubt = truth if doubt is None or truth.partial else doubt
    return True if doubt is None else doubt


def some(truths: Iterable[Truth]) -> Truth:
    """At least one holds: one that is true decides, whatever the doubts.

    >>> some([Doubt("mark"), True])
    True
    """
    doubt: Doubt | None = None
    for truth in truths:
        if truth is True:
            return True
        if isinstance(truth, Doubt):
            doubt = doubt or truth
    return False if doubt is None else doubt
