"""When the state is reported: often while something is measured, seldom at rest.

One timer serves every front that watches, and a report costs about a millisecond at both ends.
"""

import asyncio
from collections.abc import Callable

from otpc_policy.measurement.methods import HEARTBEAT_AT_REST_S, HEARTBEAT_S


class Pulse:
    """Beats for whoever waits. is_busy: something is measured."""

    def __init__(self, is_busy: Callable[[], bool]) -> None:
        self._is_busy = is_busy
        self._waiting: set[asyncio.Future[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self) -> None:
        """Wait for the next beat."""
        loop = asyncio.get_running_loop()
        if self._timer is None:
            pause_s = HEARTBEAT_S if self._is_busy() else HEARTBEAT_AT_REST_S
            self._timer = loop.call_later(pause_s, self.beat)
        beat = loop.create_future()
        self._waiting.add(beat)
        try:
            await beat
        finally:
            self._waiting.discard(beat)

    def quicken(self) -> None:
        """Something begins to be measured: the next beat comes soon enough for that."""
        loop = asyncio.get_running_loop()
        if self._timer is not None and self._timer.when() > loop.time() + HEARTBEAT_S:
            self._timer.cancel()
            self._timer = loop.call_later(HEARTBEAT_S, self.beat)

    def beat(self) -> None:
        """Beat now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for beat in self._waiting:
            if not beat.done():
                beat.set_result(None)
