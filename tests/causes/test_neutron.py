"""netchecks/causes/neutron.py: each cause, and the neighbouring cases where it has nothing to say."""

from dataclasses import replace

import pytest

from netchecks import judge
from netchecks.causes import neutron as causes
from netchecks.errors import Blind
from netchecks.models.answers import Row
from netchecks.seen import Pair
from tests.suites.openstack.neutron import test_population as l2pop
from tests.suites.openstack.neutron.given import (
    NODE1,
    UNSEEN,
    WORLD,
    _by,
    added,
    answered,
    answers,
    both,
    bridges,
    flow_of,
    gone,
    harmless,
    of_node,
    recorded,
    silent,
    wrong,
)

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


def of_dpdk(**fields):
    """Ask about eth1 as a port of br-provider of a type of DPDK."""
    uplink = next(link for link in WORLD.links if link.name == "node1:eth1")
    known = {"link_state": "up", "admin_state": "up"} | fields
    change = both(gone("eth1"), added("br-provider", "eth1", known.pop("kind", "dpdk"), **known))
    causes.uplink_is_of_dpdk(uplink, of_node("ovs_bridges", bridges(change)))


def test_a_nic_of_dpdk_is_no_device_and_open_vswitch_tells_its_link():
    with harmless("uplink.is_dpdk", "node1: eth1 is a port of br-provider of the type dpdk, and no device of the node", "its link is up"):
        of_dpdk()
    with wrong("uplink.no_carrier", "by Open vSwitch its link is down", place="node1", hop="uplink", layer="up", owner="network engineer"):
        of_dpdk(link_state="down")
    with wrong("uplink.down", "it is switched off", place="node1", hop="uplink", layer="up") as caught:
        of_dpdk(link_state="down", admin_state="down")
    assert caught.value.remedy == "ovs-ofctl mod-port br-provider eth1 up"


@pytest.mark.parametrize(("fields", "said"), [({"link_state": ""}, "does not tell its link"), ({"error": "not found"}, "its link: not found")])
def test_a_nic_of_dpdk_of_which_nothing_is_told_is_unknown(fields, said):
    with pytest.raises(Blind, match=said):
        of_dpdk(**fields)


def test_a_nic_of_the_kernel_is_another_checks():
    of_dpdk(kind="")


class Facts:
    """The facts of one check, as a run has them."""

    def __init__(self, **known):
        self.known = known

    def by(self, fact):
        return self.known[fact]


def refined(there):
    uplink = next(link for link in WORLD.links if link.name == "node1:eth1")
    info = judge.CheckInfo("suites/node/test_links.py::test_link_is_up[x]", "node.link_is_up", {"link": uplink}, judge.Doc())
    judge.refine(info, Facts(ovs_bridges=of_node("ovs_bridges", there)))


def test_what_a_cause_takes_for_unknown_is_and_what_it_cannot_see_leaves_the_failure():
    refined(UNSEEN)
    refined(bridges())
    with pytest.raises(Blind):
        refined(bridges(both(gone("eth1"), added("br-provider", "eth1", "dpdk"))))


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


# -- a router that drops ICMP ------------------------------------------------------------------------------------------


def router_drops(given, *replaced, flow=None, **more):
    ping = l2pop.flow_of("net1-dhcp-to-gateway-tenant-icmp-ipv4")
    causes.router_drops_icmp(flow or ping, answers({ping: silent()} | given), l2pop.tables(*replaced, **more))


ELSEWHERE = ("arp_tpa=10.20.0.152", "arp_tpa=10.20.0.1")


def test_a_router_that_resolves_need_not_answer_ping():
    with harmless("gateway.drops_icmp", "the gateway 10.20.0.1 of tenant resolves"):
        router_drops({l2pop.GATEWAY: answered(GATEWAY)})


def test_where_the_tunnel_bridge_answers_for_it_it_need_not_be_there():
    router_drops({l2pop.GATEWAY: answered(GATEWAY)}, ELSEWHERE)
    with pytest.raises(Blind, match="whether its own bridge answers for"):
        router_drops({l2pop.GATEWAY: answered(GATEWAY)}, unseen=True)


def test_a_router_that_does_not_resolve_or_is_asked_out_of_a_nic_is_no_such():
    router_drops({l2pop.GATEWAY: silent()})
    router_drops({l2pop.GATEWAY: answered(GATEWAY)}, flow=NET1)
