"""suites/node/test_kernel.py, called with what real parsers read."""

import pytest

from netchecks.errors import NotSeen
from netchecks.models.counters import ConntrackStats
from netchecks.models.subjects import DeclaredRoute
from netchecks.observe import OBSERVATIONS
from netchecks.parsing import prefix
from netchecks.seen import Pair
from suites.node import test_kernel as checks
from tests.suites.node.given import UNSEEN, by, link, node, notes_of, wrong


def sysctls(*lines):
    return by("sysctls", node1="\n".join(("ipv4/ip_forward:0", *lines)))


@pytest.mark.parametrize(("one", "lines"), [
    (node(), ()),
    (node(roles=frozenset({"router"})), ("ipv4/ip_forward:1",)),
    (node(sysctl=(("net.ipv4.conf.eth0/100.rp_filter", "2"),)), ("ipv4/conf/eth0.100/rp_filter:2",)),
    (node(sysctl=(("net/ipv4/conf/eth0.100/rp_filter", "2"),)), ("ipv4/conf/eth0.100/rp_filter:2",)),
    (node(sysctl=(("net.ipv4.tcp_rmem", "4096 131072 6291456"),)), ("ipv4/tcp_rmem:4096\t131072\t6291456",)),
    (node(sysctl=(("net.bridge.bridge-nf-call-iptables", "0"),)), ()),  # no br_netfilter, so nothing is handed over
    (node(roles=frozenset({"router"}), sysctl=(("net.ipv4.ip_forward", "0"),)), ()),  # what is declared wins
])
def test_sysctl_allows_forwarding_passes(one, lines):
    checks.test_sysctl_allows_forwarding(one, sysctls(*lines))


def test_sysctl_allows_forwarding_of_a_router():
    with wrong("sysctl.wrong", "net.ipv4.ip_forward is 0, expected 1") as caught:
        checks.test_sysctl_allows_forwarding(node(roles=frozenset({"router"})), sysctls())
    assert caught.value.remedy == "sysctl -w net.ipv4.ip_forward='1'; and in /etc/sysctl.d"
    for fields in ({"links": (link("eth0", "fd20::1/64"),)}, {"routes": (DeclaredRoute(prefix("fd30::/64", 6), None, "eth0"),)}):
        with wrong("sysctl.wrong", "net.ipv6.conf.all.forwarding is 0, expected 1"):
            checks.test_sysctl_allows_forwarding(
                node(roles=frozenset({"router"}), **fields), sysctls("ipv4/ip_forward:1", "ipv6/conf/all/forwarding:0"),
            )


def test_sysctl_allows_forwarding_names_all_that_is_not_as_declared():
    one = node(sysctl=(("net.ipv4.ip_forward", "1"), ("net.bridge.bridge-nf-call-iptables", "1"), ("net.ipv4.tcp_syncookies", "1")))
    with wrong("sysctl.wrong", "ip_forward is 0", "bridge-nf-call-iptables is not there", "tcp_syncookies is 2"):
        checks.test_sysctl_allows_forwarding(one, sysctls("ipv4/tcp_syncookies:2"))


@pytest.mark.parametrize("key", ["vm.swappiness", "net.ipv4.conf.all.log_martians", "net.ipv4.tcp_fastopen_key"])
def test_sysctl_allows_forwarding_is_unknown_for_what_is_not_read(key):
    with pytest.raises(NotSeen, match="netchecks does not read"):
        checks.test_sysctl_allows_forwarding(node(sysctl=((key, "1"),)), sysctls())


def test_sysctl_allows_forwarding_needs_nothing_where_nothing_is_expected():
    checks.test_sysctl_allows_forwarding(node(), by("sysctls", node1=UNSEEN))
    with pytest.raises(NotSeen):
        checks.test_sysctl_allows_forwarding(node(roles=frozenset({"router"})), by("sysctls", node1=UNSEEN))


def conntrack(count, limit=262144):
    return by("conntrack", node1=f"nf_conntrack_count:{count}\nnf_conntrack_max:{limit}\n")


STATS = "cpu=0 found=0 invalid=1 insert=0 insert_failed={failed} drop={drop} early_drop=0 error=0 search_restart=0\n"


def stats(failed=0, drop=0):
    return by("conntrack_stats", node1=(STATS.format(failed=5, drop=5), STATS.format(failed=5 + failed, drop=5 + drop)))


def test_conntrack_has_room_passes():
    assert notes_of(checks.test_conntrack_has_room, node(), conntrack(200000), stats()) == []
    assert notes_of(checks.test_conntrack_has_room, node(), by("conntrack", node1=""), by("conntrack_stats", node1=UNSEEN)) == []
    assert notes_of(checks.test_conntrack_has_room, node(), conntrack(5, 0), stats()) == []  # 0: no limit


def test_conntrack_has_room_names_a_table_that_is_nearly_full():
    with wrong("conntrack.nearly_full", "243793 of 262144", "93%") as caught:
        checks.test_conntrack_has_room(node(), conntrack(243793), by("conntrack_stats", node1=UNSEEN))
    assert "nf_conntrack_max=524288" in caught.value.remedy


def test_conntrack_has_room_names_what_it_drops():
    with wrong("conntrack.drops", "'drop': 3"):
        checks.test_conntrack_has_room(node(), conntrack(5), stats(drop=3))
    assert notes_of(checks.test_conntrack_has_room, node(), conntrack(5), stats(failed=2)) == ["conntrack.insert_failed"]


def test_conntrack_has_room_is_unknown_without_counters():
    with pytest.raises(NotSeen):
        checks.test_conntrack_has_room(node(), conntrack(5), by("conntrack_stats", node1=UNSEEN))
    with pytest.raises(NotSeen):
        checks.test_conntrack_has_room(node(), by("conntrack", node1=UNSEEN), stats())


def test_the_kernels_own_counters_are_read_like_conntracks():
    """Without conntrack(8): /proc/net/stat/nf_conntrack, in hexadecimal, a line for each CPU."""
    _, parse = OBSERVATIONS["conntrack_stats"].or_else[0]
    text = "entries  clashres found new drop insert_failed icmp_error\n" + "0000000a 00000001 00000002 00000000 00000010 0000000f 00000003\n" * 2
    assert parse(text) == ConntrackStats(2, found=4, drop=32, insert_failed=30, error=6, clash_resolve=2)


def sockets(tcp=1, time_wait=0, orphans=0, memory=0):
    return by("sockets", node1=f"""sockets: used 9
TCP: inuse {tcp} orphan {orphans} tw {time_wait} alloc 36 mem {memory}
UDP: inuse 3 mem 0
ip_local_port_range:32768\t60999
tcp_max_tw_buckets:131072
tcp_max_orphans:65536
""")


MEMORY = sysctls("ipv4/tcp_mem:90000\t120000\t180000")


def test_ports_have_room():
    check = checks.test_ports_have_room
    assert notes_of(check, node(), sockets(tcp=20000, time_wait=5000), MEMORY) == []
    assert notes_of(check, node(), sockets(tcp=20000, time_wait=9000), MEMORY) == ["ports.many"]
    assert notes_of(check, node(), sockets(memory=999999), sysctls()) == []  # a kernel that does not tell its limit
    with wrong("sockets.orphans_nearly_full", "60000 of 65536"):
        check(node(), sockets(orphans=60000), MEMORY)
    with wrong("sockets.memory_nearly_full", "170000 of 180000"):
        check(node(), sockets(memory=170000), MEMORY)
    with pytest.raises(NotSeen):
        check(node(), by("sockets", node1=UNSEEN), MEMORY)


def softnet(processed, dropped):
    return f"{processed:08x} {dropped:08x} 00000000 00000000"


def load(one="0.5", softirq=(0, 0), idle=(1000, 1100)):
    texts = tuple(
        f"{one} 1.0 1.0 2/100 999\ncpu 10 0 10 {idle[at]} 0 0 {softirq[at]} 0\ncpu0 10 0 10 {idle[at]} 0 0 {softirq[at]} 0" for at in (0, 1)
    )
    return by("load", node1=texts)


@pytest.mark.parametrize(("loads", "dropped", "notes"), [
    (load(), 0, []),
    (load(), 999, ["node.drops_packets"]),
    (load(one="21.0"), 0, ["node.high_load"]),
    (load(softirq=(0, 99), idle=(1000, 1001)), 0, ["node.softirq"]),
    (load(softirq=(0, 9), idle=(1000, 1000)), 0, []),  # too short a time to tell
])
def test_node_is_not_overloaded_notes(loads, dropped, notes):
    queues = by("softnet", node1=(softnet(1000, 7), softnet(2000, 7 + dropped)))
    assert notes_of(checks.test_node_is_not_overloaded, node(), loads, queues) == notes


def test_node_is_not_overloaded_fails_where_many_packets_are_lost():
    with wrong("node.drops_packets", "dropped 5000 of 105000 packets"):
        checks.test_node_is_not_overloaded(node(), load(), by("softnet", node1=(softnet(0, 0), softnet(100000, 5000))))
    many = by("softnet", node1=(softnet(0, 0), softnet(1000000, 5000)))  # half a percent: a burst
    assert notes_of(checks.test_node_is_not_overloaded, node(), load(), many) == ["node.drops_packets"]


def test_node_is_not_overloaded_is_unknown_without_counters():
    with pytest.raises(NotSeen):
        checks.test_node_is_not_overloaded(node(), load(), by("softnet", node1=UNSEEN))
    assert isinstance(load()[node()], Pair)
