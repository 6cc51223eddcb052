"""An inventory's text, with remarks: what yaml.dump leaves out is why something stands there, or does not."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import yaml

from netchecks.openstack.deriving import Derived, Entry

_WIDTH = 130


def document(derived: Derived, head: Sequence[str]) -> str:
    """Give the inventory file: its head as remarks, then networks and VMs."""
    lines = [*(f"# {line}" for line in head), "version: 1"]
    for section, entries in (("networks", derived.networks), ("vms", derived.vms)):
        if entries:
            lines.extend((f"{section}:", *(line for entry in entries for line in _entry(entry))))
    return "\n".join((*lines, ""))


def _entry(entry: Entry) -> Iterator[str]:
    for remark in entry.remarks:
        yield f"  # {' '.join(remark.split())}"
    text = yaml.safe_dump({entry.name: dict(entry.fields)}, default_flow_style=None, sort_keys=False, width=_WIDTH, allow_unicode=True)
    yield from textwrap.indent(text, "  ").splitlines()
