"""A pytest plugin that writes down what netchecks sends to each node: the command line, and the bytes of all trips.

``floor.py`` sends the same again. Loaded with ``-p benchmarks.capture``; the file is named by CAPTURE_TO.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from netchecks import connect, trip

_sent: dict[str, dict[str, Any]] = {}
_exchange = trip.Channel._exchange  # noqa: SLF001 - all that goes to a node goes through it


async def _noting(self: trip.Channel, text: str, *args: Any, **kwargs: Any) -> bytes:
    """Note what is sent, then send it."""
    row = _sent.setdefault(self.node.name, {"argv": connect.shell(self.node), "script": ""})
    row["script"] += text
    return await _exchange(self, text, *args, **kwargs)


def pytest_configure() -> None:
    """Begin to listen."""
    trip.Channel._exchange = _noting  # type: ignore[method-assign]  # noqa: SLF001 - in this one process, to listen


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Write it down."""
    Path(os.environ["CAPTURE_TO"]).write_text(json.dumps(list(_sent.values())), encoding="utf-8")
