"""netplan's YAML, the files merged as netplan does. Source: netplan's YAML configuration reference, netplan-generate(8)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from netchecks.models.boot import SERVICES, BootInterface, BootRoute
from netchecks.models.subjects import AddressOnLink
from netchecks.observations.boot_configuration.files import File, Found, address, default_by, everything, macs, number, on_link, prefix

#: Folders in which a file of the same name wins, the strongest first.
_FOLDERS = ("/run/netplan/", "/etc/netplan/", "/usr/lib/netplan/", "/lib/netplan/")
_KINDS = {"ethernets": "", "bridges": "bridge", "bonds": "bond", "vlans": "vlan", "dummy-devices": "dummy", "vrfs": "vrf"}
_RENDERERS = {"networkd": SERVICES["networkd"], "NetworkManager": SERVICES["keyfile"]}

#: A file cannot be nested deeper, or have more of these, and mean something.
_DEPTH, _BRACKETS = 12, 2000
#: A few aliases can stand for a document without end: a file with one is not evaluated.
_ALIAS = re.compile(r"(?:^|[-:,\[{])\s*\*[^\s\"']", re.MULTILINE)


def read(files: list[File]) -> Found:
    """Read all files, in the order of their names; of two with one name the stronger folder's."""
    chosen: dict[str, File] = {}
    for folder in _FOLDERS:
        for file in files:
            if file.path == f"{folder}{file.name}":
                chosen.setdefault(file.name, file)
    found, merged = Found(), dict[str, Any]()
    where: dict[str, str] = {}
    for name in sorted(chosen):
        told = _load(chosen[name])
        if told is None:
            found.unread.append(f"netplan {chosen[name].path}")
        else:
            where |= {f"{part}/{key}": chosen[name].path for part in _KINDS for key in _mapping(told.get(part))}
            merged = _merge(merged, told, 0)
    found.interfaces += _interfaces(merged, where)
    return found


def _load(file: File) -> dict[str, Any] | None:
    """Read one file's ``network``; None where it is no YAML."""
    text = "\n".join(file.lines)
    if text.count("[") + text.count("{") > _BRACKETS or _ALIAS.search(text):
        return None
    try:
        told = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError, TypeError, KeyError, IndexError, OverflowError):
        return None
    if not isinstance(told, dict) or not isinstance(told.get("network", {}), (dict, type(None))):
        return None
    return _mapping(told.get("network"))


def _mapping(value: Any) -> dict[str, Any]:
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _merge(below: dict[str, Any], above: dict[str, Any], depth: int) -> dict[str, Any]:
    """Merge mappings by key and put lists together, as netplan does; what comes later wins."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and depth < _DEPTH:
            merged[key] = _merge(_mapping(old), _mapping(value), depth + 1)
        elif isinstance(old, list) and isinstance(value, list):
            merged[key] = [*old, *(item for item in value if item not in old)]
        else:
            merged[key] = value
    return merged


def _interfaces(told: dict[str, Any], where: dict[str, str]) -> Iterator[BootInterface]:
    names = {key: _device(key, _mapping(one)) for part in _KINDS for key, one in _mapping(told.get(part)).items()}
    masters = {
        str(port): key for part in ("bridges", "bonds", "vrfs") for key, one in _mapping(told.get(part)).items()
        for port in _list(_mapping(one).get("interfaces"))
    }
    general = str(told.get("renderer", "networkd"))
    for part, kind in _KINDS.items():
        for key, raw in _mapping(told.get(part)).items():
            one = _mapping(raw)
            renderer = str(one.get("renderer", _mapping(told.get(part)).get("renderer", general)))
            if key == "renderer":
                continue
            yield _interface(key, one, kind, names, masters.get(key, ""), where.get(f"{part}/{key}", ""), _RENDERERS.get(renderer, ()))


def _device(key: str, one: dict[str, Any]) -> str:
    return str(one.get("set-name") or _mapping(one.get("match")).get("name") or key)


def _interface(  # noqa: PLR0913, PLR0917 - what is around a definition
    key: str, one: dict[str, Any], kind: str, names: dict[str, str], master: str, file: str, services: tuple[str, ...],
) -> BootInterface:
    match = _mapping(one.get("match"))
    hardware = macs([str(match.get("macaddress", ""))])
    told = [one["set-name"]] if one.get("set-name") else _list(match.get("name")) or [match.get("name")]
    wanted = [str(name) for name in told if name]
    matched = tuple(wanted) if match else (key,)
    name = wanted[0] if len(wanted) == 1 and not set(wanted[0]) & set("*?[") else key
    ports = tuple(names.get(str(port), str(port)) for port in _list(one.get("interfaces"))) if kind in {"bridge", "bond", "vrf"} else ()
    link = str(one.get("link", ""))
    return BootInterface(
        name, "netplan", file, matched, hardware, unsure="driver" in match, kind=kind, master=master, ports=ports,
        methods=frozenset(_methods(one)), addresses=tuple(_addresses(one)), routes=tuple(_routes(one, name)),
        mtu=number(str(one.get("mtu", ""))), vlan=number(str(one.get("id", ""))), parent=names.get(link, link),
        on_boot=one.get("activation-mode") not in {"manual", "off"}, services=services,
    )


def _methods(one: dict[str, Any]) -> Iterator[str]:
    for key, method in (("dhcp4", "dhcp4"), ("dhcp6", "dhcp6")):
        if one.get(key) in {True, "yes", "true", "on"}:
            yield method
    if one.get("accept-ra", True) not in {False, "no", "false", "off"}:
        yield "ra"


def _addresses(one: dict[str, Any]) -> Iterator[AddressOnLink]:
    for item in _list(one.get("addresses")):
        text = next(iter(_mapping(item)), "") if isinstance(item, dict) else str(item)
        found = on_link(text)
        if found is not None:
            yield found


def _routes(one: dict[str, Any], name: str) -> Iterator[BootRoute]:
    for key in ("gateway4", "gateway6"):
        yield from default_by(str(one.get(key, "")), name)
    for item in _list(one.get("routes")):
        told = _mapping(item)
        via = address(str(told.get("via", "")))
        text = str(told.get("to", ""))
        to = everything(via.version if via else 4) if text in {"default", "0/0"} else prefix(text)
        if to is not None and str(told.get("type", "unicast")) == "unicast":
            yield BootRoute(to, via, name)
