"""Why a leaf does not chain to a trusted anchor, in words for operators, not programmers."""

from collections.abc import Mapping, Sequence

from otpc_policy.pki.constraints import ConstraintChecks
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.roots import RootLimit
from otpc_policy.pki.validation import (
    Profile,
    flaw_of_authority,
    flaw_of_leaf,
    flaw_of_lengths,
)

NOTHING_SIGNED = "no signatures lead from it to a root that is trusted for this host"


def failure_of(
    path: Sequence[DecodedCertificate], anchors: Sequence[DecodedCertificate], *, is_public: bool
) -> str:
    """Say why the leaf does not chain to a trusted anchor.

    path: served, leaf first, not empty. anchors: those with the name of the issuer of its end.
    is_public: one of Mozilla's roots is among them.
    """
    leaf, last, is_known = path[0], path[-1], bool(anchors)
    issuer, subject = last.view.issuer, last.view.subject
    if last is leaf and leaf.view.is_self_issued:
        return "the certificate is self-signed, and no pin for this host equals it"
    if last.view.is_self_issued and not is_known:
        return f"the path ends at {subject}, which is no trusted root for this host"
    if not is_known:
        return (
            f"{issuer}, the issuer of {subject}, was not served"
            " and is no trusted root for this host"
        )
    if not leaf.has_subject_alt_name:
        return (
            "the leaf has no subjectAltName; without it only a pin or direct issue by an anchor"
            " configured for this host is trusted"
        )
    profile = Profile(is_public=is_public)
    if flaw := flaw_of_leaf(leaf, profile):
        return flaw.replace("its ", "the leaf's ", 1) if flaw.startswith("its ") else flaw
    for authority in reversed(path[1:]):
        if flaw := flaw_of_authority(authority, profile):
            return f"{authority.view.subject} cannot stand on the path: {flaw}"
    too_long = [flaw_of_lengths((*path, anchor)) for anchor in anchors]
    if all(too_long):
        return f"the path to {issuer} is too long: {too_long[0]}"
    return (
        f"the path to {issuer} does not pass validation (RFC 5280 section 6):"
        " signature, algorithm, key, validity, purpose or constraints"
    )


def refusal_by_limit(
    leaf: DecodedCertificate,
    last: DecodedCertificate,
    by_subject: Mapping[bytes, Sequence[DecodedCertificate]],
    limits: Mapping[str, RootLimit],
    constraints: ConstraintChecks,
) -> str:
    """Say how the limits of the root that the served path leads to refuse the leaf, or "".

    last: the end of that path. by_subject: Mozilla's roots. limits: by their SHA-256.
    Raises TooComplexError.
    """
    same_subject = by_subject.get(last.subject.key, ())
    reached = [root for root in same_subject if root.view.sha256 == last.view.sha256]
    reached += by_subject.get(last.issuer.key, ())
    reached_limits = [limits[root.view.sha256] for root in reached if root.view.sha256 in limits]
    refusals = (limit.refusal(leaf, constraints) for limit in reached_limits)
    return next((refusal for refusal in refusals if refusal), "")
