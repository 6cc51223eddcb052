"""What platforms have in common: a flow with its name and needs, and who asks whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice, zip_longest

from netchecks.models.hops import Hop
from netchecks.models.subjects import Address, Flow, Interface, Network, Node, Protocol
from netchecks.platform import Flows

#: IPv4 header 20 + ICMP header 8; IPv6 header 40 + ICMPv6 header 8 (RFC 791, RFC 8200).
HEADERS = {4: 28, 6: 48}
#: VMs of a network that a row of packets is sent to, from each source: 33 packets a second to each, for some 1.3 seconds.
SAMPLES = 100


def to_interface(interface: Interface, address: Address, senders: Iterable[Node]) -> Iterator[Flow]:
    """Give what shall work to an address of a VM: ARP or NDP from its node, ping and its ports from each sender."""
    network = interface.network
    yield make_flow(interface.node, network, "arp" if address.version == 4 else "ndp", address, interface)  # noqa: PLR2004
    for source in senders:
        if interface.vm.answers_ping:
            yield make_flow(source, network, "icmp", address, interface)
            yield make_flow(source, network, "icmp", address, interface, size=network.mtu - HEADERS[address.version])
        for port in interface.vm.tcp:
            yield make_flow(source, network, "tcp", address, interface, port=port)
        for port in interface.vm.udp:
            yield make_flow(source, network, "udp", address, interface, port=port)


def make_flow(  # noqa: PLR0913 - the five-tuple of a flow and its size
    source: Node,
    network: Network,
    protocol: Protocol,
    target: Address,
    interface: Interface | None,
    *,
    port: int | None = None,
    size: int | None = None,
) -> Flow:
    """Give a flow; its needs say what its way has to carry."""
    what = f"{protocol}{port or ''}" + ("-full" if size else "")
    to = interface.name if interface else f"gateway-{network}"
    name = f"{source}-to-{to}-{what}-ipv{target.version}"
    same = [address for address in interface.addresses if address.version == target.version] if interface else []
    if target in same[1:]:
        name += f"-{same.index(target) + 1}"
    needs = {f"ipv{target.version}", "arp" if target.version == 4 else "ndp", protocol}  # noqa: PLR2004
    needs |= {f"{protocol}{port}"} if port else set()
    needs |= {"full_size"} if size else set()
    needs |= {"unicast"} if protocol not in {"arp", "ndp"} else set()
    needs |= {"own_bridge"} if attached(source, network) else {"routed"}
    needs |= {"uplink"} if interface is None or interface.node != source else set()
    return Flow(name, source, network, protocol, target, interface, port, size, needs=frozenset(needs))


def to_floating(interface: Interface, needs: Iterable[str], external: Network | None = None) -> Iterator[Flow]:
    """Give ping and the TCP ports of each floating address, from outside: what is translated on the way. ``needs``: more of them."""
    fixed = next((address for address in interface.addresses if address.version == 4), None)  # noqa: PLR2004 - IPv4
    ports = [*([None] if interface.vm.answers_ping else []), *interface.vm.tcp]
    for number, floating in enumerate(interface.floating if fixed else ()):
        for source in interface.network.probe_from:
            for port in ports:
                made = make_flow(source, interface.network, "tcp" if port else "icmp", floating, interface, port=port)
                name = f"{source}-to-{interface}-floating{f'-{number + 1}' if number else ''}-{made.protocol}{port or ''}"
                more = (made.needs - {"uplink", "own_bridge"}) | {"routed", "floating", *needs}
                yield replace(made, name=name, needs=more, translated=fixed, external=external)


def attached(node: Node, network: Network) -> bool:
    """Tell whether a node is on a network."""
    return any(end.node == node for end in network.attachments)


def make_hop(name: str, place: str, flow: Flow, *about: tuple[str, str]) -> Hop:
    """Give a hop of a flow; states of the flow itself and of its network are states of each of its hops."""
    return Hop(name, place, frozenset({("flow", flow.name), ("network", flow.network.name), *about}))


def gateway_hop(flow: Flow, flows_of: Flows) -> Hop:
    """Give the gateway of a flow's network: whether others get an answer of it is one of its states."""
    asked: set[tuple[str, str]] = set()
    for subnet in flow.network.subnets:
        if subnet.gateway is not None and subnet.family == flow.family:
            asked |= flows_of.to_gateway(flow, subnet.gateway)
    return make_hop("gateway", flow.network.name, flow, *asked)


def guest_hops(interface: Interface, flow: Flow, flows_of: Flows) -> tuple[Hop, Hop]:
    """Give the tap of a VM and its guest, about which all flows to it tell something."""
    about = (("interface", interface.name), ("vm", interface.vm.name), ("node", interface.node.name))
    tap = make_hop("tap", interface.node.name, flow, *about)
    return (tap, make_hop("guest", interface.vm.name, flow, *about, *flows_of.like(flow)))


def with_samples(flows: list[Flow]) -> Iterator[Flow]:
    """Mark the flows along which a row of packets is sent: ping and the first TCP port of a VM's first address, of a bounded number."""
    by_node: dict[str, dict[str, None]] = {}
    for flow in flows:
        if flow.interface:
            by_node.setdefault(flow.interface.node.name, {})[flow.interface.name] = None
    in_turn = (name for some in zip_longest(*by_node.values()) for name in some if name)  # some of every node
    chosen = set(islice(in_turn, SAMPLES))
    for flow in flows:
        one = flow.interface
        first = one is not None and one.name in chosen and flow.target == one.addresses[0] and flow.size is None
        kind = flow.protocol == "icmp" or (one is not None and flow.protocol == "tcp" and flow.port == one.vm.tcp[0])
        yield replace(flow, sampled=True) if first and kind else flow
