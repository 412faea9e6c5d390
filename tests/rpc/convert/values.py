"""Values that rpc turns into messages: an endpoint, measured and judged, with every field set."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from otpc_policy.check import Answer, ChainAnswer, JudgedCertificate, Judgement, ResultSource
from otpc_policy.core import facts
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.facts import (
    AddressFacts,
    EndpointFacts,
    Evidence,
    ResolutionStatus,
    Support,
    TlsVersion,
)
from otpc_policy.policy.connection_terms import ConnectionTerms
from otpc_policy.policy.finding import Decision, Effect, Finding, FindingEvidence, Severity, Verdict
from otpc_policy.policy.model import Policy, PolicySet, RuleSettings

NOW = datetime(2025, 3, 4, 5, 6, 7, 891011, tzinfo=UTC)


def make_policy(name: str = "otpc-test", *, enforcing: bool = True) -> Policy:
    rule = RuleSettings(
        id="tls.minimum_version",
        summary="TLS 1.2 or higher",
        citation="the source",
        effects={"TLS_VERSION_BELOW_MINIMUM": Effect.DENY, "TLS_SOMETHING": Effect.OFF},
        severities={"TLS_VERSION_BELOW_MINIMUM": Severity.HIGH, "TLS_SOMETHING": Severity.LOW},
        parameters={
            "minimum": "TLS 1.2",
            "accepted": ("TLS 1.2", "TLS 1.3"),
            "days": 21,
            "strict": True,
        },
    )
    return Policy(
        name=name,
        title="A policy",
        source="https://example.com/policy",
        enforcing=enforcing,
        revision="ab" * 32,
        rules=(rule,),
    )


def make_policies(*names: str) -> PolicySet:
    policies = {name: make_policy(name) for name in names or ("otpc-test",)}
    return PolicySet(policies=policies, default_name=next(iter(policies)))


def make_address_facts(*, chain: tuple[bytes, ...] = ()) -> AddressFacts:
    return AddressFacts(
        address="192.0.2.1",
        observed_at=NOW - timedelta(minutes=1),
        duration=timedelta(seconds=1, microseconds=234567),
        connections_used=21,
        depth=facts.Depth.STANDARD,
        reachable=Support.YES,
        tls=facts.TlsService.SERVED,
        versions=(
            facts.VersionFact(TlsVersion.TLS_1_2, Support.YES, Evidence.SERVER_HELLO),
            facts.VersionFact(TlsVersion.SSL_3_0, Support.NO, Evidence.ALERT),
        ),
        cipher_suites=(
            facts.CipherSuiteFact(
                version=TlsVersion.TLS_1_2,
                code_point=0xC02F,
                support=Support.YES,
                evidence=Evidence.SERVER_HELLO,
                handshake_completed=True,
            ),
            facts.CipherSuiteFact(
                version=TlsVersion.TLS_1_2,
                code_point=0xEEEE,
                support=Support.UNKNOWN,
                evidence=Evidence.NONE,
            ),
        ),
        deployments=(
            facts.DeploymentFact(
                version=TlsVersion.TLS_1_2,
                key_type=facts.KeyType.ECDSA,
                support=Support.YES,
                evidence=Evidence.SERVER_HELLO,
                chain=chain,
                stapled_ocsp_response=b"staple",
            ),
        ),
        client_auth=facts.ClientAuth.REQUESTED,
        http=facts.HttpService.SERVED,
        remarks=("a remark",),
        groups=(
            facts.GroupFact(code_point=0x11EC, support=Support.NO, evidence=Evidence.ALERT),
            facts.GroupFact(code_point=29, support=Support.YES, evidence=Evidence.SERVER_HELLO),
        ),
        key_exchanges=(
            facts.KeyExchangeFact(version=TlsVersion.TLS_1_2, group=23, bits=256),
            facts.KeyExchangeFact(version=TlsVersion.TLS_1_2, group=None, bits=2048),
        ),
        handshake=facts.HandshakeFacts(
            extended_master_secret=Support.YES, secure_renegotiation=Support.NO
        ),
    )


def make_facts(*, chain: tuple[bytes, ...] = ()) -> EndpointFacts:
    return EndpointFacts(
        host="partner.test",
        port=8443,
        server_name="partner.test",
        depth=facts.Depth.STANDARD,
        resolution=ResolutionStatus.RESOLVED,
        addresses=(make_address_facts(chain=chain),),
        unmeasured=(facts.UnmeasuredAddress("192.0.2.9", "a ninth address"),),
    )


def make_verdict(decision: Decision = Decision.DENY) -> Verdict:
    denied = Finding(
        code="TLS_VERSION_BELOW_MINIMUM",
        severity=Severity.HIGH,
        effect=Effect.DENY,
        rule_id="tls.minimum_version",
        message="TLS 1.0 is offered; TLS 1.2 required",
        remediation="ssl_protocols TLSv1.2 TLSv1.3;",
        citation="the source",
        evidence=(FindingEvidence("protocol", "TLS 1.0", "TLS 1.2"),),
        certificate_index=0,
        address="192.0.2.1",
        waiver_ends_at=NOW,
    )
    return Verdict(
        decision=decision,
        evaluated_decision=decision,
        findings=(denied,) if decision is Decision.DENY else (),
        changes_at=None,
    )


def make_judgement(**overrides: Any) -> Judgement:
    """A denial of the endpoint of make_facts; by name what differs (fields of Judgement)."""
    denial = Judgement(
        key=None,
        endpoint=parse_endpoint("partner.test", 8443),
        depth=facts.Depth.STANDARD,
        policy=make_policy(),
        configuration_revision="cd" * 32,
        verdict=make_verdict(),
        observed_at=NOW - timedelta(minutes=1),
        judged_at=NOW,
        expires_at=NOW + timedelta(minutes=4),
        judged_addresses=("192.0.2.1",),
        judged_certificates=(JudgedCertificate(b"l" * 32, b"k" * 32),),
        terms=ConnectionTerms((TlsVersion.TLS_1_2, TlsVersion.TLS_1_3), (0x1301, 0xC02F)),
    )
    return replace(denial, **overrides)


def make_answer(seen: EndpointFacts | None = None, **overrides: Any) -> Answer:
    """An answer from these facts, by default those of make_facts; by name what differs."""
    shown = seen if seen is not None else make_facts()
    answer = Answer(
        judgement=make_judgement(),
        addresses=shown.addresses,
        resolution=Resolution(status=shown.resolution, left_out=shown.unmeasured),
        source=ResultSource.CACHE,
        evaluated_at=NOW,
        retry_after=timedelta(milliseconds=1500),
    )
    return replace(answer, **overrides)


def make_chain_answer(**overrides: Any) -> ChainAnswer:
    """A denial of a chain; by name what differs (fields of ChainAnswer)."""
    denial = ChainAnswer(
        policy=make_policy(),
        verdict=make_verdict(),
        judged_at=NOW,
        expires_at=NOW + timedelta(hours=1),
    )
    return replace(denial, **overrides)
