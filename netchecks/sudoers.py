"""The sudoers lines that let netchecks run what needs root, and nothing else, where that can be said.

A command is allowed with exactly its arguments. A script of ours is one argument of ``sh -c`` and is compared as a
whole; they have an alias of their own, because whoever reads the file has to read them. ``python3 -`` and ``sh -s`` run
what they are sent: they are root, and are named so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from netchecks import send
from netchecks.models.subjects import Place
from netchecks.script import Job

#: sudo compares the whole path; this is timeout's on every Linux that has coreutils or busybox in /usr/bin.
TIMEOUT = "/usr/bin/timeout"
#: What ends or changes a word of a command's arguments (sudoers(5), "Sudoers file format"), and what is a pattern there.
_SPECIAL = frozenset(",:=#\t*?[]!^")
#: sudoers has no way to write a line end in an argument; of a class of characters it is the smallest that has it.
_LINE_END = r"[[\:cntrl\:]]"
#: Commands that run whatever they are told to (TRAPS, "Sending": sudo for these is root).
_RUN_ANYTHING = frozenset({"bash", "python3", "nsenter", "docker", "podman", "tcpdump", "env", "awk", "find", "xargs"})


@dataclass(frozen=True, slots=True)
class Allowed:
    """One command of an alias. ``alias``: what kind it is. ``remark``: what whoever reads the file has to know of it."""

    text: str
    alias: str = "NETCHECKS"
    remark: str = ""


#: What is said of each kind of command.
_ALIASES = {
    "NETCHECKS": (),
    "NETCHECKS_SCRIPTS": (
        "# Scripts that only read, each compared as a whole (a line end as any control character):",
    ),
    "NETCHECKS_ROOT": (
        "# WARNING: each of these IS root for whoever may run it. Without them (take the alias out of the last line)",
        "# what they are for is unknown, and everything else is as it was:",
    ),
}


def render(nodes: Iterable[tuple[Place, Sequence[Job]]]) -> str:
    """Give one file for all nodes; those that need the same share its lines."""
    groups: dict[tuple[str, tuple[Allowed, ...]], list[Place]] = {}
    without: list[Place] = []
    for node, jobs in nodes:
        allowed = tuple(dict.fromkeys(one for job in jobs for one in _allowed(job)))
        if node.connection.sudo and allowed:
            groups.setdefault((node.connection.user, allowed), []).append(node)
        else:
            without.append(node)
    return "\n".join([*_head(without), *(line for number, group in enumerate(groups.items(), 1) for line in _group(number, *group))])


def _head(without: Sequence[Place]) -> Iterator[str]:
    yield "# Made by netchecks commands --sudoers. Check with visudo -cf, install below /etc/sudoers.d with mode 0440."
    yield f"# Where command -v timeout does not say {TIMEOUT} on the node, put what it says. secure_path has to hold /usr/sbin and /sbin."
    if without:
        yield f"# No sudo is used at: {', '.join(map(str, without))}"


def _group(number: int, who: tuple[str, tuple[Allowed, ...]], nodes: Sequence[Place]) -> Iterator[str]:
    user, allowed = who
    yield ""
    yield f"# {', '.join(map(str, nodes))}"
    names = []
    for alias, said in _ALIASES.items():
        mine = [one for one in allowed if one.alias == alias]
        if mine:
            names.append(f"{alias}_{number}")
            yield from said
            yield from (f"#   {remark}" for remark in dict.fromkeys(one.remark for one in mine) if remark)
            yield f"Cmnd_Alias {names[-1]} = \\\n    " + ", \\\n    ".join(one.text for one in mine)
    if not user:
        yield "# The inventory names no user: put the one that ssh logs in as for YOUR_USER."
    yield f"{_user(user) if user else 'YOUR_USER'} ALL=(root) NOPASSWD: {', '.join(names)}"


def _allowed(job: Job) -> Iterator[Allowed]:
    if job.key == send.KEY:
        for argv, what in ((send.PYTHON, "the probes' agent"), (send.SHELL, "what does the agent's work without python3")):
            line = " ".join(argv)
            yield Allowed(f"{TIMEOUT} -k 1 * {line}", "NETCHECKS_ROOT", f"{line}: runs the program that it is sent, {what}")
        return
    for way in job.ways:
        words = _arguments(("-k", "1", f"{job.seconds:g}", *way.argv))
        yield Allowed(f"{TIMEOUT} {words}", *_kind(way.argv))


def _kind(argv: Sequence[str]) -> tuple[str, str]:
    if argv[0] in _RUN_ANYTHING or (argv[0] == "ip" and "exec" in argv):
        return "NETCHECKS_ROOT", f"{argv[0]}: can run any program"
    if tuple(argv[:2]) == ("sh", "-c"):
        return "NETCHECKS_SCRIPTS", f"sh -c: {_first_lines(argv[2])}"
    return "NETCHECKS", ""


def _first_lines(text: str) -> str:
    joined = " / ".join(line.strip() for line in text.splitlines() if line.strip())
    return joined if len(joined) <= 100 else joined[:97] + "..."  # noqa: PLR2004 - one line of a screen


def _user(name: str) -> str:
    """Write a user's name; sudoers(5): anything unusual goes into double quotes."""
    plain = name.translate(str.maketrans("", "", "-_.")).isalnum()
    return name if plain else '"' + name.replace('"', '\\"') + '"'


def _arguments(argv: Sequence[str]) -> str:
    """Write arguments so that sudo takes them literally.

    sudo joins what it is given with spaces and matches the whole with fnmatch(3), so a backslash is escaped for both.
    """
    text = " ".join(argv)
    return "".join(_character(char, text[at - 1:at], text[at + 1:at + 2]) for at, char in enumerate(text))


def _character(char: str, before: str, after: str) -> str:
    if char == "\n":
        return _LINE_END
    if char == "\\":
        return "\\" * 4
    if char == " ":  # of several spaces in a row sudo would read one
        return " " if before.strip() and after.strip() else "\\ "
    return f"\\{char}" if char in _SPECIAL else char
