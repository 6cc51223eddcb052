"""Flows to trace, and their packets as every hop may show them."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from netchecks.models.subjects import Attachment, Connection, Flow, Guest, Interface, Network, Node, Subnet, Vm
from netchecks.trace.marks import mark_of

NODE, CONTROLLER = Node("node1", Connection("local")), Node("controller", Connection("local"))
LAN = Network(
    "lan", "switching", (Attachment(NODE, "br0", "eth0"),), (Subnet(ip_network("10.20.0.0/24"), ip_address("10.20.0.1")), Subnet(ip_network("fd20::/64"))),
)
GUEST = Guest("guest:vm42", Connection("local"))
VM = Vm("vm42", NODE, "vm42", (22,), (53,), guest=GUEST)
MAC, SENDER_MAC = "52:54:00:00:00:42", "02:20:00:00:01:02"
TARGETS = {4: "10.20.0.142", 6: "fd20::142"}
SENDERS = {4: "10.20.200.2", 6: "fd30::2"}
FLOATING = {4: "203.0.113.30", 6: "2001:db8::30"}
NIC = Interface("vm42", VM, LAN, MAC, (ip_address("10.20.0.142"), ip_address("fd20::142")))
PORTS = {"tcp": 22, "udp": 53}
RUN = bytes.fromhex("d1075ac3")
OTHER_RUN = bytes.fromhex("d1075ac4")
CARRIED = [("icmp", 4), ("icmp", 6), ("tcp", 4), ("tcp", 6), ("udp", 4), ("udp", 6)]


def flow(protocol: Any, family: int = 4, name: str = "", source: Node = CONTROLLER) -> Flow:
    return Flow(name or f"{source}-to-vm42-{protocol}-ipv{family}", source, LAN, protocol, ip_address(TARGETS[family]), NIC, PORTS.get(protocol))


def ip(family: int, source: str = "", target: str = "", **fields: Any) -> Packet:
    ends = {"src": source or SENDERS[family], "dst": target or TARGETS[family]}
    return IP(**ends, **fields) if family == 4 else IPv6(**ends, **fields)


def request(one: Flow, turn: int = 0, run: bytes = RUN, *, target: str = "", source: str = "", port: int | None = None) -> Packet:
    """The flow's own packet of a turn, without its Ethernet header; NAT may have given it other addresses."""
    mark, head = mark_of(one.name, run), ip(one.family, source, target)
    if one.protocol == "tcp":
        return head / TCP(sport=port or mark.port + turn, dport=one.port, seq=mark.sequence + turn, flags="S")
    if one.protocol == "udp":
        return head / UDP(sport=port or mark.port + turn, dport=one.port) / mark.payload(turn)
    if one.family == 6:
        return head / ICMPv6EchoRequest(id=mark.identifier, seq=turn + 1, data=mark.payload(turn))
    return head / ICMP(id=mark.identifier, seq=turn + 1) / mark.payload(turn)


def reply(one: Flow, turn: int = 0, run: bytes = RUN, *, source: str = "", flags: str = "SA", port: int | None = None) -> Packet:
    """What the guest answers to it: a datagram's answer has no mark."""
    mark, head = mark_of(one.name, run), ip(one.family, source or TARGETS[one.family], SENDERS[one.family])
    if one.protocol == "tcp":
        return head / TCP(sport=one.port, dport=port or mark.port + turn, seq=77, ack=mark.sequence + turn + 1, flags=flags)
    if one.protocol == "udp":
        return head / UDP(sport=one.port, dport=port or mark.port + turn) / b"an answer"
    if one.family == 6:
        return head / ICMPv6EchoReply(id=mark.identifier, seq=turn + 1, data=mark.payload(turn))
    return head / ICMP(type=0, id=mark.identifier, seq=turn + 1) / mark.payload(turn)


def frame(packet: Packet, *before: Packet) -> bytes:
    """A frame with these headers between Ethernet's and the packet's."""
    made: Packet = Ether(src=SENDER_MAC, dst=MAC)
    for layer in before:
        made /= layer
    return bytes(made / packet)
