"""What a check is about: the things of the inventory, with every reference resolved.

A subject's ``str`` is its name and its pytest id; its ``repr`` too, so that no report shows more of it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Literal, TypeAlias

from netchecks.models.neutron import NeutronNetwork
from netchecks.models.nova_network import DeclaredDatabase, DeclaredNova

Address: TypeAlias = IPv4Address | IPv6Address
Prefix: TypeAlias = IPv4Network | IPv6Network
AddressOnLink: TypeAlias = IPv4Interface | IPv6Interface
#: RFC 4253 section 4.1.
SSH_PORT = 22

Protocol: TypeAlias = Literal["arp", "ndp", "icmp", "tcp", "udp", "dhcp", "ra", "throughput"]


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
    """How commands reach a place. ``backend`` is ``ssh``, ``local``, ``netns`` or any backend of testinfra.

    ``os``: ``windows`` where no POSIX shell is there, else empty.
    """

    backend: str
    address: str = ""
    user: str = ""
    port: int | None = None
    jump: str = ""
    sudo: bool = False
    identity: str = ""
    ssh_config: str = ""
    os: str = ""


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


@dataclass(frozen=True, slots=True)
class DeclaredPlatform:
    """The platform that manages nodes, in a place of its own on a node: commands run there behind ``prefix``.

    ``prefix`` empty: on the node itself. ``nodes``: the names of those that it manages, None: every other hypervisor.
    """

    name: str
    prefix: tuple[str, ...] = ()
    nodes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Node(_Named):
    """A machine where commands run. ``roles``: ``hypervisor``, ``router``, ``controller`` or a site's own.

    ``platform``: that which manages nodes, where it runs on this one.
    """

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
    platform: DeclaredPlatform | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Access(_Named):
    """The platform's own way to a node that it manages, by SSH. ``source``: the node that the platform is on.

    ``targets``: (address, port) of the nodes that are asked for in one command, this one's among them.
    """

    name: str
    source: Node
    node: Node
    platform: DeclaredPlatform
    targets: tuple[tuple[str, int], ...]

    @property
    def target(self) -> str:
        """The node's address and port, as the fact names them."""
        return f"{self.node.connection.address} {self.node.connection.port or SSH_PORT}"

    @property
    def words(self) -> tuple[str, ...]:
        """How many words the prefix has, the prefix, and each target's address and port."""
        asked = (word for address, port in self.targets for word in (address, str(port)))
        return (str(len(self.platform.prefix)), *self.platform.prefix, *asked)


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
class Network(_Named):
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

    ``guest``: its inside, None where nobody said how it can be entered. ``names``: DNS names that it shall resolve.
    """

    name: str
    node: Node
    domain: str
    tcp: tuple[int, ...] = ()
    udp: tuple[int, ...] = ()
    answers_ping: bool = True
    runs: bool = True
    guest: Guest | None = None
    names: tuple[str, ...] = ()

    @property
    def sender(self) -> Guest | None:
        """Its inside, where the agent of probes can run: Windows has no POSIX shell to start it from."""
        return None if self.guest is None or self.guest.connection.os == "windows" else self.guest


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Interface(_Named):
    """One NIC of a VM. Its name is the VM's where there is only one, else ``vm42-2``.

    ``mac`` is lower case with colons. ``tap`` is empty unless declared: then it is found by MAC.
    ``siblings``: addresses of other VMs of the network that answer ping, on the same node and on another one.
    ``floating``: addresses that its gate translates to its own first one.
    """

    name: str
    vm: Vm
    network: Network
    mac: str
    addresses: tuple[Address, ...] = ()
    tap: str = ""
    siblings: tuple[Address, ...] = ()
    floating: tuple[Address, ...] = ()

    @property
    def node(self) -> Node:
        """The node the VM is on."""
        return self.vm.node

    @property
    def gate(self) -> Node:
        """The node that routes, translates and serves for it: its own, but on a nova-network with one network host that one."""
        host = self.network.nova.host if self.network.nova else ""
        return next((end.node for end in self.network.attachments if end.node.name == host), self.node)

    @property
    def uplink(self) -> str:
        """The uplink of its network on its node; empty where there is none."""
        end = self.network.end(self.node)
        return end.uplink if end else ""

    @property
    def bridge(self) -> str:
        """The bridge of its network on its node; empty where there is none, and where taps are not bridged (IP fabric)."""
        end = self.network.end(self.node)
        return end.bridge if end and self.network.kind != "ip-fabric" else ""

    @property
    def families(self) -> frozenset[int]:
        """4 and 6, as far as it has addresses of them."""
        return frozenset(address.version for address in self.addresses)

    @property
    def gateways(self) -> tuple[Address, ...]:
        """The gateways of the subnets that its addresses are in; on a nova-network the addresses of its gate there."""
        if self.network.nova is not None:
            return self._own_of(self.gate)
        return tuple(
            subnet.gateway for subnet in self.network.subnets
            if subnet.gateway is not None and any(address in subnet.prefix for address in self.addresses)
        )

    @property
    def first_address(self) -> str:
        """Its first IPv4 address; empty where it has none."""
        return next((str(address) for address in self.addresses if address.version == 4), "")  # noqa: PLR2004 - IPv4

    @property
    def first_gateway(self) -> str:
        """Its first IPv4 gateway; empty where it has none."""
        return next((str(address) for address in self.gateways if address.version == 4), "")  # noqa: PLR2004 - IPv4

    @property
    def segment(self) -> int:
        """The VLAN that its network has at the uplink; 0: no tag."""
        return self.network.segment

    @property
    def tunnel_key(self) -> str:
        """The key that its network has in tunnels; empty where it is in none."""
        known = self.network.neutron
        return str(known.segment) if known is not None and known.is_tunnel else ""

    @property
    def questions(self) -> str:
        """What its VM shall answer, apart by blanks: ``icmp``, ``tcp/22``, ``udp/53``."""
        ports = [f"tcp/{port}" for port in self.vm.tcp] + [f"udp/{port}" for port in self.vm.udp]
        return " ".join((["icmp"] if self.vm.answers_ping else []) + ports)

    @property
    def servers(self) -> str:
        """The IPv4 addresses of its network's DHCP servers, apart by blanks."""
        return " ".join(map(str, sorted(self.network.dhcp.addresses(4)))) if self.network.dhcp else ""

    @property
    def node_addresses(self) -> tuple[Address, ...]:
        """The declared addresses of its node in the subnets that its own are in."""
        return self._own_of(self.node)

    def _own_of(self, node: Node) -> tuple[Address, ...]:
        prefixes = [s.prefix for s in self.network.subnets if any(address in s.prefix for address in self.addresses)]
        own = (address.ip for link in node.links for address in link.addresses)
        return tuple(address for address in own if any(address in prefix for prefix in prefixes))

    @property
    def outside(self) -> tuple[Address, ...]:
        """Addresses beyond its gateways that it shall reach."""
        families = {gateway.version for gateway in self.gateways}
        return tuple(address for address in self.network.outside if address.version in families)

    @property
    def asks(self) -> tuple[Address, ...]:
        """Whom its guest tries to reach, each once: gateways, node, siblings, outside. Not those that need a device's name."""
        known = (*self.gateways, *self.node_addresses, *self.siblings, *self.outside)
        return tuple(dict.fromkeys(address for address in known if not address.is_link_local))

    @property
    def queries(self) -> tuple[str, ...]:
        """What its guest asks its resolvers: the names of its VM, and a reverse look-up: of its first address.

        On a nova-network of somebody outside, as for a login from there: dnsmasq itself knows those that it has given.
        """
        outside = self.network.outside[:1] if self.network.nova else ()
        return (*self.vm.names, *map(str, outside or self.addresses[:1]))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DhcpServer(_Named):
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
class Database(_Named):
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


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Link(_Named):
    """An interface of a node that shall be up. ``role``: ``uplink``, ``bridge`` or ``declared``.

    ``kinds``: the kinds of the networks that it carries.
    """

    name: str
    node: Node
    device: str
    role: str
    kinds: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class DeclaredThroughput:
    """What a flow shall carry, in bit/s of TCP payload: ``rate`` to its target, ``back`` from there (None: it is not asked).

    ``server``: the place that has the flow's target address, where what is sent is received.
    """

    rate: int
    server: Place
    back: int | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Flow(_Named):
    """Traffic that shall work: from a node to an interface of a VM, or to a gateway (``interface`` is None).

    ``namespace``: the network namespace of the source that it is sent from, by name; empty: the source's own.
    ``needs``: what the way has to carry (``ipv4``, ``broadcast``, ``full_size`` ...); a broken state that breaks
    none of them cannot be this flow's cause. ``required`` is false where silence is no failure by itself.
    ``sampled``: a row of packets is sent along it, to see whether some are lost.
    ``throughput``: what it shall carry, of the protocol of that name only.
    ``translated``: what the target becomes on the way (a floating address), where it becomes another one.
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
