"""Whatever frames and datagrams come back, a probe's reader gives a value or a reason: they are written by strangers."""

from __future__ import annotations

import struct
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netchecks.errors import NotSeen
from netchecks.models.answers import Answer
from netchecks.models.subjects import Attachment, Connection, Flow, Interface, Network, Node, Subnet, Vm
from netchecks.packet_line import packet_line
from netchecks.plan import probe_for
from netchecks.probe import Got

NODE = Node("n1", Connection("local"), names_inside=("gw.example",))
LAN = Network("lan", "switching", (Attachment(NODE, "br0", "eth0"),), (Subnet(ip_network("192.0.2.0/24")),))
VM = Vm("vm42", NODE, "vm42")
NIC = Interface("vm42", VM, LAN, "52:54:00:00:00:42", (ip_address("192.0.2.42"), ip_address("fd00::42")))


def flow(protocol: Any, target: str) -> Flow:
    return Flow(f"{protocol}-{target}", NODE, LAN, protocol, ip_address(target), NIC)


ARP, NDP = flow("arp", "192.0.2.42"), flow("ndp", "fd00::42")


def read(subject: Any, fact: str, got: tuple[Got, ...]) -> Any:
    probe = probe_for(fact, subject)
    assert probe is not None
    return probe.read(subject, got)


def captured(*frames: bytes, outgoing: bool = False) -> tuple[Got, ...]:
    packets = tuple((0.1, "br0", outgoing, data) for data in frames)
    return Got("captured", packets=packets), Got("sent", sent=1), Got("sent", sent=1), Got("sent", sent=1)


def arp_frame(operation: int = 2, sender: str = "192.0.2.42", mac: str = "525400000042", head: bytes = b"\0\1\x08\0\6\4") -> bytes:
    ether = bytes.fromhex("020000000011" + mac) + b"\x08\x06"
    return ether + head + struct.pack("!H", operation) + bytes.fromhex(mac) + ip_address(sender).packed + bytes(6) + ip_address("192.0.2.1").packed


def advertisement(target: str = "fd00::42", option: bytes = b"\2\1\x52\x54\0\0\0\x42", length: int | None = None) -> bytes:
    body = struct.pack("!BBHI", 136, 0, 0, 0x60000000) + ip_address(target).packed + option
    header = struct.pack("!IHBB", 6 << 28, len(body) if length is None else length, 58, 255) + ip_address("fd00::42").packed + ip_address("fd00::1").packed
    return bytes.fromhex("020000000011525400000042") + b"\x86\xdd" + header + body


def test_a_right_answer_is_read() -> None:
    answer = read(ARP, "answers", captured(arp_frame()))
    assert (answer.outcome, answer.replies[0].mac) == ("answered", "52:54:00:00:00:42")
    answer = read(NDP, "answers", captured(advertisement()))
    assert (answer.outcome, answer.replies[0].mac) == ("answered", "52:54:00:00:00:42")


@pytest.mark.parametrize("end", range(0, 42, 3))
def test_a_cut_answer_breaks_nothing(end: int) -> None:
    assert isinstance(read(ARP, "answers", captured(arp_frame()[:end])), Answer)
    assert isinstance(read(NDP, "answers", captured(advertisement()[:end + 40])), Answer)


@pytest.mark.parametrize("head", [b"\0\1\x08\0\x08\4", b"\0\1\x08\0\0\0", b"\0\x20\x08\0\6\4", b"\0\1\x86\xdd\6\x10", b"\xff" * 6, b"\0\1\x08\0\xff\xff"])
def test_an_arp_of_another_kind_breaks_nothing(head: bytes) -> None:
    assert isinstance(read(ARP, "answers", captured(arp_frame(head=head))), Answer)


@pytest.mark.parametrize("option", [b"", b"\2\0" + bytes(6), b"\2\1", b"\2\xff" + bytes(6), b"\1\1" + bytes(6), b"\x0e\1" + bytes(6), b"\2\2" + bytes(14), b"\xff" * 64])
def test_an_advertisement_of_another_kind_breaks_nothing(option: bytes) -> None:
    for length in (None, 0, 8, 24, 65535):
        assert isinstance(read(NDP, "answers", captured(advertisement(option=option, length=length))), Answer)


FRAMES = st.binary(max_size=120) | st.builds(lambda tail: arp_frame()[:22] + tail, st.binary(max_size=60)) | st.builds(
    lambda at, tail: arp_frame()[:at] + tail, st.integers(14, 42), st.binary(max_size=60),
) | st.builds(lambda at, tail: advertisement()[:at] + tail, st.integers(14, 86), st.binary(max_size=80)) | st.builds(
    lambda at, byte: advertisement()[:at] + byte + advertisement()[at + 1:], st.integers(14, 85), st.binary(min_size=1, max_size=1),
) | st.builds(lambda at, byte: arp_frame()[:at] + byte + arp_frame()[at + 1:], st.integers(14, 41), st.binary(min_size=1, max_size=1))


@given(st.lists(FRAMES, max_size=4), st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_frames_are_an_answer(frames: list[bytes], outgoing: bool) -> None:
    for one in (ARP, NDP):
        answer = read(one, "answers", captured(*frames, outgoing=outgoing))
        assert isinstance(answer, Answer)
        if outgoing:
            assert answer.outcome == "silent", "our own frames are no answer"


@given(FRAMES)
@settings(max_examples=300, deadline=None)
def test_any_frame_is_one_line_of_a_report(frame: bytes) -> None:
    text = packet_line(frame)
    assert text
    assert text.isprintable()


RESPONSE = bytes.fromhex("1234818000010001000000000267770765786d61706c650000010001c00c000100010000003c0004c0000201")


@given(st.binary(max_size=200) | st.builds(lambda at, noise: RESPONSE[:at] + noise + RESPONSE[at + len(noise):], st.integers(0, 50), st.binary(max_size=12)))
@settings(max_examples=300, deadline=None)
@example(RESPONSE)
@example(RESPONSE[:12])
@example(b"\0\0\x80\0" + b"\xff" * 8 + b"\xc0\x0c" * 100)
def test_any_datagram_is_an_answer_of_the_resolver(data: bytes) -> None:
    got = Got("answered", target="192.0.2.53", packets=((0.1, "udp:0", False, data),))
    (answer,) = read(NODE, "name_answers", (got,))
    assert answer.rcode >= -1
    assert all(isinstance(address, str) for address in answer.addresses)


def test_a_right_response_is_read() -> None:
    (answer,) = read(NODE, "name_answers", (Got("answered", target="192.0.2.53", packets=((0.1, "udp:0", False, RESPONSE),)),))
    assert (answer.rcode, answer.addresses, answer.error) == (0, ("192.0.2.1",), "")


@pytest.mark.parametrize("outcome", ["denied", "failed"])
def test_what_was_not_done_is_a_reason(outcome: str) -> None:
    for subject, fact in ((ARP, "answers"), (NDP, "answers"), (flow("icmp", "192.0.2.42"), "answers"), (flow("tcp", "192.0.2.42"), "answers")):
        with pytest.raises(NotSeen):
            read(subject, fact, (Got(outcome, "why"),) * 4)
