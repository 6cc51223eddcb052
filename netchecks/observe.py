"""Declaring an observation: a command and the pure function that reads what it prints."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from netchecks.models.subjects import Node, Place
from netchecks.script import Phase

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Command:
    """What runs at a place. Tokens may hold ``{subject.attribute}``: filled in after splitting, so never shell.

    ``shell``: a constant script for ``sh -c``, with the other tokens as its ``$1``, ``$2`` ...
    ``tool``: what has to be installed, else NotSeen("not installed"). ``accept``: exit statuses that mean success.
    """

    argv: tuple[str, ...]
    shell: str = ""
    tool: str = ""
    accept: tuple[int, ...] = (0,)


#: A command and the function that reads what it prints.
Way: TypeAlias = tuple[Command, Callable[[str], Any]]


@dataclass(frozen=True, slots=True)
class Observation:
    """One fact: how to see it and how to read it. The declaration is its only registration."""

    name: str
    of: type
    command: Command
    parse: Callable[[str], Any]
    inside: bool = False
    or_else: tuple[Way, ...] = ()
    windows: tuple[Way, ...] = ()
    root: bool = False
    modules: tuple[str, ...] = ()
    counter: bool = False
    late: bool = False
    alone: bool = False
    at: Callable[[Any], tuple[Place, ...]] | None = None
    seconds: float = 5.0
    limit: int = 4 * 1024 * 1024
    doc: str = ""

    def ways(self, system: str = "") -> tuple[Way, ...]:
        """Give how to see it on such a system, in turn; ``windows`` or, by default, any Unix. Empty: it cannot be seen there."""
        return self.windows if system == "windows" else ((self.command, self.parse), *self.or_else)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """When its command runs: ``main`` in the trip for facts, ``alone`` in a trip of its own, the others in that with the probes."""
        if self.alone:
            return ("alone",)
        return ("before", "after") if self.counter else ("after",) if self.late else ("main",)


#: Every observation by name; filled by importing netchecks.observations.
OBSERVATIONS: dict[str, Observation] = {}


def command(text: str = "", *, shell: str = "", tool: str = "", accept: tuple[int, ...] = (0,)) -> Command:
    """Make a command from its text (split as a shell would, no expansion) or from a constant shell script."""
    argv = tuple(shlex.split(text))
    return Command(argv, shell, tool or (argv[0] if argv and not shell else ""), accept)


def command_line(text: str, *, tool: str, accept: tuple[int, ...] = (0,)) -> Command:
    """Make a command of Windows: a line as it is typed at cmd.exe, where only numbers and addresses may be filled in."""
    return Command(tuple(text.split(" ")), "", tool, accept)


def powershell_line(text: str) -> Command:
    """Make a command of Windows from PowerShell's own language; what it gives comes as JSON in UTF-8."""
    script = f"[Console]::OutputEncoding=[Text.Encoding]::UTF8; {text}|ConvertTo-Json"
    return command_line(f'powershell -NoProfile -NonInteractive -Command "{script}"', tool="powershell")


def observation(  # noqa: PLR0913 - one keyword for each property of DESIGN section 4
    text: str = "",
    *,
    of: type = Node,
    inside: bool = False,
    shell: str = "",
    tool: str = "",
    accept: tuple[int, ...] = (0,),
    or_else: tuple[Way, ...] = (),
    windows: tuple[Way, ...] = (),
    root: bool = False,
    modules: tuple[str, ...] = (),
    counter: bool = False,
    late: bool = False,
    alone: bool = False,
    at: Callable[[Any], tuple[Place, ...]] | None = None,
    seconds: float = 5.0,
    limit: int = 4 * 1024 * 1024,
) -> Callable[[Callable[[str], T]], Callable[[str], T]]:
    """Declare the decorated parser as the fact of its own name.

    ``inside``: the command runs inside the VM that its subject is or belongs to, not on the VM's node.
    ``or_else``: further (command, parser) pairs for the same value, tried in turn on the node when the one before
    exits with a status that is not accepted (an old tool). ``windows``: the pairs for guests with ``os: windows``, each a
    whole command line of cmd.exe. ``root``: needs privileges (sudo -n where configured).
    ``modules``: kernel modules without which there is nothing to see and which reading would load: the command
    does not run then and the parser gets the empty string. ``counter``: read before and after the probes.
    ``late``: read after the probes only: what they leave (learned MACs, rule counters) shows then.
    ``alone``: runs when the whole run has nothing else left to look at, at the same time as the subject's other observations
    that are alone, and as nothing else. ``at``: where it runs, instead of at its subject's node; nowhere where that is empty.
    ``seconds``: the command's deadline. ``limit``: bytes of output, more is NotSeen("truncated").
    """

    def declare(parse: Callable[[str], T]) -> Callable[[str], T]:
        OBSERVATIONS[parse.__name__] = Observation(
            parse.__name__, of, command(text, shell=shell, tool=tool, accept=accept), parse,
            inside, or_else, windows, root, modules, counter, late, alone, at, seconds, limit, parse.__doc__ or "",
        )
        return parse

    return declare
