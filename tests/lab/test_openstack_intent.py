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
from tests.openstack.given import STAND_IN, documents

pytestmark = pytest.mark.slow
RC = "/etc/lab/admin-openrc.sh"
CLIENT = ["--command", "python3 /etc/lab/openstack.py", "--uplink", "eth1"]


def made(topology, folder):
    """Give a lab, until the tests of the module have ended."""
    reason = why_not_rooted(("ovs-vsctl",))
    if reason:
        pytest.skip(reason)
    with up(topology, rooted=True, state_dir=folder) as lab:
        yield lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    yield from made("neutron-vlan", tmp_path_factory.mktemp("labs"))


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


# -- a router and floating addresses -----------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["neutron-router", "neutron-dvr"])
def router_lab(request, tmp_path_factory):
    yield from made(request.param, tmp_path_factory.mktemp("labs"))


#: The ports of each lab's router and DHCP agent: device, owner, host. A part of a distributed router is on no host more than on others.
OWN_PORTS = {
    "neutron-router": (
        ("tapf1b2c3d4-2e", "network:dhcp", "net1"), ("qr-5e1c5d0a-2c", "network:router_interface", "net1"),
        ("qg-9b2f6c10-4d", "network:router_gateway", "net1"),
    ),
    "neutron-dvr": (
        ("tapf1b2c3d4-2e", "network:dhcp", "net1"), ("qr-5e1c5d0a-2c", "network:router_interface_distributed", ""),
        ("sg-7a40b1f2-93", "network:router_centralized_snat", "net1"), ("qg-9b2f6c10-4d", "network:router_gateway", "net1"),
        ("fg-c2d81e07-6b", "network:floatingip_agent_gateway", "node1"), ("fg-f6093a4d-1e", "network:floatingip_agent_gateway", "node2"),
    ),
}


def shown(name, network, *, owner, device, host, mac, address):
    """Give a port as ``port show`` does."""
    return {
        "id": name, "network_id": network, "mac_address": mac, "fixed_ips": [{"ip_address": address, "subnet_id": "-"}], "device_owner": owner, "device_id": device,
        "binding_host_id": host, "binding_vif_type": "ovs", "binding_vnic_type": "normal", "admin_state_up": True, "port_security_enabled": owner.startswith("compute"),
        "security_group_ids": ["everybody"] if owner.startswith("compute") else [],
    }


def documents_of(lab):
    """Give what the client would print of a lab with a router: the forms are those that it printed of others (tests/openstack/SOURCES.md)."""
    typed, agent = inventory.load([lab.inventory]), documents()["network agent list"][0]
    id_of = {one: lab.topology.places[str(one.vm)].interfaces["eth0"].to.id for one in typed.interfaces}
    router = next(one.neutron.router for one in typed.networks if one.neutron.router)
    files = lab.topology.places["net1"].node.files
    legs = {words[0]: words for words in map(str.split, files["etc/lab/ports"].splitlines())}
    known = {
        "network list --long": [{"ID": one.neutron.id, "Name": one.name} for one in typed.networks],
        "subnet list --long": [
            {"ID": f"s-{one.name}", "Network": one.neutron.id, "Subnet": str(subnet.prefix), "Gateway": str(subnet.gateway), "DHCP": one.dhcp is not None, "Name Servers": []}
            for one in typed.networks for subnet in one.subnets
        ],
        "network agent list": [agent | {"Host": node} for node in ("net1", "node1", "node2")],
        f"network agent list --router {router}": [agent | {"Host": "net1", "Agent Type": "L3 agent"}],
        "floating ip list": [
            {"ID": f"f-{one.vm}", "Floating IP Address": str(address), "Port": id_of[one]} for one in typed.interfaces for address in one.floating
        ],
        "security group rule list everybody --ingress --long": [
            {"ID": "r", "IP Protocol": None, "Ethertype": "IPv4", "IP Range": "0.0.0.0/0", "Port Range": "", "Remote Security Group": None},
        ],
    }
    ports = [
        shown(id_of[one], one.network.neutron.id, owner="compute:nova", device=f"i-{one.vm}", host=one.node.name, mac=one.mac, address=str(one.addresses[0]))
        for one in typed.interfaces
    ]
    for device, owner, host in OWN_PORTS[lab.topology.name]:
        _, network, mac, address, _ = legs[device]
        has = "dhcp-1" if owner == "network:dhcp" else router
        ports.append(shown(f"port-{device}", network, owner=owner, device=has, host=host, mac=mac, address=address))
    for one in typed.networks:
        told = one.neutron
        known[f"network show {told.id}"] = {
            "id": told.id, "name": one.name, "mtu": one.mtu, "provider:network_type": told.type, "provider:physical_network": told.physical_network or None,
            "provider:segmentation_id": told.segment,
        }
        own = [port for port in ports if port["network_id"] == told.id]
        known[f"port list --long --network {told.id}"] = [{"ID": port["id"], "Name": "", "Device Owner": port["device_owner"]} for port in own]
    known |= {f"port show {port['id']}": port for port in ports}
    known |= {f"server show i-{vm}": {"id": f"i-{vm}", "name": str(vm), "status": "ACTIVE", "OS-EXT-SRV-ATTR:instance_name": str(vm)} for vm in typed.vms}
    return known


def test_a_router_and_its_floating_addresses_are_derived_and_looked_at(router_lab, tmp_path):
    known = yaml.safe_load(inventory.show(inventory.load([router_lab.inventory])))["nodes"]
    (tmp_path / "nodes.yaml").write_text(yaml.safe_dump({"nodes": known, "defaults": {"vm": {"tcp": [22]}}}), encoding="utf-8")
    (tmp_path / "documents.json").write_text(json.dumps(documents_of(router_lab)), encoding="utf-8")
    (tmp_path / "rc").write_text("export OS_AUTH_URL=http://192.0.2.1/v3 OS_PASSWORD=lab-secret\n", encoding="utf-8")
    argv = [
        sys.executable, "-m", "netchecks", "inventory", "openstack", f"--inventory-file={tmp_path}/nodes.yaml", "--host=controller", f"--rc-file={tmp_path}/rc",
        "--command", f"{sys.executable} {STAND_IN} {tmp_path}/documents.json", "--uplink", "eth2",
    ]
    done = router_lab.exec("controller", argv, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (tmp_path / "cloud.yaml").write_text(done.stdout, encoding="utf-8")
    files = [tmp_path / "nodes.yaml", tmp_path / "cloud.yaml"]
    typed, found = inventory.load([router_lab.inventory]), inventory.load(files)
    assert [(one.name, one.neutron.router, one.neutron.router_nodes, one.neutron.distributed) for one in found.networks] == [
        (one.name, one.neutron.router, one.neutron.router_nodes, one.neutron.distributed) for one in sorted(typed.networks, key=str)
    ]
    assert [{end.node.name for end in one.attachments} for one in found.networks] == [
        {end.node.name for end in one.attachments} for one in sorted(typed.networks, key=str)
    ]
    assert [(one.mac, one.addresses, one.floating) for one in found.interfaces] == [(one.mac, one.addresses, one.floating) for one in typed.interfaces]
    named, outcomes, said = run(router_lab, files, tmp_path / "healthy")
    assert (named, outcomes["failed"], outcomes["unknown"]) == ([], 0, 0), said
    with router_lab.fault("floating-dnat-missing"):
        named, _, said = run(router_lab, files, tmp_path / "broken")
    assert named[0] == ("router.dnat_missing", ["node1" if router_lab.topology.name == "neutron-dvr" else "net1"]), said
