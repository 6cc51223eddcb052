"""Which addresses the rules of iptables translate, and to what. Source: man iptables-extensions, DNAT, SNAT."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from netchecks.models.netfilter.point import address_in
from netchecks.models.netfilter.rules import Action, Option, Rule, Ruleset, RuleTable
from netchecks.models.subjects import Address

#: What says to which address, by the target.
_TO = {"DNAT": "--to-destination", "SNAT": "--to-source"}
_SIDE = {"DNAT": frozenset({"d", "destination"}), "SNAT": frozenset({"s", "source"})}
_HOOKS = {"DNAT": "prerouting", "SNAT": "postrouting"}
_OUT = frozenset({"o", "out-interface"})
_DEEPEST = 16


@dataclass(frozen=True, slots=True)
class Translation:
    """One rule that translates: ``matches`` are the prefixes that it takes (none: all), ``to`` the address, ``port`` where it has one.

    ``protocol``: the one that it is about, empty for all. ``device``: the one that packets leave by, empty for any. ``some``: it is of a
    source, and not for all that it sends: only to some addresses, or only what was translated already. ``chain``, ``text``: the tool's own.
    """

    target: str
    matches: tuple[str, ...]
    to: str
    port: int | None
    protocol: str
    chain: str
    text: str
    device: str = ""
    some: bool = False

    def takes(self, address: Address, protocol: str = "") -> bool:
        """Tell whether it is for packets of this address, and of this protocol where one is named."""
        ours = not protocol or self.protocol in {"", "all", protocol}
        return ours and all(address_in(address, prefix) is True for prefix in self.matches)

    def leaves(self, device: str) -> bool:
        """Tell whether it is for all that is begun behind it and leaves by that device (empty: any), whoever it goes to."""
        alike = self.device.endswith("+") and device.startswith(self.device[:-1])
        return not self.some and (alike or not device or self.device in {"", device})

    @property
    def whole(self) -> bool:
        """Whether it is of a single address: a floating one or its fixed one."""
        return any(map(_is_single, self.matches))


def _is_single(prefix: str) -> bool:
    return prefix.partition("/")[2] in {"", "32", "255.255.255.255"}


class Translations(tuple[Translation, ...]):  # noqa: SLOT001 - cached_property keeps what it found in __dict__
    """The rules of one target in the order in which packets come by them."""

    def of(self, address: Address) -> tuple[Translation, ...]:
        """Give those that are of this address alone."""
        return tuple(one for one in self._by_address.get(str(address), ()) if one.takes(address))

    @cached_property
    def _by_address(self) -> dict[str, list[Translation]]:
        found: dict[str, list[Translation]] = {}
        for one in self:
            if one.whole:
                found.setdefault(next(prefix.partition("/")[0] for prefix in one.matches if _is_single(prefix)), []).append(one)
        return found


def translations(ruleset: Ruleset, target: str) -> Translations:
    """Give the rules of one target (``DNAT``, ``SNAT``) that packets come by, in the order in which they do."""
    if target not in ruleset.translated:
        ruleset.translated[target] = Translations(_translations(ruleset, target))
    return ruleset.translated[target]


def _translations(ruleset: Ruleset, target: str) -> Iterator[Translation]:
    for table in ruleset.tables:
        for chain in table.chains.values():
            if table.name == "nat" and chain.hook == _HOOKS[target]:
                yield from (one for name, rule in _reached(table, chain.name, 0) if (one := _translation(rule, name, target)) is not None)


def _reached(table: RuleTable, name: str, depth: int) -> Iterator[tuple[str, Rule]]:
    """Give the rules of a chain and of those that it jumps to; the kernel allows no loops."""
    if depth > _DEEPEST or name not in table.chains:
        return
    for rule in table.chains[name].rules:
        yield name, rule
        for action in rule.actions:
            if isinstance(action, Action) and action.kind in {"jump", "goto"}:
                yield from _reached(table, action.target, depth + 1)


def _translation(rule: Rule, chain: str, target: str) -> Translation | None:
    if not any(isinstance(action, Action) and action.target == target for action in rule.actions):
        return None
    try:
        to = next((value for word, value in pairwise(shlex.split(rule.text)) if word == _TO[target]), "")
    except ValueError:
        return None
    options = [match for match in rule.matches if isinstance(match, Option) and not match.negated]
    matches = tuple(value for option in options if option.name in _SIDE[target] for value in option.values)
    protocol = next((option.values[0] for option in options if option.name in {"p", "protocol"} and option.values), "")
    address, _, port = to.partition(":")
    device = next((option.values[0] for option in options if option.name in _OUT and option.values), "")
    some = target == "SNAT" and any(_is_for_some(option) for option in options)
    return Translation(target, matches, address, int(port) if port.isdigit() else None, protocol, chain, rule.text, device, some)


def _is_for_some(option: Option) -> bool:
    """Tell whether a match leaves out what is sent to anywhere: as nova's rules for who asks itself by its own floating address."""
    if option.name in _SIDE["DNAT"]:
        return any(not prefix.endswith(("/0", "/0.0.0.0")) for prefix in option.values)
    return option.name == "ctstate" and bool(option.values) and set(option.values[0].split(",")) <= {"DNAT", "SNAT"}
