"""Who answers an ARP request (RFC 826), asked from the bridge's own side of the segment."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, ip_interface

from netchecks.errors import NotSeen, Why
from netchecks.models.answers import Answer, Outcome, Reply
from netchecks.models.domains import Domain
from netchecks.models.links import Link
from netchecks.models.neutron import Namespace
from netchecks.models.openvswitch import OvsBridge
from netchecks.models.routes import InterfaceAddress
from netchecks.models.subjects import Address, DhcpServer, Flow, Node
from netchecks.models.table import Table
from netchecks.probe import Ask, Capture, Frames, Got, probe
from netchecks.seen import By
from netchecks.send import check
from netchecks.taps import tap_of, uplink_devices

ARP, IPV6 = 0x0806, 0x86DD
REQUEST, REPLY = 1, 2
#: IEEE 802.1Q: the type of a tag, and of its 16 bits the VLAN.
TPID, VID = 0x8100, 0xFFF
#: Ethernet, IPv4, 6 and 4 bytes an address (RFC 826); and the length of such a frame.
HEADER, WHOLE = b"\0\1\x08\0\6\4", 42
#: Linux delays a proxy's answer up to proxy_delay, 0.8 s (ip-sysctl); so listen for longer.
WINDOW = 2.2
TRIES = (0.05, 0.8, 1.5)
#: A guest that is silent for its own address is asked for the others of its subnet, to it alone (unicast).
SWEEP_AT, SWEEP_GAP, SWEEP_MOST = 1.0, 0.001, 512


def _is_arp(flow: Flow) -> bool:
    return flow.protocol == "arp" and not (_is_arp_at_tap(flow) or flow.at_uplink or flow.namespace)


def _is_arp_at_tap(flow: Flow) -> bool:
    alone = flow.interface is not None and not flow.interface.bridge
    return flow.protocol == "arp" and flow.network.kind != "switching" and alone and not flow.namespace


def _is_arp_in_vlan(flow: Flow) -> bool:
    return flow.protocol == "arp" and flow.at_uplink


def _is_arp_in_namespace(flow: Flow) -> bool:
    return flow.protocol == "arp" and bool(flow.namespace)


def _read(flow: Flow, got: tuple[Got, ...]) -> Answer:
    check(got)
    target = flow.target
    replies: list[Reply] = []
    others: list[Reply] = []
    wants: list[Address] = []
    guest = flow.interface.mac if flow.interface else ""
    for seconds, _, outgoing, data in got[0].packets:
        if outgoing or not _concerns(data, target.packed, guest):
            continue
        sender, mac = IPv4Address(data[28:32]), data[22:28].hex(":")
        reply = Reply(seconds, sender, mac, data[6:12].hex(":"))
        if int.from_bytes(data[20:22], "big") == REPLY:
            (replies if sender == target else others).append(reply)
        elif mac == guest:
            wants.append(IPv4Address(data[38:42]))
    sent = sum(item.sent for item in got[1:1 + len(TRIES)])
    outcome: Outcome = "answered" if replies else "silent"
    return Answer(outcome, sent, tuple(replies), "", tuple(others), tuple(dict.fromkeys(wants)), _reflected(got))


def _reflected(got: tuple[Got, ...]) -> bool:
    """Tell whether a frame that left by the uplink came back in by it."""
    wire = got[-1].packets if got[-1].outcome == "captured" and len(got) > 1 else ()
    sent = {data[6:] for _, _, outgoing, data in wire if outgoing}
    return any(not outgoing and data[6:] in sent for _, _, outgoing, data in wire)


def _concerns(data: bytes, target: bytes, guest: str) -> bool:
    """Tell whether a frame is a whole ARP packet of Ethernet and IPv4, from that address or MAC. Anybody may send others."""
    is_arp = data[12:14] == ARP.to_bytes(2, "big") and data[14:20] == HEADER and len(data) >= WHOLE
    return is_arp and (data[28:32] == target or (bool(guest) and data[22:28].hex(":") == guest))


@probe("answers", where=_is_arp, read=_read)
def arp(flow: Flow, links: By[Node, Table[Link]], addresses: By[Node, Table[tuple[InterfaceAddress, ...]]]) -> Ask:
    """Ask for the flow's address as the node itself, up to three times until its owner answers."""
    return _ask(flow, flow.network.at(flow.source).bridge, links[flow.source], addresses[flow.source])


@probe("answers", where=_is_arp_at_tap, read=_read)
def arp_at_tap(
    flow: Flow, links: By[Node, Table[Link]], addresses: By[Node, Table[tuple[InterfaceAddress, ...]]],
    domains: By[Node, Table[Domain]],
) -> Ask:
    """Ask a VM that has its tap to itself: a frame given to the tap goes to the guest."""
    tap = tap_of(flow.interface, domains) if flow.interface else ""
    return _ask(flow, tap, links[flow.source], addresses[flow.source])


def _ask(flow: Flow, device: str, links: Table[Link], addresses: Table[tuple[InterfaceAddress, ...]]) -> Ask:
    mac = links[device].mac if device in links else None
    if not mac:
        raise NotSeen(Why.NOT_POSSIBLE, f"{flow.source} has no {device or 'tap'} to ask from")
    own = own_address(flow, addresses, device)
    request = _request(mac, own, flow.target, "ff:ff:ff:ff:ff:ff")
    owner = flow.interface.mac if flow.interface else ""
    # operation at byte 20 of the frame, sender's MAC at 22 and address at 28
    answered = ((20, b"\0\2" + bytes.fromhex(owner.replace(":", ""))), (28, flow.target.packed))
    tries = tuple(Frames(device, (request,), at, unless=answered) for at in TRIES)
    sweep: tuple[Frames, ...] = ()
    if flow.interface and (not flow.interface.tap or flow.interface.tap in links):
        frames = tuple(_request(mac, own, other, owner) for other in _others(flow, own))
        sweep = (Frames(device, frames, SWEEP_AT, SWEEP_GAP, answered),) if frames else ()
    uplink = flow.network.at(flow.source).uplink
    wire = (Capture(uplink, (ARP, IPV6)),) if uplink in links else ()
    return Ask((Capture(device, (ARP, IPV6)), *tries, *sweep, *wire), WINDOW)


# -- out of a NIC, with a tag ------------------------------------------------------------------------------------------


def _read_in_vlan(flow: Flow, got: tuple[Got, ...]) -> Answer:
    """Read what came in the network's VLAN: as the answer of any segment; and who else asked there for the same."""
    captures = [one for one in got if one.outcome == "captured"]
    packets = sorted(packet for one in captures for packet in one.packets)
    inside = tuple((at, device, out, data) for at, device, out, tagged in packets if (data := _untagged(flow, tagged)))
    own = {data[6:12] for _, _, outgoing, data in inside if outgoing}  # which a switch brings back by another member of a bond
    heard = (
        data[6:12].hex(":") for _, _, outgoing, data in inside
        if not outgoing and len(data) >= WHOLE and data[20:22] == REQUEST.to_bytes(2, "big") and data[38:42] == flow.target.packed
        and data[6:12] not in own
    )
    answer = _read(flow, (replace(got[0], packets=inside), *got[-len(TRIES):]))
    if not answer.came_back:
        check(got)  # of a member that could not be listened at, silence says nothing
    return replace(answer, heard=tuple(dict.fromkeys(heard)))


def _untagged(flow: Flow, data: bytes) -> bytes:
    """Give a frame of the network's VLAN without its tag; nothing of another one. A tag of VLAN 0 is none (IEEE 802.1Q)."""
    tag = int.from_bytes(data[14:16], "big") & VID if data[12:14] == TPID.to_bytes(2, "big") else 0
    if tag != flow.network.segment:
        return b""
    return data[:12] + data[16:] if data[12:14] == TPID.to_bytes(2, "big") else data


@probe("answers", where=_is_arp_in_vlan, read=_read_in_vlan)
def arp_in_vlan(
    flow: Flow, links: By[Node, Table[Link]], addresses: By[Node, Table[tuple[InterfaceAddress, ...]]],
    ovs_bridges: By[Node, Table[OvsBridge]],
) -> Ask:
    """Ask for a gateway out of the NIC itself, with the network's tag, up to three times. Nothing on the node is configured for it."""
    nics = uplink_devices(flow.network, flow.source, ovs_bridges)
    device = nics[0]
    mac = links[flow.source][device].mac if device in links[flow.source] else None
    if not mac:
        raise NotSeen(Why.NOT_POSSIBLE, f"{flow.source} has no {device or 'uplink'} to ask from")
    prefixes = [subnet.prefix for subnet in flow.network.subnets if flow.target in subnet.prefix]
    own = (one.address.ip for some in addresses[flow.source].values() for one in some)
    sender = next((str(ip) for ip in own if any(ip in prefix for prefix in prefixes)), "0.0.0.0")  # noqa: S104 - sent, not bound
    frame, vlan = _request(mac, sender, flow.target, "ff:ff:ff:ff:ff:ff"), flow.network.segment
    tag = struct.pack("!HH", TPID, vlan) if vlan else b""
    answered = ((20 + len(tag), b"\0\2"), (28 + len(tag), flow.target.packed))
    tries = tuple(Frames(device, (frame[:12] + tag + frame[12:],), at, unless=answered) for at in TRIES)
    return Ask((*(Capture(nic, (ARP,)) for nic in nics), *tries), WINDOW)


# -- in a namespace ----------------------------------------------------------------------------------------------------


def _read_in_namespace(flow: Flow, got: tuple[Got, ...]) -> Answer:
    """Read what answers the namespace itself: a switch floods answers to others until it has learned where they are."""
    served = flow.network.dhcp.servers if flow.network.dhcp else ()
    own = {address.packed for server in served if server.node == flow.source for address in server.addresses}
    inside = tuple(packet for packet in got[0].packets if packet[3][20:22] != REPLY.to_bytes(2, "big") or packet[3][38:42] in own)
    return _read(flow, (replace(got[0], packets=inside), *got[1:]))


@probe("answers", where=_is_arp_in_namespace, read=_read_in_namespace)
def arp_in_namespace(flow: Flow, dhcp_namespaces: By[DhcpServer, Namespace]) -> Ask:
    """Ask in a network namespace of the node, with the address that it has there."""
    server = next((one for one in dhcp_namespaces if one.namespace == flow.namespace and one.node == flow.source), None)
    inside = dhcp_namespaces[server] if server else Namespace(exists=False)
    own = [(device, ip_interface(text)) for device, text in inside.addresses]
    device, address = next(((device, one) for device, one in own if flow.target in one.network), ("", None))
    mac = dict(inside.macs).get(device)
    if not mac or address is None:
        raise NotSeen(Why.NOT_POSSIBLE, f"{flow.source}: {flow.namespace} has no address of the subnet of {flow.target} to ask with")
    frame = _request(mac, str(address.ip), flow.target, "ff:ff:ff:ff:ff:ff")
    answered = ((20, b"\0\2"), (28, flow.target.packed), (38, address.ip.packed))
    tries = tuple(Frames(device, (frame,), at, unless=answered, namespace=flow.namespace) for at in TRIES)
    return Ask((Capture(device, (ARP,), namespace=flow.namespace), *tries), WINDOW)


def own_address(flow: Flow, addresses: Table[tuple[InterfaceAddress, ...]], device: str) -> str:
    """Give the node's address in the target's subnet, else 0.0.0.0 (TRAPS: never somebody else's).

    Who routes to a VM may have none there: then it is one of that device, else of another, as the kernel does it
    (Linux net/ipv4/devinet.c, inet_select_addr). A guest without a way to such an address would drop the question as a martian.
    """
    if flow.network.neutron is not None and flow.interface is not None and not flow.interface.gateways:
        return "0.0.0.0"  # noqa: S104 - sent, not bound
    prefixes = [subnet.prefix for subnet in flow.network.subnets if flow.target in subnet.prefix]
    own = [a for a in addresses.get(device, ()) if a.address.version == 4]  # noqa: PLR2004 - IPv4
    inside = [a for a in own if any(a.address.ip in prefix for prefix in prefixes)]
    if not inside and flow.network.kind != "switching":
        inside = own or [a for name in addresses for a in addresses[name] if a.address.version == 4 and a.scope == "global"]  # noqa: PLR2004
    return next((str(a.address.ip) for a in inside), "0.0.0.0")  # noqa: S104


def _request(mac: str, own: str, target: object, to: str) -> bytes:
    from scapy.layers.l2 import ARP as Arp
    from scapy.layers.l2 import Ether

    return bytes(Ether(src=mac, dst=to) / Arp(op=REQUEST, hwsrc=mac, psrc=own, hwdst="00:00:00:00:00:00", pdst=str(target)))


def _others(flow: Flow, own: str) -> Iterator[IPv4Address]:
    """Give the subnet's other addresses; of a large subnet those around the declared one."""
    prefix = next((subnet.prefix for subnet in flow.network.subnets if flow.target in subnet.prefix), None)
    if prefix is None:
        return
    low = max(int(prefix.network_address) + 1, int(flow.target) - SWEEP_MOST // 2)
    high = min(int(prefix.broadcast_address) - 1, low + SWEEP_MOST)
    for number in range(low, high + 1):
        address = IPv4Address(number)
        if address != flow.target and str(address) != own:
            yield address
