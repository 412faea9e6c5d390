"""ClientHello messages: what we offer, written as bytes, and read off bytes that a TLS library sent. No sockets; randomness is an argument.

A hello looks like one of a client that exists, and is wide: no suite is hidden by its curve or hash. TLS_FALLBACK_SCSV is never sent.
Evidence of absence needs to know what was really offered: a TLS library drops suites that it does not implement, or that
the version forbids, without saying so. Only our own hellos are read here.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache

from otpc_policy.facts import KeyType, TlsVersion
from otpc_policy.tls.named_groups import is_forbidden_in_tls13

# Bytes of randomness in one hello: Random, session id, and an X25519 share, which any 32 bytes are but for the highest bit (RFC 7748 5).
_RANDOM_BYTES = _SESSION_ID_BYTES = _SHARE_BYTES = 32
ENTROPY_BYTES = _RANDOM_BYTES + _SESSION_ID_BYTES + _SHARE_BYTES

# RFC 5746 and RFC 7507: signalling values in the list of suites; nobody can choose them.
_SIGNALS = frozenset({0x00FF, 0x5600})
_SSL2_CLIENT_HELLO = 1
_RENEGOTIATION_SIGNAL = 0x00FF

# What is in use first, then Brainpool, SM2 and GOST, then old curves.
_CURVES = (*(29, 23, 24, 25, 30), *(26, 27, 28, 31, 32, 33, 41), *range(34, 41), *range(22, 8, -1), *range(1, 9))
# RFC 7919.
_FINITE_FIELD_GROUPS = (256, 257, 258, 259, 260)
# ML-KEM, alone and beside a curve: of TLS 1.3 only. A server that takes nothing else asks for it with a HelloRetryRequest, which is an acceptance.
_POST_QUANTUM_GROUPS = (0x11EC, 0x11EB, 0x11ED, 0x11EE, 0x11E9, 0x11EA, 0x0200, 0x0201, 0x0202)
_FEW_GROUPS = (29, 23, 24, 25)
_EDDSA_SCHEMES = (0x0807, 0x0808)
# The rest: post-quantum, SM2, GOST, then SHA-1, SHA-224, DSA and MD5, which old servers cannot do without.
_SCHEMES_BY_KEY_TYPE = {
    KeyType.RSA: (0x0804, 0x0805, 0x0806, 0x0809, 0x080A, 0x080B, 0x0401, 0x0501, 0x0601),
    KeyType.ECDSA: (0x0403, 0x0503, 0x0603, 0x081A, 0x081B, 0x081C),
    KeyType.EDDSA: _EDDSA_SCHEMES,
}
_OTHER_SCHEMES = (
    *(0x0904, 0x0905, 0x0906, 0x0708, 0x0840, 0x0841),
    *range(0x0709, 0x0710),
    *(0x0303, 0x0301, 0x0402, 0x0502, 0x0602, 0x0302, 0x0203, 0x0201, 0x0202, 0x0101),
)
_SIGNATURE_SCHEMES = (
    *_SCHEMES_BY_KEY_TYPE[KeyType.ECDSA][:3],
    *_EDDSA_SCHEMES,
    *_SCHEMES_BY_KEY_TYPE[KeyType.RSA],
    *_SCHEMES_BY_KEY_TYPE[KeyType.ECDSA][3:],
    *_OTHER_SCHEMES,
)
_FEW_SCHEMES = (0x0403, 0x0503, 0x0807, 0x0804, 0x0805, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201)
_ALPN = (b"h2", b"http/1.1")
_X25519 = 29
# P-256, P-384 and P-521, each with its base point as the share (SEC 2, 2.4.2, 2.5.1 and 2.6.1): a valid public key, of which nobody needs the private one.
_POINTS = {
    23: bytes.fromhex("046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"),
    24: bytes.fromhex(
        "04"
        "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7"
        "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f"
    ),
    25: bytes.fromhex(
        "04"
        "00c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3dbaa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66"
        "011839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e662c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650"
    ),
}


class HelloStyle(Enum):
    """How much a hello says beside its suites.

    FULL: all extensions that current clients send. SHORT: the few that a server needs, for servers that dislike long hellos
    (F5 K14758). BARE: none but a server name, where there is one: SSL 3 knows no extensions, routing proxies need the name.
    """

    FULL = "full"
    SHORT = "short"
    BARE = "bare"


class GroupList(Enum):
    """Which groups a hello names.

    WIDE: all but those of RFC 7919; at TLS 1.3 all. FINITE_FIELD: those of RFC 7919 too. A server that shares none of them must not choose a
    suite with finite-field Diffie-Hellman then (RFC 7919 4), and others choose one only then: both must be asked below TLS 1.3.
    SHARED: those that the hello has key shares for, so that the server has no reason to ask for another before it chooses a certificate.
    """

    WIDE = "wide"
    FINITE_FIELD = "finite field"
    SHARED = "shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientHello:
    """One offer.

    version: the highest offered. lowest: the lowest offered; below TLS 1.3 a hello offers everything down to SSL 3 by the protocol's
    own rule (RFC 5246 E.1), so it only matters with TLS 1.3. cipher_suites: code points in order of preference; kinds of three bytes in SSL 2.
    server_name: an A-label name for SNI; None sends none. key_type: restricts the signature schemes; None offers all.
    groups: see GroupList.
    """

    version: TlsVersion
    lowest: TlsVersion
    cipher_suites: tuple[int, ...]
    server_name: str | None
    style: HelloStyle = HelloStyle.FULL
    key_type: KeyType | None = None
    groups: GroupList = GroupList.WIDE


def encode_client_hello(hello: ClientHello, entropy: bytes) -> bytes:
    """Return one record with the hello (RFC 5246 7.4.1.2, RFC 8446 4.1.2; SSL 2: draft-hickman-netscape-ssl-00).

    entropy: ENTROPY_BYTES random bytes.
    """
    if hello.version is TlsVersion.SSL_2_0:
        return _ssl2_hello(hello.cipher_suites, entropy[:16])
    template = _template(replace(hello, server_name=None))
    session_id = entropy[32:64] if template.has_session_id else b""
    # RFC 7748 5 has the highest bit of an X25519 share ignored; wolfSSL refuses shares in which it is set.
    share = entropy[64:95] + bytes((entropy[95] & 0x7F,)) if template.has_share else b""
    extensions = b"".join((_server_name(hello.server_name), template.extensions, share))
    body = b"".join((template.legacy_version, entropy[:32], _vector(1, session_id), template.suites, _vector(2, extensions) if extensions else b""))
    # RFC 8446 5.1: the record of a first hello says TLS 1.0, because some servers refuse more. SSL 3 servers may know nothing of TLS.
    record = b"\x16\x03\x00" if hello.version is TlsVersion.SSL_3_0 else b"\x16\x03\x01"
    return b"".join((record, (4 + len(body)).to_bytes(2, "big"), b"\x01", len(body).to_bytes(3, "big"), body))


def _with_signal(hello: ClientHello) -> tuple[int, ...]:
    """RFC 5746 3.3: without extensions, a suite says that renegotiation is secure."""
    return (*hello.cipher_suites, _RENEGOTIATION_SIGNAL) if hello.style is HelloStyle.BARE else hello.cipher_suites


def _ssl2_hello(kinds: Sequence[int], challenge: bytes) -> bytes:
    specs = b"".join(kind.to_bytes(3, "big") for kind in kinds)
    body = bytes((_SSL2_CLIENT_HELLO, 0, 2)) + len(specs).to_bytes(2, "big") + b"\0\0" + len(challenge).to_bytes(2, "big") + specs + challenge
    return (0x8000 | len(body)).to_bytes(2, "big") + body


@dataclass(frozen=True, slots=True, kw_only=True)
class _Template:
    """What is the same in a hello for every server. suites: with compression methods. extensions: without a name, and without X25519's share at their end."""

    legacy_version: bytes
    has_session_id: bool
    suites: bytes
    extensions: bytes
    has_share: bool


# The same few hellos are sent to every server, each under another name.
@lru_cache(maxsize=512)
def _template(nameless: ClientHello) -> _Template:
    has_share = nameless.version is TlsVersion.TLS_1_3
    extensions = b"".join(kind.to_bytes(2, "big") + _vector(2, content) for kind, content in _extensions(nameless))
    return _Template(
        legacy_version=min(nameless.version, TlsVersion.TLS_1_2).to_bytes(2, "big"),
        # SSL 3 and servers that dislike long hellos get no session id: it only serves TLS 1.3 in its disguise (RFC 8446 D.4).
        has_session_id=nameless.style is HelloStyle.FULL,
        suites=_numbers(2, _with_signal(nameless)) + b"\1\0",
        extensions=extensions + _shares(nameless) if has_share else extensions,
        has_share=has_share,
    )


def _server_name(name: str | None) -> bytes:
    """Return the extension for a name (RFC 6066 3)."""
    return b"" if name is None else b"\0\0" + _vector(2, _vector(2, b"\0" + _vector(2, name.encode("ascii"))))


def _extensions(hello: ClientHello) -> list[tuple[int, bytes]]:
    """Return all but the server's name and the key shares."""
    if hello.style is HelloStyle.BARE:
        return []
    is_full = hello.style is HelloStyle.FULL
    extensions = [
        (0xFF01, b"\0"),  # renegotiation_info (RFC 5746)
        (10, _numbers(2, _groups(hello))),
        (11, _vector(1, b"\0")),  # uncompressed points (RFC 8422)
    ]
    if is_full:
        extensions += [
            (23, b""),  # extended_master_secret (RFC 7627)
            (5, b"\1\0\0\0\0"),  # status_request: OCSP (RFC 6066 8)
            (16, _vector(2, b"".join(_vector(1, name) for name in _ALPN))),
        ]
    if hello.version >= TlsVersion.TLS_1_2:
        extensions.append((13, _numbers(2, _schemes(hello))))
    if hello.version is TlsVersion.TLS_1_3:
        offered = [version for version in reversed(TlsVersion) if hello.lowest <= version <= hello.version]
        extensions += [
            (43, _vector(1, b"".join(one.to_bytes(2, "big") for one in offered))),
            (45, _vector(1, b"\1")),  # psk_dhe_ke
        ]
    return extensions


def _groups(hello: ClientHello) -> Sequence[int]:
    if hello.groups is GroupList.SHARED:
        return (_X25519, *_points(hello))
    finite_field = _FINITE_FIELD_GROUPS if hello.groups is GroupList.FINITE_FIELD else ()
    if hello.style is not HelloStyle.FULL:
        return (*_FEW_GROUPS, *finite_field)
    if hello.version is not TlsVersion.TLS_1_3:
        return (*_CURVES, *finite_field)
    groups = (*_CURVES, *_FINITE_FIELD_GROUPS, *_POST_QUANTUM_GROUPS)
    return groups if hello.lowest < TlsVersion.TLS_1_3 else [group for group in groups if not is_forbidden_in_tls13(group)]


def _points(hello: ClientHello) -> Mapping[int, bytes]:
    """Return the constant key shares; a short hello has no room for them."""
    return _POINTS if hello.groups is GroupList.SHARED and hello.style is HelloStyle.FULL else {}


def _schemes(hello: ClientHello) -> Sequence[int]:
    if hello.key_type is not None:
        return _SCHEMES_BY_KEY_TYPE[hello.key_type]
    return _SIGNATURE_SCHEMES if hello.style is HelloStyle.FULL else _FEW_SCHEMES


def _shares(hello: ClientHello) -> bytes:
    """Return the key shares; that for X25519 stands last and is left out, though counted."""
    entries = b"".join(group.to_bytes(2, "big") + _vector(2, point) for group, point in _points(hello).items())
    return (51).to_bytes(2, "big") + _vector(2, _vector(2, entries + _X25519.to_bytes(2, "big") + _vector(2, bytes(_SHARE_BYTES))))[:-_SHARE_BYTES]


def _vector(width: int, content: bytes) -> bytes:
    return len(content).to_bytes(width, "big") + content


def _numbers(width: int, numbers: Sequence[int]) -> bytes:
    return _vector(width, struct.pack(f">{len(numbers)}H", *numbers))


def offered_cipher_suites(sent: bytes) -> tuple[int, ...]:
    """Return the code points in the first ClientHello of these bytes, in its order, without signalling values.

    SSL 2 hellos are understood; their kinds have three bytes. Returns nothing for bytes that hold no whole hello.
    """
    if len(sent) > 11 and sent[0] & 0x80 and sent[2] == _SSL2_CLIENT_HELLO:
        length = int.from_bytes(sent[5:7], "big")
        return _code_points(sent[11 : 11 + length], 3)
    # Record header, handshake header, legacy_version and random (RFC 8446 4.1.2, 5.1), then session id and suites.
    session_id = 5 + 4 + 2 + 32
    if len(sent) <= session_id or sent[0] != 0x16:
        return ()
    suites = session_id + 1 + sent[session_id]
    length = int.from_bytes(sent[suites : suites + 2], "big")
    return _code_points(sent[suites + 2 : suites + 2 + length], 2)


def _code_points(listed: bytes, width: int) -> tuple[int, ...]:
    numbers = (int.from_bytes(listed[place : place + width], "big") for place in range(0, len(listed) - width + 1, width))
    return tuple(number for number in numbers if number not in _SIGNALS)
