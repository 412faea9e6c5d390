"""Why a leaf is not trusted: one sentence for each cause, with what is wrong and what is required.

What `openssl verify` says of the same chain stands beside it.
"""

import pytest

from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import ChainJudgement, TrustSource
from otpc_policy.pki.roots import limits_by_root
from otpc_policy.pki.trust import Trust
from tests.chains.case import UNTRUSTED, case
from tests.chains.second_opinion import openssl_accepts
from tests.pki.trust_failure_cases import FailureCase, failure_cases
from tests.support.forging import AT
from tests.support.requirements import require

CASES = failure_cases()
_EVERY = pytest.mark.parametrize("failure", CASES, ids=[each.name for each in CASES])


def judged(failure: FailureCase) -> ChainJudgement:
    return judge_chain(
        [made.der for made in failure.chain],
        server_name="partner.test",
        stapled_ocsp_response=None,
        trust=Trust(
            mozilla_roots=tuple(root.der for root in failure.roots),
            root_limits=limits_by_root(failure.limits),
        ),
        at=AT,
    )


@_EVERY
def test_the_reason_says_what_is_so(failure: FailureCase) -> None:
    judgement = judged(failure)
    assert (judgement.trust, judgement.trusted_if_valid) == (TrustSource.NOTHING, False)
    assert judgement.trust_failure == failure.said
    assert judgement.issuer_missing is failure.is_incomplete


@_EVERY
def test_every_reason_ends_with_what_is_required_and_is_short(failure: FailureCase) -> None:
    assert "required" in failure.said
    assert len(failure.said) < 400


@_EVERY
def test_openssl_refuses_the_chain_too(failure: FailureCase) -> None:
    require("openssl")
    chain = case(failure.name, "", failure.chain, UNTRUSTED, roots=failure.roots)
    accepts, said = openssl_accepts(chain)
    assert accepts is (failure.openssl == "OK"), said
    assert accepts is bool(failure.why_openssl_differs)
    assert failure.openssl in said
