"""suites/openstack/neutron/test_dpdk.py: a vhost-user port, as Open vSwitch's database has it; the lab has no DPDK."""

from netchecks.models.domains import Domain, DomainInterface
from netchecks.models.table import Table
from suites.openstack.neutron import test_dpdk as checks
from tests.suites.openstack.neutron.given import (
    ALIVE,
    DEAD,
    MAC,
    TAP,
    VM42,
    added,
    both,
    bridges,
    gone,
    is_unknown,
    notes_of,
    of_node,
    wrong,
)

BREAKS = {"switched"}
OWN = {"attached-mac": MAC, "iface-id": "4242c9d1-7ab0-4e0c-9f3e-8b1d2c3e4f42"}
VHU = "vhu4242c9d1-7a"


def connected(kind="vhostuser", daemon=ALIVE, change=None, **fields):
    domain = Domain("vm42", "running", "", (DomainInterface(MAC, kind, "br-int", target=VHU),))
    plug = both(gone(TAP), added("br-int", VHU, "dpdkvhostuserclient", 1, external_ids=OWN, **fields))
    return notes_of(
        checks.test_vhost_user_port_is_connected, VM42, of_node("domains", Table("domain", {"vm42": domain})),
        of_node("ovs_bridges", bridges(change or plug)), daemon,
    )


def test_a_port_whose_guest_is_there_passes():
    assert connected(link_state="up", admin_state="up") == []


def test_a_port_without_its_guest_is_named():
    with wrong("tap.not_connected", f"node1: vm42's port {VHU} (dpdkvhostuserclient) is not connected, its link is down", place="node1", breaks=BREAKS):
        connected(link_state="down")
    with wrong("tap.not_connected", "not connected: could not open network device", place="node1", breaks=BREAKS):
        connected(error="could not open network device vhu4242c9d1-7a (Address family not supported by protocol)")


def test_what_is_not_told_is_unknown():
    is_unknown(connected)


def test_taps_dead_daemons_and_ports_that_are_not_there_are_other_checks():
    assert connected("bridge", link_state="down") == connected(daemon=DEAD, link_state="down") == connected(change=gone(TAP)) == []
