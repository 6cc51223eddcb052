"""What each resolver of a guest answers, asked inside it: ``dig``, ``nslookup`` of BIND or busybox, ``host``; names and reverse.

Where a guest has none of them and one resolver, ``ping`` tells whether a name becomes an address, and of a name that does not no reason.
"""

from __future__ import annotations

import re

from netchecks.errors import Unreadable
from netchecks.models.answers import UNTOLD, NameAnswer
from netchecks.models.subjects import Address, Interface
from netchecks.observe import observation
from netchecks.parsing import address, blocks, decimal

#: Each of the first three name servers, as the C library asks no more (resolv.conf(5)); all questions at the same time.
#:
#: ``limited``: timeout(1), of busybox before 1.30 with ``-t``; some guests have none, where a sleep of 4 s may outlive the script.
#: ``elsewhere``: ping asks the C library, which may know a name without the resolver (nsswitch.conf(5), hosts(5), nss-myhostname(8));
#: where it may know all of them ping is no tool for this.
#:
#: An answer is printed as one line: bash writes each by itself, and those of answers that come at the same time would mix.
_SCRIPT = r"""
if timeout 4 true 2>/dev/null; then limited() { timeout 4 "$@"; }
elif timeout -t 4 true 2>/dev/null; then limited() { timeout -t 4 "$@"; }
else limited() {
  "$@" & p=$!
  ( sleep 4; kill $p ) </dev/null >/dev/null 2>&1 & w=$!
  wait $p 2>/dev/null; c=$?
  kill $w 2>/dev/null
  return $c
}; fi
is_address() { case $1 in *:*) ;; *[!0-9.]*) return 1 ;; esac; }
elsewhere() {
  d=
  for k in ${nss:-dns}; do
    case $k in dns) d=1 ;; files|myhostname) ;; resolve|mdns*_minimal) case $1 in *.local) return 0 ;; esac ;; *) return 0 ;; esac
  done
  [ "$d" ] && [ "$1" != "$(cat /proc/sys/kernel/hostname)" ] || return 0
  sed 's/#.*//; s/[[:space:]]\{1,\}/ /g; s/$/ /' /etc/hosts 2>/dev/null | grep -qiF " $1 "
}
servers=$(sed -n 's/^[[:space:]]*nameserver[[:space:]]\{1,\}\([0-9a-fA-F:.]\{1,\}\).*/\1/p' /etc/resolv.conf | head -n 3)
nss=$(sed -n 's/#.*//; s/\[[^]]*\]//g; s/^[[:space:]]*hosts://p' /etc/nsswitch.conf 2>/dev/null)
tool=$(command -v dig || command -v nslookup || command -v host) ||
  { [ "$(echo $servers | wc -w)" = 1 ] && tool=$(command -v ping); } || exit 127
case $tool in *ping)
  u=
  for n in "$@"; do
    shift
    if is_address "$n"; then :; elif elsewhere "$n"; then u=1; else set -- "$@" "$n"; fi
  done
  [ "$#$u" != 01 ] || exit 127 ;;
esac
for s in $servers; do
  for n in "$@"; do
    ( x=; ! is_address "$n" || x=-x
      read -r b _ </proc/uptime
      case $tool in
        *dig) o=$(dig +time=4 +tries=1 +noall +comments +answer "@$s" $x "$n" 2>&1); r=$? ;;
        *nslookup) o=$(limited nslookup "$n" "$s" 2>&1); r=$? ;;
        *host) t="-t A"; [ -z "$x" ] || t=; o=$(limited host -R 1 -W 3 $t "$n" "$s" 2>&1); r=$? ;;
        *) LC_ALL=C; export LC_ALL; o=$(limited ping -c 1 -W 1 "$n" 2>&1); r=$? ;;
      esac
      read -r e _ </proc/uptime
      o=$(printf '@ %s %s %s %s %s\n%s' "$s" "$n" "$b" "$e" "$r" "$o" | tr '\n' '\037')
      printf '%s\n' "$o" ) &
  done
done
wait
echo @end
"""
#: What stands for the ends of an answer's lines.
_BREAK = "\x1f"
#: Exit statuses of a shell that could not run the tool.
_NOT_RUN = frozenset({"126", "127"})
#: RFC 1035 section 4.1.1; the words are those of both tools.
_CODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}
_CODE = re.compile(r"status: ([A-Z]+)|(?:can't find|server failed|find) [^\n]{0,300}?: ([A-Z]+)|not found: [0-9]{1,2}\(([A-Z]+)\)")
#: ``Terminated`` is a shell's word: busybox's timeout is the tool itself, and ends with it.
_SILENT = re.compile(r"timed out|no servers could be reached|no response from server|Terminated\b")
_REFUSED = re.compile(r"[Cc]onnection refused|host unreachable|[Nn]etwork (?:is )?unreachable|No route to host")
#: Whom nslookup and host ask: no part of the answer.
_HEADER = re.compile(r"(?m)^(?:Server:|Using domain server:\nName:).*\nAddress:.*\n?")
#: ``gw.lab.test. 0 IN A 10.20.0.1`` of dig; ``Address: 10.20.0.1`` and ``x name = y`` of nslookup; ``x has address 10.20.0.1`` and
#: ``x domain name pointer y`` of host.
_RECORD = re.compile(
    r"(?m)^(?:\S+\s+[0-9]+\s+IN\s+(?:A|AAAA|PTR)\s+(\S+)|Address(?: [0-9]+)?:\s+([0-9a-fA-F:.]+)(?: .*)?|\S+\s+name = (\S+)"
    r"|\S+ has (?:IPv6 )?address (\S+)|\S+ domain name pointer (\S+))$",
)
#: What ping says, and no other of these tools; iputils before 2016 begins not all of it with its name.
_OF_PING = re.compile(r"(?m)^(?:PING |ping6?: |busybox: |connect: )")
#: ``PING openstack.org (174.143.194.225): 56 data bytes``: it was resolved, whether or not anybody answers then. An error may come first:
#: it is not buffered.
_PINGED = re.compile(r"(?m)^PING [^\n]{1,300}?\(([0-9a-fA-F]{0,4}[:.][0-9a-fA-F:.]{1,43})\)")
#: ``ping: bad address 'openstack.org'`` of busybox, and iputils' words, before 2016 ``ping: unknown host openstack.org``.
_NOT_PINGED = re.compile(
    r"(?m)^(?:ping6?|busybox): ((?:bad address|unknown host)[^\n]{0,200}"
    r"|[^\n]{0,200}(?:not known|name resolution|No address associated)[^\n]{0,80})"
)


@observation("{interface.queries}", of=Interface, inside=True, shell=_SCRIPT, tool="dig, nslookup, host or ping", late=True, seconds=10.0)
def guest_name_answers(text: str) -> tuple[NameAnswer, ...]:
    """What each of the guest's resolvers answers to the VM's declared names and to its own addresses (reverse).

    A name whose answer cannot be read is left out, and one that ping may know from elsewhere; not seen where none is left.
    Source: BIND's bin/dig, busybox's networking/nslookup.c.
    """
    text = text.replace(_BREAK, "\n")
    end = re.search(r"(?m)^@end\n?\Z", text)
    if end is None:
        raise Unreadable("'@end' at the end", text[-100:])
    found: list[NameAnswer] = []
    unread: Unreadable | None = None
    for head, body in blocks(text[:end.start()], "@ "):
        try:
            found.append(_answer(head.split(), "\n".join(body)))
        except Unreadable as error:
            unread = error
    if not found and unread is not None:
        raise unread
    return tuple(found)


def _answer(head: list[str], said: str) -> NameAnswer:
    if len(head) != 5:  # noqa: PLR2004 - server, name, begin, end, exit status
        raise Unreadable("'@ SERVER NAME BEGIN END STATUS'", " ".join(head))
    if head[4] in _NOT_RUN:
        raise Unreadable("what a tool that was run says", said)
    server, name, seconds = address(head[0]), head[1], max(0.0, round(decimal(head[3]) - decimal(head[2]), 2))
    if _OF_PING.search(said):
        return _pinged(server, name, said)
    said = _HEADER.sub("", said)
    told = _CODE.search(said)
    if told is not None:
        rcode = _CODES.get(told[1] or told[2] or told[3], -1)
    elif head[4] == "0":
        rcode = 0
    else:
        return NameAnswer(server, name, -1, (), seconds, _trouble(said))
    values = [value for row in _RECORD.findall(said) for value in row if value]
    return NameAnswer(server, name, rcode, tuple(value.rstrip(".") for value in values), seconds)


def _pinged(server: Address, name: str, said: str) -> NameAnswer:
    """Read ping's first line. How long the resolver took is not told: ping waits for an answer to its own packet too."""
    found, failed = _PINGED.search(said), _NOT_PINGED.search(said)
    if found is None and failed is None:
        raise Unreadable("'PING gw.lab.test (10.20.0.1)', or that its name has no address", said)
    if found is not None:
        return NameAnswer(server, name, 0, (found[1],))
    return NameAnswer(server, name, UNTOLD, error=f"ping: {failed[1]}" if failed else "")


def _trouble(said: str) -> str:
    refused = _REFUSED.search(said)
    return refused[0].lower() if refused else "silent" if _SILENT.search(said) or not said.strip() else said.strip()[:120]
