"""Open vSwitch: its database by ``ovs-vsctl``, its daemon by ``ovs-appctl``. Nothing is written; each call has a time-out of its own.

Source: ovs-vsctl(8), ovs-vswitchd(8), ovs-vswitchd.conf.db(5), ovsdb's JSON (RFC 7047).
"""

from __future__ import annotations

from typing import Any

from netchecks.errors import Unreadable
from netchecks.models.openvswitch import OvsBridge, OvsDaemon, OvsFdbEntry, OvsInterface, OvsPort
from netchecks.models.table import Table
from netchecks.observe import command, observation
from netchecks.parsing import blocks, clean, documents, lines, mac_or_none, mapping, number, sequence, split_outside
from netchecks.reading.ovs_tools import OVS_TOOLS

_LIMIT = 16 * 1024 * 1024

# -- the database ----------------------------------------------------------------------------------------------------

#: A row a line, with its name first, so that a person can read what a report quotes: only a row begins with a name and its uuid. An
#: older database without one of the columns is read by ``show``; which member of a bond is in use is known since 2.4.
_DATABASE = OVS_TOOLS + r"""
found=$(ovs-vsctl --timeout=4 --format=json -- --columns=name,_uuid,ports,fail_mode,datapath_type,protocols list Bridge \
  -- --columns=name,_uuid,tag,trunks,vlan_mode,other_config,interfaces list Port \
  -- --columns=name,_uuid,type,ofport,options,external_ids,admin_state,link_state,error,mtu,mac_in_use list Interface) || exit
active=$(ovs-vsctl --timeout=4 --format=json -- --columns=name,_uuid,bond_active_slave list Port 2>/dev/null) || active=
printf '%s\n' "$found" "$active" | sed 's/,\(\["[^"]*",\["uuid"\)/,\
\1/g'
"""


def _shown(text: str) -> Table[OvsBridge]:
    """Read ``ovs-vsctl show``, which tells less: neither OpenFlow ports nor what others noted."""
    found: dict[str, OvsBridge] = {}
    bridge: dict[str, Any] = {}
    for line in lines(text):
        key, _, value = line.strip().partition(" ")
        value = value.strip().strip('"')
        if key == "Bridge":
            bridge = {"name": value, "ports": {}}
        elif key == "Port" and bridge:
            bridge["ports"][value] = {"name": value, "interfaces": []}
        elif key == "Interface" and bridge.get("ports"):
            list(bridge["ports"].values())[-1]["interfaces"].append({"name": value})
        elif bridge and key.endswith(":"):
            _note_shown(bridge, key[:-1], value)
        if bridge:
            found[bridge["name"]] = _shown_bridge(bridge)
    return Table("bridge of Open vSwitch", found)


def _note_shown(bridge: dict[str, Any], key: str, value: str) -> None:
    port = next(iter(reversed(bridge["ports"].values())), None)
    if port is None:
        bridge[key] = value
    elif port["interfaces"]:
        port["interfaces"][-1][key] = value
    else:
        port[key] = value


def _shown_bridge(bridge: dict[str, Any]) -> OvsBridge:
    ports = {}
    for name, port in bridge["ports"].items():
        interfaces = tuple(
            OvsInterface(one["name"], one.get("type", ""), None, _shown_map(one.get("options", "")), error=one.get("error", ""))
            for one in port["interfaces"]
        )
        tag = number(port["tag"]) if port.get("tag") else None
        trunks = tuple(number(one.strip()) for one in port.get("trunks", "").strip("[]").split(",") if one.strip())
        ports[name] = OvsPort(name, tag, trunks, port.get("vlan_mode", ""), {}, interfaces)
    return OvsBridge(bridge["name"], Table("port", ports), bridge.get("fail_mode", ""), bridge.get("datapath_type", ""))


def _shown_map(text: str) -> dict[str, str]:
    pairs = (item.partition("=") for item in split_outside(text.strip("{}")))
    return {key.strip(): value.strip().strip('"') for key, _, value in pairs if key.strip()}


@observation(
    shell=_DATABASE, tool="ovs-vsctl", root=True, limit=_LIMIT, or_else=((command("ovs-vsctl --timeout=4 show"), _shown),),
)
def ovs_bridges(text: str) -> Table[OvsBridge]:
    """Every bridge of Open vSwitch on the node, by name, with its ports and their interfaces, as the database has them.

    It is what is configured, whether or not ovs-vswitchd lives. Source: ovs-vswitchd.conf.db(5); ovsdb's JSON (RFC 7047).
    """
    tables = [_rows(mapping(document)) for document in documents(text)]
    if len(tables) not in {3, 4}:
        raise Unreadable("the tables Bridge, Port, Interface, and once more Port", text)
    interfaces = {_uuid(row): _interface(row) for row in tables[2]}
    active = {_uuid(row): _text(row, "bond_active_slave").lower() for row in tables[3]} if len(tables) > 3 else {}  # noqa: PLR2004 - the fourth
    ports = {_uuid(row): _port(row, interfaces, active.get(_uuid(row), "")) for row in tables[1]}
    return Table("bridge of Open vSwitch", {one.name: one for one in (_bridge(row, ports) for row in tables[0])})


def _rows(document: dict[str, Any]) -> list[dict[str, Any]]:
    headings = [str(one) for one in sequence(document.get("headings"))]
    if "_uuid" not in headings:
        raise Unreadable("a table with the heading _uuid", repr(headings)[:100])
    return [{key: _plain(cell) for key, cell in zip(headings, sequence(row), strict=False)} for row in sequence(document.get("data"))]


def _plain(cell: Any) -> Any:
    """Give a cell: a set as a list, a map as a dict, a UUID as its text (RFC 7047 section 5.1)."""
    if isinstance(cell, list) and len(cell) == 2:  # noqa: PLR2004 - the tag and the value
        if cell[0] == "set":
            return [_plain(one) for one in sequence(cell[1])]
        if cell[0] == "map":
            return {str(pair[0]): str(pair[1]) for pair in map(sequence, sequence(cell[1])) if len(pair) == 2}  # noqa: PLR2004 - a pair
        if cell[0] == "uuid":
            return str(cell[1])
    if isinstance(cell, (dict, list)):
        raise Unreadable("a value of ovsdb", repr(cell)[:100])
    return cell


def _uuid(row: dict[str, Any]) -> str:
    return str(row["_uuid"])


def _many(value: Any) -> list[Any]:
    """Give a column that may have several values: ovsdb writes one alone without a set."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _text(row: dict[str, Any], key: str) -> str:
    return next((str(one) for one in _many(row.get(key))), "")


def _whole(row: dict[str, Any], key: str) -> int | None:
    found = next(iter(_many(row.get(key))), None)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _map(row: dict[str, Any], key: str) -> dict[str, str]:
    value = row.get(key)
    return value if isinstance(value, dict) else {}


def _interface(row: dict[str, Any]) -> OvsInterface:
    return OvsInterface(
        _text(row, "name"), _text(row, "type"), _whole(row, "ofport"), _map(row, "options"), _map(row, "external_ids"),
        _text(row, "admin_state"), _text(row, "link_state"), _text(row, "error"), _whole(row, "mtu"), mac_or_none(_text(row, "mac_in_use")),
    )


def _port(row: dict[str, Any], interfaces: dict[str, OvsInterface], active: str) -> OvsPort:
    own = tuple(interfaces[name] for name in map(str, _many(row.get("interfaces"))) if name in interfaces)
    trunks = tuple(one for one in _many(row.get("trunks")) if isinstance(one, int))
    return OvsPort(_text(row, "name"), _whole(row, "tag"), trunks, _text(row, "vlan_mode"), _map(row, "other_config"), own, active)


def _bridge(row: dict[str, Any], ports: dict[str, OvsPort]) -> OvsBridge:
    own = [ports[name] for name in map(str, _many(row.get("ports"))) if name in ports]
    protocols = tuple(map(str, _many(row.get("protocols"))))
    table = Table("port", {port.name: port for port in sorted(own, key=lambda port: port.name)})
    return OvsBridge(_text(row, "name"), table, _text(row, "fail_mode"), _text(row, "datapath_type"), protocols)


# -- the daemon ------------------------------------------------------------------------------------------------------

_DAEMON = OVS_TOOLS + r"""
command -v ovs-appctl >/dev/null || { echo "ovs-appctl: command not found" >&2; exit 127; }
if said=$(ovs-appctl --timeout=4 -t ovs-vswitchd version 2>&1); then echo @answers; else
  case $said in *"ermission denied"*|*"not permitted"*) echo "$said" >&2; exit 1 ;;
    *"onnection refused"*|*"larm clock"*|*"timed out"*|*"signal 14"*) ;;
    *) if grep -qsx ovs-vswitchd /proc/[0-9]*/comm; then
        echo "ovs-vswitchd runs, as in a container, and not where ovs-appctl looks for it: ${said##*ovs-appctl: }" >&2; exit 1
      fi ;;
  esac
  echo @silent
fi
printf '%s\n' "$said"
"""


@observation(shell=_DAEMON, tool="ovs-appctl", root=True, seconds=8.0)
def ovs_daemons(text: str) -> OvsDaemon:
    """Whether ovs-vswitchd answers. Without it nothing new is forwarded, whatever the database says."""
    head, _, rest = clean(text).partition("\n")
    if head.strip() not in {"@answers", "@silent"}:
        raise Unreadable("@answers or @silent", text)
    return OvsDaemon(head.strip() == "@answers", rest.strip()[:300])


_FDB = OVS_TOOLS + r"""
bridges=$(ovs-vsctl --timeout=4 list-br) || exit
for b in $bridges; do printf '@bridge %s\n' "$b"; ovs-appctl --timeout=4 -t ovs-vswitchd fdb/show "$b" || exit; done
"""


@observation(shell=_FDB, tool="ovs-appctl", root=True, late=True, seconds=10.0)
def ovs_fdb(text: str) -> Table[tuple[OvsFdbEntry, ...]]:
    """What each bridge has learned, by its name, after the probes."""
    found = {}
    for head, body in blocks(text, "@bridge "):
        found[head.strip()] = tuple(_learned(line) for line in body if line.split()[:2] != ["port", "VLAN"])
    return Table("bridge", found)


def _learned(line: str) -> OvsFdbEntry:
    words = line.split()
    mac = mac_or_none(words[2]) if len(words) == 4 else None  # noqa: PLR2004 - port, VLAN, MAC, age
    if mac is None:
        raise Unreadable("'3  1  fa:16:3e:00:00:44  22'", line)
    return OvsFdbEntry(words[0], number(words[1]), mac, number(words[3]) if words[3].isdigit() else None)


#: Two pings to the other end of each tunnel, of at most 64, all at the same time: the underlay without the tunnel.
_PINGS = OVS_TOOLS + r"""
command -v ping >/dev/null || { echo 'ping: command not found' >&2; exit 127; }
of() { ovs-vsctl --timeout=4 --bare --columns=options find Interface type="$1"; }
vxlan=$(of vxlan) && gre=$(of gre) || exit
printf '%s\n' "$vxlan" "$gre" | tr ' ' '\n' | sed -n 's/^remote_ip=\([0-9][0-9.]*\)$/\1/p' | sort -u | head -n 64 |
{ while read -r a; do { ping -n -c 2 -i 0.3 -W 1 "$a" >/dev/null 2>&1 && echo "@end $a yes" || echo "@end $a no"; } & done; wait; }
"""


@observation(shell=_PINGS, tool="ovs-vsctl", root=True, seconds=8.0)
def tunnel_pings(text: str) -> Table[bool]:
    """Whether the other end of each tunnel of the node answers ping, by its IPv4 address: the underlay without what it carries."""
    found = {}
    for head, _ in blocks(text, "@end "):
        words = head.split()
        if len(words) != 2 or words[1] not in {"yes", "no"}:  # noqa: PLR2004 - the address and the answer
            raise Unreadable("'@end 10.10.10.11 yes'", head)
        found[words[0]] = words[1] == "yes"
    return Table("other end", found)
