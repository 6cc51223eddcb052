"""The lab vmhost-dhcp: its clients have their leases, its faults are undone, and a run sends what it may and leaves nothing."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import DHCP6_Solicit
from scapy.layers.inet6 import ICMPv6ND_RS
from scapy.layers.l2 import Ether
from scapy.utils import rdpcap

from netchecks.lab import faults, up, why_not_rooted
from netchecks.lab.accuracy import default_suites
from netchecks.lab.labs import Lab
from netchecks.lab.snapshot import difference, snapshot
from netchecks.lab.topology import load as load_topology
from tests.engine.conftest import wait

TOPOLOGY = "vmhost-dhcp"
ALL = faults.load(TOPOLOGY)
#: One of each kind, tried in every run of the tests; the others in `make test-all`.
QUICK = {"leases-exhausted", "relay-replies-dropped", "ra-wrong-prefix", "request-dropped-at-tap"}
#: What each fault of the lab is called; the issue's list and what belongs beside it.
CODES = {
    "dhcp.server_dead", "dhcp.no_address", "dhcp.no_range", "dhcp.wrong_range", "dhcp.wrong_options", "dhcp.stranger", "dhcp.lease_of_another",
    "dhcp.host_missing", "dhcp.refused", "dhcp.server_silent", "dhcp.request_lost", "dhcp.reply_lost", "dhcp.relay_missing", "dhcp.no_offer",
    "ra.missing", "ra.wrong_prefix", "ra.wrong_flags", "ra.from_vm",
}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    reason = why_not_rooted()
    if reason:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="netchecks-test-") as folder, up(TOPOLOGY, rooted=True, state_dir=folder) as made:
        yield made


def sh(lab: Lab, place: str, script: str) -> str:
    return lab.exec(place, ["sh", "-c", script], capture_output=True, text=True, check=False).stdout


def test_every_cause_has_a_fault():
    assert {one.code for fault in ALL for one in fault.expected} == CODES


def test_steps_run_in_places_that_there_are():
    places = {"lab", *load_topology(TOPOLOGY).places}
    assert {step.at for fault in ALL for step in (*fault.breaks, *fault.undo)} <= places


def test_the_guests_have_their_addresses_from_the_server(lab):
    assert "10.20.0.142/24 brd 10.20.0.255" in sh(lab, "vm42", "ip -4 addr show dev eth0")
    assert "default via 10.20.0.1 dev eth0" in sh(lab, "vm42", "ip route")
    given = {line.split()[2] for line in sh(lab, "dhcp1", "cat /run/dnsmasq.leases").splitlines() if line.count(" ") == 4}
    assert given == {"10.20.0.142", "10.20.0.143"}
    assert sh(lab, "dhcp1", "systemctl is-active dnsmasq").strip() == "active"


@pytest.mark.parametrize("fault", [pytest.param(one, id=one.name, marks=() if one.name in QUICK else pytest.mark.slow) for one in ALL])
def test_a_fault_is_undone_to_the_last(lab, fault):
    before = snapshot(lab)
    with lab.fault(fault.name):
        assert lab.broken == [fault.name]
    assert lab.broken == []
    assert difference(before, snapshot(lab)) == []


def test_a_run_asks_as_the_node_itself_and_takes_nothing(lab, tmp_path):
    """No message but the questions, none in another's name; no lease, and no trace of the run at any place."""
    before, leases = snapshot(lab), sh(lab, "dhcp1", "cat /run/dnsmasq.leases")
    pcap = tmp_path / "fabric.pcap"
    listener = lab.wrap("fabric", ["tcpdump", "-U", "--immediate-mode", "-ni", "sw-node1", "-w", str(pcap), "udp or icmp6"])
    with subprocess.Popen(listener, stderr=subprocess.DEVNULL) as process:
        assert wait(lambda: pcap.exists() and pcap.stat().st_size > 0, 30)
        argv = [
            sys.executable, "-m", "pytest", *default_suites(), f"--inventory-file={lab.inventory}", f"--netchecks-run-dir={tmp_path / 'run'}",
            "-q", "-p", "no:cacheprovider", "-k", "dhcp or router_is_advertised",
        ]
        done = lab.exec("controller", argv, capture_output=True, text=True, check=False, timeout=120)
        process.terminate()
    assert done.returncode == 0, done.stdout + done.stderr
    _only_questions(pcap, sh(lab, "node1", "cat /sys/class/net/br0/address").strip())
    assert sh(lab, "dhcp1", "cat /run/dnsmasq.leases") == leases
    # systemd starts its message bus when a user other than root first asks it something
    assert [line for line in difference(before, snapshot(lab)) if "dbus.service" not in line] == []


def _only_questions(pcap: Path, own: str) -> None:
    sent = [frame for frame in rdpcap(str(pcap)) if frame[Ether].src == own]
    asked = [frame for frame in sent if DHCP in frame]
    assert {dict(option for option in frame[DHCP].options if isinstance(option, tuple))["message-type"] for frame in asked} == {1}, "DISCOVER"
    assert {frame[BOOTP].flags.value for frame in asked} == {0x8000}, "broadcast"
    assert {bytes(frame[BOOTP].chaddr)[:3] for frame in asked} == {b"\x02nc"}
    assert 1 <= len(asked) <= 2
    assert 1 <= len([frame for frame in sent if DHCP6_Solicit in frame]) <= 2
    assert len([frame for frame in sent if ICMPv6ND_RS in frame]) == 1
    others = {frame[Ether].src for frame in rdpcap(str(pcap)) if DHCP in frame or DHCP6_Solicit in frame}
    assert others == {own, "02:20:00:00:00:02"}, "the node and the server"


def leased(lab: Lab, folder: Path) -> subprocess.CompletedProcess[str]:
    argv = [
        sys.executable, "-m", "pytest", *default_suites(), f"--inventory-file={lab.inventory}", f"--netchecks-run-dir={folder}", "-q",
        "-p", "no:cacheprovider", "-k", "dhcp_gives_a_lease", "--allow-leases",
    ]
    return lab.exec("controller", argv, capture_output=True, text=True, check=False, timeout=120)


def test_a_lease_is_taken_and_given_back_when_that_is_allowed(lab, tmp_path):
    leases = sh(lab, "dhcp1", "cat /run/dnsmasq.leases")
    sh(lab, "dhcp1", ": >/run/dnsmasq.log")
    done = leased(lab, tmp_path / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
    said = [line.split("]: ")[1].partition("(")[0] for line in sh(lab, "dhcp1", "grep 02:6e:63: /run/dnsmasq.log").splitlines()]
    assert said == ["DHCPDISCOVER", "DHCPOFFER", "DHCPREQUEST", "DHCPACK", "DHCPRELEASE"]
    assert sh(lab, "dhcp1", "cat /run/dnsmasq.leases") == leases


def test_a_server_that_takes_back_what_it_offered_is_named(lab, tmp_path):
    with lab.fault("leases-exhausted"):
        done = leased(lab, tmp_path / "run")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "dhcp.refused at dhcp1" in done.stdout
    assert '(NAK) ("no leases left")' in " ".join(done.stdout.split())


def test_of_a_stranger_nothing_is_taken(lab, tmp_path):
    """It answers first, as it pings nobody."""
    with lab.fault("second-server"):
        done = leased(lab, tmp_path / "run")
        assert sh(lab, "vm43", "cat /run/lab/rogue.leases") == ""
    assert done.returncode == 0, done.stdout + done.stderr
