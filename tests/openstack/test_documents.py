"""What the client prints becomes the same values, in the forms of its releases."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network

import pytest

from netchecks.errors import Unreadable
from netchecks.openstack import documents as reading
from tests.openstack.given import LAB, TENANT, documents

A, SUBNET = "0879fde8-02d6-443a-b370-a5168d81d415", "7a1b1c9e-4f0d-4a55-9d43-5f0c8a1d43a0"


@pytest.mark.parametrize("path", [LAB, TENANT], ids=lambda path: path.stem)
def test_everything_recorded_can_be_read(path):
    read = {"network list": reading.listed, "port list": reading.listed, "subnet list": reading.subnet, "network agent": reading.agent}
    read |= {"security group": reading.rule, "floating ip": reading.floating}
    shown = {"network show": reading.network, "port show": reading.port, "server show": reading.server}
    for words, document in documents(path).items():
        kind = " ".join(words.split()[:2])
        if kind in shown:
            assert shown[kind](reading.one(json.dumps(document))).id == words.split()[-1]
        else:
            assert len([read[kind](row) for row in reading.rows(json.dumps(document))]) == len(document)


def test_a_network_of_a_vlan_is_read():
    row = documents()[f"network show {A}"]
    assert reading.network(row) == reading.Network(A, "net-a", "vlan", "physnet1", 3933, 1500)


def test_a_tunnel_has_no_physical_network_and_a_flat_network_no_segment():
    known = [reading.network(row) for words, row in documents(TENANT).items() if words.startswith("network show")]
    assert [(one.type, one.physical_network, one.segment) for one in known] == [("vxlan", "", 4711), ("flat", "physnet9", 0)]


#: As of python-openstackclient 3.14 (utils.format_list_of_dicts, format_list; its subnet list had the column names of today).
OLD_PORT = {
    "id": "4242c9d1-7ab0-4e0c-9f3e-8b1d2c3e4f42", "network_id": A, "mac_address": "FA:16:3E:00:00:42", "device_id": "d", "device_owner": "compute:nova",
    "fixed_ips": f"ip_address='10.19.43.142', subnet_id='{SUBNET}'\nip_address='fd19::142', subnet_id='x'", "binding_host_id": "node1",
    "binding_vif_type": "ovs", "binding_vnic_type": "normal", "admin_state_up": "UP", "port_security_enabled": True, "security_group_ids": "g1, g2",
}


@pytest.mark.parametrize("wrap", [
    lambda row: row,
    lambda row: [{"Field": name, "Value": value} for name, value in row.items()],
    lambda row: {name.replace("binding_", "binding:"): value for name, value in row.items()},
], ids=["3.14", "fields and values", "colons"])
def test_a_port_of_an_older_release_is_read(wrap):
    port = reading.port(reading.one(json.dumps(wrap(OLD_PORT))))
    assert (port.mac, port.addresses) == ("fa:16:3e:00:00:42", (ip_address("10.19.43.142"), ip_address("fd19::142")))
    assert (port.host, port.vif, port.up, port.filtered, port.groups) == ("node1", "ovs", True, True, ("g1", "g2"))


@pytest.mark.parametrize(("gateway", "dhcp", "servers"), [("10.0.0.1", "True", "10.0.0.2, 10.0.0.3"), ("10.0.0.1", True, ["10.0.0.2", "10.0.0.3"])])
def test_a_subnet_of_any_release_is_read(gateway, dhcp, servers):
    row = {"ID": "s", "Network": A, "Subnet": "10.0.0.0/24", "DHCP": dhcp, "Name Servers": servers, "Gateway": gateway}
    resolvers = (ip_address("10.0.0.2"), ip_address("10.0.0.3"))
    assert reading.subnet(row) == reading.Subnet("s", A, ip_network("10.0.0.0/24"), ip_address("10.0.0.1"), True, resolvers)


@pytest.mark.parametrize("none", [None, "None", ""])
def test_a_subnet_without_a_gateway_has_none(none):
    row = {"ID": "s", "Network": A, "Subnet": "10.0.0.0/24", "DHCP": False, "Name Servers": [], "Gateway": none}
    assert reading.subnet(row).gateway is None


@pytest.mark.parametrize(("alive", "expected"), [(True, True), (":-)", True), (False, False), ("XXX", False)])
def test_an_agent_is_alive_or_not(alive, expected):
    assert reading.agent({"Agent Type": "DHCP agent", "Host": "net1", "Alive": alive}).alive is expected


@pytest.mark.parametrize(("row", "expected"), [
    ({"IP Protocol": None, "Ethertype": "IPv6", "IP Range": "::/0"}, (6, True, True)),
    ({"IP Protocol": "icmp", "IP Range": None, "Port Range": "type=8:code=0", "Remote Security Group": None}, (4, True, True)),
    ({"IP Protocol": "icmp", "Ethertype": "IPv4", "IP Range": "0.0.0.0/0", "Port Range": "8:0"}, (4, True, True)),
    ({"IP Protocol": "icmp", "Ethertype": "IPv4", "IP Range": "0.0.0.0/0", "Port Range": "type=3"}, (4, False, True)),
    ({"IP Protocol": "ipv6-icmp", "Ethertype": "IPv6", "IP Range": "fd00::/8", "Port Range": ""}, (6, True, False)),
    ({"IP Protocol": "tcp", "Ethertype": "IPv4", "IP Range": "0.0.0.0/0", "Port Range": "22:22"}, (4, False, True)),
    ({"IP Protocol": None, "Ethertype": "IPv4", "IP Range": "0.0.0.0/0", "Remote Security Group": "g1"}, (4, True, False)),
])
def test_a_rule_lets_ping_in_or_not(row, expected):
    rule = reading.rule(row)
    assert (rule.family, rule.ping, rule.anybody) == expected


@pytest.mark.parametrize(("read", "text"), [
    (reading.rows, "openstack: 'network' is not an openstack command"), (reading.rows, "{}"), (reading.rows, "[1]"), (reading.one, "[]x"),
    (reading.one, "3"), (reading.one, "[" * 100_000), (reading.rows, ""),
])
def test_what_is_no_document_is_unreadable(read, text):
    with pytest.raises(Unreadable):
        read(text)


@pytest.mark.parametrize("change", [
    {"id": ""}, {"network_id": None}, {"fixed_ips": "10.0.0.1"}, {"fixed_ips": [{"ip": "10.0.0.1"}]}, {"fixed_ips": [{"ip_address": "x"}]},
    {"admin_state_up": "perhaps"},
])
def test_a_port_that_lacks_something_is_unreadable(change):
    with pytest.raises(Unreadable):
        reading.port(OLD_PORT | change)
