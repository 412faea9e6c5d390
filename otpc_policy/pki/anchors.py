"""Trust anchors prepared for path validation, and what each kind of anchor demands of a path."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    ServerVerifier,
    Store,
    Subject,
)

from otpc_policy.core.errors import MalformedCertificate
from otpc_policy.pki.budget import TooComplexError, Work, WorkBudget
from otpc_policy.pki.certificate import (
    DecodedCertificate,
    Skeleton,
    decode_certificate,
    read_certificate,
    skeleton_or_none,
)

SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH.dotted_string


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnchorSet:
    """CA certificates that are trusted together.

    by_subject: only those that may issue; a certificate that is not a CA is no anchor, not even for
    itself. are_public: the web PKI's rules about a leaf's key hold too. unread: why some of them
    were not read, for people; "" if all were. skeletons: of exactly those; None where not even that
    could be had.
    """

    by_subject: Mapping[str, tuple[DecodedCertificate, ...]]
    builder: PolicyBuilder
    are_public: bool
    unread: str = ""
    skeletons: tuple[Skeleton | None, ...] = ()

    def holds(self, certificate: DecodedCertificate) -> bool:
        """The certificate is itself one of the anchors."""
        same_subject = self.by_subject.get(certificate.view.subject, ())
        return any(anchor.view.sha256 == certificate.view.sha256 for anchor in same_subject)

    def verifier(self, anchor: DecodedCertificate, name: Subject, at: datetime) -> ServerVerifier:
        """Return cryptography's verifier for a server of that name at an instant.

        Its store holds this anchor alone, so that it cannot wander to another one.
        """
        store = Store([anchor.certificate])
        return self.builder.store(store).time(at).build_server_verifier(name)


@lru_cache(maxsize=4)
def web_anchor_set(anchors: tuple[bytes, ...]) -> AnchorSet:
    """Prepare public roots: the rules of the web PKI, untouched. Costs some milliseconds, once."""
    return _anchor_set(map(_decoded_or_none, anchors), PolicyBuilder(), are_public=True)


@lru_cache(maxsize=1024)
def partner_anchor_set(anchors: tuple[bytes, ...]) -> AnchorSet:
    """Prepare anchors that an operator configured."""
    return _anchor_set(map(_decoded_or_none, anchors), _partner_builder(), are_public=False)


def request_anchor_set(anchors: Sequence[bytes], budget: WorkBudget) -> AnchorSet:
    """Prepare anchors that came with a request: the rules of an operator's, and the chain's budget.

    Nothing of them is kept, so that callers cannot push an operator's anchors out of the cache.
    """
    decoded: list[DecodedCertificate] = []
    unread: list[str] = []
    skeletons: list[Skeleton | None] = []
    for number, der in enumerate(anchors, 1):
        what = f"anchor {number} of the request"
        # Certificates that cannot be decoded cannot be anchors.
        with suppress(MalformedCertificate):
            try:
                decoded.append(read_certificate(der, budget, what, on=Work.ANCHORS))
            except TooComplexError as error:
                skeletons.append(skeleton_or_none(der, budget))
                unread.append(str(error))
    prepared = _anchor_set(decoded, _partner_builder(), are_public=False)
    return replace(prepared, unread=next(iter(unread), ""), skeletons=tuple(skeletons))


def problem_with_anchor(der: bytes) -> str | None:
    """Say why a certificate cannot be an anchor, for whoever configured it, or None.

    An anchor set leaves such certificates out.
    """
    decoded = _decoded_or_none(der)
    if decoded is None:
        return "cannot be decoded as an X.509 certificate"
    if not (decoded.is_ca and decoded.may_sign_certificates):
        return (
            f"{decoded.view.subject} is not a CA certificate, so it cannot be an anchor;"
            f" to trust exactly this certificate, pin its SHA-256 {decoded.view.sha256}"
        )
    return None


def _anchor_set(
    anchors: Iterable[DecodedCertificate | None], builder: PolicyBuilder, *, are_public: bool
) -> AnchorSet:
    by_subject: dict[str, tuple[DecodedCertificate, ...]] = {}
    for anchor in anchors:
        if anchor is not None and anchor.is_ca and anchor.may_sign_certificates:
            subject = anchor.view.subject
            by_subject[subject] = (*by_subject.get(subject, ()), anchor)
    return AnchorSet(by_subject=by_subject, builder=builder, are_public=are_public)


def _partner_builder() -> PolicyBuilder:
    return PolicyBuilder().extension_policies(
        ca_policy=_partner_ca_policy(), ee_policy=_partner_leaf_policy()
    )


def _decoded_or_none(der: bytes) -> DecodedCertificate | None:
    try:
        return decode_certificate(der)
    except MalformedCertificate:
        return None


def _partner_ca_policy() -> ExtensionPolicy:
    """Return what is asked of private authorities, as `openssl req -x509` makes them.

    They lack keyUsage, name the issuer in the AKI, or leave basicConstraints uncritical.
    What protects stays: CA:TRUE, keyCertSign where keyUsage is present, purposes, name constraints,
    path length.
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


def _require_ca(
    _policy: Policy, _certificate: x509.Certificate, constraints: x509.BasicConstraints
) -> None:
    if not constraints.ca:
        raise ValueError("not a CA")


def _require_certificate_signing(
    _policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None
) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("keyCertSign is not set")


def _require_server_auth(
    _policy: Policy, _certificate: x509.Certificate, purposes: x509.ExtendedKeyUsage | None
) -> None:
    if purposes is not None and ExtendedKeyUsageOID.SERVER_AUTH not in purposes:
        raise ValueError("serverAuth is not among the purposes")
