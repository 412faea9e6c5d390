"""Instants and durations on the wire. Exact: integers all the way, never floating point."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 86_400

# X.509 dates begin in 1950 (RFC 5280 4.1.2.5.1) and end with 9999, as Timestamps do. The last year
# is left out, so that a lifetime can be added to every instant that is accepted.
_FIRST_S = -631_152_000
_LAST_S = 253_370_764_799
# google/protobuf/duration.proto: about 10,000 years either way.
_MAX_DURATION_S = 315_576_000_000
_MAX_NANOS = 999_999_999
# Longer than any lifetime of a result, and far from where adding it to an instant overflows.
_LONGEST = timedelta(days=3650)


def to_timestamp(at: datetime) -> Timestamp:
    """Return an aware instant as a Timestamp, to the microsecond."""
    message = Timestamp()
    write_timestamp(at, message)
    return message


def write_timestamp(at: datetime, message: Timestamp) -> None:
    """Set a Timestamp to an aware instant, to the microsecond."""
    since = at - _EPOCH
    message.seconds = since.days * _DAY_S + since.seconds
    message.nanos = since.microseconds * 1000


def to_duration(length: timedelta) -> Duration:
    """Return a length of time that is not negative as a Duration, to the microsecond."""
    return Duration(seconds=length.days * _DAY_S + length.seconds, nanos=length.microseconds * 1000)


def read_timestamp(message: Timestamp) -> datetime:
    """Return the instant, truncated to the microsecond.

    Raises ValueError, whose text may be shown to the caller.
    """
    if not 0 <= message.nanos <= _MAX_NANOS:
        raise ValueError("is not a valid google.protobuf.Timestamp")
    if not _FIRST_S <= message.seconds <= _LAST_S:
        raise ValueError("is not in the years 1950 to 9998")
    return _EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)


def read_duration(message: Duration) -> timedelta:
    """Return the length of time, rounded up to the microsecond and capped at ten years.

    Raises ValueError, whose text may be shown to the caller.
    """
    seconds, nanos = message.seconds, message.nanos
    if (
        abs(seconds) > _MAX_DURATION_S
        or abs(nanos) > _MAX_NANOS
        or (seconds > 0 > nanos)
        or (seconds < 0 < nanos)
    ):
        raise ValueError("is not a valid google.protobuf.Duration")
    if seconds > _LONGEST.total_seconds():
        return _LONGEST
    if seconds < -_LONGEST.total_seconds():
        return -_LONGEST
    return timedelta(seconds=seconds, microseconds=-(-nanos // 1000))
