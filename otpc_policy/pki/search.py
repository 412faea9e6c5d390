"""Which certificates may lead from a leaf to an anchor, in which order, by names and signatures.

Certificates that certify each other make more paths than anybody can count, so no name and key
comes twice on a path, and every step of the search is paid for, as is every signature. What each
certificate may do by itself has been looked at before; what all together may do, and their names,
are looked at once every signature of a path is known to be good.

Source: RFC 4158 2.4.1, 3.5 (loop detection, and trying the likely first).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from otpc_policy.pki.anchors import AnchorSet
from otpc_policy.pki.budget import TooComplexError, Work
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.served import ServedChain
from otpc_policy.pki.signatures import SignatureChecks

# Public paths have one to three intermediates.
MAX_INTERMEDIATES = 8
# An authority that renews its key certifies new with old and old with new (RFC 4210 4.4).
_MAX_SAME_NAME = 3
# A step, and each certificate of the wanted name that is looked at.
_UNITS_PER_STEP, _UNITS_PER_LOOK = 6, 3

Path = tuple[DecodedCertificate, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A path by signatures: each certificate was signed by the next, the last by the anchor.

    certificates: leaf first, without the anchor.
    """

    certificates: Path
    anchor: DecodedCertificate


def candidate_paths(
    leaf: DecodedCertificate,
    intermediates: Sequence[DecodedCertificate],
    anchors: AnchorSet,
    checks: SignatureChecks,
) -> Iterator[Candidate]:
    """Yield paths whose names and signatures are good, for somebody to prove the rest.

    intermediates: those that may issue. Where there is a choice, an anchor comes before a
    certificate, and certificates come as served. Raises TooComplexError in between: there may be
    more paths.
    """
    by_subject: dict[bytes, list[DecodedCertificate]] = {}
    for certificate in intermediates:
        by_subject.setdefault(certificate.subject.key, []).append(certificate)
    yield from _extensions((leaf,), by_subject, anchors, checks)


def _extensions(
    path: Path,
    by_subject: Mapping[bytes, Sequence[DecodedCertificate]],
    anchors: AnchorSet,
    checks: SignatureChecks,
) -> Iterator[Candidate]:
    wanted = path[-1].issuer.key
    roots, authorities = anchors.by_subject.get(wanted, ()), by_subject.get(wanted, ())
    units = _UNITS_PER_STEP + _UNITS_PER_LOOK * (len(roots) + len(authorities))
    checks.budget.spend(units, Work.SEARCH, "too many paths lead through its certificates")
    for anchor in roots:
        if _leads_on(anchor, path, checks):
            yield Candidate(path, anchor)
    if len(path) > MAX_INTERMEDIATES:
        return
    for certificate in authorities:
        if _same_name(certificate, path) < _MAX_SAME_NAME and _leads_on(certificate, path, checks):
            yield from _extensions((*path, certificate), by_subject, anchors, checks)


def _same_name(certificate: DecodedCertificate, path: Path) -> int:
    return sum(other.subject.key == certificate.subject.key for other in path)


def _leads_on(certificate: DecodedCertificate, path: Path, checks: SignatureChecks) -> bool:
    """The certificate issued the last one of the path, and no other there is its issuer or issued.

    No name and key comes twice: it would lead nowhere that it does not lead without the loop. A key
    can be written in more than one way, so among certificates of one name it is the signatures that
    tell.
    """
    last = path[-1]
    of_same_name = [other for other in path if other.subject.key == certificate.subject.key]
    return (
        all(other.view.spki_sha256 != certificate.view.spki_sha256 for other in of_same_name)
        and checks.has_issued(certificate, last)
        and not any(checks.has_issued(certificate, lower) for lower in path[:-1])
        and not any(checks.has_issued(other, last) for other in of_same_name)
    )


def may_lead_to_anchor(served: ServedChain, sets: Sequence[AnchorSet]) -> bool:
    """A certificate that was not read may stand on a path to one of the anchors, or be one of them.

    Signatures alone tell, and they are verified without reading what a certificate says. So where
    this is False, nothing that is in the unread certificates could make a path. Where a signature
    itself cannot be paid for, it is True.
    """
    try:
        return _reaches_anchor(served, sets)
    except TooComplexError:
        return True


def _reaches_anchor(served: ServedChain, sets: Sequence[AnchorSet]) -> bool:
    if None in served.skeletons.values() or any(None in anchors.skeletons for anchors in sets):
        return True
    has_issued = served.checks.has_issued
    authorities = [
        (position, certificate)
        for position in range(1, len(served.certificates))
        if (certificate := served.signed(position)) is not None
    ]
    leaf = served.signed(0)
    # Each certificate that is reached, and whether on the way there one was not read.
    reached = [] if leaf is None else [(leaf, 0 in served.unread)]
    seen = set()
    while reached:
        lower, is_unread = reached.pop()
        for anchors in sets:
            known = anchors.by_subject.get(lower.issuer.key, ()) if is_unread else ()
            if any(
                has_issued(certificate, lower)
                for certificate in (*known, *anchors.skeletons)
                if certificate
            ):
                return True
        for position, upper in authorities:
            step = (position, is_unread or position in served.unread)
            if step not in seen and has_issued(upper, lower):
                seen.add(step)
                reached.append((upper, step[1]))
    return False
