"""What a (live) migration leaves behind on the node where an instance was: its floating addresses and their translation."""

from __future__ import annotations

import pytest

from netchecks.errors import Wrong
from netchecks.models.netfilter.rules import Ruleset
from netchecks.models.netfilter.translations import translations
from netchecks.models.routes import InterfaceAddress
from netchecks.models.subjects import Address, Interface, Node
from netchecks.models.table import Table
from netchecks.seen import By

Addresses = By[Node, Table[tuple[InterfaceAddress, ...]]]
_FLOATING = frozenset({"floating"})
#: What only packets of the other node's own instances meet: no flow from outside.
_INSIDE = frozenset({"outbound"})


@pytest.mark.kind("nova-network")
@pytest.mark.peers("addresses", "iptables")
@pytest.mark.hop("public", "address")
def test_floating_address_is_held_once(interface: Interface, addresses: Addresses, iptables: By[Node, Ruleset]) -> None:
    """No other node of the network holds a floating address that the instance's gate has, nor translates it.

    Of a network with more than 16 nodes those that a run with --host or --vm does not look at are not judged.

    Why: two nodes answer ARP for one address, and who asks believes one of them: the instance is lost for some, and found by others.
    Remedy: node administrator: on the other node ip addr del the address; restart its nova-network, which writes its rules anew
    Source: nova/network/floating_ips.py, migrate_instance_start; nova/network/linux_net.py, unbind_floating_ip
    """
    gate = interface.gate
    others = [end.node for end in interface.network.attachments if end.node != gate and end.node in addresses]
    for floating in interface.floating if others else ():
        if not _devices(floating, addresses[gate]):
            continue  # another check says so
        for node in others:
            devices, to = _devices(floating, addresses[node]), _translated(floating, iptables, node)
            if devices or to:
                what = " and ".join([*(f"has it on {device}" for device in devices), *(f"translates it to {one}" for one in to)])
                device = devices[0] if devices else ""
                raise Wrong(
                    "nova.floating_address_twice",
                    f"{node}: {floating}, the floating address of {interface}, is on its gate {gate}, and {node} {what}; "
                    f"expected {gate} alone", place=node.name, breaks=_FLOATING if devices else _INSIDE,
                    remedy=_clean(node, floating, device),
                )


def _devices(floating: Address, known: Table[tuple[InterfaceAddress, ...]]) -> list[str]:
    return [name for name, some in known.items() if any(one.address.ip == floating for one in some)]


def _translated(floating: Address, iptables: By[Node, Ruleset], node: Node) -> list[str]:
    """Give what nova's chains of a node translate an address to: each once."""
    rules = translations(iptables[node], "DNAT").of(floating)
    return list(dict.fromkeys(one.to for one in rules if one.chain.startswith("nova-")))


def _clean(node: Node, floating: Address, device: str) -> str:
    drop = f"ip addr del {floating}/32 dev {device}; " if device else ""
    return f"on {node}: {drop}restart nova-network, which writes its rules anew; then let the outside forget the MAC: arping -U on the gate"
