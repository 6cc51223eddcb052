"""suites/openstack/neutron/test_agents.py and test_namespaces.py: agents, and the DHCP agent's namespace."""

import pytest

from netchecks.models.answers import Answer
from netchecks.models.neutron import AgentLine, AgentLog, Namespace
from netchecks.models.table import Table
from suites.openstack.neutron import test_agents as agents
from suites.openstack.neutron import test_namespaces as spaces
from tests.suites.openstack.neutron.given import (
    ALIVE,
    CONFIG,
    NET1,
    NET_A,
    NODE1,
    SERVER,
    SITE,
    UNSEEN,
    A,
    added,
    answers,
    bridges,
    flow_of,
    flows,
    is_unknown,
    notes_of,
    of,
    of_node,
    recorded,
    silent,
    wrong,
)

RUNS = (
    "@unit neutron-openvswitch-agent\nId=neutron-openvswitch-agent.service\nLoadState=loaded\nActiveState=active\nSubState=running\n"
    "ExecMainStartTimestampMonotonic=5000000\n"
)
LOG = Table("log of", {"openvswitch-agent": AgentLog("/var/log/neutron/openvswitch-agent.log", (AgentLine("ERROR", "Agent terminated!"),))})


def ovs_agent(services, logs=LOG, change=None):
    return notes_of(
        agents.test_ovs_agent_is_active, NET_A, NODE1, of_node("neutron_services", services), of_node("neutron_logs", logs),
        of_node("ovs_bridges", bridges(change)),
    )


def test_an_agent_that_runs_passes():
    assert ovs_agent(recorded("neutron_services", "systemd-252-node1")) == ovs_agent(RUNS, UNSEEN) == []
    dhcp = of_node("neutron_services", recorded("neutron_services", "systemd-252-net1"), NET1)
    assert notes_of(agents.test_dhcp_agent_is_active, SERVER, dhcp, of_node("neutron_logs", LOG, NET1)) == []


def test_a_dead_agent_is_named_with_the_last_error_of_its_log():
    dead = RUNS.replace("active\nSub", "failed\nSub").replace("=running", "=failed") + "Result=exit-code\n"
    with wrong("neutron.ovs_agent_dead", "is failed (failed, exit-code)", '"Agent terminated!"', "openvswitch-agent.log", place="node1"):
        ovs_agent(dead)
    with wrong("neutron.ovs_agent_dead", "is failed", place="node1") as caught:
        ovs_agent(dead, UNSEEN)
    assert "its log" not in str(caught.value)


def test_one_that_systemd_starts_again_and_again_is_dead():
    with wrong("neutron.ovs_agent_dead", "activating (auto-restart)", place="node1"):
        ovs_agent(RUNS.replace("=active", "=activating").replace("=running", "=auto-restart"))


def test_one_that_never_started_says_so():
    never = RUNS.replace("=active", "=inactive").replace("=running", "=dead").replace("5000000", "0")
    with wrong("neutron.ovs_agent_dead", "has not been started since the node booted", place="node1"):
        ovs_agent(never)


def test_an_agent_without_a_unit_is_unknown_and_ovn_needs_none():
    missing = RUNS.replace("loaded", "not-found").replace("=active", "=inactive")
    is_unknown(ovs_agent, missing)
    assert ovs_agent(missing, change=added("br-int", "patch-br-int-to-provnet-1", "patch")) == []


# -- namespaces ------------------------------------------------------------------------------------------------------

INSIDE = recorded("dhcp_namespaces", "iproute2-6.1")


def space(value):
    return of("dhcp_namespaces", SERVER, value)


def test_the_labs_namespace_passes():
    assert notes_of(spaces.test_dhcp_namespace_exists, SERVER, space(INSIDE)) == []
    assert notes_of(spaces.test_dhcp_namespace_has_address, SERVER, space(INSIDE)) == []


def test_a_missing_namespace_is_named_with_those_there_are():
    missing = recorded("dhcp_namespaces", "missing")
    with wrong("dhcp.namespace_missing", f"no namespace qdhcp-{A} for net-a; there are qdhcp-51c3a1d0", place="net1"):
        spaces.test_dhcp_namespace_exists(SERVER, space(missing))
    assert notes_of(spaces.test_dhcp_namespace_has_address, SERVER, space(missing)) == []


def test_a_namespace_without_its_address_is_named():
    with wrong("dhcp.namespace_without_address", "has the addresses none, expected 10.19.43.2", place="net1", breaks={"from_agent"}):
        spaces.test_dhcp_namespace_has_address(SERVER, space(Namespace(exists=True, macs=INSIDE.macs, up=INSIDE.up)))
    with wrong("dhcp.namespace_device_down", "tapd0a3f1c2-5b in", "is down", place="net1", layer="up"):
        spaces.test_dhcp_namespace_has_address(SERVER, space(Namespace(True, INSIDE.macs, INSIDE.addresses, frozenset({"lo"}))))


@pytest.mark.parametrize(("tag", "code"), [(1, ""), (None, "dhcp.port_untagged"), (4095, "dhcp.port_dead_vlan"), (2, "dhcp.port_wrong_tag")])
def test_the_namespaces_port_has_the_networks_tag(tag, code):
    change = added("br-int", "tapd0a3f1c2-5b", "internal", tag, external_ids={"attached-mac": "fa:16:3e:00:43:02"})
    facts = (
        space(INSIDE), of_node("ovs_bridges", bridges(change), NET1), of_node("neutron_configs", CONFIG[NODE1], NET1),
        of_node("openflow_tables", flows(), NET1), of_node("ovs_daemons", ALIVE[NODE1], NET1),
    )
    if not code:
        assert notes_of(spaces.test_dhcp_port_is_tagged, SERVER, SITE, *facts) == []
        return
    with wrong(code, f"tapd0a3f1c2-5b of qdhcp-{A} has the tag {tag or 'none'}, expected 1 of net-a", place="net1", breaks={"switched"}):
        spaces.test_dhcp_port_is_tagged(SERVER, SITE, *facts)


def test_a_device_that_is_no_port_is_named_and_one_behind_a_veth_is_one():
    def judge(inside, change=None):
        return notes_of(
            spaces.test_dhcp_port_is_tagged, SERVER, SITE, space(inside), of_node("ovs_bridges", bridges(change), NET1),
            of_node("neutron_configs", CONFIG[NODE1], NET1), of_node("openflow_tables", flows(), NET1),
            of_node("ovs_daemons", ALIVE[NODE1], NET1),
        )

    with wrong("dhcp.port_not_in_bridge", "tapd0a3f1c2-5b", "is no port of br-int", place="net1"):
        judge(INSIDE)
    veth = Namespace(exists=True, macs=(("ns-d0a3f1c2-5b", "fa:16:3e:00:43:02"),))
    assert judge(veth, added("br-int", "tapd0a3f1c2-5b", tag=1)) == []


PING = flow_of("net1-dhcp-to-gateway-net-a-icmp-ipv4")


def filtered(rules, answer, flow=PING):
    nft = of("namespace_nftables", SERVER, recorded("namespace_nftables", "no-namespace"))
    return notes_of(
        spaces.test_namespace_firewall_lets_through, flow, answers({flow: answer}), space(INSIDE), of("namespace_iptables", SERVER, rules), nft,
    )


def test_a_rule_inside_the_namespace_is_named():
    rules = recorded("namespace_iptables", "iptables-nft-1.8")
    with wrong("firewall.iptables_drops", f"net1: in qdhcp-{A}, ICMP to 10.19.43.1", place="net1", breaks={"from_agent"}):
        filtered(rules, silent())
    assert filtered(rules, Answer("answered", 1)) == []
    assert filtered(rules, silent(), flow_of("net1-dhcp-to-vm42-icmp-ipv4")) == []
    assert filtered(recorded("namespace_iptables", "no-namespace"), silent()) == []


# -- what running agents log -------------------------------------------------------------------------------------------

LOST = "[-] [a9d1] AMQP server on 10.99.0.1:5672 is unreachable: [Errno 111] ECONNREFUSED. Trying again in 1 seconds."
FOUND = "[-] [a9d1] Reconnected to AMQP server on 10.99.0.1:5672 via [amqp] client with port 40112."
UNREPORTED = "[-] Failed reporting state!: oslo_messaging.exceptions.MessagingTimeout: Timed out waiting for a reply to message ID 7e0f"
MAIN_PID = 346


def reaches(*lines, services=RUNS + f"MainPID={MAIN_PID}\n", logs=None):
    found = logs or Table("log of", {"openvswitch-agent": AgentLog("/var/log/neutron/a.log", lines)})
    return notes_of(agents.test_agents_reach_neutron, NET_A, NODE1, of_node("neutron_services", services), of_node("neutron_logs", found))


def line(message, ago=20.0, pid=MAIN_PID, level="ERROR"):
    return AgentLine(level, message, ago, pid)


@pytest.mark.parametrize("lines", [
    (line(LOST, 21.0), line(LOST)), (line(UNREPORTED, 200.0), line(UNREPORTED)),
    (line(LOST, 21.0), line(LOST), line(FOUND.replace("a9d1", "b7e2"), 5.0, level="INFO")),
], ids=["queue", "reports", "another connection is found again"])
def test_an_agent_that_has_lost_neutron_is_named_though_it_runs(lines):
    with wrong("neutron.agent_cut_off", "neutron-openvswitch-agent runs, and does not reach Neutron", "(/var/log/neutron/a.log, 20 s ago)", place="node1"):
        reaches(line("[-] something else", 900.0), *lines)


@pytest.mark.parametrize("lines", [
    (line(LOST, 50.0), line(LOST, 45.0), line(FOUND, 40.0, level="INFO")), (line(UNREPORTED, 90.0), line(UNREPORTED, 60.0), line("[-] Agent has just been revived. Doing a full sync.", 1.0)),
    (line(LOST, 50.0, pid=12), line(LOST, 40.0, pid=12)), (line(LOST, 90.0), line(LOST, 80.0)), (line(UNREPORTED),), (line(LOST),),
], ids=["found again", "revived", "of an earlier process", "not tried any more", "a report that failed once", "lost just now"])
def test_one_that_has_found_it_again_is_told_of(lines):
    """Errors are evidence, and no verdict."""
    assert reaches(*lines) == ["neutron.agent_errors"]


def test_old_errors_and_tracebacks_are_not_told():
    assert reaches(line(LOST, 4000.0), line(LOST, None), line("  File x", 3.0, level="TRACE")) == reaches() == []
    assert reaches(line(LOST), services=RUNS.replace("=active", "=failed")) == [], "another check says that it is dead"
    is_unknown(lambda: reaches(logs=UNSEEN))


def test_an_error_is_told_with_its_age():
    dead = RUNS.replace("active\nSub", "failed\nSub").replace("=running", "=failed")
    for ago, told in ((30.0, "30 s ago"), (7200.0, "2.0 h ago"), (864000.0, "10 days ago")):
        with wrong("neutron.ovs_agent_dead", f'"Agent terminated!" (a.log, {told})', place="node1"):
            ovs_agent(dead, Table("log of", {"openvswitch-agent": AgentLog("a.log", (line("Agent terminated!", ago),))}))
