"""Flows and waivers: what is written about pairs of things, resolved."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import product
from typing import Literal

from netchecks.inventory.entries import FlowEntry, WaiverEntry
from netchecks.inventory.problems import Problems
from netchecks.inventory.ranges import MOST_OBJECTS, is_range
from netchecks.inventory.site import Object, Site
from netchecks.inventory.tree import Mapping, Place, Scalar, Tree
from netchecks.inventory.validating import valid
from netchecks.models.subjects import Address, DeclaredThroughput, Flow, Guest, Interface, Network, Node, Waiver

_Way = tuple[Literal["icmp", "tcp", "udp", "throughput"], int | None]


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a flow goes: an address on a network, of an interface where one has it, else of a node."""

    network: Network
    address: Address
    interface: Interface | None
    node: Node | None = None


@dataclass(slots=True)
class _Targets:
    """What can stand behind ``to``."""

    site: Site
    of_vm: dict[str, list[Interface]] = field(default_factory=lambda: defaultdict(list))
    by_name: dict[str, Interface] = field(default_factory=dict)
    by_address: dict[Address, list[Interface]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        """Sort the interfaces."""
        for interface, _, _ in self.site.interfaces:
            self.of_vm[interface.vm.name].append(interface)
            self.by_name[interface.name] = interface
            for address in interface.addresses:
                self.by_address[address].append(interface)

    def names(self) -> dict[str, list[Interface] | None]:
        """Give what each name stands for. None: it is there, but cannot be used."""
        known: dict[str, list[Interface] | None] = dict.fromkeys(self.site.vms)
        known.update((name, [interface]) for name, interface in self.by_name.items())
        known.update((name, self.of_vm.get(name, [])) for name, vm in self.site.vms.items() if vm is not None)
        return known


def flows_of(trees: Iterable[Tree], site: Site) -> tuple[Flow, ...]:
    """Give the declared flows."""
    targets = _Targets(site)
    known = targets.names()
    seen: dict[str, Place] = {}
    flows: list[Flow] = []
    for tree in trees:
        written = _object(FlowEntry, tree, "flow", site.problems)
        for flow in _flows(written, targets, known) if written else ():
            first = seen.setdefault(flow.name, tree.place)
            if first is not tree.place:
                site.problems.add(tree.place, f"found the flow {flow.name!r} again, it is already at {first}", "flow again")
            flows.append(flow)
            if len(flows) > MOST_OBJECTS:
                site.problems.add(tree.place, f"makes more than {MOST_OBJECTS} flows in all, expected fewer")
                return ()
    return tuple(flows)


def _object(model: type[FlowEntry], tree: Tree, what: str, problems: Problems) -> Object[FlowEntry] | None:
    key = Scalar(what, tree.place)
    written, kept, damaged = valid(model, tree, key, problems)
    return Object(what, key, kept, written, damaged=damaged) if written else None


def _flows(written: Object[FlowEntry], targets: _Targets, known: dict[str, list[Interface] | None]) -> Iterator[Flow]:
    entry, site = written.written, targets.site
    ways = _ways(entry)
    if not ways and not written.damaged & {"tcp", "udp", "icmp", "throughput"}:
        site.problems.add(written.key.place, "found a flow without traffic, expected at least one of tcp, udp, icmp and throughput")
    sources = _sources(written, site)
    found = [target for name in site.names(entry.to, written.place("to")) for target in _targets(name, written, targets, known)]
    single = len(sources) * len(found) * len(ways) == 1
    numbers: Counter[str] = Counter()
    for source, target, way in product(sources, found, ways):
        name = entry.name if single and entry.name else _name(entry.name, source, target, way)
        numbers[name] += 1
        made = _flow(source, target, way, name if numbers[name] == 1 else f"{name}-{numbers[name]}")
        yield made if way[0] != "throughput" else _measured(made, target, written, site)


def _ways(entry: FlowEntry) -> list[_Way]:
    """Give the protocols with their ports."""
    ways: list[_Way] = [("icmp", None)] if entry.icmp else []
    ways.extend(("tcp", port) for port in entry.tcp)
    ways.extend(("udp", port) for port in entry.udp)
    ways.extend([("throughput", entry.throughput.port)] if entry.throughput else [])
    return ways


def _sources(written: Object[FlowEntry], site: Site) -> list[Node]:
    """Give the nodes that a flow comes from."""
    text, place = written.written.source, written.place("from")
    if text not in site.nodes and text in site.vms:
        site.problems.add(place, f"found the VM {text!r}, expected a node: commands run on nodes")
        return []
    return [node for node in site.look_up_nodes(text, place) if node is not None]


def _targets(name: str, written: Object[FlowEntry], targets: _Targets, known: dict[str, list[Interface] | None]) -> list[_Target]:
    """Give the addresses that a name, or an address itself, stands for."""
    entry, place, site = written.written, written.place("to"), targets.site
    address = _address(name)
    if address is not None and name not in known:
        return _at_address(address, written, targets)
    interfaces = site.look_up(known, name, "VM", place)
    if interfaces is None:
        return []
    found = [
        _Target(interface.network, one, interface)
        for interface in interfaces
        for one in interface.addresses
        if entry.family in (None, one.version) and entry.network in ("", interface.network.name)
    ]
    if not found and not any(vm.damaged for vm in (site.written_vms.get(name),) if vm):
        family = f"IPv{entry.family} " if entry.family else ""
        site.problems.add(place, f"found {name!r}, which has no {family}address, expected a VM with one", "no address")
    return found


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _at_address(address: Address, written: Object[FlowEntry], targets: _Targets) -> list[_Target]:
    """Give the place of an address: the interface that has it, else the network whose subnet it is in."""
    site, place, named = targets.site, written.place("to"), written.written.network
    if named and site.look_up(site.networks, named, "network", written.place("network")) is None:
        return []
    owners = [interface for interface in targets.by_address.get(address, []) if named in ("", interface.network.name)]
    networks = [network for network in site.networks.values() if network is not None and named in ("", network.name)]
    node = next((one for one in site.nodes.values() if one and address in _own(one)), None)
    found = [_Target(owner.network, address, owner) for owner in owners] or [
        _Target(network, address, None, node) for network in networks if any(address in subnet.prefix for subnet in network.subnets)
    ]
    if len(found) > 1:
        names = ", ".join(target.network.name for target in found)
        site.problems.add(place, f"found '{address}', which is in several networks ({names}), expected the field 'network' too")
    if not found:
        site.problems.add(place, f"found '{address}', expected an address in a subnet of a network")
    return found


def _name(given: str, source: Node, target: _Target, way: _Way) -> str:
    """Name a flow by its ends, as platforms name the implied ones: one that is implied anyway stays one.

    There is no '::' in it, nor anything else that a pytest id cannot hold.
    """
    protocol, port = way
    what = f"{protocol}{port or ''}" if protocol != "throughput" else protocol
    to = target.node.name if target.node and protocol == "throughput" else _end(target)
    named = f"{source.name}-to-{to}-{what}-ipv{target.address.version}"
    return f"{given}-{named}" if given else named


def _own(node: Node) -> set[Address]:
    return {address.ip for link in node.links for address in link.addresses}


def _end(target: _Target) -> str:
    if target.interface:
        return target.interface.name
    gateways = [subnet.gateway for subnet in target.network.subnets]
    return f"gateway-{target.network.name}" if target.address in gateways else target.network.name


def _flow(source: Node, target: _Target, way: _Way, name: str) -> Flow:
    protocol, port = way
    family = target.address.version
    needs = {f"ipv{family}", {4: "arp", 6: "ndp"}[family], protocol, "unicast"}
    if all(attachment.node != source for attachment in target.network.attachments):
        needs.add("routed")
    return Flow(name, source, target.network, protocol, target.address, target.interface, port, needs=frozenset(needs))


def _measured(flow: Flow, target: _Target, written: Object[FlowEntry], site: Site) -> Flow:
    """Give the flow with what it shall carry, noting one that nobody can receive."""
    entry, place = written.written.throughput, written.place("to")
    if "throughput" in written.damaged:
        return flow  # that is told already
    server: Node | Guest | None = target.node if target.interface is None else target.interface.vm.sender
    if entry is None or server is None:
        who, expected = (f"'{target.address}'", "the address of a link of a node") if target.interface is None else (
            f"{target.interface.vm.name!r}", "a VM whose inside can be entered (the field 'guest'), with a POSIX shell")
        site.problems.add(place, f"found {who}, where no throughput can be measured, expected {expected}", "no throughput")
        return flow
    if server == flow.source:
        site.problems.add(place, f"found '{target.address}', which is an address of {flow.source.name!r} itself", "throughput to itself")
    crossing = target.interface is None or target.interface.node != flow.source
    attached = any(attachment.node == flow.source for attachment in flow.network.attachments)
    needs = flow.needs | {"tcp"} | ({"uplink"} if crossing else set()) | ({"own_bridge"} if attached else set())
    return replace(flow, needs=needs, throughput=DeclaredThroughput(entry.rate, server, entry.back))


def waivers_of(trees: Iterable[Tree], site: Site) -> tuple[Waiver, ...]:
    """Give the waivers; a range in ``subject`` gives one for each name."""
    waivers: list[Waiver] = []
    for tree in trees:
        entry, _, _ = valid(WaiverEntry, tree, Scalar("waiver", tree.place), site.problems)
        if entry:
            subjects = _subjects(entry, tree, site)
            waivers.extend(Waiver(entry.check, subject, entry.reason, entry.until or "") for subject in subjects)
    return tuple(waivers)


def _subjects(entry: WaiverEntry, tree: Tree, site: Site) -> list[str]:
    """Expand a range. What fnmatch calls a set, [1-3] or [ab], means the same where it is not a range of ours."""
    inside = entry.subject.partition("[")[2].partition("]")[0]
    ours = is_range(entry.subject) and ("-" in inside or "," in inside) and set(inside) <= set("0123456789-, ")
    place = tree.entries["subject"].value.place if isinstance(tree, Mapping) else tree.place
    return site.names(entry.subject, place) if ours else [entry.subject]


