"""Order and completeness of the served chain, and bounds for hostile ones."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import ChainJudgement, NameMatch, StapleStatus, TrustSource
from otpc_policy.pki.roots import mozilla_roots
from otpc_policy.pki.served import MAX_CERTIFICATES, read_chain
from otpc_policy.pki.trust import Trust
from tests.pki.test_certificate import X509_VECTORS, certificates_in
from tests.support.certificates import CertificateAuthority, self_signed

NOW = datetime.now(UTC)
ROOT = CertificateAuthority.create("Root")
UPPER = ROOT.intermediate("Upper")
LOWER = UPPER.intermediate("Lower")
ISSUED = LOWER.issue()
LEAF, LOW, UP, TOP = ISSUED.der, LOWER.der, UPPER.der, ROOT.der
ALIEN = CertificateAuthority.create("Alien Root").intermediate("Alien").der


def judge(chain: Sequence[bytes], *, roots: Sequence[bytes] = (TOP,)) -> ChainJudgement:
    trust = Trust(mozilla_roots=tuple(roots))
    return judge_chain(
        chain, server_name="partner.test", stapled_ocsp_response=None, trust=trust, at=NOW
    )


@pytest.mark.parametrize(
    ("chain", "path", "misordered"),
    [
        ((LEAF, LOW, UP), (0, 1, 2), False),
        ((LEAF, LOW, UP, TOP), (0, 1, 2, 3), False),
        ((LEAF, UP, LOW), (0, 2, 1), True),
        ((LEAF, TOP, UP, LOW), (0, 3, 2, 1), True),
        ((LEAF, ALIEN, LOW, UP), (0, 2, 3), True),
        ((LEAF, LOW, UP, ALIEN), (0, 1, 2), True),
        ((LEAF, LOW, LOW, UP), (0, 1, 3), True),
        ((LEAF, LEAF, LOW, UP), (0, 2, 3), True),
        ((LEAF, LOW, UP, TOP, TOP), (0, 1, 2, 3), True),
        ((LEAF, LOW, b"garbage", UP), (0, 1, 3), False),
    ],
)
def test_order(chain: Sequence[bytes], path: tuple[int, ...], misordered: bool) -> None:
    judgement = judge(chain)
    assert (judgement.trust, judgement.path, judgement.misordered) == (
        TrustSource.MOZILLA_ROOT,
        path,
        misordered,
    )
    assert not judgement.issuer_missing


@pytest.mark.parametrize(
    ("chain", "roots", "path", "issuer_missing"),
    [
        # An intermediate is missing below, between, or above.
        ((LEAF,), (TOP,), (0,), True),
        ((LEAF, UP), (TOP,), (0,), True),
        ((LEAF, LOW), (TOP,), (0, 1), True),
        ((LEAF, ALIEN), (TOP,), (0,), True),
        # The chain is whole, and its root is unknown.
        ((LEAF, LOW, UP, TOP), (), (0, 1, 2, 3), False),
    ],
)
def test_completeness(
    chain: Sequence[bytes], roots: Sequence[bytes], path: tuple[int, ...], issuer_missing: bool
) -> None:
    judgement = judge(chain, roots=roots)
    assert (judgement.trust, judgement.path, judgement.issuer_missing) == (
        TrustSource.NOTHING,
        path,
        issuer_missing,
    )
    assert not judgement.trusted_if_valid


def test_an_issuer_that_is_a_root_is_not_missing_even_if_the_path_fails() -> None:
    twin = CertificateAuthority.create("Root")
    judgement = judge((LEAF, LOW, UP), roots=(twin.der,))
    assert (judgement.trust, judgement.issuer_missing) == (TrustSource.NOTHING, False)


def test_a_self_signed_leaf_misses_nothing() -> None:
    judgement = judge((self_signed().der,))
    assert (judgement.path, judgement.issuer_missing, judgement.misordered) == ((0,), False, False)


def test_a_cross_certificate_at_the_end_is_in_order() -> None:
    """The shape that Let's Encrypt served for years: the path stops at a root whose cross
    certificate is sent as well.
    """
    cross = CertificateAuthority.create("Old Root").intermediate("Root", own_key=ROOT.private_key)
    judgement = judge((LEAF, LOW, UP, cross.der))
    assert (judgement.trust, judgement.path, judgement.misordered) == (
        TrustSource.MOZILLA_ROOT,
        (0, 1, 2),
        False,
    )


def test_only_certificates_of_this_handshake_help() -> None:
    assert judge((LEAF, LOW, UP)).trust is TrustSource.MOZILLA_ROOT
    assert judge((LEAF,)).trust is TrustSource.NOTHING


def test_a_malformed_leaf_is_an_entry_and_nothing_else_is_claimed() -> None:
    judgement = judge((b"garbage", LOW, UP))
    assert judgement.leaf is None
    assert [(one.index, one.reason) for one in judgement.malformed] == [
        (0, "its structure cannot be decoded")
    ]
    assert (judgement.trust, judgement.path, judgement.name, judgement.trusted_if_valid) == (
        TrustSource.NOTHING,
        (),
        NameMatch.MISMATCH,
        False,
    )
    assert judgement.staple is StapleStatus.ABSENT


def test_certificates_beyond_the_sixty_fourth_are_not_looked_at() -> None:
    judgement = judge((LEAF, LOW, UP, *[TOP] * 80))
    assert len(judgement.certificates) == MAX_CERTIFICATES
    assert judgement.misordered


def test_cycles_end() -> None:
    """Two authorities that certify each other."""
    first = CertificateAuthority.create("First")
    second = first.intermediate("Second")
    back = second.intermediate("First", own_key=first.private_key)
    judgement = judge((second.issue().der, second.der, back.der))
    assert (judgement.trust, judgement.path) == (TrustSource.NOTHING, (0, 1, 2))


def test_a_crowd_of_authorities_with_one_name_is_judged_in_bounded_time() -> None:
    """Every one could have issued every other by name, and large keys make each look expensive."""
    root = CertificateAuthority.create("Same", key="rsa3072")
    crowd = [
        CertificateAuthority.create("Other").intermediate("Same", own_key=root.private_key).der
        for _ in range(15)
    ]
    issued = CertificateAuthority.create("Same").issue()
    began = time.process_time()
    judgement = judge((issued.der, *crowd))
    assert judgement.trust is TrustSource.NOTHING
    assert time.process_time() - began < 1


def test_signatures_are_checked_once() -> None:
    served = read_chain((LEAF, LOW, UP, TOP))
    assert served.path() == (0, 1, 2, 3)
    assert not served.is_misordered()
    assert served.checks.made == 3


def test_a_real_leaf_under_its_real_authority() -> None:
    """Real certificates: the authority stands in for a root that Mozilla has since removed."""
    chain = certificates_in(X509_VECTORS / "cryptography-scts.pem")
    (authority,) = certificates_in(X509_VECTORS / "letsencryptx3.pem")
    at = datetime(2018, 11, 1, tzinfo=UTC)
    trust = Trust(mozilla_roots=(authority,))
    judgement = judge_chain(
        chain, server_name="cryptography.io", stapled_ocsp_response=None, trust=trust, at=at
    )
    assert (judgement.trust, judgement.name) == (
        TrustSource.MOZILLA_ROOT,
        NameMatch.SUBJECT_ALT_NAME,
    )
    late = judge_chain(
        chain,
        server_name="cryptography.io",
        stapled_ocsp_response=None,
        trust=trust,
        at=datetime(2019, 6, 1, tzinfo=UTC),
    )
    assert (late.trust, late.trusted_if_valid) == (TrustSource.NOTHING, True)


def test_a_real_chain_whose_root_was_distrusted_is_untrusted() -> None:
    """RapidSSL under GeoTrust Global CA, which Mozilla removed."""
    chain = certificates_in(X509_VECTORS / "cryptography.io.chain.pem")
    at = datetime(2016, 1, 1, tzinfo=UTC)
    judgement = judge_chain(
        chain,
        server_name="www.cryptography.io",
        stapled_ocsp_response=None,
        trust=Trust(mozilla_roots=mozilla_roots()),
        at=at,
    )
    assert (judgement.trust, judgement.trusted_if_valid, judgement.path) == (
        TrustSource.NOTHING,
        False,
        (0, 1),
    )
    assert (judgement.issuer_missing, judgement.misordered, judgement.name) == (
        True,
        False,
        NameMatch.SUBJECT_ALT_NAME,
    )


def test_a_judgement_is_fast_enough_for_every_read() -> None:
    trust = Trust(mozilla_roots=(*mozilla_roots(), TOP))
    chain = (LEAF, LOW, UP)
    rounds = 50
    judge_chain(chain, server_name="partner.test", stapled_ocsp_response=None, trust=trust, at=NOW)
    began = time.process_time()
    for _ in range(rounds):
        judgement = judge_chain(
            chain, server_name="partner.test", stapled_ocsp_response=None, trust=trust, at=NOW
        )
    assert judgement.trust is TrustSource.MOZILLA_ROOT
    # About 1 ms is seen; the margin is for slow machines, the fault to catch is a store built anew
    # (several ms).
    assert (time.process_time() - began) / rounds < 0.01
