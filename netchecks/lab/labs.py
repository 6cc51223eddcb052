"""A lab that stands: make it, run things in its places, break it, take it down."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from netchecks.errors import LabError
from netchecks.lab import faults, guest, namespaces, nodes, openvswitch, state
from netchecks.lab.inventory import inventory
from netchecks.lab.topology import Topology, controller, listeners, load

#: What the places of a lab find programs by; a node must not find those of a virtual environment of the machine.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: What every place knows of its neighbours goes: a fault that has stood for a minute finds nobody remembering better days.
FORGET_NEIGHBOURS = """
for name in /run/netns/*; do [ ! -e "$name" ] || ip -n "${name##*/}" neigh flush all; done
"""

#: After a fault, no bridge shall remember where it led frames to.
FORGET_PORTS = """
for name in /run/netns/*; do
  [ -e "$name" ] || continue
  for bridge in $(ip -n "${name##*/}" -br link show type bridge | cut -d' ' -f1); do
    ip -n "${name##*/}" link set "$bridge" type bridge fdb_flush
  done
done
"""

#: Where libvirt's test driver finds a node's domains, in both flavours.
LIBVIRT_URI = "test:////etc/lab/node.xml"


class Lab:
    """A lab. As a context manager it is taken down at the end, whatever happened."""

    def __init__(self, lab: state.State, topology: Topology, leash: int = -1) -> None:
        """Take what is written down; ``leash`` keeps the lab up as long as this process lives (-1: it stays for good)."""
        self.state = lab
        self.topology = topology
        self._leash = leash
        self._sigterm: Any = None

    @property
    def id(self) -> str:
        """The lab's name."""
        return self.state.id

    @property
    def inventory(self) -> Path:
        """The generated inventory."""
        return self.state.folder / "inventory.yaml"

    @property
    def rooted(self) -> bool:
        """Whether nodes are real hosts with systemd and sshd, not bare network namespaces."""
        return self.state.rooted

    @property
    def places(self) -> tuple[str, ...]:
        """Every place that commands can run in. ``lab`` is the holder's: it sees all network namespaces by name."""
        return ("lab", *self.topology.places)

    def wrap(self, place: str, argv: Sequence[str]) -> list[str]:
        """Give the command line that runs ``argv`` in that place. Raises LabError."""
        variables = [] if self.rooted and place not in self.topology.nodes() else [f"LIBVIRT_DEFAULT_URI={LIBVIRT_URI}"]
        if place not in self.places:
            raise LabError(f"no place {place!r}; there are {list(self.places)}")
        if not self.state.alive():
            raise LabError(f"lab {self.id} does not stand any more")
        if self.rooted and place in self.topology.nodes():
            return self._enter(nodes.systemd_of(self.state, place), [*variables, f"PATH={PATH}", "HOME=/root"], argv)
        if place != "lab":
            argv = ["ip", "netns", "exec", self.state.netns(place), *argv]
        return self._enter(self.state.holder, variables, argv)

    def _enter(self, pid: int, variables: Sequence[str], argv: Sequence[str]) -> list[str]:
        """Give the command line that enters all namespaces of a process."""
        return [sys.executable, "-I", "-S", namespaces.__file__, "enter", str(pid), *variables, "--", *argv]

    def exec(self, place: str, argv: Sequence[str], *, check: bool = False, **keywords: Any) -> subprocess.CompletedProcess[Any]:
        """Run a command in a place, with the keywords of ``subprocess.run``."""
        return subprocess.run(self.wrap(place, argv), check=check, **keywords)

    @contextlib.contextmanager
    def fault(self, name: str) -> Iterator[faults.Fault]:
        """Break what the fault says, and undo it at the end."""
        fault = faults.find(self.topology.name, name)
        self.apply(fault)
        try:
            yield fault
        finally:
            self.revert(fault)

    def apply(self, fault: faults.Fault) -> None:
        """Break it and wait until it has settled; when a step fails, undo. Raises LabError."""
        reason = fault.unfit(rooted=self.rooted)
        if reason:
            raise LabError(f"{fault.name}: {reason}")
        try:
            self._forget(FORGET_NEIGHBOURS)
            self._steps(fault.name, fault.breaks)
            self._note(fault, broken=True)
        except BaseException:
            with contextlib.suppress(LabError):
                self.revert(fault)
            raise
        time.sleep(fault.settle)

    def revert(self, fault: faults.Fault) -> None:
        """Undo it, and wait until all that listens answers again. Raises LabError."""
        self._steps(f"undo {fault.name}", fault.undo)
        self._note(fault, broken=False)
        self._forget(FORGET_NEIGHBOURS + FORGET_PORTS)
        if not self.broken:
            self.await_healthy()

    @property
    def broken(self) -> list[str]:
        """The faults that the lab has now."""
        return sorted(path.name for path in (self.state.folder / "broken").glob("*"))

    def _note(self, fault: faults.Fault, *, broken: bool) -> None:
        """Write down that a fault is there or gone, and what is meant with it."""
        folder = self.state.folder / "broken"
        folder.mkdir(exist_ok=True)
        if broken:
            (folder / fault.name).write_text(json.dumps(fault.inventory), encoding="utf-8")
        else:
            (folder / fault.name).unlink(missing_ok=True)
        overlays = [json.loads((folder / name).read_text(encoding="utf-8")) for name in self.broken]
        self.inventory.write_text(inventory(self.state, self.topology, overlays), encoding="utf-8")

    def await_healthy(self, seconds: float = 30.0) -> None:
        """Wait until everything that listens in a healthy lab answers the controller. Raises LabError naming what does not."""
        wanted = [f"{address} {port}" for address, port in listeners(self.topology, rooted=self.rooted)]
        done = self.exec(controller(self.topology), [sys.executable, "-I", "-S", guest.__file__, "await", str(seconds), *wanted],
                         capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"lab {self.id} is not healthy: no answer from {done.stdout.strip()}")

    def _steps(self, what: str, steps: Sequence[faults.Step]) -> None:
        """Run each step in its place, all of them. Raises LabError with what failed."""
        failed = []
        for step in steps:
            try:
                self._step(what, step)
            except LabError as error:
                failed.append(str(error))
        if failed:
            raise LabError("\n".join(failed))

    def _forget(self, script: str) -> None:
        """Run that in the lab, and in each real host: the network namespaces inside it are named there alone. Raises LabError."""
        inside = sorted(self.topology.nodes()) if self.rooted else []
        self._steps("forget", [faults.Step(at=place, run=script) for place in ("lab", *inside)])

    def _step(self, what: str, step: faults.Step) -> None:
        """Run one step. Raises LabError."""
        script = faults.PRELUDE + faults.read(self.topology.name).functions + step.run
        try:
            done = self.exec(
                step.at, ["sh", "-euc", script], env=self._fault_env(step.at), text=True, check=False, errors="replace",
                stdin=subprocess.DEVNULL, capture_output=True, timeout=60, cwd="/",
            )
        except subprocess.TimeoutExpired:
            raise LabError(f"{what}: at {step.at}: did not end within a minute") from None
        if done.returncode:
            raise LabError(f"{what}: at {step.at}, exit {done.returncode}: {(done.stderr or done.stdout).strip()}")

    def _fault_env(self, place: str) -> dict[str, str]:
        """Give what the steps of a fault may use: NS_<place>, the place's name, and the lab's own programs."""
        known = {f"NS_{name}": self.state.netns(name) for name in self.topology.places}
        return {**known, "PATH": PATH, "PLACE": place, "PYTHON": sys.executable, "PROGRAMS": str(Path(__file__).parent),
                "LAB": str(self.state.folder), "LC_ALL": "C.UTF-8", **self._ovs_env(place)}

    def _ovs_env(self, place: str) -> dict[str, str]:
        """Say where the daemons of Open vSwitch are of a place that is no host."""
        host = self.rooted and place in self.topology.nodes()
        known = self.topology.places.get(place)
        return {"OVS_RUNDIR": openvswitch.run_dir(place)} if known and openvswitch.has(known) and not host else {}

    def down(self) -> None:
        """Take the lab down. Does nothing when it is."""
        if self._leash >= 0:
            os.close(self._leash)
            self._leash = -1
        take_down(self.state)
        if self._sigterm is not None:
            signal.signal(signal.SIGTERM, self._sigterm)
            self._sigterm = None

    def release(self) -> None:
        """Let the lab stand when this process ends."""
        if self._leash >= 0:
            os.write(self._leash, b"k")
            os.close(self._leash)
            self._leash = -1

    def __enter__(self) -> Self:
        """Give the lab; from now on SIGTERM takes it down too."""
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            self._sigterm = signal.signal(signal.SIGTERM, _leave)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Take it down."""
        self.down()


def _leave(number: int, _frame: FrameType | None) -> None:
    """Turn a signal into an orderly end."""
    raise SystemExit(128 + number)


def attach(name: str = "", state_dir: Path | str | None = None) -> Lab:
    """Give a lab that stands, by name, or the only one. Raises LabError."""
    standing = {lab.id: lab for lab in state.every(state_dir) if lab.alive()}
    if not name and len(standing) == 1:
        (name,) = standing
    if name not in standing:
        raise LabError(f"no lab {name!r}; there are {sorted(standing)}" if name else f"which lab? there are {sorted(standing)}")
    lab = standing[name]
    return Lab(lab, load(lab.topology, lab.count))


def take_down(lab: state.State) -> None:
    """Kill the holder, and with it every process, mount and namespace of the lab; remove its cgroups and its folder."""
    if lab.alive():
        os.kill(lab.holder, signal.SIGKILL)
    until = time.monotonic() + 20
    while lab.alive():
        if time.monotonic() > until:
            raise LabError(f"lab {lab.id}: process {lab.holder} does not end")
        time.sleep(0.005)
    if lab.cgroup:
        _remove_cgroups(Path(lab.cgroup), until)
    others = [other for other in state.every(lab.folder.parent) if other.id != lab.id and other.alive()]
    nodes.put_back_inotify(lab, others)
    shutil.rmtree(lab.folder, ignore_errors=True)
    if lab.folder.parent.name.startswith(state.FOLDER):
        with contextlib.suppress(OSError):
            lab.folder.parent.rmdir()  # the last lab takes the folder of labs with it


def _remove_cgroups(group: Path, until: float) -> None:
    """Remove a cgroup and all below it; the kernel may need a moment to empty them."""
    while group.is_dir():
        for path in sorted(group.rglob("*/"), reverse=True):
            with contextlib.suppress(OSError):
                path.rmdir()
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        if time.monotonic() > until:
            raise LabError(f"{group} cannot be removed: it still has processes")
        time.sleep(0.01)
