"""suites/vmhost/test_firewall.py for a hybrid plug of Neutron, with the rules that iptables of the lab's node1 has.

Recorded with the fault hybrid-security-group-lacks-icmp: vm42's group lets TCP ports 22 and 8080 in, and nothing else.
"""

import pytest

from netchecks.models.domains import Domain, DomainInterface
from netchecks.models.netfilter.rules import Ruleset
from netchecks.models.table import Table
from suites.vmhost import test_firewall as checks
from tests.suites.openstack.neutron.given import MAC, RECORDED, TAP, answers, flow_of, is_unknown, notes_of, of_node, silent, wrong

PING, SSH, FROM_OUTSIDE = map(flow_of, ("net1-dhcp-to-vm42-icmp-ipv4", "net1-dhcp-to-vm42-tcp22-ipv4", "controller-to-vm42-icmp-ipv4"))
RULES, BRIDGES = ((RECORDED / fact / "lab-neutron-hybrid.out").read_text() for fact in ("iptables", "bridges"))
CALLED = "ipv4/ip_forward:1\n" + "".join(f"bridge/bridge-nf-call-{which}:1\n" for which in ("iptables", "ip6tables", "arptables"))
DOMAINS = of_node("domains", Table("domain", {"vm42": Domain("vm42", "running", "", (DomainInterface(MAC, "bridge", "br-int", target=TAP),))}))
PLATFORM = {"place": "node1", "owner": "platform", "hop": "tap"}


def lets_through(flow, rules=RULES):
    nothing = [of_node(fact, Ruleset()) for fact in ("ip6tables", "nftables", "ebtables", "arptables")]
    return notes_of(
        checks.test_firewall_lets_through, flow, answers({flow: silent()}), DOMAINS, of_node("bridges", BRIDGES),
        of_node("sysctls", CALLED), of_node("iptables", rules), *nothing,
    )


@pytest.mark.parametrize("flow", [PING, FROM_OUTSIDE], ids=str)
def test_a_group_is_no_rule_to_remove(flow):
    """Its fallback is every instance's: who removes it opens all of them."""
    with wrong("port.security_group_drops", "the security group of vm42 does not let ICMP through", "neutron-openvswi-sg-fallback", **PLATFORM) as caught:
        lets_through(flow)
    assert caught.value.remedy.startswith(
        f"openstack security group rule create --ingress --protocol icmp GROUP, that of its port (openstack port list --mac-address {MAC})",
    )


def test_what_the_group_lets_in_passes():
    assert lets_through(SSH) == []


def test_a_port_is_named_in_the_rule_to_add():
    with wrong("port.security_group_drops", "does not let TCP to port 22 through", **PLATFORM) as caught:
        lets_through(SSH, RULES.replace("--dport 22", "--dport 23"))
    assert "--protocol tcp --dst-port 22 GROUP" in caught.value.remedy


@pytest.mark.parametrize("agent", ["openvswi", "linuxbri"])
def test_rules_against_spoofing_drop_the_answer_of_an_address_they_do_not_know(agent):
    rules = RULES.replace("-s 10.19.43.142/32 -m mac", "-s 10.19.43.99/32 -m mac").replace("openvswi", agent)
    with wrong("port.security_drops", f"chain neutron-{agent}-s4242c9d1-7 ", "-j DROP", **PLATFORM) as caught:
        lets_through(SSH, rules)
    assert "--allowed-address" in caught.value.remedy


def test_a_group_of_other_groups_is_unknown():
    """Its senders stand in a set of the kernel's (ipset), which is not read."""
    rules = RULES.replace("-p tcp -m tcp --dport 22 -j RETURN", "-m set --match-set NIPv40a1b2c3d-4e5f-6071-8 src -j RETURN")
    is_unknown(lambda: lets_through(SSH, rules))


def test_any_other_rule_of_the_bridge_is_the_node_s():
    rules = RULES.replace("-A FORWARD -j neutron-filter-top", "-A FORWARD -p tcp -m tcp --dport 22 -j DROP")
    with wrong("firewall.iptables_drops", "TCP to 10.19.43.142", place="node1", hop="tap"):
        lets_through(SSH, rules)
