"""Open vSwitch as its database tells it: bridges, their ports, the interfaces of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from netchecks.models.table import Table

#: The VLAN that Neutron's agent gives to ports it knows nothing of (neutron, agent/common/ovs_lib.py, DEAD_VLAN_TAG).
DEAD_VLAN = 4095


@dataclass(frozen=True, slots=True)
class OvsInterface:
    """One interface of a port. ``kind``: empty for a device of the node, ``internal``, ``patch``, ``vxlan``, ``gre`` ...

    ``number``: its OpenFlow port, None: not yet given, -1: it could not be added; then ``error`` says why.
    """

    name: str
    kind: str = ""
    number: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    external_ids: Mapping[str, str] = field(default_factory=dict)
    admin_state: str = ""
    link_state: str = ""
    error: str = ""
    mtu: int | None = None
    mac: str | None = None

    @property
    def attached_mac(self) -> str:
        """The MAC of the guest behind it, as who plugged it says."""
        return self.external_ids.get("attached-mac", "").lower()


@dataclass(frozen=True, slots=True)
class OvsPort:
    """A port of a bridge; a bond has several interfaces. ``tag``: its VLAN. ``trunks``: VLANs that may pass, empty: all.

    ``mode``: ``access``, ``trunk``, ``native-tagged``, ``native-untagged`` ..., empty: by tag. ``active_mac``: of a bond, the MAC of
    the member in use; empty where that is not told.
    """

    name: str
    tag: int | None = None
    trunks: tuple[int, ...] = ()
    mode: str = ""
    other_config: Mapping[str, str] = field(default_factory=dict)
    interfaces: tuple[OvsInterface, ...] = ()
    active_mac: str = ""

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices by which its packets go: of a bond its members, first the one in use."""
        return tuple(one.name for one in sorted(self.interfaces, key=lambda one: not one.mac or one.mac != self.active_mac))

    @property
    def first(self) -> OvsInterface | None:
        """Its interface, of a bond the first."""
        return next(iter(self.interfaces), None)

    @property
    def number(self) -> int | None:
        """Its OpenFlow port; None where it has none."""
        known = self.first.number if self.first else None
        return known if known is not None and known >= 0 else None

    @property
    def kind(self) -> str:
        """That of its interface."""
        return self.first.kind if self.first else ""

    def is_of(self, mac: str) -> bool:
        """Tell whether a guest with that MAC was plugged in here.

        Patch ports of a trunk name the MAC too, at both ends, and those of a subport may name the parent's: no guest is at one.
        Source: Neutron, services/trunk/drivers/openvswitch/agent/trunk_manager.py (get_patch_peer_attrs).
        """
        return self.kind != "patch" and any(one.attached_mac == mac for one in self.interfaces)


@dataclass(frozen=True, slots=True)
class OvsBridge:
    """A bridge. ``fail_mode``: ``secure`` (without flows nothing passes), ``standalone`` or empty. ``datapath``: ``system``, ``netdev``."""

    name: str
    ports: Table[OvsPort]
    fail_mode: str = ""
    datapath: str = ""
    protocols: tuple[str, ...] = ()

    def port_of(self, device: str) -> OvsPort | None:
        """Give the port that a device is, or is a member of."""
        for port in self.ports.values():
            if port.name == device or any(one.name == device for one in port.interfaces):
                return port
        return None

    def port_for(self, mac: str) -> OvsPort | None:
        """Give the port behind which a guest with that MAC was plugged in."""
        return next((port for port in self.ports.values() if port.is_of(mac)), None)


@dataclass(frozen=True, slots=True)
class OvsDaemon:
    """Whether ovs-vswitchd answers, and what it, or its absence, says."""

    answers: bool
    said: str = ""


@dataclass(frozen=True, slots=True)
class OpenFlowPort:
    """A port as ``ovs-ofctl show`` has it. ``config``: what was set (``PORT_DOWN``, ``NO_FLOOD`` ...), ``state``: what is."""

    name: str
    number: int | None
    mac: str | None = None
    config: frozenset[str] = frozenset()
    state: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PortCounts:
    """What a port has counted, in packets: received from the other end, and sent to it. None: ovs-vswitchd does not know.

    Drops and errors are not among them: measured with Open vSwitch 3.1, what a queue or a smaller MTU drops is counted nowhere, and what
    goes to a device that is down on purpose, as br-int itself, is.
    """

    received: int | None
    sent: int | None


@dataclass(frozen=True, slots=True)
class OvsFdbEntry:
    """A MAC that a bridge learned. ``age`` in seconds, None: it is static. ``port``: the number, or ``LOCAL``."""

    port: str
    vlan: int
    mac: str
    age: int | None = None


def bridge_of(device: str, bridges: Table[OvsBridge]) -> OvsBridge | None:
    """Give the bridge that a device is a port of."""
    return next((bridge for bridge in bridges.values() if bridge.port_of(device)), None)


def wires(device: str, bridges: Table[OvsBridge]) -> tuple[str, ...]:
    """Give the devices by which packets of an uplink go: itself; of a member of a bond, or of the bond, every member."""
    bridge = bridge_of(device, bridges)
    port = bridge.port_of(device) if bridge else None
    return port.devices if port and len(port.interfaces) > 1 else (device,)


def plugged(mac: str, tap: str, bridges: Table[OvsBridge]) -> tuple[OvsBridge, OvsPort] | None:
    """Give a guest's port and its bridge: by MAC, as a hybrid plug has another device there than the tap; else by the tap's name.

    Of several with the MAC it is the tap.
    """
    own = [(bridge, port) for bridge in bridges.values() for port in bridge.ports.values() if port.is_of(mac)]
    if own:
        return next((one for one in own if one[1].name == tap), own[0])
    found = bridge_of(tap, bridges) if tap else None
    port = found.port_of(tap) if found else None
    return (found, port) if found and port else None
