"""What checks of routers share: which of them does the work, what it holds, how it is told."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_interface

from netchecks.errors import NotSeen, Why
from netchecks.flowing import attached
from netchecks.models.neutron import Namespace, RouterState
from netchecks.models.subjects import Address, Interface, Inventory, Network, VirtualRouter
from netchecks.seen import By

#: The remedy of what the agent has written, and somebody else has taken away.
RESTART = "systemctl restart neutron-l3-agent, which writes the router anew"


def judged(router: VirtualRouter, states: By[VirtualRouter, RouterState]) -> bool:
    """Tell whether a router does the work. Raises NotSeen of a distributed one that the inventory takes for one in one piece."""
    state = states[router]
    if state.distributed and not router.distributed:
        told = f"{router.namespace} is a part of a distributed router; the inventory does not say so (router: distributed: true)"
        raise NotSeen(Why.NOT_POSSIBLE, f"{router.node}: {told}")
    if not router.distributed and state.role not in {"", "primary", "standby"}:
        told = f"{router.namespace} is one of several, and whether it works cannot be told there ({state.role})"
        raise NotSeen(Why.NOT_POSSIBLE, f"{router.node}: {told}")
    return state.exists and (router.distributed or state.role != "standby")


def working(interface: Interface, states: By[VirtualRouter, RouterState]) -> Iterator[VirtualRouter]:
    """Give the routers of an interface's network that do the work for it and are there; of a distributed one the part of its node.

    Raises NotSeen where none does and one was not seen.
    """
    known = interface.network.neutron
    if known is not None and known.distributed and interface.node.name not in known.router_nodes:
        told = f"the inventory names no part of the distributed router of {interface.network} on {interface.node}, where {interface} is"
        raise NotSeen(Why.NOT_POSSIBLE, told)
    unseen: NotSeen | None = None
    works = False
    for router in states:
        if router.network != interface.network or (router.distributed and router.node != interface.node):
            continue
        try:
            if judged(router, states):
                works = True
                yield router
        except NotSeen as reason:
            unseen = reason
    if unseen is not None and not works:
        raise unseen


def held(found: Namespace) -> dict[Address, str]:
    """Give the addresses of a namespace, with the device of each."""
    return {ip_interface(text).ip: device for device, text in found.addresses}


def shown(found: Namespace) -> str:
    """Give them as a text."""
    told = (f"{text} on {device}" for device, text in found.addresses if not ip_interface(text).is_link_local)
    return ", ".join(told) or "none"


def external_of(address: Address, inner: Network, inventory: Inventory) -> Network | None:
    """Give the network that a floating address is of; None where the inventory does not have it."""
    others = (network for network in inventory.networks if network != inner)
    return next((network for network in others if any(address in subnet.prefix for subnet in network.subnets)), None)


def not_central(interface: Interface, router: VirtualRouter, inventory: Inventory) -> None:
    """Raise NotSeen where an interface's floating addresses are at the network node, although its router is distributed.

    So it is where the external network is not on the VM's own node (the L3 agent's mode dvr_no_external).
    """
    externals = [external_of(address, interface.network, inventory) for address in interface.floating]
    away = next((one for one in externals if one is not None and not attached(interface.node, one)), None)
    if router.distributed and away is not None:
        told = f"{away} is not on {interface.node}, so floating addresses of {interface} are at the network node"
        raise NotSeen(Why.NOT_POSSIBLE, f"{told}, in {router.snat_namespace}, which is not looked at for them")
