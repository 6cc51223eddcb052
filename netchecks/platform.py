"""What a platform tells the engine: the flows that an inventory implies, and the hops of a flow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from netchecks.models.hops import Hop
from netchecks.models.subjects import Address, Flow, Inventory, Network


@dataclass(frozen=True, slots=True)
class Flows:
    """All flows of a world, found by whom they ask: an interface or (for gateways) a network, and the address."""

    known: dict[tuple[str, Address], list[Flow]] = field(default_factory=dict)

    @classmethod
    def of(cls, flows: Iterable[Flow]) -> Flows:
        """Index them."""
        known: dict[tuple[str, Address], list[Flow]] = {}
        for flow in flows:
            known.setdefault((_asked(flow), flow.target), []).append(flow)
        return cls(known)

    def like(self, flow: Flow) -> frozenset[tuple[str, str]]:
        """Give the flows that ask the same one for the same address, as subjects of a hop."""
        return frozenset(("flow", other.name) for other in self.known.get((_asked(flow), flow.target), ()))

    def from_source(self, flow: Flow) -> frozenset[tuple[str, str]]:
        """Give those of them that begin at the same node."""
        same = self.known.get((_asked(flow), flow.target), ())
        return frozenset(("flow", other.name) for other in same if other.source == flow.source)

    def to_gateway(self, flow: Flow, gateway: Address) -> frozenset[tuple[str, str]]:
        """Give the flows that ask a gateway of the flow's network."""
        return frozenset(("flow", other.name) for other in self.known.get((f"network {flow.network}", gateway), ()))


def _asked(flow: Flow) -> str:
    return f"interface {flow.interface}" if flow.interface else f"network {flow.network}"


@dataclass(frozen=True, slots=True)
class Platform:
    """One platform. ``kinds``: the kinds of network that are its own."""

    name: str
    kinds: frozenset[str]
    flows: Callable[[Network, Inventory], tuple[Flow, ...]]
    hops: Callable[[Flow, Flows], tuple[Hop, ...]]


#: Every platform by name; filled by importing netchecks.platforms.
PLATFORMS: dict[str, Platform] = {}


def register(platform: Platform) -> Platform:
    """Make a platform known."""
    PLATFORMS[platform.name] = platform
    return platform
