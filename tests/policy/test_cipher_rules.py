"""cipher.required, cipher.outside_set, cipher.insecure: pass, fail, unknown, boundary."""

import pytest

from otpc_policy.core.facts import CipherSuiteFact, Support, TlsVersion
from otpc_policy.policy.finding import Decision, Effect
from tests.policy.judging import UNKNOWN, codes, finding, judge, only, variant
from tests.support.facts import compliant_suites, make_facts, suite, versions

_SIX = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": 0xC02B,
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": 0xC02F,
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": 0xCCA9,
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": 0xCCA8,
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": 0xC023,
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": 0xC027,
}
_REQUIRED = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
_OTHER = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
_NONE, _LISTED, _INSECURE = (
    "CIPHER_SUITE_NONE_REQUIRED",
    "CIPHER_SUITE_NOT_LISTED",
    "CIPHER_SUITE_INSECURE",
)


def _required(*facts: CipherSuiteFact) -> list[str]:
    return codes(judge(make_facts(cipher_suites=facts), only("cipher.required")))


@pytest.mark.parametrize(("name", "code_point"), _SIX.items())
def test_each_of_the_six_satisfies_by_itself(name: str, code_point: int) -> None:
    assert suite(name).code_point == code_point
    assert _required(suite(name)) == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ((suite(_REQUIRED), suite(_OTHER)), []),
        ((suite(_OTHER),), [_NONE]),
        ((suite(_REQUIRED, support=Support.NO), suite(_OTHER)), [_NONE]),
        ((suite(_REQUIRED, over=TlsVersion.TLS_1_1), suite(_OTHER)), [_NONE]),
        ((suite(_REQUIRED, completed=False), suite(_OTHER)), [UNKNOWN]),
        (
            (
                suite(_REQUIRED, completed=False),
                suite("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
            ),
            [],
        ),
        ((suite(_REQUIRED, support=Support.UNKNOWN), suite(_OTHER)), [UNKNOWN]),
        ((suite(_REQUIRED, support=Support.NO),), [UNKNOWN]),
        ((), [UNKNOWN]),
    ],
    ids=[
        "works",
        "others only",
        "refused",
        "other version",
        "server hello only",
        "one of two completed",
        "unknown",
        "no suite accepted",
        "nothing measured",
    ],
)
def test_a_required_suite_must_have_completed_a_handshake_over_tls12(
    facts: tuple[CipherSuiteFact, ...], expected: list[str]
) -> None:
    assert _required(*facts) == expected


def test_the_message_for_a_server_with_tls13_alone_says_why_it_fails() -> None:
    suites = (suite("TLS_AES_128_GCM_SHA256", over=TlsVersion.TLS_1_3),)
    verdict = judge(
        make_facts(versions=versions(TLS_1_2=Support.NO), cipher_suites=suites),
        only("cipher.required"),
    )
    assert verdict.decision is Decision.DENY
    assert "TLS 1.3 has none of the required suites" in finding(verdict, _NONE).message


def test_without_any_modern_version_the_message_does_not_mention_tls13() -> None:
    verdict = judge(
        make_facts(versions=versions(TLS_1_2=Support.NO, TLS_1_3=Support.NO, TLS_1_0=Support.YES)),
        only("cipher.required"),
    )
    assert finding(verdict, _NONE).message.startswith("TLS 1.2 is not offered; one of")


def test_without_facts_about_tls12_the_required_suites_are_unknown() -> None:
    assert codes(
        judge(make_facts(versions=versions(TLS_1_2=Support.UNKNOWN)), only("cipher.required"))
    ) == [UNKNOWN]


def test_one_finding_lists_every_suite_outside_the_set_with_its_versions() -> None:
    extra = (
        suite(_OTHER),
        suite("TLS_RSA_WITH_AES_128_CBC_SHA", over=TlsVersion.TLS_1_0),
        suite("TLS_RSA_WITH_AES_128_CBC_SHA"),
        suite("0xEEEE"),
    )
    verdict = judge(
        make_facts(
            versions=versions(TLS_1_0=Support.YES), cipher_suites=(*compliant_suites(), *extra)
        )
    )
    found = finding(verdict, _LISTED)
    assert found.effect is Effect.ADVISORY
    observed = [item.observed for item in found.evidence]
    assert observed == [
        "TLS_RSA_WITH_AES_128_CBC_SHA (TLS 1.0, TLS 1.2)",
        f"{_OTHER} (TLS 1.2)",
        "0xEEEE (TLS 1.2)",
    ]
    assert all(one in found.message for one in observed)


def test_one_suite_too_many_is_allowed_with_an_advisory_and_denied_under_strict() -> None:
    facts = make_facts(cipher_suites=(*compliant_suites(), suite(_OTHER)))
    assert judge(facts).decision is Decision.ALLOW
    verdict = judge(facts, variant(base="otpc-2024-12-strict"))
    assert verdict.decision is Decision.DENY
    assert codes(verdict) == [_LISTED]


@pytest.mark.parametrize(
    ("setting", "effects"), [("permit", []), ("advise", [Effect.ADVISORY]), ("deny", [Effect.DENY])]
)
@pytest.mark.parametrize("effect", ["advisory", "deny"])
def test_the_suites_of_tls13_have_an_effect_of_their_own(
    setting: str, effects: list[Effect], effect: str
) -> None:
    policy = variant(
        "[rules.cipher.outside_set]\n"
        f'effects.CIPHER_SUITE_NOT_LISTED = "{effect}"\nparameters.tls13_suites = "{setting}"'
    )
    verdict = judge(make_facts(), policy)
    assert [finding.effect for finding in verdict.findings] == effects


@pytest.mark.parametrize(
    ("name", "is_permitted"),
    [
        ("TLS_AES_128_GCM_SHA256", True),
        ("0x1301", True),
        ("0x1305", True),
        ("0x1306", False),
        ("0x00C6", False),
    ],
)
def test_only_standard_tls13_suites_are_permitted_by_the_parameter(
    name: str, is_permitted: bool
) -> None:
    verdict = judge(
        make_facts(cipher_suites=(*compliant_suites(), suite(name, over=TlsVersion.TLS_1_3))),
        only("cipher.outside_set"),
    )
    assert codes(verdict) == ([] if is_permitted else [_LISTED])


@pytest.mark.parametrize("name", [_OTHER, _REQUIRED, "TLS_AES_128_CCM_8_SHA256", "0xEEEE"])
def test_any_unknown_suite_leaves_the_set_unknown(
    name: str,
) -> None:
    suites = (
        suite("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        suite("TLS_AES_128_GCM_SHA256", over=TlsVersion.TLS_1_3),
        suite(name, support=Support.UNKNOWN),
    )
    assert codes(judge(make_facts(cipher_suites=suites), only("cipher.outside_set"))) == [UNKNOWN]


@pytest.mark.parametrize("rule_id", ["cipher.outside_set", "cipher.insecure"])
def test_versions_whose_suites_were_not_seen_are_unknown(rule_id: str) -> None:
    assert codes(judge(make_facts(cipher_suites=compliant_suites()[:3]), only(rule_id))) == [
        UNKNOWN
    ]
    assert codes(judge(make_facts(versions=versions(TLS_1_0=Support.UNKNOWN)), only(rule_id))) == [
        UNKNOWN
    ]
    assert codes(judge(make_facts(versions=(), cipher_suites=()), only(rule_id))) == [UNKNOWN]


@pytest.mark.parametrize(
    ("name", "over", "lacks"),
    [
        ("TLS_RSA_WITH_NULL_SHA256", TlsVersion.TLS_1_2, "no encryption"),
        ("TLS_DH_anon_WITH_AES_128_CBC_SHA", TlsVersion.TLS_1_2, "no authentication"),
        ("TLS_RSA_EXPORT_WITH_RC4_40_MD5", TlsVersion.TLS_1_0, "export-grade keys"),
        ("TLS_SHA256_SHA256", TlsVersion.TLS_1_3, "no encryption"),
        ("TLS_ECDH_anon_WITH_NULL_SHA", TlsVersion.TLS_1_2, "no encryption, no authentication"),
    ],
)
@pytest.mark.parametrize(
    ("support", "expected"),
    [(Support.YES, [_INSECURE]), (Support.UNKNOWN, [UNKNOWN]), (Support.NO, [])],
)
def test_insecure_suites_deny_over_any_version(
    name: str, over: TlsVersion, lacks: str, support: Support, expected: list[str]
) -> None:
    verdict = judge(
        make_facts(cipher_suites=(*compliant_suites(), suite(name, over=over, support=support))),
        only("cipher.insecure"),
    )
    assert codes(verdict) == expected
    assert all(name in finding.message for finding in verdict.findings)
    assert support is not Support.YES or f"({lacks})" in verdict.findings[0].message


def test_an_accepted_suite_without_a_name_may_be_insecure() -> None:
    assert codes(
        judge(
            make_facts(cipher_suites=(*compliant_suites(), suite("0xEEEE"))),
            only("cipher.insecure"),
        )
    ) == [UNKNOWN]


def test_the_kinds_that_are_insecure_are_a_parameter() -> None:
    policy = variant('rules.cipher.insecure.parameters.kinds = ["anonymous"]')
    assert _INSECURE not in codes(
        judge(
            make_facts(cipher_suites=(*compliant_suites(), suite("TLS_RSA_WITH_NULL_SHA256"))),
            policy,
        )
    )
