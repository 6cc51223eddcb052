"""What a flow table decides for a packet of which a port and a VLAN are known, by recorded tables."""

from __future__ import annotations

from pathlib import Path

import pytest

import netchecks.observations  # noqa: F401 - fills OBSERVATIONS
from netchecks.models.openflow import FlowTable, Probe, translating
from netchecks.observe import OBSERVATIONS

RECORDED = Path(__file__).parents[1] / "observations" / "openflow_tables"


def tables(where: str) -> dict[str, FlowTable]:
    return dict(OBSERVATIONS["openflow_tables"].parse((RECORDED / f"{where}.out").read_text()))


def table(*flows: str) -> FlowTable:
    text = "@bridge br\n" + "".join(f" cookie=0x1, duration=1.0s, table=0, n_packets=0, n_bytes=0, {flow}\n" for flow in flows)
    made: FlowTable = OBSERVATIONS["openflow_tables"].parse(text)["br"]
    return made


PATCH = Probe(3, "int-br-provider", 3933)


@pytest.mark.parametrize("where", ["ovs-3.1-current", "ovs-3.1-openflow13", "ovs-3.1-names-no-stats"])
def test_the_agents_flows_translate_both_ways_in_every_form(where):
    known = tables(where)
    inbound = known["br-int"].decide(PATCH)
    assert (inbound.kind, inbound.vlan, inbound.last.table) == ("out", 1, 60)
    outbound = known["br-provider"].decide(Probe(2, "phy-br-provider", 1))
    assert (outbound.kind, outbound.vlan) == ("out", 3933)
    assert outbound.translated_by.priority == 4


def test_the_documents_own_flows_translate_both_ways():
    known = tables("seeds-neutron")
    assert known["br0"].decide(Probe(2, "phy-br0", 1)).vlan == 3933
    assert known["br-int"].decide(Probe(1, "int-br0", 3933)).vlan == 1
    assert known["br-int"].decide(Probe(1, "int-br0", 3934)).kind == "miss"


def test_a_vlan_that_no_flow_is_for_meets_the_drop():
    decision = tables("ovs-3.1-current")["br-int"].decide(Probe(3, "int-br-provider", 3999))
    assert (decision.kind, decision.last.priority, decision.translated_by) == ("drop", 2, None)


def test_a_flow_that_asks_for_more_than_is_known_leaves_it_open():
    """With DVR, a flow for the MAC of another host's router stands above the translation."""
    known = tables("ovs-3.1-firewall-dvr-tunnels")["br-fw13"]
    assert known.decide(Probe(1, "int-br-provider", 3933)).kind == "unsure"
    assert known.decide(Probe(7, "other", 1)).kind == "unsure"


def test_a_flat_network_is_one_without_a_tag():
    flat = tables("ovs-3.1-firewall-dvr-tunnels")["br-fw13"].decide(Probe(1, "int-br-provider", 0))
    assert (flat.kind, flat.vlan) == ("out", 2)
    assert table("priority=4,in_port=2,dl_vlan=1 actions=strip_vlan,NORMAL").decide(Probe(2, "phy", 1)).vlan == 0
    assert table("priority=4,in_port=2,dl_vlan=0xffff actions=NORMAL").decide(Probe(2, "phy", 0)).kind == "out"


@pytest.mark.parametrize(("flow", "kind", "vlan"), [
    ("priority=1 actions=drop", "drop", 3933),
    ("priority=1 actions=NORMAL", "out", 3933),
    ("priority=1 actions=output:4", "out", 3933),
    ("priority=1 actions=4", "out", 3933),
    ('priority=1,in_port="int-br-provider" actions=output:"tap1"', "out", 3933),
    ("priority=1,in_port=4 actions=NORMAL", "miss", 3933),
    ("priority=1,vlan_tci=0x1f5d/0x1fff actions=set_field:4097->vlan_vid,NORMAL", "out", 1),
    ("priority=1,dl_vlan=3933 actions=pop_vlan,push_vlan:0x8100,set_field:4098->vlan_vid,NORMAL", "out", 2),
    ("priority=1 actions=load:0x5->NXM_OF_VLAN_TCI[0..11],NORMAL", "out", 5),
    ("priority=1 actions=ct(table=72,zone=1)", "unsure", 3933),
    ("priority=1 actions=group:3", "unsure", 3933),
    ("priority=1,arp actions=NORMAL", "unsure", 3933),
    ("priority=1 actions=resubmit(,0)", "unsure", 3933),
    ("priority=1 actions=goto_table:9", "miss", 3933),
    ("priority=1 actions=load:0x1->NXM_NX_REG6[],note:00.00,NORMAL", "out", 3933),
    ("in_port=LOCAL actions=NORMAL", "miss", 3933),
])
def test_each_action_does_what_ovs_says(flow, kind, vlan):
    decision = table(flow).decide(PATCH)
    assert (decision.kind, decision.vlan) == (kind, vlan)


def test_translations_are_found_whatever_port_they_are_for():
    flows = tables("ovs-3.1-current")["br-provider"].flows
    assert [flow.port for flow in translating(flows, 1, 3933)] == ["2"]
    assert list(translating(flows, 1, 3934)) == []
    assert [str(flow) for flow in translating(flows, 2, 3934)] == ["table=0,priority=4,in_port=2,dl_vlan=2 actions=mod_vlan_vid:3934,NORMAL"]


def test_the_running_agents_cookie_is_that_of_most_flows():
    assert tables("ovs-3.1-current")["br-int"].cookie == 0x47776F45AF88C3
    assert tables("ovs-3.1-classic")["br-int"].cookie == 0
    assert FlowTable({}).cookie == 0
