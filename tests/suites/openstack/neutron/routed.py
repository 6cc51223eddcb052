"""What checks of routers are called with: the inventory of the lab neutron-router, and what its router's namespace said, then changed."""

from __future__ import annotations

from netchecks.models.neutron import Namespace, RouterState
from netchecks.models.subjects import Flow
from tests.suites.openstack.neutron.given import of, recorded
from tests.suites.vmhost.given import world_of

ROUTER, LEG, OUTER = "3c9e1f7a-5b60-4d2e-8a17-0f4c2d9b6e31", "qr-5e1c5d0a-2c", "qg-9b2f6c10-4d"
INVENTORY = f"""
version: 1
nodes: {{controller: {{connection: local, roles: [controller]}}, net1: {{roles: [network]}}, net2: {{roles: [network]}}, node1: {{}}}}
networks:
  tenant:
    kind: neutron
    uplink: eth1
    nodes: [net1, net2, node1]
    neutron: {{id: 7d3c1a52-11aa-4c5e-9c41-6d2f0a9be111, type: vxlan, segmentation_id: 70001, router: {{id: {ROUTER}, nodes: [net1, net2]}}}}
    subnets: [{{cidr: 10.20.0.0/24, gateway: 10.20.0.1}}]
    dhcp: {{servers: [{{node: net1, addresses: [10.20.0.2]}}]}}
  public:
    kind: neutron
    uplink: eth2
    nodes: [net1, net2]
    neutron: {{id: e4b0a7d6-3f58-4f0b-8d1e-5c2a9b6f7013, type: flat, physical_network: physnet1}}
    subnets: [{{cidr: 203.0.113.0/24, gateway: 203.0.113.1}}]
vms:
  vm52: {{node: node1, tcp: [22], interfaces: [{{network: tenant, mac: "fa:16:3e:00:00:52", addresses: [10.20.0.152], floating: [203.0.113.52]}}]}}
  vm53: {{node: node1, tcp: [22], interfaces: [{{network: tenant, mac: "fa:16:3e:00:00:53", addresses: [10.20.0.153]}}]}}
"""
WORLD = world_of(INVENTORY)
#: The same with the router on net1 alone.
ALONE = world_of(INVENTORY.replace(f"{ROUTER}, nodes: [net1, net2]", f"{ROUTER}, nodes: [net1]"))
SITE = WORLD.inventory
CONTROLLER, NET1, NET2, NODE1 = SITE.nodes
TENANT, PUBLIC = SITE.networks
VM52, VM53 = SITE.interfaces
ON_NET1, ON_NET2 = WORLD.virtual_routers
WORKS: RouterState = recorded("router_states", "neutron-router")
INSIDE: Namespace = recorded("router_namespaces", "neutron-router")
RULES = recorded("router_iptables", "neutron-router")


def flow_of(name: str) -> Flow:
    return next(flow for flow in WORLD.flows if flow.name == name)


def by_router(fact, value):
    """Give a fact of the router on net1, the one that works."""
    return of(fact, ON_NET1, value)
