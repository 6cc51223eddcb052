"""What a guest sends: whether it comes to its tap, and from there out of the node."""

from __future__ import annotations

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.subjects import Interface
from netchecks.models.traces import Kind, Outbound, Seen, Trace
from netchecks.seen import By

#: What the kernel says to a sender without a way, whose routes another check judges; and to one whose rules drop the packet.
_NO_WAY = ("[Errno 101]", "[Errno 113]")
#: What no flow to a guest needs: an answer is not what a guest sends by itself.
_FORTH: tuple[Kind, ...] = ("request", "asked")
_BREAKS = frozenset({"outbound"})


@pytest.mark.kind("switching")
@pytest.mark.inside
@pytest.mark.hop("guest", "policy")
def test_outbound_reaches_tap(interface: Interface, outbound_traces: By[Interface, Outbound]) -> None:
    """What the guest sends to its gateway comes to its tap.

    Why: what never comes to the tap is stopped inside the guest, most often by its firewall.
    Remedy: guest owner: look at the guest's firewall (output), routes and addresses
    Source: VMmanager knowledge base, the guest's diagnosis, step 3: not visible at the VM's interface
    """
    if not _followed(interface):
        return
    for trace in outbound_traces[interface].traces:
        tap = _at(trace, "tap", interface)
        if trace.answered or tap.of("request", "asked") or (trace.unsent and any(word in str(trace.unsent) for word in _NO_WAY)):
            continue  # one that asks for its gateway's MAC may send
        if trace.unsent is not None and trace.unsent.cause != "sender.drops_request":
            raise trace.unsent
        _must_have_looked(tap)
        why = f" ({trace.unsent.detail})" if trace.unsent else ""
        message = f"{interface}: pings that are sent inside do not come to its tap {tap.point.device}{why}"
        raise Wrong("guest.drops_outbound", message, place=interface.vm.name, breaks=_BREAKS)


@pytest.mark.kind("switching")
@pytest.mark.hop("tap", "passes")
def test_outbound_leaves_uplink(interface: Interface, outbound_traces: By[Interface, Outbound]) -> None:
    """What the guest sends and comes to its tap leaves the node by the uplink.

    A guest that cannot be entered is watched: its broadcasts have to leave. One that sends none meanwhile proves nothing wrong.
    Why: what is at the tap and not at the uplink is lost on this node.
    Remedy: node administrator: follow it from the tap to the uplink: bridge fdb show, nft list ruleset, tc filter show
    Source: VMmanager knowledge base, the guest's diagnosis, step 3: lost between the two interfaces
    """
    if not _followed(interface):
        return
    node, outbound = interface.node, outbound_traces[interface]
    if outbound.lost and len(outbound.lost) == outbound.watched:
        message = f"{node}: {interface}'s broadcasts come to its tap, and none leaves by the uplink: {outbound.lost[0]}"
        raise Wrong("node.drops_outbound", message, place=node.name, breaks=_BREAKS)
    for trace in outbound.traces:
        tap, uplink = _at(trace, "tap", interface), _at(trace, "uplink", interface)
        kinds = [kind for kind in _FORTH if tap.of(kind)]
        if trace.answered or not kinds or uplink.of(kinds[0]):
            continue
        _must_have_looked(uplink)
        message = f"{node}: {interface}'s pings are at its tap {tap.point.device}, and none leaves by the uplink {uplink.point.device}"
        raise Wrong("node.drops_outbound", message, place=node.name, breaks=_BREAKS)


def _followed(interface: Interface) -> bool:
    """A bridge without an uplink leads nowhere: nothing shall leave the node."""
    return interface.vm.runs and bool(interface.network.at(interface.node).uplink)


def _at(trace: Trace, hop: str, interface: Interface) -> Seen:
    seen = trace.at(hop, interface.node.name)
    if seen is None:
        raise NotSeen(Why.NOT_POSSIBLE, f"the way has no {hop} at {interface.node}")
    return seen


def _must_have_looked(seen: Seen) -> None:
    if seen.unseen is not None:
        raise seen.unseen
