"""What a tunnel bridge of Neutron does with what leaves: floods, known MACs, answers to ARP.

With l2population the server tells each agent where ports are, and the agent writes that as flows: whom to flood to (table 22), which
tunnel leads to a MAC (table 20), and, with arp_responder, answers to ARP requests (table 21). Without, and beside it, table 20 is learned.
Source: neutron/plugins/ml2/drivers/openvswitch/agent/openflow/native/br_tun.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from netchecks.models.neutron import NeutronNetwork
from netchecks.models.openflow import Flows, OpenFlow
from netchecks.models.openvswitch import OvsBridge, OvsPort
from netchecks.models.subjects import Address
from netchecks.models.table import Table

_NOTHING = OvsBridge("", Table("port", {}))
#: What an answer is sent from: by OpenFlow 1.0, and by later versions.
_OWN_MAC = re.compile(r"mod_dl_src:([0-9a-fA-F:]{17})|set_field:([0-9a-fA-F:]{17})->eth_src")
E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Sender:
    """What a node's tunnel bridge does with a network's packets, by its flows and ports."""

    known: NeutronNetwork
    flows: Flows
    bridge: OvsBridge = _NOTHING
    node: str = ""

    @property
    def vlans(self) -> frozenset[int]:
        """The local VLAN of the network, as each flow that has its key says it."""
        return self.flows.vlans_by_key.get(self.known.segment, frozenset())

    @property
    def floods(self) -> tuple[OpenFlow, ...]:
        """The flows for what is for all, and for MACs that are not known."""
        return tuple(flow for vlan in sorted(self.vlans) for flow in self.flows.floods.get(vlan, ()))

    def entry(self, mac: str) -> OpenFlow | None:
        """Give the flow that wins for a MAC that it is known where to send; None for others."""
        return self._first(self.flows.into_tunnels, mac)

    def answers(self, target: Address) -> OpenFlow | None:
        """Give the flow by which the bridge itself answers ARP requests for an address; None where it does not.

        Without a flow of the network's key nothing is known to be answered for it: another tenant may have the same address.
        """
        return self._first(self.flows.arp_answers, str(target))

    def _first(self, known: Mapping[tuple[int | None, str], OpenFlow], asked: str) -> OpenFlow | None:
        """Give the flow for what is asked: of several VLANs, as after an agent's restart, the one that is asked first."""
        found = [known[vlan, asked] for vlan in sorted(self.vlans) if (vlan, asked) in known]
        return min(found, key=lambda flow: (flow.table, -flow.priority), default=None)

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
