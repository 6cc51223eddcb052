"""suites/vmhost/test_guest.py, called with what the real tools say inside a guest that was broken."""

from dataclasses import replace
from ipaddress import ip_address, ip_interface

import pytest

from netchecks.models.answers import UNTOLD, NameAnswer
from netchecks.models.system import Resolver, Resolvers
from netchecks.models.table import Table
from suites.vmhost import test_guest as checks
from tests.suites.vmhost.given import UNSEEN, _by, has, is_unknown, notes_of, wrong
from tests.suites.vmhost.inside import INVENTORY, OFF, VM42, VM43, VM44, VM44_STORAGE, inside, pings, said

pytestmark = has()
OWNER = {"owner": "guest owner"}


def addresses(change="", interface=VM42, **facts):
    vm = interface.vm
    given = [inside(fact, facts.get(fact, change), vm) for fact in ("guest_links", "guest_addresses")]
    return notes_of(checks.test_guest_addresses_match, interface, INVENTORY, *given)


def routes(change="", interface=VM42, inventory=INVENTORY, **facts):
    given = [inside(fact, facts.get(fact, change), interface.vm) for fact in ("guest_routes", "guest_links", "guest_addresses")]
    return notes_of(checks.test_guest_routes_match, interface, inventory, *given)


# -- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [
    "",
    "ip addr add 10.20.0.200/24 dev eth0; ip addr add 10.20.0.201/32 dev eth0; ip addr add fd20::77/64 dev eth0 nodad",  # keepalived
    "ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up",
    "ip addr del 10.20.0.142/24 dev eth0; ip addr add 10.20.0.142/32 dev eth0",  # as clouds do
    """ip link add br9 type bridge; ip link set br9 address 52:54:00:00:00:42 up; ip link set eth0 master br9; ip addr flush dev eth0
    ip addr add 10.20.0.142/24 dev br9; ip addr add fd20::142/64 dev br9 nodad""",  # the guest's own bridge has its addresses
])
def test_the_declared_addresses_are_there(change):
    assert addresses(change) == []


def test_another_address():
    with wrong("guest.wrong_address", "vm42 has 10.20.0.99/24 inside the guest, expected 10.20.0.142", breaks={"ipv4"}) as caught:
        addresses("ip addr del 10.20.0.142/24 dev eth0; ip addr add 10.20.0.99/24 dev eth0")
    assert caught.value.remedy == "ip address add 10.20.0.142/24 dev eth0 inside vm42"


@pytest.mark.parametrize(("change", "code", "breaks"), [
    ("ip addr del 10.20.0.142/24 dev eth0", "guest.no_address", {"ipv4"}),
    ("ip addr del fd20::142/64 dev eth0", "guest.no_address", {"ipv6"}),
    ("echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "guest.no_ipv6", {"ipv6"}),
    ("ip addr del 10.20.0.142/24 dev eth0; ip addr add 10.20.0.142/24 dev lo", "guest.address_elsewhere", {"ipv4"}),
    ("ip addr del 10.20.0.142/24 dev eth0; ip addr add 10.20.0.142/16 dev eth0", "guest.wrong_prefix", {"ipv4", "routed"}),
    ("ip addr del 10.20.0.142/24 dev eth0; ip addr add 10.20.0.142/28 dev eth0", "guest.wrong_prefix", {"ipv4", "own_bridge"}),
])
def test_what_is_wrong_with_an_address(change, code, breaks):
    with wrong(code, "vm42", "10.20.0.142" if "ipv4" in breaks else "fd20::142", breaks=breaks):
        addresses(change)


def test_an_address_that_another_machine_has():
    text = said()["guest_addresses"].replace('"local":"fd20::142"', '"dadfailed":true,"local":"fd20::142"')
    with wrong("guest.address_not_usable", "may not use it (dadfailed)", breaks={"ipv6"}):
        addresses(guest_addresses=text)


def test_a_nic_that_is_down():
    with wrong("guest.interface_down", "eth0 is down inside the guest", layer="up", **OWNER):
        addresses("ip link set eth0 down")


def test_a_nic_that_is_not_there():
    with wrong("guest.interface_missing", "no device has 52:54:00:00:00:42", "eth0 52:54:00:00:00:99", layer="exists"):
        addresses("ip link set eth0 address 52:54:00:00:00:99")


def test_a_nic_with_the_mac_of_another_vm():
    with wrong("mac.duplicate", "eth0 has 52:54:00:00:00:43", "the MAC of vm43", layer="exists", certain=True, **OWNER):
        addresses("ip link set eth0 address 52:54:00:00:00:43")


def test_windows_tells_no_prefix_length_of_ipv6():
    table = inside("guest_addresses")[VM42.vm]
    four, six = (next(one for one in table["eth0"] if one.address.version == version) for version in (4, 6))
    for length in (128, 48):
        bare = replace(six, address=ip_interface(f"fd20::142/{length}"), flags=frozenset({checks.NO_LENGTH}))
        assert addresses(guest_addresses=Table("interface", {"eth0": (four, bare)})) == []


def test_a_guest_that_is_off_is_not_judged():
    assert addresses(interface=OFF, guest_links=UNSEEN, guest_addresses=UNSEEN) == []
    assert routes(interface=OFF, guest_routes=UNSEEN) == []


def test_addresses_are_unknown_where_nobody_came_in():
    is_unknown(lambda: addresses(guest_links=UNSEEN))
    is_unknown(lambda: addresses(guest_addresses=UNSEEN))


# -- routes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [
    "",
    "ip -6 route replace default via fe80::1 dev eth0",  # a router's advertisement
    "ip route add default via 10.20.0.9 metric 500",  # another one in reserve
    "ip link add tun0 type bridge; ip link set tun0 up; ip route replace default dev tun0",  # a tunnel takes all
    "ip route del default; ip link add tun0 type bridge; ip link set tun0 up; ip route add 0.0.0.0/1 dev tun0; ip route add 128.0.0.0/1 dev tun0",
    "ip link add docker0 type bridge; ip link set docker0 up; ip addr add 172.17.0.1/16 dev docker0; ip route add blackhole 10.99.0.0/16",
    "ip route del default; ip route add default via 10.20.0.1 table 100; ip rule add from 10.20.0.142 table 100",  # policy routing
    "ip addr del 10.20.0.142/24 dev eth0; ip addr add 10.20.0.142/32 dev eth0; ip route add default via 10.20.0.1 dev eth0 onlink",
    """ip addr del 10.20.0.142/24 dev eth0; ip addr add 10.20.0.142/32 dev eth0; ip route add 10.20.0.1 dev eth0
    ip route add default via 10.20.0.1""",  # a host address, as clouds give it
    "ip link set eth0 down",  # said elsewhere, as are the next two
    "ip addr flush dev eth0",
    "ip link set eth0 address 52:54:00:00:00:99",
])
def test_a_way_out(change):
    assert routes(change) == []


@pytest.mark.parametrize(("change", "code", "message", "family"), [
    ("ip route replace default via 10.20.0.254", "guest.wrong_gateway", "IPv4 default route is via 10.20.0.254 dev eth0", 4),
    ("ip route replace default dev eth0", "guest.wrong_gateway", "IPv4 default route is dev eth0", 4),
    ("ip -6 route replace default via fd20::254", "guest.wrong_gateway", "IPv6 default route is via fd20::254 dev eth0", 6),
    ("ip route add default via 10.20.0.9 metric 5; ip route del default metric 0; ip route add default via 10.20.0.1 metric 9",
     "guest.wrong_gateway", "via 10.20.0.9 dev eth0", 4),
    ("ip route del default", "guest.default_route_missing", "no IPv4 default route", 4),
    ("ip -6 route del default", "guest.default_route_missing", "no IPv6 default route", 6),
    ("ip route replace blackhole default", "guest.default_route_missing", "no IPv4 default route", 4),
])
def test_a_wrong_way_out(change, code, message, family):
    gateway = "10.20.0.1" if family == 4 else "fd20::1"
    with wrong(code, "vm42", message, f"expected via {gateway}", breaks={f"ipv{family}", "routed"}) as caught:
        routes(change)
    assert caught.value.remedy == f"ip route replace default via {gateway} inside the guest"


@pytest.mark.parametrize(("change", "code", "message"), [
    ("ip route del 10.20.0.0/24 dev eth0", "guest.subnet_route_missing", "10.20.0.1 is sent to the gateway 10.20.0.1"),
    ("ip link add docker0 type bridge; ip link set docker0 up; ip addr add 10.20.0.14/28 dev docker0", "guest.route_overlapping",
     "10.20.0.1 is sent by 10.20.0.0/28 dev docker0"),
    ("ip route add blackhole 10.20.0.8/29", "guest.route_overlapping", "10.20.0.11 is sent by 10.20.0.8/29 blackhole"),
])
def test_neighbours_that_are_sent_elsewhere(change, code, message):
    with wrong(code, message, "expected", breaks={"ipv4", "own_bridge", "unicast"}):
        routes(change)


def test_any_gateway_of_the_vm_will_do():
    other = replace(VM44_STORAGE, vm=VM42.vm, network=replace(VM42.network, subnets=tuple(
        replace(subnet, gateway=ip_address("10.20.0.254") if subnet.family == 4 else subnet.gateway) for subnet in VM42.network.subnets
    )), addresses=(ip_address("10.20.0.7"),))
    inventory = replace(INVENTORY, interfaces=(VM42, other))
    assert routes("ip route replace default via 10.20.0.254", inventory=inventory) == []


def test_routes_are_unknown_where_nobody_came_in():
    is_unknown(lambda: routes(guest_routes=UNSEEN))


# -- whom it reaches -------------------------------------------------------------------------------------------------

CHECKS = {name: getattr(checks, f"test_guest_reaches_{name}") for name in ("gateway", "node", "sibling")}
NODE, SIBLINGS = "10.20.0.11 fd20::11", "10.20.0.143 10.20.0.144"


def reaches(name, interface=VM42, change="", **told):
    given = pings(interface, **told)
    if name == "outside":
        more = inside("guest_routes", change, interface.vm), inside("guest_links", change, interface.vm)
        return notes_of(checks.test_guest_reaches_outside, interface, INVENTORY, given, *more)
    return notes_of(CHECKS[name], interface, given)


@pytest.mark.parametrize("name", ["gateway", "node", "sibling", "outside"])
def test_everybody_answers(name):
    assert reaches(name) == []
    assert reaches(name, OFF, silent="all") == [] if name != "outside" else True


@pytest.mark.parametrize(("name", "silent"), [("gateway", "10.20.0.1"), ("node", NODE)])
def test_who_is_silent_while_somebody_beyond_answers_keeps_silent_of_his_own_accord(name, silent):
    assert reaches(name, silent=silent) == []


def test_a_silent_sibling_alone_is_a_note():
    assert reaches("sibling", silent=SIBLINGS) == ["guest.sibling_silent"]


@pytest.mark.parametrize("name", ["gateway", "node", "sibling", "outside"])
def test_nobody_is_reached(name):
    with wrong("guest.reaches_nobody", "vm42 reaches nobody by IPv4", "Operation not permitted", breaks={"outbound"}, **OWNER):
        reaches(name, silent="all", error="sendmsg: Operation not permitted")


@pytest.mark.parametrize("name", ["gateway", "outside"])
def test_the_stretch_behind_the_neighbours(name):
    with wrong("guest.cannot_reach_gateway", "but not its gateway", breaks={"outbound"}, owner="node administrator"):
        reaches(name, silent="10.20.0.1 192.0.2.9")


def test_the_stretch_behind_the_gateway():
    with wrong("guest.cannot_reach_outside", "nobody beyond it by IPv4: 192.0.2.9", breaks={"outbound"}, owner="network engineer"):
        reaches("outside", silent="192.0.2.9")
    assert reaches("gateway", silent="192.0.2.9") == []


def test_a_gateway_alone_that_is_silent_proves_nothing():
    """Of IPv6 nobody outside is declared."""
    assert reaches("gateway", silent="fd20::1") == ["guest.gateway_silent"]


def test_a_wrong_gateway_explains_the_outside():
    assert reaches("outside", change="ip route replace default via 10.20.0.254", silent="192.0.2.9") == []


def test_who_may_not_ping_knows_nothing():
    is_unknown(lambda: reaches("gateway", silent="all", error="socket: Operation not permitted"))
    is_unknown(notes_of, checks.test_guest_reaches_node, VM42, _by("guest_pings", {"vm42": (VM42, UNSEEN)}))


# -- names -----------------------------------------------------------------------------------------------------------

GOOD = (("10.20.0.53", "gw.lab.test", 0, 0.01), ("10.20.0.53", "10.20.0.142", 0, 0.01))


def names(*answers, servers=("10.20.0.53",), others=(), vm=VM42.vm, behind=()):
    own, upstreams = (tuple(Resolver(ip_address(server)) for server in some) for some in (servers, behind or servers))
    own = Resolvers(own, stub=bool(behind), upstreams=upstreams)
    given = {"vm42": (VM42, tuple(map(_answer, answers)))} | {one.name: (one, tuple(map(_answer, told))) for one, told in others}
    return notes_of(checks.test_guest_resolves_names, vm, INVENTORY, inside("guest_resolvers", own, vm), _by("guest_name_answers", given))


def _answer(row):
    server, name, rcode, seconds = row
    return NameAnswer(ip_address(server), name, rcode, (), seconds, "silent" if rcode < 0 else "")


def dead(server="10.20.0.53"):
    return (server, "gw.lab.test", -1, 4.0), (server, "10.20.0.142", -1, 4.0)


@pytest.mark.parametrize("answers", [GOOD, (GOOD[0], ("10.20.0.53", "10.20.0.142", 3, 0.01)), (GOOD[0], ("10.20.0.53", "10.20.0.142", 5, 0.9))])
def test_any_answer_to_a_reverse_look_up_is_one(answers):
    assert names(*answers) == []


def test_no_resolver():
    with wrong("guest.no_resolver", "vm42 has no resolver, expected 10.20.0.53", breaks={"names"}):
        names(servers=())


def test_a_resolver_that_is_not_the_networks():
    with wrong("guest.wrong_resolver", "asks 10.20.0.59, which does not answer", "expected 10.20.0.53", breaks={"names"}):
        names(*GOOD, *dead("10.20.0.59"), servers=("10.20.0.53", "10.20.0.59"))


@pytest.mark.parametrize(("others", "place"), [((), "lan"), (((VM43, dead()),), "lan"), (((VM43, GOOD),), "vm42")])
def test_a_dead_resolver_is_at_the_network_if_nobody_hears_from_it(others, place):
    with wrong("resolver.dead", "vm42: resolver 10.20.0.53 does not answer", breaks={"names"}, place=place):
        names(*dead(), others=others)


@pytest.mark.parametrize(("behind", "place"), [(("10.20.0.53",), "lan"), (("192.0.2.1",), "vm42")])
def test_a_stub_is_as_dead_as_those_behind_it(behind, place):
    with wrong("resolver.dead", "vm42: resolver 127.0.0.53 does not answer", breaks={"names"}, place=place):
        names(*dead("127.0.0.53"), servers=("127.0.0.53",), behind=behind)


def test_a_name_that_is_not_known():
    with wrong("resolver.wrong_answer", "10.20.0.53 answers gw.lab.test NXDOMAIN", breaks={"names"}):
        names(("10.20.0.53", "gw.lab.test", 3, 0.01), GOOD[1])


@pytest.mark.parametrize(("others", "place"), [((), "lan"), (((VM43, GOOD),), "vm42")])
def test_a_name_that_ping_does_not_resolve_is_named_without_a_reason(others, place):
    with wrong("resolver.does_not_resolve", "10.20.0.53, its only resolver, does not resolve gw.lab.test", breaks={"names"}, place=place):
        names(("10.20.0.53", "gw.lab.test", UNTOLD, 0.0), others=others)
    assert names(GOOD[0]) == [], "ping asks no reverse look-up"


@pytest.mark.parametrize("late", [("10.20.0.53", "10.20.0.142", -1, 4.0), ("10.20.0.53", "10.20.0.142", 0, 2.5)])
def test_a_reverse_look_up_that_hangs(late):
    with wrong("resolver.reverse_hangs", "the reverse look-up of 10.20.0.142 hangs", "logins wait", breaks={"names"}, place="lan") as caught:
        names(GOOD[0], late)
    assert caught.value.remedy.startswith("dig -x 10.20.0.142 @10.20.0.53 inside vm42")


def test_a_resolver_that_is_slow_with_everything():
    with wrong("resolver.slow", "gw.lab.test after 2.5 s, 10.20.0.142 after 2.6 s", breaks={"names"}, place="lan"):
        names(("10.20.0.53", "gw.lab.test", 0, 2.5), ("10.20.0.53", "10.20.0.142", 0, 2.6))


def test_names_are_unknown_where_nobody_could_ask():
    vm = VM42.vm
    is_unknown(notes_of, checks.test_guest_resolves_names, vm, INVENTORY, inside("guest_resolvers", UNSEEN), _by("guest_name_answers", {}))
    assert names(vm=OFF.vm) == []


def test_a_vm_with_two_nics_is_judged_by_each():
    """The second one has no gateway, and its network none to miss."""
    change = """
        ip link set eth0 address 52:54:00:00:00:44; ip addr flush dev eth0
        ip addr add 10.20.0.144/24 dev eth0; ip route add default via 10.20.0.1
        ip link add eth1 address 52:54:00:00:01:44 type veth peer name far1; ip link set far1 up; ip link set eth1 up
        ip addr add 10.40.0.144/24 dev eth1
    """
    for interface in (VM44, VM44_STORAGE):
        assert addresses(change, interface) == []
        assert routes(change, interface) == []
