"""Whose key made a certificate's signature: each pair is asked about once, and paid for before."""

from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import rsa

from otpc_policy.pki.budget import Work, WorkBudget
from otpc_policy.pki.decoded_certificate import Skeleton
from otpc_policy.pki.signature_cost import signature_units

# The largest key in Mozilla's program has 4096 bits. A key of 16384 bits costs milliseconds.
_MAX_RSA_BITS = 8192
# OpenSSL's bound for large moduli. Without it, a check with an exponent as long as the modulus
# costs as much as a hundred.
_MAX_RSA_EXPONENT_BITS = 64
_WEAK_HASHES = ("sha1", "md5")

TOO_MANY_SIGNATURES = "its signatures are too many or too costly to be verified"

# A certificate as far as signatures go.
Signed = Skeleton


@dataclass(slots=True, eq=False)
class SignatureChecks:
    """Answers about one chain, each found once. made: how many signatures were asked about."""

    budget: WorkBudget
    made: int = 0
    _issued: dict[tuple[str, str], bool] = field(default_factory=dict)

    def has_issued(self, parent: Signed, child: Signed) -> bool:
        """Names chain and the parent's key made the child's signature, be it a weak one.

        Says nothing about the parent's right to issue. Raises TooComplexError.
        """
        if child.issuer.key != parent.subject.key:
            return False
        pair = (parent.view.sha256, child.view.sha256)
        if pair not in self._issued:
            self._issued[pair] = self._verify(parent, child)
        return self._issued[pair]

    def has_issued_by_strong_hash(self, parent: Signed, child: Signed) -> bool:
        """The same, and no collision can have moved the signature from another certificate."""
        return child.view.signature_hash not in _WEAK_HASHES and self.has_issued(parent, child)

    def units_of(self, parent: Signed, child: Signed) -> int:
        """Return what it costs to verify one signature."""
        return signature_units(parent.key_units, len(child.view.der))

    def _verify(self, parent: Signed, child: Signed) -> bool:
        if is_too_costly(parent):
            return False
        self.budget.spend(self.units_of(parent, child), Work.SIGNATURES, TOO_MANY_SIGNATURES)
        self.made += 1
        known = _answers(parent.view.sha256, child.view.sha256)
        if not known:
            known.append(child.is_signed_by(parent.verifying_key))
        return known[0]


# A chain is judged under several policies, and again when it is seen again. What is kept is
# arithmetic, true for ever, and costs the same units; an answer takes 300 bytes.
@lru_cache(maxsize=4_096)
def _answers(_parent_sha256: str, _child_sha256: str) -> list[bool]:
    """Return where the answer about these two stands, once somebody has found it."""
    return []


def is_too_costly(certificate: Signed) -> bool:
    """A look at a signature by this key would cost so much that none is worth it."""
    if certificate.view.key_bits > _MAX_RSA_BITS:
        return True
    key = certificate.key
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    return key.public_numbers().e.bit_length() > _MAX_RSA_EXPONENT_BITS
