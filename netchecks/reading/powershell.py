"""What PowerShell's network cmdlets say as JSON: exact, and the same in every language.

Enumerations come as numbers, or as words where a column is computed. Source: Microsoft, classes MSFT_NetIPAddress,
MSFT_NetRoute, MSFT_NetAdapter, MSFT_DNSClientServerAddress (StandardCimv2).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from netchecks.errors import Unreadable
from netchecks.models.links import Link
from netchecks.models.routes import InterfaceAddress, Route
from netchecks.models.subjects import Address
from netchecks.models.system import Resolver, Resolvers
from netchecks.models.table import Table
from netchecks.parsing import address, integer, mapping, needed, number, objects, on_link, prefix, sequence, string
from netchecks.reading.code_pages import decoded

#: AddressState: 1 tentative, 2 duplicate, 3 deprecated, 4 preferred. SuffixOrigin: 3 DHCP, 5 random.
_STATES = {"1": "tentative", "tentative": "tentative", "2": "dadfailed", "duplicate": "dadfailed", "3": "deprecated",
           "deprecated": "deprecated"}
_SUFFIXES = {"3": "dynamic", "dhcp": "dynamic", "5": "temporary", "random": "temporary"}
#: MediaConnectState: 1 connected. AdminStatus: 1 up. Source: MSFT_NetAdapter.
_CONNECTED = "1"


def _objects(text: str) -> list[dict[str, Any]]:
    """ConvertTo-Json writes one object alone without brackets, and nothing for none."""
    plain = decoded(text).strip()
    return objects(plain if plain.startswith("[") or not plain else f"[{plain}]") if plain else []


def links(text: str) -> Table[Link]:
    """Read ``Get-NetAdapter``. MTU in bytes."""
    return Table("interface", {link.name: link for link in map(_link, _objects(text))})


def _link(item: dict[str, Any]) -> Link:
    flags = {"UP"} if string(item, "AdminStatus").lower() in {"1", "up"} else set()
    if flags and string(item, "MediaConnectState").lower() in {_CONNECTED, "connected"}:
        flags.add("LOWER_UP")
    mac = string(item, "MacAddress").replace("-", ":").lower()
    return Link(
        needed(item, "Name"), number(needed(item, "ifIndex")), mac or None, integer(item, "MtuSize"), frozenset(flags),
        "UP" if "LOWER_UP" in flags else "DOWN",
    )


def addresses(text: str) -> Table[tuple[InterfaceAddress, ...]]:
    """Read ``Get-NetIPAddress``, by interface."""
    found: dict[str, tuple[InterfaceAddress, ...]] = {}
    for item in _objects(text):
        name = needed(item, "InterfaceAlias")
        found[name] = (*found.get(name, ()), _address(item))
    return Table("interface", found)


def _address(item: dict[str, Any]) -> InterfaceAddress:
    words = {_STATES.get(string(item, "AddressState").lower()), _SUFFIXES.get(string(item, "SuffixOrigin").lower())}
    shown = needed(item, "IPAddress").partition("%")[0]
    return InterfaceAddress(on_link(f"{shown}/{needed(item, 'PrefixLength')}"), "", frozenset(word for word in words if word))


def routes(text: str) -> tuple[Route, ...]:
    """Read ``Get-NetRoute``, IPv4 before IPv6. Own host routes, broadcast and multicast count as table ``local``."""
    found = [_route(item) for item in _objects(text)]
    if not found:
        raise Unreadable("the routes of Get-NetRoute", text)
    return tuple(sorted(found, key=lambda route: route.family))


def _route(item: dict[str, Any]) -> Route:
    shown = needed(item, "DestinationPrefix")
    destination = prefix(shown, 6 if ":" in shown else 4)
    via = address(needed(item, "NextHop").partition("%")[0])
    gateway: Address | None = None if via.is_unspecified else via
    many = destination.is_multicast or str(destination.network_address) == "255.255.255.255"
    local = many or (gateway is None and destination.prefixlen == destination.max_prefixlen)
    kind = "multicast" if destination.is_multicast else "broadcast" if many else "local" if local else "unicast"
    metric = (integer(item, "RouteMetric") or 0) + (integer(item, "InterfaceMetric") or 0)
    return Route(destination, kind, "local" if local else "main", metric=metric, device=string(item, "InterfaceAlias"), gateway=gateway)


def resolvers(text: str) -> Resolvers:
    """Read ``Get-DnsClientServerAddress``: the servers of all interfaces, each once, and by interface."""
    by_link: dict[str, tuple[Resolver, ...]] = {}
    for item in _objects(text):
        servers = tuple(_servers(item))
        if servers:
            name = needed(item, "InterfaceAlias")
            by_link[name] = (*by_link.get(name, ()), *servers)
    every = tuple(dict.fromkeys(server for servers in by_link.values() for server in servers))
    return Resolvers(every, upstreams=every, links=Table("link", by_link))


def _servers(item: dict[str, Any]) -> Iterator[Resolver]:
    told = item.get("ServerAddresses")
    if isinstance(told, dict):  # PowerShell 5.1 wraps some arrays: {"value": [...], "Count": 2}
        told = mapping(told).get("value")
    if isinstance(told, str):
        told = told.split()
    for shown in sequence(told):
        if not isinstance(shown, str):
            raise Unreadable("addresses of DNS servers", json.dumps(shown)[:100])
        plain, _, scope = shown.partition("%")
        yield Resolver(address(plain), scope=scope)


__all__ = ["addresses", "links", "resolvers", "routes"]
