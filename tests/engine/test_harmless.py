"""A full run changes nothing on any node, and sends nothing in anybody else's name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from netchecks.lab.labs import Lab
from netchecks.lab.snapshot import snapshot
from tests.engine.conftest import wait
from tests.engine.test_trip import left, on

ROOT = Path(__file__).parents[2]
NODES = ("node1", "node2")

#: What the lab's own snapshot leaves out: every file with its times, modules, learned MACs without age, what was run.
MORE = r"""
echo "== files"; ls -lA --full-time /root; find /etc /home /var/spool /dev/shm /run/lab /run/lock /tmp /var/tmp -xdev ! -path /tmp -printf '%p %y %m %u %g %s %T@ %l\n' 2>/dev/null
echo "== contents"; find /etc /home -xdev -type f -exec md5sum {} +
echo "== modules"; cut -d' ' -f1 /proc/modules 2>/dev/null
echo "== fdb"; bridge fdb show | grep permanent
echo "== rules"; iptables-save 2>/dev/null | sed 's/\[[0-9:]*\]//; /^#/d'; ip6tables-save 2>/dev/null | sed 's/\[[0-9:]*\]//; /^#/d'; \
  ebtables-save 2>/dev/null | sed '/^#/d'; nft -s list ruleset; arptables-save 2>/dev/null | sed '/^#/d'
echo "== sysctl"; sysctl -a 2>/dev/null | grep -Ev 'random|nr_|_count|dentry|inode|file-|uuid|ns_last_pid|cache|pty|sched|perf|vm\.|debug|age|tainted|error|kernel\.'
echo "== sockets"; ss -Hlnptu | sed 's/pid=[0-9]*,fd=[0-9]*//; s/  */ /g'
echo "== qdiscs"; tc qdisc show; for d in /sys/class/net/*; do tc filter show dev "${d##*/}"; done
echo "== processes"; ps -eo user,args --no-headers | grep -Ev 'ps -eo|sh -c|sshd:|systemd-|\(sd-pam\)'
echo "== cron"; ls /var/spool/cron/* /etc/cron* 2>/dev/null
"""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame that a node's interface saw."""

    device: str
    outgoing: bool
    data: bytes

    @property
    def source(self) -> str:
        return self.data[6:12].hex(":")

    @property
    def ethertype(self) -> int:
        return int.from_bytes(self.data[12:14], "big")


@dataclass(frozen=True, slots=True)
class Full:
    """A full run, and what was on the nodes before and after it."""

    status: int
    output: str
    folder: Path
    differences: list[str]
    frames: dict[str, list[Frame]]

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "report.json").read_text(encoding="utf-8"))
        return found


def states(lab: Lab) -> dict[str, set[str]]:
    """Give everything of each node and guest that a run could change."""
    found = {f"{place} {section}": set(text.splitlines()) for place, sections in snapshot(lab).items() for section, text in sections.items()}
    for node in NODES:
        section = ""
        for line in on(lab, node, MORE).splitlines():
            section = line if line.startswith("== ") else section
            found.setdefault(f"{node} {section}", set()).add(line)
    return found


@pytest.fixture(scope="module")
def full(rooted_lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Full:
    """Run all suites once, watched."""
    folder = tmp_path_factory.mktemp("full")
    run(rooted_lab, folder / "warm", "-k", "node_answers")  # systemd makes a user's slice and journal at the first login
    for node in NODES:
        on(rooted_lab, node, "systemctl start dbus")  # as on every host: the lab's begins when it is first asked
    before = states(rooted_lab)
    watchers = {node: watch(rooted_lab, node, folder / node) for node in NODES}
    (folder / "tmp").mkdir()
    done = run(rooted_lab, folder / "run", tmp=folder / "tmp")
    for watcher in watchers.values():
        watcher.terminate()
        watcher.communicate(timeout=60)
    wait(lambda: not any(left(rooted_lab, node) for node in NODES), 30)
    after = states(rooted_lab)
    differences = [f"{what}: {sign} {line}" for what in before for sign, one, other in (("-", before, after), ("+", after, before))
                   for line in sorted(one[what] - other.get(what, set()))]
    return Full(done.returncode, done.stdout, folder / "run", differences, {node: frames(folder / node) for node in NODES})


def run(lab: Lab, folder: Path, *arguments: str, tmp: Path = Path("/tmp")) -> subprocess.CompletedProcess[str]:
    """Run the suites in the controller; what runs there itself, and in guests, has its temporary files in ``tmp``."""
    argv = [sys.executable, "-m", "pytest", "suites", f"--inventory-file={lab.inventory}", f"--netchecks-run-dir={folder}", "-p", "no:cacheprovider"]
    done: subprocess.CompletedProcess[str] = lab.exec(
        "controller", [*argv, *arguments], cwd=ROOT, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=200, check=False,
        env={**os.environ, "TMPDIR": str(tmp)},
    )
    return done


def watch(lab: Lab, node: str, output: Path) -> subprocess.Popen[str]:
    """Capture everything at a node, from outside of it."""
    argv = ["ip", "netns", "exec", lab.state.netns(node), sys.executable, str(Path(__file__).with_name("capturing.py")), str(output)]
    process = subprocess.Popen(lab.wrap("lab", argv), stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def frames(file: Path) -> list[Frame]:
    return [Frame(device, outgoing, bytes.fromhex(data)) for device, outgoing, data in map(json.loads, file.read_text(encoding="utf-8").splitlines())]


# -- nothing is changed ----------------------------------------------------------------------------------------------


def test_all_is_well_in_a_healthy_lab(full: Full) -> None:
    assert full.status == 0, full.output
    report = full.report
    assert set(report["outcomes"].items()) >= {("failed", 0), ("unknown", 0), ("broken", 0)}
    assert report["outcomes"]["passed"] > 300
    assert {place["round_trips"] for place in report["places"]} <= {1, 2}, "one for facts, one for probes"


def test_a_full_run_changes_nothing(full: Full) -> None:
    assert full.differences == []


def test_a_full_run_leaves_nothing(rooted_lab: Lab, full: Full) -> None:
    assert [left(rooted_lab, node) for node in NODES] == [[], []]
    assert [path.name for path in (full.folder.parent / "tmp").glob("netchecks.*")] == []


@pytest.mark.usefixtures("full")
def test_nothing_crashed(rooted_lab: Lab) -> None:
    lines = on(rooted_lab, "node1", "journalctl --no-pager -q -o cat -p warning").splitlines()
    assert [line for line in lines if "segfault" in line or "traps:" in line or "Oops" in line] == []


# -- nothing is sent in anybody else's name --------------------------------------------------------------------------


def own(full: Full, node: str) -> list[Frame]:
    """Give the frames that a node itself sent: out of its bridge, or out of a port without having come in by another one."""
    seen = [frame for frame in full.frames[node] if frame.device != "lo"]
    bridge = [frame for frame in seen if frame.outgoing and frame.device == "br0"]
    came = Counter(frame.data for frame in seen if not frame.outgoing) + Counter(frame.data for frame in bridge)
    ports = [frame for frame in seen if frame.outgoing and frame.device not in {"br0", "mgmt0"} and not came[frame.data]]
    return [*bridge, *ports]


def macs(lab: Lab, node: str) -> set[str]:
    return set(on(lab, node, "cat /sys/class/net/br0/address /sys/class/net/eth0/address").split())


@pytest.mark.parametrize("node", NODES)
def test_every_frame_has_the_node_s_own_mac(full: Full, rooted_lab: Lab, node: str) -> None:
    sent = own(full, node)
    if node == "node1":
        assert len(sent) > 20, "its probes were seen"
    assert {frame.source for frame in sent} <= macs(rooted_lab, node)


@pytest.mark.parametrize("node", NODES)
def test_every_arp_and_solicitation_names_the_node_itself(full: Full, rooted_lab: Lab, node: str) -> None:
    """Never 0.0.0.0 or ``::``: that is address detection, which makes a tentative guest give its address up (RFC 4862, RFC 5227)."""
    last = {"node1": 11, "node2": 12}[node]
    mine4, mine6 = IPv4Address(f"10.20.0.{last}"), IPv6Address(f"fd20::{last}")
    arps = [frame for frame in own(full, node) if frame.ethertype == 0x0806]
    assert {(IPv4Address(frame.data[28:32]), frame.data[22:28].hex(":")) for frame in arps} <= {(mine4, mac) for mac in macs(rooted_lab, node)}
    neighbours = [frame.data for frame in own(full, node) if frame.ethertype == 0x86DD and frame.data[20] == 58 and frame.data[54] in {135, 136}]
    for data in neighbours:
        source = IPv6Address(data[22:38])
        assert source == mine6 or source.is_link_local
        assert data[21] == 255
    addresses = {IPv6Address(data[62:78]) for data in neighbours if data[54] == 136}
    assert all(address == mine6 or address.is_link_local for address in addresses), "it answers for nobody else"
    if node == "node1":
        assert arps
        assert neighbours


@pytest.mark.parametrize("node", NODES)
def test_no_frame_but_questions(full: Full, node: str) -> None:
    """No DHCP, no router or neighbour advertisement of somebody else's, no spanning tree, no LLDP, no redirect."""
    for frame in own(full, node):
        assert frame.ethertype in {0x0806, 0x0800, 0x86DD}, frame
        if frame.ethertype == 0x86DD and frame.data[20] == 58:
            assert frame.data[54] not in {134, 137}, frame
        if frame.ethertype == 0x0800 and frame.data[23] == 17:
            assert int.from_bytes(frame.data[36:38], "big") not in {67, 68}, frame


def test_the_number_of_frames_is_bounded(full: Full) -> None:
    assert all(len(own(full, node)) < 3000 for node in NODES)


# -- it can be judged again ------------------------------------------------------------------------------------------


def test_a_replay_without_any_network_tells_the_same(full: Full, tmp_path: Path) -> None:
    """In a network namespace with nothing in it, without ssh, ip or any other program to be found."""
    argv = [sys.executable, "-m", "pytest", "suites", f"--replay-run={full.folder}", f"--netchecks-run-dir={tmp_path / 'again'}", "-p", "no:cacheprovider"]
    done = subprocess.run(
        ["unshare", "--net", "env", f"PATH={tmp_path}", *argv], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=100, check=False,
    )
    assert done.returncode == full.status, done.stdout + done.stderr
    again = json.loads((tmp_path / "again" / "report.json").read_text(encoding="utf-8"))
    for part in ("outcomes", "diagnoses", "checks", "places", "not_applicable", "not_looked_at"):
        assert again[part] == full.report[part], part


