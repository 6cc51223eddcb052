"""What several facts together show of the segment around a VM."""

from __future__ import annotations

from netchecks.cause import cause
from netchecks.errors import Harmless, Wrong
from netchecks.models.answers import Answer
from netchecks.models.bridges import FdbEntry
from netchecks.models.domains import Domain
from netchecks.models.subjects import Flow, Interface, Network, Node
from netchecks.models.table import Table
from netchecks.seen import By


@cause(
    "vmhost.bridge_knows_mac", "vmhost.arp_is_answered", "vmhost.ndp_is_answered", "vmhost.vm_answers_ping",
    "vmhost.tcp_port_answers", "vmhost.mtu_is_consistent", "vmhost.packets_are_not_lost",
)
def switch_reflects_frames(node: Node, network: Network, answers: By[Flow, Answer]) -> None:
    """What leaves by the uplink comes back in by it, so the bridge learns its own VMs' MACs at the uplink."""
    seen = answers.seen()
    if any(answer.reflected and flow.source == node and flow.network == network for flow, answer in seen.items()):
        uplink = network.at(node).uplink
        raise Wrong(
            "switch.reflects_frames", f"{node}: frames sent by {uplink} come back in by {uplink}", place=node.name,
            hop="tap", layer="forwards", owner="network engineer", certain=True,
            remedy=f"find the loop or the hairpin setting at the switch port of {node}'s {uplink}",
        )


@cause("vmhost.bridge_knows_mac")
def mac_is_used_twice(interface: Interface, answers: By[Flow, Answer], fdb: By[Node, tuple[FdbEntry, ...]]) -> None:
    """The VM answers at its tap, and its MAC has been learned somewhere else: two machines send with it."""
    if any(entry.mac == interface.mac and entry.flags & {"static", "sticky", "permanent"} for entry in fdb[interface.node]):
        return  # somebody wrote it there
    own = [answer for flow, answer in answers.seen().items() if flow.interface == interface and flow.source == interface.node]
    if any(answer.came_back for answer in own) and not any(answer.reflected for answer in own):
        raise Wrong(
            "mac.duplicate", f"somebody else sends with {interface}'s MAC {interface.mac}: {interface.node} learned it at the wrong "
            "port", certain=True, owner="guest owner", remedy=f"find the other machine with {interface.mac}; give each VM its own MAC",
        )


@cause(
    "vmhost.arp_is_answered", "vmhost.ndp_is_answered", "vmhost.vm_answers_ping", "vmhost.tcp_port_answers", "vmhost.mtu_is_consistent",
)
def mac_answers_for_another(interface: Interface, answers: By[Flow, Answer]) -> None:
    """Another VM's address is answered with this VM's MAC: the two take each other's frames away."""
    for flow, answer in answers.seen().items():
        other = flow.interface
        if other is not None and other != interface and other.mac != interface.mac and interface.mac in answer.macs:
            raise Wrong(
                "mac.duplicate", f"{other} answers for {flow.target} with {interface.mac}, the MAC of {interface}",
                layer="neighbour", certain=True, owner="guest owner", remedy="give each VM its own MAC",
            )


@cause("vmhost.vm_is_running", peers=True)
def domain_runs_elsewhere(interface: Interface, domains: By[Node, Table[Domain]]) -> None:
    """The domain is not on its node but runs on another one: it was migrated, and the inventory does not know."""
    name = interface.vm.domain
    if name in domains[interface.node]:
        return
    where = [node for node, known in domains.seen().items() if name in known and known[name].runs]
    if where:
        raise Harmless("domain.migrated", f"{interface.vm} runs on {where[0]}, not on {interface.node}: correct the inventory")
