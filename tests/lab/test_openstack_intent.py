"""An inventory that is derived over ssh from what a stand-in for OpenStack's client prints is as good as one that was typed."""

from __future__ import annotations

import json
import sys

import pytest
import yaml

from netchecks import inventory
from netchecks.lab.accuracy import default_suites
from netchecks.lab.making import up, why_not_rooted
from netchecks.lab.snapshot import difference, look

pytestmark = pytest.mark.slow
RC = "/etc/lab/admin-openrc.sh"
CLIENT = ["--command", "python3 /etc/lab/openstack.py", "--uplink", "eth1"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    reason = why_not_rooted(("ovs-vsctl",))
    if reason:
        pytest.skip(reason)
    with up("neutron-vlan", rooted=True, state_dir=tmp_path_factory.mktemp("labs")) as made:
        yield made


def nodes_of(lab, folder, **changes):
    """The lab's inventory without its networks and VMs."""
    known = yaml.safe_load(inventory.show(inventory.load([lab.inventory])))
    nodes = {name: node | changes.get(name, {}) for name, node in known["nodes"].items()}
    (folder / "nodes.yaml").write_text(yaml.safe_dump({"nodes": nodes}), encoding="utf-8")
    return folder / "nodes.yaml"


def derive(lab, nodes, rc=RC):
    argv = [sys.executable, "-m", "netchecks", "inventory", "openstack", f"--inventory-file={nodes}", "--host=net1", f"--rc-file={rc}", *CLIENT]
    return lab.exec("controller", argv, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def derived(lab, tmp_path_factory):
    """The files of the inventory that was derived."""
    folder = tmp_path_factory.mktemp("derived")
    nodes = nodes_of(lab, folder)
    done = derive(lab, nodes)
    assert done.returncode == 0, done.stderr
    (folder / "cloud.yaml").write_text(done.stdout, encoding="utf-8")
    return nodes, folder / "cloud.yaml"


def test_it_says_what_the_labs_own_inventory_says(lab, derived):
    typed, found = inventory.load([lab.inventory]), inventory.load(derived)
    told = [(one.name, one.neutron, one.subnets, one.mtu, [str(end.node) for end in one.attachments], one.dhcp) for one in found.networks]
    assert told == [
        (one.name, one.neutron, one.subnets, one.mtu, [str(end.node) for end in one.attachments], one.dhcp) for one in typed.networks
    ]
    assert [(str(one), one.mac, one.addresses, one.node) for one in found.interfaces] == [
        (str(one), one.mac, one.addresses, one.node) for one in typed.interfaces
    ]


def run(lab, files, folder):
    """Run the suites; give what was diagnosed."""
    argv = [
        sys.executable, "-m", "pytest", *default_suites(), *(f"--inventory-file={path}" for path in files), "-q", "-p", "no:cacheprovider",
        f"--netchecks-run-dir={folder}",
    ]
    done = lab.exec("controller", argv, capture_output=True, text=True, timeout=300)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return [(one["code"], one["places"]) for one in report["diagnoses"]], report["outcomes"], done.stdout


def test_a_healthy_lab_is_healthy_by_it(lab, derived, tmp_path):
    named, outcomes, said = run(lab, derived, tmp_path)
    assert (named, outcomes["failed"], outcomes["unknown"]) == ([], 0, 0), said
    assert outcomes["passed"] > 100


def test_a_fault_is_named_by_it(lab, derived, tmp_path):
    with lab.fault("tap-untagged"):
        named, _, said = run(lab, derived, tmp_path)
    assert named[0] == ("tap.untagged", ["node1"]), said


def test_nothing_is_left_and_no_secret_is_told(lab, tmp_path):
    before = look(lab, "net1")
    done = derive(lab, nodes_of(lab, tmp_path))
    assert done.returncode == 0
    assert "lab-secret" not in done.stdout + done.stderr
    assert difference({"net1": before}, {"net1": look(lab, "net1")}) == []


@pytest.mark.parametrize(("sudo", "status", "said"), [(True, 0, ""), (False, 4, f"--rc-file {RC}: it cannot be read")])
def test_a_file_of_root_is_read_by_sudo_where_the_inventory_has_it(lab, tmp_path, sudo, status, said):
    lab.exec("net1", ["chmod", "600", RC], check=True)
    try:
        done = derive(lab, nodes_of(lab, tmp_path, net1={"sudo": sudo}))
    finally:
        lab.exec("net1", ["chmod", "644", RC], check=True)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
