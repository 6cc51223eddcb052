"""netchecks trace: its arguments, its drawing, its exit status; and one trace of a real lab, whole and broken."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from netchecks import cli, trace_command
from netchecks.errors import NotSeen, Why
from netchecks.lab.labs import Lab
from netchecks.lab.testing import rooted_lab
from netchecks.models.traces import Point, Seen, Sighting, Trace
from tests.trace.given import flow

__all__ = ["rooted_lab"]
ROOT = Path(__file__).parents[1]
INVENTORY = """
version: 1
nodes:
  controller: {connection: local, roles: [controller]}
  node1: {address: 192.0.2.11}
networks:
  lan: {kind: switching, bridge: br0, uplink: eth0, subnets: [{cidr: 10.20.0.0/24}], nodes: [node1], probe_from: [controller]}
vms:
  vm42: {node: node1, udp: [53], interfaces: [{network: lan, mac: "52:54:00:00:00:42", addresses: [10.20.0.142]}]}
  vm43: {node: node1, runs: false, interfaces: [{network: lan, mac: "52:54:00:00:00:43", addresses: [10.20.0.143]}]}
  vm44: {node: node1}
"""


@pytest.fixture
def site(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(INVENTORY)
    return path


# -- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "said"), [
    ([], "the following arguments are required: --vm"),
    (["--vm", "vm9"], "--vm vm9: the inventory has no such VM; there are: vm42, vm43, vm44"),
    (["--vm", "vm42", "--host", "controller"], "--host controller: vm42 is on the node node1"),
    (["--vm", "vm42", "--udp", "54"], "--udp 54: a datagram reaches an application; the inventory declares the UDP ports: 53"),
    (["--vm", "vm44", "--udp", "54"], "the inventory declares the UDP ports: none"),
    (["--vm", "vm42", "--tcp", "0"], "argument --tcp: 0: a port is a number from 1 to 65535"),
    (["--vm", "vm42", "--tcp", "65536"], "a port is a number from 1 to 65535"),
    (["--vm", "vm42", "--udp", "dns"], "a port is a number from 1 to 65535"),
    (["--vm", "vm42", "--tcp", "22", "--icmp"], "not allowed with argument"),
    (["--vm", "vm42", "--ndp"], "nothing to trace: vm42 has no address for it, or its network (switching) cannot be traced"),
    (["--vm", "vm42", "--from", "node9"], "nothing to trace: node9 is none of those that may ask (controller, node1); see probe_from in the inventory"),
    (["--vm", "vm43"], "nothing to trace: the inventory says that vm43 does not run"),
    (["--vm", "vm44"], "nothing to trace: vm44 has no address for it, or its network (none) cannot be traced"),
])
def test_a_mistake_is_a_usage_error_before_anything_is_looked_at(capsys, monkeypatch, site, arguments, said):
    monkeypatch.setattr(trace_command.waves, "look", lambda _: pytest.fail("somebody is looked at"))
    assert cli.main(["trace", "--inventory-file", str(site), *arguments]) == 4
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


def test_it_stands_in_the_help_and_imports_nothing_for_it(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert "trace" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["trace", "--help"])
    assert "--pcap DIR" in capsys.readouterr().out


# -- drawing ---------------------------------------------------------------------------------------------------------

SENDER, UPLINK = Point("controller", "sender", "eth0", leaves=True), Point("node1", "uplink", "eth0", leaves=False)
TAP = Point("node1", "tap", "vnet7", leaves=True)
GUEST = Point("guest:vm42", "guest", "eth0", leaves=False)
UNSEEN = NotSeen(Why.UNREACHABLE, "node1: a test says so")


def sighting(kind, seconds, turn=None, **more):
    return Sighting(kind, seconds, "02:00:00:00:00:01", "02:00:00:00:00:02", turn, **more)


def turns(kind, *times, **more):
    return tuple(sighting(kind, at, turn, **more) for turn, at in enumerate(times))


def trace(*points, protocol="tcp", sent=(10.0, 10.6, 11.2), unsent=None):
    return Trace("a-flow", points, sent, unsent, protocol)


def drawn(found, protocol="tcp"):
    return "\n".join(trace_command.drawn(flow(protocol), found))


def test_a_whole_way_is_drawn_with_what_each_point_saw():
    """The node's clock is half a second behind: how long an answer took is told by each point's own."""
    seen = [
        Seen(SENDER, turns("request", 10.0, 10.6, 11.2) + turns("reply", 10.004, 10.603, 11.205)),
        Seen(UPLINK, turns("request", 9.5, 10.1, 10.7, vlans=(5,), through=("VXLAN 7",)) + turns("reply", 9.5021, 10.1019, 10.702)),
        Seen(TAP, turns("request", 9.5, 10.1) + turns("reply", 9.501)),
    ]
    assert drawn(trace(*seen)) == """\
controller to vm42 10.20.0.142, TCP port 22
  controller  sender eth0  -> 3 packets                    <- 3 answers after 3.00 ms
  node1  uplink eth0       -> 3 packets (VLAN 5, VXLAN 7)  <- 3 answers after 1.90 ms
  node1  tap vnet7         -> 2 packets                    <- 1 answer after 1.00 ms
  answered: every hop passes the packet and its answer
"""


def test_retransmitted_and_doubled_packets_are_counted_once():
    twice = Seen(TAP, turns("request", 1.0, 2.0) + turns("request", 1.1, 2.1) + turns("reply", 1.2) + turns("reply", 1.9))
    assert "-> 2 packets  <- 1 answer after 200.00 ms" in drawn(trace(twice))


def test_what_was_not_seen_and_what_could_not_be_looked_at_are_told_apart():
    text = drawn(trace(Seen(SENDER, turns("request", 10.0)), Seen(UPLINK, (), UNSEEN), Seen(TAP)))
    assert text.splitlines()[1:] == [
        "  controller  sender eth0  -> 1 packet  <- nothing",
        "  node1  uplink eth0       -> ?         <- ?",
        "                           could not look: unreachable: node1: a test says so",
        "  node1  tap vnet7         -> nothing   <- nothing",
        "  the packet is lost between controller: sender eth0 and node1: tap vnet7: network engineer",
    ]


def test_questions_stand_in_for_the_packet():
    asked = Seen(UPLINK, (sighting("asked", 1.0, asker="10.20.0.1"), sighting("asked", 2.0, asker="10.20.0.1"), sighting("told", 1.1, asker="10.20.0.1")))
    text = drawn(trace(Seen(SENDER, turns("request", 10.0)), asked, Seen(TAP)))
    assert "-> 2 questions for its MAC  <- 1 answer with its MAC" in text


def test_where_the_packet_came_questions_of_others_are_not_drawn():
    others = (sighting("asked", 1.0, asker="10.20.0.11"), sighting("told", 1.1, asker="10.20.0.11"))
    text = drawn(trace(Seen(SENDER, turns("request", 10.0)), Seen(UPLINK, turns("request", 10.0)), Seen(TAP, others), Seen(GUEST, others)))
    assert text.count("-> nothing   <- nothing") == 2


def test_errors_are_told():
    error = sighting("error", 10.2, 0, said="dest-unreach port-unreachable")
    text = drawn(trace(Seen(SENDER, (*turns("request", 10.0), error)), protocol="udp"), "udp")
    assert "<- 1 ICMP error after 200.00 ms" in text
    assert "an ICMP error comes back: dest-unreach port-unreachable" in text


def test_what_was_not_sent_and_what_was_not_seen_say_why():
    assert drawn(UNSEEN).splitlines()[1] == "  could not look: unreachable: node1: a test says so"
    assert drawn(trace(Seen(SENDER), sent=(), unsent=UNSEEN)).splitlines()[1] == "  could not send: unreachable: node1: a test says so"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_hears_of_each_place_while_it_waits_and_nothing_of_that_stays():
    out = Terminal()
    board = trace_command.Board(out, [flow("tcp")], None)
    board.hear("node1", "looking")
    board.hear("node1", "unreachable: and why")
    assert out.getvalue().rstrip().endswith("node1: unreachable")
    board.end({flow("tcp"): UNSEEN})
    assert "\r" + " " * 20 in out.getvalue()
    plain = io.StringIO()
    trace_command.Board(plain, [flow("tcp")], None).hear("node1", "looking")
    assert plain.getvalue() == ""


ANSWERED = trace(Seen(SENDER, turns("request", 1.0) + turns("reply", 1.1)))
LOST = trace(Seen(SENDER, turns("request", 1.0)), Seen(TAP))
REFUSED = trace(Seen(SENDER, (*turns("request", 1.0), sighting("error", 1.1, 0, said="dest-unreach"))), Seen(TAP, (*turns("request", 1.0), sighting("error", 1.1))))
UNKNOWN = trace(Seen(SENDER, turns("request", 1.0)), Seen(TAP, (), UNSEEN))


@pytest.mark.parametrize(("traces", "status"), [
    ([ANSWERED], 0), ([ANSWERED, LOST], 1), ([REFUSED], 1), ([UNKNOWN], 6), ([ANSWERED, UNSEEN], 6), ([LOST, UNSEEN], 1), ([ANSWERED, UNKNOWN], 6),
])
def test_the_exit_status_tells_lost_from_unknown(traces, status):
    assert trace_command._status(traces) == status


# -- in a lab --------------------------------------------------------------------------------------------------------


def run(lab: Lab, *arguments: str, **more):
    argv = [sys.executable, "-m", "netchecks", "trace", "--inventory-file", str(lab.inventory), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    return lab.exec("controller", argv, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120, **more)


def blurred(text: str) -> str:
    """The drawing without what differs from run to run: how long it took, how many of three were seen, columns."""
    text = re.sub(r" after \d+\.\d\d ms", "", text)
    text = re.sub(r"\b\d+ (packet|answer|question)s?\b", r"N \1", text)
    return re.sub(r" {2,}", "  ", text)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a rooted lab")
def test_a_trace_of_a_broken_lab_names_the_place_and_keeps_the_frames(rooted_lab: Lab, tmp_path: Path) -> None:
    with rooted_lab.fault("trace-request-dropped-behind-uplink"):
        done = run(rooted_lab, "--host", "node1", "--vm", "vm42", "--from", "controller", "--tcp", "22", "--pcap", str(tmp_path))
    assert (done.returncode, done.stderr) == (1, "")
    assert blurred(done.stdout.partition("frames: ")[0]) == """\
controller to vm42 10.20.0.142, TCP port 22
  controller  sender eth0  -> N packet  <- nothing
  node1  uplink eth0  -> N packet  <- nothing
  node1  tap vm42_net0  -> nothing  <- nothing
  guest:vm42  guest mac:52:54:00:00:00:42  -> nothing  <- nothing
  the packet is lost between node1: uplink eth0 and node1: tap vm42_net0: node administrator

controller to vm42 fd20::142, TCP port 22
  controller  sender eth0  -> N packet  <- nothing
  node1  uplink eth0  -> N packet  <- nothing
  node1  tap vm42_net0  -> nothing  <- nothing
  guest:vm42  guest mac:52:54:00:00:00:42  -> nothing  <- nothing
  the packet is lost between node1: uplink eth0 and node1: tap vm42_net0: node administrator

"""
    frames = sorted(line.removeprefix(f"frames: {tmp_path}/") for line in done.stdout.splitlines() if line.startswith("frames: "))
    assert frames == ["controller/eth0.pcapng", f"guest%3Avm42/{quote('mac:52:54:00:00:00:42')}.pcapng", "node1/eth0.pcapng", "node1/vm42_net0.pcapng"]
    tcpdump = shutil.which("tcpdump", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert tcpdump
    for path, count in ((tmp_path / "controller" / "eth0.pcapng", 3), (tmp_path / "node1" / "eth0.pcapng", 1)):
        shown = subprocess.run([tcpdump, "-nr", str(path), "tcp dst port 22"], capture_output=True, text=True, check=True).stdout
        assert shown.count("Flags [S]") >= count, shown


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a rooted lab")
def test_a_whole_lab_answers(rooted_lab: Lab, tmp_path: Path) -> None:
    done = run(rooted_lab, "--vm", "vm42", "--arp", "--pcap", str(tmp_path / "frames"))
    assert (done.returncode, done.stderr) == (0, "")
    assert blurred(done.stdout).startswith("""\
node1 to vm42 10.20.0.142, ARP
  node1  sender br0  -> N question for its MAC  <- N answer with its MAC
  node1  tap vm42_net0  -> N question for its MAC  <- N answer with its MAC
  guest:vm42  guest mac:52:54:00:00:00:42  -> N question for its MAC  <- N answer with its MAC
  answered: every hop passes the packet and its answer
""")
    frames = sorted(path.relative_to(tmp_path / "frames").as_posix() for path in tmp_path.rglob("*.pcapng"))
    assert frames[1:] == ["node1/br0.pcapng", "node1/vm42_net0.pcapng"], "nothing else is looked at or sent"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(trace_command.pcap, "write", lambda folder, _: (folder / "x").mkdir(parents=True))
    seen = trace_command.record.Record()
    seen.place("node1")
    with pytest.raises(trace_command.NetchecksError, match=r"--pcap .*/file: Not a directory"):
        trace_command._keep(tmp_path / "file", seen)
