"""Responses: values to proto.

The response to a check has two parts: what every caller gets while the judgement holds
(shared_part), and what only this caller gets (OwnPart). Serialised messages merge when their bytes
are concatenated, so the first part can be cached as bytes.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from otpc_policy.check.values import Answer, ChainAnswer, Judgement, ResultSource
from otpc_policy.policy.finding import Finding
from otpc_policy.policy.service_findings import ADDRESS_FORBIDDEN
from otpc_policy.rpc.convert.certificates import CertificateMessages
from otpc_policy.rpc.convert.observations import observation_message
from otpc_policy.rpc.convert.policies import (
    added_policy_message,
    applied_partner_message,
    applied_policy_message,
    named_partner_messages,
)
from otpc_policy.rpc.convert.times import to_duration, to_timestamp, write_timestamp
from otpc_policy.rpc.convert.vocabulary import (
    DECISIONS,
    EFFECTS,
    REVOCATION_SOURCES,
    REVOCATION_STATUSES,
    SEVERITIES,
    SOURCES,
    VERSIONS,
)
from otpc_policy.v1 import policy_pb2 as pb


def check_response(
    answer: Answer,
    view: pb.View.ValueType,
    check_id: str,
    *,
    may_see_internal_addresses: bool = False,
) -> pb.CheckEndpointResponse:
    """Return the whole response to a check. may_see_internal_addresses: as of shared_part."""
    response = shared_part(answer, view, may_see_internal_addresses=may_see_internal_addresses)
    OwnPart(response).write(
        at=answer.evaluated_at,
        source=answer.source,
        check_id=check_id,
        retry_after=answer.retry_after,
    )
    return response


def shared_part(
    answer: Answer, view: pb.View.ValueType, *, may_see_internal_addresses: bool = False
) -> pb.CheckEndpointResponse:
    """Return what every caller with the same rights gets while the judgement holds.

    may_see_internal_addresses: whether addresses that may not be dialled are named. They tell of
    networks that the caller may not know, whose resolver may see other names than the caller's
    does. An address that the caller itself has named is shown to everybody.
    """
    judgement = answer.judgement
    verdict = judgement.verdict
    observed_at = judgement.observed_at
    is_full = view == pb.VIEW_FULL
    hidden = frozenset[str]() if may_see_internal_addresses else _internal_addresses(answer)
    return pb.CheckEndpointResponse(
        decision=DECISIONS[verdict.decision],
        evaluated_decision=DECISIONS[verdict.evaluated_decision],
        findings=_findings(verdict.findings, view, hidden),
        policy=applied_policy_message(judgement.policy),
        result_info=pb.ResultInfo(
            observation_time=None if observed_at is None else to_timestamp(observed_at),
            expire_time=to_timestamp(judgement.expires_at),
            configuration_revision=judgement.configuration_revision,
        ),
        canonical_endpoint=str(judgement.endpoint),
        judged_addresses=judgement.judged_addresses,
        observation=observation_message(answer.facts(), hidden) if is_full else None,
        partner=applied_partner_message(judgement.partner_id, judgement.partner_policy),
        judged_certificates=_judged_certificates(judgement),
        connection_terms=_connection_terms(judgement),
        minimum_policy=added_policy_message(judgement.minimum_policy),
        named_partners=named_partner_messages(judgement.named_partners),
        perspective=judgement.perspective,
    )


def _internal_addresses(answer: Answer) -> frozenset[str]:
    """Return the addresses that may not be dialled, except one that is itself the host."""
    forbidden = () if answer.resolution is None else answer.resolution.forbidden
    return frozenset(each.address for each in forbidden) - {answer.judgement.endpoint.host}


def _findings(
    findings: Iterable[Finding], view: pb.View.ValueType, hidden: Container[str]
) -> Iterator[pb.Finding]:
    """Yield the messages, those about hidden addresses once for each reason."""
    about_hidden: set[str] = set()
    for finding in findings:
        if finding.code == ADDRESS_FORBIDDEN and finding.address in hidden:
            if finding.message in about_hidden:
                continue
            about_hidden.add(finding.message)
            yield _finding(replace(finding, address=""), view)
        else:
            yield _finding(finding, view)


def _judged_certificates(judgement: Judgement) -> Iterator[pb.JudgedCertificate]:
    revocations = {each.leaf_sha256: each for each in judgement.verdict.revocations}
    for each in judgement.judged_certificates:
        said = revocations.get(each.leaf_sha256)
        yield pb.JudgedCertificate(
            leaf_sha256=each.leaf_sha256,
            spki_sha256=each.spki_sha256,
            revocation=None
            if said is None
            else pb.Revocation(
                status=REVOCATION_STATUSES[said.is_revoked],
                source=REVOCATION_SOURCES[said.source],
                detail=said.detail,
            ),
        )


def _connection_terms(judgement: Judgement) -> pb.ConnectionTerms:
    return pb.ConnectionTerms(
        server_name=judgement.endpoint.server_name,
        versions=(VERSIONS[version] for version in judgement.terms.versions),
        cipher_suites=judgement.terms.cipher_suites,
    )


class OwnPart:
    """What only this caller gets, set in a message.

    The message may be written again for another caller: building a new one costs four times as
    much, and looking up the messages in it once as much as filling them in.
    """

    def __init__(self, message: pb.CheckEndpointResponse) -> None:
        self._message = message
        self._info = message.result_info
        self._evaluation_time = message.result_info.evaluation_time

    def write(
        self,
        *,
        at: datetime,
        source: ResultSource,
        check_id: str,
        retry_after: timedelta | None,
    ) -> None:
        """Set all of it. at: the instant of the evaluation."""
        write_timestamp(at, self._evaluation_time)
        self._info.source = SOURCES[source]
        self._info.check_id = check_id
        if retry_after is None:
            self._message.ClearField("retry_after")
        else:
            self._message.retry_after.CopyFrom(to_duration(retry_after))

    def serialised(self) -> bytes:
        """Return the message as bytes."""
        return self._message.SerializeToString()


def validate_response(
    answer: ChainAnswer,
    chain: Sequence[bytes],
    view: pb.View.ValueType,
    check_id: str,
) -> pb.ValidateCertificateResponse:
    """Return the response about a chain. chain: DER, leaf first."""
    verdict = answer.verdict
    is_full = view == pb.VIEW_FULL
    return pb.ValidateCertificateResponse(
        decision=DECISIONS[verdict.decision],
        evaluated_decision=DECISIONS[verdict.evaluated_decision],
        findings=(_finding(finding, view) for finding in verdict.findings),
        policy=applied_policy_message(answer.policy),
        result_info=pb.ResultInfo(
            evaluation_time=to_timestamp(answer.judged_at),
            expire_time=to_timestamp(answer.expires_at),
            source=SOURCES[ResultSource.REQUEST],
            check_id=check_id,
            configuration_revision=answer.configuration_revision,
        ),
        certificates=map(CertificateMessages().of, chain) if is_full else None,
        partner=applied_partner_message(answer.partner_id, answer.partner_policy),
        not_examined=answer.not_examined,
        minimum_policy=added_policy_message(answer.minimum_policy),
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
        evidence=(
            pb.FindingEvidence(key=item.key, observed=item.observed, expected=item.expected)
            for item in evidence
        ),
        certificate_index=finding.certificate_index,
        address=finding.address,
        waiver_expire_time=None
        if finding.waiver_ends_at is None
        else to_timestamp(finding.waiver_ends_at),
        policies=finding.policies,
    )
