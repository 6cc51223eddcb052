"""What a platform tells the engine: the flows that an inventory implies, and the hops of a flow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from netchecks.models.hops import Hop
from netchecks.models.subjects import Address, Flow, Inventory, Network


@dataclass(frozen=True, slots=True)
class Flows:
    """All flows of a world, found by whom they ask: an interface or (for gateways) a network, and the address."""

    names: dict[tuple[str, Address], list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, flows: Iterable[Flow]) -> Flows:
        """Index them."""
        names: dict[tuple[str, Address], list[str]] = {}
        for flow in flows:
            names.setdefault((_asked(flow), flow.target), []).append(flow.name)
        return cls(names)

    def like(self, flow: Flow) -> frozenset[tuple[str, str]]:
        """Give the flows that ask the same one for the same address, as subjects of a hop."""
        return frozenset(("flow", name) for name in self.names.get((_asked(flow), flow.target), ()))

    def to_gateway(self, flow: Flow, gateway: Address) -> frozenset[tuple[str, str]]:
        """Give the flows that ask a gateway of the flow's network."""
        return frozenset(("flow", name) for name in self.names.get((f"network {flow.network}", gateway), ()))


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
