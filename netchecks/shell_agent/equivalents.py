"""Frames and packets that a node's own tools send alike, where it has no perl to send them as they are.

An ARP request is the same from arping, a datagram from nc, an echo request with its mark from ping. A SYN is not: no tool lets its
sequence number be chosen, which is its mark. What is not the same is not sent.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, ip_address

from netchecks.probe import Frames, Packets

_ARP, _REQUEST = b"\x08\x06", b"\0\1\x08\0\6\4\0\1"
_BROADCAST = b"\xff" * 6
_UDP, _ICMP, _ICMPV6, _ECHO = 17, 1, 58, (8, 128)
#: iputils' ping writes its time over the first 16 bytes of longer ones, and takes as many as the pattern.
_PATTERN = 16


def words(action: Frames | Packets, captures: Sequence[int]) -> list[str]:
    """Give a function of agent.sh and its arguments, behind the action's number, for an action. ``captures``: those at its device."""
    if isinstance(action, Packets):
        return _packets(action)
    if len({frame[:14] for frame in action.frames}) > 1 or not all(_is_request(frame) for frame in action.frames):
        return ["without", "missing: perl"]
    if action.frames[0][:6] != _BROADCAST:  # a sweep that asks one machine for many addresses: it only sharpens what is silent
        return ["without", "left out: perl"]
    source, target = (IPv4Address(action.frames[0][at:at + 4]) for at in (28, 38))
    if len(action.frames) > 1 or not int(source):
        return ["without", "missing: perl"]
    return ["arp_", _hundredths(action.at), action.device, str(source), str(target), _pattern(action), " ".join(map(str, captures))]


def _is_request(frame: bytes) -> bool:
    return frame[12:22] == _ARP + _REQUEST and len(frame) >= 42  # noqa: PLR2004 - a whole one (RFC 826)


def _hundredths(seconds: float) -> str:
    return str(round(seconds * 100))


def _pattern(action: Frames) -> str:
    """Give what makes it needless as a pattern of hexadecimal digits, wherever it stands: it is long enough to be no other."""
    parts, end = [], None
    for offset, text in sorted(action.unless):
        parts.append((f".\\{{{2 * (offset - end)}\\}}" if end is not None and offset > end else "") + text.hex())
        end = offset + len(text)
    return "".join(parts)


def _packets(action: Packets) -> list[str]:
    found = [_inside(packet) for packet in action.packets]
    if not found or None in found:
        return ["without", "missing: perl"]
    times = [_hundredths(action.at + action.gap * turn) for turn in range(len(found))]
    each = [word for at, one in zip(times, found, strict=True) if one for word in (at, *one[2:])]
    head = next(one for one in found if one)
    return [head[0], head[1], str(action.target), *each]


def _inside(packet: bytes) -> list[str] | None:
    """Give function, source address, and what the packet carries, None where no tool sends it."""
    six = packet[:1] >= b"\x60"
    length = 40 if six else (packet[0] & 15) * 4 if packet else 0
    if len(packet) < length + 8 or not length:
        return None
    protocol, source = (packet[6], packet[8:24]) if six else (packet[9], packet[12:16])
    payload = packet[length + 8:]
    if protocol == _UDP:
        ports = struct.unpack_from("!HH", packet, length)
        return ["datagrams_", str(ip_address(source)), *map(str, ports), "".join(f"\\{byte:03o}" for byte in payload)]
    if protocol in {_ICMP, _ICMPV6} and packet[length] in _ECHO and 0 < len(payload) < _PATTERN:
        return ["echoes_", str(ip_address(source)), str(len(payload)), payload.hex()]
    return None
