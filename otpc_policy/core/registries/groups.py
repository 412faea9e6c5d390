"""Named groups by code point: the curves, finite fields and KEMs that key exchange may use."""

import re
from collections.abc import Mapping
from enum import Enum
from functools import cache

from otpc_policy.core.registries.csv_files import assigned_names, read_columns

_REGISTERED = "iana/tls-parameters-8.csv"
# What clients offer: the curves and finite fields of RFC 8446, and hybrids with ML-KEM
# (draft-ietf-tls-ecdhe-mlkem). A measurement of groups asks about each of these. Those that servers
# accept most often stand first within their kind.
X25519, X448 = 29, 30
CLIENT_CURVES = (X25519, 23, 24, 25, X448)
CLIENT_FINITE_FIELDS = (256, 257, 258, 259, 260)
CLIENT_HYBRIDS = (0x11EC, 0x11EB, 0x11ED)
CLIENT_GROUPS = (*CLIENT_HYBRIDS, *CLIENT_CURVES, *CLIENT_FINITE_FIELDS)
_SM2 = 41
# Whose names do not hold their size.
_BITS: Mapping[int, int] = {X25519: 255, X448: 448, _SM2: 256}
_SIZE = re.compile(r"[0-9]{3,}")
_FINITE_FIELDS = range(0x0100, 0x0200)
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


class GroupKind(Enum):
    """What the security of a group rests on.

    POST_QUANTUM: ML-KEM or Kyber, alone or with a curve; no client offers it below TLS 1.3.
    """

    CURVE = "elliptic curve"
    FINITE_FIELD = "finite field"
    POST_QUANTUM = "post-quantum"


def group_kind(code_point: int) -> GroupKind:
    """Return the kind of a group. What is not registered counts as a curve, as most groups are."""
    if code_point in _FINITE_FIELDS:
        return GroupKind.FINITE_FIELD
    name = group_name(code_point)
    return GroupKind.POST_QUANTUM if "KEM" in name or "Kyber" in name else GroupKind.CURVE


def group_bits(code_point: int) -> int | None:
    """Return the size of a curve or a prime in bits; None for post-quantum and unknown groups."""
    if code_point not in named_groups() or group_kind(code_point) is GroupKind.POST_QUANTUM:
        return None
    if code_point in _BITS:
        return _BITS[code_point]
    size = _SIZE.search(group_name(code_point))
    return int(size[0]) if size is not None else None


def group_by_name(name: str) -> int | None:
    """Return the code point that IANA gives to a name, or None."""
    return _code_points().get(name)


@cache
def _code_points() -> Mapping[str, int]:
    return {name: code_point for code_point, name in named_groups().items()}
