"""What a server sends after its ServerHello: certificates, a staple, a signature.

Pure; trusts no length; does not decide what is proven. Up to TLS 1.2 the messages arrive in clear
(RFC 5246 7.3); those of TLS 1.3 must have been decrypted (RFC 8446 4.3 and 4.4).

Servers prove their keys in one more way, by a delegated credential (RFC 9345). It is not verified:
it takes a certificate of a special kind, which hardly any server has, and one that does proves its
own key to every client that offers no such credentials. So a flight with one proves nothing, and
says why.
"""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum

from otpc_policy.tls.fields import Fields, Malformed

SERVER_HELLO = 2
_STATUS_REQUEST = 5
_DELEGATED_CREDENTIAL = 34
_OCSP, _OCSP_MULTI = 1, 2
_FATAL = 2
_NAMED_CURVE = 3
_HEADER_BYTES = 4
# OpenSSL takes chains of up to 100 KiB (max_cert_list); no message of a handshake needs more.
MAX_MESSAGE_BYTES = 2**17
# RFC 8446 4.4.3: what precedes the transcript's hash in the signature of a server.
_CONTEXT = b"\x20" * 64 + b"TLS 1.3, server CertificateVerify\0"
_DELEGATED = "its key is proven by a delegated credential, which is not verified"


@dataclass(frozen=True, slots=True)
class Message:
    """One handshake message. content: without its header. raw: with it, for the transcript."""

    kind: int
    content: bytes
    raw: bytes


class _Kind(IntEnum):
    """Handshake messages that are read here (RFC 8446 B.3, RFC 6066 8, RFC 8879 4)."""

    CERTIFICATE = 11
    SERVER_KEY_EXCHANGE = 12
    CERTIFICATE_REQUEST = 13
    SERVER_HELLO_DONE = 14
    CERTIFICATE_VERIFY = 15
    FINISHED = 20
    CERTIFICATE_STATUS = 22
    COMPRESSED_CERTIFICATE = 25


class MessageSplitter:
    """Takes the content of handshake records in chunks; holds one incomplete message."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = bytearray()

    @property
    def is_between_messages(self) -> bool:
        """There is no incomplete message."""
        return not self._pending

    def split(self, content: bytes) -> Iterator[Message]:
        """Yield the messages that are complete now. Raises Malformed if a message is too long."""
        self._pending += content
        place = 0
        while len(self._pending) - place >= _HEADER_BYTES:
            length = int.from_bytes(self._pending[place + 1 : place + _HEADER_BYTES], "big")
            if length > MAX_MESSAGE_BYTES:
                raise Malformed("a handshake message of more than 128 KiB")
            end = place + _HEADER_BYTES + length
            if end > len(self._pending):
                break
            raw = bytes(self._pending[place:end])
            yield Message(raw[0], raw[_HEADER_BYTES:], raw)
            place = end
        del self._pending[:place]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature that only the holder of the leaf's key can make.

    scheme: code point. content: what was signed.
    """

    scheme: int
    content: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class KeyExchange:
    """The parameters of an ephemeral key exchange.

    group: code point of the curve; None for a finite field. prime_bits: of a finite field, else 0.
    """

    group: int | None
    prime_bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFlight:
    """What has arrived so far.

    chain: DER, leaf first, as served. stapled_ocsp_response: DER, whatever it holds.
    signature: None until it arrives, and if the key exchange has none or is of a kind that is not
    read here. key_exchange: of a ServerKeyExchange with such a signature, which covers it.
    is_whole: up to ServerHelloDone, or in TLS 1.3 up to a correct Finished message.
    alert: a fatal alert that ended the flight. flaw: why the flight proves nothing, for people.
    """

    chain: tuple[bytes, ...] = ()
    stapled_ocsp_response: bytes | None = None
    signature: Signature | None = None
    key_exchange: KeyExchange | None = None
    is_certificate_requested: bool = False
    is_whole: bool = False
    alert: int | None = None
    flaw: str | None = None


def broken_off(flight: ServerFlight, alert: bytes) -> ServerFlight:
    """Return the flight with the alert that arrived in the middle of it.

    Only a fatal alert ends a handshake (RFC 5246 7.2).
    """
    is_fatal = len(alert) == 2 and alert[0] == _FATAL
    return replace(flight, alert=alert[1]) if is_fatal else flight


class ClearFlightReader:
    """Reads the messages of SSL 3 to TLS 1.2 that follow a ServerHello.

    randoms: the client's, then the server's. is_signed: the suite's ServerKeyExchange has
    parameters (a named curve or a finite field) and a signature with a scheme, as (EC)DHE with a
    certificate does at TLS 1.2 (RFC 8422 5.4, RFC 5246 7.4.3).
    """

    def __init__(self, *, randoms: bytes, is_elliptic: bool, is_signed: bool) -> None:
        self.flight = ServerFlight()
        self._randoms, self._is_elliptic, self._is_signed = randoms, is_elliptic, is_signed

    def read(self, message: Message) -> None:
        """Take one message. Raises Malformed."""
        fields = Fields(message.content)
        match message.kind:
            case _Kind.CERTIFICATE if not self.flight.chain:
                self.flight = replace(self.flight, chain=_chain(fields))
            case _Kind.CERTIFICATE_STATUS:
                self.flight = replace(self.flight, stapled_ocsp_response=_status(fields))
            case _Kind.SERVER_KEY_EXCHANGE if self._is_signed and self.flight.signature is None:
                key_exchange, signature = self._key_exchange(fields)
                self.flight = replace(self.flight, signature=signature, key_exchange=key_exchange)
            case _Kind.CERTIFICATE_REQUEST:
                self.flight = replace(self.flight, is_certificate_requested=True)
            case _Kind.SERVER_HELLO_DONE:
                self.flight = replace(self.flight, is_whole=True)
            case _:
                pass

    def _key_exchange(self, fields: Fields) -> tuple[KeyExchange, Signature]:
        whole = fields.left
        if self._is_elliptic:
            if fields.number(1) != _NAMED_CURVE:
                raise Malformed("a curve without a name")
            key_exchange = KeyExchange(fields.number(2), 0)
            fields.vector(1)
        else:
            prime, _generator, _public_value = (fields.vector(2) for _ in range(3))
            key_exchange = KeyExchange(None, int.from_bytes(prime, "big").bit_length())
        parameters = fields.since_start(whole - fields.left)
        scheme, signature = fields.number(2), fields.vector(2)
        if fields.left:
            raise Malformed("a ServerKeyExchange of the wrong length")
        content = self._randoms + parameters
        return key_exchange, Signature(scheme=scheme, content=content, signature=signature)


@dataclass(slots=True, kw_only=True)
class EncryptedFlightReader:
    """Reads the decrypted messages of TLS 1.3 that follow a ServerHello.

    finished_of: returns the right content of Finished, given the transcript's hash.
    compressions: algorithms that the hello offers for certificates (RFC 8879), by code point.
    decompress: takes an algorithm, the length of the content and its compressed form; returns the
    content, of that length, or raises Malformed.
    """

    finished_of: Callable[[bytes], bytes]
    compressions: Container[int]
    decompress: Callable[[int, int, bytes], bytes]
    flight: ServerFlight = field(default_factory=ServerFlight)

    def read(self, message: Message, transcript_hash: bytes) -> None:
        """Take one message. transcript_hash: of all messages before it. Raises Malformed."""
        fields = Fields(message.content)
        match message.kind:
            case _Kind.CERTIFICATE_REQUEST:
                self.flight = replace(self.flight, is_certificate_requested=True)
            case _Kind.CERTIFICATE if not self.flight.chain:
                self._certificate(fields)
            case _Kind.COMPRESSED_CERTIFICATE if not self.flight.chain:
                self._certificate(Fields(self._decompressed(fields)))
            case _Kind.CERTIFICATE_VERIFY if self.flight.chain:
                scheme, signature = fields.number(2), fields.vector(2)
                signed = Signature(
                    scheme=scheme, content=_CONTEXT + transcript_hash, signature=signature
                )
                self.flight = replace(self.flight, signature=signed)
            case _Kind.FINISHED if self.flight.signature is not None:
                if message.content != self.finished_of(transcript_hash):
                    raise Malformed("a Finished message that does not go with the handshake")
                self.flight = replace(self.flight, is_whole=True)
            case _:
                pass

    def _decompressed(self, fields: Fields) -> bytes:
        """RFC 8879 4: the content of a Certificate message, bounded before it is decompressed."""
        algorithm, size, compressed = fields.number(2), fields.number(3), fields.vector(3)
        if fields.left:
            raise Malformed("a CompressedCertificate of the wrong length")
        if algorithm not in self.compressions:
            raise Malformed("a certificate compressed in a way that was not offered")
        if size > MAX_MESSAGE_BYTES:
            raise Malformed("a compressed certificate of more than 128 KiB")
        return self.decompress(algorithm, size, compressed)

    def _certificate(self, fields: Fields) -> None:
        if fields.vector(1):
            raise Malformed("a certificate for a request that was never made")
        entries = Fields(fields.vector(3))
        chain = []
        while entries.left:
            chain.append(entries.vector(3))
            extensions = Fields(entries.vector(2))
            while extensions.left:
                kind, content = extensions.number(2), extensions.vector(2)
                if kind == _STATUS_REQUEST and len(chain) == 1:
                    self.flight = replace(
                        self.flight, stapled_ocsp_response=_ocsp_response(Fields(content))
                    )
                if kind == _DELEGATED_CREDENTIAL and len(chain) == 1:
                    self.flight = replace(self.flight, flaw=_DELEGATED)
        if not chain or not all(chain):
            raise Malformed("an empty certificate")
        self.flight = replace(self.flight, chain=tuple(chain))


def _chain(fields: Fields) -> tuple[bytes, ...]:
    entries = Fields(fields.vector(3))
    chain = []
    while entries.left:
        chain.append(entries.vector(3))
    if fields.left or not chain or not all(chain):
        raise Malformed("an empty certificate, or a list of the wrong length")
    return tuple(chain)


def _status(fields: Fields) -> bytes | None:
    """Return the leaf's response in a CertificateStatus; None if there is none for the leaf.

    RFC 6961 2.2: one of type ocsp_multi has a response for each certificate, leaf first, each of
    which may be empty. Java staples so to whoever asks for it.
    """
    kind = fields.number(1)
    if kind == _OCSP_MULTI:
        return Fields(fields.vector(3)).vector(3) or None
    return _response_of(kind, fields)


def _ocsp_response(fields: Fields) -> bytes:
    """RFC 6066 8: a type, and a response of that type."""
    return _response_of(fields.number(1), fields)


def _response_of(kind: int, fields: Fields) -> bytes:
    return fields.vector(3) if kind == _OCSP else b""
