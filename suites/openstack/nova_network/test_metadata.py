"""The metadata service: what instances ask at 169.254.169.254, and nova translates to its own API."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.console import Console
from netchecks.models.metadata import Metadata
from netchecks.models.netfilter.rules import Ruleset
from netchecks.models.netfilter.translations import Translation, translations
from netchecks.models.routes import InterfaceAddress
from netchecks.models.subjects import Interface, Node, Vm
from netchecks.models.system import Listener
from netchecks.models.table import Table
from netchecks.seen import By

#: Amazon's EC2 user guide, instance metadata; nova/network/linux_net.py, metadata_forward.
SERVICE = IPv4Address("169.254.169.254")
#: From here on HTTP says that the server is at fault (RFC 9110 section 15.6).
SERVER_ERROR = 500
#: No flow to an instance needs it.
_METADATA = frozenset({"metadata"})


@pytest.mark.kind("nova-network")
@pytest.mark.hop("guest", "service")
def test_metadata_is_reached(
    interface: Interface, iptables: By[Node, Ruleset], listeners: By[Node, tuple[Listener, ...]],
    addresses: By[Node, Table[tuple[InterfaceAddress, ...]]], guest_metadata: By[Vm, Metadata], console_logs: By[Vm, Console],
) -> None:
    """The instance reaches the metadata service: its gate translates the address, and where that is the gate itself, somebody listens.

    Why: keys and passwords come from there; without it an instance starts, and nobody can log in.
    Remedy: node administrator: restart nova-api-metadata (nova-api) where it shall run, and nova-network for the rule on {node.name}
    Source: OpenStack operations guide, chapter 13: cloud-setup: checking http://169.254.169.254/
    """
    vm, gate = interface.vm, interface.gate
    if not vm.runs:
        return
    now = _now(vm, guest_metadata)
    if now is not None and now.status is not None and now.status < SERVER_ERROR:
        return
    rule = next((one for one in translations(iptables[gate], "DNAT") if one.takes(SERVICE, "tcp")), None)
    if rule is None:
        raise Wrong(
            "nova.metadata_rule_missing", f"{gate}: no rule translates {SERVICE} port 80, which {interface} asks", place=gate.name,
            breaks=_METADATA, remedy=f"restart nova-network on {gate}, which writes the rule",
        )
    if _is_own(rule, gate, addresses) and not _listens(rule, listeners[gate]):
        raise Wrong(
            "nova.metadata_dead", f"{gate}: {SERVICE} is translated to {rule.to} port {rule.port}, and nothing listens there",
            place=gate.name, breaks=_METADATA, remedy=f"start nova-api-metadata (or nova-api) on {gate}",
        )
    _said(interface, now, console_logs)


def _now(vm: Vm, guest_metadata: By[Vm, Metadata]) -> Metadata | None:
    """Give what the instance gets now; None where it cannot be entered, or has no tool to ask with."""
    try:
        return guest_metadata[vm]
    except NotSeen:
        return None


def _is_own(rule: Translation, gate: Node, addresses: By[Node, Table[tuple[InterfaceAddress, ...]]]) -> bool:
    return any(str(one.address.ip) == rule.to for some in addresses[gate].values() for one in some)


def _listens(rule: Translation, known: tuple[Listener, ...]) -> bool:
    ours = (one for one in known if one.protocol == "tcp" and one.port == rule.port)
    return any(one.address is None or one.address == ip_address(rule.to) for one in ours)


def _said(interface: Interface, now: Metadata | None, console_logs: By[Vm, Console]) -> None:
    """The rule and the listener are there: what the instance itself says decides."""
    place = interface.gate.name
    if now is not None:
        said = now.error or f"HTTP status {now.status}"
        raise Wrong("nova.metadata_unreachable", f"{interface} asks {SERVICE} and gets: {said}", place=place, breaks=_METADATA)
    told = console_logs[interface.vm]
    if told.unreachable:
        raise Wrong(
            "nova.console_no_metadata", f'{interface}: its console says "{told.unreachable}" ({told.path} on {interface.node})',
            breaks=_METADATA, remedy=f"nova reboot {interface.vm}, once the service answers: it asks only when it starts",
        )
    if not told.metadata:
        raise NotSeen(Why.NOT_POSSIBLE, f"{interface.vm} cannot be asked, and {told.path} on {interface.node} says nothing of {SERVICE}")
