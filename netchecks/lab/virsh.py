"""What libvirt's test driver reads: a node and its domains, from the topology. The real ``virsh`` does the rest."""

from __future__ import annotations

from netchecks.lab.topology import Place, Topology

#: libvirt's test driver: the namespace of its own elements (runstate: 1 running, 3 paused, 5 shut off).
NAMESPACE = "http://libvirt.org/schemas/domain/test/1.0"


def node_xml(topology: Topology, node: str) -> str:
    """Give the XML of a node with all its domains running."""
    domains = "".join(domain_xml(name, place) for name, place in topology.vms().items() if place.vm and place.vm.node == node)
    return (
        "<node>\n<cpu><mhz>2000</mhz><model>i686</model><active>1</active><nodes>1</nodes><sockets>1</sockets><cores>2</cores>"
        f"<threads>1</threads></cpu>\n<memory>4194304</memory>\n{domains}</node>\n"
    )


def domain_xml(name: str, place: Place) -> str:
    """Give the XML of one domain, on one line, so that a fault can change it with sed."""
    interfaces = "".join(
        f"<interface type='bridge'><mac address='{interface.mac}'/><source bridge='{interface.to.bridge}'/>"
        f"<target dev='{interface.to.name}'/><model type='virtio'/></interface>"
        for interface in place.interfaces.values() if interface.to
    )
    return (
        f"<domain type='test' xmlns:test='{NAMESPACE}'><name>{name}</name><memory>65536</memory><vcpu>1</vcpu>"
        f"<os><type>hvm</type></os><test:runstate>1</test:runstate><devices>{interfaces}</devices></domain>\n"
    )
