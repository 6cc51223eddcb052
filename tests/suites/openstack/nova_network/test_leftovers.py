"""suites/openstack/nova_network/test_leftovers.py, called with addresses and the rules of the lab as iptables-save printed them."""

import json
import shlex
from ipaddress import ip_address

from netchecks.models.netfilter.translations import translations
from netchecks.observe import OBSERVATIONS
from suites.openstack.nova_network import test_leftovers as checks
from tests.suites.node.given import UNSEEN
from tests.suites.openstack.nova_network.given import MULTI, RULES, SINGLE, of
from tests.suites.vmhost.given import is_unknown, notes_of, wrong

VM42, NODE1, NODE2 = MULTI.vm42, MULTI.node1, MULTI.node2
#: Those of a node that translates nothing but what everybody does.
OTHER = "\n".join(line for line in RULES.splitlines() if "203.0.113.3" not in line or "10.0.2.0/24" in line) + "\n"
LEFT = OTHER.replace("-A PREROUTING -j nova-network-PREROUTING", "-A PREROUTING -j nova-network-PREROUTING\n{}")
DNAT = "[0:0] -A nova-network-PREROUTING -d 203.0.113.30/32 -j DNAT --to-destination 10.0.2.24"


def has(*addresses):
    known = [{"family": "inet", "local": one, "prefixlen": 32, "scope": "global"} for one in addresses]
    return json.dumps([{"ifname": "lo", "addr_info": []}, {"ifname": "eth0", "addr_info": known}])


def once(there=(), rules=OTHER, interface=VM42, here=("203.0.113.34", "203.0.113.30", "203.0.113.31")):
    other = NODE2 if interface.gate == NODE1 else NODE1
    addresses = there if there is UNSEEN else has(*there)
    return notes_of(
        checks.test_floating_address_is_held_once, interface, of("addresses", (interface.gate, has(*here)), (other, addresses)),
        of("iptables", (interface.gate, RULES), (other, rules)),
    )


def test_each_node_has_its_own_addresses():
    assert once(["203.0.113.35", "203.0.113.32"]) == []
    assert once(interface=MULTI.vm44) == [], "it has no floating address"


def test_an_address_that_was_left_behind_is_named_with_the_node_and_the_device():
    with wrong("nova.floating_address_twice", "203.0.113.30", "on its gate compute1, and compute2 has it on eth0", place="compute2",
               breaks=frozenset({"floating"})) as caught:
        once(["203.0.113.35", "203.0.113.30"])
    assert caught.value.remedy.startswith("on compute2: ip addr del 203.0.113.30/32 dev eth0; restart nova-network")


def test_a_translation_that_was_left_behind_breaks_nothing_from_outside():
    with wrong("nova.floating_address_twice", "compute2 translates it to 10.0.2.24;", place="compute2", breaks=frozenset({"outbound"})) as caught:
        once(rules=LEFT.format(DNAT))
    assert "ip addr del" not in caught.value.remedy


def test_a_nodes_rules_are_read_once_for_all_addresses(monkeypatch):
    read = []
    monkeypatch.setattr(shlex, "split", lambda text: (read.append(text), text.split())[1])
    rules = OBSERVATIONS["iptables"].parse(LEFT.format(f"{DNAT}\n{DNAT.replace('.30/', '.77/')}"))
    read.clear()
    found = [translations(rules, "DNAT").of(ip_address(f"203.0.113.{last}")) for last in (30, 77, 78)]
    assert [[(one.to, one.chain) for one in some] for some in found] == [[("10.0.2.24", "nova-network-PREROUTING")]] * 2 + [[]]
    assert len(read) == len(set(read))


def test_both_are_told_at_once():
    with wrong("nova.floating_address_twice", "compute2 has it on eth0 and translates it to 10.0.2.24", place="compute2",
               breaks=frozenset({"floating"})):
        once(["203.0.113.30"], LEFT.format(DNAT))


def test_a_rule_of_somebody_elses_chain_is_not_novas():
    assert once(rules=LEFT.format(DNAT.replace("nova-network-PREROUTING", "PREROUTING"))) == []


def test_an_address_that_the_gate_does_not_have_is_another_checks():
    assert once(["203.0.113.30"], here=["203.0.113.34"]) == []


def test_with_one_network_host_a_compute_node_must_not_have_it():
    assert str(SINGLE.vm42.gate) == "compute2"
    with wrong("nova.floating_address_twice", place="compute1", breaks=frozenset({"floating"})):
        once(["203.0.113.30"], interface=SINGLE.vm42)


def test_a_node_that_was_not_planned_is_not_judged_and_one_that_was_not_seen_is_unknown():
    alone = of("addresses", (NODE1, has("203.0.113.30")))
    assert notes_of(checks.test_floating_address_is_held_once, VM42, alone, of("iptables", (NODE1, RULES))) == []
    is_unknown(once, UNSEEN)
