"""suites/node/test_names.py, called with answers as the probe gives them."""

from ipaddress import ip_address, ip_network

import pytest

from netchecks.errors import NotSeen
from netchecks.models.answers import NameAnswer
from netchecks.models.subjects import Attachment, Network, Subnet
from suites.node import test_names as checks
from tests.suites.node.given import UNSEEN, by, inventory, node, notes_of, wrong

NODES = [node(name, names_inside=("gw.lab.test",), names_outside=("www.example.org",)) for name in ("node1", "node2")]
NAMES = ("gw.lab.test", "www.example.org")
PLAIN = "@resolv.conf\nnameserver 10.20.0.53\nnameserver 10.20.0.54\n@upstreams\n@links\n"
STUB = "@resolv.conf\nnameserver 127.0.0.53\n@upstreams\nnameserver 10.20.0.53\n@links\nLink 2 (eth0): 10.20.0.53\n"


def site(*resolvers):
    ends = tuple(Attachment(one, "br0", "eth0") for one in NODES)
    subnets = (Subnet(ip_network("10.20.0.0/24")),)
    return inventory(*NODES, networks=(Network("lan", "switching", ends, subnets, resolvers=tuple(map(ip_address, resolvers))),))


def answers(server, rcodes=(0, 0), seconds=0.01, error=""):
    return tuple(NameAnswer(ip_address(server), name, rcode, (), seconds, error) for name, rcode in zip(NAMES, rcodes, strict=True))


def dead(server, error="silent"):
    return answers(server, (-1, -1), 3.0, error)


def check(node1, node2=UNSEEN, resolvers=PLAIN, meant=None):
    return notes_of(
        checks.test_node_resolves_names, NODES[0], meant or site("10.20.0.53"), by("resolvers", node1=resolvers),
        by("name_answers", node1=node1, node2=node2),
    )


def test_node_resolves_names_passes():
    assert check(answers("10.20.0.53") + answers("10.20.0.54", seconds=0.9)) == []


def test_node_resolves_names_asks_for_nothing_where_no_name_is_declared():
    checks.test_node_resolves_names(node(), site(), by("resolvers", node1=UNSEEN), by("name_answers", node1=UNSEEN))


def test_one_dead_server_of_several_counts():
    with wrong("resolver.dead", "resolver 10.20.0.54 does not answer (silent)", "gw.lab.test") as caught:
        check(answers("10.20.0.53") + dead("10.20.0.54"))
    assert caught.value.remedy.startswith("dig @10.20.0.54 gw.lab.test on node1")
    assert caught.value.breaks == {"names"}  # no flow needs them: never the cause of one


def test_silence_may_follow_from_a_broken_uplink_but_a_refusal_does_not():
    with wrong("resolver.dead") as caught:
        check(dead("10.20.0.54", "Network is unreachable (from this machine)"))
    assert (caught.value.hop, caught.value.layer) == ("uplink", "service")
    with wrong("resolver.dead", "Connection refused") as caught:
        check(dead("10.20.0.54", "Connection refused (from 10.20.0.54)"))
    assert caught.value.hop == ""


@pytest.mark.parametrize(("node2", "meant", "place"), [
    (dead("10.20.0.53"), site("10.20.0.53"), "lan"),  # dead for everybody, and the network's own
    (answers("10.20.0.53"), site("10.20.0.53"), "node1"),  # dead for this node alone
    (dead("10.20.0.53"), site(), "node1"),  # nobody's in particular
    (UNSEEN, site("10.20.0.53"), "lan"),
])
def test_a_dead_resolver_is_the_networks_if_it_is_dead_for_all(node2, meant, place):
    with wrong("resolver.dead", place=place):
        check(dead("10.20.0.53"), node2, meant=meant)


def test_a_slow_resolver_is_named():
    with wrong("resolver.slow", "10.20.0.53 answers gw.lab.test after 2.5 s, www.example.org after 2.5 s", place="lan"):
        check(answers("10.20.0.53", seconds=2.5))
    with wrong("resolver.slow", place="node1"):
        check(answers("10.20.0.53", seconds=2.5), answers("10.20.0.53"))


def test_a_server_that_answers_one_name_is_alive():
    both = answers("10.20.0.53", (0, -1))
    assert check(both) == []


@pytest.mark.parametrize(("rcode", "word"), [(2, "SERVFAIL"), (3, "NXDOMAIN"), (5, "REFUSED"), (9, "code 9")])
def test_a_wrong_answer_for_a_declared_name_is_named(rcode, word):
    with wrong("resolver.wrong_answer", f"10.20.0.53 answers www.example.org {word}"):
        check(answers("10.20.0.53", (0, rcode)))


def test_a_server_behind_the_stub_need_not_know_every_name():
    """systemd-resolved asks each server for the names of its link only (split DNS); the stub has to know them all."""
    assert check(answers("127.0.0.53") + answers("10.20.0.53", (3, 5)), resolvers=STUB) == []
    with wrong("resolver.wrong_answer", "127.0.0.53 answers gw.lab.test NXDOMAIN"):
        check(answers("127.0.0.53", (3, 0)) + answers("10.20.0.53"), resolvers=STUB)
    with wrong("resolver.dead", "10.20.0.53", place="lan"):
        check(answers("127.0.0.53") + dead("10.20.0.53"), resolvers=STUB)


def test_node_resolves_names_is_unknown_without_answers():
    with pytest.raises(NotSeen):
        check(UNSEEN)
