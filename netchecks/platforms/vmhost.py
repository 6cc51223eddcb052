"""libvirt/KVM hosts: the flows that a switched network implies, and the way each takes.

Source: VMmanager knowledge base, "Коммутация": the uplink and the VMs' taps are ports of one bridge.
"""

from __future__ import annotations

from collections.abc import Iterator

from netchecks.flowing import attached, make_flow, make_hop, to_interface
from netchecks.models.hops import Hop
from netchecks.models.subjects import Address, Flow, Interface, Inventory, Network, Node, Subnet
from netchecks.platform import Flows, Platform, register
from netchecks.taps import tap_of

__all__ = ["PLATFORM", "flows", "has_address", "hops", "senders", "tap_of"]


def flows(network: Network, inventory: Inventory) -> tuple[Flow, ...]:
    """Give what shall work on a network: each VM by ARP or NDP, ping and its ports; each node's gateway."""
    found: list[Flow] = []
    for interface in inventory.interfaces:
        if interface.network == network and interface.vm.runs:
            for address in interface.addresses:
                found.extend(to_interface(interface, address, senders(network, interface.node, address)))
    for end in network.attachments:
        for subnet in network.subnets:
            found.extend(_to_gateway(end.node, network, subnet))
    return tuple(found)


def _to_gateway(node: Node, network: Network, subnet: Subnet) -> Iterator[Flow]:
    if subnet.gateway is not None:
        yield make_flow(node, network, "arp" if subnet.family == 4 else "ndp", subnet.gateway, None)  # noqa: PLR2004
        if subnet.gateway_answers_ping and has_address(node, network, subnet.gateway):
            yield make_flow(node, network, "icmp", subnet.gateway, None)


def senders(network: Network, node: Node, address: Address) -> tuple[Node, ...]:
    """Give who may ask: the network's ``probe_from``, and the VM's node where it has an address in the subnet.

    Where that is nobody, the VM's node asks by whatever route it has.
    """
    own = (node,) if has_address(node, network, address) else ()
    others = tuple(source for source in network.probe_from if source not in own)
    return own + others or (node,)


def has_address(node: Node, network: Network, address: Address) -> bool:
    """Tell whether the inventory gives the node an address in the same subnet."""
    prefixes = [subnet.prefix for subnet in network.subnets if address in subnet.prefix]
    return any(own.ip in prefix for link in node.links for own in link.addresses for prefix in prefixes)


def hops(flow: Flow, flows_of: Flows) -> tuple[Hop, ...]:
    """Give the way of a flow, in the order of its packet."""
    source, network, interface = flow.source, flow.network, flow.interface
    end = interface.node if interface else None
    way = [make_hop("sender", source.name, flow, ("node", source.name), *flows_of.from_source(flow))]
    if attached(source, network):
        way += _side(source, flow, *(("bridge",) if source == end else ("bridge", "uplink")))
    elif interface:
        way.append(_gateway(flow, flows_of))
    if source != end:
        way.append(make_hop("fabric", network.name, flow))
    if interface is None:
        return (*way, _gateway(flow, flows_of))
    way.append(make_hop("node", interface.node.name, flow, ("node", interface.node.name)))
    if source != end:
        way += _side(interface.node, flow, "uplink", "bridge")
    return (*way, *_guest(interface, flow, flows_of))


def _side(node: Node, flow: Flow, *names: str) -> list[Hop]:
    end = flow.network.at(node)
    devices = {"uplink": end.uplink, "bridge": end.bridge}
    return [make_hop(name, node.name, flow, ("node", node.name), ("link", f"{node}:{devices[name]}")) for name in names]


def _gateway(flow: Flow, flows_of: Flows) -> Hop:
    asked: set[tuple[str, str]] = set()
    for subnet in flow.network.subnets:
        if subnet.gateway is not None and subnet.family == flow.family:
            asked |= flows_of.to_gateway(flow, subnet.gateway)
    return make_hop("gateway", flow.network.name, flow, *asked)


def _guest(interface: Interface, flow: Flow, flows_of: Flows) -> tuple[Hop, Hop]:
    about = (("interface", interface.name), ("vm", interface.vm.name), ("node", interface.node.name))
    tap = make_hop("tap", interface.node.name, flow, *about)
    return (tap, make_hop("guest", interface.vm.name, flow, *about, *flows_of.like(flow)))


PLATFORM = register(Platform("vmhost", frozenset({"switching"}), flows, hops))
