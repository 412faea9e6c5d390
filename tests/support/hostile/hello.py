"""The first messages of TLS as a server reads and writes them.

Written independently of the package, so that each can expose errors in the other.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from otpc_policy.core.facts import TlsVersion

_ALERT, _HANDSHAKE = 21, 22
_WARNING = 1
_SERVER_NAME, _SUPPORTED_GROUPS, _SIGNATURE_ALGORITHMS, _ALPN = 0, 10, 13, 16
_SUPPORTED_VERSIONS, _KEY_SHARE = 43, 51
# The header of a handshake message: its type and a length of three bytes.
_MESSAGE_HEADER = 4
# Type, version and a length of two bytes.
_RECORD_HEADER = 5
# supported_groups, signature_algorithms.
_PREFERENCES = (10, 13, _SUPPORTED_VERSIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenHello:
    """A ClientHello.

    record_version: of the first record; None in the format of SSL 2.
    versions: all that are offered; below TLS 1.3 the highest stands for all down to SSL 3
    (RFC 5246 E.1).
    cipher_suites: in the client's order. offered: the same, for look-up.
    extensions: their types, in order.
    groups: supported_groups in the client's order; None without the extension.
    session_id: empty if the client has none. compression: methods, in order.
    legacy_version: the field of that name, of which versions makes sense. random: 32 bytes; in the
    format of SSL 2 the challenge.
    contents: of the extensions, by type and in order.
    preferences: groups, signature schemes and versions as they were sent: what else a choice
    depends on.
    size: of the handshake message, with its header. wire_size: of the whole flight, with the
    headers of its records.
    """

    record_version: int | None
    versions: frozenset[TlsVersion]
    cipher_suites: tuple[int, ...]
    server_name: str | None
    protocols: tuple[bytes, ...]
    extensions: tuple[int, ...]
    groups: tuple[int, ...] | None
    share_groups: tuple[int, ...]
    preferences: tuple[bytes, ...]
    session_id: bytes = b""
    compression: tuple[int, ...] = (0,)
    contents: tuple[tuple[int, bytes], ...] = ()
    legacy_version: int
    random: bytes
    size: int
    wire_size: int
    offered: frozenset[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "offered", frozenset(self.cipher_suites))

    @property
    def highest(self) -> TlsVersion:
        return max(self.versions)

    @property
    def schemes(self) -> tuple[int, ...] | None:
        """signature_algorithms in the client's order; None without the extension."""
        return self.numbers_in(_SIGNATURE_ALGORITHMS, 2)

    @property
    def listed_versions(self) -> tuple[int, ...] | None:
        """supported_versions as sent, GREASE included; None without the extension."""
        return self.numbers_in(_SUPPORTED_VERSIONS, 1)

    def numbers_in(self, kind: int, width: int) -> tuple[int, ...] | None:
        """Return the two-byte numbers of an extension, preceded by a length of width bytes."""
        content = dict(self.contents).get(kind)
        return None if content is None else _Fields(content).vector(width).numbers(2)


@dataclass(frozen=True, slots=True)
class Choice:
    """The content of a ServerHello. version: may be invalid."""

    version: int
    cipher_suite: int


@dataclass(frozen=True, slots=True)
class SeenAlert:
    level: int
    description: int


class _Fields:
    def __init__(self, content: bytes) -> None:
        self.content, self._place = content, 0

    @property
    def left(self) -> int:
        return len(self.content) - self._place

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise IndexError("a field ends behind its message")
        self._place += count
        return self.content[self._place - count : self._place]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> "_Fields":
        return _Fields(self.take(self.number(width)))

    def numbers(self, width: Literal[2, 3]) -> tuple[int, ...]:
        listed = self.take(self.left // width * width)
        return (
            struct.unpack(f">{len(listed) // 2}H", listed)
            if width == 2
            else tuple(
                int.from_bytes(listed[at : at + 3], "big") for at in range(0, len(listed), 3)
            )
        )


def hello_length(received: bytes) -> int:
    """Return the length of a first hello in bytes; while unknown, more than has been received.

    A hello may be spread over several records (RFC 8446 5.1).
    """
    if len(received) < _RECORD_HEADER:
        return len(received) + 1
    if received[0] & 0x80:
        return 2 + (int.from_bytes(received[:2], "big") & 0x7FFF)
    message, end = b"", 0
    while True:
        if len(received) < end + _RECORD_HEADER:
            return len(received) + 1
        kind, start = received[end], end + _RECORD_HEADER
        end = start + int.from_bytes(received[start - 2 : start], "big")
        if kind != _HANDSHAKE:
            return end
        message += received[start:end]
        length = int.from_bytes(message[1:_MESSAGE_HEADER], "big")
        if len(message) >= _MESSAGE_HEADER and len(message) >= _MESSAGE_HEADER + length:
            return end
        if len(received) < end:
            return end


def read_client_hello(received: bytes) -> SeenHello | None:
    """Return the ClientHello that starts here, or None if it is another message or incomplete."""
    flight = received[: hello_length(received)]
    try:
        return _ssl2_hello(flight) if flight[0] & 0x80 else _tls_hello(flight)
    except (IndexError, ValueError):
        return None


def _ssl2_hello(flight: bytes) -> SeenHello | None:
    fields = _Fields(flight[2:])
    if fields.number(1) != 1:
        return None
    version = TlsVersion(fields.number(2))
    kinds = fields.number(2)
    fields.take(4)
    offered = _Fields(fields.take(kinds)).numbers(3)
    challenge = fields.take(fields.left)
    if version is not TlsVersion.SSL_2_0:
        # RFC 5246 E.2: a hello for later versions in the old format; TLS suites have a leading
        # zero.
        offered = tuple(suite for suite in offered if suite < 0x10000)
    versions = frozenset({version}) if version is TlsVersion.SSL_2_0 else _down_from(version)
    return SeenHello(
        record_version=None,
        versions=versions,
        cipher_suites=offered,
        server_name=None,
        protocols=(),
        extensions=(),
        groups=None,
        share_groups=(),
        preferences=(),
        legacy_version=version,
        random=challenge,
        size=len(flight) - 2,
        wire_size=len(flight),
    )


def _tls_hello(flight: bytes) -> SeenHello | None:
    if any(kind != _HANDSHAKE for kind, _ in _records(flight)):
        return None
    message = _Fields(b"".join(content for _, content in _records(flight)))
    size = message.left
    if message.number(1) != 1:
        return None
    fields = message.vector(3)
    legacy_version, random = fields.number(2), fields.take(32)
    session_id = fields.vector(1).content
    suites = fields.vector(2).numbers(2)
    compression = tuple(fields.vector(1).content)
    extensions = dict(_extensions(fields.vector(2))) if fields.left else {}
    contents = {kind: field.content for kind, field in extensions.items()}
    versions = _down_from(TlsVersion(legacy_version))
    if _SUPPORTED_VERSIONS in extensions:
        listed = extensions[_SUPPORTED_VERSIONS].vector(1).numbers(2)
        versions = frozenset(version for version in TlsVersion if version in listed)
    return SeenHello(
        record_version=int.from_bytes(flight[1:3], "big"),
        versions=versions,
        cipher_suites=suites,
        server_name=_server_name(extensions.get(_SERVER_NAME)),
        protocols=tuple(_protocols(extensions.get(_ALPN))),
        extensions=tuple(extensions),
        groups=_groups(extensions.get(_SUPPORTED_GROUPS)),
        share_groups=tuple(_share_groups(extensions.get(_KEY_SHARE))),
        preferences=tuple(contents[kind] for kind in _PREFERENCES if kind in contents),
        session_id=session_id,
        compression=compression,
        contents=tuple(contents.items()),
        legacy_version=legacy_version,
        random=random,
        size=size,
        wire_size=len(flight),
    )


def _server_name(extension: _Fields | None) -> str | None:
    if extension is None:
        return None
    names = extension.vector(2)
    names.take(1)
    return names.take(names.number(2)).decode("ascii")


def _protocols(extension: _Fields | None) -> Iterator[bytes]:
    names = _Fields(b"") if extension is None else extension.vector(2)
    while names.left:
        yield names.take(names.number(1))


def _groups(extension: _Fields | None) -> tuple[int, ...] | None:
    return None if extension is None else extension.vector(2).numbers(2)


def _share_groups(extension: _Fields | None) -> Iterator[int]:
    shares = _Fields(b"") if extension is None else extension.vector(2)
    while shares.left:
        yield shares.number(2)
        shares.vector(2)


def _extensions(fields: _Fields) -> Iterator[tuple[int, _Fields]]:
    while fields.left:
        kind = fields.number(2)
        yield kind, fields.vector(2)


def _down_from(highest: TlsVersion) -> frozenset[TlsVersion]:
    return frozenset(
        version
        for version in TlsVersion
        if TlsVersion.SSL_3_0 <= version <= min(highest, TlsVersion.TLS_1_2)
    )


def read_choice(sent: bytes) -> Choice | None:
    """Return the choice in the first ServerHello of a server's bytes, or None.

    Warnings before it are skipped, fragments joined.
    """
    handshake = b""
    for kind, content in _records(sent):
        if kind == _ALERT and content[:1] == bytes([_WARNING]) and not handshake:
            continue
        if kind != _HANDSHAKE:
            return None
        handshake += content
        try:
            return _choice(_Fields(handshake))
        except IndexError:
            continue
    return None


def _choice(message: _Fields) -> Choice | None:
    if message.number(1) != 2:
        return None
    fields = message.vector(3)
    version = fields.number(2)
    fields.take(32)
    fields.vector(1)
    suite = fields.number(2)
    fields.take(1)
    extensions = dict(_extensions(fields.vector(2))) if fields.left else {}
    if _SUPPORTED_VERSIONS in extensions:
        version = extensions[_SUPPORTED_VERSIONS].number(2)
    return Choice(version, suite)


def read_alert(sent: bytes) -> SeenAlert | None:
    """Return the first alert of a server's bytes, or None; earlier warnings are skipped."""
    found = None
    for kind, content in _records(sent):
        if kind != _ALERT or len(content) != 2:
            return None
        found = SeenAlert(content[0], content[1])
        if found.level != _WARNING:
            break
    return found


def _records(sent: bytes) -> Iterator[tuple[int, bytes]]:
    fields = _Fields(sent)
    while fields.left >= 5:
        kind = fields.number(1)
        fields.take(2)
        length = fields.number(2)
        yield kind, fields.take(min(length, fields.left))


def alert_bytes(description: int, level: int = 2) -> bytes:
    """Return a record with an alert."""
    return bytes([_ALERT, 3, 3, 0, 2, level, description])


def server_hello_bytes(
    version: int, cipher_suite: int, *, extensions: bytes | None = None
) -> bytes:
    """Return a record with a ServerHello.

    extensions: without a length; None for those that the version needs.
    """
    is_tls13 = version >= TlsVersion.TLS_1_3
    if extensions is None:
        extensions = b"\x00\x2b\x00\x02" + version.to_bytes(2, "big") if is_tls13 else b""
    legacy_version = min(version, TlsVersion.TLS_1_2)
    body = (
        legacy_version.to_bytes(2, "big")
        + bytes(range(32))
        + b"\0"
        + cipher_suite.to_bytes(2, "big")
        + b"\0"
    )
    if extensions:
        body += len(extensions).to_bytes(2, "big") + extensions
    return record_bytes(b"\x02" + len(body).to_bytes(3, "big") + body, version=legacy_version)


def record_bytes(
    content: bytes, *, kind: int = _HANDSHAKE, version: int = TlsVersion.TLS_1_2
) -> bytes:
    """Return a record."""
    return bytes([kind]) + version.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content
