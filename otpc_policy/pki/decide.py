"""Who vouches for the leaf: Mozilla's roots, a pin, an anchor of the operator or of the request."""

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
from otpc_policy.pki.certificate import DecodedCertificate
from otpc_policy.pki.constraints import ConstraintChecks
from otpc_policy.pki.judgement import TrustSource
from otpc_policy.pki.paths import PathProver, ProvenPath
from otpc_policy.pki.roots import RootLimit
from otpc_policy.pki.search import may_lead_to_anchor
from otpc_policy.pki.served import ServedChain
from otpc_policy.pki.trust import Trust, TrustEntry
from otpc_policy.pki.trust_failure import NOTHING_SIGNED, failure_of, refusal_by_limit

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustDecision:
    """What was decided about one leaf.

    path: positions in the served chain. failure: why nothing vouches for the leaf, or why that is
    not decided. issuer: who issued the leaf, if that is proven; may be an anchor that was not
    served. issuer_undecided: why that is not decided, where it is not.
    """

    source: TrustSource
    trusted_if_valid: bool
    path: tuple[int, ...]
    label: str
    failure: str = ""
    ends_at: datetime | None = None
    issuer: DecodedCertificate | None
    issuer_undecided: str = ""
    issuer_missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Voucher:
    """A set of anchors and in whose name they stand.

    Only anchors that somebody chose for this host may vouch for a common name.
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
    """Say what vouches for the leaf at the instant, or whether only dates stand in the way.

    Order: Mozilla's roots first, since what everybody trusts needs no note of ours and ends with no
    entry. Then a pin: it is the narrowest statement, and it makes everything else the server sends
    irrelevant. Then the operator's anchors, then the request's. Of several entries the one that
    lasts longest counts. A path that was found stands, whatever else was too complex to be looked
    at; without one the decision is UNDECIDED then, and never that nothing vouches for the leaf.
    """
    entries = () if server_name is None else trust.entries_for(server_name, at)
    lasting = sorted(entries, key=lambda entry: entry.ends_at or _NEVER, reverse=True)
    mozilla = _Voucher(
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
    vouchers = (mozilla, *_chosen_vouchers(lasting, request_anchors, served))
    if prover is None:
        return _unread_leaf(served, vouchers)
    for voucher in vouchers[1:]:
        if found := _find(prover, voucher, at):
            return _decision(served, voucher, found, is_valid=True)
    if undecided := _why_undecided(served, prover, vouchers):
        return _undecided(served, undecided)
    try:
        decision = _if_valid(served, prover, vouchers, at)
        if decision is None and prover.too_complex:
            return _undecided(served, prover.too_complex[0])
        return decision or _untrusted(served, prover.constraints, vouchers)
    except TooComplexError as error:
        return _undecided(served, str(error))


def _prover(served: ServedChain) -> PathProver | None:
    """Return who proves paths of the leaf, None if the leaf was not read."""
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


def _why_undecided(served: ServedChain, prover: PathProver, vouchers: Sequence[_Voucher]) -> str:
    """Say why there may be a path that was not found, or ""."""
    if prover.too_complex:
        return prover.too_complex[0]
    unread = [*served.unread.values(), *(one.anchors.unread for one in vouchers)]
    reason = next(filter(None, unread), "")
    if reason and not may_lead_to_anchor(served, [one.anchors for one in vouchers]):
        return ""
    return reason


def _find(prover: PathProver, voucher: _Voucher, at: datetime) -> ProvenPath | None:
    if prover.leaf.has_subject_alt_name:
        return prover.find(voucher.anchors, limits=voucher.limits, at=at)
    return prover.find_direct_issue(voucher.anchors, at) if voucher.allows_common_name else None


def _chosen_vouchers(
    entries: Sequence[TrustEntry], request_anchors: Sequence[bytes], served: ServedChain
) -> Iterator[_Voucher]:
    for entry in entries:
        if entry.anchors:
            anchors = partner_anchor_set(entry.anchors)
            yield _Voucher(source=TrustSource.ANCHOR, anchors=anchors, entry=entry)
    if request_anchors:
        anchors = request_anchor_set(request_anchors, served.budget)
        yield _Voucher(source=TrustSource.REQUEST_ANCHOR, anchors=anchors)


def _if_valid(
    served: ServedChain, prover: PathProver, vouchers: Sequence[_Voucher], at: datetime
) -> TrustDecision | None:
    """Look for a path at instants when the served path was valid.

    Only if a served certificate on it is outside its validity now, and the anchor is inside: so
    whoever sees trusted_if_valid without trust also sees a certificate that has expired or is not
    yet valid, and an expired anchor never passes for an expired leaf.
    """
    for instant in _instants(served):
        for voucher in vouchers:
            found = _find(prover, voucher, instant)
            if found is None or not found.anchor.is_valid_at(at):
                continue
            decision = _decision(served, voucher, found, is_valid=False)
            if not all(one.is_valid_at(at) for one in served.along(decision.path)):
                return decision
    return None


def _instants(served: ServedChain) -> tuple[datetime, ...]:
    """A time at which everything was valid, if there is one, is the latest notBefore of the path.

    Few are tried: each costs a search. Raises TooComplexError.
    """
    path = served.along(served.path())
    leaf = path[0]
    starts = [one.view.not_before for one in path if not one.view.is_self_issued]
    latest = max(starts, default=leaf.view.not_before)
    return tuple(dict.fromkeys((latest, leaf.view.not_before, leaf.view.not_after)))


def _decision(
    served: ServedChain, voucher: _Voucher, found: ProvenPath, *, is_valid: bool
) -> TrustDecision:
    positions: dict[str, int] = {}
    for index, one in enumerate(served.certificates):
        if one is not None:
            positions.setdefault(one.view.sha256, index)
    path = [positions[one.view.sha256] for one in found.certificates]
    if found.anchor.view.sha256 in positions:
        path.append(positions[found.anchor.view.sha256])
    entry = voucher.entry
    return TrustDecision(
        source=voucher.source if is_valid else TrustSource.NOTHING,
        trusted_if_valid=True,
        path=tuple(path),
        label=(entry.note if entry else "") or found.anchor.view.subject,
        failure="" if is_valid else "a certificate on the path is outside its validity",
        ends_at=entry.ends_at if entry else None,
        issuer=served.certificates[path[1]] if len(found.certificates) > 1 else found.anchor,
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


def _unread_leaf(served: ServedChain, vouchers: Sequence[_Voucher]) -> TrustDecision:
    """Decide about a leaf that is malformed, or of which signatures alone are known."""
    if 0 in served.unread and may_lead_to_anchor(served, [one.anchors for one in vouchers]):
        return _undecided(served, served.unread[0])
    known = served.signed(0)
    failure = "the leaf cannot be decoded" if known is None else NOTHING_SIGNED
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
    served: ServedChain, constraints: ConstraintChecks, vouchers: Sequence[_Voucher]
) -> TrustDecision:
    """Raises TooComplexError."""
    path = served.path()
    certificates = served.along(path)
    first, last = certificates[0], certificates[-1]
    knowing = {one.source for one in vouchers if last.view.issuer in one.anchors.by_subject}
    is_known = bool(knowing)
    # Where a certificate was not read the path may go on, but not to an anchor.
    is_cut = not is_known and bool(served.unread)
    mozilla = vouchers[0]
    roots = mozilla.anchors.by_subject
    refused = refusal_by_limit(first, last, roots, mozilla.limits, constraints)
    issuer, issuer_undecided = _served_issuer(served)
    return TrustDecision(
        source=TrustSource.NOTHING,
        trusted_if_valid=False,
        path=path,
        label="",
        failure=refused
        or (is_cut and NOTHING_SIGNED)
        or failure_of(
            first,
            last,
            is_known=is_known,
            is_public=TrustSource.MOZILLA_ROOT in knowing,
            is_alone=len(path) == 1,
        ),
        issuer=issuer,
        issuer_undecided=issuer_undecided,
        issuer_missing=not (last.view.is_self_issued or is_known or is_cut),
    )
