"""Checks whose verdicts cost nothing: one bit of the facts decides."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from otpc_policy.catalog.context import Catalog
from otpc_policy.check import Answer, CheckRequest, Measurements, StoredFacts
from otpc_policy.check.freshness import Lifetime
from otpc_policy.check.measurements import FactsWanted, Found, Missing, WhyMissing
from otpc_policy.core.caller import Caller
from otpc_policy.core.demand import ScanClass
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.facts import AddressFacts
from otpc_policy.policy.finding import Decision, Verdict
from otpc_policy.policy.service_findings import service_finding
from tests.rpc.convert.values import make_answer, make_judgement
from tests.simulation.engine import ReplicaClock, decision_of
from tests.simulation.world import ALLOW_S, DENY_S, UNKNOWN_S

_ANSWER: Final = make_answer(judgement=make_judgement(key=None))


def lifetime(stored: StoredFacts, _now: datetime) -> Lifetime:
    """Return how long facts answer."""
    is_good = decision_of(stored.facts) is Decision.ALLOW
    return Lifetime(timedelta(seconds=ALLOW_S if is_good else DENY_S), None)


class LightChecks:
    """Answers checks from measurements, by a verdict that costs nothing.

    answered: is told of each answer, and when its call began.
    """

    def __init__(
        self,
        measurements: Measurements,
        clock: ReplicaClock,
        answered: Callable[[Endpoint, Answer, float], None],
    ) -> None:
        self._measurements, self._clock, self._answered = measurements, clock, answered

    async def check(
        self,
        request: CheckRequest,
        _generation: Catalog,
        *,
        wait_s: float | None,
        caller: Caller,
        scan_class: ScanClass,
    ) -> Answer:
        began_s = self._clock.monotonic()
        wanted = FactsWanted(
            endpoint=request.endpoint,
            depth=request.depth,
            freshness=request.freshness,
            lifetime=lifetime,
            caller=caller,
            scan_class=scan_class,
        )
        known = await self._measurements.known(wanted, wait_s=wait_s)
        assert known is not None
        left_s = wait_s
        if wait_s is not None:
            left_s = max(0.0, wait_s - (self._clock.monotonic() - began_s))
        (collected,) = await self._measurements.collect(wanted, known, wait_s=left_s)
        answer = self._answer(request, collected)
        self._answered(request.endpoint, answer, began_s)
        return answer

    def _answer(self, request: CheckRequest, collected: Found | Missing) -> Answer:
        now = self._clock.now()
        if isinstance(collected, Missing):
            code = {
                WhyMissing.UNDER_WAY: "CHECK_IN_PROGRESS",
                WhyMissing.NOT_STORED: "NO_CACHED_RESULT",
            }.get(collected.why, "SCAN_FAILED")
            facts: tuple[AddressFacts, ...] = ()
            findings: tuple[Any, ...] = (service_finding(code, "", collected.address),)
            decision = Decision.INDETERMINATE
            expires_at, observed_at = now + timedelta(seconds=UNKNOWN_S), None
        else:
            stored = collected.usable.stored
            findings, facts = (), (stored.facts,)
            decision = decision_of(stored.facts)
            expires_at, observed_at = collected.usable.ends_at, stored.facts.observed_at
        verdict = Verdict(
            decision=decision, evaluated_decision=decision, findings=findings, changes_at=None
        )
        retry_after = collected.usable.retry_after if isinstance(collected, Found) else None
        return replace(
            _ANSWER,
            judgement=replace(
                _ANSWER.judgement,
                endpoint=request.endpoint,
                verdict=verdict,
                observed_at=observed_at,
                judged_at=now,
                expires_at=expires_at,
            ),
            addresses=facts,
            evaluated_at=now,
            retry_after=retry_after,
        )
