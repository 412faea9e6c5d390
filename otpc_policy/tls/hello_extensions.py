"""The extensions of a ClientHello, as bytes: everything that it offers in addition to its suites.

They are wide, so that no suite is hidden by its curve or hash.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from otpc_policy.core.facts import TlsVersion
from otpc_policy.core.registries.groups import is_forbidden_in_tls13

# What is in use first, then Brainpool, SM2 and GOST, then old curves.
_CURVES = (
    *(29, 23, 24, 25, 30),
    *(26, 27, 28, 31, 32, 33, 41),
    *range(34, 41),
    *range(22, 8, -1),
    *range(1, 9),
)
# RFC 7919.
_FINITE_FIELD_GROUPS = (256, 257, 258, 259, 260)
# ML-KEM, alone and with a curve: of TLS 1.3 only. A server that accepts nothing else asks for it
# with a HelloRetryRequest, which is an acceptance.
_POST_QUANTUM_GROUPS = (0x11EC, 0x11EB, 0x11ED, 0x11EE, 0x11E9, 0x11EA, 0x0200, 0x0201, 0x0202)
_FEW_GROUPS = (29, 23, 24, 25)
_EDDSA_SCHEMES = (0x0807, 0x0808)
# ECDSA, EdDSA, RSA-PSS, RSA, then post-quantum, SM2, GOST, and last SHA-1, SHA-224, DSA and MD5,
# which old servers need.
_SIGNATURE_SCHEMES = (
    *(0x0403, 0x0503, 0x0603),
    *_EDDSA_SCHEMES,
    *(0x0804, 0x0805, 0x0806, 0x0809, 0x080A, 0x080B, 0x0401, 0x0501, 0x0601),
    *(0x081A, 0x081B, 0x081C),
    *(0x0904, 0x0905, 0x0906, 0x0708, 0x0840, 0x0841),
    *range(0x0709, 0x0710),
    *(0x0303, 0x0301, 0x0402, 0x0502, 0x0602, 0x0302, 0x0203, 0x0201, 0x0202, 0x0101),
)
_FEW_SCHEMES = (0x0403, 0x0503, 0x0807, 0x0804, 0x0805, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201)
_X25519, _P256 = 29, 23
# By number (IANA, TLS ExtensionType Values).
_SERVER_NAME, _GROUPS, _SCHEMES, _VERSIONS, _PSK_MODES, _KEY_SHARE = 0, 10, 13, 43, 45, 51
# post_handshake_auth among them.
_ONLY_IN_TLS13 = frozenset({_VERSIONS, _PSK_MODES, _KEY_SHARE, 49})
# Any 32 bytes are a share, but for the highest bit (RFC 7748 5).
SHARE_BYTES = 32


class HelloStyle(Enum):
    """How much a hello offers in addition to its suites.

    FULL: all extensions that current clients send. SHORT: the few that a server needs, for servers
    that dislike long hellos (F5 K14758). BARE: only a server name, if there is a name: SSL 3 does
    not know extensions, but routing proxies need the name.
    """

    FULL = "full"
    SHORT = "short"
    BARE = "bare"

    # Hashed with every hello; an enum's own hash is computed in Python.
    __hash__ = object.__hash__


class GroupList(Enum):
    """Which groups a hello offers.

    WIDE: all except those of RFC 7919; at TLS 1.3 all. FINITE_FIELD: those of RFC 7919 too. If
    these are offered, a server that shares none of them must not choose a suite with finite-field
    Diffie-Hellman (RFC 7919 4); other servers choose such a suite only then. So both lists must
    be offered below TLS 1.3.
    """

    WIDE = "wide"
    FINITE_FIELD = "finite field"

    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HelloVariant:
    """What may differ between full hellos that offer the same suites, groups and schemes.

    order: kinds of extension as they are sent; those that mean nothing at a version are left out.
    A kind that is not there is not sent. prefers_p256: it is the first of the groups, else X25519.
    record_version: of the record layer, from TLS 1.0 on. grease: a value of RFC 8701 that is the
    first suite and group, and with grease_first the first extension, or None. schemes_first: they
    stand before all other signature schemes. padded_to: bytes of the whole hello, at least.
    contents: of extensions that have another content here, or stand only here, by kind.
    name: for people who read how a measurement went; empty for the plain one.
    Compared by identity: a measurement has few, and uses the same ones throughout.
    """

    # renegotiation_info, supported_groups, ec_point_formats, session_ticket, encrypt_then_mac,
    # extended_master_secret, status_request, ALPN, signature_algorithms.
    order: tuple[int, ...] = (
        *(_SERVER_NAME, 0xFF01, _GROUPS, 11, 35, 22, 23, 5, 16, _SCHEMES),
        *(_VERSIONS, _PSK_MODES, _KEY_SHARE),
    )
    has_session_id: bool = True
    prefers_p256: bool = False
    record_version: int = 0x0301
    grease: int | None = None
    grease_first: bool = True
    schemes_first: tuple[int, ...] = ()
    padded_to: int = 0
    contents: tuple[tuple[int, bytes], ...] = ()
    name: str = ""


PLAIN = HelloVariant()


def vector(width: int, content: bytes) -> bytes:
    """Return bytes preceded by their length in width bytes (RFC 8446 3.4)."""
    return len(content).to_bytes(width, "big") + content


def numbers(values: Sequence[int]) -> bytes:
    """Return a list of two-byte numbers, preceded by its length."""
    return vector(2, struct.pack(f">{len(values)}H", *values))


def server_name_extension(name: str | None) -> bytes:
    """Return the extension for a name (RFC 6066 3)."""
    return (
        b""
        if name is None
        else b"\0\0" + vector(2, vector(2, b"\0" + vector(2, name.encode("ascii"))))
    )


# Places in the extensions of a hello for what differs from one to the next.
NAME, SHARE = "name", "share"
_CONTENTS: Mapping[int, bytes] = {
    5: b"\1\0\0\0\0",  # status_request: OCSP (RFC 6066 8)
    11: b"\1\0",  # uncompressed points (RFC 8422)
    15: b"\1",  # heartbeat (RFC 6520)
    16: b"\0\x0c\2h2\x08http/1.1",  # ALPN (RFC 7301)
    18: b"",  # signed_certificate_timestamp (RFC 6962)
    22: b"",  # encrypt_then_mac (RFC 7366)
    23: b"",  # extended_master_secret (RFC 7627)
    28: b"\x40\x01",  # record_size_limit (RFC 8449)
    35: b"",  # session_ticket (RFC 5077)
    50: numbers(_SIGNATURE_SCHEMES),  # signature_algorithms_cert
    _PSK_MODES: b"\1\1",  # psk_dhe_ke
    0xFF01: b"\0",  # renegotiation_info (RFC 5746)
}
_SHORT = HelloVariant(
    order=(_SERVER_NAME, 0xFF01, _GROUPS, 11, _SCHEMES, _VERSIONS, _PSK_MODES, _KEY_SHARE)
)


def extension_order(style: HelloStyle, variant: HelloVariant) -> tuple[int, ...]:
    """Return the kinds of extension of a hello; what means nothing at its version is left out."""
    if style is HelloStyle.BARE:
        return (_SERVER_NAME,)
    return (variant if style is HelloStyle.FULL else _SHORT).order


# Of a measurement, whatever the name and the suites; those that do not vary, of all of them.
@lru_cache(maxsize=256)
def extension_parts(
    version: TlsVersion,
    lowest: TlsVersion,
    style: HelloStyle,
    groups: GroupList,
    variant: HelloVariant,
) -> tuple[bytes | str, ...]:
    """Return all extensions in order, and NAME and SHARE where those stand."""
    if style is HelloStyle.BARE:
        return (NAME,)
    parts: list[bytes | str] = []
    if variant.grease is not None and variant.grease_first:
        parts.append(_extension(variant.grease, b""))
    for kind in extension_order(style, variant):
        if kind == _SERVER_NAME:
            parts.append(NAME)
        elif kind == _KEY_SHARE:
            parts += [SHARE] if version is TlsVersion.TLS_1_3 else []
        elif kind == _GROUPS:
            named = offered_groups(version, lowest, style, groups)
            parts.append(_extension(kind, numbers(_preferring(named, variant))))
        elif kind == _SCHEMES:
            schemes = _SIGNATURE_SCHEMES if style is HelloStyle.FULL else _FEW_SCHEMES
            schemes = tuple(dict.fromkeys((*variant.schemes_first, *schemes)))
            parts += [_extension(kind, numbers(schemes))] if version >= TlsVersion.TLS_1_2 else []
        elif version is TlsVersion.TLS_1_3 or kind not in _ONLY_IN_TLS13:
            own = dict(variant.contents).get(kind)
            content = _content(kind, version, lowest) if own is None else own
            parts.append(_extension(kind, content))
    return tuple(parts)


def key_share_extension(share: bytes) -> bytes:
    """Return the extension with one share of X25519. share: SHARE_BYTES random bytes."""
    # RFC 7748 5: the highest bit of an X25519 share is ignored; wolfSSL refuses it if set.
    public = share[:-1] + bytes((share[-1] & 0x7F,))
    return _extension(_KEY_SHARE, vector(2, _X25519.to_bytes(2, "big") + vector(2, public)))


def _content(kind: int, version: TlsVersion, lowest: TlsVersion) -> bytes:
    if kind != _VERSIONS:
        return _CONTENTS[kind]
    offered = [known for known in reversed(TlsVersion) if lowest <= known <= version]
    return vector(1, b"".join(known.to_bytes(2, "big") for known in offered))


def _extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(2, content)


def _preferring(groups: Iterable[int], variant: HelloVariant) -> list[int]:
    first = [variant.grease] if variant.grease is not None else []
    first += [_P256] if variant.prefers_p256 else []
    return [*first, *(group for group in groups if group not in first)]


def offered_groups(
    version: TlsVersion, lowest: TlsVersion, style: HelloStyle, groups: GroupList
) -> Sequence[int]:
    """Return the groups of a hello that has extensions, in their order."""
    finite_field = _FINITE_FIELD_GROUPS if groups is GroupList.FINITE_FIELD else ()
    if style is not HelloStyle.FULL:
        return (*_FEW_GROUPS, *finite_field)
    if version is not TlsVersion.TLS_1_3:
        return (*_CURVES, *finite_field)
    known = (*_CURVES, *_FINITE_FIELD_GROUPS, *_POST_QUANTUM_GROUPS)
    return (
        known
        if lowest < TlsVersion.TLS_1_3
        else [group for group in known if not is_forbidden_in_tls13(group)]
    )
