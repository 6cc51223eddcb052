"""FRR's routing daemons, asked through ``vtysh``. Source: FRR's user guide; FRR 8.4's bgpd/bgp_vty.c, ospfd/ospf_vty.c."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from netchecks.errors import Unreadable
from netchecks.models.frr import PROTOCOLS, BgpNeighbour, FrrDaemons, FrrRoute, Ospf, OspfNeighbour
from netchecks.models.subjects import Interface, Prefix
from netchecks.models.table import Table
from netchecks.observe import observation
from netchecks.parsing import address, blocks, documents, integer, lines, mapping, needed, prefix, sections, sequence, string

#: vtysh says of a socket that it may not open what it says of a daemon that does not run: so who asks has to be of its group.
#: ``runs`` tells which daemons it could talk to; none is an answer too. ``has NAME``: one of them.
_START = """
command -v vtysh >/dev/null || { echo "vtysh: command not found" >&2; exit 127; }
case " $(id -u) $(id -nG) " in " 0 "*|*" frrvty "*) ;; *) echo "vtysh: permission denied" >&2; exit 1 ;; esac
said=$(vtysh -c 'show daemons' 2>&1) || case $said in *"failed to connect to any daemons"*) said= ;; *) echo "$said" >&2; exit 1 ;; esac
has() { case " $said " in *" $1 "*) ;; *) return 1 ;; esac; }
"""

#: Seconds: a link state of this age is withdrawn (RFC 2328 appendix B, MaxAge).
MAX_AGE = 3600

_DAEMONS = _START + """
echo @running
echo "$said"
echo @meant
[ ! -e /etc/frr/daemons ] || cat /etc/frr/daemons
"""


@observation(shell=_DAEMONS, tool="vtysh", root=True)
def frr_daemons(text: str) -> FrrDaemons:
    """Which of FRR's daemons run, and which shall. None running is an answer: FRR is stopped. Source: /etc/frr/daemons."""
    parts = sections(text, ("running", "meant"))
    running = frozenset(parts["running"].split())
    if not all(name.isidentifier() for name in running):
        raise Unreadable("the names of daemons", parts["running"])
    switched = (line.split("#")[0].strip().partition("=") for line in lines(parts["meant"]))
    meant = {name.strip() for name, _, value in switched if value.strip() == "yes" and name.strip().endswith("d")}
    return FrrDaemons(frozenset(meant | {"zebra"} if meant else meant), running)


_BGP = _START + """
has bgpd || exit 0
vtysh -c 'show bgp neighbors json'
"""


@observation(shell=_BGP, tool="vtysh", root=True, limit=16 * 1024 * 1024)
def bgp_neighbours(text: str) -> Table[BgpNeighbour]:
    """The node's BGP neighbours, by name, whether established or not; none where bgpd does not run."""
    if text.lstrip().startswith("%"):
        return Table("BGP neighbour", {})  # "% BGP instance not found": bgpd runs and is not configured
    found = {
        name: _neighbour(name, value)
        for document in documents(text) for name, value in mapping(document).items() if isinstance(value, dict)
    }
    return Table("BGP neighbour", found)


def _neighbour(name: str, item: dict[str, Any]) -> BgpNeighbour:
    families = mapping(item.get("addressFamilyInfo"))
    known: dict[str, int] = {"ipv4Unicast": 4, "ipv6Unicast": 6}
    return BgpNeighbour(
        name, integer(item, "remoteAs") or 0, integer(item, "localAs") or 0, needed(item, "bgpState"), item.get("adminShutDown") is True,
        frozenset(number for family, number in known.items() if family in families),
        string(item, "lastResetDueTo"), string(item, "lastNotificationReason"),
    )


_OSPF = _START + """
if has ospfd; then
  echo @ospfd
  vtysh -c 'show ip ospf neighbor json' -c 'show ip ospf database external self-originate json'
fi
if has ospf6d; then
  echo @ospf6d
  vtysh -c 'show ipv6 ospf6 neighbor json' -c 'show ipv6 ospf6 database as-external self-originated json'
fi
"""


@observation(shell=_OSPF, tool="vtysh", root=True, limit=16 * 1024 * 1024)
def ospf(text: str) -> Ospf:
    """The node's OSPF neighbours, and what it tells them of routes that are not OSPF's own; none where no OSPF daemon runs."""
    families: set[int] = set()
    neighbours: list[OspfNeighbour] = []
    announced: set[Prefix] = set()
    for name, body in blocks(text, "@"):
        if name not in {"ospfd", "ospf6d"}:
            raise Unreadable("'@ospfd' or '@ospf6d'", name)
        families |= PROTOCOLS[name]
        for document in map(mapping, documents("\n".join(body))):
            neighbours += _ospf_neighbours(document)
            announced |= set(_external(document))
    return Ospf(frozenset(families), tuple(neighbours), frozenset(announced))


def _ospf_neighbours(document: dict[str, Any]) -> Iterator[OspfNeighbour]:
    """Read version 2's ``{"neighbors": {router: [...]}}`` and version 3's ``{"neighbors": [...]}``."""
    found = document.get("neighbors")
    if isinstance(found, dict):
        for router, items in found.items():
            yield from (_ospf_neighbour(4, router, item, "ifaceName") for item in map(mapping, sequence(items)))
    else:
        yield from (_ospf_neighbour(6, needed(item, "neighborId"), item, "interfaceName") for item in map(mapping, sequence(found)))


def _ospf_neighbour(family: Literal[4, 6], router: str, item: dict[str, Any], device: str) -> OspfNeighbour:
    """Read one. Version 2 has ``Full/DR`` and ``eth0:10.20.1.11``; from FRR 8.3 on its state is also ``nbrState``."""
    state = string(item, "nbrState") or needed(item, "state")
    return OspfNeighbour(family, router, needed(item, device).partition(":")[0], state.partition("/")[0])


def _external(document: dict[str, Any]) -> Iterator[Prefix]:
    """Give the AS-external prefixes that are not withdrawn. Those of a not-so-stubby area (type 7) are not among them."""
    for item in map(mapping, mapping(document.get("AS External Link States")).values()):
        if (integer(item, "lsaAge") or 0) < MAX_AGE:
            yield prefix(f"{needed(item, 'linkStateId')}/{integer(item, 'networkMask')}", 4)
    for area in map(mapping, sequence(document.get("asScopedLinkStateDb"))):
        for item in map(mapping, sequence(area.get("lsa"))):
            if (integer(item, "age") or 0) < MAX_AGE:
                yield prefix(needed(item, "payload"), 6)


_ROUTES = _START + """
has zebra || exit 0
for a in "$@"; do
  case $a in *:*) r=ipv6 p=$a/128 ;; *) r=ip p=$a/32 ;; esac
  echo "@$a"
  set -- -c "show $r route $p json"
  [ $r = ip ] && b=ipv4 || b=ipv6
  ! has bgpd || set -- "$@" -c "show bgp $b unicast $p json"
  vtysh "$@" || exit
done
"""


@observation("{interface.addresses}", of=Interface, shell=_ROUTES, tool="vtysh", root=True)
def frr_routes(text: str) -> Table[FrrRoute]:
    """What FRR has for each of the VM's addresses, by address; none where FRR does not run."""
    return Table("route in FRR to", {name: _route(name, "\n".join(body)) for name, body in blocks(text, "@")})


def _route(name: str, text: str) -> FrrRoute:
    wanted = address(name)
    host = f"{wanted}/{wanted.max_prefixlen}"
    told = [mapping(document) for document in documents("\n".join(line for line in lines(text) if not line.startswith("%")))]
    rib = [mapping(item) for document in told for item in sequence(document.get(host))]
    used = next((item for item in rib if item.get("selected") is True), {})
    hops = [mapping(hop) for hop in sequence(used.get("nexthops"))]
    bgp = next((document for document in told if document.get("prefix") == host), {})
    local = [path for path in map(mapping, sequence(bgp.get("paths"))) if path.get("sourced") is True]
    best = any(mapping(path.get("bestpath")).get("overall") is True for path in local)
    return FrrRoute(
        wanted, string(used, "protocol"), frozenset(filter(None, (string(hop, "interfaceName") for hop in hops))), bool(local), best,
        frozenset(mapping(bgp.get("advertisedTo"))) if best else frozenset(),
    )
