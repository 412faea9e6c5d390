"""Responses to checks as bytes, cached by judgement; every decision is counted and recorded.

A response is made of two parts: what all answers from one judgement share, serialised once, and
what differs from caller to caller. A request whose last answer still stands (check/standing.py)
gets the same shared part again without being parsed: equal bytes are equal requests. No response
is cached as a whole, and none is given before check has found that the answer stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from otpc_policy.catalog.context import Catalog
from otpc_policy.check import Answer, CheckRequest, Judgement, JudgementKey, ResultSource, Standing
from otpc_policy.core.caller import Caller
from otpc_policy.core.errors import Budget, CallerBudgetUsed, Overloaded
from otpc_policy.ops.decision_log import DecisionLog, constant_fields
from otpc_policy.policy.finding import Decision, Finding, Verdict
from otpc_policy.policy.model import Policy
from otpc_policy.recently_used import RecentlyUsed
from otpc_policy.rpc.convert import OwnPart, ParsedCheck, read_check_request, shared_part
from otpc_policy.rpc.request_id import current_request_id, new_id
from otpc_policy.v1 import policy_pb2 as pb

_CHECK = "CheckEndpoint"

_KEPT_PARTS = 4096
# A BASIC response takes about 1 kB, a FULL one 50 kB, and 310 kB at most.
_KEPT_BYTES = 64 * 1024 * 1024
# Requests with what they were answered last. Their parts are often among those above, and may
# outlive them there, so they count on their own.
_REPEATABLE_REQUESTS = 4096
_REPEATABLE_BYTES = 16 * 1024 * 1024


class Checks(Protocol):
    """The use case that this service exposes."""

    async def check(
        self,
        request: CheckRequest,
        generation: Catalog,
        *,
        wait_s: float | None,
        caller: Caller,
    ) -> Answer: ...

    async def still_stands(self, standing: Standing, generation: Catalog) -> datetime | None: ...


class DecisionCounters(Protocol):
    """Metrics of decisions, and of checks that were refused for want of room.

    budget_used_up: of_caller tells whose budget it was.
    """

    def budget_used_up(self, budget: Budget, *, of_caller: bool) -> None: ...

    def decided(
        self,
        *,
        rpc: str,
        decision: Decision,
        findings: Sequence[Finding],
        result_age_s: float | None,
    ) -> None: ...


# What a shared part depends on: what was judged and when, because time alone can change a verdict,
# and the view.
_PartKey = tuple[JudgementKey, datetime, pb.View.ValueType]


@dataclass(frozen=True, slots=True)
class _SharedPart:
    """What all responses from one judgement share in one view.

    body: of the response. log_fields: of the decision's log line.
    """

    body: bytes
    log_fields: str

    def size(self) -> int:
        return len(self.body) + len(self.log_fields)


@dataclass(frozen=True, slots=True)
class _Repeatable:
    """What a request was answered last."""

    request: bytes
    standing: Standing
    shared: _SharedPart

    def size(self) -> int:
        return len(self.request) + self.shared.size()


class CheckAnswers:
    """Answers checks with serialised CheckEndpointResponses."""

    def __init__(
        self,
        *,
        checks: Checks,
        counters: DecisionCounters,
        decisions: DecisionLog,
    ) -> None:
        self._checks = checks
        self._counters = counters
        self._decisions = decisions
        self._own_part = OwnPart(pb.CheckEndpointResponse())
        # Serialising costs more than everything else in a warm call.
        self._kept = RecentlyUsed[_PartKey, _SharedPart](
            max_entries=_KEPT_PARTS,
            max_weight=_KEPT_BYTES,
            weigh=_SharedPart.size,
        )
        # All under one generation: others would keep its documents in memory.
        self._generation: Catalog | None = None
        self._repeatable = RecentlyUsed[bytes, _Repeatable](
            max_entries=_REPEATABLE_REQUESTS,
            max_weight=_REPEATABLE_BYTES,
            weigh=_Repeatable.size,
        )

    async def repeat(self, raw: bytes, generation: Catalog) -> bytes | None:
        """Return the response to a CheckEndpointRequest whose last answer still stands, or None."""
        if generation is not self._generation:
            self._generation = generation
            self._repeatable.clear()
        kept = self._repeatable.get(raw)
        if kept is None:
            return None
        at = await self._checks.still_stands(kept.standing, generation)
        if at is None:
            return None
        return self._decided(
            kept.standing.judgement, kept.shared, at=at, source=ResultSource.CACHE, rpc=_CHECK
        )

    async def answer_request(
        self, raw: bytes, generation: Catalog, *, wait_s: float, caller: Caller
    ) -> bytes:
        """Return the response to a CheckEndpointRequest, and keep what may be repeated.

        Raises InvalidRequest, and what answer raises.
        """
        parsed = read_check_request(raw)
        answer, shared = await self._checked(parsed, generation, wait_s, caller)
        standing = Standing.of(answer, parsed.request, generation)
        # Another generation may have begun meanwhile.
        if standing is not None and generation is self._generation:
            self._repeatable.put(raw, _Repeatable(raw, standing, shared))
        return self._response(answer, shared, parsed, rpc=_CHECK)

    async def answer(
        self,
        parsed: ParsedCheck,
        generation: Catalog,
        *,
        wait_s: float,
        caller: Caller,
        rpc: str,
    ) -> bytes:
        """Return the response, judged by one generation from start to end.

        Raises UnknownPolicy, Overloaded, ServiceUnavailable.
        """
        answer, shared = await self._checked(parsed, generation, wait_s, caller)
        return self._response(answer, shared, parsed, rpc=rpc)

    async def _checked(
        self, parsed: ParsedCheck, generation: Catalog, wait_s: float, caller: Caller
    ) -> tuple[Answer, _SharedPart]:
        try:
            answer = await self._checks.check(
                parsed.request, generation, wait_s=wait_s, caller=caller
            )
        except Overloaded as error:
            of_caller = isinstance(error, CallerBudgetUsed)
            self._counters.budget_used_up(error.budget, of_caller=of_caller)
            raise
        return answer, self._shared(answer, parsed.view)

    def _response(
        self, answer: Answer, shared: _SharedPart, parsed: ParsedCheck, *, rpc: str
    ) -> bytes:
        return self._decided(
            answer.judgement,
            shared,
            at=answer.evaluated_at,
            source=answer.source,
            rpc=rpc,
            retry_after=answer.retry_after,
            observed_leaf=parsed.request.observed_leaf,
        )

    def _decided(
        self,
        judgement: Judgement,
        shared: _SharedPart,
        *,
        at: datetime,
        source: ResultSource,
        rpc: str,
        retry_after: timedelta | None = None,
        observed_leaf: bytes | None = None,
    ) -> bytes:
        """Return the response, and count and record the decision."""
        check_id = new_id()
        own = self._own_part
        own.write(at=at, source=source, check_id=check_id, retry_after=retry_after)
        response = shared.body + own.serialised()
        verdict = judgement.verdict
        age_s: float | None = None
        if judgement.observed_at is not None:
            age_s = (at - judgement.observed_at).total_seconds()
        self._counters.decided(
            rpc=rpc,
            decision=verdict.decision,
            findings=verdict.findings,
            result_age_s=age_s,
        )
        self._decisions.record(
            at=at,
            rpc=rpc,
            check_id=check_id,
            request_id=current_request_id.get(),
            source=source.name,
            constant=shared.log_fields,
            observed_leaf=observed_leaf,
        )
        return response

    def _shared(self, answer: Answer, view: pb.View.ValueType) -> _SharedPart:
        judgement = answer.judgement
        if judgement.key is None:
            # No other caller gets this judgement.
            return _shared_part(answer, view)
        key = (judgement.key, judgement.judged_at, view)
        shared = self._kept.get(key)
        if shared is None:
            shared = _shared_part(answer, view)
            self._kept.put(key, shared)
        return shared


def _shared_part(answer: Answer, view: pb.View.ValueType) -> _SharedPart:
    judgement = answer.judgement
    verdict = verdict_fields(
        judgement.policy,
        judgement.verdict,
        partner_id=judgement.partner_id,
        configuration_revision=judgement.configuration_revision,
    )
    log_fields = {
        "endpoint": str(judgement.endpoint),
        "server_name": judgement.endpoint.server_name,
        **verdict,
        "addresses": list(judgement.judged_addresses),
        "leaf_sha256": [each.leaf_sha256.hex() for each in judgement.judged_certificates],
        "observed_at": _text(judgement.observed_at),
        "expires_at": _text(judgement.expires_at),
    }
    return _SharedPart(shared_part(answer, view).SerializeToString(), constant_fields(log_fields))


def verdict_fields(
    policy: Policy,
    verdict: Verdict,
    *,
    partner_id: str,
    configuration_revision: str,
) -> dict[str, object]:
    """Return the fields of a verdict in its decision's log line."""
    return {
        "policy": policy.name,
        "policy_revision": policy.revision,
        "configuration_revision": configuration_revision,
        **({"partner": partner_id} if partner_id else {}),
        "decision": verdict.decision.name,
        "evaluated_decision": verdict.evaluated_decision.name,
        "findings": [_finding_fields(finding) for finding in verdict.findings],
    }


def _finding_fields(finding: Finding) -> dict[str, str]:
    fields = {"code": finding.code, "effect": finding.effect.name}
    return fields | {"address": finding.address} if finding.address else fields


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
