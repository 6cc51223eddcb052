"""Places without a POSIX shell: Windows guests. Their commands run one by one, each with a connection of its own.

Nothing runs there but the commands themselves: there is no script, no folder and no ``timeout``; the deadline and the
limit of the output are kept on this side. Source: Microsoft, "OpenSSH for Windows": a command line goes to cmd.exe.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Sequence
from typing import Any

from netchecks import connect
from netchecks.errors import NotSeen, Why
from netchecks.models.subjects import Place
from netchecks.script import LANES, Alternative, Job, Ran

#: What timeout(1) exits with: facts know it as such (netchecks.facts).
TIMED_OUT = 124
#: ssh(1): its own error.
_SSH_FAILED = 255


def line(way: Alternative) -> str:
    """Give the command line of one way as cmd.exe gets it: it is written as one, so nothing is quoted."""
    return " ".join(way.argv)


async def streamed(place: Place, jobs: Sequence[Job], seconds: float, connect_seconds: float) -> list[Ran]:
    """Run the jobs by processes of ours, some at a time. Raises NotSeen where the place cannot be reached or hangs."""
    gate = asyncio.Semaphore(LANES)

    async def one(job: Job) -> Ran:
        async with gate:
            return await _job(place, job, connect_seconds)

    try:
        async with asyncio.timeout(seconds):
            return list(await asyncio.gather(*map(one, jobs)))
    except TimeoutError:
        raise NotSeen(Why.TIMED_OUT, f"its commands did not end within {seconds:g} s", cause="node.hangs") from None


async def _job(place: Place, job: Job, connect_seconds: float) -> Ran:
    started = time.monotonic()
    number, status, stdout, stderr = -1, 0, b"", b""
    for way in job.ways:
        number += 1
        status, stdout, stderr = await _run(place, line(way), job, connect_seconds)
        if status in way.accept or status == TIMED_OUT:
            break
    return Ran(job.key, job.phase, number, status, started, time.monotonic(), stdout, stderr)


async def _run(place: Place, text: str, job: Job, connect_seconds: float) -> tuple[int, bytes, bytes]:
    try:
        process = await asyncio.create_subprocess_exec(
            *connect.command_line(place, text), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )
    except OSError as error:
        raise NotSeen(Why.UNREACHABLE, f"no connection can be made from this machine: {error}", cause="node.unreachable") from error
    try:
        async with asyncio.timeout(job.seconds + connect_seconds):
            stdout, stderr = await _both(process, job.limit)
    except TimeoutError:
        return TIMED_OUT, b"", b""
    finally:
        await _end(process)
    status = process.returncode or 0
    said = stderr.decode("utf-8", "replace")
    if place.connection.backend == "ssh" and status == _SSH_FAILED and connect.is_refusal(said):
        raise connect.refused(said)
    return status, stdout, stderr


async def _both(process: asyncio.subprocess.Process, limit: int) -> tuple[bytes, bytes]:
    """Read what it prints; one that prints more than it may is ended."""
    error = asyncio.ensure_future(_read(process.stderr, limit))
    try:
        stdout = await _read(process.stdout, limit)
        if len(stdout) >= limit:
            _kill(process)
            await _drain(process.stdout)
        stderr = await error
    finally:
        error.cancel()
    await process.wait()
    return stdout, stderr


async def _read(stream: asyncio.StreamReader | None, limit: int) -> bytes:
    """Read to the end, or until the limit is reached."""
    got = bytearray()
    while stream is not None and len(got) < limit:
        chunk = await stream.read(min(1 << 16, limit - len(got)))
        if not chunk:
            break
        got += chunk
    return bytes(got)


async def _drain(stream: asyncio.StreamReader | None) -> None:
    """Read what was still on its way: asyncio tells the end of a process when its pipes have ended, and a full one does not."""
    while stream is not None and await stream.read(1 << 16):
        pass


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        _kill(process)
    process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - unread output would keep its pipes open
    await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def through(backend: Any, jobs: Sequence[Job]) -> list[Ran]:
    """Run the jobs by testinfra's backend (WinRM). What it raises is the backend's own."""
    return [_through(backend, job) for job in jobs]


def _through(backend: Any, job: Job) -> Ran:
    started = time.monotonic()
    number, status, stdout, stderr = -1, 0, b"", b""
    for way in job.ways:
        number += 1
        result = backend.run(line(way))
        status, stdout, stderr = result.rc, result.stdout_bytes[:job.limit], result.stderr_bytes[:job.limit]
        if status in way.accept:
            break
    return Ran(job.key, job.phase, number, status, started, time.monotonic(), stdout, stderr)
