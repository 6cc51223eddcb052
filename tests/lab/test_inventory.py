"""The generated inventory says what is built."""

from pathlib import Path

import pytest
import yaml

from netchecks.lab.inventory import inventory
from netchecks.lab.state import State
from netchecks.lab.topology import load

TOPOLOGY = load("vmhost-switching")


def generated(*, rooted, overlays=()):
    return yaml.safe_load(inventory(State(Path("/s/t1"), "t1", "vmhost-switching", rooted), TOPOLOGY, overlays))


def test_rooted_nodes_are_reached_by_ssh():
    data = generated(rooted=True)
    assert data["defaults"]["node"] == {"connection": "ssh", "user": "lab", "sudo": True, "ssh_config": "/s/t1/ssh_config"}
    assert data["nodes"]["node1"]["address"] == "10.99.0.11"
    assert data["nodes"]["node1"]["services"] == ["ssh"]
    platform = {"name": "vm_box", "prefix": ["ip", "netns", "exec", "nc-t1-vm_box"]}
    assert data["nodes"]["controller"] == {"connection": "local", "roles": ["controller"], "sudo": False, "platform": platform}


def test_rootless_nodes_are_network_namespaces():
    data = generated(rooted=False)
    assert data["defaults"]["node"] == {"connection": "netns", "sudo": False}
    assert data["nodes"]["node2"]["address"] == "nc-t1-node2"
    assert "services" not in data["nodes"]["node2"]


def test_a_vm_is_declared_as_it_is_built():
    vm42 = generated(rooted=True)["vms"]["vm42"]
    assert vm42 == {
        "node": "node1", "domain": "vm42", "tcp": [22, 8080], "guest": {"connection": "netns", "address": "nc-t1-vm42"}, "names": ["gw.lab.test"],
        "interfaces": [{"network": "lan", "mac": "52:54:00:00:00:42", "tap": "vm42_net0", "addresses": ["10.20.0.142", "fd20::142"]}],
    }


def test_an_overlay_changes_only_what_it_names():
    data = generated(rooted=True, overlays=[{"vms": {"vm43": {"runs": False}}}, {"networks": {"lan": {"resolvers": ["10.20.0.53"]}}}])
    assert data["vms"]["vm43"]["runs"] is False
    assert data["vms"]["vm43"]["node"] == "node1"
    assert data["networks"]["lan"]["resolvers"] == ["10.20.0.53"]
    assert data["networks"]["lan"]["bridge"] == "br0"


@pytest.mark.parametrize("name", ["vmhost-switching", "vmhost-routing", "vmhost-fabric", "vmhost-fabric-ospf"])
def test_the_published_inventory_is_the_generated_one(name):
    published = (Path(__file__).parents[2] / f"inventories/lab/{name}.yaml").read_text()
    topology = load(name)
    made = inventory(State(Path(), "demo", name, rooted=topology.needs == "rooted"), topology)
    assert published.partition("version:")[2] == made.partition("version:")[2]


def test_a_router_is_declared_with_its_role_and_the_routes_that_a_node_shall_have():
    topology = load("vmhost-routing")
    nodes = yaml.safe_load(inventory(State(Path("/s/t1"), "t1", "vmhost-routing", rooted=True), topology))["nodes"]
    assert nodes["router"]["roles"] == ["router"]
    assert nodes["node1"]["routes"] == [{"to": "10.50.0.0/24", "dev": "br1"}, {"to": "fd50::/64", "dev": "br1"}]
    assert "routes" not in nodes["node2"]
