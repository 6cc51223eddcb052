"""Which other VMs a guest tries to reach: one on its own node, one on another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from netchecks.inventory.site import Site
from netchecks.models.subjects import Address, Interface


@dataclass(slots=True)
class _Members:
    """The interfaces of one network that answer ping, by node."""

    by_node: dict[str, list[Interface]] = field(default_factory=dict)

    def near(self, interface: Interface) -> Iterator[Interface]:
        """Give the next one on the same node, in a circle: so nobody is asked by all the others."""
        own = self.by_node.get(interface.node.name, [])
        at = next((number for number, other in enumerate(own) if other.vm == interface.vm), -1)
        yield from (other for other in (own[at + 1:] + own[:at])[:1] if other.vm != interface.vm)

    def far(self, interface: Interface) -> Iterator[Interface]:
        """Give the first one of the next node that has any, in a circle."""
        names = list(self.by_node)
        at = names.index(interface.node.name) if interface.node.name in self.by_node else -1
        others = [name for name in (*names[at + 1:at + 2], *names[:1]) if name != interface.node.name]
        yield from self.by_node[others[0]][:1] if others else ()


def meet(site: Site) -> None:
    """Give each interface of a guest that is entered the addresses of its siblings, of the families that it has itself."""
    members: dict[str, _Members] = {}
    for interface, _, _ in site.interfaces:
        if interface.vm.runs and interface.vm.answers_ping and interface.addresses:
            known = members.setdefault(interface.network.name, _Members())
            known.by_node.setdefault(interface.node.name, []).append(interface)
    site.interfaces[:] = [
        (_met(interface, members) if interface.vm.guest else interface, vm, index) for interface, vm, index in site.interfaces
    ]


def _met(interface: Interface, members: dict[str, _Members]) -> Interface:
    return replace(interface, siblings=_siblings(interface, members.get(interface.network.name, _Members())))


def _siblings(interface: Interface, members: _Members) -> tuple[Address, ...]:
    found: dict[Address, None] = {}
    for other in (*members.near(interface), *members.far(interface)):
        for family in sorted(interface.families):
            found.update(dict.fromkeys([address for address in other.addresses if address.version == family][:1]))
    return tuple(found)
