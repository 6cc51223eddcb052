"""What proves a failure, as text that may leave the machine: the command, its end and what it printed.

A report quotes a part and leaves secrets out; the record has everything as it came.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from netchecks import send
from netchecks.errors import Unreadable
from netchecks.facts import ask_key
from netchecks.packet_line import packet_line
from netchecks.probe import Got
from netchecks.record import Entry, Layout
from netchecks.world import Subject

#: Characters of one command's output that a report quotes; the record has all of it.
QUOTED = 4000
#: Characters that are looked through for secrets, and for the lines that matter, before the cut.
_LOOKED_THROUGH = 1 << 16
#: Packets of one capture that are told.
_PACKETS = 20

_WORD = r"(?:pass(?:word|wd|phrase)?|secret|token|api[ _-]?key|private[ _-]?key|pre-?shared[ _-]?key|psk|credentials?)"
_NAMED = re.compile(rf"(?i)\b([\w.-]*{_WORD}[\"']?\s*[:=]\s*[\"']?)(?![\s/\"'*])((?<=\")[^\"\n]+|(?<=')[^'\n]+|[^\s,;\"'}}\]]+)")
_OPTION = re.compile(rf"(?i)(--?{_WORD}[ =])(\S+)")
_HEADER = re.compile(r"(?i)(authorization:\s*\w+\s+)(\S+)")
_URL = re.compile(r"(\w://[^/\s:@]*:)([^@/\s]+)(?=@)")
_XFRM = re.compile(r"(?m)(^\s*(?:auth|auth-trunc|enc|aead|comp)\s+\S+\s+)(0x[0-9a-fA-F]+)")
_PEM = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)(.*?)(?=-----END|\Z)", re.DOTALL)
#: Escape sequences of terminals, then every control character but tab and line feed.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.?)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Evidence:
    """One command behind a failure.

    ``status`` is None where its kernel modules are absent. ``uptime``: when it started, in seconds of the node's
    uptime; ``seconds``: how long it took. ``stdout`` and ``stderr`` are clean, and longer than what is quoted.
    """

    fact: str
    subject: str
    place: str
    command: tuple[str, ...]
    status: int | None
    uptime: float
    seconds: float
    stdout: str
    stderr: str

    @property
    def cut(self) -> bool:
        """Whether a quotation leaves something out."""
        return max(len(self.stdout), len(self.stderr)) > QUOTED

    @property
    def title(self) -> str:
        """The command as a prompt shows it, without its deadline, in one line of at most 200 characters."""
        words = list(self.command)
        if "timeout" in words[:3]:  # our own, after sudo -n if at all: timeout -k 1 SECONDS
            at = words.index("timeout")
            del words[at:at + 4]
        text = " ".join(shlex.join(words).split())
        return f"{self.place}$ {text if len(text) <= 200 else text[:197] + '...'}"  # noqa: PLR2004 - two lines of a screen

    @property
    def short(self) -> str:
        """The same for a narrow screen: a script or a probe by what it tells, as nobody would type it."""
        if self.command[-2:] in {send.PYTHON, send.SHELL}:
            return f"{self.place}: packets sent for {self.subject}"
        if self.command[-1:] and ("sh", "-c") in zip(self.command, self.command[1:], strict=False):
            return f"{self.place}: {self.fact}, by a script (report.md has it)"
        return self.title

    @property
    def ending(self) -> str:
        """How the command ended."""
        end = "did not run: its kernel module is not loaded" if self.status is None else f"exit status {self.status}"
        return f"{end}, {self.seconds:.2f} s"


def quote(fact: str, subject: Subject, place: str, entry: Entry) -> Evidence:
    """Quote the command behind one fact of one subject, and the place where it ran."""
    stdout = _probe(entry, ask_key(fact, subject)) if entry.layout else _text(entry.stdout)
    stderr = _text(entry.stderr)
    return Evidence(
        fact, subject.name, place, tuple(clean(word) for word in entry.argv), entry.status,
        round(entry.started, 2), round(entry.ended - entry.started, 3), stdout, stderr,
    )


def text(evidence: Evidence) -> str:
    """Give one piece of evidence as a whole, for an attachment."""
    parts = [f"{evidence.fact} of {evidence.subject}", f"{evidence.title}\n({evidence.ending})", evidence.stdout[:QUOTED].rstrip()]
    if evidence.stderr.strip():
        parts.append(f"stderr:\n{evidence.stderr[:QUOTED].rstrip()}")
    if evidence.cut:
        parts.append("(cut here; the record has all of it)")
    return "\n".join(part for part in parts if part) + "\n"


def _text(data: bytes) -> str:
    return clean(data[:_LOOKED_THROUGH].decode("utf-8", "replace"))


def clean(value: str) -> str:
    r"""Take out secrets, and whatever a terminal, XML or JSON would stumble over: escapes, control characters, surrogates.

    >>> clean("psk=abc \x1b[31mred\x1b[0m")
    'psk=*** red'
    """
    value = value.encode("utf-8", "surrogatepass").decode("utf-8", "replace") if not value.isascii() else value
    value = _ESCAPES.sub("", value.replace("\r\n", "\n"))
    for pattern in (_NAMED, _OPTION, _HEADER, _URL, _XFRM, _PEM):
        value = pattern.sub(r"\1***", value)
    return value


@lru_cache(maxsize=16)
def _split(layout: Layout, stdout: bytes) -> dict[str, tuple[Got, ...]]:
    return send.split(layout, stdout).got


def _probe(entry: Entry, key: str) -> str:
    """Tell what the agent did for one ask: its answer for all of them is one long document."""
    try:
        got = _split(entry.layout, entry.stdout).get(key, ())
    except Unreadable:
        return _text(entry.stdout)
    actions = {row[0]: row[1] for row in entry.layout}.get(key, ())
    return clean("\n".join(_action(action, one) for action, one in zip(actions, got, strict=False)))


def _action(action: str, got: Got) -> str:
    what, _, device = action.partition(":")
    words = [f"{what} {device}".rstrip() + ":"]
    if what == "Capture":
        words.append(_counted(len(got.packets), "frame") + " seen" + (f", {got.dropped} dropped" if got.dropped else ""))
    else:
        words.append(f"{got.sent} sent" + (f", {got.outcome}" if got.outcome else ""))
    if got.error:
        words.append(f"({got.error})")
    return "\n".join([" ".join(words), *_packets(got.packets)])


def _packets(packets: Sequence[tuple[float, str, bool, bytes]]) -> list[str]:
    """Tell what came in before what went out: a probe knows what it sent, and a sweep sends hundreds."""
    ranked = sorted(range(len(packets)), key=lambda number: (packets[number][2], number))
    shown = [
        f"  {at:7.3f} s {device} {'out' if outgoing else 'in '} {packet_line(data)}"
        for at, device, outgoing, data in (packets[number] for number in sorted(ranked[:_PACKETS]))
    ]
    return [*shown, f"  and {len(packets) - _PACKETS} more"] if len(packets) > _PACKETS else shown


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
