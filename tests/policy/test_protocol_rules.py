"""tls.served, tls.minimum_version, tls.vulnerability: pass, fail, unknown, boundary."""

import pytest

from otpc_policy.core.facts import (
    Depth,
    HttpService,
    Support,
    TlsService,
    TlsVersion,
    Vulnerability,
    VulnerabilityFact,
)
from otpc_policy.policy.finding import Decision, Effect
from tests.policy.judging import UNKNOWN, codes, finding, judge, only, variant
from tests.support.facts import make_address, make_facts, no_vulnerabilities, versions

_BELOW = "TLS_VERSION_BELOW_MINIMUM"
_OLD = ("SSL_2_0", "SSL_3_0", "TLS_1_0", "TLS_1_1")


def _nothing_known(**overrides: object) -> dict[str, object]:
    return {
        "versions": (),
        "cipher_suites": (),
        "deployments": (),
        "http": HttpService.UNKNOWN,
        **overrides,
    }


def test_plain_text_http_denies_with_no_other_finding() -> None:
    verdict = judge(
        make_facts(**_nothing_known(tls=TlsService.PLAINTEXT_HTTP, remarks=("no TLS record",)))
    )
    assert verdict.decision is Decision.DENY
    assert codes(verdict) == ["TLS_NOT_SERVED"]
    assert "plain-text HTTP" in verdict.findings[0].message


@pytest.mark.parametrize("effect", ["off", "advisory"])
def test_plain_text_http_never_passes_because_its_finding_is_softened(effect: str) -> None:
    policy = variant(f'rules.tls.served.effects.TLS_NOT_SERVED = "{effect}"')
    assert (
        judge(make_facts(**_nothing_known(tls=TlsService.PLAINTEXT_HTTP)), policy).decision
        is Decision.INDETERMINATE
    )


def test_unknown_tls_is_reported_by_one_rule_only() -> None:
    verdict = judge(make_facts(**_nothing_known(tls=TlsService.UNKNOWN)))
    assert verdict.decision is Decision.INDETERMINATE
    assert [(finding.code, finding.rule_id) for finding in verdict.findings] == [
        (UNKNOWN, "tls.served")
    ]


def test_proven_facts_count_even_if_tls_is_unknown() -> None:
    assert (
        judge(make_facts(tls=TlsService.UNKNOWN, versions=versions(TLS_1_0=Support.YES))).decision
        is Decision.DENY
    )


def test_a_policy_without_tls_served_still_reports_unknown_facts() -> None:
    policy = variant('rules.tls.served.effects.TLS_NOT_SERVED = "off"')
    assert (
        judge(make_facts(**_nothing_known(tls=TlsService.UNKNOWN)), policy).decision
        is Decision.INDETERMINATE
    )


@pytest.mark.parametrize("name", _OLD)
@pytest.mark.parametrize(
    ("support", "expected"),
    [(Support.NO, []), (Support.YES, [_BELOW]), (Support.UNKNOWN, [UNKNOWN])],
)
def test_old_versions_must_be_proven_to_be_refused(
    name: str, support: Support, expected: list[str]
) -> None:
    verdict = judge(make_facts(versions=versions(**{name: support})))
    assert codes(verdict, "tls.minimum_version") == expected
    assert all(
        TlsVersion[name].label in one.message
        for one in verdict.findings
        if one.rule_id == "tls.minimum_version"
    )


def test_each_old_version_has_its_own_finding() -> None:
    verdict = judge(make_facts(versions=versions(**dict.fromkeys(_OLD, Support.YES))))
    messages = [finding.message for finding in verdict.findings if finding.code == _BELOW]
    assert sorted(message.partition(" is")[0] for message in messages) == [
        "SSL 2",
        "SSL 3",
        "TLS 1.0",
        "TLS 1.1",
    ]


@pytest.mark.parametrize(
    ("tls12", "tls13", "expected"),
    [
        (Support.YES, Support.NO, []),
        (Support.NO, Support.YES, []),
        (Support.YES, Support.UNKNOWN, []),
        (Support.NO, Support.NO, [_BELOW]),
        (Support.NO, Support.UNKNOWN, [UNKNOWN]),
        (Support.UNKNOWN, Support.UNKNOWN, [UNKNOWN]),
    ],
)
def test_one_permitted_version_is_enough_and_none_denies(
    tls12: Support, tls13: Support, expected: list[str]
) -> None:
    assert (
        codes(
            judge(make_facts(versions=versions(TLS_1_2=tls12, TLS_1_3=tls13))),
            "tls.minimum_version",
        )
        == expected
    )


def test_versions_that_were_not_measured_are_unknown() -> None:
    verdict = judge(make_facts(versions=()), only("tls.minimum_version"))
    assert verdict.decision is Decision.INDETERMINATE
    assert set(codes(verdict)) == {UNKNOWN}


def test_the_permitted_versions_are_a_parameter() -> None:
    policy = variant('rules.tls.minimum_version.parameters.permitted_versions = ["TLS 1.3"]')
    assert (
        finding(judge(make_facts(), policy), _BELOW).message
        == "TLS 1.2 is offered; only TLS 1.3 permitted"
    )


@pytest.mark.parametrize("vulnerability", list(Vulnerability))
@pytest.mark.parametrize(
    ("present", "expected"),
    [(Support.NO, []), (Support.YES, ["TLS_VULNERABLE"]), (Support.UNKNOWN, [UNKNOWN])],
)
def test_a_deep_measurement_must_prove_the_absence_of_each_vulnerability(
    vulnerability: Vulnerability, present: Support, expected: list[str]
) -> None:
    facts = tuple(
        VulnerabilityFact(vulnerability, present) if one.vulnerability is vulnerability else one
        for one in no_vulnerabilities()
    )
    verdict = judge(make_facts(depth=Depth.DEEP, addresses=(make_address(vulnerabilities=facts),)))
    assert codes(verdict) == expected


def test_a_vulnerability_that_was_not_measured_is_unknown_at_depth_deep() -> None:
    verdict = judge(make_facts(depth=Depth.DEEP))
    assert verdict.decision is Decision.INDETERMINATE
    assert codes(verdict, "tls.vulnerability") == [UNKNOWN]
    (found,) = verdict.findings
    assert all(vulnerability.value in found.message for vulnerability in Vulnerability)


def test_vulnerabilities_are_not_applicable_at_depth_standard() -> None:
    heartbleed = (VulnerabilityFact(Vulnerability.HEARTBLEED, Support.YES),)
    assert judge(make_facts(vulnerabilities=heartbleed)).decision is Decision.ALLOW


def test_a_denying_finding_says_what_was_observed_and_what_is_required() -> None:
    found = finding(judge(make_facts(versions=versions(TLS_1_0=Support.YES))), _BELOW)
    assert found.effect is Effect.DENY
    assert found.message == "TLS 1.0 is offered; only TLS 1.2 or TLS 1.3 permitted"
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in found.remediation
    assert "jdk.tls.disabledAlgorithms=" in found.remediation
    assert "One Time Payment Code" in found.citation


@pytest.mark.parametrize(
    ("support", "expected"),
    [
        (Support.YES, []),
        (Support.NO, ["TLS_VERSION_NOT_OFFERED"]),
        (Support.UNKNOWN, [UNKNOWN]),
    ],
)
def test_a_required_version_is_offered(support: Support, expected: list[str]) -> None:
    verdict = judge(make_facts(versions=versions(TLS_1_3=support)), only("tls.required_version"))
    assert codes(verdict, "tls.required_version") == expected
