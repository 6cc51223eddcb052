"""One connection to one node: send a script, take what it sends back, within bounds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from netchecks import connect, one_by_one, script
from netchecks.errors import NotSeen, Why
from netchecks.models.subjects import Place

#: Seconds until the node's shell must have answered; longer than ssh's own ConnectTimeout.
HELLO_SECONDS = 15.0
#: The variable that tells a command on this machine by which interpreter netchecks runs; ssh does not pass it on.
PYTHON = "NETCHECKS_PYTHON"
MAX_STREAM = 256 * 1024 * 1024


@dataclass(slots=True)
class Channel:
    """A shell at a node that stays open between trips: one handshake for all of them."""

    node: Place
    hello_seconds: float = HELLO_SECONDS
    nonce: str = ""
    process: asyncio.subprocess.Process | None = None
    stderr: bytes = b""
    trips: int = 0

    async def run(self, jobs: Sequence[script.Job], seconds: float) -> list[script.Ran]:
        """Make one trip. Raises NotSeen where the node cannot be reached, hangs or answers nonsense."""
        self.trips += 1
        if self.node.connection.backend not in connect.STREAMED:
            return await self._beside(jobs, seconds + self.hello_seconds)
        if self.node.connection.os == "windows":
            return await one_by_one.streamed(self.node, jobs, seconds + self.hello_seconds, self.hello_seconds)
        if self.process is None:
            await self._start()
        text = script.trip(jobs, self.nonce, sudo=self.node.connection.sudo)
        stream = await self._exchange(text, b"\n" + self.nonce.encode() + b" end\n", seconds)
        return self._read(stream, jobs)

    def _read(self, stream: bytes, jobs: Sequence[script.Job]) -> list[script.Ran]:
        try:
            return script.read(stream, jobs, self.nonce)
        except script.Broken as error:
            raise NotSeen(Why.FAILED, str(error), cause=error.cause) from error

    async def _start(self) -> None:
        self.nonce = "NETCHECKS" + secrets.token_hex(12)
        try:
            self.process = await asyncio.create_subprocess_exec(
                *connect.shell(self.node), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE, start_new_session=True, limit=1 << 20,
                env={**os.environ, PYTHON: sys.executable},  # for what runs on this machine and is a program of ours
            )
        except OSError as error:  # no ssh or ip here, no more processes or files
            raise NotSeen(Why.UNREACHABLE, f"no connection can be made from this machine: {error}", cause="node.unreachable") from error
        hello = self.nonce.encode() + b" hello\n"
        await self._exchange(script.start(self.nonce), hello, self.hello_seconds, first=True)

    async def _exchange(self, text: str, end: bytes, seconds: float, *, first: bool = False) -> bytes:
        process = self.process
        assert process is not None and process.stdin is not None and process.stdout is not None  # noqa: PT018 - made above
        try:
            async with asyncio.timeout(seconds):
                with contextlib.suppress(ConnectionError):
                    process.stdin.write(text.encode("utf-8", "surrogateescape"))
                    await process.stdin.drain()
                return await self._until(process.stdout, end)
        except TimeoutError:
            doing = "its shell" if first else "its commands"
            message = f"connected, but {doing} did not answer within {seconds:g} s"
            raise NotSeen(Why.TIMED_OUT, message, cause="node.hangs") from None

    async def _until(self, stream: asyncio.StreamReader, end: bytes) -> bytes:
        got = bytearray()
        while not got.endswith(end):
            chunk = await stream.read(1 << 16)
            if not chunk:
                raise await self._ended()
            got += chunk
            if len(got) > MAX_STREAM:
                raise NotSeen(Why.TRUNCATED, f"{self.node} sent more than {MAX_STREAM >> 20} MiB", cause="node.floods")
        return bytes(got)

    async def _ended(self) -> NotSeen:
        process = self.process
        assert process is not None and process.stderr is not None  # noqa: PT018 - made in _start
        text = (await process.stderr.read(1 << 16)).decode("utf-8", "replace")
        status = await process.wait()
        if self.node.connection.backend == "ssh" and status == 255:  # noqa: PLR2004 - ssh(1): 255 is ssh's own error
            return connect.refused(text)
        lines = text.strip().splitlines() or [f"exit status {status}"]
        return NotSeen(Why.UNREACHABLE, f"the connection ended: {lines[-1][:200]}", cause="node.unreachable")

    def _backend(self) -> Any:
        try:
            return connect.backend(self.node, sudo=False)  # the script asks for it, command by command
        except Exception as error:  # each backend raises its own, and those of the libraries behind it
            raise _broken(error) from error

    def _through_testinfra(self, backend: Any, jobs: Sequence[script.Job]) -> list[script.Ran]:
        if self.node.connection.os == "windows":
            try:
                return one_by_one.through(backend, jobs)
            except Exception as error:  # as above
                raise _broken(error) from error
        self.nonce = "NETCHECKS" + secrets.token_hex(12)
        text = script.start(self.nonce) + script.trip(jobs, self.nonce, sudo=self.node.connection.sudo)
        try:
            result = backend.run("sh -c %s", text)
        except Exception as error:  # as above
            raise _broken(error) from error
        hello, found, stream = result.stdout_bytes.partition(self.nonce.encode() + b" hello\n")
        if not found:
            said = (result.stderr_bytes or hello).decode("utf-8", "replace").strip().splitlines() or [f"exit status {result.rc}"]
            raise NotSeen(Why.UNREACHABLE, f"no shell answered: {said[-1][:200]}", cause="node.unreachable")
        return self._read(stream, jobs)

    async def _beside(self, jobs: Sequence[script.Job], seconds: float) -> list[script.Ran]:
        """Give what testinfra brings within these seconds; its thread cannot be interrupted, and must not hold up our end."""
        backend = self._backend()  # here, as it imports modules, which pytest rewrites: that is not for two threads at once
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[script.Ran]] = loop.create_future()

        def tell(end: Callable[[Any], None], value: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(lambda: None if future.done() else end(value))

        def work() -> None:
            try:
                tell(future.set_result, self._through_testinfra(backend, jobs))
            except NotSeen as reason:
                tell(future.set_exception, reason)

        threading.Thread(target=work, name=f"netchecks-{self.node}", daemon=True).start()
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            raise NotSeen(Why.TIMED_OUT, f"its commands did not answer within {seconds:g} s", cause="node.hangs") from None

    async def close(self) -> None:
        """End the connection: the shell sees the end of its script; what does not go is killed."""
        process = self.process
        if process is None:
            return
        try:
            await self._end(process)
        finally:
            process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001 - unread output would keep its pipes open
            await asyncio.sleep(0)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await process.wait()
        # TERM lets the script's own trap clean up; over ssh the script notices that its parent is gone.
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1.5):
                        await process.wait()


def _broken(error: Exception) -> NotSeen:
    return NotSeen(Why.UNREACHABLE, f"{type(error).__name__}: {error}"[:200], cause="node.unreachable")
