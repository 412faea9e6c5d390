"""Waiting for another process, which has no clock that a test could inject."""

import time
from collections.abc import Callable


def wait_until(holds: Callable[[], bool], within_s: float = 15.0) -> None:
    """Return when the condition holds; fail when it does not in time."""
    give_up_at = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)
