"""netchecks/platforms/vmhost_routed.py: which flows a routed network implies, and the way of each."""

import pytest

from netchecks.models.subjects import Flow, Interface, Node
from netchecks.taps import tap_of
from tests.suites.node.given import by
from tests.suites.vmhost.given import world_of
from tests.suites.vmhost.routed import (
    CONTROLLER,
    NODE1,
    NODE2,
    POOL,
    ROUTER,
    TAPS,
    VM42,
    VM43,
    VM60,
    WORLD,
    flow_to,
)


def way(flow):
    return [(hop.name, hop.place) for hop in WORLD.hops(flow)]


def test_a_vm_is_asked_by_its_node_and_from_outside():
    assert [flow.name for flow in WORLD.flows if flow.interface == VM42 and flow.family == 4] == [
        "node1-to-vm42-arp-ipv4", "node1-to-vm42-icmp-ipv4", "node1-to-vm42-icmp-full-ipv4", "node1-to-vm42-tcp22-ipv4",
        "controller-to-vm42-icmp-ipv4", "controller-to-vm42-icmp-full-ipv4", "controller-to-vm42-tcp22-ipv4",
    ]


def test_nobody_is_asked_for_gateways_or_for_vms_that_are_off():
    assert [flow for flow in WORLD.flows if flow.interface is None or flow.interface == VM43] == []


def test_the_way_from_outside_to_a_routed_vm():
    assert way(flow_to(VM42)) == [
        ("sender", "controller"), ("router", "router"), ("fabric", "pool"), ("uplink", "node1"), ("node", "node1"), ("bridge", "node1"),
        ("tap", "node1"), ("guest", "vm42"),
    ]


def test_the_way_from_outside_into_a_fabric():
    assert way(flow_to(VM60)) == [
        ("sender", "controller"), ("announcer", "node1"), ("router", "router"), ("fabric", "fabric"), ("uplink", "node1"), ("node", "node1"),
        ("tap", "node1"), ("guest", "vm60"),
    ]


def test_the_node_itself_needs_no_fabric():
    assert way(flow_to(VM42, source=NODE1)) == [("sender", "node1"), ("node", "node1"), ("bridge", "node1"), ("tap", "node1"), ("guest", "vm42")]
    assert way(flow_to(VM60, source=NODE1)) == [("sender", "node1"), ("announcer", "node1"), ("node", "node1"), ("tap", "node1"), ("guest", "vm60")]


@pytest.mark.parametrize(("source", "needs", "lacks"), [
    (CONTROLLER, {"routed", "uplink", "ipv4", "unicast"}, {"own_bridge"}), (NODE1, {"own_bridge", "ipv4", "unicast"}, {"routed", "uplink"}),
])
def test_what_a_flow_needs(source, needs, lacks):
    flow = flow_to(VM42, source=source)
    assert needs <= flow.needs
    assert not lacks & flow.needs


def test_another_node_sends_by_its_own_uplink():
    world = world_of("""
version: 1
nodes: {node1: {}, node2: {}, spine: {roles: [router]}}
networks: {pool: {kind: routing, bridge: br0, uplink: eth0, probe_from: [node2], subnets: [{cidr: 10.40.0.0/24}]}}
vms: {vm1: {node: node1, interfaces: [{network: pool, mac: "52:54:00:00:00:01", addresses: [10.40.0.1]}]}}
flows: [{from: node2, to: 10.40.0.9, icmp: true}]
""")
    flow = next(flow for flow in world.flows if flow.source.name == "node2" and flow.interface)
    assert [(hop.name, hop.place) for hop in world.hops(flow)][:4] == [("sender", "node2"), ("uplink", "node2"), ("router", "spine"), ("fabric", "pool")]
    nobody = next(flow for flow in world.flows if flow.interface is None)
    assert [hop.name for hop in world.hops(nobody)] == ["sender", "fabric", "gateway"]


def test_states_of_a_hop_are_those_of_its_subjects():
    hops = {hop.name: hop.about for hop in WORLD.hops(flow_to(VM42))}
    assert ("node", "router") in hops["router"]
    assert {("interface", "vm42"), ("node", "node1"), ("link", "node1:eth0")} <= hops["uplink"]
    assert {("interface", "vm42"), ("link", "node1:br0")} <= hops["bridge"]
    assert all(("flow", flow_to(VM42).name) in about for about in hops.values())


def test_routers_are_those_of_the_role_that_are_not_on_the_network():
    assert POOL.routers == (ROUTER,)
    assert ROUTER in WORLD.related(VM42, Node)
    assert VM42 in WORLD.related(ROUTER, Interface)
    assert flow_to(VM42) in WORLD.related(ROUTER, Flow)
    assert NODE2 not in WORLD.related(VM42, Node)


@pytest.mark.parametrize(("more", "routers"), [("", ["spine"]), (", routers: []", []), (", routers: [spine, edge]", ["spine", "edge"])])
def test_routers_may_be_named(more, routers):
    world = world_of(f"""
version: 1
nodes: {{node1: {{roles: [hypervisor, router]}}, spine: {{roles: [router]}}, edge: {{roles: [host]}}}}
networks:
  pool: {{kind: routing, bridge: br0, uplink: eth0, subnets: [{{cidr: 10.40.0.0/24}}]{more}}}
  lan: {{kind: switching, bridge: br1, uplink: eth0}}
""")
    pool, lan = world.inventory.networks
    assert list(map(str, pool.routers)) == routers
    assert lan.routers == ()


def test_devices_of_an_interface():
    assert (VM42.bridge, VM42.uplink, VM60.bridge, VM60.uplink) == ("br0", "eth0", "", "eth0")
    assert tap_of(VM60, by("domains", node1=TAPS)) == "vnet60"
