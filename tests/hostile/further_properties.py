"""Properties of a ClientHello that are held out: no survey is made or changed with them in mind.

They are what fingerprints (parts of JA3 and JA4), filters and broken middleboxes look at, beyond
the lists of properties.py and wider_properties.py. The share of them that a measurement holds says
what it holds of properties that nobody listed. They stand in no table of open rows: whoever makes a
survey hold one of them by name has to replace it here.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence

from tests.hostile.faults import FAULTS
from tests.hostile.properties import (
    ALPN,
    EXTENDED_MASTER_SECRET,
    GREASE,
    KEY_SHARE,
    P256,
    P384,
    P521,
    POINT_FORMATS,
    SERVER_NAME,
    SESSION_TICKET,
    SIGNALS,
    SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS,
    X25519,
    Property,
    longer_than,
    more_suites_than,
    named_suites,
    suites_before,
)
from tests.hostile.wider_properties import (
    extensions_in_order,
    first_group,
    listing,
    more_extensions_than,
    more_schemes_than,
    offers_group,
    protocols_are,
    stands_at,
    suites_named,
    verifies_scheme,
)
from tests.support.hostile.hello import SeenHello, read_client_hello
from tests.support.hostile.made_hello import (
    Change,
    MadeHello,
    all_of,
    as_it_is,
    in_order,
    key_shares,
    protocols,
    suites_first,
    suites_last,
    with_extension,
    with_legacy_version,
    with_own_version_listed,
    with_random_beginning,
    with_record_version,
    with_session_id,
    without_suites,
)
from tests.support.hostile.turns import Claim

_STATUS_REQUEST, _SCHEMES, _PADDING, _PSK_MODES, _RENEGOTIATION_INFO = 5, 13, 21, 45, 0xFF01
_FFDHE8192, _SECP224R1 = 260, 21
_TLS_1_2 = 0x0303
_STATUS = b"\1\0\0\0\0"
_H2 = protocols("h2", "http/1.1")
# For private use (RFC 8447 7, RFC 8446 B.4); servers ignore both.
_PRIVATE_EXTENSION, _PRIVATE_SUITE = 0xFE40, 0xFF40
_TRIES = 64

_TLS13 = frozenset(range(0x1301, 0x1306))
_GCM, _CBC = named_suites("_GCM_"), named_suites("_CBC_")
_DHE, _ECDHE = named_suites("_DHE_"), named_suites("_ECDHE_")
_ECDHE_ECDSA, _ECDHE_RSA = named_suites("_ECDHE_ECDSA_"), named_suites("_ECDHE_RSA_")
_SHA384, _SHA256 = named_suites("_SHA384"), named_suites("_SHA256")
_FORWARD_SECRET = _DHE | _ECDHE | _TLS13
_STATIC_RSA = (0x002F, 0x0035, 0x003B, 0x0002)


def _until(claim: Claim, wanted: bool, further: Callable[[int], Change]) -> Change:
    """Apply ever more changes, until the claim about the hello is as wanted.

    further: returns the change of each number from 0.
    """

    def change(hello: MadeHello) -> MadeHello:
        for number in range(_TRIES):
            seen = read_client_hello(bytes(hello))
            assert seen is not None
            if claim(seen) is wanted:
                return hello
            hello = further(number)(hello)
        raise AssertionError("no change of this kind helps")

    return change


def _more_extensions(number: int) -> Change:
    return with_extension(_PRIVATE_EXTENSION + number)


def _more_suites(number: int) -> Change:
    return suites_last(_PRIVATE_SUITE + number)


def _longer(number: int) -> Change:
    return with_extension(_PADDING, bytes(number))


def _found(name: str, claim: Claim, further: Callable[[int], Change]) -> Property:
    """A property that hellos have by what they add up to."""
    return Property(
        name=name,
        is_had_by=claim,
        given=_until(claim, True, further),
        taken=_until(claim, False, further),
    )


def _plain(name: str, claim: Claim, given: Change, taken: Change = as_it_is) -> Property:
    return Property(name=name, is_had_by=claim, given=given, taken=taken)


def _without_grease(numbers: Sequence[int]) -> list[int]:
    return [number for number in numbers if number not in GREASE]


def _ja3(hello: SeenHello) -> bytes:
    """https://github.com/salesforce/ja3: MD5 over five lists, GREASE left out."""
    formats = dict(hello.contents).get(POINT_FORMATS, b"\0")[1:]
    lists = (hello.cipher_suites, hello.extensions, hello.groups or ())
    parts = [str(hello.legacy_version)]
    parts += ["-".join(map(str, _without_grease(one))) for one in lists]
    parts.append("-".join(map(str, formats)))
    return hashlib.md5(",".join(parts).encode("ascii"), usedforsecurity=False).digest()


def _hexadecimal(numbers: Sequence[int]) -> str:
    return ",".join(f"{number:04x}" for number in numbers)


def _ja4_suites(hello: SeenHello) -> bytes:
    """Part b of JA4 (https://github.com/FoxIO-LLC/ja4): the suites, sorted."""
    listed = _hexadecimal(sorted(_without_grease(hello.cipher_suites)))
    return hashlib.sha256(listed.encode("ascii")).digest()


def _ja4_extensions(hello: SeenHello) -> bytes:
    """Part c of JA4: the extensions, sorted, but for two; the signature schemes as they are."""
    kinds = [one for one in _without_grease(hello.extensions) if one not in (SERVER_NAME, ALPN)]
    listed = f"{_hexadecimal(sorted(kinds))}_{_hexadecimal(hello.schemes or ())}"
    return hashlib.sha256(listed.encode("ascii")).digest()


def _is_even(digest: Callable[[SeenHello], bytes]) -> Claim:
    return lambda hello: digest(hello)[0] % 2 == 0


def _divides(number: int) -> Claim:
    return lambda hello: hello.wire_size % number == 0


def _named(hello: SeenHello) -> list[int]:
    return [one for one in hello.cipher_suites if one not in GREASE | SIGNALS]


def _is_forward_secret(hello: SeenHello) -> bool:
    return _FORWARD_SECRET.issuperset(_named(hello))


def _ends_with(suites: frozenset[int]) -> Claim:
    return lambda hello: suites.issuperset(_named(hello)[-1:])


def _are_in_order(numbers: Sequence[int] | None, first: int, second: int) -> bool:
    return [one for one in numbers or () if one in (first, second)] == [first, second]


def _stands_second(name: str, kind: int, before: int) -> Property:
    """An extension follows the first; GREASE counts. before: what is first in a hello with it."""
    return _plain(
        name,
        lambda hello: hello.extensions[1:2] == (kind,),
        in_order(before, kind),
        in_order(kind, before),
    )


def _follows(name: str, first: int, second: int, added: Change = as_it_is) -> Property:
    """One extension comes directly after another. added: gives both to a plain hello."""

    def claim(hello: SeenHello) -> bool:
        pairs = zip(hello.extensions, hello.extensions[1:], strict=False)
        return (first, second) in pairs

    return _plain(
        name, claim, all_of(added, in_order(first, second)), all_of(added, in_order(second, first))
    )


def _sharing(*shares: tuple[int, int]) -> Change:
    return all_of(with_own_version_listed(), with_extension(KEY_SHARE, key_shares(*shares)))


def _modes(hello: SeenHello) -> bytes:
    return dict(hello.contents).get(_PSK_MODES, b"")[1:]


_X25519_SHARE, _P256_SHARE = (X25519, 32), (P256, 65)
FURTHER_PROPERTIES: tuple[Property, ...] = (
    # Counts and lengths.
    *map(longer_than, (150, 230, 420, 600, 1000)),
    _found("length-divisible-by-4", _divides(4), _longer),
    _found("length-divisible-by-16", _divides(16), _longer),
    *map(more_suites_than, (10, 20, 48)),
    _found("even-suites", lambda hello: len(hello.cipher_suites) % 2 == 0, _more_suites),
    *map(more_extensions_than, (7, 10, 12)),
    _found("even-extensions", lambda hello: len(hello.extensions) % 2 == 0, _more_extensions),
    *map(more_schemes_than, (6, 10, 14)),
    # Fingerprints, as a filter that knows some of them and no others.
    _found("even-ja3", _is_even(_ja3), _more_extensions),
    _found("even-ja4-of-suites", _is_even(_ja4_suites), _more_suites),
    _found("even-ja4-of-extensions", _is_even(_ja4_extensions), _more_extensions),
    # Versions, Random, session.
    _plain(
        "legacy-version-1.2",
        lambda hello: hello.legacy_version == _TLS_1_2,
        with_legacy_version(_TLS_1_2),
        with_legacy_version(0x0301),
    ),
    _plain(
        "record-version-as-legacy-version",
        lambda hello: hello.record_version == hello.legacy_version,
        lambda hello: with_record_version(hello.version)(hello),
        lambda hello: with_record_version(hello.version ^ 1)(hello),
    ),
    _plain(
        "random-below-128",
        lambda hello: hello.random[:1] < b"\x80",
        with_random_beginning(0x11),
        with_random_beginning(0x99),
    ),
    _plain(
        "random-begins-with-zero",
        lambda hello: hello.random[:1] == b"\0",
        with_random_beginning(0),
        with_random_beginning(0x99),
    ),
    _plain(
        "session-id-below-128",
        lambda hello: b"" < hello.session_id < b"\x80",
        with_session_id(bytes(range(32))),
        with_session_id(bytes(range(0x80, 0xA0))),
    ),
    # Suites.
    suites_named("offers-aria", "_ARIA_", 0xC060),
    suites_named("offers-ccm-8", "_CCM_8", 0xC0AE),
    suites_named("offers-idea", "_IDEA_", 0x0007),
    suites_named("offers-single-des", "_WITH_DES_CBC_", 0x0009),
    suites_named("offers-anonymous", "_anon_", 0x0034),
    suites_named("offers-kerberos", "_KRB5_", 0x001E),
    suites_named("offers-gcm-sha384", "_GCM_SHA384", 0x009D),
    suites_named("offers-rsa-gcm", "TLS_RSA_WITH_AES_128_GCM", 0x009C),
    suites_named("offers-dhe-cbc-sha256", "_DHE_RSA_WITH_AES_128_CBC_SHA256", 0x0067),
    _plain(
        "over-3-suites-of-tls13",
        lambda hello: len(_TLS13 & hello.offered) > 3,
        suites_last(0x1301, 0x1302, 0x1303, 0x1304),
        as_it_is,
    ),
    _plain(
        "chacha-first-of-tls13",
        lambda hello: [one for one in hello.cipher_suites if one in _TLS13][:1] == [0x1303],
        suites_last(0x1303, 0x1301),
        suites_last(0x1301, 0x1303),
    ),
    _plain(
        "gcm-before-cbc",
        suites_before(_GCM, _CBC),
        suites_first(0x009E, 0x0067),
        suites_first(0x0067, 0x009E),
    ),
    _plain(
        "ecdsa-before-rsa",
        suites_before(_ECDHE_ECDSA, _ECDHE_RSA),
        suites_first(0xC0AE, 0xC061),
        suites_first(0xC061, 0xC0AE),
    ),
    _plain(
        "dhe-before-ecdhe",
        suites_before(_DHE, _ECDHE),
        suites_first(0x0067, 0xC061),
        suites_first(0xC061, 0x0067),
    ),
    _plain(
        "sha384-before-sha256",
        suites_before(_SHA384, _SHA256),
        suites_first(0x009F, 0x009E),
        suites_first(0x009E, 0x009F),
    ),
    _plain(
        "forward-secret-alone", _is_forward_secret, without_suites(*_STATIC_RSA), suites_last(9)
    ),
    _plain("ends-with-ecdhe", _ends_with(_ECDHE), suites_last(0xC061), suites_last(0x0067)),
    # Extensions, their places and neighbours.
    stands_at("groups-first", SUPPORTED_GROUPS, 0, b"\0\4\0\x1d\0\x17"),
    stands_at("schemes-last", _SCHEMES, -1, b"\0\x08\4\3\x08\4\4\1\2\1"),
    stands_at("padding-last", _PADDING, -1, bytes(8)),
    stands_at("psk-modes-last", _PSK_MODES, -1, b"\1\1"),
    stands_at("ticket-last", SESSION_TICKET, -1),
    stands_at("master-secret-first", EXTENDED_MASTER_SECRET, 0),
    _plain(
        "grease-first-of-extensions",
        lambda hello: GREASE.issuperset(hello.extensions[:1]) and bool(hello.extensions),
        with_extension(0x1A1A, first=True),
        with_extension(0x1A1A),
    ),
    _plain(
        "grease-twice-among-extensions",
        lambda hello: len(GREASE.intersection(hello.extensions)) > 1,
        all_of(with_extension(0x1A1A, first=True), with_extension(0x2A2A, b"\0")),
        with_extension(0x1A1A, first=True),
    ),
    _stands_second("name-second", SERVER_NAME, POINT_FORMATS),
    _stands_second("groups-second", SUPPORTED_GROUPS, SERVER_NAME),
    _follows("groups-directly-after-formats", POINT_FORMATS, SUPPORTED_GROUPS),
    _follows("schemes-directly-after-groups", SUPPORTED_GROUPS, _SCHEMES),
    _follows(
        "share-directly-after-modes",
        _PSK_MODES,
        KEY_SHARE,
        all_of(_sharing(_X25519_SHARE), with_extension(_PSK_MODES, b"\1\1")),
    ),
    extensions_in_order("name-before-master-secret", SERVER_NAME, EXTENDED_MASTER_SECRET),
    extensions_in_order("alpn-before-name", ALPN, SERVER_NAME, _H2),
    extensions_in_order("status-before-schemes", _STATUS_REQUEST, _SCHEMES, _STATUS),
    extensions_in_order("ticket-before-groups", SESSION_TICKET, SUPPORTED_GROUPS),
    extensions_in_order(
        "renegotiation-before-groups", _RENEGOTIATION_INFO, SUPPORTED_GROUPS, b"\0"
    ),
    _plain(
        "versions-before-schemes",
        lambda hello: _are_in_order(hello.extensions, SUPPORTED_VERSIONS, _SCHEMES),
        all_of(with_own_version_listed(), in_order(SUPPORTED_VERSIONS, _SCHEMES)),
        all_of(with_own_version_listed(), in_order(_SCHEMES, SUPPORTED_VERSIONS)),
    ),
    # Application protocols.
    protocols_are(
        "h2-first", lambda hello: hello.protocols[:1] == (b"h2",), _H2, protocols("http/1.1", "h2")
    ),
    protocols_are("h2-alone", lambda hello: hello.protocols == (b"h2",), protocols("h2"), _H2),
    protocols_are(
        "http-1.0-among-protocols",
        lambda hello: b"http/1.0" in hello.protocols,
        protocols("http/1.1", "http/1.0"),
        protocols("http/1.1"),
    ),
    # Groups, shares, modes, schemes.
    offers_group("ffdhe8192", _FFDHE8192),
    offers_group("secp224r1", _SECP224R1),
    first_group("p384", P384),
    _plain(
        "over-6-groups",
        lambda hello: len(hello.groups or ()) > 6,
        listing(SUPPORTED_GROUPS, X25519, P256, 26, 27, 28, 22, 14),
        listing(SUPPORTED_GROUPS, X25519, P256, 26, 27, 28, 22),
    ),
    _plain(
        "even-groups",
        lambda hello: hello.groups is not None and len(hello.groups) % 2 == 0,
        listing(SUPPORTED_GROUPS, X25519, P256),
        listing(SUPPORTED_GROUPS, X25519, P256, 26),
    ),
    _plain(
        "sorted-groups",
        lambda hello: list(hello.groups or ()) == sorted(hello.groups or ()),
        listing(SUPPORTED_GROUPS, P256, X25519),
        listing(SUPPORTED_GROUPS, X25519, P256),
    ),
    _plain(
        "p521-before-p384",
        lambda hello: _are_in_order(hello.groups, P521, P384),
        listing(SUPPORTED_GROUPS, X25519, P256, P521, P384),
        listing(SUPPORTED_GROUPS, X25519, P256, P384, P521),
    ),
    _plain(
        "one-key-share",
        lambda hello: len(hello.share_groups) == 1,
        _sharing(_X25519_SHARE),
        _sharing(_X25519_SHARE, _P256_SHARE),
    ),
    _plain(
        "grease-share",
        lambda hello: bool(GREASE.intersection(hello.share_groups)),
        all_of(
            listing(SUPPORTED_GROUPS, 0x8A8A, X25519, P256), _sharing((0x8A8A, 1), _X25519_SHARE)
        ),
        _sharing(_X25519_SHARE),
    ),
    _plain(
        "plain-psk-mode",
        lambda hello: 0 in _modes(hello),
        with_extension(_PSK_MODES, b"\2\1\0"),
        with_extension(_PSK_MODES, b"\1\1"),
    ),
    verifies_scheme("ecdsa-sha1", 0x0203),
    verifies_scheme("ecdsa-p521", 0x0603),
    verifies_scheme("pss-sha512-of-pss-keys", 0x080B),
    verifies_scheme("rsa-md5", 0x0101),
    _plain(
        "pkcs1-before-pss",
        lambda hello: _are_in_order(hello.schemes, 0x0401, 0x0804),
        listing(_SCHEMES, 0x0403, 0x0401, 0x0804, 0x0201),
        listing(_SCHEMES, 0x0403, 0x0804, 0x0401, 0x0201),
    ),
    _plain(
        "sha1-last-of-schemes",
        lambda hello: (hello.schemes or (0,))[-1] in (0x0201, 0x0202, 0x0203),
        listing(_SCHEMES, 0x0403, 0x0804, 0x0401, 0x0201),
        listing(_SCHEMES, 0x0201, 0x0403, 0x0804, 0x0401),
    ),
)

_AS_LIKELY = (
    "Any client sends such a Random in one of 256 connections, and so does a measurement: a server"
    " that answers by chance cannot be told from a compliant one."
)
# Rows that need not hold.
FURTHER_EXPLAINED: Mapping[str, str] = {
    f"random-begins-with-zero-with-{fault.name}": _AS_LIKELY for fault in FAULTS
}
