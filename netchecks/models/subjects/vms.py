"""VMs, their insides, their NICs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from netchecks.models.subjects.naming import Address, Named
from netchecks.models.subjects.networks import Network
from netchecks.models.subjects.nodes import Connection, Node


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Guest(Named):
    """The inside of a VM as a place where commands run; its name is ``guest:`` and the VM's."""

    name: str
    connection: Connection


#: Where commands run.
Place: TypeAlias = Node | Guest


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Vm(Named):
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
class Interface(Named):
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
    def first_ipv6(self) -> str:
        """Its first IPv6 address; empty where it has none."""
        return next((str(address) for address in self.addresses if address.version == 6), "")  # noqa: PLR2004 - IPv6

    @property
    def fixed(self) -> str:
        """Its IPv4 addresses, apart by blanks."""
        return " ".join(str(address) for address in self.addresses if address.version == 4)  # noqa: PLR2004 - IPv4

    @property
    def first_gateway(self) -> str:
        """Its first IPv4 gateway; empty where it has none."""
        return next((str(address) for address in self.gateways if address.version == 4), "")  # noqa: PLR2004 - IPv4

    @property
    def segment(self) -> int:
        """The VLAN that its network has at the uplink; 0: no tag."""
        return self.network.segment

    @property
    def tunnel(self) -> str:
        """The key that its network has in tunnels, their type and their bridge, apart by blanks; empty where it is in none."""
        known = self.network.neutron
        return f"{known.segment} {known.type} {known.tunnel_bridge}" if known is not None and known.is_tunnel else ""

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
