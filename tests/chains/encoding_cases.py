"""Odd bytes: what must not be read, and what has been read for decades."""

from tests.chains.case import (
    FROM_COMMON_NAME,
    HOST,
    INCOMPLETE,
    ISSUING,
    MALFORMED,
    MISMATCH,
    MISORDERED,
    ROOT,
    UNKNOWN,
    UNTRUSTED,
    ChainCase,
    case,
)
from tests.support.forging import ISSUER, SERIAL, SUBJECT, Edit, authority, elements_of, leaf, make
from tests.support.signing import der_element

_SERIAL = "RFC 5280 4.1.2.2"
_DER = "RFC 5280 4.1"
_UNREADABLE = (MALFORMED, UNTRUSTED, MISMATCH, UNKNOWN)


def encoding_cases() -> list[ChainCase]:
    """Return the cases."""
    return [*_serial_numbers(), *_names(), *_bytes()]


def _serial_numbers() -> list[ChainCase]:
    zero_root = authority("Zero serial Root", edit=_serial(b"\x00"))
    zero = authority("Zero serial", by=ROOT, edit=_serial(b"\x00"))
    return [
        case("serial number 0", _SERIAL, [leaf(ISSUING, edit=_serial(b"\x00")), ISSUING]),
        case(
            "serial number -1",
            _SERIAL,
            [leaf(ISSUING, edit=_serial(b"\xff")), ISSUING],
        ),
        case(
            "serial number of 20 octets",
            _SERIAL,
            [leaf(ISSUING, edit=_serial(b"\x7f" * 20)), ISSUING],
        ),
        case(
            "serial number of 21 octets",
            _SERIAL,
            [leaf(ISSUING, edit=_serial(b"\x7f" * 21)), ISSUING],
        ),
        case("serial number 0 of the intermediate", _SERIAL, [leaf(zero), zero]),
        case("serial number 0 of the root", _SERIAL, [leaf(zero_root)], roots=(zero_root,)),
        case(
            "the same serial number twice",
            _SERIAL,
            [
                leaf(ISSUING, serial=7),
                authority("Issuing", by=ROOT, key=ISSUING.key, edit=_serial(b"\x07")),
            ],
        ),
    ]


def _names() -> list[ChainCase]:
    utf8 = authority("Bücher", by=ROOT)
    other_type = leaf(ISSUING, edit=_issuer_as_printable)
    return [
        case("issuer in UTF-8", "RFC 5280 4.1.2.4", [leaf(utf8), utf8]),
        case(
            "issuer in another type of string",
            "RFC 5280 7.1",
            [other_type, ISSUING],
        ),
        case(
            "empty issuer",
            "RFC 5280 4.1.2.4",
            [leaf(ISSUING, edit=_without_issuer), ISSUING],
            UNTRUSTED,
            INCOMPLETE,
            MISORDERED,
        ),
        case(
            "subject of a thousand letters",
            "RFC 5280 A.1 (ub-common-name)",
            [leaf(ISSUING, edit=_long_subject), ISSUING],
        ),
    ]


def _bytes() -> list[ChainCase]:
    good = leaf(ISSUING)
    content = b"".join(elements_of(good.der))
    indefinite = b"\x30\x80" + content + b"\x00\x00"
    long_form = b"\x30\x83\x00" + len(content).to_bytes(2, "big") + content
    return [
        case(
            "bytes after the certificate",
            _DER,
            [good.der + b"\x00", ISSUING],
            *_UNREADABLE,
            has_second_opinion=False,
        ),
        case("nothing", _DER, [b"", ISSUING], *_UNREADABLE, has_second_opinion=False),
        case("cut off", _DER, [good.der[:-20], ISSUING], *_UNREADABLE),
        case(
            "indefinite length",
            _DER,
            [indefinite, ISSUING],
            *_UNREADABLE,
            openssl="OpenSSL reads BER as well; a signature over DER must be read as DER.",
        ),
        case(
            "length in more octets than needed",
            _DER,
            [long_form, ISSUING],
            *_UNREADABLE,
            openssl="OpenSSL reads BER as well.",
        ),
        case(
            "a key instead of a certificate",
            _DER,
            [elements_of(elements_of(good.der)[0])[6], ISSUING],
            *_UNREADABLE,
        ),
        case(
            "a subject and no extension",
            _DER,
            [make(HOST, by=ISSUING, key="ec256", extensions=(), dates=_DATES), ISSUING],
            UNTRUSTED,
            FROM_COMMON_NAME,
        ),
    ]


_DATES = (ISSUING.certificate.not_valid_before_utc, ISSUING.certificate.not_valid_after_utc)


def _serial(number: bytes) -> Edit:
    def edit(elements: list[bytes]) -> None:
        elements[SERIAL] = der_element(0x02, number)

    return edit


def _common_name(tag: int, text: bytes) -> bytes:
    attribute = der_element(0x30, bytes.fromhex("0603550403") + der_element(tag, text))
    return der_element(0x30, der_element(0x31, attribute))


def _issuer_as_printable(elements: list[bytes]) -> None:
    elements[ISSUER] = _common_name(0x13, b"Issuing")


def _without_issuer(elements: list[bytes]) -> None:
    elements[ISSUER] = der_element(0x30, b"")


def _long_subject(elements: list[bytes]) -> None:
    elements[SUBJECT] = _common_name(0x0C, b"a" * 1000)
