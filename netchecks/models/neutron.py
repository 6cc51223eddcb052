"""What OpenStack Neutron knows of things."""

from __future__ import annotations

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
class AgentLog:
    """What an agent of Neutron logged last of trouble: (level, message), the oldest first. ``file``: where."""

    file: str
    lines: tuple[tuple[str, str], ...] = ()


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
    ``forwards``: IPv4. ``proxy_arp``: devices that answer for addresses that are elsewhere.
    """

    name: str
    inside: Namespace
    forwards: bool = False
    proxy_arp: frozenset[str] = frozenset()


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
