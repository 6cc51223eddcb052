"""suites/openstack/nova_network/test_database.py, called with the rows of the lab's MariaDB, changed one by one."""

import pytest

from netchecks.errors import Wrong
from suites.openstack.nova_network import test_database as checks
from tests.suites.node.given import UNSEEN
from tests.suites.openstack.nova_network.given import MULTI, ROWS, SITE, of, rows, rules
from tests.suites.vmhost.given import is_unknown, notes_of, world_of, wrong

DATABASE, VM42, VM43, NODE1, NODE2 = MULTI.database, MULTI.vm42, MULTI.vm43, MULTI.node1, MULTI.node2
GONE = {"address": "10.0.2.29", "network_id": 1, "allocated": 1, "instance_uuid": "a2f1c7d0-0000-4000-8000-000000000011"}
INVENTORY = MULTI.world.inventory
FLOATING, ADDRESS = frozenset({"floating"}), frozenset({"ipv4"})


def living(**changes):
    return notes_of(checks.test_floating_ips_are_of_living_instances, DATABASE, rows(**changes), INVENTORY)


def test_the_rows_of_the_lab_are_right():
    assert living() == []
    assert notes_of(checks.test_addresses_are_bound_once, DATABASE, rows(), INVENTORY) == []
    for vm in (VM42, VM43, MULTI.vm44):
        assert notes_of(checks.test_instance_has_fixed_ip, vm, rows()) == []
        assert notes_of(checks.test_floating_ip_is_bound, vm, rows()) == []


def test_a_database_that_could_not_be_read_is_unknown():
    unread = of("nova_rows", (DATABASE, UNSEEN))
    is_unknown(checks.test_floating_ips_are_of_living_instances, DATABASE, unread, INVENTORY)
    is_unknown(checks.test_instance_has_fixed_ip, VM42, unread)


def test_a_stale_floating_ip_is_named_with_both_statements_of_the_document():
    with wrong("nova.stale_floating_ip", "203.0.113.36 (row 36)", "old17", "which is deleted", place="private") as caught:
        living(fixed_ips_29=GONE, floating_ips_36={"fixed_ip_id": 29})
    assert caught.value.remedy == (
        "update floating_ips set fixed_ip_id = NULL, host = NULL where fixed_ip_id = '29'; "
        "update floating_ips set project_id = NULL where id = '36'; (this one gives it back to the pool)"
    )


def test_a_floating_ip_of_a_fixed_address_that_is_deleted_is_stale():
    with wrong("nova.stale_floating_ip", "which is deleted", place="private"):
        living(floating_ips_36={"fixed_ip_id": 777})


def test_a_floating_ip_of_an_instance_that_nobody_knows_is_stale():
    with wrong("nova.stale_floating_ip", "the unknown instance no-such", place="private"):
        living(fixed_ips_29=GONE | {"instance_uuid": "no-such"}, floating_ips_36={"fixed_ip_id": 29})


def test_a_floating_ip_of_a_soft_deleted_instance_is_stale():
    with wrong("nova.stale_floating_ip", place="private"):
        living(instances_43={"vm_state": "soft-delete"})


@pytest.mark.parametrize("state", ["active", "stopped", "suspended", "error", "building"])
def test_an_instance_that_is_there_keeps_its_floating_ip(state):
    assert living(instances_43={"vm_state": state}) == []


def test_two_rows_of_a_floating_address_are_named():
    with wrong("nova.address_twice", "203.0.113.32 in floating_ips (ids 32, 99)", place="private"):
        notes_of(checks.test_addresses_are_bound_once, DATABASE, rows(floating_ips_99={"address": "203.0.113.32"}), INVENTORY)


def test_two_rows_of_a_fixed_address_in_one_network_are_named():
    with wrong("nova.address_twice", "10.0.2.24 of network 1", place="private"):
        notes_of(checks.test_addresses_are_bound_once, DATABASE, rows(fixed_ips_99={"address": "10.0.2.24", "network_id": 1}), INVENTORY)


def test_a_fixed_address_of_another_network_may_be_the_same():
    assert notes_of(checks.test_addresses_are_bound_once, DATABASE, rows(fixed_ips_99={"address": "10.0.2.24", "network_id": 2}), INVENTORY) == []


# -- each instance -----------------------------------------------------------------------------------------------------


def has_fixed(vm=VM43, **changes):
    return notes_of(checks.test_instance_has_fixed_ip, vm, rows(**changes))


def test_an_instance_without_a_row_is_named():
    with wrong("nova.no_fixed_ip", "vm43", "expected 10.0.2.25", breaks=ADDRESS):
        has_fixed(fixed_ips_25={"instance_uuid": None, "allocated": 0})


def test_where_no_row_is_free_either_that_is_the_cause():
    taken = {"instance_uuid": None, "allocated": 1}
    with wrong("nova.no_free_fixed_ip", "no row of fixed_ips is free", place="private", breaks=ADDRESS):
        has_fixed(fixed_ips_25=taken, free_fixed_ips_1=None)


def test_another_fixed_address_is_named():
    with wrong("nova.database_differs", "10.0.2.77", "expected 10.0.2.25", breaks=ADDRESS):
        has_fixed(fixed_ips_25={"address": "10.0.2.77"})


def test_a_mac_that_the_database_does_not_have_is_named():
    with wrong("nova.instance_unknown", "fa:16:3e:00:00:43"):
        has_fixed(virtual_interfaces_43=None, instances_43={"hostname": "other"})


def test_without_its_mac_an_instance_is_known_by_its_name():
    assert has_fixed(virtual_interfaces_43=None) == []


@pytest.mark.parametrize(("change", "words"), [
    ({"fixed_ip_id": None}, "bound to no fixed address (row 30, fixed_ip_id NULL)"),
    ({"fixed_ip_id": 25}, "bound to 10.0.2.25 of vm43"),
    (None, "has no row in floating_ips"),
])
def test_a_floating_ip_that_is_bound_otherwise_is_named(change, words):
    with wrong("nova.floating_ip_not_bound", "203.0.113.30", words, breaks=FLOATING):
        notes_of(checks.test_floating_ip_is_bound, VM42, rows(floating_ips_30=change))


# -- against iptables --------------------------------------------------------------------------------------------------

DNAT = "-A nova-network-PREROUTING -d 203.0.113.31/32 -j DNAT --to-destination 10.0.2.25"


def matches(*changes, **of_rows):
    known = rules(*changes)
    both = of("iptables", (NODE1, known[NODE1]), (NODE2, ""))
    return notes_of(checks.test_database_matches_iptables, DATABASE, rows(**of_rows), both, MULTI.world.inventory)


def test_an_address_that_the_database_binds_and_no_node_translates_is_named():
    with wrong("nova.iptables_differ", "203.0.113.32 shall lead to 10.0.2.26, and no node translates it", place="private"):
        matches()


def test_an_address_of_a_host_that_is_not_looked_at_is_not_missed():
    assert matches(floating_ips_32={"host": "compute99"}) == []
    with wrong("nova.iptables_differ", "203.0.113.32", place="private"):
        matches(floating_ips_32={"host": "compute2.example.org"})


BOUND = {"floating_ips_32": {"fixed_ip_id": None}}


def test_the_rules_of_the_lab_match_its_rows():
    assert matches(**BOUND) == []


def test_an_address_that_a_node_translates_and_the_database_does_not_bind_is_named():
    more = (DNAT, f"{DNAT}\n[0:0] -A nova-network-PREROUTING -d 203.0.113.33/32 -j DNAT --to-destination 10.0.2.28")
    with wrong("nova.iptables_differ", "compute1 translates 203.0.113.33 to 10.0.2.28", "has nothing", place="compute1"):
        matches(more, **BOUND)


def test_a_rule_of_a_stale_address_is_what_follows_from_that():
    more = (DNAT, f"{DNAT}\n[0:0] -A nova-network-PREROUTING -d 203.0.113.36/32 -j DNAT --to-destination 10.0.2.29")
    assert matches(more, fixed_ips_29=GONE, floating_ips_36={"fixed_ip_id": 29}, **BOUND) == []


def test_a_rule_for_an_address_that_is_not_in_the_table_is_somebody_elses():
    more = (DNAT, f"{DNAT}\n[0:0] -A nova-network-PREROUTING -d 198.51.100.9/32 -j DNAT --to-destination 10.0.2.28")
    assert matches(more, **BOUND) == []


# -- one database of several networks ----------------------------------------------------------------------------------

SECOND = """
  other:
    kind: nova-network
    bridge: br101
    uplink: eth2
    subnets: [{cidr: 10.1.2.0/24}]
    nova: {public_interface: eth0, database: {node: cloud1}}
vms:
"""
SHARED = world_of(SITE.replace("@HOW@", "").replace("\nvms:\n", SECOND))
FIRST, OTHER = SHARED.databases


def told_of(check, *facts, **changes):
    """Give the networks whose database says it, and what."""
    found = {}
    for database in SHARED.databases:
        known = rows(**changes)
        try:
            check(database, of("nova_rows", (database, known[DATABASE])), *facts, SHARED.inventory)
        except Wrong as error:
            found[str(database.network)] = str(error)
    return found


@pytest.mark.parametrize(("address", "network"), [("10.0.2.29", "private"), ("10.1.2.29", "other"), ("10.9.9.9", "private")])
def test_of_a_shared_database_the_network_of_the_address_says_it_once(address, network):
    stale = {"fixed_ips_29": GONE | {"address": address}, "floating_ips_36": {"fixed_ip_id": 29}}
    assert list(told_of(checks.test_floating_ips_are_of_living_instances, **stale)) == [network]
    twice = {"fixed_ips_98": {"address": address, "network_id": 2}, "fixed_ips_99": {"address": address, "network_id": 2}}
    assert list(told_of(checks.test_addresses_are_bound_once, **twice)) == [network]


def test_of_a_shared_database_the_first_network_says_what_is_of_none():
    assert list(told_of(checks.test_floating_ips_are_of_living_instances, floating_ips_36={"fixed_ip_id": 777})) == ["private"]
    assert list(told_of(checks.test_addresses_are_bound_once, floating_ips_99={"address": "203.0.113.32"})) == ["private"]


@pytest.mark.parametrize(("to", "network"), [("10.0.2.28", "private"), ("10.1.2.28", "other")])
def test_of_a_shared_database_a_rule_is_told_by_the_network_that_it_leads_to(to, network):
    known = rules((DNAT, f"{DNAT}\n[0:0] -A nova-network-PREROUTING -d 203.0.113.33/32 -j DNAT --to-destination {to}"))
    both = of("iptables", (NODE1, known[NODE1]), (NODE2, ""))
    assert list(told_of(checks.test_database_matches_iptables, both, **BOUND)) == [network]
    bound_elsewhere = BOUND | {"fixed_ips_29": {"address": "10.1.2.9", "network_id": 2, "instance_uuid": ROWS["instances"][0]["uuid"]},
                               "floating_ips_33": {"fixed_ip_id": 29, "host": "compute1"}}
    assert list(told_of(checks.test_database_matches_iptables, both, **bound_elsewhere)) == ["other"], "whose address it is in the database"
