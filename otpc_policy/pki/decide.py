"""What the leaf is trusted by: Mozilla's roots, a pin, an anchor of the operator or the request."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from otpc_policy.pki.anchors import (
    AnchorSet,
    partner_anchor_set,
    request_anchor_set,
    web_anchor_set,
)
from otpc_policy.pki.budget import TooComplexError
from otpc_policy.pki.constraints import ConstraintChecks
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.judgement import TrustSource
from otpc_policy.pki.paths import PathProver, ProvenPath
from otpc_policy.pki.roots import RootLimit
from otpc_policy.pki.search import may_lead_to_anchor
from otpc_policy.pki.served import ServedChain
from otpc_policy.pki.trust import Trust, TrustEntry
from otpc_policy.pki.trust_failure import (
    LEAF_UNREADABLE,
    NOTHING_SIGNED,
    ONLY_DATES,
    TrustedSet,
    failure_of,
)

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustDecision:
    """The decision about a leaf.

    path: positions in the served chain. failure: why the leaf does not chain to a trusted anchor,
    or why that is not decided. path_valid_until: as of ChainJudgement. proven: the path under a
    Mozilla root, for a second opinion. issuer: who issued the leaf, if that is proven; may be an
    anchor that was not served. issuer_undecided: why that is not decided, or "".
    """

    source: TrustSource
    trusted_if_valid: bool
    path: tuple[int, ...]
    label: str
    failure: str = ""
    ends_at: datetime | None = None
    path_valid_until: datetime | None = None
    issuer: DecodedCertificate | None
    issuer_undecided: str = ""
    issuer_missing: bool = False
    proven: ProvenPath | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _TrustBasis:
    """A set of anchors, and the source of trust in them.

    Only anchors chosen for this host allow a leaf without a subjectAltName.
    """

    source: TrustSource
    anchors: AnchorSet
    entry: TrustEntry | None = None
    limits: Mapping[str, RootLimit] = field(default_factory=dict)

    @property
    def allows_common_name(self) -> bool:
        return self.source is not TrustSource.MOZILLA_ROOT


def decide_trust(
    served: ServedChain,
    *,
    server_name: str | None,
    trust: Trust,
    request_anchors: Sequence[bytes],
    at: datetime,
) -> TrustDecision:
    """Decide what the leaf is trusted by at the instant, or whether only dates stand in the way.

    Order: Mozilla's roots first, since public trust needs no entry and ends with none. Then a pin:
    it is the narrowest statement, and it makes everything else that the server sends irrelevant.
    Then the operator's anchors, then the request's. Of several entries the longest-lasting counts.
    A path that was found stands, even if other parts were too complex to be examined; without a
    path the decision is then UNDECIDED, never that the leaf is untrusted.
    """
    entries = () if server_name is None else trust.entries_for(server_name, at)
    lasting = sorted(entries, key=lambda entry: entry.ends_at or _NEVER, reverse=True)
    mozilla = _TrustBasis(
        source=TrustSource.MOZILLA_ROOT,
        anchors=web_anchor_set(tuple(trust.mozilla_roots)),
        limits=trust.root_limits,
    )
    prover = _prover(served)
    if prover is not None and (found := _find(prover, mozilla, at)):
        return _decision(served, mozilla, found, is_valid=True)
    for entry in lasting:
        if _is_pinned(served, entry):
            return _pinned(served, entry)
    bases = (mozilla, *_chosen_bases(lasting, request_anchors, served))
    if prover is None:
        return _unread_leaf(served, bases)
    for basis in bases[1:]:
        if found := _find(prover, basis, at):
            return _decision(served, basis, found, is_valid=True)
    if undecided := _why_undecided(served, prover, bases):
        return _undecided(served, undecided)
    try:
        decision = _if_valid(served, prover, bases, at)
        if decision is None and prover.too_complex:
            return _undecided(served, prover.too_complex[0])
        return decision or _untrusted(served, prover.constraints, bases, at)
    except TooComplexError as error:
        return _undecided(served, str(error))


def _prover(served: ServedChain) -> PathProver | None:
    """Return a prover of paths from the leaf, or None if the leaf was not read."""
    if served.leaf is None:
        return None
    return PathProver(
        leaf=served.leaf,
        intermediates=served.intermediates(),
        checks=served.checks,
        constraints=ConstraintChecks(served.budget),
    )


def _is_pinned(served: ServedChain, entry: TrustEntry) -> bool:
    leaf = served.signed(0)
    if leaf is None:
        return False
    view = leaf.view
    return view.sha256 in entry.certificate_pins or view.spki_sha256 in entry.spki_pins


def _why_undecided(served: ServedChain, prover: PathProver, bases: Sequence[_TrustBasis]) -> str:
    """Say why there may be a path that was not found, or ""."""
    if prover.too_complex:
        return prover.too_complex[0]
    unread = [*served.unread.values(), *(basis.anchors.unread for basis in bases)]
    reason = next(filter(None, unread), "")
    if reason and not may_lead_to_anchor(served, [basis.anchors for basis in bases]):
        return ""
    return reason


def _find(prover: PathProver, basis: _TrustBasis, at: datetime) -> ProvenPath | None:
    if prover.leaf.has_subject_alt_name:
        return prover.find(basis.anchors, limits=basis.limits, at=at)
    return prover.find_direct_issue(basis.anchors, at) if basis.allows_common_name else None


def _chosen_bases(
    entries: Sequence[TrustEntry], request_anchors: Sequence[bytes], served: ServedChain
) -> Iterator[_TrustBasis]:
    for entry in entries:
        if entry.anchors:
            anchors = partner_anchor_set(entry.anchors)
            yield _TrustBasis(source=TrustSource.ANCHOR, anchors=anchors, entry=entry)
    if request_anchors:
        anchors = request_anchor_set(request_anchors, served.budget)
        yield _TrustBasis(source=TrustSource.REQUEST_ANCHOR, anchors=anchors)


def _if_valid(
    served: ServedChain, prover: PathProver, bases: Sequence[_TrustBasis], at: datetime
) -> TrustDecision | None:
    """Look for a path at instants when the served path was valid.

    Only if a served certificate on it is outside its validity now, and the anchor is inside: so
    whoever sees trusted_if_valid without trust also sees a certificate that has expired or is not
    yet valid, and an expired anchor never passes for an expired leaf.
    """
    for instant in _instants(served):
        for basis in bases:
            found = _find(prover, basis, instant)
            if found is None or not found.anchor.is_valid_at(at):
                continue
            decision = _decision(served, basis, found, is_valid=False)
            if not all(certificate.is_valid_at(at) for certificate in served.along(decision.path)):
                return decision
    return None


def _instants(served: ServedChain) -> tuple[datetime, ...]:
    """If everything was ever valid at once, it was at the latest notBefore of the path.

    Few are tried: each costs a search. Raises TooComplexError.
    """
    path = served.along(served.path())
    leaf = path[0]
    starts = [
        certificate.view.not_before for certificate in path if not certificate.view.is_self_issued
    ]
    latest = max(starts, default=leaf.view.not_before)
    return tuple(dict.fromkeys((latest, leaf.view.not_before, leaf.view.not_after)))


def _decision(
    served: ServedChain, basis: _TrustBasis, found: ProvenPath, *, is_valid: bool
) -> TrustDecision:
    positions: dict[str, int] = {}
    for index, certificate in enumerate(served.certificates):
        if certificate is not None:
            positions.setdefault(certificate.view.sha256, index)
    path = [positions[certificate.view.sha256] for certificate in found.certificates]
    if found.anchor.view.sha256 in positions:
        path.append(positions[found.anchor.view.sha256])
    entry = basis.entry
    return TrustDecision(
        source=basis.source if is_valid else TrustSource.NOTHING,
        trusted_if_valid=True,
        path=tuple(path),
        label=(entry.note if entry else "") or found.anchor.view.subject,
        failure="" if is_valid else ONLY_DATES,
        ends_at=entry.ends_at if entry else None,
        path_valid_until=min(
            certificate.view.not_after for certificate in (*found.certificates, found.anchor)
        ),
        issuer=served.certificates[path[1]] if len(found.certificates) > 1 else found.anchor,
        proven=found if is_valid and basis.source is TrustSource.MOZILLA_ROOT else None,
    )


def _pinned(served: ServedChain, entry: TrustEntry) -> TrustDecision:
    issuer, undecided = _served_issuer(served)
    return TrustDecision(
        source=TrustSource.PIN,
        trusted_if_valid=True,
        path=(0,),
        label=entry.note or "pinned certificate",
        ends_at=entry.ends_at,
        issuer=issuer,
        issuer_undecided=undecided,
    )


def _undecided(served: ServedChain, reason: str) -> TrustDecision:
    issuer, undecided = _served_issuer(served)
    return TrustDecision(
        source=TrustSource.UNDECIDED,
        trusted_if_valid=False,
        path=() if served.signed(0) is None else (0,),
        label="",
        failure=reason,
        issuer=issuer,
        issuer_undecided=undecided,
    )


def _unread_leaf(served: ServedChain, bases: Sequence[_TrustBasis]) -> TrustDecision:
    """Decide about a leaf that is malformed, or of which signatures alone are known."""
    if 0 in served.unread and may_lead_to_anchor(served, [basis.anchors for basis in bases]):
        return _undecided(served, served.unread[0])
    known = served.signed(0)
    failure = LEAF_UNREADABLE if known is None else NOTHING_SIGNED
    _, issuer_undecided = _served_issuer(served)
    return TrustDecision(
        source=TrustSource.NOTHING,
        trusted_if_valid=False,
        path=() if known is None else (0,),
        label="",
        failure=failure,
        issuer=None,
        issuer_undecided=issuer_undecided,
    )


def _served_issuer(served: ServedChain) -> tuple[DecodedCertificate | None, str]:
    """Return the issuer of the leaf if it was served, and why that is not decided, or ""."""
    try:
        return served.issuer_of_leaf(), ""
    except TooComplexError as error:
        return None, str(error)


def _untrusted(
    served: ServedChain,
    constraints: ConstraintChecks,
    bases: Sequence[_TrustBasis],
    at: datetime,
) -> TrustDecision:
    """Raises TooComplexError."""
    path = served.path()
    sets = [TrustedSet(basis.anchors, basis.limits) for basis in bases]
    issuer, issuer_undecided = _served_issuer(served)
    failure = failure_of(served, served.along(path), sets, constraints=constraints, at=at)
    return TrustDecision(
        source=TrustSource.NOTHING,
        trusted_if_valid=False,
        path=path,
        label="",
        failure=failure.reason,
        issuer=issuer,
        issuer_undecided=issuer_undecided,
        issuer_missing=failure.issuer_missing,
    )
