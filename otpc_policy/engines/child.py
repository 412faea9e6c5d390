"""Engines of our own: processes that are started, watched, started again and never left behind.

Each has its place in the fleet. It is reached over a Unix socket in a folder of its own, which only
this user may enter, and which is removed as soon as the channel is connected: no other process, not
even another engine, can connect after that. If the front is killed before, the next front removes
the folder (see socket_folder). The process gets its orders on standard input and nothing else: no
environment, no descriptors. It reports its state every second; one that is silent for several is
killed, because a process that was stopped, or hangs, keeps its connections open and its callers
waiting.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import grpc
import structlog

from otpc_policy.core.addresses import AddressVetting, Resolution
from otpc_policy.core.facts import AddressFacts
from otpc_policy.engines.client import EngineClient, channel_options
from otpc_policy.engines.errors import EngineLost, EngineNotStarted
from otpc_policy.engines.heartbeats import Silence
from otpc_policy.engines.orphans import reap_orphans
from otpc_policy.engines.ports import Engine, EngineState, Report, Target, Terms
from otpc_policy.engines.socket_folder import SocketFolder, remove_abandoned
from otpc_policy.measurement.engine_lied import EngineLied

# Starting takes 0.6 s; a machine that starts many processes at once may need twenty times that.
_START_S: Final = 30.0
# How long a process may take to end its workers before it is killed.
_END_S: Final = 3.0
# An engine that dies again and again is started less and less often, but within the time for
# which callers wait for one (pool).
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
# One that has lived so long is sound: what ends it then is news.
_SOUND_S: Final = 30.0
# What an interpreter needs to find itself and this package; an engine is told all else.
_ENVIRONMENT: Final = ("PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE")
# gRPC's C++ core would write lines of its own between the JSON.
_QUIET: Final = {"GRPC_VERBOSITY": "NONE"}
_READY: Final = b"ready\n"


class ChildFleet:
    """A fixed number of engine processes. orders: see settings.engine_part."""

    def __init__(
        self,
        count: int,
        *,
        orders: Mapping[str, Any],
        vetting: AddressVetting,
        now: Callable[[], datetime],
    ) -> None:
        pids: set[int] = set()
        self._children = tuple(
            ChildEngine(f"engine-{number}", orders=orders, vetting=vetting, now=now, pids=pids)
            for number in range(count)
        )

    @property
    def engines(self) -> Sequence[Engine]:
        """All places, whether an engine is up there or not."""
        return self._children

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the engines that run, for tests and logs."""
        return tuple(child.pid for child in self._children if child.pid is not None)

    async def start(self, changed: Callable[[], None]) -> None:
        """Start all and wait until each is up. Raises EngineNotStarted if one does not come up."""
        remove_abandoned()
        starting = [asyncio.create_task(one.start(changed)) for one in self._children]
        try:
            await asyncio.wait(starting)
            for one in starting:
                one.result()
        except BaseException:
            for one in starting:
                one.cancel()
            await asyncio.wait(starting)
            await self.stop()
            raise

    async def stop(self) -> None:
        """End all and wait until they are gone."""
        await asyncio.gather(*(child.stop() for child in self._children))


class ChildEngine:
    """One place in the fleet, and the engine process that is there now, if any.

    pids: of all processes of the fleet that have not been waited for.
    """

    def __init__(
        self,
        name: str,
        *,
        orders: Mapping[str, Any],
        vetting: AddressVetting,
        now: Callable[[], datetime],
        pids: set[int],
    ) -> None:
        self._name, self._orders, self._vetting, self._now = name, orders, vetting, now
        self._pids = pids
        self._running: _RunningEngine | None = None
        self._last_state = EngineState()
        self._changed: Callable[[], None] = lambda: None
        self._keeper: asyncio.Task[None] | None = None
        self._is_kept = True
        self._log = structlog.get_logger("otpc_policy.engines")

    @property
    def name(self) -> str:
        """See ports.Engine."""
        return self._name

    @property
    def is_up(self) -> bool:
        """See ports.Engine."""
        return self._running is not None and self._running.silence.is_short

    @property
    def state(self) -> EngineState:
        """See ports.Engine."""
        if self._running is None:
            return replace(self._last_state, queued=0, workers_alive=0)
        return self._running.client.state

    @property
    def pid(self) -> int | None:
        """Process id of the engine that is up."""
        return None if self._running is None else self._running.process.pid

    async def start(self, changed: Callable[[], None]) -> None:
        """Start an engine, and from then on keep one here. Raises EngineNotStarted."""
        self._changed = changed
        engine = await self._start_one()
        self._keeper = asyncio.create_task(self._keep(engine))

    async def stop(self) -> None:
        """End the engine and wait until it is gone."""
        self._is_kept = False
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
            self._keeper = None

    async def measure(
        self, target: Target, terms: Terms, *, left_standard_part: Callable[[], None]
    ) -> Report:
        """See ports.Engine."""
        client = self._client()
        return await client.measure(target, terms, left_standard_part=left_standard_part)

    async def partial(self, target: Target) -> AddressFacts | None:
        """See ports.Engine."""
        return None if self._running is None else await self._running.client.partial(target)

    async def resolve(self, host: str, *, fresh: bool, within_s: float) -> Resolution:
        """See ports.Engine."""
        return await self._client().resolve(host, fresh=fresh, within_s=within_s)

    async def answers(self, *, within_s: float) -> bool:
        """See ports.Engine."""
        return await self._client().answers(within_s=within_s)

    def condemn(self, why: str) -> None:
        """See ports.Engine. The process is killed, and another one started."""
        if self._running is not None:
            self._running.condemn(why)

    def _client(self) -> EngineClient:
        if self._running is None:
            raise EngineLost("the engine is being started")
        return self._running.client

    async def _keep(self, engine: "_RunningEngine") -> None:
        """Keep an engine here for as long as this task is not cancelled."""
        pause_s = _FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        while True:
            up_since_s = loop.time()
            self._running = engine
            self._changed()
            try:
                why = await engine.supervise(self._changed)
            finally:
                self._last_state, self._running = engine.client.state, None
                self._changed()
                await engine.end(by_force=self._is_kept)
            self._log.error("engine ended", engine=self.name, pid=engine.process.pid, reason=why)
            if loop.time() - up_since_s > _SOUND_S:
                pause_s = _FIRST_PAUSE_S
            engine, pause_s = await self._successor(pause_s)
            # Its workers have ended, too, by now.
            reap_orphans(self._pids)

    async def _successor(self, pause_s: float) -> tuple["_RunningEngine", float]:
        """Return an engine, and the pause before the one after it."""
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            try:
                return await self._start_one(), pause_s
            except EngineNotStarted as error:
                self._log.error("engine did not start", engine=self.name, reason=str(error))

    async def _start_one(self) -> "_RunningEngine":
        return await _RunningEngine.start(
            orders=self._orders, vetting=self._vetting, now=self._now, pids=self._pids
        )


class _RunningEngine:
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
        self._pids = pids
        pids.add(process.pid)
        self._folder, self._channel = folder, channel
        self._watching: asyncio.Task[None] | None = None
        self.silence = Silence(client)
        self._reported = asyncio.Event()
        self._condemned: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @classmethod
    async def start(
        cls,
        *,
        orders: Mapping[str, Any],
        vetting: AddressVetting,
        now: Callable[[], datetime],
        pids: set[int],
    ) -> "_RunningEngine":
        """Start a process and wait until it has reported. Raises EngineNotStarted."""
        try:
            # For this user alone: whoever can connect to an engine may have it measure.
            folder = SocketFolder()
        except OSError as error:
            raise EngineNotStarted(f"no folder for the engine's socket: {error}") from None
        try:
            process = await _process()
        except BaseException as error:
            folder.remove()
            if isinstance(error, OSError):  # no memory, descriptor or process to be had
                raise EngineNotStarted(f"the engine did not start: {error}") from None
            raise
        listen = f"unix:{folder.path / 'engine'}"
        channel = grpc.aio.insecure_channel(listen, options=channel_options())
        client = EngineClient(channel, vetting=vetting, now=now)
        engine = cls(process, folder, channel, client, pids)
        try:
            async with asyncio.timeout(_START_S):
                await engine._begin(json.dumps({"listen": listen, "settings": orders}))
        except (TimeoutError, OSError, ValueError, EngineLost, EngineLied) as error:
            # ValueError: a line without end in place of the announcement.
            await engine.end(by_force=True)
            raise EngineNotStarted(f"the engine did not start: {error or 'no answer'}") from None
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

    def condemn(self, why: str) -> None:
        """Have supervise return."""
        if not self._condemned.done():
            self._condemned.set_result(f"it lied: {why}")

    async def supervise(self, changed: Callable[[], None]) -> str:
        """Return why there is no relying on this engine any more."""
        exited, watching = asyncio.create_task(self.process.wait()), self._watching
        if watching is None:
            return "it was never watched"
        ends: set[asyncio.Future[Any]] = {exited, watching, self._condemned}
        try:
            while True:
                done, _ = await asyncio.wait(
                    ends, timeout=self.silence.next_look_s, return_when=asyncio.FIRST_COMPLETED
                )
                if done:
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
        start_new_session=True,
        env=_environment(),
    )


def _environment() -> dict[str, str]:
    return {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | _QUIET
