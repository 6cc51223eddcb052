"""Faults of the labs that route to their VMs: each breaks what it says, nothing else, and is undone to the last sysctl."""


import pytest

from netchecks.lab import faults
from netchecks.lab.making import up, why_not_rooted
from netchecks.lab.snapshot import difference, look, snapshot
from netchecks.lab.topology import load
from tests.lab.measuring import broken

#: One of each kind, tried in every run of the tests; the others in `make test-all`.
QUICK = {
    "vmhost-routing": {"bridge-missing", "proxy-ndp-missing", "healthy-stopped-vm"},
    "vmhost-fabric": {"leftover-bridge", "route-not-redistributed"},
    "vmhost-fabric-ospf": {"route-not-redistributed-ipv6"},
}
ALL = [(topology, fault) for topology in QUICK for fault in faults.load(topology)]

#: Asks all VMs at once, from the controller and from their nodes; prints what did not answer.
ASK = r"""
p() { n=$1; shift; "$@" >/dev/null 2>&1 || echo "$n"; }
for way in "$@"; do
  vm=${way%%=*} address=${way#*=}
  case $address in *:*) f=6 ;; *) f=4 ;; esac
  p "$FROM$f:$vm" ping -c1 -W1 "$address" &
  [ -n "$FROM" ] || p "tcp$f:$vm" timeout 1 bash -c "</dev/tcp/$address/8080" &
done
wait
"""
#: Ping and TCP from the controller, ping from the VM's own node: the ways of ASK, by family.
OUT4, OUT6, OWN4, OWN6 = ("4", "tcp4"), ("6", "tcp6"), ("own4",), ("own6",)
ALL_WAYS = (*OUT4, *OUT6, *OWN4, *OWN6)


def ways(*kinds, vms=("vm42",)):
    return {f"{kind}:{vm}" for kind in kinds for vm in vms}


#: What each fault breaks, as measured. One that is not here breaks no way: a rule for a source spares ping, which binds to none.
BREAKS = {
    "vmhost-routing": {
        **dict.fromkeys((
            "bridge-missing", "bridge-down",
        ), ways(*ALL_WAYS, vms=("vm42", "vm43"))),
        "uplink-down": ways(*OUT4, *OUT6, vms=("vm42", "vm43", "vm45")),
        **dict.fromkeys((
            "tap-not-in-bridge", "tap-down",
        ), ways(*ALL_WAYS)),
        **dict.fromkeys((
            "guest-silent", "host-route-missing", "host-route-wrong-device", "host-route-shadowed-by-blackhole",
            "host-route-shadowed-by-rule",
        ), ways(*OUT4, *OWN4)),
        "subnet-route-missing": ways(*OUT4, *OWN4, vms=("vm45",)),
        "subnet-route-missing-ipv6": ways(*OUT6, *OWN6, vms=("vm45",)),
        **dict.fromkeys((
            "host-route-missing-ipv6", "host-route-wrong-device-ipv6", "host-route-shadowed-by-blackhole-ipv6",
        ), ways(*OUT6, *OWN6)),
        "host-route-missing-of-the-only-vm": ways(*OUT4, *OWN4, vms=("vm44",)),
        **dict.fromkeys((
            "host-route-shadowed-for-forwarded", "firewall-drops-forwarded", "router-route-missing",
            "router-route-to-another-node",
        ), ways(*OUT4)),
        **dict.fromkeys((
            "host-route-shadowed-for-forwarded-ipv6", "router-route-missing-ipv6",
        ), ways(*OUT6)),
        **dict.fromkeys((
            "way-back-missing", "forwarding-off", "forwarding-off-at-uplink", "rp-filter-strict-asymmetric",
        ), ways(*OUT4, vms=("vm42", "vm43", "vm45"))),
        **dict.fromkeys((
            "way-back-missing-ipv6", "forwarding-off-ipv6",
        ), ways(*OUT6, vms=("vm42", "vm43", "vm45"))),
        "forwarding-off-at-bridge": ways(*OUT4, vms=("vm42", "vm43")),
        "proxy-arp-missing": ways(*OUT4, vms=("vm46",)),
        **dict.fromkeys((
            "proxy-ndp-missing", "proxy-ndp-off",
        ), ways(*OUT6, vms=("vm46",))),
        **dict.fromkeys((
            "vm-gateway-missing", "vm-gateway-missing-undeclared",
        ), ways(*OUT4, *OWN4, vms=("vm42", "vm43"))),
        "router-does-not-forward": ways(*OUT4, vms=("vm42", "vm43", "vm44", "vm45", "vm46")),
        "two-host-route-and-proxy": ways(*OUT4, *OWN4) | ways(*OUT4, vms=("vm46",)),
        "two-forwarding-and-router-route": ways(*OUT6, vms=("vm42", "vm43", "vm45")) | ways(*OUT4, vms=("vm44",)),
        "healthy-stopped-vm": ways(*ALL_WAYS, vms=("vm43",)),
    },
    "vmhost-fabric": {
        **dict.fromkeys((
            "uplink-down", "frr-stopped", "frr-bgpd-dead",
        ), ways(*OUT4, *OUT6, vms=("vm42", "vm43"))),
        **dict.fromkeys((
            "tap-down", "guest-interface-down", "leftover-bridge",
        ), ways(*ALL_WAYS)),
        **dict.fromkeys((
            "guest-silent", "kernel-route-missing", "host-route-wrong-device", "kernel-route-missing-frr-has-it",
        ), ways(*OUT4, *OWN4)),
        **dict.fromkeys((
            "forwarding-off", "neighbour-wrong-as", "neighbour-filtered", "neighbour-filtered-at-router",
            "route-not-redistributed",
        ), ways(*OUT4, vms=("vm42", "vm43"))),
        **dict.fromkeys((
            "firewall-drops-forwarded", "host-route-shadowed-by-rule", "route-filtered-by-redistribution",
            "route-filtered-by-route-map-out", "route-filtered-by-router",
        ), ways(*OUT4)),
        "kernel-route-missing-ipv6": ways(*OUT6, *OWN6),
        "frr-stopped-on-router": ways(*OUT4, *OUT6, vms=("vm42", "vm43", "vm44", "vm45")),
        **dict.fromkeys((
            "neighbour-wrong-as-at-router", "route-not-redistributed-ipv6",
        ), ways(*OUT6, vms=("vm42", "vm43"))),
        "two-neighbour-and-bridge": ways(*OUT4, vms=("vm42", "vm43")) | ways(*ALL_WAYS, vms=("vm44",)),
        "healthy-stopped-vm": ways(*ALL_WAYS, vms=("vm43",)),
    },
    "vmhost-fabric-ospf": {
        **dict.fromkeys((
            "uplink-down", "frr-stopped",
        ), ways(*OUT4, *OUT6, vms=("vm42", "vm43"))),
        **dict.fromkeys((
            "tap-down", "guest-interface-down", "leftover-bridge",
        ), ways(*ALL_WAYS)),
        **dict.fromkeys((
            "guest-silent", "kernel-route-missing", "host-route-wrong-device",
        ), ways(*OUT4, *OWN4)),
        **dict.fromkeys((
            "forwarding-off", "frr-ospfd-dead", "neighbour-other-timers", "neighbour-filtered",
            "route-not-redistributed",
        ), ways(*OUT4, vms=("vm42", "vm43"))),
        **dict.fromkeys((
            "firewall-drops-forwarded", "host-route-shadowed-by-rule", "route-filtered-by-redistribution",
        ), ways(*OUT4)),
        "kernel-route-missing-ipv6": ways(*OUT6, *OWN6),
        "frr-stopped-on-router": ways(*OUT4, *OUT6, vms=("vm42", "vm43", "vm44", "vm45")),
        **dict.fromkeys((
            "frr-ospf6d-dead", "neighbour-filtered-ipv6", "route-not-redistributed-ipv6",
        ), ways(*OUT6, vms=("vm42", "vm43"))),
        "healthy-stopped-vm": ways(*ALL_WAYS, vms=("vm43",)),
    },
}


def asked(lab, place, prefix, vms):
    addresses = [
        f"{vm}={address.split('/')[0]}" for vm in vms
        for interface in lab.topology.places[vm].interfaces.values() for address in interface.addresses
    ]
    script = f"FROM={prefix}\n{ASK}"
    return lab.exec(place, ["bash", "-c", script, "ask", *addresses], capture_output=True, text=True).stdout.split()


def silent(lab):
    """Give the ways that do not work now."""
    vms = lab.topology.vms()
    found = asked(lab, "controller", "''", vms)
    for node in sorted({place.vm.node for place in vms.values()}):
        found += asked(lab, node, "own", [vm for vm, place in vms.items() if place.vm.node == node])
    return set(found)


@pytest.fixture(scope="module")
def routed_lab(request, tmp_path_factory):
    """One lab of a topology for all tests about it, and the state of every place of it."""
    reason = why_not_rooted(load(request.param).programs)
    if reason:
        pytest.skip(reason)
    with up(request.param, rooted=True, state_dir=tmp_path_factory.mktemp("labs")) as lab:
        yield lab, snapshot(lab)


@pytest.mark.parametrize("routed_lab", [*QUICK], indirect=True)
def test_a_healthy_lab_looks_the_same_twice(routed_lab):
    lab, as_built = routed_lab
    assert silent(lab) == set()
    assert difference(as_built, snapshot(lab)) == []


@pytest.mark.parametrize(("routed_lab", "fault"), [
    pytest.param(topology, fault, id=f"{topology}-{fault.name}", marks=() if fault.name in QUICK[topology] else pytest.mark.slow)
    for topology, fault in ALL
], indirect=["routed_lab"])
def test_a_fault_breaks_and_is_undone(routed_lab, fault):
    lab, as_built = routed_lab
    with lab.fault(fault.name):
        touched = {step.at for step in (*fault.breaks, *fault.undo)} - {"lab"}
        assert any(difference({at: as_built[at]}, {at: look(lab, at)}) for at in touched), "nothing is different"
        expected = BREAKS[lab.topology.name].get(fault.name, set())
        found = broken(silent, lab, expected)
        assert found == expected, sorted(found)
    assert lab.broken == []
    assert difference(as_built, snapshot(lab)) == []
