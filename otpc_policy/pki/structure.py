"""The outer structure of a certificate: which part stands where. Nothing is interpreted here.

Source: RFC 5280 4.1.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from otpc_policy.pki.der import (
    BIT_STRING,
    GENERALIZED_TIME,
    INTEGER,
    OBJECT_IDENTIFIER,
    SEQUENCE,
    UTC_TIME,
    DerError,
    Element,
    dotted,
    elements,
    expected,
    only_element,
    whole_octets,
)

_VERSION, _ISSUER_ID, _SUBJECT_ID, _EXTENSIONS = 0xA0, 0x81, 0x82, 0xA3
_MAX_VERSION = 32_768
_UTC_TIME = re.compile(rb"(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z\Z")
_GENERALIZED_TIME = re.compile(rb"(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z\Z")
# RFC 5280 4.1.2.5.1: years from 50 on are those of the last century.
_FIRST_YEAR_OF_THIS_CENTURY = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """The parts of a certificate, by position.

    version: as people count, 1 to 3 in RFC 5280; others are kept, and not understood.
    signature_algorithm: as the signed part names it. outer_algorithm: as stands
    next to the signature. signature: its octets; none where they are not whole, as no signature is.
    extensions: the SEQUENCE of them.
    """

    der: bytes
    signed_part: Element
    version: int
    serial_number: int
    signature_algorithm: Element
    outer_algorithm: Element
    signature: bytes
    issuer: Element
    validity: Element
    subject: Element
    key: Element
    extensions: Element | None

    def octets(self, part: Element) -> bytes:
        """Return a part with its tag and length."""
        return self.der[part.start : part.end]


def read_structure(der: bytes) -> Structure:
    """Return where the parts stand. Raises DerError."""
    whole = only_element(der, 0, len(der), SEQUENCE)
    signed_part, outer_algorithm, bits = expected(
        elements(der, whole.content, whole.end), (SEQUENCE, SEQUENCE, BIT_STRING)
    )
    parts = elements(der, signed_part.content, signed_part.end)
    version = 1
    if parts and parts[0].tag == _VERSION:
        number = only_element(der, parts[0].content, parts[0].end, INTEGER)
        # Of as many digits as people can be shown.
        version = max(-_MAX_VERSION, min(_integer(der, number) + 1, _MAX_VERSION))
        # DER leaves the default, version 1, out; some write it, and nobody misreads that.
        parts = parts[1:]
    serial, algorithm, issuer, validity, subject, key = expected(
        parts[:6], (INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE)
    )
    extensions = None
    rest = parts[6:]
    tags = [part.tag for part in rest]
    if tags != sorted(set(tags)) or not set(tags) <= {_ISSUER_ID, _SUBJECT_ID, _EXTENSIONS}:
        raise DerError("other parts than were expected")
    if _EXTENSIONS in tags:
        extensions = only_element(der, rest[-1].content, rest[-1].end, SEQUENCE)
    return Structure(
        der=der,
        signed_part=signed_part,
        version=version,
        serial_number=_integer(der, serial),
        signature_algorithm=algorithm,
        outer_algorithm=outer_algorithm,
        signature=whole_octets(der, bits),
        issuer=issuer,
        validity=validity,
        subject=subject,
        key=key,
        extensions=extensions,
    )


def read_validity(der: bytes, validity: Element) -> tuple[datetime, datetime, bool]:
    """Return notBefore, notAfter, and whether both are in the form that their year demands.

    A date before 2050 should be UTCTime (RFC 5280 4.1.2.5). As GeneralizedTime it says the same.
    Raises DerError.
    """
    not_before, not_after = _expected_times(elements(der, validity.content, validity.end))
    (start, is_usual), (end, is_usual_too) = (
        read_instant(der, not_before),
        read_instant(der, not_after),
    )
    return start, end, is_usual and is_usual_too


def read_algorithm(der: bytes, algorithm: Element) -> tuple[str, bytes | None]:
    """Return the OID of an AlgorithmIdentifier and its parameters, whole. Raises DerError."""
    parts = elements(der, algorithm.content, algorithm.end)
    if not 1 <= len(parts) <= 2 or parts[0].tag != OBJECT_IDENTIFIER:
        raise DerError("not an algorithm")
    parameters = der[parts[1].start : parts[1].end] if len(parts) == 2 else None
    return dotted(der[parts[0].content : parts[0].end]), parameters


def key_octets(der: bytes, key: Element) -> tuple[Element, bytes]:
    """Return the algorithm of a SubjectPublicKeyInfo, and the octets of the key itself.

    Raises DerError.
    """
    algorithm, bits = expected(elements(der, key.content, key.end), (SEQUENCE, BIT_STRING))
    if bits.end == bits.content or der[bits.content] != 0:
        raise DerError("not a public key")
    return algorithm, der[bits.content + 1 : bits.end]


def _expected_times(parts: Sequence[Element]) -> Sequence[Element]:
    if len(parts) != 2 or not {part.tag for part in parts} <= {UTC_TIME, GENERALIZED_TIME}:
        raise DerError("not two dates")
    return parts


def read_instant(der: bytes, time: Element) -> tuple[datetime, bool]:
    """Return a date, of any year from 1 to 9999, and whether it is in the form of its year.

    time: of either tag of dates. Raises DerError.
    """
    pattern = _UTC_TIME if time.tag == UTC_TIME else _GENERALIZED_TIME
    found = pattern.match(der[time.content : time.end])
    if found is None:
        raise DerError("not a date")
    year, month, day, hour, minute, second = map(int, found.groups())
    if time.tag == UTC_TIME:
        year += 1900 if year >= _FIRST_YEAR_OF_THIS_CENTURY else 2000
    try:
        instant = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise DerError("not a date") from error
    return instant, time.tag == UTC_TIME or not 1950 <= year < 2050


def _integer(der: bytes, element: Element) -> int:
    content = der[element.content : element.end]
    if not content:
        raise DerError("not a number")
    if len(content) > 1 and (content[0], content[1] >> 7) in ((0, 0), (0xFF, 1)):
        raise DerError("a number that is longer than it need be")
    return int.from_bytes(content, "big", signed=True)
