"""Documents that count only with a detached signature.

Where the setting catalog_signing_key names public keys, the signature of "x.toml" stands in
"x.toml.sig", in base64 over the bytes of the document. It proves who wrote a document, not that it
is the newest one, nor that no other was removed.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from otpc_policy.catalog.files import decode_text, read_bytes
from otpc_policy.core.errors import ConfigurationError

SIGNATURE_SUFFIX: Final = ".sig"
# 139 bytes for P-521, in base64 with ends of lines.
_LONGEST_SIGNATURE: Final = 1_024

_PUBLIC_KEY: Final = re.compile(
    rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL
)
# FIPS 186-5 pairs a curve with a hash at least as strong.
_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}

ReadDocument = Callable[[str], str]
Verify = Callable[[bytes, bytes], None]
"""Takes a signature and what it is over. Raises InvalidSignature."""


class SignedDocuments:
    """Reads documents that one of several keys has signed; several, so that keys can change."""

    def __init__(self, keys: Sequence[Verify]) -> None:
        self._keys = tuple(keys)
        # By document: the digest of what was verified last. Thousands of partners stay unchanged.
        self._verified: dict[str, bytes] = {}

    def read(self, place: str) -> str:
        """Return the text of a document. Raises ConfigurationError unless its signature is good."""
        content = read_bytes(place)
        self.verify(content, place)
        return decode_text(content, place)

    def verify(self, content: bytes, place: str) -> None:
        """Raise ConfigurationError unless the signature beside a document is over this content."""
        signature = _signature(place)
        digest = hashlib.sha256(len(signature).to_bytes(4) + signature + content).digest()
        if self._verified.get(place) == digest:
            return
        for key in self._keys:
            try:
                key(signature, content)
            except InvalidSignature:
                continue
            self._verified[place] = digest
            return
        problem = "is signed by another key than those of catalog_signing_key, or was changed since"
        raise ConfigurationError([f"{place}: {problem}"])


def signed_documents(key_file: Path) -> SignedDocuments:
    """Return what reads documents signed by the keys in a file.

    Raises ConfigurationError if it holds anything but public keys of Ed25519 or ECDSA.
    """
    place = f"catalog_signing_key: {key_file}"
    try:
        content = read_bytes(str(key_file))
    except ConfigurationError as error:
        raise ConfigurationError(
            [f"catalog_signing_key: {one}" for one in error.problems]
        ) from None
    if b"PRIVATE KEY-----" in content:
        raise ConfigurationError(
            [f"{place}: holds a private key, which belongs to the signer alone"]
        )
    blocks = _PUBLIC_KEY.findall(content)
    if not blocks:
        raise ConfigurationError([f"{place}: holds no public key (PEM, BEGIN PUBLIC KEY)"])
    return SignedDocuments(list(_keys(blocks, place)))


def document_reader(key_file: Path | None, read: ReadDocument) -> ReadDocument:
    """Return what reads documents. read: does so where no key is named.

    Raises ConfigurationError as signed_documents.
    """
    return read if key_file is None else signed_documents(key_file).read


def _keys(blocks: Iterable[bytes], place: str) -> Iterable[Verify]:
    for block in blocks:
        try:
            key = load_pem_public_key(block)
        except (ValueError, UnsupportedAlgorithm):
            raise ConfigurationError([f"{place}: holds a key that cannot be read"]) from None
        if isinstance(key, Ed25519PublicKey):
            yield key.verify
        elif isinstance(key, EllipticCurvePublicKey) and key.curve.name in _HASHES:
            yield _ecdsa(key)
        else:
            expected = "expected Ed25519, or ECDSA on P-256, P-384 or P-521"
            raise ConfigurationError([f"{place}: holds a key of another kind; {expected}"])


def _ecdsa(key: EllipticCurvePublicKey) -> Verify:
    algorithm = ECDSA(_HASHES[key.curve.name])

    def verify(signature: bytes, content: bytes) -> None:
        key.verify(signature, content, algorithm)

    return verify


def _signature(place: str) -> bytes:
    beside = place + SIGNATURE_SUFFIX
    try:
        text = read_bytes(beside, at_most=_LONGEST_SIGNATURE)
    except ConfigurationError as error:
        why = f"catalog_signing_key demands a signature; {'; '.join(error.problems)}"
        raise ConfigurationError([f"{place}: {why}"]) from None
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError([f"{beside}: is not base64"]) from None
