"""What the kernel itself would do with a packet."""

from __future__ import annotations

import json
from itertools import pairwise

from netchecks.errors import Unreadable
from netchecks.models.routes import FloatingWay, Lookup, RouterWay, VmWay
from netchecks.models.subjects import Flow, Interface, Place
from netchecks.models.table import Table
from netchecks.observe import command, observation
from netchecks.parsing import blocks, clean

#: Exit status 2 is the kernel's word that there is no way: an answer too.
_JSON = 'ip -j route get "$1" 2>&1 || [ $? -eq 2 ]'
_TEXT = 'ip route get "$1" 2>&1 || [ $? -eq 2 ]'

_REFUSED = (
    ("unreachable", "unreachable"), ("Invalid argument", "blackhole"), ("Permission denied", "prohibit"),
    ("No route to host", "unreachable"), ("cross-device", "filtered"),
)


def _from_text(text: str) -> Lookup:
    """Read ``10.20.0.142 dev br0 src 10.20.0.11 uid 0`` and ``RTNETLINK answers: Network is unreachable``."""
    words = clean(text).split()
    pairs = dict(pairwise(words))
    if "dev" in pairs:
        kind = words[0] if words[0] in {"blackhole", "unreachable", "prohibit", "local", "broadcast", "multicast"} else "unicast"
        return Lookup(kind, pairs["dev"], pairs.get("via", ""), pairs.get("src", ""))
    return _refused(text)


def _refused(text: str) -> Lookup:
    for said, kind in _REFUSED:
        if said in text:
            return Lookup(kind)
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


#: Of several namespaces of external networks the router's is that with the other end of its pair of devices.
_ROUTER_WAYS = r"""
known=$(ip netns list) || exit
known=" $(printf '%s\n' "$known" | cut -d' ' -f1 | tr '\n' ' ')"
router=qrouter-$1 joint=fpr-$(printf %.10s "$1") all=$2; shift 2
case $known in *" $router "*) ;; *) echo @missing; exit 0 ;; esac
get() { space=$1; shift; ip netns exec "$space" ip -4 route get "$@" 2>&1 || [ $? -eq 2 ] || exit 1; }
for fixed in $all; do
  own=$(get "$router" "$fixed") || exit
  leg=$(printf %s "$own" | sed -n 's/.* dev \([^ ]*\).*/\1/p')
  [ -z "$leg" ] || { echo "@back $fixed"; get "$router" 192.0.2.1 from "$fixed" iif "$leg"; }
done
if [ $# -gt 0 ]; then
  for space in $known; do
    case $space in fip-*) ;; *) continue ;; esac
    devices=$(ip netns exec "$space" ls /sys/class/net) || exit
    case " $(echo $devices) " in *" $joint "*) ;; *) continue ;; esac
    outer=$(printf '%s\n' "$devices" | grep '^fg-' | head -n 1)
    [ -n "$outer" ] || break
    for floating in "$@"; do
      echo "@into $floating"; get "$space" "$floating" from 192.0.2.1 iif "$outer"
      echo "@out $floating"; get "$space" 192.0.2.1 from "$floating" iif "$joint"
    done
    break
  done
fi
echo @end
"""


def _at_own_part(interface: Interface) -> tuple[Place, ...]:
    known = interface.network.neutron
    return (interface.node,) if known is not None and known.distributed and interface.first_address else ()


@observation(
    "{interface.network.neutron.router} '{interface.fixed}' {interface.floating}", of=Interface, shell=_ROUTER_WAYS, tool="ip",
    root=True, at=_at_own_part,
)
def router_ways(text: str) -> RouterWay:
    """What the node's part of a distributed router would do with packets for a VM's floating addresses, and with what the VM sends.

    Source: ip-route(8), get; neutron, agent/l3/dvr_fip_ns.py: the names of its devices.
    """
    ways: dict[str, dict[str, Lookup]] = {}
    parts = blocks(text, "@")
    if not parts or parts[-1][0] not in {"end", "missing"}:
        raise Unreadable("'@back ADDRESS', '@into ADDRESS', '@out ADDRESS' and '@end', or '@missing'", clean(text)[-100:])
    for mark, body in parts[:-1]:
        which, _, name = mark.partition(" ")
        if which not in {"back", "into", "out"} or not name:
            raise Unreadable("'@into 203.0.113.52'", mark)
        ways.setdefault(name, {})[which] = _from_text("\n".join(body))
    back = tuple((name, own["back"]) for name, own in ways.items() if "back" in own)
    asked = {name: own for name, own in ways.items() if own.keys() & {"into", "out"}}
    if any({"into", "out"} - own.keys() for own in asked.values()):
        raise Unreadable("'@into' and '@out' of each floating address", clean(text)[-100:])
    floating = tuple((name, FloatingWay(own["into"], own["out"])) for name, own in asked.items())
    return RouterWay(parts[-1][0] == "end", back, floating)
