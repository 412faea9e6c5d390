"""Every root of the bundle works as an anchor: each is cloned, byte for byte but for a key of ours,
and chained to. None is refused for how its certificate is written.
"""

from datetime import datetime, timedelta

import pytest
from cryptography import x509

from otpc_policy.pki.certificate import decode_certificate
from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import TrustSource
from otpc_policy.pki.lenient_decoding import decoding_leniently
from otpc_policy.pki.roots import mozilla_roots
from otpc_policy.pki.structure import read_structure
from otpc_policy.pki.trust import Trust, TrustEntry
from tests.support.forging import (
    ISSUER,
    KEY,
    SIGNATURE,
    VERSION,
    Edit,
    Made,
    authority,
    elements_of,
    leaf,
    signed,
)
from tests.support.signing import der_element, private_key

HOST = "partner.test"
OWN_KEY = private_key("ec256")
_ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
DAY = timedelta(days=1)


def clone(der: bytes) -> Made:
    """The same certificate, with our key, signed by it."""
    structure = read_structure(der)
    elements = elements_of(structure.octets(structure.signed_part))
    assert elements[VERSION][0] == 0xA0
    elements[SIGNATURE] = _ECDSA_WITH_SHA256
    elements[KEY] = elements_of(elements_of(authority("Key", key=OWN_KEY).der)[0])[KEY]
    with decoding_leniently():
        name = x509.load_der_x509_certificate(der).subject
    return Made(signed(elements, OWN_KEY), OWN_KEY, name)


def issued_by(subject: bytes) -> Edit:
    def edit(elements: list[bytes]) -> None:
        elements[ISSUER] = subject

    return edit


@pytest.mark.parametrize("is_public", [True, False], ids=["Mozilla's", "operator's"])
def test_each_root_of_the_bundle_with_a_key_of_ours_is_an_anchor(is_public: bool) -> None:
    refused = []
    for der in mozilla_roots():
        root, original = clone(der), decode_certificate(der)
        at = _instant(original.view.not_before, original.view.not_after)
        dates = (at - 10 * DAY, at + 60 * DAY)
        structure = read_structure(der)
        edit = issued_by(structure.octets(structure.subject))
        middle = authority("Middle", by=root, dates=dates, edit=edit)
        trust = Trust(
            mozilla_roots=(root.der,) if is_public else (),
            entries=() if is_public else (TrustEntry(hosts=(HOST,), anchors=(root.der,)),),
        )
        for chain in ([leaf(root, dates=dates, edit=edit)], [leaf(middle, dates=dates), middle]):
            judgement = judge_chain(
                [made.der for made in chain],
                server_name=HOST,
                stapled_ocsp_response=None,
                trust=trust,
                at=at,
            )
            if judgement.trust not in (TrustSource.MOZILLA_ROOT, TrustSource.ANCHOR):
                refused.append(f"{original.view.subject}: {judgement.trust_failure}")
    assert refused == []


def test_dates_as_generalized_time_are_dates() -> None:
    """As Certum Trusted Network CA 2 has them."""
    times = der_element(0x18, b"20200101000000Z") + der_element(0x18, b"20400101000000Z")

    def edit(elements: list[bytes]) -> None:
        elements[4] = der_element(0x30, times)

    root = authority("Root", edit=edit)
    assert not decode_certificate(root.der).has_usual_dates
    for at, expected in (
        (datetime.fromisoformat("2026-06-01T12:00:00Z"), TrustSource.MOZILLA_ROOT),
        (datetime.fromisoformat("2041-06-01T12:00:00Z"), TrustSource.NOTHING),
    ):
        judgement = judge_chain(
            [leaf(root, dates=(at - DAY, at + DAY)).der],
            server_name=HOST,
            stapled_ocsp_response=None,
            trust=Trust(mozilla_roots=(root.der,)),
            at=at,
        )
        assert judgement.trust is expected


def _instant(start: datetime, end: datetime) -> datetime:
    return (start + (end - start) / 2).replace(microsecond=0)
