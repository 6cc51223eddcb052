"""Every fault breaks what it says, nothing else, and is undone to the last sysctl."""

import re

import pytest

from netchecks.lab import faults
from netchecks.lab.snapshot import difference, look, snapshot
from tests.lab.measuring import broken

ALL = faults.load("vmhost-switching")

#: One of each kind, tried in every run of the tests; the others in `make test-all`.
QUICK = {"bridge-missing", "domain-migrated", "guest-port-closed", "tool-garbage"}

#: Asks everything at once from the controller and from node1; prints what did not answer.
CONTROLLER = r"""
p() { n=$1; shift; "$@" >/dev/null 2>&1 || echo "$n"; }
for v in 42 43 44 45; do
  p ping4:vm$v ping -c1 -W1 10.20.0.1$v &
  p ping6:vm$v ping -c1 -W1 fd20::1$v &
  p full:vm$v ping -c1 -W1 -M do -s 1472 10.20.0.1$v &
  p tcp4:vm$v timeout 1 bash -c "</dev/tcp/10.20.0.1$v/8080" &
  p tcp6:vm$v timeout 1 bash -c "</dev/tcp/fd20::1$v/8080" &
done
p dns4 dig +tries=1 +time=1 @10.20.0.53 gw.lab.test &
p dns6 dig +tries=1 +time=1 @fd20::53 gw.lab.test &
wait
"""
NODE = r"""
p() { n=$1; shift; "$@" >/dev/null 2>&1 || echo "$n"; }
p node:vm42 ping -c1 -W1 10.20.0.142 & p node:gateway ping -c1 -W1 10.20.0.1 &
wait
"""


def ways(*kinds, vms=("vm42",)):
    return {f"{kind}:{vm}" for kind in kinds for vm in vms}


ALL4, ALL6 = ("ping4", "full", "tcp4"), ("ping6", "tcp6")
NODE1 = ways(*ALL4, *ALL6, vms=("vm42", "vm43"))
VM42 = ways(*ALL4, *ALL6)

#: What each fault breaks, as measured; a fault that is not here breaks no way, only what a look at the node shows.
BREAKS = {
    "bridge-missing": NODE1 | {"node:vm42", "node:gateway"},
    "bridge-down": NODE1 | {"node:vm42", "node:gateway"},
    **dict.fromkeys(("uplink-not-in-bridge", "uplink-down", "uplink-no-carrier", "uplink-blocking"), NODE1 | {"node:gateway"}),
    **dict.fromkeys((
        "tap-not-in-bridge", "tap-in-another-bridge", "tap-down", "tap-ebpf-drops", "domain-shut-off", "domain-paused",
        "throughput-tap-down", "domain-link-unplugged", "guest-interface-down", "port-no-unicast", "tap-missing", "tap-blocking", "guest-drops-everything",
        "no-python-tap-not-in-bridge", "no-python-no-perl-tap-not-in-bridge",
    ), VM42 | {"node:vm42"}),
    **dict.fromkeys(("trace-upstream-drops", "uplink-wrong-vlan", "no-python-upstream-drops"), NODE1 | {"node:gateway"}),
    **dict.fromkeys((
        "trace-upstream-drops-one-vm", "trace-request-dropped-before-tap", "trace-request-dropped-behind-uplink",
        "trace-reply-dropped-before-uplink", "gateway-stale-neighbour", "sender-drops", "no-python-request-dropped-before-tap",
    ), VM42),
    **dict.fromkeys(("trace-reply-dropped-behind-tap", "trace-anti-spoofing", "fdb-static-at-another-port"), VM42 | {"node:vm42"}),
    "trace-upstream-drops-replies": ways(*ALL4),
    "trace-tcp-replies-dropped": {"tcp4:vm42"},
    "trace-outbound-dropped-at-uplink": {"node:gateway"},
    "tap-mtu-too-small": {"full:vm42"},
    "uplink-mtu-too-small": ways("full", vms=("vm42", "vm43")),
    "guest-silent": ways(*ALL4) | {"node:vm42"},
    "guest-wrong-address": ways(*ALL4) | {"node:vm42"},
    "guest-wrong-prefix": ways(*ALL4),
    "guest-drops-icmp": ways("ping4", "ping6", "full") | {"node:vm42"},
    "guest-port-closed": ways("tcp4", "tcp6"),
    "guest-drops-a-port": ways("tcp4", "tcp6"),
    "guest-no-ipv6": ways(*ALL6),
    "firewall-iptables-drops": ways(*ALL4, vms=("vm42", "vm43")),
    "firewall-nftables-drops": VM42,
    "firewall-ebtables-drops": ways(*ALL4, vms=("vm42", "vm43")),
    "gateway-gone": ways(*ALL4, *ALL6, vms=("vm42", "vm43", "vm44", "vm45")) | {"dns4", "dns6", "node:gateway"},
    "resolver-dead": {"dns4", "dns6"},
    "resolver-slow": {"dns4", "dns6"},
    "route-overlapping": {"node:vm42"},
    "port-isolated": VM42,
    "port-no-multicast-flood": ways(*ALL6),
    "two-tap-and-resolver": VM42 | {"dns4", "dns6", "node:vm42"},
    "two-uplink-and-address": NODE1 | ways(*ALL4, vms=("vm44",)) | {"node:gateway"},
    **dict.fromkeys(("guest-wrong-gateway", "guest-no-default-route"), ways(*ALL4)),
    "guest-wrong-gateway-ipv6": ways(*ALL6),
    "guest-route-overlapping": {"node:vm42"},
    **dict.fromkeys(("guest-firewall-drops-in", "guest-firewall-drops-out"), VM42 | {"node:vm42"}),
    "two-guest-gateway-and-uplink": ways(*ALL4) | ways(*ALL4, *ALL6, vms=("vm44", "vm45")),
    "healthy-guest-without-ipv6": ways(*ALL6, vms=("vm43",)),
    "path-one-way-bad": ways("tcp4", vms=("vm42", "vm43")),
    "path-mtu-black-hole": ways("full", vms=("vm42", "vm43", "vm44", "vm45")),
    "healthy-smaller-path-that-says-so": ways("full", vms=("vm42", "vm43", "vm44", "vm45")),
    "healthy-guest-silent-to-ping": ways("ping4", "ping6", "full", vms=("vm45",)),
    "healthy-gateway-silent-to-ping": {"node:gateway"},
    "healthy-stopped-vm": ways(*ALL4, *ALL6, vms=("vm43",)),
}

#: Two hosts fight, or some packets are lost: what breaks is a matter of luck, but only theirs.
FIGHTS = {
    "address-duplicate": "vm42", "mac-duplicate": "vm4[24]", "gateway-two-macs": ".*", "switch-reflects-frames": "vm4[23]",
    "path-loss": "vm4[23]", "path-loss-everywhere": "vm4|dns", "path-loss-of-one-vm": "vm42",
}

#: What a snapshot leaves out because it changes by itself is asked for here.
ELSEWHERE = {
    "fdb-static-at-another-port": ("node1", "bridge fdb show br br0 | grep -q '52:54:00:00:00:42 dev vm43_net0.* static'"),
    "gateway-stale-neighbour": ("gateway", "ip neigh show 10.20.0.142 | grep -q 52:54:00:00:00:99"),
    "guest-wrong-resolver": ("vm42", "grep -q 10.20.0.59 /etc/resolv.conf"),
    "healthy-guest-not-entered": ("controller", "true"),  # only the inventory is another one
    "healthy-carries-what-is-declared": ("controller", "true"),  # likewise
    "healthy-stale-neighbours": ("node1", "ip neigh show nud stale | grep -q 10.20.0.199"),
    "healthy-idle-vm": ("node1", "! bridge fdb show br br0 | grep -q '52:54:00.*dev vm42_net0'"),
}


def silent(lab):
    """Give the ways that do not work now."""
    asked = (("controller", CONTROLLER), ("node1", NODE))
    return {way for place, script in asked for way in lab.exec(place, ["sh", "-c", script], capture_output=True, text=True).stdout.split()}


def shows(lab, fault, before):
    """Tell whether a place that the fault touches looks different."""
    if fault.name in ELSEWHERE:
        place, script = ELSEWHERE[fault.name]
        return lab.exec(place, ["sh", "-c", script]).returncode == 0
    return any(difference({at: before[at]}, {at: look(lab, at)}) for at in {step.at for step in (*fault.breaks, *fault.undo)} - {"lab"})


def test_a_healthy_lab_looks_the_same_twice(rooted_lab, as_built):
    assert silent(rooted_lab) == set()
    assert difference(as_built, snapshot(rooted_lab)) == []


@pytest.mark.parametrize(
    "fault", [pytest.param(one, id=one.name, marks=() if one.name in QUICK else pytest.mark.slow) for one in ALL],
)
def test_a_fault_breaks_and_is_undone(rooted_lab, as_built, fault):
    with rooted_lab.fault(fault.name):
        assert rooted_lab.broken == [fault.name]
        assert shows(rooted_lab, fault, as_built), "nothing is different"
        if fault.name in FIGHTS:
            found = silent(rooted_lab)
            assert all(re.search(FIGHTS[fault.name], way) for way in found), found
        else:
            expected = BREAKS.get(fault.name, set())
            assert broken(silent, rooted_lab, expected) == expected
    assert rooted_lab.broken == []
    assert difference(as_built, snapshot(rooted_lab)) == []


def test_a_fault_that_cannot_be_applied_is_undone(rooted_lab, as_built):
    steps = {"break": [{"at": "vm42", "run": "ip link set eth0 down; false"}], "undo": [{"at": "vm42", "run": "ip link set eth0 up; addresses"}]}
    bad = faults.Fault.model_validate({"name": "bad", "title": "t", "healthy": True, **steps})
    with pytest.raises(faults.LabError, match="bad: at vm42, exit 1"):
        rooted_lab.apply(bad)
    assert difference(as_built, snapshot(rooted_lab)) == []


def test_an_exception_undoes_a_fault(rooted_lab, as_built):
    with pytest.raises(ZeroDivisionError), rooted_lab.fault("tap-down"):
        raise ZeroDivisionError
    assert difference(as_built, snapshot(rooted_lab)) == []


def test_an_overlay_is_in_the_inventory_as_long_as_the_fault_is_there(rooted_lab):
    before = rooted_lab.inventory.read_text()
    with rooted_lab.fault("healthy-guest-silent-to-ping"):
        assert "answers_ping: false" in rooted_lab.inventory.read_text()
    assert rooted_lab.inventory.read_text() == before
