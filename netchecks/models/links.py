"""What a node's network devices are: as the kernel tells it, nothing concluded."""

from __future__ import annotations

from dataclasses import dataclass

from netchecks.models.table import Table


@dataclass(frozen=True, slots=True)
class Link:
    """A network device. MTU in bytes; a text that is not told is empty, a number that is not told is None.

    ``kind``: rtnetlink's (``bridge``, ``veth``, ``tun``, ``vlan``, ``bond``, ``vxlan`` ...), empty for hardware.
    ``port_kind``: what it is a port of (``bridge``, ``bond``, ``openvswitch`` ...). ``parent``: the device below it.
    ``peer``: a veth's other end in this namespace; in another one it is device ``peer_index`` of ``peer_netns`` (a name
    or the kernel's number), as a macvlan's parent may be.
    ``operstate``: RFC 2863 state in capitals as iproute2 says it (``UP``, ``DOWN``, ``LOWERLAYERDOWN``, ``UNKNOWN`` ...).
    """

    name: str
    index: int
    mac: str | None = None
    mtu: int | None = None
    flags: frozenset[str] = frozenset()
    operstate: str = "UNKNOWN"
    kind: str = ""
    port_kind: str = ""
    master: str = ""
    parent: str = ""
    peer: str = ""
    peer_index: int | None = None
    peer_netns: str = ""
    vlan_id: int | None = None
    vlan_protocol: str = ""
    xdp: bool = False
    promiscuity: int | None = None
    alias: str = ""

    @property
    def up(self) -> bool:
        """Administratively up (IFF_UP)."""
        return "UP" in self.flags

    @property
    def carrier(self) -> bool:
        """The wire, or what stands for it, is there (IFF_LOWER_UP). A device that is not up never has it."""
        return "LOWER_UP" in self.flags


@dataclass(frozen=True, slots=True)
class LinkMode:
    """What the driver says of the wire. Speed in Mb/s; None or empty where it does not know (virtio, bond, down)."""

    name: str
    speed: int | None = None
    duplex: str = ""
    carrier_changes: int | None = None


@dataclass(frozen=True, slots=True)
class BondSlave:
    """A member of a bond. ``mii_status`` as the driver says it (``up``, ``down``, ``going back`` ...). Speed in Mb/s."""

    name: str
    mii_status: str
    speed: int | None = None
    duplex: str = ""
    failures: int | None = None
    mac: str | None = None
    aggregator: int | None = None
    partner_mac: str | None = None


@dataclass(frozen=True, slots=True)
class Bond:
    """A bond and its members. ``partner_mac`` is None unless 802.3ad told one; all zeros means no LACP partner."""

    name: str
    mode: str
    mii_status: str
    slaves: Table[BondSlave]
    active_slave: str = ""
    aggregator: int | None = None
    partner_mac: str | None = None

    @property
    def has_partner(self) -> bool:
        """Tell whether an LACP partner has answered (IEEE 802.1AX: a partner system of zeros is none)."""
        return self.partner_mac not in (None, "00:00:00:00:00:00")
