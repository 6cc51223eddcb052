"""What a tunnel bridge of Neutron does with what leaves: floods, known MACs, answers to ARP.

With l2population the server tells each agent where ports are, and the agent writes that as flows: whom to flood to (table 22), which
tunnel leads to a MAC (table 20), and, with arp_responder, answers to ARP requests (table 21). Without, and beside it, table 20 is learned.
Source: neutron/plugins/ml2/drivers/openvswitch/agent/openflow/native/br_tun.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from netchecks.models.neutron import NeutronNetwork
from netchecks.models.openflow import VID, OpenFlow
from netchecks.models.openvswitch import OvsBridge, OvsPort
from netchecks.models.subjects import Address
from netchecks.models.table import Table

_NOTHING = OvsBridge("", Table("port", {}))
#: What an answer is sent from: by OpenFlow 1.0, and by later versions.
_OWN_MAC = re.compile(r"mod_dl_src:([0-9a-fA-F:]{17})|set_field:([0-9a-fA-F:]{17})->eth_src")
E = TypeVar("E")


@dataclass(frozen=True)
class Sender:
    """What a node's tunnel bridge does with a network's packets, by its flows and ports."""

    known: NeutronNetwork
    flows: tuple[OpenFlow, ...]
    bridge: OvsBridge = _NOTHING
    node: str = ""

    @cached_property
    def vlans(self) -> frozenset[int]:
        """The local VLAN of the network, as each flow that has its key says it."""
        said = [flow.sets for flow in self.flows if flow.tunnel == self.known.segment]
        said += [_vlan(flow) for flow in self.flows if flow.sets_tunnel == self.known.segment]
        return frozenset(vlan for vlan in said if vlan)

    @cached_property
    def floods(self) -> tuple[OpenFlow, ...]:
        """The flows for what is for all, and for MACs that are not known."""
        sending = (flow for flow in self.flows if flow.sets_tunnel is not None and "dl_dst" not in flow.match)
        return tuple(flow for flow in sending if _vlan(flow) in self.vlans)

    @cached_property
    def entries(self) -> dict[str, OpenFlow]:
        """The flow that wins for each MAC that it is known where to send."""
        found: dict[str, OpenFlow] = {}
        for flow in self.flows:  # in a table those of high priority come first
            if flow.sets_tunnel is not None and "dl_dst" in flow.match and _vlan(flow) in self.vlans:
                found.setdefault(flow.match["dl_dst"].lower(), flow)
        return found

    def answers(self, target: Address) -> OpenFlow | None:
        """Give the flow by which the bridge itself answers ARP requests for an address; None where it does not.

        Without a flow of the network's key nothing is known to be answered for it: another tenant may have the same address.
        """
        for flow in self.flows:
            asks = "arp" in flow.match and flow.match.get("arp_tpa") == str(target)
            if asks and "IN_PORT" in flow.actions and _vlan(flow) in self.vlans:
                return flow
        return None

    def answers_with(self, target: Address) -> str:
        """Give the MAC that the bridge itself answers with for an address; empty where it does not answer, or that is not told."""
        flow = self.answers(target)
        found = (match for match in map(_OWN_MAC.fullmatch, flow.actions if flow else ()) if match)
        return next((match[1] or match[2] for match in found), "").lower()

    def tunnels(self) -> dict[str, OvsPort]:
        """Give the ports of tunnels of the network's type, by the other end."""
        ports = (port for port in self.bridge.ports.values() if port.kind == self.known.type and port.first)
        return {port.first.options.get("remote_ip", ""): port for port in ports if port.first}

    def leads_to(self, flow: OpenFlow) -> dict[str, OvsPort]:
        """Give the tunnels that a flow sends into, by the other end."""
        return {end: port for end, port in self.tunnels().items() if flow.outputs & {port.name, str(port.number)}}

    def left_out(self, ends: dict[str, E]) -> dict[str, E]:
        """Give those of other ends that nothing is flooded to although there is a tunnel, each with its node."""
        reached = {end for flow in self.floods for end in self.leads_to(flow)}
        return {end: node for end, node in ends.items() if self.floods and end in self.tunnels() and end not in reached}


def _vlan(flow: OpenFlow) -> int | None:
    """Give the VLAN that a flow is for; a learned one does not ask whether there is a tag: vlan_tci=0x0001/0x0fff."""
    tci, _, mask = flow.match.get("vlan_tci", "").partition("/")
    return int(tci, 16) & VID if mask == "0x0fff" else flow.vlan
