"""A DNS server that answers late: passes each query on and keeps the answer back. Standard library only.

``slow_dns.py [--reverse] SECONDS ADDRESS... -- COMMAND``: listens on UDP port 53 of the addresses; COMMAND is a DNS server
on 127.0.0.1 port 5353 that ends with this program. ``--reverse``: only questions for the name of an address are late.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time

UPSTREAM = ("127.0.0.1", 5353)
#: RFC 1035 sections 3.2.2 and 4.1.2: a question ends with its type and class.
PTR = b"\x00\x0c\x00\x01"


def is_reverse(query: bytes) -> bool:
    """Tell whether a query asks for the name of an address."""
    return b"\x04arpa\x00" + PTR in query


def answer(server: socket.socket, query: bytes, client: tuple[str, int], seconds: float) -> None:
    """Ask the real server, wait, answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
        upstream.settimeout(5)
        upstream.sendto(query, UPSTREAM)
        try:
            text = upstream.recv(65535)
        except OSError:
            return
    time.sleep(seconds)
    server.sendto(text, client)


def serve(address: str, seconds: float, *, reverse: bool) -> None:
    """Answer on one address for ever."""
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    while True:
        query, client = server.recvfrom(65535)
        late = seconds if is_reverse(query) or not reverse else 0.0
        threading.Thread(target=answer, args=(server, query, client, late), daemon=True).start()


def main(arguments: list[str]) -> None:
    """Start the real server, then answer on every address until it ends."""
    reverse = arguments[0] == "--reverse"
    cut = arguments.index("--")
    seconds, *addresses = arguments[reverse:cut]
    for address in addresses:
        threading.Thread(target=serve, args=(address, float(seconds)), kwargs={"reverse": reverse}, daemon=True).start()
    subprocess.run(arguments[cut + 1:], check=False)


if __name__ == "__main__":
    main(sys.argv[1:])
