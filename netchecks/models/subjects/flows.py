"""What shall work: who asks whom for what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from netchecks.models.subjects.naming import Address, Named
from netchecks.models.subjects.networks import Network
from netchecks.models.subjects.nodes import Node
from netchecks.models.subjects.vms import Interface, Place

Protocol: TypeAlias = Literal["arp", "ndp", "icmp", "tcp", "udp", "dhcp", "ra", "throughput"]


@dataclass(frozen=True, slots=True)
class DeclaredThroughput:
    """What a flow shall carry, in bit/s of TCP payload: ``rate`` to its target, ``back`` from there (None: it is not asked).

    ``server``: the place that has the flow's target address, where what is sent is received.
    """

    rate: int
    server: Place
    back: int | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Flow(Named):
    """Traffic that shall work: from a node to an interface of a VM, or to a gateway (``interface`` is None).

    ``namespace``: the network namespace of the source that it is sent from, by name; empty: the source's own.
    ``needs``: what the way has to carry (``ipv4``, ``broadcast``, ``full_size`` ...); a broken state that breaks
    none of them cannot be this flow's cause. ``required`` is false where silence is no failure by itself.
    ``sampled``: a row of packets is sent along it, to see whether some are lost.
    ``throughput``: what it shall carry, of the protocol of that name only.
    ``translated``: what the target becomes on the way (a floating address), where it becomes another one.
    ``external``: the network that such an address is of, where that is one of the inventory.
    """

    name: str
    source: Node
    network: Network
    protocol: Protocol
    target: Address
    interface: Interface | None = None
    port: int | None = None
    size: int | None = None
    required: bool = True
    needs: frozenset[str] = frozenset()
    sampled: bool = False
    throughput: DeclaredThroughput | None = None
    translated: Address | None = None
    namespace: str = ""
    external: Network | None = None

    @property
    def at_uplink(self) -> bool:
        """It is asked out of the source's uplink itself, with the network's tag: the node has no other end of it."""
        return self.network.kind == "neutron" and self.interface is None and not self.namespace

    @property
    def asker(self) -> str:
        """Who sends it, as a person names it."""
        return f"{self.source} in {self.namespace}" if self.namespace else self.source.name

    @property
    def family(self) -> Literal[4, 6]:
        """4 or 6."""
        return self.target.version

    @property
    def peer(self) -> Node | None:
        """The node that has its target address, where that is one of the inventory and measures what comes."""
        server = self.throughput.server if self.throughput else None
        return server if isinstance(server, Node) else None

    @property
    def end_name(self) -> str:
        """Who has its target address, as messages name it: an interface, a node, or the address alone."""
        return str(self.interface or self.peer or self.target)

    def wanted(self, direction: Literal["out", "back"]) -> int | None:
        """Give what it shall carry in one direction, in bit/s, None where that is not declared."""
        told = self.throughput
        return None if told is None else told.rate if direction == "out" else told.back

    @property
    def transfers(self) -> tuple[str, ...]:
        """Whom a measurement of its throughput asks: address and port, then each direction and its declared rate in bit/s."""
        told = self.throughput
        if told is None:
            return ()
        back = () if told.back is None else ("back", str(told.back))
        return (str(self.target), str(self.port), "out", str(told.rate), *back)
