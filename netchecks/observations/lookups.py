"""What the kernel itself would do with a packet."""

from __future__ import annotations

import json
from itertools import pairwise

from netchecks.errors import Unreadable
from netchecks.models.routes import Lookup
from netchecks.models.subjects import Flow
from netchecks.observe import command, observation
from netchecks.parsing import clean

#: Exit status 2 is the kernel's word that there is no way: an answer too.
_JSON = 'ip -j route get "$1" 2>&1 || [ $? -eq 2 ]'
_TEXT = 'ip route get "$1" 2>&1 || [ $? -eq 2 ]'


def _from_text(text: str) -> Lookup:
    """Read ``10.20.0.142 dev br0 src 10.20.0.11 uid 0`` and ``RTNETLINK answers: Network is unreachable``."""
    words = clean(text).split()
    pairs = dict(pairwise(words))
    if "dev" in pairs:
        kind = words[0] if words[0] in {"blackhole", "unreachable", "prohibit", "local", "broadcast", "multicast"} else "unicast"
        return Lookup(kind, pairs["dev"], pairs.get("via", ""), pairs.get("src", ""))
    return _refused(text)


def _refused(text: str) -> Lookup:
    for said, kind in (("unreachable", "unreachable"), ("Invalid argument", "blackhole"), ("Permission denied", "prohibit")):
        if said in text:
            return Lookup(kind)
    if "No route to host" in text:
        return Lookup("unreachable")
    raise Unreadable("a route, or RTNETLINK's word that there is none", text)


@observation(
    "{flow.target}", of=Flow, shell=_JSON, tool="ip", or_else=((command("{flow.target}", shell=_TEXT, tool="ip"), _from_text),),
)
def route_lookups(text: str) -> Lookup:
    """The way that the flow's sender would take. Source: ip-route(8), get; exit status 2: the kernel refused."""
    start = text.find("[")
    if start < 0:
        return _refused(text)
    try:
        row = json.loads(text[start:])[0]
        return Lookup(str(row.get("type", "unicast")), str(row["dev"]), str(row.get("gateway", "")), str(row.get("prefsrc", "")))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise Unreadable("ip -j route get's one route", text) from error
