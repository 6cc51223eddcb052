"""Faults as data: what breaks a lab, what undoes it, and the diagnosis it deserves.

The YAML files ``TOPOLOGY.yaml`` and ``TOPOLOGY.*.yaml`` in ``netchecks/lab/faults/``. A step is shell text that runs as root
(rootless: as the lab's owner, with all capabilities over its namespaces) in a place, under ``set -eu``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator

from netchecks.errors import LabError
from netchecks.lab.topology import FAULTS, Strict

#: Functions for the steps. ``await COMMAND`` waits up to 5 s for it to succeed. ``start NAME [COMMAND]`` starts a daemon of the
#: place, one of the topology's by name alone; ``stop NAME`` kills it with its children.
PRELUDE = """
await() { n=0; until "$@" >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 100 ] || return 1; sleep 0.05; done; }
pidfile() { mkdir -p /run/lab; echo "/run/lab/$PLACE-$1.pid"; }
start() {
  name=$1; shift; [ $# -gt 0 ] || set -- sh "/run/lab/$PLACE-$name.sh"
  setsid "$@" </dev/null >/dev/null 2>&1 & echo $! >"$(pidfile "$name")"
}
gone() { ! kill -0 "-$1"; }
stop() {
  group=$(cat "$(pidfile "$1")"); kill -9 "-$group"; await gone "$group"
  rm "$(pidfile "$1")"; rmdir /run/lab 2>/dev/null || true
}
"""


class Step(Strict):
    """Shell text and the place where it runs; ``lab`` sees all network namespaces as $NS_<place>."""

    at: str
    run: str


class Expected(Strict):
    """A cause code and the place it has to be named at: a node, a VM, the address of a gateway or resolver.

    ``also``: other places that are right too (the other family's address, the second of two duplicates).
    """

    code: str = Field(pattern=r"^[a-z]+\.[a-z0-9_]+$")
    place: str
    also: tuple[str, ...] = ()

    def named_by(self, code: str, places: Sequence[str]) -> bool:
        """Tell whether a diagnosis says this, at a right place and at no wrong one."""
        return code == self.code and bool(places) and set(places) <= {self.place, *self.also}


class Fault(Strict):
    """One fault, or one unusual but healthy state (``healthy``: nothing may be named).

    ``expect_all``: every cause that has to be named, where there are several. ``note``: it is a note and no failure.
    ``options``: what the suites are run with. ``needs``: ``rooted`` where a lab without root cannot show it.
    ``settle``: seconds until it shows.
    ``inventory``: what is meant in this state, merged over the lab's inventory. ``why``: what makes it worth having.
    """

    name: str = Field(pattern=r"^[a-z0-9-]+$")
    title: str
    breaks: tuple[Step, ...] = Field(alias="break")
    undo: tuple[Step, ...]
    expect: Expected | None = None
    expect_all: tuple[Expected, ...] = ()
    healthy: bool = False
    note: bool = False
    needs: Literal["", "rooted"] = ""
    options: tuple[str, ...] = ()
    settle: float = Field(default=0.0, ge=0, le=5)
    inventory: dict[str, Any] = Field(default_factory=dict)
    why: str = ""

    @field_validator("expect_all")
    @classmethod
    def _several(cls, value: tuple[Expected, ...]) -> tuple[Expected, ...]:
        """One expected cause is ``expect``."""
        if len(value) == 1:
            raise ValueError("one cause alone is written as expect")
        return value

    @property
    def expected(self) -> tuple[Expected, ...]:
        """Every cause that has to be named."""
        return self.expect_all or ((self.expect,) if self.expect else ())

    def unfit(self, *, rooted: bool) -> str:
        """Say why a lab cannot show it; empty where it can."""
        return "needs a rooted lab" if self.needs == "rooted" and not rooted else ""


class Faults(Strict):
    """All faults of a topology, and the shell functions that their steps share."""

    functions: str = ""
    faults: tuple[Fault, ...]


@cache
def read(topology: str) -> Faults:
    """Read the faults of a topology from all its files; none where there is no file. Raises LabError with every mistake."""
    paths = [path for path in (FAULTS / f"{topology}.yaml", *sorted(FAULTS.glob(f"{topology}.*.yaml"))) if path.exists()]
    parts = [parse(path.read_text(encoding="utf-8"), path.name) for path in paths]
    whole = Faults(functions="".join(part.functions for part in parts), faults=tuple(one for part in parts for one in part.faults))
    mistakes = _mistakes(whole.faults)
    if mistakes:
        raise LabError("\n".join(f"{topology}: {mistake}" for mistake in mistakes))
    return whole


def topologies() -> list[str]:
    """Give every topology that has faults."""
    return sorted({path.name.partition(".")[0] for path in FAULTS.glob("*.yaml")})


def load(topology: str) -> tuple[Fault, ...]:
    """Give the faults of a topology in their order. Raises LabError."""
    return read(topology).faults


def parse(text: str, file: str) -> Faults:
    """Read faults from their text."""
    try:
        found = Faults.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise LabError(f"{file}: {error}") from error
    except ValidationError as error:
        raise LabError("\n".join(f"{file}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())) from error
    mistakes = _mistakes(found.faults)
    if mistakes:
        raise LabError("\n".join(f"{file}: {mistake}" for mistake in mistakes))
    return found


def _mistakes(faults: tuple[Fault, ...]) -> list[str]:
    """Give what is wrong between them."""
    found = []
    seen: set[str] = set()
    for fault in faults:
        if fault.name in seen:
            found.append(f"{fault.name}: twice")
        seen.add(fault.name)
        if fault.healthy == bool(fault.expected):
            found.append(f"{fault.name}: expected either 'healthy: true' or what to name")
    return found


def find(topology: str, name: str) -> Fault:
    """Give a fault by name. Raises LabError with what there is."""
    known = {fault.name: fault for fault in load(topology)}
    if name not in known:
        raise LabError(f"no fault {name!r} in {topology}; there are {', '.join(known) or 'none'}")
    return known[name]
