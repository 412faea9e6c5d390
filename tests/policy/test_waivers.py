"""A waiver suspends exactly the denial that it covers, exactly until it ends, and never what must
not be waived.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from otpc_policy.core.facts import EndpointFacts, ForbiddenAddress, Support, TlsService, TlsVersion
from otpc_policy.policy.evaluate import evaluate
from otpc_policy.policy.finding import Decision, Effect, Verdict
from otpc_policy.policy.registry import finding_codes
from otpc_policy.policy.waivers import Waiver, problem_with_waived_code
from tests.policy.judging import default_policy, finding, variant
from tests.support.certificates import self_signed
from tests.support.facts import (
    NOW,
    compliant_suites,
    deployments,
    make_facts,
    make_trust,
    root,
    suite,
    versions,
)

ENDS = NOW + timedelta(days=3)
INSTANT = timedelta(microseconds=1)
CBC, GCM = "TLS_RSA_WITH_AES_128_CBC_SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256"
NEVER = {
    "TLS_NOT_SERVED",
    "CERTIFICATE_UNTRUSTED",
    "CERTIFICATE_NAME_MISMATCH",
    "CERTIFICATE_REVOKED",
    "TARGET_ADDRESS_FORBIDDEN",
}


def waiver(code: str, *covers: str, ends_at: Any = ENDS) -> Waiver:
    return Waiver(
        code=code,
        covers=frozenset(covers),
        reason="change window",
        owner="onboarding@example.com",
        ends_at=ends_at,
    )


def judge(facts: EndpointFacts, *waivers: Waiver, at: Any = NOW, toml: str = "") -> Verdict:
    return evaluate(
        facts,
        variant(toml) if toml else default_policy(),
        trust=make_trust(),
        now=at,
        waivers=waivers,
    )


def old(*names: str) -> EndpointFacts:
    """A server that also offers these versions, each with a suite that a required one is."""
    return make_facts(
        versions=versions(**{TlsVersion[name].name: Support.YES for name in names}),
        cipher_suites=(
            *compliant_suites(),
            *(
                suite("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", over=TlsVersion[name])
                for name in names
            ),
        ),
    )


def accepting(*suites: str) -> EndpointFacts:
    return make_facts(cipher_suites=(*compliant_suites(), *(suite(one) for one in suites)))


UNLISTED_DENIES = 'rules.cipher.outside_set.effects.CIPHER_SUITE_NOT_LISTED = "deny"'


def test_a_waived_denial_permits_and_says_until_when() -> None:
    verdict = judge(old("TLS_1_1"), waiver("TLS_VERSION_BELOW_MINIMUM", "TLS 1.1"))
    found = finding(verdict, "TLS_VERSION_BELOW_MINIMUM")
    assert (verdict.decision, found.effect, found.waiver_ends_at) == (
        Decision.ALLOW,
        Effect.WAIVED,
        ENDS,
    )
    assert found.message.endswith("waived until 2026-03-05 12:00:00 UTC")
    assert ("waiver", "change window (owner: onboarding@example.com)") in {
        (item.key, item.observed) for item in found.evidence
    }


@pytest.mark.parametrize(
    ("at", "decision"),
    [(ENDS - INSTANT, Decision.ALLOW), (ENDS, Decision.DENY), (ENDS + INSTANT, Decision.DENY)],
)
def test_a_waiver_ends_at_its_instant(at: Any, decision: Decision) -> None:
    assert (
        judge(old("TLS_1_1"), waiver("TLS_VERSION_BELOW_MINIMUM", "TLS 1.1"), at=at).decision
        is decision
    )


def test_a_verdict_changes_at_the_end_of_a_waiver() -> None:
    assert judge(old("TLS_1_1"), waiver("TLS_VERSION_BELOW_MINIMUM", "TLS 1.1")).changes_at == ENDS


def test_each_version_needs_to_be_covered() -> None:
    verdict = judge(old("TLS_1_0", "TLS_1_1"), waiver("TLS_VERSION_BELOW_MINIMUM", "TLS 1.1"))
    effects = {
        finding.about: finding.effect
        for finding in verdict.findings
        if finding.code == "TLS_VERSION_BELOW_MINIMUM"
    }
    assert effects == {("TLS 1.0",): Effect.DENY, ("TLS 1.1",): Effect.WAIVED}
    assert verdict.decision is Decision.DENY


def test_that_no_permitted_version_is_offered_cannot_be_waived() -> None:
    facts = make_facts(
        versions=versions(TLS_1_1=Support.YES, TLS_1_2=Support.NO, TLS_1_3=Support.NO),
        cipher_suites=(suite(CBC, over=TlsVersion.TLS_1_1),),
    )
    verdict = judge(
        facts, waiver("TLS_VERSION_BELOW_MINIMUM", *(version.label for version in TlsVersion))
    )
    assert [
        finding.effect for finding in verdict.findings if finding.about == ("no permitted version",)
    ] == [Effect.DENY]


@pytest.mark.parametrize(
    ("accepted", "covered", "effect", "says"),
    [
        ((CBC,), ((CBC,),), Effect.WAIVED, "waived until"),
        ((CBC, GCM), ((CBC,),), Effect.DENY, f"do not cover {GCM}"),
        ((CBC, GCM), ((CBC, GCM),), Effect.WAIVED, "waived until"),
        ((CBC, GCM), ((CBC,), (GCM,)), Effect.WAIVED, "waived until"),
        ((CBC,), ((GCM,),), Effect.DENY, f"do not cover {CBC}"),
        (("0xEEEE",), ((CBC,),), Effect.DENY, "do not cover 0xEEEE"),
    ],
)
def test_a_finding_about_suites_is_waived_only_as_a_whole(
    accepted: Iterable[str], covered: Iterable[Iterable[str]], effect: Effect, says: str
) -> None:
    verdict = judge(
        accepting(*accepted),
        *(waiver("CIPHER_SUITE_NOT_LISTED", *names) for names in covered),
        toml=UNLISTED_DENIES,
    )
    found = finding(verdict, "CIPHER_SUITE_NOT_LISTED")
    assert (found.effect, says in found.message) == (effect, True), found.message


def test_waivers_that_cover_together_end_with_the_first_of_them() -> None:
    both = (
        waiver("CIPHER_SUITE_NOT_LISTED", CBC),
        waiver("CIPHER_SUITE_NOT_LISTED", GCM, ends_at=ENDS + timedelta(days=1)),
    )
    assert (
        finding(
            judge(accepting(CBC, GCM), *both, toml=UNLISTED_DENIES), "CIPHER_SUITE_NOT_LISTED"
        ).waiver_ends_at
        == ENDS
    )
    assert finding(
        judge(accepting(GCM), *both, toml=UNLISTED_DENIES), "CIPHER_SUITE_NOT_LISTED"
    ).waiver_ends_at == ENDS + timedelta(days=1)
    longer = waiver("CIPHER_SUITE_NOT_LISTED", CBC, GCM, ends_at=ENDS + timedelta(days=9))
    found = finding(
        judge(accepting(CBC, GCM), *both, longer, toml=UNLISTED_DENIES), "CIPHER_SUITE_NOT_LISTED"
    )
    assert found.waiver_ends_at == longer.ends_at


def test_a_server_without_a_required_suite_is_waived_by_what_it_accepts_instead() -> None:
    facts = make_facts(
        cipher_suites=(suite(GCM), suite("TLS_AES_128_GCM_SHA256", over=TlsVersion.TLS_1_3))
    )
    code = "CIPHER_SUITE_NONE_REQUIRED"
    assert finding(judge(facts, waiver(code, GCM)), code).effect is Effect.WAIVED
    assert finding(judge(facts, waiver(code, "TLS 1.2", "TLS 1.3")), code).effect is Effect.DENY
    only_tls13 = make_facts(
        versions=versions(TLS_1_2=Support.NO),
        cipher_suites=(suite("TLS_AES_128_GCM_SHA256", over=TlsVersion.TLS_1_3),),
    )
    assert finding(judge(only_tls13, waiver(code, "TLS 1.3")), code).effect is Effect.WAIVED
    assert finding(judge(only_tls13, waiver(code, GCM)), code).effect is Effect.DENY


def test_an_insecure_suite_is_waived_by_name() -> None:
    facts = accepting("TLS_RSA_WITH_NULL_SHA256")
    assert (
        finding(
            judge(facts, waiver("CIPHER_SUITE_INSECURE", "TLS_RSA_WITH_NULL_SHA256")),
            "CIPHER_SUITE_INSECURE",
        ).effect
        is Effect.WAIVED
    )
    assert (
        finding(
            judge(facts, waiver("CIPHER_SUITE_INSECURE", "TLS_RSA_WITH_NULL_SHA")),
            "CIPHER_SUITE_INSECURE",
        ).effect
        is Effect.DENY
    )


def test_unknown_is_never_waived() -> None:
    facts = make_facts(versions=versions(TLS_1_1=Support.UNKNOWN))
    verdict = judge(
        facts, waiver("TLS_VERSION_BELOW_MINIMUM", "TLS 1.1"), waiver("MEASUREMENT_INCOMPLETE")
    )
    assert verdict.decision is Decision.INDETERMINATE


def test_a_code_without_parts_is_waived_by_its_name_until_the_last_waiver_ends() -> None:
    expired = (
        root()
        .issue(
            dns=("partner.test",),
            not_before=NOW - timedelta(days=90),
            not_after=NOW - timedelta(days=1),
        )
        .chain_der
    )
    facts = make_facts(deployments=deployments(expired))
    later = ENDS + timedelta(days=1)
    verdict = judge(
        facts, waiver("CERTIFICATE_EXPIRED"), waiver("CERTIFICATE_EXPIRED", ends_at=later)
    )
    assert (verdict.decision, finding(verdict, "CERTIFICATE_EXPIRED").waiver_ends_at) == (
        Decision.ALLOW,
        later,
    )


def _dated(name: str = "partner.test") -> tuple[bytes, ...]:
    return (
        root()
        .issue(dns=(name,), not_before=NOW - timedelta(days=1), not_after=NOW + timedelta(days=90))
        .chain_der
    )


def _revoked() -> EndpointFacts:
    revoked = root().issue(
        dns=("partner.test",),
        not_before=NOW - timedelta(days=1),
        not_after=NOW + timedelta(days=90),
    )
    staple = root().ocsp_response(
        revoked.certificate, status="revoked", this_update=NOW - timedelta(hours=1)
    )
    return make_facts(deployments=deployments(revoked.chain_der, staple=staple))


@pytest.mark.parametrize(
    ("code", "facts"),
    [
        ("TLS_NOT_SERVED", make_facts(tls=TlsService.PLAINTEXT_HTTP)),
        (
            "CERTIFICATE_UNTRUSTED",
            make_facts(
                deployments=deployments(
                    self_signed(not_before=NOW, not_after=NOW + timedelta(days=90)).chain_der
                )
            ),
        ),
        ("CERTIFICATE_NAME_MISMATCH", make_facts(deployments=deployments(_dated("other.test")))),
        ("CERTIFICATE_REVOKED", _revoked()),
        (
            "TARGET_ADDRESS_FORBIDDEN",
            make_facts(forbidden=(ForbiddenAddress("127.0.0.1", "loopback"),)),
        ),
    ],
)
def test_what_can_never_be_waived_denies_whatever_a_waiver_says(
    code: str, facts: EndpointFacts
) -> None:
    assert code in NEVER
    assert problem_with_waived_code(code) == f"{code} can never be waived"
    verdict = judge(facts, waiver(code))
    assert (verdict.decision, finding(verdict, code).effect) == (Decision.DENY, Effect.DENY)


def test_only_denials_that_a_policy_sets_can_be_waived() -> None:
    waivable = {code for code in finding_codes() if problem_with_waived_code(code) is None}
    assert (
        waivable
        == {code for code, entry in finding_codes().items() if entry.effect is None} - NEVER
    )
    assert problem_with_waived_code("NO_SUCH_CODE") == "'NO_SUCH_CODE' is not a finding code"


def test_an_advisory_is_not_waived() -> None:
    assert (
        finding(
            judge(accepting(CBC), waiver("CIPHER_SUITE_NOT_LISTED", CBC)), "CIPHER_SUITE_NOT_LISTED"
        ).effect
        is Effect.ADVISORY
    )
