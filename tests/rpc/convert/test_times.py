"""Instants and durations cross the wire exactly, and nonsense is refused."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from otpc_policy.rpc.convert.times import read_duration, read_timestamp, to_duration, to_timestamp

# hypothesis wants naive bounds
_FIRST = datetime(1950, 1, 1)  # noqa: DTZ001
_LAST = datetime(9998, 12, 31, 23, 59, 59, 999999)  # noqa: DTZ001


@given(st.datetimes(min_value=_FIRST, max_value=_LAST, timezones=st.just(UTC)))
def test_instants_survive_the_round_trip(at: datetime) -> None:
    assert read_timestamp(to_timestamp(at)) == at
    assert to_timestamp(at).ToDatetime(tzinfo=UTC) == at


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=3650)))
def test_durations_survive_the_round_trip(length: timedelta) -> None:
    assert read_duration(to_duration(length)) == length
    assert to_duration(length).ToTimedelta() == length


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [
        (0, -1),
        (0, 1_000_000_000),
        (253_370_764_800, 0),
        (-(2**63), 0),
        (2**63 - 1, 0),
        (-631_152_001, 0),
        (-62_135_596_800, 0),
    ],
)
def test_bad_instants_are_refused(seconds: int, nanos: int) -> None:
    with pytest.raises(ValueError, match=r"Timestamp|1950"):
        read_timestamp(Timestamp(seconds=seconds, nanos=nanos))


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [
        (1, -1),
        (-1, 1),
        (315_576_000_001, 0),
        (-(2**63), 0),
        (2**63 - 1, 0),
        (0, 1_000_000_000),
        (0, -(2**31)),
    ],
)
def test_bad_durations_are_refused(seconds: int, nanos: int) -> None:
    with pytest.raises(ValueError, match="Duration"):
        read_duration(Duration(seconds=seconds, nanos=nanos))


@pytest.mark.parametrize(
    ("seconds", "nanos", "read"),
    [
        (0, 1, timedelta(microseconds=1)),
        (0, 0, timedelta(0)),
        (0, -1, timedelta(0)),
        (-1, -1000, timedelta(seconds=-1, microseconds=-1)),
        (315_576_000_000, 0, timedelta(days=3650)),
        (-315_576_000_000, 0, timedelta(days=-3650)),
    ],
)
def test_durations_are_cut_to_what_can_be_computed_with(
    seconds: int, nanos: int, read: timedelta
) -> None:
    assert read_duration(Duration(seconds=seconds, nanos=nanos)) == read
