"""What was seen at the points of a way, and what that says: answered, lost between which two, or not to be known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netchecks.errors import NotSeen, Why
from netchecks.models.traces import Point, Seen, Sighting, Stretch, Trace

UNSEEN = NotSeen(Why.NO_PERMISSION, "a test says so")
NODE, ROUTER, STRANGER = "10.20.0.11", "10.20.0.1", "10.20.0.99"
SENDER = Point("controller", "sender", "eth0", leaves=True)
UPLINK = Point("node1", "uplink", "eth0", leaves=False)
TAP = Point("node1", "tap", "vnet7", leaves=True)
GUEST = Point("guest:vm42", "guest", "mac:52:54:00:00:00:42", leaves=False)
OWN = Point("node1", "sender", "br0", leaves=True)


def seen(point: Point, *kinds: str, unseen: NotSeen | None = None) -> Seen:
    """What was seen at a point: kinds, of ARP and NDP with the asker behind a space; "~" before it: it goes the wrong way."""
    return Seen(point, tuple(_sighting(number, text) for number, text in enumerate(kinds)), unseen)


def _sighting(number: int, text: str) -> Sighting:
    kind, _, asker = text.removeprefix("~").partition(" ")
    said = "dest-unreach port-unreachable" if kind == "error" else ""
    return Sighting(kind, float(number), "02:00:00:00:00:01", "02:00:00:00:00:02", asker=asker, said=said, right_way=not text.startswith("~"))


def trace(*points: Seen, protocol: str = "icmp", sent: tuple[float, ...] = (1.0, 2.0, 3.0), unsent: NotSeen | None = None) -> Trace:
    return Trace("a-flow", points, sent, unsent, protocol)


def where(found: Stretch | None) -> tuple[str, str] | None:
    return found and ("the packet" if found.forth else "the answer", " -> ".join(one.point.hop if one else "-" for one in (found.before, found.after)))


# -- answered --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["icmp", "tcp", "udp"])
def test_an_answer_at_the_sender_is_an_answer(protocol):
    whole = trace(seen(SENDER, "request", "reply"), seen(UPLINK, "request", "reply"), seen(TAP, "request", "reply"), protocol=protocol)
    assert (whole.answered, whole.lost, whole.said) == (True, None, "answered: every hop passes the packet and its answer")


@pytest.mark.parametrize("protocol", ["arp", "ndp"])
def test_of_arp_and_ndp_the_mac_is_the_answer(protocol):
    whole = trace(seen(OWN, f"asked {NODE}", f"told {NODE}"), seen(TAP, f"asked {NODE}", f"told {NODE}"), protocol=protocol)
    assert (whole.answered, whole.lost) == (True, None)


def test_a_mac_does_not_answer_a_ping():
    """The node asks for the MAC and gets it; its pings are lost in the guest."""
    found = trace(seen(OWN, f"asked {NODE}", f"told {NODE}", "request"), seen(TAP, f"asked {NODE}", f"told {NODE}", "request"))
    assert not found.answered
    assert where(found.lost) == ("the packet", "tap -> -")
    assert found.lost.owner == "guest owner"


def test_a_hop_that_an_answered_packet_did_not_pass_is_said():
    found = trace(seen(SENDER, "request", "reply"), seen(UPLINK), seen(TAP, "request", "reply"))
    assert found.said == "answered, and nothing was seen at node1: uplink eth0"
    found = trace(seen(SENDER, "request", "reply"), seen(UPLINK, unseen=UNSEEN), seen(TAP, "request", "reply"))
    assert found.said == "answered"


def test_an_answer_that_goes_the_wrong_way_is_none():
    """What a switch reflects comes back to where it was sent from."""
    found = trace(seen(SENDER, "request", "~reply"), seen(UPLINK, "request"), seen(TAP, "request"))
    assert not found.answered
    assert where(found.lost) == ("the packet", "tap -> -")


# -- lost on the way there -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("points", "stretch", "owner"), [
    ((seen(SENDER, "request"), seen(UPLINK), seen(TAP)), "sender -> uplink", "network engineer"),
    ((seen(SENDER, "request"), seen(UPLINK, "request"), seen(TAP)), "uplink -> tap", "node administrator"),
    ((seen(SENDER, "request"), seen(UPLINK, "request"), seen(TAP, "request")), "tap -> -", "guest owner"),
    ((seen(SENDER, "request"), seen(UPLINK, "request"), seen(TAP, "request"), seen(GUEST)), "tap -> guest", "node administrator"),
    ((seen(SENDER, "request"), seen(UPLINK, "request"), seen(TAP, "request"), seen(GUEST, "request")), "guest -> -", "guest owner"),
    ((seen(OWN, "request"), seen(TAP)), "sender -> tap", "node administrator"),
    ((seen(SENDER), seen(UPLINK), seen(TAP)), "- -> sender", "node administrator"),
    ((seen(SENDER, "request"), seen(UPLINK, unseen=UNSEEN), seen(TAP)), "sender -> tap", "network engineer"),
    ((seen(SENDER, "request"), seen(UPLINK, "request"), seen(TAP, "request"), seen(GUEST, unseen=UNSEEN)), "tap -> -", "guest owner"),
    ((seen(SENDER, "request"), seen(UPLINK, "~request"), seen(TAP)), "sender -> uplink", "network engineer"),
    ((seen(SENDER, "request", "request"), seen(UPLINK, "request", "request", "request"), seen(TAP)), "uplink -> tap", "node administrator"),
])
def test_a_packet_is_lost_behind_where_it_was_last_seen(points, stretch, owner):
    found = trace(*points)
    assert where(found.lost) == ("the packet", stretch)
    assert found.lost.owner == owner
    assert found.said == str(found.lost)


@pytest.mark.parametrize("points", [
    (),
    (seen(SENDER, unseen=UNSEEN), seen(UPLINK), seen(TAP)),
    (seen(SENDER, "request"), seen(UPLINK, unseen=UNSEEN), seen(TAP, unseen=UNSEEN)),
    (seen(SENDER, "request"), seen(UPLINK, "request"), seen(TAP, unseen=UNSEEN)),
    (seen(SENDER, "request"), seen(UPLINK, "request"), seen(TAP, "request", unseen=UNSEEN)),
    (seen(SENDER, "request"), seen(UPLINK, "request"), seen(TAP, unseen=UNSEEN), seen(GUEST, unseen=UNSEEN)),
    (seen(OWN, f"asked {NODE}"), seen(TAP, unseen=UNSEEN)),
])
def test_where_it_could_not_be_looked_nothing_is_claimed(points):
    found = trace(*points)
    assert (found.answered, found.lost, found.said) == (False, None, "no answer; where it is lost could not be seen")


def test_what_a_guest_sends_is_lost_beyond_the_uplink():
    out = Point("node1", "uplink", "eth0", leaves=True)
    found = trace(seen(GUEST, "request"), seen(TAP, "request"), seen(out, "request"))
    assert where(found.lost) == ("the packet", "uplink -> -")
    assert found.lost.owner == "network engineer"


def test_what_was_not_sent_is_not_lost():
    found = trace(seen(SENDER), seen(UPLINK), seen(TAP), sent=(), unsent=UNSEEN)
    assert (found.answered, found.lost) == (False, None)


def test_a_packet_that_does_not_leave_its_sender_says_so():
    assert trace(seen(SENDER), seen(UPLINK), seen(TAP)).said == "the packet does not leave controller: sender eth0: node administrator"


# -- asked before the packet goes ------------------------------------------------------------------------------------

ASKED, TOLD = f"asked {ROUTER}", f"told {ROUTER}"


@pytest.mark.parametrize(("points", "stretch"), [
    ((seen(SENDER, "request"), seen(UPLINK, ASKED), seen(TAP)), ("the packet", "uplink -> tap")),
    ((seen(SENDER, "request"), seen(UPLINK, ASKED), seen(TAP, ASKED)), ("the packet", "tap -> -")),
    ((seen(SENDER, "request"), seen(UPLINK, ASKED), seen(TAP, ASKED, TOLD)), ("the answer", "tap -> uplink")),
    ((seen(SENDER, "request"), seen(UPLINK, ASKED, TOLD), seen(TAP, ASKED, TOLD)), ("the packet", "sender -> uplink")),
    ((seen(SENDER, "request"), seen(UPLINK, ASKED), seen(TAP, unseen=UNSEEN)), None),
    ((seen(SENDER, "request"), seen(UPLINK), seen(TAP, f"asked {NODE}", f"told {NODE}")), ("the packet", "sender -> uplink")),
    ((seen(SENDER, "request"), seen(UPLINK, "request", ASKED, TOLD), seen(TAP, f"asked {STRANGER}")), ("the packet", "uplink -> tap")),
    ((seen(OWN, f"asked {NODE}"), seen(TAP, f"asked {NODE}")), ("the packet", "tap -> -")),
    ((seen(OWN, f"asked {NODE}"), seen(TAP, f"asked {NODE}", f"told {NODE}")), ("the answer", "tap -> sender")),
    ((seen(OWN, f"asked {NODE}"), seen(TAP, f"asked {STRANGER}", f"told {STRANGER}")), ("the packet", "sender -> tap")),
])
def test_before_a_packet_goes_its_senders_question_is_followed(points, stretch):
    """A router asks for the MAC before it sends: whose question it is counts, others ask for it too."""
    assert where(trace(*points).lost) == stretch


ROUTED = replace(TAP, asks=True)


@pytest.mark.parametrize(("points", "stretch"), [
    ((seen(SENDER, "request"), seen(UPLINK, "request"), seen(ROUTED, f"asked {NODE}")), ("the packet", "tap -> -")),
    ((seen(SENDER, "request"), seen(UPLINK, "request"), seen(ROUTED, f"asked {NODE}", f"told {NODE}")), ("the packet", "uplink -> tap")),
    ((seen(SENDER, "request"), seen(UPLINK, "request"), seen(ROUTED)), ("the packet", "uplink -> tap")),
    ((seen(SENDER, "request"), seen(UPLINK, "request"), seen(TAP, f"asked {NODE}")), ("the packet", "uplink -> tap")),
])
def test_a_node_that_routes_asks_at_the_tap_itself(points, stretch):
    """Where it bridges, what it asks there is for packets of its own."""
    assert where(trace(*points).lost) == stretch


@pytest.mark.parametrize(("points", "stretch"), [
    ((seen(OWN), seen(TAP)), ("the packet", "- -> sender")),
    ((seen(OWN, f"asked {NODE}"), seen(TAP)), ("the packet", "sender -> tap")),
    ((seen(OWN, f"asked {NODE}"), seen(TAP, f"asked {NODE}")), ("the packet", "tap -> -")),
    ((seen(OWN, f"asked {NODE}"), seen(TAP, f"asked {NODE}", f"told {NODE}")), ("the answer", "tap -> sender")),
    ((seen(OWN, f"asked {NODE}", "request"), seen(TAP, "request", "reply")), ("the packet", "sender -> tap")),
])
def test_of_arp_the_question_is_the_packet(points, stretch):
    assert where(trace(*points, protocol="arp").lost) == stretch


# -- lost on the way back --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("points", "stretch", "owner"), [
    ((seen(SENDER, "request"), seen(UPLINK, "request", "reply"), seen(TAP, "request", "reply")), "uplink -> sender", "network engineer"),
    ((seen(SENDER, "request"), seen(UPLINK, "request"), seen(TAP, "request", "reply")), "tap -> uplink", "node administrator"),
    ((seen(SENDER, "request"), seen(UPLINK, "request", unseen=UNSEEN), seen(TAP, "request", "error")), "tap -> sender", "network engineer"),
    ((seen(SENDER, "request"), seen(UPLINK, "request"), seen(TAP, "request", "reply"), seen(GUEST, unseen=UNSEEN)), "tap -> uplink", "node administrator"),
    ((seen(SENDER, "request"), seen(UPLINK, "request", "~reply"), seen(TAP, "request", "reply")), "tap -> uplink", "node administrator"),
])
def test_an_answer_is_lost_behind_where_it_was_last_seen(points, stretch, owner):
    found = trace(*points)
    assert where(found.lost) == ("the answer", stretch)
    assert found.lost.owner == owner


def test_where_the_answer_could_not_be_looked_for_nothing_is_claimed():
    found = trace(seen(SENDER, "request", unseen=UNSEEN), seen(UPLINK, "request", "reply"), seen(TAP, "request", "reply"))
    assert found.lost is None


# -- errors, datagrams -----------------------------------------------------------------------------------------------


def test_an_icmp_error_at_the_sender_is_told_once():
    found = trace(seen(SENDER, "request", "error", "error"), seen(UPLINK, "request", "error"), seen(TAP, "request", "error"), protocol="udp")
    assert (found.answered, found.lost, found.errors) == (False, None, ("dest-unreach port-unreachable",))
    assert found.said == "an ICMP error comes back: dest-unreach port-unreachable"


def test_an_error_of_a_router_does_not_hide_where_it_is_lost():
    """A router says "host unreachable" because nobody answers its question: that is seen further on."""
    found = trace(seen(SENDER, "request", "error"), seen(UPLINK, ASKED), seen(TAP, ASKED))
    assert where(found.lost) == ("the packet", "tap -> -")
    assert found.said.endswith("guest owner; an ICMP error comes back: dest-unreach port-unreachable")


def test_a_datagram_need_not_be_answered():
    found = trace(seen(SENDER, "request"), seen(UPLINK, "request"), seen(TAP, "request"), protocol="udp")
    assert (found.answered, found.lost) == (False, None)
    assert found.said == "node1: tap vnet7 has the packet; no answer, which a datagram need not have"
    assert where(trace(seen(SENDER, "request"), seen(UPLINK, "request"), seen(TAP), protocol="udp").lost) == ("the packet", "uplink -> tap")
    back = trace(seen(SENDER, "request"), seen(UPLINK, "request"), seen(TAP, "request", "reply"), protocol="udp")
    assert where(back.lost) == ("the answer", "tap -> uplink")


# -- words -----------------------------------------------------------------------------------------------------------


def test_a_point_is_found_by_hop_and_place():
    found = trace(seen(SENDER), seen(UPLINK), seen(TAP))
    assert found.at("tap", "node1") is found.points[2]
    assert found.at("tap", "node2") is None
    assert (str(TAP), str(Point("node1", "tap", "", leaves=True))) == ("node1: tap vnet7", "node1: tap")


@pytest.mark.parametrize(("stretch", "sentence"), [
    (Stretch(seen(UPLINK), seen(TAP), forth=True), "the packet is lost between node1: uplink eth0 and node1: tap vnet7: node administrator"),
    (Stretch(seen(UPLINK), seen(SENDER), forth=False), "the answer is lost between node1: uplink eth0 and controller: sender eth0: network engineer"),
    (Stretch(seen(TAP), None, forth=True), "node1: tap vnet7 has the packet, and nothing answers: guest owner"),
])
def test_a_stretch_is_a_sentence(stretch, sentence):
    assert str(stretch) == sentence
