"""Keeps what leaves and enters a host's interfaces: run in its network namespace, by test_harmless.py.

capturing.py OUTPUT: until SIGTERM; one JSON line a frame: [device, outgoing, hexadecimal of up to 200 bytes].
"""

from __future__ import annotations

import json
import signal
import socket
import sys
from pathlib import Path

PACKET_OUTGOING = 4
ETH_P_ALL = 3


def main(output: Path) -> None:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUFFORCE if hasattr(socket, "SO_RCVBUFFORCE") else 33, 1 << 26)
    sock.settimeout(0.2)
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    with output.open("w", encoding="utf-8") as lines:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while not ended:
            try:
                data, (device, _, kind, *_) = sock.recvfrom(200)
            except TimeoutError:
                continue
            lines.write(json.dumps([device, kind == PACKET_OUTGOING, data.hex()]) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
