"""The logic of one connection: what to send, what comes back, and when it is over. No IO.

Whatever follows a ServerHello is read to its end, because a certificate that is served but not
examined could be any: in clear up to ServerHelloDone, for TLS 1.3 decrypted and up to Finished. The
hello of a client profile answers a HelloRetryRequest; for a hello of the survey that is an answer
like any other.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from otpc_policy.core.facts import TlsVersion
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.engine.profiles.clients import RANDOM_BYTES, ProfileHello
from otpc_policy.engine.profiles.hello_bytes import encode_profile_hello
from otpc_policy.engine.profiles.hello_draw import Drawn, RandomBytes, draw
from otpc_policy.engine.transport.certificate_compression import decompressed
from otpc_policy.engine.transport.handshake_secrets import (
    FlightDecryptor,
    Transcript,
    hash_of_suite,
)
from otpc_policy.engine.transport.key_shares import KeyShares, can_generate
from otpc_policy.tls.answer import Answer, AnswerReader, Incomplete, ServerHello
from otpc_policy.tls.client_hello import ENTROPY_BYTES, ClientHello, encode_client_hello
from otpc_policy.tls.fields import Malformed
from otpc_policy.tls.flight import (
    SERVER_HELLO,
    ClearFlightReader,
    EncryptedFlightReader,
    Message,
    MessageSplitter,
    ServerFlight,
    broken_off,
)
from otpc_policy.tls.hello_extensions import SHARE_BYTES
from otpc_policy.tls.records import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    RecordSplitter,
)

Hello = ClientHello | ProfileHello

_X25519 = 29
_RECORD_HEADER_BYTES, _MESSAGE_HEADER_BYTES = 5, 4
_MIDDLEBOX_SIGNAL = b"\x14\x03\x03\0\1\1"
_TLS_1_2_RECORD = b"\x03\x03"
# A chain of 100 KiB takes seven records; servers and gateways that cut finer stay far below.
_MAX_RECORDS = 1024
# ServerHello to ServerHelloDone are six.
_MAX_MESSAGES = 32


_NOTHING_YET = ServerFlight()


class _Stage(Enum):
    ANSWER = "answer"
    FLIGHT = "flight"
    OVER = "over"


class Conversation:
    """One hello and everything that is read after it.

    opening: bytes to send first. flight: what followed the ServerHello; None if it cannot be read.
    random_bytes: returns so many random bytes. Never raises for what a server sent.
    """

    def __init__(self, hello: Hello, random_bytes: RandomBytes) -> None:
        self._hello = hello
        self._stage = _Stage.ANSWER
        self._reader = AnswerReader()
        self._pending = b""
        self._flight: _ClearFlight | _EncryptedFlight | None = None
        self._shares: KeyShares | None = None
        self._retry_request: ServerHello | None = None
        self._retried: tuple[bytes, bytes] | None = None
        self._held = b""
        if isinstance(hello, ClientHello):
            entropy = random_bytes(ENTROPY_BYTES)
            self._drawn = Drawn(
                client_random=entropy[:RANDOM_BYTES],
                session_id=entropy[RANDOM_BYTES : 2 * RANDOM_BYTES],
            )
            if hello.version is TlsVersion.TLS_1_3:
                self._shares = KeyShares((_X25519,))
                entropy = entropy[:-SHARE_BYTES] + self._shares.public[_X25519]
            self.opening = encode_client_hello(hello, entropy)
        else:
            self._drawn = draw(hello.profile, random_bytes)
            self._shares = KeyShares(
                hello.profile.share_groups,
                repeats_curve_keys=hello.profile.repeats_curve_keys,
            )
            self.opening = self._profile_hello(hello)

    @property
    def is_over(self) -> bool:
        """Nothing more is waited for."""
        return self._stage is _Stage.OVER

    @property
    def is_answered(self) -> bool:
        """The server chose, or turned the hello away."""
        return self._stage is not _Stage.ANSWER or self._retry_request is not None

    @property
    def flight(self) -> ServerFlight | None:
        """What followed the ServerHello so far."""
        return self._flight.flight if self._flight is not None else None

    def answer_at_end(self) -> Answer:
        """Return the answer if nothing more follows; see AnswerReader.at_end.

        A HelloRetryRequest is a choice. If no ServerHello follows it, it stays the answer: a server
        that fails after it has not turned such a client away, whose certificate is unknown then.
        """
        answer = self._reader.at_end()
        request = self._retry_request
        return answer if request is None or isinstance(answer, ServerHello) else request

    def receive(self, chunk: bytes) -> bytes:
        """Take what came; return what is to be sent now, mostly nothing."""
        if self._stage is _Stage.ANSWER:
            if self._retry_request is not None:
                chunk = self._without_middlebox_signals(chunk)
            self._pending += chunk
            answer = self._reader.feed(chunk)
            if isinstance(answer, Incomplete):
                return b""
            if (
                isinstance(answer, ServerHello)
                and answer.is_retry_request
                and isinstance(self._hello, ProfileHello)
            ):
                return self._retry(self._hello, answer)
            self._flight = self._flight_after(answer) if isinstance(answer, ServerHello) else None
            self._stage = _Stage.FLIGHT if self._flight is not None else _Stage.OVER
            chunk, self._pending = self._pending, b""
        if (
            self._stage is _Stage.FLIGHT
            and self._flight is not None
            and self._flight.receive(chunk)
        ):
            self._stage = _Stage.OVER
        return b""

    def _flight_after(self, answer: ServerHello) -> "_ClearFlight | _EncryptedFlight | None":
        if answer.version == TlsVersion.TLS_1_3:
            return self._encrypted_flight(answer)
        suite = suite_by_code_point(answer.cipher_suite)
        if suite is None or suite.authentication is None or not self._names_server:
            return None
        is_elliptic = "_ECDHE_" in suite.iana_name
        is_signed = (
            answer.version == TlsVersion.TLS_1_2
            and (is_elliptic or "_DHE_" in suite.iana_name)
            and not suite.needs_shared_secret
        )
        reader = ClearFlightReader(
            randoms=self._drawn.client_random + answer.random,
            is_elliptic=is_elliptic,
            is_signed=is_signed,
        )
        return _ClearFlight(reader)

    @property
    def _names_server(self) -> bool:
        """The hello names the server.

        Without a name a server may show another site's certificate, which no client of this
        endpoint receives.
        """
        return isinstance(self._hello, ClientHello) or self._hello.profile.sends_name

    def _encrypted_flight(self, answer: ServerHello) -> "_EncryptedFlight | None":
        hash_name = hash_of_suite(answer.cipher_suite)
        if self._shares is None or hash_name is None or answer.is_retry_request:
            return None
        try:
            secret = self._shares.agree(answer.selected_group, answer.key_share)
        except Malformed:
            return None
        transcript = Transcript(hash_name)
        if self._retried is not None:
            first, request = self._retried
            transcript.add_first_hello_of_retry(first)
            transcript.add(request)
        transcript.add(_first_message(self.opening)[0])
        hello = self._hello
        compressions = (
            hello.profile.certificate_compressions if isinstance(hello, ProfileHello) else ()
        )
        return _EncryptedFlight(transcript, answer.cipher_suite, secret, compressions)

    def _retry(self, hello: ProfileHello, request: ServerHello) -> bytes:
        """Answer a HelloRetryRequest, once (RFC 8446 4.1.4)."""
        shares = self._shares_for(hello, request) if self._retry_request is None else None
        if shares is None:
            self._stage = _Stage.OVER
            return b""
        message, end = _first_message(self._pending)
        following = self._pending[end:]
        self._retry_request, self._retried = request, (_first_message(self.opening)[0], message)
        self._reader, self._pending, self._shares = AnswerReader(), b"", shares
        self.opening = self._profile_hello(hello, request.cookie)
        self.receive(following)
        return self.opening

    def _shares_for(self, hello: ProfileHello, request: ServerHello) -> KeyShares | None:
        """Return the key shares of a second hello; None for a request that a client must not grant.

        RFC 8446 4.1.4, 4.2.8: a group must have been offered, without a share; if none is named,
        the cookie is all that changes.
        """
        group, sent = request.selected_group, self._shares
        if sent is None or not sent.public:
            return None
        if group is None:
            return sent if request.cookie else None
        is_new = group in hello.profile.groups and group not in sent.public
        return KeyShares((group,)) if is_new and can_generate(group) else None

    def _without_middlebox_signals(self, chunk: bytes) -> bytes:
        """Leave out each ChangeCipherSpec that follows a HelloRetryRequest (RFC 8446 5, D.4)."""
        if self._pending:
            return chunk
        held, place = self._held + chunk, 0
        while held.startswith(_MIDDLEBOX_SIGNAL, place):
            place += len(_MIDDLEBOX_SIGNAL)
        rest = held[place:]
        is_cut = _MIDDLEBOX_SIGNAL.startswith(rest)
        self._held = rest if is_cut else b""
        return b"" if is_cut else rest

    def _profile_hello(self, hello: ProfileHello, cookie: bytes = b"") -> bytes:
        shares = self._shares.public if self._shares is not None else {}
        return encode_profile_hello(
            hello,
            self._drawn,
            shares=shares,
            cookie=cookie,
            is_second=self._retry_request is not None,
        )


class _ClearFlight:
    """The messages of SSL 3 to TLS 1.2.

    receive: takes bytes, starting with the first of the connection; returns whether the flight is
    over.
    """

    def __init__(self, reader: ClearFlightReader) -> None:
        self._reader = reader
        self._splitter = RecordSplitter((HANDSHAKE, ALERT))
        self._messages = MessageSplitter()
        self._counter = _Counter()
        self._alert = b""

    @property
    def flight(self) -> ServerFlight:
        return self._reader.flight

    def receive(self, chunk: bytes) -> bool:
        try:
            for piece in self._splitter.split(chunk):
                if piece.content_type != HANDSHAKE:
                    # A warning may precede the ServerHello; only a fatal alert may follow it.
                    if self._counter.messages:
                        self._alert += piece.content
                        self._reader.flight = broken_off(self.flight, self._alert)
                        if len(self._alert) == piece.record_bytes:
                            return True
                    continue
                for message in self._messages.split(piece.content):
                    self._counter.count_message()
                    if message.kind != SERVER_HELLO:
                        self._reader.read(message)
        except Malformed as malformed:
            self._reader.flight = _flawed(self.flight, malformed)
            return True
        return self.flight.is_whole


class _EncryptedFlight:
    """The messages of TLS 1.3, decrypted.

    compressions: as of EncryptedFlightReader. receive: as of _ClearFlight.
    """

    def __init__(
        self, transcript: Transcript, suite: int, secret: bytes, compressions: Sequence[int]
    ) -> None:
        self._transcript, self._suite, self._secret = transcript, suite, secret
        self._compressions = compressions
        self._splitter = RecordSplitter((HANDSHAKE, ALERT, CHANGE_CIPHER_SPEC, APPLICATION_DATA))
        self._clear, self._messages = MessageSplitter(), MessageSplitter()
        self._counter = _Counter()
        self._decryptor: FlightDecryptor | None = None
        self._reader: EncryptedFlightReader | None = None
        self._sealed = bytearray()

    @property
    def flight(self) -> ServerFlight:
        return self._reader.flight if self._reader is not None else _NOTHING_YET

    def receive(self, chunk: bytes) -> bool:
        try:
            for piece in self._splitter.split(chunk):
                if piece.content_type == HANDSHAKE and self._decryptor is None:
                    self._read_server_hello(piece.content)
                elif piece.content_type == APPLICATION_DATA and self._decryptor is not None:
                    self._sealed += piece.content
                    if len(self._sealed) == piece.record_bytes:
                        self._counter.count_record()
                        self._read_sealed(self._decryptor)
                elif not self._is_passed_over(piece.content_type):
                    return True
        except Malformed as malformed:
            if self._reader is not None:
                self._reader.flight = _flawed(self.flight, malformed)
            return True
        return self.flight.is_whole

    def _is_passed_over(self, content_type: int) -> bool:
        """It is a middlebox signal, or a warning before the ServerHello (see AnswerReader)."""
        is_warning = content_type == ALERT and self._decryptor is None
        return is_warning or content_type == CHANGE_CIPHER_SPEC

    def _read_server_hello(self, content: bytes) -> None:
        for message in self._clear.split(content):
            if self._decryptor is not None:
                break
            self._transcript.add(message.raw)
            self._decryptor = FlightDecryptor(self._suite, self._secret, self._transcript.digest())
            self._reader = EncryptedFlightReader(
                finished_of=self._decryptor.finished,
                compressions=self._compressions,
                decompress=decompressed,
            )
        if self._decryptor is not None and not self._clear.is_between_messages:
            # RFC 8446 5.1: no message spans a change of keys, nor shares its last record.
            raise Malformed("a message in clear after the ServerHello")

    def _read_sealed(self, decryptor: FlightDecryptor) -> None:
        header = b"\x17" + _TLS_1_2_RECORD + len(self._sealed).to_bytes(2, "big")
        kind, content = decryptor.decrypt(header, bytes(self._sealed))
        self._sealed.clear()
        if kind == ALERT and self._reader is not None:
            self._reader.flight = broken_off(self.flight, content)
        if kind != HANDSHAKE:
            raise Malformed("something else in the middle of the flight")
        for message in self._messages.split(content):
            self._counter.count_message()
            self._read(message)

    def _read(self, message: Message) -> None:
        if self._reader is not None and not self.flight.is_whole:
            self._reader.read(message, self._transcript.digest())
            self._transcript.add(message.raw)


def _flawed(flight: ServerFlight, malformed: Malformed) -> ServerFlight:
    """Return the flight with its flaw.

    What follows a whole flight is no part of it: Go's data follow it under the next keys.
    """
    return flight if flight.is_whole else replace(flight, flaw=str(malformed))


class _Counter:
    """Bounds the work that a server can cause with its bytes. Methods raise Malformed."""

    def __init__(self) -> None:
        self.messages = self._records = 0

    def count_message(self) -> None:
        self.messages += 1
        if self.messages > _MAX_MESSAGES:
            raise Malformed(f"more than {_MAX_MESSAGES} handshake messages")

    def count_record(self) -> None:
        self._records += 1
        if self._records > _MAX_RECORDS:
            raise Malformed(f"more than {_MAX_RECORDS} records")


def _first_message(records: bytes) -> tuple[bytes, int]:
    """Return the first handshake message of these records, and the end of its last record."""
    place, content = 0, bytearray()
    while len(content) < _MESSAGE_HEADER_BYTES or len(content) < _message_bytes(content):
        start = place + _RECORD_HEADER_BYTES
        end = start + int.from_bytes(records[start - 2 : start], "big")
        if records[place] == HANDSHAKE:
            content += records[start:end]
        place = end
    return bytes(content[: _message_bytes(content)]), place


def _message_bytes(content: bytes | bytearray) -> int:
    """Return how many bytes the first message has, header included."""
    return _MESSAGE_HEADER_BYTES + int.from_bytes(content[1:_MESSAGE_HEADER_BYTES], "big")
