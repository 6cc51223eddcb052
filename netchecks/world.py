"""The inventory with everything that follows from it: links, flows, and who has to do with whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from netchecks.models.hops import Hop
from netchecks.models.subjects import (
    SSH_PORT,
    Access,
    Database,
    DhcpServer,
    Flow,
    Interface,
    Inventory,
    Link,
    Network,
    Node,
    VirtualRouter,
    Vm,
)
from netchecks.platform import PLATFORMS, Flows, Platform

Subject = Node | Network | Vm | Interface | Link | DhcpServer | VirtualRouter | Database | Flow | Access

#: A platform's nodes are asked for one by one where they are few, and in about so many commands where they are many.
ACCESS_COMMANDS = 32

#: Parameter name of a check -> the type of its subjects, the finest first: it determines the others.
KINDS: dict[str, type[Any]] = {
    "flow": Flow, "access": Access, "interface": Interface, "dhcp_server": DhcpServer, "virtual_router": VirtualRouter,
    "database": Database, "link": Link, "vm": Vm, "network": Network, "node": Node,
}


@dataclass(frozen=True, slots=True, repr=False)
class World:
    """Built once a session."""

    inventory: Inventory
    links: tuple[Link, ...]
    accesses: tuple[Access, ...]
    dhcp_servers: tuple[DhcpServer, ...]
    virtual_routers: tuple[VirtualRouter, ...]
    databases: tuple[Database, ...]
    flows: tuple[Flow, ...]
    index: Flows
    _hops: dict[str, tuple[Hop, ...]] = field(default_factory=dict, compare=False)
    _named: dict[tuple[str, str], Any] = field(default_factory=dict, compare=False)
    _related: dict[tuple[type[Any], str, type[Any]], list[Any]] = field(default_factory=dict, compare=False)

    def all(self, kind: type[Any]) -> Sequence[Any]:
        """Give every subject of one type, in the order of the inventory."""
        same: dict[type[Any], Sequence[Any]] = {
            Flow: self.flows, Access: self.accesses, Interface: self.inventory.interfaces, Link: self.links,
            DhcpServer: self.dhcp_servers, VirtualRouter: self.virtual_routers, Database: self.databases,
            Vm: self.inventory.vms, Network: self.inventory.networks, Node: self.inventory.nodes,
        }
        return same[kind]

    def named(self, kind: str, name: str) -> Any:
        """Give the subject of a kind (``vm``, ``flow`` ...) by its name. Raises KeyError where there is none."""
        if not self._named:
            self._named.update({(one, subject.name): subject for one, type_ in KINDS.items() for subject in self.all(type_)})
        return self._named[kind, name]

    def related(self, subject: Subject, kind: type[Any]) -> Sequence[Any]:
        """Give the subjects of a type that this subject has to do with; itself for its own type."""
        if type(subject) is kind:
            return (subject,)
        if not self._related:
            self._relate()
        return self._related.get((type(subject), subject.name, kind), ())

    def _relate(self) -> None:
        for kind in KINDS.values():
            for subject in self.all(kind):
                for other in parts(subject):
                    self._related.setdefault((kind, subject.name, type(other)), []).append(other)
                    self._related.setdefault((type(other), other.name, kind), []).append(subject)

    def hops(self, flow: Flow) -> tuple[Hop, ...]:
        """Give the way of a flow; empty where no platform knows it."""
        if flow.name not in self._hops:
            platform = platform_of(flow.network)
            self._hops[flow.name] = platform.hops(flow, self.index) if platform else ()
        return self._hops[flow.name]


def platform_of(network: Network) -> Platform | None:
    """Find the platform whose kind of network this is."""
    return next((platform for platform in PLATFORMS.values() if network.kind in platform.kinds), None)


def build(inventory: Inventory) -> World:
    """Add to an inventory what its platforms and nodes imply."""
    flows: dict[str, Flow] = {}
    for network in inventory.networks:
        platform = platform_of(network)
        for flow in platform.flows(network, inventory) if platform else ():
            _add(flows, flow)
    for flow in inventory.flows:
        _add(flows, flow)
    servers = tuple(server for network in inventory.networks for server in dhcp_servers(network))
    routers = tuple(router for network in inventory.networks for router in virtual_routers(network))
    accesses = tuple(_accesses(inventory))
    databases = tuple(database for network in inventory.networks for database in databases_of(network))
    links, known = tuple(_links(inventory)), tuple(flows.values())
    return World(inventory, links, accesses, servers, routers, databases, known, Flows.of(known))


def _add(flows: dict[str, Flow], flow: Flow) -> None:
    """Add a flow once. One of the same name that asks somebody else (a second gateway) gets a number."""
    name = next(name for name in _numbered(flow.name) if name not in flows or _asks(flows[name]) == _asks(flow))
    flows.setdefault(name, flow if name == flow.name else replace(flow, name=name))


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in count(2))


def _asks(flow: Flow) -> tuple[object, ...]:
    return (flow.source, flow.network, flow.interface, flow.protocol, flow.target, flow.port, flow.size)


def _links(inventory: Inventory) -> Iterator[Link]:
    found: dict[str, Link] = {}
    for network in inventory.networks:
        for end in network.attachments:
            for device, role in ((end.uplink, "uplink"), (end.bridge, "bridge")):
                if device:
                    name = f"{end.node}:{device}"
                    known = found.get(name, Link(name, end.node, device, role))
                    found[name] = replace(known, kinds=known.kinds | {network.kind})
    for node in inventory.nodes:
        for declared in node.links:
            name = f"{node}:{declared.name}"
            found.setdefault(name, Link(name, node, declared.name, "declared"))
    yield from found.values()


def _accesses(inventory: Inventory) -> Iterator[Access]:
    """Give the way of each platform to each node that it manages: those that are named, else every hypervisor; with SSH."""
    for source in inventory.nodes:
        platform = source.platform
        if platform is None:
            continue
        managed = [node for node in inventory.nodes if _manages(platform.nodes, node, source)]
        size = -(-len(managed) // ACCESS_COMMANDS)
        for first in range(0, len(managed), size or 1):
            some = managed[first:first + size]
            targets = tuple((node.connection.address, node.connection.port or SSH_PORT) for node in some)
            yield from (Access(f"{platform.name}-to-{node}", source, node, platform, targets) for node in some)


def _manages(names: tuple[str, ...] | None, node: Node, source: Node) -> bool:
    if node.connection.backend not in {"ssh", "safe-ssh", "paramiko"}:
        return False
    return node != source and "hypervisor" in node.roles if names is None else node.name in names


def databases_of(network: Network) -> tuple[Database, ...]:
    """Give the database that tells of a network, where one may be looked into."""
    return (Database(f"nova@{network}", network, network.database),) if network.database is not None else ()


def dhcp_servers(network: Network) -> tuple[DhcpServer, ...]:
    """Give the DHCP servers of a network that can be looked at."""
    declared = network.dhcp.servers if network.dhcp else ()
    return tuple(
        DhcpServer(f"{network}@{one.node}", network, one.node, one.addresses, one.log) for one in declared if one.node is not None
    )


def virtual_routers(network: Network) -> tuple[VirtualRouter, ...]:
    """Give the routers of Neutron's agents that a network's VMs leave by, on each node that has one."""
    known = network.neutron
    ends = [end.node for end in network.attachments if known and end.node.name in known.router_nodes]
    return tuple(VirtualRouter(f"{network}@{node}", network, node, known.router) for node in ends) if known else ()


def _serving(network: Network) -> list[Subject]:
    return [*dhcp_servers(network), *virtual_routers(network), *databases_of(network)]


def parts(subject: Subject) -> tuple[Subject, ...]:
    """Give the subjects that this one is made of, each once."""
    found: dict[tuple[type[Any], str], Subject] = {}
    for part in _direct(subject):
        found.setdefault((type(part), part.name), part)
        # a network's other nodes have nothing to do with one of its interfaces
        if not isinstance(part, Network | DhcpServer | VirtualRouter | Database):
            found.update({(type(other), other.name): other for other in parts(part)})
    return tuple(found.values())


def _direct(subject: Subject) -> list[Subject]:
    if isinstance(subject, Flow):
        servers = dhcp_servers(subject.network) if subject.protocol == "dhcp" or subject.namespace else ()
        routers = virtual_routers(subject.network) if subject.translated is not None or subject.namespace else ()
        own = [subject.source, subject.network, *(end for end in (subject.external, subject.interface, subject.peer) if end)]
        nodes = [*(server.node for server in servers), *(router.node for router in routers)]  # which listen at the same time
        return [*own, *servers, *routers, *nodes]
    if isinstance(subject, Interface):
        network, gate = subject.network, subject.gate
        return [subject.vm, network, subject.node, gate, *network.routers, *_serving(network)]
    if isinstance(subject, DhcpServer | VirtualRouter):
        return [subject.node, subject.network, *(end.node for end in subject.network.attachments)]
    if isinstance(subject, Network | Database):
        network = subject.network if isinstance(subject, Database) else subject
        return [*([network] if network != subject else []), *(end.node for end in network.attachments)]
    return [subject.node] if isinstance(subject, Vm | Link | Access) else []


def place_of(subject: Subject) -> Node | None:
    """Give the node where a subject's own facts and probes are looked at."""
    if isinstance(subject, Node):
        return subject
    if isinstance(subject, (Flow, Access)):
        return subject.source
    return None if isinstance(subject, Network) else subject.node


def end_of(flow: Flow) -> Node:
    """Give the node that a flow's verdict is about: where the VM is, else who asks the gateway."""
    return flow.interface.node if flow.interface else flow.source


def combinations(world: World, kinds: frozenset[str]) -> list[dict[str, Subject]]:
    """Give every consistent choice of subjects for the parameters of a check."""
    finest = next(kind for kind in KINDS if kind in kinds)
    rows: list[dict[str, Subject]] = []
    for subject in world.all(KINDS[finest]):
        row = _fill(subject, finest, kinds)
        if row is not None:
            rows.extend(row)
    return rows


def _fill(subject: Any, finest: str, kinds: frozenset[str]) -> list[dict[str, Subject]] | None:
    row: dict[str, Subject] = {finest: subject}
    if finest == "flow":
        if subject.interface is None and kinds & {"interface", "vm"}:
            return None
        row |= {"network": subject.network, "node": end_of(subject)}
        row |= {"interface": subject.interface, "vm": subject.interface.vm} if subject.interface else {}
    elif finest == "interface":
        row |= {"vm": subject.vm, "network": subject.network, "node": subject.node}
    elif finest == "database":
        row |= {"network": subject.network}
    elif finest in {"dhcp_server", "virtual_router"}:
        row |= {"network": subject.network, "node": subject.node}
    elif finest in {"link", "vm", "access"}:
        row |= {"node": subject.node}
    elif finest == "network" and "node" in kinds:
        return [{"network": subject, "node": end.node} for end in subject.attachments]
    return [{kind: row[kind] for kind in row if kind in kinds}]


def complete(row: Mapping[str, Subject]) -> dict[str, Subject]:
    """Add to a check's own subjects those that follow from its finest one."""
    finest = next(kind for kind in KINDS if kind in row)
    full = _fill(row[finest], finest, frozenset(KINDS) if not _to_gateway(row[finest]) else frozenset(KINDS) - {"vm", "interface"})
    return {**(full[0] if full and finest != "network" else {}), **row}


def _to_gateway(subject: Subject) -> bool:
    return isinstance(subject, Flow) and subject.interface is None


@dataclass(frozen=True, slots=True)
class Selection:
    """What ``--host`` and ``--vm`` leave. Empty means everything."""

    hosts: frozenset[str] = frozenset()
    vms: frozenset[str] = frozenset()
    _crossed: dict[tuple[str, str, str], set[frozenset[tuple[str, str]]]] = field(default_factory=dict, compare=False)

    def keeps(self, row: dict[str, Subject], world: World) -> bool:
        """Tell whether a check on these subjects is wanted."""
        if not self.hosts and not self.vms:
            return True
        nodes, vms = _nodes(row), {str(part) for part in _all_parts(row) if isinstance(part, Vm)}
        if self.vms and vms:
            return bool(vms & self.vms) and (not self.hosts or bool(nodes & self.hosts))
        hosts = self.hosts or frozenset(str(vm.node) for vm in world.inventory.vms if vm.name in self.vms)
        return bool(nodes & hosts)

    def crosses(self, row: dict[str, Subject], hop: str, world: World) -> bool:
        """Tell whether a check is about a hop of this name on the way of a flow that is wanted: its state may explain that flow.

        Of flows themselves only those that a node on the way asks, as what its NIC's switch port lets through.
        """
        if not self._crossed:
            self._cross(world)
        if "flow" in row:
            return ("", "flow", row["flow"].name) in self._crossed
        finest = next((kind for kind in KINDS if kind in row), "")
        own = {(kind, subject.name) for kind, subject in row.items()}
        return any(own <= about for about in self._crossed.get((hop, finest, row[finest].name), ()))

    def _cross(self, world: World) -> None:
        """Index the hops of the wanted flows by name and by each subject that they are about; flows by their own name."""
        self._crossed[("", "", "")] = set()  # looked up once, also where no flow is wanted
        todo = [flow for flow in world.flows if self.keeps({"flow": flow}, world)]
        known = {flow.name for flow in todo}
        while todo:
            for hop in world.hops(todo.pop()):
                for about in hop.about:
                    self._crossed.setdefault((hop.name, *about), set()).add(hop.about)
                asked = [world.named(*about) for about in hop.about if about[0] == "flow" and about[1] not in known]
                more = [flow for flow in asked if ("node", flow.source.name) in hop.about]
                known.update(flow.name for flow in more)
                todo.extend(more)
                self._crossed.update({("", "flow", flow.name): {hop.about} for flow in more})


def _nodes(row: dict[str, Subject]) -> set[str]:
    if "node" in row:
        return {str(row["node"])}
    flows = [subject for subject in row.values() if isinstance(subject, Flow)]
    if flows:
        return {str(end_of(flow)) for flow in flows}
    return {str(part) for part in _all_parts(row) if isinstance(part, Node)}


def _all_parts(row: dict[str, Subject]) -> list[Subject]:
    return [part for subject in row.values() for part in (subject, *parts(subject))]
