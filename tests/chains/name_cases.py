"""Names: what a server's certificate must say to speak for a name."""

from cryptography import x509
from cryptography.x509 import SubjectAlternativeName

from tests.chains.case import (
    FROM_COMMON_NAME,
    HOST,
    ISSUING,
    MISMATCH,
    UNTRUSTED,
    ChainCase,
    case,
)
from tests.support.forging import Made, alternative_names, leaf, organization

_SAN = "RFC 9525 6.3"
_WILDCARD = "RFC 9525 6.3 (wildcards)"
_ADDRESS = "RFC 9525 6.5"
_CRITICAL = "RFC 5280 4.2.1.6"
_NOBODY = x509.Name([])


def name_cases() -> list[ChainCase]:
    """Return the cases."""
    return [*_dns(), *_wildcards(), *_addresses(), *_common_names(), *_extension()]


def _for(*dns: str, ips: tuple[str, ...] = (), subject: str | x509.Name = "leaf") -> list[Made]:
    return [leaf(ISSUING, dns=dns, ips=ips, subject=subject), ISSUING]


def _dns() -> list[ChainCase]:
    return [
        case("second of three names", _SAN, _for("a.test", HOST, "b.test")),
        case("upper case", "RFC 9525 6.3 (case)", _for("PARTNER.Test")),
        case("another name", _SAN, _for("other.test"), MISMATCH),
        case("a name above", _SAN, _for("test.example", "test"), MISMATCH),
        case("a name below", _SAN, _for("www.partner.test"), MISMATCH),
        case("a name that ends alike", _SAN, _for("notpartner.test"), MISMATCH),
        case("a name with a final dot", _SAN, _for("partner.test.", "a.test"), MISMATCH),
        case(
            "an A-label",
            "RFC 9525 6.3 (IDN)",
            _for("xn--bcher-kva.test"),
            server_name="xn--bcher-kva.test",
        ),
        case("an underscore next to a good name", "RFC 1123 2.1", _for("under_score.test", HOST)),
        case("a space after the name", _SAN, _for("partner.test ", "a.test"), MISMATCH),
        case("a NUL in the name", _SAN, _for("partner.test\0.evil.test", "a.test"), MISMATCH),
        case("a hundred names", _SAN, _for(*(f"host{number}.test" for number in range(99)), HOST)),
    ]


def _wildcards() -> list[ChainCase]:
    return [
        case(
            "the whole left label",
            _WILDCARD,
            _for("*.partner.test"),
            server_name="api.partner.test",
        ),
        case("not the name itself", _WILDCARD, _for("*.partner.test"), MISMATCH),
        case(
            "not two labels",
            _WILDCARD,
            _for("*.partner.test"),
            MISMATCH,
            server_name="a.b.partner.test",
        ),
        case("part of a label", _WILDCARD, _for("part*.test", "a.test"), MISMATCH),
        case(
            "part of a label, second half",
            _WILDCARD,
            _for("a*i.partner.test", "a.test"),
            MISMATCH,
            server_name="api.partner.test",
        ),
        case(
            "in the middle",
            _WILDCARD,
            _for("api.*.test", "a.test"),
            MISMATCH,
            server_name="api.partner.test",
        ),
        case(
            "twice", _WILDCARD, _for("*.*.test", "a.test"), MISMATCH, server_name="api.partner.test"
        ),
        case("over a top-level domain", _WILDCARD, _for("*.test"), MISMATCH),
        case("alone", _WILDCARD, _for("*", "a.test"), MISMATCH, server_name="localhost"),
        case(
            "over an A-label",
            "RFC 9525 6.3 (IDN)",
            _for("*.partner.test"),
            server_name="xn--bcher-kva.partner.test",
        ),
        case(
            "over a public suffix",
            "no list of suffixes",
            _for("*.co.uk"),
            server_name="partner.co.uk",
        ),
    ]


def _addresses() -> list[ChainCase]:
    return [
        case("IPv4 address", _ADDRESS, _for(ips=("192.0.2.1",)), server_name="192.0.2.1"),
        case(
            "another IPv4 address",
            _ADDRESS,
            _for(ips=("192.0.2.2",)),
            MISMATCH,
            server_name="192.0.2.1",
        ),
        case("IPv6 address", _ADDRESS, _for(ips=("2001:db8::1",)), server_name="2001:db8::1"),
        case(
            "IPv4 address as a DNS name",
            _ADDRESS,
            _for("192.0.2.1", "a.test"),
            MISMATCH,
            server_name="192.0.2.1",
        ),
        case(
            "IPv4 address as a common name",
            _ADDRESS,
            _for("a.test", subject="192.0.2.1"),
            MISMATCH,
            server_name="192.0.2.1",
        ),
        case(
            "address of five octets",
            "RFC 5280 4.2.1.6",
            [leaf(ISSUING, plus=[(_five_octets(), False)]), ISSUING],
            UNTRUSTED,
            MISMATCH,
        ),
    ]


def _common_names() -> list[ChainCase]:
    mail = alternative_names(others=[x509.RFC822Name("a@partner.test")])
    return [
        case(
            "common name alone under a public root",
            _SAN,
            _without_san(HOST),
            UNTRUSTED,
            FROM_COMMON_NAME,
            openssl=_NO_SAN,
        ),
        case("no name at all", _SAN, _without_san(organization("Nobody")), UNTRUSTED, MISMATCH),
        case(
            "common name and another subjectAltName",
            _SAN,
            _for("other.test", subject=HOST),
            MISMATCH,
        ),
        case(
            "common name and a mail address",
            _SAN,
            [leaf(ISSUING, subject=HOST, plus=[(mail, False)]), ISSUING],
            UNTRUSTED,
            MISMATCH,
            openssl=_MAIL,
        ),
    ]


_NO_SAN = (
    "OpenSSL still takes the common name; under a public root a subjectAltName is required (RFC"
    " 9525 6.3, BR 7.1.2.7.12)."
)
_MAIL = (
    "OpenSSL takes the common name where the subjectAltName holds no DNS name; RFC 9525 has done"
    " away with it."
)


def _extension() -> list[ChainCase]:
    critical = [(alternative_names((HOST,)), True)]
    uri = alternative_names(
        (HOST,), others=[x509.UniformResourceIdentifier("https://partner.test/")]
    )
    return [
        case(
            "critical, empty subject",
            _CRITICAL,
            [leaf(ISSUING, subject=_NOBODY, plus=critical), ISSUING],
        ),
        case(
            "not critical, empty subject",
            _CRITICAL,
            [leaf(ISSUING, subject=_NOBODY), ISSUING],
            UNTRUSTED,
        ),
        case(
            "critical, with a subject",
            "BR 7.1.2.7.12",
            [leaf(ISSUING, plus=critical), ISSUING],
            UNTRUSTED,
            openssl=_SAN_CRITICAL,
        ),
        case("with a URI as well", _CRITICAL, [leaf(ISSUING, plus=[(uri, False)]), ISSUING]),
        case(
            "without any name",
            _CRITICAL,
            [leaf(ISSUING, plus=[(SubjectAlternativeName([]), False)]), ISSUING],
            UNTRUSTED,
            MISMATCH,
        ),
    ]


_SAN_CRITICAL = (
    "RFC 5280 says SHOULD; the Baseline Requirements say MUST NOT, and cryptography holds public"
    " roots to that."
)


def _without_san(subject: str | x509.Name) -> list[Made]:
    return [leaf(ISSUING, subject=subject, without=[SubjectAlternativeName]), ISSUING]


def _five_octets() -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(
        SubjectAlternativeName.oid, b"\x30\x07\x87\x05\xc0\x00\x02\x01\x00"
    )
