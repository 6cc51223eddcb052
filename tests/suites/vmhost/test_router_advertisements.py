"""suites/vmhost/test_router_advertisements.py, called with what was heard of routers."""

from __future__ import annotations

import pytest

from netchecks.models.dhcp.exchanges import Advertisements
from netchecks.models.dhcp.messages import advertisements
from suites.vmhost import test_router_advertisements as checks
from tests.dhcp import frames
from tests.suites.vmhost.given import UNSEEN, is_unknown, notes_of, world_of, wrong
from tests.suites.vmhost.test_dhcp import given

INVENTORY = """
nodes:
  node1: {links: {br0: {addresses: ["fd20::11/64"]}}}
networks:
  lan:
    kind: switching
    bridge: br0
    uplink: eth0
    subnets: [{cidr: "fd20::/64", gateway: "fe80::20:ff:fe00:2"}]
    advertised: @ADVERTISED@
vms:
  vm43: {node: node1, interfaces: [{network: lan, mac: "52:54:00:00:00:43"}]}
"""
ONE = '{routers: ["fe80::20:ff:fe00:2"], managed: true, other: false}'
BREAKS = {"ra", "ipv6"}


def judged(*heard: bytes, asked: bool = True, told: str = ONE, unseen: object = None) -> list[str]:
    world = world_of(INVENTORY.replace("@ADVERTISED@", told))
    (flow,) = (flow for flow in world.flows if flow.protocol == "ra")
    seen = unseen or Advertisements(asked, advertisements([(0.0, "br0", False, frame) for frame in heard]))
    return notes_of(checks.test_router_is_advertised, flow, given("router_advertisements", {flow: seen}), world.inventory)


RIGHT = frames.router(managed=1)


def test_the_right_router_passes():
    assert judged(RIGHT, RIGHT) == []
    assert judged(RIGHT, asked=False) == []
    assert judged(frames.router(), told='{routers: ["fe80::20:ff:fe00:2"]}') == [], "flags that nobody declared are not judged"


def test_nobody_is_meant_to_and_nobody_does():
    assert judged(told="{routers: []}") == []


def test_nobody_advertises_itself():
    with wrong("ra.missing", "no router advertises itself on lan, asked from node1; expected fe80::20:ff:fe00:2", place="lan", breaks=BREAKS):
        judged()


def test_who_may_not_ask_does_not_know():
    is_unknown(lambda: judged(asked=False))
    is_unknown(lambda: judged(unseen=UNSEEN))


@pytest.mark.parametrize("told", [ONE, "{routers: []}"])
def test_a_vm_advertises_itself(told):
    rogue = frames.router(source="fe80::43", mac="52:54:00:00:00:43")
    with wrong("ra.from_vm", "vm43 advertises itself as a router (fe80::43, fd20::/64)", place="vm43", breaks=BREAKS, certain=True, owner="guest owner"):
        judged(*((RIGHT,) if told == ONE else ()), rogue, told=told)


def test_a_stranger_advertises_itself():
    with wrong("ra.stranger", "02:00:00:00:00:99", place="fe80::99", breaks=BREAKS, certain=True, owner="network engineer"):
        judged(frames.router(source="fe80::99", mac="02:00:00:00:00:99"))


def test_another_prefix_is_advertised():
    with wrong("ra.wrong_prefix", "advertises fd21::/64 on lan, expected fd20::/64", place=frames.LINK_LOCAL, breaks=BREAKS, certain=True):
        judged(frames.router("fd21::", managed=1))
    with wrong("ra.wrong_prefix", "no prefix", place=frames.LINK_LOCAL, breaks=BREAKS, certain=True):
        judged(frames.router("fd21::", managed=1, valid=0))


def test_wrong_flags_are_named():
    with wrong("ra.wrong_flags", "M off, expected on; O on, expected off", place=frames.LINK_LOCAL, breaks=BREAKS, certain=True):
        judged(frames.router(managed=0, other=1))


def test_the_gateway_must_be_a_default_router():
    with wrong("ra.no_default_router", "lifetime 0", place=frames.LINK_LOCAL, breaks=BREAKS, certain=True):
        judged(frames.router(managed=1, lifetime=0))
