"""suites/vmhost/test_fabric.py and netchecks/causes/fabric.py, called with what FRR and the kernel say."""

from pathlib import Path

import pytest

from netchecks.causes.fabric import frr_has_what_the_kernel_lacks
from netchecks.models.frr import BgpNeighbour, FrrDaemons, Ospf, OspfNeighbour
from netchecks.models.table import Table
from netchecks.models.traces import Point, Seen, Sighting, Trace
from netchecks.parsing import address, prefix
from suites.vmhost import test_fabric as checks
from suites.vmhost import test_trace as traces
from tests.suites.node.given import UNSEEN, by, notes_of, wrong
from tests.suites.vmhost.routed import FABRIC, NODE1, TAPS, VM60, addresses, flow_to, links, lost, of, routes, ways

RECORDED = Path(__file__).parents[2] / "observations"
DOMAINS = by("domains", node1=TAPS)


def recorded(fact, name):
    return (RECORDED / fact / f"{name}.out").read_text()


def daemons(node="node1", running="zebra bgpd watchfrr staticd", meant="bgpd zebra"):
    return by("frr_daemons", **{node: FrrDaemons(frozenset(meant.split()), frozenset(running.split()))})


# -- no bridge ---------------------------------------------------------------------------------------------------------


def test_no_bridge_holds_the_tap():
    checks.test_bridge_is_absent(VM60, DOMAINS, links())
    checks.test_bridge_is_absent(VM60, DOMAINS, links(vnet60="gone"))


def test_a_bridge_was_left_over():
    with wrong("bridge.holds_tap", "vm60's tap vnet60 is a port of br0") as caught:
        checks.test_bridge_is_absent(VM60, DOMAINS, links(vnet60="in br0"))
    assert caught.value.breaks == {"unicast"}, "who asks at the tap itself is answered"


# -- FRR's daemons -----------------------------------------------------------------------------------------------------


def test_frr_runs():
    checks.test_frr_is_active(FABRIC, NODE1, daemons())
    checks.test_frr_is_active(FABRIC, NODE1, daemons(meant=""))


def test_frr_is_stopped():
    with wrong("frr.stopped", "node1: FRR does not run; bgpd, zebra shall"):
        checks.test_frr_is_active(FABRIC, NODE1, daemons(running=""))
    with wrong("frr.stopped", "ospf6d, ospfd, zebra"):
        checks.test_frr_is_active(FABRIC, NODE1, by("frr_daemons", node1=recorded("frr_daemons", "frr-8.4-stopped")))


@pytest.mark.parametrize(("dead", "breaks"), [
    ("bgpd", {"routed"}), ("ospfd", {"routed", "ipv4"}), ("ospf6d", {"routed", "ipv6"}), ("ospfd ospf6d", {"routed"}), ("zebra", {"routed"}),
])
def test_a_daemon_is_dead(dead, breaks):
    with wrong("frr.daemon_dead", f"of FRR {', '.join(sorted(dead.split()))} does not run; watchfrr does") as caught:
        checks.test_frr_is_active(FABRIC, NODE1, daemons(running="watchfrr", meant=dead))
    assert caught.value.breaks == breaks


def test_the_routers_frr_runs_where_it_has_one():
    checks.test_router_frr_is_active(VM60, daemons("router"))
    checks.test_router_frr_is_active(VM60, daemons("router", running="", meant=""))
    checks.test_router_frr_is_active(VM60, by("frr_daemons", router=UNSEEN))
    with wrong("frr.stopped", "router: FRR does not run", place="router") as caught:
        checks.test_router_frr_is_active(VM60, daemons("router", running=""))
    assert caught.value.breaks == {"routed"}


# -- its neighbours ----------------------------------------------------------------------------------------------------


def neighbour(name="10.20.1.1", state="Established", families=(4,), **fields):
    return BgpNeighbour(name, 65000, 65001, state, families=frozenset(families), **fields)


def bgp(*known):
    return by("bgp_neighbours", node1=Table("BGP neighbour", {one.name: one for one in known}))


def ospf(*neighbours, families=(4, 6), announced=()):
    items = tuple(OspfNeighbour(6 if ":" in device else 4, "10.0.0.1", device.strip(":"), state) for device, state in neighbours)
    return by("ospf", node1=Ospf(frozenset(families), items, frozenset(announced)))


NO_OSPF = ospf(families=())


def has_neighbours(known, which=None, asked=NO_OSPF, **states):
    checks.test_frr_has_neighbours(FABRIC, NODE1, which or daemons(), known, asked, links(**states))


def test_every_neighbour_is_established():
    has_neighbours(by("bgp_neighbours", node1=recorded("bgp_neighbours", "frr-8.4-established")))
    has_neighbours(bgp(neighbour(), neighbour("10.20.1.99", "Idle", shut_down=True)))


def test_a_neighbour_with_another_as_number_and_one_shut_down_on_purpose():
    with wrong("frr.neighbour_down", "BGP neighbour 10.20.1.1 (AS 65009) is Idle", "OPEN Message Error/Bad Peer AS") as caught:
        has_neighbours(by("bgp_neighbours", node1=recorded("bgp_neighbours", "frr-8.4-shut-down-and-wrong-as")))
    assert caught.value.breaks == {"routed", "ipv4"}
    assert "fd20:1::1" not in str(caught.value)


@pytest.mark.parametrize(("other", "breaks"), [
    (neighbour("10.20.2.1"), checks.NOTHING), (neighbour("fd20::1", families=(6,)), {"routed", "ipv4"}), (neighbour("10.20.2.1", "Active"), {"routed", "ipv4"}),
])
def test_one_that_is_down_breaks_nothing_beside_another_of_its_family(other, breaks):
    with wrong("frr.neighbour_down", "10.20.1.1 (AS 65000) is Connect") as caught:
        has_neighbours(bgp(neighbour(state="Connect"), other))
    assert caught.value.breaks == breaks


@pytest.mark.parametrize("state", ["gone", "down", "dark"])
def test_neighbours_that_went_with_the_uplink_are_told_by_others(state):
    has_neighbours(bgp(neighbour(state="Idle")), eth0=state)


OSPFD = daemons(running="zebra ospfd ospf6d", meant="ospfd ospf6d zebra")


def test_ospf_has_full_neighbours():
    has_neighbours(bgp(), OSPFD, ospf(("eth0", "Full"), (":eth0", "Full")))
    has_neighbours(bgp(), OSPFD, by("ospf", node1=recorded("ospf", "frr-8.4")))
    assert notes_of(has_neighbours, bgp(), OSPFD, ospf(("eth0", "Full"), ("eth0", "2-Way"), (":eth0", "Full"))) == []
    assert notes_of(has_neighbours, bgp(), OSPFD, ospf(("eth0", "Full"), ("eth1", "ExStart"), (":eth0", "Full"))) == ["frr.neighbour_stuck"]


@pytest.mark.parametrize(("known", "words", "breaks"), [
    ([(":eth0", "Full")], "OSPF has no full neighbour: none is heard", {"routed", "ipv4"}),
    ([("eth0", "ExStart"), (":eth0", "Full")], "OSPF has no full neighbour: 10.0.0.1 at eth0 is ExStart", {"routed", "ipv4"}),
    ([("eth0", "Full")], "OSPFv3 has no full neighbour: none is heard", {"routed", "ipv6"}),
])
def test_ospf_has_nobody_to_tell(known, words, breaks):
    with wrong("frr.neighbour_down", words) as caught:
        has_neighbours(bgp(), OSPFD, ospf(*known))
    assert caught.value.breaks == breaks


# -- what it announces -------------------------------------------------------------------------------------------------

VM42_IN_FRR = recorded("frr_routes", "frr-8.4-bgp").replace("10.60.0.142", "10.60.0.160").replace("fd60::142", "fd60::160")
PEERS = bgp(neighbour(), neighbour("fd20:1::1", families=(6,)))


def announces(has=VM42_IN_FRR, known=PEERS, which=None, asked=NO_OSPF, heard="", **states):
    told = states.pop("told", {})
    checks.test_frr_announces_vm(
        VM60, which or daemons(), of("frr_routes", VM60, has), known, asked, ways(VM60, **told),
        routes(heard, heard and "fd60::160 via fd20::11 dev eth0", node="router"), addresses("eth0 10.20.0.11/24, eth0 fd20::11/64"), DOMAINS, links(**states),
    )


def test_every_neighbour_is_told():
    announces()
    announces(known=bgp(neighbour(), neighbour("fd20:1::1", families=(6,)), neighbour("10.20.1.99", "Idle", shut_down=True)))


@pytest.mark.parametrize(("name", "words"), [("frr-8.4-no-instance", "bgpd does not have the route of vm60 10.60.0.160" ), ("no-daemon", "zebra does not have it either")])
def test_a_route_is_not_redistributed(name, words):
    text = recorded("frr_routes", name).replace("10.60.0.142", "10.60.0.160")
    with wrong("frr.not_redistributed", words) as caught:
        announces(text)
    assert caught.value.breaks == {"routed", "ipv4"}


def test_a_route_is_told_to_nobody_or_only_to_some():
    text = recorded("frr_routes", "frr-8.4-announced-to-nobody").replace("10.60.0.142", "10.60.0.160")
    with wrong("frr.not_announced", "vm60 10.60.0.160 is not announced to 10.20.1.1") as caught:
        announces(text)
    assert caught.value.breaks == {"routed", "ipv4"}
    with wrong("frr.not_announced", "is not announced to 10.20.2.1, only to 10.20.1.1") as caught:
        announces(known=bgp(neighbour(), neighbour("10.20.2.1")))
    assert caught.value.breaks == checks.NOTHING


def test_a_neighbour_that_is_down_cannot_be_told():
    announces(known=bgp(neighbour(), neighbour("10.20.2.1", "Active"), neighbour("fd20:1::1", families=(6,))))


def test_what_every_router_has_by_this_node_is_told_somehow():
    announces("", heard="10.60.0.0/24 via 10.20.0.11 dev eth0")
    with wrong("frr.not_redistributed"):
        announces("", heard="default via 10.20.0.11 dev eth0\n10.60.0.160 via 10.20.0.12 dev eth0")


@pytest.mark.parametrize("state", ["gone", "down", "dark"])
def test_a_tap_that_does_not_work_is_told_by_others(state):
    announces("", vnet60=state)


def test_a_route_that_the_kernel_lacks_is_told_by_others():
    announces("", told={"own4": "via 10.20.0.1 dev eth0", "own6": "via fe80::9 dev eth0"})


def test_ospf_announces_by_external_routes():
    own = [prefix("10.60.0.160/32", 4), prefix("fd60::160/128", 6)]
    announces("", bgp(), OSPFD, ospf(announced=own))
    with wrong("frr.not_redistributed", "OSPF does not have the route of vm60 fd60::160") as caught:
        announces("", bgp(), OSPFD, ospf(announced=own[:1]))
    assert caught.value.breaks == {"routed", "ipv6"}


# -- the cause ---------------------------------------------------------------------------------------------------------

IN_FRR = recorded("frr_routes", "frr-8.4-network-statement").replace("10.60.0.142", "10.60.0.160")


def test_frr_has_what_the_kernel_lacks():
    with wrong("frr.route_not_in_kernel", "FRR has the route of vm60 10.60.0.160, the kernel sends its packets by eth0") as caught:
        frr_has_what_the_kernel_lacks(VM60, ways(VM60, own4="via 10.20.0.1 dev eth0"), of("frr_routes", VM60, IN_FRR))
    assert caught.value.breaks == {"ipv4", "unicast"}
    with wrong("frr.route_not_in_kernel", "nowhere"):
        frr_has_what_the_kernel_lacks(VM60, ways(VM60, own4="RTNETLINK answers: Network is unreachable"), of("frr_routes", VM60, IN_FRR))


@pytest.mark.parametrize(("told", "name"), [
    ({}, "frr-8.4-network-statement"),
    ({"own4": "dev vnet61"}, "frr-8.4-network-statement"),
    ({"own4": "via 10.20.0.1 dev eth0"}, "frr-8.4-of-another-node"),
    ({"own4": "via 10.20.0.1 dev eth0"}, "no-daemon"),
])
def test_frr_has_no_more_than_the_kernel(told, name):
    text = recorded("frr_routes", name).replace("10.60.0.142", "10.60.0.160").replace("10.60.0.144", "10.60.0.160")
    frr_has_what_the_kernel_lacks(VM60, ways(VM60, **told), of("frr_routes", VM60, text))
    assert address("10.60.0.160") in VM60.addresses


# -- what is followed --------------------------------------------------------------------------------------------------


def followed(flow, *, tap="vnet60", sent=(0.0,)):
    """Nothing of the flow is seen anywhere."""
    at = [Seen(Point(flow.source.name, "sender", "eth0" if flow.source != NODE1 else "vnet60", leaves=True))]
    if flow.source != NODE1:
        asked = (Sighting("request", 0.0, "02:00:00:00:00:01", "02:00:00:00:00:02", turn=0),)
        at = [Seen(at[0].point, asked), Seen(Point("node1", "uplink", "eth0", leaves=False))]
    return of("traces", flow, Trace(flow.name, (*at, Seen(Point("node1", "tap", tap, leaves=True))), sent))


@pytest.mark.parametrize("state", ["down", "dark", "gone"])
def test_what_nobody_is_told_of_is_not_looked_for_at_the_uplink(state):
    outside, own = flow_to(VM60), flow_to(VM60, source=NODE1)
    traces.test_request_reaches_uplink(outside, lost(outside)[0], followed(outside), links(vnet60=state))
    traces.test_request_reaches_tap(own, lost(own)[0], followed(own), links(vnet60=state))
    traces.test_request_reaches_tap(own, lost(own)[0], followed(own, tap=""), links(vnet60=state))


def test_what_is_told_of_is_looked_for():
    outside, own = flow_to(VM60), flow_to(VM60, source=NODE1)
    with wrong("upstream.request_lost", "none came to node1's uplink eth0"):
        traces.test_request_reaches_uplink(outside, lost(outside)[0], followed(outside), links())
    with wrong("sender.drops_request", "do not leave it by vnet60"):
        traces.test_request_reaches_tap(own, lost(own)[0], followed(own), links())
