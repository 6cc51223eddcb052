"""Who answers a neighbour solicitation (RFC 4861), asked from the bridge's own side of the segment."""

from __future__ import annotations

from ipaddress import IPv6Address

from netchecks.errors import NotSeen, Why
from netchecks.models.answers import Answer, Reply
from netchecks.models.domains import Domain
from netchecks.models.links import Link
from netchecks.models.routes import InterfaceAddress
from netchecks.models.subjects import Flow, Node
from netchecks.models.table import Table
from netchecks.probe import Ask, Capture, Frames, Got, probe
from netchecks.seen import By
from netchecks.send import check
from netchecks.taps import tap_of

ARP, IPV6 = 0x0806, 0x86DD
ADVERTISEMENT = 136  # RFC 4861 section 4.4
OPTIONS = 78  # where they begin in an advertisement's frame
WINDOW = 2.2
TRIES = (0.05, 0.8, 1.5)


def _is_ndp(flow: Flow) -> bool:
    return flow.protocol == "ndp" and not _is_ndp_at_tap(flow)


def _is_ndp_at_tap(flow: Flow) -> bool:
    alone = flow.interface is not None and not flow.interface.bridge
    return flow.protocol == "ndp" and flow.network.kind != "switching" and alone


def _read(flow: Flow, got: tuple[Got, ...]) -> Answer:
    check(got)
    replies = []
    for seconds, _, outgoing, data in got[0].packets:
        if outgoing or not _advertises(data, flow.target.packed):
            continue
        source = data[6:12].hex(":")
        replies.append(Reply(seconds, IPv6Address(data[62:78]), _option(data) or source, source))
    sent = sum(item.sent for item in got[1:])
    return Answer("answered" if replies else "silent", sent, tuple(replies))


def _advertises(data: bytes, target: bytes) -> bool:
    """Tell whether a frame is a valid advertisement of that address (RFC 4861 section 7.1.2); anybody may send others."""
    is_icmp = data[12:14] == IPV6.to_bytes(2, "big") and data[20:22] == b"\x3a\xff"  # next header 58, hop limit 255
    whole = len(data) >= OPTIONS and int.from_bytes(data[18:20], "big") >= OPTIONS - 54
    return is_icmp and whole and data[54:56] == bytes([ADVERTISEMENT, 0]) and data[62:78] == target


def _option(data: bytes) -> str:
    """Give the target's link-layer address (type 2), empty where there is none."""
    at, end = OPTIONS, min(len(data), 54 + int.from_bytes(data[18:20], "big"))
    while at + 8 <= end and data[at + 1]:
        if data[at:at + 2] == b"\2\1":
            return data[at + 2:at + 8].hex(":")
        at += 8 * data[at + 1]
    return ""


@probe("answers", where=_is_ndp, read=_read)
def ndp(flow: Flow, links: By[Node, Table[Link]], addresses: By[Node, Table[tuple[InterfaceAddress, ...]]]) -> Ask:
    """Solicit the flow's address as the node itself, up to three times until somebody answers.

    Never from ``::``: that is duplicate address detection, and a tentative guest would give its address up (TRAPS).
    """
    device = flow.network.at(flow.source).bridge
    return _ask(flow, device, links[flow.source], _own(addresses[flow.source], device))


@probe("answers", where=_is_ndp_at_tap, read=_read)
def ndp_at_tap(
    flow: Flow, links: By[Node, Table[Link]], addresses: By[Node, Table[tuple[InterfaceAddress, ...]]],
    domains: By[Node, Table[Domain]],
) -> Ask:
    """Solicit a VM that has its tap to itself: a frame given to the tap goes to the guest.

    A tap that nova made has IPv6 off, and so no address: then it is asked from the link-local one that its own MAC gives.
    """
    tap = tap_of(flow.interface, domains) if flow.interface else ""
    known, held = links[flow.source], addresses[flow.source]
    mac = known[tap].mac if tap in known else None
    own = _link_local(mac) if mac and flow.network.kind == "neutron" and not _usable(held, tap) else ""
    return _ask(flow, tap, known, own or _own(held, tap))


def _ask(flow: Flow, device: str, links: Table[Link], own: str) -> Ask:
    mac = links[device].mac if device in links else None
    if not mac:
        raise NotSeen(Why.NOT_POSSIBLE, f"{flow.source} has no {device or 'tap'} to ask from")
    frame = _solicitation(mac, own, flow.target)
    # an advertisement has its type at byte 54 of the frame, its target at 62
    answered = ((54, bytes([ADVERTISEMENT])), (62, flow.target.packed))
    tries = tuple(Frames(device, (frame,), at, unless=answered) for at in TRIES)
    return Ask((Capture(device, (ARP, IPV6)), *tries), WINDOW)


def _usable(addresses: Table[tuple[InterfaceAddress, ...]], device: str) -> list[InterfaceAddress]:
    held = [a for a in addresses.get(device, ()) if a.address.version == 6]  # noqa: PLR2004
    return [a for a in held if not a.flags & {"tentative", "dadfailed"}]


def _link_local(mac: str) -> str:
    """Give the address that a MAC gives by itself (RFC 4291, appendix A)."""
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 2
    return str(IPv6Address(b"\xfe\x80" + bytes(6) + bytes(octets[:3]) + b"\xff\xfe" + bytes(octets[3:])))


def _own(addresses: Table[tuple[InterfaceAddress, ...]], device: str) -> str:
    usable = _usable(addresses, device)
    link_local = [a for a in usable if a.address.ip.is_link_local]
    if not usable:
        raise NotSeen(Why.NOT_POSSIBLE, f"{device} has no IPv6 address to ask from")
    return str((link_local or usable)[0].address.ip)


def _solicitation(mac: str, own: str, target: object) -> bytes:
    from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
    from scapy.layers.l2 import Ether

    last = IPv6Address(str(target)).packed[-3:]  # RFC 4291 section 2.7.1: solicited-node multicast
    group = IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + last)
    ether = Ether(src=mac, dst="33:33:ff:" + last.hex(":"))
    return bytes(ether / IPv6(src=own, dst=str(group), hlim=255) / ICMPv6ND_NS(tgt=str(target)) / ICMPv6NDOptSrcLLAddr(lladdr=mac))
