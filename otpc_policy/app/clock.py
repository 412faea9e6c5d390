"""The system clock. Everything else takes its clock as an argument."""

import time
from datetime import UTC, datetime


class SystemClock:
    """Reads the time of this machine."""

    def now(self) -> datetime:
        """Return the wall-clock time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back."""
        return time.monotonic()
