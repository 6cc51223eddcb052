"""``ipconfig /all`` in English, Russian and Chinese: what Windows says of its adapters, addresses and DNS servers.

Source: outputs of Windows XP to 11 (tests/observations/SOURCES.md says which); there is no description of the format.
"""

# ruff: noqa: RUF001 - words of Russian Windows

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from netchecks.errors import Unreadable
from netchecks.models.links import Link
from netchecks.models.routes import InterfaceAddress
from netchecks.models.system import Resolver, Resolvers
from netchecks.models.table import Table
from netchecks.parsing import address, lines, on_link
from netchecks.reading.code_pages import decoded

#: Flags of an address whose prefix length is not told: ipconfig tells none of IPv6.
NO_LENGTH = "length unknown"

#: What a label begins with once dots and spaces are gone -> what it is. Temporary, link-local and self-given ones first.
_LABELS = (
    ("temporaryipv6address", "temporary"), ("временныйipv6-адрес", "temporary"), ("临时ipv6地址", "temporary"),
    ("link-localipv6address", "address"), ("локальныйipv6-адрес", "address"), ("本地链接ipv6地址", "address"),
    ("autoconfigurationipv4address", "address"), ("автонастройкаipv4-адреса", "address"), ("自动配置ipv4地址", "address"),
    ("autoconfigurationipaddress", "address"), ("ipv4address", "address"), ("ipv4-адрес", "address"), ("ipv4地址", "address"),
    ("ipv6address", "address"), ("ipv6-адрес", "address"), ("ipv6地址", "address"),
    ("ipaddress", "address"), ("ip-адрес", "address"), ("ip地址", "address"), ("сайтовыйipv6-адрес", "address"),
    ("subnetmask", "mask"), ("маскаподсети", "mask"), ("子网掩码", "mask"),
    ("physicaladdress", "mac"), ("физическийадрес", "mac"), ("物理地址", "mac"),
    ("mediastate", "gone"), ("состояниесреды", "gone"), ("媒体状态", "gone"),
    ("dnsservers", "dns"), ("dns-серверы", "dns"), ("dns服务器", "dns"),
)
#: What stands behind an address in brackets, in any of the languages: the state of duplicate address detection.
_STATES = {
    "tentative": "tentative", "проверка": "tentative", "试探": "tentative", "duplicate": "dadfailed", "дубликат": "dadfailed",
    "дублирование": "dadfailed", "复制": "dadfailed", "deprecated": "deprecated", "устарел": "deprecated", "受到抨击": "deprecated",
    "已弃用": "deprecated",
}
_FIELD = re.compile(r"\s+([^:]*?)[\s.]*:(?:\s(.*))?")


@dataclass(slots=True)
class _Adapter:
    name: str
    fields: list[tuple[str, str]] = field(default_factory=list)

    def all(self, kind: str) -> Iterator[str]:
        return (value for known, value in self.fields if known == kind and value)


def _adapters(text: str) -> list[_Adapter]:
    """Give every adapter with its fields; one of several lines is several of the same kind."""
    found: list[_Adapter] = []
    kind, known = "", 0
    for line in lines(decoded(text)):
        if not line[0].isspace():
            found += _head(line)
            continue
        match = _FIELD.fullmatch(line)
        if match and not _is_value(line.strip()):
            kind, value = _kind(match[1]), (match[2] or "").strip()
            known += kind != ""
        else:
            value = line.strip()
        if found:
            found[-1].fields.append((kind, value))
    if not known:
        raise Unreadable("what ipconfig /all says in English, Russian or Chinese", text)
    return found


def _head(line: str) -> list[_Adapter]:
    """``Ethernet adapter Ethernet 2:`` names the adapter ``Ethernet 2``; a head without a colon is no adapter."""
    if not line.endswith(":"):
        return []
    words = re.split(r"(?:adapter|[Аа]даптер(?: Ethernet| беспроводной локальной сети)?|适配器) ", line[:-1], maxsplit=1)
    return [_Adapter(words[-1].strip())]


def _kind(label: str) -> str:
    low = re.sub(r"[\s.]", "", label).lower()
    return next((kind for start, kind in _LABELS if low.startswith(start)), "")


def _is_value(text: str) -> bool:
    """Tell whether a line without a label, a further server, looks like one: IPv6 addresses have colons too."""
    try:
        address(text.partition("%")[0])
    except Unreadable:
        return False
    return True


def links(text: str) -> Table[Link]:
    """Read the adapters: MAC, and whether the medium is there. Indices are not told and count from 1."""
    found = {}
    for index, adapter in enumerate(_adapters(text), 1):
        mac = next(adapter.all("mac"), "").replace("-", ":").lower()
        there = next(adapter.all("gone"), "") == ""
        flags = frozenset({"UP", "LOWER_UP"} if there else {"UP"})
        found[adapter.name] = Link(adapter.name, index, mac or None, None, flags, "UP" if there else "DOWN")
    return Table("interface", found)


def addresses(text: str) -> Table[tuple[InterfaceAddress, ...]]:
    """Read the addresses of each adapter. IPv6 has no prefix lengths here: those are /128 with the flag NO_LENGTH."""
    return Table("interface", {adapter.name: tuple(_addresses(adapter)) for adapter in _adapters(text)})


def _addresses(adapter: _Adapter) -> Iterator[InterfaceAddress]:
    shown = ""
    for kind, value in adapter.fields:
        if kind in {"address", "temporary"} and value:
            plain, _, state = value.partition("(")
            if _is_four(plain):
                shown = value
                continue
            flags = _flags(state) | {NO_LENGTH} | ({"temporary"} if kind == "temporary" else set())
            yield InterfaceAddress(on_link(f"{_bare(plain)}/128"), "", frozenset(flags))
        elif kind == "mask" and shown:
            plain, _, state = shown.partition("(")
            shown = ""
            yield InterfaceAddress(on_link(f"{plain.strip()}/{value}"), "", frozenset(_flags(state)))
    if shown:
        raise Unreadable("an IPv4 address with its subnet mask", shown)


def _is_four(text: str) -> bool:
    return isinstance(address(_bare(text)), IPv4Address)


def _bare(text: str) -> str:
    return text.partition("%")[0].strip()


def _flags(state: str) -> set[str]:
    low = state.lower()
    return {flag for word, flag in _STATES.items() if word in low}


def resolvers(text: str) -> Resolvers:
    """Read the DNS servers of all adapters, each once; also by adapter. The ones of adapters that are gone are not asked."""
    by_link: dict[str, tuple[Resolver, ...]] = {}
    for adapter in _adapters(text):
        if next(adapter.all("gone"), None) is None:
            servers = tuple(_resolver(value) for value in adapter.all("dns"))
            if servers:
                by_link[adapter.name] = servers
    every = tuple(dict.fromkeys(server for servers in by_link.values() for server in servers))
    return Resolvers(every, upstreams=every, links=Table("link", by_link))


def _resolver(text: str) -> Resolver:
    plain, _, scope = text.partition("%")
    return Resolver(address(plain.strip()), scope=scope.strip())
