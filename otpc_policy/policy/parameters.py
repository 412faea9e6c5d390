"""The parameters that rules take from the policy document, and their readers.

A reader takes a TOML value and raises ValueError, whose text is shown to the document's author.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from fractions import Fraction
from types import MappingProxyType
from typing import Generic, TypeVar, cast

from otpc_policy.core.facts import KeyType, TlsVersion, Vulnerability
from otpc_policy.core.registries.groups import CLIENT_GROUPS, group_by_name, group_name
from otpc_policy.core.registries.suites import CipherSuite, suite_by_name

T = TypeVar("T")

_NAMES = (
    "must be a list of at least one name: text, or a table such as"
    ' {name = "...", until = 2030-01-01T00:00:00Z}'
)
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)

# What servers call them, in lower case.
_OTHER_GROUP_NAMES: Mapping[str, str] = {
    "p-256": "secp256r1",
    "prime256v1": "secp256r1",
    "p-384": "secp384r1",
    "p-521": "secp521r1",
}


@dataclass(frozen=True, slots=True)
class Permitted:
    """Names that a policy permits, some of them only until an instant.

    names: all of them, in the order of the document. until: by name, the instant from which on it
    is no longer permitted; a name that is not in it has no end.
    """

    names: tuple[str, ...]
    until: Mapping[str, datetime] = field(default_factory=lambda: MappingProxyType({}))

    def at(self, now: datetime) -> tuple[str, ...]:
        """Return the names that are permitted at an instant."""
        return tuple(name for name in self.names if not self.has_ended(name, now))

    def has_ended(self, name: str, now: datetime) -> bool:
        """Whether the name is no longer permitted at an instant."""
        return name in self.until and self.until[name] <= now

    @property
    def lasting(self) -> tuple[str, ...]:
        """The names that have no end."""
        return tuple(name for name in self.names if name not in self.until)


class _Obligatory(Enum):
    """A parameter that every document has to set."""

    MUST_BE_SET = "must be set"


@dataclass(frozen=True, slots=True)
class Parameter(Generic[T]):
    """One parameter of one rule. Policies hold only values that read has returned.

    default: of documents that do not set it; a parameter that came later than its rule has one, so
    that documents of operators stay valid and mean what they meant.
    """

    name: str
    read: Callable[[object], T]
    default: T | _Obligatory = _Obligatory.MUST_BE_SET

    @property
    def must_be_set(self) -> bool:
        """Whether a document that extends nothing has to set it."""
        return self.default is _Obligatory.MUST_BE_SET

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


def permitted(read: Callable[[object], tuple[str, ...]]) -> Callable[[object], Permitted]:
    """Return a reader of a list of names, of which some are permitted only until an instant.

    Such a name is written as a table: {name = "TLS 1.2", until = 2032-01-01T00:00:00Z}.
    read: of a list of names without ends.
    """

    def read_permitted(value: object) -> Permitted:
        if not isinstance(value, list) or not value:
            raise ValueError(_NAMES)
        names: list[str] = []
        until: dict[str, datetime] = {}
        for item in value:
            match item:
                case str():
                    names.append(item)
                case {"name": str(name), "until": end, **others} if not others:
                    names.append(name)
                    until[name] = _instant(name, end)
                case _:
                    raise ValueError(_NAMES)
        if twice := next((name for name in until if names.count(name) > 1), None):
            raise ValueError(f"{twice!r} is listed twice, and permitted until an instant only")
        return Permitted(read(names), MappingProxyType(until))

    return read_permitted


def _instant(name: str, value: object) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(
            f"{name!r}: until must be a date and time with a zone, such as 2030-01-01T00:00:00Z"
        )
    # Times are formatted and compared with others; near the ends of the calendar that overflows.
    if not _EARLIEST <= value < _LATEST:
        raise ValueError(f"{name!r}: until must be between 1970 and 9000")
    return value.astimezone(UTC)


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
