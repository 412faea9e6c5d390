"""Who vouches for the leaf: Mozilla's roots, a pin, an anchor of the operator, or an anchor of the request."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from otpc_policy.pki.anchors import SERVER_AUTH, AnchorSet, partner_anchor_set, unkept_partner_anchor_set, web_anchor_set
from otpc_policy.pki.certificate import DecodedCertificate
from otpc_policy.pki.judgement import TrustSource
from otpc_policy.pki.paths import ProvenPath, find_direct_issue, find_path, has_public_kind_of_key
from otpc_policy.pki.roots import RootLimit
from otpc_policy.pki.served import ServedChain
from otpc_policy.pki.trust import Trust, TrustEntry

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustDecision:
    """path: positions in the served chain. issuer: who issued the leaf, if that is proven; may be an anchor that was not served."""

    source: TrustSource
    trusted_if_valid: bool
    path: tuple[int, ...]
    label: str
    failure: str = ""
    ends_at: datetime | None = None
    issuer: DecodedCertificate | None
    issuer_missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Voucher:
    """A set of anchors and in whose name they stand. Only anchors that somebody chose for this host may vouch for a common name."""

    source: TrustSource
    anchors: AnchorSet
    entry: TrustEntry | None = None
    limits: Mapping[str, RootLimit] = field(default_factory=dict)

    @property
    def allows_common_name(self) -> bool:
        return self.source is not TrustSource.MOZILLA_ROOT


def decide_trust(served: ServedChain, *, server_name: str | None, trust: Trust, request_anchors: Sequence[bytes], at: datetime) -> TrustDecision:
    """Say what vouches for the leaf at the instant, and if nothing does, whether only dates stand in the way.

    Order: Mozilla's roots first, since what everybody trusts needs no note of ours and ends with no entry. Then a pin: it is the
    narrowest statement, and it makes everything else the server sends irrelevant. Then the operator's anchors, then the request's.
    Of several entries the one that lasts longest counts.
    """
    leaf = served.leaf
    if leaf is None:
        return TrustDecision(source=TrustSource.NOTHING, trusted_if_valid=False, path=(), label="", failure="the leaf cannot be decoded", issuer=None)
    entries = () if server_name is None else trust.entries_for(server_name, at)
    lasting = sorted(entries, key=lambda entry: entry.ends_at or _NEVER, reverse=True)
    mozilla = _Voucher(source=TrustSource.MOZILLA_ROOT, anchors=web_anchor_set(tuple(trust.mozilla_roots)), limits=trust.root_limits)
    chosen = tuple(_chosen_vouchers(lasting, request_anchors))
    if found := _find(served, leaf, mozilla, at):
        return _decision(served, mozilla, found, is_valid=True)
    for entry in lasting:
        if leaf.view.sha256 in entry.certificate_pins or leaf.view.spki_sha256 in entry.spki_pins:
            return _pinned(served, entry)
    for voucher in chosen:
        if found := _find(served, leaf, voucher, at):
            return _decision(served, voucher, found, is_valid=True)
    vouchers = (mozilla, *chosen)
    return _if_valid(served, leaf, vouchers, at) or _untrusted(served, vouchers)


def _chosen_vouchers(entries: Sequence[TrustEntry], request_anchors: Sequence[bytes]) -> Iterator[_Voucher]:
    for entry in entries:
        if entry.anchors:
            yield _Voucher(source=TrustSource.ANCHOR, anchors=partner_anchor_set(entry.anchors), entry=entry)
    if request_anchors:
        yield _Voucher(source=TrustSource.REQUEST_ANCHOR, anchors=unkept_partner_anchor_set(request_anchors))


def _find(served: ServedChain, leaf: DecodedCertificate, voucher: _Voucher, at: datetime) -> ProvenPath | None:
    if leaf.has_subject_alt_name:
        return find_path(leaf, served.intermediates(), voucher.anchors, checks=served.checks, limits=voucher.limits, at=at)
    return find_direct_issue(leaf, voucher.anchors, at) if voucher.allows_common_name else None


def _if_valid(served: ServedChain, leaf: DecodedCertificate, vouchers: Sequence[_Voucher], at: datetime) -> TrustDecision | None:
    """Look for a path at instants when the served path was valid.

    Only if a served certificate on it is outside its validity now, and the anchor is inside: so whoever sees trusted_if_valid
    without trust also sees a certificate that has expired or is not yet valid, and an expired anchor never passes for an expired leaf.
    """
    for instant in _instants(served):
        for voucher in vouchers:
            found = _find(served, leaf, voucher, instant)
            if found is None or not found.anchor.is_valid_at(at):
                continue
            decision = _decision(served, voucher, found, is_valid=False)
            if not all(one.is_valid_at(at) for one in served.along(decision.path)):
                return decision
    return None


def _instants(served: ServedChain) -> tuple[datetime, ...]:
    """A time at which everything was valid, if there is one, is the latest notBefore of the path. Few are tried: each costs a search."""
    path = served.along(served.path())
    leaf = path[0]
    latest = max((one.view.not_before for one in path if not one.view.is_self_issued), default=leaf.view.not_before)
    return tuple(dict.fromkeys((latest, leaf.view.not_before, leaf.view.not_after)))


def _decision(served: ServedChain, voucher: _Voucher, found: ProvenPath, *, is_valid: bool) -> TrustDecision:
    positions = {one.view.sha256: index for index, one in reversed(tuple(enumerate(served.certificates))) if one is not None}
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
    return TrustDecision(
        source=TrustSource.PIN,
        trusted_if_valid=True,
        path=(0,),
        label=entry.note or "pinned certificate",
        ends_at=entry.ends_at,
        issuer=_served_issuer(served),
    )


def _served_issuer(served: ServedChain) -> DecodedCertificate | None:
    path = served.along(served.path())
    return path[1] if len(path) > 1 else None


def _untrusted(served: ServedChain, vouchers: Sequence[_Voucher]) -> TrustDecision:
    path = served.path()
    certificates = served.along(path)
    first, last = certificates[0], certificates[-1]
    knowing = {voucher.source for voucher in vouchers if last.view.issuer in voucher.anchors.by_subject}
    is_known = bool(knowing)
    issuer_missing = not last.view.is_self_issued and not is_known
    return TrustDecision(
        source=TrustSource.NOTHING,
        trusted_if_valid=False,
        path=path,
        label="",
        failure=_refused_by_limit(first, last, vouchers[0])
        or _failure(first, last, is_known=is_known, is_public=TrustSource.MOZILLA_ROOT in knowing, is_alone=len(path) == 1),
        issuer=_served_issuer(served),
        issuer_missing=issuer_missing,
    )


def _refused_by_limit(leaf: DecodedCertificate, last: DecodedCertificate, mozilla: _Voucher) -> str:
    """Say how Mozilla limits the root to which the served path leads, if that refuses the leaf. "" if not."""
    reached = (one for one in mozilla.anchors.anchors if one.view.sha256 == last.view.sha256 or one.view.subject == last.view.issuer)
    refusals = (mozilla.limits[one.view.sha256].refusal(leaf) for one in reached if one.view.sha256 in mozilla.limits)
    return next((one for one in refusals if one), "")


def _failure(leaf: DecodedCertificate, last: DecodedCertificate, *, is_known: bool, is_public: bool, is_alone: bool) -> str:
    """Say why nothing vouches for the leaf, in our own words: the library's are for programmers."""
    if is_alone and leaf.view.is_self_issued:
        return "the certificate is self-signed, and no pin for this host equals it"
    if last.view.is_self_issued and not is_known:
        return f"the path ends at {last.view.subject}, which is no trusted root for this host"
    if not is_known:
        return f"{last.view.issuer}, the issuer of {last.view.subject}, was not served and is no trusted root for this host"
    if not leaf.has_subject_alt_name:
        return "the leaf has no subjectAltName; without it only a pin or direct issue by an anchor configured for this host is trusted"
    if leaf.purposes is not None and SERVER_AUTH not in leaf.purposes:
        return "the leaf's extended key usage does not include serverAuth"
    if not leaf.may_sign_handshakes:
        return "the leaf's key usage does not include digitalSignature, without which its key cannot sign a handshake (RFC 8446 4.4.2.2)"
    if leaf.is_ca:
        return "the leaf is a CA certificate"
    if is_public and not has_public_kind_of_key(leaf):
        return f"the leaf's key, {leaf.view.key_name}, is of a kind that no public root may certify (Baseline Requirements 6.1.5, 7.1.3.1)"
    return f"the path to {last.view.issuer} does not pass validation (RFC 5280 section 6): signature, algorithm, key, validity, purpose or constraints"
