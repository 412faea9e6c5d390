"""Named groups by code point: the curves, finite fields and KEMs that key exchange may use."""

from collections.abc import Mapping
from functools import cache

from otpc_policy.core.registries.csv_files import assigned_names, read_columns

_REGISTERED = "iana/tls-parameters-8.csv"
_FORBIDDEN_IN_TLS13 = (range(0x0001, 0x0017), range(0x001A, 0x001D), range(0xFF01, 0xFF03))


@cache
def named_groups() -> Mapping[int, str]:
    """Return every registered group: names by code point. Obsolete drafts are among them."""
    return assigned_names(read_columns(_REGISTERED, "Value", "Description"))


def group_name(code_point: int) -> str:
    """Return the name of a group, or its number in hexadecimal."""
    return named_groups().get(code_point, f"0x{code_point:04X}")


def is_forbidden_in_tls13(code_point: int) -> bool:
    """A hello that offers TLS 1.3 only must not name it; a strict server sends illegal_parameter.

    A hello that also offers an older version may name it.
    Source: RFC 8446 4.2.7, obsolete_RESERVED.
    """
    return any(code_point in forbidden for forbidden in _FORBIDDEN_IN_TLS13)
