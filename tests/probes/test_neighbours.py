"""netchecks/probes/arp.py and ndp.py: from where, and in whose name, a VM is asked that its node routes to."""

from ipaddress import ip_address

import pytest

from netchecks.errors import NotSeen
from netchecks.plan import probe_for
from netchecks.probe import Capture, Frames
from tests.suites.node.given import UNSEEN, by
from tests.suites.vmhost.routed import NODE1, TAPS, VM42, VM60, addresses, flow_to, links

DOMAINS = by("domains", node1=TAPS)
ARP, NDP = flow_to(VM42, source=NODE1, protocol="arp"), flow_to(VM42, 6, NODE1, "ndp")
ARP_AT_TAP, NDP_AT_TAP = flow_to(VM60, source=NODE1, protocol="arp"), flow_to(VM60, 6, NODE1, "ndp")


def asked(flow, told, **states):
    probe = probe_for("answers", flow)
    facts = {"links": links(**states), "addresses": addresses(told), "domains": DOMAINS}
    return probe.ask.__name__, probe.ask(flow, *(facts[need] for need in probe.needs)).actions


def first_frame(actions):
    return next(action for action in actions if isinstance(action, Frames))


@pytest.mark.parametrize(("told", "sender"), [
    ("eth0 10.20.0.11/24, br0 10.40.0.1/32", "10.40.0.1"),
    ("eth0 10.20.0.11/24, br0 169.254.1.1/32", "169.254.1.1"),
    ("eth0 10.20.0.11/24", "10.20.0.11"),
    ("eth0 fd20::11/64", "0.0.0.0"),
])
def test_arp_asks_in_the_nodes_own_name_from_the_bridge(told, sender):
    name, actions = asked(ARP, told)
    frame = first_frame(actions)
    assert (name, frame.device, actions[0].device) == ("arp", "br0", "br0")
    assert isinstance(actions[0], Capture)
    assert (ip_address(frame.frames[0][28:32]), ip_address(frame.frames[0][38:42])) == (ip_address(sender), ip_address("10.40.0.142"))
    assert frame.frames[0][6:12] == frame.frames[0][22:28] == bytes.fromhex("020000000003"), "the bridge's own MAC"


def test_in_a_fabric_arp_asks_at_the_tap():
    name, actions = asked(ARP_AT_TAP, "eth0 10.20.0.11/24, vnet60 169.254.1.1/32")
    frame = first_frame(actions)
    assert (name, frame.device, actions[0].device) == ("arp_at_tap", "vnet60", "vnet60")
    assert ip_address(frame.frames[0][28:32]) == ip_address("169.254.1.1")


def test_in_a_fabric_ndp_asks_at_the_tap():
    name, actions = asked(NDP_AT_TAP, "vnet60 fe80::1/64")
    frame = first_frame(actions)
    assert (name, frame.device) == ("ndp_at_tap", "vnet60")
    assert ip_address(frame.frames[0][22:38]) == ip_address("fe80::1")
    assert asked(NDP, "br0 fe80::1/64")[0] == "ndp"


@pytest.mark.parametrize("flow", [ARP_AT_TAP, NDP_AT_TAP], ids=str)
def test_without_its_tap_nobody_can_be_asked(flow):
    with pytest.raises(NotSeen, match="node1 has no vnet60 to ask from"):
        asked(flow, "vnet60 fe80::1/64", vnet60="gone")


def test_without_libvirts_word_the_tap_is_not_known():
    probe = probe_for("answers", ARP_AT_TAP)
    with pytest.raises(NotSeen):
        probe.ask(ARP_AT_TAP, links(), addresses(), by("domains", node1=UNSEEN))
