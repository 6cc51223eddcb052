"""DHCP of a switched network: asked from each node, looked for at each VM, read at the servers."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.dhcp.exchanges import Exchange, Handshake, Loss, follow
from netchecks.models.dhcp.messages import Message
from netchecks.models.dhcp.refusals import JUST_NOW, Refusal, no_range, refusal
from netchecks.models.dhcp.servers import DhcpFiles, DhcpLog, DhcpProcess
from netchecks.models.domains import Domain
from netchecks.models.subjects import Address, DhcpServer, Flow, Interface, Inventory, Network, Node, Subnet
from netchecks.models.table import Table
from netchecks.platforms.neutron.agents import restart
from netchecks.platforms.vmhost import tap_of
from netchecks.seen import By, note


@pytest.mark.kind("switching", "neutron")
@pytest.mark.hop("dhcp", "up")
def test_dhcp_server_runs(
    dhcp_server: DhcpServer, dhcp_processes: By[DhcpServer, tuple[DhcpProcess, ...]], dhcp_exchanges: By[Flow, Exchange],
) -> None:
    """A DHCP server runs on the node where the inventory says so; one that answers does.

    Why: without it no VM gets an address, and those that have one lose it when their lease ends.
    Remedy: node administrator: start it, and look into its log for why it ended
    Source: OpenStack operations guide, chapter 13, ps aux | grep dnsmasq
    """
    found = dhcp_processes[dhcp_server]
    if any(process.serves and process.own_network for process in found):
        return
    said = (answer.server for exchange in dhcp_exchanges.seen().values() for answer in exchange.answers)
    if any(server in dhcp_server.addresses for server in said):
        return  # of a kind that is not known here
    shown = ", ".join(sorted({f"{process.program} without a range" for process in found if process.own_network}))
    raise Wrong(
        "dhcp.server_dead",
        f"{dhcp_server.node}: no DHCP server runs for {dhcp_server.network}{f' ({shown})' if shown else ''}, expected one",
        place=dhcp_server.node.name, breaks=frozenset({"dhcp"}),
        remedy=_restart(
            dhcp_server, f"systemctl start dnsmasq on {dhcp_server.node}, or whatever starts it there; journalctl -t dnsmasq-dhcp",
        ),
    )


def _restart(server: DhcpServer, otherwise: str, also: str = "") -> str:
    """Give the remedy at a server: those of Neutron are the DHCP agent's, which starts them in their namespaces and writes their files."""
    if server.network.kind != "neutron":
        return otherwise
    remedy = f"on {server.node}: {restart('dhcp')}, which starts them and writes their files anew"
    return f"{remedy}; {also}" if also else remedy


# -- the offer -------------------------------------------------------------------------------------------------------


@pytest.mark.kind("switching", "neutron")
@pytest.mark.flow("dhcp")
@pytest.mark.verdict
@pytest.mark.hop("dhcp", "service")
def test_dhcp_is_answered(
    flow: Flow, dhcp_exchanges: By[Flow, Exchange], dhcp_log: By[DhcpServer, DhcpLog], inventory: Inventory,
) -> None:
    """A client on the node's bridge is offered an address: by an expected server, of the right range, with the right options.

    Why: this is how VMs get their addresses; where an offer is lost or somebody else answers, new VMs have none or a wrong one.
    Remedy: node administrator: follow the message named here with tcpdump -n port 67 or port 68 (IPv6: 546, 547)
    Source: OpenStack operations guide, chapter 13, DHCP; RFC 2131, RFC 8415
    """
    exchange, network = dhcp_exchanges[flow], flow.network
    offers = [answer for answer in exchange.answers if answer.kind in {"OFFER", "ADVERTISE"}]
    expected = network.dhcp.addresses(flow.family) if network.dhcp else frozenset()
    strangers = [offer for offer in offers if offer.server not in expected]
    if strangers:
        _stranger(flow, strangers, [offer for offer in offers if offer.server in expected], inventory)
    if not any(offer.address for offer in offers):
        _no_offer(flow, exchange, offers, dhcp_log)
    for offer in offers:
        if offer.address:
            _right(flow, offer)


def _stranger(flow: Flow, strangers: list[Message], others: list[Message], inventory: Inventory) -> None:
    vms = {interface.mac: interface.vm.name for interface in inventory.interfaces}
    expected = ", ".join(sorted(map(str, flow.network.dhcp.addresses(flow.family)))) if flow.network.dhcp else ""
    shown = "; ".join(f"{one.server} ({vms.get(one.mac, one.mac)}) offers {one.address}" for one in strangers)
    also = f", and {', '.join(str(one.server) for one in others)} too" if others else ""
    first = strangers[0]
    raise Wrong(
        "dhcp.stranger", f"on {flow.network} {shown}{also}; expected offers of {expected} only", certain=True,
        place=vms.get(first.mac, str(first.server)), breaks=frozenset({"dhcp", f"ipv{flow.family}"}), owner="network engineer",
        remedy=f"find who has the MAC {first.mac} and stop its DHCP server; block ports 67 and 547 from where no server is (DHCP snooping)",
    )


def _no_offer(flow: Flow, exchange: Exchange, offers: list[Message], dhcp_log: By[DhcpServer, DhcpLog]) -> None:
    """Say at which step, and where, it breaks off. Servers that serve known clients only are right to be silent."""
    network, breaks = flow.network, frozenset({"dhcp", f"ipv{flow.family}"})
    if offers:  # of IPv6: an answer that says why there is no address (RFC 8415 section 18.3.9)
        raise Wrong(
            "dhcp.no_address", f"{network}: {offers[0].server} offers no address: {offers[0].text or 'it does not say why'}",
            place=_place_of(network, offers[0].server), breaks=breaks, remedy=_REMEDIES["no_address"],
        )
    loss = follow(exchange)
    if loss is None:
        raise NotSeen(Why.NOT_POSSIBLE, f"{flow.source}: no {_question(exchange)} was sent")
    if loss.after is not None:
        _lost(network, loss, exchange, breaks)
    known_only = network.dhcp is not None and network.dhcp.known_only
    server = next((one for one in dhcp_log if one.network == network and loss.before and one.node.name == loss.before.place), None)
    if server is None and known_only:
        raise NotSeen(Why.NOT_POSSIBLE, f"{network}: its servers answer only the clients they know, and cannot be looked at")
    if server is None:
        _lost(network, loss, exchange, breaks)
        return
    log = _log_of(server, dhcp_log)
    link = loss.before.device if loss.before else ""
    told = (refusal(log, exchange.client, flow.family, JUST_NOW) or no_range(log, link)) if log else None
    if not known_only or (told and told.code == "no_range"):
        _refused(server, exchange.client, told, breaks)


def _lost(network: Network, loss: Loss, exchange: Exchange, breaks: frozenset[str], *, who: str = "") -> None:
    """Say between which two points a message is lost, or that nobody answers where nobody can be looked at."""
    who = who or f"the test client {exchange.client}"
    if loss.after is None:
        raise Wrong(
            "dhcp.no_offer", f"{network}: the {_question(exchange)} of {who} is seen at {exchange.points[-1]}, and nothing answers it",
            place=network.name, breaks=breaks, owner="network engineer",
            remedy="look whether the server runs, whether the request reaches it (tcpdump -n port 67), and whether a relay is missing",
        )
    at_home = loss.before is not None and loss.after.place == loss.before.place
    if not loss.answer and not at_home and (servers := _behind_relay(network, exchange.family)):
        _not_relayed(network, loss, servers, breaks, who)
    raise Wrong(
        "dhcp.reply_lost" if loss.answer else "dhcp.request_lost",
        f"{network}: the {loss.kind} of {who} is seen at {loss.after} and not at {loss.before}, expected at both",
        place=loss.after.place if at_home else network.name, breaks=breaks,
        owner="node administrator" if at_home else "network engineer",
        remedy=f"look at what filters between {loss.after} and {loss.before}: nft list ruleset, ebtables-save, tc filter; DHCP snooping",
    )


def _behind_relay(network: Network, family: int) -> list[str]:
    """Give the servers of a family where none of them is on the network's segment: what its clients say does not come to them by itself."""
    servers = sorted(network.dhcp.addresses(family)) if network.dhcp else []
    near = any(server.is_link_local or any(server in subnet.prefix for subnet in network.subnets) for server in servers)
    return [] if near else [str(server) for server in servers]


def _not_relayed(network: Network, loss: Loss, servers: list[str], breaks: frozenset[str], who: str) -> None:
    """Say that nobody carries what clients ask to the servers of another network (RFC 2131 section 4.1, RFC 8415 section 19)."""
    gateways = ", ".join(str(subnet.gateway) for subnet in network.subnets if subnet.gateway) or "its router"
    raise Wrong(
        "dhcp.relay_missing",
        f"{network}: the {loss.kind} of {who} is seen at {loss.after} and not at {loss.before}; the server {', '.join(servers)} is in "
        "another network, expected a relay that carries it there",
        place=network.name, breaks=breaks, owner="network engineer",
        remedy=f"on the router of {network} ({gateways}) relay DHCP to {', '.join(servers)} (ip helper-address, dhcrelay, dnsmasq "
        "--dhcp-relay), and let its requests from port 67 through to the server",
    )


def _question(exchange: Exchange) -> str:
    return "DISCOVER" if exchange.family == 4 else "SOLICIT"


_CODES = {
    "no_address": "dhcp.no_address", "no_range": "dhcp.no_range", "refused": "dhcp.refused", "ignored": "dhcp.ignored",
    "silent": "dhcp.server_silent",
}
_REASONS = {
    "no_address": "it has no address for it: the pool is empty, or it knows none for this client",
    "no_range": "none of its ranges is of the network that the request came from",
    "refused": "it takes back what it offered (NAK)",
    "ignored": "it is told to ignore it",
    "silent": "it answers nothing, and its log says nothing of it",
}
_REMEDIES = {
    "no_address": "enlarge the range or shorten the lease time, or enter the client in its hosts file; nova: look for free fixed IPs",
    "no_range": "give it a range of this network (dhcp-range), or its interface an address in the range",
    "refused": "raise its limit of leases (dhcp-lease-max) where it says so; else compare its hosts with its leases",
    "ignored": "take the client out of what it ignores (dhcp-ignore, dhcp-host=...,ignore)",
    "silent": "look whether it listens there (ss -ulpn), what its own firewall drops, and whether it has a range of this family",
}


def _refused(server: DhcpServer, client: str, told: Refusal | None, breaks: frozenset[str]) -> None:
    kind = told.code if told else "silent"
    shown = f' ("{told.said}")' if told and told.said else ""
    raise Wrong(
        _CODES[kind], f"{server.node}: the DHCP server of {server.network} hears {client} and does not serve it: {_REASONS[kind]}{shown}",
        place=server.node.name, breaks=breaks, remedy=_restart(server, _REMEDIES[kind], "openstack subnet show: its allocation pools"),
    )


def _right(flow: Flow, offer: Message) -> None:
    """What is offered is of the network, and leads to its gateway."""
    network, address, breaks = flow.network, offer.address, frozenset({"dhcp", f"ipv{flow.family}"})
    ranges = [some for some in network.dhcp.ranges if some.first.version == flow.family] if network.dhcp else []
    own = [subnet for subnet in network.subnets if subnet.family == flow.family]
    subnet = next((subnet for subnet in own if address in subnet.prefix), None)
    if subnet is None or (ranges and not any(address in some for some in ranges if address)):
        expected = ", ".join(map(str, ranges) if ranges else (str(subnet.prefix) for subnet in own))
        raise Wrong(
            "dhcp.wrong_range", f"{offer.server} offers {address} on {network}, expected an address of {expected}", breaks=breaks,
            place=_place_of(network, offer.server), certain=True, remedy="correct the server's range (dhcp-range), or the inventory",
        )
    wrong = _wrong_options(subnet, offer)
    if wrong:
        raise Wrong(
            "dhcp.wrong_options", f"{offer.server} offers {address} on {network} with {'; '.join(wrong)}", breaks=breaks,
            place=_place_of(network, offer.server), certain=True, remedy="correct the server's options (dhcp-option), or the inventory",
        )
    others = [str(one) for one in offer.resolvers if one not in network.resolvers]
    if others and network.resolvers:
        note("dhcp.other_resolvers", f"{offer.server} gives {network} the resolvers {', '.join(others)}; the inventory has others")


def _wrong_options(subnet: Subnet, offer: Message) -> list[str]:
    wrong = []
    if offer.mask is not None and offer.mask != subnet.prefix.prefixlen:
        wrong.append(f"the mask /{offer.mask}, expected /{subnet.prefix.prefixlen}")
    if offer.routers and subnet.gateway and subnet.gateway not in offer.routers:
        wrong.append(f"the router {', '.join(map(str, offer.routers))}, expected {subnet.gateway}")
    return wrong


def _place_of(network: Network, server: Address | None) -> str:
    declared = network.dhcp.servers if network.dhcp else ()
    node = next((one.node for one in declared if server in one.addresses and one.node), None)
    return node.name if node else str(server)


@pytest.mark.kind("switching")
@pytest.mark.flow("dhcp", family=4)
@pytest.mark.allowed("allow_leases")
@pytest.mark.verdict
@pytest.mark.hop("dhcp", "service")
def test_dhcp_gives_a_lease(flow: Flow, dhcp_handshakes: By[Flow, Handshake]) -> None:
    """What is offered to a client on the node's bridge is given when it is asked for. Only with --allow-leases.

    Why: a server that has run out of leases, or that shares its addresses with another one, takes back what it offered.
    Remedy: node administrator: look into the server's log for the NAK's reason
    Source: RFC 2131 section 3.1
    """
    made = dhcp_handshakes[flow]
    if made.offer is None:
        raise NotSeen(Why.NOT_POSSIBLE, f"{flow.source}: nothing was offered to {made.client} on {flow.network} that could be asked for")
    offered = f"{made.offer.server} offers {made.client} {made.offer.address} on {flow.network}"
    place, breaks = _place_of(flow.network, made.offer.server), frozenset({"dhcp", "ipv4"})
    if made.end is None and made.sent > 1:
        raise Wrong("dhcp.no_ack", f"{offered}, and does not answer when it is asked for", place=place, breaks=breaks, certain=True)
    if made.end is not None and made.end.kind == "NAK":
        said = f' ("{made.end.text}")' if made.end.text else ""
        raise Wrong(
            "dhcp.refused", f"{offered}, and refuses it when it is asked for (NAK){said}", place=place, breaks=breaks, certain=True,
            remedy=_REMEDIES["refused"],
        )


# -- each VM ---------------------------------------------------------------------------------------------------------


@pytest.mark.kind("switching", "neutron")
@pytest.mark.declares("dhcp")
@pytest.mark.hop("guest", "forwards")
def test_dhcp_serves_vm(
    interface: Interface,
    domains: By[Node, Table[Domain]],
    dhcp_messages: By[Interface, Exchange],
    dhcp_log: By[DhcpServer, DhcpLog],
    dhcp_files: By[DhcpServer, DhcpFiles],
) -> None:
    """What the VM asks of DHCP is answered, and nothing keeps its address from it. A VM that asks nothing is no failure.

    Why: a VM that gets no answer has no address, whatever else is right.
    Remedy: node administrator: look at the step named here: tcpdump -n port 67 or port 68 at the tap, the uplink and the server
    Source: OpenStack operations guide, chapter 13, DHCP; RFC 2131
    """
    if not interface.vm.runs or not tap_of(interface, domains):
        return  # another check says so
    servers, who = [server for server in dhcp_log if server.network == interface.network], f"{interface} ({interface.mac})"
    for server in servers:
        _is_known(interface, server, dhcp_files)
    exchange = dhcp_messages[interface]
    loss, breaks = follow(exchange), frozenset({"ipv4"})
    if loss is not None and (loss.after is not None or not servers):
        _lost(interface.network, loss, exchange, breaks, who=who)
    _is_refused(interface, servers, dhcp_log, who)
    for server in servers:
        _owns_its_address(interface, server, dhcp_files)


def _log_of(server: DhcpServer, dhcp_log: By[DhcpServer, DhcpLog]) -> DhcpLog | None:
    """Give a server's log; it tells why, and where it cannot be read the wire still tells what."""
    try:
        return dhcp_log[server]
    except NotSeen:
        return None


def _is_refused(interface: Interface, servers: list[DhcpServer], dhcp_log: By[DhcpServer, DhcpLog], who: str) -> None:
    """Every server that may serve the VM says that it does not; of several, one that does is enough."""
    told = []
    for server in servers:
        log = _log_of(server, dhcp_log)
        told.append(refusal(log, interface.mac, 4) if log else None)
    declared = interface.network.dhcp.servers if interface.network.dhcp else ()
    if servers and len(servers) == len(declared) and all(told):
        _refused(servers[0], who, told[0], frozenset({"ipv4"}))


def _files_of(server: DhcpServer, dhcp_files: By[DhcpServer, DhcpFiles]) -> DhcpFiles:
    try:
        return dhcp_files[server]
    except NotSeen:
        return DhcpFiles(None, None)


def _is_known(interface: Interface, server: DhcpServer, dhcp_files: By[DhcpServer, DhcpFiles]) -> None:
    """The server knows the VM where it has to, and by the right address."""
    hosts, node, breaks = _files_of(server, dhcp_files).hosts, server.node.name, frozenset({"ipv4"})
    also = f"openstack port list --mac-address {interface.mac}: the port and its fixed addresses, as Neutron knows them"
    known = [host for host in hosts or () if interface.mac in host.clients]
    only = interface.network.dhcp is not None and interface.network.dhcp.known_only and _serves_subnet(interface, server)
    if only and hosts is not None and not known:
        raise Wrong(
            "dhcp.host_missing", f"{node}: the DHCP server of {interface.network} does not know {interface.mac} ({interface}), and serves "
            "only those it knows", place=node, breaks=breaks,
            remedy=_restart(server, f"enter {interface.mac} in its hosts file (dhcp-hostsfile); kill -HUP", also),
        )
    own = _ipv4(interface.addresses)
    reserved = _ipv4(address for host in known for address in host.addresses)
    if own and reserved and not own & reserved:
        raise Wrong(
            "dhcp.wrong_host", f"{node}: {_listed(reserved)} is reserved for {interface} ({interface.mac}), expected {_listed(own)}",
            place=node, breaks=breaks,
            remedy=_restart(server, f"correct the entry of {interface.mac} in its hosts file, or the inventory", also),
        )


def _serves_subnet(interface: Interface, server: DhcpServer) -> bool:
    """Tell whether a server gives the interface an address: Neutron's has one itself in each subnet that it serves, and knows no others."""
    own, served = _ipv4(interface.addresses), _ipv4(server.addresses)
    subnets = [one.prefix for one in interface.network.subnets if any(address in one.prefix for address in served)]
    return interface.network.kind != "neutron" or not interface.addresses or any(one in prefix for one in own for prefix in subnets)


def _owns_its_address(interface: Interface, server: DhcpServer, dhcp_files: By[DhcpServer, DhcpFiles]) -> None:
    """The server has given the VM's address to nobody else."""
    own, node = _ipv4(interface.addresses), server.node
    for lease in _files_of(server, dhcp_files).leases or ():
        holds = ":" in lease.client and (lease.left is None or lease.left > 0)
        if holds and lease.address in own and lease.client != interface.mac:
            name = f" ({lease.name})" if lease.name else ""
            raise Wrong(
                "dhcp.lease_of_another", f"{node}: {lease.address}, the address of {interface} ({interface.mac}), is leased to "
                f"{lease.client}{name}", place=interface.vm.name, breaks=frozenset({"ipv4"}),
                remedy=_restart(
                    server,
                    f"on {node}: dhcp_release INTERFACE {lease.address} {lease.client}, and reserve the address for {interface.mac}",
                    f"openstack port list --fixed-ip ip-address={lease.address}: whose it is, as Neutron knows",
                ),
            )


def _ipv4(addresses: Iterable[Address]) -> set[Address]:
    return {address for address in addresses if isinstance(address, IPv4Address)}


def _listed(addresses: Iterable[Address]) -> str:
    return ", ".join(sorted(map(str, addresses)))
