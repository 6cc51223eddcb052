"""suites/vmhost/test_bridge.py, called with what the real tools say of a bridge that was broken."""

import pytest

from suites.vmhost import test_bridge as checks
from tests.suites.vmhost.given import LAN, NODE1, STORAGE, UNSEEN, by, edited, has, is_unknown, notes_of, played, wrong

pytestmark = has()
HARDWARE = {"info_kind": ""}


def exists(change):
    return notes_of(checks.test_bridge_exists, LAN, NODE1, by("links", change))


def has_uplink(change, network=LAN):
    return notes_of(checks.test_bridge_has_uplink, network, NODE1, by("links", change), by("bridges", change))


def uplink_fits(change):
    return notes_of(checks.test_uplink_mtu_fits, LAN, NODE1, by("links", change))


def bridge_fits(change):
    return notes_of(checks.test_bridge_mtu_fits, LAN, NODE1, by("links", change))


@pytest.mark.parametrize("check", [exists, has_uplink, uplink_fits, bridge_fits])
def test_a_healthy_bridge_passes(check):
    assert check("") == []


@pytest.mark.parametrize("check", [exists, has_uplink, uplink_fits, bridge_fits])
def test_what_was_not_seen_is_unknown(check):
    is_unknown(check, UNSEEN)


def test_bridge_exists_names_what_there_is_instead():
    with wrong("bridge.missing", "node1: there is no bridge br0 for network lan", "'vnet7'", place="node1") as caught:
        exists("ip link del br0")
    assert "ip link add name br0 type bridge" in caught.value.remedy


def test_bridge_exists_wants_a_bridge():
    with wrong("bridge.not_a_bridge", "br0 is a veth device, expected a bridge", place="node1"):
        exists("ip link del br0; ip link add br0 type veth peer name x")
    with wrong("bridge.not_a_bridge", "br0 is a plain device", place="node1"):
        exists(edited(played()["links"], br0={"info_kind": ""}))


@pytest.mark.parametrize(("change", "where"), [
    ("ip link set eth0 nomaster", "in no bridge"),
    ("ip link add br7 type bridge; ip link set eth0 master br7", "in br7"),
])
def test_bridge_has_uplink_says_where_the_uplink_is(change, where):
    with wrong("uplink.not_in_bridge", f"node1: eth0 is {where}; br0 has ports ['vnet7'], expected eth0", place="node1") as caught:
        has_uplink(change)
    assert caught.value.remedy == "ip link set dev eth0 master br0"


@pytest.mark.parametrize("change", ["ip link del br0", "ip link del eth0", "ip link set br0 down", "ip link set eth0 nomaster; ip link set br0 down"])
def test_bridge_has_uplink_leaves_to_others_what_they_say(change):
    assert has_uplink(change) == []


def test_bridge_has_uplink_wants_it_to_forward():
    with wrong("uplink.not_forwarding", "port eth0 of br0 is listening", place="node1", layer="forwards"):
        has_uplink("bridge link set dev eth0 state 1")


@pytest.mark.parametrize("change", ["ip link set eth0 down; await rests eth0", "ip link set sw0 down; await rests eth0"])
def test_a_port_without_carrier_cannot_forward_and_another_check_says_so(change):
    assert '"state":"disabled"' in played(change)["links"]
    assert has_uplink(change) == []


SECOND = "ip link add eth1 type veth peer name sw1; ip link set eth1 master br0; ip link set eth1 up; ip link set sw1 up"


def spanning_tree(*, uplink="forwarding", other="forwarding", stp=1):
    """Two pieces of hardware in one bridge. What the tool says is real but for the fields named here."""
    return edited(
        played(SECOND)["links"], br0={"stp_state": stp}, eth0=HARDWARE | {"state": uplink}, eth1=HARDWARE | {"state": other},
    )


def test_spanning_tree_may_block_a_second_uplink():
    assert has_uplink(spanning_tree(other="blocking")) == []


def test_spanning_tree_may_prefer_the_second_uplink():
    assert has_uplink(spanning_tree(uplink="blocking")) == ["uplink.blocked_by_spanning_tree"]


@pytest.mark.parametrize("fields", [
    {"uplink": "blocking", "other": "blocking"}, {"uplink": "blocking", "stp": 0}, {"uplink": "listening"}, {"uplink": "disabled"},
])
def test_an_uplink_that_does_not_forward_is_wrong_unless_spanning_tree_has_another(fields):
    with wrong("uplink.not_forwarding", f"is {fields['uplink']}", place="node1", layer="forwards"):
        has_uplink(spanning_tree(**fields))


def test_a_tap_is_no_other_way_out():
    text = edited(played()["links"], br0={"stp_state": 1}, eth0=HARDWARE | {"state": "blocking"})
    with wrong("uplink.not_forwarding", place="node1", layer="forwards"):
        has_uplink(text)


def storage(**uplink):
    """Br1 with a VLAN of a bond as its uplink."""
    device = {"ifname": "bond0.7", "info_kind": "vlan", "link": "bond0", "master": "br1"} | uplink
    return edited(played()["links"], br0={"ifname": "br1"}, eth0=device, vnet7={"master": "br1"})


def test_an_uplink_may_be_a_vlan_of_a_bond():
    assert has_uplink(storage(), STORAGE) == []
    with wrong("uplink.not_in_bridge", "bond0.7 is in no bridge", place="node1"):
        has_uplink(storage(master=""), STORAGE)
    with wrong("uplink.not_forwarding", "port bond0.7 of br1", place="node1", layer="forwards"):
        has_uplink(storage(state="blocking"), STORAGE)


@pytest.mark.parametrize("mtu", [1496, 1500, 9000])
def test_four_bytes_less_still_pass(mtu):
    assert uplink_fits(f"ip link set eth0 mtu {mtu}") == []
    assert bridge_fits(f"ip link set vnet7 mtu {mtu}") == []


def test_uplink_mtu_fits_measures_the_network():
    with wrong("uplink.mtu_too_small", "eth0 has MTU 1495, expected 1500", place="node1", breaks={"full_size"}) as caught:
        uplink_fits("ip link set eth0 mtu 1495")
    assert caught.value.remedy == "ip link set dev eth0 mtu 1500"
    with wrong("uplink.mtu_too_small", "bond0.7 has MTU 1500, expected 9000", place="node1", breaks={"full_size"}):
        checks.test_uplink_mtu_fits(STORAGE, NODE1, by("links", storage()))


def test_an_uplink_that_is_not_there_has_no_mtu():
    assert uplink_fits("ip link del eth0") == []


def test_bridge_mtu_fits_names_the_port_that_made_it_small():
    with wrong("tap.mtu_too_small", "br0 has MTU 1400, the MTU of its port vnet7, expected 1500", place="node1", breaks={"full_size", "own_bridge"}) as caught:
        bridge_fits("ip link set vnet7 mtu 1400")
    assert caught.value.remedy == "ip link set dev vnet7 mtu 1500"


def test_bridge_mtu_fits_names_the_bridge_that_somebody_set():
    with wrong("bridge.mtu_too_small", "br0 has MTU 1400, expected 1500", place="node1", breaks={"full_size", "own_bridge"}):
        bridge_fits("ip link set br0 mtu 1400")


def test_bridge_mtu_follows_its_uplink():
    with wrong("uplink.mtu_too_small", "of its port eth0", place="node1", breaks={"full_size", "own_bridge"}):
        bridge_fits("ip link set eth0 mtu 1400")


def test_a_bridge_that_is_not_there_has_no_mtu():
    assert bridge_fits("ip link del br0") == []
