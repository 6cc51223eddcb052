"""netchecks/platforms/neutron: which flows a network of Neutron implies, and the way of each."""

import pytest

from netchecks.models.neutron import Namespace
from netchecks.models.routes import Lookup
from netchecks.platforms.neutron.points import points_by_router
from tests.suites.openstack.neutron import routed
from tests.suites.openstack.neutron import test_distributed as distributed
from tests.suites.openstack.neutron.given import INVENTORY, NET_A, TENANT, UNSEEN, VM42, VM44, WORLD, A, _by, flow_of
from tests.suites.vmhost.given import world_of


def way(name):
    return [(hop.name, hop.place) for hop in WORLD.hops(flow_of(name))]


def about(name, hop, place):
    return next(one.about for one in WORLD.hops(flow_of(name)) if (one.name, one.place) == (hop, place))


def test_a_vm_is_asked_at_its_tap_from_the_agents_namespace_and_from_outside():
    assert [flow.name for flow in WORLD.flows if flow.interface == VM42] == [
        "node1-to-vm42-arp-ipv4",
        "net1-dhcp-to-vm42-icmp-ipv4", "net1-dhcp-to-vm42-icmp-full-ipv4", "net1-dhcp-to-vm42-tcp22-ipv4", "net1-dhcp-to-vm42-arp-ipv4",
        "controller-to-vm42-icmp-ipv4", "controller-to-vm42-icmp-full-ipv4", "controller-to-vm42-tcp22-ipv4",
    ]


def test_behind_a_router_a_fixed_address_is_not_asked_for_from_outside():
    router = "router: {id: 3c9e1f7a-5b60-4d2e-8a17-0f4c2d9b6e31, nodes: [net1]}"
    text = INVENTORY.replace("segmentation_id: 3933}", f"segmentation_id: 3933, {router}}}").replace("10.19.43.142],", "10.19.43.142], floating: [203.0.113.52],")
    asked = [flow.name for flow in world_of(text).flows if flow.source.name == "controller" and flow.network.name == "net-a"]
    assert asked == ["controller-to-vm42-floating-icmp", "controller-to-vm42-floating-tcp22"]


def test_gateways_are_asked_from_the_namespace_and_out_of_each_nic_with_the_tag():
    found = {flow.name: (flow.namespace, flow.at_uplink) for flow in WORLD.flows if flow.interface is None and flow.network == NET_A}
    assert found == {
        "net1-dhcp-to-gateway-net-a-arp-ipv4": (f"qdhcp-{A}", False), "net1-dhcp-to-gateway-net-a-icmp-ipv4": (f"qdhcp-{A}", False),
        "net1-to-gateway-net-a-arp-ipv4": ("", True), "node1-to-gateway-net-a-arp-ipv4": ("", True),
        "node2-to-gateway-net-a-arp-ipv4": ("", True), "node1-to-net-a-dhcp-ipv4": ("", True), "node2-to-net-a-dhcp-ipv4": ("", True),
    }


def test_what_is_sent_is_said_with_where_from():
    assert flow_of("net1-dhcp-to-vm42-icmp-ipv4").asker == f"net1 in qdhcp-{A}"
    assert flow_of("controller-to-vm42-icmp-ipv4").asker == "controller"


INTO_NODE1 = [("uplink", "node1"), ("switch", "node1"), ("provider", "node1"), ("patch", "node1"), ("integration", "node1")]


@pytest.mark.parametrize(("name", "expected"), [
    ("node1-to-vm42-arp-ipv4", [("sender", "node1"), ("tap", "node1"), ("guest", "vm42")]),
    ("node1-to-gateway-net-a-arp-ipv4", [("sender", "node1"), ("uplink", "node1"), ("fabric", "net-a"), ("gateway", "net-a")]),
    ("controller-to-vm42-icmp-ipv4", [
        ("sender", "controller"), ("gateway", "net-a"), ("fabric", "net-a"), *INTO_NODE1, ("tap", "node1"), ("guest", "vm42"),
    ]),
    ("net1-dhcp-to-vm42-icmp-ipv4", [
        ("sender", "net1"), ("namespace", "net1"), ("integration", "net1"), ("patch", "net1"), ("provider", "net1"), ("switch", "net1"),
        ("uplink", "net1"), ("fabric", "net-a"), *INTO_NODE1, ("tap", "node1"), ("guest", "vm42"),
    ]),
    ("net1-dhcp-to-gateway-net-a-icmp-ipv4", [
        ("sender", "net1"), ("namespace", "net1"), ("integration", "net1"), ("patch", "net1"), ("provider", "net1"), ("switch", "net1"),
        ("uplink", "net1"), ("fabric", "net-a"), ("gateway", "net-a"),
    ]),
    ("node1-to-net-a-dhcp-ipv4", [
        ("sender", "node1"), ("uplink", "node1"), ("fabric", "net-a"), ("uplink", "net1"), ("switch", "net1"), ("provider", "net1"),
        ("patch", "net1"), ("integration", "net1"), ("namespace", "net-a"), ("dhcp", "net-a"),
    ]),
])
def test_the_way_of_each_flow(name, expected):
    assert way(name) == expected


def test_what_a_node_asks_out_of_its_nic_is_a_state_of_its_nic():
    asked = ("flow", "node1-to-gateway-net-a-arp-ipv4")
    assert asked in about("controller-to-vm42-icmp-ipv4", "uplink", "node1")
    assert asked not in about("net1-dhcp-to-vm42-icmp-ipv4", "uplink", "net1")


def test_what_is_judged_of_a_flow_by_a_hop_is_judged_at_the_vms_node():
    name = "net1-dhcp-to-vm42-icmp-ipv4"
    assert ("flow", name) in about(name, "uplink", "node1")
    assert ("flow", name) not in about(name, "uplink", "net1")


def test_flows_say_what_their_way_has_to_carry():
    assert "switched" not in flow_of("node1-to-vm42-arp-ipv4").needs
    assert {"switched", "uplink"} <= flow_of("controller-to-vm42-icmp-ipv4").needs
    assert {"switched", "uplink", "from_agent"} <= flow_of("net1-dhcp-to-vm44-icmp-ipv4").needs
    assert VM44.node.name == "node2"


def test_of_a_tenant_network_nobody_asks_gateways_or_in_a_vlan():
    assert [flow.name for flow in WORLD.flows if flow.network == TENANT] == []


def test_what_is_asked_out_of_a_nic_says_nothing_of_the_bridge_that_the_nic_is_in():
    name = "node1-to-net-a-dhcp-ipv4"
    assert ("node", "node1") not in about(name, "uplink", "node1")
    assert {("link", "node1:eth1"), ("flow", name)} <= about(name, "uplink", "node1")
    assert ("node", "net1") in about(name, "uplink", "net1")


# -- routers -----------------------------------------------------------------------------------------------------------


def routed_hops(name, world=routed.ALONE):
    return world.hops(next(flow for flow in world.flows if flow.name == name))


def routed_way(name, world=routed.ALONE):
    return [(hop.name, hop.place) for hop in routed_hops(name, world)]


def test_a_floating_address_is_asked_from_outside():
    found = [flow for flow in routed.WORLD.flows if flow.translated is not None]
    assert [flow.name for flow in found] == ["controller-to-vm52-floating-icmp", "controller-to-vm52-floating-tcp22"]
    assert {(str(flow.target), str(flow.translated), flow.external) for flow in found} == {("203.0.113.52", "10.20.0.152", routed.PUBLIC)}
    assert found[0].needs >= {"floating", "routed", "switched", "uplink"}


def test_its_way_goes_in_by_the_external_network_through_the_router_and_out_in_the_tenants():
    outside = [("uplink", "net1"), ("switch", "net1"), ("provider", "net1"), ("patch", "net1"), ("integration", "net1")]
    inside = [("integration", "net1"), ("tunnel", "net1"), ("switch", "net1"), ("uplink", "net1")]
    at_vm = [("uplink", "node1"), ("switch", "node1"), ("tunnel", "node1"), ("integration", "node1"), ("tap", "node1"), ("guest", "vm52")]
    assert routed_way("controller-to-vm52-floating-icmp") == [
        ("sender", "controller"), ("gateway", "public"), ("fabric", "public"), ("floating", "public"), *outside, ("router", "net1"), *inside, ("fabric", "tenant"), *at_vm,
    ]


def test_states_of_the_external_network_are_states_of_that_way_and_its_own_failure_is_one_at_the_vm_alone():
    way = routed_hops("controller-to-vm52-floating-icmp")
    uplinks = [hop.about for hop in way if hop.name == "uplink"]
    assert [{("network", "public"), ("node", "net1"), ("link", "net1:eth2")} <= about for about in uplinks] == [True, False, False]
    assert [("flow", "controller-to-vm52-floating-icmp") in about for about in uplinks] == [False, False, True]


def test_of_several_routers_any_may_work_so_what_is_around_them_comes_after_what_every_packet_passes():
    hops = routed_hops("controller-to-vm52-floating-icmp", routed.WORLD)
    (router,) = (hop.about for hop in hops if hop.name == "router")
    assert router >= {("virtual_router", "tenant@net1"), ("virtual_router", "tenant@net2"), ("interface", "vm52")}
    assert [hop.place for hop in hops if hop.name in {"uplink", "tap", "guest"}] == ["node1", "node1", "net1", "net1", "net2", "net2", "vm52"]
    assert [sorted(name for kind, name in hop.about if kind == "network") for hop in hops if hop.name == "uplink"] == [
        ["tenant"], ["public"], ["tenant"], ["public"], ["tenant"],
    ]


def test_the_gateway_of_a_network_with_a_router_is_that():
    assert [name for name, _ in routed_way("net1-dhcp-to-gateway-tenant-icmp-ipv4")][-2:] == ["router", "gateway"]


def test_a_gateway_on_another_node_is_asked_through_the_tunnel_of_that():
    elsewhere = world_of(routed.INVENTORY.replace("nodes: [net1, net2]}}", "nodes: [net2]}}"))
    inside = [("uplink", "net2"), ("switch", "net2"), ("tunnel", "net2"), ("integration", "net2")]
    way = routed_way("net1-dhcp-to-gateway-tenant-icmp-ipv4", elsewhere)
    assert way[way.index(("fabric", "tenant")) + 1:] == [*inside, ("router", "net2"), ("gateway", "tenant")]
    several = routed_way("net1-dhcp-to-gateway-tenant-icmp-ipv4", routed.WORLD)
    assert several[several.index(("fabric", "tenant")) + 1:] == [("router", "net1"), *inside, ("gateway", "tenant")]


def test_which_tunnel_a_packet_goes_into_is_a_state_of_where_it_is_sent_from():
    name = "net1-dhcp-to-vm52-icmp-ipv4"
    told = {(hop.name, hop.place): ("flow", name) in hop.about for hop in routed_hops(name)}
    assert told["tunnel", "net1"]
    assert told["tunnel", "node1"]
    assert not told["switch", "net1"]


def test_a_packet_for_a_floating_address_is_looked_for_inside_the_router():
    unseen = {"net1": routed.NET1, "node1": routed.NODE1}
    flow = routed.flow_of("controller-to-vm52-floating-icmp")
    nowhere = {name: _by(name, {node: (subject, UNSEEN) for node, subject in unseen.items()}) for name in ("links", "domains", "ovs_bridges")}
    lookups = _by("route_lookups", {flow.name: (flow, Lookup("unicast", "eth0", "10.20.200.1", "10.20.200.2"))})


    def points(inside):
        spaces = routed.by_router("router_namespaces", inside)
        return points_by_router(flow, nowhere["links"], nowhere["domains"], lookups, nowhere["ovs_bridges"], spaces)

    assert [(point.place, point.hop, point.device, point.namespace) for point in points(routed.INSIDE)] == [
        ("controller", "sender", "eth0", ""), ("net1", "uplink", "eth2", ""), ("net1", "router", routed.LEG, routed.ON_NET1.namespace),
        ("net1", "uplink", "eth1", ""), ("node1", "uplink", "eth1", ""), ("node1", "tap", "", ""),
    ]
    assert [point.hop for point in points(Namespace(exists=False))] == ["sender", "uplink", "tap"]


# -- distributed routers -------------------------------------------------------------------------------------------------


def test_of_a_distributed_router_a_floating_address_comes_by_the_instances_own_node():
    outside = [("uplink", "node1"), ("switch", "node1"), ("provider", "node1"), ("patch", "node1"), ("integration", "node1")]
    assert routed_way("controller-to-vm52-floating-icmp", distributed.WORLD) == [
        ("sender", "controller"), ("gateway", "public"), ("fabric", "public"), ("floating", "public"), *outside, ("router", "node1"), ("switch", "node1"),
        ("integration", "node1"), ("tap", "node1"), ("guest", "vm52"),
    ]
    flow = next(flow for flow in distributed.WORLD.flows if flow.name == "controller-to-vm52-floating-icmp")
    assert "uplink" not in flow.needs
    (router,) = (hop.about for hop in distributed.WORLD.hops(flow) if hop.name == "router")
    assert ("virtual_router", "tenant@node1") in router
    assert ("virtual_router", "tenant@net1") not in router


def test_a_namespace_asks_the_part_of_its_own_node_for_the_gateway():
    assert routed_way("net1-dhcp-to-gateway-tenant-icmp-ipv4", distributed.WORLD) == [
        ("sender", "net1"), ("namespace", "net1"), ("switch", "net1"), ("integration", "net1"), ("router", "net1"), ("gateway", "tenant"),
    ]


def test_where_the_external_network_is_not_on_the_instances_node_it_comes_by_one_that_it_is_on():
    hops = [hop for hop in routed_hops("controller-to-vm52-floating-icmp", distributed.CENTRAL) if hop.name == "router"]
    assert {name for kind, name in hops[0].about if kind == "virtual_router"} == {"tenant@net1"}


def test_a_routers_own_node_does_not_ask_for_it_out_of_its_nic():
    router = "router: {id: 3c9e1f7a-5b60-4d2e-8a17-0f4c2d9b6e31, nodes: [net1]}"
    found = world_of(INVENTORY.replace("segmentation_id: 3933}", f"segmentation_id: 3933, {router}}}")).flows
    assert {flow.source.name for flow in found if flow.at_uplink and flow.protocol == "arp" and flow.network.name == "net-a"} == {"node1", "node2"}


def test_a_network_of_another_tenant_with_the_same_addresses_is_none_outside():
    other = routed.INVENTORY.replace("networks:", """networks:
  other:
    kind: neutron
    uplink: eth1
    nodes: [net1, node1]
    neutron: {id: 11111111-2222-4333-8444-555566667777, type: vxlan, segmentation_id: 9, router: {id: 22222222-2222-4333-8444-555566667777, nodes: [net1]}}
    subnets: [{cidr: 203.0.113.0/24}]""")
    flow = next(flow for flow in world_of(other).flows if flow.translated is not None)
    assert flow.external.name == "public"
