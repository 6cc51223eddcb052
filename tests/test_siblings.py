"""netchecks/siblings.py: who stands beside a check's subjects."""

from typing import Any

import pytest

from netchecks.siblings import sibling_of, with_siblings
from netchecks.world import KINDS, combinations
from tests.suites.vmhost.given import world_of

SITE = """
version: 1
nodes:
  controller: {connection: local, roles: [controller]}
  node1: {links: {br0: {addresses: [10.20.0.11/24]}, eth7: {}}}
  node2: {links: {br0: {addresses: [10.20.0.12/24]}, eth7: {}}}
networks:
  lan: {kind: switching, bridge: br0, uplink: eth0, nodes: [node1, node2], subnets: [{cidr: 10.20.0.0/24, gateway: 10.20.0.1}], probe_from: [controller]}
  dmz: {kind: switching, bridge: br1, uplink: eth1, nodes: [node1], subnets: [{cidr: 10.30.0.0/24, gateway: 10.30.0.1}]}
vms:
  vm42: {node: node1, tcp: [22], interfaces: [{network: lan, mac: "52:54:00:00:00:42", addresses: [10.20.0.142]}]}
  vm43: {node: node1, tcp: [80], interfaces: [{network: lan, mac: "52:54:00:00:00:43", addresses: [10.20.0.143]}]}
  off: {node: node2, runs: false, interfaces: [{network: lan, mac: "52:54:00:00:00:46", addresses: [10.20.0.146]}]}
  vm44: {node: node2, tcp: [22], interfaces: [{network: lan, mac: "52:54:00:00:00:44", addresses: [10.20.0.144]}]}
  vm45:
    node: node1
    interfaces:
      - {network: dmz, mac: "52:54:00:00:01:45", addresses: [10.30.0.145]}
"""
WORLD = world_of(SITE)


def subject(kind: str, name: str) -> Any:
    return WORLD.named(kind, name)


def row(**names: str) -> dict[str, Any]:
    return {kind: subject(kind, name) for kind, name in names.items()}


NODE2, DMZ, VM43, VM44, OFF = subject("node", "node2"), subject("network", "dmz"), subject("vm", "vm43"), subject("vm", "vm44"), subject("vm", "off")


@pytest.mark.parametrize(("own", "beside", "expected"), [
    ({"node": "node1"}, NODE2, {"node": "node2"}),
    ({"node": "node1"}, VM44, {"node": "node2"}),
    ({"network": "lan", "node": "node1"}, NODE2, {"network": "lan", "node": "node2"}),
    ({"network": "lan", "node": "node1"}, DMZ, {"network": "dmz", "node": "node1"}),
    ({"vm": "vm42"}, VM43, {"vm": "vm43"}),
    ({"vm": "vm42"}, NODE2, {"vm": "vm44"}),
    ({"vm": "vm42", "node": "node1"}, NODE2, {"vm": "vm44", "node": "node2"}),
    ({"interface": "vm42"}, VM44, {"interface": "vm44"}),
    ({"interface": "vm42"}, DMZ, {"interface": "vm45"}),
    ({"link": "node1:br0"}, NODE2, {"link": "node2:br0"}),
    ({"link": "node1:eth7"}, NODE2, {"link": "node2:eth7"}),
    ({"flow": "node1-to-vm42-arp-ipv4"}, VM43, {"flow": "node1-to-vm43-arp-ipv4"}),
    ({"flow": "node1-to-vm42-arp-ipv4"}, NODE2, {"flow": "node2-to-vm44-arp-ipv4"}),
    ({"flow": "controller-to-vm42-tcp22-ipv4"}, VM44, {"flow": "controller-to-vm44-tcp22-ipv4"}),
    ({"flow": "node1-to-gateway-lan-arp-ipv4"}, NODE2, {"flow": "node2-to-gateway-lan-arp-ipv4"}),
    ({"flow": "node1-to-gateway-lan-arp-ipv4"}, DMZ, {"flow": "node1-to-gateway-dmz-arp-ipv4"}),
])
def test_the_same_check_of_another(own, beside, expected):
    found = sibling_of(row(**own), beside, WORLD)
    assert found is not None
    assert {kind: one.name for kind, one in found.items()} == expected


@pytest.mark.parametrize(("own", "beside"), [
    ({"node": "node2"}, NODE2),
    ({"node": "node1"}, DMZ),
    ({"vm": "vm44"}, VM44),
    ({"vm": "vm42"}, OFF),
    ({"network": "lan", "node": "node2"}, DMZ),
    ({"flow": "controller-to-vm42-tcp22-ipv4"}, VM43),
    ({"link": "node1:eth1"}, VM43),
    ({"vm": "vm45"}, NODE2),
    ({"interface": "vm45"}, VM43),
])
def test_where_there_is_none(own, beside):
    assert sibling_of(row(**own), beside, WORLD) is None


def test_every_subject_of_a_site_has_a_sibling_of_its_own_kind_or_none():
    for kind in set(KINDS) - {"access", "dhcp_server"}:
        for own in combinations(WORLD, frozenset({kind})):
            for beside in (NODE2, DMZ, VM43):
                found = sibling_of(own, beside, WORLD)
                assert found is None or (type(found[kind]) is type(own[kind]) and found[kind] is not own[kind])


def test_only_siblings_of_what_is_chosen_are_judged_too():
    rows = combinations(WORLD, frozenset({"interface"}))
    chosen = [one for one in rows if one["interface"].name == "vm42"]
    assert [one["interface"].name for one in with_siblings(chosen, rows, (VM44,), WORLD)] == ["vm42", "vm44"]
    assert with_siblings(chosen, rows, (), WORLD) == chosen
    assert with_siblings(chosen, chosen, (VM44,), WORLD) == chosen, "what a check does not apply to is no sibling"
