"""Everything of the inventory files."""

from __future__ import annotations

from dataclasses import dataclass

from netchecks.models.subjects.flows import Flow
from netchecks.models.subjects.networks import Network
from netchecks.models.subjects.nodes import Node
from netchecks.models.subjects.vms import Interface, Vm


@dataclass(frozen=True, slots=True)
class Waiver:
    """A failure that is accepted: ``check`` and ``subject`` are shell patterns. ``until`` is ISO 8601 or empty."""

    check: str
    subject: str
    reason: str
    until: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that is meant, in the order of the files. Flows are the declared ones only: platforms add the implied."""

    nodes: tuple[Node, ...] = ()
    networks: tuple[Network, ...] = ()
    vms: tuple[Vm, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    flows: tuple[Flow, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    files: tuple[str, ...] = ()
