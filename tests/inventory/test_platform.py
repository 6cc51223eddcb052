"""Where the platform runs and what it manages, as an inventory says it; and the ways that follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from netchecks import inventory
from netchecks.errors import NetchecksError
from netchecks.models.subjects import Inventory
from netchecks.world import ACCESS_COMMANDS, build

TEXT = """
nodes:
  admin: {{connection: local, roles: [controller], platform: {platform}}}
  node[1-3]: {{address: "192.0.2.{{n}}"}}
  far: {{address: far.example.org, port: 2222}}
  inside: {{connection: docker}}
  bastion: {{address: bastion.example.org, roles: [jump]}}
  behind: {{address: 198.51.100.9, jump: node1}}
"""


def load(tmp_path: Path, text: str) -> Inventory:
    file = tmp_path / "inventory.yaml"
    file.write_text(TEXT.format(platform=text), encoding="utf-8")
    found = inventory.load([file])
    (tmp_path / "shown.yaml").write_text(inventory.show(found), encoding="utf-8")
    assert inventory.load([tmp_path / "shown.yaml"]).nodes[0].platform == found.nodes[0].platform
    return found


def test_it_manages_every_other_hypervisor(tmp_path):
    accesses = build(load(tmp_path, "{name: vm_box, prefix: [docker, exec, vm_box]}")).accesses
    assert [str(one) for one in accesses] == ["vm_box-to-node1", "vm_box-to-node2", "vm_box-to-node3", "vm_box-to-far", "vm_box-to-behind"]
    assert [one.target for one in accesses] == ["192.0.2.1 22", "192.0.2.2 22", "192.0.2.3 22", "far.example.org 2222", "198.51.100.9 22"]
    assert accesses[3].words == ("3", "docker", "exec", "vm_box", "far.example.org", "2222")
    assert {str(one.source) for one in accesses} == {"admin"}


def test_what_it_manages_may_be_named(tmp_path):
    assert [str(one.node) for one in build(load(tmp_path, '{name: box, nodes: ["node[2-3]", node2]}')).accesses] == ["node2", "node3"]
    assert build(load(tmp_path, "null")).accesses == ()


def test_many_nodes_are_asked_for_in_few_commands(tmp_path):
    file = tmp_path / "inventory.yaml"
    file.write_text('nodes:\n  admin: {connection: local, platform: {name: box}}\n  node[1-500]: {address: "10.0.{n/250}.{n%250}"}\n')
    accesses = build(inventory.load([file])).accesses
    assert len(accesses) == 500
    assert len({one.words for one in accesses}) <= ACCESS_COMMANDS
    assert all(one.target in {f"{address} {port}" for address, port in one.targets} for one in accesses)


@pytest.mark.parametrize(("text", "said"), [
    ("{prefix: [docker]}", "name"),
    ("{name: box, prefix: ['--privileged', x]}", "expected a command such as docker"),
    ("{name: box, prefix: ['docker exec', x]}", "one word of a command"),
    ("{name: box, nodes: [nod1]}", "did you mean 'node1'"),
    ("{name: box, node: node1}", "did you mean 'nodes'"),
])
def test_mistakes_are_told_with_their_place(tmp_path, text, said):
    with pytest.raises(NetchecksError, match=said) as told:
        load(tmp_path, text)
    assert "inventory.yaml:3:" in str(told.value)
