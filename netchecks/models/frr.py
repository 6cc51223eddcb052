"""What FRR says of itself, of its neighbours, and of the routes that it announces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from netchecks.models.subjects import Address, Prefix

#: FRR's routing protocols that can tell a fabric of a VM, by daemon, with the families that each speaks.
PROTOCOLS: dict[str, frozenset[int]] = {"bgpd": frozenset({4, 6}), "ospfd": frozenset({4}), "ospf6d": frozenset({6})}


@dataclass(frozen=True, slots=True)
class FrrDaemons:
    """FRR's daemons. ``meant``: by /etc/frr/daemons, with zebra where any is. ``running``: those that vtysh could talk to."""

    meant: frozenset[str] = frozenset()
    running: frozenset[str] = frozenset()

    @property
    def speaks(self) -> frozenset[str]:
        """The daemons of routing protocols that run."""
        return self.running & PROTOCOLS.keys()


@dataclass(frozen=True, slots=True)
class BgpNeighbour:
    """A BGP neighbour as this side sees it. ``name``: its address, or the interface of an unnumbered one.

    ``state``: RFC 4271's (``Established``, ``Active``, ``Idle`` ...). ``shut_down``: on purpose, on this side.
    ``families``: the unicast families that it is activated for. ``reset``: why the last session ended or none came about,
    ``notification``: the reason of the last notification. Both are of the past, and empty where there was none.
    """

    name: str
    remote_as: int
    local_as: int
    state: str
    shut_down: bool = False
    families: frozenset[int] = frozenset()
    reset: str = ""
    notification: str = ""

    @property
    def established(self) -> bool:
        """Routes are exchanged."""
        return self.state == "Established"


@dataclass(frozen=True, slots=True)
class OspfNeighbour:
    """An OSPF neighbour. ``family``: 4 of version 2, 6 of version 3. ``state``: RFC 2328's, without the role: ``Full``, ``ExStart``."""

    family: Literal[4, 6]
    router_id: str
    device: str
    state: str


@dataclass(frozen=True, slots=True)
class Ospf:
    """The OSPF of a node: the families that it speaks, its neighbours, and the external prefixes that it originates itself."""

    families: frozenset[int] = frozenset()
    neighbours: tuple[OspfNeighbour, ...] = ()
    announced: frozenset[Prefix] = frozenset()


@dataclass(frozen=True, slots=True)
class FrrRoute:
    """What FRR has for one address of a VM, its host route.

    ``devices``: by which zebra's selected route leaves, ``protocol``: from where it has it (``kernel``, ``static`` ...).
    ``in_bgp``: bgpd originates it. ``best``: its own path is the one it uses and announces. ``announced_to``: BGP neighbours,
    by name or address.
    """

    address: Address
    protocol: str = ""
    devices: frozenset[str] = frozenset()
    in_bgp: bool = False
    best: bool = False
    announced_to: frozenset[str] = frozenset()
