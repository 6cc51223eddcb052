"""What must not contradict itself: addresses and subnets, names, MACs and addresses that occur twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from netchecks.inventory.entries import NetworkEntry, VmEntry
from netchecks.inventory.neutron import check_neutron
from netchecks.inventory.nova_network import check_floating, check_nova
from netchecks.inventory.problems import listed
from netchecks.inventory.site import Object, Site
from netchecks.inventory.tree import Place
from netchecks.models.subjects import Address, Interface, Network, Prefix, Subnet

#: Kinds that are nothing without a bridge of the node's own.
_BRIDGED = frozenset({"switching", "nova-network"})
#: IPv6 needs this MTU (RFC 8200 §5).
SMALLEST_IPV6_MTU = 1280
#: Kinds whose VMs are on one segment with their gateway.
_SEGMENTS = frozenset({"switching", "nova-network", "neutron"})
#: From these prefix lengths on, the first and last address are hosts (RFC 3021, RFC 6164).
_FIRST_WITHOUT_NETWORK_ADDRESS = {4: 31, 6: 127}


def check(site: Site) -> None:
    """Note every contradiction between the objects of an inventory."""
    for name, written in site.written_networks.items():
        network = site.networks[name]
        if network is not None:
            _check_network(network, written, site)
    for interface, vm, index in site.interfaces:
        _check_addresses(interface, vm, index, site)
        check_floating(interface, vm, index, site)
    _check_connections(site)
    _check_twice(site)


def _check_network(network: Network, written: Object[NetworkEntry], site: Site) -> None:
    _check_bridges(network, written, site)
    check_neutron(network, written, site)
    _check_dhcp(network, written, site)
    check_nova(network, written, site)
    seen: list[tuple[Prefix, Place]] = []
    for index, subnet in enumerate(network.subnets):
        place = written.place("subnets", index, "cidr")
        for other, first in seen:
            if other.version == subnet.prefix.version and other.overlaps(subnet.prefix):
                site.problems.add(place, f"found '{subnet.prefix}', which overlaps '{other}' at {first}", "overlap")
        seen.append((subnet.prefix, place))
        _check_gateway(network, subnet, written, index, site)
    if network.mtu < SMALLEST_IPV6_MTU and any(subnet.family == 6 for subnet in network.subnets):  # noqa: PLR2004 - IPv6
        message = f"found '{network.mtu}', expected at least {SMALLEST_IPV6_MTU}: the network has an IPv6 subnet"
        site.problems.add(written.place("mtu"), message)


def _check_bridges(network: Network, written: Object[NetworkEntry], site: Site) -> None:
    """Note a switching network without a bridge: it is nothing else."""
    lacking = [attachment.node.name for attachment in network.attachments if not attachment.bridge]
    if site.complete and network.kind in _BRIDGED and lacking and not written.damaged & {"bridge", "nodes"}:
        place = written.place("bridge") if "bridge" in written.own else written.key.place
        message = f"the {network.kind} network {network.name!r} names no bridge on {listed(lacking)}, expected the field 'bridge'"
        site.problems.add(place, message)
    for attachment in network.attachments:
        if attachment.bridge and attachment.bridge == attachment.uplink:
            message = f"found {attachment.uplink!r}, which is the bridge itself, expected a port of it"
            site.problems.add(written.place("uplink"), message, "uplink")


def _check_gateway(network: Network, subnet: Subnet, written: Object[NetworkEntry], index: int, site: Site) -> None:
    """Note a gateway that the subnet's hosts cannot have; where VMs are routed, it may be anywhere on the link."""
    gateway, place = subnet.gateway, written.place("subnets", index, "gateway")
    if gateway is None:
        return
    if gateway.version != subnet.family:
        site.problems.add(place, f"found '{gateway}', expected an IPv{subnet.family} address: the subnet is {subnet.prefix}")
    elif network.kind in _SEGMENTS and gateway not in subnet.prefix and not gateway.is_link_local:
        site.problems.add(place, f"found '{gateway}', expected an address inside its subnet {subnet.prefix}")
    elif network.kind in _SEGMENTS and _is_end(gateway, subnet.prefix):
        site.problems.add(place, _end(gateway, subnet.prefix))


def _check_dhcp(network: Network, written: Object[NetworkEntry], site: Site) -> None:
    """Note what no server or router of the network can send from, and what none may offer."""
    for index, server in enumerate(network.dhcp.servers if network.dhcp else ()):
        for at, address in enumerate(server.addresses):
            _check_link_local(address, written.place("dhcp", "servers", index, "addresses", at), site)
        if not server.addresses and written.written.dhcp and "dhcp" not in written.damaged:
            message = "found a DHCP server without an address, expected those that it sends from"
            site.problems.add(written.place("dhcp", "servers", index), message)
    for index, some in enumerate(network.dhcp.ranges if network.dhcp else ()):
        if not any(some.first in subnet.prefix and some.last in subnet.prefix for subnet in network.subnets):
            listing = listed([str(subnet.prefix) for subnet in network.subnets])
            message = f"found '{some}', expected a range inside a subnet of the network {network.name!r}: {listing}"
            site.problems.add(written.place("dhcp", "ranges", index), message)
    for index, router in enumerate(written.written.advertised.routers if written.written.advertised else ()):
        place = written.place("advertised", "routers", index)
        _check_link_local(router, place, site)
        if router.version != 6:  # noqa: PLR2004 - IPv6
            site.problems.add(place, f"found '{router}', expected the link-local IPv6 address that the router sends from")


def _check_link_local(address: Address, place: Place, site: Site) -> None:
    """Note an IPv6 address that no such message comes from (RFC 4861 section 4.2, RFC 8415 section 18.3)."""
    if address.version == 6 and not address.is_link_local:  # noqa: PLR2004 - IPv6
        site.problems.add(place, f"found '{address}', expected the link-local address (fe80::...) that it sends from")


def _is_end(address: Address, prefix: Prefix) -> bool:
    """Tell whether an address is one that no host of the subnet can have."""
    if address not in prefix or prefix.prefixlen >= _FIRST_WITHOUT_NETWORK_ADDRESS[prefix.version]:
        return False
    return address == prefix.network_address or (isinstance(prefix, IPv4Network) and address == prefix.broadcast_address)


def _end(address: Address, prefix: Prefix) -> str:
    return f"found '{address}', which is the network's or the broadcast address of {prefix}, expected a host's"


def _check_addresses(interface: Interface, vm: Object[VmEntry], index: int, site: Site) -> None:
    """Note addresses that the network's subnets do not have."""
    network = interface.network
    prefixes = [subnet.prefix for subnet in network.subnets]
    if not prefixes or "subnets" in site.written_networks[network.name].damaged:
        return
    for at, address in enumerate(interface.addresses):
        place = vm.place("interfaces", index, "addresses", at)
        inside = [prefix for prefix in prefixes if address in prefix]
        if not inside:
            message = f"found '{address}', expected an address of the network {network.name!r}: {listed(map(str, prefixes))}"
            site.problems.add(place, message, "outside")
        elif network.kind in _SEGMENTS and _is_end(address, inside[0]):
            site.problems.add(place, _end(address, inside[0]), "end")


def _check_connections(site: Site) -> None:
    """Note two nodes that are one machine: every check would be made twice, under two names."""
    seen: dict[tuple[object, ...], tuple[str, Place]] = {}
    for name, written in site.written_nodes.items():
        node = site.nodes[name]
        if node is None or node.connection.backend == "local":
            continue
        way = node.connection
        key = (way.backend, way.address, way.port, way.jump, way.ssh_config, way.user if way.backend == "kubectl" else "")
        if key in seen:
            first, place = seen[key]
            message = f"found '{way.address}', which is the address of {first!r} at {place}"
            site.problems.add(written.place("address"), message, "same machine")
        seen.setdefault(key, (name, written.place("address")))


@dataclass(frozen=True, slots=True)
class _Use:
    """A thing that only one may have: what, within what, whose, where.

    ``scope`` empty: in the whole inventory. ``shared``: it may stand beside one that is there already.
    """

    what: str
    value: str
    scope: str
    whose: str
    place: Place
    shared: bool = False


def _check_twice(site: Site) -> None:
    """Note MACs, addresses, taps, domains and interface names that two have."""
    seen: dict[tuple[str, str, str], _Use] = {}
    for use in _uses(site):
        key = (use.what, use.value, use.scope)
        first = seen.setdefault(key, use)
        if first is not use and not use.shared:
            message = f"found the {use.what} '{use.value}' of {use.whose}, which {first.whose} has at {first.place}"
            site.problems.add(use.place, message, f"{use.what} twice")


def _uses(site: Site) -> Iterator[_Use]:
    for name, written in site.written_networks.items():
        network = site.networks[name]
        if network is not None:
            yield from _uses_of_network(network, written)
    for name, vm in site.written_vms.items():
        domain = vm.written.domain or name
        yield _Use("domain", domain, vm.written.node, repr(name), vm.place("domain"))
        if len(vm.written.interfaces) != 1:
            yield _Use("name", name, "interfaces", f"the VM {name!r}", vm.key.place)
    for interface, vm, index in site.interfaces:
        yield from _uses_of_interface(interface, vm, index)


def _uses_of_network(network: Network, written: Object[NetworkEntry]) -> Iterator[_Use]:
    """Give what the nodes have on the network's bridges. Several nodes may: as a gateway that is everywhere."""
    for attachment in network.attachments:
        for link in attachment.node.links:
            for onlink in link.addresses if link.name == attachment.bridge else ():
                whose = f"{link.name!r} of the node {attachment.node.name!r}"
                yield _Use("address", str(onlink.ip), _scope(network, onlink.ip), whose, written.key.place, shared=True)


def _uses_of_interface(interface: Interface, vm: Object[VmEntry], index: int) -> Iterator[_Use]:
    whose = repr(interface.name)
    yield _Use("name", interface.name, "interfaces", f"an interface of {vm.name!r}", vm.key.place)
    if interface.mac:
        yield _Use("MAC", interface.mac, "", whose, vm.place("interfaces", index, "mac"))
    if interface.tap:
        yield _Use("tap", interface.tap, interface.node.name, whose, vm.place("interfaces", index, "tap"))
    for at, address in enumerate(interface.addresses):
        place = vm.place("interfaces", index, "addresses", at)
        yield _Use("address", str(address), _scope(interface.network, address), whose, place)
    for at, address in enumerate(interface.floating):
        yield _Use("floating address", str(address), "", whose, vm.place("interfaces", index, "floating", at))


def _scope(network: Network, address: Address) -> str:
    """Networks that both have a subnet for an address are separate worlds; without subnets there is one world."""
    return network.name if any(address in subnet.prefix for subnet in network.subnets) else ""
