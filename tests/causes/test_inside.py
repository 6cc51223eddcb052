"""netchecks/causes/inside.py: each cause with rules that the real tools list, and the neighbouring cases where it has nothing to say."""

from ipaddress import ip_address

import pytest

from netchecks.causes import inside as causes
from netchecks.models.answers import NameAnswer
from netchecks.models.subjects import Flow
from tests.suites.vmhost.given import UNSEEN, _by, answered, answers, has, is_unknown, silent, wrong
from tests.suites.vmhost.inside import VM42, WORLD, inside, pings

pytestmark = has("nft", "iptables")

RULES = ("guest_nftables", "guest_iptables", "guest_ip6tables")
DROPS_IN = """nft 'table inet guest { chain in { type filter hook input priority 0; policy drop; iif lo accept;
    ct state established,related accept; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; }; }'"""
DROPS_OUT = "nft 'table inet guest { chain out { type filter hook output priority 0; policy drop; oif lo accept; }; }'"
KEEPS_IN = "iptables -A OUTPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT; iptables -A OUTPUT -j DROP"
DROPS_A_PORT = "nft 'table inet guest { chain in { type filter hook input priority 0; tcp dport 22 counter drop; }; }'"
ACCEPTS = "nft 'table inet guest { chain in { type filter hook input priority 0; policy drop; icmp type echo-request accept; tcp dport 22 accept; }; }'"


def flow(protocol, family=4, *, full=False) -> Flow:
    return next(
        one for one in WORLD.flows
        if (one.protocol, one.family, bool(one.size), one.interface, str(one.source)) == (protocol, family, full, VM42, "node1")
    )


PING, PING6, TCP, ARP = flow("icmp"), flow("icmp", 6), flow("tcp"), flow("arp")


def drops(change, asked=PING, answer=None, **facts):
    known = [inside(fact, facts.get(fact, change)) for fact in ("guest_links", "guest_addresses", *RULES)]
    causes.guest_firewall_drops(asked, answers({asked: answer or silent()}), *known)


def keeps(change, **told):
    known = [inside(fact, change) for fact in ("guest_links", "guest_addresses", *RULES)]
    causes.guest_firewall_keeps_it_in(VM42, pings(**told), *known)


@pytest.mark.parametrize(("change", "asked", "direction", "words"), [
    (DROPS_IN, PING, "in", ("ICMP: request dropped by nftables", "policy drop")),
    (DROPS_IN, PING6, "in", ("ICMP: request dropped by nftables",)),
    (DROPS_IN, TCP, "in", ("TCP: request dropped by nftables",)),
    (DROPS_OUT, PING, "out", ("ICMP: answer dropped by nftables",)),
    (DROPS_A_PORT, TCP, "in", ("tcp dport 22",)),
    ("iptables -P INPUT DROP", PING, "in", ("request dropped by iptables", "policy drop")),
])
def test_a_rule_inside_drops_what_comes_or_its_answer(change, asked, direction, words):
    breaks = {f"ipv{asked.family}", f"tcp{asked.port}" if asked.port else "unicast"}
    expected = {"layer": "policy", "certain": True, "owner": "guest owner", "breaks": breaks}
    with wrong(f"guest.firewall_drops_{direction}", "vm42: inside the guest", *words, **expected) as caught:
        drops(change, asked)
    assert "inside vm42" in caught.value.remedy


@pytest.mark.parametrize(("change", "asked", "answer"), [
    ("", PING, None), (DROPS_A_PORT, PING, None), (ACCEPTS, PING, None), (ACCEPTS, TCP, None), (DROPS_IN, PING, answered()),
    ("ip6tables -P INPUT DROP", PING, None), (KEEPS_IN, PING, None),
    (f"{DROPS_IN}; ip link set eth0 address 52:54:00:00:00:99", PING, None),
])
def test_rules_that_let_it_through(change, asked, answer):
    drops(change, asked, answer)


def test_rules_that_nobody_could_read_explain_nothing():
    for fact in RULES:
        is_unknown(lambda fact=fact: drops(DROPS_IN, **{fact: UNSEEN}))


@pytest.mark.parametrize(("change", "direction"), [(KEEPS_IN, "out"), (DROPS_OUT, "out"), ("iptables -P INPUT DROP", "in")])
def test_a_rule_inside_drops_what_the_guest_begins_itself(change, direction):
    expected = {"layer": "service", "certain": True, "owner": "guest owner", "breaks": {"outbound"}}
    with wrong(f"guest.firewall_drops_{direction}", "vm42: inside the guest, ICMP", **expected):
        keeps(change, silent="all")


def test_who_is_reached_needs_no_explanation():
    keeps(KEEPS_IN)
    keeps("", silent="all")
    keeps(DROPS_A_PORT, silent="all")


def test_questions_for_names_that_are_dropped():
    told = (NameAnswer(ip_address("10.20.0.53"), "gw.lab.test", -1), NameAnswer(ip_address("127.0.0.53"), "gw.lab.test", -1))
    for change, raises in ((KEEPS_IN, True), ("iptables -A OUTPUT -p udp --dport 53 -j DROP", True), (DROPS_A_PORT, False)):
        known = [inside(fact, change) for fact in ("guest_links", "guest_addresses", *RULES)]
        given = _by("guest_name_answers", {"vm42": (VM42, told)})
        if raises:
            with wrong("guest.firewall_drops_out", "DNS", layer="service", certain=True, owner="guest owner", breaks={"outbound"}):
                causes.guest_firewall_drops_questions(VM42.vm, given, *known)
        else:
            causes.guest_firewall_drops_questions(VM42.vm, given, *known)


def ignores(change, answer=None, asked=ARP):
    given = [inside(fact, change) for fact in ("guest_links", "guest_sysctls")]
    causes.guest_ignores_arp(asked, answers({asked: answer or silent()}), *given)


@pytest.mark.parametrize("device", ["all", "eth0"])
def test_a_kernel_that_is_told_to_answer_no_arp(device):
    name = f"net.ipv4.conf.{device}.arp_ignore"
    with wrong("guest.silent", f"{name} = 8", breaks={"ipv4"}, certain=True, owner="guest owner") as caught:
        ignores(f"echo 8 >/proc/sys/net/ipv4/conf/{device}/arp_ignore")
    assert caught.value.remedy == f"sysctl -w {name}=0 inside vm42"


def test_other_ways_of_answering_arp_are_no_silence():
    ignores("")
    ignores("echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore")
    ignores("echo 8 >/proc/sys/net/ipv4/conf/lo/arp_ignore")
    ignores("echo 8 >/proc/sys/net/ipv4/conf/all/arp_ignore", answered("52:54:00:00:00:42"))
