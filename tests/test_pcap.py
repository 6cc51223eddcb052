"""Captures as files that Wireshark's readers open: with their times, directions, device, and each frame once."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.utils import RawPcapNgReader

from netchecks import pcap, send
from netchecks.pcap import Framed
from netchecks.probe import Ask, Capture
from netchecks.record import Entry, PlaceRecord

PING = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / Dot1Q(vlan=5) / IP(src="192.0.2.1", dst="192.0.2.2") / ICMP() / b"odd")
BEGAN, BOOTED = 5000.25, (1_790_000_000.0, 1_790_000_000.5)
TCPDUMP = shutil.which("tcpdump", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def read(path):
    """Give (bytes, seconds, direction, device) of each frame; in is 1, out is 2."""
    with RawPcapNgReader(str(path)) as reader:
        return [(data, ((said.tshigh << 32) + said.tslow) / said.tsresol, said.direction, said.ifname.decode()) for data, said in reader]


def test_scapy_reads_what_was_written(tmp_path):
    frames = [Framed(1_790_000_000.123456, True, PING), Framed(1_790_000_001.5, False, PING[:61]), Framed(1_790_000_002.0, False, b"")]
    (tmp_path / "a.pcapng").write_bytes(pcap.pcapng("vm42_net0", frames))
    first, second, third = read(tmp_path / "a.pcapng")
    assert first == (PING, pytest.approx(1_790_000_000.123456, abs=2e-6), 2, "vm42_net0")
    assert second == (PING[:61], 1_790_000_001.5, 1, "vm42_net0")
    assert third[0] == b""


@given(st.lists(st.builds(Framed, st.floats(0, 4e9), st.booleans(), st.binary(max_size=320)), max_size=6), st.text(max_size=15))
@settings(max_examples=50, deadline=None)
def test_any_frames_of_any_device_are_a_whole_file(tmp_path_factory, frames, device):
    path = tmp_path_factory.mktemp("any") / "a.pcapng"
    path.write_bytes(pcap.pcapng(device, frames))
    assert [data for data, *_ in read(path)] == [frame.data for frame in frames]


@pytest.mark.skipif(TCPDUMP is None, reason="no tcpdump here")
def test_tcpdump_reads_what_was_written(tmp_path):
    path = tmp_path / "a.pcapng"
    path.write_bytes(pcap.pcapng("vm42_net0", [Framed(1_790_000_000.123456, True, PING), Framed(1_790_000_001.5, False, PING)]))
    shown = subprocess.run([TCPDUMP, "-ttner", str(path)], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(("1790000000.123456 ", "1790000000.123455 "))
    assert "vlan 5" in lines[0]
    assert "192.0.2.1 > 192.0.2.2: ICMP echo request" in lines[0]


# -- of a record -----------------------------------------------------------------------------------------------------


def place(captures, asks, name="node1", **more):
    """A place whose agent captured that; ``asks``: the captures of each ask."""
    document = {"version": 2, "began": BEGAN, "ended": 2.6, "results": [{"outcome": "", "error": "", "seconds": 0.0, "sent": 0} for one in asks for _ in one]}
    rows = {
        key: {"packets": [[at, out, base64.b64encode(data).decode()] for at, out, data in packets], "opened": 0.01, "error": "", "dropped": 0}
        for key, packets in captures.items()
    }
    stdout = json.dumps(document | {"captures": rows}).encode()
    layout = send.layout({f"ask{number}": Ask(tuple(one)) for number, one in enumerate(asks)})
    made = PlaceRecord(name, booted=BOOTED)
    made.add([Entry(send.KEY, "main", 0, ("python3", "-"), 0, 1.0, 4.0, 8.0, more.get("stdout", stdout), b"", layout)])
    return made


WHOLE, MARKED = Capture("br0", (0x0806,)), Capture("br0", prefix=b"\xd1\x07\x5a\xc3")
OTHER, INSIDE = Capture("eth0", (0x0806,)), Capture("eth0", (0x0806,), namespace="qrouter/1")


def test_each_device_has_a_file_with_each_frame_once_in_order(tmp_path):
    """Two captures of a device may keep a frame, and two asks share a capture."""
    kept = {
        "br0": [(0.2, True, PING), (0.1, False, b"first" * 4)], "br0#marked": [(0.2, True, PING), (0.3, True, PING)],
        "eth0": [(0.2, True, PING)], "qrouter/1/eth0": [(0.2, False, b"inside" * 4)],
    }
    written = pcap.write(tmp_path, place(kept, [[WHOLE, MARKED, OTHER], [WHOLE, MARKED, INSIDE]], "guest:vm42"))
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "guest%3Avm42/br0.pcapng", "guest%3Avm42/eth0.pcapng", "guest%3Avm42/qrouter%2F1%2Feth0.pcapng",
    ]
    began = sum(BOOTED) / 2 + BEGAN
    rows = read(written[0])
    assert [data for data, *_ in rows] == [b"first" * 4, PING, PING]
    assert [(at, direction) for _, at, direction, _ in rows] == [(pytest.approx(began + at, abs=1e-5), way) for at, way in ((0.1, 1), (0.2, 2), (0.3, 2))]


@pytest.mark.parametrize("made", [PlaceRecord("node1"), place({"br0": []}, [[WHOLE]]), place({}, [[WHOLE]], stdout=b"Traceback"), place({}, [])])
def test_a_place_that_captured_nothing_has_no_file(tmp_path, made):
    assert pcap.write(tmp_path, made) == []
    assert list(tmp_path.iterdir()) == []


def test_a_name_never_leaves_the_folder(tmp_path):
    for name in ("../../evil", "..", "."):
        for path in pcap.write(tmp_path / "in" / "frames", place({"../x": [(0.1, True, PING)]}, [[Capture("../x", (0x0806,))]], name)):
            assert path.resolve().is_relative_to((tmp_path / "in" / "frames").resolve())
            assert path.resolve().parent != (tmp_path / "in" / "frames").resolve(), "in a folder of its place"
