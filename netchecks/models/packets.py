"""A packet as a firewall sees it, and the answer to it: what the judgement of rule sets is about. Nothing is sent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Family: TypeAlias = Literal["ipv4", "ipv6", "arp"]
State: TypeAlias = Literal["new", "established", "related", "untracked", "invalid"]

#: A port that is not known exactly is the range it lies in.
Port: TypeAlias = int | range

#: What a client's own port may be (RFC 6335 section 6 without the system ports; every system's default lies in it).
CLIENT_PORT = range(1024, 65536)
ANY_PORT = range(65536)
BROADCAST = "ff:ff:ff:ff:ff:ff"

ARP_REQUEST, ARP_REPLY = 1, 2  # RFC 826
ICMP_ECHO, ICMP_ECHO_REPLY = 8, 0  # RFC 792
ICMPV6_ECHO, ICMPV6_ECHO_REPLY = 128, 129  # RFC 4443
NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 135, 136  # RFC 4861

_ANSWERS = {
    ICMP_ECHO: ICMP_ECHO_REPLY, ICMPV6_ECHO: ICMPV6_ECHO_REPLY, NEIGHBOUR_SOLICITATION: NEIGHBOUR_ADVERTISEMENT,
}


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet. What is not known is None (an address, the state), empty (a MAC) or a range (a port).

    ``state`` is what conntrack says of it; ``exempt``: a rule has taken it from conntrack (NOTRACK).
    ``in_port``, ``out_port``: the bridge's ports it comes in and leaves by; ``in_device``, ``out_device``: the interfaces
    that the node's IP stack sees (the bridge itself, where there is one); empty where it does not come in or leave.
    ``target`` and ``target_mac``: who is asked for by ARP or NDP. ``size``: bytes of the IP packet.
    ``translated``: which addresses NAT has changed; None when that is not known.
    """

    family: Family
    protocol: Literal["arp", "ndp", "icmp", "icmpv6", "tcp", "udp", "ospf"]
    source: Address | None = None
    destination: Address | None = None
    source_mac: str = ""
    destination_mac: str = ""
    source_port: Port = CLIENT_PORT
    destination_port: Port = ANY_PORT
    icmp_type: int | None = None
    operation: int = 0
    target: Address | None = None
    target_mac: str = ""
    flags: frozenset[str] = frozenset()
    state: State | None = "new"
    answer: bool = False
    in_port: str = ""
    out_port: str = ""
    in_device: str = ""
    out_device: str = ""
    vlan: int | None = None
    size: int | None = None
    exempt: bool | None = False
    translated: frozenset[str] | None = frozenset()

    @property
    def number(self) -> int | None:
        """The IP protocol's number; None for ARP. Source: IANA protocol numbers."""
        return {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "ndp": 58, "ospf": 89}.get(self.protocol)

    def reverse(self) -> Packet:
        """Give the answer to it, as it comes back the same way. Behind a router its MACs are others."""
        asked = self.protocol in {"arp", "ndp"}
        group = self.destination_mac[1:2] in set("13579bdf")
        routed = bool(self.in_device and self.out_device) and self.in_device != self.out_device
        return replace(
            self,
            source=self.target if asked else self.destination, destination=self.source,
            source_mac=self.target_mac or ("" if group or routed else self.destination_mac),
            destination_mac="" if routed else self.source_mac,
            source_port=self.destination_port, destination_port=self.source_port,
            icmp_type=None if self.icmp_type is None else _ANSWERS.get(self.icmp_type, self.icmp_type),
            operation=ARP_REPLY if self.protocol == "arp" else 0,
            target=self.source if self.protocol == "arp" else self.target,
            target_mac=self.source_mac if self.protocol == "arp" else "",
            flags=frozenset({"syn", "ack"}) if self.flags else self.flags,
            state="established" if self.state in {"new", "established"} else self.state, answer=not self.answer,
            in_port=self.out_port, out_port=self.in_port, in_device=self.out_device, out_device=self.in_device,
        )


def arp_request(source: IPv4Address | None, target: IPv4Address, source_mac: str = "", target_mac: str = "") -> Packet:
    """Give "who has ``target``", as a broadcast. Conntrack does not follow ARP."""
    return Packet(
        "arp", "arp", source, target, source_mac, BROADCAST, operation=ARP_REQUEST, target=target, target_mac=target_mac,
        state="untracked",
    )


def neighbour_solicitation(
    source: IPv6Address | None, target: IPv6Address, source_mac: str = "", target_mac: str = "",
) -> Packet:
    """Give NDP's "who has ``target``" to its solicited-node group (RFC 4291 section 2.7.1).

    Conntrack leaves NDP untracked (Linux, nf_conntrack_proto_icmpv6.c).
    """
    low = int(target) & 0xFFFFFF
    group = IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | low)
    mac = f"33:33:ff:{low >> 16:02x}:{low >> 8 & 0xFF:02x}:{low & 0xFF:02x}"
    return Packet(
        "ipv6", "ndp", source, group, source_mac, mac, icmp_type=NEIGHBOUR_SOLICITATION, target=target,
        target_mac=target_mac, state="untracked",
    )


def ping(source: Address | None, destination: Address, source_mac: str = "", destination_mac: str = "") -> Packet:
    """Give an echo request of the destination's family."""
    if destination.version == 4:  # noqa: PLR2004 - IPv4
        return Packet("ipv4", "icmp", source, destination, source_mac, destination_mac, icmp_type=ICMP_ECHO)
    return Packet("ipv6", "icmpv6", source, destination, source_mac, destination_mac, icmp_type=ICMPV6_ECHO)


def tcp_syn(source: Address | None, destination: Address, port: int, source_mac: str = "", destination_mac: str = "") -> Packet:
    """Give the first packet of a connection to that port."""
    return Packet(
        _family(destination), "tcp", source, destination, source_mac, destination_mac, destination_port=port,
        flags=frozenset({"syn"}),
    )


def udp_datagram(
    source: Address | None, destination: Address, port: int, source_mac: str = "", destination_mac: str = "",
) -> Packet:
    """Give a datagram to that port."""
    return Packet(_family(destination), "udp", source, destination, source_mac, destination_mac, destination_port=port)


def _family(address: Address) -> Family:
    return "ipv4" if address.version == 4 else "ipv6"  # noqa: PLR2004 - IPv4
