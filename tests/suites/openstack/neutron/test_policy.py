"""suites/openstack/neutron/test_policy.py on what Open vSwitch of the labs said and counted with the openvswitch firewall driver's flows."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from netchecks.errors import NotSeen
from netchecks.models.domains import Domain, DomainInterface
from netchecks.models.openflow import FlowTable
from netchecks.models.ovs_traces import OvsTrace, OvsWay, Step
from netchecks.models.routes import Lookup
from netchecks.models.subjects import DeclaredDhcpServer, Dhcp
from netchecks.models.table import Table
from netchecks.models.traces import Point, Seen, Sighting, Trace
from netchecks.seen import Pair
from suites.openstack.neutron import test_policy as checks
from tests.suites.openstack.neutron.given import (
    ALIVE,
    CONFIG,
    DEAD,
    MAC,
    NET_A,
    NODE1,
    TAP,
    UNSEEN,
    VM42,
    answered,
    answers,
    bridges,
    flow_of,
    flows,
    gone,
    is_unknown,
    notes_of,
    of,
    of_node,
    recorded,
    silent,
    wrong,
)

PING, SSH = flow_of("net1-dhcp-to-vm42-icmp-ipv4"), flow_of("net1-dhcp-to-vm42-tcp22-ipv4")
FROM_OUTSIDE = flow_of("controller-to-vm42-icmp-ipv4")
GROUP, PLATFORM = "port.security_group_drops", {"place": "node1", "owner": "platform"}
NO_ICMP, OWN_NETWORK = recorded("ovs_ways", "ovs-3.1-security-group"), recorded("ovs_ways", "ovs-3.1-security-group-network-alone")
RULES = recorded("openflow_tables", "ovs-3.1-security-group-network-alone")


def lets_in(flow, way, *, answer=None, source="10.20.200.2", daemon=ALIVE, rules=RULES):
    lookup = Lookup("unicast", "eth0", "10.20.200.1", source) if source else UNSEEN
    return notes_of(
        checks.test_security_group_lets_in, flow, answers({flow: answer or silent()}), of("ovs_ways", VM42, way), daemon,
        of_node("ovs_bridges", bridges()), of_node("openflow_tables", rules), of("route_lookups", flow, lookup),
    )


def test_what_the_group_does_not_let_in_is_named_with_the_rule_to_add():
    with wrong(GROUP, "node1: the security group of vm42 lets no ICMP in from 10.19.43.2: table 82 of br-int",
               "ct_state=-est,reg5=0x1", **PLATFORM) as caught:
        lets_in(PING, NO_ICMP)
    assert caught.value.remedy.startswith("openstack security group rule create --ingress --protocol icmp GROUP")
    with wrong(GROUP, "lets no ICMP in from 10.20.200.2", **PLATFORM):
        lets_in(FROM_OUTSIDE, NO_ICMP)


def test_a_sender_whose_address_is_not_known_is_named_by_its_node():
    with wrong(GROUP, "lets no ICMP in from controller: table 82", **PLATFORM):
        lets_in(FROM_OUTSIDE, NO_ICMP, source="", rules=flows())


def test_what_passes_or_came_back_is_none():
    assert lets_in(SSH, NO_ICMP) == lets_in(PING, NO_ICMP, answer=answered()) == lets_in(PING, OWN_NETWORK) == []
    assert lets_in(PING, NO_ICMP, daemon=DEAD) == lets_in(PING, OvsWay("tap", "br-int")) == []


def test_a_rule_for_other_senders_lets_this_one_not_in():
    with wrong(GROUP, "lets no ICMP in from 10.20.200.2", **PLATFORM):
        lets_in(FROM_OUTSIDE, OWN_NETWORK)


@pytest.mark.parametrize("source", ["10.19.43.77", ""])
def test_whether_a_rule_is_for_the_sender_may_be_unknown(source):
    is_unknown(lambda: lets_in(FROM_OUTSIDE, OWN_NETWORK, source=source))


@pytest.mark.parametrize("rule", ["tcp,reg5=0x1,nw_src=10.0.0.0/8", "ip,reg5=0x2,nw_src=10.0.0.0/8", "ip,reg5=0x1,nw_src=10.20.201.0/24"])
def test_a_rule_that_is_not_for_this_flow_says_nothing(rule):
    with wrong(GROUP, **PLATFORM):
        lets_in(FROM_OUTSIDE, NO_ICMP, rules=flows(add=f"table=82,priority=75,{rule} actions=output:1"))


def test_members_of_a_remote_group_may_ask():
    is_unknown(lambda: lets_in(FROM_OUTSIDE, NO_ICMP, rules=flows(add="table=82,priority=71,ip,reg6=0x1,nw_src=10.20.200.2 actions=conjunction(19,1/2)")))


@pytest.mark.parametrize(("ports", "lets"), [("tp_dst=22", True), ("tp_dst=0x10/0xfff0", True), ("tp_dst=80", False)])
def test_a_rule_for_a_sender_is_for_its_ports(ports, lets):
    ssh = flow_of("controller-to-vm42-tcp22-ipv4")
    rules = flows(add=f"table=82,priority=75,tcp,reg5=0x1,nw_src=10.20.200.0/24,{ports} actions=output:1")
    if lets:
        is_unknown(lambda: lets_in(ssh, OWN_NETWORK, rules=rules))
    else:
        with wrong(GROUP, "lets no TCP to port 22 in", **PLATFORM):
            lets_in(ssh, OWN_NETWORK, rules=rules)


def test_what_comes_after_conntrack_is_unknown_where_open_vswitch_does_not_say():
    old = OvsTrace((Step("br-int", 81, "ct_state=-trk,ip,reg5=0x1", ("ct(table=82,zone=NXM_NX_REG6[0..15])",)),), ())
    is_unknown(lambda: lets_in(PING, OvsWay(TAP, "br-int", asked={"icmp from 10.19.43.2": old})))


def test_what_drops_elsewhere_is_named_with_its_look_up():
    dropped = OvsTrace((Step("br-provider", 0, f"dl_dst={MAC}, priority 9", ("drop",)),), ())
    with wrong("ovs.drops_inbound", "ICMP for vm42 that comes by eth1 in VLAN 3933 does not reach", "table 0 of br-provider", "priority 9", place="node1",
               hop="tap", layer="service", breaks={"switched"}):
        lets_in(PING, OvsWay(TAP, "br-int", asked={"icmp from 10.19.43.2": dropped}))


def test_what_open_vswitch_did_not_say_is_unknown():
    is_unknown(lambda: lets_in(PING, replace(NO_ICMP, asked={}, failed=frozenset({"icmp from 10.19.43.2"}))))


def test_who_asks_on_the_same_node_meets_the_same_group():
    """A DHCP agent beside the instance: its packets do not come by the NIC, and what is decided there says nothing of them."""
    beside = replace(PING, source=NODE1, network=replace(NET_A, dhcp=Dhcp((DeclaredDhcpServer((ip_address("10.19.43.2"),), NODE1),))))
    with wrong(GROUP, "lets no ICMP in from 10.19.43.2: table 82 of br-int", **PLATFORM):
        lets_in(beside, NO_ICMP)
    dropped = OvsTrace((Step("br-provider", 0, f"dl_dst={MAC}, priority 9", ("drop",)),), ())
    assert lets_in(beside, OvsWay(TAP, "br-int", asked={"icmp from 10.19.43.2": dropped})) == []


@pytest.mark.parametrize("target", ["10.19.43.143", "2001:db8::42"])
def test_further_addresses_are_unknown_where_flows_are_a_group(target):
    other = replace(FROM_OUTSIDE, target=ip_address(target))
    is_unknown(lambda: lets_in(other, NO_ICMP))
    assert lets_in(other, NO_ICMP, rules=flows()) == lets_in(other, NO_ICMP, answer=answered()) == []


def test_what_nothing_reaches_is_another_checks():
    nothing = OvsTrace((Step("br-int", 0, "priority 0"),), ())
    assert lets_in(PING, replace(NO_ICMP, back=nothing)) == []


# -- what flows count ------------------------------------------------------------------------------------------------

REQUEST, REPLY = Sighting("request", 1.0, "02:00:00:00:00:01", MAC, 0), Sighting("reply", 1.1, MAC, "02:00:00:00:00:01", 0)
FULL = Pair(recorded("openflow_counts", "ovs-3.1-conntrack-full-before"), recorded("openflow_counts", "ovs-3.1-conntrack-full-after"), 5.8)
FORTH, BACK = ((REQUEST,), (REQUEST,), ()), ((REQUEST,), (REQUEST,), (REQUEST, REPLY))
IN, OUT = "priority=3,in_port=3,dl_vlan=3933 actions=mod_vlan_vid:1", "priority=4,in_port=2,dl_vlan=1 actions=mod_vlan_vid:3933"


def counted(*flows_of):
    """Give two looks at flows; each: bridge, flow, packets at the first, at the second."""
    def look(number):
        text = ""
        for bridge in ("br-int", "br-provider"):
            lines = [f" cookie=0x1, duration=9s, table=0, n_packets={counts[number]}, n_bytes=0, {flow}" for name, flow, *counts in flows_of if name == bridge]
            text += "\n".join([f"@bridge {bridge}", *lines]) + "\n"
        return of_node("openflow_counts", text)[next(iter(of_node("openflow_counts", text)))]

    return Pair(look(0), look(1), 4.0)


def carries(seen, pair, *, answer=None, change=None, daemon=ALIVE, way=None):
    points = [Point("net1", "sender", "tapd0", leaves=True), Point("node1", "uplink", "eth1", leaves=False), Point("node1", "tap", TAP, leaves=True)]
    trace = Trace("a-flow", tuple(Seen(point, some) for point, some in zip(points, seen, strict=True)), (1.0,))
    domain = Domain("vm42", "running", "", (DomainInterface(MAC, "bridge", "br-int", target=TAP),))
    return notes_of(
        checks.test_flows_carry_traffic, PING, answers({PING: answer or silent()}), of("traces", PING, trace),
        of_node("ovs_bridges", bridges(change)), CONFIG, daemon, of_node("domains", Table("domain", {"vm42": domain})),
        of("ovs_ways", VM42, way or OWN_NETWORK), of_node("openflow_counts", pair),
    )


def test_a_translation_that_counts_nothing_while_packets_come_is_named():
    still = counted(("br-int", IN, 7, 7), ("br-provider", OUT, 1, 9))
    with wrong("flow.counts_nothing", "the packet is lost between node1: uplink eth1 and node1: tap", "dl_vlan=3933 actions=mod_vlan_vid:1 of br-int",
               "has counted none in 4.0 s", place="node1", breaks={"switched"}):
        carries(FORTH, still)
    assert carries(BACK, still) == carries(FORTH, counted(("br-int", IN, 7, 9))) == []
    with wrong("flow.counts_nothing", "the answer is lost", "mod_vlan_vid:3933 of br-provider", place="node1", breaks={"switched"}, hop="tap", layer="service"):
        carries(BACK, counted(("br-provider", OUT, 7, 7)))


@pytest.mark.parametrize("more", [
    {"answer": answered()}, {"daemon": DEAD}, {"seen": ((REQUEST,), (), ())}, {"seen": ((), (), ())}, {"seen": ((REQUEST,),) * 3},
    {"change": gone("int-br-provider")},
], ids=["answered", "dead", "upstream", "not sent", "guest", "not joined"])
def test_what_is_not_lost_between_nic_and_tap_is_not_judged(more):
    assert carries(more.pop("seen", FORTH), counted(("br-int", IN, 7, 7)), **more) == []


def test_what_open_vswitch_itself_says_is_left_to_that():
    assert carries(FORTH, counted(("br-int", IN, 7, 7)), way=NO_ICMP) == []


def test_connections_that_conntrack_takes_for_invalid_are_named():
    with wrong("ovs.conntrack_invalid", "the answer is lost", "ct_state=+inv+trk actions=resubmit(,93) of br-int has dropped 282 packets in 5.8 s",
               place="node1", hop="tap", layer="service"):
        carries(BACK, FULL)


@pytest.mark.parametrize("flow", [f"priority=9,dl_dst={MAC} actions=drop", "priority=9,ip,nw_dst=10.19.43.142 actions=drop",
                                  "priority=40,ct_state=-est,reg5=0x1 actions=resubmit(,93)"])
def test_a_flow_for_the_instance_that_drops_meanwhile_is_named(flow):
    with wrong("ovs.flow_drops", "of br-int has dropped 3 packets in 4.0 s, which is for vm42", place="node1", hop="tap", layer="service"):
        carries(FORTH, counted(("br-int", flow, 4, 7)))
    assert carries(FORTH, counted(("br-int", flow, 4, 4))) == []


@pytest.mark.parametrize("flow", ["priority=2,in_port=3 actions=drop", "priority=50,ct_state=+inv+trk actions=resubmit(,93)", "priority=40,ct_state=-est,reg5=0x2 actions=resubmit(,93)",
                                  "priority=9,dl_dst=fa:16:3e:00:00:99 actions=drop"])
def test_flows_that_drop_for_others_are_not(flow):
    assert carries(FORTH, counted(("br-int", flow, 4, 70))) == []


def test_a_flow_that_was_written_anew_counts_from_then():
    with wrong("ovs.flow_drops", "has dropped 2 packets", place="node1", hop="tap", layer="service"):
        carries(FORTH, counted(("br-int", f"priority=9,dl_dst={MAC} actions=drop", 50, 2)))


def test_a_look_that_failed_is_unknown():
    with pytest.raises(NotSeen):
        carries(FORTH, UNSEEN)
    assert FlowTable({}).flows == ()
