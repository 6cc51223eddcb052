"""DHCP messages as scapy, which has nothing to do with our reader, builds them."""

from __future__ import annotations

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import (
    DUID_LL,
    DHCP6_Advertise,
    DHCP6_Solicit,
    DHCP6OptClientId,
    DHCP6OptDNSServers,
    DHCP6OptIA_NA,
    DHCP6OptIAAddress,
    DHCP6OptServerId,
    DHCP6OptStatusCode,
)
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6NDOptMTU, ICMPv6NDOptPrefixInfo, IPv6
from scapy.layers.l2 import Dot1Q, Ether

CLIENT, SERVER = "52:54:00:00:00:42", "02:20:00:00:00:02"
BROADCAST = "ff:ff:ff:ff:ff:ff"
LINK_LOCAL, OWN = "fe80::20:ff:fe00:2", "fe80::1"


def chaddr(mac: str = CLIENT) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def asked(kind: str = "discover", mac: str = CLIENT, *, source: str = CLIENT, xid: int = 7, tags: tuple[int, ...] = (), **fields: str) -> bytes:
    frame = Ether(src=source, dst=BROADCAST)
    for tag in tags:
        frame /= Dot1Q(vlan=tag)
    options = [("message-type", kind), *fields.items(), "end"]
    carried = IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67)
    return bytes(frame / carried / BOOTP(chaddr=chaddr(mac), xid=xid, flags=0x8000) / DHCP(options=options))


def said(
    kind: str = "offer", address: str = "10.20.0.200", mac: str = CLIENT, *, server: str = "10.20.0.2", source: str = SERVER, xid: int = 7,
    **fields: object,
) -> bytes:
    options = [("message-type", kind), ("server_id", server), *fields.items(), "end"]
    carried = Ether(src=source, dst=BROADCAST) / IP(src=server, dst="255.255.255.255") / UDP(sport=67, dport=68)
    return bytes(carried / BOOTP(op=2, chaddr=chaddr(mac), xid=xid, yiaddr=address) / DHCP(options=options))


def solicited(mac: str = CLIENT, xid: int = 7) -> bytes:
    carried = Ether(src=mac, dst="33:33:00:01:00:02") / IPv6(src=OWN, dst="ff02::1:2") / UDP(sport=546, dport=547)
    return bytes(carried / DHCP6_Solicit(trid=xid) / DHCP6OptClientId(duid=DUID_LL(lladdr=mac)) / DHCP6OptIA_NA(iaid=1))


def advertised(address: str = "fd20::1:5", mac: str = CLIENT, xid: int = 7, *, status: int = 0, text: str = "") -> bytes:
    carried = Ether(src=SERVER, dst=mac) / IPv6(src=LINK_LOCAL, dst=OWN) / UDP(sport=547, dport=546)
    inner = DHCP6OptIAAddress(addr=address) if address else DHCP6OptStatusCode(statuscode=status, statusmsg=text.encode())
    body = DHCP6OptClientId(duid=DUID_LL(lladdr=mac)) / DHCP6OptServerId(duid=DUID_LL(lladdr=SERVER))
    more = DHCP6OptIA_NA(iaid=1, ianaopts=[inner]) / DHCP6OptDNSServers(dnsservers=["fd20::53"])
    return bytes(carried / DHCP6_Advertise(trid=xid) / body / more)


def router(
    prefix: str = "fd20::", source: str = LINK_LOCAL, mac: str = SERVER, *, managed: int = 0, other: int = 0, lifetime: int = 1800,
    hop_limit: int = 255, valid: int = 86400,
) -> bytes:
    frame = Ether(src=mac, dst="33:33:00:00:00:01") / IPv6(src=source, dst="ff02::1", hlim=hop_limit)
    told = ICMPv6ND_RA(M=managed, O=other, routerlifetime=lifetime) / ICMPv6NDOptMTU(mtu=1500)
    return bytes(frame / told / ICMPv6NDOptPrefixInfo(prefix=prefix, prefixlen=64, validlifetime=valid))
