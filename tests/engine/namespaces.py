"""Network namespaces for tests: two hosts on a wire, or with a router between them. Needs root."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace with a name of its own."""

    name: str

    def wrap(self, *argv: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *argv]

    def run(self, *argv: str, **keywords: Any) -> subprocess.CompletedProcess[Any]:
        check = keywords.pop("check", True)
        return subprocess.run(self.wrap(*argv), check=check, **{"capture_output": True, "text": True} | keywords)

    def sh(self, script: str) -> str:
        return str(self.run("sh", "-euc", script).stdout)


@dataclass(frozen=True, slots=True)
class Wire:
    """Hosts ``a`` and ``b`` with ``router`` between them: 192.0.2.0/24 and fd00:a::/64, then 198.51.100.0/24 and fd00:b::/64.

    Devices: ``wire`` in ``a``; ``left`` and ``right`` in the router; ``wire`` in ``b``. The last number: a 1, router 2, b 3.
    """

    a: Namespace
    router: Namespace
    b: Namespace


@contextmanager
def wire() -> Iterator[Wire]:
    """Make the hosts, and remove them."""
    tag = f"nceng{os.getpid()}-{secrets.token_hex(2)}"
    made = Wire(*(Namespace(f"{tag}-{part}") for part in "arb"))
    every = (made.a, made.router, made.b)
    try:
        for one in every:
            _sh(f"ip netns add {one.name}")
            one.sh("sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0; ip link set lo up")
        _link(made.a, "wire", made.router, "left")
        _link(made.router, "right", made.b, "wire")
        made.a.sh(_addresses("wire", "192.0.2.1", "fd00:a::1") + "ip route add default via 192.0.2.2; ip -6 route add default via fd00:a::2")
        made.router.sh(
            _addresses("left", "192.0.2.2", "fd00:a::2") + _addresses("right", "198.51.100.2", "fd00:b::2")
            + "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
        )
        made.b.sh(_addresses("wire", "198.51.100.3", "fd00:b::3") + "ip route add default via 198.51.100.2; ip -6 route add default via fd00:b::2")
        yield made
    finally:
        for one in every:
            subprocess.run(["ip", "netns", "del", one.name], check=False, capture_output=True)


def _sh(script: str) -> None:
    subprocess.run(["sh", "-euc", script], check=True, capture_output=True)


def _link(one: Namespace, device: str, other: Namespace, peer: str) -> None:
    _sh(f"ip -n {one.name} link add {device} type veth peer name {peer} netns {other.name}")
    for namespace, name in ((one, device), (other, peer)):
        namespace.sh(f"ip link set {name} up")


def _addresses(device: str, four: str, six: str) -> str:
    return f"ip addr add {four}/24 dev {device}; ip addr add {six}/64 dev {device} nodad\n"


#: Sends frames, given in hexadecimal one a line, out of a device.
SEND = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
for line in sys.stdin:
    s.send(bytes.fromhex(line))
"""


def send(namespace: Namespace, device: str, frames: Sequence[bytes]) -> None:
    """Send frames as they are."""
    namespace.run("python3", "-c", SEND, device, input="".join(frame.hex() + "\n" for frame in frames))
