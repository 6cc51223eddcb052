"""A switch port that gives what it sends a VLAN tag, and takes frames without one. Standard library only.

``tagging.py VLAN INSIDE OUTSIDE``: what comes in by the device INSIDE leaves by OUTSIDE with the tag; what comes back loses it.
The kernel of a lab may have neither VLAN devices nor tc's action for it.
"""

from __future__ import annotations

import selectors
import socket
import struct
import sys

_ETH_P_ALL, _OUTGOING = 3, 4
_TPID = 0x8100  # IEEE 802.1Q


def tagged(frame: bytes, vlan: int) -> bytes:
    r"""Give the frame with a tag behind its addresses.

    >>> tagged(bytes(12) + b"\x08\x00x", 5)[12:].hex()
    '81000005080078'
    """
    return frame[:12] + struct.pack("!HH", _TPID, vlan) + frame[12:]


def untagged(frame: bytes) -> bytes:
    r"""Give the frame without its outer tag.

    >>> untagged(tagged(bytes(12) + b"\x08\x00x", 5))[12:].hex()
    '080078'
    """
    return frame[:12] + frame[16:] if frame[12:14] == _TPID.to_bytes(2, "big") else frame


def _open(device: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    sock.bind((device, _ETH_P_ALL))
    return sock


def main(arguments: list[str]) -> None:
    """Hand frames on for ever."""
    vlan, inside, outside = int(arguments[0]), _open(arguments[1]), _open(arguments[2])
    with selectors.DefaultSelector() as loop:
        loop.register(inside, selectors.EVENT_READ, (outside, lambda frame: tagged(frame, vlan)))
        loop.register(outside, selectors.EVENT_READ, (inside, untagged))
        while True:
            for key, _ in loop.select():
                assert isinstance(key.fileobj, socket.socket)
                frame, where = key.fileobj.recvfrom(65535)
                to, change = key.data
                if where[2] != _OUTGOING:
                    to.send(change(frame))


if __name__ == "__main__":
    main(sys.argv[1:])
