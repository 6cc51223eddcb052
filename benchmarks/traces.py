"""What traces cost: one flow over the places of a lab, a hundred on one node against one, and on a busy wire.

The captures are those of the agent itself, in network namespaces of our own; nothing leaves them.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import BenchError, Cost, Row, in_turn, run
from netchecks import send
from netchecks.lab import up, why_not_rooted
from netchecks.probe import Ask, Capture
from netchecks.trace.declaring import WINDOW

ROOT = Path(__file__).parents[1]
RUN = bytes.fromhex("d1075ac3")
MARK = RUN + b"123456789012"
#: Traces at once on one node; marked packets of each kind on the busy wire; processes that keep it busy, and seconds.
MANY, MARKED, SENDERS, BUSY = 100, 20, 2, 3.0
TRACE = ("--vm", "vm42", "--from", "controller", "--tcp", "22")
ONE, ALL = "one trace", f"{MANY} traces"
#: Sends what it is given, in hexadecimal, out of a device: as fast as it goes for some seconds, or so many times, 0.1 s apart.
FLOOD = """
import socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
frame, end, sent = bytes.fromhex(sys.argv[2]), time.monotonic() + float(sys.argv[3]), 0
while time.monotonic() < end:
    for _ in range(200):
        s.send(frame)
    sent += 200
print(sent)
"""
SEND = """
import socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
for _ in range(int(sys.argv[2])):
    for frame in sys.argv[3:]:
        s.send(bytes.fromhex(frame))
    time.sleep(0.1)
"""


@dataclass(frozen=True, slots=True)
class Wire:
    """A busy wire. ``rate``: frames of others in a second; ``seen``: of ``sent`` marked ones; ``dropped``: frames it says it lost."""

    traffic: str
    rate: float
    sent: int
    seen: int
    dropped: int

    @property
    def honest(self) -> bool:
        """Whether all marked ones were seen, or it is said that frames were lost."""
        return self.seen == self.sent or self.dropped > 0

    def __str__(self) -> str:
        """Give it as a line."""
        return f"{self.traffic}: {self.rate:,.0f} frames/s, {self.seen} of {self.sent} marked seen, {self.dropped} said lost"


@dataclass(frozen=True, slots=True)
class Traces:
    """What was measured. ``one_flow``: seconds of ``netchecks trace`` in the lab, over ``places`` places."""

    rows: tuple[Row, ...]
    wires: tuple[Wire, ...]
    one_flow: float
    places: int
    checks: int = MANY

    def ratio(self) -> float:
        """Give how many times longer many traces take a node than one, by the medians."""
        seconds = {row.name: row.seconds for row in self.rows}
        return seconds[ALL] / seconds[ONE]

    @property
    def peak(self) -> float:
        """MiB of the agent with many traces."""
        return next(row.peak for row in self.rows if row.name == ALL)


def measure(runs: int, folder: Path, say: Callable[[str], None]) -> Traces:
    """Measure. Raises BenchError, LabError."""
    reason = why_not_rooted()
    if reason:
        raise BenchError(reason)
    say(f"a node with {MANY} taps")
    with _node(MANY) as name:
        programs = {ONE: (runs, lambda: _agent(name, 1, folder)), ALL: (runs, lambda: _agent(name, MANY, folder))}
        rows = tuple(Row(what, found) for what, found in in_turn(programs, say).items())
    wires = []
    for traffic, frame in _traffic().items():
        with _node(1) as name:
            wires.append(_busy(name, traffic, frame, folder))
            say(str(wires[-1]))
    say("one flow in the lab")
    return Traces(rows, tuple(wires), *_one_flow(runs))


# -- many at once ----------------------------------------------------------------------------------------------------


@contextmanager
def _node(taps: int) -> Iterator[str]:
    """A network namespace with an uplink u0 and taps t0, t1 ...; the other ends are u0x, t0x ... in it too."""
    name = f"ncbench{os.getpid()}-{secrets.token_hex(2)}"
    devices = ["u0", *(f"t{number}" for number in range(taps))]
    batch = [f"link add {one} type veth peer name {one}x" for one in devices]
    batch += [f"link set {one}{end} up" for one in devices for end in ("", "x")]
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "-batch", "-"], input="\n".join(batch) + "\n", text=True, check=True, capture_output=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


def _captures(device: str) -> tuple[Capture, ...]:
    """What a trace listens to at one point, as netchecks.trace.declaring has it."""
    return Capture(device, (0x0806, 0x86DD)), Capture(device, prefix=RUN), Capture(device, prefix=RUN, tunnels=True)


def _job(traces: int, seconds: float) -> str:
    text, _ = send.program({f"trace{number}": Ask((*_captures("u0"), *_captures(f"t{number}")), seconds) for number in range(traces)})
    return text


def _agent(name: str, traces: int, folder: Path) -> Cost:
    """Run the agent as a node does; see that it captured everywhere."""
    cost = run(_at(name, _job(traces, WINDOW), folder), folder)
    captures = _said(folder).values()
    if len(captures) != 3 * (traces + 1) or any(one["opened"] is None for one in captures):
        raise BenchError("the agent did not listen everywhere")
    return cost


def _at(name: str, job: str, folder: Path) -> list[str]:
    """Give the command line of an agent, whose answer goes to a file with a name: without one it sees that nobody will read it."""
    (folder / "job.py").write_text(job, encoding="utf-8")
    return ["ip", "netns", "exec", name, "sh", "-c", 'exec python3 "$0" >"$1"', str(folder / "job.py"), str(folder / "answer")]


def _said(folder: Path) -> dict[str, Any]:
    captures: dict[str, Any] = json.loads((folder / "answer").read_text(encoding="utf-8"))["captures"]
    return captures


# -- a busy wire -----------------------------------------------------------------------------------------------------


def _traffic() -> dict[str, bytes]:
    """Other traffic: datagrams, and what a node of an overlay carries."""
    from scapy.layers.inet import UDP
    from scapy.layers.vxlan import VXLAN

    ether, ip = _head()
    plain = ether / ip / UDP(sport=5000, dport=9) / (b"x" * 60)
    return {"datagrams": bytes(plain), "VXLAN": bytes(ether / ip / UDP(sport=5000, dport=4789) / VXLAN(vni=7) / plain)}


def _head() -> tuple[object, object]:
    from scapy.layers.inet import IP
    from scapy.layers.l2 import Ether

    return Ether(src="02:00:00:00:00:66", dst="02:00:00:00:00:99"), IP(src="192.0.2.77", dst="198.51.100.77")


def _marked() -> tuple[bytes, bytes]:
    """An echo with a mark, plain and in a tunnel."""
    from scapy.layers.inet import ICMP, UDP
    from scapy.layers.vxlan import VXLAN

    ether, ip = _head()
    echo = ether / ip / ICMP() / MARK  # type: ignore[operator]  # scapy's layers
    return bytes(echo), bytes(ether / ip / UDP(sport=1, dport=4789) / VXLAN(vni=7) / echo)  # type: ignore[operator]  # as above


def _busy(name: str, traffic: str, frame: bytes, folder: Path) -> Wire:
    inside = ["ip", "netns", "exec", name, sys.executable, "-I", "-S", "-c"]
    flood = [*inside, FLOOD, "u0x", frame.hex(), str(BUSY)]
    with subprocess.Popen(_at(name, _job(1, BUSY + 1.5), folder)) as agent:
        time.sleep(0.7)
        floods = [subprocess.Popen(flood, stdout=subprocess.PIPE, text=True) for _ in range(SENDERS)]
        subprocess.run([*inside, SEND, "u0x", str(MARKED), *(one.hex() for one in _marked())], check=True)
        sent = sum(int(one.communicate()[0]) for one in floods)
        if agent.wait():
            raise BenchError(f"exit status {agent.returncode} of the agent")
    captures = _said(folder)
    seen = sum(len(captures[f"u0#{kind}"]["packets"]) for kind in ("marked", "tunnels"))
    return Wire(traffic, sent / BUSY, 2 * MARKED, seen, sum(one["dropped"] for key, one in captures.items() if key.startswith("u0")))


# -- one flow --------------------------------------------------------------------------------------------------------


def _one_flow(runs: int) -> tuple[float, int]:
    """Give the median seconds of a trace, and its places."""
    with up("vmhost-switching", rooted=True) as lab:
        argv = [sys.executable, "-m", "netchecks", "trace", "--inventory-file", str(lab.inventory), *TRACE]
        costs = [run(lab.wrap("controller", argv), ROOT) for _ in range(runs)]
    first = costs[0].output.partition("\n\n")[0].splitlines()[1:-1]
    return Row("", tuple(costs)).seconds, len({line.split()[0] for line in first})
