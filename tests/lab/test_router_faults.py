"""Faults of the labs of a router of Neutron, alone, of two agents, or distributed: each breaks what it says, nothing else, and is undone."""

import pytest

from netchecks.lab import faults
from netchecks.lab.making import up, why_not_rooted
from netchecks.lab.snapshot import difference, look, snapshot
from netchecks.lab.topology import load
from tests.lab.measuring import broken
from tests.lab.test_routed_faults import ways

#: One in the router and one that breaks nothing, tried in every run of the tests; the others in `make test-all`.
QUICK = {
    "neutron-router": {"floating-address-missing", "floating-snat-missing"},
    "neutron-ha": {"router-no-primary", "router-keepalived-dead"},
    "neutron-dvr": {"floating-route-missing", "snat-missing"},
}
ALL_FAULTS = [(topology, fault) for topology in QUICK for fault in faults.load(topology)]

#: Asks all at once what stands in the arguments: KIND:VM=ADDRESS; prints what did not answer.
ASK = r"""
p() { n=$1; shift; "$@" >/dev/null 2>&1 || echo "$n"; }
for way in "$@"; do
  name=${way%=*} address=${way#*=}
  case $name in
    floattcp:*) p "$name" timeout 1 bash -c "</dev/tcp/$address/8080" & ;;
    *) p "$name" ping -c1 -W1 "$address" & ;;
  esac
done
wait
"""
#: Ping and TCP from the controller to the floating address; ping from the namespaces of router and DHCP agent; ping from the VM
#: to the controller, which the router sends from the VM's floating address or from its own.
FLOAT, ROUTER, AGENT, OUT = ("float", "floattcp"), "router", "agent", "out"
FLOATING, ALL = ("vm52", "vm54"), ("vm52", "vm53", "vm54")
#: All that passes the router; that of two agents.
THROUGH = ways(*FLOAT, vms=FLOATING) | ways(OUT, vms=ALL)
THROUGH_HA = ways(*FLOAT, vms=("vm52",)) | ways(OUT, vms=("vm52", "vm53"))

#: What each fault breaks, as measured. One that is not here breaks no way: an address that is not translated is still one of the
#: router, which answers ping; who is answered by another VM, or from another address, does not see it here.
BREAKS = {
    "neutron-router": {
        **dict.fromkeys((
            "router-namespace-missing", "router-gateway-address-missing", "router-port-untagged",
        ), THROUGH | ways(ROUTER, vms=ALL)),
        **dict.fromkeys((
            "router-device-down", "router-forwarding-off", "router-default-route-missing", "external-nic-not-in-bridge",
            "external-gateway-gone",
        ), THROUGH),
        **dict.fromkeys(("floating-address-missing", "router-forward-dropped"), ways(*FLOAT, OUT, vms=("vm52",))),
        "floating-dnat-missing": ways("floattcp", vms=("vm52",)),
        "tap-untagged": ways(*FLOAT, ROUTER, AGENT, OUT, vms=("vm52",)),
    },
    "neutron-ha": {
        **dict.fromkeys(("router-no-primary", "external-nic-not-in-bridge", "tunnel-inbound-missing-at-router"), THROUGH_HA),
        "floating-dnat-missing": ways("floattcp", vms=("vm52",)),
    },
    "neutron-dvr": {
        **dict.fromkeys((
            "floating-device-down", "floating-device-missing", "floating-port-untagged", "floating-default-route-missing", "floating-forwarding-off", "proxy-arp-off",
            "external-nic-not-in-bridge", "router-forward-dropped", "floating-forward-dropped", "floating-route-missing",
        ), ways(*FLOAT, OUT, vms=("vm52",))),
        # Without the pair of devices what vm52 begins leaves by the node that translates for all.
        **dict.fromkeys(("floating-namespace-missing", "floating-pair-down", "floating-dnat-missing"), ways(*FLOAT, vms=("vm52",))),
        **dict.fromkeys(("router-namespace-missing", "router-gateway-address-missing"), ways(*FLOAT, vms=("vm52",)) | ways(OUT, vms=("vm52", "vm53"))),
        **dict.fromkeys(("snat-namespace-missing", "snat-rule-missing", "snat-default-route-missing", "snat-missing"), ways(OUT, vms=("vm53",))),
        "tap-untagged": ways(*FLOAT, AGENT, OUT, vms=("vm52",)),
        "floating-address-twice": ways(*FLOAT, OUT, vms=("vm52",)),
    },
}
#: Two with the same MAC and addresses: which of them a packet meets changes with what the other sends.
UNSTEADY = {"router-two-primaries", "router-keepalived-killed"}


def asked(lab, place, prefix, kinds):
    """Give those of the ways that do not work, asked in that place."""
    asked = [f"{kind}:{vm}={address}" for kind, addresses in kinds.items() for vm, address in addresses.items()]
    return set(lab.exec(place, [*prefix, "bash", "-c", ASK, "ask", *asked], capture_output=True, text=True).stdout.split())


def silent(lab):
    """Give the ways that do not work now."""
    vms, meant = lab.topology.vms(), lab.topology.networks["tenant"]["neutron"]
    own = {name: place.interfaces["eth0"].addresses[0].split("/")[0] for name, place in vms.items()}
    floating = {name: place.vm.floating[0] for name, place in vms.items() if place.vm.floating}
    found = asked(lab, "controller", [], dict.fromkeys(FLOAT, floating))
    spaces = {ROUTER: f"qrouter-{meant['router']['id']}", AGENT: f"qdhcp-{meant['id']}"}
    if lab.topology.name != "neutron-router":
        del spaces[ROUTER]  # one of several has no addresses; what a part of a distributed one asks is answered to another
    for kind, space in spaces.items():
        found |= asked(lab, "net1", ["ip", "netns", "exec", space], {kind: own}) if there(lab, space) else ways(kind, vms=own)
    for name in vms:
        found |= asked(lab, name, [], {OUT: {name: "10.20.200.2"}})
    return found


def there(lab, space):
    """Tell whether net1 has the namespace: without it nothing can be asked from there."""
    return lab.exec("net1", ["test", "-e", f"/run/netns/{space}"]).returncode == 0


@pytest.fixture(scope="module")
def router_lab(request, tmp_path_factory):
    """One lab of a topology for all tests about it, and the state of every place of it."""
    reason = why_not_rooted(load(request.param).programs)
    if reason:
        pytest.skip(reason)
    with up(request.param, rooted=True, state_dir=tmp_path_factory.mktemp("labs")) as lab:
        yield lab, snapshot(lab)


@pytest.mark.parametrize("router_lab", [*QUICK], indirect=True)
def test_a_healthy_lab_looks_the_same_twice(router_lab):
    lab, as_built = router_lab
    assert silent(lab) == set()
    assert difference(as_built, snapshot(lab)) == []


@pytest.mark.parametrize(("router_lab", "fault"), [
    pytest.param(topology, fault, id=f"{topology}-{fault.name}", marks=() if fault.name in QUICK[topology] else pytest.mark.slow)
    for topology, fault in ALL_FAULTS
], indirect=["router_lab"])
def test_a_fault_breaks_and_is_undone(router_lab, fault):
    lab, as_built = router_lab
    with lab.fault(fault.name):
        touched = set() if fault.healthy else {step.at for step in (*fault.breaks, *fault.undo)}
        assert not touched or any(difference({at: as_built[at]}, {at: look(lab, at)}) for at in touched), "nothing is different"
        expected = BREAKS[lab.topology.name].get(fault.name, set())
        found = expected if fault.name in UNSTEADY else broken(silent, lab, expected)
        assert found == expected, sorted(found)
    assert lab.broken == []
    assert difference(as_built, snapshot(lab)) == []
