"""The first thing a server says after a ClientHello, read without trusting any length in it.

Pure: bytes in, one value out. Give it everything received so far; Incomplete means that more bytes may change the answer.
Nothing here says what an answer proves.
"""

from dataclasses import dataclass

_HANDSHAKE, _ALERT = 0x16, 0x15
_SERVER_HELLO = 2
_SUPPORTED_VERSIONS = 43
_WARNING = 1
# RFC 5246 6.2.3: the largest record is 2^14 + 2048 bytes; RFC 8446 only lowers it.
_MAX_RECORD = 2**14 + 2048
# A ServerHello with a hybrid key share and every extension stays below 3 KiB; more is no ServerHello.
_MAX_SERVER_HELLO = 2**14
# RFC 8446 4.1.3: a ServerHello with this random is a HelloRetryRequest.
_RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
_HTTP_STARTS = (b"HTTP/", b"<HTML", b"<!DOCTYPE HTML")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerHello:
    """The server chose. version: number on the wire, from supported_versions where that is sent (RFC 8446 4.2.1)."""

    version: int
    cipher_suite: int
    is_retry_request: bool


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert came first. A warning may still be followed by a ServerHello."""

    level: int
    description: int


@dataclass(frozen=True, slots=True)
class PlainHttp:
    """The server answered in plain-text HTTP."""


@dataclass(frozen=True, slots=True)
class Ssl2ServerHello:
    """The server speaks SSL 2. cipher_kinds: those that it shares with the client; may be empty."""

    cipher_kinds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes that no server of TLS sends first. reason: for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class Incomplete:
    """Nothing is decided yet."""


Answer = ServerHello | Alert | PlainHttp | Ssl2ServerHello | Garbage | Incomplete


class _MoreBytesNeeded(Exception):
    pass


class _Malformed(Exception):
    pass


def parse_answer(received: bytes) -> Answer:
    """Return what the first bytes of a server say. Never raises, whatever the bytes are."""
    upper = received[:16].upper()
    if any(upper.startswith(start) for start in _HTTP_STARTS):
        return PlainHttp()
    if not received or any(start.startswith(upper) for start in _HTTP_STARTS):
        return Incomplete()
    try:
        if received[0] in (_HANDSHAKE, _ALERT):
            return _tls_answer(received)
        if received[0] & 0x80:
            return _ssl2_answer(received)
    except _MoreBytesNeeded:
        return Incomplete()
    except _Malformed as malformed:
        return Garbage(str(malformed))
    return Garbage("neither TLS nor HTTP")


class _Reader:
    """Reads fields from a prefix of a message; says whether bytes are missing or the fields contradict each other."""

    def __init__(self, available: bytes, length: int) -> None:
        self._available, self._length, self._place = available, length, 0

    @property
    def left(self) -> int:
        return self._length - self._place

    def take(self, count: int) -> bytes:
        end = self._place + count
        if end > self._length:
            raise _Malformed("a field ends behind its message")
        if end > len(self._available):
            raise _MoreBytesNeeded
        taken, self._place = self._available[self._place : end], end
        return taken

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")


def _tls_answer(received: bytes) -> Answer:
    handshake = bytearray()
    warning: Alert | None = None
    place = 0
    while len(received) - place >= 5:
        kind, major, length = received[place], received[place + 1], int.from_bytes(received[place + 3 : place + 5], "big")
        if kind not in (_HANDSHAKE, _ALERT) or major != 3 or not 0 < length <= _MAX_RECORD:
            raise _Malformed("no record of TLS")
        body = received[place + 5 : place + 5 + length]
        if kind == _ALERT:
            if handshake or length != 2:
                raise _Malformed("an alert of the wrong size or inside a handshake message")
            if len(body) < 2:
                raise _MoreBytesNeeded
            if body[0] != _WARNING:
                return Alert(body[0], body[1])
            warning = Alert(body[0], body[1])
        else:
            handshake += body
            hello = _server_hello(bytes(handshake))
            if hello is not None:
                return hello
        place += 5 + length
    return warning or Incomplete()


def _server_hello(message: bytes) -> ServerHello | None:
    """Return the ServerHello that starts here, or None while it is incomplete."""
    if message and message[0] != _SERVER_HELLO:
        raise _Malformed("the first handshake message is no ServerHello")
    length = int.from_bytes(message[1:4], "big") if len(message) >= 4 else 0
    if length > _MAX_SERVER_HELLO:
        raise _Malformed("a ServerHello of more than 16 KiB")
    try:
        return _server_hello_body(_Reader(message[4:], length)) if len(message) >= 4 else None
    except _MoreBytesNeeded:
        return None


def _server_hello_body(reader: _Reader) -> ServerHello:
    version = reader.number(2)
    random = reader.take(32)
    session_id = reader.number(1)
    if session_id > 32:
        raise _Malformed("a session id of more than 32 bytes")
    reader.take(session_id)
    cipher_suite = reader.number(2)
    reader.take(1)
    if reader.left:
        extensions = reader.number(2)
        if extensions != reader.left:
            raise _Malformed("extensions of the wrong length")
    seen_supported_versions = False
    while reader.left:
        kind, length = reader.number(2), reader.number(2)
        content = reader.take(length)
        if kind == _SUPPORTED_VERSIONS:
            if length != 2 or seen_supported_versions:
                raise _Malformed("supported_versions of the wrong length, or twice")
            seen_supported_versions, version = True, int.from_bytes(content, "big")
    return ServerHello(version=version, cipher_suite=cipher_suite, is_retry_request=random == _RETRY_RANDOM)


def _ssl2_answer(received: bytes) -> Answer:
    """Read the SERVER-HELLO of draft-hickman-netscape-ssl-00, section 2.5."""
    if len(received) < 3:
        raise _MoreBytesNeeded
    reader = _Reader(received[2:], int.from_bytes(received[:2], "big") & 0x7FFF)
    if reader.number(1) != 4:
        raise _Malformed("neither TLS nor SSL 2")
    reader.take(2)
    version, certificate, specs, connection_id = (reader.number(2) for _ in range(4))
    if version != 0x0002 or specs % 3 or certificate + specs + connection_id != reader.left:
        raise _Malformed("a malformed ServerHello of SSL 2")
    reader.take(certificate)
    return Ssl2ServerHello(tuple(reader.number(3) for _ in range(specs // 3)))
