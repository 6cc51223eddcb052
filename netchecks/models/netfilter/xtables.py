"""Evaluating the matches of iptables and ip6tables. Source: man iptables-extensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from netchecks.models.netfilter.point import (
    PROTOCOLS,
    TCP_FLAGS,
    Point,
    address_between,
    address_in,
    address_type,
    conntrack_state,
    device_is,
    mac_in,
    packet_type,
    port_between,
)
from netchecks.models.netfilter.rules import Option
from netchecks.models.netfilter.truth import Doubt, Truth, negated, some
from netchecks.models.packets import Packet, Port

Test = Callable[[Option, Packet, Point], Truth]

#: Names that older tools print in place of the numbers.
ICMP_NAMES = {"echo-reply": 0, "pong": 0, "destination-unreachable": 3, "redirect": 5, "echo-request": 8, "ping": 8}
ICMPV6_NAMES = {
    "destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4, "echo-request": 128,
    "ping": 128, "echo-reply": 129, "pong": 129, "router-solicitation": 133, "router-advertisement": 134,
    "neighbour-solicitation": 135, "neighbor-solicitation": 135, "neighbour-advertisement": 136,
    "neighbor-advertisement": 136, "redirect": 137,
}
#: How many values an option has, where it is not one; with more or fewer it is not what it seems.
_VALUES = {"f": 0, "syn": 0, "physdev-is-in": 0, "physdev-is-out": 0, "physdev-is-bridged": 0, "arp-gratuitous": 0, "tcp-flags": 2}
#: NDP is sent with the highest hop limit (RFC 4861 section 7.1.1).
NDP_HOP_LIMIT = 255


def option_holds(option: Option, packet: Packet, point: Point) -> Truth:
    """Tell whether a match of iptables or ip6tables holds. What is not known here is a doubt."""
    return evaluate(option, packet, point, TESTS)


def evaluate(option: Option, packet: Packet, point: Point, tests: Mapping[str, Test]) -> Truth:
    """Look the option's test up, run it and turn its result round where it is negated."""
    test = tests.get(option.name)
    if test is None or len(option.values) != _VALUES.get(option.name, 1):
        return Doubt(str(option), partial=option.module == "statistic")
    try:
        truth = test(option, packet, point)
    except (ValueError, IndexError):
        return Doubt(str(option))
    if isinstance(truth, Doubt):
        return Doubt(str(option), partial=truth.partial)
    return negated(truth, flip=option.negated)


def span(text: str, separator: str = ":", highest: int = 65535) -> tuple[int, int]:
    """Read ``low:high`` where each may be missing, or one number. Raises ValueError."""
    low, colon, high = text.partition(separator)
    first = int(low, 0) if low else 0
    return first, (int(high, 0) if high else highest) if colon else first


def port_is(port: Port, text: str) -> Truth:
    """Compare a port with ``low:high`` or one number."""
    return port_between(port, *span(text))


def protocol_is(option: Option, packet: Packet, _: Point) -> Truth:
    """Compare the IP protocol, by number or name."""
    name = option.values[0].lower()
    number = int(name) if name.isdigit() else 0 if name == "all" else PROTOCOLS.get(name)
    return Doubt(f"protocol {name}") if number is None else number in {0, packet.number}


def _source(option: Option, packet: Packet, _: Point) -> Truth:
    return some(address_in(packet.source, text) for text in option.values[0].split(","))


def _destination(option: Option, packet: Packet, _: Point) -> Truth:
    return some(address_in(packet.destination, text) for text in option.values[0].split(","))


def _in_device(option: Option, _: Packet, point: Point) -> Truth:
    return device_is(option.values[0], point.in_device, "+")


def _out_device(option: Option, _: Packet, point: Point) -> Truth:
    return device_is(option.values[0], point.out_device, "+")


def has_ports(packet: Packet) -> bool:
    """Tell whether its protocol has ports."""
    return packet.protocol in {"tcp", "udp"}


def source_port(option: Option, packet: Packet, _: Point) -> Truth:
    """Compare the source port."""
    return has_ports(packet) and port_is(packet.source_port, option.values[0])


def destination_port(option: Option, packet: Packet, _: Point) -> Truth:
    """Compare the destination port."""
    return has_ports(packet) and port_is(packet.destination_port, option.values[0])


def _source_ports(option: Option, packet: Packet, _: Point) -> Truth:
    return has_ports(packet) and some(port_is(packet.source_port, text) for text in option.values[0].split(","))


def _destination_ports(option: Option, packet: Packet, _: Point) -> Truth:
    return has_ports(packet) and some(port_is(packet.destination_port, text) for text in option.values[0].split(","))


def _any_ports(option: Option, packet: Packet, point: Point) -> Truth:
    return some((_source_ports(option, packet, point), _destination_ports(option, packet, point)))


def flag_names(text: str) -> frozenset[str]:
    """Read ``FIN,SYN``, ``ALL`` or ``NONE``."""
    names = frozenset(text.lower().split(","))
    return frozenset(TCP_FLAGS[:6]) if names == {"all"} else names - {"none"}


def _flags(option: Option, packet: Packet, _: Point) -> Truth:
    mask, wanted = map(flag_names, option.values)
    return packet.protocol == "tcp" and packet.flags & mask == wanted


def _syn(_: Option, packet: Packet, __: Point) -> Truth:
    return packet.protocol == "tcp" and packet.flags & {"syn", "ack", "rst", "fin"} == {"syn"}


def icmp_is(text: str, packet: Packet) -> Truth:
    """Compare with ``type[/code]`` or ``any``. The packets that are judged all have code 0."""
    kind, _, code = text.partition("/")
    if kind in {"any", "255"}:
        return True
    if packet.icmp_type is None:
        return Doubt(f"ICMP type {text}")
    names = ICMP_NAMES if packet.family == "ipv4" else ICMPV6_NAMES
    low, high = (names[kind], names[kind]) if kind in names else span(kind, highest=255)
    return low <= packet.icmp_type <= high and (not code or span(code)[0] == 0)


def _icmp(option: Option, packet: Packet, _: Point) -> Truth:
    return packet.protocol == "icmp" and icmp_is(option.values[0], packet)


def _icmpv6(option: Option, packet: Packet, _: Point) -> Truth:
    return packet.protocol in {"icmpv6", "ndp"} and icmp_is(option.values[0], packet)


def _state(option: Option, packet: Packet, point: Point) -> Truth:
    names = set(option.values[0].lower().split(","))
    state = conntrack_state(packet, point)
    found: list[Truth] = [Doubt("conntrack state") if state is None else state in names]
    for name, field in (("dnat", "destination"), ("snat", "source")):
        if name in names and state not in {"untracked", "invalid"}:
            found.append(Doubt("translation") if packet.translated is None else field in packet.translated)
    return some(found)


def _direction(option: Option, packet: Packet, point: Point) -> Truth:
    state = conntrack_state(packet, point)
    if state not in {"new", "established"}:
        return Doubt("conntrack direction")
    return (option.values[0].upper() == "REPLY") == packet.answer


def _range(option: Option, packet: Packet, _: Point) -> Truth:
    low, dash, high = option.values[0].partition("-")
    address = packet.source if option.name == "src-range" else packet.destination
    return address_between(address, low, high if dash else low)


def mac_source(option: Option, packet: Packet, _: Point) -> Truth:
    """Compare the Ethernet source."""
    return mac_in(packet.source_mac, option.values[0])


def _packet_type(option: Option, packet: Packet, point: Point) -> Truth:
    found = packet_type(packet, point)
    return Doubt("packet type") if found is None else found == option.values[0].lower().replace("host", "unicast")


def _address_type(option: Option, packet: Packet, point: Point) -> Truth:
    address = packet.source if option.name == "src-type" else packet.destination
    return address_type(address, option.values[0].split(","), point.own)


def _length(option: Option, packet: Packet, _: Point) -> Truth:
    low, high = span(option.values[0])
    return Doubt("length") if packet.size is None else low <= packet.size <= high


def _hop_limit(option: Option, packet: Packet, _: Point) -> Truth:
    if packet.protocol != "ndp":
        return Doubt("hop limit")
    value = int(option.values[0])
    return {"hl-eq": value == NDP_HOP_LIMIT, "hl-lt": value > NDP_HOP_LIMIT, "hl-gt": value < NDP_HOP_LIMIT}[option.name]


def _physical_in(option: Option, _: Packet, point: Point) -> Truth:
    return device_is(option.values[0], point.physical_in, "+") if point.physical_in != "" else False


def _physical_out(option: Option, _: Packet, point: Point) -> Truth:
    return device_is(option.values[0], point.physical_out, "+") if point.physical_out != "" else False


def _is_in(_: Option, __: Packet, point: Point) -> Truth:
    return Doubt("bridge port") if point.physical_in is None else bool(point.physical_in)


def _is_out(_: Option, __: Packet, point: Point) -> Truth:
    return Doubt("bridge port") if point.physical_out is None else bool(point.physical_out)


def _always(_: Option, __: Packet, ___: Point) -> Truth:
    return True


def _no_fragment(_: Option, __: Packet, ___: Point) -> Truth:
    """Fragments are put together before the filter where conntrack runs, and the first one is no "further" one."""
    return False



TESTS: Mapping[str, Test] = {
    "p": protocol_is, "s": _source, "d": _destination, "i": _in_device, "o": _out_device, "f": _no_fragment,
    "sport": source_port, "dport": destination_port, "sports": _source_ports, "dports": _destination_ports, "ports": _any_ports,
    "tcp-flags": _flags, "syn": _syn, "icmp-type": _icmp, "icmpv6-type": _icmpv6, "state": _state, "ctstate": _state,
    "ctdir": _direction, "src-range": _range, "dst-range": _range, "mac-source": mac_source, "pkt-type": _packet_type,
    "src-type": _address_type, "dst-type": _address_type, "length": _length, "hl-eq": _hop_limit, "hl-lt": _hop_limit,
    "hl-gt": _hop_limit, "physdev-in": _physical_in, "physdev-out": _physical_out, "physdev-is-in": _is_in,
    "physdev-is-out": _is_out, "physdev-is-bridged": _is_out, "comment": _always, "nfacct-name": _always,
}
