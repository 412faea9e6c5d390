"""The one form of an instant in logs: RFC 3339, UTC, microseconds, "Z"."""

from datetime import UTC, datetime
from typing import Final

_WITH_FRACTION: Final = len("2026-11-29T13:02:06.000123+00:00")


def rfc3339(at: datetime) -> str:
    """Return an instant such as 2026-11-29T13:02:06.000123Z. at: aware, of any zone."""
    text = (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat()
    # Without a fraction there is a whole second: one instant in a million.
    return f"{text[:-6]}Z" if len(text) == _WITH_FRACTION else f"{text[:-6]}.000000Z"


def now_text() -> str:
    """Return the wall-clock time of this machine."""
    return rfc3339(datetime.now(UTC))
