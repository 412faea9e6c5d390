"""Responses to checks as bytes, cached by judgement; every decision is counted and recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from otpc_policy.catalog.context import Catalog
from otpc_policy.check import Answer, CheckRequest, JudgementKey
from otpc_policy.ops.decision_log import DecisionLog, constant_fields
from otpc_policy.policy.finding import Decision, Finding, Verdict
from otpc_policy.policy.model import Policy
from otpc_policy.recently_used import RecentlyUsed
from otpc_policy.rpc.convert import ParsedCheck, shared_part, write_own_part
from otpc_policy.rpc.request_id import current_request_id, new_id
from otpc_policy.v1 import policy_pb2 as pb

_KEPT_PARTS = 4096
# A BASIC response takes about 1 kB, a FULL one 50 kB, and 310 kB at most.
_KEPT_BYTES = 64 * 1024 * 1024


class Checks(Protocol):
    """The use case that this service exposes."""

    async def check(
        self,
        request: CheckRequest,
        generation: Catalog,
        *,
        wait_s: float | None,
    ) -> Answer: ...


class DecisionCounters(Protocol):
    """Metrics of decisions."""

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
        self._own_part = pb.CheckEndpointResponse()
        # Serialising costs more than everything else in a warm call.
        self._kept = RecentlyUsed[_PartKey, _SharedPart](
            max_entries=_KEPT_PARTS,
            max_weight=_KEPT_BYTES,
            weigh=_SharedPart.size,
        )

    async def answer(
        self,
        parsed: ParsedCheck,
        generation: Catalog,
        *,
        wait_s: float,
        rpc: str,
    ) -> bytes:
        """Return the response, judged by one generation from start to end.

        Raises UnknownPolicy, Overloaded, ServiceUnavailable.
        """
        answer = await self._checks.check(parsed.request, generation, wait_s=wait_s)
        shared = self._shared(answer, parsed.view)
        check_id = new_id()
        write_own_part(answer, check_id, self._own_part)
        response = shared.body + self._own_part.SerializeToString()
        judgement, verdict = answer.judgement, answer.judgement.verdict
        evaluated_at = answer.evaluated_at
        age_s: float | None = None
        if judgement.observed_at is not None:
            age_s = (evaluated_at - judgement.observed_at).total_seconds()
        self._counters.decided(
            rpc=rpc,
            decision=verdict.decision,
            findings=verdict.findings,
            result_age_s=age_s,
        )
        self._decisions.record(
            at=evaluated_at,
            rpc=rpc,
            check_id=check_id,
            request_id=current_request_id.get(),
            source=answer.source.name,
            constant=shared.log_fields,
            observed_leaf=parsed.request.observed_leaf,
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
