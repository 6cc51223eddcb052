"""netchecks/platforms/neutron.py: which flows a network of Neutron implies, and the way of each."""

import pytest

from tests.suites.openstack.neutron.given import NET_A, TENANT, VM42, VM44, WORLD, A, flow_of


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
