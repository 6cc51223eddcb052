"""What checks of networks that are routed are called with: subjects of a real inventory, facts that the real parsers read."""

from __future__ import annotations

from typing import Any

from netchecks.models.answers import Answer
from netchecks.models.routes import Lookup
from netchecks.models.subjects import Flow, Interface, Node
from netchecks.observe import OBSERVATIONS
from netchecks.seen import By
from tests.suites.node.given import UNSEEN, by
from tests.suites.vmhost.given import domains, world_of

INVENTORY = """
version: 1
nodes:
  controller: {connection: local, roles: [controller]}
  router: {roles: [router]}
  node1: {links: {eth0: {addresses: [10.20.0.11/24, "fd20::11/64"]}}, routes: [{to: 10.50.0.0/24, dev: br1}, {to: "fd50::/64", dev: br1}]}
  node2: {links: {eth0: {addresses: [10.20.0.12/24]}}}
networks:
  pool:
    kind: routing
    bridge: br0
    uplink: eth0
    subnets: [{cidr: 10.40.0.0/24, gateway: 10.40.0.1}, {cidr: "fd40::/64", gateway: "fe80::1"}]
  block: {kind: routing, bridge: br1, uplink: eth0, nodes: [node1], subnets: [{cidr: 10.50.0.0/24}, {cidr: "fd50::/64"}]}
  shared: {kind: routing, bridge: br2, uplink: eth0, nodes: [node1], subnets: [{cidr: 10.20.0.0/24}, {cidr: "fd20::/64"}]}
  fabric: {kind: ip-fabric, uplink: eth0, subnets: [{cidr: 10.60.0.0/24, gateway: 169.254.1.1}, {cidr: "fd60::/64", gateway: "fe80::1"}]}
vms:
  vm42: {node: node1, tcp: [22], interfaces: [{network: pool, mac: "52:54:00:00:00:42", addresses: [10.40.0.142, "fd40::142"]}]}
  vm43: {node: node1, runs: false, interfaces: [{network: pool, mac: "52:54:00:00:00:43", addresses: [10.40.0.143]}]}
  vm45: {node: node1, interfaces: [{network: block, mac: "52:54:00:00:00:45", addresses: [10.50.0.145, "fd50::145"]}]}
  vm46: {node: node1, interfaces: [{network: shared, mac: "52:54:00:00:00:46", addresses: [10.20.0.146, "fd20::146"]}]}
  vm60: {node: node1, interfaces: [{network: fabric, mac: "52:54:00:00:00:60", addresses: [10.60.0.160, "fd60::160"]}]}
"""
WORLD = world_of(INVENTORY)
CONTROLLER, ROUTER, NODE1, NODE2 = WORLD.inventory.nodes
POOL, BLOCK, SHARED, FABRIC = WORLD.inventory.networks
VM42, VM43, VM45, VM46, VM60 = WORLD.inventory.interfaces
TAPS = domains("vm60", tap="vnet60", mac="52:54:00:00:00:60")


def flow_to(interface: Interface, family: int = 4, source: Node = CONTROLLER, protocol: str = "icmp") -> Flow:
    return next(
        flow for flow in WORLD.flows
        if (flow.interface, flow.family, flow.source, flow.protocol, flow.size) == (interface, family, source, protocol, None)
    )


def links(more: str = "", **states: str) -> By[Any, Any]:
    """Give the links of node1: all up, but those that are said to be ``down``, ``dark`` (no carrier), ``gone`` or ``in`` a bridge.

    ``more``: further ones as ``ip -d link show`` has them.
    """
    lines = []
    for number, name in enumerate(("eth0", "eth1", "br0", "br1", "br2", "vnet60"), 1):
        state = states.get(name, "up")
        flags = {"down": "BROADCAST", "dark": "NO-CARRIER,BROADCAST,UP"}.get(state, "BROADCAST,UP,LOWER_UP")
        master = f"master {state.partition(' ')[2]} " if state.startswith("in ") else ""
        if state != "gone":
            lines.append(f"{number}: {name}: <{flags}> mtu 1500 qdisc noqueue {master}state UP mode DEFAULT\n    link/ether 02:00:00:00:00:0{number}")
    value = OBSERVATIONS["links"].or_else[0][1]("\n".join([*lines, *filter(None, [more])]))
    return by("links", node1=value)


def routes(v4: str = "", v6: str = "", node: str = "node1", **others: str) -> By[Any, Any]:
    return by("routes", **{node: f"@4\n{v4}\n@6\n{v6}\n"}, **others)


def rules(v4: str = "", node: str = "node1") -> By[Any, Any]:
    plain = "0:\tfrom all lookup local\n{}32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n"
    return by("rules", **{node: "@4\n" + plain.format(v4) + "@6\n" + plain.format("").replace("32767:\tfrom all lookup default\n", "")})


def sysctls(node: str = "node1", **changes: str) -> By[Any, Any]:
    """Give settings by their names below net. with __ for a dot; forwarding is on, the rest off."""
    values = {"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1", "ipv4/conf/eth0/forwarding": "1", "ipv4/conf/br0/forwarding": "1"}
    values |= {name.replace("__", "/"): value for name, value in changes.items()}
    return by("sysctls", **{node: "".join(f"{name}:{value}\n" for name, value in values.items())})


def addresses(node1: str = "eth0 10.20.0.11/24", **others: str) -> By[Any, Any]:
    """Give the addresses of nodes, ``device address, device address``."""
    return by("addresses", **{name: _addresses(text) for name, text in {"node1": node1, **others}.items()})


def _addresses(text: str) -> Any:
    devices: dict[str, list[str]] = {}
    for one in filter(None, text.split(", ")):
        device, address = one.split()
        devices.setdefault(device, []).append(f"    {'inet6' if ':' in address else 'inet'} {address} scope global {'' if ':' in address else device}")
    lines = [
        f"{number}: {device}: <UP> mtu 1500 qdisc noqueue state UP\n" + "\n".join(items) for number, (device, items) in enumerate(devices.items(), 1)
    ]
    return OBSERVATIONS["addresses"].or_else[0][1]("\n".join(lines) + "\n")


def of(fact: str, subject: Interface | Flow, value: Any) -> By[Any, Any]:
    """Give a fact of an interface or a flow: a value, or a text for its parser."""
    known = OBSERVATIONS[fact].parse(value) if isinstance(value, str) else value

    def look(_: str) -> Any:
        if isinstance(known, Exception):
            raise known
        return known

    return By(fact, {subject.name: subject}, look)


def ways(subject: Interface, **told: str) -> By[Any, Any]:
    """Give what the kernel says of an interface's addresses: ``own4="dev br0"``, ``forwarded4`` ...; all by br0 where not said."""
    text = ""
    for address in subject.addresses:
        for which in ("own", "forwarded"):
            said = told.get(f"{which}{address.version}", f"{address} dev {subject.bridge or 'vnet60'}")
            text += f"@{which} {address}\n{said if said.startswith('RTNETLINK') else f'{address} {said}'}\n"
    return of("vm_routes", subject, text)


def lost(flow: Flow, source: str = "10.10.0.2") -> tuple[By[Any, Any], By[Any, Any]]:
    """Give the answers and the sender's look-up of a flow that does not come back."""
    return By("answers", {flow.name: flow}, lambda _: Answer("silent", 3)), of("route_lookups", flow, Lookup("unicast", "eth0", "10.10.0.1", source))


def came_back(flow: Flow) -> tuple[By[Any, Any], By[Any, Any]]:
    return By("answers", {flow.name: flow}, lambda _: Answer("answered", 1)), of("route_lookups", flow, UNSEEN)
