"""suites/openstack/neutron/test_tunnels.py on what was recorded on node1 of the lab neutron-vxlan, then changed."""

from dataclasses import replace
from ipaddress import ip_interface

import pytest

from netchecks.errors import NotSeen
from netchecks.models.answers import Answer
from netchecks.models.links import Link
from netchecks.models.neutron import AgentConfig
from netchecks.models.openvswitch import OvsBridge, OvsInterface, OvsPort, PortCounts
from netchecks.models.ovs_traces import OvsTrace, OvsWay, Step
from netchecks.models.routes import InterfaceAddress
from netchecks.models.table import Table
from netchecks.observe import OBSERVATIONS
from netchecks.seen import Pair
from suites.openstack.neutron import test_ports as ports
from suites.openstack.neutron import test_tunnels as checks
from tests.suites.openstack.neutron.given import ALIVE, NET_A, RECORDED, UNSEEN, _by, is_unknown, notes_of, of_node, recorded, silent, wrong
from tests.suites.vmhost.given import world_of

BREAKS = {"switched"}
WORLD = world_of("""
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
  vm52: {node: node1, interfaces: [{network: tenant, mac: "fa:16:3e:00:00:52", addresses: [10.20.0.152], tap: tap5252aaaa-1f}]}
  vm54: {node: node2, interfaces: [{network: tenant, mac: "fa:16:3e:00:00:54", addresses: [10.20.0.154]}]}
""")
SITE = WORLD.inventory
NET1, NODE1, NODE2 = SITE.nodes
(TENANT,) = SITE.networks
VM52, VM54 = SITE.interfaces
CONFIGS = {NET1: "10.10.10.2", NODE1: "10.10.10.11", NODE2: "10.10.10.12"}
TEXT = (RECORDED / "openflow_tables" / "ovs-3.1-vxlan.out").read_text()


def configs(**local_ips):
    ends = {node: local_ips.get(str(node), end) for node, end in CONFIGS.items()}
    return _by("neutron_configs", {str(node): (node, AgentConfig(("x",), local_ip=end, tunnel_types=("vxlan",))) for node, end in ends.items()})


def bridges(change=None):
    """Give the recorded bridges; ``change`` gets the ports of br-tun by name."""
    found = recorded("ovs_bridges", "ovs-3.1-vxlan")
    tunnel = dict(found["br-tun"].ports)
    if change:
        change(tunnel)
    return Table("bridge", {**found, "br-tun": replace(found["br-tun"], ports=Table("port", tunnel))})


NO_ROUTER = _by("router_states", {}), _by("snat_namespaces", {})


def is_up(made=None, network=TENANT, site=SITE, **local_ips):
    given = of_node("ovs_bridges", made or bridges(), NODE1), configs(**local_ips)
    return notes_of(checks.test_tunnel_is_up, network, NODE1, site, *given, *NO_ROUTER)


def keyed(*replaced, made=None, daemon=ALIVE, site=SITE):
    text = TEXT
    for old, new in replaced:
        assert old in text, old
        text = text.replace(old, new)
    return notes_of(
        checks.test_tunnel_key_is_right, TENANT, NODE1, site, of_node("ovs_bridges", made or bridges()), configs(),
        of_node("openflow_tables", text), daemon, *NO_ROUTER,
    )


def test_the_labs_node_passes():
    assert is_up() == keyed() == is_up(network=NET_A) == []


def test_a_missing_tunnel_is_named_with_whose_end_it_is():
    with wrong("tunnel.remote_missing", "tunnels to 10.10.10.12, expected one to 10.10.10.2 (net1) too", place="node1", breaks=BREAKS, layer="member"):
        is_up(bridges(lambda ports: ports.pop("vxlan-0a0a0a02")))


def test_a_node_without_a_port_of_the_network_needs_no_tunnel_and_is_no_end():
    without = replace(SITE, vms=(), interfaces=())
    assert is_up(bridges(lambda ports: ports.clear()), site=without) == []
    one = bridges(lambda ports: ports.pop("vxlan-0a0a0a0c"))
    assert is_up(one, site=replace(SITE, interfaces=(VM52,))) == []


def test_a_peer_whose_end_is_not_known_leaves_it_unknown():
    with pytest.raises(NotSeen, match=r"node2: its agent's configuration \(x\) names no local_ip"):
        is_up(node2="")
    own = of_node("neutron_configs", AgentConfig(("x",), local_ip="10.10.10.11", tunnel_types=("vxlan",)), NODE1)
    is_unknown(checks.test_tunnel_is_up, TENANT, NODE1, SITE, of_node("ovs_bridges", bridges(), NODE1), own, *NO_ROUTER)


def test_a_missing_tunnel_counts_more_than_a_peer_that_is_not_known():
    with wrong("tunnel.remote_missing", place="node1", breaks=BREAKS, layer="member"):
        is_up(bridges(lambda ports: ports.pop("vxlan-0a0a0a02")), node2="")


def test_a_tunnel_from_another_address_is_named():
    with wrong("tunnel.wrong_local", "is sent from 10.10.10.11, expected from 10.10.10.99", place="node1", breaks=BREAKS, layer="address"):
        is_up(node1="10.10.10.99")


def test_without_the_tunnel_bridge_or_its_patch_ports_it_says_so():
    found = bridges()
    with wrong("tunnel.bridge_missing", "no bridge br-tun", place="node1", breaks=BREAKS):
        is_up(Table("bridge", {name: one for name, one in found.items() if name != "br-tun"}))
    with wrong("patch.missing", "br-int and br-tun are not joined", place="node1", breaks=BREAKS, layer="member"):
        is_up(bridges(lambda ports: ports.pop("patch-int")))


@pytest.mark.parametrize(("old", "new", "code", "words"), [
    ("tun_id=0x11171", "tun_id=0x999", "tunnel.inbound_missing", "has no flow that takes tenant's key 70001"),
    ("tun_id=0x11171 actions=mod_vlan_vid:1,", "tun_id=0x11171 actions=mod_vlan_vid:7,", "tunnel.inbound_wrong_vlan", "into VLAN 7, expected 1"),
    ("dl_vlan=1 actions=strip_vlan,load:0x11171", "dl_vlan=1 actions=strip_vlan,load:0x11179", "tunnel.wrong_key", "the key 70009, expected 70001"),
    ("dl_vlan=1 actions=strip_vlan", "dl_vlan=2 actions=strip_vlan", "tunnel.outbound_missing", "has no flow that gives what leaves tenant the key 70001"),
    ("NXM_NX_TUN_ID[],output:2,output:3", "NXM_NX_TUN_ID[]", "tunnel.flood_missing", "to none of its tunnels"),
])
def test_a_wrong_key_is_named_by_its_flow(old, new, code, words):
    with wrong(code, words, place="node1", breaks=BREAKS):
        keyed((old, new))


def test_a_fixed_key_of_another_network_is_named():
    def fix(ports):
        ports["vxlan-0a0a0a02"] = replace(ports["vxlan-0a0a0a02"], interfaces=(OvsInterface("v", "vxlan", 2, {"key": "42", "remote_ip": "10.10.10.2"}),))

    with wrong("tunnel.wrong_key", "has the key 42, expected 70001 or flow", place="node1", breaks=BREAKS):
        keyed(made=bridges(fix))


def test_no_flows_at_all_are_named():
    none = "@bridge br-int\n@bridge br-tun\n"
    with wrong("ovs.flows_gone", "br-tun has no flows at all", place="node1", breaks=BREAKS):
        keyed((TEXT, none))


# -- size ------------------------------------------------------------------------------------------------------------


def fits(mtu, address="10.10.10.11/24", local_ip="10.10.10.11"):
    given = Table("interface", {"br-phy": (InterfaceAddress(ip_interface(address)),)})
    links = Table("interface", {"br-phy": Link("br-phy", 5, None, mtu)})
    return notes_of(checks.test_tunnel_mtu_fits, TENANT, NODE1, configs(node1=local_ip), of_node("addresses", given), of_node("links", links))


def test_the_underlay_carries_what_a_tunnel_adds():
    assert fits(1500) == fits(9000) == []
    with wrong("tunnel.mtu_too_small", "br-phy, which vxlan tunnels leave by, has MTU 1499, expected at least 1500", place="node1",
               breaks={"full_size", "switched"}):
        fits(1499)
    with wrong("tunnel.local_ip_missing", "no device has the agent's local_ip 10.10.10.11", place="node1", breaks=BREAKS, layer="address",
               owner="node administrator"):
        fits(1500, "10.10.10.12/24")


# -- packets between nodes -------------------------------------------------------------------------------------------


def test_over_ipv6_a_tunnel_adds_more():
    assert fits(1520, "fd00:10::11/64", "fd00:10::11") == []
    with wrong("tunnel.mtu_too_small", "has MTU 1519, expected at least 1520", place="node1", breaks={"full_size", "switched"}):
        fits(1519, "fd00:10::11/64", "fd00:10::11")


def flow_of(name):
    return next(flow for flow in WORLD.flows if flow.name == name)


AT_TAP, FROM_AGENT, PING = (flow_of(f"{name}-ipv4") for name in ("node1-to-vm52-arp", "net1-dhcp-to-vm52-arp", "net1-dhcp-to-vm52-icmp"))
WAY = recorded("ovs_ways", "ovs-3.1-vxlan")


def counts(there=(9, 0), back=(0, 0)):
    """Give what both ends of the tunnel count while the probes run: put in at net1 and come out at node1, and the other way."""
    def pair(number, received, sent):
        tables = [Table("bridge", {"br-tun": Table("port", {number: PortCounts(*some)})}) for some in ((100, 100), (100 + received, 100 + sent))]
        return Pair(*tables, 2.0)

    return _by("openflow_port_counts", {"net1": (NET1, pair("2", back[1], there[0])), "node1": (NODE1, pair("3", there[1], back[0]))})


def tunnel(number, remote):
    port = OvsPort("vxlan-1", interfaces=(OvsInterface("vxlan-1", "vxlan", number, options={"remote_ip": remote}),))
    return Table("bridge", {"br-tun": OvsBridge("br-tun", Table("port", {"vxlan-1": port}))})


TUNNELS = _by("ovs_bridges", {"net1": (NET1, tunnel(2, "10.10.10.11")), "node1": (NODE1, tunnel(3, "10.10.10.2"))})
NOT_COUNTED = _by("openflow_port_counts", {"net1": (NET1, UNSEEN), "node1": (NODE1, UNSEEN)})


def passes(answers, *, pings="yes", way=WAY, text=TEXT, counted=NOT_COUNTED, bridges=TUNNELS):
    tables = OBSERVATIONS["openflow_tables"].parse(text)
    return notes_of(
        checks.test_tunnel_passes, TENANT, NODE1, _by("answers", {flow.name: (flow, got) for flow, got in answers.items()}),
        _by("ovs_ways", {VM52.name: (VM52, way)}), configs(),
        of_node("tunnel_pings", f"@end 10.10.10.11 {pings}\n", NET1), _by("openflow_tables", {"net1": (NET1, tables), "node1": (NODE1, tables)}),
        bridges, counted,
    )


ANSWERED = Answer("answered", 1)
LOST = {AT_TAP: ANSWERED, FROM_AGENT: silent(), PING: silent()}


def test_what_is_lost_between_nodes_is_told_by_ping_of_their_ends():
    with wrong("tunnel.filtered", "between net1 (10.10.10.2) and node1 (10.10.10.11)", "UDP port 4789 is filtered", place="node1", breaks=BREAKS,
               owner="network engineer"):
        passes(LOST)
    with wrong("tunnel.underlay_lost", "is not answered either", place="node1", breaks=BREAKS, owner="network engineer"):
        passes(LOST, pings="no")


def test_what_the_ends_of_a_tunnel_count_is_told():
    lost = "are lost on the way; 9 packets were put into the tunnel from net1 to node1 in 2.0 s, and 0 came out, and ping"
    with wrong("tunnel.filtered", lost, place="node1", breaks=BREAKS, owner="network engineer"):
        passes(LOST, counted=counts())
    half = "from net1 to node1 in 2.0 s, and 9 came out; 9 packets were put into the tunnel from node1 to net1 in 2.0 s, and 0 came out"
    with wrong("tunnel.filtered", half, place="node1", breaks=BREAKS, owner="network engineer"):
        passes(LOST, counted=counts((9, 9), (9, 0)))
    with wrong("tunnel.filtered", "are lost on the way, and ping", place="node1", breaks=BREAKS, owner="network engineer"):
        passes(LOST, counted=counts(), bridges=_by("ovs_bridges", {"net1": (NET1, Table("bridge", {})), "node1": (NODE1, UNSEEN)}))


def test_what_comes_out_at_both_ends_is_not_lost_between_them():
    assert passes(LOST, counted=counts((9, 9), (9, 9))) == []


def test_where_nothing_is_put_into_a_tunnel_nothing_is_lost_in_it():
    assert passes(LOST, counted=counts((0, 0), (0, 0))) == passes(LOST, counted=counts((9, 9), (0, 0))) == []


@pytest.mark.parametrize(("answers", "more"), [
    ({AT_TAP: ANSWERED, FROM_AGENT: ANSWERED, PING: silent()}, {}),
    ({AT_TAP: silent(), FROM_AGENT: silent()}, {}),
    (LOST, {"way": OvsWay("tap5252aaaa-1f", "br-int", OvsTrace((Step("br-int", 24, "priority 0"),), ()))}),
    (LOST, {"text": TEXT.replace("tun_id=0x11171", "tun_id=0x999")}),
], ids=["something passes", "the guest is silent", "its node drops it", "its node does not take the key"])
def test_what_another_check_names_is_left_to_it(answers, more):
    assert passes(answers, **more) == []


def test_what_an_instance_floods_has_the_networks_key():
    def judge(way):
        return notes_of(ports.test_bridges_pass_instance, VM52, _by("ovs_ways", {VM52.name: (VM52, way)}), ALIVE, of_node("ovs_bridges", UNSEEN))

    assert judge(WAY) == []
    other = replace(WAY, out=replace(WAY.out, outputs=tuple(replace(one, tunnel=one.tunnel.replace("0x11171", "0x11179")) for one in WAY.out.outputs)))
    with wrong("ovs.drops_outbound", "does not leave in a tunnel with the key 70001", "it has the key 70009", place="node1", breaks=BREAKS):
        judge(other)
