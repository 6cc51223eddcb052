"""With a cause function switched off, the order of the hops must still name the right place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from netchecks.cause import CAUSES
from netchecks.lab import faults
from netchecks.lab.accuracy import default_suites
from netchecks.lab.making import up, why_not_rooted
from netchecks.lab.topology import load

HERE = Path(__file__).parent

#: Cause function, a fault that it explains, the places of which the first diagnosis must name one without it.
CASES = [
    ("guest_has_another_address", "guest-wrong-address", {"vm42"}),
    ("guest_has_a_wide_prefix", "guest-wrong-prefix", {"vm42"}),
    ("guest_drops_icmp", "guest-drops-icmp", {"vm42"}),
    ("guest_has_no_ipv6", "guest-no-ipv6", {"vm42"}),
    ("switch_reflects_frames", "switch-reflects-frames", {"node1", "vm42", "vm43"}),
    # which of the two gets a packet changes with each: where only small ones come to the one that is asked, a hop on the way is taken for it
    ("mac_is_used_twice,mac_answers_for_another", "mac-duplicate", {"vm42", "vm44", "node1", "lan"}),
    ("domain_runs_elsewhere", "domain-migrated", {"vm42"}),
    ("sender_is_a_little_short", "healthy-tap-mtu-4-short", {"vm42", "vm43", "node1"}),
    ("guest_firewall_drops", "guest-firewall-drops-in", {"vm42"}),
    ("guest_firewall_keeps_it_in,guest_firewall_drops_questions", "guest-firewall-drops-own-connections", {"vm42"}),
    ("guest_ignores_arp", "guest-silent", {"vm42"}),
    ("guest_drops_what_it_sends", "trace-outbound-dropped-in-guest", {"vm42"}),
    ("node_drops_what_the_guest_sends", "trace-outbound-dropped-at-uplink", {"vm42", "node1"}),
    ("gateway_drops_icmp", "healthy-gateway-silent-to-ping", {"10.20.0.1", "fd20::1", "node1", "node2"}),
    ("rate_is_limited", "throughput-limited-at-tap", {"node1", "vm42"}),
    ("packets_are_lost_now_and_then", "path-one-way-bad", {"node1", "vm42", "vm43"}),
    ("guest_limits_connections", "healthy-guest-limits-connections", {"vm45"}),
]

#: The same in other labs.
ELSEWHERE = [
    ("vmhost-fabric", "frr_has_what_the_kernel_lacks", "kernel-route-missing-frr-has-it", {"node1"}),
    ("vmhost-fabric", "firewall_drops_sessions", "neighbour-filtered", {"node1"}),
    ("nova-flatdhcp", "instance_drops_icmp", "healthy-drops-icmp", {"vm43"}),
    ("nova-flatdhcp", "gate_keeps_what_the_instance_begins", "outbound-dropped", {"compute1", "vm42"}),
    ("neutron-vlan", "switch_blocks_vlan", "vlan-not-allowed-at-one-node", {"node1", "net1", "10.20.0.1"}),
    ("neutron-vlan", "agent_never_started", "ovs-agent-dead-since-boot", {"node1"}),
    ("neutron-vlan", "conntrack_loses_connections", "conntrack-full", {"node1"}),
    ("neutron-vlan", "uplink_is_bond", "bond-named-in-inventory", {"node1"}),
    ("neutron-vxlan", "router_drops_icmp", "healthy-gateway-silent-to-ping", {"10.20.0.1", "net1"}),
    ("neutron-vlan", "uplink_is_of_dpdk", "dpdk-nic-unusable", {"node1"}),
]


def test_every_cause_has_its_case():
    known = {rule.name for rules in CAUSES.values() for rule in rules}
    assert known == {name for names, _, _ in (*CASES, *(case[1:] for case in ELSEWHERE)) for name in names.split(",")}


@pytest.mark.slow
@pytest.mark.parametrize(("names", "fault", "places"), CASES, ids=[case[0] for case in CASES])
def test_hop_order_names_the_place(rooted_lab, tmp_path, names, fault, places):
    _names_the_place(rooted_lab, tmp_path, names, fault, places)


@pytest.mark.slow
@pytest.mark.parametrize(("topology", "names", "fault", "places"), ELSEWHERE, ids=[case[1] for case in ELSEWHERE])
def test_hop_order_names_the_place_in_another_lab(tmp_path, topology, names, fault, places):
    reason = why_not_rooted(load(topology).programs)
    if reason:
        pytest.skip(reason)
    with up(topology, rooted=True, state_dir=tmp_path / "labs") as lab:
        _names_the_place(lab, tmp_path, names, fault, places)


#: The answer's own MAC, the row of packets, the guest's own pings that do not come to its tap say it without a cause function; that
#: a single connection gets no answer beside a row happens now and then only. Of connection tracking the flows that nothing answers say it;
#: the cause function says it of those that some packets of a row answer.
SAID_ALREADY = {"conntrack-full", "mac-duplicate", "path-one-way-bad", "trace-outbound-dropped-in-guest", "healthy-guest-limits-connections"}
#: Who enters the guest sees these without any cause function: there the question is what a look from outside says.
OUTSIDE = {"guest-wrong-address", "guest-wrong-prefix", "guest-no-ipv6"}


def _names_the_place(rooted_lab, tmp_path, names, fault, places):
    seen = tmp_path / "seen"
    options = faults.find(rooted_lab.topology.name, fault).options
    options += ("-k", "not test_guest.py") if fault in OUTSIDE else ()
    argv = [sys.executable, "-m", "pytest", *default_suites(), "-q", "-p", "no:cacheprovider", *options]
    with rooted_lab.fault(fault):
        rooted_lab.exec(
            "controller", [*argv, f"--inventory-file={rooted_lab.inventory}", f"--netchecks-run-dir={seen}"], capture_output=True,
        )
    with_all = json.loads((seen / "report.json").read_text())["diagnoses"]
    environment = {**os.environ, "WITHOUT_CAUSE": names, "PYTHONPATH": f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    again = tmp_path / "again"
    done = subprocess.run(
        [*argv, "-p", "without_cause", f"--replay-run={seen}", f"--netchecks-run-dir={again}"],
        env=environment, capture_output=True, text=True, check=False,
    )
    without = json.loads((again / "report.json").read_text())["diagnoses"]
    assert without, done.stdout + done.stderr
    if fault not in SAID_ALREADY:
        assert without[0]["code"] != with_all[0]["code"], "the cause function made no difference"
    assert set(without[0]["places"]) & places, without[0]
