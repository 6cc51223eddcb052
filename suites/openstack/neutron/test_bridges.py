"""The bridges of Open vSwitch on each node of a network: the daemon, the mapping, the NIC, the patch ports."""

from __future__ import annotations

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.neutron import AgentConfig, NeutronNetwork
from netchecks.models.neutron_sides import is_ovn, peer_of
from netchecks.models.openvswitch import OpenFlowPort, OvsBridge, OvsDaemon, bridge_of
from netchecks.models.subjects import Network, Node
from netchecks.models.table import Table
from netchecks.platforms.neutron import seen_side
from netchecks.platforms.neutron.agents import restart
from netchecks.seen import By

Bridges = By[Node, Table[OvsBridge]]
Configs = By[Node, AgentConfig]
#: What only flows through the bridges need: a guest that is asked at its tap answers whatever they do.
_BREAKS = frozenset({"switched"})


def _known(network: Network) -> NeutronNetwork:
    assert network.neutron is not None
    return network.neutron


@pytest.mark.kind("neutron")
@pytest.mark.hop("switch", "up")
def test_switch_runs(network: Network, node: Node, ovs_daemons: By[Node, OvsDaemon]) -> None:
    """ovs-vswitchd answers on each node of the network.

    Why: bridges, ports and flows are still shown without it, and nothing that is new is forwarded.
    Remedy: node administrator: systemctl restart openvswitch-switch (openvswitch), then the OVS agent, which puts the flows back
    Source: Neutron document, scenario 3; ovs-vswitchd(8)
    """
    assert network.kind == "neutron"
    daemon = ovs_daemons[node]
    if not daemon.answers:
        said = daemon.said.splitlines()[-1] if daemon.said else "nothing"
        raise Wrong(
            "ovs.switch_dead", f"{node}: ovs-vswitchd does not answer ({said}); {network} is not forwarded there", place=node.name,
            breaks=_BREAKS,
        )


@pytest.mark.kind("neutron")
@pytest.mark.declares("provided")
@pytest.mark.hop("provider", "exists")
def test_bridge_mapping_is_right(network: Network, node: Node, neutron_configs: Configs, ovs_bridges: Bridges) -> None:
    """The agent's bridge_mappings name, for the network's physical network, a bridge that is there.

    Why: where the bridge is not there, the agent ends at its start, and no flow is put back after a restart of the node.
    Remedy: node administrator: correct bridge_mappings in openvswitch_agent.ini, or ovs-vsctl add-br the bridge; restart the agent
    Source: Neutron document, scenario 1, step 1; Neutron configuration reference, [ovs] bridge_mappings
    """
    known = _known(network)
    config = neutron_configs[node]
    bridge, where = config.bridge_for(known.physical_network), ", ".join(config.files)
    shown = ", ".join(":".join(pair) for pair in config.mappings) or "none"
    if not bridge:
        raise Wrong(
            "neutron.mapping_missing", f"{node}: bridge_mappings ({shown}) have no bridge for {known.physical_network}, expected one "
            f"({where})", place=node.name, breaks=_BREAKS,
        )
    if bridge not in ovs_bridges[node]:
        raise Wrong(
            "neutron.mapping_bridge_missing", f"{node}: bridge_mappings ({where}) map {known.physical_network} to {bridge}, and there is "
            f"no such bridge; there are {sorted(ovs_bridges[node])}", place=node.name, breaks=_BREAKS,
        )
    if known.bridge and bridge != known.bridge:
        raise Wrong(
            "neutron.mapping_other_bridge", f"{node}: bridge_mappings map {known.physical_network} to {bridge}, expected to {known.bridge} "
            f"({where})", place=node.name, breaks=_BREAKS,
        )


@pytest.mark.kind("neutron")
@pytest.mark.hop("integration", "exists")
def test_integration_bridge_exists(network: Network, node: Node, ovs_bridges: Bridges) -> None:
    """The integration bridge is there.

    Why: all instances of the node hang on it.
    Remedy: node administrator: restart the OVS agent, which makes it
    Source: Neutron administration guide, Open vSwitch: provider networks
    """
    name = _known(network).integration_bridge
    if name not in ovs_bridges[node]:
        raise Wrong(
            "ovs.bridge_missing", f"{node}: there is no bridge {name} of Open vSwitch; there are {sorted(ovs_bridges[node])}",
            place=node.name, breaks=_BREAKS, remedy=restart("openvswitch"),
        )


@pytest.mark.kind("neutron")
@pytest.mark.declares("provided")
@pytest.mark.hop("uplink", "member")
def test_physical_nic_is_port(
    network: Network, node: Node, ovs_bridges: Bridges, neutron_configs: Configs,
) -> None:
    """The NIC of the physical network is a port of its bridge, and Open vSwitch could open it.

    Why: frames come in and go out by it alone.
    Remedy: node administrator: ovs-vsctl add-port the bridge, the NIC; an address that the host has on the NIC moves to the bridge
    Source: Neutron document, scenario 1, step 2 and scenario 3, steps 2 and 3
    """
    side, nic = seen_side(network, node, ovs_bridges, neutron_configs), network.at(node).uplink
    if side.provider is None:
        return  # another check says so
    port = side.provider.port_of(nic)
    if port is None:
        other = bridge_of(nic, side.bridges)
        where = f"a port of {other.name}" if other else "no port of Open vSwitch"
        raise Wrong(
            "uplink.not_in_bridge", f"{node}: {nic} is {where}; {side.provider_name} has ports {sorted(side.provider.ports)}, expected "
            f"{nic} among them", place=node.name, breaks=_BREAKS,
            remedy=f"ovs-vsctl add-port {side.provider_name} {nic}; an address that the host has on it has to move to the bridge",
        )
    error = next((one.error for one in port.interfaces if one.error and one.name == nic), "")
    if error:
        raise Wrong("uplink.port_error", f"{node}: Open vSwitch cannot use {nic}: {error}", place=node.name, breaks=_BREAKS)


@pytest.mark.kind("neutron")
@pytest.mark.declares("provided")
@pytest.mark.hop("patch", "member")
def test_patch_ports_are_joined(network: Network, node: Node, ovs_bridges: Bridges, neutron_configs: Configs) -> None:
    """The integration bridge and the bridge of the physical network are joined by a pair of patch ports.

    Why: they are the only wire between the instances and the NIC.
    Remedy: node administrator: restart the OVS agent, which makes both
    Source: Neutron document, scenario 3, step 2 (phy-br0); Neutron administration guide, Open vSwitch: provider networks
    """
    side = seen_side(network, node, ovs_bridges, neutron_configs)
    if side.provider is None or side.integration is None or side.outer is not None:
        return
    if is_ovn(side.integration):
        return  # its patch ports are made as they are needed
    patches = [port for bridge in (side.provider, side.integration) for port in bridge.ports.values() if port.kind == "patch"]
    shown = "; ".join(f"{port.name} (peer {peer_of(port) or 'none'})" for port in patches) or "no patch ports at all"
    both = any(peer_of(port) for port in side.provider.ports.values() if port.kind == "patch")
    names = f"int-{side.provider_name}", f"phy-{side.provider_name}"
    wrong = both and all(name in bridge.ports for name, bridge in zip(names, (side.integration, side.provider), strict=True))
    raise Wrong(
        "patch.wrong_peer" if wrong else "patch.missing",
        f"{node}: {side.integration.name} and {side.provider_name} are not joined: {shown}; expected {names[0]} and {names[1]}",
        place=node.name, breaks=_BREAKS, remedy=f"{restart('openvswitch')}; or ovs-vsctl set interface {names[0]} "
        f"type=patch options:peer={names[1]}, and the same of the other",
    )


@pytest.mark.kind("neutron")
@pytest.mark.declares("provided")
@pytest.mark.hop("uplink", "forwards")
def test_openflow_ports_are_up(
    network: Network, node: Node, ovs_bridges: Bridges, neutron_configs: Configs, openflow_ports: By[Node, Table[Table[OpenFlowPort]]],
    ovs_daemons: By[Node, OvsDaemon],
) -> None:
    """Nobody set the NIC's or a patch port down, or kept it from flooding, by OpenFlow.

    Why: such a port shows no fault to ip, and drops all that goes by it.
    Remedy: node administrator: ovs-ofctl mod-port the bridge, the port up (flood, forward, receive)
    Source: ovs-ofctl(8), mod-port; Neutron document, scenario 1, step 2 (config, state)
    """
    side = seen_side(network, node, ovs_bridges, neutron_configs)
    if side.provider is None or not ovs_daemons[node].answers:
        return  # other checks say so
    known = openflow_ports[node].get(side.provider_name, Table[OpenFlowPort]("port", {}))
    nic = side.provider.port_of(network.at(node).uplink)
    ports = [one for port in (nic, side.outer) if port is not None for one in port.interfaces]  # of a bond, its members
    meant = {one.name: one.number for one in ports if not one.error}
    numbered = {one.number: one for one in known.values() if one.number is not None}  # names are cut in OpenFlow
    seen = {name: numbered[number] for name, number in meant.items() if number in numbered}
    off = {name: one.config & {"PORT_DOWN", "NO_FLOOD", "NO_FWD", "NO_RECV"} for name, one in seen.items()}
    shown = ", ".join(f"{name} {' '.join(sorted(words))}" for name, words in off.items() if words)
    if shown:
        raise Wrong(
            "ovs.port_set_off", f"{node}: ports of {side.provider_name} are set off by OpenFlow: {shown}", place=node.name, breaks=_BREAKS,
            remedy=f"ovs-ofctl mod-port {side.provider_name} {next(name for name, words in off.items() if words)} up",
        )
    unseen = [name for name in meant if name not in seen]
    if unseen:
        there = f"{side.provider_name} has {sorted(known)}"
        raise NotSeen(Why.NOT_POSSIBLE, f"{node}: ovs-ofctl shows no port {', '.join(unseen)}, {there}")
