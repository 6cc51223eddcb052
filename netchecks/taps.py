"""Which device of its node is a VM's NIC."""

from __future__ import annotations

from netchecks.errors import NotSeen
from netchecks.models.domains import Domain
from netchecks.models.subjects import Interface, Node
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
    domain = known[interface.vm.domain]
    nic = next((nic for nic in domain.interfaces if nic.mac == interface.mac), None)
    return (nic.target or interface.tap) if nic and domain.state not in {"shut off", "crashed"} else ""
