"""A server of TLS 1.3 put together by hand, so that each message can be wrong (RFC 8446)."""

import hashlib
import hmac
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tests.support.signing import PrivateKey
from tests.tls.hostile_answers import RETRY_RANDOM, SUPPORTED_VERSIONS_13, hello, record
from tests.tls.sent_hello import read_hello

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

X25519 = 29
MIDDLEBOX_SIGNAL = record(b"\1", 0x14)
_Aead = AESGCM | AESCCM | ChaCha20Poly1305
_SUITES: dict[int, tuple[hashes.HashAlgorithm, int, Callable[[bytes], _Aead]]] = {
    0x1301: (hashes.SHA256(), 16, AESGCM),
    0x1302: (hashes.SHA384(), 32, AESGCM),
    0x1303: (hashes.SHA256(), 32, ChaCha20Poly1305),
    0x1304: (hashes.SHA256(), 16, AESCCM),
    0x1305: (hashes.SHA256(), 16, lambda key: AESCCM(key, 8)),
}
_HASHES: dict[int, hashes.HashAlgorithm] = {
    2: hashes.SHA1(),
    3: hashes.SHA224(),
    4: hashes.SHA256(),
    5: hashes.SHA384(),
    6: hashes.SHA512(),
}


def zstd_compress(content: bytes) -> bytes:
    """Return a frame as servers write it."""
    return zstd.compress(content)


def vector(width: int, content: bytes) -> bytes:
    return len(content).to_bytes(width, "big") + content


def message(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + vector(3, content)


def extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2, "big") + vector(2, content)


def signature_of(key: PrivateKey, scheme: int, content: bytes) -> bytes:
    """Sign as a scheme has it (RFC 8446 4.2.3), those included that TLS 1.3 forbids here."""
    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return key.sign(content)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(content, ec.ECDSA(_HASHES[scheme >> 8]))
    assert isinstance(key, rsa.RSAPrivateKey)
    if scheme >> 8 != 8:
        return key.sign(content, padding.PKCS1v15(), _HASHES[scheme >> 8])
    pss_hash = _HASHES[4 + (scheme - 0x0804) % 5]
    pss = padding.PSS(padding.MGF1(pss_hash), padding.PSS.DIGEST_LENGTH)
    return key.sign(content, pss, pss_hash)


@dataclass(kw_only=True)
class Handmade:
    """One connection of a server.

    chain: DER, leaf first. key: what it signs with, the leaf's or not. staple: of the leaf.
    leaf_extensions: further ones of the leaf's entry. compressed: algorithm and function, by which
    the certificates are compressed (RFC 8879).
    before: messages between EncryptedExtensions and Certificate. transcript: what both have said.
    """

    chain: Sequence[bytes]
    key: PrivateKey
    scheme: int = 0x0403
    suite: int = 0x1301
    staple: bytes | None = None
    leaf_extensions: bytes = b""
    compressed: tuple[int, Callable[[bytes], bytes]] | None = None
    before: Sequence[bytes] = ()
    transcript: bytes = field(default=b"", init=False)

    def retry(self, sent: bytes, *, group: int | None, cookie: bytes = b"") -> bytes:
        """Return a HelloRetryRequest, as a message. group: None asks for none."""
        extensions = SUPPORTED_VERSIONS_13
        if group is not None:
            extensions += extension(51, group.to_bytes(2, "big"))
        if cookie:
            extensions += extension(44, vector(2, cookie))
        request = hello(suite=self.suite, extensions=extensions, random=RETRY_RANDOM)
        self.transcript = message(254, self._hash(sent[5:])) + request
        return request

    def server_hello(self, sent: bytes) -> bytes:
        """Return a ServerHello, as a message; take the key share of X25519."""
        share = x25519.X25519PrivateKey.generate()
        peer = dict(read_hello(sent).key_shares)[X25519]
        extensions = SUPPORTED_VERSIONS_13 + extension(
            51,
            X25519.to_bytes(2, "big") + vector(2, share.public_key().public_bytes_raw()),
        )
        answer = hello(suite=self.suite, extensions=extensions)
        self.transcript += sent[5:] + answer
        self._secret = share.exchange(x25519.X25519PublicKey.from_public_bytes(peer))
        self._hello_hash = self._hash(self.transcript)
        return answer

    def messages(self, *, signed_hash: bytes | None = None) -> list[bytes]:
        """Return what follows the ServerHello, up to Finished; call it once.

        signed_hash: what CertificateVerify is made over, in place of the transcript's hash.
        """
        staple = b"" if self.staple is None else extension(5, b"\1" + vector(3, self.staple))
        leaf, *issuers = self.chain
        entries = vector(3, leaf) + vector(2, staple + self.leaf_extensions)
        entries += b"".join(vector(3, issuer) + vector(2, b"") for issuer in issuers)
        certificate = self._certificate(b"\0" + vector(3, entries))
        said = [message(8, vector(2, b"")), *self.before, certificate]
        self.transcript += b"".join(said)
        said.append(self.verify(signed_hash or self._hash(self.transcript)))
        self.transcript += said[-1]
        return [*said, self.finished()]

    def _certificate(self, content: bytes) -> bytes:
        if self.compressed is None:
            return message(11, content)
        algorithm, compress = self.compressed
        head = algorithm.to_bytes(2, "big") + len(content).to_bytes(3, "big")
        return message(25, head + vector(3, compress(content)))

    def finished(self) -> bytes:
        """Return a Finished over what was said so far (4.4.4)."""
        digest = _SUITES[self.suite][0]
        key = self._expand(self._traffic_secret(), b"finished", b"", digest.digest_size)
        return message(20, hmac.digest(key, self._hash(self.transcript), digest.name))

    def verify(self, transcript_hash: bytes) -> bytes:
        """Return a CertificateVerify over a hash."""
        content = b" " * 64 + b"TLS 1.3, server CertificateVerify\0" + transcript_hash
        signature = signature_of(self.key, self.scheme, content)
        return message(15, self.scheme.to_bytes(2, "big") + vector(2, signature))

    def sealed(
        self,
        content: bytes,
        *,
        record_bytes: int = 2**14,
        padding_bytes: int = 0,
        kind: int = 22,
    ) -> bytes:
        """Return encrypted records, the first of the connection (5.2 and 5.3)."""
        _, key_bytes, aead = _SUITES[self.suite]
        secret = self._traffic_secret()
        cipher = aead(self._expand(secret, b"key", b"", key_bytes))
        iv = int.from_bytes(self._expand(secret, b"iv", b"", 12), "big")
        records = b""
        for number, place in enumerate(range(0, len(content), record_bytes)):
            inner = content[place : place + record_bytes] + bytes([kind]) + bytes(padding_bytes)
            tag_bytes = 8 if self.suite == 0x1305 else 16
            header = b"\x17\3\3" + (len(inner) + tag_bytes).to_bytes(2, "big")
            records += header + cipher.encrypt((iv ^ number).to_bytes(12, "big"), inner, header)
        return records

    def flight(self, sent: bytes, *, record_bytes: int = 2**14) -> bytes:
        """Return everything, as records."""
        answer = self.server_hello(sent)
        said = b"".join(self.messages())
        return record(answer) + MIDDLEBOX_SIGNAL + self.sealed(said, record_bytes=record_bytes)

    def _hash(self, content: bytes) -> bytes:
        return hashlib.new(_SUITES[self.suite][0].name, content).digest()

    def _traffic_secret(self) -> bytes:
        """7.1, from the early secret to server_handshake_traffic_secret."""
        name, size = _SUITES[self.suite][0].name, _SUITES[self.suite][0].digest_size
        early = hmac.digest(bytes(size), bytes(size), name)
        derived = self._expand(early, b"derived", self._hash(b""), size)
        handshake = hmac.digest(derived, self._secret, name)
        return self._expand(handshake, b"s hs traffic", self._hello_hash, size)

    def _expand(self, secret: bytes, label: bytes, context: bytes, size: int) -> bytes:
        info = size.to_bytes(2, "big") + vector(1, b"tls13 " + label) + vector(1, context)
        return HKDFExpand(_SUITES[self.suite][0], size, info).derive(secret)
