"""Makes trips to one node and says what became of them: run where the node can be reached, by test_trip.py.

client.py INVENTORY NODE JSON -> one JSON line: {"ran": [...], "missed": ..., "seconds": ...}; before it the connection's PID.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from netchecks import inventory, script
from netchecks.errors import NotSeen
from netchecks.trip import Channel


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def tell(channel: Channel) -> None:
    """Say the connection's PID as soon as there is one."""
    for _ in range(1000):
        await asyncio.sleep(0.01)
        if channel.process is not None:
            return say(channel.process.pid)
    return None


async def main(node_name: str, what: dict, nodes: dict) -> dict:
    channel = Channel(nodes[node_name], what.get("hello", 15.0))
    began = time.monotonic()
    said: dict = {"ran": [], "missed": None}
    try:
        for trip in what["trips"]:
            jobs = [script.Job(key, (script.Alternative(tuple(argv)),), **more) for key, argv, more in trip]
            looking = asyncio.ensure_future(channel.run(jobs, what.get("seconds", 60.0)))
            telling = asyncio.ensure_future(tell(channel))
            ran = await looking
            telling.cancel()
            said["ran"].append([[one.key, one.way, one.status, one.stdout.decode("latin-1"), one.stderr.decode("latin-1")] for one in ran])
    except NotSeen as reason:
        said["missed"] = [reason.why.name, reason.detail, reason.cause]
    said["seconds"] = time.monotonic() - began
    await channel.close()
    said["closed"] = channel.process is None or channel.process.returncode is not None
    return said


if __name__ == "__main__":
    found = {node.name: node for node in inventory.load([Path(sys.argv[1])]).nodes}
    say(json.dumps(asyncio.run(main(sys.argv[2], json.loads(sys.argv[3]), found))))
