"""netchecks/platforms/nova_network.py: which flows a nova-network implies, the way of each, and where its packets are looked for."""

import pytest

from netchecks.models.domains import Domain, DomainInterface
from netchecks.models.links import Link
from netchecks.models.routes import Lookup
from netchecks.models.table import Table
from netchecks.platforms import nova_network
from netchecks.world import Selection, place_of
from tests.suites.openstack.nova_network.given import MULTI, SINGLE, of
from tests.suites.vmhost.given import world_of


def names(site, vm):
    return [flow.name for flow in site.world.flows if str(flow.interface) == vm]


def way(site, name):
    return [f"{hop.name} {hop.place}" for hop in site.world.hops(site.flow(name))]


def test_an_instance_is_asked_by_its_gate_by_another_node_and_from_outside():
    assert names(MULTI, "vm42") == [
        "compute1-to-vm42-arp-ipv4",
        "compute1-to-vm42-icmp-ipv4", "compute1-to-vm42-icmp-full-ipv4", "compute1-to-vm42-tcp22-ipv4",
        "compute2-to-vm42-icmp-ipv4", "compute2-to-vm42-icmp-full-ipv4", "compute2-to-vm42-tcp22-ipv4",
        "controller-to-vm42-floating-icmp", "controller-to-vm42-floating-tcp22",
    ]


def test_with_one_network_host_that_one_asks():
    assert [name.partition("-to-")[0] for name in names(SINGLE, "vm42") if "icmp-ipv4" in name] == ["compute2"]


def test_an_instance_without_a_floating_address_is_not_asked_from_outside():
    assert not [name for name in names(MULTI, "vm44") if name.startswith("controller")]


def test_a_floating_flow_asks_for_one_address_and_becomes_another():
    flow = MULTI.flow("controller-to-vm42-floating-tcp22")
    assert (str(flow.target), str(flow.translated), flow.port) == ("203.0.113.30", "10.0.2.24", 22)
    assert flow.needs >= {"floating", "routed", "tcp22", "ipv4"}
    assert not flow.needs & {"uplink", "own_bridge"}, "it does not pass the flat interface of its own gate"


def test_two_floating_addresses_have_flows_of_their_own():
    from tests.suites.openstack.nova_network.given import SITE

    world = world_of(SITE.replace("@HOW@", "").replace("floating: [203.0.113.30]", "floating: [203.0.113.30, 203.0.113.33]"))
    assert [(flow.name, str(flow.target)) for flow in world.flows if "floating" in flow.name and "vm42" in flow.name and flow.protocol == "icmp"] == [
        ("controller-to-vm42-floating-icmp", "203.0.113.30"), ("controller-to-vm42-floating-2-icmp", "203.0.113.33"),
    ]


@pytest.mark.parametrize(("site", "name", "expected"), [
    (MULTI, "controller-to-vm42-floating-icmp", [
        "sender controller", "fabric private", "public compute1", "database private", "translation compute1", "node compute1", "bridge compute1",
        "tap compute1", "dhcp compute1", "guest vm42",
    ]),
    (SINGLE, "controller-to-vm42-floating-icmp", [
        "sender controller", "fabric private", "public compute2", "database private", "translation compute2", "bridge compute2", "uplink compute2",
        "fabric private", "uplink compute1", "node compute1", "bridge compute1", "tap compute1", "dhcp compute2", "guest vm42",
    ]),
    (MULTI, "compute2-to-vm42-icmp-ipv4", [
        "sender compute2", "database private", "bridge compute2", "uplink compute2", "fabric private", "uplink compute1", "node compute1",
        "bridge compute1", "tap compute1", "dhcp compute1", "guest vm42",
    ]),
    (MULTI, "compute1-to-vm42-arp-ipv4", [
        "sender compute1", "database private", "node compute1", "bridge compute1", "tap compute1", "dhcp compute1", "guest vm42",
    ]),
])
def test_the_way_is_that_of_the_packet(site, name, expected):
    assert way(site, name) == expected


def test_a_state_of_the_flat_network_is_none_of_the_public_interface():
    public = next(hop for hop in MULTI.world.hops(MULTI.flow("controller-to-vm42-floating-icmp")) if hop.name == "public")
    assert ("link", "compute1:eth0") in public.about
    assert ("node", "compute1") not in public.about


def points(site, name):
    flow, nodes = site.flow(name), (site.node1, site.node2)
    up = Link("x", 1, mtu=1500, flags=frozenset({"UP"}))
    links = of("links", *((node, Table("link", dict.fromkeys(("eth0", "eth1", "br100"), up))) for node in nodes))
    domain = Domain("instance-0000002a", "running", "", (DomainInterface("fa:16:3e:00:00:42", "bridge", target="vif42"),))
    domains = of("domains", *((node, Table("domain", {"instance-0000002a": domain})) for node in nodes))
    lookups = of("route_lookups", (flow, Lookup("unicast", "eth9", "", "198.51.100.4")))
    return [f"{one.place} {one.hop} {one.device}" for one in nova_network.points(flow, links, domains, lookups)]


def test_a_packet_is_looked_for_at_three_points_and_twice_on_the_compute_node():
    assert points(MULTI, "controller-to-vm42-floating-icmp") == [
        "controller sender eth9", "compute1 public eth0", "compute1 bridge br100", "compute1 tap vif42", "guest:vm42 guest mac:fa:16:3e:00:00:42",
    ]


def test_behind_a_network_host_it_is_looked_for_on_the_flat_network_too():
    assert points(SINGLE, "controller-to-vm42-floating-icmp") == [
        "controller sender eth9", "compute2 public eth0", "compute2 bridge br100", "compute2 uplink eth1", "compute1 uplink eth1", "compute1 tap vif42",
        "guest:vm42 guest mac:fa:16:3e:00:00:42",
    ]


def test_the_places_of_a_trace_are_those_of_its_points():
    for site in (MULTI, SINGLE):
        flow = site.flow("controller-to-vm42-floating-icmp")
        assert {str(place) for place in nova_network._places(flow)} >= {point.partition(" ")[0] for point in points(site, flow.name)}


# -- what follows from the stanza --------------------------------------------------------------------------------------


def test_each_gate_has_a_dnsmasq_that_serves_only_whom_it_knows():
    assert [(str(one), [str(a) for a in one.addresses]) for one in MULTI.servers] == [
        ("private@compute1", ["10.0.2.1"]), ("private@compute2", ["10.0.2.2"]),
    ]
    assert MULTI.network.dhcp.known_only
    assert [str(one) for one in SINGLE.servers] == ["private@compute2"]


def test_the_gate_is_the_router_of_its_instances():
    assert [str(address) for address in MULTI.vm42.gateways] == ["10.0.2.1"]
    assert [str(address) for address in MULTI.vm44.gateways] == ["10.0.2.2"]
    assert [str(address) for address in SINGLE.vm42.gateways] == ["10.0.2.2"]


def test_the_database_is_asked_from_this_machine_and_holds_no_secret_in_its_words():
    place = place_of(MULTI.database)
    assert (place.name, place.connection.backend) == ("database:nova@private", "local")
    assert '"source": "config"' in MULTI.database.words[0]
    assert Selection(hosts=frozenset({"compute1"})).keeps({"database": MULTI.database}, MULTI.world)
    assert not Selection(hosts=frozenset({"cloud1"})).keeps({"database": MULTI.database}, MULTI.world)
