"""Answers: values to proto.

The answer to a check has two parts: what is the same for every caller while the judgement holds (judged_part), and what is each
answer's own (write_answer_part). Serialised messages merge when their bytes are joined, so the first part can be kept as bytes.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.facts import EndpointFacts
from otpc_policy.policy.finding import Finding, Verdict
from otpc_policy.policy.model import Policy
from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.wire.certificates import CertificateMessages
from otpc_policy.wire.observations import observation_message
from otpc_policy.wire.policies import applied_partner_message, applied_policy_message
from otpc_policy.wire.times import to_duration, to_timestamp, write_timestamp
from otpc_policy.wire.vocabulary import DECISIONS, EFFECTS, SEVERITIES, SOURCES


class Judged(Protocol):
    """An endpoint judged under one policy, as the check gives it; the same for every caller while it holds."""

    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def policy(self) -> Policy: ...
    @property
    def partner_id(self) -> str: ...
    @property
    def partner_policy(self) -> Policy | None: ...
    @property
    def configuration_revision(self) -> str: ...
    @property
    def facts(self) -> EndpointFacts: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def observed_at(self) -> datetime | None: ...
    @property
    def expires_at(self) -> datetime: ...
    @property
    def judged_addresses(self) -> Sequence[str]: ...


class Answer(Protocol):
    """One answer of the check to one caller."""

    @property
    def judged(self) -> Judged: ...
    @property
    def source(self) -> Enum: ...
    @property
    def evaluated_at(self) -> datetime: ...
    @property
    def retry_after(self) -> timedelta | None: ...


def check_response(answer: Answer, view: pb.View.ValueType, check_id: str) -> pb.CheckEndpointResponse:
    """Return the whole answer to a check."""
    response = judged_part(answer.judged, view)
    write_answer_part(answer, check_id, response)
    return response


def judged_part(judged: Judged, view: pb.View.ValueType) -> pb.CheckEndpointResponse:
    """Return what every caller is told alike."""
    verdict = judged.verdict
    return pb.CheckEndpointResponse(
        decision=DECISIONS[verdict.decision],
        evaluated_decision=DECISIONS[verdict.evaluated_decision],
        findings=(_finding(finding, view) for finding in verdict.findings),
        policy=applied_policy_message(judged.policy),
        result_info=pb.ResultInfo(
            observation_time=None if judged.observed_at is None else to_timestamp(judged.observed_at),
            expire_time=to_timestamp(judged.expires_at),
            configuration_revision=judged.configuration_revision,
        ),
        canonical_endpoint=str(judged.endpoint),
        judged_addresses=judged.judged_addresses,
        observation=observation_message(judged.facts) if view == pb.VIEW_FULL else None,
        partner=applied_partner_message(judged.partner_id, judged.partner_policy),
    )


def write_answer_part(answer: Answer, check_id: str, message: pb.CheckEndpointResponse) -> None:
    """Make a message say what only this caller is told. The message may be used again and again: building one costs four times as much."""
    info = message.result_info
    write_timestamp(answer.evaluated_at, info.evaluation_time)
    info.source = SOURCES[answer.source.name]
    info.check_id = check_id
    if answer.retry_after is None:
        message.ClearField("retry_after")
    else:
        message.retry_after.CopyFrom(to_duration(answer.retry_after))


def validate_response(
    *,
    verdict: Verdict,
    policy: Policy,
    partner_id: str = "",
    partner_policy: Policy | None = None,
    configuration_revision: str = "",
    chain: Sequence[bytes],
    evaluated_at: datetime,
    expires_at: datetime,
    view: pb.View.ValueType,
    check_id: str,
) -> pb.ValidateCertificateResponse:
    """Return the answer about a chain. chain: DER, leaf first. evaluated_at: the instant at which it was judged."""
    return pb.ValidateCertificateResponse(
        decision=DECISIONS[verdict.decision],
        evaluated_decision=DECISIONS[verdict.evaluated_decision],
        findings=(_finding(finding, view) for finding in verdict.findings),
        policy=applied_policy_message(policy),
        result_info=pb.ResultInfo(
            evaluation_time=to_timestamp(evaluated_at),
            expire_time=to_timestamp(expires_at),
            source=pb.RESULT_SOURCE_REQUEST,
            check_id=check_id,
            configuration_revision=configuration_revision,
        ),
        certificates=map(CertificateMessages().of, chain) if view == pb.VIEW_FULL else None,
        partner=applied_partner_message(partner_id, partner_policy),
    )


def _finding(finding: Finding, view: pb.View.ValueType) -> pb.Finding:
    evidence = finding.evidence if view == pb.VIEW_FULL else ()
    return pb.Finding(
        code=finding.code,
        severity=SEVERITIES[finding.severity],
        effect=EFFECTS[finding.effect],
        rule_id=finding.rule_id,
        message=finding.message,
        remediation=finding.remediation,
        citation=finding.citation,
        evidence=(pb.FindingEvidence(key=one.key, observed=one.observed, expected=one.expected) for one in evidence),
        certificate_index=finding.certificate_index,
        address=finding.address,
        waiver_expire_time=None if finding.waiver_ends_at is None else to_timestamp(finding.waiver_ends_at),
    )
