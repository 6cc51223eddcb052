"""suites/openstack/nova_network/test_translation.py, called with the rules of the lab as iptables-save printed them."""

import json

import pytest

from netchecks.models.routes import Lookup
from suites.openstack.nova_network import test_translation as checks
from tests.suites.node.given import UNSEEN
from tests.suites.openstack.nova_network.given import MULTI, RULES, SINGLE, of, rules, taps
from tests.suites.vmhost.given import answered, answers, is_unknown, notes_of, silent, wrong

VM42, NODE1, INVENTORY = MULTI.vm42, MULTI.node1, MULTI.world.inventory
FLOATING = frozenset({"floating"})
DNAT = "-A nova-network-PREROUTING -d 203.0.113.30/32 -j DNAT --to-destination 10.0.2.24"
SNAT = "-A nova-network-float-snat -s 10.0.2.24/32 -o eth0 -j SNAT --to-source 203.0.113.30"


def matches(*changes, interface=VM42):
    return notes_of(checks.test_nat_rules_match, interface, rules(*changes, node=interface.gate), INVENTORY)


def gone(rule):
    """Take a rule away, whatever its counters say."""
    line = next(line for line in RULES.splitlines() if line.endswith(rule))
    return (line + "\n", "")


def test_the_rules_of_the_lab_translate_both_ways():
    assert matches() == []
    assert matches(interface=MULTI.vm43) == []


def test_an_instance_without_a_floating_address_needs_no_rule():
    assert notes_of(checks.test_nat_rules_match, MULTI.vm44, of("iptables", (MULTI.node2, "")), INVENTORY) == []


def test_a_missing_dnat_is_named():
    with wrong("nova.dnat_missing", "203.0.113.30", "the node answers for it itself", place="compute1", breaks=FLOATING, certain=True):
        matches(gone(DNAT))


def test_a_rule_that_no_packet_comes_by_translates_nothing():
    with wrong("nova.dnat_missing", place="compute1", breaks=FLOATING, certain=True):
        matches(gone("-A PREROUTING -j nova-network-PREROUTING"))


def test_a_dnat_to_another_instance_names_it():
    with wrong("nova.dnat_to_another", "10.0.2.25 (vm43)", "expected 10.0.2.24", place="compute1", breaks=FLOATING, certain=True):
        matches((DNAT, DNAT.replace("10.0.2.24", "10.0.2.25")))


def test_a_dnat_to_nobody_says_so():
    with wrong("nova.dnat_to_another", "nobody that the inventory knows", place="compute1", breaks=FLOATING, certain=True):
        matches((DNAT, DNAT.replace("10.0.2.24", "10.0.2.99")))


def test_a_missing_snat_says_as_whom_the_instance_leaves():
    with wrong("nova.snat_missing", "it leaves as 203.0.113.34", place="compute1", breaks=frozenset({"outbound"})):
        matches(gone(SNAT))


#: What nova writes beside it (linux_net.py, floating_forward_rules): for who asks itself by its own floating address, and for what came by one.
ITSELF = SNAT.replace("-o eth0", "-d 10.0.2.24/32")
CAME = "-A nova-network-POSTROUTING -s 10.0.2.24/32 -m conntrack --ctstate DNAT -j SNAT --to-source 203.0.113.30"


def test_rules_for_some_packets_alone_are_not_the_way_out():
    with wrong("nova.snat_missing", "it leaves as 203.0.113.34", place="compute1", breaks=frozenset({"outbound"})):
        matches((SNAT, ITSELF))
    with wrong("nova.snat_missing", place="compute1", breaks=frozenset({"outbound"})):
        matches((SNAT, CAME))
    assert matches((SNAT, f"{ITSELF}\n[0:0] {SNAT}\n[0:0] {CAME}")) == []


def test_a_rule_for_another_device_is_told_of():
    with wrong("nova.snat_missing", place="compute1", breaks=frozenset({"outbound"})):
        matches((SNAT, SNAT.replace("eth0", "eth1")))
    assert matches((SNAT, SNAT.replace("eth0", "eth+"))) == []


def test_a_snat_to_another_address_is_named():
    with wrong("nova.snat_wrong", "translated to 203.0.113.31", place="compute1", breaks=frozenset({"outbound"})):
        matches((SNAT, SNAT.replace("--to-source 203.0.113.30", "--to-source 203.0.113.31")))


def test_with_one_network_host_its_rules_count():
    assert str(SINGLE.vm42.gate) == "compute2"
    with wrong("nova.dnat_missing", place="compute2", breaks=FLOATING, certain=True):
        matches(gone(DNAT), interface=SINGLE.vm42)


def test_rules_that_cannot_be_seen_are_unknown():
    is_unknown(checks.test_nat_rules_match, VM42, of("iptables", (NODE1, UNSEEN)), INVENTORY)


# -- the security group ------------------------------------------------------------------------------------------------


def allows(name, *changes, answer=None):
    tap, flow = taps(VM42), MULTI.flow(name)
    empty = of("nftables", (NODE1, '{"nftables": []}\n# text\n'))
    lookup = of("route_lookups", (flow, Lookup("unicast", "eth0", "", "198.51.100.4" if flow.translated else "10.0.2.1")))
    settings = of("sysctls", (NODE1, "ipv4/ip_forward:1\nbridge/bridge-nf-call-iptables:1\n"))
    own = of("addresses", (NODE1, '[{"ifname": "br100", "addr_info": [{"family": "inet", "local": "10.0.2.1", "prefixlen": 24, "scope": "global"}]}]'))
    given = (answers({flow: answer or silent()}), tap, settings, rules(*changes), empty, of("ebtables", (NODE1, "")), own, lookup)
    return notes_of(checks.test_security_group_allows, flow, *given)


ICMP = "-A nova-compute-inst-42 -p icmp -j ACCEPT"
SSH = "-A nova-compute-inst-42 -p tcp -m tcp --dport 22 -j ACCEPT"
OUTSIDE, PORT, OWN = "controller-to-vm42-floating-icmp", "controller-to-vm42-floating-tcp22", "compute1-to-vm42-icmp-ipv4"


@pytest.mark.parametrize("name", [OUTSIDE, PORT, OWN])
def test_the_groups_of_the_lab_accept(name):
    assert allows(name) == []


def test_what_comes_back_needs_no_rule():
    assert allows(OUTSIDE, gone(ICMP), answer=answered()) == []


def test_a_group_without_icmp_is_named_with_its_chain():
    with wrong("nova.security_group_blocks", "vm42", "nova-compute-sg-fallback", place="compute1", breaks=frozenset({"icmp"})) as caught:
        allows(OUTSIDE, gone(ICMP))
    assert caught.value.remedy.startswith("nova secgroup-add-rule GROUP icmp -1 -1")


def test_a_group_without_a_port_is_named():
    with wrong("nova.security_group_blocks", "TCP port 22", place="compute1", breaks=frozenset({"tcp22"})):
        allows(PORT, gone(SSH))


def test_a_rule_that_is_not_of_nova_is_named_as_the_firewalls():
    with wrong("firewall.iptables_drops", "chain FORWARD", place="compute1", breaks=frozenset({"icmp"}), owner="node administrator", hop="tap"):
        allows(OUTSIDE, ("-A FORWARD -j nova-filter-top", "-A FORWARD -d 10.0.2.24/32 -j DROP\n[0:0] -A FORWARD -j nova-filter-top"))


def test_the_own_network_is_let_in_without_a_rule():
    assert allows(OWN, gone(ICMP)) == []


# -- connections from before -------------------------------------------------------------------------------------------


def follow(*lines):
    text = "".join(f"{line}\n" for line in lines)
    return notes_of(checks.test_connections_follow_the_rules, VM42, rules(), of("translated_connections", (NODE1, text)))


NOW = "tcp 6 600 {} src=198.51.100.4 dst=203.0.113.30 sport=40000 dport=22 src={} dst=198.51.100.4 sport=22 dport=40000 [ASSURED] use=1"


def test_a_connection_that_goes_where_the_rules_say_is_right():
    assert follow(NOW.format("ESTABLISHED", "10.0.2.24"), NOW.format("CLOSE", "10.0.2.25")) == []


def test_a_connection_to_an_old_instance_is_named():
    with wrong("nova.stale_connection", "198.51.100.4 TCP port 22 to 10.0.2.25", "the rules say 10.0.2.24", place="compute1"):
        follow(NOW.format("ESTABLISHED", "10.0.2.25"))


def test_where_the_rules_are_wrong_themselves_connections_follow_from_that():
    known = of("translated_connections", (NODE1, NOW.format("ESTABLISHED", "10.0.2.25")))
    assert notes_of(checks.test_connections_follow_the_rules, VM42, rules(gone(DNAT)), known) == []


# -- addresses and forwarding ------------------------------------------------------------------------------------------


def held(device):
    own = [{"family": "inet", "local": "203.0.113.30", "prefixlen": 32, "scope": "global"}]
    return of("addresses", (NODE1, json.dumps([{"ifname": device, "addr_info": own}, {"ifname": "lo", "addr_info": []}])))


def test_a_floating_address_on_the_public_interface_is_right():
    assert notes_of(checks.test_floating_address_is_present, VM42, held("eth0")) == []


def test_a_floating_address_elsewhere_is_named():
    with wrong("nova.floating_address_missing", "is on mgmt0, expected on eth0", place="compute1", breaks=FLOATING):
        notes_of(checks.test_floating_address_is_present, VM42, held("mgmt0"))


def test_a_floating_address_that_is_nowhere_is_named():
    with wrong("nova.floating_address_missing", "203.0.113.31", "on no interface", place="compute1", breaks=FLOATING):
        notes_of(checks.test_floating_address_is_present, MULTI.vm43, held("eth0"))


@pytest.mark.parametrize(("value", "right"), [("1", True), ("0", False)])
def test_the_gate_has_to_forward(value, right):
    given = of("sysctls", (NODE1, f"ipv4/ip_forward:{value}\n"))
    if right:
        assert notes_of(checks.test_gate_forwards, VM42, given) == []
        return
    with wrong("forwarding.off", place="compute1", breaks=FLOATING):
        notes_of(checks.test_gate_forwards, VM42, given)
