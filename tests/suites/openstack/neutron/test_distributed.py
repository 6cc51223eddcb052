"""suites/openstack/neutron/test_distributed.py on what the parts of the lab's distributed router said, then changed."""

from dataclasses import replace

import pytest

from netchecks.errors import Unreadable
from netchecks.models.netfilter.rules import Ruleset
from netchecks.models.neutron import FloatingNamespace, Namespace, RouterState
from netchecks.models.openvswitch import OvsBridge, OvsInterface, OvsPort
from netchecks.models.routes import FloatingWay, Lookup, RouterWay
from netchecks.models.table import Table
from netchecks.observe import OBSERVATIONS
from suites.openstack.neutron import test_distributed as checks
from suites.openstack.neutron import test_routers
from tests.suites.openstack.neutron import routed
from tests.suites.openstack.neutron.given import (
    RECORDED,
    UNSEEN,
    _by,
    answered,
    answers,
    is_unknown,
    notes_of,
    of,
    of_node,
    recorded,
    silent,
    wrong,
)
from tests.suites.vmhost.given import world_of

INVENTORY = routed.INVENTORY.replace("nodes: [net1, net2]}}", "nodes: [net1, node1], distributed: true}}").replace("[net1, net2]", "[net1, node1]")
WORLD = world_of(INVENTORY)
SITE = WORLD.inventory
CONTROLLER, NET1, NET2, NODE1 = SITE.nodes
VM52, VM53 = SITE.interfaces
ON_NET1, ON_NODE1 = WORLD.virtual_routers
#: The external network is not on vm52's node.
CENTRAL = world_of(routed.INVENTORY.replace("nodes: [net1, net2]}}", "nodes: [net1, node1], distributed: true}}"))
FLOATING: FloatingNamespace = recorded("floating_namespaces", "neutron-dvr")
NONE: FloatingNamespace = recorded("floating_namespaces", "another-router")
PART: RouterState = recorded("router_states", "neutron-dvr")
INSIDE: Namespace = recorded("router_namespaces", "neutron-dvr")
OUT: RouterWay = recorded("router_ways", "neutron-dvr-floating")
BY_SNAT: RouterWay = recorded("router_ways", "neutron-dvr-fixed")
SNAT: Namespace = recorded("snat_namespaces", "neutron-dvr")
NO_SNAT: Namespace = recorded("snat_namespaces", "neutron-dvr-elsewhere")
SNAT_STATE: RouterState = recorded("snat_states", "neutron-dvr")
SNAT_RULES = recorded("snat_iptables", "neutron-dvr")
FG, FPR, GONE = "fg-c2d81e07-6b", "fpr-3c9e1f7a-5", RouterState(exists=False)


def states(on_node1=PART, on_net1=PART):
    return _by("router_states", {ON_NET1.name: (ON_NET1, on_net1), ON_NODE1.name: (ON_NODE1, on_node1)})


def snats(on_net1=SNAT):
    return _by("snat_namespaces", {ON_NET1.name: (ON_NET1, on_net1), ON_NODE1.name: (ON_NODE1, NO_SNAT)})


def fip(check, found, *more, interface=VM52, state=PART, site=SITE, snat=SNAT):
    return notes_of(check, interface, site, states(state), snats(snat), of("floating_namespaces", ON_NODE1, found), *more)


def without(*devices):
    """Give the namespace without devices that are up."""
    return replace(FLOATING, inside=replace(FLOATING.inside, up=FLOATING.inside.up - set(devices)))


def test_what_no_namespace_is_joined_to_has_no_floating_addresses():
    assert fip(checks.test_floating_namespace_exists, FLOATING) == []
    assert fip(checks.test_floating_namespace_exists, NONE, interface=VM53) == fip(checks.test_floating_namespace_exists, NONE, state=GONE) == []
    with wrong("router.fip_namespace_missing", "no namespace fip-... is joined to qrouter-", "203.0.113.52 of vm52", "others that there are: fip-e4b0",
               place="node1", breaks={"floating"}):
        fip(checks.test_floating_namespace_exists, NONE)


def test_where_the_external_network_is_not_on_the_instances_node_is_said():
    is_unknown(lambda: fip(checks.test_floating_namespace_exists, NONE, site=CENTRAL.inventory))
    facts = of("router_iptables", ON_NODE1, recorded("router_iptables", "neutron-dvr")), states(), snats()
    is_unknown(lambda: notes_of(test_routers.test_floating_address_is_translated, VM52, CENTRAL.inventory, *facts))


def test_where_the_namespace_that_translates_for_all_has_a_floating_address_it_comes_there():
    central = replace(SNAT, addresses=(*SNAT.addresses, ("qg-9b2f6c10-4d", "203.0.113.52/32")))
    is_unknown(lambda: fip(checks.test_floating_namespace_exists, NONE, snat=central))


def test_devices_that_are_down_or_missing_are_named():
    assert fip(checks.test_floating_devices_are_up, FLOATING) == fip(checks.test_floating_devices_are_up, NONE) == []
    with wrong("router.device_down", f"{FG} in fip-e4b0", place="node1", breaks={"floating"}):
        fip(checks.test_floating_devices_are_up, without(FG))
    with wrong("router.device_down", f"{FPR} in fip-e4b0", place="node1", breaks={"floating"}):
        fip(checks.test_floating_devices_are_up, without(FPR))
    bare = replace(FLOATING, inside=replace(FLOATING.inside, macs=FLOATING.inside.macs[:1]))
    with wrong("router.fip_device_missing", "has no device fg-", place="node1", breaks={"floating"}):
        fip(checks.test_floating_devices_are_up, bare)


def at_one_node(there, own=FLOATING, interface=VM52, plugged=False, bridges=None):
    """Judge with what the part of the network node says; ``plugged``: the instance has a port on that node too."""
    spaces = _by("floating_namespaces", {ON_NET1.name: (ON_NET1, there), ON_NODE1.name: (ON_NODE1, own)})
    tap = OvsPort("tap52", 1, interfaces=(OvsInterface("tap52", "", 9, external_ids={"attached-mac": VM52.mac}),))
    bridges = bridges or Table("bridge", {"br-int": OvsBridge("br-int", Table("port", {"tap52": tap} if plugged else {}))})
    return notes_of(checks.test_floating_address_is_at_one_node, interface, SITE, states(), snats(), spaces, of_node("ovs_bridges", bridges, ON_NET1.node))


def test_a_floating_address_that_another_node_leads_to_the_router_too_is_named_with_that_node():
    with wrong("router.floating_address_twice", "net1: fip-e4b0", "leads 203.0.113.52 to qrouter-", "as that of node1 does, where vm52 is",
               place="net1", breaks={"floating"}) as caught:
        at_one_node(FLOATING)
    assert "ip route del 203.0.113.52" in caught.value.remedy


def test_nodes_that_lead_others_or_nothing_or_answer_for_nobody_are_right():
    others = replace(FLOATING, leads=frozenset({"169.254.106.114/31", "203.0.113.54"}))
    assert at_one_node(NONE) == at_one_node(others) == at_one_node(replace(FLOATING, proxy_arp=frozenset())) == []
    assert at_one_node(FLOATING, own=others) == [], "that the own part does not lead it is another check's"
    assert at_one_node(FLOATING, interface=VM53) == [], "it has no floating address"
    assert at_one_node(FLOATING, plugged=True) == [], "it is being migrated there"
    is_unknown(lambda: at_one_node(UNSEEN))


def test_where_the_port_is_matters_only_where_two_nodes_lead_an_address():
    assert at_one_node(NONE, bridges=UNSEEN) == at_one_node(replace(FLOATING, proxy_arp=frozenset()), bridges=UNSEEN) == []
    is_unknown(lambda: at_one_node(FLOATING, bridges=UNSEEN))


def tagged(tag, bridge="br-int"):
    port = OvsPort(FG, tag, interfaces=(OvsInterface(FG, "internal", 7, external_ids={"attached-mac": "fa:16:3e:00:cb:21"}),))
    there = Table("bridge", {bridge: OvsBridge(bridge, Table("port", {FG: port}))} if bridge else {})
    return fip(
        checks.test_floating_port_is_tagged, FLOATING, of_node("ovs_bridges", there, NODE1), _by("neutron_configs", {NODE1.name: (NODE1, UNSEEN)}),
        of_node("openflow_tables", Table("bridge", {}), NODE1), of_node("ovs_daemons", recorded("ovs_daemons", "ovs-3.1"), NODE1),
    )


def test_the_outer_device_is_a_port_of_the_external_network():
    assert tagged(2) == []
    with wrong("router.port_untagged", f"node1: {FG} of fip-e4b0", "has the tag none, expected the local VLAN of public", place="node1", breaks={"floating"}):
        tagged(None)
    with wrong("router.port_dead_vlan", "has the tag 4095", place="node1", breaks={"floating"}):
        tagged(4095)
    assert tagged(None, bridge="br-ex") == [], "external_network_bridge"
    with wrong("router.port_not_in_bridge", "is no port of br-int", place="node1", breaks={"floating"}):
        tagged(2, bridge="")


def answered_for(found=FLOATING, way=OUT):
    return fip(checks.test_floating_address_is_answered_for, found, of("router_ways", VM52, way))


def floating(into=None, out=None):
    (name, way), = OUT.floating
    return replace(OUT, floating=((name, FloatingWay(into or way.into, out or way.out)),))


def test_proxy_arp_and_a_route_are_what_answers():
    assert answered_for(replace(FLOATING, proxy_arp=frozenset({"all"}))) == []
    assert answered_for() == answered_for(NONE) == answered_for(replace(FLOATING, forwards=False), floating(into=Lookup("unreachable"))) == []
    with wrong("router.proxy_arp_off", f"net.ipv4.conf.{FG}.proxy_arp is not 1 in fip-e4b0", "nobody answers ARP for 203.0.113.52 of vm52",
               place="node1", breaks={"floating"}):
        answered_for(replace(FLOATING, proxy_arp=frozenset()))
    with wrong("router.floating_missing", "what comes for 203.0.113.52 of vm52 into fip-e4b0", f"goes by {FG} to the link, expected to qrouter-",
               place="node1", breaks={"floating"}, certain=True):
        answered_for(way=floating(into=Lookup("unicast", FG)))


def back(found=FLOATING, way=OUT, state=PART):
    return fip(checks.test_floating_answers_find_back, found, of("router_ways", VM52, way), state=state)


def test_answers_leave_by_the_same_namespace():
    assert back() == back(NONE) == back(way=replace(OUT, back=())) == []
    assert back(way=replace(OUT, back=(("10.20.0.152", Lookup("unreachable")),)), state=replace(PART, forwards=False)) == []  # another check says so
    with wrong("router.forwarding_off", "net.ipv4.ip_forward is 0 in fip-e4b0", place="node1", breaks={"floating"}):
        back(replace(FLOATING, forwards=False))
    with wrong("router.rule_missing", "what vm52 sends outside goes by qr-5e1c5d0a-2c to 10.20.0.5 in qrouter-", "from 10.20.0.152 lookup 16",
               place="node1", breaks={"floating"}, certain=True):
        back(way=replace(OUT, back=(("10.20.0.152", BY_SNAT.back[0][1]),)))
    second = replace(OUT, back=(("10.20.0.151", BY_SNAT.back[0][1]), *OUT.back))
    assert back(way=second) == [], "the floating address may be of any of the instance's own"
    with wrong("router.route_missing", "what comes from 203.0.113.52 of vm52 has no way (unreachable) in fip-e4b0", place="node1",
               breaks={"floating"}, certain=True):
        back(way=floating(out=Lookup("unreachable")))


PING = next(flow for flow in WORLD.flows if flow.name == "controller-to-vm52-floating-icmp")
SSH = next(flow for flow in WORLD.flows if flow.name == "controller-to-vm52-floating-tcp22")


def lets_through(where="neutron-dvr", flow=PING, *, answer=None, found=FLOATING):
    rules = [of(fact, ON_NODE1, recorded(fact, where)) for fact in ("floating_iptables", "floating_nftables")]
    return notes_of(
        checks.test_floating_namespace_lets_through, flow, SITE, answers({flow: answer or silent()}), states(), snats(), of("floating_namespaces", ON_NODE1, found),
        *rules,
    )


def test_a_rule_that_drops_what_is_forwarded_to_a_floating_address_is_named():
    dropped = "floating-forward-dropped"
    assert lets_through() == lets_through(flow=SSH) == lets_through(dropped, answer=answered()) == lets_through(dropped, found=NONE) == []
    with wrong("firewall.iptables_drops", "node1: in fip-e4b0", "ICMP to 203.0.113.52", "chain FORWARD", place="node1", breaks={"floating"}):
        lets_through(dropped)


# -- what has no floating address ----------------------------------------------------------------------------------------


def leaves(way=BY_SNAT, on_net1=SNAT, *, interface=VM53, state=PART):
    return notes_of(checks.test_instance_leaves_by_snat, interface, states(state), of("router_ways", interface, way), snats(on_net1))


def sent(way):
    return replace(BY_SNAT, back=(("10.20.0.153", way),))


def test_who_has_no_floating_address_is_sent_to_the_namespace_that_translates_for_all():
    assert leaves() == leaves(OUT, interface=VM52) == leaves(state=GONE) == leaves(replace(BY_SNAT, back=())) == []
    assert leaves(sent(Lookup("unreachable")), NO_SNAT) == []  # a router without a gateway outside
    assert leaves(sent(OUT.back[0][1])) == [], "networks of one address scope: nothing is translated"
    waits = replace(SNAT, macs=SNAT.macs[:1], addresses=())
    assert leaves(sent(Lookup("unreachable")), waits) == [], "a router of several agents without a gateway outside"
    own, route = sent(Lookup("unicast", "qr-5e1c5d0a-2c", "10.20.0.254")), replace(PART, default=("default via 10.20.0.254 dev qr-5e1c5d0a-2c proto static",))
    assert leaves(own, state=route) == leaves(own, NO_SNAT, state=route) == [], "a route that the router was given"
    is_unknown(lambda: leaves(interface=replace(VM53, vm=replace(VM53.vm, node=NET2))))
    with wrong("router.snat_namespace_missing", "node1: what vm53 sends outside goes to 10.20.0.5", "none of net1, node1 has that with a device outside", place="net1",
               breaks={"outbound"}):
        leaves(on_net1=NO_SNAT)
    with wrong("router.snat_rule_missing", "what vm53 sends outside has no way (unreachable) in qrouter-", "on net1", place="node1",
               breaks={"outbound"}):
        leaves(sent(Lookup("unreachable")))
    is_unknown(lambda: leaves(on_net1=UNSEEN))


def snat(found=SNAT, state=SNAT_STATE, rules=SNAT_RULES, *, router=ON_NET1):
    facts = of("snat_namespaces", router, found), of("snat_states", router, state), of("snat_iptables", router, rules)
    return notes_of(checks.test_snat_translates, router, *facts)


def test_the_namespace_that_translates_for_all_does_so():
    assert snat() == snat(NO_SNAT) == snat(state=replace(SNAT_STATE, role="standby", default=())) == []
    assert snat(NO_SNAT, router=routed.ON_NET1) == []
    is_unknown(lambda: snat(state=replace(SNAT_STATE, role="without a state")))
    is_unknown(lambda: snat(rules=Ruleset()))
    assert snat(replace(SNAT, macs=SNAT.macs[:1], addresses=SNAT.addresses[:2])) == [], "without a device outside it is no way for anybody"


def test_with_the_rule_for_its_own_traffic_alone_it_cannot_be_told():
    line = next(line for line in TEXT.splitlines() if "-o qg-" in line and "-j SNAT" in line)
    is_unknown(lambda: snat(rules=TEXT.replace(line, "")))


TEXT = (RECORDED / "snat_iptables" / "neutron-dvr.out").read_text()


@pytest.mark.parametrize(("found", "state", "rules", "code", "words"), [
    (replace(SNAT, up=SNAT.up - {"sg-7a40b1f2-93"}), SNAT_STATE, SNAT_RULES, "router.device_down", "sg-7a40b1f2-93 in snat-3c9e1f7a"),
    (replace(SNAT, addresses=SNAT.addresses[:2]), SNAT_STATE, SNAT_RULES, "router.address_missing", "it has 10.20.0.5/24 on sg-"),
    (replace(SNAT, addresses=SNAT.addresses[2:]), SNAT_STATE, SNAT_RULES, "router.address_missing", "an address of tenant"),
    (SNAT, replace(SNAT_STATE, forwards=False), SNAT_RULES, "router.forwarding_off", "net.ipv4.ip_forward is 0 in snat-"),
    (SNAT, replace(SNAT_STATE, default=()), SNAT_RULES, "router.route_missing", "snat-3c9e1f7a-5b60-4d2e-8a17-0f4c2d9b6e31 has no default route"),
    (SNAT, SNAT_STATE, TEXT.replace("-j SNAT", "-j RETURN"), "router.snat_missing", "translates what leaves to 203.0.113.10"),
])
def test_what_keeps_it_from_translating_is_named(found, state, rules, code, words):
    with wrong(code, "net1: ", words, place="net1", breaks={"outbound"}):
        snat(found, state, rules)


# -- the other checks of routers, of a part of a distributed one -----------------------------------------------------------


def test_a_part_is_there_where_it_has_somebody_to_route_for():
    gone = Namespace(exists=False)
    with wrong("router.namespace_missing", "node1: there is no namespace qrouter-", place="node1"):
        notes_of(test_routers.test_router_namespace_exists, ON_NODE1, SITE, of("router_namespaces", ON_NODE1, gone))
    with_dhcp = replace(ON_NET1, network=SITE.networks[0])
    is_unknown(lambda: notes_of(test_routers.test_router_namespace_exists, with_dhcp, SITE, of("router_namespaces", with_dhcp, gone)))
    off = world_of(INVENTORY.replace("node: node1, tcp", "node: node1, runs: false, tcp")).inventory
    assert notes_of(test_routers.test_router_namespace_exists, ON_NODE1, off, of("router_namespaces", ON_NODE1, gone)) == []


def test_a_part_needs_no_default_route_and_holds_no_floating_address():
    spaces, here = of("router_namespaces", ON_NODE1, INSIDE), of("router_states", ON_NODE1, PART)
    assert notes_of(test_routers.test_router_forwards, ON_NODE1, spaces, here) == []
    assert notes_of(test_routers.test_floating_address_is_held, VM52, spaces, here) == []


def test_what_a_device_that_is_down_breaks_depends_on_where_it_leads():
    for device, breaks in (("rfp-3c9e1f7a-5", {"floating"}), ("qr-5e1c5d0a-2c", set())):
        down = of("router_namespaces", ON_NODE1, replace(INSIDE, up=INSIDE.up - {device}))
        with wrong("router.device_down", f"{device} in qrouter-", place="node1", breaks=breaks):
            notes_of(test_routers.test_router_devices_are_up, ON_NODE1, down, of("router_states", ON_NODE1, PART))


def test_each_floating_address_is_translated_on_the_instances_node():
    facts = of("router_iptables", ON_NODE1, recorded("router_iptables", "neutron-dvr")), states(), snats()
    assert notes_of(test_routers.test_floating_address_is_translated, VM52, SITE, *facts) == []
    with wrong("router.dnat_missing", "of vm52: nobody answers for it", place="node1", breaks={"floating"}, certain=True):
        notes_of(test_routers.test_floating_address_is_translated, VM52, SITE, of("router_iptables", ON_NODE1, recorded("snat_iptables", "neutron-dvr")), states(), snats())


def test_of_a_distributed_router_the_namespaces_that_translate_for_all_may_be_several():
    primary, standby = replace(SNAT_STATE, role="primary", keepalived=True), replace(SNAT_STATE, role="standby", keepalived=True)

    def one_works(first, second):
        snats = _by("snat_states", {ON_NET1.name: (ON_NET1, first), ON_NODE1.name: (ON_NODE1, second)})
        return notes_of(test_routers.test_one_router_works, ON_NET1, states(replace(PART, role="primary")), snats)

    assert one_works(primary, standby) == one_works(SNAT_STATE, GONE) == one_works(primary, UNSEEN) == []
    is_unknown(lambda: one_works(standby, UNSEEN))
    with wrong("router.no_primary", "net1 standby; expected one primary", place="net1"):
        one_works(standby, GONE)
    with wrong("router.two_primaries", "net1 primary, node1 primary", place="net1"):
        one_works(primary, primary)


def test_what_could_not_be_read_is_no_answer():
    inside = (RECORDED / "floating_namespaces" / "neutron-dvr.out").read_text()
    ways = (RECORDED / "router_ways" / "neutron-dvr-floating.out").read_text()
    for fact, text in (
        ("floating_namespaces", inside.replace("@forward 1", "@forward ")), ("floating_namespaces", inside.replace("@end", "")),
        ("router_ways", ways.replace("@out 203.0.113.52", "@out 203.0.113.53")), ("router_ways", ways.replace("@end", "")),
    ):
        with pytest.raises(Unreadable):
            OBSERVATIONS[fact].parse(text)
