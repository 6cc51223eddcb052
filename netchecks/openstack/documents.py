"""What ``openstack ... -f json`` prints, as values. Columns have had other names and forms in other releases: all are read.

Source: python-openstackclient, openstackclient/network/v2/{network,subnet,port,network_agent}.py and compute/v2/server.py: until
4.0 lists and booleans are words (``ip_address='10.0.0.2', subnet_id='...'``, ``UP``, ``:-)``), since then JSON's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from netchecks.errors import Unreadable
from netchecks.models.subjects import Address, Prefix

Row = Mapping[str, Any]
#: osc_lib.utils.format_list_of_dicts, as of fixed IPs.
_FIXED = re.compile(r"ip_address='([^']+)'")
_FAMILIES = {"ipv4": 4, "ipv6": 6}
#: Protocols that are ICMP in a rule (neutron_lib.constants, IANA's numbers), and its echo request as the client writes it.
_PING = {4: (frozenset({"icmp", "1"}), 8), 6: (frozenset({"ipv6-icmp", "icmpv6", "icmp", "58"}), 128)}
#: neutron_lib.constants: ports of one router, alone or of several agents (HA), whose MAC is that of the gateway on every node.
DISTRIBUTED_PORT = "network:router_interface_distributed"
ROUTER_PORTS = frozenset({"network:router_interface", "network:ha_router_replicated_interface", DISTRIBUTED_PORT})
_YES, _NO = frozenset({"true", "up", ":-)", "external"}), frozenset({"false", "down", "xxx", "internal", "none", ""})


@dataclass(frozen=True, slots=True)
class Network:
    """A network. ``segment`` is 0 and ``physical_network`` empty where it has none; ``mtu`` in bytes, 0 where it is not told."""

    id: str
    name: str
    type: str
    physical_network: str
    segment: int
    mtu: int


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet of the network with the id ``network``. ``dhcp``: whether addresses are given by DHCP."""

    id: str
    network: str
    prefix: Prefix
    gateway: Address | None
    dhcp: bool
    resolvers: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Port:
    """A port. ``owner``: ``compute:<zone>``, ``network:dhcp`` ...; ``device``: the id of what has it; ``host``: where it is bound.

    ``groups``: the ids of its security groups, none where its packets are not filtered at all (``filtered`` is false).
    """

    id: str
    network: str
    mac: str
    addresses: tuple[Address, ...]
    owner: str
    device: str
    host: str
    vif: str
    vnic: str
    up: bool
    filtered: bool = True
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Server:
    """An instance. ``domain``: its name in libvirt, empty where the API does not tell it to this user."""

    id: str
    name: str
    status: str
    domain: str


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent of Neutron. ``kind``: such as ``Open vSwitch agent``."""

    kind: str
    host: str
    alive: bool


@dataclass(frozen=True, slots=True)
class Floating:
    """A floating address, and the id of the port that it is for; empty where it is for none."""

    address: Address
    port: str


@dataclass(frozen=True, slots=True)
class Rule:
    """What a security group lets in. ``family``: 4 or 6; ``ping``: echo requests, from ``anybody``."""

    family: int
    ping: bool
    anybody: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list tells of one thing: enough to ask for it."""

    id: str
    name: str
    owner: str = ""


def rows(text: str) -> list[Row]:
    """Read a list. Raises Unreadable."""
    found = _json(text)
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise Unreadable("a JSON list of objects", text)
    return found


def one(text: str) -> Row:
    """Read what ``show`` prints; the oldest releases have a list of fields and values. Raises Unreadable."""
    found = _json(text)
    if isinstance(found, list) and all(isinstance(row, dict) and {"Field", "Value"} <= row.keys() for row in found):
        return {str(row["Field"]): row["Value"] for row in found}
    if not isinstance(found, dict):
        raise Unreadable("a JSON object", text)
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable("JSON", text) from None


def listed(row: Row) -> Listed:
    """Give what a row of any list tells."""
    return Listed(_text(row, "ID"), _text(row, "Name", default=""), _text(row, "Device Owner", "device_owner", default=""))


def network(row: Row) -> Network:
    """Read ``network show``."""
    kind = _text(row, "provider:network_type", "provider_network_type", default="")
    if not kind:
        raise Unreadable("provider:network_type, which the API shows to administrators alone", ", ".join(row))
    return Network(
        _text(row, "id"), _text(row, "name"), kind,
        _text(row, "provider:physical_network", "provider_physical_network", default=""),
        _number(row, "provider:segmentation_id", "provider_segmentation_id"), _number(row, "mtu"),
    )


def subnet(row: Row) -> Subnet:
    """Read a row of ``subnet list --long``."""
    cidr, gateway = _text(row, "Subnet", "CIDR", "cidr"), _text(row, "Gateway", "gateway_ip", default="")
    try:
        prefix = ip_network(cidr)
    except ValueError:
        raise Unreadable("a subnet", cidr) from None
    servers = tuple(_address(word) for word in _words(_value(row, "Name Servers", "dns_nameservers")))
    named = _text(row, "Network", "Network ID", "network_id")
    return Subnet(_text(row, "ID"), named, prefix, _address(gateway) if gateway else None, _yes(row, "DHCP", "enable_dhcp"), servers)


def port(row: Row) -> Port:
    """Read ``port show``."""
    owner, device = (_text(row, name, default="") for name in ("device_owner", "device_id"))
    host, vif, vnic = (_text(row, f"binding_{what}", f"binding:{what}", default="") for what in ("host_id", "vif_type", "vnic_type"))
    addresses, mac = _fixed(_value(row, "fixed_ips")), _text(row, "mac_address").lower()
    filtered = "port_security_enabled" not in row or _yes(row, "port_security_enabled")
    groups = tuple(_words(_value(row, "security_group_ids", "security_groups")))
    return Port(
        _text(row, "id"), _text(row, "network_id"), mac, addresses, owner, device, host, vif, vnic, _yes(row, "admin_state_up"),
        filtered, groups,
    )


def server(row: Row) -> Server:
    """Read ``server show``."""
    domain = _text(row, "OS-EXT-SRV-ATTR:instance_name", "instance_name", default="")
    return Server(_text(row, "id"), _text(row, "name", default=""), _text(row, "status", default="").upper(), domain)


def rule(row: Row) -> Rule:
    """Read a row of ``security group rule list --ingress --long``; a rule for a group has a range of addresses in some releases, too."""
    family = _FAMILIES.get(_text(row, "Ethertype", "ethertype", default="IPv4").lower())
    if family is None:
        raise Unreadable("an Ethertype of IPv4 or IPv6", _text(row, "Ethertype"))
    protocol, ports = _text(row, "IP Protocol", "protocol", default="any").lower(), _text(row, "Port Range", "port_range", default="")
    protocols, echo = _PING[family]
    ping = protocol == "any" or (protocol in protocols and ports in {"", f"type={echo}", f"type={echo}:code=0", f"{echo}:0"})
    groups = (_text(row, f"Remote {what} Group", default="") for what in ("Security", "Address"))
    source = _text(row, "IP Range", "remote_ip_prefix", default="")
    return Rule(family, ping, not any(groups) and source in {"", "0.0.0.0/0", "::/0"})


def agent(row: Row) -> Agent:
    """Read a row of ``network agent list``."""
    return Agent(_text(row, "Agent Type", "agent_type"), _text(row, "Host", "host", default=""), _yes(row, "Alive", "alive"))


def floating(row: Row) -> Floating:
    """Read a row of ``floating ip list``."""
    address = _address(_text(row, "Floating IP Address", "floating_ip_address"))
    return Floating(address, _text(row, "Port", "port_id", default=""))


def agents(text: str) -> tuple[Agent, ...]:
    """Read what ``network agent list`` prints."""
    return tuple(map(agent, rows(text)))


def floats(text: str) -> tuple[Floating, ...]:
    """Read what ``floating ip list`` prints."""
    return tuple(map(floating, rows(text)))


def instance(text: str) -> Server:
    """Read what ``server show`` prints."""
    return server(one(text))


def rules(text: str) -> tuple[Rule, ...]:
    """Read what ``security group rule list`` prints."""
    return tuple(map(rule, rows(text)))


def _value(row: Row, *names: str) -> Any:
    """Give the value of the first of these columns that there is. Raises Unreadable."""
    for name in names:
        if name in row:
            return row[name]
    raise Unreadable(f"a column {names[0]!r}", ", ".join(row))


def _text(row: Row, *names: str, default: str | None = None) -> str:
    """Give a value as text; where there is none, what is given instead, or raise Unreadable."""
    found = next((row[name] for name in names if name in row), None)
    text = "" if found is None or found == "None" else str(found).strip()
    if text:
        return text
    if default is None:
        raise Unreadable(f"a value in the column {names[0]!r}", ", ".join(row))
    return default


def _number(row: Row, *names: str) -> int:
    text = _text(row, *names, default="0")
    if not text.isascii() or not text.isdecimal():
        raise Unreadable(f"a number in the column {names[0]!r}", text)
    return int(text)


def _yes(row: Row, *names: str) -> bool:
    found = str(_value(row, *names)).strip().lower()
    if found not in _YES | _NO:
        raise Unreadable(f"yes or no in the column {names[0]!r}", found)
    return found in _YES


def _words(found: Any) -> list[str]:
    """Give the items of a list, or of its older form, a text with commas or lines."""
    if found is None:
        return []
    return [str(item) for item in found] if isinstance(found, list) else re.findall(r"[^\s,]+", str(found))


def _fixed(found: Any) -> tuple[Address, ...]:
    """Give the addresses of a port."""
    if not isinstance(found, list):
        told = str(found or "")
        addresses = _FIXED.findall(told)
        if told.strip() and not addresses:
            raise Unreadable("fixed IP addresses", told)
        return tuple(map(_address, addresses))
    if not all(isinstance(item, dict) and "ip_address" in item for item in found):
        raise Unreadable("fixed IP addresses", str(found))
    return tuple(_address(str(item["ip_address"])) for item in found)


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise Unreadable("an address", text) from None
