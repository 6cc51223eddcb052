"""netchecks/probes/dns.py: what it asks, and, with the real agent and servers on loopback, what it makes of the answers."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.dns import DNS, DNSQR, DNSRR

import netchecks.observations
from netchecks import send
from netchecks.errors import NotSeen
from netchecks.models.subjects import Connection, Node
from netchecks.models.system import Resolver, Resolvers
from netchecks.observe import OBSERVATIONS
from netchecks.probe import PROBES, Got
from netchecks.probes import dns
from netchecks.seen import By

assert netchecks.observations.__doc__
PROBE = next(probe for probe in PROBES["name_answers"] if probe.of is Node)
HERE = Node("node1", Connection("local"), names_inside=("gw.lab.test",), names_outside=("www.example.org", "gw.lab.test"))


def read(text):
    return OBSERVATIONS["resolvers"].parse(text)


def asked(resolvers):
    return dns.names(HERE, By("resolvers", {"node1": HERE}, lambda _name: resolvers))


def test_only_a_node_with_declared_names_is_asked_about():
    assert PROBE.where(HERE)
    assert not PROBE.where(Node("bare", Connection("local")))


def test_each_server_is_asked_for_each_name_once():
    ask = asked(read("@resolv.conf\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.1\n@upstreams\n@links\n"))
    questions = [(str(action.target), action.port, DNS(action.payload).qd[0].qname) for action in ask.actions]
    assert questions == [
        (server, 53, name) for server in ("10.0.0.1", "10.0.0.2") for name in (b"gw.lab.test.", b"www.example.org.")
    ]
    assert all(DNS(action.payload).rd == 1 and DNS(action.payload).qd[0].qtype == 1 for action in ask.actions)


def test_without_servers_the_c_library_asks_this_machine():
    assert {str(action.target) for action in asked(read("@resolv.conf\n@upstreams\n@links\n")).actions} == {"127.0.0.1"}


def test_the_stub_and_those_behind_it_are_asked_but_none_by_tls():
    recorded = Path(__file__).parents[1] / "observations" / "resolvers" / "ubuntu-stub.out"
    targets = [(str(dns.address_of(server)), server.port) for server in dns.servers_of(read(recorded.read_text()))]
    assert targets == [
        ("127.0.0.53", 53), ("10.0.0.2", 53), ("10.0.0.3", 53), ("fe80::1%ens3", 53), ("10.8.0.1", 5353), ("fd00::1", 53),
    ]


def test_without_the_stub_resolveds_servers_are_nobodys():
    text = "@resolv.conf\nnameserver 10.0.0.1\n@upstreams\nnameserver 10.0.0.9\n@links\nLink 2 (eth0): 10.0.0.9\n"
    assert [str(server.address) for server in dns.servers_of(read(text))] == ["10.0.0.1"]


# -- with the real agent -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def server(answer, delay=0.0):
    """Serve UDP on loopback: ``answer`` makes a reply of a query, or None."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                data, client = sock.recvfrom(2000)
                if not data:
                    return
                reply = answer(DNS(data))
                if reply is not None:
                    threading.Timer(delay, sock.sendto, (reply, client)).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield Resolver(ip_address("127.0.0.1"), sock.getsockname()[1])
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", sock.getsockname())
        thread.join(2)
        sock.close()


def run(resolver):
    ask = asked(Resolvers((resolver,)))
    text, _ = send.program({"key": ask})
    done = subprocess.run([sys.executable, "-"], input=text.encode(), capture_output=True, check=True, timeout=20)
    return PROBE.read(HERE, send.split(send.layout({"key": ask}), done.stdout).got["key"])


def found(query):
    name = query.qd[0].qname
    if name == b"gw.lab.test.":
        answers = [DNSRR(rrname=name, type="CNAME", rdata="a.lab.test."), DNSRR(rrname="a.lab.test.", type="A", rdata="10.20.0.1")]
        return bytes(DNS(id=query.id, qr=1, ra=1, qd=DNSQR(qname=name), an=answers))
    return bytes(DNS(id=query.id, qr=1, ra=1, rcode=3, qd=DNSQR(qname=name)))


def test_answers_are_read_with_their_server_name_code_and_addresses():
    with server(found) as resolver:
        first, second = run(resolver)
    assert (str(first.server), first.name, first.rcode, first.addresses, first.error) == ("127.0.0.1", "gw.lab.test", 0, ("10.20.0.1",), "")
    assert (second.name, second.rcode, second.addresses) == ("www.example.org", 3, ())
    assert 0 <= first.seconds < 10


def test_seconds_count_from_the_first_query():
    with server(found, delay=1.2) as resolver:
        assert all(1.1 < answer.seconds < 10 for answer in run(resolver))


def test_a_port_that_nobody_listens_on_is_refused():
    with server(found) as resolver:
        pass
    assert [(answer.rcode, "refused" in answer.error) for answer in run(resolver)] == [(-1, True)] * 2


def test_silence_ends_after_three_seconds():
    with server(lambda _query: None) as resolver:
        answers = run(resolver)
    assert [(answer.rcode, answer.error) for answer in answers] == [(-1, "silent")] * 2
    assert all(2.9 < answer.seconds < 10 for answer in answers)


@pytest.mark.parametrize("garbage", [b"", b"no dns", b"\0" * 40, b"\x12\x34\x01\x00" + b"\xff" * 30])
def test_what_is_no_response_is_no_answer(garbage):
    answer = PROBE.read(HERE, (Got("answered", target="10.0.0.1", packets=((0.1, "", False, garbage),)),))[0]
    assert (answer.rcode, answer.error) == (-1, "its answer is no DNS message")


def test_a_damaged_record_leaves_the_code():
    whole = found(DNS(id=7, qd=DNSQR(qname="gw.lab.test")))
    for end in range(12, len(whole)):
        answer = PROBE.read(HERE, (Got("answered", target="10.0.0.1", packets=((0.1, "", False, whole[:end]),)),))[0]
        assert answer.rcode == 0


def test_an_agent_that_may_not_send_is_not_seen():
    with pytest.raises(NotSeen, match="needs root"):
        PROBE.read(HERE, (Got("denied", "Operation not permitted", target="10.0.0.1"),))


# -- a question of an instance, on the wire ------------------------------------------------------------------------------


def overheard(*frames, opened=0.1):
    from netchecks.models.answers import Overheard
    from netchecks.probe import Got
    from netchecks.probes.dns import _overheard

    got = Got("captured", packets=tuple((0.1, "br100", False, frame) for frame in frames), opened=opened)
    found = _overheard("compute1", "br100", got, b"\x12\x34")
    assert isinstance(found, Overheard)
    return found.asked, found.answered


def dns_frame(source, destination, identifier=0x1234):
    from scapy.layers.dns import DNS, DNSQR
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether

    return bytes(Ether() / IP(src="10.0.2.24", dst="10.0.2.1") / UDP(sport=source, dport=destination) / DNS(id=identifier, qd=DNSQR(qname="a.example")))


def test_a_question_and_its_answer_are_told_apart_by_who_sends_from_port_53():
    ask, answer = dns_frame(40000, 53), dns_frame(53, 40000)
    assert overheard(ask, answer) == (True, True)
    assert overheard(ask) == (True, False)
    assert overheard() == (False, False)


def test_others_questions_and_what_is_cut_off_are_none_of_it():
    assert overheard(dns_frame(40000, 53, 0x9999), dns_frame(40000, 53)[:40], b"") == (False, False)


def test_where_it_could_not_be_listened_nothing_is_said():
    assert overheard(dns_frame(40000, 53), opened=None) == (None, None)
