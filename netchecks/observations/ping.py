"""Whom a guest reaches: ``ping`` of iputils, busybox and Windows, run inside it."""

from __future__ import annotations

import re

from netchecks.errors import Unreadable
from netchecks.models.guests import Ping
from netchecks.models.subjects import Interface
from netchecks.observe import command_line, observation
from netchecks.parsing import address, blocks, number
from netchecks.reading.code_pages import decoded

#: All at the same time, so that ten silent ones take as long as one. Old iputils and busybox have ping6 apart.
_SCRIPT = r"""
for a in "$@"; do
  ( case $a in *:*) p="ping -6"; ping -6 -c 1 -W 1 ::1 >/dev/null 2>&1 || p=ping6 ;; *) p=ping ;; esac
    o=$($p -n -c 1 -W 1 "$a" 2>&1) || o=$($p -n -c 2 -W 1 "$a" 2>&1) || :
    printf '@ %s\n%s\n' "$a" "$o" ) &
done
wait
"""
#: cmd.exe has no way to run them side by side; one packet each.
_WINDOWS = command_line(
    'cmd /c "chcp & for %a in ( {interface.asks} ) do @(echo @ %a & ping -n 1 -w 1000 %a)"', tool="ping", accept=(0, 1),
)

_UNIX = re.compile(r"([0-9]{1,6}) packets transmitted, ([0-9]{1,6}) (?:packets )?received")
#: ``ping: connect: Network is unreachable``, ``From 10.0.0.2 icmp_seq=1 Destination Host Unreachable``.
_SAID = re.compile(r"(?m)^(?:ping6?: |From \S+ icmp_seq=\d+ |busybox: )(.{1,160})$")


def _windows(text: str) -> tuple[Ping, ...]:
    return tuple(_one_of_windows(head.strip(), body) for head, body in blocks(decoded(text), "@ "))


def _one_of_windows(target: str, body: list[str]) -> Ping:
    """``Reply from the target itself`` counts, with its TTL (IPv4) or time; others' ``unreachable`` are called replies too."""
    own = [line for line in body if re.search(rf"(?<![0-9a-fA-F:.]){re.escape(target)}(?![0-9a-fA-F.])", line)]
    received = sum(bool(re.search(r"TTL=[0-9]|[=<] ?[0-9]+ ?(?:ms|мс|мсек|毫秒)", line)) for line in own)
    return Ping(address(target), 1, min(received, 1))


@observation(
    "{interface.asks}", of=Interface, inside=True, shell=_SCRIPT, tool="ping", late=True, seconds=8.0, windows=((_WINDOWS, _windows),),
)
def guest_pings(text: str) -> tuple[Ping, ...]:
    """What the guest's pings to gateways, node, siblings and outside brought: one each, up to three where it is silent.

    Asked after the others have probed: who is asked by the guest learns its MAC.

    Source: iputils ping/ping_common.c, finish; busybox networking/ping.c.
    """
    return tuple(_one(head.strip(), "\n".join(body)) for head, body in blocks(text, "@ "))


def _one(target: str, said: str) -> Ping:
    counts, words = _UNIX.search(said), _SAID.search(said)
    if counts is None and words is None and "not found" not in said and "usage" not in said.lower():
        raise Unreadable("'2 packets transmitted, 2 received', or why not", said)
    sent, received = (number(counts[1]), number(counts[2])) if counts else (0, 0)
    error = "" if received else words[1].strip() if words else "" if counts else said.strip().splitlines()[0][:160]
    return Ping(address(target), sent, received, error)
