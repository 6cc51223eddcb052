"""What ping says when nothing comes back: who may not ask is told from who is not let out."""

import pytest

from netchecks.observations.ping import guest_pings


@pytest.mark.parametrize(("said", "denied", "blocked", "error"), [
    ("ping: socket: Operation not permitted", True, False, "socket: Operation not permitted"),
    ("ping: permission denied (are you root?)", True, False, "permission denied (are you root?)"),
    ("sh: 1: ping: not found", True, False, "sh: 1: ping: not found"),
    ("ping: sendmsg: Operation not permitted\n\n2 packets transmitted, 0 received, 100% packet loss", False, True, "sendmsg: Operation not permitted"),
    ("ping: sendto: Operation not permitted", False, True, "sendto: Operation not permitted"),
    ("ping: connect: Network is unreachable", False, False, "connect: Network is unreachable"),
    ("From 10.20.0.142 icmp_seq=1 Destination Host Unreachable\n2 packets transmitted, 0 received, +1 errors", False, False,
     "Destination Host Unreachable"),
    ("2 packets transmitted, 0 received, 100% packet loss", False, False, ""),
    ("2 packets transmitted, 1 packets received, 50% packet loss", False, False, ""),
])
def test_why_nothing_came_back(said, denied, blocked, error):
    (ping,) = guest_pings(f"@ 10.20.0.1\n{said}\n")
    assert (ping.denied, ping.blocked, ping.error) == (denied, blocked, error)
