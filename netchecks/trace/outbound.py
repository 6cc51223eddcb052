"""What a guest sends: from inside where it can be entered, else what it sends by itself while it is watched."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from netchecks.errors import NotSeen, Why
from netchecks.models.routes import Lookup
from netchecks.models.subjects import Address, Flow, Interface, Place
from netchecks.models.traces import Outbound, Point
from netchecks.packet_line import packet_line
from netchecks.probe import PROBES, Action, Ask, Capture, Got, Part, Probe
from netchecks.seen import By
from netchecks.send import UNABLE
from netchecks.trace import sending
from netchecks.trace.declaring import WINDOW, asks_of, trace_of
from netchecks.trace.marks import mark_of

#: Seconds until a guest sends: whom it sends to learns its MAC, and those who ask for that shall have found out by themselves.
LATE = 2.0


def traced_outbound(*, where: Callable[[Interface], bool], points: Callable[..., tuple[Point, ...]]) -> Probe:
    """Declare that what a VM sends by an interface for which ``where`` holds can be followed.

    ``points``: takes the interface and the facts that it names, and gives the points from the guest (where it can be entered) to
    where the node hands its packets on.
    """
    needs = tuple(inspect.signature(points).parameters)[1:]

    def ask(interface: Interface, *facts: By[Any, Any]) -> dict[str, Ask]:
        way = points(interface, *facts)
        guest = interface.vm.sender
        if guest is None:
            return _watch(interface, way)
        return asks_of(guest.name, _places(interface), way, lambda: tuple(_sends(interface)), LATE + WINDOW - sending.FIRST)

    doc = "Let the guest send marked pings to its gateways, or watch its broadcasts, at its tap and at the uplink."
    made = Probe("outbound_traces", Interface, where, ask, _read, needs, root=True, doc=doc, at=_places)
    PROBES.setdefault("outbound_traces", []).append(made)
    return made


def _places(interface: Interface) -> tuple[Place, ...]:
    guest = interface.vm.sender
    return tuple(dict.fromkeys((*((guest,) if guest else ()), interface.node, interface.gate)))


def flows(interface: Interface) -> tuple[Flow, ...]:
    """Give what a guest sends: a ping to its gateway, of each family of which it has an address and the network a gateway.

    Where the gateway is its own node, as on a nova-network, that would go nowhere: then to the first address beyond it.
    """
    found: dict[str, Flow] = {}
    for target in _targets(interface):
        name = f"{interface}-outbound-ipv{target.version}"
        found.setdefault(name, Flow(name, interface.node, interface.network, "icmp", target, interface))
    return tuple(found.values())


def _targets(interface: Interface) -> Iterator[Address]:
    if interface.network.nova is not None:
        yield from interface.outside[:1]
        return
    for subnet in interface.network.subnets:
        if subnet.gateway is not None and any(address in subnet.prefix for address in interface.addresses):
            yield subnet.gateway


def _sends(interface: Interface) -> Iterator[Action]:
    for flow in flows(interface):
        own = next(address for address in interface.addresses if address.version == flow.family)
        yield sending.packets(flow, mark_of(flow.name), Lookup("unicast", "guest", "", str(own)), LATE)


def _watch(interface: Interface, way: tuple[Point, ...]) -> dict[str, Ask]:
    seen = [point for point in way if point.device]
    if len(seen) < len(way):
        raise NotSeen(Why.NOT_POSSIBLE, next(point.why or str(point) for point in way if not point.device))
    captures = tuple(Capture(point.device, senders=(interface.mac,), namespace=point.namespace) for point in seen)
    return {interface.node.name: Ask(captures, WINDOW, json.dumps({"watched": [point.device for point in seen]}))}


def _read(interface: Interface, parts: Mapping[str, Part | NotSeen]) -> Outbound:
    guest = interface.vm.sender
    if guest is not None:
        return Outbound(tuple(trace_of(flow, guest.name, parts) for flow in flows(interface)))
    part = parts[interface.node.name]
    if isinstance(part, NotSeen):
        raise part
    return Outbound((), *_watched(interface, part.got))


def _watched(interface: Interface, got: tuple[Got, ...]) -> tuple[int, tuple[str, ...]]:
    """Give how many broadcasts came from the guest, and those of them that did not leave. Raises NotSeen where it was deaf."""
    for one in got:
        if one.opened is None or one.dropped:
            raise NotSeen(UNABLE.get(one.outcome, Why.FAILED), one.error or f"{one.dropped} frames came too fast to be kept")
    sent = bytes.fromhex(interface.mac.replace(":", ""))
    came, left = ({data for _, _, outgoing, data in one.packets if outgoing == way and data[6:12] == sent}
                  for one, way in zip(got, (False, True), strict=True))
    return len(came), tuple(packet_line(data) for data in sorted(came - left))
