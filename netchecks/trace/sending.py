"""The packets of a trace, built with scapy: from the node's own address, never in somebody else's name (TRAPS, "Sending")."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from netchecks.errors import NotSeen, Why
from netchecks.models.links import Link
from netchecks.models.routes import InterfaceAddress, Lookup
from netchecks.models.subjects import Flow
from netchecks.models.table import Table
from netchecks.probe import Action, Frames, Packets
from netchecks.trace.marks import TURNS, Mark

#: Seconds until the first packet: every capture of the trace is open by then. And between two.
FIRST, GAP = 0.5, 0.6


def questions(flow: Flow, device: str, links: Table[Link], addresses: Table[tuple[InterfaceAddress, ...]]) -> tuple[Action, ...]:
    """Give ARP requests or neighbour solicitations for the target, out of a device of the sender. Raises NotSeen."""
    mac = links[device].mac if device in links else None
    if not mac:
        raise NotSeen(Why.NOT_POSSIBLE, f"{flow.source} has no {device or 'device'} to ask from")
    return asking(flow, device, mac, [one.address.ip for one in addresses.get(device, ()) if one.usable])


def asking(flow: Flow, device: str, mac: str, own: list[IPv4Address | IPv6Address]) -> tuple[Action, ...]:
    """Give the same for a device whose MAC and addresses are known, in the network namespace that the flow begins in."""
    frame = _arp(flow, mac, own) if flow.protocol == "arp" else _solicitation(flow, mac, own)
    return tuple(Frames(device, (frame,), FIRST + turn * GAP, namespace=flow.namespace) for turn in range(TURNS))


def _arp(flow: Flow, mac: str, own: list[IPv4Address | IPv6Address]) -> bytes:
    from scapy.layers.l2 import ARP, Ether

    prefixes = [subnet.prefix for subnet in flow.network.subnets if flow.target in subnet.prefix]
    sender = next((ip for ip in own if any(ip in prefix for prefix in prefixes)), IPv4Address(0))
    asking = ARP(op=1, hwsrc=mac, psrc=str(sender), hwdst="00:00:00:00:00:00", pdst=str(flow.target))
    return bytes(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / asking)


def _solicitation(flow: Flow, mac: str, own: list[IPv4Address | IPv6Address]) -> bytes:
    """A solicitation from the unspecified address is duplicate detection: it made a guest give its address up (TRAPS)."""
    from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
    from scapy.layers.l2 import Ether

    sixes = sorted((ip for ip in own if isinstance(ip, IPv6Address)), key=lambda ip: not ip.is_link_local)
    if not sixes:
        raise NotSeen(Why.NOT_POSSIBLE, f"{flow.source} has no IPv6 address there to ask from")
    low = int(flow.target) & 0xFFFFFF  # RFC 4291 section 2.7.1, solicited-node address; RFC 2464 section 7, its MAC
    group, to = IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | low), f"33:33:ff:{low >> 16:02x}:{low >> 8 & 255:02x}:{low & 255:02x}"
    asking = ICMPv6ND_NS(tgt=str(flow.target)) / ICMPv6NDOptSrcLLAddr(lladdr=mac)
    return bytes(Ether(src=mac, dst=to) / IPv6(src=str(sixes[0]), dst=str(group), hlim=255) / asking)


def packets(flow: Flow, mark: Mark, lookup: Lookup, first: float = FIRST) -> Packets:
    """Give the flow's marked packets, by the way and from the address that the sender's routes choose. Raises NotSeen."""
    if not lookup.device or not lookup.source:
        raise NotSeen(Why.NOT_POSSIBLE, f"{flow.source} has no route to {flow.target} ({lookup.kind})")
    made = tuple(_packet(flow, mark, lookup.source, turn) for turn in range(TURNS))
    return Packets(flow.target, made, first, GAP, flow.namespace)


def _packet(flow: Flow, mark: Mark, source: str, turn: int) -> bytes:
    from scapy.layers.inet import ICMP, IP, TCP, UDP
    from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6

    six = flow.family == 6  # noqa: PLR2004 - IPv6
    ip = IPv6(src=source, dst=str(flow.target)) if six else IP(src=source, dst=str(flow.target), id=mark.identifier, flags="DF")
    if flow.protocol == "tcp":
        return bytes(ip / TCP(sport=mark.port + turn, dport=flow.port, seq=mark.sequence + turn, flags="S", options=[("MSS", 1220)]))
    if flow.protocol == "udp":
        return bytes(ip / UDP(sport=mark.port + turn, dport=flow.port) / mark.payload(turn))
    if six:
        return bytes(ip / ICMPv6EchoRequest(id=mark.identifier, seq=turn + 1, data=mark.payload(turn)))
    return bytes(ip / ICMP(id=mark.identifier, seq=turn + 1) / mark.payload(turn))
