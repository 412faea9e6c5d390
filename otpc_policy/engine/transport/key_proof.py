"""Whether a server proved the key of its leaf: its flight's signature is verified with that key."""

import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from otpc_policy.tls.flight import ServerFlight, Signature

# Raised by cryptography for a certificate whose key it cannot read. Those of x509 are not
# ValueErrors.
_UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
)
# RSA keys above this cost milliseconds a look, and a check makes many looks.
_MAX_RSA_BITS = 8192
_MAX_RSA_EXPONENT_BITS = 64
_HASHES: Mapping[int, hashes.HashAlgorithm] = {
    2: hashes.SHA1(),  # noqa: S303 - what old servers sign with must be seen; whether it is acceptable is judged elsewhere
    3: hashes.SHA224(),
    4: hashes.SHA256(),
    5: hashes.SHA384(),
    6: hashes.SHA512(),
}
_PSS_HASHES: Mapping[int, hashes.HashAlgorithm] = {
    **dict.fromkeys((0x0804, 0x0809), hashes.SHA256()),
    **dict.fromkeys((0x0805, 0x080A), hashes.SHA384()),
    **dict.fromkeys((0x0806, 0x080B), hashes.SHA512()),
}
_RSA, _ECDSA = 1, 3
_ED25519, _ED448 = 0x0807, 0x0808


def proves_key(flight: ServerFlight) -> bool:
    """Return whether the flight's signature was made by the leaf's key.

    A flight without a signature, with a kind that cannot be verified here, or with a flaw, proves
    nothing. Never raises for what a server sent.
    """
    if flight.signature is None or not flight.chain or flight.flaw is not None:
        return False
    key = public_key(flight.chain[0])
    return key is not None and _is_verified(key, flight.signature)


# One server presents few leaves in many flights.
@lru_cache(maxsize=256)
def public_key(leaf: bytes) -> PublicKeyTypes | None:
    """Return the key of a DER certificate; None if unreadable or too costly to verify with."""
    try:
        with warnings.catch_warnings():
            # Oddities such as a negative serial number are for programmers.
            warnings.simplefilter("ignore")
            key = x509.load_der_x509_certificate(leaf).public_key()
    except _UNREADABLE:
        return None
    if isinstance(key, rsa.RSAPublicKey):
        is_costly = (
            key.key_size > _MAX_RSA_BITS
            or key.public_numbers().e.bit_length() > _MAX_RSA_EXPONENT_BITS
        )
        return None if is_costly else key
    return key


def _is_verified(key: PublicKeyTypes, signed: Signature) -> bool:
    verify = _verifier(key, signed)
    if verify is None:
        return False
    try:
        verify()
    except (InvalidSignature, *_UNREADABLE):
        return False
    return True


def _verifier(key: PublicKeyTypes, signed: Signature) -> Callable[[], None] | None:
    """Return what verifies the signature, if its scheme goes with the key."""
    scheme, signature, content = signed.scheme, signed.signature, signed.content
    match key:
        case rsa.RSAPublicKey() if scheme in _PSS_HASHES:
            pss_hash = _PSS_HASHES[scheme]
            pss = padding.PSS(mgf=padding.MGF1(pss_hash), salt_length=pss_hash.digest_size)
            return lambda: key.verify(signature, content, pss, pss_hash)
        case rsa.RSAPublicKey() if scheme & 0xFF == _RSA and scheme >> 8 in _HASHES:
            return lambda: key.verify(signature, content, padding.PKCS1v15(), _HASHES[scheme >> 8])
        case ec.EllipticCurvePublicKey() if scheme & 0xFF == _ECDSA and scheme >> 8 in _HASHES:
            return lambda: key.verify(signature, content, ec.ECDSA(_HASHES[scheme >> 8]))
        case ed25519.Ed25519PublicKey() if scheme == _ED25519:
            return lambda: key.verify(signature, content)
        case ed448.Ed448PublicKey() if scheme == _ED448:
            return lambda: key.verify(signature, content)
        case _:
            return None
