"""Linux bridges, what they learned, their VLANs: ``ip link``, ``bridge``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from netchecks.errors import Unreadable
from netchecks.models.bridges import Bridge, BridgePort, BridgeVlan, FdbEntry
from netchecks.models.table import Table
from netchecks.observe import command, observation
from netchecks.parsing import (
    Stanza,
    address,
    after,
    documents,
    integer,
    lines,
    looks_like_json,
    mac_or_none,
    mapping,
    needed,
    number,
    objects,
    optional_number,
    sequence,
    stanzas,
    string,
    switch,
    words,
)


@dataclass(frozen=True, slots=True)
class _Device:
    """What JSON and text have in common: settings of the device as a bridge, and of it as a bridge's port."""

    name: str
    up: bool
    master: str
    mac: str | None
    mtu: int | None
    bridge: Mapping[str, Any] | None
    port: Mapping[str, Any] | None


def _bridges(text: str) -> Table[Bridge]:
    devices = list(map(_device, objects(text)) if looks_like_json(text) else map(_device_of_text, stanzas(text)))
    return Table("bridge", {device.name: _bridge(device, devices) for device in devices if device.bridge is not None})


@observation("ip -d -j link show", or_else=((command("ip -d link show"), _bridges),))
def bridges(text: str) -> Table[Bridge]:
    """Every Linux bridge of the node, by name, with its ports. Ageing in seconds.

    The same command as ``links``: it runs once. Source: iproute2's ip/iplink_bridge.c and iplink_bridge_slave.c.
    """
    return _bridges(text)


def _bridge(device: _Device, devices: Iterable[_Device]) -> Bridge:
    ports = {other.name: _port(other) for other in devices if other.master == device.name}
    settings = device.bridge or {}
    ageing = _integer(settings, "ageing_time")
    return Bridge(
        device.name, device.up, Table("port", ports), device.mac, device.mtu, _integer(settings, "stp_state"),
        None if ageing is None else ageing / 100,  # USER_HZ is 100 on every architecture Linux runs VMs on
        _switch(settings, "vlan_filtering"), _switch(settings, "mcast_snooping"),
        _switch(settings, "nf_call_iptables"), _switch(settings, "nf_call_ip6tables"), _switch(settings, "nf_call_arptables"),
    )


#: The kernel's numbers of the states (BR_STATE_*, if_bridge.h), for tools that do not know their names.
_STATES = {"0": "disabled", "1": "listening", "2": "learning", "3": "forwarding", "4": "blocking"}


def _port(device: _Device) -> BridgePort:
    told = device.port or {}
    state = string(told, "state", "unknown") or "unknown"
    return BridgePort(
        device.name, _STATES.get(state, state), _switch(told, "isolated"), _switch(told, "learning"), _switch(told, "flood"),
        _switch(told, "mcast_flood"), _switch(told, "bcast_flood"), _switch(told, "hairpin"), _switch(told, "neigh_suppress"),
        _switch(told, "guard"), _switch(told, "root_block"), _switch(told, "locked"),
        _integer(told, "cost"), _integer(told, "priority"),
    )


def _switch(settings: Mapping[str, Any], key: str) -> bool | None:
    return switch(settings.get(key))


def _integer(settings: Mapping[str, Any], key: str) -> int | None:
    value = settings.get(key)
    return optional_number(value) if isinstance(value, str) else integer(settings, key)


def _device(item: dict[str, Any]) -> _Device:
    info = mapping(item.get("linkinfo"))
    is_bridge, is_port = string(info, "info_kind") == "bridge", string(info, "info_slave_kind") == "bridge"
    return _Device(
        needed(item, "ifname"), "UP" in words(item.get("flags")), string(item, "master"),
        mac_or_none(string(item, "address")), integer(item, "mtu"),
        mapping(info.get("info_data")) if is_bridge else None, mapping(info.get("info_slave_data")) if is_port else None,
    )


def _device_of_text(stanza: Stanza) -> _Device:
    hardware = next((line for line in stanza.body if line[0].startswith("link/")), [])
    if "promiscuity" not in hardware:
        raise Unreadable("details of each device (ip -d)", " ".join(stanza.head))
    bridge, port = stanza.line("bridge"), stanza.line("bridge_slave")
    return _Device(
        stanza.name, "UP" in stanza.flags, after(stanza.head, "master"), mac_or_none(hardware[1]),
        number(after(stanza.head, "mtu")), _settings(bridge) if bridge else None, _settings(port) if port else None,
    )


def _settings(line: list[str]) -> dict[str, str]:
    """Give each word with the one that follows it: the settings are pairs, and their names are no values."""
    return dict(pairwise(line))


def _fdb(text: str) -> tuple[FdbEntry, ...]:
    if looks_like_json(text):
        return tuple(map(_entry, objects(text)))
    return tuple(map(_entry_of_text, lines(text)))


@observation("bridge -j fdb show", or_else=((command("bridge fdb show"), _fdb),), late=True)
def fdb(text: str) -> tuple[FdbEntry, ...]:
    """What every bridge and tunnel of the node has in its forwarding table, in the kernel's order.

    Idle addresses age out: the reading after the probes is the one that counts.
    """
    return _fdb(text)


def _entry(item: dict[str, Any]) -> FdbEntry:
    flags = set(words(item.get("flags"))) | {key for key, value in item.items() if value is True}
    if state := string(item, "state"):
        flags.add(state)
    far = string(item, "dst")
    return FdbEntry(
        needed(item, "mac").lower(), string(item, "ifname") or needed(item, "dev"), string(item, "master"), integer(item, "vlan"),
        frozenset(flags), address(far) if far else None, integer(item, "vni"),
    )


#: Words of a line that have a value. Source: iproute2's bridge/fdb.c.
_VALUED = {"dev", "dst", "vlan", "vni", "src_vni", "port", "via", "link-netnsid", "nhid", "used", "master"}
#: What may stand behind ``master`` where the kernel does not name it.
_FLAGS = {"self", "permanent", "static", "offload", "extern_learn", "sticky", "stale", "router", "locked", "dynamic"}


def _entry_of_text(line: str) -> FdbEntry:
    mac, *rest = line.split()
    told: dict[str, str] = {}
    flags: set[str] = set()
    rest_of_line = iter(rest)
    for word in rest_of_line:
        value = next(rest_of_line, "") if word in _VALUED else ""
        if word not in _VALUED or not value:
            flags.add(word)
        elif word == "master" and value in _FLAGS:
            flags |= {word, value}
        else:
            told[word] = value
    if mac_or_none(mac) is None or "dev" not in told:
        raise Unreadable("'52:54:00:00:00:01 dev vnet0 master br0'", line)
    far = told.get("dst")
    return FdbEntry(
        mac.lower(), told["dev"], told.get("master", ""), optional_number(told.get("vlan", "")), frozenset(flags),
        address(far) if far else None, optional_number(told.get("vni", "")),
    )


def _bridge_vlans(text: str) -> tuple[BridgeVlan, ...]:
    return tuple(_vlans(text) if looks_like_json(text) else _vlans_of_text(text))


@observation("bridge -j vlan show", or_else=((command("bridge vlan show"), _bridge_vlans),))
def bridge_vlans(text: str) -> tuple[BridgeVlan, ...]:
    """The VLANs of every port of a bridge that filters them; empty where none does. Ranges as told."""
    return _bridge_vlans(text)


def _vlans(text: str) -> list[BridgeVlan]:
    found: list[BridgeVlan] = []
    for document in documents(text):
        for device, vlans in _vlans_by_port(document):
            found.extend(_vlan(device, mapping(vlan)) for vlan in sequence(vlans))
    return found


def _vlans_by_port(document: Any) -> list[tuple[str, Any]]:
    """Give (port, its VLANs): up to 4.18 (EL 7) ``{"eth0": [...]}``, later ``[{"ifname": "eth0", "vlans": [...]}]``."""
    if isinstance(document, dict):
        return list(document.items())
    return [(needed(item, "ifname"), item.get("vlans")) for item in map(mapping, sequence(document)) if item]


def _vlan(device: str, vlan: dict[str, Any]) -> BridgeVlan:
    first = integer(vlan, "vlan")
    if first is None:
        raise Unreadable("a VLAN's number", repr(vlan)[:100])
    last = integer(vlan, "vlanEnd")
    flags = frozenset(flag.replace("EgressUntagged", "Egress Untagged") for flag in words(vlan.get("flags")))
    return BridgeVlan(device, first, first if last is None else last, flags)


def _vlans_of_text(text: str) -> list[BridgeVlan]:
    found: list[BridgeVlan] = []
    device = ""
    for line in lines(text):
        tokens = line.split()
        if tokens[0] == "port":
            continue
        if not line[0].isspace():
            device, *tokens = tokens
        if tokens != ["None"]:
            found.append(_vlan_of_text(device, tokens, line))
    return found


def _vlan_of_text(device: str, tokens: list[str], line: str) -> BridgeVlan:
    if not device or not tokens:
        raise Unreadable("'br0 1 PVID Egress Untagged'", line)
    first, _, last = tokens[0].partition("-")
    flags = " ".join(tokens[1:]).replace("Egress Untagged", "Egress_Untagged").split()
    return BridgeVlan(device, number(first), number(last or first), frozenset(flag.replace("_", " ") for flag in flags))
