"""Two measurements merged: agreement stays, a dispute is UNKNOWN, sslyze alone never makes a NO."""

import pytest

from otpc_policy.core.facts import Evidence, Support, TlsVersion
from otpc_policy.engine.facts.deep_comparison import SuiteClaim, compare
from tests.support.facts import make_address, suite, versions

YES, NO, UNKNOWN = Support.YES, Support.NO, Support.UNKNOWN
NAME, CODE_POINT = "TLS_RSA_WITH_AES_128_CBC_SHA", 0x002F


def claim(
    support: Support, *, over: TlsVersion = TlsVersion.TLS_1_2, completed: bool | None = None
) -> SuiteClaim:
    return SuiteClaim(
        version=over,
        code_point=CODE_POINT,
        support=support,
        handshake_completed=support is YES if completed is None else completed,
    )


@pytest.mark.parametrize(
    ("before", "said", "completed", "after", "disputes"),
    [
        (YES, YES, True, YES, []),
        (NO, NO, False, NO, []),
        (YES, NO, False, UNKNOWN, ["cipher_suite"]),
        (NO, YES, True, UNKNOWN, ["cipher_suite"]),
        (NO, YES, False, UNKNOWN, ["cipher_suite"]),
        (UNKNOWN, YES, True, YES, []),
        (UNKNOWN, YES, False, UNKNOWN, []),
        (UNKNOWN, NO, False, UNKNOWN, []),
    ],
)
def test_a_suite(
    before: Support, said: Support, completed: bool, after: Support, disputes: list[str]
) -> None:
    other = suite("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
    compared = compare(
        make_address(cipher_suites=(other, suite(NAME, support=before))),
        [claim(said, completed=completed)],
    )
    kept, fact = compared.facts.cipher_suites
    assert (kept, fact.support) == (other, after)
    assert (fact.evidence is Evidence.NONE) == (after is UNKNOWN)
    assert [one.subject for one in compared.contradictions] == disputes
    assert all(NAME in one.text for one in compared.contradictions)


def test_a_suite_that_was_not_asked_about_is_added_when_its_handshake_was_completed() -> None:
    compared = compare(make_address(cipher_suites=()), [claim(YES)])
    (fact,) = compared.facts.cipher_suites
    assert (fact.code_point, fact.support, fact.evidence, fact.handshake_completed) == (
        CODE_POINT,
        YES,
        Evidence.SERVER_HELLO,
        True,
    )
    assert (
        compare(
            make_address(cipher_suites=()), [claim(YES, completed=False), claim(NO)]
        ).facts.cipher_suites
        == ()
    )


def test_a_version_that_is_refused_by_proof_and_accepted_all_the_same_is_disputed_once() -> None:
    claims = [
        claim(YES, over=TlsVersion.TLS_1_0),
        SuiteClaim(
            version=TlsVersion.TLS_1_0, code_point=0x0035, support=YES, handshake_completed=True
        ),
    ]
    compared = compare(make_address(), claims)
    assert compared.facts.version(TlsVersion.TLS_1_0).support is UNKNOWN
    assert [one.subject for one in compared.contradictions] == ["version"]


def test_a_version_of_which_no_suite_is_left_is_disputed_too() -> None:
    standard = make_address(cipher_suites=(suite(NAME),))
    compared = compare(standard, [claim(NO)])
    assert compared.facts.version(TlsVersion.TLS_1_2).support is UNKNOWN
    assert [one.subject for one in compared.contradictions] == ["cipher_suite", "version"]


def test_a_version_that_is_unknown_becomes_known_by_a_completed_handshake_only() -> None:
    standard = make_address(versions=versions(TLS_1_0=UNKNOWN), cipher_suites=())
    assert (
        compare(standard, [claim(YES, over=TlsVersion.TLS_1_0)])
        .facts.version(TlsVersion.TLS_1_0)
        .support
        is YES
    )
    for unproven in (
        claim(YES, over=TlsVersion.TLS_1_0, completed=False),
        claim(NO, over=TlsVersion.TLS_1_0),
    ):
        assert compare(standard, [unproven]).facts.version(TlsVersion.TLS_1_0).support is UNKNOWN


def test_nothing_said_changes_nothing() -> None:
    assert compare(make_address(), []).facts == make_address()
