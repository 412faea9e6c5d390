"""Taking DER apart into elements, without any opinion of what they mean.

Positions into the whole are passed around, so that nothing is copied until it is wanted. Definite
lengths in their shortest form and tags of one octet only, as X.690 10.1 prescribes: whatever is
signed has one encoding, and what readers would take for different things is refused.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, NULL = 0x01, 0x02, 0x03, 0x04, 0x05
OBJECT_IDENTIFIER, UTC_TIME, GENERALIZED_TIME = 0x06, 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31
# Longer ones are nobody's, and converting them takes time in proportion to the square.
_MAX_OID_OCTETS = 64


class DerError(ValueError):
    """These bytes are not DER, or not what was expected in their place."""


class Element(NamedTuple):
    """One element: its tag octet, and where it starts, where its content starts and ends."""

    tag: int
    start: int
    content: int
    end: int


def each_element(der: bytes, at: int, end: int) -> Iterator[Element]:
    """Yield the elements from one position to another, which they must fill.

    Raises DerError where they do not, once all before that place have been yielded.
    """
    while at < end:
        if at + 2 > end:
            raise DerError("cut off")
        tag, length, content = der[at], der[at + 1], at + 2
        if tag & 0x1F == 0x1F:
            raise DerError("a tag of several octets")
        if length > 0x7F:
            octets = length & 0x7F
            content += octets
            length = int.from_bytes(der[at + 2 : content], "big")
            if not 0 < octets <= 4 or length < 0x80 or length >> (8 * octets - 8) == 0:
                raise DerError("a length that is indefinite, or longer than it need be")
        stop = content + length
        if stop > end:
            raise DerError("cut off")
        yield Element(tag, at, content, stop)
        at = stop


def elements(der: bytes, at: int, end: int) -> list[Element]:
    """Return the elements from one position to another, which they must fill. Raises DerError."""
    return list(each_element(der, at, end))


def few_elements(der: bytes, at: int, end: int, at_most: int) -> list[Element]:
    """Return the same, for bytes of any length. Raises DerError for more than at_most of them."""
    found = list(islice(each_element(der, at, end), at_most + 1))
    if len(found) > at_most:
        raise DerError("more elements than were expected")
    return found


def only_element(der: bytes, at: int, end: int, tag: int) -> Element:
    """Return the single element that fills the range. Raises DerError."""
    found = elements(der, at, end)
    if len(found) != 1 or found[0].tag != tag:
        raise DerError("another element than was expected")
    return found[0]


def inside(der: bytes, at: int, end: int) -> list[Element]:
    """Return what the SEQUENCE that fills the range holds. Raises DerError."""
    outer = only_element(der, at, end, SEQUENCE)
    return elements(der, outer.content, outer.end)


def expected(parts: Sequence[Element], tags: Sequence[int]) -> Sequence[Element]:
    """Return the elements if these are their tags. Raises DerError."""
    if [part.tag for part in parts] != list(tags):
        raise DerError("other parts than were expected")
    return parts


def whole_octets(der: bytes, bits: Element) -> bytes:
    """Return the octets of a BIT STRING; none if bits of the last one are unused.

    A signature and a key have whole octets.
    """
    has_whole = der[bits.content : bits.end][:1] == b"\0"
    return der[bits.content + 1 : bits.end] if has_whole else b""


@lru_cache(maxsize=1_024)
def dotted(content: bytes) -> str:
    """Return the text of an object identifier, "1.2.840". Raises DerError.

    content: without tag and length.
    """
    if not 0 < len(content) <= _MAX_OID_OCTETS or content[-1] & 0x80:
        raise DerError("not an object identifier")
    arcs, arc = [], 0
    for octet in content:
        if arc == 0 and octet == 0x80:
            raise DerError("not an object identifier")
        arc = arc << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))
