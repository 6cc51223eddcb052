"""The POSIX shell script that looks at a node, and reading what it sends back.

Works with dash, bash 4 and busybox sh. One node, one connection, one script a trip: its commands run side by side in
lanes, each under ``timeout``, each with its own output files in one private folder, which goes in one stream.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

Phase = Literal["before", "main", "after", "alone"]
PHASES: tuple[Phase, ...] = ("before", "main", "after", "alone")

#: Commands at a time on one node (DESIGN section 10).
LANES = 4


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way to run a command: argv as it is typed, and the exit statuses that mean success.

    ``stdin``: what it reads instead of what its job does: a shell script that is told the trip's folder in ``$d``.
    """

    argv: tuple[str, ...]
    accept: tuple[int, ...] = (0,)
    stdin: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """One command of a script. ``key`` is stable between runs. ``stdin`` is what it reads, by default nothing.

    ``bare``: it runs without a script, as it stands (netchecks.one_by_one).
    """

    key: str
    ways: tuple[Alternative, ...]
    root: bool = False
    modules: tuple[str, ...] = ()
    seconds: float = 5.0
    limit: int = 4 * 1024 * 1024
    stdin: str = ""
    phase: Phase = "main"
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Ran:
    """What one job did. ``status`` is None where its kernel modules are absent. Seconds since the node's boot."""

    key: str
    phase: Phase
    way: int
    status: int | None
    started: float
    ended: float
    stdout: bytes
    stderr: bytes


_START = """\
export LC_ALL=C LANG=C
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"; export PATH
renice -n 5 -p $$ >/dev/null 2>&1; ionice -c 3 -p $$ >/dev/null 2>&1
echo "@N@ hello"
"""

# A trap alone does not fire when the ssh client dies: the script watches its own parent. `wait` is interruptible, a
# foreground child is not, so every command is a background one that its lane waits for and can kill; it leads a process
# group of its own, because busybox's timeout and kill end a shell and not what it started. That of coreutils makes one
# by itself, so that setsid is one program less to start for every command; sudo before it does not, and passes TERM on.
# The watcher begins before there are traps: a fork of bash has its parent's until it gets to its own, and would remove
# the folder when it is told to end that early. Where all of them end at once, as with the node itself or its container,
# nobody is left who could remove it: a later trip does, when it is a day old, longer than any run may take.
_HEAD = """\
(
umask 077
set -- "${TMPDIR:-/tmp}"/netchecks.??????????
[ ! -d "$1" ] || find "$@" -prune -type d -user "$(id -u)" -mmin +1440 -exec rm -rf {} + >/dev/null 2>&1
d=$(mktemp -d "${TMPDIR:-/tmp}/netchecks.XXXXXXXXXX") || { echo; echo "@N@ nodir"; echo "@N@ end"; exit; }
l=
printf '\\n@N@ err\\n' 2>/dev/null >"$d/sep"
( p=; trap 'kill $p; exit' HUP INT TERM
  while kill -0 "$PPID" || [ -d "/proc/$PPID" ]; do sleep 1 & p=$!; wait "$p"; done; kill -TERM 0 "$$" ) >/dev/null 2>&1 & w=$!
bye() { trap '' TERM; [ -z "$l$w" ] || kill $l $w 2>/dev/null; rm -rf "$d"; }
trap bye EXIT; trap 'exit 1' HUP INT TERM PIPE
g=; q=
case $(timeout --version 2>/dev/null) in *coreutils*) q=- ;; *) if command -v setsid >/dev/null; then g=setsid q=-; fi ;; esac
k() { [ -z "$p" ] || kill "-$1" "$q$p" 2>/dev/null || kill "-$1" "$p" 2>/dev/null; }
r() { b=$1; shift; $g "$@" >"$d/$i.o" 2>"$d/$i.e" <"$b" & p=$!; wait "$p"; s=$?; [ -z "$q" ] || kill -KILL "-$p" 2>/dev/null; p=; }
m() { [ ! -e /proc/modules ] || [ -d "/sys/module/$1" ] || grep -qs "/$1\\.ko" "/lib/modules/$(uname -r)/modules.builtin"; }
t() { read -r u _ </proc/uptime; }
"""

_LANE = """\
lane() { trap - EXIT; trap 'trap "" HUP INT TERM; k TERM; sleep 1; k KILL; exit' HUP INT TERM; ulimit -S -f @BLOCKS@; set -C; p=
for i in @NUMBERS@; do
{ true >"$d/$i.l"; } 2>/dev/null || continue
set +C; t; a=$u; y=0
case $i in
@CASES@
esac
t; printf '\\n@N@ %s %s %s %s %s\\n' "$i" "$y" "$s" "$a" "$u" >"$d/$i.h"; set -C
done; }
for k in @LANES@; do lane & l="$l $!"; done
wait $l; l=
"""

_TAIL = """\
kill "$w" 2>/dev/null; w=
set --; i=0
while [ "$i" -lt @COUNT@ ]; do [ ! -s "$d/$i.h" ] || set -- "$@" "$d/$i.h" "$d/$i.o" "$d/sep" "$d/$i.e"; i=$((i+1)); done
{ echo >"$d/room"; } 2>/dev/null
if [ -s "$d/sep" ] && [ -s "$d/room" ]; then cat "$@" /dev/null; else echo; echo "@N@ full"; fi
printf '\\n@N@ end\\n'
)
"""


def start(nonce: str) -> str:
    """Give the lines that make ready the shell, once for a connection."""
    return _START.replace("@N@", nonce)


def trip(jobs: Sequence[Job], nonce: str, *, sudo: bool) -> str:
    """Give one trip's block. The shell runs it as soon as it has all of it, so a cut connection runs nothing."""
    parts = [_HEAD, *(text for number, job in enumerate(jobs) for text in _stdin(number, job, nonce))]
    for phase in PHASES:
        numbered = [(number, job) for number, job in enumerate(jobs) if job.phase == phase]
        if numbered:
            parts.append(_lanes(numbered, sudo=sudo))
    parts.append(_TAIL.replace("@COUNT@", str(len(jobs))))
    return "".join(parts).replace("@N@", nonce)


def _stdin(number: int, job: Job, nonce: str) -> Iterator[str]:
    if job.stdin:
        yield f"cat >\"$d/{number}.i\" <<'{nonce}'\n{job.stdin}\n{nonce}\n"
    for way, alternative in enumerate(job.ways):
        if alternative.stdin:
            told = "printf \"d='%s'\\n\" \"$d\"; cat"
            yield f"{{ {told}; }} >\"$d/{number}.{way}.i\" <<'{nonce}'\n{alternative.stdin}\n{nonce}\n"


def _lanes(numbered: Sequence[tuple[int, Job]], *, sudo: bool) -> str:
    limit = max(job.limit for _, job in numbered)
    cases = "\n".join(f"{number}) {_case(number, job, sudo=sudo)} ;;" for number, job in numbered)
    lanes = " ".join(str(lane) for lane in range(min(LANES, len(numbered))))
    numbers = " ".join(str(number) for number, _ in numbered)
    text = _LANE.replace("@BLOCKS@", str(limit // 512)).replace("@NUMBERS@", numbers).replace("@LANES@", lanes)
    return text.replace("@CASES@", cases)


def _case(number: int, job: Job, *, sudo: bool) -> str:
    tries = []
    for way, alternative in enumerate(job.ways):
        source = f'"$d/{number}.{way}.i"' if alternative.stdin else f'"$d/{number}.i"' if job.stdin else "/dev/null"
        run = f"y={way}; r {source} {shlex.join(command_line(job, alternative, sudo=sudo))}"
        # what timed out will time out again: 124, busybox's 143, 137 after the kill
        good = "|".join(str(status) for status in (*alternative.accept, 124, 137, 143))
        tries.append(f"{run}; case $s in {good}) ;; *)")
    text = " ".join([*tries[:-1], tries[-1].rpartition("; case ")[0]]) + "; ;; esac" * (len(tries) - 1)
    if job.modules:
        guard = " && ".join(f"m {shlex.quote(module)}" for module in job.modules)
        text = f'if {guard}; then {text}; else : >"$d/$i.o"; : >"$d/$i.e"; s=absent; fi'
    return text


def command_line(job: Job, way: Alternative, *, sudo: bool) -> list[str]:
    """Give the whole command line of one way of a job, as ``netchecks commands`` prints it."""
    if job.bare:
        return list(way.argv)
    seconds = f"{job.seconds:g}"
    return [*(["sudo", "-n"] if sudo and job.root else []), "timeout", "-k", "1", seconds, *way.argv]


class Broken(ValueError):
    """The stream does not hold what the script sends. ``cause``: the stable code of why."""

    def __init__(self, message: str, cause: str = "node.answer_cut_off") -> None:
        super().__init__(message)
        self.cause = cause


#: What the script says instead of an answer where it cannot keep what its commands print.
_NO_FOLDER = {
    b"nodir": "no temporary folder could be made (is the disk full or read-only?)",
    b"full": "the file system of the temporary folder is full",
}


def read(stream: bytes, jobs: Sequence[Job], nonce: str) -> list[Ran]:
    """Read one trip's stream. Raises Broken where it is cut or not ours; says what is missing."""
    mark = f"\n{nonce} ".encode()
    chunks = (b"\n" + stream).split(mark)[1:]
    if not chunks or chunks.pop().strip() != b"end":
        raise Broken("the answer was cut off")
    first = chunks[0].strip() if chunks else b""
    if first in _NO_FOLDER:
        raise Broken(_NO_FOLDER[first], "node.no_temporary_folder")
    if len(chunks) % 2:
        raise Broken("the answer was cut off")
    return [_ran(head, error, jobs) for head, error in zip(chunks[::2], chunks[1::2], strict=True)]


def _ran(head: bytes, error: bytes, jobs: Sequence[Job]) -> Ran:
    line, _, stdout = head.partition(b"\n")
    kind, _, stderr = error.partition(b"\n")
    fields = line.decode("ascii", "replace").split()
    if kind != b"err" or len(fields) != 5:  # noqa: PLR2004 - number, way, status, started, ended
        raise Broken(f"unexpected line {line[:80]!r}")
    try:
        number, way = int(fields[0]), int(fields[1])
        status = None if fields[2] == "absent" else int(fields[2])
        started, ended = float(fields[3]), float(fields[4])
    except ValueError as wrong:
        raise Broken(f"unexpected line {line[:80]!r}") from wrong
    if number not in range(len(jobs)) or way not in range(len(jobs[number].ways)) or not isfinite(started + ended):
        raise Broken(f"unexpected line {line[:80]!r}")
    return Ran(jobs[number].key, jobs[number].phase, way, status, started, ended, stdout, stderr)
