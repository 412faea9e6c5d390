"""Values of extensions that are not DER are not read, and what rests on them is refused."""

import pytest
from cryptography import x509

from otpc_policy.pki.certificate import decode_certificate
from otpc_policy.pki.extensions import BASIC_CONSTRAINTS, KEY_USAGE
from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import TrustSource
from otpc_policy.pki.trust import Trust, TrustEntry
from tests.support.forging import AT, ROOT, Made, authority, leaf

HOST = "partner.test"


def with_value(oid: str, value: str) -> Made:
    """Return an intermediate with a critical extension of this value, in hexadecimal."""
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), bytes.fromhex(value))
    return authority("Middle", by=ROOT, plus=[(extension, True)])


def trust_in(middle: Made, trust: Trust) -> TrustSource:
    return judge_chain(
        [leaf(middle).der, middle.der],
        server_name=HOST,
        stapled_ocsp_response=None,
        trust=trust,
        at=AT,
    ).trust


@pytest.mark.parametrize(
    ("oid", "value", "is_read"),
    [
        (KEY_USAGE, "03020204", True),
        (KEY_USAGE, "03020106", True),
        # Trailing zeros that need not be there: cryptography and OpenSSL read them too.
        (KEY_USAGE, "03020004", True),
        (KEY_USAGE, "0303070400", True),
        # keyCertSign stands in the unused bits.
        (KEY_USAGE, "03020784", False),
        (KEY_USAGE, "03020304", False),
        # Another unused bit than keyCertSign is set.
        (KEY_USAGE, "03020205", False),
        (KEY_USAGE, "0303070401", False),
        # More unused bits than an octet has, or none to be unused.
        (KEY_USAGE, "03020804", False),
        (KEY_USAGE, "030101", False),
        (KEY_USAGE, "0300", False),
        (BASIC_CONSTRAINTS, "30060101ff020100", True),
        (BASIC_CONSTRAINTS, "30070101ff02020080", True),
        (BASIC_CONSTRAINTS, "30070101ff02020000", False),
        (BASIC_CONSTRAINTS, "30070101ff0202007f", False),
        (BASIC_CONSTRAINTS, "30060101ff0201ff", False),
    ],
)
def test_an_authority_issues_by_what_is_der_only(oid: str, value: str, is_read: bool) -> None:
    middle = with_value(oid, value)
    unread = decode_certificate(middle.der).extensions.unread
    assert unread == (frozenset() if is_read else {oid})
    anchored = Trust(mozilla_roots=(), entries=(TrustEntry(hosts=(HOST,), anchors=(ROOT.der,)),))
    trusted = (TrustSource.MOZILLA_ROOT, TrustSource.ANCHOR) if is_read else ()
    found = (trust_in(middle, Trust(mozilla_roots=(ROOT.der,))), trust_in(middle, anchored))
    assert found == (trusted or (TrustSource.NOTHING, TrustSource.NOTHING))
