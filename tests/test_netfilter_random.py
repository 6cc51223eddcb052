"""Random rule sets against the kernel: what nobody thought of when the cases of test_netfilter_traffic.py were written."""

from __future__ import annotations

import importlib.util
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.netfilter_lab import Lab


def _beside(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


traffic: Any = _beside("test_netfilter_traffic")
MACS = list(traffic.netfilter_lab.MACS.values())
V4 = ["10.77.0.0/24", "10.77.0.10", "10.77.0.20", "10.78.0.30", "10.77.0.1", "10.77.0.8/29"]
V6 = ["fd77::/64", "fd77::10", "fd77::20", "fd78::30", "fd77::1", "fd77::10/127"]
STATES = ["NEW", "ESTABLISHED", "RELATED,ESTABLISHED", "INVALID", "UNTRACKED", "INVALID,UNTRACKED"]
IN_CHAINS, OUT_CHAINS = {"PREROUTING", "FORWARD", "INPUT"}, {"POSTROUTING", "FORWARD", "OUTPUT"}
IP_CHAINS = [
    *[("filter", "FORWARD")] * 5, ("filter", "INPUT"), ("filter", "OUTPUT"), ("raw", "PREROUTING"), ("raw", "OUTPUT"),
    ("mangle", "POSTROUTING"), ("mangle", "PREROUTING"), ("mangle", "FORWARD"), ("security", "FORWARD"),
]
BRIDGE_CHAINS = [
    *[("filter", "FORWARD")] * 4, ("filter", "INPUT"), ("filter", "OUTPUT"), ("nat", "PREROUTING"), ("nat", "POSTROUTING"),
]
ARP_OPTIONS = [
    "", "--arp-op Request", "--arp-op ! Reply", "--arp-ip-src 10.77.0.10", "--arp-ip-dst ! 10.77.0.10",
    "--arp-mac-dst 02:77:00:00:00:0a", "--arp-mac-src ! 02:77:00:00:00:0a",
]
IP_OPTIONS = [
    "--ip-src 10.77.0.0/28", "--ip-dst ! 10.77.0.20", "--ip-proto tcp", "--ip-proto tcp --ip-dport 22", "--ip-proto udp --ip-sport 53",
    "--ip-proto ! icmp", "--ip-proto tcp --ip-dport 1:79",
]
IP6_OPTIONS = [
    "--ip6-src fd77::/64", "--ip6-dst ! fd77::20", "--ip6-proto tcp --ip6-dport 22", "--ip6-proto ipv6-icmp",
    "--ip6-proto ipv6-icmp --ip6-icmp-type 135/0",
]
ANY = [
    "meta l4proto tcp", "meta l4proto != udp", "tcp dport 22", "tcp sport { 22, 80 }", "udp dport != 53", "th dport 53", "meta protocol ip",
    "tcp dport < 50", "tcp dport >= 80", "tcp dport 22-60", "tcp dport != { 22, 80 }", "tcp flags syn", "tcp flags & (syn|ack) == syn",
    "tcp flags & ack == 0", "tcp flags != syn",
]
ONLY4 = [
    "ip saddr 10.77.0.0/24", "ip saddr != 10.77.0.10", "ip saddr { 10.77.0.10, 10.78.0.0/16 }", "ip saddr 10.77.0.5-10.77.0.15",
    "ip daddr 10.77.0.20", "ip protocol icmp", "icmp type echo-request", "icmp type != echo-reply", "ip daddr & 0.0.0.1 == 0.0.0.0",
    "ip saddr . tcp dport { 10.77.0.10 . 22, 10.77.0.1 . 80 }",
]
ONLY6 = ["ip6 saddr fd77::10", "icmpv6 type nd-neighbor-solicit", "icmpv6 type != { nd-neighbor-advert, echo-reply }", "ip6 nexthdr tcp", "ip6 hoplimit 255"]
TRACKED = [f"ct state {what}" for what in (
    "new", "!= established", "established,related", "!= established,related", "! established,related", "untracked", "{ new, untracked }", "invalid",
)] + ["ct direction original", "meta mark 5"]
FRAMES = [
    "ether type arp", "arp operation request", "arp operation != reply", "ether saddr 02:77:00:00:00:0a", "arp saddr ip 10.77.0.10",
    "ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00", "arp daddr ether 02:77:00:00:00:0a",
]
NAMED = ["iifname br0", "iifname != pa", 'iifname "p*"', "iifname != { pa, pc }", "oifname br0", "oifname != pb", 'oifname "p*"']
WORDS = {
    "inet": ANY + ONLY4 + ONLY6 + TRACKED + NAMED + ["meta nfproto ipv4"], "ip": ANY + ONLY4 + TRACKED + NAMED, "ip6": ANY + ONLY6 + TRACKED + NAMED,
    "bridge": ANY + ONLY4 + ONLY6 + FRAMES + NAMED, "netdev": ANY + ONLY4 + ONLY6 + FRAMES,
}


class Maker:
    """Rules at random, from one seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.pick: Callable[[list[Any]], Any] = self.chance.choice

    def may(self, percent: int, *texts: str) -> list[str]:
        return [self.pick(list(texts))] if self.chance.random() * 100 < percent else []

    def flip(self) -> str:
        return str(self.pick(["", "! "]))

    def iptables(self) -> str:
        six, (table, chain) = self.chance.random() < 0.5, self.pick(IP_CHAINS)
        protocol = self.pick(["tcp", "udp", "icmpv6" if six else "icmp", ""])
        words = [f"-p {protocol}"] if protocol else []
        if protocol in {"tcp", "udp"}:
            words += self.may(60, *(f"{self.flip()}{way} {ports}" for way in ("--dport", "--sport") for ports in ("22", "80", "53", "20:60", "1024:65535")))
        if protocol == "tcp":
            words += self.may(30, "--syn", "! --syn", "--tcp-flags SYN,ACK SYN,ACK", "--tcp-flags ALL SYN")
        words += self.may(40, *(f"{self.flip()}{way} {address}" for way in ("-s", "-d") for address in (V6 if six else V4)))
        words += self.may(30 * (chain in IN_CHAINS), *(f"{self.flip()}-i {device}" for device in ("br0", "pa", "pc", "p+", "br+")))
        words += self.may(30 * (chain in OUT_CHAINS), *(f"{self.flip()}-o {device}" for device in ("br0", "pb", "pc", "p+")))
        words += self.may(30, *(f"-m conntrack {self.flip()}--ctstate {state}" for state in STATES))
        words += self.may(15, "-m conntrack --ctdir ORIGINAL", "-m conntrack --ctdir REPLY")
        words += self.may(20 * (chain != "OUTPUT"), *(f"-m physdev {self.flip()}{what}" for what in ("--physdev-in pa", "--physdev-is-in", "--physdev-in p+")))
        words += self.may(15 * (chain == "FORWARD"), *(f"-m physdev {self.flip()}{what}" for what in ("--physdev-out pb", "--physdev-is-bridged")))
        words += self.may(15 * (chain != "OUTPUT"), *(f"-m pkttype {self.flip()}--pkt-type {kind}" for kind in ("unicast", "multicast", "broadcast")))
        words += self.may(15, *(f"-m addrtype {self.flip()}--{end}-type {kind}" for end in ("src", "dst") for kind in ("LOCAL", "MULTICAST")))
        words += self.may(10, "-m mark --mark 1")
        words += self.may(15 * (chain in IN_CHAINS), *(f"-m mac {self.flip()}--mac-source {mac}" for mac in MACS))
        target = self.pick(["DROP"] * 4 + ["ACCEPT"] * 3 + ["RETURN", "LOG", "CT --notrack" if table == "raw" else "DROP"])
        tool = ("ip6tables" if six else "iptables") + self.pick(["", "", "-legacy"])
        return f"{tool} -t {table} -A {chain} {' '.join(words)} -j {target}"

    def ebtables(self) -> str:
        table, chain = self.pick(BRIDGE_CHAINS)
        protocol = self.pick(["IPv4", "IPv6", "ARP", ""])
        words = [f"-p {protocol}", self.pick({"IPv4": IP_OPTIONS, "IPv6": IP6_OPTIONS, "ARP": ARP_OPTIONS}[protocol])] if protocol else []
        masks = [*MACS, "Multicast", "Broadcast", "02:77:00:00:00:00/ff:ff:ff:ff:ff:f0"]
        words += self.may(30, *(f"{way} {self.flip()}{mac}" for way in ("-s", "-d") for mac in masks))
        words += self.may(30 * (chain in IN_CHAINS), *(f"-i {self.flip()}{device}" for device in ("pa", "pb", "p+")))
        words += self.may(30 * (chain in OUT_CHAINS), *(f"-o {self.flip()}{device}" for device in ("pa", "pb", "p+")))
        return f"ebtables -t {table} -A {chain} {' '.join(words)} -j {self.pick(['DROP'] * 4 + ['ACCEPT'] * 3 + ['CONTINUE', 'RETURN'])}"

    def nft(self) -> str:
        family = self.pick(["inet", "inet", "ip", "ip6", "bridge", "netdev"])
        hook = self.pick(["forward"] * 3 + ["prerouting", "input", "output", "postrouting"])
        if family == "netdev":
            hook = f"{self.pick(['ingress', 'egress'])} device {self.pick(['pa', 'pb', 'br0', 'pc'])}"
        name, priority = f"t{self.chance.randrange(10 ** 6)}", self.pick([-350, -300, -250, -150, -5, 0, 10, 300])
        lines = [f"table {family} {name}", f"chain {family} {name} u"]
        lines.append(f"chain {family} {name} x {{ type filter hook {hook} priority {priority}; policy {self.pick(['accept'] * 4 + ['drop'])}; }}")
        lines += [f"rule {family} {name} u {self.statement(family, ['drop', 'accept', 'return'])}" for _ in range(2)]
        verdicts = ["drop"] * 4 + ["accept"] * 3 + ["continue", "return", "jump u", "goto u", "tcp dport vmap { 22 : drop, 80 : accept, 50-60 : jump u }"]
        if family in {"inet", "ip", "ip6"}:
            verdicts += ["ct state vmap { new : jump u, established : accept }"] + ["notrack"] * (hook in {"prerouting", "output"})
        lines += [f"rule {family} {name} x {self.statement(family, verdicts)}" for _ in range(self.chance.randrange(1, 4))]
        return "\n".join(f"nft -f - <<'E'\nadd {line}\nE" for line in lines)

    def statement(self, family: str, verdicts: list[str]) -> str:
        words = [self.pick(WORDS[family]) for _ in range(self.pick([0, 1, 1, 2]))]
        return f"{' '.join(words)} counter {self.pick(verdicts)}"

    def case(self, name: str) -> Any:
        """Give a rule set; what this kernel or tool does not take is left out of it."""
        parts = [self.pick([self.iptables, self.iptables, self.ebtables, self.nft])() for _ in range(self.chance.randrange(1, 7))]
        calls = " ".join(self.pick(["0", "1"]) for _ in range(3))
        return traffic.Case(name, "set +e\n{\n" + "\n".join(parts) + "\n} 2>/dev/null\ntrue", calls=calls)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    made = traffic.netfilter_lab.Lab(prefix=f"nfr{os.getpid()}")
    try:
        made.up()
        yield made
    finally:
        made.down()


#: Another number looks at other rule sets: NETFILTER_SEED=1000 pytest tests/test_netfilter_random.py
FIRST = int(os.environ.get("NETFILTER_SEED", "0"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(FIRST, FIRST + 80))
def test_no_random_rule_set_is_misjudged(lab: Lab, seed: int) -> None:
    case = Maker(seed).case(f"seed {seed}")
    traffic.load(lab, case)
    probes = lab.probes()
    verdicts = traffic.judged(lab, probes, case.calls)
    lab.send(probes, {name for name, verdict in verdicts.items() if verdict.outcome == "accepted"})
    happened = {True: "accepted", False: "dropped"}
    wrong = [f"{probe.name}: {verdicts[probe.name]}" for probe in probes if verdicts[probe.name].outcome not in {"unknown", happened[probe.answered]}]
    assert wrong == [], case.script
