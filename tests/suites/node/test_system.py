"""suites/node/test_system.py, called with what real parsers read."""

from pathlib import Path

import pytest

from netchecks import record
from netchecks.errors import NotSeen
from netchecks.facts import make
from netchecks.models.system import Clock, Timed
from netchecks.observe import OBSERVATIONS
from netchecks.plan import Plan, job_for
from suites.node import test_system as checks
from tests.suites.node.given import UNSEEN, by, node, notes_of, wrong

RECORDED = Path(__file__).parents[2] / "observations"
TOOLS = "+ip\n+bridge\n-dig\n-tcpdump\n-nmap\n"


def recorded(fact, name):
    return by(fact, node1=(RECORDED / fact / f"{name}.out").read_text())


def test_node_has_tools_asks_for_the_declared_ones_only():
    checks.test_node_has_tools(node(tools=("ip", "bridge")), by("tools", node1=TOOLS), by("os_release", node1=UNSEEN))
    checks.test_node_has_tools(node(), by("tools", node1=UNSEEN), by("os_release", node1=UNSEEN))


@pytest.mark.parametrize(("system", "remedy"), [
    ("debian12", "apt-get install -y dnsutils tcpdump"), ("astra1.7", "apt-get install -y dnsutils tcpdump"),
    ("ubuntu2004", "apt-get install -y dnsutils tcpdump"), ("centos7", "yum install -y bind-utils tcpdump"),
    ("almalinux8", "dnf install -y bind-utils tcpdump"), ("opensuse-leap", "zypper install -y bind-utils tcpdump"),
    ("something-else", "install the packages of dig, tcpdump"),
])
def test_node_has_tools_gives_the_distributions_command(system, remedy):
    with wrong("node.tool_missing", "not installed: dig, tcpdump") as caught:
        checks.test_node_has_tools(node(tools=("ip", "dig", "tcpdump")), by("tools", node1=TOOLS), recorded("os_release", system))
    assert caught.value.remedy == remedy


def test_node_has_tools_names_a_package_once():
    with wrong("node.tool_missing") as caught:
        checks.test_node_has_tools(
            node(tools=("ip", "ss")), by("tools", node1="-ip\n-ss\n"), recorded("os_release", "almalinux8"),
        )
    assert caught.value.remedy == "dnf install -y iproute"


def test_node_has_tools_is_unknown_without_tools():
    with pytest.raises(NotSeen):
        checks.test_node_has_tools(node(tools=("ip",)), by("tools", node1=UNSEEN), recorded("os_release", "debian12"))


def clock(ahead, trip=0.2, resolution=1e-9):
    """Give a clock that is so far ahead, read somewhere within a trip of so many seconds."""
    return by("clock", node1=Clock(1000.0 + ahead, resolution).read_between(1000.0 - trip / 2, 1000.0 + trip / 2))


@pytest.mark.parametrize("found", [clock(0), clock(1.9), clock(-1.9), clock(5, trip=10), clock(-2.4, resolution=1.0)])
def test_node_clock_is_right_passes(found):
    checks.test_node_clock_is_right(node(), found)


@pytest.mark.parametrize(("found", "words"), [
    (clock(30), "29.9 s ahead of"), (clock(-30), "29.9 s behind"), (clock(3), "2.9 s ahead of"), (clock(-3600), "behind"),
])
def test_node_clock_is_right_names_the_difference(found, words):
    with wrong("clock.off", words):
        checks.test_node_clock_is_right(node(), found)


def test_the_trip_bounds_when_the_clock_was_read_also_in_a_replay(tmp_path):
    """The node had been up for 100 s at 5000 by the controller's clock, give or take half a second."""
    one, fact = node(), OBSERVATIONS["clock"]
    place = record.PlaceRecord("node1", booted=(4899.5, 4900.5))
    place.add([record.Entry(job_for(fact, one).key, "main", 0, (), 0, 102.0, 102.1, 5.0, b"5032.000000000\n", b"")])
    record.write_manifest(tmp_path, {}, "")
    record.write_place(tmp_path, place)
    facts = make(record.read(tmp_path), Plan({"clock": {"node1": one}}))
    found = facts.by("clock")[one]
    assert (found.earliest, found.latest) == (5001.5, 5002.6)
    assert found.ahead == pytest.approx((29.4, 30.5))


def test_node_clock_is_right_is_unknown_where_its_time_was_not_kept():
    assert isinstance(Clock(1.0, 1.0), Timed)
    for found in (by("clock", node1="1700000000.123456789\n"), by("clock", node1=UNSEEN)):
        with pytest.raises(NotSeen):
            checks.test_node_clock_is_right(node(), found)


def selinux(text, booted=1499000000):
    security = text if not isinstance(text, str) else by("security", node1=text)
    return notes_of(checks.test_selinux_is_known, node(), security, by("boot", node1=f"btime {booted}\n1000.0 1.0\n"))


def test_selinux_is_known_says_what_is_on():
    assert selinux("off\n") == []
    assert selinux(recorded("security", "el-permissive-no-log")) == ["node.selinux"]


def test_selinux_is_known_tells_what_was_forbidden_to_programs_of_the_network_since_boot():
    assert selinux(recorded("security", "el-enforcing")) == ["node.selinux", "node.access_denied"]
    assert selinux(recorded("security", "ubuntu-apparmor")) == ["node.access_denied"]
    assert selinux(recorded("security", "ubuntu-apparmor"), booted=1800000000) == []
    assert selinux('apparmor\n@log\napparmor="DENIED" operation="open" comm="cat"\n') == []
    assert selinux('apparmor\n@log\napparmor="DENIED" operation="open" comm="dnsmasq"\n') == ["node.access_denied"]


def test_selinux_is_known_is_unknown_where_it_is():
    with pytest.raises(NotSeen):
        selinux(by("security", node1=UNSEEN))
