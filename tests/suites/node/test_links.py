"""suites/node/test_links.py, called with what real parsers read."""

import pytest

from netchecks.errors import NotSeen
from netchecks.models.subjects import Link
from suites.node import test_links as checks
from tests.suites.node.given import UNSEEN, by, link, node, notes_of, wrong

UP = "<BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc fq state UP mode DEFAULT group default qlen 1000"
DOWN = "<BROADCAST,MULTICAST> mtu 1500 qdisc fq state DOWN mode DEFAULT group default qlen 1000"
OUT = "<NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 qdisc fq state DOWN mode DEFAULT group default qlen 1000"
ETHER = "\n    link/ether 02:20:00:00:00:11 brd ff:ff:ff:ff:ff:ff promiscuity 0 minmtu 68 maxmtu 65535"
BRIDGE = ETHER + "\n    bridge forward_delay 1500 hello_time 200"


def expected(device="eth0", role="uplink", **fields):
    return Link(f"node1:{device}", node(**fields), device, role)


def test_link_is_up_passes_with_carrier():
    assert notes_of(checks.test_link_is_up, expected(), by("links", node1=f"2: eth0: {UP}{ETHER}")) == []


@pytest.mark.parametrize("role", ["uplink", "bridge", "declared"])
@pytest.mark.parametrize(("text", "what", "layer"), [
    ("1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN", "missing", "exists"),
    (f"2: eth0: {DOWN}{ETHER}", "down", "up"),
    (f"2: eth0: {OUT}{ETHER}", "no_carrier", "up"),
])
def test_link_is_up_says_what_is_wrong_with_which(role, text, what, layer):
    word, hop = {"declared": ("link", "")}.get(role, (role, role))
    with wrong(f"{word}.{what}", "node1: ", "eth0") as caught:
        checks.test_link_is_up(expected(role=role), by("links", node1=text))
    assert (caught.value.hop, caught.value.layer) == (hop, layer)


def test_link_is_up_lets_a_bridge_without_active_port_be():
    """libvirt's virbr0 and Docker's docker0 have no carrier as long as nobody uses them."""
    checks.test_link_is_up(expected("virbr0", "declared"), by("links", node1=f"3: virbr0: {OUT}{BRIDGE}"))
    with wrong("bridge.down"):
        checks.test_link_is_up(expected("br0", "bridge"), by("links", node1=f"3: br0: {DOWN}{BRIDGE}"))


def test_link_is_up_is_unknown_without_links():
    with pytest.raises(NotSeen):
        checks.test_link_is_up(expected(), by("links", node1=UNSEEN))


def counters(packets, errors=0, dropped=0, crc=0, missed=0):
    return f"""2: eth0: {UP}{ETHER}
    RX: bytes  packets  errors  dropped missed  mcast
    {packets}00 {packets} {errors} {dropped} {missed} 0
    RX errors: length    crc   frame   fifo overrun
                    0 {crc} 0 0 0
    TX: bytes  packets  errors  dropped carrier collsns
    {packets}00 {packets} 0 0 0 0
    TX errors: aborted   fifo  window heartbt transns
                     0      0       0       0       3
"""


def counted(before, after):
    return by("link_counters", node1=(before, after))


def test_link_counts_no_errors_ignores_old_errors_and_growing_drops():
    check = checks.test_link_counts_no_errors
    assert notes_of(check, expected(), counted(counters(100, errors=7), counters(200, errors=7, dropped=50))) == []


def test_link_counts_no_errors_names_what_grew():
    with wrong("link.errors", "eth0", "rx_errors by 3", "rx_crc_errors by 3", "of 200 good frames"):
        checks.test_link_counts_no_errors(expected(), counted(counters(100, 7, crc=7), counters(200, 10, crc=10)))


def test_link_counts_no_errors_notes_one_among_a_million():
    check = checks.test_link_counts_no_errors
    assert notes_of(check, expected(), counted(counters(100), counters(1_000_100, errors=1, crc=1))) == ["link.few_errors"]


def test_link_counts_no_errors_takes_counters_that_began_anew_for_none():
    assert notes_of(checks.test_link_counts_no_errors, expected(), counted(counters(900, errors=9), counters(1))) == []


def test_link_counts_no_errors_leaves_a_missing_link_to_the_other_check():
    checks.test_link_counts_no_errors(expected("eth9"), counted(counters(1), counters(2, errors=1)))


def test_link_counts_no_errors_is_unknown_without_counters():
    with pytest.raises(NotSeen):
        checks.test_link_counts_no_errors(expected(), by("link_counters", node1=UNSEEN))


MODES = "@eth0/\nspeed:{speed}\nduplex:{duplex}\ncarrier_changes:2\n"


def test_link_speed_and_duplex_compares_with_what_is_declared():
    check, one = checks.test_link_speed_and_duplex, expected(links=(link("eth0", speed=10000),))
    for speed in ("10000", "25000", "-1"):  # as declared; faster; a driver that does not know
        check(one, by("link_modes", node1=MODES.format(speed=speed, duplex="full")))
    with wrong("link.slow", "eth0 runs at 1000 Mb/s, expected 10000"):
        check(one, by("link_modes", node1=MODES.format(speed="1000", duplex="full")))
    with wrong("link.half_duplex", "eth0"):
        check(one, by("link_modes", node1=MODES.format(speed="10000", duplex="half")))


def test_link_speed_and_duplex_says_nothing_where_none_is_declared():
    checks.test_link_speed_and_duplex(expected(), by("link_modes", node1=UNSEEN))


def test_link_speed_and_duplex_is_unknown_without_modes():
    with pytest.raises(NotSeen):
        checks.test_link_speed_and_duplex(expected(links=(link("eth0", speed=100),)), by("link_modes", node1=UNSEEN))


SLAVE = """
Slave Interface: {name}
MII Status: {status}
Speed: 10000 Mbps
Duplex: full
Link Failure Count: 0
Permanent HW addr: 02:20:00:00:01:0{number}
Aggregator ID: {aggregator}
"""


def bond(*statuses, partner="00:25:90:00:00:01", aggregators=(1, 1)):
    head = f"""@bond0
Ethernet Channel Bonding Driver: v6.1.0
Bonding Mode: IEEE 802.3ad Dynamic link aggregation
MII Status: up
802.3ad info
Active Aggregator Info:
\tAggregator ID: 1
\tNumber of ports: 2
\tPartner Mac Address: {partner}
"""
    slaves = [SLAVE.format(name=f"eth{n}", number=n, status=status, aggregator=aggregators[n]) for n, status in enumerate(statuses)]
    return by("bonds", node1=head + "".join(slaves))


LINKS = f"5: bond0: {UP}{ETHER}\n    bond mode 802.3ad miimon 100\n6: bond0.7@bond0: {UP}{ETHER}\n    vlan protocol 802.1Q id 7"


@pytest.mark.parametrize("device", ["bond0", "bond0.7"])
def test_bond_has_active_slaves_looks_below_the_expected_link(device):
    check, one, links = checks.test_bond_has_active_slaves, expected(device), by("links", node1=LINKS)
    check(one, links, bond("up", "up"))
    with wrong("bond.slave_down", "bond0", "['eth1'] not up"):
        check(one, links, bond("up", "down"))
    with wrong("bond.no_active_slave", "no member is up") as caught:
        check(one, links, bond("down", "down"))
    assert (caught.value.hop, caught.value.layer) == ("uplink", "member")
    with wrong("bond.no_partner", "LACP"):
        check(one, links, bond("up", "up", partner="00:00:00:00:00:00"))
    with wrong("bond.slave_not_aggregated", "eth1"):
        check(one, links, bond("up", "up", aggregators=(1, 2)))


def test_bond_has_active_slaves_lets_bonds_of_nobody_be():
    """The module makes a bond0 by itself when it is loaded."""
    check, links = checks.test_bond_has_active_slaves, by("links", node1=LINKS)
    check(expected("eth5"), links, bond("down", "down"))
    check(expected("bond0"), links, bond())
    check(expected("bond0"), links, by("bonds", node1=""))


def test_bond_has_active_slaves_is_unknown_without_bonds():
    with pytest.raises(NotSeen):
        checks.test_bond_has_active_slaves(expected("bond0"), by("links", node1=LINKS), by("bonds", node1=UNSEEN))
