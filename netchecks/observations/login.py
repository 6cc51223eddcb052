"""Who we are at a node."""

from __future__ import annotations

from netchecks.errors import Unreadable
from netchecks.models.subjects import Node
from netchecks.observe import observation


@observation("id -un", of=Node)
def login(text: str) -> str:
    """The user that commands run as. Source: id(1)."""
    return _word(text)


@observation("id -un", of=Node, root=True)
def privileges(text: str) -> str:
    """The user that privileged commands run as. Source: id(1), through sudo where the inventory says so."""
    return _word(text)


def _word(text: str) -> str:
    words = text.split()
    if len(words) != 1:
        raise Unreadable("one user name", text)
    return words[0]
