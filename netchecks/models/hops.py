"""The way of a flow."""

from __future__ import annotations

from dataclasses import dataclass

#: The order in which states of one hop are asked for: inner after outer (DESIGN section 5).
LAYERS = ("exists", "up", "member", "forwards", "neighbour", "address", "route", "policy", "size", "service", "passes")

#: The last of them: no state, but a packet that was followed there.
FOLLOWED = LAYERS[-1]


@dataclass(frozen=True, slots=True)
class Hop:
    """One thing the packet passes: ``name`` says what (``uplink``, ``tap`` ...), ``place`` where.

    ``about``: (kind, name) of every subject that it stands for; a check's subjects all in it make it a state of this hop.
    """

    name: str
    place: str
    about: frozenset[tuple[str, str]]
