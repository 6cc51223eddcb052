"""The way of a packet through the node's hooks, and the verdict on it.

Source: Linux, net/bridge/br_netfilter_hooks.c, include/uapi/linux/netfilter_bridge.h, netfilter_ipv4.h;
https://wiki.nftables.org/wiki-nftables/index.php/Netfilter_hooks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Literal

from netchecks.models.netfilter.point import Point, device_is
from netchecks.models.netfilter.rules import Action, Chain, Rule, Ruleset, RuleTable
from netchecks.models.netfilter.truth import Doubt, Truth, some
from netchecks.models.netfilter.walk import UNKNOWN, Fate, Walk, blurred
from netchecks.models.packets import Address, Packet

#: The families of tables that see a packet of this family at the IP stack's hooks.
_FAMILIES = {"ipv4": {"ip", "inet"}, "ipv6": {"ip6", "inet"}, "arp": {"arp"}}
_LAST = 2 ** 31
#: Where br_netfilter calls the IP hooks within the bridge's hooks (NF_BR_PRI_BRNF, NF_BR_PRI_LAST).
_CALLED_AT = {"prerouting": 0, "forward": -1, "postrouting": _LAST}


@dataclass(frozen=True, slots=True)
class BridgeCalls:
    """sysctl net.bridge.bridge-nf-call-iptables, -ip6tables, -arptables; None where it could not be read.

    Without the module br_netfilter there is no such sysctl: that is false. A bridge's own nf_call_iptables turns it on too.
    """

    ipv4: bool | None = None
    ipv6: bool | None = None
    arp: bool | None = None

    def of(self, packet: Packet) -> Truth:
        """Tell whether bridged frames of this family go through the IP or ARP hooks. Tagged frames do not by default."""
        called = {"ipv4": self.ipv4, "ipv6": self.ipv6, "arp": self.arp}[packet.family]
        if packet.vlan is not None:
            return False if called is False else Doubt("net.bridge.bridge-nf-filter-vlan-tagged")
        return Doubt("whether net.bridge.bridge-nf-call-* is on") if called is None else called


@dataclass(frozen=True, slots=True)
class Firewall:
    """All rule sets of one node. ``own``: the node's addresses, where known: they decide what is local."""

    iptables: Ruleset = field(default_factory=Ruleset)
    ip6tables: Ruleset = field(default_factory=Ruleset)
    nftables: Ruleset = field(default_factory=Ruleset)
    ebtables: Ruleset = field(default_factory=Ruleset)
    arptables: Ruleset = field(default_factory=Ruleset)
    bridge_calls: BridgeCalls = field(default_factory=BridgeCalls)
    own: frozenset[Address] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rule sets do to a packet, and the rule that does it.

    For ``dropped`` the rule is the one that drops it; for ``unknown`` the one that may, if there is one, and ``reasons``
    say what could not be evaluated. ``rule`` is the tool's own text, ``policy drop`` for a policy. ``packets`` is the
    rule's counter, None where it has none. ``partial``: a part of the packets is dropped at random.
    ``direction``: ``request`` or ``answer``. ``rejects``: the sender is told.
    """

    outcome: Literal["accepted", "dropped", "unknown"]
    tool: str = ""
    backend: str = ""
    family: str = ""
    table: str = ""
    chain: str = ""
    hook: str = ""
    rule: str = ""
    packets: int | None = None
    rejects: bool = False
    partial: bool = False
    reasons: tuple[str, ...] = ()
    direction: Literal["request", "answer"] = "request"

    def __str__(self) -> str:
        """Give one line: which rule, where, how often it was hit, and what could not be told."""
        tool = f"{self.tool} ({self.backend})" if self.tool in {"iptables", "ip6tables", "ebtables"} else self.tool
        count = "" if self.packets is None else f", {self.packets} packets so far"
        where = f" by {tool}, table {self.family} {self.table}, chain {self.chain} (hook {self.hook}): {self.rule}{count}"
        doubt = f"; cannot be told: {'; '.join(self.reasons)}" if self.reasons else ""
        outcome = "maybe dropped" if self.outcome == "unknown" else self.outcome
        return f"{self.direction} {outcome}{where if self.tool else ''}{doubt}"


ACCEPTED = Verdict("accepted")


@dataclass(frozen=True, slots=True)
class _Base:
    """One base chain at its hook, or a doubt that stands in the way there. ``certain``: the packet surely comes by.

    ``readdressed``: the node has routed it, so its MACs are new ones.
    """

    point: Point
    priority: int
    table: RuleTable | None = None
    chain: Chain | None = None
    doubt: Doubt | None = None
    certain: bool = True
    readdressed: bool = False


def bridged_verdict(packet: Packet, firewall: Firewall) -> Verdict:
    """Judge a frame that the bridge ``in_device`` forwards from ``in_port`` to ``out_port``."""
    return _judge(packet, firewall, _bridged)[0]


def local_verdict(packet: Packet, firewall: Firewall) -> Verdict:
    """Judge a packet that the node sends (no ``in_device``) or receives (no ``out_device``)."""
    return _judge(packet, firewall, _local)[0]


def routed_verdict(packet: Packet, firewall: Firewall) -> Verdict:
    """Judge a packet that the node routes from ``in_device`` to ``out_device``; the ports where those are bridges."""
    return _judge(packet, firewall, _routed)[0]


def flow_verdict(packet: Packet, firewall: Firewall) -> Verdict:
    """Judge a flow by its first packet and its answer; the way follows from the packet's devices.

    A drop for certain counts before a doubt, the request before the answer.
    """
    way = _way_of(packet)
    there, after = _judge(packet, firewall, way)
    back, _ = _judge(_answer(packet, after), firewall, way)
    back = replace(back, direction="answer")
    for verdict in sorted((there, back), key=lambda one: ("dropped", "unknown", "accepted").index(one.outcome)):
        return verdict
    return ACCEPTED


_Way = Callable[[Packet, Firewall], Iterator[_Base]]


def _way_of(packet: Packet) -> _Way:
    if packet.in_port and packet.out_port and packet.in_device == packet.out_device:
        return _bridged
    return _routed if packet.in_device and packet.out_device else _local


def _answer(packet: Packet, after: Packet) -> Packet:
    """Give the answer; what NAT changed on the way is not known of it at every hook.

    Where the request was kept from conntrack, the answer is the first that it sees: a new flow of UDP, else invalid.
    """
    answer = packet.reverse()
    if after.exempt is None:
        answer = replace(answer, state=None)
    elif after.exempt and packet.protocol != "ndp":
        answer = replace(answer, state="new" if packet.protocol == "udp" else "invalid")
    swap = {
        "source": "destination", "destination": "source", "source_port": "destination_port",
        "destination_port": "source_port",
    }
    changed = [swap[name] for name in swap if getattr(packet, name) != getattr(after, name)]
    return replace(answer, translated=after.translated, **{name: UNKNOWN[name] for name in changed})


def _judge(packet: Packet, firewall: Firewall, way: _Way) -> tuple[Verdict, Packet]:
    doubtful: list[Verdict] = []
    for base in way(packet, firewall):
        if base.table is None or base.chain is None:
            doubtful.append(Verdict("unknown", reasons=(str(base.doubt),)))
            continue
        if base.chain.type == "nat" and packet.state not in {"new", None}:
            continue  # only the first packet of a connection comes here
        if base.readdressed:
            packet = replace(packet, source_mac="", destination_mac="")
        fates = Walk(base.table, base.point).fates(base.chain, packet)
        verdict = _verdict(base.table, base.chain, fates)
        if verdict.outcome == "dropped" and base.certain:
            return verdict, packet
        if verdict.outcome != "accepted":
            reasons = verdict.reasons if base.doubt is None else (*verdict.reasons, str(base.doubt))
            doubtful.append(replace(verdict, outcome="unknown", reasons=reasons))
        onward = [fate.packet for fate in fates if fate.kind != "drop"] + ([] if base.certain else [packet])
        packet = reduce(blurred, onward or [packet])
    return next((one for one in doubtful if one.tool), doubtful[0] if doubtful else ACCEPTED), packet


def _verdict(table: RuleTable, chain: Chain, fates: Sequence[Fate]) -> Verdict:
    kinds = {fate.kind for fate in fates}
    if kinds == {"accept"}:
        return ACCEPTED
    drops = [fate for fate in fates if fate.kind == "drop"] or [fate for fate in fates if fate.kind == "unknown"]
    bad = min(drops, key=lambda fate: len(fate.doubts))  # the one that is surest
    doubts = tuple(dict.fromkeys(doubt for fate in fates for doubt in fate.doubts)) if kinds != {"drop"} else ()
    at = table.chains.get(bad.chain, chain)
    return Verdict(
        "dropped" if kinds == {"drop"} else "unknown", table.tool, table.backend, table.family, table.name, bad.chain, chain.hook,
        f"policy {at.policy}" if bad.rule is None else bad.rule.text, at.packets if bad.rule is None else bad.rule.packets,
        _rejects(bad.rule), any(doubt.partial for doubt in doubts), tuple(map(str, doubts)),
    )


def _rejects(rule: Rule | None) -> bool:
    return rule is not None and any(isinstance(action, Action) and action.kind == "reject" for action in rule.actions)


def _bridged(packet: Packet, firewall: Firewall) -> Iterator[_Base]:
    name, into, out = packet.in_device or packet.out_device, packet.in_port, packet.out_port
    yield from _device(packet, firewall, "ingress", into)
    yield from _bridge(packet, firewall, Point("bridge", "prerouting", into, bridge_in=name))
    yield from _bridge(packet, firewall, Point("bridge", "forward", into, out, name, name))
    yield from _bridge(packet, firewall, Point("bridge", "postrouting", "", out, bridge_out=name))
    yield from _device(packet, firewall, "egress", out)


def _local(packet: Packet, firewall: Firewall) -> Iterator[_Base]:
    if packet.out_device:
        yield from _stack(packet, firewall, Point(packet.family, "output", "", packet.out_device))
        yield from _out(packet, firewall, "")
    else:
        yield from _in(packet, firewall)
        point = Point(packet.family, "input", packet.in_device, physical_in=_under(packet, firewall))
        yield from _stack(packet, firewall, point)


def _routed(packet: Packet, firewall: Firewall) -> Iterator[_Base]:
    yield from _in(packet, firewall)
    point = Point(packet.family, "forward", packet.in_device, packet.out_device, physical_in=_under(packet, firewall))
    yield from _stack(packet, firewall, point)
    for base in _out(packet, firewall, None):
        yield replace(base, readdressed=True)


def _in(packet: Packet, firewall: Firewall) -> Iterator[_Base]:
    """From the wire to the IP stack: under a bridge, the IP prerouting runs once, in the bridge if br_netfilter calls it."""
    called: Truth = False
    if packet.in_port:
        called = firewall.bridge_calls.of(packet)
        prerouting = Point("bridge", "prerouting", packet.in_port, bridge_in=packet.in_device)
        yield from _device(packet, firewall, "ingress", packet.in_port)
        yield from _bridge(packet, firewall, prerouting, calls=called is True)
        yield from _bridge(packet, firewall, replace(prerouting, hook="input"))
    yield from _device(packet, firewall, "ingress", packet.in_device)
    if called is not True:
        under = _under(packet, firewall)
        yield from _stack(packet, firewall, Point(packet.family, "prerouting", packet.in_device, physical_in=under))


def _out(packet: Packet, firewall: Firewall, in_device: str | None) -> Iterator[_Base]:
    """From the IP stack to the wire, through the bridge where there is one."""
    yield from _stack(packet, firewall, Point(packet.family, "postrouting", in_device, packet.out_device))
    yield from _device(packet, firewall, "egress", packet.out_device)
    if packet.out_port:
        output = Point("bridge", "output", "", packet.out_port, bridge_out=packet.out_device)
        yield from _bridge(packet, firewall, output)
        yield from _bridge(packet, firewall, replace(output, hook="postrouting"), calls=False)
        yield from _device(packet, firewall, "egress", packet.out_port)


def _under(packet: Packet, firewall: Firewall) -> str | None:
    """Give the port that physdev sees of a packet that came in by a bridge: only if br_netfilter looked at it."""
    called = firewall.bridge_calls.of(packet) if packet.in_port else False
    return None if isinstance(called, Doubt) else packet.in_port if called else ""


def _bridge(packet: Packet, firewall: Firewall, point: Point, *, calls: bool | None = None) -> Iterator[_Base]:
    """One hook of the bridge, with the IP or ARP hook that br_netfilter calls from within it (``calls`` overrides)."""
    found = list(_bases(firewall, {"bridge"}, replace(point, own=firewall.own)))
    called = firewall.bridge_calls.of(packet) if calls is None and point.hook in _CALLED_AT else bool(calls)
    if called is not False and (packet.family != "arp" or point.hook == "forward"):
        doubt = called if isinstance(called, Doubt) else None
        found += [
            replace(base, certain=base.certain and doubt is None, doubt=base.doubt or doubt)
            for base in _called(packet, firewall, point)
        ]
    yield from sorted(found, key=lambda base: base.priority)


def _called(packet: Packet, firewall: Firewall, point: Point) -> Iterator[_Base]:
    """The IP hook sees the bridge as the interface and the ports by physdev only; ARP's is shown the ports."""
    if packet.family == "arp":
        inner = Point("arp", point.hook, point.in_device, point.out_device)
    else:
        inner = Point(
            packet.family, point.hook, point.bridge_in, point.bridge_out, physical_in=packet.in_port, physical_out=point.out_device,
        )
    for base in _stack(packet, firewall, inner):
        yield replace(base, priority=_CALLED_AT[point.hook])


def _stack(packet: Packet, firewall: Firewall, point: Point) -> Iterator[_Base]:
    """One hook of the IP stack, or of ARP (which has input, output and, for bridges, forward only)."""
    bases = _bases(firewall, _FAMILIES[packet.family], replace(point, own=firewall.own))
    yield from sorted(bases, key=lambda base: base.priority)


def _device(packet: Packet, firewall: Firewall, hook: str, device: str) -> Iterator[_Base]:
    """The ingress or egress hook of one device: chains of netdev tables, and of inet tables for IP."""
    families = {"netdev"} if packet.family == "arp" else {"netdev", "inet"}
    point = Point("netdev", hook, device if hook == "ingress" else "", device if hook == "egress" else "", own=firewall.own)
    found: list[_Base] = []
    for base in _bases(firewall, families, point):
        bound = _bound(base.chain, device)
        if bound is not False:
            found.append(replace(base, certain=False, doubt=bound) if isinstance(bound, Doubt) else base)
    yield from sorted(found, key=lambda base: base.priority)


def _bound(chain: Chain | None, device: str) -> Truth:
    if chain is None:
        return False  # what could not be read is said at the other hooks
    if chain.devices is None:
        return Doubt(f"the devices of chain {chain.name}")
    return some(device_is(name, device, "*") for name in chain.devices)


def _bases(firewall: Firewall, families: set[str], point: Point) -> Iterator[_Base]:
    for ruleset, of in _rulesets(firewall):
        if of & families:
            for reason in ruleset.unread:
                yield _Base(point, -_LAST, doubt=Doubt(reason))
        for table in ruleset.tables:
            if table.family in families:
                yield from _at(firewall, table, point)


def _rulesets(firewall: Firewall) -> tuple[tuple[Ruleset, set[str]], ...]:
    return (
        (firewall.iptables, {"ip"}), (firewall.ip6tables, {"ip6"}), (firewall.arptables, {"arp"}),
        (firewall.ebtables, {"bridge"}), (firewall.nftables, {"ip", "ip6", "arp", "bridge", "netdev"}),
    )


def _at(firewall: Firewall, table: RuleTable, point: Point) -> Iterator[_Base]:
    for chain in table.chains.values():
        if chain.hook == point.hook and not _shown_elsewhere(firewall, table, chain):
            yield _Base(replace(point, priority=chain.priority), chain.priority, table, chain)


def _shown_elsewhere(firewall: Firewall, table: RuleTable, chain: Chain) -> bool:
    """Tell a chain of nft's listing that iptables-nft, ip6tables-nft or ebtables-nft has made and shows itself."""
    if table.tool != "nftables":
        return False
    ruleset = {"ip": firewall.iptables, "ip6": firewall.ip6tables, "bridge": firewall.ebtables}.get(table.family)
    for other in ruleset.tables if ruleset else ():
        if (other.backend, other.name) == ("nft", table.name) and chain.name in other.chains:
            same = other.chains[chain.name]
            return same.hook == chain.hook and (table.family == "bridge" or same.priority == chain.priority)
    return False
