"""The secrets of a TLS 1.3 handshake that a client needs to read the server's first flight.

Source: RFC 8446 7.1. Every key here lives for one connection to a server whose identity is only
being inspected; nothing is ever sent under it.
"""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import new as new_hash

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

from otpc_policy.tls.fields import Malformed

_Aead = AESGCM | AESCCM | ChaCha20Poly1305
_IV_BYTES = 12


@dataclass(frozen=True, slots=True)
class _Suite:
    """RFC 8446 B.4: the parts of a suite."""

    hash_name: str
    key_bytes: int
    aead: Callable[[bytes], _Aead]


_SUITES: Mapping[int, _Suite] = {
    0x1301: _Suite("sha256", 16, AESGCM),
    0x1302: _Suite("sha384", 32, AESGCM),
    0x1303: _Suite("sha256", 32, ChaCha20Poly1305),
    0x1304: _Suite("sha256", 16, AESCCM),
    0x1305: _Suite("sha256", 16, lambda key: AESCCM(key, tag_length=8)),
}


class Transcript:
    """The hash of all handshake messages so far (RFC 8446 4.4.1).

    hash_name: from the suite that the server chose.
    """

    def __init__(self, hash_name: str) -> None:
        self._name = hash_name
        self._hash = new_hash(hash_name)

    def add(self, message: bytes) -> None:
        """Take a message with its header."""
        self._hash.update(message)

    def add_first_hello_of_retry(self, message: bytes) -> None:
        """Take the hello that a HelloRetryRequest answers: only its hash goes on."""
        digest = new_hash(self._name, message).digest()
        self._hash.update(b"\xfe\0\0" + bytes((len(digest),)) + digest)

    def digest(self) -> bytes:
        """Return the hash of what was added."""
        return self._hash.digest()


class FlightDecryptor:
    """Decrypts records under the server's handshake traffic secret, in order."""

    def __init__(self, suite: int, shared_secret: bytes, hello_hash: bytes) -> None:
        made_of = _SUITES[suite]
        secret = _server_handshake_secret(made_of.hash_name, shared_secret, hello_hash)
        self._hash_name = made_of.hash_name
        self._finished_key = _expand(
            made_of.hash_name, secret, b"finished", b"", new_hash(made_of.hash_name).digest_size
        )
        self._aead = made_of.aead(
            _expand(made_of.hash_name, secret, b"key", b"", made_of.key_bytes)
        )
        self._iv = int.from_bytes(_expand(made_of.hash_name, secret, b"iv", b"", _IV_BYTES), "big")
        self._sequence = 0

    def finished(self, transcript_hash: bytes) -> bytes:
        """Return what the server's Finished message must hold (RFC 8446 4.4.4)."""
        return hmac.digest(self._finished_key, transcript_hash, self._hash_name)

    def decrypt(self, header: bytes, sealed: bytes) -> tuple[int, bytes]:
        """Return content type and content of a record. Raises Malformed."""
        nonce = (self._iv ^ self._sequence).to_bytes(_IV_BYTES, "big")
        self._sequence += 1
        try:
            inner = self._aead.decrypt(nonce, sealed, header).rstrip(b"\0")
        except (InvalidTag, ValueError) as error:
            raise Malformed("a record that cannot be decrypted") from error
        if not inner:
            raise Malformed("a record without a content type")
        return inner[-1], inner[:-1]


def hash_of_suite(suite: int) -> str | None:
    """Return the name of a suite's hash; None if its records cannot be decrypted here."""
    return _SUITES[suite].hash_name if suite in _SUITES else None


def _server_handshake_secret(name: str, shared_secret: bytes, hello_hash: bytes) -> bytes:
    derived = _derived_from_nothing(name)
    handshake = hmac.digest(derived, shared_secret, name)
    return _expand(name, handshake, b"s hs traffic", hello_hash, len(derived))


@cache
def _derived_from_nothing(name: str) -> bytes:
    """Return the salt of the handshake secret without a pre-shared key: a constant of the hash.

    name: of a hash of _SUITES.
    """
    size = new_hash(name).digest_size
    early = hmac.digest(bytes(size), bytes(size), name)
    return _expand(name, early, b"derived", new_hash(name).digest(), size)


def _expand(name: str, secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446 7.1); no output here is longer than one block of the hash."""
    full = b"tls13 " + label
    info = length.to_bytes(2, "big") + bytes((len(full),)) + full + bytes((len(context),)) + context
    return hmac.digest(secret, info + b"\1", name)[:length]
