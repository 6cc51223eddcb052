"""What works most of the time: packets that are lost now and then, and ways of which one is bad."""

from __future__ import annotations

import pytest

from netchecks.errors import Wrong
from netchecks.models.answers import Row
from netchecks.models.bridges import Bridge
from netchecks.models.links import Link as Device
from netchecks.models.routes import InterfaceAddress
from netchecks.models.rows import dead_ports, is_limited, is_lossy, stretch
from netchecks.models.subjects import Flow, Network, Node
from netchecks.models.table import Table
from netchecks.seen import By, note

#: RFC 6335 section 6: no connection is made from these; a row without chosen ports counts from 1.
LAST_SYSTEM_PORT = 1023
#: Kinds of devices (rtnetlink) that stay: hardware has none.
_STAYS = frozenset({"", "bond", "team", "vlan"})


@pytest.mark.flow("icmp", "tcp", to="vm", full=False, sampled=True)
def test_packets_are_not_lost(flow: Flow, rows: By[Flow, Row]) -> None:
    """Of a row of small packets to the VM, no more are lost than by chance.

    Why: a fifth lost lets pings and logins through, and makes every transfer crawl.
    Remedy: network engineer: mtr along the way, and the error counters of every port on it
    Source: Kubernetes troubleshooting, packet loss per hop; RFC 2680
    """
    row = rows[flow]
    dead = dead_ports(row) if row.ports else ()
    if dead:
        place, where = stretch(flow, rows.seen())
        which = f" ({', '.join(map(str, sorted(dead)))})" if min(dead) > LAST_SYSTEM_PORT else ""  # else nobody chose the ports
        raise Wrong(
            "path.partial_by_port", f"{_asked(flow)}: of {len(row.by_port)} source ports, {len(dead)} never get through and the others "
            f"always do{which}: one of several ways is bad, {where}", place=place,
            certain=True, hop="fabric", layer="forwards",
            remedy="find the bad member of the bond, LAG or ECMP group there; take it out until it is repaired",
        )
    if not is_lossy(row):
        return
    if is_limited(flow, rows.seen()):
        note("guest.limits_rate", f"{_asked(flow)}: {row.lost} of {len(row.answered)} {flow.protocol.upper()} packets are not answered; "
             "a limit of the guest's firewall, as others pass")
        return
    place, where = stretch(flow, rows.seen())
    raise Wrong(
        "path.loss", f"{_asked(flow)}: {row.lost} of {len(row.answered)} {flow.protocol.upper()} packets are lost, {where}", place=place,
        certain=True, hop="fabric", layer="forwards",
    )


def _asked(flow: Flow) -> str:
    return f"{flow.source} to {flow.interface} ({flow.target})"


@pytest.mark.kind("switching")
def test_bridge_mac_is_its_uplinks(
    network: Network, node: Node, bridges: By[Node, Table[Bridge]], links: By[Node, Table[Device]],
    addresses: By[Node, Table[tuple[InterfaceAddress, ...]]],
) -> None:
    """A bridge that the node has an address on does not take its MAC from a port that comes and goes.

    Why: a bridge takes the lowest MAC of its ports; when a port of a VM has it, the node's own MAC changes as that comes and goes,
    and its neighbours, DHCP leases and IPv6 addresses are of the old one.
    Remedy: node administrator: ip link set dev the bridge address the MAC of its uplink, and put that into the boot configuration
    Source: Linux net/bridge/br_stp_if.c, br_stp_recalculate_bridge_id; TRAPS, "Bridge takes a port's lower MAC"
    """
    end = network.at(node)
    if end.bridge not in bridges[node] or end.uplink not in bridges[node][end.bridge].ports or end.uplink not in links[node]:
        return  # other checks say so
    own = [str(one.address) for one in addresses[node].get(end.bridge, ()) if not one.address.ip.is_link_local]
    mac, uplink = bridges[node][end.bridge].mac, links[node][end.uplink].mac
    givers = [name for name in bridges[node][end.bridge].ports if name in links[node] and links[node][name].mac == mac]
    passing = [name for name in givers if links[node][name].kind not in _STAYS]
    if own and mac != uplink and passing and len(passing) == len(givers):
        raise Wrong(
            "bridge.mac_of_a_port", f"{node}: {end.bridge} has the MAC {mac} of its port {passing[0]}, not {uplink} of its uplink "
            f"{end.uplink}: neighbours know {', '.join(own)} by a MAC that goes with that port", place=node.name,
            remedy=f"ip link set dev {end.bridge} address {uplink}",
        )
