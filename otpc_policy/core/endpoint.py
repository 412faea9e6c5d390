"""Endpoints: which host, port and server name are meant, parsed once and refused early.

An Endpoint exists only in canonical form, so no other module checks a host name again.
"""

import ipaddress
import re
import unicodedata
from dataclasses import dataclass

import idna

from otpc_policy.core.errors import FieldViolation, InvalidRequest

DEFAULT_PORT = 443

# RFC 1035 2.3.4: 255 octets on the wire are 253 characters in text.
_MAX_HOST_LENGTH = 253
_LABEL_LENGTH = 63
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
# glibc's inet_aton reads 127.1, 0x7f.1, 2130706433 and 0177.0.0.1 as addresses. A name whose last
# label looks like a number is therefore never a name (WHATWG URL, "ends in a number").
_NUMERIC_LABEL = re.compile(r"(?:[0-9]+|0[xX][0-9a-fA-F]*)\Z")
# A canonical name, recognised in one step: there are thousands of configured names. A last label
# that begins with a letter is not a number.
_PLAIN_NAME = re.compile(
    r"(?:[a-z0-9]++(?:-++[a-z0-9]++)*+\.)*[a-z][a-z0-9]*+(?:-++[a-z0-9]++)*+\Z"
)
_PLAIN_LENGTH = 63
# The dot, and the characters that UTS 46 maps to it.
_DOTS = (".", "\u3002", "\uff0e", "\uff61")
# IDNA 2008 allows them between certain letters of Arabic and Indic scripts (RFC 5892 A.1, A.2).
_JOINERS = str.maketrans("", "", "\u200c\u200d")
# RFC 3986: what stands between the scheme, or a user, and whatever follows the host.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?(?P<host>\[[^\]]*\]|[^/?#:@]*)")
_BARE_HOST = "must be a bare host: no scheme, user, port, path, zone or space"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Host, port and server name in canonical form.

    host: A-labels in lower case without a trailing dot, or an IP literal without brackets.
    server_name: what the certificate must match, in the same form; SNI unless it is an IP literal.
    Build one with parse_endpoint.
    """

    host: str
    port: int
    server_name: str

    @property
    def is_ip_literal(self) -> bool:
        """The host is an IP address."""
        return is_ip_literal(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_ip_literal(name: str) -> bool:
    """Whether the name is an IP literal (without brackets), not a DNS name."""
    # Every address has a colon or ends in a digit. Most names are not addresses, and failing to
    # parse one takes twenty times as long.
    if ":" not in name and not name[-1:].isdigit():
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def parse_endpoint(host: str, port: int = 0, server_name: str = "") -> Endpoint:
    """Return the endpoint in canonical form.

    port: 0 means 443. server_name: empty means host.
    Raises InvalidRequest with every violation, by the caller's fault.
    """
    violations: list[FieldViolation] = []
    dialled = _canonical_or_violation("host", host, violations)
    expected = (
        _canonical_or_violation("server_name", server_name, violations) if server_name else dialled
    )
    if server_name and is_ip_literal(expected):
        violations.append(
            FieldViolation(
                "server_name",
                "must be a DNS name (RFC 6066 section 3); leave it empty to match the IP address",
            )
        )
    if not 0 <= port <= 65535:
        violations.append(
            FieldViolation("port", f"{port} is not a TCP port; 1 to 65535, or 0 for {DEFAULT_PORT}")
        )
    if violations:
        raise InvalidRequest(violations)
    return Endpoint(host=dialled, port=port or DEFAULT_PORT, server_name=expected)


def canonical_host(host: str) -> str:
    """Return a DNS name in A-labels or an IP literal in its canonical form.

    ASCII labels follow the host-name rules alone: names such as qa--site, and A-labels that no
    version of IDNA produces, exist and are resolved. IDNA governs labels in other characters.
    Source: RFC 1123 2.1, RFC 5891 (IDNA 2008, with the mapping of UTS 46), RFC 5952.
    Raises ValueError whose text may be shown to the caller.
    """
    if len(host) <= _PLAIN_LENGTH and _PLAIN_NAME.match(host):
        return host
    if not host:
        raise ValueError("is required: a DNS name or an IP literal")
    if url := _URL.match(host, 0, _MAX_HOST_LENGTH):
        raise ValueError(
            f"must be a bare host, and this is a URL; give the host alone: {url['host'] or 'HOST'}"
        )
    if len(host) > 4 * _MAX_HOST_LENGTH:
        raise ValueError(f"is longer than {_MAX_HOST_LENGTH} characters")
    bracketed = host.startswith("[") and host.endswith("]")
    literal = _ip_literal(host[1:-1] if bracketed else host)
    if literal is not None and (not bracketed or ":" in literal):
        return literal
    if bracketed or any(character in host for character in "[]:/?#@%\\ "):
        raise ValueError(_BARE_HOST)
    if not host.translate(_JOINERS).isprintable():
        raise ValueError(_invisible_in(host) or _BARE_HOST)
    name = host[:-1] if host.endswith(_DOTS) else host
    if name is not host and is_ip_literal(name):
        raise ValueError(f"is an IP address with a dot after it; leave the dot away: {name}")
    return _dns_name(name)


def _invisible_in(host: str) -> str:
    """Name the first character that shows nothing: whoever pasted it does not see it either."""
    found = next((each for each in host if unicodedata.category(each) == "Cf"), None)
    if found is None:
        return ""
    name = unicodedata.name(found, "")
    return (
        f"has an invisible character, U+{ord(found):04X}{f' ({name.lower()})' if name else ''},"
        " which host names do not have; leave it away"
    )


def _ip_literal(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return None
    return str(address)


def _dns_name(name: str) -> str:
    try:
        mapped = name.lower() if name.isascii() else idna.uts46_remap(name, std3_rules=False)
        # The mapping turns other characters into dots, too, among them that of Chinese text.
        labels = _ascii_labels(mapped)
    except idna.InvalidCodepointContext:
        raise ValueError(
            "is not a DNS name: it has a joiner or another character in a place where IDNA 2008"
            " does not allow it (RFC 5892 A)"
        ) from None
    except (idna.IDNAError, UnicodeError):
        raise ValueError(
            "is not a DNS name: IDNA 2008 does not allow these characters;"
            " if the name exists, write its A-labels (xn--...)"
        ) from None
    for label in labels:
        if not _LABEL.match(label):
            raise ValueError(f"is not a DNS name: {_problem_with(label)}")
    ascii_name = ".".join(labels)
    if len(ascii_name) > _MAX_HOST_LENGTH:
        raise ValueError(
            f"is not a DNS name: {len(ascii_name)} characters; at most {_MAX_HOST_LENGTH} allowed"
        )
    if _NUMERIC_LABEL.match(labels[-1]):
        raise ValueError("ends in a number but is no IP address in standard form")
    return ascii_name


def _ascii_labels(mapped: str) -> list[str]:
    """Return the labels of a name, and stop where it is too long.

    To encode a label takes 30 microseconds, and in a thousand characters are five hundred of them.
    """
    labels: list[str] = []
    left = _MAX_HOST_LENGTH
    for label in mapped.split("."):
        if left < 0 and not mapped.isascii():
            raise ValueError(
                f"is not a DNS name: in A-labels (xn--...) it has more than {_MAX_HOST_LENGTH}"
                " characters"
            )
        labels.append(_ascii_label(label))
        left -= len(labels[-1]) + 1
    return labels


def _ascii_label(label: str) -> str:
    # IDNA refuses an underscore, too, but with a reason that names code points.
    if label.isascii() or "_" in label:
        return label
    return idna.alabel(label).decode("ascii")


def _problem_with(label: str) -> str:
    """Say why an ASCII label is not one of a host name. Source: RFC 952, RFC 1123 2.1."""
    if not label:
        return "a label is empty (a dot at the beginning, or two in a row)"
    if "_" in label:
        return (
            f"the label {label[:_LABEL_LENGTH]!r} has an underscore; host names have letters,"
            " digits and hyphens only"
        )
    if len(label) > _LABEL_LENGTH:
        return f"a label has {len(label)} characters; at most {_LABEL_LENGTH} allowed"
    if label.startswith("-") or label.endswith("-"):
        return f"the label {label!r} begins or ends with a hyphen"
    return f"the label {label!r} has other characters than letters, digits and hyphens"


def _canonical_or_violation(field: str, host: str, violations: list[FieldViolation]) -> str:
    try:
        return canonical_host(host)
    except ValueError as error:
        violations.append(FieldViolation(field, str(error)))
        return ""
