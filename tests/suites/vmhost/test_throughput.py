"""suites/vmhost/test_throughput.py and causes/throughput.py: what iperf3 measured, and which limit explains it."""

from pathlib import Path

import pytest

from netchecks.causes.throughput import rate_is_limited
from netchecks.errors import NotSeen, Why
from netchecks.models.routes import Lookup
from netchecks.models.subjects import Flow
from netchecks.models.table import Table
from netchecks.models.throughput import RateLimit, Serving, Transfer
from netchecks.observe import OBSERVATIONS
from suites.vmhost.test_throughput import test_throughput_is_enough as check
from tests.suites.vmhost.given import INVENTORY, UNSEEN, _by, domains, world_of, wrong

HERE = Path(__file__).parents[2] / "observations"
WORLD = world_of(INVENTORY.replace("  vm42:\n", "  vm42:\n    guest: {}\n").replace("vm44: {", "vm44: {guest: {}, ") + """
flows:
  - {from: controller, to: vm42, family: 4, network: lan, throughput: {rate: 100 Mbit/s, back: 50 Mbit/s}}
  - {from: node1, to: 10.20.0.142, throughput: 100 Mbit/s}
  - {from: controller, to: 10.20.0.144, throughput: 100 Mbit/s}
  - {from: node1, to: 10.20.0.12, throughput: {rate: 1 Gbit/s, port: 5999}}
""")
FLOWS = {flow.name: flow for flow in WORLD.flows if flow.throughput}
OUTSIDE, INSIDE, AWAY, NODES = FLOWS.values()
NODE1, NODE2 = INSIDE.source, NODES.peer
GOOD = Transfer("out", 124e6, 3.0, 0, 3.0, 1.0)
SLOW = Transfer("out", 9.6e6, 3.0, 7, 2.5, 0.5)
BACK, SLOW_BACK = Transfer("back", 62e6), Transfer("back", 9.6e6)
UNREACHED = Transfer("out", error="unable to connect to server: Connection timed out")


def by(fact, given):
    return _by(fact, {str(subject): (subject, value) for subject, value in given.items()})


def judge(flow, measured, server=None):
    servers = by("throughput_servers", {flow: server or Serving()})
    check(flow, servers, by("throughputs", measured))


def test_the_names_tell_whom_it_is_measured_between():
    assert list(FLOWS) == [
        "controller-to-vm42-1-throughput-ipv4", "node1-to-vm42-1-throughput-ipv4", "controller-to-vm44-throughput-ipv4",
        "node1-to-node2-throughput-ipv4",
    ]
    assert OUTSIDE.transfers == ("10.20.0.142", "5201", "out", "100000000", "back", "50000000")
    assert NODES.transfers == ("10.20.0.12", "5999", "out", "1000000000")


def test_what_reaches_the_declared_rate_passes_in_both_directions():
    judge(OUTSIDE, {OUTSIDE: (GOOD, BACK)})


@pytest.mark.parametrize("recorded", ["iperf-3.12", "iperf-3.12-ipv6"])
def test_a_recorded_measurement_passes(recorded):
    read = OBSERVATIONS["throughputs"].parse((HERE / f"throughputs/{recorded}.out").read_text())
    judge(OUTSIDE, {OUTSIDE: read})


def test_a_recorded_limit_fails_in_both_directions():
    read = OBSERVATIONS["throughputs"].parse((HERE / "throughputs/iperf-3.12-limited.out").read_text())
    with wrong("throughput.too_low", "controller to vm42-1 (10.20.0.142): 9.88 Mbit/s at the receiver, expected 100 Mbit/s, 0 retransmits",
               "sender's CPU at 2 %", "vm42-1 to controller (10.20.0.142): 9.78 Mbit/s at the receiver, expected 50 Mbit/s", place="node1"):
        judge(OUTSIDE, {OUTSIDE: read})


@pytest.mark.parametrize(("others", "place", "words"), [
    ({INSIDE: (SLOW,)}, "vm42", "between node1 and the guest"),
    ({INSIDE: (GOOD,), AWAY: (GOOD,)}, "node1", "its uplink, or the switch port"),
    ({INSIDE: (GOOD,), AWAY: (SLOW,)}, "lan", "on the way from controller into lan"),
    ({INSIDE: UNSEEN, AWAY: (UNREACHED,)}, "node1", "its uplink"),
])
def test_other_measurements_say_where_it_is_slow(others, place, words):
    with wrong("throughput.too_low", words, place=place):
        judge(OUTSIDE, {OUTSIDE: (SLOW, BACK), **others})


def test_between_nodes_the_network_is_the_place():
    with wrong("throughput.too_low", "node1 to node2 (10.20.0.12)", "9.6 Mbit/s at the receiver, expected 1 Gbit/s", "between node1 and node2", place="lan"):
        judge(NODES, {NODES: (SLOW,)})


@pytest.mark.parametrize(("transfer", "server", "words"), [
    (UNREACHED, Serving(), "TCP port 5201 of 10.20.0.142: iperf3 listens there and is not reached (unable to connect to server: Connection timed out)"),
    (UNREACHED, Serving("unable to start listener for connections: Cannot assign requested address"), "does not listen there: unable to start"),
    (Transfer("out", error="control socket has closed unexpectedly"), Serving(), "control socket has closed unexpectedly"),
])
def test_what_could_not_be_measured_is_neither_fast_nor_slow(transfer, server, words):
    with pytest.raises(NotSeen, match="controller to vm42-1") as told:
        judge(OUTSIDE, {OUTSIDE: (transfer, BACK)}, server)
    assert (told.value.cause, words in str(told.value)) == ("throughput.not_measured", True), str(told.value)


@pytest.mark.parametrize("busy", [{"sender_cpu": 99.2}, {"receiver_cpu": 97.0}])
def test_an_end_without_cpu_says_nothing_of_the_network(busy):
    with pytest.raises(NotSeen, match="no CPU left") as told:
        judge(NODES, {NODES: (Transfer("out", 7e8, 3.0, 0, **busy),)})
    assert (told.value.why, told.value.cause) == (Why.NOT_POSSIBLE, "throughput.cpu_exhausted")


def test_what_is_measured_at_once_needs_no_cpu_to_spare():
    judge(NODES, {NODES: (Transfer("out", 1.1e9, 3.0, 0, 99.0, 99.0),)})


def test_a_server_that_is_not_installed_is_the_reason():
    with pytest.raises(NotSeen):
        judge(OUTSIDE, {OUTSIDE: (UNREACHED,)}, UNSEEN)


# -- which limit explains it -----------------------------------------------------------------------------------------


TBF = RateLimit("vnet7", "egress", "tbf", 10e6)


def limited(flow: Flow, transfers, *limits, filters=(), device="br0"):
    """Let the cause look at node1's limits, and at node2's where one is given with its node."""
    placed = [one if isinstance(one, tuple) else (NODE1, one) for one in limits]
    rates = {node: tuple(limit for at, limit in placed if at == node) for node in (NODE1, NODE2)}
    lookup = UNSEEN if device is None else Lookup("unicast", device)
    rate_is_limited(
        flow, by("throughputs", {flow: transfers}), by("rate_limits", rates), by("traffic_filters", {NODE1: tuple(filters)}),
        by("domains", {NODE1: Table("domain", OBSERVATIONS["domains"].parse(domains()))}), by("route_lookups", {flow: lookup}),
    )


@pytest.mark.parametrize("limit", [
    TBF, RateLimit("eth0", "ingress", "police", 10e6, whole=False), RateLimit("vnet7", "egress", "htb", 12e6, whole=False),
])
def test_a_limit_on_the_way_is_named(limit):
    side = "out of" if limit.direction == "egress" else "in by"
    with wrong("throughput.limited", "controller to vm42-1 (10.20.0.142): 9.6 Mbit/s", f"Mbit/s {side} {limit.device} ({limit.kind})",
               place="node1", certain=True):
        limited(OUTSIDE, (SLOW, BACK), limit, device=None)


@pytest.mark.parametrize("limit", [
    RateLimit("vnet8", "egress", "tbf", 10e6),  # another VM's
    RateLimit("vnet7", "ingress", "police", 10e6),  # what the guest sends
    RateLimit("vnet7", "egress", "tbf", 200e6),  # more than is wanted
    RateLimit("vnet7", "egress", "tbf", 5e6),  # less than came
    RateLimit("vnet7", "egress", "htb", 90e6, whole=False),  # a class that this is not
    RateLimit("vnet7", "egress", "tbf", 50e6),  # of which next to nothing came: something else is slow
    RateLimit("br0", "egress", "tbf", 10e6),  # forwarded frames do not pass the bridge's own qdisc
    (NODE2, TBF),
])
def test_a_limit_that_does_not_explain_it_is_not_named(limit):
    limited(OUTSIDE, (SLOW, BACK), limit, device=None)


def test_of_the_way_back_the_other_side_counts():
    police = RateLimit("vnet7", "ingress", "police", 10e6, whole=False)
    limited(OUTSIDE, (GOOD, SLOW_BACK), TBF)
    with wrong("throughput.limited", "vm42-1 to controller (10.20.0.142)", "in by vnet7 (police)", place="node1", certain=True):
        limited(OUTSIDE, (GOOD, SLOW_BACK), TBF, police)


def test_libvirts_inbound_limit_is_found_among_the_filters():
    text = """@filters vnet7 ingress
filter parent ffff: protocol all pref 49152 u32 chain 0
filter parent ffff: protocol all pref 49152 u32 chain 0 fh 800: ht divisor 1
filter parent ffff: protocol all pref 49152 u32 chain 0 fh 800::800 order 2048 key ht 800 bkt 0 terminal flowid ??? not_in_hw
  match 00000000/00000000 at 0
 police 0x1 rate 10Mbit burst 100Kb mtu 64Kb action drop overhead 0b
	ref 1 bind 1
@end
"""
    filters = OBSERVATIONS["traffic_filters"].parse(text)
    with wrong("throughput.limited", "node1 lets 10 Mbit/s in by vnet7 (police (u32))", place="node1", certain=True):
        limited(OUTSIDE, (GOOD, SLOW_BACK), filters=filters)


def test_the_sender_s_own_device_counts():
    with wrong("throughput.limited", "out of br0", place="node1", certain=True):
        limited(INSIDE, (SLOW,), RateLimit("br0", "egress", "tbf", 10e6))


def test_between_nodes_both_uplinks_count():
    for limit in (RateLimit("eth0", "egress", "tbf", 10e6), (NODE2, RateLimit("eth0", "ingress", "police", 10e6))):
        with wrong("throughput.limited", "in by eth0" if isinstance(limit, tuple) else "out of eth0",
                   place="node2" if isinstance(limit, tuple) else "node1", certain=True):
            limited(NODES, (SLOW,), limit)


def test_what_was_not_measured_has_no_limit():
    limited(OUTSIDE, (UNREACHED, BACK), TBF)
