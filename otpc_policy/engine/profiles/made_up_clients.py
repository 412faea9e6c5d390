"""Hellos of clients that nobody has recorded, drawn in pairs: each has what the other lacks.

A server, or whatever stands in front of it, may tell clients apart by anything in a hello, alone or
together with something else. Recorded clients show what their programs are given. So the same
questions are asked in shapes that are made up anew for each measurement. Whatever can be there or
not be there, or stand before or after something else, is drawn for the first hello of a pair, and
is the other way round in the second. So every such property is in one hello and not in the other,
whether anybody has thought of it or not; and two of them stand together in one pair out of two.

A client of these shapes is possible, if unusual: extensions of TLS 1.3 stand where TLS 1.3 is
offered, and suites that need a curve with a curve that is common.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.profiles.clients import (
    GREASE_FIRST,
    GREASE_GROUP,
    GREASE_LAST,
    GREASE_SUITE,
    SCHEMES_OF_KIND,
    ClientProfile,
    SignatureKind,
)
from otpc_policy.engine.profiles.extension_kinds import (
    ALPN,
    APPLICATION_SETTINGS,
    COMPRESS_CERTIFICATE,
    DELEGATED_CREDENTIAL,
    ENCRYPT_THEN_MAC,
    ENCRYPTED_CLIENT_HELLO,
    EXTENDED_MASTER_SECRET,
    GROUPS,
    HEARTBEAT,
    KEY_SHARE,
    MAX_FRAGMENT_LENGTH,
    NEXT_PROTOCOL,
    POINT_FORMATS,
    POST_HANDSHAKE_AUTH,
    PSK_MODES,
    RECORD_SIZE,
    RENEGOTIATION,
    SCHEMES,
    SCHEMES_CERT,
    SERVER_NAME,
    STATUS_REQUEST,
    STATUS_REQUEST_V2,
    TICKET,
    TIMESTAMPS,
    VERSIONS,
)
from otpc_policy.engine.profiles.hello_draw import RandomBytes
from otpc_policy.tls.hello_extensions import HelloVariant, vector

Pair = tuple[ClientProfile, ClientProfile]
_Item = TypeVar("_Item")

_COIN_BYTES: Final = 24
_KEYS: Final = 128
_RENEGOTIATION_SIGNAL: Final = 0x00FF
_X25519, _P256, _P384, _P521, _X448, _HYBRID = 29, 23, 24, 25, 30, 0x11EC
_FINITE_FIELD: Final = (256, 257, 258, 259, 260)

_NEEDED: Final = frozenset({SERVER_NAME, GROUPS, SCHEMES})
_NEEDED_IN_TLS13: Final = frozenset({VERSIONS, KEY_SHARE})
_OPTIONAL_IN_TLS13: Final = frozenset({PSK_MODES, POST_HANDSHAKE_AUTH, COMPRESS_CERTIFICATE})
_OF_BROWSERS: Final = frozenset(
    {APPLICATION_SETTINGS, DELEGATED_CREDENTIAL, ENCRYPTED_CLIENT_HELLO, NEXT_PROTOCOL}
)
# What a server of an old version does not know it passes over, so an old client may have it.
_OPTIONAL: Final = frozenset(
    {
        *(POINT_FORMATS, STATUS_REQUEST, HEARTBEAT, ALPN, TIMESTAMPS, ENCRYPT_THEN_MAC),
        *(EXTENDED_MASTER_SECRET, RECORD_SIZE, TICKET, SCHEMES_CERT, RENEGOTIATION),
        *(STATUS_REQUEST_V2, MAX_FRAGMENT_LENGTH, *_OF_BROWSERS),
    }
)
_EVERY: Final = tuple(sorted(_NEEDED | _NEEDED_IN_TLS13 | _OPTIONAL_IN_TLS13 | _OPTIONAL))
# Of the wide hellos, all of which ask for a staple: that none comes means something.
_NOT_IN_EVERY_VARIANT: Final = (
    *(RENEGOTIATION, POINT_FORMATS, TICKET, ENCRYPT_THEN_MAC, EXTENDED_MASTER_SECRET, ALPN),
    *(TIMESTAMPS, HEARTBEAT, PSK_MODES),
)
_IN_VARIANTS: Final = (
    *(*_NOT_IN_EVERY_VARIANT, STATUS_REQUEST, SERVER_NAME, GROUPS, SCHEMES, VERSIONS, KEY_SHARE),
)
_CONTENTS: Final = (
    (COMPRESS_CERTIFICATE, b"\2\0\1"),
    (POST_HANDSHAKE_AUTH, b""),
    # ocsp_multi, then ocsp (RFC 6961).
    (STATUS_REQUEST_V2, b"\0\x0e\2\0\4\0\0\0\0\1\0\4\0\0\0\0"),
    # 4,096 bytes (RFC 6066 4).
    (MAX_FRAGMENT_LENGTH, b"\4"),
    (APPLICATION_SETTINGS, b"\0\3\2h2"),
    (DELEGATED_CREDENTIAL, b"\0\4\4\3\\8\4"),
    (NEXT_PROTOCOL, b""),
    # Only its beginning is taken; the rest is drawn.
    (ENCRYPTED_CLIENT_HELLO, b"\0\0\1\0\1"),
)
_HTTP_1: Final = vector(2, vector(1, b"http/1.1"))

_TLS13_SUITES: Final = (0x1301, 0x1302, 0x1303)
# Of a payment client, and those that others offer in addition.
_ECDSA_SUITES, _MORE_ECDSA_SUITES = (0xC02B, 0xCCA9, 0xC023), (0xC02C, 0xC024, 0xC009, 0xC00A)
_RSA_SUITES, _MORE_RSA_SUITES = (0xC02F, 0xCCA8, 0xC027), (0xC030, 0xC028, 0xC013, 0xC014)
_DHE_SUITES: Final = (0x009E, 0x009F, 0xCCAA, 0x0067, 0x006B, 0x0033, 0x0039)
_STATIC_SUITES: Final = (0x009C, 0x009D, 0x003C, 0x003D, 0x002F, 0x0035)
# Nearly every server of TLS 1.0 accepts one of these.
_OLD_SUITES: Final = (0x002F, 0x0035, 0xC013, 0xC014, 0xC009, 0xC00A, 0x0033, 0x0039)
_OLDER_SUITES: Final = (0x000A, 0x0016, 0x0005, 0x0004, 0x0041, 0x0084, 0xC012, 0xC008, 0xC011)
_NULL_SUITES, _MORE_NULL_SUITES = (0xC010, 0x003B, 0x0002), (0x0001, 0xC015)
_EXPORT_SUITES: Final = (0x0003, 0x0006, 0x0008, 0x0014, 0x0011, 0x0019, 0x0017)
_ANONYMOUS_SUITES: Final = (0x00A6, 0x00A7, 0x006C, 0x006D, 0x0034, 0x003A, 0x0018, 0xC018, 0xC019)

_USUAL_KINDS: Final = (SignatureKind.ECDSA, SignatureKind.RSA_PSS_RSAE, SignatureKind.RSA_PKCS1)
_RSA_KINDS: Final = _USUAL_KINDS[1:]
_ML_DSA: Final = (0x0904, 0x0905, 0x0906)
_SHA_256: Final = frozenset({0x0403, 0x0804, 0x0401})
# With SHA-1 and SHA-224.
_OLD_SCHEMES: Final = frozenset({0x0201, 0x0203, 0x0301, 0x0303})
# Beyond one TCP segment, or what software takes for too long.
_PADDED: Final = (301, 384, 517, 640, 1024, 1536, 1792)


class _Draw:
    """What one hello of a pair draws.

    Both make the same calls in the same order. The second is told the opposite of every coin, and
    the reverse of every order.
    """

    def __init__(self, coins: int, keys: Sequence[int], *, is_second: bool) -> None:
        self._coins = ~coins if is_second else coins
        self._keys = iter(keys)
        self._is_second = is_second

    def coin(self) -> bool:
        is_set = bool(self._coins & 1)
        self._coins >>= 1
        return is_set

    def number(self, below: int) -> int:
        """Return a number that both have."""
        return next(self._keys) % below

    def order(self, items: Sequence[_Item]) -> list[_Item]:
        keys = [next(self._keys) for _ in items]
        places = sorted(range(len(items)), key=keys.__getitem__, reverse=self._is_second)
        return [items[place] for place in places]

    def some(self, items: Iterable[_Item]) -> list[_Item]:
        return [item for item in items if self.coin()]


def draw_clients_with_ecdsa_first(random_bytes: RandomBytes) -> Pair:
    """Return clients of TLS 1.3 and 1.2 that prefer ECDSA certificates and accept RSA ones."""
    return _pair("a client that prefers ECDSA", random_bytes, _with_ecdsa_first)


def draw_clients_with_rsa(random_bytes: RandomBytes) -> Pair:
    """Return clients of TLS 1.2 that accept no certificates but RSA ones."""
    return _pair("a client with RSA suites alone", random_bytes, _with_rsa)


def draw_old_clients(random_bytes: RandomBytes) -> Pair:
    """Return clients that offer TLS 1.1 or TLS 1.0 at most."""
    return _pair("a client of an old version", random_bytes, _old)


def draw_insecure_clients(random_bytes: RandomBytes) -> Pair:
    """Return clients that offer only suites without encryption, authentication or strength.

    NULL suites come first in both.
    """
    return _pair("a client with insecure suites alone", random_bytes, _insecure)


def draw_variants(random_bytes: RandomBytes) -> tuple[HelloVariant, HelloVariant]:
    """Return variants of the wide hellos by which suites and versions are asked for."""
    coins, keys = _material(random_bytes)
    return (
        _variant(_Draw(coins, keys, is_second=False)),
        _variant(_Draw(coins, keys, is_second=True)),
    )


def _variant(draw: _Draw) -> HelloVariant:
    left_out = {*draw.some(_NOT_IN_EVERY_VARIANT)}
    grease = 0x0A0A + 0x1010 * draw.number(16)
    size = _PADDED[draw.number(len(_PADDED))]
    return HelloVariant(
        order=tuple(kind for kind in draw.order(_IN_VARIANTS) if kind not in left_out),
        has_session_id=draw.coin(),
        prefers_p256=draw.coin(),
        record_version=0x0301 if draw.coin() else 0x0303,
        grease=grease if draw.coin() else None,
        padded_to=size if draw.coin() else 0,
    )


def _material(random_bytes: RandomBytes) -> tuple[int, tuple[int, ...]]:
    """Return coins and keys for one pair."""
    coins = int.from_bytes(random_bytes(_COIN_BYTES), "big")
    return coins, struct.unpack(f">{_KEYS}H", random_bytes(2 * _KEYS))


def _pair(
    name: str, random_bytes: RandomBytes, make: Callable[[str, _Draw], ClientProfile]
) -> Pair:
    coins, keys = _material(random_bytes)
    return (
        make(f"{name}, made up", _Draw(coins, keys, is_second=False)),
        make(f"{name}, made up the other way", _Draw(coins, keys, is_second=True)),
    )


def _with_ecdsa_first(name: str, draw: _Draw) -> ClientProfile:
    is_small = draw.coin()
    few = [*draw.order(_ECDSA_SUITES), _RSA_SUITES[0]]
    more = [*draw.order(_MORE_ECDSA_SUITES), *draw.order((*_RSA_SUITES[1:], *_MORE_RSA_SUITES))]
    suites = _suites(draw, few, more, is_small=is_small)
    tls13 = draw.order(_TLS13_SUITES)
    tls13 = tls13[:2] if is_small else tls13
    optional = _some(draw, _OPTIONAL | _OPTIONAL_IN_TLS13, is_small=is_small)
    return _client(
        name,
        draw,
        highest=TlsVersion.TLS_1_3,
        lowest=TlsVersion.TLS_1_2 if draw.coin() else TlsVersion.TLS_1_0,
        suites=[*suites, *tls13] if draw.coin() else [*tls13, *suites],
        extensions=_NEEDED | _NEEDED_IN_TLS13 | optional,
        kinds=_USUAL_KINDS,
        is_small=is_small,
    )


def _with_rsa(name: str, draw: _Draw) -> ClientProfile:
    few, more = draw.order(_RSA_SUITES), draw.order(_MORE_RSA_SUITES)
    return _client(
        name,
        draw,
        highest=TlsVersion.TLS_1_2,
        lowest=TlsVersion.SSL_3_0,
        suites=_suites(draw, few, more, is_small=draw.coin()),
        extensions=_NEEDED | frozenset(draw.some(sorted(_OPTIONAL))),
        kinds=_RSA_KINDS,
        is_small=draw.coin(),
    )


def _suites(draw: _Draw, few: Sequence[int], more: Sequence[int], *, is_small: bool) -> list[int]:
    """Return the suites of TLS 1.2 of a client.

    few: nearly every server that meets the policy of payment clients accepts one. more: what a
    client may offer in addition.
    """
    others = [*more, *draw.order(_DHE_SUITES), *draw.order(_STATIC_SUITES)]
    return list(few) if is_small else [*few, *others]


def _some(draw: _Draw, kinds: frozenset[int], *, is_small: bool) -> frozenset[int]:
    """Return an eighth of the kinds for a small hello, and the others for the other of its pair."""
    coins = [(kind, [draw.coin() for _ in range(3)]) for kind in sorted(kinds)]
    choose = all if is_small else any
    return frozenset(kind for kind, thrown in coins if choose(thrown))


def _old(name: str, draw: _Draw) -> ClientProfile:
    is_small = draw.coin()
    usual, older = draw.order(_OLD_SUITES), draw.order(_OLDER_SUITES)
    return _client(
        name,
        draw,
        highest=TlsVersion.TLS_1_1 if draw.coin() else TlsVersion.TLS_1_0,
        lowest=TlsVersion.SSL_3_0,
        suites=usual if is_small else [*older, *usual],
        extensions=_any_extensions(draw),
        kinds=_USUAL_KINDS,
        is_small=draw.coin(),
    )


def _insecure(name: str, draw: _Draw) -> ClientProfile:
    is_small = draw.coin()
    null = draw.order(_NULL_SUITES)
    others = [*draw.order(_EXPORT_SUITES), *draw.order(_ANONYMOUS_SUITES)]
    null = [0xC006, *null] if draw.coin() else [*null, 0xC006]
    return _client(
        name,
        draw,
        highest=TlsVersion.TLS_1_2,
        lowest=TlsVersion.SSL_3_0,
        suites=null if is_small else [*null, *_MORE_NULL_SUITES, *others],
        extensions=_any_extensions(draw),
        kinds=_USUAL_KINDS,
        is_small=draw.coin(),
    )


def _any_extensions(draw: _Draw) -> frozenset[int]:
    """Return what a hello has that only reveals: nothing in it is needed."""
    every = (*_NEEDED, VERSIONS, KEY_SHARE, *_OPTIONAL, *_OPTIONAL_IN_TLS13)
    found = frozenset(draw.some(sorted(every)))
    # RFC 8446 4.2.8: shares are of groups that are named.
    return found if GROUPS in found else found - {KEY_SHARE}


def _client(
    name: str,
    draw: _Draw,
    *,
    highest: TlsVersion,
    lowest: TlsVersion,
    suites: Sequence[int],
    extensions: frozenset[int],
    kinds: Sequence[SignatureKind],
    is_small: bool,
) -> ClientProfile:
    """is_small: it names few groups and schemes."""
    listed = (*suites, _RENEGOTIATION_SIGNAL) if draw.coin() else tuple(suites)
    ordered = tuple(kind for kind in draw.order(_EVERY) if kind in extensions)
    is_tls13 = highest is TlsVersion.TLS_1_3
    groups, shares = _groups(draw, can_be_hybrid=is_tls13, is_small=is_small)
    contents = dict(_CONTENTS)
    if draw.coin():
        contents[ALPN] = _HTTP_1
    if draw.coin():
        contents[POINT_FORMATS] = b"\3\0\1\2"
    if draw.coin():
        listed, groups = (GREASE_SUITE, *listed), (GREASE_GROUP, *groups)
        ordered = (GREASE_FIRST, *ordered, GREASE_LAST) if ordered else ()
    size = _PADDED[draw.number(len(_PADDED))]
    compresses = draw.coin() and not is_tls13
    return ClientProfile(
        name=name,
        highest=highest,
        lowest=lowest,
        listed_suites=listed,
        extensions=ordered,
        groups=groups,
        schemes=_schemes(draw, kinds, is_small=is_small),
        share_groups=shares if KEY_SHARE in ordered else (),
        record_version=0x0301 if draw.coin() else 0x0303,
        has_session_id=draw.coin(),
        padded_to=size if draw.coin() and not is_small else 0,
        compression=(1, 0) if compresses else (0,),
        contents=tuple((kind, content) for kind, content in contents.items() if kind in ordered),
        drawn_contents=(ENCRYPTED_CLIENT_HELLO,) if ENCRYPTED_CLIENT_HELLO in ordered else (),
    )


def _groups(
    draw: _Draw, *, can_be_hybrid: bool, is_small: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the groups and those of which a share is sent, in one order (RFC 8446 4.2.8)."""
    usual, others = draw.order((_X25519, _P256)), draw.order((_P384, _P521, _X448))
    wanted = {*draw.some(sorted(others))}
    finite_field = _FINITE_FIELD if draw.coin() else ()
    hybrid = (_HYBRID,) if draw.coin() and can_be_hybrid else ()
    sent = usual if draw.coin() else usual[:1]
    knows_x25519 = draw.coin()
    if is_small:
        known = (_P256,) if not knows_x25519 else tuple(usual)
        return known, tuple(group for group in sent if group in known)
    chosen = (group for group in others if group in wanted)
    return (*hybrid, *usual, *chosen, *finite_field), (*hybrid, *sent)


def _schemes(draw: _Draw, kinds: Sequence[SignatureKind], *, is_small: bool) -> tuple[int, ...]:
    """Those of the first kind come first; ML-DSA before all, and old hashes last, if at all."""
    first, *others = kinds
    ordered = [
        *draw.order(SCHEMES_OF_KIND[first]),
        *draw.order([scheme for kind in others for scheme in SCHEMES_OF_KIND[kind]]),
    ]
    usual = [scheme for scheme in ordered if scheme not in _OLD_SCHEMES]
    old = [scheme for scheme in ordered if scheme in _OLD_SCHEMES]
    has_newest, has_old = draw.coin(), draw.coin()
    if is_small:
        return tuple(scheme for scheme in usual if scheme in _SHA_256)
    return (*(_ML_DSA if has_newest else ()), *usual, *(old if has_old else ()))
