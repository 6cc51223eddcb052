"""Faults of the labs of nova-network: each breaks what it says, nothing else, and is undone to the last rule."""

import re

import pytest

from netchecks.lab import faults
from netchecks.lab.making import up, why_not_rooted
from netchecks.lab.snapshot import difference, look, snapshot
from netchecks.lab.topology import load
from tests.lab.measuring import broken

#: One of each kind, tried in every run of the tests; the others in `make test-all`.
QUICK = {
    "nova-flatdhcp": {"host-missing", "dnat-to-another", "stale-floating-ip", "healthy-two-floating-ips"},
    "nova-singlehost": {"flat-interface-of-compute-node"},
}
ALL = [(topology, fault) for topology in QUICK for fault in faults.load(topology)]
#: What a snapshot does not show: rows, files below /var, one of two rules of the same text, the end of a long command line.
UNSEEN = {"dnat-missing", "dnat-not-reached", "security-group-without-icmp", "dnsmasq-does-not-resolve", "healthy-quiet-dnsmasq", "stale-floating-ip", "stale-connection", "floating-ip-not-bound", "address-twice", "nova-conf-differs", "healthy-console-of-an-earlier-start", "healthy-console-of-a-second-nic", "healthy-nova-conf-of-defaults"}

#: Asks all instances at once: from outside by ping and TCP at their floating addresses, from their nodes by ping; names and metadata inside.
ASK = r"""
p() { n=$1; shift; "$@" >/dev/null 2>&1 || echo "$n"; }
for way in "$@"; do
  kind=${way%%=*} address=${way#*=}
  case $kind in
    tcp*) p "$kind" timeout 1 bash -c "</dev/tcp/$address/8080" & ;;
    name*) p "$kind" dig +short +tries=1 +time=1 "@$address" www.example.org & ;;
    meta*) p "$kind" curl -s -f -m 1 -o /dev/null "http://$address/2009-04-04/meta-data/instance-id" & ;;
    *) p "$kind" ping -c1 -W1 "$address" & ;;
  esac
done
wait
"""
OUT, OWN, INSIDE = ("ping", "tcp"), ("own",), ("name", "meta", "out")


def ways(*kinds, vms=("vm42",)):
    return {f"{kind}:{vm}" for kind in kinds for vm in vms}


#: What each fault breaks, as measured. One that is not here breaks no way.
ALL_WAYS = (*OUT, *OWN, *INSIDE)
BREAKS = {
    "nova-flatdhcp": {
        "dnsmasq-dead": ways(*ALL_WAYS) | ways("name", vms=("vm43",)),
        **dict.fromkeys((
            "dnsmasq-dead-leases-hold", "instance-does-not-resolve", "dnsmasq-does-not-resolve",
        ), ways("name", vms=("vm42", "vm43"))),
        **dict.fromkeys((
            "dnsmasq-wrong-range", "dhcp-reply-filtered", "instance-on-another-bridge", "tap-down",
        ), ways(*ALL_WAYS)),
        **dict.fromkeys((
            "host-missing", "pool-empty", "no-fixed-ip", "dhcp-reply-filtered-at-tap", "dhcp-request-filtered", "dropped-at-tap",
            "console-without-lease", "guest-silent", "healthy-stopped-instance",
        ), ways(*ALL_WAYS, vms=("vm43",))),
        "host-with-another-address": ways(*OUT, *OWN, vms=("vm43",)),
        # the node itself answers pings for an address that nobody translates
        "dnat-missing": ways("tcp"),
        "dnat-not-reached": ways("tcp", "meta", vms=("vm42", "vm43")),
        **dict.fromkeys(("snat-missing-altogether", "outbound-dropped"), ways("out")),
        "floating-address-missing": ways(*OUT, "out"),
        "floating-address-twice": ways("tcp", "out"),  # ping takes the instance's answer from its fixed address for one
        "forwarding-off": ways(*OUT, "out", vms=("vm42", "vm43")),
        "security-group-without-icmp": ways("ping"),
        "security-group-without-port": ways("tcp", vms=("vm44",)),
        "firewall-of-its-own": ways(*OUT, "out", vms=("vm43",)),
        "nobody-resolves": ways("name", vms=("vm42", "vm43", "vm44")),
        **dict.fromkeys((
            "metadata-dead", "metadata-rule-missing", "metadata-filtered",
        ), ways("meta", vms=("vm42", "vm43"))),
        "two-dnat-and-security-group": ways("tcp", vms=("vm42", "vm44")),
        "two-dnsmasq-and-flat-interface": ways(*ALL_WAYS) | ways("name", vms=("vm43",)),
        "healthy-drops-icmp": ways("ping", *OWN, vms=("vm43",)),
        "healthy-without-floating-ip": ways(*OUT, vms=("vm43",)),
    },
    "nova-singlehost": {
        "dnsmasq-dead": ways(*ALL_WAYS, vms=("vm44",)) | ways("name", vms=("vm42", "vm43")),
        **dict.fromkeys(("host-missing", "dhcp-dropped-at-compute-node"), ways(*ALL_WAYS, vms=("vm44",))),
        "dnat-missing": ways("tcp"),
        "forwarding-off": ways(*OUT, "out", vms=("vm42", "vm43", "vm44")),
        **dict.fromkeys(("flat-interface-of-compute-node", "flat-network-drops"), ways(*ALL_WAYS, vms=("vm42", "vm43"))),
        "flat-interface-of-network-host": ways(*ALL_WAYS, vms=("vm42", "vm43", "vm44")),
        "security-group-without-icmp": ways("ping", vms=("vm44",)),
        "network-host-drops": ways(*OUT, "out"),
    },
}


#: Sockets that come and go: a client that asks for its lease, dnsmasq's own questions to the server behind it.
COMES_AND_GOES = re.compile(r":68 .*busybox|:(?!53 |67 )\d+ .*dnsmasq")


def changed(before, after):
    return [line for line in difference(before, after) if " listeners: " not in line or not COMES_AND_GOES.search(line)]


def asked(lab, place, *wanted):
    return lab.exec(place, ["bash", "-c", ASK, "ask", *wanted], capture_output=True, text=True).stdout.split()


def gate(lab, node):
    """Give who is the gateway of a node's instances: itself where it has an address on the bridge."""
    return node if lab.topology.places[node].interfaces["br100"].addresses else "network1"


def silent(lab):
    """Give the ways that do not work now."""
    found = []
    vms = lab.topology.vms()
    fixed = {name: place.interfaces["eth0"].addresses[0].split("/")[0] for name, place in vms.items()}
    found += asked(lab, "controller", *(f"{kind}:{name}={place.vm.floating[0]}" for name, place in vms.items() for kind in OUT))
    for name, place in vms.items():
        found += asked(lab, gate(lab, place.vm.node), f"own:{name}={fixed[name]}")
    for name, place in vms.items():
        found += asked(lab, name, f"name:{name}={place.resolvers[0]}", f"meta:{name}=169.254.169.254", f"out:{name}=198.51.100.4")
    return set(found)


@pytest.fixture(scope="module")
def nova_lab(request, tmp_path_factory):
    """One lab of a topology for all tests about it, and the state of every place of it."""
    reason = why_not_rooted(load("nova-flatdhcp").programs)
    if reason:
        pytest.skip(reason)
    with up(request.param, rooted=True, state_dir=tmp_path_factory.mktemp("labs")) as lab:
        yield lab, snapshot(lab)


@pytest.mark.parametrize("nova_lab", [*QUICK], indirect=True)
def test_a_healthy_lab_looks_the_same_twice(nova_lab):
    lab, as_built = nova_lab
    assert silent(lab) == set()
    assert changed(as_built, snapshot(lab)) == []


@pytest.mark.parametrize(("nova_lab", "fault"), [
    pytest.param(topology, fault, id=f"{topology}-{fault.name}", marks=() if fault.name in QUICK[topology] else pytest.mark.slow)
    for topology, fault in ALL
], indirect=["nova_lab"])
def test_a_fault_breaks_and_is_undone(nova_lab, fault):
    lab, as_built = nova_lab
    with lab.fault(fault.name):
        touched = {step.at for step in (*fault.breaks, *fault.undo)} - {"lab"}
        if fault.name not in UNSEEN:
            assert any(difference({at: as_built[at]}, {at: look(lab, at)}) for at in touched), "nothing is different"
        expected = BREAKS[lab.topology.name].get(fault.name, set())
        found = broken(silent, lab, expected)
        assert found == expected, sorted(found)
    assert lab.broken == []
    assert changed(as_built, snapshot(lab)) == []
