"""What an answer lets a connection be: everything that it leaves open permits nothing."""

import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from otpc_policy_client import TrafficNotPermitted, client_context, permits_traffic
from otpc_policy_client.judged import JudgedEndpoint, judged_endpoint
from otpc_policy_client.keeping_terms import restrict
from otpc_policy_client.v1 import policy_pb2 as pb

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
V12, V13 = pb.TLS_VERSION_TLS_1_2, pb.TLS_VERSION_TLS_1_3
AES_128_GCM, AES_256_GCM, TLS13_AES_128 = 0xC02F, 0xC030, 0x1301


def terms(**overrides: Any) -> pb.ConnectionTerms:
    return pb.ConnectionTerms(
        **{
            "server_name": "partner.test",
            "versions": [V12, V13],
            "cipher_suites": [TLS13_AES_128, AES_128_GCM],
            **overrides,
        }
    )


def allowed(*, now: datetime = NOW, **overrides: Any) -> pb.CheckEndpointResponse:
    fields: dict[str, Any] = {
        "decision": pb.DECISION_ALLOW,
        "evaluated_decision": pb.DECISION_ALLOW,
        "policy": pb.AppliedPolicy(name="otpc-2024-12", enforcing=True),
        "canonical_endpoint": "partner.test:443",
        "judged_addresses": ["192.0.2.1", "2001:db8::1"],
        "judged_certificates": [pb.JudgedCertificate(leaf_sha256=b"l" * 32)],
        "connection_terms": terms(),
    }
    answer = pb.CheckEndpointResponse(**{**fields, **overrides})
    answer.result_info.expire_time.FromDatetime(now + timedelta(minutes=1))
    return answer


def judged(**overrides: Any) -> JudgedEndpoint:
    return judged_endpoint(allowed(connection_terms=terms(**overrides)), port=0, now=NOW)


def test_a_whole_answer_says_where_and_how_to_connect() -> None:
    endpoint = judged_endpoint(allowed(), port=443, now=NOW)
    assert (endpoint.addresses, endpoint.port) == (("192.0.2.1", "2001:db8::1"), 443)
    assert (endpoint.server_name, set(endpoint.leaves)) == ("partner.test", {b"l" * 32})
    assert set(endpoint.versions) == {V12, V13}
    assert set(endpoint.cipher_suites) == {TLS13_AES_128, AES_128_GCM}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (pb.CheckEndpointResponse(), "the endpoint: UNSPECIFIED"),
        (allowed(decision=pb.DECISION_UNSPECIFIED), "UNSPECIFIED"),
        (
            allowed(
                decision=pb.DECISION_DENY,
                findings=[
                    pb.Finding(code="ADVICE", effect=pb.EFFECT_ADVISORY),
                    pb.Finding(code="CERTIFICATE_EXPIRED", effect=pb.EFFECT_DENY),
                ],
            ),
            "partner.test:443: DENY: CERTIFICATE_EXPIRED$",
        ),
        (allowed(decision=pb.DECISION_INDETERMINATE), "INDETERMINATE$"),
        (allowed(now=NOW - timedelta(minutes=1)), "has expired"),
        (allowed(judged_addresses=[]), "not a valid ALLOW"),
        (allowed(judged_addresses=["192.0.2.1", "partner.test"]), "is no IP address"),
        # A service of an earlier release names neither.
        (allowed(judged_certificates=[], connection_terms=None), "does not name the certificates"),
        (allowed(judged_certificates=[pb.JudgedCertificate()]), "does not name the certificates"),
        (allowed(judged_certificates=[pb.JudgedCertificate(leaf_sha256=b"l" * 31)]), "not name"),
        (allowed(connection_terms=None), "no version of TLS"),
        (allowed(connection_terms=terms(versions=[])), "no version of TLS"),
        (allowed(connection_terms=terms(server_name="")), "no version of TLS"),
        (allowed(canonical_endpoint="partner.test:8443"), "not about port 443"),
        (allowed(canonical_endpoint=""), "not about port 443"),
    ],
)
def test_whatever_is_missing_permits_nothing(answer: pb.CheckEndpointResponse, reason: str) -> None:
    with pytest.raises(TrafficNotPermitted, match=reason) as raised:
        judged_endpoint(answer, port=0, now=NOW)
    assert raised.value.answer is answer


ON_TRIAL = pb.AppliedPolicy(name="trial", enforcing=False)
ENFORCING = pb.AppliedPolicy(name="otpc-2024-12", enforcing=True)
SAYS_ALLOW, SAYS_DENY = pb.DECISION_ALLOW, pb.DECISION_DENY


@pytest.mark.parametrize(
    ("policy", "evaluated", "permits", "permits_dangerously"),
    [
        (ENFORCING, SAYS_ALLOW, True, True),
        (ON_TRIAL, SAYS_ALLOW, True, True),
        (ON_TRIAL, SAYS_DENY, False, True),
        # A policy on trial in a partner's entry, or as the minimum: the operator put it there.
        (ENFORCING, SAYS_DENY, True, True),
        # Who does not say which policy was applied says nothing of its leniency either.
        (None, SAYS_DENY, False, True),
        (None, SAYS_ALLOW, True, True),
        *(
            (policy, evaluated, False, False)
            for policy in (ENFORCING, ON_TRIAL, None)
            for evaluated in (pb.DECISION_UNSPECIFIED, pb.DECISION_INDETERMINATE)
        ),
    ],
)
def test_what_a_policy_on_trial_denies_is_permitted_only_to_who_says_so(
    policy: pb.AppliedPolicy | None,
    evaluated: pb.Decision.ValueType,
    permits: bool,
    permits_dangerously: bool,
) -> None:
    answer = allowed(policy=policy, evaluated_decision=evaluated)
    for dangerously, expected in ((False, permits), (True, permits_dangerously)):
        assert (
            permits_traffic(answer, now=NOW, dangerously_permit_report_only=dangerously) is expected
        )
        if expected:
            endpoint = judged_endpoint(
                answer, port=0, now=NOW, dangerously_permit_report_only=dangerously
            )
            assert endpoint.permits_report_only is dangerously
        else:
            with pytest.raises(TrafficNotPermitted):
                judged_endpoint(answer, port=0, now=NOW, dangerously_permit_report_only=dangerously)


def test_no_answer_but_allow_is_permitted_to_who_accepts_trials() -> None:
    for decision in (pb.DECISION_DENY, pb.DECISION_INDETERMINATE, pb.DECISION_UNSPECIFIED):
        answer = allowed(decision=decision, policy=ON_TRIAL)
        assert not permits_traffic(answer, now=NOW, dangerously_permit_report_only=True)


def test_the_refusal_names_the_policy_on_trial_and_what_it_denies() -> None:
    answer = allowed(
        policy=ON_TRIAL,
        evaluated_decision=SAYS_DENY,
        findings=[pb.Finding(code="CERTIFICATE_EXPIRED", effect=pb.EFFECT_DENY)],
    )
    reason = "trial is report-only, and its rules deny: CERTIFICATE_EXPIRED$"
    with pytest.raises(TrafficNotPermitted, match=reason):
        judged_endpoint(answer, port=0, now=NOW)


def test_an_unknown_decision_permits_nothing() -> None:
    answer = allowed()
    answer.decision = 99  # type: ignore[assignment]
    with pytest.raises(TrafficNotPermitted):
        judged_endpoint(answer, port=0, now=NOW)


def offered(context: ssl.SSLContext) -> set[str]:
    """Names of the suites before TLS 1.3."""
    return {each["name"] for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"}


def test_nothing_is_offered_but_what_the_answer_permits() -> None:
    context = client_context()
    restrict(context, judged())
    assert offered(context) == {"ECDHE-RSA-AES128-GCM-SHA256"}
    assert (context.minimum_version, context.maximum_version) == (
        ssl.TLSVersion.TLSv1_2,
        ssl.TLSVersion.TLSv1_3,
    )
    assert context.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.parametrize(
    ("permitted", "low", "high"),
    [
        ({"versions": [V12]}, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2),
        ({"versions": [V13]}, ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3),
        # No suite of TLS 1.2 is in the library, so TLS 1.2 is not offered with others.
        (
            {"cipher_suites": [TLS13_AES_128, 0xC0A0]},
            ssl.TLSVersion.TLSv1_3,
            ssl.TLSVersion.TLSv1_3,
        ),
        ({"cipher_suites": []}, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
        # Versions that this client does not know are not offered in place of others.
        (
            {"versions": [V12, pb.TLS_VERSION_TLS_1_0]},
            ssl.TLSVersion.TLSv1_2,
            ssl.TLSVersion.TLSv1_2,
        ),
    ],
)
def test_versions_are_those_of_the_answer(
    permitted: dict[str, Any], low: ssl.TLSVersion, high: ssl.TLSVersion
) -> None:
    context = client_context()
    restrict(context, judged(**permitted))
    assert (context.minimum_version, context.maximum_version) == (low, high)


def test_what_the_callers_context_excludes_stays_excluded() -> None:
    context = client_context()
    context.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    restrict(context, judged(cipher_suites=[AES_128_GCM, AES_256_GCM]))
    assert offered(context) == {"ECDHE-RSA-AES256-GCM-SHA384"}
    assert context.maximum_version is ssl.TLSVersion.TLSv1_2
    strict = client_context()
    strict.minimum_version = ssl.TLSVersion.TLSv1_3
    restrict(strict, judged())
    assert strict.minimum_version is ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize(
    "permitted",
    [
        {"versions": [pb.TLS_VERSION_TLS_1_0]},
        {"versions": [99]},
        {"versions": [V12], "cipher_suites": [0xC0A0]},
        {"versions": [V12], "cipher_suites": [TLS13_AES_128]},
    ],
)
def test_with_nothing_left_to_offer_nothing_is_dialled(permitted: dict[str, Any]) -> None:
    with pytest.raises(TrafficNotPermitted, match="TLS library"):
        restrict(client_context(), judged(**permitted))


def test_an_answer_from_another_place_than_was_asked_for_permits_nothing() -> None:
    """A service that is older than perspectives ignores the request's, and names none."""
    for named, asked, is_permitted in (
        ("us-east", "us-east", True),
        ("us-east", "", True),
        ("eu-west", "us-east", False),
        ("", "us-east", False),
    ):
        answer = allowed(perspective=named)
        assert permits_traffic(answer, now=NOW, perspective=asked) is is_permitted
        if is_permitted:
            assert judged_endpoint(answer, port=0, now=NOW, perspective=asked).answer == answer
        else:
            with pytest.raises(TrafficNotPermitted, match="not from us-east"):
                judged_endpoint(answer, port=0, now=NOW, perspective=asked)
