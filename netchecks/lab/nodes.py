"""The nodes of a rooted lab: real systemd and sshd, each in namespaces of its own on an overlay of the machine's /.

``prepare`` runs with the maker (keys, files), ``start`` inside the holder's namespaces.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from netchecks.errors import LabError
from netchecks.lab import boot, openvswitch, virsh
from netchecks.lab.state import State
from netchecks.lab.topology import Daemon, Place, Topology

HERE = Path(__file__).parent

#: An instance each for systemd (3), its dbus and what a test starts.
INOTIFY_PER_NODE = 5
INOTIFY_SPARE = 128

INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")


def cgroup_mount() -> Path | None:
    """Give where cgroup2 is mounted, None where it is not."""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        fields = line.split()
        if fields[2] == "cgroup2":
            return Path(fields[1])
    return None


def raise_inotify(count: int) -> int:
    """Allow as many inotify instances as the nodes need; give the limit as it was, 0 where it was enough.

    The limit is the machine's and per user: with 128, of 50 nodes 3 did not start. Two nodes never need it.
    """
    limit = int(INOTIFY.read_text(encoding="ascii"))
    wanted = INOTIFY_SPARE + count * INOTIFY_PER_NODE
    if count * INOTIFY_PER_NODE * 2 <= limit or limit >= wanted:
        return 0
    INOTIFY.write_text(f"{wanted}\n", encoding="ascii")
    return limit


def put_back_inotify(lab: State, others: list[State]) -> None:
    """Set the limit to what it was, unless another lab that raised it still stands."""
    if lab.inotify and not any(other.inotify for other in others):
        INOTIFY.write_text(f"{lab.inotify}\n", encoding="ascii")


def keygen(path: Path, comment: str) -> str:
    """Make an ed25519 key pair; give the public key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)], check=True)
    return path.with_name(path.name + ".pub").read_text(encoding="ascii")


def prepare(lab: State, topology: Topology) -> None:
    """Write keys, known hosts, the ssh configuration and each node's files into the state folder."""
    keygen(lab.folder / "id_lab", f"netchecks-lab-{lab.id}")
    known = []
    for name, place in topology.nodes().items():
        assert place.node is not None
        files = lab.folder / "nodes" / name
        public = keygen(files / "etc/ssh/ssh_host_ed25519_key", name)
        known.append(f"{name},{place.node.address} {public}")
        for path, text in node_files(topology, name, place).items():
            target = files / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        for path, target_of in boot.links(place).items():
            link = files / path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target_of)
        _open_up(files)
        for unit in place.node.units:
            wanted = files / "etc/systemd/system/lab.target.wants" / unit
            wanted.parent.mkdir(parents=True, exist_ok=True)
            own = f"etc/systemd/system/{unit}"
            wanted.symlink_to(f"/{own}" if own in _own_files(place) else f"/lib/systemd/system/{unit}")
    (lab.folder / "known_hosts").write_text("".join(known), encoding="ascii")
    (lab.folder / "ssh_config").write_text(ssh_config(lab.folder, topology), encoding="utf-8")


def _open_up(files: Path) -> None:
    """Make folders and files readable for all, as /etc is, whatever the umask; never the private key."""
    for path in (files, *(path for path in files.rglob("*") if not path.is_symlink())):
        path.chmod(0o755 if path.is_dir() else 0o600 if path.name.endswith("_key") else 0o644)


def node_files(topology: Topology, name: str, place: Place) -> dict[str, str]:
    """Give the text of each file that is the node's own."""
    return {
        "etc/hostname": f"{name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {name}\n",
        "etc/machine-id": hashlib.md5(name.encode(), usedforsecurity=False).hexdigest() + "\n",
        "etc/resolv.conf": resolv_conf(place),
        "etc/lab/node.xml": virsh.node_xml(topology, name),
        **boot.files(place),
        **openvswitch.node_files(topology, name),
        **_own_files(place),
        **{path: text for daemon in place.daemons for path, text in _service(daemon).items()},
    }


def _own_files(place: Place) -> dict[str, str]:
    """Give the files that the topology says a node has: their text, or that of a file of this folder."""
    if place.node is None:
        return {}
    copied = {path: (HERE / name).read_text(encoding="utf-8") for path, name in place.node.programs.items()}
    return {**copied, **place.node.files}


def _service(daemon: Daemon) -> dict[str, str]:
    """Give the files that make a daemon a service of the node's systemd."""
    units = "etc/systemd/system"
    return {
        f"etc/lab/{daemon.name}.sh": f"exec {daemon.run}\n",
        f"{units}/{daemon.name}.service": f"[Unit]\nDescription={daemon.name}\n[Service]\nExecStart=/bin/sh /etc/lab/{daemon.name}.sh\n",
        f"{units}/lab.target.d/{daemon.name}.conf": f"[Unit]\nWants={daemon.name}.service\n",
    }


def resolv_conf(place: Place) -> str:
    """Give the resolver configuration of a place; names have no search list."""
    return "".join(f"nameserver {address}\n" for address in place.resolvers) + "options timeout:2 attempts:1\n"


def ssh_config(folder: Path, topology: Topology) -> str:
    """Give the ssh configuration that works inside the controller."""
    hosts = "".join(
        f"Host {name} {place.node.address}\n  HostName {place.node.address}\n"
        for name, place in topology.nodes().items() if place.node
    )
    # The default key exchange costs 60 ms more a connection: it has to withstand quantum computers, a lab has not.
    return hosts + (
        "Host *\n  User lab\n"
        f'  IdentityFile "{folder}/id_lab"\n  IdentitiesOnly yes\n  IdentityAgent none\n'
        f'  UserKnownHostsFile "{folder}/known_hosts"\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n'
        "  KexAlgorithms curve25519-sha256\n  BatchMode yes\n  ConnectTimeout 5\n"
    )


def start(lab: State, topology: Topology) -> None:
    """Start every node, in its own cgroup below the lab's. Raises LabError."""
    layers = lab.folder / "layers"
    layers.mkdir(exist_ok=True)
    made = subprocess.run(
        ["sh", str(HERE / "base.sh"), str(layers), f"{lab.folder}/id_lab.pub"], capture_output=True, text=True, check=False,
    )
    if made.returncode:
        raise LabError(f"the nodes' common layer could not be made: {made.stderr.strip()}")
    for name in topology.nodes():
        _start_one(lab, name, layers)


def _start_one(lab: State, name: str, layers: Path) -> None:
    """Start one node; its first process keeps the rest of its life in the node's cgroup."""
    group = Path(lab.cgroup, name)
    group.mkdir()
    enter = 'echo $$ >"$0/cgroup.procs" && exec "$@"'
    argv = ["ip", "netns", "exec", lab.netns(name), "unshare", "--cgroup", "--mount", "--uts", "--ipc", "--pid", "--fork",
            "--kill-child=SIGKILL", "sh", str(HERE / "node.sh"), name, str(layers), str(lab.folder / "nodes" / name)]
    with (lab.folder / "log" / name).open("ab") as log:
        subprocess.Popen(["sh", "-c", enter, str(group), *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                         start_new_session=True)


def systemd_of(lab: State, name: str) -> int:
    """Give the PID of a node's systemd as this process sees it. Raises LabError where it does not run."""
    try:
        pids = Path(lab.cgroup, name, "init.scope", "cgroup.procs").read_text(encoding="ascii").split()
    except OSError:
        pids = []
    if not pids:
        raise LabError(f"{name} does not run")
    return min(map(int, pids))
