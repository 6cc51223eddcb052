"""Declaring a cause that several facts together show: it makes a failure of one check more precise."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from netchecks.world import KINDS


@dataclass(frozen=True, slots=True)
class CauseRule:
    """``tell`` gets the failed check's subjects and the facts it names; it raises Wrong with the better cause, Harmless, Blind, or not."""

    name: str
    check: str
    tell: Callable[..., None]
    needs: tuple[str, ...]
    subjects: tuple[str, ...]
    peers: bool
    kinds: tuple[str, ...] = ()


#: The rules by the check that they refine; filled by importing netchecks.causes.
CAUSES: dict[str, list[CauseRule]] = {}


def cause(*checks: str, peers: bool = False, kinds: tuple[str, ...] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare the decorated function as a better explanation of a failure of these checks.

    ``peers``: its facts are looked at on the other nodes of the network too, where those are few; of flows, those that the hops on the
    way are about. ``kinds``: the kinds of network that it has something to say of, where that is not all.
    """

    def declare(tell: Callable[..., None]) -> Callable[..., None]:
        names = tuple(inspect.signature(tell).parameters)
        subjects = tuple(name for name in names if name in KINDS)
        needs = tuple(name for name in names if name not in KINDS)
        for check in checks:
            CAUSES.setdefault(check, []).append(CauseRule(tell.__name__, check, tell, needs, subjects, peers, kinds))
        return tell

    return declare
