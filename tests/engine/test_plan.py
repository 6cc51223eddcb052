"""From the checks that are left to what is looked at, from where, and with which words."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netchecks.causes
import netchecks.observations
import netchecks.platforms
import netchecks.probes
from netchecks import inventory, plan, world
from netchecks.models.subjects import Connection, Interface, Node, Vm
from netchecks.observe import OBSERVATIONS, Observation, command
from netchecks.plan import Wanted
from netchecks.probe import PROBES
from netchecks.world import World

#: They fill themselves when they are imported.
CATALOGUES = (netchecks.causes, netchecks.observations, netchecks.platforms, netchecks.probes)
EXAMPLE = Path(__file__).parents[2] / "inventories" / "examples" / "switching.yaml"


@pytest.fixture(scope="module")
def switching() -> World:
    return world.build(inventory.load([EXAMPLE]))


def subject(made: World, kind: str, name: str) -> world.Subject:
    (found,) = [one for one in made.all(world.KINDS[kind]) if one.name == name]
    return found  # type: ignore[no-any-return]  # one of them


def wanted(made: World, check: str, names: set[str], **row: str) -> Wanted:
    return Wanted(check, {kind: subject(made, kind, name) for kind, name in row.items()}, frozenset(names))


# -- what ------------------------------------------------------------------------------------------------------------


def test_a_check_on_a_node_looks_at_that_node_only(switching: World) -> None:
    made = plan.make([wanted(switching, "x.y", {"node", "links", "request"}, node="node1")], switching)
    assert {fact: list(subjects) for fact, subjects in made.facts.items()} == {"links": ["node1"]}
    assert list(plan.places(made)) == ["node1"]


def test_what_is_no_fact_is_not_planned(switching: World) -> None:
    assert plan.make([wanted(switching, "x.y", {"node", "tmp_path", "NOTSET"}, node="node1")], switching).facts == {}


def test_a_network_s_fact_is_wanted_of_all_its_nodes(switching: World) -> None:
    made = plan.make([wanted(switching, "x.y", {"bridges"}, network="lan")], switching)
    assert list(made.facts["bridges"]) == ["node1", "node2"]


def test_a_network_at_a_node_is_looked_at_there_only(switching: World) -> None:
    made = plan.make([wanted(switching, "x.y", {"bridges"}, network="lan", node="node2")], switching)
    assert list(made.facts["bridges"]) == ["node2"]


def test_a_probe_brings_the_facts_that_it_needs(switching: World) -> None:
    (flow,) = [flow for flow in switching.flows if flow.protocol == "arp" and flow.interface and flow.interface.name == "vm42"]
    made = plan.make([Wanted("x.y", {"flow": flow}, frozenset({"answers"}))], switching)
    assert flow.name in made.facts["answers"]
    assert set(made.facts) >= {"answers", "links", "addresses"}
    assert flow.source.name in made.facts["links"]


def test_a_cause_brings_what_it_needs() -> None:
    from netchecks.cause import CAUSES

    neutron = world.build(inventory.load([EXAMPLE.with_name("neutron.yaml")]))
    for check, causes in CAUSES.items():
        flow = next(flow for flow in neutron.flows if flow.interface is None)
        made = plan.make([Wanted(check, {"flow": flow, "node": flow.source}, frozenset())], neutron)
        assert {need for cause in causes for need in cause.needs if plan.is_fact(need)} <= set(made.facts)


def gateway_flows(made: World, *check: str) -> set[str]:
    (flow,) = [flow for flow in made.flows if flow.interface is None and flow.protocol == "arp" and flow.source.name == check[1]][:1]
    planned = plan.make([Wanted(check[0], {"flow": flow}, frozenset({"answers"}))], made)
    return {one.source.name for one in made.flows if one.name in planned.facts["answers"] and one.interface is None}


def test_a_cause_that_compares_brings_what_others_ask_of_the_same_one(switching: World) -> None:
    neutron = world.build(inventory.load([EXAMPLE.with_name("neutron.yaml")]))
    assert gateway_flows(neutron, "vmhost.gateway_answers", "compute1") >= {"compute1", "compute2", "network1"}
    assert gateway_flows(neutron, "x.y", "compute1") == {"compute1"}
    assert gateway_flows(switching, "vmhost.gateway_answers", "node1") == {"node1"}, "it has nothing to say of this kind of network"


def test_a_check_brings_what_it_wants_of_the_other_nodes(switching: World) -> None:
    row = wanted(switching, "x.y", {"bridges", "links"}, network="lan", node="node2")
    made = plan.make([Wanted(row.check, row.row, row.names, frozenset({"links"}))], switching)
    assert (list(made.facts["bridges"]), list(made.facts["links"])) == (["node2"], ["node2", "node1"])


def test_the_same_subject_is_planned_once_in_the_order_of_the_inventory(switching: World) -> None:
    rows = [wanted(switching, "x.y", {"links"}, node=name) for name in ("node2", "node1", "node2")]
    assert list(plan.make(rows, switching).facts["links"]) == ["node2", "node1"]


def test_by_place_and_places_agree(switching: World) -> None:
    rows = [Wanted("x.y", {"flow": flow}, frozenset({"answers", "links", "lookups"})) for flow in switching.flows]
    made = plan.make(rows, switching)
    assert set(plan.by_place(made)) == set(plan.places(made))
    assert sum(map(len, plan.by_place(made).values())) == sum(len(subjects) for subjects in made.facts.values())


# -- with which words ------------------------------------------------------------------------------------------------


def of(text: str = "", kind: type = Node, **more: object) -> Observation:
    return Observation("x", kind, command(text, **more), str)  # type: ignore[arg-type]  # as command's


def test_values_are_filled_in_after_splitting() -> None:
    node = Node("a b; reboot $(x) {node.name}", Connection("local"))
    assert plan.job_for(of("tool --name {node.name} {subject.name}-x"), node).ways[0].argv == (
        "tool", "--name", "a b; reboot $(x) {node.name}", "a b; reboot $(x) {node.name}-x",
    )


def test_a_tuple_becomes_words_and_an_empty_one_none() -> None:
    interface = Interface("i", Vm("v", Node("n", Connection("local")), "d"), None, "x", (ip_address("192.0.2.1"), ip_address("fd00::1")))  # type: ignore[arg-type]  # not used
    assert plan.job_for(of("ping {interface.addresses} end", Interface), interface).ways[0].argv == ("ping", "192.0.2.1", "fd00::1", "end")
    node = Node("n", Connection("local"), tools=())
    assert plan.job_for(of("which {node.tools}"), node).ways[0].argv == ("which",)


def test_a_script_takes_values_as_its_arguments() -> None:
    node = Node("$(reboot)", Connection("local"))
    assert plan.job_for(of("{node.name}", shell='echo "$1"'), node).ways[0].argv == ("sh", "-c", 'echo "$1"', "sh", "$(reboot)")


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_value_is_one_word(value: str) -> None:
    assert plan.job_for(of("tool {node.name} end"), Node(value, Connection("local"))).ways[0].argv == ("tool", value, "end")


def test_equal_commands_have_equal_keys_and_others_have_not() -> None:
    one, other = Node("n1", Connection("local")), Node("n2", Connection("local"))
    assert plan.job_for(of("ip link"), one).key == plan.job_for(of("ip link"), other).key
    keys = {plan.job_for(made, node).key for made in (of("ip link"), of("ip  addr"), of("tool {node.name}")) for node in (one, other)}
    assert len(keys) == 4
    assert len({plan.job_for(Observation("x", Node, command("ip link"), str, root=root), one).key for root in (True, False)}) == 2


def test_no_constant_script_holds_a_placeholder() -> None:
    """Values may stand in arguments only: a shell's text is never put together."""
    for observation in OBSERVATIONS.values():
        for one, _ in (*observation.ways(), *observation.windows):
            assert "{node." not in one.shell
            assert "{subject." not in one.shell
            assert not one.shell or not one.argv or '"$@"' in one.shell or '"$1"' in one.shell, observation.name


def test_facts_and_probes_have_names_of_their_own() -> None:
    assert not OBSERVATIONS.keys() & PROBES.keys()
    assert not (OBSERVATIONS.keys() | PROBES.keys()) & world.KINDS.keys()
