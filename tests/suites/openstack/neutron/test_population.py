"""suites/openstack/neutron/test_population.py on what was recorded on net1 of the lab neutron-l2pop, then changed."""

from dataclasses import replace

import pytest

from netchecks.errors import NotSeen
from netchecks.models.answers import Answer, Reply
from netchecks.models.neutron import AgentConfig, Namespace, RouterState
from netchecks.models.openflow import Flows
from netchecks.models.openvswitch import OvsBridge, OvsInterface, OvsPort
from netchecks.models.table import Table
from netchecks.observe import OBSERVATIONS
from netchecks.platforms.neutron.ends import Seen, answering, reached, working
from suites.openstack.neutron import test_population as checks
from suites.openstack.neutron import test_tunnels as tunnels
from tests.suites.openstack.neutron import routed
from tests.suites.openstack.neutron.given import ALIVE, RECORDED, UNSEEN, _by, is_unknown, notes_of, of_node, recorded, silent, wrong
from tests.suites.vmhost.given import world_of

INVENTORY = """
version: 1
nodes: {net1: {roles: [network]}, node1: {}, node2: {}}
networks:
  tenant:
    kind: neutron
    uplink: eth1
    mtu: 1450
    nodes: [net1, node1, node2]
    neutron: {id: 7d3c1a52-11aa-4c5e-9c41-6d2f0a9be111, type: vxlan, segmentation_id: 70001}
    subnets: [{cidr: 10.20.0.0/24, gateway: 10.20.0.1}]
    dhcp: {servers: [{node: net1, addresses: [10.20.0.2]}]}
vms:
  vm52: {node: node1, tcp: [22], interfaces: [{network: tenant, mac: "fa:16:3e:00:00:52", addresses: [10.20.0.152]}]}
  vm54: {node: node2, interfaces: [{network: tenant, mac: "fa:16:3e:00:00:54", addresses: [10.20.0.154]}]}
"""
WORLD = world_of(INVENTORY)
SITE = WORLD.inventory
NET1, NODE1, NODE2 = SITE.nodes
(TENANT,) = SITE.networks
VM52, VM54 = SITE.interfaces
TEXT = (RECORDED / "openflow_tables" / "ovs-3.1-l2pop.out").read_text()
#: To node1 by port 2, to node2 by port 3.
STALE = ("dl_dst=fa:16:3e:00:00:52 actions=strip_vlan,load:0x11171->NXM_NX_TUN_ID[],output:2",
         "dl_dst=fa:16:3e:00:00:52 actions=strip_vlan,load:0x11171->NXM_NX_TUN_ID[],output:3")
ONE_LEFT_OUT = ("NXM_NX_TUN_ID[],output:2,output:3", "NXM_NX_TUN_ID[],output:3")
RESTART = "on net1: systemctl restart neutron-openvswitch-agent (kolla: docker restart neutron_openvswitch_agent)"
ANSWERED = Answer("answered", 1)
UNICAST, OTHERS = {"switched", "unicast"}, {"other_senders"}
NO_ROUTER = _by("router_states", {}), _by("snat_namespaces", {})


def flow_of(name):
    return next(flow for flow in WORLD.flows if flow.name == name)


ARP, PING, AT_TAP, GATEWAY = (
    flow_of(f"{name}-ipv4") for name in ("net1-dhcp-to-vm52-arp", "net1-dhcp-to-vm52-icmp", "node1-to-vm52-arp", "net1-dhcp-to-gateway-tenant-arp")
)


def changed(*replaced):
    text = TEXT
    for old, new in replaced:
        assert old in text, old
        text = text.replace(old, new)
    return text


def tables(*replaced, unseen=False):
    read = UNSEEN if unseen else OBSERVATIONS["openflow_tables"].parse(changed(*replaced))
    return _by("openflow_tables", {"net1": (NET1, read)})


def configs(**options):
    ends = {NET1: "10.10.10.2", NODE1: "10.10.10.11", NODE2: "10.10.10.12"}
    known = {"l2_population": True, "arp_responder": True, **options}
    missing = known.pop("missing", "")
    made = {node: AgentConfig(("x",), local_ip="" if str(node) == missing else end, tunnel_types=("vxlan",), **known) for node, end in ends.items()}
    return _by("neutron_configs", {str(node): (node, config) for node, config in made.items()})


def plugged(*macs):
    ports = {f"tap{number}": OvsPort(f"tap{number}", 1, interfaces=(OvsInterface("t", external_ids={"attached-mac": mac}),))
             for number, mac in enumerate(macs)}
    return Table("bridge", {"br-int": OvsBridge("br-int", Table("port", ports))})


def bridges(node1=(VM52.mac,), node2=(VM54.mac,)):
    return _by("ovs_bridges", {
        "net1": (NET1, recorded("ovs_bridges", "ovs-3.1-l2pop")), "node1": (NODE1, plugged(*node1)), "node2": (NODE2, plugged(*node2)),
    })


# -- who answers ARP -------------------------------------------------------------------------------------------------


def afar(flow, *replaced, answer=ANSWERED, unseen=False, **options):
    return notes_of(
        checks.test_arp_answer_comes_from_afar, flow, _by("answers", {flow.name: (flow, answer)}), tables(*replaced, unseen=unseen), bridges(),
        configs(**options),
    )


def test_an_answer_of_the_tunnel_bridge_itself_is_noted():
    assert afar(ARP) == afar(GATEWAY, ("arp_tpa=10.20.0.152", "arp_tpa=10.20.0.1")) == ["neutron.arp_responder"]
    seen = Seen(bridges(), configs(), tables())
    assert answering(TENANT, NET1, ARP.target, seen) == "br-tun of net1 itself answers ARP requests (table 21, arp_responder)"


def test_what_is_answered_elsewhere_needs_no_note():
    assert afar(ARP, ("arp_tpa=10.20.0.152", "arp_tpa=10.20.0.99")) == []
    assert afar(ARP, ("arp,dl_vlan=1,arp_tpa=10.20.0.152", "arp,dl_vlan=7,arp_tpa=10.20.0.152")) == [], "another tenant's"
    assert afar(ARP, answer=silent()) == afar(AT_TAP) == []
    assert afar(replace(ARP, source=NODE1)) == [], "the same node"


def test_where_flows_cannot_be_read_the_agents_configuration_tells():
    assert afar(ARP, unseen=True) == ["neutron.arp_responder"]
    told = answering(TENANT, NET1, ARP.target, Seen(bridges(), configs(), tables(unseen=True)))
    assert told == "br-tun of net1 may itself answer ARP requests (arp_responder)"
    assert afar(ARP, unseen=True, arp_responder=False) == afar(ARP, unseen=True, l2_population=False) == []
    nothing = _by("neutron_configs", {"net1": (NET1, UNSEEN)})
    is_unknown(
        checks.test_arp_answer_comes_from_afar, ARP, _by("answers", {ARP.name: (ARP, ANSWERED)}), tables(unseen=True), bridges(), nothing,
    )


# -- where what is asked goes ----------------------------------------------------------------------------------------


def leads(flow, *replaced, plugs=None, answer=None, states=None, **options):
    return notes_of(
        checks.test_tunnel_leads_to_instance, flow, _by("answers", {flow.name: (flow, answer or silent())}), tables(*replaced),
        plugs or bridges(), configs(**options), states or NO_ROUTER[0],
    )


def test_what_goes_the_right_way_is_silent():
    assert leads(PING) == leads(ARP) == leads(AT_TAP) == leads(PING, STALE, answer=ANSWERED) == []


def test_an_entry_for_the_node_where_the_instance_was_is_named():
    words = "br-tun sends what is for fa:16:3e:00:00:52 of vm52 to 10.10.10.12 (node2), expected to 10.10.10.11 (node1), where it is: table=20"
    with wrong("tunnel.stale_entry", words, place="net1", breaks=UNICAST, remedy=RESTART):
        leads(PING, STALE)


def test_a_learned_one_is_forgotten_by_hand():
    learned = ("dl_dst=fa:16:3e:00:00:52 actions=load:0->NXM_OF_VLAN_TCI[],load:0x11171->NXM_NX_TUN_ID[],output:2",
               "dl_dst=fa:16:3e:00:00:52 actions=load:0->NXM_OF_VLAN_TCI[],load:0x11171->NXM_NX_TUN_ID[],output:3")
    told = [line for line in TEXT.splitlines() if "priority=2,dl_vlan=1,dl_dst=fa:16:3e:00:00:52" in line]
    with wrong("tunnel.stale_entry", "where it is: table=20,priority=1,vlan_tci=0x0001/0x0fff", place="net1", breaks=UNICAST,
               remedy="on net1: ovs-ofctl del-flows br-tun table=20,dl_dst=fa:16:3e:00:00:52; it was learned, and goes by itself within 300 s"):
        leads(PING, learned, *((line + "\n", "") for line in told))


@pytest.mark.parametrize("plugs", [bridges(node1=()), bridges(node2=(VM54.mac, VM52.mac)), bridges(node1=(), node2=(VM52.mac,))],
                         ids=["nowhere", "at both nodes: it is being migrated", "at the other: the inventory is old"])
def test_an_entry_is_stale_only_where_the_instance_is_at_its_node_alone(plugs):
    assert leads(PING, STALE, plugs=plugs) == []


def test_a_node_whose_end_is_not_known_leaves_it_unknown():
    with pytest.raises(NotSeen, match="node1: its agent's configuration \\(x\\) names no local_ip"):
        leads(PING, STALE, missing="node1")


def test_what_is_flooded_has_to_get_to_the_instances_node():
    no_entries = tuple((line + "\n", "") for line in TEXT.splitlines() if "dl_dst=fa:16:3e:00:00:52" in line)
    words = "br-tun does not flood key 70001 to 10.10.10.11 (node1), which has ports of the network: table=22"
    with wrong("tunnel.flood_missing", words, place="net1", breaks={"switched"}):
        leads(ARP, ONE_LEFT_OUT, *no_entries)
    assert leads(ARP, ONE_LEFT_OUT) == [], "where it is is known, and ARP is answered"


WRONG_MAC = ("mod_dl_src:fa:16:3e:00:00:52", "mod_dl_src:fa:16:3e:00:00:99")


@pytest.mark.parametrize(("old", "new"), [WRONG_MAC, ("mod_dl_src:fa:16:3e:00:00:52", "set_field:fa:16:3e:00:00:99->eth_src")])
def test_an_answer_with_another_mac_is_named_although_it_is_one(old, new):
    words = "br-tun itself answers ARP requests (arp_responder) with fa:16:3e:00:00:99 for vm52, expected fa:16:3e:00:00:52: table=21,priority=1,arp"
    strange = Answer("answered", 1, (Reply(0.1, ARP.target, "fa:16:3e:00:00:99"),))
    for flow, answer in ((ARP, strange), (PING, silent())):
        with wrong("tunnel.stale_entry", words, place="net1", breaks={"switched"}, remedy=RESTART):
            leads(flow, (old, new), answer=answer)
    with wrong("tunnel.stale_entry", words, place="net1", breaks=OTHERS, remedy=RESTART):
        all_of((old, new))
    off = replace(VM52, vm=replace(VM52.vm, runs=False))
    assert all_of((old, new), site=replace(SITE, interfaces=(off, VM54))) == []


def test_without_a_flow_of_the_networks_key_an_answer_may_be_another_tenants():
    no_key = ("0x11171", "0x11172")
    assert leads(PING, WRONG_MAC, no_key) == all_of(WRONG_MAC, no_key) == afar(ARP, no_key) == []


def test_a_bridges_flows_are_gone_through_as_often_for_many_instances_as_for_one(monkeypatch):
    walks = []
    monkeypatch.setattr(Flows, "__iter__", lambda flows: (walks.append(1), tuple.__iter__(flows))[1])
    read = OBSERVATIONS["openflow_tables"].parse(TEXT)
    seen = Seen(bridges(), configs(), _by("openflow_tables", {"net1": (NET1, read)}))
    counts = []
    for interfaces in ([VM52], [VM52, VM54] * 50):
        for one in interfaces:
            sender = seen.sender(TENANT, NET1)
            assert (seen.misanswered(sender, one), seen.stale(sender, one), len(sender.floods)) == ([], None, 1)
            assert answering(TENANT, NET1, one.first_address, seen)
        counts.append(len(walks))
    assert counts[0] == counts[1] <= 4


@pytest.mark.parametrize(("role", "named"), [("primary", True), ("standby", False)])
def test_of_several_agents_routers_the_one_that_works_sends(role, named):
    flow = next(one for one in routed.WORLD.flows if one.translated is not None and one.protocol == "icmp")
    states = _by("router_states", {routed.ON_NET1.name: (routed.ON_NET1, RouterState(exists=True, role=role))})
    if named:
        with wrong("tunnel.stale_entry", place="net1", breaks=UNICAST):
            leads(flow, STALE, states=states)
    else:
        assert leads(flow, STALE, states=states) == []


# -- all that is elsewhere -------------------------------------------------------------------------------------------


def all_of(*replaced, site=SITE, network=TENANT, node=NET1, given=None, routing=NO_ROUTER, **options):
    return notes_of(checks.test_tunnels_lead_to_all, network, node, site, given or bridges(), configs(**options), tables(*replaced), *routing)


def test_what_the_lab_has_passes():
    assert all_of() == []


def test_a_node_that_is_left_out_is_named():
    with wrong("tunnel.flood_missing", "does not flood key 70001 to 10.10.10.11 (node1)", place="net1", breaks=OTHERS):
        all_of(ONE_LEFT_OUT)
    without_vm52 = replace(SITE, interfaces=(VM54,))
    assert all_of(ONE_LEFT_OUT, site=without_vm52) == [], "no port of the network is there"


def test_entries_for_all_instances_elsewhere_are_looked_at():
    with wrong("tunnel.stale_entry", "to 10.10.10.12 (node2), expected to 10.10.10.11 (node1)", place="net1", breaks=OTHERS):
        all_of(STALE)


def test_a_peer_whose_end_is_not_known_leaves_the_flood_unknown():
    with pytest.raises(NotSeen, match="node2: its agent's configuration"):
        all_of(missing="node2")


def test_without_ports_flows_or_a_bridge_others_speak():
    assert all_of(site=replace(SITE, interfaces=(), vms=(), networks=()), network=replace(TENANT, dhcp=None)) == []
    assert all_of((TEXT, "@bridge br-int\n@bridge br-tun\n")) == []


# -- routers ---------------------------------------------------------------------------------------------------------

ALONE = routed.ALONE


def ends(world, *, works=(), central=(), population=True, config=None):
    network = world.inventory.networks[0]
    node1 = next(node for node in world.inventory.nodes if str(node) == "node1")
    states = {one.name: (one, RouterState(exists=True, role="primary" if str(one.node) in works else "standby")) for one in world.virtual_routers}
    spaces = {one.name: (one, Namespace(exists=str(one.node) in central)) for one in world.virtual_routers}
    given = config or of_node("neutron_configs", AgentConfig(("x",), l2_population=population), node1)
    found = working(network, _by("router_states", states), _by("snat_namespaces", spaces))
    return [str(node) for node in reached(network, node1, world.inventory, found, given)]


def no_dhcp(text):
    return world_of(text.replace("    dhcp: {servers: [{node: net1, addresses: [10.20.0.2]}]}\n", ""))


def test_who_others_send_to():
    several = no_dhcp(routed.INVENTORY)
    assert ends(several, population=False) == ["net1", "net2"], "all are flooded to"
    assert ends(several) == [], "which of them l2population floods to is not known"
    assert ends(several, works=("net2",)) == ["net2"]
    assert ends(several, config=of_node("neutron_configs", UNSEEN, several.inventory.nodes[3])) == []
    alone = no_dhcp(routed.INVENTORY.replace("nodes: [net1, net2]}}", "nodes: [net2]}}"))
    assert ends(alone) == ["net2"]
    parts = no_dhcp(routed.INVENTORY.replace("nodes: [net1, net2]}}", "nodes: [net1, net2, node1], distributed: true}}"))
    assert ends(parts) == []
    assert ends(parts, central=("net1",)) == ["net1"]


# -- the node that is alone ------------------------------------------------------------------------------------------


def test_a_node_that_alone_has_a_port_floods_to_nobody():
    lonely = replace(SITE, interfaces=())
    flooding = next(line for line in TEXT.splitlines() if "table=22" in line and "dl_vlan=1 " in line)

    def keyed(site):
        return notes_of(
            tunnels.test_tunnel_key_is_right, TENANT, NET1, site, bridges(), configs(), tables((flooding + "\n", "")), of_daemon(), *NO_ROUTER,
        )

    assert keyed(lonely) == []
    with wrong("tunnel.outbound_missing", place="net1", breaks={"switched"}):
        keyed(SITE)


def of_daemon():
    (alive,) = ALIVE.seen().values()
    return _by("ovs_daemons", {"net1": (NET1, alive)})


# -- what passes between nodes ---------------------------------------------------------------------------------------


def test_an_answer_of_the_bridge_itself_does_not_show_that_packets_pass():
    at_tap, ping = AT_TAP, PING
    answers = {at_tap: ANSWERED, ARP: ANSWERED, ping: silent()}
    read = OBSERVATIONS["openflow_tables"].parse(TEXT)

    def passes(text=TEXT):
        there = OBSERVATIONS["openflow_tables"].parse(text)
        return notes_of(
            tunnels.test_tunnel_passes, TENANT, NODE1, _by("answers", {flow.name: (flow, got) for flow, got in answers.items()}),
            _by("ovs_ways", {VM52.name: (VM52, recorded("ovs_ways", "ovs-3.1-l2pop"))}), configs(), of_node("tunnel_pings", "@end 10.10.10.11 yes\n", NET1),
            _by("openflow_tables", {"net1": (NET1, there), "node1": (NODE1, read)}), bridges(),
            _by("openflow_port_counts", {"net1": (NET1, UNSEEN), "node1": (NODE1, UNSEEN)}),
        )

    with wrong("tunnel.filtered", place="node1", breaks={"switched"}, owner="network engineer"):
        passes()
    assert passes(changed(("arp_tpa=10.20.0.152", "arp_tpa=10.20.0.99"))) == [], "the instance answered"
