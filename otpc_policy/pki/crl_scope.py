"""What a CRL is about, by its extensions, and whether it may be used at all.

The issuer has signed them, and may be hostile: they are bounded before they are read. Source: RFC
5280 5.2, 6.3.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from otpc_policy.pki.der import DerError, Element, inside
from otpc_policy.pki.distribution_points import read_point_name
from otpc_policy.pki.extensions import Extension, list_extensions

# Lists have three or four extensions, of 200 bytes together.
_MAX_BYTES: Final = 65_536
_MAX_EXTENSIONS: Final = 64
_CRL_NUMBER, _DELTA_INDICATOR, _SCOPE = "2.5.29.20", "2.5.29.27", "2.5.29.28"
_AUTHORITY_KEY_IDENTIFIER: Final = "2.5.29.35"
_UNDERSTOOD: Final = frozenset({_CRL_NUMBER, _SCOPE, _AUTHORITY_KEY_IDENTIFIER})
_NAME, _SOME_REASONS = 0xA0, 0x83
_USERS_ONLY, _AUTHORITIES_ONLY, _INDIRECT, _ATTRIBUTES_ONLY = 0x81, 0x82, 0x84, 0x85
_FLAGS: Final = frozenset({_USERS_ONLY, _AUTHORITIES_ONLY, _INDIRECT, _ATTRIBUTES_ONLY})
_PARTS: Final = (_NAME, _USERS_ONLY, _AUTHORITIES_ONLY, _SOME_REASONS, _INDIRECT, _ATTRIBUTES_ONLY)


class CrlScopeError(Exception):
    """The list must not be used. str() says why, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlScope:
    """What a list is about.

    urls: of the distribution point that it is about; None if it is about all of them. has_users,
    has_authorities: the kinds of certificates. has_all_reasons: whoever is not listed is not
    revoked for any reason.
    """

    urls: frozenset[str] | None = None
    has_users: bool = True
    has_authorities: bool = True
    has_all_reasons: bool = True


def read_crl_scope(der: bytes, extensions: Element | None) -> CrlScope:
    """Return the scope. extensions: what holds the SEQUENCE of them; None without any.

    Raises DerError for what cannot be read, and CrlScopeError for a list of other issuers, of
    changes, or that is not understood.
    """
    if extensions is None:
        return CrlScope()
    if extensions.end - extensions.start > _MAX_BYTES:
        raise CrlScopeError(f"the extensions of the CRL take more than {_MAX_BYTES} bytes")
    listed = list_extensions(der, extensions.content, extensions.end)
    if len(listed) > _MAX_EXTENSIONS:
        raise CrlScopeError(f"the CRL has more than {_MAX_EXTENSIONS} extensions")
    _require_use(listed)
    scopes = [each.content for each in listed if each.oid == _SCOPE]
    return _read_scope(der, *scopes[0]) if scopes else CrlScope()


def _require_use(listed: Sequence[Extension]) -> None:
    oids = [extension.oid for extension in listed]
    if len(set(oids)) < len(oids):
        raise CrlScopeError("the CRL has an extension twice")
    if _DELTA_INDICATOR in oids:
        raise CrlScopeError("the CRL is a delta CRL, which lists changes only")
    if any(each.is_critical and each.oid not in _UNDERSTOOD for each in listed):
        raise CrlScopeError("the CRL has a critical extension that is not understood here")


def _read_scope(der: bytes, at: int, end: int) -> CrlScope:
    parts = inside(der, at, end)
    places = {part.tag: part for part in parts}
    if list(places) != [tag for tag in _PARTS if tag in places] or len(places) < len(parts):
        raise DerError("not an issuing distribution point")
    said = {tag for tag in _FLAGS & places.keys() if _is_true(der, places[tag])}
    name = read_point_name(der, places[_NAME]) if _NAME in places else None
    if _INDIRECT in said:
        raise CrlScopeError("the CRL is indirect: it lists certificates of others")
    if name is not None and name.is_relative:
        raise CrlScopeError("the CRL names its distribution point by a relative name")
    is_of_certificates = _ATTRIBUTES_ONLY not in said
    return CrlScope(
        urls=None if name is None else frozenset(name.urls),
        has_users=is_of_certificates and _AUTHORITIES_ONLY not in said,
        has_authorities=is_of_certificates and _USERS_ONLY not in said,
        has_all_reasons=_SOME_REASONS not in places,
    )


def _is_true(der: bytes, flag: Element) -> bool:
    """FALSE is the default and should not be written; many write it."""
    if flag.end - flag.content != 1:
        raise DerError("not a boolean")
    return der[flag.content] != 0
