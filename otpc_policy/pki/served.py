"""The chain as served: what names and signatures prove between the certificates themselves, without any trust."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from otpc_policy.errors import MalformedCertificate
from otpc_policy.pki.certificate import DECODING_ERRORS, DecodedCertificate, decode_certificate
from otpc_policy.pki.judgement import MalformedEntry

# As many as ValidateCertificate accepts; public chains have 2 to 4.
MAX_CERTIFICATES = 16
# A chain of 16 in good order needs 15 for the order and none more for the path. Hostile ones could ask for hundreds, of slow keys.
_MAX_SIGNATURE_CHECKS = 32
# The largest key in Mozilla's program has 4096 bits. One check with 16384 bits takes milliseconds, and a path search makes many.
_MAX_RSA_BITS = 8192


@dataclass(slots=True, eq=False)
class ServedChain:
    """Decoded certificates by position, leaf first. Keeps the signatures it has checked.

    left_out: how many certificates beyond the sixteenth were not looked at.
    """

    certificates: tuple[DecodedCertificate | None, ...]
    malformed: tuple[MalformedEntry, ...]
    left_out: int
    _checked: dict[tuple[int, int], bool] = field(default_factory=dict)

    @property
    def leaf(self) -> DecodedCertificate | None:
        """The first certificate, if it can be decoded."""
        return self.certificates[0] if self.certificates else None

    def intermediates(self) -> list[DecodedCertificate]:
        """Return what may stand between leaf and anchor, each once: certificates whose checks are cheap enough to be tried."""
        unique = {one.view.sha256: one for one in self.certificates[1:] if one is not None and not _is_too_costly(one)}
        return list(unique.values())

    def path(self) -> tuple[int, ...]:
        """Return the positions of the path from the leaf that names and signatures prove, in served order where there is a choice.

        It goes on until no served certificate issued the last one; a self-issued certificate ends it. Empty if the leaf is malformed.
        """
        path: list[int] = []
        following = None if self.leaf is None else 0
        while following is not None:
            path.append(following)
            following = self._issuer_of(following, path)
        return tuple(path)

    def along(self, path: Sequence[int]) -> tuple[DecodedCertificate, ...]:
        """Return the certificates at these positions, which a path holds only if they could be decoded."""
        return tuple(one for one in (self.certificates[index] for index in path) if one is not None)

    def is_misordered(self) -> bool:
        """Something other than "each certificate certifies the one before it" was served: reordered, alien, repeated or too many.

        Malformed ones are passed over; they are a finding of their own. Source: RFC 5246 7.4.2.
        """
        readable = [index for index, one in enumerate(self.certificates) if one is not None]
        unique = {one.view.sha256 for one in self.certificates if one is not None}
        follows = all(self._is_issued_by(child, parent) for child, parent in pairwise(readable))
        return self.left_out > 0 or len(unique) != len(readable) or not follows

    def _issuer_of(self, child: int, path: Sequence[int]) -> int | None:
        certificate = self.certificates[child]
        if certificate is None or certificate.view.is_self_issued:
            return None
        others = [*range(child + 1, len(self.certificates)), *range(1, child)]
        return next((index for index in others if index not in path and self._is_issued_by(child, index)), None)

    def _is_issued_by(self, child: int, parent: int) -> bool:
        lower, upper = self.certificates[child], self.certificates[parent]
        if lower is None or upper is None or lower.view.issuer != upper.view.subject:
            return False
        if (child, parent) not in self._checked:
            self._checked[child, parent] = len(self._checked) < _MAX_SIGNATURE_CHECKS and (is_issued_by(lower, upper) or _is_weakly_signed_by(lower, upper))
        return self._checked[child, parent]


def read_chain(chain: Sequence[bytes]) -> ServedChain:
    """Decode a served chain, whatever its bytes are."""
    certificates: list[DecodedCertificate | None] = []
    malformed: list[MalformedEntry] = []
    for index, der in enumerate(chain[:MAX_CERTIFICATES]):
        try:
            certificates.append(_decode_issuer(der) if index else decode_certificate(der))
        except MalformedCertificate as error:
            certificates.append(None)
            malformed.append(MalformedEntry(index, str(error)))
    return ServedChain(tuple(certificates), tuple(malformed), max(0, len(chain) - MAX_CERTIFICATES))


# Few issuers stand above many leaves. What cannot be decoded raises each time, and is not kept.
_decode_issuer = lru_cache(maxsize=512)(decode_certificate)


def is_issued_by(child: DecodedCertificate, parent: DecodedCertificate) -> bool:
    """Names chain and the parent's key made the child's signature. Says nothing about the parent's right to issue."""
    if _is_too_costly(parent):
        return False
    try:
        child.certificate.verify_directly_issued_by(parent.certificate)
    except (InvalidSignature, *DECODING_ERRORS):
        return False
    return True


def _is_weakly_signed_by(child: DecodedCertificate, parent: DecodedCertificate) -> bool:
    """The parent's key made the child's SHA-1 or MD5 signature. It tells the served order and lends no trust.

    cryptography refuses such signatures in verify_directly_issued_by; without this a chain with one would be called incomplete as well.
    """
    if child.view.signature_hash not in ("sha1", "md5") or _is_too_costly(parent):
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


def _is_too_costly(certificate: DecodedCertificate) -> bool:
    return certificate.view.key_bits > _MAX_RSA_BITS
