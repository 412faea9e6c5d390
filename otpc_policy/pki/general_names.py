"""General names, as a subjectAltName or a name constraint holds them: sorted by kind, each by
itself.

A name that cannot be read spoils no other one. What it would have been is remembered by its kind.
Source: RFC 5280 4.2.1.6.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from otpc_policy.pki.der import OBJECT_IDENTIFIER, DerError, Element, dotted, elements
from otpc_policy.pki.distinguished_name import DistinguishedName, read_name

# Kinds of names are their context tags; of otherName, which holds anything, the tag and the OID of
# what it is.
Kind = int | tuple[int, str]
OTHER, MAIL, DNS, X400, DIRECTORY, EDI, URI, ADDRESS, REGISTERED = range(9)
_CLASS_AND_FORM, _NUMBER = 0xE0, 0x1F
_CONTEXT, _CONSTRUCTED = 0x80, 0x20
_TEXTS = (MAIL, DNS, URI)
_STRUCTURES = (OTHER, X400, DIRECTORY, EDI)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GeneralNames:
    """Names by kind, in their order.

    dns, mails, uris: as written, ASCII. addresses: octets, whatever their number; in constraints
    each is followed by its mask. others: the kinds that stand here and are not taken apart.
    unread: the kinds of names that are not what their kind says. count: of all of them.
    """

    dns: tuple[str, ...] = ()
    mails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    addresses: tuple[bytes, ...] = ()
    directories: tuple[DistinguishedName, ...] = ()
    others: frozenset[Kind] = frozenset()
    unread: frozenset[Kind] = frozenset()
    count: int = 0


NO_NAMES = GeneralNames()


def read_general_names(der: bytes, names: Sequence[Element]) -> GeneralNames:
    """Sort names by kind. Raises DerError for an element that is not a general name at all."""
    texts: dict[int, list[str]] = {kind: [] for kind in _TEXTS}
    addresses: list[bytes] = []
    directories: list[DistinguishedName] = []
    others: set[Kind] = set()
    unread: set[Kind] = set()
    for tag, _start, content, end in names:
        kind = tag & _NUMBER
        form = _CONTEXT | (_CONSTRUCTED if kind in _STRUCTURES else 0)
        if tag & _CLASS_AND_FORM != form or kind > REGISTERED:
            raise DerError("not a general name")
        if kind in texts:
            try:
                texts[kind].append(der[content:end].decode("ascii"))
            except UnicodeDecodeError:
                unread.add(kind)
        elif kind == ADDRESS:
            addresses.append(der[content:end])
        elif kind == DIRECTORY:
            try:
                directories.append(read_name(der, content, end))
            except DerError:
                unread.add(kind)
        elif kind == OTHER:
            others.add(_kind_of_other(der, content, end))
        else:
            others.add(kind)
    return GeneralNames(
        dns=tuple(texts[DNS]),
        mails=tuple(texts[MAIL]),
        uris=tuple(texts[URI]),
        addresses=tuple(addresses),
        directories=tuple(directories),
        others=frozenset(others),
        unread=frozenset(unread),
        count=len(names),
    )


def _kind_of_other(der: bytes, at: int, end: int) -> Kind:
    """Return the kind of an otherName; one that does not say which it is, is of every kind."""
    try:
        parts = elements(der, at, end)
        if parts and parts[0].tag == OBJECT_IDENTIFIER:
            return OTHER, dotted(der[parts[0].content : parts[0].end])
    except DerError:
        pass
    return OTHER
