"""Evaluating the matches of nftables. Source: man nft, libnftables-json(5)."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import TypeAlias

from netchecks.models.netfilter.fields import Hardware, IpAddress, Kind, Name, Number, PortValue, Read, Set, Several, Value, Word, select
from netchecks.models.netfilter.point import (
    Point,
    address_between,
    address_in,
    address_or_none,
    address_type,
    device_is,
    mac,
    mac_number,
    port_between,
)
from netchecks.models.netfilter.rules import (
    Comparison,
    Concatenation,
    Constant,
    Elements,
    Expression,
    Flags,
    Interval,
    NamedSet,
    Opaque,
    Operation,
    Prefix,
    Reference,
    Selector,
)
from netchecks.models.netfilter.truth import Doubt, Truth, every, negated, some
from netchecks.models.packets import Packet
from netchecks.models.table import Table

#: The element of a set or map that stands for all the others.
CATCH_ALL = Constant("*")

Sets: TypeAlias = Table[NamedSet]


def comparison_holds(match: Comparison | Opaque, packet: Packet, point: Point, sets: Sets) -> Truth:
    """Tell whether a match of nft holds. What is not known here is a doubt."""
    if isinstance(match, Opaque):
        return Doubt(match.text, partial=match.partial)
    value = read(match.left, packet, point)
    if value is None or isinstance(value, Doubt):
        return False if value is None else value
    return _compare(value, match.operator, match.right, sets)


def read(expression: Expression, packet: Packet, point: Point) -> Read:
    """Give what the packet has where the expression looks."""
    if isinstance(expression, Selector):
        return select(expression, packet, point)
    if isinstance(expression, Concatenation):
        return _several([read(part, packet, point) for part in expression.parts])
    if isinstance(expression, Operation):
        return _operate(expression, read(expression.left, packet, point))
    if isinstance(expression, Opaque):
        return Doubt(expression.text, partial=expression.partial)
    return Doubt(f"{expression}")


def _several(values: Sequence[Read]) -> Read:
    if any(value is None for value in values):
        return None
    return Several(tuple(value for value in values if value is not None))


def _operate(operation: Operation, value: Read) -> Read:
    if operation.operator != "&" or value is None or isinstance(value, Doubt):
        return value if value is None or isinstance(value, Doubt) else Doubt(f"operator {operation.operator}")
    mask = operation.right
    if isinstance(value, Set):
        names = _flag_names(value, mask)
        return Doubt(f"mask {mask}") if names is None else Set(value.value & names, value.bits)
    if not isinstance(mask, Constant):
        return Doubt("a mask that is no number")
    return _masked(value, mask.value)


def _masked(value: Value, mask: str | int) -> Read:
    bits = address_or_none(mask) if isinstance(mask, str) else None
    hardware = mac_number(mask) if isinstance(mask, str) else None
    ours = mac_number(value.value) if isinstance(value, Hardware) else None
    if isinstance(value, IpAddress) and bits is not None:
        number = int(value.value) & int(bits)
        return IpAddress(ip_address(number.to_bytes(value.value.max_prefixlen // 8, "big")))
    if hardware is not None and ours is not None:
        return Hardware(":".join(f"{byte:02x}" for byte in (ours & hardware).to_bytes(6, "big")))
    if isinstance(value, Number) and isinstance(mask, int):
        return Number(value.value & mask, value.words)
    return Doubt(f"mask {mask}")


def _names(expression: Expression) -> frozenset[str]:
    if isinstance(expression, Flags):
        return expression.names
    if isinstance(expression, Constant) and isinstance(expression.value, str):
        return frozenset({expression.value})
    return frozenset()


def _compare(value: Value, operator: str, right: Expression, sets: Sets) -> Truth:
    if isinstance(value, Set) and not isinstance(right, (Elements, Reference)):
        return _flags(value, operator, right)
    if operator in {"==", "in"}:
        return member(value, right, sets)
    if operator in {"!=", "!"}:
        return negated(member(value, right, sets))
    return _ordered(value, operator, right)


def _flags(value: Set, operator: str, right: Expression) -> Truth:
    """Test flags: ``in`` any of them, ``!`` none; ``==`` and ``!=`` compare all bits (``ct state != established,related``)."""
    names = _flag_names(value, right)
    if names is None or operator not in {"in", "!", "==", "!="}:
        return Doubt(f"flags {operator} {right}")
    if operator in {"in", "!"}:
        return bool(value.value & names) == (operator == "in")
    return (value.value == names) == (operator == "==")


def _flag_names(value: Set, right: Expression) -> frozenset[str] | None:
    if not isinstance(right, Constant) or isinstance(right.value, str):
        return _names(right)
    known = sum(value.bits.values())
    return None if right.value & ~known else frozenset(name for name, bit in value.bits.items() if right.value & bit)


def _ordered(value: Value, operator: str, right: Expression) -> Truth:
    """Compare by order, as the interval that the operator means."""
    if not isinstance(right, Constant) or not isinstance(right.value, int):
        return Doubt(f"{operator} {right}")
    bound, highest = right.value, 2 ** 64
    low, high = {
        "<": (0, bound - 1), "<=": (0, bound), ">": (bound + 1, highest), ">=": (bound, highest),
    }.get(operator, (None, None))
    if low is None or high is None:
        return Doubt(f"operator {operator}")
    return _between(value, Constant(low), Constant(high)) if low <= high else False


def member(value: Value, element: Expression, sets: Sets) -> Truth:
    """Tell whether a value equals an element, lies in it, or is in the set it stands for."""
    if isinstance(element, Elements):
        return some(member(value, one, sets) for one in element.members)
    if isinstance(element, Reference):
        if element.name not in sets:
            return Doubt(f"set @{element.name}")
        return some(member(value, one, sets) for one in sets[element.name].elements)
    if isinstance(element, Concatenation) and isinstance(value, Several) and len(element.parts) == len(value.values):
        pairs = zip(value.values, element.parts, strict=True)
        return every(one if isinstance(one, Doubt) else member(one, part, sets) for one, part in pairs)
    return _equals(value, element)


def _equals(value: Value, element: Expression) -> Truth:
    if isinstance(element, Prefix) and isinstance(value, IpAddress):
        return address_in(value.value, f"{element.address}/{element.length}")
    if element == CATCH_ALL:
        return True
    if isinstance(element, Interval):
        return _between(value, element.low, element.high)
    if isinstance(value, Set):
        return _flags(value, "==", element)
    if isinstance(element, Constant):
        return _is(value, element.value)
    return Doubt(f"{element}")


def _between(value: Value, low: Constant, high: Constant) -> Truth:
    if isinstance(value, IpAddress):
        return address_between(value.value, str(low.value), str(high.value))
    first, last = _integer(value, low.value), _integer(value, high.value)
    if first is None or last is None:
        return Doubt(f"{low.value}-{high.value}")
    if isinstance(value, PortValue):
        return port_between(value.value, first, last)
    return first <= value.value <= last if isinstance(value, Number) else Doubt(f"{low.value}-{high.value}")


def _integer(value: Value, text: str | int) -> int | None:
    if isinstance(text, int):
        return int(text)
    words = value.words if isinstance(value, Number) else {}
    try:
        return words[text] if text in words else int(text, 0)
    except ValueError:
        return None


def _is(value: Value, constant: str | int) -> Truth:
    if isinstance(value, (Number, PortValue)):
        number = _integer(value, constant)
        return Doubt(f"{constant}") if number is None else _between(value, Constant(number), Constant(number))
    if not isinstance(constant, str):
        return Doubt(f"{constant}")
    return _is_text(value, constant)


def _is_text(value: Value, text: str) -> Truth:
    if isinstance(value, IpAddress):
        return address_in(value.value, text)
    if isinstance(value, Name):
        return device_is(text, value.value, "*")
    if isinstance(value, Hardware):
        return Doubt(f"hardware address {text}") if mac_number(text) is None else value.value == mac(text)
    if isinstance(value, Kind):
        return address_type(value.address, (text,), value.own)
    return value.value == text if isinstance(value, Word) else Doubt(text)
