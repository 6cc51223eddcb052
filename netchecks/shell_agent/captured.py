"""What tcpdump kept at the devices of a node, as the captures that the agent itself would have had."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netchecks.packet_filter import kept

_DENIED = re.compile(r"permission|not permitted", re.IGNORECASE)
_DROPPED = re.compile(r"^(\d+) packets? dropped by kernel", re.MULTILINE)
#: What the script says of what it cannot do.
CANNOT = re.compile(r"^(missing|impossible|left out): (.*)$", re.MULTILINE)
#: pcap's magic number in both orders of bytes (draft-ietf-opsawg-pcap), the lengths of its headers, its link type of Ethernet.
_ORDERS = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}
_HEAD, _ROW = 24, 16
_ETHERNET = 1


@dataclass(frozen=True, slots=True)
class Source:
    """What was kept at one device: (seconds since the script's beginning, outgoing, frame). ``why``: of one that did not begin."""

    packets: tuple[tuple[float, bool, bytes], ...]
    opened: float | None
    dropped: int
    why: Mapping[str, Any]


def captures(job: Mapping[str, Any], parts: Mapping[str, bytes], began: float, clock: float) -> dict[str, Any]:
    """Give what each capture is about, by its key. ``began``, ``clock``: one moment, as uptime and as time of day, in seconds."""
    sources = [_source(number, limit, parts, began, clock) for number, limit in enumerate(job["limits"])]
    why = lacking("impossible", f"at more than {len(sources)} devices nobody listens")
    known = dict(enumerate(sources))
    beyond = Source((), None, 0, {"error": why, "impossible": True})
    return {key: _kept(wanted, job["programs"], known.get(wanted["file"], beyond)) for key, wanted in job["captures"].items()}


def _source(number: int, limit: int, parts: Mapping[str, bytes], began: float, clock: float) -> Source:
    said = [parts.get(f"e{number}-{way}", b"").decode("utf-8", "replace").strip() for way in ("in", "out")]
    if f"o{number}" not in parts:
        return Source((), None, 0, _why("\n".join(said).strip()))
    dropped = sum(int(found[1]) for text in said if (found := _DROPPED.search(text)))
    packets = []
    for way in ("in", "out"):
        frames, whole = frames_of(parts[f"c{number}-{way}"])
        packets += [(round(at - clock, 6), way == "out", data) for at, data in frames]
        dropped += not whole or len(frames) >= limit  # then it ended by itself: how many came after is not known
    packets.sort(key=lambda row: row[0])
    return Source(tuple(packets), round(float(parts[f"o{number}"]) - began, 2), dropped, {})


def _why(said: str) -> dict[str, Any]:
    """Say why a capture did not begin."""
    missing = CANNOT.search(said)
    if missing:
        return {"error": lacking(missing[1], missing[2]), "missing": True}
    lines = [line for line in said.splitlines() if line]
    return {"error": (lines or ["tcpdump did not begin to listen in time"])[0], "denied": bool(_DENIED.search(said))}


def lacking(why: str, what: str) -> str:
    """Say what a node lacks to do it in another way."""
    return f"without python3: {what}" if why == "impossible" else f"neither python3 nor {what} is installed"


def frames_of(data: bytes) -> tuple[list[tuple[float, bytes]], bool]:
    """Read a pcap file: (seconds since the epoch, frame) of each, and whether it is whole. Raises ValueError where it is none."""
    if data[:4] not in _ORDERS or len(data) < _HEAD:
        raise ValueError("not a pcap file")
    order, at = _ORDERS[data[:4]], _HEAD
    if struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF != _ETHERNET:
        raise ValueError("not Ethernet")
    found: list[tuple[float, bytes]] = []
    while at + _ROW <= len(data):
        seconds, micros, length, _ = struct.unpack_from(order + "IIII", data, at)
        at += _ROW + length
        if at > len(data):
            return found, False
        found.append((seconds + micros / 1_000_000, data[at - length:at]))
    return found, at == len(data)


def _kept(wanted: Mapping[str, Any], programs: list[Any], source: Source) -> dict[str, Any]:
    """Give what one capture is about: tcpdump keeps for all at its device together, and somewhat more."""
    program, most = programs[wanted["program"]], int(wanted["most"])
    rows = [(at, out, data[:size]) for at, out, data in source.packets if (size := kept(program, data))]
    packets = [(at, out, base64.b64encode(data).decode()) for at, out, data in rows[:most]]
    dropped = source.dropped + len(rows) - len(packets)
    return {"error": "", "opened": source.opened, "packets": packets, "dropped": dropped} | dict(source.why)
