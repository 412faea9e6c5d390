"""CRL distribution points: where a certificate says its list is, and which place a list is about.

Each point is read by itself. Whatever else a certificate holds, and whatever another point is, the
URLs of a point that can be read count. Source: RFC 5280 4.2.1.13, 5.2.5.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from otpc_policy.pki.der import (
    SEQUENCE,
    DerError,
    Element,
    each_element,
    few_elements,
    only_element,
)

_FULL_NAME, _RELATIVE_NAME = 0xA0, 0xA1
_NAME, _REASONS, _ISSUER = 0xA0, 0x81, 0xA2
_URI, _CONTEXT = 0x86, 0x80
_MAX_POINTS_LOOKED_AT = 16
_MAX_URLS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PointName:
    """What a distribution point is called.

    urls: ASCII, as written, the first eight. has_unread_url: there is one that is not ASCII, or a
    ninth. is_relative: it is called relative to its issuer, and has no URL.
    """

    urls: tuple[str, ...] = ()
    has_unread_url: bool = False
    is_relative: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributionPoint:
    """One point. is_partial: its lists leave reasons out, or are signed by another issuer."""

    name: PointName
    is_partial: bool


@dataclass(frozen=True, slots=True)
class DistributionPoints:
    """The points that can be read, in their order. has_unread: there are others."""

    points: tuple[DistributionPoint, ...] = ()
    has_unread: bool = False


def read_distribution_points(der: bytes, at: int, end: int) -> DistributionPoints:
    """Return the points of the extension whose value fills the range.

    An extension that cannot be read is one of which all points are unread.
    """
    points: list[DistributionPoint] = []
    has_unread = False
    try:
        outer = only_element(der, at, end, SEQUENCE)
        found = list(islice(each_element(der, outer.content, outer.end), _MAX_POINTS_LOOKED_AT + 1))
    except DerError:
        return DistributionPoints(has_unread=True)
    for each in found[:_MAX_POINTS_LOOKED_AT]:
        try:
            points.append(_point(der, each))
        except DerError:
            has_unread = True
    return DistributionPoints(
        tuple(points), has_unread or not found or len(found) > _MAX_POINTS_LOOKED_AT
    )


def read_point_name(der: bytes, outer: Element) -> PointName:
    """Return the name that the element of a DistributionPointName holds. Raises DerError."""
    found = few_elements(der, outer.content, outer.end, 1)
    if not found or found[0].tag not in (_FULL_NAME, _RELATIVE_NAME):
        raise DerError("not a name of a distribution point")
    name = found[0]
    if name.tag == _RELATIVE_NAME:
        return PointName(is_relative=True)
    urls: list[str] = []
    has_unread_url = False
    for octets in _urls(der, name):
        try:
            urls.append(octets.decode("ascii"))
        except UnicodeDecodeError:
            has_unread_url = True
    return PointName(
        urls=tuple(urls[:_MAX_URLS]), has_unread_url=has_unread_url or len(urls) > _MAX_URLS
    )


def _urls(der: bytes, names: Element) -> Iterator[bytes]:
    for name in each_element(der, names.content, names.end):
        if not name.tag & _CONTEXT:
            raise DerError("not a general name")
        if name.tag == _URI:
            yield der[name.content : name.end]


def _point(der: bytes, outer: Element) -> DistributionPoint:
    parts = few_elements(der, outer.content, outer.end, 3)
    tags = [part.tag for part in parts]
    if outer.tag != SEQUENCE or not parts or tags != sorted(set(tags), key=_order):
        raise DerError("not a distribution point")
    named = parts[0].tag == _NAME
    if not named and _ISSUER not in tags:
        raise DerError("a distribution point without a name")
    return DistributionPoint(
        name=read_point_name(der, parts[0]) if named else PointName(),
        is_partial=bool({_REASONS, _ISSUER} & set(tags)),
    )


def _order(tag: int) -> int:
    """Return the place of a part of a distribution point. Raises DerError for another element."""
    if tag not in (_NAME, _REASONS, _ISSUER):
        raise DerError("not a distribution point")
    return tag & 0x1F
