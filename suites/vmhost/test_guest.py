"""Inside the guests that can be entered: addresses, routes, names, and whom they reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.answers import UNTOLD, NameAnswer
from netchecks.models.guests import AgentAddress, Ping, devices_of, gateway_trouble
from netchecks.models.links import Link as Device
from netchecks.models.routes import InterfaceAddress, Route
from netchecks.models.subjects import Address, Interface, Inventory, Subnet, Vm
from netchecks.models.system import Resolvers
from netchecks.models.table import Table
from netchecks.seen import By, note

Links = By[Vm, Table[Device]]
Addresses = By[Vm, Table[tuple[InterfaceAddress, ...]]]

#: ipconfig does not tell the prefix length of IPv6 addresses.
NO_LENGTH = "length unknown"
#: What users feel; a resolver on the spot answers in milliseconds, one far away in a tenth of it.
SLOW_SECONDS = 1.0
#: RFC 1035 section 4.1.1, RFC 2136 section 2.2.
RCODES = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}


@pytest.mark.inside
@pytest.mark.hop("guest", "address")
def test_guest_addresses_match(interface: Interface, inventory: Inventory, guest_links: Links, guest_addresses: Addresses) -> None:
    """Inside the guest, the declared addresses are on the NIC, with the subnet's prefix length. Further ones are its own affair.

    Why: a guest answers for the addresses that it has itself, whatever the platform has written down.
    Remedy: guest owner: inside {vm.name}: ip address add the declared address to the NIC, and put it into its configuration
    Source: VMmanager knowledge base, last section: the diagnosis inside the guest
    """
    vm = interface.vm
    if not vm.runs:
        return
    known = guest_links[vm]
    devices = devices_of(interface, known)
    if not devices:
        raise _no_nic(interface, inventory, known)
    if not any(known[name].up for name in devices):
        raise Wrong(
            "guest.interface_down", f"{interface}: {devices[0]} is down inside the guest, expected up", layer="up",
            owner="guest owner", remedy=f"ip link set dev {devices[0]} up inside {vm}",
        )
    for address in interface.addresses:
        _has(interface, address, devices, guest_addresses[vm])


def _no_nic(interface: Interface, inventory: Inventory, known: Table[Device]) -> Wrong:
    macs = {other.mac: other for other in inventory.interfaces if other.vm != interface.vm}
    taken = next((device for device in known.values() if device.mac in macs), None)
    if taken is not None:
        return Wrong(
            "mac.duplicate", f"{interface.vm}: {taken.name} has {taken.mac} inside the guest, the MAC of {macs[taken.mac or '']}, "
            f"expected {interface.mac}", layer="exists", certain=True, owner="guest owner", remedy="give each VM its own MAC",
        )
    there = ", ".join(f"{device.name} {device.mac}" for device in known.values() if device.mac and device.name != "lo") or "none"
    return Wrong(
        "guest.interface_missing", f"{interface.vm}: no device has {interface.mac} inside the guest; there are {there}", layer="exists",
        remedy="compare the guest's NICs with those of its domain: virsh domiflist",
    )


def _has(interface: Interface, address: Address, devices: Sequence[str], known: Table[tuple[InterfaceAddress, ...]]) -> None:
    family, subnet = f"ipv{address.version}", _subnet(interface, address)
    length = subnet.prefix.prefixlen if subnet else address.max_prefixlen
    remedy = f"ip address add {address}/{length} dev {devices[0]} inside {interface.vm}"
    found = [item for name in devices for item in known.get(name, ()) if item.address.ip == address]
    if not found:
        raise _missing(interface, address, devices, known, remedy)
    if not any(item.usable for item in found):
        state = ", ".join(sorted(found[0].flags & {"tentative", "dadfailed"}))
        raise Wrong(
            "guest.address_not_usable", f"{interface} has {found[0].address}, but may not use it ({state}): another machine has it",
            breaks=frozenset({family}), remedy=f"find the other machine with {address}, then set it again inside {interface.vm}",
        )
    told = [item.address for item in found if NO_LENGTH not in item.flags]
    lengths = {item.network.prefixlen for item in told}
    if told and not lengths & {length, address.max_prefixlen}:
        wide = min(lengths) < length
        raise Wrong(
            "guest.wrong_prefix", f"{interface} has {told[0]} inside the guest, expected /{length}",
            breaks=frozenset({family, "routed"}) if wide else frozenset({family, "own_bridge"}), remedy=remedy,
        )


def _subnet(interface: Interface, address: Address) -> Subnet | None:
    return next((subnet for subnet in interface.network.subnets if address in subnet.prefix), None)


def _missing(
    interface: Interface, address: Address, devices: Sequence[str], known: Table[tuple[InterfaceAddress, ...]], remedy: str,
) -> Wrong:
    """Say what is there instead: another address, one elsewhere, or nothing of that family at all."""
    same = [item for name in devices for item in known.get(name, ()) if item.address.version == address.version]
    others = [str(item.address) for item in same if not item.address.ip.is_link_local]
    elsewhere = [name for name, items in known.items() if any(item.address.ip == address for item in items)]
    breaks = frozenset({f"ipv{address.version}"})
    if elsewhere:
        message = f"{interface}: {address} is on {elsewhere[0]} inside the guest, expected on {devices[0]}"
        return Wrong("guest.address_elsewhere", message, breaks=breaks, remedy=remedy)
    if others:
        message = f"{interface} has {', '.join(others)} inside the guest, expected {address}"
        return Wrong("guest.wrong_address", message, breaks=breaks, remedy=remedy)
    code = "guest.no_ipv6" if address.version == 6 and not same else "guest.no_address"
    message = f"{interface}: {devices[0]} has no IPv{address.version} address inside the guest, expected {address}"
    return Wrong(code, message, breaks=breaks, remedy=remedy)


@pytest.mark.hop("guest", "address")
def test_agent_addresses_match(interface: Interface, agent_addresses: By[Vm, tuple[AgentAddress, ...] | None]) -> None:
    """The guest's agent, where one is connected, tells the declared addresses. A guest that is entered is looked at itself.

    Why: an agent tells what is inside a guest that nobody can log in to.
    Remedy: guest owner: inside {vm.name}: ip address add the declared address to the NIC, and put it into its configuration
    Source: virsh(1), domifaddr --source agent
    """
    vm = interface.vm
    if not vm.runs or vm.guest is not None:
        return
    told = [item for item in agent_addresses[vm] or () if item.mac == interface.mac]
    if not told:
        return  # no agent, or one that does not see this NIC
    for address in interface.addresses:
        same = [item.address for item in told if item.address.version == address.version]
        others = [str(item) for item in same if not item.ip.is_link_local]
        if any(item.ip == address for item in same):
            continue
        breaks, device = frozenset({f"ipv{address.version}"}), told[0].device
        if others:
            message = f"{interface} has {', '.join(others)} on {device}, says its agent, expected {address}"
            raise Wrong("guest.wrong_address", message, breaks=breaks)
        code = "guest.no_ipv6" if address.version == 6 and not same else "guest.no_address"
        raise Wrong(code, f"{interface}: {device} has no IPv{address.version} address, says its agent, expected {address}", breaks=breaks)


@pytest.mark.inside
@pytest.mark.hop("guest", "route")
def test_guest_routes_match(
    interface: Interface, inventory: Inventory, guest_routes: By[Vm, tuple[Route, ...]], guest_links: Links, guest_addresses: Addresses,
) -> None:
    """Inside the guest, the default route leads to a declared gateway, and the own subnet is on the NIC; both families.

    Why: without the right gateway a guest answers its neighbours, and nobody beyond them.
    Remedy: guest owner: inside {vm.name}: ip route replace default via the gateway, and put it into its configuration
    Source: VMmanager knowledge base, last section: the diagnosis inside the guest; ip-route(8); route print
    """
    vm = interface.vm
    devices = devices_of(interface, guest_links[vm])
    if not vm.runs or not devices or not any(guest_links[vm][name].up for name in devices):
        return  # another check says so
    routes = guest_routes[vm]
    for family in sorted(interface.families):
        if not _has_family(interface, family, devices, guest_addresses[vm]):
            continue  # another check says so
        trouble = gateway_trouble(interface, family, routes, devices, _gateways(vm, inventory, family))
        if trouble is not None:
            code, message, breaks, remedy = trouble
            raise Wrong(code, f"{interface}: {message}", breaks=breaks, remedy=remedy)


def _has_family(interface: Interface, family: int, devices: Sequence[str], known: Table[tuple[InterfaceAddress, ...]]) -> bool:
    """Tell whether one of the declared addresses of that family is there: without it the kernel takes routes away too."""
    own = {item.address.ip for name in devices for item in known.get(name, ())}
    return any(address in own for address in interface.addresses if address.version == family)


def _gateways(vm: Vm, inventory: Inventory, family: int) -> tuple[Address, ...]:
    """Give the gateways that any NIC of the VM may take its default route by."""
    found = (gateway for other in inventory.interfaces if other.vm == vm for gateway in other.gateways)
    return tuple(dict.fromkeys(gateway for gateway in found if gateway.version == family))


# -- whom it reaches -------------------------------------------------------------------------------------------------

#: The stretches of a guest's way out, the nearest first: each with what it says when nothing gets through it.
_CODES = {
    "node": ("guest.reaches_nobody", "reaches nobody"),
    "gateway": ("guest.cannot_reach_gateway", "reaches its neighbours, but not its gateway"),
    "outside": ("guest.cannot_reach_outside", "reaches its gateway, but nobody beyond it"),
}


def _asked(interface: Interface, family: int) -> dict[str, tuple[Address, ...]]:
    stages = {
        "node": interface.node_addresses, "sibling": interface.siblings, "gateway": interface.gateways, "outside": interface.outside,
    }
    return {name: tuple(one for one in addresses if one.version == family) for name, addresses in stages.items()}


def _reaches(interface: Interface, stage: str, pings: By[Interface, tuple[Ping, ...]]) -> None:
    """Fail where nobody of this stage, nor of one farther out, answers; the code names the first stretch that is broken.

    Who is silent while somebody beyond it answers keeps silent of his own accord: many nodes and gateways do.
    """
    if not interface.vm.runs:
        return
    got = {ping.target: ping for ping in pings[interface]}
    for family in sorted(interface.families):
        asked = _asked(interface, family)
        reached = {name for name, targets in asked.items() if any(got[one].received for one in targets if one in got)}
        mine = [got[one] for one in asked[stage] if one in got]
        if mine and all(ping.denied for ping in mine):
            raise NotSeen(Why.NO_PERMISSION, f"{interface}: ping inside the guest: {mine[0].error}", cause="guest.cannot_ping")
        if not mine or stage in reached:
            continue
        if _is_passed(stage, reached):
            if stage == "sibling":
                note("guest.sibling_silent", f"{interface} reaches others, but not {', '.join(str(ping.target) for ping in mine)}")
            continue
        if stage == "gateway" and reached and not asked["outside"]:
            # many keep silent, and nobody beyond it is declared who could tell
            note("guest.gateway_silent", f"{interface} reaches its neighbours; its gateway {mine[0].target} does not answer its ping")
            continue
        raise _broken(interface, family, reached, mine)


def _is_passed(stage: str, reached: set[str]) -> bool:
    """Tell whether somebody answers who is as far or farther."""
    return bool(reached & {"node": {"sibling", "gateway", "outside"}, "sibling": {"node", "gateway", "outside"},
                           "gateway": {"outside"}, "outside": set()}[stage])


def _broken(interface: Interface, family: int, reached: set[str], mine: list[Ping]) -> Wrong:
    first = "outside" if "gateway" in reached else "gateway" if reached else "node"
    code, says = _CODES[first]
    said = next((ping.error for ping in mine if ping.error), "no answer")
    shown = ", ".join(str(ping.target) for ping in mine)
    owner = {"node": "guest owner", "gateway": "node administrator", "outside": "network engineer"}[first]
    remedy = {
        "node": "look at the guest's firewall and routes; then at its tap: tcpdump -e on the node while it pings",
        "gateway": "look at the uplink of the node's bridge and at its firewall, while the guest pings the gateway",
        "outside": "look at the gateway's routes and filters for the guest's subnet, and at the way back",
    }[first]
    return Wrong(
        code, f"{interface} {says} by IPv{family}: {shown}: {said}", breaks=frozenset({"outbound"}), owner=owner, remedy=remedy,
    )


@pytest.mark.inside
@pytest.mark.hop("guest", "service")
def test_guest_reaches_gateway(interface: Interface, guest_pings: By[Interface, tuple[Ping, ...]]) -> None:
    """From inside the guest, its gateway answers ping, or somebody beyond it does; where nobody beyond is declared, its silence is a note.

    Why: the bisection begins inside: what reaches the gateway has passed the guest's firewall, its tap, the bridge and the fabric.
    Remedy: node administrator: ping the gateway inside {vm.name}, with tcpdump at its tap and at the uplink
    Source: OpenStack operations guide, chapter 13, "ping"; VMmanager knowledge base, last section
    """
    _reaches(interface, "gateway", guest_pings)


@pytest.mark.inside
@pytest.mark.hop("guest", "service")
def test_guest_reaches_node(interface: Interface, guest_pings: By[Interface, tuple[Ping, ...]]) -> None:
    """From inside the guest, its node answers ping, or somebody else does: a node may keep silent.

    Why: the node is the nearest there is: whom even it does not answer cannot get out of the guest or its tap.
    Remedy: guest owner: inside {vm.name}: look at its firewall and routes
    Source: OpenStack operations guide, chapter 13, "ping"
    """
    _reaches(interface, "node", guest_pings)


@pytest.mark.inside
@pytest.mark.hop("guest", "service")
def test_guest_reaches_sibling(interface: Interface, guest_pings: By[Interface, tuple[Ping, ...]]) -> None:
    """From inside the guest, another VM of the network answers ping. Where only that fails it is a note: isolation is often meant.

    Why: two guests that reach each other and nobody else point to the node's firewall or its uplink.
    Remedy: guest owner: inside {vm.name}: look at its firewall and routes
    Source: OpenStack operations guide, chapter 13, "ping"
    """
    _reaches(interface, "sibling", guest_pings)


@pytest.mark.inside
@pytest.mark.hop("guest", "service")
def test_guest_reaches_outside(
    interface: Interface, inventory: Inventory, guest_pings: By[Interface, tuple[Ping, ...]],
    guest_routes: By[Vm, tuple[Route, ...]], guest_links: Links,
) -> None:
    """From inside the guest, a declared address beyond its gateway answers ping.

    Why: the gateway may answer and not forward, or not know the way back.
    Remedy: network engineer: look at the gateway's routes and filters for the guest's subnet
    Source: OpenStack operations guide, chapter 13, "ping"
    """
    devices = devices_of(interface, guest_links[interface.vm])
    for family in {address.version for address in interface.outside}:
        gateways = _gateways(interface.vm, inventory, family)
        if devices and gateway_trouble(interface, family, guest_routes[interface.vm], devices, gateways):
            return  # another check says so
    _reaches(interface, "outside", guest_pings)


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.inside
@pytest.mark.hop("guest", "service")
def test_guest_resolves_names(
    vm: Vm, inventory: Inventory, guest_resolvers: By[Vm, Resolvers], guest_name_answers: By[Interface, tuple[NameAnswer, ...]],
) -> None:
    """Inside the guest, each resolver answers within a second, knows the declared names, and comes back from a reverse look-up.

    Why: the C library waits five seconds for a dead one; sshd looks up who logs in, so a reverse look-up that hangs is a slow login.
    Remedy: guest owner: inside {vm.name}: dig @SERVER NAME, dig -x ADDRESS @SERVER; /etc/resolv.conf; then the server's own log
    Source: OpenStack operations guide, chapter 13, DNS; resolv.conf(5); sshd_config(5), UseDNS
    """
    interface = next((one for one in inventory.interfaces if one.vm == vm), None)
    if not vm.runs or interface is None or not interface.queries or interface.network.nova is not None:
        return  # nova's dnsmasq has checks of its own, which know whom it asks
    own, declared = guest_resolvers[vm], interface.network.resolvers
    if not own.servers:
        if declared:
            wanted = ", ".join(map(str, declared))
            raise Wrong("guest.no_resolver", f"{vm} has no resolver, expected {wanted}", breaks=frozenset({"names"}))
        return
    asked: dict[Address, list[NameAnswer]] = {}
    for answer in guest_name_answers[interface]:
        asked.setdefault(answer.server, []).append(answer)
    behind = frozenset(upstream.address for upstream in own.upstreams)
    for server, answers in asked.items():
        _judge(vm, interface, behind if server.is_loopback and behind else frozenset({server}), answers, guest_name_answers)


def _judge(
    vm: Vm, interface: Interface, real: frozenset[Address], answers: list[NameAnswer], everywhere: By[Interface, tuple[NameAnswer, ...]],
) -> None:
    """Raise for the worst that is wrong with one server. ``real``: itself, or those that a stub on the guest asks."""
    server = answers[0].server
    names = [answer for answer in answers if answer.name in vm.names]
    reverse = [answer for answer in answers if answer.name not in vm.names]
    declared, breaks, remedy = interface.network.resolvers, frozenset({"names"}), f"dig @{server} {answers[0].name} inside {vm}"
    untold = [answer for answer in answers if answer.rcode == UNTOLD]
    if untold:
        shown, place = ", ".join(f"{answer.name} ({answer.error})" for answer in untold), _place(vm, interface, real, everywhere, _is_late)
        raise Wrong(
            "resolver.does_not_resolve", f"{vm}: {server}, its only resolver, does not resolve {shown}; whether it says so, or nothing, "
            "is not told there", breaks=breaks, place=place, remedy=f"dig @{server} {untold[0].name} on {interface.node}",
        )
    if all(answer.rcode < 0 for answer in answers):
        said = answers[0].error or "silent"
        if declared and not server.is_loopback and server not in declared:
            raise Wrong(
                "guest.wrong_resolver", f"{vm} asks {server}, which does not answer ({said}), expected {' or '.join(map(str, declared))}",
                breaks=breaks, remedy=f"put nameserver {declared[0]} into /etc/resolv.conf inside {vm}, or where that comes from",
            )
        place = _place(vm, interface, real, everywhere, lambda answer: answer.rcode < 0)
        raise Wrong("resolver.dead", f"{vm}: resolver {server} does not answer ({said})", breaks=breaks, remedy=remedy, place=place)
    wrong = [answer for answer in names if answer.rcode > 0]
    if wrong:
        shown = ", ".join(f"{answer.name} {RCODES.get(answer.rcode, answer.rcode)}" for answer in wrong)
        raise Wrong("resolver.wrong_answer", f"{vm}: resolver {server} answers {shown}", breaks=breaks, remedy=remedy)
    late = [answer for answer in answers if _is_late(answer)]
    if late and any(not _is_late(answer) for answer in names) and all(answer in reverse for answer in late):
        message = f"{vm}: resolver {server} knows names, but the reverse look-up of {late[0].name} hangs: logins wait for it"
        place = _place(vm, interface, real, everywhere, _is_late)
        remedy = f"dig -x {late[0].name} @{server} inside {vm}; then where {server} asks for the reverse zone"
        raise Wrong("resolver.reverse_hangs", message, breaks=breaks, remedy=remedy, place=place)
    if late:
        shown = ", ".join(f"{answer.name} after {answer.seconds:.1f} s" for answer in late)
        place = _place(vm, interface, real, everywhere, _is_late)
        raise Wrong("resolver.slow", f"{vm}: resolver {server} answers {shown}", breaks=breaks, remedy=remedy, place=place)


def _is_late(answer: NameAnswer) -> bool:
    return answer.rcode < 0 or answer.seconds > SLOW_SECONDS


def _place(
    vm: Vm, interface: Interface, real: frozenset[Address], everywhere: By[Interface, tuple[NameAnswer, ...]],
    is_bad: Callable[[NameAnswer], bool],
) -> str:
    """Say where it is: at the network, if the servers are its own and every guest that asked them finds the same; else at the VM."""
    if not real <= set(interface.network.resolvers):
        return vm.name
    seen = {other: [answer for answer in answers if answer.server in real] for other, answers in everywhere.seen().items()}
    asked = [answers for other, answers in seen.items() if answers and other.network == interface.network]
    return interface.network.name if all(any(map(is_bad, answers)) for answers in asked) else vm.name
