"""What is configured for the next start of a node: what runs now and what the inventory expects, or something else.

Only what matters after a reboot is judged, and only what can be read: an interface that no file is about is unknown (cloud
images, configuration management, scripts), never wrong. A container or a bare namespace has no boot of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.boot import BootConfiguration, BootInterface
from netchecks.models.links import Link as Device
from netchecks.models.routes import InterfaceAddress, Route
from netchecks.models.subjects import AddressOnLink, Attachment, DeclaredRoute, Inventory, Link, Network, Node
from netchecks.models.table import Table
from netchecks.seen import By

Boot = By[Node, BootConfiguration]
Links = By[Node, Table[Device]]
Addresses = By[Node, Table[tuple[InterfaceAddress, ...]]]
T = TypeVar("T")

#: What is entered by these has the boot configuration of something else, or none.
_NO_BOOT = frozenset({"netns", "docker", "podman", "kubectl", "openshift", "lxc", "chroot"})
#: A bridge hands on frames that are longer than a port's MTU by the length of a VLAN tag (TRAPS, "MTU").
VLAN_TAG = 4
#: Who puts routes into the kernel while the node runs: no file of the network's configuration has these. rtnetlink's protocols.
_BY_DAEMONS = frozenset({"dhcp", "ra", "bgp", "ospf", "isis", "rip", "eigrp", "zebra", "bird", "babel", "openr", "gated", "mrt", "xorp"})
#: Kinds of devices that are there only where a file makes them.
_MADE = frozenset({"bond", "team"})
#: Systems that start a port only where its own file says so.
_OWN_START = frozenset({"ifcfg", "keyfile", "networkd", "netplan"})


@dataclass(frozen=True, slots=True)
class _Files:
    """The configuration of one node, for questions that have an answer or raise NotSeen."""

    node: Node
    boot: BootConfiguration
    links: Table[Device]

    def of(self, device: str) -> tuple[BootInterface, ...]:
        """Give what is for a device at boot, one of each system; nothing where no file is about it."""
        if self.boot.undecided:
            raise self.unknown("several systems have files, and which of them count at boot could not be told")
        return self._asked(lambda: self.boot.of(device, self._mac(device)))

    def about(self, device: str) -> tuple[BootInterface, ...]:
        """Give it, or raise NotSeen where no file is about the device."""
        found = self.of(device)
        if not found:
            raise self.unknown(f"no file that was read is about {device}, so what it is at the next start is not known")
        return found

    def masters(self, device: str) -> frozenset[str]:
        """Give the bridges and bonds that the device is a port of at boot."""
        return self._asked(lambda: self.boot.masters(device, self._mac(device)))

    def sure(self, items: Iterable[BootInterface]) -> None:
        """Let nothing be called missing where something that was not read may hold it."""
        if self.boot.unread:
            raise self.unknown(f"could not read {', '.join(self.boot.unread)}")
        for item in items:
            if item.opaque:
                raise self.unknown(f"{item.file} runs commands for {item.name} whose effect is not known")

    def unknown(self, why: str) -> NotSeen:
        """Say why there is no answer."""
        return NotSeen(Why.NOT_POSSIBLE, f"{self.node}: {why}", cause="boot.not_known")

    def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except LookupError as error:
            raise self.unknown(f"cannot tell {error.args[0]}") from error

    def _mac(self, device: str) -> str | None:
        return self.links[device].mac if device in self.links else None


def _files(node: Node, boot: Boot, links: Links) -> _Files | None:
    """Give what is configured; None where there is no boot of its own."""
    return None if node.connection.backend in _NO_BOOT else _Files(node, boot[node], links[node])


def _wrong(files: _Files, code: str, message: str, remedy: str) -> Wrong:
    return Wrong(code, f"{files.node}: {message}", place=files.node.name, remedy=remedy)


def _where(items: Iterable[BootInterface]) -> str:
    return " and ".join(dict.fromkeys(item.file for item in items))


def _starts(files: _Files, device: str, items: tuple[BootInterface, ...]) -> None:
    if items and not any(item.on_boot for item in items):
        how = {
            "ifupdown": f"auto {device}", "ifcfg": "ONBOOT=yes", "keyfile": "autoconnect=true", "netplan": "no activation-mode",
        }.get(items[0].system, "a .network file without ActivationPolicy=manual")
        raise _wrong(files, "boot.not_started", f"{_where(items)} does not start {device} at boot", f"in {items[0].file}: {how}")


@pytest.mark.kind("switching", "routing", "ip-fabric")
def test_config_matches_runtime(network: Network, node: Node, boot_configuration: Boot, links: Links) -> None:
    """The node's files make the network's bridge at the next start, with the uplink in it where the network is switched.

    Why: a bridge that was put right by hand is wrong again after a reboot, and with it every VM.
    Remedy: node administrator: put the bridge and its port into the files of the system that configures the node's network
    Source: VMmanager knowledge base, "Предварительная диагностика", step 3; interfaces(5); sysconfig.txt; systemd.network(5)
    """
    files, end = _files(node, boot_configuration, links), network.at(node)
    if files is None or (end.bridge in links[node] and links[node][end.bridge].kind == "openvswitch"):
        return  # Open vSwitch keeps its bridges in its own database
    if network.kind == "switching":
        _is_switched(files, end)
    else:
        _is_routed(files, end, network)
    for device in filter(None, (end.bridge, end.uplink)):
        for item in files.of(device):
            if item.mtu is not None and item.mtu + VLAN_TAG < network.mtu:
                raise _wrong(
                    files, "boot.mtu_too_small", f"{item.file} gives {device} MTU {item.mtu}, expected {network.mtu}",
                    f"set the MTU of {device} to {network.mtu} in {item.file}",
                )


def _is_switched(files: _Files, end: Attachment) -> None:
    bridge, uplink = files.of(end.bridge), files.of(end.uplink) if end.uplink else ()
    if not bridge:
        files.sure(uplink)
        alone = [item for item in uplink if item.by_name(end.uplink) and (item.addresses or "dhcp4" in item.methods)]
        if not alone:
            files.about(end.bridge)
        raise _wrong(
            files, "boot.bridge_missing", f"no file makes {end.bridge}; {_where(alone)} configures {end.uplink} alone",
            f"add the bridge {end.bridge} with the port {end.uplink}, and move the addresses of {end.uplink} to it",
        )
    _starts(files, end.bridge, bridge)
    if end.uplink:
        _has_uplink(files, end, bridge, uplink)


def _has_uplink(files: _Files, end: Attachment, bridge: tuple[BootInterface, ...], uplink: tuple[BootInterface, ...]) -> None:
    masters = files.masters(end.uplink)
    if end.bridge not in masters:
        files.sure((*bridge, *uplink))
        instead = f"of {sorted(masters)}" if masters else "of nothing"
        raise _wrong(
            files, "boot.uplink_not_in_bridge", f"{_where((*bridge, *uplink))} makes {end.uplink} a port {instead} at boot, "
            f"expected of {end.bridge}", f"make {end.uplink} a port of {end.bridge} in {_where(uplink or bridge)}",
        )
    if not uplink and end.uplink in files.links and files.links[end.uplink].kind in _MADE:
        files.sure(bridge)
        raise _wrong(
            files, "boot.uplink_missing", f"no file makes {end.uplink}, the port of {end.bridge}",
            f"add the {files.links[end.uplink].kind} {end.uplink} with its members",
        )
    if all(item.system in _OWN_START for item in uplink):
        _starts(files, end.uplink, uplink)


def _is_routed(files: _Files, end: Attachment, network: Network) -> None:
    if end.bridge:
        _starts(files, end.bridge, files.about(end.bridge))
    masters = files.masters(end.uplink) if end.uplink else frozenset()
    bridges = {item.name for item in files.boot.effective if item.kind == "bridge"}
    if masters & bridges:
        raise _wrong(
            files, "boot.uplink_in_bridge", f"{_where(files.of(end.uplink)) or 'a file'} makes {end.uplink} a port of "
            f"{sorted(masters & bridges)} at boot, expected of no bridge: {network} is {network.kind}",
            f"take {end.uplink} out of the bridge in the boot configuration",
        )


def test_config_has_addresses(link: Link, boot_configuration: Boot, links: Links, addresses: Addresses) -> None:
    """Each declared address is in the node's files, or comes by DHCP; not one of them and the other at once.

    Why: an address that was added by hand is gone after a reboot; a second one by DHCP makes answers leave with the wrong one.
    Remedy: node administrator: put the address into the file that configures {link.device}
    Source: VMmanager knowledge base, "Предварительная диагностика", step 3; Kubernetes troubleshooting, two addresses on one NIC
    """
    declared = [address for one in link.node.links if one.name == link.device for address in one.addresses]
    files = _files(link.node, boot_configuration, links) if declared else None
    if files is None:
        return
    items = files.about(link.device)
    _starts(files, link.device, items)
    _is_of_one_kind(files, link.device, declared, items, addresses[link.node].get(link.device, ()))
    static = [address for item in items for address in item.addresses]
    missing = [one for one in declared if one not in static and not _comes_by_itself(one, items, addresses[link.node].get(link.device, ()))]
    if missing:
        files.sure(items)
        _is_missing(files, link.device, missing, static, items)


def _is_of_one_kind(
    files: _Files, device: str, declared: list[AddressOnLink], items: tuple[BootInterface, ...], running: tuple[InterfaceAddress, ...],
) -> None:
    leased = [one.address for one in running if "dynamic" in one.flags and one.address.version == 4]
    for item in items:
        static = [one for one in item.addresses if one in declared and one.version == 4]
        elsewhere = leased and all(one.ip not in address.network for one in static for address in leased)
        if static and "dhcp4" in item.methods and not elsewhere:
            raise _wrong(
                files, "boot.dhcp_and_static", f"{item.file} gives {device} {static[0]} and asks for one by DHCP at once",
                f"keep one of them in {item.file}: DHCP or the static address",
            )


def _comes_by_itself(declared: AddressOnLink, items: tuple[BootInterface, ...], running: tuple[InterfaceAddress, ...]) -> bool:
    """Tell whether DHCP or a router may give the address: one that runs without a lifetime was given by somebody else."""
    methods = {method for item in items for method in item.methods}
    if declared.version == 4:
        return "dhcp4" in methods
    same = [one for one in running if one.address.ip == declared.ip]
    return bool(methods & {"dhcp6", "ra"}) and (not same or "dynamic" in same[0].flags)


def _is_missing(
    files: _Files, device: str, missing: list[AddressOnLink], static: list[AddressOnLink], items: tuple[BootInterface, ...],
) -> None:
    first = missing[0]
    others = [str(one) for one in static if one.version == first.version]
    same = [one for one in static if one.ip == first.ip]
    code = "boot.address_wrong_prefix" if same else "boot.address_other" if others else "boot.address_missing"
    wanted = ", ".join(map(str, missing))
    raise _wrong(
        files, code, f"{_where(items)} gives {device} {others or f'no IPv{first.version} address'}, expected {wanted}",
        f"put {wanted} into {_where(items)}",
    )


def test_config_has_routes(
    node: Node, inventory: Inventory, boot_configuration: Boot, links: Links, routes: By[Node, tuple[Route, ...]],
) -> None:
    """Each declared route, and the default route that runs, is in the node's files, or is put there by a daemon.

    Why: a route that was added by hand is gone after a reboot.
    Remedy: node administrator: put the route into the file of the interface that it leaves by
    Source: VMmanager knowledge base, "Маршрутизация"; interfaces(5); nm-settings-keyfile(5); systemd.network(5)
    """
    files = _files(node, boot_configuration, links)
    for wanted in _wanted(node, inventory, routes[node]) if files else ():
        assert files is not None
        running = [route for route in routes[node] if route.destination == wanted.to and route.table == "main" and route.kind == "unicast"]
        if any(route.protocol in _BY_DAEMONS for route in running):
            continue
        items = files.about(_device(node, wanted, running))
        if not any(item.on_boot for item in items):
            continue  # another check says so
        if not _is_configured(files, wanted) and not _is_given(wanted, items):
            files.sure(files.boot.effective)
            route = f"{wanted.to} via {wanted.via}" if wanted.via else f"{wanted.to} dev {wanted.dev}"
            raise _wrong(
                files, "boot.route_missing", f"no file has the route to {route}; {_where(items)} configures {items[0].name}",
                f"add the route to {route} in {items[0].file}",
            )


def _wanted(node: Node, inventory: Inventory, running: tuple[Route, ...]) -> Iterator[DeclaredRoute]:
    """Give the declared routes, and the default route by a gateway of the node's own networks that runs now."""
    yield from node.routes
    gateways = {
        subnet.gateway for network in inventory.networks if any(end.node == node for end in network.attachments)
        for subnet in network.subnets if any(own.ip in subnet.prefix for link in node.links for own in link.addresses)
    }
    for route in running:
        for way in route.ways:
            if not route.destination.prefixlen and route.table == "main" and way.gateway in gateways:
                yield DeclaredRoute(route.destination, way.gateway, way.device)


def _device(node: Node, wanted: DeclaredRoute, running: list[Route]) -> str:
    """Give the device that a route leaves by: as declared, as it runs, or where its gateway's subnet is."""
    ways = (way.device for route in running for way in route.ways if way.device)
    near = (link.name for link in node.links for own in link.addresses if wanted.via is not None and wanted.via in own.network)
    return wanted.dev or next(ways, "") or next(near, "")


def _is_configured(files: _Files, wanted: DeclaredRoute) -> bool:
    for item in files.boot.effective:
        if not item.on_boot:
            continue
        if any(route.to == wanted.to and (wanted.via is None or route.via in {None, wanted.via}) for route in item.routes):
            return True
        if wanted.via is None and any(address.network == wanted.to for address in item.addresses):
            return True
    return False


def _is_given(wanted: DeclaredRoute, items: tuple[BootInterface, ...]) -> bool:
    """Tell whether DHCP or a router may give a route of that interface."""
    methods = {method for item in items for method in item.methods}
    return bool(methods & ({"dhcp4"} if wanted.to.version == 4 else {"ra"}))


def test_config_is_of_one_system(link: Link, boot_configuration: Boot, links: Links) -> None:
    """An expected interface is configured by one system, or by several that say the same, from files that it reads.

    Why: two systems undo each other's work in an order that changes from boot to boot.
    Remedy: node administrator: take {link.device} out of the files of one of them, or disable its service
    Source: Debian wiki, NetworkConfiguration; NetworkManager.conf(5); systemd.network(5)
    """
    files = _files(link.node, boot_configuration, links)
    if files is None:
        return
    items = [item for item in files.of(link.device) if item.on_boot and item.by_name(link.device)]
    _is_read(files, link.device, items)
    for item in items[1:]:
        if not set(item.services) & set(items[0].services) and _says(item) != _says(items[0]):
            raise _wrong(
                files, "boot.two_systems", f"{items[0].file} ({items[0].system}) and {item.file} ({item.system}) both configure "
                f"{link.device} at boot, and differ", f"take {link.device} out of {item.file} or {items[0].file}",
            )


def _says(item: BootInterface) -> tuple[object, ...]:
    return item.master, frozenset(item.addresses), item.methods - {"ra"}


def _is_read(files: _Files, device: str, items: list[BootInterface]) -> None:
    """Name a file that its system passes over where no other is about the device."""
    for item in files.boot.interfaces:
        if item.ignored and item.by_name(device) and files.boot.in_force(item) and not items:
            raise _wrong(
                files, "boot.file_ignored", f"NetworkManager ignores {item.file}, which is about {device}: {item.ignored}",
                f"chown root: '{item.file}' && chmod 600 '{item.file}' && nmcli connection reload",
            )
