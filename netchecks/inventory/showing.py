"""An inventory as YAML again, with every range, default and reference resolved. Loading it gives the same inventory."""

from __future__ import annotations

from typing import Any

import yaml

from netchecks.models.nova_network import DeclaredDatabase
from netchecks.models.subjects import (
    Connection,
    DeclaredLink,
    DeclaredPlatform,
    DeclaredRoute,
    Flow,
    Interface,
    Inventory,
    Network,
    Node,
    Subnet,
    Vm,
    Waiver,
)

_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def show(inventory: Inventory) -> str:
    """Give the resolved form of an inventory as YAML. It holds no secrets, only the paths of key files."""
    interfaces: dict[str, list[Interface]] = {}
    for interface in inventory.interfaces:
        interfaces.setdefault(interface.vm.name, []).append(interface)
    everything = {
        "version": 1,
        "nodes": {node.name: _node(node) for node in inventory.nodes},
        "networks": {network.name: _network(network) for network in inventory.networks},
        "vms": {vm.name: _vm(vm, interfaces.get(vm.name, [])) for vm in inventory.vms},
        "flows": [_flow(flow) for flow in inventory.flows],
        "waivers": [_waiver(waiver) for waiver in inventory.waivers],
    }
    return str(yaml.dump(_given(everything), Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=120))


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is empty: it says nothing."""
    return {name: value for name, value in fields.items() if value is not None and value not in ("", [], {})}


def _way(way: Connection) -> dict[str, Any]:
    return _given(
        {
            "connection": way.backend,
            "address": way.address,
            "port": way.port,
            "user": way.user,
            "sudo": way.sudo,
            "jump": way.jump,
            "identity": way.identity,
            "ssh_config": way.ssh_config,
            "os": way.os,
        }
    )  # fmt: skip


def _node(node: Node) -> dict[str, Any]:
    return _way(node.connection) | {"roles": sorted(node.roles)} | _given(
        {
            "links": {link.name: _link(link) for link in node.links},
            "routes": [_route(route) for route in node.routes],
            "services": list(node.services),
            "tools": list(node.tools),
            "names_inside": list(node.names_inside),
            "names_outside": list(node.names_outside),
            "sysctl": dict(node.sysctl),
            "platform": _platform(node.platform) if node.platform else None,
        }
    )  # fmt: skip


def _platform(platform: DeclaredPlatform) -> dict[str, Any]:
    nodes = None if platform.nodes is None else list(platform.nodes)
    return {"name": platform.name, "prefix": list(platform.prefix)} | ({} if nodes is None else {"nodes": nodes})


def _link(link: DeclaredLink) -> dict[str, Any]:
    return _given({"speed": link.speed, "addresses": list(map(str, link.addresses))})


def _route(route: DeclaredRoute) -> dict[str, Any]:
    return _given({"to": str(route.to), "via": str(route.via) if route.via else None, "dev": route.dev})


def _network(network: Network) -> dict[str, Any]:
    return {
        "kind": network.kind,
        "nodes": [_given({"node": end.node.name, "bridge": end.bridge, "uplink": end.uplink}) for end in network.attachments],
        **_given({"mtu": network.mtu, "vlan": network.vlan}),
        "subnets": [_subnet(subnet) for subnet in network.subnets],
        "resolvers": list(map(str, network.resolvers)),
        "probe_from": [node.name for node in network.probe_from],
        "routers": [node.name for node in network.routers],
        **_given({"dhcp": _dhcp(network), "advertised": _advertised(network), "outside": list(map(str, network.outside))}),
        **_given({"nova": _nova(network), "neutron": _neutron(network)}),
    }


def _nova(network: Network) -> dict[str, Any] | None:
    nova = network.nova
    if nova is None:
        return None
    return {
        "manager": nova.manager, "multi_host": nova.multi_host,
        **_given({"host": nova.host, "public_interface": nova.public_interface, "database": _database(nova.database)}),
    }


def _database(declared: DeclaredDatabase | None) -> dict[str, Any] | None:
    if declared is None:
        return None
    return _given({
        "address": declared.address, "name": declared.name, "port": declared.port, "node": declared.node, declared.source: declared.value,
    })


def _neutron(network: Network) -> dict[str, Any] | None:
    known = network.neutron
    if known is None:
        return None
    given = {"physical_network": known.physical_network, "segmentation_id": known.segment or None, "bridge": known.bridge}
    bridges = {"integration_bridge": known.integration_bridge, "tunnel_bridge": known.tunnel_bridge}
    router = {"id": known.router, "nodes": list(known.router_nodes), "distributed": known.distributed} if known.router else None
    return {"id": known.id, "type": known.type, **_given(given), **bridges, **_given({"router": router})}


def _dhcp(network: Network) -> dict[str, Any] | None:
    """Give what a file declares; what the kind implies it implies again, also where no address of the servers is known."""
    dhcp = network.dhcp
    if dhcp is None or dhcp.implied:
        return None
    servers = [
        _given({"addresses": list(map(str, one.addresses)), "node": one.node.name if one.node else "", "log": one.log})
        for one in dhcp.servers
    ]
    return {"servers": servers, **_given({"ranges": list(map(str, dhcp.ranges))}), "known_only": dhcp.known_only}


def _advertised(network: Network) -> dict[str, Any] | None:
    told = network.advertised
    if told is None:
        return None
    return {"routers": sorted(map(str, told.routers)), **_given({"managed": told.managed, "other": told.other})}


def _subnet(subnet: Subnet) -> dict[str, Any]:
    given = {
        "cidr": str(subnet.prefix),
        "gateway": str(subnet.gateway) if subnet.gateway else None,
        "gateway_macs": sorted(subnet.gateway_macs),
    }
    return _given(given) | {"gateway_answers_ping": subnet.gateway_answers_ping}


def _vm(vm: Vm, interfaces: list[Interface]) -> dict[str, Any]:
    return {
        "node": vm.node.name,
        "domain": vm.domain,
        **_given({"tcp": list(vm.tcp), "udp": list(vm.udp)}),
        "answers_ping": vm.answers_ping,
        "runs": vm.runs,
        **({"guest": _way(vm.guest.connection)} if vm.guest else {}),
        **_given({"names": list(vm.names)}),
        "interfaces": [_interface(interface) for interface in interfaces],
    }


def _interface(interface: Interface) -> dict[str, Any]:
    addresses = list(map(str, interface.addresses))
    return _given({"network": interface.network.name, "mac": interface.mac, "tap": interface.tap, "addresses": addresses}) | _given({
        "floating": list(map(str, interface.floating)),
    })


def _flow(flow: Flow) -> dict[str, Any]:
    way: dict[str, Any] = {"icmp": True} if flow.protocol == "icmp" else {flow.protocol: flow.port}
    if flow.throughput:
        rates = {name: f"{rate} bit/s" for name, rate in (("rate", flow.throughput.rate), ("back", flow.throughput.back)) if rate}
        way = {"throughput": {**rates, "port": flow.port}}
    return {"name": flow.name, "from": flow.source.name, "to": str(flow.target), "network": flow.network.name, **way}


def _waiver(waiver: Waiver) -> dict[str, Any]:
    return _given({"check": waiver.check, "subject": waiver.subject, "reason": waiver.reason, "until": waiver.until})
