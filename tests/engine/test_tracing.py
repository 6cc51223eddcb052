"""Marked packets on real wires: what the kernel puts into tunnels and translates is known again at every point."""

from __future__ import annotations

import os
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from netchecks.models.routes import Lookup
from netchecks.models.subjects import Connection, Flow, Interface, Network, Node, Vm
from netchecks.probe import Capture, Frames, Got
from netchecks.trace import sending
from netchecks.trace.marks import TURNS, mark_of
from netchecks.trace.recognising import known, sighting
from tests.engine import namespaces
from tests.engine.namespaces import Namespace, Wire
from tests.engine.test_agent import finish, listens, start
from tests.trace.given import RUN

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

NODE = Node("a", Connection("local"))
LAN = Network("lan", "switching", ())


def flow(protocol: Any, target: str, port: int | None = None) -> Flow:
    vm = Vm("vm", NODE, "vm")
    return Flow(f"a-to-{target}-{protocol}", NODE, LAN, protocol, ip_address(target), Interface("vm", vm, LAN, "52:54:00:00:00:42"), port)


@pytest.fixture(scope="module")
def net() -> Iterator[Wire]:
    """Two hosts and a router; between the hosts two overlays, and the address 203.0.113.30 for the second."""
    with namespaces.wire() as made:
        _overlay(made.a, "198.51.100.3", 1)
        _overlay(made.b, "192.0.2.1", 2)
        made.router.sh("nft add table ip nat; nft add chain ip nat pre '{ type nat hook prerouting priority -100; }'; "
                       "nft add rule ip nat pre ip daddr 203.0.113.30 dnat to 198.51.100.3")
        made.a.sh("ip route add 203.0.113.30 via 192.0.2.2")
        yield made


def _overlay(host: Namespace, far: str, number: int) -> None:
    for name, vni, port, prefix in (("new", 7, 4789, "10.77.0"), ("old", 8, 8472, "10.88.0")):
        host.sh(f"ip link add {name} type vxlan id {vni} remote {far} dstport {port} dev wire; ip link set {name} up; ip addr add {prefix}.{number}/24 dev {name}")


def traced(net: Wire, one: Flow, source: str, *devices: str) -> list[list[tuple[str, int | None, tuple[str, ...]]]]:
    """Send a flow's packets from ``a``; give what each device of the router saw of them: kind, turn and what carried it."""
    captures = [capture for name in devices for capture in (Capture(name, prefix=RUN), Capture(name, prefix=RUN, tunnels=True))]
    watching = start(net.router, *captures, seconds=3.5)
    assert listens(net.router)
    packets = sending.packets(one, mark_of(one.name, RUN), Lookup("unicast", "wire", "", source))
    (sent,) = finish(start(net.a, packets), packets)
    assert (sent.outcome, sent.sent) == ("sent", TURNS)
    got = finish(watching, *captures)
    return [_seen(one, got[number * 2:number * 2 + 2]) for number in range(len(devices))]


def _seen(one: Flow, got: tuple[Got, ...]) -> list[tuple[str, int | None, tuple[str, ...]]]:
    frames = [(at, data) for capture in got for at, _, _, data in capture.packets]
    mark = mark_of(one.name, RUN)
    ends = known(one, mark, (data for _, data in frames))
    found = [(at, sighting(one, mark, data, ends)) for at, data in frames]
    return [(made.kind, made.turn, made.through) for _, made in sorted(found, key=lambda row: row[0]) if made]


EVERY_TURN = range(TURNS)


@pytest.mark.parametrize(("target", "through"), [("10.77.0.2", "VXLAN 7"), ("10.88.0.2", "VXLAN 8")])
@pytest.mark.parametrize(("protocol", "port"), [("icmp", None), ("tcp", 22)])
def test_what_the_kernel_puts_into_an_overlay_is_seen_in_it(net: Wire, protocol: str, port: int | None, target: str, through: str) -> None:
    one = flow(protocol, target, port)
    (seen,) = traced(net, one, target[:-1] + "1", "left")
    assert seen == [(kind, turn, (through,)) for turn in EVERY_TURN for kind in ("request", "reply")]


@pytest.mark.parametrize(("protocol", "port", "answer"), [("icmp", None, "reply"), ("tcp", 22, "reply"), ("udp", 53, "error")])
def test_what_the_kernel_translates_is_seen_on_both_sides(net: Wire, protocol: str, port: int | None, answer: str) -> None:
    """A floating address on the one side, the VM's own on the other; a port that nobody listens at says so by ICMP."""
    one = flow(protocol, "203.0.113.30", port)
    outside, inside = traced(net, one, "192.0.2.1", "left", "right")
    assert outside == inside == [(kind, turn, ()) for turn in EVERY_TURN for kind in ("request", answer)]


def test_a_namespace_and_a_mac_name_a_device(net: Wire) -> None:
    """A router's or a guest's namespace is a point like any other: by its name, and its devices by their names or MACs."""
    inside, mac = net.b.name, net.b.sh("cat /sys/class/net/wire/address").strip()
    one = flow("icmp", "198.51.100.2")
    packet = sending.packets(one, mark_of(one.name, RUN), Lookup("unicast", "wire", "", "198.51.100.3")).packets[0]
    frame = bytes.fromhex("ffffffffffff" + mac.replace(":", "")) + b"\x08\0" + packet
    actions = (
        Capture("wire", prefix=RUN, namespace=inside), Capture(f"mac:{mac}", prefix=RUN, namespace=inside), Capture("wire", prefix=RUN),
        Capture("wire", prefix=RUN, namespace="nowhere"), Capture("mac:02:00:00:00:00:00", prefix=RUN), Frames("wire", (frame,), 0.1, namespace=inside),
    )
    by_name, by_mac, here, nowhere, nothing, sent = finish(start(net.a, *actions, seconds=1.0), *actions)
    assert sent.outcome == "sent"
    for got in (by_name, by_mac):
        assert [data for _, _, outgoing, data in got.packets if outgoing and data[:6] == frame[:6]] == [frame]  # its own clients may have our ports
    assert frame not in [data for _, _, _, data in here.packets]
    assert (nowhere.outcome, nothing.outcome) == ("failed", "failed")
    assert "No such file" in nowhere.error
    assert "No such device" in nothing.error
