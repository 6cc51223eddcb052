"""Faults of the labs of Neutron: each breaks what it says, nothing else, and is undone."""

import pytest

from netchecks.lab import faults
from netchecks.lab.making import up, why_not_rooted
from netchecks.lab.snapshot import difference, look, snapshot
from tests.lab.measuring import broken
from tests.lab.test_routed_faults import silent as silent_from_nodes
from tests.lab.test_routed_faults import ways

#: One of each kind, tried in every run of the tests; the others in `make test-all`.
QUICK = {
    "neutron-vlan": {"tap-untagged", "inbound-translation-missing", "dnsmasq-dead", "healthy-hybrid-plug", "security-group-lacks-icmp"},
    "neutron-vxlan": {"tunnel-remote-missing"},
    "neutron-l2pop": {"tunnel-inbound-missing", "tunnel-stale-entry", "healthy-idle"},
}
ALL = [(topology, fault) for topology in QUICK for fault in faults.load(topology)]

#: Ping and TCP from the controller, by the gateway, into the VLAN; a compute node has no address there.
OUT = ("4", "tcp4")
AGENT, A, B = "agent", "10.19.43", "10.19.44"
NET_A, NODE1 = ("vm42", "vm44"), ("vm42", "vm43")

#: What each fault breaks, as measured. ``agent``: ping from the DHCP agent's namespace of the VM's network. One that is not here breaks no way.
BREAKS = {
    "neutron-vlan": {
        **dict.fromkeys((
            "nic-not-in-bridge", "nic-down", "patch-missing", "patch-wrong-peer", "mapping-wrong", "vswitchd-dead", "flows-gone",
            "ovs-agent-dead-since-boot", "port-set-down-by-openflow", "bond-members-down",
            "dpdk-nic-unusable",
        ), ways(*OUT, AGENT, vms=NODE1)),
        "vlan-not-allowed": ways(*OUT, AGENT, vms=NET_A),
        **dict.fromkeys((
            "vlan-not-allowed-at-one-node", "vlan-not-allowed-at-one-node-of-one-instance", "bond-vlan-not-allowed",
            "tap-untagged", "tap-wrong-tag", "tap-dead-vlan", "tap-not-in-bridge", "inbound-translation-missing-in-a-container",
            "outbound-translation-missing", "inbound-translation-missing", "outbound-translation-wrong", "inbound-translation-wrong",
            "translation-on-wrong-port", "drop-above-translation", "stale-flows", "port-security-drops",
        ), ways(*OUT, AGENT)),
        "vlan-allowed-at-one-node": ways(*OUT) | ways(AGENT, vms=NET_A),
        "gateway-gone": ways(*OUT, vms=NET_A),
        **dict.fromkeys((
            "inbound-translation-missing-at-agent", "inbound-translation-missing-at-agent-of-one-instance", "namespace-missing", "namespace-without-address",
        ), ways(AGENT, vms=NET_A)),
        **dict.fromkeys(("security-group-lacks-icmp", "hybrid-security-group-lacks-icmp"), ways("4", AGENT)),
        **dict.fromkeys(("security-group-knows-another-address", "hybrid-port-security-drops"), ways(*OUT, AGENT)),
        "security-group-of-its-network-alone": ways(*OUT),
        **dict.fromkeys(("hybrid-plug-filtered", "unicast-dropped", "conntrack-full"), ways(*OUT, AGENT)),
        **dict.fromkeys((
            "hybrid-plug-untagged", "trunk-parent-untagged", "trunk-parent-wrong-tag", "trunk-tap-not-in-bridge", "trunk-patch-missing",
        ), ways(*OUT, AGENT)),
        "checksum-offload": ways("tcp4"),
        "routed-packets-dropped": ways(*OUT),
        "healthy-stopped-instance": ways(*OUT, AGENT, vms=("vm43",)),
        "two-tap-and-vlan": ways(*OUT, AGENT, vms=("vm43", "vm44")),
    },
    "neutron-vxlan": {
        **dict.fromkeys((
            "tunnel-remote-missing", "tunnel-inbound-missing", "tunnel-udp-filtered", "tunnel-udp-filtered-of-one-instance",
            "tunnel-bridge-missing", "tunnel-flows-gone", "underlay-down", "underlay-lost",
        ), ways(*OUT, AGENT, vms=("vm52", "vm53"))),
        **dict.fromkeys(("tap-untagged", "port-security-drops"), ways(*OUT, AGENT, vms=("vm52",))),
        "security-group-lacks-icmp": ways("4", AGENT, vms=("vm52",)),
        "tunnel-flood-leaves-out-a-node": ways(*OUT, AGENT, vms=("vm52", "vm53")),
    },
    "neutron-l2pop": {
        **dict.fromkeys(("tunnel-inbound-missing", "tunnel-udp-filtered"), ways(*OUT, AGENT, vms=("vm52", "vm53"))),
        **dict.fromkeys(("tunnel-stale-entry", "tunnel-stale-entry-of-one-instance", "tunnel-stale-answer", "tap-untagged"), ways(*OUT, AGENT, vms=("vm52",))),
    },
}

#: What the tunnel bridge has learned again of what comes in decides which ways these break, and for how long.
AS_IT_HAPPENS = {"tunnel-wrong-key"}
#: What these change stands in a log alone, which is in no snapshot.
LOGGED = {"ovs-agent-cut-off"}


def silent(lab):
    """Give the ways that do not work now: those of the routed labs but from nodes, and from the agents' namespaces."""
    found = {way for way in silent_from_nodes(lab) if not way.startswith("own")}
    known = lab.topology.networks
    for name, place in lab.topology.vms().items():
        if "dhcp" not in known[place.vm.network]:  # nobody asks there but the node at the tap
            found -= {way for way in found if way.endswith(f":{name}")}
            continue
        network = known[place.vm.network]["neutron"]["id"]
        address = place.interfaces["eth0"].addresses[0].split("/")[0]
        asked = ["ip", "netns", "exec", f"qdhcp-{network}", "ping", "-c1", "-W1", address]
        if lab.exec("net1", asked, capture_output=True).returncode:
            found.add(f"{AGENT}:{name}")
    return found


def changes(before, after):
    """Give what differs, but the groups that a device is in: one that has had IPv6 once has left those that it was made with."""
    return [line for line in difference(before, after) if '"mac": "33:33:' not in line]


@pytest.fixture(scope="module")
def neutron_lab(request, tmp_path_factory):
    """One lab of a topology for all tests about it, and the state of every place of it."""
    reason = why_not_rooted()
    if reason:
        pytest.skip(reason)
    with up(request.param, rooted=True, state_dir=tmp_path_factory.mktemp("labs")) as lab:
        yield lab, snapshot(lab)


@pytest.mark.parametrize("neutron_lab", [*QUICK], indirect=True)
def test_a_healthy_lab_looks_the_same_twice(neutron_lab):
    lab, as_built = neutron_lab
    assert silent(lab) == set()
    assert changes(as_built, snapshot(lab)) == []


@pytest.mark.parametrize(("neutron_lab", "fault"), [
    pytest.param(topology, fault, id=f"{topology}-{fault.name}", marks=() if fault.name in QUICK[topology] else pytest.mark.slow)
    for topology, fault in ALL
], indirect=["neutron_lab"])
def test_a_fault_breaks_and_is_undone(neutron_lab, fault):
    lab, as_built = neutron_lab
    with lab.fault(fault.name):
        counted = (fault.healthy and fault.breaks) or fault.name in LOGGED  # flows that were learned or counted are in no snapshot
        touched = set() if counted else {step.at for step in (*fault.breaks, *fault.undo)} - {"lab", "fabric"}
        assert not touched or any(difference({at: as_built[at]}, {at: look(lab, at)}) for at in touched), "nothing is different"
        expected = BREAKS[lab.topology.name].get(fault.name, set())
        found = broken(silent, lab, expected)
        assert fault.name in AS_IT_HAPPENS or found == expected, sorted(found)
    assert lab.broken == []
    assert changes(as_built, snapshot(lab)) == []
