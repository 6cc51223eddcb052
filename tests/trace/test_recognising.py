"""A marked packet, its answer and errors about it are known at every hop: tagged, translated, carried by others, cut off."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scapy.contrib.geneve import GENEVE
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP, TCP, UDP, ICMPerror, IPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_Redirect,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
)
from scapy.layers.l2 import ARP, GRE, Dot1AD, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from netchecks.models.traces import Point, Sighting
from netchecks.packet_filter import SNAP
from netchecks.trace import dissecting
from netchecks.trace.dissecting import dissect
from netchecks.trace.marks import TURNS, mark_of
from netchecks.trace.recognising import known, placed, sighting
from tests.trace.given import CARRIED, FLOATING, MAC, OTHER_RUN, RUN, SENDER_MAC, SENDERS, TARGETS, flow, frame, ip, reply, request

FLOWS = [flow(*one) for one in CARRIED]
each_flow = pytest.mark.parametrize("one", FLOWS, ids=str)


def found(one, data: bytes, *others: bytes) -> Sighting | None:
    """What a frame is at a point where others were seen too."""
    mark = mark_of(one.name, RUN)
    return sighting(one, mark, data, known(one, mark, (data, *others)))


def what(one, data: bytes, *others: bytes) -> tuple[str, int | None] | None:
    made = found(one, data, *others)
    return (made.kind, made.turn) if made else None


# -- plain -----------------------------------------------------------------------------------------------------------


@each_flow
@pytest.mark.parametrize("turn", range(TURNS))
def test_a_packet_and_its_answer_are_known_with_their_turn(one, turn):
    made = found(one, frame(request(one, turn)))
    assert (made.kind, made.turn, made.source, made.destination, made.vlans, made.through) == ("request", turn, SENDER_MAC, MAC, (), ())
    assert what(one, frame(reply(one, turn))) == ("reply", turn)


@each_flow
def test_packets_of_other_runs_and_flows_are_nobodys(one):
    """Another flow to the same VM and port, as of another sender."""
    assert what(one, frame(request(one, run=OTHER_RUN))) is None
    assert what(flow(one.protocol, one.family, "another"), frame(request(one))) is None
    if one.protocol != "udp":
        assert what(one, frame(reply(one, run=OTHER_RUN))) is None
        assert what(flow(one.protocol, one.family, "another"), frame(reply(one))) is None


@each_flow
def test_what_others_send_is_nobodys(one):
    head = ip(one.family)
    for packet in (head / TCP(dport=22, flags="S"), head / UDP(dport=53) / b"x", request(flow("icmp", one.family), run=OTHER_RUN), ARP(pdst="10.20.0.7")):
        assert what(one, frame(packet)) is None


@pytest.mark.parametrize("family", [4, 6])
def test_an_answer_to_a_datagram_is_known_by_who_answers(family):
    """It has no mark: two flows may send from the same port, the answers of another VM are not this one's."""
    one = flow("udp", family)
    other = reply(one, source=FLOATING[family])
    assert what(one, frame(other)) is None
    assert what(one, frame(reply(one, 1))) == ("reply", 1)
    assert what(one, frame(reply(one, 1, port=mark_of(one.name, RUN).port + TURNS))) is None


@pytest.mark.parametrize("family", [4, 6])
def test_the_reset_of_the_senders_kernel_is_no_second_packet(family):
    """It did not open the connection: it resets it, with the sequence number behind the SYN's, which is that of the next turn."""
    one, mark = flow("tcp", family), mark_of(flow("tcp", family).name, RUN)
    for flags in ("R", "RA", "A", "SA"):
        reset = ip(family) / TCP(sport=mark.port, dport=22, seq=mark.sequence + 1, ack=78, flags=flags)
        assert what(one, frame(reset)) is None, flags
    assert what(one, frame(ip(family) / TCP(sport=mark.port, dport=22, seq=mark.sequence, flags="SEC"))) == ("request", 0), "with ECN"


@pytest.mark.parametrize("family", [4, 6])
def test_a_refusal_is_an_answer(family):
    one = flow("tcp", family)
    made = found(one, frame(reply(one, 2, flags="RA")))
    assert (made.kind, made.turn, made.said) == ("reply", 2, "RA")


@pytest.mark.parametrize("protocol", ["icmp", "tcp", "udp"])
def test_of_a_hundred_flows_each_packet_is_one_flows(protocol):
    """All of one sender, to one port of a hundred VMs: ports and sequence numbers are few, addresses and cookies are not."""
    def to(number):
        return replace(flow(protocol, 4, f"flow-{number}"), target=ip_address(f"10.20.1.{number}"))

    flows = [to(number) for number in range(100)]
    marks = [mark_of(one.name, RUN) for one in flows]
    ends = [known(one, mark, ()) for one, mark in zip(flows, marks, strict=True)]
    for number, one in enumerate(flows):
        address = str(one.target)
        went, came = request(one, 1, target=address), reply(one, 1, source=address)
        frames = [frame(went), frame(came), frame(error(one, bytes(went)[:28]))]
        for data in frames:
            owners = [other for other, mark in enumerate(marks) if sighting(flows[other], mark, data, ends[other])]
            assert owners == [number]


# -- NAT -------------------------------------------------------------------------------------------------------------


@each_flow
def test_translated_packets_are_known(one):
    """A floating address stands for the VM's outside; the sender's port and address are another's behind a masquerade."""
    outside = frame(request(one, 1, target=FLOATING[one.family]))
    assert what(one, outside) == ("request", 1)
    assert what(one, frame(reply(one, 1, source=FLOATING[one.family])), outside) == ("reply", 1)
    inside = frame(request(one, 1, source=FLOATING[one.family], port=1024))
    assert what(one, inside) == ("request", 1)
    assert what(one, frame(reply(one, 1, port=1024)), inside) == ("reply", 1)


def test_a_syn_whose_address_and_port_are_both_translated_is_known():
    """Two floating addresses lead to one guest: where both are asked from the same port, the kernel takes another for the second."""
    floating = ip_address(FLOATING[4])
    one = next(one for one in FLOWS if (one.protocol, one.family) == ("tcp", 4))
    one = replace(one, target=floating, translated=one.target)
    at_tap = frame(request(one, 1, target=str(one.translated), port=1024))
    assert what(one, at_tap) == ("request", 1)
    assert what(one, frame(reply(one, 1, source=str(one.translated), port=1024)), at_tap) == ("reply", 1)
    assert what(replace(one, translated=None), at_tap) is None


# -- errors ----------------------------------------------------------------------------------------------------------

GATEWAY = {4: "10.20.0.1", 6: "fd20::1"}


def error(one, quoted: bytes, kind: int = 3, code: int = 3) -> Packet:
    """An ICMP error about a packet, as raw bytes behind its header: so nothing of it is made up by scapy."""
    head = ip(one.family, GATEWAY[one.family], SENDERS[one.family])
    if one.family == 4:
        return head / ICMP(type=kind, code=code) / Raw(quoted)
    return head / {3: ICMPv6DestUnreach(code=4), 11: ICMPv6TimeExceeded()}[kind] / Raw(quoted)


@each_flow
@pytest.mark.parametrize("turn", range(TURNS))
def test_an_error_about_the_packet_is_known(one, turn):
    made = found(one, frame(error(one, bytes(request(one, turn)))))
    assert (made.kind, made.turn) == ("error", turn)
    assert "port" in made.said.lower()
    assert "unreach" in made.said.lower()


@each_flow
def test_an_error_that_quotes_eight_bytes_is_known(one):
    """RFC 792 asks for no more, and many routers quote no more."""
    length = 20 if one.family == 4 else 40
    made = found(one, frame(error(one, bytes(request(one, 1))[:length + 8], kind=11)))
    assert (made.kind, made.turn) == ("error", 1)
    assert "exceeded" in made.said.lower()


@each_flow
def test_an_error_about_something_else_is_nobodys(one):
    foreign = [request(flow(one.protocol, one.family, "another"), target=FLOATING[one.family]), ip(one.family) / TCP(dport=443), reply(one)]
    for quoted in foreign:
        for length in (None, 28, 48):
            assert what(one, frame(error(one, bytes(quoted)[:length]))) is None, quoted.summary()


@pytest.mark.parametrize("length", range(0, 64, 3))
@each_flow
def test_an_error_cut_off_anywhere_breaks_nothing(one, length):
    assert what(one, frame(error(one, bytes(request(one))[:length]))) in {None, ("error", 0)}


def test_a_redirect_is_no_error():
    """The router forwards what it is about."""
    one = flow("icmp")
    assert what(one, frame(error(one, bytes(request(one)), kind=5, code=1))) is None
    redirect = ip(6, "fe80::1", SENDERS[6]) / ICMPv6ND_Redirect(tgt="fe80::2", dst=TARGETS[6]) / Raw(b"\4\7\0\0\0\0\0\0" + bytes(request(flow("icmp", 6))))
    assert what(flow("icmp", 6), frame(redirect)) is None


def test_too_big_is_said():
    made = found(flow("tcp", 6), frame(ip(6, GATEWAY[6], SENDERS[6]) / ICMPv6PacketTooBig(mtu=1280) / Raw(bytes(request(flow("tcp", 6))))))
    assert (made.kind, "big" in made.said.lower()) == ("error", True)


# -- tags and tunnels ------------------------------------------------------------------------------------------------

UNDER = IP(src="192.0.2.1", dst="192.0.2.2")
UNDER6 = IPv6(src="2001:db8::1", dst="2001:db8::2")
INNER = Ether(src="02:00:00:00:00:77", dst=MAC)
TAGS = {(): (), (100,): (Dot1Q(vlan=100),), (0,): (Dot1Q(vlan=0, prio=5),), (7, 100): (Dot1AD(vlan=7), Dot1Q(vlan=100)), (7, 8): (Dot1Q(vlan=7), Dot1Q(vlan=8))}
TUNNELS = {
    ("VXLAN 7",): (UNDER, UDP(sport=1, dport=4789), VXLAN(vni=7), INNER),
    ("VXLAN 8",): (UNDER6, UDP(sport=1, dport=8472), VXLAN(vni=8), INNER),
    ("VXLAN 9",): (UNDER, UDP(sport=1, dport=4789), VXLAN(vni=9), INNER, Dot1Q(vlan=33)),
    ("Geneve 7",): (UNDER, UDP(sport=1, dport=6081), GENEVE(vni=7), INNER),
    ("GRE",): (UNDER, GRE(proto=0x6558), INNER),
    ("MPLSoUDP 16",): (UNDER, UDP(sport=1, dport=6635), MPLS(label=16, s=1)),
    ("MPLSoUDP 17",): (UNDER, UDP(sport=1, dport=51234), MPLS(label=17, s=1)),
    ("MPLSoGRE 18",): (UNDER, GRE(proto=0x8847), MPLS(label=18, s=1)),
    ("IP-in-IP",): (UNDER,),
    ("GRE", "VXLAN 7"): (UNDER, GRE(proto=0x0800), UNDER, UDP(sport=1, dport=4789), VXLAN(vni=7), INNER),
    ("VXLAN 7", "MPLSoUDP 16"): (UNDER, UDP(sport=1, dport=4789), VXLAN(vni=7), INNER, UNDER, UDP(sport=1, dport=6635), MPLS(label=16, s=1)),
    ("IP-in-IP", "VXLAN 7"): (UNDER6, UNDER, UDP(sport=1, dport=4789), VXLAN(vni=7), INNER),
}


@each_flow
@pytest.mark.parametrize("tags", TAGS, ids=str)
def test_tags_are_told_and_hide_nothing(one, tags):
    for packet, kind in ((request(one, 1), "request"), (reply(one, 1), "reply")):
        made = found(one, frame(packet, *TAGS[tags]))
        assert (made.kind, made.turn, made.vlans) == (kind, 1, tags)


@each_flow
@pytest.mark.parametrize("through", TUNNELS, ids=str)
def test_what_carries_it_is_told_and_hides_nothing(one, through):
    for packet, kind in ((request(one, 2), "request"), (reply(one, 2), "reply"), (error(one, bytes(request(one, 2))), "error")):
        made = found(one, frame(packet, *(layer.copy() for layer in TUNNELS[through])))
        assert made is not None, kind
        assert (made.kind, made.turn, made.through) == (kind, 2, through)


@each_flow
def test_a_tag_and_a_tunnel(one):
    made = found(one, frame(request(one), Dot1Q(vlan=5), *(layer.copy() for layer in TUNNELS["VXLAN 7",])))
    assert (made.vlans, made.through) == ((5,), ("VXLAN 7",))


@pytest.mark.parametrize("one", [one for one in FLOWS if one.family == 6], ids=str)
def test_extension_headers_hide_nothing(one):
    packet = request(one)
    made = ip(6) / IPv6ExtHdrDestOpt() / packet.payload.copy()
    assert what(one, frame(made)) == ("request", 0)


@pytest.mark.parametrize("one", [one for one in FLOWS if one.family == 4], ids=str)
def test_ip_options_hide_nothing(one):
    packet = ip(4, options=b"\x01" * 8) / request(one).payload.copy()
    assert what(one, frame(packet)) == ("request", 0)


@each_flow
def test_what_the_agent_keeps_of_a_frame_is_enough(one):
    """It keeps 320 bytes: two tunnels, tags, and the mark in front of a long payload."""
    layers = (Dot1AD(vlan=7), Dot1Q(vlan=5), *(layer.copy() for layer in TUNNELS["VXLAN 7", "MPLSoUDP 16"]))
    data = frame(request(one) / Raw(b"x" * 1000), *layers)
    assert len(data) > SNAP
    assert what(one, data[:SNAP]) == ("request", 0)


@each_flow
def test_a_frame_cut_off_anywhere_breaks_nothing(one):
    for packet, kind in ((request(one), "request"), (reply(one), "reply")):
        data = frame(packet, Dot1Q(vlan=5), *(layer.copy() for layer in TUNNELS["GRE", "VXLAN 7"]))
        assert {what(one, data[:end]) for end in range(len(data))} <= {None, (kind, 0)}
        assert what(one, data[:40]) is None


@each_flow
def test_a_short_packets_padding_is_not_the_packet(one):
    """Ethernet fills up to 60 bytes: what stands there may be an earlier packet's rest (CVE-2003-0001)."""
    short = IP(src="192.0.2.1", dst="192.0.2.2", proto=253, len=20) if one.family == 4 else IPv6(src="2001:db8::1", dst="2001:db8::2", nh=59, plen=0)
    assert what(one, frame(short) + bytes(request(one))) is None


# -- questions for the MAC -------------------------------------------------------------------------------------------


def test_an_arp_question_and_its_answer_are_known_with_who_asks():
    one = flow("arp")
    asked = found(one, frame(ARP(op=1, hwsrc=SENDER_MAC, psrc="10.20.0.11", pdst=TARGETS[4])))
    assert (asked.kind, asked.asker, asked.turn) == ("asked", "10.20.0.11", None)
    told = found(one, frame(ARP(op=2, hwsrc=MAC, psrc=TARGETS[4], pdst="10.20.0.11"), Dot1Q(vlan=5)))
    assert (told.kind, told.asker, told.said, told.vlans) == ("told", "10.20.0.11", MAC, (5,))


def test_a_solicitation_and_its_advertisement_are_known_with_who_asks():
    one = flow("ndp", 6)
    asked = found(one, frame(ip(6, "fe80::11", "ff02::1:ff00:142") / ICMPv6ND_NS(tgt=TARGETS[6]) / ICMPv6NDOptSrcLLAddr(lladdr=SENDER_MAC)))
    assert (asked.kind, asked.asker) == ("asked", "fe80::11")
    told = found(one, frame(ip(6, TARGETS[6], "fe80::11") / ICMPv6ND_NA(tgt=TARGETS[6]) / ICMPv6NDOptDstLLAddr(lladdr=MAC.upper())))
    assert (told.kind, told.asker, told.said) == ("told", "fe80::11", MAC)
    bare = found(one, frame(ip(6, TARGETS[6], "fe80::11") / ICMPv6ND_NA(tgt=TARGETS[6])))
    assert (bare.kind, bare.said) == ("told", SENDER_MAC), "without the option it is the frame's"


@pytest.mark.parametrize("one", [*FLOWS, flow("arp"), flow("ndp", 6)], ids=str)
def test_questions_for_the_target_belong_to_every_flow_to_it_and_others_to_none(one):
    asked = {4: ARP(op=1, psrc="10.20.0.1", pdst=TARGETS[4]), 6: ip(6, "fe80::1", "ff02::1:ff00:142") / ICMPv6ND_NS(tgt=TARGETS[6])}
    other = {4: ARP(op=1, psrc=TARGETS[4], pdst="10.20.0.7"), 6: ip(6, TARGETS[6], "ff02::1:ff00:7") / ICMPv6ND_NS(tgt="fd20::7")}
    assert what(one, frame(asked[one.family])) == ("asked", None)
    assert what(one, frame(asked[10 - one.family])) is None
    assert what(one, frame(other[one.family])) is None
    assert what(one, frame(ARP(op=9, pdst=TARGETS[4]))) is None


def test_an_echo_is_nothing_to_arp():
    assert what(flow("arp", 4, flow("icmp").name), frame(request(flow("icmp")))) is None


# -- the way ---------------------------------------------------------------------------------------------------------

OUT, IN = Point("n", "tap", "t", leaves=True), Point("n", "uplink", "u", leaves=False)


@pytest.mark.parametrize(("point", "kind", "outgoing", "right"), [
    (OUT, "request", True, True), (OUT, "request", False, False), (OUT, "reply", False, True), (OUT, "reply", True, False),
    (IN, "request", False, True), (IN, "request", True, False), (IN, "error", True, True), (IN, "error", False, False),
    (OUT, "asked", True, True), (IN, "told", True, True), (IN, "told", False, False), (IN, "asked", True, False),
])
def test_a_frame_that_comes_back_by_the_way_it_went_is_reflected(point, kind, outgoing, right):
    made = placed(Sighting(kind, 0.0, "", ""), point, 12.5, outgoing=outgoing, finished=True)
    assert (made.seconds, made.right_way) == (12.5, right)


# -- anything at all -------------------------------------------------------------------------------------------------

SAMPLES = [
    frame(packet, *(layer.copy() for layer in layers))
    for one in FLOWS for packet in (request(one), reply(one), error(one, bytes(request(one)))) for layers in ((), TUNNELS["VXLAN 7",], TUNNELS["MPLSoGRE 18",])
] + [frame(ARP(pdst=TARGETS[4])), frame(ip(6) / ICMPv6ND_NA(tgt=TARGETS[6]) / ICMPv6NDOptDstLLAddr(lladdr=MAC))]


@st.composite
def damaged(draw):
    """A real frame of which some bytes are others, cut off or longer."""
    data = bytearray(draw(st.sampled_from(SAMPLES)))
    for at, byte in draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=8)):
        data[at] = byte
    return bytes(data[:draw(st.integers(0, len(data)))]) + draw(st.binary(max_size=20))


@given(st.binary(max_size=SNAP) | damaged())
@example(b"")
@example(b"\0" * 14)
@settings(max_examples=400, deadline=None)
def test_whatever_bytes_come_nothing_is_raised(data):
    for one in (*FLOWS, flow("arp"), flow("ndp", 6)):
        made = found(one, data)
        assert made is None or made.kind in {"request", "reply", "error", "asked", "told"}
    assert len(dissect(data).packets) < 20


def test_a_frame_that_a_layer_of_scapy_chokes_on_is_one_frame_less(monkeypatch):
    data = b"\x01" + frame(request(flow("icmp")))[1:]
    monkeypatch.setattr(dissecting, "_packets", lambda _: {}["a field"])
    assert dissect(data).packets == ()


def test_scapy_reads_what_it_did_not_make():
    """What an error quotes is bytes to us: were it scapy's own layers, they would hide a mistake."""
    made = Ether(frame(error(flow("icmp"), bytes(request(flow("icmp"))))))
    assert made[IPerror].dst == TARGETS[4]
    assert made[ICMPerror].seq == 1


# -- checksums -------------------------------------------------------------------------------------------------------

each_counted = pytest.mark.parametrize("one", [one for one in FLOWS if one.protocol != "icmp"], ids=str)


def miscounted(one, checksum: int = 0x1234) -> Packet:
    """An answer with a checksum that is not its own."""
    packet = reply(one)
    packet[TCP if one.protocol == "tcp" else UDP].chksum = checksum
    return packet


@each_counted
@pytest.mark.parametrize("before", [(), (Dot1Q(vlan=7),)], ids=["plain", "tagged"])
def test_a_checksum_that_is_not_the_packets_is_known(one, before):
    assert not found(one, frame(reply(one), *before)).miscounted
    assert not found(one, frame(reply(one), *before) + bytes(6)).miscounted, "what fills a short frame is no part of it"
    assert found(one, frame(miscounted(one), *before)).miscounted
    assert found(one, frame(miscounted(one), *before) + bytes(6)).miscounted


@each_counted
def test_of_a_part_of_a_packet_it_cannot_be_told(one):
    cut = frame(miscounted(one))[:-1] if one.protocol == "udp" else frame(miscounted(one) / b"more")[:-1]
    assert not found(one, cut).miscounted
    if one.family == 4:
        fragment = miscounted(one)
        fragment.flags = "MF"
        assert not found(one, frame(fragment)).miscounted


def test_a_datagram_without_a_checksum_has_none_that_is_wrong():
    one = flow("udp")
    assert not found(one, frame(miscounted(one, 0))).miscounted


@each_counted
def test_what_the_kernel_is_still_to_compute_is_not_wrong(one):
    point, seen = Point("node1", "tap", "vnet7", leaves=True), found(one, frame(miscounted(one)))
    assert placed(seen, point, 1.0, outgoing=False, finished=True).miscounted
    assert not placed(seen, point, 1.0, outgoing=False, finished=False).miscounted


def test_of_a_fragment_of_ipv6_it_cannot_be_told_and_other_headers_do_no_harm():
    one = flow("udp", 6)
    right, wrong = reply(one), miscounted(one)
    options = IPv6(src=TARGETS[6], dst=SENDERS[6]) / IPv6ExtHdrDestOpt()
    assert not found(one, frame(options / right[UDP].copy())).miscounted
    assert found(one, frame(options / wrong[UDP].copy())).miscounted
    part = IPv6(src=TARGETS[6], dst=SENDERS[6]) / IPv6ExtHdrFragment(m=1, nh=17) / bytes(wrong[UDP])
    assert not dissect(frame(part)).packets[0].miscounted
