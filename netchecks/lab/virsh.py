"""What libvirt's test driver reads: a node and its domains, from the topology. The real ``virsh`` does the rest."""

from __future__ import annotations

from netchecks.lab import openvswitch
from netchecks.lab.topology import Place, Port, Topology

#: libvirt's test driver: the namespace of its own elements (runstate: 1 running, 3 paused, 5 shut off).
NAMESPACE = "http://libvirt.org/schemas/domain/test/1.0"


def node_xml(topology: Topology, node: str) -> str:
    """Give the XML of a node with all its domains running."""
    domains = "".join(domain_xml(name, place, topology) for name, place in topology.vms().items() if place.vm and place.vm.node == node)
    return (
        "<node>\n<cpu><mhz>2000</mhz><model>i686</model><active>1</active><nodes>1</nodes><sockets>1</sockets><cores>2</cores>"
        f"<threads>1</threads></cpu>\n<memory>4194304</memory>\n{domains}</node>\n"
    )


def _interface(mac: str | None, tap: Port, topology: Topology) -> str:
    """Give the XML of a NIC; a tap in no bridge is of the type ethernet (libvirt's formatdomain, generic connection)."""
    kind, source = ("bridge", f"<source bridge='{tap.bridge}'/>") if tap.bridge else ("ethernet", "")
    if openvswitch.is_port(topology, tap.place, tap.bridge):
        source += f"<virtualport type='openvswitch'><parameters interfaceid='{tap.id}'/></virtualport>"
    return f"<interface type='{kind}'><mac address='{mac}'/>{source}<target dev='{tap.name}'/><model type='virtio'/></interface>"


def domain_xml(name: str, place: Place, topology: Topology) -> str:
    """Give the XML of one domain, on one line, so that a fault can change it with sed."""
    domain = place.vm.domain if place.vm and place.vm.domain else name
    interfaces = "".join(_interface(interface.mac, interface.to, topology) for interface in place.interfaces.values() if interface.to)
    return (
        f"<domain type='test' xmlns:test='{NAMESPACE}'><name>{domain}</name><memory>65536</memory><vcpu>1</vcpu>"
        f"<os><type>hvm</type></os><test:runstate>1</test:runstate><devices>{interfaces}</devices></domain>\n"
    )
