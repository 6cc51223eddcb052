"""DHCP asked from the bridge's own side, as far as the offer; and what is on the wire meanwhile (RFC 2131, RFC 8415, RFC 4861).

The frames leave with the node's own MAC. The client that they name is a test MAC of the network, always the same: random ones
would exhaust a pool (TRAPS, "Sending"). An offer is never taken.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv6Address

from netchecks.errors import NotSeen, Why
from netchecks.models.dhcp.exchanges import SETTLED, Advertisements, Exchange, Handshake, Point
from netchecks.models.dhcp.messages import CLIENT, CLIENT6, SERVER, SERVER6, Message, advertisements, messages
from netchecks.models.domains import Domain
from netchecks.models.links import Link
from netchecks.models.neutron import Namespace
from netchecks.models.openvswitch import OvsBridge
from netchecks.models.routes import InterfaceAddress
from netchecks.models.subjects import DhcpServer, Flow, Interface, Network, Node, Place
from netchecks.models.table import Table
from netchecks.probe import Ask, Capture, Frames, Got, Lease, Part, probe
from netchecks.seen import By
from netchecks.send import check
from netchecks.taps import tap_of, uplink_devices

PORTS = (SERVER, CLIENT, SERVER6, CLIENT6)
#: A server with a dynamic range pings an address for up to 3 s before it offers it (dnsmasq, PING_WAIT).
WINDOW = 5.0
TRIES = (0.1, 1.5)
#: A router may wait 3 s between two advertisements, and half a second before each (RFC 4861 section 6.2.6, 10).
SOLICITED_AT = 0.3
ICMPV6 = 58
_IPV6 = 0x86DD
#: IEEE 802.1Q: the type of a tag.
_TPID = 0x8100

Addresses = By[Node, Table[tuple[InterfaceAddress, ...]]]
Namespaces = By[DhcpServer, Namespace]
Parts = Mapping[str, Part | NotSeen]


def client_of(network: Network) -> str:
    """Give the MAC that is asked for on a network: a local one (IEEE 802), always the same, whichever node asks.

    One for all nodes: a server pings an address for 3 s before it offers it to a client it has not seen, one after the other.
    """
    return "02:6e:63:" + hashlib.sha256(network.name.encode()).digest()[:3].hex(":")


def transaction_of(flow: Flow) -> bytes:
    """Give by what a node knows the answers to its own question."""
    return hashlib.sha256(flow.name.encode()).digest()[:4 if flow.family == 4 else 3]  # noqa: PLR2004 - RFC 2131, RFC 8415


def _servers(network: Network) -> tuple[Node, ...]:
    """Give the nodes on which servers can be listened to."""
    declared = network.dhcp.servers if network.dhcp else ()
    return tuple(server.node for server in declared if server.node is not None)


def _server_devices(network: Network, addresses: Addresses) -> Iterator[tuple[Node, tuple[str, ...]]]:
    """Give by which devices each server is on the network: that of its address, else those with one of a subnet."""
    for server in network.dhcp.servers if network.dhcp else ():
        if server.node is None:
            continue
        try:
            held = addresses[server.node]
        except NotSeen:
            continue
        own = [name for name, some in held.items() if any(one.address.ip in server.addresses for one in some)]
        prefixes = [subnet.prefix for subnet in network.subnets]
        near = [name for name, some in held.items() if any(one.address.ip in prefix for one in some for prefix in prefixes)]
        yield server.node, tuple(dict.fromkeys(own or near))


def _listen(devices: tuple[str, ...], namespace: str = "") -> Ask:
    return Ask(tuple(Capture(device, udp_ports=PORTS, namespace=namespace) for device in devices), WINDOW, "\n".join(devices))


def _listen_at_uplink(devices: tuple[str, ...]) -> Ask:
    """Listen at the members of a bond as at one device: which of them a frame goes by is theirs to say."""
    return replace(_listen(devices), note="\n".join(["+".join(devices)] * len(devices)))


def _joined(*asks: Ask) -> Ask:
    """Give several asks of one place as one."""
    return Ask(tuple(action for ask in asks for action in ask.actions), WINDOW, "\n".join(ask.note for ask in asks if ask.note))


def _points(place: str, part: Part | NotSeen | None) -> tuple[Point, ...]:
    """Give what was heard at one place, by its devices in the order in which they were asked for; at those of one name together."""
    if part is None or isinstance(part, NotSeen):
        return (Point(place, "the network", None),)
    heard: dict[str, tuple[Message, ...] | None] = {}
    for device, got in zip(part.note.split("\n"), part.got, strict=False):
        before, now = heard.get(device, ()), _heard(got)
        heard[device] = None if before is None or now is None else (*before, *now)
    return tuple(Point(place, device, found) for device, found in heard.items() if device)


def _heard(got: Got) -> tuple[Message, ...] | None:
    """Read a capture. One that lost frames, or that did not begin, proves no absence."""
    return messages(got.packets) if got.opened is not None and not got.dropped else None


def _at_servers(network: Network, own: Part, parts: Parts, since: float) -> tuple[Point, ...]:
    """Give what was heard at the servers on other nodes; nothing where that began after ``since`` by the asking place's clock."""
    found: list[Point] = []
    for node in _servers(network):
        part = parts.get(node.name)
        if node.name != own.place:
            found += _points(node.name, part if isinstance(part, Part) and _in_time(own, part, since) else None)
    return tuple(found)


def _in_time(own: Part, other: Part, since: float) -> bool:
    """Tell whether another place listened before that moment, whatever is not known of the places' clocks."""
    if own.booted is None or other.booted is None:
        return False
    opened = max((got.opened for got in other.got if got.opened is not None), default=None)
    return opened is not None and other.booted[1] + other.began + opened <= own.booted[0] + own.began + since


# -- the offer -------------------------------------------------------------------------------------------------------


def _is_dhcp(flow: Flow) -> bool:
    return flow.protocol == "dhcp" and not flow.at_uplink


def _is_dhcp_in_vlan(flow: Flow) -> bool:
    return flow.protocol == "dhcp" and flow.at_uplink


def _flow_places(flow: Flow) -> tuple[Place, ...]:
    return tuple(dict.fromkeys((flow.source, *_servers(flow.network))))


def _read_offers(flow: Flow, parts: Parts) -> Exchange:
    own = parts[flow.source.name]
    if isinstance(own, NotSeen):
        raise own
    asked = own.got[-len(TRIES):]
    check((own.got[0], *asked))  # where it is asked; that one cannot listen elsewhere is no reason
    if own.got[0].dropped:
        raise NotSeen(Why.TRUNCATED, f"{flow.source}: {own.got[0].dropped} frames of {own.note.partition(chr(10))[0]} were lost")
    last = max((at for got in asked for at in got.times), default=0.0)
    identifier = int.from_bytes(transaction_of(flow), "big")
    far = _at_servers(flow.network, own, parts, last)
    return Exchange(client_of(flow.network), flow.family, _points(flow.source.name, own), far, WINDOW, identifier)


@probe("dhcp_exchanges", where=_is_dhcp, read=_read_offers, at=_flow_places)
def offers(flow: Flow, links: By[Node, Table[Link]], addresses: Addresses) -> dict[str, Ask]:
    """Send a DISCOVER (a SOLICIT) out of the bridge, once more after 1.5 s unless an offer came; listen there and at the servers."""
    end = flow.network.at(flow.source)
    mac = links[flow.source][end.bridge].mac if end.bridge in links[flow.source] else None
    if not mac:
        raise NotSeen(Why.NOT_POSSIBLE, f"{flow.source} has no {end.bridge} to ask from")
    frame, answered = _asking(flow, mac, addresses)
    tries = tuple(Frames(end.bridge, (frame,), at, unless=answered) for at in TRIES)
    here = _listen(tuple(filter(None, (end.bridge, end.uplink))))
    found = {node.name: _listen(some) for node, some in _server_devices(flow.network, addresses) if some}
    return {**found, flow.source.name: Ask((*here.actions, *tries), WINDOW, here.note)}


@probe("dhcp_exchanges", where=_is_dhcp_in_vlan, read=_read_offers, at=_flow_places)
def offers_in_vlan(
    flow: Flow, links: By[Node, Table[Link]], dhcp_namespaces: Namespaces, ovs_bridges: By[Node, Table[OvsBridge]],
) -> dict[str, Ask]:
    """Send a DISCOVER out of the NIC with the network's tag, once more after 1.5 s unless an offer came; listen in the namespaces too."""
    nics = uplink_devices(flow.network, flow.source, ovs_bridges)
    device = nics[0]
    mac = links[flow.source][device].mac if device in links[flow.source] else None
    if not mac:
        raise NotSeen(Why.NOT_POSSIBLE, f"{flow.source} has no {device or 'uplink'} to ask from")
    transaction = transaction_of(flow)
    frame = _discover(mac, bytes.fromhex(client_of(flow.network).replace(":", "")), transaction)
    tag = struct.pack("!HH", _TPID, vlan) if (vlan := flow.network.segment) else b""
    answered = ((42 + len(tag), b"\x02"), (46 + len(tag), transaction))
    tries = tuple(Frames(device, (frame[:12] + tag + frame[12:],), at, unless=answered) for at in TRIES)
    here = _listen_at_uplink(nics)
    return {**dict(_in_namespaces(flow.network, dhcp_namespaces)), flow.source.name: Ask((*here.actions, *tries), WINDOW, here.note)}


def _in_namespaces(network: Network, dhcp_namespaces: Namespaces) -> Iterator[tuple[str, Ask]]:
    """Give how each server is listened to that has a namespace to itself, by its node's name."""
    for server in dhcp_namespaces:
        if server.network == network:
            try:
                devices = tuple(device for device, _ in dhcp_namespaces[server].macs)
            except NotSeen:
                continue
            if devices:
                yield server.node.name, _listen(devices, server.namespace)


def _asking(flow: Flow, mac: str, addresses: Addresses) -> tuple[bytes, tuple[tuple[int, bytes], ...]]:
    """Give the frame, and what an answer has in it and where."""
    client, transaction = bytes.fromhex(client_of(flow.network).replace(":", "")), transaction_of(flow)
    if flow.family == 4:  # noqa: PLR2004 - IPv4
        return _discover(mac, client, transaction), ((42, b"\x02"), (46, transaction))
    return _solicit(mac, client, transaction, _link_local(flow, addresses)), ((62, b"\x02"), (63, transaction))


def _link_local(flow: Flow, addresses: Addresses) -> IPv6Address:
    device = flow.network.at(flow.source).bridge
    for one in addresses[flow.source].get(device, ()):
        if isinstance(one.address.ip, IPv6Address) and one.address.ip.is_link_local and not one.flags & {"tentative", "dadfailed"}:
            return one.address.ip
    raise NotSeen(Why.NOT_POSSIBLE, f"{flow.source}: {device} has no link-local IPv6 address to ask from")


def _discover(mac: str, client: bytes, transaction: bytes) -> bytes:
    """Give a DISCOVER with the broadcast flag: nobody here has the address that is offered."""
    # mask, router, resolvers, lease, server
    return _message(mac, client, transaction, "discover", ("vendor_class_id", b"netchecks"), ("param_req_list", [1, 3, 6, 51, 54]))


def _message(mac: str, client: bytes, transaction: bytes, kind: str, *options: tuple[str, object]) -> bytes:
    """Give one message in a frame, without a checksum of UDP (RFC 768 allows that): the agent may fill addresses in."""
    from scapy.layers.dhcp import BOOTP, DHCP
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether

    bootp = BOOTP(chaddr=client, xid=int.from_bytes(transaction, "big"), flags=0x8000)
    payload = bootp / DHCP(options=[("message-type", kind), *options, "end"])
    carried = IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=CLIENT, dport=SERVER, chksum=0)  # noqa: S104 - sent, not bound
    return bytes(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / carried / payload)


def _solicit(mac: str, client: bytes, transaction: bytes, own: IPv6Address) -> bytes:
    from scapy.layers.dhcp6 import DUID_LL, DHCP6_Solicit, DHCP6OptClientId, DHCP6OptElapsedTime, DHCP6OptIA_NA, DHCP6OptOptReq
    from scapy.layers.inet import UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether

    duid = DUID_LL(lladdr=client.hex(":"))
    body = DHCP6OptClientId(duid=duid) / DHCP6OptIA_NA(iaid=int.from_bytes(client[2:], "big")) / DHCP6OptOptReq(reqopts=[23])
    carried = IPv6(src=str(own), dst="ff02::1:2", hlim=1) / UDP(sport=CLIENT6, dport=SERVER6)
    question = DHCP6_Solicit(trid=int.from_bytes(transaction, "big")) / body / DHCP6OptElapsedTime()
    return bytes(Ether(src=mac, dst="33:33:00:01:00:02") / carried / question)


# -- the whole handshake -----------------------------------------------------------------------------------------------

#: Where things stand in a frame of ours: behind Ethernet, IPv4 and UDP the client's own address; behind BOOTP, its cookie and the
#: three bytes of the kind the values of the next two options, four bytes each behind their code and length.
_CIADDR = 14 + 20 + 8 + 12
_FIRST_OPTION = 14 + 20 + 8 + 240 + 3 + 2
_SECOND_OPTION = _FIRST_OPTION + 4 + 2


def _is_dhcp4(flow: Flow) -> bool:
    return flow.protocol == "dhcp" and flow.family == 4 and not flow.at_uplink  # noqa: PLR2004 - IPv4


def _taker(flow: Flow) -> bytes:
    """Give the test MAC that a node takes a lease for: its own, as two must not take one and the same."""
    return b"\x02nc" + hashlib.sha256(f"{flow.source} {flow.network}".encode()).digest()[:3]


def _read_handshake(flow: Flow, got: tuple[Got, ...]) -> Handshake:
    heard, made = check(got)
    client = _taker(flow).hex(":")
    own = [one for one in messages(heard.packets) if one.client == client and one.family == 4 and one.from_server]  # noqa: PLR2004 - IPv4
    offer = next((one for one in own if one.kind == "OFFER"), None)
    end = next((one for one in own if one.kind in {"ACK", "NAK"}), None)
    return Handshake(client, made.outcome, made.sent, offer, end)


@probe("dhcp_handshakes", where=_is_dhcp4, read=_read_handshake)
def handshake(flow: Flow, links: By[Node, Table[Link]]) -> Ask:
    """Take a lease for a test MAC of the node from an expected server, and release it at once. Only where leases are allowed."""
    device = flow.network.at(flow.source).bridge
    mac = links[flow.source][device].mac if device in links[flow.source] else None
    if not mac:
        raise NotSeen(Why.NOT_POSSIBLE, f"{flow.source} has no {device} to ask from")
    client, none = _taker(flow), "0.0.0.0"  # noqa: S104 - a place to be filled in
    transaction = hashlib.sha256(f"lease {flow.name}".encode()).digest()[:4]
    servers = tuple(sorted(map(str, flow.network.dhcp.addresses(4)))) if flow.network.dhcp else ()
    request = _message(mac, client, transaction, "request", ("requested_addr", none), ("server_id", none))
    release = _message(mac, client, transaction, "release", ("server_id", none))
    discover, places = _discover(mac, client, transaction), ((_FIRST_OPTION, _SECOND_OPTION), (_CIADDR, _FIRST_OPTION))
    taken = Lease(device, discover, request, release, transaction, servers, *places, at=TRIES[0])
    return Ask((Capture(device, udp_ports=PORTS), taken), WINDOW)


# -- what a VM says itself -------------------------------------------------------------------------------------------


def _gets_its_address(interface: Interface) -> bool:
    return interface.network.dhcp is not None and interface.vm.runs and interface.network.neutron is None


def _gets_it_from_agent(interface: Interface) -> bool:
    return interface.network.dhcp is not None and interface.vm.runs and interface.network.neutron is not None


def _interface_places(interface: Interface) -> tuple[Place, ...]:
    return tuple(dict.fromkeys((interface.node, *_servers(interface.network))))


def _read_vm(interface: Interface, parts: Parts) -> Exchange:
    own = parts[interface.node.name]
    if isinstance(own, NotSeen):
        raise own
    points, servers = _points(interface.node.name, own), _servers(interface.network)
    here = interface.node in servers  # then neither question nor answer need pass the uplink
    near, more = (points[:1], points[1:]) if here else (points, ())
    return Exchange(interface.mac, 4, near, (*more, *_at_servers(interface.network, own, parts, SETTLED)), WINDOW)


@probe("dhcp_messages", of=Interface, where=_gets_its_address, read=_read_vm, at=_interface_places)
def listening(interface: Interface, domains: By[Node, Table[Domain]], addresses: Addresses) -> dict[str, Ask]:
    """Listen at the VM's tap, at the uplink and at the servers to what the VM asks by itself; send nothing."""
    tap = tap_of(interface, domains)
    if not tap:
        raise NotSeen(Why.NOT_POSSIBLE, f"{interface.node}: {interface} has no tap")
    asked = dict(_server_devices(interface.network, addresses))
    own = asked.pop(interface.node, (interface.network.at(interface.node).uplink,))
    devices = tuple(filter(None, dict.fromkeys((tap, *own))))
    return {**{node.name: _listen(some) for node, some in asked.items() if some}, interface.node.name: _listen(devices)}


@probe("dhcp_messages", of=Interface, where=_gets_it_from_agent, read=_read_vm, at=_interface_places)
def listening_to_agents(
    interface: Interface, domains: By[Node, Table[Domain]], dhcp_namespaces: Namespaces, ovs_bridges: By[Node, Table[OvsBridge]],
) -> dict[str, Ask]:
    """Listen at the VM's tap, at the NIC and in the agents' namespaces to what the VM asks by itself; send nothing."""
    tap = tap_of(interface, domains)
    if not tap:
        raise NotSeen(Why.NOT_POSSIBLE, f"{interface.node}: {interface} has no tap")
    found = dict(_in_namespaces(interface.network, dhcp_namespaces))
    local = found.pop(interface.node.name, None)
    nics = () if local or not interface.uplink else uplink_devices(interface.network, interface.node, ovs_bridges)
    near = _joined(_listen((tap,)), *([_listen_at_uplink(nics)] if nics else []))
    return {**found, interface.node.name: _joined(near, local) if local else near}


# -- routers ---------------------------------------------------------------------------------------------------------


def _is_ra(flow: Flow) -> bool:
    return flow.protocol == "ra"


def _read_routers(_flow: Flow, part: tuple[Got, ...]) -> Advertisements:
    heard = check(part)
    return Advertisements(any(got.sent for got in heard[1:]), advertisements(heard[0].packets))


@probe("router_advertisements", where=_is_ra, read=_read_routers)
def routers(
    flow: Flow, links: By[Node, Table[Link]], addresses: Addresses, sysctls: By[Node, Table[str]], raw_sockets: By[Node, tuple[int, ...]],
) -> Ask:
    """Listen for advertisements; solicit one where the node itself cannot take it."""
    device = flow.network.at(flow.source).bridge
    mac = links[flow.source][device].mac if device in links[flow.source] else None
    if not mac:
        raise NotSeen(Why.NOT_POSSIBLE, f"{flow.source} has no {device} to listen at")
    capture = Capture(device, (_IPV6,))
    if takes_advertisements(device, sysctls[flow.source], raw_sockets[flow.source]):
        return Ask((capture,), WINDOW)
    frame = _router_solicitation(mac, _link_local(flow, addresses))
    # an answer has its type, 134, at byte 54; one by one, as a router may send the next only 3 s after the last
    return Ask((capture, Frames(device, (frame,), SOLICITED_AT)), WINDOW)


def takes_advertisements(device: str, sysctls: Table[str], raw_sockets: tuple[int, ...]) -> bool:
    """Tell whether the node would take an advertisement: the kernel (ip-sysctl.rst, accept_ra) or a program of its own."""
    conf = f"net.ipv6.conf.{device.replace('.', '/')}."
    accepts, forwards = sysctls.get(f"{conf}accept_ra", "1"), sysctls.get(f"{conf}forwarding", "0")
    off = sysctls.get(f"{conf}disable_ipv6", "0") == "1"
    kernel = not off and (accepts == "2" or (accepts == "1" and forwards == "0"))
    return kernel or ICMPV6 in raw_sockets


def _router_solicitation(mac: str, own: IPv6Address) -> bytes:
    from scapy.layers.inet6 import ICMPv6ND_RS, ICMPv6NDOptSrcLLAddr, IPv6
    from scapy.layers.l2 import Ether

    ether = Ether(src=mac, dst="33:33:00:00:00:02")
    return bytes(ether / IPv6(src=str(own), dst="ff02::2", hlim=255) / ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=mac))
