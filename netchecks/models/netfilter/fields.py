"""What nft's selectors read from a packet and its surroundings, and the words that stand for numbers there.

Source: man nft (PAYLOAD EXPRESSIONS, META EXPRESSIONS, CONNTRACK EXPRESSIONS, DATA TYPES).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from netchecks.models.netfilter.point import ETHER_TYPES, PROTOCOLS, Point, conntrack_state, ether_type, mac, packet_type
from netchecks.models.netfilter.rules import Selector
from netchecks.models.netfilter.truth import Doubt
from netchecks.models.netfilter.xtables import NDP_HOP_LIMIT
from netchecks.models.packets import ANY_PORT, Address, Packet, Port

ICMP_TYPES = {
    "echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8,
    "router-advertisement": 9, "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12,
    "timestamp-request": 13, "timestamp-reply": 14, "info-request": 15, "info-reply": 16, "address-mask-request": 17,
    "address-mask-reply": 18,
}
ICMPV6_TYPES = {
    "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4, "echo-request": 128,
    "echo-reply": 129, "mld-listener-query": 130, "mld-listener-report": 131, "mld-listener-done": 132,
    "mld-listener-reduction": 132, "nd-router-solicit": 133, "nd-router-advert": 134, "nd-neighbor-solicit": 135,
    "nd-neighbor-advert": 136, "nd-redirect": 137, "router-renumbering": 138, "ind-neighbor-solicit": 141,
    "ind-neighbor-advert": 142, "mld2-listener-report": 143,
}
ARP_OPERATIONS = {"request": 1, "reply": 2, "rrequest": 3, "rreply": 4, "inrequest": 8, "inreply": 9, "nak": 10}
TCP_BITS = {"fin": 1, "syn": 2, "rst": 4, "psh": 8, "ack": 16, "urg": 32, "ecn": 64, "cwr": 128}  # RFC 9293, RFC 3168
STATE_BITS = {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}  # Linux, nf_conntrack_common.h
NFPROTO = {"ipv4": 2, "ipv6": 10}


@dataclass(frozen=True, slots=True)
class Number:
    """A number, and the words that stand for numbers here."""

    value: int
    words: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PortValue:
    """A port, maybe not known exactly."""

    value: Port


@dataclass(frozen=True, slots=True)
class IpAddress:
    """An address."""

    value: Address


@dataclass(frozen=True, slots=True)
class Hardware:
    """A MAC."""

    value: str


@dataclass(frozen=True, slots=True)
class Name:
    """An interface, by name; None where it is not known."""

    value: str | None


@dataclass(frozen=True, slots=True)
class Set:
    """Flags that are set, and the bits that numbers may stand for."""

    value: frozenset[str]
    bits: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a fixed vocabulary."""

    value: str


@dataclass(frozen=True, slots=True)
class Kind:
    """An address whose type in the node's routes is asked for (fib)."""

    address: Address | None
    own: frozenset[Address] | None


@dataclass(frozen=True, slots=True)
class Several:
    """A concatenation; a part may be in doubt."""

    values: tuple[Value | Doubt, ...]


Value: TypeAlias = Number | PortValue | IpAddress | Hardware | Name | Set | Word | Kind | Several
#: None: the packet has no such header; the rule does not match then, whatever the operator.
Read: TypeAlias = Value | Doubt | None


def select(selector: Selector, packet: Packet, point: Point) -> Read:
    """Read what the selector looks at; a doubt where it is not known."""
    if selector.domain == "payload":
        header, _, name = selector.name.partition(" ")
        return _payload(header, name, packet)
    found = _SELECT.get((selector.domain, selector.name))
    return found(packet, point) if found else Doubt(f"{selector.domain} {selector.name}")


def _payload(header: str, name: str, packet: Packet) -> Read:
    """Read a header's field; None where the packet has no such header."""
    if header not in _HEADERS:
        return None if header in _FOREIGN else Doubt(f"{header} {name}")
    if not _HEADERS[header](packet):
        return PortValue(ANY_PORT) if header == "th" and packet.number is not None else None  # other bytes stand there
    if packet.vlan is not None and header not in {"ether", "vlan"}:
        return Doubt(f"{header} {name} behind a VLAN tag")
    if header in {"tcp", "udp", "th"} and name in {"sport", "dport"}:
        return PortValue(packet.source_port if name == "sport" else packet.destination_port)
    found = _FIELDS.get(f"{header} {name}")
    return found(packet) if found else Doubt(f"{header} {name}")


def _ip(address: Address | None) -> Read:
    return Doubt("an address that is not known") if address is None else IpAddress(address)


def _hardware(text: str) -> Read:
    return Hardware(mac(text)) if text else Doubt("a hardware address that is not known")


def _number(value: int | None, words: Mapping[str, int] | None = None) -> Read:
    return Doubt("a number that is not known") if value is None else Number(value, words or {})


def _hop_limit(packet: Packet) -> Read:
    return Number(NDP_HOP_LIMIT) if packet.protocol == "ndp" else Doubt("ip6 hoplimit")


_HEADERS: Mapping[str, Callable[[Packet], bool]] = {
    "ether": lambda _: True,
    "vlan": lambda packet: packet.vlan is not None,
    "arp": lambda packet: packet.family == "arp",
    "ip": lambda packet: packet.family == "ipv4",
    "ip6": lambda packet: packet.family == "ipv6",
    "icmp": lambda packet: packet.protocol == "icmp",
    "icmpv6": lambda packet: packet.protocol in {"icmpv6", "ndp"},
    "tcp": lambda packet: packet.protocol == "tcp",
    "udp": lambda packet: packet.protocol == "udp",
    "th": lambda packet: packet.protocol in {"tcp", "udp"},
}
_FOREIGN = {"sctp", "dccp", "udplite", "ah", "esp", "comp", "igmp", "vxlan", "geneve", "gre", "gretap"}
_FIELDS: Mapping[str, Callable[[Packet], Read]] = {
    "ether saddr": lambda packet: _hardware(packet.source_mac),
    "ether daddr": lambda packet: _hardware(packet.destination_mac),
    "ether type": lambda packet: Number(ether_type(packet) if packet.vlan is None else ETHER_TYPES["8021q"], ETHER_TYPES),
    "vlan id": lambda packet: _number(packet.vlan),
    "vlan type": lambda packet: Number(ether_type(packet), ETHER_TYPES),
    "arp operation": lambda packet: Number(packet.operation, ARP_OPERATIONS),
    "arp htype": lambda _: Number(1, {"ether": 1}),
    "arp ptype": lambda _: Number(ETHER_TYPES["ip"], ETHER_TYPES),
    "arp hlen": lambda _: Number(6),
    "arp plen": lambda _: Number(4),
    "arp saddr ip": lambda packet: _ip(packet.source),
    "arp daddr ip": lambda packet: _ip(packet.destination),
    "arp saddr ether": lambda packet: _hardware(packet.source_mac),
    "arp daddr ether": lambda packet: _hardware(packet.destination_mac if packet.answer else "00:00:00:00:00:00"),
    "ip saddr": lambda packet: _ip(packet.source),
    "ip daddr": lambda packet: _ip(packet.destination),
    "ip protocol": lambda packet: _number(packet.number, PROTOCOLS),
    "ip version": lambda _: Number(4),
    "ip length": lambda packet: _number(packet.size),
    "ip6 saddr": lambda packet: _ip(packet.source),
    "ip6 daddr": lambda packet: _ip(packet.destination),
    "ip6 nexthdr": lambda packet: _number(packet.number, PROTOCOLS),
    "ip6 version": lambda _: Number(6),
    "ip6 hoplimit": _hop_limit,
    "icmp type": lambda packet: _number(packet.icmp_type, ICMP_TYPES),
    "icmp code": lambda _: Number(0),
    "icmpv6 type": lambda packet: _number(packet.icmp_type, ICMPV6_TYPES),
    "icmpv6 code": lambda _: Number(0),
    "icmpv6 taddr": lambda packet: _ip(packet.target) if packet.protocol == "ndp" else None,
    "tcp flags": lambda packet: Set(packet.flags, TCP_BITS),
}


def _state(packet: Packet, point: Point) -> Read:
    state = conntrack_state(packet, point)
    return Doubt("ct state") if state is None else Set(frozenset({state}), STATE_BITS)


def _direction(packet: Packet, point: Point) -> Read:
    known = conntrack_state(packet, point) in {"new", "established"}
    return Word("reply" if packet.answer else "original") if known else Doubt("ct direction")


def _layer2(packet: Packet, _: Point) -> Read:
    return Number(ether_type(packet), ETHER_TYPES) if packet.vlan is None else Doubt("meta protocol of a tagged frame")


def _layer3(packet: Packet, point: Point) -> Read:
    if point.family not in {"ipv4", "ipv6"}:
        return Doubt("meta nfproto")
    return Number(NFPROTO[packet.family], NFPROTO)


def _packet_type(packet: Packet, point: Point) -> Read:
    found = packet_type(packet, point)
    return Doubt("meta pkttype") if found is None else Word({"unicast": "host"}.get(found, found))


def _layer4(packet: Packet, _: Point) -> Read:
    return None if packet.number is None else Number(packet.number, PROTOCOLS)


_SELECT: Mapping[tuple[str, str], Callable[[Packet, Point], Read]] = {
    ("meta", "protocol"): _layer2,
    ("meta", "l4proto"): _layer4,
    ("meta", "nfproto"): _layer3,
    ("meta", "iifname"): lambda _, point: Name(point.in_device),
    ("meta", "iif"): lambda _, point: Name(point.in_device),
    ("meta", "oifname"): lambda _, point: Name(point.out_device),
    ("meta", "oif"): lambda _, point: Name(point.out_device),
    ("meta", "ibrname"): lambda _, point: Name(point.bridge_in),
    ("meta", "obrname"): lambda _, point: Name(point.bridge_out),
    ("meta", "length"): lambda packet, point: _number(packet.size) if point.family in {"ipv4", "ipv6"} else Doubt("meta length"),
    ("meta", "pkttype"): _packet_type,
    ("ct", "state"): _state,
    ("ct", "direction"): _direction,
    ("fib", "daddr type"): lambda packet, point: Kind(packet.destination, point.own),
    ("fib", "saddr type"): lambda packet, point: Kind(packet.source, point.own),
}
