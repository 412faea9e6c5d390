"""The clock of the machine. Everything else is given one."""

import time
from datetime import UTC, datetime


class SystemClock:
    """Tells the time."""

    def now(self) -> datetime:
        """Return the wall-clock time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()
