"""The bytes of a client's hello."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.profiles.profile import SERVER_NAME, ClientProfile
from otpc_policy.tls.hello_extensions import numbers, server_name_extension, vector

RANDOM_BYTES = 32
_SSL2_CLIENT_HELLO = 1
_CHALLENGE_BYTES = 16
# RFC 8701: values that a server must ignore, one each for suites, groups and versions, and two for
# extensions.
GREASE_SUITE, GREASE_GROUP, _GREASE_VERSION = 0x3A3A, 0x8A8A, 0x6A6A
_GREASE_FIRST, _GREASE_LAST = 0x2A2A, 0xDADA
_STATUS_REQUEST, _GROUPS, _POINT_FORMATS, _SCHEMES, _HEARTBEAT, _ALPN = 5, 10, 11, 13, 15, 16
_TIMESTAMPS, _PADDING, _ENCRYPT_THEN_MAC, _EXTENDED_MASTER_SECRET = 18, 21, 22, 23
_RECORD_SIZE, _TICKET, _VERSIONS, _COOKIE, _PSK_MODES = 28, 35, 43, 44, 45
_SCHEMES_CERT, _KEY_SHARE, _RENEGOTIATION = 50, 51, 0xFF01


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileHello:
    """One hello to send. server_name: an A-label name; None sends none."""

    profile: ClientProfile
    server_name: str | None

    @property
    def version(self) -> TlsVersion:
        """The highest version offered."""
        return self.profile.highest

    @property
    def cipher_suites(self) -> tuple[int, ...]:
        """Suites that a server may choose, in order."""
        return self.profile.cipher_suites


def encode_profile_hello(
    hello: ProfileHello,
    *,
    client_random: bytes,
    session_id: bytes,
    shares: Mapping[int, bytes],
    cookie: bytes = b"",
    is_second: bool = False,
) -> bytes:
    """Return one record with the hello.

    client_random, session_id: 32 random bytes each. shares: public key by group, for each of
    share_groups. is_second: it answers a HelloRetryRequest; then shares holds the one group that
    this asked for, if it did, and cookie what it gave (RFC 8446 4.1.2).
    Key shares stand in the order of supported_groups (RFC 8446 4.2.8).
    """
    profile = hello.profile
    if profile.is_ssl2_format:
        return _ssl2_format(profile, client_random[:_CHALLENGE_BYTES])
    extensions = b"".join(_extension(kind, hello, shares) for kind in profile.extensions)
    if cookie:
        extensions += _with_header(_COOKIE, vector(2, cookie))
    head = b"".join(
        (
            min(profile.highest, TlsVersion.TLS_1_2).to_bytes(2, "big"),
            client_random,
            vector(1, session_id if profile.has_session_id else b""),
            numbers(profile.listed_suites),
            b"\1\0",
        )
    )
    missing = profile.padded_to - (5 + 4 + len(head) + 2 + len(extensions) + 4)
    if missing > 0:
        extensions += _with_header(_PADDING, bytes(missing))
    body = head + (vector(2, extensions) if extensions else b"")
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    # RFC 8446 5.1: only the record of a first hello may say another version.
    record_version = TlsVersion.TLS_1_2 if is_second else profile.record_version
    return b"\x16" + record_version.to_bytes(2, "big") + vector(2, message)


def _ssl2_format(profile: ClientProfile, challenge: bytes) -> bytes:
    """RFC 5246 E.2: a hello of a later version in the form of SSL 2."""
    specs = b"".join(suite.to_bytes(3, "big") for suite in profile.listed_suites)
    body = (
        struct.pack(">BHHHH", _SSL2_CLIENT_HELLO, profile.highest, len(specs), 0, len(challenge))
        + specs
        + challenge
    )
    return (0x8000 | len(body)).to_bytes(2, "big") + body


def _extension(kind: int, hello: ProfileHello, shares: Mapping[int, bytes]) -> bytes:
    if kind == SERVER_NAME:
        return server_name_extension(hello.server_name)
    if kind == _KEY_SHARE:
        return _with_header(kind, vector(2, b"".join(_shares(hello.profile, shares))))
    return _with_header(kind, _content(kind, hello.profile))


def _shares(profile: ClientProfile, shares: Mapping[int, bytes]) -> list[bytes]:
    # RFC 8446 4.2.8: the share that a HelloRetryRequest asked for is the only one.
    is_asked_for = shares.keys() != set(profile.share_groups)
    sent = shares if is_asked_for else {GREASE_GROUP: b"\0", **shares}
    groups = (group for group in profile.groups if group in sent)
    return [group.to_bytes(2, "big") + vector(2, sent[group]) for group in groups]


def _content(kind: int, profile: ClientProfile) -> bytes:
    if kind == _GROUPS:
        return numbers(profile.groups)
    if kind == _SCHEMES:
        return numbers(profile.schemes)
    if kind == _SCHEMES_CERT:
        # How the certificates may be signed, whatever the leaf's key: OpenSSL refuses a chain with
        # other signatures.
        return numbers(profile.certificate_schemes)
    if kind == _VERSIONS:
        offered = [
            version
            for version in reversed(TlsVersion)
            if profile.lowest <= version <= profile.highest
        ]
        grease = [_GREASE_VERSION] if _GREASE_FIRST in profile.extensions else []
        return vector(1, struct.pack(f">{len(grease) + len(offered)}H", *grease, *offered))
    return _CONSTANT[kind]


def _with_header(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(2, content)


_CONSTANT: Mapping[int, bytes] = {
    _STATUS_REQUEST: b"\1\0\0\0\0",
    _POINT_FORMATS: b"\1\0",
    _HEARTBEAT: b"\1",
    _ALPN: vector(2, vector(1, b"h2") + vector(1, b"http/1.1")),
    _TIMESTAMPS: b"",
    _ENCRYPT_THEN_MAC: b"",
    _EXTENDED_MASTER_SECRET: b"",
    _RECORD_SIZE: b"\x40\x01",
    _TICKET: b"",
    _PSK_MODES: b"\1\1",
    _RENEGOTIATION: b"\0",
    _GREASE_FIRST: b"",
    _GREASE_LAST: b"\0",
}

# IANA's names, as in clients.toml.
EXTENSION_KINDS: Mapping[str, int] = {
    "server_name": SERVER_NAME,
    "status_request": _STATUS_REQUEST,
    "supported_groups": _GROUPS,
    "ec_point_formats": _POINT_FORMATS,
    "signature_algorithms": _SCHEMES,
    "heartbeat": _HEARTBEAT,
    "application_layer_protocol_negotiation": _ALPN,
    "signed_certificate_timestamp": _TIMESTAMPS,
    "encrypt_then_mac": _ENCRYPT_THEN_MAC,
    "extended_master_secret": _EXTENDED_MASTER_SECRET,
    "record_size_limit": _RECORD_SIZE,
    "session_ticket": _TICKET,
    "supported_versions": _VERSIONS,
    "psk_key_exchange_modes": _PSK_MODES,
    "signature_algorithms_cert": _SCHEMES_CERT,
    "key_share": _KEY_SHARE,
    "renegotiation_info": _RENEGOTIATION,
    "grease_first": _GREASE_FIRST,
    "grease_last": _GREASE_LAST,
}
