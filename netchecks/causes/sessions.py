"""Why the routing daemons of a node do not hear their neighbours: its own rules keep them from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

from netchecks.cause import cause
from netchecks.errors import Wrong
from netchecks.models.frr import BgpNeighbour, FrrDaemons, Ospf
from netchecks.models.links import Link
from netchecks.models.netfilter.path import Firewall, Verdict, flow_verdict, local_verdict
from netchecks.models.netfilter.rules import Ruleset
from netchecks.models.packets import Packet, tcp_syn
from netchecks.models.subjects import Network, Node
from netchecks.models.table import Table
from netchecks.seen import By

#: RFC 4271 section 8.2.1: either side may open the connection, and one is enough.
BGP_PORT = 179
#: RFC 2328 appendix A.1, RFC 5340 appendix A.1: all OSPF routers.
_ALL_OSPF_ROUTERS = {4: ip_address("224.0.0.5"), 6: ip_address("ff02::5")}
_NAMES = {4: "OSPF", 6: "OSPFv3"}
#: What no flow needs: a failure that breaks it is a finding, never a cause.
NOTHING = frozenset({"another way"})


@cause("vmhost.frr_has_neighbours")
def firewall_drops_sessions(  # noqa: PLR0913, PLR0917 - one fact of each tool
    network: Network, node: Node, frr_daemons: By[Node, FrrDaemons], bgp_neighbours: By[Node, Table[BgpNeighbour]], ospf: By[Node, Ospf],
    iptables: By[Node, Ruleset], ip6tables: By[Node, Ruleset], nftables: By[Node, Ruleset], links: By[Node, Table[Link]],
) -> None:
    """A rule of the node drops BGP to and from a neighbour that is down, or OSPF's hellos."""
    firewall = Firewall(iptables[node], ip6tables[node], nftables[node])
    uplink = network.at(node).uplink
    speaks = frr_daemons[node].speaks
    if "bgpd" in speaks:
        known = list(bgp_neighbours[node].values())
        for one in sorted(known, key=lambda one: _replaced(one, known)):
            if not one.established and not one.shut_down:
                _judge_bgp(node, one, _connections(one.name, uplink, links[node]), firewall, needed=not _replaced(one, known))
    if speaks & {"ospfd", "ospf6d"}:
        _judge_ospf(node, ospf[node], uplink, firewall)


def _replaced(one: BgpNeighbour, known: list[BgpNeighbour]) -> bool:
    """Tell whether another neighbour hears what this one should."""
    return any(other.established and other.families & one.families for other in known)


def _judge_bgp(node: Node, neighbour: BgpNeighbour, connections: Iterator[Packet], firewall: Firewall, *, needed: bool) -> None:
    verdicts = [flow_verdict(packet, firewall) for packet in connections]
    if verdicts and all(verdict.outcome == "dropped" for verdict in verdicts):
        what = f"BGP (TCP port {BGP_PORT}) with {neighbour.name} (AS {neighbour.remote_as}), which is {neighbour.state}"
        raise _filtered(node, what, verdicts[-1], neighbour.families if needed else None)


def _connections(name: str, uplink: str, links: Table[Link]) -> Iterator[Packet]:
    """Give the two connections that may make the session: ours to the neighbour, the neighbour's to us. Unnumbered: by its device."""
    try:
        far = ip_address(name)
    except ValueError:
        if name not in links:
            return
        far, uplink = ip_address("fe80::"), name  # RFC 5549, unnumbered: from one link-local address to another
    yield replace(tcp_syn(None, far, BGP_PORT), out_device=uplink)
    yield replace(tcp_syn(far, far, BGP_PORT), destination=None, in_device=uplink)


def _judge_ospf(node: Node, ospf: Ospf, uplink: str, firewall: Firewall) -> None:
    """Hellos have to go out and to come in, whoever answers them."""
    for family in sorted(ospf.families):
        if any(one.family == family and one.state == "Full" for one in ospf.neighbours):
            continue
        hello = Packet("ipv4" if family == 4 else "ipv6", "ospf", destination=_ALL_OSPF_ROUTERS[family])  # noqa: PLR2004 - IPv4
        for packet in (replace(hello, out_device=uplink), replace(hello, in_device=uplink)):
            verdict = local_verdict(packet, firewall)
            if verdict.outcome == "dropped":
                raise _filtered(node, f"the hellos of {_NAMES[family]} (IP protocol 89)", verdict, frozenset({family}))


def _filtered(node: Node, what: str, verdict: Verdict, families: frozenset[int] | None) -> Wrong:
    """Say what is dropped. ``families``: what no other neighbour is told; None: others are told all of it, and no flow breaks."""
    breaks = NOTHING if families is None else frozenset({"routed"} | ({f"ipv{one}" for one in families} if len(families) == 1 else set()))
    return Wrong(
        "frr.session_filtered", f"{node}: its own rules drop {what}: {verdict}", place=node.name, breaks=breaks, owner="node administrator",
        remedy=f"remove or narrow the rule ({verdict.chain}: {verdict.rule}) on {node}",
    )
