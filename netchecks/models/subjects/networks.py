"""Networks that VMs are on, as they are declared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from netchecks.models.neutron import NeutronNetwork
from netchecks.models.nova_network import DeclaredDatabase, DeclaredNova
from netchecks.models.subjects.naming import Address, Named, Prefix
from netchecks.models.subjects.nodes import Connection, Node


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet of a network. ``gateway_answers_ping``: false where it is known to be silent."""

    prefix: Prefix
    gateway: Address | None = None
    gateway_macs: frozenset[str] = frozenset()
    gateway_answers_ping: bool = True

    @property
    def family(self) -> Literal[4, 6]:
        """4 or 6."""
        return self.prefix.version


@dataclass(frozen=True, slots=True)
class Attachment:
    """A node's end of a network: its bridge and its uplink there (either may be empty, by kind)."""

    node: Node
    bridge: str
    uplink: str


@dataclass(frozen=True, slots=True)
class AddressRange:
    """Addresses from ``first`` to ``last``, both of them too, of one family."""

    first: Address
    last: Address

    def __contains__(self, address: Address) -> bool:
        """Tell whether an address is one of them."""
        return address.version == self.first.version and int(self.first) <= int(address) <= int(self.last)

    def __str__(self) -> str:
        """Give it as it is written."""
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class DeclaredDhcpServer:
    """A DHCP server that may answer. ``addresses``: by which it is known, of IPv6 the link-local one that it sends from.

    ``node``: where it runs; None where nobody can look at it. ``log``: a file, where it is not found by itself.
    """

    addresses: tuple[Address, ...]
    node: Node | None = None
    log: str = ""


@dataclass(frozen=True, slots=True)
class Dhcp:
    """How a network's VMs get their addresses. Any of ``servers`` may answer: two are as right as one.

    ``ranges``: what may be offered; of a family without any, every address of the network's subnets.
    ``known_only``: clients that the servers do not know get nothing, rightly. ``implied``: no file says so, the network's kind does.
    """

    servers: tuple[DeclaredDhcpServer, ...]
    ranges: tuple[AddressRange, ...] = ()
    known_only: bool = False
    implied: bool = False

    def addresses(self, family: int) -> frozenset[Address]:
        """Give by which addresses the servers of one family are known; none: that family is not served."""
        return frozenset(address for server in self.servers for address in server.addresses if address.version == family)


@dataclass(frozen=True, slots=True)
class Advertised:
    """What routers shall advertise (RFC 4861): who, by link-local address, and the flags M and O; None: either is right."""

    routers: frozenset[Address] = frozenset()
    managed: bool | None = None
    other: bool | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Network(Named):
    """A network that VMs are on. ``kind``: ``switching``, ``routing``, ``ip-fabric``, ``nova-network`` or ``neutron``. MTU in bytes.

    ``routers``: beyond the nodes' uplinks, they shall know the way to its VMs. ``neutron``: of that kind, what Neutron knows of it.
    ``outside``: addresses beyond its gateways that its VMs shall reach. ``nova``: how OpenStack's nova-network manages it.
    ``database_way``: to the node whose configuration holds the credentials for nova's database.
    """

    name: str
    kind: str
    attachments: tuple[Attachment, ...]
    subnets: tuple[Subnet, ...] = ()
    mtu: int = 1500
    vlan: int | None = None
    resolvers: tuple[Address, ...] = ()
    probe_from: tuple[Node, ...] = ()
    dhcp: Dhcp | None = None
    advertised: Advertised | None = None
    routers: tuple[Node, ...] = ()
    outside: tuple[Address, ...] = ()
    neutron: NeutronNetwork | None = None
    nova: DeclaredNova | None = None
    database_way: Connection | None = None
    _ends: dict[str, Attachment] = field(default_factory=dict, init=False)

    @property
    def database(self) -> DeclaredDatabase | None:
        """The database of nova, where it may be looked into."""
        return self.nova.database if self.nova else None

    @property
    def tunnelled(self) -> NeutronNetwork | None:
        """What is known of a network of Neutron in tunnels."""
        return self.neutron if self.neutron and self.neutron.is_tunnel else None

    @property
    def provided(self) -> NeutronNetwork | None:
        """What is known of a network of Neutron on a physical one: a VLAN, or untagged."""
        return self.neutron if self.neutron and not self.neutron.is_tunnel else None

    @property
    def segment(self) -> int:
        """The VLAN that it has at its uplinks; 0: no tag."""
        if self.neutron is not None:
            return self.neutron.segment if self.neutron.type == "vlan" else 0
        return self.vlan or 0

    def at(self, node: Node) -> Attachment:
        """Give the node's end of this network. Raises KeyError where the node is not on it."""
        found = self.end(node)
        if found is None:
            raise KeyError(node.name)
        return found

    def end(self, node: Node) -> Attachment | None:
        """Give the node's end of this network, None where the node is not on it. Asked for each flow of a site: so by name at once."""
        if not self._ends:
            self._ends.update((one.node.name, one) for one in reversed(self.attachments))
        return self._ends.get(node.name)
