"""Trust anchors prepared for path validation, and what each kind of anchor demands of a path."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache

from otpc_policy.core.errors import MalformedCertificate
from otpc_policy.pki.budget import TooComplexError, Work, WorkBudget
from otpc_policy.pki.certificate import decode_certificate, read_certificate, skeleton_or_none
from otpc_policy.pki.decoded_certificate import DecodedCertificate, Skeleton
from otpc_policy.pki.extensions import BASIC_CONSTRAINTS, KEY_USAGE, NAMES_OF_EXTENSIONS
from otpc_policy.pki.validation import Profile

_PUBLIC, _PRIVATE = Profile(is_public=True), Profile(is_public=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnchorSet:
    """CA certificates that are trusted together.

    by_subject: only CA certificates, by the key of their name; another is no anchor, not even for
    itself. profile: what is asked of paths to them. unread: why some of them
    were not read, for people; "" if all were. skeletons: of exactly those; None where not even that
    could be had.
    """

    by_subject: Mapping[bytes, tuple[DecodedCertificate, ...]]
    profile: Profile
    unread: str = ""
    skeletons: tuple[Skeleton | None, ...] = ()

    def holds(self, certificate: DecodedCertificate) -> bool:
        """The certificate is itself one of the anchors."""
        same_subject = self.by_subject.get(certificate.subject.key, ())
        return any(anchor.view.sha256 == certificate.view.sha256 for anchor in same_subject)


@lru_cache(maxsize=4)
def web_anchor_set(anchors: tuple[bytes, ...]) -> AnchorSet:
    """Prepare public roots, with the rules of the web PKI. Costs some milliseconds, once."""
    return _anchor_set(map(_decoded_or_none, anchors), _PUBLIC)


@lru_cache(maxsize=1024)
def partner_anchor_set(anchors: tuple[bytes, ...]) -> AnchorSet:
    """Prepare anchors that an operator configured."""
    return _anchor_set(map(_decoded_or_none, anchors), _PRIVATE)


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
    prepared = _anchor_set(decoded, _PRIVATE)
    return replace(prepared, unread=next(iter(unread), ""), skeletons=tuple(skeletons))


def problem_with_anchor(der: bytes) -> str | None:
    """Say why a certificate cannot be an anchor, for whoever configured it, or None.

    An anchor set leaves such certificates out.
    """
    decoded = _decoded_or_none(der)
    if decoded is None:
        return "cannot be decoded as an X.509 certificate"
    if unread := decoded.extensions.unread & {BASIC_CONSTRAINTS, KEY_USAGE}:
        what = NAMES_OF_EXTENSIONS[min(unread)]
        return f"the {what} of {decoded.view.subject} cannot be read, so it cannot be an anchor"
    if not (decoded.is_ca and decoded.may_sign_certificates):
        return (
            f"{decoded.view.subject} is not a CA certificate, so it cannot be an anchor;"
            f" to trust exactly this certificate, pin its SHA-256 {decoded.view.sha256}"
        )
    return None


def _anchor_set(anchors: Iterable[DecodedCertificate | None], profile: Profile) -> AnchorSet:
    by_subject: dict[bytes, tuple[DecodedCertificate, ...]] = {}
    for anchor in anchors:
        if anchor is not None and anchor.is_ca and anchor.may_sign_certificates:
            key = anchor.subject.key
            by_subject[key] = (*by_subject.get(key, ()), anchor)
    return AnchorSet(by_subject=by_subject, profile=profile)


def _decoded_or_none(der: bytes) -> DecodedCertificate | None:
    try:
        return decode_certificate(der)
    except MalformedCertificate:
        return None
