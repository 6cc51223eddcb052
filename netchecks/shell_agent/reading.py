"""What the shell agent printed, as the document that the agent itself would have printed (netchecks/agent.py)."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from netchecks.shell_agent.building import MAGIC
from netchecks.shell_agent.captured import CANNOT, captures, lacking

#: Of timeout(1), that of busybox too.
_TIMED_OUT = (124, 137, 143)
_SENT = re.compile(r"^(\d+) packets transmitted", re.MULTILINE)
_TRIED = re.compile(r"^row (\d{1,4}) (\d{1,3})$", re.MULTILINE)
_BACK = re.compile(r"bytes from .*?[ :](?:icmp_)?seq=(\d{1,5})")
_MTU = re.compile(r"(?:from (\S+?):? .*)?mtu ?= ?(\d+)", re.IGNORECASE)
_ERRNO = re.compile(r"^error (\[Errno (\d+)\] .*)$")
#: What a node without python3 does not do; a capture is told apart.
_NOT_BY_SHELL = {"Capture": "", "Lease": "a lease is only taken where the node has python3"}
_DENIED = {"1", "13"}  # EPERM, EACCES
_TOO_BIG = ("message too long", "frag needed", "packet too big", "mtu=")
_UNREACHABLE = ("unreachable", "no route to host", "not permitted")


def is_ours(stdout: bytes) -> bool:
    """Tell whether the shell agent printed this."""
    return stdout.startswith(MAGIC.encode() + b" ")


def document(stdout: bytes) -> dict[str, Any]:
    """Give the agent's document. Raises what a damaged text makes Python raise: ValueError, KeyError and the like."""
    parts = _parts(stdout)
    job = json.loads(parts["job"].partition(b"\n")[0])
    began, clock = map(float, parts["t"].split())
    senders = [text.decode("utf-8", "replace") for name, text in parts.items() if name.startswith("s")]
    results = []
    for number, (kind, frames) in enumerate(job["actions"]):
        if kind in {"Frames", "Packets"}:
            results.append(_sending(number, frames, senders, began))
        else:
            results.append(_by_tool(number, kind, parts, began))
    return {"began": began, "ended": float(parts["end"]) - began, "results": results, "captures": captures(job, parts, began, clock)}


def _parts(stdout: bytes) -> dict[str, bytes]:
    """Split the stream into what each file of the script has, by name; its first line's other words come before its text."""
    first, _, rest = stdout.partition(b"\n")
    found: dict[str, bytes] = {}
    for chunk in (b"\n" + rest).split(b"\n" + first.rpartition(b" ")[2] + b" ")[1:]:
        line, _, text = chunk.partition(b"\n")
        name, _, words = line.decode().partition(" ")
        if name == "end" and words:  # of the action before it
            found[f"{list(found)[-1]} end"] = words.encode()
        else:
            found[name] = words.encode() + b"\n" + text if words else text
    return found


# -- what a tool did -------------------------------------------------------------------------------------------------


def _by_tool(number: int, kind: str, parts: Mapping[str, bytes], began: float) -> dict[str, Any]:
    """Read what came of an action that has a process of its own; of a capture nothing, as it is told apart."""
    if kind == "Capture" or f"a{number} end" not in parts:
        late = _NOT_BY_SHELL.get(kind, "its turn did not come in time")
        return {"outcome": "failed" if late else "", "error": late, "seconds": 0.0, "sent": 0}
    since, _, raw = parts[f"a{number}"].partition(b"\n")
    status, ended = parts[f"a{number} end"].split()
    result = {"seconds": round(float(ended) - float(since), 2), "error": ""}
    text, data = raw.decode("utf-8", "replace").strip(), parts.get(f"d{number}", b"")
    cannot = CANNOT.search(text)
    if cannot:
        return result | {"outcome": cannot[1], "error": lacking(cannot[1], cannot[2]), "sent": 0}
    if data:
        result["data"] = [round(float(ended) - began, 2), base64.b64encode(data).decode()]
    read = {"Echo": _echo, "Connect": _connection, "Datagram": _datagram, "Series": _row}[kind]
    return result | read(int(status), text, data)


def _echo(status: int, text: str, _data: bytes) -> dict[str, Any]:
    sent = sum(map(int, _SENT.findall(text)))
    outcome, error = ("answered", "") if status == 0 else _said(status, text)
    if outcome == "failed" and sent:
        outcome, error = "silent", ""
    return {"outcome": outcome, "error": error, "sent": sent}


def _connection(status: int, text: str, _data: bytes) -> dict[str, Any]:
    connected = status == 0 or "\n* Connected to " in text  # curl's words; it then waits for the other side
    outcome, error = ("answered", "") if connected else _said(status, text)
    return {"outcome": outcome, "error": error, "sent": 1}


def _datagram(status: int, text: str, data: bytes) -> dict[str, Any]:
    outcome, error = ("answered", "") if data or status == 0 else _said(status, text)
    return {"outcome": outcome, "error": error, "sent": text.count("one sent")}


def _row(status: int, text: str, _data: bytes) -> dict[str, Any]:
    """Read a row: pings by their numbers, connections by theirs, as nobody chose the ports that they were made from."""
    tried = sorted((int(number), int(ended)) for number, ended in _TRIED.findall(text))
    answered, numbers = [int(ended == 0) for _, ended in tried], [number for number, _ in tried]
    sent = len(tried) or sum(map(int, _SENT.findall(text)))
    if not tried:
        back = set(map(int, _BACK.findall(text)))
        answered = [int(number in back) for number in range(1, sent + 1)]
    if not sent:
        outcome, error = _said(status, text)
        return {"outcome": outcome, "error": error, "sent": 0}
    row = base64.b64encode(json.dumps([answered, numbers]).encode()).decode()
    return {"outcome": "sent", "error": "", "sent": sent, "data": [0.0, row]}


def _said(status: int, text: str) -> tuple[str, str]:
    """Say what a tool's words mean: those of the kernel, whatever the tool adds."""
    low = text.lower()
    if any(words in low for words in _TOO_BIG):
        found = _MTU.search(text)
        who, size = (found[1], f", mtu {found[2]}") if found else ("", "")
        return "too_big", f"Message too long (from {who or 'this machine'}{size})"
    if "refused" in low:
        return "refused", "Connection refused"
    line = next((line for line in text.splitlines() if any(words in line.lower() for words in _UNREACHABLE)), "")
    if line:
        return "unreachable", line.strip()
    if status in _TIMED_OUT or "timed out" in low or "Ncat: TIMEOUT" in text:
        return "silent", ""
    return "failed", (text.splitlines() or [f"exit status {status}"])[-1]


# -- what sender.pl did ----------------------------------------------------------------------------------------------


def _sending(number: int, frames: int, senders: list[str], began: float) -> dict[str, Any]:
    """Read what became of one action's frames."""
    lines = [line.partition(" ")[2] for text in senders for line in text.splitlines() if line.startswith(f"{number} ")]
    times = [round(float(line[3:]) - began, 2) for line in lines if line.startswith("at ")]
    outcome, error = _sent(lines, frames, senders)
    return {
        "outcome": outcome, "error": error, "seconds": round(times[-1] - times[0], 2) if times else 0.0, "sent": lines.count("ok"),
        "times": times,
    }


def _sent(lines: list[str], frames: int, senders: list[str]) -> tuple[str, str]:
    error = next((found for line in lines if (found := _ERRNO.match(line))), None)
    if error:
        before = not any(line.startswith("at ") for line in lines)
        return "denied" if before and error[2] in _DENIED else "failed", error[1]
    if "needless" in lines:
        return "not needed", ""
    if lines.count("ok") == frames:
        return "sent", ""
    cannot = next((found for line in lines if (found := CANNOT.match(line))), None)
    if cannot:
        return cannot[1], lacking(cannot[1], cannot[2])
    return ("silent", "ended by its own deadline") if lines else ("failed", " ".join(" ".join(senders).split())[-200:])
