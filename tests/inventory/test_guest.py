"""The way into a VM, as an inventory says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from netchecks import inventory
from netchecks.errors import NetchecksError
from netchecks.models.subjects import Connection, Guest, Interface

TEXT = """
nodes:
  n1: {{address: 192.0.2.1, user: ops}}
networks:
  lan: {{kind: switching, bridge: br0, uplink: eth0, subnets: [{{cidr: 198.51.100.0/24}}]}}
vms:
  vm1: {{node: n1, guest: {guest}, interfaces: [{{network: lan, mac: "52:54:00:00:00:01", addresses: [198.51.100.5]}}]}}
"""


def _guest(tmp_path: Path, text: str) -> Guest | None:
    file = tmp_path / "inventory.yaml"
    file.write_text(TEXT.format(guest=text), encoding="utf-8")
    found = inventory.load([file])
    (tmp_path / "shown.yaml").write_text(inventory.show(found), encoding="utf-8")
    again = inventory.load([tmp_path / "shown.yaml"]).vms[0].guest
    assert (again and again.connection) == (found.vms[0].guest and found.vms[0].guest.connection)
    return found.vms[0].guest


@pytest.mark.parametrize(("text", "way"), [
    ("{}", Connection("ssh", "198.51.100.5")),
    ("{user: root, jump: n1, port: 2222}", Connection("ssh", "198.51.100.5", "root", 2222, "ops@192.0.2.1")),
    ("{connection: netns, address: vm1}", Connection("netns", "vm1")),
    ("{address: vm1.example.org, sudo: true}", Connection("ssh", "vm1.example.org", sudo=True)),
    ("{os: linux}", Connection("ssh", "198.51.100.5")),
    ("{os: windows, user: Administrator}", Connection("ssh", "198.51.100.5", "Administrator", os="windows")),
])
def test_what_is_left_out_is_ssh_to_the_first_address(tmp_path: Path, text: str, way: Connection) -> None:
    guest = _guest(tmp_path, text)
    assert guest is not None
    assert (guest.name, guest.connection) == ("guest:vm1", way)


def test_without_it_nobody_enters(tmp_path: Path) -> None:
    assert _guest(tmp_path, "null") is None


@pytest.mark.parametrize(("text", "said"), [
    ("{user: 'a b'}", ":7:"),
    ("{adress: x}", "did you mean 'address'"),
    ("{address: 'x@y'}", "the user stands in the field 'user'"),
    ("{connection: local, port: 22}", "the connection is local"),
    ("{os: dos}", "expected one of linux, windows"),
])
def test_mistakes_are_told_with_their_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(NetchecksError, match=said) as told:
        _guest(tmp_path, text)
    assert "inventory.yaml:7:" in str(told.value)


SITE = """
defaults: {vm: {guest: {}}}
nodes: {n1: {links: {br0: {addresses: [198.51.100.1/24, "fd20::1/64"]}}}, n2: {}}
networks:
  lan:
    kind: switching
    bridge: br0
    subnets: [{cidr: 198.51.100.0/24, gateway: 198.51.100.254}, {cidr: "fd20::/64", gateway: "fe80::1"}]
    outside: [192.0.2.9, "2001:db8::9"]
  far: {kind: switching, bridge: br1, subnets: [{cidr: 10.0.0.0/24}]}
vms:
  vm1: {node: n1, names: [gw.example], interfaces: [{network: lan, mac: "52:54:00:00:00:01", addresses: [198.51.100.11, "fd20::11"]}]}
  vm2: {node: n1, interfaces: [{network: lan, mac: "52:54:00:00:00:02", addresses: [198.51.100.12]}]}
  vm3: {node: n2, interfaces: [{network: lan, mac: "52:54:00:00:00:03", addresses: [198.51.100.13, "fd20::13"]}]}
  vm4: {node: n2, answers_ping: false, interfaces: [{network: lan, mac: "52:54:00:00:00:04", addresses: [198.51.100.14]}]}
  vm5: {node: n2, runs: false, interfaces: [{network: lan, mac: "52:54:00:00:00:05", addresses: [198.51.100.15]}]}
  vm6: {node: n1, interfaces: [{network: far, mac: "52:54:00:00:00:06", addresses: [10.0.0.6]}]}
  vm7: {node: n1, guest: null, interfaces: [{network: lan, mac: "52:54:00:00:00:07", addresses: [198.51.100.17]}]}
"""


@pytest.fixture(scope="module")
def interfaces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Interface]:
    file = tmp_path_factory.mktemp("site") / "site.yaml"
    file.write_text(SITE, encoding="utf-8")
    return {interface.name: interface for interface in inventory.load([file]).interfaces}


@pytest.mark.parametrize(("name", "siblings"), [
    ("vm1", "198.51.100.12 198.51.100.13 fd20::13"),  # the next one on its node; the first one of another node, in both families
    ("vm2", "198.51.100.17 198.51.100.13"),
    ("vm3", "198.51.100.11 fd20::11"),  # on its own node nobody else answers
    ("vm4", "198.51.100.13 198.51.100.11"),
    ("vm6", ""),
    ("vm7", ""),  # it is not entered
])
def test_a_guest_asks_one_vm_of_its_own_node_and_one_of_another(interfaces: dict[str, Interface], name: str, siblings: str) -> None:
    assert " ".join(map(str, interfaces[name].siblings)) == siblings


def test_whom_a_guest_asks_and_what(interfaces: dict[str, Interface]) -> None:
    vm1 = interfaces["vm1"]
    assert " ".join(map(str, vm1.gateways)) == "198.51.100.254 fe80::1"
    assert " ".join(map(str, vm1.node_addresses)) == "198.51.100.1 fd20::1"
    assert " ".join(map(str, vm1.asks)) == (
        "198.51.100.254 198.51.100.1 fd20::1 198.51.100.12 198.51.100.13 fd20::13 192.0.2.9 2001:db8::9"
    )
    assert vm1.queries == ("gw.example", "198.51.100.11")
    assert interfaces["vm6"].asks == ()
    assert interfaces["vm2"].outside == (vm1.outside[0],)
