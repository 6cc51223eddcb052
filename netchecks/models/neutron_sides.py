"""A node's side of a network of Neutron: which of its bridges carry it, by which ports, in which local VLAN."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netchecks.models.neutron import AgentConfig, NeutronNetwork
from netchecks.models.openflow import FlowTable, OpenFlow, Probe
from netchecks.models.openvswitch import DEAD_VLAN, OvsBridge, OvsPort, bridge_of
from netchecks.models.table import Table

_NO_FLOWS = FlowTable({})


@dataclass(frozen=True, slots=True)
class Side:
    """The bridges of a provider network on a node; None where there is no such bridge.

    ``provider_name``: the bridge of the physical network that is meant. ``outer``, ``inner``: the patch ports between the two, on the
    provider bridge and on the integration bridge; None where they are not joined.
    """

    known: NeutronNetwork
    bridges: Table[OvsBridge]
    provider_name: str
    provider: OvsBridge | None
    integration: OvsBridge | None
    outer: OvsPort | None
    inner: OvsPort | None

    def local_ports(self, macs: Iterable[str] = ()) -> tuple[OvsPort, ...]:
        """Give the ports of the integration bridge that are the network's: by what the agent noted, or by the MACs of its guests.

        A subport of a trunk, which is in another network, may have the MAC of its parent: what the agent noted there counts alone.
        """
        own = frozenset(macs)
        ports = self.integration.ports.values() if self.integration else ()
        return tuple(
            port for port in ports
            if port.other_config.get("net_uuid") == self.known.id
            or (any(one.attached_mac in own for one in port.interfaces) and not (port.kind == "patch" and "net_uuid" in port.other_config))
        )


def side_of(known: NeutronNetwork, uplink: str, config: AgentConfig | None, bridges: Table[OvsBridge]) -> Side:
    """Find the bridges: the declared one, that of the agent's mapping, or without either the one that the NIC is in."""
    holds = bridge_of(uplink, bridges)
    name = known.bridge or (config.bridge_for(known.physical_network) if config else "") or (holds.name if holds else "")
    provider, integration = bridges.get(name), bridges.get(known.integration_bridge)
    outer, inner = _joined(provider, integration) if provider and integration else (None, None)
    return Side(known, bridges, name, provider, integration, outer, inner)


def _joined(provider: OvsBridge, integration: OvsBridge) -> tuple[OvsPort | None, OvsPort | None]:
    """Give the pair of ports that joins two bridges: patch ports that name each other, or the veth pair of early releases."""
    for outer in provider.ports.values():
        inner = integration.ports.get(peer_of(outer)) if outer.kind == "patch" else None
        if inner is not None and peer_of(inner) == outer.name:
            return outer, inner
    pair = provider.ports.get(f"phy-{provider.name}"), integration.ports.get(f"int-{provider.name}")
    return pair if all(port is not None and port.kind == "" for port in pair) else (None, None)


def peer_of(port: OvsPort) -> str:
    """Give the port that a patch port says is its other end."""
    return port.first.options.get("peer", "") if port.first else ""


def is_trunk(bridge: OvsBridge) -> bool:
    """Tell whether a bridge is that of a trunk: the parent port's guest is on it, joined with the integration bridge by patch ports.

    The pair of the parent (tpt-..., tpi-...) has no tag on the trunk's bridge, those of its subports (spt-..., spi-...) have theirs.
    Source: Neutron, services/trunk/drivers/openvswitch/utils.py, agent/trunk_manager.py.
    """
    return bridge.name.startswith("tbr-")


def behind_trunk(bridge: OvsBridge, integration: OvsBridge) -> OvsPort | None:
    """Give the port of the integration bridge behind which the parent port of a trunk is; None where nothing joins the two."""
    for port in bridge.ports.values():
        other = integration.ports.get(peer_of(port)) if port.kind == "patch" and not port.name.startswith("spt-") else None
        if other is not None and port.tag is None and peer_of(other) == port.name:
            return other
    return None


def trunk_of(mac: str, bridges: Table[OvsBridge]) -> OvsBridge | None:
    """Give the bridge of the trunk whose parent port has a MAC, by its patch port: the guest's own one may be missing there."""
    for bridge in filter(is_trunk, bridges.values()):
        if any(port.name.startswith("tpt-") and any(one.attached_mac == mac for one in port.interfaces) for port in bridge.ports.values()):
            return bridge
    return None


def is_ovn(integration: OvsBridge | None) -> bool:
    """Tell whether OVN's controller writes the flows of an integration bridge: it has neither local VLANs nor Neutron's agent.

    Source: ovn-controller(8): the patch ports of localnet ports, and what they are marked with.
    """
    ports = integration.ports.values() if integration else ()
    return any(port.name.startswith("patch-br-int-to-") or "ovn-localnet-port" in port.other_config for port in ports) or any(
        "ovn-installed" in one.external_ids for port in ports for one in port.interfaces
    )


@dataclass(frozen=True, slots=True)
class Tables:
    """The flows of the bridges of a side."""

    provider: FlowTable
    integration: FlowTable
    tunnel: FlowTable = _NO_FLOWS


def tables_of(side: Side, tables: Table[FlowTable]) -> Tables:
    """Give the flows of a side's bridges."""
    names = side.provider_name, side.known.integration_bridge, side.known.tunnel_bridge
    return Tables(*(tables.get(name, _NO_FLOWS) for name in names))


def local_vlan(side: Side, tables: Tables, macs: Iterable[str] = ()) -> int | None:
    """Give the VLAN that the network has inside the node, as most of what names it says; None where nothing does.

    What is asked: what the agent noted at the ports and their tags, the flow into it, the flow out of it. One of them that is wrong
    is outvoted.
    """
    votes = Counter(_votes(side, tables, tuple(macs)))
    return votes.most_common(1)[0][0] if votes else None


def _votes(side: Side, tables: Tables, macs: tuple[str, ...]) -> Iterator[int]:
    """Give what each thing says; of as many votes for two VLANs the first counts."""
    yield from _votes_of_flows(side, tables)
    for port in side.local_ports(macs):
        noted = port.other_config.get("tag", "")
        if port.other_config.get("net_uuid") == side.known.id and noted.isdigit():
            yield int(noted)
        if port.tag is not None and port.tag != DEAD_VLAN:
            yield port.tag


def _votes_of_flows(side: Side, tables: Tables) -> Iterator[int]:
    segment = side.known.segment
    if side.known.is_tunnel:
        yield from (flow.sets for flow in tables.tunnel.flows if flow.tunnel == segment and flow.sets)
        return
    for flow in tables.integration.flows:
        if flow.vlan == segment and flow.sets and comes_by(flow, side.inner):
            yield flow.sets
    for flow in tables.provider.flows:
        given = 0 if flow.strips and flow.sets is None else flow.sets
        if flow.vlan and given == segment and comes_by(flow, side.outer):
            yield flow.vlan


def comes_by(flow: OpenFlow, port: OvsPort | None) -> bool:
    """Tell whether a flow is for what comes by a port alone."""
    return port is not None and flow.port in {port.name, str(port.number)}


def packet(port: OvsPort, vlan: int) -> Probe:
    """Give what is known of a packet that comes by a port in a VLAN."""
    return Probe(port.number if port.number is not None else -1, port.name, vlan)
