"""What a packet is known by at every hop, after NAT, behind VLAN tags and inside tunnels."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

#: Marked packets of one trace: the captures of several nodes do not begin at the same moment, and one packet may be lost.
TURNS = 3

#: What all marks of this run begin with. The first byte is the upper half of the ports that datagrams and SYNs are sent from, so
#: that answers are known: 0xC0 to 0xEF, 49152 to 61439, which every system uses for its own clients.
RUN = bytes([0xC0 + secrets.randbelow(0x30)]) + secrets.token_bytes(3)

#: Bytes of a payload's mark: ping of a node without python3 writes its time over the first of longer ones.
COOKIE = 15


@dataclass(frozen=True, slots=True)
class Mark:
    """What one flow's packets carry.

    ``cookie``: 14 bytes at the beginning of an echo's or a datagram's payload; the turn's number follows. ``sequence``: of a SYN, to
    which the turn is added; its answer acknowledges one more (RFC 9293 section 3.5). ``port``: what the first is sent from, each
    further one from the next, as a connection that is half open swallows what comes from its port. ``identifier``: of an echo.
    """

    cookie: bytes
    sequence: int
    port: int
    identifier: int

    def payload(self, turn: int) -> bytes:
        """Give the payload that marks the packet of a turn."""
        return self.cookie + bytes([turn])

    def turn_of(self, payload: bytes) -> int | None:
        """Give the turn that a payload is marked with, None where it is not."""
        known = payload[:COOKIE - 1] == self.cookie and len(payload) >= COOKIE and payload[COOKIE - 1] < TURNS
        return payload[COOKIE - 1] if known else None

    def is_from(self, port: int) -> bool:
        """Tell whether a port is one that the packets are sent from."""
        return 0 <= port - self.port < TURNS

    def turn_in(self, sequence: int) -> int | None:
        """Give the turn that a sequence number is, None where it is another."""
        return sequence - self.sequence if 0 <= sequence - self.sequence < TURNS else None


def mark_of(flow: str, run: bytes = RUN) -> Mark:
    """Give a flow's mark, the same wherever it is asked for in one run."""
    drawn = hashlib.sha256(run + flow.encode()).digest()
    low = int.from_bytes(drawn[11:13], "big") & 0xFFF8  # room for the turns, so that the upper half stays the run's
    return Mark(run + drawn[:COOKIE - 1 - len(run)], int.from_bytes(run[:2], "big") << 16 | low, run[0] << 8 | drawn[13] & 0xFC, low | 1)
