"""What the kernel says in /proc and /sys: settings, limits, queues, load, bonds, modules."""

from __future__ import annotations

import re
from dataclasses import replace

from netchecks.errors import Unreadable
from netchecks.models.counters import CpuTimes, Load, Softnet, SoftnetCpu
from netchecks.models.links import Bond, BondSlave, LinkMode
from netchecks.models.subjects import Vm
from netchecks.models.system import Boot, Conntrack, KernelModules, SocketUse
from netchecks.models.table import Table
from netchecks.observe import observation
from netchecks.parsing import blocks, clean, decimal, lines, mac_or_none, number, optional_number

#: Every setting of the protocols, those of interfaces that decide on a packet's way, and nothing that holds a key.
#: One grep for all; of a node with thousands of interfaces one for each key, as a command line has an end.
_SYSCTLS = r"""
cd /proc/sys/net || exit
v4='forwarding rp_filter proxy_arp proxy_arp_pvlan arp_ignore arp_announce arp_filter accept_local route_localnet'
v6='forwarding proxy_ndp accept_ra accept_ra_defrtr disable_ipv6 autoconf accept_dad dad_transmits'
set -- ipv4/conf/*
many=; [ $# -lt 100 ] || many=1
set --
for f in ipv4/* ipv6/* core/* bridge/* netfilter/* ipv4/neigh/default/gc_thresh? ipv6/neigh/default/gc_thresh?; do
  case $f in *key*|*secret*|*seed*) ;; *) [ ! -f "$f" ] || set -- "$@" "$f" ;; esac
done
if [ -z "$many" ]; then
  for k in $v4; do set -- "$@" ipv4/conf/*/"$k"; done
  for k in $v6; do set -- "$@" ipv6/conf/*/"$k"; done
fi
grep -sH . "$@"
[ -n "$many" ] || exit 0
for k in $v4; do grep -sH . ipv4/conf/*/"$k"; done
for k in $v6; do grep -sH . ipv6/conf/*/"$k"; done
:
"""


@observation(shell=_SYSCTLS, tool="grep")
def sysctls(text: str) -> Table[str]:
    """The network settings of the kernel by sysctl's names, as text: ``net.ipv4.conf.eth0/100.rp_filter``.

    As sysctl(8) does it, a dot in an interface's name is a slash. A setting this kernel lacks is not in it.
    """
    return _sysctls(text)


#: What makes a guest keep silent, or have no IPv6.
_GUEST_SYSCTLS = """
cd /proc/sys/net || exit
grep -sH . ipv4/ip_forward ipv4/conf/*/arp_ignore ipv4/conf/*/rp_filter ipv4/icmp_echo_ignore_all ipv6/conf/*/disable_ipv6
:
"""


@observation(shell=_GUEST_SYSCTLS, tool="grep", of=Vm, inside=True)
def guest_sysctls(text: str) -> Table[str]:
    """Settings of the kernel inside a VM that keep it silent, by sysctl's names: arp_ignore, rp_filter, disable_ipv6 ..."""
    return _sysctls(text)


def _sysctls(text: str) -> Table[str]:
    found: dict[str, str] = {}
    for line in lines(text):
        match = re.fullmatch(r"((?:ipv4|ipv6|core|bridge|netfilter)/(?:\S+/)?[a-z0-9_-]+):(.*)", line)
        if not match:
            raise Unreadable("'ipv4/ip_forward:1'", line)
        found[_sysctl_name(match[1])] = match[2].strip()
    if "net.ipv4.ip_forward" not in found:
        raise Unreadable("net.ipv4.ip_forward among the settings", text[:100])
    return Table("sysctl", found)


def _sysctl_name(path: str) -> str:
    return "net." + path.translate(str.maketrans("./", "/."))


_CONNTRACK = """
cd /proc/sys/net/netfilter 2>/dev/null && [ -e nf_conntrack_count ] || exit 0
exec grep -H . nf_conntrack_count nf_conntrack_max
"""


@observation(shell=_CONNTRACK, tool="grep")
def conntrack(text: str) -> Conntrack:
    """How full the connection tracking table is: entries. Both None where connection tracking is not loaded."""
    if not lines(text):
        return Conntrack()
    told = _pairs(text, ":")
    if not {"nf_conntrack_count", "nf_conntrack_max"} <= told.keys():
        raise Unreadable("nf_conntrack_count and nf_conntrack_max", text)
    return Conntrack(number(told["nf_conntrack_count"]), number(told["nf_conntrack_max"]))


def _pairs(text: str, separator: str) -> dict[str, str]:
    found = {}
    for line in lines(text):
        key, there, value = line.partition(separator)
        if not there:
            raise Unreadable(f"'name{separator}value'", line)
        found[key.strip()] = value.strip()
    return found


@observation("cat /proc/net/softnet_stat", counter=True)
def softnet(text: str) -> Softnet:
    """The packet queues of the CPUs, as one reading: packets since boot.

    Source: the kernel's net/core/net-procfs.c, softnet_seq_show: hexadecimal columns, the first three are these.
    """
    rows = [line.split() for line in lines(text)]
    if not rows:
        raise Unreadable("a line for each CPU", text)
    return Softnet(tuple(_softnet_cpu(row) for row in rows))


def _softnet_cpu(row: list[str]) -> SoftnetCpu:
    if len(row) < 3 or not all(re.fullmatch(r"[0-9a-f]{8}", cell) for cell in row):  # noqa: PLR2004 - the columns read
        raise Unreadable("columns of 8 hexadecimal digits", " ".join(row))
    return SoftnetCpu(int(row[0], 16), int(row[1], 16), int(row[2], 16))


@observation("cat /proc/loadavg /proc/stat", counter=True)
def load(text: str) -> Load:
    """Load averages and the CPUs' times as one reading; softirq's share comes from two. Source: proc(5)."""
    rows = [line.split() for line in lines(text)]
    times = {row[0]: _times(row) for row in rows if re.fullmatch(r"cpu[0-9]*", row[0])}
    if not rows or len(rows[0]) != 5 or "cpu" not in times or len(times) < 2:  # noqa: PLR2004 - loadavg's five, one CPU at least
        raise Unreadable("/proc/loadavg and /proc/stat", text[:100])
    total = times.pop("cpu")
    one, five, fifteen, tasks, _ = rows[0]
    running = number(tasks.partition("/")[0])
    return Load(decimal(one), decimal(five), decimal(fifteen), running, total, tuple(times.values()))


def _times(row: list[str]) -> CpuTimes:
    if len(row) < 8:  # noqa: PLR2004 - cpu user nice system idle iowait irq softirq, since Linux 2.6
        raise Unreadable("'cpu0 user nice system idle iowait irq softirq'", " ".join(row))
    return CpuTimes(*(number(cell) for cell in row[1:9]))


_BOOT = "grep -h '^btime ' /proc/stat && read -r up idle </proc/uptime && echo \"$up $idle\""


@observation(shell=_BOOT, tool="grep")
def boot(text: str) -> Boot:
    """When the node started, by its own clock: seconds since the epoch, and seconds ago."""
    words = clean(text).split()
    if len(words) != 4 or words[0] != "btime":  # noqa: PLR2004 - btime N, uptime idle
        raise Unreadable("'btime 1700000000' and /proc/uptime", text)
    return Boot(number(words[1]), decimal(words[2]))


_SOCKETS = """
set -- /proc/net/sockstat
[ ! -e /proc/net/sockstat6 ] || set -- "$@" /proc/net/sockstat6
grep -h . "$@" && cd /proc/sys/net/ipv4 || exit
grep -sH . ip_local_port_range tcp_max_tw_buckets tcp_max_orphans
:
"""


@observation(shell=_SOCKETS, tool="grep")
def sockets(text: str) -> SocketUse:
    """How many sockets are in use, both families, and what limits them. Source: proc(5), ip-sysctl.rst."""
    told = _pairs(text, ":")
    use = {name: _numbers(value) for name, value in told.items() if re.fullmatch(r"(TCP|UDP|RAW)6?", name)}
    ports = told.get("ip_local_port_range", "").split()
    if "TCP" not in use or "UDP" not in use or len(ports) != 2:  # noqa: PLR2004 - first and last
        raise Unreadable("/proc/net/sockstat and ip_local_port_range", text)
    tcp = use["TCP"]
    return SocketUse(
        _in_use(use, "TCP"), _in_use(use, "UDP"), _in_use(use, "RAW"), tcp.get("tw", 0), tcp.get("orphan", 0),
        tcp.get("alloc", 0), tcp.get("mem", 0), use["UDP"].get("mem", 0), number(ports[0]), number(ports[1]),
        optional_number(told.get("tcp_max_tw_buckets", "")), optional_number(told.get("tcp_max_orphans", "")),
    )


def _numbers(text: str) -> dict[str, int]:
    words = text.split()
    return {name: number(value) for name, value in zip(words[::2], words[1::2], strict=False)}


def _in_use(use: dict[str, dict[str, int]], protocol: str) -> int:
    return use.get(protocol, {}).get("inuse", 0) + use.get(f"{protocol}6", {}).get("inuse", 0)


_RAW_SOCKETS = "[ ! -e /proc/net/raw6 ] || cat /proc/net/raw6"


@observation(shell=_RAW_SOCKETS, tool="cat")
def raw_sockets(text: str) -> tuple[int, ...]:
    """The protocol of every raw IPv6 socket of the node: whoever has one of 58 may read router advertisements by itself.

    Source: proc(5); the port of a raw socket is its protocol (net/ipv6/raw.c).
    """
    found = []
    for line in lines(text):
        match = re.match(r"\s*(?:sl\s|\d{1,10}: [0-9A-F]{32}:([0-9A-F]{4}) )", line)
        if not match:
            raise Unreadable("'   0: 00000000000000000000000000000000:003A ...'", line)
        if match[1]:
            found.append(int(match[1], 16))
    return tuple(found)


#: The shell's own read will do here, and is no program for each file; of /proc/sys it gets one character.
_LINK_MODES = """
cd /sys/class/net || exit
for d in */; do
  echo "@$d"
  for f in speed duplex carrier_changes; do { read -r n <"$d$f"; } 2>/dev/null && echo "$f:$n"; done
done
:
"""


@observation(shell=_LINK_MODES, tool="sh")
def link_modes(text: str) -> Table[LinkMode]:
    """Speed in Mb/s and duplex of every device, by name; not known for virtio, bonds without slaves, unplugged NICs.

    Source: the kernel's sysfs-class-net; -1 and 4294967295 are SPEED_UNKNOWN of linux/ethtool.h.
    """
    found = {}
    for mark, body in blocks(text, "@"):
        told = _pairs("\n".join(body), ":")
        speed = number(told.get("speed", "-1"))
        duplex = told.get("duplex", "")
        name = mark.removesuffix("/")
        found[name] = LinkMode(
            name, speed if 0 < speed < 2**32 - 1 else None, "" if duplex == "unknown" else duplex,
            optional_number(told.get("carrier_changes", "")),
        )
    return Table("interface", found)


_BONDS = """
cd /proc/net/bonding 2>/dev/null || exit 0
for b in *; do [ -e "$b" ] && echo "@$b" && cat "$b"; done
:
"""


@observation(shell=_BONDS, tool="cat")
def bonds(text: str) -> Table[Bond]:
    """Every bond of the node, by name, with its slaves; empty where there is none.

    Source: the kernel's drivers/net/bonding/bond_procfs.c; what only root is shown (LACP details) may be missing.
    """
    return Table("bond", {name: _bond(name, body) for name, body in blocks(text, "@")})


def _bond(name: str, body: list[str]) -> Bond:
    parts: list[list[str]] = [[]]
    for line in body:
        if line.startswith("Slave Interface:"):
            parts.append([])
        parts[-1].append(line)
    told = _pairs_first("\n".join(parts[0]))
    if "Bonding Mode" not in told:
        raise Unreadable("'Bonding Mode: ...'", "\n".join(body))
    slaves = [_slave(part) for part in parts[1:]]
    active = told.get("Currently Active Slave", "")
    return Bond(
        name, told["Bonding Mode"], told.get("MII Status", ""), Table("slave", {slave.name: slave for slave in slaves}),
        "" if active == "None" else active, optional_number(told.get("Aggregator ID", "")),
        mac_or_none(told.get("Partner Mac Address", "")),
    )


def _pairs_first(text: str) -> dict[str, str]:
    """Give the pairs of lines ``Name: value``; of a name that is there twice the first counts, headings are left out."""
    found: dict[str, str] = {}
    for line in lines(text):
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    return found


def _slave(part: list[str]) -> BondSlave:
    start = next((at for at, line in enumerate(part) if line.startswith("details partner lacp pdu")), len(part))
    told, partner = _pairs_first("\n".join(part[:start])), _pairs_first("\n".join(part[start:]))
    speed = re.fullmatch(r"([0-9]+) Mbps", told.get("Speed", ""))
    duplex = told.get("Duplex", "").lower()
    slave = BondSlave(
        told["Slave Interface"], told.get("MII Status", ""), int(speed[1]) if speed else None,
        "" if duplex == "unknown" else duplex, optional_number(told.get("Link Failure Count", "")),
        mac_or_none(told.get("Permanent HW addr", "")),
    )
    aggregator = told.get("Aggregator ID", "")
    return replace(
        slave, aggregator=optional_number("" if aggregator == "N/A" else aggregator),
        partner_mac=mac_or_none(partner.get("system mac address", "")),
    )


_MODULES = "if [ -e /proc/modules ]; then cut -d' ' -f1 /proc/modules; else echo @none; fi"


@observation(shell=_MODULES, tool="cut")
def kernel_modules(text: str) -> KernelModules:
    """The kernel modules that are loaded; those built in are not among them."""
    names = lines(text)
    if names == ["@none"]:
        return KernelModules(frozenset(), loadable=False)
    if wrong := [name for name in names if not re.fullmatch(r"\w+", name, re.ASCII)]:
        raise Unreadable("names of modules", wrong[0])
    return KernelModules(frozenset(names))
