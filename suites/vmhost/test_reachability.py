"""Whether packets come back: from the VM's node, and from wherever the inventory says that one may ask."""

from __future__ import annotations

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.answers import Answer
from netchecks.models.subjects import Flow, Interface, Inventory
from netchecks.seen import By, note


def _guest(flow: Flow) -> Interface:
    assert flow.interface is not None
    return flow.interface


def _owner_answers(flow: Flow, answer: Answer, inventory: Inventory) -> None:
    """The address is answered by the interface's MAC and by nobody else."""
    interface = _guest(flow)
    family, breaks = f"IPv{flow.family}", frozenset({f"ipv{flow.family}"})
    if not answer.came_back:
        message = f"{interface}: {interface.mac} does not answer for {flow.target} ({answer.sent} requests from {flow.source})"
        raise Wrong("guest.silent", message, breaks=breaks)
    strangers = [mac for mac in answer.macs if mac != interface.mac]
    if not strangers:
        return
    known = {other.mac: other for other in inventory.interfaces}
    if interface.mac not in answer.macs and strangers[0] in known:
        message = f"{interface} answers for {flow.target} with {strangers[0]}, the MAC of {known[strangers[0]]}, expected {interface.mac}"
        raise Wrong("mac.duplicate", message, breaks=breaks, certain=True, owner="guest owner", remedy="give each VM its own MAC")
    who = ", ".join(f"{mac} ({known[mac]})" if mac in known else mac for mac in strangers)
    also = f"and {interface.mac} " if interface.mac in answer.macs else ""
    raise Wrong(
        "address.duplicate", f"{who} {also}answer for {interface}'s {family} address {flow.target}, expected {interface.mac} alone",
        breaks=breaks, certain=True, owner="platform", remedy=f"take {flow.target} away from {who}",
    )


@pytest.mark.flow("arp", to="vm")
@pytest.mark.verdict
@pytest.mark.hop("guest", "neighbour")
def test_arp_is_answered(flow: Flow, answers: By[Flow, Answer], inventory: Inventory) -> None:
    """An ARP request on the VM's segment is answered by the VM's MAC and by nobody else.

    Why: nothing else can be sent to the VM before its MAC is known.
    Remedy: guest owner: inside the guest: ip address show, ip link show; compare with the inventory
    Source: VMmanager knowledge base, "Диагностика сетевых проблем на сервере узла"; RFC 826
    """
    _owner_answers(flow, answers[flow], inventory)


@pytest.mark.flow("ndp", to="vm")
@pytest.mark.verdict
@pytest.mark.hop("guest", "neighbour")
def test_ndp_is_answered(flow: Flow, answers: By[Flow, Answer], inventory: Inventory) -> None:
    """A neighbour solicitation on the VM's segment is answered by the VM's MAC and by nobody else.

    Why: nothing else can be sent to the VM by IPv6 before its MAC is known.
    Remedy: guest owner: inside the guest: ip -6 address show, ip link show; compare with the inventory
    Source: VMmanager knowledge base, "Диагностика сетевых проблем на сервере узла"; RFC 4861
    """
    _owner_answers(flow, answers[flow], inventory)


@pytest.mark.flow("icmp", to="vm", full=False)
@pytest.mark.verdict
@pytest.mark.hop("guest", "address")
def test_vm_answers_ping(flow: Flow, answers: By[Flow, Answer]) -> None:
    """The VM answers ping.

    Why: it is the first thing that anybody tries. A guest may refuse it: a port that answers shows that the network works.
    Remedy: guest owner: look at the guest's addresses, routes and firewall
    Source: VMmanager knowledge base, "Диагностика сетевых проблем на сервере узла"; RFC 792, RFC 4443
    """
    answer = answers[flow]
    if not answer.came_back:
        said = answer.error or "no answer"
        message = f"{_guest(flow)} does not answer ping at {flow.target} from {flow.source}: {said} ({answer.sent} requests)"
        raise Wrong("guest.silent_over_ip", message, breaks=frozenset({f"ipv{flow.family}", "unicast"}))


@pytest.mark.flow("icmp", to="vm", full=True)
@pytest.mark.verdict
@pytest.mark.hop("guest", "size")
def test_mtu_is_consistent(flow: Flow, answers: By[Flow, Answer]) -> None:
    """A ping of the network's full MTU that may not be fragmented is answered, or a router says which size fits.

    Why: where small packets pass and full ones vanish, logins work and transfers hang.
    Remedy: network engineer: compare the MTU of guest, tap, bridge, uplink and switch
    Source: OpenStack and Kubernetes documents, MTU; RFC 1191, RFC 8201, RFC 2923 section 2.1 (black holes)
    """
    answer = answers[flow]
    if answer.came_back:
        return
    said = f": {answer.error}" if answer.error else ""
    if answer.outcome == "too_big" and "routed" in flow.needs:
        note("path.mtu_smaller", f"{flow.network.mtu} bytes from {flow.source} to {_guest(flow)} do not fit, and the sender is told{said}")
        return  # senders learn the size, so nothing hangs
    message = f"a full-sized packet ({flow.network.mtu} bytes) from {flow.source} to {_guest(flow)} is not answered{said}"
    breaks = frozenset({f"ipv{flow.family}", "full_size"})
    if answer.outcome == "silent" and _is_lost_on_the_way(flow, answers.seen()):
        raise Wrong(
            "path.mtu_black_hole", f"{message}, small ones are, and nobody says 'fragmentation needed': a hop between {flow.source} and "
            f"{_guest(flow).node} is smaller and silent", breaks=breaks, place=flow.network.name, certain=True,
            remedy="find the hop (tracepath -n from the sender shows where it ends); raise its MTU, or let its ICMP errors through",
        )
    raise Wrong("path.mtu_too_small", message, breaks=breaks)


def _is_lost_on_the_way(flow: Flow, answers: dict[Flow, Answer]) -> bool:
    """Tell whether small packets to the guest pass, and full ones do from its own node or to other guests: it is not the guest."""
    pings = {other: answer for other, answer in answers.items() if other.protocol == "icmp" and other.interface}
    small = [answer for other, answer in pings.items() if (other.source, other.target, other.size) == (flow.source, flow.target, None)]
    full = {other: answer for other, answer in pings.items() if other.size and other.family == flow.family}
    near = [answer for other, answer in full.items() if other.source == _guest(flow).node and other.target == flow.target]
    others = [answer for other, answer in full.items() if other.source == flow.source and other.interface != flow.interface]
    if flow.source == _guest(flow).node or not any(answer.came_back for answer in small):
        return False
    return any(answer.came_back for answer in near) if near else bool(others) and not any(answer.came_back for answer in others)


@pytest.mark.flow("tcp", to="vm")
@pytest.mark.verdict
@pytest.mark.hop("guest", "service")
def test_tcp_port_answers(flow: Flow, answers: By[Flow, Answer]) -> None:
    """A declared TCP port accepts connections; refused, filtered and unreachable are told apart.

    Why: this is what the VM is for.
    Remedy: guest owner: inside the guest: ss -tln, and its firewall
    Source: VMmanager knowledge base, "Диагностика сетевых проблем на сервере узла", nmap -sS
    """
    answer, port = answers[flow], f"{flow.target} port {flow.port}/tcp"
    breaks = frozenset({f"ipv{flow.family}", f"tcp{flow.port}"})
    if answer.outcome == "refused":
        raise Wrong(
            "guest.port_closed", f"{_guest(flow)} refuses {port} from {flow.source}: nothing listens there",
            breaks=breaks, certain=True, remedy=f"start what shall listen on port {flow.port} inside the guest (ss -tln)",
        )
    if not answer.came_back:
        said = answer.error or "no answer"
        message = f"{_guest(flow)} does not answer at {port} from {flow.source}: {said}"
        raise Wrong("guest.port_silent", message, breaks=breaks)


@pytest.mark.flow("udp", to="vm")
@pytest.mark.verdict
@pytest.mark.hop("guest", "service")
def test_udp_port_answers(flow: Flow, answers: By[Flow, Answer]) -> None:
    """A declared UDP port is not refused; silence proves nothing.

    Why: an application may rightly not answer what it does not understand.
    Remedy: guest owner: inside the guest: ss -uln, and its firewall
    Source: VMmanager knowledge base, "Диагностика сетевых проблем на сервере узла", nmap -sU
    """
    answer, port = answers[flow], f"{flow.target} port {flow.port}/udp"
    if answer.outcome == "refused":
        message = f"{_guest(flow)} refuses {port} from {flow.source}: nothing listens there"
        raise Wrong("guest.port_closed", message, breaks=frozenset({f"udp{flow.port}"}), certain=True)
    if not answer.came_back:
        raise NotSeen(Why.NOT_POSSIBLE, f"{_guest(flow)}: {port} is open or filtered: nothing came back")


@pytest.mark.flow("arp", "ndp", to="gateway")
@pytest.mark.verdict
@pytest.mark.hop("gateway", "neighbour")
def test_gateway_answers(flow: Flow, answers: By[Flow, Answer]) -> None:
    """The network's gateway resolves, to one MAC.

    Why: everything that leaves the segment goes through it; two machines with its address take packets by turns.
    Remedy: network engineer: look at the gateway's interface in this segment
    Source: OpenStack operations guide, chapter 13; Neutron document, ping of the gateway
    """
    answer, gateway = answers[flow], f"the gateway {flow.target} of {flow.network}"
    breaks = frozenset({f"ipv{flow.family}"})
    if not answer.came_back:
        message = f"{gateway} does not answer {flow.source} ({answer.sent} {flow.protocol.upper()} requests)"
        raise Wrong("gateway.gone", message, breaks=breaks | {"uplink"}, place=str(flow.target))
    known = next((s.gateway_macs for s in flow.network.subnets if s.gateway == flow.target), frozenset())
    if len(answer.macs) > 1 and not set(answer.macs) <= known:
        raise Wrong(
            "gateway.two_macs", f"{gateway} is answered by {len(answer.macs)} MACs: {', '.join(answer.macs)}, expected one",
            breaks=breaks, certain=True, place=str(flow.target),
            remedy=f"find the machine that took {flow.target}; declare gateway_macs where several are meant (GLBP, DVR)",
        )
    if known and not set(answer.macs) <= known:
        raise Wrong(
            "gateway.wrong_mac", f"{gateway} is answered by {answer.macs[0]}, expected {' or '.join(sorted(known))}",
            breaks=breaks, certain=True, place=str(flow.target),
            remedy=f"find the machine that took {flow.target}, or correct gateway_macs",
        )


@pytest.mark.flow("icmp", to="gateway")
@pytest.mark.verdict
@pytest.mark.hop("gateway", "address")
def test_gateway_answers_ping(flow: Flow, answers: By[Flow, Answer]) -> None:
    """The network's gateway answers ping. One that resolves and is silent is known to be so, and no failure.

    Why: it shows that IP works up to the edge of the segment.
    Remedy: network engineer: look at the gateway's addresses and filters
    Source: Neutron document, ping of the gateway
    """
    answer = answers[flow]
    if not answer.came_back:
        said = answer.error or "no answer"
        message = f"the gateway {flow.target} of {flow.network} does not answer ping from {flow.source}: {said}"
        raise Wrong("gateway.silent_over_ip", message, breaks=frozenset({f"ipv{flow.family}", "unicast", "routed"}))
