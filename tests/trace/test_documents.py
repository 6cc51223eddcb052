"""The two captures that the operations guide shows, as frames: they are read as the guide reads them.

It shows what ``tcpdump`` prints. No text of tcpdump's is read here, frames are: so the same packets are built, with the addresses, the
identifiers, the TTLs and the lengths that the guide's lines have. Source: OpenStack operations guide, chapter 13, tcpdump and DNS.
"""

from __future__ import annotations

import json

import pytest
from scapy.layers.dns import DNS, DNSQR, DNSRR
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from netchecks.models.answers import Overheard
from netchecks.models.traces import Outbound, Trace
from netchecks.packet_line import packet_line
from netchecks.plan import probe_for
from netchecks.probe import Got, Part
from netchecks.probes.dns import _overheard
from netchecks.trace.marks import RUN, mark_of
from netchecks.trace.outbound import LATE, flows
from suites.openstack.nova_network import test_trace as checks
from tests.suites.openstack.nova_network.given import SITE, Site, of
from tests.suites.vmhost.given import notes_of, wrong

#: The guide's instance, its compute node's floating address for it, and the server outside.
FIXED, FLOATING, OUTSIDE = "10.0.2.24", "203.0.113.30", "1.2.3.4"
GUIDE = Site(text=SITE.replace("subnets: [{cidr: 10.0.2.0/24}]", f"subnets: [{{cidr: 10.0.2.0/24}}]\n    outside: [{OUTSIDE}]"))
VM42, MAC, NODE_MAC = GUIDE.vm42, GUIDE.vm42.mac, "02:21:00:00:00:11"
(FLOW,) = flows(VM42)
MARK = mark_of(FLOW.name)


def echo(kind: str, source: str, target: str, ttl: int, number: int) -> Packet:
    """One of the guide's lines: ``id`` 24895, ``seq`` 1, 64 bytes of ICMP, of which ours bear the mark."""
    data = MARK.payload(0).ljust(56, b"\0")
    flags = {"request": "DF", "reply": 0}[kind]
    made: Packet = IP(src=source, dst=target, ttl=ttl, id=number, flags=flags) / ICMP(type=8 if kind == "request" else 0, id=24895, seq=1) / Raw(data)
    return made


#: What the compute node sees: on its bridge, by which it is the instance's tap too, and on the NIC outside. (Goes out, packet.)
ON_BRIDGE = [(False, echo("request", FIXED, OUTSIDE, 64, 0)), (True, echo("reply", OUTSIDE, FIXED, 61, 8137))]
ON_NIC = [(True, echo("request", FLOATING, OUTSIDE, 63, 0)), (False, echo("reply", OUTSIDE, FLOATING, 62, 8137))]
IN_GUEST = [(True, echo("request", FIXED, OUTSIDE, 64, 0)), (False, echo("reply", OUTSIDE, FIXED, 61, 8137))]
POINTS = [
    ["guest:vm42", "guest", f"mac:{MAC}", True, "", "", ""], ["compute1", "tap", "vif42", False, "", "", ""],
    ["compute1", "bridge", "br100", False, "", "", ""], ["compute1", "public", "eth0", True, "", "", ""],
]


def captured(device: str, packets: list[tuple[bool, Packet]], *, leaves: bool) -> tuple[Got, Got, Got]:
    """Give a point's three captures; what the flow sends and gets is in the second."""
    ends = {True: {"src": MAC, "dst": NODE_MAC}, False: {"src": NODE_MAC, "dst": MAC}}
    rows = [(LATE + 0.001 * turn, device, goes, bytes(Ether(**ends[goes == leaves]) / one)) for turn, (goes, one) in enumerate(packets)]
    nothing = Got("captured", opened=0.0)
    return nothing, Got("captured", packets=tuple(rows), opened=0.0), nothing


def read(bridge: list[tuple[bool, Packet]], nic: list[tuple[bool, Packet]]) -> Trace:
    """Give what the trace makes of captures at the guide's points."""
    probe = probe_for("outbound_traces", VM42)
    assert probe is not None
    note, sent = json.dumps({"run": RUN.hex(), "points": POINTS}), Got("sent", sent=1, target=OUTSIDE, times=(LATE,))
    inside = Part("guest:vm42", (*captured("eth0", IN_GUEST if nic else IN_GUEST[:1], leaves=True), sent), note, 100.0, 5.0, (0.0, 0.0))
    node = Part("compute1", (
        *captured("vif42", bridge, leaves=False), *captured("br100", bridge, leaves=False), *captured("eth0", nic, leaves=True),
    ), note, 100.0, 5.0, (0.0, 0.0))
    outbound = probe.read(VM42, {"guest:vm42": inside, "compute1": node})
    assert isinstance(outbound, Outbound)
    (trace,) = outbound.traces
    return trace


def judged(trace: Trace) -> list[str]:
    given: list[str] = notes_of(checks.test_outbound_leaves_gate, VM42, of("outbound_traces", (VM42, Outbound((trace,)))))
    return given


def test_the_packets_have_the_lengths_that_the_guide_shows() -> None:
    assert {len(bytes(one)) for _, one in (*ON_BRIDGE, *ON_NIC)} == {84}
    assert [packet_line(bytes(Ether(src=MAC, dst=NODE_MAC) / one)).partition(" (")[0] for _, one in (*ON_BRIDGE[:1], *ON_NIC[:1])] == [
        "10.0.2.24 > 1.2.3.4 ICMP echo request", "203.0.113.30 > 1.2.3.4 ICMP echo request",
    ]


def test_the_node_sees_each_packet_on_its_bridge_and_on_its_nic_and_twice_is_right() -> None:
    trace = read(ON_BRIDGE, ON_NIC)
    seen = {(one.point.hop, kind): len(one.of(kind)) for one in trace.points for kind in ("request", "reply")}
    assert seen == {(hop, kind): 1 for hop in ("guest", "tap", "bridge", "public") for kind in ("request", "reply")}
    assert (trace.answered, trace.lost, judged(trace)) == (True, None, [])


def test_without_what_the_guide_shows_on_the_nic_the_node_keeps_it() -> None:
    trace = read(ON_BRIDGE[:1], [])
    assert not trace.answered
    with wrong("node.drops_outbound", "br100", "eth0", place="compute1", owner="node administrator", breaks={"outbound"}):
        judged(trace)


# -- DNS ---------------------------------------------------------------------------------------------------------------

ASKED = DNS(id=2, rd=1, qd=DNSQR(qname="openstack.org", qtype="A"))
TOLD = DNS(id=2, qr=1, rd=1, ra=1, qd=ASKED.qd, an=DNSRR(rrname="openstack.org", type="A", ttl=300, rdata="174.143.194.225"))
#: DNS with the answer's name as a pointer to the question's, as servers write it (RFC 1035 section 4.1.4): 47 bytes.
SHORT = bytes(TOLD).replace(b"\x09openstack\x03org\x00" + b"\x00\x01\x00\x01\x00\x00\x01", b"\xc0\x0c" + b"\x00\x01\x00\x01\x00\x00\x01")
QUESTION = IP(src="192.168.100.4", dst="192.168.100.1", ttl=64, id=56057, flags="DF") / UDP(sport=54244, dport=53) / Raw(bytes(ASKED))
ANSWER = IP(src="192.168.100.1", dst="192.168.100.4", ttl=64, id=0, flags="DF") / UDP(sport=53, dport=54244) / Raw(SHORT)


def overheard(*packets: Packet) -> Overheard:
    rows = tuple((0.1, "br100", False, bytes(Ether(src=MAC, dst=NODE_MAC) / one)) for one in packets)
    return _overheard("compute1", "br100", Got("captured", packets=rows, opened=0.0), (2).to_bytes(2, "big"))


def test_the_question_and_its_answer_have_the_guides_lengths_and_meaning() -> None:
    assert [len(bytes(one)) for one in (QUESTION, ANSWER)] == [59, 75]
    assert (DNS(SHORT).an[0].rdata, DNS(SHORT).ancount) == ("174.143.194.225", 1)


@pytest.mark.parametrize(("packets", "asked", "answered"), [
    ((QUESTION, ANSWER), True, True), ((QUESTION,), True, False), ((), False, False),
], ids=["as the guide shows it", "no answer", "nothing comes to the bridge"])
def test_the_guides_question_is_overheard_on_the_bridge_with_its_answer(packets: tuple[Packet, ...], asked: bool, answered: bool) -> None:
    found = overheard(*packets)
    assert (found.asked, found.answered) == (asked, answered)
