"""What several answers together show of a guest."""

from __future__ import annotations

from netchecks.cause import cause
from netchecks.errors import Harmless, Wrong
from netchecks.models.answers import Answer
from netchecks.models.links import Link
from netchecks.models.subjects import Flow, Node
from netchecks.models.table import Table
from netchecks.models.traces import Trace
from netchecks.seen import By

#: A bridge hands on frames that are longer than a port's MTU by the length of a VLAN tag (TRAPS, "MTU").
VLAN_TAG = 4
_SILENT = ("vmhost.vm_answers_ping", "vmhost.tcp_port_answers", "vmhost.mtu_is_consistent")


def _to_same(flow: Flow, answers: By[Flow, Answer]) -> dict[Flow, Answer]:
    return {other: answer for other, answer in answers.seen().items() if other.interface == flow.interface}


def _is_from_there(other: Flow, flow: Flow) -> bool:
    """Tell whether another flow begins where this one does."""
    return (other.source, other.namespace) == (flow.source, flow.namespace)


@cause("vmhost.arp_is_answered")
def guest_has_another_address(flow: Flow, answers: By[Flow, Answer]) -> None:
    """The guest is silent for its address, and answers for another one of its subnet."""
    answer, interface = answers[flow], flow.interface
    found = sorted({str(reply.address) for reply in answer.others if interface and reply.mac == interface.mac})
    if interface and found and not answer.came_back:
        raise Wrong(
            "guest.wrong_address", f"{interface} answers for {', '.join(found)}, expected {flow.target}",
            breaks=frozenset({"ipv4"}), owner="guest owner",
            remedy=f"set {flow.target} inside the guest instead of {found[0]}, or correct the inventory",
        )


@cause(*_SILENT)
def guest_has_a_wide_prefix(flow: Flow, answers: By[Flow, Answer]) -> None:
    """The guest asks by ARP for an address that is behind its gateway: its prefix is too wide."""
    interface, network = flow.interface, flow.network
    if interface is None or flow.family != 4 or "routed" not in flow.needs:  # noqa: PLR2004 - ARP is IPv4's
        return
    wants = {address for answer in _to_same(flow, answers).values() for address in answer.wants}
    # link-local ones are asked for by every cloud-init (169.254.169.254) and by zeroconf
    foreign = {address for address in wants if not any(address in subnet.prefix for subnet in network.subnets)}
    outside = sorted(address for address in foreign if not address.is_link_local)
    subnet = next((subnet for subnet in network.subnets if flow.target in subnet.prefix), None)
    if outside and subnet:
        raise Wrong(
            "guest.wrong_prefix", f"{interface} asks its segment for {outside[0]}, which is outside {subnet.prefix}: its prefix is "
            f"shorter than /{subnet.prefix.prefixlen}", breaks=frozenset({"ipv4", "routed"}), layer="address",
            owner="guest owner", remedy=f"set {flow.target}/{subnet.prefix.prefixlen} inside the guest",
        )


@cause("vmhost.vm_answers_ping", "vmhost.mtu_is_consistent", "vmhost.reply_leaves_tap")
def guest_drops_icmp(flow: Flow, answers: By[Flow, Answer], traces: By[Flow, Trace]) -> None:
    """The guest does not answer ping, but a declared port of the same address, asked from the same node, is.

    Where a trace shows that pings are lost before they come to the guest, or answers behind it, it is not the guest.
    """
    if flow.protocol != "icmp" or flow.translated is not None:  # who translates it may drop it too: a trace tells
        return
    asked = [
        other for other, answer in _to_same(flow, answers).items()
        if answer.came_back and other.protocol == "tcp" and _is_from_there(other, flow) and other.target == flow.target
    ]
    pings = {
        other: answer for other, answer in _to_same(flow, answers).items()
        if other.protocol == "icmp" and not other.size and other.target == flow.target and _is_from_there(other, flow)
    }
    followed = (trace.lost for other, trace in traces.seen().items() if other in pings)
    if any(lost is not None and lost.after is not None for lost in followed):
        return
    if asked and not any(answer.came_back for answer in pings.values()):
        raise Harmless("guest.drops_icmp", f"{flow.interface} answers at {flow.target} port {asked[0].port}, but not ping: it drops ICMP")


@cause("vmhost.ndp_is_answered", "vmhost.vm_answers_ping", "vmhost.tcp_port_answers", "vmhost.mtu_is_consistent")
def guest_has_no_ipv6(flow: Flow, answers: By[Flow, Answer]) -> None:
    """The guest answers by IPv4, and not even a neighbour solicitation by IPv6."""
    same = _to_same(flow, answers)
    four = [answer for other, answer in same.items() if other.family == 4]  # noqa: PLR2004 - IPv4
    neighbours = [answer for other, answer in same.items() if other.protocol == "ndp"]
    if flow.family == 6 and any(a.came_back for a in four) and neighbours and not any(a.came_back for a in neighbours):  # noqa: PLR2004
        raise Wrong(
            "guest.no_ipv6", f"{flow.interface} answers by IPv4, but does not answer for {flow.target}",
            breaks=frozenset({"ipv6"}), layer="neighbour", owner="guest owner",
            remedy="look inside the guest: ip -6 address show; sysctl net.ipv6.conf.all.disable_ipv6",
        )


@cause("vmhost.mtu_is_consistent")
def sender_is_a_little_short(flow: Flow, answers: By[Flow, Answer], links: By[Node, Table[Link]]) -> None:
    """The asker's own bridge is up to 4 bytes short: it cannot send a full packet, though the ports pass those of others."""
    device = next((end.bridge for end in flow.network.attachments if end.node == flow.source), "")
    mtu = links[flow.source][device].mtu if device else None
    if mtu is not None and flow.network.mtu - VLAN_TAG <= mtu < flow.network.mtu and answers[flow].outcome == "too_big":
        raise Harmless("bridge.mtu_short", f"{flow.source}: {device} has MTU {mtu}, so a full {flow.network.mtu} cannot be sent from there")


@cause("vmhost.gateway_answers_ping")
def gateway_drops_icmp(flow: Flow, answers: By[Flow, Answer]) -> None:
    """The gateway resolves, and keeps silent to ping: many do.

    For one that is asked through a tunnel the sender's own bridge may answer: that is looked at by who knows those.
    """
    if flow.namespace and flow.network.tunnelled is not None:
        return
    asked = [
        answer for other, answer in answers.seen().items()
        if _is_from_there(other, flow) and other.target == flow.target and other.protocol in {"arp", "ndp"}
    ]
    if any(answer.came_back for answer in asked):
        raise Harmless("gateway.drops_icmp", f"the gateway {flow.target} of {flow.network} resolves, but does not answer ping")
