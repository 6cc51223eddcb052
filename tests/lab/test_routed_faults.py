"""Faults of the labs that route to their VMs: each breaks what it says, nothing else, and is undone to the last sysctl."""


import pytest

from netchecks.lab import faults
from netchecks.lab.making import up, why_not_rooted
from netchecks.lab.snapshot import difference, look, snapshot

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
V4, V6 = ("4", "tcp4"), ("6", "tcp6")


def ways(*kinds, vms=("vm42",)):
    return {f"{kind}:{vm}" for kind in kinds for vm in vms}


POOL = ("vm42", "vm43")
NODE1 = {"vmhost-routing": ("vm42", "vm43", "vm45"), "vmhost-fabric": POOL, "vmhost-fabric-ospf": POOL}
OWN4, OWN6 = ("own4",), ("own6",)
NO42 = ways(*V4, *V6, *OWN4, *OWN6)

#: What each fault breaks, as measured; "node1": what is on node1 there. A fault that is not here breaks no way.
BREAKS = {}


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
    reason = why_not_rooted()
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
        broken = silent(lab)
        assert broken == BREAKS.get((lab.topology.name, fault.name), BREAKS.get(fault.name, set())), sorted(broken)
    assert lab.broken == []
    assert difference(as_built, snapshot(lab)) == []
