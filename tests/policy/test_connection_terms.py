"""The terms of a connection are those under which every allowed endpoint answers, and no weaker."""

import pytest

from otpc_policy.core.facts import TlsVersion
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.policy.connection_terms import connection_terms
from otpc_policy.policy.finding import Effect, Finding, Severity
from otpc_policy.policy.model import Policy
from tests.policy.judging import default_policy, variant
from tests.support.facts import NOW

V12, V13 = TlsVersion.TLS_1_2, TlsVersion.TLS_1_3
SIX = {0xC023, 0xC027, 0xC02B, 0xC02F, 0xCCA8, 0xCCA9}
STANDARD = set(range(0x1301, 0x1306))
AES_256 = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
NULL = "TLS_RSA_WITH_NULL_SHA256"
REQUIRED, OUTSIDE = "rules.cipher.required", "rules.cipher.outside_set"
NONE_REQUIRED = f'{REQUIRED}.effects.CIPHER_SUITE_NONE_REQUIRED = "off"\n'
REQUIRES_AES_256 = f'{REQUIRED}.parameters.suites = ["{AES_256}"]\n'
SET_DENIES = f'{OUTSIDE}.effects.CIPHER_SUITE_NOT_LISTED = "deny"\n'
ONLY_TLS13 = 'rules.tls.minimum_version.parameters.permitted_versions = ["TLS 1.3"]\n'
ONLY_TLS12 = 'rules.tls.minimum_version.parameters.permitted_versions = ["TLS 1.2"]\n'


def waived(code: str, *about: str) -> Finding:
    return Finding(
        code=code,
        severity=Severity.HIGH,
        effect=Effect.WAIVED,
        rule_id="",
        message="",
        remediation="",
        citation="",
        about=about,
    )


def terms(*policies: Policy, findings: tuple[Finding, ...] = ()) -> tuple[object, set[int]]:
    made = connection_terms(policies, findings, NOW)
    assert list(made.cipher_suites) == sorted(set(made.cipher_suites))
    return made.versions, set(made.cipher_suites)


def test_the_default_policy_lets_its_six_suites_and_those_of_tls_1_3() -> None:
    assert terms(default_policy()) == ((V12, V13), SIX | STANDARD)


@pytest.mark.parametrize(
    ("toml", "versions", "suites"),
    [
        # What is required may be offered, though the set advises against it.
        (REQUIRES_AES_256, (V12, V13), SIX | STANDARD | {0xC030}),
        # Not so where the set denies it: such a policy allows no endpoint over TLS 1.2.
        (REQUIRES_AES_256 + SET_DENIES, (V12, V13), SIX | STANDARD),
        # Nothing guarantees that an allowed endpoint accepts a suite of the set.
        (NONE_REQUIRED, (V12, V13), set()),
        (NONE_REQUIRED + SET_DENIES, (V12, V13), SIX | STANDARD),
        (f'{OUTSIDE}.parameters.tls13_suites = "deny"\n', (V12,), SIX),
        (f'{OUTSIDE}.parameters.tls13_suites = "advise"\n', (V12, V13), SIX | STANDARD),
        (ONLY_TLS13, (V13,), STANDARD),
        (ONLY_TLS12, (V12,), SIX),
        # An older version is never offered: its certificates are not measured.
        (
            'rules.tls.minimum_version.parameters.permitted_versions = ["TLS 1.1", "TLS 1.2"]\n',
            (V12,),
            SIX,
        ),
        (
            ONLY_TLS13 + 'rules.tls.minimum_version.effects.TLS_VERSION_BELOW_MINIMUM = "off"\n',
            (V12, V13),
            SIX | STANDARD,
        ),
        # No version and no suite at all is "do not connect", never "offer what you like".
        (ONLY_TLS13 + f'{OUTSIDE}.parameters.tls13_suites = "deny"\n', (), set()),
        (f'{REQUIRED}.parameters.suites = ["{NULL}"]\n', (V12, V13), SIX | STANDARD),
        ("enforcing = false\n" + SET_DENIES + ONLY_TLS13, (V12, V13), set()),
    ],
)
def test_terms_follow_what_the_policy_denies(
    toml: str, versions: tuple[TlsVersion, ...], suites: set[int]
) -> None:
    assert terms(variant(toml)) == (versions, suites)


def test_of_two_policies_each_denies_for_itself() -> None:
    strict = variant(SET_DENIES)
    assert terms(variant(REQUIRES_AES_256), strict) == ((V12, V13), SIX | STANDARD)
    assert terms(default_policy(), variant(ONLY_TLS13)) == ((V13,), STANDARD)
    assert terms(variant(ONLY_TLS12), variant(ONLY_TLS13)) == ((), set())
    on_trial = variant("enforcing = false\n" + ONLY_TLS13)
    assert terms(default_policy(), on_trial) == terms(default_policy())


def test_what_a_waiver_covers_may_be_offered() -> None:
    none_required = waived("CIPHER_SUITE_NONE_REQUIRED", AES_256)
    assert terms(default_policy(), findings=(none_required,))[1] == SIX | STANDARD | {0xC030}
    not_listed = waived("CIPHER_SUITE_NOT_LISTED", AES_256)
    assert terms(variant(SET_DENIES), findings=(not_listed,))[1] == SIX | STANDARD | {0xC030}
    old = waived("TLS_VERSION_BELOW_MINIMUM", "TLS 1.0", "TLS 1.2")
    assert terms(variant(ONLY_TLS13), findings=(old,)) == ((V12, V13), SIX | STANDARD)


def test_a_waiver_of_insecure_suites_does_not_let_the_router_use_them() -> None:
    insecure = waived("CIPHER_SUITE_INSECURE", NULL)
    assert terms(default_policy(), findings=(insecure,)) == terms(default_policy())
    none_required = waived("CIPHER_SUITE_NONE_REQUIRED", NULL)
    assert terms(default_policy(), findings=(none_required,)) == terms(default_policy())


@pytest.mark.parametrize("base", ["otpc-2024-12", "otpc-2024-12-strict", "mozilla-intermediate"])
def test_no_builtin_policy_lets_a_suite_without_encryption_or_authentication(base: str) -> None:
    versions, suites = terms(variant(base=base))
    assert versions == (V12, V13)
    for code_point in suites:
        suite = suite_by_code_point(code_point)
        assert suite is not None
        weak = (suite.is_null, suite.is_anonymous, suite.is_export, suite.is_integrity_only)
        assert not any(weak)
