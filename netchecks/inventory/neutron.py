"""Networks of kind neutron: what Neutron knows of them, and what cannot be of one."""

from __future__ import annotations

from collections.abc import Iterator

from netchecks.inventory.entries import NetworkEntry, NeutronEntry
from netchecks.inventory.fields import LAST_VLAN
from netchecks.inventory.problems import listed
from netchecks.inventory.site import Object, Site
from netchecks.models.neutron import NeutronNetwork
from netchecks.models.subjects import Attachment, Network

#: The largest segment of each type: IEEE 802.1Q, RFC 7348 (24 bits), RFC 2890 (32 bits).
_LARGEST = {"vlan": LAST_VLAN, "vxlan": (1 << 24) - 1, "gre": (1 << 32) - 1}


def neutron_of(network: Object[NetworkEntry], attachments: tuple[Attachment, ...], site: Site) -> NeutronNetwork | None:
    """Give what is written as a subject's part; note nodes of its router that the network is not on."""
    written = network.written.neutron
    if written is None:
        return None
    return NeutronNetwork(
        written.id, written.type, written.physical_network, written.segmentation_id or 0, written.bridge, written.integration_bridge,
        written.tunnel_bridge, written.router.id if written.router else "", _router_nodes(network, written, attachments, site),
        distributed=written.router is not None and written.router.distributed,
    )


def _router_nodes(
    network: Object[NetworkEntry], written: NeutronEntry, attachments: tuple[Attachment, ...], site: Site,
) -> tuple[str, ...]:
    if written.router is None or not site.complete:
        return ()
    place, own = network.place("neutron", "router", "nodes"), [end.node.name for end in attachments]
    found = [node for text in written.router.nodes for node in site.look_up_nodes(text, place)]
    for node in found:
        if node is not None and node.name not in own and network.name not in site.unsure:
            message = f"found the router's node {node.name!r}, expected nodes of the network {network.name!r}: {listed(own)}"
            site.problems.add(place, message, "router node")
    if not written.router.nodes and "neutron" not in network.damaged:
        site.problems.add(network.place("neutron", "router"), "found no nodes of the router, expected those whose L3 agents have it")
    if not written.router.id and "neutron" not in network.damaged:
        site.problems.add(network.place("neutron", "router"), "found no 'id' of the router, expected its UUID")
    return tuple(dict.fromkeys(node.name for node in found if node is not None))


def check_neutron(network: Network, written: Object[NetworkEntry], site: Site) -> None:
    """Note what a network of kind neutron lacks, and what of it stands at others."""
    if "neutron" in written.damaged or "kind" in written.damaged or not site.complete:
        return
    if network.kind != "neutron":
        if network.neutron is not None:
            message = f"found 'neutron' at the network {network.name!r} of kind {network.kind or 'none'}, expected kind: neutron"
            site.problems.add(written.place("neutron"), message)
        return
    for field, message in _misplaced(network, written):
        site.problems.add(written.place(field), message)
    if network.neutron is None:
        site.problems.add(written.key.place, "the field 'neutron' is missing: what Neutron knows of the network", "missing neutron")
        return
    for field, message in _lacking(network.neutron):
        site.problems.add(written.place("neutron", field), f"the neutron network {network.name!r} {message}", f"neutron {field}")


def _misplaced(network: Network, written: Object[NetworkEntry]) -> Iterator[tuple[str, str]]:
    known = network.neutron
    if any(end.bridge for end in network.attachments) and "nodes" not in written.damaged:
        names = "bridge, integration_bridge, tunnel_bridge"
        yield "bridge", f"found 'bridge', but the bridges of a neutron network stand under 'neutron' ({names})"
    if network.vlan is not None:
        yield "vlan", "found 'vlan', but the VLAN of a neutron network is its 'segmentation_id', under 'neutron'"
    without = [end.node.name for end in network.attachments if not end.uplink]
    if known is not None and not known.is_tunnel and without and not written.damaged & {"uplink", "nodes"}:
        where = f"the neutron network {network.name!r} names no uplink on {listed(without)}"
        yield "uplink", f"{where}, expected the NIC of its physical network"


def _lacking(known: NeutronNetwork) -> Iterator[tuple[str, str]]:
    if not known.id:
        yield "id", "has no 'id', expected its UUID"
    if not known.is_tunnel and not known.physical_network:
        yield "physical_network", f"is of type {known.type} and has no 'physical_network'"
    if known.is_tunnel and known.physical_network:
        yield "physical_network", f"is of type {known.type}, which has no 'physical_network'"
    if known.type == "flat" and known.segment:
        yield "segmentation_id", "is flat and has no 'segmentation_id'"
    if known.type != "flat" and not known.segment:
        yield "segmentation_id", f"is of type {known.type} and has no 'segmentation_id'"
    largest = _LARGEST.get(known.type, known.segment)
    if known.segment > largest:
        yield "segmentation_id", f"has the segmentation ID {known.segment}, expected one up to {largest} for the type {known.type}"
