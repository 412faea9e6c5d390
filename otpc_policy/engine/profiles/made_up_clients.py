"""Hellos of clients that nobody has recorded, made up anew for each measurement under a cover.

A server, or whatever stands in front of it, may tell clients apart by anything in a hello, alone or
together with something else. Recorded clients show what their programs are given. So the same
questions are asked in shapes that are made up: whatever can be there or not be there, or stand
before or after something else, is in some hello of a measurement and not in another, whether
anybody has thought of it or not (see cover).

A client of these shapes is possible, if unusual: a client that wants a certificate offers what the
RFCs demand. A hello that only reveals may have anything that a server passes over.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import Final

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.profiles.clients import (
    GREASE_FIRST,
    GREASE_GROUP,
    GREASE_LAST,
    GREASE_SUITE,
    ClientProfile,
)
from otpc_policy.engine.profiles.cover import Cover, Draw, columns_of
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
    PRE_SHARED_KEY,
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
from otpc_policy.engine.profiles.hello_draw import DRAWABLE, RandomBytes
from otpc_policy.tls.hello_extensions import HelloVariant, vector

_RENEGOTIATION_SIGNAL: Final = 0x00FF
_X25519, _P256, _P384, _P521, _X448, _HYBRID = 29, 23, 24, 25, 30, 0x11EC
_FINITE_FIELD: Final = (256, 257, 258, 259, 260)
_OLD_CURVES: Final = (26, 27, 28, 22, 14, 13, 11, 9)

_NEEDED: Final = (SERVER_NAME, GROUPS, SCHEMES)
_NEEDED_IN_TLS13: Final = (VERSIONS, KEY_SHARE)
_OPTIONAL: Final = (
    *(POINT_FORMATS, STATUS_REQUEST, HEARTBEAT, ALPN, TIMESTAMPS, ENCRYPT_THEN_MAC),
    *(EXTENDED_MASTER_SECRET, RECORD_SIZE, TICKET, SCHEMES_CERT, RENEGOTIATION),
    *(STATUS_REQUEST_V2, MAX_FRAGMENT_LENGTH, APPLICATION_SETTINGS, DELEGATED_CREDENTIAL),
    *(ENCRYPTED_CLIENT_HELLO, NEXT_PROTOCOL),
)
_OPTIONAL_IN_TLS13: Final = (PSK_MODES, POST_HANDSHAKE_AUTH, COMPRESS_CERTIFICATE)
_EVERY: Final = (*_NEEDED, *_NEEDED_IN_TLS13, *_OPTIONAL, *_OPTIONAL_IN_TLS13)
# Of the wide hellos. All of them ask for a staple: that none comes means something.
_OPTIONAL_IN_VARIANTS: Final = (
    *(RENEGOTIATION, POINT_FORMATS, TICKET, ENCRYPT_THEN_MAC, EXTENDED_MASTER_SECRET, ALPN),
    *(TIMESTAMPS, HEARTBEAT, RECORD_SIZE, SCHEMES_CERT, NEXT_PROTOCOL, APPLICATION_SETTINGS),
    *(PSK_MODES, POST_HANDSHAKE_AUTH),
)
_NEEDED_IN_VARIANTS: Final = (*_NEEDED, *_NEEDED_IN_TLS13, STATUS_REQUEST)
# Of tickets, in bytes: what servers issue.
_TICKETS: Final = (160, 176, 192, 208, 224, 240)
# zlib, brotli and zstd (RFC 8879 7.3).
_COMPRESSIONS: Final = (b"\0\1", b"\0\2", b"\0\3")
_HTTP_2, _HTTP_1 = vector(1, b"h2"), vector(1, b"http/1.1")
_CONTENTS: Final = {
    POST_HANDSHAKE_AUTH: b"",
    # ocsp_multi, then ocsp (RFC 6961).
    STATUS_REQUEST_V2: b"\0\x0e\2\0\4\0\0\0\0\1\0\4\0\0\0\0",
    # 4,096 bytes (RFC 6066 4).
    MAX_FRAGMENT_LENGTH: b"\4",
    APPLICATION_SETTINGS: b"\0\3\2h2",
    DELEGATED_CREDENTIAL: b"\0\4\4\3\x08\4",
    NEXT_PROTOCOL: b"",
    # Only its beginning is taken; the rest is drawn.
    ENCRYPTED_CLIENT_HELLO: b"\0\0\1\0\1",
}

_TLS13_SUITES: Final = (0x1301, 0x1302, 0x1303)
# Of a payment client, and those that others offer in addition.
_ECDSA_SUITES, _MORE_ECDSA_SUITES = (0xC02B, 0xCCA9, 0xC023), (0xC02C, 0xC024, 0xC009, 0xC00A)
_RSA_SUITES, _MORE_RSA_SUITES = (0xC02F, 0xCCA8, 0xC027), (0xC030, 0xC028, 0xC013, 0xC014)
_DHE_SUITES: Final = (0x009E, 0x009F, 0xCCAA, 0x0067, 0x006B)
_STATIC_SUITES: Final = (0x0035, 0x009D, 0x009C, 0x003D, 0x003C, 0x002F)
# What a client may offer besides, each with those that mostly come with it.
_OTHER_SUITES: Final = (
    *(_DHE_SUITES, (0x0033, 0x0039), (0x0032, 0x0038)),
    *(_STATIC_SUITES, (0xC09E, 0xC09C), (0x0041, 0x0084)),
    *((0x000A, 0x0016, 0xC012), (0x0005, 0x0004, 0xC011), (0xC004, 0xC00E), (0xC028, 0xC024)),
    *((0x0003, 0x0008), (0x008C, 0x00AE)),
)
# Nearly every server of TLS 1.0 accepts one of these.
_OLD_SUITES: Final = (0x002F, 0x0035, 0xC013, 0xC014, 0xC009, 0xC00A)
_NULL_SUITES, _MORE_NULL_SUITES = (0xC006, 0xC010, 0x003B, 0x0002), (0x0001, 0xC015)
_EXPORT_SUITES: Final = (0x0003, 0x0006, 0x0008, 0x0014, 0x0011, 0x0019, 0x0017)
_ANONYMOUS_SUITES: Final = (0x00A6, 0x00A7, 0x006C, 0x006D, 0x0034, 0x003A, 0x0018, 0xC018, 0xC019)

_ECDSA_SCHEMES: Final = (0x0403, 0x0503, 0x0603)
_PSS_SCHEMES: Final = (0x0804, 0x0805, 0x0806)
_PKCS1_SCHEMES: Final = (0x0401, 0x0501, 0x0601)
# What a client may verify besides: Ed25519, Ed448, RSASSA-PSS, SHA-1, SHA-224, DSA, ML-DSA.
_OTHER_SCHEMES: Final = (
    *((0x0807,), (0x0808,), (0x0809, 0x080A, 0x080B), (0x0203, 0x0201), (0x0303, 0x0301)),
    *((0x0402, 0x0202), (0x0904, 0x0905, 0x0906)),
)
# Beyond what software takes for too long, up to more than one TCP segment.
_PADDED: Final = (301, 384, 517, 640, 1024, 1536, 1792)
_PADDED_RICH: Final = (1280, 1536, 1792, 2048)


class _Build(Enum):
    """What a hello of a cover is like; all else is drawn.

    TINY: few suites, groups and schemes, and no extension but those needed. RICH: every extension,
    the server's name last. NAME_FIRST: as most clients have it. FREE: anything. SHORT: as programs
    of some years ago have it, without X25519 and RSA-PSS. NAMED: the same, with as few extensions
    as TINY, but the server's name, because routers choose by it first.
    """

    TINY = "tiny"
    RICH = "rich"
    NAME_FIRST = "name first"
    FREE = "free"
    SHORT = "short"
    NAMED = "named"


_BUILDS: Final = (_Build.RICH, _Build.NAME_FIRST, _Build.FREE)
_BUILDS_OF_TLS12: Final = (_Build.RICH, _Build.SHORT)
_BUILDS_THAT_REVEAL: Final = (*_BUILDS, _Build.NAMED)
# Few suites, groups, schemes and extensions.
_SMALL_BUILDS: Final = (_Build.TINY, _Build.SHORT, _Build.NAMED)
# Extensions of a hello that is to be short.
_OPTIONAL_IN_SHORT: Final = frozenset(
    {
        *(POINT_FORMATS, STATUS_REQUEST, ALPN, ENCRYPT_THEN_MAC, EXTENDED_MASTER_SECRET),
        *(TICKET, RENEGOTIATION),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """How much a hello offers. is_small: few suites, groups and schemes. padded_to: bytes or 0."""

    build: _Build
    is_small: bool
    padded_to: int


def _look(draw: Draw, builds: Sequence[_Build]) -> _Look:
    """builds: of all hellos but the first; there are as many."""
    build, is_small = draw.one_of(_Build.TINY, builds), draw.coin()
    return _Look(
        build=build,
        is_small=build in _SMALL_BUILDS or (is_small and build is not _Build.RICH),
        # Padding is the last extension of a hello.
        padded_to=_PADDED_RICH[draw.number(len(_PADDED_RICH))] if build is _Build.RICH else 0,
    )


def draw_clients_with_ecdsa_first(
    random_bytes: RandomBytes, count: int
) -> tuple[ClientProfile, ...]:
    """Return clients of TLS 1.3 that prefer ECDSA certificates and accept RSA ones: four."""
    return _drawn("a client that prefers ECDSA", random_bytes, count, _with_ecdsa_first)


def draw_clients_of_tls12(random_bytes: RandomBytes, count: int) -> tuple[ClientProfile, ...]:
    """Return clients of TLS 1.2: three, all but one of which accept RSA certificates alone."""
    return _drawn("a client of TLS 1.2", random_bytes, count, _of_tls12)


def draw_old_clients(random_bytes: RandomBytes, count: int) -> tuple[ClientProfile, ...]:
    """Return clients that offer TLS 1.1 or TLS 1.0 at most: five."""
    return _drawn("a client of an old version", random_bytes, count, _old)


def draw_insecure_clients(random_bytes: RandomBytes, count: int) -> tuple[ClientProfile, ...]:
    """Return clients that offer suites without encryption, authentication or strength: five.

    NULL suites come first in all of them.
    """
    return _drawn("a client with insecure suites", random_bytes, count, _insecure)


def draw_variants(random_bytes: RandomBytes, count: int) -> tuple[HelloVariant, ...]:
    """Return variants of the wide hellos by which suites and versions are asked for.

    Of every three of them some have what others lack.
    """
    columns = [
        column
        for column in columns_of(count)
        if all(column >> place & 7 not in (0, 7) for place in range(0, count, 3))
    ]
    draws = Cover(random_bytes, count, columns).draws()
    return tuple(
        _variant(f"made up ({place + 1})", draw, _BUILDS[place % 3])
        for place, draw in enumerate(draws)
    )


def _drawn(
    name: str, random_bytes: RandomBytes, count: int, make: Callable[[str, Draw], ClientProfile]
) -> tuple[ClientProfile, ...]:
    draws = Cover(random_bytes, count).draws()
    return tuple(make(f"{name}, made up ({place})", draw) for place, draw in enumerate(draws, 1))


def _variant(name: str, draw: Draw, build: _Build) -> HelloVariant:
    chosen = {*_NEEDED_IN_VARIANTS, *(kind for kind in _OPTIONAL_IN_VARIANTS if draw.coin())}
    if build is _Build.RICH:
        chosen |= {*_OPTIONAL_IN_VARIANTS}
    if build is _Build.NAME_FIRST:
        chosen |= {EXTENDED_MASTER_SECRET}
    ordered = _in_order(draw, chosen, build)
    # What is drawn for each connection is drawn for clients alone.
    contents = {**_CONTENTS, **_varied_contents(draw, build), TICKET: b""}
    kinds = draw.order((_ECDSA_SCHEMES, _PSS_SCHEMES, _PKCS1_SCHEMES))
    first = tuple(reversed(kinds[0])) if draw.coin() else tuple(kinds[0])
    if build is _Build.RICH:
        first = tuple(reversed(_PKCS1_SCHEMES))
    size = _PADDED[draw.number(len(_PADDED))]
    grease = 0x0A0A + 0x1010 * draw.number(16)
    return HelloVariant(
        name=name,
        order=ordered,
        schemes_first=first,
        has_session_id=draw.coin(),
        prefers_p256=draw.coin(),
        record_version=0x0301 if draw.coin() else 0x0303,
        grease=grease if draw.coin() else None,
        grease_first=draw.coin(),
        padded_to=size if draw.coin() and build is not _Build.NAME_FIRST else 0,
        contents=tuple((kind, contents[kind]) for kind in ordered if kind in contents),
    )


def _with_ecdsa_first(name: str, draw: Draw) -> ClientProfile:
    look = _look(draw, _BUILDS)
    few = [*draw.order(_ECDSA_SUITES), _RSA_SUITES[0]]
    more = [*draw.order(_MORE_ECDSA_SUITES), *draw.order((*_RSA_SUITES[1:], *_MORE_RSA_SUITES))]
    others, tls13, goes_back = _others(draw), draw.order(_TLS13_SUITES), draw.coin()
    preferred, tls12_first = draw.one_of(
        ((0x1301,), False),
        (
            ((0x1302, 0xC02C, 0xC030), False),
            ((0x1303, 0xCCA9, 0xCCA8), False),
            ((0xC02B,), True),
        ),
    )
    if look.build is _Build.TINY:
        few, tls13, goes_back = few[1:], tls13[:2], False
    suites = few if look.is_small else [*few, *more, *others]
    suites = [*suites, *tls13] if tls12_first else [*tls13, *suites]
    return _client(
        name,
        draw,
        look,
        highest=TlsVersion.TLS_1_3,
        lowest=TlsVersion.TLS_1_0 if goes_back else TlsVersion.TLS_1_2,
        suites=[*preferred, *suites],
        needed=(*_NEEDED, *_NEEDED_IN_TLS13),
        optional=(*_OPTIONAL, *_OPTIONAL_IN_TLS13),
        kinds=(_ECDSA_SCHEMES, *draw.order((_PSS_SCHEMES, _PKCS1_SCHEMES))),
    )


def _of_tls12(name: str, draw: Draw) -> ClientProfile:
    look = _look(draw, _BUILDS_OF_TLS12)
    few, more, others = draw.order(_RSA_SUITES), draw.order(_MORE_RSA_SUITES), _others(draw)
    # As OpenSSL 1.0.2 lists them where it is not told otherwise.
    suites = [*draw.order(_STATIC_SUITES), *few, *more, *others]
    ecdsa = [*draw.order(_ECDSA_SUITES), *draw.order(_MORE_ECDSA_SUITES)]
    # Either kind comes first in one of the two hellos that are not short: no other hello is sure to
    # begin with it.
    is_reversed = draw.toss() is (look.build is _Build.TINY)
    kinds = [_PKCS1_SCHEMES, _PSS_SCHEMES] if is_reversed else [_PSS_SCHEMES, _PKCS1_SCHEMES]
    if look.build is _Build.SHORT:
        suites, kinds = [*ecdsa, *few, *more], [_ECDSA_SCHEMES, *kinds]
    elif look.is_small:
        suites = few
    return _client(
        name,
        draw,
        look,
        highest=TlsVersion.TLS_1_2,
        lowest=TlsVersion.SSL_3_0,
        suites=suites,
        needed=_NEEDED,
        optional=_OPTIONAL,
        kinds=kinds,
    )


def _old(name: str, draw: Draw) -> ClientProfile:
    look = _look(draw, _BUILDS_THAT_REVEAL)
    usual, others, is_newer = draw.order(_OLD_SUITES), _others(draw), draw.coin()
    preferred = draw.one_of(
        (0x002F, 0x000A, 0x0005),
        (
            (0x0035, 0x002F),
            (0xC009, 0xC013, 0x002F),
            (0x0033, 0x002F),
            (0xC014, 0xC00A, 0x0039, 0x0035),
        ),
    )
    if look.build is _Build.RICH:
        others, is_newer = [*chain(*_OTHER_SUITES)], True
    # Either kind of list: with suites that only old clients have, and without.
    if look.build is _Build.TINY:
        usual = usual[: 1 + draw.number(3)]
    if look.build is _Build.NAME_FIRST:
        others = [*_DHE_SUITES]
    return _revealing(
        name,
        draw,
        look,
        highest=TlsVersion.TLS_1_1 if is_newer else TlsVersion.TLS_1_0,
        suites=[*preferred, *usual, *([] if look.is_small else others)],
        needed=draw.one_of((), ((SERVER_NAME, GROUPS), (GROUPS, *_NEEDED_IN_TLS13), (GROUPS,))),
        # By signature_algorithms HAProxy chooses another certificate than for any client of TLS
        # 1.1, none of which sends it.
        optional=tuple(kind for kind in _EVERY if kind != SCHEMES),
    )


def _insecure(name: str, draw: Draw) -> ClientProfile:
    look = _look(draw, _BUILDS_THAT_REVEAL)
    # A server may prefer the certificate that is without fault.
    first = draw.one_of(0x0002, (0xC006, 0xC010, 0x003B))
    null, others = draw.order(_NULL_SUITES), _others(draw)
    more = [*_MORE_NULL_SUITES, *draw.order(_EXPORT_SUITES), *draw.order(_ANONYMOUS_SUITES)]
    # Not of RC4, so that some hello has none.
    other = draw.order((*_ANONYMOUS_SUITES[:6], *_EXPORT_SUITES[1:6]))[: draw.number(2)]
    suites = [*null, *([] if look.is_small else [*more, *others])]
    if look.build in (_Build.TINY, _Build.NAME_FIRST):
        suites = [*null, *more]
    if look.build is _Build.NAMED:
        suites = [*null, *other]
    return _revealing(
        name,
        draw,
        look,
        highest=TlsVersion.TLS_1_2,
        suites=[first, *suites],
        needed=() if look.build is _Build.TINY else _NEEDED,
    )


def _revealing(
    name: str,
    draw: Draw,
    look: _Look,
    *,
    highest: TlsVersion,
    suites: Sequence[int],
    needed: Sequence[int],
    optional: Sequence[int] = _EVERY,
) -> ClientProfile:
    """Return a client that may have anything in its hello, extensions of TLS 1.3 included."""
    kinds = draw.one_of(
        (_PSS_SCHEMES, _PKCS1_SCHEMES, _ECDSA_SCHEMES),
        (
            (_ECDSA_SCHEMES, _PKCS1_SCHEMES, _PSS_SCHEMES),
            (_PKCS1_SCHEMES, _PSS_SCHEMES, _ECDSA_SCHEMES),
            (tuple(reversed(_PKCS1_SCHEMES)), _ECDSA_SCHEMES, _PSS_SCHEMES),
        ),
    )
    tls13 = draw.order(_TLS13_SUITES)
    if look.build is _Build.FREE:
        suites = [*suites, *tls13]
    return _client(
        name,
        draw,
        look,
        highest=highest,
        lowest=TlsVersion.SSL_3_0,
        suites=suites,
        needed=needed,
        optional=optional,
        kinds=kinds,
    )


def _others(draw: Draw) -> list[int]:
    reverses = draw.coin()
    some = draw.some_in_order(_OTHER_SUITES)
    return [suite for suites in some for suite in (reversed(suites) if reverses else suites)]


def _client(
    name: str,
    draw: Draw,
    look: _Look,
    *,
    highest: TlsVersion,
    lowest: TlsVersion,
    suites: Sequence[int],
    needed: Sequence[int],
    optional: Sequence[int],
    kinds: Sequence[Sequence[int]],
) -> ClientProfile:
    """needed, optional: kinds of extension. kinds: of signature, each with its schemes."""
    is_tls13 = highest is TlsVersion.TLS_1_3
    extensions = {*needed, *draw.some(optional)}
    if look.build is _Build.SHORT:
        extensions = {ALPN, *needed, *(extensions & _OPTIONAL_IN_SHORT)}
    if look.build is _Build.NAMED:
        extensions = {SERVER_NAME, GROUPS, *({SCHEMES} & {*needed})}
    if look.build is _Build.RICH:
        extensions |= {*optional}
    if look.build is _Build.NAME_FIRST:
        extensions |= {
            SERVER_NAME,
            ALPN,
            EXTENDED_MASTER_SECRET,
            *((PSK_MODES,) if is_tls13 else ()),
        }
    if GROUPS not in extensions:
        # RFC 8446 4.2.8: shares are of groups that are named.
        extensions.discard(KEY_SHARE)
    ordered = _in_order(draw, extensions, look.build)
    listed = _listed(draw, suites)
    groups, shares = _groups(draw, look, is_tls13=is_tls13)
    has_grease = draw.has(), draw.has()
    if look.build is not _Build.NAMED:
        listed = (*(GREASE_SUITE,) * has_grease[0], *listed)
        groups = (*(GREASE_GROUP,) * has_grease[1], *groups)
    if look.build is _Build.NAME_FIRST and is_tls13:
        # With a ticket of a session that the server has forgotten.
        ordered = (*ordered, PRE_SHARED_KEY)
    if look.build is _Build.FREE:
        ordered = (GREASE_FIRST, *ordered, GREASE_LAST)
    contents = {**_CONTENTS, **_varied_contents(draw, look.build)}
    compresses = draw.coin() and not is_tls13
    is_padded = draw.coin() or is_tls13
    return ClientProfile(
        name=name,
        highest=highest,
        lowest=lowest,
        listed_suites=listed,
        extensions=ordered,
        groups=groups,
        schemes=_schemes(draw, look, kinds),
        share_groups=shares if KEY_SHARE in ordered else (),
        record_version=0x0301 if draw.coin() else 0x0303,
        has_session_id=draw.has() and look.build is not _Build.NAMED,
        padded_to=look.padded_to if is_padded else 0,
        compression=(1, 0) if compresses else (0,),
        contents=tuple((kind, content) for kind, content in contents.items() if kind in ordered),
        drawn_contents=tuple(kind for kind in ordered if kind in DRAWABLE),
    )


def _in_order(draw: Draw, kinds: Collection[int], build: _Build) -> tuple[int, ...]:
    """Return the kinds in an order. What clients mostly have at an end stands there often."""
    drawn, is_sorted = draw.order(_EVERY), draw.coin()
    if build in (_Build.TINY, _Build.NAMED) or (is_sorted and build is _Build.FREE):
        return tuple(sorted(kinds))
    first, last = {
        _Build.RICH: ((STATUS_REQUEST,), (SCHEMES, GROUPS, SERVER_NAME)),
        _Build.NAME_FIRST: ((SERVER_NAME, GROUPS, SCHEMES), (EXTENDED_MASTER_SECRET,)),
        _Build.SHORT: ((), (SERVER_NAME,)),
    }.get(build, ((), ()))
    between = (kind for kind in drawn if kind not in (*first, *last))
    return tuple(kind for kind in (*first, *between, *last) if kind in kinds)


def _listed(draw: Draw, suites: Sequence[int]) -> tuple[int, ...]:
    is_sorted, signal_is_last, has_signal = draw.one_of(
        (True, False, False), ((False, False, True), (False, True, True), (False, False, False))
    )
    listed = tuple(dict.fromkeys(suites))
    if is_sorted:
        return tuple(sorted(listed))
    if not has_signal:
        return listed
    return (*listed, _RENEGOTIATION_SIGNAL) if signal_is_last else (_RENEGOTIATION_SIGNAL, *listed)


def _varied_contents(draw: Draw, build: _Build) -> dict[int, bytes]:
    """Return the contents that differ between the hellos of a cover.

    Those of tickets have the right length alone: they are drawn for each connection.
    """
    compresses_points = draw.coin() or build is _Build.RICH
    protocols = _HTTP_1 if build is _Build.NAME_FIRST else _HTTP_2 + _HTTP_1
    formats = b"\3\0\1\2" if compresses_points else b"\1\0"
    compressions = draw.order(_COMPRESSIONS)[: 1 if build is not _Build.RICH else None]
    ticket = bytes(_TICKETS[draw.number(len(_TICKETS))])
    return {
        ALPN: vector(2, protocols),
        POINT_FORMATS: formats,
        COMPRESS_CERTIFICATE: vector(1, b"".join(compressions)),
        # A session of TLS 1.2, or one of TLS 1.3.
        TICKET: ticket if build is _Build.RICH else b"",
        PRE_SHARED_KEY: ticket,
    }


def _groups(draw: Draw, look: _Look, *, is_tls13: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the groups and those of which a share is sent, in one order (RFC 8446 4.2.8)."""
    usual = draw.order((_X25519, _P256))
    hybrid = (_HYBRID,) if look.build is _Build.NAME_FIRST else ()
    more, has_old, has_finite_field = draw.some((_P384, _P521, _X448)), draw.coin(), draw.coin()
    if look.build in _SMALL_BUILDS:
        usual = [_P256]
    if look.is_small:
        more, has_old, has_finite_field = [], False, False
    if look.build is _Build.RICH:
        usual, more, has_finite_field = [_X25519, _P256], [_P384, _P521, _X448], True
    if look.build is _Build.FREE:
        usual = [_P256, _X25519]
    shared = 2 if look.build is _Build.RICH else 1
    old = _OLD_CURVES if has_old and not is_tls13 else ()
    finite_field = _FINITE_FIELD if has_finite_field else ()
    return (*hybrid, *usual, *more, *old, *finite_field), (*hybrid, *usual[:shared])


def _schemes(draw: Draw, look: _Look, kinds: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Those of the first kind come first; a small client has one of each kind."""
    others = [scheme for some in draw.some_in_order(_OTHER_SCHEMES) for scheme in some]
    if look.build in (_Build.SHORT, _Build.NAMED):
        return tuple(scheme for kind in kinds if kind is not _PSS_SCHEMES for scheme in kind)
    if look.is_small:
        return tuple(kind[0] for kind in kinds)
    if look.build is _Build.RICH:
        others = [scheme for some in _OTHER_SCHEMES for scheme in some]
    return (*(scheme for kind in kinds for scheme in kind), *others)
