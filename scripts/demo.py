"""The demo: a lab with one broken VM, the suite, the diagnosis.

``demo.py``: exit status 0 when the cause that was put there is the first one named. Where no lab can be, a recorded run
is replayed (``record_demo.py`` makes the record).
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

from netchecks.errors import LabError
from netchecks.lab import Lab, up, why_not_rooted
from netchecks.lab.faults import find
from netchecks.lab.topology import controller

ROOT = Path(__file__).resolve().parents[1]
TOPOLOGY, FAULT, VM = "vmhost-switching", "tap-not-in-bridge", "vm42"
RECORDED = ROOT / "docs" / "demo"


def say(text: str = "") -> None:
    """Print one line, before what a child prints."""
    print(text, flush=True)


def show() -> int:
    """Show it in a lab; replay the recorded run where none can be."""
    for rooted in (True, False):
        reason = why_not_rooted() if rooted else ""
        try:
            if not reason:
                return in_lab(rooted=rooted)
        except (LabError, OSError) as error:
            reason = str(error)
        if not rooted:
            say(f"No lab can be here: {reason}.\nA run that was recorded in such a lab is judged again instead.")
    return replay()


def in_lab(*, rooted: bool) -> int:
    """Make the lab, break it, look at it. Raises LabError where the lab cannot be."""
    say(f"Making a lab: two nodes ({'hosts with systemd and sshd' if rooted else 'network namespaces'}), "
        "four VMs on a bridge, a gateway, a DNS server.")
    folder = new_folder()
    with up(TOPOLOGY, rooted=rooted) as lab, lab.fault(FAULT) as fault:
        say(f"Breaking it: {fault.title} ({fault.breaks[0].at}# {fault.breaks[0].run}).")
        diagnose(lab, folder)
    say("\nThe lab is taken down.")
    return verdict(folder)


def replay() -> int:
    """Judge the recorded run again."""
    folder = new_folder()
    suite(["--replay-run", os.path.relpath(RECORDED, ROOT), "--vm", VM, "--netchecks-run-dir", str(folder)])
    return verdict(folder)


def new_folder() -> Path:
    """Name the folder of a run."""
    return Path("reports", f"demo-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}")


def diagnose(lab: Lab, folder: Path, output: IO[str] | None = None) -> None:
    """Run the suite on the controller, as an operator would."""
    options = ["--inventory-file", str(lab.inventory), "--vm", VM, "--netchecks-run-dir", str(folder)]
    suite(options, lambda argv: lab.wrap(controller(lab.topology), argv), output)


def suite(options: list[str], where: Callable[[list[str]], list[str]] = lambda argv: argv, output: IO[str] | None = None) -> None:
    """Run ``pytest suites/`` with these options, and show the command."""
    print(f"\n$ {shlex.join(['pytest', 'suites/', *options])}", file=output, flush=True)
    argv = [sys.executable, "-m", "pytest", "suites/", "-p", "no:cacheprovider", *options]
    subprocess.run(where(argv), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, check=False)


def verdict(folder: Path) -> int:
    """Say whether what was broken is what is named first: 0 if so, else 1."""
    try:
        found = json.loads((ROOT / folder / "report.json").read_text(encoding="utf-8"))["diagnoses"]
    except (OSError, ValueError) as error:
        say(f"There is no report: {error}")
        return 1
    expected = find(TOPOLOGY, FAULT).expected
    right = bool(found) and all(one.named_by(found[0]["code"], found[0]["places"]) for one in expected)
    say(f"The first cause that is named is {'' if right else 'NOT '}what was broken.\nReports: {folder}/report.md, report.json; "
        f"what was seen: {folder}/record/")
    return 0 if right else 1


if __name__ == "__main__":
    try:
        sys.exit(show())
    except KeyboardInterrupt:
        sys.exit(130)
