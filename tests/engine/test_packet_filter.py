"""What the kernel keeps of real frames, by the programs that netchecks.packet_filter makes."""

from __future__ import annotations

import os

import pytest
from scapy.contrib.geneve import GENEVE
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, GRE, Dot1AD, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from netchecks import packet_filter
from netchecks.probe import Capture, Frames
from tests.engine import namespaces
from tests.engine.test_agent import finish, listens, start

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

#: Of the fixed documentation addresses, so that nobody answers.
FOUR, SIX = IP(src="192.0.2.77", dst="198.51.100.77"), IPv6(src="2001:db8::77", dst="2001:db8::78")
PREFIX = b"\xd1\x07\x5a\xc3"
MARK = PREFIX + b"123456789012"
OTHER = b"\xd1\x07\x5a\xc4" + MARK[4:]
SYN = int.from_bytes(PREFIX[:2] + b"\x12\x34", "big")
INNER = Ether(src="02:00:00:00:00:77", dst="02:00:00:00:00:78") / FOUR / ICMP() / MARK
LONG_HEADER = IP(src="192.0.2.77", dst="198.51.100.77", options=b"\x01" * 8)

#: Frames without their Ethernet header, by name, with what keeps them.
FRAMES: dict[str, tuple[Packet, set[str]]] = {
    "arp": (ARP(pdst="192.0.2.1"), {"whole"}),
    "ns": (SIX / ICMPv6ND_NS(tgt="2001:db8::78"), {"whole"}),
    "dhcp": (FOUR / UDP(sport=68, dport=67) / b"x", {"whole"}),
    "dhcp answer": (FOUR / UDP(sport=67, dport=68) / b"x", {"whole"}),
    "dhcpv6": (SIX / UDP(sport=546, dport=547) / b"x", {"whole"}),
    "dns": (FOUR / UDP(sport=5353, dport=53) / b"x", set()),
    "echo": (FOUR / ICMP() / MARK, {"marked"}),
    "echo behind options": (LONG_HEADER / ICMP() / MARK, {"marked"}),
    "echo reply": (FOUR / ICMP(type=0) / MARK, {"marked"}),
    "another echo": (FOUR / ICMP() / OTHER, set()),
    "unreachable": (FOUR / ICMP(type=3, code=4) / (b"x" * 30), {"marked"}),
    "echo6": (SIX / ICMPv6EchoRequest(data=MARK), {"marked", "whole"}),
    "echo6 reply": (SIX / ICMPv6EchoReply(data=MARK), {"marked", "whole"}),
    "another echo6": (SIX / ICMPv6EchoRequest(data=OTHER), {"whole"}),
    "unreachable6": (SIX / ICMPv6DestUnreach() / Raw(b"x" * 40), {"marked", "whole"}),
    "syn": (FOUR / TCP(sport=1, dport=22, seq=SYN), {"marked"}),
    "syn-ack": (FOUR / TCP(sport=22, dport=1, seq=7, ack=SYN + 1, flags="SA"), {"marked"}),
    "another syn": (FOUR / TCP(sport=1, dport=22, seq=SYN ^ 0x10000), set()),
    "syn6": (SIX / TCP(sport=1, dport=22, seq=SYN), {"marked"}),
    "datagram": (FOUR / UDP(sport=1, dport=9999) / MARK, {"marked"}),
    "datagram from our port": (FOUR / UDP(sport=0xD101, dport=9999) / b"x", {"marked"}),
    "datagram to our port": (SIX / UDP(sport=9999, dport=0xD1FF) / b"x", {"marked"}),
    "datagram to another": (SIX / UDP(sport=9999, dport=0xD2FF) / b"x", set()),
    "vxlan": (FOUR / UDP(sport=1, dport=4789) / VXLAN(vni=7) / INNER, {"tunnels"}),
    "vxlan, linux": (SIX / UDP(sport=1, dport=8472) / VXLAN(vni=7) / INNER, {"tunnels"}),
    "vxlan of another": (FOUR / UDP(sport=1, dport=4789) / VXLAN(vni=7) / (b"x" * 60), set()),
    "vxlan, short": (FOUR / UDP(sport=1, dport=4789) / b"x", set()),
    "vxlan, nested": (SIX / UDP(sport=1, dport=4789) / VXLAN() / Ether() / Dot1Q() / SIX / UDP(sport=1, dport=6635) / MPLS(s=1) / INNER[IP], {"tunnels"}),
    "vxlan with a syn": (FOUR / UDP(sport=1, dport=4789) / VXLAN() / Ether() / FOUR / TCP(dport=22, seq=SYN), {"tunnels"}),
    "gre with options": (LONG_HEADER / GRE(proto=0x800, chksum_present=1, key_present=1) / FOUR / UDP(sport=1, dport=9999) / MARK, {"tunnels"}),
    "ip in ip of another": (FOUR / FOUR / ICMP() / OTHER[2:], set()),
    "mplsoudp": (FOUR / UDP(sport=1, dport=6635) / MPLS(label=16, s=1) / INNER[IP], {"tunnels"}),
    "mplsoudp, old": (FOUR / UDP(sport=1, dport=51234) / MPLS(label=16, s=1) / INNER[IP], {"tunnels"}),
    "gre": (FOUR / GRE(proto=0x6558) / INNER, {"tunnels"}),
    "mplsogre": (FOUR / GRE(proto=0x8847) / MPLS(label=16, s=1) / INNER[IP], {"tunnels"}),
    "ip in ip": (FOUR / INNER[IP], {"tunnels"}),
    "ip in ip6": (SIX / INNER[IP], {"tunnels"}),
    "geneve": (FOUR / UDP(sport=1, dport=6081) / GENEVE(vni=7) / INNER, {"tunnels"}),
}
TAGS = {"no tag": (), "one tag": (Dot1Q(vlan=3933),), "two tags": (Dot1AD(vlan=5), Dot1Q(vlan=3933))}


def _frame(tags: tuple[Packet, ...], rest: Packet) -> bytes:
    made: Packet = Ether(src="02:00:00:00:00:66", dst="02:00:00:00:00:99")
    for tag in tags:
        made /= tag
    return bytes(made / rest)


def test_broadcasts_of_some_senders_alone() -> None:
    senders = ("02:00:00:00:00:66", "fe:54:00:00:00:42")
    sent = [bytes(Ether(src=source, dst=to) / FOUR / b"x") for source in (*senders, "02:00:00:00:01:66")
            for to in ("ff:ff:ff:ff:ff:ff", "ff:ff:ff:ff:ff:fe", "01:00:5e:00:00:01", "02:00:00:00:00:99")]
    capture, send = Capture("left", senders=senders), Frames("left", tuple(sent))
    with namespaces.wire() as net:
        got = finish(start(net.router, capture, send), capture, send)
    assert [data for _, _, outgoing, data in got[0].packets if outgoing] == [sent[0], sent[4]]


@pytest.mark.parametrize("tags", TAGS.values(), ids=TAGS)
def test_the_kernel_keeps_what_a_capture_is_about(tags: tuple[Packet, ...]) -> None:
    """Of one and two tags the outer one is in PACKET_AUXDATA where they come in, and in the data where they are sent."""
    sent = {name: _frame(tags, rest) for name, (rest, _) in FRAMES.items()}
    captures = (
        Capture("wire", (0x0806, 0x86DD), (67, 68, 546, 547)), Capture("wire", prefix=PREFIX), Capture("wire", prefix=PREFIX, tunnels=True),
    )
    with namespaces.wire() as net:
        listener = start(net.a, *captures, seconds=3.0)
        assert listens(net.a)
        sender = (*captures, Frames("left", tuple(sent.values())))
        here = tuple(Capture("left", one.ethertypes, one.udp_ports, one.prefix, one.tunnels) for one in captures)
        out = finish(start(net.router, *here, sender[-1], seconds=0.5), *here, sender[-1])
        came = finish(listener, *captures)
    for direction, got in (("in", came), ("out", out)):
        for kind, one in zip(("whole", "marked", "tunnels"), got[:3], strict=True):
            kept = {data for _, _, outgoing, data in one.packets if outgoing == (direction == "out")}
            names = {name for name, data in sent.items() if data[:packet_filter.SNAP] in kept}
            assert names == {name for name, (_, kinds) in FRAMES.items() if kind in kinds}, (direction, kind)
