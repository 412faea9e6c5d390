"""Distinguished names: for people, for comparing, and whatever types of string they are written in.

No name is unreadable. A value of a type or in an encoding that nobody defines is equal to the same
bytes of the same type alone, and is shown in hexadecimal. Source: RFC 5280 4.1.2.4, 7.1; RFC 4514.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from otpc_policy.pki.der import (
    OBJECT_IDENTIFIER,
    SEQUENCE,
    SET,
    DerError,
    Element,
    dotted,
    elements,
    only_element,
)

# A relative name: its attributes, each with the octets of its OID, its value, folded, and how often
# it stands there. RFC 5280 7.1: names with another number of attributes are not equal.
RelativeName = frozenset[tuple[bytes, str, int]]

COMMON_NAME = bytes.fromhex("550403")
EMAIL_ADDRESS = bytes.fromhex("2a864886f70d010901")
# The short names of RFC 4514 3.
_SHORT_NAMES: Mapping[bytes, str] = {
    COMMON_NAME: "CN",
    bytes.fromhex("550407"): "L",
    bytes.fromhex("550408"): "ST",
    bytes.fromhex("55040a"): "O",
    bytes.fromhex("55040b"): "OU",
    bytes.fromhex("550406"): "C",
    bytes.fromhex("550409"): "STREET",
    bytes.fromhex("0992268993f22c640119"): "DC",
    bytes.fromhex("0992268993f22c640101"): "UID",
}
# TeletexString is read as ISO 8859-1, which is what it holds in the field, and how OpenSSL reads
# it. BMPString is UCS-2, UniversalString UCS-4.
_ENCODINGS: Mapping[int, str] = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1A: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
# Half of a surrogate pair, which no text that was decoded holds.
_NO_TEXT = "\udcff"
# Control characters that are nothing when names are compared (RFC 4518 2.2). The others, tabulator
# to carriage return and next line, are space; str.split takes four of these for space as well.
_INSIGNIFICANT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]+")
_INSIGNIFICANT_IN_ASCII = dict.fromkeys([*range(0x09), *range(0x0E, 0x20), 0x7F])
# What RFC 4518 2.2 maps to nothing: beyond characters of the category Cf, joiners of graphemes and
# variation selectors; and fillers of Hangul, which show nothing either.
_NOTHING = re.compile(
    "[\u034f\u115f\u1160\u1806\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\ufffc\U000e0100-\U000e01ef]"
)
# Normalizing takes time in proportion to the square of a run of accents. RFC 5280 A.1 allows 64
# characters in an organization and 128 in a locality.
_MAX_PREPARED = 128
_ESCAPED = frozenset('",+;<>\\')


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DistinguishedName:
    """A Name.

    text: by RFC 4514, not yet fit for terminals. key: equal for names that RFC 5280 7.1 calls
    equal. relative_names: what the key is made of, from the root downwards. attributes: OID in
    octets and value, in the order of the encoding.
    """

    text: str
    key: bytes
    relative_names: tuple[RelativeName, ...]
    attributes: tuple[tuple[bytes, str], ...]

    @property
    def is_empty(self) -> bool:
        """There is no attribute in it."""
        return not self.attributes

    @property
    def has_unread_value(self) -> bool:
        """A value is of a type or in an encoding that cannot be read as text."""
        return any(
            value.startswith(_NO_TEXT)
            for relative in self.relative_names
            for _, value, _ in relative
        )

    def values_of(self, kind: bytes) -> tuple[str, ...]:
        """Return the values of one kind of attribute. kind: its OID in octets."""
        return tuple(value for oid, value in self.attributes if oid == kind)


def read_name(der: bytes, at: int, end: int) -> DistinguishedName:
    """Read the Name that fills the range. Raises DerError where there is no such structure."""
    outer = only_element(der, at, end, SEQUENCE)
    return read_relative_names(der, outer.content, outer.end)


def read_relative_names(der: bytes, at: int, end: int) -> DistinguishedName:
    """The same for the content of the SEQUENCE."""
    texts, relative_names, attributes = [], [], []
    for relative in elements(der, at, end):
        if relative.tag != SET:
            raise DerError("not a relative name")
        parts, folded = [], []
        for pair in elements(der, relative.content, relative.end):
            if pair.tag != SEQUENCE:
                raise DerError("not an attribute")
            kind, value = _two(der, pair.content, pair.end)
            oid, content = der[kind.content : kind.end], der[value.content : value.end]
            text = _text(value.tag, content)
            if text is None:
                shown = f"#{der[value.start : value.end].hex()}"
                folded.append((oid, _NO_TEXT + shown))
                text = shown
            else:
                shown = _escaped(text)
                folded.append((oid, _folded(text)))
            attributes.append((oid, text))
            parts.append(f"{_SHORT_NAMES.get(oid) or _dotted(oid)}={shown}")
        if not parts:
            raise DerError("an empty relative name")
        texts.append("+".join(parts))
        counts = Counter(folded) if len(folded) > 1 else {folded[0]: 1}
        relative_names.append(frozenset((*pair, count) for pair, count in counts.items()))
    return DistinguishedName(
        text=",".join(reversed(texts)),
        key=_key(relative_names),
        relative_names=tuple(relative_names),
        attributes=tuple(attributes),
    )


def _two(der: bytes, at: int, end: int) -> tuple[Element, Element]:
    found = elements(der, at, end)
    if len(found) != 2 or found[0].tag != OBJECT_IDENTIFIER:
        raise DerError("not an attribute")
    return found[0], found[1]


def _dotted(oid: bytes) -> str:
    try:
        return dotted(oid)
    except DerError:
        return f"#{oid.hex()}"


def _text(tag: int, content: bytes) -> str | None:
    encoding = _ENCODINGS.get(tag)
    if encoding is None:
        return None
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return None


def _folded(text: str) -> str:
    """Return the value as it is compared: case and insignificant characters do not count."""
    if not text.isprintable():
        # Names may be long, and for ASCII a table takes a fraction of the time.
        text = (
            text.translate(_INSIGNIFICANT_IN_ASCII)
            if text.isascii()
            else _INSIGNIFICANT.sub("", text)
        )
    return " ".join(text.casefold().split())


def prepared(relative: RelativeName) -> RelativeName | None:
    """Return a relative name in which characters that look the same or like nothing are the same.

    For exclusion alone: more names are equal so than RFC 5280 7.1 in the reading of those who
    validate says, and no name escapes by full-width letters or a soft hyphen. None for a name with
    a value that is too long to be prepared. Source: RFC 4518 2.2 to 2.4.
    """
    if all(value.isascii() for _, value, _ in relative):
        return relative
    counts: Counter[tuple[bytes, str]] = Counter()
    for oid, value, count in relative:
        is_final = value.isascii() or value.startswith(_NO_TEXT)
        if not is_final and len(value) > _MAX_PREPARED:
            return None
        counts[oid, value if is_final else _prepared(value)] += count
    return frozenset((*pair, count) for pair, count in counts.items())


def _prepared(value: str) -> str:
    letters = unicodedata.normalize("NFKC", _NOTHING.sub("", value))
    shown = "".join(each for each in letters if unicodedata.category(each) != "Cf")
    return _folded(unicodedata.normalize("NFKC", _folded(_NOTHING.sub("", shown))))


def _escaped(text: str) -> str:
    """Escape a value as RFC 4514 2.4 says."""
    if not text:
        return text
    if not _ESCAPED.isdisjoint(text) or "\0" in text:
        text = "".join(
            f"\\{letter}" if letter in _ESCAPED else "\\00" if letter == "\0" else letter
            for letter in text
        )
    if text[0] in "# ":
        text = "\\" + text
    return text[:-1] + "\\ " if text[-1] == " " and len(text) > 1 else text


def _key(relative_names: list[RelativeName]) -> bytes:
    """Return a digest, so that comparing costs the same for names of any length."""
    digest = hashlib.sha256()
    for relative in relative_names:
        # repr is unambiguous about where each part ends.
        digest.update(repr(sorted(relative)).encode())
        digest.update(b"/")
    return digest.digest()
