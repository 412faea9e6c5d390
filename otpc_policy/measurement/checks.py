"""How single values of a message are read: each within its bound, or EngineLied.

field: the name in the contract, for the log.
"""

from collections.abc import Sequence, Sized
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from otpc_policy.measurement.engine_lied import EngineLied
from otpc_policy.measurement.limits import MAX_DURATION_S, MAX_REMARKS, MAX_TEXT_CHARACTERS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOS_A_SECOND = 1_000_000_000
# protobuf's own bound of a Timestamp: the year 9999.
_MAX_SECONDS = 253_402_300_799


def require(holds: bool, what: str) -> None:
    """Raise EngineLied with this text unless the condition holds."""
    if not holds:
        raise EngineLied(what)


def at_most(values: Sized, limit: int, field: str) -> None:
    """Raise EngineLied where there are more than so many. Counting looks at none of them."""
    if len(values) > limit:
        raise EngineLied(f"{field}: {len(values)} entries; {limit} at most")


def is_text(value: str) -> bool:
    """Tell whether a text is printable ASCII, and so safe on a terminal."""
    return value.isascii() and value.isprintable()


def is_seconds(value: float) -> bool:
    """Tell whether seconds are a finite number, not below zero, a day at most."""
    return 0.0 <= value <= MAX_DURATION_S  # false for NaN


def read_text(value: str, field: str) -> str:
    """Return a text for people: short and printable."""
    if len(value) > MAX_TEXT_CHARACTERS or not is_text(value):
        raise EngineLied(f"{field}: not a short printable text")
    return value


def read_texts(values: Sequence[str], field: str) -> tuple[str, ...]:
    """Return texts for people."""
    at_most(values, MAX_REMARKS, field)
    return tuple(read_text(value, field) for value in values)


def require_perspective(named: str, expected: str) -> None:
    """Raise EngineLied where an engine measures from another place than is asked for.

    named: "" where it does not say. expected: "" where any place will do.
    """
    if expected:
        require(named in ("", expected), f"perspective: another one than {expected}")
    else:
        read_text(named, "perspective")


def read_count(value: int, limit: int, field: str) -> int:
    """Return a count within its bound."""
    if value > limit:
        raise EngineLied(f"{field}: more than {limit}")
    return value


def read_duration(value: Duration, field: str) -> timedelta:
    """Return a duration, not below zero, a day at most."""
    seconds, nanos = value.seconds, value.nanos
    if not (0 <= seconds < MAX_DURATION_S and 0 <= nanos < _NANOS_A_SECOND):
        raise EngineLied(f"{field}: not a duration within a day")
    return timedelta(seconds=seconds, microseconds=nanos // 1000)


def read_instant(value: Timestamp, field: str) -> datetime:
    """Return an instant since 1970."""
    seconds, nanos = value.seconds, value.nanos
    if not (0 <= seconds <= _MAX_SECONDS and 0 <= nanos < _NANOS_A_SECOND):
        raise EngineLied(f"{field}: not an instant")
    return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
