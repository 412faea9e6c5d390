"""Why a leaf does not chain to a trusted anchor, in words for operators, not programmers."""

from collections.abc import Mapping, Sequence

from otpc_policy.pki.certificate import DecodedCertificate
from otpc_policy.pki.constraints import ConstraintChecks
from otpc_policy.pki.roots import RootLimit
from otpc_policy.pki.validation import Profile, flaw_of_authority, flaw_of_leaf

NOTHING_SIGNED = "no signatures lead from it to a root that is trusted for this host"


def failure_of(
    leaf: DecodedCertificate,
    last: DecodedCertificate,
    *,
    is_known: bool,
    is_public: bool,
    is_alone: bool,
) -> str:
    """Say why the leaf does not chain to a trusted anchor.

    last: the end of the served path, which is_alone if that is the leaf. is_known: an anchor has
    the name of its issuer; is_public: one of Mozilla's roots has.
    """
    issuer, subject = last.view.issuer, last.view.subject
    if is_alone and leaf.view.is_self_issued:
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
    if last is not leaf and (flaw := flaw_of_authority(last, profile)):
        return f"{subject} cannot stand on the path: {flaw}"
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
