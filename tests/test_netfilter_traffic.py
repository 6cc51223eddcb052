"""The judgement of rule sets against what the kernel really does with packets.

Each case loads a rule set on a node, dumps it with the observations' own commands, judges every probe, and sends them.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import netchecks.observations.netfilter  # noqa: F401 - declares the facts
from netchecks.models.netfilter import BridgeCalls, Firewall, Verdict, flow_verdict
from netchecks.observe import OBSERVATIONS

_SPEC = importlib.util.spec_from_file_location("netfilter_lab", Path(__file__).with_name("netfilter_lab.py"))
assert _SPEC is not None
assert _SPEC.loader is not None
netfilter_lab = importlib.util.module_from_spec(_SPEC)
sys.modules["netfilter_lab"] = netfilter_lab
_SPEC.loader.exec_module(netfilter_lab)

if TYPE_CHECKING:
    from tests.netfilter_lab import Lab, Probe

FACTS = ("iptables", "ip6tables", "arptables", "ebtables", "nftables")
RESET = """
nft flush ruleset
for f in /proc/net/ip_tables_names; do for t in $(cat $f); do iptables-legacy -t $t -F; iptables-legacy -t $t -X; done; done
[ ! -s /dev/null ] && for c in INPUT FORWARD OUTPUT; do grep -q filter /proc/net/ip_tables_names && iptables-legacy -P $c ACCEPT; done
grep -q filter /proc/net/arp_tables_names && { arptables-legacy -F; arptables-legacy -P FORWARD ACCEPT; }
conntrack -F >/dev/null 2>&1
true
"""


@dataclass(frozen=True)
class Case:
    """A rule set; the probes (shell-like words: ``bridged 4 tcp``) that must not get through, and those nobody can tell."""

    name: str
    script: str
    dropped: str = ""
    unknown: str = ""
    calls: str = "0 0 0"
    by: str = ""


def nft(text: str) -> str:
    """Load with nft; 1.0.6 wants a line end between two closing braces."""
    return "nft -f - <<'E'\n" + re.sub(r"\} ?\}", "}\n}", text) + "\nE\n"


CASES = [
    Case("empty", ""),
    Case("iptables policy drop, called from the bridge", "iptables -P FORWARD DROP", r"(bridged|routed).*4$", calls="1 1 0",
         by="iptables filter FORWARD policy drop"),
    Case("iptables policy drop, not called", "iptables -P FORWARD DROP", r"routed.*4$"),
    Case("ip6tables policy drop, called", "ip6tables -P FORWARD DROP", r"(bridged|routed).*6$|bridged ndp", calls="1 1 0"),
    Case("iptables policy drop, only IPv6 called", "iptables -P FORWARD DROP", r"routed.*4$", calls="0 1 0"),
    Case("legacy iptables, one port", "iptables-legacy -A FORWARD -p tcp --dport 22 -j DROP", r"(bridged|routed) tcp22 ipv4",
         calls="1 1 0", by="iptables filter FORWARD -A FORWARD -p tcp -m tcp --dport 22 -j DROP"),
    Case("legacy drops what nft accepts",
         "iptables-nft -A FORWARD -j ACCEPT; iptables-legacy -A FORWARD -p icmp -j DROP", r"(bridged|routed) ping4", calls="1 1 0"),
    Case("established only one way",
         "iptables -P FORWARD DROP; iptables -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT;"
         "iptables -A FORWARD -p tcp --dport 80 -m state --state NEW -j ACCEPT",
         r"(bridged|routed) (ping4|tcp22 ipv4|udp53 ipv4)", calls="1 0 0"),
    Case("answers are dropped", "iptables -A FORWARD -m state --state ESTABLISHED -j DROP", r"(bridged|routed).*4$", calls="1 0 0"),
    Case("user chains, goto, return and negation", """
iptables -N first; iptables -N second; iptables -N third
iptables -A FORWARD -p tcp -j first; iptables -A FORWARD -p icmp -g third; iptables -A FORWARD -p udp -j DROP
iptables -A first -p tcp --dport 80 -j RETURN; iptables -A first ! -s 10.99.0.0/16 -j second; iptables -A second -j DROP
iptables -A third ! -d 10.77.0.0/24 -j DROP; iptables -A third -j RETURN""",
         r"bridged (tcp..|udp53) ipv4|routed (tcp.. ipv4|udp53 ipv4|ping4)", calls="1 0 0"),
    Case("multiport, iprange, mac",
         "iptables -A FORWARD -p tcp -m multiport --dports 20:22,443 -m iprange --src-range 10.77.0.5-10.77.0.15"
         " -m mac --mac-source 02:77:00:00:00:0a -j DROP", r"(bridged|routed) tcp22 ipv4", calls="1 0 0"),
    Case("physdev in and out", "iptables -A FORWARD -m physdev --physdev-in pa --physdev-out pb -p icmp -j DROP;"
         "iptables -A FORWARD -m physdev --physdev-is-bridged -p udp -j DROP;"
         "iptables -A INPUT -m physdev --physdev-in p+ -p udp -j DROP", r"bridged (ping4|udp53 ipv4)|(in|out) udp53 ipv4", calls="1 0 0"),
    Case("physdev without br_netfilter", "iptables -A INPUT -m physdev --physdev-in pa -j DROP;"
         "iptables -A FORWARD -m physdev --physdev-is-bridged -j DROP"),
    Case("the bridge as the interface", "iptables -A FORWARD -i br0 -o br0 -p icmp -j DROP; iptables -A FORWARD -i br0 -o p+ -p udp -j DROP",
         r"bridged ping4|routed udp53 ipv4", calls="1 0 0"),
    Case("raw and mangle drop", "iptables -t raw -A PREROUTING -p icmp -i br0 -j DROP; iptables -t mangle -A POSTROUTING -p udp -j DROP",
         r"(bridged|out|in|routed) (ping4|udp53 ipv4)", calls="1 0 0"),
    Case("untracked is not established", "iptables -t raw -A PREROUTING -p udp -j NOTRACK; iptables -t raw -A OUTPUT -p udp -j NOTRACK;"
         "iptables -A FORWARD -m state ! --state NEW,ESTABLISHED -j DROP", r"(bridged|routed) udp53 ipv4", calls="1 0 0"),
    Case("raw sees no state", "iptables -t raw -A PREROUTING -m state --state INVALID -p icmp -j DROP", r"(bridged|in|out|routed) ping4",
         calls="1 0 0"),
    Case("OUTPUT and INPUT of the node", "iptables -A OUTPUT -p tcp --dport 22 -o br0 -j REJECT; iptables -A INPUT -p icmp --icmp-type 8 -j DROP;"
         "ip6tables -A INPUT -p icmpv6 --icmpv6-type 128 -s fd77::/64 -j DROP", r"out tcp22 ipv4|in ping[46]"),
    Case("addrtype", "iptables -A INPUT -m addrtype --dst-type LOCAL -p udp -j DROP; iptables -A FORWARD -m addrtype --dst-type LOCAL -j DROP",
         r"(in|out) udp53 ipv4", calls="1 0 0"),
    Case("mark before the end: told, if nothing follows from it", "iptables -A FORWARD -m mark --mark 7 -j ACCEPT"),
    Case("mark decides: unknown", "iptables -P FORWARD DROP; iptables -A FORWARD -m mark --mark 7 -j ACCEPT", "",
         r"(bridged|routed).*4$", calls="1 0 0"),
    Case("statistic: unknown and partial", "iptables -A FORWARD -m statistic --mode random --probability 0.5 -j DROP", "",
         r"(bridged|routed).*4$", calls="1 0 0"),
    Case("NAT rewrites, a later rule on the address",
         "iptables -t nat -A POSTROUTING -o pc -j MASQUERADE; iptables -A FORWARD -d 10.77.0.10 -p icmp -j DROP",
         "", r"routed ping4"),
    Case("a limit guards an accept", "iptables -A FORWARD -p icmp -m limit --limit 1/min -j ACCEPT; iptables -A FORWARD -p icmp -j DROP", "",
         r"(bridged|routed) ping4", calls="1 0 0"),
    Case("a logged drop", "iptables -A FORWARD -p icmp -m limit --limit 1/min -j LOG --log-prefix '-j ACCEPT '; iptables -A FORWARD -p icmp -j DROP",
         r"(bridged|routed) ping4", calls="1 0 0"),
    Case("nft bridge, ARP", nft("table bridge f { chain x { type filter hook forward priority 0; ether type arp counter drop; } }"), "bridged arp",
         by="nftables f x ether type arp counter drop"),
    Case("nft bridge policy", nft("table bridge f { chain x { type filter hook forward priority 0; policy drop; ether type arp accept; } }"),
         "bridged (ndp|.*[46]$)"),
    Case("nft bridge, answers to one port", nft(
        "table bridge f { chain x { type filter hook forward priority 0; iifname pb tcp sport 22 counter drop; } }"), r"bridged tcp22"),
    Case("nft bridge prerouting and input", nft(
        "table bridge f { chain p { type filter hook prerouting priority -300; iifname pa ip protocol udp counter drop; }\n"
        "chain i { type filter hook input priority 0; ip protocol icmp counter drop; }\n"
        "chain o { type filter hook output priority 0; oifname pb tcp dport 80 counter drop; } }"),
         r"(bridged|in|routed) udp53 ipv4|(in|out|routed) ping4|out tcp80"),
    Case("nft inet forward, called", nft("table inet f { chain x { type filter hook forward priority 0; tcp dport { 20-22, 443 } counter drop; } }"),
         r"(bridged|routed) tcp22", calls="1 1 0"),
    Case("nft inet forward, not called", nft("table inet f { chain x { type filter hook forward priority 0; policy drop; } }"), r"routed"),
    Case("accepted by one base chain, dropped by a later one", nft(
        "table inet f { chain a { type filter hook forward priority -10; accept; }\n"
        "chain b { type filter hook forward priority 10; meta l4proto udp counter drop; } }"), r"(bridged|routed) udp53", calls="1 1 0",
         by="nftables f b meta l4proto udp counter drop"),
    Case("sets, intervals, concatenations", nft("""table ip f {
 set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.168.0.1-192.168.0.9 } }
 set c { type ipv4_addr . inet_proto . inet_service; flags interval; elements = { 10.77.0.0/24 . tcp . 20-22, 10.78.0.30 . udp . 53 } }
 chain x { type filter hook forward priority 0; ip saddr != @s counter drop
  ip daddr . meta l4proto . th dport @c counter drop; } }"""), r"bridged tcp22 ipv4|routed udp53 ipv4", calls="1 0 0"),
    Case("verdict maps", nft("""table inet f {
 map m { type inet_proto . inet_service : verdict; elements = { tcp . 22 : drop, tcp . 80 : goto y, udp . 53 : jump y } }
 chain y { meta nfproto ipv6 return; counter accept; }
 chain x { type filter hook forward priority 0; ct state vmap { established : accept, related : accept }
  meta l4proto . th dport vmap @m; counter drop; } }"""),
         r"(bridged|routed) (ping[46]|tcp22 ipv[46]|udp53 ipv6)|bridged ndp", calls="1 1 0"),
    Case("ct state of nft", nft("""table inet f { chain x { type filter hook forward priority 0; policy drop
  ct state established,related accept; ct state new tcp dport 80 accept; ct state untracked accept; } }"""),
         r"(bridged|routed) (ping[46]|tcp22 ipv[46]|udp53 ipv[46])", calls="1 1 0"),
    Case("tcp flags", nft("table inet f { chain x { type filter hook forward priority 0; tcp flags & (syn|ack) == (syn|ack) tcp sport 22 counter drop; } }"),
         r"(bridged|routed) tcp22", calls="1 1 0"),
    Case("flags that are not equal are not flags that are absent", nft("""table inet f { chain x { type filter hook forward priority 0
  ct state != established,related tcp sport 22 counter drop
  ct state ! established,related tcp dport 443 counter drop; ct state & (new|untracked) == 0 udp sport 53 counter drop
  tcp flags != 18 tcp sport 80 counter accept; tcp sport 80 counter drop; } }"""), r"routed (tcp|udp)"),
    Case("netdev ingress of a port", nft("table netdev f { chain x { type filter hook ingress device pa priority 0; udp dport 53 counter drop; } }"),
         r"(bridged|in|routed) udp53"),
    Case("netdev egress of a port, answers", nft("table netdev f { chain x { type filter hook egress device pa priority 0; tcp sport 80 counter drop; } }"),
         r"(bridged|in|routed) tcp80"),
    Case("netdev ingress of the bridge", nft("table netdev f { chain x { type filter hook ingress device br0 priority 0; meta l4proto icmp counter drop; } }"),
         r"(out|in|routed) ping4"),
    Case("numgen: unknown", nft("table bridge f { chain x { type filter hook forward priority 0; numgen random mod 100 < 50 drop; } }"), "", "bridged"),
    Case("no device, negated", nft("table inet f { chain x { type filter hook output priority 0; iifname != br0 udp dport 53 counter drop; } }"), r"out udp53"),
    Case("ebtables against ARP", "ebtables -A FORWARD -p ARP -j DROP", "bridged arp", by="ebtables filter FORWARD -A FORWARD -p ARP -j DROP"),
    Case("ebtables ARP fields", "ebtables -A FORWARD -p ARP --arp-op Request --arp-ip-dst 10.77.0.20 --arp-ip-src 10.77.0.0/24"
         " --arp-mac-src 02:77:00:00:00:0a -j DROP", "bridged arp"),
    Case("ebtables ARP answers", "ebtables -A FORWARD -p ARP --arp-op Reply -i pb -o pa --arp-mac-dst 02:77:00:00:00:0a -j DROP", "bridged arp"),
    Case("ebtables as libvirt's filters", """
ebtables -t nat -N libvirt-I-pa -P ACCEPT; ebtables -t nat -N I-pa-mac -P RETURN; ebtables -t nat -N I-pa-ip -P ACCEPT
ebtables -t nat -A PREROUTING -i pa -j libvirt-I-pa
ebtables -t nat -A libvirt-I-pa -j I-pa-mac; ebtables -t nat -A libvirt-I-pa -p IPv4 -j I-pa-ip
ebtables -t nat -A I-pa-mac -s 02:77:00:00:00:0a -j RETURN; ebtables -t nat -A I-pa-mac -j DROP
ebtables -t nat -A I-pa-ip -p IPv4 --ip-src 10.77.0.11 -j RETURN; ebtables -t nat -A I-pa-ip -j DROP""", r"(bridged|in|routed).*4$"),
    Case("ebtables user policy", "ebtables -N own -P DROP; ebtables -A FORWARD -p IPv6 -j own; ebtables -A own -p IPv6 --ip6-proto ipv6-icmp -j RETURN",
         r"bridged (tcp|udp).*6$"),
    Case("ebtables masks and negation", "ebtables -A FORWARD -s ! 02:77:00:00:00:00/ff:ff:00:00:00:00 -j DROP; ebtables -A FORWARD -d Multicast -j DROP",
         r"bridged (arp|ndp)"),
    Case("ebtables OUTPUT and INPUT", "ebtables -A OUTPUT -p IPv4 --ip-proto tcp --ip-dport 22 -j DROP; ebtables -A INPUT -p IPv4 --ip-proto icmp -j DROP",
         r"out tcp22 ipv4|(out|in|routed) ping4"),
    Case("ebtables POSTROUTING", "ebtables -t nat -A POSTROUTING -o pb -p IPv6 -j DROP", r"(bridged|out).*6$|bridged ndp"),
    Case("arptables forward, called", "arptables-legacy -A FORWARD -s 10.77.0.10 -i pa -j DROP", "bridged arp", calls="0 0 1"),
    Case("arptables forward, not called", "arptables-legacy -P FORWARD DROP"),
    Case("iptables-nft beside a chain of one's own in its table", "iptables -A FORWARD -p icmp -j DROP;" + nft(
        "table ip filter { chain own { type filter hook forward priority 5; udp dport 53 counter drop; } }"), r"(bridged|routed) (ping4|udp53 ipv4)", calls="1 0 0"),
]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    made = netfilter_lab.Lab()
    try:
        made.up()
        yield made
    finally:
        made.down()


def seen(lab: Lab, calls: str) -> Firewall:
    commands = [OBSERVATIONS[name].command for name in FACTS]
    with ThreadPoolExecutor() as pool:
        texts = pool.map(lab.run, [["sh", "-c", command.shell, "sh", *command.argv] for command in commands])
        facts = {name: OBSERVATIONS[name].parse(text) for name, text in zip(FACTS, texts, strict=True)}
    return Firewall(**facts, bridge_calls=BridgeCalls(*(word == "1" for word in calls.split())), own=netfilter_lab.OWN)


def load(lab: Lab, case: Case) -> None:
    names = ("iptables", "ip6tables", "arptables")
    switches = "".join(f"echo {value} >/proc/sys/net/bridge/bridge-nf-call-{name}\n" for name, value in zip(names, case.calls.split(), strict=True))
    lab.run(["sh"], RESET + "set -e\n" + switches + case.script)


def judged(lab: Lab, probes: list[Probe], calls: str) -> dict[str, Verdict]:
    firewall = seen(lab, calls)
    return {probe.name: flow_verdict(probe.packet, firewall) for probe in probes}


def matching(pattern: str, names: list[str]) -> set[str]:
    return {name for name in names if pattern and re.match(pattern, name)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verdict_is_what_happens(lab: Lab, case: Case) -> None:
    load(lab, case)
    probes = lab.probes()
    names = [probe.name for probe in probes]
    verdicts = judged(lab, probes, case.calls)
    by_outcome = {outcome: {name for name in names if verdicts[name].outcome == outcome} for outcome in ("accepted", "dropped", "unknown")}
    lab.send(probes, by_outcome["accepted"])
    answered = {probe.name for probe in probes if probe.answered}
    assert by_outcome["accepted"] - answered == set(), "judged accepted, but nothing came back"
    assert by_outcome["dropped"] & answered == set(), "judged dropped, but an answer came"
    assert by_outcome["dropped"] == matching(case.dropped, names)
    assert by_outcome["unknown"] == matching(case.unknown, names)
    assert all(verdicts[name].reasons for name in by_outcome["unknown"])
    after = judged(lab, probes, case.calls)
    for name in by_outcome["dropped"]:
        before, now = verdicts[name], after[name]
        if before.packets is not None and now.packets is not None:
            assert now.packets > before.packets, f"{name}: the counter of the rule that was named did not grow: {now}"
        if case.by:
            assert f"{now.tool} {now.table} {now.chain} {now.rule}" == case.by
