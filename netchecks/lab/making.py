"""``lab up``: make a lab; and clean up after those that crashed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from netchecks.errors import LabError
from netchecks.lab import namespaces, nodes, state
from netchecks.lab.inventory import inventory
from netchecks.lab.labs import PATH, Lab, take_down
from netchecks.lab.topology import Topology, load

NEEDED = ("ip", "bridge", "nft", "iptables", "ebtables", "tc", "dnsmasq", "ping", "tcpdump", "dig", "virsh", "conntrack")
NEEDED_ROOTED = ("sshd", "ssh-keygen", "sudo", "unshare", "pivot_root", "systemctl")

#: Seconds in which a lab that has no holder yet may still be in the making.
YOUNG = 10


def up(  # noqa: PLR0913 - each is an option of its own, all but the first keyword-only
    topology: str, *, rooted: bool | None = None, state_dir: Path | str | None = None, name: str = "",
    count: int | None = None, keep: bool = False,
) -> Lab:
    """Make a lab. Raises LabError, and leaves nothing behind then.

    ``topology``: a name, a path, or ``nodes-N``. ``rooted`` None: rooted where that can be. ``name``: of the lab, else drawn.
    ``keep``: it stands until ``down``; else it goes when this process ends, even by SIGKILL.
    """
    plan = _topology(topology, count)
    if rooted is None:
        rooted = plan.needs == "rooted" or not why_not_rooted()
    if plan.needs == "rooted" and not rooted:
        raise LabError(f"{plan.name} needs a rooted lab: its daemons run under a systemd of their own")
    missing = why_not_rooted(plan.programs) if rooted else missing_tools((*NEEDED, *plan.programs))
    if missing:
        raise LabError(missing)
    sweep(state_dir)
    lab = Lab(*_folder(plan, topology, rooted=rooted, state_dir=state_dir, name=name))
    try:
        _make(lab)
    except BaseException:
        lab.down()
        raise
    if keep:
        lab.release()
    return lab


def _topology(name: str, count: int | None) -> Topology:
    """Load a topology; ``nodes-50`` is many-nodes with 50."""
    kind, _, number = name.rpartition("-")
    if kind == "nodes" and number.isdigit():
        return load("many-nodes", int(number))
    return load(name, count)


def _folder(
    plan: Topology, topology: str, *, rooted: bool, state_dir: Path | str | None, name: str,
) -> tuple[state.State, Topology]:
    """Make the lab's folder and write down what is known so far."""
    folder = state.new_folder(state_dir, name or secrets.token_hex(3))
    for part in ("log", "scratch"):
        (folder / part).mkdir()
    path = str(Path(topology).resolve()) if topology.endswith(".yaml") else plan.name
    lab = state.State(folder, folder.name, path, rooted, plan.count)
    lab.save()
    return lab, plan


def _make(lab: Lab) -> None:
    """Make the namespaces, then all that is in them."""
    folder = lab.state.folder
    holder, lab._leash = _hold(folder / "scratch")  # noqa: SLF001 - one thing in two steps
    lab.state = replace(lab.state, holder=holder, started=state.start_of(holder))
    lab.state.save()
    if lab.rooted:
        _prepare_rooted(lab)
    # An ordinary user's PATH has no sbin on Debian, where dnsmasq is.
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', os.defpath)}:{PATH}",
                   "PYTHONPATH": os.pathsep.join(path for path in (str(Path(__file__).parents[2]), *sys.path) if path)}
    lab.inventory.write_text(inventory(lab.state, lab.topology), encoding="utf-8")
    done = lab.exec("lab", [sys.executable, "-m", "netchecks.lab.inside", str(folder)], env=environment, check=False,
                    stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"{lab.topology.name} could not be built: {done.stderr.strip()}")


def _prepare_rooted(lab: Lab) -> None:
    """Make the lab's cgroup and the nodes' keys and files."""
    mount = nodes.cgroup_mount()
    assert mount is not None
    group = mount / f"nc-{lab.id}"
    group.mkdir()
    lab.state = replace(lab.state, cgroup=str(group))
    lab.state.save()
    lab.state = replace(lab.state, inotify=nodes.raise_inotify(len(lab.topology.nodes())))
    lab.state.save()
    nodes.prepare(lab.state, lab.topology)


def _hold(scratch: Path) -> tuple[int, int]:
    """Start the holder; give its PID and the leash. Raises LabError with what the kernel said."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", namespaces.__file__, "hold", str(scratch)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    leash = os.dup(process.stdin.fileno())
    process.stdin.close()
    first, second = process.stdout.readline().strip(), process.stdout.readline().strip()
    process.stdout.close()
    process.wait()
    if second != "ready":
        os.close(leash)
        raise LabError(f"no namespaces here: {second or first or 'the holder ended at once'}")
    return int(first), leash


def missing_tools(tools: Sequence[str]) -> str:
    """Say which programs a lab lacks; empty where none."""
    missing = [tool for tool in tools if shutil.which(tool, path=f"{os.environ.get('PATH', '')}:{PATH}") is None]
    return f"not installed: {', '.join(missing)}" if missing else ""


def why_not_rooted(programs: Sequence[str] = ()) -> str:
    """Say why no rooted lab can be here, or none that needs these programs too; empty where it can."""
    if os.geteuid():
        return "a rooted lab needs root"
    mount = nodes.cgroup_mount()
    if mount is None or not os.access(mount, os.W_OK):
        return "a rooted lab needs a writable cgroup2 mount"
    return missing_tools((*NEEDED, *NEEDED_ROOTED, *programs))


def sweep(state_dir: Path | str | None = None) -> list[str]:
    """Clean up after labs whose holder is gone; give their names. One that is just being made is left alone."""
    swept = []
    for lab in state.every(state_dir):
        if not lab.alive() and not _young(lab.folder):
            take_down(lab)
            swept.append(lab.id)
    return swept


def _young(folder: Path) -> bool:
    """Tell whether the folder may belong to a lab that is being made right now."""
    with contextlib.suppress(OSError):
        return time.time() - folder.stat().st_mtime < YOUNG
    return True
