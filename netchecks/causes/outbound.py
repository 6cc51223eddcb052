"""Where what a guest sends is lost: its own pings, followed over its tap and the uplink, tell more than that nobody answers."""

from __future__ import annotations

from netchecks.cause import cause
from netchecks.errors import Wrong
from netchecks.models.subjects import Interface
from netchecks.models.traces import Outbound, Trace
from netchecks.seen import By

_BREAKS = frozenset({"outbound"})


@cause("vmhost.guest_reaches_gateway", "vmhost.guest_reaches_outside")
def node_drops_what_the_guest_sends(interface: Interface, outbound_traces: By[Interface, Outbound]) -> None:
    """The guest's pings come to its tap, and do not leave the node."""
    for trace in outbound_traces[interface].traces:
        tap, uplink = trace.at("tap", interface.node.name), trace.at("uplink", interface.node.name)
        if tap and uplink and tap.of("request") and not uplink.of("request") and uplink.unseen is None and not trace.answered:
            way = f"{tap.point.device} to {uplink.point.device}"
            message = f"{interface.node}: {interface}'s pings are at its tap {tap.point.device}, and none leaves by {uplink.point.device}"
            raise Wrong(
                "node.drops_outbound", message, place=interface.node.name, hop="tap", layer="passes", breaks=_BREAKS,
                owner="node administrator", remedy=f"follow it from {way}: nft list ruleset, tc filter show",
            )


@cause("vmhost.guest_reaches_gateway", "vmhost.guest_reaches_node", "vmhost.guest_reaches_sibling", "vmhost.guest_reaches_outside")
def guest_drops_what_it_sends(interface: Interface, outbound_traces: By[Interface, Outbound]) -> None:
    """The guest's pings do not come to its tap: it stops them itself."""
    for trace in outbound_traces[interface].traces:
        if _stopped_inside(trace, interface):
            message = f"{interface}: pings that are sent inside do not come to its tap"
            raise Wrong("guest.drops_outbound", message, place=interface.vm.name, breaks=_BREAKS, owner="guest owner")


def _stopped_inside(trace: Trace, interface: Interface) -> bool:
    """A guest that asks for its gateway's MAC may send; one that has no way is told by its routes."""
    tap = trace.at("tap", interface.node.name)
    if tap is None or trace.answered or tap.of("request", "asked"):
        return False
    return bool(trace.sent and tap.unseen is None) or (trace.unsent is not None and trace.unsent.cause == "sender.drops_request")
