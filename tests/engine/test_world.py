"""The inventory with all that follows from it, and what a selection leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

import netchecks.platforms
from netchecks import inventory, world
from netchecks.models.subjects import DhcpServer, Flow, Interface, Link, Network, Node, Vm
from netchecks.world import KINDS, Selection, Subject, World

assert netchecks.platforms, "fills itself"
EXAMPLE = Path(__file__).parents[2] / "inventories" / "examples" / "switching.yaml"
WITH_DHCP = EXAMPLE.with_name("dhcp.yaml")
NEUTRON = EXAMPLE.with_name("neutron.yaml")
NOVA = EXAMPLE.with_name("nova-network.yaml")
ROUTER = EXAMPLE.with_name("neutron-router.yaml")


@pytest.fixture(scope="module")
def switching() -> World:
    return world.build(inventory.load([EXAMPLE]))


@pytest.fixture(scope="module")
def managed() -> World:
    return world.build(inventory.load([EXAMPLE.with_name("platform.yaml")]))


def rows(made: World, *kinds: str) -> list[dict[str, str]]:
    return [{kind: subject.name for kind, subject in row.items()} for row in world.combinations(made, frozenset(kinds))]


def test_links_follow_from_networks_and_nodes_each_once(switching: World) -> None:
    assert [(link.name, link.role) for link in switching.links] == [
        ("node1:eth0", "uplink"), ("node1:br0", "bridge"), ("node2:eth0", "uplink"), ("node2:br0", "bridge"),
    ]


def test_flows_have_names_of_their_own_and_hops(switching: World) -> None:
    names = [flow.name for flow in switching.flows]
    assert len(names) == len(set(names)) > 10
    assert all(switching.hops(flow) for flow in switching.flows if flow.network.kind == "switching")
    assert {flow.protocol for flow in switching.flows} >= {"arp", "ndp", "icmp", "tcp"}
    assert any(flow.port == 8080 for flow in switching.flows)


def test_each_combination_is_consistent(switching: World) -> None:
    assert rows(switching, "node") == [{"node": name} for name in ("admin", "bastion", "node1", "node2")]
    assert rows(switching, "network", "node") == [{"network": "lan", "node": "node1"}, {"network": "lan", "node": "node2"}]
    assert rows(switching, "interface", "vm", "network", "node") == [
        {"interface": "vm42", "vm": "vm42", "network": "lan", "node": "node1"}, {"interface": "vm43", "vm": "vm43", "network": "lan", "node": "node2"},
    ]
    assert rows(switching, "link", "node")[0] == {"link": "node1:eth0", "node": "node1"}
    for row in world.combinations(switching, frozenset({"flow", "vm", "node"})):
        flow = row["flow"]
        assert isinstance(flow, Flow)
        assert flow.interface is not None, "a flow to a gateway has no VM"
        assert (row["vm"], row["node"]) == (flow.interface.vm, flow.interface.node)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_rows_of_the_right_type(switching: World, managed: World, kind: str) -> None:
    own = {"dhcp_server": WITH_DHCP, "database": NOVA, "virtual_router": ROUTER}
    made = managed if kind == "access" else world.build(inventory.load([own[kind]])) if kind in own else switching
    found = world.combinations(made, frozenset({kind}))
    assert found
    assert all(type(row[kind]) is KINDS[kind] for row in found)
    assert all(set(world.complete(row)) >= {kind} for row in found)


@pytest.mark.parametrize("example", ["switching", "managed", "dhcp", "nova", "router"])
def test_relations_hold_both_ways(switching: World, managed: World, example: str) -> None:
    own = {"dhcp": WITH_DHCP, "nova": NOVA, "router": ROUTER}
    made = world.build(inventory.load([own[example]])) if example in own else {"switching": switching, "managed": managed}[example]
    for one in KINDS.values():
        for subject in made.all(one):
            for other in KINDS.values():
                for related in made.related(subject, other):
                    assert subject in made.related(related, one)


def test_a_platform_is_asked_where_it_runs_about_the_node_it_manages(managed: World) -> None:
    (first, second) = managed.accesses
    assert (str(world.place_of(first)), world.parts(first)) == ("manager", (first.node,))
    assert [Selection(frozenset({host})).keeps({"access": first}, managed) for host in ("node1", "node2", "manager")] == [True, False, False]
    assert world.complete({"access": second}) == {"access": second, "node": second.node}


def test_a_dhcp_server_has_to_do_with_those_who_may_ask_it() -> None:
    made = world.build(inventory.load([WITH_DHCP]))
    (server,) = made.dhcp_servers
    assert (str(server), str(world.place_of(server)), [str(one) for one in made.related(server, Node)]) == (
        "lan@dhcp1", "dhcp1", ["dhcp1", "node1", "node2"],
    )
    asking = [flow for flow in made.flows if flow.protocol == "dhcp"]
    assert [flow.name for flow in asking] == [f"node{n}-to-lan-dhcp-ipv{family}" for n in (1, 2) for family in (4, 6)]
    for flow in asking:
        assert {str(node) for node in made.related(flow, Node)} == {str(flow.source), "dhcp1"}, "which listens at the same time"
        assert [hop.name for hop in made.hops(flow)] == ["sender", "bridge", "uplink", "fabric", "dhcp"]
        assert ("dhcp_server", "lan@dhcp1") in made.hops(flow)[-1].about
    (vm42,) = made.inventory.interfaces
    assert [str(node) for node in made.related(vm42, Node)] == ["node1"]
    assert list(made.related(vm42, DhcpServer)) == [server]
    assert rows(made, "dhcp_server", "node") == [{"dhcp_server": "lan@dhcp1", "node": "dhcp1"}]
    assert Selection(hosts=frozenset({"node1"})).keeps({"dhcp_server": server}, made), "its answers are what node1 waits for"


def test_a_subject_has_to_do_with_its_parts(switching: World) -> None:
    (vm42,) = [vm for vm in switching.inventory.vms if vm.name == "vm42"]
    assert [str(node) for node in switching.related(vm42, Node)] == ["node1"]
    assert [str(nic) for nic in switching.related(vm42, Interface)] == ["vm42"]
    assert {str(flow.interface) for flow in switching.related(vm42, Flow)} == {"vm42"}
    (lan,) = switching.inventory.networks
    assert {str(node) for node in switching.related(lan, Node)} >= {"node1", "node2"}


# -- selecting -------------------------------------------------------------------------------------------------------


def kept(made: World, kinds: set[str], **chosen: set[str]) -> list[dict[str, Subject]]:
    selection = Selection(frozenset(chosen.get("hosts", ())), frozenset(chosen.get("vms", ())))
    return [row for row in world.combinations(made, frozenset(kinds)) if selection.keeps(row, made)]


@pytest.mark.parametrize("kind", KINDS)
def test_no_selection_keeps_everything(switching: World, kind: str) -> None:
    assert kept(switching, {kind}) == world.combinations(switching, frozenset({kind}))


def test_a_host_keeps_what_is_there(switching: World) -> None:
    assert {str(row["node"]) for row in kept(switching, {"node"}, hosts={"node1"})} == {"node1"}
    assert {str(row["vm"]) for row in kept(switching, {"vm"}, hosts={"node1"})} == {"vm42"}
    assert {str(world.end_of(row["flow"])) for row in kept(switching, {"flow"}, hosts={"node1"}) if isinstance(row["flow"], Flow)} == {"node1"}
    assert [str(row["network"]) for row in kept(switching, {"network"}, hosts={"node1"})] == ["lan"], "node1 is on it"
    assert kept(switching, {"network"}, hosts={"admin"}) == []


def test_a_vm_keeps_itself_and_its_node(switching: World) -> None:
    assert {str(row["vm"]) for row in kept(switching, {"vm"}, vms={"vm43"})} == {"vm43"}
    assert {str(row["node"]) for row in kept(switching, {"node"}, vms={"vm43"})} == {"node2"}
    assert {str(row["interface"]) for row in kept(switching, {"interface", "node"}, vms={"vm42"})} == {"vm42"}
    flows = [row["flow"] for row in kept(switching, {"flow"}, vms={"vm42"})]
    assert {flow.interface.name for flow in flows if isinstance(flow, Flow) and flow.interface} == {"vm42"}


def test_a_vm_that_is_elsewhere_than_the_host_leaves_nothing_of_it(switching: World) -> None:
    assert kept(switching, {"vm"}, hosts={"node1"}, vms={"vm43"}) == []


def crossed(made: World, hop: str, kinds: set[str], **chosen: set[str]) -> set[str]:
    selection = Selection(frozenset(chosen.get("hosts", ())), frozenset(chosen.get("vms", ())))
    rows = [row for row in world.combinations(made, frozenset(kinds)) if selection.crosses(row, hop, made)]
    return {"-".join(str(row[kind]) for kind in KINDS if kind in row) for row in rows}


@pytest.mark.parametrize("chosen", [{"hosts": {"compute1"}, "vms": {"web1"}}, {"hosts": {"compute1"}}, {"vms": {"web1"}}], ids=str)
def test_the_hops_of_a_chosen_flow_are_chosen_on_other_nodes(chosen: dict[str, set[str]]) -> None:
    made = world.build(inventory.load([NEUTRON]))
    for hop in ("switch", "provider", "patch", "integration", "uplink"):
        nodes = {name for name in crossed(made, hop, {"network", "node"}, **chosen) if name.startswith("net-a-")}
        assert nodes == {"net-a-network1", "net-a-compute1"}, "the agent asks from network1; nothing goes by the other nodes"
    assert "network1-to-gateway-net-a-arp-ipv4" in crossed(made, "gateway", {"flow"}, **chosen), "its switch port shows by that alone"
    assert "compute2-to-gateway-net-a-arp-ipv4" not in crossed(made, "gateway", {"flow"}, **chosen)


def test_no_states_are_chosen_where_no_chosen_flow_goes(switching: World) -> None:
    assert crossed(switching, "bridge", {"network", "node"}, vms={"vm42"}) == {"lan-node1", "lan-node2"}, "node2 asks too, by its bridge"
    assert crossed(switching, "tap", {"interface", "node"}, hosts={"node1"}, vms={"vm42"}) == {"vm42-node1"}
    assert crossed(switching, "uplink", {"link", "node"}, hosts={"admin"}) == set()


# -- names -----------------------------------------------------------------------------------------------------------


def test_a_subject_shows_its_name_only(switching: World) -> None:
    """It becomes a pytest id, and stands in reports: never a user, a key or an address of the management network."""
    for kind in KINDS.values():
        for subject in switching.all(kind):
            assert repr(subject) == str(subject) == subject.name
            assert "::" not in subject.name.replace("fd20::", "")


def test_subjects_of_one_name_and_kind_are_the_same() -> None:
    one, other = Vm("x", None, "d"), Vm("x", None, "e")  # type: ignore[arg-type]  # not looked at
    assert one == other
    assert len({one, other, Network("x", "switching", ())}) == 2
    assert one != "x"
    assert Link("a", None, "eth0", "uplink") != one  # type: ignore[arg-type,comparison-overlap]  # not looked at
