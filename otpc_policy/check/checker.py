"""The use case: resolve, take facts from the cache or one shared measurement, judge, answer.

Each address's facts live as long as the policy's judgement of that address alone says; the answer is the judgement of all together.
"""

import asyncio
import logging
from datetime import datetime, timedelta

from otpc_policy.check.flights import Flight, FlightBoard
from otpc_policy.check.freshness import IN_PROGRESS_RETRY, Lifetimes, facts_key, facts_prefix, lifetime_ends_at, still_answers, wait_for
from otpc_policy.check.gathered import Gathered, outcome_of
from otpc_policy.check.judging import Judge
from otpc_policy.check.ports import CheckObserver, Clock, FactsCache, Resolver, Scanner
from otpc_policy.check.values import CheckAnswer, CheckRequest, FreshnessMode, ResultSource
from otpc_policy.core.addresses import Resolution, VettedAddress
from otpc_policy.core.errors import Overloaded, ServiceUnavailable
from otpc_policy.core.facts import AddressFacts, Depth, ResolutionStatus
from otpc_policy.policy.finding import Decision, Finding
from otpc_policy.policy.resolution_findings import unmeasured_finding
from otpc_policy.policy.service_findings import service_finding

_logger = logging.getLogger(__name__)


class EndpointChecker:
    """Answers checks. close() ends every measurement; after it begins, checks raise ServiceUnavailable."""

    def __init__(
        self,
        *,
        resolver: Resolver,
        scanner: Scanner,
        cache: FactsCache,
        clock: Clock,
        lifetimes: Lifetimes,
        observer: CheckObserver,
        max_stale: timedelta,
        minimum_refresh_interval: timedelta,
    ) -> None:
        self._resolver = resolver
        self._scanner = scanner
        self._cache = cache
        self._clock = clock
        self._lifetimes = lifetimes
        self._observer = observer
        self._max_stale = max_stale
        self._minimum_refresh_interval = minimum_refresh_interval
        self._judge = Judge()
        self._flights = FlightBoard(clock.monotonic)
        self._closing = False

    @property
    def flights_in_progress(self) -> int:
        """Measurements under way or waiting for their predecessor."""
        return len(self._flights)

    async def close(self) -> None:
        """Refuse further checks and end every measurement."""
        self._closing = True
        await self._flights.close()

    def invalidate(self, host: str, port: int) -> int:
        """Forget the facts about a host (canonical) and say how many there were; port 0 stands for every port.

        A measurement under way began before this: it answers whoever waits for it already, and nobody who asks from now on.
        """
        prefix = facts_prefix(host, port)
        self._flights.outdate(prefix)
        gone = self._cache.discard_all(prefix)
        self._judge.release(gone)
        return len(gone)

    async def check(self, request: CheckRequest, *, wait_s: float | None) -> CheckAnswer:
        """Return the judged answer. wait_s: how long the caller waits for a measurement; None for until it ends.

        Raises Overloaded where a measurement is needed and there is no room, ServiceUnavailable while closing.
        """
        if self._closing:
            raise ServiceUnavailable("the service is draining")
        if (refusal := request.terms.refusal(request.endpoint)) is not None:
            return self._refused(request, refusal)
        began = self._clock.monotonic()
        try:
            resolution = self._resolver.known(request.endpoint.host) or await self._resolved(request.endpoint.host, wait_s)
            if resolution.is_stale and self._needs_measuring(request, resolution):
                left_s = self._left_s(wait_s, began)
                resolution = await self._resolved(request.endpoint.host, left_s, fresh=True)
        except TimeoutError:
            return self._unanswered(request, "CHECK_IN_PROGRESS", f"{request.endpoint.host} is still being resolved", IN_PROGRESS_RETRY)
        if resolution.status is not ResolutionStatus.RESOLVED or not resolution.addresses:
            return self._unmeasured(request, resolution)
        now = self._clock.now()
        kept = self._judge.kept(request, resolution, tuple(self._newest(request, address)[1] for address in resolution.addresses))
        if kept is not None and request.freshness.mode is not FreshnessMode.REFRESH and still_answers(kept, request.freshness, now):
            self._observer.cache_request(tier="memory", result="hit")
            return CheckAnswer(judged=kept, source=ResultSource.CACHE, evaluated_at=now, retry_after=wait_for(kept, now))
        gathered = self._gather(request, resolution, now)
        if gathered.flights:
            await self._wait(request, gathered, self._left_s(wait_s, began))
        return self._answer(request, resolution, gathered)

    async def _resolved(
        self,
        host: str,
        wait_s: float | None,
        *,
        fresh: bool = False,
    ) -> Resolution:
        """Raises TimeoutError. What is known already needs none of this: setting a timer and taking it back costs more than looking it up."""
        async with asyncio.timeout(wait_s):
            return await self._resolver.resolve(host, fresh=fresh)

    def _left_s(self, wait_s: float | None, began: float) -> float | None:
        """Return what is left of the caller's time."""
        return None if wait_s is None else max(0.0, wait_s - (self._clock.monotonic() - began))

    def _needs_measuring(self, request: CheckRequest, resolution: Resolution) -> bool:
        """Tell whether some address has no cached answer, and the request lets it be measured."""
        now, mode = self._clock.now(), request.freshness.mode

        def lacks(address: VettedAddress) -> bool:
            key, facts = self._newest(request, address)
            if mode is FreshnessMode.REFRESH:
                return not self._is_recent(facts, now)
            return self._cached(request, key, facts, now, Gathered()) == "miss"

        return mode is not FreshnessMode.CACHE_ONLY and any(map(lacks, resolution.addresses))

    def _newest(self, request: CheckRequest, address: VettedAddress) -> tuple[bytes, AddressFacts | None]:
        """Return the key to measure under and the newest facts; DEEP facts serve STANDARD too."""
        key = facts_key(request.endpoint, address.text, request.depth)
        facts = self._cache.get(key)
        if request.depth is Depth.STANDARD:
            deep = self._cache.get(facts_key(request.endpoint, address.text, Depth.DEEP))
            if deep is not None and (facts is None or deep.observed_at > facts.observed_at):
                return key, deep
        return key, facts

    def _gather(self, request: CheckRequest, resolution: Resolution, now: datetime) -> Gathered:
        """Take what the cache may answer with and begin a flight for the rest."""
        gathered = Gathered()
        mode, is_stale = request.freshness.mode, resolution.is_stale
        results = []
        for address in resolution.addresses:
            key, facts = self._newest(request, address)
            if mode is FreshnessMode.REFRESH and (self._is_recent(facts, now) or not is_stale):
                result = self._refresh(request, address, key, facts, now=now, gathered=gathered)
            elif mode is FreshnessMode.REFRESH:
                result = "miss"
            else:
                result = self._cached(request, key, facts, now, gathered)
                if result != "hit" and mode is FreshnessMode.CACHE_FIRST and not is_stale:
                    flight = self._fly(request, address, key, refresh=False, gathered=gathered)
                    if result == "miss":
                        gathered.flights.append((address, key, flight))
                elif result == "miss" and mode is FreshnessMode.CACHE_ONLY:
                    gathered.findings.append(service_finding("NO_CACHED_RESULT", "no cached facts are fresh enough, and none may be measured", address.text))
            if result == "miss" and is_stale and mode is not FreshnessMode.CACHE_ONLY:
                host = request.endpoint.host
                gathered.findings.append(unmeasured_finding(host, resolution.failure, address.text))
            results.append(result)
        if is_stale:
            gathered.ends.append(now + resolution.ttl)
        # One count for each request: the costliest thing that any address needed.
        self._observer.cache_request(tier="memory", result=next(one for one in ("refresh", "miss", "stale", "hit") if one in results))
        if "stale" in results and not gathered.flights:
            gathered.source = ResultSource.STALE_CACHE
        return gathered

    def _refresh(self, request: CheckRequest, address: VettedAddress, key: bytes, facts: AddressFacts | None, *, now: datetime, gathered: Gathered) -> str:
        if facts is not None and self._is_recent(facts, now):
            self._use(request, key, facts, now, gathered)
            soonest = self._minimum_refresh_interval - (now - facts.observed_at)
            gathered.retry_after = max(soonest, gathered.retry_after or soonest)
            return "hit"
        gathered.flights.append((address, key, self._fly(request, address, key, refresh=True, gathered=gathered)))
        return "refresh"

    def _is_recent(self, facts: AddressFacts | None, now: datetime) -> bool:
        """Tell whether the facts are so new that a REFRESH gets them too."""
        if facts is None:
            return False
        return timedelta() <= now - facts.observed_at < self._minimum_refresh_interval

    def _cached(self, request: CheckRequest, key: bytes, facts: AddressFacts | None, now: datetime, gathered: Gathered) -> str:
        if facts is None or (request.freshness.max_age is not None and now - facts.observed_at > request.freshness.max_age):
            return "miss"
        ends_at = self._ends_at(request, key, facts, now)
        if now < ends_at:
            self._use(request, key, facts, now, gathered)
            return "hit"
        stale_until = ends_at + min(request.freshness.max_stale or timedelta(), self._max_stale)
        flips_at = self._judge.changes_at(request, facts, facts.observed_at)
        if now < stale_until and (flips_at is None or now < flips_at):
            gathered.facts.append(facts)
            gathered.ends.append(stale_until)
            return "stale"
        return "miss"

    def _use(self, request: CheckRequest, key: bytes, facts: AddressFacts, now: datetime, gathered: Gathered) -> None:
        gathered.facts.append(facts)
        gathered.ends.append(self._ends_at(request, key, facts, now))

    def _ends_at(self, request: CheckRequest, key: bytes, facts: AddressFacts, now: datetime) -> datetime:
        return lifetime_ends_at(key, facts, self._lifetimes.under(*request.terms.policies).of(self._judge.decision(request, facts, now)))

    def _fly(self, request: CheckRequest, address: VettedAddress, key: bytes, *, refresh: bool, gathered: Gathered) -> Flight:
        join = self._flights.join_new if refresh else self._flights.join
        flight, began = join(key, lambda: self._measure(request, address, key))
        self._observer.flight("began" if began else "joined")
        if began:
            gathered.source = ResultSource.MEASURED
            flight.task.add_done_callback(lambda task: self._landed(task, key))
        elif gathered.source is not ResultSource.MEASURED:
            gathered.source = ResultSource.SHARED
        return flight

    async def _measure(self, request: CheckRequest, address: VettedAddress, key: bytes) -> AddressFacts:
        began = self._clock.monotonic()
        facts = await self._scanner.measure(request.endpoint, address, request.depth)
        if not self._flights.is_outdated(key):
            self._judge.hold(facts)
            self._judge.release(self._cache.put(key, facts))
        self._observer.scan_finished(outcome=outcome_of(facts), seconds=self._clock.monotonic() - began)
        return facts

    def _landed(self, task: asyncio.Task[AddressFacts], key: bytes) -> None:
        """Count and log a measurement that raised. What was known before says nothing any more: it is forgotten."""
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Overloaded):
            self._observer.scan_finished(outcome="overloaded", seconds=0.0)
        elif error is not None:
            self._judge.release(self._cache.discard(key))
            self._observer.scan_finished(outcome="failed", seconds=0.0)
            _logger.error("a measurement failed", exc_info=error)

    async def _wait(self, request: CheckRequest, gathered: Gathered, wait_s: float | None) -> None:
        """Wait for the flights and sort what they brought."""
        await asyncio.wait({flight.task for _, _, flight in gathered.flights}, timeout=wait_s)
        now = self._clock.now()
        for address, key, flight in gathered.flights:
            task = flight.task
            if not task.done():
                gathered.retry_after = IN_PROGRESS_RETRY
                message = self._foretell(request, address, now, gathered)
                gathered.findings.append(service_finding("CHECK_IN_PROGRESS", message, address.text))
            elif task.cancelled():
                raise ServiceUnavailable("the service is draining")
            elif (error := task.exception()) is None:
                self._use(request, key, task.result(), now, gathered)
            elif isinstance(error, Overloaded):
                gathered.overloaded = error
                gathered.findings.append(service_finding("SCAN_FAILED", "there is no room to measure this address now", address.text))
            else:
                gathered.findings.append(service_finding("SCAN_FAILED", "the measurement failed by a fault of this service", address.text))

    def _foretell(self, request: CheckRequest, address: VettedAddress, now: datetime, gathered: Gathered) -> str:
        """Take what a measurement under way has found if that denies already, because nothing it may still find permits; say which it is."""
        found = self._scanner.glimpse(request.endpoint, address, request.depth)
        if found is None or self._judge.decision(request, found, now) is not Decision.DENY:
            return "the measurement is still under way; ask again"
        gathered.facts.append(found)
        return "the measurement is still under way, and what it has found so far denies already; ask again for the rest"

    def _answer(self, request: CheckRequest, resolution: Resolution, gathered: Gathered) -> CheckAnswer:
        now = self._clock.now()
        expires_at = min(
            (*gathered.ends, now + self._lifetimes.under(*request.terms.policies).unknown) if gathered.findings or not gathered.ends else gathered.ends
        )
        judged = self._judge.judge(
            request,
            resolution,
            tuple(gathered.facts),
            findings=tuple(gathered.findings),
            expires_at=expires_at,
            now=now,
            keep=gathered.source is not ResultSource.STALE_CACHE,
        )
        if gathered.overloaded is not None and judged.verdict.decision is not Decision.DENY:
            raise gathered.overloaded
        source = gathered.source if gathered.facts else ResultSource.NONE
        return CheckAnswer(judged=judged, source=source, evaluated_at=now, retry_after=gathered.retry_after or wait_for(judged, now))

    def _unmeasured(self, request: CheckRequest, resolution: Resolution) -> CheckAnswer:
        """Judge a host that has no address to measure."""
        now = self._clock.now()
        judged = self._judge.judge(request, resolution, (), expires_at=now + self._lifetimes.under(*request.terms.policies).unknown, now=now)
        return CheckAnswer(judged=judged, source=ResultSource.NONE, evaluated_at=now, retry_after=wait_for(judged, now))

    def _refused(self, request: CheckRequest, refusal: Finding) -> CheckAnswer:
        now = self._clock.now()
        judged = self._judge.refused(request, refusal, now + self._lifetimes.under(*request.terms.policies).deny)
        return CheckAnswer(judged=judged, source=ResultSource.NONE, evaluated_at=now, retry_after=None)

    def _unanswered(self, request: CheckRequest, code: str, message: str, retry_after: timedelta) -> CheckAnswer:
        now = self._clock.now()
        pending = Resolution(status=ResolutionStatus.RESOLVED)
        expires_at = now + self._lifetimes.under(*request.terms.policies).unknown
        judged = self._judge.judge(request, pending, (), findings=(service_finding(code, message),), expires_at=expires_at, now=now)
        return CheckAnswer(judged=judged, source=ResultSource.NONE, evaluated_at=now, retry_after=retry_after)
