"""Two guests behind a bridge and one behind a router, each a network namespace, to send real packets through rule sets."""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import socket
import struct
import subprocess
import time
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from netchecks.models.packets import Packet, arp_request, neighbour_solicitation, ping, tcp_syn, udp_datagram

Socket = socket.socket
CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
A, B, C, N = "a", "b", "c", "n"
MACS = {A: "02:77:00:00:00:0a", B: "02:77:00:00:00:0b", C: "02:77:00:00:00:0c", N: "02:77:00:00:00:01", "nc": "02:77:00:00:00:02"}
V4 = {A: "10.77.0.10", B: "10.77.0.20", N: "10.77.0.1", C: "10.78.0.30", "nc": "10.78.0.1"}
V6 = {A: "fd77::10", B: "fd77::20", N: "fd77::1", C: "fd78::30", "nc": "fd78::1"}
OWN = frozenset(ip_address(text) for text in (V4[N], V4["nc"], V6[N], V6["nc"], "127.0.0.1", "::1"))
TCP_PORTS, UDP_PORTS = (22, 80), (53,)

_BUILD = """
set -e
for n in a b c n; do ip netns add $P$n; ip -n $P$n link set lo up; done
ip -n ${P}n link add br0 address 02:77:00:00:00:01 type bridge forward_delay 0 mcast_snooping 0
for n in a b; do
  ip -n ${P}n link add p$n type veth peer name eth0 netns $P$n
  ip -n ${P}n link set p$n master br0 up
done
ip -n ${P}n link add pc address 02:77:00:00:00:02 type veth peer name eth0 netns ${P}c
for n in a b c; do ip -n $P$n link set eth0 address 02:77:00:00:00:0$n; done
for n in a b c n; do ip netns exec $P$n sh -c '
  echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
  for f in /proc/sys/net/ipv6/conf/*/accept_dad /proc/sys/net/ipv6/conf/*/router_solicitations; do echo 0 >$f; done'; done
for n in a b c; do ip -n $P$n link set eth0 up; done
ip -n ${P}n link set br0 up; ip -n ${P}n link set pc up
ip netns exec ${P}n sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
address() { ip -n $P$1 addr add $3 dev $2; ip -n $P$1 addr add $4 dev $2 nodad; }
address a eth0 10.77.0.10/24 fd77::10/64; address b eth0 10.77.0.20/24 fd77::20/64; address c eth0 10.78.0.30/24 fd78::30/64
address n br0 10.77.0.1/24 fd77::1/64; address n pc 10.78.0.1/24 fd78::1/64
for n in a b; do ip -n $P$n route add default via 10.77.0.1; ip -n $P$n -6 route add default via fd77::1; done
ip -n ${P}c route add default via 10.78.0.1; ip -n ${P}c -6 route add default via fd78::1
known() { ip -n $P$1 neigh replace $3 dev $2 lladdr $4 nud permanent; }
for x in 10.77.0.20 fd77::20; do known a eth0 $x 02:77:00:00:00:0b; known n br0 $x 02:77:00:00:00:0b; done
for x in 10.77.0.10 fd77::10; do known b eth0 $x 02:77:00:00:00:0a; known n br0 $x 02:77:00:00:00:0a; done
for x in 10.77.0.1 fd77::1; do known a eth0 $x 02:77:00:00:00:01; known b eth0 $x 02:77:00:00:00:01; done
for x in 10.78.0.1 fd78::1; do known c eth0 $x 02:77:00:00:00:02; done
for x in 10.78.0.30 fd78::30; do known n pc $x 02:77:00:00:00:0c; done
"""


@dataclass
class Probe:
    """One packet that asks for an answer, as the judgement sees it and as it is sent."""

    name: str
    source: str
    packet: Packet
    answered: bool = False
    sock: Socket | None = None
    port: int = 0


@dataclass
class Lab:
    """The namespaces, and the sockets in them."""

    prefix: str = field(default_factory=lambda: f"nfv{os.getpid()}")
    services: list[Socket] = field(default_factory=list)
    serial: int = 0

    def up(self) -> None:
        script = "P=" + self.prefix + "\n" + _BUILD
        subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True)
        for place in (B, C, N):
            for port in TCP_PORTS:
                self.services.append(self._listen(place, socket.SOCK_STREAM, port))
            for port in UDP_PORTS:
                self.services.append(self._listen(place, socket.SOCK_DGRAM, port))

    def down(self) -> None:
        for one in self.services:
            one.close()
        for place in (A, B, C, N):
            subprocess.run(["ip", "netns", "del", self.prefix + place], check=False, capture_output=True)

    def run(self, argv: list[str], stdin: str = "") -> str:
        """Run a command on the node."""
        done = subprocess.run(["ip", "netns", "exec", self.prefix + N, *argv], input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (argv[:3], done.stderr)
        return done.stdout

    def enter(self, place: str, family: int, kind: int, protocol: int = 0) -> Socket:
        """Make a socket in a namespace: it stays there."""
        libc = ctypes.CDLL(None, use_errno=True)
        here_path, there_path = Path("/proc/thread-self/ns/net"), Path(f"/run/netns/{self.prefix}{place}")
        with here_path.open("rb") as here, there_path.open("rb") as there:
            assert libc.setns(there.fileno(), CLONE_NEWNET) == 0
            try:
                made = socket.socket(family, kind, protocol)
                if family == socket.AF_PACKET:
                    made.bind(("eth0", ETH_P_ALL))
                return made
            finally:
                assert libc.setns(here.fileno(), CLONE_NEWNET) == 0

    def _listen(self, place: str, kind: int, port: int) -> Socket:
        made = self.enter(place, socket.AF_INET6, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind(("::", port))
        made.setblocking(False)
        if kind == socket.SOCK_STREAM:
            made.listen(64)
        return made

    def probes(self) -> list[Probe]:
        """Give every probe, with fresh ports so that each is a new connection."""
        found = [Probe(name, source, packet) for name, source, packet in _packets()]
        for probe in found:
            self.serial += 1
            probe.port = 20000 + self.serial % 30000
        return found

    def send(self, probes: list[Probe], patient: set[str], silence: float = 0.12) -> None:
        """Send all at once; wait long for those named patient, a short while for the others."""
        chooser = selectors.DefaultSelector()
        for service in self.services:
            chooser.register(service, selectors.EVENT_READ, None)
        for probe in probes:
            self._start(probe)
            assert probe.sock is not None
            event = selectors.EVENT_WRITE if probe.packet.protocol == "tcp" else selectors.EVENT_READ
            chooser.register(probe.sock, event, probe)
        start = time.monotonic()
        while time.monotonic() - start < 3:
            waiting = [probe for probe in probes if not probe.answered and probe.name in patient]
            if not waiting and time.monotonic() - start > silence:
                break
            for key, _ in chooser.select(0.02):
                self._ready(key, chooser)
        chooser.close()
        for probe in probes:
            assert probe.sock is not None
            probe.sock.close()

    def _ready(self, key: selectors.SelectorKey, chooser: selectors.BaseSelector) -> None:
        if key.data is None:
            assert isinstance(key.fileobj, socket.socket)
            _serve(key.fileobj)
            return
        probe: Probe = key.data
        assert probe.sock is not None
        if probe.packet.protocol == "tcp":
            probe.answered = probe.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            chooser.unregister(probe.sock)
        else:
            with contextlib.suppress(OSError):
                probe.answered |= _is_answer(probe, probe.sock.recv(2048))

    def _start(self, probe: Probe) -> None:
        packet = probe.packet
        family = socket.AF_INET if packet.family == "ipv4" else socket.AF_INET6
        if packet.protocol in {"arp", "ndp"}:
            probe.sock = self.enter(probe.source, socket.AF_PACKET, socket.SOCK_RAW, 0)
            probe.sock.setblocking(False)
            probe.sock.send(_frame(packet))
            return
        number = packet.number or 0
        kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}.get(packet.protocol, socket.SOCK_RAW)
        probe.sock = self.enter(probe.source, family, kind, number)
        probe.sock.setblocking(False)
        target = str(packet.destination)
        if kind == socket.SOCK_RAW:
            with contextlib.suppress(OSError):  # the node's own rules say no
                probe.sock.sendto(_echo(packet, probe.port), (target, 0))
            return
        assert isinstance(packet.destination_port, int)
        with contextlib.suppress(OSError):
            probe.sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", probe.port))
            probe.sock.connect((target, packet.destination_port))
            if kind == socket.SOCK_DGRAM:
                probe.sock.send(b"netchecks")


def _serve(service: Socket) -> None:
    with contextlib.suppress(OSError):
        if service.type == socket.SOCK_STREAM:
            service.accept()[0].close()
        else:
            data, peer = service.recvfrom(2048)
            service.sendto(data, peer)


def _packets() -> list[tuple[str, str, Packet]]:
    """Every way through the node: bridged a-b, out n-b, in a-n, routed a-c."""
    found: list[tuple[str, str, Packet]] = []
    found.append(("bridged arp", A, arp_request(IPv4Address(V4[A]), IPv4Address(V4[B]), MACS[A], MACS[B])))
    found.append(("bridged ndp", A, neighbour_solicitation(IPv6Address(V6[A]), IPv6Address(V6[B]), MACS[A], MACS[B])))
    ways = (("bridged", A, B, B), ("out", N, B, B), ("in", A, N, N), ("routed", A, C, N))
    for way, source, target, hop in ways:
        for family, of in (("4", V4), ("6", V6)):
            ends = (ip_address(of[source]), ip_address(of[target]))
            macs = (MACS[source], MACS[hop])
            found.append((f"{way} ping{family}", source, ping(*ends, *macs)))
            found += [(f"{way} tcp{port} ipv{family}", source, tcp_syn(*ends, port, *macs)) for port in TCP_PORTS]
            found.append((f"{way} udp53 ipv{family}", source, udp_datagram(*ends, 53, *macs)))
    return [(name, source, _placed(name, packet)) for name, source, packet in found]


def _placed(name: str, packet: Packet) -> Packet:
    devices: dict[str, Any] = {
        "bridged": {"in_port": "pa", "out_port": "pb", "in_device": "br0", "out_device": "br0"},
        "out": {"out_port": "pb", "out_device": "br0"}, "in": {"in_port": "pa", "in_device": "br0"},
        "routed": {"in_port": "pa", "in_device": "br0", "out_device": "pc"},
    }[name.partition(" ")[0]]
    return replace(packet, **devices)


def _bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _frame(packet: Packet) -> bytes:
    head = _bytes(packet.destination_mac) + _bytes(packet.source_mac)
    assert packet.source is not None
    assert packet.target is not None
    if packet.protocol == "arp":
        return head + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1) + (
            _bytes(packet.source_mac) + packet.source.packed + bytes(6) + packet.target.packed
        )
    assert packet.destination is not None
    body = struct.pack("!BBHI", 135, 0, 0, 0) + packet.target.packed + b"\x01\x01" + _bytes(packet.source_mac)
    ends = packet.source.packed + packet.destination.packed
    checked = body[:2] + struct.pack("!H", _checksum(ends + struct.pack("!II", len(body), 58) + body)) + body[4:]
    return head + struct.pack("!HIHBB", 0x86DD, 0x60000000, len(body), 58, 255) + ends + checked


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _echo(packet: Packet, number: int) -> bytes:
    head = struct.pack("!BBHHH", packet.icmp_type, 0, 0, number, 1)
    if packet.family == "ipv6":
        return head + b"netchecks!"  # the kernel fills in the checksum
    return struct.pack("!BBHHH", packet.icmp_type, 0, _checksum(head + b"netchecks!"), number, 1) + b"netchecks!"


def _is_answer(probe: Probe, data: bytes) -> bool:
    packet = probe.packet
    if packet.protocol == "udp":
        return data == b"netchecks"
    asked = packet.target.packed if packet.target is not None else b""
    if packet.protocol == "arp":
        return data[12:14] == b"\x08\x06" and data[20:22] == b"\x00\x02" and data[28:32] == asked
    if packet.protocol == "ndp":
        return data[12:14] == b"\x86\xdd" and data[20] == 58 and data[54] == 136 and data[62:78] == asked
    body = data[20:] if packet.family == "ipv4" else data
    answer = 0 if packet.family == "ipv4" else 129
    return body[0] == answer and struct.unpack("!H", body[4:6])[0] == probe.port
