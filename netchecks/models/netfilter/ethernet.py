"""Evaluating the matches of ebtables and arptables. Source: man ebtables, man arptables."""

from __future__ import annotations

from collections.abc import Mapping

from netchecks.models.netfilter.point import (
    ETHER_TYPES,
    Point,
    address_in,
    device_is,
    ether_type,
    mac_in,
    mac_number,
    packet_type,
)
from netchecks.models.netfilter.rules import Option
from netchecks.models.netfilter.truth import Doubt, Truth, every
from netchecks.models.netfilter.xtables import (
    Test,
    destination_port,
    evaluate,
    icmp_is,
    mac_source,
    protocol_is,
    source_port,
    span,
)
from netchecks.models.packets import ARP_REPLY, ARP_REQUEST, BROADCAST, Packet

_ZERO_MAC = "00:00:00:00:00:00"
_GROUP = "01:00:00:00:00:00"
#: Names that ebtables prints for whole classes of addresses (man ebtables, -s).
_CLASSES = {
    "unicast": (_ZERO_MAC, _GROUP), "multicast": (_GROUP, _GROUP), "broadcast": (BROADCAST, BROADCAST),
    "bga": ("01:80:c2:00:00:00", BROADCAST),
}
_OPERATIONS = {"request": ARP_REQUEST, "reply": ARP_REPLY}


def ethernet_holds(option: Option, packet: Packet, point: Point) -> Truth:
    """Tell whether a match of ebtables holds. What is not known here is a doubt."""
    return evaluate(option, packet, point, _EBTABLES)


def arp_holds(option: Option, packet: Packet, point: Point) -> Truth:
    """Tell whether a match of arptables holds. What is not known here is a doubt."""
    return evaluate(option, packet, point, _ARPTABLES)


def _mac_is(address: str, text: str) -> Truth:
    value, _, mask = text.partition("/")
    value, mask = _CLASSES.get(value.lower(), (value, mask or BROADCAST))
    if value == _ZERO_MAC and mask == _ZERO_MAC:
        return True
    return mac_in(address, value, mask)


def _protocol(option: Option, packet: Packet, _: Point) -> Truth:
    name = option.values[0].lower()
    if name == "length":  # frames of IEEE 802.3, with a length in place of the type
        return False
    outer = ether_type(packet) if packet.vlan is None else ETHER_TYPES["8021q"]
    number = ETHER_TYPES.get(name)
    return outer == (int(name, 16) if number is None else number)


def _source(option: Option, packet: Packet, _: Point) -> Truth:
    return _mac_is(packet.source_mac, option.values[0])


def _destination(option: Option, packet: Packet, _: Point) -> Truth:
    return _mac_is(packet.destination_mac, option.values[0])


def _in_port(option: Option, _: Packet, point: Point) -> Truth:
    return device_is(option.values[0], point.in_device, "+")


def _out_port(option: Option, _: Packet, point: Point) -> Truth:
    return device_is(option.values[0], point.out_device, "+")


def _logical_in(option: Option, _: Packet, point: Point) -> Truth:
    return device_is(option.values[0], point.bridge_in, "+")


def _logical_out(option: Option, _: Packet, point: Point) -> Truth:
    return device_is(option.values[0], point.bridge_out, "+")


def _is_arp(packet: Packet) -> bool:
    return packet.family == "arp" and packet.vlan is None


def _arp_operation(option: Option, packet: Packet, _: Point) -> Truth:
    name = option.values[0].lower()
    return _is_arp(packet) and _OPERATIONS.get(name) == packet.operation if name in _OPERATIONS else (
        _is_arp(packet) and int(name, 0) == packet.operation
    )


def _arp_source(option: Option, packet: Packet, _: Point) -> Truth:
    return _is_arp(packet) and address_in(packet.source, option.values[0])


def _arp_destination(option: Option, packet: Packet, _: Point) -> Truth:
    return _is_arp(packet) and address_in(packet.destination, option.values[0])


def _arp_source_mac(option: Option, packet: Packet, _: Point) -> Truth:
    return _is_arp(packet) and _mac_is(packet.source_mac, option.values[0])


def arp_target_mac(packet: Packet) -> str:
    """Give the target's hardware address in an ARP packet: none is known in a request."""
    return packet.destination_mac if packet.operation == ARP_REPLY else _ZERO_MAC


def _arp_destination_mac(option: Option, packet: Packet, _: Point) -> Truth:
    return _is_arp(packet) and _mac_is(arp_target_mac(packet), option.values[0])


def _gratuitous(_: Option, packet: Packet, __: Point) -> Truth:
    if not _is_arp(packet) or packet.source is None:
        return Doubt("gratuitous ARP") if _is_arp(packet) else False
    return packet.source == packet.destination


def _arp_hardware(option: Option, packet: Packet, _: Point) -> Truth:
    return _is_arp(packet) and option.values[0].lower() in {"1", "0x1", "ethernet"}


def _arp_protocol(option: Option, packet: Packet, _: Point) -> Truth:
    name = option.values[0].lower()
    return _is_arp(packet) and ETHER_TYPES.get(name, -1) == ETHER_TYPES["ip"] if name in ETHER_TYPES else (
        _is_arp(packet) and int(name, 16) == ETHER_TYPES["ip"]
    )


def _arp_length(option: Option, packet: Packet, _: Point) -> Truth:
    return _is_arp(packet) and int(option.values[0], 0) == 6  # noqa: PLR2004 - bytes of an Ethernet address


def _of(family: str, test: Test) -> Test:
    """Let a test of an IP header hold only where the frame carries that header, untagged."""

    def checked(option: Option, packet: Packet, point: Point) -> Truth:
        return packet.family == family and packet.vlan is None and test(option, packet, point)

    return checked


def _ip_source(option: Option, packet: Packet, _: Point) -> Truth:
    return address_in(packet.source, option.values[0])


def _ip_destination(option: Option, packet: Packet, _: Point) -> Truth:
    return address_in(packet.destination, option.values[0])


def _icmp(option: Option, packet: Packet, _: Point) -> Truth:
    return packet.protocol in {"icmp", "icmpv6", "ndp"} and icmp_is(option.values[0], packet)


def _vlan_id(option: Option, packet: Packet, _: Point) -> Truth:
    return packet.vlan is not None and packet.vlan == span(option.values[0])[0]


def _packet_type(option: Option, packet: Packet, point: Point) -> Truth:
    found, wanted = packet_type(packet, point), option.values[0].lower()
    if found in {"broadcast", "multicast"} or wanted in {"broadcast", "multicast"}:
        return Doubt("packet type") if mac_number(packet.destination_mac) is None else found == wanted
    return Doubt("packet type")


def _never(_: Option, __: Packet, ___: Point) -> Truth:
    return False


def _arptables_device(option: Option, _: Packet, point: Point) -> Truth:
    device = point.in_device if option.name == "i" else point.out_device
    return True if option.values[0] in {"any", "*"} else device_is(option.values[0], device, "+")


def _both_macs(option: Option, packet: Packet, _: Point) -> Truth:
    ours = packet.source_mac if option.name == "src-mac" else arp_target_mac(packet)
    return every((_is_arp(packet), _mac_is(ours, option.values[0])))


_EBTABLES: Mapping[str, Test] = {
    "p": _protocol, "s": _source, "d": _destination, "i": _in_port, "o": _out_port, "logical-in": _logical_in,
    "logical-out": _logical_out, "arp-op": _arp_operation, "arp-opcode": _arp_operation, "arp-ip-src": _arp_source,
    "arp-ip-dst": _arp_destination, "arp-mac-src": _arp_source_mac, "arp-mac-dst": _arp_destination_mac,
    "arp-gratuitous": _gratuitous, "arp-htype": _arp_hardware, "arp-ptype": _arp_protocol,
    "ip-src": _of("ipv4", _ip_source), "ip-dst": _of("ipv4", _ip_destination), "ip-proto": _of("ipv4", protocol_is),
    "ip-sport": _of("ipv4", source_port), "ip-dport": _of("ipv4", destination_port), "ip-icmp-type": _of("ipv4", _icmp),
    "ip6-src": _of("ipv6", _ip_source), "ip6-dst": _of("ipv6", _ip_destination), "ip6-proto": _of("ipv6", protocol_is),
    "ip6-sport": _of("ipv6", source_port), "ip6-dport": _of("ipv6", destination_port), "ip6-icmp-type": _of("ipv6", _icmp),
    "vlan-id": _vlan_id, "pkttype-type": _packet_type, "stp-type": _never, "mac-source": mac_source,
}
_ARPTABLES: Mapping[str, Test] = {
    "s": _arp_source, "d": _arp_destination, "src-ip": _arp_source, "dst-ip": _arp_destination, "src-mac": _both_macs,
    "dst-mac": _both_macs, "source-mac": _both_macs, "i": _arptables_device, "o": _arptables_device,
    "opcode": _arp_operation, "h-length": _arp_length, "h-type": _arp_hardware, "proto-type": _arp_protocol,
}
