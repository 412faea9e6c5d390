"""The certificate rules on judgements written by hand: pass, fail, unknown, exact boundary."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from otpc_policy.core.facts import KeyType
from otpc_policy.pki.judgement import (
    ChainJudgement,
    MalformedEntry,
    NameMatch,
    StapleStatus,
    TrustSource,
)
from otpc_policy.policy.rule import Rule
from otpc_policy.policy.rules.chain import (
    CERTIFICATE_CHAIN,
    CERTIFICATE_KEY,
    CERTIFICATE_REVOCATION,
)
from otpc_policy.policy.rules.identity import CERTIFICATE_NAME, CERTIFICATE_TRUST
from otpc_policy.policy.rules.validity import CERTIFICATE_VALIDITY, validity_instants
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

_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)
_MALFORMED_LEAF = make_judgement(
    None,
    malformed=(MalformedEntry(0, "its structure cannot be decoded"),),
    path=(),
    name=NameMatch.MISMATCH,
)
_TOO_COMPLEX, _REASON = "CERTIFICATE_CHAIN_TOO_COMPLEX", "4,000 names and 260 subtrees"
# A leaf that was read, one without its extensions, and one of which nothing was, below issuers that
# nobody could decide about.
_UNDECIDED = make_judgement(
    trust=TrustSource.UNDECIDED, trusted_if_valid=False, trust_failure=_REASON, path=(0,)
)
_UNREAD: dict[str, Any] = {
    "leaf_unread": _REASON,
    "name": NameMatch.UNDECIDED,
    "staple": StapleStatus.UNDECIDED,
    "staple_detail": _REASON,
}
_UNREAD_LEAF = replace(_UNDECIDED, **_UNREAD)
_NOTHING_OF_THE_LEAF = replace(_UNDECIDED, **_UNREAD, certificates=(None,), path=())
_UNTRUSTED, _BY_ANCHOR = "CERTIFICATE_UNTRUSTED", "CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (NameMatch.SUBJECT_ALT_NAME, []),
        (NameMatch.COMMON_NAME, ["CERTIFICATE_NAME_FROM_COMMON_NAME"]),
        (NameMatch.MISMATCH, ["CERTIFICATE_NAME_MISMATCH"]),
        (NameMatch.NOT_CHECKED, ["CERTIFICATE_NAME_NOT_CHECKED"]),
    ],
)
def test_the_name_must_match(name: NameMatch, expected: list[str]) -> None:
    assert reported(CERTIFICATE_NAME, make_judgement(name=name)) == expected


def test_a_mismatch_names_both_sides_and_not_hundreds_of_hosts() -> None:
    many = tuple(f"host{number}.example" for number in range(200))
    (report,) = reports(
        CERTIFICATE_NAME, make_judgement(make_view(subject_alt_names=many), name=NameMatch.MISMATCH)
    )
    assert report.message.startswith("the leaf certificate is for host0.example, ")
    assert report.message.endswith(" and 192 more; partner.test required")


@pytest.mark.parametrize(
    ("trust", "expected"),
    [
        (TrustSource.MOZILLA_ROOT, []),
        (TrustSource.ANCHOR, [_BY_ANCHOR]),
        (TrustSource.PIN, [_BY_ANCHOR]),
        (TrustSource.REQUEST_ANCHOR, [_BY_ANCHOR]),
    ],
)
def test_the_source_of_trust_is_named(trust: TrustSource, expected: list[str]) -> None:
    found = reports(CERTIFICATE_TRUST, make_judgement(trust=trust, trust_label="the bank's CA"))
    assert [report.code for report in found] == expected
    assert all("the bank's CA" in report.message for report in found)


def test_an_anchor_of_the_request_is_named_as_such() -> None:
    (report,) = reports(CERTIFICATE_TRUST, make_judgement(trust=TrustSource.REQUEST_ANCHOR))
    assert "anchor of the request" in report.message


def test_an_untrusted_leaf_is_denied_with_the_reason() -> None:
    (report,) = reports(
        CERTIFICATE_TRUST,
        make_judgement(
            trust=TrustSource.NOTHING,
            trusted_if_valid=False,
            trust_failure="the certificate is self-signed",
        ),
    )
    assert report.code == _UNTRUSTED
    assert "the certificate is self-signed" in report.message


def test_a_path_that_only_dates_break_is_left_to_the_rule_about_dates() -> None:
    expired = make_view(not_after=NOW - _DAY)
    judgement = make_judgement(expired, trust=TrustSource.NOTHING, trusted_if_valid=True)
    assert reported(CERTIFICATE_TRUST, judgement) == []
    assert reported(CERTIFICATE_VALIDITY, judgement) == ["CERTIFICATE_EXPIRED"]


def test_a_path_without_trust_is_never_excused_by_dates_that_are_good() -> None:
    assert reported(
        CERTIFICATE_TRUST, make_judgement(trust=TrustSource.NOTHING, trusted_if_valid=True)
    ) == [_UNTRUSTED]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NOW - _SECOND, ["CERTIFICATE_NOT_YET_VALID"]),
        (NOW, []),
        (NOW + 69 * _DAY - _SECOND, []),
        (NOW + 69 * _DAY, ["CERTIFICATE_EXPIRES_SOON"]),
        (NOW + 90 * _DAY, ["CERTIFICATE_EXPIRES_SOON"]),
        (NOW + 90 * _DAY + timedelta(microseconds=999_999), ["CERTIFICATE_EXPIRES_SOON"]),
        (NOW + 90 * _DAY + _SECOND, ["CERTIFICATE_EXPIRED"]),
    ],
)
def test_validity_includes_both_ends_and_warns_21_days_before(
    now: datetime, expected: list[str]
) -> None:
    assert (
        reported(
            CERTIFICATE_VALIDITY,
            make_judgement(make_view(not_before=NOW, not_after=NOW + 90 * _DAY)),
            now=now,
        )
        == expected
    )


@pytest.mark.parametrize(
    ("age", "expected"), [(4 * _DAY - _SECOND, []), (4 * _DAY, ["CERTIFICATE_EXPIRES_SOON"])]
)
def test_short_lived_certificates_warn_in_the_last_third(
    age: timedelta, expected: list[str]
) -> None:
    assert (
        reported(
            CERTIFICATE_VALIDITY,
            make_judgement(make_view(not_before=NOW - age, not_after=NOW - age + 6 * _DAY)),
        )
        == expected
    )


def test_days_and_share_of_the_warning_are_parameters() -> None:
    judgement = make_judgement(make_view(not_before=NOW - 60 * _DAY, not_after=NOW + 30 * _DAY))
    assert reported(CERTIFICATE_VALIDITY, judgement) == []
    policy = variant(
        "[rules.certificate.validity.parameters]\n"
        'expires_soon_days = 30\nexpires_soon_share_of_lifetime = "1"'
    )
    assert reported(CERTIFICATE_VALIDITY, judgement, policy=policy) == ["CERTIFICATE_EXPIRES_SOON"]


def test_every_certificate_on_the_path_is_looked_at_and_no_other() -> None:
    old = make_view(not_after=NOW - _DAY, subject="CN=Intermediate")
    on_path, off_path = (
        make_judgement(make_view(), old),
        make_judgement(make_view(), old, path=(0,)),
    )
    assert [
        (report.code, report.certificate_index) for report in reports(CERTIFICATE_VALIDITY, on_path)
    ] == [("CERTIFICATE_EXPIRED", 1)]
    assert reported(CERTIFICATE_VALIDITY, off_path) == []


@pytest.mark.parametrize(
    "not_after", [datetime.max.replace(microsecond=0, tzinfo=UTC), NOW - 3650 * _DAY]
)
def test_extreme_dates_are_judged(not_after: datetime) -> None:
    view = make_view(not_before=NOW - _DAY, not_after=not_after)
    settings = next(one for one in default_policy().rules if one.id == "certificate.validity")
    assert isinstance(reported(CERTIFICATE_VALIDITY, make_judgement(view)), list)
    assert view.not_before in tuple(validity_instants(view, settings.parameters))


@pytest.mark.parametrize(
    ("judgement", "expected"),
    [
        (make_judgement(), []),
        (make_judgement(issuer_missing=True), ["CERTIFICATE_CHAIN_INCOMPLETE"]),
        (make_judgement(misordered=True), ["CERTIFICATE_CHAIN_MISORDERED"]),
        (_MALFORMED_LEAF, ["CERTIFICATE_MALFORMED"]),
        (
            make_judgement(make_view(), None, malformed=(MalformedEntry(1, "x"),), path=(0,)),
            ["CERTIFICATE_MALFORMED"],
        ),
    ],
)
def test_the_chain_must_be_complete_in_order_and_readable(
    judgement: ChainJudgement, expected: list[str]
) -> None:
    assert reported(CERTIFICATE_CHAIN, judgement) == expected


@pytest.mark.parametrize("judgement", [_UNDECIDED, _UNREAD_LEAF, _NOTHING_OF_THE_LEAF])
@pytest.mark.parametrize("rule", [CERTIFICATE_TRUST, CERTIFICATE_VALIDITY, CERTIFICATE_KEY])
def test_a_path_that_costs_too_much_is_neither_trusted_nor_denied(
    rule: Rule, judgement: ChainJudgement
) -> None:
    (found,) = reports(rule, judgement)
    assert found.code == _TOO_COMPLEX
    assert _REASON in found.message


@pytest.mark.parametrize(
    ("rule", "judgement", "expected"),
    [
        (CERTIFICATE_NAME, _UNDECIDED, []),
        (CERTIFICATE_NAME, _UNREAD_LEAF, [_TOO_COMPLEX]),
        (CERTIFICATE_CHAIN, _UNREAD_LEAF, []),
        (CERTIFICATE_REVOCATION, _UNDECIDED, []),
        (
            CERTIFICATE_REVOCATION,
            make_judgement(staple=StapleStatus.UNDECIDED, staple_detail=_REASON),
            [_TOO_COMPLEX],
        ),
        # Whether it demands a staple stands in its extensions.
        (CERTIFICATE_REVOCATION, replace(_UNREAD_LEAF, staple=StapleStatus.ABSENT), [_TOO_COMPLEX]),
        (
            CERTIFICATE_REVOCATION,
            replace(_NOTHING_OF_THE_LEAF, staple=StapleStatus.ABSENT),
            [_TOO_COMPLEX],
        ),
        (CERTIFICATE_TRUST, replace(_UNREAD_LEAF, trust=TrustSource.NOTHING), [_UNTRUSTED]),
        (CERTIFICATE_TRUST, replace(_UNREAD_LEAF, trust=TrustSource.PIN), [_BY_ANCHOR]),
    ],
)
def test_what_was_not_read_of_a_leaf_is_undecided(
    rule: Rule, judgement: ChainJudgement, expected: list[str]
) -> None:
    assert reported(rule, judgement) == expected


def test_an_undecided_path_hides_no_fault_of_the_leaf() -> None:
    expired = replace(
        _UNDECIDED,
        certificates=(make_view(not_after=NOW - _DAY, key_type=KeyType.RSA, key_bits=1024),),
    )
    assert reported(CERTIFICATE_VALIDITY, expired) == [_TOO_COMPLEX, "CERTIFICATE_EXPIRED"]
    assert reported(CERTIFICATE_KEY, expired) == [_TOO_COMPLEX, "CERTIFICATE_KEY_WEAK"]
    assert reported(CERTIFICATE_VALIDITY, replace(expired, **_UNREAD)) == [
        _TOO_COMPLEX,
        "CERTIFICATE_EXPIRED",
    ]
    assert reported(CERTIFICATE_NAME, replace(_UNDECIDED, name=NameMatch.MISMATCH)) == [
        "CERTIFICATE_NAME_MISMATCH"
    ]


@pytest.mark.parametrize("rule", [CERTIFICATE_VALIDITY, CERTIFICATE_KEY, CERTIFICATE_REVOCATION])
def test_of_a_leaf_that_cannot_be_decoded_nothing_passes(rule: object) -> None:
    assert reported(rule, _MALFORMED_LEAF) == [UNKNOWN]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key_type", "bits", "expected"),
    [
        (KeyType.RSA, 2047, ["CERTIFICATE_KEY_WEAK"]),
        (KeyType.RSA, 2048, []),
        (KeyType.ECDSA, 255, ["CERTIFICATE_KEY_WEAK"]),
        (KeyType.ECDSA, 256, []),
        (KeyType.EDDSA, 0, []),
        (KeyType.DSA, 4096, ["CERTIFICATE_KEY_WEAK"]),
        (KeyType.OTHER, 0, [UNKNOWN]),
    ],
)
def test_keys_must_be_strong(key_type: KeyType, bits: int, expected: list[str]) -> None:
    assert (
        reported(CERTIFICATE_KEY, make_judgement(make_view(key_type=key_type, key_bits=bits)))
        == expected
    )


def test_an_unusable_key_is_weak_whatever_its_length() -> None:
    flaw = "its RSA exponent is 1; an odd one of at least 3 required"
    (report,) = reports(
        CERTIFICATE_KEY,
        make_judgement(
            make_view(key_type=KeyType.RSA, key_bits=4096, key_name="RSA 4096", key_flaw=flaw)
        ),
    )
    assert report.code == "CERTIFICATE_KEY_WEAK"
    assert (
        report.message
        == f"the key of the leaf certificate (RSA 4096, CN=partner.test) is unusable: {flaw}"
    )


def test_a_weak_key_is_described_with_both_figures() -> None:
    (report,) = reports(
        CERTIFICATE_KEY,
        make_judgement(make_view(key_type=KeyType.RSA, key_bits=1024, key_name="RSA 1024")),
    )
    leaf = "the leaf certificate (RSA 1024, CN=partner.test)"
    assert report.message == f"the RSA key of {leaf} has 1024 bits; 2048 bits required"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("md5", ["CERTIFICATE_SIGNATURE_WEAK"]),
        ("sha1", ["CERTIFICATE_SIGNATURE_WEAK"]),
        ("sha256", []),
        ("", []),
        ("unknown", [UNKNOWN]),
    ],
)
def test_signatures_must_be_strong(name: str, expected: list[str]) -> None:
    assert reported(CERTIFICATE_KEY, make_judgement(make_view(signature_hash=name))) == expected


def test_the_signature_of_a_self_issued_end_of_the_path_carries_no_trust() -> None:
    root = make_view(signature_hash="sha1", is_self_issued=True)
    assert reported(CERTIFICATE_KEY, make_judgement(make_view(), root)) == []
    assert reported(CERTIFICATE_KEY, make_judgement(make_view(), root, make_view())) == [
        "CERTIFICATE_SIGNATURE_WEAK"
    ]


@pytest.mark.parametrize(
    ("staple", "must_staple", "staple_observed", "expected"),
    [
        (StapleStatus.GOOD, True, True, []),
        (StapleStatus.ABSENT, False, True, []),
        (StapleStatus.UNVERIFIED, False, True, []),
        (StapleStatus.ABSENT, True, True, ["CERTIFICATE_STAPLE_MISSING"]),
        (StapleStatus.UNVERIFIED, True, True, ["CERTIFICATE_STAPLE_MISSING"]),
        (StapleStatus.ABSENT, True, False, []),
        (StapleStatus.REVOKED, False, True, ["CERTIFICATE_REVOKED"]),
        (StapleStatus.REVOKED, True, True, ["CERTIFICATE_REVOKED"]),
    ],
)
def test_a_staple_must_not_say_revoked_and_must_staple_requires_one(
    staple: StapleStatus, must_staple: bool, staple_observed: bool, expected: list[str]
) -> None:
    judgement = make_judgement(
        make_view(must_staple=must_staple), staple=staple, staple_detail="why"
    )
    assert reported(CERTIFICATE_REVOCATION, judgement, staple_observed=staple_observed) == expected


@pytest.mark.parametrize(
    ("staple", "staple_observed", "expected"),
    [
        (StapleStatus.ABSENT, True, ["MEASUREMENT_INCOMPLETE"]),
        (StapleStatus.GOOD, True, []),
        (StapleStatus.ABSENT, False, []),
        (StapleStatus.REVOKED, True, ["CERTIFICATE_REVOKED"]),
    ],
)
def test_where_the_features_cannot_be_read_it_is_unknown_whether_a_staple_is_required(
    staple: StapleStatus, staple_observed: bool, expected: list[str]
) -> None:
    judgement = make_judgement(
        make_view(unread_extensions=frozenset({"tlsFeature"})), staple=staple, staple_detail="why"
    )
    assert reported(CERTIFICATE_REVOCATION, judgement, staple_observed=staple_observed) == expected


def test_a_leaf_key_of_an_unknown_type_is_not_taken_for_one_that_is_not_accepted() -> None:
    policy = variant('[rules.certificate.key.parameters]\nleaf_key_types = ["ECDSA"]\n')
    unknown = make_judgement(make_view(key_type=KeyType.OTHER, key_bits=0, key_name="ML-DSA-44"))
    assert set(reported(CERTIFICATE_KEY, unknown, policy=policy)) == {"MEASUREMENT_INCOMPLETE"}
    rsa = make_judgement(make_view(key_type=KeyType.RSA, key_bits=2048))
    assert reported(CERTIFICATE_KEY, rsa, policy=policy) == ["CERTIFICATE_KEY_WEAK"]


def test_a_subject_of_any_length_does_not_bury_the_message() -> None:
    (report,) = reports(
        CERTIFICATE_VALIDITY,
        make_judgement(make_view(subject="CN=" + "x" * 5000, not_after=NOW - _DAY)),
    )
    assert len(report.message) < 250
