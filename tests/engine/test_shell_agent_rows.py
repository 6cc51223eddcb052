"""Rows of packets without python3: ping's own row, and a connection from each of so many ports."""

from __future__ import annotations

import json
import os
import shutil
from ipaddress import ip_address

import pytest

from netchecks.errors import NotSeen
from netchecks.models.rows import dead_ports
from netchecks.models.subjects import Connection, Flow, Interface, Network, Node, Vm
from netchecks.probe import Got, Series
from netchecks.probes import row
from tests.engine.namespaces import Wire
from tests.engine.test_shell_agent import Tools, all_programs, lacking, own, tools

assert all((all_programs, own, tools)), "fixtures"
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(not all(map(shutil.which, ("ping", "bash", "nft"))), reason="no ping, bash or nft here"),
]

TARGET = ip_address("198.51.100.3")
PINGS, SYNS = Series(TARGET, 20, 0.01), Series(TARGET, 48, 0.01, 4444, tuple(range(20000, 20016)))
NODE = Node("node1", Connection("local"))
VM = Interface("vm42", Vm("vm42", NODE, "vm42"), Network("lan", "switching", ()), "52:54:00:00:00:42")
FLOW = Flow("f", NODE, VM.network, "tcp", TARGET, VM, 4444)


def read(got: Got) -> tuple[list[int], list[int]]:
    answered, ports = json.loads(got.packets[0][3])
    return answered, ports


def test_what_is_answered_is_told_one_by_one(own: Wire, tools: Tools) -> None:
    pings, syns = tools.run(own.a, PINGS, SYNS)
    assert (pings.outcome, read(pings)) == ("sent", ([1] * 20, []))
    assert (syns.outcome, read(syns)) == ("sent", ([1] * 16, list(range(1, 17))))  # refused is answered
    own.router.sh("nft 'table inet t { chain f { type filter hook forward priority 0; iifname left numgen inc mod 4 0 drop; }; }'")
    (lossy,) = tools.run(own.a, PINGS)
    assert read(lossy)[0].count(0) == 5


def test_a_bad_way_shows_among_the_connections(own: Wire, tools: Tools) -> None:
    """Linux connects from even ports: one of four is dropped here, so that some get through and some never do."""
    own.router.sh("nft 'table inet t { chain f { type filter hook forward priority 0; tcp sport & 2 == 2 drop; }; }'")
    (got,) = tools.run(own.a, SYNS)
    answered, _ = read(got)
    assert 0 < answered.count(0) < 16
    assert set(dead_ports(row._read(FLOW, (got,)))) <= {number for number, value in enumerate(answered, 1) if not value}


def test_silence_is_a_row_of_zeros(own: Wire, tools: Tools) -> None:
    own.router.sh("nft 'table inet t { chain f { type filter hook forward priority 0; drop; }; }'")
    pings, syns = tools.run(own.a, PINGS, SYNS)
    assert (read(pings)[0], read(syns)[0]) == ([0] * 20, [0] * 16)


def test_without_the_tools_it_is_unknown(own: Wire, tools: Tools) -> None:
    pings, syns = lacking(tools, "ping", "bash", "nc", "curl").run(own.a, PINGS, SYNS)
    for got in (pings, syns):
        with pytest.raises(NotSeen):
            row._read(FLOW, (got,))
