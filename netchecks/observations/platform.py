"""The platform's own way to its nodes, from where the platform runs: its container, a namespace, another host."""

from __future__ import annotations

import re
from typing import Literal

from netchecks.errors import Unreadable
from netchecks.models.services import Knock
from netchecks.models.subjects import Access
from netchecks.models.table import Table
from netchecks.observe import observation
from netchecks.parsing import lines, number

#: Runs in the container with what a container has: Python, bash, any nc, or ssh alone. One connection to each target, all at
#: once, each at most about five seconds; the first line that comes is the greeting (RFC 4253 section 4.2). Nobody logs in.
_INSIDE = r"""
t=; command -v timeout >/dev/null 2>&1 && t="timeout 6"
has() { command -v "$1" >/dev/null 2>&1; }
p='import socket,sys
try:
 s=socket.create_connection((sys.argv[1],int(sys.argv[2])),4);s.settimeout(4);print(s.recv(255).decode("latin-1") or "closed")
except Exception as e: print(e)'
b='exec 3<>"/dev/tcp/$0/$1" && { IFS= read -r -t 4 l <&3; echo "${l:-closed}"; }'
if has python3; then w=python3; try() { $t python3 -c "$p" "$1" "$2"; }
elif has python; then w=python; try() { $t python -c "$p" "$1" "$2"; }
elif has bash; then w=bash; try() { $t bash -c "$b" "$1" "$2"; }
elif has nc; then w=nc; v=-v; case $(nc -h 2>&1) in *[bB]usy[bB]ox*) v= ;; esac; try() { $t nc $v -w 4 "$1" "$2" </dev/null; }
elif has ssh; then w=ssh
  try() {
    $t ssh -p "$2" -o BatchMode=yes -o ConnectTimeout=4 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
      -o PreferredAuthentications=none -o LogLevel=ERROR "$1" true
  }
else echo @none; exit; fi
echo "@with $w"
one() {
  o=$(try "$1" "$2" 2>&1); s=$?
  printf '%s %s %s %s\n' "$1" "$2" "$s" "$(printf '%s' "$o" | tr -cd ' -~\n' | tr '\n' ' ' | cut -c1-300)"
}
while [ $# -gt 1 ]; do one "$1" "$2" & shift 2; done
wait
echo @end
"""

#: ``$1``: how many words the prefix has; then these, then the targets. What starts the container's command says comes before.
_SCRIPT = r"""
n=$1; shift; i=0
inside='""" + _INSIDE.replace("'", "'\\''") + r"""'
if [ "$n" = 0 ]; then sh -c "$inside" sh "$@"; exit; fi
for w; do
  [ "$i" != 0 ] || set --
  i=$((i+1)); set -- "$@" "$w"
  [ "$i" != "$n" ] || set -- "$@" sh -c "$inside" sh
done
o=$("$@" 2>&1); s=$?
case $o in
  *@with*|*@none*) printf '%s\n' "$o" ;;
  *) printf '@refused %s %s\n@end\n' "$s" "$(printf '%s' "$o" | tr '\n' ' ' | cut -c1-300)" ;;
esac
"""

_TIMEOUTS = frozenset({124, 143, 137})


@observation("{access.words}", of=Access, shell=_SCRIPT, tool="sh", root=True, seconds=12.0)
def platform_knocks(text: str) -> Table[Knock]:
    """What answers at the SSH port of nodes, asked from inside the platform, by ``ADDRESS PORT``; nobody logs in.

    Source: RFC 4253 section 4.2; the errors are connect(2)'s, in the words of Python, bash, nc (three of them) and ssh.
    """
    found = lines(text)
    if not found or found[-1] not in {"@end", "@none"}:
        raise Unreadable("'@end' at the end", text[-100:])
    if found[-1] == "@none":
        return Table("target", {"": Knock("no_tool", "neither python3, bash, nc nor ssh is installed there")})
    if found[0].startswith("@refused "):
        return Table("target", {"": Knock("not_entered", " ".join(found[0].split()[2:]))})
    known = [_knock(line) for line in found[:-1] if not line.startswith("@with ")]
    return Table("target", dict(known))


#: What the nc's say of themselves with -v, besides what the other end says.
_CHATTER = re.compile(
    r"Ncat: Version [0-9.]+ \( \S+ \) ?|Ncat: Connected to \S+ ?|Ncat: [0-9]+ bytes sent, [0-9]+ bytes received in [0-9.]+ seconds\. ?|"
    r"Connection to \S+ [0-9]+ port \[\S+\] succeeded! ?|\S+ \[\S+\] [0-9]+ \(\S+\) open ?",
)
_LINE = re.compile(r"(\S+) ([0-9]{1,5}) ([0-9]{1,3}) ?(.*)")
Outcome = Literal["ssh", "refused", "timed_out", "no_route", "name_unknown", "not_ssh", "closed", "failed"]

#: The first of these that is in the text says what came of it.
_SAYS: tuple[tuple[str, Outcome], ...] = (
    (r"SSH-[0-9]", "ssh"), (r"permission denied|host key verification|too many authentication", "ssh"),
    (r"refused", "refused"), (r"resol|name or service|getaddrinfo|unknown host|bad address|nodename|name does not", "name_unknown"),
    (r"no route|unreachable|not permitted|invalid argument", "no_route"), (r"timed? ?out|in progress", "timed_out"),
    (r"^closed|reset|kex_exchange|banner exchange|connection closed|closed by", "closed"),
)


def _knock(line: str) -> tuple[str, Knock]:
    match = _LINE.fullmatch(line)
    if not match:
        raise Unreadable("'10.0.0.1 22 0 SSH-2.0-OpenSSH_9.2'", line)
    said, status = _CHATTER.sub("", match[4]).strip(), number(match[3])
    outcome = next((outcome for pattern, outcome in _SAYS if re.search(pattern, said, re.IGNORECASE)), None)
    if outcome is None:
        outcome = "timed_out" if status in _TIMEOUTS else "failed" if status else "not_ssh" if said else "closed"
    return f"{match[1]} {match[2]}", Knock(outcome, said)
