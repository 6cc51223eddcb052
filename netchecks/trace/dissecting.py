"""What is in a captured frame: its tags, and every packet in it, behind whatever carries it. Scapy reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

#: Packets within packets that are looked into.
DEEPEST = 6
#: Bytes of an Ethernet header (IEEE 802.3).
ETHERNET = 14
#: IANA protocol numbers.
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
_ERRORS = frozenset({3, 11, 12})  # RFC 792: unreachable, time exceeded, parameter problem; a redirect tells of no loss


@dataclass(frozen=True, slots=True)
class Inner:
    """One IP packet of a frame. ``kind``: the ICMP type; ``identifier``: an echo's. ``acknowledges``, ``flags``: TCP's.

    ``sequence``: TCP's, or of an echo that an error is about. ``payload``: at most 64 bytes.
    ``through``: what carries it, the outer first. ``error``: it is the one that an ICMP error is about; then ``said`` is the error.
    ``miscounted``: all of it is there, and the checksum of TCP or UDP is not that of it.
    """

    through: tuple[str, ...]
    source: str
    destination: str
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    kind: int = -1
    sequence: int = -1
    acknowledges: int = -1
    flags: str = ""
    payload: bytes = b""
    identifier: int = -1
    error: bool = False
    said: str = ""
    miscounted: bool = False


@dataclass(frozen=True, slots=True)
class Asking:
    """An ARP packet, or NDP's solicitation or advertisement. ``answer``: it tells a MAC. ``asker`` as an address."""

    target: str
    answer: bool
    asker: str
    mac: str


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: MACs, VLAN tags with the outer first, the packets in it."""

    source: str
    destination: str
    vlans: tuple[int, ...]
    packets: tuple[Inner, ...]
    asking: Asking | None = None


@cache
def _scapy() -> Any:
    """Import what is needed of scapy once, when the first frame is read: it takes half a second."""
    import scapy.contrib.geneve
    import scapy.contrib.mpls
    import scapy.layers.inet
    import scapy.layers.inet6
    import scapy.layers.l2
    import scapy.layers.vxlan
    import scapy.packet

    udp, mpls = scapy.layers.inet.UDP, scapy.contrib.mpls.MPLS
    scapy.packet.bind_bottom_up(udp, mpls, dport=51234)  # OpenContrib's port before RFC 7510 gave 6635
    scapy.packet.bind_bottom_up(udp, scapy.layers.vxlan.VXLAN, dport=8472)  # Linux' before RFC 7348 gave 4789
    return scapy


@lru_cache(maxsize=65536)
def dissect(data: bytes) -> Frame:
    """Read a frame, which may be cut off. What cannot be read is not in it."""
    if len(data) < ETHERNET:
        return Frame("", "", (), ())
    try:
        return _dissected(data)
    except Exception:  # noqa: BLE001 - strangers wrote it, and scapy's layers raise whatever they run into: one frame must not hide all others
        return Frame("", "", (), ())


def _dissected(data: bytes) -> Frame:
    scapy = _scapy()
    frame = scapy.layers.l2.Ether(data)
    vlans = []
    rest = frame.payload
    while isinstance(rest, (scapy.layers.l2.Dot1Q, scapy.layers.l2.Dot1AD)):
        vlans.append(int(rest.vlan))
        rest = rest.payload
    source, destination = str(frame.src).lower(), str(frame.dst).lower()
    return Frame(source, destination, tuple(vlans), tuple(_packets(rest)), _asking(rest, source))


def _packets(layer: Any) -> Iterator[Inner]:
    """Give every IP packet from here on, with what carries it."""
    scapy = _scapy()
    through: tuple[str, ...] = ()
    quoted = (scapy.layers.inet.IPerror, scapy.layers.inet6.IPerror6)  # what an error is about stands beside it
    while layer.name != "NoPayload" and len(through) <= DEEPEST and not isinstance(layer, quoted):
        if isinstance(layer, (scapy.layers.inet.IP, scapy.layers.inet6.IPv6)):
            yield from _one(layer, through)
        through += _carrier(layer)
        layer = layer.payload


def _carrier(layer: Any) -> tuple[str, ...]:
    """Name a layer that carries packets; empty for one that does not."""
    scapy = _scapy()
    inside, below = layer.payload, layer.underlayer
    if isinstance(layer, scapy.layers.vxlan.VXLAN):
        return (f"VXLAN {layer.vni}",)
    if isinstance(layer, scapy.contrib.geneve.GENEVE):
        return (f"Geneve {layer.vni}",)
    if isinstance(layer, scapy.layers.l2.GRE):
        return () if isinstance(inside, scapy.contrib.mpls.MPLS) else ("GRE",)
    if isinstance(layer, scapy.contrib.mpls.MPLS):
        over = {scapy.layers.inet.UDP: "MPLSoUDP", scapy.layers.l2.GRE: "MPLSoGRE"}.get(type(below), "MPLS")
        return (f"{over} {layer.label}",)
    ip = (scapy.layers.inet.IP, scapy.layers.inet6.IPv6)
    return ("IP-in-IP",) if isinstance(layer, ip) and isinstance(inside, ip) else ()


def _one(ip: Any, through: tuple[str, ...]) -> Iterator[Inner]:
    """Give one IP packet; of an ICMP error also the one that it is about."""
    scapy = _scapy()
    inet, inet6 = scapy.layers.inet, scapy.layers.inet6
    source, destination, inside = str(ip.src), str(ip.dst), ip.payload
    while isinstance(inside, inet6._IPv6ExtHdr):  # noqa: SLF001 - scapy's own base class of extension headers
        inside = inside.payload
    if isinstance(inside, inet.TCP):
        yield Inner(through, source, destination, TCP, inside.sport, inside.dport, sequence=inside.seq, acknowledges=inside.ack,
                    flags=str(inside.flags), miscounted=_is_miscounted(ip, inside, TCP))
    elif isinstance(inside, inet.UDP):
        wrong = bool(inside.chksum) and _is_miscounted(ip, inside, UDP)  # 0: the sender has made none (RFC 768)
        yield Inner(through, source, destination, UDP, inside.sport, inside.dport, payload=bytes(inside.payload)[:64], miscounted=wrong)
    elif isinstance(inside, inet.ICMP):
        yield Inner(through, source, destination, ICMP, kind=int(inside.type), payload=bytes(inside.payload)[:64])
        if inside.type in _ERRORS:
            yield from _about(inside, through, inet.IPerror, _said(inside))
    elif isinstance(inside, inet6._ICMPv6):  # noqa: SLF001 - scapy's own base class of all its messages
        yield Inner(through, source, destination, ICMPV6, kind=int(inside.type), payload=bytes(getattr(inside, "data", b""))[:64])
        yield from _about(inside, through, inet6.IPerror6, _said(inside))


def _is_miscounted(ip: Any, inside: Any, protocol: int) -> bool:
    """Tell whether a checksum is wrong. Of a part of a packet, a fragment or what a capture has cut off, it cannot be told."""
    scapy = _scapy()
    inet, inet6 = scapy.layers.inet, scapy.layers.inet6
    four = isinstance(ip, inet.IP)
    if (four and (ip.frag or "MF" in str(ip.flags))) or ip.getlayer(inet6.IPv6ExtHdrFragment) is not None:
        return False
    size = ip.len - ip.ihl * 4 if four else ip.plen - (len(ip.payload.original) - len(inside.original))
    text = inside.original[:size]
    if size <= 0 or len(text) < size:
        return False
    return bool(inet.in4_chksum(protocol, ip, text) if four else inet6.in6_chksum(protocol, inside.underlayer, text))


def _about(error: Any, through: tuple[str, ...], kind: Any, said: str) -> Iterator[Inner]:
    """Give the packet that an ICMP error is about, as far as the error quotes it."""
    scapy = _scapy()
    quoted = error.getlayer(kind)
    if quoted is None:
        return
    inside = quoted.payload
    ports = (getattr(inside, "sport", 0) or 0, getattr(inside, "dport", 0) or 0)
    if isinstance(inside, scapy.layers.inet.TCPerror):
        yield Inner(through, str(quoted.src), str(quoted.dst), TCP, *ports, sequence=int(inside.seq or 0), error=True, said=said)
    elif isinstance(inside, scapy.layers.inet.UDPerror):
        yield Inner(through, str(quoted.src), str(quoted.dst), UDP, *ports, payload=bytes(inside.payload)[:64], error=True, said=said)
    else:
        yield _echo(quoted, inside, through, said)


def _echo(quoted: Any, inside: Any, through: tuple[str, ...], said: str) -> Inner:
    """Give an echo that an error quotes: no more of it than its header may be there."""
    number, payload = getattr(quoted, "proto", getattr(quoted, "nh", 0)), bytes(getattr(inside, "data", None) or inside.payload)
    kind, identifier, sequence = (getattr(inside, name, None) for name in ("type", "id", "seq"))
    return Inner(
        through, str(quoted.src), str(quoted.dst), int(number or 0), kind=-1 if kind is None else int(kind), sequence=int(sequence or 0),
        payload=payload[:64], identifier=int(identifier or 0), error=True, said=said,
    )


def _said(message: Any) -> str:
    """Say an ICMP error in scapy's words: "dest-unreach port-unreachable"."""
    words = (str(message.sprintf(text)) for text in ("%type%", "%code%"))
    return " ".join(word for word in words if word and word != "??")


def _asking(layer: Any, source: str) -> Asking | None:
    scapy = _scapy()
    inet6 = scapy.layers.inet6
    if isinstance(layer, scapy.layers.l2.ARP) and layer.op in {1, 2}:  # RFC 826: request, reply
        answer = layer.op == 2  # noqa: PLR2004 - a reply
        target, asker = (layer.psrc, layer.pdst) if answer else (layer.pdst, layer.psrc)
        return Asking(str(target), answer, str(asker), str(layer.hwsrc).lower())
    if isinstance(layer, inet6.IPv6):
        for kind, answer in ((inet6.ICMPv6ND_NS, False), (inet6.ICMPv6ND_NA, True)):
            if isinstance(layer.payload, kind):
                asker = str(layer.dst if answer else layer.src)
                option = layer.payload.getlayer(inet6.ICMPv6NDOptDstLLAddr) if answer else None
                return Asking(str(layer.payload.tgt), answer, asker, str(option.lladdr).lower() if option else source)
    return None
