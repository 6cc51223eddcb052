"""Where a packet is looked at, and the tests that iptables, ebtables and nft have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from netchecks.models.netfilter.truth import Doubt, Truth, some
from netchecks.models.packets import BROADCAST, Address, Packet, Port

#: Hooks that come before conntrack's own at this priority (Linux, NF_IP_PRI_CONNTRACK) see no state yet.
CONNTRACK_PRIORITY = -200
GROUP_BIT = 0x010000000000

#: IANA protocol numbers, by the names that the tools print.
PROTOCOLS = {
    "ip": 0, "icmp": 1, "igmp": 2, "ipencap": 4, "ipv4": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "gre": 47, "esp": 50,
    "ah": 51, "icmpv6": 58, "ipv6-icmp": 58, "ospf": 89, "ipip": 94, "pim": 103, "comp": 108, "ipcomp": 108, "vrrp": 112,
    "l2tp": 115, "sctp": 132, "udplite": 136,
}
#: Ethernet types by the names of /etc/ethertypes (ebtables, in lower case) and of nft.
ETHER_TYPES = {
    "ip": 0x0800, "ipv4": 0x0800, "arp": 0x0806, "ip6": 0x86DD, "ipv6": 0x86DD, "vlan": 0x8100, "8021q": 0x8100,
    "802_1q": 0x8100, "8021ad": 0x88A8, "802_1ad": 0x88A8, "rarp": 0x8035, "ppp_disc": 0x8863, "ppp_ses": 0x8864, "ipx": 0x8137,
    "atalk": 0x809B, "aarp": 0x80F3, "netbeui": 0x8191, "x25": 0x0805, "mpls": 0x8847, "lldp": 0x88CC, "eapol": 0x888E,
    "loop": 0x0060, "ppp": 0x880B,
}
TCP_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr")


@dataclass(frozen=True, slots=True)
class Point:
    """One hook, and the devices that rules see there. A device is empty where there is none, None where unknown.

    ``bridge_in``, ``bridge_out``: the bridges of the ports (ebtables --logical-in). ``physical_in``,
    ``physical_out``: the ports under the bridge (iptables physdev). ``own``: the node's addresses, if known.
    """

    family: str
    hook: str
    in_device: str | None = ""
    out_device: str | None = ""
    bridge_in: str | None = ""
    bridge_out: str | None = ""
    physical_in: str | None = ""
    physical_out: str | None = ""
    own: frozenset[Address] | None = None
    priority: int = 0


def ether_type(packet: Packet) -> int:
    """Give the Ethernet type of what the frame carries, VLAN tag apart."""
    return {"ipv4": 0x0800, "ipv6": 0x86DD, "arp": 0x0806}[packet.family]


def device_is(pattern: str, device: str | None, wildcard: str) -> Truth:
    """Compare an interface name with a pattern that may end in ``wildcard``."""
    if device is None:
        return Doubt(f"interface {pattern}")
    if pattern.endswith(wildcard) and not pattern.endswith("\\" + wildcard):
        return device.startswith(pattern[:-1])
    return device == pattern.replace("\\" + wildcard, wildcard)


@lru_cache(maxsize=65536)
def address_or_none(text: str) -> Address | None:
    """Read an address; None where it is none."""
    try:
        return ip_address(text)
    except ValueError:
        return None


@lru_cache(maxsize=65536)
def _masked(text: str) -> tuple[int, int, int] | None:
    """Read ``address[/length or mask]``, also masks with holes: version, value, mask."""
    start, _, mask = text.partition("/")
    address = address_or_none(start)
    if address is None:
        return None
    bits = address_or_none(mask)
    try:
        ones = int(bits) if bits is not None else int(ip_network(f"{address}/{mask or address.max_prefixlen}", strict=False).netmask)
    except ValueError:
        return None
    return address.version, int(address) & ones, ones


def address_in(address: Address | None, text: str) -> Truth:
    """Tell whether an address lies in ``address[/length or mask]``."""
    found = _masked(text)
    if address is None or found is None:
        everything = found is not None and found[2] == 0
        return True if everything else Doubt(f"address {text}")
    version, value, ones = found
    return address.version == version and int(address) & ones == value


def address_between(address: Address | None, low: str, high: str) -> Truth:
    """Tell whether an address lies in a range, both ends included."""
    first, last = address_or_none(low), address_or_none(high)
    if address is None or first is None or last is None:
        return Doubt(f"address {low}-{high}")
    return address.version == first.version and int(first) <= int(address) <= int(last)


def port_between(port: Port, low: int, high: int) -> Truth:
    """Tell whether a port lies in a range; of one that is not known exactly, as far as its own range decides."""
    ports = port if isinstance(port, range) else range(port, port + 1)
    if low <= ports[0] and ports[-1] <= high:
        return True
    if ports[-1] < low or high < ports[0]:
        return False
    return Doubt(f"a port that is not known exactly, compared with {low}-{high}")


def mac(text: str) -> str:
    """Normalise a hardware address; ebtables prints ``0:c:29:...`` without leading zeros."""
    return ":".join(part.zfill(2) for part in text.lower().split(":"))


def mac_number(text: str) -> int | None:
    """Read a hardware address as a number; None where it is none."""
    try:
        digits = mac(text).replace(":", "")
        return int(digits, 16) if len(digits) == 12 else None  # noqa: PLR2004 - six bytes
    except ValueError:
        return None


def mac_in(address: str, value: str, mask: str = BROADCAST) -> Truth:
    """Compare a hardware address under a mask."""
    have, want, bits = mac_number(address), mac_number(value), mac_number(mask)
    if want is None or bits is None or have is None:
        return Doubt(f"hardware address {value}")
    return have & bits == want & bits


def conntrack_state(packet: Packet, point: Point) -> str | None:
    """Give the state that a rule sees: before conntrack's own hook nothing is tracked, which rules see as invalid."""
    early = point.hook in {"prerouting", "output"} and point.priority <= CONNTRACK_PRIORITY
    if not early or packet.exempt:
        return packet.state
    return None if packet.exempt is None or point.priority == CONNTRACK_PRIORITY else "invalid"


def address_type(address: Address | None, types: Iterable[str], own: frozenset[Address] | None) -> Truth:
    """Tell whether the kernel's routing takes an address for one of these types (``local``, ``multicast`` ...).

    Decided without the node's routes: multicast and the limited broadcast always, local where ``own`` is known.
    """
    if address is None:
        return Doubt("type of an address that is not known")
    return some(_is_type(address, name.lower(), own) for name in types)


def _is_type(address: Address, name: str, own: frozenset[Address] | None) -> Truth:
    local: bool | None = True if address.is_loopback else None if own is None else address in own
    limited = address == IPv4Address("255.255.255.255")
    if name == "multicast":
        return address.is_multicast
    if name == "broadcast" and (limited or isinstance(address, IPv6Address)):
        return limited
    if address.is_multicast or limited or (local and name != "local"):
        return False
    if name == "local" and local is not None:
        return local
    return Doubt(f"whether {address} is of type {name}")


def packet_type(packet: Packet, point: Point) -> str | None:
    """Give ``broadcast``, ``multicast`` or ``unicast`` as a rule sees the frame; None when that is not known.

    A bridge sees unicast to others as "other host"; the IP hooks under it see "host".
    """
    destination = mac_number(packet.destination_mac)
    if destination is None:
        return None
    if packet.destination_mac == BROADCAST:
        return "broadcast"
    if destination & GROUP_BIT:
        return "multicast"
    return "unicast" if point.in_device and point.family in {"ipv4", "ipv6"} else None
