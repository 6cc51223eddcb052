"""suites/vmhost/test_routing.py, called with what ip and the kernel say of nodes that route to their VMs."""

import pytest

from netchecks.errors import NotSeen
from suites.vmhost import test_routing as checks
from tests.suites.node.given import by, wrong
from tests.suites.vmhost.routed import (
    NODE1,
    ROUTER,
    TAPS,
    UNSEEN,
    VM42,
    VM43,
    VM45,
    VM60,
    addresses,
    came_back,
    flow_to,
    links,
    lost,
    routes,
    rules,
    sysctls,
    ways,
)

NO_DOMAINS = by("domains", node1=UNSEEN)

# -- the subnet's route ------------------------------------------------------------------------------------------------

SUBNETS = ("10.50.0.0/24 dev br1 proto static scope link", "fd50::/64 dev br1 proto static metric 1024")


def test_a_subnet_that_is_declared_is_routed_to_the_bridge():
    checks.test_subnet_route_is_present(VM45, routes(*SUBNETS), links())
    checks.test_subnet_route_is_present(VM42, routes(), links())  # of the pool none is declared: it has host routes


@pytest.mark.parametrize(("v4", "v6", "words", "breaks"), [
    ("", SUBNETS[1], "no route to 10.50.0.0/24 leads to br1", {"ipv4", "unicast"}),
    (SUBNETS[0], "", "no route to fd50::/64 leads to br1", {"ipv6", "unicast"}),
    ("10.50.0.0/24 dev eth1", "", "no route to 10.50.0.0/24, fd50::/64 leads to br1", {"unicast"}),
    ("blackhole 10.50.0.0/24", SUBNETS[1], "no route to 10.50.0.0/24", {"ipv4", "unicast"}),
])
def test_a_subnet_without_its_route(v4, v6, words, breaks):
    with wrong("route.subnet_missing", words) as caught:
        checks.test_subnet_route_is_present(VM45, routes(v4, v6), links())
    assert caught.value.breaks == breaks


@pytest.mark.parametrize("state", ["gone", "down"])
def test_routes_that_went_with_their_bridge_are_told_by_others(state):
    checks.test_subnet_route_is_present(VM45, routes(), links(br1=state))


# -- the way to a VM ---------------------------------------------------------------------------------------------------


def host_route(subject=VM42, v4="", v6="", *, kernel=None, sysctl=None, device="up", rule=""):
    checks.test_host_route_is_present(
        subject, kernel or ways(subject), routes(v4, v6), rules(rule), sysctl or sysctls(), by("domains", node1=TAPS), links(br0=device),
    )


def test_what_the_kernel_sends_to_the_bridge_or_the_tap_is_right_by_whatever_route():
    host_route()
    host_route(VM60)


@pytest.mark.parametrize("told", [
    {"own4": "via 10.20.0.1 dev eth0 src 10.20.0.11", "forwarded4": "via 10.20.0.1 dev eth0"},
    {"own4": "RTNETLINK answers: Network is unreachable"},
    {"own4": "via 10.40.0.9 dev br0"},
])
def test_no_way_to_the_bridge(told):
    with wrong("route.host_missing", "node1: there is no route to vm42 10.40.0.142 by br0") as caught:
        host_route(kernel=ways(VM42, **told))
    own = set() if "forwarded4" in told else {"own_bridge"}
    assert (caught.value.remedy, caught.value.breaks) == ("ip route add 10.40.0.142 dev br0", {"ipv4", "unicast"} | own)


def test_no_way_by_ipv6():
    with wrong("route.host_missing", "vm42 fd40::142") as caught:
        host_route(kernel=ways(VM42, own6="RTNETLINK answers: Network is unreachable"))
    assert caught.value.remedy == "ip -6 route add fd40::142 dev br0"


def test_in_a_fabric_it_comes_before_what_frr_tells():
    with wrong("route.host_missing", "by vnet60") as caught:
        host_route(VM60, kernel=ways(VM60, own4="via 10.20.0.1 dev eth0"))
    assert caught.value.hop == "announcer"


def test_a_host_route_to_another_device():
    with wrong("route.wrong_device", "leads to br1, expected to br0"):
        host_route(v4="10.40.0.142 dev br1", kernel=ways(VM42, own4="dev br1", forwarded4="dev br1"))


@pytest.mark.parametrize(("v4", "told", "rule", "words"), [
    ("10.40.0.142 dev br0 metric 100\nblackhole 10.40.0.142", {"own4": "RTNETLINK answers: Invalid argument"}, "", "it sends packets nowhere (blackhole)"),
    ("10.40.0.142 dev br0", {"own4": "via 10.21.0.1 dev eth1 table 77"}, "500:\tfrom all to 10.40.0.142 lookup 77\n", "500 lookup 77"),
    ("10.40.0.142 dev br0", {"forwarded4": "via 10.21.0.1 dev eth1"}, "500:\tfrom all iif eth0 lookup 78\n", "packets from outside go by eth1 via 10.21.0.1"),
])
def test_a_host_route_that_does_not_win(v4, told, rule, words):
    with wrong("route.shadowed", "node1 has a route to vm42 10.40.0.142, but another one wins", words):
        host_route(v4=v4, kernel=ways(VM42, **told), rule=rule)


@pytest.mark.parametrize(("told", "settings"), [
    ({"forwarded4": "RTNETLINK answers: No route to host"}, {"ipv4__ip_forward": "0"}),
    ({"forwarded4": "RTNETLINK answers: No route to host"}, {"ipv4__conf__eth0__forwarding": "0"}),
    ({"forwarded4": "RTNETLINK answers: Invalid argument"}, {"ipv4__conf__eth0__rp_filter": "1"}),
    ({"forwarded4": "RTNETLINK answers: Invalid argument"}, {"ipv4__conf__all__rp_filter": "2"}),
])
def test_what_the_kernel_refuses_for_another_reason_is_told_by_others(told, settings):
    host_route(kernel=ways(VM42, **told), sysctl=sysctls(**settings))
    with wrong("route.shadowed"):
        host_route(v4="10.40.0.142 dev br0", kernel=ways(VM42, **told))


def test_a_stopped_vm_needs_no_route():
    host_route(VM43, kernel=ways(VM43, own4="RTNETLINK answers: Network is unreachable"))


def test_of_a_bridge_in_a_vrf_only_what_comes_from_outside_is_judged():
    vrf = "9: red: <NOARP,MASTER,UP,LOWER_UP> mtu 65575 state UP mode DEFAULT\n    link/ether 02:00:00:00:00:09\n    vrf table 10"
    known = links(br0="in red", more=vrf)
    facts = (routes(), rules(), sysctls(), by("domains", node1=TAPS))
    checks.test_host_route_is_present(VM42, ways(VM42, own4="via 10.20.0.1 dev eth0", own6="via fe80::1 dev eth0"), *facts, known)
    with wrong("route.shadowed", "packets from outside go by eth0"):
        checks.test_host_route_is_present(VM42, ways(VM42, own4="via 10.20.0.1 dev eth0", forwarded4="via 10.20.0.1 dev eth0"), *facts, known)


@pytest.mark.parametrize("state", ["gone", "down"])
def test_without_its_bridge_there_is_no_route(state):
    host_route(kernel=ways(VM42, own4="RTNETLINK answers: Network is unreachable"), device=state)


def test_of_a_subnet_that_is_declared_the_other_check_says_it():
    host_route(VM45, kernel=ways(VM45, own4="via 10.20.0.1 dev eth0", forwarded4="dev br1"))


def test_what_was_not_seen_is_unknown():
    from tests.suites.vmhost.routed import of

    with pytest.raises(NotSeen):
        host_route(kernel=of("vm_routes", VM42, UNSEEN))


# -- forwarding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("settings", "words", "breaks"), [
    ({"ipv4__ip_forward": "0"}, "net.ipv4.ip_forward is 0", {"routed", "ipv4"}),
    ({"ipv6__conf__all__forwarding": "0"}, "net.ipv6.conf.all.forwarding is 0", {"routed", "ipv6"}),
    ({"ipv4__ip_forward": "0", "ipv6__conf__all__forwarding": "0"}, "net.ipv4.ip_forward is 0, net.ipv6.conf.all.forwarding is 0", {"routed"}),
    ({"ipv4__conf__eth0__forwarding": "0"}, "net.ipv4.conf.eth0.forwarding is 0", {"routed", "ipv4"}),
    ({"ipv4__conf__br0__forwarding": "0"}, "net.ipv4.conf.br0.forwarding is 0", {"routed", "ipv4"}),
])
def test_a_node_that_does_not_forward(settings, words, breaks):
    with wrong("forwarding.off", "node1 does not forward", words) as caught:
        checks.test_node_forwards(VM42, sysctls(**settings), NO_DOMAINS, links())
    assert caught.value.breaks == breaks


def test_a_node_that_forwards():
    checks.test_node_forwards(VM42, sysctls(ipv4__conf__eth1__forwarding="0", ipv6__conf__eth0__forwarding="0"), NO_DOMAINS, links())
    checks.test_node_forwards(VM45, sysctls(ipv4__conf__br0__forwarding="0"), NO_DOMAINS, links())


def test_routers_forward_too():
    checks.test_router_forwards(VM42, sysctls("router"))
    with wrong("forwarding.off", "router does not forward", place="router"):
        checks.test_router_forwards(VM42, sysctls("router", ipv4__ip_forward="0"))
    assert VM42.network.routers == (ROUTER,)


# -- the reverse path --------------------------------------------------------------------------------------------------

TO_VM = flow_to(VM42)
BY_ETH1 = "default via 10.20.0.1 dev eth0\n10.10.0.0/24 via 10.21.0.1 dev eth1"


def reverse(flow=TO_VM, v4=BY_ETH1, rule="", answer=None, **settings):
    checks.test_rp_filter_lets_through(flow, *(answer or lost(flow)), routes(v4), rules(rule), sysctls(**settings))


@pytest.mark.parametrize("settings", [{"ipv4__conf__all__rp_filter": "1"}, {"ipv4__conf__eth0__rp_filter": "1"}])
def test_a_strict_filter_drops_what_would_leave_by_another_device(settings):
    with wrong("rpfilter.drops", "node1 drops what comes from 10.10.0.2 by eth0", "leads by eth1") as caught:
        reverse(**settings)
    assert caught.value.breaks == {"ipv4", "routed"}


@pytest.mark.parametrize(("v4", "settings"), [
    (BY_ETH1, {}),
    (BY_ETH1, {"ipv4__conf__eth0__rp_filter": "2", "ipv4__conf__all__rp_filter": "1"}),
    (BY_ETH1, {"ipv4__conf__eth1__rp_filter": "1"}),
    ("default via 10.20.0.1 dev eth0", {"ipv4__conf__all__rp_filter": "1"}),
    ("default\n\tnexthop via 10.20.0.1 dev eth0 weight 1\n\tnexthop via 10.21.0.1 dev eth1 weight 1", {"ipv4__conf__all__rp_filter": "1"}),
    ("", {"ipv4__conf__all__rp_filter": "1"}),
])
def test_a_filter_that_drops_nothing(v4, settings):
    reverse(v4=v4, **settings)


def test_what_comes_back_and_what_the_node_sends_itself_is_not_judged():
    reverse(answer=came_back(TO_VM), ipv4__conf__all__rp_filter="1")
    own = flow_to(VM42, source=NODE1)
    reverse(own, answer=lost(own), ipv4__conf__all__rp_filter="1")
    six = flow_to(VM42, 6)
    reverse(six, answer=lost(six, "fd10::2"), ipv4__conf__all__rp_filter="1")


def test_the_policys_rules_decide_by_the_vms_address():
    reverse(rule="500:\tfrom 10.40.0.0/24 lookup 77\n", v4=f"{BY_ETH1}\ndefault via 10.20.0.1 dev eth0 table 77", ipv4__conf__all__rp_filter="1")


def test_a_rule_that_cannot_be_told_makes_it_unknown():
    with pytest.raises(NotSeen, match="rule 500"):
        reverse(rule="500:\tfrom all fwmark 0x1 lookup 77\n", ipv4__conf__all__rp_filter="1")


# -- the way back ------------------------------------------------------------------------------------------------------


def way_back(flow=TO_VM, v4="", v6="", *, answer=None, uplink="up"):
    checks.test_node_has_way_back(flow, *(answer or lost(flow)), routes(v4, v6), rules(), links(eth0=uplink))


@pytest.mark.parametrize("v4", ["", "10.20.0.0/24 dev eth0", "unreachable default metric 4278198272"])
def test_answers_have_no_route(v4):
    with wrong("route.no_way_back", "answers to 10.10.0.2 have no route") as caught:
        way_back(v4=v4)
    assert caught.value.breaks == {"ipv4", "routed"}


def test_answers_by_ipv6_have_no_route():
    six = flow_to(VM42, 6)
    with wrong("route.no_way_back", "fd10::2"):
        way_back(six, "default via 10.20.0.1 dev eth0", answer=lost(six, "fd10::2"))
    way_back(six, v6="default via fe80::1 dev eth0 metric 1024", answer=lost(six, "fd10::2"))


def test_answers_have_a_route():
    way_back(v4="default via 10.20.0.1 dev eth0")
    way_back(v4="default via inet6 fe80::1 dev eth0")
    way_back(answer=came_back(TO_VM))


@pytest.mark.parametrize("state", ["gone", "down", "dark"])
def test_a_way_back_that_went_with_the_uplink_is_told_by_others(state):
    way_back(uplink=state)


# -- the VM's gateway --------------------------------------------------------------------------------------------------


def gateway(flow=TO_VM, told="br0 10.40.0.1/32, br0 fe80::1/64", answer=None, **settings):
    answers, _ = answer or lost(flow)
    checks.test_vm_gateway_is_on_node(flow, answers, addresses(told), sysctls(**settings), by("domains", node1=TAPS), links())


def test_the_gateway_is_on_the_node():
    gateway()
    gateway(told="eth0 10.40.0.1/24")  # Linux answers for it on every link
    gateway(flow_to(VM42, 6))
    gateway(told="", ipv4__conf__br0__proxy_arp="1")
    gateway(told="", answer=came_back(TO_VM))


def test_the_gateway_is_nowhere():
    with wrong("gateway.not_on_node", "vm42's gateway 10.40.0.1 is no address of the node") as caught:
        gateway(told="br0 10.40.0.2/32")
    assert caught.value.remedy == "ip addr add 10.40.0.1/32 dev br0"
    with wrong("gateway.not_on_node", "fe80::1"):
        gateway(flow_to(VM42, 6), told="br1 fe80::1/64")  # a link-local address is its link's alone
