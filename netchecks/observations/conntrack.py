"""Connection tracking: its own counters, and the connections whose destination is translated."""

from __future__ import annotations

import re
from dataclasses import fields

from netchecks.errors import Unreadable
from netchecks.models.conntrack import TranslatedConnection
from netchecks.models.counters import ConntrackStats
from netchecks.observe import command, observation
from netchecks.parsing import address, lines, number

_KNOWN = frozenset(field.name for field in fields(ConntrackStats)) - {"cpus"}


#: The kernel's words in /proc/net/stat/nf_conntrack for those that conntrack(8) calls otherwise.
_RENAMED = {"clashres": "clash_resolve", "icmp_error": "error"}


def _proc(text: str) -> ConntrackStats:
    """Read /proc/net/stat/nf_conntrack: a line of names, then hexadecimal numbers, a line for each CPU.

    Source: the kernel's net/netfilter/nf_conntrack_standalone.c, ct_cpu_seq_show.
    """
    head, *rows = [line.split() for line in lines(text)] or [[]]
    names = [_RENAMED.get(name, name) for name in head]
    if not {"found", "drop"} <= set(names) or not rows:
        raise Unreadable("'entries found ... drop ...' and a line for each CPU", text[:100])
    sums = dict.fromkeys(_KNOWN & set(names), 0)
    for row in rows:
        if len(row) != len(names) or not all(re.fullmatch(r"[0-9a-f]{8,16}", cell) for cell in row):
            raise Unreadable(f"{len(names)} hexadecimal numbers", " ".join(row))
        for name in sums:
            sums[name] += int(row[names.index(name)], 16)
    return ConntrackStats(len(rows), **sums)


@observation("conntrack -S", root=True, counter=True, modules=("nf_conntrack", "nf_conntrack_netlink"),
             or_else=((command("cat /proc/net/stat/nf_conntrack"), _proc),))
def conntrack_stats(text: str) -> ConntrackStats:
    """What connection tracking could not do, summed over the CPUs: entries since boot. No CPUs: it is not loaded.

    Source: conntrack(8) -S; the kernel's struct ip_conntrack_stat. ``insert_failed`` and ``drop`` should not grow.
    """
    sums: dict[str, int] = {}
    rows = lines(text)
    for row in rows:
        told = dict(_pair(word) for word in row.split())
        if not {"cpu", "found"} <= told.keys():
            raise Unreadable("'cpu=0 found=0 invalid=0 ...'", row)
        for name in _KNOWN & told.keys():
            sums[name] = sums.get(name, 0) + told[name]
    return ConntrackStats(len(rows), **sums)


def _pair(word: str) -> tuple[str, int]:
    name, equals, value = word.partition("=")
    if not equals:
        raise Unreadable("'name=number'", word)
    return name, number(value)


# -- translated connections --------------------------------------------------------------------------------------------

_LINE = re.compile(r"(?:ipv[46] +\d+ +)?([a-z0-9]+) +\d+ +(?:(\d+) )?(?:([A-Z_0-9]+) )?(src=.*)")


def _connections(text: str) -> tuple[TranslatedConnection, ...]:
    return tuple(found for line in lines(text) if (found := _translated(line)) is not None)


@observation(
    "conntrack -L -g", root=True, modules=("nf_conntrack", "nf_conntrack_netlink"), late=True, limit=16 * 1024 * 1024,
    or_else=((command("cat /proc/net/nf_conntrack"), _connections),),
)
def translated_connections(text: str) -> tuple[TranslatedConnection, ...]:
    """The tracked connections whose destination is translated; empty where nothing is tracked.

    Source: conntrack(8), -L --dst-nat; the kernel's /proc/net/nf_conntrack (all connections: those that are translated count).
    """
    return _connections(text)


def _translated(line: str) -> TranslatedConnection | None:
    match = _LINE.fullmatch(line.strip())
    pairs = [(name, value) for name, equals, value in (word.partition("=") for word in (match[4] if match else "").split()) if equals]
    told = {name: [value for key, value in pairs if key == name] for name in ("src", "dst", "dport")}
    if match is None or len(told["src"]) != 2 or len(told["dst"]) != 2:  # noqa: PLR2004 - both directions
        raise Unreadable("'tcp 6 431999 ESTABLISHED src=... dst=... src=... dst=...'", line)
    target, owner = address(told["dst"][0]), address(told["src"][1])
    if target == owner:
        return None
    port = number(told["dport"][0]) if told["dport"] else None
    return TranslatedConnection(match[1], address(told["src"][0]), target, owner, port, match[3] or "", int(match[2] or 0))
