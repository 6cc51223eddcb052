"""What the kernel and the routing daemons together show of a node in an IP fabric."""

from __future__ import annotations

from netchecks.cause import cause
from netchecks.errors import Wrong
from netchecks.models.frr import FrrRoute
from netchecks.models.routes import VmWay
from netchecks.models.subjects import Interface
from netchecks.models.table import Table
from netchecks.seen import By


@cause("vmhost.host_route_is_present")
def frr_has_what_the_kernel_lacks(
    interface: Interface, vm_routes: By[Interface, Table[VmWay]], frr_routes: By[Interface, Table[FrrRoute]],
) -> None:
    """FRR announces an address of the VM, so the fabric sends its packets here; the kernel has no route to the VM for it."""
    node = interface.node
    for address in interface.addresses:
        own, way = frr_routes[interface].get(str(address)), vm_routes[interface][str(address)].own
        if own is not None and _is_its_own(own) and _leads_away(interface, way.device, way.gateway):
            raise Wrong(
                "frr.route_not_in_kernel", f"{node}: FRR has the route of {interface} {address}, the kernel sends its packets "
                f"{f'by {way.device}' if way.device else 'nowhere'}", place=node.name, hop="announcer",
                breaks=frozenset({f"ipv{address.version}", "unicast"}),
                remedy=f"ip route add {address} dev the tap; "
                "find why FRR announces what is not there (network statement, import-check)",
            )


def _is_its_own(route: FrrRoute) -> bool:
    """Tell a route that FRR has of this node from one that the fabric told it."""
    return route.in_bgp or route.protocol not in {"", "bgp", "ospf", "ospf6"}


def _leads_away(interface: Interface, device: str, gateway: str) -> bool:
    """Tell a way back to the fabric, or none at all, from one to a device of the node."""
    return bool(gateway) or device in {"", interface.uplink}
