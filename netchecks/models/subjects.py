"""What a check is about: the things of the inventory, with every reference resolved.

A subject's ``str`` is its name and its pytest id; its ``repr`` too, so that no report shows more of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Literal, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Prefix: TypeAlias = IPv4Network | IPv6Network
AddressOnLink: TypeAlias = IPv4Interface | IPv6Interface
Protocol: TypeAlias = Literal["arp", "ndp", "icmp", "tcp", "udp", "dhcp", "ra"]


class _Named:
    """Shows only the name, and is the same subject when the name is the same."""

    __slots__ = ()
    name: str

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return self.name

    def __hash__(self) -> int:
        return hash((type(self), self.name))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.name == other.name


@dataclass(frozen=True, slots=True)
class Connection:
    """How commands reach a node. ``backend`` is ``ssh``, ``local``, ``netns`` or any backend of testinfra."""

    backend: str
    address: str = ""
    user: str = ""
    port: int | None = None
    jump: str = ""
    sudo: bool = False
    identity: str = ""
    ssh_config: str = ""


@dataclass(frozen=True, slots=True)
class DeclaredRoute:
    """A route that shall be there: ``to`` by ``via`` and/or ``dev``."""

    to: Prefix
    via: Address | None = None
    dev: str = ""


@dataclass(frozen=True, slots=True)
class DeclaredLink:
    """An interface of a node that shall be up, with the addresses it shall have. Speed in Mb/s."""

    name: str
    addresses: tuple[AddressOnLink, ...] = ()
    speed: int | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Node(_Named):
    """A machine where commands run. ``roles``: ``hypervisor``, ``router``, ``controller`` or a site's own."""

    name: str
    connection: Connection
    roles: frozenset[str] = frozenset({"hypervisor"})
    links: tuple[DeclaredLink, ...] = ()
    routes: tuple[DeclaredRoute, ...] = ()
    services: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    names_inside: tuple[str, ...] = ()
    names_outside: tuple[str, ...] = ()
    sysctl: tuple[tuple[str, str], ...] = ()


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
    ``known_only``: clients that the servers do not know get nothing, rightly.
    """

    servers: tuple[DeclaredDhcpServer, ...]
    ranges: tuple[AddressRange, ...] = ()
    known_only: bool = False

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
class Network(_Named):
    """A network that VMs are on. ``kind``: ``switching``, ``routing`` or ``ip-fabric``. MTU in bytes."""

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

    def at(self, node: Node) -> Attachment:
        """Give the node's end of this network. Raises KeyError where the node is not on it."""
        for attachment in self.attachments:
            if attachment.node == node:
                return attachment
        raise KeyError(node.name)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Guest(_Named):
    """The inside of a VM as a place where commands run; its name is ``guest:`` and the VM's."""

    name: str
    connection: Connection


#: Where commands run.
Place: TypeAlias = Node | Guest


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Vm(_Named):
    """A virtual machine. ``domain``: its libvirt name. Ports are those that shall answer.

    ``guest``: its inside, None where nobody said how it can be entered.
    """

    name: str
    node: Node
    domain: str
    tcp: tuple[int, ...] = ()
    udp: tuple[int, ...] = ()
    answers_ping: bool = True
    runs: bool = True
    guest: Guest | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Interface(_Named):
    """One NIC of a VM. Its name is the VM's where there is only one, else ``vm42-2``.

    ``mac`` is lower case with colons. ``tap`` is empty unless declared: then it is found by MAC.
    """

    name: str
    vm: Vm
    network: Network
    mac: str
    addresses: tuple[Address, ...] = ()
    tap: str = ""

    @property
    def node(self) -> Node:
        """The node the VM is on."""
        return self.vm.node


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DhcpServer(_Named):
    """A DHCP server of a network on a node that can be looked at. Its name is ``network@node``."""

    name: str
    network: Network
    node: Node
    addresses: tuple[Address, ...]
    log: str = ""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Link(_Named):
    """An interface of a node that shall be up. ``role``: ``uplink``, ``bridge`` or ``declared``."""

    name: str
    node: Node
    device: str
    role: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Flow(_Named):
    """Traffic that shall work: from a node to an interface of a VM, or to a gateway (``interface`` is None).

    ``needs``: what the way has to carry (``ipv4``, ``broadcast``, ``full_size`` ...); a broken state that breaks
    none of them cannot be this flow's cause. ``required`` is false where silence is no failure by itself.
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

    @property
    def family(self) -> Literal[4, 6]:
        """4 or 6."""
        return self.target.version


@dataclass(frozen=True, slots=True)
class Waiver:
    """A failure that is accepted: ``check`` and ``subject`` are shell patterns. ``until`` is ISO 8601 or empty."""

    check: str
    subject: str
    reason: str
    until: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that is meant, in the order of the files. Flows are the declared ones only: platforms add the implied."""

    nodes: tuple[Node, ...] = ()
    networks: tuple[Network, ...] = ()
    vms: tuple[Vm, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    flows: tuple[Flow, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    files: tuple[str, ...] = ()
