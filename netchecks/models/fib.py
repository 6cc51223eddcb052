"""Which route a kernel takes, from its routes and policy rules: for nodes that were not asked for this very packet."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network

from netchecks.errors import Undecided
from netchecks.models.routes import Route, Rule
from netchecks.models.subjects import Address


def best(destination: Address, routes: Iterable[Route], table: str = "main") -> Route | None:
    """Give the route of one table that wins: the most specific, of those the one with the smallest metric."""
    fitting = [
        route for route in routes
        if route.table == table and route.destination.version == destination.version and destination in route.destination
        and route.origin is None and not route.tos
    ]
    return max(fitting, key=lambda route: (route.destination.prefixlen, -route.metric), default=None)


def chosen(destination: Address, routes: Iterable[Route], rules: Iterable[Rule], source: Address | None = None) -> Route | None:
    """Give the route that a packet takes; None where there is no way. Raises Undecided.

    A rule that ends the search gives a route of its kind. Source: ip-rule(8); Linux net/core/fib_rules.c.
    """
    known = tuple(routes)
    for rule in sorted((rule for rule in rules if rule.family == destination.version), key=lambda rule: rule.priority):
        if not _applies(rule, destination, source):
            continue
        if rule.action != "lookup":
            return Route(ip_network(destination), rule.action)
        found = best(destination, known, rule.table)
        short = rule.suppress_prefixlength
        if found is None or found.kind == "throw" or (short is not None and found.destination.prefixlen <= short):
            continue
        return found
    return None


def _applies(rule: Rule, destination: Address, source: Address | None) -> bool:
    outside = rule.destination is not None and destination not in rule.destination
    foreign = rule.source is not None and source is not None and source not in rule.source
    if not rule.inverted and (outside or foreign):
        return False
    unsure = rule.inverted or rule.conditions or rule.action.split()[0] in {"goto", "nop"}
    if unsure or (rule.source is not None and source is None):
        raise Undecided(f"rule {rule.priority} of the routing policy")
    return True
