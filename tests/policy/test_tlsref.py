"""mozilla-intermediate and mozilla-modern: another source, judged by the same rules.

What the guidelines permit passes, what they leave out does not.
"""

from datetime import timedelta

import pytest

from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.core.facts import (
    CipherSuiteFact,
    EndpointFacts,
    HttpService,
    KeyType,
    Support,
    TlsVersion,
)
from otpc_policy.core.registries.suites import suite_by_name
from otpc_policy.policy.finding import Decision
from otpc_policy.policy.parameters import Permitted
from otpc_policy.policy.registry import finding_codes
from otpc_policy.policy.rules import RULES
from tests.policy.judging import denied, finding, judge, make_judgement, make_view, reported
from tests.support.facts import HOST, NOW, deployment, make_facts, root, suite, versions

POLICIES = load_builtin_policies()
INTERMEDIATE, MODERN = (POLICIES.get(f"mozilla-{name}") for name in ("intermediate", "modern"))
# As the guidelines write them. Source: 6.0.json, intermediate: ciphers.openssl and ciphersuites.
TLS12 = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
TLS13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
EVERYTHING = (*map(suite, TLS12), *(suite(name, over=TlsVersion.TLS_1_3) for name in TLS13))
# Source: 6.0.json, tls_curves.
GROUPS = ("X25519MLKEM768", "x25519", "secp256r1", "secp384r1")


def modern_server() -> EndpointFacts:
    """TLS 1.3 alone, with an ECDSA key certified for 90 days."""
    start = NOW - timedelta(days=1)
    certificate = root().issue(
        dns=(HOST,), not_before=start, not_after=start + timedelta(days=90, seconds=-1)
    )
    return make_facts(
        versions=versions(TLS_1_2=Support.NO),
        cipher_suites=EVERYTHING[len(TLS12) :],
        deployments=(
            deployment(TlsVersion.TLS_1_3, KeyType.ECDSA, chain=certificate.chain_der),
            deployment(TlsVersion.TLS_1_3, KeyType.RSA, support=Support.NO),
        ),
    )


def test_the_sets_are_those_of_the_guidelines() -> None:
    parameters = {rule.id: rule.parameters for rule in INTERMEDIATE.rules}
    names = {known.iana_name for name in TLS12 if (known := suite_by_name(name))}
    assert len(names) == 6
    assert set(parameters["cipher.required"]["suites"]) == names  # type: ignore[call-overload]
    for policy, listed in ((INTERMEDIATE, names | set(TLS13)), (MODERN, set(TLS13))):
        values = {rule.id: rule.parameters for rule in policy.rules}
        suites = values["cipher.outside_set"]["suites"]
        groups = values["group.outside_set"]["groups"]
        assert isinstance(suites, Permitted)
        assert isinstance(groups, Permitted)
        assert (set(suites.names), groups.names) == (listed, GROUPS)
        assert not {*suites.until, *groups.until}


@pytest.mark.parametrize(
    ("policy", "days", "versions_"),
    [(INTERMEDIATE, 366, ("TLS 1.2", "TLS 1.3")), (MODERN, 90, ("TLS 1.3",))],
)
def test_lifetimes_and_versions_are_those_of_the_guidelines(
    policy: object, days: int, versions_: tuple[str, ...]
) -> None:
    """Source: 6.0.json, maximum_certificate_lifespan and tls_versions."""
    rules = {rule.id: rule for rule in policy.rules}  # type: ignore[attr-defined]
    assert rules["certificate.lifetime"].parameters["maximum_days"] == days
    assert rules["tls.minimum_version"].parameters["permitted_versions"].names == versions_


def test_a_server_with_exactly_that_is_allowed() -> None:
    verdict = judge(make_facts(cipher_suites=EVERYTHING), INTERMEDIATE)
    assert (verdict.decision, verdict.findings) == (Decision.ALLOW, ())
    verdict = judge(modern_server(), MODERN)
    assert (verdict.decision, verdict.findings) == (Decision.ALLOW, ())


@pytest.mark.parametrize(
    "further",
    [
        suite("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"),
        suite("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"),
        suite("TLS_RSA_WITH_AES_128_GCM_SHA256"),
        suite("TLS_AES_128_CCM_SHA256", over=TlsVersion.TLS_1_3),
        suite("TLS_AES_128_CCM_8_SHA256", over=TlsVersion.TLS_1_3),
        suite("TLS_SM4_GCM_SM3", over=TlsVersion.TLS_1_3),
    ],
    ids=lambda one: hex(one.code_point),
)
def test_a_suite_outside_the_set_denies(further: CipherSuiteFact) -> None:
    assert denied(judge(make_facts(cipher_suites=(*EVERYTHING, further)), INTERMEDIATE)) == [
        "CIPHER_SUITE_NOT_LISTED"
    ]


def test_the_remedy_names_the_suites_of_this_policy() -> None:
    verdict = judge(
        make_facts(cipher_suites=(*EVERYTHING, suite("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"))),
        INTERMEDIATE,
    )
    assert (
        "This policy lists other suites for TLS 1.2 than the lines below; write these instead, in"
        f" OpenSSL's names: {':'.join(TLS12)}\n"
        in (finding(verdict, "CIPHER_SUITE_NOT_LISTED").remediation)
    )
    standard = judge(make_facts(cipher_suites=EVERYTHING))
    assert (
        finding(standard, "CIPHER_SUITE_NOT_LISTED").remediation
        == finding_codes()["CIPHER_SUITE_NOT_LISTED"].remedy_text
    )


def test_an_old_version_denies() -> None:
    facts = make_facts(versions=versions(TLS_1_1=Support.YES), cipher_suites=EVERYTHING)
    assert denied(judge(facts, INTERMEDIATE))[0] == "TLS_VERSION_BELOW_MINIMUM"


def test_tls_1_2_denies_under_modern_and_the_remedy_permits_tls_1_3_alone() -> None:
    verdict = judge(make_facts(cipher_suites=EVERYTHING), MODERN)
    assert "permit these instead, and no others: TLS 1.3\n" in (
        finding(verdict, "TLS_VERSION_BELOW_MINIMUM").remediation
    )
    assert {"CIPHER_SUITE_NOT_LISTED", "CERTIFICATE_KEY_WEAK"} <= set(denied(verdict))


def test_a_modern_server_is_allowed_by_intermediate_with_a_remark() -> None:
    verdict = judge(modern_server(), INTERMEDIATE)
    assert (verdict.decision, [finding.code for finding in verdict.findings]) == (
        Decision.ALLOW,
        ["CIPHER_SUITE_NONE_REQUIRED"],
    )


@pytest.mark.parametrize(
    ("key_type", "bits", "code", "of_modern"),
    [
        (KeyType.RSA, 2048, [], ["CERTIFICATE_KEY_WEAK"]),
        (KeyType.RSA, 2047, ["CERTIFICATE_KEY_WEAK"], ["CERTIFICATE_KEY_WEAK"] * 2),
        (KeyType.ECDSA, 256, [], []),
        (KeyType.EDDSA, 256, ["CERTIFICATE_KEY_WEAK"], ["CERTIFICATE_KEY_WEAK"]),
        (KeyType.OTHER, 0, ["CERTIFICATE_KEY_WEAK"], ["CERTIFICATE_KEY_WEAK"]),
    ],
)
def test_keys_are_ecdsa_or_rsa(
    key_type: KeyType, bits: int, code: list[str], of_modern: list[str]
) -> None:
    rule = next(known for known in RULES if known.id == "certificate.key")
    judgement = make_judgement(make_view(key_type=key_type, key_bits=bits))
    assert reported(rule, judgement, policy=INTERMEDIATE) == code
    assert reported(rule, judgement, policy=MODERN) == of_modern


def test_an_authority_with_an_rsa_key_may_certify_a_modern_leaf() -> None:
    rule = next(known for known in RULES if known.id == "certificate.key")
    issuer = make_view(key_type=KeyType.RSA, key_bits=2048, der=b"issuer")
    assert reported(rule, make_judgement(make_view(), issuer), policy=MODERN) == []


def test_http_is_not_judged() -> None:
    facts = make_facts(cipher_suites=EVERYTHING, http=HttpService.NOT_SERVED)
    assert judge(facts, INTERMEDIATE).decision is Decision.ALLOW


@pytest.mark.parametrize("level", ["intermediate", "modern"])
def test_every_rule_cites_its_source(level: str) -> None:
    policy = POLICIES.get(f"mozilla-{level}")
    assert all(word in policy.source for word in ("TLSRef", "6.0", "2026-04-06", level))
    for rule in policy.rules:
        assert any(
            word in rule.citation
            for word in (f"TLSRef 6.0, {level}", "source is silent", "source is for every server")
        ), rule.id
