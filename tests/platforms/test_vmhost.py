"""netchecks/platforms/vmhost.py and the world built on it: which flows an inventory implies, and the way of each."""

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netchecks.platforms
import netchecks.probes
from netchecks.models.subjects import (
    Attachment,
    Connection,
    DeclaredLink,
    Flow,
    Interface,
    Inventory,
    Network,
    Node,
    Subnet,
    Vm,
)
from netchecks.plan import places_for, probe_for
from netchecks.probe import PROBES
from netchecks.world import Selection, build, combinations, complete, end_of, place_of
from tests.suites.vmhost.given import CONTROLLER, LAN, NODE1, NODE2, VM42, VM42_STORAGE, VM44, WORLD, flow_of, world_of

assert netchecks.platforms.__doc__  # importing it registers the platform
assert netchecks.probes.__doc__


def names(world, **having):
    return [flow.name for flow in world.flows if all(str(getattr(flow, name)) == value for name, value in having.items())]


SITE = """
version: 1
nodes:
  controller: {{connection: local, roles: [controller]}}
  node1: {{links: {{br0: {{addresses: [{addresses}]}}}}}}
{nodes}networks:
  lan: {{kind: switching, bridge: br0, uplink: eth0, mtu: {mtu}, subnets: [{subnets}]{more}}}
vms:
  vm1: {{node: node1, {vm}interfaces: [{{network: lan, mac: "52:54:00:00:00:01", addresses: [{guest}]}}]}}
"""


def site(*, addresses='"10.20.0.11/24"', subnets="{cidr: 10.20.0.0/24}", guest="10.20.0.101", vm="", mtu=1500, more="", nodes="", flows=""):
    return world_of(SITE.format(nodes=nodes, addresses=addresses, subnets=subnets, guest=guest, vm=vm, mtu=mtu, more=more) + flows)


def test_a_throughput_has_a_way_and_nothing_else():
    """It is no flow whose packets are looked for, and implies no other."""
    guest, peer = throughput_world().inventory.flows
    world = throughput_world()
    assert [hop.name for hop in world.hops(guest)] == ["sender", "gateway", "fabric", "node", "uplink", "bridge", "tap", "guest"]
    assert [(hop.name, hop.place) for hop in world.hops(peer)] == [
        ("sender", "node1"), ("bridge", "node1"), ("uplink", "node1"), ("fabric", "lan"), ("node", "node2"), ("uplink", "node2"), ("bridge", "node2"),
    ]
    for flow in (guest, peer):
        assert [fact for fact in PROBES if probe_for(fact, flow)] == []
        assert {str(place) for fact in ("throughputs", "throughput_servers") for place in places_for(fact, flow)} == {
            str(flow.source), str(flow.throughput.server),
        }
    assert places_for("throughputs", flow_of("icmp")) == ()


def throughput_world():
    return site(
        vm="guest: {}, ", nodes='  node2: {links: {br0: {addresses: ["10.20.0.12/24"]}}}\n', subnets="{cidr: 10.20.0.0/24, gateway: 10.20.0.1}",
        flows="flows: [{from: controller, to: vm1, throughput: 1 Gbit/s}, {from: node1, to: 10.20.0.12, throughput: 1 Gbit/s}]\n",
    )


# -- the flows -------------------------------------------------------------------------------------------------------


def test_a_vm_is_asked_by_its_node_and_by_the_controllers():
    assert names(site()) == [
        "node1-to-vm1-arp-ipv4", "node1-to-vm1-icmp-ipv4", "node1-to-vm1-icmp-full-ipv4",
        "controller-to-vm1-icmp-ipv4", "controller-to-vm1-icmp-full-ipv4",
    ]


def test_ipv6_is_asked_for_by_ndp():
    world = site(addresses='"fd20::11/64"', subnets='{cidr: "fd20::/64"}', guest='"fd20::101"', more=", probe_from: []")
    assert names(world) == ["node1-to-vm1-ndp-ipv6", "node1-to-vm1-icmp-ipv6", "node1-to-vm1-icmp-full-ipv6"]


@pytest.mark.parametrize(("family", "mtu", "size"), [(4, 1500, 1472), (6, 1500, 1452), (4, 9000, 8972), (6, 1280, 1232)])
def test_a_full_packet_leaves_room_for_its_headers(family, mtu, size):
    """ping -s 1472 is the well-known one (RFC 791: 20, RFC 792: 8; RFC 8200: 40)."""
    ipv6 = {"addresses": '"fd20::11/64"', "subnets": '{cidr: "fd20::/64"}', "guest": '"fd20::101"'} if family == 6 else {}
    assert {flow.size for flow in site(mtu=mtu, **ipv6).flows if flow.size} == {size}


def test_a_node_without_an_address_there_leaves_the_asking_to_others():
    world = site(addresses="")
    assert names(world, source="node1") == ["node1-to-vm1-arp-ipv4"], "ARP needs no address"
    assert names(world, protocol="icmp") == ["controller-to-vm1-icmp-ipv4", "controller-to-vm1-icmp-full-ipv4"]


def test_where_nobody_else_may_ask_the_node_does_by_whatever_route_it_has():
    assert "node1-to-vm1-icmp-ipv4" in names(site(addresses="", more=", probe_from: []"))


def test_a_node_that_is_named_to_ask_asks_once():
    found = names(site(more=", probe_from: [node1, controller]"))
    assert len(found) == len(set(found))
    assert [name for name in found if "icmp-ipv4" in name] == ["node1-to-vm1-icmp-ipv4", "controller-to-vm1-icmp-ipv4"]


def test_a_vm_that_need_not_answer_ping_is_asked_for_the_rest():
    assert names(site(vm="answers_ping: false, tcp: [22, 80], udp: [53], ", more=", probe_from: []")) == [
        "node1-to-vm1-arp-ipv4", "node1-to-vm1-tcp22-ipv4", "node1-to-vm1-tcp80-ipv4", "node1-to-vm1-udp53-ipv4",
    ]


def test_a_vm_that_is_meant_to_be_off_is_not_asked():
    assert names(site(vm="runs: false, tcp: [22], ")) == []


def test_several_addresses_of_a_family_have_flows_of_their_own():
    world = site(guest='10.20.0.101, 10.20.0.102, "fd20::101"', subnets='{cidr: 10.20.0.0/24}, {cidr: "fd20::/64"}', more=", probe_from: []")
    assert names(world, protocol="arp") == ["node1-to-vm1-arp-ipv4", "node1-to-vm1-arp-ipv4-2"]
    assert names(world, protocol="ndp") == ["node1-to-vm1-ndp-ipv6"]
    assert [str(flow.target) for flow in world.flows if flow.protocol == "arp"] == ["10.20.0.101", "10.20.0.102"]


def test_each_nic_of_two_is_asked_on_its_own_network():
    assert {(flow.network.name, str(flow.target)) for flow in WORLD.flows if flow.interface == VM42} == {("lan", "10.20.0.142"), ("lan", "fd20::142")}
    assert {(flow.network.name, str(flow.target)) for flow in WORLD.flows if flow.interface == VM42_STORAGE} == {("storage", "10.40.0.142")}
    assert flow_of("icmp", VM42_STORAGE, CONTROLLER, full=True).size == 9000 - 28


def test_a_gateway_is_asked_by_every_node_of_the_network():
    world = site(subnets='{cidr: 10.20.0.0/24, gateway: 10.20.0.1}, {cidr: "fd20::/64", gateway: "fd20::1"}', addresses='"10.20.0.11/24", "fd20::11/64"')
    assert names(world, interface="None") == [
        "node1-to-gateway-lan-arp-ipv4", "node1-to-gateway-lan-icmp-ipv4", "node1-to-gateway-lan-ndp-ipv6", "node1-to-gateway-lan-icmp-ipv6",
    ]


@pytest.mark.parametrize("how", [{"subnets": "{cidr: 10.20.0.0/24, gateway: 10.20.0.1, gateway_answers_ping: false}"}, {"addresses": ""}])
def test_a_gateway_that_cannot_be_pinged_is_asked_for_its_mac(how):
    world = site(**({"subnets": "{cidr: 10.20.0.0/24, gateway: 10.20.0.1}"} | how))
    assert names(world, interface="None") == ["node1-to-gateway-lan-arp-ipv4"]


def test_two_gateways_of_a_family_are_both_asked():
    world = site(subnets="{cidr: 10.20.0.0/24, gateway: 10.20.0.1}, {cidr: 10.30.0.0/24, gateway: 10.30.0.1}")
    asked = {flow.name: str(flow.target) for flow in world.flows if flow.interface is None and flow.protocol == "arp"}
    assert asked == {"node1-to-gateway-lan-arp-ipv4": "10.20.0.1", "node1-to-gateway-lan-arp-ipv4-2": "10.30.0.1"}


def test_a_declared_flow_that_is_implied_anyway_stays_one():
    plain = site(vm="tcp: [22], ", guest="10.20.0.101, 10.20.0.102")
    again = site(vm="tcp: [22], ", guest="10.20.0.101, 10.20.0.102", flows="flows:\n- {from: controller, to: vm1, tcp: [22, 23]}\n")
    assert [name for name in names(again) if name not in names(plain)] == ["controller-to-vm1-tcp23-ipv4", "controller-to-vm1-tcp23-ipv4-2"]


def test_other_kinds_of_networks_imply_no_such_flows():
    network = replace(LAN, kind="another")
    interface = replace(VM44, network=network)
    assert build(Inventory(nodes=(NODE2,), networks=(network,), vms=(VM44.vm,), interfaces=(interface,))).flows == ()


# -- what they need --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("flow_", "needs"), [
    (flow_of("arp"), {"ipv4", "arp", "own_bridge"}),
    (flow_of("ndp", family=6), {"ipv6", "ndp", "own_bridge"}),
    (flow_of("icmp"), {"ipv4", "arp", "icmp", "unicast", "own_bridge"}),
    (flow_of("icmp", full=True), {"ipv4", "arp", "icmp", "unicast", "full_size", "own_bridge"}),
    (flow_of("tcp", family=6), {"ipv6", "ndp", "tcp", "tcp22", "unicast", "own_bridge"}),
    (flow_of("udp", source=CONTROLLER), {"ipv4", "arp", "udp", "udp53", "unicast", "routed", "uplink"}),
    (flow_of("arp", LAN), {"ipv4", "arp", "own_bridge", "uplink"}),
    (flow_of("icmp", LAN, NODE2, 6), {"ipv6", "ndp", "icmp", "unicast", "own_bridge", "uplink"}),
], ids=lambda value: str(value) if isinstance(value, Flow) else "needs")
def test_what_a_flow_needs(flow_, needs):
    assert flow_.needs == needs


# -- the way ---------------------------------------------------------------------------------------------------------


def way(asked, world=WORLD):
    return [(hop.name, hop.place) for hop in world.hops(asked)]


def about(asked, name, place, world=WORLD):
    return next(hop.about for hop in world.hops(asked) if (hop.name, hop.place) == (name, place))


def test_from_the_vms_own_node():
    assert way(flow_of("tcp")) == [("sender", "node1"), ("bridge", "node1"), ("node", "node1"), ("tap", "node1"), ("guest", "vm42")]


def test_from_a_node_behind_the_gateway():
    assert way(flow_of("tcp", source=CONTROLLER)) == [
        ("sender", "controller"), ("gateway", "lan"), ("fabric", "lan"), ("node", "node1"), ("uplink", "node1"), ("bridge", "node1"),
        ("tap", "node1"), ("guest", "vm42"),
    ]


def test_from_another_node_of_the_network():
    world = site(more=", probe_from: [node2]", nodes="  node2: {}\n")
    asked = next(flow for flow in world.flows if flow.source.name == "node2" and flow.protocol == "icmp")
    assert way(asked, world) == [
        ("sender", "node2"), ("bridge", "node2"), ("uplink", "node2"), ("fabric", "lan"), ("node", "node1"), ("uplink", "node1"),
        ("bridge", "node1"), ("tap", "node1"), ("guest", "vm1"),
    ]
    assert ("link", "node2:eth0") in about(asked, "uplink", "node2", world)
    assert ("link", "node1:eth0") in about(asked, "uplink", "node1", world)


def test_to_the_gateway():
    assert way(flow_of("icmp", LAN)) == [("sender", "node1"), ("bridge", "node1"), ("uplink", "node1"), ("fabric", "lan"), ("gateway", "lan")]


def test_what_the_hops_stand_for():
    asked = flow_of("tcp", source=CONTROLLER)
    own = {("flow", asked.name), ("network", "lan")}
    assert about(asked, "uplink", "node1") == own | {("node", "node1"), ("link", "node1:eth0")}
    assert about(asked, "bridge", "node1") == own | {("node", "node1"), ("link", "node1:br0")}
    assert about(asked, "tap", "node1") == own | {("node", "node1"), ("vm", "vm42"), ("interface", "vm42-1")}
    assert about(asked, "fabric", "lan") == own
    assert {name for kind, name in about(asked, "sender", "controller") if kind == "flow"} == {
        flow.name for flow in WORLD.flows if flow.source == CONTROLLER and flow.target == asked.target
    }
    assert {name for kind, name in about(asked, "guest", "vm42") if kind == "flow"} == {
        flow.name for flow in WORLD.flows if flow.interface == VM42 and flow.target == asked.target
    }


def test_a_gateway_hop_stands_for_the_flows_to_gateways_of_its_family():
    asked = flow_of("tcp", source=CONTROLLER)
    flows = {name for kind, name in about(asked, "gateway", "lan") if kind == "flow"} - {asked.name}
    assert flows == {flow.name for flow in WORLD.flows if flow.interface is None and flow.family == 4 and flow.network == LAN}
    assert not flows & {name for _, name in about(flow_of("tcp", source=CONTROLLER, family=6), "gateway", "lan")}


# -- the world -------------------------------------------------------------------------------------------------------


def test_the_links_of_a_world():
    found = {link.name: link.role for link in WORLD.links if link.node == NODE1}
    assert found == {"node1:eth0": "uplink", "node1:br0": "bridge", "node1:bond0.7": "uplink", "node1:br1": "bridge"}


def test_where_a_flow_is_looked_at_and_whom_its_verdict_is_about():
    asked, to_gateway = flow_of("tcp", source=CONTROLLER), flow_of("arp", LAN, NODE2)
    assert (place_of(asked), end_of(asked)) == (CONTROLLER, NODE1)
    assert (place_of(to_gateway), end_of(to_gateway)) == (NODE2, NODE2)
    assert place_of(LAN) is None


def test_who_has_to_do_with_whom():
    asked = flow_of("tcp")
    assert asked in WORLD.related(VM42, Flow)
    assert asked not in WORLD.related(VM42_STORAGE, Flow)
    assert asked in WORLD.related(NODE1, Flow)
    assert asked not in WORLD.related(NODE2, Flow), "a network's other nodes have nothing to do with it"
    assert list(WORLD.related(asked, Node)) == [NODE1]


def test_rows_of_a_flow():
    rows = combinations(WORLD, frozenset({"flow", "interface", "node"}))
    assert all(row["flow"].interface == row["interface"] for row in rows)
    assert len(rows) == sum(1 for flow in WORLD.flows if flow.interface)
    full = complete({"flow": flow_of("arp", LAN)})
    assert set(full) == {"flow", "network", "node"}


def test_a_network_is_looked_at_on_each_of_its_nodes():
    assert [(str(row["network"]), str(row["node"])) for row in combinations(WORLD, frozenset({"network", "node"}))] == [
        ("lan", "node1"), ("lan", "node2"), ("storage", "node1"), ("storage", "node2"),
    ]


@pytest.mark.parametrize(("hosts", "vms", "kept"), [
    ((), (), True), (("node1",), (), True), (("controller",), (), False), ((), ("vm42",), True), ((), ("vm44",), False),
    (("node2",), ("vm42",), False), (("node1",), ("vm42",), True),
])
def test_a_selection_keeps_flows_by_where_they_end(hosts, vms, kept):
    row = {"flow": flow_of("tcp", source=CONTROLLER)}
    assert Selection(frozenset(hosts), frozenset(vms)).keeps(row, WORLD) is kept


# -- whatever the inventory ------------------------------------------------------------------------------------------

PREFIXES = [ip_network("10.20.0.0/24"), ip_network("10.30.0.0/24"), ip_network("fd20::/64"), ip_network("fd30::/64")]


@st.composite
def inventories(draw):
    nodes = tuple(
        Node(f"node{n}", Connection("local"), links=(DeclaredLink("br0", tuple(
            ip_interface(f"{prefix[10 + n]}/{prefix.prefixlen}") for prefix in draw(st.lists(st.sampled_from(PREFIXES), unique=True))
        )),)) for n in range(draw(st.integers(1, 3)))
    )
    networks = []
    for name in ("lan", "storage")[:draw(st.integers(1, 2))]:
        attached = draw(st.lists(st.sampled_from(nodes), unique_by=str))
        subnets = tuple(
            Subnet(prefix, prefix[1] if draw(st.booleans()) else None, gateway_answers_ping=draw(st.booleans()))
            for prefix in draw(st.lists(st.sampled_from(PREFIXES), unique=True))
        )
        networks.append(Network(
            name, "switching", tuple(Attachment(node, f"br-{name}", f"eth-{name}") for node in attached), subnets,
            draw(st.sampled_from([1280, 1500, 9000])), probe_from=tuple(draw(st.lists(st.sampled_from(nodes), unique_by=str))),
        ))
    vms, interfaces = [], []
    for number in range(draw(st.integers(0, 3))):
        network = draw(st.sampled_from(networks))
        if not network.attachments:
            continue
        vm = Vm(
            f"vm{number}", draw(st.sampled_from(network.attachments)).node, f"vm{number}", tuple(draw(st.lists(st.integers(1, 3), unique=True))),
            tuple(draw(st.lists(st.integers(1, 3), unique=True))), draw(st.booleans()), draw(st.booleans()),
        )
        addresses = tuple(
            ip_address(prefix[100 + number * 5 + index]) for prefix in draw(st.lists(st.sampled_from(PREFIXES), unique=True)) for index in range(draw(st.integers(1, 2)))
        )
        vms.append(vm)
        interfaces.append(Interface(vm.name, vm, network, f"52:54:00:00:00:{number:02x}", addresses))
    return Inventory(nodes=nodes, networks=tuple(networks), vms=tuple(vms), interfaces=tuple(interfaces))


def good_name(name):
    return "::" not in name and not any(letter.isspace() or letter in "[]" for letter in name)


@given(inventories())
@settings(max_examples=150, deadline=None)
def test_every_flow_has_a_name_a_way_and_needs(inventory):
    world = build(inventory)
    assert len({flow.name for flow in world.flows}) == len(world.flows)
    asked = {(flow.source, flow.network, flow.interface, flow.protocol, flow.target, flow.port, flow.size) for flow in world.flows}
    assert len(asked) == len(world.flows), "nothing is asked twice"
    for flow in world.flows:
        assert good_name(flow.name), flow.name
        _has_a_way(world, flow)
        _has_needs(flow)


def _has_a_way(world, flow):
    hops = world.hops(flow)
    assert (hops[0].name, hops[0].place) == ("sender", flow.source.name)
    last = ("guest", flow.interface.vm.name) if flow.interface else ("gateway", flow.network.name)
    assert (hops[-1].name, hops[-1].place) == last
    assert len({(hop.name, hop.place) for hop in hops}) == len(hops)
    assert all(("flow", flow.name) in hop.about and ("network", flow.network.name) in hop.about for hop in hops)
    known = {("link", link.name) for link in world.links} | {("flow", other.name) for other in world.flows}
    assert {one for hop in hops for one in hop.about if one[0] in {"link", "flow"}} <= known


def _has_needs(flow):
    other = 6 if flow.family == 4 else 4
    assert f"ipv{flow.family}" in flow.needs
    assert f"ipv{other}" not in flow.needs
    assert flow.protocol in flow.needs
    assert ("own_bridge" in flow.needs) != ("routed" in flow.needs)
    assert ("full_size" in flow.needs) == bool(flow.size)
    assert ("unicast" in flow.needs) == (flow.protocol not in {"arp", "ndp"})
    assert flow.port is None or f"{flow.protocol}{flow.port}" in flow.needs


@given(inventories())
@settings(max_examples=75, deadline=None)
def test_every_vm_that_runs_and_every_gateway_is_asked(inventory):
    targets = {(str(flow.interface), flow.target) for flow in build(inventory).flows}
    wanted = {(i.name, address) for i in inventory.interfaces if i.vm.runs for address in i.addresses}
    gateways = {("None", subnet.gateway) for network in inventory.networks if network.attachments for subnet in network.subnets if subnet.gateway}
    assert targets == wanted | gateways
