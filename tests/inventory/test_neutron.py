"""Networks of kind neutron: what Neutron knows of them is read, shown, and every near-miss is named at its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from netchecks import inventory
from netchecks.errors import InventoryError
from netchecks.models.neutron import NeutronNetwork
from netchecks.models.subjects import Inventory
from netchecks.world import build

UUID = "0879fde8-02d6-443a-b370-a5168d81d415"
TEXT = f"""\
nodes: {{net1: {{address: 10.99.0.2, roles: [network]}}, node1: {{address: 10.99.0.11}}}}
networks:
  net-a: {{kind: neutron, uplink: bond2, nodes: [net1, node1], subnets: [{{cidr: 10.19.43.0/24, gateway: 10.19.43.1}}],
    neutron: {{id: {UUID}, physical_network: physnet1, segmentation_id: 3933}}, dhcp: {{servers: [{{node: net1, addresses: [10.19.43.2]}}]}}}}
  tenant: {{kind: neutron, nodes: [net1, node1], neutron: {{id: 51c3a1d0-7e0f-4f6e-9a55-2b9d5c1f0b34, type: vxlan, segmentation_id: 70001}}}}
"""
ROUTER = "3c9e1f7a-5b60-4d2e-8a17-0f4c2d9b6e31"
ROUTED = TEXT.replace("segmentation_id: 70001}}", f"segmentation_id: 70001, router: {{id: {ROUTER}, nodes: [net1]}}}}, subnets: [{{cidr: 10.0.0.0/24}}]}}") + """\
vms:
  vm1: {node: node1, interfaces: [{network: tenant, mac: "fa:16:3e:00:00:01", addresses: [10.0.0.5], floating: [203.0.113.5]}]}
"""


def load(tmp_path: Path, text: str = TEXT) -> Inventory:
    file = tmp_path / "i.yaml"
    file.write_text(text, encoding="utf-8")
    return inventory.load([file])


def test_what_neutron_knows_is_read(tmp_path):
    vlan, tenant = load(tmp_path).networks
    assert vlan.neutron == NeutronNetwork(UUID, "vlan", "physnet1", 3933)
    assert tenant.neutron is not None
    assert (tenant.neutron.is_tunnel, tenant.neutron.segment, tenant.neutron.tunnel_bridge) == (True, 70001, "br-tun")


def test_its_dhcp_server_is_in_a_namespace(tmp_path):
    (server,) = build(load(tmp_path)).dhcp_servers
    assert (server.name, server.namespace) == ("net-a@net1", f"qdhcp-{UUID}")


def test_what_is_shown_loads_to_the_same(tmp_path):
    found = load(tmp_path)
    again = load(tmp_path, inventory.show(found))
    assert [network.neutron for network in again.networks] == [network.neutron for network in found.networks]


def test_a_router_is_a_namespace_on_each_of_its_nodes(tmp_path):
    found = load(tmp_path, ROUTED)
    (router,) = build(found).virtual_routers
    assert (router.name, router.namespace) == ("tenant@net1", f"qrouter-{ROUTER}")
    assert found.networks[1].neutron is not None
    assert (found.networks[1].neutron.router, found.networks[1].neutron.router_nodes) == (ROUTER, ("net1",))
    again = load(tmp_path, inventory.show(found))
    assert [network.neutron for network in again.networks] == [network.neutron for network in found.networks]


@pytest.mark.parametrize(("old", "new", "said"), [
    ("nodes: [net1]}}", "nodes: [net2]}}", "found the node 'net2', expected one of net1, node1; did you mean 'net1'?"),
    ("nodes: [net1]}}", "nodes: []}}", "found no nodes of the router, expected those whose L3 agents have it"),
    (f"id: {ROUTER}, ", "", "found no 'id' of the router, expected its UUID"),
    ("nodes: [net1, node1], neutron", "nodes: [node1], neutron", "found the router's node 'net1', expected nodes of the network 'tenant': node1"),
    (f", router: {{id: {ROUTER}, nodes: [net1]}}", "", "found a floating address, expected 'router' in the neutron stanza of 'tenant'"),
    ("[203.0.113.5]", '["2001:db8::5"]', "found '2001:db8::5', expected an IPv4 address: no others are translated"),
    ("[10.0.0.5], floating", "[], floating", "found a floating address of 'vm1', which has no IPv4 address that it may become"),
])
def test_a_mistake_about_a_router_is_told(tmp_path, old, new, said):
    assert old in ROUTED, old
    with pytest.raises(InventoryError) as raised:
        load(tmp_path, ROUTED.replace(old, new, 1))
    assert [str(one).split(": ", 1)[1] for one in raised.value.problems] == [said]


@pytest.mark.parametrize(("old", "new", "said"), [
    (f"id: {UUID}, ", "", "4:14: the neutron network 'net-a' has no 'id', expected its UUID"),
    ("physical_network: physnet1, ", "", "4:14: the neutron network 'net-a' is of type vlan and has no 'physical_network'"),
    (", segmentation_id: 3933", "", "4:14: the neutron network 'net-a' is of type vlan and has no 'segmentation_id'"),
    ("segmentation_id: 3933", "type: flat, segmentation_id: 3933",
     "4:114: the neutron network 'net-a' is flat and has no 'segmentation_id'"),
    ("segmentation_id: 3933", "segmentation_id: 4095",
     "4:102: the neutron network 'net-a' has the segmentation ID 4095, expected one up to 4094 for the type vlan"),
    ("segmentation_id: 3933", "segmentation_id: 0", "4:102: found '0', expected a segmentation ID from 1 to 4294967295"),
    ("segmentation_id: 3933", "type: valn, segmentation_id: 3933",
     "4:91: found 'valn', expected one of vlan, flat, vxlan, gre; did you mean 'vlan'?"),
    ("segmentation_id: 3933", "segment: 3933", (
        "4:85: found the field 'segment', expected one of id, type, physical_network, segmentation_id, bridge, integration_bridge, "
        "tunnel_bridge, router; did you mean 'segmentation_id'?")),
    (UUID, UUID.upper(), f"4:19: found '{UUID.upper()}', expected a UUID in lower case, such as that of 'openstack network show'"),
    ("uplink: bond2, ", "", (
        "3:3: the neutron network 'net-a' names no uplink on net1, node1, expected the NIC of its physical network")),
    ("uplink: bond2", "bridge: br0, uplink: bond2", (
        "3:34: found 'bridge', but the bridges of a neutron network stand under 'neutron' (bridge, integration_bridge, tunnel_bridge)")),
    ("uplink: bond2", "vlan: 3933, uplink: bond2",
     "3:32: found 'vlan', but the VLAN of a neutron network is its 'segmentation_id', under 'neutron'"),
    ("kind: neutron, uplink", "kind: routing, uplink", "4:14: found 'neutron' at the network 'net-a' of kind routing, expected kind: neutron"),
    ("segmentation_id: 70001", "physical_network: physnet1, segmentation_id: 70001",
     "5:132: the neutron network 'tenant' is of type vxlan, which has no 'physical_network'"),
    ("10.19.43.1}", "10.19.44.1}", "3:104: found '10.19.44.1', expected an address inside its subnet 10.19.43.0/24"),
])  # fmt: skip
def test_one_mistake_is_one_message(tmp_path, old, new, said):
    assert TEXT.count(old) >= 1
    with pytest.raises(InventoryError) as raised:
        load(tmp_path, TEXT.replace(old, new, 1))
    assert [str(one).removeprefix(f"{tmp_path}/i.yaml:") for one in raised.value.problems] == [said]


def test_a_network_without_its_stanza_is_named(tmp_path):
    with pytest.raises(InventoryError, match="the field 'neutron' is missing: what Neutron knows of the network"):
        load(tmp_path, TEXT[:TEXT.index(",\n    neutron")] + "}\n")
