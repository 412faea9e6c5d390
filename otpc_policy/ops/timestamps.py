"""The one form of an instant in logs: RFC 3339, UTC, microseconds, "Z"."""

from datetime import UTC, datetime


def rfc3339(at: datetime) -> str:
    """Return an instant such as 2026-11-29T13:02:06.000123Z. at: aware, of any zone."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return f"{at.isoformat(timespec='microseconds')[:-6]}Z"


def now_text() -> str:
    """Return the wall-clock time of this machine."""
    return rfc3339(datetime.now(UTC))
