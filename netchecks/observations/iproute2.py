"""Network devices, their counters and addresses: ``ip link``, ``ip address``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netchecks.errors import Unreadable
from netchecks.models.counters import LinkCounters
from netchecks.models.links import Link
from netchecks.models.neutron import FloatingNamespace, Namespace
from netchecks.models.routes import InterfaceAddress
from netchecks.models.subjects import DhcpServer, VirtualRouter, Vm, at_part
from netchecks.models.table import Table
from netchecks.observe import command, command_line, observation, powershell_line
from netchecks.parsing import (
    Stanza,
    address,
    after,
    blocks,
    clean,
    integer,
    lines,
    looks_like_json,
    mac_or_none,
    mapping,
    needed,
    number,
    objects,
    on_link,
    optional_number,
    sequence,
    stanzas,
    string,
    words,
)
from netchecks.reading import ipconfig, net_tools, powershell


def _links(text: str) -> Table[Link]:
    found = map(_link, objects(text)) if looks_like_json(text) else map(_link_of_text, stanzas(text))
    return Table("interface", {link.name: link for link in found})


@observation("ip -d -j link show", or_else=((command("ip -d link show"), _links),))
def links(text: str) -> Table[Link]:
    """Every network device of the node, by name. MTU in bytes.

    Source: iproute2's ip/ipaddress.c, iplink_*.c (JSON since 4.14, the text form of CentOS 7 before).
    """
    return _links(text)


def _link(item: dict[str, Any]) -> Link:
    info = mapping(item.get("linkinfo"))
    data = mapping(info.get("info_data"))
    kind = string(info, "info_kind")
    return Link(
        needed(item, "ifname"), number(needed(item, "ifindex")), mac_or_none(string(item, "address")), integer(item, "mtu"),
        words(item.get("flags")), string(item, "operstate", "UNKNOWN"), kind, string(info, "info_slave_kind"),
        string(item, "master"), "" if kind == "veth" else string(item, "link"),
        string(item, "link") if kind == "veth" else "", integer(item, "link_index"),
        string(item, "link_netns") or string(item, "link_netnsid"),
        integer(data, "id") if kind == "vlan" else None, string(data, "protocol") if kind == "vlan" else "",
        _has_xdp(item), integer(item, "promiscuity"), string(item, "ifalias"),
    )


def _has_xdp(item: dict[str, Any]) -> bool:
    xdp = mapping(item.get("xdp"))
    return bool(xdp) and xdp.get("mode") != 0


def _link_of_text(stanza: Stanza) -> Link:
    hardware = next((line for line in stanza.body if line[0].startswith("link/")), ["link/none", ""])
    kind, details = _kind_of_text(stanza.body)
    netns = after(hardware, "link-netnsid") or after(hardware, "link-netns")
    peer = stanza.below.removeprefix("if") if netns else ""
    # iproute2 3.10 knows no namespaces and names whatever device has that number here: eth0@eth0
    below = "" if peer.isdigit() or stanza.below in {"NONE", stanza.name} else stanza.below
    vlan = details if kind == "vlan" else []
    return Link(
        stanza.name, stanza.index, mac_or_none(hardware[1] if len(hardware) > 1 else ""), number(after(stanza.head, "mtu")),
        stanza.flags, after(stanza.head, "state") or "UNKNOWN", kind, _port_kind(stanza.body),
        after(stanza.head, "master"), "" if kind == "veth" else below, below if kind == "veth" else "",
        int(peer) if peer.isdigit() else None, netns,
        optional_number(after(vlan, "id")), after(vlan, "protocol"),
        any(word.startswith("xdp") for word in stanza.head) or any(stanza.lines("prog/xdp")),
        optional_number(after(hardware, "promiscuity")), " ".join(stanza.line("alias")[1:]),
    )


#: First words of indented lines that are not a kind of device.
_NO_KIND = ("link/", "alias", "altname", "vf", "prog/", "RX", "TX", "inet", "valid_lft")


def _kind_of_text(body: Sequence[list[str]]) -> tuple[str, list[str]]:
    """Give the kind and its line: the first indented word that is no address, alias or port."""
    for line in body:
        word = line[0]
        if word[0].isalpha() and not word.startswith(_NO_KIND) and not word.endswith("_slave"):
            return word, line
    return "", []


def _port_kind(body: Sequence[list[str]]) -> str:
    return next((line[0].removesuffix("_slave") for line in body if line[0].endswith("_slave")), "")


#: (direction, column in the text form, key in the JSON form) -> our name. Source: iproute2, ip/ipaddress.c, print_stats64.
_COUNTERS = (
    ("rx", "bytes", "bytes"), ("rx", "packets", "packets"), ("rx", "errors", "errors"), ("rx", "dropped", "dropped"),
    ("rx", "mcast", "multicast"), ("rx", "overrun", "over_errors"), ("rx", "missed", "missed_errors"),
    ("rx", "length", "length_errors"), ("rx", "crc", "crc_errors"), ("rx", "frame", "frame_errors"),
    ("rx", "fifo", "fifo_errors"),
    ("tx", "bytes", "bytes"), ("tx", "packets", "packets"), ("tx", "errors", "errors"), ("tx", "dropped", "dropped"),
    ("tx", "carrier", "carrier_errors"), ("tx", "collsns", "collisions"), ("tx", "aborted", "aborted_errors"),
    ("tx", "fifo", "fifo_errors"), ("tx", "window", "window_errors"), ("tx", "heartbt", "heartbeat_errors"),
    ("tx", "heartbeat", "heartbeat_errors"), ("tx", "transns", "carrier_changes"),
)


def _link_counters(text: str) -> Table[LinkCounters]:
    found = map(_counters, objects(text)) if looks_like_json(text) else map(_counters_of_text, stanzas(text))
    return Table("interface", {counters.name: counters for counters in found})


@observation("ip -s -s -j link show", or_else=((command("ip -s -s link show"), _link_counters),), counter=True)
def link_counters(text: str) -> Table[LinkCounters]:
    """Bytes, packets, errors and drops of every network device, by name, as one reading."""
    return _link_counters(text)


def _counters(item: dict[str, Any]) -> LinkCounters:
    stats = mapping(item.get("stats64")) or mapping(item.get("stats"))
    values: dict[str, Any] = {}
    for direction, _, key in _COUNTERS:
        values[_counter_name(direction, key)] = integer(mapping(stats.get(direction)), key)
    return _counters_of(needed(item, "ifname"), values)


def _counters_of_text(stanza: Stanza) -> LinkCounters:
    told: dict[tuple[str, str], int] = {}
    for head, row in zip(stanza.body, stanza.body[1:], strict=False):
        if head[0] in {"RX:", "TX:", "RX", "TX"} and row[0].isdigit():
            columns = head[1:] if head[0].endswith(":") else head[2:]
            told.update({(head[0][:2].lower(), column): number(cell) for column, cell in zip(columns, row, strict=False)})
    values: dict[str, Any] = {}
    for direction, column, key in _COUNTERS:
        if (direction, column) in told:
            values[_counter_name(direction, key)] = told[direction, column]
    return _counters_of(stanza.name, values)


def _counter_name(direction: str, key: str) -> str:
    return key if key == "carrier_changes" else f"{direction}_{key}"


def _counters_of(name: str, values: dict[str, Any]) -> LinkCounters:
    for key in ("bytes", "packets", "errors", "dropped"):
        for direction in ("rx", "tx"):
            if values.get(f"{direction}_{key}") is None:
                raise Unreadable(f"{direction} {key} of {name}", repr(values)[:100])
    return LinkCounters(name, **values)


def _addresses(text: str) -> Table[tuple[InterfaceAddress, ...]]:
    if looks_like_json(text):
        found = {needed(item, "ifname"): tuple(_json_addresses(item)) for item in objects(text)}
    else:
        found = {stanza.name: tuple(_text_addresses(stanza)) for stanza in stanzas(text)}
    return Table("interface", found)


@observation("ip -j address show", or_else=((command("ip address show"), _addresses),))
def addresses(text: str) -> Table[tuple[InterfaceAddress, ...]]:
    """The addresses of every interface, both families, in the kernel's order; an empty tuple where there are none."""
    return _addresses(text)


def _json_addresses(item: dict[str, Any]) -> list[InterfaceAddress]:
    found = []
    for info in map(mapping, sequence(item.get("addr_info"))):
        if string(info, "family") not in {"inet", "inet6"}:
            continue
        far = string(info, "address")
        found.append(InterfaceAddress(
            on_link(f"{needed(info, 'local')}/{needed(info, 'prefixlen')}"), string(info, "scope"),
            frozenset(key for key, value in info.items() if value is True), string(info, "label"),
            address(far) if far else None,
        ))
    return found


#: Words of an address line that have a value; every other word is a flag.
_VALUED = frozenset({"brd", "any", "metric", "scope", "proto", "peer", "ifa_flags"})


def _text_addresses(stanza: Stanza) -> list[InterfaceAddress]:
    return [_text_address(line) for line in stanza.body if line[0] in {"inet", "inet6"}]


def _text_address(line: list[str]) -> InterfaceAddress:
    if len(line) < 2:  # noqa: PLR2004 - the family and the address
        raise Unreadable("'inet 10.0.0.1/24 ...'", " ".join(line))
    family, shown, *rest = line
    far = after(rest, "peer")
    length = (far or shown).partition("/")[2]
    flags, skip = [], False
    for word in rest:
        if not skip and word not in _VALUED:
            flags.append(word)
        skip = not skip and word in _VALUED
    label = flags.pop() if family == "inet" and flags else ""
    local = shown.partition("/")[0]
    return InterfaceAddress(
        on_link(f"{local}/{length}" if length else local), after(rest, "scope"), frozenset(flags), label,
        address(far.partition("/")[0]) if far else None,
    )


# -- in namespaces -----------------------------------------------------------------------------------------------------

#: The text form, which every release has; -n is younger than ``netns exec``.
_NAMESPACE = r"""
known=$(ip netns list) || exit
case "
$known
" in *"
$1
"* | *"
$1 (id: "*) echo @inside; ip netns exec "$1" ip address show || exit ;; *) echo @missing; printf '%s\n' "$known" ;; esac
"""


@observation("{dhcp_server.namespace}", of=DhcpServer, shell=_NAMESPACE, tool="ip", root=True)
def dhcp_namespaces(text: str) -> Namespace:
    """The network namespace that a DHCP server runs in: whether it is there, its devices and addresses. Source: ip-netns(8)."""
    return _namespace(text)


@observation("{virtual_router.namespace}", of=VirtualRouter, shell=_NAMESPACE, tool="ip", root=True)
def router_namespaces(text: str) -> Namespace:
    """The network namespace that a router of Neutron is: whether it is there, its devices and addresses. Source: ip-netns(8)."""
    return _namespace(text)


@observation("{virtual_router.snat_namespace}", of=VirtualRouter, shell=_NAMESPACE, tool="ip", root=True, at=at_part)
def snat_namespaces(text: str) -> Namespace:
    """The network namespace by which a distributed router sends what has no floating address: of its nodes one has it."""
    return _namespace(text)


#: The namespace in which the other end of the router's pair of devices is; the pair is named by the router's first characters.
_FLOATING = r"""
known=$(ip netns list) || exit
joint=fpr-$(printf %.10s "$1")
for space in $(printf '%s\n' "$known" | cut -d' ' -f1); do
  case $space in fip-*) ;; *) continue ;; esac
  devices=$(ip netns exec "$space" ls /sys/class/net) || exit
  case " $(echo $devices) " in *" $joint "*) ;; *) echo "@other $space"; continue ;; esac
  printf '@forward '; ip netns exec "$space" cat /proc/sys/net/ipv4/ip_forward || exit
  for d in all $devices; do
    case $d in all | fg-*) ;; *) continue ;; esac
    answers=$(ip netns exec "$space" cat "/proc/sys/net/ipv4/conf/$d/proxy_arp") || exit
    [ "$answers" != 1 ] || echo "@proxy_arp $d"
  done
  echo "@inside $space"; ip netns exec "$space" ip address show || exit
  echo "@routes $joint"; ip netns exec "$space" ip -4 route show dev "$joint" || exit
done
echo @end
"""


@observation("{virtual_router.id}", of=VirtualRouter, shell=_FLOATING, tool="ip", root=True, at=at_part)
def floating_namespaces(text: str) -> FloatingNamespace:
    """The network namespace by which floating addresses come to a node's part of a distributed router, with its devices and addresses.

    And those that a route of the main table leads to the router. Source: neutron, agent/l3/dvr_fip_ns.py.
    """
    parts = [(head.partition(" ")[0], head.partition(" ")[2], body) for head, body in blocks(text, "@")]
    if not parts or parts[-1][0] != "end":
        raise Unreadable("'@inside fip-...', '@routes fpr-...', '@other fip-...' and '@end'", clean(text)[-100:])
    others, proxies = (tuple(name for word, name, _ in parts if word == one) for one in ("other", "proxy_arp"))
    found = next(((name, body) for word, name, body in parts if word == "inside"), None)
    if found is None:
        return FloatingNamespace("", Namespace(exists=False, others=others))
    told = [name for word, name, _ in parts if word == "forward"]
    if told not in (["0"], ["1"]):
        raise Unreadable("'@forward 0' or '@forward 1'", clean(text)[:100])
    inside = _namespace("\n".join(["@inside", *found[1]]))
    routes = (line.split()[0] for word, _, body in parts if word == "routes" for line in body if line.strip())
    return FloatingNamespace(found[0], inside, told == ["1"], frozenset(proxies), frozenset(routes))


def _namespace(text: str) -> Namespace:
    head, _, rest = clean(text).lstrip("\n").partition("\n")
    if head.strip() == "@missing":
        return Namespace(exists=False, others=tuple(line.split()[0] for line in lines(rest)))
    if head.strip() != "@inside":
        raise Unreadable("@inside or @missing", text)
    found, given = _links(rest), _addresses(rest)
    macs = tuple((link.name, link.mac) for link in found.values() if link.mac and "LOOPBACK" not in link.flags)
    addresses = tuple((name, str(one.address)) for name, some in given.items() if name in dict(macs) for one in some)
    return Namespace(exists=True, macs=macs, addresses=addresses, up=frozenset(link.name for link in found.values() if link.up))


# -- inside guests ---------------------------------------------------------------------------------------------------

#: PowerShell comes first: its JSON is exact and the same in every language.
_IPCONFIG = command_line('cmd /c "chcp & ipconfig /all"', tool="ipconfig")
_ADAPTERS = powershell_line("Get-NetAdapter|Select-Object Name,ifIndex,MacAddress,MtuSize,AdminStatus,MediaConnectState")
_ADDRESSES = powershell_line("Get-NetIPAddress|Select-Object InterfaceAlias,IPAddress,PrefixLength,AddressState,SuffixOrigin")


@observation(
    "ip -d -j link show", of=Vm, inside=True,
    or_else=((command("ip link show"), _links), (command("ifconfig -a"), net_tools.ifconfig_links)),
    windows=((_ADAPTERS, powershell.links), (_IPCONFIG, ipconfig.links)),
)
def guest_links(text: str) -> Table[Link]:
    """The network devices inside a VM, by name; in Windows only its adapters. MTU in bytes."""
    return _links(text)


@observation(
    "ip -j address show", of=Vm, inside=True,
    or_else=((command("ip address show"), _addresses), (command("ifconfig -a"), net_tools.ifconfig_addresses)),
    windows=((_ADDRESSES, powershell.addresses), (_IPCONFIG, ipconfig.addresses)),
)
def guest_addresses(text: str) -> Table[tuple[InterfaceAddress, ...]]:
    """The addresses inside a VM, by interface. ipconfig tells no prefix lengths of IPv6: those have the flag "length unknown"."""
    return _addresses(text)
