"""Connection tracking's own counters: ``conntrack -S``."""

from __future__ import annotations

import re
from dataclasses import fields

from netchecks.errors import Unreadable
from netchecks.models.counters import ConntrackStats
from netchecks.observe import command, observation
from netchecks.parsing import lines, number

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
