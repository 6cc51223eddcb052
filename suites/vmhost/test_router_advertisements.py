"""Router advertisements of a switched network: who sends them, and what stands in them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.dhcp.exchanges import Advertisements
from netchecks.models.dhcp.messages import Advertisement
from netchecks.models.subjects import Address, Advertised, Flow, Inventory, Network, Prefix
from netchecks.seen import By

_BREAKS = frozenset({"ra", "ipv6"})


@pytest.mark.kind("switching")
@pytest.mark.flow("ra")
@pytest.mark.verdict
@pytest.mark.hop("router", "service")
def test_router_is_advertised(flow: Flow, router_advertisements: By[Flow, Advertisements], inventory: Inventory) -> None:
    """The network's routers advertise themselves, with its prefixes and flags, and nobody else does.

    Why: by them VMs get their IPv6 addresses and their way out; who sends false ones takes the segment's traffic.
    Remedy: network engineer: look at the router's advertisements: radvdump, or tcpdump -vn 'icmp6 and ip6[40] == 134'
    Source: RFC 4861; RFC 6104 (rogue router advertisements)
    """
    seen, network = router_advertisements[flow], flow.network
    told = network.advertised
    assert told is not None
    for one in seen.heard:
        if one.router not in told.routers:
            _stranger(network, told, one, inventory)
    if not seen.heard and told.routers:
        _nobody(flow, told, asked=seen.asked)
    for one in seen.heard:
        _is_right(network, told, one)


def _stranger(network: Network, told: Advertised, one: Advertisement, inventory: Inventory) -> None:
    vms = {interface.mac: interface.vm.name for interface in inventory.interfaces if interface.network == network}
    who, prefixes = vms.get(one.mac), ", ".join(str(some.prefix) for some in one.prefixes) or "no prefix"
    raise Wrong(
        "ra.from_vm" if who else "ra.stranger", f"on {network} {who or one.mac} advertises itself as a router ({one.router}, {prefixes}), "
        f"expected {_listed(told.routers) or 'nobody'}", place=who or str(one.router), breaks=_BREAKS, certain=True,
        owner="guest owner" if who else "network engineer",
        remedy=f"stop it there (radvd, dnsmasq --enable-ra, internet connection sharing); drop advertisements of {one.mac} (RA guard)",
    )


def _nobody(flow: Flow, told: Advertised, *, asked: bool) -> None:
    if not asked:
        raise NotSeen(Why.NOT_POSSIBLE, f"{flow.source} hears no router on {flow.network}, and may not ask: it would take the answer")
    raise Wrong(
        "ra.missing", f"no router advertises itself on {flow.network}, asked from {flow.source}; expected {_listed(told.routers)}",
        place=flow.network.name, breaks=_BREAKS,
        remedy="start the router's advertisements (radvd, dnsmasq --enable-ra), or correct the inventory",
    )


def _is_right(network: Network, told: Advertised, one: Advertisement) -> None:
    """What an expected router advertises is what is meant."""
    meant = {subnet.prefix for subnet in network.subnets if subnet.family == 6}
    found = {some.prefix for some in one.prefixes if some.valid}
    place = str(one.router)
    if meant and (found - meant or not found & meant):
        raise Wrong(
            "ra.wrong_prefix", f"{one.router} advertises {_prefixes(found) or 'no prefix'} on {network}, expected {_prefixes(meant)}",
            place=place, breaks=_BREAKS, certain=True,
        )
    flags = [("M", told.managed, one.managed), ("O", told.other, one.other)]
    wrong = [f"{name} {_switch(is_)}, expected {_switch(wanted)}" for name, wanted, is_ in flags if wanted not in {None, is_}]
    if wrong:
        raise Wrong(
            "ra.wrong_flags", f"{one.router} advertises itself on {network} with the flag {'; '.join(wrong)}", place=place, breaks=_BREAKS,
            certain=True,
        )
    if not one.lifetime and any(subnet.gateway in told.routers for subnet in network.subnets):
        raise Wrong(
            "ra.no_default_router", f"{one.router} advertises itself on {network} with lifetime 0: as no default router; it is the gateway",
            place=place, breaks=_BREAKS, certain=True,
        )


def _switch(on: bool | None) -> str:  # noqa: FBT001 - it is what is told
    return "on" if on else "off"


def _listed(routers: frozenset[Address]) -> str:
    return ", ".join(map(str, sorted(routers, key=int)))


def _prefixes(prefixes: Iterable[Prefix]) -> str:
    return ", ".join(sorted(map(str, prefixes)))
