"""What an inventory becomes: connections, references, defaults, several files, and back to YAML."""

import dataclasses
import os
from functools import partial
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path

import pytest
import testinfra.backend
import yaml

from netchecks.errors import InventoryError
from netchecks.inventory import default_path, load, show
from netchecks.inventory.fields import BACKENDS
from netchecks.models.subjects import Connection, DeclaredLink, DeclaredRoute, DeclaredThroughput, Inventory
from tests.calls import calls_of

ROOT = Path(__file__).parents[2]


def everything(inventory: Inventory) -> list[list[object]]:
    """Every field of every subject: subjects themselves are equal when their names are."""
    groups = (inventory.nodes, inventory.networks, inventory.vms, inventory.interfaces, inventory.flows, inventory.waivers)
    return [[getattr(one, field.name) for field in dataclasses.fields(one)] for group in groups for one in group]


def connections(inventory: Inventory) -> dict[str, Connection]:
    return {node.name: node.connection for node in inventory.nodes}


def test_a_node_is_reached_by_ssh_under_its_own_name_unless_it_says_otherwise(read):
    """A missing address must never come to mean this machine."""
    found = connections(read("nodes:\n  web1:\n  web2: {address: 10.0.0.2}\n  here: {connection: local}\n  box: {connection: docker}\n"))
    assert found == {
        "web1": Connection("ssh", "web1"),
        "web2": Connection("ssh", "10.0.0.2"),
        "here": Connection("local"),
        "box": Connection("docker", "box"),
    }


def test_backends_are_those_of_testinfra_and_netns():
    assert set(BACKENDS) == {*testinfra.backend.BACKENDS, "netns"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_can_be_written(read, backend):
    assert read(f"nodes: {{a: {{connection: {backend}}}}}").nodes[0].connection.backend == backend


def test_jump_hosts_of_the_inventory_become_addresses(read):
    found = connections(read("""\
nodes:
  outer: {address: "fd00::1", user: me}
  inner: {address: 10.0.0.2, port: 2222, jump: outer}
  node: {address: 10.0.0.3, jump: inner}
  other: {address: 10.0.0.4, jump: "me@bastion.example:22"}
"""))
    assert found["inner"].jump == "me@[fd00::1]"
    assert found["node"].jump == "me@[fd00::1],10.0.0.2:2222"
    assert found["other"].jump == "me@bastion.example:22"


def test_key_files_are_found_from_the_file_that_names_them(read, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    found = connections(read("nodes:\n  a: {identity: keys/id, ssh_config: /etc/ssh/x}\n  b: {identity: ~/.ssh/id}\n"))
    assert found["a"].identity == f"{tmp_path}/keys/id"
    assert found["a"].ssh_config == "/etc/ssh/x"
    assert found["b"].identity == "/home/me/.ssh/id"


def test_a_node_has_all_it_declares(read):
    (node,) = read("""\
nodes:
  node1:
    roles: [hypervisor, router]
    links: {eth0: {speed: 10000}, br0: {addresses: [10.20.0.11/24, "fd20::11/64"]}, lo: }
    routes: [{to: default, via: 10.20.0.1}, {to: default, via: "fe80::1", dev: br0}, {to: 10.9.9.9, dev: br0}, {to: default, dev: ppp0}]
    services: [libvirtd, getty@tty1.service]
    tools: [tcpdump]
    names_inside: [gw.lab.test]
    names_outside: [www.example.org.]
    sysctl: {net.ipv4.ip_forward: 1, net.ipv4.tcp_rmem: 4096 131072 6291456, net/ipv4/conf/eth0.100/rp_filter: 0}
""").nodes
    assert node.roles == {"hypervisor", "router"}
    assert node.links == (
        DeclaredLink("eth0", (), 10000),
        DeclaredLink("br0", (ip_interface("10.20.0.11/24"), ip_interface("fd20::11/64"))),
        DeclaredLink("lo"),
    )
    assert node.routes == (
        DeclaredRoute(ip_network("0.0.0.0/0"), ip_address("10.20.0.1")),
        DeclaredRoute(ip_network("::/0"), ip_address("fe80::1"), "br0"),
        DeclaredRoute(ip_network("10.9.9.9/32"), None, "br0"),
        DeclaredRoute(ip_network("0.0.0.0/0"), None, "ppp0"),
    )
    assert (node.services, node.tools) == (("libvirtd", "getty@tty1.service"), ("tcpdump",))
    assert (node.names_inside, node.names_outside) == (("gw.lab.test",), ("www.example.org.",))
    assert dict(node.sysctl)["net.ipv4.tcp_rmem"] == "4096 131072 6291456"


def test_a_network_is_on_all_hypervisors_and_probed_from_all_controllers_unless_it_says_otherwise(read, good):
    (network,) = read(good).networks
    assert [(end.node.name, end.bridge, end.uplink) for end in network.attachments] == [("node1", "br0", "eth0"), ("node2", "br0", "eth0")]
    assert [node.name for node in network.probe_from] == ["admin"]
    assert (network.kind, network.mtu, network.vlan) == ("switching", 1500, None)
    (own,) = read(good.replace("    bridge: br0", "    nodes: [{node: node1, bridge: br1, uplink: bond0}]\n    probe_from: [node2]\n    bridge: br0")).networks
    assert [(end.node.name, end.bridge, end.uplink) for end in own.attachments] == [("node1", "br1", "bond0")]
    assert [node.name for node in own.probe_from] == ["node2"]


def test_a_gateway_may_be_off_the_subnet_where_vms_are_routed(read, good):
    text = good.replace("kind: switching", "kind: routing").replace("gateway: 10.20.0.1", "gateway: 169.254.1.1").replace("fd20::1", "fe80::1")
    assert [str(subnet.gateway) for subnet in read(text).networks[0].subnets] == ["169.254.1.1", "fe80::1"]


def test_interfaces_are_named_after_their_vm(read, good):
    assert [str(interface) for interface in read(good).interfaces] == ["vm42"]
    two = good + '      - {network: lan, mac: "52:54:00:00:00:43"}\n'
    assert [str(interface) for interface in read(two).interfaces] == ["vm42-1", "vm42-2"]


@pytest.mark.parametrize("mac", ['"52:54:00:AB:cd:01"', "52-54-00-ab-cd-01", "5254.00ab.cd01"])
def test_macs_are_normalised(read, good, mac):
    assert read(good.replace('"52:54:00:00:00:42"', mac)).interfaces[0].mac == "52:54:00:ab:cd:01"


def test_flows_go_to_every_address_by_every_protocol(read, good):
    text = good.replace("[10.20.0.142]", '[10.20.0.142, 10.20.0.143, "fd20::142"]') + """\
flows:
  - {from: admin, to: vm42, tcp: 8080, udp: [53], icmp: yes, family: 4}
  - {from: node1, to: vm42, tcp: 80, family: 6, name: web}
  - {from: node1, to: vm42, tcp: 81, name: web81}
  - {from: node2, to: 10.20.0.1, icmp: yes}
  - {from: node2, to: 10.20.0.200, udp: 53}
  - {from: node2, to: "fd20::142", icmp: yes}
"""
    flows = read(text).flows
    assert [str(flow) for flow in flows] == [
        "admin-to-vm42-icmp-ipv4", "admin-to-vm42-tcp8080-ipv4", "admin-to-vm42-udp53-ipv4",
        "admin-to-vm42-icmp-ipv4-2", "admin-to-vm42-tcp8080-ipv4-2", "admin-to-vm42-udp53-ipv4-2",
        "web",
        "web81-node1-to-vm42-tcp81-ipv4", "web81-node1-to-vm42-tcp81-ipv4-2", "web81-node1-to-vm42-tcp81-ipv6",
        "node2-to-gateway-lan-icmp-ipv4", "node2-to-lan-udp53-ipv4", "node2-to-vm42-icmp-ipv6",
    ]  # fmt: skip
    first, gateway, last = flows[0], flows[-3], flows[-1]
    assert (first.interface and first.interface.name, first.port, first.needs) == ("vm42", None, {"ipv4", "arp", "icmp", "unicast", "routed"})
    assert (gateway.interface, str(gateway.target), gateway.network.name) == (None, "10.20.0.1", "lan")
    assert (last.interface and last.interface.name, last.needs) == ("vm42", {"ipv6", "ndp", "icmp", "unicast"})


def test_a_throughput_is_measured_at_who_has_the_address(read, good, tmp_path):
    text = good.replace("    node: node1\n", "    node: node1\n    guest: {}\n").replace(
        "{address: 10.99.0.12}", "{address: 10.99.0.12, links: {br0: {addresses: [10.20.0.12/24]}}}",
    ) + """\
flows:
  - {from: node1, to: vm42, throughput: 900 Mbit/s}
  - {from: admin, to: 10.20.0.12, tcp: 22, throughput: {rate: 2.5 Gbit/s, back: 1Gbit/s, port: 5300}, name: nodes}
"""
    inventory = read(text)
    inside, port, nodes = inventory.flows
    assert [str(flow) for flow in inventory.flows] == [
        "node1-to-vm42-throughput-ipv4", "nodes-admin-to-lan-tcp22-ipv4", "nodes-admin-to-node2-throughput-ipv4",
    ]
    assert inside.throughput == DeclaredThroughput(900_000_000, inventory.vms[0].guest)
    assert (inside.port, inside.peer, inside.end_name) == (5201, None, "vm42")
    assert inside.needs == {"ipv4", "arp", "throughput", "tcp", "unicast", "own_bridge"}
    assert (port.throughput, port.transfers) == (None, ())
    assert nodes.throughput == DeclaredThroughput(2_500_000_000, inventory.nodes[2], 1_000_000_000)
    assert (nodes.port, nodes.peer, nodes.end_name, nodes.interface) == (5300, inventory.nodes[2], "node2", None)
    assert nodes.needs == {"ipv4", "arp", "throughput", "tcp", "unicast", "routed", "uplink"}
    (tmp_path / "shown.yaml").write_text(show(inventory))
    again = load([tmp_path / "shown.yaml"])
    assert [(flow.name, flow.throughput, flow.port) for flow in again.flows] == [(flow.name, flow.throughput, flow.port) for flow in inventory.flows]


def test_a_throughput_to_oneself_is_a_mistake(mistakes, good):
    text = good.replace("{address: 10.99.0.12}", "{address: 10.99.0.12, links: {br0: {addresses: [10.20.0.12/24]}}}")
    assert mistakes(text + "flows: [{from: node2, to: 10.20.0.12, throughput: 1 Mbit/s}]\n") == [
        "0:20:27: found '10.20.0.12', which is an address of 'node2' itself",
    ]


def test_defaults_lie_below_every_object_of_every_file(read):
    inventory = read(
        "defaults:\n  node: {user: ops, sudo: true, links: {eth0: {speed: 1000}}, services: [sshd], jump: b}\n",
        "defaults:\n  node: {port: 2222}\n"
        "nodes:\n  a: {links: {eth0: {addresses: [10.0.0.1/8]}, eth1: }, services: [x], sudo: no, jump: null}\n  b[1-2]: {user: me}\n",
    )
    a, first, _ = inventory.nodes
    assert a.connection == Connection("ssh", "a", "ops", 2222, "", sudo=False)
    assert a.links == (DeclaredLink("eth0", (ip_interface("10.0.0.1/8"),), 1000), DeclaredLink("eth1"))
    assert a.services == ("x",)
    assert first.connection == Connection("ssh", "b1", "me", 2222, "b", sudo=True)


def test_defaults_of_two_files_must_not_contradict(mistakes):
    assert mistakes("defaults: {node: {user: a, links: {e: {speed: 1}}}}\nnodes: {x: }\n", "defaults: {node: {user: b, links: {e: {speed: 2}}}}\n") == [
        "1:1:19: found another default for 'user', the first is at 0:1:19",
        "1:1:40: found another default for 'speed', the first is at 0:1:40",
    ]


def test_placeholders_in_defaults_are_filled_in_for_each(read):
    inventory = read("defaults: {node: {address: '10.0.0.{n}', port: '{n+22}'}}\nnodes: {'a[1-2]': , b: {address: x, port: 1}}\n")
    assert [(node.connection.address, node.connection.port) for node in inventory.nodes] == [("10.0.0.1", 23), ("10.0.0.2", 24), ("x", 1)]


def test_several_files_and_folders_are_one_inventory(tmp_path, good):
    head, vms = good.split("vms:")
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "2-vms.yml").write_text("vms:" + vms)
    (tmp_path / "inventory" / "1-nodes.yaml").write_text(head)
    (tmp_path / "inventory" / "README.md").write_text("no inventory")
    extra = tmp_path / "extra.yaml"
    extra.write_text("flows: [{from: node2, to: vm42, tcp: 80}]\n")
    inventory = load([tmp_path / "inventory", extra, extra])
    assert [Path(file).name for file in inventory.files] == ["1-nodes.yaml", "2-vms.yml", "extra.yaml"]
    assert [str(flow) for flow in inventory.flows] == ["node2-to-vm42-tcp80-ipv4"]
    assert [str(interface.network) for interface in inventory.interfaces] == ["lan"]


def test_the_same_name_in_two_files_is_a_mistake(mistakes):
    assert mistakes("nodes:\n  a: {}\n", "nodes:\n  a: {}\n") == ["1:2:3: found 'a' again, it is already at 0:2:3"]


EXAMPLES = ROOT / "inventories" / "examples"
FLEET = EXAMPLES / "fleet.yaml"


@pytest.mark.parametrize("file", [EXAMPLES.parent / "local.yaml", *sorted({*EXAMPLES.iterdir()} - {FLEET})], ids=lambda file: file.stem)
def test_what_is_shown_loads_to_the_same_inventory(file, tmp_path):
    inventory = load([file])
    shown = tmp_path / "shown.yaml"
    shown.write_text(show(inventory))
    again = load([shown])
    assert everything(again) == everything(inventory)
    assert show(again) == show(inventory)
    assert inventory.nodes


def without_links(part):
    return {name: without_links(value) for name, value in part.items() if name != "links"} if isinstance(part, dict) else part


@pytest.mark.parametrize("file", sorted(file for file in EXAMPLES.iterdir() if "links:" in file.read_text()), ids=lambda file: file.stem)
def test_what_is_shown_of_an_inventory_without_the_nodes_links_loads_too(file, tmp_path):
    path, shown = tmp_path / "site.yaml", tmp_path / "shown.yaml"
    path.write_text(yaml.safe_dump(without_links(yaml.safe_load(file.read_text())), sort_keys=False))
    inventory = load([path])
    assert not any(node.links for node in inventory.nodes)
    shown.write_text(show(inventory))
    assert everything(load([shown])) == everything(inventory)


def test_the_inventory_of_this_machine_needs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inventory = load([default_path()])
    (node,) = inventory.nodes
    assert (node.name, node.connection, node.roles) == ("local", Connection("local"), {"host"})
    assert not inventory.networks


def test_2000_vms_on_500_nodes_cost_no_more_than_their_number(tmp_path):
    fleet = FLEET.read_text()
    tenth = fleet.replace("500]", "050]").replace("498]", "048]").replace("499,050", "049,050").replace("%500", "%50").replace("1999", "199")
    cost = {}
    for vms, text in (2000, fleet), (200, tenth):
        ranges, written_out = tmp_path / f"ranges{vms}.yaml", tmp_path / f"out{vms}.yaml"
        ranges.write_text(text)
        inventory = load([ranges])
        assert (len(inventory.nodes), len(inventory.vms)) == (vms // 4 + 1, vms)
        written_out.write_text(show(inventory))
        cost[vms] = [calls_of(partial(load, [file])) for file in (ranges, written_out)]
        assert everything(load([written_out])) == everything(inventory)
    assert all(big < 12 * small for big, small in zip(cost[2000], cost[200], strict=True)), cost


def test_a_file_without_permission_is_named(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("nodes: {a: }")
    file.chmod(0)
    if os.access(file, os.R_OK):
        pytest.skip("root reads everything")
    with pytest.raises(InventoryError, match="cannot be read: Permission denied"):
        load([file])


def test_shown_yaml_is_yaml_for_everybody(read, good):
    shown = yaml.safe_load(show(read(good)))
    assert shown["vms"]["vm42"]["interfaces"] == [{"network": "lan", "mac": "52:54:00:00:00:42", "addresses": ["10.20.0.142"]}]
