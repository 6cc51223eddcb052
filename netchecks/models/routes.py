"""Addresses, routes, policy rules and neighbours of a node, as the kernel tells them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from netchecks.models.subjects import Address, AddressOnLink, Prefix


@dataclass(frozen=True, slots=True)
class InterfaceAddress:
    """An address on an interface. ``flags``: iproute2's words (``tentative``, ``dadfailed``, ``dynamic``, ``temporary`` ...).

    ``peer``: the other end of a point-to-point address. ``label``: IPv4 only (``br0:vip``).
    """

    address: AddressOnLink
    scope: str = ""
    flags: frozenset[str] = frozenset()
    label: str = ""
    peer: Address | None = None

    @property
    def usable(self) -> bool:
        """The kernel answers for it: duplicate address detection is not still running and has not failed."""
        return "dadfailed" not in self.flags and ("tentative" not in self.flags or "optimistic" in self.flags)


@dataclass(frozen=True, slots=True)
class NextHop:
    """One way of a route. ``gateway`` may be of the other family (RFC 5549); None: the destination is on the link."""

    device: str = ""
    gateway: Address | None = None
    weight: int = 1
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Route:
    """A route of one table. ``kind``: ``unicast``, ``local``, ``broadcast``, ``blackhole``, ``unreachable`` ...

    ``device`` and ``gateway`` are those of the only way; with several (``nexthops``) they are empty.
    ``metric``: 0 where none is told, the kernel's own default for IPv4. ``flags``: ``linkdown``, ``dead``, ``onlink`` ...
    ``encapsulation``: the words of a route that wraps its packets, else empty. ``tos``: as told, else empty.
    ``origin``: the sources that it is for, None: all.
    """

    destination: Prefix
    kind: str = "unicast"
    table: str = "main"
    protocol: str = ""
    scope: str = ""
    metric: int = 0
    device: str = ""
    gateway: Address | None = None
    source: Address | None = None
    nexthops: tuple[NextHop, ...] = ()
    flags: frozenset[str] = frozenset()
    nexthop_id: int | None = None
    mtu: int | None = None
    tos: str = ""
    encapsulation: str = ""
    origin: Prefix | None = None

    @property
    def family(self) -> Literal[4, 6]:
        """4 or 6."""
        return self.destination.version

    @property
    def ways(self) -> tuple[NextHop, ...]:
        """Every way: the next hops, or the only one. Empty for blackholes and their like."""
        if self.nexthops:
            return self.nexthops
        if not self.device and self.gateway is None:
            return ()
        return (NextHop(self.device, self.gateway, 1, self.flags),)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the routing policy. ``source`` and ``destination`` None: all. ``table`` or ``action`` says what happens.

    ``action``: ``lookup``, ``blackhole``, ``unreachable``, ``prohibit``, ``goto N``, ``nop``. ``conditions``: what else
    has to hold, in iproute2's words (``iif br0``, ``fwmark 0x10/0xff``, ``ipproto tcp``): a rule with any may not apply.
    """

    family: Literal[4, 6]
    priority: int
    source: Prefix | None = None
    destination: Prefix | None = None
    action: str = "lookup"
    table: str = ""
    conditions: frozenset[str] = frozenset()
    inverted: bool = False
    suppress_prefixlength: int | None = None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entry of the ARP or NDP cache. ``mac`` None: not known. ``states``: ``REACHABLE``, ``STALE``, ``FAILED`` ...

    ``flags``: ``router``, ``proxy``, ``extern_learn``, ``offload`` ...
    """

    address: Address
    device: str
    mac: str | None = None
    states: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()

    @property
    def router(self) -> bool:
        """It said in its neighbour advertisement that it is a router (RFC 4861 section 4.4)."""
        return "router" in self.flags

    @property
    def failed(self) -> bool:
        """The kernel asked for it and nobody answered (NUD_FAILED; NUD_INCOMPLETE is still asking)."""
        return "FAILED" in self.states


@dataclass(frozen=True, slots=True)
class Lookup:
    """The kernel's own choice for one destination (``ip route get``). ``kind``: ``unicast``, ``local``, ``unreachable`` ...

    ``filtered``: the kernel takes no packet of that source by that device (rp_filter).

    ``gateway`` is empty where the destination is on the link; ``device`` where there is no way.
    """

    kind: str
    device: str = ""
    gateway: str = ""
    source: str = ""

    @property
    def address(self) -> Address | None:
        """The source address that the kernel would choose; None where it told none."""
        try:
            return ip_address(self.source)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class VmWay:
    """Where its node sends packets for one address of a VM. ``own``: the node's; ``forwarded``: those from outside.

    ``forwarded`` is None where the network has no uplink there. The kernel refuses them too where forwarding is off or
    a filter of the reverse path would drop them.
    """

    own: Lookup
    forwarded: Lookup | None = None


@dataclass(frozen=True, slots=True)
class FloatingWay:
    """What the namespace of the external network does with packets: ``into`` for a floating address, ``out`` for what comes from it."""

    into: Lookup
    out: Lookup


@dataclass(frozen=True, slots=True)
class RouterWay:
    """What a node's part of a distributed router does with packets of one VM.

    ``back``: by each of the VM's addresses, the way of what it sends outside from that; none without a leg in its network.
    ``floating``: by address, those that could be asked for.
    """

    exists: bool
    back: tuple[tuple[str, Lookup], ...] = ()
    floating: tuple[tuple[str, FloatingWay], ...] = ()
