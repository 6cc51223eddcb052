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
#: The deadline of both ends: eight seconds until the server listens, then each direction with its beginning and its end.
DEADLINE = 25.0

#: ``$1 $2``: address and port, then direction and declared rate. One server for each transfer, on this address alone; it ends
#: with its transfer, or with the deadline. No timeout(1) of its own: that would put it out of reach of the one that ends us.
_SERVER = r"""
command -v iperf3 >/dev/null || exit 127
a=$1; p=$2; shift 2; echo @listens
while [ $# -gt 1 ]; do
  o=$(iperf3 -s -1 -B "$a" -p "$p" 2>&1); s=$?
  printf '@served %s %s\n%s\n' "$1" "$s" "$o"; shift 2
done
"""

#: It sends a quarter more than is declared, so that a link is not filled for nothing. Refused, or busy: the server is not there
#: yet, or has another's client; it is asked again for eight seconds.
_CLIENT = r"""
command -v iperf3 >/dev/null || exit 127
c=; case $(iperf3 --help 2>&1) in *--connect-timeout*) c="--connect-timeout 3000" ;; esac
a=$1; p=$2; shift 2
while [ $# -gt 1 ]; do
  r=; [ "$1" = out ] || r=-R
  n=0
  while :; do
    o=$(iperf3 -c "$a" -p "$p" -t @SECONDS@ -O 1 -J -b "$(($2 / 4 * 5 + 1))" $c $r 2>&1); s=$?
    case $o in *error*refused*|*error*busy*) ;; *) break ;; esac
    n=$((n + 1)); [ "$n" -lt 16 ] || break
    sleep 0.5
  done
  printf '@transfer %s %s\n%s\n' "$1" "$s" "$o"; shift 2
done
echo @end
""".replace("@SECONDS@", str(SECONDS))


def _server(flow: Flow) -> tuple[Place, ...]:
    return (flow.throughput.server,) if flow.throughput else ()


def _client(flow: Flow) -> tuple[Place, ...]:
    return (flow.source,) if flow.throughput else ()


# its end by the deadline is one: nobody came
@observation("{flow.transfers}", of=Flow, shell=_SERVER, tool="iperf3", alone=True, at=_server, seconds=DEADLINE, accept=(0, 124, 137, 143))
def throughput_servers(text: str) -> Serving:
    """Whether iperf3 listened at the place that the flow leads to. It takes one client, and is gone.

    Source: iperf3(1), --server --one-off.
    """
    parts = blocks(text, "@")
    if not parts or parts[0][0] != "listens":
        raise Unreadable("'@listens'", text)
    for _, body in parts[1:]:
        said = next((line for line in body if "unable to start listener" in line), "")
        if said:
            return Serving(said.partition("error - ")[2] or said)
    return Serving()


@observation("{flow.transfers}", of=Flow, shell=_CLIENT, tool="iperf3", alone=True, at=_client, seconds=DEADLINE)
def throughputs(text: str) -> tuple[Transfer, ...]:
    """What TCP carried along the flow, in each declared direction, in three seconds: bit/s of payload, as received.

    Source: iperf3(1), --json; the fields of end are those of iperf_api.c, iperf_print_results.
    """
    parts = blocks(text, "@")
    if not parts or parts.pop() != ("end", []):
        raise Unreadable("'@end' at the end", text[-100:])
    return tuple(_transfer(mark, "\n".join(body)) for mark, body in parts)


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
