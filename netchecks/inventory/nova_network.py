"""A network's nova stanza: from what is written to what it means, and what must not contradict itself in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from netchecks.inventory.entries import DatabaseEntry, NetworkEntry, NovaEntry, VmEntry
from netchecks.inventory.problems import listed
from netchecks.inventory.site import Object, Site
from netchecks.models.nova_network import CredentialsFrom, DeclaredDatabase, DeclaredNova, Manager
from netchecks.models.subjects import Address, Attachment, DeclaredDhcpServer, Dhcp, Interface, Network, Prefix

KIND = "nova-network"
_IPV4 = 4


def nova_of(network: Object[NetworkEntry], attachments: tuple[Attachment, ...], site: Site) -> DeclaredNova | None:
    """Give how nova manages the network; nova's own defaults where the stanza is left out. None for another kind."""
    entry = network.written.nova
    if network.written.kind != KIND:
        if entry is not None:
            site.problems.add(network.place("nova"), f"found 'nova' of a network of the kind {network.written.kind!r}, expected {KIND}")
        return None
    entry = entry or NovaEntry()
    _check_host(network, entry, attachments, site)
    return DeclaredNova(
        cast("Manager", entry.manager), entry.multi_host, entry.host, entry.public_interface,
        _database(network, entry.database, site) if entry.database else None,
    )


def _check_host(network: Object[NetworkEntry], entry: NovaEntry, attachments: tuple[Attachment, ...], site: Site) -> None:
    names = [end.node.name for end in attachments]
    if entry.multi_host and entry.host:
        message = f"found the host {entry.host!r} of a network with multi_host, expected one of the two"
        site.problems.add(network.place("nova", "host"), message)
    elif not entry.multi_host and entry.host not in names and network.name not in site.unsure:
        found = f"found the host {entry.host!r}" if entry.host else "found no host"
        message = f"{found} of a network without multi_host, expected one of its nodes: {listed(names)}"
        site.problems.add(network.place("nova", "host"), message)


def _database(network: Object[NetworkEntry], entry: DatabaseEntry, site: Site) -> DeclaredDatabase | None:
    """Give the database, noting where its credentials do not come from exactly one place."""
    given = {"node": entry.node, "option_file": entry.option_file, "environment": entry.environment}
    named = [name for name, value in given.items() if value]
    place = network.place("nova", "database")
    if len(named) != 1:
        shown = f"found {' and '.join(named)}" if named else "found none"
        site.problems.add(place, f"{shown}, expected one place for the credentials: node, option_file or environment", "credentials")
        return None
    if entry.environment and not entry.address:
        site.problems.add(place, "found no address of the database, expected one where its credentials come from the environment")
    if entry.node:
        site.look_up(site.nodes, entry.node, "node", network.place("nova", "database", "node"))
    source = "config" if entry.node else named[0]
    value = entry.config if entry.node else given[named[0]]
    if entry.option_file:
        path = Path(value).expanduser()
        value = str(path if path.is_absolute() else Path(place.file).absolute().parent / path)
    return DeclaredDatabase(cast("CredentialsFrom", source), value, entry.node, entry.address, entry.port, entry.name)


def nova_dhcp(network: Object[NetworkEntry], attachments: tuple[Attachment, ...]) -> Dhcp | None:
    """Give the DHCP servers that nova starts: dnsmasq on each node, or on the network host; they serve only whom they know."""
    written = network.written
    entry = written.nova or NovaEntry()
    if written.kind != KIND or entry.manager == "flat":
        return None
    ends = [end for end in attachments if entry.multi_host or end.node.name == entry.host]
    prefixes = [subnet.cidr for subnet in written.subnets]
    servers = tuple(DeclaredDhcpServer(_own(end, prefixes), end.node) for end in ends)
    return Dhcp(servers, known_only=True, implied=True) if servers else None


def _own(end: Attachment, prefixes: Sequence[Prefix]) -> tuple[Address, ...]:
    """Give the addresses that a node shall have on the network's bridge."""
    found = (address for link in end.node.links if link.name == end.bridge for address in link.addresses)
    return tuple(address.ip for address in found if address.network in prefixes)


def check_nova(network: Network, written: Object[NetworkEntry], site: Site) -> None:
    """Note a VlanManager without a VLAN: each of its networks has one."""
    if network.nova is not None and network.nova.manager == "vlan" and network.vlan is None and "vlan" not in written.damaged:
        site.problems.add(written.place("nova", "manager"), f"the network {network.name!r} has no 'vlan', expected one with VlanManager")


def check_floating(interface: Interface, vm: Object[VmEntry], index: int, site: Site) -> None:
    """Note floating addresses where nothing translates them, and those that cannot be."""
    nova, neutron = interface.network.nova, interface.network.neutron
    for at, address in enumerate(interface.floating):
        place = vm.place("interfaces", index, "floating", at)
        if nova is None and neutron is None:
            message = f"found a floating address on {interface.network.name!r}, expected that of a {KIND} network, or of one of Neutron"
            site.problems.add(place, message)
        elif neutron is not None and not (neutron.router or neutron.router_nodes):
            message = f"found a floating address, expected 'router' in the neutron stanza of {interface.network.name!r}"
            site.problems.add(place, message, "router")
        elif address.version != _IPV4:
            site.problems.add(place, f"found '{address}', expected an IPv4 address: no others are translated")
        elif nova is not None and not nova.public_interface:
            message = f"found a floating address, expected 'public_interface' in the nova stanza of {interface.network.name!r}"
            site.problems.add(place, message, "public interface")
        elif not any(own.version == _IPV4 for own in interface.addresses):
            site.problems.add(place, f"found a floating address of {interface.name!r}, which has no IPv4 address that it may become")
