"""What a chain is told that is longer than an authority allows, self-issued ones included.

Source: RFC 5280 6.1.4 (l): a self-issued intermediate counts towards no pathLen.
"""

from collections.abc import Sequence

import pytest

from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import ChainJudgement, TrustSource
from otpc_policy.pki.trust import Trust
from tests.support.forging import AT, ROOT, Made, authority, leaf

HOST = "partner.test"
ZERO = authority("Zero", by=ROOT, path_length=0)
RENEWED = authority("Zero", by=ZERO, key="ec384")
BELOW = authority("Below", by=ZERO)
BELOW_RENEWED = authority("Below", by=RENEWED)
OTHER_ROOT = authority("Other Root")
SHALLOW_ROOT = authority("Shallow Root", path_length=0)
BELOW_ROOT = authority("Below root", by=SHALLOW_ROOT)
TOO_LONG = (
    "{} allows 0 authorities below it (pathLen), and 1 stand there,"
    " self-issued ones not counted (RFC 5280 6.1.4)"
)


def judged(*chain: Made, roots: Sequence[Made] = (ROOT,)) -> ChainJudgement:
    return judge_chain(
        [certificate.der for certificate in chain],
        server_name=HOST,
        trust=Trust(mozilla_roots=tuple(root.der for root in roots)),
        stapled_ocsp_response=None,
        at=AT,
    )


@pytest.mark.parametrize("chain", [(leaf(ZERO), ZERO), (leaf(RENEWED), RENEWED, ZERO)])
def test_a_self_issued_intermediate_does_not_count(chain: Sequence[Made]) -> None:
    assert judged(*chain).trust is TrustSource.MOZILLA_ROOT


@pytest.mark.parametrize(
    ("chain", "roots", "said"),
    [
        ((leaf(BELOW), BELOW, ZERO), (ROOT,), TOO_LONG.format("CN=Zero")),
        (
            (leaf(BELOW_RENEWED), BELOW_RENEWED, RENEWED, ZERO),
            (ROOT,),
            TOO_LONG.format("CN=Zero"),
        ),
        (
            (leaf(BELOW_ROOT), BELOW_ROOT),
            (SHALLOW_ROOT,),
            TOO_LONG.format("CN=Shallow Root"),
        ),
        (
            (leaf(RENEWED), RENEWED, ZERO),
            (OTHER_ROOT,),
            "CN=Root, the issuer of CN=Zero, was not served and is not a trusted root",
        ),
        (
            (leaf(RENEWED), RENEWED, ZERO, ROOT),
            (OTHER_ROOT,),
            "the path ends at CN=Root, which is not a trusted root",
        ),
    ],
)
def test_the_reason_names_what_is_so(
    chain: Sequence[Made], roots: Sequence[Made], said: str
) -> None:
    judgement = judged(*chain, roots=roots)
    assert judgement.trust is TrustSource.NOTHING
    assert said in judgement.trust_failure


def test_an_authority_in_the_middle_that_may_not_issue_is_named() -> None:
    holder = leaf(ROOT)
    rogue = authority("Rogue", by=holder)
    judgement = judged(leaf(rogue), rogue, holder)
    assert "cannot stand on the path: it is not a CA certificate" in judgement.trust_failure
