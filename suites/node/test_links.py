"""The wires of a node: each interface that the inventory expects."""

from __future__ import annotations

from netchecks.errors import Wrong
from netchecks.models.counters import LinkCounters
from netchecks.models.links import Bond, LinkMode
from netchecks.models.links import Link as Device
from netchecks.models.subjects import DeclaredLink, Link, Node
from netchecks.models.table import Table
from netchecks.seen import By, Pair, note

#: One bad frame of so many is a fault of cable, optics or driver; a link within IEEE 802.3's bit error rate has none here.
SHARE_OF_ERRORS = 1e-5
#: Counters of frames that came damaged or could not be sent. Not rx_dropped: it counts what nobody wanted (TRAPS).
ERRORS = (
    "rx_errors", "tx_errors", "rx_over_errors", "rx_missed_errors", "rx_crc_errors", "rx_frame_errors", "rx_fifo_errors",
    "rx_length_errors", "tx_carrier_errors", "tx_aborted_errors", "tx_fifo_errors",
)


def _code(link: Link) -> str:
    """Say what a link is in a code: ``uplink``, ``bridge``, and ``link`` for one that is only declared."""
    return link.role if link.role in {"uplink", "bridge"} else "link"


def _hop(link: Link) -> str:
    """Only an uplink and a bridge stand on the way of a flow."""
    return link.role if link.role in {"uplink", "bridge"} else ""


def test_link_is_up(link: Link, links: By[Node, Table[Device]]) -> None:
    """Each expected interface exists, is switched on and has carrier.

    Why: nothing passes a device that is not there, is down, or has no cable.
    Remedy: node administrator: ip link set dev {link.device} up; without carrier look at the cable and the switch port
    Source: OpenStack operations guide, chapter 13, checking that interfaces are up; RFC 2863, ifOperStatus
    """
    node, name = link.node, link.device
    if name not in links[node]:
        raise Wrong(
            f"{_code(link)}.missing", f"{node}: there is no interface {name}; there are {sorted(links[node])}",
            place=node.name, hop=_hop(link), layer="exists",
            remedy=f"ip link add name {name} type bridge && ip link set dev {name} up, then put back its ports" if link.role == "bridge"
            else f"ip link show on {node}: was {name} renamed, or its driver not loaded? then restart networking",
        )
    device = links[node][name]
    if not device.up:
        raise Wrong(
            f"{_code(link)}.down", f"{node}: {name} is switched off (not UP)", place=node.name, hop=_hop(link), layer="up",
            remedy=f"ip link set dev {name} up",
        )
    if not device.carrier and device.kind != "bridge":  # a bridge without an active port has none (virbr0)
        raise Wrong(
            f"{_code(link)}.no_carrier", f"{node}: {name} is switched on but has no carrier (operstate {device.operstate})",
            place=node.name, hop=_hop(link), layer="up", owner="network engineer",
            remedy=f"look at the cable, the optics and the switch port of {node}'s {name}; ethtool {name}",
        )


def test_link_counts_no_errors(link: Link, link_counters: By[Node, Pair[Table[LinkCounters]]]) -> None:
    """Damaged, overrun and unsendable frames of each expected interface do not grow between two looks.

    Why: a bad cable or a full ring loses packets now and then, which no single ping shows.
    Remedy: network engineer: ethtool -S {link.device}; change cable and optics; if frames are missed, ethtool -G {link.device} rx
    Source: Linux Documentation/networking/statistics.rst; Kubernetes troubleshooting, node network
    """
    pair = link_counters[link.node]
    if link.device not in pair.before or link.device not in pair.after:
        return  # another check says that it is missing
    before, after = pair.before[link.device], pair.after[link.device]
    grown = {name: growth for name in ERRORS if (growth := _growth(before, after, name)) > 0}
    if not grown:
        return
    frames = _growth(before, after, "rx_packets") + _growth(before, after, "tx_packets")
    shown = ", ".join(f"{name} by {growth}" for name, growth in grown.items())
    message = f"{link.node}: {link.device} counted {shown} in {pair.seconds:.1f} s, of {frames} good frames"
    if max(grown.values()) < SHARE_OF_ERRORS * frames:
        note("link.few_errors", message)
        return
    raise Wrong("link.errors", message, place=link.node.name)


def _growth(before: LinkCounters, after: LinkCounters, name: str) -> int:
    """Give how much a counter grew; 0 where it is not told or began anew."""
    first, second = getattr(before, name), getattr(after, name)
    return 0 if first is None or second is None else max(0, second - first)


def _declared(link: Link) -> DeclaredLink | None:
    return next((declared for declared in link.node.links if declared.name == link.device), None)


def test_link_speed_and_duplex(link: Link, link_modes: By[Node, Table[LinkMode]]) -> None:
    """An interface whose speed is declared runs at least at that speed, full duplex.

    Why: a negotiation that went wrong leaves a tenth of the speed, or collisions.
    Remedy: network engineer: ethtool {link.device}; set negotiation the same at both ends, look at the cable
    Source: ethtool(8); IEEE 802.3 clause 28
    """
    declared = _declared(link)
    if declared is None or declared.speed is None or link.device not in link_modes[link.node]:
        return
    mode = link_modes[link.node][link.device]
    if mode.duplex == "half":
        raise Wrong("link.half_duplex", f"{link.node}: {link.device} runs half duplex, expected full", place=link.node.name)
    if mode.speed is not None and mode.speed < declared.speed:  # virtio and a link without carrier do not know theirs
        raise Wrong(
            "link.slow", f"{link.node}: {link.device} runs at {mode.speed} Mb/s, expected {declared.speed}", place=link.node.name,
        )


def test_bond_has_active_slaves(link: Link, links: By[Node, Table[Device]], bonds: By[Node, Table[Bond]]) -> None:
    """A bond below an expected interface has every member working, and with LACP a partner.

    Why: with one member gone there is no spare; without a partner the switch sends nothing, or to the wrong member.
    Remedy: network engineer: cat /proc/net/bonding/ and the bond's name; look at the member's cable and at the switch's LACP state
    Source: Linux Documentation/networking/bonding.rst; IEEE 802.1AX
    """
    bond = _bond_below(link, links[link.node], bonds[link.node])
    if bond is None or not bond.slaves:
        return
    dead = sorted(name for name, slave in bond.slaves.items() if slave.mii_status != "up")
    where = f"{link.node}: bond {bond.name}"
    if len(dead) == len(bond.slaves):
        raise Wrong(
            "bond.no_active_slave", f"{where}: no member is up: {dead}", place=link.node.name, hop=_hop(link), layer="member",
        )
    if dead:
        raise Wrong("bond.slave_down", f"{where}: {dead} not up; up are {sorted(set(bond.slaves) - set(dead))}", place=link.node.name)
    if bond.partner_mac is not None and not bond.has_partner:
        raise Wrong("bond.no_partner", f"{where}: no LACP partner answers", place=link.node.name)
    strayed = [
        name for name, slave in bond.slaves.items()
        if None not in (slave.aggregator, bond.aggregator) and slave.aggregator != bond.aggregator
    ]
    if strayed:
        raise Wrong("bond.slave_not_aggregated", f"{where}: {sorted(strayed)} outside the active aggregator", place=link.node.name)


def _bond_below(link: Link, devices: Table[Device], bonds: Table[Bond]) -> Bond | None:
    """Find the bond that an interface is, or is a VLAN of."""
    name = link.device
    for _ in range(4):  # a VLAN in a VLAN on a bond; a loop of parents cannot be, but data can
        if name in bonds:
            return bonds[name]
        if name not in devices or not devices[name].parent:
            return None
        name = devices[name].parent
    return None
