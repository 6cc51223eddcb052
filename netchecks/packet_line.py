"""One captured frame in one line, as evidence. Scapy would take half a second to be imported for it."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from netchecks.models.dhcp.messages import messages

_VLANS = (0x8100, 0x88A8)  # IEEE 802.1Q, 802.1ad
_IPV4, _ARP, _IPV6 = 0x0800, 0x0806, 0x86DD  # IANA, IEEE 802 numbers
_PROTOCOLS = {1: "ICMP", 6: "TCP", 17: "UDP", 58: "ICMPv6"}  # IANA protocol numbers
_ICMP = {0: "echo reply", 3: "unreachable", 8: "echo request", 11: "time exceeded"}  # RFC 792
_ICMPV6 = {  # RFC 4443 section 2.1, RFC 4861 section 4
    1: "unreachable", 2: "packet too big", 3: "time exceeded", 128: "echo request", 129: "echo reply",
    133: "router solicitation", 134: "router advertisement", 135: "neighbour solicitation", 136: "neighbour advertisement",
}


def packet_line(frame: bytes) -> str:
    """Tell who sent an Ethernet frame to whom and what it is; of a short or unknown one as much as can be told.

    >>> packet_line(bytes.fromhex("ffffffffffff525400000001 0806 0001080006040001 525400000001 0a000001 000000000000 0a000002"))
    'ARP who has 10.0.0.2? tell 10.0.0.1 (52:54:00:00:00:01 > broadcast)'
    """
    if len(frame) < 14:  # noqa: PLR2004 - IEEE 802.3: two addresses and a type
        return f"{len(frame)} bytes"
    tags = ""
    kind, rest = int.from_bytes(frame[12:14], "big"), frame[14:]
    while kind in _VLANS and len(rest) >= 4:  # noqa: PLR2004 - IEEE 802.1Q: a tag and a type
        tags += f", vlan {int.from_bytes(rest[:2], 'big') & 0xFFF}"
        kind, rest = int.from_bytes(rest[2:4], "big"), rest[4:]
    try:
        told = _dhcp(frame) or _inner(kind, rest)
    except (struct.error, IndexError, ValueError):
        told = f"type 0x{kind:04x}, {len(rest)} bytes"
    return f"{told} ({_mac(frame[6:12])} > {_mac(frame[:6])}{tags})"


def _dhcp(frame: bytes) -> str:
    """Tell a DHCP message with whom it is about; empty where it is none."""
    for one in messages([(0.0, "", False, frame)]):
        name = "DHCP" if one.family == 4 else "DHCPv6"  # noqa: PLR2004 - IPv4
        by = f" by {one.server}" if one.from_server and one.server else ""
        said = f' "{one.text}"' if one.text else ""
        return f"{name} {one.kind} for {one.client}{f': {one.address}' if one.address else ''}{by}{said}"
    return ""


def _inner(kind: int, data: bytes) -> str:
    if kind == _ARP:
        return _arp(data)
    if kind == _IPV4:
        source, target = IPv4Address(data[12:16]), IPv4Address(data[16:20])
        return f"{source} > {target} {_transport(data[9], data[(data[0] & 15) * 4:])}"
    if kind == _IPV6:
        return f"{IPv6Address(data[8:24])} > {IPv6Address(data[24:40])} {_transport(data[6], data[40:])}"
    return f"type 0x{kind:04x}, {len(data)} bytes"


def _arp(data: bytes) -> str:
    operation, mac, sender, _, target = struct.unpack("!6xH6s4s6s4s", data[:28])
    if operation == 1:
        return f"ARP who has {IPv4Address(target)}? tell {IPv4Address(sender)}"
    return f"ARP {IPv4Address(sender)} is at {_mac(mac)}"


def _transport(number: int, data: bytes) -> str:
    name = _PROTOCOLS.get(number, f"protocol {number}")
    if name in {"TCP", "UDP"}:
        source, target = struct.unpack("!HH", data[:4])
        return f"{name} {source} > {target}" + (f" {_flags(data[13])}" if name == "TCP" else "")
    names = {"ICMP": _ICMP, "ICMPv6": _ICMPV6}.get(name)
    return f"{name} {names.get(data[0], f'type {data[0]}')}" if names else name


def _flags(byte: int) -> str:
    """Name TCP's flags (RFC 9293 section 3.1)."""
    return "+".join(name for bit, name in enumerate(("FIN", "SYN", "RST", "PSH", "ACK", "URG")) if byte >> bit & 1) or "no flags"


def _mac(data: bytes) -> str:
    return "broadcast" if data == b"\xff" * 6 else data.hex(":")
