"""Say how fast netchecks is: tables, then the figures, one a line. Needs root for the fleet and the traces (network namespaces)."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import fleet, measure, replay, traces
from netchecks.errors import LabError


def main() -> int:
    """Measure and tell; 1 where something could not be measured."""
    args = _arguments()
    try:
        with tempfile.TemporaryDirectory(prefix="nc-bench-") as folder:
            found = _measured(args, Path(folder))
    except (measure.BenchError, LabError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    if args.json:
        args.json.write_text(json.dumps(_plain(found), indent=1) + "\n", encoding="utf-8")
    _tell(found)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="runs of each, in turn; the median counts (default 3)")
    parser.add_argument("--fleet-runs", type=int, default=7, metavar="N", help="runs of netchecks and bare ssh, seconds each (default 7)")
    parser.add_argument("--slow-runs", type=int, default=1, metavar="N", help="runs of testinfra, which take minutes (default 1)")
    parser.add_argument("--nodes", type=int, default=50, metavar="N", help="nodes behind sshd (default 50)")
    parser.add_argument("--replayed", type=int, default=500, metavar="N", help="replayed nodes (default 500)")
    parser.add_argument("--checks", type=int, default=100, metavar="N", help="checks on each replayed node (default 100)")
    parser.add_argument("--only", choices=("fleet", "replay", "traces"), help="only this part")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _measured(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in (args.only,) if args.only else ("fleet", "replay", "traces"):
        inside = folder / part
        inside.mkdir()
        if part == "fleet":
            found[part] = fleet.measure(args.nodes, args.fleet_runs, args.slow_runs, inside, _say)
        elif part == "traces":
            found[part] = traces.measure(args.runs, inside, _say)
        else:
            found[part] = replay.measure(args.replayed, args.checks, args.runs, inside, _say)
    return found


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    parts = {name: {"checks": part.checks, "programs": measure.plain(part.rows)} for name, part in found.items()}
    return {"ratios": _ratios(found), **parts}


def _ratios(found: dict[str, Any]) -> dict[str, float]:
    """Give the figures by their names, in their order; of a part that was left out nothing."""
    ratios: dict[str, float] = {}
    if "fleet" in found:
        ratios["testinfra / netchecks"] = round(found["fleet"].ratio(fleet.TESTINFRA, fleet.OURS), 1)
        ratios["netchecks / bare ssh"] = round(found["fleet"].ratio(fleet.OURS, fleet.FLOOR), 2)
    if "replay" in found:
        ratios["replay / empty pytest"] = round(found["replay"].ratio(), 2)
    if "fleet" in found:
        ratios["round trips per node"] = found["fleet"].trips
    if "traces" in found:
        ratios |= _of_traces(found["traces"])
    return ratios


def _of_traces(found: traces.Traces) -> dict[str, float]:
    figures = {f"{traces.ALL} / {traces.ONE}": round(found.ratio(), 2), f"MiB of the agent with {traces.ALL}": round(found.peak, 1)}
    figures[f"seconds of a trace over {found.places} places"] = round(found.one_flow, 1)
    return figures | {f"busy wires told rightly, of {len(found.wires)}": sum(one.honest for one in found.wires)}


def _tell(found: dict[str, Any]) -> None:
    for name, part in found.items():
        print(f"{name}: {part.checks} {'traces' if name == 'traces' else 'checks'}\n{measure.table(part.rows)}\n")
        for wire in getattr(part, "wires", ()):
            print(wire)
    for name, figure in _ratios(found).items():
        print(f"{name}: {figure}")


if __name__ == "__main__":
    sys.exit(main())
