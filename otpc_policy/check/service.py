"""The use case: may traffic go to this endpoint? Every transport and the command line ask it here.

Facts come from measurements, their meaning from verdicts; this module only joins the two.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from otpc_policy.catalog.context import Catalog
from otpc_policy.check.forced_measurements import ForcedMeasurements
from otpc_policy.check.freshness import FreshnessMode, lifetime_ends_at
from otpc_policy.check.leaf_reports import LeafReports, Outcome
from otpc_policy.check.measurements import (
    FactsWanted,
    Found,
    Measurements,
    Missing,
    Newer,
    WhyMissing,
)
from otpc_policy.check.ports import Boarding, CheckObserver, Clock, LookUp
from otpc_policy.check.standing import Standing, still_answers
from otpc_policy.check.stored_facts import StoredFacts
from otpc_policy.check.values import (
    IN_PROGRESS_RETRY,
    Answer,
    CheckRequest,
    Judgement,
    ResultSource,
)
from otpc_policy.check.verdicts import Question, Verdicts
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.caller import WITHIN_THIS_PROCESS, Caller
from otpc_policy.core.demand import ScanClass
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.errors import ServiceUnavailable, UnknownPerspective
from otpc_policy.core.facts import Depth, ForbiddenAddress, ResolutionFailure, ResolutionStatus
from otpc_policy.core.perspective import DEFAULT_PERSPECTIVE
from otpc_policy.core.spans import span
from otpc_policy.policy.finding import Decision, Finding
from otpc_policy.policy.resolution_findings import unmeasured_finding
from otpc_policy.policy.service_findings import service_finding

_HIT = LookUp.HIT.value
_STILL_UNDER_WAY = "the measurement is still under way; ask again"
_DENIES_ALREADY = (
    "the measurement is still under way, and what it has found so far denies already; "
    "ask again for the rest"
)


class CheckService:
    """Answers checks. After close() begins, they raise ServiceUnavailable.

    measurements: of the perspective that a request means which names none. elsewhere: of the other
    perspectives; all of them share one store.
    forced: which reports of another leaf may cause a measurement.
    """

    def __init__(
        self,
        *,
        measurements: Measurements,
        elsewhere: Sequence[Measurements] = (),
        verdicts: Verdicts,
        forced: ForcedMeasurements,
        clock: Clock,
        observer: CheckObserver,
    ) -> None:
        self._measurements = measurements
        self._by_perspective = {each.perspective: each for each in (measurements, *elsewhere)}
        self._verdicts = verdicts
        self._reports = LeafReports(
            forced=forced, verdicts=verdicts, clock=clock, observer=observer
        )
        self._clock = clock
        self._observer = observer
        self._closing = False

    async def close(self) -> None:
        """Refuse further checks and end every measurement."""
        self._closing = True
        await asyncio.gather(*(each.close() for each in self._by_perspective.values()))

    async def invalidate(self, host: str, port: int) -> int:
        """Forget the facts of a host (canonical), of all ports for port 0; return how many.

        From wherever they were measured.
        """
        self.outdate_endpoints({(host, port)})
        return await self._measurements.invalidate(host, port)

    def outdate_endpoints(self, endpoints: Collection[tuple[str, int]] | None) -> None:
        """See Measurements.outdate_endpoints: from every perspective."""
        for each in self._by_perspective.values():
            each.outdate_endpoints(endpoints)

    def _measurements_for(self, perspective: str) -> Measurements:
        if not perspective:
            return self._measurements
        found = self._by_perspective.get(perspective)
        if found is None:
            raise UnknownPerspective(perspective, sorted(self._by_perspective))
        return found

    async def check(
        self,
        request: CheckRequest,
        generation: Catalog,
        *,
        wait_s: float | None,
        caller: Caller = WITHIN_THIS_PROCESS,
        scan_class: ScanClass = ScanClass.INTERACTIVE,
    ) -> Answer:
        """Return the answer, judged by this generation from start to end.

        wait_s: how long the caller waits for a measurement; None until it ends. caller: whose share
        of measurements is used; one that hangs up cancels this. scan_class: of measurements that
        are waited for.
        An answer to a request that reports a leaf is never ALLOW unless it covers that leaf.
        Raises UnknownPolicy, UnknownPerspective; ServiceUnavailable while closing; and where the
        host has to be resolved or measured, PortNotAllowed, CallerBudgetUsed, or Overloaded if
        there is no room.
        """
        if self._closing:
            raise ServiceUnavailable("the service is draining")
        measurements = self._measurements_for(request.perspective)
        question = self._verdicts.question(
            request, generation, perspective=measurements.perspective
        )
        if question.refusal is not None:
            return self._refused(question, question.refusal)
        wanted = FactsWanted(
            endpoint=request.endpoint,
            depth=request.depth,
            freshness=request.freshness,
            lifetime=partial(self._verdicts.lifetime, question),
            caller=caller,
            is_partners=question.context.partner is not None,
            scan_class=scan_class,
        )
        began = self._clock.monotonic()
        outcome = await self._checked(measurements, question, wanted, wait_s=wait_s)
        if request.observed_leaf is None:
            return outcome.answer

        async def checked_again(newer: Newer) -> Outcome:
            left_s = self._left_s(wait_s, began)
            newer_wanted = replace(wanted, newer=newer)
            return await self._checked(measurements, question, newer_wanted, wait_s=left_s)

        return await self._reports.covering(
            request.observed_leaf, question, request.freshness, outcome, checked_again
        )

    async def still_stands(self, standing: Standing, generation: Catalog) -> datetime | None:
        """Return the instant at which check would give the same answer again; None if it may not.

        The answer is given, and counted as a look-up of facts, if an instant is returned.
        """
        if self._closing or generation is not standing.generation:
            return None
        measurements = self._by_perspective[standing.judgement.perspective]
        if not await measurements.still_known(standing.basis):
            return None
        if self._verdicts.is_outdated(standing.judgement):
            return None
        now = self._clock.now()
        if not still_answers(standing.judgement, standing.freshness, now):
            return None
        self._observer.cache_request(_HIT)
        return now

    def _left_s(self, wait_s: float | None, began: float) -> float | None:
        """Return what is left of a wait that began at an instant of the monotonic clock."""
        return None if wait_s is None else max(0.0, wait_s - (self._clock.monotonic() - began))

    async def _checked(
        self,
        measurements: Measurements,
        question: Question,
        wanted: FactsWanted,
        *,
        wait_s: float | None,
    ) -> Outcome:
        began = self._clock.monotonic()
        freshness = wanted.freshness
        known = await measurements.known(wanted, wait_s=wait_s)
        if known is None:
            return Outcome(self._unresolved(question), is_whole=False)
        resolution, stored = known.resolution, known.stored
        if resolution.status is not ResolutionStatus.RESOLVED or not resolution.addresses:
            return Outcome(self._unmeasured(question, resolution), is_whole=False)
        if freshness.mode is not FreshnessMode.REFRESH and wanted.newer is Newer.NO:
            now = self._clock.now()
            judgement = self._verdicts.kept(question, resolution, stored)
            if judgement is not None and still_answers(judgement, freshness, now):
                if wanted.is_request:
                    self._observer.cache_request(_HIT)
                kept = Answer(
                    judgement=judgement,
                    addresses=tuple([each.facts for each in stored if each is not None]),
                    resolution=resolution,
                    source=ResultSource.CACHE,
                    evaluated_at=now,
                    retry_after=_wait_for(judgement, now),
                    basis=known.basis,
                )
                return Outcome(kept, is_whole=True)
        left_s = self._left_s(wait_s, began)
        collected = await measurements.collect(wanted, known, wait_s=left_s)
        forbidden = _forbidden(collected)
        if forbidden:
            answer = self._unmeasured(question, resolution.forbidding(forbidden))
            return Outcome(answer, is_whole=False)
        with span("judge"):
            judged = self._answer(question, resolution, collected)
        return Outcome(
            judged,
            is_whole=all(isinstance(each, Found) for each in collected),
            is_new=all(
                isinstance(each, Found)
                and each.boarding is Boarding.BEGAN
                and not each.usable.is_stale
                for each in collected
            ),
        )

    def _answer(
        self, question: Question, resolution: Resolution, collected: Sequence[Found | Missing]
    ) -> Answer:
        now = self._clock.now()
        found = [each for each in collected if isinstance(each, Found)]
        missing = [each for each in collected if isinstance(each, Missing)]
        # A measurement under way that denies already does so whatever it may still find.
        denying = {
            each.address: each.so_far
            for each in missing
            if each.so_far is not None and self._verdicts.denies(question, each.so_far, now)
        }
        stored = [each.usable.stored for each in found]
        ends = [each.usable.ends_at for each in found]
        if missing or not ends:
            ends.append(now + question.lifetimes.unknown)
        if resolution.is_stale:
            ends.append(now + resolution.ttl)
        findings = [
            _finding(
                each,
                host=question.endpoint.host,
                failure=resolution.failure,
                denies=each.address in denying,
            )
            for each in missing
        ]
        judgement = self._verdicts.judge(
            question,
            resolution,
            stored,
            so_far=tuple(denying.values()),
            findings=findings,
            expires_at=min(ends),
            now=now,
            keep=not any(each.usable.is_stale for each in found),
        )
        _raise_if_overloaded(judgement, missing)
        return Answer(
            judgement=judgement,
            addresses=(*(known.facts for known in stored), *denying.values()),
            resolution=resolution,
            source=_source(collected) if stored or denying else ResultSource.NONE,
            evaluated_at=now,
            retry_after=_retry_after(found, missing) or _wait_for(judgement, now),
        )

    def ends_at(
        self,
        endpoint: Endpoint,
        depth: Depth,
        stored: StoredFacts,
        generation: Catalog,
        *,
        perspective: str = DEFAULT_PERSPECTIVE,
    ) -> datetime:
        """Return until when stored facts answer, under the default policy and the partner's.

        They are judged for it, which may take as long as one answer does.
        """
        asked = CheckRequest(endpoint=endpoint, depth=depth)
        question = self._verdicts.question(asked, generation, perspective=perspective)
        lifetime = self._verdicts.lifetime(question, stored, self._clock.now())
        return lifetime_ends_at(stored, lifetime.length)

    def _refused(self, question: Question, refusal: Finding) -> Answer:
        now = self._clock.now()
        judgement = self._verdicts.refuse(question, refusal, now)
        return Answer(
            judgement=judgement, source=ResultSource.NONE, evaluated_at=now, retry_after=None
        )

    def _unresolved(self, question: Question) -> Answer:
        """Answer for a host whose addresses are not known yet."""
        message = f"{question.endpoint.host} is still being resolved"
        now = self._clock.now()
        judgement = self._verdicts.judge(
            question,
            None,
            (),
            findings=[service_finding("CHECK_IN_PROGRESS", message)],
            expires_at=now + question.lifetimes.unknown,
            now=now,
        )
        return Answer(
            judgement=judgement,
            source=ResultSource.NONE,
            evaluated_at=now,
            retry_after=IN_PROGRESS_RETRY,
        )

    def _unmeasured(self, question: Question, resolution: Resolution) -> Answer:
        """Judge a host that has no address to measure."""
        now = self._clock.now()
        expires_at = now + question.lifetimes.unknown
        judgement = self._verdicts.judge(question, resolution, (), expires_at=expires_at, now=now)
        return Answer(
            judgement=judgement,
            resolution=resolution,
            source=ResultSource.NONE,
            evaluated_at=now,
            retry_after=_wait_for(judgement, now),
        )


def _forbidden(collected: Sequence[Found | Missing]) -> list[ForbiddenAddress]:
    """Return the addresses that whoever was to measure them may not dial."""
    return [
        ForbiddenAddress(each.address, each.reason)
        for each in collected
        if isinstance(each, Missing) and each.why is WhyMissing.FORBIDDEN
    ]


def _wait_for(judgement: Judgement, now: datetime) -> timedelta | None:
    """Return when asking again can help.

    Never for ALLOW and DENY, which a new measurement follows by itself at their end.
    """
    if judgement.verdict.decision is not Decision.INDETERMINATE:
        return None
    return max(judgement.expires_at - now, IN_PROGRESS_RETRY)


def _retry_after(found: Sequence[Found], missing: Sequence[Missing]) -> timedelta | None:
    """Return when asking again brings newer facts; None if nothing here says so."""
    if any(each.why is WhyMissing.UNDER_WAY for each in missing):
        return IN_PROGRESS_RETRY
    too_soon = (each.usable.retry_after for each in found)
    return max((wait for wait in too_soon if wait is not None), default=None)


def _source(collected: Sequence[Found | Missing]) -> ResultSource:
    """Return where facts came from: the costliest way of any address.

    Stale facts name the answer unless it waited for a measurement too.
    """
    boarded = [each for each in collected if each.boarding is not None]
    boardings = {each.boarding for each in boarded}
    is_stale = any(isinstance(each, Found) and each.usable.is_stale for each in collected)
    waited = not all(isinstance(each, Found) and each.usable.is_stale for each in boarded)
    if is_stale and not waited:
        return ResultSource.STALE_CACHE
    if Boarding.BEGAN in boardings:
        return ResultSource.MEASURED
    return ResultSource.SHARED if boardings else ResultSource.CACHE


def _finding(missing: Missing, *, host: str, failure: ResolutionFailure, denies: bool) -> Finding:
    """Return why an address was not judged by facts, or not by all of them."""
    match missing.why:
        case WhyMissing.EARLIER_ADDRESS:
            return unmeasured_finding(host, failure, missing.address)
        case WhyMissing.NOT_STORED:
            code = "NO_CACHED_RESULT"
            message = "no cached facts are fresh enough, and none may be measured"
        case WhyMissing.UNDER_WAY:
            code = "CHECK_IN_PROGRESS"
            message = _DENIES_ALREADY if denies else _STILL_UNDER_WAY
        case WhyMissing.NO_ROOM:
            code = "SCAN_FAILED"
            message = "there is no room to measure this address now"
        case WhyMissing.NO_WAY_OUT:
            message = f"the measurement failed by a fault of this service: {missing.reason}"
            return service_finding("SCAN_FAILED", message, missing.address, cause="egress_proxy")
        case WhyMissing.FAILED | WhyMissing.FORBIDDEN:
            code = "SCAN_FAILED"
            message = "the measurement failed by a fault of this service"
    return service_finding(code, message, missing.address)


def _raise_if_overloaded(judgement: Judgement, missing: Sequence[Missing]) -> None:
    """Raise what the scanner raised for want of room, unless a denial is proven without it."""
    overloaded = [each.overloaded for each in missing if each.overloaded is not None]
    if overloaded and judgement.verdict.decision is not Decision.DENY:
        raise max(overloaded, key=lambda error: error.retry_after)
