"""What it will cost to read a certificate, seen from its DER without reading it.

Names, relative names and extensions become objects one by one, so the cost lies in the number of
elements and hardly in the bytes: 100 kB hold one long name, or 50,000 empty ones. The elements are
counted in one pass, those inside extensions apart: to verify a signature they need not be read.
"""

import re
from dataclasses import dataclass

# Counting takes less than this part of the units that it finds.
COUNTING_SHARE = 8

# Measured for every kind of name and extension that is read, one element is a unit (see budget).
# Object identifiers cost more, and so do whole names (SET, GeneralName [4]), addresses and networks
# (GeneralName [7], up to 32 bytes) and extensions (OCTET STRING).
_PRICES = bytes({0x31: 2, 0x04: 4, 0x06: 3, 0xA4: 2}.get(tag, 1) for tag in range(256))
_BASE_PRICE = 60
_BYTES_PER_UNIT = 48
_ADDRESS, _OCTET_STRING, _SEQUENCE, _OID = 0x87, 0x04, 0x30, 0x06
# An object identifier of 64 octets, the longest that is converted, takes 9 to 15 microseconds;
# its 3 + 16 units are rounded up.
_OID_OCTETS_PER_UNIT, _MAX_OID_OCTETS = 4, 64
_CONSTRUCTED, _LONG_LENGTH = 0x20, 0x80
# The OID of a curve over a binary field (SEC 2: 1.3.132.0, but for the curves over prime fields).
# OpenSSL multiplies a point to see whether the key is on it: 1,400 units with 571 bits.
_BINARY_CURVE = re.compile(rb"\x06\x05\x2b\x81\x04\x00[^\x06-\x0a\x1c-\x23]")
_BINARY_CURVE_PRICE = 1_500


@dataclass(frozen=True, slots=True)
class DecodingCost:
    """Units of reading a certificate. inside: what its extensions hold. outside: all the rest."""

    outside: int
    inside: int

    @property
    def whole(self) -> int:
        """Units of reading all of it."""
        return self.outside + self.inside


def decoding_cost(der: bytes, at_most: int, *, inside: bool = True) -> DecodingCost:
    """Return what reading the certificate will cost. inside: its extensions are counted too.

    der: any bytes. What is no DER costs what the part before the first flaw costs: the decoder
    stops there. A wrong length is confined to the element that holds it, so it hides nothing that
    follows. at_most: what costs more need not be counted to its end; the sum is then above it.
    """
    if not _is_one_sequence(der):
        return DecodingCost(_BASE_PRICE, 0)
    # Room to look ahead without asking at each step whether the bytes have ended.
    padded = der + bytes(4)
    outside, extensions = _count(padded, 0, len(der), at_most)
    outside += _BASE_PRICE + (_BINARY_CURVE_PRICE if _BINARY_CURVE.search(der) else 0)
    in_extensions = len(der) // _BYTES_PER_UNIT
    for start, end in extensions if inside else ():
        left = at_most - outside - in_extensions
        if left < 0:
            break
        in_extensions += _count(padded, start, end, left)[0]
    return DecodingCost(outside, in_extensions)


def _count(padded: bytes, at: int, end: int, at_most: int) -> tuple[int, list[tuple[int, int]]]:
    """Return the price of the elements from one position to another, and where extensions are.

    The extensions inside are not counted. Stops above at_most.
    """
    units, ends, extensions = 0, [end], []
    while units <= at_most:
        if at >= end:
            at = ends.pop()
            if not ends:
                break
            end = ends[-1]
            continue
        tag, length = padded[at], padded[at + 1]
        units += _PRICES[tag]
        at += 2
        if length & _LONG_LENGTH:
            size = length & ~_LONG_LENGTH
            length = int.from_bytes(padded[at : at + size], "big")
            at += size
        stop = at + length
        if tag & _CONSTRUCTED:
            end = stop if stop < end else end
            ends.append(end)
            continue
        if tag == _ADDRESS:
            units += 1 + min(length, 32) // 2
        elif tag == _OID:
            units += min(length, _MAX_OID_OCTETS) // _OID_OCTETS_PER_UNIT
        # An extension is an OCTET STRING that holds a SEQUENCE.
        elif tag == _OCTET_STRING and at < end and padded[at] == _SEQUENCE:
            extensions.append((at, min(stop, end)))
        at = stop
    return units, extensions


def _is_one_sequence(der: bytes) -> bool:
    """The bytes are a SEQUENCE and nothing else, which is the first thing that the decoder asks."""
    if len(der) < 2 or der[0] != _SEQUENCE:
        return False
    size = der[1] & ~_LONG_LENGTH if der[1] & _LONG_LENGTH else 0
    length = int.from_bytes(der[2 : 2 + size], "big") if size else der[1]
    return 2 + size + length == len(der)
