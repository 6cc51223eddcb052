"""OpenStack Neutron with Open vSwitch: the flows that a network implies, and the way each takes through the bridges of its nodes.

Of provider networks (VLAN, flat): NIC, provider bridge, patch ports, integration bridge, tap; of tenant networks the tunnel bridge in
place of the first two. A compute node has no address of its own there: who asks is the DHCP agent's namespace, which has one, a
controller by the gateway, and each node out of its NIC with the network's tag (ARP alone).
Source: "openstack虚拟机网络不通场景和排查思路" (Neutron and Open vSwitch); Neutron administration guide, Open vSwitch: provider networks.
"""

from netchecks.platform import Platform, register
from netchecks.platforms.neutron import points
from netchecks.platforms.neutron.flows import flows
from netchecks.platforms.neutron.hops import hops
from netchecks.platforms.neutron.sides import macs_of, seen_side, seen_tables

__all__ = ["PLATFORM", "macs_of", "points", "seen_side", "seen_tables"]

PLATFORM = register(Platform("neutron", frozenset({"neutron"}), flows, hops))
