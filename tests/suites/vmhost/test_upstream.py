"""suites/vmhost/test_upstream.py, called with what routers and nodes say."""

import pytest

from suites.vmhost import test_upstream as checks
from tests.suites.node.given import UNSEEN, by, notes_of, wrong
from tests.suites.vmhost.routed import (
    NODE1,
    TAPS,
    VM42,
    VM43,
    VM46,
    VM60,
    addresses,
    came_back,
    flow_to,
    links,
    lost,
    routes,
    sysctls,
)

KNOWN4, KNOWN6 = "10.40.0.142 via 10.20.0.11 dev eth0 proto static", "fd40::142 via fd20::11 dev eth0 proto static metric 1024"


def knows(subject=VM42, v4=KNOWN4, v6=KNOWN6, told="eth0 10.20.0.11/24", answers=None, **states):
    checks.test_neighbour_router_knows_vm(
        subject, routes(v4, v6, node="router"), addresses(told, node2="eth0 10.20.0.12/24"), answers or lost(flow_to(VM42))[0],
        by("domains", node1=TAPS), links(**states),
    )


@pytest.mark.parametrize("v4", [
    KNOWN4,
    "10.40.0.0/24 via 10.20.0.11 dev eth0",  # an aggregate
    "unreachable 10.40.0.0/24\n10.40.0.142 via 10.20.0.11 dev eth0",
    "10.40.0.142 via inet6 fd20::11 dev eth0",
    "10.40.0.142 via 10.99.0.7 dev eth3",  # another router, which is not ours to ask
    "10.40.0.142\n\tnexthop via 10.20.0.11 dev eth0 weight 1\n\tnexthop via 10.20.0.12 dev eth0 weight 1",
    "10.40.0.0/24 dev eth0",  # it asks by ARP
])
def test_a_router_that_knows_the_way(v4):
    knows(v4=v4)


@pytest.mark.parametrize(("v4", "words"), [
    ("", "none"),
    ("default via 10.9.0.1 dev eth9", "only default 0.0.0.0/0"),
    ("blackhole 10.40.0.0/24", "only blackhole 10.40.0.0/24"),
    ("10.40.0.143 via 10.20.0.11 dev eth0", "none"),
])
def test_a_router_that_does_not(v4, words):
    with wrong("router.route_missing", "router: no route to vm42 10.40.0.142 on node1", words, place="router") as caught:
        knows(v4=v4)
    assert (caught.value.breaks, caught.value.owner) == ({"ipv4", "routed"}, "network engineer")


def test_a_router_that_is_not_on_the_way_is_noted():
    reached, _ = came_back(flow_to(VM42))
    assert notes_of(lambda: knows(v4="", answers=reached)) == ["router.not_on_the_way"]
    own, _ = came_back(flow_to(VM42, source=NODE1))
    with wrong("router.route_missing", place="router"):
        knows(v4="", answers=own)


def test_a_router_that_knows_it_by_one_family():
    with wrong("router.route_missing", "fd40::142", place="router") as caught:
        knows(v6="")
    assert caught.value.breaks == {"ipv6", "routed"}


def test_a_router_that_sends_to_another_node():
    with wrong("router.route_elsewhere", "leads to node2, expected to node1", place="router"):
        knows(v4="10.40.0.142 via 10.20.0.12 dev eth0")


def test_a_stopped_vm_need_not_be_known():
    knows(VM43, v4="")


@pytest.mark.parametrize("states", [{"vnet60": "down"}, {"vnet60": "dark"}, {"vnet60": "gone"}, {"eth0": "down"}, {"eth0": "dark"}])
def test_in_a_fabric_what_went_with_a_link_is_told_by_others(states):
    knows(VM60, v4="", v6="", **states)
    with wrong("router.route_missing", place="router"):
        knows(VM60, v4="", v6="")


# -- who answers ARP and NDP -------------------------------------------------------------------------------------------

TO_VM46, TO_VM46_6 = flow_to(VM46), flow_to(VM46, 6)
SEGMENT = "eth0 10.20.0.11/24, eth0 fd20::11/64"


def answers_for(flow=TO_VM46, told=SEGMENT, proxies="[]", router="10.20.0.0/24 dev eth0", answer=None, **settings):
    answers, _ = answer or lost(flow)
    checks.test_uplink_answers_for_vm(
        flow, answers, addresses(told), sysctls(**settings), routes(router, "fd20::/64 dev eth0", node="router"), links(),
        by("proxy_neighbours", node1=proxies),
    )


LISTED = '[{"dst":"fd20::146","dev":"eth0","proxy":null}]'


def test_nobody_answers_arp_for_it():
    with wrong("proxy.arp_missing", "vm46's 10.20.0.146 is of eth0's own subnet", "proxy_arp is 0") as caught:
        answers_for()
    assert caught.value.breaks == {"ipv4", "routed"}


@pytest.mark.parametrize(("proxies", "settings", "lacks"), [
    ("[]", {}, "proxy_ndp is 0 and it is no proxy entry"),
    ("[]", {"ipv6__conf__eth0__proxy_ndp": "1"}, "it is no proxy entry"),
    (LISTED, {}, "proxy_ndp is 0"),
    (LISTED.replace("eth0", "eth1"), {"ipv6__conf__all__proxy_ndp": "1"}, "it is no proxy entry"),
])
def test_nobody_answers_ndp_for_it(proxies, settings, lacks):
    with wrong("proxy.ndp_missing", "fd20::146", lacks):
        answers_for(TO_VM46_6, proxies=proxies, answer=lost(TO_VM46_6, "fd10::2"), **settings)


def test_the_node_answers_for_it():
    answers_for(ipv4__conf__eth0__proxy_arp="1")
    answers_for(ipv4__conf__all__proxy_arp="1")
    answers_for(proxies='[{"dst":"10.20.0.146","dev":"eth0","proxy":null}]')
    answers_for(TO_VM46_6, proxies=LISTED, answer=lost(TO_VM46_6, "fd10::2"), ipv6__conf__eth0__proxy_ndp="1")


def test_nobody_needs_to():
    answers_for(answer=came_back(TO_VM46))
    answers_for(router="10.20.0.146 via 10.20.0.11 dev eth0")  # the router asks for the node
    answers_for(told="eth0 10.99.0.11/24")
    own = flow_to(VM46, source=NODE1)
    answers_for(own, answer=lost(own))


def test_where_no_router_can_be_asked_the_segment_decides():
    answers, _ = lost(TO_VM46)
    with wrong("proxy.arp_missing"):
        checks.test_uplink_answers_for_vm(
            TO_VM46, answers, addresses(SEGMENT), sysctls(), by("routes", router=UNSEEN), links(), by("proxy_neighbours", node1="[]"),
        )
