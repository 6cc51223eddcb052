"""The way to a place: the only module that knows testinfra.

A connection of the inventory becomes testinfra's backend. For ssh, local and netns that backend's own command line runs
in a process of ours, because testinfra's ``run`` closes stdin at once and cannot be interrupted; other backends run it.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import testinfra
from testinfra.backend.local import LocalBackend
from testinfra.host import Host

from netchecks.errors import NotSeen, Why
from netchecks.models.subjects import Connection, Node, Place

if TYPE_CHECKING:
    from testinfra.backend.base import BaseBackend, CommandResult

#: Never ask for anything; notice a dead peer within 15 s; no leftover master process on this machine.
SSH_OPTIONS = "-T -o BatchMode=yes -o ServerAliveInterval=5 -o ServerAliveCountMax=3"
CONNECT_SECONDS = 10
STREAMED = frozenset({"ssh", "local", "netns"})

#: What ssh says on stderr, the stable code and what it means; the first that is in the text counts.
SSH_SAYS = (
    ("Host key verification failed", "node.ssh_host_key_changed", "the host key is not the known one"),
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "node.ssh_host_key_changed", "the host key is not the known one"),
    ("Permission denied", "node.ssh_login_refused", "the login was refused"),
    ("Too many authentication failures", "node.ssh_login_refused", "the login was refused"),
    ("account is locked", "node.ssh_login_refused", "the login was refused"),
    ("Connection refused", "node.ssh_refused", "the connection was refused: no sshd listens there"),
    ("No route to host", "node.ssh_no_route", "there is no route to the address"),
    ("Network is unreachable", "node.ssh_no_route", "there is no route to the address"),
    ("Could not resolve hostname", "node.name_unknown", "the name does not resolve"),
    ("timed out", "node.ssh_timed_out", "nothing answered at the address"),
    ("Connection closed by", "node.ssh_closed", "the connection was closed before the login"),
    ("Connection reset by", "node.ssh_closed", "the connection was reset before the login"),
    ("kex_exchange_identification", "node.ssh_closed", "the connection was closed before the login"),
)


class NetnsBackend(LocalBackend):  # type: ignore[misc]  # testinfra has no types
    """A network namespace of this machine, for testinfra's modules."""

    NAME = "netns"

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Take the namespace's name under /run/netns."""
        super().__init__(*args, **kwargs)
        self._namespace = name

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        """Run a shell command in the namespace."""
        inner = self.get_command(command, *args)
        return super().run("ip netns exec %s sh -c %s", self._namespace, inner, **kwargs)


def backend(node: Place, *, sudo: bool | None = None) -> BaseBackend:
    """Give testinfra's backend for a place. ``sudo``: run all of a command by it; by default as the inventory says."""
    link = node.connection
    sudo = link.sudo if sudo is None else sudo
    if link.backend == "netns":
        return NetnsBackend(link.address, sudo=sudo)
    if link.backend == "local":
        return testinfra.get_host("local://", sudo=sudo).backend
    if link.backend == "chroot":  # its address is a path, which a URL would lose
        return testinfra.get_host(link.address, connection="chroot", sudo=sudo).backend
    if link.backend in {"ssh", "safe-ssh", "paramiko"}:
        return testinfra.get_host(_spec(link), sudo=sudo, **_login(link)).backend
    return testinfra.get_host(f"{link.backend}://{link.address}", sudo=sudo).backend


def host(node: Node) -> Host:
    """Give testinfra's host, for imperative tests: ``host.interface("eth0").is_up``."""
    return Host(backend(node))


def _spec(link: Connection) -> str:
    user = f"{link.user}@" if link.user else ""
    address = f"[{link.address}]" if ":" in link.address else link.address
    return f"{link.backend}://{user}{address}" + (f":{link.port}" if link.port else "")


def _login(link: Connection) -> dict[str, Any]:
    known = {"timeout": CONNECT_SECONDS, "ssh_config": link.ssh_config or None, "ssh_identity_file": link.identity or None}
    if link.backend == "paramiko":  # a jump host is its ssh_config's ProxyCommand
        return known
    extra = SSH_OPTIONS + (f" -J {shlex.quote(link.jump)}" if link.jump else "")
    return known | {"controlpersist": 0, "ssh_extra_args": extra}


def shell(node: Place) -> list[str]:
    """Give the argv of a shell at the node that reads its script from stdin. Only for STREAMED backends."""
    link = node.connection
    if link.backend == "ssh":
        line, arguments = backend(node)._build_ssh_command("sh -s")  # noqa: SLF001 - the backend's own command line
        return shlex.split(backend(node).quote(" ".join(line), *arguments))
    if link.backend == "netns":
        return ["ip", "netns", "exec", link.address, "sh", "-s"]
    return ["sh", "-s"]


def command_line(node: Place, text: str) -> list[str]:
    """Give the argv that has one command line run at a place without a POSIX shell. Only for STREAMED backends."""
    link = node.connection
    if link.backend == "ssh":
        made, arguments = backend(node, sudo=False)._build_ssh_command(text)  # noqa: SLF001 - the backend's own command line
        return shlex.split(backend(node, sudo=False).quote(" ".join(made), *arguments))
    return [*(["ip", "netns", "exec", link.address] if link.backend == "netns" else []), "sh", "-c", text]


def is_refusal(stderr: str) -> bool:
    """Tell whether ssh itself says that there is no connection; a command may exit with its status 255 too."""
    return any(text in stderr for text, _, _ in SSH_SAYS)


def refused(stderr: str) -> NotSeen:
    """Say why a connection did not come about, by what ssh printed."""
    for text, code, meaning in SSH_SAYS:
        if text in stderr:
            return NotSeen(Why.UNREACHABLE, f"{meaning} ({_last_line(stderr)})", cause=code)
    return NotSeen(Why.UNREACHABLE, _last_line(stderr) or "the connection ended without a word", cause="node.unreachable")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
