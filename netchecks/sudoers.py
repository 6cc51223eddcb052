"""The sudoers lines that let netchecks run what needs root, and nothing else, where that can be said.

A command with fixed arguments is allowed with exactly these arguments. ``python3 -`` runs what it is sent, and a shell
is a shell: those are named for what they are, root, in an alias of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from netchecks import send
from netchecks.models.subjects import Node
from netchecks.script import Job

#: sudo compares the whole path; this is timeout's on every Linux that has coreutils or busybox in /usr/bin.
TIMEOUT = "/usr/bin/timeout"
#: What ends or changes a word of a command's arguments, and what is a pattern there (sudoers(5), "Wildcards").
_SPECIAL = re.compile(r"([,:=\\# \t])")
_GLOB = re.compile(r"([*?\[\]!^\\])")
#: Commands that run whatever they are given (TRAPS: sudo for these is root).
_SHELLS = frozenset({"sh", "bash", "python3", "ip", "nsenter", "docker", "podman", "tcpdump", "env", "awk"})


@dataclass(frozen=True, slots=True)
class Allowed:
    """One command of an alias. ``root``: it gives all that root can do, and why."""

    text: str
    root: str = ""


def render(nodes: Iterable[tuple[Node, Sequence[Job]]]) -> str:
    """Give one file for all nodes; those that need the same share its lines."""
    groups: dict[tuple[str, tuple[Allowed, ...]], list[Node]] = {}
    without: list[Node] = []
    for node, jobs in nodes:
        allowed = tuple(dict.fromkeys(one for job in jobs for one in _allowed(job)))
        if node.connection.sudo and allowed:
            groups.setdefault((node.connection.user, allowed), []).append(node)
        else:
            without.append(node)
    return "\n".join([*_head(without), *(line for number, group in enumerate(groups.items(), 1) for line in _group(number, *group))])


def _head(without: Sequence[Node]) -> Iterator[str]:
    yield "# Made by netchecks commands --sudoers. Check with visudo -cf, install below /etc/sudoers.d with mode 0440."
    yield f"# Where command -v timeout does not say {TIMEOUT} on the node, put what it says. secure_path has to hold /usr/sbin and /sbin."
    if without:
        yield f"# No sudo is used at: {', '.join(map(str, without))}"


def _group(number: int, who: tuple[str, tuple[Allowed, ...]], nodes: Sequence[Node]) -> Iterator[str]:
    user, allowed = who
    exact, root = [one for one in allowed if not one.root], [one for one in allowed if one.root]
    yield ""
    yield f"# {', '.join(map(str, nodes))}"
    names = []
    if exact:
        names.append(f"NETCHECKS_{number}")
        yield from _alias(names[-1], exact)
    if root:
        names.append(f"NETCHECKS_ROOT_{number}")
        yield "# WARNING: each of these IS root for whoever may run it:"
        yield from (f"#   {reason}" for reason in dict.fromkeys(one.root for one in root))
        yield "# Without them their checks are unknown, the others are as they are."
        yield from _alias(names[-1], root)
    if not user:
        yield "# The inventory names no user: put the one that ssh logs in as for YOUR_USER."
    yield f"{_word(user) if user else 'YOUR_USER'} ALL=(root) NOPASSWD: {', '.join(names)}"


def _alias(name: str, allowed: Sequence[Allowed]) -> Iterator[str]:
    joined = ", \\\n    ".join(one.text for one in allowed)
    yield f"Cmnd_Alias {name} = \\\n    {joined}"


def _allowed(job: Job) -> Iterator[Allowed]:
    if job.key == send.KEY:
        yield Allowed(f"{TIMEOUT} -k 1 * python3 -", "python3 -: runs the program that it is sent, the probes' agent")
        return
    for way in job.ways:
        words = " ".join(_word(word) for word in ("-k", "1", f"{job.seconds:g}", *way.argv))
        yield Allowed(f"{TIMEOUT} {words}", _why_root(way.argv))


def _why_root(argv: Sequence[str]) -> str:
    if argv[:2] == ("sh", "-c") and "\n" not in argv[2]:
        return ""  # a constant script of one line, compared as a whole
    if argv[:2] == ("sh", "-c"):
        return f"sh -c: a shell; its script is fixed but for its line ends ({_first_line(argv[2])} ...)"
    if argv[0] == "ip" and "exec" in argv:
        return "ip netns exec: runs any command"
    return f"{argv[0]}: can run other programs" if argv[0] in _SHELLS - {"ip"} else ""


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")[:60]


def _word(text: str) -> str:
    """Write one argument so that sudo takes it literally; a line end, which it has no way to write, as any one character."""
    literal = _SPECIAL.sub(r"\\\1", _GLOB.sub(r"\\\1", text)) if "\\" not in text else _with_backslashes(text)
    return literal.replace("\n", "?") or '""'


def _with_backslashes(text: str) -> str:
    return "".join(
        "\\\\\\\\" if char == "\\" else f"\\{char}" if _SPECIAL.match(char) or _GLOB.match(char) else char for char in text
    )
