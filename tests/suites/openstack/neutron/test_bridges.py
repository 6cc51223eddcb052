"""suites/openstack/neutron/test_bridges.py on what real tools said, then changed."""

import re

import pytest

from netchecks.errors import NotSeen
from netchecks.models.openvswitch import OvsInterface
from netchecks.models.table import Table
from suites.openstack.neutron import test_bridges as checks
from suites.openstack.neutron import test_flows, test_tunnels
from tests.suites.openstack.neutron.given import (
    ALIVE,
    CONFIG,
    DEAD,
    NET_A,
    NET_B,
    NODE1,
    RECORDED,
    TENANT,
    UNSEEN,
    added,
    both,
    bridges,
    gone,
    is_unknown,
    notes_of,
    of_node,
    port,
    recorded,
    wrong,
)

BREAKS = {"switched"}


def on(change=None):
    return of_node("ovs_bridges", bridges(change))


def configured(text):
    return of_node("neutron_configs", f"@file /etc/neutron/plugins/ml2/openvswitch_agent.ini\n{text}\n@end\n")


def mapping(config, network=NET_A, change=None):
    return notes_of(checks.test_bridge_mapping_is_right, network, NODE1, config, on(change))


def nic(change=None, network=NET_A, config=CONFIG):
    return notes_of(checks.test_physical_nic_is_port, network, NODE1, on(change), config)


def patch(change=None, network=NET_A):
    return notes_of(checks.test_patch_ports_are_joined, network, NODE1, on(change), CONFIG)


def ports_up(text, daemon=ALIVE):
    return notes_of(checks.test_openflow_ports_are_up, NET_A, NODE1, on(), CONFIG, of_node("openflow_ports", text), daemon)


def test_the_labs_node_passes():
    assert mapping(CONFIG) == nic() == patch() == ports_up(recorded("openflow_ports", "ovs-3.1")) == []
    checks.test_switch_runs(NET_A, NODE1, ALIVE)
    checks.test_integration_bridge_exists(NET_A, NODE1, on())


def test_a_port_that_is_not_shown_is_unknown():
    shown = recorded("openflow_ports", "ovs-3.1")
    less = Table("bridge", {name: Table("port", {one: port for one, port in some.items() if one != "eth1"}) for name, some in shown.items()})
    with pytest.raises(NotSeen, match="node1: ovs-ofctl shows no port eth1, br-provider has"):
        ports_up(less)


def test_names_that_openflow_cuts_are_told_apart_by_their_numbers():
    """OVN's patch ports begin alike: patch-provnet-1-to-br-int is patch-provnet-1 in OpenFlow."""
    shown = (RECORDED / "openflow_ports" / "ovs-3.1.out").read_text()
    assert ports_up(shown.replace("(phy-br-provider)", "(eth1)")) == []
    with wrong("ovs.port_set_off", "phy-br-provider PORT_DOWN", place="node1", breaks=BREAKS):
        ports_up(re.sub(r"\(phy-br-provider\)(.*\n\s+config:\s+)0", r"(eth1)\1PORT_DOWN", shown))


def test_what_was_not_seen_is_unknown():
    unseen = of_node("ovs_bridges", UNSEEN)
    is_unknown(checks.test_switch_runs, NET_A, NODE1, of_node("ovs_daemons", UNSEEN))
    is_unknown(checks.test_integration_bridge_exists, NET_A, NODE1, unseen)
    is_unknown(checks.test_physical_nic_is_port, NET_A, NODE1, unseen, CONFIG)
    is_unknown(checks.test_bridge_mapping_is_right, NET_A, NODE1, of_node("neutron_configs", UNSEEN), on())


def test_a_dead_daemon_is_named_with_its_last_word():
    with wrong("ovs.switch_dead", "ovs-vswitchd does not answer", "Connection refused", place="node1", breaks=BREAKS):
        checks.test_switch_runs(NET_A, NODE1, DEAD)


@pytest.mark.parametrize(("text", "code", "words"), [
    ("bridge_mappings = physnet2:br-provider", "neutron.mapping_missing", "(physnet2:br-provider) have no bridge for physnet1"),
    ("tunnel_types =", "neutron.mapping_missing", "(none) have no bridge for physnet1"),
    ("bridge_mappings = physnet1:br-wrong", "neutron.mapping_bridge_missing", "map physnet1 to br-wrong, and there is no such bridge"),
])
def test_a_mapping_that_leads_nowhere_is_named(text, code, words):
    with wrong(code, words, place="node1", breaks=BREAKS):
        mapping(configured(text))


def test_a_mapping_to_another_bridge_than_declared_is_named():
    with wrong("neutron.mapping_other_bridge", "physnet1 to br-int, expected to br-provider", place="node1", breaks=BREAKS):
        mapping(configured("bridge_mappings = physnet1:br-int"), NET_B)
    assert mapping(configured("bridge_mappings = physnet0:br-x, physnet1:br-provider"), NET_B) == []


def test_checks_of_provider_networks_do_not_apply_to_tunnels_and_the_other_way_round():
    assert NET_A.provided is NET_A.neutron
    assert NET_A.tunnelled is None
    assert TENANT.tunnelled is TENANT.neutron
    assert TENANT.provided is None
    marks = {
        name: [mark.args for mark in test.pytestmark if mark.name == "declares"]
        for module in (checks, test_flows, test_tunnels) for name, test in vars(module).items() if name.startswith("test_")
    }
    assert {name for name, args in marks.items() if args == [("tunnelled",)]} == {
        "test_tunnel_is_up", "test_tunnel_key_is_right", "test_tunnel_passes", "test_tunnel_mtu_fits",
    }
    assert {name for name, args in marks.items() if not args} == {"test_switch_runs", "test_integration_bridge_exists"}


def test_a_nic_elsewhere_is_named_with_where_it_is():
    with wrong("uplink.not_in_bridge", "eth1 is no port of Open vSwitch", "['br-provider', 'phy-br-provider']", place="node1", breaks=BREAKS):
        nic(gone("eth1"))
    with wrong("uplink.not_in_bridge", "eth1 is a port of br-int", place="node1", breaks=BREAKS):
        nic(both(gone("eth1"), added("br-int", "eth1")))


def test_a_nic_that_cannot_be_opened_is_named():
    broken = (OvsInterface("eth1", error="could not open network device eth1 (No such device)"),)
    with wrong("uplink.port_error", "No such device", place="node1", breaks=BREAKS):
        nic(port("eth1", "br-provider", interfaces=broken))


def test_a_member_of_a_bond_is_a_port():
    bond = both(gone("eth1"), added("br-provider", "bond1"), port_members)
    assert nic(bond) == []


def port_members(ports):
    port("bond1", "br-provider", interfaces=(OvsInterface("eth0", "", 1), OvsInterface("eth1", "", 2)))(ports)


def test_without_the_agents_file_the_nic_tells_the_bridge():
    assert nic(config=of_node("neutron_configs", UNSEEN)) == []
    assert notes_of(checks.test_patch_ports_are_joined, NET_A, NODE1, on(), of_node("neutron_configs", UNSEEN)) == []


def test_patch_ports_that_are_not_there_are_named():
    with wrong("patch.missing", "br-int and br-provider are not joined: no patch ports at all", place="node1", breaks=BREAKS):
        patch(gone("int-br-provider", "phy-br-provider"))
    with wrong("patch.missing", "phy-br-provider (peer int-br-provider)", place="node1", breaks=BREAKS):
        patch(gone("int-br-provider"))


def test_patch_ports_that_do_not_name_each_other_are_named():
    other = (OvsInterface("int-br-provider", "patch", 3, {"peer": "phy-br-old"}),)
    with wrong("patch.wrong_peer", "int-br-provider (peer phy-br-old)", place="node1", breaks=BREAKS):
        patch(port("int-br-provider", interfaces=other))


def test_the_veth_pair_of_early_releases_joins_them_too():
    veths = both(
        gone("int-br-provider", "phy-br-provider"), added("br-int", "int-br-provider"), added("br-provider", "phy-br-provider"),
    )
    assert patch(veths) == []


def test_a_missing_integration_bridge_is_named():
    with wrong("ovs.bridge_missing", "no bridge br-int of Open vSwitch; there are ['br-provider']", place="node1", breaks=BREAKS):
        checks.test_integration_bridge_exists(NET_A, NODE1, on(gone("br-int")))


def test_a_port_that_openflow_set_off_is_named():
    text = "@bridge br-provider\n 1(eth1): addr:02:20:00:00:00:11\n     config:     PORT_DOWN NO_FLOOD\n     state:      LINK_DOWN\n"
    with wrong("ovs.port_set_off", "eth1 NO_FLOOD PORT_DOWN", place="node1", breaks=BREAKS):
        ports_up(text)
    assert ports_up(UNSEEN, DEAD) == []
