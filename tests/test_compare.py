"""netchecks/compare.py: what differs between two facts, without the noise."""

from dataclasses import dataclass
from ipaddress import ip_address

import pytest

from netchecks.compare import _Words, difference, flat
from netchecks.facts import make
from netchecks.plan import Plan
from netchecks.record import Record
from netchecks.seen import Pair
from netchecks.world import complete
from tests.test_siblings import WORLD, row


@dataclass(frozen=True)
class Port:
    name: str
    mtu: int = 1500
    up: bool = True
    rx_packets: int = 7
    ifindex: int = 3
    vlans: tuple[int, ...] = ()


def words(vm: str) -> _Words:
    return _Words(complete(row(interface=vm)), WORLD.inventory, make(Record(), Plan()))


@pytest.mark.parametrize(("value", "lines"), [
    ({"eth0": Port("eth0", vlans=(1, 7))}, ["[eth0].name = eth0", "[eth0].mtu = 1500", "[eth0].up = True", "[eth0].vlans: 1", "[eth0].vlans: 7"]),
    ((Port("a", up=False),), ["name = a, mtu = 1500"]),
    (Pair(1, 2, 0.5), []), (1.5, []), (b"x", []), (None, []), (False, []), (0, []),
    ("text", ["text"]), (frozenset({ip_address("10.0.0.1")}), ["10.0.0.1"]), ({"a": {"b": "c"}}, ["[a][b] = c"]),
])
def test_a_value_as_lines_without_counters_times_and_numbers_of_the_kernel(value, lines):
    assert list(flat(value)) == lines


def test_what_is_a_subject_s_own_has_the_same_word_on_both_sides():
    told = {vm: words(vm).lines({"vm": vm, "mac": f"52:54:00:00:00:{vm[2:]}", "at": f"10.20.0.1{vm[2:]}"}) for vm in ("vm42", "vm44")}
    assert told["vm42"] == told["vm44"] == ["[vm] = <its VM>", "[mac] = <its MAC>", "[at] = <its address>"]
    assert words("vm42").lines(["vm43", "vm44", "52:54:00:00:00:43"]) == ["<a VM>", "<a VM>", "<a MAC>"]
    assert words("vm42").lines(["vm420", "x-vm42", "vm42.example"]) == ["vm420", "x-vm42", "vm42.example"]


@pytest.mark.parametrize(("here", "there"), [
    ("-A FORWARD -j ACCEPT [12:840]", "-A FORWARD -j ACCEPT [7:1]"),
    ("cookie=0x1f, duration=3.2s, n_packets=7, n_bytes=70, priority=3", "cookie=0x2a, duration=99s, n_packets=1, n_bytes=2, priority=3"),
    ("to 192.0.2.7", "to 198.51.100.9"), ("fe80::1%eth0", "fe80::fc54:ff:fe00:2%eth0"), ("52:54:00:99:99:01", "02:00:00:00:00:01"),
    ("qdhcp-6f8a1c3e-1111-4222-8333-123456789abc", "qdhcp-00000000-1111-4222-8333-abcdef012345"),
])
def test_noise_of_texts_is_folded_away(here, there):
    assert words("vm42").lines(here) == words("vm42").lines(there)


@pytest.mark.parametrize(("here", "there"), [
    ("dl_vlan=1", "dl_vlan=2"), ("0.0.0.0/0", "10.0.0.0/0"), ("127.0.0.1", "192.0.2.1"), ("10.20.0.142", "10.20.0.9"), ("tag 3933", "tag 3934"),
])
def test_what_may_be_the_fault_is_kept(here, there):
    assert words("vm42").lines(here) != words("vm42").lines(there)


def test_a_difference_has_fields_of_one_thing_in_one_line():
    found = difference("links", flat({"eth0": Port("eth0", up=False), "lo": Port("lo")}), flat({"eth0": Port("eth0", 9000, vlans=(5,)), "lo": Port("lo")}))
    assert found.here == ("[eth0]: mtu = 1500",)
    assert found.there == ("[eth0]: mtu = 9000, up = True, vlans: 5",)


def test_what_all_lines_have_is_left_out():
    found = difference("routes", ["to = a, kind = unicast, via = x"], ["to = a, kind = unicast, via = y"])
    assert (found.here, found.there) == (("to = a, via = x",), ("to = a, via = y",))
    assert difference("routes", [], ["to = a, kind = unicast"]).there == ("to = a, kind = unicast",)
