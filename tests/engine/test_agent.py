"""The agent: real frames and sockets between network namespaces, on every Python that is here."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

import pytest

from netchecks import send
from netchecks.errors import NotSeen, Why
from netchecks.probe import Action, Ask, Capture, Connect, Datagram, Echo, Frames, Got, Series
from tests.engine import namespaces
from tests.engine.conftest import commands_with, wait
from tests.engine.namespaces import Namespace, Wire

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

ARP, IPV4, IPV6, LLDP = 0x0806, 0x0800, 0x86DD, 0x88CC
ICMPV6, UDP = 58, 17


def pythons() -> list[str]:
    """Give each Python 3 that is here, one of each version."""
    homes = [Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"]
    candidates = [*(str(path) for home in homes for path in home.glob("3.*/bin/python3")), *filter(None, [shutil.which("python3")]), sys.executable]
    found = {}
    for python in candidates:
        done = subprocess.run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found.setdefault(done.stdout.strip(), python)
    return [found[version] for version in sorted(found, key=lambda version: tuple(map(int, version.split("."))))]


OLDEST = pythons()[0]


@pytest.fixture(scope="module")
def net() -> Iterator[Wire]:
    """Two hosts and a router, for all tests that change nothing there."""
    with namespaces.wire() as made:
        yield made


@pytest.fixture
def own() -> Iterator[Wire]:
    """Two hosts and a router, for one test."""
    with namespaces.wire() as made:
        yield made


def start(namespace: Namespace, *actions: Action, seconds: float = 0.5, python: str = OLDEST, prefix: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    """Start the agent as the script does: its text on stdin."""
    text, _ = send.program({"ask": Ask(tuple(actions), seconds)})
    process = subprocess.Popen(
        [*namespace.wrap(*prefix, python, "-")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
    )
    assert process.stdin
    process.stdin.write(text.encode())
    process.stdin.close()
    process.stdin = None
    return process


def finish(process: subprocess.Popen[bytes], *actions: Action) -> tuple[Got, ...]:
    """Give what the agent says of each action."""
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, b"")
    return send.split(send.layout({"ask": Ask(tuple(actions))}), stdout).got["ask"]


def run(namespace: Namespace, *actions: Action, seconds: float = 0.5, python: str = OLDEST, prefix: tuple[str, ...] = ()) -> tuple[Got, ...]:
    return finish(start(namespace, *actions, seconds=seconds, python=python, prefix=prefix), *actions)


def echo(target: str, size: int = 56, count: int = 1, *, fragment: bool = True) -> Echo:
    """Make an echo request with a cookie of its own."""
    cookie = secrets.token_bytes(16)
    six = ":" in target
    message = struct.pack("!BBHHH", 128 if six else 8, 0, 0, 7, 1) + cookie + bytes(size - 16)
    if not six:
        message = message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
    return Echo(ip_address(target), message, cookie, count, fragment)


def checksum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


# -- every Python ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("python", pythons(), ids=lambda path: Path(path).parts[-3])
def test_it_runs_on_every_python(net: Wire, python: str) -> None:
    actions = (
        Capture("wire", (ARP, IPV6)), Frames("wire", (frame(ARP, b"x" * 46),)), echo("192.0.2.2"), echo("fd00:a::2"),
        Connect(ip_address("192.0.2.2"), 9, 1.0), Datagram(ip_address("fd00:a::2"), 9, b"x", 1.0),
    )
    got = run(net.a, *actions, python=python)
    assert [one.outcome for one in got] == ["captured", "sent", "answered", "answered", "refused", "refused"]
    assert [data[12:14] for _, _, outgoing, data in got[0].packets if outgoing and data[14:] == b"x" * 46] == [b"\x08\x06"]


def test_the_oldest_python_here_is_said() -> None:
    """The agent promises 3.6: where only newer ones are, this shows what was tried."""
    done = subprocess.run([OLDEST, "-c", "import sys; print(sys.version_info >= (3, 6))"], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


# -- captures --------------------------------------------------------------------------------------------------------


def frame(ethertype: int, payload: bytes, next_header: int = ICMPV6) -> bytes:
    """Make a broadcast frame; of IPv6 with a header that has this next header."""
    head = bytes.fromhex("ffffffffffff020000000099") + ethertype.to_bytes(2, "big")
    if ethertype == IPV6:
        head += struct.pack("!IHBB", 6 << 28, len(payload), next_header, 1) + ip_address("fe80::99").packed + ip_address("ff02::1").packed
    return head + payload


EVERY = [(ARP, 0), (IPV4, 0), (IPV6, ICMPV6), (IPV6, UDP), (IPV6, 0), (LLDP, 0), (0x8100, 0), (0xFFFF, 0), (0x0027, 0), (0x86DC, 0), (0x86DE, 0)]


@pytest.mark.parametrize(("ethertypes", "kept"), [
    ((ARP,), {(ARP, 0)}), ((IPV6,), {(IPV6, ICMPV6)}), ((ARP, IPV6), {(ARP, 0), (IPV6, ICMPV6)}), ((IPV6, ARP), {(ARP, 0), (IPV6, ICMPV6)}),
    ((IPV4, ARP, LLDP), {(IPV4, 0), (ARP, 0), (LLDP, 0)}), ((IPV4, IPV6, ARP, LLDP), {(IPV4, 0), (IPV6, ICMPV6), (ARP, 0), (LLDP, 0)}), ((), set()),
], ids=str)
def test_the_filter_keeps_what_was_asked_for(net: Wire, ethertypes: tuple[int, ...], kept: set[tuple[int, int]]) -> None:
    cookie = secrets.token_bytes(8)
    actions = (Capture("wire", ethertypes),)
    process = start(net.a, *actions, seconds=1.0)
    assert listens(net.a)
    namespaces.send(net.router, "left", [frame(kind, cookie + bytes([number]) + bytes(40), header) for number, (kind, header) in enumerate(EVERY)])
    (got,) = finish(process, *actions)
    found = {EVERY[data[data.index(cookie) + 8]] for _, _, outgoing, data in got.packets if cookie in data and not outgoing}
    assert (found, got.dropped) == (kept, 0)


def listens(namespace: Namespace) -> bool:
    """Wait until somebody captures in a namespace."""
    bound = "0003"  # ETH_P_ALL; before that a socket has none
    return bool(wait(lambda: bound in [line.split()[3] for line in namespace.sh("cat /proc/net/packet").splitlines()], 20))


def test_frames_are_told_with_direction_time_and_at_most_320_bytes(net: Wire) -> None:
    sent = [frame(ARP, bytes([number]) * 1400) for number in range(3)]
    actions = (Capture("wire", (ARP,)), Frames("wire", tuple(sent), 0.1, 0.2))
    capture, frames = run(net.a, *actions, seconds=1.0)
    assert (frames.outcome, frames.sent) == ("sent", 3)
    mine = [(at, device, data) for at, device, outgoing, data in capture.packets if outgoing and data[6:12] == sent[0][6:12]]
    assert [data for _, _, data in mine] == [one[:320] for one in sent]
    assert [device for _, device, _ in mine] == ["wire"] * 3
    times = [at for at, _, _ in mine]
    assert times[0] >= 0.1
    assert all(later - earlier >= 0.19 for earlier, later in pairwise(times))


def test_a_frame_whose_checksum_is_still_to_be_computed_is_told(net: Wire) -> None:
    """A veth leaves TCP's to who takes the frame; ping's is there at once."""
    capture = Capture("wire", (IPV4,))
    got, *_ = run(net.a, capture, Connect(ip_address("192.0.2.2"), 9, 0.3), echo("192.0.2.2"))
    left = {protocol: {(at, data) for at, _, outgoing, data in got.packets if outgoing and data[23] == protocol} for protocol in (1, 6)}
    assert got.unfinished is not None
    assert left[6]
    assert left[6] <= got.unfinished
    assert left[1]
    assert not left[1] & got.unfinished


def test_a_frame_has_the_time_when_it_came_however_late_it_is_read(net: Wire) -> None:
    """A busy node stops us for half a second: what came meanwhile came then, and at the same time in each capture."""
    prefix = b"\xd1\x07\x5a\xc3"
    actions = (Capture("wire", (IPV6,)), Capture("wire", prefix=prefix))
    marked = frame(IPV6, b"\x80\0" + bytes(6) + prefix + bytes(12))  # an ICMPv6 echo, which both keep
    process = start(net.a, *actions, seconds=2.0)
    assert listens(net.a)
    process.send_signal(signal.SIGSTOP)
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    namespaces.send(net.router, "left", [marked])
    after = time.clock_gettime(time.CLOCK_BOOTTIME)
    time.sleep(0.5)
    process.send_signal(signal.SIGCONT)
    stdout, _ = process.communicate(timeout=60)
    said = send.split(send.layout({"ask": Ask(actions)}), stdout)
    times = [[at for at, _, outgoing, data in got.packets if not outgoing and data == marked] for got in said.got["ask"]]
    assert times[0] == times[1]
    assert len(times[0]) == 1
    assert before <= said.began + times[0][0] <= after


def test_nothing_is_sent_once_it_was_answered(net: Wire) -> None:
    """``unless``: whoever has answered is not asked again."""
    answer = frame(ARP, b"answer" + bytes(40))
    actions = (Capture("wire", (ARP,)), Frames("wire", (frame(ARP, bytes(46)),), 4.0, unless=((14, b"answer"),)))
    process = start(net.a, *actions, seconds=0.5)
    assert listens(net.a)
    namespaces.send(net.router, "left", [answer])
    got = finish(process, *actions)
    assert (got[1].outcome, got[1].sent) == ("not needed", 0)


def test_our_own_frame_is_no_answer(net: Wire) -> None:
    answer = frame(ARP, b"answer" + bytes(40))
    unless = ((14, b"answer"),)
    actions = (Capture("wire", (ARP,)), Frames("wire", (answer,)), Frames("wire", (answer,), 0.3, unless=unless), Capture("lo", (ARP,)))
    got = run(net.a, *actions)
    assert [one.outcome for one in got] == ["captured", "sent", "sent", "captured"]


def test_captures_of_one_device_are_shared(net: Wire) -> None:
    """Two asks for one device with other ethertypes: each sees what both asked for."""
    actions = (Capture("wire", (ARP,)), Capture("wire", (LLDP,)), Frames("wire", (frame(ARP, bytes(46)), frame(LLDP, bytes(46)))))
    first, second, _ = run(net.a, *actions)
    for got in (first, second):
        assert {data[12:14].hex() for _, _, _, data in got.packets} >= {"0806", "88cc"}


def test_a_device_that_is_not_there_fails_each_that_asks(net: Wire) -> None:
    got = run(net.a, Capture("nowhere", (ARP,)), Capture("nowhere", (ARP,)), Frames("nowhere", (frame(ARP, bytes(46)),)), echo("192.0.2.2"))
    assert [one.outcome for one in got] == ["failed", "failed", "failed", "answered"]
    assert all("No such device" in one.error for one in got[:3])
    for one in got[:3]:
        with pytest.raises(NotSeen) as told:
            send.check((one,))
        assert told.value.why is Why.FAILED


def test_a_device_that_is_down_says_so(own: Wire) -> None:
    own.a.sh("ip link set wire down")
    got = run(own.a, Capture("wire", (ARP,)), Frames("wire", (frame(ARP, bytes(46)),)))
    assert (got[1].outcome, got[1].sent) == ("failed", 0)
    assert "Network is down" in got[1].error


FLOOD = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
frame = bytes.fromhex(sys.argv[2])
for _ in range(int(sys.argv[3])):
    s.send(frame)
"""


def test_a_flood_is_bounded_and_said(own: Wire) -> None:
    actions = (Capture("wire", (ARP,)), echo("192.0.2.2"))
    process = start(own.a, *actions, seconds=4.0)
    assert listens(own.a)
    own.router.run("python3", "-c", FLOOD, "left", frame(ARP, bytes(300)).hex(), "20000")
    capture, answer = finish(process, *actions)
    assert len(capture.packets) == 5000
    assert len(capture.packets) + capture.dropped == pytest.approx(20000, abs=50), "kept and dropped are all that came"
    assert answer.outcome == "answered"


def test_an_endless_flood_does_not_keep_it_from_its_end(own: Wire) -> None:
    actions = (Capture("wire", (ARP,)), Frames("wire", (frame(LLDP, bytes(46)),), 0.5))
    flood = subprocess.Popen(own.router.wrap("python3", "-c", FLOOD, "left", frame(ARP, bytes(60)).hex(), "100000000"))
    try:
        began = time.monotonic()
        capture, frames = run(own.a, *actions, seconds=1.0)
        assert time.monotonic() - began < 15
        assert len(capture.packets) <= 5000
        assert capture.dropped > 0
        assert frames.outcome == "sent"
    finally:
        flood.kill()
        flood.wait()


# -- sockets ---------------------------------------------------------------------------------------------------------

SERVE = """
import socket, sys
def bound(kind, port):
    s = socket.socket(socket.AF_INET6, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("::", port))
    return s
tcp, udp = bound(socket.SOCK_STREAM, 8080), bound(socket.SOCK_DGRAM, 5353)
tcp.listen(16)
print("ready", flush=True)
while True:
    data, where = udp.recvfrom(2048)
    for _ in range(int(sys.argv[1])):
        udp.sendto(b"got " + data, where)
"""


@pytest.fixture(scope="module")
def served(net: Wire) -> Iterator[Wire]:
    """Host b listens on TCP 8080 and answers on UDP 5353."""
    with subprocess.Popen(net.b.wrap("python3", "-c", SERVE, "1"), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        assert server.stdout.readline() == "ready\n"
        yield net
        server.kill()


B = {4: ip_address("198.51.100.3"), 6: ip_address("fd00:b::3")}
ROUTER = {4: "192.0.2.2", 6: "fd00:a::2"}


@pytest.mark.parametrize("family", [4, 6])
def test_answered_and_refused(served: Wire, family: int) -> None:
    target = B[family]
    got = run(served.a, echo(str(target)), Connect(target, 8080), Connect(target, 8081), Datagram(target, 5353, b"hello"), Datagram(target, 5354, b"hello"))
    assert [one.outcome for one in got] == ["answered", "answered", "refused", "answered", "refused"]
    assert [one.sent for one in got[:4]] == [1, 1, 1, 1]
    assert [data for _, _, _, data in got[3].packets] == [b"got hello"]
    assert got[4].error.startswith("Connection refused (from"), "who said it is told"
    assert str(target) in got[4].error
    assert got[3].target == str(target)


@pytest.mark.parametrize("family", [4, 6])
def test_silent(own: Wire, family: int) -> None:
    """The way back leads nowhere: no error reaches the sender."""
    own.b.sh("ip route add blackhole 192.0.2.0/24; ip -6 route add blackhole fd00:a::/64")
    target = B[family]
    began = time.monotonic()
    got = run(own.a, echo(str(target), count=2), Connect(target, 8080, 1.0), Datagram(target, 9, b"x", 1.0))
    assert [one.outcome for one in got] == ["silent", "silent", "silent"]
    assert [one.sent for one in got] == [2, 1, 2]
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("family", [4, 6])
def test_unreachable_and_who_said_it(own: Wire, family: int) -> None:
    own.router.sh("ip route add unreachable 203.0.113.0/24; ip -6 route add unreachable 2001:db8:7::/64")
    own.router.sh("sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0")  # Linux tells one host 2 or 3 times, then waits
    target = ip_address({4: "203.0.113.7", 6: "2001:db8:7::7"}[family])
    # Linux forgets an ICMP error that comes while connect() still has the socket locked: a later SYN, after 1 s and after 3, tells it
    got = run(own.a, echo(str(target)), Connect(target, 8080, 6.0), Datagram(target, 9, b"x", 2.0))
    assert [one.outcome for one in got] == ["unreachable"] * 3
    assert {re.search(r"\(from ([0-9a-f:.]+)", one.error)[1] for one in got} == {ROUTER[family]}  # type: ignore[index]  # else it fails


@pytest.mark.parametrize("family", [4, 6])
def test_no_route_is_said_by_this_machine(own: Wire, family: int) -> None:
    own.a.sh("ip route del default; ip -6 route del default")
    target = B[family]
    # Linux forgets an ICMP error that comes while connect() still has the socket locked: a later SYN, after 1 s and after 3, tells it
    got = run(own.a, echo(str(target)), Connect(target, 8080, 6.0), Datagram(target, 9, b"x", 2.0))
    assert [one.outcome for one in got] == ["unreachable"] * 3
    assert {one.error for one in got} == {"Network is unreachable"}


def test_a_neighbour_that_does_not_answer_is_unreachable(net: Wire) -> None:
    (got,) = run(net.a, echo("192.0.2.77", count=4))
    assert (got.outcome, "No route to host" in got.error) == ("unreachable", True)


@pytest.mark.parametrize("family", [4, 6])
def test_too_big_and_who_said_it(own: Wire, family: int) -> None:
    own.router.sh("ip link set right mtu 1400")
    size = 1500 - {4: 28, 6: 48}[family]
    got = run(own.a, echo(str(B[family]), size, 2, fragment=False), echo(str(B[family]), size + 1, fragment=False), echo(str(B[family]), 1000, fragment=False))
    assert [one.outcome for one in got] == ["too_big", "too_big", "answered"]
    assert got[0].error == f"Message too long (from {ROUTER[family]}, mtu 1400)"
    assert got[1].error.startswith("Message too long (from this machine, mtu 1")


def test_a_large_echo_that_may_be_fragmented_is_answered(net: Wire) -> None:
    assert [one.outcome for one in run(net.a, echo("198.51.100.3", 4000), echo("fd00:b::3", 4000))] == ["answered", "answered"]


def test_many_answers_to_one_datagram_are_one(own: Wire) -> None:
    with subprocess.Popen(own.b.wrap("python3", "-c", SERVE, "20000"), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        assert server.stdout.readline() == "ready\n"
        (got,) = run(own.a, Datagram(B[4], 5353, b"x" * 1000, 2.0), seconds=2.0)
        server.kill()
    assert (got.outcome, len(got.packets)) == ("answered", 1)


#: An ICMP packet without a header of its own, answers with somebody else's cookie, and a request with the right one.
NOISE = """
import socket, sys, time
target = sys.argv[1]
s = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_RAW, 58 if ":" in target else 1)
until = time.monotonic() + 3
while time.monotonic() < until:
    for data in (b"", bytes([0]), bytes([129]), bytes([0]) + bytes(40), bytes([129]) + bytes(40)):
        try:
            s.sendto(data, (target, 0))
        except OSError:
            pass
    time.sleep(0.01)
"""


@pytest.mark.parametrize(("family", "source"), [(4, "192.0.2.1"), (6, "fd00:a::1")])
def test_a_lying_target_is_not_believed_and_breaks_nothing(own: Wire, family: int, source: str) -> None:
    own.b.sh("sysctl -qw net.ipv4.icmp_echo_ignore_all=1 net.ipv6.icmp.echo_ignore_all=1")
    with subprocess.Popen(own.b.wrap("python3", "-c", NOISE, source)) as noise:
        got = run(own.a, echo(str(B[family]), count=2), echo(ROUTER[family]), seconds=1.0)
        noise.kill()
    assert [one.outcome for one in got] == ["silent", "answered"]


# -- without rights --------------------------------------------------------------------------------------------------

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@pytest.fixture(scope="module")
def python() -> str:
    """A Python that nobody may run."""
    for candidate in ("/usr/bin/python3", sys.executable):
        if subprocess.run([*NOBODY, candidate, "-c", ""], check=False, capture_output=True).returncode == 0:
            return candidate
    pytest.skip("no Python that an unprivileged user can run")


def test_frames_and_captures_need_rights(net: Wire, python: str) -> None:
    got = run(net.a, Capture("wire", (ARP,)), Capture("wire", (ARP,)), Frames("wire", (frame(ARP, bytes(46)),)), Connect(B[4], 9, 1.0), python=python, prefix=NOBODY)
    assert [one.outcome for one in got] == ["denied", "denied", "denied", "refused"]
    for one in got[:3]:
        with pytest.raises(NotSeen) as told:
            send.check((one,))
        assert told.value.why is Why.NO_PERMISSION


def test_without_rights_an_icmp_socket_of_the_kernel_s_serves(own: Wire, python: str) -> None:
    own.a.sh("sysctl -qw net.ipv4.ping_group_range='0 2147483647'; ip route add unreachable 203.0.113.0/24")
    own.router.sh("ip link set right mtu 1400")
    actions = (echo("198.51.100.3"), echo("fd00:b::3"), echo("203.0.113.7"), echo("198.51.100.3", 1472, 2, fragment=False))
    got = run(own.a, *actions, python=python, prefix=(*NOBODY, "--no-new-privs"))
    assert [one.outcome for one in got] == ["answered", "answered", "unreachable", "too_big"]
    assert "mtu 1400" in got[3].error


def test_without_any_icmp_socket_the_node_s_ping_serves(own: Wire, python: str) -> None:
    """ping has the right by its file: setuid or a capability."""
    own.router.sh("ip route add unreachable 203.0.113.0/24; ip link set right mtu 1400")
    own.b.sh("ip route add blackhole 192.0.2.7/32; sysctl -qw net.ipv6.icmp.echo_ignore_all=1")
    own.a.sh("sysctl -qw net.ipv4.ping_group_range='1 0'")
    if own.a.run(*NOBODY, "ping", "-c1", "-W2", "198.51.100.3", check=False).returncode:
        pytest.skip("ping has no right of its own here")
    actions = (echo("198.51.100.3"), echo("fd00:b::3"), echo("203.0.113.7"), echo("198.51.100.3", 1472, 1, fragment=False))
    got = run(own.a, *actions, python=python, prefix=NOBODY, seconds=1.0)
    assert [one.outcome for one in got] == ["answered", "silent", "unreachable", "too_big"]
    assert all(one.error.startswith("ping: ") for one in got)


def test_without_any_way_to_ping_nothing_is_claimed(own: Wire, python: str) -> None:
    own.a.sh("sysctl -qw net.ipv4.ping_group_range='1 0'")
    for prefix in ((*NOBODY, "--no-new-privs"), (*NOBODY, "env", "PATH=/nonexistent")):
        (got,) = run(own.a, echo("198.51.100.3"), python=python, prefix=prefix)
        assert got.outcome == "failed", got
        with pytest.raises(NotSeen) as told:
            send.check((got,))
        assert told.value.why is Why.FAILED
        assert "ping" in told.value.detail


# -- its end ---------------------------------------------------------------------------------------------------------


def test_it_ends_when_the_one_who_started_it_ends(net: Wire, tmp_path: Path) -> None:
    mark = f"mark-{secrets.token_hex(8)}"
    text, _ = send.program({"ask": Ask((Capture("wire", (ARP,)),), 60.0)})
    (tmp_path / "agent").write_text(text)
    line = f"{OLDEST} - {mark} <{tmp_path}/agent & wait"
    with subprocess.Popen(net.a.wrap("sh", "-c", line, mark), stdout=subprocess.PIPE) as parent:
        assert listens(net.a)
        parent.kill()
    assert wait(lambda: not commands_with(mark), 30), commands_with(mark)


def test_it_ends_when_nobody_can_read_its_answer(net: Wire, tmp_path: Path) -> None:
    """The script's folder is removed when the connection is lost; under sudo no signal of the user's need reach it."""
    text, _ = send.program({"ask": Ask((Capture("wire", (ARP,)),), 60.0)})
    output = tmp_path / "output"
    with output.open("wb") as stdout:
        process = subprocess.Popen(net.a.wrap(OLDEST, "-"), stdin=subprocess.PIPE, stdout=stdout)
        assert process.stdin
        process.stdin.write(text.encode())
        process.stdin.close()
        assert listens(net.a)
        output.unlink()
        assert process.wait(30) == 0


def test_it_ends_by_its_own_deadline(net: Wire) -> None:
    """Even when an action of it would take for ever."""
    action = Connect(ip_address("192.0.2.77"), 9, 1000.0)
    silent = Frames("wire", tuple(frame(LLDP, bytes(46)) for _ in range(1000)), 0.0, 1.0)
    began = time.monotonic()
    got = run(net.a, silent, action, seconds=0.0)
    assert time.monotonic() - began < 60
    assert got[0].sent <= send.GRACE + 1
    assert got[0].error == "ended by its own deadline"


def test_nothing_to_do_is_done_at_once(net: Wire) -> None:
    assert run(net.a, seconds=0.0) == ()


def test_loopback_does_not_answer_for_itself(net: Wire) -> None:
    """Our own request, which a raw socket hears on loopback, is no answer."""
    net.a.sh("sysctl -qw net.ipv4.icmp_echo_ignore_all=1")
    try:
        (got,) = run(net.a, echo("127.0.0.1"))
        assert got.outcome == "silent"
    finally:
        net.a.sh("sysctl -qw net.ipv4.icmp_echo_ignore_all=0")
    assert [one.outcome for one in run(net.a, echo("127.0.0.1"), echo("::1"))] == ["answered", "answered"]


# -- network namespaces and devices by their MAC ---------------------------------------------------------------------


def test_it_listens_and_sends_in_another_namespace_and_comes_back(net: Wire) -> None:
    """Of a node's own namespaces, by their names; what it does itself stays where it is."""
    there = net.b.name
    actions = (Capture("wire", (ARP,), namespace=there), Frames("wire", (frame(ARP, b"y" * 46),), 0.1, namespace=there), Capture("wire", (ARP,)),
               Frames("wire", (frame(ARP, b"z" * 46),), 0.1))
    far, sent, near, own = run(net.a, *actions)
    assert (sent.outcome, own.outcome) == ("sent", "sent")
    assert [data[14:] for _, _, outgoing, data in far.packets if outgoing] == [b"y" * 46]
    assert [data[14:] for _, _, outgoing, data in near.packets if outgoing] == [b"z" * 46]
    assert {device for _, device, _, _ in far.packets} == {f"{there}/wire"}


def test_a_namespace_that_is_not_there_fails_alone(net: Wire) -> None:
    lost, found = run(net.a, Capture("wire", (ARP,), namespace="nc-no-such"), Capture("wire", (ARP,)))
    assert (lost.outcome, found.outcome) == ("failed", "captured")
    assert "nc-no-such" in lost.error


def test_sockets_are_opened_in_another_namespace(served: Wire) -> None:
    """The router itself has no way to host b; host a has, and is asked to send."""
    inside = served.a.name
    served.router.sh("ip route add blackhole 198.51.100.3 table 77; ip rule add iif lo lookup 77 priority 77")
    try:
        got = run(
            served.router, replace(echo(str(B[4])), namespace=inside), Connect(B[4], 8080, namespace=inside),
            Datagram(B[4], 5353, b"hello", namespace=inside), Series(B[4], 4, 0.02, namespace=inside), Connect(B[4], 8080, 1.0),
        )
    finally:
        served.router.sh("ip rule del priority 77; ip route flush table 77")
    assert [one.outcome for one in got[:3]] == ["answered"] * 3
    assert json.loads(got[3].packets[0][3])[0] == [1, 1, 1, 1]
    assert got[4].outcome != "answered"


def test_a_socket_in_a_namespace_that_is_not_there_fails_alone(served: Wire) -> None:
    lost, found = run(served.a, Connect(B[4], 8080, namespace="nc-no-such"), Connect(B[4], 8080))
    assert (lost.outcome, found.outcome) == ("failed", "answered")


def test_a_device_is_found_by_its_mac(net: Wire) -> None:
    mac = net.a.sh("cat /sys/class/net/wire/address").strip()
    found, lost = run(net.a, Capture(f"mac:{mac}", (ARP,)), Capture("mac:02:ff:ff:ff:ff:ff", (ARP,)))
    assert (found.outcome, lost.outcome) == ("captured", "failed")
    assert "No such device" in lost.error
