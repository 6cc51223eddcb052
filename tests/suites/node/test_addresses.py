"""suites/node/test_addresses.py, called with what real parsers read."""

import pytest

from netchecks.errors import NotSeen
from netchecks.models.subjects import Link
from suites.node import test_addresses as checks
from tests.suites.node.given import UNSEEN, by, link, node, notes_of, wrong

UP = "<BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default"
DOWN = "<BROADCAST,MULTICAST> mtu 1500 qdisc noqueue state DOWN group default"
BR0 = "\n    link/ether 02:20:00:00:00:11 brd ff:ff:ff:ff:ff:ff"
V4 = "inet 10.20.0.11/24 brd 10.20.0.255 scope global br0"
V6 = "inet6 fd20::11/64 scope global"
LINK_LOCAL = "inet6 fe80::20:ff:fe00:11/64 scope link"
DECLARED = node(links=(link("br0", "10.20.0.11/24", "fd20::11/64"),))


def addresses(*lines, name="node1"):
    text = f"4: br0: {UP}{BR0}" + "".join(f"\n    {line}\n       valid_lft forever preferred_lft forever" for line in lines)
    return by("addresses", **{name: text})


def links(state=UP, name="br0"):
    return by("links", node1=f"4: {name}: {state}{BR0}")


def test_address_is_present_passes():
    assert notes_of(checks.test_address_is_present, DECLARED, addresses(V4, V6, LINK_LOCAL), links()) == []


@pytest.mark.parametrize(("found", "code", "words", "breaks"), [
    ((V6,), "address.missing", ("br0 lacks 10.20.0.11/24", "it has []"), "ipv4"),
    (("inet 10.20.0.12/24 scope global br0", V6), "address.missing", ("10.20.0.12/24",), "ipv4"),
    (("inet 10.20.0.11/16 scope global br0", V6), "address.wrong_prefix", ("10.20.0.11/16", "expected 10.20.0.11/24"), "ipv4"),
    ((V4, "inet6 fd20::11/64 scope global dadfailed tentative"), "address.dad_failed", ("fd20::11/64", "duplicate"), "ipv6"),
    ((V4, LINK_LOCAL), "address.missing", ("br0 lacks fd20::11/64",), "ipv6"),
])
def test_address_is_present_names_what_is_wrong(found, code, words, breaks):
    with wrong(code, *words) as caught:
        checks.test_address_is_present(DECLARED, addresses(*found), links())
    assert caught.value.breaks == {breaks, "unicast"}


@pytest.mark.parametrize("devices", [links(DOWN), links(name="eth0")])
def test_address_is_present_is_no_cause_where_the_link_is_missing_or_down(devices):
    """IPv6 addresses go away when a link goes down: what broke is the link."""
    with wrong("address.missing", "fd20::11/64", "as br0 is missing or down") as caught:
        checks.test_address_is_present(DECLARED, addresses(V4), devices)
    assert caught.value.hop == "uplink"
    assert caught.value.breaks == {"own address"}


def test_address_is_present_notes_one_that_is_still_checked():
    found = addresses(V4, "inet6 fd20::11/64 scope global tentative")
    assert notes_of(checks.test_address_is_present, DECLARED, found, links()) == ["address.tentative"]


def test_address_is_present_needs_no_fact_where_nothing_is_declared():
    checks.test_address_is_present(node(links=(link("eth0"),)), by("addresses", node1=UNSEEN), by("links", node1=UNSEEN))


def test_address_is_present_is_unknown_without_addresses():
    with pytest.raises(NotSeen):
        checks.test_address_is_present(DECLARED, by("addresses", node1=UNSEEN), links())


def only_one(*found, declared=("10.20.0.11/24",), role="bridge"):
    one = node(links=(link("br0", *declared),)) if declared else node()
    return notes_of(checks.test_address_is_only_one, Link("node1:br0", one, "br0", role), addresses(*found))


@pytest.mark.parametrize("found", [
    (V4, V6, LINK_LOCAL),
    (V4, "inet 10.20.0.200/32 scope global br0"),  # keepalived
    (V4, "inet 10.20.0.201/24 scope global secondary br0:vip"),  # an alias
    (V4, "inet 10.21.0.11/24 scope global br0"),  # another subnet
    (V4, "inet 10.20.0.11 peer 10.20.0.99/24 scope global br0"),  # point to point
    (V6, "inet6 fd20::a4:1/64 scope global temporary dynamic", "inet6 fd20::20:ff:fe00:11/64 scope global dynamic mngtmpaddr"),
    (),
])
def test_address_is_only_one_lets_healthy_ones_be(found):
    assert only_one(*found) == []


@pytest.mark.parametrize("declared", [("10.20.0.11/24",), ()])
def test_address_is_only_one_names_two_of_one_subnet(declared):
    with wrong("node.two_addresses_of_one_subnet", "br0", "10.20.0.11/24, 10.20.0.57/24", "10.20.0.57/24 by DHCP") as caught:
        only_one(V4, "inet 10.20.0.57/24 scope global secondary dynamic br0", declared=declared)
    assert caught.value.remedy.startswith("ip addr del 10.20.0.57/24 dev br0")


def test_address_is_only_one_accepts_two_that_are_declared():
    assert only_one(V4, "inet 10.20.0.57/24 scope global secondary br0", declared=("10.20.0.11/24", "10.20.0.57/24")) == []


def test_address_is_only_one_only_notes_several_of_ipv6():
    assert only_one(V6, "inet6 fd20::12/64 scope global") == ["node.several_ipv6_addresses"]


def test_address_is_only_one_is_unknown_without_addresses():
    with pytest.raises(NotSeen):
        checks.test_address_is_only_one(Link("node1:br0", node(), "br0", "bridge"), by("addresses", node1=UNSEEN))


def unique(*lines):
    heard = by("neighbours", node1="10.20.0.12 dev br0 lladdr 02:20:00:00:00:12 REACHABLE", node2="\n".join(lines))
    return notes_of(checks.test_address_is_unique, DECLARED, heard, links())


@pytest.mark.parametrize("line", [
    "10.20.0.11 dev br0 lladdr 02:20:00:00:00:11 REACHABLE",
    "10.20.0.11 dev br0 lladdr 02:99:00:00:00:99 STALE",  # what it was once
    "10.20.0.11 dev br0  FAILED",
    "10.20.0.99 dev br0 lladdr 02:99:00:00:00:99 REACHABLE",  # not this node's
])
def test_address_is_unique_passes(line):
    assert unique(line) == []


def test_address_is_unique_names_who_else_answers():
    with wrong("address.not_unique", "node2 hears 02:99:00:00:00:99 for 10.20.0.11", "02:20:00:00:00:11"):
        unique("10.20.0.11 dev br0 lladdr 02:99:00:00:00:99 REACHABLE")
    with wrong("address.not_unique", "fd20::11"):
        unique("fd20::11 dev br0 lladdr 02:99:00:00:00:99 DELAY")


def test_address_is_unique_is_unknown_without_the_nodes_own_macs():
    with pytest.raises(NotSeen):
        checks.test_address_is_unique(DECLARED, by("neighbours", node2=""), by("links", node1=UNSEEN))


def test_address_is_unique_asks_for_nothing_where_nothing_is_declared():
    checks.test_address_is_unique(node(), by("neighbours", node1=UNSEEN), by("links", node1=UNSEEN))
