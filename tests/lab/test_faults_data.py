"""Faults are data: all that the catalogue asks for is there, and a mistake in one is named."""

import pytest

from netchecks.errors import LabError
from netchecks.lab import faults
from netchecks.lab.topology import load as load_topology

ALL = faults.load("vmhost-switching")

#: Every cause that has to be named in this lab.
CODES = {
    "bridge.missing", "bridge.down", "uplink.not_in_bridge", "uplink.down", "uplink.no_carrier", "uplink.not_forwarding",
    "tap.not_in_bridge", "tap.in_another_bridge", "tap.down", "domain.shut_off", "guest.interface_down",
    "guest.wrong_address", "guest.wrong_prefix", "address.duplicate", "mac.duplicate", "node.two_addresses_of_one_subnet",
    "firewall.iptables_drops", "firewall.nftables_drops", "firewall.ebtables_drops", "guest.drops_icmp", "guest.port_closed",
    "tap.mtu_too_small", "guest.no_ipv6", "gateway.gone", "gateway.two_macs", "resolver.dead", "resolver.slow",
    "conntrack.nearly_full", "node.ssh_refused", "node.ssh_no_route", "node.ssh_host_key_changed", "node.ssh_login_refused",
    "node.sudo_refused", "node.hangs", "node.command_hangs", "node.tool_missing", "node.tool_unreadable",
    "switch.reflects_frames", "port.isolated", "port.no_multicast_flood", "port.no_unicast", "tap.ebpf_drops",
    "tap.missing", "tap.not_forwarding", "uplink.mtu_too_small", "domain.interface_missing", "guest.silent", "guest.silent_over_ip",
    "guest.port_silent", "route.overlapping", "domain.paused", "domain.link_unplugged", "domain.migrated", "address.dad_failed",
    "guest.wrong_gateway", "guest.default_route_missing", "guest.subnet_route_missing", "guest.route_overlapping",
    "sender.drops_request", "upstream.request_lost", "upstream.reply_lost", "node.drops_request", "node.drops_reply", "node.drops_outbound",
    "guest.drops_outbound", "guest.wrong_mac", "uplink.wrong_vlan", "gateway.stale_neighbour", "fdb.static_at_another_port",
    "guest.firewall_drops_in", "guest.firewall_drops_out", "guest.wrong_resolver", "resolver.reverse_hangs",
    "boot.uplink_not_in_bridge", "boot.bridge_missing", "boot.route_missing", "boot.dhcp_and_static", "boot.address_missing",
    "boot.address_other", "boot.not_started", "boot.two_systems", "platform.refused", "platform.not_answered", "platform.no_route",
    "path.loss", "path.partial_by_port", "bridge.mac_of_a_port", "bridge.mtu_too_small", "path.mtu_black_hole",
    "throughput.limited", "throughput.too_low", "throughput.not_measured",
}


def test_every_cause_of_the_catalogue_has_a_fault():
    assert CODES - {one.code for fault in ALL for one in fault.expected} == set()


def test_two_faults_are_two_at_once():
    assert {"two-tap-and-resolver", "two-uplink-and-address"} <= {fault.name for fault in ALL if fault.expect_all}


def test_steps_run_in_places_that_there_are():
    places = {"lab", *load_topology("vmhost-switching").places}
    assert {step.at for fault in ALL for step in (*fault.breaks, *fault.undo)} <= places


def test_only_what_needs_a_host_of_its_own_needs_root():
    needing = [fault for fault in ALL if fault.needs == "rooted" and not fault.name.startswith("no-python")]  # /usr/bin is every place's
    assert {one.code.split(".")[0] for fault in needing for one in fault.expected} == {"node", "boot", "platform"}


def test_a_cause_is_named_at_its_place_and_nowhere_else():
    expected = faults.Expected(code="gateway.gone", place="10.20.0.1", also=("fd20::1",))
    assert expected.named_by("gateway.gone", ["10.20.0.1", "fd20::1"])
    assert expected.named_by("gateway.gone", ["fd20::1"])
    assert not expected.named_by("gateway.gone", ["10.20.0.1", "node1"])
    assert not expected.named_by("gateway.gone", [])
    assert not expected.named_by("gateway.two_macs", ["10.20.0.1"])


GOOD = "faults: [{name: a-b, title: t, break: [{at: vm42, run: x}], undo: [], expect: {code: tap.down, place: node1}}]"


@pytest.mark.parametrize(("old", "new", "message"), [
    ("name: a-b", "name: A_b", "faults.0.name"),
    ("undo: []", "undoes: []", "faults.0.undo: Field required"),
    ("code: tap.down", "code: down", "faults.0.expect.code"),
    ("expect: {", "healthy: true, expect: {", "a-b: expected either 'healthy: true' or what to name"),
    (", expect: {code: tap.down, place: node1}", "", "a-b: expected either 'healthy: true' or what to name"),
    ("expect: {code: tap.down, place: node1}", "expect_all: [{code: tap.down, place: node1}]", "one cause alone is written as expect"),
    ("faults: [", "faults: {", "f.yaml"),
    ("faults:", "folts:", "f.yaml: folts"),
])
def test_a_mistake_is_named(old, new, message):
    faults.parse(GOOD, "f.yaml")
    with pytest.raises(LabError) as raised:
        faults.parse(GOOD.replace(old, new, 1), "f.yaml")
    assert message in str(raised.value)


def test_a_name_is_used_once():
    one = GOOD[len("faults: ["):-1]
    with pytest.raises(LabError, match="a-b: twice"):
        faults.parse(f"faults: [{one}, {one}]", "f.yaml")


def test_an_unknown_fault_lists_what_there_is():
    with pytest.raises(LabError, match="bridge-missing"):
        faults.find("vmhost-switching", "nosuch")


def test_a_topology_without_faults_has_none():
    assert faults.load("many-nodes") == ()
