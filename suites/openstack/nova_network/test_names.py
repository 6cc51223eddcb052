"""Names: the server's own host, then dnsmasq, then the instance; the first that cannot resolve is the cause."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from netchecks.errors import NotSeen, Wrong
from netchecks.models.answers import NameAnswer, Overheard
from netchecks.models.dhcp.servers import DhcpProcess
from netchecks.models.subjects import DhcpServer, Interface, Node
from netchecks.seen import By

#: What users feel; a resolver on the spot answers in milliseconds, one far away in a tenth of it.
SLOW_SECONDS = 1.0
#: RFC 1035 section 4.1.1, RFC 2136 section 2.2.
RCODES = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}

HostAnswers = By[Node, tuple[NameAnswer, ...]]
ServerAnswers = By[DhcpServer, tuple[NameAnswer, ...]]
_NAMES = frozenset({"names"})


#: What ends a look-up: of other answers, and of none, the next server is asked (resolv.conf(5); dnsmasq --strict-order).
_FINAL = frozenset({0, 3})


def _resolves(answers: Sequence[NameAnswer], name: str) -> bool:
    """Tell whether a name resolves where the servers are asked one after the other."""
    return next((one.rcode == 0 for one in answers if one.name == name and one.rcode in _FINAL), False)


def _lacking(answers: Sequence[NameAnswer], names: Iterable[str] = ()) -> list[str]:
    """Give those of the names that do not resolve; without names, of all that were asked for."""
    asked = dict.fromkeys(names) or dict.fromkeys(one.name for one in answers)
    return [name for name in asked if not _resolves(answers, name)]


def _of(answers: Sequence[NameAnswer], names: Iterable[str]) -> list[NameAnswer]:
    wanted = set(names)
    return [one for one in answers if one.name in wanted]


def _said(answers: Sequence[NameAnswer]) -> str:
    shown = (f"{one.name}: {RCODES.get(one.rcode, '') or one.error or 'silent'}" for one in answers)
    return "; ".join(dict.fromkeys(shown))


def _host(node: Node, name_answers: HostAnswers) -> tuple[NameAnswer, ...] | None:
    """Give what the node's own resolvers answer; None where nothing is declared to ask them for, or that could not be seen."""
    try:
        return name_answers[node] if node.names_inside or node.names_outside else None
    except NotSeen:
        return None


@pytest.mark.kind("nova-network")
def test_dnsmasq_answers(
    dhcp_server: DhcpServer, server_name_answers: ServerAnswers, name_answers: HostAnswers,
    dhcp_processes: By[DhcpServer, tuple[DhcpProcess, ...]],
) -> None:
    """The dnsmasq of nova, asked on its own node, resolves what that node itself can.

    Why: it is the name server of the instances, and asks the resolvers of its node; what the node cannot resolve, it cannot either.
    Remedy: node administrator: restart nova-network on {node.name}; dig @ADDRESS NAME there before and after
    Source: OpenStack operations guide, chapter 13, debugging DNS: first on the host where dnsmasq runs
    """
    node, runs = dhcp_server.node, any(one.serves for one in dhcp_processes[dhcp_server])
    if not (node.names_inside or node.names_outside) or not dhcp_server.addresses or not runs:
        return  # nothing is declared, or another check says so
    answers = server_name_answers[dhcp_server]
    lacking = _lacking(answers)
    if not lacking:
        return
    host = name_answers[node]
    names = [name for name in lacking if _resolves(host, name)]  # of others the node's own resolvers are the cause: another check says so
    if names:
        raise Wrong(
            "nova.dnsmasq_does_not_resolve",
            f"{node} resolves {', '.join(names)}, and its dnsmasq at {dhcp_server.addresses[0]} does not: {_said(_of(answers, names))}",
            place=node.name,
        )


@pytest.mark.kind("nova-network")
@pytest.mark.inside
@pytest.mark.hop("guest", "service")
def test_instance_resolves(
    interface: Interface, guest_name_answers: By[Interface, tuple[NameAnswer, ...]], server_name_answers: ServerAnswers,
    name_answers: HostAnswers, dhcp_processes: By[DhcpServer, tuple[DhcpProcess, ...]], dns_messages: By[Interface, tuple[Overheard, ...]],
) -> None:
    """Inside the instance names resolve, and a reverse look-up comes back: it is what a login by ssh waits for.

    Where they do not, it is the first of these that cannot: the node of dnsmasq, dnsmasq, the way between it and the instance, of
    which UDP port 53 is listened to at the tap and on the bridge.

    Why: sshd looks up the address of who logs in; where that hangs, the prompt comes after a minute.
    Remedy: node administrator: host NAME on {node.name}, then inside the instance (cirros: the first line of ping NAME)
    Source: OpenStack operations guide, chapter 13, debugging DNS; sshd_config(5), UseDNS
    """
    vm = interface.vm
    if not vm.runs or not interface.queries:
        return
    answers = guest_name_answers[interface]
    names = [one for one in answers if one.name in vm.names]
    reverse = [one for one in answers if one.name not in vm.names]
    server = next((one for one in server_name_answers if one.network == interface.network and one.node == interface.gate), None)
    silent = bool(answers) and all(one.rcode < 0 for one in answers)
    failing = _lacking(names)
    if silent or failing:
        _find(interface, _of(answers, failing) or answers, server, server_name_answers, name_answers, dhcp_processes, dns_messages)
        return
    late = [one for one in reverse if one.rcode < 0 or one.seconds > SLOW_SECONDS]
    if late:
        took = "no answer" if late[0].rcode < 0 else f"{late[0].seconds:.1f} s"
        raise Wrong(
            "resolver.reverse_hangs",
            f"{interface}: {late[0].server} knows names, but the reverse look-up of {late[0].name} hangs ({took}): "
            "logins by ssh wait for it", place=interface.gate.name, breaks=_NAMES,
            remedy=f"dig -x {late[0].name} @{late[0].server} on {interface.gate}; then the server of the reverse zone; or UseDNS no",
        )


def _find(
    interface: Interface, answers: Sequence[NameAnswer], server: DhcpServer | None, served: ServerAnswers, host_answers: HostAnswers,
    processes: By[DhcpServer, tuple[DhcpProcess, ...]], wire: By[Interface, tuple[Overheard, ...]],
) -> None:
    """Name the first that does not resolve what the instance cannot, beginning at the node of dnsmasq."""
    gate, asked = interface.gate, f"{interface} cannot resolve ({_said(answers)})"
    if server is not None and not any(one.serves for one in processes[server]):
        return  # another check says so
    host = _host(gate, host_answers)
    names = _comparable(answers, host or (), alone=len({one.name for one in answers}) < len(interface.vm.names))
    if host is not None and not any(one.rcode == 0 for one in host):
        raise Wrong(
            "resolver.dead", f"{gate}: neither the node itself nor its instances resolve: {_said(host)}; {asked}", place=gate.name,
            breaks=_NAMES,
            remedy=f"dig @{host[0].server} {host[0].name} on {gate}; then the service and the log of the DNS server {host[0].server}",
        )
    if server is None or host is None or not names:
        raise Wrong("nova.instance_cannot_resolve", asked, breaks=_NAMES)
    known = [name for name in names if _resolves(host, name)]
    if not known:
        said = f"{gate} itself cannot resolve what its instances cannot: {_said(_of(host, names))}; {asked}"
        raise Wrong("nova.instance_cannot_resolve", said, place=gate.name, breaks=_NAMES)
    _find_after_host(interface, answers, server, served[server], known, asked, wire)


def _comparable(answers: Sequence[NameAnswer], host: Sequence[NameAnswer], *, alone: bool) -> list[str]:
    """Give the names to compare by: those that the node was asked for too; where the instance resolves nothing, any of the node's."""
    asked = list(dict.fromkeys(one.name for one in host))
    common = [name for name in asked if any(one.name == name for one in answers)]
    return common if common or alone else asked


def _find_after_host(
    interface: Interface, answers: Sequence[NameAnswer], server: DhcpServer, served: Sequence[NameAnswer], known: Sequence[str], asked: str,
    wire: By[Interface, tuple[Overheard, ...]],
) -> None:
    """Name dnsmasq, the instance or what is between, of names that the node resolves."""
    gate, lacking = interface.gate, _lacking(served, known)
    if lacking:
        raise Wrong(
            "nova.dnsmasq_does_not_resolve",
            f"{gate} resolves {', '.join(lacking)}, its dnsmasq at {server.addresses[0]} does not: {_said(_of(served, lacking))}; "
            f"{asked}", place=gate.name, breaks=_NAMES, remedy=f"restart nova-network on {gate}",
        )
    others = sorted({str(one.server) for one in answers if one.server not in server.addresses})
    if others:
        raise Wrong(
            "guest.wrong_resolver", f"{interface} asks {', '.join(others)}, expected {server.addresses[0]}: {asked}", breaks=_NAMES,
            place=interface.vm.name, owner="guest owner",
            remedy=f"put nameserver {server.addresses[0]} into /etc/resolv.conf inside {interface.vm}",
        )
    if any(one.rcode >= 0 for one in answers):  # it was answered: the way is free
        said = f"{gate} and its dnsmasq resolve what the instance is told not to exist: {asked}"
        raise Wrong("nova.instance_cannot_resolve", said, breaks=_NAMES)
    asked += _on_the_wire(interface, wire)
    raise Wrong(
        "nova.dns_blocked", f"{gate} and its dnsmasq resolve names; between dnsmasq and the instance port 53 is lost: {asked}",
        place=gate.name,
        breaks=_NAMES,
        remedy=f"tcpdump -i {interface.bridge} -n -v udp port 53 on {gate}; iptables-save there: nova-network-INPUT has to accept 53",
    )


def _on_the_wire(interface: Interface, wire: By[Interface, tuple[Overheard, ...]]) -> str:
    """Say where a question of the instance and its answer were seen; nothing where that could not be listened to."""
    try:
        return "; of one question there is " + ", ".join(map(str, wire[interface]))
    except NotSeen:
        return ""
