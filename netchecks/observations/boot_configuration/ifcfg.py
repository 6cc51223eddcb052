"""ifcfg and route files below /etc/sysconfig: CentOS 7, AlmaLinux 8 and their like, by initscripts or by NetworkManager.

Source: initscripts' sysconfig.txt; nm-settings-ifcfg-rh(5).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from netchecks.models.boot import SERVICES, BootInterface, BootRoute
from netchecks.models.subjects import AddressOnLink
from netchecks.observations.boot_configuration.files import (
    File,
    Found,
    address,
    default_by,
    everything,
    ip_route,
    macs,
    number,
    on_link,
    prefix,
)

_YES = frozenset({"yes", "y", "true", "t", "1", "on"})
_KINDS = {
    "bridge": "bridge", "bond": "bond", "vlan": "vlan", "ethernet": "", "ovsbridge": "ovs", "team": "team", "tap": "tun", "dummy": "dummy",
}
_DHCP = frozenset({"dhcp", "bootp"})
_GLOBAL = "/etc/sysconfig/network"


def read(files: list[File]) -> Found:
    """Read each ifcfg file, and give each interface the routes of its own route files."""
    written = {file.path: _variables(file) for file in files if file.system == "ifcfg"}
    common = written.pop(_GLOBAL, {})
    by_uuid = {told["UUID"]: _name(path, told) for path, told in written.items() if told.get("UUID")}
    routes = _route_files(files)
    found = Found()
    for path, told in written.items():
        device = told.get("DEVICE", "").partition(":")[0]  # eth0:1 is an alias
        if device == "lo" or path.endswith("/ifcfg-lo"):
            continue
        interface = _interface(path, _with_length(path, told, written), by_uuid)
        keys = dict.fromkeys(filter(None, (device, path.rpartition("/ifcfg-")[2])))
        more = (replace(route, dev=route.dev or interface.name) for key in keys for route in routes.get(key, ()))
        found.interfaces.append(replace(interface, routes=(*interface.routes, *more)))
    return Found(list(_with_default(_joined(found.interfaces), common)), found.unread)


def _variables(file: File) -> dict[str, str]:
    told: dict[str, str] = {}
    for line in file.lines:
        name, _, value = line.partition("=")
        told[name] = value.strip().strip("\"'")
    return told


def _with_length(path: str, told: dict[str, str], written: dict[str, dict[str, str]]) -> dict[str, str]:
    """Give an alias (ifcfg-eth0:1) the length of its interface's address where it has none: initscripts read that file first."""
    parent = written.get(path.rpartition(":")[0], {})
    return {key: parent[key] for key in ("NETMASK", "PREFIX") if key in parent} | told if ":" in path else told


def _name(path: str, told: dict[str, str]) -> str:
    return told.get("DEVICE") or path.rpartition("/ifcfg-")[2]


def _interface(path: str, told: dict[str, str], by_uuid: dict[str, str]) -> BootInterface:
    device = told.get("DEVICE", "").partition(":")[0]
    hardware = macs([told.get("HWADDR", "")])
    kind = _kind(told)
    masters = [told.get(name, "") for name in ("BRIDGE", "MASTER", "TEAM_MASTER", "OVS_BRIDGE")]
    masters += [by_uuid.get(told.get(name, ""), told.get(name, "")) for name in ("BRIDGE_UUID", "MASTER_UUID", "TEAM_MASTER_UUID")]
    name = device or path.rpartition("/ifcfg-")[2]
    # without DEVICE and HWADDR, initscripts take the file's name; NetworkManager takes any device
    return BootInterface(
        name, "ifcfg", path, (name,) if device or not hardware else (), hardware, kind=kind, master=next(filter(None, masters), ""),
        methods=frozenset(_methods(told)), addresses=tuple(_addresses(told)), routes=tuple(_gateways(told, name)),
        mtu=number(told.get("MTU", "")), vlan=number(told.get("VLAN_ID", "") or (name.rpartition(".")[2] if kind == "vlan" else "")),
        parent=told.get("PHYSDEV", ""), on_boot=told.get("ONBOOT", "yes").lower() in _YES, services=_services(told),
    )


def _services(told: dict[str, str]) -> tuple[str, ...]:
    without = told.get("NM_CONTROLLED", "yes").lower() not in _YES
    return ("network",) if without else SERVICES["ifcfg"]


def _kind(told: dict[str, str]) -> str:
    if told.get("VLAN", "").lower() in _YES:
        return "vlan"
    kind = told.get("TYPE", told.get("DEVICETYPE", "")).lower()
    return _KINDS.get(kind, kind)


def _methods(told: dict[str, str]) -> Iterator[str]:
    if told.get("BOOTPROTO", "").lower() in _DHCP:
        yield "dhcp4"
    if told.get("DHCPV6C", "no").lower() in _YES:
        yield "dhcp6"
    init = told.get("IPV6INIT", "yes").lower() in _YES
    if init and told.get("IPV6_AUTOCONF", "no" if told.get("IPV6ADDR") else "yes").lower() in _YES:
        yield "ra"


def _addresses(told: dict[str, str]) -> Iterator[AddressOnLink]:
    numbers = [name.removeprefix("IPADDR") for name in told if name.startswith("IPADDR")]
    for which in numbers:
        length = told.get(f"PREFIX{which}") or told.get(f"NETMASK{which}") or _by_class(told[f"IPADDR{which}"])
        found = on_link(told[f"IPADDR{which}"], length)
        if found is not None:
            yield found
    six = [told.get("IPV6ADDR", ""), *told.get("IPV6ADDR_SECONDARIES", "").split()]
    for text in filter(None, six):
        found = on_link(text, "64")
        if found is not None:
            yield found


def _by_class(text: str) -> str:
    """Give the prefix length that ipcalc takes where none is told (RFC 791, classes)."""
    first = number(text.partition(".")[0]) or 0
    return "8" if first < 128 else "16" if first < 192 else "24"  # noqa: PLR2004 - the classes' bounds


def _gateways(told: dict[str, str], name: str) -> Iterator[BootRoute]:
    if told.get("DEFROUTE", "yes").lower() in _YES:
        for which in [key for key in told if key.startswith("GATEWAY") and key != "GATEWAYDEV"]:
            yield from default_by(told[which], name)
    if told.get("IPV6_DEFROUTE", "yes").lower() in _YES and told.get("IPV6_DEFAULTGW"):
        yield from default_by(told["IPV6_DEFAULTGW"], name)


def _joined(found: list[BootInterface]) -> Iterator[BootInterface]:
    """Add an alias (ifcfg-eth0:1) to its interface, as it has the same device."""
    main: dict[str, BootInterface] = {}
    for item in found:
        alias = ":" in item.file.rpartition("/")[2]
        if alias and item.names and item.names[0] in main:
            own = main[item.names[0]]
            main[item.names[0]] = replace(own, addresses=(*own.addresses, *item.addresses))
        else:
            main[item.names[0] if item.names else item.file] = item
    yield from main.values()


def _with_default(found: Iterator[BootInterface], common: dict[str, str]) -> Iterator[BootInterface]:
    """Give the interfaces the default routes of /etc/sysconfig/network: where they lead is not told there, so each may have them."""
    general = [
        route for name in ("GATEWAY", "IPV6_DEFAULTGW") for route in default_by(common.get(name, ""), common.get("GATEWAYDEV", ""))
    ]
    for item in found:
        fitting = tuple(r for r in general if r.dev in {"", item.name} and any(r.via in one.network for one in item.addresses))
        yield replace(item, routes=(*item.routes, *fitting)) if fitting else item


def _route_files(files: list[File]) -> dict[str, tuple[BootRoute, ...]]:
    found: dict[str, tuple[BootRoute, ...]] = {}
    for file in files:
        if file.system == "route":
            kind, _, device = file.name.partition("-")
            found[device] = found.get(device, ()) + tuple(_routes(file, six=kind == "route6"))
    return found


def _routes(file: File, *, six: bool) -> Iterator[BootRoute]:
    told = dict(line.replace(" ", "").partition("=")[::2] for line in file.lines if "=" in line)
    for name, value in told.items():
        which = name.removeprefix("ADDRESS")
        if which != name:
            to = prefix(value.strip("\"'"), told.get(f"NETMASK{which}", "").strip("\"'"))
            if to is not None:
                yield BootRoute(to, address(told.get(f"GATEWAY{which}", "").strip("\"'")))
    for line in file.lines:
        found = ip_route(line.split()) if "=" not in line else None
        if found is not None:
            yield BootRoute(everything(6), found.via, found.dev) if six and not found.to.prefixlen else found
