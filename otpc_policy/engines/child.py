"""Engines of our own: processes that are started, watched, started again and never left behind.

Each has its place in the fleet. It reports its state every second; one that is silent for several
is killed, because a process that was stopped, or hangs, keeps its connections open and its callers
waiting.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import structlog

from otpc_policy.core.addresses import AddressVetting, Resolution
from otpc_policy.core.facts import AddressFacts
from otpc_policy.core.fetching import Fetched, HttpUrl
from otpc_policy.engines.child_process import LOG_LEVEL, RunningEngine
from otpc_policy.engines.client import EngineClient
from otpc_policy.engines.errors import EngineLost, EngineNotStarted, EngineRefuses
from otpc_policy.engines.orphans import reap_orphans
from otpc_policy.engines.ports import Engine, EngineState, Report, Target, Terms
from otpc_policy.engines.socket_folder import remove_abandoned

# An engine that dies again and again is started less and less often, but within the time for
# which callers wait for one (pool).
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
# An engine may be lost before it is up: a worker is killed, memory is short for a moment.
_START_ATTEMPTS: Final = 3
# No further attempt after this time: whoever started the service is waiting.
_START_S: Final = 30.0
# One that has lived so long is sound: what ends it then is news.
_SOUND_S: Final = 30.0


class ChildFleet:
    """A fixed number of engine processes. orders: see settings.engine_part.

    ended: is called whenever an engine that was up has to be replaced.
    """

    def __init__(
        self,
        count: int,
        *,
        orders: Mapping[str, Any],
        vetting: AddressVetting,
        now: Callable[[], datetime],
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        pids: set[int] = set()
        # Those of engines that are yet to be started change with the log level.
        self._orders = dict(orders)
        self._children = tuple(
            ChildEngine(
                f"engine-{number}",
                orders=self._orders,
                vetting=vetting,
                now=now,
                pids=pids,
                ended=ended,
            )
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
        """Start all and wait until each is up, or has failed several times.

        Those that failed are tried further in the background, if any is up.
        Raises EngineNotStarted if none is, and EngineRefuses if one refuses.
        """
        remove_abandoned()
        starting = [asyncio.create_task(one.start(changed)) for one in self._children]
        try:
            await asyncio.wait(starting)
            _raise_unless_usable([one.exception() for one in starting])
            for child, one in zip(self._children, starting, strict=True):
                if one.exception() is not None:
                    child.start_later()
        except BaseException:
            for one in starting:
                one.cancel()
            await asyncio.wait(starting)
            await self.stop()
            raise

    def set_log_level(self, level: str) -> None:
        """See ports.Fleet."""
        self._orders[LOG_LEVEL] = level
        for child in self._children:
            child.follow_orders()

    async def stop(self) -> None:
        """End all and wait until they are gone."""
        await asyncio.gather(*(child.stop() for child in self._children))


class ChildEngine:
    """One place in the fleet, and the engine process that is there now, if any.

    pids: of all processes of the fleet that have not been waited for. ended: see ChildFleet.
    """

    def __init__(
        self,
        name: str,
        *,
        orders: Mapping[str, Any],
        vetting: AddressVetting,
        now: Callable[[], datetime],
        pids: set[int],
        ended: Callable[[], None],
    ) -> None:
        self._name, self._orders, self._vetting, self._now = name, orders, vetting, now
        self._pids, self._ended = pids, ended
        self._running: RunningEngine | None = None
        self._last_state = EngineState()
        self._changed: Callable[[], None] = lambda: None
        self._keeper: asyncio.Task[None] | None = None
        self._is_kept = True
        self._restarts = 0
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

    @property
    def restarts(self) -> int:
        """See ports.Engine."""
        return self._restarts

    async def start(self, changed: Callable[[], None]) -> None:
        """Start an engine, and from then on keep one here.

        Raises EngineNotStarted after several attempts, EngineRefuses after the first.
        """
        self._changed = changed
        self._keeper = asyncio.create_task(self._keep(await self._first()))

    def start_later(self) -> None:
        """Keep trying to start an engine, and from then on keep one here."""

        async def keep() -> None:
            engine, _ = await self._successor(_LONGEST_PAUSE_S)
            await self._keep(engine)

        self._keeper = asyncio.create_task(keep())

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

    def share_connections(self, target: Target, connections: int) -> None:
        """See ports.Engine."""
        if self._running is not None:
            self._running.client.share_connections(target, connections)

    async def partial(self, target: Target) -> AddressFacts | None:
        """See ports.Engine."""
        return None if self._running is None else await self._running.client.partial(target)

    async def resolve(self, host: str, *, fresh: bool, within_s: float) -> Resolution:
        """See ports.Engine."""
        return await self._client().resolve(host, fresh=fresh, within_s=within_s)

    async def fetch_crl(self, url: HttpUrl, *, max_bytes: int, deadline_s: float) -> Fetched:
        """See ports.Engine."""
        return await self._client().fetch_crl(url, max_bytes=max_bytes, deadline_s=deadline_s)

    async def answers(self, *, within_s: float) -> bool:
        """See ports.Engine."""
        return await self._client().answers(within_s=within_s)

    def follow_orders(self) -> None:
        """Have the engine that is up log as the orders say by now."""
        level = self._orders.get(LOG_LEVEL)
        if self._running is not None and level is not None:
            self._running.set_log_level(str(level))

    def condemn(self, why: str) -> None:
        """See ports.Engine. The process is killed, and another one started."""
        if self._running is not None:
            self._running.condemn(why)

    def _client(self) -> EngineClient:
        if self._running is None:
            raise EngineLost("the engine is being started")
        return self._running.client

    async def _keep(self, engine: RunningEngine) -> None:
        """Keep an engine here for as long as this task is not cancelled."""
        pause_s = _FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        while True:
            up_since_s = loop.time()
            self._running = engine
            self.follow_orders()
            self._changed()
            try:
                why = await engine.supervise(self._changed)
            finally:
                self._last_state, self._running = engine.client.state, None
                self._changed()
                await engine.end(by_force=self._is_kept)
            self._ended()
            self._log.error("engine ended", engine=self.name, pid=engine.process.pid, reason=why)
            if loop.time() - up_since_s > _SOUND_S:
                pause_s = _FIRST_PAUSE_S
            engine, pause_s = await self._successor(pause_s)
            self._restarts += 1
            # Its workers have ended, too, by now.
            reap_orphans(self._pids)

    async def _first(self) -> RunningEngine:
        loop = asyncio.get_running_loop()
        until_s, pause_s, failures = loop.time() + _START_S, _FIRST_PAUSE_S, 0
        while True:
            try:
                return await self._start_one()
            except EngineRefuses:
                raise
            except EngineNotStarted as error:
                failures += 1
                if failures == _START_ATTEMPTS or loop.time() > until_s:
                    raise
                self._log_failure(error)
            await asyncio.sleep(pause_s)
            pause_s *= 2

    async def _successor(self, pause_s: float) -> tuple[RunningEngine, float]:
        """Return an engine, and the pause before the one after it."""
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            try:
                return await self._start_one(), pause_s
            except EngineNotStarted as error:
                self._log_failure(error)

    def _log_failure(self, error: EngineNotStarted) -> None:
        self._log.error("engine did not start", engine=self.name, reason=str(error))

    async def _start_one(self) -> RunningEngine:
        return await RunningEngine.start(
            self._name,
            orders=self._orders,
            vetting=self._vetting,
            now=self._now,
            pids=self._pids,
        )


def _raise_unless_usable(failures: Sequence[BaseException | None]) -> None:
    """Raise what ended the start of a fleet: a refusal, a bug, or the failure of every engine.

    failures: one for each engine, None for one that is up. Any other EngineNotStarted is tolerated.
    """
    for failure in failures:
        if failure is not None and (
            not isinstance(failure, EngineNotStarted) or isinstance(failure, EngineRefuses)
        ):
            raise failure
    if failures and all(failures) and failures[0] is not None:
        raise failures[0]
