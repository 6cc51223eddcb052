"""netchecks/causes/segment.py: each cause, and the neighbouring cases where it has nothing to say."""

import pytest

from netchecks.causes import segment as causes
from netchecks.models.bridges import FdbEntry
from netchecks.models.table import Table
from netchecks.observe import OBSERVATIONS
from tests.suites.vmhost.given import (
    CONTROLLER,
    LAN,
    MAC,
    NODE1,
    NODE2,
    STORAGE,
    UNSEEN,
    VM42,
    VM42_STORAGE,
    VM44,
    _by,
    answered,
    answers,
    domains,
    flow_of,
    harmless,
    is_unknown,
    silent,
    wrong,
)

ARP, GATEWAY, TO_44 = flow_of("arp"), flow_of("arp", LAN), flow_of("arp", VM44, NODE2)


# -- frames reflected ------------------------------------------------------------------------------------------------


def reflects(given, node=NODE1, network=LAN):
    causes.switch_reflects_frames(node, network, answers(given))


@pytest.mark.parametrize("asked", [ARP, GATEWAY], ids=str)
def test_a_switch_that_sends_frames_back(asked):
    with wrong("switch.reflects_frames", "node1: frames sent by eth0 come back in by eth0", place="node1", hop="tap", layer="forwards",
               owner="network engineer", certain=True):
        reflects({asked: silent(reflected=True)})


@pytest.mark.parametrize(("given", "where", "segment"), [
    ({ARP: silent()}, NODE1, LAN),
    ({ARP: UNSEEN}, NODE1, LAN),
    ({TO_44: answered(reflected=True)}, NODE1, LAN),
    ({ARP: answered(reflected=True)}, NODE2, LAN),
    ({ARP: answered(reflected=True)}, NODE1, STORAGE),
])
def test_a_switch_that_reflects_nothing_there(given, where, segment):
    reflects(given, where, segment)


# -- a MAC that two use ----------------------------------------------------------------------------------------------


def learned(*flags):
    entry = FdbEntry(MAC, "eth0", "br0", flags=frozenset(flags))
    return _by("fdb", {"node1": (NODE1, (entry,))})


def test_a_vm_that_answers_while_its_mac_is_elsewhere():
    with wrong("mac.duplicate", f"somebody else sends with vm42-1's MAC {MAC}", certain=True, owner="guest owner"):
        causes.mac_is_used_twice(VM42, answers({ARP: answered(MAC)}), learned())


@pytest.mark.parametrize("flag", ["static", "sticky", "permanent"])
def test_a_mac_that_somebody_wrote_into_the_bridge(flag):
    causes.mac_is_used_twice(VM42, answers({ARP: answered(MAC)}), learned(flag))


@pytest.mark.parametrize("given", [
    {},
    {ARP: silent()},
    {ARP: UNSEEN},
    {ARP: answered(MAC, reflected=True)},
    {flow_of("icmp", source=CONTROLLER): answered()},
    {TO_44: answered(VM44.mac)},
])
def test_a_mac_that_may_have_moved(given):
    """Silent at its own node: it may run elsewhere now. Reflected: it is the switch. Seen from elsewhere: it proves nothing here."""
    causes.mac_is_used_twice(VM42, answers(given), learned())


def test_another_vms_address_is_answered_with_this_mac():
    with wrong("mac.duplicate", f"vm44 answers for 10.20.0.144 with {MAC}, the MAC of vm42-1", layer="neighbour", certain=True, owner="guest owner"):
        causes.mac_answers_for_another(VM42, answers({ARP: silent(), TO_44: answered(MAC)}))


@pytest.mark.parametrize(("nic", "given"), [
    (VM42, {ARP: answered(MAC), TO_44: answered(VM44.mac)}),
    (VM42, {ARP: answered(VM44.mac)}),
    (VM42_STORAGE, {TO_44: answered(MAC)}),
    (VM42, {GATEWAY: answered(MAC)}),
    (VM42, {TO_44: UNSEEN}),
])
def test_each_answers_for_itself(nic, given):
    causes.mac_answers_for_another(nic, answers(given))


# -- a domain elsewhere ----------------------------------------------------------------------------------------------


def elsewhere(**texts):
    def read(name, text):
        value = OBSERVATIONS["domains"].parse(text) if isinstance(text, str) else text
        return value.at(name) if isinstance(value, Table) else value

    nodes = {node.name: node for node in (NODE1, NODE2)}
    causes.domain_runs_elsewhere(VM42, _by("domains", {name: (nodes[name], read(name, text)) for name, text in texts.items()}))


OTHER = domains("vm99")


def test_a_domain_that_runs_on_another_node():
    with harmless("domain.migrated", "vm42 runs on node2, not on node1"):
        elsewhere(node1=OTHER, node2=domains())


@pytest.mark.parametrize("texts", [
    {"node1": domains(), "node2": domains()},
    {"node1": domains(state="shut off"), "node2": domains()},
    {"node1": OTHER, "node2": OTHER},
    {"node1": OTHER, "node2": domains(state="shut off")},
    {"node1": OTHER, "node2": domains(state="paused")},
    {"node1": OTHER, "node2": UNSEEN},
    {"node1": OTHER},
])
def test_a_domain_that_runs_nowhere_else(texts):
    """Paused elsewhere: the target of a migration that is still on its way."""
    elsewhere(**texts)


def test_where_its_own_node_was_not_seen_nothing_is_known():
    is_unknown(lambda: elsewhere(node1=UNSEEN, node2=domains()))
