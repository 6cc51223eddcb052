"""The addresses of a node: there, usable, alone in their subnet, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netchecks.errors import Wrong
from netchecks.models.links import Link as Device
from netchecks.models.routes import InterfaceAddress, Neighbour
from netchecks.models.subjects import AddressOnLink, DeclaredLink, Link, Node, Prefix
from netchecks.models.table import Table
from netchecks.seen import By, note

Addresses = By[Node, Table[tuple[InterfaceAddress, ...]]]

#: IPv6 addresses that come and go by design: SLAAC (RFC 4862), privacy (RFC 8981), and what replaces them.
PASSING = frozenset({"dynamic", "temporary", "mngtmpaddr", "deprecated"})
#: What the kernel knows from its own asking, not from a cache that may be old (linux/neighbour.h, NUD_*).
FRESH = frozenset({"REACHABLE", "DELAY", "PROBE"})


@pytest.mark.hop("sender", "address")
def test_address_is_present(node: Node, addresses: Addresses, links: By[Node, Table[Device]]) -> None:
    """Each declared address is on its interface, with its prefix length, and duplicate address detection accepts it.

    Why: a node without its address neither answers nor knows its neighbours; with a wrong prefix it takes strangers for them.
    Remedy: node administrator: ip addr add the declared address with its prefix length, and put it into the boot configuration
    Source: VMmanager knowledge base, "Предварительная диагностика"; OpenStack operations guide, chapter 13; RFC 4862 section 5.4
    """
    for link in node.links:
        if not link.addresses:
            continue
        found = addresses[node].get(link.name, ())
        if link.name not in links[node] or not links[node][link.name].up:
            _taken_by_its_link(node, link, found)
            continue
        for declared in link.addresses:
            _is_there(node, link.name, declared, found)


def _taken_by_its_link(node: Node, link: DeclaredLink, found: tuple[InterfaceAddress, ...]) -> None:
    """An address that is gone with its device is what follows from that, never the cause (IPv6 goes when a link goes down)."""
    present = {item.address for item in found}
    gone = [str(declared) for declared in link.addresses if declared not in present]
    if gone:
        raise Wrong(
            "address.missing", f"{node}: {', '.join(gone)} not there, as {link.name} is missing or down", place=node.name,
            hop="uplink", breaks=frozenset({"own address"}), remedy=f"put {link.name} right first",
        )


def _is_there(node: Node, device: str, declared: AddressOnLink, found: tuple[InterfaceAddress, ...]) -> None:
    breaks = frozenset({f"ipv{declared.version}", "unicast"})
    same = [item for item in found if item.address.ip == declared.ip]
    if not same:
        others = sorted(str(item.address) for item in found if item.address.version == declared.version)
        raise Wrong(
            "address.missing", f"{node}: {device} lacks {declared}; it has {others}", place=node.name, breaks=breaks,
            remedy=f"ip addr add {declared} dev {device}",
        )
    if "dadfailed" in same[0].flags:
        raise Wrong(
            "address.dad_failed", f"{node}: {declared} on {device} is refused by duplicate address detection: somebody else has it",
            place=node.name, breaks=breaks, owner="network engineer",
            remedy=f"find who answers for {declared.ip} (ndisc6 {declared.ip} {device}), then ip addr del and add {declared} again",
        )
    if all(item.address.network != declared.network for item in same):
        raise Wrong(
            "address.wrong_prefix", f"{node}: {device} has {same[0].address}, expected {declared}", place=node.name, breaks=breaks,
            remedy=f"ip addr add {declared} dev {device} && ip addr del {same[0].address} dev {device}",
        )
    if "tentative" in same[0].flags and not same[0].usable:
        note("address.tentative", f"{node}: {declared} on {device} is still being checked for duplicates")


def test_address_is_only_one(link: Link, addresses: Addresses) -> None:
    """An interface that carries the node's address has no second one of the same subnet.

    Why: with a static and a DHCP address at once, answers and tunnels leave with the wrong one.
    Remedy: node administrator: keep one: ip addr del the other dev {link.device}; BOOTPROTO=none or dhcp, not both
    Source: Kubernetes troubleshooting, two addresses on one NIC
    """
    node = link.node
    declared = {address.ip for one in node.links if one.name == link.device for address in one.addresses}
    own = [item for item in addresses[node].get(link.device, ()) if _is_primary(item, link.device)]
    for subnet in dict.fromkeys(item.address.network for item in own):
        inside = [item for item in own if item.address.network == subnet]
        extra = [item for item in inside if item.address.ip not in declared]
        if len(inside) > 1 and extra:
            _two(link, subnet, inside, extra)


def _is_primary(item: InterfaceAddress, device: str) -> bool:
    """Tell an address of the node itself from a floating one, an alias, a point-to-point one and those that come and go."""
    address = item.address
    if address.network.prefixlen == address.max_prefixlen or address.ip.is_link_local or item.peer is not None:
        return False
    if address.version == 4:
        return item.label in {"", device}  # eth0:1 is an alias that somebody made on purpose
    return not item.flags & PASSING


def _two(link: Link, subnet: Prefix, inside: list[InterfaceAddress], extra: list[InterfaceAddress]) -> None:
    leased = [str(item.address) for item in inside if "dynamic" in item.flags]
    shown = ", ".join(str(item.address) for item in inside)
    message = f"{link.node}: {link.device} has {shown}, all of {subnet}, expected one"
    if subnet.version == 6:
        note("node.several_ipv6_addresses", message.removesuffix(", expected one"))
        return
    raise Wrong(
        "node.two_addresses_of_one_subnet", message + (f"; {', '.join(leased)} by DHCP" if leased else ""), place=link.node.name,
        remedy=f"ip addr del {extra[-1].address} dev {link.device}, after finding who adds it (DHCP and static at once?)",
    )


def test_address_is_unique(node: Node, neighbours: By[Node, tuple[Neighbour, ...]], links: By[Node, Table[Device]]) -> None:
    """No other node of the run has just heard somebody else answer for this node's declared addresses.

    Judged on what the neighbours' kernels learned by asking for themselves; nothing is sent, as a node that asks for its
    own address looks like duplicate detection (TRAPS, "Sending").

    Why: of two machines with one address, each gets the other's packets now and then.
    Remedy: network engineer: find the machine with the MAC named here, by the switch's MAC table
    Source: Kubernetes troubleshooting, duplicate address; RFC 5227; RFC 4862 section 5.4
    """
    own = {address.ip for link in node.links for address in link.addresses}
    if not own:
        return
    macs = {device.mac for device in links[node].values()}  # two NICs on one wire answer for each other: both are its own
    strangers = [
        f"{other} hears {item.mac} for {item.address}" for other, item in _fresh(neighbours, node)
        if item.address in own and item.mac not in macs
    ]
    if strangers:
        raise Wrong(
            "address.not_unique", f"{node}: {'; '.join(strangers)}, expected one of {sorted(mac for mac in macs if mac)}",
            place=node.name,
        )


def _fresh(neighbours: By[Node, tuple[Neighbour, ...]], node: Node) -> Iterator[tuple[Node, Neighbour]]:
    for other, items in neighbours.seen().items():
        if other != node:
            yield from ((other, item) for item in items if item.mac and item.states & FRESH and "proxy" not in item.flags)
