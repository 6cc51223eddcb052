"""netchecks/models/fib.py: it takes the route that the kernel takes, for any routes and rules; forwarding.py beside it."""

import os
import shutil
import subprocess
from ipaddress import ip_address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import netchecks.observations
from netchecks.errors import Undecided
from netchecks.models.fib import best, chosen
from netchecks.models.forwarding import answers_for_others, closed, reverse_filter
from netchecks.observe import OBSERVATIONS

assert netchecks.observations.__doc__

needs_a_namespace = pytest.mark.skipif(shutil.which("unshare") is None, reason="no unshare here")
NAMESPACE = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-Urn"]
SETUP = """
ip link add a type veth peer name b; ip link set lo up; ip link set a up; ip link set b up
ip addr add 10.9.0.1/24 dev a
"""
TARGETS = ["10.0.0.1", "10.0.0.130", "10.0.1.1", "10.1.0.1"]

routes_of_a_table = st.tuples(
    st.sampled_from(["10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/24", "10.0.0.128/25", "10.0.0.1/32", "10.0.1.1/32", "default"]),
    st.sampled_from(["dev a", "dev b", "via 10.9.0.7", "blackhole", "unreachable", "throw"]),
    st.sampled_from(["", "metric 5", "metric 50"]), st.sampled_from(["main", "77", "78"]),
)
rules_of_a_policy = st.tuples(
    st.integers(1, 40000), st.sampled_from(["", "to 10.0.0.0/24 ", "to 10.0.0.1 ", "from 10.9.0.0/24 ", "from 10.8.0.0/24 "]),
    st.sampled_from(["lookup 77", "lookup 78", "lookup main", "blackhole", "lookup 77 suppress_prefixlength 16"]),
)


def script(routes, rules):
    lines = [SETUP]
    for to, way, metric, table in routes:
        kind, where = (way, "") if way in {"blackhole", "unreachable", "throw"} else ("", way)
        lines.append(f"ip route add {kind} {to} {where} {metric} table {table} 2>/dev/null || :")
    lines += [f"ip rule add {selector}{action} priority {priority} 2>/dev/null || :" for priority, selector, action in rules]
    lines += ["exec >&3", OBSERVATIONS["routes"].command.shell, "echo @@@", OBSERVATIONS["rules"].command.shell]
    lines += [f"echo '@@@'; ip route get {target} from 10.9.0.1 2>&1 || :" for target in TARGETS]
    return "exec 3>&1 >&2\n" + "\n".join(lines)


@needs_a_namespace
@given(st.lists(routes_of_a_table, max_size=8), st.lists(rules_of_a_policy, max_size=3))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
def test_it_takes_the_route_that_the_kernel_takes(routes, rules):
    done = subprocess.run([*NAMESPACE, "sh", "-c", script(routes, rules)], capture_output=True, text=True, check=True, timeout=60)
    known, policy, *told = done.stdout.split("@@@\n")
    known, policy = OBSERVATIONS["routes"].parse(known), OBSERVATIONS["rules"].parse(policy)
    for target, text in zip(TARGETS, told, strict=True):
        kernel = OBSERVATIONS["route_lookups"].or_else[0][1](text)
        found = chosen(ip_address(target), known, policy, ip_address("10.9.0.1"))
        if kernel.kind != "unicast":  # which of them it was, the kernel tells wrongly of a packet with a source
            assert found is None or found.kind in {"blackhole", "unreachable", "prohibit"}, (target, text)
        else:
            assert found is not None, (target, text)
            assert (found.device, str(found.gateway or "")) == (kernel.device, kernel.gateway), (target, text)


def parsed(routes="", rules=""):
    plain = "0:\tfrom all lookup local\n{}32766:\tfrom all lookup main\n"
    return (
        OBSERVATIONS["routes"].parse(f"@4\n{routes}\n@6\n"), OBSERVATIONS["rules"].parse("@4\n" + plain.format(rules) + "@6\n" + plain.format("")),
    )


@pytest.mark.parametrize("rule", [
    "5:\tfrom all fwmark 0x1 lookup 77\n", "5:\tfrom all iif eth0 lookup 77\n", "5:\tnot from 10.9.0.0/24 lookup 77\n", "5:\tfrom all goto 9\n",
])
def test_a_rule_that_asks_for_more_is_undecided(rule):
    with pytest.raises(Undecided, match="rule 5"):
        chosen(ip_address("10.0.0.1"), *parsed("default via 10.9.0.7 dev a", rule), ip_address("10.9.0.1"))


def test_a_rule_for_a_source_that_is_not_known_is_undecided():
    with pytest.raises(Undecided):
        chosen(ip_address("10.0.0.1"), *parsed("", "5:\tfrom 10.9.0.0/24 lookup 77\n"))


def test_a_rule_for_somebody_else_is_passed_over():
    routes, rules = parsed("default via 10.9.0.7 dev a", "5:\tfrom all to 10.7.0.0/24 fwmark 0x1 lookup 77\n")
    assert chosen(ip_address("10.0.0.1"), routes, rules).device == "a"


def test_routes_of_some_packets_alone_are_no_ways():
    routes, _ = parsed("10.0.0.0/24 tos 0x10 dev a\n10.0.0.0/16 dev b")
    assert best(ip_address("10.0.0.1"), routes).device == "b"
    assert best(ip_address("fd00::1"), routes) is None


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("values", "off"), [
    ({}, {}),
    ({"net.ipv4.ip_forward": "0"}, {"net.ipv4.ip_forward": 4}),
    ({"net.ipv4.ip_forward": "0", "net.ipv4.conf.eth0.forwarding": "0"}, {"net.ipv4.ip_forward": 4}),
    ({"net.ipv4.conf.eth0/7.forwarding": "0"}, {"net.ipv4.conf.eth0/7.forwarding": 4}),
    ({"net.ipv6.conf.all.forwarding": "0", "net.ipv6.conf.eth0.forwarding": "0"}, {"net.ipv6.conf.all.forwarding": 6}),
])
def test_what_stops_forwarding(values, off):
    assert closed(values, ["eth0", "eth0.7"], {4, 6}) == off
    assert closed(values, ["eth0", "eth0.7"], set()) == {}


@pytest.mark.parametrize(("all_", "own", "mode"), [("0", "0", 0), ("1", "0", 1), ("0", "2", 2), ("1", "2", 2), ("2", "1", 2), (None, None, 0)])
def test_the_larger_filter_counts(all_, own, mode):
    values = {"net.ipv4.conf.all.rp_filter": all_, "net.ipv4.conf.eth0/7.rp_filter": own}
    assert reverse_filter({key: value for key, value in values.items() if value}, "eth0.7") == mode


@pytest.mark.parametrize(("key", "family"), [("net.ipv4.conf.{}.proxy_arp", 4), ("net.ipv6.conf.{}.proxy_ndp", 6)])
def test_who_may_answer_for_others(key, family):
    assert answers_for_others({key.format("eth0"): "1"}, "eth0", family)
    assert answers_for_others({key.format("all"): "1"}, "eth0", family)
    assert not answers_for_others({key.format("eth1"): "1", key.format("eth0"): "0"}, "eth0", family)
    assert not answers_for_others({key.format("eth0"): "1"}, "eth0", 10 - family)
