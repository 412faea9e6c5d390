"""Answers carry everything the contract promises, exactly, and in the view that was asked for."""

import hashlib
from dataclasses import replace
from datetime import UTC, timedelta

import pytest

from otpc_policy.catalog.context import NamedPartner
from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.check import Answer, ResultSource
from otpc_policy.check.values import endpoint_facts
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.facts import (
    CurveFact,
    DeepFacts,
    Depth,
    ForbiddenAddress,
    ResolutionStatus,
    Support,
    Vulnerability,
    VulnerabilityFact,
)
from otpc_policy.pki.trust import Trust
from otpc_policy.policy.evaluate import evaluate
from otpc_policy.policy.finding import Decision
from otpc_policy.rpc.convert import (
    OwnPart,
    check_response,
    policy_message,
    shared_part,
    validate_response,
)
from otpc_policy.rpc.convert.certificates import CertificateMessages
from otpc_policy.v1 import policy_pb2 as pb
from tests.rpc.convert.values import (
    NOW,
    make_answer,
    make_chain_answer,
    make_facts,
    make_judgement,
    make_policies,
    make_policy,
    make_verdict,
)
from tests.support.certificates import CertificateAuthority, Issued


@pytest.fixture(scope="module")
def issued() -> Issued:
    return CertificateAuthority.create().intermediate().issue(ips=("192.0.2.1",))


def test_the_basic_view_has_everything_but_evidence() -> None:
    response = check_response(make_answer(), pb.VIEW_BASIC, "check-1")
    assert (response.decision, response.evaluated_decision) == (pb.DECISION_DENY, pb.DECISION_DENY)
    assert (response.canonical_endpoint, list(response.judged_addresses)) == (
        "partner.test:8443",
        ["192.0.2.1"],
    )
    assert response.policy == pb.AppliedPolicy(name="otpc-test", revision="ab" * 32, enforcing=True)
    assert list(response.judged_certificates) == [
        pb.JudgedCertificate(leaf_sha256=b"l" * 32, spki_sha256=b"k" * 32)
    ]
    assert response.connection_terms == pb.ConnectionTerms(
        server_name="partner.test",
        versions=[pb.TLS_VERSION_TLS_1_2, pb.TLS_VERSION_TLS_1_3],
        cipher_suites=[0x1301, 0xC02F],
    )
    info = response.result_info
    assert [
        at.ToDatetime(tzinfo=UTC)
        for at in (info.observation_time, info.evaluation_time, info.expire_time)
    ] == [
        NOW - timedelta(minutes=1),
        NOW,
        NOW + timedelta(minutes=4),
    ]
    assert (info.source, info.check_id) == (pb.RESULT_SOURCE_CACHE, "check-1")
    assert response.retry_after.ToTimedelta() == timedelta(seconds=1.5)
    (finding,) = response.findings
    assert (finding.code, finding.severity, finding.effect, finding.rule_id) == (
        "TLS_VERSION_BELOW_MINIMUM",
        pb.SEVERITY_HIGH,
        pb.EFFECT_DENY,
        "tls.minimum_version",
    )
    assert (finding.message, finding.remediation, finding.citation) == (
        "TLS 1.0 is offered; TLS 1.2 required",
        "ssl_protocols TLSv1.2 TLSv1.3;",
        "the source",
    )
    assert (finding.HasField("certificate_index"), finding.certificate_index, finding.address) == (
        True,
        0,
        "192.0.2.1",
    )
    assert finding.waiver_expire_time.ToDatetime(tzinfo=UTC) == NOW
    assert not finding.evidence
    assert not response.HasField("observation")


def test_what_is_not_known_is_not_set() -> None:
    judgement = make_judgement(observed_at=None, verdict=make_verdict(Decision.ALLOW))
    answer = make_answer(judgement=judgement, source=ResultSource.NONE, retry_after=None)
    response = check_response(answer, pb.VIEW_BASIC, "check-1")
    assert response.decision == pb.DECISION_ALLOW
    assert not response.HasField("retry_after")
    assert not response.result_info.HasField("observation_time")
    assert response.result_info.source == pb.RESULT_SOURCE_UNSPECIFIED


def test_the_full_view_shows_the_whole_observation(issued: Issued) -> None:
    answer = make_answer(make_facts(chain=(*issued.chain_der, b"junk")))
    response = check_response(answer, pb.VIEW_FULL, "check-1")
    assert [(item.key, item.observed, item.expected) for item in response.findings[0].evidence] == [
        ("protocol", "TLS 1.0", "TLS 1.2")
    ]
    observation = response.observation
    assert (observation.canonical_host, observation.port) == ("partner.test", 8443)
    measured, left_out = observation.addresses
    assert (
        measured.address,
        measured.reachable,
        measured.connections_used,
        list(measured.remarks),
    ) == ("192.0.2.1", pb.SUPPORT_YES, 21, ["a remark"])
    assert (measured.client_auth, measured.http) == (
        pb.CLIENT_AUTH_REQUESTED,
        pb.HTTP_SERVICE_SERVED,
    )
    assert measured.duration.ToTimedelta() == timedelta(seconds=1, microseconds=234567)
    assert measured.observation_time.ToDatetime(tzinfo=UTC) == NOW - timedelta(minutes=1)
    assert list(measured.protocols) == [
        pb.ProtocolObservation(
            version=pb.TLS_VERSION_TLS_1_2,
            support=pb.SUPPORT_YES,
            evidence=pb.EVIDENCE_SERVER_HELLO,
        ),
        pb.ProtocolObservation(
            version=pb.TLS_VERSION_SSL_3_0, support=pb.SUPPORT_NO, evidence=pb.EVIDENCE_ALERT
        ),
    ]
    assert list(measured.groups) == [
        pb.GroupObservation(
            code_point=0x11EC,
            name="X25519MLKEM768",
            support=pb.SUPPORT_NO,
            evidence=pb.EVIDENCE_ALERT,
        ),
        pb.GroupObservation(
            code_point=29,
            name="x25519",
            support=pb.SUPPORT_YES,
            evidence=pb.EVIDENCE_SERVER_HELLO,
        ),
    ]
    assert list(measured.key_exchanges) == [
        pb.KeyExchangeObservation(
            version=pb.TLS_VERSION_TLS_1_2, group=23, group_name="secp256r1", bits=256
        ),
        pb.KeyExchangeObservation(version=pb.TLS_VERSION_TLS_1_2, bits=2048),
    ]
    for seen, expected in (
        (measured, (pb.SUPPORT_YES, pb.SUPPORT_NO, pb.SUPPORT_UNKNOWN)),
        (left_out, (pb.SUPPORT_UNKNOWN,) * 3),
    ):
        extensions = seen.extended_master_secret, seen.secure_renegotiation, seen.compression
        assert extensions == expected
    assert list(measured.cipher_suites) == [
        pb.CipherSuiteObservation(
            version=pb.TLS_VERSION_TLS_1_2,
            code_point=0xC02F,
            iana_name="TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            openssl_name="ECDHE-RSA-AES128-GCM-SHA256",
            support=pb.SUPPORT_YES,
            evidence=pb.EVIDENCE_SERVER_HELLO,
            handshake_completed=True,
        ),
        pb.CipherSuiteObservation(
            version=pb.TLS_VERSION_TLS_1_2, code_point=0xEEEE, support=pb.SUPPORT_UNKNOWN
        ),
    ]
    (deployment,) = measured.certificate_deployments
    assert (deployment.key_type, deployment.support, deployment.stapled_ocsp_response) == (
        pb.KEY_TYPE_ECDSA,
        pb.SUPPORT_YES,
        b"staple",
    )
    assert [certificate.der for certificate in deployment.certificates] == [
        *issued.chain_der,
        b"junk",
    ]
    assert (left_out.address, left_out.reachable, list(left_out.remarks)) == (
        "192.0.2.9",
        pb.SUPPORT_UNKNOWN,
        ["a ninth address"],
    )


def test_what_only_a_deep_measurement_shows_stands_apart() -> None:
    deep = DeepFacts(
        early_data=Support.NO,
        fallback_scsv=Support.YES,
        extended_master_secret=Support.NO,
        secure_renegotiation=Support.YES,
        client_renegotiation=Support.UNKNOWN,
        curves=(CurveFact("x25519", Support.YES),),
        contradictions=("TLS 1.0: disputed",),
        connections_used=500,
        duration=timedelta(seconds=2),
        remarks=("cut short",),
    )
    facts = make_facts()
    deepened = replace(
        facts.addresses[0],
        deep=deep,
        vulnerabilities=(VulnerabilityFact(Vulnerability.ROBOT, Support.YES),),
    )
    answer = make_answer(replace(facts, addresses=(deepened,)))
    response = check_response(answer, pb.VIEW_FULL, "check-1")
    expected = pb.DeepObservation(
        vulnerabilities=[pb.VulnerabilityObservation(name="ROBOT", present=pb.SUPPORT_YES)],
        early_data=pb.SUPPORT_NO,
        fallback_scsv=pb.SUPPORT_YES,
        extended_master_secret=pb.SUPPORT_NO,
        secure_renegotiation=pb.SUPPORT_YES,
        client_renegotiation=pb.SUPPORT_UNKNOWN,
        curves=[pb.CurveObservation(name="x25519", support=pb.SUPPORT_YES)],
        contradictions=["TLS 1.0: disputed"],
        connections_used=500,
        remarks=["cut short"],
    )
    expected.duration.FromTimedelta(timedelta(seconds=2))
    assert response.observation.addresses[0].deep == expected
    plain = check_response(make_answer(), pb.VIEW_FULL, "check-1")
    assert not plain.observation.addresses[0].HasField("deep")


@pytest.mark.parametrize("view", [pb.VIEW_BASIC, pb.VIEW_FULL])
@pytest.mark.parametrize("retry_after", [None, timedelta(seconds=3)])
def test_joined_bytes_equal_the_message_built_at_once(
    issued: Issued, view: pb.View.ValueType, retry_after: timedelta | None
) -> None:
    answer = make_answer(make_facts(chain=issued.chain_der), retry_after=retry_after)
    other = make_answer(source=ResultSource.NONE, retry_after=timedelta(hours=1))
    own = OwnPart(pb.CheckEndpointResponse())
    for each, check_id in ((other, "another caller's"), (answer, "check-1")):
        own.write(
            at=each.evaluated_at,
            source=each.source,
            check_id=check_id,
            retry_after=each.retry_after,
        )
    joined = shared_part(answer, view).SerializeToString() + own.serialised()
    assert pb.CheckEndpointResponse.FromString(joined) == check_response(answer, view, "check-1")


def test_a_certificate_is_shown_decoded(issued: Issued) -> None:
    message = CertificateMessages().of(issued.der)
    assert (message.der, message.sha256, message.spki_sha256) == (
        issued.der,
        issued.sha256,
        issued.spki_sha256,
    )
    assert message.issuer == "CN=Example Intermediate"
    assert int(message.serial_number, 16) == issued.certificate.serial_number
    assert message.not_before_time.ToDatetime(tzinfo=UTC) == issued.certificate.not_valid_before_utc
    assert message.not_after_time.ToDatetime(tzinfo=UTC) == issued.certificate.not_valid_after_utc
    assert list(message.subject_alt_names) == ["partner.test", "192.0.2.1"]
    assert message.public_key == "EC secp256r1 256"
    assert message.signature_algorithm


@pytest.mark.parametrize(
    ("kind", "name"),
    [("rsa2048", "RSA 2048"), ("ec384", "EC secp384r1 384"), ("ed25519", "Ed25519")],
)
def test_public_keys_are_named_with_their_size(kind: str, name: str) -> None:
    assert (
        CertificateMessages().of(CertificateAuthority.create().issue(key=kind).der).public_key
        == name
    )


@pytest.mark.parametrize("der", [b"", b"junk", b"\x30\x03\x02\x01\x01"])
def test_of_a_malformed_certificate_only_bytes_and_hash_are_shown(der: bytes) -> None:
    assert CertificateMessages().of(der) == pb.CertificateObservation(
        der=der, sha256=hashlib.sha256(der).hexdigest()
    )


def test_what_an_answer_shows_of_certificates_is_bounded() -> None:
    """A leaf with 4,000 names is shown; of a further one, only its bytes and hash."""
    authority = CertificateAuthority.create()
    large = [authority.issue(dns=[f"a{number}.test" for number in range(4_000)]) for _ in range(2)]
    small = authority.issue()
    messages = CertificateMessages()
    first, second, third = (messages.of(issued.der) for issued in (*large, small))
    assert len(first.subject_alt_names) == 4_000
    assert second == pb.CertificateObservation(der=large[1].der, sha256=large[1].sha256)
    assert list(third.subject_alt_names) == ["partner.test"]


def test_a_certificate_of_many_deployments_is_read_once(issued: Issued) -> None:
    messages = CertificateMessages()
    assert messages.of(issued.der) is messages.of(issued.der)


@pytest.mark.parametrize(("view", "shown"), [(pb.VIEW_BASIC, 0), (pb.VIEW_FULL, 2)])
def test_validation_answers(issued: Issued, view: pb.View.ValueType, shown: int) -> None:
    answer = make_chain_answer(policy=make_policy(enforcing=False))
    response = validate_response(answer, issued.chain_der, view, "c")
    assert (response.decision, response.policy.enforcing, len(response.certificates)) == (
        pb.DECISION_DENY,
        False,
        shown,
    )
    assert (response.result_info.source, response.result_info.check_id) == (
        pb.RESULT_SOURCE_REQUEST,
        "c",
    )
    assert response.result_info.expire_time.ToDatetime(tzinfo=UTC) == NOW + timedelta(hours=1)
    assert len(response.findings[0].evidence) == (1 if view == pb.VIEW_FULL else 0)


def test_everything_that_judged_beside_the_policy_asked_for_is_named() -> None:
    minimum, added = make_policy("minimum"), make_policy("added", enforcing=False)
    named = (
        NamedPartner("one", added),
        *(NamedPartner(f"p{number}", None) for number in range(40)),
    )
    judgement = make_judgement(minimum_policy=minimum, named_partners=named)
    response = check_response(make_answer(judgement=judgement), pb.VIEW_BASIC, "c")
    assert (response.minimum_policy.name, response.minimum_policy.enforcing) == ("minimum", True)
    first, second, *_ = response.named_partners
    assert (first.id, first.policy.name, first.policy.enforcing) == ("one", "added", False)
    assert (second.id, second.HasField("policy"), len(response.named_partners)) == ("p0", False, 16)
    plain = check_response(make_answer(), pb.VIEW_BASIC, "c")
    assert (plain.HasField("minimum_policy"), len(plain.named_partners)) == (False, 0)
    chain = validate_response(make_chain_answer(minimum_policy=minimum), (), pb.VIEW_BASIC, "c")
    assert chain.minimum_policy.name == "minimum"


def test_a_finding_names_the_policies_that_give_it_its_effect() -> None:
    verdict = make_verdict()
    findings = tuple(replace(each, policies=("a", "b")) for each in verdict.findings)
    judgement = make_judgement(verdict=replace(verdict, findings=findings))
    response = check_response(make_answer(judgement=judgement), pb.VIEW_BASIC, "c")
    assert [list(each.policies) for each in response.findings] == [["a", "b"]]


@pytest.mark.parametrize(
    ("minimum", "expected"), [("", (True, False)), ("other", (False, True)), (None, (False, False))]
)
def test_a_policy_says_whether_it_is_the_minimum(
    minimum: str | None, expected: tuple[bool, bool]
) -> None:
    policies = replace(make_policies("otpc-test", "other"), minimum_name=minimum)
    messages = [policy_message(policies.get(name), policies) for name in ("otpc-test", "other")]
    assert tuple(message.is_minimum for message in messages) == expected
    alone = policy_message(policies.get(""))
    assert (alone.is_default, alone.is_minimum) == (False, False)


def test_a_policy_shows_each_rule_with_its_codes_and_parameters() -> None:
    policies = make_policies("otpc-test", "other")
    message = policy_message(policies.get(""), policies)
    assert (message.name, message.title, message.source, message.enforcing, message.is_default) == (
        "otpc-test",
        "A policy",
        "https://example.com/policy",
        True,
        True,
    )
    assert message.is_minimum
    (rule,) = message.rules
    assert (rule.id, rule.summary, rule.citation) == (
        "tls.minimum_version",
        "TLS 1.2 or higher",
        "the source",
    )
    assert list(rule.codes) == [
        pb.PolicyRuleCode(
            code="TLS_VERSION_BELOW_MINIMUM", effect=pb.EFFECT_DENY, severity=pb.SEVERITY_HIGH
        ),
        pb.PolicyRuleCode(
            code="TLS_SOMETHING", effect=pb.EFFECT_UNSPECIFIED, severity=pb.SEVERITY_LOW
        ),
    ]
    assert list(rule.parameters) == [
        'accepted = ["TLS 1.2", "TLS 1.3"]',
        "days = 21",
        'minimum = "TLS 1.2"',
        "strict = true",
    ]


def forbidden_answer(*addresses: str, host: str = "partner.test") -> Answer:
    """An answer about a host with these addresses, none of which may be dialled."""
    resolution = Resolution(
        status=ResolutionStatus.FORBIDDEN,
        forbidden=tuple(ForbiddenAddress(address, "private (RFC 1918)") for address in addresses),
    )
    endpoint = parse_endpoint(host, 8443)
    verdict = evaluate(
        endpoint_facts(endpoint, Depth.STANDARD, (), resolution),
        load_builtin_policies().get(""),
        trust=Trust(mozilla_roots=()),
        now=NOW,
    )
    judgement = make_judgement(endpoint=endpoint, verdict=verdict, judged_addresses=())
    return make_answer(judgement=judgement, addresses=(), resolution=resolution)


@pytest.mark.parametrize("view", [pb.VIEW_BASIC, pb.VIEW_FULL])
def test_no_part_of_a_response_holds_an_address_that_may_not_be_dialled(
    view: pb.View.ValueType,
) -> None:
    answer = forbidden_answer("10.1.2.3", "10.4.5.6")
    response = check_response(answer, view, "check-1")
    (finding,) = response.findings
    assert (finding.code, finding.address) == ("TARGET_ADDRESS_FORBIDDEN", "")
    assert "private" in finding.message
    text = str(response)
    assert "10.1.2.3" not in text
    assert "10.4.5.6" not in text
    assert [each.address for each in response.observation.addresses] == (
        [""] if view == pb.VIEW_FULL else []
    )


def test_whoever_may_see_internal_addresses_sees_each() -> None:
    answer = forbidden_answer("10.1.2.3", "10.4.5.6")
    response = check_response(answer, pb.VIEW_FULL, "check-1", may_see_internal_addresses=True)
    assert [each.address for each in response.findings] == ["10.1.2.3", "10.4.5.6"]
    assert [each.address for each in response.observation.addresses] == ["10.1.2.3", "10.4.5.6"]


def test_an_address_that_the_caller_has_named_is_no_secret() -> None:
    response = check_response(forbidden_answer("10.1.2.3", host="10.1.2.3"), pb.VIEW_FULL, "1")
    assert [each.address for each in response.findings] == ["10.1.2.3"]
    assert [each.address for each in response.observation.addresses] == ["10.1.2.3"]
