"""Certificate revocation lists: which one a certificate names, and what a list proves about it.

A list comes from whoever answers over plain HTTP, so nothing in it counts before the signature of
the certificate's own issuer has been verified over it. From then on it is a complete list of that
issuer, within the scope that its issuing distribution point states (RFC 5280 5.2.5):

- a certificate in scope that is not listed is not revoked, from thisUpdate until nextUpdate;
- one that is listed is revoked. Age does not undo that, except for a certificate on hold;
- of a certificate out of scope the list says nothing, whatever it lists.

Lists of other issuers (indirect CRLs), lists of changes (delta CRLs) and lists with critical
extensions that are not understood here are not used at all (RFC 5280 5.2, 5.3, 6.3.3).

Reading a list takes about 0.1 s per MiB and holds the interpreter for 4 ms per MiB at a time, so it
belongs on a thread. What is kept of it is sorted, and answers in microseconds.
"""

import binascii
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, Protocol, Self

from cryptography import x509

from otpc_policy.core.fetching import HttpUrl
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.der import INTEGER, elements
from otpc_policy.pki.distinguished_name import read_name
from otpc_policy.pki.extensions import KEY_USAGE
from otpc_policy.pki.judgement import CrlStatus
from otpc_policy.pki.lenient_decoding import DECODING_ERRORS, decoding_leniently
from otpc_policy.pki.signature_algorithm import read_signature_algorithm
from otpc_policy.pki.signatures import is_too_costly

# Certificates name one point as a rule, and seldom a second as its mirror.
_MAX_POINTS: Final = 2
_MAX_POINTS_LOOKED_AT: Final = 16
_MAX_NAMES: Final = 8
# As for stapled responses (pki.ocsp).
_CLOCK_SKEW: Final = timedelta(minutes=5)
_LIFETIME_WITHOUT_NEXT_UPDATE: Final = timedelta(days=1)
_SIGNING_HASHES: Final = frozenset({"sha224", "sha256", "sha384", "sha512"})
# RFC 5280 4.1.2.2 allows 20 octets; one more holds the sign.
_MAX_SERIAL_BYTES: Final = 21
_TIME_BYTES: Final = 8
_ENTRY_BYTES: Final = _MAX_SERIAL_BYTES + _TIME_BYTES + 1
# Of a list of 200,000 entries, each has 800.
_SHELVES: Final = 256
_BYTES_OF_SHELVES: Final = 12_000
_REVOKED, _ON_HOLD, _UNCLEAR = 0, 1, 2
# Read between two pauses: less than a millisecond.
_ENTRIES_AT_A_TIME: Final = 200
_ANY_BEGIN: Final = b"-----BEGIN "
_BEGIN: Final = b"-----BEGIN X509 CRL-----"
_END: Final = b"-----END X509 CRL-----"
_WHITESPACE: Final = b" \t\r\n\v\f"
# Decoded between two pauses: a tenth of a millisecond. A multiple of four.
_BASE64_AT_A_TIME: Final = 1 << 16
_UNDERSTOOD_EXTENSIONS: Final = (
    x509.AuthorityKeyIdentifier,
    x509.CRLNumber,
    x509.IssuingDistributionPoint,
)
_UNDERSTOOD_ENTRY_EXTENSIONS: Final = (x509.CRLReason, x509.InvalidityDate)


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
    """Whether a certificate is revoked. issuer: of the certificate, proven and trusted."""

    subject: CrlSubject
    issuer: DecodedCertificate


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


def crl_points(certificate: DecodedCertificate) -> tuple[tuple[CrlPoint, ...], str]:
    """Return where complete lists for a certificate can be fetched, or none and why.

    Places that only list some reasons, or whose lists another issuer signs, are left out.
    Source: RFC 5280 4.2.1.13.
    """
    try:
        with decoding_leniently():
            whole = x509.load_der_x509_certificate(certificate.view.der)
            extension = whole.extensions.get_extension_for_class(x509.CRLDistributionPoints)
    except x509.ExtensionNotFound:
        return (), "it names no CRL"
    except DECODING_ERRORS:
        return (), "what it says about CRLs cannot be decoded"
    looked_at = islice(extension.value, _MAX_POINTS_LOOKED_AT)
    points = [point for each in looked_at if (point := _point(each)) is not None]
    if not points:
        return (), "it names no complete CRL of its issuer that can be fetched over http"
    return tuple(points[:_MAX_POINTS]), ""


def _point(point: x509.DistributionPoint) -> CrlPoint | None:
    if point.crl_issuer is not None or point.reasons is not None:
        return None
    urls = _urls(point.full_name)
    for url in urls:
        try:
            return CrlPoint(HttpUrl.parse(url), frozenset(urls))
        except ValueError:
            continue
    return None


def _urls(names: list[x509.GeneralName] | None) -> tuple[str, ...]:
    urls = [each.value for each in names or () if isinstance(each, x509.UniformResourceIdentifier)]
    return tuple(urls[:_MAX_NAMES])


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
    begins_at = this_update - _CLOCK_SKEW
    if at < begins_at:
        detail = f"{source} is not valid yet"
        return CrlFinding(status=CrlStatus.UNVERIFIED, detail=detail, changes_at=begins_at)
    detail = f"not in {source}, which holds until {_instant(next_update)}"
    return CrlFinding(status=CrlStatus.GOOD, detail=detail, changes_at=next_update)


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RevocationList:
    """A list that its issuer has signed.

    scope: URLs of the distribution point that it is about; None if it is about all of them.
    lists_users, lists_authorities: the kinds of certificates that it is about. lists_all_reasons:
    whoever is not listed is not revoked for any reason.
    """

    this_update: datetime
    next_update: datetime
    scope: frozenset[str] | None
    lists_users: bool
    lists_authorities: bool
    lists_all_reasons: bool
    _shelves: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return sum(map(len, self._shelves)) + _BYTES_OF_SHELVES

    def says_of(self, subject: CrlSubject, point: CrlPoint) -> CrlStatement:
        """Return what it says of a certificate of its issuer. point: one that it names."""
        url = point.url.brief
        if self.scope is not None and not self.scope & point.names:
            problem = f"the CRL from {url} is about another distribution point"
            return CrlStatement(problem=problem, url=url)
        if not (self.lists_authorities if subject.is_authority else self.lists_users):
            problem = f"the CRL from {url} is about certificates of another kind"
            return CrlStatement(problem=problem, url=url)
        entry = self._entry(subject.serial_number)
        if entry is None and not self.lists_all_reasons:
            problem = f"the CRL from {url} leaves some reasons out"
            return CrlStatement(problem=problem, url=url)
        if entry is not None and entry[1] == _UNCLEAR:
            problem = f"the CRL from {url} lists it with a reason that belongs in delta CRLs"
            return CrlStatement(problem=problem, url=url)
        return CrlStatement(
            url=url,
            revoked_at=None if entry is None else entry[0],
            is_on_hold=entry is not None and entry[1] == _ON_HOLD,
            this_update=self.this_update,
            next_update=self.next_update,
        )

    def _entry(self, serial_number: int) -> tuple[datetime, int] | None:
        try:
            wanted = serial_number.to_bytes(_MAX_SERIAL_BYTES, "big", signed=True)
        except OverflowError:  # no list with such a number is used
            return None
        entries = self._shelves[_shelf_of(wanted)]
        place = bisect_left(
            range(len(entries) // _ENTRY_BYTES),
            wanted,
            key=lambda at: entries[at * _ENTRY_BYTES : at * _ENTRY_BYTES + _MAX_SERIAL_BYTES],
        )
        entry = entries[place * _ENTRY_BYTES : (place + 1) * _ENTRY_BYTES]
        if entry[:_MAX_SERIAL_BYTES] != wanted:
            return None
        seconds = int.from_bytes(entry[_MAX_SERIAL_BYTES:-1], "big", signed=True)
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds), entry[-1]


def read_crl(
    body: bytes, issuer: DecodedCertificate, *, pause: Callable[[], object] = lambda: None
) -> RevocationList:
    """Return a list of the issuer from DER or PEM. Takes long: see the module.

    pause: is called again and again in between, to let other threads work.
    Raises UnusableCrlError.
    """
    der = _der(body, pause)
    try:
        with decoding_leniently():
            crl = x509.load_der_x509_crl(der)
            extensions = tuple(crl.extensions)
            is_of_issuer = _name_of_issuer(crl) == issuer.subject.key
            this_update, next_update = crl.last_update_utc, crl.next_update_utc
        _require_use(is_of_issuer, extensions)
        if not (_may_sign_lists(issuer) and _is_signed(crl, der, issuer)):
            raise UnusableCrlError("the certificate's issuer has not signed the CRL")
        scope = next(
            (e.value for e in extensions if isinstance(e.value, x509.IssuingDistributionPoint)),
            None,
        )
        shelves = _shelves(crl, pause)
    except DECODING_ERRORS:
        raise UnusableCrlError("what was fetched is not a CRL that can be decoded") from None
    named = None if scope is None else scope.full_name
    return RevocationList(
        this_update=this_update,
        next_update=next_update or this_update + _LIFETIME_WITHOUT_NEXT_UPDATE,
        scope=None if named is None else frozenset(_urls(named)),
        lists_users=scope is None or not _is_of_others(scope, scope.only_contains_ca_certs),
        lists_authorities=scope is None or not _is_of_others(scope, scope.only_contains_user_certs),
        lists_all_reasons=scope is None or scope.only_some_reasons is None,
        _shelves=shelves,
    )


def _name_of_issuer(crl: x509.CertificateRevocationList) -> bytes:
    """Return the digest by which names are compared (RFC 5280 7.1)."""
    octets = crl.issuer.public_bytes()
    return read_name(octets, 0, len(octets)).key


def _is_of_others(scope: x509.IssuingDistributionPoint, only_the_other_kind: bool) -> bool:
    return only_the_other_kind or scope.only_contains_attribute_certs


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


def _require_use(
    is_of_issuer: bool, extensions: tuple[x509.Extension[x509.ExtensionType], ...]
) -> None:
    """Raise UnusableCrlError for a list of other issuers, of changes, or that is not understood."""
    if not is_of_issuer:
        raise UnusableCrlError("the CRL is of another issuer than the certificate")
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.DeltaCRLIndicator):
            raise UnusableCrlError("the CRL is a delta CRL, which lists changes only")
        if extension.critical and not isinstance(value, _UNDERSTOOD_EXTENSIONS):
            raise UnusableCrlError("the CRL has a critical extension that is not understood here")
        if isinstance(value, x509.IssuingDistributionPoint):
            if value.indirect_crl:
                raise UnusableCrlError("the CRL is indirect: it lists certificates of others")
            if value.relative_name is not None:
                raise UnusableCrlError("the CRL names its distribution point by a relative name")


def _may_sign_lists(issuer: DecodedCertificate) -> bool:
    """Whether the issuer's keyUsage, if there is any, has cRLSign (RFC 5280 6.3.3 (f))."""
    if KEY_USAGE not in issuer.extensions.present:
        return True
    usages = issuer.extensions.usages
    return usages is not None and "cRLSign" in usages


def _is_signed(crl: x509.CertificateRevocationList, der: bytes, issuer: DecodedCertificate) -> bool:
    """Verify the signature over the bytes as they came.

    cryptography's own is_signature_valid encodes the list again, which takes 40 ms per MiB in one
    go. der: it has been decoded before, so its structure is that of a list.
    """
    if is_too_costly(issuer):
        return False
    algorithm = crl.signature_hash_algorithm
    if algorithm is not None and algorithm.name not in _SIGNING_HASHES:
        return False
    (whole,) = elements(der, 0, len(der))
    signed, outer, _ = elements(der, whole.content, whole.end)
    parts = elements(der, signed.content, signed.end)
    # A version may come first.
    inner = parts[1] if parts[0].tag == INTEGER else parts[0]
    if der[inner.start : inner.end] != der[outer.start : outer.end]:
        return False  # RFC 5280 5.1.1.2: both name one algorithm
    named = read_signature_algorithm(der, outer)
    return named.verifies(issuer.verifying_key, crl.signature, der[signed.start : signed.end])


def _shelves(crl: x509.CertificateRevocationList, pause: Callable[[], object]) -> tuple[bytes, ...]:
    """Return the entries, sorted, in so many parts that sorting one takes no millisecond."""
    shelves: list[list[bytes]] = [[] for _ in range(_SHELVES)]
    for entry in _entries(crl, pause):
        shelves[_shelf_of(entry[:_MAX_SERIAL_BYTES])].append(entry)
    return tuple(b"".join(sorted(shelf)) for shelf in shelves)


def _shelf_of(serial: bytes) -> int:
    # Python's hash of bytes is keyed, so no authority can put all its numbers on one shelf.
    return hash(serial) % _SHELVES


def _entries(crl: x509.CertificateRevocationList, pause: Callable[[], object]) -> Iterator[bytes]:
    """Yield an entry of fixed length for each certificate that is listed."""
    for count, entry in enumerate(crl):
        if count % _ENTRIES_AT_A_TIME == 0:
            pause()
        state = _REVOKED
        for extension in entry.extensions:
            value = extension.value
            if extension.critical and not isinstance(value, _UNDERSTOOD_ENTRY_EXTENSIONS):
                raise UnusableCrlError(
                    "an entry of the CRL has a critical extension that is not understood here"
                )
            if isinstance(value, x509.CRLReason):
                state = _STATES.get(value.reason, _REVOKED)
        try:
            serial = entry.serial_number.to_bytes(_MAX_SERIAL_BYTES, "big", signed=True)
        except OverflowError:
            raise UnusableCrlError("the CRL lists a serial number of over 20 octets") from None
        revoked_at = int(entry.revocation_date_utc.timestamp())
        yield serial + revoked_at.to_bytes(_TIME_BYTES, "big", signed=True) + bytes([state])


_STATES: Final = {
    x509.ReasonFlags.certificate_hold: _ON_HOLD,
    x509.ReasonFlags.remove_from_crl: _UNCLEAR,
}
