"""suites/node/test_changes.py on changes of packages and starts of services."""

import pytest

from netchecks.errors import NotSeen
from netchecks.models.changes import NodeChanges, PackageChange
from suites.node import test_changes as checks
from tests.suites.node.given import UNSEEN, by, node, notes_of


def runs(package, unit, since, what="upgraded", ago=1800.0):
    changes = NodeChanges(9e6, ((unit, since),), (PackageChange(package, what, "3.1.0-2", ago, "3.1.0-1"),))
    return notes_of(checks.test_services_run_what_is_installed, node(), by("recent_changes", node1=changes))


@pytest.mark.parametrize(("package", "unit"), [("frr", "frr"), ("openvswitch-switch", "ovs-vswitchd"), ("neutron-common", "neutron-dhcp-agent")])
def test_a_service_that_is_older_than_its_package_is_noted(package, unit):
    assert runs(package, unit, 7200.0) == ["service.old_release"]
    assert runs(package, unit, 1790.0) == [], "the package started it anew"
    assert runs(package, unit, 1830.0) == [], "while it was unpacked"


def test_what_is_gone_or_does_not_run_or_carries_no_packets_is_not():
    assert runs("frr", "frr", 7200.0, what="removed") == runs("frr", "cron", 7200.0) == runs("auditd", "auditd", 7200.0) == []
    assert runs("openvswitch", "ovs-vswitchd", 7200.0, what="installed") == ["service.old_release"], "rpm tells no upgrade from the first time"
    assert runs("frr", "frr", 9000.0, ago=7200.0) == [], "the hour of summer time"


def test_changes_that_were_not_seen_are_unknown():
    with pytest.raises(NotSeen):
        checks.test_services_run_what_is_installed(node(), by("recent_changes", node1=UNSEEN))
