"""What a guest says of its own way out, and what its agent tells of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from netchecks.models.links import Link
from netchecks.models.routes import NextHop, Route
from netchecks.models.subjects import Address, AddressOnLink, Interface
from netchecks.models.table import Table


@dataclass(frozen=True, slots=True)
class Ping:
    """Echo requests that the guest sent to one address. ``error``: what its own system said; empty where it was silence."""

    target: Address
    sent: int
    received: int
    error: str = ""

    @property
    def denied(self) -> bool:
        """The user that entered the guest may not send any, or there is no ping."""
        low = self.error.lower()
        return not self.received and ("socket" in low or "not found" in low or "are you root" in low)

    @property
    def blocked(self) -> bool:
        """The guest's own system refused to send it: sendmsg(2) and sendto(2) say so when a firewall's output hook drops."""
        low = self.error.lower()
        return not self.received and "not permitted" in low and "send" in low


@dataclass(frozen=True, slots=True)
class AgentAddress:
    """An address inside a guest, as the QEMU guest agent tells it, and the device that it is on."""

    device: str
    mac: str | None
    address: AddressOnLink


def devices_of(interface: Interface, known: Table[Link]) -> tuple[str, ...]:
    """Give the guest's devices that carry the NIC's addresses: the one with its MAC, and the bridge or bond that it is a port of.

    The master comes first, as the addresses are there; other devices with the same MAC (VLANs, macvlans) are none.
    """
    others = {"vlan", "macvlan", "ipvlan", "bridge", "bond"}
    own = [link for link in known.values() if link.mac == interface.mac and link.kind not in others]
    masters = [link.master for link in own if link.master and link.master in known]
    return tuple(dict.fromkeys((*masters, *(link.name for link in own))))


Trouble: TypeAlias = tuple[str, str, frozenset[str], str]
#: ``route print`` of Windows names devices by their own address or their number.
_NUMBERED = re.compile(r"if[0-9]+")


def gateway_trouble(
    interface: Interface, family: int, routes: Sequence[Route], devices: Sequence[str], gateways: Sequence[Address],
) -> Trouble | None:
    """Say what is wrong with a guest's way out: (code, message, what it breaks, remedy). None where nothing is, or none is declared.

    ``devices``: those of the NIC. ``gateways``: those that any NIC of the VM may take its default route by.
    """
    own = [gateway for gateway in interface.gateways if gateway.version == family]
    if not own:
        return None
    names = frozenset((*devices, *map(str, interface.addresses)))
    near = [address for address in (*own, *interface.node_addresses) if address.version == family]
    return _default(family, routes, names, own[0], gateways) or _on_link(near, routes, names, devices[0])


def _default(
    family: int, routes: Sequence[Route], names: frozenset[str], wanted: Address, gateways: Sequence[Address],
) -> Trouble | None:
    remedy, breaks = f"ip route replace default via {wanted} inside the guest", frozenset({f"ipv{family}", "routed"})
    found = [
        route for route in routes
        if route.family == family and not route.destination.prefixlen and route.kind == "unicast" and route.table != "local"
    ]
    if not found:
        message = f"there is no IPv{family} default route inside the guest, expected via {wanted}"
        return None if _is_split(family, routes) else ("guest.default_route_missing", message, breaks, remedy)
    best = min((route.metric for route in found if route.table == "main"), default=0)
    ways = [way for route in found for way in route.ways if route.metric == best or route.table != "main"]
    if any(_is_right(way, names, gateways) for way in ways):
        return None
    shown = " and ".join(" ".join(filter(None, (f"via {way.gateway}" if way.gateway else "", f"dev {way.device}"))) for way in ways)
    return "guest.wrong_gateway", f"the IPv{family} default route is {shown} inside the guest, expected via {wanted}", breaks, remedy


def _is_split(family: int, routes: Sequence[Route]) -> bool:
    """Tell whether two halves stand for the default route, as tunnels set them up (0.0.0.0/1 and 128.0.0.0/1)."""
    return sum(route.family == family and route.destination.prefixlen == 1 for route in routes) > 1


def _is_right(way: NextHop, names: frozenset[str], gateways: Sequence[Address]) -> bool:
    """A declared gateway, a router's link-local address (RFC 4861), or another device than the NIC: a tunnel takes all on purpose."""
    if way.gateway is not None and (way.gateway in gateways or way.gateway.is_link_local):
        return True
    return way.device not in names and not _NUMBERED.fullmatch(way.device)


def _on_link(near: Sequence[Address], routes: Sequence[Route], names: frozenset[str], device: str) -> Trouble | None:
    """The kernel's own look-up for the neighbours that are known: the longest prefix wins, whatever the metric."""
    for address in near:
        fitting = [route for route in routes if route.table in {"main", "default"} and address in route.destination]
        best = max(fitting, key=lambda route: (route.destination.prefixlen, -route.metric), default=None)
        if best is None or best.nexthops or _NUMBERED.fullmatch(best.device):
            continue
        breaks = frozenset({f"ipv{address.version}", "own_bridge", "unicast"})
        to = f"{best.destination} {f'dev {best.device}' if best.device else best.kind}"
        if best.kind != "unicast" or best.device not in names:
            remedy = f"ip route del {to} inside the guest, and whatever puts it there (Docker's address pools, a VPN)"
            return "guest.route_overlapping", f"{address} is sent by {to} inside the guest, expected by {device}", breaks, remedy
        if best.gateway == address and "onlink" not in best.flags:  # with it, a host address and no subnet are meant
            message = f"{address} is sent to the gateway {best.gateway} inside the guest, expected straight by {device}"
            return "guest.subnet_route_missing", message, breaks, f"set {device}'s address with its prefix length again inside the guest"
    return None
