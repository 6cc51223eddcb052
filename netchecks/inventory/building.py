"""From what is written to subjects: every reference resolved, or noted as a mistake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv6Address, ip_network
from pathlib import Path
from typing import Any, TypeVar

from netchecks.inventory.entries import DhcpEntry, InterfaceEntry, NetworkEntry, NodeEntry, RouteEntry, SubnetEntry, VmEntry, WayEntry
from netchecks.inventory.gathering import Gathered
from netchecks.inventory.neutron import neutron_of
from netchecks.inventory.nova_network import nova_dhcp, nova_of
from netchecks.inventory.problems import Problems
from netchecks.inventory.site import Object, Site, objects
from netchecks.inventory.tree import Mapping, find
from netchecks.models.subjects import (
    Advertised,
    Attachment,
    Connection,
    DeclaredDhcpServer,
    DeclaredLink,
    DeclaredPlatform,
    DeclaredRoute,
    Dhcp,
    Guest,
    Interface,
    Network,
    Node,
    Prefix,
    Subnet,
    Vm,
)

W = TypeVar("W", bound=WayEntry)

#: Backends that log in by SSH: their address is a host and takes a port, a user and a jump host.
_SSH = frozenset({"ssh", "safe-ssh", "paramiko"})
#: Of the connection ``local`` these would say nothing.
_NOT_LOCAL = ("address", "port", "user", "jump", "identity", "ssh_config")


def site_of(written: Gathered, problems: Problems, *, complete: bool = True) -> Site:
    """Give nodes, networks, VMs and interfaces. Not ``complete``: what is not there may be in a file that could not be read."""
    site = Site(problems, complete)
    site.written_nodes = objects(NodeEntry, written.nodes, problems)
    site.written_networks = objects(NetworkEntry, written.networks, problems)
    site.written_vms = objects(VmEntry, written.vms, problems)
    site.nodes = {stanza.name: None for stanza in written.nodes}
    site.nodes.update((name, _node(node, site)) for name, node in site.written_nodes.items())
    site.networks = {stanza.name: None for stanza in written.networks}
    site.networks.update((name, _network(network, site)) for name, network in site.written_networks.items())
    site.vms = {stanza.name: None for stanza in written.vms}
    for name, vm in site.written_vms.items():
        site.vms[name] = _vm(vm, site)
    return site


def _node(node: Object[NodeEntry], site: Site) -> Node:
    written = node.written
    return Node(
        name=node.name,
        connection=_connection(node, site),
        roles=frozenset(written.roles),
        links=tuple(DeclaredLink(name, link.addresses, link.speed) for name, link in written.links.items()),
        routes=tuple(route for index, entry in enumerate(written.routes) for route in _route(node, index, entry, site.problems)),
        services=written.services,
        tools=written.tools,
        names_inside=written.names_inside,
        names_outside=written.names_outside,
        sysctl=tuple(written.sysctl.items()),
        platform=_platform(node, site),
    )


def _platform(node: Object[NodeEntry], site: Site) -> DeclaredPlatform | None:
    """Give the platform that runs on the node, noting nodes that there are not."""
    written = node.written.platform
    if written is None:
        return None
    if written.prefix and written.prefix[0].startswith("-"):
        site.problems.add(node.place("platform", "prefix", 0), f"found '{written.prefix[0]}', expected a command such as docker")
    if written.nodes is None:
        return DeclaredPlatform(written.name, written.prefix)
    names: list[str] = []
    for index, text in enumerate(written.nodes):
        place = node.place("platform", "nodes", index)
        for name in site.names(text, place):
            site.look_up(site.nodes, name, "node", place)
            names.append(name)
    return DeclaredPlatform(written.name, written.prefix, tuple(dict.fromkeys(names)))


def _connection(node: Object[W], site: Site) -> Connection:
    written = node.written
    if written.connection == "local":
        for name in sorted(node.own.intersection(_NOT_LOCAL)):
            message = f"found {name!r}, but the connection is local: this machine, as the user who runs netchecks"
            site.problems.add(find(node.tree, (name,)).key.place, message)
        return Connection("local", sudo=written.sudo)
    address = written.address or node.name
    if written.connection in _SSH:
        _check_host(address, node, site.problems)
    return Connection(
        backend=written.connection,
        address=address,
        user=written.user,
        port=written.port,
        jump=_jump(node, site),
        sudo=written.sudo,
        identity=_path(node, "identity"),
        ssh_config=_path(node, "ssh_config"),
    )


def _check_host(address: str, node: Object[W], problems: Problems) -> None:
    """Note what ssh would not take for one host."""
    place = node.place("address")
    if "@" in address and "address" in node.own:
        problems.add(place, f"found {address!r}, expected a host alone; the user stands in the field 'user'")
    elif ":" in address and not _is_ipv6(address):
        problems.add(place, f"found {address!r}, expected a host alone; a port stands in the field 'port', IPv6 without brackets")
    elif not all(sign.isalnum() or sign in "._:%@+~-" for sign in address):
        problems.add(place, f"found {address!r}, expected an IP address or a host name")


def _is_ipv6(address: str) -> bool:
    try:
        IPv6Address(address)
    except ValueError:
        return False
    return True


def _path(node: Object[W], name: str) -> str:
    """Give a path as seen from the file that names it."""
    text = str(getattr(node.written, name))
    if not text:
        return ""
    path = Path(text)
    with suppress(RuntimeError):  # no such home: ssh will say so
        path = path.expanduser()
    return str(path if path.is_absolute() else Path(node.place(name).file).absolute().parent / path)


def _jump(node: Object[W], site: Site) -> str:
    """Give what ``ssh -J`` takes: a node of the inventory becomes its address, with the way to it before it."""
    hops: list[str] = []
    here: Object[Any] = node
    seen = {node.name} & site.written_nodes.keys()
    while here.written.jump:
        after = site.written_nodes.get(here.written.jump)
        if after is None:
            return ",".join([here.written.jump, *hops])
        if after.name in seen:
            message = f"found {node.written.jump!r}, but the way to it leads in a circle over {after.name!r}"
            site.problems.add(node.place("jump"), message)
            return ""
        seen.add(after.name)
        hops.insert(0, _destination(after))
        here = after
    return ",".join(hops)


def _destination(node: Object[NodeEntry]) -> str:
    """Give a node in the form of ``ssh -J``."""
    written = node.written
    host = written.address or node.name
    host = f"[{host}]" if ":" in host else host
    return f"{written.user}@{host}"[0 if written.user else 1 :] + (f":{written.port}" if written.port else "")


def _route(node: Object[NodeEntry], index: int, entry: RouteEntry, problems: Problems) -> Iterator[DeclaredRoute]:
    place = node.place("routes", index)
    if entry.via is None and not entry.dev:
        problems.add(place, "found a route without 'via' and 'dev', expected at least one of them")
        return
    to = _to(entry)
    if entry.via is not None and entry.via.version < to.version:
        problems.add(node.place("routes", index, "via"), f"found '{entry.via}', expected an IPv6 gateway for {to}")
    yield DeclaredRoute(to, entry.via, entry.dev)


def _to(entry: RouteEntry) -> Prefix:
    """Give where a route leads. The family of ``default`` is the gateway's, IPv4 where there is none."""
    if not isinstance(entry.to, str):
        return entry.to
    return ip_network("::/0" if entry.via is not None and entry.via.version == 6 else "0.0.0.0/0")  # noqa: PLR2004 - IPv6


def _network(network: Object[NetworkEntry], site: Site) -> Network:
    written = network.written
    if not written.kind:
        site.note_lack(network, "kind")
    attachments = _attachments(network, site)
    site.members[network.name] = frozenset(attachment.node.name for attachment in attachments)
    return Network(
        name=network.name,
        kind=written.kind,
        attachments=attachments,
        subnets=tuple(_subnet(entry) for entry in written.subnets),
        mtu=written.mtu,
        vlan=written.vlan,
        resolvers=written.resolvers,
        probe_from=_probe_from(network, site),
        dhcp=_dhcp(network, written.dhcp, site) if written.dhcp else nova_dhcp(network, attachments),
        advertised=Advertised(frozenset(told.routers), told.managed, told.other) if (told := written.advertised) else None,
        routers=_routers(network, attachments, site),
        outside=written.outside,
        neutron=neutron_of(network, attachments, site),
        nova=(nova := nova_of(network, attachments, site)),
        database_way=_way_to(nova.database.node, site) if nova and nova.database else None,
    )


def _way_to(name: str, site: Site) -> Connection | None:
    node = site.nodes.get(name)
    return node.connection if node else None


def _dhcp(network: Object[NetworkEntry], entry: DhcpEntry, site: Site) -> Dhcp:
    servers: list[DeclaredDhcpServer] = []
    for index, server in enumerate(entry.servers):
        place = network.place("dhcp", "servers", index, "node")
        node = site.look_up(site.nodes, server.node, "node", place) if server.node else None
        if node and any(node == other.node for other in servers):
            site.problems.add(place, f"found the node {node.name!r} again, expected all addresses of its server in one place", "node again")
        servers.append(DeclaredDhcpServer(server.addresses, node, server.log))
    return Dhcp(tuple(servers), entry.ranges, entry.known_only)


def _subnet(entry: SubnetEntry) -> Subnet:
    return Subnet(entry.cidr, entry.gateway, frozenset(entry.gateway_macs), entry.gateway_answers_ping)


def _attachments(network: Object[NetworkEntry], site: Site) -> tuple[Attachment, ...]:
    """Give the nodes that the network is on: those named, else every hypervisor."""
    written = network.written
    if _unsure(network, site):
        site.unsure.add(network.name)
    hypervisors = (node for node in site.nodes.values() if node is not None and "hypervisor" in node.roles)
    everywhere = (Attachment(node, written.bridge, written.uplink) for node in hypervisors)
    found = tuple(everywhere if written.nodes is None else _named_attachments(network, site))
    if site.complete and not found and network.name not in site.unsure:
        message = f"the network {network.name!r} is on no node, expected 'nodes', or nodes of the role hypervisor"
        site.problems.add(network.place("nodes"), message)
    return found


def _unsure(network: Object[NetworkEntry], site: Site) -> bool:
    """Tell whether a mistake told already leaves open on which nodes the network is."""
    return (
        "nodes" in network.damaged
        or None in site.nodes.values()
        or (network.written.nodes is None and any("roles" in node.damaged for node in site.written_nodes.values()))
    )


def _named_attachments(network: Object[NetworkEntry], site: Site) -> Iterator[Attachment]:
    written = network.written
    seen: set[str] = set()
    for index, entry in enumerate(written.nodes or ()):
        place = network.place("nodes", index)
        for node in site.look_up_nodes(entry.node, place):
            if node is None:
                site.unsure.add(network.name)
                continue
            if node.name in seen:
                site.problems.add(place, f"found the node {node.name!r} again on the network {network.name!r}", "node again")
                continue
            seen.add(node.name)
            yield Attachment(node, entry.bridge or written.bridge, entry.uplink or written.uplink)


def _probe_from(network: Object[NetworkEntry], site: Site) -> tuple[Node, ...]:
    """Give the nodes that try to reach the network's VMs: those named, else every controller."""
    named = network.written.probe_from
    if named is None:
        return tuple(node for node in site.nodes.values() if node is not None and "controller" in node.roles)
    found = (node for index, text in enumerate(named) for node in site.look_up_nodes(text, network.place("probe_from", index)))
    return tuple(dict.fromkeys(filter(None, found)))


def _routers(network: Object[NetworkEntry], attachments: tuple[Attachment, ...], site: Site) -> tuple[Node, ...]:
    """Give the routers that shall know the way to the VMs: those named, else every one that is not itself on the network.

    To a switched network a router needs no way of its own: it is on the segment.
    """
    named, own = network.written.routers, {attachment.node.name for attachment in attachments}
    if named is None:
        if network.written.kind in {"switching", "nova-network", "neutron"}:
            return ()
        return tuple(node for node in site.nodes.values() if node is not None and "router" in node.roles and node.name not in own)
    found = (node for index, text in enumerate(named) for node in site.look_up_nodes(text, network.place("routers", index)))
    return tuple(dict.fromkeys(filter(None, found)))


def _vm(vm: Object[VmEntry], site: Site) -> Vm | None:
    """Give the VM and note its interfaces; None where its node is not known."""
    written = vm.written
    if not written.node:
        site.note_lack(vm, "node")
    node = site.look_up(site.nodes, written.node, "node", vm.place("node")) if written.node else None
    # Its interfaces are still compared with the network's subnets where the node is not known: the load fails anyway.
    stand_in = node or Node(written.node, Connection(""))
    guest = _guest(vm, site)
    made = Vm(
        vm.name, stand_in, written.domain or vm.name, written.tcp, written.udp, written.answers_ping, written.runs, guest, written.names,
    )
    for index, entry in enumerate(written.interfaces):
        interface = _interface(vm, made, index, entry, site)
        if interface:
            site.interfaces.append((interface, vm, index))
    return made if node else None


def _guest(vm: Object[VmEntry], site: Site) -> Guest | None:
    """Give the way into the VM, where one is written: what stands there is read like a node's."""
    written = vm.written.guest
    if written is None:
        return None
    entry = find(vm.tree, ("guest",))
    own = frozenset(entry.value.entries) if isinstance(entry.value, Mapping) else frozenset()
    addresses = [str(address) for interface in vm.written.interfaces for address in interface.addresses]
    if "address" not in own and written.connection in _SSH and addresses:
        written = written.model_copy(update={"address": addresses[0]})
    way = _connection(Object(vm.name, entry.key, entry.value, written, own), site)
    return Guest(f"guest:{vm.name}", replace(way, os=written.os if written.os != "linux" else ""))


def _interface(vm: Object[VmEntry], made: Vm, index: int, entry: InterfaceEntry, site: Site) -> Interface | None:
    for name in ("network", "mac"):
        if not getattr(entry, name) and "interfaces" not in vm.damaged:
            site.problems.add(vm.place("interfaces", index), f"the field {name!r} is missing", f"missing {name}")
    if not entry.network:
        return None
    place = vm.place("interfaces", index, "network")
    network = site.look_up(site.networks, entry.network, "network", place)
    if network is None:
        return None
    _check_membership(made, network, vm, index, site)
    name = vm.name if len(vm.written.interfaces) == 1 else f"{vm.name}-{index + 1}"
    return Interface(name, made, network, entry.mac, entry.addresses, entry.tap, floating=entry.floating)


def _check_membership(made: Vm, network: Network, vm: Object[VmEntry], index: int, site: Site) -> None:
    """Note a VM whose node is not on its network."""
    node = made.node.name
    if node in site.members[network.name] or network.name in site.unsure:
        return
    if site.nodes.get(node) is not None:
        message = f"{vm.name!r} is on the node {node!r}, which is not on the network {network.name!r}"
        site.problems.add(vm.place("interfaces", index, "network"), message, "not on network")


