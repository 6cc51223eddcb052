"""What the readers of boot configuration share: a file, INI sections, and values that may be written in several ways."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network

from netchecks.models.boot import BootInterface, BootRoute
from netchecks.models.subjects import Address, AddressOnLink, Prefix


@dataclass(frozen=True, slots=True)
class File:
    """A file as the script let it pass: comments and what may be secret are gone. ``mode`` and ``user`` as stat tells them."""

    system: str
    path: str
    mode: str
    user: str
    lines: tuple[str, ...]

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.rpartition("/")[2]


@dataclass(slots=True)
class Found:
    """What was read of one system's files, and what of them could not be."""

    interfaces: list[BootInterface] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def sections(file: File) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Give the sections of an INI file in their order, with their keys and values; a section may be there several times."""
    name, pairs = "", list[tuple[str, str]]()
    for line in file.lines:
        if line.startswith("["):
            if name:
                yield name, pairs
            name, pairs = line.strip()[1:].partition("]")[0], []
        elif "=" in line:
            key, _, value = line.partition("=")
            pairs.append((key.strip(), value.strip()))
    if name:
        yield name, pairs


def on_link(text: str, length: str = "") -> AddressOnLink | None:
    """Read an address with its prefix length, or with a netmask apart; None where it is none."""
    text = text.partition("%")[0]
    try:
        found: IPv4Interface | IPv6Interface = ip_interface(f"{text}/{length}" if length and "/" not in text else text)
    except ValueError:
        return None
    return found


def prefix(text: str, length: str = "") -> Prefix | None:
    """Read a subnet; ``default`` is left to those who know the family."""
    try:
        return ip_network(f"{text}/{length}" if length and "/" not in text else text, strict=False)
    except ValueError:
        return None


def address(text: str) -> Address | None:
    """Read an address; None where it is none."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def default_by(gateway: str, dev: str = "") -> Iterator[BootRoute]:
    """Give the default route by a gateway, in its family; nothing where it is none."""
    via = address(gateway)
    if via is not None:
        yield BootRoute(everything(via.version), via, dev)


def everything(family: int) -> Prefix:
    """Give the prefix of the default route."""
    return ip_network("0.0.0.0/0" if family == 4 else "::/0")  # noqa: PLR2004 - IPv4


def number(text: str) -> int | None:
    """Read a number as people write an MTU or a VLAN; None where it is none."""
    text = text.strip()
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def macs(texts: Iterable[str]) -> frozenset[str]:
    """Give hardware addresses as the kernel writes them."""
    found = (text.strip().lower().replace("-", ":") for text in texts)
    return frozenset(text for text in found if re.fullmatch(r"([0-9a-f]{2}:){5,19}[0-9a-f]{2}", text))


def ip_route(words: list[str], dev: str = "") -> BootRoute | None:
    """Read the arguments of ``ip route add``: a destination, ``via`` and ``dev`` in any order. None where it is no route."""
    skip = {"unicast", "to"}
    words = [word for word in words if word not in skip]
    if not words:
        return None
    told = dict(zip(words[1::2], words[2::2], strict=False))
    via = address(told.get("via", "").removeprefix("inet6 ")) if "via" in told else None
    family = 6 if via is not None and via.version == 6 else 4  # noqa: PLR2004 - IPv6
    to = everything(family) if words[0] in {"default", "0/0"} else prefix(words[0])
    return None if to is None else BootRoute(to, via, told.get("dev", dev))
