"""Captured frames as pcapng files, as Wireshark and tcpdump open them (draft-ietf-opsawg-pcapng, version 1.0).

Each file is one device's: its name stands in it, each frame has its time by the controller's clock and its direction.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from netchecks.errors import Unreadable
from netchecks.packet_filter import SNAP
from netchecks.record import PlaceRecord
from netchecks.send import KEY, split

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_ETHERNET = 1  # LINKTYPE_ETHERNET
_MAGIC = 0x1A2B3C4D
_END, _NAME, _FLAGS = 0, 2, 2
_IN, _OUT = 1, 2


@dataclass(frozen=True, slots=True)
class Framed:
    """One frame: when it was captured, in seconds since the epoch, whether it left the place, its bytes."""

    seconds: float
    outgoing: bool
    data: bytes


def pcapng(device: str, frames: Iterable[Framed]) -> bytes:
    """Give a whole file. A frame that fills the capture's length was cut there."""
    return b"".join(_blocks(device, frames))


def _blocks(device: str, frames: Iterable[Framed]) -> Iterator[bytes]:
    yield _block(_SECTION, struct.pack("<IHHq", _MAGIC, 1, 0, -1))
    yield _block(_INTERFACE, struct.pack("<HHI", _ETHERNET, 0, SNAP) + _option(_NAME, device.encode()) + _option(_END))
    for frame in frames:
        stamp, length = int(frame.seconds * 1_000_000), len(frame.data)
        head = struct.pack("<IIIII", 0, stamp >> 32 & 0xFFFFFFFF, stamp & 0xFFFFFFFF, length, length)
        flags = _option(_FLAGS, struct.pack("<I", _OUT if frame.outgoing else _IN)) + _option(_END)
        yield _block(_PACKET, head + _padded(frame.data) + flags)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _option(code: int, value: bytes = b"") -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def write(folder: Path, place: PlaceRecord) -> list[Path]:
    """Write what a place captured, a file for each device and namespace; give the files. Nothing where it captured nothing."""
    written = []
    for device, frames in _captured(place).items():
        path = folder / _folder_name(place.place) / f"{quote(device, safe='')}.pcapng"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pcapng(device, sorted(frames, key=lambda frame: frame.seconds)))
        written.append(path)
    return written


def _folder_name(place: str) -> str:
    """Give a place's name as a folder's; what consists of dots alone would be another folder."""
    return quote(place, safe="") if place.strip(".") else place.replace(".", "%2E")


def _captured(place: PlaceRecord) -> dict[str, list[Framed]]:
    """Give each device's frames, each once: several captures of one device may have kept it."""
    entry = place.entries.get((KEY, "main"))
    if entry is None or not entry.layout:
        return {}
    try:
        answers = split(entry.layout, entry.stdout)
    except Unreadable:
        return {}
    began = sum(place.booted or (0.0, 0.0)) / 2 + answers.began
    found: dict[str, dict[Framed, None]] = {}
    for got in (one for some in answers.got.values() for one in some if one.opened is not None):
        for at, device, outgoing, data in got.packets:
            found.setdefault(device, {})[Framed(began + at, outgoing, data)] = None
    return {device: list(frames) for device, frames in found.items()}
