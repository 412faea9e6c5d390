"""What a certificate may hold that is not read, not known or not written as DER wants it: one such
part spoils no other one, wherever the certificate stands.
"""

from functools import partial

from cryptography import x509

from tests.chains.case import (
    BY_ANCHOR,
    HOST,
    ISSUING,
    MISMATCH,
    MISORDERED,
    ROOT,
    UNKNOWN,
    UNTRUSTED,
    ChainCase,
    case,
)
from tests.support.forging import (
    EXTENSIONS,
    ISSUER,
    KEY,
    SUBJECT,
    VERSION,
    Edit,
    authority,
    elements_of,
    leaf,
)
from tests.support.signing import der_element

_CLAUSE = "RFC 5280 4.2"
_NAMES = "RFC 5280 4.2.1.6"
_TLS = "1.3.6.1.5.5.7"
_CERTIFICATE_POLICIES, _ALTERNATIVE_NAME = "2.5.29.32", "2.5.29.17"


def unread_cases() -> list[ChainCase]:
    """Return the cases."""
    return [
        *_extensions(),
        *_needed(),
        *_general_names(),
        *_encodings(),
        *_keys(),
        *_names(),
        *_versions(),
    ]


def _oid(dotted: str) -> bytes:
    """Return an object identifier in DER."""
    first, second, *arcs = map(int, dotted.split("."))
    octets = bytes([40 * first + second])
    for arc in arcs:
        groups = [arc >> shift & 0x7F for shift in range(0, max(arc.bit_length(), 1), 7)]
        octets += bytes([0x80 | group for group in groups[:0:-1]] + [groups[0]])
    return der_element(0x06, octets)


def _sequence(*parts: bytes) -> bytes:
    return der_element(0x30, b"".join(parts))


def _raw(oid: str, value: bytes) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)


def _policies(qualifier: str, value: bytes) -> x509.UnrecognizedExtension:
    policy = _sequence(_oid("1.2.3.4"), _sequence(_sequence(_oid(qualifier), value)))
    return _raw(_CERTIFICATE_POLICIES, _sequence(policy))


_LATIN = "prestación".encode("latin-1")
# Extensions that nothing rests on, each with something that a strict reader stumbles over.
_UNREADABLE: dict[str, x509.UnrecognizedExtension] = {
    "user notice with a byte above 127": _policies(
        _TLS + ".2.2", _sequence(der_element(0x1A, _LATIN))
    ),
    "user notice of a thousand letters": _policies(
        _TLS + ".2.2", _sequence(der_element(0x0C, b"a" * 1_000))
    ),
    "policy with a qualifier of an unknown kind": _policies("1.2.3.5", der_element(0x0C, b"x")),
    "authority information access with a byte above 127": _raw(
        _TLS + ".1.1",
        _sequence(_sequence(_oid(_TLS + ".48.2"), der_element(0x86, b"http://a.test/" + _LATIN))),
    ),
    "authority information access that is empty": _raw(_TLS + ".1.1", _sequence()),
    "CRL distribution points that are no structure": _raw("2.5.29.31", b"\x04\x01a"),
    "key identifier that is no structure": _raw("2.5.29.14", b"\x0c\x01a"),
    "freshest CRL that is cut off": _raw("2.5.29.46", b"\x30\x09a"),
    "issuer alternative name with an x400Address": _raw(
        "2.5.29.18", _sequence(der_element(0xA3, _sequence()))
    ),
    "list of timestamps that is none": _raw("1.3.6.1.4.1.11129.2.4.2", b"\x04\x02\x00\x00"),
    "private key usage period that is none": _raw("2.5.29.16", b"\xff"),
    "logotype with nothing in it": _raw(_TLS + ".1.12", b""),
    "qualified certificate statements that are none": _raw(_TLS + ".1.3", b"\x31\x00"),
}


_READ_BY_OPENSSL = ("2.5.29.14", "2.5.29.31")
_OPENSSL_READS = "OpenSSL reads this extension for searches of its own; nothing here rests on it."


def _extensions() -> list[ChainCase]:
    """In the leaf, in the authority above it, and in the root."""
    found = []
    for what, value in _UNREADABLE.items():
        plus = [(value, False)]
        middle = authority(f"Above: {what}", by=ROOT, plus=plus)
        root = authority(f"Root: {what}", plus=plus)
        differs = _OPENSSL_READS if value.oid.dotted_string in _READ_BY_OPENSSL else ""
        found += [
            case(f"leaf: {what}", _CLAUSE, [leaf(ISSUING, plus=plus), ISSUING], openssl=differs),
            case(f"intermediate: {what}", _CLAUSE, [leaf(middle), middle], openssl=differs),
            case(f"root: {what}", _CLAUSE, [leaf(root)], roots=(root,), openssl=differs),
        ]
    return found


_OUR_READING = "What this extension says is needed here, so it must be readable, critical or not."
_TWICE = "RFC 5280 4.2: MUST NOT. OpenSSL looks at the first."


def _needed() -> list[ChainCase]:
    """What a verdict rests on: a leaf with it is not trusted, but a pin needs none of it."""
    cut_off = b"\x30\x09a"
    kinds = {
        "basicConstraints": ("2.5.29.19", ""),
        "keyUsage": ("2.5.29.15", ""),
        "extendedKeyUsage": ("2.5.29.37", ""),
        "nameConstraints": ("2.5.29.30", ""),
        "tlsFeature": (_TLS + ".1.24", _OUR_READING),
    }
    found = []
    for number, (what, (oid, differs)) in enumerate(kinds.items()):
        plus = [(_raw(oid, cut_off), False)]
        host = f"unread{number}.test"
        pinned = leaf(None, dns=[host], plus=plus)
        found += [
            case(
                f"leaf: {what} that is cut off",
                _CLAUSE,
                [leaf(ISSUING, plus=plus), ISSUING],
                UNTRUSTED,
                openssl=differs,
            ),
            case(
                f"leaf: {what} that is cut off, pinned",
                _CLAUSE,
                [pinned],
                BY_ANCHOR,
                server_name=host,
                pins=(pinned,),
            ),
        ]
        if oid not in ("2.5.29.19", _TLS + ".1.24"):
            middle = authority(f"Unread {what}", by=ROOT, plus=plus)
            found.append(
                case(
                    f"intermediate: {what} that is cut off",
                    _CLAUSE,
                    [leaf(middle), middle],
                    UNTRUSTED,
                )
            )
    bad_names = [(_raw(_ALTERNATIVE_NAME, b"\x30\x03\x82\x09a"), False)]
    found.append(
        case(
            "leaf: subjectAltName that is cut off",
            _NAMES,
            [leaf(ISSUING, subject=HOST, plus=bad_names), ISSUING],
            UNTRUSTED,
            UNKNOWN,
        )
    )
    twice = _raw("1.2.3.4.5", b"\x05\x00")
    for label, edit, differs in (
        ("an unknown extension twice", _twice(twice), _TWICE),
        ("subjectAltName twice", _repeated("0603551d11"), ""),
    ):
        codes = (UNTRUSTED,) if "unknown" in label else (UNTRUSTED, UNKNOWN)
        found.append(
            case(
                f"leaf: {label}",
                _CLAUSE,
                [leaf(ISSUING, plus=[(twice, False)], edit=edit), ISSUING],
                *codes,
                openssl=differs,
            )
        )
    return found


def _twice(value: x509.UnrecognizedExtension) -> Edit:
    return _repeated(_oid(value.oid.dotted_string).hex())


def _repeated(oid: str) -> Edit:
    """Write the extension with this OID once more at the end."""

    def edit(elements: list[bytes]) -> None:
        (inner,) = elements_of(elements[EXTENSIONS])
        every = elements_of(inner)
        again = next(one for one in every if oid in one.hex()[:40])
        elements[EXTENSIONS] = der_element(0xA3, _sequence(*every, again))

    return edit


_ODD_NAMES: dict[str, bytes] = {
    "x400Address": der_element(0xA3, _sequence()),
    "ediPartyName": der_element(0xA5, der_element(0xA1, der_element(0x0C, b"edi"))),
    "otherName": der_element(0xA0, _oid("1.2.3") + der_element(0xA0, der_element(0x0C, b"a"))),
    "registeredID": der_element(0x88, b"\x2a\x03"),
    "a directory name in T61String": der_element(
        0xA4, _sequence(der_element(0x31, _sequence(_oid("2.5.4.10"), der_element(0x14, _LATIN))))
    ),
    "a DNS name with a byte above 127": der_element(0x82, _LATIN + b".test"),
    "a URI with a byte above 127": der_element(0x86, b"http://a.test/" + _LATIN),
    "a mail address with a byte above 127": der_element(0x81, _LATIN + b"@a.test"),
    "an empty DNS name": der_element(0x82, b""),
    "an address of five octets": der_element(0x87, bytes(5)),
    "a network": der_element(0x87, bytes(8)),
}


def _general_names() -> list[ChainCase]:
    """Next to a DNS name, which counts as ever."""
    found = []
    for what, odd in _ODD_NAMES.items():
        for first in (True, False):
            good = der_element(0x82, HOST.encode())
            names = _sequence(odd, good) if first else _sequence(good, odd)
            plus = [(_raw(_ALTERNATIVE_NAME, names), False)]
            where = "before" if first else "after"
            found.append(
                case(
                    f"{what} {where} the DNS name",
                    _NAMES,
                    [leaf(ISSUING, plus=plus), ISSUING],
                )
            )
        other = _raw(_ALTERNATIVE_NAME, _sequence(odd, der_element(0x82, b"elsewhere.test")))
        found.append(
            case(
                f"{what} next to another DNS name",
                _NAMES,
                [leaf(ISSUING, plus=[(other, False)]), ISSUING],
                MISMATCH,
            )
        )
    return found


def _encodings() -> list[ChainCase]:
    """Not DER, and met all the same: OpenSSL and Go read each of them."""
    explicit = b"\x30\x03\x01\x01\x00"
    not_an_authority = [(_raw("2.5.29.19", explicit), False)]
    return [
        case(
            "leaf: CA:FALSE written out",
            "X.690 11.5",
            [leaf(ISSUING, plus=not_an_authority), ISSUING],
        ),
        case(
            "leaf: critical:FALSE written out",
            "X.690 11.5",
            [leaf(ISSUING, edit=_default_written_out), ISSUING],
        ),
        case(
            "leaf: keyUsage with zeros at the end",
            "X.690 11.2.2",
            [leaf(ISSUING, plus=[(_raw("2.5.29.15", b"\x03\x02\x00\x80"), True)]), ISSUING],
        ),
        case(
            "leaf: keyUsage without a bit",
            "RFC 5280 4.2.1.3",
            [leaf(ISSUING, plus=[(_raw("2.5.29.15", b"\x03\x01\x00"), True)]), ISSUING],
            UNTRUSTED,
        ),
    ]


def _default_written_out(elements: list[bytes]) -> None:
    (inner,) = elements_of(elements[EXTENSIONS])
    rewritten = []
    for extension in elements_of(inner):
        parts = elements_of(extension)
        rewritten.append(
            _sequence(parts[0], b"\x01\x01\x00", parts[1]) if len(parts) == 2 else extension
        )
    elements[EXTENSIONS] = der_element(0xA3, _sequence(*rewritten))


def _with_key(algorithm: bytes, key: bytes) -> Edit:
    def edit(elements: list[bytes]) -> None:
        elements[KEY] = _sequence(algorithm, der_element(0x03, b"\x00" + key))

    return edit


_EC, _RSA = "1.2.840.10045.2.1", "1.2.840.113549.1.1.1"
_KEYS: dict[str, Edit] = {
    "ML-DSA-65": _with_key(_sequence(_oid("2.16.840.1.101.3.4.3.18")), bytes(1_952)),
    "SLH-DSA": _with_key(_sequence(_oid("2.16.840.1.101.3.4.3.20")), bytes(32)),
    "GOST R 34.10-2012": _with_key(
        _sequence(
            _oid("1.2.643.7.1.1.1.1"),
            _sequence(_oid("1.2.643.2.2.35.1"), _oid("1.2.643.7.1.1.2.2")),
        ),
        der_element(0x04, bytes(range(64))),
    ),
    "SM2": _with_key(_sequence(_oid(_EC), _oid("1.2.156.10197.1.301")), b"\x04" + bytes(64)),
    "a curve that nobody knows": _with_key(_sequence(_oid(_EC), _oid("1.2.3.4")), bytes(65)),
    "a curve without a name": _with_key(_sequence(_oid(_EC)), bytes(65)),
    "a curve that is inherited": _with_key(_sequence(_oid(_EC), b"\x05\x00"), bytes(65)),
    "a point that is on no curve": _with_key(
        _sequence(_oid(_EC), _oid("1.2.840.10045.3.1.7")), b"\x04" + b"\x01" * 64
    ),
    "an RSA key that is no structure": _with_key(_sequence(_oid(_RSA), b"\x05\x00"), b"\x01\x02"),
    "an algorithm that nobody knows": _with_key(_sequence(_oid("1.3.6.1.4.1.99999.7")), b"\x01"),
    "a key in three parts": _with_key(_sequence(_oid(_RSA), b"\x05\x00", b"\x05\x00"), b"\x01\x02"),
    "a key of no kind": _with_key(_sequence(), b"\x01\x02"),
    "X25519": _with_key(_sequence(_oid("1.3.101.110")), bytes(range(32))),
    "DSA with inherited parameters": _with_key(
        _sequence(_oid("1.2.840.10040.4.1")), der_element(0x02, b"\x05")
    ),
}


def _keys() -> list[ChainCase]:
    """Pinned, and so judged by equality, name and dates: the strength of the key is unknown."""
    found = []
    for number, (what, edit) in enumerate(_KEYS.items()):
        host = f"key{number}.test"
        pinned = leaf(ISSUING, dns=[host], edit=edit)
        alien = authority("Other", by=ROOT, edit=edit)
        found += [
            case(
                f"pinned, with {what}",
                "OTPC: self-signed, that we can trust",
                [pinned],
                BY_ANCHOR,
                UNKNOWN,
                server_name=host,
                pins=(pinned,),
            ),
            case(
                f"an unrelated authority with {what}",
                "RFC 5246 7.4.2",
                [leaf(ISSUING), ISSUING, alien],
                MISORDERED,
            ),
        ]
    return found


def _string(tag: int, content: bytes) -> bytes:
    return _sequence(der_element(0x31, _sequence(_oid("2.5.4.3"), der_element(tag, content))))


_STRINGS: dict[str, tuple[int, bytes]] = {
    "T61String": (0x14, "Bücher".encode("latin-1")),
    "BMPString": (0x1E, "Bücher".encode("utf-16-be")),
    "UniversalString": (0x1C, "Bücher".encode("utf-32-be")),
    "UTF8String": (0x0C, "Bücher".encode()),
    "UTF8String in other case": (0x0C, "BÜCHER".encode()),
    "UTF8String that is not UTF-8": (0x0C, "Bücher".encode("latin-1")),
    "PrintableString with a byte above 127": (0x13, "Bücher".encode("latin-1")),
}
_BYTES = {"UTF8String that is not UTF-8", "PrintableString with a byte above 127"}


def _names() -> list[ChainCase]:
    """Names of authorities in every type of string, and chains from one type to another."""

    def named(tag: int, content: bytes) -> Edit:
        def edit(elements: list[bytes]) -> None:
            elements[SUBJECT] = _string(tag, content)

        return edit

    def issued(tag: int, content: bytes) -> Edit:
        def edit(elements: list[bytes]) -> None:
            elements[ISSUER] = _string(tag, content)

        return edit

    found = []
    for what, (tag, content) in _STRINGS.items():
        middle = authority("Named", by=ROOT, edit=named(tag, content))
        same = leaf(middle, edit=issued(tag, content))
        found.append(
            case(
                f"issuer in {what}",
                "RFC 5280 4.1.2.4",
                [same, middle],
                openssl=_NOT_TEXT if what == "UTF8String that is not UTF-8" else "",
            )
        )
        if what not in _BYTES:
            utf8 = leaf(middle, edit=issued(0x0C, "Bücher".encode()))
            differs = _CASE if "other case" in what else ""
            found.append(
                case(
                    f"issuer in {what}, named in UTF8String",
                    "RFC 5280 7.1",
                    [utf8, middle],
                    openssl=differs,
                )
            )
    return found


def _versions() -> list[ChainCase]:
    """Whether a client looks for names in such a certificate is not known."""
    found = []
    for number, octets in (
        (2, b"\x01"),
        (4, b"\x03"),
        (128, b"\x7f"),
        (0, b"\xff"),
        (257, b"\x01\x00"),
    ):
        host = f"version{number}.test"
        edit = partial(_as_version, octets)
        pinned = leaf(None, dns=[host], edit=edit)
        middle = authority(f"Version {number}", by=ROOT, edit=edit)
        root = authority(f"Root of version {number}", edit=edit)
        differs = "" if number < 3 else "OpenSSL takes any version."
        clause = "RFC 5280 4.1.2.1"
        found += [
            case(
                f"pinned, of version {number}",
                clause,
                [pinned],
                BY_ANCHOR,
                UNKNOWN,
                server_name=host,
                pins=(pinned,),
            ),
            case(
                f"intermediate of version {number}",
                clause,
                [leaf(middle), middle],
                UNTRUSTED,
                openssl=differs,
            ),
            case(
                f"root of version {number}",
                clause,
                [leaf(root)],
                UNTRUSTED,
                roots=(root,),
                openssl=differs,
            ),
        ]
    return found


def _as_version(octets: bytes, elements: list[bytes]) -> None:
    elements[VERSION] = der_element(0xA0, der_element(0x02, octets))


_NOT_TEXT = "OpenSSL refuses names that it cannot convert; equal octets are equal names."
_CASE = "OpenSSL folds the case of ASCII letters alone (RFC 5280 7.1: of all)."
