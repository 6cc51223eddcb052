"""Make networks and VMs of an inventory from what OpenStack's API told, on the nodes that the inventory has already."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from netchecks.errors import NetchecksError
from netchecks.inventory.problems import did_you_mean, listed
from netchecks.models.subjects import Node
from netchecks.openstack.asking import Cloud
from netchecks.openstack.documents import DISTRIBUTED_PORT, ROUTER_PORTS, Network, Port, Subnet

#: What netchecks knows the way through (docs/inventory.md, Networks of OpenStack Neutron).
_TYPES = frozenset({"vlan", "flat", "vxlan", "gre"})
_TUNNELS = frozenset({"vxlan", "gre"})
#: neutron_lib.constants: of a distributed router; of any router in the external network; of several agents' routers among themselves.
_OUTER, _HA = "network:router_gateway", "network:router_ha_interface"
_L3 = "L3 agent"
#: A port that waits for a DHCP agent (neutron_lib.constants.DEVICE_ID_RESERVED_DHCP_PORT).
_RESERVED = "reserved_dhcp_port"
#: nova.objects.fields.InstanceState, as the API shows it: those in which no domain runs, on purpose.
_OFF = frozenset({"SHUTOFF", "STOPPED", "SUSPENDED", "SHELVED", "SHELVED_OFFLOADED"})
#: neutron_lib.constants: TAP_DEVICE_PREFIX, and so much of the port's id.
_TAP, _TAP_DIGITS = "tap", 11
_IPV4 = 4
_LONGEST = 90


@dataclass(frozen=True, slots=True)
class Choice:
    """What the API cannot tell. ``uplinks``: physical network (empty: any) -> NIC; ``hosts``: host of the API -> node."""

    uplinks: Mapping[str, str] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)
    skip: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of an inventory: its name, its fields, and what a reader has to know of it."""

    name: str
    fields: Mapping[str, Any]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Derived:
    """Networks and VMs, and what was left out or looks wrong, a sentence each."""

    networks: tuple[Entry, ...]
    vms: tuple[Entry, ...]
    doubts: tuple[str, ...]


def derive(cloud: Cloud, nodes: Sequence[Node], choice: Choice) -> Derived:
    """Give the inventory's networks and VMs. Raises NetchecksError with every host that no node stands for."""
    making = _Making(cloud, choice, _names((one.id, one.name) for one in cloud.networks))
    making.match(nodes)
    networks = [making.network(one) for one in cloud.networks if making.takes(one)]
    vms = list(making.vms())
    return Derived(_sorted(networks), _sorted(vms), tuple(dict.fromkeys((*cloud.doubts, *making.agents(), *making.doubts))))


@dataclass(slots=True)
class _Making:
    """The work: ``nodes``: host of the API -> name of a node; ``names``: id of a network -> its name in the inventory."""

    cloud: Cloud
    choice: Choice
    names: dict[str, str]
    nodes: dict[str, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)

    def match(self, nodes: Sequence[Node]) -> None:
        """Find the node of each host that has a port. Raises NetchecksError."""
        of_routers = {one.host for agents in self.cloud.routers.values() for one in agents if one.kind == _L3}
        hosts = sorted({one.host for one in self.cloud.ports if one.host} | of_routers)
        found = {host: _node_of(self.choice.hosts.get(host, host), nodes) for host in hosts}
        self.nodes = {host: name for host, name in found.items() if name}
        missing = [host for host, name in found.items() if not name]
        if not missing:
            return
        names = [one.name for one in nodes]
        told = [f"the API's host {host!r} is no node of the inventory{did_you_mean(host, names)}" for host in missing]
        if not self.choice.skip:
            told.append("add them as nodes, say --node HOST=NODE where a node has another name, or --skip-unknown to do without them")
            raise NetchecksError("\n".join(told))
        self.doubts.extend(f"{line}: what is on it is left out" for line in told)

    def takes(self, network: Network) -> bool:
        """Tell whether there is something to look at of a network, and a way through it is known; note it where not."""
        why, ports = "", [one for one in self.cloud.ports if one.network == network.id]
        if ports and all(one.owner == _HA for one in ports):
            return False  # nothing but routers that watch each other
        if network.type not in _TYPES:
            why = f"is of the type {network.type}, expected one of {listed(sorted(_TYPES))}"
        elif not any(one.host in self.nodes for one in ports):
            why = "has no port on a node of the inventory"
        if why:
            self.doubts.append(f"the network {network.name!r} {why}: it is left out")
        return not why

    # -- networks --------------------------------------------------------------------------------------------------------

    def network(self, network: Network) -> Entry:
        """Give a network: where its ports are, its subnets, its DHCP servers."""
        ports = [one for one in self.cloud.ports if one.network == network.id and one.host in self.nodes]
        subnets = [one for one in self.cloud.subnets if one.network == network.id]
        routed = [one for one in ports if one.owner in ROUTER_PORTS]
        router = self._router(network)
        outer = {node for one in ports if one.owner == _OUTER for node in self._nodes_of(one.device)}
        fields = {
            "kind": "neutron",
            "uplink": self._uplink(network),
            "nodes": sorted({self.nodes[one.host] for one in ports} | outer | set(router.get("nodes", ()))),
            "mtu": network.mtu,
            "neutron": {**_neutron(network), **({"router": router} if router else {})},
            "subnets": [_subnet(one, routed) for one in subnets],
            "resolvers": list(dict.fromkeys(str(address) for one in subnets for address in one.resolvers)),
            "dhcp": self._dhcp(network, subnets, ports),
        }
        given = {name: value for name, value in fields.items() if value}
        if network.type not in _TUNNELS and not router and any(_is_gateway(one, subnets) for one in routed):
            given["probe_from"] = []
        return Entry(self.names[network.id], given, tuple(_remarks(network, subnets, given)))

    def _router(self, network: Network) -> dict[str, Any]:
        """Give the router that the instances of a network leave by, and its nodes; none where it is not told.

        A distributed one has a part on each host of those that it routes for; not every release says that of its agents.
        """
        subnets = [one for one in self.cloud.subnets if one.network == network.id]
        gates = [one for one in self.cloud.ports if one.network == network.id and _is_gateway(one, subnets)]
        found = {one.device for one in gates if one.owner in ROUTER_PORTS}
        nodes = self._nodes_of(next(iter(found), ""))
        if len(found) != 1 or not nodes:
            return {}
        if not any(one.owner == DISTRIBUTED_PORT for one in gates):
            return {"id": found.pop(), "nodes": nodes}
        ports = [one for one in self.cloud.ports if one.network == network.id and one.host in self.nodes]
        routing = {one.host for one in self.cloud.agents if one.kind == _L3} or set(self.nodes)
        served = {self.nodes[one.host] for one in ports if one.owner.startswith(("compute:", "network:dhcp")) and one.host in routing}
        return {"id": found.pop(), "nodes": sorted(served | set(nodes)), "distributed": True}

    def _nodes_of(self, router: str) -> list[str]:
        agents = self.cloud.routers.get(router, ())
        return sorted({self.nodes[one.host] for one in agents if one.kind == _L3 and one.host in self.nodes})

    def _uplink(self, network: Network) -> str:
        if network.type in _TUNNELS:
            return ""
        return self.choice.uplinks.get(network.physical_network, self.choice.uplinks.get("", ""))

    def _dhcp(self, network: Network, subnets: Sequence[Subnet], ports: Sequence[Port]) -> dict[str, Any]:
        servers = self._servers(network, subnets, ports)
        return {"servers": servers, "known_only": True} if servers else {}

    def _servers(self, network: Network, subnets: Sequence[Subnet], ports: Sequence[Port]) -> list[dict[str, Any]]:
        """Give the DHCP servers of IPv4; those of IPv6 send from addresses that the API does not know."""
        served = [one.prefix for one in subnets if one.dhcp and one.prefix.version == _IPV4]
        found = []
        for port in ports:
            addresses = [str(one) for one in port.addresses if any(one in prefix for prefix in served)]
            if port.owner == "network:dhcp" and port.device != _RESERVED and addresses:
                found.append({"node": self.nodes[port.host], "addresses": addresses})
        if served and not found:
            self.doubts.append(f"the network {network.name!r} has DHCP and no port of a DHCP agent on a node: no 'dhcp' is declared")
        return sorted(found, key=str)

    # -- VMs -------------------------------------------------------------------------------------------------------------

    def vms(self) -> Iterator[Entry]:
        """Give a VM for each instance with a port on these networks."""
        ports: dict[str, list[Port]] = {}
        for port in self.cloud.ports:
            if port.owner.startswith("compute:") and self._usable(port):
                ports.setdefault(port.device, []).append(port)
        names = _names((device, self.cloud.servers[device].name if device in self.cloud.servers else device) for device in ports)
        for device, own in ports.items():
            yield self._vm(names[device], device, own)

    def _usable(self, port: Port) -> bool:
        """Tell whether a port of an instance can be looked at, and note why not."""
        why = ""
        if not port.host:
            why = "is bound to no host"
        elif port.host not in self.nodes:
            return False  # its host is told
        elif port.vif == "binding_failed":
            why = f"could not be bound on {port.host} (binding_failed): nova-compute and the agent there know why"
        elif not port.up:
            why = "is set down (admin_state_up)"
        elif (port.vif or "ovs") != "ovs" or (port.vnic or "normal") != "normal":
            why = f"is no tap on Open vSwitch (vif type {port.vif}, vnic type {port.vnic})"
        elif self.names.get(port.network) is None or not self._taken(port.network):
            return False
        if why:
            self.doubts.append(f"the port {port.id} ({port.mac}) of the instance {port.device} {why}: it is left out")
        return not why

    def _taken(self, network: str) -> bool:
        return any(one.id == network and one.type in _TYPES for one in self.cloud.networks)

    def _vm(self, name: str, device: str, ports: Sequence[Port]) -> Entry:
        server = self.cloud.servers.get(device)
        fields: dict[str, Any] = {"node": self.nodes[ports[0].host]}
        remarks = [f"instance {device}"]
        if server is not None and server.domain:
            fields["domain"] = server.domain
        else:
            remarks.append("its name in libvirt was not told: 'domain' has to be its OS-EXT-SRV-ATTR:instance_name")
            self.doubts.append(f"the API does not tell the name in libvirt of the instance {device}: write it as the domain of {name}")
        if server is not None and server.status in _OFF:
            fields["runs"] = False
        if server is not None and server.status not in _OFF | {"ACTIVE"}:
            remarks.append(f"its status is {server.status or 'unknown'}")
        if not all(map(self._answers_ping, ports)):
            fields["answers_ping"] = False
            remarks.append("its security groups do not let everybody ping it")
        if len({one.host for one in ports}) > 1:
            hosts = listed(sorted({one.host for one in ports}))
            self.doubts.append(f"the ports of the instance {device} are bound on {hosts}: is it being moved?")
        fields["interfaces"] = [self._interface(one) for one in sorted(ports, key=lambda one: one.id)]
        return Entry(name, fields, tuple(remarks))

    def _answers_ping(self, port: Port) -> bool:
        """Tell whether the port's security groups let everybody ping each of its addresses."""
        rules = [rule for group in port.groups for rule in self.cloud.rules.get(group, ())]
        families = {rule.family for rule in rules if rule.ping and rule.anybody}
        return not port.filtered or all(address.version in families for address in port.addresses)

    def _interface(self, port: Port) -> dict[str, Any]:
        addresses = {"addresses": [str(one) for one in port.addresses]} if port.addresses else {}
        floating = [str(one.address) for one in self.cloud.floating if one.port == port.id]
        network = next(one for one in self.cloud.networks if one.id == port.network)
        if floating and not self._router(network):
            self.doubts.append(f"the floating {listed(floating)} of {port.mac}: its router is not told, and not looked at")
            floating = []
        translated = {"floating": floating} if floating else {}
        return {"network": self.names[port.network], "mac": port.mac, **addresses, **translated, "tap": f"{_TAP}{port.id[:_TAP_DIGITS]}"}

    # -- agents ----------------------------------------------------------------------------------------------------------

    def agents(self) -> Iterator[str]:
        """Say which agents on these hosts the API takes for dead, and that there is none of Open vSwitch."""
        kinds = sorted({one.kind for one in self.cloud.agents})
        if "Open vSwitch agent" not in kinds:
            there = f"agents there are: {listed(kinds) or 'none'}"
            yield f"there is no Open vSwitch agent, and netchecks knows the way through the bridges of such agents alone; {there}"
        for agent in self.cloud.agents:
            if not agent.alive and agent.host in self.nodes:
                yield f"{self.nodes[agent.host]}: the API takes the {agent.kind} for dead"


def _sorted(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Give them by name: two runs can be compared, whatever order the API has."""
    return tuple(sorted(entries, key=lambda one: one.name))


def _node_of(host: str, nodes: Sequence[Node]) -> str:
    """Give the name of the node that a host is: by name or address, whole before short; empty where there is none, or several."""
    short = host.partition(".")[0]
    for wanted, shorten in ((host, False), (short, False), (short, True)):
        names = ((node.name, name) for node in nodes for name in (node.name, node.connection.address))
        found = {node for node, name in names if wanted == (_short(name) if shorten else name)}
        if found:
            return found.pop() if len(found) == 1 else ""
    return ""


def _short(name: str) -> str:
    """Give a host name's first label; an address is no name."""
    return name if re.fullmatch(r"[0-9.]+|.*:.*", name) else name.partition(".")[0]


def _names(wanted: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Give each id a name that an inventory may have, its own one where it can; of two alike each has its id's beginning too."""
    made = {one: re.sub(r"[^A-Za-z0-9._@+~-]+", "-", name)[:_LONGEST].strip("-._@+~") or one for one, name in wanted}
    many = {name for name in made.values() if list(made.values()).count(name) > 1}
    return {one: f"{name}-{one[:8]}" if name in many else name for one, name in made.items()}


def _neutron(network: Network) -> dict[str, Any]:
    known: dict[str, Any] = {"id": network.id, "type": network.type}
    if network.physical_network:
        known["physical_network"] = network.physical_network
    if network.segment and network.type != "flat":
        known["segmentation_id"] = network.segment
    return known


def _subnet(subnet: Subnet, routed: Sequence[Port]) -> dict[str, Any]:
    """Give a subnet; where a router of Neutron has the gateway's address, its MAC is known (of a distributed one each node's differs)."""
    written: dict[str, Any] = {"cidr": str(subnet.prefix)}
    if subnet.gateway is not None:
        written["gateway"] = str(subnet.gateway)
    macs = sorted({one.mac for one in routed if one.owner in ROUTER_PORTS and subnet.gateway in one.addresses})
    if macs and not any(one.owner == DISTRIBUTED_PORT and subnet.gateway in one.addresses for one in routed):
        written["gateway_macs"] = macs
    return written


def _is_gateway(port: Port, subnets: Sequence[Subnet]) -> bool:
    return any(one.gateway in port.addresses for one in subnets)


def _remarks(network: Network, subnets: Sequence[Subnet], given: Mapping[str, Any]) -> Iterator[str]:
    """Say what is not derived, and what follows from what is."""
    if network.type not in _TUNNELS and "uplink" not in given:
        yield f"the NIC of {network.physical_network} is not the API's to tell: 'uplink' stands in the defaults"
    if not subnets:
        yield "it has no subnet"
    if any(one.dhcp and one.prefix.version != _IPV4 for one in subnets):
        yield "its DHCPv6 and router advertisements are not derived: see 'dhcp' and 'advertised'"
    if "probe_from" in given:
        yield "its gateway is a router of Neutron: from outside, it is reached by floating addresses alone"
