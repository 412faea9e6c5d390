"""Properties of a ClientHello by which a server, or a front of it, may tell clients apart.

Some ordinary clients send hellos that have the property, and others do not. Next to what it is
stand two changes: one gives it to a hello, the other takes it away.
"""

from collections.abc import Collection
from dataclasses import dataclass

from otpc_policy.core.registries.suites import all_suites
from tests.support.hostile.hello import SeenHello
from tests.support.hostile.made_hello import (
    Change,
    all_of,
    as_it_is,
    in_order,
    key_shares,
    numbers,
    protocols,
    suites_first,
    suites_last,
    versions,
    with_extension,
    with_record_version,
    with_suites,
    with_wire_size,
    without_extensions,
)
from tests.support.hostile.turns import Claim

# https://www.iana.org/assignments/tls-extensiontype-values
SERVER_NAME, SUPPORTED_GROUPS, POINT_FORMATS, ALPN = 0, 10, 11, 16
ENCRYPT_THEN_MAC, EXTENDED_MASTER_SECRET, SESSION_TICKET = 22, 23, 35
SUPPORTED_VERSIONS, KEY_SHARE = 43, 51
# https://www.iana.org/assignments/tls-parameters, TLS Supported Groups.
P256, P384, P521, X25519, X448 = 23, 24, 25, 29, 30
# RFC 8701: 0x0A0A, 0x1A1A and so on; the same numbers for suites, extensions, groups, versions.
GREASE = frozenset(0x0A0A + 0x1010 * number for number in range(16))
# TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746 3.3), TLS_FALLBACK_SCSV (RFC 7507 2).
SIGNALS = frozenset({0x00FF, 0x5600})
_SSL_3_0, _TLS_1_0, _TLS_1_2 = 0x0300, 0x0301, 0x0303

_NAMES = {suite.code_point: suite.iana_name for suite in all_suites()}


def named_suites(marker: str) -> frozenset[int]:
    """Return the suites whose IANA name contains the marker."""
    return frozenset(code for code, name in _NAMES.items() if marker in name)


_AES256, _AES128 = named_suites("_AES_256_"), named_suites("_AES_128_")
_STATIC_RSA = frozenset(code for code, name in _NAMES.items() if name.startswith("TLS_RSA_WITH_"))
_ECDHE, _ECDSA = named_suites("_ECDHE_"), named_suites("_ECDHE_ECDSA_")
_TLS13 = frozenset(range(0x1301, 0x1306))


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """Something that a hello has or has not.

    given, taken: changes to a plain hello after which it has the property, and has it not.
    """

    name: str
    is_had_by: Claim
    given: Change
    taken: Change
    is_conjunction: bool = False


def longer_than(size: int) -> Property:
    """Return the length of the first flight, headers included: what HAProxy calls req.len."""
    return Property(
        name=f"over-{size}-bytes",
        is_had_by=lambda hello: hello.wire_size > size,
        given=with_wire_size(size + 1),
        taken=with_wire_size(size),
    )


def more_suites_than(count: int) -> Property:
    """Return the length of the list of suites."""
    return Property(
        name=f"over-{count}-suites",
        is_had_by=lambda hello: len(hello.cipher_suites) > count,
        given=with_suites(count + 1),
        taken=with_suites(count),
    )


def extension_property(name: str, kind: int, content: bytes = b"") -> Property:
    """Return the presence of an extension. content: what a client sends in it."""
    return Property(
        name=name,
        is_had_by=lambda hello: kind in hello.extensions,
        given=with_extension(kind, content),
        taken=without_extensions(kind),
    )


def _groups(name: str, holds: Claim, *groups: int) -> Property:
    return Property(
        name=name,
        is_had_by=holds,
        given=with_extension(SUPPORTED_GROUPS, numbers(X25519, P256, *groups)),
        taken=with_extension(SUPPORTED_GROUPS, numbers(X25519, P256)),
    )


def _first(listed: Collection[int], wanted: frozenset[int]) -> float:
    """Return the place of the first of these, or infinity."""
    return next((place for place, one in enumerate(listed) if one in wanted), float("inf"))


def suites_before(earlier: frozenset[int], later: frozenset[int]) -> Claim:
    """The hello has suites of both kinds, and the first one of the one kind comes earlier."""

    def claim(hello: SeenHello) -> bool:
        first, second = _first(hello.cipher_suites, earlier), _first(hello.cipher_suites, later)
        return first < second < float("inf")

    return claim


def begins_with(suites: frozenset[int]) -> Claim:
    """The first suite is one of these; GREASE and signalling values are passed over."""

    def claim(hello: SeenHello) -> bool:
        named = [one for one in hello.cipher_suites if one not in GREASE | SIGNALS]
        return bool(named) and named[0] in suites

    return claim


def _extensions_before(earlier: frozenset[int], later: int) -> Claim:
    def claim(hello: SeenHello) -> bool:
        return _first(hello.extensions, earlier) < _first(hello.extensions, frozenset({later}))

    return claim


def _has_shares_before_groups(hello: SeenHello) -> bool:
    return SUPPORTED_GROUPS in hello.extensions and _SHARES_FIRST(hello)


_SHARES_FIRST = _extensions_before(frozenset({SUPPORTED_VERSIONS, KEY_SHARE}), SUPPORTED_GROUPS)
_FORMATS_FIRST = _extensions_before(frozenset({POINT_FORMATS}), SUPPORTED_GROUPS)
# A client of TLS 1.3. Only the lower version is offered, so that the answer can be read in clear.
_AS_IN_TLS13 = all_of(
    with_extension(SUPPORTED_VERSIONS, versions(_TLS_1_2)),
    with_extension(KEY_SHARE, key_shares((X25519, 32))),
)

PROPERTIES: tuple[Property, ...] = (
    *map(longer_than, (200, 300, 360, 512, 1460)),
    extension_property("alpn", ALPN, protocols("h2", "http/1.1")),
    Property(
        name="server-name",
        is_had_by=lambda hello: SERVER_NAME in hello.extensions,
        given=as_it_is,
        taken=without_extensions(SERVER_NAME),
    ),
    extension_property("session-ticket", SESSION_TICKET),
    Property(
        name="server-name-first",
        is_had_by=lambda hello: hello.extensions[:1] == (SERVER_NAME,),
        given=in_order(SERVER_NAME),
        taken=with_extension(EXTENDED_MASTER_SECRET, first=True),
    ),
    # OpenSSL writes ec_point_formats first; Go, BoringSSL and NSS write supported_groups first.
    Property(
        name="point-formats-before-groups",
        is_had_by=lambda hello: SUPPORTED_GROUPS in hello.extensions and _FORMATS_FIRST(hello),
        given=in_order(POINT_FORMATS, SUPPORTED_GROUPS),
        taken=in_order(SUPPORTED_GROUPS, POINT_FORMATS),
    ),
    Property(
        name="key-share-before-groups",
        is_had_by=_has_shares_before_groups,
        given=all_of(_AS_IN_TLS13, in_order(SUPPORTED_VERSIONS, KEY_SHARE, SUPPORTED_GROUPS)),
        taken=as_it_is,
    ),
    Property(
        name="aes256-before-aes128",
        is_had_by=suites_before(_AES256, _AES128),
        given=suites_first(0x0035, 0x002F),
        taken=suites_first(0x002F, 0x0035),
    ),
    Property(
        name="static-rsa-before-ecdhe",
        is_had_by=suites_before(_STATIC_RSA, _ECDHE),
        given=suites_first(0x002F, 0xC013),
        taken=suites_first(0xC013, 0x002F),
    ),
    Property(
        name="begins-with-ecdsa",
        is_had_by=begins_with(_ECDSA),
        given=suites_first(0xC009),
        taken=suites_first(0xC013),
    ),
    # As OpenSSL, NSS and BoringSSL list them.
    Property(
        name="begins-with-tls13",
        is_had_by=begins_with(_TLS13),
        given=all_of(_AS_IN_TLS13, suites_first(0x1301)),
        taken=as_it_is,
    ),
    # As Go lists them.
    Property(
        name="tls12-before-tls13",
        is_had_by=suites_before(frozenset(_NAMES) - _TLS13 - SIGNALS, _TLS13),
        given=all_of(_AS_IN_TLS13, suites_last(0x1301)),
        taken=as_it_is,
    ),
    *map(more_suites_than, (8, 16, 32, 64)),
    Property(
        name="grease-suite",
        is_had_by=lambda hello: bool(GREASE & hello.offered),
        given=suites_first(0x4A4A),
        taken=as_it_is,
    ),
    Property(
        name="grease-extension",
        is_had_by=lambda hello: bool(GREASE.intersection(hello.extensions)),
        given=with_extension(0x2A2A, first=True),
        taken=as_it_is,
    ),
    extension_property("extended-master-secret", EXTENDED_MASTER_SECRET),
    extension_property("encrypt-then-mac", ENCRYPT_THEN_MAC),
    _groups("offers-p521", lambda hello: P521 in (hello.groups or ()), P521),
    _groups("offers-x448", lambda hello: X448 in (hello.groups or ()), X448),
    _groups("over-4-groups", lambda hello: len(hello.groups or ()) > 4, P384, P521, X448),
    Property(
        name="no-groups",
        is_had_by=lambda hello: hello.groups is None,
        given=without_extensions(SUPPORTED_GROUPS, POINT_FORMATS),
        taken=as_it_is,
    ),
    # NSS and old OpenSSL write the lowest version that they speak, JSSE the highest.
    Property(
        name="record-version-1.0",
        is_had_by=lambda hello: hello.record_version == _TLS_1_0,
        given=with_record_version(_TLS_1_0),
        taken=with_record_version(_SSL_3_0),
    ),
)
