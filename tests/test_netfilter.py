"""Reading and judging rule sets without a kernel: what the traffic tests cannot show."""

from __future__ import annotations

import json
import random
import string
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import netchecks.observations.netfilter  # noqa: F401 - declares the facts
from netchecks.errors import Unreadable
from netchecks.models.netfilter import BridgeCalls, Firewall, Ruleset, Verdict, bridged_verdict, flow_verdict, local_verdict, routed_verdict
from netchecks.models.netfilter.truth import Doubt, every, negated, some
from netchecks.models.packets import Packet, arp_request, neighbour_solicitation, ping, tcp_syn, udp_datagram
from netchecks.observe import OBSERVATIONS
from tests.calls import calls_of

RECORDED = Path(__file__).parent / "observations"
FACTS = ("iptables", "ip6tables", "arptables", "ebtables", "nftables")
CALLED = BridgeCalls(ipv4=True, ipv6=True, arp=True)
DEVICES: dict[str, Any] = {"in_port": "eth0", "out_port": "vnet0", "in_device": "br0", "out_device": "br0"}
A, B = IPv4Address("10.0.0.3"), IPv4Address("10.0.0.2")
SYN = replace(tcp_syn(A, B, 22, "02:00:00:00:00:03", "02:00:00:00:00:02"), **DEVICES)
PING = replace(ping(A, B, "02:00:00:00:00:03", "02:00:00:00:00:02"), **DEVICES)
ARP = replace(arp_request(A, B, "02:00:00:00:00:03", "02:00:00:00:00:02"), **DEVICES)
NDP = replace(neighbour_solicitation(IPv6Address("fd00::3"), IPv6Address("fd00::2"), "02:00:00:00:00:03"), **DEVICES)


def parse(fact: str, text: str) -> Ruleset:
    rules: Ruleset = OBSERVATIONS[fact].parse(text)
    return rules


def recorded(fact: str, where: str) -> Ruleset:
    return parse(fact, (RECORDED / fact / f"{where}.out").read_text())


def iptables(*rules: str, table: str = "filter", forward: str = "ACCEPT", chains: str = "") -> Ruleset:
    hooks = {"nat": "PREROUTING POSTROUTING", "raw": "PREROUTING OUTPUT"}.get(table, "INPUT OUTPUT")
    head = [f"*{table}", *(f":{name} ACCEPT [0:0]" for name in hooks.split()), f":FORWARD {forward} [7:420]" if table == "filter" else ""]
    return parse("iptables", "\n".join([*head, *(f":{name} - [0:0]" for name in chains.split()), *rules, "COMMIT", ""]))


def nft(*items: dict[str, Any], text: str = "") -> Ruleset:
    return parse("nftables", json.dumps({"nftables": list(items)}) + ("\n\n# text\n" + text if text else ""))


def nft_chain(family: str, hook: str, *rules: list[Any], **more: object) -> list[dict[str, Any]]:
    place = {"family": family, "table": "t"}
    chain = {"chain": {**place, "name": "c", "type": "filter", "hook": hook, "prio": 0, "policy": "accept", **more}}
    return [{"table": {"family": family, "name": "t"}}, chain, *({"rule": {**place, "chain": "c", "handle": n, "expr": rule}} for n, rule in enumerate(rules))]


def forwarded(rules: Ruleset, packet: Packet = SYN) -> Verdict:
    return bridged_verdict(packet, Firewall(iptables=rules, bridge_calls=CALLED))


def test_three_valued_logic() -> None:
    doubt, part = Doubt("mark"), Doubt("numgen", partial=True)
    assert every([doubt, False]) is False
    assert every([doubt, part, True]) == part
    assert every([]) is True
    assert some([doubt, True]) is True
    assert some([False, doubt]) == doubt
    assert some([]) is False
    assert (negated(True), negated(doubt), negated(True, flip=False)) == (False, doubt, True)


def test_a_drop_names_rule_chain_counter_and_backend() -> None:
    verdict = forwarded(iptables("[3:180] -A own -p tcp -m tcp --dport 22 -j DROP", "-A FORWARD -j own", chains="own"))
    assert (verdict.outcome, verdict.tool, verdict.backend, verdict.table, verdict.chain) == ("dropped", "iptables", "legacy", "filter", "own")
    assert (verdict.hook, verdict.packets, verdict.rule) == ("forward", 3, "-A own -p tcp -m tcp --dport 22 -j DROP")
    assert str(verdict) == (
        "request dropped by iptables (legacy), table ip filter, chain own (hook forward): "
        "-A own -p tcp -m tcp --dport 22 -j DROP, 3 packets so far"
    )


def test_a_policy_has_its_own_counter() -> None:
    verdict = forwarded(iptables(forward="DROP"))
    assert (verdict.outcome, verdict.rule, verdict.chain, verdict.packets) == ("dropped", "policy drop", "FORWARD", 7)


@pytest.mark.parametrize("match", [
    "-m set --match-set blocked src", "-m mark --mark 0x1", "-m connmark --mark 0x1/0xff", "-m string --string DROP --algo bm --to 65535",
    "-m recent --rcheck --seconds 60 --name x --mask 255.255.255.255 --rsource", "-m hashlimit --hashlimit-upto 5/sec --hashlimit-name n",
    "-m u32 --u32 0x0=0x1", "-m bpf --bytecode '1,6 0 0 2'", "-m socket", "-m rpfilter --invert", "-m ttl --ttl-lt 5", "-m length --length 0:60",
    "-m owner --uid-owner 0", "-m time --timestart 10:00:00", "-m quota --quota 5", "-m never-heard-of --it 1", "-m policy --dir in --pol ipsec",
    "-m tcp --sport 2000", "-m limit --limit 3/min", "! -m set --match-set a dst",
])
def test_what_cannot_be_evaluated_is_unknown_only_where_it_matters(match: str) -> None:
    deciding = forwarded(iptables(f"-A FORWARD -p tcp {match} -j DROP"))
    assert deciding.outcome == "unknown"
    assert deciding.rule.endswith("-j DROP")
    assert deciding.reasons
    assert forwarded(iptables(f"-A FORWARD -p tcp {match} -j ACCEPT")).outcome == "accepted"
    assert forwarded(iptables(f"-A FORWARD -p udp {match} -j DROP")).outcome == "accepted"
    assert forwarded(iptables(f"-A FORWARD -p tcp {match} -j DROP", forward="DROP")).outcome == "dropped"
    assert forwarded(iptables(f"-A FORWARD -p tcp {match} -j LOG")).outcome == "accepted"
    assert forwarded(iptables("-A FORWARD -j ACCEPT", f"-A FORWARD {match} -j DROP")).outcome == "accepted"


@pytest.mark.parametrize("rule", [
    "-p tcp [unsupported revision] -j DROP", "-j DROP [unsupported revision]", "[unsupported revision]", "-p tcp tcp -j DROP", "-p -j DROP",
])
def test_a_rule_that_the_tool_itself_cannot_show_is_unknown(rule: str) -> None:
    verdict = forwarded(iptables(f"-A FORWARD {rule}", forward="ACCEPT" if "DROP" in rule else "DROP"))
    assert verdict.outcome == ("unknown" if "DROP" in rule else "dropped")


def test_a_doubt_in_an_earlier_chain_does_not_hide_a_certain_drop() -> None:
    rules = iptables("-A FORWARD -m mark --mark 1 -j DROP", "[9:9] -A FORWARD -p tcp -j DROP")
    verdict = forwarded(rules)
    assert (verdict.outcome, verdict.reasons, verdict.packets) == ("dropped", (), 9)


def test_a_part_of_the_packets_is_called_out() -> None:
    verdict = forwarded(iptables("-A FORWARD -m statistic --mode random --probability 0.5 -j DROP"))
    assert (verdict.outcome, verdict.partial) == ("unknown", True)


@pytest.mark.parametrize(("target", "outcome"), [
    ("LOG --log-prefix '-j DROP'", "accepted"), ("NFLOG --nflog-group 1", "accepted"), ("MARK --set-xmark 0x1/0xffffffff", "accepted"),
    ("TCPMSS --clamp-mss-to-pmtu", "accepted"), ("NFQUEUE --queue-num 0", "unknown"), ("QUEUE", "unknown"), ("SOMETHING", "unknown"),
    ("REJECT --reject-with tcp-reset", "dropped"), ("CT --notrack", "accepted"), ("SYNPROXY", "unknown"), ("RETURN", "accepted"),
])
def test_targets(target: str, outcome: str) -> None:
    verdict = forwarded(iptables(f"-A FORWARD -j {target}"))
    assert (verdict.outcome, verdict.rejects) == (outcome, target.startswith("REJECT"))


def test_free_text_is_not_taken_for_options() -> None:
    rules = iptables('-A FORWARD -m comment --comment "-j DROP" -p udp -j DROP', "-A FORWARD -m comment --comment ! -p udp -j DROP")
    assert forwarded(rules).outcome == "accepted"


def test_rules_of_iptables_nft_are_judged_once() -> None:
    """The libvirt rule set of one machine, as both tools show it."""
    firewall = Firewall(
        iptables=recorded("iptables", "debian12-libvirt"), ip6tables=recorded("ip6tables", "debian12-libvirt"),
        nftables=recorded("nftables", "debian12-libvirt"), bridge_calls=CALLED,
    )
    routed = replace(SYN, destination=IPv4Address("192.168.122.5"), in_port="", in_device="eth0", out_port="vnet0", out_device="virbr0")
    verdict = routed_verdict(routed, firewall)
    assert (verdict.outcome, verdict.tool, verdict.chain, verdict.rejects) == ("dropped", "iptables", "LIBVIRT_FWI", True)
    answer = replace(routed, state="established", flags=frozenset({"ack"}))
    assert routed_verdict(answer, firewall).outcome == "accepted"
    alone = replace(firewall, iptables=Ruleset())
    assert routed_verdict(routed, alone).tool == "nftables"
    assert bridged_verdict(replace(SYN, in_device="virbr0", out_device="virbr0"), firewall).outcome == "accepted"
    assert bridged_verdict(replace(NDP, in_device="virbr0", out_device="virbr0"), firewall).outcome == "accepted"


def test_docker_drops_what_is_routed_but_not_published() -> None:
    firewall = Firewall(iptables=recorded("iptables", "debian12-docker"), nftables=recorded("nftables", "debian12-docker"), bridge_calls=CALLED)
    into = replace(SYN, destination=IPv4Address("172.17.0.2"), in_port="", in_device="eth0", out_port="veth1", out_device="docker0")
    web = replace(into, destination_port=80)
    assert (routed_verdict(into, firewall).outcome, routed_verdict(web, firewall).outcome) == ("dropped", "accepted")
    other = bridged_verdict(SYN, firewall)
    assert (other.outcome, other.chain, other.rule) == ("dropped", "FORWARD", "policy drop")
    assert bridged_verdict(SYN, replace(firewall, bridge_calls=BridgeCalls(ipv4=False, ipv6=False, arp=False))).outcome == "accepted"


def test_nova_security_group() -> None:
    firewall = Firewall(iptables=recorded("iptables", "legacy-nova"), bridge_calls=CALLED)
    assert bridged_verdict(SYN, firewall).outcome == "accepted"
    verdict = bridged_verdict(PING, firewall)
    assert (verdict.outcome, verdict.chain, verdict.rule) == ("dropped", "nova-compute-sg-fallback", "-A nova-compute-sg-fallback -j DROP")
    assert bridged_verdict(replace(PING, destination=IPv4Address("10.0.0.9")), firewall).outcome == "accepted"


SERVICE = replace(SYN, destination=IPv4Address("10.96.0.99"), destination_port=80, in_port="", out_port="", in_device="cni0", out_device="eth0")
POD = replace(SERVICE, destination=IPv4Address("10.244.1.10"), destination_port=8080)


def test_kube_proxy_of_nftables_rejects_a_service_without_endpoints() -> None:
    rules = recorded("nftables", "debian12-kube-proxy")
    firewall = Firewall(nftables=rules, bridge_calls=CALLED, own=frozenset({IPv4Address("10.66.0.1")}))
    verdict = routed_verdict(SERVICE, firewall)
    assert (verdict.outcome, verdict.rejects, verdict.chain, verdict.rule) == ("dropped", True, "reject-chain", "reject")
    assert routed_verdict(POD, firewall).outcome == "accepted"


def test_kube_proxy_of_iptables_hangs_on_its_mark() -> None:
    rules = recorded("iptables", "debian12-kube-proxy-legacy")
    firewall = Firewall(iptables=rules, bridge_calls=CALLED, own=frozenset({IPv4Address("10.66.0.1")}))
    verdict = routed_verdict(SERVICE, firewall)
    assert (verdict.outcome, verdict.rejects, verdict.chain) == ("unknown", True, "KUBE-SERVICES")
    assert verdict.reasons[0].startswith("-m mark --mark 0x4000/0x4000 in chain KUBE-FORWARD")
    assert routed_verdict(POD, firewall).outcome == "accepted"


def test_a_table_that_iptables_save_cannot_show_is_judged_by_nft() -> None:
    firewall = Firewall(
        iptables=recorded("iptables", "debian12-both-backends"), nftables=recorded("nftables", "debian12-both-backends"), bridge_calls=CALLED,
    )
    seen = replace(SYN, protocol="icmp", icmp_type=8, flags=frozenset())
    verdict = bridged_verdict(seen, firewall)
    assert (verdict.outcome, verdict.tool, verdict.table, verdict.partial) == ("unknown", "nftables", "mangle", True)


def test_tables_that_were_not_read_leave_a_doubt() -> None:
    firewall = Firewall(ip6tables=recorded("ip6tables", "legacy-unread"), bridge_calls=CALLED)
    verdict = bridged_verdict(NDP, firewall)
    assert (verdict.outcome, verdict.reasons) == ("unknown", ("ip6tables (legacy): tables filter nat",))
    assert bridged_verdict(SYN, firewall).outcome == "accepted"


def test_an_unknown_switch_of_br_netfilter_leaves_a_doubt_only_for_a_drop() -> None:
    unknown = Firewall(iptables=iptables("-A FORWARD -p tcp -j DROP"))
    assert bridged_verdict(SYN, unknown).outcome == "unknown"
    assert "bridge-nf-call" in bridged_verdict(SYN, unknown).reasons[0]
    assert bridged_verdict(PING, unknown).outcome == "accepted"
    assert bridged_verdict(replace(SYN, vlan=10), replace(unknown, bridge_calls=CALLED)).outcome == "unknown"


def test_nat_chains_see_the_first_packet_only() -> None:
    rules = iptables("-A PREROUTING -p tcp -m tcp --dport 22 -j NFQUEUE", table="nat")
    assert forwarded(rules).outcome == "unknown"
    assert forwarded(rules, replace(SYN, state="established")).outcome == "accepted"


def test_a_translated_address_is_not_known_later() -> None:
    text = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -d 10.0.0.2/32 -j DNAT --to-destination 10.1.1.1\nCOMMIT\n*filter\n:FORWARD ACCEPT [0:0]\n"
    assert forwarded(parse("iptables", text + "-A FORWARD -d 10.1.1.1/32 -j DROP\nCOMMIT\n")).outcome == "unknown"
    assert forwarded(parse("iptables", text + "-A FORWARD -s 10.0.0.3/32 -j DROP\nCOMMIT\n")).outcome == "dropped"
    assert forwarded(parse("iptables", text + "-A FORWARD -m conntrack --ctstate DNAT -j DROP\nCOMMIT\n")).outcome == "dropped"


def test_legacy_ebtables_lists_are_read() -> None:
    firewall = Firewall(ebtables=recorded("ebtables", "centos7-legacy"), bridge_calls=CALLED)
    verdict = bridged_verdict(replace(ARP, in_port="vnet1"), firewall)
    assert (verdict.outcome, verdict.backend, verdict.rule, verdict.packets) == ("dropped", "legacy", "policy drop", None)
    spoofed = bridged_verdict(replace(ARP, in_port="vnet0"), firewall)
    assert (spoofed.chain, spoofed.packets, spoofed.rule) == ("libvirt-I-vnet0", 1, "-A libvirt-I-vnet0 -s ! 52:54:0:56:44:32 -j DROP")


def test_libvirts_clean_traffic_filter() -> None:
    firewall = Firewall(ebtables=recorded("ebtables", "debian12-nwfilter"), nftables=recorded("nftables", "debian12-nwfilter"), bridge_calls=CALLED)
    out = replace(PING, source=IPv4Address("10.33.8.131"), source_mac="52:54:00:56:44:32", in_port="vnet0", out_port="eth0")
    assert bridged_verdict(out, firewall).outcome == "accepted"
    verdict = bridged_verdict(replace(out, source=IPv4Address("10.33.8.132")), firewall)
    assert (verdict.outcome, verdict.tool, verdict.table, verdict.chain) == ("dropped", "ebtables", "nat", "I-vnet0-ipv4")
    assert bridged_verdict(replace(NDP, in_port="vnet0"), firewall).rule == "-A libvirt-I-vnet0 -j DROP"


def test_ebtables_that_answer_or_route_are_not_called_drops() -> None:
    answered = bridged_verdict(replace(ARP, in_port="eth1", out_port="eth2"), Firewall(ebtables=recorded("ebtables", "debian12-nwfilter"), bridge_calls=CALLED))
    assert (answered.outcome, "arpreply" in answered.reasons[0]) == ("unknown", True)
    broute = parse("ebtables", "# backend legacy\n*broute\nBridge table: broute\nBridge chain: BROUTING, entries: 1, policy: ACCEPT\n-p IPv4 -j DROP , pcnt = 1 -- bcnt = 2\n")
    assert bridged_verdict(PING, Firewall(ebtables=broute, bridge_calls=CALLED)).outcome == "unknown"


def test_legacy_arptables_lists_are_read() -> None:
    firewall = Firewall(arptables=recorded("arptables", "arptables-0.0.5-legacy"), bridge_calls=CALLED)
    verdict = bridged_verdict(ARP, firewall)
    assert (verdict.outcome, verdict.tool, verdict.rule) == ("dropped", "arptables", "policy drop")
    assert bridged_verdict(replace(ARP, source_mac="00:11:22:33:44:55"), firewall).outcome == "accepted"
    asked = replace(ARP, source=IPv4Address("1.2.3.4"), in_device="eth0", in_port="", out_port="", out_device="")
    assert local_verdict(asked, firewall).packets == 0


def test_netdev_chains_whose_devices_are_not_told_leave_a_doubt() -> None:
    drop = nft_chain("netdev", "ingress", [{"drop": None}])
    assert bridged_verdict(ARP, Firewall(nftables=nft(*drop))).outcome == "unknown"
    text = 'table netdev t { # handle 1\n\tchain c { # handle 1\n\t\ttype filter hook ingress device "eth0" priority filter; policy accept;\n\t\tdrop # handle 0\n'
    verdict = bridged_verdict(ARP, Firewall(nftables=nft(*drop, text=text), bridge_calls=CALLED))
    assert (verdict.outcome, verdict.rule) == ("dropped", "drop")
    devices = nft_chain("netdev", "ingress", [{"drop": None}], dev=["eth7", "eth8"])
    assert bridged_verdict(ARP, Firewall(nftables=nft(*devices), bridge_calls=CALLED)).outcome == "accepted"


def test_xt_expressions_in_nft_are_doubts() -> None:
    """What iptables-nft has put into a table that no iptables tool shows, as nft without and with libxtables prints it."""
    for xt in ({"xt": None}, None, {"xt": {"type": "match", "name": "physdev"}}):
        rules = nft_chain("ip", "forward", [xt, {"drop": None}])
        assert bridged_verdict(SYN, Firewall(nftables=nft(*rules), bridge_calls=CALLED)).outcome == "unknown"
    target = nft_chain("ip", "forward", [{"xt": {"type": "target", "name": "TEE"}}])
    assert bridged_verdict(SYN, Firewall(nftables=nft(*target), bridge_calls=CALLED)).outcome == "unknown"


def test_catch_all_elements_come_last() -> None:
    key = {"payload": {"protocol": "tcp", "field": "dport"}}
    vmap = nft_chain("ip", "forward", [{"vmap": {"key": key, "data": {"set": [["*", {"drop": None}], [22, {"accept": None}]]}}}])
    firewall = Firewall(nftables=nft(*vmap), bridge_calls=CALLED)
    assert bridged_verdict(SYN, firewall).outcome == "accepted"
    assert bridged_verdict(replace(SYN, destination_port=80), firewall).outcome == "dropped"


def test_everything_of_nft_is_read_and_judged() -> None:
    rules = recorded("nftables", "nft-1.0.6-everything")
    texts = [rule.text for table in rules.tables for chain in table.chains.values() for rule in chain.rules]
    assert "ct state vmap { invalid : drop, established : accept, new : jump u }" in texts
    assert "ip saddr 1.2.3.4 ip daddr 5.6.7.0/24 counter drop" in texts
    chain = next(table for table in rules.tables if table.name == "n").chains["e"]
    assert (chain.devices, chain.hook, chain.policy) == (("lo",), "egress", "drop")
    firewall = Firewall(nftables=rules, bridge_calls=CALLED)
    verdict = bridged_verdict(SYN, firewall)
    assert (verdict.family, verdict.rule) == ("bridge", "ip protocol tcp tcp dport 22 drop")
    assert bridged_verdict(PING, firewall).outcome == "accepted"
    tagged = bridged_verdict(replace(PING, vlan=10), firewall)
    assert (tagged.outcome, tagged.rule) == ("dropped", "vlan id 10 drop")
    asked = replace(ARP, source=IPv4Address("10.0.0.1"), destination=B)
    assert bridged_verdict(asked, firewall).rule.startswith("arp operation request arp saddr ip 10.0.0.1")


@pytest.mark.parametrize("text", [
    "*filter\n:FORWARD DROP [0:0]\n:own - [0:0]\n",  # declared, and cut off before COMMIT: the rules are withheld
    "*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -p tcp -m com",
    '*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -m comment --comment "open\nCOMMIT\n',
    "*filter\n:FORWARD ACCEPT [0:0]\n-A NOWHERE -j DROP\nCOMMIT\n", "*filter\n:FORWARD\nCOMMIT\n", "-A FORWARD -j DROP\n", "hello\n",
    "*filter\n:FORWARD ACCEPT [x:y]\nCOMMIT\n", "*filter\nCOMMIT\n-A FORWARD -j DROP\n", "iptables: Permission denied (you must be root).\n",
])
def test_a_damaged_dump_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        parse("iptables", text)


@pytest.mark.parametrize("text", [
    '{"nftables": [', '{"nftables": {}}', "[]", "{}", '{"nftables": [{"chain": {"family": "ip"}}]}', '{"nftables": [{"rule": 5}]}',
    '{"nftables": [{"table": {"family": "alien", "name": "x"}}]}', "Error: syntax error", '{"nftables": []}{"nftables": []}',
])
def test_damaged_json_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        parse("nftables", text)


def test_nothing_loaded_lets_everything_through() -> None:
    nothing: dict[str, Any] = {fact: recorded(fact, "nothing-loaded") for fact in FACTS}
    firewall = Firewall(**nothing, bridge_calls=CALLED)
    assert parse("nftables", "") == Ruleset()
    assert {flow_verdict(packet, firewall).outcome for packet in (SYN, PING, ARP, NDP)} == {"accepted"}


def test_chains_that_call_each_other_end_in_a_doubt() -> None:
    names = [f"c{n}" for n in range(6)]
    rules = [f"-A {one} -j {two}" for one in names for two in names if one != two]
    assert forwarded(iptables("-A FORWARD -j c0", *rules, "-A FORWARD -j DROP", chains=" ".join(names), forward="DROP")).outcome in {"dropped", "unknown"}
    deep = [f"-A d{n} -j d{n + 1}" for n in range(400)]
    assert forwarded(iptables("-A FORWARD -j d0", *deep, chains=" ".join(f"d{n}" for n in range(401)))).outcome == "unknown"


def _follow(count: int) -> None:
    """Read that many rules and follow a packet through them to the last."""
    services = [f'-A SVC -d 10.{n >> 8 & 255}.{n & 255}.7/32 -p tcp -m comment --comment "ns/svc-{n}" -m tcp --dport 80 -j REJECT' for n in range(count)]
    rules = iptables("-A FORWARD -j SVC", *services, chains="SVC")
    last = replace(SYN, destination=ip_address(f"10.{count - 1 >> 8}.{count - 1 & 255}.7"), destination_port=80)
    assert forwarded(rules, last).outcome == "dropped"


def test_a_big_rule_set_costs_no_more_than_its_size() -> None:
    assert calls_of(lambda: _follow(4000)) < 8 * calls_of(lambda: _follow(1000))  # four times; caches fill meanwhile


def test_the_answer_is_the_reverse() -> None:
    answer = SYN.reverse()
    assert (answer.source, answer.destination, answer.source_port, answer.in_port, answer.out_port) == (B, A, 22, "vnet0", "eth0")
    assert (answer.state, answer.flags, answer.answer) == ("established", frozenset({"syn", "ack"}), True)
    reply = ARP.reverse()
    assert (reply.operation, reply.source, reply.destination, reply.source_mac, reply.destination_mac) == (2, B, A, "02:00:00:00:00:02", "02:00:00:00:00:03")
    advert = NDP.reverse()
    assert (advert.icmp_type, advert.source, advert.source_mac, advert.state) == (136, IPv6Address("fd00::2"), "", "untracked")
    assert PING.reverse().icmp_type == 0
    assert udp_datagram(A, B, 53).reverse().source_port == 53


DUMPS = [(path.parent.name, path.read_text()) for fact in FACTS for path in sorted((RECORDED / fact).glob("*.out"))]
WAYS = (
    SYN, PING, ARP, NDP, replace(SYN, in_device="", in_port=""), replace(PING, out_device="", out_port=""),
    replace(SYN, out_device="eth9", out_port=""), replace(ARP, out_device="", out_port=""),
)


def judge_all(fact: str, rules: Ruleset) -> None:
    facts: dict[str, Any] = {fact: rules}
    for calls in (CALLED, BridgeCalls()):
        for packet in WAYS:
            verdict = flow_verdict(packet, Firewall(**facts, bridge_calls=calls))
            assert verdict.outcome in {"accepted", "dropped", "unknown"}
            assert (verdict.outcome == "dropped") <= bool(verdict.rule)
            assert (verdict.outcome == "unknown") <= bool(verdict.reasons)
            assert str(verdict)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(DUMPS), st.integers(0, 2 ** 32), st.integers(1, 6))
def test_damaged_dumps_are_read_or_unreadable_and_what_is_read_is_judged(dump: tuple[str, str], seed: int, edits: int) -> None:
    fact, text = dump
    chance = random.Random(seed)
    for _ in range(edits):
        at, to = sorted((chance.randrange(len(text) + 1), chance.randrange(len(text) + 1)))
        text = chance.choice((
            text[:at], text[:at] + text[min(to, at + 30):], text[:at] + chance.choice(string.printable + '"\'!-{}[]@é\x1b') + text[at + 1:],
            text[:at] + text[at:to][:200] * 2 + text[to:],
        ))
    try:
        rules = parse(fact, text)
    except Unreadable:
        return
    judge_all(fact, rules)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(FACTS), st.text(max_size=400))
def test_garbage_is_read_or_unreadable(fact: str, text: str) -> None:
    try:
        parse(fact, text)
    except Unreadable:
        return


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 70000) | st.sampled_from(["accept", "@s", "10.0.0.2", "tcp", "*", "new", "c", "x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([
        "match", "left", "right", "op", "payload", "protocol", "field", "meta", "key", "ct", "set", "vmap", "data", "&", "prefix", "addr", "len",
        "range", "concat", "drop", "jump", "target", "mangle", "value", "elem", "val", "fib", "xt", "numgen", "reject", "dnat", "limit",
    ]), inner, max_size=3), max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_JSON, max_size=5))
def test_strange_statements_are_read_or_unreadable(statements: list[Any]) -> None:
    try:
        rules = nft(*nft_chain("inet", "forward", statements))
    except Unreadable:
        return
    judge_all("nftables", rules)
