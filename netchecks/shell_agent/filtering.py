"""What is to be captured, as tcpdump's filter: by offsets alone, which every version reads in the same way.

libpcap's own words for VLAN tags mean one thing before version 1.7 and another since, and either sees one direction only (LAB section
4): the kernel may have taken the tag out of the frame, or left it in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netchecks.packet_filter import IPV4, IPV6, SNAP, TUNNEL_PORTS, TUNNEL_PROTOCOLS, VLANS
from netchecks.probe import Capture

_ETHER = 14
_TCP, _UDP, _ICMP, _ICMPV6 = 6, 17, 1, 58
#: A filter that keeps no frame; an empty one would keep all.
_NOTHING = "less 1"
#: Two tags that stand in the frame move what comes behind them by 8 bytes.
_BASES = (0, 4, 8)


def expression(captures: Sequence[Capture]) -> str:
    """Give a filter that keeps what any of the captures of one device keeps.

    A load from behind a frame's end drops the frame at once: what needs the longest frame comes last.
    """
    macs = sorted({mac for one in captures for mac in one.senders})
    needles = sorted({one.prefix[:2] for one in captures if one.prefix and one.tunnels})
    found = [_broadcasts(macs)] if macs else []
    found += [_behind_tags(base, text) for base in _BASES if (text := _at(base, captures))]
    if needles:
        found.append(f"{_or(_behind_tags(base, _carries(base)) for base in _BASES)} and ({_needles(needles)})")
    return _or(found) or _NOTHING


def _or(texts: Iterable[str]) -> str:
    some = list(texts)
    return "(" + " or ".join(f"({text})" for text in some) + ")" if some else ""


def _any(load: str, values: Iterable[int]) -> str:
    return " or ".join(f"{load} = {value:#x}" for value in values)


def _half(offset: int) -> str:
    return f"ether[{offset}:2]"


def _broadcasts(macs: Sequence[str]) -> str:
    lows = [int(mac.replace(":", "")[4:], 16) for mac in macs]
    return f"ether[2:4] = 0xffffffff and ether[0:2] = 0xffff and ({_any('ether[8:4]', lows)})"


def _behind_tags(base: int, text: str) -> str:
    tags = [f"({_any(_half(12 + before), VLANS)})" for before in range(0, base, 4)]
    return " and ".join([*tags, text])


def _at(base: int, captures: Sequence[Capture]) -> str:
    """Keep what the captures are about of frames whose tags move it by so many bytes."""
    plain = sorted({kind for one in captures for kind in one.ethertypes if not one.prefix and not one.senders})
    found = [_any(_half(12 + base), [kind for kind in plain if kind != IPV6])] if set(plain) - {IPV6} else []
    for kind, protocol, payload in ((IPV4, _ETHER + base + 9, _four(base)), (IPV6, _ETHER + base + 6, _six(base))):
        inside = _inside(f"ether[{protocol}]", payload, captures, whole=IPV6 in plain, six=kind == IPV6)
        if inside:
            found.append(f"{_half(12 + base)} = {kind:#x} and ({inside})")
    return _or(found)


def _four(base: int) -> str:
    return f"{_ETHER + base} + ((ether[{_ETHER + base}] & 15) << 2)"


def _six(base: int) -> str:
    return f"{_ETHER + base + 40}"


def _inside(protocol: str, payload: str, captures: Sequence[Capture], *, whole: bool, six: bool) -> str:
    """Keep what the captures are about of the packets of one family; ``payload``: where what is behind the IP header begins."""
    ports = sorted({port for one in captures for port in one.udp_ports})
    prefixes = sorted({one.prefix for one in captures if one.prefix and not one.tunnels})
    found = [f"{protocol} = {_ICMPV6}"] if whole and six else []
    found += [f"{protocol} = {_UDP} and ({_ports(payload, ports)})"] if ports else []
    found += [text for prefix in prefixes for text in _marked(protocol, payload, prefix, six=six)]
    return _or(found)


def _ports(payload: str, ports: Sequence[int]) -> str:
    return " or ".join(_any(f"ether[{payload} + {offset}:2]", ports) for offset in (0, 2))


def _marked(protocol: str, payload: str, prefix: bytes, *, six: bool) -> list[str]:
    """Keep what netchecks.packet_filter.marked keeps."""
    word, half, block = (int.from_bytes(prefix[:length], "big") for length in (4, 2, 1))
    behind = f"ether[{payload} + 8:4] = {word:#x}"
    errors = _any(f"ether[{payload}]", (1, 2, 3, 4) if six else (3, 11, 12))
    blocks = " or ".join(f"ether[{payload} + {offset}] = {block:#x}" for offset in (0, 2))
    return [
        f"{protocol} = {_TCP} and (ether[{payload} + 4:2] = {half:#x} or ether[{payload} + 8:2] = {half:#x})",
        f"{protocol} = {_UDP} and ({blocks} or {behind})",
        f"{protocol} = {_ICMPV6 if six else _ICMP} and ({errors} or {behind})",
    ]


def _carries(base: int) -> str:
    """Keep packets that carry others."""
    found = []
    for kind, protocol, payload in ((IPV4, _ETHER + base + 9, _four(base)), (IPV6, _ETHER + base + 6, _six(base))):
        load = f"ether[{protocol}]"
        udp = f"{load} = {_UDP} and ({_any(f'ether[{payload} + 2:2]', TUNNEL_PORTS)})"
        found.append(f"{_half(12 + base)} = {kind:#x} and ({_any(load, TUNNEL_PROTOCOLS)} or ({udp}))")
    return _or(found)


def _needles(needles: Sequence[bytes]) -> str:
    """Two bytes that stand somewhere behind the outer header: tcpdump cannot search, so every place is looked at."""
    values = [int.from_bytes(needle, "big") for needle in needles]
    return " or ".join(_any(_half(offset), values) for offset in range(_ETHER + 20, SNAP - 1))
