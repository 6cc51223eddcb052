"""netchecks/causes/guest.py: each cause, and the neighbouring cases where it has nothing to say."""

from dataclasses import replace

import pytest

from netchecks.causes import guest as causes
from netchecks.models.answers import Answer
from netchecks.models.traces import Point, Seen, Sighting, Trace
from tests.suites.vmhost.given import (
    CONTROLLER,
    LAN,
    MAC,
    NODE1,
    NODE2,
    UNSEEN,
    VM44,
    _by,
    answered,
    answers,
    by,
    flow_of,
    harmless,
    has,
    is_unknown,
    silent,
    wrong,
)

ARP, NDP = flow_of("arp"), flow_of("ndp", family=6)
PING, PING_OUTSIDE = flow_of("icmp"), flow_of("icmp", source=CONTROLLER)
PING6, FULL = flow_of("icmp", family=6), flow_of("icmp", full=True)
TCP, TCP_OUTSIDE, TCP6 = flow_of("tcp"), flow_of("tcp", source=CONTROLLER), flow_of("tcp", family=6)
GATEWAY, PING_GATEWAY = flow_of("arp", LAN), flow_of("icmp", LAN)


# -- another address -------------------------------------------------------------------------------------------------


def test_the_guest_answers_for_another_address():
    given = {ARP: silent(others=[("10.20.0.99", MAC), ("10.20.0.99", MAC), ("10.20.0.143", "52:54:00:00:00:43")])}
    with wrong("guest.wrong_address", "vm42-1 answers for 10.20.0.99, expected 10.20.0.142", breaks={"ipv4"}, owner="guest owner") as caught:
        causes.guest_has_another_address(ARP, answers(given))
    assert caught.value.remedy == "set 10.20.0.142 inside the guest instead of 10.20.0.99, or correct the inventory"


@pytest.mark.parametrize("answer", [
    silent(), silent(others=[("10.20.0.143", "52:54:00:00:00:43")]), answered(MAC, others=silent(others=[("10.20.0.99", MAC)]).others),
])
def test_others_answer_or_the_guest_does(answer):
    causes.guest_has_another_address(ARP, answers({ARP: answer}))


def test_a_gateway_is_no_guest():
    causes.guest_has_another_address(GATEWAY, answers({GATEWAY: silent(others=[("10.20.0.99", MAC)])}))
    is_unknown(causes.guest_has_another_address, ARP, answers({ARP: UNSEEN}))


# -- a wide prefix ---------------------------------------------------------------------------------------------------


def wide(*wants, asked=PING_OUTSIDE, seen_by=ARP):
    causes.guest_has_a_wide_prefix(asked, answers({asked: silent(), seen_by: answered(MAC, wants=silent(wants=wants).wants)}))


def test_the_guest_asks_its_segment_for_what_is_behind_the_gateway():
    with wrong("guest.wrong_prefix", "vm42-1 asks its segment for 10.20.200.2, which is outside 10.20.0.0/24", "shorter than /24",
               breaks={"ipv4", "routed"}, layer="address", owner="guest owner") as caught:
        wide("10.20.0.1", "10.20.200.2")
    assert caught.value.remedy == "set 10.20.0.142/24 inside the guest"


@pytest.mark.parametrize("wants", [(), ("10.20.0.1",), ("10.30.0.7",), ("169.254.169.254",)])
def test_neighbours_subnets_of_the_network_and_link_local_addresses_may_be_asked_for(wants):
    wide(*wants)


@pytest.mark.parametrize("asked", [PING, flow_of("icmp", source=CONTROLLER, family=6), PING_GATEWAY], ids=str)
def test_a_wide_prefix_breaks_routed_ipv4_alone(asked):
    wide("10.20.200.2", asked=asked)


def test_what_another_guest_asks_for_is_its_own():
    wide("10.20.200.2", seen_by=flow_of("arp", VM44, NODE2))


# -- ICMP dropped ----------------------------------------------------------------------------------------------------


SENDER, UPLINK, TAP = (Point("node1", "sender", "br0", leaves=True), Point("node1", "uplink", "eth0", leaves=False), Point("node1", "tap", "vnet7", leaves=True))
SEEN = Sighting("request", 1.0, "02:00:00:00:00:01", MAC, 0)


def drops(asked, given, seen=None):
    """``seen``: what a trace of the pings saw at the sender, the uplink and the tap."""
    trace = Trace("a", tuple(map(Seen, (SENDER, UPLINK, TAP), seen)), (1.0,)) if seen else UNSEEN
    causes.guest_drops_icmp(asked, answers(given), _by("traces", {PING.name: (PING, trace)}))


def test_pings_that_are_lost_before_they_come_to_the_guest_are_not_dropped_there():
    drops(PING, {PING: silent(), TCP: answered()}, ((SEEN,), (), ()))
    with harmless("guest.drops_icmp"):
        drops(PING, {PING: silent(), TCP: answered()}, ((SEEN,), (SEEN,), (SEEN,)))


@pytest.mark.parametrize("tcp", [answered() ])
@pytest.mark.parametrize("asked", [PING, FULL], ids=str)
def test_a_port_answers_and_ping_does_not(asked, tcp):
    with harmless("guest.drops_icmp", "vm42-1 answers at 10.20.0.142 port 22, but not ping"):
        drops(asked, {PING: silent(), FULL: silent(), TCP: tcp})


def test_a_refusal_of_the_guest_is_an_answer():
    with harmless("guest.drops_icmp"):
        drops(PING, {PING: silent(), TCP: Answer("refused", 1)})


@pytest.mark.parametrize("given", [
    {PING: silent(), TCP: silent()},
    {PING: silent(), TCP: UNSEEN},
    {PING: silent(), TCP: Answer("unreachable", 1)},
    {PING: silent(), TCP_OUTSIDE: answered()},
    {PING: silent(), TCP6: answered()},
    {PING: silent(), flow_of("tcp", VM44, NODE2): answered()},
])
def test_no_port_of_that_address_answers_that_node(given):
    drops(PING, given)


def test_a_full_packet_alone_that_is_lost_is_not_icmp_dropped():
    drops(FULL, {PING: answered(), FULL: silent(), TCP: answered()})


# -- no IPv6 ---------------------------------------------------------------------------------------------------------


def without_ipv6(asked, given):
    causes.guest_has_no_ipv6(asked, answers(given))


@pytest.mark.parametrize("asked", [NDP, PING6, TCP6], ids=str)
def test_a_guest_with_ipv4_alone(asked):
    with wrong("guest.no_ipv6", "vm42-1 answers by IPv4, but does not answer for fd20::142", breaks={"ipv6"}, layer="neighbour", owner="guest owner"):
        without_ipv6(asked, {ARP: answered(MAC), NDP: silent(), PING6: silent(), TCP6: silent()})


@pytest.mark.parametrize("given", [
    {ARP: silent(), NDP: silent()},
    {ARP: UNSEEN, NDP: silent()},
    {ARP: answered(MAC), NDP: answered(MAC)},
    {ARP: answered(MAC), NDP: UNSEEN},
    {ARP: answered(MAC)},
    {flow_of("arp", VM44, NODE2): answered(VM44.mac), NDP: silent()},
])
def test_a_guest_that_is_silent_as_a_whole_has_a_neighbour_or_was_not_seen(given):
    without_ipv6(PING6, {PING6: silent()} | given)


def test_ipv4_is_not_ipv6():
    without_ipv6(PING, {ARP: answered(MAC), PING: silent(), NDP: silent()})


# -- a sender that is a little short ---------------------------------------------------------------------------------


def short(mtu, answer, asked=FULL):
    causes.sender_is_a_little_short(asked, answers({asked: answer}), by("links", f"ip link set vnet7 mtu {mtu}"))


TOO_BIG = Answer("too_big", 1, error="Message too long")


@has()
@pytest.mark.parametrize("mtu", [1496, 1499])
def test_a_bridge_that_ports_of_others_pass(mtu):
    with harmless("bridge.mtu_short", f"node1: br0 has MTU {mtu}, so a full 1500 cannot be sent"):
        short(mtu, TOO_BIG)


@has()
@pytest.mark.parametrize(("mtu", "answer"), [(1496, silent()), (1495, TOO_BIG), (1500, TOO_BIG)])
def test_a_bridge_that_is_not_a_little_short(mtu, answer):
    short(mtu, answer)


def test_a_sender_that_is_not_on_the_network_has_no_bridge():
    asked = flow_of("icmp", source=CONTROLLER, full=True)
    causes.sender_is_a_little_short(asked, answers({asked: TOO_BIG}), by("links", UNSEEN))
    is_unknown(causes.sender_is_a_little_short, FULL, answers({FULL: TOO_BIG}), by("links", UNSEEN))


# -- a gateway that drops ICMP ---------------------------------------------------------------------------------------


def test_a_gateway_that_resolves_need_not_answer_ping():
    with harmless("gateway.drops_icmp", "the gateway 10.20.0.1 of lan resolves"):
        causes.gateway_drops_icmp(PING_GATEWAY, answers({PING_GATEWAY: silent(), GATEWAY: answered("02:00:00:00:00:01")}))


@pytest.mark.parametrize("given", [
    {GATEWAY: silent()}, {GATEWAY: UNSEEN}, {},
    {flow_of("arp", LAN, NODE2): answered("02:00:00:00:00:01")},
    {flow_of("ndp", LAN, family=6): answered("02:00:00:00:00:01")},
])
def test_a_gateway_that_does_not_resolve_there(given):
    causes.gateway_drops_icmp(PING_GATEWAY, answers({PING_GATEWAY: silent()} | given))


def test_addresses_are_kept_apart():
    other = replace(TCP, name="other", target=PING6.target)
    drops(PING, {PING: silent(), other: answered()})
    assert other.source == NODE1
