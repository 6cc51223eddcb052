"""``netchecks inventory openstack``: what it derives is an inventory, and everything that is wrong is told at once, without secrets."""

from __future__ import annotations

import re

import pytest
import yaml

from netchecks import cli
from netchecks.lab.topology import FOLDER
from tests.openstack.given import LAB, NODES, RC, ROOT, TENANT, TENANT_NODES, derive, documents, loaded


def test_the_transcript_of_the_documentation_is_what_is_printed(tmp_path, capsys):
    assert derive(tmp_path, "--network", "net-a", "--uplink", "eth1") == 0
    (told,) = re.findall(r"(?ms)^\$ netchecks inventory openstack .*?^(version: 1\n.*?)^```$", (ROOT / "docs" / "inventory.md").read_text(encoding="utf-8"))
    assert told == "".join(capsys.readouterr().out.partition("version: 1\n")[1:])


def test_what_is_derived_is_what_the_labs_inventory_says(tmp_path, capsys):
    assert derive(tmp_path) == 0
    found = loaded(tmp_path, capsys.readouterr().out)
    meant = yaml.safe_load((FOLDER / "neutron-vlan.yaml").read_text(encoding="utf-8"))
    assert [network.name for network in found.networks] == ["net-a", "net-b"]
    for network in found.networks:
        written = meant["networks"][network.name]
        assert (network.neutron.id, network.neutron.segment) == (written["neutron"]["id"], written["neutron"]["segmentation_id"])
        assert [(str(one.prefix), str(one.gateway)) for one in network.subnets] == [tuple(one.values()) for one in written["subnets"]]
        assert [one.node.name for one in network.attachments] == written["nodes"]
        assert [str(one.addresses[0]) for one in network.dhcp.servers] == written["dhcp"]["servers"][0]["addresses"]
        assert (network.dhcp.servers[0].node.name, network.dhcp.known_only, network.mtu) == ("net1", True, 1500)
    places = meant["places"]
    assert [vm.name for vm in found.vms] == ["vm42", "vm43", "vm44", "vm45"]
    for interface in found.interfaces:
        vm, nic = places[interface.vm.name]["vm"], places[interface.vm.name]["interfaces"]["eth0"]
        assert (interface.vm.node.name, interface.network.name, interface.mac) == (vm["node"], vm["network"], nic["mac"])
        assert (interface.tap, str(interface.addresses[0])) == (nic["to"]["name"], nic["addresses"][0].partition("/")[0])


def test_a_tenant_network_is_derived(tmp_path, capsys):
    assert derive(tmp_path, known=documents(TENANT), nodes=TENANT_NODES) == 0
    printed = capsys.readouterr()
    found = loaded(tmp_path, printed.out)
    (network,) = found.networks
    assert (network.name, network.neutron.type, network.neutron.segment, network.mtu) == ("web-tier", "vxlan", 4711, 1450)
    assert [one.gateway_macs for one in network.subnets] == [{"fa:16:3e:07:00:01"}, {"fa:16:3e:07:00:06"}]
    assert [str(one) for one in network.resolvers] == ["fd07::53"]
    assert [(one.node.name, *map(str, one.addresses)) for one in network.dhcp.servers] == [("network1", "192.168.7.2")]
    assert [(vm.name, vm.domain, vm.node.name, vm.runs) for vm in found.vms] == [
        ("web-1-prod", "instance-00000021", "compute1", True), ("web-2", "instance-00000022", "compute2", False),
    ]
    assert [vm.answers_ping for vm in found.vms] == [False, True], "ICMPv6 from fd00::/8 alone"
    assert "network1: the API takes the DHCP agent for dead" in printed.err
    assert "'public' has no port on a node of the inventory: it is left out" in printed.err
    assert "DHCPv6" in printed.out
    assert (network.neutron.router, network.neutron.router_nodes) == ("77aa0a11-cccc-4333-8444-555566667777", ("network1",))
    assert [(one.vm.name, *map(str, one.floating)) for one in found.interfaces] == [("web-1-prod", "203.0.113.21"), ("web-2",)]


ROUTER, LEG = "77aa0a11-cccc-4333-8444-555566667777", "port show aa02f1c2-5b7e-4f0a-9c11-2d3e4f5a6b02"
AGENTS, PUBLIC = f"network agent list --router {ROUTER}", "ee1f0a11-2222-4333-8444-555566667777"


def tenant(tmp_path, capsys, known, *more):
    """Derive the tenant's network; give the inventory and what was said."""
    assert derive(tmp_path, *more, known=known, nodes=TENANT_NODES) == 0
    printed = capsys.readouterr()
    return loaded(tmp_path, printed.out), printed.err


def test_a_router_of_several_agents_is_on_all_their_nodes_and_so_is_the_external_network(tmp_path, capsys):
    known = documents(TENANT)
    known[AGENTS] += [known[AGENTS][0] | {"Host": "compute2.example.net"}, known[AGENTS][0] | {"Host": "compute1.example.net", "Agent Type": "BGP dynamic routing agent"}]
    known[LEG] |= {"device_owner": "network:ha_router_replicated_interface"}
    gate = known[LEG] | {"id": "aa07", "network_id": PUBLIC, "device_owner": "network:router_gateway", "fixed_ips": [{"ip_address": "203.0.113.10", "subnet_id": "x"}]}
    known[f"port list --long --network {PUBLIC}"] = [
        {"ID": "aa07", "Name": "", "Device Owner": "network:router_gateway"}, {"ID": "aa08", "Name": "", "Device Owner": "network:floatingip"},
    ]
    known["port show aa07"] = gate
    found, _ = tenant(tmp_path, capsys, known, "--uplink", "eth2")
    public, inner = found.networks
    assert (inner.neutron.router, inner.neutron.router_nodes) == (ROUTER, ("compute2", "network1"))
    assert [one.node.name for one in public.attachments] == ["compute2", "network1"]


@pytest.mark.parametrize(("change", "said"), [
    ({AGENTS: []}, "fa:16:3e:07:00:21: its router is not told"),
    ({AGENTS: None}, f"openstack {AGENTS}: No Network agent list --router {ROUTER} found"),
    ({"floating ip list": None}, "openstack floating ip list: "),
])
def test_without_a_router_that_can_be_looked_at_no_floating_address_is_expected(tmp_path, capsys, change, said):
    known = documents(TENANT)
    for words, fields in change.items():
        if fields is None:
            del known[words]
        else:
            known[words] = fields
    found, told = tenant(tmp_path, capsys, known)
    assert said in told
    assert [one.floating for one in found.interfaces] == [(), ()]


def test_a_distributed_router_is_on_the_nodes_of_its_agents_and_of_those_that_it_routes_for(tmp_path, capsys):
    known = documents(TENANT)
    known[LEG] |= {"device_owner": "network:router_interface_distributed", "binding_host_id": ""}
    agent = known["network agent list"][0]
    known["network agent list"] += [agent | {"Host": f"{host}.example.net", "Agent Type": "L3 agent"} for host in ("compute1", "compute2", "network1")]
    found, _ = tenant(tmp_path, capsys, known)
    (network,) = found.networks
    assert (network.neutron.distributed, network.neutron.router, network.neutron.router_nodes) == (True, ROUTER, ("compute1", "compute2", "network1"))
    assert network.subnets[0].gateway_macs == frozenset()
    assert [one.vm.name for one in found.interfaces if one.floating] == ["web-1-prod"]


def test_a_network_of_routers_that_watch_each_other_is_no_network_of_vms(tmp_path, capsys):
    known = documents(TENANT)
    row = next(one for one in known["network list --long"] if one["ID"] == PUBLIC)
    row["Name"] = "HA network tenant 5f44bfcdee6045249c9c839d1052077b"
    known[f"port list --long --network {PUBLIC}"] = [{"ID": "aa09", "Name": "", "Device Owner": "network:router_ha_interface"}]
    known["port show aa09"] = known[LEG] | {"id": "aa09", "network_id": PUBLIC, "device_owner": "network:router_ha_interface"}
    found, told = tenant(tmp_path, capsys, known, "--uplink", "eth2")
    assert [network.name for network in found.networks] == ["web-tier"]
    assert "HA network" not in told


def test_only_the_networks_that_are_named_are_asked_for(tmp_path, capsys):
    assert derive(tmp_path, "--network", "net-b", "--network", "51c3a1d0-7e0f-4f6e-9a55-2b9d5c1f0b34") == 0
    printed = capsys.readouterr()
    assert [one.name for one in loaded(tmp_path, printed.out).vms] == ["vm43", "vm45"]
    assert "0879fde8" not in printed.out + printed.err


def test_no_secret_is_printed(tmp_path, capsys):
    assert derive(tmp_path) == 0
    assert derive(tmp_path, rc="/nowhere.sh") == 4
    printed = capsys.readouterr()
    assert "lab-secret" in RC.read_text(encoding="utf-8")
    assert "lab-secret" not in printed.out + printed.err


def changed(**changes):
    """The lab's documents with some changed: the words of a command with '_' instead of ' ' and '-', and what is different."""
    known = documents()
    for words, change in changes.items():
        name = next(name for name in known if name.replace(" ", "_").replace("-", "_") == words)
        known[name] = change(known[name]) if callable(change) else change
    return known


PORT, SERVER = "port_show_4242c9d1_7ab0_4e0c_9f3e_8b1d2c3e4f42", "server_show_42420c1d_1111_4222_8333_444455554242"


@pytest.mark.parametrize(("change", "said"), [
    ({"binding_host_id": ""}, "is bound to no host"),
    ({"binding_vif_type": "binding_failed"}, "could not be bound on node1 (binding_failed)"),
    ({"admin_state_up": False}, "is set down (admin_state_up)"),
    ({"binding_vnic_type": "direct", "binding_vif_type": "hw_veb"}, "is no tap on Open vSwitch (vif type hw_veb, vnic type direct)"),
])
def test_a_port_that_cannot_be_looked_at_is_left_out_and_told(tmp_path, capsys, change, said):
    assert derive(tmp_path, known=changed(**{PORT: lambda row: row | change})) == 0
    printed = capsys.readouterr()
    assert f"the port 4242c9d1-7ab0-4e0c-9f3e-8b1d2c3e4f42 (fa:16:3e:00:00:42) of the instance 42420c1d-1111-4222-8333-444455554242 {said}" in printed.err
    assert [vm.name for vm in loaded(tmp_path, printed.out).vms] == ["vm43", "vm44", "vm45"]


def test_an_instance_whose_domain_is_not_told_is_a_doubt(tmp_path, capsys):
    assert derive(tmp_path, known=changed(**{SERVER: {"id": "42420c1d-1111-4222-8333-444455554242", "name": "vm42", "status": "ACTIVE"}})) == 0
    printed = capsys.readouterr()
    assert "write it as the domain of vm42" in printed.err
    assert "'domain' has to be its OS-EXT-SRV-ATTR:instance_name" in printed.out


def test_an_instance_that_cannot_be_asked_for_is_a_doubt(tmp_path, capsys):
    known = documents()
    del known["server show 42420c1d-1111-4222-8333-444455554242"]
    assert derive(tmp_path, known=known) == 0
    printed = capsys.readouterr()
    assert "openstack server show 42420c1d-1111-4222-8333-444455554242: No Server found for 42420c1d" in printed.err
    assert "42420c1d-1111-4222-8333-444455554242" in [vm.name for vm in loaded(tmp_path, printed.out).vms]


GROUP = "security_group_rule_list_b1a6a5e2_6d3f_4d55_a4d5_0f6f0e8b1c11___ingress___long"


@pytest.mark.parametrize(("known", "answers"), [
    ({}, True),
    ({GROUP: []}, False),
    ({GROUP: lambda rules: [rule for rule in rules if rule["IP Protocol"] != "icmp"]}, False),
    ({GROUP: lambda rules: [rule | {"IP Range": "10.0.0.0/8"} for rule in rules]}, False),
    ({GROUP: [], PORT: lambda row: row | {"port_security_enabled": False}}, True),
], ids=["any ICMP", "nothing", "others of the group", "some", "not filtered"])
def test_a_vm_answers_ping_where_its_groups_let_everybody_in(tmp_path, capsys, known, answers):
    assert derive(tmp_path, known=changed(**known)) == 0
    assert [vm.answers_ping for vm in loaded(tmp_path, capsys.readouterr().out).vms if vm.name == "vm42"] == [answers]


def test_groups_that_cannot_be_asked_for_are_a_doubt_and_no_ping_is_expected(tmp_path, capsys):
    known = documents()
    del known["security group rule list b1a6a5e2-6d3f-4d55-a4d5-0f6f0e8b1c11 --ingress --long"]
    assert derive(tmp_path, known=known) == 0
    printed = capsys.readouterr()
    assert "openstack security group rule list b1a6a5e2" in printed.err
    assert not any(vm.answers_ping for vm in loaded(tmp_path, printed.out).vms)


def test_a_cloud_without_agents_of_open_vswitch_is_a_doubt(tmp_path, capsys):
    assert derive(tmp_path, known=changed(network_agent_list=[{"Agent Type": "OVN Controller agent", "Host": "node1", "Alive": True}])) == 0
    assert "there is no Open vSwitch agent" in capsys.readouterr().err


def test_instances_of_one_name_are_told_apart(tmp_path, capsys):
    assert derive(tmp_path, known=changed(**{SERVER: lambda row: row | {"name": "vm44"}})) == 0
    assert [vm.name for vm in loaded(tmp_path, capsys.readouterr().out).vms] == ["vm43", "vm44-42420c1d", "vm44-44440c1d", "vm45"]


def test_a_gateway_that_is_a_router_is_not_reached_from_outside(tmp_path, capsys):
    router = {**documents()[PORT.replace("port_show_", "port show ").replace("_", "-")], "id": "r", "device_owner": "network:router_interface"}
    known = documents()
    known["port list --long --network 0879fde8-02d6-443a-b370-a5168d81d415"].append({"ID": "r", "Name": "", "Device Owner": router["device_owner"]})
    known["port show r"] = router | {"fixed_ips": [{"ip_address": "10.19.43.1", "subnet_id": "x"}], "mac_address": "fa:16:3e:99:99:99"}
    assert derive(tmp_path, known=known) == 0
    network = loaded(tmp_path, capsys.readouterr().out).networks[0]
    assert (network.name, network.probe_from, network.subnets[0].gateway_macs) == ("net-a", (), {"fa:16:3e:99:99:99"})


# -- mistakes ----------------------------------------------------------------------------------------------------------


def fails(tmp_path, capsys, *more, **how):
    assert derive(tmp_path, *more, **how) == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    return printed.err


def test_without_credentials_the_options_for_them_are_told(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("OS_AUTH_URL", raising=False)
    assert "it has no credentials; see --rc-file and --os-cloud" in fails(tmp_path, capsys, rc="")


def test_credentials_that_are_refused_are_told_once(tmp_path, capsys):
    (tmp_path / "rc").write_text("OS_AUTH_URL=http://192.0.2.1/v3 OS_PASSWORD=n0t-this; export OS_AUTH_URL OS_PASSWORD\n", encoding="utf-8")
    said = fails(tmp_path, capsys, rc=tmp_path / "rc")
    assert said.count("the credentials were refused") == 1
    assert "n0t-this" not in said


@pytest.mark.parametrize("content", ["export OS_PASSWORD=s3cret-word\n", "export 'OS_PASSWORD s3cret-word'\n", "if s3cret-word\n"])
def test_a_file_that_sets_nothing_is_told_without_a_word_of_it(tmp_path, capsys, content):
    (tmp_path / "rc").write_text(content, encoding="utf-8")
    said = fails(tmp_path, capsys, rc=tmp_path / "rc")
    assert "s3cret-word" not in said
    assert f"--rc-file {tmp_path}/rc: it sets neither OS_AUTH_URL nor OS_CLOUD" in said


def test_a_user_who_is_no_administrator_is_told(tmp_path, capsys):
    network = "network_show_0879fde8_02d6_443a_b370_a5168d81d415"
    said = fails(tmp_path, capsys, known=changed(**{network: lambda row: row | {"provider:network_type": None}}))
    assert "expected provider:network_type, which the API shows to administrators alone" in said


def test_a_file_that_is_not_there_is_told(tmp_path, capsys):
    assert "--rc-file /nowhere.sh: it cannot be read" in fails(tmp_path, capsys, rc="/nowhere.sh")


def test_a_client_that_is_not_installed_is_told(tmp_path, capsys):
    said = fails(tmp_path, capsys, "--command", "no-such-openstack")
    assert "'no-such-openstack' is not installed there" in said


def test_what_is_not_json_is_told(tmp_path, capsys):
    assert "openstack network list --long: expected JSON, found 'hello" in fails(tmp_path, capsys, "--command", "echo hello")


def test_what_lacks_a_column_is_told_with_its_command(tmp_path, capsys):
    said = fails(tmp_path, capsys, known=changed(subnet_list___long=lambda rows: [{"ID": row["ID"]} for row in rows]))
    assert "ctl1: openstack subnet list --long: expected a value in the column 'Subnet'" in said
    said = fails(tmp_path, capsys, known=changed(**{PORT: lambda row: row | {"fixed_ips": "?"}}))
    assert "ctl1: openstack port show 4242c9d1-7ab0-4e0c-9f3e-8b1d2c3e4f42: expected fixed IP addresses, found '?'" in said


def test_every_network_that_there_is_not_is_told(tmp_path, capsys):
    said = fails(tmp_path, capsys, "--network", "ned-a", "--network", "net-b", "--network", "x")
    assert "--network ned-a: there is no such network; did you mean 'net-a'?\n--network x: there is no such network\n" in said


def test_every_host_that_is_no_node_is_told(tmp_path, capsys):
    said = fails(tmp_path, capsys, nodes=NODES.replace("node[1-2]", "nodes[1-2]"))
    assert "the API's host 'node1' is no node of the inventory; did you mean 'nodes1'?\n" in said
    assert "the API's host 'node2' is no node" in said


def test_a_host_may_be_another_node_by_name(tmp_path, capsys):
    assert derive(tmp_path, "--node", "node1=hv1", "--node", "node2=hv2", nodes=NODES.replace("node[1-2]", "hv[1-2]")) == 0
    assert {vm.node.name for vm in loaded(tmp_path, capsys.readouterr().out).vms} == {"hv1", "hv2"}


def test_hosts_that_are_no_nodes_can_be_left_out(tmp_path, capsys):
    assert derive(tmp_path, "--skip-unknown", nodes=NODES.replace("node[1-2]", "node[2-3]")) == 0
    printed = capsys.readouterr()
    assert "the API's host 'node1' is no node of the inventory" in printed.err
    assert [vm.name for vm in loaded(tmp_path, printed.out).vms] == ["vm44", "vm45"]


def test_the_nic_that_the_api_does_not_know_is_asked_for(tmp_path, capsys):
    without = NODES.partition("\n")[2]
    assert "say --uplink physnet1=NIC, or 'uplink' in the inventory's defaults of networks" in fails(tmp_path, capsys, nodes=without)
    assert derive(tmp_path, "--uplink", "physnet1=bond2", nodes=without) == 0
    assert {end.uplink for one in loaded(tmp_path, capsys.readouterr().out).networks for end in one.attachments} == {"bond2"}


def test_a_network_that_the_inventory_has_already_is_told(tmp_path, capsys):
    said = fails(tmp_path, capsys, nodes=NODES + "networks: {net-a: {kind: switching, bridge: br0}}\n")
    assert "what was derived is no inventory together with the given files" in said


@pytest.mark.parametrize(("more", "said"), [
    (["--node", "node1=nod2", "--node", "x"], "--node node1=nod2: the inventory has no such node; did you mean 'node2'?\n--node x: expected HOST=NODE"),
    (["--uplink", "physnet1="], "--uplink: physnet1=: expected NAME=VALUE"),
    (["--rc-file", "openrc"], "--rc-file: openrc: expected an absolute path on the node"),
    (["--os-cloud", "a"], "not allowed with argument --rc-file"),
    (["--timeout", "0"], "--timeout: 0: expected a number of seconds"),
    (["--command", "'"], "--command ': No closing quotation"),
    (["--command", ""], "--command: expected the words"),
    (["--host", "ctl2"], "--host ctl2: the inventory has no such node; did you mean 'ctl1'?"),
])
def test_a_wrong_argument_is_told(tmp_path, capsys, more, said):
    assert said in fails(tmp_path, capsys, *more)


def test_a_client_that_hangs_is_not_waited_for(tmp_path, capsys):
    (tmp_path / "hangs").write_text("sleep 30\n", encoding="utf-8")
    assert "not everything could be asked for within 1 s" in fails(tmp_path, capsys, "--command", f"sh {tmp_path}/hangs", "--timeout", "1")


def test_a_node_that_cannot_be_reached_is_told(tmp_path, capsys):
    nodes = NODES.replace("connection: local", "connection: netns, address: no-such-namespace")
    assert "ctl1: unreachable" in fails(tmp_path, capsys, nodes=nodes)


def test_help_names_the_command(capsys):
    with pytest.raises(SystemExit):
        cli.main(["inventory", "--help"])
    assert "openstack" in capsys.readouterr().out


def test_the_labs_documents_are_those_of_its_topology():
    ids = {document["id"] for words, document in documents(LAB).items() if words.startswith("port show")}
    ports = yaml.safe_load((FOLDER / "neutron-vlan.yaml").read_text(encoding="utf-8"))["places"]["net1"]["node"]["files"]["etc/lab/ports"]
    assert {f"tap{one[:11]}" for one in ids} == {line.split()[0] for line in ports.splitlines()}
