"""The asks of one place as a shell script, which does them by the node's own tools."""

from __future__ import annotations

import json
import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from math import ceil
from typing import Any

from netchecks.packet_filter import most
from netchecks.probe import Action, Capture, Connect, Datagram, Echo, Frames, Lease, Packets, Series
from netchecks.shell_agent.equivalents import words
from netchecks.shell_agent.filtering import expression

#: What an answer begins with.
MAGIC = "netchecks-shell 1"
#: Actions at a time that have a process of their own, and the seconds in which they all have to begin.
LANES, PATIENCE = 32, 30.0
#: Devices that are listened to at once: two processes each, of 2.4 MB and a buffer of 1 MiB (measured with tcpdump 4.99).
DEVICES = 24
#: Seconds that the captures may take until they listen.
OPENING = 4.0
#: What the script runs, as ``netchecks commands`` tells it. Of two for the same the first that the node has.
TOOLS = (
    "tcpdump -n -p -U --immediate-mode -B 1024 -s BYTES -c COUNT -Q in|out -i DEVICE -w - FILTER, where need be in ip netns exec",
    "ping -n -c 1 -w COUNT -s BYTES [-M do] ADDRESS, where need be in ip netns exec, as all that follow",
    "bash -c 'exec 3<>/dev/tcp/ADDRESS/PORT', or nc -z -w SECONDS ADDRESS PORT, or curl -s -v telnet://ADDRESS:PORT",
    "bash -c 'exec 3<>/dev/udp/ADDRESS/PORT' with cat and dd, or nc -u -w SECONDS ADDRESS PORT",
    "perl netchecks/shell_agent/sender.pl, for frames and packets as they are; or for those of them that these send alike",
    "arping -c 1 -w 1 -I DEVICE -s OWN_ADDRESS ADDRESS",
    "ping -n -c 1 -W 1 -s 15 -p MARK -I OWN_ADDRESS ADDRESS",
    "nc -u -w 1 -s OWN_ADDRESS -p PORT ADDRESS PORT",
)
#: Bytes of an answer.
LIMIT = 24 * 1024 * 1024

#: What is listened to at one device of one namespace: the captures there, each with its key and as the agent takes it.
Sources = Mapping[tuple[str, str], Sequence[tuple[str, Mapping[str, Any], Capture]]]


@cache
def _text(name: str) -> str:
    lines = files("netchecks.shell_agent").joinpath(name).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line and not line.startswith("#")) + "\n"


def program(actions: Sequence[Action], every: Sources, seconds: float) -> tuple[str, float]:
    """Give the script, which expects its folder in ``$d``, and the seconds that it may take.

    ``every``: all that is to be listened to. ``seconds``: how long captures stay open, at least.
    """
    sources = dict(list(every.items())[:DEVICES])
    nonce = "N" + secrets.token_hex(12)
    patience = min(max(seconds, _worst(actions)), PATIENCE)
    parts = [
        _text("agent.sh").replace("@N@", nonce),
        _file("-job", f"\n{nonce} job\n{_job(actions, every)}", nonce),
        # the shell counts in whole seconds, and cuts what is behind the point
        *_payloads(actions), *_captures(sources), f"u; zero=$U; stop=$((${{U%.*}}+{ceil(patience) + 1}))\n", *_lanes(actions),
        *_sending(actions, sources, nonce), _ending(seconds, nonce),
    ]
    # in braces, so that a shell has read all of it before its children share what it reads from
    return f"{{\n{''.join(parts)}}} </dev/null\n", OPENING + patience + _longest(actions) + 3


def _file(name: str, text: str, nonce: str) -> str:
    return f"cat >\"$p{name}\" <<'{nonce}'\n{text}\n{nonce}\n"


def _job(actions: Sequence[Action], sources: Sources) -> str:
    """Say what the reading has to know: it may be long after, from a record. A capture without a limit is not made."""
    programs: list[Any] = []
    captures = {}
    for number, some in enumerate(sources.values()):
        for key, wanted, _ in some:
            if wanted["program"] not in programs:
                programs.append(wanted["program"])
            captures[key] = {"most": wanted["most"], "file": number, "program": programs.index(wanted["program"])}
    limits = [_most(some) for some in sources.values()][:DEVICES]
    kinds = [[type(action).__name__, len(_frames(action))] for action in actions]
    return json.dumps({"actions": kinds, "captures": captures, "limits": limits, "programs": programs}, separators=(",", ":"))


def _most(some: Sequence[tuple[str, Mapping[str, Any], Capture]]) -> int:
    """Give how many frames tcpdump keeps at a device, for all captures there together."""
    return int(sum(wanted["most"] for _, wanted, _ in some))


def _frames(action: Action) -> tuple[bytes, ...]:
    return action.frames if isinstance(action, Frames) else action.packets if isinstance(action, Packets) else ()


def _longest(actions: Sequence[Action]) -> float:
    return max((_seconds(action) for action in actions), default=0.0)


def _seconds(action: Action) -> float:
    if isinstance(action, Series):
        return action.count * action.gap + 2
    return float(action.count) if isinstance(action, Echo) else action.seconds if isinstance(action, (Connect, Datagram)) else 0.0


def _worst(actions: Sequence[Action]) -> float:
    """Give the seconds until the last action begins, where nobody answers; and until the last frame is sent."""
    rows = ceil(sum(_seconds(action) > 0 for action in actions) / LANES)
    ends = [action.at + action.gap * len(_frames(action)) for action in actions if isinstance(action, (Frames, Packets))]
    return max([max(rows - 1, 0) * _longest(actions) + 1, *ends])


def _payloads(actions: Sequence[Action]) -> Iterator[str]:
    """Write what datagrams carry: printf of every shell takes octal."""
    for number, action in enumerate(actions):
        if isinstance(action, Datagram):
            yield f"printf '{''.join(f'{chr(92)}{byte:03o}' for byte in action.payload)}' >\"$p.u{number}\"\n"


def _captures(sources: Sources) -> Iterator[str]:
    for number, ((namespace, device), some) in enumerate(sources.items()):
        size = max(most(wanted["program"]) for _, wanted, _ in some)
        told = (str(number), namespace, device, str(_most(some)), str(size), expression([capture for _, _, capture in some]))
        yield f"capture {shlex.join(told)}\n"
    if sources:
        yield f"k=0; {'; '.join(f'opened {number}' for number in range(len(sources)))}\n"


def _lanes(actions: Sequence[Action]) -> Iterator[str]:
    """Give what has a process of its own, in lanes side by side, each one after the other."""
    lines = [f"e {number} {shlex.join(tool)}" for number, action in enumerate(actions) if (tool := _tool(number, action))]
    for lane in range(min(LANES, len(lines))):
        yield "{ " + "; ".join(lines[lane::LANES]) + '; } & l="$l $!"\n'


def _tool(number: int, action: Action) -> list[str]:
    found = _tool_of(number, action)
    namespace = "" if isinstance(action, Capture) else action.namespace
    return ["within", namespace, *found] if found and namespace else found


def _tool_of(number: int, action: Action) -> list[str]:
    if isinstance(action, Echo):
        return ["echo_", str(action.target), str(len(action.message) - 8), str(action.count), str(int(action.fragment))]
    if isinstance(action, Connect):
        return ["tcp_", str(action.target), str(action.port), str(ceil(action.seconds))]
    if isinstance(action, Series):
        return ["row_", str(action.target), str(action.count), f"{action.gap:g}", str(action.port), str(len(action.ports))]
    if isinstance(action, Datagram):
        return ["udp_", str(number), str(action.target), str(action.port), str(ceil(action.seconds / 2))]
    return ["cannot", "impossible: nothing there takes a lease"] if isinstance(action, Lease) else []


def _sending(actions: Sequence[Action], sources: Sources, nonce: str) -> Iterator[str]:
    """Give the frames and packets to the sender, one for each namespace."""
    groups: dict[str, list[tuple[int, Frames | Packets]]] = {}
    for number, action in enumerate(actions):
        if isinstance(action, (Frames, Packets)):
            groups.setdefault(action.namespace, []).append((number, action))
    if groups:
        yield _file(".pl", _text("sender.pl"), nonce)
    for at, (namespace, some) in enumerate(groups.items()):
        yield _file(f".s{at}", "\n".join(line for number, action in some for line in _asked(number, action, sources)), nonce)
        alike = "".join(_alike(number, action, sources) for number, action in some)
        yield f'alike{at}() {{ {alike}wait; }}\nsender {at} {shlex.quote(namespace)} "$stop" & l="$l $!"\n'


def _alike(number: int, action: Frames | Packets, sources: Sources) -> str:
    name, *rest = words(action, _heard(action, sources))
    return f"{name} {number} {shlex.join(rest)} & "


def _heard(action: Frames | Packets, sources: Sources) -> list[int]:
    """Give the numbers of what is captured at the device of an action."""
    where = (action.namespace, action.device) if isinstance(action, Frames) else None
    return [number for number, source in enumerate(sources) if source == where]


def _asked(number: int, action: Frames | Packets, sources: Sources) -> Iterator[str]:
    """Write one action for sender.pl. Most frames of a sweep are the same but for some bytes, which alone are written."""
    head, tail, middles = _shared([one.hex() for one in _frames(action)])
    if isinstance(action, Frames):
        unless = ",".join(f"{offset}:{text.hex()}" for offset, text in action.unless)
        about = ["device", action.device, action.at, action.gap, ",".join(map(str, _heard(action, sources))), unless]
    else:
        about = [action.target.version, action.target.packed.hex(), action.at, action.gap, "", ""]
    yield " ".join(["ask", str(number), *(str(word) or "-" for word in [*about, head, tail])])
    yield from (f"frame {middle}".rstrip() for middle in middles)


def _shared(texts: list[str]) -> tuple[str, str, list[str]]:
    """Give how all texts begin, how they end, and what is between: whole bytes in hexadecimal."""
    if not texts:
        return "", "", []
    head = _same(texts)
    tail = _same(["".join(reversed(text[head:])) for text in texts])
    return texts[0][:head], texts[0][len(texts[0]) - tail:], [text[head:len(text) - tail] for text in texts]


def _same(texts: list[str]) -> int:
    """Give how many digits all texts begin with alike, an even number."""
    shortest = min(map(len, texts))
    return next((at for at in range(0, shortest, 2) if len({text[at:at + 2] for text in texts}) > 1), shortest & ~1)


def _ending(seconds: float, nonce: str) -> str:
    return f"""\
[ -z "$l" ] || wait $l; l=
remain {round(seconds * 100)}
[ -z "$c" ] || {{ kill -TERM $c 2>/dev/null; wait $c; }}; c=
u; {{ part end; echo "$U"; }} >"$p-end"
echo '{MAGIC} {nonce}'
cat "$p"-[!c]* "$p"-c*.pcap 2>/dev/null | head -c {LIMIT}
trap '' HUP INT TERM; kill $w 2>/dev/null
exit 0
"""
