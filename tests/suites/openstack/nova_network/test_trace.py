"""suites/openstack/nova_network/test_trace.py, called with what was seen of packets at the external host, the node and the instance."""

from dataclasses import replace

import pytest

from netchecks.causes import nova_network as causes
from netchecks.errors import NotSeen, Why
from netchecks.models.traces import Outbound, Point, Seen, Sighting, Trace
from suites.openstack.nova_network import test_trace as checks
from tests.suites.node.given import UNSEEN
from tests.suites.openstack.nova_network.given import MULTI, SINGLE, SITE, of
from tests.suites.vmhost.given import answered, answers, is_unknown, notes_of, silent, world_of, wrong

OUTSIDE, PORT = MULTI.flow("controller-to-vm42-floating-icmp"), MULTI.flow("controller-to-vm42-floating-tcp22")
OTHER = MULTI.flow("compute2-to-vm42-icmp-ipv4")
POINTS = {
    "sender": Point("controller", "sender", "eth0", leaves=True), "public": Point("compute1", "public", "eth0", leaves=False),
    "bridge": Point("compute1", "bridge", "br100", leaves=True, asks=True), "tap": Point("compute1", "tap", "vif42", leaves=True),
    "guest": Point("guest:vm42", "guest", "mac:fa:16:3e:00:00:42", leaves=False), "from": Point("compute2", "sender", "br100", leaves=True),
    "out": Point("compute2", "uplink", "eth1", leaves=True), "in": Point("compute1", "uplink", "eth1", leaves=False),
}
REQUEST, REPLY = Sighting("request", 1.0, "a", "b", 0), Sighting("reply", 1.1, "b", "a", 0)
ASKED, TOLD = (Sighting(kind, 1.0, "a", "b", asker="10.0.2.1") for kind in ("asked", "told"))
NOT_LOOKED = NotSeen(Why.FAILED, "a test says so")


def trace(*given, unsent=None):
    return Trace("a-flow", tuple(Seen(POINTS[hop], sightings, None) for hop, *sightings in given), () if unsent else (1.0,), unsent)


def judged(flow, seen, answer=None, others=()):
    return notes_of(checks.test_three_point_trace, flow, answers({flow: answer or silent(), **dict(others)}), of("traces", (flow, seen)))


WHOLE = trace(("sender", REQUEST, REPLY), ("public", REQUEST, REPLY), ("bridge", REQUEST, REPLY), ("tap", REQUEST, REPLY))


def test_twice_on_the_compute_node_is_right():
    assert judged(OUTSIDE, WHOLE, answered()) == []


def test_an_answer_that_the_node_gives_itself_is_not_the_instances():
    seen = trace(("sender", REQUEST, REPLY), ("public", REQUEST, REPLY), ("bridge",), ("tap",))
    with wrong("nova.answered_by_another", "nothing of it comes to vm42's tap vif42", place="compute1", hop="translation", certain=True,
               breaks=frozenset({"floating"})):
        judged(OUTSIDE, seen, answered())


def test_where_the_tap_could_not_be_seen_an_answer_is_taken_for_the_instances():
    points = (*trace(("sender", REQUEST, REPLY), ("public", REQUEST, REPLY)).points, Seen(POINTS["tap"], (), NOT_LOOKED))
    assert judged(OUTSIDE, Trace("x", points, (1.0,)), answered()) == []


@pytest.mark.parametrize(("seen", "code", "fields"), [
    ([("sender", REQUEST), ("public",), ("bridge",), ("tap",)], "upstream.request_lost", {"place": "private", "hop": "public", "owner": "network engineer"}),
    ([("sender", REQUEST), ("public", REQUEST), ("bridge",), ("tap",)], "node.drops_request", {"place": "compute1", "hop": "tap"}),
    ([("sender", REQUEST), ("public", REQUEST), ("bridge", REQUEST), ("tap",)], "node.drops_request", {"place": "compute1", "hop": "tap"}),
    ([("sender", REQUEST), ("public", REQUEST), ("bridge", REQUEST), ("tap", REQUEST)], "guest.does_not_answer", {"place": "vm42", "owner": "guest owner"}),
    ([("sender", REQUEST), ("public", REQUEST), ("bridge", ASKED), ("tap", ASKED)], "guest.does_not_answer", {"place": "vm42", "owner": "guest owner"}),
    ([("sender", REQUEST), ("public", REQUEST), ("bridge", REQUEST, REPLY), ("tap", REQUEST, REPLY)], "node.drops_reply",
     {"place": "compute1", "hop": "tap"}),
    ([("sender", REQUEST), ("public", REQUEST, REPLY), ("bridge", REQUEST, REPLY), ("tap", REQUEST, REPLY)], "upstream.reply_lost",
     {"place": "private", "hop": "public", "owner": "network engineer"}),
])
def test_the_stretch_where_it_is_lost_is_named(seen, code, fields):
    with wrong(code, "203.0.113.30", **{"owner": "node administrator"} | fields):
        judged(OUTSIDE, trace(*seen))


def test_what_never_leaves_is_the_senders():
    with wrong("sender.drops_request", place="controller", hop="sender"):
        judged(OUTSIDE, trace(("sender",), ("public",), ("bridge",), ("tap",)))


def test_between_two_nodes_it_is_the_flat_network():
    with wrong("upstream.request_lost", "compute2: uplink eth1", place="private", hop="uplink", owner="network engineer"):
        judged(OTHER, trace(("from", REQUEST), ("out", REQUEST), ("in",), ("tap",)))


def test_an_instance_whose_port_answers_drops_icmp():
    seen = trace(("sender", REQUEST), ("public", REQUEST), ("bridge", REQUEST), ("tap", REQUEST))
    assert judged(OUTSIDE, seen, others={PORT: answered()}) == ["guest.drops_icmp"]
    with wrong("guest.does_not_answer", place="vm42", owner="guest owner"):
        judged(OUTSIDE, seen, others={PORT: silent()})


def test_what_does_not_leave_a_node_of_the_network_is_its_bridges():
    with wrong("sender.drops_request", place="compute2", hop="uplink"):
        judged(OTHER, trace(("from",), ("out",), ("in",), ("tap",)))


def test_behind_a_network_host_whatever_is_wrong_there_comes_first():
    flow = SINGLE.flow("controller-to-vm42-floating-icmp")
    points = (Point("compute2", "public", "eth0", leaves=False), Point("compute2", "bridge", "br100", leaves=True, asks=True))
    sender, tap = POINTS["sender"], POINTS["tap"]
    seen = Trace("x", (Seen(sender, (REQUEST,)), Seen(points[0], (REQUEST,)), Seen(points[1]), Seen(tap)), (1.0,))
    with wrong("node.drops_request", place="compute2", hop="uplink", owner="node administrator"):
        notes_of(checks.test_three_point_trace, flow, answers({flow: silent()}), of("traces", (flow, seen)))


def test_no_trace_and_nothing_sent_are_unknown():
    is_unknown(checks.test_three_point_trace, OUTSIDE, answers({OUTSIDE: silent()}), of("traces", (OUTSIDE, UNSEEN)))
    unsent = trace(("sender",), ("public",), ("bridge",), ("tap",), unsent=NOT_LOOKED)
    is_unknown(checks.test_three_point_trace, OUTSIDE, answers({OUTSIDE: silent()}), of("traces", (OUTSIDE, unsent)))


# -- what the instance begins itself -----------------------------------------------------------------------------------


WITH_OUTSIDE = world_of(SITE.replace("@HOW@", "").replace("    uplink: eth1\n", "    uplink: eth1\n    outside: [198.51.100.4]\n")).inventory.interfaces[0]
DROPPED = {"breaks": frozenset({"outbound"}), "owner": "node administrator"}
AS_CAUSE = {"hop": "translation", "layer": "passes"}


def outbound(*given, unseen=None, of_check=checks.test_outbound_leaves_gate):
    seen = [Seen(POINTS[hop], sightings, unseen if hop == "public" else None) for hop, *sightings in given]
    made = Outbound((Trace("vm42-outbound-ipv4", tuple(seen), (1.0,)),))
    return notes_of(of_check, WITH_OUTSIDE, of("outbound_traces", (WITH_OUTSIDE, made)))


def test_what_leaves_by_the_public_interface_is_right():
    assert outbound(("guest", REQUEST), ("tap", REQUEST), ("public", REQUEST)) == []
    assert outbound(("guest", REQUEST), ("tap",), ("public",)) == [], "the guest's own firewall: another check says so"


@pytest.mark.parametrize(("of_check", "fields"), [
    (checks.test_outbound_leaves_gate, {}), (causes.gate_keeps_what_the_instance_begins, AS_CAUSE),
])
def test_what_the_gate_keeps_is_named(of_check, fields):
    with wrong("node.drops_outbound", "198.51.100.4", "between compute1: tap vif42 and compute1: public eth0", place="compute1", **DROPPED, **fields):
        outbound(("guest", REQUEST), ("tap", REQUEST), ("public",), of_check=of_check)


@pytest.mark.parametrize("of_check", [checks.test_outbound_leaves_gate, causes.gate_keeps_what_the_instance_begins])
def test_what_is_lost_on_the_way_to_the_gate_is_no_nodes(of_check):
    fields = AS_CAUSE if of_check is causes.gate_keeps_what_the_instance_begins else {}
    with wrong("upstream.request_lost", place="private", **(DROPPED | fields | {"owner": "network engineer"})):
        outbound(("guest", REQUEST), ("tap", REQUEST), ("out", REQUEST), ("in",), ("public",), of_check=of_check)


def test_a_cause_is_none_where_the_packet_leaves_or_no_nova_network_is():
    given = [("guest", REQUEST), ("tap", REQUEST), ("public", REQUEST)]
    assert outbound(*given, of_check=causes.gate_keeps_what_the_instance_begins) == []
    elsewhere = replace(WITH_OUTSIDE, network=replace(WITH_OUTSIDE.network, nova=None))
    assert notes_of(causes.gate_keeps_what_the_instance_begins, elsewhere, of("outbound_traces", (elsewhere, Outbound()))) == []


def test_a_public_interface_that_could_not_be_looked_at_is_unknown():
    with pytest.raises(NotSeen):
        outbound(("guest", REQUEST), ("tap", REQUEST), ("public",), unseen=NOT_LOOKED)
