"""The files by which a node of a rooted lab would configure its network at its next start: what the lab has built.

Nothing acts on them: the lab has made the network before the node starts. They are what ``config_matches_runtime`` reads.
Source: interfaces(5), bridge-utils-interfaces(5); systemd.network(5), systemd.netdev(5).
"""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

from netchecks.lab.topology import Interface, Place, Route

#: System -> the unit that acts on its files. Its text stands in the node: not every machine has these installed.
UNITS = {"ifupdown": "networking.service", "networkd": "systemd-networkd.service"}
_STARTS = {"ifupdown": "/sbin/ifup -a --read-environment", "networkd": "/lib/systemd/systemd-networkd"}


def files(place: Place) -> dict[str, str]:
    """Give each file's text by its path."""
    system = place.node.boot if place.node else "none"
    if system == "none":
        return {}
    made = {"etc/network/interfaces": _interfaces(place)} if system == "ifupdown" else _networkd(place)
    unit = (
        f"[Unit]\nDescription=the node's network\n[Service]\nType=oneshot\nExecStart={_STARTS[system]}\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )
    return {**made, f"etc/systemd/system/{UNITS[system]}": unit}


def links(place: Place) -> dict[str, str]:
    """Give the symbolic links that enable the unit; the target they belong to is not reached in a lab."""
    system = place.node.boot if place.node else "none"
    unit = UNITS.get(system, "")
    return {f"etc/systemd/system/multi-user.target.wants/{unit}": f"/etc/systemd/system/{unit}"} if unit else {}


def _ports(place: Place, bridge: str) -> list[str]:
    return [name for name, one in place.interfaces.items() if one.bridge == bridge]


def _routes_of(place: Place, device: str) -> list[Route]:
    """Give the routes of the place that leave by a device: as they say, or as its addresses have the gateway's subnet."""
    subnets = [ip_interface(address).network for address in place.interfaces[device].addresses]
    return [route for route in place.routes if (route.dev == device if route.dev else any(ip_address(route.via) in one for one in subnets))]


def _is_six(route: Route) -> bool:
    return ":" in route.to + route.via


def _interfaces(place: Place) -> str:
    parts = ["auto lo\niface lo inet loopback\n"]
    for name, one in place.interfaces.items():
        if one.bridge:
            continue  # its bridge brings it up
        parts.append(f"auto {name}\n" + "".join(_stanzas(place, name, one)))
    return "\n".join(parts)


def _stanzas(place: Place, name: str, one: Interface) -> list[str]:
    ports = " ".join(_ports(place, name)) or "none"
    more = f"    bridge_ports {ports}\n    bridge_stp off\n    bridge_fd 0\n" if one.kind == "bridge" else ""
    found = []
    for family, colon in (("inet", False), ("inet6", True)):
        own = [address for address in one.addresses if (":" in address) == colon]
        text = "".join(f"iface {name} {family} static\n    address {address}\n" for address in own[:1])
        text += "".join(f"    up ip addr add {address} dev {name}\n" for address in own[1:])
        routes = [route for route in _routes_of(place, name) if _is_six(route) == colon]
        text = text or (f"iface {name} {family} manual\n" if routes else "")
        text += "".join(f"    {_line(route, name, with_address=bool(own))}\n" for route in routes)
        found.append(text)
    if not any(found):
        found = [f"iface {name} inet manual\n"]
    first = next(index for index, text in enumerate(found) if text)
    found[first] += more
    return [text for text in found if text]


def _line(route: Route, device: str, *, with_address: bool) -> str:
    """Give the line that adds a route; only an interface with an address has the option ``gateway``."""
    if route.to == "default" and route.via and with_address and not route.onlink:
        return f"gateway {route.via}"
    way = f"via {route.via} dev {device}" if route.via else f"dev {device}"
    return f"up ip {'-6 ' if _is_six(route) else ''}route add {route.to} {way}{' onlink' if route.onlink else ''}"


def _networkd(place: Place) -> dict[str, str]:
    made: dict[str, str] = {}
    for name, one in place.interfaces.items():
        if one.kind == "bridge":
            made[f"etc/systemd/network/10-{name}.netdev"] = f"[NetDev]\nName={name}\nKind=bridge\n\n[Bridge]\nSTP=no\n"
        made[f"etc/systemd/network/20-{name}.network"] = _network(place, name, one)
    return made


def _network(place: Place, name: str, one: Interface) -> str:
    network = [f"Bridge={one.bridge}"] if one.bridge else ["IPv6AcceptRA=no", *(f"Address={address}" for address in one.addresses)]
    plain = [route for route in _routes_of(place, name) if route.to == "default" and not route.onlink]
    network += [f"Gateway={route.via}" for route in plain]
    text = f"[Match]\nName={name}\n\n[Network]\n" + "".join(f"{line}\n" for line in network)
    return text + "".join(_section(route) for route in _routes_of(place, name) if route not in plain)


def _section(route: Route) -> str:
    to = ("::/0" if _is_six(route) else "0.0.0.0/0") if route.to == "default" else route.to
    lines = [f"Destination={to}", *([f"Gateway={route.via}"] if route.via else []), *(["GatewayOnLink=yes"] if route.onlink else [])]
    return "\n[Route]\n" + "".join(f"{line}\n" for line in lines)
