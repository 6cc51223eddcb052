"""suites/openstack/neutron/test_flows.py on recorded flows, then changed; and healthy ones that look unusual."""

import pytest

from netchecks.errors import NotSeen
from netchecks.models.ovs_traces import Output, OvsTrace, OvsWay
from suites.openstack.neutron import test_flows as checks
from tests.suites.openstack.neutron.given import (
    ALIVE,
    CONFIG,
    DEAD,
    NET_A,
    NODE1,
    SITE,
    TENANT,
    VM42,
    _by,
    added,
    both,
    bridges,
    flows,
    gone,
    notes_of,
    of_node,
    port,
    recorded,
    wrong,
)

BREAKS = {"switched"}
IN, OUT = "priority=3,in_port=3,dl_vlan=3933 actions=mod_vlan_vid:1,resubmit(,60)", "priority=4,in_port=2,dl_vlan=1 actions=mod_vlan_vid:3933,NORMAL"
NONE = "priority=1,in_port=99 actions=drop"


def judged(check, table, *, change=None, daemon=ALIVE, network=NET_A, way=None):
    ways = _by("ovs_ways", {VM42.name: (VM42, way)} if way else {})
    more = (ways,) if check is not checks.test_flows_are_there else ()
    return notes_of(
        check, network, NODE1, SITE, of_node("ovs_bridges", bridges(change)), CONFIG, of_node("openflow_tables", table), daemon, *more,
    )


def inbound(table, **more):
    return judged(checks.test_vlan_is_translated_inbound, table, **more)


def outbound(table, **more):
    return judged(checks.test_vlan_is_translated_outbound, table, **more)


def there(table, **more):
    return judged(checks.test_flows_are_there, table, **more)


@pytest.mark.parametrize("check", [inbound, outbound, there])
@pytest.mark.parametrize("where", ["ovs-3.1-current", "ovs-3.1-names-no-stats"])
def test_the_labs_flows_pass(check, where):
    assert check(recorded("openflow_tables", where)) == []


@pytest.mark.parametrize("check", [inbound, outbound, there])
def test_what_other_checks_name_is_left_to_them(check):
    empty = recorded("openflow_tables", "ovs-3.1-current")
    assert check(empty, daemon=DEAD) == check(empty, network=TENANT) == check(empty, change=gone("int-br-provider")) == []


def test_a_node_without_a_port_of_the_network_needs_no_flows():
    change = gone("tap4242c9d1-7a")
    assert outbound(flows((OUT, NONE)), change=change) == inbound(flows((IN, NONE)), change=change) == []


def test_no_flows_at_all_are_named_of_bridges_that_need_them():
    with wrong("ovs.flows_gone", "br-int and br-provider have no flows at all", place="node1", breaks=BREAKS):
        there("@bridge br-int\n@bridge br-provider\n")


def test_what_is_missing_is_named_with_what_packets_meet_instead():
    with wrong("flow.outbound_missing", "1 => 3933 on port 2 (phy-br-provider) of br-provider", "actions=drop is what they meet", place="node1",
               breaks=BREAKS) as caught:
        outbound(flows((OUT, NONE)))
    assert caught.value.remedy == 'ovs-ofctl add-flow br-provider "priority=4,in_port=2,dl_vlan=1,actions=mod_vlan_vid:3933,NORMAL"'
    with wrong("flow.inbound_missing", "3933 => 1 on port 3 (int-br-provider) of br-int", place="node1", breaks=BREAKS) as caught:
        inbound(flows((IN, NONE)))
    assert caught.value.remedy == 'ovs-ofctl add-flow br-int "table=0,priority=3,in_port=3,dl_vlan=3933,actions=mod_vlan_vid:1,NORMAL"'


def test_a_wrong_vlan_is_named():
    with wrong("flow.outbound_wrong_vlan", "packets get VLAN 3900, expected 3933", place="node1", breaks=BREAKS):
        outbound(flows((OUT, OUT.replace("vid:3933", "vid:3900"))))
    with wrong("flow.inbound_wrong_vlan", "packets get VLAN 7, expected 1", place="node1", breaks=BREAKS):
        inbound(flows((IN, IN.replace("vid:1", "vid:7"))))


def test_the_right_flow_on_another_port_is_named():
    with wrong("flow.wrong_port", "the flow is there for another port: table=0,priority=3,in_port=77", place="node1", breaks=BREAKS):
        inbound(flows((IN, IN.replace("in_port=3", "in_port=77"))))


def test_a_drop_above_is_named_with_what_takes_it_away():
    with wrong("flow.shadowed", "table=0,priority=20,dl_vlan=3933 actions=drop comes first", place="node1", breaks=BREAKS) as caught:
        inbound(flows(add="priority=20,dl_vlan=3933 actions=drop"))
    assert caught.value.remedy == 'ovs-ofctl --strict del-flows br-int "table=0,priority=20,dl_vlan=3933"'


def test_a_flow_of_an_older_agent_that_wins_is_named_and_one_that_does_not_is_not():
    stale = "priority={},in_port=3,dl_vlan=3933 actions=mod_vlan_vid:9,NORMAL"
    with wrong("flow.stale", "cookie 0xdead0001; most have 0x47776f45af88c3", "gives VLAN 9", place="node1", breaks=BREAKS):
        inbound(flows(add=stale.format(5), cookie="0xdead0001"))
    assert inbound(flows(add=stale.format(1), cookie="0xdead0001")) == []


def test_a_flow_without_a_cookie_is_not_stale():
    assert inbound(flows(add="priority=5,in_port=3,dl_vlan=3933 actions=mod_vlan_vid:1,NORMAL", cookie="0x0")) == []


DVR = "priority=4,in_port=3,dl_vlan=3933,dl_src=fa:16:3f:8c:11:02 actions=resubmit(,3)"


def test_flows_for_some_macs_leave_the_others_translated():
    """DVR looks at the sender's MAC first."""
    assert inbound(flows(add=DVR)) == []


@pytest.mark.parametrize("table", [flows((IN, NONE), add=DVR), flows(add="priority=9,in_port=3,arp actions=drop")], ids=["MAC", "ARP"])
def test_what_depends_on_more_than_a_vlan_is_unknown_unless_ovs_tells(table):
    with pytest.raises(NotSeen, match="it depends on more than a packet's port and VLAN"):
        inbound(table)
    back = OvsWay("tap4242c9d1-7a", "br-int", None, OvsTrace((), (Output("tap4242c9d1-7a"),)))
    assert inbound(table, way=back) == []


def test_ovs_own_word_counts_more():
    back = OvsWay("tap4242c9d1-7a", "br-int", None, OvsTrace((), (Output("tap4242c9d1-7a"),)))
    assert inbound(flows((IN, NONE)), way=back) == []
    out = OvsWay("tap4242c9d1-7a", "br-int", OvsTrace((), (Output("eth1", 3933),)))
    assert outbound(flows((OUT, NONE)), way=out) == []


def test_one_thing_that_is_wrong_is_outvoted():
    wrong_tag = port("tap4242c9d1-7a", tag=2)
    assert inbound(flows(), change=wrong_tag) == outbound(flows(), change=wrong_tag) == []
    not_noted = port("tap4242c9d1-7a", other_config={})
    assert inbound(flows(), change=not_noted) == []


def test_ovn_writes_no_such_flows():
    ovn = added("br-int", "patch-br-int-to-provnet-1", "patch", options={"peer": "patch-provnet-1-to-br-int"})
    assert there("@bridge br-int\n@bridge br-provider\n", change=both(ovn)) == []
