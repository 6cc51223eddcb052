"""Hold the namespaces of a lab, and enter them: the Python standard library and Linux system calls, nothing else.

Run as a script, so that it starts in 20 ms: ``namespaces.py hold SCRATCH`` makes new namespaces and stays as their
PID 1; ``namespaces.py enter PID [K=V ...] -- COMMAND`` runs a command in those of PID and ends as the command does.
Everything a lab is made of lives in the holder's namespaces: when the holder dies, the kernel removes all of it.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# linux/sched.h and linux/mount.h
NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
# linux/prctl.h and linux/capability.h
PR_SET_PDEATHSIG, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 47, 2
CAPABILITY_VERSION_3 = 0x20080522

#: In the order of joining: the user namespace gives the rights for the others, the mount namespace goes last.
KINDS = ("user", "uts", "ipc", "net", "cgroup", "pid", "mnt")

FORWARDED = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2})

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    """Raise OSError with the call's errno where it failed."""
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount something (man 2 mount)."""
    arguments = (os.fsencode(source), os.fsencode(target), kind.encode() or None, flags, options.encode() or None)
    _check(_libc.mount(arguments[0], arguments[1], arguments[2], ctypes.c_ulong(flags), arguments[4]), f"mount {target}")


def unshare(flags: int) -> None:
    """Leave namespaces for new ones (man 2 unshare)."""
    _check(_libc.unshare(flags), "unshare")


def setns(descriptor: int, what: str) -> None:
    """Join a namespace of any kind (man 2 setns)."""
    _check(_libc.setns(descriptor, 0), f"join the {what} namespace")


def die_with_parent() -> None:
    """Be killed when the parent ends, however it ends."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def keep_capabilities() -> None:
    """Pass all capabilities that this process has on to whatever it executes, whatever the user id (capabilities(7), ambient)."""
    class Header(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    class Data(ctypes.Structure):
        _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))

    header, data = Header(CAPABILITY_VERSION_3, 0), (Data * 2)()
    _check(_libc.capget(ctypes.byref(header), data), "capget")
    for half in data:
        half.inheritable = half.permitted
    _check(_libc.capset(ctypes.byref(header), data), "capset")
    for number in range(64):
        if data[number // 32].permitted >> (number % 32) & 1:
            _check(_libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0), "raise ambient capability")


# ---- hold ------------------------------------------------------------------------------------------------------------


def new_user_namespace() -> None:
    """Become the owner of a new user namespace that maps only the own user and group.

    Mapped as themselves and not as 0: tcpdump, dnsmasq and sshd would try to give up root and fail.
    """
    uid, gid = os.geteuid(), os.getegid()
    unshare(NEWUSER)
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")


def private_run(scratch: Path) -> None:
    """Give the lab a /run of its own for netns names and lock files, with the machine's folders still in it."""
    old = scratch / "run"
    old.mkdir()
    mount("/run", str(old), flags=MS_BIND | MS_REC)
    mount("run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    Path("/run/netns").mkdir()
    Path("/run/lab").mkdir()
    for entry in old.iterdir():
        _rebind(entry, Path("/run", entry.name))


def _rebind(entry: Path, at: Path) -> None:
    """Show a folder or link of the old /run in the new one; leave sockets, files and other people's netns out."""
    if at.exists():
        return
    if entry.is_symlink():
        at.symlink_to(entry.readlink())
    elif stat.S_ISDIR(entry.stat().st_mode):
        at.mkdir()
        mount(str(entry), str(at), flags=MS_BIND | MS_REC)


def private_etc(scratch: Path, *, rooted: bool) -> None:
    """Give the lab an /etc of its own, for /etc/netns/NAME/resolv.conf: an overlay, nothing is written to the machine's."""
    layers = scratch / "etc"
    layers.mkdir()
    mount("etc", str(layers), "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    (layers / "upper").mkdir()
    (layers / "work").mkdir()
    options = f"lowerdir=/etc,upperdir={layers}/upper,workdir={layers}/work"
    mount("etc", "/etc", "overlay", 0, options if rooted else f"userxattr,{options}")
    Path("/etc/netns").mkdir(exist_ok=True)
    Path("/etc/lab").mkdir(exist_ok=True)


def furnish(scratch: Path, *, rooted: bool) -> None:
    """Mount what the lab has for itself: /proc of its PID namespace, /run, /etc."""
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    private_run(scratch)
    private_etc(scratch, rooted=rooted)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def reap(leash: int) -> None:
    """Stay as PID 1 and bury children. End, and everything with it, when the leash is cut without a word.

    ``leash``: a pipe from whoever made the lab. A byte on it means: stay for good.
    """
    wake, woken = socket.socketpair()
    woken.setblocking(False)  # noqa: FBT003 - the name of the socket module's only parameter says it
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    watched: list[int] = [wake.fileno(), leash]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if leash in ready:
            if not os.read(leash, 1):
                return
            watched.remove(leash)
        if wake.fileno() in ready:
            wake.recv(4096)
        _bury()


def _bury() -> None:
    """Collect every child that has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def hold(scratch: Path) -> int:
    """Make the namespaces, print the holder's PID, then ``ready`` or what went wrong; stay in them as PID 1."""
    rooted = os.geteuid() == 0
    if not rooted:
        new_user_namespace()
        keep_capabilities()
    unshare(NEWNS | NEWUTS | NEWIPC | NEWNET | NEWPID)
    child = os.fork()
    if child:
        os.write(1, f"{child}\n".encode())
        os._exit(0)
    os.setsid()
    try:
        furnish(scratch, rooted=rooted)
    except (OSError, subprocess.SubprocessError) as error:
        os.write(1, f"{error}\n".encode())
        return 1
    os.write(1, b"ready\n")
    _quiet()
    reap(0)
    return 0


def _quiet() -> None:
    """Let go of the pipe that the maker of the lab reads from, so that it sees its end."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)


# ---- enter -----------------------------------------------------------------------------------------------------------


def join(pid: int) -> None:
    """Enter every namespace of the process that is not already the own one. Raises OSError."""
    entered: list[tuple[str, int]] = []
    for kind in KINDS:
        theirs = f"/proc/{pid}/ns/{kind}"
        if Path(theirs).exists() and os.stat(theirs).st_ino != os.stat(f"/proc/self/ns/{kind}").st_ino:  # noqa: PTH116 - follows ns links
            entered.append((kind, os.open(theirs, os.O_RDONLY | os.O_CLOEXEC)))
    for kind, descriptor in entered:
        setns(descriptor, kind)
        if kind == "user":
            keep_capabilities()


def relay(child: int) -> int:
    """Wait for the child and give its exit status; pass on signals that were sent to this process alone.

    A terminal sends Ctrl-C to the whole process group: the child already has that one.
    """
    while True:
        got = signal.sigwaitinfo(FORWARDED | {signal.SIGCHLD})
        if got.si_signo == signal.SIGCHLD:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        elif got.si_code <= 0:
            os.kill(child, got.si_signo)


def enter(pid: int, variables: Sequence[str], command: Sequence[str]) -> int:
    """Run the command in the namespaces of the process; give its exit status, 128 + n when signal n ended it."""
    folder = Path.cwd()
    join(pid)
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED | {signal.SIGCHLD})
    child = os.fork()  # a PID namespace is for children only
    if not child:
        _become(folder, variables, command)
    status = relay(child)
    return 128 - status if status < 0 else status


def _become(folder: Path, variables: Sequence[str], command: Sequence[str]) -> None:
    """Turn the forked child into the command; 127 when there is none."""
    die_with_parent()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED | {signal.SIGCHLD})
    try:
        os.chdir(folder)
    except OSError:
        os.chdir("/")
    os.environ.update(dict(variable.split("=", 1) for variable in variables))
    try:
        os.execvp(command[0], list(command))
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127)


def main(arguments: list[str]) -> int:
    """Do ``hold SCRATCH`` or ``enter PID [K=V ...] -- COMMAND``."""
    try:
        if arguments[0] == "hold":
            return hold(Path(arguments[1]))
        cut = arguments.index("--")
        return enter(int(arguments[1]), arguments[2:cut], arguments[cut + 1:])
    except OSError as error:
        print(f"netchecks lab: {error}", file=sys.stderr)
        return 126


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
