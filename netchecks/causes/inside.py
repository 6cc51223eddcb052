"""What the rules inside a guest show: its own firewall keeps it from answering, or from asking."""

from __future__ import annotations

from dataclasses import replace

from netchecks.cause import cause
from netchecks.errors import Wrong
from netchecks.models.answers import Answer, NameAnswer
from netchecks.models.guests import Ping, devices_of
from netchecks.models.links import Link
from netchecks.models.netfilter.path import Firewall, Verdict, flow_verdict
from netchecks.models.netfilter.rules import Ruleset
from netchecks.models.packets import Packet, ping, tcp_syn, udp_datagram
from netchecks.models.routes import InterfaceAddress
from netchecks.models.subjects import Flow, Interface, Vm
from netchecks.models.table import Table
from netchecks.seen import By

#: RFC 1035 section 4.2.
DNS_PORT = 53
#: What the guest begins itself: no flow to it needs that.
OUTBOUND = frozenset({"outbound"})

Rules = By[Vm, Ruleset]
Links = By[Vm, Table[Link]]
Addresses = By[Vm, Table[tuple[InterfaceAddress, ...]]]


#: arp_ignore 8: answer for no address of one's own. Source: ip-sysctl.rst.
ANSWER_NOTHING = "8"


@cause("vmhost.arp_is_answered")
def guest_ignores_arp(flow: Flow, answers: By[Flow, Answer], guest_links: Links, guest_sysctls: By[Vm, Table[str]]) -> None:
    """The guest's kernel is told to answer no ARP request. Who remembers its MAC reaches it all the same."""
    interface = flow.interface
    if interface is None or answers[flow].came_back:
        return
    known = guest_sysctls[interface.vm]
    for device in ("all", *devices_of(interface, guest_links[interface.vm])):
        name = f"net.ipv4.conf.{device.replace('.', '/')}.arp_ignore"
        if known.get(name) == ANSWER_NOTHING:
            raise Wrong(
                "guest.silent", f"{interface} is told to answer no ARP request: {name} = {ANSWER_NOTHING} inside the guest",
                breaks=frozenset({"ipv4"}), owner="guest owner", certain=True, remedy=f"sysctl -w {name}=0 inside {interface.vm}",
            )


@cause("vmhost.vm_answers_ping", "vmhost.tcp_port_answers", "vmhost.mtu_is_consistent")
def guest_firewall_drops(  # noqa: PLR0913, PLR0917 - one fact of each tool
    flow: Flow, answers: By[Flow, Answer], guest_links: Links, guest_addresses: Addresses, guest_nftables: Rules,
    guest_iptables: Rules, guest_ip6tables: Rules,
) -> None:
    """A rule inside the guest drops what comes for it, or its answer."""
    interface = flow.interface
    if interface is None or answers[flow].came_back:
        return
    vm = interface.vm
    device = next(iter(devices_of(interface, guest_links[vm])), "")
    firewall = _firewall(vm, guest_addresses, guest_nftables, guest_iptables, guest_ip6tables)
    packet = tcp_syn(None, flow.target, flow.port or 0) if flow.protocol == "tcp" else ping(None, flow.target)
    verdict = flow_verdict(replace(packet, in_device=device), firewall)
    if device and verdict.outcome == "dropped":
        breaks = frozenset({f"ipv{flow.family}", f"tcp{flow.port}" if flow.port else "unicast"})
        _raise(interface, verdict, flow.protocol, way_in=verdict.direction == "request", breaks=breaks)


@cause(
    "vmhost.guest_reaches_gateway", "vmhost.guest_reaches_node", "vmhost.guest_reaches_sibling", "vmhost.guest_reaches_outside",
    "vmhost.outbound_reaches_tap",
)
def guest_firewall_keeps_it_in(  # noqa: PLR0913, PLR0917 - as above
    interface: Interface, guest_pings: By[Interface, tuple[Ping, ...]], guest_links: Links, guest_addresses: Addresses,
    guest_nftables: Rules, guest_iptables: Rules, guest_ip6tables: Rules,
) -> None:
    """A rule inside the guest drops what it sends itself, or the answer to that."""
    vm = interface.vm
    device = next(iter(devices_of(interface, guest_links[vm])), "")
    firewall = _firewall(vm, guest_addresses, guest_nftables, guest_iptables, guest_ip6tables)
    for asked in guest_pings[interface]:
        own = next((address for address in interface.addresses if address.version == asked.target.version), None)
        if asked.received or not device:
            continue
        verdict = flow_verdict(replace(_asking(own, asked), out_device=device), firewall)
        if verdict.outcome == "dropped":
            _raise(interface, verdict, "icmp", way_in=verdict.direction == "answer", breaks=OUTBOUND)


@cause("vmhost.guest_resolves_names")
def guest_firewall_drops_questions(  # noqa: PLR0913, PLR0917 - as above
    vm: Vm, guest_name_answers: By[Interface, tuple[NameAnswer, ...]], guest_links: Links, guest_addresses: Addresses,
    guest_nftables: Rules, guest_iptables: Rules, guest_ip6tables: Rules,
) -> None:
    """A rule inside the guest drops its questions to a DNS server, or the answers."""
    firewall = _firewall(vm, guest_addresses, guest_nftables, guest_iptables, guest_ip6tables)
    for interface, answers in guest_name_answers.seen().items():
        device = next(iter(devices_of(interface, guest_links[vm])), "") if interface.vm == vm else ""
        for server in {answer.server for answer in answers if answer.rcode < 0 and not answer.server.is_loopback}:
            own = next((address for address in interface.addresses if address.version == server.version), None)
            verdict = flow_verdict(replace(udp_datagram(own, server, DNS_PORT), out_device=device), firewall)
            if device and verdict.outcome == "dropped":
                _raise(interface, verdict, "dns", way_in=verdict.direction == "answer", breaks=OUTBOUND)


def _asking(own: object, asked: Ping) -> Packet:
    return ping(own, asked.target)  # type: ignore[arg-type]  # an address or None, as given


def _firewall(vm: Vm, addresses: Addresses, nftables: Rules, iptables: Rules, ip6tables: Rules) -> Firewall:
    own = frozenset(item.address.ip for items in addresses[vm].values() for item in items)
    return Firewall(iptables=iptables[vm], ip6tables=ip6tables[vm], nftables=nftables[vm], own=own)


def _raise(interface: Interface, verdict: Verdict, protocol: str, *, way_in: bool, breaks: frozenset[str]) -> None:
    direction = "in" if way_in else "out"
    raise Wrong(
        f"guest.firewall_drops_{direction}", f"{interface}: inside the guest, {protocol.upper()}: {verdict}",
        layer="service" if breaks == OUTBOUND else "policy",  # what it begins itself follows from what it cannot answer
        breaks=breaks, owner="guest owner", certain=True,
        remedy=f"remove or narrow the rule ({verdict.chain}: {verdict.rule}) inside {interface.vm}",
    )
