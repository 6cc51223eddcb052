"""What an instance says of its network while it starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Console:
    """What the last start of an instance tells. ``path``: the log.

    ``leased``: the address that it got; empty where it does not say. ``refused``: its words for having got none.
    ``metadata``: its words for the metadata service being reached; ``unreachable``: for not. Of both of a pair the last counts:
    the other is empty.
    """

    path: str
    leased: str = ""
    refused: str = ""
    metadata: str = ""
    unreachable: str = ""
