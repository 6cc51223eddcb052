"""Whom the node asks for names: resolv.conf and systemd-resolved behind it."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

from netchecks.errors import Unreadable
from netchecks.models.subjects import Vm
from netchecks.models.system import Resolver, Resolvers
from netchecks.models.table import Table
from netchecks.observe import command_line, observation, powershell_line
from netchecks.parsing import address, lines, number, sections
from netchecks.reading import ipconfig, powershell

#: resolved's own files are only there while it runs; resolvectl would start it where it does not, so it is asked first.
_SCRIPT = r"""
echo @resolv.conf; [ ! -e /etc/resolv.conf ] || cat /etc/resolv.conf || exit
echo; echo @upstreams
r=/run/systemd/resolve/resolv.conf
if [ -e "$r" ]; then cat "$r"; fi
echo; echo @links
if [ -e "$r" ] && command -v resolvectl >/dev/null 2>&1 && systemctl is-active --quiet systemd-resolved; then
  resolvectl --no-pager dns
fi
:
"""

#: systemd-resolved's stubs, systemd-resolved.service(8).
_STUBS = frozenset({IPv4Address("127.0.0.53"), IPv4Address("127.0.0.54")})


@observation(shell=_SCRIPT, tool="sh")
def resolvers(text: str) -> Resolvers:
    """The name servers in the order in which they are asked, and those behind systemd-resolved's stub, also by link.

    Without any line the C library asks 127.0.0.1; that is not added here. Source: resolv.conf(5), resolvectl(1).
    """
    return _resolvers(text)


@observation(
    shell=_SCRIPT, tool="sh", of=Vm, inside=True,
    windows=(
        (powershell_line("Get-DnsClientServerAddress|Select-Object InterfaceAlias,ServerAddresses"), powershell.resolvers),
        (command_line('cmd /c "chcp & ipconfig /all"', tool="ipconfig"), ipconfig.resolvers),
    ),
)
def guest_resolvers(text: str) -> Resolvers:
    """The name servers inside a VM, in the order in which they are asked; in Windows also by adapter."""
    return _resolvers(text)


def _resolvers(text: str) -> Resolvers:
    parts = sections(text, ("resolv.conf", "upstreams", "links"))
    servers, search, options, invalid = _resolv_conf(parts["resolv.conf"])
    stub = any(server.address in _STUBS for server in servers)
    behind = _resolv_conf(parts["upstreams"])[0]
    return Resolvers(servers, search, options, stub, behind if stub else servers, Table("link", _links(parts["links"])), invalid)


def _resolv_conf(text: str) -> tuple[tuple[Resolver, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    servers: list[Resolver] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    invalid: list[str] = []
    for line in lines(text):
        keyword, *values = re.split(r"[#;]", line, maxsplit=1)[0].split() or [""]
        if keyword == "nameserver":
            read = _nameserver(" ".join(values))
            servers.extend(read)
            invalid.extend([] if read else [line.strip()])
        elif keyword in {"search", "domain"}:
            search = tuple(values)  # the last of them wins, resolv.conf(5)
        elif keyword == "options":
            options.extend(values)
    return tuple(servers), search, tuple(options), tuple(invalid)


def _nameserver(text: str) -> list[Resolver]:
    host, _, scope = text.partition("%")
    try:
        return [Resolver(address(host), scope=scope)]
    except Unreadable:
        return []  # the C library skips such a line as well; the caller keeps it as invalid


_LINK = re.compile(r"(?:Global|Link [0-9]+ \((.+?)\)):(.*)")


def _links(text: str) -> dict[str, tuple[Resolver, ...]]:
    found: dict[str, tuple[Resolver, ...]] = {}
    current = None
    for line in lines(text):
        match = _LINK.fullmatch(line)
        if match:
            current, rest = match[1] or "global", match[2]
        elif current is not None and line[0].isspace():
            rest = line  # a long list goes on in the next line
        else:
            raise Unreadable("'Link 2 (eth0): 10.0.0.1'", line)
        found[current] = found.get(current, ()) + tuple(_server(word) for word in rest.split())
    return found


#: ADDRESS, [ADDRESS]:PORT, ADDRESS:PORT, with %SCOPE and #NAME behind. resolved.conf(5), DNS=.
_SERVER = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+|[0-9a-fA-F:.]+?))(?::([0-9]{1,5}))?(?:%([^#]+))?(?:#(.+))?")


def _server(word: str) -> Resolver:
    match = _SERVER.fullmatch(word)
    if not match:
        raise Unreadable("a name server's address", word)
    host, port, scope, name = match[1] or match[2], match[3], match[4], match[5]
    if port and not match[1] and "." not in host:
        host, port = f"{host}:{port}", ""  # the end of an IPv6 address
    return Resolver(address(host), number(port) if port else 53, scope or "", name or "")
