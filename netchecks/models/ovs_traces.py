"""What ``ofproto/trace`` says: by which flows of which bridges a packet goes, and where it leaves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from netchecks.models.openflow import DROPPED_TRAFFIC

#: As the kernel's datapath writes it (tunnel(tun_id=0x...)), and the userspace one (vxlan(...,vni=0x...), gre(...,key=0x...)).
_KEY = re.compile(r"(?:tun_id|vni|key)=(0x[0-9a-f]{1,16}|[0-9]{1,20})")


@dataclass(frozen=True, slots=True)
class Step:
    """One look-up: the flow that was found. ``flow``: its match and priority, in OVS' words. ``actions``: as they were carried out."""

    bridge: str
    table: int
    flow: str
    actions: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Give it as a person names it."""
        return f"table {self.table} of {self.bridge or 'the bridge'} ({self.flow})" if self.flow else f"table {self.table} of {self.bridge}"


@dataclass(frozen=True, slots=True)
class Output:
    """Where a packet leaves: the device (empty: one that is not known), its VLAN there (0: no tag), and the tunnel that carries it.

    ``hashed``: by a member of a bond that its hash decides on, which is not told.
    """

    device: str
    vlan: int = 0
    tunnel: str = ""
    hashed: bool = False

    @property
    def key(self) -> int | None:
        """The tunnel's key: the VNI of VXLAN, the key of GRE; None where there is none."""
        match = _KEY.search(self.tunnel)
        return int(match[1], 0) if match else None


@dataclass(frozen=True, slots=True)
class OvsTrace:
    """One packet's way through the bridges of a node. ``raw``: OVS' own words."""

    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]
    raw: str = ""

    def leaves(self, *devices: str, vlan: int = 0) -> bool:
        """Tell whether it leaves by one of the devices in a VLAN; of several, which are a bond, also where a hash decides by which."""
        return any((one.device in devices or (one.hashed and len(devices) > 1)) and one.vlan == vlan for one in self.outputs)

    def tunnels(self) -> tuple[Output, ...]:
        """Give where it leaves in a tunnel."""
        return tuple(one for one in self.outputs if one.tunnel)

    @property
    def last(self) -> Step | None:
        """The last look-up."""
        return self.steps[-1] if self.steps else None

    @property
    def decided(self) -> Step | None:
        """The look-up that decided: the last one that is not of the table which only drops what others send there."""
        return next((step for step in reversed(self.steps) if step.table != DROPPED_TRAFFIC), None)

    @property
    def bridges(self) -> frozenset[str]:
        """The bridges that it came to."""
        return frozenset(step.bridge for step in self.steps)


@dataclass(frozen=True, slots=True)
class OvsWay:
    """What the node's bridges would do with what a guest sends, and with what comes for it. ``port``: the guest's, on ``bridge``.

    ``out``: an ARP request of the guest for its gateway. ``out6``: a neighbour advertisement of its IPv6 address, None where it has
    none; ``out`` is that too where it has no IPv4. ``back``: an ARP request for the guest that comes by the NIC, or a neighbour
    solicitation, None where there is no such NIC. ``asked``: each question that it shall answer, as if it came in now, by its name:
    ``icmp from 10.19.43.2``, ``tcp/22 from elsewhere``, of IPv6 ``icmp6`` and ``tcp6/22``; ``failed``: those of which it said nothing.
    ``why``: why there is nothing, as "no port has the MAC".
    """

    port: str = ""
    bridge: str = ""
    out: OvsTrace | None = None
    back: OvsTrace | None = None
    asked: Mapping[str, OvsTrace] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()
    why: str = ""
    out6: OvsTrace | None = None
