"""Which certificates may lead from a leaf to an anchor, in which order: a search by names and signatures, bounded whatever was served.

The verifier of cryptography searches for itself, and never ends on certificates that certify each other: a dozen with two names and one
key keep it busy for hours (cryptography 46). So it is only ever given one path, and no more than a few paths of a chain are tried.
Source: RFC 4158 2.4.1, 3.5 (loop detection, and trying the likely first).
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from otpc_policy.pki.anchors import AnchorSet
from otpc_policy.pki.certificate import DecodedCertificate
from otpc_policy.pki.signatures import SignatureChecks

# The depth to which cryptography's verifier goes. Public paths have one to three intermediates.
MAX_INTERMEDIATES = 8
# Two roads for each of two cross-signed intermediates are four; the rest is for the careless.
MAX_PATHS = 16
# An authority that renews its key certifies new with old and old with new (RFC 4210 4.4).
_MAX_SAME_NAME = 3


def candidate_paths(
    leaf: DecodedCertificate, intermediates: Sequence[DecodedCertificate], anchors: AnchorSet, checks: SignatureChecks, at: datetime
) -> Iterator[tuple[DecodedCertificate, ...]]:
    """Yield paths for the verifier to prove, leaf first, without the anchor; at most MAX_PATHS.

    Where there is a choice, signatures tell: an anchor before a certificate, one that is valid at the instant before others, then as served.
    Where only one certificate bears the name, its signature is left to the verifier, which looks at every one: a second look would be
    a sixth of what a chain costs, and a wrong signature ends the path there as it would here.
    No name and key comes twice on a path: it would lead nowhere that it does not lead without the loop.
    """
    ordered = sorted((one for one in intermediates if one.is_ca), key=lambda one: not one.is_valid_at(at))
    for number, path in enumerate(_extensions((leaf,), ordered, anchors, checks)):
        if number == MAX_PATHS:
            return
        yield path


def _extensions(
    path: tuple[DecodedCertificate, ...], intermediates: Sequence[DecodedCertificate], anchors: AnchorSet, checks: SignatureChecks
) -> Iterator[tuple[DecodedCertificate, ...]]:
    last = path[-1]
    if any(checks.has_issued(anchor, last) for anchor in anchors.by_subject.get(last.view.issuer, ())):
        yield path
    if len(path) > MAX_INTERMEDIATES:
        return
    named = [one for one in intermediates if one.view.subject == last.view.issuer]
    for one in named:
        if _leads_on(one, path) and (len(named) == 1 or checks.has_issued(one, last)):
            yield from _extensions((*path, one), intermediates, anchors, checks)


def _leads_on(one: DecodedCertificate, path: Sequence[DecodedCertificate]) -> bool:
    of_same_name = [other for other in path if other.view.subject == one.view.subject]
    return len(of_same_name) < _MAX_SAME_NAME and all(other.view.spki_sha256 != one.view.spki_sha256 for other in of_same_name)
