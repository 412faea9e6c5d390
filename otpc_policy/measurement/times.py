"""Instants and durations as the well-known types; `checks` reads them."""

from datetime import datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp


def encode_instant(at: datetime) -> Timestamp:
    """Return an instant. Raises ValueError for one without a time zone."""
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no time zone")
    message = Timestamp()
    message.FromDatetime(at)
    return message


def encode_duration(duration: timedelta) -> Duration:
    """Return a duration."""
    message = Duration()
    message.FromTimedelta(duration)
    return message
