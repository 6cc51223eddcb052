"""From what the agents of several places said to one trace: clocks, captures that prove nothing, places that were not seen."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from ipaddress import ip_interface
from typing import Any

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA
from scapy.layers.l2 import ARP, Dot1Q

import netchecks.platforms
from netchecks import facts, plan, record, send
from netchecks.errors import NotSeen, Why
from netchecks.models.domains import Domain, DomainInterface
from netchecks.models.links import Link
from netchecks.models.routes import InterfaceAddress, Lookup
from netchecks.models.subjects import Flow
from netchecks.models.table import Table
from netchecks.models.traces import Trace
from netchecks.probe import Ask, Capture, Frames, Got, Packets, Part
from netchecks.seen import By
from netchecks.trace import declaring
from netchecks.trace.marks import RUN, TURNS
from tests.trace.given import CONTROLLER, GUEST, MAC, NODE, SENDERS, TARGETS, flow, frame, ip, reply, request

assert netchecks.platforms.__doc__, "importing them declares their traces"
PING, ARPING = flow("icmp"), flow("arp", source=NODE)
UNREACHED = NotSeen(Why.UNREACHABLE, "node1: a test says so", cause="node.ssh_refused")
#: By the controller's clock, when its agent and the node's began; and by each place's own, its uptime then.
BEGAN = {"controller": 5_000_000.0, "node1": 5_000_000.2, "guest:vm42": 5_000_000.1}
UPTIME = {"controller": 900.0, "node1": 7_000_000.0, "guest:vm42": 20.0}
SENT = (0.5, 1.1, 1.7)


# -- asked -----------------------------------------------------------------------------------------------------------


def by(fact: str, known: dict[Any, Any]) -> By[Any, Any]:
    def look(name: str) -> Any:
        value = {str(subject): value for subject, value in known.items()}[name]
        if isinstance(value, NotSeen):
            raise value
        return value

    return By(fact, {str(subject): subject for subject in known}, look)


LINKS = Table("device", {name: Link(name, number, f"02:20:00:00:00:0{number}") for number, name in enumerate(("lo", "br0", "eth0", "vnet7"))})
ADDRESSES = Table("device", {"br0": (InterfaceAddress(ip_interface("10.20.0.11/24")), InterfaceAddress(ip_interface("fe80::11/64")))})
DOMAINS = Table("domain", {"vm42": Domain("vm42", "running", interfaces=(DomainInterface(MAC, "bridge", target="vnet7"),))})


def asks(one: Flow = PING, lookup: Any = None, links: Any = LINKS, domains: Any = DOMAINS) -> dict[str, Ask]:
    probe = plan.probe_for("traces", one)
    known = {
        "links": {NODE: links, CONTROLLER: LINKS}, "addresses": {NODE: ADDRESSES, CONTROLLER: ADDRESSES}, "domains": {NODE: domains},
        "route_lookups": {one: lookup or Lookup("unicast", "eth0", "10.20.200.1", SENDERS[one.family])},
    }
    return probe.ask(one, *(by(need, known[need]) for need in probe.needs))


def captured(ask: Ask) -> list[tuple[str, bool, bool]]:
    return [(one.device, bool(one.prefix), one.tunnels) for one in ask.actions if isinstance(one, Capture)]


def test_every_place_of_the_way_is_asked_for_its_points_and_the_sender_sends():
    made = asks()
    assert list(made) == ["controller", "node1", "guest:vm42"]
    three = [(False, False), (True, False), (True, True)]
    assert captured(made["controller"]) == [("eth0", *kind) for kind in three]
    assert captured(made["node1"]) == [(device, *kind) for device in ("eth0", "vnet7") for kind in three]
    assert captured(made["guest:vm42"]) == [(f"mac:{MAC}", *kind) for kind in three]
    assert [type(one) for one in made["controller"].actions if not isinstance(one, Capture)] == [Packets]
    assert not [one for name in ("node1", "guest:vm42") for one in made[name].actions if not isinstance(one, Capture)]
    assert {one.prefix for ask in made.values() for one in ask.actions if isinstance(one, Capture) and one.prefix} == {RUN}


def test_the_window_lets_a_proxy_answer_the_last_packet():
    sends = [one for one in asks()["controller"].actions if isinstance(one, Packets)]
    assert sends[0].at + (TURNS - 1) * sends[0].gap + 0.8 < asks()["controller"].seconds


def test_the_node_itself_asks_on_its_bridge():
    made = asks(ARPING)
    assert captured(made["node1"])[0][0] == "br0"
    assert [one.device for one in made["node1"].actions if isinstance(one, Frames)] == ["br0"] * TURNS


def test_a_sender_without_a_route_says_why_it_sends_nothing():
    """Even where there is nothing else to do at its place."""
    made = asks(lookup=Lookup("unreachable"))
    trace = read(heard(made))
    assert trace.unsent is not None
    assert (trace.unsent.why, trace.unsent.detail) == (Why.NOT_POSSIBLE, "controller has no route to 10.20.0.142 (unreachable)")
    assert (trace.sent, trace.lost) == ((), None)
    assert made["controller"].seconds == 0, "nothing is waited for there"


# -- said ------------------------------------------------------------------------------------------------------------

Heard = dict[str, list[tuple[float, bool, bytes]]]


def heard(made: dict[str, Ask], frames: dict[str, Heard] | None = None, inexact: float = 0.0, **more: Any) -> dict[str, Part | NotSeen]:
    """What the agents say: ``frames`` by place and device, in seconds of the controller's time since its agent began."""
    return {name: _part(name, ask, (frames or {}).get(name, {}), inexact, **more) for name, ask in made.items()}


def _part(name: str, ask: Ask, frames: Heard, inexact: float, opened: float | None = 0.02, **fields: Any) -> Part:
    late = BEGAN[name] - BEGAN["controller"]
    got = tuple(_got(action, frames, late, opened, fields) for action in ask.actions)
    boot = BEGAN[name] - UPTIME[name]
    return Part(name, got, ask.note, UPTIME[name], 2.6, (boot - inexact, boot + inexact))


def _got(action: Any, frames: Heard, late: float, opened: float | None, fields: dict[str, Any]) -> Got:
    if not isinstance(action, Capture):
        times = SENT if isinstance(action, Packets) else (action.at,)
        return Got("sent", sent=len(times), times=times)
    rows = [(at - late, action.device, out, data) for at, out, data in frames.get(action.device, []) if _kept(action, data)]
    return Got("captured", packets=tuple(rows), opened=opened, **fields)


def _kept(action: Capture, data: bytes) -> bool:
    """As the kernel's filter: questions for a MAC in the one, what is marked in the other."""
    asks_for_mac = data[12:14] in {b"\x08\x06", b"\x86\xdd"} and not action.prefix
    return asks_for_mac or (bool(action.prefix) and not action.tunnels)


def read(parts: dict[str, Any], one: Flow = PING) -> Trace:
    found: Trace = plan.probe_for("traces", one).read(one, parts)
    return found


TAG = Dot1Q(vlan=5)
GO, BACK = frame(request(PING, run=RUN)), frame(reply(PING, run=RUN))
WHOLE: dict[str, Heard] = {
    "controller": {"eth0": [(0.5, True, GO), (0.504, False, BACK)]},
    "node1": {"eth0": [(0.501, False, GO), (0.503, True, BACK)], "vnet7": [(0.5015, True, GO), (0.5025, False, BACK)]},
    "guest:vm42": {f"mac:{MAC}": [(0.5018, False, GO), (0.5022, True, BACK)]},
}


def kinds(trace: Trace) -> dict[str, list[str]]:
    return {seen.point.hop: [one.kind for one in seen.sightings] for seen in trace.points}


def test_a_whole_way_is_seen_in_order():
    trace = read(heard(asks(), WHOLE))
    assert (trace.flow, trace.protocol, trace.answered, trace.unsent) == (PING.name, "icmp", True, None)
    assert kinds(trace) == {hop: ["request", "reply"] for hop in ("sender", "uplink", "tap", "guest")}
    assert trace.sent == pytest.approx([BEGAN["controller"] + at for at in SENT])


def test_the_clocks_of_the_places_are_those_of_the_controller():
    """Their uptimes have nothing in common; what is known of them is when they booted, by the controller's clock."""
    trace = read(heard(asks(), WHOLE))
    times = [one.seconds - BEGAN["controller"] for seen in trace.points for one in seen.of("request")]
    assert times == pytest.approx([0.5, 0.501, 0.5015, 0.5018], abs=1e-6)
    back = [one.seconds - BEGAN["controller"] for seen in trace.points for one in seen.of("reply")]
    assert back == pytest.approx([0.504, 0.503, 0.5025, 0.5022], abs=1e-6)


def test_clocks_that_are_known_by_half_a_second_change_no_verdict():
    trace = read(heard(asks(), WHOLE, inexact=0.25))
    assert trace.answered
    lost = {"controller": {"eth0": WHOLE["controller"]["eth0"][:1]}}
    assert str(read(heard(asks(), lost, inexact=0.25)).lost) == (
        "the packet is lost between controller: sender eth0 and node1: uplink eth0: network engineer"
    )


def test_reordered_repeated_and_doubled_frames_are_the_same_packets():
    """A bridge and its NIC both see a frame, TCP repeats its SYN-ACK, and the second packet overtakes the first."""
    two, two_back = frame(request(PING, 1, RUN)), frame(reply(PING, 1, RUN))
    frames = {
        "controller": {"eth0": [(0.5, True, GO), (1.1, True, two), (1.11, False, two_back), (1.12, False, BACK), (1.13, False, BACK)]},
        "node1": {"eth0": [(1.101, False, two), (1.102, False, GO), (1.103, False, GO)], "vnet7": [(1.104, True, two), (1.104, True, two)]},
    }
    trace = read(heard(asks(), frames))
    assert trace.answered
    assert [one.turn for one in trace.at("uplink", "node1").of("request")] == [1, 0, 0]
    assert [one.turn for one in trace.at("tap", "node1").of("request")] == [1], "one frame in two captures is one sighting"
    assert [one.turn for one in trace.at("sender", "controller").of("reply")] == [1, 0, 0]


def test_a_reflected_frame_goes_the_wrong_way():
    frames = {"controller": {"eth0": [(0.5, True, GO), (0.501, False, GO)]}}
    trace = read(heard(asks(), frames))
    sender = trace.at("sender", "controller")
    assert [one.right_way for one in sender.sightings] == [True, False]
    assert len(sender.of("request")) == 1


def test_tags_are_those_of_the_point():
    frames = {"node1": {"eth0": [(0.5, False, frame(request(PING, run=RUN), TAG))], "vnet7": [(0.5, True, GO)]}}
    trace = read(heard(asks(), frames))
    assert [one.vlans for one in trace.at("uplink", "node1").sightings] == [(5,)]
    assert [one.vlans for one in trace.at("tap", "node1").sightings] == [()]


@pytest.mark.parametrize(("one", "asked", "told"), [
    (ARPING, ARP(op=1, psrc="10.20.0.11", pdst=TARGETS[4]), ARP(op=2, psrc=TARGETS[4], hwsrc=MAC, pdst="10.20.0.11")),
    (flow("ndp", 6, source=NODE), None, ip(6, TARGETS[6], "fe80::11") / ICMPv6ND_NA(tgt=TARGETS[6])),
], ids=str)
def test_questions_and_their_answers(one, asked, told):
    made = asks(one)
    question = frame(asked) if asked else next(action.frames[0] for action in made["node1"].actions if isinstance(action, Frames))
    frames = {"node1": {"br0": [(0.7, True, question), (0.71, False, frame(told))], "vnet7": [(0.7, True, question), (0.71, False, frame(told))]}}
    trace = read(heard(made, frames), one)
    assert trace.answered
    assert kinds(trace) == {"sender": ["asked", "told"], "tap": ["asked", "told"], "guest": []}
    assert len(trace.sent) == TURNS


# -- silence that proves nothing -------------------------------------------------------------------------------------


def unseen(trace: Trace, hop: str) -> NotSeen | None:
    return next(seen.unseen for seen in trace.points if seen.point.hop == hop)


def with_node(parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Change all captures of the node."""
    node = parts["node1"]
    return parts | {"node1": replace(node, got=tuple(replace(got, **fields) if got.opened is not None else got for got in node.got))}


def test_silence_in_good_captures_is_proof():
    trace = read(heard(asks()))
    assert [seen.unseen for seen in trace.points] == [None] * 4


@pytest.mark.parametrize(("fields", "why", "words"), [
    ({"dropped": 3}, Why.TRUNCATED, "node1: uplink eth0: 9 frames came too fast to be kept"),
    ({"opened": None, "outcome": "denied", "error": "[Errno 1] Operation not permitted"}, Why.NO_PERMISSION, "cannot capture: [Errno 1]"),
    ({"opened": None, "outcome": "failed", "error": "[Errno 19] No such device"}, Why.FAILED, "cannot capture: [Errno 19] No such device"),
    ({"opened": 2.0}, Why.TIMED_OUT, "at another time than the packets were sent"),
])
def test_a_capture_that_was_not_whole_is_no_proof(fields, why, words):
    trace = read(with_node(heard(asks(), {"controller": WHOLE["controller"]}), **fields))
    for hop in ("uplink", "tap"):
        assert unseen(trace, hop).why is why
    assert words in unseen(trace, "uplink").detail
    assert unseen(trace, "sender") is None
    assert unseen(trace, "guest") is None


def test_what_was_seen_in_a_capture_that_dropped_counts():
    trace = read(with_node(heard(asks(), WHOLE), dropped=1))
    assert kinds(trace)["tap"] == ["request", "reply"]
    assert unseen(trace, "tap").why is Why.TRUNCATED


def test_a_capture_that_opened_between_two_packets_is_proof_by_the_second():
    assert unseen(read(with_node(heard(asks()), opened=0.8)), "tap") is None


def test_a_capture_that_ended_before_the_packets_is_no_proof():
    parts = heard(asks())
    trace = read(parts | {"node1": replace(parts["node1"], ended=0.3)})
    assert unseen(trace, "tap").why is Why.TIMED_OUT
    early = read(parts | {"node1": replace(parts["node1"], booted=tuple(at - 3 for at in parts["node1"].booted))})
    assert unseen(early, "tap").why is Why.TIMED_OUT, "its agent was done when the controller's began"


@pytest.mark.parametrize(("inexact", "known_"), [(0.1, True), (0.4, False)])
def test_the_less_is_known_of_the_clocks_the_less_silence_proves(inexact, known_):
    """The node listened from 0.8 to 2.2: packets at 1.1 and 1.7 by clocks that are off by 0.4 each may have gone before or after."""
    parts = with_node(heard(asks(), inexact=inexact), opened=0.6)
    trace = read(parts | {"node1": replace(parts["node1"], ended=2.0)})
    assert (unseen(trace, "tap") is None) == known_
    assert unseen(trace, "sender") is None, "by one clock all is exact"


def test_a_place_that_was_not_reached_is_not_a_loss():
    parts = heard(asks(), WHOLE) | {"node1": UNREACHED}
    trace = read(parts)
    assert (unseen(trace, "uplink"), unseen(trace, "tap")) == (UNREACHED, UNREACHED)
    assert kinds(trace)["guest"] == ["request", "reply"]
    assert trace.answered


def test_a_sender_that_was_not_reached_has_sent_nothing():
    trace = read(heard(asks()) | {"controller": UNREACHED})
    assert (trace.unsent, trace.sent, trace.lost) == (UNREACHED, (), None)
    assert unseen(trace, "sender") is UNREACHED


def test_places_of_which_none_was_reached_are_no_trace():
    with pytest.raises(NotSeen) as told:
        read(dict.fromkeys(("controller", "node1", "guest:vm42"), UNREACHED))
    assert told.value is UNREACHED


@pytest.mark.parametrize(("facts_", "hop", "words"), [
    ({"links": Table("device", {"br0": Link("br0", 1, "02:20:00:00:00:01")})}, "uplink", "node1 has no device eth0"),
    ({"links": Table("device", {"eth0": Link("eth0", 1, "02:20:00:00:00:01", xdp=True)})}, "uplink", "eth0 has an XDP program"),
    ({"domains": Table("domain", {})}, "tap", "vm42 has no tap there: its domain does not run"),
    ({"domains": NotSeen(Why.NOT_INSTALLED, "no virsh")}, "tap", "no virsh"),
])
def test_a_point_that_is_not_known_or_blind_says_why(facts_, hop, words):
    trace = read(heard(asks(**facts_), {"controller": WHOLE["controller"]}))
    assert unseen(trace, hop).why is Why.NOT_POSSIBLE
    assert words in unseen(trace, hop).detail
    assert unseen(trace, "sender") is None


def test_captures_belong_to_their_own_points_where_one_has_none():
    """A point without a device has no captures: the next one's are not taken for its."""
    made = asks(links=Table("device", {"br0": Link("br0", 1, "02:20:00:00:00:01")}))
    trace = read(heard(made, WHOLE))
    assert kinds(trace) == {"sender": ["request", "reply"], "uplink": [], "tap": ["request", "reply"], "guest": ["request", "reply"]}


# -- sent ------------------------------------------------------------------------------------------------------------


def with_sends(parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    controller = parts["controller"]
    return parts | {"controller": replace(controller, got=(*controller.got[:-1], Got(**fields)))}


def test_what_the_nodes_own_rules_drop_has_a_cause():
    """The kernel says EPERM to who sends it."""
    trace = read(with_sends(heard(asks()), outcome="failed", error="[Errno 1] Operation not permitted", times=(0.5,)))
    assert (trace.unsent.why, trace.unsent.cause) == (Why.FAILED, "sender.drops_request")


@pytest.mark.parametrize(("fields", "why", "words"), [
    ({"outcome": "failed", "error": "[Errno 101] Network is unreachable", "times": (0.5,)}, Why.FAILED, "Network is unreachable"),
    ({"outcome": "denied", "error": "[Errno 1] Operation not permitted"}, Why.NO_PERMISSION, "needs root"),
    ({"outcome": "silent", "error": "ended by its own deadline"}, Why.FAILED, "no packet was sent"),
])
def test_what_could_not_be_sent_says_why(fields, why, words):
    trace = read(with_sends(heard(asks()), **fields))
    assert (trace.unsent.why, trace.unsent.cause, trace.sent) == (why, "", ())
    assert words in trace.unsent.detail


def test_a_packet_that_failed_after_others_went_is_not_among_the_sent():
    trace = read(with_sends(heard(asks()), outcome="failed", error="[Errno 105] No buffer space available", sent=1, times=(0.5, 1.1)))
    assert trace.sent == pytest.approx([BEGAN["controller"] + 0.5])
    assert trace.unsent is None


# -- the record ------------------------------------------------------------------------------------------------------


def _document(part: Part, ask: Ask) -> bytes:
    captures, results = {}, []
    for action, got in zip(ask.actions, part.got, strict=True):
        result: dict[str, Any] = {"outcome": "", "error": "", "seconds": 0.0, "sent": 0}
        if isinstance(action, Capture):
            packets = [[at, out, base64.b64encode(data).decode()] for at, _, out, data in got.packets]
            captures[send._source_of(action)] = {"packets": packets, "opened": got.opened, "error": "", "dropped": got.dropped}
        else:
            result |= {"outcome": got.outcome, "sent": got.sent, "times": list(got.times)}
        results.append(result)
    return json.dumps({"version": 2, "began": part.began, "ended": part.ended, "results": results, "captures": captures}).encode()


def test_a_replay_in_another_process_tells_the_same(tmp_path, monkeypatch):
    """Marks are drawn anew in each process: the record knows those that were sent."""
    made = asks()
    kept = record.Record()
    for name, part in heard(made, WHOLE).items():
        place = record.PlaceRecord(name, booted=part.booted)
        key = facts.ask_key("traces", PING)
        layout = send.layout({key: made[name]})
        place.add([record.Entry(send.KEY, "main", 0, ("python3", "-"), 0, 900.0, 903.0, 8.0, _document(part, made[name]), b"", layout)])
        kept.places[name] = place
    wanted = plan.Plan({"traces": {PING.name: PING}})
    live = facts.make(kept, wanted).value("traces", PING)
    assert live.answered
    for place in kept.places.values():
        record.write_place(tmp_path, place)
    record.write_manifest(tmp_path, {}, "")
    monkeypatch.setattr(declaring, "RUN", bytes([RUN[0] ^ 1]) + RUN[1:])
    assert facts.make(record.read(tmp_path), wanted).value("traces", PING) == live


def test_a_record_without_the_trace_is_not_seen():
    with pytest.raises(NotSeen) as told:
        facts.make(record.Record(), plan.Plan({"traces": {PING.name: PING}})).value("traces", PING)
    assert told.value.why is Why.NOT_RECORDED


def test_the_guest_is_a_place_of_its_own():
    assert [place.name for place in plan.places_for("traces", PING)] == ["controller", "node1", GUEST.name]
