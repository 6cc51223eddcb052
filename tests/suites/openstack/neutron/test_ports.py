"""suites/openstack/neutron/test_ports.py: the instance's port, and OVS' own word about its packets; hybrid plugs and trunks."""

import pytest

from netchecks.errors import NotSeen
from netchecks.models.domains import Domain, DomainInterface
from netchecks.models.links import Link
from netchecks.models.neutron_sides import side_of
from netchecks.models.openvswitch import plugged, wires
from netchecks.models.ovs_traces import Output, OvsTrace, OvsWay, Step
from netchecks.models.table import Table
from suites.openstack.neutron import test_ports as checks
from tests.suites.openstack.neutron.given import (
    ALIVE,
    CONFIG,
    DEAD,
    MAC,
    NET_A,
    SITE,
    TAP,
    VM42,
    B,
    added,
    both,
    bridges,
    flows,
    gone,
    notes_of,
    of,
    of_node,
    port,
    recorded,
    wrong,
)

BREAKS = {"switched"}
HYBRID = {"attached-mac": MAC, "iface-id": "4242c9d1-7ab0-4e0c-9f3e-8b1d2c3e4f42"}


def tagged(change=None, tap=TAP, master="", daemon=ALIVE, table=None):
    domain = Domain("vm42", "running", "", (DomainInterface(MAC, "bridge", "br-int", target=tap),) if tap else ())
    link = Link(tap or "tap0", 4, "fe:16:3e:00:00:42", 1500, frozenset({"UP", "LOWER_UP"}), "UP", "", "", master)
    return notes_of(
        checks.test_instance_port_is_tagged, VM42, SITE, of_node("domains", Table("domain", {"vm42": domain})),
        of_node("links", Table("interface", {link.name: link})), of_node("ovs_bridges", bridges(change)), CONFIG,
        of_node("openflow_tables", table or flows()), daemon,
    )


def test_the_labs_port_passes():
    assert tagged() == tagged(daemon=DEAD) == []


@pytest.mark.parametrize(("tag", "code", "words"), [
    (None, "tap.untagged", "has no tag, expected 1, net-a's local VLAN there"),
    (2, "tap.wrong_tag", "has the tag 2, expected 1"),
    (4095, "tap.dead_vlan", "the agent knows nothing of it, and it is in no network; expected 1"),
])
def test_a_wrong_tag_is_named_with_the_right_one(tag, code, words):
    with wrong(code, f"node1: vm42's port {TAP}", words, place="node1", breaks=BREAKS):
        tagged(port(TAP, tag=tag))


def test_a_tap_elsewhere_is_named_with_where_it_is():
    with wrong("tap.not_in_bridge", f"vm42's tap {TAP} is no port of Open vSwitch, expected one of br-int", place="node1", breaks=BREAKS):
        tagged(gone(TAP))
    with wrong("tap.not_in_bridge", "is a port of br-provider", place="node1", breaks=BREAKS):
        tagged(both(gone(TAP), added("br-provider", TAP)))


def test_a_vm_without_a_tap_is_another_checks():
    assert tagged(gone(TAP), tap="") == []


def test_a_hybrid_plug_has_another_device_on_br_int():
    hybrid = both(gone(TAP), added("br-int", "qvo4242c9d1-7a", tag=1, external_ids=HYBRID))
    assert tagged(hybrid, master="qbr4242c9d1-7a") == []
    with wrong("tap.untagged", "port qvo4242c9d1-7a has no tag", place="node1", breaks=BREAKS):
        tagged(both(gone(TAP), added("br-int", "qvo4242c9d1-7a", external_ids=HYBRID)), master="qbr4242c9d1-7a")
    assert tagged(gone(TAP), master="qbr4242c9d1-7a") == [], "a bridge holds it; nothing tells which port is behind that"


def test_the_parent_port_of_a_trunk_is_behind_a_bridge_of_its_own():
    trunk = both(
        gone(TAP), added("tbr-1a2b3c4d-5", TAP, external_ids=HYBRID),
        added("tbr-1a2b3c4d-5", "tpt-4242c9d1-7a", "patch", options={"peer": "tpi-4242c9d1-7a"}),
        added("br-int", "tpi-4242c9d1-7a", "patch", tag=1, options={"peer": "tpt-4242c9d1-7a"}),
    )
    assert tagged(trunk) == []
    remedy = "systemctl restart neutron-openvswitch-agent (kolla: docker restart neutron_openvswitch_agent), which wires its trunks anew"
    with wrong("patch.missing", "joins its bridge tbr-1a2b3c4d-5 with br-int", place="node1", breaks=BREAKS, remedy=remedy):
        tagged(both(trunk, gone("tpt-4242c9d1-7a")))
    with wrong("patch.missing", place="node1", breaks=BREAKS):
        tagged(both(trunk, gone("tpi-4242c9d1-7a"), added("br-int", "tpi-4242c9d1-7a", "patch", tag=1, options={"peer": "tpt-old"})))
    with wrong("tap.wrong_tag", "port tpi-4242c9d1-7a has the tag 5", place="node1", breaks=BREAKS):
        tagged(both(trunk, port("tpi-4242c9d1-7a", tag=5)))


def of_trunk(sub=MAC):
    """Give a trunk as Neutron makes it: the tap and both ends of both pairs name whose they are; the subport is in net-b."""
    other, bridge = {"attached-mac": sub, "iface-id": "9b9b0101-5c11-4d2e-8f3a-1b2c3d4e5f60"}, "tbr-1a2b3c4d-5"
    return both(
        gone(TAP), added(bridge, TAP, external_ids=HYBRID),
        added(bridge, "spt-9b9b0101-5c", "patch", tag=101, options={"peer": "spi-9b9b0101-5c"}, external_ids=other),
        added(bridge, "tpt-4242c9d1-7a", "patch", options={"peer": "tpi-4242c9d1-7a"}, external_ids=HYBRID),
        added("br-int", "spi-9b9b0101-5c", "patch", tag=2, options={"peer": "spt-9b9b0101-5c"}, external_ids=other),
        port("spi-9b9b0101-5c", other_config={"net_uuid": B, "tag": "2"}),
        added("br-int", "tpi-4242c9d1-7a", "patch", tag=1, options={"peer": "tpt-4242c9d1-7a"}, external_ids=HYBRID),
    )


@pytest.mark.parametrize("sub", [MAC, "fa:16:3e:00:00:99"])
def test_a_subport_is_not_the_parent_whatever_mac_it_has(sub):
    assert tagged(of_trunk(sub)) == []
    bridge, found = plugged(MAC, "", bridges(of_trunk(sub)))
    assert (bridge.name, found.name) == ("tbr-1a2b3c4d-5", TAP), "patch ports name the MAC, and no guest is at one"
    with wrong("tap.wrong_tag", "port tpi-4242c9d1-7a has the tag 2, expected 1", place="node1", breaks=BREAKS):
        tagged(both(of_trunk(sub), port("tpi-4242c9d1-7a", tag=2)))
    votes = side_of(NET_A.neutron, "eth1", None, bridges(of_trunk(sub))).local_ports([MAC])
    assert [one.name for one in votes] == ["tpi-4242c9d1-7a"], "the subport is in another network"


def test_a_tap_that_its_trunks_bridge_does_not_have_is_named_with_that_bridge():
    with wrong("tap.not_in_bridge", f"vm42's tap {TAP} is no port of Open vSwitch, expected one of tbr-1a2b3c4d-5", place="node1", breaks=BREAKS):
        tagged(both(of_trunk(), gone(TAP)))


def test_of_several_ports_with_the_mac_the_tap_is_the_guests():
    left_over = both(port(TAP, tag=1), added("br-int", "qvo4242c9d1-7a", tag=9, external_ids=HYBRID))
    assert plugged(MAC, TAP, bridges(left_over))[1].name == TAP


def test_ovn_gives_no_tags():
    ovn = {"attached-mac": MAC, "iface-id": "x", "ovn-installed": "true"}
    assert tagged(both(gone(TAP), added("br-int", TAP, external_ids=ovn))) == []


# -- OVS' own word ---------------------------------------------------------------------------------------------------


def passes(way, daemon=ALIVE, there=None):
    return notes_of(checks.test_bridges_pass_instance, VM42, of("ovs_ways", VM42, way), daemon, of_node("ovs_bridges", there or bridges()))


def may_send(way):
    return notes_of(checks.test_port_security_lets_instance_send, VM42, of("ovs_ways", VM42, way), ALIVE)


WAY = recorded("ovs_ways", "ovs-3.1-vlan")
DROPPED = OvsTrace((Step("br-int", 0, "arp,in_port=1, priority 10"), Step("br-int", 24, "priority 0, cookie 0x1", ("drop",))), ())


def test_what_ovs_lets_through_passes():
    assert passes(WAY) == may_send(WAY) == passes(WAY, DEAD) == []


@pytest.mark.parametrize("check", [passes, may_send])
def test_a_way_that_could_not_be_asked_for_is_unknown(check):
    with pytest.raises(NotSeen, match="node1: the way of vm42 cannot be asked for: it has no IPv4 address"):
        check(OvsWay(why="it has no IPv4 address to ask with"))


def test_port_security_is_named_with_its_flow():
    with wrong("port.security_drops", "drops what vm42 sends as 10.19.43.142", "table 24 of br-int (priority 0", place="node1", breaks=BREAKS):
        may_send(OvsWay(TAP, "br-int", DROPPED))
    sent = Step("br-int", 71, "reg5=0x1,in_port=1, priority 10, cookie 0x1", ("resubmit(,93)",))  # the openvswitch firewall's way to drop
    with wrong("port.security_drops", "drops what vm42 sends as 10.19.43.142", "table 71 of br-int (reg5=0x1", place="node1", breaks=BREAKS):
        may_send(OvsWay(TAP, "br-int", OvsTrace((sent, Step("br-int", 93, "priority 0, cookie 0x1", ("drop",))), ())))
    elsewhere = OvsTrace((Step("br-provider", 0, "priority 2", ("drop",)),), ())
    assert may_send(OvsWay(TAP, "br-int", elsewhere)) == []


def test_what_does_not_leave_or_come_is_named_with_where_it_ends():
    with wrong("ovs.drops_outbound", "does not leave by eth1 in VLAN 3933", "the last look-up is table 24", place="node1", breaks=BREAKS):
        passes(OvsWay(TAP, "br-int", DROPPED))
    other = OvsTrace((), (Output("eth1", 3900), Output("", 0)))
    with wrong("ovs.drops_outbound", "it leaves by eth1 in VLAN 3900, a port", place="node1", breaks=BREAKS):
        passes(OvsWay(TAP, "br-int", other))
    with wrong("ovs.drops_inbound", f"does not reach {TAP}", place="node1", breaks=BREAKS):
        passes(OvsWay(TAP, "br-int", WAY.out, OvsTrace((), (Output(TAP, 1),))))



BOND = recorded("ovs_bridges", "ovs-3.1-bond")  # bond0 of eth1 and eth2, which is in use
BY_OTHER, BY_HASH = recorded("ovs_ways", "ovs-3.1-bond-active-backup"), recorded("ovs_ways", "ovs-3.1-bond-lacp")


def test_every_member_of_a_bond_is_the_uplink():
    assert passes(BY_OTHER, there=BOND) == passes(BY_HASH, there=BOND) == []
    with wrong("ovs.drops_outbound", "does not leave by eth1 in VLAN 3933", place="node1", breaks=BREAKS):
        passes(BY_OTHER)
    with wrong("ovs.drops_outbound", "does not leave by eth2 or eth1 in VLAN 3933", place="node1", breaks=BREAKS):
        passes(OvsWay(TAP, "br-int", OvsTrace((), (Output("", 3934, hashed=True),))), there=BOND)
    with wrong("ovs.drops_outbound", place="node1", breaks=BREAKS):
        passes(BY_HASH)  # where there is no bond


def test_the_member_in_use_comes_first():
    assert wires("eth1", BOND) == wires("eth2", BOND) == wires("bond0", BOND) == ("eth2", "eth1")
    assert wires("eth1", bridges()) == ("eth1",)
    assert wires("eth7", BOND) == ("eth7",)
