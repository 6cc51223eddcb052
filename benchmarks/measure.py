"""Running a program and saying what it cost."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median


class BenchError(Exception):
    """Something did not run as it should: figures of it would mean nothing."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a program took. ``cpu``: user and system time of it and its children; ``peak``: KiB of one process at most."""

    seconds: float
    cpu: float
    peak: int
    output: str


@dataclass(frozen=True, slots=True)
class Row:
    """What several runs of one program took."""

    name: str
    runs: tuple[Cost, ...]

    @property
    def seconds(self) -> float:
        """The median time from start to end."""
        return median(run.seconds for run in self.runs)

    @property
    def cpu(self) -> float:
        """The median of the CPU time."""
        return median(run.cpu for run in self.runs)

    @property
    def peak(self) -> float:
        """The median of the peak memory, in MiB."""
        return median(run.peak for run in self.runs) / 1024


def run(argv: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> Cost:
    """Run a program to its end. Raises BenchError with the end of its output where it fails.

    Python may keep what it has compiled, whatever this machine's settings: a user's installation has it, of all programs alike.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile() as out:
        started = time.perf_counter()
        process = subprocess.Popen(
            argv, cwd=cwd, env={**inherited, **(env or {})}, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            raise
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        output = out.read().decode("utf-8", "replace")
    if process.returncode:
        raise BenchError(f"exit status {process.returncode} of {' '.join(argv)[:300]}:\n{output[-3000:]}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, output)


def in_turn(programs: Mapping[str, tuple[int, Callable[[], Cost]]], say: Callable[[str], None]) -> dict[str, tuple[Cost, ...]]:
    """Run each program as often as it says, all once before any twice: what else the machine does hits all alike."""
    costs: dict[str, list[Cost]] = {name: [] for name in programs}
    for number in range(max(runs for runs, _ in programs.values())):
        for name, (runs, program) in programs.items():
            if number < runs:
                costs[name].append(program())
                say(f"{name}, run {number + 1} of {runs}: {costs[name][-1].seconds:.2f} s")
    return {name: tuple(found) for name, found in costs.items()}


def table(rows: Sequence[Row]) -> str:
    """Give the rows as text: every run's time, so that noise is seen."""
    head = f"{'':42}{'median':>9}{'CPU':>9}{'peak':>10}   runs"
    lines = [
        f"{row.name:42}{row.seconds:7.2f} s{row.cpu:7.2f} s{row.peak:6.0f} MiB   {' '.join(f'{one.seconds:.2f}' for one in row.runs)}"
        for row in rows
    ]
    return "\n".join([head, *lines])


def plain(rows: Sequence[Row]) -> dict[str, dict[str, object]]:
    """Give the rows as data. Seconds and MiB."""
    return {
        row.name: {
            "seconds": round(row.seconds, 3), "cpu_seconds": round(row.cpu, 3), "peak_mib": round(row.peak, 1),
            "runs": [round(one.seconds, 3) for one in row.runs],
        }
        for row in rows
    }
