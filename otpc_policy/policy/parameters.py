"""The parameters that rules take from the policy document, and their readers.

A reader takes a TOML value and raises ValueError, whose text is shown to the document's author.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar, cast

from otpc_policy.core.facts import KeyType, TlsVersion, Vulnerability
from otpc_policy.core.registries.groups import CLIENT_GROUPS, group_by_name, group_name
from otpc_policy.core.registries.suites import CipherSuite, suite_by_name

T = TypeVar("T")

# What servers call them, in lower case.
_OTHER_GROUP_NAMES: Mapping[str, str] = {
    "p-256": "secp256r1",
    "prime256v1": "secp256r1",
    "p-384": "secp384r1",
    "p-521": "secp521r1",
}


@dataclass(frozen=True, slots=True)
class Parameter(Generic[T]):
    """One parameter of one rule. Policies hold only values that read has returned."""

    name: str
    read: Callable[[object], T]

    def of(self, parameters: Mapping[str, object]) -> T:
        """Return the value that a policy sets."""
        return cast(T, parameters[self.name])


def positive_integer(value: object) -> int:
    """Read an integer above zero."""
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ValueError("must be a whole number above 0")
    return value


def share(value: object) -> Fraction:
    """Read a share such as "1/3": above 0, at most 1. Text, since a third has no exact decimal."""
    try:
        fraction = Fraction(value) if isinstance(value, str) else None
    except (ValueError, ZeroDivisionError):
        fraction = None
    if fraction is None or not 0 < fraction <= 1:
        raise ValueError('must be a share: text such as "1/3", above 0 and at most 1')
    return fraction


def one_of(*choices: str) -> Callable[[object], str]:
    """Return a reader of one of these words."""

    def read(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return value

    return read


def some_of(*choices: str) -> Callable[[object], tuple[str, ...]]:
    """Return a reader of a list that holds at least one of these words and nothing else."""
    read_one = one_of(*choices)

    def read(value: object) -> tuple[str, ...]:
        return tuple(read_one(item) for item in _texts(value))

    return read


def suites_before_tls13(value: object) -> tuple[str, ...]:
    """Read a list of IANA names of cipher suites that exist in TLS 1.2."""
    suites = tuple(_suite(item) for item in _texts(value))
    for suite in suites:
        if suite.is_tls13:
            raise ValueError(f"{suite.iana_name!r} does not exist in TLS 1.2")
    return tuple(suite.iana_name for suite in suites)


def suites(value: object) -> tuple[str, ...]:
    """Read a list of IANA names of cipher suites of any version of TLS."""
    return tuple(_suite(item).iana_name for item in _texts(value))


def groups(value: object) -> tuple[str, ...]:
    """Read a list of IANA names of groups."""
    names = tuple(_texts(value))
    for name in names:
        if group_by_name(name) is None:
            other = _OTHER_GROUP_NAMES.get(name.lower())
            hint = "" if other is None else f"; write {other!r}"
            raise ValueError(f"{name!r} is not the IANA name of a group{hint}")
    return names


def measured_groups(value: object) -> tuple[str, ...]:
    """Read a list of IANA names of groups that a measurement asks about."""
    names = groups(value)
    measured = tuple(map(group_name, CLIENT_GROUPS))
    for name in names:
        if name not in measured:
            raise ValueError(f"{name!r} is not measured; expected one of {', '.join(measured)}")
    return names


version_labels = some_of(*(version.label for version in TlsVersion))
key_types = some_of(*(key_type.value for key_type in KeyType))
vulnerabilities = some_of(*(vulnerability.value for vulnerability in Vulnerability))


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise ValueError("must be a list of at least one text")
    return cast(list[str], value)


def _suite(name: str) -> CipherSuite:
    suite = suite_by_name(name)
    if suite is None:
        raise ValueError(f"{name!r} is not the IANA name of a cipher suite")
    if suite.iana_name != name:
        raise ValueError(f"{name!r} is OpenSSL's name; write {suite.iana_name!r}")
    if suite.is_ssl2:
        raise ValueError(f"{name!r} is of SSL 2; it does not exist in TLS")
    return suite
