"""Seconds that only go forward, for deadlines and lifetimes."""

import time


def elapsed_s() -> float:
    """Return seconds since a fixed instant of the past.

    Setting the wall clock does not change it. On Linux, time in which the machine was suspended
    counts: an answer is no younger for having been asleep (time.monotonic stands still then).
    """
    return time.clock_gettime(_CLOCK) if _CLOCK is not None else time.monotonic()


_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)
