"""The outer structure of a CRL: which part stands where. Nothing is interpreted here.

Nobody has signed the bytes yet. Whatever they are, this takes microseconds: a handful of elements
is looked at, and none of their contents. Source: RFC 5280 5.1.
"""

from dataclasses import dataclass

from otpc_policy.pki.der import (
    BIT_STRING,
    GENERALIZED_TIME,
    INTEGER,
    SEQUENCE,
    UTC_TIME,
    DerError,
    Element,
    expected,
    few_elements,
    whole_octets,
)

_DATES = (UTC_TIME, GENERALIZED_TIME)
_EXTENSIONS = 0xA0
_VERSION_2 = b"\1"
_MAX_PARTS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlStructure:
    """The parts of a CRL, by position.

    algorithm: as the signed part names it. outer_algorithm: as stands next to the signature.
    signature: its octets; none where they are not whole. next_update, entries, extensions: None
    where absent. entries: the SEQUENCE of them. extensions: what holds the SEQUENCE of them.
    """

    der: bytes
    signed_part: Element
    algorithm: Element
    outer_algorithm: Element
    signature: bytes
    issuer: Element
    this_update: Element
    next_update: Element | None
    entries: Element | None
    extensions: Element | None

    def octets(self, part: Element) -> bytes:
        """Return a part with its tag and length."""
        return self.der[part.start : part.end]


def read_crl_structure(der: bytes) -> CrlStructure:
    """Return where the parts stand. Raises DerError."""
    (whole,) = expected(few_elements(der, 0, len(der), 1), (SEQUENCE,))
    signed_part, outer_algorithm, bits = expected(
        few_elements(der, whole.content, whole.end, 3), (SEQUENCE, SEQUENCE, BIT_STRING)
    )
    parts = few_elements(der, signed_part.content, signed_part.end, _MAX_PARTS)
    if parts and parts[0].tag == INTEGER:
        version = parts.pop(0)
        if der[version.content : version.end] != _VERSION_2:
            raise DerError("another version of CRLs")
    algorithm, issuer = expected(parts[:2], (SEQUENCE, SEQUENCE))
    rest = parts[2:]
    if not rest or rest[0].tag not in _DATES:
        raise DerError("not a date")
    this_update = rest.pop(0)
    next_update = rest.pop(0) if rest and rest[0].tag in _DATES else None
    entries = rest.pop(0) if rest and rest[0].tag == SEQUENCE else None
    extensions = rest.pop(0) if rest and rest[0].tag == _EXTENSIONS else None
    if rest:
        raise DerError("other parts than were expected")
    return CrlStructure(
        der=der,
        signed_part=signed_part,
        algorithm=algorithm,
        outer_algorithm=outer_algorithm,
        signature=whole_octets(der, bits),
        issuer=issuer,
        this_update=this_update,
        next_update=next_update,
        entries=entries,
        extensions=extensions,
    )
