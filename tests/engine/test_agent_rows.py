"""The agent's rows of packets, between real namespaces: pings and SYNs, whole, with some lost, and with none that come back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from netchecks.models.rows import dead_ports, is_clean, is_lossy
from netchecks.models.subjects import Connection, Flow, Interface, Network, Node, Vm
from netchecks.probe import PROBES, Got, Series
from netchecks.probes import row
from tests.engine import namespaces
from tests.engine.namespaces import Wire
from tests.engine.test_agent import NOBODY, OLDEST, python, pythons, run

assert python, "a fixture"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

TARGETS = {4: "198.51.100.3", 6: "fd00:b::3"}
PORTS = tuple(range(20000, 20016))
NODE = Node("node1", Connection("local"))
VM = Interface("vm42", Vm("vm42", NODE, "vm42", tcp=(8080,)), Network("lan", "switching", ()), "52:54:00:00:00:42")


@pytest.fixture(scope="module")
def net() -> Iterator[Wire]:
    with namespaces.wire() as made:
        yield made


@pytest.fixture
def own() -> Iterator[Wire]:
    with namespaces.wire() as made:
        yield made


def asked(wire: Wire, family: int, port: int = 0, count: int = 32) -> Got:
    (got,) = run(wire.a, Series(ip_address(TARGETS[family]), count, 0.005, port, PORTS if port else ()), seconds=0.0, python=OLDEST)
    return got


def read(got: Got) -> tuple[list[int], list[int]]:
    answered, ports = json.loads(got.packets[0][3])
    return answered, ports


@pytest.mark.parametrize("python", pythons())
def test_every_packet_of_a_good_way_is_answered(net: Wire, python: str) -> None:
    """Pings and refused connections, both families, at once: a refusal is an answer."""
    wanted = [(ip_address(target), port) for target in TARGETS.values() for port in (0, 4444)]
    every = run(net.a, *(Series(to, 32, 0.005, port, PORTS if port else ()) for to, port in wanted), seconds=0.0, python=python)
    for (_, port), got in zip(wanted, every, strict=True):
        assert (got.outcome, got.sent, got.error) == ("sent", 32, "")
        assert read(got) == ([1] * 32, [*PORTS, *PORTS] if port else [])


@pytest.mark.parametrize("family", [4, 6])
def test_a_port_that_accepts_answers_and_nobody_is_connected(own: Wire, family: int) -> None:
    """What is asked is reset by the asker's kernel: nothing waits to be accepted, nothing stays half open."""
    script = (
        "import socket, sys, time\n"
        f"s = socket.create_server(('{TARGETS[family]}', 8080), family=socket.AF_INET{'6' if family == 6 else ''})\n"
        "print('ready', flush=True)\ns.settimeout(1.5)\n"
        "try: s.accept(); print('accepted')\nexcept OSError: print('nobody')\n"
    )
    import subprocess

    server = subprocess.Popen(own.b.wrap("python3", "-c", script), stdout=subprocess.PIPE, text=True)
    assert server.stdout
    with server:
        assert server.stdout.readline() == "ready\n"
        assert read(asked(own, family, 8080))[0] == [1] * 32
        assert own.b.sh("ss -tanH state syn-recv") == ""
        assert server.stdout.readline() == "nobody\n"


@pytest.mark.parametrize("family", [4, 6])
def test_what_is_lost_is_told_packet_by_packet(own: Wire, family: int) -> None:
    own.router.sh("nft 'table inet t { chain f { type filter hook forward priority 0; iifname left numgen inc mod 4 0 drop; }; }'")
    answered, _ = read(asked(own, family))
    assert answered.count(0) == 8
    assert len({turn % 4 for turn, value in enumerate(answered) if not value}) == 1  # each fourth


def test_a_bad_way_shows_by_its_ports(own: Wire) -> None:
    own.router.sh("nft 'table inet t { chain f { type filter hook forward priority 0; tcp sport & 1 == 1 drop; }; }'")
    row_of = row._read(Flow("f", NODE, VM.network, "tcp", ip_address(TARGETS[4]), VM, 8080), (asked(own, 4, 8080, 48),))
    assert set(dead_ports(row_of)) == {port for port in PORTS if port % 2}
    assert not is_clean(row_of)


def test_silence_and_an_answer_that_is_none_are_zeros(own: Wire) -> None:
    own.router.sh("nft 'table inet t { chain f { type filter hook forward priority 0; drop; }; }'")
    got = asked(own, 4)
    assert (got.outcome, read(got)[0]) == ("sent", [0] * 32)
    own.a.sh("ip route del default")
    assert asked(own, 4).outcome == "failed"  # this machine knows no way: the answers of its flows say so


def test_without_rights_the_kernel_s_own_sockets_serve(own: Wire, python: str) -> None:
    """Pings by its ICMP sockets, and connections that are closed at once; nothing says that it was denied."""
    own.a.sh("sysctl -qw net.ipv4.ping_group_range='0 2147483647'")
    own.router.sh("nft 'table inet t { chain f { type filter hook forward priority 0; tcp sport & 1 == 1 drop; }; }'")
    wanted = [Series(ip_address(target), 48, 0.005, port, PORTS if port else ()) for target in TARGETS.values() for port in (0, 4444)]
    every = run(own.a, *wanted, seconds=0.0, python=python, prefix=(*NOBODY, "--no-new-privs"))
    assert [got.outcome for got in every] == ["sent"] * 4
    for pings, asked_for in (every[:2], every[2:]):
        assert read(pings) == ([1] * 48, [])
        assert read(asked_for) == ([int(not port % 2) for port in PORTS] * 3, [*PORTS] * 3)


def test_without_any_right_it_says_so(own: Wire, python: str) -> None:
    own.a.sh("sysctl -qw net.ipv4.ping_group_range='1 0'")
    (got,) = run(own.a, Series(ip_address(TARGETS[4]), 4, 0.005), seconds=0.0, python=python, prefix=(*NOBODY, "--no-new-privs"))
    assert got.outcome == "denied"


def test_the_probes_ask_in_bounds() -> None:
    """At most 48 packets, in less than the other probes take."""
    flow = Flow("f", NODE, VM.network, "tcp", ip_address("10.0.0.1"), VM, 8080, sampled=True)
    (action,) = row.connections(flow).actions
    assert isinstance(action, Series)
    assert (action.count, len(set(action.ports)), action.port) == (48, 16, 8080)
    assert 1024 < min(action.ports) < max(action.ports) < 32768  # below the ephemeral ports of Linux
    assert action.at + action.count * action.gap + 0.8 < 2.5
    assert {probe.root for probe in PROBES["rows"]} == {True}


@pytest.mark.parametrize("data", [b"", b"[]", b"[[1],[2]", b'[["a"],[]]', b"[1,2]", b"{}", b"[" * 100_000])
def test_a_nonsensical_row_is_not_seen(data: bytes) -> None:
    from netchecks.errors import NotSeen

    flow = Flow("f", NODE, VM.network, "icmp", ip_address("10.0.0.1"), VM)
    with pytest.raises(NotSeen):
        row._read(flow, (Got("sent", packets=((0.0, "", False, data),)),))


def test_a_row_of_a_fifth_lost_is_lossy() -> None:
    flow = Flow("f", NODE, VM.network, "icmp", ip_address("10.0.0.1"), VM)
    answered = [0 if number % 5 == 0 else 1 for number in range(40)]
    found = row._read(flow, (Got("sent", packets=((0.0, "", False, json.dumps([answered, []]).encode()),)),))
    assert is_lossy(found)
