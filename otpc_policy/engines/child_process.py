"""One engine process of our own: started with its orders, supervised, and ended.

It is reached over a Unix socket in a folder of its own, which is removed as soon as the channel is
connected: no other process, not even another engine, can connect after that. If the front is killed
before, the next front removes the folder (see socket_folder). The process gets its orders on
standard input and nothing else: no environment, no descriptors.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Final

import grpc

from otpc_policy.core.addresses import AddressVetting
from otpc_policy.core.errors import OtpcPolicyError
from otpc_policy.engines.client import EngineClient, channel_options
from otpc_policy.engines.errors import EngineLost, EngineNotStarted, EngineRefuses
from otpc_policy.engines.heartbeats import Silence
from otpc_policy.engines.socket_folder import SocketFolder
from otpc_policy.engines.starvation import Starvation, scheduled
from otpc_policy.ops.foreign_lines import ForeignLines
from otpc_policy.ops.logs import log_foreign_line

# Starting takes 0.6 s; a machine that starts many processes at once may need twenty times that.
_START_S: Final = 30.0
# How long a process may take to end its workers before it is killed.
_END_S: Final = 3.0
# How long its last lines may take.
_LAST_LINES_S: Final = 0.5
_CHUNK_BYTES: Final = 65_536
# Lines that were lost are reported so soon, even if no other line comes.
_LOOK_S: Final = 1.0
# What an interpreter needs to find itself and this package; an engine is told all else.
_ENVIRONMENT: Final = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE")
# gRPC's C++ core writes a line about each connection that ends with the front.
_QUIET: Final = {"GRPC_VERBOSITY": "NONE"}
LOG_LEVEL: Final = "log_level"
"""The order that may change while an engine runs."""
_READY: Final = b"ready\n"
# With this status it ends where its settings cannot be met, isolation among them.
_REFUSES: Final = 2


class RunningEngine:
    """One engine process, and the channel to it."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        folder: SocketFolder,
        channel: grpc.aio.Channel,
        client: EngineClient,
        pids: set[int],
    ) -> None:
        self.process, self.client = process, client
        self._log_level: object = None
        self._pids = pids
        pids.add(process.pid)
        self._folder, self._channel = folder, channel
        self._watching: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self.silence = Silence(client, Starvation(partial(scheduled, process.pid)))
        self._reported = asyncio.Event()
        self._condemned: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @classmethod
    async def start(
        cls,
        name: str,
        *,
        orders: Mapping[str, Any],
        vetting: AddressVetting,
        now: Callable[[], datetime],
        pids: set[int],
    ) -> "RunningEngine":
        """Start a process and wait until it has reported.

        name: the source of its lines in the log.
        Raises EngineNotStarted; EngineRefuses where the next one would not start either.
        """
        try:
            # For this user alone: whoever can connect to an engine may have it measure.
            folder = SocketFolder()
        except OSError as error:
            reason = error.strerror or str(error)
            raise EngineNotStarted(f"no folder for the engine's socket: {reason}") from None
        try:
            process = await _process()
        except BaseException as error:
            folder.remove()
            if isinstance(error, OSError):  # no memory, descriptor or process to be had
                raise EngineNotStarted(f"the engine did not start: {error}") from None
            raise
        listen = f"unix:{folder.socket}"
        channel = grpc.aio.insecure_channel(listen, options=channel_options())
        client = EngineClient(channel, vetting=vetting, now=now)
        engine = cls(process, folder, channel, client, pids)
        engine._log_level = orders.get(LOG_LEVEL)
        engine._reading = asyncio.create_task(_log_lines(process, name))
        try:
            async with asyncio.timeout(_START_S):
                await engine._begin(json.dumps({"listen": listen, "settings": orders}))
        except (TimeoutError, OSError, ValueError, OtpcPolicyError) as error:
            # ValueError: a line without end in place of the announcement.
            await engine.end(by_force=True)
            kind = EngineRefuses if process.returncode == _REFUSES else EngineNotStarted
            raise kind(f"the engine did not start: {error or 'no answer'}") from None
        except BaseException:
            await engine.end(by_force=True)
            raise
        return engine

    async def _begin(self, order: str) -> None:
        if self.process.stdin is None or self.process.stdout is None:
            raise EngineLost("the process has no pipes")
        self.process.stdin.write(order.encode() + b"\n")
        await self.process.stdin.drain()
        if await self.process.stdout.readline() != _READY:
            raise EngineLost("the process ended; its own log says why")
        watching = asyncio.create_task(self.client.watch(self._reported.set))
        self._watching = watching
        reported = asyncio.create_task(self._reported.wait())
        await asyncio.wait({watching, reported}, return_when=asyncio.FIRST_COMPLETED)
        reported.cancel()
        if watching.done():
            await watching
        # A connection that is lost is never made again: the engine is replaced.
        self._folder.remove()

    def set_log_level(self, level: str) -> None:
        """Have the process log from another level on; nothing if it does already."""
        if level == self._log_level or self.process.stdin is None:
            return
        self._log_level = level
        if not self.process.stdin.is_closing():
            self.process.stdin.write(json.dumps({LOG_LEVEL: level}).encode() + b"\n")

    def condemn(self, why: str) -> None:
        """Have supervise return."""
        if not self._condemned.done():
            self._condemned.set_result(why)

    async def supervise(self, changed: Callable[[], None]) -> str:
        """Return why there is no relying on this engine any more."""
        exited, watching = asyncio.create_task(self.process.wait()), self._watching
        if watching is None:
            return "it was never watched"
        ends: set[asyncio.Future[Any]] = {exited, watching, self._condemned}
        try:
            while True:
                if await self.silence.until_next_look(ends):
                    return _reason(exited, watching, self._condemned)
                was_short = self.silence.is_short
                self.silence.look()
                if self.silence.is_over_long:
                    return "it is silent"
                if self.silence.is_short != was_short:
                    changed()
        finally:
            exited.cancel()

    async def end(self, *, by_force: bool) -> None:
        """End the process, or see that it has ended. Leaves nothing behind.

        by_force: without waiting for it to end its workers; they end by themselves then.
        """
        # The channel first: that begins anew elsewhere what is measured here, and gRPC would write
        # a line about the end of the other side.
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        await self._channel.close(None)
        process = self.process
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(0 if by_force else _END_S):
                await process.wait()
        except TimeoutError:
            pass
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
        await process.wait()
        self._pids.discard(process.pid)
        if process.stdout is not None:
            await process.stdout.read()  # so that its transport is closed too
        if self._reading is not None:
            # Its workers have the pipe, too, and may take a moment longer to end.
            await asyncio.wait({self._reading}, timeout=_LAST_LINES_S)
            self._reading.cancel()
            await asyncio.wait({self._reading})
        self._folder.remove()


def _reason(
    exited: "asyncio.Task[int]",
    watching: "asyncio.Task[None]",
    condemned: "asyncio.Future[str]",
) -> str:
    if condemned.done():
        return condemned.result()
    if exited.done():
        return f"its process ended with status {exited.result()}"
    return str(watching.exception() or "it reports nothing more")


async def _process() -> asyncio.subprocess.Process:
    """Start the program. Raises OSError."""
    # A session of its own: the terminal's interrupt is for the parent alone, which drains.
    # -P: the current directory is not for imports.
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "otpc_policy.engine"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=_environment(),
    )


async def _log_lines(process: asyncio.subprocess.Process, name: str) -> None:
    """Log what a process writes on its standard error, until it and its workers have ended."""
    if process.stderr is None:
        return
    lines = ForeignLines(name, log_foreign_line, pid=process.pid)
    try:
        while True:
            try:
                async with asyncio.timeout(_LOOK_S if lines.lost else None):
                    chunk = await process.stderr.read(_CHUNK_BYTES)
            except TimeoutError:
                lines.report_loss()
                continue
            if not chunk:
                return
            lines.feed(chunk)
    finally:
        lines.end()


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | _QUIET
