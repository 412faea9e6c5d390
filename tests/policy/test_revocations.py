"""What a verdict says of the revocation of each leaf, and which source says it."""

import pytest

from otpc_policy.pki.judgement import ChainJudgement, CrlStatus, StapleStatus
from otpc_policy.policy.finding import RevocationSource
from otpc_policy.policy.revocations import revocations
from otpc_policy.policy.rule import PresentedChain
from tests.policy.judging import make_judgement, make_view

_STAPLE, _CRL = RevocationSource.STAPLE, RevocationSource.CRL


def said(*judgements: ChainJudgement) -> list[tuple[bool | None, RevocationSource | None, str]]:
    chains = [PresentedChain(judgement=each, staple_observed=True) for each in judgements]
    return [(each.is_revoked, each.source, each.detail) for each in revocations(chains)]


def judged(staple: StapleStatus, crl: CrlStatus) -> ChainJudgement:
    return make_judgement(staple=staple, staple_detail="staple", crl=crl, crl_detail="crl")


@pytest.mark.parametrize(
    ("staple", "crl", "expected"),
    [
        (StapleStatus.REVOKED, CrlStatus.GOOD, [(True, _STAPLE, "staple")]),
        (StapleStatus.GOOD, CrlStatus.REVOKED, [(True, _CRL, "crl")]),
        (StapleStatus.GOOD, CrlStatus.GOOD, [(False, _STAPLE, "staple")]),
        (StapleStatus.ABSENT, CrlStatus.GOOD, [(False, _CRL, "crl")]),
        (StapleStatus.UNVERIFIED, CrlStatus.UNVERIFIED, [(None, None, "crl; staple")]),
        (StapleStatus.UNVERIFIED, CrlStatus.ABSENT, [(None, None, "crl; staple")]),
        (StapleStatus.ABSENT, CrlStatus.UNVERIFIED, [(None, None, "crl; staple")]),
        (StapleStatus.ABSENT, CrlStatus.ABSENT, []),
        (StapleStatus.ABSENT, CrlStatus.NOT_EXAMINED, []),
    ],
)
def test_each_leaf_has_the_source_that_proves_most(
    staple: StapleStatus,
    crl: CrlStatus,
    expected: list[tuple[bool | None, RevocationSource | None, str]],
) -> None:
    assert said(judged(staple, crl)) == expected


def test_of_several_chains_of_one_leaf_the_worst_counts() -> None:
    good = judged(StapleStatus.GOOD, CrlStatus.UNVERIFIED)
    revoked = judged(StapleStatus.REVOKED, CrlStatus.UNVERIFIED)
    unproven = judged(StapleStatus.UNVERIFIED, CrlStatus.UNVERIFIED)
    for chains in ((unproven, good, revoked), (revoked, good, unproven)):
        assert said(*chains) == [(True, _STAPLE, "staple")]
    assert said(unproven, good) == [(False, _STAPLE, "staple")]


def test_leaves_are_told_apart_and_unread_ones_left_out() -> None:
    other = make_judgement(make_view(sha256="cc" * 32), staple=StapleStatus.GOOD)
    unread = make_judgement(None, staple=StapleStatus.UNVERIFIED)
    assert len(said(judged(StapleStatus.GOOD, CrlStatus.ABSENT), other, unread)) == 2
