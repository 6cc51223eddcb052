"""The floor: the same bytes to the same nodes by a bare pool of ssh processes; what they answer goes nowhere.

    python floor.py FILE CONNECTIONS
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


def send(row: dict[str, Any]) -> int:
    """Send one node its script; give the exit status."""
    return subprocess.run(
        row["argv"], input=row["script"].encode(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
    ).returncode


def main(file: str, connections: str) -> int:
    """Send all of them; 1 where one failed."""
    rows = json.loads(Path(file).read_text(encoding="utf-8"))
    with ThreadPoolExecutor(int(connections)) as pool:
        return int(any(pool.map(send, rows)))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
