"""certificate.revocation: each source may deny, either may prove, and a policy may demand proof."""

from datetime import timedelta

import pytest

from otpc_policy.pki.judgement import CrlStatus, StapleStatus
from otpc_policy.policy.evaluate import changes_at
from otpc_policy.policy.rule import PresentedChain
from otpc_policy.policy.rules.chain import CERTIFICATE_REVOCATION
from tests.policy.judging import (
    UNKNOWN,
    default_policy,
    make_judgement,
    make_view,
    reported,
    reports,
    variant,
)
from tests.support.facts import NOW

_REVOKED, _UNDETERMINED = "CERTIFICATE_REVOKED", "CERTIFICATE_REVOCATION_UNKNOWN"
_DEMANDING = variant('rules.certificate.revocation.parameters.proof = "required"')


@pytest.mark.parametrize(
    ("staple", "crl", "optional", "required"),
    [
        (StapleStatus.ABSENT, CrlStatus.GOOD, [], []),
        (StapleStatus.UNVERIFIED, CrlStatus.GOOD, [], []),
        (StapleStatus.GOOD, CrlStatus.UNVERIFIED, [], []),
        (StapleStatus.GOOD, CrlStatus.ABSENT, [], []),
        (StapleStatus.ABSENT, CrlStatus.UNVERIFIED, [_UNDETERMINED], [UNKNOWN]),
        (StapleStatus.UNVERIFIED, CrlStatus.UNVERIFIED, [_UNDETERMINED], [UNKNOWN]),
        (StapleStatus.ABSENT, CrlStatus.ABSENT, [], [UNKNOWN]),
        (StapleStatus.ABSENT, CrlStatus.NOT_EXAMINED, [], [UNKNOWN]),
        (StapleStatus.ABSENT, CrlStatus.REVOKED, [_REVOKED], [_REVOKED]),
        (StapleStatus.GOOD, CrlStatus.REVOKED, [_REVOKED], [_REVOKED]),
        (StapleStatus.UNDECIDED, CrlStatus.REVOKED, [_REVOKED], [_REVOKED]),
        (StapleStatus.REVOKED, CrlStatus.GOOD, [_REVOKED], [_REVOKED]),
        (StapleStatus.REVOKED, CrlStatus.REVOKED, [_REVOKED] * 2, [_REVOKED] * 2),
    ],
)
def test_each_source_may_deny_and_either_may_prove(
    staple: StapleStatus, crl: CrlStatus, optional: list[str], required: list[str]
) -> None:
    judgement = make_judgement(staple=staple, crl=crl, crl_detail="why")
    assert reported(CERTIFICATE_REVOCATION, judgement) == optional
    assert reported(CERTIFICATE_REVOCATION, judgement, policy=_DEMANDING) == required


def test_a_crl_does_not_replace_a_staple_that_the_leaf_demands() -> None:
    judgement = make_judgement(make_view(must_staple=True), crl=CrlStatus.GOOD)
    expected = ["CERTIFICATE_STAPLE_MISSING"]
    assert reported(CERTIFICATE_REVOCATION, judgement) == expected
    assert reported(CERTIFICATE_REVOCATION, judgement, policy=_DEMANDING) == expected


def test_a_chain_in_hand_proves_nothing_of_revocation() -> None:
    judgement = make_judgement()
    (report,) = reports(CERTIFICATE_REVOCATION, judgement, policy=_DEMANDING, staple_observed=False)
    assert report.code == UNKNOWN
    assert "CRLs are not looked at here" in report.message
    assert "a chain in hand comes without a stapled OCSP response" in report.message


@pytest.mark.parametrize("crl", [CrlStatus.REVOKED, CrlStatus.UNVERIFIED])
def test_the_finding_says_which_source_said_it(crl: CrlStatus) -> None:
    judgement = make_judgement(crl=crl, crl_detail="what the list says")
    (report,) = reports(CERTIFICATE_REVOCATION, judgement)
    assert "what the list says" in report.message
    evidence = report.evidence[0]
    assert (evidence.key, evidence.observed) == (
        "certificate_revocation_list",
        "what the list says",
    )


def test_a_verdict_ends_with_the_list_that_it_rests_on() -> None:
    ends_at = NOW + timedelta(minutes=5)
    judgement = make_judgement(crl=CrlStatus.GOOD, crl_changes_at=ends_at)
    presented = PresentedChain(judgement=judgement, staple_observed=True)
    assert changes_at([presented], default_policy(), [], NOW) == ends_at
