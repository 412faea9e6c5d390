"""Extensions that name keys, that are critical, or that nobody knows."""

from cryptography import x509
from cryptography.x509 import AuthorityKeyIdentifier, SubjectKeyIdentifier

from tests.chains.case import (
    ISSUING,
    ROOT,
    UNTRUSTED,
    ChainCase,
    case,
)
from tests.support.forging import EXTENSIONS, Made, authority, elements_of, leaf
from tests.support.signing import der_element

_AKI = "RFC 5280 4.2.1.1"
_SKI = "RFC 5280 4.2.1.2"
_UNKNOWN = "RFC 5280 4.2"
_STRANGE = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")


def extension_cases() -> list[ChainCase]:
    """Return the cases."""
    return [*_key_identifiers(), *_unknown(), *_known()]


def _with(value: x509.ExtensionType, *, critical: bool = False) -> list[Made]:
    return [leaf(ISSUING, plus=[(value, critical)]), ISSUING]


def _above(value: x509.ExtensionType, *, critical: bool = False) -> list[Made]:
    middle = authority(
        f"With {value.oid.dotted_string} {critical}", by=ROOT, plus=[(value, critical)]
    )
    return [leaf(middle), middle]


def _key_identifiers() -> list[ChainCase]:
    other = AuthorityKeyIdentifier(b"\x01" * 20, None, None)
    own_identifier = AuthorityKeyIdentifier.from_issuer_public_key(
        ISSUING.key.public_key()
    ).key_identifier
    by_name = AuthorityKeyIdentifier(
        None, [x509.DirectoryName(ROOT.name)], ISSUING.certificate.serial_number
    )
    both = AuthorityKeyIdentifier(
        own_identifier, [x509.DirectoryName(ROOT.name)], ISSUING.certificate.serial_number
    )
    silent = authority("No SKI", by=ROOT, without=[SubjectKeyIdentifier])
    odd = authority("Odd SKI", by=ROOT, plus=[(SubjectKeyIdentifier(b"\x02" * 20), False)])
    odd_leaf = leaf(odd, plus=[(AuthorityKeyIdentifier(b"\x02" * 20, None, None), False)])
    root_without = authority("Root without SKI", without=[SubjectKeyIdentifier])
    return [
        case("AKI of the leaf names another key", _AKI, _with(other), openssl=_HINT),
        case("AKI of the intermediate names another key", _AKI, _above(other), openssl=_HINT),
        case(
            "leaf without AKI",
            _AKI,
            [leaf(ISSUING, without=[AuthorityKeyIdentifier]), ISSUING],
            UNTRUSTED,
        ),
        case("intermediate without AKI", _AKI, _without_aki(), openssl=_STRICT),
        case("AKI by issuer and serial number", "BR 7.1.2.11.1", _with(by_name), openssl=_STRICT),
        case("AKI by key, issuer and serial number", "BR 7.1.2.11.1", _with(both)),
        case(
            "AKI critical",
            _AKI,
            _with(AuthorityKeyIdentifier(own_identifier, None, None), critical=True),
            UNTRUSTED,
        ),
        case("leaf without SKI", _SKI, [leaf(ISSUING, without=[SubjectKeyIdentifier]), ISSUING]),
        case(
            "SKI of the leaf critical",
            _SKI,
            _with(SubjectKeyIdentifier(b"\x03" * 20), critical=True),
            openssl=(
                "It says nothing that could be misunderstood; cryptography and browsers accept it."
            ),
        ),
        case("intermediate without SKI", _SKI, [leaf(silent), silent], openssl=_STRICT),
        case("SKI that is no hash of the key", _SKI, [odd_leaf, odd]),
        case(
            "root without SKI", _SKI, [leaf(root_without)], roots=(root_without,), openssl=_STRICT
        ),
    ]


_HINT = "The AKI is a hint for building paths (RFC 4158 3.5.12); OpenSSL takes it for a condition."
_STRICT = (
    "Only -x509_strict asks: key identifiers are hints for building paths, and browsers do without."
)


def _without_aki() -> list[Made]:
    middle = authority("No AKI", by=ROOT, without=[AuthorityKeyIdentifier])
    return [leaf(middle), middle]


def _unknown() -> list[ChainCase]:
    strange = x509.UnrecognizedExtension(_STRANGE, b"\x05\x00")
    strange_root = authority("Strange Root", plus=[(strange, True)])
    mild_root = authority("Mild Root", plus=[(strange, False)])
    return [
        case("unknown extension of the leaf", _UNKNOWN, _with(strange)),
        case(
            "unknown critical extension of the leaf",
            _UNKNOWN,
            _with(strange, critical=True),
            UNTRUSTED,
        ),
        case("unknown extension of the intermediate", _UNKNOWN, _above(strange)),
        case(
            "unknown critical extension of the intermediate",
            _UNKNOWN,
            _above(strange, critical=True),
            UNTRUSTED,
        ),
        case("unknown extension of the root", _UNKNOWN, [leaf(mild_root)], roots=(mild_root,)),
        case(
            "unknown critical extension of the root",
            _UNKNOWN,
            [leaf(strange_root)],
            UNTRUSTED,
            roots=(strange_root,),
        ),
        case(
            "an extension twice",
            "RFC 5280 4.2",
            [leaf(ISSUING, edit=_twice), ISSUING],
            UNTRUSTED,
        ),
    ]


def _known() -> list[ChainCase]:
    policies = x509.CertificatePolicies(
        [x509.PolicyInformation(x509.ObjectIdentifier("2.23.140.1.2.1"), None)]
    )
    where = [
        x509.AccessDescription(
            x509.oid.AuthorityInformationAccessOID.OCSP,
            x509.UniformResourceIdentifier("http://ocsp.test"),
        )
    ]
    access = x509.AuthorityInformationAccess(where)
    points = x509.CRLDistributionPoints(
        [
            x509.DistributionPoint(
                [x509.UniformResourceIdentifier("http://crl.test")], None, None, None
            )
        ]
    )
    staple = x509.TLSFeature([x509.TLSFeatureType.status_request])
    return [
        case("policies", "RFC 5280 4.2.1.4", _with(policies)),
        case(
            "policies, critical",
            "RFC 5280 4.2.1.4",
            _with(policies, critical=True),
            UNTRUSTED,
            openssl=_POLICIES,
        ),
        case(
            "constraints on policies of the intermediate",
            "RFC 5280 4.2.1.11",
            _above(x509.PolicyConstraints(0, None), critical=True),
            UNTRUSTED,
            openssl=_NO_POLICIES,
        ),
        case(
            "inhibitAnyPolicy of the intermediate",
            "RFC 5280 4.2.1.14",
            _above(x509.InhibitAnyPolicy(0), critical=True),
        ),
        case("authority information access", "RFC 5280 4.2.2.1", _with(access)),
        case(
            "authority information access, critical",
            "RFC 5280 4.2.2.1",
            _with(access, critical=True),
            UNTRUSTED,
        ),
        case("CRL distribution points", "RFC 5280 4.2.1.13", _with(points)),
        case("must-staple, without a handshake", "RFC 7633", _with(staple)),
        case(
            "poison of a precertificate",
            "RFC 6962 3.1",
            _with(x509.PrecertPoison(), critical=True),
            UNTRUSTED,
        ),
    ]


_POLICIES = (
    "Not critical by the Baseline Requirements (7.1.2.7.6), and cryptography holds public roots"
    " to that."
)
_NO_POLICIES = (
    "A policy is demanded, and the leaf has none. OpenSSL looks at policies only if asked to."
)


def _twice(elements: list[bytes]) -> None:
    (inner,) = elements_of(elements[EXTENSIONS])
    every = elements_of(inner)
    elements[EXTENSIONS] = der_element(0xA3, der_element(0x30, b"".join([*every, every[0]])))
