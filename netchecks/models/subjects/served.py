"""What serves a network: on a node, or as a database."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from netchecks.models.nova_network import DeclaredDatabase
from netchecks.models.subjects.naming import Address, Named
from netchecks.models.subjects.networks import Network
from netchecks.models.subjects.nodes import Connection, Node


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DhcpServer(Named):
    """A DHCP server of a network on a node that can be looked at. Its name is ``network@node``."""

    name: str
    network: Network
    node: Node
    addresses: tuple[Address, ...]
    log: str = ""

    @property
    def namespace(self) -> str:
        """The network namespace of its node that it runs in; empty: the node's own."""
        return f"qdhcp-{self.network.neutron.id}" if self.network.neutron else ""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class VirtualRouter(Named):
    """A router of Neutron's L3 agent that a network's VMs leave by, on a node. Its name is ``network@node``. ``id``: the router's UUID."""

    name: str
    network: Network
    node: Node
    id: str

    @property
    def namespace(self) -> str:
        """The network namespace of its node that it is."""
        return f"qrouter-{self.id}"

    @property
    def snat_namespace(self) -> str:
        """The namespace by which a distributed router sends what has no floating address, on the node that does it for all."""
        return f"snat-{self.id}"

    @property
    def distributed(self) -> bool:
        """Whether it is the part of a distributed router (DVR) that is its node's own."""
        return self.network.neutron is not None and self.network.neutron.distributed


def at_part(router: VirtualRouter) -> tuple[Node, ...]:
    """Give where what only a part of a distributed router has is looked at: at its node; nowhere where the router is in one piece."""
    return (router.node,) if router.distributed else ()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Database(Named):
    """nova's database, as far as it is about one network: asked from this machine. Its name is ``nova@`` and the network's."""

    name: str
    network: Network
    declared: DeclaredDatabase

    @property
    def node(self) -> Node:
        """The place where it is asked: this machine, under a name of its own, so that a replay finds it."""
        return Node(f"database:{self.name}", Connection("local"))

    @property
    def words(self) -> tuple[str, ...]:
        """All that the asking has to know, in one word; of the credentials only where they are."""
        way = self.network.database_way
        told = {"declared": asdict(self.declared), "way": asdict(way) if way else None}
        return (json.dumps(told, sort_keys=True),)
