"""Names of callers: what is a valid name of each kind, and patterns over them in documents.

A certificate and a document are read by the same rules, so that a name either can be written down
and met, or is neither. Names are compared exactly, and never across kinds: an issuer that vouches
for a DNS name has not vouched for a URI of the same text.
"""

import re
from dataclasses import dataclass

from otpc_policy.core.caller import Identity, IdentityKind

EVERY_CALLER = "*"
"""What a document says of every caller whom the listener admits."""

_SPIFFE_SCHEME = "spiffe://"
# SPIFFE-ID, sections 2.1 to 2.4: lower-case trust domain, plain segments, at most 2048 bytes.
_MAX_SPIFFE_LENGTH = 2048
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}\Z")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+\Z")
# RFC 3986: an absolute URI; RFC 5280 4.2.1.6 forbids relative ones. Printable, so that it can stand
# in a log line.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+\Z")
_MAX_URI_LENGTH = 2048
# As in certificates of services: host names, and underscores, which compose files like.
_DNS_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_MAX_DNS_LENGTH = 253

_HOW_TO_NAME = (
    'name a caller by "spiffe://domain/path", by another URI as "uri:https://...", or by a DNS name'
)


def identity_of(kind: IdentityKind, name: str) -> Identity | None:
    """Return the identity of a name in a certificate; None if it is no valid name of its kind.

    A URI that claims the scheme of SPIFFE is a SPIFFE id or nothing.
    """
    match kind:
        case IdentityKind.SPIFFE:
            return None if _problem_with_spiffe(name) else Identity(kind, name)
        case IdentityKind.URI:
            return None if _problem_with_uri(name) else Identity(kind, name)
        case IdentityKind.DNS:
            lower = name.lower()
            return None if _problem_with_dns(lower) else Identity(kind, lower)


def claims_spiffe(uri: str) -> bool:
    """Whether a URI has the scheme of SPIFFE, in whatever case."""
    return uri[: len(_SPIFFE_SCHEME)].lower() == _SPIFFE_SCHEME


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityPattern:
    """Which callers are meant.

    text: as it was written. kind: None for every caller, whatever it presents.
    name: the name; with is_wildcard, what precedes the further segments of a SPIFFE id (with its
        slash), or what follows the one further label of a DNS name (with its dot).
    """

    text: str
    kind: IdentityKind | None
    name: str = ""
    is_wildcard: bool = False

    def matches(self, identity: Identity) -> bool:
        """Whether it means this identity."""
        if self.kind is None:
            return True
        if identity.kind is not self.kind:
            return False
        if not self.is_wildcard:
            return identity.name == self.name
        if self.kind is IdentityKind.DNS:
            return identity.name.endswith(self.name) and "." not in identity.name[: -len(self.name)]
        return identity.name.startswith(self.name)

    def __str__(self) -> str:
        return self.text


def read_identity_pattern(text: str) -> IdentityPattern:
    """Read a name of callers in a document.

    "spiffe://domain/path", or "spiffe://domain/path/*" for everything below; "uri:URI", or a text
    with "://"; "dns:NAME", or any other text; "*.NAME" for exactly one more label; "*" for every
    caller. Raises ValueError.
    """
    written = text.strip()
    if written == EVERY_CALLER:
        return IdentityPattern(text=written, kind=None)
    if written.startswith("uri:"):
        return _uri_pattern(written, written.removeprefix("uri:"))
    if written.startswith("dns:"):
        return _dns_pattern(written, written.removeprefix("dns:"))
    if claims_spiffe(written):
        return _spiffe_pattern(written)
    if "://" in written:
        return _uri_pattern(written, written)
    return _dns_pattern(written, written)


def read_identity(text: str) -> Identity:
    """Read one name of a caller, as read_identity_pattern does. Raises ValueError for a pattern."""
    pattern = read_identity_pattern(text)
    if pattern.kind is None or pattern.is_wildcard:
        raise ValueError(f"{text!r} is a pattern; a caller has a name")
    return Identity(pattern.kind, pattern.name)


def _spiffe_pattern(text: str) -> IdentityPattern:
    is_wildcard = text.endswith("/*")
    # The shortest id that the pattern means has one more segment.
    if problem := _problem_with_spiffe(f"{text[:-1]}x" if is_wildcard else text):
        raise ValueError(f"{text!r} is not a SPIFFE id: {problem}")
    name = text[:-1] if is_wildcard else text
    return IdentityPattern(text=text, kind=IdentityKind.SPIFFE, name=name, is_wildcard=is_wildcard)


def _uri_pattern(text: str, uri: str) -> IdentityPattern:
    if problem := _problem_with_uri(uri):
        raise ValueError(f"{text!r} is not a URI that names a caller: {problem}")
    return IdentityPattern(text=text, kind=IdentityKind.URI, name=uri)


def _dns_pattern(text: str, name: str) -> IdentityPattern:
    is_wildcard = name.startswith("*.")
    lower = name.lower()
    if problem := _problem_with_dns(f"x{lower[1:]}" if is_wildcard else lower):
        raise ValueError(f"{text!r} is not a DNS name: {problem}; {_HOW_TO_NAME}")
    if is_wildcard and "." not in lower[2:]:
        raise ValueError(f"{text!r}: a wildcard must be followed by at least two labels")
    name = lower[1:] if is_wildcard else lower
    return IdentityPattern(text=text, kind=IdentityKind.DNS, name=name, is_wildcard=is_wildcard)


def _problem_with_spiffe(text: str) -> str:
    if not text.startswith(_SPIFFE_SCHEME):
        return f"it must begin with {_SPIFFE_SCHEME}, in lower case"
    if len(text) > _MAX_SPIFFE_LENGTH:
        return f"it is longer than {_MAX_SPIFFE_LENGTH} characters"
    domain, slash, path = text.removeprefix(_SPIFFE_SCHEME).partition("/")
    if not _TRUST_DOMAIN.match(domain):
        return "its trust domain must be lower-case letters, digits, '.', '_' and '-'"
    if not slash:
        return "it has no path; a caller has one (X.509-SVID)"
    for segment in path.split("/"):
        if not _SEGMENT.match(segment) or segment in (".", ".."):
            return f"its path has the segment {segment!r}; letters, digits, '.', '_', '-' only"
    return ""


def _problem_with_uri(text: str) -> str:
    if claims_spiffe(text):
        return "it has the scheme of SPIFFE; write it without uri:"
    if len(text) > _MAX_URI_LENGTH:
        return f"it is longer than {_MAX_URI_LENGTH} characters"
    if not _URI.match(text):
        return "it must have a scheme, and printable ASCII characters without spaces"
    return ""


def _problem_with_dns(lower: str) -> str:
    if not lower:
        return "it is empty"
    if len(lower) > _MAX_DNS_LENGTH:
        return f"it is longer than {_MAX_DNS_LENGTH} characters"
    labels = lower.split(".")
    for label in labels:
        if not _DNS_LABEL.match(label):
            return f"{label!r} is not a label: letters, digits, hyphens and underscores"
    if labels[-1].isdigit():
        return "it ends in a number"
    return ""
