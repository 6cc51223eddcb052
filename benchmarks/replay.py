"""Fifty thousand checks over a record of five hundred nodes, against a pytest that runs as many empty tests.

The record is a real one of this machine, multiplied; the checks are those of ``suites/node``, each by several names.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, islice
from pathlib import Path

import yaml

from benchmarks.measure import BenchError, Cost, Row, in_turn, run
from netchecks import record

ROOT = Path(__file__).parents[1]
SUITE = ROOT / "suites" / "node"
#: Left out: what is configured for the next start. What stands in the files of the machine that measures is not known.
LEFT_OUT = "test_boot.py"
#: The plugins that a user has; hypothesis is for netchecks' own tests and costs half a second at the end of each run.
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
REPLAY, EMPTY = "replay", "empty pytest"
#: The one node of the real record: a name that stands for all of them.
MODEL = "node"

_TEST = re.compile(r"^def (test_\w+)\(", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Replay:
    """What was measured."""

    rows: tuple[Row, ...]
    checks: int

    def ratio(self) -> float:
        """Give how many times longer the replay took, by the medians."""
        seconds = {row.name: row.seconds for row in self.rows}
        return seconds[REPLAY] / seconds[EMPTY]


def measure(nodes: int, checks: int, runs: int, folder: Path, say: Callable[[str], None]) -> Replay:
    """Measure, the programs in turn. Raises BenchError."""
    say(f"a record of {nodes} nodes, {checks} checks on each")
    made = _recorded(folder)
    multiply(made, folder / "many", nodes)
    suite, empty = folder / "suites" / "node", folder / "empty"
    write_suite(suite, checks)
    write_empty(empty, nodes, checks)
    costs = in_turn({
        REPLAY: (runs, lambda: _replay(suite, folder, nodes * checks)), EMPTY: (runs, lambda: _empty(empty, nodes * checks)),
    }, say)
    return Replay(tuple(Row(name, found) for name, found in costs.items()), nodes * checks)


def _replay(suite: Path, folder: Path, checks: int) -> Cost:
    out = folder / "replayed"
    shutil.rmtree(out, ignore_errors=True)
    return _counted(run(_pytest(suite, f"--replay-run={folder / 'many'}", f"--netchecks-run-dir={out}"), folder), checks)


def _empty(empty: Path, checks: int) -> Cost:
    return _counted(run(_pytest(empty, "-p", "no:netchecks.plugin"), empty), checks)


def _pytest(tests: Path, *more: str) -> list[str]:
    """Give the same pytest for both: the folder's own configuration, so that nothing of the repository's is in force."""
    return [*PYTEST, "-c", "/dev/null", f"--rootdir={tests}", "--import-mode=importlib", "-p", "no:pytest11.testinfra", *more, str(tests)]


def _counted(cost: Cost, checks: int) -> Cost:
    """See that all of them ran and passed. Raises BenchError."""
    if f"{checks} passed" not in cost.output:
        raise BenchError(f"expected {checks} passed:\n{cost.output[-3000:]}")
    return cost


# -- what is replayed ------------------------------------------------------------------------------------------------


def _node(name: str) -> dict[str, object]:
    """Give a node's stanza: what every Linux has."""
    return {"connection": "local", "links": {"lo": {"addresses": ["127.0.0.1/8"]}}, "tools": ["sh"], "name": name}


def write_inventory(path: Path, names: list[str]) -> None:
    """Write an inventory of nodes that are all alike."""
    nodes = {name: {key: value for key, value in _node(name).items() if key != "name"} for name in names}
    path.write_text(yaml.safe_dump({"version": 1, "nodes": nodes}, sort_keys=False), encoding="utf-8")


def _recorded(folder: Path) -> Path:
    """Look at this machine once; give the record's folder. Every node check has to pass here, and quietly."""
    file, out = folder / "one.yaml", folder / "one"
    write_inventory(file, [MODEL])
    run([*PYTEST, str(SUITE), f"--ignore={SUITE / LEFT_OUT}", f"--inventory-file={file}", f"--netchecks-run-dir={out}"], ROOT)
    return out / "record"


def multiply(source: Path, target: Path, nodes: int) -> None:
    """Write a record in which many nodes have seen what one has."""
    one = record.read(source)
    names = [f"{MODEL}{number}" for number in range(1, nodes + 1)]
    file = target / "inventory.yaml"
    target.mkdir()
    write_inventory(file, names)
    for name in names:
        record.write_place(target, replace(one.places[MODEL], place=name))
    record.write_manifest(target, one.manifest, file.read_text(encoding="utf-8"))


def write_suite(folder: Path, checks: int) -> None:
    """Write the node suite as often as it takes to have that many checks, the copies by names of their own."""
    folder.mkdir(parents=True)
    sources = {path.name: path.read_text(encoding="utf-8") for path in sorted(SUITE.glob("test_*.py")) if path.name != LEFT_OUT}
    wanted = islice(((name, number, test) for number in count(1) for name, text in sources.items() for test in _TEST.findall(text)), checks)
    chosen: dict[tuple[str, int], set[str]] = {}
    for name, number, test in wanted:
        chosen.setdefault((name, number), set()).add(test)
    for (name, number), tests in chosen.items():
        text = _TEST.sub(partial(_renamed, number, tests), sources[name])
        (folder / f"{name.removesuffix('.py')}_{number}.py").write_text(text, encoding="utf-8")


def _renamed(number: int, chosen: set[str], head: re.Match[str]) -> str:
    """Give a test's head by its new name; one that is too many is no test."""
    return f"def {head[1]}_{number}(" if head[1] in chosen else f"def left_out_{head[1]}("


def write_empty(folder: Path, nodes: int, checks: int) -> None:
    """Write as many tests that do nothing, with parameters of the same names."""
    folder.mkdir()
    (folder / "test_empty.py").write_text("".join(_empty_module(nodes, checks)), encoding="utf-8")


def _empty_module(nodes: int, checks: int) -> Iterator[str]:
    yield f'import pytest\n\nNODES = [f"{MODEL}{{number}}" for number in range(1, {nodes + 1})]\n'
    for number in range(1, checks + 1):
        yield f'\n\n@pytest.mark.parametrize("node", NODES)\ndef test_{number}(node):\n    pass\n'
