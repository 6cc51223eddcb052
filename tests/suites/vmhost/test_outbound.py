"""suites/vmhost/test_outbound.py and netchecks/causes/outbound.py: what a guest sends, followed over its tap and the uplink."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from netchecks.causes import outbound as causes
from netchecks.errors import NotSeen, Why
from netchecks.models.subjects import Interface
from netchecks.models.traces import Outbound, Point, Seen, Sighting, Trace
from netchecks.seen import By
from suites.vmhost import test_outbound as checks
from tests.suites.vmhost.given import UNSEEN, VM42, _by, is_unknown, wrong

GUEST, TAP = Point("guest:vm42", "guest", "mac:52:54:00:00:00:42", leaves=True), Point("node1", "tap", "vnet7", leaves=False)
UPLINK = Point("node1", "uplink", "eth0", leaves=True)
DEAF = NotSeen(Why.FAILED, "node1: cannot capture")
REFUSED = NotSeen(Why.FAILED, "guest:vm42: [Errno 1] Operation not permitted", cause="sender.drops_request")


def seen(point: Point, *kinds: Any, unseen: NotSeen | None = None) -> Seen:
    return Seen(point, tuple(Sighting(kind, 1.0, "a", "b") for kind in kinds), unseen)


def sent(*, guest: Any = ("request",), tap: Any = ("request",), uplink: Any = ("request",), unsent: NotSeen | None = None) -> Trace:
    """Give a trace by what was seen at each point; a NotSeen there is why it could not be looked."""
    points = ((point, kinds) for point, kinds in ((GUEST, guest), (TAP, tap), (UPLINK, uplink)))
    made = tuple(seen(point, unseen=kinds) if isinstance(kinds, NotSeen) else seen(point, *kinds) for point, kinds in points)
    return Trace("vm42-1-outbound-ipv4", made, () if unsent else (0.5, 1.1, 1.7), unsent)


def facts(*traces: Trace, **watched: Any) -> By[Any, Any]:
    return _by("outbound_traces", {"vm42-1": (VM42, Outbound(traces, **watched))})


GOOD = sent(guest=("request", "reply"))


@pytest.mark.parametrize("trace", [
    GOOD, sent(), sent(uplink=()), sent(guest=(), tap=("asked",), uplink=("asked",)),
    sent(guest=(), tap=(), uplink=(), unsent=NotSeen(Why.FAILED, "guest:vm42: [Errno 101] Network is unreachable")),
], ids=["answered", "unanswered", "lost later", "asks for a MAC", "no way"])
def test_what_comes_to_the_tap_is_no_fault_of_the_guest(trace: Trace) -> None:
    checks.test_outbound_reaches_tap(VM42, facts(trace))
    causes.guest_drops_what_it_sends(VM42, facts(trace))


@pytest.mark.parametrize("trace", [sent(tap=(), uplink=()), sent(guest=(), tap=(), uplink=(), unsent=REFUSED)], ids=["silent", "refused"])
def test_what_never_comes_to_the_tap_is_stopped_inside(trace: Trace) -> None:
    said = {"breaks": {"outbound"}, "place": "vm42"}
    with wrong("guest.drops_outbound", "vm42", "vnet7", **said):
        checks.test_outbound_reaches_tap(VM42, facts(GOOD, trace))
    with wrong("guest.drops_outbound", "vm42", **said, owner="guest owner"):
        causes.guest_drops_what_it_sends(VM42, facts(GOOD, trace))


@pytest.mark.parametrize("trace", [
    sent(tap=DEAF, uplink=()), sent(guest=(), tap=(), uplink=(), unsent=NotSeen(Why.NO_PERMISSION, "needs root")),
], ids=["deaf tap", "no right to send"])
def test_where_it_could_not_be_looked_nothing_is_said_of_the_guest(trace: Trace) -> None:
    is_unknown(checks.test_outbound_reaches_tap, VM42, facts(trace))
    causes.guest_drops_what_it_sends(VM42, facts(trace))


@pytest.mark.parametrize("trace", [GOOD, sent(), sent(tap=(), uplink=()), sent(guest=(), tap=("asked",), uplink=("asked",))])
def test_what_leaves_or_never_came_is_no_fault_of_the_node(trace: Trace) -> None:
    checks.test_outbound_leaves_uplink(VM42, facts(trace))
    causes.node_drops_what_the_guest_sends(VM42, facts(trace))


def test_what_is_at_the_tap_and_not_at_the_uplink_is_lost_on_the_node() -> None:
    said = {"breaks": {"outbound"}, "place": "node1"}
    with wrong("node.drops_outbound", "vnet7", "eth0", **said):
        checks.test_outbound_leaves_uplink(VM42, facts(sent(uplink=())))
    with wrong("node.drops_outbound", "vnet7", "eth0", **said, owner="node administrator", hop="tap", layer="passes"):
        causes.node_drops_what_the_guest_sends(VM42, facts(sent(uplink=())))
    with wrong("node.drops_outbound", **said):
        checks.test_outbound_leaves_uplink(VM42, facts(sent(guest=(), tap=("asked",), uplink=())))


def test_a_deaf_uplink_proves_nothing() -> None:
    is_unknown(checks.test_outbound_leaves_uplink, VM42, facts(sent(uplink=DEAF)))
    causes.node_drops_what_the_guest_sends(VM42, facts(sent(uplink=DEAF)))
    is_unknown(checks.test_outbound_leaves_uplink, VM42, _by("outbound_traces", {"vm42-1": (VM42, UNSEEN)}))


@pytest.mark.parametrize(("watched", "lost"), [(0, ()), (3, ()), (3, ("ARP who has 10.20.0.1? tell 10.20.0.142",))])
def test_a_watched_guest_of_which_something_leaves_is_fine(watched: int, lost: tuple[str, ...]) -> None:
    checks.test_outbound_leaves_uplink(VM42, facts(watched=watched, lost=lost))


def test_a_watched_guest_of_which_nothing_leaves() -> None:
    line = "ARP who has 10.20.0.1? tell 10.20.0.142"
    with wrong("node.drops_outbound", line, breaks={"outbound"}, place="node1"):
        checks.test_outbound_leaves_uplink(VM42, facts(watched=1, lost=(line,)))


@pytest.mark.parametrize("interface", [
    replace(VM42, vm=replace(VM42.vm, runs=False)),
    replace(VM42, network=replace(VM42.network, attachments=tuple(replace(end, uplink="") for end in VM42.network.attachments))),
], ids=["off", "a bridge without an uplink"])
def test_nothing_is_followed_where_nothing_shall_leave(interface: Interface) -> None:
    checks.test_outbound_reaches_tap(interface, _by("outbound_traces", {}))
    checks.test_outbound_leaves_uplink(interface, _by("outbound_traces", {}))
