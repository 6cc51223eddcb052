"""What a node knows of its own changes, told as a person tells it."""

import pytest

from netchecks.models.changes import NodeChanges, PackageChange, ago

DAY = 86400.0


def told(**changes):
    return list(NodeChanges(**{"up": 30 * DAY, **changes}).lately(3 * DAY))


def package(name, since, what="upgraded", before="1.0", version="1.1"):
    return PackageChange(name, what, version, since, before)


def test_the_latest_is_first_and_what_packets_do_not_need_is_not_told():
    packages = (package("openvswitch-switch", 7300.0), package("vim", 60.0), package("frr", 9 * DAY))
    assert told(packages=packages, units=(("neutron-openvswitch-agent", 1300.0), ("cron", 5.0))) == [
        "neutron-openvswitch-agent started 22 min ago", "openvswitch-switch 1.0 -> 1.1 upgraded 2 h ago",
    ]


def test_one_run_of_a_package_manager_is_told_together():
    packages = tuple(package(f"libvirt-{number}", 7200.0 + 60 * number) for number in range(9))
    other = package("libvirt-old", 7260.0, "removed", "")
    assert told(packages=(*packages, other)) == [
        "libvirt-0 1.0 -> 1.1, libvirt-1 1.0 -> 1.1, libvirt-2 1.0 -> 1.1 and 6 more upgraded 2 h ago", "libvirt-old 1.1 removed 2 h ago",
    ]


def test_what_started_with_the_node_is_not_told_beside_it():
    units = (("libvirtd", 7190.0), ("frr", 600.0))
    assert told(up=7200.0, units=units) == ["frr started 10 min ago", "the node started 2 h ago"]


def test_a_carrier_that_comes_and_goes_is_told():
    carriers = (("eth0", 2), ("eth1", 9))
    assert told(up=DAY, carriers=carriers) == ["the node started 24 h ago", "the carrier of eth1 changed 9 times since the start"]
    assert told(up=900 * DAY, carriers=carriers) == [], "nobody knows when"
    assert told() == []


@pytest.mark.parametrize("name", ["thunderbird", "python3-mysqldb", "fonts-nova", "libnss-resolved", "dbus", "auditd", "systemd-timesyncd"])
def test_what_only_sounds_like_it_is_not_told(name):
    assert told(packages=(package(name, 60.0),)) == []


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s ago"), (119, "119 s ago"), (120, "2 min ago"), (7200, "2 h ago"), (2 * DAY, "2 days ago")])
def test_a_time_is_told_in_its_unit(seconds, text):
    assert ago(seconds) == text
