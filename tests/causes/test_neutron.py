"""netchecks/causes/neutron.py: each cause, and the neighbouring cases where it has nothing to say."""

from dataclasses import replace

import pytest

from netchecks.causes import neutron as causes
from netchecks.models.answers import Row
from netchecks.seen import Pair
from tests.suites.openstack.neutron.given import NODE1, UNSEEN, WORLD, _by, answered, answers, flow_of, of_node, recorded, silent, wrong

NET1, FIRST, SECOND = (flow_of(f"{node}-to-gateway-net-a-arp-ipv4") for node in ("net1", "node1", "node2"))
FROM_AGENT = flow_of("net1-dhcp-to-vm42-icmp-ipv4")
GATEWAY = "02:20:00:00:43:01"
NAMED = {"hop": "uplink", "layer": "neighbour", "owner": "network engineer", "breaks": {"uplink"}, "certain": True}


def blocks(flow, given, there=UNSEEN):
    causes.switch_blocks_vlan(flow, answers(given), of_node("ovs_bridges", there))


def test_the_vlan_is_blocked_where_others_get_an_answer():
    with wrong("switch.vlan_not_allowed", "leave eth1 in VLAN 3933 are not answered, and the same of node2 is answered", place="node1", **NAMED):
        blocks(FIRST, {FIRST: silent(), SECOND: answered(GATEWAY)})


def test_of_a_bond_the_member_that_asked_is_named():
    with wrong("switch.vlan_not_allowed", "leave eth2 in VLAN 3933 are not answered", place="node1", **NAMED):
        blocks(FIRST, {FIRST: silent(), SECOND: answered(GATEWAY)}, recorded("ovs_bridges", "ovs-3.1-bond"))


def test_a_bond_that_the_inventory_names_is_no_device():
    uplink = next(link for link in WORLD.links if link.name == "node1:eth1")
    assert uplink.kinds == {"neutron"}
    there = of_node("ovs_bridges", recorded("ovs_bridges", "ovs-3.1-bond"))
    causes.uplink_is_bond(uplink, there)
    with wrong("uplink.is_bond", "bond0 is a bond of Open vSwitch with eth2 and eth1, on br-provider", place="node1", hop="uplink", layer="exists"):
        causes.uplink_is_bond(replace(uplink, device="bond0"), there)


def test_the_vlan_is_blocked_where_no_node_hears_another():
    with wrong("switch.vlan_not_allowed", "no node hears another's", place="node2", **NAMED):
        blocks(SECOND, {NET1: silent(), FIRST: silent(), SECOND: silent(), FROM_AGENT: silent()})


@pytest.mark.parametrize("given", [
    {FIRST: silent(heard=("02:20:00:00:00:12",)), SECOND: silent(), FROM_AGENT: silent()},
    {FIRST: silent(), SECOND: silent(heard=("02:20:00:00:00:11",)), FROM_AGENT: silent()},
    {FIRST: silent(), SECOND: silent()},
    {FIRST: silent(), SECOND: silent(), FROM_AGENT: answered("fa:16:3e:00:00:42")},
    {FIRST: silent(), FROM_AGENT: silent()},
], ids=["it hears others", "others hear each other", "they may have asked at different moments", "the agent reaches a VM on another node", "there is nobody to compare with"])
def test_a_gateway_that_is_gone_is_no_blocked_vlan(given):
    blocks(FIRST, given)


def test_only_what_is_asked_in_the_vlan_tells():
    inside = flow_of("net1-dhcp-to-gateway-net-a-arp-ipv4")
    blocks(inside, {inside: silent(), SECOND: answered(GATEWAY)})


def never_started(text):
    causes.agent_never_started(NODE1, of_node("neutron_services", text))


RUNS = (
    "@unit neutron-openvswitch-agent\nId=neutron-openvswitch-agent.service\nLoadState=loaded\nActiveState={}\nSubState=dead\n"
    "UnitFileState=disabled\nExecMainStartTimestampMonotonic={}\n"
)


def test_an_agent_that_never_started_explains_what_is_not_there():
    with wrong("neutron.ovs_agent_not_started", "since the node booted, the unit is disabled", place="node1", breaks={"switched"}):
        never_started(RUNS.format("inactive", 0))


@pytest.mark.parametrize("text", [RUNS.format("active", 0), RUNS.format("inactive", 5), RUNS.format("inactive", 0).replace("loaded", "not-found")])
def test_an_agent_that_ran_or_is_none_explains_nothing(text):
    never_started(text)
    causes.agent_never_started(NODE1, of_node("neutron_services", recorded("neutron_services", "systemd-252-node1")))


# -- connection tracking ---------------------------------------------------------------------------------------------

FULL = Pair(recorded("openflow_counts", "ovs-3.1-conntrack-full-before"), recorded("openflow_counts", "ovs-3.1-conntrack-full-after"), 5.8)
TO_VM42, TO_OTHER = (flow_of(f"controller-to-{vm}-icmp-ipv4") for vm in ("vm42", "vm43"))


def loses(lost, *, pair=FULL, other=(True,) * 40):
    row = Row((False,) * lost + (True,) * (40 - lost))
    rows = _by("rows", {TO_VM42.name: (TO_VM42, row), TO_OTHER.name: (TO_OTHER, Row(other))})
    causes.conntrack_loses_connections(TO_VM42, rows, of_node("openflow_counts", pair))


def test_what_conntrack_takes_for_invalid_explains_what_is_lost_now_and_then():
    with wrong("ovs.conntrack_invalid", "20 of 40 ICMP packets from controller to vm42 are lost", "+inv+trk", "has dropped 282 as invalid", place="node1",
               hop="tap", layer="service"):
        loses(20)


def test_what_is_lost_of_all_or_with_nothing_dropped_has_another_cause():
    loses(0)
    loses(20, pair=Pair(FULL.after, FULL.after, 5.8))
    loses(20, other=(True, False) * 20)
