"""What the node's resolvers answer for the names that the inventory declares (RFC 1035): each of them by itself."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from netchecks.errors import NotSeen, Why
from netchecks.models.answers import NameAnswer, Overheard
from netchecks.models.domains import Domain
from netchecks.models.subjects import Address, DhcpServer, Interface, Node, Place
from netchecks.models.system import Resolver, Resolvers
from netchecks.models.table import Table
from netchecks.probe import Ask, Capture, Datagram, Got, Part, probe
from netchecks.seen import By
from netchecks.send import check
from netchecks.taps import tap_of

#: The agent repeats a query after half of it; glibc waits 5 s for one server (resolv.conf(5), timeout).
SECONDS = 3.0
#: Of more resolvers and names than these nobody is asked: the queries of one node stay bounded.
MOST_SERVERS, MOST_NAMES = 8, 16
#: DNS over TLS (RFC 7858): that port does not speak UDP.
TLS_PORT = 853
#: RFC 1035 section 4.2.
DNS_PORT = 53


def names_of(node: Node) -> tuple[str, ...]:
    """Give the declared names, each once, those inside first."""
    return tuple(dict.fromkeys((*node.names_inside, *node.names_outside)))[:MOST_NAMES]


def servers_of(resolvers: Resolvers) -> tuple[Resolver, ...]:
    """Give whom to ask, each once: resolv.conf's, then those behind systemd-resolved's stub.

    Without any the C library asks 127.0.0.1 (resolv.conf(5)). One behind the stub that is asked by TLS is the stub's.
    A link-local one is on the link that it was told for.
    """
    of_links = [
        replace(server, scope=server.scope or device) for device, servers in resolvers.links.items() for server in servers
    ]
    behind = of_links or resolvers.upstreams if resolvers.stub else ()
    named = [*resolvers.servers, *(server for server in behind if not server.name)] or [Resolver(IPv4Address("127.0.0.1"))]
    found: dict[Address, Resolver] = {}
    for server in named:
        if server.port != TLS_PORT:
            found.setdefault(address_of(server), server)
    return tuple(found.values())[:MOST_SERVERS]


def address_of(server: Resolver) -> Address:
    """Give a resolver's address with its scope, without which a link-local one cannot be reached."""
    return IPv6Address(f"{server.address}%{server.scope}") if server.scope and server.address.is_link_local else server.address


def _has_names(node: Node) -> bool:
    return bool(names_of(node))


def _read(node: Node, got: tuple[Got, ...]) -> tuple[NameAnswer, ...]:
    names = names_of(node)
    return tuple(_answer(item, names[number % len(names)]) for number, item in enumerate(check(got)))


def _answer(got: Got, name: str) -> NameAnswer:
    server = ip_address(got.target)
    if got.outcome != "answered" or not got.packets:
        return NameAnswer(server, name, -1, (), got.seconds, got.error or got.outcome)
    rcode, addresses = _response(got.packets[0][3])
    return NameAnswer(server, name, rcode, addresses, got.seconds, "" if rcode >= 0 else "its answer is no DNS message")


def _response(data: bytes) -> tuple[int, tuple[str, ...]]:
    """Read a response: its code and the A records. -1 where it is none; what follows a damaged record is left out."""
    from scapy.layers.dns import DNS, DNSRR

    header = 12  # RFC 1035 section 4.1.1
    if len(data) < header or not data[2] & 0x80:
        return -1, ()
    rcode = data[3] & 0x0F
    try:
        message = DNS(data)
        records = [record for record in message.an or () if isinstance(record, DNSRR) and record.type == 1]
        return rcode, tuple(str(record.rdata) for record in records)
    except Exception:  # noqa: BLE001 - scapy raises what it likes on damaged records; the header was good
        return rcode, ()


@probe("name_answers", of=Node, where=_has_names, read=_read, root=False)
def names(node: Node, resolvers: By[Node, Resolvers]) -> Ask:
    """Ask each resolver of the node for the address of each declared name, once, and once more after 1.5 s."""
    queries = [_query(name) for name in names_of(node)]
    return Ask(tuple(
        Datagram(address_of(server), server.port, query, SECONDS)
        for server in servers_of(resolvers[node]) for query in queries
    ), 0.0)


# -- a DHCP server that is its network's name server too ---------------------------------------------------------------


def _serves_names(server: DhcpServer) -> bool:
    return server.network.nova is not None and _has_names(server.node) and bool(server.addresses)


def _read_served(server: DhcpServer, got: tuple[Got, ...]) -> tuple[NameAnswer, ...]:
    return _read(server.node, got)


@probe("server_name_answers", of=DhcpServer, where=_serves_names, read=_read_served, root=False)
def served_names(dhcp_server: DhcpServer) -> Ask:
    """Ask nova's dnsmasq, on its own node and at its own address, for the names that its node's resolvers are asked for."""
    queries = [_query(name) for name in names_of(dhcp_server.node)]
    return Ask(tuple(Datagram(dhcp_server.addresses[0], DNS_PORT, query, SECONDS) for query in queries), 0.0)


# -- on the wire -------------------------------------------------------------------------------------------------------

#: Seconds that it is listened for: the question, its repetition after half of SECONDS, and an answer to that.
_LISTENS = SECONDS + 0.8


def _asks_a_gate(interface: Interface) -> bool:
    vm = interface.vm
    return interface.network.nova is not None and vm.runs and bool(vm.names) and vm.sender is not None and bool(interface.gateways)


def _way(interface: Interface) -> tuple[Place, ...]:
    guest = interface.vm.sender
    return tuple(dict.fromkeys((*((guest,) if guest else ()), interface.node, interface.gate)))


def _read_overheard(interface: Interface, parts: Mapping[str, Part | NotSeen]) -> tuple[Overheard, ...]:
    """Give what was overheard, from the instance on: its tap, the bridge of its node, that of its gate."""
    guest = interface.vm.sender
    own = parts[guest.name] if guest else NotSeen(Why.NOT_POSSIBLE, f"{interface} cannot be entered")
    if isinstance(own, NotSeen):
        raise own
    identifier = int(own.note).to_bytes(2, "big")
    found = []
    for place in (place for place in _way(interface) if place != guest):
        part = parts[place.name]
        if not isinstance(part, NotSeen):
            devices = part.note.split()
            found += [_overheard(place.name, device, got, identifier) for device, got in zip(devices, part.got, strict=False)]
    return tuple(found)


def _overheard(place: str, device: str, got: Got, identifier: bytes) -> Overheard:
    if got.opened is None:
        return Overheard(place, device, None, None)
    server, header = DNS_PORT.to_bytes(2, "big"), 8  # RFC 768: two ports, length, checksum
    frames = [(data[at:at + 2], data[at + header:at + header + 2]) for _, _, _, data in got.packets if (at := _udp_at(data)) is not None]
    senders = [port for port, first in frames if first == identifier]
    return Overheard(place, device, any(port != server for port in senders), any(port == server for port in senders))


def _udp_at(data: bytes) -> int | None:
    """Give where UDP's header begins in a frame with IPv4, None in another one (RFC 791, RFC 768)."""
    if len(data) < 42 or data[12:14] != b"\x08\x00" or data[23] != 17:  # noqa: PLR2004 - the shortest; UDP
        return None
    return 14 + (data[14] & 15) * 4


@probe("dns_messages", of=Interface, where=_asks_a_gate, read=_read_overheard, at=_way)
def overhear(interface: Interface, domains: By[Node, Table[Domain]]) -> dict[str, Ask]:
    """Let the instance ask its gate for one of its names, and listen to UDP port 53 at its tap and on the bridges meanwhile."""
    tap, guest = tap_of(interface, domains), interface.vm.sender
    if not tap or guest is None:
        raise NotSeen(Why.NOT_POSSIBLE, f"{interface.node}: {interface} has no tap")
    query = _query(interface.vm.names[0])
    bridges = {place: interface.network.at(place).bridge for place in (interface.node, interface.gate)}
    asks = {place.name: _listen((tap, bridge) if place == interface.node else (bridge,)) for place, bridge in bridges.items()}
    note = str(int.from_bytes(query[:2], "big"))
    return {**asks, guest.name: Ask((Datagram(interface.gateways[0], DNS_PORT, query, SECONDS),), 0.0, note)}


def _listen(devices: tuple[str, ...]) -> Ask:
    return Ask(tuple(Capture(device, udp_ports=(DNS_PORT,)) for device in devices), _LISTENS, " ".join(devices))


def _query(name: str) -> bytes:
    from scapy.layers.dns import DNS, DNSQR

    return bytes(DNS(id=secrets.randbelow(0x10000), rd=1, qd=DNSQR(qname=name, qtype="A")))
