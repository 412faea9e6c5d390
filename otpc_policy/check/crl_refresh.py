"""Fetches the CRLs that judging asked for, in the background, and again before they grow old.

No check waits for this. Fetches are bounded in number, shared out among those who choose the URLs
(crl_shares), spaced out by host, and after a failure made less and less often. Each list has one
fetch under way at most.

A list is read on a thread of its own, one after the other, with pauses (pki.crl). The leaves that
it is about are told in turns of the event loop.
"""

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from otpc_policy.check.crl_book import CrlBook, CrlSource, Owners, SourceKey
from otpc_policy.check.crl_shares import CrlShares
from otpc_policy.check.ports import Clock, CrlFetcher, CrlObserver
from otpc_policy.core.errors import OtpcPolicyError
from otpc_policy.core.fetching import FetchOutcome
from otpc_policy.pki.crl import RevocationList, UnusableCrlError, read_crl
from otpc_policy.turns import turn

_logger = logging.getLogger(__name__)

# After the first failure, and after many: a list that cannot be had is not asked for every minute.
_FIRST_RETRY_S: Final = 60.0
_LONGEST_RETRY_S: Final = 3_600.0
# Between the starts of two fetches from one host, which may serve the lists of many issuers.
_HOST_SPACING_S: Final = 1.0
# Lists end by the clock on the wall, and are fetched by one that never goes back.
_LEAST_PAUSE_S: Final = 60.0
_LONGEST_SLEEP_S: Final = 60.0
# Reading goes on as long as it has held the interpreter before.
_PAUSE_S: Final = 0.001
_PROBLEMS: Final = {
    FetchOutcome.UNRESOLVED: "its host does not resolve",
    FetchOutcome.FORBIDDEN: "its host has an address that may not be dialled",
    FetchOutcome.UNREACHABLE: "its host cannot be reached",
    FetchOutcome.REFUSED: "its host does not serve it",
    FetchOutcome.REDIRECTED: "its host redirects too often, or to something else than http",
    FetchOutcome.TOO_LARGE: "it is larger than the setting crl.max_bytes allows",
    FetchOutcome.TIMEOUT: "it was not fetched in time",
    FetchOutcome.BROKEN: "its host does not answer in HTTP, or broke off",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlLimits:
    """Bounds of fetching. refresh: how long a list is used before it is fetched again.

    max_bytes: of one list. deadline_s: of one fetch. concurrent: fetches under way.
    """

    refresh: timedelta
    max_bytes: int
    deadline_s: float
    concurrent: int


@dataclass(frozen=True, slots=True)
class _Fetch:
    """result: for metrics. problem: what is wrong, for people; "" for nothing."""

    result: str
    problem: str
    found: RevocationList | None = None


class CrlRefresher:
    """Keeps the lists of a book current while run is running."""

    def __init__(
        self,
        book: CrlBook,
        *,
        fetcher: CrlFetcher,
        clock: Clock,
        limits: CrlLimits,
        observer: CrlObserver,
    ) -> None:
        self._book, self._fetcher, self._clock = book, fetcher, clock
        self._limits, self._observer = limits, observer
        self._under_way: dict[SourceKey, str] = {}
        self._last_start_s: dict[str, float] = {}
        self._shares = CrlShares(limits.concurrent)
        self._reading = asyncio.Lock()
        self._is_stopping = False

    async def run(self) -> None:
        """Fetch what is due, until this is cancelled. Leaves nothing running behind."""
        wake = asyncio.Event()
        self._book.wished = wake.set
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    wake.clear()
                    # Among thousands that are due, choosing takes milliseconds.
                    async with turn():
                        self._book.forget_unasked()
                        for source, owners in self._startable():
                            self._started(source)
                            task = tasks.create_task(self._refresh(source, owners))
                            task.add_done_callback(lambda _: wake.set())
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._sleep_s()):
                            await wake.wait()
        finally:
            # A thread that reads a list ends at its next pause.
            self._is_stopping = True

    def _startable(self) -> list[tuple[CrlSource, Owners]]:
        if len(self._under_way) >= self._limits.concurrent:
            return []
        now_s = self._clock.monotonic()
        self._last_start_s = {
            host: at for host, at in self._last_start_s.items() if now_s - at < _HOST_SPACING_S
        }
        due = [source for source in self._book.due() if source.key not in self._under_way]
        hosts = {*self._under_way.values(), *self._last_start_s}
        return self._shares.choose(due, taken_hosts=hosts, now_s=now_s)

    def _started(self, source: CrlSource) -> None:
        self._under_way[source.key] = source.url.host
        self._last_start_s[source.url.host] = self._clock.monotonic()

    def _sleep_s(self) -> float:
        """Return how long nothing new can be started; the end of a fetch ends the sleep."""
        next_s = self._book.next_due_s()
        if next_s is None:
            return _LONGEST_SLEEP_S
        left_s = next_s - self._clock.monotonic()
        return min(max(left_s, _HOST_SPACING_S), _LONGEST_SLEEP_S)

    async def _refresh(self, source: CrlSource, owners: Owners) -> None:
        """Fetch a list and read it. The outermost frame of a fetch's task."""
        began_s = self._clock.monotonic()
        result, is_failure = "failed", True
        try:
            fetch = await self._fetched(source)
            self._take(source, fetch)
            result, is_failure = fetch.result, fetch.found is None
            while self._book.is_telling:
                async with turn():
                    self._book.tell_some()
        except Exception:
            _logger.exception("a CRL could not be fetched by a fault of this service")
            source.due_s = self._clock.monotonic() + _LONGEST_RETRY_S
        finally:
            del self._under_way[source.key]
            now_s = self._clock.monotonic()
            self._shares.ended(
                source, owners, took_s=now_s - began_s, is_failure=is_failure, now_s=now_s
            )
        self._observer.crl_fetched(result)

    def _take(self, source: CrlSource, fetch: _Fetch) -> None:
        found, problem = fetch.found, fetch.problem
        pause_s = self._limits.refresh.total_seconds()
        if found is not None:
            left_s = (found.next_update - self._clock.now()).total_seconds()
            pause_s = min(pause_s, max(left_s, _LEAST_PAUSE_S))
            if left_s <= 0:
                problem = "its host serves one that is stale"
        if problem and problem != source.problem:
            _logger.warning("the CRL at %s cannot be used: %s", source.url.text, problem)
        source.failures = source.failures + 1 if problem else 0
        if problem:
            pause_s = min(_FIRST_RETRY_S * 2 ** min(source.failures - 1, 10), _LONGEST_RETRY_S)
        source.due_s = self._clock.monotonic() + pause_s
        source.problem = problem
        if found is not None:
            self._book.brought(source, found)
        else:
            self._book.failed(source, problem)

    async def _fetched(self, source: CrlSource) -> _Fetch:
        limits = self._limits
        try:
            fetched = await self._fetcher.fetch_crl(
                source.url, max_bytes=limits.max_bytes, deadline_s=limits.deadline_s
            )
        except OtpcPolicyError:
            return _Fetch("engine", "no engine could fetch it")
        if fetched.outcome is not FetchOutcome.FETCHED:
            return _Fetch(fetched.outcome.value.lower(), _PROBLEMS[fetched.outcome])
        async with self._reading:
            try:
                found = await asyncio.to_thread(
                    read_crl, fetched.body, source.issuer, pause=self._pause
                )
            except UnusableCrlError as unusable:
                return _Fetch("unusable", str(unusable))
        return _Fetch("fetched", "", found)

    def _pause(self) -> None:
        if self._is_stopping:
            raise UnusableCrlError("the service is draining")
        time.sleep(_PAUSE_S)
