"""mozilla-intermediate: another source, judged by the same rules.

What the guidelines permit passes, what they leave out does not.
"""

import pytest

from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.core.facts import CipherSuiteFact, HttpService, KeyType, Support, TlsVersion
from otpc_policy.core.registries.suites import suite_by_name
from otpc_policy.policy.finding import Decision
from otpc_policy.policy.registry import finding_codes
from otpc_policy.policy.rules import RULES
from tests.policy.judging import denied, finding, judge, make_judgement, make_view, reported
from tests.support.facts import deployments, make_facts, suite, versions

MOZILLA = load_builtin_policies().get("mozilla-intermediate")
# As the guidelines write them. Source: 5.7.json, intermediate: ciphers.openssl and ciphersuites.
TLS12 = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "DHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES256-GCM-SHA384",
    "DHE-RSA-CHACHA20-POLY1305",
)
TLS13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
EVERYTHING = (*map(suite, TLS12), *(suite(name, over=TlsVersion.TLS_1_3) for name in TLS13))


def test_the_sets_are_those_of_the_guidelines() -> None:
    parameters = {rule.id: rule.parameters for rule in MOZILLA.rules}
    names = {known.iana_name for name in TLS12 if (known := suite_by_name(name))}
    assert len(names) == 9
    assert set(parameters["cipher.required"]["suites"]) == names  # type: ignore[call-overload]
    assert set(parameters["cipher.outside_set"]["suites"]) == names | set(TLS13)  # type: ignore[call-overload]


def test_a_server_with_exactly_that_is_allowed() -> None:
    verdict = judge(make_facts(cipher_suites=EVERYTHING), MOZILLA)
    assert (verdict.decision, verdict.findings) == (Decision.ALLOW, ())


@pytest.mark.parametrize(
    "further",
    [
        suite("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"),
        suite("TLS_RSA_WITH_AES_128_GCM_SHA256"),
        suite("TLS_AES_128_CCM_SHA256", over=TlsVersion.TLS_1_3),
        suite("TLS_AES_128_CCM_8_SHA256", over=TlsVersion.TLS_1_3),
        suite("TLS_SM4_GCM_SM3", over=TlsVersion.TLS_1_3),
    ],
    ids=lambda one: hex(one.code_point),
)
def test_a_suite_outside_the_set_denies(further: CipherSuiteFact) -> None:
    assert denied(judge(make_facts(cipher_suites=(*EVERYTHING, further)), MOZILLA)) == [
        "CIPHER_SUITE_NOT_LISTED"
    ]


def test_the_remedy_names_the_suites_of_this_policy() -> None:
    verdict = judge(
        make_facts(cipher_suites=(*EVERYTHING, suite("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"))),
        MOZILLA,
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
    assert (
        denied(
            judge(
                make_facts(versions=versions(TLS_1_1=Support.YES), cipher_suites=EVERYTHING),
                MOZILLA,
            )
        )[0]
        == "TLS_VERSION_BELOW_MINIMUM"
    )


def test_a_modern_server_is_allowed_with_a_remark() -> None:
    modern = make_facts(
        versions=versions(TLS_1_2=Support.NO),
        cipher_suites=EVERYTHING[len(TLS12) :],
        deployments=tuple(
            deployment for deployment in deployments() if deployment.version is TlsVersion.TLS_1_3
        ),
    )
    verdict = judge(modern, MOZILLA)
    assert (verdict.decision, [finding.code for finding in verdict.findings]) == (
        Decision.ALLOW,
        ["CIPHER_SUITE_NONE_REQUIRED"],
    )


@pytest.mark.parametrize(
    ("key_type", "bits", "code"),
    [
        (KeyType.RSA, 2048, []),
        (KeyType.RSA, 2047, ["CERTIFICATE_KEY_WEAK"]),
        (KeyType.ECDSA, 256, []),
        (KeyType.EDDSA, 256, ["CERTIFICATE_KEY_WEAK"]),
        (KeyType.OTHER, 0, ["CERTIFICATE_KEY_WEAK"]),
    ],
)
def test_keys_are_ecdsa_or_rsa(key_type: KeyType, bits: int, code: list[str]) -> None:
    rule = next(known for known in RULES if known.id == "certificate.key")
    assert (
        reported(rule, make_judgement(make_view(key_type=key_type, key_bits=bits)), policy=MOZILLA)
        == code
    )


def test_http_is_not_judged() -> None:
    assert (
        judge(make_facts(cipher_suites=EVERYTHING, http=HttpService.NOT_SERVED), MOZILLA).decision
        is Decision.ALLOW
    )


def test_every_rule_cites_its_source() -> None:
    assert all(word in MOZILLA.source for word in ("Server Side TLS", "5.7", "Intermediate"))
    for rule in MOZILLA.rules:
        assert any(
            word in rule.citation for word in ("Server Side TLS 5.7", "guidelines are silent")
        ), rule.id
