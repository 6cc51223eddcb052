"""What a trace sends: marked, from the node's own addresses, and nothing where that cannot be."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_interface

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether

from netchecks.errors import NotSeen, Why
from netchecks.models.links import Link
from netchecks.models.routes import InterfaceAddress, Lookup
from netchecks.models.table import Table
from netchecks.trace import sending
from netchecks.trace.marks import TURNS, mark_of
from netchecks.trace.recognising import known, sighting
from tests.trace.given import CARRIED, NODE, RUN, SENDERS, TARGETS, flow

BRIDGE_MAC = "02:20:00:00:00:aa"
LINKS = Table("device", {"br0": Link("br0", 2, BRIDGE_MAC), "tun0": Link("tun0", 3)})
OWN = {"br0": (InterfaceAddress(ip_interface("192.0.2.7/24")), InterfaceAddress(ip_interface("10.20.0.11/24")),
               InterfaceAddress(ip_interface("fd20::11/64")), InterfaceAddress(ip_interface("fe80::11/64")))}


def addresses(**of):
    return Table("device", of)


def questions(protocol, own=OWN, device="br0"):
    one = flow(protocol, 4 if protocol == "arp" else 6, source=NODE)
    return sending.questions(one, device, LINKS, addresses(**own))


# -- packets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("protocol", "family"), CARRIED)
def test_three_marked_packets_go_from_the_senders_own_address(protocol, family):
    one = flow(protocol, family)
    mark = mark_of(one.name, RUN)
    made = sending.packets(one, mark, Lookup("unicast", "eth0", "10.20.200.1", SENDERS[family]))
    assert (made.target, len(made.packets), made.at, made.gap) == (ip_address(TARGETS[family]), TURNS, sending.FIRST, sending.GAP)
    for turn, data in enumerate(made.packets):
        packet = (IP if family == 4 else IPv6)(data)
        assert (packet.src, packet.dst) == (SENDERS[family], TARGETS[family])
        found = sighting(one, mark, bytes(Ether() / packet), known(one, mark, ()))
        assert (found.kind, found.turn) == ("request", turn)
        assert bytes(packet.__class__(data)) == data, "checksums and lengths are right"


def test_each_protocol_says_what_it_means():
    def first(protocol, family=4):
        made = sending.packets(flow(protocol, family), mark_of("a", RUN), Lookup("unicast", "eth0", "", SENDERS[family]))
        return (IP if family == 4 else IPv6)(made.packets[0])

    assert (first("tcp")[TCP].flags, first("tcp")[TCP].dport, first("tcp", 6)[TCP].flags) == ("S", 22, "S")
    assert first("udp")[UDP].dport == first("udp", 6)[UDP].dport == 53
    assert first("icmp")[ICMP].type == 8
    assert first("icmp", 6)[ICMPv6EchoRequest].type == 128
    assert first("icmp").flags == "DF"
    assert len(bytes(first("tcp"))) < 100


@pytest.mark.parametrize("lookup", [Lookup("unreachable"), Lookup("unicast", "eth0"), Lookup("unicast", "", "", "10.20.200.2")])
@pytest.mark.parametrize("protocol", ["icmp", "tcp", "udp"])
def test_without_a_route_or_an_address_nothing_is_sent(protocol, lookup):
    with pytest.raises(NotSeen, match=f"controller has no route to 10.20.0.142 .{lookup.kind}") as told:
        sending.packets(flow(protocol), mark_of("a", RUN), lookup)
    assert told.value.why is Why.NOT_POSSIBLE


# -- questions -------------------------------------------------------------------------------------------------------


def test_arp_asks_from_the_nodes_address_in_the_targets_subnet():
    made = questions("arp")
    assert [(one.device, one.at, len(one.frames)) for one in made] == [("br0", pytest.approx(sending.FIRST + turn * sending.GAP), 1) for turn in range(TURNS)]
    frame = Ether(made[0].frames[0])
    assert (frame.src, frame.dst) == (BRIDGE_MAC, "ff:ff:ff:ff:ff:ff")
    asked = frame[ARP]
    assert (asked.op, asked.hwsrc, asked.psrc, asked.pdst) == (1, BRIDGE_MAC, "10.20.0.11", TARGETS[4])


def test_ndp_asks_from_the_link_local_address_to_the_solicited_nodes_group():
    frame = Ether(questions("ndp")[0].frames[0])
    assert (frame.src, frame.dst) == (BRIDGE_MAC, "33:33:ff:00:01:42")
    assert (frame[IPv6].src, frame[IPv6].dst, frame[IPv6].hlim) == ("fe80::11", "ff02::1:ff00:142", 255)
    assert frame[ICMPv6ND_NS].tgt == TARGETS[6]
    assert frame[ICMPv6NDOptSrcLLAddr].lladdr == BRIDGE_MAC


def test_without_an_address_of_the_subnet_arp_names_nobody():
    """0.0.0.0, and never an address of another subnet of the node: that would be learned."""
    only = {"br0": OWN["br0"][:1]}
    assert {Ether(one.frames[0])[ARP].psrc for made in (questions("arp", only), questions("arp", {})) for one in made} == {"0.0.0.0"}


def test_ndp_never_asks_from_nowhere():
    """A solicitation from :: is duplicate address detection: a guest that comes up would give its address up."""
    for own in ({}, {"br0": OWN["br0"][:2]}):
        with pytest.raises(NotSeen, match="node1 has no IPv6 address there to ask from"):
            questions("ndp", own)


@pytest.mark.parametrize("flag", ["tentative", "dadfailed"])
def test_an_address_that_is_not_the_nodes_yet_asks_nothing(flag):
    six = InterfaceAddress(ip_interface("fe80::11/64"), flags=frozenset({flag}))
    with pytest.raises(NotSeen, match="no IPv6 address"):
        questions("ndp", {"br0": (six,)})
    frame = Ether(questions("ndp", {"br0": (six, InterfaceAddress(ip_interface("fd20::11/64")))})[0].frames[0])
    assert IPv6Address(frame[IPv6].src) == IPv6Address("fd20::11")


@pytest.mark.parametrize(("device", "word"), [("", "no device"), ("br9", "no br9"), ("tun0", "no tun0")])
@pytest.mark.parametrize("protocol", ["arp", "ndp"])
def test_a_device_without_a_mac_asks_nothing(protocol, device, word):
    with pytest.raises(NotSeen, match=word):
        questions(protocol, device=device)
