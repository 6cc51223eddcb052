"""From failures to causes: hop order, acquittal, consequences, folding. Worlds are real, failures are written out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netchecks import inventory
from netchecks.diagnose import Diagnosis, Judged, diagnose
from netchecks.world import World, build

INVENTORY = """
version: 1
defaults:
  node: {links: {br0: {addresses: ["10.20.0.{n+10}/24"]}}}
nodes:
  controller: {connection: local, roles: [controller], links: null}
  node[1-2]: {}
networks:
  lan:
    kind: switching
    bridge: br0
    uplink: eth0
    nodes: ["node[1-2]"]
    subnets: [{cidr: 10.20.0.0/24, gateway: 10.20.0.1}]
    probe_from: [controller]
vms:
  vm42: {node: node1, tcp: [22, 80], interfaces: [{network: lan, mac: "52:54:00:00:00:42", addresses: [10.20.0.142]}]}
  vm43: {node: node1, tcp: [22], interfaces: [{network: lan, mac: "52:54:00:00:00:43", addresses: [10.20.0.143]}]}
  vm44: {node: node2, tcp: [22], interfaces: [{network: lan, mac: "52:54:00:00:00:44", addresses: [10.20.0.144]}]}
"""

#: The verdict of each kind of flow: its check, and the hop and layer of its failure.
VERDICTS = {
    ("arp", "vm"): ("arp_is_answered", "guest", "neighbour", {"ipv4"}),
    ("icmp", "vm"): ("vm_answers_ping", "guest", "address", {"ipv4", "unicast"}),
    ("tcp", "vm"): ("tcp_port_answers", "guest", "service", set()),
    ("arp", "gateway"): ("gateway_answers", "gateway", "neighbour", {"ipv4", "uplink"}),
    ("icmp", "gateway"): ("gateway_answers_ping", "gateway", "address", {"ipv4", "unicast", "routed"}),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    path = tmp_path_factory.mktemp("inventory") / "site.yaml"
    path.write_text(INVENTORY)
    return build(inventory.load([path]))


def verdicts(world: World, failing) -> list[Judged]:
    """Every flow's verdict; those fail for which ``failing`` holds."""
    found = []
    for flow in world.flows:
        to = "vm" if flow.interface else "gateway"
        check, hop, layer, breaks = VERDICTS[flow.protocol, to]
        bad = failing(flow)
        found.append(Judged(
            f"{check}[{flow.name}]", f"vmhost.{check}", "failed" if bad else "passed", (("flow", flow.name),), verdict=True,
            code="gateway.gone" if to == "gateway" else f"guest.{flow.protocol}", hop=hop, layer=layer,
            breaks=frozenset(breaks or {f"tcp{flow.port}"}), place=str(flow.interface or flow.target), message=f"{flow.name} fails",
        ))
    return found


def state(code: str, hop: str, layer: str, place: str = "node1", breaks: frozenset[str] = frozenset(), **subjects: str) -> Judged:
    name = f"{code}[{'-'.join(subjects.values())}]"
    return Judged(
        name, code, "failed", tuple(subjects.items()), code=code, hop=hop, layer=layer, place=place, breaks=breaks, message=code,
    )


def causes(found: tuple[Diagnosis, ...]) -> list[tuple[str, tuple[str, ...]]]:
    return [(item.code, item.places) for item in found if item.severity == "cause"]


def to_vm(name):
    return lambda flow: str(flow.interface) == name


def crosses_uplink_of(node):
    """What fails when a node's uplink is dead: its gateway, and its VMs from the controller."""
    def fails(flow):
        if flow.interface is None:
            return flow.source.name == node
        return flow.interface.node.name == node and flow.source.name == "controller"
    return fails


def test_nothing_fails(world):
    assert diagnose(verdicts(world, lambda _flow: False), world) == ()


def test_the_first_failed_state_on_the_way_is_the_cause(world):
    judged = [
        *verdicts(world, to_vm("vm42")),
        state("tap.not_in_bridge", "tap", "member", interface="vm42"),
        state("mac.behind_another_port", "tap", "forwards", interface="vm42"),
    ]
    found = diagnose(judged, world)
    assert causes(found) == [("tap.not_in_bridge", ("node1",))]
    assert [item.severity for item in found] == ["cause"], "what comes after the cause is its consequence"
    assert "mac.behind_another_port[vm42]" in found[0].explains
    assert sum("vm42" in nodeid and "[" in nodeid for nodeid in found[0].explains) == len(found[0].explains)


def test_a_state_that_a_passing_flow_went_through_is_a_finding(world):
    judged = [*verdicts(world, lambda flow: flow.port == 80), state("bridge.odd", "bridge", "member", network="lan", node="node1")]
    found = diagnose(judged, world)
    assert [(item.severity, item.code) for item in found] == [("cause", "guest.tcp"), ("finding", "bridge.odd")]


def test_a_state_that_breaks_what_the_flow_does_not_need_is_no_cause(world):
    judged = [*verdicts(world, to_vm("vm42")), state("tap.mtu", "tap", "size", breaks=frozenset({"full_size"}), interface="vm42")]
    assert causes(diagnose(judged, world))[0][0] == "guest.arp"


def test_a_state_of_the_guest_explains_more_than_its_silence(world):
    """Whatever its layer: a route comes after an address, and yet is the reason why the address does not answer."""
    wrong_route = state("guest.wrong_gateway", "guest", "route", "vm42", frozenset({"ipv4", "unicast"}), interface="vm42")
    found = diagnose([*verdicts(world, lambda flow: to_vm("vm42")(flow) and flow.protocol != "arp"), wrong_route], world)
    assert causes(found) == [("guest.wrong_gateway", ("vm42",))]


def test_what_comes_after_on_the_same_hop_follows_though_it_breaks_nothing(world):
    """What a guest cannot reach itself breaks no flow to it; where it does not answer either, that is why."""
    outbound = state("guest.reaches_nobody", "guest", "service", "vm42", frozenset({"outbound"}), interface="vm42")
    found = diagnose([*verdicts(world, to_vm("vm42")), outbound], world)
    assert [(item.severity, item.code) for item in found] == [("cause", "guest.arp")]
    assert outbound.nodeid in found[0].explains
    alone = diagnose([*verdicts(world, lambda _flow: False), outbound], world)
    assert [(item.severity, item.code) for item in alone] == [("finding", "guest.reaches_nobody")]


def test_a_silent_guest_is_one_cause(world):
    found = diagnose(verdicts(world, to_vm("vm42")), world)
    assert causes(found) == [("guest.arp", ("vm42",))]
    assert len(found[0].explains) == sum(1 for flow in world.flows if to_vm("vm42")(flow))


def test_a_dead_uplink_explains_gateway_and_guests(world):
    judged = [*verdicts(world, crosses_uplink_of("node1")), state("uplink.down", "uplink", "up", link="node1:eth0")]
    found = diagnose(judged, world)
    assert causes(found) == [("uplink.down", ("node1",))]


def test_a_dead_gateway_is_one_cause_for_all(world):
    found = diagnose(verdicts(world, lambda flow: flow.interface is None or flow.source.name == "controller"), world)
    assert causes(found) == [("gateway.gone", ("10.20.0.1",))]


def test_without_a_known_state_the_place_is_told(world):
    found = diagnose(verdicts(world, lambda flow: to_vm("vm42")(flow) and flow.source.name == "controller"), world)
    assert [code for code, _ in causes(found)] == ["path.lost"]
    assert "sender controller" in found[0].sentence


def test_equal_causes_fold(world):
    judged = [
        *verdicts(world, lambda flow: crosses_uplink_of("node1")(flow) or crosses_uplink_of("node2")(flow)),
        state("uplink.down", "uplink", "up", link="node1:eth0"),
        state("uplink.down", "uplink", "up", "node2", link="node2:eth0"),
    ]
    assert causes(diagnose(judged, world)) == [("uplink.down", ("node1", "node2"))]


def test_two_causes_are_both_named(world):
    judged = [
        *verdicts(world, lambda flow: crosses_uplink_of("node1")(flow) or to_vm("vm44")(flow)),
        state("uplink.down", "uplink", "up", link="node1:eth0"),
    ]
    assert {code for code, _ in causes(diagnose(judged, world))} == {"uplink.down", "guest.arp"}


def test_what_could_not_be_seen_is_told_with_its_reason(world):
    unseen = Judged("a[node1]", "node.a", "unknown", (("node", "node1"),), code="node.command_hangs", place="node1", message="hangs")
    found = diagnose([*verdicts(world, lambda _flow: False), unseen, replace(unseen, nodeid="b[node1]")], world)
    assert [(item.code, item.severity, len(item.explains)) for item in found] == [("node.command_hangs", "unseen", 2)]


def test_an_unreachable_node_explains_its_unknowns(world):
    refused = state("node.ssh_refused", "node", "exists", node="node1")
    unknown = Judged("b[node1]", "node.b", "unknown", (("node", "node1"),), code="node.ssh_refused", place="node1", message="refused")
    found = diagnose([*verdicts(world, lambda _flow: False), refused, unknown], world)
    assert [(item.code, item.severity) for item in found] == [("node.ssh_refused", "finding")]
    assert "b[node1]" in found[0].explains


def test_unknown_flows_follow_from_a_failed_state(world):
    judged = [
        replace(item, outcome="unknown", message="no br0 to ask from") if item.outcome == "failed" and "arp" in item.check else item
        for item in verdicts(world, lambda flow: flow.source.name == "node1" or to_vm("vm42")(flow) or to_vm("vm43")(flow))
    ]
    judged += [state("bridge.missing", "bridge", "exists", network="lan", node="node1")]
    found = diagnose(judged, world)
    assert [(item.code, item.severity) for item in found] == [("bridge.missing", "cause")]


def test_a_note_excuses_but_proves_nothing(world):
    judged = []
    for item in verdicts(world, crosses_uplink_of("node1")):
        pings_gateway = "gateway_answers_ping" in item.check
        excused = replace(item, outcome="passed", notes=(("gateway.drops_icmp", "silent"),)) if pings_gateway else item
        judged.append(excused)
    judged.append(state("uplink.down", "uplink", "up", link="node1:eth0"))
    found = diagnose(judged, world)
    assert causes(found) == [("uplink.down", ("node1",))]
    assert [item.code for item in found if item.severity == "note"] == ["gateway.drops_icmp"]


def test_a_cause_judged_for_one_flow_is_not_anothers(world):
    def fails(flow):
        return to_vm("vm42")(flow) and flow.source.name == "controller" and (flow.protocol == "icmp" or flow.port == 80)

    pings = [flow for flow in world.flows if to_vm("vm42")(flow) and flow.source.name == "controller" and flow.protocol == "icmp"]
    rules = [state("firewall.iptables_drops", "tap", "policy", flow=flow.name) for flow in pings]
    closed = [replace(item, certain=item.outcome == "failed") if "tcp80" in item.nodeid else item for item in verdicts(world, fails)]
    found = diagnose([*closed, *rules], world)
    assert {code for code, _ in causes(found)} == {"firewall.iptables_drops", "guest.tcp"}
