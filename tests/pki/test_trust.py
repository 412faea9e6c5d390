"""Trust: which anchors and pins a leaf may rest on, for which hosts and at which instants."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from otpc_policy.core.errors import ConfigurationError
from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import ChainJudgement, NameMatch, TrustSource
from otpc_policy.pki.trust import Trust, TrustEntry
from tests.support.certificates import CertificateAuthority, Issued, self_signed

NOW = datetime.now(UTC)
PUBLIC_ROOT = CertificateAuthority.create("Public Root")
PUBLIC = PUBLIC_ROOT.intermediate("Public Intermediate")
PARTNER_ROOT = CertificateAuthority.create("Partner Root")
PARTNER = PARTNER_ROOT.intermediate("Partner Intermediate")


def entry(
    *,
    anchors: Sequence[CertificateAuthority] = (),
    pin: Issued | None = None,
    spki_pin: Issued | None = None,
    hosts: tuple[str, ...] = ("partner.test",),
    note: str = "",
    ends_at: datetime | None = None,
) -> TrustEntry:
    return TrustEntry(
        hosts=hosts,
        anchors=tuple(one.der for one in anchors),
        certificate_pins=frozenset({pin.sha256} if pin else ()),
        spki_pins=frozenset({spki_pin.spki_sha256} if spki_pin else ()),
        note=note,
        ends_at=ends_at,
    )


def judge(
    chain: Issued | Sequence[bytes],
    *entries: TrustEntry,
    at: datetime = NOW,
    server_name: str | None = "partner.test",
    request_anchors: Sequence[bytes] = (),
    roots: Sequence[CertificateAuthority] = (PUBLIC_ROOT,),
) -> ChainJudgement:
    ders = chain.chain_der if isinstance(chain, Issued) else chain
    trust = Trust(mozilla_roots=tuple(one.der for one in roots), entries=entries)
    return judge_chain(
        ders,
        server_name=server_name,
        stapled_ocsp_response=None,
        trust=trust,
        request_anchors=request_anchors,
        at=at,
    )


def assert_untrusted(judgement: ChainJudgement, reason: str = "") -> None:
    assert judgement.trust is TrustSource.NOTHING
    assert not judgement.trusted_if_valid
    assert reason in judgement.trust_failure
    assert judgement.trust_failure


@pytest.mark.parametrize("key", ["rsa2048", "ec256", "ec384"])
@pytest.mark.parametrize("authority_key", ["rsa2048", "ec256"])
def test_a_chain_under_a_public_root_is_trusted(key: str, authority_key: str) -> None:
    root = CertificateAuthority.create(f"Root of {authority_key}", key=authority_key)
    judgement = judge(
        root.intermediate(f"Intermediate of {authority_key}", key=authority_key).issue(key=key),
        roots=(root,),
    )
    assert (judgement.trust, judgement.path, judgement.trusted_if_valid) == (
        TrustSource.MOZILLA_ROOT,
        (0, 1),
        True,
    )
    assert judgement.trust_label == f"CN=Root of {authority_key}"
    assert not judgement.issuer_missing
    assert not judgement.misordered


def test_a_leaf_directly_under_a_root_is_trusted() -> None:
    assert judge(PUBLIC_ROOT.issue()).path == (0,)


def test_trust_does_not_depend_on_the_name() -> None:
    judgement = judge(PUBLIC.issue(dns=("other.test",)))
    assert (judgement.trust, judgement.name) == (TrustSource.MOZILLA_ROOT, NameMatch.MISMATCH)


def test_trust_is_judged_without_a_server_name() -> None:
    judgement = judge(PUBLIC.issue(), server_name=None)
    assert (judgement.trust, judgement.name) == (TrustSource.MOZILLA_ROOT, NameMatch.NOT_CHECKED)


@pytest.mark.parametrize(
    "dns",
    [
        ("*.partner.test",),
        ("*.com",),
        ("under_score.test", "partner.test"),
        ("*", "partner.test"),
        (),
    ],
)
def test_the_verifier_gets_a_name_that_the_leaf_has(dns: Sequence[str]) -> None:
    assert judge(PUBLIC.issue(dns=dns, ips=("192.0.2.1",))).trust is TrustSource.MOZILLA_ROOT


def test_the_web_pki_refuses_what_partner_anchors_may_do() -> None:
    """A critical SAN with a subject, and a leaf without AKI."""
    for issued in (
        PUBLIC.issue(san_critical=True),
        PUBLIC.issue(with_authority_key_identifier=False),
    ):
        assert_untrusted(judge(issued))
    for issued in (
        PARTNER.issue(san_critical=True),
        PARTNER.issue(with_authority_key_identifier=False),
    ):
        assert judge(issued, entry(anchors=(PARTNER_ROOT,))).trust is TrustSource.ANCHOR


@pytest.mark.parametrize("purposes", [("client_auth",), ("ocsp_signing",)])
@pytest.mark.parametrize("with_san", [True, False])
def test_a_leaf_for_another_purpose_is_not_trusted(purposes: Sequence[str], with_san: bool) -> None:
    assert_untrusted(judge(PUBLIC_ROOT.issue(extended_key_usage=purposes, with_san=with_san)))
    issued = PARTNER_ROOT.issue(extended_key_usage=purposes, with_san=with_san)
    assert_untrusted(
        judge(issued, entry(anchors=(PARTNER_ROOT,))), "" if not with_san else "serverAuth"
    )


def test_a_leaf_that_states_no_purpose_is_trusted() -> None:
    assert (
        judge(PARTNER.issue(extended_key_usage=()), entry(anchors=(PARTNER_ROOT,))).trust
        is TrustSource.ANCHOR
    )


def test_a_leaf_that_claims_to_be_an_authority_is_not_trusted() -> None:
    for authority, entries in ((PUBLIC, ()), (PARTNER, (entry(anchors=(PARTNER_ROOT,)),))):
        assert_untrusted(
            judge(authority.issue(basic_constraints_ca=True), *entries), "CA certificate"
        )


@pytest.mark.parametrize("hash_name", ["sha1", "md5"])
def test_a_weak_signature_is_not_trusted(hash_name: str) -> None:
    root = CertificateAuthority.create("RSA Root", key="rsa2048")
    for with_san in (True, False):
        assert_untrusted(
            judge(root.issue(hash_name=hash_name, with_san=with_san), entry(anchors=(root,)))
        )


def test_a_leaf_cannot_issue() -> None:
    """A leaf under a trusted root signs another leaf."""
    holder = PARTNER.issue(dns=("holder.test",), common_name="holder")
    rogue = CertificateAuthority(holder.certificate, holder.private_key, holder.chain).issue()
    for entries in ((), (entry(anchors=(PARTNER_ROOT,)),)):
        assert_untrusted(judge(rogue, *entries))
        assert_untrusted(judge(rogue, *entries, request_anchors=(holder.der,)))


def test_path_length_and_name_constraints_hold() -> None:
    shallow = CertificateAuthority.create("Shallow Root", path_length=0)
    assert_untrusted(judge(shallow.intermediate("Too deep").issue(), entry(anchors=(shallow,))))
    fenced = CertificateAuthority.create(
        "Fenced Root", permitted_dns=("partner.test",), excluded_dns=("secret.partner.test",)
    )
    assert judge(fenced.issue(), entry(anchors=(fenced,))).trust is TrustSource.ANCHOR
    assert_untrusted(judge(fenced.issue(dns=("other.test",)), entry(anchors=(fenced,))))
    assert_untrusted(
        judge(fenced.issue(dns=("partner.test", "a.secret.partner.test")), entry(anchors=(fenced,)))
    )


class TestAnchors:
    """An anchor is a CA certificate that speaks for the hosts of its entry."""

    @pytest.mark.parametrize(
        ("hosts", "server_name", "expected"),
        [
            (("partner.test",), "partner.test", TrustSource.ANCHOR),
            (("partner.test",), "api.partner.test", TrustSource.NOTHING),
            (("*.partner.test",), "api.partner.test", TrustSource.ANCHOR),
            (("*.partner.test",), "partner.test", TrustSource.NOTHING),
            (("*.partner.test",), "a.b.partner.test", TrustSource.NOTHING),
            (("other.test",), "partner.test", TrustSource.NOTHING),
            (("192.0.2.1",), "192.0.2.1", TrustSource.ANCHOR),
            (("192.0.2.1",), "192.0.2.2", TrustSource.NOTHING),
            (("partner.test",), None, TrustSource.NOTHING),
        ],
    )
    def test_it_speaks_for_its_hosts_only(
        self, hosts: tuple[str, ...], server_name: str | None, expected: TrustSource
    ) -> None:
        assert (
            judge(
                PARTNER.issue(),
                entry(anchors=(PARTNER_ROOT,), hosts=hosts),
                server_name=server_name,
            ).trust
            is expected
        )

    def test_it_may_be_an_intermediate(self) -> None:
        judgement = judge(PARTNER.issue(), entry(anchors=(PARTNER,), note="Partner Ltd"))
        assert (judgement.trust, judgement.path, judgement.trust_label) == (
            TrustSource.ANCHOR,
            (0, 1),
            "Partner Ltd",
        )
        assert judge((PARTNER.issue().der,), entry(anchors=(PARTNER,))).path == (0,)

    def test_it_ends_with_its_entry(self) -> None:
        end = NOW + timedelta(days=1)
        issued, trusted = PARTNER.issue(), entry(anchors=(PARTNER_ROOT,), ends_at=end)
        assert judge(issued, trusted).trust_ends_at == end
        assert judge(issued, trusted, at=end - timedelta(seconds=1)).trust is TrustSource.ANCHOR
        assert_untrusted(judge(issued, trusted, at=end))

    def test_the_entry_that_lasts_longest_counts(self) -> None:
        issued, later = PARTNER.issue(), NOW + timedelta(days=2)
        short = entry(anchors=(PARTNER_ROOT,), ends_at=NOW + timedelta(days=1))
        assert (
            judge(issued, short, entry(anchors=(PARTNER_ROOT,), ends_at=later)).trust_ends_at
            == later
        )
        assert judge(issued, short, entry(anchors=(PARTNER_ROOT,))).trust_ends_at is None

    def test_another_root_with_the_same_name_is_none(self) -> None:
        twin = CertificateAuthority.create("Partner Root")
        assert_untrusted(
            judge(PARTNER.issue(), entry(anchors=(twin,))),
            "is a trusted root, but its key did not make the signature on CN=Partner Intermediate",
        )

    def test_bytes_that_are_not_a_certificate_are_no_anchor(self) -> None:
        broken = TrustEntry(hosts=("partner.test",), anchors=(b"garbage", PARTNER_ROOT.der[:-1]))
        assert_untrusted(judge(PARTNER.issue(), broken), "not served")

    def test_a_root_that_the_server_sends_proves_nothing(self) -> None:
        issued = PARTNER.issue()
        judgement = judge((*issued.chain_der, PARTNER_ROOT.der))
        assert_untrusted(judgement, "is not a trusted root")
        assert (judgement.path, judgement.issuer_missing) == ((0, 1, 2), False)

    @pytest.mark.parametrize("ca", [True, False])
    @pytest.mark.parametrize("with_san", [True, False])
    @pytest.mark.parametrize("common_name", [None, "partner.test"])
    def test_an_anchor_that_is_the_leaf_is_no_pin(
        self, ca: bool, with_san: bool, common_name: str | None
    ) -> None:
        issued = self_signed(ca=ca, with_san=with_san, common_name=common_name)
        assert_untrusted(
            judge(issued, TrustEntry(hosts=("partner.test",), anchors=(issued.der,))), "self-signed"
        )
        assert_untrusted(judge(issued, request_anchors=(issued.der,)), "self-signed")
        assert_untrusted(
            judge((issued.der, issued.der), request_anchors=(issued.der,)), "self-signed"
        )

    def test_a_public_root_served_as_a_leaf_is_not_trusted(self) -> None:
        assert_untrusted(judge((PUBLIC_ROOT.der,)))


class TestRequestAnchors:
    """Anchors of the request act like anchors of the operator, and are reported as such."""

    def test_they_are_trusted(self) -> None:
        judgement = judge(PARTNER.issue(), request_anchors=(b"garbage", PARTNER_ROOT.der))
        assert (judgement.trust, judgement.trust_label, judgement.trust_ends_at) == (
            TrustSource.REQUEST_ANCHOR,
            "CN=Partner Root",
            None,
        )

    def test_they_are_trusted_without_a_name(self) -> None:
        assert (
            judge(PARTNER.issue(), request_anchors=(PARTNER_ROOT.der,), server_name=None).trust
            is TrustSource.REQUEST_ANCHOR
        )

    def test_they_come_last(self) -> None:
        issued = PARTNER.issue()
        assert (
            judge(issued, entry(anchors=(PARTNER_ROOT,)), request_anchors=(PARTNER_ROOT.der,)).trust
            is TrustSource.ANCHOR
        )
        assert (
            judge(PUBLIC.issue(), request_anchors=(PUBLIC_ROOT.der,)).trust
            is TrustSource.MOZILLA_ROOT
        )


class TestPins:
    """A pin is equality of the leaf's DER or SPKI; it is an anchor for nothing else."""

    @pytest.mark.parametrize("key", ["rsa2048", "ec256", "ed25519"])
    @pytest.mark.parametrize("with_san", [True, False])
    @pytest.mark.parametrize("ca", [True, False])
    def test_a_pinned_self_signed_leaf_is_trusted(self, key: str, with_san: bool, ca: bool) -> None:
        issued = self_signed(key=key, with_san=with_san, ca=ca)
        judgement = judge(issued, entry(pin=issued, note="Partner Ltd"))
        assert (judgement.trust, judgement.path, judgement.trust_label) == (
            TrustSource.PIN,
            (0,),
            "Partner Ltd",
        )
        assert judgement.name is (NameMatch.SUBJECT_ALT_NAME if with_san else NameMatch.COMMON_NAME)

    def test_an_spki_pin_survives_a_renewal_with_the_same_key(self) -> None:
        first, renewed = self_signed(key="rsa2048"), self_signed(key="rsa2048")
        assert first.sha256 != renewed.sha256
        assert judge(renewed, entry(spki_pin=first)).trust is TrustSource.PIN
        assert_untrusted(judge(renewed, entry(pin=first)), "no pin")

    def test_one_bit_of_difference_is_another_certificate(self) -> None:
        issued = self_signed()
        for index in (len(issued.der) - 1, len(issued.der) // 2):
            flipped = issued.der[:index] + bytes([issued.der[index] ^ 1]) + issued.der[index + 1 :]
            judgement = judge((flipped,), entry(pin=issued))
            assert judgement.trust is TrustSource.NOTHING

    def test_a_child_of_a_pinned_certificate_is_not_trusted(self) -> None:
        pinned = self_signed(ca=True)
        child = CertificateAuthority(pinned.certificate, pinned.private_key, pinned.chain).issue()
        for with_san in (True, False):
            child = CertificateAuthority(
                pinned.certificate, pinned.private_key, pinned.chain
            ).issue(with_san=with_san)
            assert_untrusted(judge(child, entry(pin=pinned, spki_pin=pinned)))

    def test_a_pin_does_not_help_a_leaf_that_is_not_the_first(self) -> None:
        pinned = self_signed()
        assert_untrusted(judge((PARTNER.issue().der, pinned.der), entry(pin=pinned)))

    def test_a_pin_speaks_for_its_hosts_only(self) -> None:
        issued = self_signed()
        assert_untrusted(judge(issued, entry(pin=issued, hosts=("other.test",))))
        assert_untrusted(judge(issued, entry(pin=issued), server_name=None))

    def test_a_pin_ends_with_its_entry(self) -> None:
        issued, end = self_signed(), NOW + timedelta(days=1)
        assert judge(issued, entry(pin=issued, ends_at=end)).trust_ends_at == end
        assert_untrusted(judge(issued, entry(pin=issued, ends_at=end), at=end))

    def test_a_pin_does_not_hide_expiry(self) -> None:
        """Equality holds at any time; the leaf stands on the path, so its dates are judged."""
        issued = self_signed(not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1))
        judgement = judge(issued, entry(pin=issued))
        assert (judgement.trust, judgement.path) == (TrustSource.PIN, (0,))
        assert judgement.leaf is not None
        assert judgement.leaf.not_after < NOW

    def test_a_public_root_comes_before_a_pin_and_a_pin_before_an_anchor(self) -> None:
        public, private = PUBLIC.issue(), PARTNER.issue()
        assert judge(public, entry(pin=public)).trust is TrustSource.MOZILLA_ROOT
        judgement = judge(private, entry(anchors=(PARTNER_ROOT,)), entry(pin=private))
        assert (judgement.trust, judgement.path) == (TrustSource.PIN, (0,))

    @pytest.mark.parametrize(
        "pin", ["", "aa", "A" * 64, "g" * 64, "a" * 63 + "\n", ":".join(["aa"] * 32)]
    )
    @pytest.mark.parametrize("kind", ["certificate_pins", "spki_pins"])
    def test_a_pin_that_nothing_could_equal_is_refused(self, kind: str, pin: str) -> None:
        with pytest.raises(ConfigurationError, match="is not a SHA-256"):
            TrustEntry(
                hosts=("partner.test",),
                certificate_pins=frozenset({pin} if kind == "certificate_pins" else ()),
                spki_pins=frozenset({pin} if kind == "spki_pins" else ()),
            )


class TestCommonNameOnly:
    """A leaf without SAN is trusted by exact pin, or by direct issue by a configured anchor."""

    def test_direct_issue_by_an_anchor_is_trusted(self) -> None:
        judgement = judge(PARTNER_ROOT.issue(with_san=False), entry(anchors=(PARTNER_ROOT,)))
        assert (judgement.trust, judgement.name, judgement.path) == (
            TrustSource.ANCHOR,
            NameMatch.COMMON_NAME,
            (0,),
        )

    def test_the_anchor_may_be_an_intermediate(self) -> None:
        assert judge(PARTNER.issue(with_san=False), entry(anchors=(PARTNER,))).path == (0, 1)

    def test_indirect_issue_is_not(self) -> None:
        assert_untrusted(
            judge(PARTNER.issue(with_san=False), entry(anchors=(PARTNER_ROOT,))), "subjectAltName"
        )

    def test_a_public_root_is_not_enough(self) -> None:
        assert_untrusted(judge(PUBLIC_ROOT.issue(with_san=False)), "subjectAltName")

    def test_a_forged_signature_is_not_trusted(self) -> None:
        twin = CertificateAuthority.create("Partner Root")
        assert_untrusted(judge(twin.issue(with_san=False), entry(anchors=(PARTNER_ROOT,))))

    def test_it_may_not_be_an_authority(self) -> None:
        assert_untrusted(
            judge(
                PARTNER_ROOT.issue(with_san=False, basic_constraints_ca=True),
                entry(anchors=(PARTNER_ROOT,)),
            )
        )

    def test_a_weak_anchor_is_refused(self) -> None:
        weak = CertificateAuthority.create("Weak Root", key="rsa1024")
        assert_untrusted(judge(weak.issue(with_san=False), entry(anchors=(weak,))))
        assert_untrusted(judge(weak.issue(), entry(anchors=(weak,))))

    @pytest.mark.parametrize(
        ("permitted", "excluded", "common_name", "expected"),
        [
            (("partner.test",), (), "partner.test", TrustSource.ANCHOR),
            (("partner.test",), (), "api.partner.test", TrustSource.ANCHOR),
            (("test",), (), "*.partner.test", TrustSource.ANCHOR),
            (("partner.test",), (), "notpartner.test", TrustSource.NOTHING),
            (("api.partner.test",), (), "*.partner.test", TrustSource.NOTHING),
            ((), ("partner.test",), "api.partner.test", TrustSource.NOTHING),
            ((), ("api.partner.test",), "*.partner.test", TrustSource.NOTHING),
            ((), ("other.test",), "partner.test", TrustSource.ANCHOR),
        ],
    )
    def test_name_constraints_apply_to_the_common_name(
        self,
        permitted: Sequence[str],
        excluded: Sequence[str],
        common_name: str,
        expected: TrustSource,
    ) -> None:
        fenced = CertificateAuthority.create(
            "Fenced Root", permitted_dns=permitted, excluded_dns=excluded
        )
        assert (
            judge(
                fenced.issue(common_name=common_name, with_san=False), entry(anchors=(fenced,))
            ).trust
            is expected
        )

    def test_its_dates_are_judged(self) -> None:
        expired = PARTNER_ROOT.issue(with_san=False, not_after=NOW - timedelta(seconds=2))
        judgement = judge(expired, entry(anchors=(PARTNER_ROOT,)))
        assert (judgement.trust, judgement.trusted_if_valid, judgement.path) == (
            TrustSource.NOTHING,
            True,
            (0,),
        )


class TestValidity:
    """An expired chain under a good root is expired, not untrusted; an anchor's own dates are no
    excuse.
    """

    START = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    END = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
    LONG = datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)
    ROOT = CertificateAuthority.create("Long Root", not_before=LONG[0], not_after=LONG[1])
    MIDDLE = ROOT.intermediate("Long Intermediate", not_before=LONG[0], not_after=LONG[1])

    @pytest.mark.parametrize("is_public", [True, False])
    @pytest.mark.parametrize(
        ("offset", "expected"),
        [
            (timedelta(seconds=-1), False),
            (timedelta(0), True),
            (timedelta(seconds=1), True),
        ],
    )
    def test_not_before_is_inclusive(
        self, is_public: bool, offset: timedelta, expected: bool
    ) -> None:
        self._check(is_public, self.START + offset, expected)

    @pytest.mark.parametrize("is_public", [True, False])
    @pytest.mark.parametrize(
        ("offset", "expected"),
        [
            (timedelta(seconds=-1), True),
            (timedelta(0), True),
            (timedelta(seconds=1), False),
            (timedelta(days=4000), False),
        ],
    )
    def test_not_after_is_inclusive(
        self, is_public: bool, offset: timedelta, expected: bool
    ) -> None:
        self._check(is_public, self.END + offset, expected)

    def _check(self, is_public: bool, at: datetime, expected: bool) -> None:
        for authority, issued in (
            (self.ROOT, self.MIDDLE.issue(not_before=self.START, not_after=self.END)),
        ):
            entries = () if is_public else (entry(anchors=(authority,)),)
            judgement = judge(
                issued, *entries, at=at, roots=(authority,) if is_public else (PUBLIC_ROOT,)
            )
            assert (
                judgement.trust is not TrustSource.NOTHING,
                judgement.trusted_if_valid,
                judgement.path,
            ) == (expected, True, (0, 1))
            assert not judgement.issuer_missing

    def test_an_expired_intermediate_is_on_the_path(self) -> None:
        middle = self.ROOT.intermediate(
            "Expired Intermediate", not_before=self.LONG[0], not_after=self.END
        )
        issued = middle.issue(not_before=self.START, not_after=self.LONG[1])
        judgement = judge(issued, roots=(self.ROOT,), at=self.END + timedelta(days=1))
        assert (judgement.trust, judgement.trusted_if_valid, judgement.path) == (
            TrustSource.NOTHING,
            True,
            (0, 1),
        )

    def test_a_chain_that_was_never_valid_as_a_whole_is_untrusted(self) -> None:
        middle = self.ROOT.intermediate(
            "Early Intermediate", not_before=self.LONG[0], not_after=self.START
        )
        issued = middle.issue(not_before=self.END, not_after=self.LONG[1])
        assert_untrusted(judge(issued, roots=(self.ROOT,), at=self.END + timedelta(days=1)))

    @pytest.mark.parametrize("with_san", [True, False])
    @pytest.mark.parametrize("leaf_ends_at", [END - timedelta(days=1), LONG[1]])
    def test_an_expired_anchor_is_no_trust_and_no_excuse(
        self, with_san: bool, leaf_ends_at: datetime
    ) -> None:
        """trusted_if_valid here would leave no finding at all: the anchor is not served, so nobody
        looks at its dates.
        """
        root = CertificateAuthority.create(
            "Expired Root", not_before=self.LONG[0], not_after=self.END
        )
        issued = root.issue(not_before=self.START, not_after=leaf_ends_at, with_san=with_san)
        assert_untrusted(judge(issued, entry(anchors=(root,)), at=self.END + timedelta(seconds=1)))
        assert_untrusted(
            judge(
                (issued.der, root.der), entry(anchors=(root,)), at=self.END + timedelta(seconds=1)
            )
        )

    def test_an_expired_leaf_under_an_unknown_root_is_untrusted(self) -> None:
        issued = self.MIDDLE.issue(not_before=self.START, not_after=self.END)
        assert_untrusted(judge((*issued.chain_der, self.ROOT.der), at=self.END + timedelta(days=1)))

    @pytest.mark.parametrize("year", [1, 1950, 9999])
    def test_any_instant_can_be_asked_about(self, year: int) -> None:
        judgement = judge(
            PARTNER.issue(), entry(anchors=(PARTNER_ROOT,)), at=datetime(year, 1, 1, tzinfo=UTC)
        )
        assert judgement.trust is TrustSource.NOTHING

    def test_whenever_only_dates_stand_in_the_way_a_served_certificate_is_outside_its_validity(
        self,
    ) -> None:
        at = self.END + timedelta(days=1)
        judgement = judge(
            self.MIDDLE.issue(not_before=self.START, not_after=self.END), roots=(self.ROOT,), at=at
        )
        on_path = [judgement.certificates[index] for index in judgement.path]
        assert any(one is not None and not one.not_before <= at <= one.not_after for one in on_path)
