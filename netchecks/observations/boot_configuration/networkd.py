"""systemd-networkd's files. Source: systemd.network(5), systemd.netdev(5)."""

from __future__ import annotations

from collections.abc import Iterator

from netchecks.models.boot import SERVICES, BootInterface, BootRoute
from netchecks.models.subjects import AddressOnLink
from netchecks.observations.boot_configuration.files import File, Found, default_by, everything, macs, number, on_link, prefix, sections
from netchecks.observations.boot_configuration.files import address as read_address

#: Folders in which a file of the same name wins, the strongest first.
_FOLDERS = ("/etc/systemd/network/", "/run/systemd/network/", "/usr/local/lib/systemd/network/", "/usr/lib/systemd/network/")
_YES = frozenset({"yes", "true", "on", "1"})
_DHCP = {
    **dict.fromkeys(_YES | {"both"}, ("dhcp4", "dhcp6")), **dict.fromkeys(("ipv4", "v4"), ("dhcp4",)),
    **dict.fromkeys(("ipv6", "v6"), ("dhcp6",)),
}

Section = tuple[str, list[tuple[str, str]]]


def read(files: list[File]) -> Found:
    """Read what counts: of files with one name the strongest, none that is empty or masked, each with its drop-ins."""
    netdevs = {name: told for _, told in _units(files, ".netdev") for name in [_last(told, "NetDev", "Name")] if name}
    found = [_interface(path, told, netdevs) for path, told in _units(files, ".network") if told]
    alone = [_device(name, told) for name, told in netdevs.items() if not any(item.by_name(name) for item in found)]
    return Found([*found, *alone])


def _units(files: list[File], kind: str) -> Iterator[tuple[str, list[Section]]]:
    """Give each unit's path and its sections, in the order of their names."""
    chosen: dict[str, File] = {}
    for folder in _FOLDERS:
        for file in files:
            if file.path == f"{folder}{file.name}" and file.name.endswith(kind):
                chosen.setdefault(file.name, file)
    for name in sorted(chosen):
        if chosen[name].lines:
            more = [section for file in _drop_ins(files, name) for section in sections(file)]
            yield chosen[name].path, [*sections(chosen[name]), *more]


def _drop_ins(files: list[File], unit: str) -> list[File]:
    chosen: dict[str, File] = {}
    for folder in _FOLDERS:
        for file in files:
            if file.path == f"{folder}{unit}.d/{file.name}":
                chosen.setdefault(file.name, file)
    return [chosen[name] for name in sorted(chosen)]


def _of(told: list[Section], section: str, *keys: str) -> list[str]:
    """Give every value of a key; an empty one takes those before it away."""
    found: list[str] = []
    for name, pairs in told:
        for key, value in pairs:
            if name == section and key in keys:
                found = [*found, value] if value else []
    return found


def _last(told: list[Section], section: str, key: str) -> str:
    return next(reversed(_of(told, section, key)), "")


def _interface(path: str, told: list[Section], netdevs: dict[str, list[Section]]) -> BootInterface:
    names = tuple(word for value in _of(told, "Match", "Name") for word in value.split())
    if any(word.startswith("!") for word in names[:1]):  # "!a b" excludes both
        names = tuple(f"!{word.removeprefix('!')}" for word in names)
    hardware = macs(word for value in _of(told, "Match", "MACAddress", "PermanentMACAddress") for word in value.split())
    others = {key for name, pairs in told for key, value in pairs if name == "Match" and value}
    own = next((name for name in names if name in netdevs), names[0] if names else path)
    master = next(filter(None, (_last(told, "Network", key) for key in ("Bridge", "Bond", "VRF"))), "")
    made = netdevs.get(own, [])
    mtu = _last(told, "Link", "MTUBytes") or _last(made, "NetDev", "MTUBytes")
    return BootInterface(
        own, "networkd", path, names, hardware, unsure=bool(others - {"Name", "MACAddress", "PermanentMACAddress", "Type"})
        or (not names and not hardware), kind=_last(made, "NetDev", "Kind"), master=master, methods=frozenset(_methods(told)),
        addresses=tuple(_addresses(told)), routes=tuple(_routes(told, own)), mtu=number(mtu), vlan=number(_last(made, "VLAN", "Id")),
        on_boot=_starts(told), services=SERVICES["networkd"],
        types=_types(told),
    )


def _types(told: list[Section]) -> frozenset[str]:
    """Give the types that it is for; of a list that excludes, which begins with "!", none."""
    words = [word for value in _of(told, "Match", "Type") for word in value.split()]
    return frozenset() if any(word.startswith("!") for word in words) else frozenset(words)


def _starts(told: list[Section]) -> bool:
    unmanaged = _last(told, "Link", "Unmanaged").lower() in _YES
    return not unmanaged and _last(told, "Link", "ActivationPolicy") not in {"manual", "always-down", "down"}


def _device(name: str, told: list[Section]) -> BootInterface:
    """Give a device that is made and that no .network file is about: nothing starts it."""
    return BootInterface(
        name, "networkd", f"the .netdev of {name}", (name,), kind=_last(told, "NetDev", "Kind"),
        mtu=number(_last(told, "NetDev", "MTUBytes")), vlan=number(_last(told, "VLAN", "Id")), on_boot=False, services=SERVICES["networkd"],
    )


def _methods(told: list[Section]) -> Iterator[str]:
    yield from _DHCP.get(_last(told, "Network", "DHCP").lower(), ())
    accepts = _last(told, "Network", "IPv6AcceptRA").lower()
    if accepts in _YES or (not accepts and not _last(told, "Network", "Bridge")):
        yield "ra"


def _addresses(told: list[Section]) -> Iterator[AddressOnLink]:
    for text in (*_of(told, "Network", "Address"), *_of(told, "Address", "Address")):
        found = on_link(text)
        if found is not None:
            yield found


def _routes(told: list[Section], name: str) -> Iterator[BootRoute]:
    for gateway in _of(told, "Network", "Gateway"):
        yield from default_by(gateway, name)
    for section, pairs in told:
        one = dict(pairs)
        if section != "Route" or not (one.get("Gateway") or one.get("Destination")):
            continue
        via = read_address(one.get("Gateway", ""))
        to = prefix(one["Destination"]) if one.get("Destination") else everything(via.version if via else 4)
        if to is not None:
            yield BootRoute(to, via, name)
