"""suites/vmhost/test_firewall.py, called with the rules of a playground that the real tools print."""

from dataclasses import replace

import pytest

from suites.vmhost import test_firewall as checks
from tests.suites.vmhost.given import (
    CONTROLLER,
    LAN,
    MAC,
    NODE1,
    UNSEEN,
    VM42,
    answered,
    answers,
    by,
    domains,
    edited,
    flow_of,
    has,
    is_unknown,
    notes_of,
    played,
    silent,
    wrong,
)
from tests.suites.vmhost.routed import NODE1 as ROUTED_NODE
from tests.suites.vmhost.routed import VM42 as ROUTED_VM
from tests.suites.vmhost.routed import VM60 as FABRIC_VM
from tests.suites.vmhost.routed import flow_to

pytestmark = has("nft", "ebtables", "iptables")
ARP, PING, TCP, UDP = (flow_of(protocol) for protocol in ("arp", "icmp", "tcp", "udp"))
FROM_OUTSIDE, PING6, NDP = flow_of("tcp", source=CONTROLLER), flow_of("icmp", source=CONTROLLER, family=6), flow_of("ndp", family=6)
TO_GATEWAY = flow_of("arp", LAN)
RULES = ("iptables", "ip6tables", "nftables", "ebtables", "arptables")


def settings(*, called=False):
    """/proc/sys, as grep gives it; ``called``: br_netfilter hands bridged packets to iptables."""
    return "ipv4/ip_forward:1\n" + "".join(f"bridge/bridge-nf-call-{which}:{int(called)}\n" for which in ("iptables", "ip6tables", "arptables"))


def lets_through(asked, change="", answer=None, known=None, called=False, **facts):
    given = [by(fact, facts.get(fact, change)) for fact in ("bridges",)]
    given += [by("sysctls", facts.get("sysctls", settings(called=called)))]
    given += [by(fact, facts.get(fact, change)) for fact in RULES]
    return notes_of(checks.test_firewall_lets_through, asked, answers({asked: answer or silent()}), by("domains", known or domains()), *given)


ALL = [ARP, PING, TCP, UDP, FROM_OUTSIDE, PING6, NDP, TO_GATEWAY]
NFT_BRIDGE = "nft 'table bridge guard {{ chain c {{ type filter hook {hook} priority 0; {rule}; }}; }}'"
DROP_TO_TAP = NFT_BRIDGE.format(hook="forward", rule='oifname "vnet7" counter drop')


@pytest.mark.parametrize("asked", ALL, ids=str)
def test_without_rules_nothing_is_dropped(asked):
    assert lets_through(asked) == []


@pytest.mark.parametrize("fact", RULES)
def test_rules_that_were_not_seen_are_unknown(fact):
    is_unknown(lambda: lets_through(TCP, **{fact: UNSEEN}))
    is_unknown(lambda: lets_through(TCP, answer=UNSEEN))


def test_what_came_back_was_not_dropped():
    assert lets_through(FROM_OUTSIDE, DROP_TO_TAP, answered(), **dict.fromkeys(RULES, UNSEEN)) == []


def test_an_nftables_rule_of_the_bridge():
    with wrong("firewall.nftables_drops", "node1: TCP to 10.20.0.142", "guard", "chain c", "vnet7", place="node1", hop="tap") as caught:
        lets_through(FROM_OUTSIDE, DROP_TO_TAP)
    assert "(c: " in caught.value.remedy
    assert lets_through(TCP, DROP_TO_TAP) == [], "what the node itself sends passes output, not forward"


@pytest.mark.parametrize("asked", [ARP, PING, TCP, UDP], ids=str)
def test_a_rule_against_arp_stops_what_needs_it(asked):
    with wrong("firewall.ebtables_drops", f"{asked.protocol.upper()} to", "-p ARP", place="node1", hop="tap"):
        lets_through(asked, "ebtables -A OUTPUT -p ARP -j DROP")


@pytest.mark.parametrize("asked", [NDP, flow_of("icmp", family=6)], ids=str)
def test_a_rule_against_arp_does_not_stop_ipv6(asked):
    assert lets_through(asked, "ebtables -A OUTPUT -p ARP -j DROP") == []


def test_a_rule_towards_the_gateway_is_at_the_uplink():
    with wrong("firewall.ebtables_drops", "ARP to 10.20.0.1", place="node1", hop="uplink"):
        lets_through(TO_GATEWAY, "ebtables -A OUTPUT -p ARP -o eth0 -j DROP")
    assert lets_through(TO_GATEWAY, "ebtables -A OUTPUT -p ARP -o vnet7 -j DROP") == []


def test_the_bridge_hands_packets_to_iptables_only_where_that_is_on():
    policy = "iptables -P FORWARD DROP"
    assert lets_through(FROM_OUTSIDE, policy) == []
    with wrong("firewall.iptables_drops", "FORWARD", "policy", place="node1", hop="tap"):
        lets_through(FROM_OUTSIDE, policy, called=True)
    assert lets_through(PING6, policy, called=True) == []


def test_a_bridge_has_a_switch_of_its_own():
    policy = "iptables -P FORWARD DROP"
    own = edited(played(policy)["bridges"], br0={"nf_call_iptables": 1})
    with wrong("firewall.iptables_drops", place="node1", hop="tap"):
        lets_through(FROM_OUTSIDE, policy, bridges=own)


def test_without_br_netfilter_there_is_no_such_switch():
    assert lets_through(FROM_OUTSIDE, "iptables -P FORWARD DROP", sysctls="ipv4/ip_forward:1\n") == []


def test_an_ip6tables_rule_is_iptables_to_whoever_reads_it():
    with wrong("firewall.iptables_drops", "ICMP to fd20::142", "ip6tables", place="node1", hop="tap"):
        lets_through(PING6, "ip6tables -A FORWARD -p icmpv6 -j DROP", called=True)


@pytest.mark.parametrize("rule", [
    "ether saddr 52:54:00:00:00:99 tcp dport 23 drop", "tcp dport 23 drop", 'oifname "vnet9" drop', "accept",
])
def test_rules_for_others_are_none_of_its_business(rule):
    assert lets_through(FROM_OUTSIDE, NFT_BRIDGE.format(hook="forward", rule=rule)) == []


def test_a_rule_for_a_mac_that_may_be_the_askers_is_unknown():
    """Through whose hands the answer goes back to a routed asker is not known here."""
    is_unknown(lets_through, FROM_OUTSIDE, NFT_BRIDGE.format(hook="forward", rule="ether daddr 52:54:00:00:00:99 drop"))


def test_a_rule_for_the_vms_mac():
    with wrong("firewall.nftables_drops", MAC, place="node1", hop="tap"):
        lets_through(FROM_OUTSIDE, NFT_BRIDGE.format(hook="forward", rule=f"ether daddr {MAC} drop"))


def test_a_rule_that_cannot_be_evaluated_is_unknown():
    change = "nft 'table bridge guard { set s { type ether_addr; flags dynamic; }; chain c { type filter hook forward priority 0; meta mark 7 drop; }; }'"
    is_unknown(lets_through, FROM_OUTSIDE, change)


def test_a_doubt_does_not_hide_what_is_certain():
    change = NFT_BRIDGE.format(hook="forward", rule='meta mark 7 drop; oifname "vnet7" drop')
    with wrong("firewall.nftables_drops", "vnet7", place="node1", hop="tap"):
        lets_through(FROM_OUTSIDE, change)


def test_without_a_tap_there_is_nothing_to_pass():
    assert lets_through(FROM_OUTSIDE, DROP_TO_TAP, known=domains(state="shut off")) == []


def test_the_declared_tap_counts_without_libvirt():
    asked = replace(FROM_OUTSIDE, interface=replace(VM42, tap="vnet7"))
    with wrong("firewall.nftables_drops", place="node1", hop="tap"):
        lets_through(asked, DROP_TO_TAP, known=UNSEEN)
    assert lets_through(FROM_OUTSIDE, DROP_TO_TAP, known=UNSEEN) == [], "the inventory's vnet1 is another port"
    assert NODE1.name == "node1"


# -- where the node routes ---------------------------------------------------------------------------------------------

ROUTED, OWN = flow_to(ROUTED_VM), flow_to(ROUTED_VM, source=ROUTED_NODE)
IN_FABRIC, ASKED = flow_to(FABRIC_VM), flow_to(FABRIC_VM, source=ROUTED_NODE, protocol="arp")


def routed(asked, change=""):
    known = domains("vm42", mac=ROUTED_VM.mac) if asked.interface == ROUTED_VM else domains("vm60", tap="vnet7", mac=FABRIC_VM.mac)
    return lets_through(asked, change, known=known)


@pytest.mark.parametrize("asked", [ROUTED, OWN, IN_FABRIC, ASKED], ids=str)
def test_without_rules_nothing_that_is_routed_is_dropped(asked):
    assert routed(asked) == []


@pytest.mark.parametrize(("asked", "change"), [
    (ROUTED, "iptables -A FORWARD -d 10.40.0.142 -j DROP"),
    (ROUTED, "iptables -A FORWARD -i eth0 -o br0 -j DROP"),
    (ROUTED, "iptables -A FORWARD -s 10.40.0.142 -j DROP"),  # the answer
    (OWN, "iptables -A OUTPUT -d 10.40.0.142 -j DROP"),
    (IN_FABRIC, "iptables -A FORWARD -o vnet7 -j DROP"),
])
def test_what_is_forwarded_or_sent_meets_its_own_chain(asked, change):
    with wrong("firewall.iptables_drops", f"ICMP to {asked.target}", place="node1", hop="tap"):
        routed(asked, change)


@pytest.mark.parametrize(("asked", "change"), [
    (ROUTED, "iptables -A OUTPUT -j DROP"), (OWN, "iptables -A FORWARD -j DROP"), (IN_FABRIC, "iptables -A FORWARD -o br0 -j DROP"),
])
def test_a_chain_that_it_does_not_meet_drops_nothing(asked, change):
    assert routed(asked, change) == []


def test_a_bridge_under_the_route_has_its_hooks():
    with wrong("firewall.nftables_drops", place="node1", hop="tap"):
        routed(ROUTED, NFT_BRIDGE.format(hook="output", rule='oifname "vnet7" drop'))
    assert routed(IN_FABRIC, NFT_BRIDGE.format(hook="output", rule='oifname "vnet7" drop')) == []
