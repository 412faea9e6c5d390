"""Decodes the ServerHello of SSL 3 to TLS 1.3, HelloRetryRequest included."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from otpc_policy.tls.fields import Fields, Malformed

_TLS_1_2, _TLS_1_3 = 0x0303, 0x0304
_ALPN, _EXTENDED_MASTER_SECRET, _SUPPORTED_VERSIONS, _COOKIE, _KEY_SHARE = 16, 23, 43, 44, 51
_RENEGOTIATION_INFO = 0xFF01
# RFC 5746 3.4: in a first handshake renegotiated_connection is empty, or the client must give up.
_FIRST_HANDSHAKE = b"\0"
# RFC 8446 4.1.3: a ServerHello with this random is a HelloRetryRequest.
_RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerHello:
    """The server chose.

    version: number on the wire, from supported_versions if that is sent (RFC 8446 4.2.1).
    legacy_version: from the field that was the version before TLS 1.3.
    selected_group: of TLS 1.3, if the server names a group. alpn: the protocol, if sent in clear.
    random: the server's. key_share: its public key for the selected group; empty in a
    HelloRetryRequest, which may have a cookie instead.
    extended_master_secret, secure_renegotiation: it has the extension, with the content that a
    client must insist on (RFC 7627 5.1, RFC 5746 3.4).
    """

    version: int
    cipher_suite: int
    is_retry_request: bool
    legacy_version: int = _TLS_1_2
    selected_group: int | None = None
    alpn: bytes | None = None
    compression_method: int = 0
    extended_master_secret: bool = False
    secure_renegotiation: bool = False
    random: bytes = field(default=b"", repr=False, compare=False)
    key_share: bytes = field(default=b"", repr=False, compare=False)
    cookie: bytes = field(default=b"", repr=False, compare=False)


def decode_server_hello(body: bytes) -> ServerHello:
    """Return the ServerHello in a handshake message without its header. Raises Malformed.

    A version that a client must refuse is malformed, because it proves nothing (RFC 8446 4.1.3,
    4.2.1).
    """
    fields = Fields(body)
    legacy_version = fields.number(2)
    random = fields.take(32)
    is_retry_request = random == _RETRY_RANDOM
    if len(fields.vector(1)) > 32:
        raise Malformed("a session id of more than 32 bytes")
    cipher_suite, compression_method = fields.number(2), fields.number(1)
    extensions = _extensions(fields)
    version = _version(
        extensions.get(_SUPPORTED_VERSIONS), legacy_version, is_retry_request=is_retry_request
    )
    group, key_share = None, b""
    if version >= _TLS_1_3:
        group, key_share = _share(extensions.get(_KEY_SHARE), is_retry_request=is_retry_request)
    return ServerHello(
        version=version,
        cipher_suite=cipher_suite,
        is_retry_request=is_retry_request,
        legacy_version=legacy_version,
        selected_group=group,
        alpn=_protocol(extensions.get(_ALPN)),
        compression_method=compression_method,
        extended_master_secret=extensions.get(_EXTENDED_MASTER_SECRET) == b"",
        secure_renegotiation=extensions.get(_RENEGOTIATION_INFO) == _FIRST_HANDSHAKE,
        random=random,
        key_share=key_share,
        cookie=_cookie(extensions.get(_COOKIE)) if is_retry_request else b"",
    )


def _extensions(fields: Fields) -> Mapping[int, bytes]:
    extensions: dict[int, bytes] = {}
    if not fields.left:
        return extensions
    inner = Fields(fields.vector(2))
    if fields.left:
        raise Malformed("extensions of the wrong length")
    while inner.left:
        kind, content = inner.number(2), inner.vector(2)
        if kind in extensions:
            raise Malformed(f"extension {kind} twice")
        extensions[kind] = content
    return extensions


def _version(selected: bytes | None, legacy_version: int, *, is_retry_request: bool) -> int:
    if selected is None:
        if legacy_version == _TLS_1_3 or is_retry_request:
            raise Malformed("TLS 1.3 without supported_versions")
        return legacy_version
    version = int.from_bytes(selected, "big")
    if len(selected) != 2 or version < _TLS_1_3 or legacy_version != _TLS_1_2:
        raise Malformed(
            "supported_versions of the wrong length, or for a version that does without"
        )
    return version


def _share(key_share: bytes | None, *, is_retry_request: bool) -> tuple[int | None, bytes]:
    """Return the group and the server's public key.

    A HelloRetryRequest names only the group (RFC 8446 4.2.8).
    """
    if key_share is None:
        return None, b""
    fields = Fields(key_share)
    group, public_key = fields.number(2), b"" if is_retry_request else fields.vector(2)
    if (not is_retry_request and not public_key) or fields.left:
        raise Malformed("a malformed key share")
    return group, public_key


def _cookie(extension: bytes | None) -> bytes:
    """RFC 8446 4.2.2."""
    if extension is None:
        return b""
    fields = Fields(extension)
    cookie = fields.vector(2)
    if not cookie or fields.left:
        raise Malformed("a malformed cookie")
    return cookie


def _protocol(alpn: bytes | None) -> bytes | None:
    """The list has exactly one name (RFC 7301 3.1)."""
    if alpn is None:
        return None
    outer = Fields(alpn)
    inner = Fields(outer.vector(2))
    name = inner.vector(1)
    if not name or inner.left or outer.left:
        raise Malformed("not exactly one protocol chosen by ALPN")
    return name
