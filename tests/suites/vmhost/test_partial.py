"""suites/vmhost/test_partial.py and causes/partial.py: chance, limits and bad ways; the bridge's MAC, from real tools."""

import random

import pytest

from netchecks.causes import partial
from netchecks.errors import Harmless, NotSeen, Wrong
from netchecks.models.answers import Answer, Row
from netchecks.models.rows import dead_ports, is_clean, is_lossy, looks_limited
from netchecks.world import build
from suites.vmhost import test_partial as checks
from tests.suites.vmhost.given import CONTROLLER, LAN, NODE1, VM42, VM43, VM44, WORLD, _by, by, flow_of, has, notes_of, silent, wrong

PORTS = tuple(range(20000, 20016))
assert build


def pings(lost=0, seed=1):
    answered = [True] * 40
    for turn in random.Random(seed).sample(range(40), lost):
        answered[turn] = False
    return Row(tuple(answered))


def syns(lost=0, dead=(), seed=1):
    turns = [(turn, PORTS[turn % 16]) for turn in range(48)]
    missed = set(random.Random(seed).sample(range(48), lost))
    return Row(tuple(turn not in missed and port not in dead for turn, port in turns), tuple(port for _, port in turns))


def rows(given):
    return _by("rows", {flow.name: (flow, row) for flow, row in given.items()})


FROM_OUTSIDE = {vm: flow_of("icmp", vm, CONTROLLER) for vm in (VM42, VM43, VM44)}
TCP_OUTSIDE = {vm: flow_of("tcp", vm, CONTROLLER) for vm in (VM42, VM43, VM44)}
INSIDE = flow_of("icmp", VM42, NODE1)
PING, TCP = FROM_OUTSIDE[VM42], TCP_OUTSIDE[VM42]
GOOD = {INSIDE: pings(), **{flow: pings() for flow in FROM_OUTSIDE.values()}, **{flow: syns() for flow in TCP_OUTSIDE.values()}}


def test_the_world_samples_each_vm_once_from_each_source():
    sampled = [flow for flow in WORLD.flows if flow.sampled]
    assert {INSIDE, PING, TCP} <= set(sampled)
    assert all(flow.target == flow.interface.addresses[0] and not flow.size for flow in sampled)
    names = [(flow.source, flow.interface, flow.protocol) for flow in sampled]
    assert len(names) == len(set(names))


def test_nothing_lost_and_a_little_lost_are_no_news():
    for lost in range(4):
        given = rows(GOOD | {PING: pings(lost), TCP: syns(lost)})
        assert notes_of(checks.test_packets_are_not_lost, PING, given) == []
        assert notes_of(checks.test_packets_are_not_lost, TCP, given) == []


def test_all_lost_is_what_other_checks_say():
    checks.test_packets_are_not_lost(PING, rows(GOOD | {PING: Row((False,) * 40), TCP: Row((False,) * 48, syns().ports)}))


LOSSY_42 = {PING: pings(8), TCP: syns(10)}


@pytest.mark.parametrize(("more", "place", "words"), [
    ({}, "vm42", "this VM alone"),
    ({INSIDE: pings(7)}, "vm42", "between node1 and the guest"),
    ({FROM_OUTSIDE[VM43]: pings(9)}, "node1", "its uplink"),
    ({FROM_OUTSIDE[VM43]: pings(2)}, "node1", "its uplink"),  # not clean
    ({FROM_OUTSIDE[VM43]: pings(9), FROM_OUTSIDE[VM44]: pings(6)}, "lan", "on the way from controller into lan"),
])
def test_loss_is_placed_by_the_other_rows(more, place, words):
    with wrong("path.loss", "controller to vm42", "8 of 40 ICMP packets are lost", words, place=place, certain=True, hop="fabric", layer="forwards"):
        checks.test_packets_are_not_lost(PING, rows(GOOD | LOSSY_42 | more))


def test_loss_seen_with_one_vm_only_is_at_its_node():
    with wrong("path.loss", "its uplink", place="node1", certain=True, hop="fabric", layer="forwards"):
        checks.test_packets_are_not_lost(PING, rows({INSIDE: pings(), **LOSSY_42}))


def test_loss_on_the_node_s_own_side_is_between_it_and_its_vms():
    other = flow_of("icmp", VM43, NODE1)
    with wrong("path.loss", "between node1 and its VMs", place="node1", certain=True, hop="fabric", layer="forwards"):
        checks.test_packets_are_not_lost(INSIDE, rows({INSIDE: pings(9), other: pings(8)}))


@pytest.mark.parametrize(("given", "flow"), [
    ({PING: pings(20)}, PING),  # the other protocol passes
    ({TCP: syns(20)}, TCP),
])
def test_what_one_protocol_alone_loses_is_a_limit_of_the_guest(given, flow):
    assert notes_of(checks.test_packets_are_not_lost, flow, rows(GOOD | given)) == ["guest.limits_rate"]


def test_a_rate_limit_of_a_guest_without_a_port_is_told_by_its_shape():
    limited = Row((True,) * 5 + (False, False, False, False, True) * 7)
    assert looks_limited(limited)
    assert notes_of(checks.test_packets_are_not_lost, PING, rows({PING: limited})) == ["guest.limits_rate"]
    assert not looks_limited(pings())


def test_dead_ports_are_one_bad_way_of_several():
    dead = PORTS[::2]
    with wrong("path.partial_by_port", "of 16 source ports, 8 never get through", place="vm42", certain=True, hop="fabric", layer="forwards"):
        checks.test_packets_are_not_lost(TCP, rows(GOOD | {TCP: syns(0, dead)}))


def test_chance_is_seldom_taken_for_a_fault():
    """Of 2000 rows each: a hundredth lost cries wolf in fewer than one of 200; a fifth is missed in fewer than one of 20."""
    draw = random.Random(7)

    def row(share, ports=()):
        return Row(tuple(draw.random() >= share for _ in range(48 if ports else 40)), ports)

    for share, least, most in ((0.0, 0, 0), (0.001, 0, 2), (0.01, 0, 10), (0.2, 1900, 2000)):
        assert least <= sum(is_lossy(row(share)) for _ in range(2000)) <= most
    assert sum(is_clean(row(0.2)) for _ in range(2000)) < 12
    for share in (0.0, 0.01, 0.2, 0.5):
        assert sum(bool(dead_ports(row(share, syns().ports))) for _ in range(2000)) <= 2


def test_a_flow_that_failed_by_chance_is_explained():
    failed = flow_of("tcp", VM42, CONTROLLER)
    given = rows(GOOD | LOSSY_42)
    with pytest.raises(Wrong) as caught:
        partial.packets_are_lost_now_and_then(failed, _answers(failed, silent()), given)
    assert (caught.value.code, caught.value.place) == ("path.loss", "vm42")
    partial.packets_are_lost_now_and_then(failed, _answers(failed, Answer("refused")), given)
    partial.packets_are_lost_now_and_then(failed, _answers(failed, silent()), rows(GOOD))
    partial.packets_are_lost_now_and_then(failed, _answers(failed, silent()), rows(GOOD | {PING: pings(20)}))  # a limit


def test_a_connection_that_a_limit_of_the_guest_refused_is_no_failure():
    failed = flow_of("tcp", VM42, NODE1)
    with pytest.raises(Harmless) as caught:
        partial.guest_limits_connections(failed, _answers(failed, silent()), rows(GOOD | {TCP: syns(20)}))
    assert caught.value.code == "guest.limits_rate"
    for answer, given in ((Answer("refused"), {TCP: syns(20)}), (silent(), {}), (silent(), LOSSY_42), (silent(), {TCP_OUTSIDE[VM43]: syns(20)})):
        partial.guest_limits_connections(failed, _answers(failed, answer), rows(GOOD | given))


def test_a_connection_by_a_bad_way_is_explained_and_a_ping_is_not():
    given = rows(GOOD | {TCP: syns(0, PORTS[1::2])})
    with pytest.raises(Wrong) as caught:
        partial.packets_are_lost_now_and_then(TCP, _answers(TCP, silent()), given)
    assert caught.value.code == "path.partial_by_port"
    partial.packets_are_lost_now_and_then(PING, _answers(PING, silent()), given)


def _answers(flow, answer):
    return _by("answers", {flow.name: (flow, answer)})


def test_rows_that_were_not_seen_are_unknown():
    with pytest.raises(NotSeen):
        checks.test_packets_are_not_lost(PING, rows({TCP: syns()}))


# -- the bridge's MAC -------------------------------------------------------------------------------------------------

LOW = "ip link add low0 type veth peer name low1; ip link set low0 address 02:00:00:00:00:01; ip link set low0 master br0"
HIGH = LOW.replace("02:00:00:00:00:01", "fe:ff:ff:ff:ff:ff")
UPLINK = "ip link set eth0 address 02:20:00:00:00:11; ip link set vnet7 address fe:54:00:00:00:42;"


def mac(change):
    facts = by("links", change)
    # the playground's uplink is a veth, as its taps are: that is what hardware has instead
    return LAN, NODE1, by("bridges", change), facts, by("addresses", change)


@has()
def test_a_bridge_with_the_mac_of_a_port_is_named():
    with wrong("bridge.mac_of_a_port", "02:00:00:00:00:01 of its port low0", "02:20:00:00:00:11 of its uplink eth0", "10.20.0.11/24", place="node1"):
        checks.test_bridge_mac_is_its_uplinks(*mac(UPLINK + LOW))


@has()
@pytest.mark.parametrize("change", [
    UPLINK, UPLINK + HIGH, UPLINK + LOW + "; ip addr flush dev br0", UPLINK + "ip link set br0 address 02:20:00:00:00:11;" + LOW,
    UPLINK + LOW + "; ip link set br0 address 02:99:00:00:00:01", UPLINK + LOW + "; ip link set eth0 nomaster",
])
def test_a_bridge_with_a_mac_that_stays_passes(change):
    checks.test_bridge_mac_is_its_uplinks(*mac(change))
