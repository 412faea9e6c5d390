"""Why a leaf does not chain to a trusted anchor, in a sentence that can be mailed on.

The sentence names the certificate, what is wrong with it, and what is required. Three stages, of
which the first that fails is reported:

1. A path whose signatures lead to an anchor is looked for, whatever its certificates may do. What
   then refuses it is what refuses it when paths are proven: the same functions are asked.
2. Without one, what is reported is how the served path ends: with a certificate whose issuer is
   known by name but whose signature its key did not make, or with one whose issuer is not known.
3. What would cost too much to be found out is not looked for. The decision does not rest on it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from otpc_policy.pki.anchors import AnchorSet
from otpc_policy.pki.budget import TooComplexError
from otpc_policy.pki.constraints import ConstraintChecks
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.paths import flaw_of_candidate
from otpc_policy.pki.roots import RootLimit
from otpc_policy.pki.search import MAX_INTERMEDIATES, Candidate, candidate_paths
from otpc_policy.pki.served import ServedChain
from otpc_policy.pki.signature_algorithm import UNKNOWN_HASH
from otpc_policy.pki.signatures import is_too_costly
from otpc_policy.pki.validation import flaw_of_authority, flaw_of_leaf

_REQUIRED = "a path to a Mozilla root, or an anchor or pin configured for this host, required"
NOTHING_SIGNED = f"no signatures lead from it to a root that is trusted for this host; {_REQUIRED}"
LEAF_UNREADABLE = f"the leaf cannot be decoded; {_REQUIRED}"
ONLY_DATES = "a certificate on the path is outside its validity; validity required now"
_NOT_FOUND_OUT = f"no path to it passes validation (RFC 5280 section 6); {_REQUIRED}"


@dataclass(frozen=True, slots=True)
class TrustedSet:
    """Anchors that are trusted for the host. limits: how far, by their SHA-256."""

    anchors: AnchorSet
    limits: Mapping[str, RootLimit]


@dataclass(frozen=True, slots=True)
class TrustFailure:
    """Why, for people. issuer_missing: an issuer was not served, and nobody has its name."""

    reason: str
    issuer_missing: bool = False


def failure_of(
    served: ServedChain,
    path: Sequence[DecodedCertificate],
    sets: Sequence[TrustedSet],
    *,
    constraints: ConstraintChecks,
    at: datetime,
) -> TrustFailure:
    """Say why no path is valid at the instant.

    path: by signatures, served, leaf first, not empty.
    """
    leaf = path[0]
    if len(path) == 1 and leaf.view.is_self_issued:
        return TrustFailure(
            f"the certificate is self-signed, and no pin for this host equals it; {_REQUIRED}"
        )
    try:
        for trusted in sets:
            for candidate in candidate_paths(
                leaf, served.intermediates(), trusted.anchors, served.checks
            ):
                return TrustFailure(_flaw_of(candidate, trusted, served, constraints, at))
        return _end_of(path, served, sets)
    except TooComplexError:
        return TrustFailure(_NOT_FOUND_OUT)


def _flaw_of(
    candidate: Candidate,
    trusted: TrustedSet,
    served: ServedChain,
    constraints: ConstraintChecks,
    at: datetime,
) -> str:
    """Say why a path by signatures does not hold at the instant."""
    leaf, *authorities = candidate.certificates
    profile = trusted.anchors.profile
    if not leaf.has_subject_alt_name and (profile.is_public or authorities):
        return (
            "the leaf has no subjectAltName; one with the host name, or a pin or direct issue by an"
            " anchor configured for this host, required"
        )
    by_common_name = not leaf.has_subject_alt_name
    if flaw := flaw_of_leaf(leaf, profile, by_common_name=by_common_name):
        return flaw.replace("its ", "the leaf's ", 1) if flaw.startswith("its ") else flaw
    for authority in reversed(authorities):
        if flaw := flaw_of_authority(authority, profile):
            return f"{authority.title} cannot stand on the path: {flaw}"
    return (
        flaw_of_candidate(
            candidate,
            trusted.anchors,
            trusted.limits,
            checks=served.checks,
            constraints=constraints,
        )
        or _flaw_of_dates(candidate, at)
        or _NOT_FOUND_OUT
    )


def _flaw_of_dates(candidate: Candidate, at: datetime) -> str:
    """Say which certificate is out of date, or that all of them never were valid together.

    An expired leaf under an anchor that is valid is reported by its own finding; this is about what
    no renewal of the served certificates alone would mend.
    """
    anchor = candidate.anchor
    if not anchor.is_valid_at(at):
        is_early = at < anchor.view.not_before
        what = "is not valid before" if is_early else "expired at"
        when = anchor.view.not_before if is_early else anchor.view.not_after
        return f"the trusted root {anchor.title} {what} {_instant(when)}; a root valid now required"
    path = (*candidate.certificates, anchor)
    first = min(path, key=lambda certificate: certificate.view.not_after)
    last = max(path, key=lambda certificate: certificate.view.not_before)
    if first.view.not_after < last.view.not_before:
        return (
            f"{first.title} expired at {_instant(first.view.not_after)}, before {last.title} became"
            f" valid at {_instant(last.view.not_before)}; certificates that are valid at the same"
            " time required"
        )
    return ""


def _end_of(
    path: Sequence[DecodedCertificate], served: ServedChain, sets: Sequence[TrustedSet]
) -> TrustFailure:
    """Say why the path by signatures leads to no anchor. Raises TooComplexError."""
    last = path[-1]
    if len(path) > MAX_INTERMEDIATES + 1 and any(_anchors_named(last, sets)):
        return TrustFailure(
            f"the path has {len(path) - 1} intermediates; {MAX_INTERMEDIATES} at most required"
        )
    for anchor in _anchors_named(last, sets):
        return TrustFailure(_why_not_signed(anchor, last, "is a trusted root"))
    if last.view.is_self_issued and len(path) > 1:
        return TrustFailure(
            f"the path ends at {last.title}, which is not a trusted root for this host; {_REQUIRED}"
        )
    namesakes = [
        other
        for other in served.certificates[1:]
        if other is not None and other.subject.key == last.issuer.key
    ]
    for other in namesakes:
        if not served.checks.has_issued(other, last):
            return TrustFailure(_why_not_signed(other, last, "was served"))
    if namesakes:
        return TrustFailure(
            f"{last.title} and {last.issuer_title} certify each other, and no trusted root"
            f" certifies either; {_REQUIRED}",
            issuer_missing=True,
        )
    if served.unread:
        return TrustFailure(NOTHING_SIGNED)
    unread = ", or cannot be decoded," if served.malformed else ""
    return TrustFailure(
        f"{last.issuer_title}, the issuer of {last.title}, was not served{unread}"
        f" and is not a trusted root for this host; {_REQUIRED}",
        issuer_missing=True,
    )


def _anchors_named(
    certificate: DecodedCertificate, sets: Sequence[TrustedSet]
) -> Iterator[DecodedCertificate]:
    """Yield the anchors with the name of the issuer."""
    for trusted in sets:
        yield from trusted.anchors.by_subject.get(certificate.issuer.key, ())


def _why_not_signed(issuer: DecodedCertificate, child: DecodedCertificate, known: str) -> str:
    """Say why a certificate with the issuer's name is not the issuer."""
    named = f"{issuer.title}, which {child.title} names as its issuer, {known}"
    algorithm = child.signature_algorithm
    if is_too_costly(issuer):
        return (
            f"{named}, but its key, {issuer.view.key_name}, is too large to be used;"
            " RSA of at most 8,192 bits with a usual exponent required"
        )
    if not child.has_one_algorithm:
        return (
            f"{child.title} names two algorithms for its signature; the same one inside and outside"
            " required (RFC 5280 4.1.1.2)"
        )
    if algorithm.hash_name == UNKNOWN_HASH or not algorithm.is_usable:
        return (
            f"the signature on {child.title} uses {child.view.signature_algorithm}, which cannot be"
            " verified here; RSA, ECDSA or EdDSA with SHA-256 or better required"
        )
    if issuer.key is None:
        return (
            f"{named}, but its key, {issuer.view.key_name}, cannot verify signatures here;"
            " an RSA, ECDSA or EdDSA key required"
        )
    return (
        f"{named}, but its key did not make the signature on {child.title}: one of the two was"
        " altered, or is another certificate of that name; the issuer whose key signed it required"
    )


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
