"""suites/node/test_routes.py, called with what real parsers read."""

from ipaddress import ip_address, ip_network

import pytest

from netchecks.errors import NotSeen
from netchecks.models.subjects import Attachment, DeclaredRoute, Inventory, Network, Subnet
from suites.node import test_routes as checks
from tests.suites.node.given import UNSEEN, by, inventory, link, node, notes_of, wrong

UP = "<BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default"
OUT = "<NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue state DOWN group default"
ADDRESSES = (link("br0", "10.20.0.11/24", "fd20::11/64"),)


def routes(v4="", v6=""):
    return by("routes", node1=f"@4\n{v4}\n@6\n{v6}\n")


def links(state=UP):
    return by("links", node1=f"4: br0: {state}\n    link/ether 02:20:00:00:00:11 brd ff:ff:ff:ff:ff:ff")


def declared(to, via="", dev=""):
    return node(links=ADDRESSES, routes=(DeclaredRoute(ip_network(to), ip_address(via) if via else None, dev),))


BY_GATEWAY = declared("192.0.2.0/24", "10.20.0.1")


@pytest.mark.parametrize("v4", [
    "192.0.2.0/24 via 10.20.0.1 dev br0 proto static",
    "192.0.2.0/24 via 10.20.0.1 dev br0 metric 10\n192.0.2.0/24 via 10.20.0.9 dev br0 metric 20",
    "192.0.2.0/24 proto static\n\tnexthop via 10.20.0.1 dev br0 weight 1\n\tnexthop via 10.20.0.9 dev br0 weight 1",
    "192.0.2.0/24 nhid 7 proto zebra",  # a kernel that tells the id alone
    "192.0.2.0/24 via 10.20.0.1 dev br0 table 100",  # a VRF
    "blackhole 192.0.2.0/24 metric 4000\n192.0.2.0/24 via 10.20.0.1 dev br0\nblackhole 10.244.0.0/24",
    "192.0.2.0/24 via 10.20.0.1 dev br0\n172.17.0.0/16 dev docker0 scope link linkdown",
])
def test_route_is_present_passes(v4):
    checks.test_route_is_present(BY_GATEWAY, Inventory(), routes(v4), links())


@pytest.mark.parametrize(("v4", "code", "words"), [
    ("192.0.0.0/16 via 10.20.0.1 dev br0", "route.missing", ("no route to 192.0.2.0/24 via 10.20.0.1",)),
    ("192.0.2.0/24 via 10.20.0.9 dev br0", "route.wrong_way", ("via 10.20.0.9 dev br0", "expected via 10.20.0.1")),
    ("192.0.2.0/24 via 10.20.0.1 dev br0 metric 20\n192.0.2.0/24 dev tun0 metric 10", "route.wrong_way", ("goes dev tun0",)),
    ("unreachable 192.0.2.0/24", "route.blackhole", ("is unreachable",)),
    ("192.0.2.0/24 via 10.20.0.1 dev br0 dead linkdown", "route.dead", ("dead linkdown",)),
])
def test_route_is_present_names_what_is_wrong(v4, code, words):
    with wrong(code, *words) as caught:
        checks.test_route_is_present(BY_GATEWAY, Inventory(), routes(v4), links())
    assert caught.value.breaks == {"ipv4", "routed"}
    assert caught.value.remedy == "ip route replace 192.0.2.0/24 via 10.20.0.1"


@pytest.mark.parametrize("one", [BY_GATEWAY, declared("192.0.2.0/24", dev="br0")])
def test_route_is_present_is_no_cause_where_its_link_is_broken(one):
    with wrong("route.missing", "as its link is missing, down or without carrier") as caught:
        checks.test_route_is_present(one, Inventory(), routes(), links(OUT))
    assert (caught.value.hop, caught.value.breaks) == ("uplink", {"own route"})


def test_route_is_present_takes_a_gateway_of_the_other_family():
    one = declared("192.0.2.0/24", "fe80::1", "br0")
    checks.test_route_is_present(one, Inventory(), routes("192.0.2.0/24 via inet6 fe80::1 dev br0 proto bgp"), links())


def test_a_route_to_routed_vms_is_what_follows_for_their_flows():
    one = declared("10.50.0.0/24", dev="br1")
    site = inventory(one, networks=(Network("block", "routing", (Attachment(one, "br1", "eth0"),)),))
    up = f"{UP}\n9: br1: <BROADCAST,UP,LOWER_UP> mtu 1500 state UP\n    link/ether 02:00:00:00:00:09"
    with wrong("route.missing", "no route to 10.50.0.0/24 dev br1") as caught:
        checks.test_route_is_present(one, site, routes(), links(up))
    assert (caught.value.hop, caught.value.breaks) == ("tap", {"own route"})
    with wrong("route.missing") as caught:
        checks.test_route_is_present(one, Inventory(), routes(), links(up))
    assert (caught.value.hop, caught.value.breaks) == ("", {"ipv4", "routed"})


def test_a_gateway_that_the_node_is_itself_needs_no_default_route():
    one = node(links=(link("br0", "10.20.0.1/24", "fd20::1/64"),))
    assert default("", "", one=one) == []


def test_route_is_present_is_unknown_without_routes():
    with pytest.raises(NotSeen):
        checks.test_route_is_present(BY_GATEWAY, Inventory(), by("routes", node1=UNSEEN), links())


def lan(one):
    subnets = (Subnet(ip_network("10.20.0.0/24"), ip_address("10.20.0.1")), Subnet(ip_network("fd20::/64"), ip_address("fd20::1")))
    return inventory(one, networks=(Network("lan", "switching", (Attachment(one, "br0", "eth0"),), subnets),))


V4, V6 = "default via 10.20.0.1 dev br0", "default via fd20::1 dev br0 proto ra metric 100 expires 1700sec pref medium"


def default(v4, v6, neighbours="", one=None, state=UP):
    one = one or node(links=ADDRESSES)
    return notes_of(
        checks.test_route_default_is_present, one, lan(one), routes(v4, v6), by("neighbours", node1=neighbours), links(state),
    )


def test_route_default_is_present_passes():
    assert default(V4, V6) == []
    assert default("default via 10.99.0.1 dev mgmt0", V6) == []  # any will do
    assert default("default nhid 7 proto bgp", V6) == []


@pytest.mark.parametrize(("v4", "v6", "code", "words", "breaks"), [
    ("10.20.0.0/24 dev br0", V6, "route.default_missing", ("no IPv4 default route",), "ipv4"),
    (V4, "unreachable default dev lo metric 4294967295", "route.default_missing", ("no IPv6 default route",), "ipv6"),
    (f"{V4} linkdown", V6, "route.default_dead", ("only a dead IPv4 default route",), "ipv4"),
])
def test_route_default_is_present_names_what_is_missing(v4, v6, code, words, breaks):
    with wrong(code, *words) as caught:
        default(v4, v6)
    assert caught.value.breaks == {breaks, "routed"}


def test_route_default_is_present_is_no_cause_where_the_link_is_broken():
    with wrong("route.default_missing") as caught:
        default("", V6, state=OUT)
    assert (caught.value.hop, caught.value.breaks) == ("uplink", {"own route"})


def test_route_default_is_present_expects_none_of_a_node_without_address():
    assert default("", "", one=node()) == []


def test_route_default_is_present_notes_a_gateway_that_did_not_answer():
    assert default(V4, V6, "10.20.0.1 dev br0  FAILED") == ["route.gateway_unresolved"]
    assert default(V4, V6, "10.20.0.1 dev br0 lladdr 02:20:00:00:00:01 STALE\n10.20.0.198 dev br0  FAILED") == []


def test_route_default_is_present_is_unknown_without_routes():
    one = node(links=ADDRESSES)
    with pytest.raises(NotSeen):
        checks.test_route_default_is_present(one, lan(one), by("routes", node1=UNSEEN), by("neighbours", node1=""), links())
