"""Certificate revocation lists: which one a certificate names, and what a list proves about it.

A list comes from whoever answers over plain HTTP, so nothing in it is looked at before the
signature of the certificate's own issuer has been verified over it, but for the issuer's name and
the algorithm. From then on it is a complete list of that issuer, within the scope that its issuing
distribution point states (RFC 5280 5.2.5):

- a certificate in scope that is not listed is not revoked, from thisUpdate until nextUpdate;
- one that is listed is revoked. Age does not undo that, except for a certificate on hold;
- of a certificate out of scope the list says nothing, whatever it lists.

Lists of other issuers (indirect CRLs), lists of changes (delta CRLs) and lists with critical
extensions that are not understood here are not used at all (RFC 5280 5.2, 5.3, 6.3.3).

Reading a list takes about 0.25 s per MiB, so it belongs on a thread. It is read in Python, an
element at a time, because cryptography decodes each part of a list in one call, which holds the
interpreter for seconds if whoever made the list wants that. What holds it here is the signature,
for up to 2 ms per MiB. What is kept of a list answers in microseconds.
"""

import binascii
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, Self

from otpc_policy.core.fetching import HttpUrl
from otpc_policy.pki.crl_entries import CrlEntries, EntryState, NotUnderstoodError
from otpc_policy.pki.crl_scope import CrlScope, CrlScopeError, read_crl_scope
from otpc_policy.pki.crl_structure import CrlStructure, read_crl_structure
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.der import DerError
from otpc_policy.pki.distinguished_name import read_name
from otpc_policy.pki.distribution_points import DistributionPoint
from otpc_policy.pki.extensions import KEY_USAGE
from otpc_policy.pki.judgement import CrlStatus
from otpc_policy.pki.signature_algorithm import read_signature_algorithm
from otpc_policy.pki.signatures import is_too_costly
from otpc_policy.pki.structure import read_instant

# Certificates name one point as a rule, and seldom a second as its mirror.
_MAX_POINTS: Final = 2
# As for stapled responses (pki.ocsp).
_CLOCK_SKEW: Final = timedelta(minutes=5)
_LIFETIME_WITHOUT_NEXT_UPDATE: Final = timedelta(days=1)
_FIRST_INSTANT: Final = datetime(1, 1, 1, tzinfo=UTC)
_LAST_INSTANT: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
# "" is EdDSA.
_SIGNING_HASHES: Final = frozenset({"", "sha224", "sha256", "sha384", "sha512"})
_ANY_BEGIN: Final = b"-----BEGIN "
_BEGIN: Final = b"-----BEGIN X509 CRL-----"
_END: Final = b"-----END X509 CRL-----"
_WHITESPACE: Final = b" \t\r\n\v\f"
# Decoded between two pauses: a tenth of a millisecond. A multiple of four.
_BASE64_AT_A_TIME: Final = 1 << 16
# Names in certificates have less. Only one that is not the issuer's octet for octet is read.
_MAX_NAME_BYTES: Final = 8_192


class UnusableCrlError(Exception):
    """The bytes are no list that could prove anything. str() says why, for people."""


@dataclass(frozen=True, slots=True)
class CrlPoint:
    """A place from which a certificate says that its list can be fetched.

    names: all URLs of the place, among which a list may name its own.
    """

    url: HttpUrl
    names: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlSubject:
    """What of a certificate matters to a list.

    sha256: of the certificate. is_authority: its basicConstraints say so. points: not empty.
    """

    sha256: bytes
    serial_number: int
    is_authority: bool
    points: tuple[CrlPoint, ...]

    @classmethod
    def of(cls, certificate: DecodedCertificate, points: tuple[CrlPoint, ...]) -> Self:
        """Return it. points: as crl_points returns them."""
        return cls(
            sha256=bytes.fromhex(certificate.view.sha256),
            serial_number=certificate.serial_number,
            is_authority=certificate.is_ca,
            points=points,
        )


@dataclass(frozen=True, slots=True, eq=False)
class CrlQuestion:
    """Whether a certificate is revoked. issuer: of the certificate, proven and trusted.

    owners: who may have chosen the URL, the most trusted first: what the certificate is trusted by,
    and the endpoint. Fetches are shared out among them. Empty if nobody knows.
    """

    subject: CrlSubject
    issuer: DecodedCertificate
    owners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlStatement:
    """What a list says of one certificate, whatever the time is.

    problem: why nothing is known; "" if something is. revoked_at: None for what is not listed.
    is_on_hold: revoked for the time being. this_update, next_update: of the list; None where there
    is a problem. url: where the list came from, for people.
    """

    problem: str = ""
    url: str = ""
    revoked_at: datetime | None = None
    is_on_hold: bool = False
    this_update: datetime | None = None
    next_update: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlFinding:
    """What is proven at one instant, why, and when time alone changes it (None: never)."""

    status: CrlStatus
    detail: str
    changes_at: datetime | None = None


class CrlStatements(Protocol):
    """What lists say, as far as it is known. To ask is to wish to know; nobody waits.

    about: None while no list has been fetched.
    """

    def about(self, question: CrlQuestion) -> CrlStatement | None: ...


def crl_points(
    certificate: DecodedCertificate,
) -> tuple[tuple[CrlPoint, ...], CrlFinding | None]:
    """Return where complete lists for a certificate can be fetched, or none and what that proves.

    Places that only list some reasons, or whose lists another issuer signs, are left out. What
    cannot be read might be a place, so without another one nothing is known: whoever cannot read
    that a certificate names a list must not take it for one that names none.
    Source: RFC 5280 4.2.1.13.
    """
    named = certificate.extensions.distribution_points
    if named is None:
        return (), CrlFinding(status=CrlStatus.ABSENT, detail="it names no CRL")
    has_unread = named.has_unread
    points: list[CrlPoint] = []
    for each in named.points:
        try:
            point = _point(each)
        except ValueError:
            has_unread = True
        else:
            points += [] if point is None else [point]
    if points:
        return tuple(points[:_MAX_POINTS]), None
    if has_unread:
        detail = "its CRL distribution points cannot be read"
        return (), CrlFinding(status=CrlStatus.UNVERIFIED, detail=detail)
    detail = "it names no complete CRL of its issuer that can be fetched over http"
    return (), CrlFinding(status=CrlStatus.ABSENT, detail=detail)


def _point(point: DistributionPoint) -> CrlPoint | None:
    """Return it if it can be fetched. Raises ValueError if it might, but its URL cannot be read."""
    if point.is_partial:
        return None
    is_damaged = point.name.has_unread_url
    for url in point.name.urls:
        try:
            return CrlPoint(HttpUrl.parse(url), frozenset(point.name.urls))
        except ValueError:
            is_damaged |= url[:5].lower() == "http:"
    if is_damaged:
        raise ValueError("a URL that cannot be read")
    return None


def judge_statement(statement: CrlStatement | None, at: datetime) -> CrlFinding:
    """Return what a statement proves at an instant. None: there is none yet."""
    if statement is None:
        return CrlFinding(status=CrlStatus.UNVERIFIED, detail="its CRL has not been fetched yet")
    this_update, next_update = statement.this_update, statement.next_update
    if statement.problem or this_update is None or next_update is None:
        return CrlFinding(status=CrlStatus.UNVERIFIED, detail=statement.problem)
    source = f"the CRL of {_instant(this_update)} from {statement.url}"
    if statement.revoked_at is not None and not (statement.is_on_hold and at >= next_update):
        held = ", on hold" if statement.is_on_hold else ""
        detail = f"revoked at {_instant(statement.revoked_at)}{held}, by {source}"
        changes_at = next_update if statement.is_on_hold else None
        return CrlFinding(status=CrlStatus.REVOKED, detail=detail, changes_at=changes_at)
    if at >= next_update:
        detail = f"{source} was stale at {_instant(next_update)}"
        return CrlFinding(status=CrlStatus.UNVERIFIED, detail=detail)
    begins_at = _moved(this_update, -_CLOCK_SKEW)
    if at < begins_at:
        detail = f"{source} is not valid yet"
        return CrlFinding(status=CrlStatus.UNVERIFIED, detail=detail, changes_at=begins_at)
    detail = f"not in {source}, which holds until {_instant(next_update)}"
    return CrlFinding(status=CrlStatus.GOOD, detail=detail, changes_at=next_update)


def _instant(at: datetime) -> str:
    # strftime pads no year before 1000.
    return f"{at.replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def _moved(at: datetime, by: timedelta) -> datetime:
    """Return at + by, or the end of time: an authority may write any date."""
    try:
        return at + by
    except OverflowError:
        return _FIRST_INSTANT if by < timedelta() else _LAST_INSTANT


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RevocationList:
    """A list that its issuer has signed.

    scope: what it is about.
    """

    this_update: datetime
    next_update: datetime
    scope: CrlScope
    entries: CrlEntries

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return self.entries.size

    def says_of(self, subject: CrlSubject, point: CrlPoint) -> CrlStatement:
        """Return what it says of a certificate of its issuer. point: one that it names."""
        url = point.url.brief
        scope = self.scope
        if scope.urls is not None and not scope.urls & point.names:
            problem = f"the CRL from {url} is about another distribution point"
            return CrlStatement(problem=problem, url=url)
        if not (scope.has_authorities if subject.is_authority else scope.has_users):
            problem = f"the CRL from {url} is about certificates of another kind"
            return CrlStatement(problem=problem, url=url)
        entry = self.entries.find(subject.serial_number)
        if entry is None:
            if not scope.has_all_reasons:
                problem = f"the CRL from {url} leaves some reasons out"
                return CrlStatement(problem=problem, url=url)
            return CrlStatement(url=url, this_update=self.this_update, next_update=self.next_update)
        if entry.state is EntryState.REMOVED:
            problem = f"the CRL from {url} lists it with a reason that belongs in delta CRLs"
            return CrlStatement(problem=problem, url=url)
        return CrlStatement(
            url=url,
            # Without a date that can be read: by then at the latest.
            revoked_at=entry.revoked_at or self.this_update,
            is_on_hold=entry.state is EntryState.ON_HOLD,
            this_update=self.this_update,
            next_update=self.next_update,
        )


def read_crl(
    body: bytes, issuer: DecodedCertificate, *, pause: Callable[[], object] = lambda: None
) -> RevocationList:
    """Return a list of the issuer from DER or PEM. Takes long: see the module.

    pause: is called again and again in between, to let other threads work.
    Raises UnusableCrlError.
    """
    der = _der(body, pause)
    try:
        structure = read_crl_structure(der)
        _require_signature(structure, issuer)
        this_update, next_update = _read_dates(structure)
        scope = read_crl_scope(der, structure.extensions)
        entries = CrlEntries.read(der, structure.entries, pause)
    except DerError:
        raise UnusableCrlError("what was fetched is not a CRL that can be decoded") from None
    except CrlScopeError as error:
        raise UnusableCrlError(str(error)) from None
    except NotUnderstoodError:
        raise UnusableCrlError(
            "an entry of the CRL has a critical extension that is not understood here"
        ) from None
    return RevocationList(
        this_update=this_update, next_update=next_update, scope=scope, entries=entries
    )


def _der(body: bytes, pause: Callable[[], object]) -> bytes:
    """Return DER as it is, and what the first block of PEM holds; nothing if it is damaged.

    In time proportional to the length: nobody has signed the body yet.
    """
    if not body.lstrip(_WHITESPACE).startswith(_ANY_BEGIN):
        return body
    begins = body.find(_BEGIN)
    ends = body.find(_END, begins)
    if begins < 0 or ends < 0:
        return b""
    encoded = body[begins + len(_BEGIN) : ends].translate(None, _WHITESPACE)
    pieces = []
    for at in range(0, len(encoded), _BASE64_AT_A_TIME):
        pause()
        try:
            piece = binascii.a2b_base64(encoded[at : at + _BASE64_AT_A_TIME], strict_mode=True)
        except binascii.Error:
            return b""
        pieces.append(piece)
    return b"".join(pieces)


def _require_signature(structure: CrlStructure, issuer: DecodedCertificate) -> None:
    """Raise UnusableCrlError unless the issuer has signed these bytes, and may sign lists."""
    if not _is_named(structure, issuer):
        raise UnusableCrlError("the CRL is of another issuer than the certificate")
    if not (_may_sign_lists(issuer) and _is_signed(structure, issuer)):
        raise UnusableCrlError("the certificate's issuer has not signed the CRL")


def _is_named(structure: CrlStructure, issuer: DecodedCertificate) -> bool:
    """Whether the list names the issuer, as names are compared (RFC 5280 7.1)."""
    name, _ = issuer.issuer_hashes_input()
    place = structure.issuer
    if structure.octets(place) == name:
        return True
    if place.end - place.start > _MAX_NAME_BYTES:
        return False
    return read_name(structure.der, place.start, place.end).key == issuer.subject.key


def _may_sign_lists(issuer: DecodedCertificate) -> bool:
    """Whether the issuer's keyUsage, if there is any, has cRLSign (RFC 5280 6.3.3 (f))."""
    if KEY_USAGE not in issuer.extensions.present:
        return True
    usages = issuer.extensions.usages
    return usages is not None and "cRLSign" in usages


def _is_signed(structure: CrlStructure, issuer: DecodedCertificate) -> bool:
    """Verify the signature over the bytes as they came."""
    if is_too_costly(issuer):
        return False
    if structure.octets(structure.algorithm) != structure.octets(structure.outer_algorithm):
        return False  # RFC 5280 5.1.1.2: both name one algorithm
    named = read_signature_algorithm(structure.der, structure.algorithm)
    return named.hash_name in _SIGNING_HASHES and named.verifies(
        issuer.verifying_key, structure.signature, structure.octets(structure.signed_part)
    )


def _read_dates(structure: CrlStructure) -> tuple[datetime, datetime]:
    """Return thisUpdate and nextUpdate. Raises DerError, or UnusableCrlError."""
    this_update, _ = read_instant(structure.der, structure.this_update)
    if structure.next_update is None:
        return this_update, _moved(this_update, _LIFETIME_WITHOUT_NEXT_UPDATE)
    next_update, _ = read_instant(structure.der, structure.next_update)
    if next_update < this_update:
        raise UnusableCrlError("the CRL ends before it begins")
    return this_update, next_update
