"""Responses to checks as bytes, cached by judgement; every decision is counted and recorded.

A response is made of two parts: what all answers from one judgement share, serialised once, and
what differs from caller to caller. A request whose last answer still stands (check/standing.py)
gets the same shared part again without being parsed: equal bytes are equal requests. No response
is cached as a whole, and none is given before check has found that the answer stands. What is kept
for a request is kept for callers with the same permissions: they, too, decide the answer.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from otpc_policy.catalog.access import Permissions
from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.role import Rpc
from otpc_policy.check import Answer, CheckRequest, Judgement, JudgementKey, ResultSource, Standing
from otpc_policy.core.caller import Caller
from otpc_policy.core.errors import Budget, CallerBudgetUsed, Overloaded
from otpc_policy.core.spans import Span, current_span
from otpc_policy.ops.audit.schema import constant_fields
from otpc_policy.ops.audit.trail import AuditTrail
from otpc_policy.ops.metrics.tallies import Observed
from otpc_policy.ops.timestamps import rfc3339
from otpc_policy.policy.finding import Decision, Effect, Finding, Verdict
from otpc_policy.policy.model import Policy
from otpc_policy.recently_used import RecentlyUsed
from otpc_policy.rpc.audited import audited_call
from otpc_policy.rpc.authorisation import check_demand, require
from otpc_policy.rpc.convert import OwnPart, ParsedCheck, read_check_request, shared_part
from otpc_policy.rpc.request_id import new_id
from otpc_policy.v1 import policy_pb2 as pb

_CHECK = "CheckEndpoint"

MAX_KEPT_ANSWERS: Final = 4_096
# A BASIC response takes about 1 kB, a FULL one 50 kB, and 310 kB at most.
_KEPT_BYTES = 64 * 1024 * 1024
# Requests with what they were answered last. Their parts are often among those above, and may
# outlive them there, so they count on their own.
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
    decided: see ops.metrics.verdicts.
    """

    def budget_used_up(self, budget: Budget, *, of_caller: bool) -> None: ...

    def decided(
        self,
        *,
        rpc: str,
        decision: Decision,
        findings: Sequence[Finding],
        result_age_s: float | None,
        source: str,
        seconds: float,
        observed: Observed,
    ) -> None: ...


@contextmanager
def used_budgets_counted(counters: DecisionCounters) -> Iterator[None]:
    """Count what is refused for want of room."""
    try:
        yield
    except Overloaded as error:
        counters.budget_used_up(error.budget, of_caller=isinstance(error, CallerBudgetUsed))
        raise


# What a shared part depends on: what was judged and when, because time alone can change a verdict,
# the view, and whether internal addresses may be seen.
_PartKey = tuple[JudgementKey, datetime, pb.View.ValueType, bool]


@dataclass(frozen=True, slots=True)
class _SharedPart:
    """What all responses from one judgement share in one view.

    body: of the response. log_fields: of the decision's log line. is_plain_allow: see
    is_plain_allow.
    """

    body: bytes
    log_fields: str
    is_plain_allow: bool

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
    """Answers checks with serialised CheckEndpointResponses.

    max_kept: responses, and requests that may be repeated, of each.
    """

    def __init__(
        self,
        *,
        checks: Checks,
        counters: DecisionCounters,
        decisions: AuditTrail,
        max_kept: int = MAX_KEPT_ANSWERS,
    ) -> None:
        self._checks = checks
        self._counters = counters
        self._decisions = decisions
        self._own_part = OwnPart(pb.CheckEndpointResponse())
        # Serialising costs more than everything else in a warm call.
        self._kept = RecentlyUsed[_PartKey, _SharedPart](
            max_entries=max_kept,
            max_weight=_KEPT_BYTES,
            weigh=_SharedPart.size,
        )
        # All under one generation: others would keep its documents in memory.
        self._generation: Catalog | None = None
        self._repeatable = RecentlyUsed[tuple[Permissions, bytes], _Repeatable](
            max_entries=max_kept,
            max_weight=_REPEATABLE_BYTES,
            weigh=_Repeatable.size,
        )

    async def repeat(
        self, raw: bytes, generation: Catalog, permissions: Permissions
    ) -> bytes | None:
        """Return the response to a CheckEndpointRequest whose last answer still stands, or None.

        permissions: of the caller; what callers with others were answered is not repeated.
        What stands rests on measured addresses alone, so it names none that is hidden from anybody.
        """
        if generation is not self._generation:
            self._generation = generation
            self._repeatable.clear()
        kept = self._repeatable.get((permissions, raw))
        if kept is None:
            return None
        at = await self._checks.still_stands(kept.standing, generation)
        if at is None:
            return None
        return self._decided(
            kept.standing.judgement, kept.shared, at=at, source=ResultSource.CACHE, rpc=_CHECK
        )

    async def answer_request(
        self,
        raw: bytes,
        generation: Catalog,
        permissions: Permissions,
        *,
        wait_s: float,
        caller: Caller,
    ) -> bytes:
        """Return the response to a CheckEndpointRequest, and keep what may be repeated.

        permissions: of the caller.
        Raises InvalidRequest, CallerNotPermitted, and what answer raises.
        """
        parsed = read_check_request(raw)
        demand = check_demand(parsed, generation, Rpc.CHECK_ENDPOINT)
        require(permissions, demand)
        answer = await self._checked(parsed, generation, wait_s, caller)
        may_see = permissions.may_see_internal_addresses(demand)
        shared = self._shared(answer, parsed.view, may_see)
        standing = Standing.of(answer, parsed.request, generation)
        # Another generation may have begun meanwhile.
        if standing is not None and generation is self._generation:
            self._repeatable.put((permissions, raw), _Repeatable(raw, standing, shared))
        return self._response(answer, shared, parsed, rpc=_CHECK)

    async def answer(
        self,
        parsed: ParsedCheck,
        generation: Catalog,
        *,
        wait_s: float,
        caller: Caller,
        rpc: str,
        may_see_internal_addresses: bool = False,
    ) -> bytes:
        """Return the response, judged by one generation from start to end.

        may_see_internal_addresses: see convert.shared_part. That the caller may ask is for the
        servicer to know.
        Raises UnknownPolicy, UnknownPerspective, Overloaded, ServiceUnavailable.
        """
        answer = await self._checked(parsed, generation, wait_s, caller)
        shared = self._shared(answer, parsed.view, may_see_internal_addresses)
        return self._response(answer, shared, parsed, rpc=rpc)

    async def _checked(
        self, parsed: ParsedCheck, generation: Catalog, wait_s: float, caller: Caller
    ) -> Answer:
        with used_budgets_counted(self._counters):
            return await self._checks.check(
                parsed.request, generation, wait_s=wait_s, caller=caller
            )

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
        call, source_name = audited_call(rpc), source.name
        self._counters.decided(
            rpc=rpc,
            decision=verdict.decision,
            findings=verdict.findings,
            result_age_s=age_s,
            source=source_name,
            seconds=call.duration_s,
            observed=Observed(call.sampled_trace_id, check_id),
        )
        if (span := current_span()) is not None and span.is_recorded:
            _describe(span, judgement, source_name, check_id)
        self._decisions.record_decision(
            call,
            at=at,
            check_id=check_id,
            source=source_name,
            constant=shared.log_fields,
            is_sampled=shared.is_plain_allow,
            observed_leaf=observed_leaf,
        )
        return response

    def _shared(
        self, answer: Answer, view: pb.View.ValueType, may_see_internal_addresses: bool
    ) -> _SharedPart:
        judgement = answer.judgement
        if judgement.key is None:
            # No other caller gets this judgement.
            return _shared_part(answer, view, may_see_internal_addresses)
        key = (judgement.key, judgement.judged_at, view, may_see_internal_addresses)
        shared = self._kept.get(key)
        if shared is None:
            shared = _shared_part(answer, view, may_see_internal_addresses)
            self._kept.put(key, shared)
        return shared


def _shared_part(
    answer: Answer, view: pb.View.ValueType, may_see_internal_addresses: bool
) -> _SharedPart:
    judgement = answer.judgement
    verdict = verdict_fields(
        judgement.policy,
        judgement.verdict,
        minimum_policy=judgement.minimum_policy,
        partner_id=judgement.partner_id,
        named_partners=[named.id for named in judgement.named_partners],
        configuration_revision=judgement.configuration_revision,
    )
    log_fields = {
        "endpoint": str(judgement.endpoint),
        "server_name": judgement.endpoint.server_name,
        "perspective": judgement.perspective,
        **verdict,
        "addresses": list(judgement.judged_addresses),
        "leaf_sha256": [each.leaf_sha256.hex() for each in judgement.judged_certificates],
        "observed_at": _text(judgement.observed_at),
        "expires_at": _text(judgement.expires_at),
    }
    return _SharedPart(
        # The log is the operator's and names every address.
        shared_part(
            answer, view, may_see_internal_addresses=may_see_internal_addresses
        ).SerializeToString(),
        constant_fields(log_fields),
        is_plain_allow(judgement.verdict),
    )


def is_plain_allow(verdict: Verdict) -> bool:
    """Tell whether nothing about an ALLOW is exceptional: neither waived nor only reported."""
    return (
        verdict.decision is Decision.ALLOW
        and verdict.evaluated_decision is Decision.ALLOW
        and all(finding.effect is not Effect.WAIVED for finding in verdict.findings)
    )


def verdict_fields(
    policy: Policy,
    verdict: Verdict,
    *,
    minimum_policy: Policy | None,
    partner_id: str,
    named_partners: Sequence[str] = (),
    configuration_revision: str,
) -> dict[str, object]:
    """Return the fields of a verdict in its decision's log line.

    minimum_policy: if it is another policy. named_partners: ids of those found by the server name.
    """
    return {
        "policy": policy.name,
        "policy_revision": policy.revision,
        "configuration_revision": configuration_revision,
        **({"minimum_policy": minimum_policy.name} if minimum_policy is not None else {}),
        **({"partner": partner_id} if partner_id else {}),
        **({"named_partners": list(named_partners)} if named_partners else {}),
        "decision": verdict.decision.name,
        "evaluated_decision": verdict.evaluated_decision.name,
        "findings": [_finding_fields(finding) for finding in verdict.findings],
    }


def _finding_fields(finding: Finding) -> dict[str, object]:
    fields: dict[str, object] = {"code": finding.code, "effect": finding.effect.name}
    if finding.address:
        fields["address"] = finding.address
    if finding.policies:
        fields["policies"] = list(finding.policies)
    return fields


def _describe(span: Span, judgement: Judgement, source: str, check_id: str) -> None:
    for name, value in {
        "decision": judgement.verdict.decision.name,
        "source": source,
        "check_id": check_id,
        "endpoint": str(judgement.endpoint),
        "perspective": judgement.perspective,
        "partner.id": judgement.partner_id,
        "policy.name": judgement.policy.name,
    }.items():
        if value:
            span.set(f"otpc_policy.{name}", value)


def _text(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)
