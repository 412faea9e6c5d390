"""Mozilla's roots and their limits: certificates issued after a distrust-after date, and names
outside a root's fence.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import certifi
import pytest

from otpc_policy.pki.certificate import view_certificate
from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import ChainJudgement, TrustSource
from otpc_policy.pki.roots import (
    RootLimit,
    limits_by_root,
    mozilla_limits,
    mozilla_roots,
    root_limits_document,
)
from otpc_policy.pki.trust import Trust, TrustEntry
from tests.support.certificates import CertificateAuthority, Issued

LONG = datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)
CUT = datetime(2026, 4, 15, 23, 59, 59, tzinfo=UTC)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
ROOT = CertificateAuthority.create("Limited Root", not_before=LONG[0], not_after=LONG[1])
MIDDLE = ROOT.intermediate("Limited Intermediate", not_before=LONG[0], not_after=LONG[1])
DISTRUSTED = RootLimit(
    sha256=view_certificate(ROOT.der).sha256, subject="CN=Limited Root", distrust_after=CUT
)
FENCED = RootLimit(
    sha256=view_certificate(ROOT.der).sha256, subject="CN=Limited Root", permitted_dns=("tr",)
)


def judge(
    issued: Issued,
    *limits: RootLimit,
    roots: Sequence[CertificateAuthority] = (ROOT,),
    entries: tuple[TrustEntry, ...] = (),
    at: datetime = NOW,
) -> ChainJudgement:
    trust = Trust(
        mozilla_roots=tuple(one.der for one in roots),
        root_limits=limits_by_root(limits),
        entries=entries,
    )
    return judge_chain(
        issued.chain_der, server_name="partner.test", stapled_ocsp_response=None, trust=trust, at=at
    )


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-1, TrustSource.MOZILLA_ROOT), (0, TrustSource.MOZILLA_ROOT), (1, TrustSource.NOTHING)],
)
@pytest.mark.parametrize("authority", [ROOT, MIDDLE])
def test_a_certificate_from_after_the_date_is_not_trusted(
    authority: CertificateAuthority, seconds: int, expected: TrustSource
) -> None:
    """What counts is the leaf's notBefore, not the clock; the date itself is still good."""
    judgement = judge(
        authority.issue(not_before=CUT + timedelta(seconds=seconds), not_after=LONG[1]), DISTRUSTED
    )
    assert judgement.trust is expected
    if expected is TrustSource.NOTHING:
        assert not judgement.trusted_if_valid
        assert (
            "until 2026-04-15 23:59:59 UTC only (distrust-after); this one is from 2026-04-16"
            " 00:00:00 UTC" in judgement.trust_failure
        )


def test_an_expired_certificate_from_after_the_date_is_untrusted_as_well() -> None:
    judgement = judge(
        MIDDLE.issue(not_before=CUT + timedelta(days=1), not_after=CUT + timedelta(days=2)),
        DISTRUSTED,
    )
    assert (judgement.trust, judgement.trusted_if_valid) == (TrustSource.NOTHING, False)


def test_another_path_is_taken_past_a_distrusted_root() -> None:
    """The authority is certified by two roots, of which one is distrusted."""
    other = CertificateAuthority.create("Other Root", not_before=LONG[0], not_after=LONG[1])
    cross = other.intermediate(
        "Limited Intermediate", own_key=MIDDLE.private_key, not_before=LONG[0], not_after=LONG[1]
    )
    issued = MIDDLE.issue(not_before=CUT + timedelta(days=1), not_after=LONG[1])
    both = Issued(issued.certificate, issued.private_key, (*issued.chain, cross.certificate))
    judgement = judge(both, DISTRUSTED, roots=(ROOT, other))
    assert (judgement.trust, judgement.path) == (TrustSource.MOZILLA_ROOT, (0, 2))


def test_an_operator_may_trust_the_root_further() -> None:
    """The limit is Mozilla's; an anchor is the operator's own word for this host."""
    issued = MIDDLE.issue(not_before=CUT + timedelta(days=1), not_after=LONG[1])
    entry = TrustEntry(hosts=("partner.test",), anchors=(ROOT.der,))
    assert judge(issued, DISTRUSTED, entries=(entry,)).trust is TrustSource.ANCHOR


@pytest.mark.parametrize(
    ("dns", "expected"),
    [
        (("a.gov.tr",), TrustSource.MOZILLA_ROOT),
        (("*.gov.tr",), TrustSource.MOZILLA_ROOT),
        (("partner.test",), TrustSource.NOTHING),
        (("a.gov.tr", "partner.test"), TrustSource.NOTHING),
        (("a.notr",), TrustSource.NOTHING),
    ],
)
def test_a_fenced_root_speaks_for_its_names_only(dns: Sequence[str], expected: TrustSource) -> None:
    judgement = judge(MIDDLE.issue(dns=dns, not_before=CUT, not_after=LONG[1]), FENCED)
    assert judgement.trust is expected
    assert (
        expected is TrustSource.MOZILLA_ROOT or "for names under tr only" in judgement.trust_failure
    )


def test_the_limits_hold_without_being_asked_for() -> None:
    """Whoever makes a Trust of Mozilla's roots gets their limits, and every limit of a root in the
    bundle names that root.
    """
    trust = Trust(mozilla_roots=mozilla_roots())
    assert trust.root_limits is mozilla_limits()
    subjects = {view.sha256: view.subject for view in map(view_certificate, mozilla_roots())}
    present = [one for one in trust.root_limits.values() if one.sha256 in subjects]
    assert sorted(one.subject.partition(",")[0] for one in present) == [
        "CN=Izenpe.com",
        "CN=TUBITAK Kamu SM SSL Kok Sertifikasi - Surum 1",
    ]
    assert all(subjects[one.sha256].startswith(one.subject) for one in present)


def test_every_limit_is_a_limit_and_has_two_sources() -> None:
    for limit in mozilla_limits().values():
        assert limit.distrust_after is not None or limit.permitted_dns
        assert limit.distrust_after is None or limit.distrust_after.tzinfo is not None
        assert len(limit.sources) >= 2
        assert len(bytes.fromhex(limit.sha256)) == 32


def test_a_newer_certifi_wants_a_look_at_the_limits() -> None:
    """Read Mozilla's distrust-after dates again (the file says where), then write the new version
    and day into it.
    """
    assert certifi.__version__ == root_limits_document()["certifi"]
