"""TCP and UDP as a guest serves them and as a client asks for it. Standard library only."""

from __future__ import annotations

import contextlib
import socket
import sys
import time


def listen(port: int) -> socket.socket:
    """Listen on all addresses of both families."""
    server = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", port))
    server.listen(128)
    return server


def serve(port: int) -> None:
    """Answer for ever."""
    server = listen(port)
    while True:
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"netchecks lab\r\n")


def serve_udp(port: int) -> None:
    """Send back what comes, for ever."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("::", port))
        while True:
            data, client = server.recvfrom(65535)
            with contextlib.suppress(OSError):
                server.sendto(data, client)


def answers(address: str, port: int, seconds: float = 1.0) -> bool:
    """Tell whether a TCP connection is accepted."""
    try:
        socket.create_connection((address, port), seconds).close()
    except OSError:
        return False
    return True


def await_all(wanted: list[tuple[str, int]], seconds: float) -> list[tuple[str, int]]:
    """Ask each (address, port) in turn, again and again, until all answer or the time is up; give those that do not."""
    until = time.monotonic() + seconds
    left = wanted
    while left:
        left = [one for one in left if not answers(*one)]
        if time.monotonic() > until:
            break
        if left:
            time.sleep(0.02)
    return left


def main(arguments: list[str]) -> int:
    """Do ``PORT``, ``udp PORT``, or ``await SECONDS "ADDRESS PORT"...``: print those that do not answer, exit 1."""
    if arguments[0] == "udp":
        serve_udp(int(arguments[1]))
    if arguments[0] != "await":
        serve(int(arguments[0]))
    wanted = [(address, int(port)) for address, _, port in (one.partition(" ") for one in arguments[2:])]
    silent = await_all(wanted, float(arguments[1]))
    print(", ".join(f"{address} port {port}" for address, port in silent))
    return bool(silent)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
