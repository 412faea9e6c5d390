"""The chain as served: what names and signatures prove between certificates, without any trust."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

from otpc_policy.core.errors import MalformedCertificate
from otpc_policy.pki.budget import TooComplexError, WorkBudget
from otpc_policy.pki.certificate import read_certificate, skeleton_or_none
from otpc_policy.pki.decoded_certificate import DecodedCertificate, Skeleton
from otpc_policy.pki.judgement import MalformedEntry
from otpc_policy.pki.signatures import SignatureChecks, Signed, is_too_costly

# As many as ValidateCertificate accepts. Public chains have 2 to 4; servers that send every cross-
# certificate they ever had were seen with 36 (BetterTLS).
MAX_CERTIFICATES = 64


@dataclass(slots=True, eq=False, kw_only=True)
class ServedChain:
    """Decoded certificates by position, leaf first, and which signatures between them were checked.

    unread: by position, why a certificate was not read, for people. skeletons: of exactly those;
    None where not even that could be had. left_out: how many certificates after the sixty-fourth
    were not looked at.
    """

    certificates: tuple[DecodedCertificate | None, ...]
    malformed: tuple[MalformedEntry, ...]
    unread: Mapping[int, str]
    skeletons: Mapping[int, Skeleton | None]
    left_out: int
    checks: SignatureChecks

    @property
    def budget(self) -> WorkBudget:
        """The budget of everything that is judged about this chain."""
        return self.checks.budget

    @property
    def leaf(self) -> DecodedCertificate | None:
        """The first certificate, if it could be read."""
        return self.certificates[0] if self.certificates else None

    def signed(self, position: int) -> Signed | None:
        """Return the certificate, or its skeleton if no more of it was read."""
        return self.certificates[position] or self.skeletons.get(position)

    def intermediates(self) -> list[DecodedCertificate]:
        """Return what may stand between leaf and anchor, each once.

        Only certificates with whose keys a signature can be verified at a bearable cost.
        """
        served = [certificate for certificate in self.certificates[1:] if certificate is not None]
        unique = {
            certificate.view.sha256: certificate
            for certificate in served
            if not is_too_costly(certificate)
        }
        return list(unique.values())

    def path(self) -> tuple[int, ...]:
        """Return the positions of the path from the leaf that names and signatures prove.

        In served order where there is a choice. It goes on until no served certificate issued the
        last one, which may have signed itself. A self-issued intermediate, as of an authority that
        renewed its key, does not end it. Empty if the leaf was not read. Raises TooComplexError.
        """
        path: list[int] = []
        following = None if self.leaf is None else 0
        while following is not None:
            path.append(following)
            following = self._issuer_of(following, path)
        return tuple(path)

    def issuer_of_leaf(self) -> DecodedCertificate | None:
        """Return the served certificate that issued the leaf, None if there is none.

        Raises TooComplexError too where it may be one of those that were not read.
        """
        issuer = None if self.leaf is None else self._issuer_of(0, (0,))
        if issuer is None and self.unread:
            raise TooComplexError(next(iter(self.unread.values())))
        return None if issuer is None else self.certificates[issuer]

    def along(self, path: Sequence[int]) -> tuple[DecodedCertificate, ...]:
        """Return the certificates at these positions, which a path holds only if they were read."""
        return tuple(
            certificate
            for certificate in (self.certificates[index] for index in path)
            if certificate is not None
        )

    def is_misordered(self) -> bool:
        """It is not proven that each certificate certifies the one before it.

        Reordered, alien, repeated or too many. Malformed ones are passed over; they are a finding
        of their own. Source: RFC 5246 7.4.2.
        """
        malformed = {entry.index for entry in self.malformed}
        positions = [
            position for position in range(len(self.certificates)) if position not in malformed
        ]
        known = [
            certificate for certificate in map(self.signed, positions) if certificate is not None
        ]
        unique = {certificate.view.sha256 for certificate in known}
        if self.left_out > 0 or not len(positions) == len(known) == len(unique):
            return True
        has_issued = self.checks.has_issued
        try:
            return not all(has_issued(parent, child) for child, parent in pairwise(known))
        except TooComplexError:
            return True

    def _issuer_of(self, child: int, path: Sequence[int]) -> int | None:
        lower = self.certificates[child]
        if lower is None or (child == 0 and lower.view.is_self_issued):
            return None
        for index in chain(range(child + 1, len(self.certificates)), range(1, child)):
            upper = self.certificates[index]
            if index in path or upper is None:
                continue
            # Another certificate for the same name and key is no step further.
            is_same = lower.view.is_self_issued and (
                upper.view.spki_sha256 == lower.view.spki_sha256
            )
            if not is_same and self.checks.has_issued(upper, lower):
                return index
        return None


def read_chain(ders: Sequence[bytes], budget: WorkBudget | None = None) -> ServedChain:
    """Decode a served chain, whatever its bytes are, as far as the budget allows; the leaf first.

    budget: of everything that will be judged about the chain. None: as much as any chain.
    """
    budget = WorkBudget() if budget is None else budget
    certificates: list[DecodedCertificate | None] = []
    malformed: list[MalformedEntry] = []
    unread: dict[int, str] = {}
    skeletons: dict[int, Skeleton | None] = {}
    for index, der in enumerate(ders[:MAX_CERTIFICATES]):
        certificate, what = None, f"certificate {index} of the chain" if index else "the leaf"
        try:
            certificate = read_certificate(der, budget, what, keep=index > 0)
        except MalformedCertificate as error:
            malformed.append(MalformedEntry(index, str(error)))
        except TooComplexError as error:
            try:
                skeletons[index] = skeleton_or_none(der, budget)
                unread[index] = str(error)
            except MalformedCertificate as flaw:
                malformed.append(MalformedEntry(index, str(flaw)))
        certificates.append(certificate)
    return ServedChain(
        certificates=tuple(certificates),
        malformed=tuple(malformed),
        unread=unread,
        skeletons=skeletons,
        left_out=max(0, len(ders) - MAX_CERTIFICATES),
        checks=SignatureChecks(budget),
    )
