"""What an instance says of its network while it starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refused:
    """An instance's words for having got no lease. ``mac``: of which of its NICs; empty where it does not say."""

    said: str
    mac: str = ""


@dataclass(frozen=True, slots=True)
class Console:
    """What the last start of an instance tells. ``path``: the log.

    ``leased``: the addresses that it got; of each NIC that it names, the last. ``refused``: the last word on each NIC that got none.
    Both are empty where it does not say. ``metadata``: its words for the metadata service being reached; ``unreachable``: for not.
    Of these two the last counts: the other is empty.
    """

    path: str
    leased: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()
    metadata: str = ""
    unreachable: str = ""
