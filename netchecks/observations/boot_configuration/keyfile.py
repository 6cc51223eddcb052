"""NetworkManager's keyfiles, one connection each. Source: nm-settings-keyfile(5), nm-settings(5), NetworkManager.conf(5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from netchecks.models.boot import SERVICES, BootInterface, BootRoute
from netchecks.models.subjects import AddressOnLink
from netchecks.observations.boot_configuration.files import File, Found, default_by, macs, number, on_link, prefix, sections
from netchecks.observations.boot_configuration.files import address as read_address

_KINDS = {"802-3-ethernet": "", "ethernet": "", "802-11-wireless": "wifi"}
_WITH_MTU = ("ethernet", "802-3-ethernet", "bridge", "vlan")
_FOURS = {"auto": "dhcp4"}
_SIXES = {"auto": "ra", "dhcp": "dhcp6"}
#: Where packages put theirs: the permissions of these do not matter.
_PACKAGES = "/usr/lib/"
_SKIPPED = ("~", ".bak", ".old", ".orig", ".rpmnew", ".rpmsave", ".dpkg-dist", ".dpkg-old", ".swp", ".tmp")

Told = dict[str, dict[str, str]]


def read(files: list[File]) -> Found:
    """Read each keyfile; ports name their bridge by interface, by the connection's name or by its UUID."""
    told = [(file, _told(file)) for file in files if not file.name.startswith(".") and not file.name.endswith(_SKIPPED)]
    told = sorted(((file, one) for file, one in told if one.get("connection")), key=lambda pair: _rank(pair[1]["connection"]))
    known: dict[str, str] = {}
    for _, one in told:
        own = one["connection"]
        for key in ("uuid", "id"):
            if own.get(key) and own.get("interface-name"):
                known.setdefault(own[key], own["interface-name"])
    found = [_interface(file, one, known) for file, one in told]
    starting = {item.name for item, (_, one) in zip(found, told, strict=True) if _starts_ports(one["connection"])}
    return Found([replace(item, on_boot=True) if item.master in starting else item for item in found])


def _told(file: File) -> Told:
    told: Told = {}
    for name, pairs in sections(file):
        told.setdefault(name, {}).update(pairs)
    return told


def _rank(own: dict[str, str]) -> tuple[bool, int]:
    """Give the order in which NetworkManager tries connections: those that start by themselves, by their priority."""
    text = own.get("autoconnect-priority", "0")
    priority = -(number(text[1:]) or 0) if text.startswith("-") else number(text) or 0
    return not _starts(own), -priority


def _starts(own: dict[str, str]) -> bool:
    return own.get("autoconnect", "true") not in {"false", "no", "0"}


def _starts_ports(own: dict[str, str]) -> bool:
    return own.get("autoconnect-slaves", own.get("autoconnect-ports", "")) in {"1", "yes", "true"}


def _master(told: Told) -> str:
    own = told.get("connection", {})
    return own.get("controller", own.get("master", ""))


def _interface(file: File, told: Told, known: dict[str, str]) -> BootInterface:
    own = told["connection"]
    device, master, kind = own.get("interface-name", ""), _master(told), own.get("type", "")
    hardware = macs([*(told.get(part, {}).get("mac-address", "") for part in ("ethernet", "802-3-ethernet"))])
    matched = tuple(filter(None, told.get("match", {}).get("interface-name", "").split(";")))
    names = (device,) if device else matched
    more = any(key != "interface-name" for key in told.get("match", {}))
    four, six = told.get("ipv4", {}), told.get("ipv6", {})
    methods = [table.get(part.get("method", "auto" if part is four else ""), "") for part, table in ((four, _FOURS), (six, _SIXES))]
    port = own.get("slave-type", own.get("port-type", ""))
    return BootInterface(
        device or own.get("id", file.name), "keyfile", file.path, names, hardware, unsure=more, kind=_KINDS.get(kind, kind),
        master=known.get(master, master), methods=frozenset(filter(None, methods)) if not (master or port) else frozenset(),
        addresses=(*_addresses(four), *_addresses(six)), routes=(*_routes(four, device), *_routes(six, device)),
        mtu=next((number(told[part]["mtu"]) for part in _WITH_MTU if "mtu" in told.get(part, {})), None),
        vlan=number(told.get("vlan", {}).get("id", "")), parent=told.get("vlan", {}).get("parent", ""),
        on_boot=_starts(own), ignored=_ignored(file), services=SERVICES["keyfile"],
    )


def _ignored(file: File) -> str:
    """Give why NetworkManager passes a file over: it may hold secrets, so nobody else may read or own it."""
    if file.path.startswith(_PACKAGES) or not file.mode.isdigit():
        return ""
    if file.user != "0":
        return f"its owner is user {file.user}, expected root"
    if int(file.mode[-2:]):
        return f"its mode is {file.mode}, expected 600"
    return ""


def _addresses(part: dict[str, str]) -> Iterator[AddressOnLink]:
    if part.get("method") in {"disabled", "ignore"}:
        return
    for key, value in part.items():
        if key.rstrip("0123456789") in {"address", "addresses"}:
            for text in value.split(";"):
                found = on_link(text.partition(",")[0].strip().replace(" ", "")) if text.strip() else None
                if found is not None:
                    yield found


def _routes(part: dict[str, str], device: str) -> Iterator[BootRoute]:
    """Give ``gateway``, ``address1=10.0.0.2/24,10.0.0.1`` and ``route1=10.1.0.0/16,10.0.0.1,100``."""
    if part.get("never-default") not in {"true", "yes", "1"}:
        yield from default_by(part.get("gateway", ""), device)
        for key, value in part.items():
            if key.rstrip("0123456789") in {"address", "addresses"} and "," in value:
                yield from default_by(value.split(",")[1].strip(" ;"), device)
    for key, value in part.items():
        if key.rstrip("0123456789") in {"route", "routes"}:
            words = [word.strip(" ;") for word in value.split(",")]
            to = prefix(words[0])
            if to is not None:
                yield BootRoute(to, read_address(words[1]) if len(words) > 1 else None, device)
