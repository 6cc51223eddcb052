"""Who listens: ``ss``."""

from __future__ import annotations

from netchecks.errors import Unreadable
from netchecks.models.system import Listener
from netchecks.observe import observation
from netchecks.parsing import address, lines, number

#: Asking the kernel's socket diagnosis would load its modules: where they are not there ss reads /proc instead.
#: ss before 4.10 has no -H: it prints its usage, with exit status 0, and without -H a header.
_SCRIPT = r"""
[ ! -e /proc/modules ] || { [ -d /sys/module/tcp_diag ] && [ -d /sys/module/udp_diag ]; } || export PROC_ROOT=/proc
o=$(ss -Htulne 2>/dev/null) || o=Usage
case $o in Usage*) ss -tulne ;; *) printf '%s\n' "$o" ;; esac
"""


@observation(shell=_SCRIPT, tool="ss")
def listeners(text: str) -> tuple[Listener, ...]:
    """Every TCP and UDP socket of the node that waits for packets, in ss's order.

    Source: iproute2's misc/ss.c; before 4.16 it wrote ``*:22`` for IPv4 and ``:::22`` for IPv6.
    """
    rows = [line.split() for line in lines(text) if not line.startswith("Netid")]
    old = any(":::" in row[4] for row in rows if len(row) > 4)  # noqa: PLR2004 - the local address is the fifth column
    new = any(row[4].startswith(("[", "0.0.0.0:")) for row in rows if len(row) > 4)  # noqa: PLR2004 - as above
    return tuple(_listener(row, old=old, new=new) for row in rows)


def _listener(row: list[str], *, old: bool, new: bool) -> Listener:
    if len(row) < 6 or not row[2].isdigit() or ":" not in row[4]:  # noqa: PLR2004 - netid state recv-q send-q local peer
        raise Unreadable("'tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:*'", " ".join(row))
    shown, _, port = row[4].rpartition(":")
    host, device = _split_device(shown)
    v6only = True if "v6only:1" in row else False if "v6only:0" in row else None
    families = _families(host, v6only=v6only, old=old, new=new)
    # ss 3.10 calls UDP sockets tcp; a TCP socket that listens is never unconnected
    protocol = "udp" if row[:2] == ["tcp", "UNCONN"] else row[0]
    any_address = host in {"*", "0.0.0.0", "::", ""}  # noqa: S104 - read, not bound
    return Listener(protocol, None if any_address else address(host), number(port), device, families)


def _split_device(shown: str) -> tuple[str, str]:
    """Split ``[fe80::1]%eth0``, ``127.0.0.53%lo`` and ``*%virbr0`` into host and device."""
    if shown.startswith("["):
        host, _, rest = shown[1:].partition("]")
        return (host.partition("%")[0], host.partition("%")[2] or rest.removeprefix("%"))
    host, _, device = shown.partition("%")
    return host, device


def _families(host: str, *, v6only: bool | None, old: bool, new: bool) -> frozenset[int]:
    """Tell the families. ``*`` is IPv6 (and mostly IPv4) in newer releases, IPv4 in those that write ``:::22``."""
    if host == "*" and old and not new:
        return frozenset({4})
    if host in {"*", ""} or (host == "::" and old):
        return {True: frozenset({6}), False: frozenset({4, 6}), None: frozenset[int]()}[v6only]
    return frozenset({6}) if ":" in host else frozenset({4})
