"""The nova stanza of a network: what it means, and what must not contradict itself in it."""

import pytest

from netchecks import inventory
from netchecks.errors import InventoryError
from tests.suites.openstack.nova_network.given import SITE

GOOD = SITE.replace("@HOW@", "")
STANZA = "nova: {public_interface: eth0, database: {node: cloud1}}"


def load(text, tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(text)
    return inventory.load([path])


def test_shown_and_loaded_again_it_is_the_same(tmp_path):
    first = load(GOOD, tmp_path)
    second = load(inventory.show(first), tmp_path)
    assert second.networks[0].nova == first.networks[0].nova
    assert second.networks[0].dhcp == first.networks[0].dhcp
    assert [one.floating for one in second.interfaces] == [one.floating for one in first.interfaces]
    assert "password" not in inventory.show(first)


@pytest.mark.parametrize("how", ["", "multi_host: false, host: compute2, ", "manager: flat, "])
def test_shown_and_loaded_again_it_is_the_same_without_the_bridges_addresses(how, tmp_path):
    text = SITE.replace("@HOW@", how).replace(", links: {br100: {addresses: [10.0.2.1/24]}}", "").replace(", links: {br100: {addresses: [10.0.2.2/24]}}", "")
    assert "links" not in text
    first = load(text, tmp_path)
    assert load(inventory.show(first), tmp_path).networks[0].dhcp == first.networks[0].dhcp


def test_dhcp_servers_that_a_file_names_are_shown(tmp_path):
    text = GOOD.replace("uplink: eth1", "uplink: eth1\n    dhcp: {servers: [{node: compute2, addresses: [10.0.2.2]}], known_only: true}")
    first = load(text, tmp_path)
    assert [one.node.name for one in first.networks[0].dhcp.servers] == ["compute2"]
    assert load(inventory.show(first), tmp_path).networks[0].dhcp == first.networks[0].dhcp


@pytest.mark.parametrize(("stanza", "words"), [
    ("nova: {multi_host: false, public_interface: eth0}", "found no host of a network without multi_host"),
    ("nova: {multi_host: false, host: cloud1, public_interface: eth0}", "expected one of its nodes: compute1, compute2"),
    ("nova: {host: compute1, public_interface: eth0}", "of a network with multi_host, expected one of the two"),
    ("nova: {manager: vlan, public_interface: eth0}", "has no 'vlan', expected one with VlanManager"),
    ("nova: {manager: vlans, public_interface: eth0}", "expected one of flat-dhcp, flat, vlan; did you mean 'vlan'?"),
    ("nova: {}", "expected 'public_interface' in the nova stanza"),
    ("nova: {public_interface: eth0, database: {}}", "found none, expected one place for the credentials"),
    ("nova: {public_interface: eth0, database: {node: cloud1, environment: X, address: d}}", "found node and environment, expected one place"),
    ("nova: {public_interface: eth0, database: {node: cloud9}}", "found the node 'cloud9'"),
    ("nova: {public_interface: eth0, database: {environment: X}}", "found no address of the database"),
    ("nova: {public_interface: eth0, database: {node: cloud1, password: x}}", "found the field 'password'"),
])
def test_a_mistake_in_the_stanza_is_told(stanza, words, tmp_path):
    with pytest.raises(InventoryError) as raised:
        load(GOOD.replace(STANZA, stanza), tmp_path)
    assert words in str(raised.value)


@pytest.mark.parametrize(("floating", "words"), [
    ('["2001:db8::30"]', "no others are translated"), ("[203.0.113.31]", "which 'vm42' has at"), ("[203.0.113.30/32]", "without a prefix length"),
])
def test_a_mistake_in_a_floating_address_is_told(floating, words, tmp_path):
    with pytest.raises(InventoryError) as raised:
        load(GOOD.replace("[203.0.113.30]", floating) if "31" not in floating else GOOD.replace("[203.0.113.31]", "[203.0.113.30]"), tmp_path)
    assert words in str(raised.value)


def test_other_kinds_have_neither_the_stanza_nor_floating_addresses(tmp_path):
    with pytest.raises(InventoryError) as raised:
        load(GOOD.replace("kind: nova-network", "kind: switching"), tmp_path)
    assert "found 'nova' of a network of the kind 'switching'" in str(raised.value)
    assert "found a floating address on 'private'" in str(raised.value)


def test_a_network_without_dhcp_has_no_dnsmasq(tmp_path):
    made = load(GOOD.replace("nova: {public", "nova: {manager: flat, public"), tmp_path)
    assert made.networks[0].dhcp is None


def test_an_option_file_is_seen_from_the_file_that_names_it(tmp_path):
    made = load(GOOD.replace("{node: cloud1}", "{option_file: my.cnf}"), tmp_path)
    assert made.networks[0].database.value == str(tmp_path / "my.cnf")
