"""Reading what iptables-save, ip6tables-save, arptables-save and ebtables-save print."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from netchecks.errors import Unreadable
from netchecks.models.netfilter.rules import Action, Backend, Chain, NetfilterFamily, Option, Rule, Ruleset, RuleTable, Tool
from netchecks.models.table import Table
from netchecks.parsing import lines

#: (table, chain) -> (hook, priority). Source: Linux, netfilter_ipv4.h and netfilter_bridge.h.
_IP_PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0, "security": 50}
_HOOKS = {
    "PREROUTING": "prerouting", "INPUT": "input", "FORWARD": "forward", "OUTPUT": "output", "POSTROUTING": "postrouting",
    "BROUTING": "prerouting",
}
_SOURCE_NAT = 100
_BRIDGE_PRIORITIES = {
    ("broute", "BROUTING"): -(2 ** 31), ("nat", "PREROUTING"): -300, ("nat", "OUTPUT"): 100, ("nat", "POSTROUTING"): 300,
    ("filter", "OUTPUT"): 200,
}
_BRIDGE_FILTER = -200

#: Options that always take one word, whatever it looks like: free text.
_ONE_WORD = {
    "comment", "log-prefix", "nflog-prefix", "ulog-prefix", "string", "hex-string", "prefix", "bytecode", "object-pinned",
    "u32", "name", "ttl-set",
}
#: Modules that match everything unless one of their options says otherwise (man iptables-extensions).
_NEUTRAL = {
    "tcp", "udp", "udplite", "icmp", "icmp6", "icmpv6", "comment", "state", "conntrack", "physdev", "multiport", "standard",
}
#: Targets after which the packet meets the next rule and that change nothing which rules here look at.
_GO_ON = {
    "LOG", "NFLOG", "ULOG", "MARK", "CONNMARK", "CONNSECMARK", "SECMARK", "SET", "TCPMSS", "TCPOPTSTRIP", "CLASSIFY", "CHECKSUM",
    "DSCP", "TOS", "TTL", "HL", "ECN", "TRACE", "TEE", "AUDIT", "IDLETIMER", "LED", "RATEEST", "HMARK", "CONTINUE", "NETFLOW",
}
_FINAL = {
    "ACCEPT": Action("accept"), "DROP": Action("drop"), "REJECT": Action("reject"), "TARPIT": Action("drop"),
    "RETURN": Action("return"),
}
_DESTINATION, _SOURCE = ("destination", "destination_port"), ("source", "source_port")
#: Targets that change addresses; (changes, the option that says what follows, what follows by default).
_REWRITE: dict[str, tuple[tuple[str, ...], str, str]] = {
    "DNAT": (_DESTINATION, "", "ACCEPT"), "REDIRECT": (_DESTINATION, "", "ACCEPT"), "SNAT": (_SOURCE, "", "ACCEPT"),
    "MASQUERADE": (_SOURCE, "", "ACCEPT"), "NETMAP": (("source", "destination"), "", "ACCEPT"),
    "SNPT": (("source",), "", "CONTINUE"), "DNPT": (("destination",), "", "CONTINUE"),
    "dnat": (("destination_mac",), "dnat-target", "ACCEPT"), "snat": (("source_mac",), "snat-target", "ACCEPT"),
    "redirect": (("destination_mac",), "redirect-target", "ACCEPT"), "mark": ((), "mark-target", "ACCEPT"),
    "mangle": (("source", "destination", "source_mac"), "mangle-target", "ACCEPT"),
}
_COUNTERS = re.compile(r"\[([0-9]{1,20}):([0-9]{1,20})\]")
_LISTED_CHAIN = re.compile(
    r"Bridge chain: (\S{1,64}), entries: [0-9]{1,9}, policy: ([A-Z]{1,16})|Chain (\S{1,64}) \((?:policy ([A-Z]{1,16})\b)?.*\)",
)
_LISTED_RULE = re.compile(r"(.*), pcnt ?= ?([0-9]{1,20}) -- bcnt ?= ?([0-9]{1,20}) ?")
_QUOTES = frozenset("\"'\\")
_BACKEND = "# backend "


@dataclass(slots=True)
class _Draft:
    """A table while it is read."""

    name: str
    backend: Backend
    chains: dict[str, Chain] = field(default_factory=dict)
    rules: list[tuple[str, str, list[str], tuple[int | None, int | None]]] = field(default_factory=list)
    committed: bool = False
    listed: str = ""


def ruleset(text: str, tool: Tool, family: NetfilterFamily) -> Ruleset:
    """Read the dumps of both backends, each behind its line ``# backend NAME``.

    Raises Unreadable on a line that is none of the format, and on a table of iptables that is cut off before COMMIT.
    """
    drafts: list[_Draft] = []
    unread: list[str] = []
    backend: Backend = "legacy"
    for line in lines(text):
        if line.startswith(_BACKEND):
            backend = "nft" if line[len(_BACKEND):].startswith("nft") else "legacy"
        elif line.startswith("# unread "):
            unread.append(f"{tool} ({backend}): {line[len('# unread '):]}")
        elif not line.startswith("#"):
            _line(line.strip(), drafts, backend)
    if tool in {"iptables", "ip6tables"} and any(not draft.committed for draft in drafts):
        raise Unreadable("COMMIT at the end of every table", lines(text)[-1])
    return Ruleset(tuple(_table(draft, tool, family) for draft in drafts), tuple(unread))


def _line(line: str, drafts: list[_Draft], backend: Backend) -> None:
    if line.startswith("*"):
        drafts.append(_Draft(line[1:].strip(), backend))
        return
    if not drafts or drafts[-1].committed:
        raise Unreadable("a line '*table' before chains and rules", line)
    draft = drafts[-1]
    if line == "COMMIT":
        draft.committed = True
    elif line.startswith(":"):
        _chain(line, draft)
    elif line.startswith(("Bridge ", "Chain ")):
        _heading(line, draft)
    else:
        _rule(_as_saved(line, draft), draft)


def _heading(line: str, draft: _Draft) -> None:
    """Read a heading of legacy ``-L``: a chain, or ebtables' table, which the script has said before."""
    if found := _LISTED_CHAIN.fullmatch(line):
        draft.listed = found[1] or found[3]
        draft.chains[draft.listed] = Chain(draft.listed, (), (found[2] or found[4] or "").lower())
    elif line != f"Bridge table: {draft.name}":
        raise Unreadable("'Bridge chain: NAME, entries: N, policy: POLICY' or 'Chain NAME (policy POLICY ...)'", line)


def _as_saved(line: str, draft: _Draft) -> str:
    """Give a rule that legacy ebtables or arptables has listed the form of the dumps."""
    if not draft.listed:
        return line
    if found := _LISTED_RULE.fullmatch(line):
        return f"[{found[2]}:{found[3]}] -A {draft.listed} {found[1].strip()}"
    return f"-A {draft.listed} {line.strip()}"


def _chain(line: str, draft: _Draft) -> None:
    words = line[1:].split()
    if len(words) not in {2, 3}:
        raise Unreadable("':CHAIN POLICY [packets:bytes]'", line)
    packets, size = _counters(words[2]) if words[2:] else (None, None)
    policy = "" if words[1] == "-" else words[1].lower()
    draft.chains[words[0]] = Chain(words[0], (), policy, packets=packets, bytes=size)


def _counters(text: str) -> tuple[int, int]:
    if not (found := _COUNTERS.fullmatch(text)):
        raise Unreadable("counters '[packets:bytes]'", text)
    return int(found[1]), int(found[2])


def _rule(line: str, draft: _Draft) -> None:
    counters: tuple[int | None, int | None] = (None, None)
    rest = line
    if line.startswith("["):
        first, _, rest = line.partition(" ")
        counters = _counters(first)
    try:
        words = shlex.split(rest) if _QUOTES & set(rest) else rest.split()
    except ValueError as error:
        raise Unreadable("a rule with its quotes closed", line) from error
    if len(words) < 2 or words[0] not in {"-A", "-I"} or words[1] not in draft.chains:  # noqa: PLR2004 - -A CHAIN
        raise Unreadable("'-A CHAIN ...' of a chain that was declared", line)
    draft.rules.append((words[1], rest, words[2:], counters))


def _table(draft: _Draft, tool: Tool, family: NetfilterFamily) -> RuleTable:
    found: dict[str, list[Rule]] = {name: [] for name in draft.chains}
    for chain, text, words, counters in draft.rules:
        found[chain].append(_read(text, words, counters, draft, tool))
    chains = {name: _placed(chain, tuple(found[name]), draft.name, tool) for name, chain in draft.chains.items()}
    return RuleTable(family, draft.name, tool, draft.backend, Table("chain", chains))


def _placed(chain: Chain, rules: tuple[Rule, ...], table: str, tool: Tool) -> Chain:
    hook = _HOOKS.get(chain.name, "")
    if not hook:
        return replace(chain, rules=rules)  # ebtables gives a policy to a user's own chain too: what follows its last rule
    kind = "nat" if table == "nat" and tool in {"iptables", "ip6tables"} else "filter"
    return replace(chain, rules=rules, hook=hook, priority=_priority(table, chain.name, hook, tool), type=kind)


def _priority(table: str, chain: str, hook: str, tool: Tool) -> int:
    if tool == "ebtables":
        return _BRIDGE_PRIORITIES.get((table, chain), _BRIDGE_FILTER)
    if table == "nat":
        return _SOURCE_NAT if hook in {"postrouting", "input"} else -_SOURCE_NAT
    return _IP_PRIORITIES.get(table, 0)


def _read(text: str, words: Sequence[str], counters: tuple[int | None, int | None], draft: _Draft, tool: Tool) -> Rule:
    options = list(_options(words))
    counted = next((one for one in options if one.name == "c" and len(one.values) == 2), None)  # noqa: PLR2004 - packets, bytes
    if counted is not None and all(value.isdigit() for value in counted.values):
        counters = (int(counted.values[0]), int(counted.values[1]))
        options.remove(counted)
    at = next((place for place, one in enumerate(options) if one.name in {"j", "g"} and not one.negated), len(options))
    jump, behind = options[at:at + 1], options[at + 1:]
    matches = options[:at] + (behind if tool == "arptables" else [])
    actions = _actions(jump[0], behind, draft) if jump else ()
    return Rule(text, tuple(one for one in matches if not _says_nothing(one)), actions, *counters)


#: Watchers of ebtables, which stand among the matches; arptables' target options, which may stand there too.
_WATCHERS = ("log", "ulog", "nflog", "mangle-", "set-class", "limit-burst")


def _says_nothing(option: Option) -> bool:
    """Tell watchers and the like from matches; ``limit`` itself stays."""
    return option.name.startswith(_WATCHERS)


def _options(words: Sequence[str]) -> Iterator[Option]:
    """Split the words into options, each with its module, its values and whether ``!`` stands before it or its value."""
    module, bare, place = "", "", 0
    while place < len(words):
        flip = words[place] == "!" and place + 1 < len(words)
        place += flip
        name = words[place].lstrip("-") if words[place].startswith("-") else ""
        values, place = _values(words, place + 1, name) if name else ((words[place],), place + 1)
        if values[:1] == ("!",):
            flip, values = not flip, values[1:]
        if name == "m":
            if bare:
                yield Option(bare, "")
            module = " ".join(values)
            bare = "" if module in _NEUTRAL else module
            continue
        if bare and (name in {"j", "g"}):
            yield Option(bare, "")
        bare = ""
        yield Option(module if name not in {"j", "g"} else "", name, values, flip)
    if bare:
        yield Option(bare, "")


def _values(words: Sequence[str], start: int, name: str) -> tuple[tuple[str, ...], int]:
    if name in _ONE_WORD:
        return tuple(words[start:start + 1]), start + 1
    end = start
    while end < len(words) and not _begins_option(words, end):
        end += 1
    return tuple(words[start:end]), end


def _begins_option(words: Sequence[str], place: int) -> bool:
    word = words[place]
    if word == "!":
        return place + 1 < len(words) and words[place + 1].startswith("-")
    return word.startswith("-") and len(word) > 1 and not word[1].isdigit()


def _actions(jump: Option, behind: Sequence[Option], draft: _Draft) -> tuple[Action, ...]:
    target = " ".join(jump.values)
    if target in draft.chains:
        return (Action("jump" if jump.name == "j" else "goto", target),)
    if draft.name == "broute" and target == "DROP":
        return (Action("unknown", "broute DROP, which has the node route the frame itself,"),)
    if target in _REWRITE:
        return _rewriting(target, behind)
    return (_FINAL.get(target) or _other(target, behind),)


def _other(target: str, behind: Sequence[Option]) -> Action:
    if target in _GO_ON:
        return Action("continue", target)
    if target in {"NOTRACK", "CT"}:
        off = target == "NOTRACK" or any(option.name == "notrack" for option in behind)
        return Action("notrack" if off else "continue", target)
    if target == "arpreply":
        return Action("unknown", "arpreply, with which the node answers in the place of the one asked,")
    return Action("unknown", f"target {target}")


def _rewriting(target: str, behind: Sequence[Option]) -> tuple[Action, ...]:
    changes, option, default = _REWRITE[target]
    following = next((one.values[0] for one in behind if option and one.name == option and one.values), default)
    after = _FINAL.get(following, Action("continue", target))
    return (Action("rewrite", target, changes), after) if changes else (after,)
