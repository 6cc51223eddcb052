"""Neutron's agents on a network's nodes. A dead agent over bridges that work is no cause of trouble yet: it stands on its own."""

from __future__ import annotations

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.neutron import AgentLine, AgentLog
from netchecks.models.neutron_sides import is_ovn
from netchecks.models.openvswitch import OvsBridge
from netchecks.models.services import Service
from netchecks.models.subjects import DhcpServer, Network, Node, VirtualRouter
from netchecks.models.table import Table
from netchecks.seen import By, note

_RUNS = frozenset({"active", "reloading", "refreshing", "activating"})
#: Seconds: agents report every 30 s and wait 60 s and more for an answer; the queue's driver tries again within 30 s, and says so.
_JUST_NOW, _RETRIES = 180.0, 60.0
_REPORTS = 600.0
_LATELY, _DAY = 900.0, 86400.0


@pytest.mark.kind("neutron")
def test_ovs_agent_is_active(
    network: Network, node: Node, neutron_services: By[Node, Table[Service]], neutron_logs: By[Node, Table[AgentLog]],
    ovs_bridges: By[Node, Table[OvsBridge]],
) -> None:
    """The Open vSwitch agent runs on each node of the network.

    Why: what is there goes on; new ports are not bound, and after a restart of the node or of Open vSwitch nothing is forwarded.
    Remedy: node administrator: systemctl status neutron-openvswitch-agent, its log, then systemctl restart
    Source: Neutron document, scenario 3, step 1
    """
    assert network.neutron is not None
    try:
        if is_ovn(ovs_bridges[node].get(network.neutron.integration_bridge)):
            return
    except NotSeen:
        pass  # of the agent it can be told all the same
    _must_run(node, "neutron-openvswitch-agent", "neutron.ovs_agent_dead", neutron_services, neutron_logs)


@pytest.mark.kind("neutron")
def test_dhcp_agent_is_active(
    dhcp_server: DhcpServer, neutron_services: By[Node, Table[Service]], neutron_logs: By[Node, Table[AgentLog]],
) -> None:
    """The DHCP agent runs where the inventory says that it serves the network.

    Why: its dnsmasq goes on without it; new instances are not entered, and nothing is started again after a restart of the node.
    Remedy: node administrator: systemctl status neutron-dhcp-agent, its log, then systemctl restart
    Source: Neutron document, scenario 2, steps 1 and 2
    """
    _must_run(dhcp_server.node, "neutron-dhcp-agent", "neutron.dhcp_agent_dead", neutron_services, neutron_logs)


@pytest.mark.kind("neutron")
def test_l3_agent_is_active(
    virtual_router: VirtualRouter, neutron_services: By[Node, Table[Service]], neutron_logs: By[Node, Table[AgentLog]],
) -> None:
    """The L3 agent runs where the inventory says that it has the network's router.

    Why: what it has made works on without it; new floating addresses are not entered, and a restart of the node leaves nothing.
    Remedy: node administrator: systemctl status neutron-l3-agent, its log, then systemctl restart
    Source: Neutron administration guide, Open vSwitch: self-service networks
    """
    _must_run(virtual_router.node, "neutron-l3-agent", "neutron.l3_agent_dead", neutron_services, neutron_logs)


@pytest.mark.kind("neutron")
def test_agents_reach_neutron(
    network: Network, node: Node, neutron_services: By[Node, Table[Service]], neutron_logs: By[Node, Table[AgentLog]],
) -> None:
    """No running agent's log says that it has lost the message queue or the server; what else it logged of errors just now is told.

    Why: an agent that is cut off goes on forwarding, and is active; it hears of no new port, no new address and no new rule.
    Remedy: node administrator: from this node reach the address in the log (nc -vz); then openstack network agent list
    Source: Neutron document, scenario 3, step 1; oslo.messaging, impl_rabbit.py; neutron, agent report_state
    """
    assert network.neutron is not None
    for agent, log in neutron_logs[node].items():
        unit = f"neutron-{agent}"
        service = neutron_services[node].get(unit)
        if service is None or not _runs(service):
            continue  # other checks say so
        own = [line for line in log.lines if line.pid in {None, service.main_pid}]
        last = _lost(own)
        if last is not None:
            raise Wrong(
                "neutron.agent_cut_off",
                f'{node}: {unit} runs, and does not reach Neutron: "{last.message[:200]}" ({log.file}{_ago(last)})', place=node.name,
            )
        recent = [line for line in log.errors if line.ago is not None and line.ago < _LATELY and line.level != "TRACE"]
        if recent:
            note(
                "neutron.agent_errors", f'{node}: {unit} logged {len(recent)} errors in the last {_LATELY / 60:.0f} minutes, the last one '
                f'"{recent[-1].message[:200]}" ({log.file}{_ago(recent[-1])})',
            )


def _lost(lines: list[AgentLine]) -> AgentLine | None:
    """Give the line that says that the agent has lost Neutron and not found it since. What failed once is tried again."""
    found: set[str] = set()
    for line in reversed(lines):
        if line.found:
            found |= {line.connection, ""}
        elif line.lost and line.connection not in found and line.ago is not None:
            again = [one for one in lines if one.lost and one.connection == line.connection and (one.ago or 0.0) < _REPORTS]
            if line.ago < (_RETRIES if "AMQP" in line.message else _JUST_NOW) and len(again) > 1:
                return line
    return None


def _runs(service: Service) -> bool:
    return service.active in _RUNS and service.sub != "auto-restart"


def _must_run(
    node: Node, unit: str, code: str, services: By[Node, Table[Service]], logs: By[Node, Table[AgentLog]],
) -> None:
    service = services[node][unit]
    if service.load == "not-found":
        raise NotSeen(Why.NOT_POSSIBLE, f"{node}: there is no unit {unit}; an agent in a container is not looked at")
    if _runs(service):
        return
    never = ", and has not been started since the node booted" if service.started is None else ""
    told = f", {service.result}" if service.result not in {"", "success"} else ""
    raise Wrong(
        code, f"{node}: {unit} is {service.active} ({service.sub}{told}){never}{_last_error(node, unit, logs)}", place=node.name,
        remedy=f"systemctl status {unit}; systemctl restart {unit}",
    )


def _last_error(node: Node, unit: str, logs: By[Node, Table[AgentLog]]) -> str:
    """Give the last error of the agent's log as evidence; nothing where it cannot be read."""
    try:
        log = logs[node].get(unit.removeprefix("neutron-"))
    except NotSeen:
        return ""
    if log is None or not log.errors:
        return ""
    last = log.errors[-1]
    return f'; its log: "{last.message[:200]}" ({log.file}{_ago(last)})'


def _ago(line: AgentLine) -> str:
    """Say how old a line is: an agent may have logged its last error months before it died."""
    if line.ago is None:
        return ""
    if line.ago < _DAY:
        return f", {line.ago:.0f} s ago" if line.ago < _LATELY else f", {line.ago / 3600:.1f} h ago"
    return f", {line.ago / _DAY:.0f} days ago"
