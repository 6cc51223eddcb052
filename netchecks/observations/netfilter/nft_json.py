"""Reading what ``nft -j list ruleset`` prints, with the rules' own text of ``nft -a list ruleset``.

Source: libnftables-json(5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast, get_args

from netchecks.errors import Unreadable
from netchecks.models.netfilter.rules import (
    Action,
    Chain,
    Comparison,
    Concatenation,
    Constant,
    Elements,
    Expression,
    Flags,
    Interval,
    Match,
    NamedSet,
    NetfilterFamily,
    Opaque,
    Operation,
    Prefix,
    Reference,
    Rule,
    Ruleset,
    RuleTable,
    Selector,
    VerdictMap,
)
from netchecks.models.table import Table
from netchecks.parsing import clean, documents, integer, mapping, needed, sequence, string

_FAMILIES = frozenset(get_args(NetfilterFamily))
#: Statements after which the next one is looked at and that change nothing which rules look at here.
_GO_ON = frozenset({
    "log", "flow", "ct helper", "ct timeout", "ct expectation", "secmark", "last", "dup", "map", "tunnel", "counter",
})
#: Statements that may hold or not, by rate, number or time.
_CONDITIONS = frozenset({"limit", "quota", "ct count", "meter"})
_VERDICTS = frozenset({"accept", "drop", "return", "continue", "jump", "goto", "reject"})
_NAT: Mapping[str, tuple[str, ...]] = {
    "dnat": ("destination", "destination_port"), "redirect": ("destination", "destination_port"),
    "snat": ("source", "source_port"), "masquerade": ("source", "source_port"),
}
#: Packet's fields by the header fields that ``mangle`` may set.
_SET_FIELDS: Mapping[str, str] = {
    "ip saddr": "source", "ip6 saddr": "source", "ip daddr": "destination", "ip6 daddr": "destination",
    "tcp sport": "source_port", "udp sport": "source_port", "th sport": "source_port", "tcp dport": "destination_port",
    "udp dport": "destination_port", "th dport": "destination_port", "ether saddr": "source_mac",
    "ether daddr": "destination_mac",
}
_HEADING = re.compile(r"(table|chain) (?:(\w+) )?(\S+) \{")
_HANDLE = re.compile(r"\s*(.*\S)\s+# handle ([0-9]{1,19})")
_DEVICES = re.compile(r"\bdevices? = \{([^}]*)\}|\bdevice (\S+)")

_COUNTED = re.compile(r"counter packets [0-9]+ bytes [0-9]+")

_Place = tuple[str, str]


@dataclass(slots=True)
class _Text:
    """What the text form tells beyond the JSON: rules by (table, handle), devices by (table, chain)."""

    rules: dict[tuple[_Place, int], str] = field(default_factory=dict)
    devices: dict[tuple[_Place, str], tuple[str, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class _Draft:
    chains: dict[str, dict[str, Any]] = field(default_factory=dict)
    rules: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    sets: dict[str, NamedSet] = field(default_factory=dict)


def ruleset(text: str) -> Ruleset:
    """Read the JSON and, behind the line ``# text``, the text form (which may be missing). Empty text is no rule set.

    Raises Unreadable on anything that is not nft's JSON.
    """
    document, _, plain = clean(text).partition("\n# text\n")
    found = documents(document)
    if len(found) > 1:
        raise Unreadable("one JSON document", document[-100:])
    listed = [mapping(item) for one in found for item in _listed(one)]
    known, drafts = _texts(plain), _drafts(listed)
    return Ruleset(tuple(_table(place, draft, known) for place, draft in drafts.items()))


def _listed(document: Any) -> list[Any]:
    top = mapping(document)
    if "nftables" not in top:
        raise Unreadable('{"nftables": [...]}', repr(top))
    return sequence(top["nftables"])


def _texts(plain: str) -> _Text:
    text, place, chain = _Text(), ("", ""), ""
    for line in plain.split("\n"):
        if heading := _HEADING.match(line.strip()):
            place = (heading[2] or "ip", heading[3]) if heading[1] == "table" else place
            chain = heading[3] if heading[1] == "chain" else ""
        elif (devices := _DEVICES.search(line)) and line.lstrip().startswith("type "):
            text.devices[place, chain] = tuple((devices[1] or devices[2]).replace('"', " ").replace(",", " ").split())
        elif rule := _HANDLE.fullmatch(line):
            text.rules[place, int(rule[2])] = _COUNTED.sub("counter", rule[1])
    return text


def _drafts(listed: Iterable[dict[str, Any]]) -> dict[_Place, _Draft]:
    drafts: dict[_Place, _Draft] = {}
    for item in listed:
        for kind, value in item.items():
            if kind in {"table", "chain", "rule", "set", "map", "element"}:
                _add(kind, mapping(value), drafts)
    return drafts


def _add(kind: str, item: dict[str, Any], drafts: dict[_Place, _Draft]) -> None:
    family, name = needed(item, "family"), string(item, "name")
    place = (family, name if kind == "table" else needed(item, "table"))
    if family not in _FAMILIES:
        raise Unreadable(f"one of the families {sorted(_FAMILIES)}", family)
    draft = drafts.setdefault(place, _Draft())
    if kind == "chain":
        draft.chains[name] = item
    elif kind == "rule":
        draft.rules.setdefault(needed(item, "chain"), []).append(item)
    elif kind != "table":
        draft.sets[name] = _set(kind, item, draft.sets.get(name))


def _set(kind: str, item: dict[str, Any], before: NamedSet | None) -> NamedSet:
    """Read a set or map; ``element`` adds to one that was listed before (nft 1.1 lists them apart)."""
    elements = item.get("elem")
    if kind == "map" or (before is not None and before.verdicts):
        verdicts = tuple(_verdict_pairs(elements)) if kind == "element" or item.get("map") == "verdict" else ()
        return NamedSet(string(item, "name"), (), (*(before.verdicts if before else ()), *verdicts))
    members = tuple(_expression(one) for one in _several(elements))
    return NamedSet(string(item, "name"), (*(before.elements if before else ()), *members))


def _several(value: Any) -> list[Any]:
    """Take a list; one element may stand alone."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _table(place: _Place, draft: _Draft, text: _Text) -> RuleTable:
    chains: dict[str, Chain] = {}
    for name in dict.fromkeys((*draft.chains, *draft.rules)):
        rules = tuple(_rule(item, text.rules.get((place, integer(item, "handle") or 0), "")) for item in draft.rules.get(name, ()))
        chains[name] = _chain(name, draft.chains.get(name, {}), rules, text.devices.get((place, name)))
    family = cast("NetfilterFamily", place[0])
    return RuleTable(family, place[1], "nftables", "nft", Table("chain", chains), Table("set", draft.sets))


def _chain(name: str, item: dict[str, Any], rules: tuple[Rule, ...], told: tuple[str, ...] | None) -> Chain:
    hook = string(item, "hook")
    policy = string(item, "policy", "accept") if hook else ""
    priority = integer(item, "prio") or 0
    return Chain(name, rules, policy, hook, priority, string(item, "type", "filter"), _devices(item, hook, told))


def _devices(item: dict[str, Any], hook: str, told: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Give the devices of a netdev chain. The JSON of nft 1.0.6 leaves them out: then the text form tells."""
    if hook not in {"ingress", "egress"}:
        return ()
    named = item.get("dev", item.get("devs"))
    return told if named is None else tuple(map(str, _several(named)))


def _rule(item: dict[str, Any], text: str) -> Rule:
    matches: list[Match] = []
    actions: list[Action | VerdictMap] = []
    counters: tuple[int | None, int | None] = (None, None)
    statements = sequence(item.get("expr"))
    for statement in statements:
        for name, value in _statement(statement):
            if name == "counter" and isinstance(value, dict):
                counters = (integer(value, "packets"), integer(value, "bytes"))
            else:
                matches += _matches(name, value)
                actions += _actions(name, value)
    return Rule(text or json.dumps(statements), tuple(matches), tuple(actions), *counters)


def _statement(statement: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(statement, str):  # nft prints some without arguments as a word
        yield statement, None
    else:
        yield from (mapping(statement).items() if statement is not None else [("xt", None)])


def _matches(name: str, value: Any) -> Iterator[Match]:
    if name == "match":
        item = mapping(value)
        yield Comparison(_expression(item.get("left")), string(item, "op", "=="), _expression(item.get("right")))
    elif name in _CONDITIONS or (name == "set" and mapping(value).get("stmt")):
        yield Opaque(name)
    elif name == "xt" and _xt(value, "type") != "target":
        yield Opaque(f"xt {_xt(value, 'name')}".strip())


def _xt(value: Any, key: str) -> str:
    return string(value, key) if isinstance(value, dict) else ""


def _actions(name: str, value: Any) -> Iterator[Action | VerdictMap]:
    if name in _VERDICTS:
        yield _verdict(name, value)
    elif name == "vmap":
        item = mapping(value)
        yield VerdictMap(_expression(item.get("key")), _elements(item.get("data")))
    elif name in _NAT:
        yield from (Action("rewrite", name, _NAT[name]), Action("accept"))
    elif name == "notrack":
        yield Action("notrack")
    elif name == "mangle":
        yield _mangle(mapping(value))
    elif name not in {"match", "set", *_CONDITIONS, *_GO_ON} and not (name == "xt" and _xt(value, "type") == "match"):
        yield Action("unknown", f"statement {name} {_xt(value, 'name')}".strip())


def _mangle(item: dict[str, Any]) -> Action:
    key = _expression(item.get("key"))
    name = key.name if isinstance(key, Selector) and key.domain == "payload" else ""
    return Action("rewrite", "mangle", (_SET_FIELDS[name],)) if name in _SET_FIELDS else Action("continue", "mangle")


def _verdict(name: str, value: Any) -> Action:
    kind = cast("Any", name)
    target = needed(mapping(value), "target") if name in {"jump", "goto"} else ""
    return Action(kind, target)


def _elements(data: Any) -> tuple[tuple[Expression, Action], ...] | Reference:
    if isinstance(data, str) and data.startswith("@"):
        return Reference(data[1:])
    return tuple(_verdict_pairs(data["set"] if isinstance(data, dict) and "set" in data else data))


def _verdict_pairs(elements: Any) -> Iterator[tuple[Expression, Action]]:
    for pair in _several(elements):
        key, verdict = _pair(pair)
        for name, value in _statement(verdict):
            action = _verdict(name, value) if name in _VERDICTS else Action("unknown", f"verdict {name}")
            yield _expression(key), action


def _pair(pair: Any) -> tuple[Any, Any]:
    found = sequence(pair)
    if len(found) != 2:  # noqa: PLR2004 - key and value
        raise Unreadable("a pair of key and verdict", repr(pair))
    return found[0], found[1]


def _expression(value: Any) -> Expression:
    """Read an expression; what is not known becomes Opaque."""
    if isinstance(value, (str, int)):
        return Reference(value[1:]) if isinstance(value, str) and value.startswith("@") else Constant(value)
    if isinstance(value, list):
        return Flags(frozenset(map(str, value)))
    if not isinstance(value, dict) or len(value) != 1:
        return Opaque(json.dumps(value)[:200])
    (name, inner), = value.items()
    read = _READ.get(name)
    return read(inner) if read else Opaque(name, partial=name in {"numgen", "jhash", "symhash"})


def _payload(inner: Any) -> Expression:
    item = mapping(inner)
    if "protocol" not in item:
        return Opaque(f"@{string(item, 'base')},{string(item, 'offset')},{string(item, 'len')}")
    return Selector("payload", f"{string(item, 'protocol')} {string(item, 'field')}")


def _ct(inner: Any) -> Expression:
    item = mapping(inner)
    return Opaque("ct " + string(item, "key")) if "dir" in item else Selector("ct", string(item, "key"))


def _fib(inner: Any) -> Expression:
    item = mapping(inner)
    return Selector("fib", f"{' . '.join(map(str, _several(item.get('flags'))))} {string(item, 'result')}")


def _prefix(inner: Any) -> Expression:
    item = mapping(inner)
    return Prefix(string(item, "addr"), integer(item, "len") or 0)


def _range(inner: Any) -> Expression:
    low, high = _pair(inner)
    if not (isinstance(low, (str, int)) and isinstance(high, (str, int))):
        return Opaque("range")
    return Interval(Constant(low), Constant(high))


def _operation(operator: str, inner: Any) -> Expression:
    parts = [_expression(one) for one in sequence(inner)]
    if operator == "|" and all(isinstance(part, (Constant, Flags)) for part in parts):
        names = [part.names if isinstance(part, Flags) else frozenset({str(part.value)})
                 for part in parts if isinstance(part, (Constant, Flags))]
        return Flags(frozenset().union(*names))
    return Operation(operator, parts[0], parts[1]) if len(parts) == 2 else Opaque(operator)  # noqa: PLR2004 - left, right


_READ: Mapping[str, Any] = {
    "payload": _payload, "ct": _ct, "fib": _fib, "prefix": _prefix, "range": _range,
    "meta": lambda inner: Selector("meta", string(mapping(inner), "key")),
    "elem": lambda inner: _expression(mapping(inner).get("val")),
    "concat": lambda inner: Concatenation(tuple(map(_expression, sequence(inner)))),
    "set": lambda inner: Elements(tuple(map(_expression, _several(inner)))),
    "&": lambda inner: _operation("&", inner), "|": lambda inner: _operation("|", inner),
    "^": lambda inner: _operation("^", inner), "<<": lambda inner: _operation("<<", inner),
    ">>": lambda inner: _operation(">>", inner),
}
