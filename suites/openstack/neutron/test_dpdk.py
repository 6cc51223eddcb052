"""Instances whose NIC is a socket of Open vSwitch with DPDK (vhost-user): no device of the node, so Open vSwitch is asked."""

from __future__ import annotations

import pytest

from netchecks.errors import NotSeen, Why, Wrong
from netchecks.models.domains import Domain
from netchecks.models.openvswitch import OvsBridge, OvsDaemon, plugged
from netchecks.models.subjects import Interface, Node
from netchecks.models.table import Table
from netchecks.seen import By
from netchecks.taps import is_vhost_user, tap_of


@pytest.mark.kind("neutron")
@pytest.mark.hop("tap", "up")
def test_vhost_user_port_is_connected(
    interface: Interface, domains: By[Node, Table[Domain]], ovs_bridges: By[Node, Table[OvsBridge]], ovs_daemons: By[Node, OvsDaemon],
) -> None:
    """By Open vSwitch's own word, the guest's driver is at the other end of its vhost-user port.

    Why: such a port is a socket, which ip shows nothing of; until QEMU and the guest's driver are connected to it nothing passes.
    Remedy: node administrator: compare options:vhost-server-path of the port with the socket of the domain; restart the domain
    Source: Open vSwitch, DPDK vHost User Ports; lib/netdev-dpdk.c, netdev_dpdk_vhost_get_carrier
    """
    node, tap = interface.node, tap_of(interface, domains)
    if not interface.vm.runs or not is_vhost_user(interface, domains) or not ovs_daemons[node].answers:
        return
    found = plugged(interface.mac, tap, ovs_bridges[node])
    own = found[1].first if found else None
    if own is None:
        return  # another check says that it is no port
    if not own.link_state and not own.error:
        raise NotSeen(Why.NOT_POSSIBLE, f"{node}: Open vSwitch does not tell whether {own.name} of {interface} is connected")
    if own.error or own.link_state != "up":
        what = f": {own.error}" if own.error else f", its link is {own.link_state}"
        raise Wrong(
            "tap.not_connected", f"{node}: {interface}'s port {own.name} ({own.kind or 'a device'}) is not connected{what}; expected up",
            place=node.name, breaks=frozenset({"switched"}),
        )
