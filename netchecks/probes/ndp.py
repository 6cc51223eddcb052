"""Who answers a neighbour solicitation (RFC 4861), asked from the bridge's own side of the segment."""

from __future__ import annotations

from ipaddress import IPv6Address

from netchecks.errors import NotSeen, Why
from netchecks.models.answers import Answer, Reply
from netchecks.models.links import Link
from netchecks.models.routes import InterfaceAddress
from netchecks.models.subjects import Flow, Node
from netchecks.models.table import Table
from netchecks.probe import Ask, Capture, Frames, Got, probe
from netchecks.seen import By
from netchecks.send import check

ARP, IPV6 = 0x0806, 0x86DD
ADVERTISEMENT = 136  # RFC 4861 section 4.4
WINDOW = 2.2
TRIES = (0.05, 0.8, 1.5)


def _is_ndp(flow: Flow) -> bool:
    return flow.protocol == "ndp"


def _read(flow: Flow, got: tuple[Got, ...]) -> Answer:
    from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr
    from scapy.layers.l2 import Ether

    check(got)
    replies = []
    for seconds, _, outgoing, data in got[0].packets:
        if outgoing or data[54:55] != bytes([ADVERTISEMENT]) or data[62:78] != flow.target.packed:
            continue
        frame = Ether(data)
        option = frame.getlayer(ICMPv6NDOptDstLLAddr)
        mac = str(option.lladdr) if option else str(frame.src)
        replies.append(Reply(seconds, IPv6Address(frame[ICMPv6ND_NA].tgt), mac, str(frame.src)))
    sent = sum(item.sent for item in got[1:])
    return Answer("answered" if replies else "silent", sent, tuple(replies))


@probe("answers", where=_is_ndp, read=_read)
def ndp(flow: Flow, links: By[Node, Table[Link]], addresses: By[Node, Table[tuple[InterfaceAddress, ...]]]) -> Ask:
    """Solicit the flow's address as the node itself, up to three times until somebody answers.

    Never from ``::``: that is duplicate address detection, and a tentative guest would give its address up (TRAPS).
    """
    device = flow.network.at(flow.source).bridge
    mac = links[flow.source][device].mac if device in links[flow.source] else None
    if not mac:
        raise NotSeen(Why.NOT_POSSIBLE, f"{flow.source} has no {device} to ask from")
    own = _own(addresses[flow.source], device)
    frame = _solicitation(mac, own, flow.target)
    # an advertisement has its type at byte 54 of the frame, its target at 62
    answered = ((54, bytes([ADVERTISEMENT])), (62, flow.target.packed))
    tries = tuple(Frames(device, (frame,), at, unless=answered) for at in TRIES)
    return Ask((Capture(device, (ARP, IPV6)), *tries), WINDOW)


def _own(addresses: Table[tuple[InterfaceAddress, ...]], device: str) -> str:
    usable = [a for a in addresses.get(device, ()) if a.address.version == 6]  # noqa: PLR2004
    usable = [a for a in usable if not a.flags & {"tentative", "dadfailed"}]
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
