"""netchecks/causes/sessions.py: with rules that the real tools list, and the neighbouring cases where it has nothing to say."""

import pytest

from netchecks.causes.sessions import NOTHING, firewall_drops_sessions
from tests.suites.vmhost.given import UNSEEN, has, is_unknown, wrong
from tests.suites.vmhost.given import by as played
from tests.suites.vmhost.test_fabric import FABRIC, NO_OSPF, NODE1, OSPFD, bgp, daemons, links, neighbour, ospf

pytestmark = has("nft", "iptables")

RULES = ("iptables", "ip6tables", "nftables")
THEIRS = "iptables -I INPUT -p tcp --dport 179 -j DROP"
BOTH = f"{THEIRS}; iptables -I INPUT -p tcp --sport 179 -j DROP"
NFT = "nft 'table inet filter { chain in { type filter hook input priority 0; policy drop; iif lo accept; icmp type echo-request accept; }; }'"
ESTABLISHED = NFT.replace("iif lo", "ct state established,related accept; iif lo")
WHO = {"place": "node1", "owner": "node administrator"}
NO_OSPF_IN = "iptables -A INPUT -p ospf -j DROP"


def judge(change, known, which=None, asked=NO_OSPF, **facts):
    rules = [played(fact, facts.get(fact, change)) for fact in RULES]
    firewall_drops_sessions(FABRIC, NODE1, which or daemons(), known, asked, *rules, links())


@pytest.mark.parametrize(("change", "words"), [
    (BOTH, ("request dropped by iptables", "--dport 179")), (NFT, ("request dropped by nftables", "policy drop")),
    ("iptables -A INPUT -s 10.20.1.1 -j REJECT", ("request dropped by iptables", "10.20.1.1")),
    ("iptables -P OUTPUT DROP", ("answer dropped by iptables",)),
])
def test_a_rule_drops_bgp_with_a_neighbour_that_is_down(change, words):
    with wrong("frr.session_filtered", "BGP (TCP port 179) with 10.20.1.1 (AS 65000), which is Connect", *words, **WHO, breaks={"routed", "ipv4"}) as caught:
        judge(change, bgp(neighbour(state="Connect")))
    assert "remove or narrow the rule" in caught.value.remedy


@pytest.mark.parametrize(("change", "known"), [
    ("", [neighbour(state="Active")]), (BOTH, [neighbour()]), (BOTH, [neighbour(state="Idle", shut_down=True)]),
    (BOTH, [neighbour("fd20:1::1", "Active", (6,))]), (THEIRS, [neighbour(state="Active")]), (ESTABLISHED, [neighbour(state="Active")]),
    (BOTH, [neighbour("no-such-device", "Active")]),
])
def test_rules_that_do_not_explain_it(change, known):
    """One of the two connections is enough; what is up, or down on purpose, needs no explanation."""
    judge(change, bgp(*known))


def test_a_neighbour_by_its_interface():
    change = "ip6tables -A INPUT -i eth0 -p tcp -j DROP"
    with wrong("frr.session_filtered", "with eth0", **WHO, breaks={"routed", "ipv6"}):
        judge(change, bgp(neighbour("eth0", "Active", (6,))))


def test_one_that_others_stand_in_for_breaks_nothing():
    with wrong("frr.session_filtered", "10.20.1.1", **WHO, breaks=NOTHING):
        judge(BOTH, bgp(neighbour(state="Active"), neighbour("10.20.2.1")))


@pytest.mark.parametrize(("change", "words", "breaks"), [
    (NO_OSPF_IN, "the hellos of OSPF (IP protocol 89): request dropped by iptables", {"routed", "ipv4"}),
    ("iptables -A OUTPUT -d 224.0.0.0/4 -j DROP", "the hellos of OSPF", {"routed", "ipv4"}),
    ("ip6tables -A INPUT -p 89 -j DROP", "the hellos of OSPFv3", {"routed", "ipv6"}),
])
def test_a_rule_drops_the_hellos(change, words, breaks):
    with wrong("frr.session_filtered", words, **WHO, breaks=breaks):
        judge(change, bgp(), OSPFD, ospf())


def test_hellos_that_come_and_those_that_nobody_sends():
    judge(NO_OSPF_IN, bgp(), OSPFD, ospf(("eth0", "Full")))
    judge(NO_OSPF_IN, bgp(), OSPFD, ospf(families=(6,)))
    judge("iptables -A INPUT -p tcp -j DROP", bgp(), OSPFD, ospf())


def test_rules_that_nobody_could_read_explain_nothing():
    for fact in RULES:
        is_unknown(lambda fact=fact: judge(BOTH, bgp(neighbour(state="Active")), **{fact: UNSEEN}))
