"""Name constraints along a path: each authority and certificate compared once, and paid for before.

Source: RFC 5280 6.1.3 (b) and (c).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from otpc_policy.core.shown_text import shown
from otpc_policy.pki.budget import Work, WorkBudget
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.extensions import NameConstraints
from otpc_policy.pki.general_names import NO_NAMES, GeneralNames
from otpc_policy.pki.subtrees import Fence, Names

_NS_PER_UNIT = 1_000
_MAX_NAME = 120
# What a chain can afford when it has been read, of names and subtrees of 20 bytes.
_TYPICAL_COMPARISONS = 150_000


@dataclass(slots=True, eq=False)
class ConstraintChecks:
    """Answers about a single chain. Every method may raise TooComplexError."""

    budget: WorkBudget
    _refused: dict[tuple[str, str], str] = field(default_factory=dict)
    _names: dict[str, Names] = field(default_factory=dict)
    _fences: dict[str, Fence] = field(default_factory=dict)

    def permit(self, path: Sequence[DecodedCertificate]) -> bool:
        """Every name on the path is permitted by every certificate above it."""
        return not self.flaw_of_names(path)

    def flaw_of_names(self, path: Sequence[DecodedCertificate]) -> str:
        """Say which name on the path is not permitted by a certificate above it, or "".

        path: leaf first, the anchor last. Its constraints count too: whoever trusts it trusts it
        within them (RFC 5937 3.2). The common names of a leaf without subjectAltName count as DNS
        names, because they are used as such.
        """
        for position, authority in enumerate(path):
            for number, certificate in enumerate(path[:position]):
                if number > 0 and certificate.view.is_self_issued:
                    continue
                if refused := self._refused_name(authority, certificate):
                    return (
                        f"the {refused} in {certificate.title} is not permitted by the name"
                        f" constraints of {authority.title} (RFC 5280 4.2.1.10);"
                        " names within them required"
                    )
        return ""

    def permits(self, authority: DecodedCertificate, certificate: DecodedCertificate) -> bool:
        """Every name of the certificate is permitted by the authority."""
        return not self._refused_name(authority, certificate)

    def lie_within(self, domains: Sequence[str], certificate: DecodedCertificate) -> bool:
        """Every DNS name of the certificate lies within one of the domains."""
        permitted = GeneralNames(dns=tuple(domains), count=len(domains))
        return not self._look_up(Fence.of(NameConstraints(permitted, NO_NAMES)), certificate)

    def _refused_name(self, authority: DecodedCertificate, certificate: DecodedCertificate) -> str:
        if authority.name_constraints is None:
            return ""
        pair = (authority.view.sha256, certificate.view.sha256)
        if pair not in self._refused:
            fence = self._fence_of(authority, authority.name_constraints)
            self._refused[pair] = self._look_up(fence, certificate)
        return self._refused[pair]

    def _fence_of(self, authority: DecodedCertificate, constraints: NameConstraints) -> Fence:
        key = authority.view.sha256
        if key not in self._fences:
            # Half of reading the certificate, of which its constraints are the costly part.
            too_many = "it has too many name constraints to be read"
            self.budget.spend(authority.cost.whole // 2, Work.COMPARISONS, too_many)
            self._fences[key] = Fence.of(constraints)
        return self._fences[key]

    def _names_of(self, certificate: DecodedCertificate) -> Names:
        key = certificate.view.sha256
        if key not in self._names:
            too_many = f"it has {certificate.names.count:,} names below name constraints"
            self.budget.spend(certificate.cost.whole // 2, Work.COMPARISONS, too_many)
            self._names[key] = Names.of(certificate)
        return self._names[key]

    def _look_up(self, fence: Fence, certificate: DecodedCertificate) -> str:
        """Return a name of the certificate that is not permitted, for people, or ""."""
        names = self._names_of(certificate)
        too_many = _too_many(certificate.names.count, fence.count)
        units = fence.nanoseconds_for(names) // _NS_PER_UNIT + 1
        self.budget.spend(units, Work.COMPARISONS, too_many)
        return shown(fence.refused(names), _MAX_NAME)


def _too_many(names: int, subtrees: int) -> str:
    return (
        f"{names:,} names would have to be compared with {subtrees:,} subtrees of name constraints;"
        f" about {_TYPICAL_COMPARISONS:,} comparisons are made for a chain"
    )
