"""Instants in logs have one form."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from otpc_policy.ops.timestamps import now_text, rfc3339


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (datetime(2026, 11, 29, 13, 2, 6, 123, tzinfo=UTC), "2026-11-29T13:02:06.000123Z"),
        (datetime(2026, 11, 29, 13, 2, 6, tzinfo=UTC), "2026-11-29T13:02:06.000000Z"),
        (
            datetime(2026, 11, 29, 1, 2, 6, 5, tzinfo=timezone(timedelta(hours=2))),
            "2026-11-28T23:02:06.000005Z",
        ),
    ],
)
def test_microseconds_and_utc_always(at: datetime, expected: str) -> None:
    assert rfc3339(at) == expected


def test_now_can_be_read_back() -> None:
    assert abs(datetime.now(UTC) - datetime.fromisoformat(now_text())) < timedelta(seconds=5)
