"""Connection tracking's own counters: ``conntrack -S``."""

from __future__ import annotations

from dataclasses import fields

from netchecks.errors import Unreadable
from netchecks.models.counters import ConntrackStats
from netchecks.observe import observation
from netchecks.parsing import lines, number

_KNOWN = frozenset(field.name for field in fields(ConntrackStats)) - {"cpus"}


@observation("conntrack -S", root=True, counter=True, modules=("nf_conntrack", "nf_conntrack_netlink"))
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
