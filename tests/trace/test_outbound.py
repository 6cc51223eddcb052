"""netchecks/trace/outbound.py: what is asked of guest and node, and what is read of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether

from netchecks.errors import NotSeen, Why
from netchecks.models.subjects import Connection, Guest, Interface
from netchecks.plan import places_for, probe_for
from netchecks.probe import Capture, Got, Packets, Part
from netchecks.trace.marks import RUN, mark_of
from netchecks.trace.outbound import LATE, flows
from tests.suites.vmhost.given import NODE1, VM42, by, domains

CLOSED = VM42
VM = replace(VM42.vm, guest=Guest("guest:vm42", Connection("netns", "vm42")))
ENTERED = replace(VM42, vm=VM)


def _facts() -> list[Any]:
    return [by("links"), by("domains", domains())]


def _asked(interface: Interface) -> dict[str, Any]:
    probe = probe_for("outbound_traces", interface)
    assert probe is not None
    assert probe.needs == ("links", "domains")
    found: dict[str, Any] = probe.ask(interface, *_facts())
    return found


def _read(interface: Interface, parts: dict[str, Any]) -> Any:
    probe = probe_for("outbound_traces", interface)
    assert probe is not None
    return probe.read(interface, parts)


def test_a_guest_pings_its_gateways_late() -> None:
    """Whom it sends to learns its MAC: those who ask for that have asked by then."""
    assert [str(flow.target) for flow in flows(ENTERED)] == ["10.20.0.1", "fd20::1"]
    asks = _asked(ENTERED)
    assert [place.name for place in places_for("outbound_traces", ENTERED)] == ["guest:vm42", "node1"] == list(asks)
    sends = [action for action in asks["guest:vm42"].actions if isinstance(action, Packets)]
    assert [(str(one.target), one.at, len(one.packets)) for one in sends] == [("10.20.0.1", LATE, 3), ("fd20::1", LATE, 3)]
    assert all(one.seconds > LATE + 2 for one in asks.values())
    listened = [action.device for action in asks["node1"].actions if isinstance(action, Capture)]
    assert listened == ["vnet7"] * 3 + ["eth0"] * 3
    assert not [action for action in asks["node1"].actions if isinstance(action, Packets)], "the node sends nothing in the guest's name"


def test_a_guest_that_nobody_can_enter_is_watched() -> None:
    asks = _asked(CLOSED)
    assert list(asks) == ["node1"]
    assert asks["node1"].actions == (Capture("vnet7", senders=(VM42.mac,)), Capture("eth0", senders=(VM42.mac,)))


def test_nothing_is_watched_where_the_tap_is_not_known() -> None:
    probe = probe_for("outbound_traces", CLOSED)
    assert probe is not None
    with pytest.raises(NotSeen, match="does not run"):
        probe.ask(CLOSED, by("links"), by("domains", domains(state="shut off")))


def _got(*frames: tuple[bool, bytes], times: tuple[float, ...] = (), target: str = "", opened: float | None = 0.0, dropped: int = 0) -> Got:
    rows = tuple((LATE + number / 1000, "x", outgoing, data) for number, (outgoing, data) in enumerate(frames))
    return Got("sent" if times else "captured", "", 0.0, len(times), rows, dropped, target, None if times else opened, times)


def _ping(source: str = VM42.mac, kind: int = 8) -> bytes:
    mark = mark_of("vm42-1-outbound-ipv4")
    return bytes(Ether(src=source, dst="02:20:00:00:00:01") / IP(src="10.20.0.142", dst="10.20.0.1") / ICMP(type=kind) / mark.payload(0))


def _part(place: str, *got: Got) -> Part:
    points = [["guest:vm42", "guest", "mac:52:54:00:00:00:42", True, "", "", ""], ["node1", "tap", "vnet7", False, "", "", ""],
              ["node1", "uplink", "eth0", True, "", "", ""]]
    return Part(place, got, json.dumps({"run": RUN.hex(), "points": points}), 100.0, 5.0, (0.0, 0.0))


def test_its_pings_are_read_at_each_point() -> None:
    nothing, times = _got(), (LATE, LATE + 0.6, LATE + 1.2)
    inside = _part("guest:vm42", nothing, _got((True, _ping())), nothing, _got(times=times, target="10.20.0.1"), _got(times=times, target="fd20::1"))
    node = _part("node1", nothing, _got((False, _ping())), nothing, nothing, nothing, nothing)
    four, six = _read(ENTERED, {"guest:vm42": inside, "node1": node}).traces
    assert [[one.kind for one in seen.of("request")] for seen in four.points] == [["request"], ["request"], []]
    assert four.sent == tuple(100 + at for at in times) == six.sent
    assert [seen.sightings for seen in six.points] == [(), (), ()]


def test_a_guest_that_cannot_be_reached_is_why_nothing_was_sent() -> None:
    node = _part("node1", *[_got()] * 6)
    (trace, _) = _read(ENTERED, {"guest:vm42": NotSeen(Why.UNREACHABLE, "refused"), "node1": node}).traces
    assert (trace.sent, str(trace.unsent)) == ((), "unreachable: refused")


def _broadcast(target: str, source: str = VM42.mac) -> bytes:
    return bytes(Ether(src=source, dst="ff:ff:ff:ff:ff:ff") / ARP(pdst=target, hwsrc=source, psrc="10.20.0.142"))


@pytest.mark.parametrize(("tap", "uplink", "watched", "lost"), [
    ([], [], 0, 0),
    ([(False, _broadcast("10.20.0.1"))], [(True, _broadcast("10.20.0.1"))], 1, 0),
    ([(False, _broadcast("10.20.0.1"))], [], 1, 1),
    ([(False, _broadcast("10.20.0.1")), (False, _broadcast("10.20.0.2"))], [(True, _broadcast("10.20.0.2"))], 2, 1),
    ([(True, _broadcast("10.20.0.1"))], [], 0, 0),
    ([(False, _broadcast("10.20.0.1", "52:55:00:00:00:42"))], [], 0, 0),
], ids=["idle", "leaves", "stays", "one stays", "comes back", "another MAC of the same end"])
def test_broadcasts_of_a_watched_guest_have_to_leave(tap: Any, uplink: Any, watched: int, lost: int) -> None:
    outbound = _read(CLOSED, {"node1": Part("node1", (_got(*tap), _got(*uplink)))})
    assert (outbound.watched, len(outbound.lost), outbound.traces) == (watched, lost, ())


@pytest.mark.parametrize("deaf", [_got(opened=None), _got(dropped=3)])
def test_a_watch_that_heard_not_all_is_none(deaf: Got) -> None:
    with pytest.raises(NotSeen):
        _read(CLOSED, {"node1": Part("node1", (_got(), deaf))})
    with pytest.raises(NotSeen):
        _read(CLOSED, {"node1": NotSeen(Why.UNREACHABLE, "refused")})


def test_only_networks_with_an_uplink_are_followed() -> None:
    assert probe_for("outbound_traces", replace(VM42, vm=replace(VM42.vm, runs=False))) is None
    assert VM42.node == NODE1
