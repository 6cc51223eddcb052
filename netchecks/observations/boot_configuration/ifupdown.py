"""ifupdown: /etc/network/interfaces and what it sources; Debian, Ubuntu up to 16.04, Astra Linux, Proxmox (ifupdown2).

Source: interfaces(5), bridge-utils-interfaces(5), vlan-interfaces(5), ifupdown-addons-guide(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import pairwise

from netchecks.models.boot import SERVICES, BootInterface, BootRoute
from netchecks.models.subjects import AddressOnLink
from netchecks.observations.boot_configuration.files import (
    File,
    Found,
    address,
    default_by,
    everything,
    ip_route,
    number,
    on_link,
    prefix,
)

_METHODS = {
    ("inet", "dhcp"): "dhcp4", ("inet", "bootp"): "dhcp4", ("inet6", "dhcp"): "dhcp6", ("inet6", "auto"): "ra",
    ("inet", "ipv4ll"): "link-local",
}


@dataclass(slots=True)
class _Stanza:
    """One ``iface``: options in their order."""

    name: str
    family: str = ""
    method: str = ""
    options: list[tuple[str, str]] = field(default_factory=list)
    inherits: str = ""

    def of(self, *names: str) -> list[str]:
        wanted = {name.replace("-", "_") for name in names}
        return [value for name, value in self.options if name.replace("-", "_") in wanted]

    def last(self, *names: str) -> str:
        return next(reversed(self.of(*names)), "")


def read(files: list[File]) -> Found:
    """Read them all as one: stanzas of one interface are added together."""
    read = _Read()
    for file in files:
        read.current = None
        for line in file.lines:
            word, rest = (*line.split(None, 1), "", "")[:2]
            read.take(word, rest.strip(), file)
    return Found(list(_interfaces(read.stanzas, read.auto)), read.unread)


@dataclass(slots=True)
class _Read:
    """What was read so far; ``current`` is the stanza that the next option belongs to."""

    stanzas: list[tuple[_Stanza, File]] = field(default_factory=list)
    auto: set[str] = field(default_factory=set)
    unread: list[str] = field(default_factory=list)
    current: _Stanza | None = None

    def take(self, word: str, rest: str, file: File) -> None:
        """Take one line."""
        if word in {"auto", "allow-auto", "allow-hotplug", "allow-boot"}:
            self.auto.update(rest.split())
        if word == "mapping":
            self.unread.append(f"ifupdown {file.path}: mapping {rest}")
        if word in {"auto", "mapping", "no-auto-down", "no-scripts", "rename"} or word.startswith(("source", "allow-")):
            self.current = None
        elif word in {"iface", "template"}:
            self.current = _stanza(rest.split() or [""])
            self.stanzas.append((self.current, file))
        elif self.current is not None:
            self.current.options.append((word, rest))
            self.current.inherits = rest if word == "inherits" else self.current.inherits


def _stanza(words: list[str]) -> _Stanza:
    """Read ``iface eth0 inet static inherits base``; family and method may be left out."""
    parent = words[words.index("inherits") + 1] if "inherits" in words[:-1] else ""
    told = words[1:words.index("inherits")] if "inherits" in words else words[1:]
    family = next((word for word in told if word in {"inet", "inet6"}), "")
    return _Stanza(words[0], family, next((word for word in told if word != family), ""), [], parent)


def _interfaces(stanzas: list[tuple[_Stanza, File]], auto: set[str]) -> Iterator[BootInterface]:
    by_name: dict[str, list[tuple[_Stanza, File]]] = {}
    for stanza, file in stanzas:
        by_name.setdefault(stanza.name.partition(":")[0], []).append((stanza, file))
    started = {name.partition(":")[0] for name in auto}
    ports = {port for stanza, _ in stanzas for port in _ports(stanza)}
    for name, own in by_name.items():
        full = [_with_parents(stanza, stanzas, 0) for stanza, _ in own]
        yield _interface(name, full, own[0][1], on_boot=name in started or name in ports or _started_by_pattern(name, started))


def _started_by_pattern(name: str, auto: set[str]) -> bool:
    """Tell whether ``auto /eth*`` or ``auto eth0=eth0`` starts it."""
    return any(fnmatchcase(name, one[1:].partition("/")[0]) for one in auto if one.startswith("/")) or any(
        one.partition("=")[0] == name for one in auto if "=" in one
    )


def _with_parents(stanza: _Stanza, stanzas: list[tuple[_Stanza, File]], depth: int) -> _Stanza:
    """Give a stanza with the options that it inherits before its own."""
    parent = next((other for other, _ in stanzas if other.name == stanza.inherits and other is not stanza), None)
    if not stanza.inherits or parent is None or depth > 8:  # noqa: PLR2004 - no sane chain is longer
        return stanza
    above = _with_parents(parent, stanzas, depth + 1)
    return _Stanza(stanza.name, stanza.family or above.family, stanza.method or above.method, [*above.options, *stanza.options])


def _interface(name: str, stanzas: list[_Stanza], file: File, *, on_boot: bool) -> BootInterface:
    bridges = [stanza for stanza in stanzas if _is_bridge(stanza)]
    hooks = [hook for stanza in stanzas for hook in stanza.of("up")]
    raw, (base, dot, tag) = _first(stanzas, "vlan-raw-device"), name.rpartition(".")
    methods = {_METHODS.get((stanza.family or "inet", stanza.method), "") for stanza in stanzas}
    return BootInterface(
        name, "ifupdown", file.path, (name,), kind=_kind(name, stanzas), master=_first(stanzas, "bond-master") or _joined(name, hooks),
        ports=tuple(port for stanza in bridges for port in _ports(stanza)), methods=frozenset(filter(None, methods)),
        addresses=tuple(one for stanza in stanzas for one in _addresses(stanza)),
        routes=tuple(route for stanza in stanzas for route in _routes(stanza, name)), mtu=number(_first(stanzas, "mtu")),
        vlan=number(tag) if dot else None, parent=raw or (base if dot else ""), on_boot=on_boot,
        opaque=any(map(_is_opaque, hooks)) or any("all" in stanza.last("bridge_ports").split() for stanza in bridges),
        services=SERVICES["ifupdown"],
    )


def _first(stanzas: list[_Stanza], option: str) -> str:
    return next((stanza.last(option) for stanza in stanzas if stanza.last(option)), "")


def _kind(name: str, stanzas: list[_Stanza]) -> str:
    if any(_is_bridge(stanza) for stanza in stanzas):
        return "bridge"
    if any(stanza.of("bond-slaves", "slaves") for stanza in stanzas):
        return "bond"
    return "vlan" if _first(stanzas, "vlan-raw-device") or (name.rpartition(".")[2].isdigit() and "." in name) else ""


def _is_bridge(stanza: _Stanza) -> bool:
    return any(name.replace("-", "_").startswith("bridge_") for name, _ in stanza.options)


def _ports(stanza: _Stanza) -> list[str]:
    """Give the patterns of ``bridge_ports eth0 regex tap.* noregex eth1``."""
    found: list[str] = []
    regex = False
    for word in stanza.last("bridge_ports").split():
        if word in {"regex", "noregex"}:
            regex = word == "regex"
        elif word not in {"none", "all"}:
            found.append(f"/{word}/" if regex and _is_regex(word) else word)
    return found


def _is_regex(text: str) -> bool:
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError):
        return False
    return len(text) < 100 and "(" not in text  # noqa: PLR2004 - one that could take long is none that we try


def _addresses(stanza: _Stanza) -> Iterator[AddressOnLink]:
    read = stanza.method not in {"dhcp", "bootp", "manual"}  # ifupdown does not look at it there
    for text in stanza.of("address") if read else ():
        default = "64" if ":" in text else "24"
        found = on_link(text.split()[0] if text.split() else "", stanza.last("netmask") or default)
        if found is not None:
            yield found
    for hook in stanza.of("up"):
        found = _hook_address(hook.split())
        if found is not None:
            yield found


def _hook_address(words: list[str]) -> AddressOnLink | None:
    """Read ``ip addr add 10.0.0.2/24 dev br0``."""
    tool = words[0].rpartition("/")[2] if words else ""
    at = next((index for index, word in enumerate(words) if word in {"add", "replace"}), len(words))
    if tool != "ip" or not set(words[:at]) & {"a", "ad", "addr", "address"} or at + 1 >= len(words):
        return None
    return on_link(words[at + 1]) if "/" in words[at + 1] else None


def _routes(stanza: _Stanza, name: str) -> Iterator[BootRoute]:
    for gateway in stanza.of("gateway"):
        yield from default_by(gateway.split()[0] if gateway.split() else "", name)
    for hook in stanza.of("up"):
        words = [name if word in {"$IFACE", "${IFACE}", '"$IFACE"'} else word for word in hook.split()]
        route = _hook_route(words, name)
        if route is not None:
            yield route


def _hook_route(words: list[str], name: str) -> BootRoute | None:
    tool = words[0].rpartition("/")[2] if words else ""
    if tool == "ip":
        at = next((i for i, word in enumerate(words) if word in {"add", "replace", "append", "change"}), None)
        six = "-6" in words
        if at is None or not set(words[:at]) & {"r", "ro", "route"}:
            return None
        found = ip_route(words[at + 1:], "")
        return BootRoute(everything(6), found.via, found.dev) if found and six and not found.to.prefixlen else found
    return _old_route(words, name) if tool == "route" else None


def _old_route(words: list[str], name: str) -> BootRoute | None:
    """Read ``route add -net 10.0.0.0 netmask 255.0.0.0 gw 10.1.0.1 dev eth0``."""
    if "add" not in words:
        return None
    rest = [word for word in words[words.index("add") + 1:] if word not in {"-net", "-host"}]
    told = dict(pairwise(rest[1:]))
    via = address(told.get("gw", ""))
    length = "32" if "-host" in words else told.get("netmask", "")
    to = everything(via.version if via else 4) if rest[:1] == ["default"] else prefix(rest[0] if rest else "", length)
    return None if to is None else BootRoute(to, via, told.get("dev", name if via is None else ""))


def _joined(name: str, hooks: list[str]) -> str:
    """Give the bridge that a hook makes the interface a port of."""
    for hook in hooks:
        words = [name if word in {"$IFACE", "${IFACE}"} else word for word in hook.split()]
        told = dict(pairwise(words))
        if "addif" in words[:-2] and words[words.index("addif") + 2] == name:
            return words[words.index("addif") + 1]
        if "master" in told and name in words:
            return told["master"]
    return ""


def _is_opaque(hook: str) -> bool:
    """Tell whether a hook may do what is not read from it."""
    words = hook.split()
    tool = words[0].rpartition("/")[2] if words else ""
    quiet = tool == "ifconfig" or (tool == "ip" and bool(set(words) & {"link", "l"}) and "master" not in words and "add" not in words)
    known = _hook_route(words, "x") is not None or _hook_address(words) is not None
    return not quiet and not known and not ("addif" in words or ("master" in words and "$" not in hook))
