"""Topologies are data: they load, and every mistake in one is named."""

import pytest

from netchecks.errors import LabError
from netchecks.lab.making import up
from netchecks.lab.topology import controller, listeners, load, names, parse

GOOD = """
version: 1
name: small
title: two places and a cable
places:
  here:
    controller: true
    interfaces:
      br0: {kind: bridge}
      eth0: {to: {place: there, name: eth0}, bridge: br0, addresses: [10.1.0.1/24]}
  there:
    node: {address: 10.1.0.2, links: [eth9]}
    interfaces:
      eth9: {to: {place: here, name: m0, bridge: br0}}
"""


@pytest.mark.parametrize("name", names())
def test_every_topology_loads(name):
    topology = load(name)
    assert topology.name == name
    assert topology.places[controller(topology)].controller


def test_the_switching_lab_is_what_the_issue_asks_for():
    topology = load("vmhost-switching")
    assert list(topology.nodes()) == ["node1", "node2"]
    assert {name: place.vm.node for name, place in topology.vms().items()} == {
        "vm42": "node1", "vm43": "node1", "vm44": "node2", "vm45": "node2",
    }
    for place in topology.vms().values():
        (eth0,) = place.interfaces.values()
        assert eth0.to.mac.startswith("fe:54:00")
        assert eth0.to.mac[3:] == eth0.mac[3:].replace("52:", "", 1)
        assert [":" in address for address in eth0.addresses] == [False, True], "both families"


def test_a_repeated_place_is_spelled_out():
    topology = load("many-nodes", 50)
    assert list(topology.nodes()) == [f"node{n}" for n in range(1, 51)]
    assert topology.places["node50"].interfaces["mgmt0"].addresses == ("10.99.1.50/16",)
    assert listeners(topology, rooted=True)[-1] == ("10.99.1.50", 22)
    assert listeners(topology, rooted=False) == []


def test_a_lab_is_up_when_its_database_is():
    assert ("10.99.0.10", 3306) in listeners(load("nova-singlehost"), rooted=True)


def test_behind_a_router_floating_addresses_alone_have_to_answer():
    asked = {address for address, _ in listeners(load("neutron-router"), rooted=True)}
    assert asked == {"10.99.0.2", "10.99.0.11", "10.99.0.12", "203.0.113.52", "203.0.113.54"}


def test_a_good_one_is_accepted():
    assert list(parse(GOOD, "small.yaml").places) == ["here", "there"]


@pytest.mark.parametrize(("old", "new", "message"), [
    ("version: 1", "version: 2", "version: Input should be 1"),
    ("title:", "titel:", "titel: Extra inputs are not permitted"),
    ("10.1.0.1/24", "10.1.0.1", "'10.1.0.1' has no prefix length"),
    ("10.1.0.1/24", "10.1.0.300/24", "places.here.interfaces.eth0.addresses.0"),
    ("{place: there, name: eth0}", "{place: nowhere, name: eth0}", "no place 'nowhere'; there are ['here', 'there']"),
    ("{place: there, name: eth0}", "{place: there, name: eth9}", "there has an interface 'eth9' already"),
    ("bridge: br0, addresses", "bridge: br1, addresses", "no bridge 'br1' in here"),
    ("name: m0, bridge: br0", "name: m0, bridge: br7", "no bridge 'br7' in here"),
    ("name: m0", "name: much-too-long-name", "is no interface name"),
    ("links: [eth9]", "links: [eth5]", "places.there.node.links: no interface 'eth5'"),
    ("controller: true", "controller: false", "exactly one place has to be the controller"),
    ("{kind: bridge}", "{kind: bridge, to: {place: there, name: x}}", "a bridge has no far end"),
    ("eth9: {to: {place: here, name: m0, bridge: br0}}", "eth9: {}", "no far end"),
    ("places:", "places: [", "small.yaml: while parsing"),
])
def test_a_mistake_is_named_with_its_place(old, new, message):
    assert old in GOOD
    with pytest.raises(LabError) as raised:
        parse(GOOD.replace(old, new, 1), "small.yaml")
    assert message in str(raised.value)
    assert "small.yaml" in str(raised.value)


def test_all_mistakes_are_named_at_once():
    text = GOOD.replace("place: there", "place: nowhere").replace("name: m0, bridge: br0", "name: m0, bridge: br7")
    with pytest.raises(LabError) as raised:
        parse(text, "small.yaml")
    assert len(str(raised.value).splitlines()) == 2


@pytest.mark.parametrize("text", ["", "[]", "42", "places: 7", "places: {a: 7}"])
def test_what_is_no_topology_is_one_readable_error(text):
    with pytest.raises(LabError, match=r"small\.yaml"):
        parse(text, "small.yaml")


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(LabError, match="vmhost-switching"):
        load("nosuch")


ROUTED = """
version: 1
name: small
title: a place with routes
needs: rooted
places:
  here:
    controller: true
    setup: "true"
    interfaces: {eth0: {to: {place: there, name: eth0}, addresses: [10.1.0.1/24]}}
    routes: [{to: 10.2.0.1/32, dev: eth0}, {to: default, via: 10.9.0.1, dev: eth0, onlink: true}]
  there: {node: {address: 10.1.0.2, roles: [router], units: [frr.service], files: {etc/frr/daemons: "bgpd=yes"}, sysctl: {net.ipv4.ip_forward: 1}}}
"""


def test_routes_by_devices_and_files_of_nodes_are_accepted():
    topology = parse(ROUTED, "small.yaml")
    assert topology.needs == "rooted"
    assert [(route.to, route.via, route.dev, route.onlink) for route in topology.places["here"].routes] == [
        ("10.2.0.1/32", "", "eth0", False), ("default", "10.9.0.1", "eth0", True),
    ]
    assert topology.places["there"].node.files == {"etc/frr/daemons": "bgpd=yes"}


@pytest.mark.parametrize("name", ["vmhost-fabric", "vmhost-fabric-ospf"])
def test_a_lab_with_routing_daemons_is_rooted_or_not_at_all(name, tmp_path):
    with pytest.raises(LabError, match="needs a rooted lab"):
        up(name, rooted=False, state_dir=tmp_path)


def test_the_setup_of_a_place_has_to_work(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(GOOD.replace("    controller: true", '    controller: true\n    setup: "echo so not >&2; false"').replace("links: [eth9]", ""))
    with pytest.raises(LabError, match="here: setup: so not"):
        up(str(path), rooted=False, state_dir=tmp_path / "labs")
