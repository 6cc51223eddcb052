"""suites/vmhost/test_routes.py, called with what ip says in a playground whose routes were bent."""

import subprocess
from functools import lru_cache

import pytest

from netchecks.observe import OBSERVATIONS
from suites.vmhost import test_routes as checks
from tests.suites.vmhost.given import (
    CONTROLLER,
    HEALTHY,
    NODE1,
    UNSEEN,
    _by,
    by,
    flow_of,
    has,
    is_unknown,
    namespace,
    notes_of,
    wrong,
)

pytestmark = has()
PING = flow_of("icmp")


@lru_cache(maxsize=64)
def looked_up(change, target):
    """What the kernel itself would do with a packet, in the playground after this change."""
    command = OBSERVATIONS["route_lookups"].command.shell
    script = f"{HEALTHY}\n{change}\nexec >&3\nset -- {target}\n{command}"
    return subprocess.run([*namespace(), "sh", "-euc", script], capture_output=True, text=True, check=True, timeout=60).stdout


def leads_to_bridge(change="", asked=PING, lookup=None, **facts):
    node = asked.source
    lookup = lookup or OBSERVATIONS["route_lookups"].parse(looked_up(change, str(asked.target)))
    given = [by(fact, facts.get(fact, change), node) for fact in ("routes", "addresses", "links")]
    return notes_of(checks.test_route_leads_to_bridge, asked, _by("route_lookups", {asked.name: (asked, lookup)}), *given)


def test_the_route_of_the_subnet_leads_there():
    assert leads_to_bridge() == []


OTHER = "ip link set sw0 up; ip addr add 192.0.2.1/24 dev sw0"


@pytest.mark.parametrize(("change", "words", "remedy"), [
    (f"{OTHER}; ip route add 10.20.0.136/29 dev sw0", "by sw0 because of the route 10.20.0.136/29 dev sw0", "ip route del 10.20.0.136/29"),
    (f"{OTHER}; ip route add 10.20.0.142 via 192.0.2.7", "by sw0 via 192.0.2.7 because of the route 10.20.0.142/32 dev sw0", "ip route del 10.20.0.142/32"),
    ("ip route add blackhole 10.20.0.128/25", "nowhere (blackhole) because of the route 10.20.0.128/25 dev blackhole", "ip route del 10.20.0.128/25"),
    ("ip route add unreachable 10.20.0.142", "nowhere (unreachable) because", "ip route del 10.20.0.142/32"),
])
def test_a_more_specific_route_leads_elsewhere(change, words, remedy):
    with wrong("route.overlapping", f"node1 sends to 10.20.0.142 {words}", "expected by br0",
               place="node1", breaks={"ipv4", "unicast"}, owner="node administrator") as caught:
        leads_to_bridge(change)
    assert caught.value.remedy == remedy


def test_a_rule_of_the_routing_policy_is_no_fault_of_the_bridges_own_route():
    change = f"{OTHER}; ip route add default via 192.0.2.7 table 7; ip rule add to 10.20.0.142 table 7"
    with wrong("route.overlapping", "by sw0 via 192.0.2.7, expected by br0", place="node1", breaks={"ipv4", "unicast"}, owner="node administrator") as caught:
        leads_to_bridge(change)
    assert caught.value.remedy == "ip route get 10.20.0.142; ip rule show"


@pytest.mark.parametrize("change", [
    "ip addr flush dev br0", "ip addr flush dev br0; ip addr add 10.99.0.11/24 dev br0", "ip link set br0 down",
    f"{OTHER}; ip route add 10.20.0.200/29 dev sw0", "ip route add blackhole 10.244.0.0/24",
])
def test_what_does_not_concern_the_vm(change):
    assert leads_to_bridge(change) == []


def test_a_node_that_is_not_on_the_network_goes_by_its_routers():
    assert leads_to_bridge(asked=flow_of("icmp", source=CONTROLLER), lookup=UNSEEN, routes=UNSEEN, addresses=UNSEEN, links=UNSEEN) == []


@pytest.mark.parametrize("fact", ["addresses", "links"])
def test_what_was_not_seen_is_unknown(fact):
    is_unknown(lambda: leads_to_bridge(**{fact: UNSEEN}))
    is_unknown(lambda: leads_to_bridge(lookup=UNSEEN))
    assert PING.source == NODE1
