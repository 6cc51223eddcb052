"""Routes, policy rules and neighbours: ``ip route``, ``ip rule``, ``ip neighbour``."""

from __future__ import annotations

import re
from typing import Any

from netchecks.errors import Unreadable
from netchecks.models.routes import Neighbour, NextHop, Route, Rule
from netchecks.models.subjects import Address, Vm
from netchecks.observe import command, command_line, observation, powershell_line
from netchecks.parsing import (
    Family,
    address,
    after,
    lines,
    looks_like_json,
    mac_or_none,
    needed,
    number,
    objects,
    optional_number,
    prefix,
    sections,
    string,
    words,
)
from netchecks.reading import net_tools, powershell, route_print

#: Both families, each under its mark; a kernel without IPv6 has no /proc/net/if_inet6 and so no IPv6 part.
_BOTH = "echo @4 && {first} && echo && echo @6 && {{ [ ! -e /proc/net/if_inet6 ] || {second}; }}"
_RULES = _BOTH.format(first="ip -j -4 rule show", second="ip -j -6 rule show")
_FAMILIES: tuple[Family, Family] = (4, 6)


def _parts(text: str) -> list[tuple[Family, str]]:
    parts = sections(text, ("4", "6"))
    return [(family, parts[str(family)]) for family in _FAMILIES]


@observation(shell=_BOTH.format(first="ip -4 route show table all", second="ip -6 route show table all"), tool="ip",
             limit=16 * 1024 * 1024)
def routes(text: str) -> tuple[Route, ...]:
    """Every route of every table, IPv4 before IPv6, in the kernel's order. Smaller metrics win.

    Read from the text form: up to 4.20 (Debian 10, early EL 8) the JSON of blackholes and of several next hops is
    none, and the text of 3.10 to 7.1 is one. Source: iproute2's ip/iproute.c, print_route.
    """
    return _routes(text)


def _routes(text: str) -> tuple[Route, ...]:
    found: list[Route] = []
    for family, part in _parts(text):
        found.extend(_text_routes(part, family))
    return tuple(found)


#: Words of a route that have a value. Source: ip-route(8) and iproute2's ip/iproute.c, print_route.
_VALUED = frozenset({
    "via", "dev", "table", "proto", "scope", "src", "metric", "mtu", "pref", "error", "expires", "hoplimit", "tos", "nhid",
    "advmss", "window", "rtt", "rttvar", "initcwnd", "initrwnd", "quickack", "realm", "realms", "cwnd", "ssthresh",
    "reordering", "features", "rto_min", "congctl", "uid", "from", "mark", "iif", "users", "age", "weight", "preference",
    "dsfield", "inet", "inet6", "mpls", "lock",
})


def _text_routes(text: str, family: Family) -> list[Route]:
    found: list[Route] = []
    hops: list[NextHop] = []
    for line in reversed(lines(text)):
        tokens = line.split()
        if tokens[0] == "nexthop":
            hops.insert(0, _text_nexthop(tokens[1:]))
        elif line[0].isspace():
            continue  # "cache expires 5sec": nothing that we tell
        else:
            found.append(_text_route(tokens, family, tuple(hops)))
            hops = []
    if hops:
        raise Unreadable("a route before its next hops", lines(text)[0])
    return found[::-1]


def _text_route(tokens: list[str], family: Family, hops: tuple[NextHop, ...]) -> Route:
    kind, encapsulation = "unicast", []
    if tokens[0] != "default" and not any(mark in tokens[0] for mark in ".:"):
        kind, *tokens = tokens
    if not tokens:
        raise Unreadable("a route with its destination", kind)
    if "encap" in tokens:
        start = tokens.index("encap")
        end = next((at for at in range(start, len(tokens)) if tokens[at] in {"via", "dev"}), len(tokens))
        encapsulation, tokens = tokens[start + 1:end], tokens[:start] + tokens[end:]
    rest = tokens[1:]
    source, origin, mtu = after(rest, "src"), after(rest, "from"), after(rest, "mtu")
    return Route(
        prefix(tokens[0], family), kind, after(rest, "table") or "main", after(rest, "proto"), after(rest, "scope"),
        optional_number(after(rest, "metric")) or 0, after(rest, "dev"), _text_gateway(rest),
        address(source) if source else None, hops, _text_flags(rest), optional_number(after(rest, "nhid")),
        optional_number(after(rest, "lock") if mtu == "lock" else mtu), after(rest, "tos"), " ".join(encapsulation),
        prefix(origin, family) if origin else None,
    )


def _text_nexthop(tokens: list[str]) -> NextHop:
    weight = optional_number(after(tokens, "weight"))
    return NextHop(after(tokens, "dev"), _text_gateway(tokens), weight or 1, _text_flags(tokens))


def _text_gateway(tokens: list[str]) -> Address | None:
    via = after(tokens, "via")
    if via in {"inet", "inet6"}:
        via = after(tokens, via)
    return address(via) if via else None


def _text_flags(tokens: list[str]) -> frozenset[str]:
    """Give the words that are neither a name of a value nor a value."""
    flags, skip = [], False
    for token in tokens:
        if not skip and token not in _VALUED:
            flags.append(token)
        skip = token in _VALUED
    return frozenset(flags)


def _rules(text: str) -> tuple[Rule, ...]:
    found: list[Rule] = []
    for family, part in _parts(text):
        if looks_like_json(part):
            found.extend(_json_rule(item, family) for item in objects(part))
        else:
            found.extend(_text_rule(line, family) for line in lines(part))
    return tuple(found)


@observation(
    shell=_RULES, tool="ip", or_else=((command(shell=_RULES.replace("-j ", ""), tool="ip"), _rules),),
)
def rules(text: str) -> tuple[Rule, ...]:
    """The rules of the routing policy, IPv4 before IPv6, each family by priority: the first that decides wins."""
    return _rules(text)


#: Keys of a rule in JSON that are not conditions of it. Source: iproute2's ip/iprule.c, print_rule.
_NO_CONDITION = frozenset({
    "priority", "src", "srclen", "dst", "dstlen", "table", "action", "to_tbl", "goto", "nop", "not", "protocol", "fwmask",
    "suppress_prefixlength", "suppress_prefixlen", "suppress_ifgroup", "flow_from", "flow_to", "unresolved", "nat_gateway",
})


def _json_rule(item: dict[str, Any], family: Family) -> Rule:
    conditions = set()
    for key, told in item.items():
        if key not in _NO_CONDITION and not (key.endswith("_mask") and told == "0xffff"):
            value = "" if told is None else string(item, key)
            mask = f"/{string(item, 'fwmask')}" if key == "fwmark" and "fwmask" in item else ""
            conditions.add(f"{key} {value}{mask}".rstrip())
    action = string(item, "action") or string(item, "to_tbl") or _json_action(item)
    return Rule(
        family, number(needed(item, "priority")), _json_prefix(item, "src", family), _json_prefix(item, "dst", family),
        action, string(item, "table"), frozenset(conditions), "not" in item,
        optional_number(string(item, "suppress_prefixlength") or string(item, "suppress_prefixlen")),
    )


def _json_action(item: dict[str, Any]) -> str:
    if "goto" in item:
        return f"goto {string(item, 'goto')}"
    return "nop" if "nop" in item else "lookup"


def _json_prefix(item: dict[str, Any], key: str, family: Family) -> Any:
    text = string(item, key)
    if text in {"", "all"}:
        return None
    length = string(item, f"{key}len")
    return prefix(f"{text}/{length}" if length else text, family)


#: Words of a rule that have a value and are conditions. Source: ip-rule(8).
_RULE_CONDITIONS = frozenset({
    "tos", "dsfield", "fwmark", "iif", "oif", "uidrange", "ipproto", "sport", "dport", "tun_id", "flowlabel", "dscp",
})
_RULE_VALUES = _RULE_CONDITIONS | {
    "from", "to", "lookup", "goto", "suppress_prefixlength", "suppress_ifgroup", "realms", "proto", "map-to", "table",
}
_ACTIONS = frozenset({"blackhole", "unreachable", "prohibit", "nop"})


def _text_rule(line: str, family: Family) -> Rule:
    priority, colon, rest = line.partition(":")
    tokens = re.sub(r" (/[0-9]+)", r"\1", rest).split()  # iproute2 4.18 writes "to 10.99.0.0 /16"
    inverted = tokens[:1] == ["not"]
    source, target = after(tokens, "from"), after(tokens, "to")
    if not colon or not source:
        raise Unreadable("'32766: from all lookup main'", line)
    return Rule(
        family, number(priority), None if source == "all" else prefix(source, family),
        prefix(target, family) if target else None, _text_action(tokens), after(tokens, "lookup"),
        _text_conditions(tokens[inverted:]), inverted, optional_number(after(tokens, "suppress_prefixlength")),
    )


def _text_action(tokens: list[str]) -> str:
    if target := after(tokens, "goto"):
        return f"goto {target}"
    return next((token for token in tokens if token in _ACTIONS), "lookup")


def _text_conditions(tokens: list[str]) -> frozenset[str]:
    found, rest = set(), iter(tokens)
    for word in rest:
        value = next(rest, "") if word in _RULE_VALUES else ""
        if word in _RULE_CONDITIONS:
            found.add(f"{word} {value}")
        elif word not in {*_RULE_VALUES, *_ACTIONS, "[unresolved]"}:
            found.add({"[detached]": "iif_detached"}.get(word, word))
    return frozenset(found)


def _neighbours(text: str) -> tuple[Neighbour, ...]:
    if looks_like_json(text):
        return tuple(map(_json_neighbour, objects(text)))
    return tuple(map(_text_neighbour, lines(text)))


@observation("ip -j neighbour show", or_else=((command("ip neighbour show"), _neighbours),))
def neighbours(text: str) -> tuple[Neighbour, ...]:
    """The ARP and NDP cache of the node, both families. STALE is normal: nobody has asked lately."""
    return _neighbours(text)


@observation("ip -j neighbour show proxy", or_else=((command("ip neighbour show proxy"), _neighbours),))
def proxy_neighbours(text: str) -> tuple[Neighbour, ...]:
    """The addresses that the node answers for by ARP or NDP in others' place, each on one device. Source: ip-neighbour(8)."""
    return _neighbours(text)


def _json_neighbour(item: dict[str, Any]) -> Neighbour:
    flags = {key for key, value in item.items() if value is None or value is True}
    return Neighbour(
        address(needed(item, "dst")), string(item, "dev"), mac_or_none(string(item, "lladdr")),
        words(item.get("state")), frozenset(flags),
    )


def _text_neighbour(line: str) -> Neighbour:
    target, *tokens = line.split()
    told, rest = {}, iter(tokens)
    words_alone = []
    for token in rest:
        if token in {"dev", "lladdr", "proto", "ref", "used", "probes", "nud"}:
            told[token] = next(rest, "")
        else:
            words_alone.append(token)
    if not told.get("dev"):
        raise Unreadable("'10.0.0.1 dev br0 lladdr 52:54:00:00:00:01 REACHABLE'", line)
    return Neighbour(
        address(target), told["dev"], mac_or_none(told.get("lladdr", "")),
        frozenset(word for word in words_alone if word.isupper()),
        frozenset(word for word in words_alone if not word.isupper()),
    )


# -- inside guests ---------------------------------------------------------------------------------------------------

_NET_ROUTE = "Get-NetRoute|Select-Object DestinationPrefix,NextHop,InterfaceAlias,RouteMetric,InterfaceMetric"
_ROUTE = _BOTH.format(first="route -n", second="route -n -A inet6")


@observation(
    shell=_BOTH.format(first="ip -4 route show table all", second="ip -6 route show table all"), tool="ip", of=Vm, inside=True,
    or_else=((command(shell=_ROUTE, tool="route"), net_tools.route_tables),),
    windows=(
        (powershell_line(_NET_ROUTE), powershell.routes),
        (command_line('cmd /c "chcp & route print"', tool="route"), route_print.routes),
    ),
)
def guest_routes(text: str) -> tuple[Route, ...]:
    """Every route inside a VM, IPv4 before IPv6. Smaller metrics win. ``route print`` names interfaces by address or number."""
    return _routes(text)
