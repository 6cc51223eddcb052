"""What OpenStack Neutron knows of things."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NeutronNetwork:
    """What Neutron knows of a network. ``type``: ``vlan``, ``flat``, ``vxlan`` or ``gre``; ``segment``: VLAN, VNI or key, 0 of flat.

    ``bridge``: that of the physical network, empty: the one that the agent's mapping names. ``router``: the UUID of the router that
    its VMs leave by, empty: none that is looked at; ``router_nodes``: by name, those whose L3 agents have it.
    ``distributed``: each of these nodes has a part of the router (DVR), which routes for the node's own VMs.
    """

    id: str
    type: str
    physical_network: str = ""
    segment: int = 0
    bridge: str = ""
    integration_bridge: str = "br-int"
    tunnel_bridge: str = "br-tun"
    router: str = ""
    router_nodes: tuple[str, ...] = ()
    distributed: bool = False

    @property
    def is_tunnel(self) -> bool:
        """Whether nodes carry it to each other in tunnels, not by a physical network."""
        return self.type in {"vxlan", "gre"}


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """What the Open vSwitch agent of a node is told, as far as it tells where packets go. ``files``: where it stands.

    ``mappings``: (physical network, bridge) ... in their order. ``local_ip``: its end of tunnels.
    """

    files: tuple[str, ...] = ()
    mappings: tuple[tuple[str, str], ...] = ()
    integration_bridge: str = "br-int"
    tunnel_bridge: str = "br-tun"
    local_ip: str = ""
    tunnel_types: tuple[str, ...] = ()
    l2_population: bool = False
    arp_responder: bool = False
    distributed: bool = False
    firewall: str = ""

    def bridge_for(self, physical_network: str) -> str:
        """Give the bridge of a physical network; empty where no mapping names it."""
        return next((bridge for name, bridge in self.mappings if name == physical_network), "")


@dataclass(frozen=True, slots=True)
class AgentLine:
    """A line of an agent's log. ``level``: ``ERROR``, ``INFO`` ...; ``ago``: seconds before it was read, None where that is not known.

    ``pid``: the process that wrote it, None where the line does not tell.
    """

    level: str
    message: str
    ago: float | None = None
    pid: int | None = None

    @property
    def connection(self) -> str:
        """The connection to the message queue that it is about; empty where it names none."""
        match = _CONNECTION.search(self.message)
        return match[1] if match else ""

    @property
    def lost(self) -> bool:
        """Whether it says that the agent does not reach the message queue, or Neutron's server by it."""
        return not self.found and _LOST.search(self.message) is not None

    @property
    def found(self) -> bool:
        """Whether it says that the agent reaches them again."""
        return _FOUND.search(self.message) is not None


#: What oslo.messaging's rabbit driver and the agents' report of their state log (impl_rabbit.py; neutron, agent/rpc.py and the agents).
_LOST = re.compile(r"AMQP server .{0,300}is unreachable|Unable to connect to AMQP server|Failed reporting state")
_CONNECTION = re.compile(r"\[([0-9a-f-]{4,40})\] (?:AMQP|Reconnected)")
_FOUND = re.compile(r"Reconnected to AMQP server|has just been revived")


@dataclass(frozen=True, slots=True)
class AgentLog:
    """What an agent of Neutron logged last of trouble, and of its end, the oldest first. ``file``: where, or ``journal``."""

    file: str
    lines: tuple[AgentLine, ...] = ()

    @property
    def errors(self) -> tuple[AgentLine, ...]:
        """The lines of trouble."""
        return tuple(line for line in self.lines if not line.found)


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace of a node, as seen from inside. ``exists`` false: there is none; then ``others`` are those there are.

    ``macs``: by device. ``addresses``: (device, address) of IPv4 and IPv6, with their prefix lengths. ``up``: devices that are up.
    """

    exists: bool
    macs: tuple[tuple[str, str], ...] = ()
    addresses: tuple[tuple[str, str], ...] = ()
    up: frozenset[str] = frozenset()
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FloatingNamespace:
    """The namespace of an external network by which a part of a distributed router is reached (``fip-UUID``).

    ``name``: empty where no namespace of the node is joined to the router; then ``others`` inside are those of other routers.
    ``forwards``: IPv4. ``proxy_arp``: devices that answer for addresses that are elsewhere. ``leads``: what its routes lead to the
    router: floating addresses, and the prefix of the pair of devices.
    """

    name: str
    inside: Namespace
    forwards: bool = False
    proxy_arp: frozenset[str] = frozenset()
    leads: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RouterState:
    """What a router's namespace does with what is for others. ``default``: its IPv4 default routes, as ``ip`` shows them.

    ``role``: of several agents with the same router (HA) what keepalived made this one, ``primary`` or ``standby``; empty: it is alone.
    ``keepalived``: one runs in the namespace. ``distributed``: it is a part of a distributed router (DVR).
    """

    exists: bool
    forwards: bool = False
    default: tuple[str, ...] = ()
    role: str = ""
    distributed: bool = False
    keepalived: bool = False
