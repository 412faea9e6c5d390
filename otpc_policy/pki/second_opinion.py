"""What the verifier of cryptography says of a path under Mozilla's roots that was proven here.

Its answer changes no verdict. It is counted, because a path that it refuses for a reason that is
not known is a reason to look: one of the two has a fault. It is given the proven path alone, with
one anchor, so that it has nothing to search. What it is known to read otherwise is explained here.
"""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from functools import lru_cache
from threading import Lock

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, Subject, VerificationError

from otpc_policy.pki.budget import TooComplexError, Work
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.extensions import (
    BASIC_CONSTRAINTS,
    EXTENDED_KEY_USAGE,
    KEY_USAGE,
    SUBJECT_KEY_IDENTIFIER,
    kinds_of,
)
from otpc_policy.pki.general_names import ADDRESS, DNS
from otpc_policy.pki.lenient_decoding import DECODING_ERRORS, decoding_leniently
from otpc_policy.pki.signatures import SignatureChecks

# The grammar of the verifier: RFC 1034 3.5 with RFC 1123 2.1. An underscore, for one, is refused.
_MAX_NAME_LENGTH = 253
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DNS_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
# A pattern that it takes has a wildcard as its first label, if any.
_PATTERN = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*\Z")
# What it costs on any path, and what it may cost: one that decides nothing is to leave room for the
# other chains of the endpoint.
_UNITS, _MAX_UNITS = 100, 8_000
_MAX_SERIAL_OCTETS = 21
# What one comparison of a name with a subtree costs it: it takes both apart each time.
_NS_PER_UNIT = 1_000
_NS_PER_COMPARISON, _NS_PER_SUBTREE_BYTE, _NS_PER_NAME_BYTE, _NS_PER_LABEL = 100, 6, 1, 8


class Opinion(Enum):
    """What it says. EXPLAINED: it refuses, and that is known. NOT_ASKED: that would cost too much,
    or it takes no name that the leaf has.
    """

    AGREES = "agrees"
    EXPLAINED = "explained"
    UNEXPLAINED = "unexplained"
    NOT_ASKED = "not_asked"


class Opinions:
    """How often the verifier said what, by opinion and reason. Paths are asked about once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[tuple[Opinion, str]] = Counter()

    def add(self, opinion: Opinion, reason: str) -> None:
        """Count an opinion. reason: "" where there is none."""
        with self._lock:
            self._counts[opinion, reason] += 1

    def counts(self) -> dict[tuple[Opinion, str], int]:
        """Return how often, for metrics."""
        with self._lock:
            return dict(self._counts)


# Of the process, as the cache of answers is: paths are proven under every generation of trust.
OPINIONS = Opinions()
REASONS = (
    "not_readable",
    "dates",
    "serial_number",
    "names_of_issuers",
    "self_issued",
    "name_constraints",
    "policies",
    "anchor",
    "extensions",
)


def second_opinion(
    path: Sequence[DecodedCertificate],
    at: datetime,
    *,
    checks: SignatureChecks,
) -> tuple[Opinion, str]:
    """Return what the verifier says, and why if it is known to refuse such a path.

    path: proven, leaf first, the anchor last; all valid at the instant. The budget pays if there is
    enough left; else nothing is asked.
    """
    name = _name_of(path[0])
    if name is None:
        return Opinion.NOT_ASKED, ""
    try:
        units = _units(path, checks)
        if units > _MAX_UNITS:
            return Opinion.NOT_ASKED, ""
        checks.budget.spend(units, Work.VERIFIER, "the path costs too much to be looked at twice")
    except TooComplexError:
        return Opinion.NOT_ASKED, ""
    known = _answers(tuple(certificate.view.sha256 for certificate in path))
    if not known:
        known.append(_ask(path, name, at))
        OPINIONS.add(*known[0])
    return known[0]


# A chain is judged again when it is seen again.
@lru_cache(maxsize=2_048)
def _answers(_path: tuple[str, ...]) -> list[tuple[Opinion, str]]:
    """Return where the answer about this path stands, once somebody has found it."""
    return []


def _ask(path: Sequence[DecodedCertificate], name: Subject, at: datetime) -> tuple[Opinion, str]:
    with decoding_leniently():
        if _accepts(path, name, at):
            return Opinion.AGREES, ""
        reason = next(iter(reasons_to_refuse(path)), "")
    return (Opinion.EXPLAINED if reason else Opinion.UNEXPLAINED), reason


def _accepts(path: Sequence[DecodedCertificate], name: Subject, at: datetime) -> bool:
    try:
        leaf, *intermediates, anchor = [
            x509.load_der_x509_certificate(certificate.view.der) for certificate in path
        ]
        builder = PolicyBuilder().store(Store([anchor])).time(at)
        verifier = builder.build_server_verifier(name)
        return verifier.verify(leaf, intermediates) == [leaf, *intermediates, anchor]
    except (VerificationError, *DECODING_ERRORS):
        return False


def reasons_to_refuse(path: Sequence[DecodedCertificate]) -> list[str]:
    """Return what in the path the verifier is known to refuse, of REASONS, in their order.

    Call it within decoding_leniently.
    """
    anchor, authorities = path[-1], path[1:]
    found = {
        "not_readable": not all(map(_is_readable, path)),
        # A date before 2050 as GeneralizedTime.
        "dates": not all(certificate.has_usual_dates for certificate in path),
        "serial_number": not all(map(_has_usual_serial_number, path)),
        # It compares names by their octets.
        "names_of_issuers": any(
            lower.issuer_octets() != upper.issuer_hashes_input()[0]
            for lower, upper in zip(path, authorities, strict=False)
        ),
        # It counts self-issued certificates towards pathLen, and holds constraints against them.
        "self_issued": any(
            authority.view.is_self_issued and authority is not anchor for authority in authorities
        ),
        "name_constraints": any(
            authority.name_constraints is not None and _reads_constraints_otherwise(path, authority)
            for authority in authorities
        ),
        "policies": any(
            certificate.extensions.critical & {"2.5.29.33", "2.5.29.36", "2.5.29.54"}
            for certificate in path
        ),
        # It asks of an anchor what it asks of an authority.
        "anchor": BASIC_CONSTRAINTS not in anchor.extensions.critical
        or KEY_USAGE not in anchor.extensions.present
        or EXTENDED_KEY_USAGE in anchor.extensions.critical,
        "extensions": any(
            SUBJECT_KEY_IDENTIFIER not in authority.extensions.present
            or EXTENDED_KEY_USAGE in authority.extensions.critical
            for authority in authorities
        ),
    }
    return [reason for reason in REASONS if found[reason]]


def _is_readable(certificate: DecodedCertificate) -> bool:
    try:
        loaded = x509.load_der_x509_certificate(certificate.view.der)
        return loaded.extensions is not None and loaded.public_key() is not None
    except DECODING_ERRORS:
        return False


def _has_usual_serial_number(certificate: DecodedCertificate) -> bool:
    number = certificate.serial_number
    return number >= 0 and number.bit_length() < 8 * _MAX_SERIAL_OCTETS


def _reads_constraints_otherwise(
    path: Sequence[DecodedCertificate], authority: DecodedCertificate
) -> bool:
    """It knows DNS names and prefixes alone, and takes each for malformed that is no host name."""
    constraints = authority.name_constraints
    if constraints is None:
        return False
    sides = (constraints.permitted, constraints.excluded)
    if any(kinds_of(side) - {DNS, ADDRESS} or side.unread for side in sides):
        return True
    if not all(_DNS_NAME.match(base) for side in sides for base in side.dns):
        return True
    below = path[: path.index(authority) + 1]
    return any(
        kinds_of(certificate.names) - {DNS, ADDRESS}
        or not all(map(_PATTERN.match, certificate.names.dns))
        or any(name.startswith("*.") for name in certificate.names.dns)
        for certificate in below
    )


def _name_of(leaf: DecodedCertificate) -> Subject | None:
    """Return a name that the leaf has, in the form the verifier takes; a label for a wildcard."""
    for pattern in leaf.dns_names[:16]:
        name = "label." + pattern[2:] if pattern.startswith("*.") else pattern
        if len(name) <= _MAX_NAME_LENGTH and _DNS_NAME.match(name):
            return x509.DNSName(name)
    return x509.IPAddress(leaf.ip_addresses[0]) if leaf.ip_addresses else None


def _units(path: Sequence[DecodedCertificate], checks: SignatureChecks) -> int:
    """Return what it costs to read every certificate and verify every signature once more.

    It reads without making objects, and encodes what was signed anew.
    """
    reading = sum(certificate.cost.whole for certificate in path) // 2
    signers = zip(path[1:], path, strict=False)
    signing = sum(checks.units_of(parent, child) for parent, child in signers)
    return _UNITS + reading + signing + verifier_units(path)


def verifier_units(path: Sequence[DecodedCertificate]) -> int:
    """Return the units that the comparisons of the verifier cost on this path.

    path: leaf first, the anchor last. The verifier holds each certificate's constraints against
    its own names too, and against those of every certificate below it.
    """
    nanoseconds = 0
    for position, authority in enumerate(path):
        constraints = authority.name_constraints
        if constraints is None:
            continue
        subtrees = constraints.permitted.count + constraints.excluded.count
        for certificate in path[: position + 1]:
            names, octets = certificate.names.count, len(certificate.view.der)
            if names:
                nanoseconds += _NS_PER_COMPARISON * names * subtrees
                nanoseconds += _NS_PER_SUBTREE_BYTE * len(authority.view.der) * names
                # No name has more labels than half its octets.
                nanoseconds += (_NS_PER_NAME_BYTE + _NS_PER_LABEL // 2) * octets * subtrees
    return nanoseconds // _NS_PER_UNIT
