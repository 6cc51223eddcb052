"""What parsers share: reading text and JSON that may be cut off, coloured or garbage, and raising nothing but Unreadable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_address, ip_interface, ip_network
from itertools import pairwise
from typing import Any, Literal

from netchecks.errors import Unreadable
from netchecks.models.subjects import Address, AddressOnLink, Prefix

Family = Literal[4, 6]

#: Characters that a parser looks at: more than any command's own limit, so that bad input costs bounded time.
LIMIT = 16 * 1024 * 1024
#: A line that a person or a tool writes; a longer one is not what it should be.
LINE = 64 * 1024

_COLOUR = re.compile(r"\x1b\[[0-9;]*[mK]")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2})+")
_NUMBER = re.compile(r"-?[0-9]{1,20}")


def clean(text: str) -> str:
    """Take colour codes away (they carry no meaning of their own). Raises Unreadable over LIMIT."""
    if len(text) > LIMIT:
        raise Unreadable(f"at most {LIMIT} characters", f"{len(text)} characters: {text[:60]}")
    return _COLOUR.sub("", text) if "\x1b" in text else text


def lines(text: str) -> list[str]:
    r"""Give the lines that are not blank, without line ends; only ``\n`` ends one. Raises Unreadable on endless ones."""
    found = [line.rstrip("\r") for line in clean(text).split("\n") if line and not line.isspace()]
    for line in found:
        if len(line) > LINE:
            raise Unreadable(f"lines of at most {LINE} characters", line)
    return found


def sections(text: str, names: Sequence[str]) -> dict[str, str]:
    """Split what a script printed at its lines ``@name``; all names have to be there, once and in their order."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in clean(text).split("\n"):
        if line.startswith("@") and line[1:] in names and line[1:] not in found:
            current = found.setdefault(line[1:], [])
        elif current is not None:
            current.append(line)
        elif line.strip():
            raise Unreadable(f"@{names[0]}", line)
    if list(found) != list(names):
        raise Unreadable(f"sections {list(names)}", f"{list(found)}")
    return {name: "\n".join(part) for name, part in found.items()}


def blocks(text: str, mark: str) -> list[tuple[str, list[str]]]:
    """Split at the lines that begin with ``mark``: (the rest of that line, the lines that follow)."""
    found: list[tuple[str, list[str]]] = []
    for line in lines(text):
        if line.startswith(mark):
            found.append((line[len(mark):], []))
        elif found:
            found[-1][1].append(line)
        else:
            raise Unreadable(f"a line that begins with {mark!r}", line)
    return found


def looks_like_json(text: str) -> bool:
    """Tell JSON from the text form: early iproute2 takes ``-j`` and prints text all the same."""
    return _COLOUR.sub("", text[:LINE]).lstrip()[:1] in {"[", "{"}


def documents(text: str) -> list[Any]:
    """Read JSON documents that stand one after the other; of a key that is there twice the first counts."""
    text = clean(text)
    decoder = json.JSONDecoder(object_pairs_hook=_first_wins, parse_constant=_no_constant)
    found, position = [], _skip(text, 0)
    while position < len(text):
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise Unreadable("JSON", text[position:position + 100]) from error
        found.append(value)
        position = _skip(text, position)
    return found


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs)) if len({key for key, _ in pairs}) != len(pairs) else dict(pairs)


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def objects(text: str) -> list[dict[str, Any]]:
    """Read a JSON array of objects. Empty objects, which iproute2 4.x prints for what it filtered, are left out."""
    return [item for document in documents(text) for item in map(mapping, sequence(document)) if item]


def mapping(value: Any) -> dict[str, Any]:
    """Take a JSON object. None and a missing one are empty."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unreadable("a JSON object", repr(value)[:100])
    return value


def sequence(value: Any) -> list[Any]:
    """Take a JSON array. None and a missing one are empty."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise Unreadable("a JSON array", repr(value)[:100])
    return value


def string(item: Mapping[str, Any], key: str, default: str = "") -> str:
    """Take a string or a number as a string: tools change between the two. Null is as good as not there."""
    value = item.get(key)
    if value is None:
        return default
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise Unreadable(f"a string for {key}", repr(value)[:100])


def needed(item: Mapping[str, Any], key: str) -> str:
    """Take a string that has to be there."""
    if not (value := string(item, key)):
        raise Unreadable(f"an object with {key!r}", repr(item)[:100])
    return value


def integer(item: Mapping[str, Any], key: str) -> int | None:
    """Take a whole number, or None where there is none."""
    value = item.get(key)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise Unreadable(f"a number for {key}", repr(value)[:100])


def switch(value: Any) -> bool | None:
    """Take what tools print for on and off: booleans, 0 and 1, words. None where it is not told."""
    known: dict[Any, bool] = {True: True, False: False, "on": True, "off": False, "1": True, "0": False}
    if value is None or value == "":
        return None
    if isinstance(value, (int, str)) and value in known:
        return known[value]
    raise Unreadable("on or off", repr(value)[:100])


def words(value: Any) -> frozenset[str]:
    """Take a JSON array of strings as a set."""
    found = sequence(value)
    if not all(isinstance(word, str) for word in found):
        raise Unreadable("an array of strings", repr(value)[:100])
    return frozenset(found)


def number(text: str) -> int:
    """Read a whole number in decimal."""
    if not _NUMBER.fullmatch(text):
        raise Unreadable("a number", text)
    return int(text)


def optional_number(text: str) -> int | None:
    """Read a whole number in decimal; an empty text is None."""
    return number(text) if text else None


def decimal(text: str) -> float:
    """Read a number such as ``0.53``."""
    if len(text) > 40 or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):  # noqa: PLR2004 - no clock or load is longer
        raise Unreadable("a decimal number", text)
    return float(text)


def mac_or_none(text: str) -> str | None:
    """Give a hardware address in lower case; None for what is none (tunnels have IP addresses there)."""
    text = text.strip().lower()
    return text if _MAC.fullmatch(text) else None


def address(text: str) -> Address:
    """Read an IPv4 or IPv6 address."""
    try:
        return ip_address(text)
    except ValueError as error:
        raise Unreadable("an IP address", text) from error


def on_link(text: str) -> AddressOnLink:
    """Read an address with its prefix length."""
    try:
        found: IPv4Interface | IPv6Interface = ip_interface(text)
    except ValueError as error:
        raise Unreadable("an IP address with its prefix length", text) from error
    return found


def prefix(text: str, family: Family) -> Prefix:
    """Read a prefix of that family; ``default`` and ``all`` are the one of length 0. Host bits are taken away."""
    if text in {"default", "all", "any"}:
        text = "0.0.0.0/0" if family == 4 else "::/0"  # noqa: PLR2004 - IPv4
    try:
        found: IPv4Network | IPv6Network = ip_network(text, strict=False)
    except ValueError as error:
        raise Unreadable("an IP prefix", text) from error
    if found.version != family:
        raise Unreadable(f"an IPv{family} prefix", text)
    return found


def split_outside(text: str) -> list[str]:
    """Split at the commas that stand in no brackets and no quotes; what is blank is left out."""
    found, start, depth, quoted = [], 0, 0, False
    for at, sign in enumerate(text):
        if sign == '"':
            quoted = not quoted
        elif not quoted and sign in "([{":
            depth += 1
        elif not quoted and sign in ")]}":
            depth -= 1
        elif sign == "," and not quoted and depth <= 0:
            found.append(text[start:at])
            start = at + 1
    return [word for word in (*found, text[start:]) if word.strip()]


def after(tokens: Sequence[str], key: str) -> str:
    """Give the word that follows the first ``key``; empty where there is none."""
    return next((following for word, following in pairwise(tokens) if word == key), "")


@dataclass(frozen=True, slots=True)
class Stanza:
    """One device in the text that ``ip link`` and ``ip address`` print: its first line and the indented ones."""

    index: int
    name: str
    below: str
    flags: frozenset[str]
    head: list[str]
    body: list[list[str]]

    def line(self, start: str) -> list[str]:
        """Give the first indented line that begins with that word; empty where there is none."""
        return next(self.lines(start), [])

    def lines(self, start: str) -> Iterator[list[str]]:
        """Give the indented lines that begin with that word."""
        return (line for line in self.body if line[0] == start)


_HEAD = re.compile(r"([0-9]{1,10}): (\S+): <([A-Z0-9_,-]*)>(?: (.*))?")


def stanzas(text: str) -> list[Stanza]:
    """Read the text form of ``ip link`` and ``ip address``, of any age, with or without the indented lines."""
    found: list[Stanza] = []
    for line in lines(text):
        if line[0].isspace() and found:
            found[-1].body.append(line.split())
        else:
            found.append(_stanza(line))
    return found


def _stanza(line: str) -> Stanza:
    if not (match := _HEAD.fullmatch(line)):
        raise Unreadable("'1: lo: <LOOPBACK,UP> mtu ...'", line)
    name, _, below = match[2].partition("@")
    flags = frozenset(filter(None, match[3].split(",")))
    head = (match[4] or "").split()
    if "mtu" not in head:
        raise Unreadable("a device with its mtu", line)
    return Stanza(int(match[1]), name, below, flags, head, [])
