"""How single values of an entry are read. Each raises ValueError with a text for whoever wrote the entry."""

import re
from datetime import UTC, datetime

from otpc_policy.catalog.partners.entry import EndpointPattern
from otpc_policy.endpoint import DEFAULT_PORT, canonical_host, is_ip_literal
from otpc_policy.facts import ClientAuth, TlsVersion
from otpc_policy.pki.anchors import problem_with_anchor
from otpc_policy.pki.pem import read_pem_bundle
from otpc_policy.tls.suites import suite_by_name

# It stands in responses and logs.
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
_ENDPOINT = re.compile(r"(?P<host>\[[^\]]*\]|[^\[\]:]+)(?::(?P<port>[^:]*))?\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_VERSIONS = frozenset(version.label for version in TlsVersion)
# No one plans further; and instants near the end of the calendar cannot be reckoned with.
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def read_text(value: object) -> str:
    """Read a text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} is not a text that says something")
    return value


def read_id(value: object) -> str:
    """Read a partner's id."""
    if not isinstance(value, str) or not _ID.match(value):
        raise ValueError(
            f"{value!r} is no id: lower-case letters, digits, '.', '_' and '-', at most 63, the first a letter or digit"
        )
    return value


def read_endpoint(value: object) -> EndpointPattern:
    """Read "host", "host:port", "*.name:port" or "[address]:port"; without a port, 443 is meant.

    A wildcard is the whole left-most label and stands for exactly one; two labels at least follow, so that nobody is given a top-level domain.
    """
    if not isinstance(value, str):
        raise ValueError(f'{value!r} is no endpoint such as "api.partner.example:443"')
    host, port = _split(value)
    is_wildcard = host.startswith("*.")
    bare = host[2:] if is_wildcard else host
    if "*" in bare:
        raise ValueError(
            f"{value!r}: a wildcard is the whole left-most label, as in *.partner.example; no part of a label, and nowhere else"
        )
    try:
        name = canonical_host(bare)
    except ValueError as error:
        raise ValueError(f"{value!r}: the host {error}") from None
    if is_wildcard and ("." not in name or (name[-1].isdigit() and is_ip_literal(name))):
        raise ValueError(f"{value!r}: at least two labels of a name must follow the wildcard")
    return EndpointPattern(name, port, is_wildcard)


def _split(text: str) -> tuple[str, int]:
    found = _ENDPOINT.match(text)
    if found is None:
        raise ValueError(
            f'{text!r} is no endpoint: "host" or "host:port", an IPv6 address in brackets as in [2001:db8::1]:443'
        )
    host, port = found["host"], found["port"]
    if port is None:
        return host, DEFAULT_PORT
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535):
        raise ValueError(f"{text!r}: {port!r} is no TCP port, 1 to 65535")
    return host, int(port)


def read_server_name(value: object) -> str:
    """Read a DNS name."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a DNS name")
    try:
        name = canonical_host(value)
    except ValueError as error:
        raise ValueError(f"{value!r} {error}") from None
    if is_ip_literal(name):
        raise ValueError(
            f"{value!r} is an IP address; a server name is a DNS name (RFC 6066 section 3)"
        )
    return name


def read_client_auth(value: object) -> ClientAuth:
    """Read the agreement about client certificates."""
    if value == "required":
        return ClientAuth.REQUIRED
    if value == "none":
        return ClientAuth.NONE
    raise ValueError(f'{value!r} is neither "required" nor "none"')


def read_sha256(value: object) -> str:
    """Read a SHA-256: 64 hexadecimal digits, colons and case do not matter."""
    digest = value.replace(":", "").strip().lower() if isinstance(value, str) else ""
    if not _SHA256.match(digest):
        raise ValueError(
            f"{value!r} is no SHA-256 in hexadecimal: 64 digits, with or without colons"
        )
    return digest


def read_anchors(value: object) -> tuple[bytes, ...]:
    """Read CA certificates in PEM."""
    anchors = read_pem_bundle(read_text(value))
    for number, anchor in enumerate(anchors, 1):
        if problem := problem_with_anchor(anchor):
            raise ValueError(f"certificate {number}: {problem}")
    return anchors


def read_end(value: object) -> datetime:
    """Read an instant with its offset."""
    if not isinstance(value, datetime):
        raise ValueError(f"{value!r} is no instant such as 2027-03-01T00:00:00Z")
    if value.tzinfo is None:
        raise ValueError(
            f"{value.isoformat()} lacks its offset; write {value.isoformat()}Z for UTC"
        )
    if not _EARLIEST <= value < _LATEST:
        raise ValueError(f"{value.isoformat()} is too far away to mean anything")
    return value


def read_suite(value: object) -> str:
    """Read the IANA name of a cipher suite."""
    suite = suite_by_name(value) if isinstance(value, str) else None
    if suite is None:
        raise ValueError(f"{value!r} is not the IANA name of a cipher suite")
    if suite.iana_name != value:
        raise ValueError(f"{value!r} is OpenSSL's name; write {suite.iana_name!r}")
    return suite.iana_name


def read_version(value: object) -> str:
    """Read the label of a version of the protocol."""
    if not isinstance(value, str) or value not in _VERSIONS:
        raise ValueError(f"{value!r} is not one of {', '.join(sorted(_VERSIONS))}")
    return value
