"""suites/vmhost/test_dhcp.py for networks of Neutron: their servers are the DHCP agent's, which nobody starts or edits by hand."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from netchecks.models.dhcp.exchanges import Exchange, Point
from netchecks.models.dhcp.servers import DhcpFiles, DhcpHost, DhcpLease
from netchecks.models.domains import Domain, DomainInterface
from netchecks.models.table import Table
from suites.vmhost import test_dhcp as checks
from tests.suites.openstack.neutron.given import MAC, SERVER, TAP, UNSEEN, VM42, notes_of, of, of_node, wrong
from tests.suites.vmhost.given import _by

DOMAINS = of_node("domains", Table("domain", {"vm42": Domain("vm42", "running", "", (DomainInterface(MAC, "bridge", "br-int", target=TAP),))}))
QUIET = Exchange(MAC, 4, (Point("node1", TAP, ()),), (), 5.0)
OTHER, AGENT = "fa:16:3e:00:00:99", "on net1: systemctl restart neutron-dhcp-agent (kolla: docker restart neutron_dhcp_agent), "


def serves(hosts=(), leases=(), vm=VM42, **changed):
    """What the agent's hosts and leases files say, of a VM and its network after a change."""
    network = replace(vm.network, **changed)
    found, server = replace(vm, network=network), replace(SERVER, network=network)
    return notes_of(
        checks.test_dhcp_serves_vm, found, DOMAINS, of("dhcp_messages", found, QUIET), of("dhcp_log", server, UNSEEN),
        of("dhcp_files", server, DhcpFiles(tuple(leases), tuple(hosts))),
    )


def test_the_agent_is_restarted_and_no_dnsmasq_of_the_node():
    with wrong("dhcp.server_dead", "net1: no DHCP server runs for net-a", place="net1", breaks={"dhcp"}) as caught:
        notes_of(checks.test_dhcp_server_runs, SERVER, of("dhcp_processes", SERVER, ()), _by("dhcp_exchanges", {}))
    assert caught.value.remedy.startswith(AGENT)
    assert "start dnsmasq" not in caught.value.remedy


def test_nobody_edits_the_agents_files():
    with wrong("dhcp.host_missing", MAC, place="net1", breaks={"ipv4"}) as caught:
        serves([DhcpHost((OTHER,))])
    assert caught.value.remedy.startswith(AGENT)
    assert f"openstack port list --mac-address {MAC}" in caught.value.remedy
    with wrong("dhcp.wrong_host", place="net1", breaks={"ipv4"}) as caught:
        serves([DhcpHost((MAC,), (ip_address("10.19.43.7"),))])
    assert caught.value.remedy.startswith(AGENT)
    with wrong("dhcp.lease_of_another", place="vm42", breaks={"ipv4"}) as caught:
        serves([DhcpHost((MAC,))], [DhcpLease(VM42.addresses[0], OTHER)])
    assert caught.value.remedy.startswith(AGENT)


@pytest.mark.parametrize("addresses", [("10.19.99.142",), ("2001:db8::42",)], ids=["of a subnet without DHCP", "of SLAAC"])
def test_a_port_of_a_subnet_without_dhcp_need_not_be_known(addresses):
    """Neutron's dnsmasq serves the subnets that the agent's port has an address of."""
    assert serves([DhcpHost((OTHER,))], vm=replace(VM42, addresses=tuple(map(ip_address, addresses)))) == []
