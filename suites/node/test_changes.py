"""What was changed on a node lately, and has not come into force. What a diagnosis tells of changes is read here too."""

from __future__ import annotations

from netchecks.models.changes import NodeChanges, ago, concerns_network
from netchecks.models.subjects import Node
from netchecks.seen import By, note

#: Packages whose programs run under other names; others as the package is called. A package starts its services anew within a minute.
_RUNS_AS = {
    "openvswitch-switch": ("ovs-vswitchd",), "openvswitch": ("ovs-vswitchd",), "libvirt-daemon": ("libvirtd", "virtqemud"),
    "neutron-common": ("neutron-openvswitch-agent", "neutron-dhcp-agent", "neutron-l3-agent"),
    "python3-neutron": ("neutron-openvswitch-agent", "neutron-dhcp-agent", "neutron-l3-agent"),
    "openstack-neutron": ("neutron-dhcp-agent", "neutron-l3-agent"), "openstack-neutron-openvswitch": ("neutron-openvswitch-agent",),
}
_MEANWHILE, _SUMMER_TIME = 60.0, 3600.0


def test_services_run_what_is_installed(node: Node, recent_changes: By[Node, NodeChanges]) -> None:
    """A service that was not started since its package was upgraded is noted.

    Why: it works until somebody restarts it, often for another reason; then the new release is what breaks.
    Remedy: node administrator: restart the service in a window of your choice, and see what changes
    Source: TRAPS, "Neutron": what was changed, rebooted, broken, upgraded lately?; needrestart(1)
    """
    changes = recent_changes[node]
    running = dict(changes.units)
    for package in changes.packages or ():
        for name in _RUNS_AS.get(package.name, (package.name,)):
            meanwhile = _MEANWHILE if package.ago < _SUMMER_TIME else _SUMMER_TIME + _MEANWHILE  # its time is local, without a zone
            if package.what != "removed" and concerns_network(package.name) and running.get(name, 0.0) > package.ago + meanwhile:
                note("service.old_release", f"{node}: {name} was started {ago(running[name])}, before {package}")
