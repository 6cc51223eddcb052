"""What a check is about: the things of the inventory, with every reference resolved.

A subject's ``str`` is its name and its pytest id; its ``repr`` too, so that no report shows more of it.
"""

from netchecks.models.subjects.flows import DeclaredThroughput, Flow, Protocol
from netchecks.models.subjects.inventory import Inventory, Waiver
from netchecks.models.subjects.naming import SSH_PORT, Address, AddressOnLink, Prefix
from netchecks.models.subjects.networks import AddressRange, Advertised, Attachment, DeclaredDhcpServer, Dhcp, Network, Subnet
from netchecks.models.subjects.nodes import Access, Connection, DeclaredLink, DeclaredPlatform, DeclaredRoute, Link, Node
from netchecks.models.subjects.served import Database, DhcpServer, VirtualRouter, at_part
from netchecks.models.subjects.vms import Guest, Interface, Place, Vm

__all__ = [
    "SSH_PORT",
    "Access",
    "Address",
    "AddressOnLink",
    "AddressRange",
    "Advertised",
    "Attachment",
    "Connection",
    "Database",
    "DeclaredDhcpServer",
    "DeclaredLink",
    "DeclaredPlatform",
    "DeclaredRoute",
    "DeclaredThroughput",
    "Dhcp",
    "DhcpServer",
    "Flow",
    "Guest",
    "Interface",
    "Inventory",
    "Link",
    "Network",
    "Node",
    "Place",
    "Prefix",
    "Protocol",
    "Subnet",
    "VirtualRouter",
    "Vm",
    "Waiver",
    "at_part",
]
