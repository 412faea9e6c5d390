"""The extensions of a ClientHello, as bytes: everything that it offers in addition to its suites.

They are wide, so that no suite is hidden by its curve or hash.
"""

import struct
from collections.abc import Sequence
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
_ALPN = (b"h2", b"http/1.1")
_X25519 = 29
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


def server_name_extension(name: str | None) -> bytes:
    """Return the extension for a name (RFC 6066 3)."""
    return (
        b""
        if name is None
        else b"\0\0" + vector(2, vector(2, b"\0" + vector(2, name.encode("ascii"))))
    )


# All servers are sent the same few, whatever the name and the suites.
@lru_cache(maxsize=64)
def other_extensions(
    version: TlsVersion, lowest: TlsVersion, style: HelloStyle, groups: GroupList
) -> bytes:
    """Return all extensions except the server name.

    At TLS 1.3 they end with an X25519 share, whose bytes are counted but left out: the caller
    appends them.
    """
    encoded = _without_share(version, lowest, style, groups)
    extensions = b"".join(kind.to_bytes(2, "big") + vector(2, content) for kind, content in encoded)
    return extensions + _SHARE_HEADER if version is TlsVersion.TLS_1_3 else extensions


def _without_share(
    version: TlsVersion, lowest: TlsVersion, style: HelloStyle, groups: GroupList
) -> list[tuple[int, bytes]]:
    if style is HelloStyle.BARE:
        return []
    extensions = [
        (0xFF01, b"\0"),  # renegotiation_info (RFC 5746)
        (10, numbers(offered_groups(version, lowest, style, groups))),
        (11, vector(1, b"\0")),  # uncompressed points (RFC 8422)
    ]
    if style is HelloStyle.FULL:
        extensions += [
            (35, b""),  # session_ticket (RFC 5077)
            (22, b""),  # encrypt_then_mac (RFC 7366)
            (23, b""),  # extended_master_secret (RFC 7627)
            (5, b"\1\0\0\0\0"),  # status_request: OCSP (RFC 6066 8)
            (16, vector(2, b"".join(vector(1, name) for name in _ALPN))),
        ]
    if version >= TlsVersion.TLS_1_2:
        extensions.append(
            (13, numbers(_SIGNATURE_SCHEMES if style is HelloStyle.FULL else _FEW_SCHEMES))
        )
    if version is TlsVersion.TLS_1_3:
        offered = [known for known in reversed(TlsVersion) if lowest <= known <= version]
        extensions += [
            (43, vector(1, b"".join(known.to_bytes(2, "big") for known in offered))),
            (45, vector(1, b"\1")),  # psk_dhe_ke
        ]
    return extensions


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


def vector(width: int, content: bytes) -> bytes:
    """Return bytes preceded by their length in width bytes (RFC 8446 3.4)."""
    return len(content).to_bytes(width, "big") + content


def numbers(values: Sequence[int]) -> bytes:
    """Return a list of two-byte numbers, preceded by its length."""
    return vector(2, struct.pack(f">{len(values)}H", *values))


_SHARE_HEADER = (51).to_bytes(2, "big") + vector(
    2, vector(2, _X25519.to_bytes(2, "big") + vector(2, bytes(SHARE_BYTES)))
)[:-SHARE_BYTES]
