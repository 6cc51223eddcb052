"""nova's dnsmasq: one pair of processes for each network on each gate, its options, its hosts file, and the handshake in its log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, ip_address

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.answers import Answer
from netchecks.models.console import Console
from netchecks.models.dhcp.exchanges import HANDED_ON, Exchange, Loss, follow
from netchecks.models.dhcp.refusals import no_range, refusal
from netchecks.models.dhcp.servers import DhcpFiles, DhcpHost, DhcpLog, DhcpProcess
from netchecks.models.domains import Domain
from netchecks.models.routes import InterfaceAddress
from netchecks.models.subjects import Address, DhcpServer, Flow, Interface, Inventory, Node, Vm
from netchecks.models.table import Table
from netchecks.seen import By, note
from netchecks.taps import tap_of

Processes = By[DhcpServer, tuple[DhcpProcess, ...]]
#: What only DHCP itself needs: an instance that has its address goes on without.
_DHCP = frozenset({"dhcp"})
_ADDRESS = frozenset({"ipv4"})
#: Seconds: the log is read at most so long after the wire was listened to, which takes five; an instance asks every few.
MEANWHILE = 30.0
#: The last resort of the document, with what it costs.
_LAST = "last resort: killall dnsmasq, then restart nova-network; that stops DHCP and DNS of every project on that node for minutes"


# -- the processes -----------------------------------------------------------------------------------------------------


def _own(server: DhcpServer, processes: Processes) -> tuple[DhcpProcess, ...]:
    """Give the processes that serve this network: by their address, their bridge, or the file that nova names after it."""
    bridge = server.network.at(server.node).bridge
    addresses = {str(address) for address in server.addresses}
    return tuple(
        process for process in processes[server] if process.serves and process.own_network
        and (addresses & set(process.values("listen-address")) or bridge in process.values("interface")
             or any(f"nova-{bridge}." in value for value in process.values("pid-file")))
    )


def _instances(processes: Sequence[DhcpProcess]) -> list[list[DhcpProcess]]:
    """Give the processes by the server that they are of: nova's is a pair, of nobody and of root, with one file for the PID."""
    found: list[list[DhcpProcess]] = []
    for name in dict.fromkeys(process.values("pid-file") for process in processes):
        same = [process for process in processes if process.values("pid-file") == name]
        serving = [process for process in same if process.user != "root"] or same[:1]
        helpers = [process for process in same if process not in serving]
        found += [[one, *(helpers if number == 0 else [])] for number, one in enumerate(serving)]
    return found


@pytest.mark.kind("nova-network")
@pytest.mark.hop("dhcp", "service")
def test_dnsmasq_runs(dhcp_server: DhcpServer, dhcp_processes: Processes) -> None:
    """One dnsmasq serves the network on its gate, a pair of processes with nova's options: range, hosts file, leases kept by nova.

    Why: it is the only DHCP and DNS server of the instances of that node; two of them offer different addresses.
    Remedy: node administrator: restart nova-network on {node.name}; only if that does not help, killall dnsmasq before it
    Source: OpenStack operations guide, chapter 13, ps aux | grep dnsmasq; nova/network/linux_net.py, restart_dhcp
    """
    node, network = dhcp_server.node, dhcp_server.network
    own = _own(dhcp_server, dhcp_processes)
    if not own:
        raise Wrong(
            "dhcp.server_dead", f"{node}: no dnsmasq runs for {network}, expected nova's pair of processes", place=node.name, breaks=_DHCP,
            remedy=f"restart nova-network on {node}; {_LAST}",
        )
    several = _instances(own)
    if len(several) > 1:
        pids = ", ".join(str(some[0].pid) for some in several)
        raise Wrong(
            "dhcp.server_twice", f"{node}: {len(several)} dnsmasq serve {network} (PIDs {pids}), expected one pair of processes",
            place=node.name, breaks=_DHCP, remedy=f"kill the one that is not in nova-{network.at(node).bridge}.pid; {_LAST}",
        )
    _options(dhcp_server, own[0])


def _options(server: DhcpServer, process: DhcpProcess) -> None:
    """Its range is of the network, static, and it reads the file that nova writes."""
    node, network = server.node, server.network
    prefixes = [subnet.prefix for subnet in network.subnets if subnet.family == 4]
    for value in process.values("dhcp-range"):
        words = [word for word in value.split(",") if not word.startswith(("set:", "tag:", "net:"))]
        first = _address(words[0]) if words else None
        if first is not None and not any(first in prefix for prefix in prefixes):
            raise Wrong(
                "dhcp.no_range", f"{node}: dnsmasq of {network} has the range {value}, expected one of {', '.join(map(str, prefixes))}",
                place=node.name, breaks=_DHCP,
                remedy=f"correct dhcp_start or cidr of the network in nova; then restart nova-network on {node}",
            )
        if "static" not in words:
            said = f"{node}: dnsmasq of {network} has the range {value}, which gives addresses that nova does not know"
            note("nova.range_not_static", said)
    if not process.has("dhcp-hostsfile"):
        raise Wrong(
            "dhcp.no_hosts_file", f"{node}: dnsmasq of {network} reads no hosts file of nova's, expected --dhcp-hostsfile", place=node.name,
            breaks=_DHCP, remedy=f"restart nova-network on {node}; {_LAST}",
        )
    if process.user == "root":
        note("nova.dnsmasq_as_root", f"{node}: dnsmasq of {network} runs as root, nova's as nobody")


def _address(word: str) -> Address | None:
    try:
        return ip_address(word)
    except ValueError:
        return None


# -- each instance -----------------------------------------------------------------------------------------------------


def _server_of(interface: Interface, servers: Iterable[DhcpServer]) -> DhcpServer | None:
    """Give the one dnsmasq that serves an instance: that of its gate. Others hear it too, and rightly have no address for it."""
    return next((one for one in servers if one.network == interface.network and one.node == interface.gate), None)


@pytest.mark.kind("nova-network")
@pytest.mark.declares("dhcp")
@pytest.mark.hop("dhcp", "member")
def test_dnsmasq_knows_instance(interface: Interface, dhcp_files: By[DhcpServer, DhcpFiles], dhcp_processes: Processes) -> None:
    """The hosts file of the gate's dnsmasq has the instance's MAC, with its fixed address.

    Why: nova's dnsmasq serves only whom nova has written there; for others it has no address available.
    Remedy: node administrator: restart nova-network on the gate, which writes the file from the database
    Source: OpenStack operations guide, chapter 13, --dhcp-hostsfile; nova/network/linux_net.py, get_dhcp_hosts
    """
    server = _server_of(interface, dhcp_files)
    if not interface.vm.runs or server is None or not _own(server, dhcp_processes):
        return  # without a dnsmasq nobody tells which file: another check says so
    hosts, gate = dhcp_files[server].hosts, interface.gate
    known = [host for host in hosts or () if interface.mac in host.clients]
    if hosts is not None and not known:
        raise Wrong(
            "dhcp.host_missing", f"{gate}: the hosts file of dnsmasq has no {interface.mac} ({interface}), expected {_fixed(interface)}",
            place=gate.name, breaks=_ADDRESS,
            remedy=f"restart nova-network on {gate}; where it is missing then too, its row in fixed_ips is",
        )
    _right_address(interface, known)


def _right_address(interface: Interface, known: Sequence[DhcpHost]) -> None:
    given = {address for host in known for address in host.addresses}
    if given and not given & set(interface.addresses):
        raise Wrong(
            "dhcp.wrong_host", f"{interface.gate}: dnsmasq has {', '.join(map(str, given))} for {interface.mac} ({interface}), expected "
            f"{_fixed(interface)}", place=interface.gate.name, breaks=_ADDRESS, remedy=f"restart nova-network on {interface.gate}",
        )


def _fixed(interface: Interface) -> Address | None:
    return next((address for address in interface.addresses if isinstance(address, IPv4Address)), None)


@pytest.mark.kind("nova-network")
@pytest.mark.declares("dhcp")
@pytest.mark.hop("dhcp", "neighbour")
def test_dhcp_log_shows_handshake(
    interface: Interface, domains: By[Node, Table[Domain]], dhcp_messages: By[Interface, Exchange], dhcp_log: By[DhcpServer, DhcpLog],
    dhcp_processes: Processes,
) -> None:
    """An instance that asks for an address gets it: DISCOVER, OFFER, REQUEST and ACK, on the wire and in dnsmasq's log.

    No DISCOVER in the log: the way to dnsmasq. "no address available": the pool or the database. An OFFER or ACK in the log and not
    at the instance: the way back. An instance that asks nothing has its address: that is no failure. Nor is a renewal that another
    DHCP server on the gate takes, whose socket it shares: the instance repeats it by broadcast, which both hear.

    Why: without an address the instance runs, and nobody reaches it.
    Remedy: node administrator: tcpdump -i BRIDGE -n port 67 or port 68, then at each NIC in turn; and dnsmasq's lines in syslog
    Source: OpenStack operations guide, chapter 13, debugging DHCP
    """
    server = _server_of(interface, dhcp_log)
    if not interface.vm.runs or server is None or not tap_of(interface, domains):
        return  # another check says so
    loss = _loss(dhcp_messages[interface])
    if loss is None:
        return
    gate, who, own = interface.gate, f"{interface} ({interface.mac})", _own(server, dhcp_processes)
    if not own:
        raise Wrong(
            "dhcp.server_dead", f"{gate}: {who} asks for an address, and no dnsmasq runs for {interface.network}", place=gate.name,
            breaks=_ADDRESS, remedy=f"restart nova-network on {gate}; {_LAST}",
        )
    others = [process for process in dhcp_processes[server] if process.serves and process.own_network and process not in own]
    if others and loss.after is None and _only_renews(dhcp_messages[interface]) and not _now(dhcp_log[server]).of(interface.mac):
        pids = ", ".join(str(process.pid) for process in others)
        said = f"{gate}: {who} renews its lease, and nova's dnsmasq does not hear it: PID {pids} serves DHCP there too"
        note("dhcp.renewal_unanswered", said)
        return
    _told(interface, dhcp_log[server], loss, who)


def _only_renews(exchange: Exchange) -> bool:
    """Tell whether the instance says nothing but that it wants to keep its address: such a REQUEST names no server (RFC 2131 4.3.2)."""
    near = next(point for point in exchange.points if point.messages is not None)
    return all(one.kind == "REQUEST" and one.server is None for one in near.messages or () if exchange.has(one))


def _loss(exchange: Exchange) -> Loss | None:
    """Give where the exchange breaks off, None where the instance asks nothing or is answered.

    nova's ranges are static, so dnsmasq pings no address before it answers, and need not be given seconds to think.
    """
    near = next((point for point in exchange.points if point.messages is not None), None)
    if near is None or near.said(exchange, ("OFFER", "ACK")):
        return None
    asked = near.said(exchange, ("DISCOVER", "REQUEST"), until=exchange.seconds - HANDED_ON)
    return follow(exchange) or (Loss("OFFER", None, None) if asked else None)


def _now(log: DhcpLog) -> DhcpLog:
    """Give what dnsmasq logged while the instance was listened to, since it was started last: before, all may have been well."""
    started = next((number for number, event in reversed(list(enumerate(log.events))) if event.kind == "STARTED"), -1)
    events = log.events[started + 1:]
    return replace(log, events=tuple(event for event in events if event.seconds is None or log.now - event.seconds <= MEANWHILE))


def _told(interface: Interface, log: DhcpLog, loss: Loss, who: str) -> None:
    """Draw the document's verdict from the log's lines about the MAC, or their absence, and from the wire."""
    gate, log = interface.gate.name, _now(log)
    kinds = {event.kind for event in log.of(interface.mac)}
    told, foreign = refusal(log, interface.mac, 4), no_range(log, interface.network.at(interface.gate).bridge)
    if told is not None and told.code == "no_address":
        raise Wrong(
            "dhcp.no_address", f'{gate}: dnsmasq hears {who} and says "{told.said}": the pool, or the database', place=gate,
            breaks=_ADDRESS,
            remedy=f"compare the hosts file with fixed_ips in the database; restart nova-network on {gate}",
        )
    if foreign is not None and not kinds & {"OFFER", "ACK"}:
        raise Wrong(
            "dhcp.no_range", f'{gate}: dnsmasq says "{foreign.said}" while {who} asks', place=gate, breaks=_ADDRESS,
            remedy=f"correct dhcp_start or cidr of the network in nova; then restart nova-network on {gate}",
        )
    if kinds & {"OFFER", "ACK"} and loss.kind in {"OFFER", "ACK"}:
        where = f"it is at {loss.after} and not at {loss.before}" if loss.after else "it does not come to the bridge"
        raise Wrong(
            "dhcp.reply_lost", f"{gate}: dnsmasq logs an {loss.kind} for {who}, and {where}: the way back", place=gate, breaks=_ADDRESS,
            remedy=f"look at what filters UDP from port 67 on {gate}: iptables-save, ebtables-save, nft list ruleset",
        )
    if not kinds:
        where = f"seen at {loss.after}, not at {loss.before}" if loss.before and loss.after else "and the log has nothing of it"
        raise Wrong(
            "dhcp.request_lost", f"{gate}: {who} asks ({where}), and dnsmasq's log ({log.source}) has no DISCOVER: the way to it",
            place=gate,
            breaks=_ADDRESS, remedy=f"look at the bridge on {interface.node} and at what filters UDP to port 67 on {gate}",
        )
    raise Wrong(
        "dhcp.server_silent", f"{gate}: dnsmasq hears {who} ({', '.join(sorted(kinds))}) and does not answer", place=gate, breaks=_ADDRESS,
        remedy=f"restart nova-network on {gate}; {_LAST}",
    )


# -- what the instance says itself -------------------------------------------------------------------------------------


@pytest.mark.kind("nova-network")
@pytest.mark.hop("guest", "address")
def test_console_shows_lease(
    interface: Interface, console_logs: By[Vm, Console], guest_addresses: By[Vm, Table[tuple[InterfaceAddress, ...]]],
    answers: By[Flow, Answer], inventory: Inventory,
) -> None:
    """The instance's console log shows a lease of its fixed address, or the address is there now.

    A console that has no word of a lease tells nothing: where the address is not seen either, this is unknown.

    Why: where nobody can log in, the console is all that an instance can say.
    Remedy: platform: nova console-log {vm.name}; then the DHCP checks of its gate; nova reboot {vm.name} asks for a lease again
    Source: OpenStack operations guide, chapter 13, debugging DHCP: "No lease, forking to background"
    """
    vm, fixed = interface.vm, _fixed(interface)
    if not vm.runs or fixed is None:
        return
    told = console_logs[vm]
    if str(fixed) in told.leased or _has_it_now(vm, fixed, guest_addresses) or _answers(interface, fixed, answers):
        return
    others = {str(address) for one in inventory.interfaces if one.vm == vm for address in one.addresses}
    foreign = [address for address in told.leased if address not in others]
    if foreign:
        message = f"{interface}: its console shows a lease of {', '.join(foreign)}, expected {fixed}"
        raise Wrong("nova.console_other_lease", message, breaks=_ADDRESS)
    refused = next((one for one in told.refused if one.mac in {"", interface.mac}), None)
    if refused is None:
        raise NotSeen(Why.NOT_POSSIBLE, f"{told.path} on {interface.node} says of no lease of {interface}")
    message = f'{interface}: its console says "{refused.said}" ({told.path} on {interface.node})'
    raise Wrong("nova.console_no_lease", message, breaks=_ADDRESS)


def _has_it_now(vm: Vm, fixed: Address, addresses: By[Vm, Table[tuple[InterfaceAddress, ...]]]) -> bool:
    """Tell whether the address is there now, where the instance can be entered: what a log says may be long past."""
    try:
        return any(one.address.ip == fixed for some in addresses[vm].values() for one in some)
    except NotSeen:
        return False


def _answers(interface: Interface, fixed: Address, answers: By[Flow, Answer]) -> bool:
    """Tell whether the address answers a probe of this run; to ARP, with the instance's own MAC."""
    return any(
        got.outcome == "answered" and (interface.mac in got.macs or flow.protocol != "arp")
        for flow, got in answers.seen().items() if flow.interface == interface and flow.target == fixed
    )
