"""Evaluating the matches of nftables. Source: man nft, libnftables-json(5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from netchecks.models.netfilter.point import (
    ETHER_TYPES,
    PROTOCOLS,
    Point,
    address_between,
    address_in,
    address_or_none,
    address_type,
    conntrack_state,
    device_is,
    ether_type,
    mac,
    mac_number,
    packet_type,
    port_between,
)
from netchecks.models.netfilter.rules import (
    Comparison,
    Concatenation,
    Constant,
    Elements,
    Expression,
    Flags,
    Interval,
    NamedSet,
    Opaque,
    Operation,
    Prefix,
    Reference,
    Selector,
)
from netchecks.models.netfilter.truth import Doubt, Truth, every, negated, some
from netchecks.models.netfilter.xtables import NDP_HOP_LIMIT
from netchecks.models.packets import Address, Packet, Port
from netchecks.models.table import Table

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
#: The element of a set or map that stands for all the others.
CATCH_ALL = Constant("*")
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
    """Flags that are set."""

    value: frozenset[str]


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
    """A concatenation."""

    values: tuple[Value, ...]


Value = Number | PortValue | IpAddress | Hardware | Name | Set | Word | Kind | Several
#: None: the packet has no such header; the rule does not match then, whatever the operator.
Read = Value | Doubt | None
Sets = Table[NamedSet]


def comparison_holds(match: Comparison | Opaque, packet: Packet, point: Point, sets: Sets) -> Truth:
    """Tell whether a match of nft holds. What is not known here is a doubt."""
    if isinstance(match, Opaque):
        return Doubt(match.text, partial=match.partial)
    value = read(match.left, packet, point)
    if value is None or isinstance(value, Doubt):
        return False if value is None else value
    return _compare(value, match.operator, match.right, sets)


def read(expression: Expression, packet: Packet, point: Point) -> Read:
    """Give what the packet has where the expression looks."""
    if isinstance(expression, Selector):
        return _select(expression, packet, point)
    if isinstance(expression, Concatenation):
        return _several([read(part, packet, point) for part in expression.parts])
    if isinstance(expression, Operation):
        return _operate(expression, read(expression.left, packet, point))
    if isinstance(expression, Opaque):
        return Doubt(expression.text, partial=expression.partial)
    return Doubt(f"{expression}")


def _several(values: Sequence[Read]) -> Read:
    if any(value is None for value in values):
        return None
    doubt = next((value for value in values if isinstance(value, Doubt)), None)
    return doubt or Several(tuple(value for value in values if value is not None and not isinstance(value, Doubt)))


def _operate(operation: Operation, value: Read) -> Read:
    if operation.operator != "&" or value is None or isinstance(value, Doubt):
        return value if value is None or isinstance(value, Doubt) else Doubt(f"operator {operation.operator}")
    mask = operation.right
    if isinstance(value, Set):
        return Set(value.value & _names(mask))
    if not isinstance(mask, Constant):
        return Doubt("a mask that is no number")
    return _masked(value, mask.value)


def _masked(value: Value, mask: str | int) -> Read:
    bits = address_or_none(mask) if isinstance(mask, str) else None
    hardware = mac_number(mask) if isinstance(mask, str) else None
    ours = mac_number(value.value) if isinstance(value, Hardware) else None
    if isinstance(value, IpAddress) and bits is not None:
        number = int(value.value) & int(bits)
        return IpAddress(ip_address(number.to_bytes(value.value.max_prefixlen // 8, "big")))
    if hardware is not None and ours is not None:
        return Hardware(":".join(f"{byte:02x}" for byte in (ours & hardware).to_bytes(6, "big")))
    if isinstance(value, Number) and isinstance(mask, int):
        return Number(value.value & mask, value.words)
    return Doubt(f"mask {mask}")


def _names(expression: Expression) -> frozenset[str]:
    if isinstance(expression, Flags):
        return expression.names
    if isinstance(expression, Constant) and isinstance(expression.value, str):
        return frozenset({expression.value})
    return frozenset()


def _compare(value: Value, operator: str, right: Expression, sets: Sets) -> Truth:
    if isinstance(value, Set) and not isinstance(right, (Elements, Reference)):
        return _flags(value, operator, right)
    if operator in {"==", "in"}:
        return member(value, right, sets)
    if operator in {"!=", "!"}:
        return negated(member(value, right, sets))
    return _ordered(value, operator, right)


def _flags(value: Set, operator: str, right: Expression) -> Truth:
    if isinstance(right, Constant) and not isinstance(right.value, str) and right.value != 0:
        return Doubt(f"flags {right.value}")
    names = _names(right)
    if operator == "in":
        return bool(value.value & names)
    if operator == "!" or (operator == "!=" and isinstance(right, Flags)):
        return not value.value & names
    return (value.value == names) == (operator == "==")


def _ordered(value: Value, operator: str, right: Expression) -> Truth:
    """Compare by order, as the interval that the operator means."""
    if not isinstance(right, Constant) or not isinstance(right.value, int):
        return Doubt(f"{operator} {right}")
    bound, highest = right.value, 2 ** 64
    low, high = {
        "<": (0, bound - 1), "<=": (0, bound), ">": (bound + 1, highest), ">=": (bound, highest),
    }.get(operator, (None, None))
    if low is None or high is None:
        return Doubt(f"operator {operator}")
    return _between(value, Constant(low), Constant(high)) if low <= high else False


def member(value: Value, element: Expression, sets: Sets) -> Truth:
    """Tell whether a value equals an element, lies in it, or is in the set it stands for."""
    if isinstance(element, Elements):
        return some(member(value, one, sets) for one in element.members)
    if isinstance(element, Reference):
        if element.name not in sets:
            return Doubt(f"set @{element.name}")
        return some(member(value, one, sets) for one in sets[element.name].elements)
    if isinstance(element, Concatenation) and isinstance(value, Several) and len(element.parts) == len(value.values):
        return every(member(one, part, sets) for one, part in zip(value.values, element.parts, strict=True))
    return _equals(value, element)


def _equals(value: Value, element: Expression) -> Truth:
    if isinstance(element, Prefix) and isinstance(value, IpAddress):
        return address_in(value.value, f"{element.address}/{element.length}")
    if element == CATCH_ALL:
        return True
    if isinstance(element, Interval):
        return _between(value, element.low, element.high)
    if isinstance(value, Set):
        return value.value == _names(element)
    if isinstance(element, Constant):
        return _is(value, element.value)
    return Doubt(f"{element}")


def _between(value: Value, low: Constant, high: Constant) -> Truth:
    if isinstance(value, IpAddress):
        return address_between(value.value, str(low.value), str(high.value))
    first, last = _integer(value, low.value), _integer(value, high.value)
    if first is None or last is None:
        return Doubt(f"{low.value}-{high.value}")
    if isinstance(value, PortValue):
        return port_between(value.value, first, last)
    return first <= value.value <= last if isinstance(value, Number) else Doubt(f"{low.value}-{high.value}")


def _integer(value: Value, text: str | int) -> int | None:
    if isinstance(text, int):
        return int(text)
    words = value.words if isinstance(value, Number) else {}
    try:
        return words[text] if text in words else int(text, 0)
    except ValueError:
        return None


def _is(value: Value, constant: str | int) -> Truth:
    if isinstance(value, (Number, PortValue)):
        number = _integer(value, constant)
        return Doubt(f"{constant}") if number is None else _between(value, Constant(number), Constant(number))
    if not isinstance(constant, str):
        return Doubt(f"{constant}")
    return _is_text(value, constant)


def _is_text(value: Value, text: str) -> Truth:
    if isinstance(value, IpAddress):
        return address_in(value.value, text)
    if isinstance(value, Name):
        return device_is(text, value.value, "*")
    if isinstance(value, Hardware):
        return Doubt(f"hardware address {text}") if mac_number(text) is None else value.value == mac(text)
    if isinstance(value, Kind):
        return address_type(value.address, (text,), value.own)
    return value.value == text if isinstance(value, Word) else Doubt(text)


def _select(selector: Selector, packet: Packet, point: Point) -> Read:
    if selector.domain == "payload":
        header, _, name = selector.name.partition(" ")
        return _payload(header, name, packet)
    found = _SELECT.get((selector.domain, selector.name))
    return found(packet, point) if found else Doubt(f"{selector.domain} {selector.name}")


def _payload(header: str, name: str, packet: Packet) -> Read:
    """Read a header's field; None where the packet has no such header."""
    if header not in _HEADERS:
        return None if header in _FOREIGN else Doubt(f"{header} {name}")
    present = _HEADERS[header](packet)
    if not present:
        return None if header != "th" or packet.number is None else Doubt(f"{header} {name}")
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
    "tcp flags": lambda packet: Set(packet.flags),
}


def _state(packet: Packet, point: Point) -> Read:
    state = conntrack_state(packet, point)
    return Doubt("ct state") if state is None else Set(frozenset({state}))


def _direction(packet: Packet, point: Point) -> Read:
    known = conntrack_state(packet, point) in {"new", "established"}
    return Word("reply" if packet.answer else "original") if known else Doubt("ct direction")


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
    ("meta", "protocol"): lambda packet, _: Number(ether_type(packet), ETHER_TYPES),
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
