"""Rule sets as values: what iptables, ebtables, arptables and nft have loaded into the kernel."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

from netchecks.models.table import Table

if TYPE_CHECKING:
    from netchecks.models.netfilter.translations import Translations

Tool: TypeAlias = Literal["iptables", "ip6tables", "arptables", "ebtables", "nftables"]
Backend: TypeAlias = Literal["legacy", "nft"]
#: Families as nftables calls them (man nft, ADDRESS FAMILIES).
NetfilterFamily: TypeAlias = Literal["ip", "ip6", "inet", "arp", "bridge", "netdev"]


@dataclass(frozen=True, slots=True)
class Option:
    """A match of iptables, ebtables or arptables: ``-m module ! --name values``; ``p``, ``s``, ``i`` ... without dashes."""

    module: str
    name: str
    values: tuple[str, ...] = ()
    negated: bool = False

    def __str__(self) -> str:
        """Give it as it is typed."""
        dashes = "" if not self.name else "-" if len(self.name) == 1 else "--"
        parts = (f"-m {self.module}" if self.module else "", "!" if self.negated else "", dashes + self.name, *self.values)
        return " ".join(filter(None, parts))


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal of nft's JSON: a number, a word, an address, a switch."""

    value: str | int | bool


@dataclass(frozen=True, slots=True)
class Selector:
    """What nft looks at: ``payload`` (``tcp dport``), ``meta`` (``iifname``), ``ct`` (``state``), ``fib`` (``daddr type``)."""

    domain: str
    name: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """An address prefix."""

    address: str
    length: int


@dataclass(frozen=True, slots=True)
class Interval:
    """From ``low`` to ``high``, both included."""

    low: Constant
    high: Constant


@dataclass(frozen=True, slots=True)
class Concatenation:
    """``ip daddr . tcp dport`` and the elements of such sets."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Elements:
    """An anonymous set."""

    members: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Flags:
    """A list of flags: ``established,related``."""

    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Reference:
    """A named set or map: ``@name``."""

    name: str


@dataclass(frozen=True, slots=True)
class Operation:
    """A bit operation on a selector."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Opaque:
    """What is not evaluated. ``partial``: a random number or a hash."""

    text: str
    partial: bool = False


Expression: TypeAlias = (
    Constant | Selector | Prefix | Interval | Concatenation | Elements | Flags | Reference | Operation | Opaque
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A match of nft: ``left operator right``; ``in`` tests flags."""

    left: Expression
    operator: str
    right: Expression


Match: TypeAlias = Option | Comparison | Opaque


@dataclass(frozen=True, slots=True)
class Action:
    """What a rule does to a packet that it matches.

    ``rewrite`` changes ``changes`` (names of Packet's fields) and goes on; ``unknown`` may do anything.
    ``target``: the chain for jump and goto, else the target's own name.
    """

    kind: Literal["accept", "drop", "reject", "return", "jump", "goto", "continue", "rewrite", "notrack", "unknown"]
    target: str = ""
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VerdictMap:
    """nft's vmap: an element that equals the key decides. ``elements`` is a Reference for a named map."""

    key: Expression
    elements: tuple[tuple[Expression, Action], ...] | Reference


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``text`` is the tool's own. Counters are None where there are none."""

    text: str
    matches: tuple[Match, ...] = ()
    actions: tuple[Action | VerdictMap, ...] = ()
    packets: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain. ``hook`` is empty for a user's own. ``policy`` is ``accept`` or ``drop``, empty for a user's own.

    ``devices`` of netdev chains; None when the tool does not tell them. Counters are the policy's.
    """

    name: str
    rules: tuple[Rule, ...] = ()
    policy: str = ""
    hook: str = ""
    priority: int = 0
    type: str = "filter"
    devices: tuple[str, ...] | None = ()
    packets: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class NamedSet:
    """A named set or verdict map of nft with the elements that it had when it was read."""

    name: str
    elements: tuple[Expression, ...] = ()
    verdicts: tuple[tuple[Expression, Action], ...] = ()


@dataclass(frozen=True, slots=True)
class RuleTable:
    """A table: its chains and named sets by name."""

    family: NetfilterFamily
    name: str
    tool: Tool
    backend: Backend
    chains: Table[Chain] = field(default_factory=lambda: Table("chain", {}))
    sets: Table[NamedSet] = field(default_factory=lambda: Table("set", {}))


@dataclass(frozen=True)
class Ruleset:
    """Everything one fact saw. ``unread``: what is loaded but could not be read, each with its reason."""

    tables: tuple[RuleTable, ...] = ()
    unread: tuple[str, ...] = ()

    @cached_property
    def translated(self) -> dict[str, Translations]:
        """What ``translations`` found in it, by target: it reads each rule's text, and is asked anew for each address."""
        return {}
