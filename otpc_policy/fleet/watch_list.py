"""Measures watched endpoints again before their verdicts expire, in time and without haste.

Theory of operation. A schedule says when each endpoint is due; in a fleet all replicas have the
same one, so that one of them measures. Twice a second as many endpoints are claimed as there is
room for, by their number and by how many may begin in a second. Each is checked as a caller would
have it checked, with a measurement of the lowest class, under a share of its own: whoever asks
comes first, and a crowd of watched endpoints takes nobody's places. What came of it says when the
endpoint is due next: at a random part of the time that the verdict has left, so that what was
measured together does not stay together.

A sweep over all endpoints looks at what is known of each, whoever measured it, and measures
nothing. It fills the table, and has an endpoint measured sooner whose verdict would expire before
that, because a caller has found something else meanwhile, or somebody has invalidated it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from random import Random
from typing import Final, Protocol

from otpc_policy.catalog.context import Catalog
from otpc_policy.check import (
    Answer,
    CheckRequest,
    Clock,
    Freshness,
    FreshnessMode,
    WatchedState,
)
from otpc_policy.core.caller import WATCH_LIST, Caller
from otpc_policy.core.demand import ScanClass
from otpc_policy.core.errors import Overloaded, ServiceUnavailable
from otpc_policy.fleet.schedule import CLAIM_S, KEEP_EVERY_S, Schedule
from otpc_policy.fleet.watch_table import WatchTable
from otpc_policy.fleet.watched import Watched
from otpc_policy.fleet.watched_state import StateReader
from otpc_policy.policy.finding import Decision

_logger = logging.getLogger(__name__)

TICK_S: Final = 0.5
_RENEW_S: Final = CLAIM_S / 3
# Of the time that a verdict has left. What is left then is for those that find no room at once, or
# whose replica dies: of five minutes, three times as long as a claim lasts.
_PART: Final = (0.7, 0.85)
_LEAST_S: Final = 1.0
_BACK_OFF_S: Final = 30.0
_LONGEST_BACK_OFF_S: Final = 600.0
_BUSY_S: Final = (5.0, 10.0)
# Another replica's, of another generation of partners.
_NOT_MINE_S: Final = 10.0
# A sweep passes each endpoint about twice a minute, if that is no more than fifty a second.
_SWEEP_S: Final = 30.0
_SWEEP_OF_ONE_S: Final = 0.02
_SWEPT_TOGETHER: Final = 8
# In a tick, of those whose verdicts expire. A hundred thousand need twenty a second.
_LOOKED_AT: Final = 16
_KEPT_TOGETHER: Final = 500
# For a name that has to be looked up. One that is late is looked at in the next sweep.
_SWEEP_WAIT_S: Final = 1.0
# What lost its verdict is measured soon, but not all of it at once.
_SOON_S: Final = 10.0
_UNDER_WAY: Final = "CHECK_IN_PROGRESS"


class Checks(Protocol):
    """The use case."""

    async def check(
        self,
        request: CheckRequest,
        generation: Catalog,
        *,
        wait_s: float | None,
        caller: Caller,
        scan_class: ScanClass,
    ) -> Answer: ...


class WatchObserver(Protocol):
    """Counts checks, for metrics: result is one of ops.metrics.watch.WATCH_RESULTS."""

    def watch_checked(self, result: str) -> None: ...


class WatchList:
    """run() it for as long as the service runs.

    generation: the current one. rate_per_s, concurrent: how many endpoints begin to be measured in
    a second, and are at the same time, at most. wait_s: longest wait for a measurement.
    perspective: from where they are measured; empty for the default.
    """

    def __init__(
        self,
        table: WatchTable,
        *,
        checks: Checks,
        schedule: Schedule,
        generation: Callable[[], Catalog],
        clock: Clock,
        observer: WatchObserver,
        draw: Random,
        rate_per_s: float,
        concurrent: int,
        wait_s: float,
        perspective: str = "",
    ) -> None:
        self._perspective = perspective
        self._table = table
        self._checks = checks
        self._schedule = schedule
        self._generation = generation
        self._clock = clock
        self._observer = observer
        self._draw = draw
        self._rate_per_s = rate_per_s
        self._concurrent = concurrent
        self._wait_s = wait_s
        self._read = StateReader()
        self._running: dict[str, asyncio.Task[None]] = {}
        # Of those, the ones whose next time is not known yet.
        self._claimed: set[str] = set()
        self._failures: dict[str, int] = {}
        self._kept_at: float | None = None
        self._renewed_at = self._filled_at = clock.monotonic()
        self._allowance = 0.0

    async def run(self) -> None:
        """Watch until cancelled; then no check of it is left."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tick_for_ever(), name="watch list")
                group.create_task(self._sweep_for_ever(), name="sweep of the watch list")
        finally:
            await self.close()

    async def close(self) -> None:
        """End the checks under way."""
        running = tuple(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def tick(self) -> None:
        """Begin to check what is due, as far as there is room."""
        await self._follow()
        now = self._clock.monotonic()
        self._allowance = min(
            max(1.0, self._rate_per_s),
            self._allowance + (now - self._filled_at) * self._rate_per_s,
        )
        self._filled_at = now
        if self._claimed and now - self._renewed_at >= _RENEW_S:
            self._renewed_at = now
            await self._schedule.due_in(dict.fromkeys(self._claimed, CLAIM_S))
        # Another replica may have measured them meanwhile.
        if names := self._table.to_look_at(_LOOKED_AT):
            await self._sweep(names)
        room = min(self._concurrent - len(self._running), int(self._allowance))
        claimed = await self._schedule.claim(max(0, room))
        self._table.behind_s = claimed.behind_s
        others = []
        for name in claimed.names:
            watched = self._table.get(name)
            if watched is None:
                others.append(name)
            elif name not in self._running:
                self._begin(name, watched)
        await self._schedule.due_in(dict.fromkeys(others, _NOT_MINE_S))

    async def sweep(self) -> None:
        """Look at every endpoint once."""
        for names in self._parts():
            await self._sweep(names)

    def _begin(self, name: str, watched: Watched) -> None:
        self._allowance -= 1
        self._claimed.add(name)
        task = asyncio.create_task(self._check(name, watched), name=f"watch {name}")
        self._running[name] = task
        task.add_done_callback(lambda _task: self._running.pop(name))

    async def _tick_for_ever(self) -> None:
        while True:
            try:
                await self.tick()
            except Exception:
                _logger.exception("the watch list failed")
            # Not in step with other replicas, so that none is always the first to claim.
            await asyncio.sleep(TICK_S * self._draw.uniform(0.5, 1.5))

    async def _sweep_for_ever(self) -> None:
        while True:
            count = len(self._table)
            pause_s = max(_SWEEP_S, count * _SWEEP_OF_ONE_S) / max(1, -(-count // _SWEPT_TOGETHER))
            for names in self._parts():
                await asyncio.sleep(pause_s)
                try:
                    await self._sweep(names)
                except Exception:
                    _logger.exception("the sweep of the watch list failed")
            if not count:
                await asyncio.sleep(pause_s)

    async def _follow(self) -> None:
        """Keep in the schedule what the current generation names, and nothing else."""
        generation, now = self._generation(), self._clock.monotonic()
        if generation is not self._table.under.generation:
            # Of ten thousand partners that takes a quarter of a second, and callers wait.
            under = await asyncio.to_thread(self._table.under_of, generation)
            new, gone = self._table.follow(under)
            for name in gone:
                self._failures.pop(name, None)
            self._kept_at = None
            await self._schedule.drop(gone)
            await self._keep(sorted(new))
        if self._kept_at is None or now - self._kept_at >= KEEP_EVERY_S:
            self._kept_at = now
            await self._keep(self._table.names())

    async def _keep(self, names: Sequence[str]) -> None:
        """Keep names. What the schedule does not know is due when its verdict demands, or soon.

        Soon is spread over the time that it takes to measure all of them at the permitted rate.
        """
        spread_s = len(names) / self._rate_per_s
        for at in range(0, len(names), _KEPT_TOGETHER):
            part = {
                name: self._draw.uniform(0, spread_s)
                if (state := self._table.stands(name)) is None
                else self._in_time(state)
                for name in names[at : at + _KEPT_TOGETHER]
            }
            await self._schedule.keep(part)
            # What scrapes of the metrics would otherwise have to make all at once.
            self._table.summarise(part)
            await asyncio.sleep(0)

    async def _check(self, name: str, watched: Watched) -> None:
        """Check one endpoint and say when it is due next. The outermost frame of its task."""
        try:
            answer = await self._ask(watched, FreshnessMode.REFRESH, self._wait_s)
        except (Overloaded, ServiceUnavailable):
            result, due_s = "busy", self._draw.uniform(*_BUSY_S)
        except Exception:
            _logger.exception("the check of a watched endpoint failed")
            result, due_s = "failed", self._back_off(name)
        else:
            state = self._read.state_of(answer)
            is_unknown = state.decision is Decision.INDETERMINATE
            # Half a minute ago it was the same. What is under way is nothing yet.
            is_confirmed = not is_unknown or (
                name in self._failures and _UNDER_WAY not in state.codes
            )
            self._table.record(name, state, is_confirmed=is_confirmed)
            result = state.decision.name.lower()
            if state.decision is not Decision.INDETERMINATE:
                self._failures.pop(name, None)
                too_soon_s = (answer.retry_after or timedelta()).total_seconds()
                due_s = max(self._in_time(state), too_soon_s)
            elif _UNDER_WAY in state.codes:
                result, due_s = "busy", self._draw.uniform(*_BUSY_S)
            else:
                due_s = self._back_off(name)
        finally:
            # From here on a renewal of the claim would take the place of what is decided below.
            self._claimed.discard(name)
        self._observer.watch_checked(result)
        try:
            await self._schedule.due_in({name: due_s})
        except Exception:
            # It comes back by itself, as what a replica that died had claimed does.
            _logger.exception("a watched endpoint has no next time")
            return
        self._table.will_check({name: due_s})

    async def _ask(self, watched: Watched, mode: FreshnessMode, wait_s: float) -> Answer:
        return await self._checks.check(
            CheckRequest(
                endpoint=watched.endpoint,
                freshness=Freshness(mode=mode),
                perspective=self._perspective,
            ),
            self._table.under.generation,
            wait_s=wait_s,
            caller=WATCH_LIST,
            scan_class=ScanClass.WATCH,
        )

    def _in_time(self, state: WatchedState) -> float:
        left_s = (state.expires_at - self._clock.now()).total_seconds()
        return max(_LEAST_S, left_s * self._draw.uniform(*_PART))

    def _back_off(self, name: str) -> float:
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        # Bounded before it is raised to a power: an endpoint may fail for years.
        back_off_s: float = _BACK_OFF_S * 2 ** min(failures - 1, 10)
        return min(back_off_s, _LONGEST_BACK_OFF_S) * self._draw.uniform(0.9, 1.1)

    def _parts(self) -> Iterator[Sequence[str]]:
        names = self._table.names()
        for at in range(0, len(names), _SWEPT_TOGETHER):
            yield names[at : at + _SWEPT_TOGETHER]

    async def _sweep(self, names: Sequence[str]) -> None:
        dues = await self._schedule.due(names)
        self._table.will_check(dues)
        # What the store has lost: it would be kept again within a minute.
        await self._keep([name for name in names if name not in dues])
        sooner = await asyncio.gather(*(self._look_at(name, dues.get(name)) for name in names))
        earlier = {name: due_s for name, due_s in zip(names, sooner, strict=True) if due_s}
        if earlier:
            await self._schedule.sooner(earlier)
            self._table.will_check(earlier)

    async def _look_at(self, name: str, due_s: float | None) -> float | None:
        """Take note of what is known of an endpoint; return when it is due, if that is sooner."""
        watched = self._table.get(name)
        if watched is None or name in self._running:
            return None
        stood = self._table.stood(name)
        try:
            answer = await self._ask(watched, FreshnessMode.CACHE_ONLY, _SWEEP_WAIT_S)
        except (Overloaded, ServiceUnavailable):
            return None
        except Exception:
            _logger.exception("a watched endpoint cannot be looked at")
            return None
        state = self._read.state_of(answer)
        if _UNDER_WAY in state.codes or name in self._running:
            return None
        is_confirmed = state.decision is not Decision.INDETERMINATE
        self._table.record(name, state, is_confirmed=is_confirmed)
        if self._table.stands(name) is None:
            is_lost = stood and due_s is not None and due_s > _SOON_S
            return self._draw.uniform(0, _SOON_S) if is_lost else None
        self._failures.pop(name, None)
        left_s = (state.expires_at - self._clock.now()).total_seconds()
        return self._in_time(state) if due_s is not None and due_s > left_s else None
