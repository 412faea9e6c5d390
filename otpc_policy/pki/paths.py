"""Paths from a leaf to an anchor, proven at one instant: RFC 5280 section 6.1.

Whether the leaf is for the wanted name is judged elsewhere. What is proven of a path holds at every
instant at which all its certificates are valid, so it is proven once. The order is that of cost:
what each certificate may be, dates, signatures (search), lengths and policies, name constraints
last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from otpc_policy.pki.anchors import AnchorSet
from otpc_policy.pki.budget import TooComplexError, Work
from otpc_policy.pki.constraints import ConstraintChecks
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.policies import flaw_of_policies, policy_units
from otpc_policy.pki.roots import RootLimit
from otpc_policy.pki.search import Candidate, candidate_paths
from otpc_policy.pki.signatures import SignatureChecks
from otpc_policy.pki.validation import (
    flaw_of_anchor,
    flaw_of_authority,
    flaw_of_leaf,
    flaw_of_lengths,
)

# To look at a path of which every pair of certificates has been compared before.
_UNITS_PER_PATH = 20


@dataclass(frozen=True, slots=True)
class ProvenPath:
    """certificates: leaf first, without the anchor. anchor: what issued the last of them."""

    certificates: tuple[DecodedCertificate, ...]
    anchor: DecodedCertificate


@dataclass(slots=True, eq=False, kw_only=True)
class PathProver:
    """Proves paths of one leaf, each of them once.

    intermediates: what may stand between leaf and anchor, each once. too_complex: for people, what
    was passed over because it would have cost too much. While that is empty, a path that is not
    found does not exist; from then on it may.
    """

    leaf: DecodedCertificate
    intermediates: Sequence[DecodedCertificate]
    checks: SignatureChecks
    constraints: ConstraintChecks
    too_complex: list[str] = field(default_factory=list)
    _is_proven: dict[tuple[bool, tuple[str, ...]], bool] = field(default_factory=dict)

    def find(
        self, anchors: AnchorSet, *, limits: Mapping[str, RootLimit], at: datetime
    ) -> ProvenPath | None:
        """Return a path from the leaf to one of the anchors that is valid at the instant, or None.

        limits: how far which anchors are trusted, by SHA-256.
        A leaf without SAN has none: see find_direct_issue. A leaf that is itself an anchor has
        none: it would be a pin by another name.
        """
        leaf, profile = self.leaf, anchors.profile
        if flaw_of_leaf(leaf, profile) or not leaf.is_valid_at(at) or anchors.holds(leaf):
            return None
        usable = [
            authority
            for authority in self.intermediates
            if authority.is_valid_at(at) and not flaw_of_authority(authority, profile)
        ]
        try:
            for candidate in candidate_paths(leaf, usable, anchors, self.checks):
                if candidate.anchor.is_valid_at(at) and self._holds(candidate, anchors, limits):
                    return ProvenPath(candidate.certificates, candidate.anchor)
        except TooComplexError as error:
            self.too_complex.append(str(error))
        return None

    def find_direct_issue(self, anchors: AnchorSet, at: datetime) -> ProvenPath | None:
        """Return the path of a leaf with only a common name that an anchor issued itself, or None.

        All that find asks holds here too, but for the names of the leaf.
        """
        leaf, profile = self.leaf, anchors.profile
        if leaf.has_subject_alt_name or flaw_of_leaf(leaf, profile, by_common_name=True):
            return None
        if not leaf.is_valid_at(at) or anchors.holds(leaf):
            return None
        for anchor in anchors.by_subject.get(leaf.issuer.key, ()):
            candidate = Candidate((leaf,), anchor)
            if (
                anchor.is_valid_at(at)
                and self._issued_leaf(anchor)
                and self._holds(candidate, anchors, {})
            ):
                return ProvenPath((leaf,), anchor)
        return None

    def _issued_leaf(self, anchor: DecodedCertificate) -> bool:
        """The anchor's key signed the leaf."""
        try:
            return self.checks.has_issued(anchor, self.leaf)
        except TooComplexError as error:
            self.too_complex.append(str(error))
            return False

    def _holds(
        self, candidate: Candidate, anchors: AnchorSet, limits: Mapping[str, RootLimit]
    ) -> bool:
        """The path holds at any instant at which all of it is valid."""
        path = (*candidate.certificates, candidate.anchor)
        is_public = anchors.profile.is_public
        key = (is_public, tuple(certificate.view.sha256 for certificate in path))
        if key in self._is_proven:
            return self._is_proven[key]
        try:
            is_proven = not flaw_of_candidate(
                candidate, anchors, limits, checks=self.checks, constraints=self.constraints
            )
        except TooComplexError as error:
            # Another path may be as good and cost less.
            self.too_complex.append(str(error))
            return False
        self._is_proven[key] = is_proven
        return is_proven


def flaw_of_candidate(
    candidate: Candidate,
    anchors: AnchorSet,
    limits: Mapping[str, RootLimit],
    *,
    checks: SignatureChecks,
    constraints: ConstraintChecks,
) -> str:
    """Say why a path by signatures does not hold, whenever all of it is valid, or "".

    What its certificates are by themselves has been looked at before, except for the anchor.
    Raises TooComplexError.
    """
    path = (*candidate.certificates, candidate.anchor)
    limit = limits.get(candidate.anchor.view.sha256)
    units, reason = _UNITS_PER_PATH + policy_units(path), "too many paths lead to an anchor"
    checks.budget.spend(units, Work.SEARCH, reason)
    if flaw := flaw_of_anchor(candidate.anchor, anchors.profile):
        return f"{candidate.anchor.title} cannot be the anchor of a path: {flaw}"
    return (
        flaw_of_lengths(path)
        or flaw_of_policies(path)
        or ("" if limit is None else limit.refusal(path[0], constraints))
        or constraints.flaw_of_names(path)
    )
