"""What TCP carries between two places: ``iperf3``, its server at one and its client at the other. Only when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from netchecks.errors import Unreadable
from netchecks.models.subjects import Flow, Place
from netchecks.models.throughput import Serving, Transfer
from netchecks.observe import observation
from netchecks.parsing import blocks, documents, mapping

#: Measured, after one more in which TCP finds its rate (iperf3 -O).
SECONDS = 3
#: A server waits so long for its client, which may take longer to log in.
WAIT = 12
#: The deadline of both ends: that wait, and each direction twice.
DEADLINE = 40.0

#: ``$1 $2``: address and port, then direction and declared rate. Two servers in turn for each direction, on this address alone;
#: each ends with its transfer, or when nobody has come. None has a timeout(1): that would put it out of reach of who ends us.
_SERVER = r"""
command -v iperf3 >/dev/null || exit 127
a="$1"; p="$2"; shift 2
taken() { grep -qs ":$(printf %04X "$p") [0-9A-F]*:[0-9A-F]* 01 " /proc/net/tcp /proc/net/tcp6; }
serve() {
  iperf3 -s -1 -B "$a" -p "$p" 2>&1 & q=$!
  ( sleep @WAIT@; taken || { kill "$q"; kill -USR1 $$; } ) 2>/dev/null & w=$!
  wait "$q"; [ -z "$e" ] || wait "$q"
  kill "$w" 2>/dev/null
}
e=; trap 'e=nobody' USR1
while [ $# -gt 1 ]; do
  for try in 1 2; do echo "@serves $1"; serve; [ -z "$e" ] || break 2; done
  shift 2
done
echo @end
""".replace("@WAIT@", str(WAIT))

#: It sends a quarter more than is declared, so that a link is not filled for nothing. Refused, reset or busy: the server is not
#: there yet, is about to end, or has another's client; it is asked again for eight seconds. What is too slow is measured once
#: more, as one stall of a busy machine is no slow network; else the second server gets a transfer of one block, and is gone.
_CLIENT = r"""
command -v iperf3 >/dev/null || exit 127
c=; case $(iperf3 --help 2>&1) in *--connect-timeout*) c="--connect-timeout 3000" ;; esac
a="$1"; p="$2"; shift 2
ask() {
  n=0
  while :; do
    o=$(iperf3 -c "$a" -p "$p" -J $c "$@" 2>&1); s=$?
    case $o in *error*refused*|*error*"unable to connect"*reset*|*error*busy*) ;; *) return ;; esac
    n=$((n + 1)); [ "$n" -lt 40 ] || return
    sleep 0.2 || sleep 1
  done
}
measure() { ask -t @SECONDS@ -O 1 -b "$(($1 / 4 * 5 + 1))" $r; printf '@transfer %s %s\n%s\n' "$2" "$s" "$o"; }
came() { printf '%s\n' "$o" | awk '/"sum_received"/ { f = 1 } f && /"bits_per_second"/ { gsub(/[^0-9.]/, ""); printf "%.0f", $0; exit }'; }
while [ $# -gt 1 ]; do
  r=; [ "$1" = out ] || r=-R
  measure "$2" "$1"
  case $o in *error*"unable to connect"*) ;; *) if [ "$(came)" -ge "$2" ] 2>/dev/null; then ask -n 1 $r; else measure "$2" "$1"; fi ;; esac
  shift 2
done
echo @end
""".replace("@SECONDS@", str(SECONDS))


def _server(flow: Flow) -> tuple[Place, ...]:
    return (flow.throughput.server,) if flow.throughput else ()


def _client(flow: Flow) -> tuple[Place, ...]:
    return (flow.source,) if flow.throughput else ()


# an end by the deadline is one as good as any: somebody may have come late
@observation("{flow.transfers}", of=Flow, shell=_SERVER, tool="iperf3", alone=True, at=_server, seconds=DEADLINE, accept=(0, 124, 137, 143))
def throughput_servers(text: str) -> Serving:
    """Whether iperf3 listened at the place that the flow leads to. It takes one client, and is gone.

    Source: iperf3(1), --server --one-off.
    """
    parts = blocks(text, "@")
    if not parts or not parts[0][0].startswith("serves "):
        raise Unreadable("'@serves out'", text)
    for _, body in parts:
        said = next((line for line in body if "unable to start listener" in line), "")
        if said:
            return Serving(said.partition("error - ")[2] or said)
    return Serving()


@observation("{flow.transfers}", of=Flow, shell=_CLIENT, tool="iperf3", alone=True, at=_client, seconds=DEADLINE)
def throughputs(text: str) -> tuple[Transfer, ...]:
    """What TCP carried along the flow, in each declared direction, in three seconds: bit/s of payload, as received; the better of two.

    Source: iperf3(1), --json; the fields of end are those of iperf_api.c, iperf_print_results.
    """
    parts = blocks(text, "@")
    if not parts or parts.pop() != ("end", []):
        raise Unreadable("'@end' at the end", text[-100:])
    found: dict[str, Transfer] = {}
    for one in (_transfer(mark, "\n".join(body)) for mark, body in parts):
        found[one.direction] = max(found.get(one.direction, one), one, key=lambda transfer: -1 if transfer.rate is None else transfer.rate)
    return tuple(found.values())


def _transfer(mark: str, text: str) -> Transfer:
    words = mark.split()
    if words[:1] != ["transfer"] or len(words) != 3 or words[1] not in {"out", "back"}:  # noqa: PLR2004 - transfer, direction, status
        raise Unreadable("'@transfer out 0'", mark)
    direction: Literal["out", "back"] = "out" if words[1] == "out" else "back"
    _, brace, rest = text.partition("{")
    if not brace and words[2] != "0":  # one that is too old for an option, or that cannot run
        return Transfer(direction, error=" ".join(text.split())[-200:] or f"iperf3 ended with status {words[2]}")
    found = documents(brace + rest)
    if len(found) != 1:
        raise Unreadable("iperf3's JSON document", text)
    document = mapping(found[0])
    if document.get("error"):
        return Transfer(direction, error=" ".join(str(document["error"]).split())[:200])
    return _measured(direction, document)


def _measured(direction: Literal["out", "back"], document: Mapping[str, Any]) -> Transfer:
    end = mapping(document.get("end"))
    received, cpu = mapping(end.get("sum_received")), mapping(end.get("cpu_utilization_percent", {}))
    sent = mapping(end.get("sum_sent", {}))
    local, remote = _number(cpu, "host_total"), _number(cpu, "remote_total")
    sender, receiver = (local, remote) if direction == "out" else (remote, local)
    again = _number(sent, "retransmits")
    return Transfer(
        direction, _needed(received, "bits_per_second"), _needed(received, "seconds"),
        None if again is None or again < 0 else int(again), sender, receiver,
    )


def _number(item: Mapping[str, Any], key: str) -> float | None:
    """Read a number, None where it is not told."""
    value = item.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise Unreadable(f"a number as {key!r}", repr(value))
    return value


def _needed(item: Mapping[str, Any], key: str) -> float:
    value = _number(item, key)
    if value is None or value < 0:
        raise Unreadable(f"a number as {key!r}", str(dict(item)))
    return value
