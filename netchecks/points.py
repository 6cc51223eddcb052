"""Points of a packet's way that platforms have in common: where it is looked for."""

from __future__ import annotations

from netchecks.errors import NotSeen
from netchecks.models.domains import Domain
from netchecks.models.links import Link
from netchecks.models.subjects import Flow, Interface, Node, Place
from netchecks.models.table import Table
from netchecks.models.traces import Point
from netchecks.seen import By
from netchecks.taps import tap_of


def trace_places(flow: Flow) -> tuple[Place, ...]:
    """Give the places of a flow's way: who sends, the VM's node, the inside of the VM where it can be entered."""
    assert flow.interface is not None
    guest = flow.interface.vm.sender
    return tuple(dict.fromkeys((flow.source, flow.interface.node, *((guest,) if guest else ()))))


def uplink_point(node: Node, device: str, links: By[Node, Table[Link]], *, leaves: bool) -> Point:
    """Give the uplink of a node. With a program on it frames go past what looks at them; those of a bond pass the bond itself."""
    try:
        known = links[node]
    except NotSeen:
        return Point(node.name, "uplink", device, leaves)
    if device not in known:
        return Point(node.name, "uplink", "", leaves, why=f"{node} has no device {device}")
    return Point(node.name, "uplink", device, leaves, blind=f"{device} has an XDP program" if known[device].xdp else "")


def tap_point(interface: Interface, domains: By[Node, Table[Domain]]) -> Point:
    """Give the VM's tap, or why it is not known."""
    try:
        tap = tap_of(interface, domains)
    except NotSeen as reason:
        return Point(interface.node.name, "tap", "", leaves=True, why=str(reason))
    return Point(interface.node.name, "tap", tap, leaves=True, why="" if tap else f"{interface} has no tap there: its domain does not run")


def guest_point(interface: Interface) -> tuple[Point, ...]:
    """Give the guest's own NIC where the guest can be entered."""
    guest = interface.vm.sender
    return (Point(guest.name, "guest", f"mac:{interface.mac}", leaves=False),) if guest else ()
