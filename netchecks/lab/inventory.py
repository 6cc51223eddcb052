"""The inventory of a lab, from its topology: what is built is what is meant, until a fault breaks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from netchecks.lab.state import State
from netchecks.lab.topology import NodeRole, Place, Route, Topology, merged


def inventory(lab: State, topology: Topology, overlays: Sequence[dict[str, Any]] = ()) -> str:
    """Give the inventory as YAML: over ssh in a rooted lab, over network namespaces in a rootless one.

    ``overlays`` are merged over it: mappings by key, everything else is replaced.
    """
    how: dict[str, Any] = (
        {"connection": "ssh", "user": "lab", "sudo": True, "ssh_config": str(lab.folder / "ssh_config")}
        if lab.rooted else {"connection": "netns", "sudo": False}
    )
    data: dict[str, Any] = {
        "version": 1,
        "defaults": {"node": how},
        "nodes": {
            **{name: {"connection": "local", "roles": ["controller"], "sudo": False, **_platform(lab, place)}
               for name, place in topology.places.items() if place.controller},
            **{name: _node(lab, name, place, place.node) for name, place in topology.nodes().items() if place.node},
        },
        "networks": topology.networks,
        "vms": {name: _vm(lab, name, place) for name, place in topology.vms().items()},
    }
    for overlay in overlays:
        data = merged(data, overlay)
    return yaml.safe_dump({key: value for key, value in data.items() if value}, sort_keys=False, width=120)


def _platform(lab: State, place: Place) -> dict[str, Any]:
    """Give what stands for the platform's container; without sshd there is nothing to reach."""
    if not (place.platform and lab.rooted):
        return {}
    return {"platform": {"name": place.platform, "prefix": ["ip", "netns", "exec", lab.netns(place.platform)]}}


def _node(lab: State, name: str, place: Place, role: NodeRole) -> dict[str, Any]:
    """Give the stanza of a node. Without systemd there are no services to ask for."""
    links: dict[str, Any] = {}
    for device in role.links:
        addresses = list(place.interfaces[device].addresses)
        links[device] = {"addresses": addresses} if addresses else {}
    stanza: dict[str, Any] = {
        "address": role.address if lab.rooted else lab.netns(name),
        "roles": list(role.roles),
        "routes": [_route(route) for route in role.routes],
        "sysctl": dict(role.sysctl),
        "services": list(role.services) if lab.rooted else [],
        "tools": list(role.tools),
        "names_inside": list(role.names_inside),
        "names_outside": list(role.names_outside),
        "links": links,
    }
    return {key: value for key, value in stanza.items() if value}


def _route(route: Route) -> dict[str, str]:
    """Give a route as the inventory has it."""
    return {key: value for key, value in (("to", route.to), ("via", route.via), ("dev", route.dev)) if value}


def _vm(lab: State, name: str, place: Place) -> dict[str, Any]:
    """Give the stanza of a VM. Its inside is entered by its network namespace, in both flavours."""
    assert place.vm is not None
    entered = {"guest": {"connection": "netns", "address": lab.netns(name)}} if place.vm.entered else {}
    return {
        "node": place.vm.node,
        "domain": place.vm.domain or name,
        "tcp": list(place.vm.tcp),
        **entered,
        **({"names": list(place.vm.names)} if place.vm.names else {}),
        "interfaces": [
            {"network": place.vm.network, "mac": interface.mac, "tap": interface.to.name,
             "addresses": [address.split("/")[0] for address in interface.addresses],
             **({"floating": list(place.vm.floating)} if place.vm.floating else {})}
            for interface in place.interfaces.values() if interface.to
        ],
    }
