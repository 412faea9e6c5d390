"""Chains that do not lead to a trusted root, one for each cause, and what is said about each.

Beside it stands what `openssl verify` says of the same chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from otpc_policy.pki.roots import RootLimit
from tests.support.forging import (
    AT,
    EXPIRES,
    FAR_OFF,
    LONG_AGO,
    ROOT,
    SIGNATURE,
    Made,
    authority,
    elements_of,
    key_usage,
    leaf,
    name_constraints,
    purposes,
    signed,
)
from tests.support.signing import der_element

_REQUIRED = "a path to a Mozilla root, or an anchor or pin configured for this host, required"
_ENDED = AT - timedelta(days=400)
_NOT_SIGNED = (
    "but its key did not make the signature on {}: one of the two was altered, or is another"
    " certificate of that name; the issuer whose key signed it required"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureCase:
    """A chain and why it is refused.

    chain: leaf first. roots: stand in for Mozilla's; of them, limits say how far they are trusted.
    said: the whole reason. openssl: part of what `openssl verify` says; "OK" where it accepts.
    why_openssl_differs: where it accepts.
    """

    name: str
    chain: Sequence[Made]
    said: str
    openssl: str
    roots: Sequence[Made] = (ROOT,)
    limits: Sequence[RootLimit] = ()
    is_incomplete: bool = False
    why_openssl_differs: str = ""


def failure_cases() -> list[FailureCase]:
    """Return the cases."""
    return [*_signatures(), *_ends(), *_dates(), *_authorities(), *_whole_paths(), *_leaves()]


def _signatures() -> list[FailureCase]:
    middle = authority("Middle", by=ROOT)
    impostor = authority("Middle", by=ROOT)
    twin = authority("Root")
    named = "CN=Middle, which CN=leaf names as its issuer, was served, "
    return [
        FailureCase(
            name="the leaf was altered",
            chain=[leaf(middle).with_flipped_bit(), middle],
            said=named + _NOT_SIGNED.format("CN=leaf"),
            openssl="certificate signature failure",
        ),
        FailureCase(
            name="the leaf was altered, under a root",
            chain=[leaf(ROOT).with_flipped_bit()],
            said="CN=Root, which CN=leaf names as its issuer, is a trusted root, "
            + _NOT_SIGNED.format("CN=leaf"),
            openssl="certificate signature failure",
        ),
        FailureCase(
            name="the intermediate was altered",
            chain=[leaf(middle), middle.with_flipped_bit()],
            said="CN=Root, which CN=Middle names as its issuer, is a trusted root, "
            + _NOT_SIGNED.format("CN=Middle"),
            openssl="certificate signature failure",
        ),
        FailureCase(
            name="another intermediate of the same name",
            chain=[leaf(middle), impostor],
            said=named + _NOT_SIGNED.format("CN=leaf"),
            openssl="unable to get local issuer certificate",
        ),
        FailureCase(
            name="another root of the same name",
            chain=[leaf(twin)],
            said="CN=Root, which CN=leaf names as its issuer, is a trusted root, "
            + _NOT_SIGNED.format("CN=leaf"),
            openssl="unable to get local issuer certificate",
        ),
        FailureCase(
            name="two algorithms",
            chain=[_two_algorithms(middle), middle],
            said="CN=leaf names two algorithms for its signature; the same one inside and outside"
            " required (RFC 5280 4.1.1.2)",
            openssl="signature",
        ),
        FailureCase(
            name="an algorithm that nobody knows",
            chain=[_unknown_algorithm(middle), middle],
            said="the signature on CN=leaf uses 1.2.3.4, which cannot be verified here;"
            " RSA, ECDSA or EdDSA with SHA-256 or better required",
            openssl="unable to get local issuer certificate",
        ),
        FailureCase(
            name="SHA-1",
            chain=[
                leaf(old := authority("Old", by=ROOT, hash_name="sha1")),
                old,
            ],
            said="CN=Old cannot stand on the path: its signature uses ecdsa-with-SHA1;"
            " RSA or ECDSA with SHA-256 or better required",
            openssl="CA signature digest algorithm too weak",
        ),
    ]


def _two_algorithms(by: Made) -> Made:
    made = leaf(by)
    elements = elements_of(made.certificate.tbs_certificate_bytes)
    sha512 = bytes.fromhex("300a06082a8648ce3d040304")
    return Made(signed(elements, by.key, sha512), made.key, made.name)


def _unknown_algorithm(by: Made) -> Made:
    def edit(elements: list[bytes]) -> None:
        elements[SIGNATURE] = der_element(0x30, bytes.fromhex("06032a0304"))

    return leaf(by, edit=edit)


def _ends() -> list[FailureCase]:
    stranger = authority("Stranger")
    middle = authority("Middle", by=stranger)
    own = leaf(None)
    loop, back = _certifying_each_other()
    long = "A" * 60_000
    return [
        FailureCase(
            name="only the leaf was served",
            chain=[leaf(middle)],
            said="CN=Middle, the issuer of CN=leaf, was not served and is not a trusted root for"
            f" this host; {_REQUIRED}",
            openssl="unable to get local issuer certificate",
            is_incomplete=True,
        ),
        FailureCase(
            name="an unknown root that was not served",
            chain=[leaf(middle), middle],
            said="CN=Stranger, the issuer of CN=Middle, was not served and is not a trusted root"
            f" for this host; {_REQUIRED}",
            openssl="unable to get local issuer certificate",
            is_incomplete=True,
        ),
        FailureCase(
            name="an unknown root that was served",
            chain=[leaf(middle), middle, stranger],
            said="the path ends at CN=Stranger, which is not a trusted root for this host;"
            f" {_REQUIRED}",
            openssl="self-signed certificate in certificate chain",
        ),
        FailureCase(
            name="self-signed",
            chain=[own],
            said=f"the certificate is self-signed, and no pin for this host equals it; {_REQUIRED}",
            openssl="self-signed certificate",
        ),
        FailureCase(
            name="authorities that certify each other",
            chain=[leaf(loop), loop, back],
            said="CN=Back and CN=Loop certify each other, and no trusted root certifies either;"
            f" {_REQUIRED}",
            openssl="unable to get local issuer certificate",
            is_incomplete=True,
        ),
        FailureCase(
            name="a name that fills pages",
            chain=[leaf(Made(ROOT.der, ROOT.key, _long_name(long)))],
            said=f"O={long[:78]}… (59,922 more characters), the issuer of CN=leaf, was not served"
            f" and is not a trusted root for this host; {_REQUIRED}",
            openssl="unable to get local issuer certificate",
            is_incomplete=True,
        ),
    ]


def _long_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, text)])


def _certifying_each_other() -> tuple[Made, Made]:
    other = authority("Back")
    loop = authority("Loop", by=other)
    back = authority("Back", by=loop, key=other.key)
    return loop, back


def _dates() -> list[FailureCase]:
    ended = authority("Ended", dates=(LONG_AGO, _ENDED))
    future = authority("Future", dates=(AT + timedelta(days=1), FAR_OFF))
    middle = authority("Middle", by=ROOT, dates=(LONG_AGO, _ENDED))
    return [
        FailureCase(
            name="an expired root",
            chain=[leaf(ended)],
            roots=[ended],
            said="the trusted root CN=Ended expired at 2025-04-27 12:00:00 UTC; a root valid now"
            " required",
            openssl="certificate has expired",
        ),
        FailureCase(
            name="a root from the future",
            chain=[leaf(future)],
            roots=[future],
            said="the trusted root CN=Future is not valid before 2026-06-02 12:00:00 UTC; a root"
            " valid now required",
            openssl="certificate is not yet valid",
        ),
        FailureCase(
            name="an intermediate that expired before the leaf was issued",
            chain=[leaf(middle), middle],
            said="CN=Middle expired at 2025-04-27 12:00:00 UTC, before CN=leaf became valid at"
            " 2026-05-22 12:00:00 UTC; certificates that are valid at the same time required",
            openssl="certificate has expired",
        ),
    ]


def _authorities() -> list[FailureCase]:
    holder = leaf(ROOT)
    rogue = authority("Rogue", by=holder)
    unfit = authority("Unfit", by=ROOT, plus=[(key_usage("crl_sign"), True)])
    other = authority("Other", by=ROOT, plus=[(purposes("client_auth"), False)])
    small = authority("Small", by=ROOT, key="rsa1024")
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    odd = authority("Odd", by=ROOT, plus=[(strange, True)])
    weak = authority("Weak", key="rsa1024")
    stand = "cannot stand on the path: "
    return [
        FailureCase(
            name="issued by a leaf",
            chain=[leaf(rogue), rogue, holder],
            said=f"CN=leaf {stand}it is not a CA certificate; basicConstraints with CA:TRUE"
            " required of an issuer",
            openssl="invalid CA certificate",
        ),
        FailureCase(
            name="keyCertSign is missing",
            chain=[leaf(unfit), unfit],
            said=f"CN=Unfit {stand}its key usage does not include keyCertSign, which is required of"
            " an issuer",
            openssl="invalid CA certificate",
        ),
        FailureCase(
            name="an authority for other purposes",
            chain=[leaf(other), other],
            said=f"CN=Other {stand}its extended key usage does not include serverAuth; that, or no"
            " such extension, required",
            openssl="unsuitable certificate purpose",
        ),
        FailureCase(
            name="a small key",
            chain=[leaf(small), small],
            said=f"CN=Small {stand}its key is RSA 1024; RSA of at least 2048 bits, EC of at least"
            " 256 bits, or EdDSA required",
            openssl="CA certificate key too weak",
        ),
        FailureCase(
            name="a small key of a root",
            chain=[leaf(weak)],
            roots=[weak],
            said="CN=Weak cannot be the anchor of a path: its key is RSA 1024; RSA of at least 2048"
            " bits, EC of at least 256 bits, or EdDSA required",
            openssl="CA certificate key too weak",
        ),
        FailureCase(
            name="a critical extension that nobody knows",
            chain=[leaf(odd), odd],
            said=f"CN=Odd {stand}its critical extension 1.2.3.4 is not understood; a certificate"
            " without it, or with it not critical, required",
            openssl="unhandled critical extension",
        ),
    ]


def _whole_paths() -> list[FailureCase]:
    zero = authority("Zero", by=ROOT, path_length=0)
    below = authority("Below", by=zero)
    fenced = authority("Fenced", by=ROOT, plus=[(name_constraints(["other.test"]), True)])
    barred = authority("Barred", by=ROOT, plus=[(name_constraints((), ["partner.test"]), True)])
    demanding = authority("Demanding", by=ROOT, plus=[(x509.PolicyConstraints(0, None), True)])
    levels = [authority("Level 9", by=ROOT)]
    for number in range(8, 0, -1):
        levels.insert(0, authority(f"Level {number}", by=levels[0]))
    not_permitted = "the DNS name partner.test in CN=leaf is not permitted by the name constraints"
    cut = AT - timedelta(days=30)
    distrusted = RootLimit(
        sha256=ROOT.certificate.fingerprint(hashes.SHA256()).hex(),
        subject="CN=Root",
        distrust_after=cut,
    )
    return [
        FailureCase(
            name="pathLen",
            chain=[leaf(below), below, zero],
            said="CN=Zero allows 0 authorities below it (pathLen), and 1 stand there, self-issued"
            " ones not counted (RFC 5280 6.1.4); no more than it allows required",
            openssl="path length constraint exceeded",
        ),
        FailureCase(
            name="a name outside what is permitted",
            chain=[leaf(fenced), fenced],
            said=f"{not_permitted} of CN=Fenced (RFC 5280 4.2.1.10); names within them required",
            openssl="permitted subtree violation",
        ),
        FailureCase(
            name="a name within what is excluded",
            chain=[leaf(barred), barred],
            said=f"{not_permitted} of CN=Barred (RFC 5280 4.2.1.10); names within them required",
            openssl="excluded subtree violation",
        ),
        FailureCase(
            name="a policy is demanded",
            chain=[leaf(demanding), demanding],
            said="CN=Demanding demands that a certificate policy be valid on the whole path"
            " (policyConstraints, RFC 5280 4.2.1.11), and none is; certificatePolicies with one"
            " policy in every certificate below it required",
            openssl="OK",
            why_openssl_differs="It looks at policies only with -policy_check.",
        ),
        FailureCase(
            name="nine intermediates",
            chain=[leaf(levels[0]), *levels],
            said="the path has 9 intermediates; 8 at most required",
            openssl="OK",
            why_openssl_differs="It goes to a depth of 100; public chains have three.",
        ),
        FailureCase(
            name="distrust-after",
            chain=[leaf(ROOT)],
            limits=[distrusted],
            said="Mozilla trusts the root CN=Root for certificates issued until 2026-05-02 12:00:00"
            " UTC only (distrust-after); this one is from 2026-05-22 12:00:00 UTC; an issuer under"
            " another root required",
            openssl="OK",
            why_openssl_differs="It knows no limits of Mozilla's.",
        ),
    ]


def _leaves() -> list[FailureCase]:
    return [
        FailureCase(
            name="a leaf for other purposes",
            chain=[leaf(ROOT, plus=[(purposes("client_auth"), False)])],
            said="the leaf's extended key usage does not include serverAuth, which is required",
            openssl="unsuitable certificate purpose",
        ),
        FailureCase(
            name="a leaf with keyCertSign",
            chain=[leaf(ROOT, plus=[(key_usage("digital_signature", "key_cert_sign"), True)])],
            said="the leaf's key usage includes keyCertSign, which is for authorities; a leaf"
            " without it required",
            openssl="keyCertSign",
        ),
        FailureCase(
            name="no subjectAltName",
            chain=[leaf(ROOT, subject="partner.test", without=[x509.SubjectAlternativeName])],
            said="the leaf has no subjectAltName; one with the host name, or a pin or direct issue"
            " by an anchor configured for this host, required",
            openssl="OK",
            why_openssl_differs="It takes the common name.",
        ),
        FailureCase(
            name="a leaf whose subjectAltName cannot be read",
            chain=[
                leaf(
                    ROOT,
                    plus=[
                        (
                            x509.UnrecognizedExtension(
                                x509.SubjectAlternativeName.oid, b"\x30\x05\xff"
                            ),
                            False,
                        )
                    ],
                )
            ],
            said="the leaf's subjectAltName cannot be read; one encoded as RFC 5280 4.2 says"
            " required",
            openssl="invalid certificate",
        ),
        FailureCase(
            name="a leaf with a critical extension that nobody knows",
            chain=[
                leaf(
                    ROOT,
                    dates=(AT - timedelta(days=1), EXPIRES),
                    plus=[
                        (
                            x509.UnrecognizedExtension(
                                x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"
                            ),
                            True,
                        )
                    ],
                )
            ],
            said="the leaf's critical extension 1.2.3.4 is not understood; a certificate without"
            " it, or with it not critical, required",
            openssl="unhandled critical extension",
        ),
    ]
