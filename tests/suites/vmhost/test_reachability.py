"""suites/vmhost/test_reachability.py, called with what came back for the packets of implied flows."""

from ipaddress import ip_address

import pytest

from netchecks.models.answers import Answer
from suites.vmhost import test_reachability as checks
from tests.suites.vmhost.given import (
    CONTROLLER,
    LAN,
    MAC,
    NODE1,
    NODE2,
    UNSEEN,
    VM43,
    VM44,
    WORLD,
    answered,
    answers,
    flow_of,
    is_unknown,
    notes_of,
    silent,
    wrong,
)

ARP, NDP = flow_of("arp"), flow_of("ndp", family=6)
PING, PING6, FULL = flow_of("icmp"), flow_of("icmp", family=6), flow_of("icmp", full=True)
TCP, UDP = flow_of("tcp"), flow_of("udp")
TO_GATEWAY, TO_GATEWAY6 = flow_of("arp", LAN), flow_of("ndp", LAN, family=6)
#: The gateway whose MACs are declared.
TO_DECLARED = flow_of("arp", LAN, target="10.30.0.1")
PING_GATEWAY = flow_of("icmp", LAN)
STRANGER = "02:00:00:00:00:99"
REFUSED = Answer("refused", 1)


def neighbour(answer, asked=ARP):
    check = checks.test_arp_is_answered if asked.family == 4 else checks.test_ndp_is_answered
    return notes_of(check, asked, answers({asked: answer}), WORLD.inventory)


def judged(check, asked, answer):
    return notes_of(getattr(checks, f"test_{check}"), asked, answers({asked: answer}))


OTHERS = [
    ("vm_answers_ping", PING), ("mtu_is_consistent", FULL), ("tcp_port_answers", TCP), ("udp_port_answers", UDP),
    ("gateway_answers", TO_GATEWAY), ("gateway_answers_ping", PING_GATEWAY),
]


@pytest.mark.parametrize(("check", "asked"), OTHERS)
def test_an_answer_passes_and_none_seen_is_unknown(check, asked):
    assert judged(check, asked, answered()) == []
    is_unknown(judged, check, asked, UNSEEN)


@pytest.mark.parametrize("asked", [ARP, NDP])
def test_the_owner_alone_answers(asked):
    assert neighbour(answered(MAC), asked) == []
    assert neighbour(answered(MAC, MAC), asked) == []
    is_unknown(neighbour, UNSEEN, asked)


@pytest.mark.parametrize("asked", [ARP, NDP])
def test_nobody_answers(asked):
    with wrong("guest.silent", f"vm42-1: {MAC} does not answer for {asked.target} (3 requests from node1)", breaks={f"ipv{asked.family}"}):
        neighbour(silent(), asked)


@pytest.mark.parametrize(("macs", "words"), [
    ((MAC, STRANGER), (STRANGER, f"also {MAC}"[5:], "IPv4 address 10.20.0.142")),
    ((STRANGER, MAC), (STRANGER,)),
    ((STRANGER,), (f"{STRANGER} answer for",)),
    ((MAC, VM43.mac), (f"{VM43.mac} (vm43)",)),
])
def test_somebody_else_answers(macs, words):
    with wrong("address.duplicate", *words, breaks={"ipv4"}, certain=True, owner="platform") as caught:
        neighbour(answered(*macs))
    assert "take 10.20.0.142 away from" in caught.value.remedy


def test_another_vms_mac_answers_alone():
    with wrong("mac.duplicate", f"vm42-1 answers for 10.20.0.142 with {VM44.mac}, the MAC of vm44", breaks={"ipv4"}, certain=True, owner="guest owner"):
        neighbour(answered(VM44.mac))


@pytest.mark.parametrize("asked", [PING, PING6])
def test_a_vm_that_does_not_answer_ping(asked):
    breaks = {f"ipv{asked.family}", "unicast"}
    with wrong("guest.silent_over_ip", f"at {asked.target} from node1: no answer (3 requests)", breaks=breaks):
        judged("vm_answers_ping", asked, silent())
    with wrong("guest.silent_over_ip", "Destination Host Unreachable", breaks=breaks):
        judged("vm_answers_ping", asked, Answer("unreachable", 3, error="Destination Host Unreachable"))


@pytest.mark.parametrize("answer", [silent(), Answer("too_big", 1, error="Message too long")])
def test_a_full_packet_is_lost(answer):
    with wrong("path.mtu_too_small", "a full-sized packet (1500 bytes) from node1 to vm42-1", answer.error, breaks={"ipv4", "full_size"}):
        judged("mtu_is_consistent", FULL, answer)


def test_a_closed_port_is_told_from_a_silent_one():
    with wrong("guest.port_closed", "refuses 10.20.0.142 port 22/tcp", breaks={"ipv4", "tcp22"}, certain=True):
        judged("tcp_port_answers", TCP, REFUSED)
    with wrong("guest.port_silent", "10.20.0.142 port 22/tcp from node1: no answer", breaks={"ipv4", "tcp22"}):
        judged("tcp_port_answers", TCP, silent())
    with wrong("guest.port_silent", "No route to host", breaks={"ipv4", "tcp22"}):
        judged("tcp_port_answers", TCP, Answer("unreachable", 1, error="No route to host"))


def test_a_udp_port_is_refused_or_nobody_knows():
    with wrong("guest.port_closed", "refuses 10.20.0.142 port 53/udp", breaks={"udp53"}, certain=True):
        judged("udp_port_answers", UDP, REFUSED)
    is_unknown(judged, "udp_port_answers", UDP, silent())
    is_unknown(judged, "udp_port_answers", UDP, Answer("unreachable", 1, error="No route to host"))


@pytest.mark.parametrize("asked", [TO_GATEWAY, TO_GATEWAY6, TO_DECLARED])
def test_a_gateway_that_is_gone(asked):
    with wrong("gateway.gone", f"the gateway {asked.target} of lan does not answer node1 (3 ", asked.protocol.upper(),
               place=str(asked.target), breaks={f"ipv{asked.family}", "uplink"}):
        judged("gateway_answers", asked, silent())


@pytest.mark.parametrize("asked", [TO_GATEWAY, TO_GATEWAY6])
def test_a_gateway_with_two_macs(asked):
    with wrong("gateway.two_macs", f"answered by 2 MACs: {STRANGER}, {MAC}", place=str(asked.target), breaks={f"ipv{asked.family}"}, certain=True):
        judged("gateway_answers", asked, answered(STRANGER, MAC))


ROUTERS = ("00:00:5e:00:01:0a", "00:00:5e:00:01:0b")


@pytest.mark.parametrize("macs", [ROUTERS, ROUTERS[::-1], ROUTERS[:1], ROUTERS[1:]])
def test_declared_gateway_macs_may_answer(macs):
    assert judged("gateway_answers", TO_DECLARED, answered(*macs)) == []


def test_no_other_mac_may_answer_for_a_declared_one():
    with wrong("gateway.two_macs", STRANGER, place="10.30.0.1", breaks={"ipv4"}, certain=True):
        judged("gateway_answers", TO_DECLARED, answered(ROUTERS[0], STRANGER))
    with wrong("gateway.wrong_mac", f"answered by {STRANGER}, expected {ROUTERS[0]} or {ROUTERS[1]}", place="10.30.0.1", breaks={"ipv4"}, certain=True):
        judged("gateway_answers", TO_DECLARED, answered(STRANGER))


def test_a_gateway_that_does_not_answer_ping():
    with wrong("gateway.silent_over_ip", "the gateway 10.20.0.1 of lan", "no answer", breaks={"ipv4", "unicast", "routed"}):
        judged("gateway_answers_ping", PING_GATEWAY, silent())


def test_each_flow_is_judged_by_its_own_answer():
    """What one node was answered says nothing of what another one was."""
    from_outside = flow_of("icmp", source=CONTROLLER)
    both = answers({PING: answered(), from_outside: silent()})
    assert notes_of(checks.test_vm_answers_ping, PING, both) == []
    with wrong("guest.silent_over_ip", "from controller", breaks={"ipv4", "unicast"}):
        checks.test_vm_answers_ping(from_outside, both)


def test_the_flows_here_are_those_meant():
    assert (TO_DECLARED.target, TO_DECLARED.source) == (ip_address("10.30.0.1"), NODE1)
    assert flow_of("arp", LAN, NODE2).source == NODE2


# -- full size ---------------------------------------------------------------------------------------------------------

OUTSIDE_FULL, OUTSIDE_PING = flow_of("icmp", source=CONTROLLER, full=True), flow_of("icmp", source=CONTROLLER)
OUTSIDE_FULL_43, OUTSIDE_FULL_44 = flow_of("icmp", VM43, CONTROLLER, full=True), flow_of("icmp", VM44, CONTROLLER, full=True)
TOO_BIG = Answer("too_big", 1, error="Message too long (from 198.51.100.1, mtu 1400)")
BACK = Answer("answered", 1)


def test_a_smaller_hop_that_says_so_is_a_note():
    assert notes_of(checks.test_mtu_is_consistent, OUTSIDE_FULL, answers({OUTSIDE_FULL: TOO_BIG})) == ["path.mtu_smaller"]


def test_the_node_s_own_bridge_that_is_too_small_is_no_path():
    with wrong("path.mtu_too_small", TOO_BIG.error, breaks={"ipv4", "full_size"}):
        checks.test_mtu_is_consistent(FULL, answers({FULL: TOO_BIG}))


@pytest.mark.parametrize("others", [
    {FULL: BACK},  # the VM's own node reaches it
    {OUTSIDE_FULL_43: silent(), OUTSIDE_FULL_44: silent()},  # the node cannot ask; no other VM is reached either
])
def test_full_packets_that_vanish_on_the_way_are_a_black_hole(others):
    given = {OUTSIDE_FULL: silent(), OUTSIDE_PING: BACK, **others}
    with wrong("path.mtu_black_hole", "nobody says 'fragmentation needed'", place="lan", breaks={"ipv4", "full_size"}, certain=True):
        checks.test_mtu_is_consistent(OUTSIDE_FULL, answers(given))


@pytest.mark.parametrize("others", [
    {OUTSIDE_PING: silent(), FULL: BACK},  # small ones vanish too
    {OUTSIDE_PING: BACK, FULL: silent()},  # not even its own node reaches it: the tap, or the guest
    {OUTSIDE_PING: BACK, OUTSIDE_FULL_43: BACK},  # another VM is reached
    {OUTSIDE_PING: BACK},  # nothing to compare with
    {},
])
def test_full_packets_that_the_guest_may_lose_are_no_black_hole(others):
    with wrong("path.mtu_too_small", breaks={"ipv4", "full_size"}):
        checks.test_mtu_is_consistent(OUTSIDE_FULL, answers({OUTSIDE_FULL: silent(), **others}))
