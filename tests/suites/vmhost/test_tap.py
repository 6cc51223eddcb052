"""suites/vmhost/test_tap.py, called with what the real tools say of a tap that was broken."""

import json
from dataclasses import replace

import pytest

from netchecks.platforms.vmhost import tap_of
from suites.vmhost import test_tap as checks
from tests.suites.vmhost.given import (
    CONTROLLER,
    MAC,
    NODE1,
    NODE2,
    UNSEEN,
    VM42,
    VM42_STORAGE,
    VM43,
    VM44,
    answered,
    answers,
    by,
    domains,
    edited,
    flow_of,
    has,
    is_unknown,
    notes_of,
    played,
    silent,
    wrong,
)

pytestmark = has()
NO_LIBVIRT = UNSEEN
#: The parameters of the checks that all take the VM's NIC first.
CHECKS = {
    "tap_is_up": ("links",),
    "bridge_has_vm": ("links", "bridges", "bridge_vlans"),
    "port_is_not_isolated": ("bridges",),
    "port_takes_unicast": ("links", "bridges", "fdb"),
    "tap_has_no_dropping_filter": ("links", "traffic_filters"),
    "tap_mtu_fits": ("links",),
    "bridge_knows_mac": ("links", "bridges", "fdb"),
}


def run(name, change="", interface=VM42, known=None, **facts):
    """Call a check with the facts of the playground after a change, but for those that are given."""
    known = by("domains", known or domains())
    given = [by(fact, facts.get(fact, change)) for fact in CHECKS[name]]
    return notes_of(getattr(checks, f"test_{name}"), interface, known, *given)


def runs(text, interface=VM42):
    return notes_of(checks.test_vm_is_running, interface, by("domains", text))


@pytest.mark.parametrize("name", CHECKS)
def test_a_healthy_tap_passes(name):
    assert run(name) == []


@pytest.mark.parametrize(("name", "fact"), [(name, fact) for name, facts in CHECKS.items() for fact in facts if fact != "bridge_vlans"])
def test_what_was_not_seen_is_unknown(name, fact):
    is_unknown(lambda: run(name, "bridge link set dev vnet7 learning off flood off" if name == "port_takes_unicast" else "", **{fact: UNSEEN}))


def test_nothing_is_asked_for_that_does_not_matter():
    assert run("bridge_has_vm", bridge_vlans=UNSEEN) == []
    assert run("port_takes_unicast", links=UNSEEN, fdb=UNSEEN) == []


VHOST_USER = domains(tap="vhu4242c9d1-7a").replace("<interface type='bridge'>", "<interface type='vhostuser'>")


def test_a_vhost_user_socket_is_no_device_of_the_node():
    assert "vhostuser" in VHOST_USER
    is_unknown(lambda: run("tap_is_up", known=VHOST_USER))
    neutron = replace(VM42, network=replace(VM42.network, kind="neutron"))
    assert run("tap_is_up", interface=neutron, known=VHOST_USER) == [], "Open vSwitch is asked"
    with wrong("tap.missing", "tap vhu4242c9d1-7a is not there", layer="exists"):
        run("tap_is_up", interface=neutron, known=domains(tap="vhu4242c9d1-7a"))


# -- the domain ------------------------------------------------------------------------------------------------------


def test_a_running_domain_passes():
    assert runs(domains()) == []
    is_unknown(runs, UNSEEN)


def test_a_vm_that_is_meant_to_be_off_may_be():
    assert runs(domains(state="shut off"), replace(VM42, vm=replace(VM42.vm, runs=False))) == []


def test_a_domain_that_libvirt_does_not_know():
    with wrong("domain.missing", "node1: libvirt has no domain 'vm42'; there are ['vm99']"):
        runs(domains("vm99"))


@pytest.mark.parametrize(("state", "code", "remedy"), [
    ("shut off", "domain.shut_off", "virsh start vm42"),
    ("paused", "domain.paused", "virsh resume vm42"),
    ("crashed", "domain.crashed", "virsh start vm42"),
    ("pmsuspended", "domain.not_running", "virsh start vm42"),
])
def test_a_domain_that_does_not_run_says_how_it_is(state, code, remedy):
    with wrong(code, f"node1: domain vm42 is {state}, expected running") as caught:
        runs(domains(state=state))
    assert caught.value.remedy == remedy


def test_a_domain_without_the_nic():
    with wrong("domain.interface_missing", "['52:54:00:00:00:99'], expected 52:54:00:00:00:42", certain=True):
        runs(domains(mac="52:54:00:00:00:99"))


def test_a_link_that_is_unplugged():
    with wrong("domain.link_unplugged", "vm42's NIC 52:54:00:00:00:42 is set down", layer="up") as caught:
        runs(domains(more="<link state='down'/>"))
    assert caught.value.remedy == "virsh domif-setlink vm42 52:54:00:00:00:42 up"


SECOND_NIC = "</interface><interface type='bridge'><mac address='52:54:00:00:01:42'/><target dev='vnet8'/><link state='down'/>"


def test_each_nic_of_two_is_judged_by_its_own_mac():
    text = domains(more=SECOND_NIC)
    assert runs(text) == []
    with wrong("domain.link_unplugged", "52:54:00:00:01:42", layer="up"):
        runs(text, VM42_STORAGE)
    with wrong("domain.interface_missing", "expected 52:54:00:00:01:42", certain=True):
        runs(domains(), VM42_STORAGE)


# -- which tap it is -------------------------------------------------------------------------------------------------


def tap(text, interface=VM42):
    return tap_of(interface, by("domains", text))


def test_libvirt_names_the_tap_and_not_the_inventory():
    """vm42's tap is declared as vnet1, which libvirt may have given to another VM after a start."""
    assert VM42.tap == "vnet1"
    assert tap(domains()) == "vnet7"
    assert tap(domains(tap="vnet1", mac="52:54:00:00:00:43", more=f"</interface><interface type='bridge'><mac address='{MAC}'/><target dev='vnet7'/>")) == "vnet7"


def test_without_libvirt_the_declared_tap_counts():
    assert tap(NO_LIBVIRT) == "vnet1"
    assert tap(domains(tap="")) == "vnet1", "libvirt's test driver need not name one"
    is_unknown(tap, NO_LIBVIRT, VM43)


def test_each_nic_of_two_has_its_own_tap():
    text = domains(more=SECOND_NIC)
    assert (tap(text), tap(text, VM42_STORAGE)) == ("vnet7", "vnet8")


@pytest.mark.parametrize("text", [domains("vm99"), domains(state="shut off"), domains(state="crashed"), domains(mac="52:54:00:00:00:99")])
@pytest.mark.parametrize("name", CHECKS)
def test_without_a_tap_nothing_is_said_of_it(text, name):
    """Not even where the declared name is another device's: that of a VM started since."""
    assert tap(text) == ""
    assert run(name, "ip link set vnet7 nomaster; ip link set vnet7 down", known=text) == []


@pytest.mark.parametrize("name", CHECKS)
def test_a_declared_tap_is_judged_without_libvirt(name):
    assert run(name, interface=replace(VM42, tap="vnet7"), known=NO_LIBVIRT) == []


def test_a_declared_tap_is_wrong_without_libvirt():
    with wrong("tap.not_in_bridge", "vnet7 is in no bridge", place="node1"):
        run("bridge_has_vm", "ip link set vnet7 nomaster", replace(VM42, tap="vnet7"), NO_LIBVIRT)


# -- there and up ----------------------------------------------------------------------------------------------------


def test_a_tap_that_is_not_there():
    with wrong("tap.missing", "vm42-1's tap vnet7 is not there", "'eth0'", layer="exists"):
        run("tap_is_up", "ip link del vnet7")


@pytest.mark.parametrize("name", [name for name in CHECKS if name != "tap_is_up"])
def test_a_tap_that_is_not_there_is_said_once(name):
    assert run(name, "ip link del vnet7") == []


def test_a_tap_that_is_down():
    with wrong("tap.down", "vm42-1's tap vnet7 is down", place="node1") as caught:
        run("tap_is_up", "ip link set vnet7 down")
    assert caught.value.remedy == "ip link set dev vnet7 up"


def test_a_tap_that_nobody_holds():
    with wrong("guest.interface_down", "up but has no carrier", hop="guest", owner="guest owner"):
        run("tap_is_up", "ip link set guest7 down")


# -- in the bridge ---------------------------------------------------------------------------------------------------


def test_a_tap_in_another_bridge():
    with wrong("tap.in_another_bridge", "vnet7 is in br7, expected in br0", place="node1") as caught:
        run("bridge_has_vm", "ip link add br7 type bridge; ip link set vnet7 master br7")
    assert caught.value.remedy == "ip link set dev vnet7 master br0"


def test_a_tap_in_no_bridge():
    with wrong("tap.not_in_bridge", "vnet7 is in no bridge, expected in br0", place="node1"):
        run("bridge_has_vm", "ip link set vnet7 nomaster")


def test_a_tap_that_does_not_forward():
    with wrong("tap.not_forwarding", "port vnet7 of br0 is listening", place="node1", layer="forwards"):
        run("bridge_has_vm", "bridge link set dev vnet7 state 1")


@pytest.mark.parametrize("change", ["ip link set vnet7 down", "ip link set guest7 down", "ip link del br0"])
def test_what_keeps_a_tap_from_forwarding_is_said_by_others(change):
    assert run("bridge_has_vm", change) == []


IN_VLAN = replace(VM42, network=replace(VM42.network, vlan=100))
PVID = ("PVID", "Egress Untagged")


def in_vlan(nic=IN_VLAN, uplink=None, vlans=None, **ports):
    """Run it where br0 filters VLANs (not every kernel can): the devices' own words, and those of 'bridge -j vlan show' for each port."""
    links = edited(played()["links"], br0={"vlan_filtering": 1}, eth0=uplink or {})
    told = [{"ifname": name, "vlans": [{"vlan": number, "flags": list(flags)} for number, flags in own]} for name, own in ports.items()]
    return run("bridge_has_vm", "", nic, links=links, bridges=links, bridge_vlans=vlans or json.dumps(told))


@pytest.mark.parametrize(("ports", "has_vlans"), [
    ({"vnet7": [(1, PVID)]}, "['1 PVID']"),
    ({"vnet7": [(1, PVID), (100, ())]}, "['1 PVID', '100']"),
    ({}, "[]"),
    ({"vnet7": [(1, PVID)], "eth0": [(100, PVID)]}, "['1 PVID']"),
])
def test_a_tap_in_the_wrong_vlan(ports, has_vlans):
    with wrong("tap.wrong_vlan", f"vnet7 has VLANs {has_vlans}, expected 100 as PVID", place="node1") as caught:
        in_vlan(**ports)
    assert caught.value.remedy == "bridge vlan add vid 100 dev vnet7 pvid untagged"


def test_a_tap_in_its_vlan_or_in_none():
    assert in_vlan(vnet7=[(100, PVID)]) == []
    assert in_vlan(VM42, vnet7=[(1, PVID)]) == [], "the network has no VLAN"
    assert run("bridge_has_vm", "", IN_VLAN) == [], "the bridge does not filter"
    is_unknown(lambda: in_vlan(vlans=UNSEEN))


def test_where_the_uplink_takes_the_tag_off_there_is_none_in_the_bridge():
    assert in_vlan(uplink={"info_kind": "vlan", "info_data": {"protocol": "802.1Q", "id": 100}}, vnet7=[(1, PVID)]) == []
    with wrong("tap.wrong_vlan", place="node1"):
        in_vlan(uplink={"info_kind": "vlan", "info_data": {"protocol": "802.1Q", "id": 101}}, vnet7=[(1, PVID)])


# -- what the port lets through --------------------------------------------------------------------------------------


def test_isolated_ports():
    both = "bridge link set dev vnet7 isolated on; bridge link set dev eth0 isolated on"
    with wrong("port.isolated", "vnet7 and the uplink eth0 are both isolated ports of br0", place="node1", breaks={"uplink"}) as caught:
        run("port_is_not_isolated", both)
    assert caught.value.remedy == "bridge link set dev eth0 isolated off"


@pytest.mark.parametrize("change", [
    "bridge link set dev vnet7 isolated on", "bridge link set dev eth0 isolated on",
    "bridge link set dev vnet7 isolated on; bridge link set dev eth0 isolated on; ip link set eth0 nomaster", "ip link del br0",
])
def test_one_isolated_port_may_be(change):
    assert run("port_is_not_isolated", change) == []


DEAF = "bridge link set dev vnet7 learning off flood off"


def test_a_port_without_any_way_for_unicast():
    with wrong("port.no_unicast", "vnet7 of br0 neither learns nor floods", MAC, place="node1", breaks={"unicast"}):
        run("port_takes_unicast", DEAF)
    with wrong("port.no_unicast", place="node1", breaks={"unicast"}):
        run("port_takes_unicast", f"{DEAF}; bridge fdb add {MAC} dev eth0 master static")


@pytest.mark.parametrize("change", [
    f"{DEAF}; bridge fdb add {MAC} dev vnet7 master static", "bridge link set dev vnet7 learning off",
    "bridge link set dev vnet7 flood off", f"{DEAF}; ip link set guest7 down", "ip link del br0",
])
def test_one_way_for_unicast_is_enough(change):
    """libvirt's macTableManager='libvirt' sets both off and puts the entry itself."""
    assert run("port_takes_unicast", change) == []


NO_MULTICAST = "bridge link set dev vnet7 mcast_flood off"
OUTSIDE = flow_of("icmp", source=CONTROLLER, family=6)


def takes_multicast(change, flow=OUTSIDE, answer=None, known=None):
    facts = answers({flow: answer or silent()}), by("domains", known or domains()), by("bridges", change)
    return notes_of(checks.test_port_takes_multicast, flow, *facts)


def test_a_port_without_multicast():
    with wrong("port.no_multicast_flood", "vnet7 of br0", place="node1", breaks={"ndp", "uplink"}) as caught:
        takes_multicast(NO_MULTICAST)
    assert caught.value.remedy == "bridge link set dev vnet7 mcast_flood on"


@pytest.mark.parametrize(("change", "asked", "answer"), [
    ("", OUTSIDE, silent()),
    (NO_MULTICAST, flow_of("icmp", source=CONTROLLER), silent()),
    (NO_MULTICAST, flow_of("icmp", source=NODE1, family=6), silent()),
    ("ip link del br0", OUTSIDE, silent()),
])
def test_multicast_matters_for_silent_ipv6_from_outside(change, asked, answer):
    assert takes_multicast(change, asked, answer) == []


def test_multicast_that_nobody_misses_yet_is_a_note():
    assert takes_multicast(NO_MULTICAST, OUTSIDE, answered()) == ["port.no_multicast_flood"]


def test_multicast_is_unknown_without_answer_or_bridges():
    is_unknown(takes_multicast, NO_MULTICAST, OUTSIDE, UNSEEN)
    is_unknown(takes_multicast, UNSEEN)


# -- filters at the tap ----------------------------------------------------------------------------------------------

CLSACT = "tc qdisc add dev vnet7 clsact; tc filter add dev vnet7"
EBPF = "bpf da bytecode '1,6 0 0 2,'"


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_an_ebpf_program_that_drops_everything(direction):
    with wrong("tap.ebpf_drops", "vnet7 has a filter that drops everything", "bytecode", place="node1") as caught:
        run("tap_has_no_dropping_filter", f"{CLSACT} {direction} {EBPF}")
    assert f"tc filter del dev vnet7 {direction}" in caught.value.remedy


#: tc's own words (iproute2 6.1) for a filter that this kernel may not have.
MATCHALL = """@filters vnet7 ingress
filter protocol {0} pref 10 matchall chain 0
filter protocol {0} pref 10 matchall chain 0 handle 0x1
  not_in_hw
\taction order 1: gact action drop
\t random type none pass val 0
\t index 1 ref 1 bind 1
@end
"""


@pytest.mark.parametrize(("protocol", "what", "breaks"), [
    ("all", "everything", set()), ("ip", "ipv4", {"ipv4"}), ("ipv6", "ipv6", {"ipv6"}), ("arp", "arp", {"arp"}),
])
def test_a_filter_that_drops_a_protocol(protocol, what, breaks):
    with wrong("tap.filter_drops", f"drops {what}: ", place="node1", breaks=breaks):
        run("tap_has_no_dropping_filter", traffic_filters=MATCHALL.format(protocol))


@pytest.mark.parametrize("protocol", ["802.1Q", "0x88cc", "LLDP"])
def test_a_filter_that_drops_what_no_flow_is_made_of(protocol):
    assert run("tap_has_no_dropping_filter", traffic_filters=MATCHALL.format(protocol)) == []


def test_the_last_filter_of_a_list_of_what_is_allowed():
    allowed = MATCHALL.replace("\n", """
filter protocol all pref 1 flower chain 0
filter protocol all pref 1 flower chain 0 handle 0x1
  src_mac 52:54:00:00:00:42
\taction order 1: gact action pass
\t random type none pass val 0
\t index 2 ref 1 bind 1
""", 1)
    assert run("tap_has_no_dropping_filter", traffic_filters=allowed.format("all")) == []


@pytest.mark.parametrize("change", [
    f"{CLSACT} ingress bpf da bytecode '1,6 0 0 0,'",
    "tc qdisc add dev eth0 clsact; tc filter add dev eth0 ingress bpf da bytecode '1,6 0 0 2,'",
    "tc qdisc add dev vnet7 clsact",
])
def test_a_filter_that_drops_nothing_of_the_tap(change):
    assert run("tap_has_no_dropping_filter", change) == []


# -- size and MAC ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mtu", [1496, 1500, 9000])
def test_four_bytes_less_still_pass(mtu):
    assert run("tap_mtu_fits", f"ip link set vnet7 mtu {mtu}") == []


def test_a_tap_that_is_too_small():
    with wrong("tap.mtu_too_small", "vm42-1's tap vnet7 has MTU 1495, expected 1500", place="node1", breaks={"full_size"}) as caught:
        run("tap_mtu_fits", "ip link set vnet7 mtu 1495")
    assert caught.value.remedy == "ip link set dev vnet7 mtu 1500"


AWAY = f"bridge fdb add {MAC} dev eth0 master dynamic"


def test_a_mac_behind_another_port():
    with wrong("mac.behind_another_port", "br0 has vm42-1's MAC 52:54:00:00:00:42 at eth0, expected at vnet7", place="node1", certain=True):
        run("bridge_knows_mac", AWAY)


@pytest.mark.parametrize("change", [
    f"bridge fdb add {MAC} dev vnet7 master dynamic",
    f"{AWAY}; ip link set br0 type bridge ageing_time 0",
    f"{AWAY}; bridge link set dev vnet7 learning off",
    f"{AWAY}; ip link set guest7 down",
    f"ip link add br7 type bridge; ip link set br7 up; ip link set eth0 master br7; await forwards eth0; {AWAY}",
    "ip link del br0",
])
def test_a_mac_that_is_where_it_may_be(change):
    """Aged out, not learned at all, in the table of another network's bridge, at a guest that is down."""
    assert run("bridge_knows_mac", change) == []


def test_a_vm_on_another_node_is_looked_at_there():
    known = by("domains", domains("vm44", mac=VM44.mac), NODE2)
    with wrong("tap.down", "node2: vm44's tap vnet7 is down", place="node2"):
        checks.test_tap_is_up(VM44, known, by("links", "ip link set vnet7 down", NODE2))
    is_unknown(checks.test_tap_is_up, VM44, known, by("links", ""))


def test_open_vswitch_passes_no_byte_more():
    neutron = replace(VM42, network=replace(VM42.network, kind="neutron"))
    assert run("tap_mtu_fits", "ip link set vnet7 mtu 1500", interface=neutron) == []
    with wrong("tap.mtu_too_small", "tap vnet7 has MTU 1499, expected 1500", place="node1", breaks={"full_size"}):
        run("tap_mtu_fits", "ip link set vnet7 mtu 1499", interface=neutron)
