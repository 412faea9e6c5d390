"""The right to issue and to serve: constraints, path length, key usage, purposes, versions."""

from cryptography.x509 import BasicConstraints, ExtendedKeyUsage, KeyUsage

from tests.chains.case import (
    FROM_COMMON_NAME,
    INCOMPLETE,
    ISSUING,
    ROOT,
    UNKNOWN,
    UNTRUSTED,
    ChainCase,
    case,
)
from tests.support.forging import EXTENSIONS, VERSION, Made, authority, key_usage, leaf, purposes
from tests.support.signing import der_element

_BASIC = "RFC 5280 4.2.1.9"
_USAGE = "RFC 5280 4.2.1.3"
_PURPOSE = "RFC 5280 4.2.1.12"


def right_cases() -> list[ChainCase]:
    """Return the cases."""
    return [
        *_basic_constraints(),
        *_path_length(),
        *_authority_usage(),
        *_leaf_usage(),
        *_purposes(),
        *_versions(),
    ]


def _basic_constraints() -> list[ChainCase]:
    no_ca = authority("No CA", by=ROOT, plus=[(BasicConstraints(False, None), True)])
    silent = authority("Silent", by=ROOT, without=[BasicConstraints])
    not_critical = authority("Not critical", by=ROOT, plus=[(BasicConstraints(True, None), False)])
    no_ca_root = authority("No CA Root", plus=[(BasicConstraints(False, None), True)])
    loose_root = authority("Loose Root", plus=[(BasicConstraints(True, None), False)])
    return [
        case("intermediate says CA:FALSE", _BASIC, [leaf(no_ca), no_ca], UNTRUSTED),
        case("intermediate without basicConstraints", _BASIC, [leaf(silent), silent], UNTRUSTED),
        case(
            "intermediate's basicConstraints not critical",
            _BASIC,
            [leaf(not_critical), not_critical],
            UNTRUSTED,
        ),
        case(
            "root says CA:FALSE",
            "RFC 5280 6.1.4 (k)",
            [leaf(no_ca_root)],
            UNTRUSTED,
            INCOMPLETE,
            roots=(no_ca_root,),
        ),
        case(
            "root's basicConstraints not critical",
            _BASIC,
            [leaf(loose_root)],
            roots=(loose_root,),
            openssl=_ANCHOR,
        ),
        case(
            "leaf says CA:TRUE",
            "BR 7.1.2.7.8",
            [leaf(ISSUING, plus=[(BasicConstraints(True, None), True)]), ISSUING],
            UNTRUSTED,
            openssl=_LEAF_IS_CA,
        ),
        case(
            "leaf without basicConstraints",
            _BASIC,
            [leaf(ISSUING, without=[BasicConstraints]), ISSUING],
        ),
        case(
            "leaf's basicConstraints not critical",
            _BASIC,
            [leaf(ISSUING, plus=[(BasicConstraints(False, None), False)]), ISSUING],
        ),
    ]


_LEAF_IS_CA = (
    "OpenSSL lets an authority's certificate serve; the Baseline Requirements and Firefox do not."
)


def _path_length() -> list[ChainCase]:
    zero = authority("Zero", by=ROOT, path_length=0)
    below = authority("Below zero", by=zero)
    one = authority("One", by=ROOT, path_length=1)
    below_one = authority("Below one", by=one)
    two_below_one = authority("Two below one", by=below_one)
    zero_root = authority("Zero Root", path_length=0)
    below_root = authority("Below Zero Root", by=zero_root)
    renewed = authority("Zero", by=zero)
    many = authority("Many", by=ROOT, path_length=300)
    return [
        case("pathLen 0 and a leaf", _BASIC, [leaf(zero), zero]),
        case("pathLen 0 and an intermediate", _BASIC, [leaf(below), below, zero], UNTRUSTED),
        case("pathLen 1 and an intermediate", _BASIC, [leaf(below_one), below_one, one]),
        case(
            "pathLen 1 and two intermediates",
            _BASIC,
            [leaf(two_below_one), two_below_one, below_one, one],
            UNTRUSTED,
        ),
        case("pathLen 0 of the root and a leaf", _BASIC, [leaf(zero_root)], roots=(zero_root,)),
        case(
            "pathLen 0 of the root and an intermediate",
            _BASIC,
            [leaf(below_root), below_root],
            UNTRUSTED,
            roots=(zero_root,),
        ),
        case(
            "pathLen 0 and a self-issued intermediate",
            "RFC 5280 6.1.4 (l)",
            [leaf(renewed), renewed, zero],
        ),
        case("pathLen 300", _BASIC, [leaf(many), many]),
    ]


_ANCHOR = (
    "Only -x509_strict asks: an anchor is a name and a key, however its certificate is written."
)


def _authority_usage() -> list[ChainCase]:
    cannot_sign = authority("Cannot sign", by=ROOT, plus=[(key_usage("crl_sign"), True)])
    signs_only = authority(
        "Signs certificates only", by=ROOT, plus=[(key_usage("key_cert_sign"), True)]
    )
    silent = authority("No usage", by=ROOT, without=[KeyUsage])
    not_critical = authority(
        "Usage not critical", by=ROOT, plus=[(key_usage("key_cert_sign", "crl_sign"), False)]
    )
    root_cannot = authority("Root cannot sign", plus=[(key_usage("crl_sign"), True)])
    silent_root = authority("Silent Root", without=[KeyUsage])
    return [
        case(
            "intermediate without keyCertSign", _USAGE, [leaf(cannot_sign), cannot_sign], UNTRUSTED
        ),
        case("intermediate with keyCertSign alone", _USAGE, [leaf(signs_only), signs_only]),
        case("intermediate without keyUsage", _USAGE, [leaf(silent), silent], UNTRUSTED),
        case("intermediate's keyUsage not critical", _USAGE, [leaf(not_critical), not_critical]),
        case(
            "root without keyCertSign",
            _USAGE,
            [leaf(root_cannot)],
            UNTRUSTED,
            INCOMPLETE,
            roots=(root_cannot,),
        ),
        case(
            "root without keyUsage",
            _USAGE,
            [leaf(silent_root)],
            roots=(silent_root,),
            openssl=_ANCHOR,
        ),
    ]


def _leaf_usage() -> list[ChainCase]:
    def with_usage(*usages: str) -> list[Made]:
        return [leaf(ISSUING, plus=[(key_usage(*usages), True)]), ISSUING]

    return [
        case("leaf without keyUsage", _USAGE, [leaf(ISSUING, without=[KeyUsage]), ISSUING]),
        case(
            "leaf with digitalSignature and keyEncipherment",
            _USAGE,
            with_usage("digital_signature", "key_encipherment"),
        ),
        case(
            "leaf's keyUsage not critical",
            _USAGE,
            [leaf(ISSUING, plus=[(key_usage("digital_signature"), False)]), ISSUING],
        ),
        case(
            "leaf with keyEncipherment alone",
            "RFC 8446 4.4.2.2",
            with_usage("key_encipherment"),
            UNTRUSTED,
            openssl=_FOR_RSA,
        ),
        case(
            "leaf with keyAgreement alone",
            "RFC 8446 4.4.2.2",
            with_usage("key_agreement"),
            UNTRUSTED,
            openssl=_FOR_RSA,
        ),
        case("leaf with cRLSign alone", "RFC 8446 4.4.2.2", with_usage("crl_sign"), UNTRUSTED),
        case(
            "leaf with nonRepudiation alone",
            "RFC 8446 4.4.2.2",
            with_usage("content_commitment"),
            UNTRUSTED,
        ),
        case(
            "leaf with keyCertSign",
            "BR 7.1.2.7.11",
            with_usage("digital_signature", "key_cert_sign"),
            UNTRUSTED,
        ),
    ]


_FOR_RSA = (
    "OpenSSL's purpose allows it for key exchanges by RSA or static DH, which none of the six"
    " suites and no TLS 1.3 suite uses."
)


def _purposes() -> list[ChainCase]:
    def served(*names: str, critical: bool = False) -> list[Made]:
        return [leaf(ISSUING, plus=[(purposes(*names), critical)]), ISSUING]

    def below(*names: str) -> list[Made]:
        middle = authority("For " + " ".join(names), by=ROOT, plus=[(purposes(*names), False)])
        return [leaf(middle), middle]

    upper = authority("Clients above", by=ROOT, plus=[(purposes("client_auth"), False)])
    lower = authority("Servers below", by=upper, plus=[(purposes("server_auth"), False)])
    client_root = authority("Root for clients", plus=[(purposes("client_auth"), False)])
    return [
        case(
            "leaf without extendedKeyUsage",
            _PURPOSE,
            [leaf(ISSUING, without=[ExtendedKeyUsage]), ISSUING],
        ),
        case("leaf for servers and clients", _PURPOSE, served("server_auth", "client_auth")),
        case(
            "leaf for servers, critical",
            _PURPOSE,
            served("server_auth", critical=True),
            UNTRUSTED,
            openssl=_CRITICAL_PURPOSE,
        ),
        case("leaf for clients", _PURPOSE, served("client_auth"), UNTRUSTED),
        case("leaf for OCSP", _PURPOSE, served("ocsp_signing"), UNTRUSTED),
        case("leaf for any purpose", "BR 7.1.2.7.10", served("any"), UNTRUSTED),
        case("intermediate for servers", "BR 7.1.2.10.6", below("server_auth")),
        case(
            "intermediate for servers and clients",
            "BR 7.1.2.10.6",
            below("server_auth", "client_auth"),
        ),
        case(
            "intermediate for any purpose",
            "BR 7.1.2.10.6",
            below("any"),
            openssl="OpenSSL reads anyExtendedKeyUsage as no purpose it knows.",
        ),
        case("intermediate for clients", "BR 7.1.2.10.6", below("client_auth"), UNTRUSTED),
        case("intermediate for code", "BR 7.1.2.10.6", below("code_signing"), UNTRUSTED),
        case(
            "upper intermediate for clients, lower for servers",
            "BR 7.1.2.10.6",
            [leaf(lower), lower, upper],
            UNTRUSTED,
        ),
        case(
            "root for clients", "BR 7.1.2.1.2", [leaf(client_root)], UNTRUSTED, roots=(client_root,)
        ),
    ]


_CRITICAL_PURPOSE = (
    "The Baseline Requirements (7.1.2.7.6) want it not critical, and cryptography holds public"
    " roots to that."
)


def _versions() -> list[ChainCase]:
    first = authority("Version 1", by=ROOT, edit=_as_version_1)
    first_root = authority("Version 1 Root", edit=_as_version_1)
    second = leaf(ISSUING, edit=_as_version_2)
    return [
        case(
            "version 1 leaf",
            "RFC 5280 4.1.2.1",
            [leaf(ISSUING, subject="partner.test", edit=_as_version_1), ISSUING],
            UNTRUSTED,
            FROM_COMMON_NAME,
            openssl=_NO_SAN,
        ),
        case("version 1 intermediate", "RFC 5280 6.1.4 (k)", [leaf(first), first], UNTRUSTED),
        case(
            "version 1 root",
            "RFC 5280 6.1.4 (k)",
            [leaf(first_root)],
            UNTRUSTED,
            INCOMPLETE,
            roots=(first_root,),
        ),
        case(
            "version 2 with extensions",
            "RFC 5280 4.1.2.1",
            [second, ISSUING],
            UNTRUSTED,
            UNKNOWN,
        ),
        case(
            "version 4",
            "RFC 5280 4.1.2.1",
            [leaf(ISSUING, edit=_as_version_4), ISSUING],
            UNTRUSTED,
            UNKNOWN,
            openssl="OpenSSL takes any version.",
        ),
    ]


_NO_SAN = (
    "OpenSSL still takes the common name; under a public root a subjectAltName is required (RFC"
    " 9525 6.3, BR 7.1.2.7.12)."
)


def _as_version_1(elements: list[bytes]) -> None:
    del elements[EXTENSIONS]
    del elements[VERSION]


def _as_version_2(elements: list[bytes]) -> None:
    elements[VERSION] = der_element(0xA0, b"\x02\x01\x01")


def _as_version_4(elements: list[bytes]) -> None:
    elements[VERSION] = der_element(0xA0, b"\x02\x01\x03")
