"""What tc does to packets before and after everything else: ``tc qdisc``, ``tc class``, ``tc filter``."""

from __future__ import annotations

import re

from netchecks.errors import Unreadable
from netchecks.models.bridges import TrafficFilter
from netchecks.models.throughput import RateLimit
from netchecks.observe import observation
from netchecks.parsing import after, blocks, lines, optional_number
from netchecks.reading.rates import rate

#: Only devices that can have filters are asked for them: one tc for each direction. The text form, not JSON: tc's JSON
#: of u32 filters and of actions is broken in many releases, and one form serves CentOS 7 as well.
_SCRIPT = r"""
q=$(tc qdisc show) || exit
printf '%s\n' "$q" | awk '
$2 == "ingress" { print $5, "ingress" }
$2 == "clsact" { print $5, "ingress"; print $5, "egress" }
$2 ~ /^(htb|hfsc|prio|drr|qfq|cbq|ets)$/ && $6 == "root" { print $5, "root" }' |
while read -r device direction; do
  echo "@filters $device $direction"
  tc filter show dev "$device" "$direction" || [ ! -e "/sys/class/net/$device" ] || exit 1
done || exit
echo @end
"""


@observation(shell=_SCRIPT, tool="tc")
def traffic_filters(text: str) -> tuple[TrafficFilter, ...]:
    """Every tc filter of the node by device and direction, in the order in which they see packets.

    Programs attached by tcx (Linux 6.6, newer Cilium) are not among them: tc does not tell those.
    Source: iproute2's tc/tc_filter.c, f_bpf.c, f_u32.c, m_gact.c; actions TC_ACT_*: linux/pkt_cls.h.
    """
    found: list[TrafficFilter] = []
    parts = blocks(text, "@") if lines(text) else []
    if not parts or parts.pop() != ("end", []):
        raise Unreadable("'@end' at the end", text[-100:])
    for mark, body in parts:
        words = mark.split()
        if words[:1] != ["filters"] or len(words) != 3:  # noqa: PLR2004 - filters, device, direction
            raise Unreadable("'@filters DEVICE DIRECTION'", mark)
        found.extend(_filters(words[1], "egress" if words[2] == "root" else words[2], body))
    return tuple(found)


def _filters(device: str, direction: str, body: list[str]) -> list[TrafficFilter]:
    groups: list[list[str]] = []
    for line in body:
        if line.startswith("filter "):
            groups.append([line])
        elif groups:
            groups[-1].append(line)
        else:
            raise Unreadable("'filter protocol all pref 49152 bpf ...'", line)
    return [_filter(device, direction, group) for group in groups if _is_filter(group)]


def _is_filter(group: list[str]) -> bool:
    """Tell a filter from the line that only heads those of one preference, and from a hash table of u32."""
    words = group[0].split()
    handle = after(words, "fh")
    return "handle" in words or (bool(handle) and not handle.endswith(":")) or len(group) > 1


def _filter(device: str, direction: str, group: list[str]) -> TrafficFilter:
    words = group[0].split()
    preference = after(words, "pref")
    kind = after(words, preference) if preference else ""
    if not kind:
        raise Unreadable("a filter with its preference and kind", group[0])
    actions = tuple(match[1].strip() for line in group if (match := re.search(r"action order \d+: (.*)", line)))
    direct, raw = "direct-action" in words, "\n".join(group)
    return TrafficFilter(
        device, direction, kind, after(words, "protocol"), optional_number(preference),
        after(words, "handle") or after(words, "fh"), direct, _program(words) if kind == "bpf" else "", actions,
        _always_drops(kind, raw, actions, direct=direct), raw,
    )


def _program(words: list[str]) -> str:
    """Give the program's own name, else that of its object: the word behind the handle that is no keyword."""
    told = after(words, after(words, "handle"))
    return after(words, "name") or (told if told not in {"direct-action", "not_in_hw", "bytecode", "flowid", "in_hw"} else "")


def _always_drops(kind: str, raw: str, actions: tuple[str, ...], *, direct: bool) -> bool | None:
    drops = any(re.search(r"action drop\b", action) for action in actions)
    harmless = not any(re.search(r"drop|stolen|trap|goto|jump|random type net", raw_action) for raw_action in (*actions, raw))
    if kind == "bpf":
        code = re.search(r"bytecode '([^']*)'", raw)
        returns = _returns(code[1]) if code else None
        if direct:
            return None if returns is None else _all_or_none(returns)
        if returns == {0}:
            return False
    if kind == "matchall" and drops and "skip_sw" not in raw and not re.search(r"random type (net|det)", raw):
        return actions[0].startswith("gact action drop") or None
    return False if harmless and kind in {"matchall", "u32", "flower", "fw", "basic", "bpf"} else None


#: TC_ACT_SHOT, linux/pkt_cls.h.
_SHOT = 2


def _all_or_none(returns: set[int | None]) -> bool | None:
    if None in returns:
        return None
    if _SHOT in returns:
        return True if len(returns) == 1 else None
    return False


#: Classic BPF: BPF_RET | BPF_K returns a constant, the other BPF_RET a register. linux/bpf_common.h.
_RETURN_CONSTANT, _RETURN, _CLASS = 0x06, 0x06, 0x07


def _returns(code: str) -> set[int | None] | None:
    """Give every constant that a classic program can return (None for a computed one), None if it cannot be read."""
    found: set[int | None] = set()
    for instruction in code.split(",")[1:]:
        numbers = instruction.split()
        if len(numbers) != 4 or not all(re.fullmatch(r"\d{1,10}", one) for one in numbers):  # noqa: PLR2004 - code jt jf k
            return None
        if int(numbers[0]) & _CLASS == _RETURN:
            found.add(int(numbers[3]) if int(numbers[0]) == _RETURN_CONSTANT else None)
    return found or None


#: Of classful ones the classes too: one tc for each of their devices.
_LIMITS = r"""
q=$(tc qdisc show) || exit
echo "@qdiscs"
printf '%s\n' "$q"
printf '%s\n' "$q" | awk '$2 ~ /^(htb|hfsc|cbq)$/ && !seen[$5]++ { print $5 }' | while read -r device; do
  echo "@classes $device"
  tc class show dev "$device" || [ ! -e "/sys/class/net/$device" ] || exit 1
done || exit
echo @end
"""
#: Behind which word a limit stands, by the kind of qdisc or class.
_BEHIND = {"tbf": "rate", "netem": "rate", "cake": "bandwidth", "fq": "maxrate", "htb": "ceil", "cbq": "rate"}


@observation(shell=_LIMITS, tool="tc")
def rate_limits(text: str) -> tuple[RateLimit, ...]:
    """What qdiscs and their classes let out of each device, in bit/s. What filters police is among the filters.

    A class of htb may borrow up to its ceiling from the one above; one at the root has nobody to borrow from.
    Source: iproute2's tc/q_tbf.c, q_netem.c, q_cake.c, q_fq.c, q_htb.c, q_hfsc.c, q_cbq.c; rates: tc/tc_util.c, tc_print_rate.
    """
    parts = blocks(text, "@") if lines(text) else []
    if not parts or parts.pop() != ("end", []):
        raise Unreadable("'@end' at the end", text[-100:])
    found: list[RateLimit] = []
    for mark, body in parts:
        device = after(mark.split(), "classes")
        if not device and mark != "qdiscs":
            raise Unreadable("'@qdiscs' or '@classes DEVICE'", mark)
        found.extend(limit for line in body if (limit := _limit(line, device)))
    return tuple(found)


def _limit(line: str, device: str) -> RateLimit | None:
    words = line.split()
    if words[0] != ("class" if device else "qdisc"):
        return None  # further lines of the one before
    own = device or after(words, "dev")
    if len(words) < 3 or not own:  # noqa: PLR2004 - class, kind, handle
        raise Unreadable("'qdisc tbf 8001: dev eth0 root ...'", line)
    kind = words[1]
    told = _upper(words) if kind == "hfsc" else after(words, "rate" if kind == "htb" and "root" in words else _BEHIND.get(kind, ""))
    if not told or told == "unlimited":
        return None
    return RateLimit(own, "egress", kind, rate(told), whole=not device and "root" in words)


def _upper(words: list[str]) -> str:
    """Give hfsc's upper limit: ``ul m1 0bit d 0us m2 10Mbit``; ``sc`` and ``ls`` are shares, no limits."""
    return after(words[words.index("ul"):], "m2") if "ul" in words else ""
