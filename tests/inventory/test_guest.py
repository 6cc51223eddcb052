"""The way into a VM, as an inventory says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from netchecks import inventory
from netchecks.errors import NetchecksError
from netchecks.models.subjects import Connection, Guest

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
])
def test_mistakes_are_told_with_their_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(NetchecksError, match=said) as told:
        _guest(tmp_path, text)
    assert "inventory.yaml:7:" in str(told.value)
