"""``ifconfig`` and ``route``: old systems, and small ones without ``ip``.

Source: net-tools 2.10 and 1.60 (ifconfig.c, lib/interface.c, lib/inet_gr.c), busybox 1.35 (networking/interface.c, route.c).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from netchecks.errors import Unreadable
from netchecks.models.links import Link
from netchecks.models.routes import InterfaceAddress, Route
from netchecks.models.subjects import Prefix
from netchecks.models.table import Table
from netchecks.parsing import address, after, lines, mac_or_none, number, on_link, prefix, sections

#: ``eth0: flags=4163<UP,BROADCAST>  mtu 1500`` of net-tools 2.
_NEW = re.compile(r"(\S+): flags=[0-9]+<([A-Z0-9_,-]*)>  ?mtu ([0-9]{1,10})\s*")
#: ``eth0      Link encap:Ethernet  HWaddr 52:54:00:00:00:01`` of net-tools 1.60 and busybox.
_OLD = re.compile(r"(\S+)\s+Link encap:.*")
_SCOPES = {"0x0": "global", "0x10": "host", "0x20": "link", "0x40": "site"}

_Block = tuple[str, list[str]]


def _blocks(text: str) -> list[_Block]:
    """Give (name, its lines without what stands before them) of each interface; an alias is one of its own."""
    found: list[_Block] = []
    for line in lines(text):
        match = _NEW.fullmatch(line) or _OLD.fullmatch(line)
        if match and not line[0].isspace():
            found.append((match[1], [line]))
        elif found and line[0].isspace():
            found[-1][1].append(line.strip())
        else:
            raise Unreadable("'eth0: flags=4163<UP> mtu 1500' or 'eth0  Link encap:Ethernet'", line)
    return found


def ifconfig_links(text: str) -> Table[Link]:
    """Read ``ifconfig -a``. RUNNING stands for the carrier (IFF_RUNNING); indices are not told and count from 1."""
    own = [(name, body) for name, body in _blocks(text) if ":" not in name]
    return Table("interface", {name: _link(name, body, index) for index, (name, body) in enumerate(own, 1)})


def _link(name: str, body: Sequence[str], index: int) -> Link:
    flags, mtu = _flags(body)
    if "RUNNING" in flags:
        flags |= {"LOWER_UP"}
    tokens = [token for line in body for token in line.split()]
    return Link(name, index, mac_or_none(after(tokens, "HWaddr") or after(tokens, "ether")), mtu, flags)


def _flags(body: Sequence[str]) -> tuple[frozenset[str], int]:
    if match := _NEW.fullmatch(body[0]):
        return frozenset(filter(None, match[2].split(","))), number(match[3])
    line = next((line for line in body if " MTU:" in f" {line}"), "")
    words = line.split()
    mtu = next((word.removeprefix("MTU:") for word in words if word.startswith("MTU:")), "")
    if not mtu:
        raise Unreadable("an interface with its MTU", body[0])
    return frozenset(word for word in words if word.isupper() and ":" not in word), number(mtu)


def ifconfig_addresses(text: str) -> Table[tuple[InterfaceAddress, ...]]:
    """Read ``ifconfig -a``: the addresses of each interface, those of its aliases with their label."""
    found: dict[str, tuple[InterfaceAddress, ...]] = {}
    for name, body in _blocks(text):
        device = name.partition(":")[0]
        found[device] = found.get(device, ()) + tuple(_addresses(name, body))
    return Table("interface", found)


def _addresses(name: str, body: Sequence[str]) -> Iterator[InterfaceAddress]:
    for line in body:
        words = line.split()
        if line.startswith("inet addr:"):  # addr:10.0.0.1  Bcast:10.0.0.255  Mask:255.255.255.0, P-t-P:10.0.0.2
            told = dict(word.split(":", 1) for word in words if ":" in word)
            yield _of(told.get("addr", ""), told.get("Mask", ""), label=name, far=told.get("P-t-P", ""))
        elif line.startswith("inet6 addr:"):
            yield _of(after(words, "addr:"), "", scope=words[-1].removeprefix("Scope:").lower())
        elif words[0] == "inet":
            yield _of(after(words, "inet"), after(words, "netmask"), label=name, far=after(words, "destination"))
        elif words[0] == "inet6":
            scope = _SCOPES.get(after(words, "scopeid").partition("<")[0], "")
            yield _of(after(words, "inet6"), after(words, "prefixlen"), scope=scope)


def _of(shown: str, mask: str, *, scope: str = "", label: str = "", far: str = "") -> InterfaceAddress:
    whole = f"{shown}/{mask}" if mask and "/" not in shown else shown
    return InterfaceAddress(on_link(whole), scope, frozenset(), label, address(far) if far else None)


def route_tables(text: str) -> tuple[Route, ...]:
    """Read ``@4``, ``route -n``, ``@6``, ``route -n -A inet6``; the second may be empty where there is no IPv6."""
    parts = sections(text, ("4", "6"))
    six = [row for row in _rows(parts["6"]) if "-1" not in row]  # with that metric the kernel says that nothing else is there
    return (*map(_route4, _rows(parts["4"])), *map(_route6, six))


def _rows(text: str) -> list[list[str]]:
    """Give the words of each row below the heads ``Kernel IP routing table`` and ``Destination ...``."""
    rows = [line.split() for line in lines(text)]
    heads = [number for number, row in enumerate(rows) if row[0] == "Destination"]
    if rows and not heads:
        raise Unreadable("'Destination  Gateway ...'", " ".join(rows[0]))
    return rows[heads[0] + 1:] if heads else []


def _route4(row: Sequence[str]) -> Route:
    if len(row) != 8:  # noqa: PLR2004 - Destination Gateway Genmask Flags Metric Ref Use Iface
        raise Unreadable("'10.0.0.0 0.0.0.0 255.255.255.0 U 0 0 0 eth0'", " ".join(row))
    target, gateway, mask, flags, metric, _, _, device = row
    return _route(prefix(f"{target}/{mask}", 4), gateway, flags, metric, device)


def _route6(row: Sequence[str]) -> Route:
    if len(row) not in {6, 7}:  # an endless destination runs into the next column, and so is Unreadable
        raise Unreadable("'fd20::/64 :: U 256 1 0 eth0'", " ".join(row))
    target, gateway, flags, metric = row[:4]
    return _route(prefix(target, 6), gateway, flags, metric, row[-1])


def _route(target: Prefix, gateway: str, flags: str, metric: str, device: str) -> Route:
    """``!``: a route that rejects. A device ``*`` is none: the kernel drops there. ``n``: in the local table, if to itself."""
    ends = "!" in flags or device == "*"
    multicast, local = target.is_multicast, "n" in flags and not ends
    kind = "unreachable" if "!" in flags else "blackhole" if ends else "multicast" if multicast else "local" if local else "unicast"
    via = None if gateway in {"-", "*"} else address(gateway)
    return Route(
        target, kind, "local" if kind in {"local", "multicast"} else "main",
        metric=number(metric), device="" if ends else device,
        gateway=None if via is None or via.is_unspecified or ends else via,
    )
