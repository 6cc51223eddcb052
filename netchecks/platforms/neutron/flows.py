"""The flows that a network of Neutron implies, and which routers are on their way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

from netchecks.flowing import attached, make_flow, to_floating, with_samples
from netchecks.models.subjects import Address, Flow, Interface, Inventory, Network, Node

_IPV4 = 4
#: Whom a client without an address asks: RFC 2131 section 4.4.1.
_ALL_SERVERS = ip_address("255.255.255.255")


def flows(network: Network, inventory: Inventory) -> tuple[Flow, ...]:
    """Give what shall work: each VM at its tap, from the DHCP agents and from outside; each gateway from agents and nodes; DHCP."""
    found: list[Flow] = []
    for interface in inventory.interfaces:
        if interface.network == network and interface.vm.runs:
            for address in interface.addresses:
                found.extend(_to_interface(interface, address))
            found.extend(_to_floating(interface, inventory))
    found.extend(_from_agents_to_gateway(network))
    if network.neutron is not None and not network.neutron.is_tunnel:
        for end in network.attachments:
            found.extend(_in_vlan(end.node, network))
    return tuple(with_samples(found))


def _to_interface(interface: Interface, address: Address) -> Iterator[Flow]:
    network = interface.network
    at_tap = make_flow(interface.node, network, "arp" if address.version == _IPV4 else "ndp", address, interface)
    yield replace(at_tap, needs=at_tap.needs - {"uplink"})
    for node, namespace in agents(network):
        if address.version == _IPV4:
            yield from (_from_agent(flow, namespace) for flow in _asking(node, interface, address))
            yield _from_agent(make_flow(node, network, "arp", address, interface), namespace)
    if network.neutron is not None and not network.neutron.is_tunnel and not network.neutron.router:  # behind a router it is translated
        for source in network.probe_from:
            if not attached(source, network):
                yield from (_switched(flow) for flow in _asking(source, interface, address))


def _to_floating(interface: Interface, inventory: Inventory) -> Iterator[Flow]:
    """Give what asks for floating addresses: in by the network that they are of, and through the router."""
    needs = {"switched"} | (set() if interface.node in router_nodes(interface.network) else {"uplink"})
    for flow in to_floating(interface, needs):
        yield replace(flow, external=external_of(flow.target, flow.network, inventory))


def external_of(address: Address, inner: Network, inventory: Inventory) -> Network | None:
    """Give the network that a floating address is of; None where the inventory does not have it.

    Tenants may use the same addresses: a network behind a router is none.
    """
    others = [network for network in inventory.networks if network != inner and not router_nodes(network)]
    return next((network for network in others if any(address in subnet.prefix for subnet in network.subnets)), None)


def router_nodes(network: Network) -> tuple[Node, ...]:
    """Give the nodes that a network's router is on."""
    known = network.neutron
    return tuple(end.node for end in network.attachments if known is not None and end.node.name in known.router_nodes)


def routers_of(flow: Flow) -> tuple[Node, ...]:
    """Give the nodes whose router a flow may pass: of a distributed one that of its VM, or of who asks the gateway.

    A VM on a node that the external network is not on has its floating addresses at a node that it is on.
    """
    nodes, known = router_nodes(flow.network), flow.network.neutron
    if known is None or not known.distributed:
        return nodes
    if is_central(flow):
        return tuple(node for node in nodes if flow.external is not None and attached(node, flow.external)) or nodes
    own = flow.interface.node if flow.interface else flow.source
    return tuple(node for node in nodes if node == own)


def is_central(flow: Flow) -> bool:
    """Tell whether a floating address of a distributed router comes not by its VM's node, as the external network is not there."""
    known, interface = flow.network.neutron, flow.interface
    distributed = known is not None and known.distributed
    return distributed and flow.external is not None and interface is not None and not attached(interface.node, flow.external)


def _asking(source: Node, interface: Interface, address: Address) -> Iterator[Flow]:
    network, headers = interface.network, 28 if address.version == _IPV4 else 48
    if interface.vm.answers_ping:
        yield make_flow(source, network, "icmp", address, interface)
        yield make_flow(source, network, "icmp", address, interface, size=network.mtu - headers)
    yield from (make_flow(source, network, "tcp", address, interface, port=port) for port in interface.vm.tcp)
    yield from (make_flow(source, network, "udp", address, interface, port=port) for port in interface.vm.udp)


def agents(network: Network) -> tuple[tuple[Node, str], ...]:
    """Give the DHCP agents that can be looked at: node and namespace."""
    servers = network.dhcp.servers if network.dhcp else ()
    return tuple((one.node, f"qdhcp-{network.neutron.id}") for one in servers if one.node is not None and network.neutron is not None)


def _switched(flow: Flow) -> Flow:
    """Say that a flow goes through the bridges, which the question at a tap does not."""
    return replace(flow, needs=flow.needs | {"switched"})


def _from_agent(flow: Flow, namespace: str) -> Flow:
    """Give a flow as one that begins in a DHCP agent's namespace: there it is on the segment itself."""
    local = flow.interface is not None and flow.interface.node == flow.source
    needs = (flow.needs | {"switched", "from_agent"}) - {"routed", "own_bridge"} - ({"uplink"} if local else set())
    return replace(flow, name=flow.name.replace("-to-", "-dhcp-to-", 1), namespace=namespace, needs=frozenset(needs))


def _from_agents_to_gateway(network: Network) -> Iterator[Flow]:
    for node, namespace in agents(network):
        for subnet in network.subnets:
            if subnet.gateway is not None and subnet.family == _IPV4:
                yield _from_agent(make_flow(node, network, "arp", subnet.gateway, None), namespace)
                if subnet.gateway_answers_ping:
                    yield _from_agent(make_flow(node, network, "icmp", subnet.gateway, None), namespace)


def _in_vlan(node: Node, network: Network) -> Iterator[Flow]:
    """Give what is asked out of a node's NIC with the network's tag; of a router's node its own router would not hear it."""
    for subnet in network.subnets if node not in router_nodes(network) else ():
        if subnet.gateway is not None and subnet.family == _IPV4:
            yield make_flow(node, network, "arp", subnet.gateway, None)
    served = network.dhcp.servers if network.dhcp else ()
    if network.dhcp and network.dhcp.addresses(_IPV4) and all(server.node != node for server in served):
        needs = frozenset({"ipv4", "dhcp", "uplink", "switched"})
        yield Flow(f"{node}-to-{network}-dhcp-ipv4", node, network, "dhcp", _ALL_SERVERS, needs=needs)
