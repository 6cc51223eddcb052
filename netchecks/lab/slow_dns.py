"""A DNS server that answers late: passes each query on and keeps the answer back. Standard library only.

``slow_dns.py SECONDS ADDRESS... -- COMMAND``: listens on UDP port 53 of the addresses; COMMAND is a DNS server on
127.0.0.1 port 5353 that ends with this program.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time

UPSTREAM = ("127.0.0.1", 5353)


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


def serve(address: str, seconds: float) -> None:
    """Answer on one address for ever."""
    server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    while True:
        query, client = server.recvfrom(65535)
        threading.Thread(target=answer, args=(server, query, client, seconds), daemon=True).start()


def main(arguments: list[str]) -> None:
    """Start the real server, then answer on every address until it ends."""
    cut = arguments.index("--")
    seconds, addresses = float(arguments[0]), arguments[1:cut]
    for address in addresses:
        threading.Thread(target=serve, args=(address, seconds), daemon=True).start()
    subprocess.run(arguments[cut + 1:], check=False)


if __name__ == "__main__":
    main(sys.argv[1:])
