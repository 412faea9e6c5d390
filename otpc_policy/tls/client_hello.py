"""ClientHello messages: what we offer, as bytes; and what a TLS library offered, read from bytes.

Without sockets; randomness is an argument. A hello looks like that of an existing client, and is
wide (see hello_extensions). TLS_FALLBACK_SCSV is never sent. Evidence of absence needs to know what
was really offered: a TLS library silently drops suites that it does not implement, or that the
version forbids. Only our own hellos are read here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from otpc_policy.core.facts import TlsVersion
from otpc_policy.tls.hello_extensions import (
    NAME,
    PLAIN,
    SHARE,
    SHARE_BYTES,
    GroupList,
    HelloStyle,
    HelloVariant,
    extension_order,
    extension_parts,
    key_share_extension,
    numbers,
    server_name_extension,
    vector,
)

__all__ = [
    "ENTROPY_BYTES",
    "PLAIN",
    "ClientHello",
    "GroupList",
    "HelloStyle",
    "HelloVariant",
    "encode_client_hello",
    "offered_cipher_suites",
]

# Bytes of randomness in one hello: Random, session id, and an X25519 share.
_RANDOM_BYTES = _SESSION_ID_BYTES = 32
ENTROPY_BYTES = _RANDOM_BYTES + _SESSION_ID_BYTES + SHARE_BYTES

# RFC 5746 and RFC 7507: signalling values in the list of suites; nobody can choose them.
_SIGNALS = frozenset({0x00FF, 0x5600})
_SSL2_CLIENT_HELLO = 1
_RENEGOTIATION_SIGNAL = 0x00FF
_PADDING = 21


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientHello:
    """One offer.

    version: the highest offered. lowest: the lowest offered; it only matters with TLS 1.3, because
    below that a hello offers everything down to SSL 3 by the protocol's own rule (RFC 5246 E.1).
    cipher_suites: code points in order of preference; kinds of three bytes in SSL 2.
    server_name: an A-label name for SNI; None sends none. groups: see GroupList. variant: of a
    FULL hello; of others PLAIN. offers_compression: DEFLATE (RFC 3749), as OpenSSL 1.0.2 does; not
    with TLS 1.3, whose hellos must not (RFC 8446 4.1.2).
    """

    version: TlsVersion
    lowest: TlsVersion
    cipher_suites: tuple[int, ...]
    server_name: str | None
    style: HelloStyle = HelloStyle.FULL
    groups: GroupList = GroupList.WIDE
    variant: HelloVariant = PLAIN
    offers_compression: bool = False

    def __hash__(self) -> int:
        # Length and last suite distinguish lists as well as hundreds of numbers would, which are
        # slow to hash again and again.
        return hash((self.shape, len(self.cipher_suites), self.cipher_suites[-1:]))

    @property
    def listed_suites(self) -> tuple[int, ...]:
        """The suites as they are sent, with those that are none.

        RFC 5746 3.3: without extensions, a suite signals secure renegotiation.
        """
        if self.style is HelloStyle.BARE:
            return (*self.cipher_suites, _RENEGOTIATION_SIGNAL)
        grease = self.variant.grease
        return self.cipher_suites if grease is None else (grease, *self.cipher_suites)

    @property
    def listed_count(self) -> int:
        """How many suites are sent."""
        is_marked = self.style is HelloStyle.BARE or self.variant.grease is not None
        return len(self.cipher_suites) + is_marked

    @property
    def extensions(self) -> tuple[int, ...]:
        """Kinds of extension that may be sent, in their order; without GREASE and padding."""
        return extension_order(self.style, self.variant)

    @property
    def shape(self) -> tuple[object, ...]:
        """All but its suites, to compare with; the variant is the last.

        No server chooses suites by compression.
        """
        return (self.version, self.lowest, self.server_name, self.style, self.groups, self.variant)


def encode_client_hello(hello: ClientHello, entropy: bytes) -> bytes:
    """Return one record with the hello.

    entropy: ENTROPY_BYTES random bytes.
    Source: RFC 5246 7.4.1.2, RFC 8446 4.1.2; for SSL 2 draft-hickman-netscape-ssl-00.
    """
    if hello.version is TlsVersion.SSL_2_0:
        return _ssl2_hello(hello.cipher_suites, entropy[:16])
    variant = hello.variant
    legacy_version = min(hello.version, TlsVersion.TLS_1_2).to_bytes(2, "big")
    # No session id for SSL 3 and servers that dislike long hellos: it only serves the middlebox
    # compatibility of TLS 1.3 (RFC 8446 D.4).
    has_session_id = hello.style is HelloStyle.FULL and variant.has_session_id
    compression_methods = b"\2\1\0" if hello.offers_compression else b"\1\0"
    head = b"".join(
        (
            legacy_version,
            entropy[:32],
            vector(1, entropy[32:64] if has_session_id else b""),
            numbers(hello.listed_suites),
            compression_methods,
        )
    )
    extensions = _extensions(hello, entropy[64:])
    missing = variant.padded_to - 5 - 4 - len(head) - 2 - len(extensions) - 4
    if missing > 0:
        extensions += _PADDING.to_bytes(2, "big") + vector(2, bytes(missing))
    body = head + (vector(2, extensions) if extensions else b"")
    # RFC 8446 5.1: the record of a first hello has TLS 1.0, because some servers refuse higher
    # versions. Servers of SSL 3 may not know TLS.
    is_ssl3 = hello.version is TlsVersion.SSL_3_0
    record_version = 0x0300 if is_ssl3 else min(variant.record_version, hello.version)
    return b"".join(
        (
            b"\x16",
            record_version.to_bytes(2, "big"),
            (4 + len(body)).to_bytes(2, "big"),
            b"\x01",
            len(body).to_bytes(3, "big"),
            body,
        )
    )


def _extensions(hello: ClientHello, share: bytes) -> bytes:
    differing = {NAME: server_name_extension(hello.server_name)}
    if hello.version is TlsVersion.TLS_1_3:
        differing[SHARE] = key_share_extension(share)
    parts = extension_parts(hello.version, hello.lowest, hello.style, hello.groups, hello.variant)
    return b"".join([part if isinstance(part, bytes) else differing[part] for part in parts])


def _ssl2_hello(kinds: Sequence[int], challenge: bytes) -> bytes:
    specs = b"".join(kind.to_bytes(3, "big") for kind in kinds)
    body = (
        bytes((_SSL2_CLIENT_HELLO, 0, 2))
        + len(specs).to_bytes(2, "big")
        + b"\0\0"
        + len(challenge).to_bytes(2, "big")
        + specs
        + challenge
    )
    return (0x8000 | len(body)).to_bytes(2, "big") + body


def offered_cipher_suites(sent: bytes) -> tuple[int, ...]:
    """Return the code points in the first ClientHello of these bytes, without signalling values.

    They are in the order of the hello; in SSL 2 they are kinds of three bytes. Returns nothing for
    bytes without a complete hello.
    """
    if len(sent) > 11 and sent[0] & 0x80 and sent[2] == _SSL2_CLIENT_HELLO:
        length = int.from_bytes(sent[5:7], "big")
        return _code_points(sent[11 : 11 + length], 3)
    # Record header, handshake header, legacy_version and random (RFC 8446 4.1.2, 5.1), then session
    # id and suites.
    session_id = 5 + 4 + 2 + 32
    if len(sent) <= session_id or sent[0] != 0x16:
        return ()
    suites = session_id + 1 + sent[session_id]
    length = int.from_bytes(sent[suites : suites + 2], "big")
    return _code_points(sent[suites + 2 : suites + 2 + length], 2)


def _code_points(encoded: bytes, width: int) -> tuple[int, ...]:
    numbers = (
        int.from_bytes(encoded[place : place + width], "big")
        for place in range(0, len(encoded) - width + 1, width)
    )
    return tuple(number for number in numbers if number not in _SIGNALS)
