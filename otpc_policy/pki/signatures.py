"""Whose key made a certificate's signature, each pair asked about once, with a bound on all that hostile chains can ask for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from otpc_policy.pki.certificate import DECODING_ERRORS, DecodedCertificate

# A chain of 16 in good order needs 15. What is asked for beyond the bound counts as not issued: the chain is then untrusted, never trusted.
MAX_SIGNATURE_CHECKS = 64
# The largest key in Mozilla's program has 4096 bits. One check with 16384 bits takes milliseconds, and a path search makes many.
_MAX_RSA_BITS = 8192
# OpenSSL's bound for large moduli. Without it, a check with an exponent as long as the modulus costs as much as a hundred.
_MAX_RSA_EXPONENT_BITS = 64


@dataclass(slots=True, eq=False)
class SignatureChecks:
    """Answers about one chain. made: how many signatures were asked about for them; an issuer's counts too if it is known from another chain."""

    made: int = 0
    _issued: dict[tuple[str, str], bool] = field(default_factory=dict)

    def has_issued(self, parent: DecodedCertificate, child: DecodedCertificate) -> bool:
        """Names chain and the parent's key made the child's signature, be it a weak one. Says nothing about the parent's right to issue."""
        if child.view.issuer != parent.view.subject:
            return False
        pair = (parent.view.sha256, child.view.sha256)
        if pair not in self._issued:
            if self.made >= MAX_SIGNATURE_CHECKS:
                return False
            self.made += 1
            self._issued[pair] = _issuer_is_signed_by(child, parent) if child.is_ca else _is_signed_by(child, parent)
        return self._issued[pair]

    def take_for_issued(self, path: Sequence[DecodedCertificate]) -> None:
        """Remember that each certificate was issued by the next one, as the verifier has proven: it asks for as much as has_issued, and more."""
        self._issued.update({(parent.view.sha256, child.view.sha256): True for child, parent in pairwise(path)})


def _is_signed_by(child: DecodedCertificate, parent: DecodedCertificate) -> bool:
    return is_issued_by(child, parent) or _is_weakly_signed_by(child, parent)


# Few issuers stand above many leaves, as objects too (served._decode_issuer). What is kept is arithmetic, true for ever; the bound holds all the same.
_issuer_is_signed_by = lru_cache(maxsize=256)(_is_signed_by)


def is_issued_by(child: DecodedCertificate, parent: DecodedCertificate) -> bool:
    """Names chain and the parent's key made the child's signature. Says nothing about the parent's right to issue."""
    if is_too_costly(parent):
        return False
    try:
        child.certificate.verify_directly_issued_by(parent.certificate)
    except (InvalidSignature, *DECODING_ERRORS):
        return False
    return True


def is_too_costly(certificate: DecodedCertificate) -> bool:
    """A look at a signature by this key would cost so much that none is worth it."""
    if certificate.view.key_bits > _MAX_RSA_BITS:
        return True
    key = certificate.certificate.public_key() if certificate.view.key_name.startswith("RSA ") else None
    return isinstance(key, rsa.RSAPublicKey) and key.public_numbers().e.bit_length() > _MAX_RSA_EXPONENT_BITS


def _is_weakly_signed_by(child: DecodedCertificate, parent: DecodedCertificate) -> bool:
    """The parent's key made the child's SHA-1 or MD5 signature. It tells the served order and lends no trust.

    cryptography refuses such signatures in verify_directly_issued_by; without this a chain with one would be called incomplete as well.
    """
    if child.view.signature_hash not in ("sha1", "md5") or is_too_costly(parent):
        return False
    try:
        algorithm, key = child.certificate.signature_hash_algorithm, parent.certificate.public_key()
        if algorithm is None:
            return False
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(child.certificate.signature, child.certificate.tbs_certificate_bytes, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(child.certificate.signature, child.certificate.tbs_certificate_bytes, ec.ECDSA(algorithm))
        else:
            return False
    except (InvalidSignature, *DECODING_ERRORS):
        return False
    return True
