"""Which devices of its node a VM's NIC and a network's uplink are."""

from __future__ import annotations

from netchecks.errors import NotSeen
from netchecks.models.domains import Domain, DomainInterface
from netchecks.models.openvswitch import OvsBridge, wires
from netchecks.models.subjects import Interface, Network, Node
from netchecks.models.table import Table
from netchecks.seen import By


def tap_of(interface: Interface, domains: By[Node, Table[Domain]]) -> str:
    """Give the interface's tap on its node, found by MAC as libvirt renames taps at every start.

    Empty where the domain does not run there: another check says so. Without libvirt's word it is the declared one.
    """
    try:
        known = domains[interface.node]
    except NotSeen:
        if interface.tap:
            return interface.tap
        raise
    if interface.vm.domain not in known:
        return ""
    nic = _nic(interface, known)
    return (nic.target or interface.tap) if nic and known[interface.vm.domain].state not in {"shut off", "crashed"} else ""


def is_vhost_user(interface: Interface, domains: By[Node, Table[Domain]]) -> bool:
    """Tell whether the interface is a socket between QEMU and a switch in user space, as with DPDK: the node has no device of it.

    Source: libvirt's formatdomain, vhost-user interface.
    """
    try:
        nic = _nic(interface, domains[interface.node])
    except NotSeen:
        return False
    return nic is not None and nic.kind == "vhostuser"


def _nic(interface: Interface, known: Table[Domain]) -> DomainInterface | None:
    domain = known.get(interface.vm.domain)
    return next((nic for nic in domain.interfaces if nic.mac == interface.mac), None) if domain else None


def uplink_devices(network: Network, node: Node, ovs_bridges: By[Node, Table[OvsBridge]]) -> tuple[str, ...]:
    """Give the devices of the node's uplink: of a bond of Open vSwitch its members, first the one in use.

    Where Open vSwitch could not be looked at it is the device that the inventory names.
    """
    device = network.at(node).uplink
    try:
        return wires(device, ovs_bridges[node])
    except NotSeen:
        return (device,)
