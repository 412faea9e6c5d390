"""Paths from a leaf to an anchor, proven at one instant. Names are judged elsewhere: a path is verified for a name of the leaf itself."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import PublicKeyAlgorithmOID
from cryptography.x509.verification import ServerVerifier, Subject, VerificationError

from otpc_policy.core.facts import KeyType
from otpc_policy.pki.anchors import SERVER_AUTH, AnchorSet
from otpc_policy.pki.certificate import DECODING_ERRORS, DecodedCertificate
from otpc_policy.pki.constraints import constraints_permit
from otpc_policy.pki.roots import RootLimit
from otpc_policy.pki.search import candidate_paths
from otpc_policy.pki.signatures import SignatureChecks, is_issued_by

_WEAK_HASHES = frozenset({"md5", "sha1", "unknown"})
# CA/B Forum Baseline Requirements 6.1.5, which cryptography's verifier demands of authorities too.
_MIN_RSA_BITS = 2048
_PUBLIC_CURVES = frozenset({"EC secp256r1", "EC secp384r1", "EC secp521r1"})
# The grammar of the verifier: RFC 1034 3.5 with RFC 1123 2.1. An underscore, for one, is refused.
_MAX_NAME_LENGTH = 253
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DNS_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")


@dataclass(frozen=True, slots=True)
class ProvenPath:
    """certificates: leaf first, without the anchor. anchor: the trusted certificate that issued the last one."""

    certificates: tuple[DecodedCertificate, ...]
    anchor: DecodedCertificate


def find_path(
    leaf: DecodedCertificate,
    intermediates: Sequence[DecodedCertificate],
    anchors: AnchorSet,
    *,
    checks: SignatureChecks,
    limits: Mapping[str, RootLimit],
    at: datetime,
) -> ProvenPath | None:
    """Return a path from the leaf to one of the anchors that is valid at the instant, or None.

    limits: how far which anchors are trusted, by SHA-256.
    A leaf without SAN has none: see find_direct_issue. A leaf that is itself an anchor has none: it would be a pin by another name.
    A leaf whose keyUsage leaves digitalSignature out has none: it cannot sign a handshake, and every suite with forward secrecy wants that
    (RFC 5246 7.4.2, RFC 8446 4.4.2.2). cryptography does not ask.
    Source: RFC 5280 6, the web PKI's profile by cryptography.x509.verification.
    """
    name = _name_of(leaf)
    if anchors.are_public and not has_public_kind_of_key(leaf):
        return None
    if anchors.builder is None or name is None or leaf.certificate in anchors.by_certificate or not leaf.may_sign_handshakes:
        return None
    for path in candidate_paths(leaf, intermediates, anchors, checks, at):
        try:
            verifier: ServerVerifier = anchors.builder.time(at).build_server_verifier(name)
            chain = verifier.verify(leaf.certificate, [one.certificate for one in path[1:]])
        except (VerificationError, *DECODING_ERRORS):
            continue
        anchor = anchors.by_certificate.get(chain[-1])
        proven = tuple(one for one in path if one.certificate in chain[:-1])
        if anchor is None or tuple(one.certificate for one in proven) != tuple(chain[:-1]):
            continue
        checks.take_for_issued((*proven, anchor))
        if not constraints_permit((*proven, anchor)):
            continue
        if anchor.view.sha256 not in limits or not limits[anchor.view.sha256].refusal(leaf):
            return ProvenPath(proven, anchor)
    return None


def has_public_kind_of_key(leaf: DecodedCertificate) -> bool:
    """The key is of a kind that public authorities may certify for servers. cryptography asks that of authorities only.

    Source: Baseline Requirements 6.1.1.3, 6.1.5, 7.1.3.1.1 (RSA: not for PSS alone). Its length is judged elsewhere.
    """
    if leaf.view.key_type is KeyType.RSA:
        return leaf.certificate.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5
    return leaf.view.key_name in _PUBLIC_CURVES


def find_direct_issue(leaf: DecodedCertificate, anchors: AnchorSet, at: datetime) -> ProvenPath | None:
    """Return the path of a leaf that has only a common name and that an anchor issued itself, or None.

    The verifier needs a SAN, so the rest of RFC 5280 6 is checked here; with the path this short, little of it is left.
    """
    if leaf.has_subject_alt_name or leaf.is_ca or leaf.has_unknown_critical or leaf.view.signature_hash in _WEAK_HASHES:
        return None
    if not leaf.may_sign_handshakes or (leaf.purposes is not None and SERVER_AUTH not in leaf.purposes):
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
            and constraints_permit((leaf, anchor))
            and is_issued_by(leaf, anchor)
        ):
            return ProvenPath((leaf,), anchor)
    return None


def _minimum_bits(anchor: DecodedCertificate) -> int:
    return _MIN_RSA_BITS if anchor.view.key_name.startswith(("RSA", "DSA")) else 256


def _name_of(leaf: DecodedCertificate) -> Subject | None:
    """Return a name that the leaf has, in the form the verifier takes; a label stands in for a wildcard. None if it has none."""
    for pattern in leaf.dns_names:
        name = "label." + pattern[2:] if pattern.startswith("*.") else pattern
        if len(name) <= _MAX_NAME_LENGTH and _DNS_NAME.match(name):
            return x509.DNSName(name)
    return x509.IPAddress(leaf.ip_addresses[0]) if leaf.ip_addresses else None
