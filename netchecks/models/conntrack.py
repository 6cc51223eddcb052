"""Connections that are tracked, as far as their addresses are translated."""

from __future__ import annotations

from dataclasses import dataclass

from netchecks.models.subjects import Address


@dataclass(frozen=True, slots=True)
class TranslatedConnection:
    """One whose destination was translated: ``source`` asked ``target``, and ``owner`` is who answers in its place.

    ``port``: the target's, None of ICMP. ``state``: of TCP, else empty. ``left``: seconds until it is forgotten.
    """

    protocol: str
    source: Address
    target: Address
    owner: Address
    port: int | None = None
    state: str = ""
    left: int = 0
