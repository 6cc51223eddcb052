"""OpenFlow of Open vSwitch's bridges, by ``ovs-ofctl``, in any of its versions.

Source: ovs-ofctl(8), ovs-fields(7), ovs-actions(7); OVS' own lib/ofp-flow.c, lib/ofp-port.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from netchecks.errors import Unreadable
from netchecks.models.openflow import FlowTable, OpenFlow
from netchecks.models.openvswitch import OpenFlowPort, PortCounts
from netchecks.models.table import Table
from netchecks.observe import observation
from netchecks.parsing import blocks, mac_or_none, split_outside
from netchecks.reading.ovs_tools import OVS_TOOLS

_LIMIT = 16 * 1024 * 1024
#: A bridge that only speaks later versions refuses the first; that one alone tells how long a flow has been idle.
_EACH = OVS_TOOLS + r"""
bridges=$(ovs-vsctl --timeout=4 list-br) || exit
for b in $bridges; do
  printf '@bridge %s\n' "$b"
  ok=
  for v in OpenFlow10 OpenFlow13 OpenFlow14 OpenFlow15; do
    said=$(ovs-ofctl -t 4 -O $v WHAT "$b" 2>&1) && { ok=1; printf '%s\n' "$said"; break; }
  done
  [ -n "$ok" ] || { printf '%s\n' "$said" >&2; exit 1; }
done
"""
_REPLY = re.compile(r"\s*(NXST|OFPST)_\w{1,20} reply .*")


@observation(shell=_EACH.replace("WHAT", "dump-flows"), tool="ovs-ofctl", root=True, late=True, seconds=15.0, limit=_LIMIT)
def openflow_tables(text: str) -> Table[FlowTable]:
    """The flows of each bridge, by its name, after the probes. Any version of OpenFlow, with or without names and counters."""
    found = {}
    for head, body in blocks(text, "@bridge "):
        found[head.strip()] = FlowTable.of(_flow(line) for line in body if not _REPLY.fullmatch(line))
    return Table("bridge", found)


#: Of all flows those whose counts say something: what translates VLANs, and what drops, itself or in Neutron's table for that.
_SOME = r"table=[0-4],.*(vlan_vid|strip_vlan|pop_vlan)|actions=drop|resubmit\(,93\)"
_COUNTS = _EACH.replace("WHAT", "dump-flows").replace('"$said"; break', f'"$said" | grep -E \'{_SOME}\'; break')


@observation(shell=_COUNTS, tool="ovs-ofctl", root=True, counter=True, seconds=15.0, limit=_LIMIT)
def openflow_counts(text: str) -> Table[FlowTable]:
    """Those flows of each bridge that translate VLANs or drop, before and after the probes: what each has counted meanwhile."""
    return openflow_tables(text)


#: What stands before the match and is none; the others are the match.
_ABOUT = frozenset({
    "cookie", "duration", "table", "n_packets", "n_bytes", "idle_age", "hard_age", "idle_timeout", "hard_timeout", "importance", "priority",
})
_FLAGS = frozenset({"send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts"})
#: ovs-ofctl leaves it out when it is this (OpenFlow 1.0, section 4.6).
_DEFAULT_PRIORITY = 32768


def _flow(line: str) -> OpenFlow:
    head, found, actions = line.strip().partition("actions=")
    if not found:
        raise Unreadable("'cookie=0x0, ... actions=NORMAL'", line)
    about, match = {}, {}
    for word in split_outside(head.replace(", ", ",").replace(" ", ",")):
        key, _, value = word.partition("=")
        if key in _ABOUT:
            about[key] = value
        elif key and key not in _FLAGS:
            match[key] = value
    done = tuple(split_outside(actions.strip()))
    return OpenFlow(
        _figure(about.get("table", "0")), _figure(about.get("priority", str(_DEFAULT_PRIORITY))), match, done,
        _figure(about.get("cookie", "0")), _optional(about.get("n_packets")), _optional(about.get("idle_age")),
        _seconds(about.get("duration", "")), line.strip(),
    )


def _figure(text: str) -> int:
    if not re.fullmatch(r"0x[0-9a-fA-F]{1,16}|[0-9]{1,20}", text):
        raise Unreadable("a number", text)
    return int(text, 0) if text.startswith("0x") else int(text)


def _optional(text: str | None) -> int | None:
    return None if text is None else _figure(text)


def _seconds(text: str) -> float | None:
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)s", text)
    return float(match[1]) if match else None


@observation(shell=_EACH.replace("WHAT", "show"), tool="ovs-ofctl", root=True, seconds=15.0)
def openflow_ports(text: str) -> Table[Table[OpenFlowPort]]:
    """The ports of each bridge as OpenFlow has them, by the bridge's name and the port's.

    OpenFlow has but 15 characters of a name (OFP_MAX_PORT_NAME_LEN): of two that begin alike the second has its number behind it.
    """
    found = {}
    for head, body in blocks(text, "@bridge "):
        ports: dict[str, OpenFlowPort] = {}
        for port in _openflow_ports(body):
            ports[f"{port.name} {port.number}" if port.name in ports else port.name] = port
        found[head.strip()] = Table("port", ports)
    return Table("bridge", found)


_PORT_LINE = re.compile(r" ?([0-9]{1,10}|[A-Z]{1,12})\(([^)]{1,80})\): addr:([0-9a-f:]{11,60})")


def _openflow_ports(body: list[str]) -> Iterator[OpenFlowPort]:
    heads = [at for at, line in enumerate(body) if _PORT_LINE.match(line)]
    for at, end in zip(heads, [*heads, len(body)][1:], strict=True):
        match = _PORT_LINE.match(body[at])
        assert match is not None
        told = {key: value for key, _, value in (line.strip().partition(":") for line in body[at + 1:end])}
        yield OpenFlowPort(
            match[2].strip('"'), int(match[1]) if match[1].isdigit() else None, mac_or_none(match[3]), _words(told.get("config", "")),
            _words(told.get("state", "")),
        )


@observation(shell=_EACH.replace("WHAT", "dump-ports"), tool="ovs-ofctl", root=True, counter=True, seconds=15.0)
def openflow_port_counts(text: str) -> Table[Table[PortCounts]]:
    """What the ports of each bridge have counted, by the bridge's name and the port's number (or ``LOCAL``), as one reading.

    Of patch ports and tunnels nothing else counts. Source: ovs-ofctl(8), dump-ports; lib/ofp-port.c, ofputil_format_port_stats.
    """
    found = {}
    for head, body in blocks(text, "@bridge "):
        told = " ".join(line.strip() for line in body if not _REPLY.fullmatch(line))
        parts = _PORT_COUNTS.split(told)
        if parts[0].strip():
            raise Unreadable("'port 1: rx pkts=0, ...'", parts[0])
        ports = zip(parts[1::2], parts[2::2], strict=True)
        found[head.strip()] = Table("port", {name.strip('"'): _port_counts(rest) for name, rest in ports})
    return Table("bridge", found)


_PORT_COUNTS = re.compile(r"(?:^| )port +(\S{1,80}): ")
_COUNT = re.compile(r"\b(rx|tx) pkts=([0-9]{1,20}|\?),")


def _port_counts(text: str) -> PortCounts:
    sides = {match[1]: match[2] for match in _COUNT.finditer(text)}
    if sides.keys() != {"rx", "tx"}:
        raise Unreadable("'rx pkts=0, bytes=0, drop=0, errs=0, ... tx pkts=0, ...'", text)
    received, sent = (None if sides[side] == "?" else int(sides[side]) for side in ("rx", "tx"))
    return PortCounts(received, sent)


def _words(text: str) -> frozenset[str]:
    return frozenset(word for word in text.split() if word != "0")
