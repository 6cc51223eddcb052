"""The script that stands in for the agent without python3: real tools between network namespaces, the same answers as the agent's."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import ARP as Arp
from scapy.layers.l2 import Ether

from netchecks import send
from netchecks.errors import NotSeen, Unreadable, Why
from netchecks.probe import Action, Ask, Capture, Connect, Datagram, Echo, Frames, Got, Lease, Packets
from netchecks.shell_agent.captured import frames_of
from tests.engine import namespaces, test_agent
from tests.engine.conftest import SHELLS, Shell, commands_with, wait
from tests.engine.namespaces import Namespace, Wire
from tests.engine.test_agent import ARP, IPV6, LLDP, checksum, echo, frame
from tests.engine.test_packet_filter import FRAMES, PREFIX, TAGS, _frame

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
needs_tcpdump = pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")

B = {4: ip_address("198.51.100.3"), 6: ip_address("fd00:b::3")}


@dataclass(frozen=True, slots=True)
class Tools:
    """What a node has: a shell, and a folder with all programs of this machine but some."""

    shell: str
    folder: Path
    path: str

    def start(self, namespace: Namespace, *actions: Action, seconds: float = 0.5) -> subprocess.Popen[bytes]:
        """Start the script as a trip does: its text, behind the line that tells the folder, on stdin."""
        text, _ = send.shell_program({"ask": Ask(tuple(actions), seconds)})
        script = self.folder / "script"
        script.write_text(f"d='{self.folder}'\n{text}")
        program = shutil.which(SHELLS[self.shell][1])
        assert program
        argv = [program, *(["sh"] if self.shell == "busybox" else []), "-s"]
        with script.open("rb") as stdin:
            return subprocess.Popen(
                namespace.wrap("setsid", "env", f"PATH={self.path}", *argv), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
            )

    def finish(self, process: subprocess.Popen[bytes], *actions: Action) -> tuple[Got, ...]:
        stdout, stderr = process.communicate(timeout=60)
        assert (process.returncode, stderr) == (0, b"")
        for file in self.folder.iterdir():
            file.unlink()
        return send.split(send.layout({"ask": Ask(tuple(actions))}), stdout).got["ask"]

    def run(self, namespace: Namespace, *actions: Action, seconds: float = 0.5) -> tuple[Got, ...]:
        return self.finish(self.start(namespace, *actions, seconds=seconds), *actions)


def programs(folder: Path, *without: str) -> str:
    """Give a PATH with every program of this machine but Python and these."""
    folder.mkdir()
    for place in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        for program in Path(place).iterdir():
            mine = folder / program.name
            if not program.name.startswith("python") and program.name not in without and not mine.is_symlink():
                mine.symlink_to(program)
    return str(folder)


@pytest.fixture(scope="module")
def all_programs(tmp_path_factory: pytest.TempPathFactory) -> str:
    return programs(tmp_path_factory.mktemp("programs") / "bin")


@pytest.fixture
def tools(tmp_path: Path, all_programs: str) -> Tools:
    (tmp_path / "trip").mkdir()
    return Tools("dash", tmp_path / "trip", all_programs)


def lacking(tools: Tools, *names: str) -> Tools:
    """Give the same tools but these. The script adds the usual folders to its PATH, so they are hidden by what cannot run."""
    return replace(tools, path=programs(tools.folder.parent / f"without-{'-'.join(names)}", *names))


@pytest.fixture(scope="module")
def net() -> Iterator[Wire]:
    with namespaces.wire() as made:
        yield made


@pytest.fixture
def own() -> Iterator[Wire]:
    with namespaces.wire() as made:
        yield made


@pytest.fixture(scope="module")
def served(net: Wire) -> Iterator[Wire]:
    """Host b listens on TCP 8080, without ever closing, and answers on UDP 5353; 203.0.113.9 is silent."""
    net.router.sh("ip route add blackhole 203.0.113.9")
    serve = test_agent.SERVE.replace("listen(16)", "listen(1000)")
    with subprocess.Popen(net.b.wrap("python3", "-c", serve, "1"), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        assert server.stdout.readline() == "ready\n"
        yield net
        server.kill()


def alike(got: Got) -> tuple[object, ...]:
    """What has to be the same whichever way it was done: all but times, and words that only the agent can tell."""
    return (got.outcome, got.sent, got.target, [data for _, _, _, data in got.packets], bool(got.error), got.opened is not None)


# -- every shell, every action -----------------------------------------------------------------------------------------


@needs_root
@needs_tcpdump
@pytest.mark.parametrize("shell", SHELLS)
def test_it_says_what_the_agent_says_with_every_shell(served: Wire, tools: Tools, shell: str) -> None:
    if shutil.which(SHELLS[shell][1]) is None:
        pytest.skip(f"no {shell} here")
    syn = packet(served, "192.0.2.1", "198.51.100.3")
    actions = (
        Capture("wire", (LLDP,)), Capture("nowhere", (ARP,)), Frames("wire", (frame(LLDP, b"x" * 46), frame(LLDP, b"y" * 46)), 0.2, 0.1),
        Frames("nowhere", (frame(LLDP, b"x" * 46),)), Packets(B[4], (syn, syn), 0.1, 0.1), echo("198.51.100.3"), echo("fd00:b::3"),
        echo("fd00:b::3", 4000), Connect(B[4], 8080), Connect(B[6], 8080), Connect(B[4], 8081), Datagram(B[4], 5353, b"he\0llo\xff%s\\n"),
        Datagram(B[6], 5353, b"hello"), Datagram(B[6], 5354, b"hello"), Capture("wire", ()),
    )
    mine = replace(tools, shell=shell).run(served.a, *actions)
    agents = test_agent.run(served.a, *actions)
    assert [one.outcome for one in mine] == [
        "captured", "failed", "sent", "failed", "sent", *["answered"] * 5, "refused", "answered", "answered", "refused", "captured",
    ]
    assert list(map(alike, mine)) == list(map(alike, agents))


def packet(net: Wire, source: str, target: str) -> bytes:
    """Make an echo request with its IP header."""
    del net
    message = echo(target).message
    head = bytes.fromhex("4500") + (20 + len(message)).to_bytes(2, "big") + bytes.fromhex("0001000040010000")
    head += ip_address(source).packed + ip_address(target).packed
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + message


@needs_root
@needs_tcpdump
@pytest.mark.parametrize("tags", TAGS.values(), ids=TAGS)
def test_tcpdump_keeps_what_the_kernel_keeps_for_the_agent(tools: Tools, tags: tuple[object, ...]) -> None:
    """Both listen to the same frames, with tags that the kernel has taken out where they come in, and has not where they leave."""
    frames = tuple(_frame(tags, rest) for rest, _ in FRAMES.values())  # type: ignore[arg-type]  # scapy is not typed
    captures = (
        Capture("wire", (0x0806, IPV6), (67, 68, 546, 547)), Capture("wire", prefix=PREFIX), Capture("wire", prefix=PREFIX, tunnels=True),
        Capture("wire", senders=("02:00:00:00:00:66",)),
    )
    with namespaces.wire() as net:
        agent = test_agent.start(net.a, *captures, seconds=4.0)
        script = tools.start(net.a, *captures, seconds=3.0)
        assert wait(lambda: len(net.a.sh("cat /proc/net/packet").splitlines()) >= 1 + 4 + 2, 60)
        time.sleep(0.3)  # until the script has seen that tcpdump listens
        namespaces.send(net.router, "left", frames)
        namespaces.send(net.a, "wire", frames)
        mine, agents = tools.finish(script, *captures), test_agent.finish(agent, *captures)
    assert all(one.opened is not None and not one.dropped for one in mine)
    for kind, one, other in zip(("whole", "marked", "tunnels", "broadcasts"), mine, agents, strict=True):
        assert _kept(one, frames) == _kept(other, frames), kind
    assert all(_kept(one, frames) for one in mine[:3]), "it is no test of nothing"


def _kept(got: Got, frames: tuple[bytes, ...]) -> set[tuple[bool, bytes]]:
    ours = {data[:320] for data in frames}
    return {(outgoing, data[:320]) for _, _, outgoing, data in got.packets if data[:320] in ours}


@needs_root
@needs_tcpdump
def test_frames_are_told_with_direction_time_and_at_most_320_bytes(net: Wire, tools: Tools) -> None:
    sent = [frame(LLDP, bytes([number]) * 1400) for number in range(3)]
    actions = (Capture("wire", (LLDP,)), Frames("wire", tuple(sent), 0.1, 0.2))
    capture, frames = tools.run(net.a, *actions, seconds=1.0)
    assert [(device, outgoing, data) for _, device, outgoing, data in capture.packets] == [("wire", True, one[:320]) for one in sent]
    assert capture.opened is not None
    for (at, *_), told in zip(capture.packets, frames.times, strict=True):
        assert at == pytest.approx(told, abs=0.1), "both clocks are the same"
    first, second, third = frames.times
    assert capture.opened + 0.05 <= first < second < third


@needs_root
@needs_tcpdump
def test_nothing_is_sent_once_it_was_answered(net: Wire, tools: Tools) -> None:
    answer = frame(LLDP, b"answer" + bytes(40))
    unless = ((14, b"answer"),)
    sends = Frames("wire", (frame(LLDP, bytes(46)),), 2.0, unless=unless)
    actions = (Capture("wire", (LLDP,)), sends, Frames("wire", (answer,), 0.1), replace(sends, at=0.6))
    process = tools.start(net.a, *actions, seconds=2.0)
    said = tools.folder / "agent-s0"
    assert wait(lambda: said.exists() and b"\n3 ok" in said.read_bytes(), 60)
    namespaces.send(net.router, "left", [answer])
    got = tools.finish(process, *actions)
    assert [(one.outcome, one.sent) for one in got[1:]] == [("not needed", 0), ("sent", 1), ("sent", 1)], "our own frame is no answer"


@needs_root
@needs_tcpdump
def test_a_capture_in_a_namespace_and_by_mac(net: Wire, tools: Tools) -> None:
    mac = net.router.sh("cat /sys/class/net/left/address").strip()
    there = net.router.name
    actions = (
        Capture(f"mac:{mac}", (LLDP,), namespace=there), Frames("left", (frame(LLDP, b"x" * 46),), 0.1, namespace=there),
        Capture("mac:02:00:00:00:00:01", (LLDP,)), Capture("left", (LLDP,), namespace="nowhere"),
    )
    got = tools.run(net.a, *actions)
    assert [one.outcome for one in got] == ["captured", "sent", "failed", "failed"]
    assert [(outgoing, data[12:14].hex()) for _, _, outgoing, data in got[0].packets] == [(True, "88cc")]
    assert "No such device" in got[2].error
    assert "nowhere" in got[3].error


@needs_root
@pytest.mark.parametrize("shell", sorted(set(SHELLS) - {"busybox"}))
def test_sockets_are_opened_in_a_namespace(served: Wire, tools: Tools, shell: str) -> None:
    """The router itself has no way to host b; host a has. busybox's own ip knows no namespaces."""
    inside = served.a.name
    served.router.sh("ip route add blackhole 198.51.100.3 table 77; ip rule add iif lo lookup 77 priority 77")
    try:
        got = replace(tools, shell=shell).run(
            served.router, replace(echo(str(B[4])), namespace=inside), Connect(B[4], 8080, namespace=inside),
            Datagram(B[4], 5353, b"hello", namespace=inside), Connect(B[4], 8080, 1.0),
        )
    finally:
        served.router.sh("ip rule del priority 77; ip route flush table 77")
    assert [one.outcome for one in got[:3]] == ["answered"] * 3
    assert got[3].outcome != "answered"


@needs_root
@needs_tcpdump
def test_nothing_becomes_promiscuous(own: Wire, tools: Tools) -> None:
    """It would make a bridge's port take what is not for it, and so mask a fault."""
    process = tools.start(own.a, Capture("wire", (ARP,)), seconds=1.0)
    assert wait(lambda: len(own.a.sh("cat /proc/net/packet").splitlines()) == 3, 60), "two sockets, one each way"
    assert "PROMISC" not in own.a.sh("ip -d link show wire")
    assert "promiscuity 0" in own.a.sh("ip -d link show wire")
    tools.finish(process, Capture("wire", (ARP,)))


@needs_root
@needs_tcpdump
def test_a_flood_is_bounded_and_said(own: Wire, tools: Tools) -> None:
    actions = (Capture("wire", (ARP,)), echo("192.0.2.2"))
    process = tools.start(own.a, *actions, seconds=4.0)
    assert wait((tools.folder / "agent-o0").exists, 60)
    own.router.run("python3", "-c", test_agent.FLOOD, "left", frame(ARP, bytes(300)).hex(), "20000")
    capture, answer = tools.finish(process, *actions)
    assert len(capture.packets) <= 5000
    assert capture.dropped > 0
    assert answer.outcome == "answered"


@needs_root
@needs_tcpdump
def test_what_is_asked_for_by_port_is_kept_whole(net: Wire, tools: Tools) -> None:
    """The message in it is what one wants to read, while marks are in the first 320 bytes."""
    long = bytes(Ether(src="02:00:00:00:00:99", dst="ff:ff:ff:ff:ff:ff") / IP(dst="255.255.255.255") / UDP(sport=68, dport=67) / bytes(900))
    capture, _ = tools.run(net.a, Capture("wire", (LLDP,), (67,)), Frames("wire", (long, frame(LLDP, bytes(900))), 0.1))
    assert [len(data) for _, _, _, data in capture.packets] == [len(long), 320]


@needs_root
def test_a_lease_is_not_taken(net: Wire, tools: Tools) -> None:
    lease = Lease("wire", b"d", b"q", b"l", b"abcd", ("192.0.2.2",), (0, 4), (0, 4))
    (got,) = tools.run(net.a, lease)
    assert (got.outcome, got.sent, reason(got)) == ("impossible", 0, Why.NOT_POSSIBLE)


@needs_root
@needs_tcpdump
def test_captures_beyond_what_a_node_can_bear_are_unknown(own: Wire, tools: Tools) -> None:
    own.a.sh("for n in $(seq 1 15); do ip link add more$n type veth peer name other$n; ip link set more$n up; ip link set other$n up; done")
    devices = [*(f"{name}{number}" for number in range(1, 16) for name in ("more", "other")), "wire"]
    got = tools.run(own.a, *(Capture(device, (LLDP,)) for device in devices), seconds=1.0)
    assert [one.outcome for one in got] == ["captured"] * 24 + ["impossible"] * 7
    assert (got[24].opened, reason(got[24])) == (None, Why.NOT_POSSIBLE)
    assert "24 devices" in got[24].error


# -- what comes back -------------------------------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize("family", [4, 6])
def test_silent(own: Wire, tools: Tools, family: int) -> None:
    own.b.sh("ip route add blackhole 192.0.2.0/24; ip -6 route add blackhole fd00:a::/64")
    target = B[family]
    got = tools.run(own.a, echo(str(target), count=2), Connect(target, 8080, 1.0), Datagram(target, 9, b"x", 2.0))
    assert [(one.outcome, one.sent, one.error) for one in got] == [("silent", 2, ""), ("silent", 1, ""), ("silent", 2, "")]


@needs_root
@pytest.mark.parametrize("family", [4, 6])
def test_unreachable_and_who_said_it(own: Wire, tools: Tools, family: int) -> None:
    own.router.sh("ip route add unreachable 203.0.113.0/24; ip -6 route add unreachable 2001:db8:7::/64")
    own.router.sh("sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0")
    target = ip_address({4: "203.0.113.7", 6: "2001:db8:7::7"}[family])
    got = tools.run(own.a, echo(str(target)), Connect(target, 8080, 4.0), Datagram(target, 9, b"x", 2.0))
    # the kernel hears of a connection's first SYN while it sends it, and so believes the second or third;
    # to a socket that did not ask for all errors the kernel tells of a datagram only that it was refused
    assert [one.outcome for one in got] == ["unreachable", "unreachable", "silent"]
    assert got[0].error.lower().startswith(f"from {test_agent.ROUTER[family]}")


@needs_root
@pytest.mark.parametrize("family", [4, 6])
def test_no_route_is_unreachable(own: Wire, tools: Tools, family: int) -> None:
    own.a.sh("ip route del default; ip -6 route del default")
    got = tools.run(own.a, echo(str(B[family])), Connect(B[family], 8080, 2.0), Datagram(B[family], 9, b"x", 2.0))
    assert [one.outcome for one in got] == ["unreachable"] * 3
    assert all("Network is unreachable" in one.error for one in got)


@needs_root
@pytest.mark.parametrize("family", [4, 6])
def test_too_big_and_who_said_it(own: Wire, tools: Tools, family: int) -> None:
    own.router.sh("ip link set right mtu 1400")
    size = 1500 - {4: 28, 6: 48}[family]
    target = str(B[family])
    first = tools.run(own.a, echo(target, size, 2, fragment=False))  # alone, as the node remembers what it is told
    rest = tools.run(own.a, echo(target, size + 1, fragment=False), echo(target, 1000, fragment=False))
    got = (*first, *rest)
    assert [one.outcome for one in got] == ["too_big", "too_big", "answered"]
    assert got[0].error == f"Message too long (from {test_agent.ROUTER[family]}, mtu 1400)"
    assert got[1].error.startswith("Message too long (from this machine")


# -- other tools, and none -------------------------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize("tool", ["nc", "ncat", "busybox", "curl"])
def test_a_port_is_told_by_whatever_can_connect(served: Wire, tools: Tools, tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} here")
    bare = only(tools, tool)
    silent = ip_address("203.0.113.9")
    got = bare.run(served.a, Connect(B[4], 8080), Connect(B[6], 8080), Connect(B[4], 8081), Connect(B[6], 8081), Connect(silent, 1, 1.0))
    assert [one.outcome for one in got] == ["answered", "answered", "refused", "refused", "silent"]


def only(tools: Tools, tool: str) -> Tools:
    """Give the tools with this one alone of those that connect; busybox' and ncat's as nc."""
    bare = lacking(tools, "bash", "nc", "nc.traditional", "nc.openbsd", "ncat", "curl", "socat")
    program = shutil.which(tool)
    assert program
    (Path(bare.path) / ("curl" if tool == "curl" else "nc")).symlink_to(program)
    return bare


@needs_root
@pytest.mark.parametrize("tool", ["nc", "ncat"])
def test_a_datagram_is_sent_by_nc_without_bash(served: Wire, tools: Tools, tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool} here")
    got = only(tools, tool).run(served.a, Datagram(B[4], 5353, b"he\0llo", 8.0), Datagram(B[6], 5353, b"hello", 8.0), Datagram(B[4], 5354, b"x", 2.0))
    assert [one.outcome for one in got[:2]] == ["answered", "answered"]
    assert [data for one in got[:2] for _, _, _, data in one.packets] == [b"got he\0llo", b"got hello"]
    assert got[2].outcome in {"refused", "silent"}, "not every nc tells"


@needs_root
def test_an_nc_without_udp_is_not_asked(served: Wire, tools: Tools) -> None:
    if "-u" in subprocess.run(["busybox", "nc", "--help"], capture_output=True, text=True, check=False).stderr:
        pytest.skip("busybox' nc knows UDP here")
    (got,) = only(tools, "busybox").run(served.a, Datagram(B[4], 5353, b"x", 2.0))
    assert (got.outcome, reason(got)) == ("impossible", Why.NOT_POSSIBLE)


def reason(got: Got) -> Why:
    with pytest.raises(NotSeen) as told:
        send.check((got,))
    return told.value.why


@needs_root
def test_what_is_not_installed_is_unknown_for_what_needs_it_alone(served: Wire, tools: Tools) -> None:
    actions = (Capture("wire", (ARP,)), Frames("wire", (frame(LLDP, bytes(46)),)), echo("192.0.2.2"), Connect(B[4], 8080), Datagram(B[4], 5353, b"x"))
    every = ("tcpdump", "perl", "ping", "bash", "nc", "nc.traditional", "nc.openbsd", "ncat", "curl", "arping")
    names = {0: ("tcpdump",), 1: ("perl", "arping"), 2: ("ping",), 3: ("bash", "nc", "curl"), 4: ("bash", "nc")}
    for without, missing in ((("tcpdump",), {0}), (("perl", "arping"), {1}), (("ping",), {2}), (every, {0, 1, 2, 3, 4})):
        got = lacking(tools, *without).run(served.a, *actions)
        assert {number for number, one in enumerate(got) if one.outcome == "missing"} == missing, without
        for number in missing:
            assert reason(got[number]) is Why.NOT_INSTALLED
            assert any(name in got[number].error for name in names[number])


@needs_root
@needs_tcpdump
def test_without_perl_other_tools_send_what_is_the_same(served: Wire, tools: Tools) -> None:
    """arping, ping and nc; what they would not send alike is not sent, and unknown."""
    mac = served.a.sh("cat /sys/class/net/wire/address").strip()
    asks, nobody = (request(mac, own, "192.0.2.2") for own in ("192.0.2.1", "0.0.0.0"))
    sweep = tuple(request(mac, "192.0.2.1", f"192.0.2.{last}", "02:00:00:00:00:42") for last in (7, 8))
    answered = ((20, b"\0\2"), (28, ip_address("192.0.2.2").packed))
    mark = PREFIX + b"0123456789"
    four, six = IP(src="192.0.2.1", dst=str(B[4])), IPv6(src="fd00:a::1", dst=str(B[6]))
    actions = (
        Capture("wire", (ARP,)), Capture("wire", prefix=PREFIX), Frames("wire", (asks,), 0.1), Frames("wire", (asks,), 1.5, unless=answered),
        Frames("wire", sweep, 0.1), Frames("wire", (nobody,), 0.1), Frames("wire", (frame(LLDP, bytes(46)),), 0.1),
        Packets(B[4], tuple(bytes(four / ICMP(id=7, seq=turn) / (mark + bytes([turn]))) for turn in range(2)), 0.1, 0.2),
        Packets(B[6], (bytes(six / ICMPv6EchoRequest(id=7, seq=1, data=mark + b"\x02")),), 0.1),
        Packets(B[4], tuple(bytes(four / UDP(sport=0xD110 + turn, dport=5353) / (mark + bytes([turn]))) for turn in range(2)), 0.1, 0.2),
        Packets(B[4], (bytes(four / TCP(sport=0xD110, dport=8080, seq=7)),), 0.1),
    )
    got = lacking(tools, "perl").run(served.a, *actions, seconds=2.2)
    assert [one.outcome for one in got] == [
        "captured", "captured", "sent", "not needed", "left out", "missing", "missing", "sent", "sent", "sent", "missing",
    ]
    assert [one.sent for one in got[2:]] == [1, 0, 0, 0, 0, 2, 1, 2, 0]
    # but for the address that is asked for, which RFC 826 leaves open
    assert (asks[:32], asks[38:]) in {(data[:32], data[38:]) for _, _, outgoing, data in got[0].packets if outgoing}
    sent = [Ether(data) for _, _, outgoing, data in got[1].packets if outgoing]
    echoes = sorted(bytes(one[ICMP].payload) for one in sent if ICMP in one and one[ICMP].type == 8)
    assert echoes == [mark + b"\0", mark + b"\1"]
    assert [one[ICMPv6EchoRequest].data for one in sent if ICMPv6EchoRequest in one] == [mark + b"\x02"]
    datagrams = sorted((one[UDP].sport, one[UDP].dport, bytes(one[UDP].payload)) for one in sent if UDP in one)
    assert datagrams == [(0xD110, 5353, mark + b"\0"), (0xD111, 5353, mark + b"\1")]
    send.check((got[4],))  # a sweep that is left out leaves the rest of its ask known
    assert "perl" in got[4].error
    assert reason(got[10]) is Why.NOT_INSTALLED


def request(mac: str, own: str, target: str, to: str = "ff:ff:ff:ff:ff:ff") -> bytes:
    return bytes(Ether(src=mac, dst=to) / Arp(op=1, hwsrc=mac, psrc=own, hwdst="00:00:00:00:00:00", pdst=target))


@needs_root
@needs_tcpdump
def test_busybox_alone_does_what_it_can(served: Wire, tools: Tools) -> None:
    """As on Alpine: a ping that cannot forbid fragments does not claim that large packets pass."""
    folder = tools.folder.parent / "busybox"
    folder.mkdir()
    listed = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        (folder / name).symlink_to(str(shutil.which("busybox")))
    for name in ("tcpdump", "setsid"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(str(shutil.which(name)))
    got = Tools("busybox", tools.folder, f"{folder}").run(
        served.a, Capture("wire", (ARP,)), echo("198.51.100.3"), echo("fd00:b::3"), echo("203.0.113.9", count=2), echo("198.51.100.3", 1472, fragment=False),
        Connect(B[4], 8080), Connect(B[4], 8081),
    )
    assert [one.outcome for one in got] == ["captured", "answered", "answered", "silent", "impossible", "answered", "refused"]
    assert [one.sent for one in got[1:4]] == [1, 1, 2]
    assert reason(got[4]) is Why.NOT_POSSIBLE


# -- its end ---------------------------------------------------------------------------------------------------------


@needs_root
@needs_tcpdump
def test_it_ends_when_its_folder_is_gone(net: Wire, tools: Tools) -> None:
    """The trip removes it when the connection is lost; then nobody reads what is found."""
    process = tools.start(net.a, Capture("wire", (ARP,)), seconds=60.0)
    assert wait((tools.folder / "agent-o0").exists, 60)
    shutil.rmtree(tools.folder)
    process.wait(10)
    process.communicate()
    assert wait(lambda: len(net.a.sh("cat /proc/net/packet").splitlines()) == 1, 30), "nobody captures any more"


@needs_root
@needs_tcpdump
@pytest.mark.parametrize("shell", SHELLS)
def test_it_takes_what_it_started_with_it(net: Wire, tools: Tools, shell: str) -> None:
    """timeout(1) ends it so, and the end of a connection."""
    if shutil.which(SHELLS[shell][1]) is None:
        pytest.skip(f"no {shell} here")
    process = replace(tools, shell=shell).start(net.a, Capture("wire", (ARP,)), Connect(ip_address("192.0.2.77"), 9, 30.0), seconds=60.0)
    assert wait((tools.folder / "agent-o0").exists, 60)
    os.killpg(process.pid, 15)
    process.communicate(timeout=60)
    assert wait(lambda: len(net.a.sh("cat /proc/net/packet").splitlines()) == 1, 30)
    assert wait(lambda: not commands_with(str(tools.folder)), 30), commands_with(str(tools.folder))


@needs_root
def test_many_that_are_silent_end_in_time_and_the_rest_is_unknown(own: Wire, tools: Tools) -> None:
    own.b.sh("ip route add blackhole 192.0.2.0/24")
    actions = tuple(Connect(B[4], 1000 + number, 3.0) for number in range(40))
    began = time.monotonic()
    got = tools.run(own.a, *actions)
    assert time.monotonic() - began < 60
    assert {one.outcome for one in got} == {"silent"}
    text, seconds = send.shell_program({"ask": Ask(tuple(Connect(B[4], port, 3.0) for port in range(1, 2000)), 0.0)})
    assert seconds < 45, "however many there are"
    assert len(text) < 1 << 18


# -- as the second way of a job --------------------------------------------------------------------------------------


@needs_root
@needs_tcpdump
def test_a_trip_takes_the_second_way_without_python(shell: Shell, all_programs: str) -> None:
    """In the script of a trip, with its folder, under its timeout; and the folder is gone after it."""
    actions = (Capture("lo", (0x0800,)), echo("127.0.0.1"), Connect(ip_address("127.0.0.1"), 1, 1.0))
    asks = {"ask": Ask(actions, 0.3)}
    shell.environment["PATH"] = all_programs
    ran = shell.run(send.job(asks))[send.KEY]
    assert (ran.way, ran.status, ran.stderr) == (1, 0, b"")
    got = send.split(send.layout(asks), ran.stdout)
    assert [one.outcome for one in got.got["ask"]] == ["captured", "answered", "refused"]
    assert ran.started - 0.1 <= got.began <= got.began + got.ended <= ran.ended + 0.1, "by the uptime of the place"
    shell.environment["PATH"] = os.environ["PATH"]
    assert shell.run(send.job(asks))[send.KEY].way == 0, "where there is python3 it is the agent"


# -- reading it --------------------------------------------------------------------------------------------------------


@needs_root
@needs_tcpdump
def test_a_damaged_answer_is_unreadable_and_nothing_else(net: Wire, tools: Tools) -> None:
    actions = (Capture("wire", (ARP,)), Frames("wire", (frame(ARP, bytes(46)),)), echo("192.0.2.2"), Datagram(B[4], 9, b"x", 1.0))
    process = tools.start(net.a, *actions, seconds=0.3)
    stdout, _ = process.communicate(timeout=30)
    parts = send.layout({"ask": Ask(actions)})
    whole = send.split(parts, stdout)
    for cut in range(0, len(stdout), 7):
        for damaged in (stdout[:cut], stdout[:cut] + b"\0" + stdout[cut + 1:], stdout[:cut] + stdout[cut + 5:]):
            try:
                found = send.split(parts, damaged)
            except Unreadable:
                continue
            assert found.got.keys() == whole.got.keys()


def test_a_cut_pcap_gives_what_is_whole_and_says_so() -> None:
    import struct

    for order in "<>":
        head = struct.pack(order + "IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 320, 1)
        row = struct.pack(order + "IIII", 100, 500000, 4, 60) + b"data"
        assert frames_of(head) == ([], True)
        assert frames_of(head + row) == ([(100.5, b"data")], True)
        assert frames_of(head + row + row[:-1]) == ([(100.5, b"data")], False)
        assert frames_of(head + row + row[:5]) == ([(100.5, b"data")], False)
        with pytest.raises(ValueError, match="Ethernet"):
            frames_of(head[:20] + struct.pack(order + "I", 113))
    for text in (b"", b"tcpdump: x", b"\xd4\xc3\xb2\xa1"):
        with pytest.raises(ValueError, match="pcap"):
            frames_of(text)


def test_the_cookie_is_random() -> None:
    """Of each answer: a capture that holds an older answer does not end it."""
    asks = {"ask": Ask((Echo(B[4], bytes(64), secrets.token_bytes(16)),))}
    first, second = (send.shell_program(asks)[0] for _ in range(2))
    assert first != second
