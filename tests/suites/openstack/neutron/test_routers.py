"""suites/openstack/neutron/test_routers.py on what the namespace of the lab's router said, then changed."""

from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from netchecks.models.netfilter.rules import Ruleset
from netchecks.models.neutron import Namespace, RouterState
from netchecks.models.openvswitch import OvsBridge, OvsInterface, OvsPort
from netchecks.models.subjects import Subnet
from netchecks.models.table import Table
from suites.openstack.neutron import test_routers as checks
from tests.suites.openstack.neutron.given import (
    RECORDED,
    UNSEEN,
    _by,
    answered,
    answers,
    is_unknown,
    notes_of,
    of_node,
    recorded,
    silent,
    wrong,
)
from tests.suites.openstack.neutron.routed import (
    INSIDE,
    LEG,
    NET1,
    ON_NET1,
    ON_NET2,
    OUTER,
    RULES,
    SITE,
    VM52,
    VM53,
    WORKS,
    by_router,
    flow_of,
)

RULES_TEXT = (RECORDED / "router_iptables" / "neutron-router.out").read_text()
GONE = Namespace(exists=False, others=("qdhcp-a",))
STANDBY, SPREAD = replace(WORKS, role="standby"), replace(WORKS, distributed=True)


def without(*addresses):
    return replace(INSIDE, addresses=tuple((device, text) for device, text in INSIDE.addresses if text not in addresses))


def exists(inside):
    return notes_of(checks.test_router_namespace_exists, ON_NET1, SITE, by_router("router_namespaces", inside))


def test_a_namespace_that_is_missing_is_named_with_those_that_are_there():
    assert exists(INSIDE) == []
    with wrong("router.namespace_missing", "net1: there is no namespace qrouter-3c9e1f7a", "there are qdhcp-a", place="net1"):
        exists(GONE)


def is_up(inside, state=WORKS):
    return notes_of(checks.test_router_devices_are_up, ON_NET1, by_router("router_namespaces", inside), by_router("router_states", state))


def test_a_leg_that_is_down_is_named():
    assert is_up(INSIDE) == is_up(GONE) == is_up(replace(INSIDE, up=INSIDE.up - {OUTER}), STANDBY) == []
    with wrong("router.device_down", f"{OUTER} in qrouter-", place="net1", breaks={"routed"}):
        is_up(replace(INSIDE, up=INSIDE.up - {OUTER}))
    with wrong("router.device_down", f"{LEG} in qrouter-", place="net1"):
        is_up(replace(INSIDE, up=INSIDE.up - {LEG}))


def has_gateway(inside, state=WORKS):
    return notes_of(checks.test_router_has_gateway_address, ON_NET1, by_router("router_namespaces", inside), by_router("router_states", state))


def test_the_gateways_address_is_the_routers():
    assert has_gateway(INSIDE) == has_gateway(GONE) == has_gateway(without("10.20.0.1/24"), STANDBY) == []
    with wrong("router.address_missing", "has not the gateway's address 10.20.0.1; it has 203.0.113.10/24 on", place="net1"):
        has_gateway(without("10.20.0.1/24"))


def test_a_part_of_a_distributed_router_that_is_not_declared_as_one_is_not_judged():
    is_unknown(lambda: has_gateway(INSIDE, SPREAD))


def forwards(state, inside=INSIDE):
    return notes_of(checks.test_router_forwards, ON_NET1, by_router("router_namespaces", inside), by_router("router_states", state))


def test_a_router_without_an_outer_leg_needs_no_default_route():
    inner = replace(INSIDE, addresses=tuple(one for one in INSIDE.addresses if one[0] == LEG))
    assert forwards(replace(WORKS, default=()), inner) == []
    is_unknown(lambda: forwards(replace(WORKS, role="without a state")))


def test_a_subnet_in_which_it_has_no_leg_may_have_another_router():
    more = replace(ON_NET1, network=replace(ON_NET1.network, subnets=(*ON_NET1.network.subnets, Subnet(ip_network("10.21.0.0/24"), ip_address("10.21.0.1")))))
    facts = [_by(fact, {more.name: (more, value)}) for fact, value in (("router_namespaces", INSIDE), ("router_states", WORKS))]
    assert notes_of(checks.test_router_has_gateway_address, more, *facts) == []


def test_a_router_forwards_and_has_a_way_out():
    assert forwards(WORKS) == forwards(STANDBY) == forwards(RouterState(exists=False)) == []
    with wrong("router.forwarding_off", "net.ipv4.ip_forward is 0 in qrouter-", place="net1", breaks={"routed"}):
        forwards(replace(WORKS, forwards=False))
    with wrong("router.route_missing", "has no default route", place="net1", breaks={"routed"}, certain=True):
        forwards(replace(WORKS, default=()))


def tagged(tag, *, device=LEG, bridge="br-int", inside=INSIDE, state=WORKS):
    port = OvsPort(device, tag, interfaces=(OvsInterface(device, "internal", 7, external_ids={"attached-mac": "fa:16:3e:00:20:01"}),))
    there = Table("bridge", {bridge: OvsBridge(bridge, Table("port", {device: port}))})
    return notes_of(
        checks.test_router_port_is_tagged, ON_NET1, SITE, by_router("router_namespaces", inside), by_router("router_states", state),
        of_node("ovs_bridges", there, NET1), of_node("neutron_configs", recorded("neutron_configs", "tunnels"), NET1),
        of_node("openflow_tables", recorded("openflow_tables", "ovs-3.1-vxlan"), NET1),
        of_node("ovs_daemons", recorded("ovs_daemons", "ovs-3.1"), NET1),
    )


@pytest.mark.parametrize(("tag", "code", "words"), [
    (None, "router.port_untagged", "has the tag none"), (4095, "router.port_dead_vlan", "has the tag 4095"), (7, "router.port_wrong_tag", "has the tag 7"),
])
def test_the_tag_of_its_leg_is_the_networks(tag, code, words):
    assert tagged(1) == tagged(tag, inside=GONE) == tagged(tag, state=STANDBY) == []
    with wrong(code, f"net1: {LEG} of qrouter-", words, "of tenant", place="net1"):
        tagged(tag)


def test_a_leg_in_another_bridge_is_named():
    with wrong("router.port_not_in_bridge", f"{LEG} of qrouter-", "is no port of br-int", place="net1"):
        tagged(1, bridge="br-ex")


PRIMARY, BACKUP = recorded("router_states", "neutron-ha-primary"), recorded("router_states", "neutron-ha-standby")


def one_works(*states):
    seen = {one.name: (one, state or UNSEEN) for one, state in zip((ON_NET1, ON_NET2), states, strict=True)}
    return notes_of(checks.test_one_router_works, ON_NET1, _by("router_states", seen), _by("snat_states", {}))


def test_of_several_agents_exactly_one_works():
    assert one_works(PRIMARY, BACKUP) == one_works(BACKUP, PRIMARY) == one_works(WORKS, replace(WORKS, exists=False)) == []
    with wrong("router.two_primaries", "net1 primary, net2 primary; expected one primary", place="net1"):
        one_works(PRIMARY, PRIMARY)
    with wrong("router.no_primary", "net1 standby, net2 standby; expected one primary; no keepalived runs in it on net1 and net2", place="net1"):
        one_works(replace(BACKUP, keepalived=False), replace(BACKUP, keepalived=False))
    is_unknown(lambda: one_works(PRIMARY, None))


def test_an_agent_without_keepalived_takes_nothing_over():
    with wrong("router.keepalived_dead", "net1: no keepalived runs in qrouter-", "which is standby", place="net1"):
        one_works(replace(BACKUP, keepalived=False), PRIMARY)
    assert one_works(PRIMARY, replace(BACKUP, keepalived=False)) == []  # it is net2's


# -- floating addresses ------------------------------------------------------------------------------------------------


def held(interface=VM52, inside=INSIDE, state=WORKS):
    return notes_of(checks.test_floating_address_is_held, interface, by_router("router_namespaces", inside), by_router("router_states", state))


def test_who_has_a_floating_address_answers_for_it():
    assert held() == held(VM53, without("203.0.113.52/32")) == held(inside=without("203.0.113.52/32"), state=STANDBY) == []
    with wrong("router.floating_missing", "has not vm52's floating 203.0.113.52; it has", place="net1", breaks={"floating"}):
        held(inside=without("203.0.113.52/32"))


def translated(rules=RULES, interface=VM52):
    facts = by_router("router_iptables", rules), by_router("router_states", WORKS), _by("snat_namespaces", {})
    return notes_of(checks.test_floating_address_is_translated, interface, SITE, *facts)


def changed(old, new):
    assert old in RULES_TEXT, old
    return RULES_TEXT.replace(old, new)


def test_both_translations_are_there():
    assert translated() == translated(Ruleset(), VM53) == []


def test_rules_that_could_not_be_read_are_unknown():
    is_unknown(lambda: translated(Ruleset()))
    is_unknown(lambda: translated(replace(RULES, unread=("tables nat filter",))))


def test_a_floating_address_may_be_of_any_of_the_instances_own():
    two = replace(VM52, addresses=(ip_address("10.20.0.99"), *VM52.addresses))
    assert translated(interface=two) == []


@pytest.mark.parametrize("rules", [
    recorded("router_iptables", "floating-dnat-missing"), changed("-d 203.0.113.52/32", "-d 203.0.113.99/32"),
])
def test_without_a_rule_the_router_answers_itself(rules):
    with wrong("router.dnat_missing", "translates 203.0.113.52 to 10.20.0.152 of vm52: the router answers for it itself", place="net1",
               breaks={"floating"}, certain=True):
        translated(rules)


def test_a_rule_to_another_instance_is_named_with_that():
    with wrong("router.dnat_wrong", "203.0.113.52 of vm52 is translated to 10.20.0.153 (vm53), expected 10.20.0.152", place="net1",
               breaks={"floating"}, certain=True):
        translated(changed("--to-destination 10.20.0.152", "--to-destination 10.20.0.153"))


def test_what_leaves_under_the_routers_own_address_is_named():
    with wrong("router.snat_missing", "what vm52 begins leaves as 203.0.113.10, expected as 203.0.113.52", place="net1", breaks={"outbound"}):
        translated(changed("-s 10.20.0.152/32", "-s 10.20.0.199/32"))


PING, SSH = flow_of("controller-to-vm52-floating-icmp"), flow_of("controller-to-vm52-floating-tcp22")


def lets_through(flow=PING, rules=RULES, *, answer=None, inside=INSIDE):
    return notes_of(
        checks.test_router_lets_through, flow, SITE, answers({flow: answer or silent()}), by_router("router_namespaces", inside),
        by_router("router_states", WORKS), by_router("router_iptables", rules), by_router("router_nftables", Ruleset()), _by("snat_namespaces", {}),
    )


def test_a_rule_that_drops_what_is_forwarded_is_named():
    dropping = recorded("router_iptables", "router-forward-dropped")
    assert lets_through() == lets_through(SSH) == lets_through(rules=dropping, answer=answered()) == []
    assert lets_through(rules=dropping, inside=without("10.20.0.1/24")) == lets_through(flow_of("net1-dhcp-to-vm52-icmp-ipv4"), dropping) == []
    with wrong("firewall.iptables_drops", "net1: in qrouter-", "ICMP to 10.20.0.152", "chain FORWARD", place="net1", breaks={"floating"}):
        lets_through(rules=dropping)


def test_a_rule_that_has_met_nothing_has_dropped_nothing():
    text = Path(RECORDED / "router_iptables" / "router-forward-dropped.out").read_text()
    (line,) = [line for line in text.splitlines() if "-A FORWARD" in line and "DROP" in line]
    idle = text.replace(line, f"[0:0] {line.partition('] ')[2]}")
    assert lets_through(rules=idle) == []
