"""DHCP messages and router advertisements as they stand in captured frames (RFC 2131, RFC 8415, RFC 4861).

Read strictly: a frame that is not whole, or not what it says, is no message, and never half of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from netchecks.models.subjects import Address

IPV4, IPV6, UDP, ICMPV6 = 0x0800, 0x86DD, 17, 58  # IANA
VLANS = (0x8100, 0x88A8)  # IEEE 802.1Q, 802.1ad
#: RFC 2131 section 2, RFC 8415 section 7.2.
SERVER, CLIENT, SERVER6, CLIENT6 = 67, 68, 547, 546
#: RFC 2132 section 9.6.
KINDS = {1: "DISCOVER", 2: "OFFER", 3: "REQUEST", 4: "DECLINE", 5: "ACK", 6: "NAK", 7: "RELEASE", 8: "INFORM"}
#: RFC 8415 section 7.3; 12 and 13 are those of relays.
KINDS6 = {
    1: "SOLICIT", 2: "ADVERTISE", 3: "REQUEST", 4: "CONFIRM", 5: "RENEW", 6: "REBIND", 7: "REPLY", 8: "RELEASE", 9: "DECLINE",
    10: "RECONFIGURE", 11: "INFORMATION-REQUEST",
}
#: RFC 2132.
_MASK, _ROUTER, _DNS, _REQUESTED, _LEASE, _OVERLOAD, _KIND, _SERVER_ID, _MESSAGE = 1, 3, 6, 50, 51, 52, 53, 54, 56
#: RFC 8415 section 21: client and server identifier, IA_NA, address of one, status code. RFC 3646: resolvers.
_CLIENT_ID6, _SERVER_ID6, _IA_NA, _IA_ADDRESS, _STATUS, _DNS6 = 1, 2, 3, 5, 13, 23
_COOKIE = b"\x63\x82\x53\x63"  # RFC 2131 section 3
_ADVERTISEMENT = 134  # RFC 4861 section 4.2
_PREFIX_OPTION = 3  # RFC 4861 section 4.6.2


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``client``: the MAC that it is for, of IPv6 that of the DUID, else the DUID in hexadecimal.

    ``server``: the identifier it names, of IPv6 the address it came from; ``address``: what is offered, given or asked for.
    ``text``: what the server says with it. ``mac``: who sent the frame. ``identifier``: of the transaction. Lease in seconds;
    seconds since the start.
    """

    family: int
    kind: str
    client: str
    seconds: float = 0.0
    device: str = ""
    outgoing: bool = False
    mac: str = ""
    server: Address | None = None
    address: Address | None = None
    relay: Address | None = None
    routers: tuple[Address, ...] = ()
    resolvers: tuple[Address, ...] = ()
    mask: int | None = None
    lease: int | None = None
    text: str = ""
    identifier: int = 0

    @property
    def from_server(self) -> bool:
        """Whether a server sent it."""
        return self.kind in {"OFFER", "ACK", "NAK", "ADVERTISE", "REPLY", "RECONFIGURE"}


@dataclass(frozen=True, slots=True)
class AdvertisedPrefix:
    """One prefix of an advertisement: on link, for addresses that hosts make themselves. Lifetime in seconds."""

    prefix: IPv6Network
    on_link: bool
    autonomous: bool
    valid: int


@dataclass(frozen=True, slots=True)
class Advertisement:
    """One router advertisement. ``lifetime``: seconds as a default router, 0: it is none. M is ``managed``, O ``other``."""

    router: IPv6Address
    mac: str
    managed: bool
    other: bool
    lifetime: int
    prefixes: tuple[AdvertisedPrefix, ...] = ()
    seconds: float = 0.0


class _Short(Exception):
    """The frame is not whole."""


@dataclass(frozen=True, slots=True)
class _Packet:
    """What carries a message: addresses, the protocol above IP and its bytes."""

    mac: str
    source: Address
    protocol: int
    body: bytes
    hop_limit: int


def messages(packets: Iterable[tuple[float, str, bool, bytes]]) -> tuple[Message, ...]:
    """Read every DHCP message among captured frames: (seconds, device, outgoing, data)."""
    found: list[Message] = []
    for seconds, device, outgoing, data in packets:
        try:
            found.extend(_message(_packet(data), seconds, device, outgoing=outgoing))
        except _Short:
            continue
    return tuple(found)


def advertisements(packets: Iterable[tuple[float, str, bool, bytes]]) -> tuple[Advertisement, ...]:
    """Read every valid router advertisement among captured frames (RFC 4861 section 6.1.2)."""
    found: list[Advertisement] = []
    for seconds, _, outgoing, data in packets:
        try:
            packet = _packet(data)
            if not outgoing and packet.protocol == ICMPV6 and packet.body[:2] == bytes([_ADVERTISEMENT, 0]):
                found.extend(_advertisement(packet, seconds))
        except _Short:
            continue
    return tuple(found)


def _take(data: bytes, at: int, size: int) -> bytes:
    if size < 0 or len(data) < at + size:
        raise _Short
    return data[at:at + size]


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(_take(data, at, size), "big")


def _packet(frame: bytes) -> _Packet:
    at, kind = 14, _number(frame, 12, 2)
    while kind in VLANS:
        at, kind = at + 4, _number(frame, at + 2, 2)
    mac = frame[6:12].hex(":")
    if kind == IPV4:
        header = (_number(frame, at, 1) & 15) * 4
        if _number(frame, at + 6, 2) & 0x3FFF or header < 20:  # noqa: PLR2004 - a fragment; RFC 791: five words at least
            raise _Short
        body = _take(frame, at + header, _number(frame, at + 2, 2) - header)
        return _Packet(mac, IPv4Address(_take(frame, at + 12, 4)), frame[at + 9], body, frame[at + 8])
    if kind == IPV6:
        body = _take(frame, at + 40, _number(frame, at + 4, 2))
        return _Packet(mac, IPv6Address(_take(frame, at + 8, 16)), frame[at + 6], body, frame[at + 7])
    raise _Short


def _message(packet: _Packet, seconds: float, device: str, *, outgoing: bool) -> Iterator[Message]:
    if packet.protocol != UDP:
        return
    ports = {_number(packet.body, 0, 2), _number(packet.body, 2, 2)}
    size = _number(packet.body, 4, 2)
    if size > len(packet.body):
        raise _Short
    read = _bootp if ports <= {SERVER, CLIENT} else _dhcp6 if ports <= {SERVER6, CLIENT6} else None
    if read is not None:
        yield from read(packet, packet.body[8:size], seconds, device, outgoing)


# -- IPv4 ------------------------------------------------------------------------------------------------------------


def _bootp(packet: _Packet, data: bytes, seconds: float, device: str, outgoing: bool) -> Iterator[Message]:  # noqa: FBT001 - as captured
    options = _options(data)
    kind = KINDS.get(int.from_bytes(options.get(_KIND, b""), "big"))
    if kind is None or data[1:3] != b"\x01\x06":  # of Ethernet, six bytes
        return
    given, relay = _ipv4(data[16:20]), _ipv4(data[24:28])
    yield Message(
        4, kind, data[28:34].hex(":"), seconds, device, outgoing, packet.mac, _ipv4(options.get(_SERVER_ID, b"")),
        given or _ipv4(options.get(_REQUESTED, b"")) or _ipv4(data[12:16]), relay, _ipv4s(options.get(_ROUTER, b"")),
        _ipv4s(options.get(_DNS, b"")), _prefix_length(options.get(_MASK, b"")), _seconds(options.get(_LEASE, b"")),
        _text(options.get(_MESSAGE, b"")), int.from_bytes(data[4:8], "big"),
    )


def _options(data: bytes) -> dict[int, bytes]:
    """Read the options, also those in ``file`` and ``sname`` (RFC 2132 section 9.3); several of one code are one (RFC 3396)."""
    if _take(data, 236, 4) != _COOKIE:
        raise _Short
    found = _tlvs(data[240:])
    overload = int.from_bytes(found.get(_OVERLOAD, b""), "big")
    for bit, part in ((1, data[108:236]), (2, data[44:108])):
        if overload & bit:
            for code, value in _tlvs(part).items():
                found[code] = found.get(code, b"") + value
    return found


def _tlvs(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != 255:  # noqa: PLR2004 - RFC 2132 section 3.2: end
        if data[at] == 0:
            at += 1
            continue
        size = _number(data, at + 1, 1)
        found[data[at]] = found.get(data[at], b"") + _take(data, at + 2, size)
        at += 2 + size
    return found


def _ipv4(data: bytes) -> Address | None:
    """Give an address; none where there is none, or 0.0.0.0."""
    return IPv4Address(data) if len(data) == 4 and any(data) else None  # noqa: PLR2004 - IPv4


def _ipv4s(data: bytes) -> tuple[Address, ...]:
    return tuple(IPv4Address(data[at:at + 4]) for at in range(0, len(data) - 3, 4))


def _prefix_length(data: bytes) -> int | None:
    bits = f"{int.from_bytes(data, 'big'):032b}"
    return bits.count("1") if len(data) == 4 and "01" not in bits else None  # noqa: PLR2004 - IPv4


def _seconds(data: bytes) -> int | None:
    return int.from_bytes(data, "big") if len(data) == 4 else None  # noqa: PLR2004 - RFC 2132 section 9.2


def _text(data: bytes) -> str:
    """Give what a server says, without what could disturb a terminal."""
    return "".join(sign if sign.isprintable() else " " for sign in data.decode("utf-8", "replace")).strip()[:200]


# -- IPv6 ------------------------------------------------------------------------------------------------------------


def _dhcp6(packet: _Packet, data: bytes, seconds: float, device: str, outgoing: bool) -> Iterator[Message]:  # noqa: FBT001 - as captured
    kind = KINDS6.get(_number(data, 0, 1))
    if kind is None:
        return
    options = list(_options6(data[4:]))
    told = dict(reversed(options))  # the first of a code
    inner = [one for code, value in options if code == _IA_NA for one in _options6(value[12:])]
    address = next((IPv6Address(_take(value, 0, 16)) for code, value in inner if code == _IA_ADDRESS), None)
    statuses = [value for code, value in (*options, *inner) if code == _STATUS and int.from_bytes(value[:2], "big")]
    server = packet.source if _SERVER_ID6 in told and packet.mac and kind in {"ADVERTISE", "REPLY", "RECONFIGURE"} else None
    yield Message(
        6, kind, client_of(told.get(_CLIENT_ID6, b"")), seconds, device, outgoing, packet.mac, server, address,
        resolvers=_ipv6s(told.get(_DNS6, b"")), text=_status(statuses[0]) if statuses else "",
        identifier=_number(data, 1, 3),
    )


def _options6(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        code, size = _number(data, at, 2), _number(data, at + 2, 2)
        yield code, _take(data, at + 4, size)
        at += 4 + size


def client_of(duid: bytes) -> str:
    """Give the MAC in a DUID (RFC 8415 section 11: link-layer with time, and without), else the DUID in hexadecimal.

    >>> client_of(bytes.fromhex("0003 0001 525400000042"))
    '52:54:00:00:00:42'
    """
    for kind, size in ((b"\x00\x01\x00\x01", 8), (b"\x00\x03\x00\x01", 4)):
        if duid.startswith(kind) and len(duid) == size + 6:
            return duid[size:].hex(":")
    return duid.hex(":")


def _status(value: bytes) -> str:
    """Give a status code with its text (RFC 8415 section 21.13)."""
    names = {1: "UnspecFail", 2: "NoAddrsAvail", 3: "NoBinding", 4: "NotOnLink", 5: "UseMulticast", 6: "NoPrefixAvail"}
    code = int.from_bytes(value[:2], "big")
    return f"{names.get(code, f'status {code}')} {_text(value[2:])}".strip()


def _ipv6s(data: bytes) -> tuple[Address, ...]:
    return tuple(IPv6Address(data[at:at + 16]) for at in range(0, len(data) - 15, 16))


# -- routers ---------------------------------------------------------------------------------------------------------


def _advertisement(packet: _Packet, seconds: float) -> Iterator[Advertisement]:
    router, body = packet.source, packet.body
    if not isinstance(router, IPv6Address) or not router.is_link_local or packet.hop_limit != 255:  # noqa: PLR2004 - RFC 4861
        return
    flags, lifetime, prefixes, at = _number(body, 5, 1), _number(body, 6, 2), [], 16
    while at < len(body):
        code, size = _number(body, at, 1), _number(body, at + 1, 1) * 8
        if not size:
            raise _Short
        option = _take(body, at, size)
        if code == _PREFIX_OPTION and size == 32:  # noqa: PLR2004 - RFC 4861 section 4.6.2
            prefixes.append(_prefix(option))
        at += size
    yield Advertisement(router, packet.mac, bool(flags & 0x80), bool(flags & 0x40), lifetime, tuple(prefixes), seconds)


def _prefix(option: bytes) -> AdvertisedPrefix:
    length = min(option[2], 128)
    network = IPv6Network((option[16:32], length), strict=False)
    return AdvertisedPrefix(network, bool(option[3] & 0x80), bool(option[3] & 0x40), int.from_bytes(option[4:8], "big"))
