"""netchecks/trace/indexing.py: an index leaves out no frame that belongs to a trace, and spares it the others'."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN

from netchecks.models.routes import Lookup
from netchecks.models.subjects import Flow
from netchecks.trace import sending
from netchecks.trace.indexing import Row, index
from netchecks.trace.marks import mark_of
from netchecks.trace.recognising import known, sighting
from tests.suites.vmhost.given import flow_of

FLOWS = [replace(flow_of(protocol), name=f"{protocol}-{number}", target=ip_address(f"10.20.1.{number}"))
         for protocol in ("icmp", "tcp", "udp", "arp") for number in range(1, 9)]


def _frames(flow: Flow) -> list[bytes]:
    """Give all that may be seen of a flow: its packets, also tagged and in a tunnel, answers, an error, a question and its answer."""
    ether = Ether(src="02:00:00:00:00:66", dst="02:00:00:00:00:99")
    asked = [bytes(ether / ARP(op=op, pdst=str(flow.target), psrc=str(flow.target))) for op in (1, 2)]
    if flow.protocol == "arp":
        return asked
    mark, sent = mark_of(flow.name), sending.packets(flow, mark_of(flow.name), Lookup("unicast", "br0", "", "10.20.0.11")).packets
    first = IP(sent[0])
    back = {"icmp": ICMP(type=0) / mark.payload(0), "tcp": TCP(sport=22, dport=mark.port, seq=9, ack=mark.sequence + 1, flags="SA"),
            "udp": UDP(sport=53, dport=mark.port) / b"whatever"}[flow.protocol]
    return [
        *asked, *(bytes(ether / IP(one)) for one in sent), bytes(ether / Dot1Q(vlan=7) / first),
        bytes(ether / IP() / UDP(dport=4789) / VXLAN(vni=7) / ether / first), bytes(ether / IP(src=str(flow.target)) / back),
        bytes(ether / IP() / ICMP(type=3, code=1) / bytes(first)[:28]),
    ]


@pytest.fixture(scope="module")
def rows() -> tuple[Row, ...]:
    return tuple((float(number), "eth0", True, data) for number, data in enumerate(data for flow in FLOWS for data in _frames(flow)))


@pytest.mark.parametrize("flow", FLOWS, ids=str)
def test_what_belongs_to_a_trace_is_found(flow: Flow, rows: tuple[Row, ...]) -> None:
    mark = mark_of(flow.name)
    ends = known(flow, mark, (row[3] for row in rows))
    belongs = [row for row in rows if sighting(flow, mark, row[3], ends) is not None]
    some = list(index(rows).of(flow, mark))
    assert belongs == [row for row in some if sighting(flow, mark, row[3], ends) is not None]
    assert len(belongs) >= (2 if flow.protocol == "arp" else 8)
    assert len(some) < len(rows) / 3


def test_it_is_made_once_for_a_capture(rows: tuple[Row, ...]) -> None:
    assert index(rows) is index(rows)
    assert index(rows[:-1] + rows[-1:]) is not index(rows)
    assert list(index(()).of(FLOWS[0], mark_of("x"))) == []
