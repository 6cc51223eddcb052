"""The limits and settings of a node's kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.counters import ConntrackStats, Load, Softnet
from netchecks.models.subjects import Node
from netchecks.models.system import Conntrack, SocketUse
from netchecks.models.table import Table
from netchecks.seen import By, Pair, note

#: New connections are dropped when the table is full; so near to that, a burst is enough.
NEARLY_FULL = 0.9
#: One-minute load per CPU that is worth a word. Load alone breaks nothing, and a container sees its host's.
HIGH_LOAD = 16.0
#: A CPU that does nothing but softirq is one queue for all packets.
BUSY_SOFTIRQ = 0.95
#: Packets that the backlog dropped between two looks: fewer, or a smaller share, is a burst.
DROPPED_PACKETS, DROPPED_SHARE = 1000, 0.01
#: Settings of an interface or a neighbour table that `sysctls` leaves out: a node has thousands of interfaces.
_LEFT_OUT = re.compile(r"net\.ipv[46]\.(conf|neigh)\.|.*(key|secret|seed)")


def test_sysctl_allows_forwarding(node: Node, sysctls: By[Node, Table[str]]) -> None:
    """A router forwards, and each kernel parameter that the inventory declares has its value.

    Why: one 0 in /proc/sys, and the node receives what it should pass on and drops it without a word.
    Remedy: node administrator: sysctl -w the parameter, and put it into /etc/sysctl.d
    Source: VMmanager knowledge base, "Маршрутизация"; Linux Documentation/networking/ip-sysctl.rst
    """
    expected = {**dict(_of_router(node)), **{_dotted(key): (key, value) for key, value in node.sysctl}}
    wrong = [
        (key, value, is_) for key, value in expected.values()
        if (is_ := _value(node, key, value, sysctls)) != " ".join(value.split())
    ]
    if wrong:
        shown = ", ".join(f"{key} is {is_}, expected {value}" for key, value, is_ in wrong)
        raise Wrong(
            "sysctl.wrong", f"{node}: {shown}", place=node.name,
            remedy="; ".join(f"sysctl -w {key}='{value}'" for key, value, _ in wrong) + "; and in /etc/sysctl.d",
        )


def _of_router(node: Node) -> Iterator[tuple[str, tuple[str, str]]]:
    """Give what a router needs: forwarding, of IPv6 only where the node is meant to speak it."""
    if "router" in node.roles:
        families = {address.version for link in node.links for address in link.addresses} | {r.to.version for r in node.routes}
        keys = ["net.ipv4.ip_forward", *(["net.ipv6.conf.all.forwarding"] if 6 in families else [])]
        yield from ((key, (key, "1")) for key in keys)


def _value(node: Node, key: str, expected: str, sysctls: By[Node, Table[str]]) -> str:
    """Give a parameter's value; ``not there`` where this kernel has none. Raises NotSeen where it was not read."""
    name = _dotted(key)
    if name in sysctls[node]:
        return " ".join(sysctls[node][name].split())
    if name.startswith("net.bridge.") and expected == "0":
        return "0"  # without br_netfilter no bridged packet goes to iptables
    if not name.startswith("net.") or _LEFT_OUT.match(name):
        raise NotSeen(Why.NOT_POSSIBLE, f"{node}: netchecks does not read {name}; sysctl {name}")
    return "not there"


def _dotted(key: str) -> str:
    """Give sysctl's own form of a key: dots between, a dot within an interface's name is a slash (sysctl(8))."""
    first = re.search(r"[./]", key)
    return key.translate(str.maketrans("./", "/.")) if first and first[0] == "/" else key


def test_conntrack_has_room(
    node: Node, conntrack: By[Node, Conntrack], conntrack_stats: By[Node, Pair[ConntrackStats]],
) -> None:
    """The connection tracking table is less than 90 % full, and loses no connection between two looks.

    Why: when it is full, new connections through the node are dropped while old ones go on: it works now and then.
    Remedy: node administrator: sysctl -w net.netfilter.nf_conntrack_max to twice as much; conntrack -L shows who fills it
    Source: Kubernetes troubleshooting, conntrack; Linux Documentation/networking/nf_conntrack-sysctl.rst
    """
    table = conntrack[node]
    if table.share is not None and table.share >= NEARLY_FULL:
        raise Wrong(
            "conntrack.nearly_full", f"{node}: {table.count} of {table.max} connections are tracked ({table.share:.0%}), "
            f"expected less than {NEARLY_FULL:.0%}", place=node.name,
            remedy=f"sysctl -w net.netfilter.nf_conntrack_max={2 * (table.max or 0)}; conntrack -L shows who fills the table",
        )
    if table.count is None:
        return  # connection tracking is not loaded
    pair = conntrack_stats[node]
    grown = {name: _growth(pair, name) for name in ("drop", "insert_failed") if _growth(pair, name)}
    if "drop" in grown:
        raise Wrong("conntrack.drops", f"{node}: connection tracking lost {grown} in {pair.seconds:.1f} s", place=node.name)
    if grown:  # two packets of one new connection at once: UDP, DNS; the packet is lost, the table is not full
        note("conntrack.insert_failed", f"{node}: {grown['insert_failed']} entries were not inserted in {pair.seconds:.1f} s")


def _growth(pair: Pair[ConntrackStats], name: str) -> int:
    before, after = getattr(pair.before, name), getattr(pair.after, name)
    return 0 if before is None or after is None else max(0, after - before)


def test_ports_have_room(node: Node, sockets: By[Node, SocketUse], sysctls: By[Node, Table[str]]) -> None:
    """Sockets are not near the kernel's limits, and there are local ports for new connections.

    Why: at the limit the kernel refuses or drops connections although the network is all right.
    Remedy: node administrator: ss -s; ss -tanp shows who holds them; sysctl net.ipv4.tcp_mem, tcp_max_orphans, ip_local_port_range
    Source: Kubernetes troubleshooting, ports; Linux Documentation/networking/ip-sysctl.rst
    """
    use = sockets[node]
    if use.orphans_max and use.orphans >= NEARLY_FULL * use.orphans_max:
        raise Wrong("sockets.orphans_nearly_full", f"{node}: {use.orphans} of {use.orphans_max} orphaned sockets", place=node.name)
    memory = _last(sysctls[node].get("net.ipv4.tcp_mem", ""))
    if memory and use.tcp_memory >= NEARLY_FULL * memory:
        raise Wrong("sockets.memory_nearly_full", f"{node}: TCP uses {use.tcp_memory} of {memory} pages", place=node.name)
    held = use.tcp + use.time_wait
    if held >= NEARLY_FULL * use.ports:  # one destination needs a port for each, a server one for all: it cannot be told here
        note("ports.many", f"{node}: {held} TCP connections, and {use.ports} local ports for those to one destination")


def _last(text: str) -> int:
    words = text.split()
    return int(words[-1]) if words and words[-1].isdigit() else 0


def test_node_is_not_overloaded(node: Node, load: By[Node, Pair[Load]], softnet: By[Node, Pair[Softnet]]) -> None:
    """The node's CPUs keep up with its packets: the backlog queues drop none between two looks.

    Why: a queue that is full drops packets of every flow, and nothing else shows it.
    Remedy: node administrator: sysctl net.core.netdev_max_backlog, spread interrupts (RSS, RPS); top shows who uses the CPUs
    Source: Kubernetes troubleshooting, node load; Linux Documentation/networking/scaling.rst
    """
    queues = softnet[node]
    dropped = max(0, queues.after.dropped - queues.before.dropped)
    handled = sum(cpu.processed for cpu in queues.after.cpus) - sum(cpu.processed for cpu in queues.before.cpus)
    message = f"{node}: the CPUs' queues dropped {dropped} of {handled + dropped} packets in {queues.seconds:.1f} s"
    if dropped >= DROPPED_PACKETS and dropped >= DROPPED_SHARE * handled:
        raise Wrong("node.drops_packets", message, place=node.name)
    if dropped:
        note("node.drops_packets", message)
    pair = load[node]
    if pair.after.per_cpu >= HIGH_LOAD:
        note("node.high_load", f"{node}: load {pair.after.one:g} on {len(pair.after.cpus)} CPUs")
    busy = _softirq(pair)
    if busy >= BUSY_SOFTIRQ:
        note("node.softirq", f"{node}: a CPU spent {busy:.0%} of its time on packets alone")


def _softirq(pair: Pair[Load]) -> float:
    """Give the largest share of a CPU's time that softirq took; 0 over less than half a second, where ticks are too coarse."""
    ticks = 50  # USER_HZ is 100 on every Linux (proc(5))
    shares = [
        (after.softirq - before.softirq) / (after.total - before.total)
        for before, after in zip(pair.before.cpus, pair.after.cpus, strict=False) if after.total - before.total >= ticks
    ]
    return max(shares, default=0.0)
