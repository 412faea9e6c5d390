"""Trust anchors prepared for path validation: stores are built once, and with them what each kind of anchor demands of a path."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store

from otpc_policy.core.errors import MalformedCertificate
from otpc_policy.pki.certificate import DecodedCertificate, decode_certificate

SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH.dotted_string


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnchorSet:
    """CA certificates that are trusted together.

    anchors: only those that may issue; a certificate that is no CA vouches for nothing, itself included.
    builder: a verifier's beginning, with store and extension policies; None if there is no anchor.
    are_public: the web PKI's rules about a leaf's key hold too.
    """

    anchors: tuple[DecodedCertificate, ...]
    by_subject: dict[str, tuple[DecodedCertificate, ...]]
    by_certificate: dict[x509.Certificate, DecodedCertificate]
    builder: PolicyBuilder | None
    are_public: bool


@lru_cache(maxsize=4)
def web_anchor_set(anchors: tuple[bytes, ...]) -> AnchorSet:
    """Prepare public roots: the rules of the web PKI, untouched. Building costs some milliseconds, a look-up microseconds."""
    return _anchor_set(anchors, PolicyBuilder(), are_public=True)


@lru_cache(maxsize=1024)
def partner_anchor_set(anchors: tuple[bytes, ...]) -> AnchorSet:
    """Prepare anchors that an operator configured."""
    return unkept_partner_anchor_set(anchors)


def unkept_partner_anchor_set(anchors: Sequence[bytes]) -> AnchorSet:
    """Prepare anchors that came with a request: the same rules, and callers cannot push the operator's out of the cache."""
    return _anchor_set(anchors, PolicyBuilder().extension_policies(ca_policy=_partner_ca_policy(), ee_policy=_partner_leaf_policy()), are_public=False)


def problem_with_anchor(der: bytes) -> str | None:
    """Say why a certificate cannot be an anchor, for whoever configured it, or None. An anchor set passes such certificates over."""
    decoded = _decoded_or_none(der)
    if decoded is None:
        return "cannot be decoded as an X.509 certificate"
    if not (decoded.is_ca and decoded.may_sign_certificates):
        return (
            f"{decoded.view.subject} is not a CA certificate and vouches for nothing; to trust exactly this certificate, pin its SHA-256 {decoded.view.sha256}"
        )
    return None


def _anchor_set(anchors: Sequence[bytes], builder: PolicyBuilder, *, are_public: bool) -> AnchorSet:
    readable = (one for one in map(_decoded_or_none, anchors) if one is not None)
    decoded = tuple(one for one in readable if one.is_ca and one.may_sign_certificates)
    return AnchorSet(
        anchors=decoded,
        by_subject=_by_subject(decoded),
        by_certificate={one.certificate: one for one in decoded},
        builder=builder.store(Store([one.certificate for one in decoded])) if decoded else None,
        are_public=are_public,
    )


def _by_subject(decoded: Sequence[DecodedCertificate]) -> dict[str, tuple[DecodedCertificate, ...]]:
    found: dict[str, tuple[DecodedCertificate, ...]] = {}
    for one in decoded:
        found[one.view.subject] = (*found.get(one.view.subject, ()), one)
    return found


def _decoded_or_none(der: bytes) -> DecodedCertificate | None:
    try:
        return decode_certificate(der)
    except MalformedCertificate:
        return None


def _partner_ca_policy() -> ExtensionPolicy:
    """Private authorities, as `openssl req -x509` makes them, lack keyUsage, name the issuer in the AKI, or leave basicConstraints uncritical.

    What protects stays: CA:TRUE, keyCertSign where keyUsage is present, purposes, name constraints, path length.
    """
    return (
        ExtensionPolicy.webpki_defaults_ca()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _require_ca)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _require_certificate_signing)
        .may_be_present(x509.AuthorityKeyIdentifier, Criticality.AGNOSTIC, None)
    )


def _partner_leaf_policy() -> ExtensionPolicy:
    """A critical SAN and a missing AKI do no harm; the purpose is demanded as ever."""
    return (
        ExtensionPolicy.webpki_defaults_ee()
        .require_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
        .may_be_present(x509.AuthorityKeyIdentifier, Criticality.AGNOSTIC, None)
        .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _require_server_auth)
    )


def _require_ca(_policy: Policy, _certificate: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("not a CA")


def _require_certificate_signing(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("keyCertSign is not set")


def _require_server_auth(_policy: Policy, _certificate: x509.Certificate, purposes: x509.ExtendedKeyUsage | None) -> None:
    if purposes is not None and ExtendedKeyUsageOID.SERVER_AUTH not in purposes:
        raise ValueError("serverAuth is not among the purposes")
