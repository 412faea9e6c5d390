"""The chain as served: what names and signatures prove between the certificates themselves, without any trust."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, pairwise

from otpc_policy.core.errors import MalformedCertificate
from otpc_policy.pki.certificate import DecodedCertificate, decode_certificate
from otpc_policy.pki.judgement import MalformedEntry
from otpc_policy.pki.signatures import SignatureChecks, is_too_costly

# As many as ValidateCertificate accepts; public chains have 2 to 4.
MAX_CERTIFICATES = 16


@dataclass(slots=True, eq=False)
class ServedChain:
    """Decoded certificates by position, leaf first, and the signatures between them that were checked.

    left_out: how many certificates beyond the sixteenth were not looked at.
    """

    certificates: tuple[DecodedCertificate | None, ...]
    malformed: tuple[MalformedEntry, ...]
    left_out: int
    checks: SignatureChecks = field(default_factory=SignatureChecks)

    @property
    def leaf(self) -> DecodedCertificate | None:
        """The first certificate, if it can be decoded."""
        return self.certificates[0] if self.certificates else None

    def intermediates(self) -> list[DecodedCertificate]:
        """Return what may stand between leaf and anchor, each once: certificates whose checks are cheap enough to be tried."""
        unique = {one.view.sha256: one for one in self.certificates[1:] if one is not None and not is_too_costly(one)}
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
        readable = [one for one in self.certificates if one is not None]
        unique = {one.view.sha256 for one in readable}
        follows = all(self.checks.has_issued(parent, child) for child, parent in pairwise(readable))
        return self.left_out > 0 or len(unique) != len(readable) or not follows

    def _issuer_of(self, child: int, path: Sequence[int]) -> int | None:
        lower = self.certificates[child]
        if lower is None or lower.view.is_self_issued:
            return None
        for index in chain(range(child + 1, len(self.certificates)), range(1, child)):
            upper = self.certificates[index]
            if index not in path and upper is not None and self.checks.has_issued(upper, lower):
                return index
        return None


def read_chain(ders: Sequence[bytes]) -> ServedChain:
    """Decode a served chain, whatever its bytes are."""
    certificates: list[DecodedCertificate | None] = []
    malformed: list[MalformedEntry] = []
    for index, der in enumerate(ders[:MAX_CERTIFICATES]):
        try:
            certificates.append(_decode_issuer(der) if index else decode_certificate(der))
        except MalformedCertificate as error:
            certificates.append(None)
            malformed.append(MalformedEntry(index, str(error)))
    return ServedChain(tuple(certificates), tuple(malformed), max(0, len(ders) - MAX_CERTIFICATES))


# Few issuers stand above many leaves. What cannot be decoded raises each time, and is not kept.
_decode_issuer = lru_cache(maxsize=512)(decode_certificate)
