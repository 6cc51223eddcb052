"""What the kernel itself would do with a packet."""

from __future__ import annotations

import json
from itertools import pairwise

from netchecks.errors import Unreadable
from netchecks.models.routes import Lookup, VmWay
from netchecks.models.subjects import Flow, Interface
from netchecks.models.table import Table
from netchecks.observe import command, observation
from netchecks.parsing import blocks, clean

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


#: The text form, which every release has. 192.0.2.1 and 2001:db8::1 are nobody's (RFC 5737, RFC 3849): somebody outside.
_VM_ROUTES = r"""
uplink=$1; shift
for a in "$@"; do
  case $a in *:*) f=-6 s=2001:db8::1 ;; *) f=-4 s=192.0.2.1 ;; esac
  own=$(ip $f route get "$a" 2>&1) || [ $? -eq 2 ] || exit 1
  from=$(printf %s "$own" | sed -n 's/.* src \([0-9a-f.:]*\).*/\1/p')
  if [ -n "$from" ]; then own=$(ip $f route get "$a" from "$from" 2>&1) || [ $? -eq 2 ] || exit 1; fi
  printf '@own %s\n%s\n' "$a" "$own"
  if [ -n "$uplink" ] && [ -e "/sys/class/net/$uplink" ]; then
    echo "@forwarded $a"; ip $f route get "$a" from $s iif "$uplink" 2>&1 || [ $? -eq 2 ] || exit 1
  fi
done
"""


@observation("{interface.uplink} {interface.addresses}", of=Interface, shell=_VM_ROUTES, tool="ip")
def vm_routes(text: str) -> Table[VmWay]:
    """What the VM's node does with packets for each of its addresses: its own, and those that come in by the uplink.

    By address. The node's own are asked for twice, as a program does: once to learn their source, then from that.
    Source: ip-route(8), get; exit status 2: the kernel refused.
    """
    own: dict[str, Lookup] = {}
    forwarded: dict[str, Lookup] = {}
    for mark, body in blocks(text, "@"):
        which, _, name = mark.partition(" ")
        if which not in {"own", "forwarded"} or not name:
            raise Unreadable("'@own 10.20.0.142'", mark)
        (own if which == "own" else forwarded)[name] = _from_text("\n".join(body))
    if forwarded.keys() - own.keys():
        raise Unreadable("a node's own way before that of others", text[:100])
    return Table("route to", {name: VmWay(lookup, forwarded.get(name)) for name, lookup in own.items()})
