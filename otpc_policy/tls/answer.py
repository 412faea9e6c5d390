"""The first answer to a ClientHello, read as it arrives, without trusting any length in it.

Pure: bytes in, one value out. Time is linear in the bytes, memory bounded by 32 KiB. What an answer
proves is not decided here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from otpc_policy.tls.fields import Malformed
from otpc_policy.tls.records import ALERT, HANDSHAKE, RecordSplitter
from otpc_policy.tls.server_hello import ServerHello, decode_server_hello
from otpc_policy.tls.ssl2_server_hello import Ssl2Reader, Ssl2ServerHello

__all__ = [
    "Alert",
    "Answer",
    "AnswerReader",
    "Garbage",
    "Incomplete",
    "PlainHttp",
    "ServerHello",
    "Ssl2ServerHello",
    "parse_answer",
]

_SERVER_HELLO = 2
_MESSAGE_HEADER_BYTES = 4
# A ServerHello with a hybrid key share and every extension stays below 3 KiB; more is garbage.
_MAX_SERVER_HELLO_BYTES = 2**14
_WARNING = 1
# As many as OpenSSL tolerates before it gives up (MAX_WARN_ALERT_COUNT).
_MAX_WARNINGS = 5


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert came first. A warning may still be followed by a ServerHello."""

    level: int
    description: int


@dataclass(frozen=True, slots=True)
class PlainHttp:
    """The server answered in plain-text HTTP."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes that no server of TLS sends first. reason: for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class Incomplete:
    """Nothing is decided yet."""


Answer = ServerHello | Alert | PlainHttp | Ssl2ServerHello | Garbage | Incomplete

# What servers that speak something else begin with, in capitals.
_GREETINGS: Mapping[bytes, Answer] = {
    b"HTTP/": PlainHttp(),
    b"<HTML": PlainHttp(),
    b"<!DOCTYPE HTML": PlainHttp(),
    b"SSH-": Garbage("a greeting of SSH"),
    b"220": Garbage("a greeting of SMTP or FTP"),
    b"+OK": Garbage("a greeting of POP3"),
    b"* OK": Garbage("a greeting of IMAP"),
}
_LONGEST_GREETING = max(map(len, _GREETINGS))


class AnswerReader:
    """Reads one answer from chunks of any size.

    Never raises, whatever the bytes are. Once there is an answer, it does not change.
    """

    __slots__ = ("_answer", "_greeting", "_reader")

    def __init__(self) -> None:
        self._answer: Answer = Incomplete()
        self._greeting = b""
        self._reader: _TlsReader | Ssl2Reader | None = None

    def feed(self, chunk: bytes) -> Answer:
        """Return the answer once it is complete; Incomplete until then, even after warnings."""
        if chunk and isinstance(self._answer, Incomplete):
            try:
                self._answer = self._read(chunk)
            except Malformed as malformed:
                self._answer = Garbage(str(malformed))
        return self._answer

    def at_end(self) -> Answer:
        """Return the answer if nothing more arrives.

        A warning that arrived alone; Garbage if the answer is truncated; Incomplete if it is empty.
        """
        if not isinstance(self._answer, Incomplete):
            return self._answer
        if self._reader is None and not self._greeting:
            return Incomplete()
        warning = self.warning
        return (
            warning
            if warning is not None and self._is_between_records()
            else Garbage("the answer breaks off")
        )

    @property
    def warning(self) -> Alert | None:
        """The last warning that came before the answer."""
        return self._reader.warning if isinstance(self._reader, _TlsReader) else None

    def _is_between_records(self) -> bool:
        return isinstance(self._reader, _TlsReader) and self._reader.is_between_records

    def _read(self, chunk: bytes) -> Answer:
        if self._reader is None:
            if self._greeting or not (chunk[0] in (HANDSHAKE, ALERT) or chunk[0] & 0x80):
                self._greeting += chunk[: _LONGEST_GREETING - len(self._greeting)]
                return _greeted(self._greeting.upper())
            self._reader = Ssl2Reader() if chunk[0] & 0x80 else _TlsReader()
        return self._reader.read(chunk) or Incomplete()


def parse_answer(received: bytes) -> Answer:
    """Interpret the first bytes from a server. Never raises.

    A warning is the answer if nothing complete follows it.
    """
    reader = AnswerReader()
    answer = reader.feed(received)
    return reader.warning or answer if isinstance(answer, Incomplete) else answer


def _greeted(start: bytes) -> Answer:
    for greeting, answer in _GREETINGS.items():
        if start.startswith(greeting):
            return answer
    return (
        Incomplete()
        if any(greeting.startswith(start) for greeting in _GREETINGS)
        else Garbage("neither TLS nor HTTP")
    )


class _TlsReader:
    """Reads records until a ServerHello is complete or an alert ends the wait."""

    __slots__ = ("_alert", "_message", "_needed", "_splitter", "_warnings", "warning")

    def __init__(self) -> None:
        self._splitter = RecordSplitter((HANDSHAKE, ALERT))
        self._message = bytearray()
        self._needed = _MESSAGE_HEADER_BYTES
        self._alert = b""
        self._warnings = 0
        self.warning: Alert | None = None

    @property
    def is_between_records(self) -> bool:
        """Nothing but complete alerts arrived."""
        return not self._message and not self._alert and self._splitter.is_between_records

    def read(self, chunk: bytes) -> ServerHello | Alert | None:
        """Return the answer when it is complete. Raises Malformed."""
        for piece in self._splitter.split(chunk):
            if piece.content_type == HANDSHAKE:
                answer: ServerHello | Alert | None = self._read_message(piece.content)
            elif self._message or piece.record_bytes != 2:
                raise Malformed("an alert of the wrong size or inside a handshake message")
            else:
                answer = self._read_alert(piece.content)
            if answer is not None:
                return answer
        return None

    def _read_message(self, content: bytes) -> ServerHello | None:
        at = 0
        while True:
            missing = self._needed - len(self._message)
            self._message += content[at : at + missing]
            at += missing
            if self._message[0] != _SERVER_HELLO:
                raise Malformed("the first handshake message is no ServerHello")
            if len(self._message) < self._needed:
                return None
            if self._needed > _MESSAGE_HEADER_BYTES:
                return decode_server_hello(bytes(self._message[_MESSAGE_HEADER_BYTES:]))
            length = int.from_bytes(self._message[1:], "big")
            if not 0 < length <= _MAX_SERVER_HELLO_BYTES:
                raise Malformed("a ServerHello of no bytes, or of more than 16 KiB")
            self._needed += length

    def _read_alert(self, content: bytes) -> Alert | None:
        self._alert += content
        if len(self._alert) < 2:
            return None
        alert, self._alert = Alert(self._alert[0], self._alert[1]), b""
        if alert.level != _WARNING:
            return alert
        self._warnings += 1
        if self._warnings > _MAX_WARNINGS:
            raise Malformed(f"more than {_MAX_WARNINGS} warnings")
        self.warning = alert
        return None
