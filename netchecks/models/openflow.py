"""Flow tables: one flow, and what a table decides for a packet of which a port and a VLAN are known.

Source: ovs-fields(7), ovs-actions(7).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

#: Of a tag's 16 bits: the VLAN, and the bit that says that there is one (ovs-fields(7), vlan_tci).
VID, PRESENT = 0xFFF, 0x1000
#: dl_vlan of a packet without a tag.
NO_VLAN = 0xFFFF
#: More tables than any pipeline goes through; it also ends circles.
DEEPEST = 40
#: Neutron's table for what its security groups drop (neutron, plugins/ml2/drivers/openvswitch/agent/common/constants.py).
DROPPED_TRAFFIC = 93
_PORTS = {"LOCAL": 65534}


@dataclass(frozen=True, slots=True)
class OpenFlow:
    """One flow. ``match``: by field, with an empty value for a bare protocol (``arp``). ``idle`` and ``duration`` in seconds."""

    table: int
    priority: int
    match: Mapping[str, str]
    actions: tuple[str, ...]
    cookie: int = 0
    packets: int | None = None
    idle: int | None = None
    duration: float | None = None
    raw: str = ""

    def __str__(self) -> str:
        """Give it as ovs-ofctl takes it."""
        match = ",".join(f"{key}={value}" if value else key for key, value in self.match.items())
        head = ",".join(filter(None, (f"table={self.table}", f"priority={self.priority}", match)))
        return f"{head} actions={','.join(self.actions)}"

    @property
    def sets(self) -> int | None:
        """The VLAN that its actions give a packet, the last one; None where they give none."""
        return next((vlan for vlan in map(_vlan_set, reversed(self.actions)) if vlan is not None), None)

    @property
    def strips(self) -> bool:
        """Whether it takes the tag off."""
        return any(action in {"strip_vlan", "pop_vlan"} for action in self.actions)

    @property
    def vlan(self) -> int | None:
        """The VLAN that it asks for; 0: no tag; None: any, or none alone."""
        if "dl_vlan" in self.match:
            found = _number(self.match["dl_vlan"])
            return 0 if found == NO_VLAN else found
        tci, _, mask = self.match.get("vlan_tci", "").partition("/")
        value = _number(tci)
        if value is None or _number(mask or "0x1fff") not in {0x1FFF, 0xFFFF}:
            return None
        return value & VID if value & PRESENT else 0

    @property
    def any_vlan(self) -> int | None:
        """The VLAN that it asks for; a learned one does not ask whether there is a tag: vlan_tci=0x0001/0x0fff."""
        tci, _, mask = self.match.get("vlan_tci", "").partition("/")
        return int(tci, 16) & VID if mask == "0x0fff" else self.vlan

    @property
    def tunnel(self) -> int | None:
        """The key of a tunnel that it asks for (tun_id); None: any."""
        return _number(self.match.get("tun_id", "").partition("/")[0])

    @property
    def sets_tunnel(self) -> int | None:
        """The key that its actions give a packet for a tunnel; None where they give none."""
        return next((key for key in map(_tunnel_set, reversed(self.actions)) if key is not None), None)

    @property
    def outputs(self) -> frozenset[str]:
        """The ports that its actions name, by number or name."""
        words = (action.removeprefix("output:").strip('"') for action in self.actions)
        return frozenset(word for word, action in zip(words, self.actions, strict=True) if action.startswith("output:") or word.isdigit())

    @property
    def port(self) -> str:
        """The port that it asks for, as it is written; empty: any."""
        return self.match.get("in_port", "").strip('"')

    @property
    def is_invalid(self) -> bool:
        """Whether it is for what connection tracking takes for invalid alone."""
        return "+inv" in self.match.get("ct_state", "")

    @property
    def drops(self) -> bool:
        """Whether it drops what it is for: itself, or by the table in which Neutron's firewall does."""
        return self.actions in {("drop",), (f"resubmit(,{DROPPED_TRAFFIC})",)}


@dataclass(frozen=True, slots=True)
class Probe:
    """What is known of a packet: the port that it comes in by, by number and name, and its VLAN, 0: no tag."""

    number: int
    name: str
    vlan: int


#: ``out``: it leaves, by NORMAL or by ports; ``drop``: a flow says so; ``miss``: no flow is for it; ``unsure``: that depends on more
#: than a port and a VLAN.
Kind = Literal["out", "drop", "miss", "unsure"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a packet. ``vlan``: at the end. ``by``: the flows that it went through, the last one decides."""

    kind: Kind
    vlan: int
    by: tuple[OpenFlow, ...] = ()

    @property
    def last(self) -> OpenFlow | None:
        """The flow that decided."""
        return self.by[-1] if self.by else None

    @property
    def translated_by(self) -> OpenFlow | None:
        """The last flow that gave it a VLAN."""
        return next((flow for flow in reversed(self.by) if flow.sets is not None or flow.strips), None)


class Flows(tuple[OpenFlow, ...]):  # noqa: SLOT001 - cached_property keeps what it found in __dict__
    """Flows in their order, which remember what was looked up in them: a bridge of tunnels has ten thousand, and each is a text to read."""

    @cached_property
    def vlans_by_key(self) -> Mapping[int, frozenset[int]]:
        """The VLANs that flows of each key of a tunnel ask for or give."""
        found: dict[int, set[int]] = {}
        for flow in self:
            for key, vlan in ((flow.tunnel, flow.sets), (flow.sets_tunnel, flow.any_vlan)):
                if key is not None and vlan:
                    found.setdefault(key, set()).add(vlan)
        return {key: frozenset(vlans) for key, vlans in found.items()}

    @cached_property
    def into_tunnels(self) -> Mapping[tuple[int | None, str], OpenFlow]:
        """The first flow that sends what is for a MAC into a tunnel, by VLAN and MAC."""
        found: dict[tuple[int | None, str], OpenFlow] = {}
        for flow in self:
            if "dl_dst" in flow.match and flow.sets_tunnel is not None:
                found.setdefault((flow.any_vlan, flow.match["dl_dst"].lower()), flow)
        return found

    @cached_property
    def floods(self) -> Mapping[int | None, tuple[OpenFlow, ...]]:
        """The flows that send what is for all, and for MACs that are not known, into tunnels, by VLAN."""
        found: dict[int | None, list[OpenFlow]] = {}
        for flow in self:
            if "dl_dst" not in flow.match and flow.sets_tunnel is not None:
                found.setdefault(flow.any_vlan, []).append(flow)
        return {vlan: tuple(some) for vlan, some in found.items()}

    @cached_property
    def arp_answers(self) -> Mapping[tuple[int | None, str], OpenFlow]:
        """The first flow that itself answers ARP requests, by VLAN and the address that is asked for."""
        found: dict[tuple[int | None, str], OpenFlow] = {}
        for flow in self:
            if "arp" in flow.match and "arp_tpa" in flow.match and "IN_PORT" in flow.actions:
                found.setdefault((flow.any_vlan, flow.match["arp_tpa"]), flow)
        return found


@dataclass(frozen=True)
class FlowTable:
    """All flows of a bridge, by table, in each those of high priority first."""

    tables: Mapping[int, tuple[OpenFlow, ...]]

    @classmethod
    def of(cls, flows: Iterable[OpenFlow]) -> FlowTable:
        """Sort them."""
        tables: dict[int, list[OpenFlow]] = {}
        for flow in sorted(flows, key=lambda flow: (flow.table, -flow.priority)):
            tables.setdefault(flow.table, []).append(flow)
        return cls({table: tuple(some) for table, some in tables.items()})

    @cached_property
    def flows(self) -> Flows:
        """Every flow."""
        return Flows(flow for some in self.tables.values() for flow in some)

    def decide(self, packet: Probe) -> Decision:
        """Give what becomes of a packet."""
        return self._look_up(packet, 0, ())

    def _look_up(self, packet: Probe, table: int, by: tuple[OpenFlow, ...]) -> Decision:
        for flow in self.tables.get(table, ()):
            fits = matches(flow, packet)
            if fits is None:
                return Decision("unsure", packet.vlan, (*by, flow))
            if fits:
                return self._act(packet, flow, (*by, flow))
        return Decision("miss", packet.vlan, by)

    def _act(self, packet: Probe, flow: OpenFlow, by: tuple[OpenFlow, ...]) -> Decision:
        vlan, after = packet.vlan, Decision("drop", packet.vlan, by)
        for action in flow.actions:
            found = _vlan_set(action)
            if found is not None or action in {"strip_vlan", "pop_vlan"} or action.startswith("push_vlan"):
                vlan = found or 0
                after = replace(after, vlan=vlan)
            elif (table := _next_table(action)) is not None:
                if len(by) > DEEPEST:
                    return Decision("unsure", vlan, by)
                after = self._look_up(replace(packet, vlan=vlan), table, by)
            elif _leaves(action):
                return Decision("out", vlan, by)
            elif not _is_aside(action):
                return Decision("unsure", vlan, by)
            if after.kind in {"out", "unsure"}:
                return after
        return after

    @property
    def cookie(self) -> int:
        """The cookie that most flows have: the running agent's."""
        counted = Counter(flow.cookie for flow in self.flows).most_common(1)
        return counted[0][0] if counted else 0


def matches(flow: OpenFlow, packet: Probe) -> bool | None:
    """Tell whether a flow is for a packet; None where that depends on what is not known of it."""
    unknown = False
    for key, value in flow.match.items():
        fits = _field_fits(key, value, packet)
        if fits is False:
            return False
        unknown = unknown or fits is None
    return None if unknown else True


def _field_fits(key: str, value: str, packet: Probe) -> bool | None:
    if key == "in_port":
        shown = value.strip('"')
        return shown == packet.name or _PORTS.get(shown, _number(shown)) == packet.number
    if key == "dl_vlan":
        wanted = _number(value)
        return wanted == (packet.vlan or NO_VLAN)
    if key == "vlan_tci":
        tci, _, mask = value.partition("/")
        wanted, bits = _number(tci), _number(mask or "0xffff")
        own = PRESENT | packet.vlan if packet.vlan else 0
        return None if wanted is None or bits is None else own & bits == wanted & bits
    return None


def _number(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None


_SET = re.compile(
    r"(?:mod_vlan_vid|set_vlan_vid):(\d{1,5}|0x[0-9a-f]{1,4})|set_field:(\d{1,5}|0x[0-9a-f]{1,4})(?:/0x[0-9a-f]{1,4})?->vlan_vid"
    r"|load:(0x[0-9a-f]{1,4}|\d{1,5})->(?:OXM_OF_VLAN_VID|NXM_OF_VLAN_TCI)\[[0-9.]*\]",
)


def _vlan_set(action: str) -> int | None:
    """Give the VLAN that an action gives, in any version's words; of set_field the bit that says "tagged" is in the number."""
    match = _SET.fullmatch(action)
    found = _number(next(filter(None, match.groups()))) if match else None
    return None if found is None else found & VID


_SET_TUNNEL = re.compile(
    r"set_tunnel(?:64)?:(0x[0-9a-f]{1,16}|\d{1,20})|set_field:(0x[0-9a-f]{1,16}|\d{1,20})->tun_id"
    r"|load:(0x[0-9a-f]{1,16}|\d{1,20})->(?:NXM_NX|OXM_OF)_TUN(?:NEL)?_ID\[[0-9.]*\]",
)


def _tunnel_set(action: str) -> int | None:
    match = _SET_TUNNEL.fullmatch(action)
    return _number(next(filter(None, match.groups()))) if match else None


_NEXT = re.compile(r"resubmit\((?:\d{0,5}),(\d{1,3})(?:,ct)?\)|goto_table:(\d{1,3})")


def _next_table(action: str) -> int | None:
    match = _NEXT.fullmatch(action)
    return int(next(filter(None, match.groups()))) if match else None


def _leaves(action: str) -> bool:
    word = action.partition(":")[0].partition("(")[0]
    return word in {"NORMAL", "FLOOD", "ALL", "LOCAL", "IN_PORT", "output", "enqueue"} or word.isdigit() or word.startswith('"')


def _is_aside(action: str) -> bool:
    """Tell whether an action neither sends a packet on nor asks for what is not known of it."""
    word = action.partition(":")[0].partition("(")[0]
    return word in {
        "drop", "set_field", "load", "move", "note", "learn", "mod_dl_src", "mod_dl_dst", "set_tunnel", "set_tunnel64", "mod_vlan_pcp",
        "set_vlan_pcp", "set_queue", "pop_queue", "write_metadata", "clear_actions", "meter", "sample", "dec_ttl",
    }


def translating(flows: Iterable[OpenFlow], vlan: int, to: int) -> Iterator[OpenFlow]:
    """Give the flows that turn a VLAN into another; 0 stands for no tag."""
    for flow in flows:
        given = 0 if flow.strips and flow.sets is None else flow.sets
        if flow.vlan == vlan and given == to:
            yield flow


def counted(before: FlowTable, after: FlowTable) -> Iterator[tuple[OpenFlow, int]]:
    """Give the packets that each flow has counted between two looks. One that was written anew meanwhile has counted all that it says."""
    known = {_identity(flow): flow.packets or 0 for flow in before.flows}
    for flow in after.flows:
        if flow.packets is not None:
            base = known.get(_identity(flow), 0)
            yield flow, flow.packets - base if flow.packets >= base else flow.packets


def invalid(before: Mapping[str, FlowTable], after: Mapping[str, FlowTable]) -> Iterator[tuple[str, OpenFlow, int]]:
    """Give what each flow has dropped between two looks that connection tracking takes for invalid: bridge, flow, packets."""
    for name, table in after.items():
        for flow, count in counted(before.get(name, FlowTable({})), table):
            if count and flow.drops and flow.is_invalid:
                yield name, flow, count


def _identity(flow: OpenFlow) -> tuple[int, int, frozenset[tuple[str, str]]]:
    return flow.table, flow.priority, frozenset(flow.match.items())
