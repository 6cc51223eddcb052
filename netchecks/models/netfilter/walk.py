"""Walking one base chain with a packet: every end that it may come to, given what can and cannot be evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce
from typing import Any, Literal

from netchecks.models.netfilter.ethernet import arp_holds, ethernet_holds
from netchecks.models.netfilter.expressions import CATCH_ALL, comparison_holds, member, read
from netchecks.models.netfilter.point import Point
from netchecks.models.netfilter.rules import Action, Chain, Expression, Match, Option, Reference, Rule, RuleTable, VerdictMap
from netchecks.models.netfilter.truth import Doubt, Truth, every
from netchecks.models.netfilter.xtables import option_holds
from netchecks.models.packets import ANY_PORT, Packet

#: Chains within chains. nftables allows 16; iptables has no limit, but nobody nests as deep as this.
DEEPEST = 64
#: What a field of a packet is when a rule has changed it, or when it depends on a doubt.
UNKNOWN: dict[str, Any] = {
    "source": None, "destination": None, "source_port": ANY_PORT, "destination_port": ANY_PORT, "source_mac": "",
    "destination_mac": "", "state": None, "translated": None, "exempt": None,
}


@dataclass(frozen=True, slots=True)
class Fate:
    """One way that the packet may end. ``rule`` is None for the policy. ``doubts``: what it hinges on."""

    kind: Literal["accept", "drop", "unknown", "return", "continue"]
    packet: Packet
    chain: str = ""
    rule: Rule | None = None
    doubts: tuple[Doubt, ...] = ()

    def under(self, doubts: Sequence[Doubt]) -> Fate:
        """Give the same fate, hinging on these doubts too."""
        return replace(self, doubts=tuple(dict.fromkeys((*self.doubts, *doubts)))) if doubts else self


def blurred(one: Packet, other: Packet) -> Packet:
    """Give the packet that is known only where both agree."""
    if one == other:
        return one
    names = [field.name for field in fields(one) if getattr(one, field.name) != getattr(other, field.name)]
    return replace(one, **{name: UNKNOWN[name] for name in names})


class Walk:
    """The walk through one base chain of one table."""

    def __init__(self, table: RuleTable, point: Point) -> None:
        """Take the table, for its chains and sets, and the hook with its devices."""
        self.table = table
        self.point = point
        self._known: dict[tuple[str, Packet], tuple[Fate, ...]] = {}
        self._within: set[str] = set()

    def fates(self, chain: Chain, packet: Packet) -> tuple[Fate, ...]:
        """Give every end of the base chain, the first named first. What falls through meets the policy."""
        ends = self._chain(chain.name, packet, 0)
        return _distinct(self._policy(chain, fate) if fate.kind == "return" else fate for fate in ends)

    @staticmethod
    def _policy(chain: Chain, fate: Fate) -> Fate:
        return replace(fate, kind="drop" if chain.policy == "drop" else "accept", chain=chain.name, rule=None)

    def _chain(self, name: str, packet: Packet, depth: int) -> tuple[Fate, ...]:
        key = (name, packet)
        if key in self._known:
            return self._known[key]
        if depth > DEEPEST or name in self._within or name not in self.table.chains:  # the kernel would refuse all three
            return (Fate("unknown", packet, name, None, (Doubt(f"chain {name}"),)),)
        self._within.add(name)
        self._known[key] = self._rules(self.table.chains[name], packet, depth)
        self._within.discard(name)
        return self._known[key]

    def _rules(self, chain: Chain, packet: Packet, depth: int) -> tuple[Fate, ...]:
        ends: list[Fate] = []
        carried: tuple[Doubt, ...] = ()
        for rule in chain.rules:
            truth = self._matches(rule, packet, chain.name)
            if truth is False:
                continue
            doubts = (truth,) if isinstance(truth, Doubt) else ()
            fates = self._act(rule, packet, chain.name, depth)
            on = [fate for fate in fates if fate.kind == "continue"]
            ends += [fate.under((*carried, *doubts)) for fate in fates if fate.kind != "continue"]
            if truth is True and not on:
                return _distinct(ends)
            if len(on) < len(fates) or doubts:
                carried = tuple(dict.fromkeys((*carried, *(doubt for fate in on for doubt in fate.doubts))))
            packet = reduce(blurred, [fate.packet for fate in on] + ([packet] if doubts else []))
        return _distinct([*ends, _fall_through(chain, packet, carried)])

    def _matches(self, rule: Rule, packet: Packet, chain: str) -> Truth:
        truth = every(self._match(match, packet) for match in rule.matches)
        return replace(truth, where=f"chain {chain}: {rule.text}") if isinstance(truth, Doubt) else truth

    def _match(self, match: Match, packet: Packet) -> Truth:
        if not isinstance(match, Option):
            return comparison_holds(match, packet, self.point, self.table.sets)
        if self.table.tool == "ebtables":
            return ethernet_holds(match, packet, self.point)
        return (arp_holds if self.table.tool == "arptables" else option_holds)(match, packet, self.point)

    def _act(self, rule: Rule, packet: Packet, chain: str, depth: int) -> list[Fate]:
        """Give the fates of a rule that matches; ``continue`` is the next rule."""
        ends: list[Fate] = []
        on = [Fate("continue", packet, chain, rule)]
        for action in rule.actions:
            found = [one for fate in on for one in self._do(action, rule, fate.packet, chain, depth)]
            ends += [fate for fate in found if fate.kind != "continue"]
            on = [fate for fate in found if fate.kind == "continue"]
        return ends + on

    def _do(self, action: Action | VerdictMap, rule: Rule, packet: Packet, chain: str, depth: int) -> list[Fate]:
        if isinstance(action, VerdictMap):
            return self._map(action, rule, packet, chain, depth)
        if action.kind in {"jump", "goto"}:
            after: Literal["continue", "return"] = "continue" if action.kind == "jump" else "return"
            inner = self._chain(action.target, packet, depth + 1)
            return [replace(fate, kind=after) if fate.kind == "return" else fate for fate in inner]
        return [self._end(action, rule, packet, chain)]

    @staticmethod
    def _end(action: Action, rule: Rule, packet: Packet, chain: str) -> Fate:
        if action.kind == "rewrite":
            return Fate("continue", rewritten(packet, action.changes), chain, rule)
        if action.kind == "notrack":
            return Fate("continue", replace(packet, state="untracked", exempt=True), chain, rule)
        if action.kind == "unknown":
            return Fate("unknown", packet, chain, rule, (Doubt(action.target, where=f"chain {chain}: {rule.text}"),))
        kind: Literal["accept", "drop", "return", "continue"]
        kind = "drop" if action.kind in {"drop", "reject"} else "accept" if action.kind == "accept" else (
            "return" if action.kind == "return" else "continue"
        )
        return Fate(kind, packet, chain, rule)

    def _map(self, chosen: VerdictMap, rule: Rule, packet: Packet, chain: str, depth: int) -> list[Fate]:
        onward = Fate("continue", packet, chain, rule)
        key = read(chosen.key, packet, self.point)
        if key is None:
            return [onward]
        found: list[Fate] = []
        pairs = sorted(self._verdicts(chosen), key=lambda pair: pair[0] == CATCH_ALL)
        for element, action in pairs:
            truth = key if isinstance(key, Doubt) else member(key, element, self.table.sets)
            if truth is False:
                continue
            fates = self._do(action, rule, packet, chain, depth)
            if truth is True:
                return found + fates
            doubt = replace(truth, where=f"chain {chain}: {rule.text}") if isinstance(truth, Doubt) else Doubt("vmap")
            found += [fate.under((doubt,)) for fate in fates]
        return [*found, onward]

    def _verdicts(self, chosen: VerdictMap) -> tuple[tuple[Expression, Action], ...]:
        if not isinstance(chosen.elements, Reference):
            return chosen.elements
        name = chosen.elements.name
        return self.table.sets[name].verdicts if name in self.table.sets else ((Reference(name), Action("unknown", f"map @{name}")),)


def rewritten(packet: Packet, names: Iterable[str]) -> Packet:
    """Give the packet with these fields no longer known, and note which address was translated."""
    changes = {name: UNKNOWN[name] for name in names}
    addresses = frozenset(name for name in changes if name in {"source", "destination"})
    if addresses and packet.translated is not None:
        changes["translated"] = packet.translated | addresses
    return replace(packet, **changes)


def _fall_through(chain: Chain, packet: Packet, doubts: tuple[Doubt, ...]) -> Fate:
    """Give what follows a chain's last rule: ebtables has policies for a user's own chains too."""
    kind: Literal["accept", "drop", "return"] = "return"
    if not chain.hook and chain.policy in {"accept", "drop"}:
        kind = "drop" if chain.policy == "drop" else "accept"
    return Fate(kind, packet, chain.name, None, doubts)


def _distinct(fates: Iterable[Fate]) -> tuple[Fate, ...]:
    """Keep one fate of each kind, rule and packet; the doubts of all of them."""
    found: dict[tuple[object, ...], Fate] = {}
    for fate in fates:
        key = (fate.kind, fate.chain, id(fate.rule), fate.packet)
        found[key] = found[key].under(fate.doubts) if key in found else fate
    return tuple(found.values())
