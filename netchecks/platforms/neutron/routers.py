"""What checks of routers share: which of them does the work, what it holds and lets through, how it is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_interface

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.flowing import attached
from netchecks.models.netfilter.path import Firewall, flow_verdict
from netchecks.models.netfilter.rules import Chain, Ruleset
from netchecks.models.neutron import Namespace, RouterState
from netchecks.models.packets import Packet, ping, tcp_syn
from netchecks.models.subjects import Address, Flow, Interface, Inventory, VirtualRouter
from netchecks.models.table import Table
from netchecks.platforms.neutron.agents import restart
from netchecks.platforms.neutron.flows import external_of
from netchecks.seen import By

#: The remedy of what the agent has written, and somebody else has taken away.
RESTART = f"{restart('l3')}, which writes the router anew"


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


def not_central(
    interface: Interface, router: VirtualRouter, inventory: Inventory, snat_namespaces: By[VirtualRouter, Namespace],
) -> None:
    """Raise NotSeen where an interface's floating addresses are at the network node, although its router is distributed.

    So it is where the external network is not on the VM's own node (the L3 agent's mode dvr_no_external): then the namespace that
    translates for all has them.
    """
    if not router.distributed:
        return
    externals = [external_of(address, interface.network, inventory) for address in interface.floating]
    away = next((one for one in externals if one is not None and not attached(interface.node, one)), None)
    have = [one for one, found in snat_namespaces.seen().items() if one.id == router.id and held(found).keys() & {*interface.floating}]
    if have or away is not None:
        why = f"{have[0].node} has them in {router.snat_namespace}" if have else f"{away} is not on {interface.node}"
        told = f"floating addresses of {interface} are at the network node ({why})"
        raise NotSeen(Why.NOT_POSSIBLE, f"{told}, where they are not looked at")


def first_packet(flow: Flow, destination: Address) -> Packet:
    """Give what a flow begins with, with this destination."""
    return tcp_syn(None, destination, flow.port or 0) if flow.protocol == "tcp" else ping(None, destination)


def must_pass(router: VirtualRouter, namespace: str, first: Packet, iptables: Ruleset, nftables: Ruleset) -> None:
    """Raise Wrong where a rule in a namespace drops what is forwarded to a floating address, NotSeen where that cannot be told."""
    verdict = flow_verdict(first, Firewall(iptables=_filtering(iptables), nftables=_filtering(nftables)))
    if verdict.outcome == "dropped":
        what, where = f"{first.protocol.upper()} to {first.destination}", f"ip netns exec {namespace}"
        raise Wrong(
            f"firewall.{verdict.tool}_drops", f"{router.node}: in {namespace}, {what}: {verdict}", place=router.node.name,
            breaks=frozenset({"floating"}),
            remedy=f"on {router.node}: {where}: remove the rule ({verdict.chain}: {verdict.rule}); or {RESTART}",
        )
    if verdict.outcome == "unknown":
        raise NotSeen(Why.NOT_POSSIBLE, f"{router.node}: in {namespace}: {verdict}")


def _filtering(rules: Ruleset) -> Ruleset:
    """Give the rules without those that translate, as what is asked about has been translated, and those that have met nothing so far.

    They are read after the probes: what has counted no packet has dropped none. Neutron's scopes hang on marks that rules before set.
    """
    def met(chain: Chain) -> Chain:
        return replace(chain, rules=tuple(rule for rule in chain.rules if rule.packets != 0))

    tables = [table for table in rules.tables if table.name != "nat"]
    return replace(rules, tables=tuple(
        replace(table, chains=Table("chain", {name: met(chain) for name, chain in table.chains.items()})) for table in tables
    ))
