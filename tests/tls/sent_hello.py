"""Reads a ClientHello strictly, independently of the code that wrote it.

Every length must agree, and nothing may be left over.
"""

from dataclasses import dataclass
from enum import IntEnum


class Kind(IntEnum):
    """Extensions by number (IANA, TLS ExtensionType Values)."""

    SERVER_NAME = 0
    STATUS_REQUEST = 5
    SUPPORTED_GROUPS = 10
    EC_POINT_FORMATS = 11
    SIGNATURE_ALGORITHMS = 13
    HEARTBEAT = 15
    ALPN = 16
    SIGNED_CERTIFICATE_TIMESTAMP = 18
    PADDING = 21
    ENCRYPT_THEN_MAC = 22
    EXTENDED_MASTER_SECRET = 23
    SESSION_TICKET = 35
    SUPPORTED_VERSIONS = 43
    COOKIE = 44
    PSK_KEY_EXCHANGE_MODES = 45
    SIGNATURE_ALGORITHMS_CERT = 50
    KEY_SHARE = 51
    RENEGOTIATION_INFO = 0xFF01


_GREASE = frozenset(0x0A0A + 0x1010 * step for step in range(16))


def is_grease(number: int) -> bool:
    """Tell whether a number is one of those that RFC 8701 reserves."""
    return number in _GREASE


@dataclass(frozen=True, kw_only=True)
class SentHello:
    """What a server reads.

    In the format of SSL 2, record_version is 0 and cipher_suites are kinds of three bytes.
    """

    size: int
    record_version: int
    version: int
    random: bytes
    session_id: bytes
    cipher_suites: tuple[int, ...]
    compression: bytes = b"\0"
    extensions: tuple[tuple[int, bytes], ...] = ()

    @property
    def is_ssl2(self) -> bool:
        return self.version == 2

    @property
    def extension_kinds(self) -> tuple[int, ...]:
        """Numbers of the extensions, in their order."""
        return tuple(kind for kind, _ in self.extensions)

    def extension(self, kind: int) -> bytes | None:
        return dict(self.extensions).get(kind)

    def _numbers(self, kind: int, prefix: int) -> tuple[int, ...] | None:
        content = self.extension(kind)
        return None if content is None else _numbers(_only(_Fields(content), prefix), 2)

    @property
    def server_name(self) -> str | None:
        """RFC 6066 3: a list with one name of type host_name."""
        content = self.extension(Kind.SERVER_NAME)
        if content is None:
            return None
        names = _Fields(_only(_Fields(content), 2))
        assert names.take(1) == b"\0"
        return _only(names, 2).decode("ascii")

    @property
    def offered_versions(self) -> tuple[int, ...] | None:
        return self._numbers(Kind.SUPPORTED_VERSIONS, 1)

    @property
    def signature_schemes(self) -> tuple[int, ...] | None:
        return self._numbers(Kind.SIGNATURE_ALGORITHMS, 2)

    @property
    def groups(self) -> tuple[int, ...] | None:
        return self._numbers(Kind.SUPPORTED_GROUPS, 2)

    @property
    def alpn(self) -> tuple[bytes, ...]:
        content = self.extension(Kind.ALPN)
        names = _Fields(_only(_Fields(content), 2)) if content is not None else _Fields(b"")
        found = []
        while names.left:
            found.append(names.vector(1))
        return tuple(found)

    @property
    def key_shares(self) -> tuple[tuple[int, bytes], ...]:
        content = self.extension(Kind.KEY_SHARE)
        shares = _Fields(_only(_Fields(content), 2)) if content is not None else _Fields(b"")
        found = []
        while shares.left:
            found.append((shares.number(2), shares.vector(2)))
        return tuple(found)


class _Fields:
    def __init__(self, content: bytes) -> None:
        self._content, self._place = content, 0

    @property
    def left(self) -> int:
        return len(self._content) - self._place

    def take(self, count: int) -> bytes:
        assert count <= self.left, "a field runs past its message"
        self._place += count
        return self._content[self._place - count : self._place]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        return self.take(self.number(width))


def read_hello(sent: bytes) -> SentHello:
    """Read one record with one ClientHello. Raises AssertionError if anything does not fit."""
    return _read_ssl2(sent) if sent[0] & 0x80 else _read_tls(sent)


def _read_tls(sent: bytes) -> SentHello:
    """RFC 8446 5.1 and 4.1.2; RFC 6101 5.6.1.2."""
    record = _Fields(sent)
    assert record.number(1) == 22
    record_version = record.number(2)
    message = _Fields(_only(record, 2))
    assert message.number(1) == 1
    body = _Fields(_only(message, 3))
    version, random, session_id = body.number(2), body.take(32), body.vector(1)
    suites, compression = _numbers(body.vector(2), 2), body.vector(1)
    extensions = []
    if body.left:
        listed = _Fields(_only(body, 2))
        while listed.left:
            extensions.append((listed.number(2), listed.vector(2)))
    assert len({kind for kind, _ in extensions}) == len(extensions)
    assert suites
    return SentHello(
        size=len(sent),
        record_version=record_version,
        version=version,
        random=random,
        session_id=session_id,
        cipher_suites=suites,
        compression=compression,
        extensions=tuple(extensions),
    )


def _read_ssl2(sent: bytes) -> SentHello:
    """draft-hickman-netscape-ssl-00, CLIENT-HELLO; for later versions RFC 5246 E.2."""
    header = int.from_bytes(sent[:2], "big") & 0x7FFF
    body = _Fields(sent[2:])
    assert body.left == header
    assert body.number(1) == 1
    version, specs, session_id, challenge = (body.number(2) for _ in range(4))
    kinds, identity, random = body.take(specs), body.take(session_id), body.take(challenge)
    assert not body.left
    assert 16 <= challenge <= 32
    return SentHello(
        size=len(sent),
        record_version=0,
        version=version,
        random=random,
        session_id=identity,
        cipher_suites=_numbers(kinds, 3),
    )


def _only(fields: _Fields, width: int) -> bytes:
    """Return the vector that must be all that is left."""
    content = fields.vector(width)
    assert not fields.left, "something is left over"
    return content


def _numbers(content: bytes, width: int) -> tuple[int, ...]:
    assert len(content) % width == 0
    return tuple(
        int.from_bytes(content[place : place + width], "big")
        for place in range(0, len(content), width)
    )
