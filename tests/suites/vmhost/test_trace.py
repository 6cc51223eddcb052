"""suites/vmhost/test_trace.py, called with what was seen of the packets of implied flows."""

from dataclasses import replace

import pytest

from netchecks.errors import NotSeen, Why
from netchecks.models.links import Link
from netchecks.models.subjects import Network
from netchecks.models.table import Table
from netchecks.models.traces import Point, Seen, Sighting, Trace
from suites.vmhost import test_trace as checks
from tests.suites.vmhost.given import (
    CONTROLLER,
    LAN,
    MAC,
    NODE1,
    NODE2,
    UNSEEN,
    _by,
    answered,
    answers,
    by,
    flow_of,
    is_unknown,
    notes_of,
    silent,
    wrong,
)

FROM_OUTSIDE = replace(flow_of("icmp"), name="controller-to-vm42-icmp-ipv4", source=CONTROLLER)
FROM_NODE2 = replace(flow_of("tcp"), name="node2-to-vm42-tcp22-ipv4", source=NODE2)
PING, ARP, NDP, TCP, UDP = flow_of("icmp"), flow_of("arp"), flow_of("ndp", family=6), flow_of("tcp"), flow_of("udp")
ROUTER, GATEWAY, STRANGER = "02:00:00:00:00:01", "10.20.0.1", "52:54:00:00:00:99"
NOT_LOOKED = NotSeen(Why.UNREACHABLE, "node1: a test says so", cause="node.ssh_refused")
POINTS = {
    "sender": Point("controller", "sender", "eth0", leaves=True), "own": Point("node1", "sender", "br0", leaves=True),
    "other": Point("node2", "sender", "br0", leaves=True), "uplink": Point("node1", "uplink", "eth0", leaves=False),
    "tap": Point("node1", "tap", "vnet7", leaves=True),
}
REQUEST = Sighting("request", 1.0, ROUTER, MAC, 0)
REPLY = Sighting("reply", 1.1, MAC, ROUTER, 0)
ASKED, TOLD = (Sighting(kind, 1.0, ROUTER, MAC, asker=GATEWAY) for kind in ("asked", "told"))
ASKED_BY_OTHER = replace(ASKED, asker="10.20.0.77")
ERROR = Sighting("error", 1.1, MAC, ROUTER, 0, said="dest-unreach")
REFLECTED = replace(REQUEST, right_way=False)


def at(hop, *sightings, unseen=None):
    return Seen(POINTS[hop], sightings, unseen)


def trace(*points, sent=(1.0, 1.6, 2.2), unsent=None):
    return Trace("a-flow", points, sent, unsent)


def judged(check, flow, seen, answer=None, **facts):
    given = [answers({flow: answer or silent()}), _by("traces", {flow.name: (flow, seen)})]
    if check.startswith("request_"):
        given.append(by("links", facts.get("links", UNSEEN)))
    return notes_of(getattr(checks, f"test_{check}"), flow, *given)


CHECKS = ("request_reaches_uplink", "request_reaches_tap", "reply_leaves_tap", "reply_leaves_node", "reply_returns")
WHOLE = trace(at("sender", REQUEST, REPLY), at("uplink", REQUEST, REPLY), at("tap", REQUEST, REPLY))


@pytest.mark.parametrize("check", CHECKS)
def test_a_whole_way_passes_and_no_trace_is_unknown(check):
    assert judged(check, FROM_OUTSIDE, WHOLE) == []
    is_unknown(judged, check, FROM_OUTSIDE, UNSEEN)


@pytest.mark.parametrize("check", CHECKS)
def test_what_came_back_went_every_hop_whatever_a_capture_missed(check):
    assert judged(check, FROM_OUTSIDE, UNSEEN, answered()) == []
    is_unknown(judged, check, FROM_OUTSIDE, WHOLE, UNSEEN)


@pytest.mark.parametrize("check", CHECKS)
def test_a_way_without_the_hop_is_unknown(check):
    is_unknown(judged, check, FROM_OUTSIDE, trace())


# -- to the uplink ---------------------------------------------------------------------------------------------------


def reaches_uplink(*points, flow=FROM_OUTSIDE, **more):
    links = more.pop("links", UNSEEN)
    return judged("request_reaches_uplink", flow, trace(*points, **more), links=links)


@pytest.mark.parametrize("uplink", [at("uplink"), at("uplink", REFLECTED), at("uplink", TOLD)])
def test_a_packet_that_left_its_sender_and_does_not_come(uplink):
    with wrong("upstream.request_lost", "3 pings for 10.20.0.142 left controller, and none came to node1's uplink eth0", place="node1"):
        reaches_uplink(at("sender", REQUEST), uplink, at("tap"))


def test_the_question_alone_shows_that_the_way_is_there():
    assert reaches_uplink(at("sender", REQUEST), at("uplink", ASKED), at("tap")) == []


def test_the_node_itself_asks_not_by_its_uplink():
    assert judged("request_reaches_uplink", PING, UNSEEN) == []


@pytest.mark.parametrize("points", [
    (at("sender", REQUEST), at("uplink", unseen=NOT_LOOKED)), (at("sender", unseen=NOT_LOOKED), at("uplink")),
])
def test_where_it_could_not_be_looked_the_uplink_is_unknown(points):
    is_unknown(lambda: reaches_uplink(*points))


def test_what_was_seen_by_a_capture_that_dropped_counts():
    assert reaches_uplink(at("sender", REQUEST), at("uplink", REQUEST, unseen=NOT_LOOKED)) == []


def test_a_packet_that_does_not_leave_its_sender():
    with wrong("sender.drops_request", "controller: pings for 10.20.0.142 do not leave it by eth0", place="controller", hop="sender", owner="node administrator"):
        reaches_uplink(at("sender"), at("uplink"))
    refused = NotSeen(Why.FAILED, "controller: [Errno 1] Operation not permitted", cause="sender.drops_request")
    with wrong("sender.drops_request", "eth0: controller: [Errno 1]", place="controller", hop="sender", owner="node administrator"):
        reaches_uplink(at("sender"), at("uplink"), sent=(), unsent=refused)


def test_a_packet_that_could_not_be_sent_is_unknown():
    is_unknown(lambda: reaches_uplink(at("sender"), at("uplink"), sent=(), unsent=NOT_LOOKED))


def tagged(*vlans, one=REQUEST):
    return replace(one, vlans=vlans)


@pytest.mark.parametrize(("came", "found"), [
    (tagged(5), "in VLAN 5, expected no tag"), (tagged(7, 5), "in VLAN 5 in 7, expected no tag"), (tagged(5, one=ASKED), "in VLAN 5, expected no tag"),
])
def test_a_tag_that_is_not_meant(came, found):
    with wrong("uplink.wrong_vlan", f"pings for 10.20.0.142 come to node1's uplink eth0 {found}", place="node1", certain=True):
        reaches_uplink(at("sender", REQUEST), at("uplink", came))


@pytest.mark.parametrize("came", [(REQUEST,), (tagged(0),), (REQUEST, tagged(5))])
def test_without_a_tag_a_priority_or_beside_what_is_meant(came):
    assert reaches_uplink(at("sender", REQUEST), at("uplink", *came)) == []


VLAN_LAN = Network("lan", "switching", LAN.attachments, LAN.subnets, vlan=100)
IN_VLAN = replace(FROM_OUTSIDE, network=VLAN_LAN)


def links(**fields):
    return Table("device", {"eth0": Link("eth0", 2, ROUTER, **fields)})


def test_a_network_with_a_vlan_has_its_tag():
    assert reaches_uplink(at("sender", REQUEST), at("uplink", tagged(100)), flow=IN_VLAN, links=links()) == []
    with wrong("uplink.wrong_vlan", "without a tag, expected 100", place="node1", certain=True):
        reaches_uplink(at("sender", REQUEST), at("uplink", REQUEST), flow=IN_VLAN, links=links())
    is_unknown(lambda: reaches_uplink(at("sender", REQUEST), at("uplink", REQUEST), flow=IN_VLAN))


def test_the_vlans_own_device_shows_no_tag():
    assert reaches_uplink(at("sender", REQUEST), at("uplink", REQUEST), flow=IN_VLAN, links=links(vlan_id=100)) == []
    with wrong("uplink.wrong_vlan", "without a tag, expected 100", place="node1", certain=True):
        reaches_uplink(at("sender", REQUEST), at("uplink", REQUEST), flow=IN_VLAN, links=links(vlan_id=7))


STALE = replace(REQUEST, destination=STRANGER)


def test_a_packet_for_another_mac():
    words = (f"for the MAC {STRANGER}, expected for {MAC}", f"their sender {ROUTER} remembers another")
    with wrong("gateway.stale_neighbour", *words, place=GATEWAY, certain=True) as caught:
        reaches_uplink(at("sender", REQUEST), at("uplink", STALE))
    assert f"with MAC {ROUTER}: clear its neighbour entry of 10.20.0.142" in caught.value.remedy
    with wrong("gateway.stale_neighbour", *words, place="node2", certain=True):
        reaches_uplink(at("other", REQUEST), at("uplink", STALE), flow=FROM_NODE2)


def test_one_of_two_routers_that_is_right_is_enough():
    assert reaches_uplink(at("sender", REQUEST), at("uplink", STALE, REQUEST)) == []
    assert reaches_uplink(at("sender", REQUEST), at("uplink", replace(ASKED, destination="ff:ff:ff:ff:ff:ff"))) == []


# -- to the tap ------------------------------------------------------------------------------------------------------


def tap_with(*flags):
    return Table("device", {"vnet7": Link("vnet7", 7, "fe:54:00:00:00:42", flags=frozenset(flags))})


def reaches_tap(before, tap, flow=FROM_OUTSIDE, links=None, **more):
    points = (at("sender", REQUEST), before, tap) if flow.source != NODE1 else (before, tap)
    return judged("request_reaches_tap", flow, trace(*points, **more), links=links or tap_with("UP", "LOWER_UP"))


@pytest.mark.parametrize(("before", "tap", "words"), [
    (at("uplink", REQUEST), at("tap"), "node1: pings for 10.20.0.142 are at uplink eth0, and none comes to vm42-1's tap vnet7"),
    (at("uplink", REQUEST), at("tap", REFLECTED, ASKED, TOLD), "pings for"),
    (at("uplink", ASKED), at("tap"), "questions for 10.20.0.142's MAC are at uplink eth0"),
    (at("uplink", ASKED), at("tap", ASKED_BY_OTHER), "questions for"),
])
def test_what_is_at_the_uplink_and_not_at_the_tap(before, tap, words):
    with wrong("node.drops_request", words, place="node1"):
        reaches_tap(before, tap)


@pytest.mark.parametrize(("before", "tap"), [
    (at("uplink", REQUEST), at("tap", REQUEST)), (at("uplink", REQUEST, REQUEST), at("tap", REQUEST)), (at("uplink", ASKED), at("tap", ASKED)),
    (at("uplink", ASKED), at("tap", REQUEST)), (at("uplink"), at("tap")), (at("uplink", REQUEST, unseen=NOT_LOOKED), at("tap", REQUEST, unseen=NOT_LOOKED)),
])
def test_what_comes_through_or_never_came_is_not_lost_there(before, tap):
    assert reaches_tap(before, tap) == []


@pytest.mark.parametrize(("before", "tap"), [(at("uplink", REQUEST), at("tap", unseen=NOT_LOOKED)), (at("uplink", unseen=NOT_LOOKED), at("tap"))])
def test_where_it_could_not_be_looked_the_tap_is_unknown(before, tap):
    is_unknown(reaches_tap, before, tap)


def test_a_tap_with_nobody_at_its_end_is_given_nothing():
    """A bridge forwards nothing to a port without carrier: the check of the tap says so."""
    assert reaches_tap(at("uplink", REQUEST), at("tap"), links=tap_with("UP")) == []
    is_unknown(lambda: reaches_tap(at("uplink", REQUEST), at("tap"), links=UNSEEN))
    assert reaches_tap(at("uplink", REQUEST), at("tap", REQUEST), links=UNSEEN) == []


@pytest.mark.parametrize(("flow", "seen"), [(PING, REQUEST), (TCP, REQUEST), (UDP, REQUEST), (ARP, ASKED), (NDP, ASKED), (PING, ASKED)])
def test_what_the_node_itself_sends_comes_from_its_bridge(flow, seen):
    assert reaches_tap(at("own", seen), at("tap", seen), flow) == []
    with wrong("node.drops_request", "are at sender br0, and none comes to vm42-1's tap vnet7", place="node1"):
        reaches_tap(at("own", seen), at("tap"), flow)
    with wrong("sender.drops_request", place="node1", hop="sender", owner="node administrator"):
        reaches_tap(at("own"), at("tap"), flow)


# -- in the guest ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tap", [at("tap", REQUEST), at("tap", ASKED), at("tap", REQUEST, ASKED, TOLD), at("tap", REQUEST, replace(REPLY, right_way=False))])
def test_a_guest_that_does_not_answer(tap):
    with wrong("guest.does_not_answer", "pings for 10.20.0.142 come to vm42-1's tap vnet7, and the guest does not answer"):
        judged("reply_leaves_tap", FROM_OUTSIDE, trace(at("uplink", REQUEST), tap))


@pytest.mark.parametrize("tap", [at("tap"), at("tap", REQUEST, REPLY), at("tap", REQUEST, ERROR), at("tap", ASKED, TOLD)])
def test_a_guest_that_answers_or_was_not_asked(tap):
    assert judged("reply_leaves_tap", FROM_OUTSIDE, trace(at("uplink", REQUEST), tap)) == []


def test_where_it_could_not_be_looked_the_guest_is_unknown():
    is_unknown(judged, "reply_leaves_tap", FROM_OUTSIDE, trace(at("tap", REQUEST, unseen=NOT_LOOKED)))
    is_unknown(judged, "reply_leaves_tap", FROM_OUTSIDE, trace(at("tap", unseen=NOT_LOOKED)))
    assert judged("reply_leaves_tap", FROM_OUTSIDE, trace(at("tap", REQUEST, REPLY, unseen=NOT_LOOKED))) == []


# -- back ------------------------------------------------------------------------------------------------------------


def leaves_node(out, tap, flow=FROM_OUTSIDE):
    return judged("reply_leaves_node", flow, trace(at("sender", REQUEST), out, tap) if flow.source != NODE1 else trace(out, tap))


@pytest.mark.parametrize(("out", "tap"), [
    *((out, tap) for tap in (at("tap", REQUEST, REPLY), at("tap", REQUEST, ERROR))
      for out in (at("uplink"), at("uplink", REQUEST, ASKED), at("uplink", replace(REPLY, right_way=False)))),
    (at("uplink", ASKED), at("tap", ASKED, replace(TOLD, source=MAC))),
])
def test_an_answer_that_is_at_the_tap_alone(out, tap):
    with wrong("node.drops_reply", f"node1: vm42-1's answers are at its tap vnet7 (from {MAC}), and none comes to the uplink eth0", place="node1"):
        leaves_node(out, tap)


def test_what_others_were_told_by_another_way_need_not_leave():
    assert leaves_node(at("uplink"), at("tap", ASKED, replace(TOLD, source=MAC))) == []


def test_that_its_mac_was_told_is_no_answer_to_a_packet():
    with wrong("node.drops_reply", "none comes to the uplink eth0", place="node1"):
        leaves_node(at("uplink", REQUEST, TOLD), at("tap", REQUEST, replace(TOLD, source=MAC), REPLY))
    assert leaves_node(at("uplink", ASKED, TOLD), at("tap", ASKED, TOLD)) == []


def test_an_answer_with_another_mac_is_dropped_rightly():
    words = f"vm42-1 answers with the MAC {STRANGER}, expected {MAC}; node1 does not let that out"
    with wrong("guest.wrong_mac", words, place="vm42", owner="guest owner") as caught:
        leaves_node(at("uplink"), at("tap", REQUEST, replace(REPLY, source=STRANGER)))
    assert caught.value.remedy == f"set the MAC {MAC} inside the guest"


@pytest.mark.parametrize(("out", "tap"), [
    (at("uplink", REPLY), at("tap", REPLY)), (at("uplink"), at("tap", REQUEST)), (at("uplink"), at("tap")), (at("uplink", REPLY, unseen=NOT_LOOKED), at("tap", REPLY)),
])
def test_an_answer_that_leaves_or_never_was(out, tap):
    assert leaves_node(out, tap) == []


@pytest.mark.parametrize(("out", "tap"), [(at("uplink", unseen=NOT_LOOKED), at("tap", REPLY)), (at("uplink"), at("tap", unseen=NOT_LOOKED))])
def test_where_it_could_not_be_looked_the_way_out_is_unknown(out, tap):
    is_unknown(leaves_node, out, tap)


def test_an_answer_to_the_node_itself_comes_to_its_bridge():
    assert leaves_node(at("own", REQUEST, REPLY), at("tap", REQUEST, REPLY), PING) == []
    with wrong("node.drops_reply", "none comes to the sender br0", place="node1"):
        leaves_node(at("own", REQUEST), at("tap", REQUEST, REPLY), PING)


def returns(sender, uplink, flow=FROM_OUTSIDE):
    return judged("reply_returns", flow, trace(sender, uplink, at("tap")))


@pytest.mark.parametrize("answer", [REPLY, ERROR])
def test_an_answer_that_left_and_does_not_arrive(answer):
    with wrong("upstream.reply_lost", "vm42-1's answers leave node1 by eth0, and none comes to controller", place="node1"):
        returns(at("sender", REQUEST), at("uplink", REQUEST, answer))
    assert returns(at("sender", REQUEST, answer), at("uplink", REQUEST, answer)) == []


def test_an_answer_that_did_not_leave_is_not_lost_beyond():
    assert returns(at("sender", REQUEST), at("uplink", REQUEST, TOLD)) == []
    assert judged("reply_returns", PING, UNSEEN) == [], "the node itself asked"


@pytest.mark.parametrize(("sender", "uplink"), [(at("sender", unseen=NOT_LOOKED), at("uplink", REPLY)), (at("sender"), at("uplink", unseen=NOT_LOOKED))])
def test_where_it_could_not_be_looked_the_way_back_is_unknown(sender, uplink):
    is_unknown(returns, sender, uplink)


# -- checksums -------------------------------------------------------------------------------------------------------

WRONG = replace(REPLY, miscounted=True)
TCP_FROM_OUTSIDE = replace(FROM_OUTSIDE, name="controller-to-vm42-tcp22-ipv4", protocol="tcp", port=22)


def checksums(*points, flow=TCP_FROM_OUTSIDE, answer=None):
    return judged("answers_have_right_checksums", flow, trace(*points), answer)


def test_checksums_that_are_right_or_taken_all_the_same_are_nothing():
    assert checksums(at("sender", REPLY), at("uplink", REPLY), at("tap", REPLY)) == checksums() == []
    assert checksums(at("sender", WRONG), answer=answered()) == []
    assert checksums(at("uplink", replace(WRONG, right_way=False))) == []


def test_what_the_node_lets_out_unfinished_is_named_where_it_is_first_seen():
    with wrong("node.checksums_unfinished", "node1: TCP answers of vm42-1 are at uplink eth0 with wrong checksums", place="node1",
               owner="node administrator", breaks={"tcp"}, certain=True):
        checksums(at("sender", WRONG), at("uplink", WRONG), at("tap", REPLY))


def test_what_is_wrong_at_the_tap_is_the_guests():
    with wrong("guest.checksums_wrong", "at tap vnet7 with wrong checksums", place="vm42", owner="guest owner", breaks={"tcp"}, certain=True):
        checksums(at("sender", WRONG), at("uplink", WRONG), at("tap", WRONG))
