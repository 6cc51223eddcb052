"""Records the run that ``make demo`` replays where no lab can be, and puts its transcript into the README.

In network namespaces, not in a rooted lab: less of the machine that it runs on is in what is seen.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import demo

from netchecks.lab import up

README = demo.ROOT / "README.md"
BEGIN, END = "<!-- demo: written by make demo-record -->\n```text\n", "```\n<!-- end of demo -->"
FOLDER = Path("reports", "demo")


def main() -> int:
    """Do it; 1 where what was broken was not named."""
    shutil.rmtree(demo.ROOT / FOLDER, ignore_errors=True)
    os.environ["COLUMNS"] = "100"
    said = demo.ROOT / FOLDER / "said"
    said.parent.mkdir()
    with up(demo.TOPOLOGY, rooted=False, name="demo") as lab, lab.fault(demo.FAULT), said.open("w+", encoding="utf-8") as output:
        demo.diagnose(lab, FOLDER, output)
    status = demo.verdict(FOLDER)
    if not status:
        shutil.rmtree(demo.RECORDED, ignore_errors=True)
        shutil.copytree(demo.ROOT / FOLDER / "record", demo.RECORDED / "record", ignore=shutil.ignore_patterns(".lock"))
        tell(transcript(said.read_text(encoding="utf-8")))
    return status


def transcript(text: str) -> str:
    """Give what was printed without pytest's header, which names versions and folders of this machine."""
    return re.sub(r"(?ms)^platform .*?^(?=collected )", "", text.lstrip())


def tell(text: str) -> None:
    """Put it into the README."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}{text.rstrip()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
