"""Paths from a leaf to an anchor, proven at one instant. Names are judged elsewhere: a path is verified for a name of the leaf itself."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.verification import ServerVerifier, Subject, VerificationError

from otpc_policy.pki.anchors import SERVER_AUTH, AnchorSet
from otpc_policy.pki.certificate import DecodedCertificate
from otpc_policy.pki.search import candidate_paths
from otpc_policy.pki.signatures import SignatureChecks, is_issued_by

_WEAK_HASHES = frozenset({"md5", "sha1", "unknown"})
# CA/B Forum Baseline Requirements 6.1.5, which cryptography's verifier demands of authorities too.
_MIN_RSA_BITS = 2048
# The grammar of the verifier: RFC 1034 3.5 with RFC 1123 2.1. An underscore, for one, is refused.
_MAX_NAME_LENGTH = 253
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DNS_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")


@dataclass(frozen=True, slots=True)
class ProvenPath:
    """certificates: leaf first, without the anchor. anchor: the trusted certificate that issued the last one."""

    certificates: tuple[x509.Certificate, ...]
    anchor: DecodedCertificate


def find_path(
    leaf: DecodedCertificate, intermediates: Sequence[DecodedCertificate], anchors: AnchorSet, checks: SignatureChecks, at: datetime
) -> ProvenPath | None:
    """Return a path from the leaf to one of the anchors that is valid at the instant, or None.

    A leaf without SAN has none: see find_direct_issue. A leaf that is itself an anchor has none: it would be a pin by another name.
    Source: RFC 5280 6, the web PKI's profile by cryptography.x509.verification.
    """
    name = _name_of(leaf)
    if anchors.builder is None or name is None or leaf.certificate in anchors.by_certificate:
        return None
    for path in candidate_paths(leaf, intermediates, anchors, checks, at):
        try:
            verifier: ServerVerifier = anchors.builder.time(at).build_server_verifier(name)
            chain = verifier.verify(leaf.certificate, [one.certificate for one in path[1:]])
        except (VerificationError, ValueError, TypeError):
            continue
        anchor = anchors.by_certificate.get(chain[-1])
        if anchor is not None and len(chain) > 1:
            return ProvenPath(tuple(chain[:-1]), anchor)
    return None


def find_direct_issue(leaf: DecodedCertificate, anchors: AnchorSet, at: datetime) -> ProvenPath | None:
    """Return the path of a leaf that has only a common name and that an anchor issued itself, or None.

    The verifier needs a SAN, so the rest of RFC 5280 6 is checked here; with the path this short, little of it is left.
    """
    if leaf.has_subject_alt_name or leaf.is_ca or leaf.has_unknown_critical or leaf.view.signature_hash in _WEAK_HASHES:
        return None
    if leaf.purposes is not None and SERVER_AUTH not in leaf.purposes:
        return None
    for anchor in anchors.anchors:
        is_fit = not anchor.has_unknown_critical and not 0 < anchor.view.key_bits < _minimum_bits(anchor)
        is_for_servers = anchor.purposes is None or SERVER_AUTH in anchor.purposes
        is_valid = leaf.is_valid_at(at) and anchor.is_valid_at(at)
        if (
            is_fit
            and is_for_servers
            and is_valid
            and anchor.view.sha256 != leaf.view.sha256
            and leaf.view.issuer == anchor.view.subject
            and _constraints_permit(anchor.name_constraints, leaf.view.common_names)
            and is_issued_by(leaf, anchor)
        ):
            return ProvenPath((leaf.certificate,), anchor)
    return None


def _minimum_bits(anchor: DecodedCertificate) -> int:
    return _MIN_RSA_BITS if anchor.view.key_name.startswith(("RSA", "DSA")) else 256


def _constraints_permit(constraints: x509.NameConstraints | None, common_names: Sequence[str]) -> bool:
    """Apply an anchor's name constraints to common names as if they were DNS names: they are used as such.

    Kinds of constraint that speak of something else than DNS or IP refuse: what is not understood must not pass.
    """
    if constraints is None:
        return True
    permitted, excluded = constraints.permitted_subtrees or [], constraints.excluded_subtrees or []
    if not all(isinstance(one, x509.DNSName | x509.IPAddress) for one in (*permitted, *excluded)):
        return False
    permitted_dns = [one.value for one in permitted if isinstance(one, x509.DNSName)]
    excluded_dns = [one.value for one in excluded if isinstance(one, x509.DNSName)]
    return all(
        (not permitted_dns or any(_is_within(name, subtree) for subtree in permitted_dns)) and not any(_overlaps(name, subtree) for subtree in excluded_dns)
        for name in common_names
    )


def _is_within(name: str, subtree: str) -> bool:
    """Source: RFC 5280 4.2.1.10: zero or more labels added on the left."""
    bare, base = name.lower().removeprefix("*."), subtree.lower().removeprefix(".")
    return not base or bare == base or bare.endswith("." + base)


def _overlaps(name: str, subtree: str) -> bool:
    """A wildcard overlaps an excluded subtree that lies one label below it, too."""
    lowered, base = name.lower(), subtree.lower().removeprefix(".")
    return _is_within(name, subtree) or (lowered.startswith("*.") and _is_within(base, lowered[2:]))


def _name_of(leaf: DecodedCertificate) -> Subject | None:
    """Return a name that the leaf has, in the form the verifier takes; a label stands in for a wildcard. None if it has none."""
    for pattern in leaf.dns_names:
        name = "label." + pattern[2:] if pattern.startswith("*.") else pattern
        if len(name) <= _MAX_NAME_LENGTH and _DNS_NAME.match(name):
            return x509.DNSName(name)
    return x509.IPAddress(leaf.ip_addresses[0]) if leaf.ip_addresses else None
