"""DHCP servers: their processes, leases, known hosts and log. dnsmasq's first of all, in files, syslog and journal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

from netchecks.errors import Unreadable
from netchecks.models.dhcp.messages import client_of
from netchecks.models.dhcp.servers import DhcpEvent, DhcpFiles, DhcpHost, DhcpLease, DhcpLog, DhcpProcess
from netchecks.models.subjects import Address, DhcpServer
from netchecks.observe import observation
from netchecks.parsing import address, blocks, clean, mac_or_none, number

#: How far back a log is read, in minutes; lines at most, the newest.
MINUTES, LINES = 60, 5000

#: ``$space`` is the network namespace that the servers are of; empty: the node's own.
#: ``every`` prints each server's command line and the files it names as ``@process PID USER PROGRAM NETWORK`` and one option a line,
#: in dnsmasq's long form. Through /proc/PID/root, as a server in a container has its files there.
_PRELUDE = r"""
long='
function out() { if (name != "") print name (value == "" ? "" : "=" value); name = value = "" }
BEGIN {
  n = split("C conf-file 7 conf-dir l dhcp-leasefile F dhcp-range G dhcp-host O dhcp-option 8 log-facility u user x pid-file " \
    "i interface I except-interface a listen-address X dhcp-lease-max K dhcp-authoritative 6 dhcp-script 9 leasefile-ro p port", w, " ")
  for (i = 1; i < n; i += 2) known[w[i]] = w[i + 1]
}
NR == 1 { next }
/^--./ { out(); name = substr($0, 3); if (index(name, "=")) { print name; name = "" }; next }
/^-[A-Za-z0-9]/ { out(); letter = substr($0, 2, 1); name = (letter in known) ? known[letter] : "-" letter; value = substr($0, 3)
  if (value != "") out(); next }
{ value = $0; out() }
END { out() }'
plain() {
  [ ! -f "$1" ] ||
  sed -n 's/^[[:space:]]*\([a-z0-9-]\{1,\}\)[[:space:]]*=[[:space:]]*/\1=/; s/^[[:space:]]*//; /^[a-z][a-z0-9-]*\(=\|$\)/p' "$1"
}
each() { for f in "$2"/*; do "$1" "$f"; done; }
# A file's options, and those of the files that it names; what these name is left out.
nested() {
  plain "$1" | while IFS= read -r o; do
    printf '%s\n' "$o"
    case $o in conf-file=/*) plain "$r${o#*=}" ;; conf-dir=/*) d=${o#*=}; each plain "$r${d%%,*}" ;; esac
  done
}
followed() {
  r=/proc/$1/root c=
  while IFS= read -r o; do
    printf '%s\n' "$o"
    case $o in
      conf-file=/*) c=1; nested "$r${o#*=}" ;;
      conf-file|conf-file=*) c=1 ;;
      conf-dir=/*) d=${o#*=}; each nested "$r${d%%,*}" ;;
    esac
  done
  [ -n "$c" ] || { nested "$r/etc/dnsmasq.conf"; each nested "$r/etc/dnsmasq.d"; }
}
own=/proc/self/ns/net; [ -z "$space" ] || own=/run/netns/$space
every() {
  for p in /proc/[0-9]*; do
    read -r n 2>/dev/null <"$p/comm" || continue
    case $n in dnsmasq|dhcpd|kea-dhcp4|kea-dhcp6) ;; *) continue ;; esac
    w=other; [ "$(stat -Lc %i "$p/ns/net")" != "$(stat -Lc %i "$own" 2>/dev/null)" ] || w=own
    printf '@process %s %s %s %s\n' "${p#/proc/}" "$(stat -c %U "$p")" "$n" "$w"
    { tr '\0' '\n' <"$p/cmdline"; echo; } | sed '/^$/d' | awk "$long" | if [ "$n" = dnsmasq ]; then followed "${p#/proc/}"; else cat; fi
  done
}
e=$(every)
# The values of one option of the servers of this network namespace, each with the server's PID before it.
named() {
  printf '%s\n' "$e" | awk -v option="$1=" '
    /^@process / { pid = $2; own = $5 } own == "own" && index($0, option) == 1 { print pid, substr($0, length(option) + 1) }'
}
"""


#: Where the namespace stands among the arguments.
_SPACE = "'{dhcp_server.namespace}'"


_PROCESSES = "space=$1\n" + _PRELUDE + "printf '%s\\n@end\\n' \"$e\"\n"


@observation(_SPACE, of=DhcpServer, shell=_PROCESSES, tool="awk", root=True)
def dhcp_processes(text: str) -> tuple[DhcpProcess, ...]:
    """The DHCP servers that run on the node, with their options, also those of their configuration files.

    nova's and libvirt's dnsmasq is a pair of processes: of nobody, and of root for the script. Source: dnsmasq(8); proc(5).
    """
    found = []
    for head, body in blocks(text, "@"):
        words = head.split()
        if words[:1] == ["process"] and len(words) == 5:  # noqa: PLR2004 - the word, PID, user, program, whose network
            found.append(DhcpProcess(number(words[1]), words[2], words[3], words[4] == "own", tuple(map(_option, body))))
        elif words != ["end"]:
            raise Unreadable("'@process 3735 nobody dnsmasq own'", head)
    if "@end" not in clean(text):
        raise Unreadable("'@end'", text[-100:])
    return tuple(found)


def _option(line: str) -> tuple[str, str]:
    name, _, value = line.partition("=")
    return name, value


# -- leases and hosts ------------------------------------------------------------------------------------------------

#: Each file once, whichever of several processes names it; of a server that does not run those where packages put them.
_FILES = "space=$1\n" + _PRELUDE + r"""
seen=
show() {
  [ -f "$2" ] || return 0
  i=$(stat -Lc %d:%i "$2"); case " $seen " in *" $i "*) return 0 ;; esac; seen="$seen $i"
  printf '@%s %s\n' "$1" "$3"; head -c 4000000 "$2"; echo
}
date '+@now %s'
{ named dhcp-leasefile | sed 's/^/leases /'; named dhcp-hostsfile | sed 's/^/hosts /'; named dhcp-hostsdir | sed 's/^/hosts /'; } |
{ while read -r k p f; do
    r=/proc/$p/root
    if [ -d "$r$f" ]; then for one in "$r$f"/*; do show "$k" "$one" "${one#"$r"}"; done; else show "$k" "$r$f" "$f"; fi
  done
  [ -n "$space" ] ||
  for f in /var/lib/misc/dnsmasq.leases /var/lib/dnsmasq/dnsmasq.leases /var/lib/dhcp/dhcpd.leases /var/lib/dhcpd/dhcpd.leases; do
    show leases "$f" "$f"
  done
}
named dhcp-host | sed 's/^[0-9]* /@host /'
echo @end
"""


@observation(_SPACE, of=DhcpServer, shell=_FILES, tool="awk", root=True, limit=16 * 1024 * 1024)
def dhcp_files(text: str) -> DhcpFiles:
    """What the DHCP servers of the node have given, and which clients they know.

    Leases of dnsmasq (lease.c) and of ISC (dhcpd.leases(5)), those that have ended too; hosts of dnsmasq (dnsmasq(8),
    dhcp-host, dhcp-hostsfile).
    """
    now, leases, hosts = None, None, None
    for head, body in blocks(text, "@"):
        kind, _, rest = head.partition(" ")
        if kind == "now":
            now = float(number(rest))
        elif kind == "leases":
            leases = (leases or ()) + tuple(_leases(body, now or 0.0))
        elif kind in {"host", "hosts"}:
            written = [rest] if kind == "host" else [line for line in body if not line.lstrip().startswith("#")]
            hosts = (hosts or ()) + tuple(_host(line) for line in written)
        elif kind != "end":
            raise Unreadable("'@leases PATH'", head)
    if now is None or "@end" not in clean(text):
        raise Unreadable("'@now' and '@end'", text[-100:])
    return DhcpFiles(leases, hosts)


def _leases(body: list[str], now: float) -> Iterator[DhcpLease]:
    if any(line.startswith("lease ") for line in body):
        yield from _isc(body, now)
        return
    for line in body:
        if not line.startswith(("duid ", "#", "server-duid ", "authoring-byte-order ")):
            yield _lease(line, now)


def _lease(line: str, now: float) -> DhcpLease:
    """Read ``1795654081 52:54:00:00:00:47 10.20.0.157 * 01:52:...``; of IPv6 the second is the IAID and the last the DUID."""
    words = line.split()
    if len(words) != 5:  # noqa: PLR2004 - ends, hardware address or IAID, address, name, identifier
        raise Unreadable("a lease of dnsmasq: five words", line)
    ends, given = number(words[0]), address(words[2])
    client = mac_or_none(words[1].rpartition("-")[2]) if given.version == 4 else _duid(words[4])  # noqa: PLR2004 - IPv4
    left = None if ends == 0 else ends - now
    return DhcpLease(given, client or words[1], "" if words[3] == "*" else words[3], float(ends) if ends else None, left)


def _duid(text: str) -> str:
    """Give the MAC in a DUID as servers write it, else the DUID."""
    try:
        return client_of(bytes.fromhex(text.replace(":", "")))
    except ValueError:
        return text


_ISC_LEASE = re.compile(r"lease ([0-9.]{7,15}) \{")
_ISC_TIME = re.compile(r"ends (?:[0-6] )?(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d|never|epoch \d{1,12})")


def _isc(body: list[str], now: float) -> Iterator[DhcpLease]:
    """Read dhcpd.leases(5): what is written last of an address counts, and only where it is active."""
    found: dict[Address, DhcpLease | None] = {}
    given, told = None, {"ends": "", "client": "", "name": "", "state": "active"}
    for line in map(str.strip, body):
        if start := _ISC_LEASE.match(line):
            given, told = address(start[1]), {"ends": "", "client": "", "name": "", "state": "active"}
        elif line == "}" and given is not None:
            found[given] = _isc_lease(given, told, now) if told["state"] == "active" and told["client"] else None
            given = None
        elif time := _ISC_TIME.match(line):
            told["ends"] = time[1]
        elif line.startswith("hardware ethernet "):
            told["client"] = mac_or_none(line.split()[2].rstrip(";")) or ""
        elif line.startswith("client-hostname "):
            told["name"] = line.partition(" ")[2].strip('";')
        elif line.startswith("binding state "):
            told["state"] = line.split()[2].rstrip(";")
    yield from (lease for lease in found.values() if lease is not None)


def _isc_lease(given: Address, told: dict[str, str], now: float) -> DhcpLease:
    word, ends = told["ends"], None
    if word.startswith("epoch "):
        ends = float(word.split()[1])
    elif word and word != "never":
        ends = _moment(word, "%Y/%m/%d %H:%M:%S", UTC)
    return DhcpLease(given, told["client"], told["name"], ends, None if ends is None else ends - now)


def _moment(text: str, form: str, zone: timezone) -> float:
    try:
        return datetime.strptime(text, form).replace(tzinfo=zone).timestamp()
    except (ValueError, OverflowError) as error:
        raise Unreadable("a time", text) from error


_TAGGED = ("set:", "tag:", "net:")


def _host(line: str) -> DhcpHost:
    """Read ``52:54:00:00:00:42,set:a,vm42,10.20.0.142,12h`` (dnsmasq(8), dhcp-host)."""
    clients, addresses, names, ignored = [], [], [], False
    for word in filter(None, map(str.strip, line.split(","))):
        low = word.lower()
        if low == "ignore":
            ignored = True
        elif low.startswith("id:"):
            clients.append(_duid(low[3:]) if low != "id:*" else low)
        elif mac := mac_or_none(low.rpartition("-")[2]):
            clients.append(mac)
        elif given := _address(word):
            addresses.append(given)
        elif not low.startswith(_TAGGED) and not re.fullmatch(r"\d+[smhdw]?|infinite", low):
            names.append(word)
    return DhcpHost(tuple(clients), tuple(addresses), names[0] if names else "", ignored)


def _address(word: str) -> Address | None:
    """Give the address that a word is; IPv6 ones stand in brackets, and may leave out the network: ``[::142]``."""
    try:
        return address(word.strip("[]").partition("/")[0])
    except Unreadable:
        return None


# -- the log ---------------------------------------------------------------------------------------------------------

#: The first place that has lines: a declared file, the servers' own files, the journal, syslog's files. With what was rotated
#: within the time. A file's end of 64 MiB holds an hour of any server.
_LOG = "space=$4\n" + _PRELUDE + r"""
minutes="$1" lines="$2" declared="$3"
w='DHCP[A-Z-]{3,}\(|DHCP[A-Z-]{3,} (from|on|for|of) |RTR-|address range available|DHCP packet received'
w="$w|dnsmasq.*: (started|exiting)"
date '+@now %s %Y %z'
words() { grep -aE "$w" | tail -n "$lines"; }
opened() {
  case $1 in
    *.gz) gzip -dc "$1" ;; *.xz) xz -dc "$1" ;; *.zst) zstd -dcq "$1" ;; *.bz2) bzip2 -dc "$1" ;;
    *) tail -c 67108864 "$1" ;;
  esac
}
# A file and what was rotated from it, in the order in which they were written.
written() {
  find "${1%/*}" -maxdepth 1 -name "${1##*/}*" -type f -mmin "-$minutes" ! -name '*.swp' |
  while IFS= read -r one; do printf '%s %s\n' "$(stat -c %Y "$one")" "$one"; done |
  sort -n | cut -d' ' -f2- | while IFS= read -r one; do opened "$one"; done
}
file() {
  [ -r "$1" ] || return 1
  f=$(written "$1" 2>/dev/null | words)
  looked=1; [ -n "$f" ] || return 1
  printf '@log %s\n%s\n@end\n' "$2" "$f"; exit 0
}
looked=
if [ -n "$declared" ]; then
  file "$declared" "$declared" || [ -n "$looked" ] || { echo "no log at $declared" >&2; exit 1; }
  printf '@log %s\n@end\n' "$declared"; exit 0
fi
owns=$(named log-facility | grep ' /' | sort -u)
IFS='
'
for one in $owns; do
  file "/proc/${one%% *}/root${one#* }" "${one#* }"
done
unset IFS
for one in /var/log/journal/*/*.journal /run/log/journal/*/*.journal; do
  [ -r "$one" ] || continue
  j=$(journalctl -q --no-pager -o short-iso --since "-${minutes}min" -t dnsmasq-dhcp -t dnsmasq -t dhcpd -n "$lines" 2>/dev/null | words)
  looked=1; [ -z "$j" ] || { printf '@log journal\n%s\n@end\n' "$j"; exit 0; }
  break
done
for one in /var/log/dnsmasq.log /var/log/syslog /var/log/daemon.log /var/log/messages; do file "$one" "$one"; done
[ -n "$looked" ] || { echo 'no log of a DHCP server found' >&2; exit 1; }
printf '@log nothing\n@end\n'
"""


@observation(
    f"{MINUTES} {LINES} '{{dhcp_server.log}}' {_SPACE}", of=DhcpServer, shell=_LOG, tool="grep", root=True, late=True, seconds=10.0,
)
def dhcp_log(text: str) -> DhcpLog:
    """What the DHCP servers of the node logged in the last hour, oldest first, 5000 lines at most.

    Of dnsmasq (rfc2131.c, rfc3315.c; with and without log-dhcp) and of ISC's dhcpd. Source ``nothing``: there are logs, and
    nothing of DHCP in them. Not seen where there is no log that can be read.
    """
    parts = blocks(text, "@")
    if [head.partition(" ")[0] for head, _ in parts] != ["now", "log", "end"]:
        raise Unreadable("'@now', '@log' and '@end'", text[:100])
    now, zone, year = _clock(parts[0][0])
    events = (_event(line, now, zone, year) for line in parts[1][1])
    return DhcpLog(parts[1][0].partition(" ")[2], tuple(event for event in events if event is not None), now)


def _clock(head: str) -> tuple[float, timezone, int]:
    match = re.fullmatch(r"now (\d{1,12}) (\d{4}) ([+-])(\d\d)(\d\d)", head)
    if not match or int(match[4]) > 23:  # noqa: PLR2004 - hours
        raise Unreadable("'@now 1795650000 2026 +0100'", head)
    offset = timedelta(hours=int(match[4]), minutes=int(match[5]) % 60)
    return float(match[1]), timezone(offset if match[3] == "+" else -offset), int(match[2])


_ISO = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,]\d{1,9})?(?:([+-])(\d\d):?(\d\d)|Z)?\s")
_BSD = re.compile(r"([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d)\s")
#: ``3777315861 DHCPOFFER(eth0) 10.20.0.100 52:54:00:00:00:45 vm45``: xid, kind, interface, address, client, why or name.
_DNSMASQ = re.compile(r"(?:\d{1,10} )?(DHCP|RTR-)([A-Z-]{3,20})\(([^)\s]{1,40})\)\s?(.*)")
_ISC_LINE = re.compile(r"DHCP([A-Z]{3,10}) (?:(?:on|for|of) ([0-9.]{7,15}) )?(?:\([^)]{0,80}\) )?(?:to|from) ([0-9a-fA-F:]{17})(.*)")
#: What a server says of itself: the kind it gets here, and the words.
_OWN = (
    ("NO-RANGE", re.compile(r"no address range available for DHCP request via (\S{1,40})")),
    ("NO-ADDRESS", re.compile(r"DHCP packet received on (\S{1,40}) which has no address")),
    ("STARTED", re.compile(r"dnsmasq(?:-dhcp)?(?:\[\d+\])?: (started, version \S{1,40})")),
    ("EXITED", re.compile(r"dnsmasq(?:-dhcp)?(?:\[\d+\])?: (exiting on receipt of SIG\w{1,10})")),
)
_SIX = frozenset({"SOLICIT", "ADVERTISE", "REPLY", "CONFIRM", "RENEW", "REBIND", "INFORMATION-REQUEST", "RECONFIGURE"})


def _event(line: str, now: float, zone: timezone, year: int) -> DhcpEvent | None:
    """Read one line of any log; None where it says nothing of DHCP."""
    seconds = _when(line, now, zone, year)
    said = line.partition("]: ")[2] or line.partition(": ")[2] or line
    if match := _DNSMASQ.match(said):
        return _of_dnsmasq(match, seconds)
    if match := _ISC_LINE.match(said):
        given = address(match[2]) if match[2] else None
        link = re.search(r"via ([^\s:]{1,40})", match[4])
        detail = match[4].partition(": ")[2]
        return DhcpEvent(match[1], match[3].lower(), given, link[1] if link else "", detail, 4, seconds)
    for kind, pattern in _OWN:
        if found := pattern.search(line):
            own = kind in {"STARTED", "EXITED"}
            return DhcpEvent(kind, link="" if own else found[1], detail=found[1] if own else found[0], seconds=seconds)
    return None


def _when(line: str, now: float, zone: timezone, year: int) -> float | None:
    if match := _ISO.match(line):
        sign = -1 if match[2] == "-" else 1
        told = timezone(sign * timedelta(hours=int(match[3]) % 24, minutes=int(match[4]) % 60)) if match[2] else zone
        return _moment(match[1], "%Y-%m-%dT%H:%M:%S", told)
    if match := _BSD.match(line):
        day = 86400  # a line of tomorrow is last year's
        try:
            found = _moment(f"{year} {match[1]}", "%Y %b %d %H:%M:%S", zone)
            return found if found < now + day else _moment(f"{year - 1} {match[1]}", "%Y %b %d %H:%M:%S", zone)
        except Unreadable:
            return None
    return None


def _of_dnsmasq(match: re.Match[str], seconds: float | None) -> DhcpEvent:
    kind = match[2] if match[1] == "DHCP" else f"RTR-{match[2]}"
    words = match[4].split(" ")
    given = _address(words[0])
    words = words[1:] if given else words
    client, family = mac_or_none(words[0]) if words else None, 4
    if client is not None and (len(client) != 17 or kind in _SIX):  # noqa: PLR2004 - a DUID is longer than a MAC
        client, family = _duid(client), 6
    detail = " ".join(words[1:] if client else words).strip()
    if kind in _SIX or kind.startswith("RTR-") or (given is not None and given.version == 6):  # noqa: PLR2004 - IPv6
        family = 6
    return DhcpEvent(kind, client or "", given, match[3], detail, family, seconds)
