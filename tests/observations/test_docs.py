"""docs/observations.md names every fact as it is declared. ``make docs`` writes the table there: this module, run."""

from __future__ import annotations

from pathlib import Path

import netchecks.observations  # noqa: F401 - fills OBSERVATIONS
from netchecks.observe import OBSERVATIONS, Command, Observation

DOCUMENT = Path(__file__).parents[2] / "docs" / "observations.md"
LINKS = "| fact | of | what it holds | command | needs |\n|---|---|---|---|---|\n"


def shown(command: Command) -> str:
    words = " ".join(command.argv).replace("|", "\\|")
    return f"a script around `{command.tool}`{f', with `{words}`' if words else ''}" if command.shell else f"`{words}`"


def needs(fact: Observation) -> str:
    told = ["root"] if fact.root else []
    told += [f"module {name}" for name in fact.modules]
    told += ["read before and after the probes"] if fact.counter else []
    told += ["alone, when everything else is done"] if fact.alone else []
    return ", ".join(told)


def row(fact: Observation) -> str:
    claim = fact.doc.splitlines()[0].replace("|", "\\|") if fact.doc else ""
    ways = " or, where that fails, ".join(shown(command) for command in [fact.command, *(command for command, _ in fact.or_else)])
    ways += "".join(f"; in Windows {shown(command)}" for command, _ in fact.windows[:1])
    ways += "".join(f" or {shown(command)}" for command, _ in fact.windows[1:])
    return f"| `{fact.name}` | {'inside a ' * fact.inside}{fact.of.__name__} | {claim} | {ways} | {needs(fact)} |"


def table() -> str:
    return LINKS + "\n".join(row(fact) for _, fact in sorted(OBSERVATIONS.items())) + "\n"


def test_the_document_has_every_fact():
    assert table() in DOCUMENT.read_text(), "make docs"


if __name__ == "__main__":
    head, _, rest = DOCUMENT.read_text().partition(LINKS)
    DOCUMENT.write_text(head + table() + rest[len(rest.partition("\n\n")[0]) + 1:])
