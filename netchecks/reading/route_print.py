"""``route print`` of Windows, in any language: its columns are figures.

Source: outputs of Windows 7 to 11 (tests/observations/SOURCES.md says which); Microsoft, "route ws2008".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from netchecks.errors import Unreadable
from netchecks.models.routes import Route
from netchecks.models.subjects import Address
from netchecks.parsing import address, lines, number, prefix
from netchecks.reading.code_pages import decoded

_RULER = re.compile(r"\s*={20,}\s*")
#: Destination, mask, gateway or a word for "on the link", the interface's own address, metric.
_FOUR = re.compile(r"\s*([0-9.]{7,15})\s+([0-9.]{7,15})\s+(\S.*?)\s+([0-9.]{7,15})\s+([0-9]{1,10})\s*")
#: Interface's number, metric, prefix; the gateway may stand in the next line.
_SIX = re.compile(r"\s*([0-9]{1,10})\s+([0-9]{1,10})\s+([0-9a-fA-F:.]+/[0-9]{1,3})(?:\s+(\S.*?))?\s*")
_MULTICAST = ("224.", "255.255.255.255", "ff")


def routes(text: str) -> tuple[Route, ...]:
    """Read the routes in force, IPv4 before IPv6; the ones kept for the next boot are left out.

    ``device`` is the interface as it is named here: by its own IPv4 address, or by its number. Metrics include the
    interface's own; smaller ones win. Host routes of own addresses, broadcast and multicast count as table ``local``.
    """
    found = [*_read(lines(decoded(text)))]
    if not any(route.family == 4 for route in found):  # noqa: PLR2004 - the loopback's at least is always there
        raise Unreadable("what route print says of IPv4", text)
    return tuple(sorted(found, key=lambda route: route.family))


def _read(rows: list[str]) -> Iterator[Route]:
    """Give the active routes. Of IPv6 the persistent ones look the same: the ruler below the active ones ends them."""
    begun = ended = False
    for line, further in zip(rows, [*rows[1:], ""], strict=False):  # no rows at all are one short
        four, six = _FOUR.fullmatch(line), _SIX.fullmatch(line)
        if _RULER.fullmatch(line):
            ended = begun
        elif four:
            yield _four(*four.groups())
        elif six and not ended and six[1] != "0":
            begun = True
            yield _six(six[1], six[2], six[3], six[4] or further.strip())


def _four(target: str, mask: str, gateway: str, interface: str, metric: str) -> Route:
    local = target.startswith(_MULTICAST) or target == interface or gateway == interface == "127.0.0.1"
    return Route(
        prefix(f"{target}/{mask}", 4), _kind(target, local), "local" if local else "main", metric=number(metric),
        device=interface, gateway=_via(gateway, interface),
    )


def _six(index: str, metric: str, target: str, gateway: str) -> Route:
    local = target.lower().startswith("ff") or target.endswith("/128")
    return Route(
        prefix(target, 6), _kind(target, local), "local" if local else "main", metric=number(metric), device=f"if{index}",
        gateway=_via(gateway, ""),
    )


def _kind(target: str, local: bool) -> str:  # noqa: FBT001 - one of two words
    if not local:
        return "unicast"
    return "multicast" if target.lower().startswith(_MULTICAST) else "local"


def _via(text: str, interface: str) -> Address | None:
    """Give the gateway; a word such as ``On-link``, and XP's own address, mean that there is none."""
    if text == interface or not re.fullmatch(r"[0-9a-fA-F:.]+(?:%\S+)?", text):
        return None
    return address(text.partition("%")[0])
