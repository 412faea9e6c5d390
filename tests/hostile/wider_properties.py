"""Properties of a ClientHello that software is less known to route by.

The survey's cover need not have been made with these in mind: they show what it holds beyond the
list of its author. Like those of properties.py, each is had by hellos of some programs and not by
those of others, as meeting.py computes from the recorded clients.
"""

from collections.abc import Collection

from tests.hostile.properties import (
    ALPN,
    EXTENDED_MASTER_SECRET,
    GREASE,
    KEY_SHARE,
    P256,
    P384,
    POINT_FORMATS,
    SERVER_NAME,
    SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS,
    X448,
    X25519,
    Property,
    begins_with,
    extension_property,
    longer_than,
    more_suites_than,
    named_suites,
    suites_before,
)
from tests.support.hostile.hello import SeenHello
from tests.support.hostile.made_hello import (
    Change,
    MadeHello,
    all_of,
    as_it_is,
    in_order,
    key_shares,
    numbers,
    protocols,
    suites_first,
    suites_last,
    with_compression,
    with_extension,
    with_own_version_listed,
    with_record_version,
    with_session_id,
    without_extensions,
)
from tests.support.hostile.turns import Claim

_SCHEMES, _RENEGOTIATION_INFO = 13, 0xFF01
_HYBRID, _FFDHE2048, _BRAINPOOL, _SECP256K1, _SECT571R1 = 0x11EC, 256, 26, 22, 14
_ECDSA_P256, _PSS_SHA256, _PKCS1_SHA256, _PKCS1_SHA512 = 0x0403, 0x0804, 0x0401, 0x0601
_PLAIN_SCHEMES = (_ECDSA_P256, _PSS_SHA256, _PKCS1_SHA256, 0x0201)
_UNUSED_SCHEMES = (0x0904, 0x0905, 0x0906, *range(0x0911, 0x091D))
# As SSLeay and browsers listed them; no server of these tests accepts them.
_UNUSED_GROUPS = (26, 27, 28, 22, 14, 13, 12, 11, 10, 9)

_CHACHA = named_suites("_CHACHA20_POLY1305_")
_GCM = named_suites("_GCM_")


def suites_named(name: str, marker: str, added: int) -> Property:
    """A suite whose name contains the marker is offered. added: one that these servers refuse."""
    meant = named_suites(marker)
    return Property(
        name=name,
        is_had_by=lambda hello: bool(meant & hello.offered),
        given=suites_last(added),
        taken=as_it_is,
    )


def _has_in(listed: Collection[int] | None, wanted: int) -> bool:
    return wanted in (listed or ())


def listing(kind: int, *values: int) -> Change:
    return with_extension(kind, numbers(*values))


def offers_group(name: str, group: int) -> Property:
    return Property(
        name=f"offers-{name}",
        is_had_by=lambda hello: _has_in(hello.groups, group),
        given=listing(SUPPORTED_GROUPS, X25519, P256, group),
        taken=listing(SUPPORTED_GROUPS, *(P384 if one == group else one for one in (X25519, P256))),
    )


def first_group(name: str, group: int) -> Property:
    others = [one for one in (X25519, P256) if one != group]

    def claim(hello: SeenHello) -> bool:
        return [one for one in hello.groups or () if one not in GREASE][:1] == [group]

    return Property(
        name=f"{name}-first-of-groups",
        is_had_by=claim,
        given=listing(SUPPORTED_GROUPS, group, *others),
        taken=listing(SUPPORTED_GROUPS, *others, group),
    )


def first_scheme(name: str, scheme: int) -> Property:
    others = [one for one in _PLAIN_SCHEMES if one != scheme]
    return Property(
        name=f"{name}-first-of-schemes",
        is_had_by=lambda hello: (hello.schemes or ())[:1] == (scheme,),
        given=listing(_SCHEMES, scheme, *others),
        taken=listing(_SCHEMES, *others, scheme),
    )


def verifies_scheme(name: str, scheme: int) -> Property:
    others = [one for one in _PLAIN_SCHEMES if one != scheme]
    return Property(
        name=f"verifies-{name}",
        is_had_by=lambda hello: _has_in(hello.schemes, scheme),
        given=listing(_SCHEMES, *others, scheme),
        taken=listing(_SCHEMES, *others),
    )


def more_schemes_than(count: int) -> Property:
    missing = count - len(_PLAIN_SCHEMES)
    return Property(
        name=f"over-{count}-schemes",
        is_had_by=lambda hello: len(hello.schemes or ()) > count,
        given=listing(_SCHEMES, *_PLAIN_SCHEMES, *_UNUSED_SCHEMES[: missing + 1]),
        taken=listing(_SCHEMES, *_PLAIN_SCHEMES, *_UNUSED_SCHEMES[:missing]),
    )


def more_extensions_than(count: int) -> Property:
    """Numbers from the range for private use (RFC 8447 7), which servers ignore."""

    def filled(to: int) -> Change:
        def change(hello: MadeHello) -> MadeHello:
            for number in range(to - len(hello.extensions)):
                hello = with_extension(0xFE00 + number)(hello)
            return hello

        return change

    return Property(
        name=f"over-{count}-extensions",
        is_had_by=lambda hello: len(hello.extensions) > count,
        given=filled(count + 1),
        taken=filled(count),
    )


def extensions_in_order(name: str, first: int, second: int, content: bytes = b"") -> Property:
    """Both are sent, one before the other. content: of the one that a plain hello lacks."""

    def claim(hello: SeenHello) -> bool:
        return [kind for kind in hello.extensions if kind in (first, second)] == [first, second]

    lacking = next((kind for kind in (first, second) if kind not in _OF_A_PLAIN_HELLO), None)
    added = as_it_is if lacking is None else with_extension(lacking, content)
    return Property(
        name=name,
        is_had_by=claim,
        given=all_of(added, in_order(first, second)),
        taken=all_of(added, in_order(second, first)),
    )


def stands_at(name: str, kind: int, place: int, content: bytes = b"") -> Property:
    """An extension is the first (0) or the last (-1)."""
    return Property(
        name=name,
        is_had_by=lambda hello: bool(hello.extensions) and hello.extensions[place] == kind,
        given=with_extension(kind, content, first=place == 0),
        taken=with_extension(kind, content, first=place != 0),
    )


_OF_A_PLAIN_HELLO = (SERVER_NAME, SUPPORTED_GROUPS, POINT_FORMATS, _SCHEMES)
_H2 = protocols("h2", "http/1.1")


def protocols_are(name: str, claim: Claim, given: bytes, taken: bytes) -> Property:
    return Property(
        name=name,
        is_had_by=claim,
        given=with_extension(ALPN, given),
        taken=with_extension(ALPN, taken),
    )


def _is_odd_in_length(hello: SeenHello) -> bool:
    return hello.wire_size % 2 == 1


def _of_length_parity(parity: int) -> Change:
    def change(hello: MadeHello) -> MadeHello:
        for size in range(2):
            padded = with_extension(21, bytes(size))(hello)
            if len(bytes(padded)) % 2 == parity:
                return padded
        raise AssertionError("one of two lengths is odd")

    return change


def _has_sorted_extensions(hello: SeenHello) -> bool:
    return list(hello.extensions) == sorted(hello.extensions)


def _has_grease_first(hello: SeenHello) -> bool:
    return hello.cipher_suites[:1] != () and hello.cipher_suites[0] in GREASE


def _shares(name: str, claim: Claim, given: Change, taken: Change = as_it_is) -> Property:
    return Property(name=name, is_had_by=claim, given=given, taken=taken)


def _sharing(*shares: tuple[int, int]) -> Change:
    return all_of(
        with_own_version_listed(),
        with_extension(KEY_SHARE, key_shares(*shares)),
    )


_PRE_SHARED_KEY, _POST_HANDSHAKE_AUTH = 41, 49
# One identity of four bytes, and a binder (RFC 8446 4.2.11).
_TICKET = b"\0\x0a\0\4psk1\0\0\0\0\0\x21\x20" + bytes(32)
WIDER_PROPERTIES: tuple[Property, ...] = (
    # Length.
    *map(longer_than, (128, 255, 700)),
    Property(
        name="odd-length",
        is_had_by=_is_odd_in_length,
        given=_of_length_parity(1),
        taken=_of_length_parity(0),
    ),
    # Versions, session, compression.
    Property(
        name="lists-versions",
        is_had_by=lambda hello: SUPPORTED_VERSIONS in hello.extensions,
        given=with_own_version_listed(),
        taken=as_it_is,
    ),
    Property(
        name="lists-tls11",
        is_had_by=lambda hello: _has_in(hello.listed_versions, 0x0302),
        given=all_of(with_own_version_listed(0x0302)),
        taken=as_it_is,
    ),
    Property(
        name="session-id",
        is_had_by=lambda hello: bool(hello.session_id),
        given=with_session_id(bytes(range(32))),
        taken=as_it_is,
    ),
    Property(
        name="compression",
        is_had_by=lambda hello: len(hello.compression) > 1,
        given=with_compression(1, 0),
        taken=as_it_is,
    ),
    Property(
        name="record-version-1.2",
        is_had_by=lambda hello: hello.record_version == 0x0303,
        given=with_record_version(0x0303),
        taken=as_it_is,
    ),
    # Which extensions.
    extension_property("max-fragment-length", 1, b"\4"),
    extension_property("status-request", 5, b"\1\0\0\0\0"),
    extension_property("heartbeat", 15, b"\1"),
    extension_property("status-request-v2", 17, b"\0\7\2\0\4\0\0\0\0"),
    extension_property("certificate-timestamps", 18),
    extension_property("padding", 21, bytes(8)),
    extension_property("compress-certificate", 27, b"\2\0\2"),
    extension_property("record-size-limit", 28, b"\x40\1"),
    extension_property("delegated-credential", 34, b"\0\2\4\3"),
    # A client that resumes a session; it is shown no certificate (RFC 8446 2.2).
    Property(
        name="pre-shared-key",
        is_had_by=lambda hello: _PRE_SHARED_KEY in hello.extensions,
        given=all_of(with_extension(45, b"\1\1"), with_extension(_PRE_SHARED_KEY, _TICKET)),
        taken=as_it_is,
    ),
    extension_property("psk-modes", 45, b"\1\1"),
    extension_property("post-handshake-auth", _POST_HANDSHAKE_AUTH),
    extension_property("schemes-of-certificates", 50, numbers(*_PLAIN_SCHEMES)),
    extension_property("renegotiation-info", _RENEGOTIATION_INFO, b"\0"),
    extension_property("application-settings", 17613, b"\0\3\2h2"),
    extension_property("encrypted-client-hello", 65037, bytes(64)),
    Property(
        name="point-formats",
        is_had_by=lambda hello: POINT_FORMATS in hello.extensions,
        given=as_it_is,
        taken=without_extensions(POINT_FORMATS),
    ),
    Property(
        name="compressed-points",
        is_had_by=lambda hello: len(dict(hello.contents).get(POINT_FORMATS, b"")) > 2,
        given=with_extension(POINT_FORMATS, b"\3\0\1\2"),
        taken=as_it_is,
    ),
    Property(
        name="schemes",
        is_had_by=lambda hello: _SCHEMES in hello.extensions,
        given=as_it_is,
        taken=without_extensions(_SCHEMES),
    ),
    *map(more_extensions_than, (5, 8, 11, 14)),
    # Application protocols.
    protocols_are(
        "h2-among-protocols", lambda hello: b"h2" in hello.protocols, _H2, protocols("http/1.1")
    ),
    protocols_are(
        "http-1.1-alone",
        lambda hello: hello.protocols == (b"http/1.1",),
        protocols("http/1.1"),
        _H2,
    ),
    protocols_are(
        "more-than-one-protocol", lambda hello: len(hello.protocols) > 1, _H2, protocols("h2")
    ),
    # Order of extensions.
    stands_at("name-last", SERVER_NAME, -1, b"\0\x0f\0\0\x0cpartner.test"),
    stands_at("extended-master-secret-last", EXTENDED_MASTER_SECRET, -1),
    stands_at("renegotiation-info-first", _RENEGOTIATION_INFO, 0, b"\0"),
    stands_at("status-request-first", 5, 0, b"\1\0\0\0\0"),
    extensions_in_order("schemes-before-groups", _SCHEMES, SUPPORTED_GROUPS),
    extensions_in_order("groups-before-name", SUPPORTED_GROUPS, SERVER_NAME),
    extensions_in_order("schemes-before-name", _SCHEMES, SERVER_NAME),
    extensions_in_order("alpn-before-schemes", ALPN, _SCHEMES, _H2),
    extensions_in_order("alpn-before-groups", ALPN, SUPPORTED_GROUPS, _H2),
    extensions_in_order("ticket-before-schemes", 35, _SCHEMES),
    extensions_in_order("master-secret-before-groups", EXTENDED_MASTER_SECRET, SUPPORTED_GROUPS),
    Property(
        name="sorted-extensions",
        is_had_by=_has_sorted_extensions,
        given=as_it_is,
        taken=in_order(POINT_FORMATS, SUPPORTED_GROUPS),
    ),
    # Suites.
    *map(more_suites_than, (6, 12, 24)),
    Property(
        name="renegotiation-signal",
        is_had_by=lambda hello: 0x00FF in hello.offered,
        given=suites_last(0x00FF),
        taken=as_it_is,
    ),
    Property(
        name="ends-with-signal",
        is_had_by=lambda hello: hello.cipher_suites[-1:] == (0x00FF,),
        given=suites_last(0x00FF),
        taken=suites_first(0x00FF),
    ),
    suites_named("offers-camellia", "_CAMELLIA_", 0x0041),
    suites_named("offers-ccm", "_CCM", 0xC09E),
    suites_named("offers-rc4", "_RC4_", 0x0005),
    suites_named("offers-3des", "_3DES_", 0x000A),
    suites_named("offers-dhe-rsa", "_DHE_RSA_", 0x0033),
    suites_named("offers-dss", "_DSS_", 0x0032),
    suites_named("offers-static-ecdh", "TLS_ECDH_", 0xC004),
    suites_named("offers-cbc-sha384", "_CBC_SHA384", 0xC028),
    suites_named("offers-export", "_EXPORT", 0x0003),
    suites_named("offers-psk", "_PSK_", 0x008C),
    Property(
        name="chacha-before-gcm",
        is_had_by=suites_before(_CHACHA, _GCM),
        given=suites_first(0xCCAA, 0x009E),
        taken=suites_first(0x009E, 0xCCAA),
    ),
    Property(
        name="begins-with-aes256-gcm-of-tls13",
        is_had_by=begins_with(frozenset({0x1302})),
        given=suites_first(0x1302),
        taken=suites_first(0x1301),
    ),
    Property(
        name="sorted-suites",
        is_had_by=lambda hello: list(hello.cipher_suites) == sorted(hello.cipher_suites),
        given=lambda hello: suites_first(*sorted(hello.cipher_suites))(hello),
        taken=lambda hello: suites_first(*sorted(hello.cipher_suites, reverse=True))(hello),
    ),
    # GREASE.
    Property(
        name="grease-first-of-suites",
        is_had_by=_has_grease_first,
        given=suites_first(0x4A4A),
        taken=suites_last(0x4A4A),
    ),
    Property(
        name="grease-group",
        is_had_by=lambda hello: bool(GREASE.intersection(hello.groups or ())),
        given=listing(SUPPORTED_GROUPS, 0x8A8A, X25519, P256),
        taken=as_it_is,
    ),
    Property(
        name="grease-version",
        is_had_by=lambda hello: bool(GREASE.intersection(hello.listed_versions or ())),
        given=with_own_version_listed(0x6A6A),
        taken=with_own_version_listed(),
    ),
    Property(
        name="grease-last-of-extensions",
        is_had_by=lambda hello: bool(hello.extensions) and hello.extensions[-1] in GREASE,
        given=with_extension(0xDADA, b"\0"),
        taken=with_extension(0xDADA, b"\0", first=True),
    ),
    # Groups.
    *(
        offers_group(name, group)
        for name, group in (
            ("x25519", X25519),
            ("p384", P384),
            ("ffdhe2048", _FFDHE2048),
            ("brainpool", _BRAINPOOL),
            ("secp256k1", _SECP256K1),
            ("sect571r1", _SECT571R1),
            ("hybrid-group", _HYBRID),
        )
    ),
    first_group("x25519", X25519),
    first_group("p256", P256),
    Property(
        name="over-2-groups",
        is_had_by=lambda hello: len(hello.groups or ()) > 2,
        given=listing(SUPPORTED_GROUPS, X25519, P256, X448),
        taken=listing(SUPPORTED_GROUPS, X25519, P256),
    ),
    Property(
        name="over-8-groups",
        is_had_by=lambda hello: len(hello.groups or ()) > 8,
        given=listing(SUPPORTED_GROUPS, X25519, P256, *_UNUSED_GROUPS[:7]),
        taken=listing(SUPPORTED_GROUPS, X25519, P256, *_UNUSED_GROUPS[:6]),
    ),
    # Key shares.
    _shares(
        "key-share",
        lambda hello: bool(hello.share_groups),
        _sharing((X25519, 32)),
    ),
    _shares(
        "several-key-shares",
        lambda hello: len([one for one in hello.share_groups if one not in GREASE]) > 1,
        _sharing((X25519, 32), (P256, 65)),
        _sharing((X25519, 32)),
    ),
    _shares(
        "share-of-p256",
        lambda hello: P256 in hello.share_groups,
        _sharing((P256, 65)),
        _sharing((X25519, 32)),
    ),
    _shares(
        "share-of-hybrid-group",
        lambda hello: _HYBRID in hello.share_groups,
        all_of(listing(SUPPORTED_GROUPS, _HYBRID, X25519, P256), _sharing((_HYBRID, 1216))),
        _sharing((X25519, 32)),
    ),
    # Signature schemes.
    *(
        first_scheme(name, scheme)
        for name, scheme in (
            ("ecdsa", _ECDSA_P256),
            ("rsa-pss", _PSS_SHA256),
            ("rsa-pkcs1", _PKCS1_SHA256),
            ("rsa-pkcs1-sha512", _PKCS1_SHA512),
        )
    ),
    *(
        verifies_scheme(name, scheme)
        for name, scheme in (
            ("rsa-sha1", 0x0201),
            ("ed25519", 0x0807),
            ("ed448", 0x0808),
            ("rsassa-pss", 0x0809),
            ("dsa", 0x0202),
            ("sha224", 0x0301),
            ("ml-dsa", 0x0904),
        )
    ),
    *map(more_schemes_than, (8, 12, 16)),
)
