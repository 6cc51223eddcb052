"""Linux bridges, their ports, what they have learned, their VLANs."""

from __future__ import annotations

from dataclasses import dataclass

from netchecks.models.subjects import Address
from netchecks.models.table import Table


@dataclass(frozen=True, slots=True)
class BridgePort:
    """A port of a bridge. ``state``: ``forwarding``, ``blocking``, ``listening``, ``learning``, ``disabled``.

    A setting is None where this kernel or tool does not tell it. ``cost``, ``priority``: spanning tree's.
    ``flood``: unknown unicast. ``guard``: BPDU guard. ``locked``: 802.1X port lock.
    """

    name: str
    state: str
    isolated: bool | None = None
    learning: bool | None = None
    flood: bool | None = None
    mcast_flood: bool | None = None
    bcast_flood: bool | None = None
    hairpin: bool | None = None
    neigh_suppress: bool | None = None
    guard: bool | None = None
    root_block: bool | None = None
    locked: bool | None = None
    cost: int | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Bridge:
    """A Linux bridge and its ports. ``ageing_seconds`` 0: it keeps no dynamic entries. None: not told.

    ``stp``: spanning tree runs, in the kernel (``stp_state`` 1) or in user space (2).
    ``nf_call_*``: the bridge's own switch; the sysctl of the same name switches it on for all bridges.
    """

    name: str
    up: bool
    ports: Table[BridgePort]
    mac: str | None = None
    mtu: int | None = None
    stp_state: int | None = None
    ageing_seconds: float | None = None
    vlan_filtering: bool | None = None
    mcast_snooping: bool | None = None
    nf_call_iptables: bool | None = None
    nf_call_ip6tables: bool | None = None
    nf_call_arptables: bool | None = None

    @property
    def stp(self) -> bool:
        """Spanning tree runs."""
        return bool(self.stp_state)


@dataclass(frozen=True, slots=True)
class FdbEntry:
    """A line of ``bridge fdb``: frames to ``mac`` leave by ``device``.

    ``bridge``: whose table it is, empty for a device's own (``self``) and where iproute2 is too old to tell (3.10).
    ``dst``: the far tunnel end.
    ``flags``: ``self``, ``master``, ``permanent``, ``static``, ``extern_learn``, ``sticky``, ``offload``, ``stale`` ...
    """

    mac: str
    device: str
    bridge: str = ""
    vlan: int | None = None
    flags: frozenset[str] = frozenset()
    dst: Address | None = None
    vni: int | None = None

    @property
    def learned(self) -> bool:
        """The bridge took it from a frame it saw: neither the port's own MAC nor set by hand."""
        return not self.flags & {"self", "permanent", "static", "extern_learn"}


@dataclass(frozen=True, slots=True)
class BridgeVlan:
    """VLANs ``first`` to ``last`` on a port (or on the bridge itself). ``flags``: ``PVID``, ``Egress Untagged`` ..."""

    device: str
    first: int
    last: int
    flags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TrafficFilter:
    """A tc filter on a device. ``kind``: ``bpf``, ``u32``, ``flower``, ``matchall`` ...; ``direction``: ``ingress``, ``egress``.

    ``actions``: what each action does (``gact action drop``, ``mirred (Egress Redirect to device ifb0) stolen`` ...).
    ``program``: the name of a BPF program or its object. ``raw``: tc's own words.
    ``always_drops``: True: it drops every packet of its protocol; False: it lets every one through; None: that depends
    on the packet, on a program whose code is not shown, or the packet goes elsewhere.
    """

    device: str
    direction: str
    kind: str
    protocol: str = ""
    preference: int | None = None
    handle: str = ""
    direct_action: bool = False
    program: str = ""
    actions: tuple[str, ...] = ()
    always_drops: bool | None = None
    raw: str = ""
