"""One answer to one check: ask the checker, keep what is the same for every caller, count and record the decision."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from typing import Protocol

from otpc_policy.catalog.context import Catalog
from otpc_policy.check import CheckAnswer, CheckRequest, Freshness, FreshnessMode, Judged
from otpc_policy.policy.finding import Decision, Finding, Verdict
from otpc_policy.policy.model import Policy
from otpc_policy.service.decision_log import DecisionLog, constant_fields
from otpc_policy.service.request_id import current_request_id, new_id
from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.wire import ParsedCheck, judged_part, write_answer_part

_KEPT_REQUESTS = 4096

_MODES: Mapping[pb.FreshnessMode.ValueType, FreshnessMode] = {
    pb.FRESHNESS_MODE_CACHE_FIRST: FreshnessMode.CACHE_FIRST,
    pb.FRESHNESS_MODE_CACHE_ONLY: FreshnessMode.CACHE_ONLY,
    pb.FRESHNESS_MODE_REFRESH: FreshnessMode.REFRESH,
}


class Checker(Protocol):
    """The use case behind this service."""

    async def check(self, request: CheckRequest, *, wait_s: float | None) -> CheckAnswer: ...


class DecisionCounters(Protocol):
    """What is counted of decisions."""

    def decided(self, *, rpc: str, decision: Decision, findings: Sequence[Finding], result_age_s: float | None) -> None: ...


class _KeptAnswer:
    """What all answers that rest on one judgement share: serialised bodies by view, and the fields of the log line."""

    __slots__ = ("bodies", "log_fields")

    def __init__(self, judged: Judged) -> None:
        self.bodies: dict[pb.View.ValueType, bytes] = {}
        self.log_fields = constant_fields(
            {
                "endpoint": str(judged.endpoint),
                "server_name": judged.endpoint.server_name,
                **verdict_fields(judged.policy, judged.verdict, partner_id=judged.partner_id, configuration_revision=judged.configuration_revision),
                "addresses": list(judged.judged_addresses),
                "observed_at": _text(judged.observed_at),
                "expires_at": _text(judged.expires_at),
            }
        )

    def body(self, judged: Judged, view: pb.View.ValueType) -> bytes:
        body = self.bodies.get(view)
        if body is None:
            body = self.bodies[view] = judged_part(judged, view).SerializeToString()
        return body


class CheckAnswers:
    """Answers checks with serialised CheckEndpointResponses."""

    def __init__(self, *, checker: Checker, counters: DecisionCounters, decisions: DecisionLog) -> None:
        self._checker = checker
        self._counters = counters
        self._decisions = decisions
        self._own_part = pb.CheckEndpointResponse()
        # Callers repeat themselves, and a generation never changes. Only the newest one's requests are kept, so that others can go.
        self._generation: Catalog | None = None
        self._request_of: Callable[[ParsedCheck], CheckRequest]
        # Serialising costs more than all the rest of a warm answer. An entry lives exactly as long as the checker keeps the judgement.
        self._kept: weakref.WeakKeyDictionary[Judged, _KeptAnswer] = weakref.WeakKeyDictionary()

    async def answer(self, parsed: ParsedCheck, generation: Catalog, *, wait_s: float, rpc: str) -> bytes:
        """Return the answer, judged by this generation from start to end. Raises UnknownPolicy, Overloaded, ServiceUnavailable."""
        answer = await self._checker.check(self._request(parsed, generation), wait_s=wait_s)
        judged = answer.judged
        kept = self._kept.get(judged)
        if kept is None:
            kept = self._kept[judged] = _KeptAnswer(judged)
        check_id = new_id()
        write_answer_part(answer, check_id, self._own_part)
        response = kept.body(judged, parsed.view) + self._own_part.SerializeToString()
        age_s = None if judged.observed_at is None else (answer.evaluated_at - judged.observed_at).total_seconds()
        self._counters.decided(rpc=rpc, decision=judged.verdict.decision, findings=judged.verdict.findings, result_age_s=age_s)
        self._decisions.record(
            at=answer.evaluated_at, rpc=rpc, check_id=check_id, request_id=current_request_id.get(), source=answer.source.name, constant=kept.log_fields
        )
        return response

    def _request(self, parsed: ParsedCheck, generation: Catalog) -> CheckRequest:
        if generation is not self._generation:
            self._generation, self._request_of = generation, lru_cache(maxsize=_KEPT_REQUESTS)(partial(_request_from, generation))
        return self._request_of(parsed)


def _request_from(generation: Catalog, parsed: ParsedCheck) -> CheckRequest:
    return CheckRequest(
        endpoint=parsed.endpoint,
        terms=generation.context_for(parsed.endpoint, parsed.policy_name),
        freshness=Freshness(mode=_MODES[parsed.freshness_mode], max_age=parsed.max_age, max_stale=parsed.max_stale),
        depth=parsed.depth,
    )


def verdict_fields(policy: Policy, verdict: Verdict, *, partner_id: str, configuration_revision: str) -> dict[str, object]:
    """Return what every decision's line says of its verdict."""
    return {
        "policy": policy.name,
        "policy_revision": policy.revision,
        "configuration_revision": configuration_revision,
        **({"partner": partner_id} if partner_id else {}),
        "decision": verdict.decision.name,
        "evaluated_decision": verdict.evaluated_decision.name,
        "findings": [
            {"code": finding.code, "effect": finding.effect.name, **({"address": finding.address} if finding.address else {})} for finding in verdict.findings
        ],
    }


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
